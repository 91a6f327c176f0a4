import { describe, expect, it } from "vitest";

import {
  basePathFor,
  checkBasePath,
  matchPath,
  parametersOf,
  parseRequestPath,
  parseTemplate,
  pathBelow,
  type RequestPath,
} from "./template.js";

function parsed(path: string): RequestPath {
  const request = parseRequestPath(path);
  if (!request) throw new Error(`${path} is no path`);
  return request;
}

describe("a path of a request", () => {
  it.each<[string, readonly string[]]>([
    ["", []],
    ["/", []],
    ["/a", ["a"]],
    ["/a/", ["a"]],
    ["/a%20b/c%2Fd", ["a b", "c/d"]],
    ["/%E2%82%AC", ["€"]],
    ["/a%2F..%2Fb", ["a/../b"]],
    ["/...", ["..."]],
  ])("%s is cut into segments and decoded", (path, segments) => {
    expect(parseRequestPath(path)?.decoded).toEqual(segments);
  });

  it.each([
    "//",
    "/a//b",
    "/.",
    "/a/..",
    "/%2e%2E/a",
    "/a/%2e",
    "/%00",
    "/a%0Db",
    "/%7f",
    "/%",
    "/%zz",
    "/%ff",
    "/a/%C3",
  ])("%s is none that an API serves", (path) => {
    expect(parseRequestPath(path)).toBeUndefined();
  });
});

describe("a base path", () => {
  const basePaths = ["/", "/a", "/a/b", "/a b", "/c%20d"];

  it.each<[string, string | undefined, readonly string[]]>([
    ["/", "/", []],
    ["/x/y", "/", ["x", "y"]],
    ["/a", "/a", []],
    ["/a/b/c", "/a/b", ["c"]],
    ["/a/bc", "/a", ["bc"]],
    ["/ab", "/", ["ab"]],
    ["/a%20b/x", "/a b", ["x"]],
    ["/c%20d/x", "/c%20d", ["x"]],
    ["/%61/b/x", "/a/b", ["x"]],
  ])("for %s is %s", (path, basePath, below) => {
    const request = parsed(path);
    expect(basePathFor(basePaths, request)).toBe(basePath);
    expect(pathBelow(basePath ?? "/", request).decoded).toEqual(below);
  });

  it("is none when no one begins the path", () => {
    expect(basePathFor(["/a/b"], parsed("/a"))).toBeUndefined();
    expect(basePathFor([], parsed("/a"))).toBeUndefined();
  });

  it.each([
    "a",
    "",
    "//",
    "/a//b",
    "/a/..",
    "/./a",
    "/%2e%2e",
    "/a?b",
    "/a#b",
    "/a\\b",
    "/a\nb",
    "/\ud800",
    "/a{b",
    "/{a}",
  ])("%j cannot be one", (text) => {
    expect(() => checkBasePath("base_path", text)).toThrow(/^base_path: /);
  });

  it("loses the slash at its end", () => {
    expect(checkBasePath("base_path", "/a/")).toBe("/a");
    expect(checkBasePath("base_path", "/")).toBe("/");
  });
});

describe("a template", () => {
  it.each<[string, string, Record<string, string> | undefined]>([
    ["/", "/", {}],
    ["/a", "/a", {}],
    ["/a/{id}", "/a/7", { id: "7" }],
    ["/a/{id}", "/a", undefined],
    ["/a/{id}", "/a/7/8", undefined],
    ["/a/{id}/", "/a/7", { id: "7" }],
    ["/{a}/{b}", "/x/y%2Fz", { a: "x", b: "y/z" }],
    ["/f-{n}.png", "/f-1.2.png", { n: "1.2" }],
    ["/f-{n}.png", "/f-.png", undefined],
    ["/aa{n}aa", "/aaa", undefined],
    ["/a b", "/a%20b", {}],
    ["/a%20b", "/a%20b", {}],
    ["/A", "/a", undefined],
  ])("%s and %s", (template, path, parameters) => {
    const match = matchPath(parseTemplate("path", template), parsed(path));
    expect(match && Object.fromEntries(match.parameters)).toEqual(parameters);
  });

  it("is more particular the earlier and the more of it is literal", () => {
    const rank = (template: string): string =>
      matchPath(parseTemplate("path", template), parsed("/a/b-c"))?.rank ?? "?";
    const ranks = ["/a/b-c", "/a/b-{x}", "/a/{x}", "/{x}/b-c", "/{x}/{y}"].map(rank);
    expect(ranks).toEqual([...ranks].sort());
    expect(new Set(ranks).size).toBe(ranks.length);
  });

  it.each([
    "/{a}{b}",
    "/{a",
    "/a}",
    "/{}",
    "/{a b}",
    "/{__ow_path}",
    "/{a}/{a}",
    "/{a/b}",
    "/x\u0000",
    `/${"x".repeat(256)}`,
  ])("%j is refused", (template) => {
    expect(() => parseTemplate("path", template)).toThrow(/^path: /);
  });

  it("tells its parameters", () => {
    expect(parametersOf(parseTemplate("path", "/a/{b}/c-{d}"))).toEqual(["b", "d"]);
  });
});
