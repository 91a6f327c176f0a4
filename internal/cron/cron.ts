// Cron patterns, read by croner. It only computes times: nothing is scheduled by it.
//
// When clocks change, a pattern of a fixed time of day fires once: at the time after the gap when its own is left out,
// at the first of two when it comes twice. Patterns that fire within the hour follow the time that passes.

import { Cron } from "croner";

import { invalidField } from "../base/errors.js";
import type { CronTimes } from "../core/feed/schedule.js";

/** Longest pattern, characters. */
const PATTERN_LENGTH_MAX = 256;

/** @param timezone IANA name; undefined for UTC. @throws invalidArgument */
export function readCron(pattern: string, timezone: string | undefined): CronTimes {
  if (timezone !== undefined && !isTimezone(timezone)) throw invalidField("timezone", "Invalid timezone.");
  if (pattern.length > PATTERN_LENGTH_MAX) {
    throw invalidField("cron", `longer than allowed: ${pattern.length} > ${PATTERN_LENGTH_MAX} characters`);
  }
  const fields = pattern.trim().split(/\s+/).length;
  if (!pattern.startsWith("@") && fields !== 5 && fields !== 6) {
    throw invalidField(
      "cron",
      `cron pattern '${pattern}' is not valid: it must have 5 fields, or 6 with seconds first`,
    );
  }
  let cron: Cron;
  try {
    cron = new Cron(pattern, { paused: true, timezone: timezone ?? "UTC", mode: "5-or-6-parts" });
  } catch (thrown) {
    throw invalidField("cron", `cron pattern '${pattern}' is not valid: ${(thrown as Error).message}`);
  }
  return {
    after: (wallMs) => cron.nextRun(new Date(wallMs))?.getTime(),
    latest: (count, wallMs) => {
      // croner's is not the reference itself, and times are whole seconds.
      const reference = new Date((Math.floor(wallMs / 1_000) + 1) * 1_000);
      return cron.previousRuns(count, reference).map((at) => at.getTime());
    },
  };
}

function isTimezone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
