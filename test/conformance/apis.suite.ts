// The API gateway as OpenWhisk's contract has it (section 8): what `wsk api` and the npm client's routes send and get, and
// the data plane behind it.

import openwhisk from "openwhisk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.js";
import { exchange, type Exchanged } from "../harness/raw-http.js";
import type { TokenServer } from "../harness/token-server.js";
import type { OpenWhiskTarget } from "./openwhisk.suite.js";

export interface ApisTarget extends OpenWhiskTarget {
  /** What the fabric's token providers are. */
  readonly tokens: TokenServer;
  /** Runs `weft`, which must succeed. @returns what it printed */
  readonly weft: (...args: readonly string[]) => Promise<string>;
}

interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** With the owner's key; default for what manages APIs. */
  readonly keyed?: boolean;
}

type JsonObject = Record<string, unknown>;

/** Answers with its arguments, as a whole response. */
const ECHO = "function main(p) { return { body: p, headers: { 'X-Own': 'yes' } } }";
const APIMGMT = "/api/v1/web/whisk.system/apimgmt";

export function apisSuite(name: string, open: () => Promise<ApisTarget>): void {
  describe(`${name} serves APIs`, () => {
    let target: ApisTarget;
    let count = 0;
    const run = Math.random().toString(36).slice(2, 8);
    const fresh = (what: string): string => `${what}-${run}-${(count += 1)}`;
    let echo: string;

    beforeAll(async () => {
      target = await open();
      echo = await exported(ECHO);
    });
    afterAll(async () => {
      await target.close();
    });

    function send(path: string, { method = "GET", headers = {}, body, keyed = false }: Ask = {}): Promise<Exchanged> {
      const authorization = `Basic ${Buffer.from(target.auth).toString("base64")}`;
      return exchange(target.url, method, path, { ...(keyed ? { authorization } : {}), ...headers }, body);
    }

    async function exported(code: string, annotations: JsonObject = {}, named = fresh("web")): Promise<string> {
      const all = Object.entries({ "web-export": true, ...annotations });
      const answer = await send(`/api/v1/namespaces/_/actions/${named}?overwrite=true`, {
        method: "PUT",
        keyed: true,
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          exec: { kind: "nodejs:default", code },
          annotations: all.map(([key, value]) => ({ key, value })),
        }),
      });
      expect(answer.status, answer.text).toBe(200);
      return named;
    }

    const backendUrl = (action: string, namespace = "_"): string =>
      `${target.url}/api/v1/web/${namespace}/${action.includes("/") ? action : `default/${action}`}.http`;

    /** As `wsk api create BASE PATH VERB ACTION` sends it. */
    const apidoc = (base: string, path: string, verb: string, action: string, more: JsonObject = {}): JsonObject => ({
      namespace: "_",
      gatewayBasePath: base,
      gatewayPath: path,
      gatewayMethod: verb,
      id: `API:_:${base}`,
      action: {
        name: action,
        namespace: "_",
        backendMethod: verb,
        backendUrl: backendUrl(action),
        authkey: target.auth,
        ...(more["action"] ?? {}),
      },
      ...Object.fromEntries(Object.entries(more).filter(([key]) => key !== "action")),
    });

    const create = (doc: unknown, responsetype?: string, ask: Ask = {}): Promise<Exchanged> =>
      send(
        `${APIMGMT}/createApi.http?accesstoken=DUMMY+TOKEN&spaceguid=${target.auth.split(":")[0]}${
          responsetype === undefined ? "" : `&responsetype=${responsetype}`
        }`,
        {
          method: "POST",
          keyed: true,
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ apidoc: doc }),
          ...ask,
        },
      );
    const get = (query: string): Promise<Exchanged> =>
      send(`${APIMGMT}/getApi.http?accesstoken=DUMMY+TOKEN&${query}`, { keyed: true });
    const remove = (query: string): Promise<Exchanged> =>
      send(`${APIMGMT}/deleteApi.http?accesstoken=DUMMY+TOKEN&${query}`, { method: "DELETE", keyed: true });

    /** @returns where it is served, without the host */
    async function created(doc: unknown, responsetype?: string): Promise<string> {
      const answer = await create(doc, responsetype);
      expect(answer.status, answer.text).toBe(200);
      return new URL((answer.json as { gwApiUrl: string }).gwApiUrl).pathname;
    }
    const swagger = (base: string, paths: JsonObject, more: JsonObject = {}): JsonObject => ({
      namespace: "_",
      swagger: JSON.stringify({ swagger: "2.0", basePath: base, info: { title: base, version: "1" }, paths, ...more }),
    });
    const operation = (action = echo, format = "http"): JsonObject => ({
      responses: {},
      "x-openwhisk": {
        namespace: "_",
        package: "default",
        action,
        url: backendUrl(action).replace(/http$/, format),
      },
    });
    const apis = async (base: string): Promise<readonly unknown[]> =>
      ((await get(`basepath=${encodeURIComponent(base)}`)).json as { apis: unknown[] }).apis;

    function expectFailure(answer: Exchanged, text: string): void {
      expect(answer.status, answer.text).toBe(502);
      expect(Object.keys(answer.json as object)).toEqual(["error"]);
      expect((answer.json as { error: string }).error).toContain(text);
    }
    function expectRefusal(answer: Exchanged, status: number): void {
      expect(answer.status, answer.text).toBe(status);
      expect(Object.keys(answer.json as object).sort()).toEqual(["code", "error"]);
      expect((answer.json as { code: string }).code).toBe(answer.headers["x-request-id"]);
    }

    describe("managing them", () => {
      it("8.3: create answers with the document, its URLs rebuilt for the namespace and the type of response", async () => {
        const base = `/${fresh("base")}`;
        const answer = await create(apidoc(base, "/path", "GET", echo), "json");
        expect(answer.status, answer.text).toBe(200);
        expect(answer.headers["content-type"]).toBe("application/json");
        const url = `${target.url}/api/v1/web/${target.namespace}/default/${echo}.json`;
        expect(answer.json).toEqual({
          namespace: target.namespace,
          gwApiUrl: expect.stringMatching(new RegExp(`^${target.url}/api/[0-9a-f-]{36}${base}$`)) as string,
          gwApiActivated: true,
          tenantId: target.namespace,
          apidoc: {
            swagger: "2.0",
            info: { title: base, version: "1.0.0" },
            basePath: base,
            paths: {
              "/path": {
                get: {
                  operationId: "getPath",
                  parameters: [],
                  responses: { default: { description: "Default response" } },
                  "x-openwhisk": { namespace: target.namespace, package: "", action: echo, url },
                },
              },
            },
            "x-ibm-configuration": {
              cors: { enabled: true },
              assembly: {
                execute: [
                  {
                    "operation-switch": {
                      case: [{ operations: ["getPath"], execute: [{ invoke: { "target-url": url, verb: "keep" } }] }],
                    },
                  },
                ],
              },
            },
          },
        });
        const got = await get(`basepath=${base}&spaceguid=x`);
        expect(got.json).toEqual({ apis: [{ id: "Not Used", key: "Not Used", value: answer.json }] });
      });

      it("8.3: a second operation is added, and is found by base path, name, path and verb", async () => {
        const base = `/${fresh("base")}`;
        const title = fresh("My API");
        await created(apidoc(base, "/a", "get", echo, { apiName: title }));
        await created(apidoc(base, "/b/{id}", "POST", echo), "http");
        await created(apidoc(base, "/a", "GET", echo), "text");
        const [found] = (await apis(title)) as { value: { apidoc: JsonObject } }[];
        expect(found?.value.apidoc).toMatchObject({
          info: { title },
          paths: {
            "/a": { get: { operationId: "getA", "x-openwhisk": { url: expect.stringMatching(/\.text$/) as string } } },
            "/b/{id}": {
              post: {
                operationId: "postBId",
                parameters: [{ name: "id", in: "path", required: true, type: "string" }],
              },
            },
          },
        });
        const lengthOf = async (query: string): Promise<number> =>
          ((await get(query)).json as { apis: unknown[] }).apis.length;
        const encoded = encodeURIComponent(base);
        expect(await lengthOf(`basepath=${encoded}&relpath=%2Fa&operation=get&limit=30&skip=0`)).toBe(1);
        expect(await lengthOf(`basepath=${encoded}&relpath=%2Fa&operation=post`)).toBe(0);
        expect(await lengthOf(`basepath=${encoded}&relpath=%2Fc`)).toBe(0);
        expect(await lengthOf("basepath=%2Fnosuch")).toBe(0);
        expect(await lengthOf("limit=1")).toBe(1);
      });

      it("8.3: delete takes operations, paths, and with the last of them the API", async () => {
        const base = `/${fresh("base")}`;
        await created(apidoc(base, "/a", "GET", echo));
        await created(apidoc(base, "/a", "PUT", echo));
        const url = await created(apidoc(base, "/b", "GET", echo));
        expectFailure(
          await remove(`basepath=${base}&relpath=/c`),
          "API deletion failure: path '/c' does not exist in the API",
        );
        expectFailure(
          await remove(`basepath=${base}&relpath=/a&operation=post`),
          "path '/a' with operation 'post' does not exist in the API",
        );
        const gone = await remove(`basepath=${base}&relpath=/a&operation=put`);
        expect([gone.status, gone.text]).toEqual([200, "{}"]);
        expect((await send(`${url}/a`, { method: "PUT" })).status).toBe(405);
        expect((await send(`${url}/a`)).status).toBe(200);
        expect((await remove(`basepath=${base}&relpath=/a`)).status).toBe(200);
        expect((await send(`${url}/a`)).status).toBe(404);
        expect((await remove(`basepath=${base}&relpath=/b&operation=GET`)).status).toBe(200);
        expect(await apis(base)).toEqual([]);
        expectFailure(await remove(`basepath=${base}`), `API deletion failure: API '${base}' does not exist.`);
        expect((await send(`${url}/b`)).status).toBe(404);
      });

      it("8.2: a document replaces the whole API, as text and as an object", async () => {
        const base = `/${fresh("base")}`;
        await created(apidoc(base, "/old", "GET", echo));
        const doc = swagger(base, { "/new": { get: operation() } }, { host: "x", "x-max": 0 });
        const text = (doc["swagger"] as string).replace('"x-max":0', '"x-max":9223372036854775807');
        const url = await created({ ...doc, swagger: text });
        expect((await get(`basepath=${base}`)).text).toContain('"x-max":9223372036854775807');
        expect((await send(`${url}/old`)).status).toBe(404);
        expect((await send(`${url}/new`)).json).toMatchObject({ __ow_method: "get", __ow_path: "" });
        await created({ namespace: "_", swagger: JSON.parse(text) as JsonObject });
        expect(await apis(base)).toHaveLength(1);
      });

      it("8.4: says what is wrong with a request, in OpenWhisk's words", async () => {
        const base = `/${fresh("base")}`;
        const good = apidoc(base, "/a", "GET", echo);
        const without = (object: JsonObject, key: string): JsonObject =>
          Object.fromEntries(Object.entries(object).filter(([one]) => one !== key));
        expectFailure(await create(undefined), "apidoc is required.");
        expectFailure(await create("{"), "apidoc field cannot be parsed. Ensure it is valid JSON.");
        for (const field of ["namespace", "gatewayBasePath", "gatewayPath", "gatewayMethod", "action"]) {
          expectFailure(await create(without(good, field)), `apidoc is missing the ${field} field`);
        }
        for (const field of ["backendMethod", "backendUrl", "namespace", "name", "authkey"]) {
          const action = without(good["action"] as JsonObject, field);
          expectFailure(await create({ ...good, action }), `action is missing the ${field} field.`);
        }
        expectFailure(
          await create({ ...good, swagger: "{}" }),
          "swagger and gatewayBasePath are mutually exclusive and cannot be specified together.",
        );
        expectFailure(
          await create({ namespace: "_", swagger: "[" }),
          "swagger field cannot be parsed. Ensure it is valid JSON.",
        );
        const document = { basePath: base, paths: {}, info: {} };
        for (const field of ["basePath", "paths", "info"]) {
          expectFailure(
            await create({ namespace: "_", swagger: without(document, field) }),
            `swagger is missing the ${field} field.`,
          );
        }
        expectFailure(
          await create({ ...good, gatewayBasePath: `${base}/{x}` }),
          `API creation failure: The base path '${base}/{x}' cannot have parameters. Only the relative path supports path parameters.`,
        );
        expectFailure(
          await create({ ...good, gatewayPath: "/{x}" }, "json"),
          "The action must use a response type of '.http' in order to receive the path parameters.",
        );
        const parameters = [{ name: "x", in: "path", required: true, type: "string" }];
        expectFailure(
          await create(swagger(base, { "/{x}": { get: operation() } })),
          "The parameter 'x' defined in path '/{x}' does not match any of the parameters defined for the path in the swagger file.",
        );
        expectFailure(
          await create(swagger(base, { "/{x}": { parameters, get: operation(echo, "json") } })),
          "The action must use a response type of '.http' in order to receive the path parameters.",
        );
        expectFailure(
          await create(
            swagger(
              base,
              { "/{x}": { parameters, get: { operationId: "getX", ...operation() } } },
              assembly([{ invoke: { "target-url": backendUrl(echo), verb: "keep" } }], "getX"),
            ),
          ),
          "The target-url for operationId 'getX' must end in '$(request.path)' in order for actions to receive the path parameters.",
        );
        expectFailure(await remove(""), "basepath is required.");
        expectFailure(await remove(`basepath=${base}&operation=get`), "the path is required");
        expect(await apis(base)).toEqual([]);
      });

      it("wants the owner's key, and takes the namespace from it and not from the body", async () => {
        const base = `/${fresh("base")}`;
        for (const action of ["createApi.http", "getApi", "deleteApi.http"]) {
          expectRefusal(await send(`${APIMGMT}/${action}?basepath=x`, { method: "POST" }), 401);
        }
        await created({ ...apidoc(base, "/a", "GET", echo), namespace: "somebody" });
        expect(await apis(base)).toMatchObject([{ value: { namespace: target.namespace } }]);
        expect((await send(`${APIMGMT}/getApi.json`, { keyed: true })).status).toBe(404);
      });
    });

    const assembly = (execute: readonly unknown[], ...operations: readonly string[]): JsonObject => ({
      "x-ibm-configuration": {
        assembly: { execute: [{ "operation-switch": { case: [{ operations, execute }] } }] },
      },
    });

    describe("serving them", () => {
      it("8.5: every verb, with query, body and headers", async () => {
        const base = `/${fresh("base")}`;
        let url = "";
        for (const verb of ["GET", "POST", "PUT", "PATCH", "DELETE"]) {
          url = await created(apidoc(base, "/all", verb, echo), "http");
        }
        for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"]) {
          const body = method === "GET" || method === "DELETE" ? undefined : '{"b":2}';
          const answer = await send(`${url}/all?a=1`, {
            method,
            headers: { "x-sent": "s", ...(body === undefined ? {} : { "content-type": "application/json" }) },
            ...(body === undefined ? {} : { body }),
          });
          expect(answer.status, answer.text).toBe(200);
          expect(answer.json).toMatchObject({
            a: "1",
            ...(body === undefined ? {} : { b: 2 }),
            __ow_method: method.toLowerCase(),
            __ow_path: "",
            __ow_headers: { "x-sent": "s" },
          });
          expect(answer.headers["x-own"]).toBe("yes");
          expect(answer.headers["x-openwhisk-activation-id"]).toMatch(/^[0-9a-f]{32}$/);
        }
        const refused = await send(`${url}/all`, { method: "HEAD" });
        expect(refused.status).toBe(405);
        expect(refused.headers["allow"]).toBe("GET, PUT, POST, DELETE, PATCH, OPTIONS");
      });

      it("8.5: paths with parameters, which the action gets by name and in __ow_path as they were sent", async () => {
        const base = `/${fresh("base")}/v1`;
        await created(apidoc(base, "/pets/{id}", "GET", echo), "http");
        await created(apidoc(base, "/pets/{id}/photo-{size}.png", "GET", echo), "http");
        const url = await created(apidoc(base, "/pets/mine", "GET", echo), "http");
        const one = await send(`${url}/pets/Rex%20%2F%C3%A9?id=other&x=1`);
        expect(one.status, one.text).toBe(200);
        expect(one.json).toMatchObject({ id: "Rex /é", x: "1", __ow_path: "/pets/Rex%20%2F%C3%A9" });
        expect((await send(`${url}/pets/7/photo-xl.png`)).json).toMatchObject({ id: "7", size: "xl" });
        const mine = (await send(`${url}/pets/mine`)).json as JsonObject;
        expect(mine).not.toHaveProperty("id");
        expect((await send(`${url}/pets/7/`)).json).toMatchObject({ id: "7", __ow_path: "/pets/7/" });
        for (const path of ["/pets", "/pets/7/photo-.png", "/pets/7/photo", "/pets/7/8", ""]) {
          expectRefusal(await send(`${url}${path}`), 404);
        }
      });

      it("8.5: types of response", async () => {
        const base = `/${fresh("base")}`;
        const says = await exported("function main() { return { html: '<b>', svg: '<svg/>', text: 't', json: 1 } }");
        const types = {
          json: "application/json",
          html: "text/html; charset=UTF-8",
          svg: "image/svg+xml",
          text: "text/plain; charset=UTF-8",
        };
        for (const [format, type] of Object.entries(types)) {
          const url = await created(apidoc(base, `/${format}`, "GET", says), format);
          const answer = await send(`${url}/${format}`);
          expect([answer.status, answer.headers["content-type"]]).toEqual([200, type]);
        }
        expectFailure(await create(apidoc(base, "/x", "GET", says), "exe"), "responsetype");
      });

      it("8.5: the longest base path counts, and a change is seen at once", async () => {
        const base = `/${fresh("base")}`;
        const [one, two] = [
          await exported("function main() { return { n: 1 } }"),
          await exported("function main() { return { n: 2 } }"),
        ];
        const url = await created(apidoc(base, "/a/b", "GET", one));
        expect((await send(`${url}/a/b`)).json).toEqual({ n: 1 });
        await created(apidoc(`${base}/a`, "/b", "GET", two));
        expect((await send(`${url}/a/b`)).json).toEqual({ n: 2 });
        expect((await remove(`basepath=${base}/a`)).status).toBe(200);
        expect((await send(`${url}/a/b`)).json).toEqual({ n: 1 });
        await created(apidoc(base, "/a/b", "GET", two));
        expect((await send(`${url}/a/b`)).json).toEqual({ n: 2 });
      });

      it("8.5: actions that want a secret get it, and strangers do not", async () => {
        const base = `/${fresh("base")}`;
        const number = await exported(ECHO, { "require-whisk-auth": Number.MAX_SAFE_INTEGER });
        const secureKey = Number.MAX_SAFE_INTEGER;
        const url = await created(apidoc(base, "/in", "GET", number, { action: { secureKey } }), "http");
        expect((await send(`${url}/in`)).status).toBe(200);
        expect((await send(new URL(backendUrl(number, target.namespace)).pathname)).status).toBe(401);
        await created(apidoc(base, "/out", "GET", number), "http");
        expect((await send(`${url}/out`)).status).toBe(401);
      });

      it("8.5: preflights are answered without the action, and with CORS off there are none", async () => {
        const base = `/${fresh("base")}`;
        const silent = await exported("function main() { return { statusCode: 500 } }");
        const url = await created(apidoc(base, "/a", "GET", silent), "http");
        const preflight = await send(`${url}/a`, {
          method: "OPTIONS",
          headers: { origin: "https://x", "access-control-request-headers": "X-One, X-Two" },
        });
        expect([preflight.status, preflight.text]).toEqual([200, ""]);
        expect(preflight.headers).toMatchObject({
          "access-control-allow-origin": "*",
          "access-control-allow-methods": "GET, OPTIONS",
          "access-control-allow-headers": "X-One, X-Two",
        });
        expect(preflight.headers).not.toHaveProperty("x-openwhisk-activation-id");
        expect((await send(`${url}/a`, { method: "POST" })).headers["access-control-allow-origin"]).toBe("*");
        const off = `/${fresh("base")}`;
        const closed = await created(
          swagger(off, { "/a": { get: operation() } }, { "x-ibm-configuration": { cors: { enabled: false } } }),
        );
        expect((await send(`${closed}/a`, { method: "OPTIONS" })).status).toBe(405);
        expect((await send(`${closed}/a`)).headers).not.toHaveProperty("access-control-allow-origin");
      });

      it("keys: in a header or in the query, revoked at once, and nobody else's", async () => {
        const base = `/${fresh("base")}`;
        const defined = {
          securityDefinitions: {
            head: { type: "apiKey", in: "header", name: "X-API-Key" },
            query: { type: "apiKey", in: "query", name: "key" },
          },
          security: [{ head: [] }, { query: [] }],
        };
        const paths = { "/a": { get: operation() }, "/open": { get: { ...operation(), security: [] } } };
        const url = await created(swagger(base, paths, defined));
        const secret = (await target.weft("api", "key", "create", base, "--note", "app")).trim();
        expectRefusal(await send(`${url}/a`), 401);
        expectRefusal(await send(`${url}/a`, { headers: { "x-api-key": `${secret}x` } }), 401);
        expectRefusal(await send(`${url}/a?key=`), 401);
        expect((await send(`${url}/open`)).status).toBe(200);
        expect((await send(`${url}/a`, { headers: { "x-api-key": secret } })).status).toBe(200);
        expect((await send(`${url}/a?key=${secret}`)).status).toBe(200);
        const other = await created(swagger(`${base}-2`, paths, defined));
        expectRefusal(await send(`${other}/a?key=${secret}`), 401);
        const [key] = JSON.parse(await target.weft("api", "key", "list", base, "--json")) as { id: string }[];
        await target.weft("api", "key", "delete", base, key?.id ?? "");
        expect((await send(`${url}/a?key=${secret}`)).status).toBe(401);
        expect(await target.weft("api", "get", base)).toContain("yes");
      });

      it("tokens: asked for at the provider that the definition names, once, with the scopes that the operation wants", async () => {
        const base = `/${fresh("base")}`;
        const { asked, tokens } = target.tokens;
        const definitions = {
          local: {
            type: "oauth2",
            flow: "accessCode",
            authorizationUrl: "https://a",
            tokenUrl: "https://t",
            scopes: {},
          },
        };
        const paths = {
          "/a": { get: operation() },
          "/admin": { get: { ...operation(), security: [{ local: ["read", "admin"] }] } },
          "/open": { get: { ...operation(), security: [] } },
        };
        const url = await created(swagger(base, paths, { securityDefinitions: definitions }));
        const [good, foreign, over] = [fresh("good"), fresh("foreign"), fresh("over")];
        const active = { active: true, aud: ["weft"], sub: "ada", email: "ada@example.com", scope: "read write" };
        tokens
          .set(good, active)
          .set(foreign, { ...active, aud: "other" })
          .set(over, { ...active, exp: 1_000 });
        const ask = (path: string, token: string): Promise<Exchanged> =>
          send(url + path, { headers: { authorization: `Bearer ${token}`, "x-oidc-sub": "root" } });
        const answer = await ask("/a", good);
        expect(answer.status, answer.text).toBe(200);
        expect((answer.json as { __ow_headers: JsonObject }).__ow_headers).toMatchObject({
          "x-oidc-sub": "ada",
          "x-oidc-email": "ada@example.com",
          "x-oidc-scope": "read write",
        });
        expect((await ask("/a", good)).status).toBe(200);
        expect(asked.filter((token) => token === good)).toHaveLength(1);
        for (const [path, token, status, error] of [
          ["/admin", good, 403, "insufficient_scope"],
          ["/a", foreign, 401, "invalid_token"],
          ["/a", over, 401, "invalid_token"],
          ["/a", fresh("unknown"), 401, "invalid_token"],
        ] as const) {
          const refused = await ask(path, token);
          expectRefusal(refused, status);
          expect(refused.headers["www-authenticate"]).toBe(`Bearer realm="weft", error="${error}"`);
        }
        const without = await send(`${url}/a`);
        expectRefusal(without, 401);
        expect(without.headers["www-authenticate"]).toBe('Bearer realm="weft"');
        expect((await send(`${url}/open`)).status).toBe(200);
      });

      it("tokens: of GitHub in its own way, and of nobody when the provider cannot be asked", async () => {
        const named = async (provider: string): Promise<string> =>
          created(
            swagger(
              `/${fresh("base")}`,
              { "/a": { get: operation() } },
              {
                securityDefinitions: { [provider]: { type: "oauth2" } },
                security: [{ [provider]: provider === "github" ? ["repo"] : [] }],
              },
            ),
          );
        const token = fresh("token");
        target.tokens.tokens.set(token, { id: 7, login: "ada" });
        const headers = { authorization: `Bearer ${token}` };
        const answer = await send(`${await named("github")}/a`, { headers });
        expect(answer.status, answer.text).toBe(200);
        expect((answer.json as { __ow_headers: JsonObject }).__ow_headers).toMatchObject({ "x-oidc-sub": "7" });
        expectRefusal(await send(`${await named("away")}/a`, { headers }), 503);
        const local = await named("local");
        target.tokens.failing = true;
        try {
          expectRefusal(await send(`${local}/a`, { headers }), 503);
        } finally {
          target.tokens.failing = false;
        }
      });

      it("rates: refused with Retry-After, by key, also when the document says so for one operation", async () => {
        const base = `/${fresh("base")}`;
        const paths = {
          "/a": { get: operation() },
          "/b": { get: { ...operation(), "x-ibm-rate-limit": [{ rate: 1, unit: "day" }] } },
        };
        const definitions = { k: { type: "apiKey", in: "header", name: "k" } };
        const url = await created(
          swagger(base, paths, { "x-ibm-rate-limit": [{ rate: 2, unit: "day" }], securityDefinitions: definitions }),
        );
        const [one, two] = [await key(base), await key(base)];
        const ask = (path: string, k: string): Promise<Exchanged> => send(url + path, { headers: { k } });
        const statuses: number[] = [];
        for (const [path, k] of [
          ["/a", one],
          ["/a", one],
          ["/a", one],
          ["/b", one],
          ["/b", one],
          ["/a", two],
        ] as const) {
          statuses.push((await ask(path, k)).status);
        }
        expect(statuses).toEqual([200, 200, 429, 200, 429, 200]);
        const refused = await ask("/a", one);
        expectRefusal(refused, 429);
        expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
        expect(refused.headers["access-control-allow-origin"]).toBe("*");
      });
      const key = async (base: string): Promise<string> => (await target.weft("api", "key", "create", base)).trim();

      it("what an action gets and gives through an API is what it gets and gives as a web action", async () => {
        const base = `/${fresh("base")}`;
        const final = await exported(ECHO, { final: true, "raw-http": true });
        const url = await created(apidoc(base, "/raw/{p}", "POST", final), "http");
        const answer = await send(`${url}/raw/x?q=1`, {
          method: "POST",
          body: "text",
          headers: { "content-type": "text/plain" },
        });
        expect(answer.json).toMatchObject({ __ow_query: "q=1", __ow_body: "text", __ow_path: "/raw/x" });
        expect(answer.json).not.toHaveProperty("p");
        const gone = await created(apidoc(`${base}-gone`, "/a", "GET", "nosuch"));
        expectRefusal(await send(`${gone}/a`), 404);
      });
    });

    describe("hostile input", () => {
      it("stores nothing of documents that are too large, too deep, or lead elsewhere", async () => {
        const base = `/${fresh("base")}`;
        const fine = { "/a": { get: operation() } };
        const deep = `${'{"a":'.repeat(100)}1${"}".repeat(100)}`;
        expect((await create(swagger(base, fine, { "x-large": "x".repeat(1024 * 1024) }))).status).toBe(413);
        const bad: readonly (readonly [unknown, string])[] = [
          [swagger(base, fine, { "x-deep": JSON.parse(deep) as JsonObject }), "nested deeper"],
          [swagger(base, fine, { "x-nul": "a\0b" }), "NUL"],
          [swagger(base, { "/a\0": {} }), "NUL"],
          [swagger(base, { a: { get: operation() } }), "must begin with a slash"],
          [swagger(base, { "/../a": { get: operation() } }), "empty segment"],
          [swagger(base, { "/%2e%2e/a": { get: operation() } }), "empty segment"],
          [swagger(base, { "/a//b": { get: operation() } }), "empty segment"],
          [swagger(base, { "/a?b": { get: operation() } }), '"?"'],
          [swagger(base, { "/{a}{b}": { get: operation() } }), "one parameter"],
          [swagger(base, { "/{__ow_user}": { get: operation() } }), "__ow_"],
          [swagger(base, { "/{a}": { get: {} }, "/{b}": { get: {} } }), "parameter 'a'"],
          [swagger(base, { "/a": { get: { responses: {} } } }), "has no backend"],
          [
            swagger(base, { "/a": { get: { "x-openwhisk": { url: "http://169.254.169.254/latest" } } } }),
            "no web action",
          ],
          [swagger(base, { "/a": { get: { "x-openwhisk": { url: "file:///etc/passwd" } } } }), "no web action"],
          [swagger(base, { "/a": [] }), "must be an object"],
          [swagger(base, fine, { swagger: "3.0" }), 'must be Swagger "2.0"'],
          [swagger(base, fine, { securityDefinitions: { b: { type: "basic" } }, security: [{ b: [] }] }), "apiKey"],
          [swagger(base, fine, { securityDefinitions: { "app-id": { type: "oauth2" } } }), "no token provider"],
          [swagger(base, fine, { security: [{ nosuch: [] }] }), "securityDefinitions"],
          [swagger(base, fine, { "x-ibm-rate-limit": [{ rate: -1, unit: "day" }] }), "rate"],
          [swagger(base, fine, { "x-ibm-rate-limit": [{ rate: 1, unit: "toString" }] }), "unit"],
          [
            swagger(base, { "/a": { get: { operationId: "x", ...operation() } } }, assembly([{ javascript: {} }], "x")),
            "policy",
          ],
          ...["X\r\nY", "host", "x-request-id", ""].map((header): [unknown, string] => [
            swagger(
              base,
              { "/a": { get: { operationId: "x", ...operation() } } },
              assembly(
                [
                  { "set-variable": { actions: [{ set: `message.headers.${header}`, value: "v" }] } },
                  { invoke: { "target-url": backendUrl(echo) } },
                ],
                "x",
              ),
            ),
            "cannot set the header",
          ]),
          [apidoc(base, "/a", "GET", echo, { action: { secureKey: "a\r\nSet-Cookie: x" } }), "printable ASCII"],
          [apidoc("//evil", "/a", "GET", echo), "empty segment"],
          [apidoc(`${base}/..`, "/a", "GET", echo), "empty segment"],
          [apidoc(`/${"x".repeat(300)}`, "/a", "GET", echo), "longer than allowed"],
          [apidoc(base, "/a", "TRACE", echo), "not a verb"],
        ];
        for (const [doc, text] of bad) expectFailure(await create(doc), text);
        expect(await apis(base)).toEqual([]);
      });

      it("serves nothing for tricks with paths", async () => {
        const base = `/${fresh("base")}`;
        await created(apidoc(base, "/a/{p}", "GET", echo), "http");
        const url = await created(apidoc(base, "/secret", "GET", echo), "http");
        const tenant = url.slice(0, -base.length);
        for (const path of [
          `${url}//secret`,
          `${url}/./secret`,
          `${url}/a/../secret`,
          `${url}/a/%2e%2e/secret`,
          `${url}/a/..`,
          `${url}/a/%2E%2E`,
          `${url}/a/%00`,
          `${url}/a/x%0d%0aSet-Cookie:%20y`,
          `${url}/a/%zz`,
          `${url}/a/%ff`,
          `${url}%2Fsecret`,
          `${tenant}/${base}/secret`,
          `${tenant}/..${base}/secret`,
          `/api/${"0".repeat(36)}${base}/secret`,
          `/api/${target.namespace}${base}/secret`,
          "/api/",
          "/api/x",
          "/api//",
        ]) {
          const answer = await send(path);
          expect(answer.status, path).toBe(404);
          expect(answer.headers, path).not.toHaveProperty("set-cookie");
        }
        expect((await send(`${url}/a/a%2F..%2Fb`)).json).toMatchObject({ p: "a/../b", __ow_path: "/a/a%2F..%2Fb" });
        const large = await send(`${url}/secret`, { method: "GET", body: "x".repeat(1024 * 1024 + 1) });
        expectRefusal(large, 413);
      });

      it("does not reflect a host that is none", async () => {
        const base = `/${fresh("base")}`;
        const answer = await create(apidoc(base, "/a", "GET", echo), "http", {
          method: "POST",
          keyed: true,
          headers: { "content-type": "application/json", host: 'x"y' },
        });
        expect(answer.text).not.toContain('x\\"y');
      });
    });

    describe("natively", () => {
      const v1 = async (method: string, path: string, body?: JsonObject): Promise<Exchanged> =>
        send(`/v1/namespaces/_${path}`, {
          method,
          keyed: true,
          headers: { "content-type": "application/json" },
          ...(body ? { body: JSON.stringify(body) } : {}),
        });
      const put = (base: string, more: JsonObject = {}): Promise<Exchanged> =>
        v1("POST", "/apis:operation", { basePath: base, path: "/a", verb: "get", action: echo, ...more });

      function expectReason(answer: Exchanged, status: number, reason: string): void {
        expect(answer.status, answer.text).toBe(status);
        expect(answer.text).toContain(reason);
      }

      it("an operation is checked, gets the action's secret, a key and a rate", async () => {
        const base = `/${fresh("base")}`;
        const hidden = await exported(ECHO, { "web-export": false });
        expectReason(await put(base, { action: fresh("nosuch") }), 404, "NOT_FOUND");
        expectReason(await put(base, { action: hidden }), 400, "NOT_WEB_ACTION");
        expectReason(await put(base, { action: "/whisk.system/utils/echo2" }), 404, "WEB_ACTION_NOT_FOUND");
        const wrong = await put("base", { path: "a", verb: "x", responseType: "y", restUrl: "z", keyHeader: "a b" });
        for (const field of ["base_path", "path", "verb", "response_type", "rest_url", "key_header"]) {
          expectReason(wrong, 400, `"${field}"`);
        }
        expectReason(await put(base, { rateLimits: [{ rate: 1, unit: "year" }] }), 400, "x-ibm-rate-limit");
        expect(await apis(base)).toEqual([]);
        const secured = await exported(ECHO, { "require-whisk-auth": "s3cret" });
        const limits = { keyHeader: "X-Key", rateLimits: [{ rate: 1, unit: "day" }] };
        const made = await put(base, { action: secured, path: "/{id}", verb: "GET", ...limits });
        expect(made.json).toMatchObject({
          namespace: target.namespace,
          basePath: base,
          name: base,
          cors: true,
          operations: [
            {
              path: "/{id}",
              verb: "GET",
              action: `/${target.namespace}/${secured}`,
              responseType: "http",
              requiresKey: true,
            },
          ],
        });
        const url = (made.json as { urlPath: string }).urlPath;
        expect((await send(`${url}/7`)).status).toBe(401);
        const { secret } = (await v1("POST", "/api/keys", { api: base })).json as { secret: string };
        const headers = { "x-key": secret };
        expect((await send(`${url}/7`, { headers })).json).toMatchObject({ id: "7" });
        expect((await send(`${url}/7`, { headers })).status).toBe(429);
      });

      it("names, etags, pages", async () => {
        const base = `/${fresh("base")}`;
        const title = fresh("Title");
        const [one, two] = [`${base}-1`, `${base}-2`];
        await put(one, { name: title });
        await put(two, { name: title });
        const named = `/api?api=${encodeURIComponent(title)}`;
        expectReason(await v1("GET", named), 400, "AMBIGUOUS_API");
        expectReason(await v1("DELETE", named), 400, "AMBIGUOUS_API");
        const found = (await v1("GET", `/apis?api=${encodeURIComponent(title)}&pageSize=1`)).json as {
          apis: { basePath: string }[];
          nextPageToken: string;
        };
        expect(found.apis.map((api) => api.basePath)).toEqual([one]);
        const token = encodeURIComponent(found.nextPageToken);
        const next = await v1("GET", `/apis?api=${encodeURIComponent(title)}&pageSize=1&pageToken=${token}`);
        expect(next.json).toMatchObject({ apis: [{ basePath: two, documentJson: "" }] });
        expectReason(await v1("GET", `/apis?pageToken=${token}`), 400, "page_token");
        const api = (await v1("GET", `/api?api=${two}`)).json as { etag: string; documentJson: string };
        const importing = { documentJson: api.documentJson, etag: api.etag };
        expect((await v1("POST", "/apis:import", importing)).json).toMatchObject({ etag: "2", basePath: two });
        expectReason(await v1("POST", "/apis:import", importing), 409, "STALE_ETAG");
        expectReason(await v1("DELETE", `/api?api=${two}&etag=1`), 409, "STALE_ETAG");
        expectReason(await v1("DELETE", `/api?api=${two}&verb=get`), 400, "needs a path");
        expect((await v1("DELETE", `/api?api=${two}&etag=2`)).status).toBe(200);
        expect((await v1("DELETE", named)).status).toBe(200);
        expectReason(await v1("GET", named), 404, "API_NOT_FOUND");
        expectReason(await v1("GET", "/api"), 400, "is required");
        const document = Buffer.from('{"basePath":"/x","info":{},"paths":{"x":{}}}').toString("base64");
        expectReason(await v1("POST", "/apis:import", { documentJson: document }), 400, "must begin with a slash");
      });

      it("what is another namespace's is not there", async () => {
        const theirs = (await target.weft("namespace", "create", fresh("theirs"))).trim();
        const authorization = `Basic ${Buffer.from(theirs).toString("base64")}`;
        const base = `/${fresh("base")}`;
        await put(base);
        const ask = (path: string): Promise<Exchanged> => send(path, { headers: { authorization } });
        expectReason(await ask(`/v1/namespaces/${target.namespace}/apis`), 404, "NO_SUCH_NAMESPACE");
        expectReason(await ask(`/v1/namespaces/_/api?api=${base}`), 404, "API_NOT_FOUND");
        expect((await ask(`${APIMGMT}/getApi.http?basepath=${base}`)).json).toEqual({ apis: [] });
        expect(
          (await send(`${APIMGMT}/deleteApi?basepath=${base}`, { method: "DELETE", headers: { authorization } }))
            .status,
        ).toBe(502);
        expect(await apis(base)).toHaveLength(1);
      });
    });

    describe("clients", () => {
      it("the npm client's routes: create, list, get, delete, also from a document", async () => {
        const ow = openwhisk({ apihost: target.url, api_key: target.auth });
        const routes = ow.routes as unknown as Record<string, (options?: object) => Promise<JsonObject>>;
        const base = `/${fresh("base")}`;
        const made = await routes["create"]?.({
          basepath: base,
          relpath: "/hi/{id}",
          operation: "GET",
          action: echo,
          responsetype: "http",
        });
        const url = new URL(String(made?.["gwApiUrl"])).pathname;
        expect((await send(`${url}/hi/7`)).json).toMatchObject({ id: "7" });
        expect(await routes["get"]?.({ basepath: base })).toMatchObject({
          apis: [{ value: { apidoc: { basePath: base } } }],
        });
        expect(((await routes["list"]?.()) as { apis: unknown[] }).apis.length).toBeGreaterThan(0);
        await routes["delete"]?.({ basepath: base });
        expect(await routes["list"]?.({ basepath: base })).toEqual({ apis: [] });
        await expect(routes["delete"]?.({ basepath: base })).rejects.toThrow(`API '${base}' does not exist`);
        const document = swagger(base, { "/s": { get: operation() } })["swagger"] as string;
        await routes["create"]?.({ swagger: document });
        expect((await send(`${url}/s`)).status).toBe(200);
      });

      it("weft api: create, list, get, delete, and documents in and out", async () => {
        const base = `/${fresh("base")}`;
        const printed = await target.weft(
          "api",
          "create",
          base,
          "/hi/{who}",
          "get",
          echo,
          "--name",
          fresh("Greetings"),
        );
        const url = new URL(printed.trim().split(" ")[1] ?? "").pathname.replaceAll("%7B", "{").replaceAll("%7D", "}");
        expect((await send(url.replace("{who}", "Ada"))).json).toMatchObject({ who: "Ada" });
        expect(await target.weft("api", "list", "--all")).toContain(base);
        const { document } = JSON.parse(await target.weft("api", "get", base, "--json")) as { document: JsonObject };
        expect(document).toMatchObject({ basePath: base });
        await target.weft("api", "delete", base);
        await eventually(async () => expect((await send(url.replace("{who}", "Ada"))).status).toBe(404));
      });
    });
  });
}
