import { describe, expect, it } from "vitest";

import { WindowRates } from "./window.js";

const MINUTE = { rate: 2, windowMs: 60_000 };

describe("rates in windows", () => {
  it("admit so many in a window, count what they refuse, and begin anew", () => {
    const rates = new WindowRates();
    expect([1, 2, 3, 4].map((n) => rates.admit("k", [MINUTE], 1_000 + n)?.message)).toEqual([
      undefined,
      undefined,
      "too many requests to this API (count: 3, allowed: 2 in 60 s)",
      "too many requests to this API (count: 4, allowed: 2 in 60 s)",
    ]);
    expect(rates.admit("k", [MINUTE], 59_999)).toMatchObject({ kind: "throttled", retryAfterMs: 1 });
    expect(rates.admit("k", [MINUTE], 60_000)).toBeUndefined();
  });

  it("count each key apart, and each limit", () => {
    const rates = new WindowRates();
    const both = [{ rate: 1, windowMs: 1_000 }, MINUTE];
    expect(rates.admit("a", both, 0)).toBeUndefined();
    expect(rates.admit("b", both, 0)).toBeUndefined();
    expect(rates.admit("a", both, 1)).toMatchObject({ retryAfterMs: 999 });
    expect(rates.admit("a", both, 1_000)).toMatchObject({ retryAfterMs: 59_000 });
    expect(rates.admit("a", [{ rate: 0, windowMs: 5_000 }], 0)).toBeDefined();
  });

  it("forget windows that are over, and at last the oldest", () => {
    const rates = new WindowRates();
    for (let n = 0; n < 5_000; n++) rates.admit(`old-${n}`, [MINUTE], 0);
    for (let n = 0; n < 5_000; n++) rates.admit(`new-${n}`, [MINUTE], 60_000);
    expect(rates.size).toBeLessThan(9_000);
    for (let n = 0; n < 120_000; n++) rates.admit(`more-${n}`, [MINUTE], 60_000);
    expect(rates.size).toBeLessThanOrEqual(100_000);
  });
});
