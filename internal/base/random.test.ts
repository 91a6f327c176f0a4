import { describe, expect, it } from "vitest";

import { Backoff } from "./backoff.js";
import { bytesToHex, hexToBytes, newActivationId, newBootId, parseActivationId } from "./ids.js";
import { seededRandom, type Random } from "./random.js";

const always = (next: number): Random => ({ next: () => next, bytes: (size) => new Uint8Array(size) });

describe("seeded chance", () => {
  it("gives the same sequence for the same seed and another for another", () => {
    const draw = (seed: number): number[] => {
      const random = seededRandom(seed);
      return Array.from({ length: 50 }, () => random.next());
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
  });

  it("spreads evenly over its range", () => {
    const random = seededRandom(42);
    const tenths = new Array<number>(10).fill(0);
    for (let i = 0; i < 10_000; i += 1) {
      const tenth = Math.floor(random.next() * 10);
      tenths[tenth] = (tenths[tenth] ?? 0) + 1;
    }
    expect(tenths).toHaveLength(10); // nothing at 1 or above
    expect(Math.min(...tenths)).toBeGreaterThan(850);
    expect(Math.max(...tenths)).toBeLessThan(1_150);
    expect(new Set(random.bytes(4_096)).size).toBe(256);
  });
});

describe("a back-off", () => {
  const options = { firstMs: 100, maxMs: 1_000 };

  it("doubles up to its maximum and begins again after a success", () => {
    const backoff = new Backoff(options, always(0.5));
    expect([1, 2, 3, 4, 5, 6].map(() => backoff.nextMs())).toEqual([100, 200, 400, 800, 1_000, 1_000]);
    backoff.reset();
    expect(backoff.nextMs()).toBe(100);
  });

  it("strays by at most a fifth either way", () => {
    expect(new Backoff(options, always(0)).nextMs()).toBeCloseTo(80);
    expect(new Backoff(options, always(0.999_999)).nextMs()).toBeCloseTo(120);
  });

  it("still pauses after ever so many tries", () => {
    const backoff = new Backoff(options, always(0.5));
    for (let i = 0; i < 5_000; i += 1) backoff.nextMs();
    expect(backoff.nextMs()).toBe(1_000);
  });
});

describe("ids", () => {
  it("are hex of the length that the wire wants, and differ", () => {
    const random = seededRandom(1);
    const ids = Array.from({ length: 1_000 }, () => newActivationId(random, Date.UTC(2026, 0, 1)));
    expect(new Set(ids).size).toBe(1_000);
    expect(ids.every((id) => /^[0-9a-f]{32}$/.test(id))).toBe(true);
    expect(newBootId(random)).toMatch(/^[0-9a-f]{16}$/);
  });

  it("sort by when they were made", () => {
    const random = seededRandom(3);
    const ids = [1, 999, Date.UTC(2026, 0, 1), Date.UTC(2026, 0, 2), Date.UTC(9000, 0, 1)].map((wallMs) =>
      newActivationId(random, wallMs),
    );
    expect([...ids].sort()).toEqual(ids);
    expect(Number.parseInt((ids[2] ?? "").slice(0, 12), 16)).toBe(Date.UTC(2026, 0, 1));
  });

  it("are read in either case and kept in lower case", () => {
    const id = newActivationId(seededRandom(2), Date.UTC(2026, 0, 1));
    expect(parseActivationId(id.toUpperCase())).toBe(id);
  });

  it("are refused in OpenWhisk's words when their length is wrong, and when they are not hex", () => {
    expect(() => parseActivationId("abc")).toThrow("activation id length is 3 but must be 32");
    expect(() => parseActivationId("g".repeat(32))).toThrow("it must be hex");
    expect(() => parseActivationId(`${"a".repeat(31)}\n`)).toThrow("it must be hex");
  });

  it("survive the way to bytes and back, also from a view into a larger buffer", () => {
    const view = new Uint8Array([0, 1, 2, 254, 255, 9]).subarray(1, 5);
    expect(bytesToHex(view)).toBe("0102feff");
    expect([...hexToBytes("0102feff")]).toEqual([1, 2, 254, 255]);
  });
});
