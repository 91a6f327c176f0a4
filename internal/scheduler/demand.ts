// What a scheduler remembers of an action revision that somebody asked for: how it runs, and how its starts go.

import type { ActionAsk } from "../core/dispatch/call.js";
import { BurstBucket, nextUnknownLimit, UNKNOWN_LIMIT_FIRST, type ScaleDecision } from "../core/scaling/scale-out.js";
import { StartBreaker } from "../core/scaling/start-breaker.js";
import type { Order } from "./invoker-record.js";

/** Weight of the newest report in the mean service time. */
const SERVICE_WEIGHT = 0.3;

export interface DemandLimits {
  readonly startFailuresMax: number;
  readonly burstStarts: number;
  readonly burstPeriodMs: number;
}

export class Demand {
  readonly orders = new Map<number, Order>();
  readonly breaker: StartBreaker;
  readonly burst: BurstBucket;
  /** When each waiting dispatcher was last told that there is no room. */
  readonly toldNoRoom = new Map<string, number>();
  serviceMs = 0;
  unknownLimit = UNKNOWN_LIMIT_FIRST;
  /** The rule is not asked again before. */
  nextLookMonoMs = -Infinity;
  lastUsedMonoMs: number;
  lastDecision: ScaleDecision | undefined;

  constructor(
    public ask: ActionAsk,
    readonly shard: number,
    limits: DemandLimits,
    nowMonoMs: number,
  ) {
    this.breaker = new StartBreaker(limits.startFailuresMax);
    this.burst = new BurstBucket(limits.burstStarts, limits.burstPeriodMs, nowMonoMs);
    this.lastUsedMonoMs = nowMonoMs;
  }

  /** @param serviceMs mean at one dispatcher; 0 when it knows none */
  served(serviceMs: number): void {
    if (serviceMs <= 0) return;
    this.serviceMs = this.serviceMs === 0 ? serviceMs : this.serviceMs + SERVICE_WEIGHT * (serviceMs - this.serviceMs);
  }

  started(): void {
    this.breaker.succeeded();
    this.unknownLimit = nextUnknownLimit(this.unknownLimit);
  }
}
