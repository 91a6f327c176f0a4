import { describe, expect, it } from "vitest";

import { binOf, GAP_BINS, GAP_EDGES_MS, GAP_MIDDLES_MS, GapHistogram } from "./gap-histogram.js";
import { ActionHistories } from "./histories.js";
import { KEEP_MS_MIN, keepMs, nextPrice, PRICE_FIRST, PRICE_MAX, PRICE_MIN } from "./keep.js";

function gapsOf(...seconds: number[]): GapHistogram {
  const gaps = new GapHistogram();
  for (const one of seconds) gaps.add(one * 1_000);
  return gaps;
}

const HOUR = 3_600_000;
const of = { memoryMb: 256, startCostMs: 500, price: PRICE_FIRST, idleMs: KEEP_MS_MIN, maxMs: 4 * HOUR };

describe("a histogram of gaps", () => {
  it.each([
    [0, 0],
    [1_000, 0],
    [1_001, 1],
    [1_600, 1],
    [1_601, 2],
    [86_400_000, GAP_BINS - 1],
    [Infinity, GAP_BINS - 1],
  ])("puts %d ms into bin %d", (gapMs, bin) => {
    expect(binOf(gapMs)).toBe(bin);
  });

  it("has a middle inside of each bin", () => {
    for (let bin = 1; bin < GAP_BINS; bin += 1) {
      expect(GAP_MIDDLES_MS[bin]).toBeGreaterThan(GAP_EDGES_MS[bin - 1] ?? 0);
      expect(GAP_MIDDLES_MS[bin]).toBeLessThan(GAP_EDGES_MS[bin] ?? 0);
    }
  });

  it("lets what is long ago count less, and stays small", () => {
    const gaps = new GapHistogram();
    for (let i = 0; i < 1_000; i += 1) gaps.add(500);
    for (let i = 0; i < 300; i += 1) gaps.add(60_000);
    expect(gaps.share(0)).toBeLessThan(0.4);
    expect(gaps.count).toBeLessThanOrEqual(256);
    let sum = 0;
    for (let bin = 0; bin < GAP_BINS; bin += 1) sum += gaps.share(bin);
    expect(sum).toBeCloseTo(1);
  });

  it("of an action is remembered without a sandbox, of a bounded number of actions", () => {
    const histories = new ActionHistories(2);
    histories.of("a").gaps.add(1);
    histories.of("b");
    expect(histories.of("a").gaps.count).toBe(1);
    histories.of("c"); // b was asked for longest ago
    expect(histories.of("a").gaps.count).toBe(1);
  });
});

describe("the time that an idle sandbox is kept", () => {
  it.each<[name: string, gaps: GapHistogram, more: Partial<typeof of>, low: number, high: number]>([
    ["covers the gaps that there were", gapsOf(60, 60, 60, 60, 60), {}, 60_000, 110_000],
    [
      "covers a rare long gap only when that is worth it",
      gapsOf(...Array<number>(50).fill(20), 7_000),
      {},
      20_000,
      30_000,
    ],
    [
      "is longer for what starts slowly",
      gapsOf(...Array<number>(9).fill(20), 3_000),
      { startCostMs: 60_000 },
      3_000_000,
      5_000_000,
    ],
    ["is longer for what is small", gapsOf(1_500, 1_500), { memoryMb: 16 }, 1_500_000, 3_000_000],
    ["is nothing more when memory is dear", gapsOf(1_500, 1_500), { price: PRICE_MAX }, KEEP_MS_MIN, KEEP_MS_MIN],
    ["is not above its bound", gapsOf(3_000, 3_000), { startCostMs: 60_000, maxMs: 600_000 }, KEEP_MS_MIN, 600_000],
    ["is nothing more when it was never called after so long", gapsOf(1, 1, 1), {}, KEEP_MS_MIN, KEEP_MS_MIN],
    ["is at least the pause of a burst", gapsOf(1, 1, 1), { idleMs: 0 }, KEEP_MS_MIN, KEEP_MS_MIN],
    ["is its bound where that is less", gapsOf(1, 1, 1), { idleMs: 0, maxMs: 2_000 }, 2_000, 2_000],
    ["is nothing more when nothing is known", gapsOf(), {}, KEEP_MS_MIN, KEEP_MS_MIN],
  ])("%s", (_, gaps, more, low, high) => {
    const kept = keepMs(gaps, { ...of, ...more });
    expect(kept).toBeGreaterThanOrEqual(low);
    expect(kept).toBeLessThanOrEqual(high);
  });

  it("is the same however often it is asked while nothing happens", () => {
    const gaps = gapsOf(5, 20, 20, 60, 60, 60, 300, 300, 900, 4_000);
    const at = keepMs(gaps, of);
    for (let idleMs = KEEP_MS_MIN; idleMs < at; idleMs += 1_000) expect(keepMs(gaps, { ...of, idleMs })).toBe(at);
  });

  it("costs no more than any other time", () => {
    const shares: [gapMs: number, share: number][] = [
      [15_000, 0.5],
      [100_000, 0.3],
      [2_000_000, 0.2],
    ];
    const gaps = gapsOf(...shares.flatMap(([gapMs, share]) => Array<number>(share * 10).fill(gapMs / 1_000)));
    const cost = (t: number): number =>
      shares.reduce((sum, [gapMs, share]) => {
        const held = (Math.min(gapMs, t) / 1_000) * of.memoryMb * of.price;
        return sum + share * (held + (gapMs > t ? of.startCostMs : 0));
      }, 0);
    const best = keepMs(gaps, of);
    for (const t of [KEEP_MS_MIN, 30_000, 60_000, 200_000, 600_000, 3_000_000]) {
      expect(cost(best)).toBeLessThan(cost(t) * 1.1); // a bin is as wide as that
    }
  });
});

describe("the price of memory", () => {
  const at = (idleMb: number) => ({ idleMb, shareMb: 1_000 });

  it.each([
    ["rises while idle sandboxes take more than their share", 1_500, 1],
    ["falls while they take less", 500, -1],
    ["stays at the share", 1_000, 0],
  ])("%s", (_, idleMb, sign) => {
    expect(Math.sign(nextPrice(1, at(idleMb), at(idleMb), 60_000) - 1)).toBe(sign);
  });

  it("follows a change at once, and keeps to its bounds", () => {
    expect(nextPrice(1, at(1_000), at(1_800), 0)).toBeGreaterThan(1.3);
    let price = PRICE_FIRST;
    for (let i = 0; i < 100; i += 1) price = nextPrice(price, at(0), at(0), 60_000);
    expect(price).toBe(PRICE_MIN);
    for (let i = 0; i < 100; i += 1) price = nextPrice(price, at(9_000), at(9_000), 60_000);
    expect(price).toBe(PRICE_MAX);
    expect(nextPrice(1, { idleMb: 0, shareMb: 0 }, { idleMb: 0, shareMb: 0 }, 60_000)).toBeGreaterThan(1);
  });
});
