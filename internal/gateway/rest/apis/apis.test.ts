// What the data plane and the management of APIs say when something below them fails; what they say else is held on whole
// fabrics.

import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../../test/harness/clock.js";
import { WeftError } from "../../../base/errors.js";
import { compileRoutes } from "../../../core/api/routes.js";
import { parseRequestPath } from "../../../core/api/template.js";
import { Throttles } from "../../../core/throttle/throttle.js";
import type { NativeApi, ServedApi } from "../../native-api.js";
import { emptyResponse, type RestRequest, type RestResponse } from "../message.js";
import type { WebActions } from "../web/web-actions.js";
import { ApiGateway, apiPathOf, type ApiAnswer } from "./api-gateway.js";
import { ApiManagement, managementOf } from "./management.js";
import type { TokenChecks } from "./token-checks.js";

const unavailable = new WeftError("unavailable", "NO_CONTROLLER", "no controller is alive", { retryAfterMs: 1_000 });
const broken = new Error("broken");

const request = (overrides: Partial<RestRequest> = {}): RestRequest => ({
  method: "GET",
  target: "/",
  headers: {},
  body: Buffer.alloc(0),
  ...overrides,
});
const textOf = (response: RestResponse): string => response.body.toString();
const header = (response: RestResponse, name: string): string | undefined =>
  response.headers.find(([one]) => one.toLowerCase() === name)?.[1];

describe("where a URL leads", () => {
  it.each<[string, { readonly tenantId: string; readonly path: string } | undefined]>([
    ["/api/x/a/b?c", { tenantId: "x", path: "/a/b" }],
    ["/api/x", { tenantId: "x", path: "" }],
    ["/api/", { tenantId: "", path: "" }],
    ["/api/v1x/a", { tenantId: "v1x", path: "/a" }],
    ["/api/v1", undefined],
    ["/api/v1?x", undefined],
    ["/api/v1/web/a", undefined],
    ["/api-docs", undefined],
    ["/", undefined],
  ])("%s", (target, path) => {
    expect(apiPathOf(target)).toEqual(path);
  });

  it("is management for three names, with .http or without", () => {
    const base = "/api/v1/web/whisk.system/apimgmt";
    expect(["createApi", "getApi.http?x=1", "deleteApi?"].map((name) => managementOf(`${base}/${name}`))).toEqual([
      "createApi",
      "getApi",
      "deleteApi",
    ]);
    for (const name of ["getApi.json", "getApi/x", "getApis", "", "getApi%2Ehttp"]) {
      expect(managementOf(`${base}/${name}`)).toBeUndefined();
    }
  });
});

function gateway(
  served: () => Promise<ServedApi | undefined>,
  check: TokenChecks["check"] = () => undefined,
): {
  readonly ask: (overrides?: Partial<RestRequest>) => Promise<RestResponse>;
  readonly answers: ApiAnswer[];
  readonly unforeseen: unknown[];
  readonly reached: (RestRequest & { readonly parameters?: unknown })[];
} {
  const answers: ApiAnswer[] = [];
  const unforeseen: unknown[] = [];
  const reached: RestRequest[] = [];
  const web: Pick<WebActions, "handle"> = {
    handle: (asked, _path, _id, through) => {
      reached.push({ ...asked, ...(through ? { parameters: Object.fromEntries(through.parameters) } : {}) });
      return Promise.resolve(emptyResponse(204));
    },
  };
  const apis = new ApiGateway({
    api: { servedApi: served },
    web: web,
    rates: new Throttles(new ManualClock()).rates,
    tokens: { check, needsAppToken: (name) => name === "facebook" },
    answered: (answer) => answers.push(answer),
    unforeseen: (error) => unforeseen.push(error),
  });
  const ask = (overrides: Partial<RestRequest> = {}): Promise<RestResponse> =>
    apis.handle(request(overrides), { tenantId: "t", path: "/b/p" }, "tid");
  return { ask, answers, unforeseen, reached };
}

function serving(document: object): () => Promise<ServedApi> {
  const operation = { operationId: "o", "x-openwhisk": { url: "/api/v1/web/ns/default/a.http?own=1" } };
  const routes = compileRoutes({ basePath: "/b", paths: { "/p": { get: operation } }, ...document });
  const below = parseRequestPath("/p") ?? { raw: [], decoded: [] };
  return () =>
    Promise.resolve({
      namespace: "ns",
      routes,
      below,
      rest: "/p",
      keyOf: (secret) => (secret === "s" ? "id" : undefined),
    });
}

