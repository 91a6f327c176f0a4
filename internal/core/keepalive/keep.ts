// How long an idle sandbox is kept: as long as what it saves is worth more than the memory that it takes. Keeping it for t
// costs
//
//   price · memory · E[min(gap, t)]  +  start cost · P(gap > t)
//
// and the best t is the end of one of the histogram's bins. Asked again for a sandbox that has been idle for a while, the
// answer is about those gaps that are longer than that: of many sandboxes of one action those that are used often stay,
// those that were needed once go.
//
// The price is what memory is worth on this invoker: it rises while idle sandboxes take more than their share, and falls
// while they take less.

import { GAP_BINS, GAP_EDGES_MS, GAP_MIDDLES_MS, type GapHistogram } from "./gap-histogram.js";

/** With fewer gaps nothing is known of an action. */
export const KNOWN_GAPS = 10;
/** Nothing is ended before: a burst is not over as soon as it pauses. */
export const KEEP_MS_MIN = 10_000;
const NOTHING = 1e-9;

export interface Keeping {
  readonly memoryMb: number;
  /** What its next start would take, ms. */
  readonly startCostMs: number;
  /** ms of starts that a MiB kept for a second must save. */
  readonly price: number;
  /** Idle so long already, ms. */
  readonly idleMs: number;
  /** Kept for no longer, ms. */
  readonly maxMs: number;
}

/** @returns how long it is to be idle in all before it ends, ms; not above `idleMs` when that is now */
export function keepMs(gaps: GapHistogram, { memoryMb, startCostMs, price, idleMs, maxMs }: Keeping): number {
  const floorMs = Math.min(KEEP_MS_MIN, maxMs);
  if (idleMs < floorMs) return floorMs;
  const first = GAP_EDGES_MS.findIndex((edge) => edge > idleMs);
  let later = 0; // P(gap > idle so far)
  for (let bin = first; bin < GAP_BINS; bin += 1) later += gaps.share(bin);
  if (later === 0) return idleMs; // it has never been called after so long
  const perMs = (price * memoryMb) / 1_000;
  let bestMs = idleMs;
  let bestCost = later * startCostMs;
  let heldCost = 0; // of gaps that end before t
  let left = later; // P(gap > t)
  for (let bin = first; bin < GAP_BINS - 1; bin += 1) {
    const edge = GAP_EDGES_MS[bin] ?? Infinity;
    if (edge > maxMs) break;
    const share = gaps.share(bin);
    left = Math.max(0, left - share);
    if (left < NOTHING) left = 0; // what subtraction leaves
    heldCost += share * perMs * Math.max(0, (GAP_MIDDLES_MS[bin] ?? 0) - idleMs);
    const cost = heldCost + left * (perMs * (edge - idleMs) + startCostMs);
    if (cost >= bestCost - NOTHING) continue;
    bestCost = cost;
    bestMs = edge;
  }
  return bestMs;
}

/** At this price ten minutes of 256 MiB are worth a start of half a second. */
export const PRICE_FIRST = 500 / (256 * 600);
export const PRICE_MIN = PRICE_FIRST / 256;
export const PRICE_MAX = PRICE_FIRST * 4_096;
/** What the price rises by in a minute while idle sandboxes take twice their share, as a power of e. */
const GAIN_PER_MINUTE = 1;
/** What a change of what idle sandboxes take does at once. */
const GAIN_AT_ONCE = 0.5;

/** Memory of idle sandboxes at a moment. */
export interface IdleMemory {
  /** What they take. */
  readonly idleMb: number;
  /** What they may take. */
  readonly shareMb: number;
}

/** The price after `elapsedMs`: a controller with a proportional and an integral part, on the logarithm of the price. */
export function nextPrice(price: number, before: IdleMemory, now: IdleMemory, elapsedMs: number): number {
  const error = errorOf(now);
  const change = GAIN_PER_MINUTE * error * (elapsedMs / 60_000) + GAIN_AT_ONCE * (error - errorOf(before));
  return Math.min(PRICE_MAX, Math.max(PRICE_MIN, price * Math.exp(change)));
}

/** -1 when nothing is idle, 0 at the share, 1 at twice the share. */
function errorOf({ idleMb, shareMb }: IdleMemory): number {
  return shareMb <= 0 ? 1 : Math.min(1, idleMb / shareMb - 1);
}
