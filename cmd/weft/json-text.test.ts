import { describe, expect, it } from "vitest";

import { entriesOf, objectOf, pretty, RawJson, toJson } from "./json-text.js";

describe("JSON as text", () => {
  it.each([
    ["{}", "{}"],
    ["[ ]", "[]"],
    ['{"a":1}', '{\n  "a": 1\n}'],
    ['{"a":[1,{"b":"x: {,}"}],"c":{}}', '{\n  "a": [\n    1,\n    {\n      "b": "x: {,}"\n    }\n  ],\n  "c": {}\n}'],
    ['"a \\" [b"', '"a \\" [b"'],
    ["12345678901234567890.10", "12345678901234567890.10"],
  ])("indents %s and changes nothing else", (text, expected) => {
    expect(pretty(text)).toBe(expected);
    expect(JSON.parse(pretty(text))).toEqual(JSON.parse(text));
  });

  it("prints values with the digits of raw text, and leaves out what is undefined", () => {
    const text = toJson({ id: "x", none: undefined, list: [undefined, 1], big: new RawJson("9007199254740993") });
    expect(text).toBe('{\n  "id": "x",\n  "list": [\n    null,\n    1\n  ],\n  "big": 9007199254740993\n}');
    expect(toJson({ result: new RawJson("") })).toContain("null");
  });

  it("splits an object into its entries, each value as it was written", () => {
    const entries = entriesOf(' { "a" : 1.0 , "b":{"c":[1, "}"]},"d\\n":"x" ,"a":12345678901234567890 } ', "file");
    expect([...entries]).toEqual([
      ["b", '{"c":[1, "}"]}'],
      ["d\n", '"x"'],
      ["a", "12345678901234567890"],
    ]);
    expect(objectOf(entries)).toBe('{"b":{"c":[1, "}"]},"d\\n":"x","a":12345678901234567890}');
    expect([...entriesOf("{}", "file")]).toEqual([]);
  });

  it.each(["", "[1]", "null", "{", '{"a":}', "7"])("refuses %j and names where it came from", (text) => {
    expect(() => entriesOf(text, "params.json")).toThrow(/params\.json/);
  });
});
