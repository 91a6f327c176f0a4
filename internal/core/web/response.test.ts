import { describe, expect, it } from "vitest";
import type { WebFormat } from "./path.js";
import { webAnswer } from "./response.js";

/** What is sent, in short; a refusal is its status and message. */
function sent(format: WebFormat, result: unknown): readonly [number, string, string] | readonly [number, string] {
  const answer = webAnswer(format, typeof result === "string" ? result : JSON.stringify(result));
  if (answer.kind === "refused") return [answer.status, answer.message];
  return [answer.status, answer.contentType, answer.body.toString("utf8")];
}

function headersOf(headers: unknown): readonly (readonly [string, string])[] | "refused" {
  const answer = webAnswer("http", JSON.stringify({ body: "b", headers }));
  return answer.kind === "answer" ? answer.headers : "refused";
}

const INVALID = [400, "Response is not valid 'message/http'."] as const;
const MISMATCH = [400, "Response type in header did not match generated content type."] as const;
const UNKNOWN = [400, "Response did not specify a known content-type."] as const;
const HTML = "text/html; charset=UTF-8";

type Sent = ReturnType<typeof sent>;

describe("the response of .http", () => {
  it.each<readonly [unknown, Sent]>([
    [{}, [204, "", ""]],
    [{ greeting: "hi" }, [204, "", ""]],
    [{ body: null, statusCode: 200 }, [200, "", ""]],
    [{ body: "", headers: { "content-type": "nonsense" } }, [204, "", ""]],
    [{ body: "x" }, [200, HTML, "x"]],
    [{ body: "x", statusCode: 204 }, [204, "", ""]],
    [{ body: "x", statusCode: 304 }, [304, "", ""]],
    [{ body: "x", statusCode: "444" }, [444, HTML, "x"]],
    [{ body: "x", statusCode: "+200" }, [200, HTML, "x"]],
    ['{"statusCode":2.0e2,"body":"x"}', [200, HTML, "x"]],
    ['{"statusCode":200,"statusCode":201,"body":"x"}', [201, HTML, "x"]],
    [{ body: 0 }, [200, "application/json", "0"]],
    [{ body: false }, [200, "application/json", "false"]],
    ['{"body":12345678901234567890.0}', [200, "application/json", "12345678901234567890.0"]],
    [{ body: [] }, [200, "application/json", "[]"]],
    ['{"body":"\\ud800\\u0000"}', [200, HTML, "\ufffd\0"]],
    [[], INVALID],
    ['"text"', INVALID],
    ["null", INVALID],
    ["5", INVALID],
    ...["x", "", "1e2", "0x1F4", " 200", 200.5, 0, 101, 199, 600, 1_000, -1, true, null, {}, [200]].map(
      (statusCode) => [{ body: "x", statusCode }, INVALID] as const,
    ),
    ['{"statusCode":1e999}', INVALID],
    ['{"statusCode":99999999999999999999999}', INVALID],
  ])("to %j is %j", (result, expected) => {
    expect(sent("http", result)).toEqual(expected);
  });

  it.each([
    ["text/plain", "x", [200, "text/plain; charset=UTF-8", "x"]],
    ["text/plain; charset=latin1", "é", [200, "text/plain; charset=UTF-8", "é"]],
    ["application/json", '{"a":1}', [200, "application/json", '{"a":1}']],
    ["application/json", "eyJhIjoxfQ==", [200, "application/json", '{"a":1}']],
    ["application/json", "eyJhIjoxfQ", [200, "application/json", "eyJhIjoxfQ"]],
    ["application/x+json", { a: 1 }, [200, "application/x+json", '{\n  "a": 1\n}']],
    ["image/png", "YWJj", [200, "image/png", "abc"]],
    ["image/png", "YWI", [200, "image/png", "ab"]],
    ["image/png", "YWI=", [200, "image/png", "ab"]],
    ["image/png", "YWI==", MISMATCH],
    ["image/png", "YWJjZ", MISMATCH],
    ["image/png", "YW\nJj", MISMATCH],
    ["image/png", "YW-_", MISMATCH],
    ["image/png", "Y=Jj", MISMATCH],
    ["image/svg+xml", "<svg/>", MISMATCH],
    ["text/html", { a: 1 }, MISMATCH],
    ["text/html", 5, MISMATCH],
    ["nonsense", "x", UNKNOWN],
    ["nonsense", {}, UNKNOWN],
    ["", "x", UNKNOWN],
    [true, "x", UNKNOWN],
    [["text/plain", "text/html"], "x", [200, "text/plain; charset=UTF-8", "x"]],
  ])("of type %j with body %j is %j", (type, body, expected) => {
    expect(sent("http", { body, headers: { "Content-TYPE": type } })).toEqual(expected);
  });

  it("has the headers that were given, those of arrays one by one", () => {
    expect(headersOf({ b: "1", "Set-Cookie": ["x=1", ["y=2", [3]]], a: false, spaced: " \tx " })).toEqual([
      ["b", "1"],
      ["Set-Cookie", "x=1"],
      ["Set-Cookie", "y=2"],
      ["Set-Cookie", "3"],
      ["a", "false"],
      ["spaced", "x"],
    ]);
    expect(headersOf({ u: "à" })).toEqual([["u", "Ã\u00a0"]]);
    expect(headersOf({ empty: [] })).toEqual([]);
  });

  it("has none that is between two hops or the platform's", () => {
    const names = ["Connection", "TE", "trailer", "Transfer-Encoding", "UPGRADE", "keep-alive", "Proxy-Connection"];
    const ours = [
      "content-length",
      "X-Request-ID",
      "x-openwhisk-activation-id",
      "Weft-Http-Status",
      "grpc-status",
      "x-envoy-a",
    ];
    expect(headersOf(Object.fromEntries([...names, ...ours, "x-kept"].map((name) => [name, "1"])))).toEqual([
      ["x-kept", "1"],
    ]);
  });

  it.each([
    [{ a: "1\r\nb: 2" }],
    [{ a: "1\rb" }],
    [{ a: "1\nb" }],
    [{ a: "\0" }],
    [{ a: "\u007f" }],
    [{ a: ["fine", "\n"] }],
    [{ "a\nb": "1" }],
    [{ "a:b": "1" }],
    [{ "a b": "1" }],
    [{ é: "1" }],
    [{ "": "1" }],
    [{ ":status": "1" }],
    [{ a: null }],
    [{ a: {} }],
    [{ a: [{}] }],
    [{ connection: "\r\n" }],
    [null],
    [[]],
    ["a: b"],
    [Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`a${i}`, ""]))],
    [{ a: Array(101).fill("x") }],
    [{ a: Array(100_000).fill("x") }],
    [{ a: "x".repeat(40_000) }],
  ])("to headers %j is a refusal", (headers) => {
    expect(headersOf(headers)).toBe("refused");
  });

  it("refuses arrays in arrays without end, at once", () => {
    const deep = `{"headers":{"a":${"[".repeat(500_000)}"x"${"]".repeat(500_000)}},"body":"b"}`;
    expect(sent("http", deep)).toEqual(INVALID);
  });
});

