import { describe, expect, it } from "vitest";

import { WeftError, invalidField, invariant, toWeftError, unreachable } from "./errors.js";

describe("an error of the platform", () => {
  it("keeps what a caller, a program and a person need", () => {
    const cause = new Error("ECONNREFUSED");
    const error = new WeftError("throttled", "RATE", "ns is over its rate", { retryAfterMs: 250, fix: "wait", cause });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: "WeftError",
      kind: "throttled",
      reason: "RATE",
      retryAfterMs: 250,
      fix: "wait",
      fields: [],
      cause,
    });
    expect("cause" in new WeftError("internal", "X", "x")).toBe(false);
  });

  it("names the field that is refused, in the message and for programs", () => {
    expect(invalidField("limits.timeout_ms", "must be 100 to 300000")).toMatchObject({
      kind: "invalidArgument",
      message: "limits.timeout_ms: must be 100 to 300000",
      fields: [{ field: "limits.timeout_ms", description: "must be 100 to 300000" }],
    });
  });

  it("is made of whatever was thrown, and stays itself when it is one already", () => {
    const own = new WeftError("notFound", "NO_ACTION", "no action ns/a");
    expect(toWeftError(own)).toBe(own);
    const foreign = new TypeError("x is not a function");
    expect(toWeftError(foreign)).toMatchObject({
      kind: "internal",
      reason: "UNFORESEEN",
      message: "x is not a function",
      cause: foreign,
    });
    expect(toWeftError("text")).toMatchObject({ kind: "internal", message: "text", cause: "text" });
    expect(toWeftError(undefined)).toMatchObject({ kind: "internal", message: "undefined" });
  });
});

describe("an invariant", () => {
  it("throws what was broken and passes what holds", () => {
    expect(() => invariant(false, "slots are not negative")).toThrow("invariant broken: slots are not negative");
    expect(() => invariant(true, "fine")).not.toThrow();
  });

  it("says which case of a union nobody handles", () => {
    expect(() => unreachable({ kind: "odd" } as never)).toThrow('unforeseen case: {"kind":"odd"}');
  });
});
