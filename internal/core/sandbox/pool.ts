// What an invoker does with its memory: which idle sandboxes make room, how many stem cells it keeps, when a sandbox
// freezes or ends for want of calls. Pure: snapshots in, decisions out.

import type { SandboxState } from "./state.js";

/** A sandbox as far as the pool cares. */
export interface Pooled {
  readonly state: SandboxState;
  readonly memoryMb: number;
  readonly running: number;
  /** False while it must not be ended: it was just made for somebody who has not called yet, or ends already. */
  readonly evictable: boolean;
  /** Greedy-dual priority as of its last use: see `priorityOf`. */
  readonly priority: number;
  /** When its last call ended, or it became ready; monotonic. */
  readonly idleSinceMonoMs: number;
}

/**
 * Greedy-dual: what it is worth to keep a sandbox. The clock is the priority of what was evicted last, so that what is
 * not used again falls behind whatever is used later; a frequent and slow-starting small one stays longest.
 */
export function priorityOf(clock: number, calls: number, startCostMs: number, memoryMb: number): number {
  return clock + (Math.max(1, calls) * Math.max(1, startCostMs)) / Math.max(1, memoryMb);
}

export function isIdle(sandbox: Pooled): boolean {
  return sandbox.running === 0 && (sandbox.state === "warm" || sandbox.state === "frozen" || sandbox.state === "stem");
}

/** Memory that ending idle sandboxes would free, MiB. */
export function evictableMb(sandboxes: Iterable<Pooled>): number {
  let sum = 0;
  for (const sandbox of sandboxes) if (sandbox.evictable && isIdle(sandbox)) sum += sandbox.memoryMb;
  return sum;
}

export interface Room<S> {
  /** To be ended, the least valuable first. */
  readonly victims: readonly S[];
  /** The clock after it. */
  readonly clock: number;
}

/**
 * Which idle sandboxes to end so that `needMb` fit.
 * @returns undefined when there is no room even then
 */
export function makeRoom<S extends Pooled>(
  sandboxes: Iterable<S>,
  needMb: number,
  freeMb: number,
  clock: number,
): Room<S> | undefined {
  if (needMb <= freeMb) return { victims: [], clock };
  const idle = [...sandboxes].filter((s) => s.evictable && isIdle(s));
  // Equal worth: the one that idled longest.
  idle.sort((a, b) => a.priority - b.priority || a.idleSinceMonoMs - b.idleSinceMonoMs);
  const victims: S[] = [];
  let freed = freeMb;
  for (const sandbox of idle) {
    victims.push(sandbox);
    freed += sandbox.memoryMb;
    if (freed < needMb) continue;
    // A large victim at the end may make smaller ones before it unnecessary.
    const spared = victims.filter((victim) => {
      if (freed - victim.memoryMb < needMb) return false;
      freed -= victim.memoryMb;
      return true;
    });
    const ended = victims.filter((victim) => !spared.includes(victim));
    return { victims: ended, clock: ended.reduce((high, victim) => Math.max(high, victim.priority), clock) };
  }
  return undefined;
}

export interface IdleTimes {
  /** Idle for so long: its processes are stopped. Infinity: never. */
  readonly freezeAfterMs: number;
  /** Idle for so long: it ends. */
  readonly idleTimeoutMs: number;
}

/** What becomes of a sandbox for want of calls. Stem cells wait for as long as it takes. */
export function idleAction(sandbox: Pooled, nowMonoMs: number, times: IdleTimes): "keep" | "freeze" | "end" {
  if (sandbox.running > 0 || (sandbox.state !== "warm" && sandbox.state !== "frozen")) return "keep";
  const idleMs = nowMonoMs - sandbox.idleSinceMonoMs;
  if (idleMs >= times.idleTimeoutMs) return "end";
  if (sandbox.state === "warm" && idleMs >= times.freezeAfterMs) return "freeze";
  return "keep";
}

/** Stem cells of one kind and memory class. */
export interface StemPolicy {
  /** Kept even when nobody asks. */
  readonly min: number;
  readonly max: number;
}

/** Windows of demand that are looked at: more than a hundred, so that a single burst is none of the usual. */
export const STEM_WINDOWS = 128;

/**
 * How many stem cells to keep: enough for all but one in a hundred of the windows, where a window is the time that
 * making new ones takes.
 * @param startsPerWindow starts of the class in recent windows
 */
export function stemTarget(policy: StemPolicy, startsPerWindow: readonly number[]): number {
  const sorted = [...startsPerWindow].sort((a, b) => a - b);
  const p99 = sorted[Math.max(0, Math.ceil(sorted.length * 0.99) - 1)] ?? 0;
  return Math.min(policy.max, Math.max(policy.min, p99));
}

/** After a stem cell was taken none is made for so long: making one takes the processors that its call needs now. */
const REFILL_AFTER_MS = 100;
/** Takers that follow each other do not put it off for longer. */
const REFILL_WITHIN_MS = 500;

/** Stem cells that were taken since the last were made. */
export interface StemsTaken {
  readonly firstMonoMs: number;
  readonly lastMonoMs: number;
}

/** One more is taken. */
export function stemTaken(before: StemsTaken | undefined, nowMonoMs: number): StemsTaken {
  return { firstMonoMs: before?.firstMonoMs ?? nowMonoMs, lastMonoMs: nowMonoMs };
}

/** When what was taken may be made anew; monotonic. */
export function refillDueMonoMs({ firstMonoMs, lastMonoMs }: StemsTaken): number {
  return Math.min(lastMonoMs + REFILL_AFTER_MS, firstMonoMs + REFILL_WITHIN_MS);
}

/**
 * How many stem cells to start now. They take only memory that is free and only their share of it: they never push out
 * what is loaded.
 */
export function stemShortage(options: {
  readonly target: number;
  /** Ready and being made. */
  readonly present: number;
  readonly memoryMb: number;
  readonly freeMb: number;
  /** Memory that all stem cells may still take, MiB. */
  readonly shareLeftMb: number;
}): number {
  const wanted = options.target - options.present;
  const fits = Math.floor(Math.min(options.freeMb, options.shareLeftMb) / options.memoryMb);
  return Math.max(0, Math.min(wanted, fits));
}
