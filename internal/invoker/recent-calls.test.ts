import { describe, expect, it } from "vitest";

import { Done, type Outcome, type StartKind } from "../gen/weft/link/v1/work.pb.js";
import { RecentCalls } from "./recent-calls.js";

const id = (text: string): string => text.padEnd(32, "-");
const done = (bytes = 2): Done => Done.create({ resultJson: Buffer.alloc(bytes) });

describe("recent calls", () => {
  it("forget the oldest when there are too many", () => {
    const recent = new RecentCalls(3);
    for (const text of ["a", "b", "c", "d"]) recent.add(id(text), done());
    expect([recent.find(id("a")), recent.find(id("b"))?.done?.resultJson.length, recent.size]).toEqual([
      undefined,
      2,
      3,
    ]);
  });

  it("give up old results before the fact that they ended", () => {
    const recent = new RecentCalls(10, 100);
    recent.add(id("a"), done(60));
    recent.add(id("b"), done(60));
    recent.add(id("c"), done(1_000));
    expect(recent.find(id("a"))).toEqual({ done: undefined });
    expect([recent.find(id("b"))?.done, recent.find(id("c"))?.done]).toEqual([undefined, undefined]);
    recent.add(id("d"), done(60));
    expect(recent.find(id("d"))?.done).toBeDefined();
  });

  it("keep the later of two ends of the same activation", () => {
    const recent = new RecentCalls(2);
    recent.add(id("a"), done(1));
    recent.add(id("a"), done(2));
    recent.add(id("b"), done(3));
    expect(recent.find(id("a"))?.done?.resultJson.length).toBe(2);
  });

  it("tell of each what was told at its end, however many there were", () => {
    const capacity = 700;
    const recent = new RecentCalls(capacity, 300_000);
    const all = Array.from({ length: 2_500 }, (_, n): Done => ({
      call: n,
      outcome: (1 + (n % 4)) as Outcome,
      resultJson: Buffer.from(`{"n":${n},"text":"${"x".repeat(n % 97 === 0 ? 70_000 : n % 300)}"}`),
      startWallMs: 1_790_000_000_000 + n,
      durationMs: n * 3,
      initMs: n % 3 === 0 ? n : undefined,
      waitMs: n % 7,
      timedOut: n % 5 === 0,
      resultSize: n * 11,
      reusable: n % 2 === 0,
      startKind: (1 + (n % 4)) as StartKind,
    }));
    for (const [n, done] of all.entries()) {
      recent.add(id(`id-${n}`), done);
      if (n % 250 !== 0) continue;
      // From here back: results until their bytes are too many, then facts, then nothing.
      let bytes = 0;
      for (let back = 0; back <= n; back += 1) {
        const before = all[n - back] as Done;
        bytes += before.resultJson.length;
        const found = recent.find(id(`id-${n - back}`));
        expect(found).toEqual(back >= capacity ? undefined : { done: bytes > 300_000 ? undefined : before });
      }
    }
    expect(recent.size).toBe(capacity);
    recent.forgetResults();
    expect(recent.find(id("id-2499"))).toEqual({ done: undefined });
    recent.add(id("again"), all[7] as Done);
    expect(recent.find(id("again"))).toEqual({ done: all[7] });
  });
});
