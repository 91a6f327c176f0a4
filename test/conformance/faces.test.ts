// Envoy and the built-in face may not differ. The same requests go through both to one gateway process, and what comes
// back must be equal to the byte: status, headers, body. What is different each time (ids, dates) is put out of sight;
// what belongs to a hop (connection, transfer-encoding, server) is not an answer's.

import { request } from "node:http";
import { afterAll, beforeAll, expect, it } from "vitest";
import { WeftError } from "../../internal/base/errors.js";
import { BODY_BYTES_MAX } from "../../internal/gateway/rest/message.js";
import { Envoy } from "../harness/envoy.js";
import { eventually } from "../harness/eventually.js";
import { describeWith } from "../harness/services.js";
import { openScriptedGateway, type ScriptedGateway } from "./scripted-gateway.js";

interface Sent {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  readonly anonymous?: boolean;
}

interface Answer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: string;
}

const OF_THE_HOP = new Set(["connection", "keep-alive", "transfer-encoding", "date", "server"]);
const JSON_TYPE = { "content-type": "application/json" };
const API = "/api/v1/namespaces/_";

function ask(base: string, authorization: string, sent: Sent): Promise<Answer & { readonly bytes: number }> {
  const { hostname, port } = new URL(base);
  const length = sent.body === undefined ? {} : { "content-length": String(Buffer.byteLength(sent.body)) };
  const headers = { ...(sent.anonymous ? {} : { authorization }), ...length, ...sent.headers };
  return new Promise((resolve, reject) => {
    const asked = request(
      { hostname, port, path: sent.path, method: sent.method ?? "GET", headers, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.once("error", reject);
        response.once("end", () => {
          const whole = Buffer.concat(chunks);
          const raw: string[] = [];
          for (let i = 0; i + 1 < response.rawHeaders.length; i += 2) {
            const name = (response.rawHeaders[i] ?? "").toLowerCase();
            if (!OF_THE_HOP.has(name)) raw.push(`${name}: ${response.rawHeaders[i + 1] ?? ""}`);
          }
          resolve({
            status: response.statusCode ?? 0,
            headers: raw.map(hideIds).sort(),
            body: hideIds(whole.toString("utf8")),
            bytes: whole.length,
          });
        });
      },
    );
    asked.once("error", reject);
    asked.end(sent.body);
  });
}

/** Activation ids; ids of requests, whose makers spell them differently; moments; etags and versions count writes. */
function hideIds(text: string): string {
  return text
    .replace(/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, "(id)")
    .replace(/\b[0-9A-Za-z]{32}\b/g, "(id)")
    .replace(/"(updated|start|end)":\d+/g, '"$1":0')
    .replace(/"(updateTime|startTime|endTime)":"[^"]+"/g, '"$1":"(time)"')
    .replace(/"etag":"\d+"/g, '"etag":"(etag)"')
    .replace(/"version":"0\.0\.\d+"/g, '"version":"(version)"')
    .replace(/^content-length: \d+$/, "content-length: (length)");
}

