import { describe, expect, it } from "vitest";

import {
  BurstBucket,
  nextUnknownLimit,
  scaleOut,
  UNKNOWN_LIMIT_FIRST,
  type ScaleInput,
  type ScaleReason,
} from "./scale-out.js";
import { StartBreaker } from "./start-breaker.js";

function input(more: Partial<ScaleInput> = {}): ScaleInput {
  return {
    waiting: 1,
    reportedWaitMs: 0,
    readySlots: 0,
    startingSlots: 0,
    serviceMs: 0,
    arrivalsPerSecond: 0,
    startMs: 500,
    concurrency: 1,
    instances: 0,
    maxInstances: 0,
    unknownLimit: UNKNOWN_LIMIT_FIRST,
    burstLeft: 1_000,
    ...more,
  };
}

describe("the scale-out rule", () => {
  it.each<[string, Partial<ScaleInput>, number, ScaleReason]>([
    ["starts nothing for nobody", { waiting: 0 }, 0, "noneWaiting"],
    ["starts one for a lone cold call of an unknown function", {}, 1, "unknownService"],
    ["starts one for a lone cold call of a known function", { serviceMs: 10 }, 1, "backlog"],
    [
      "starts one for a lone call whose arrival looks like a rate",
      { serviceMs: 200, arrivalsPerSecond: 20 },
      1,
      "backlog",
    ],
    ["starts no second one while the first is on its way", { startingSlots: 1 }, 0, "enough"],
    ["starts no second one of a known function either", { serviceMs: 10, startingSlots: 1 }, 0, "enough"],
    ["starts one each for a few calls of an unknown function", { waiting: 5 }, 5, "unknownService"],
    ["starts at most sixteen of an unknown function at first", { waiting: 100 }, 16, "unknownService"],
    ["starts more of it once some are ready", { waiting: 100, readySlots: 16, unknownLimit: 64 }, 48, "unknownService"],
    ["starts two for a hundred short calls", { waiting: 100, serviceMs: 10 }, 2, "backlog"],
    ["starts one each for long calls", { waiting: 8, serviceMs: 10_000 }, 8, "backlog"],
    [
      "starts none when the present slots are through before a start",
      { waiting: 10, readySlots: 2, serviceMs: 10 },
      0,
      "enough",
    ],
    ["starts some when they are not", { waiting: 100, readySlots: 2, serviceMs: 50 }, 6, "backlog"],
    ["counts arrivals until the start is ready", { waiting: 2, arrivalsPerSecond: 100, serviceMs: 100 }, 21, "backlog"],
    ["starts by sandboxes, not slots", { waiting: 10, concurrency: 4 }, 3, "unknownService"],
    ["keeps to the limit of instances", { waiting: 9, maxInstances: 3, instances: 1 }, 2, "maxInstances"],
    ["starts none at the limit", { waiting: 9, maxInstances: 3, instances: 3 }, 0, "maxInstances"],
    ["keeps to the burst", { waiting: 9, burstLeft: 4.7 }, 4, "burst"],
    [
      "does not believe slots that let the head wait",
      { readySlots: 3, serviceMs: 5, reportedWaitMs: 2_000 },
      1,
      "stuck",
    ],
  ])("%s", (_name, more, starts, because) => {
    expect(scaleOut(input(more))).toEqual({ starts, because });
  });

  it("never orders more than one slot per item that will exist", () => {
    for (let waiting = 1; waiting < 200; waiting += 7) {
      for (const serviceMs of [0, 1, 30, 900, 30_000]) {
        const { starts } = scaleOut(input({ waiting, serviceMs, unknownLimit: 10_000 }));
        expect(starts).toBeLessThanOrEqual(waiting);
        expect(starts).toBeGreaterThan(0);
      }
    }
  });

  it("does not order again what it has just ordered", () => {
    for (const serviceMs of [0, 5, 80, 2_000]) {
      const first = scaleOut(input({ waiting: 40, serviceMs }));
      const second = scaleOut(input({ waiting: 40, serviceMs, startingSlots: first.starts, instances: first.starts }));
      expect(second.starts).toBe(0);
    }
  });
});

describe("the burst limit", () => {
  it("is used up, and comes back evenly", () => {
    const bucket = new BurstBucket(1_000, 10_000, 0);
    bucket.take(1_000);
    expect(bucket.left(0)).toBe(0);
    expect(bucket.left(1_000)).toBe(100);
    expect(bucket.left(60_000)).toBe(1_000);
  });

  it("for unknown functions doubles with each that became ready", () => {
    expect(nextUnknownLimit(nextUnknownLimit(16))).toBe(64);
  });
});

describe("the breaker of starts", () => {
  it("pauses longer after each failure and is open after so many in a row", () => {
    const breaker = new StartBreaker(3);
    expect(breaker.verdict(0)).toEqual({ kind: "closed" });
    breaker.failed("no image", 0, 10, 0.5);
    expect(breaker.verdict(10)).toEqual({ kind: "pause", leftMs: 200 });
    expect(breaker.verdict(210)).toEqual({ kind: "probe" });
    breaker.failed("no image", 210, 220, 0.5);
    expect(breaker.verdict(220)).toEqual({ kind: "pause", leftMs: 400 });
    expect(breaker.open).toBe(false);
    breaker.failed("still no image", 700, 710, 0.5);
    expect([breaker.open, breaker.message, breaker.failures]).toEqual([true, "still no image", 3]);
    breaker.succeeded();
    expect([breaker.open, breaker.verdict(720).kind]).toEqual([false, "closed"]);
  });

  it("spreads its pauses by chance", () => {
    for (const [chance, leftMs] of [
      [0, 150],
      [1, 250],
    ] as const) {
      const breaker = new StartBreaker(3);
      breaker.failed("no image", 0, 10, chance);
      expect(breaker.verdict(10)).toEqual({ kind: "pause", leftMs });
    }
  });

  it("counts starts that were ordered together as one failure", () => {
    const breaker = new StartBreaker(3);
    for (let i = 0; i < 16; i++) breaker.failed("no image", 0, 10 + i, 0.5);
    expect(breaker.failures).toBe(1);
  });
});
