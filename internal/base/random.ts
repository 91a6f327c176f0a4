/** Chance as an argument: ids, jitter and tie-breaks take it, so that a seed is a bug report. */
export interface Random {
  /** Between 0 (included) and 1 (excluded). */
  next(): number;
  /** `size` bytes; unpredictable in the system's implementation. */
  bytes(size: number): Uint8Array;
}

/** The same sequence for the same seed (mulberry32, public domain by Tommy Ettinger). For tests and simulation only. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    next,
    bytes: (size) => Uint8Array.from({ length: size }, () => Math.floor(next() * 256)),
  };
}
