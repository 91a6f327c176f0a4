import { describe, expect, it } from "vitest";

import { didYouMean, parseName } from "./names.js";

describe("names", () => {
  it.each([
    ["hello", "_", "hello"],
    ["pkg/hello", "_", "pkg/hello"],
    ["/guest/hello", "guest", "hello"],
    ["/guest/pkg/hello", "guest", "pkg/hello"],
    ["/_/hello", "_", "hello"],
  ])("reads %s", (text, namespace, name) => {
    expect(parseName(text, "_", 2)).toEqual({ namespace, name });
  });

  it.each(["", "/", "/guest", "/guest/", "a//b", "a/b/c", "/n/a/b/c"])("refuses %j", (text) => {
    expect(() => parseName(text, "_", 2)).toThrow(/is no name/);
  });

  it("knows that only actions are in packages", () => {
    expect(() => parseName("pkg/trigger", "_", 1)).toThrow(/is no name/);
    expect(parseName("/ns/trigger", "_", 1)).toEqual({ namespace: "ns", name: "trigger" });
  });

  it.each([
    ["helo", "hello"],
    ["hlelo", "hello"],
    ["Hello", "hello"],
    ["greeet", "greet"],
    ["xyz", undefined],
    ["a", undefined],
  ])("for %s means %s", (typed, meant) => {
    expect(didYouMean(typed, ["hello", "greet", "something-else"])).toBe(meant);
  });
});
