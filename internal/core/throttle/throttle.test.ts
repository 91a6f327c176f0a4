import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../test/harness/clock.js";
import type { NamespaceLimits } from "../tenancy/store.js";
import { Throttles, type NamespaceThrottle, type Verdict } from "./throttle.js";

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

describe("limits of all namespaces together", () => {
  const wide: NamespaceLimits = { invocationsPerMinute: 1_000, firesPerMinute: 1_000, concurrentInvocations: 1_000 };
  const of = (throttles: Throttles, ...names: string[]) => names.map((name) => throttles.of(name));

  it("bound what is in flight, whoever does it, and a refused call has no place of its namespace", () => {
    const throttles = new Throttles(new ManualClock(0), { concurrentInvocations: 3 });
    const [a, b] = of(throttles, "a", "b") as [NamespaceThrottle, NamespaceThrottle];
    expect([a, b, a].map((one) => atOnce(one.admitInvocation(wide)))).toEqual([undefined, undefined, undefined]);
    expect(atOnce(b.admitInvocation(wide))).toMatchObject({
      kind: "noCapacity",
      reason: "SYSTEM_CONCURRENCY_LIMIT",
      message: "the system is overloaded: there are too many requests in flight",
      retryAfterMs: 100,
    });
    expect([a.inFlight, b.inFlight]).toEqual([2, 1]);
    a.release(20);
    expect(atOnce(b.admitPlace(wide))).toBeUndefined();
    a.occupy();
    b.release();
    expect(atOnce(b.admitPlace(wide))).toMatchObject({ reason: "SYSTEM_CONCURRENCY_LIMIT" });
  });

  it("bound a minute's invocations; what a namespace is refused does not count there, and firings do not", () => {
    const clock = new ManualClock(0);
    const throttles = new Throttles(clock, { invocationsPerMinute: 4 });
    const [a, b] = of(throttles, "a", "b") as [NamespaceThrottle, NamespaceThrottle];
    const told = [a, a, a, a, a].map((one) => atOnce(one.admitRate({ ...wide, invocationsPerMinute: 2 }))?.reason);
    expect(told).toEqual([undefined, undefined, "RATE_LIMIT", "RATE_LIMIT", "RATE_LIMIT"]);
    expect(atOnce(b.admitFire(wide))).toBeUndefined();
    expect([b, b].map((one) => atOnce(one.admitInvocation(wide)))).toEqual([undefined, undefined]);
    clock.jumpWall(30_000);
    expect(atOnce(b.admitInvocation(wide))).toMatchObject({ reason: "SYSTEM_RATE_LIMIT", retryAfterMs: 30_000 });
    expect(b.inFlight).toBe(2);
    clock.jumpWall(30_000);
    expect(atOnce(b.admitInvocation(wide))).toBeUndefined();
  });

  it("refuse everything when they are 0, and nothing when they are not set", () => {
    const none = new Throttles(new ManualClock(0), { concurrentInvocations: 0 }).of("a");
    expect(atOnce(none.admitInvocation(wide))).toMatchObject({ kind: "noCapacity" });
    const all = new Throttles(new ManualClock(0)).of("a");
    expect(atOnce(all.admitInvocation(wide))).toBeUndefined();
  });
});
