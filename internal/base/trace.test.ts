import { describe, expect, it } from "vitest";

import { seededRandom } from "./random.js";
import { childOf, formatTraceparent, newTrace, noTracer, parseTraceparent, traceIdOf, traced } from "./trace.js";

const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
const span = "00f067aa0ba902b7";

describe("a traceparent", () => {
  it.each([
    ["a sampled one", `00-${trace}-${span}-01`, true],
    ["one that is not sampled", `00-${trace}-${span}-00`, false],
    ["one with flags of the future", `00-${trace}-${span}-ff`, true],
    ["a later version with more at its end", `cc-${trace}-${span}-01-what-comes`, true],
  ])("is read: %s", (_, header, sampled) => {
    expect(parseTraceparent(header)).toEqual({ traceId: trace, spanId: span, sampled });
  });

  it.each([
    ["empty", ""],
    ["the version that is forbidden", `ff-${trace}-${span}-01`],
    ["more than version 00 has", `00-${trace}-${span}-01-more`],
    ["upper case", `00-${trace.toUpperCase()}-${span}-01`],
    ["a trace id of zeros", `00-${"0".repeat(32)}-${span}-01`],
    ["a span id of zeros", `00-${trace}-${"0".repeat(16)}-01`],
    ["too short", `00-${trace.slice(1)}-${span}-01`],
    ["glued together", `cc-${trace}-${span}-01more`],
    ["endless", `cc-${trace}-${span}-01-${"x".repeat(1_000)}`],
  ])("is refused: %s", (_, header) => {
    expect(parseTraceparent(header)).toBeUndefined();
    expect(traceIdOf(header)).toBe("");
  });

  it("survives being written and read", () => {
    const context = newTrace(seededRandom(3), true);
    expect(parseTraceparent(formatTraceparent(context))).toEqual(context);
    expect(traceIdOf(formatTraceparent(context))).toBe(context.traceId);
  });

  it("has children of the same trace with spans of their own", () => {
    const random = seededRandom(4);
    const parent = newTrace(random, false);
    const child = childOf(parent, random);
    expect(child).toMatchObject({ traceId: parent.traceId, sampled: false });
    expect(child.spanId).not.toBe(parent.spanId);
  });

  it("never has ids of zeros, whatever chance gives", () => {
    let draws = 0;
    const bytes = (size: number): Uint8Array => new Uint8Array(size).fill(draws++ % 2 === 0 ? 0 : 7);
    const context = newTrace({ next: () => 0, bytes }, true);
    expect(context).toEqual({ traceId: "07".repeat(16), spanId: "07".repeat(8), sampled: true });
  });
});

describe("no tracer", () => {
  it("hands the parent on and keeps nothing", async () => {
    const parent = `00-${trace}-${span}-01`;
    const seen = await traced(noTracer, "activation.run", parent, (inner) => {
      inner.set("weft.attempt", 1);
      return [inner.traceparent, inner.recording];
    });
    expect(seen).toEqual([parent, false]);
    expect(noTracer.start("x", "").traceparent).toBe("");
    expect(noTracer.start("x", "")).toBe(noTracer.start("y", "")); // no object is made for what is not traced
  });

  it("lets errors through", async () => {
    await expect(traced(noTracer, "x", "", () => Promise.reject(new Error("boom")))).rejects.toThrow("boom");
  });
});