describe("the response of", () => {
  it.each<[WebFormat, unknown, readonly [number, string, string] | readonly [number, string]]>([
    ["json", { statusCode: 500 }, [200, "application/json", '{\n  "statusCode": 500\n}']],
    ["json", [1], [200, "application/json", "[1]"]],
    ["json", "5", [400, "Response is not valid 'application/json'."]],
    ["json", '"x"', [400, "Response is not valid 'application/json'."]],
    ["json", '{"\\ud800":"\\u0000"}', [200, "application/json", '{\n  "\\ud800": "\\u0000"\n}']],
    ["html", { body: "b", html: "h" }, [200, HTML, "b"]],
    ["html", { html: "h" }, [200, HTML, "h"]],
    ["html", '"bare"', [200, HTML, "bare"]],
    ["html", { body: 5, html: "h" }, [400, "Response is not valid 'text/html'."]],
    ["html", {}, [400, "Response is not valid 'text/html'."]],
    ["html", [1], [400, "Response is not valid 'text/html'."]],
    ["svg", { svg: "<svg/>" }, [200, "image/svg+xml", "<svg/>"]],
    ["svg", { html: "h" }, [400, "Response is not valid 'image/svg+xml'."]],
    ["text", { text: "t\n" }, [200, "text/plain; charset=UTF-8", "t\n"]],
    ["text", { body: null, text: "t" }, [200, "text/plain; charset=UTF-8", "null"]],
    ["text", { text: true }, [200, "text/plain; charset=UTF-8", "true"]],
    ["text", '{"text":1e400}', [200, "text/plain; charset=UTF-8", "1e400"]],
    ["text", { text: [1, {}] }, [200, "text/plain; charset=UTF-8", "[1, {}]"]],
    ["text", '"bare"', [200, "text/plain; charset=UTF-8", "bare"]],
    ["text", {}, [404, "Response does not include requested property."]],
  ])(".%s to %j is %j", (format, result, expected) => {
    expect(sent(format, result)).toEqual(expected);
  });
});
