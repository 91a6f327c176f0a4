// When a process may believe that it still holds its lease. The store's clock for the lease starts when it handles a
// keep-alive, which is never before the keep-alive was sent; so what was *sent* at t and answered holds at least until
// t + TTL, whenever the answer comes. A margin lets the two clocks run apart and gives commands time to arrive.
//
//   G1. held() turns false before the lease can have run out, also when the process was stopped meanwhile: the
//       monotonic clock goes on, and an answer that lay unread counts from when its question was sent.
//   G2. An answer never shortens what an earlier one gave.

/** Share of the TTL kept as margin: clocks drift by far less, pauses between check and act by more. */
const MARGIN_OF_TTL = 0.2;
/** The margin ends here, however slow answers were: one slow answer does not switch off a healthy lease. */
const MARGIN_OF_TTL_MAX = 0.5;
/** A keep-alive is sent this often within a TTL: three may be lost. */
const KEEP_ALIVES_PER_TTL = 4;
/** Of so many answers the slowest counts. */
const ROUND_TRIPS_KEPT = 64;

export class LeaseGuard {
  readonly #roundTrips: number[] = [];
  #ttlMs: number;
  #sentMonoMs: number;

  /** Starts with the grant, which counts as the first keep-alive. */
  constructor(ttlMs: number, sentMonoMs: number, nowMonoMs: number) {
    this.#ttlMs = ttlMs;
    this.#sentMonoMs = sentMonoMs;
    this.#roundTrips.push(nowMonoMs - sentMonoMs);
  }

  /** A keep-alive that was sent at `sentMonoMs` was answered. */
  acknowledged(sentMonoMs: number, nowMonoMs: number, ttlMs: number): void {
    this.#roundTrips.push(Math.max(0, nowMonoMs - sentMonoMs));
    if (this.#roundTrips.length > ROUND_TRIPS_KEPT) this.#roundTrips.shift();
    if (sentMonoMs < this.#sentMonoMs) return; // G2
    this.#sentMonoMs = sentMonoMs;
    this.#ttlMs = ttlMs;
  }

  held(nowMonoMs: number): boolean {
    return nowMonoMs < this.heldUntilMonoMs; // G1
  }

  get heldUntilMonoMs(): number {
    return this.#sentMonoMs + this.#ttlMs - this.marginMs;
  }

  get marginMs(): number {
    const slowest = Math.max(...this.#roundTrips);
    return Math.min(this.#ttlMs * MARGIN_OF_TTL_MAX, this.#ttlMs * MARGIN_OF_TTL + slowest);
  }

  get keepAliveEveryMs(): number {
    return this.#ttlMs / KEEP_ALIVES_PER_TTL;
  }
}
