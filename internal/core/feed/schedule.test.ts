import { describe, expect, it } from "vitest";

import { readCron } from "../../cron/cron.js";
import { CATCH_UP_MAX, dueFiring, nextFiring, type Schedule } from "./schedule.js";

const at = (text: string): number => Date.parse(text);
const text = (ms: number | undefined): string | undefined =>
  ms === undefined ? undefined : new Date(ms).toISOString();

const next = (schedule: Schedule, wall: string): string | undefined =>
  text(nextFiring(schedule, "t", at(wall), readCron));
const due = (
  schedule: Schedule,
  dueAt: string,
  wall: string,
): readonly [string | undefined, string | undefined, boolean] => {
  const { dueMs, nextMs, skipped } = dueFiring(schedule, "t", at(dueAt), at(wall), readCron);
  return [text(dueMs), text(nextMs), skipped];
};

const cron = (more: object = {}): Schedule => ({ kind: "cron", cron: "*/5 * * * *", ...more });
const interval = (more: object = {}): Schedule => ({
  kind: "interval",
  minutes: 10,
  startDate: "2026-01-01T00:00:30Z",
  ...more,
});

describe("the next firing", () => {
  it.each<[string, Schedule, string, string | undefined]>([
    ["of a pattern", cron(), "2026-01-01T00:05:00Z", "2026-01-01T00:10:00.000Z"],
    [
      "waits for the start",
      cron({ startDate: at("2026-02-01T00:02:00Z") }),
      "2026-01-01T00:00:00Z",
      "2026-02-01T00:05:00.000Z",
    ],
    [
      "may be the start",
      cron({ startDate: "2026-02-01T00:00:00Z" }),
      "2026-01-01T00:00:00Z",
      "2026-02-01T00:00:00.000Z",
    ],
    [
      "comes before the stop",
      cron({ stopDate: "2026-01-01T00:10:01Z" }),
      "2026-01-01T00:05:00Z",
      "2026-01-01T00:10:00.000Z",
    ],
    ["is not at the stop", cron({ stopDate: "2026-01-01T00:10:00Z" }), "2026-01-01T00:05:00Z", undefined],
    [
      "is in a time zone",
      cron({ cron: "0 9 * * *", timezone: "Asia/Tokyo" }),
      "2026-01-01T00:00:00Z",
      "2026-01-02T00:00:00.000Z",
    ],
    [
      "has its own second when it is not strict",
      cron({ strict: false }),
      "2026-01-01T00:05:00Z",
      "2026-01-01T00:05:56.000Z",
    ],
    [
      "keeps seconds that are given",
      cron({ cron: "7 */5 * * * *", strict: false }),
      "2026-01-01T00:05:00Z",
      "2026-01-01T00:05:07.000Z",
    ],
    ["of an interval is its start", interval(), "2025-12-01T00:00:00Z", "2026-01-01T00:00:30.000Z"],
    ["comes an interval later", interval(), "2026-01-01T00:00:30Z", "2026-01-01T00:10:30.000Z"],
    ["stays on the grid of the start", interval(), "2026-01-02T00:03:00Z", "2026-01-02T00:10:30.000Z"],
    [
      "of an interval is not at its stop",
      interval({ stopDate: "2026-01-01T00:10:30Z" }),
      "2026-01-01T00:01:00Z",
      undefined,
    ],
    [
      "happens once",
      { kind: "once", date: "2026-01-01T00:00:30Z" },
      "2026-01-01T00:00:00Z",
      "2026-01-01T00:00:30.000Z",
    ],
    ["happens once only", { kind: "once", date: "2026-01-01T00:00:30Z" }, "2026-01-01T00:00:30Z", undefined],
  ])("%s", (_what, schedule, wall, expected) => {
    expect(next(schedule, wall)).toBe(expected);
  });
});

describe("a firing that is due", () => {
  it.each<[string, Schedule, string, string, readonly [string | undefined, string | undefined, boolean]]>([
    [
      "in time is made, and the next is known",
      cron(),
      "2026-01-01T00:05:00Z",
      "2026-01-01T00:05:00.010Z",
      ["2026-01-01T00:05:00.000Z", "2026-01-01T00:10:00.000Z", false],
    ],
    [
      "late is made up for before those that were due after it",
      cron(),
      "2026-01-01T00:05:00Z",
      "2026-01-01T00:25:01Z",
      ["2026-01-01T00:05:00.000Z", "2026-01-01T00:10:00.000Z", false],
    ],
    [
      "too long ago gives way to the oldest of a day",
      cron({ cron: "0 * * * *" }),
      "2026-01-01T00:00:00Z",
      "2026-01-03T12:30:00Z",
      ["2026-01-02T13:00:00.000Z", "2026-01-02T14:00:00.000Z", true],
    ],
    [
      "too long ago is made all the same when it is the latest",
      cron({ cron: "0 0 1 * *" }),
      "2026-01-01T00:00:00Z",
      "2026-01-20T00:00:00Z",
      ["2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z", false],
    ],
    [
      "of too many gives way to the last of them",
      cron({ cron: "* * * * * *" }),
      "2026-01-01T00:00:00Z",
      "2026-01-01T01:00:00Z",
      ["2026-01-01T00:59:01.000Z", "2026-01-01T00:59:02.000Z", true],
    ],
    [
      "of an interval gives way as well",
      interval({ minutes: 1 }),
      "2026-01-01T00:00:30Z",
      "2026-01-01T02:00:00Z",
      ["2026-01-01T01:00:30.000Z", "2026-01-01T01:01:30.000Z", true],
    ],
    [
      "before the stop is made after it",
      cron({ stopDate: "2026-01-01T00:12:00Z" }),
      "2026-01-01T00:10:00Z",
      "2026-01-01T00:40:00Z",
      ["2026-01-01T00:10:00.000Z", undefined, false],
    ],
    [
      "once is made however late",
      { kind: "once", date: "2026-01-01T00:00:00Z" },
      "2026-01-01T00:00:00Z",
      "2026-03-01T00:00:00Z",
      ["2026-01-01T00:00:00.000Z", undefined, false],
    ],
  ])("%s", (_what, schedule, dueAt, wall, expected) => {
    expect(due(schedule, dueAt, wall)).toEqual(expected);
  });

  it("and all after it come to no more than what is made up for", () => {
    const schedule = cron({ cron: "* * * * *" });
    const wallMs = at("2026-01-01T12:00:00Z");
    let nextMs: number | undefined = at("2026-01-01T00:00:00Z");
    let fired = 0;
    for (; nextMs !== undefined && nextMs <= wallMs; fired++) {
      ({ nextMs } = dueFiring(schedule, "t", nextMs, wallMs, readCron));
    }
    expect([fired, text(nextMs)]).toEqual([CATCH_UP_MAX, "2026-01-01T12:01:00.000Z"]);
  });
});
