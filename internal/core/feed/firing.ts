// What becomes of an alarm that is due.

import { createHash } from "node:crypto";

import { bytesToHex, type ActivationId } from "../../base/ids.js";
import type { Alarm, AlarmReason } from "./alarm.js";
import { dueFiring, type ReadCron } from "./schedule.js";
import type { AlarmAfter } from "./store.js";

export interface AlarmFiring {
  /** When it was due. */
  readonly dueMs: number;
  /** Id of the trigger's activation. */
  readonly id: ActivationId;
  readonly after: AlarmAfter;
  /** True when older firings were left out. */
  readonly skipped: boolean;
}

/** @param alarm is due: its nextMs is not later than `wallMs` */
export function decideAlarm(alarm: Alarm, nextMs: number, wallMs: number, readCron: ReadCron): AlarmFiring {
  const { dueMs, nextMs: following, skipped } = dueFiring(alarm.schedule, alarm.trigger, nextMs, wallMs, readCron);
  return { dueMs, id: firingId(alarm, dueMs), after: afterFiring(alarm, dueMs, following, skipped, wallMs), skipped };
}

function afterFiring(
  alarm: Alarm,
  dueMs: number,
  following: number | undefined,
  skipped: boolean,
  wallMs: number,
): AlarmAfter {
  const { schedule } = alarm;
  if (schedule.kind === "once" && (schedule.deleteAfterFire ?? "false") !== "false") {
    return { kind: "deleted", withRules: schedule.deleteAfterFire === "rules" };
  }
  const fired = alarm.fired + 1;
  const end = endOf(alarm, fired, following);
  return {
    kind: "goesOn",
    fired,
    skips: alarm.skips + (skipped ? 1 : 0),
    lastMs: dueMs,
    nextMs: end === undefined ? following : undefined,
    status: end === undefined ? alarm.status : { active: false, changedWallMs: wallMs, reason: automatic(end) },
  };
}

/** Why it fires no more, in OpenWhisk's words; undefined when it does. */
function endOf({ schedule }: Alarm, fired: number, following: number | undefined): string | undefined {
  if (schedule.kind === "once") return "Automatically disabled after firing once";
  const { maxTriggers = -1 } = schedule;
  if (maxTriggers !== -1 && fired >= maxTriggers) return "Automatically disabled after reaching max triggers";
  return following === undefined
    ? `Automatically disabled after firing last scheduled ${schedule.kind} trigger`
    : undefined;
}

/** The alarm stops because it cannot fire: its key is no more. */
export function disabledAlarm(alarm: Alarm, statusCode: number, message: string, wallMs: number): Alarm {
  const reason = { ...automatic(`Trigger automatically disabled: ${message}`), statusCode };
  return { ...alarm, nextMs: undefined, status: { active: false, changedWallMs: wallMs, reason } };
}

function automatic(message: string): AlarmReason {
  return { kind: "AUTO", message };
}

/**
 * The same for the same alarm and firing, whoever makes it and however often.
 * @param rule key of a rule: the activation of its action; default: the trigger's
 */
export function firingId(alarm: Pick<Alarm, "id">, dueMs: number, rule = ""): ActivationId {
  const digest = createHash("sha256").update(`${alarm.id} ${dueMs} ${rule}`).digest();
  return (dueMs.toString(16).padStart(12, "0") + bytesToHex(digest.subarray(0, 10))) as ActivationId;
}
