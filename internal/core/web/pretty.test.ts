import { describe, expect, it } from "vitest";
import { seededRandom, type Random } from "../../base/random.js";
import { pretty } from "./pretty.js";

const whole = (text: string): string => pretty(text, 1_000_000);

describe("JSON laid out for people", () => {
  it.each([
    ["{}", "{}"],
    ["[ ]", "[]"],
    ['{"a":1,"b":[1,2,{"c":"}\\"{"}],"d":{ }}', '{\n  "a": 1,\n  "b": [1, 2, {\n    "c": "}\\"{"\n  }],\n  "d": {}\n}'],
    ['[[],{"a":1.10e400}]', '[[], {\n  "a": 1.10e400\n}]'],
    ["12", "12"],
  ])("%s", (text, expected) => {
    expect(whole(text)).toBe(expected);
  });

  it("means the same as before", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const value = some(seededRandom(seed), 5);
      expect(JSON.parse(whole(JSON.stringify(value)))).toEqual(value);
      expect(JSON.parse(whole(JSON.stringify(value, null, 3)))).toEqual(value);
    }
  });

  it("is left as it was where it would become much longer, and takes no longer for that", () => {
    const deep = `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`;
    expect(pretty(deep, 2_000_000)).toBe(deep);
    const flat = `[${"[".repeat(100_000)}${"]".repeat(100_000)}]`;
    expect(pretty(flat, 2_000_000)).toBe(flat);
  });
});

function some(random: Random, depth: number): unknown {
  const pick = Math.floor(random.next() * (depth > 0 ? 7 : 5));
  const many = (): unknown[] => Array.from({ length: Math.floor(random.next() * 4) }, () => some(random, depth - 1));
  switch (pick) {
    case 0:
      return null;
    case 1:
      return random.next() < 0.5;
    case 2:
      return Math.floor(random.next() * 1e6) / 8;
    case 3:
      return '"{}[],:\\ \u0000é'.slice(Math.floor(random.next() * 8));
    case 4:
      return "";
    case 5:
      return many();
    default:
      return Object.fromEntries(many().map((value, i) => [`k"${i}`, value]));
  }
}
