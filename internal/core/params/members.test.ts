import { describe, expect, it } from "vitest";

import { isArray, isObject, membersOf, objectOf } from "./members.js";

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