describeWith(["envoy"], "Envoy and the built-in face", () => {
  let gateway: ScriptedGateway;
  let envoy: Envoy;

  beforeAll(async () => {
    gateway = await openScriptedGateway();
    envoy = await Envoy.start([gateway.grpc]);
    for (const [name, code] of Object.entries(CODE)) {
      const body = JSON.stringify({ exec: { kind: "nodejs:default", code } });
      const made = await ask(gateway.rest, gateway.authorization, {
        method: "PUT",
        path: `${API}/actions/${name}`,
        headers: JSON_TYPE,
        body,
      });
      expect(made.status, made.body).toBe(200);
    }
    await eventually(async () => (await ask(envoy.url, gateway.authorization, { path: "/ping" })).status === 200);
  });
  afterAll(async () => {
    await envoy.stop();
    await gateway.close();
  });

  /** Both answers, Envoy's first, after the same request to each. */
  async function both(sent: Sent): Promise<[Answer & { bytes: number }, Answer & { bytes: number }]> {
    const { authorization } = gateway;
    return [await ask(envoy.url, authorization, sent), await ask(gateway.rest, authorization, sent)];
  }

  async function expectEqual(sent: Sent): Promise<Answer> {
    const [{ bytes: _a, ...viaEnvoy }, { bytes: _b, ...builtIn }] = await both(sent);
    expect(viaEnvoy).toEqual(builtIn);
    return builtIn;
  }

  it.each(OPENWHISK.map((sent) => [nameOf(sent), sent] as const))("agree on OpenWhisk's %s", async (_name, sent) => {
    await expectEqual(sent);
  });

  it.each(NATIVE.map((sent) => [nameOf(sent), sent] as const))("agree on the native %s", async (_name, sent) => {
    await expectEqual(sent);
  });

  it.each(MALFORMED.map((sent) => [nameOf(sent), sent] as const))(
    "refuse alike, each in its parser's words, %s",
    async (_name, sent) => {
      const [viaEnvoy, builtIn] = await both(sent);
      const shape = ({ status, body }: Answer): unknown => {
        const said = JSON.parse(body) as Record<string, unknown>;
        return { status, members: Object.keys(said), code: said["code"], details: said["details"] };
      };
      expect(shape(viaEnvoy)).toEqual(shape(builtIn));
      expect(builtIn.status).toBe(400);
    },
  );

  it.each(FAULTS.map((fault) => [fault.kind, fault] as const))("agree on what %s is", async (_kind, fault) => {
    gateway.api.fault = fault;
    try {
      await expectEqual({ path: `${API}/actions/hello` });
      await expectEqual({ path: "/v1/namespaces/_/actions/hello" });
      await expectEqual({ method: "POST", path: `${API}/actions/hello?blocking=true` });
    } finally {
      gateway.api.fault = undefined;
    }
  });

  it("carry 48 MiB both ways", async () => {
    const code = `const data = "${"x".repeat(47 * 1024 * 1024)}"; function main() { return {} }`;
    const body = JSON.stringify({ exec: { kind: "nodejs:20", code } });
    const path = `${API}/actions/large`;
    const [viaEnvoy, builtIn] = await both({
      method: "PUT",
      path: `${path}?overwrite=true`,
      headers: JSON_TYPE,
      body,
    });
    expect([viaEnvoy.status, builtIn.status]).toEqual([200, 200]);
    const [readThere, readHere] = await both({ path });
    expect(readThere.bytes).toBe(readHere.bytes);
    expect(readThere.bytes).toBeGreaterThan(code.length);
  });

  it("refuse a body above the limit in JSON, each API in its own form", async () => {
    const body = Buffer.concat([Buffer.from('{"name":"'), Buffer.alloc(BODY_BYTES_MAX, 0x61)]);
    for (const path of [`${API}/actions/hello`, "/v1/namespaces/_/actions"]) {
      const { status, body: said } = await expectEqual({ method: "POST", path, headers: JSON_TYPE, body });
      expect(status).toBe(413);
      expect(JSON.parse(said)).toHaveProperty(path.startsWith("/v1") ? "message" : "error");
    }
  });

  it("keep a client's request id, unless it is reserved", async () => {
    for (const path of ["/api/v1/namespaces", "/v1/namespaces/_/actions/nosuch", `${API}/actions/nosuch`]) {
      for (const asked of ["abc", "with space", "0123"]) {
        const answer = await expectEqual({ path, headers: { "x-request-id": asked } });
        expect(answer.headers).toContain(`x-request-id: ${asked}`);
      }
    }
    const [viaEnvoy, builtIn] = await both({ path: `${API}/actions/nosuch`, headers: { "x-request-id": "sid_mine" } });
    for (const { headers, body } of [viaEnvoy, builtIn]) {
      expect(headers).toContain("x-request-id: (id)");
      expect(body).toContain('"code":"(id)"');
    }
  });

  it("show a trigger's rules every header of the request, as the client sent it", async () => {
    const sent = { "x-thing": "1", "user-agent": "me", accept: "*/*", ...JSON_TYPE };
    const seen: string[] = [];
    const { fire } = gateway.api;
    gateway.api.fire = (command) => {
      seen.push(Buffer.from(command.headersJson).toString());
      return Promise.resolve({ activationId: undefined });
    };
    try {
      await expectEqual({ method: "POST", path: `${API}/triggers/t`, headers: sent, body: "{}" });
    } finally {
      gateway.api.fire = fire;
    }
    const [viaEnvoy, builtIn] = seen.map((text) => {
      const headers = JSON.parse(text) as Record<string, string>;
      // A proxy says that it was there; the connection is the hop's.
      for (const name of [
        "connection",
        "x-forwarded-for",
        "x-forwarded-proto",
        "host",
        "x-request-id",
        "content-length",
      ]) {
        Reflect.deleteProperty(headers, name);
      }
      return headers;
    });
    expect(viaEnvoy).toEqual(builtIn);
    expect(builtIn).toMatchObject({ "x-thing": "1", "user-agent": "me", authorization: gateway.authorization });
  });
});

