import { describe, expect, it } from "vitest";
import { canonicalQuery, NOT_ALLOWED, webArguments, type WebRequest } from "./arguments.js";

const request = (more: Partial<WebRequest> & { readonly type?: string; readonly text?: string } = {}): WebRequest => ({
  method: more.method ?? "POST",
  headers: { ...(more.type === undefined ? {} : { "content-type": more.type }), ...more.headers },
  query: more.query ?? "",
  path: more.path ?? "",
  body: more.body ?? Buffer.from(more.text ?? ""),
  user: more.user,
});

function json(asked: WebRequest, raw = false, immutable: readonly string[] = []): string {
  const made = webArguments(asked, raw, new Set(immutable));
  if (made.kind === "refused") throw new Error(made.message);
  return made.json;
}

function refusal(asked: WebRequest, immutable: readonly string[] = []): string {
  const made = webArguments(asked, false, new Set(immutable));
  if (made.kind === "arguments") throw new Error(`was not refused: ${made.json}`);
  return made.message;
}

const JSON_TYPE = "application/json";
const FORM = "application/x-www-form-urlencoded";

describe("arguments of a web action", () => {
  it("say how it was asked, in front of everything else", () => {
    const asked = request({ method: "PATCH", path: "/a b", user: "guest", headers: { "x-a": "1" }, query: "z=1" });
    expect(json(asked)).toBe(
      '{"__ow_method":"patch","__ow_headers":{"x-a":"1"},"__ow_path":"/a b","__ow_user":"guest","z":"1"}',
    );
  });

  it("keep JSON as it is written: digits, escapes, order, null", () => {
    const text = '{ "n": 1.10e400, "big":123456789012345678901234567890, "nul":"\\u0000\\ud800", "z":null , "":[ ] }';
    expect(json(request({ type: JSON_TYPE, text }))).toContain(
      '"n":1.10e400,"big":123456789012345678901234567890,"nul":"\\u0000\\ud800","z":null,"":[ ]}',
    );
  });

  it("take the last of what is repeated, and the body's over the query's", () => {
    const asked = request({ query: "a=1&a=2&b=1", type: JSON_TYPE, text: '{"b":3,"b":4}' });
    expect(JSON.parse(json(asked))).toMatchObject({ a: "2", b: 4 });
    expect(json(asked).match(/"b":/g)).toHaveLength(1);
    expect(JSON.parse(json(request({ query: "a=1&b=1", type: FORM, text: "b=2&b=%26+" })))).toMatchObject({
      a: "1",
      b: "& ",
    });
  });

  it("have a property of any name", () => {
    const asked = request({ query: "__proto__=1&constructor=2", type: JSON_TYPE, text: '{"toString":3}' });
    expect(json(asked)).toContain('"__proto__":"1","constructor":"2","toString":3}');
  });

  it.each([
    [JSON_TYPE, "[1, 2]", "[1, 2]"],
    [`${JSON_TYPE}; charset=utf-8`, " 12345678901234567890 ", "12345678901234567890"],
    ["application/x+json", "null", "null"],
    ["text/plain", "é\0", '"é\\u0000"'],
    ["application/xml", "<a/>", '"<a/>"'],
    ["application/mine", "abc", '"YWJj"'],
    ["multipart/form-data; boundary=x", "abc", '"YWJj"'],
    [undefined, "abc", '"YWJj"'],
  ])("of a body of %s: %s are %s", (type, text, expected) => {
    expect(json(request({ ...(type === undefined ? {} : { type }), text }))).toContain(`,"__ow_body":${expected}}`);
  });

  it.each([JSON_TYPE, FORM, "image/png", undefined])("have no body when there is none, of type %s", (type) => {
    expect(json(request(type === undefined ? {} : { type }))).not.toContain("__ow_body");
    expect(json(request({ type: JSON_TYPE, text: " \n" }))).not.toContain("__ow_body");
  });

  it.each(["method", "headers", "path", "user", "query", "body"])(
    "may not set __ow_%s, however it is written",
    (name) => {
      expect(refusal(request({ query: `__ow_${name}=1` }))).toBe(NOT_ALLOWED);
      expect(refusal(request({ query: `%5F_ow_${name}` }))).toBe(NOT_ALLOWED);
      expect(refusal(request({ type: FORM, text: `__ow_${name}=` }))).toBe(NOT_ALLOWED);
      expect(refusal(request({ type: JSON_TYPE, text: `{"\\u005f_ow_${name}":null}` }))).toBe(NOT_ALLOWED);
    },
  );

  it("may not set what is immutable, which the request's own properties never are", () => {
    expect(refusal(request({ query: "fixed" }), ["fixed"])).toBe(NOT_ALLOWED);
    expect(refusal(request({ type: JSON_TYPE, text: '{"fixed":null}' }), ["fixed"])).toBe(NOT_ALLOWED);
    expect(json(request({ query: "other=1" }), false, ["fixed", "__ow_method"])).toContain('"other":"1"');
  });

  it.each([
    [JSON_TYPE, '{"a":1', "malformed"],
    [JSON_TYPE, "{'a':1}", "malformed"],
    [JSON_TYPE, "[1,]", "malformed"],
    [JSON_TYPE, '"open', "malformed"],
    [JSON_TYPE, "\ufeff{}", "malformed"],
    [JSON_TYPE, '{"a":"\t"}', "malformed"],
    [JSON_TYPE, `${'{"a":'.repeat(600)}1${"}".repeat(600)}`, "malformed"],
    [JSON_TYPE, "[".repeat(200_000), "malformed"],
    ["not a type", "x", "Content type 'not a type' is not supported."],
  ])("of a body of %s: %s are refused", (type, text, message) => {
    expect(refusal(request({ type, text }))).toContain(message);
  });

  it("are refused when JSON is not UTF-8, wherever", () => {
    const body = Buffer.from([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d]);
    expect(refusal(request({ type: JSON_TYPE, body }))).toContain("UTF-8");
  });

  it.each([
    [JSON_TYPE, '{"a', Buffer.from('{"a').toString("base64")],
    ["application/problem+json", "{}", "{}"],
    ["application/mine+json", "{}", "e30="],
    [FORM, "a=b&a=c", "a=b&a=c"],
    ["text/plain", "é", "é"],
    ["image/png", "abc", "YWJj"],
  ])("of a raw action are the body of %s as it is: %s is %s", (type, text, body) => {
    const asked = request({ type, text, query: "__ow_body=1&b=%zz" });
    expect(JSON.parse(json(asked, true, ["b"]))).toMatchObject({ __ow_body: body, __ow_query: "__ow_body=1&b=%25zz" });
  });

  it("of a raw action have query and body when there is none", () => {
    expect(JSON.parse(json(request(), true))).toMatchObject({ __ow_query: "", __ow_body: "" });
  });

  it.each([
    ["", ""],
    ["a", "a"],
    ["a=", "a="],
    ["a=1&&b", "a=1&b"],
    ["a=x y", "a=x+y"],
    ["a=x%20y+z", "a=x+y+z"],
    ["a=b=c", "a=b%3Dc"],
    ["%61=%26%3d", "a=%26%3D"],
    ["a=é", "a=%C3%A9"],
    ["a=%C3%A9", "a=%C3%A9"],
    ["a=/?:@-._~!$'()*,", "a=/?:@-._~!$'()*,"],
    ["a=100%", "a=100%25"],
    ["a=%0d%0a%00", "a=%0D%0A%00"],
    ["a=%ff", "a=%EF%BF%BD"],
    ["a=#", "a=%23"],
  ])("write the query %s as %s", (query, expected) => {
    expect(canonicalQuery(query)).toBe(expected);
  });
});
