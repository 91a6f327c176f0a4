// Rates that are not a namespace's own: so many in a window of time, counted here and nowhere else. Pure: time comes with
// each question.
//
//   W1. A refused request counts as well: hammering does not help.
//   W2. Of several limits the request counts for each of them.

import { WeftError } from "../../base/errors.js";

export interface WindowLimit {
  /** Most in a window. */
  readonly rate: number;
  readonly windowMs: number;
}

/** What rates are kept by. An exact one over several processes can stand in its place. */
export interface Rates {
  /** @param key what is counted together. @returns why not */
  admit(key: string, limits: readonly WindowLimit[], nowWallMs: number): WeftError | undefined;
}

/** Looked through for windows that are over when this many are there, and at every doubling. */
const SWEEP_AT = 4_096;
/** Callers choose no keys, but there may be many: beyond this the oldest are forgotten, and start anew. */
const COUNTERS_MAX = 100_000;

interface Counter {
  count: number;
  readonly endsWallMs: number;
}

/** Counts in windows that begin at multiples of their length. */
export class WindowRates implements Rates {
  readonly #counters = new Map<string, Counter>();
  #sweepAt = SWEEP_AT;

  admit(key: string, limits: readonly WindowLimit[], nowWallMs: number): WeftError | undefined {
    let refused: WeftError | undefined;
    for (const { rate, windowMs } of limits) {
      const counter = this.#counter(`${windowMs}\n${key}`, windowMs, nowWallMs);
      counter.count += 1; // W1, W2
      if (counter.count <= rate || refused) continue;
      refused = new WeftError(
        "throttled",
        "API_RATE_LIMIT",
        `too many requests to this API (count: ${counter.count}, allowed: ${rate} in ${windowMs / 1_000} s)`,
        { retryAfterMs: Math.max(1, Math.ceil(counter.endsWallMs - nowWallMs)) },
      );
    }
    return refused;
  }

  get size(): number {
    return this.#counters.size;
  }

  #counter(key: string, windowMs: number, nowWallMs: number): Counter {
    const known = this.#counters.get(key);
    if (known && nowWallMs < known.endsWallMs) return known;
    if (this.#counters.size >= this.#sweepAt) this.#sweep(nowWallMs);
    const made = { count: 0, endsWallMs: (Math.floor(nowWallMs / windowMs) + 1) * windowMs };
    this.#counters.delete(key); // the youngest stand last
    this.#counters.set(key, made);
    return made;
  }

  #sweep(nowWallMs: number): void {
    for (const [key, { endsWallMs }] of this.#counters) if (nowWallMs >= endsWallMs) this.#counters.delete(key);
    if (this.#counters.size >= COUNTERS_MAX) {
      // Half of them at once: one by one, each new one would look through all.
      for (const key of this.#counters.keys()) {
        if (this.#counters.size <= COUNTERS_MAX / 2) break;
        this.#counters.delete(key);
      }
    }
    this.#sweepAt = Math.min(COUNTERS_MAX, Math.max(SWEEP_AT, this.#counters.size * 2));
  }
}
