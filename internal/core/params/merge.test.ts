import { describe, expect, it } from "vitest";
import { WeftError } from "../../base/errors.js";
import { seededRandom } from "../../base/random.js";
import { PAYLOAD_BYTES_MAX } from "../action/types.js";
import { checkJsonObject, checkPayloadSize, JSON_DEPTH_MAX, mergeParams, type DefaultParam } from "./merge.js";

function defaults(values: Readonly<Record<string, string>>): DefaultParam[] {
  return Object.entries(values).map(([key, valueJson]) => ({ key, valueJson: Buffer.from(valueJson) }));
}

function merged(values: Readonly<Record<string, string>>, params: string, final = false): string {
  return Buffer.from(mergeParams(defaults(values), Buffer.from(params), final)).toString();
}

function failure(act: () => unknown): WeftError {
  try {
    act();
  } catch (thrown) {
    if (thrown instanceof WeftError) return thrown;
    throw thrown;
  }
  throw new Error("nothing was thrown");
}

describe("merging arguments", () => {
  const table: readonly (readonly [string, Readonly<Record<string, string>>, string, string])[] = [
    ["nothing with nothing", {}, "", "{}"],
    ["an empty object as it is", {}, " { } ", " { } "],
    ["what was sent, byte for byte, without defaults", {}, '\n{ "b":1 ,"a":[ ] }\t', '\n{ "b":1 ,"a":[ ] }\t'],
    ["defaults alone for no text", { a: "1" }, "", '{"a":1}'],
    ["defaults alone for an empty object", { a: "1", b: '"x"' }, " {\n} ", '{"a":1,"b":"x"}'],
    ["defaults first, then what was sent", { a: "1" }, '{"b":2}', '{"a":1,"b":2}'],
    ["white space inside kept", { a: "1" }, ' { "b" : 2 } ', '{"a":1, "b" : 2 }'],
    ["an overridden default left out", { a: "1", b: "2" }, '{"a":3}', '{"b":2,"a":3}'],
    ["what was sent when it overrides everything", { a: "1" }, ' {"a":3} ', ' {"a":3} '],
    ["shallowly: an object is replaced, not merged", { a: '{"x":1}' }, '{"a":{"y":2}}', '{"a":{"y":2}}'],
    ["an inner key of the same name does not override", { x: "1" }, '{"a":{"x":2}}', '{"x":1,"a":{"x":2}}'],
    ["a key twice passed on as it is", { a: "1" }, '{"a":2,"a":3}', '{"a":2,"a":3}'],
    [
      "numbers digit for digit",
      { big: "12345678901234567890.10" },
      '{"n":1e400,"m":-0.0}',
      '{"big":12345678901234567890.10,"n":1e400,"m":-0.0}',
    ],
    ["a key written with escapes still overrides", { äb: "1" }, '{"\\u00e4\\u0062":2}', '{"\\u00e4\\u0062":2}'],
    ["keys that need escapes", { 'q"\n': "1" }, '{"b":2}', '{"q\\"\\n":1,"b":2}'],
    [
      "unicode in keys and values",
      { ключ: '"значение"' },
      '{"🦀":"\\ud83e\\udd80"}',
      '{"ключ":"значение","🦀":"\\ud83e\\udd80"}',
    ],
    ["__proto__ as a key like any other", { __proto__x: "1" }, '{"__proto__":2}', '{"__proto__x":1,"__proto__":2}'],
    ["an explicit null overrides", { a: "1" }, '{"a":null}', '{"a":null}'],
  ];
  for (const [what, values, params, expected] of table) {
    it(`gives ${what}`, () => {
      expect(merged(values, params)).toBe(expected);
    });
  }

  it("returns the very bytes that were sent when there are no defaults", () => {
    const sent = Buffer.from('{"a":1}');
    expect(mergeParams([], sent)).toBe(sent);
  });

  it("agrees with parsing and spreading for any objects", () => {
    const random = seededRandom(7);
    const value = (depth: number): unknown => {
      const dice = Math.floor(random.next() * (depth > 3 ? 4 : 6));
      if (dice === 0) return random.next() * 1e6;
      if (dice === 1) return `s${random.next()}\n"é🦀`;
      if (dice === 2) return random.next() < 0.5;
      if (dice === 3) return null;
      if (dice === 4) return Array.from({ length: random.next() * 4 }, () => value(depth + 1));
      return object(depth + 1);
    };
    const object = (depth: number): Record<string, unknown> =>
      Object.fromEntries(
        Array.from({ length: random.next() * 5 }, () => [`k${Math.floor(random.next() * 6)}`, value(depth)]),
      );
    for (let i = 0; i < 500; i++) {
      const given = object(0);
      const sent = object(0);
      const values = Object.fromEntries(Object.entries(given).map(([k, v]) => [k, JSON.stringify(v)]));
      const text = JSON.stringify(sent, undefined, i % 3);
      expect(JSON.parse(merged(values, text))).toEqual({ ...given, ...sent });
    }
  });
});

describe("final parameters", () => {
  it("may not be overridden, and every offending key is named", () => {
    const error = failure(() => merged({ a: "1", b: "2", c: "3" }, '{"a":9,"b":9}', true));
    expect(error).toMatchObject({ kind: "failedPrecondition", reason: "FINAL_PARAMETERS" });
    expect(error.fields.map((f) => f.field)).toEqual(["params.a", "params.b"]);
  });

  it("may be supplied when their value is null", () => {
    expect(merged({ a: " null " }, '{"a":9}', true)).toBe('{"a":9}');
  });

  it("do not forbid other keys", () => {
    expect(merged({ a: "1" }, '{"b":2}', true)).toBe('{"a":1,"b":2}');
  });
});

