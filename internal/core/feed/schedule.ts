// When an alarm fires. Times are milliseconds since 1970 by the wall clock; nothing here knows what time it is.

import { unreachable } from "../../base/errors.js";

/** A date as its owner wrote it: milliseconds since 1970, or a text that JavaScript reads as a date. Shown as it was given. */
export type GivenDate = string | number;

export type Schedule =
  | {
      readonly kind: "cron";
      /** Five fields, or six with seconds before them. */
      readonly cron: string;
      /** IANA name; undefined for UTC. */
      readonly timezone?: string;
      /** False: within the minute, at a second that follows from the trigger's name. Of five fields only. */
      readonly strict?: boolean;
      readonly startDate?: GivenDate;
      readonly stopDate?: GivenDate;
      /** -1 for no end. */
      readonly maxTriggers?: number;
    }
  | {
      readonly kind: "interval";
      readonly minutes: number;
      /** The first firing; the others are whole intervals after it. */
      readonly startDate: GivenDate;
      readonly stopDate?: GivenDate;
      readonly maxTriggers?: number;
    }
  | { readonly kind: "once"; readonly date: GivenDate; readonly deleteAfterFire?: "false" | "true" | "rules" };

/** Times of a cron pattern in its time zone, without end. Implemented by internal/cron. */
export interface CronTimes {
  /** The first time later than `wallMs`; undefined when there is none. */
  after(wallMs: number): number | undefined;
  /** At most `count` times not later than `wallMs`, the latest first. */
  latest(count: number, wallMs: number): readonly number[];
}

/** @throws invalidArgument for a pattern or a time zone that cannot be read */
export type ReadCron = (pattern: string, timezone: string | undefined) => CronTimes;

/** Of firings that were missed while no controller ran, as many are made up for; older ones are not. */
export const CATCH_UP_MAX = 60;
/** And none but the latest that is older than this: what was due yesterday is nobody's event of today. */
export const CATCH_UP_MS_MAX = 24 * 60 * 60 * 1_000;

const MINUTE_MS = 60_000;

/** @returns NaN for what is no date */
export function msOfDate(date: GivenDate): number {
  return new Date(date).getTime();
}

/**
 * The first firing later than `wallMs`; undefined when there is none any more.
 * @param trigger its name, on which the second of a schedule that is not strict depends
 */
export function nextFiring(
  schedule: Schedule,
  trigger: string,
  wallMs: number,
  readCron: ReadCron,
): number | undefined {
  switch (schedule.kind) {
    case "once": {
      const at = msOfDate(schedule.date);
      return at > wallMs ? at : undefined;
    }
    case "interval": {
      const startMs = msOfDate(schedule.startDate);
      const everyMs = schedule.minutes * MINUTE_MS;
      const passed = Math.max(0, Math.floor((wallMs - startMs) / everyMs) + 1);
      return beforeStop(startMs + passed * everyMs, schedule.stopDate);
    }
    case "cron": {
      const times = readCron(patternOf(schedule, trigger), schedule.timezone);
      // A start that is itself a time of the pattern is the first firing.
      const startMs = schedule.startDate === undefined ? -Infinity : msOfDate(schedule.startDate) - 1;
      return beforeStop(times.after(Math.max(wallMs, startMs)), schedule.stopDate);
    }
  }
  return unreachable(schedule);
}

/** What becomes of an alarm that is due. */
export interface DueFiring {
  /** Which firing is made: the one that was due, or a later one when that was skipped. */
  readonly dueMs: number;
  /** The firing after it, which may be due as well; undefined when it was the last. */
  readonly nextMs: number | undefined;
  /** True when firings before it were left out for being too many or too old. */
  readonly skipped: boolean;
}

/**
 * Firings that were missed are made up for one by one, oldest first, within CATCH_UP_MAX and CATCH_UP_MS_MAX; the latest
 * of them always.
 * @param dueMs the firing that is due: not later than `wallMs`
 */
export function dueFiring(
  schedule: Schedule,
  trigger: string,
  dueMs: number,
  wallMs: number,
  readCron: ReadCron,
): DueFiring {
  const missed = missedSince(schedule, trigger, dueMs, wallMs, readCron);
  const firing = missed.findLast((at, i) => i === 0 || wallMs - at <= CATCH_UP_MS_MAX) ?? dueMs;
  return { dueMs: firing, nextMs: nextFiring(schedule, trigger, firing, readCron), skipped: firing > dueMs };
}

/** At most CATCH_UP_MAX firings from `dueMs` to `wallMs`, the latest first. */
function missedSince(
  schedule: Schedule,
  trigger: string,
  dueMs: number,
  wallMs: number,
  readCron: ReadCron,
): readonly number[] {
  switch (schedule.kind) {
    case "once":
      return [dueMs];
    case "interval": {
      const everyMs = schedule.minutes * MINUTE_MS;
      const untilMs = lastBefore(wallMs, schedule.stopDate);
      const count = Math.floor((untilMs - dueMs) / everyMs) + 1;
      return Array.from({ length: Math.min(CATCH_UP_MAX, count) }, (_, i) => dueMs + (count - 1 - i) * everyMs);
    }
    case "cron":
      return readCron(patternOf(schedule, trigger), schedule.timezone)
        .latest(CATCH_UP_MAX, lastBefore(wallMs, schedule.stopDate))
        .filter((at) => at >= dueMs);
  }
  return unreachable(schedule);
}

/** Firings stop before the stop date, not at it. */
function beforeStop(at: number | undefined, stopDate: GivenDate | undefined): number | undefined {
  return at === undefined || stopDate === undefined || at < msOfDate(stopDate) ? at : undefined;
}

function lastBefore(wallMs: number, stopDate: GivenDate | undefined): number {
  return stopDate === undefined ? wallMs : Math.min(wallMs, msOfDate(stopDate) - 1);
}

/** With seconds when a schedule that is not strict says only minutes: not all alarms of an hour at the same moment. */
function patternOf(schedule: Schedule & { readonly kind: "cron" }, trigger: string): string {
  const fields = schedule.cron.trim().split(/\s+/);
  return schedule.strict === false && fields.length === 5 ? [secondOf(trigger), ...fields].join(" ") : fields.join(" ");
}

function secondOf(name: string): number {
  let hash = 0;
  for (let i = 0; i < name.length; i++) hash = (hash * 31 + name.charCodeAt(i)) % 4_294_967_296;
  return hash % 60;
}
