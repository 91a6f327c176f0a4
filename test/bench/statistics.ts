// Ratios of pairs. Reference and Weft run alternately in the same minute, and each pair gives one ratio: what the machine
// did to both cancels out.

export interface Ratio {
  /** Median of the ratios of pairs. */
  readonly median: number;
  /** Least and greatest. */
  readonly spread: readonly [number, number];
  /** Medians of the two sides, in the row's unit. */
  readonly reference: number;
  readonly measured: number;
}

export interface Pair {
  readonly reference: number;
  readonly measured: number;
}

export function ratioOf(pairs: readonly Pair[]): Ratio {
  if (pairs.length === 0) throw new Error("a ratio needs at least one pair");
  const ratios = pairs.map((pair) => pair.measured / pair.reference).sort((a, b) => a - b);
  return {
    median: median(ratios),
    spread: [ratios[0] as number, ratios.at(-1) as number],
    reference: median(pairs.map((pair) => pair.reference)),
    measured: median(pairs.map((pair) => pair.measured)),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

/** The least value that so great a part of all is not above. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] as number;
}
