// Alarms: what fires a trigger by the clock. The rules for their parameters, and what READ tells of them, are those of
// OpenWhisk's package of the same name.

import { invalidField, WeftError } from "../../base/errors.js";
import { isObject, typeOf, type JsonText } from "../../base/json-text.js";
import { checkPayloadSize } from "../params/merge.js";
import { textOf } from "./lifecycle.js";
import { msOfDate, nextFiring, type GivenDate, type ReadCron, type Schedule } from "./schedule.js";

/** The feed actions of the package: each makes schedules of one kind. */
export const ALARM_FEEDS = { alarm: "cron", interval: "interval", once: "once" } as const;

export type AlarmFeed = keyof typeof ALARM_FEEDS;

/** Why an alarm fires no more: of itself, or because its owner said so. */
export interface AlarmReason {
  readonly kind: "AUTO" | "USER";
  /** As an HTTP call would have been answered, when that is why. */
  readonly statusCode?: number;
  readonly message: string;
}

export interface AlarmStatus {
  readonly active: boolean;
  readonly changedWallMs: number;
  /** Set when it is not active. */
  readonly reason?: AlarmReason;
}

/** What a key was when an alarm or webhook was made. */
export interface FeedKey {
  readonly uuid: string;
  readonly subject: string;
}

export interface Alarm {
  readonly namespace: string;
  readonly trigger: string;
  /** Random, new with each CREATE: ids of firings follow from it. 32 hex characters. */
  readonly id: string;
  readonly key: FeedKey;
  readonly schedule: Schedule;
  /** JSON text of an object. */
  readonly payloadJson: JsonText;
  readonly status: AlarmStatus;
  /** Firings so far. */
  readonly fired: number;
  /** The last of them was due then. */
  readonly lastMs: number | undefined;
  /** How often firings were left out because nobody had been there to make them. */
  readonly skips: number;
  /** The firing to come; undefined when there is none, or it is not active. */
  readonly nextMs: number | undefined;
  /** Counts writes, from 1. */
  readonly revision: number;
}

export type AlarmDraft = Omit<Alarm, "revision">;

/** Limits that an operator may set. */
export interface AlarmLimits {
  /** Alarms of one namespace. */
  readonly perNamespaceMax: number;
  /** Shortest time between two firings of one. */
  readonly intervalMinMs: number;
}

/** An interval without a start date begins this long after it was made: by then its rules are there. */
export const INTERVAL_STARTS_AFTER_MS = 30_000;
/** A pattern is measured over so many firings. */
const MEASURED_FIRINGS = 60;
/** Longest date text, characters. */
const DATE_LENGTH_MAX = 64;
/** Longest interval: a year. */
const INTERVAL_MINUTES_MAX = 366 * 24 * 60;

type Params = ReadonlyMap<string, JsonText>;

/** What a CREATE asks for. @throws invalidArgument in OpenWhisk's words */
export function newSchedule(feed: AlarmFeed, params: Params, wallMs: number): Schedule {
  switch (feed) {
    case "once": {
      const date = futureDate(params, "date", wallMs);
      if (date === undefined) throw invalidField("date", "alarms once trigger feed is missing the date parameter");
      return { kind: "once", date, ...optional("deleteAfterFire", deleteAfterFireOf(params)) };
    }
    case "interval": {
      const minutes = minutesOf(params);
      if (minutes === undefined)
        throw invalidField("minutes", "interval trigger feed is missing the minutes parameter");
      const startDate = futureDate(params, "startDate", wallMs) ?? wallMs + INTERVAL_STARTS_AFTER_MS;
      const bounds = { startDate, ...endOf(params, startDate, wallMs) };
      return { kind: "interval", minutes, ...bounds };
    }
    case "alarm": {
      const cron = textOf(params, "cron");
      if (cron === undefined) throw invalidField("cron", "alarms trigger feed is missing the cron parameter");
      const startDate = futureDate(params, "startDate", wallMs);
      return {
        kind: "cron",
        cron,
        ...optional("timezone", textOf(params, "timezone")),
        ...optional("strict", strictOf(params)),
        ...optional("startDate", startDate),
        ...endOf(params, startDate, wallMs),
      };
    }
  }
}

