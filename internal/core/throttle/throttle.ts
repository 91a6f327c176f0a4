// Throttles of a namespace as OpenWhisk's users know them: counters per calendar minute, and a bound on what is in
// flight. Pure: time comes with each question.
//
//   T1. A refused request counts as well: hammering does not help.
//   T2. What was admitted with admitInvocation is in flight until its one release.

import { WeftError } from "../../base/errors.js";
import type { NamespaceLimits } from "../tenancy/store.js";

const MINUTE_MS = 60_000;
/** A slot becomes free when some activation ends; nobody knows when. */
const CONCURRENT_RETRY_MS = 100;

/** Reasons of refusals. */
export const RATE_LIMIT = "RATE_LIMIT";
export const CONCURRENCY_LIMIT = "CONCURRENCY_LIMIT";

export class NamespaceThrottle {
  readonly #invocations = new MinuteCounter();
  readonly #fires = new MinuteCounter();
  #inFlight = 0;

  get inFlight(): number {
    return this.#inFlight;
  }

  /** @returns why not, or undefined: it is in flight until `release` (T2) */
  admitInvocation(limits: NamespaceLimits, nowWallMs: number): WeftError | undefined {
    const refused = this.#invocations.admit(limits.invocationsPerMinute, nowWallMs);
    if (refused) return refused;
    if (this.#inFlight >= limits.concurrentInvocations) {
      return new WeftError(
        "throttled",
        CONCURRENCY_LIMIT,
        `too many concurrent requests in flight (count: ${this.#inFlight}, allowed: ${limits.concurrentInvocations})`,
        { retryAfterMs: CONCURRENT_RETRY_MS },
      );
    }
    this.#inFlight += 1;
    return undefined;
  }

  release(): void {
    this.#inFlight -= 1;
  }

  /** @returns why not */
  admitFire(limits: NamespaceLimits, nowWallMs: number): WeftError | undefined {
    return this.#fires.admit(limits.firesPerMinute, nowWallMs);
  }

  /** True when forgetting it changes nothing. */
  idle(nowWallMs: number): boolean {
    return this.#inFlight === 0 && this.#invocations.over(nowWallMs) && this.#fires.over(nowWallMs);
  }
}

/** Counts what happens in a calendar minute. */
class MinuteCounter {
  #minute = -1;
  #count = 0;

  admit(allowed: number, nowWallMs: number): WeftError | undefined {
    const minute = Math.floor(nowWallMs / MINUTE_MS);
    if (minute !== this.#minute) {
      this.#minute = minute;
      this.#count = 0;
    }
    this.#count += 1; // T1
    if (this.#count <= allowed) return undefined;
    return new WeftError(
      "throttled",
      RATE_LIMIT,
      `too many requests in the last minute (count: ${this.#count}, allowed: ${allowed})`,
      { retryAfterMs: Math.ceil((minute + 1) * MINUTE_MS - nowWallMs) },
    );
  }

  over(nowWallMs: number): boolean {
    return Math.floor(nowWallMs / MINUTE_MS) !== this.#minute;
  }
}

/** Looked through for idle ones when this many are there, and at every doubling. */
const SWEEP_AT = 1_024;

/** The throttles of all namespaces that lately did something. */
export class Throttles {
  readonly #byNamespace = new Map<string, NamespaceThrottle>();
  #sweepAt = SWEEP_AT;

  of(namespace: string, nowWallMs: number): NamespaceThrottle {
    const known = this.#byNamespace.get(namespace);
    if (known) return known;
    if (this.#byNamespace.size >= this.#sweepAt) this.#sweep(nowWallMs);
    const made = new NamespaceThrottle();
    this.#byNamespace.set(namespace, made);
    return made;
  }

  get size(): number {
    return this.#byNamespace.size;
  }

  #sweep(nowWallMs: number): void {
    for (const [namespace, throttle] of this.#byNamespace) {
      if (throttle.idle(nowWallMs)) this.#byNamespace.delete(namespace);
    }
    this.#sweepAt = Math.max(SWEEP_AT, this.#byNamespace.size * 2);
  }
}
