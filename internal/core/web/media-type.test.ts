import { describe, expect, it } from "vitest";
import { accepts, isBinary, isJsonFamily, parseMediaType, withUtf8, type MediaType } from "./media-type.js";

const parsed = (text: string): MediaType => {
  const type = parseMediaType(text);
  if (!type) throw new Error(`${text} is no media type`);
  return type;
};

describe("media types", () => {
  it.each([
    "",
    "text",
    "text/",
    "/html",
    "text html",
    "text/html;",
    "text/html; charset",
    "text/html; charset=",
    "text/html\r\nx: y",
    "text/html;\ncharset=x",
    'text/html; a="b',
    "text/ü",
    `text/${"x".repeat(2_000)}`,
  ])("%s is one only when it can be read", (text) => {
    expect(parseMediaType(text) !== undefined).toBe(text === "text/html;");
  });

  it("reads the charset, quoted or not", () => {
    expect(parsed(' Text/HTML ; Charset="UTF-8"; a=b').charset).toBe("UTF-8");
    expect(parsed("text/html;charset=latin1")).toMatchObject({ main: "text", sub: "html", charset: "latin1" });
  });

  it.each([
    ["text/anything", false, false],
    ["application/json", false, true],
    ["application/json; charset=utf-8", false, true],
    ["application/problem+json", false, true],
    ["application/vnd.mine+json", true, true],
    ["image/x+json", true, true],
    ["application/xml", false, false],
    ["application/x-www-form-urlencoded", false, false],
    ["application/javascript", false, false],
    ["application/octet-stream", true, false],
    ["application/mine", true, false],
    ["application/mine; charset=utf-8", false, false],
    ["image/svg+xml", true, false],
    ["multipart/form-data; boundary=x", true, false],
  ])("%s is binary: %s, JSON: %s", (text, binary, json) => {
    expect([isBinary(parsed(text)), isJsonFamily(parsed(text))]).toEqual([binary, json]);
  });

  it.each([
    ["text/html", "text/html; charset=UTF-8"],
    ["text/html;", "text/html; charset=UTF-8"],
    ["text/html; charset=utf-8", "text/html; charset=utf-8"],
    ["text/html; charset=latin1; a=b", "text/html; charset=UTF-8; a=b"],
    ['text/html; charset="latin1"', "text/html; charset=UTF-8"],
    ["application/json", "application/json"],
  ])("%s is sent with text as %s", (text, sent) => {
    expect(withUtf8(parsed(text))).toBe(sent);
  });

  it.each([
    [undefined, true],
    ["", true],
    ["*/*", true],
    ["text/html", true],
    ["TEXT/HTML;level=1", true],
    ["text/*;q=0.1", true],
    ["text/plain, text/*;q=0.5", true],
    ["nonsense", true],
    ["text/html, nonsense", true],
    ["application/json", false],
    ["text/*;q=0", false],
    ["text/html;q=0.0, */*", false],
    ["*/*, text/html; q=0", false],
    ["image/*, application/*", false],
    [",,", false],
  ])("Accept %s takes text/html: %s", (accept, expected) => {
    expect(accepts(accept, "text/html; charset=UTF-8")).toBe(expected);
  });
});
