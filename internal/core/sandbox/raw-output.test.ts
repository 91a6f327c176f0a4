import { describe, expect, it } from "vitest";

import { ManualClock } from "../../../test/harness/clock.js";
import { RAW_OUTPUT_BYTES_PER_SECOND_MAX, RawOutputGate } from "./raw-output.js";

class FakeStream {
  reading = true;
  pause(): void {
    this.reading = false;
  }
  resume(): void {
    this.reading = true;
  }
}

describe("the gate for raw output", () => {
  it("stops reading both streams above the bound, and goes on in the next second", () => {
    const clock = new ManualClock();
    const gate = new RawOutputGate(clock);
    const [one, two] = [new FakeStream(), new FakeStream()];
    gate.add(one);
    gate.add(two);
    gate.count(RAW_OUTPUT_BYTES_PER_SECOND_MAX - 1);
    expect([one.reading, two.reading]).toEqual([true, true]);
    gate.count(1);
    expect([one.reading, two.reading]).toEqual([false, false]);
    clock.advance(1_000);
    expect([one.reading, two.reading]).toEqual([true, true]);
    gate.count(RAW_OUTPUT_BYTES_PER_SECOND_MAX - 1);
    expect(one.reading).toBe(true);
  });

  it("leaves no timer and no paused stream when it closes", () => {
    const clock = new ManualClock();
    const gate = new RawOutputGate(clock);
    const stream = new FakeStream();
    gate.add(stream);
    gate.count(2 * RAW_OUTPUT_BYTES_PER_SECOND_MAX);
    gate.close();
    expect([clock.pending, stream.reading]).toEqual([0, true]);
  });
});
