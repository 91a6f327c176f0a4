import { describe, expect, it } from "vitest";
import { ManualClock } from "../../test/harness/clock.js";
import { Waits } from "./waits.js";

describe("waits", () => {
  it("expire within a tick of their time, in one timer, unless they are taken back", () => {
    const clock = new ManualClock();
    const waits = new Waits(clock);
    const expired: [string, number][] = [];
    const add = (name: string, ms: number): (() => void) => {
      const wait = { expired: () => expired.push([name, clock.monoMs()]) };
      const tick = waits.add(wait, ms);
      return () => {
        waits.remove(wait, tick);
      };
    };
    add("a", 25);
    add("b", 100);
    const takeBack = add("c", 50);
    add("zero", 0);
    expect(clock.pending).toBe(1);
    clock.advance(30);
    takeBack();
    clock.advance(1_000);
    for (const [name, at] of [
      ["zero", 0],
      ["a", 25],
      ["b", 100],
    ] as const) {
      const seen = expired.find(([n]) => n === name)?.[1] ?? Infinity;
      expect([name, seen >= at && seen <= at + 20]).toEqual([name, true]);
    }
    expect(expired).toHaveLength(3);
    expect(waits.size).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it("expire all when the process was asleep", () => {
    let now = 0;
    let timer = (): void => {};
    const waits = new Waits({ wallMs: () => now, monoMs: () => now, after: (_ms, act) => ((timer = act), () => {}) });
    let expired = 0;
    for (let i = 0; i < 100; i++) waits.add({ expired: () => (expired += 1) }, i * 10);
    now = 3_600_000;
    timer();
    expect(expired).toBe(100);
  });
});
