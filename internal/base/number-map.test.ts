import { describe, expect, it } from "vitest";

import { NumberMap } from "./number-map.js";
import { seededRandom } from "./random.js";

describe("a map of numbers", () => {
  it("does what a Map does, whatever comes and goes", () => {
    const random = seededRandom(7);
    const below = (n: number): number => Math.floor(random.next() * n);
    for (const [keys, factor] of [
      [8, 1],
      [40, 1],
      [300, 128],
      [5_000, 1_000_003],
    ] as const) {
      const map = new NumberMap<{ n: number }>();
      const model = new Map<number, { n: number }>();
      for (let n = 0; n < 20_000; n += 1) {
        const key = (below(keys) * factor) >>> 0;
        if (below(2) === 0) {
          map.set(key, { n });
          model.set(key, { n });
        } else {
          expect(map.delete(key)).toEqual(model.get(key));
          model.delete(key);
        }
        const other = (below(keys) * factor) >>> 0;
        expect(map.get(other)).toEqual(model.get(other));
        expect(map.size).toBe(model.size);
      }
      expect(map.entries()).toEqual([...model].sort(([a], [b]) => a - b));
      map.clear();
      expect([map.size, map.values(), map.get(0)]).toEqual([0, [], undefined]);
    }
  });

  it("takes every number of 32 bits", () => {
    const map = new NumberMap<{ at: number }>();
    const keys = [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];
    for (const at of keys) map.set(at, { at });
    expect(map.values().map(({ at }) => at)).toEqual(keys);
    for (const at of keys) expect(map.delete(at)).toEqual({ at });
    expect(map.size).toBe(0);
  });
});
