// Web actions as OpenWhisk's contract has them: anybody's HTTP request becomes arguments, a result becomes a response.
// Numbers such as "#99" are lines of the list of behaviours that OpenWhisk's own tests assert.

import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exchange, type Exchanged } from "../harness/raw-http.js";
import type { OpenWhiskTarget } from "./openwhisk.suite.js";

interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Buffer;
  /** With the owner's key. */
  readonly keyed?: boolean;
}

/** Answers with its arguments. */
const ECHO = "function main(p) { return { body: p } }";
/** Answers with what the query's `r` says, as JSON. */
const SAYS = "function main(p) { return JSON.parse(p.r) }";

const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "OPTIONS, GET, DELETE, POST, PUT, HEAD, PATCH",
  "access-control-allow-headers": "Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent",
};

export function webActionsSuite(name: string, open: () => Promise<OpenWhiskTarget>, whole: boolean): void {
  describe(`${name} serves web actions`, () => {
    let target: OpenWhiskTarget;
    let count = 0;
    const run = Math.random().toString(36).slice(2, 8);
    const fresh = (what: string): string => `${what}-${run}-${(count += 1)}`;
    let echo: string;
    let raw: string;
    let says: string;

    beforeAll(async () => {
      target = await open();
      echo = await exported(ECHO);
      raw = await exported(ECHO, { "raw-http": true });
      says = await exported(SAYS);
    });
    afterAll(async () => {
      await target.close();
    });

    function send(path: string, { method = "GET", headers = {}, body, keyed }: Ask = {}): Promise<Exchanged> {
      const all = {
        ...(keyed ? { authorization: `Basic ${Buffer.from(target.auth).toString("base64")}` } : {}),
        ...headers,
      };
      return exchange(target.url, method, path, all, body);
    }

    const url = (action: string): string => `/api/v1/web/${target.namespace}/default/${action}`;
    const web = (action: string, ask?: Ask): Promise<Exchanged> => send(url(action), ask);
    const said = (format: string, result: unknown, ask?: Ask): Promise<Exchanged> => {
      const text = typeof result === "string" && result.startsWith("raw:") ? result.slice(4) : JSON.stringify(result);
      return web(`${says}${format}?r=${encodeURIComponent(text)}`, ask);
    };

    async function put(path: string, entity: unknown): Promise<void> {
      const answer = await send(`/api/v1/namespaces/_/${path}?overwrite=true`, {
        method: "PUT",
        keyed: true,
        headers: { "content-type": "application/json" },
        body: typeof entity === "string" ? entity : JSON.stringify(entity),
      });
      expect(answer.status, answer.text).toBe(200);
    }

    async function exported(
      code: string,
      annotations: Readonly<Record<string, unknown>> = {},
      parameters: Readonly<Record<string, unknown>> = {},
    ): Promise<string> {
      const made = fresh("web");
      await put(`actions/${made}`, {
        exec: { kind: "nodejs:default", code },
        annotations: entries({ "web-export": true, ...annotations }),
        parameters: entries(parameters),
      });
      return made;
    }

    const entries = (record: Readonly<Record<string, unknown>>): unknown =>
      Object.entries(record).map(([key, value]) => ({ key, value }));

    function expectRefusal(answer: Exchanged, status: number, text?: string): void {
      expect(answer.status, answer.text).toBe(status);
      const { error, code } = answer.json as { error: string; code: string };
      expect(Object.keys(answer.json as object).sort()).toEqual(["code", "error"]);
      expect(answer.headers["content-type"]).toBe("application/json");
      expect(code).toBe(answer.headers["x-request-id"]);
      if (text !== undefined) expect(error).toContain(text);
    }

    describe("finding them", () => {
      it("#93: what is not exported or not there is 404 for every verb, without CORS, with a key and without", async () => {
        const hidden = await exported(ECHO, { "web-export": false });
        const truthy = await exported(ECHO, { "web-export": "true" });
        const paths = [
          url(hidden),
          url(truthy),
          url("nosuch"),
          `/api/v1/web/${target.namespace}/nosuch/${echo}`,
          `/api/v1/web/nosuch/default/${echo}`,
          `/api/v1/web/_/default/${echo}`,
          url(`${echo}.exe`),
          url("..%2F.."),
          url("%zz"),
          url("a%00b"),
          url(".json"),
          `/api/v1/web/${target.namespace}/../${echo}`,
        ];
        for (const path of paths) {
          for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
            const answer = await send(path, { method, keyed: method === "PUT" });
            expectRefusal(answer, 404);
            expect(answer.headers).not.toHaveProperty("access-control-allow-origin");
          }
          expect((await send(path, { method: "HEAD" })).status).toBe(404);
        }
      });

      it("fewer than three segments are no route: 401 for strangers, 404 with a key", async () => {
        for (const path of ["/api/v1/web", "/api/v1/web/", "/api/v1/web/guest/default", "/api/v1/web/guest/default/"]) {
          expectRefusal(await send(path), 401);
          expectRefusal(await send(path, { keyed: true }), 404);
        }
      });

      it("serves every verb and tells the action which", async () => {
        for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"]) {
          const answer = await web(`${echo}.http`, { method });
          expect(answer.status, answer.text).toBe(200);
          expect(answer.json).toMatchObject({ __ow_method: method.toLowerCase(), __ow_path: "" });
          expect(answer.headers).toMatchObject(CORS);
          expect(answer.headers["x-openwhisk-activation-id"]).toMatch(/^[0-9a-f]{32}$/);
        }
        const head = await web(`${echo}.http`, { method: "HEAD" });
        expect(head.status).toBe(200);
        expect(head.text).toBe("");
        expect(head.headers["x-openwhisk-activation-id"]).toMatch(/^[0-9a-f]{32}$/);
        const sized = await said(".text", { text: "hello" }, { method: "HEAD" });
        expect(sized).toMatchObject({ status: 200, text: "" });
        expect(sized.headers).toMatchObject({ "content-length": "5", "content-type": "text/plain; charset=UTF-8" });
        expectRefusal(await web(echo, { method: "TRACE" }).catch(() => refusedTrace), 405);
      });

      it("finds actions in packages with the packages' parameters, and follows changes", async () => {
        const pkg = fresh("pkg");
        await put(`packages/${pkg}`, { parameters: entries({ a: "package", b: "package" }) });
        const action = (exportedNow: boolean): unknown => ({
          exec: { kind: "nodejs:default", code: ECHO },
          annotations: entries({ "web-export": exportedNow }),
          parameters: entries({ b: "action" }),
        });
        await put(`actions/${pkg}/inner`, action(true));
        const path = `/api/v1/web/${target.namespace}/${pkg}/inner.http`;
        expect((await send(path)).json).toMatchObject({ a: "package", b: "action" });
        await put(`actions/${pkg}/inner`, action(false));
        expectRefusal(await send(path), 404);
        await put(`actions/${pkg}/inner`, action(true));
        await expect.poll(async () => (await send(path)).status, { timeout: 20_000 }).toBe(200);
      });

      it("#109: what follows the action is its path, as it was sent", async () => {
        for (const [suffix, path] of [
          ["", ""],
          ["/", "/"],
          [".http/a/b", "/a/b"],
          ["/a%20b//c%2Fd/", "/a%20b//c%2Fd/"],
          ["/../x", "/../x"],
        ] as const) {
          expect((await web(`${echo}${suffix}`)).json).toMatchObject({ __ow_path: path });
        }
      });
    });

    describe("arguments", () => {
      it("shows headers in lower case with what was repeated, and who calls when the key is somebody's (#94)", async () => {
        const anonymous = await web(echo, {
          headers: { "X-Mine": "One", "x-many": ["a", "b"], "X-REQUEST-ID": "mine" },
        });
        const body = anonymous.json as { __ow_headers: Record<string, string>; __ow_user?: string };
        expect(body.__ow_headers).toMatchObject({ "x-mine": "One", "x-request-id": "mine" });
        expect(body.__ow_headers["x-many"]?.replace(/\s/g, "")).toBe("a,b");
        const named = await web(echo, { headers: { "x-name": Buffer.from("Ünï").toString("latin1") } });
        expect(named.json).toMatchObject({ __ow_headers: { "x-name": "Ünï" } });
        expect(Object.keys(body.__ow_headers).filter((one) => /^(:|weft-|grpc-|te$)/.test(one))).toEqual([]);
        expect(body).not.toHaveProperty("__ow_user");
        expect(anonymous.headers["x-request-id"]).toBe("mine");
        expect((await web(echo, { keyed: true })).json).toMatchObject({ __ow_user: target.namespace });
        for (const authorization of ["Basic bm9uZTpub25l", "Bearer a.b.c", "nonsense"]) {
          const answer = await web(echo, { headers: { authorization } });
          expect(answer.status).toBe(200);
          expect(answer.json).not.toHaveProperty("__ow_user");
        }
      });

      it("#97: merges query and fields as strings, JSON as it is, the body over the query", async () => {
        const form = { "content-type": "application/x-www-form-urlencoded" };
        const json = { "content-type": "application/json" };
        const post = (query: string, headers: Record<string, string>, body: string | Buffer): Promise<Exchanged> =>
          web(`${echo}.http${query}`, { method: "POST", headers, body });
        expect((await web(`${echo}?a=1&a=2&b=x+y%26&c`)).json).toMatchObject({ a: "2", b: "x y&", c: "" });
        expect((await post("?a=q&b=q", form, "a=1&c=%C3%A9")).json).toMatchObject({ a: "1", b: "q", c: "é" });
        const object = await post("?a=q&b=q", json, '{"a":{"n":12345678901234567890.10},"\\ud800":"\\u0000"}');
        expect((object.json as { b: unknown }).b).toBe("q");
        expect((await post("", json, "[1,2]")).json).toMatchObject({ __ow_body: [1, 2] });
        expect((await post("", { "content-type": "application/vnd.x+json" }, "null")).json).toMatchObject({
          __ow_body: null,
        });
        expect((await post("", { "content-type": "text/plain" }, "hé\0")).json).toMatchObject({ __ow_body: "hé\0" });
        const bytes = Buffer.from([0, 1, 254, 255]);
        for (const type of [
          "image/png",
          "application/octet-stream",
          "application/x-mine",
          "multipart/form-data; boundary=b",
        ]) {
          expect((await post("", { "content-type": type }, bytes)).json).toMatchObject({
            __ow_body: bytes.toString("base64"),
          });
        }
        expect((await post("", json, "")).json).not.toHaveProperty("__ow_body");
      });

      it("keeps every digit of numbers on both ways", async () => {
        const answer = await web(`${await exported("function main(p) { return { n: 1, body: p.s } }")}.text?s=x`);
        expect(answer.text).toBe("x");
        const digits = await said(".json", 'raw:{"n":123}');
        expect(digits.text).toBe('{\n  "n": 123\n}');
      });

      it("#98: raw actions get query and body as they are", async () => {
        const json = await web(`${raw}?a=1&b=x%20y&__ow_body=q`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: '{"a": 5, ',
        });
        expect(json.json).toMatchObject({
          __ow_query: "a=1&b=x+y&__ow_body=q",
          __ow_body: Buffer.from('{"a": 5, ').toString("base64"),
        });
        expect(json.json).not.toHaveProperty("a");
        expect((await web(raw)).json).toMatchObject({ __ow_query: "", __ow_body: "" });
        const text = { method: "PUT", headers: { "content-type": "text/plain" }, body: "hi" };
        expect((await web(raw, text)).json).toMatchObject({ __ow_body: "hi" });
        const form = { method: "PUT", headers: { "content-type": "application/x-www-form-urlencoded" }, body: "a=b" };
        expect((await web(raw, form)).json).toMatchObject({ __ow_body: "a=b" });
      });

      it("unpacks nothing: raw actions get packed bodies as they are, others are told that they are no JSON", async () => {
        const body = gzipSync(`{"a":1}`);
        const ask = {
          method: "POST",
          headers: { "content-type": "application/json", "content-encoding": "gzip" },
          body,
        } as const;
        const { json } = await web(raw, ask);
        expect(json).toMatchObject({
          __ow_body: body.toString("base64"),
          __ow_headers: expect.objectContaining({ "content-encoding": "gzip" }) as unknown,
        });
        expectRefusal(await web(echo, ask), 400);
      });

      it("#96: refuses reserved names and final parameters, but those that are null", async () => {
        const final = await exported(ECHO, { final: true }, { fixed: 1, open: null });
        const text = "Request defines parameters that are not allowed";
        const json = (body: unknown): Ask => ({
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(body),
        });
        for (const reserved of ["method", "headers", "path", "user", "query", "body"]) {
          expectRefusal(await web(`${echo}?__ow_${reserved}=x`), 400, text);
          expectRefusal(await web(echo, json({ [`__ow_${reserved}`]: 1 })), 400, text);
        }
        const refused = await web(`${final}?fixed=2`);
        expectRefusal(refused, 400, text);
        expect(refused.headers).toMatchObject(CORS);
        expectRefusal(await web(final, json({ fixed: null })), 400, text);
        expect((await web(`${final}?open=2&more=3`)).json).toMatchObject({ fixed: 1, open: "2", more: "3" });
        const finalRaw = await exported(ECHO, { final: true, "raw-http": true }, { fixed: 1 });
        expect((await web(`${finalRaw}?fixed=2`)).json).toMatchObject({ fixed: 1, __ow_query: "fixed=2" });
      });

      it("refuses what is no JSON, is nested without end, or has an unreadable type", async () => {
        const post = (type: string, body: string): Promise<Exchanged> =>
          web(echo, { method: "POST", headers: { "content-type": type }, body });
        expectRefusal(await post("application/json", '{"a":'), 400, "malformed");
        expectRefusal(await post("application/json", "[1,"), 400, "malformed");
        expectRefusal(
          await post("application/json", `${'{"a":'.repeat(5_000)}1${"}".repeat(5_000)}`),
          400,
          "malformed",
        );
        expectRefusal(await post("application/json", `${"[".repeat(100_000)}${"]".repeat(100_000)}`), 400, "malformed");
        expectRefusal(await post("none at all", "x"), 400, "Content type 'none at all' is not supported.");
      });

      it("#110: refuses bodies above 1 MiB and takes those of 1 MiB, also as base64", async () => {
        const size = await exported("function main(p) { return { body: String(p.__ow_body.length) } }");
        const post = (bytes: number, type: string): Promise<Exchanged> =>
          web(size, { method: "POST", headers: { "content-type": type }, body: Buffer.alloc(bytes, "x") });
        const tooLarge = await post(1_048_577, "text/plain");
        expectRefusal(tooLarge, 413, "1048577 > 1048576 bytes");
        expect(tooLarge.headers).toMatchObject(CORS);
        expect((await post(1_048_576, "text/plain")).text).toBe("1048576");
        expect((await post(1_048_576, "image/png")).text).toBe("1398104");
      });
    });

    describe("who may", () => {
      it("#95: asks for a key, or for the secret to the last digit; OPTIONS is free", async () => {
        const keyed = await exported(ECHO, { "require-whisk-auth": true });
        const secret = await exported(ECHO, { "require-whisk-auth": "s3cret" });
        const denied = await exported(ECHO, { "require-whisk-auth": { a: 1 } });
        const number = fresh("web");
        await put(
          `actions/${number}`,
          `{"exec":{"kind":"nodejs:default","code":${JSON.stringify(ECHO)}},"annotations":[` +
            '{"key":"web-export","value":true},{"key":"require-whisk-auth","value":90071992547409931234}]}',
        );
        const header = (value: string): Ask => ({ headers: { "x-require-whisk-auth": value } });
        const refused = await web(keyed);
        expectRefusal(refused, 401, "Authentication is possible");
        expect(refused.headers).not.toHaveProperty("www-authenticate");
        expect(refused.headers).toMatchObject(CORS);
        expectRefusal(await web(keyed, { headers: { authorization: "Basic bm9uZTpub25l" } }), 401);
        expect((await web(keyed, { keyed: true })).status).toBe(200);
        expectRefusal(await web(secret, { keyed: true }), 401);
        expectRefusal(await web(secret, header("S3cret")), 401);
        expect((await web(secret, header("s3cret"))).status).toBe(200);
        expectRefusal(await web(number, header("90071992547409931235")), 401);
        expect((await web(number, header("90071992547409931234"))).status).toBe(200);
        expectRefusal(await web(denied, { keyed: true }), 401);
        for (const one of [keyed, secret, denied]) expect((await web(one, { method: "OPTIONS" })).status).toBe(200);
      });

      it("#111: answers preflights itself with the headers that were asked for", async () => {
        const plain = await web(echo, { method: "OPTIONS" });
        expect(plain).toMatchObject({ status: 200, text: "" });
        expect(plain.headers).toMatchObject(CORS);
        expect(plain.headers).not.toHaveProperty("x-openwhisk-activation-id");
        const asked = await web(echo, {
          method: "OPTIONS",
          headers: {
            origin: "https://example.com",
            "access-control-request-method": "POST",
            "access-control-request-headers": "x-foo",
          },
        });
        expect(asked.headers).toMatchObject({ ...CORS, "access-control-allow-headers": "x-foo" });
      });

      it("#112: leaves OPTIONS and CORS to actions that ask for it", async () => {
        const code = "function main(p) { return { statusCode: 200, headers: { Allow: 'X', m: p.__ow_method } } }";
        const custom = await exported(code, { "web-custom-options": true });
        const answer = await web(custom, { method: "OPTIONS" });
        expect(answer).toMatchObject({ status: 200, text: "" });
        expect(answer.headers).toMatchObject({ allow: "X", m: "options" });
        for (const header of Object.keys(CORS)) expect(answer.headers).not.toHaveProperty(header);
      });
    });

    describe("responses of .http", () => {
      it("#99, #100: status and headers come from the result, and nothing is 204", async () => {
        for (const result of [{}, { body: null }, { body: "" }, { greeting: "hi" }]) {
          const answer = await said("", result);
          expect(answer).toMatchObject({ status: 204, text: "" });
          expect(answer.headers).not.toHaveProperty("content-type");
        }
        const redirect = await said("", { statusCode: 302, headers: { location: "/there", "Content-Type": "text/x" } });
        expect(redirect).toMatchObject({ status: 302, text: "" });
        expect(redirect.headers["location"]).toBe("/there");
        expect(redirect.headers).not.toHaveProperty("content-type");
        for (const status of [
          200, 201, 206, 299, 300, 301, 304, 307, 400, 401, 404, 418, 444, 451, 499, 500, 502, 503, 599,
        ]) {
          const answer = await said(".http", { statusCode: String(status), body: "text" });
          expect(answer.status).toBe(status);
          expect(answer.text).toBe(status === 304 ? "" : "text");
        }
        expect((await said("", { statusCode: 444 })).status).toBe(444);
        for (const statusCode of ["x", 1.5, null, true, {}, 0, 100, 101, 199, 600, 1e300, -200]) {
          expectRefusal(await said("", { statusCode }), 400, "Response is not valid 'message/http'.");
        }
        expectRefusal(await said("", [1]), 400, "message/http");
      });

      it("#101: sends repeated headers line by line, and drops those between hops", async () => {
        const answer = await said("", {
          body: "ok",
          headers: {
            "Set-Cookie": ["a=1; Path=/", "b=2"],
            "x-number": 12,
            "x-bool": true,
            "x-name": "Ünï",
            Connection: "close, x-number",
            "Transfer-Encoding": "chunked",
            "Content-Length": 9_999,
            "Keep-Alive": "x",
            upgrade: "h2c",
            TE: "trailers",
            trailer: "x",
            "weft-http-status": 500,
            "grpc-status": 13,
            "x-request-id": "faked",
            "x-openwhisk-activation-id": "faked",
          },
        });
        expect(answer).toMatchObject({ status: 200, text: "ok" });
        expect(answer.headers["set-cookie"]).toEqual(["a=1; Path=/", "b=2"]);
        expect(answer.headers).toMatchObject({ "x-number": "12", "x-bool": "true" });
        expect(Buffer.from(String(answer.headers["x-name"]), "latin1").toString()).toBe("Ünï");
        for (const dropped of ["upgrade", "te", "trailer", "weft-http-status", "grpc-status"]) {
          expect(answer.headers).not.toHaveProperty(dropped);
        }
        expect(answer.headers["x-request-id"]).not.toBe("faked");
        expect(answer.headers["x-openwhisk-activation-id"]).toMatch(/^[0-9a-f]{32}$/);
      });

      it("refuses headers that would become others, and more than proxies take", async () => {
        for (const headers of [
          { "x-a": "1\r\nSet-Cookie: stolen=1" },
          { "x-a": "1\nx-b: 2" },
          { "x-a\r\nx-b": "1" },
          { "x-a": "nul\0" },
          { "x-a": ["fine", "not\r\n\r\nfine"] },
          { "content-type": "text/html\r\nx-b: 2" },
          { "": "x" },
          { "x a": "x" },
          { ":status": "200" },
          { "x-a": { b: 1 } },
          { "x-a": null },
          "none",
          Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`x-${i}`, "x"])),
        ]) {
          expectRefusal(await said("", { body: "b", headers }), 400, "Response is not valid 'message/http'.");
        }
        const long = await exported(
          "function main() { return { headers: { 'x-long': 'x'.repeat(40000) }, body: 'b' } }",
        );
        expectRefusal(await web(long), 400, "message/http");
        const many = await exported(
          "function main() { return { body: 'b', headers: { 'set-cookie': Array.from({ length: 90 }, (_, i) => i + '='.padEnd(300, 'x')) } } }",
        );
        const answer = await web(many);
        expect(answer.status).toBe(200);
        expect(answer.headers["set-cookie"]).toHaveLength(90);
      });

      it("#102: takes the type of the body from the header, when it can be that", async () => {
        const typed = (type: string, body: unknown): Promise<Exchanged> =>
          said("", { body, headers: { "Content-Type": type } });
        expect((await said("", { body: "<b>" })).headers["content-type"]).toBe("text/html; charset=UTF-8");
        const json = await said("", { body: { a: [1, { b: {} }] } });
        expect(json.headers["content-type"]).toBe("application/json");
        expect(json.text).toBe('{\n  "a": [1, {\n    "b": {}\n  }]\n}');
        expect((await said("", { body: 42 })).text).toBe("42");
        const vendor = await typed("application/vnd.x+json", { a: 1 });
        expect(vendor).toMatchObject({ status: 200, json: { a: 1 } });
        expect(vendor.headers["content-type"]).toBe("application/vnd.x+json");
        expectRefusal(await typed("text/html", { a: 1 }), 400, "did not match generated content type");
        expectRefusal(await typed("nonsense", "text"), 400, "known content-type");
        expectRefusal(await typed("nonsense", { a: 1 }), 400, "known content-type");
        expect((await typed("text/plain", "t")).headers["content-type"]).toBe("text/plain; charset=UTF-8");
        expect((await typed("application/json", '{"a":"é"}')).json).toEqual({ a: "é" });
        expect((await typed("application/json", Buffer.from('{"b":1}').toString("base64"))).json).toEqual({ b: 1 });
      });

      it("#103: decodes what is binary, and refuses what is not base64", async () => {
        const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
        const answer = await said("", { body: bytes.toString("base64"), headers: { "content-type": "image/png" } });
        expect(answer.status).toBe(200);
        expect(answer.headers["content-type"]).toBe("image/png");
        expect(answer.bytes.equals(bytes)).toBe(true);
        const large = await exported(
          "function main() { return { headers: { 'content-type': 'image/png' }, body: Buffer.alloc(750000, 7).toString('base64') } }",
        );
        expect((await web(large)).bytes.equals(Buffer.alloc(750_000, 7))).toBe(true);
        for (const body of ["not base64!", "abcde", "ab=c"]) {
          expectRefusal(await said("", { body, headers: { "content-type": "image/png" } }), 400, "did not match");
        }
      });
    });

    describe("responses of the other extensions", () => {
      it("#104: .json, .html, .svg and .text each have their field and their type", async () => {
        for (const [format, result, type, text] of [
          [".json", { a: "b" }, "application/json", '{\n  "a": "b"\n}'],
          [".html", { html: "<p>", body: "<b>é" }, "text/html; charset=UTF-8", "<b>é"],
          [".html", { html: "<p>" }, "text/html; charset=UTF-8", "<p>"],
          [".svg", { svg: "<svg/>" }, "image/svg+xml", "<svg/>"],
          [".text", { text: "t" }, "text/plain; charset=UTF-8", "t"],
          [".text", { text: 4.5 }, "text/plain; charset=UTF-8", "4.5"],
          [".text", { body: { a: 1 } }, "text/plain; charset=UTF-8", '{\n  "a": 1\n}'],
          [".html", { error: "<i>" }, "text/html; charset=UTF-8", "<i>"],
          [".html", { statusCode: 500, headers: { "x-a": "b" }, body: "x" }, "text/html; charset=UTF-8", "x"],
        ] as const) {
          const answer = await said(format, result);
          expect(answer, JSON.stringify(result)).toMatchObject({ status: 200, text });
          expect(answer.headers["content-type"]).toBe(type);
          expect(answer.headers).not.toHaveProperty("x-a");
        }
        expectRefusal(await said(".json", { error: 5 }), 400, "Response is not valid 'application/json'.");
        expectRefusal(await said(".html", { html: 5 }), 400, "Response is not valid 'text/html'.");
        expectRefusal(await said(".html", { other: 5 }), 400, "Response is not valid 'text/html'.");
        expectRefusal(await said(".svg", {}), 400, "Response is not valid 'image/svg+xml'.");
        expectRefusal(await said(".text", { other: 5 }), 404, "Response does not include requested property.");
      });

      it("#105, #106: an application error is a response of its own; other errors are 400", async () => {
        const error = { statusCode: 404, headers: { "x-a": "b" }, body: "nope" };
        const answer = await said("", { error });
        expect(answer).toMatchObject({ status: 404, text: "nope" });
        expect(answer.headers["x-a"]).toBe("b");
        expectRefusal(await said("", { error: "text" }), 400, "message/http");
        const throws = await exported("function main() { throw new Error('secret') }");
        const failed = await web(throws);
        expectRefusal(failed, 400, "There was an error processing your request.");
        expect(failed.text).not.toContain("secret");
        expect(failed.headers["x-openwhisk-activation-id"]).toMatch(/^[0-9a-f]{32}$/);
        expect(failed.headers).toMatchObject(CORS);
      });

      it("#108: says 406 when the client does not accept what came out, after one run", async () => {
        const answer = await said(".html", { html: "x" }, { headers: { accept: "application/json" } });
        expectRefusal(answer, 406);
        expect(answer.headers["x-openwhisk-activation-id"]).toMatch(/^[0-9a-f]{32}$/);
        for (const accept of ["text/*", "*/*;q=0.1", "application/json, text/html;q=0.5", "text/html;level=1"]) {
          expect((await said(".html", { html: "x" }, { headers: { accept } })).status).toBe(200);
        }
        expectRefusal(await said(".html", { html: "x" }, { headers: { accept: "text/html;q=0, */*" } }), 406);
      });

      it("does not swell results that are nested deeply", async () => {
        const deep = await exported(
          "function main() { let v = 1; for (let i = 0; i < 400; i++) v = { v }; return { all: Array(300).fill(v) } }",
        );
        const answer = await web(`${deep}.json`);
        expect(answer.status).toBe(200);
        expect(answer.bytes.length).toBeLessThan(3 * 1024 * 1024);
        expect((answer.json as { all: unknown[] }).all).toHaveLength(300);
      });
    });

    if (whole) {
      it("runs sequences and compositions as it runs actions", async () => {
        const add = async (name: string): Promise<string> => {
          const made = await exported(`function main(p) { return { ...p, steps: (p.steps ?? '') + '${name}' } }`);
          return `/${target.namespace}/${made}`;
        };
        const last = await exported(
          "function main(p) { return { statusCode: 201, body: p.steps + p.__ow_method + p.a } }",
        );
        const sequence = fresh("sequence");
        await put(`actions/${sequence}`, {
          exec: { kind: "sequence", components: [await add("x"), await add("y"), `/${target.namespace}/${last}`] },
          annotations: entries({ "web-export": true, final: true }),
        });
        const answer = await web(`${sequence}?a=1`);
        expect(answer, answer.text).toMatchObject({ status: 201, text: "xyget1" });
        expect(answer.headers["x-openwhisk-activation-id"]).toMatch(/^[0-9a-f]{32}$/);
        const conductor = await exported(
          "function main(p) { return p.done ? { params: { body: 'done' + p.done } } : { action: p.next, params: { done: 1 } } }",
          { conductor: true },
          { next: await add("z") },
        );
        expect(await web(conductor)).toMatchObject({ status: 200, text: "done1" });
      });

      it("runs as the owner, whose records it makes and whose throttles it counts for (#113)", async () => {
        const answer = await web(echo);
        const id = String(answer.headers["x-openwhisk-activation-id"]);
        await expect
          .poll(
            async () => {
              const read = await send(`/api/v1/namespaces/_/activations/${id}`, { keyed: true });
              return read.status === 200 ? read.json : undefined;
            },
            { timeout: 20_000, interval: 100 },
          )
          .toMatchObject({ namespace: target.namespace, subject: target.namespace, name: echo });
        const limits = async (n: number): Promise<void> => {
          const set = await send(`/v1/namespaces/${target.namespace}/limits`, {
            method: "PATCH",
            keyed: true,
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ concurrentInvocations: n }),
          });
          expect(set.status, set.text).toBe(200);
        };
        await limits(0);
        try {
          await expect.poll(async () => (await web(echo)).status, { timeout: 20_000 }).toBe(429);
          const throttled = await web(echo);
          expectRefusal(throttled, 429, "concurrent");
          expect(throttled.headers).toMatchObject(CORS);
          expect(throttled.headers["retry-after"]).toMatch(/^\d+$/);
          expectRefusal(await web("nosuch"), 404);
        } finally {
          await limits(100);
        }
        await expect.poll(async () => (await web(echo)).status, { timeout: 20_000 }).toBe(200);
      });
    }
  });
}

/** Clients that do not send TRACE count as refused. */
const refusedTrace: Exchanged = {
  status: 405,
  headers: { "content-type": "application/json", "x-request-id": "x" },
  bytes: Buffer.alloc(0),
  text: '{"error":"not allowed","code":"x"}',
  json: { error: "not allowed", code: "x" },
};