const CODE = {
  hello: "function main(p) { console.log('hi'); return { greeting: 'hello ' + (p.name ?? 'you') } }",
  fails: "function main() { return { error: 'boom', more: 1 } }",
  crashes: "function main() { throw new Error('oh') }",
  list: "function main() { return [1, 2, { three: 3 }] }",
  angles: "function main() { return { html: '<b>\\u2028\\u00ad&\\u007f</b>' } }",
};

const WRITE = (path: string, body: unknown, method = "PUT"): Sent => ({
  method,
  path,
  headers: JSON_TYPE,
  body: typeof body === "string" ? body : JSON.stringify(body),
});

const CORS_PREFLIGHT = { origin: "https://example.com", "access-control-request-method": "POST" };

/** In order: each is sent to Envoy, then to the built-in face, so writes say overwrite. */
const OPENWHISK: readonly Sent[] = [
  { path: "/", anonymous: true },
  { path: "/ping", anonymous: true },
  { path: "/api-docs", anonymous: true },
  { path: "/nothing", anonymous: true },
  { path: "//", anonymous: true },
  { path: "/v1", anonymous: true },
  { path: "/api", anonymous: true },
  { path: "/api/v1", anonymous: true },
  { path: "/api/v1/", anonymous: true },
  { path: "/api/v1/api-docs", anonymous: true },
  { path: "/api/v1/bogus", anonymous: true },
  { path: "/api/v1/bogus" },
  { method: "OPTIONS", path: "/api/v1/bogus", anonymous: true },
  { method: "OPTIONS", path: "/elsewhere", anonymous: true },
  { method: "OPTIONS", path: "/api/v1/namespaces", headers: CORS_PREFLIGHT, anonymous: true },
  { method: "HEAD", path: "/", anonymous: true },
  { method: "HEAD", path: "/api/v1/namespaces" },
  { method: "PATCH", path: `${API}/actions/hello` },
  { path: "/api/v1/namespaces", anonymous: true },
  { path: "/api/v1/namespaces", headers: { authorization: "Basic !!!" }, anonymous: true },
  { path: "/api/v1/namespaces", headers: { authorization: "Bearer x:y" }, anonymous: true },
  { path: "/api/v1/namespaces" },
  { path: "/api/v1/namespaces", headers: { origin: "https://example.com" } },
  { path: "/api/v1/namespaces/" },
  { path: "/api/v1/namespaces?data=x&content_type=y" },
  { path: "/api/v1//namespaces" },
  { path: "/api/v1/namespaces//actions" },
  { path: "/api/v1/namespaces/other/actions" },
  { path: "/api/v1/namespaces/other/packages" },
  { path: "/api/v1/namespaces/guest/limits" },
  { path: `${API}/limits/` },
  { path: `${API}/actions?limit=201` },
  { path: `${API}/actions?skip=x` },
  { path: `${API}/actions?count=true` },
  { path: `${API}/actions?limit=2` },
  { path: `${API}/actions/` },
  { path: `${API}/actions/hello` },
  { path: `${API}/actions/hello?code=false` },
  { path: `${API}/actions/hello/` },
  { path: `${API}/actions/nosuch` },
  { path: `${API}/actions/hi%2Fthere` },
  { path: `${API}/actions/hi%2fthere/x` },
  { path: `${API}/actions/hi+there` },
  { path: `${API}/actions/%zz` },
  { path: `${API}/actions/%00` },
  { path: `${API}/actions/..%2f..%2f` },
  { path: `${API}/actions/../../x` },
  { path: `${API}/actions/./hello` },
  { path: `${API}/actions/a%20b@c&d.e` },
  { path: `${API}/actions/${"n".repeat(257)}` },
  WRITE(`${API}/actions/a%20b@c%26d.e?overwrite=true`, { exec: { kind: "nodejs:20", code: CODE.hello } }),
  { path: `${API}/actions/a%20b%40c&d.e` },
  WRITE(`${API}/actions/hello`, { exec: { kind: "nodejs:20", code: CODE.hello } }),
  WRITE(`${API}/actions/new`, {}),
  WRITE(`${API}/actions/new`, "{"),
  WRITE(`${API}/actions/new`, "[]"),
  WRITE(`${API}/actions/new`, `${"[".repeat(100_000)}${"]".repeat(100_000)}`),
  WRITE(`${API}/actions/new`, { exec: { kind: "nodejs:20", code: "x" }, parameters: { a: 1 } }),
  WRITE(`${API}/actions/new`, '{"exec":{"kind":"nodejs:20","code":"x"},"limits":{"memory":1e400}}'),
  { method: "PUT", path: `${API}/actions/new` },
  { method: "PUT", path: `${API}/actions/new`, body: "{}" },
  { method: "PUT", path: `${API}/actions/new`, headers: { "content-type": "application/grpc" }, body: "{}" },
  WRITE(`${API}/triggers/t?overwrite=true`, '{"parameters":[{"key":"big","value":123456789012345678901234567890.50}]}'),
  { path: `${API}/triggers/t` },
  { path: `${API}/actions/t` },
  WRITE(`${API}/packages/p?overwrite=true`, { annotations: [{ key: "a", value: null }] }),
  { path: `${API}/packages/p` },
  { path: `${API}/packages` },
  { path: `${API}/actions/p/` },
  { path: `${API}/actions/p` },
  { method: "DELETE", path: `${API}/actions/p/` },
  { method: "POST", path: `${API}/packages/refresh` },
  WRITE(`${API}/rules/r?overwrite=true`, { trigger: "/_/t", action: "/_/hello" }),
  { path: `${API}/rules/r` },
  { path: `${API}/rules` },
  WRITE(`${API}/rules/r`, { status: "inactive", trigger: null, action: null }, "POST"),
  { method: "POST", path: `${API}/triggers/t` },
  WRITE(`${API}/rules/r`, { status: "active" }, "POST"),
  WRITE(`${API}/triggers/t`, { a: 1 }, "POST"),
  WRITE(`${API}/triggers/t`, "[1]", "POST"),
  { method: "POST", path: `${API}/actions/hello` },
  WRITE(`${API}/actions/hello?blocking=true`, { name: "Ada" }, "POST"),
  WRITE(`${API}/actions/hello?blocking=true&result=true`, { name: "Ada <é😀>" }, "POST"),
  { method: "POST", path: `${API}/actions/fails?blocking=true` },
  { method: "POST", path: `${API}/actions/fails?blocking=true&result=true` },
  { method: "POST", path: `${API}/actions/crashes?blocking=true` },
  { method: "POST", path: `${API}/actions/list?blocking=true` },
  { method: "POST", path: `${API}/actions/hello?blocking=maybe` },
  { method: "POST", path: `${API}/actions/hello?timeout=60001` },
  { method: "POST", path: `${API}/actions/hello`, headers: { "content-type": "text/plain" }, body: "x" },
  { method: "POST", path: `${API}/actions/hello`, headers: { "content-length": "0", ...JSON_TYPE } },
  { method: "POST", path: `${API}/actions/hello`, headers: { "grpc-timeout": "1n", "grpc-encoding": "gzip" } },
  { method: "POST", path: `${API}/actions/hello`, headers: { "weft-path": "/evil", "weft-method": "GET" } },
  { method: "POST", path: `${API}/actions/hello`, headers: { "x-envoy-upstream-rq-timeout-ms": "1" } },
  { method: "POST", path: `${API}/actions/hello`, headers: { "accept-encoding": "gzip, deflate, br" } },
  { method: "POST", path: `${API}/actions/hello`, headers: { expect: "100-continue", ...JSON_TYPE }, body: "{}" },
  { path: `${API}/activations/${"0".repeat(31)}` },
  { path: `${API}/activations/${"g".repeat(32)}` },
  { path: `${API}/activations/${"0".repeat(32)}` },
  { path: `${API}/activations/${"0".repeat(32)}/bogus` },
  { path: `${API}/activations?count=true&docs=true` },
  { path: `${API}/activations?name=a/b/c` },
  { path: `${API}/activations?since=abc` },
  { path: `${API}/activations?name=hello&limit=1&upto=1` },
];