describe("the data plane", () => {
  it("says that it cannot look, and tells of what nobody foresaw without saying it", async () => {
    const away = gateway(() => Promise.reject(unavailable));
    const answer = await away.ask();
    expect([answer.status, header(answer, "retry-after")]).toEqual([503, "1"]);
    const failed = gateway(() => Promise.reject(broken));
    const other = await failed.ask();
    expect(other.status).toBe(500);
    expect(textOf(other)).not.toContain("broken");
    expect(failed.unforeseen).toHaveLength(1);
    expect([...away.answers, ...failed.answers]).toEqual(["failed", "failed"]);
  });

  it("counts how each request went", async () => {
    const none = gateway(() => Promise.resolve(undefined));
    await none.ask();
    const keyed = gateway(
      serving({
        securityDefinitions: { k: { type: "apiKey", in: "header", name: "K" } },
        "x-ibm-rate-limit": { rate: 1, unit: "day" },
      }),
    );
    await keyed.ask({ method: "OPTIONS" });
    await keyed.ask({ method: "PUT" });
    await keyed.ask();
    await keyed.ask({ headers: { k: "wrong" } });
    await keyed.ask({ headers: { k: "s" } });
    await keyed.ask({ headers: { k: "s" } });
    expect(none.answers).toEqual(["notFound"]);
    expect(keyed.answers).toEqual(["preflight", "notAllowed", "keyRefused", "keyRefused", "action", "rateRefused"]);
  });

  it("hands the backend what the document says over what the request says", async () => {
    const set = { "set-variable": { actions: [{ set: "message.headers.X-Set", value: "document" }] } };
    const invoke = { invoke: { "target-url": "/api/v1/web/ns/default/a.http?own=1", verb: "PUT" } };
    const { ask, reached } = gateway(serving({ "x-ibm-configuration": { assembly: { execute: [set, invoke] } } }));
    await ask({ target: "/api/t/b/p?theirs=2", headers: { "x-set": "request", "x-other": "o" } });
    expect(reached).toMatchObject([
      { method: "PUT", target: "/?own=1&theirs=2", headers: { "x-set": "document", "x-other": "o" }, parameters: {} },
    ]);
  });
});

describe("tokens", () => {
  const info = { subject: "u", email: "u@x", scopes: ["read"], expiresWallMs: undefined };
  const bearer = (token: string): Partial<RestRequest> => ({ headers: { authorization: `Bearer ${token}` } });
  const asking = (document: object, check: TokenChecks["check"]): ReturnType<typeof gateway> =>
    gateway(
      serving({
        securityDefinitions: { p: { type: "oauth2" }, k: KEY, facebook: { type: "oauth2" }, other: { type: "oauth2" } },
        ...document,
      }),
      check,
    );
  const KEY = { type: "apiKey", in: "header", name: "K" };
  const good: TokenChecks["check"] = (_name, token) => (token === "good" ? Promise.resolve(info) : undefined);

  it("are handed to the action as who it is, and nobody can say that himself", async () => {
    const { ask, reached } = asking({ security: [{ p: ["read"] }] }, good);
    await ask({ headers: { authorization: "bearer good", "x-oidc-sub": "root", "x-oidc-email": "root@x" } });
    expect(reached).toMatchObject([
      { headers: { "x-oidc-sub": "u", "x-oidc-email": "u@x", "x-oidc-scope": "read", authorization: "bearer good" } },
    ]);
  });

  it.each<[string, object, Partial<RestRequest>, number, string]>([
    ["none", { security: [{ p: [] }] }, {}, 401, 'Bearer realm="weft"'],
    [
      "other credentials",
      { security: [{ p: [] }] },
      { headers: { authorization: "Basic x" } },
      401,
      'Bearer realm="weft"',
    ],
    ["a bad one", { security: [{ p: [] }] }, bearer("bad"), 401, 'Bearer realm="weft", error="invalid_token"'],
    [
      "one that is too long",
      { security: [{ p: [] }] },
      bearer("x".repeat(9_000)),
      401,
      'Bearer realm="weft", error="invalid_token"',
    ],
    [
      "one that allows less",
      { security: [{ p: ["write"] }] },
      bearer("good"),
      403,
      'Bearer realm="weft", error="insufficient_scope"',
    ],
    [
      "Facebook's alone",
      { security: [{ facebook: [] }] },
      bearer("good"),
      401,
      'Bearer realm="weft", error="invalid_request"',
    ],
    ["one without the key beside it", { security: [{ p: [], k: [] }] }, bearer("good"), 401, 'Bearer realm="weft"'],
  ])("refuse %s", async (_, document, asked, status, challenge) => {
    const { ask, answers, reached } = asking(document, good);
    const answer = await ask(asked);
    expect([answer.status, header(answer, "www-authenticate"), answers, reached]).toEqual([
      status,
      challenge,
      ["tokenRefused"],
      [],
    ]);
  });

  it("leave who it is to nobody else, also when a key opened", async () => {
    const { ask, reached } = asking({ security: [{ p: [] }, { k: [] }] }, good);
    await ask({ headers: { k: "s", "x-oidc-sub": "root", "x-oidc-email": "root@x", "x-oidc-scope": "admin" } });
    expect(reached).toHaveLength(1);
    for (const name of ["x-oidc-sub", "x-oidc-email", "x-oidc-scope"]) {
      expect(reached[0]?.headers).not.toHaveProperty(name);
    }
  });

  it("of another provider open when the first one cannot be asked", async () => {
    const failed = new WeftError("unavailable", "TOKEN_PROVIDER_FAILED", "the token provider could not be asked");
    const check: TokenChecks["check"] = (name) => (name === "p" ? Promise.reject(failed) : info);
    const { ask, answers } = asking({ security: [{ p: [] }, { other: [] }] }, check);
    await ask(bearer("good"));
    expect(answers).toEqual(["action"]);
  });

  it("may be one of several ways in", async () => {
    const { ask, answers } = asking({ security: [{ k: [] }, { p: [] }] }, good);
    await ask({ headers: { k: "s" } });
    await ask(bearer("good"));
    await ask({ headers: { k: "wrong", authorization: "Bearer bad" } });
    expect(answers).toEqual(["action", "action", "tokenRefused"]);
  });

  it("let nobody in when their provider cannot be asked", async () => {
    const failed = new WeftError("unavailable", "TOKEN_PROVIDER_FAILED", "the token provider could not be asked");
    const { ask, answers, reached } = asking({ security: [{ p: [] }] }, () => Promise.reject(failed));
    expect((await ask(bearer("good"))).status).toBe(503);
    expect([answers, reached]).toEqual([["failed"], []]);
  });
});