/** What an UPDATE makes of a schedule; undefined when it names nothing of it. @throws invalidArgument */
export function changedSchedule(old: Schedule, params: Params, wallMs: number): Schedule | undefined {
  switch (old.kind) {
    case "once": {
      const date = futureDate(params, "date", wallMs);
      const deleteAfterFire = deleteAfterFireOf(params);
      if (date === undefined && deleteAfterFire === undefined) return undefined;
      return { ...old, ...optional("date", date), ...optional("deleteAfterFire", deleteAfterFire) };
    }
    case "interval": {
      const change = { ...optional("minutes", minutesOf(params)), ...boundsAfter(old, params, wallMs) };
      return Object.keys(change).length === 0 ? undefined : { ...old, ...change };
    }
    case "cron": {
      const change = {
        ...optional("cron", textOf(params, "cron")),
        ...optional("timezone", textOf(params, "timezone")),
        ...optional("strict", strictOf(params)),
        ...boundsAfter(old, params, wallMs),
      };
      return Object.keys(change).length === 0 ? undefined : { ...old, ...change };
    }
  }
}

/**
 * When a new or changed schedule fires first.
 * @throws invalidArgument for a pattern or time zone that cannot be read, for one that never fires before it stops, and
 * for one that fires more often than allowed
 */
export function firstFiring(
  schedule: Schedule,
  trigger: string,
  wallMs: number,
  readCron: ReadCron,
  limits: Pick<AlarmLimits, "intervalMinMs">,
): number {
  const first = nextFiring(schedule, trigger, wallMs, readCron);
  if (first === undefined) {
    if (schedule.kind === "once") throw invalidField("date", `date parameter '${schedule.date}' must be in the future`);
    if (schedule.stopDate === undefined) throw invalidField("cron", "the pattern never fires");
    throw invalidField("stopDate", "the first scheduled trigger fire is not until after the stop date");
  }
  let at = first;
  for (let i = 1; schedule.kind !== "once" && i < MEASURED_FIRINGS; i++) {
    const next = nextFiring(schedule, trigger, at, readCron);
    if (next === undefined) break;
    if (next - at < limits.intervalMinMs) {
      const field = schedule.kind === "cron" ? "cron" : "minutes";
      throw invalidField(field, `fires more often than allowed: every ${next - at} ms < ${limits.intervalMinMs} ms`);
    }
    at = next;
  }
  return first;
}

/** The payload that a request gives; undefined when it gives none. @returns JSON text of an object */
export function payloadOf(params: Params): JsonText | undefined {
  const given = params.get("trigger_payload");
  if (given === undefined || given === "null" || given === '""') return undefined;
  const payloadJson = isObject(given) ? given : `{"payload":${given}}`;
  checkPayloadSize(Buffer.byteLength(payloadJson));
  return payloadJson;
}

/** What READ answers: as OpenWhisk, and in the status how it stands. JSON text. */
export function describeAlarm(alarm: Alarm): JsonText {
  const { schedule, status } = alarm;
  const { kind, ...given } = schedule;
  const strict = kind === "cron" ? (schedule.strict ?? true) : true;
  const config: Record<string, unknown> = {
    name: alarm.trigger,
    namespace: alarm.namespace,
    ...given,
    strict,
    ...(kind === "once" ? { deleteAfterFire: schedule.deleteAfterFire ?? "false" } : {}),
  };
  // The payload is put in as it was given: numbers keep every digit.
  const configJson = `${JSON.stringify(config).slice(0, -1)},"payload":${alarm.payloadJson}}`;
  const statusJson = JSON.stringify({
    active: status.active,
    dateChanged: status.changedWallMs,
    dateChangedISO: isoOf(status.changedWallMs),
    reason: status.reason,
    fired: alarm.fired,
    skipped: alarm.skips > 0 ? alarm.skips : undefined,
    lastFire: alarm.lastMs === undefined ? undefined : isoOf(alarm.lastMs),
    nextFire: alarm.nextMs === undefined ? undefined : isoOf(alarm.nextMs),
  });
  return `{"config":${configJson},"status":${statusJson}}`;
}

function isoOf(wallMs: number): string {
  return new Date(Math.floor(wallMs / 1_000) * 1_000).toISOString().replace(".000Z", "Z");
}

// ---- parameters ----

/** A date that is given. @throws invalidArgument when it is none, or past */
function futureDate(params: Params, key: string, wallMs: number): GivenDate | undefined {
  const valueJson = params.get(key);
  if (valueJson === undefined || valueJson === "null" || valueJson === '""' || valueJson === "0") return undefined;
  const type = typeOf(valueJson);
  const date = JSON.parse(valueJson) as GivenDate;
  const shown = valueJson.slice(0, DATE_LENGTH_MAX).replaceAll('"', "");
  const readable = type === "number" || (type === "string" && valueJson.length <= DATE_LENGTH_MAX);
  const ms = readable ? msOfDate(date) : NaN;
  if (Number.isNaN(ms)) throw invalidField(key, `${key} parameter '${shown}' is not a valid Date`);
  if (ms <= wallMs) throw invalidField(key, `${key} parameter '${shown}' must be in the future`);
  return date;
}