const NATIVE: readonly Sent[] = [
  { path: "/v1/", anonymous: true },
  { path: "/v1/nope" },
  { path: "/v1/whoami", anonymous: true },
  { path: "/v1/whoami" },
  { path: "/v1/whoami/" },
  { path: "/v1/whoami", headers: { origin: "https://example.com" } },
  { method: "OPTIONS", path: "/v1/whoami", headers: CORS_PREFLIGHT, anonymous: true },
  { method: "OPTIONS", path: "/v1/whoami", anonymous: true },
  { method: "HEAD", path: "/v1/whoami" },
  { method: "PUT", path: "/v1/namespaces/_/actions" },
  { path: "/v1/namespaces/_/actions" },
  { path: "/v1/namespaces/_/actions/" },
  { path: "/v1/namespaces/_/actions?page_size=2&skip=1&withTotal=true" },
  { path: "/v1/namespaces/_/actions?pageSize=1&pageSize=2" },
  { path: "/v1/namespaces/_/actions?page_size=x" },
  { path: "/v1/namespaces/_/actions?page_size=" },
  { path: "/v1/namespaces/_/actions?page_size=99999999999" },
  { path: "/v1/namespaces/_/actions?with_total=maybe" },
  { path: "/v1/namespaces/_/actions?with_total=1&x" },
  { path: "/v1/namespaces/_/actions?nope=1" },
  { path: "/v1/namespaces/_/actions/hello" },
  { path: "/v1/namespaces/_/actions/hello?with_code=true" },
  { path: "/v1/namespaces/_/actions/a%20b%40c%26d.e" },
  { path: "/v1/namespaces/_/actions/a%2Fb" },
  { path: "/v1/namespaces/_/actions/a%252Fb" },
  { path: "/v1/namespaces/_/actions/%zz" },
  { path: "/v1/namespaces//actions" },
  { path: "/v1/namespaces/_//actions" },
  { path: "/v1/namespaces/oth%2Fer/actions" },
  { path: "/v1/namespaces/_/actions/hello:call" },
  { path: "/v1/namespaces/_/triggers/t" },
  WRITE("/v1/namespaces/_/actions", { name: "hello", exec: { kind: "nodejs:20" } }, "POST"),
  WRITE("/v1/namespaces/_/actions", { name: "x", namespace: "other" }, "POST"),
  WRITE("/v1/namespaces/_/actions", { name: "x", bogus: 1, exec: { kind: "cobol" } }, "POST"),
  WRITE("/v1/namespaces/_/actions", "null", "POST"),
  WRITE("/v1/namespaces/_/actions", "", "POST"),
  WRITE("/v1/namespaces/_/actions/hello", { publish: true, limits: { logs_mb: 5, timeoutMs: 1000 } }, "PATCH"),
  WRITE("/v1/namespaces/_/actions/hello?updateFields=publish&update_fields=limits", { publish: false }, "PATCH"),
  WRITE("/v1/namespaces/_/actions/hello?action.publish=true", { publish: false }, "PATCH"),
  WRITE("/v1/namespaces/_/actions/hello:invoke", { params_json: '{"name":"Ada"}', blocking: true }, "POST"),
  WRITE("/v1/namespaces/_/actions/hello:invoke?wait_ms=1000", { blocking: true }, "POST"),
  WRITE("/v1/namespaces/_/actions/hello:invoke", {}, "POST"),
  WRITE("/v1/namespaces/_/actions/angles:invoke", { blocking: true }, "POST"),
  WRITE("/v1/namespaces/_/actions/nosuch:invoke", {}, "POST"),
  WRITE("/v1/namespaces/_/actions/hello%3Ainvoke", {}, "POST"),
  WRITE("/v1/namespaces/_/actions/hello:invoke/", {}, "POST"),
  WRITE("/v1/namespaces/_/actions/:invoke", {}, "POST"),
  WRITE("/v1/namespaces/_/actions/hello:call", { name: "<Ada>" }, "POST"),
  { method: "POST", path: "/v1/namespaces/_/actions/hello:call" },
  { method: "POST", path: "/v1/namespaces/_/actions/angles:call" },
  { method: "POST", path: "/v1/namespaces/_/actions/list:call" },
  WRITE("/v1/namespaces/_/actions/hello:call", "[1]", "POST"),
  WRITE("/v1/namespaces/_/actions/fails:call", {}, "POST"),
  WRITE("/v1/namespaces/_/triggers/t:fire", { paramsJson: "{}" }, "POST"),
  { path: "/v1/namespaces/_/activations?since=2020-01-01T00:00:00Z&page_size=1&full=true&name=hello" },
  { path: "/v1/namespaces/_/activations?upto=2020-01-01T00:00:00Z" },
  { path: "/v1/namespaces/_/rules/r" },
  WRITE("/v1/namespaces/_/rules/r:disable", {}, "POST"),
  WRITE("/v1/namespaces/_/rules/r:enable", "", "POST"),
  { method: "DELETE", path: "/v1/namespaces/_/triggers/nosuch?etag=1" },
];

