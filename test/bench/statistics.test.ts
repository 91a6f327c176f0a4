import { describe, expect, it } from "vitest";
import { median, quantile, ratioOf } from "./statistics.js";

describe("a ratio", () => {
  it("is the median of the ratios of pairs, not the ratio of medians", () => {
    const pairs = [
      { reference: 100, measured: 50 },
      { reference: 10, measured: 9 },
      { reference: 1, measured: 0.8 },
    ];
    expect(ratioOf(pairs)).toEqual({ median: 0.8, spread: [0.5, 0.9], reference: 10, measured: 9 });
  });

  it("needs a pair", () => {
    expect(() => ratioOf([])).toThrow("at least one pair");
  });
});

describe("a median", () => {
  it.each([
    [[3, 1, 2], 2],
    [[4, 1, 2, 3], 2.5],
    [[7], 7],
  ])("of %j is %d", (values, expected) => {
    expect(median(values)).toBe(expected);
  });
});

describe("a quantile", () => {
  it.each([
    [[3, 1, 2], 0.5, 2],
    [[3, 1, 2], 0.99, 3],
    [Array.from({ length: 100 }, (_, i) => i + 1), 0.99, 99],
    [[7], 0.01, 7],
  ])("of %j at %d is %d", (values, part, expected) => {
    expect(quantile(values, part)).toBe(expected);
  });
});
