import { describe, expect, it } from "vitest";

import { readCron } from "../../cron/cron.js";
import {
  changedSchedule,
  describeAlarm,
  firstFiring,
  newSchedule,
  payloadOf,
  type Alarm,
  type AlarmFeed,
} from "./alarm.js";
import { decideAlarm, disabledAlarm, firingId } from "./firing.js";
import { readFeedRequest } from "./lifecycle.js";
import type { Schedule } from "./schedule.js";

const NOW = Date.parse("2026-01-01T00:00:00Z");
const FUTURE = "2026-02-01T00:00:00.000Z";
const LATER = "2026-03-01T00:00:00.000Z";
const PAST = "2025-12-01T00:00:00.000Z";

const params = (values: object): ReadonlyMap<string, string> =>
  new Map(Object.entries(values).map(([key, value]) => [key, JSON.stringify(value)]));

const begin = (feed: AlarmFeed, values: object): [Schedule, number] => {
  const schedule = newSchedule(feed, params(values), NOW);
  return [schedule, firstFiring(schedule, "t", NOW, readCron, { intervalMinMs: 1_000 })];
};

const anAlarm = (more: Partial<Alarm> = {}): Alarm => ({
  namespace: "guest",
  trigger: "t",
  id: "a".repeat(32),
  key: { uuid: "u", subject: "guest" },
  schedule: { kind: "cron", cron: "0 * * * *" },
  payloadJson: '{"n":1.000000000000000000001}',
  status: { active: true, changedWallMs: NOW },
  fired: 0,
  skips: 0,
  lastMs: undefined,
  nextMs: NOW,
  revision: 1,
  ...more,
});

describe("a new schedule", () => {
  it.each<[AlarmFeed, object, Schedule, string]>([
    ["alarm", { cron: "0 9 8 * *" }, { kind: "cron", cron: "0 9 8 * *" }, "2026-01-08T09:00:00.000Z"],
    [
      "alarm",
      { cron: "0 9 * * *", timezone: "Europe/Berlin", strict: "True", startDate: FUTURE, stopDate: LATER },
      { kind: "cron", cron: "0 9 * * *", timezone: "Europe/Berlin", strict: true, startDate: FUTURE, stopDate: LATER },
      "2026-02-01T08:00:00.000Z",
    ],
    [
      "alarm",
      { cron: "@hourly", maxTriggers: "3" },
      { kind: "cron", cron: "@hourly", maxTriggers: 3 },
      "2026-01-01T01:00:00.000Z",
    ],
    [
      "alarm",
      { cron: "* * * * *", stopDate: Date.parse(FUTURE), maxTriggers: 0 },
      { kind: "cron", cron: "* * * * *", stopDate: Date.parse(FUTURE) },
      "2026-01-01T00:01:00.000Z",
    ],
    ["interval", { minutes: 2 }, { kind: "interval", minutes: 2, startDate: NOW + 30_000 }, "2026-01-01T00:00:30.000Z"],
    ["interval", { minutes: "2", startDate: FUTURE }, { kind: "interval", minutes: 2, startDate: FUTURE }, FUTURE],
    ["once", { date: FUTURE }, { kind: "once", date: FUTURE }, FUTURE],
    [
      "once",
      { date: Date.parse(FUTURE), deleteAfterFire: true },
      { kind: "once", date: Date.parse(FUTURE), deleteAfterFire: "true" },
      FUTURE,
    ],
    [
      "once",
      { date: FUTURE, deleteAfterFire: " Rules " },
      { kind: "once", date: FUTURE, deleteAfterFire: "rules" },
      FUTURE,
    ],
  ])("of %s with %j", (feed, values, schedule, first) => {
    const [made, firstMs] = begin(feed, values);
    expect([made, new Date(firstMs).toISOString()]).toEqual([schedule, first]);
  });

  it.each<[AlarmFeed, object, string]>([
    ["alarm", {}, "alarms trigger feed is missing the cron parameter"],
    ["alarm", { cron: "" }, "alarms trigger feed is missing the cron parameter"],
    ["alarm", { cron: 5 }, "cron: must be a text"],
    ["alarm", { cron: "* * * *" }, "cron pattern '* * * *' is not valid"],
    ["alarm", { cron: "0 0 30 2 *" }, "never fires"],
    ["alarm", { cron: "* * * * *", timezone: "Mars" }, "Invalid timezone."],
    ["alarm", { cron: "* * * * *", strict: "maybe" }, "strict: must be true or false"],
    ["alarm", { cron: "* * * * *", startDate: PAST }, `startDate parameter '${PAST}' must be in the future`],
    [
      "alarm",
      { cron: "* * * * *", startDate: LATER, stopDate: FUTURE },
      `stopDate parameter '${FUTURE}' must be greater than the startDate parameter '${LATER}'`,
    ],
    [
      "alarm",
      { cron: "* * * * *", stopDate: FUTURE, maxTriggers: 2 },
      "maxTriggers is not allowed when the stopDate parameter is specified",
    ],
    ["alarm", { cron: "* * * * *", maxTriggers: "many" }, "maxTriggers: must be a whole number"],
    ["alarm", { cron: "* * * * *", maxTriggers: -2 }, "maxTriggers: must be 1 or more"],
    [
      "alarm",
      { cron: "0 0 1 6 *", stopDate: FUTURE },
      "the first scheduled trigger fire is not until after the stop date",
    ],
    ["interval", {}, "interval trigger feed is missing the minutes parameter"],
    ["interval", { minutes: 1.5 }, "the minutes parameter must be an integer"],
    ["interval", { minutes: "five" }, "the minutes parameter must be an integer"],
    ["interval", { minutes: 0 }, "the minutes parameter must be an integer greater than zero"],
    ["interval", { minutes: 1e9 }, "minutes: larger than allowed"],
    ["once", {}, "alarms once trigger feed is missing the date parameter"],
    ["once", { date: "tomorrow" }, "date parameter 'tomorrow' is not a valid Date"],
    ["once", { date: true }, "date parameter 'true' is not a valid Date"],
    ["once", { date: { a: 1 } }, "is not a valid Date"],
    ["once", { date: "9".repeat(1_000) }, "is not a valid Date"],
    ["once", { date: PAST }, `date parameter '${PAST}' must be in the future`],
    [
      "once",
      { date: FUTURE, deleteAfterFire: "maybe" },
      "deleteAfterFire parameter must be one of [false, true, rules].",
    ],
  ])("of %s with %j is refused", (feed, values, message) => {
    expect(() => begin(feed, values)).toThrow(message);
  });

  it("that fires more often than allowed is refused", () => {
    const limits = { intervalMinMs: 60_000 };
    const begun = (cron: string): number => firstFiring({ kind: "cron", cron }, "t", NOW, readCron, limits);
    expect(begun("* * * * *")).toBe(NOW + 60_000);
    expect(() => begun("*/30 * * * * *")).toThrow("fires more often than allowed: every 30000 ms < 60000 ms");
    expect(() => begun("0,1 0 * * * *")).toThrow("fires more often than allowed");
  });
});