const MALFORMED: readonly Sent[] = [
  WRITE("/v1/namespaces/_/actions", "{", "POST"),
  WRITE("/v1/namespaces/_/actions", "[]", "POST"),
  WRITE("/v1/namespaces/_/actions", '"x"', "POST"),
  WRITE("/v1/namespaces/_/actions", '{"name":1}', "POST"),
  WRITE("/v1/namespaces/_/actions", '{"publish":"zz"}', "POST"),
  WRITE("/v1/namespaces/_/actions", '{"publish":true}{}', "POST"),
  WRITE("/v1/namespaces/_/actions", '{"exec":{"code":"%%%"}}', "POST"),
  WRITE("/v1/namespaces/_/actions", '{"limits":{"logs_mb":-1}}', "POST"),
  WRITE("/v1/namespaces/_/actions", '{"limits":{"logs_mb":1.5}}', "POST"),
  WRITE("/v1/namespaces/_/actions", '{"updateTime":"x"}', "POST"),
  WRITE("/v1/namespaces/_/actions", '{"name":"\\ud800"}', "POST"),
  WRITE("/v1/namespaces/_/actions", `${'{"limits":'.repeat(200)}1${"}".repeat(200)}`, "POST"),
  {
    method: "POST",
    path: "/v1/namespaces/_/actions",
    headers: JSON_TYPE,
    body: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
  },
  { method: "DELETE", path: "/v1/namespaces/_/actions/x", headers: JSON_TYPE, body: "x" },
  { path: "/v1/namespaces/_/activations?since=yesterday" },
];

