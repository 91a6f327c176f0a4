import { describe, expect, it } from "vitest";

import { parseBackendUrl } from "./backend.js";
import type { JsonObject } from "./json.js";
import { compileRoutes, findPath, operationsIn } from "./routes.js";
import { parseRequestPath } from "./template.js";

const URL = "https://h/api/v1/web/ns/pkg/act.http";
const get = (more: JsonObject = {}): JsonObject => ({
  get: { operationId: "o", "x-openwhisk": { url: URL }, ...more },
});
const document = (more: JsonObject = {}, item: JsonObject = get()): JsonObject => ({
  basePath: "/b",
  paths: { "/p": item },
  ...more,
});
const only = (doc: JsonObject): ReturnType<typeof operationsIn>[number] => {
  const [operation] = operationsIn(compileRoutes(doc));
  if (!operation) throw new Error("it has no operation");
  return operation;
};
const executing = (...execute: JsonObject[]): JsonObject => ({ "x-ibm-configuration": { assembly: { execute } } });

describe("where an operation leads", () => {
  it("is what its assembly invokes, with the headers that it sets, else its own URL", () => {
    expect(only(document()).backend).toMatchObject({
      namespace: "ns",
      action: "pkg/act",
      format: "http",
      verb: undefined,
    });
    const set = (name: string, value: string | number): JsonObject => ({
      "set-variable": { actions: [{ set: `message.headers.${name}`, value }] },
    });
    const { backend } = only(
      document(
        executing(set("X-All", "1"), set("X-Both", "all"), {
          "operation-switch": {
            case: [
              {
                operations: ["o", "p"],
                execute: [
                  set("X-Both", 7),
                  { invoke: { "target-url": "/api/v1/web/n/default/b.json?x=1", verb: "POST" } },
                ],
              },
            ],
          },
        }),
      ),
    );
    expect(backend).toMatchObject({ namespace: "n", action: "b", format: "json", query: "x=1", verb: "POST" });
    expect(backend.headers).toEqual(
      new Map([
        ["x-all", "1"],
        ["x-both", "7"],
      ]),
    );
  });

  it.each<[string, object | undefined]>([
    [URL, { namespace: "ns", action: "pkg/act", format: "http", rest: "", requestPath: false, query: "" }],
    [`${URL}$(request.path)`, { requestPath: true, rest: "" }],
    [`${URL}/more$(request.path)`, { requestPath: true, rest: "/more" }],
    ["/api/v1/web/a%20b/default/c.svg", { namespace: "a b", action: "c", format: "svg" }],
    ["http://[::1]:80/api/v1/web/n/default/a", { action: "a", format: "http" }],
    ["https://http://h:1/api/v1/web/n/default/a.json", { action: "a", format: "json" }],
    ["https://http://http://h/api/v1/web/n/default/a.json", undefined],
    ["https://h/api/v1/namespaces/_/actions/a", undefined],
    ["https://h/other", undefined],
    ["javascript:alert(1)", undefined],
    ["https://h/api/v1/web/n/default/a b", undefined],
    ["https://h/x?/api/v1/web/n/default/a", undefined],
    ["//h/api/v1/web/n/default/a", undefined],
    ["https://h/api/v1/web/n/default", undefined],
    ["https://h/api/v1/web/n/../default/a", undefined],
  ])("%s", (url, backend) => {
    if (backend) expect(parseBackendUrl("f", url)).toMatchObject(backend);
    else expect(() => parseBackendUrl("f", url)).toThrow("is no web action");
  });

  it("is refused when the assembly says what is not understood", () => {
    for (const step of [
      { javascript: {} },
      { invoke: {} },
      { invoke: { "target-url": URL, verb: "FLY" } },
      { "set-variable": { actions: [{ set: "message.body", value: "x" }] } },
      { invoke: { "target-url": URL }, "set-variable": {} },
    ]) {
      expect(() => compileRoutes(document(executing(step)))).toThrow();
    }
  });
});

