import { describe, expect, it } from "vitest";
import { seededRandom, type Random } from "./random.js";
import { elementsOf, isTruthy, membersOf, typeOf } from "./json-text.js";

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