describe("management", () => {
  function manage(call: () => Promise<unknown>): {
    readonly ask: (overrides?: Partial<RestRequest>) => Promise<RestResponse>;
    readonly unforeseen: unknown[];
  } {
    const unforeseen: unknown[] = [];
    const api = { identify: () => Promise.resolve({ namespace: "ns" }), call } as unknown as NativeApi;
    const management = new ApiManagement({ api, unforeseen: (error) => unforeseen.push(error) });
    return {
      ask: (overrides = {}) =>
        management.handle(request({ target: "/x?basepath=/b", ...overrides }), "deleteApi", "tid"),
      unforeseen,
    };
  }

  it.each<[WeftError, number, string]>([
    [
      new WeftError("notFound", "API_NOT_FOUND", "API '/b' does not exist"),
      502,
      "API deletion failure: API '/b' does not exist.",
    ],
    [new WeftError("conflict", "STALE_ETAG", "somebody wrote"), 502, "API deletion failure: somebody wrote."],
    [new WeftError("throttled", "TOO_MANY_APIS", "too many"), 502, "API deletion failure: too many."],
  ])("says what was wrong as the action would: %s", async (error, status, text) => {
    const answer = await manage(() => Promise.reject(error)).ask();
    expect([answer.status, textOf(answer)]).toEqual([status, JSON.stringify({ error: text })]);
  });

  it("says with a code what is the platform's", async () => {
    const away = await manage(() => Promise.reject(unavailable)).ask();
    expect([away.status, JSON.parse(textOf(away))]).toMatchObject([503, { code: "tid" }]);
    const { ask, unforeseen } = manage(() => Promise.reject(broken));
    expect((await ask()).status).toBe(500);
    expect(unforeseen).toHaveLength(1);
    const large = await manage(() => Promise.resolve({})).ask({ body: Buffer.alloc(1024 * 1024 + 1) });
    expect([large.status, JSON.parse(textOf(large))]).toMatchObject([413, { code: "tid" }]);
  });

  it("answers a preflight without asking who it is", async () => {
    const answer = await manage(() => Promise.reject(broken)).ask({ method: "OPTIONS" });
    expect([answer.status, header(answer, "access-control-allow-origin")]).toEqual([200, "*"]);
  });
});
