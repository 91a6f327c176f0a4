// Keeps a revision whose sandboxes cannot be started from being tried over and over: pauses that double, one try at a
// time, and after so many failures in a row whoever waits is told why.

const PAUSE_FIRST_MS = 200;
const PAUSE_MAX_MS = 30_000;
/** A pause is longer or shorter by up to so much of it: what fails for the same reason is not tried at the same moment. */
const JITTER = 0.25;

export type BreakerVerdict =
  | { readonly kind: "closed" }
  /** One start may be tried, if none is on its way. */
  | { readonly kind: "probe" }
  | { readonly kind: "pause"; readonly leftMs: number };

export class StartBreaker {
  #failures = 0;
  #pausedUntilMonoMs = -Infinity;
  #lastFailureMonoMs = -Infinity;
  #message = "";

  /** @param failuresMax after so many in a row waiters are refused */
  constructor(private readonly failuresMax: number) {}

  get failures(): number {
    return this.#failures;
  }

  /** What the last failure said. */
  get message(): string {
    return this.#message;
  }

  /** True when waiters should be told that sandboxes cannot be started. */
  get open(): boolean {
    return this.#failures >= this.failuresMax;
  }

  verdict(nowMonoMs: number): BreakerVerdict {
    if (this.#failures === 0) return { kind: "closed" };
    const leftMs = this.#pausedUntilMonoMs - nowMonoMs;
    return leftMs > 0 ? { kind: "pause", leftMs } : { kind: "probe" };
  }

  /**
   * @param orderedMonoMs when the start was ordered: those ordered before the last failure fail together with it
   * @param chance between 0 and 1
   */
  failed(message: string, orderedMonoMs: number, nowMonoMs: number, chance: number): void {
    if (orderedMonoMs <= this.#lastFailureMonoMs) return;
    this.#lastFailureMonoMs = nowMonoMs;
    const evenMs = Math.min(PAUSE_MAX_MS, PAUSE_FIRST_MS * 2 ** Math.min(this.#failures, 20));
    const pauseMs = evenMs * (1 + JITTER * (2 * chance - 1));
    this.#failures += 1;
    this.#message = message;
    this.#pausedUntilMonoMs = Math.max(this.#pausedUntilMonoMs, nowMonoMs + pauseMs);
  }

  succeeded(): void {
    this.#failures = 0;
    this.#message = "";
    this.#pausedUntilMonoMs = -Infinity;
  }
}
