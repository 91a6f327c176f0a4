// What becomes of a request whose attempt was started but whose record is not there.

import type { DoneResult } from "../dispatch/call.js";
import type { Attempt } from "./store.js";

/** A durable request is given up this long after it was accepted: nobody waits for it any more. */
export const REQUEST_AGE_MS_MAX = 24 * 60 * 60 * 1_000;

/** True when a request may no longer be started. */
export function tooOld(acceptedWallMs: number, wallMs: number): boolean {
  return wallMs - acceptedWallMs >= REQUEST_AGE_MS_MAX;
}

export interface Unsettled {
  readonly attempt: Attempt;
  /** How it ended, when the dispatcher heard of it. */
  readonly done: DoneResult | undefined;
  /** Since when its record is missing, monotonic. */
  readonly sinceMonoMs: number;
}

export type FateStep =
  /** The invoker has the record and will send it: nothing to do. */
  | { readonly kind: "wait" }
  /** The invoker is alive and can say. */
  | { readonly kind: "ask" }
  /** The invoker died with the record. */
  | { readonly kind: "recordResult"; readonly done: DoneResult }
  | { readonly kind: "recordLoss" };

/**
 * A record that an invoker sent just before it died is on its way or being stored: what is known otherwise is written
 * only after this long, because the first record of an id stays.
 */
export const LAST_WORDS_MS = 1_000;

/** @param goneMonoMs since when the invoker's boot is not among the members; undefined while it is */
export function decideFate(unsettled: Unsettled, goneMonoMs: number | undefined, nowMonoMs: number): FateStep {
  const { done, sinceMonoMs } = unsettled;
  if (goneMonoMs === undefined) return done ? { kind: "wait" } : { kind: "ask" };
  if (nowMonoMs - Math.max(goneMonoMs, sinceMonoMs) < LAST_WORDS_MS) return { kind: "wait" };
  return done ? { kind: "recordResult", done } : { kind: "recordLoss" };
}
