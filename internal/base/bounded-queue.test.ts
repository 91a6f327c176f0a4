import { describe, expect, it } from "vitest";

import { BoundedQueue } from "./bounded-queue.js";
import { FixedRing } from "./fixed-ring.js";
import { seededRandom } from "./random.js";

describe("a bounded queue", () => {
  it("gives back in order and refuses what is above its limit", () => {
    const queue = new BoundedQueue<number>(2);
    expect([queue.push(1), queue.push(2), queue.push(3)]).toEqual([true, true, false]);
    expect([queue.size, queue.full, queue.peek()]).toEqual([2, true, 1]);
    expect([queue.shift(), queue.push(4), queue.shift(), queue.shift(), queue.shift()]).toEqual([
      1,
      true,
      2,
      4,
      undefined,
    ]);
    expect(queue.size).toBe(0);
  });

  it("says how old its head is", () => {
    const queue = new BoundedQueue<string>(9);
    expect(queue.headAgeMs(100)).toBe(0);
    queue.push("a", 100);
    queue.push("b", 130);
    expect(queue.headAgeMs(150)).toBe(50);
    queue.shift();
    expect(queue.headAgeMs(150)).toBe(20);
  });

  it("empties at once, oldest first", () => {
    const queue = new BoundedQueue<number>(100);
    for (let i = 0; i < 40; i += 1) queue.push(i);
    for (let i = 0; i < 10; i += 1) queue.shift();
    expect(queue.drain()).toEqual(Array.from({ length: 30 }, (_, i) => i + 10));
    expect([queue.size, queue.shift()]).toEqual([0, undefined]);
  });

  it.each([1, 2, 3, 4, 5])("behaves like an array whatever is done to it (seed %i)", (seed) => {
    const random = seededRandom(seed);
    const queue = new BoundedQueue<number>(200);
    const model: number[] = [];
    for (let i = 0; i < 5_000; i += 1) {
      // Long spells of filling and of emptying, so that it grows and shrinks while wrapped around.
      if (random.next() < (Math.floor(i / 500) % 2 === 0 ? 0.7 : 0.3)) {
        const fits = model.length < 200;
        if (fits) model.push(i);
        expect(queue.push(i)).toBe(fits);
      } else {
        expect(queue.shift()).toBe(model.shift());
      }
      expect(queue.size).toBe(model.length);
      expect(queue.peek()).toBe(model[0]);
    }
    expect([...queue]).toEqual(model);
  });

  it("refuses a limit that is none", () => {
    expect(() => new BoundedQueue(0)).toThrow("above zero");
    expect(() => new BoundedQueue(Number.POSITIVE_INFINITY)).toThrow("above zero");
  });
});

describe("a fixed ring", () => {
  it("keeps the last ones, oldest first", () => {
    const ring = new FixedRing<number>(3);
    expect(ring.toArray()).toEqual([]);
    for (const n of [1, 2]) ring.push(n);
    expect(ring.toArray()).toEqual([1, 2]);
    for (const n of [3, 4, 5]) ring.push(n);
    expect(ring.toArray()).toEqual([3, 4, 5]);
    expect(ring.size).toBe(3);
  });
});