describe("what an operation asks for", () => {
  const securityDefinitions = {
    h: { type: "apiKey", in: "header", name: "X-Key" },
    q: { type: "apiKey", in: "query", name: "key" },
    o: { type: "oauth2" },
  };
  const h = { in: "header", name: "x-key" };
  const q = { in: "query", name: "key" };
  const o = { in: "bearer", provider: "o", scopes: [] };

  it.each<[string, JsonObject, JsonObject, unknown]>([
    ["nothing when nothing is defined", {}, {}, []],
    ["all keys and tokens when it is not said which", { securityDefinitions }, {}, [[h, q, o]]],
    ["what the document says", { securityDefinitions, security: [{ h: [] }] }, {}, [[h]]],
    [
      "what it says itself before that",
      { securityDefinitions, security: [{ h: [] }] },
      { security: [{ q: [] }] },
      [[q]],
    ],
    ["one of several", { securityDefinitions, security: [{ h: [] }, { q: [] }] }, {}, [[h], [q]]],
    ["several together", { securityDefinitions, security: [{ h: [], q: [] }] }, {}, [[h, q]]],
    [
      "tokens",
      { securityDefinitions, security: [{ o: ["read", "write"] }] },
      {},
      [[{ ...o, scopes: ["read", "write"] }]],
    ],
    ["a token or a key", { securityDefinitions, security: [{ o: [] }, { q: [] }] }, {}, [[o], [q]]],
    ["nothing when it says so", { securityDefinitions }, { security: [] }, []],
    ["nothing when nothing would do", { securityDefinitions, security: [{ h: [] }, {}] }, {}, []],
  ])("%s", (_, more, own, security) => {
    expect(only(document(more, get(own))).security).toEqual(security);
  });

  it.each<[JsonObject, string]>([
    [{ securityDefinitions, security: [{ o: "read" }] }, "needs a list"],
    [{ securityDefinitions: { b: { type: "basic" } }, security: [{ b: [] }] }, 'not of type "apiKey" or "oauth2"'],
    [{ securityDefinitions, security: [{ toString: [] }] }, "not in securityDefinitions"],
    [{ securityDefinitions, security: {} }, "must be a list"],
    [{ securityDefinitions: { h: { type: "apiKey", in: "body", name: "x" } } }, "needs"],
    [{ securityDefinitions: { h: { type: "apiKey", in: "header", name: "a\nb" } } }, "needs"],
    [{ securityDefinitions: [] }, "must be an object"],
  ])("%j is refused", (more, why) => {
    expect(() => compileRoutes(document(more))).toThrow(why);
  });

  it("rates: the document's for all together, its own for itself", () => {
    const limits = { "x-ibm-rate-limit": [{ rate: 10, unit: "minute", units: 2 }] };
    expect(only(document(limits))).toMatchObject({ rateLimits: [{ rate: 10, windowMs: 120_000 }], ratedAs: "" });
    const own = { "x-ibm-rate-limit": { rate: 0, unit: "second" } };
    expect(only(document(limits, get(own)))).toMatchObject({
      rateLimits: [{ rate: 0, windowMs: 1_000 }],
      ratedAs: "o",
    });
    expect(only(document())).toMatchObject({ rateLimits: [] });
    for (const bad of [
      { rate: 1 },
      { rate: 1.5, unit: "day" },
      { rate: "1", unit: "day" },
      { rate: 1, unit: "day", units: 0 },
    ]) {
      expect(() => compileRoutes(document({ "x-ibm-rate-limit": [bad] }))).toThrow('needs "rate"');
    }
  });
});

describe("a document as routes", () => {
  it("finds the path that says most", () => {
    const path = (id: string, name = "x"): JsonObject => ({
      parameters: [{ name, in: "path" }],
      get: { operationId: id, "x-openwhisk": { url: URL } },
    });
    const routes = compileRoutes({
      paths: { "/{x}/c": path("1"), "/a/{x}": path("2"), "/a/c": path("3"), "/{x}": path("4"), "/f-{x}": path("5") },
    });
    const find = (text: string): string | undefined => {
      const below = parseRequestPath(text);
      return below && findPath(routes, below)?.path.operations.get("GET")?.id;
    };
    expect(["/a/c", "/a/d", "/b/c", "/b", "/f-1", "/", "/b/d"].map(find)).toEqual([
      "3",
      "2",
      "1",
      "4",
      "5",
      undefined,
      undefined,
    ]);
  });

  it("reads parameters that stand elsewhere in the document", () => {
    const referring = { parameters: [{ $ref: "#/parameters/id" }], ...get() };
    const paths = { "/{id}": referring };
    expect(operationsIn(compileRoutes({ paths, parameters: { id: { name: "id", in: "path" } } }))).toHaveLength(1);
    expect(() => compileRoutes({ paths })).toThrow("The parameter 'id' defined in path '/{id}'");
  });

  it.each<[JsonObject, string]>([
    [{ paths: { "/{a}": {}, "/{b}": {} } }, "mean the same"],
    [{ paths: { "/a": get(), "/b": get() } }, "two operations"],
    [{ paths: { "/a": { get: { "x-openwhisk": { url: URL } } } } }, "needs an operationId"],
    [{ paths: Object.fromEntries(Array.from({ length: 501 }, (_, i) => [`/${i}`, {}])) }, "at most 500"],
    [{ paths: "x" }, "must be an object"],
    [{ paths: { "/a": { get: [] } } }, "must be an object"],
  ])("is refused", (doc, why) => {
    expect(() => compileRoutes(doc)).toThrow(why);
  });

  it("answers any origin unless it says otherwise", () => {
    const cors = (enabled: boolean): JsonObject => ({ "x-ibm-configuration": { cors: { enabled } } });
    expect([document(), document(cors(true)), document(cors(false))].map((doc) => compileRoutes(doc).cors)).toEqual([
      true,
      true,
      false,
    ]);
  });
});
