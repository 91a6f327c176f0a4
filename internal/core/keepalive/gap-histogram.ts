// How long sandboxes of an action wait for their next call: 24 bins of two bytes, so that a million actions take 48 MB.
// What is long ago counts less and less.

/** Bin i > 0 holds gaps above EDGE^(i - 1) and up to EDGE^i seconds: 1 s, 1.6 s, 2.6 s … 13 h, and all that is longer. */
const EDGE = 1.6;
export const GAP_BINS = 24;
/** A gap counts so much when it is new. */
const UNIT = 64;
/** With so many gaps all of them lose half of their weight. */
const GAPS_MAX = 256;

/** Upper ends of the bins, ms; the last is open. */
export const GAP_EDGES_MS: readonly number[] = Array.from({ length: GAP_BINS }, (_, i) =>
  i === GAP_BINS - 1 ? Infinity : 1_000 * EDGE ** i,
);
/** A gap of the bin, ms. */
export const GAP_MIDDLES_MS: readonly number[] = GAP_EDGES_MS.map((_, i) =>
  i === 0 ? 500 : 1_000 * EDGE ** (i - 0.5),
);

export class GapHistogram {
  readonly #bins = new Uint16Array(GAP_BINS);
  #total = 0;

  /** Gaps that are remembered, weighted. */
  get count(): number {
    return this.#total / UNIT;
  }

  add(gapMs: number): void {
    const bin = binOf(gapMs);
    this.#bins[bin] = (this.#bins[bin] ?? 0) + UNIT;
    this.#total += UNIT;
    if (this.#total > GAPS_MAX * UNIT) this.#fade();
  }

  /** Share of the gaps in a bin, 0 to 1. */
  share(bin: number): number {
    return this.#total === 0 ? 0 : (this.#bins[bin] ?? 0) / this.#total;
  }

  #fade(): void {
    this.#total = 0;
    for (let bin = 0; bin < GAP_BINS; bin += 1) {
      const half = (this.#bins[bin] ?? 0) >> 1;
      this.#bins[bin] = half;
      this.#total += half;
    }
  }
}

export function binOf(gapMs: number): number {
  if (gapMs <= 1_000) return 0;
  return Math.min(GAP_BINS - 1, Math.ceil(Math.log(gapMs / 1_000) / Math.log(EDGE) - 1e-9));
}
