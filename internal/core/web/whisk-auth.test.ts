import { describe, expect, it } from "vitest";
import { decimal, mayInvoke } from "./whisk-auth.js";

describe("require-whisk-auth", () => {
  it.each([
    [undefined, undefined, false, true],
    ["false", undefined, false, true],
    ["true", undefined, false, false],
    ["true", "true", false, false],
    ["true", undefined, true, true],
    ['"s"', undefined, true, false],
    ['"s"', "s", false, true],
    ['"s"', "S", false, false],
    ['"s"', "s, s", false, false],
    ['""', undefined, false, false],
    ['"\\u00e9"', "Ã©", false, true],
    ["9007199254740993", "9007199254740993", false, true],
    ["9007199254740993", "9007199254740992", false, false],
    ["12345678901234567890123", "12345678901234567890123", false, true],
    ["1.5", "1.5", false, true],
    ["1e3", "1000", false, true],
    ["1e3", "1e3", false, false],
    ["1e999999999", "1e999999999", false, false],
    ["0", "0", false, true],
    ["null", "null", true, false],
    ["[]", "[]", true, false],
    ['{"a":1}', undefined, true, false],
  ])("%s with header %s and a key: %s, lets in: %s", (annotation, header, keyed, expected) => {
    const headers = header === undefined ? {} : { "x-require-whisk-auth": header };
    expect(mayInvoke(annotation, headers, keyed)).toBe(expected);
  });

  it.each([
    ["12e2", "1200"],
    ["1.25E1", "12.5"],
    ["1.25e+2", "125"],
    ["125e-2", "1.25"],
    ["1e-3", "0.001"],
    ["-1.0e0", "-1"],
    ["0e5", "0"],
    ["1e401", undefined],
    ["1e-99999999999", undefined],
  ])("%s in digits is %s", (number, expected) => {
    expect(decimal(number)).toBe(expected);
  });
});
