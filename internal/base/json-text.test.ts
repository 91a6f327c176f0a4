import { describe, expect, it } from "vitest";
import { seededRandom, type Random } from "./random.js";
import { elementsOf, isArray, isObject, isTruthy, membersOf, objectOf, typeOf } from "./json-text.js";

describe("looking into JSON text", () => {
  it("cuts out members as they are written, the last of a repeated key", () => {
    const text = ' {"a" : 1.10 , "b":{"x":[1,{"y":"}]\\""}]},"\\u0063":null, "a":  -0e1\n,"d":"é\\\\"} ';
    expect([...membersOf(text)]).toEqual([
      ["a", "-0e1"],
      ["b", '{"x":[1,{"y":"}]\\""}]}'],
      ["c", "null"],
      ["d", '"é\\\\"'],
    ]);
  });

  it("cuts out elements as they are written", () => {
    expect(elementsOf(' [ 1 , "a,b]", [2 , [ ]], {"k":"]"} ,true]')).toEqual([
      "1",
      '"a,b]"',
      "[2 , [ ]]",
      '{"k":"]"}',
      "true",
    ]);
    expect(elementsOf("[ ]")).toEqual([]);
    expect(membersOf("{ }").size).toBe(0);
  });

  it.each([
    ["true", true],
    ["false", false],
    ["null", false],
    ["0", false],
    ["-0.0", false],
    ["1e-3", true],
    ['""', false],
    ['"a"', true],
    ["{}", true],
    ["[]", true],
  ])("takes %s for %s", (text, truthy) => {
    expect(isTruthy(text)).toBe(truthy);
  });

  it.each(Array.from({ length: 50 }, (_, seed) => seed + 1))(
    "cuts what JSON.parse would have found, whatever the spacing (seed %i)",
    (seed) => {
      const random = seededRandom(seed);
      const value = { k: anything(random, 4), l: anything(random, 4) };
      const members = membersOf(spaced(JSON.stringify(value), random));
      expect([...members.keys()]).toEqual(["k", "l"]);
      for (const [key, text] of members) {
        expect(JSON.parse(text)).toEqual(value[key as "k" | "l"]);
        if (typeOf(text) === "array")
          expect(elementsOf(text).map((one) => JSON.parse(one) as unknown)).toEqual(value[key as "k" | "l"]);
      }
    },
  );
});

function anything(random: Random, depth: number): unknown {
  const pick = Math.floor(random.next() * (depth > 0 ? 7 : 5));
  const few = Array.from({ length: Math.floor(random.next() * 4) });
  switch (pick) {
    case 0:
      return null;
    case 1:
      return random.next() < 0.5;
    case 2:
      return random.next() * 1e6;
    case 3:
      return ['\\"', "}]", ",:", "é\u2028", "\\\\", ""][Math.floor(random.next() * 6)];
    case 4:
      return few.length === 0 ? {} : [];
    case 5:
      return few.map(() => anything(random, depth - 1));
    default:
      return Object.fromEntries(few.map((_, i) => [`"${i}\\`, anything(random, depth - 1)]));
  }
}

/** White space between tokens, not in strings. */
function spaced(json: string, random: Random): string {
  return json.replace(/"(?:[^"\\]|\\.)*"|[{}[\],:]/g, (token) => {
    const space = (): string => [" ", "\n", "\t", "", "", ""][Math.floor(random.next() * 6)] ?? "";
    return `${space()}${token}${space()}`;
  });
}

describe("members of an object", () => {
  it("are cut out letter by letter", () => {
    const text =
      ' { "n" : 12345678901234567890.10 , "s":"a\\"}{,", "o":{"x":[1,"]"]} ,"a":[ {"b":"\\\\"} ],"t":true\n}';
    expect([...membersOf(text)]).toEqual([
      ["n", "12345678901234567890.10"],
      ["s", '"a\\"}{,"'],
      ["o", '{"x":[1,"]"]}'],
      ["a", '[ {"b":"\\\\"} ]'],
      ["t", "true"],
    ]);
  });

  it("are none in an empty one, and the last of a repeated key", () => {
    expect(membersOf(" { } ").size).toBe(0);
    expect([...membersOf('{"a":1,"\\u0061":2}')]).toEqual([["a", "2"]]);
  });

  it("make an object again", () => {
    expect(objectOf(new Map([['q"', "1.0"]]))).toBe('{"q\\"":1.0}');
    expect(objectOf(new Map())).toBe("{}");
  });
});

it("tells objects from arrays and the rest", () => {
  expect([isObject(' \n{"a":1}'), isObject("[1]"), isObject("1"), isObject("")]).toEqual([true, false, false, false]);
  expect([isArray(" [1]"), isArray("{}"), isArray('"["')]).toEqual([true, false, false]);
});
