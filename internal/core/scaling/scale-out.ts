// How many sandboxes to start for an action revision now. A fluid model of its queue, evaluated on events.
//
//   n  items waiting             S  service time        T  time until a start ordered now is ready
//   c  slots that are ready      λ  arrivals per ms     τ  time in which the backlog should be gone: max(T, 100 ms)
//   p  slots being started
//
//   backlog = max(0, n + λT − cT/S)          what waits when a start ordered now becomes ready
//   needed  = (backlog + λτ) · S/τ           slots that finish it, and what arrives meanwhile, within τ
//   ordered = needed − (c + p)               at most one per item that will exist by then
//
// So one lone call starts one sandbox, and a hundred calls of a short function start a few, not a hundred.

/** The backlog of a fast start is spread over this long at least: starts are not worth chasing milliseconds. */
const DRAIN_MS_MIN = 100;

export interface ScaleInput {
  /** n */
  readonly waiting: number;
  /** How long the longest waiting item had waited when its dispatcher last spoke of it. */
  readonly reportedWaitMs: number;
  /** c */
  readonly readySlots: number;
  /** p */
  readonly startingSlots: number;
  /** S; 0 when not known. */
  readonly serviceMs: number;
  /** λ, per second. */
  readonly arrivalsPerSecond: number;
  /** T */
  readonly startMs: number;
  /** Slots per sandbox. */
  readonly concurrency: number;
  /** Sandboxes of the action that exist or are being started. */
  readonly instances: number;
  /** 0 for no limit. */
  readonly maxInstances: number;
  /** While S is not known, at most so many sandboxes exist or start. */
  readonly unknownLimit: number;
  /** What the burst limit leaves. */
  readonly burstLeft: number;
}

export type ScaleReason =
  /** Nobody waits. */
  | "noneWaiting"
  /** What is there or on its way will do. */
  | "enough"
  /** The formula above. */
  | "backlog"
  /** One per waiting item, as long as nothing is known of the function. */
  | "unknownService"
  /** The queue's head has waited much longer than the slots should take: they count for nothing. */
  | "stuck"
  | "maxInstances"
  | "burst";

export interface ScaleDecision {
  readonly starts: number;
  /** What decided, or what cut it down. */
  readonly because: ScaleReason;
}

export function scaleOut(input: ScaleInput): ScaleDecision {
  const wanted = wantedStarts(input);
  if (wanted.starts <= 0) return wanted;
  const room = input.maxInstances === 0 ? Infinity : Math.max(0, input.maxInstances - input.instances);
  if (room < wanted.starts && room <= input.burstLeft) return { starts: room, because: "maxInstances" };
  const burst = Math.floor(input.burstLeft);
  if (burst < wanted.starts) return { starts: Math.max(0, burst), because: "burst" };
  return wanted;
}

function wantedStarts(input: ScaleInput): ScaleDecision {
  const { waiting: n, readySlots: c, startingSlots: p, serviceMs: S, startMs: T, concurrency } = input;
  if (n <= 0) return { starts: 0, because: "noneWaiting" };
  if (S <= 0) {
    const exists = (c + p) / concurrency;
    const starts = Math.min(Math.ceil((n - p) / concurrency), Math.floor(input.unknownLimit - exists));
    return starts > 0 ? { starts, because: "unknownService" } : { starts: 0, because: "enough" };
  }
  // A single arrival is no rate: what the window makes of it depends on when the window began.
  const arrivalsPerMs = n >= 2 ? input.arrivalsPerSecond / 1_000 : 0;
  const drainMs = Math.max(T, DRAIN_MS_MIN);
  // The forecast has failed when the head of the queue waits far longer than it: calls that hang are not in S.
  const stuck = c > 0 && input.reportedWaitMs > T + S + (n * S) / c;
  const useful = stuck ? 0 : c;
  if (useful > 0 && (n * S) / useful < T / 2) return { starts: 0, because: "enough" };

  const willExist = n + arrivalsPerMs * T;
  const backlog = Math.max(0, willExist - (useful * T) / S);
  const needed = Math.ceil(((backlog + arrivalsPerMs * drainMs) * S) / drainMs - 1e-9);
  const slots = Math.min(needed - (useful + p), Math.ceil(willExist) - p);
  if (slots <= 0) return { starts: 0, because: "enough" };
  return { starts: Math.ceil(slots / concurrency), because: stuck ? "stuck" : "backlog" };
}

/** Limits how fast one action may grow: `limit` starts per period, refilled evenly. */
export class BurstBucket {
  #left: number;
  #atMonoMs: number;

  constructor(
    private readonly limit: number,
    private readonly periodMs: number,
    nowMonoMs: number,
  ) {
    this.#left = limit;
    this.#atMonoMs = nowMonoMs;
  }

  left(nowMonoMs: number): number {
    const refill = ((nowMonoMs - this.#atMonoMs) / this.periodMs) * this.limit;
    this.#left = Math.min(this.limit, this.#left + Math.max(0, refill));
    this.#atMonoMs = nowMonoMs;
    return this.#left;
  }

  take(starts: number): void {
    this.#left -= starts;
  }
}

/** Starts without knowing the service time: so many sandboxes at first, twice as many for each that became ready. */
export const UNKNOWN_LIMIT_FIRST = 16;
const UNKNOWN_LIMIT_MAX = 65_536;

export function nextUnknownLimit(limit: number): number {
  return Math.min(UNKNOWN_LIMIT_MAX, limit * 2);
}