const FAULTS: readonly WeftError[] = [
  new WeftError("throttled", "TOO_MANY", "too <many> requests", { retryAfterMs: 1_500 }),
  new WeftError("throttled", "TOO_MANY", "too many requests", { retryAfterMs: 2_000, fix: "weft namespace limits" }),
  new WeftError("unavailable", "NO_CONTROLLER", "no controller answers"),
  new WeftError("noCapacity", "FULL", "no invoker has room"),
  new WeftError("internal", "UNFORESEEN", "with secrets"),
  new WeftError("permissionDenied", "NOT_YOURS", "not yours"),
  new WeftError("failedPrecondition", "WRONG_STATE", "not now"),
  new WeftError("conflict", "STALE", "somebody wrote"),
  new WeftError("alreadyExists", "EXISTS", "exists"),
  new WeftError("deadlineExceeded", "LATE", "too late"),
  new WeftError("canceled", "GONE", "hung up"),
  new WeftError("invalidArgument", "INVALID_FIELD", "a.b: bad, and öther", {
    fields: [
      { field: "a.b", description: "bad" },
      { field: "c", description: "<worse>" },
    ],
  }),
];

function nameOf({ method = "GET", path, headers, body, anonymous }: Sent): string {
  const said = body === undefined ? "" : ` ${String(body).slice(0, 60)}`;
  const more = Object.entries(headers ?? {})
    .filter(([name]) => name !== "content-type")
    .map(([name, value]) => ` ${name}: ${value}`)
    .join("");
  return `${method} ${path.slice(0, 100)}${said}${more}${anonymous ? " (anonymous)" : ""}`;
}
