import type { Random } from "./random.js";

export interface BackoffOptions {
  /** First pause, before jitter. */
  readonly firstMs: number;
  /** Longest pause, before jitter. */
  readonly maxMs: number;
}

/** Pauses between tries: they double up to a maximum, each with ±20 % of jitter so that a crowd does not march in step. */
export class Backoff {
  #tries = 0;

  constructor(
    private readonly options: BackoffOptions,
    private readonly random: Random,
  ) {}

  /** The next pause, milliseconds. */
  nextMs(): number {
    const plain = Math.min(this.options.maxMs, this.options.firstMs * 2 ** Math.min(this.#tries, 30));
    this.#tries += 1;
    return plain * (0.8 + 0.4 * this.random.next());
  }

  /** True when nothing failed since the last success. */
  get fresh(): boolean {
    return this.#tries === 0;
  }

  /** To be called after a success. */
  reset(): void {
    this.#tries = 0;
  }
}
