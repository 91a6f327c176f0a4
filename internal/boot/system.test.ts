import { describe, expect, it } from "vitest";

import { eventually } from "../../test/harness/eventually.js";
import { systemClock, systemRandom } from "./system.js";

describe("the system's clock", () => {
  it("runs what is due, once, and not what was cancelled", async () => {
    const ran: string[] = [];
    const cancel = systemClock.after(1, () => ran.push("cancelled"));
    systemClock.after(2, () => ran.push("due"));
    cancel();
    await eventually(() => ran.length > 0);
    expect(ran).toEqual(["due"]);
    cancel();
  });

  it("does not fire at once what is further away than Node's timers reach", async () => {
    let fired = false;
    const cancel = systemClock.after(2 ** 31 + 1_000, () => (fired = true));
    const start = systemClock.monoMs();
    await eventually(() => systemClock.monoMs() - start > 20);
    expect(fired).toBe(false);
    cancel();
  });
});

describe("the system's chance", () => {
  it("gives numbers between 0 and 1 that fill the range", () => {
    const random = systemRandom();
    const numbers = Array.from({ length: 5_000 }, () => random.next());
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...numbers)).toBeLessThan(1);
    expect(Math.min(...numbers)).toBeLessThan(0.01);
    expect(Math.max(...numbers)).toBeGreaterThan(0.99);
    expect(numbers.reduce((a, b) => a + b) / numbers.length).toBeCloseTo(0.5, 1);
  });

  it("never gives the same bytes twice, across refills of its pool", () => {
    const random = systemRandom();
    const seen = new Set(Array.from({ length: 2_000 }, () => Buffer.from(random.bytes(16)).toString("hex")));
    expect(seen.size).toBe(2_000);
  });

  it("gives copies: what was given does not change afterwards", () => {
    const random = systemRandom();
    const first = random.bytes(16);
    const before = Buffer.from(first).toString("hex");
    for (let i = 0; i < 2_000; i += 1) random.bytes(16);
    expect(Buffer.from(first).toString("hex")).toBe(before);
  });

  it("gives more bytes at once than its pool holds", () => {
    const bytes = systemRandom().bytes(100_000);
    expect(bytes.length).toBe(100_000);
    expect(new Set(bytes).size).toBe(256);
  });
});
