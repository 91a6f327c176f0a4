import { describe, expect, it } from "vitest";

import { seededRandom } from "../base/random.js";
import { jsonShapeOf } from "./json-text.js";

const shapeOf = (text: string): string | undefined => jsonShapeOf(Buffer.from(text));

describe("a result's text", () => {
  it.each<[text: string, shape: string | undefined]>([
    ["{}", "object"],
    [' {"a" : [1, -0.5e+10, true, null, "\\u00e9\\n", {"b": []}]} \n', "object"],
    ["[]", "array"],
    ['[1,"ü€😀"]', "array"],
    ["", undefined],
    ["1", undefined],
    ['"text"', undefined],
    ["null", undefined],
    ["{", undefined],
    ["{}{}", undefined],
    ["{'a':1}", undefined],
    ['{"a":01}', undefined],
    ['{"a":1.}', undefined],
    ['{"a":1,}', undefined],
    ['{"a" 1}', undefined],
    ["[1 2]", undefined],
    ["[tru]", undefined],
    ['["\\x"]', undefined],
    ['["\\u12g4"]', undefined],
    ['["a\nb"]', undefined],
    ['["\u0000"]', undefined],
    ["[NaN]", undefined],
  ])("%j is %s", (text, shape) => {
    expect(shapeOf(text)).toBe(shape);
  });

  it("is refused when its bytes are not UTF-8", () => {
    expect(jsonShapeOf(Buffer.from([0x5b, 0x22, 0xff, 0x22, 0x5d]))).toBeUndefined();
  });

  it("is refused when it is nested too deeply, and does not overflow the stack", () => {
    expect(shapeOf("[".repeat(512) + "]".repeat(512))).toBe("array");
    expect(shapeOf("[".repeat(513) + "]".repeat(513))).toBeUndefined();
    expect(shapeOf("[".repeat(1_000_000))).toBeUndefined();
  });

  it("is what JSON.parse says of the same text with a byte changed (1 000 seeds)", () => {
    const text = '{"name":"Ada","n":[0,-1.5e3,true,false,null],"o":{"k\\u0041":""}}';
    for (let seed = 1; seed <= 1_000; seed += 1) {
      const random = seededRandom(seed);
      const bytes = Buffer.from(text);
      bytes[Math.floor(random.next() * bytes.length)] = 32 + Math.floor(random.next() * 95);
      let parsed: unknown;
      try {
        parsed = JSON.parse(bytes.toString());
      } catch {
        parsed = undefined;
      }
      const expected =
        typeof parsed === "object" && parsed !== null ? (Array.isArray(parsed) ? "array" : "object") : undefined;
      expect(jsonShapeOf(bytes), bytes.toString()).toBe(expected);
    }
  });
});