describe("a changed schedule", () => {
  const cron: Schedule = { kind: "cron", cron: "* * * * *", startDate: FUTURE, stopDate: LATER };

  it.each<[Schedule, object, Schedule | undefined]>([
    [cron, { cron: "0 * * * *" }, { ...cron, cron: "0 * * * *" }],
    [cron, { timezone: "Asia/Tokyo", strict: false }, { ...cron, timezone: "Asia/Tokyo", strict: false }],
    [cron, { minutes: 7 }, undefined],
    [
      { kind: "interval", minutes: 1, startDate: PAST },
      { minutes: 7 },
      { kind: "interval", minutes: 7, startDate: PAST },
    ],
    [{ kind: "interval", minutes: 1, startDate: PAST }, { cron: "* * * * *" }, undefined],
    [{ kind: "once", date: PAST }, { date: LATER }, { kind: "once", date: LATER }],
    [
      { kind: "once", date: PAST },
      { deleteAfterFire: "rules" },
      { kind: "once", date: PAST, deleteAfterFire: "rules" },
    ],
    [{ kind: "once", date: PAST }, {}, undefined],
  ])("%j with %j", (old, values, expected) => {
    expect(changedSchedule(old, params(values), NOW)).toEqual(expected);
  });

  it("may not start after it stops", () => {
    const startDate = "2026-04-01T00:00:00.000Z";
    expect(() => changedSchedule(cron, params({ startDate }), NOW)).toThrow(
      `startDate parameter '${startDate}' must be less than the stopDate parameter '${LATER}'`,
    );
    expect(() => changedSchedule(cron, params({ stopDate: "2026-01-15T00:00:00.000Z" }), NOW)).toThrow(
      "must be greater",
    );
  });
});

describe("the payload", () => {
  it.each<[string | undefined, string | undefined]>([
    ['{"a":1.0000000000000000001}', '{"a":1.0000000000000000001}'],
    ['"text"', '{"payload":"text"}'],
    ["[1]", '{"payload":[1]}'],
    ['""', undefined],
    ["null", undefined],
    [undefined, undefined],
  ])("%s is %s", (given, payload) => {
    expect(payloadOf(new Map(given === undefined ? [] : [["trigger_payload", given]]))).toBe(payload);
  });

  it("is not larger than that of a firing", () => {
    expect(() => payloadOf(new Map([["trigger_payload", JSON.stringify("x".repeat(1_100_000))]]))).toThrow(
      "larger than allowed",
    );
  });
});

