import { describe, expect, it } from "vitest";

import { documentText, member, numberText, parseDocument } from "./json.js";

describe("a document", () => {
  it.each([
    '{"a":9223372036854775807,"b":1.0,"c":1e3,"d":-0,"e":0.1,"f":1.7976931348623157e+999}',
    '{"s":"12345678901234567890 \\"1.0\\" \\\\","n":[null,true,{}]}',
    '{"__proto__":{"a":1},"constructor":2}',
    '{"s":"\\ud800"}',
  ])("comes back as it was written: %s", (text) => {
    expect(documentText(parseDocument("f", text))).toBe(text);
  });

  it("tells numbers with all their digits", () => {
    const document = parseDocument("f", '{"big":9223372036854775807,"small":3,"text":"3"}');
    expect(["big", "small", "text", "none"].map((name) => numberText(member(document, name)))).toEqual([
      "9223372036854775807",
      "3",
      undefined,
      undefined,
    ]);
  });

  it("has no members that it does not have itself", () => {
    const document = parseDocument("f", "{}");
    expect(member(document, "constructor")).toBeUndefined();
    expect(member("text", "length")).toBeUndefined();
    expect(member([1], "0")).toBeUndefined();
  });

  it.each<[string, string]>([
    ["[]", "must be a JSON object"],
    ["1", "must be a JSON object"],
    ["", "must be JSON text"],
    ["{", "must be JSON text"],
    ['{"a":1,}', "must be JSON text"],
    ['{"a":01}', "must be JSON text"],
    ['{"a":1.}', "must be JSON text"],
    ['{"a":"\\u0000"}', "NUL"],
    ['{"\\u0000":1}', "NUL"],
    ['{"a":"\\u0000number:"}', "NUL"],
    ['{"a":"\\u0000number:--1"}', "NUL"],
    ['{"a":"x\\u0000number:1"}', "NUL"],
    [`${'{"a":'.repeat(65)}1${"}".repeat(65)}`, "nested deeper"],
    [`{"a":"${"x".repeat(1024 * 1024)}"}`, "larger than allowed"],
  ])("is refused when it is %.40s", (text, why) => {
    expect(() => parseDocument("f", text)).toThrow(why);
  });
});