describe("text that is not a JSON object", () => {
  const table: readonly (readonly [string, string])[] = [
    ["   ", "must be a JSON object, got only white space"],
    ["[1]", "must be a JSON object, got an array"],
    ['"x"', "must be a JSON object, got a string"],
    ["-1", "must be a JSON object, got a number"],
    ["null", "must be a JSON object, got something else"],
    ["\ufeff{}", "must be a JSON object, got something else"],
    ["{", 'is not JSON at its end: expected a key in double quotes or "}"'],
    ['{"a"}', "is not JSON at byte 4: expected : after a key"],
    ['{"a":}', "is not JSON at byte 5: expected a value"],
    ['{"a":1,}', 'is not JSON at byte 7: expected a key in double quotes or "}"'],
    ['{"a":1 "b":2}', "is not JSON at byte 7: expected , or }"],
    ['{"a":[1,]}', "is not JSON at byte 8: expected a value"],
    ['{"a":[1}', "is not JSON at byte 7: expected , or ]"],
    ["{a:1}", 'is not JSON at byte 1: expected a key in double quotes or "}"'],
    ["{'a':1}", 'is not JSON at byte 1: expected a key in double quotes or "}"'],
    ['{"a":01}', "is not JSON at byte 6: expected , or }"],
    ['{"a":.5}', "is not JSON at byte 5: expected a value"],
    ['{"a":1.}', "is not JSON at byte 7: expected a digit after the point"],
    ['{"a":1e}', "is not JSON at byte 7: expected a digit in the exponent"],
    ['{"a":+1}', "is not JSON at byte 5: expected a value"],
    ['{"a":NaN}', "is not JSON at byte 5: expected a value"],
    ['{"a":nul}', "is not JSON at byte 5: expected a value"],
    ['{"a":"\n"}', "is not JSON at byte 6: a control character in a string must be escaped"],
    ['{"a":"\\x"}', 'is not JSON at byte 6: a backslash must be followed by one of "\\/bfnrtu'],
    ['{"a":"\\u12g4"}', "is not JSON at byte 10: \\u takes four hex digits"],
    ['{"a":"x', "is not JSON at its end: a string does not end"],
    ["{}{}", "is not JSON at byte 2: nothing may follow the object"],
    ["{} x", "is not JSON at byte 3: nothing may follow the object"],
    ['{"a":1}]', "is not JSON at byte 7: nothing may follow the object"],
  ];
  for (const [text, description] of table) {
    it(`is refused: ${JSON.stringify(text)}`, () => {
      const error = failure(() => mergeParams([], Buffer.from(text)));
      expect(error).toMatchObject({ kind: "invalidArgument", reason: "INVALID_FIELD" });
      expect(error.fields).toEqual([{ field: "params", description }]);
      expect(failure(() => mergeParams(defaults({ z: "1" }), Buffer.from(text))).fields).toEqual(error.fields);
    });
  }

  it("is refused when it is not UTF-8", () => {
    const error = failure(() =>
      mergeParams([], Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')])),
    );
    expect(error.fields[0]?.description).toBe("must be UTF-8");
  });

  it("names the field it came in", () => {
    expect(failure(() => checkJsonObject("headers", Buffer.from("[]"))).fields[0]?.field).toBe("headers");
    expect(() => checkJsonObject("headers", Buffer.from(""))).not.toThrow();
  });

  it("agrees with JSON.parse about texts cut or damaged anywhere", () => {
    const random = seededRandom(11);
    const whole = '{"a":[1,-2.5e+3,{"b":null}],"c":"x\\u00e4\\"y","d":{"e":[[],{}],"f":true},"g":false}';
    const accepts = (act: () => unknown): boolean => {
      try {
        act();
        return true;
      } catch {
        return false;
      }
    };
    for (let i = 0; i < 3_000; i++) {
      const chars = whole.split("");
      for (let n = 0; n <= i % 3; n++) {
        const at = Math.floor(random.next() * chars.length);
        const other = chars[Math.floor(random.next() * chars.length)] ?? "";
        if (random.next() < 0.4) chars.splice(at, 1);
        else if (random.next() < 0.5) chars.splice(at, 0, other);
        else chars[at] = other;
      }
      const text = chars.join("");
      const isObject = accepts(() => {
        const parsed: unknown = JSON.parse(text);
        if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) throw new Error("not an object");
      });
      expect([text, accepts(() => mergeParams([], Buffer.from(text)))]).toEqual([text, isObject]);
    }
  });
});

describe("limits of arguments", () => {
  const nested = (levels: number): string => `{"a":${"[".repeat(levels - 1)}${"]".repeat(levels - 1)}}`;

  it("allow nesting up to the limit and name it above", () => {
    expect(() => mergeParams([], Buffer.from(nested(JSON_DEPTH_MAX)))).not.toThrow();
    const error = failure(() => mergeParams([], Buffer.from(nested(JSON_DEPTH_MAX + 1))));
    expect(error.fields[0]?.description).toContain(`nested deeper than ${JSON_DEPTH_MAX} levels`);
  });

  it("hold for a megabyte of brackets without taking long", () => {
    expect(() => mergeParams([], Buffer.from(`{"a":${"[".repeat(1_000_000)}`))).toThrow("nested deeper");
  });

  it("refuse what is larger than allowed with both sizes", () => {
    expect(() => checkPayloadSize(PAYLOAD_BYTES_MAX)).not.toThrow();
    expect(failure(() => checkPayloadSize(PAYLOAD_BYTES_MAX + 1))).toMatchObject({
      kind: "invalidArgument",
      reason: "TOO_LARGE",
      fields: [{ field: "params", description: "larger than allowed: 1048577 > 1048576 bytes" }],
    });
  });
});
