import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../test/harness/clock.js";
import type { NamespaceLimits } from "../tenancy/store.js";
import { Throttles, type Verdict } from "./throttle.js";

const MINUTE = 60_000;
const limits: NamespaceLimits = { invocationsPerMinute: 3, firesPerMinute: 2, concurrentInvocations: 2 };

type Step =
  | { readonly at: number; /** "admitted", or why not. */ readonly invoke: string; readonly retryAfterMs?: number }
  | { readonly at: number; readonly fire: string; readonly retryAfterMs?: number }
  | { readonly release: true };

/** What is told at once, as it is when nobody is asked. */
function atOnce(verdict: Verdict | Promise<Verdict>): Verdict {
  if (verdict instanceof Promise) throw new Error("nobody was to be asked");
  return verdict;
}

function run(steps: readonly Step[], given: NamespaceLimits = limits): void {
  const clock = new ManualClock(0);
  const throttle = new Throttles(clock).of("ns");
  for (const step of steps) {
    if ("release" in step) {
      throttle.release();
      continue;
    }
    clock.jumpWall(step.at - clock.wallMs());
    const refused = atOnce("invoke" in step ? throttle.admitInvocation(given) : throttle.admitFire(given));
    expect([step.at, refused?.message ?? "admitted"]).toEqual([step.at, "invoke" in step ? step.invoke : step.fire]);
    if (step.retryAfterMs !== undefined) expect(refused?.retryAfterMs).toBe(step.retryAfterMs);
    if (refused) expect(refused.kind).toBe("throttled");
  }
}

describe("the throttle of a namespace", () => {
  const release = { release: true } as const;
  const table: readonly (readonly [string, readonly Step[], NamespaceLimits?])[] = [
    [
      "admits up to the rate and then says how many there were, and when the minute is over",
      [
        { at: 10_000, invoke: "admitted" },
        release,
        { at: 10_001, invoke: "admitted" },
        release,
        { at: 10_002, invoke: "admitted" },
        release,
        { at: 45_000, invoke: "too many requests in the last minute (count: 4, allowed: 3)", retryAfterMs: 15_000 },
        { at: 46_000, invoke: "too many requests in the last minute (count: 5, allowed: 3)", retryAfterMs: 14_000 },
      ],
    ],
    [
      "starts anew with each calendar minute",
      [
        { at: MINUTE - 1, fire: "admitted" },
        { at: MINUTE - 1, fire: "admitted" },
        { at: MINUTE - 1, fire: "too many requests in the last minute (count: 3, allowed: 2)", retryAfterMs: 1 },
        { at: MINUTE, fire: "admitted" },
      ],
    ],
    [
      "starts anew when the clock is set back",
      [
        { at: 5 * MINUTE, fire: "admitted" },
        { at: 5 * MINUTE, fire: "admitted" },
        { at: MINUTE, fire: "admitted" },
      ],
    ],
    [
      "bounds what is in flight until it is released",
      [
        { at: 0, invoke: "admitted" },
        { at: 0, invoke: "admitted" },
        { at: 0, invoke: "too many concurrent requests in flight (count: 2, allowed: 2)", retryAfterMs: 100 },
        release,
        { at: MINUTE, invoke: "admitted" },
      ],
    ],
    [
      "counts invocations and firings apart",
      [
        { at: 0, fire: "admitted" },
        { at: 0, fire: "admitted" },
        { at: 0, invoke: "admitted" },
      ],
    ],
    [
      "refuses everything at 0 a minute",
      [
        { at: 0, invoke: "too many requests in the last minute (count: 1, allowed: 0)" },
        { at: 0, fire: "too many requests in the last minute (count: 1, allowed: 0)" },
      ],
      { invocationsPerMinute: 0, firesPerMinute: 0, concurrentInvocations: 1 },
    ],
    [
      "refuses everything at 0 in flight",
      [{ at: 0, invoke: "too many concurrent requests in flight (count: 0, allowed: 0)", retryAfterMs: 100 }],
      { invocationsPerMinute: 1, firesPerMinute: 1, concurrentInvocations: 0 },
    ],
  ];
  for (const [what, steps, given] of table) {
    it(what, () => {
      run(steps, given);
    });
  }
});

describe("when a place is free again", () => {
  it("is guessed from how long calls take and how many there are", () => {
    const clock = new ManualClock(0);
    const throttle = new Throttles(clock).of("ns");
    const given = { ...limits, invocationsPerMinute: 100, concurrentInvocations: 4 };
    atOnce(throttle.admitInvocation(given));
    throttle.release(2_000);
    for (let i = 0; i < 4; i++) expect(atOnce(throttle.admitInvocation(given))).toBeUndefined();
    expect(atOnce(throttle.admitInvocation(given))).toMatchObject({ retryAfterMs: 500 });
  });
});

describe("the throttles of all namespaces", () => {
  it("are the same for the same namespace and forget only those that are idle", () => {
    const clock = new ManualClock(0);
    const throttles = new Throttles(clock);
    const busy = throttles.of("busy");
    void busy.admitInvocation(limits);
    for (let i = 0; i < 3_000; i++) {
      if (i === 1_500) clock.jumpWall(MINUTE);
      void throttles.of(`n${i}`).admitFire(limits);
    }
    expect(throttles.of("busy")).toBe(busy);
    expect(atOnce(throttles.of("n2999").admitFire(limits))).toBeUndefined();
    expect(atOnce(throttles.of("n2999").admitFire(limits))).toMatchObject({ reason: "RATE_LIMIT" });
    expect(throttles.size).toBeLessThan(2_600);
  });
});