describe("what READ tells", () => {
  it("is the configuration as it was given, every digit of the payload, and the status", () => {
    const told = describeAlarm(
      anAlarm({ schedule: { kind: "cron", cron: "0 * * * *", timezone: "Asia/Tokyo", stopDate: LATER } }),
    );
    expect(told).toContain('"payload":{"n":1.000000000000000000001}}');
    expect(JSON.parse(told)).toEqual({
      config: {
        name: "t",
        namespace: "guest",
        payload: { n: 1 },
        cron: "0 * * * *",
        timezone: "Asia/Tokyo",
        stopDate: LATER,
        strict: true,
      },
      status: {
        active: true,
        dateChanged: NOW,
        dateChangedISO: "2026-01-01T00:00:00Z",
        fired: 0,
        nextFire: "2026-01-01T00:00:00Z",
      },
    });
  });

  it("of one that is over says why", () => {
    const once = anAlarm({ schedule: { kind: "once", date: PAST } });
    const told = JSON.parse(describeAlarm(disabledAlarm(once, 401, "the key is gone", NOW))) as object;
    expect(told).toMatchObject({
      config: { date: PAST, deleteAfterFire: "false" },
      status: {
        active: false,
        reason: { kind: "AUTO", statusCode: 401, message: "Trigger automatically disabled: the key is gone" },
      },
    });
  });
});

describe("an alarm that is due", () => {
  const decide = (alarm: Alarm, wallMs = NOW): unknown => decideAlarm(alarm, NOW, wallMs, readCron).after;

  it("goes on", () => {
    expect(decide(anAlarm({ fired: 4 }), NOW + 5)).toEqual({
      kind: "goesOn",
      fired: 5,
      skips: 0,
      lastMs: NOW,
      nextMs: NOW + 3_600_000,
      status: { active: true, changedWallMs: NOW },
    });
  });

  it.each<[Schedule, number, string]>([
    [{ kind: "once", date: NOW }, 0, "Automatically disabled after firing once"],
    [{ kind: "once", date: NOW, deleteAfterFire: "false" }, 0, "Automatically disabled after firing once"],
    [{ kind: "cron", cron: "0 * * * *", maxTriggers: 3 }, 2, "Automatically disabled after reaching max triggers"],
    [
      { kind: "cron", cron: "0 * * * *", stopDate: NOW + 10 },
      2,
      "Automatically disabled after firing last scheduled cron trigger",
    ],
    [
      { kind: "interval", minutes: 5, startDate: NOW, stopDate: NOW + 10 },
      0,
      "Automatically disabled after firing last scheduled interval trigger",
    ],
  ])("by %j for the last time is disabled", (schedule, fired, message) => {
    expect(decide(anAlarm({ schedule, fired }), NOW + 7)).toMatchObject({
      kind: "goesOn",
      nextMs: undefined,
      status: { active: false, changedWallMs: NOW + 7, reason: { kind: "AUTO", message } },
    });
  });

  it.each([
    ["true", false],
    ["rules", true],
  ] as const)("once with deleteAfterFire %s goes with its trigger", (deleteAfterFire, withRules) => {
    expect(decide(anAlarm({ schedule: { kind: "once", date: NOW, deleteAfterFire } }))).toEqual({
      kind: "deleted",
      withRules,
    });
  });

  it("has the same ids whoever fires it, others than every other firing", () => {
    const [alarm, other] = [anAlarm(), anAlarm({ id: "b".repeat(32) })];
    const ids = [firingId(alarm, NOW), firingId(alarm, NOW, "guest/r"), firingId(alarm, NOW + 1), firingId(other, NOW)];
    expect(new Set(ids).size).toBe(4);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(decideAlarm(alarm, NOW, NOW + 9, readCron).id).toBe(ids[0]);
    expect(Number.parseInt(String(ids[0]).slice(0, 12), 16)).toBe(NOW);
  });
});

describe("a request to a feed", () => {
  const read = (values: object): unknown => readFeedRequest(JSON.stringify(values), "guest");

  it.each(["/guest/t", "/_/t", "t"])("names the trigger as %s", (triggerName) => {
    expect(read({ lifecycleEvent: "CREATE", triggerName, authKey: "u:k", a: 1 })).toEqual({
      event: "CREATE",
      trigger: "t",
      authKey: "u:k",
      params: new Map([["a", "1"]]),
    });
  });

  it.each<[object, string]>([
    [{ triggerName: "t" }, "lifecycleEvent: must be one of CREATE, READ, UPDATE, PAUSE, UNPAUSE, DELETE"],
    [{ lifecycleEvent: "create", triggerName: "t" }, "lifecycleEvent: must be one of"],
    [{ lifecycleEvent: 7, triggerName: "t" }, "lifecycleEvent: must be a text"],
    [{ lifecycleEvent: "READ" }, "no trigger name parameter was provided"],
    [{ lifecycleEvent: "READ", triggerName: "/other/t" }, "Trigger authentication request failed"],
    [{ lifecycleEvent: "READ", triggerName: "p/t" }, "triggerName"],
    [{ lifecycleEvent: "READ", triggerName: "../t" }, "triggerName"],
  ])("%j is refused", (values, message) => {
    expect(() => read(values)).toThrow(message);
  });
});
