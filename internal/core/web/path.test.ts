import { describe, expect, it } from "vitest";
import { parseWebPath } from "./path.js";

describe("the path of a web action", () => {
  it.each([
    ["ns/default/a", "ns", "a", "http", ""],
    ["ns/default/a/", "ns", "a", "http", "/"],
    ["ns/pkg/a.json", "ns", "pkg/a", "json", ""],
    ["ns/pkg/a.http.json/b/c.html", "ns", "pkg/a.http", "json", "/b/c.html"],
    ["ns/default/a.exe", "ns", "a.exe", "http", ""],
    ["ns/default/a.JSON", "ns", "a.JSON", "http", ""],
    ["a%40b/p%20q/c%26d.svg//x%2f/../", "a@b", "p q/c&d", "svg", "//x%2f/../"],
    ["_/default/a.text", "_", "a", "text", ""],
    ["ns/default/json", "ns", "json", "http", ""],
  ])("%s names namespace %s, action %s, .%s, path %s", (path, namespace, action, format, rest) => {
    expect(parseWebPath(path)).toEqual({ namespace, action, format, rest });
  });

  it.each(["", "ns", "ns/", "ns/pkg", "ns/pkg/", "/pkg/a", "ns//a", "ns/pkg//a", "///"])(
    "%s has too few segments",
    (path) => {
      expect(parseWebPath(path)).toBeUndefined();
    },
  );

  it.each([
    "ns/default/.json",
    "ns/default/..",
    "../default/a",
    "ns/../a",
    "ns/default/..%2f..%2fetc",
    "ns/default/a%00",
    "ns/default/a%2Fb",
    "ns/default/%zz",
    "ns/default/%ff",
    "ns/default/%ED%A0%80",
    "ns/default/a\\b",
    "ns/default/a%0d%0ab",
    `ns/default/${"a".repeat(257)}`,
  ])("%s is no action that could be", (path) => {
    expect(parseWebPath(path)).toBe("unknown");
  });
});