/** The stop date or the count of firings of a new schedule: not both. */
function endOf(
  params: Params,
  startDate: GivenDate | undefined,
  wallMs: number,
): { readonly stopDate?: GivenDate; readonly maxTriggers?: number } {
  const stopDate = futureDate(params, "stopDate", wallMs);
  const maxTriggers = wholeOf(params, "maxTriggers");
  if (maxTriggers !== undefined && maxTriggers < -1) {
    throw invalidField("maxTriggers", "must be 1 or more, or -1 for no end");
  }
  if (stopDate === undefined) return optional("maxTriggers", maxTriggers === 0 ? undefined : maxTriggers);
  if (maxTriggers !== undefined && maxTriggers !== 0) {
    throw invalidField("maxTriggers", "maxTriggers is not allowed when the stopDate parameter is specified");
  }
  if (startDate !== undefined && msOfDate(stopDate) <= msOfDate(startDate)) {
    throw invalidField(
      "stopDate",
      `stopDate parameter '${stopDate}' must be greater than the startDate parameter '${startDate}'`,
    );
  }
  return { stopDate };
}

function boundsAfter(
  old: { readonly startDate?: GivenDate; readonly stopDate?: GivenDate; readonly maxTriggers?: number },
  params: Params,
  wallMs: number,
): { readonly startDate?: GivenDate; readonly stopDate?: GivenDate; readonly maxTriggers?: number } {
  const startDate = futureDate(params, "startDate", wallMs);
  const end = endOf(params, startDate ?? old.startDate, wallMs);
  if (startDate !== undefined && end.stopDate === undefined && old.stopDate !== undefined) {
    if (msOfDate(startDate) >= msOfDate(old.stopDate)) {
      throw invalidField(
        "startDate",
        `startDate parameter '${startDate}' must be less than the stopDate parameter '${old.stopDate}'`,
      );
    }
  }
  return { ...optional("startDate", startDate), ...end };
}

function minutesOf(params: Params): number | undefined {
  const minutes = wholeOf(params, "minutes", "the minutes parameter must be an integer");
  if (minutes === undefined) return undefined;
  if (minutes <= 0) throw invalidField("minutes", "the minutes parameter must be an integer greater than zero");
  if (minutes > INTERVAL_MINUTES_MAX) {
    throw invalidField("minutes", `larger than allowed: ${minutes} > ${INTERVAL_MINUTES_MAX}`);
  }
  return minutes;
}

/** A whole number, also as text. */
function wholeOf(params: Params, key: string, problem = "must be a whole number"): number | undefined {
  const valueJson = params.get(key);
  if (valueJson === undefined || valueJson === "null" || valueJson === '""') return undefined;
  const value = typeOf(valueJson) === "string" ? (JSON.parse(valueJson) as string).trim() : valueJson;
  if (!/^-?\d{1,15}$/.test(value)) throw invalidField(key, problem);
  return Number(value);
}

function strictOf(params: Params): boolean | undefined {
  const valueJson = params.get("strict");
  if (valueJson === undefined || valueJson === "null" || valueJson === '""') return undefined;
  const word = valueJson.replaceAll('"', "").toLowerCase();
  if (word !== "true" && word !== "false") throw invalidField("strict", "must be true or false");
  return word === "true";
}

function deleteAfterFireOf(params: Params): "false" | "true" | "rules" | undefined {
  const valueJson = params.get("deleteAfterFire");
  if (valueJson === undefined || valueJson === "null" || valueJson === '""') return undefined;
  const word = valueJson.replaceAll('"', "").trim().toLowerCase();
  if (word !== "false" && word !== "true" && word !== "rules") {
    throw invalidField("deleteAfterFire", "deleteAfterFire parameter must be one of [false, true, rules].");
  }
  return word;
}

/** With the member, or without it: an absent one and one that is undefined are not the same. */
function optional<K extends string, V>(key: K, value: V | undefined): { readonly [key in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { readonly [key in K]?: V };
}

export function noAlarm(namespace: string, trigger: string): WeftError {
  return new WeftError("notFound", "ALARM_NOT_FOUND", `the trigger ${namespace}/${trigger} has no alarm`);
}
