import { describe, expect, it } from "vitest";

import { invalidField, WeftError } from "./errors.js";
import { TOO_LARGE, Violations } from "./violations.js";

function thrownBy(act: () => void): WeftError {
  try {
    act();
  } catch (thrown) {
    return thrown as WeftError;
  }
  throw new Error("nothing was thrown");
}

describe("violations", () => {
  it("are no error while there is none", () => {
    expect(() => new Violations().check()).not.toThrow();
  });

  it("are all told in one error", () => {
    const violations = new Violations();
    violations.add("name", "must not be empty");
    violations.addTooLarge("code", "larger than allowed");
    const error = thrownBy(() => violations.check());
    expect(error).toMatchObject({ kind: "invalidArgument", reason: "INVALID_FIELD" });
    expect(error.message).toBe("name: must not be empty (and 1 more)");
    expect(error.fields.map((one) => one.field)).toEqual(["name", "code"]);
  });

  it("say that something is too large only when nothing else is wrong", () => {
    const violations = new Violations();
    violations.addTooLarge("code", "larger than allowed");
    expect(thrownBy(() => violations.check()).reason).toBe(TOO_LARGE);
  });

  it("keep what a check throws, and let through what is no violation", () => {
    const violations = new Violations();
    expect(violations.try(() => 7)).toBe(7);
    const refuse = (): never => {
      throw invalidField("name", "bad");
    };
    expect(violations.try(refuse)).toBeUndefined();
    expect(violations.found).toEqual([{ field: "name", description: "bad" }]);
    expect(() =>
      violations.try(() => {
        throw new WeftError("internal", "X", "boom");
      }),
    ).toThrow("boom");
  });
});
