/* eslint-disable @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-assignment, @typescript-eslint/no-unsafe-return -- bodies of answers are what is being looked at: a wrong member fails the test */

// OpenWhisk's REST contract as its clients depend on it: statuses, headers, members, JSON types and orders. It needs an
// address and a key only, so that it runs against a face in front of a script as against a whole fabric. Numbers such as
// "#27" are lines of the list of behaviours that OpenWhisk's own tests assert.

import { request } from "node:http";
import openwhisk from "openwhisk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.js";

export interface OpenWhiskTarget {
  /** http://host:port */
  readonly url: string;
  /** "uuid:key" */
  readonly auth: string;
  /** Namespace of the key. */
  readonly namespace: string;
  readonly close: () => Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly text: string;
  /** The body as JSON. */
  readonly json: Json;
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- bodies are what is being looked at
type Json = any;

interface Ask {
  readonly body?: unknown;
  /** Sent as it is, instead of `body`. */
  readonly raw?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  readonly anonymous?: boolean;
}

const RECORD_WITHIN = { withinMs: 20_000, everyMs: 50 };

export function openWhiskSuite(name: string, open: () => Promise<OpenWhiskTarget>): void {
  describe(`${name} keeps OpenWhisk's contract`, () => {
    let target: OpenWhiskTarget;
    let count = 0;
    const run = Math.random().toString(36).slice(2, 8);
    /** A name that nobody else uses. */
    const fresh = (what: string): string => `${what}-${run}-${(count += 1)}`;

    beforeAll(async () => {
      target = await open();
    });
    afterAll(async () => {
      await target.close();
    });

    function ask(method: string, path: string, { body, raw, headers, anonymous }: Ask = {}): Promise<Answer> {
      const { hostname, port } = new URL(target.url);
      const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body));
      const all = {
        ...(anonymous ? {} : { authorization: `Basic ${Buffer.from(target.auth).toString("base64")}` }),
        ...(sent === undefined
          ? {}
          : { "content-type": "application/json", "content-length": String(Buffer.byteLength(sent)) }),
        ...headers,
      };
      return new Promise((resolve, reject) => {
        const asked = request({ hostname, port, path, method, headers: all, agent: false }, (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.once("error", reject);
          response.once("end", () => {
            const text = Buffer.concat(chunks).toString("utf8");
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers as Record<string, string | undefined>,
              text,
              get json(): Json {
                return JSON.parse(text);
              },
            });
          });
        });
        asked.once("error", reject);
        asked.end(sent);
      });
    }

    const own = (path: string): string => `/api/v1/namespaces/_/${path}`;
    const get = (path: string, more?: Ask): Promise<Answer> => ask("GET", own(path), more);
    const put = (path: string, body: unknown): Promise<Answer> => ask("PUT", own(path), { body });
    const post = (path: string, body?: unknown): Promise<Answer> => ask("POST", own(path), { body });
    const remove = (path: string): Promise<Answer> => ask("DELETE", own(path));

    async function action(code: string, more: Readonly<Record<string, unknown>> = {}): Promise<string> {
      const made = fresh("action");
      const answer = await put(`actions/${made}`, { exec: { kind: "nodejs:default", code }, ...more });
      expect(answer.status, answer.text).toBe(200);
      return made;
    }

    /** The record, once it is there. */
    const record = (id: string): Promise<Json> =>
      eventually(async () => {
        const answer = await get(`activations/${id}`);
        expect(answer.status, answer.text).toBe(200);
        return answer.json;
      }, RECORD_WITHIN);

    function expectError(answer: Answer, status: number): void {
      expect(answer.status, answer.text).toBe(status);
      expect(answer.headers["content-type"]).toBe("application/json");
      expect(Object.keys(answer.json as object).sort()).toEqual(["code", "error"]);
      expect(typeof answer.json.error).toBe("string");
      expect(answer.json.error).not.toBe("");
      expect(answer.json.code).toBe(answer.headers["x-request-id"]);
    }

    const HELLO = "function main(p) { return { greeting: 'hi ' + (p.name ?? 'you') } }";

    describe("documents and credentials", () => {
      it("describes the host to anybody, with numbers as numbers and kinds as tools read them", async () => {
        const { status, headers, json } = await ask("GET", "/", { anonymous: true });
        expect(status).toBe(200);
        // wskdeploy refuses a content type that is not a part of "application/json; charset=UTF-8".
        expect("application/json; charset=UTF-8").toContain(headers["content-type"]);
        expect(json.api_paths).toEqual(["/api/v1"]);
        expect(Object.values(json.limits as object).every((value) => typeof value === "number")).toBe(true);
        expect(json.limits).toMatchObject({ max_action_memory: 512 * 1024 * 1024, min_action_duration: 100 });
        for (const kinds of Object.values(json.runtimes as Record<string, Json[]>)) {
          expect(kinds.filter((kind) => kind.default as boolean)).toHaveLength(1);
          for (const kind of kinds) {
            expect(kind).toMatchObject({
              kind: expect.any(String) as string,
              image: expect.any(String) as string,
              deprecated: expect.any(Boolean) as boolean,
              attached: expect.any(Boolean) as boolean,
              requireMain: expect.any(Boolean) as boolean,
            });
          }
        }
      });

      it.each(["/api/v1", "/api/v1/"])("describes the API at %s with strings for the build (#4)", async (path) => {
        const { status, json } = await ask("GET", path, { anonymous: true });
        expect(status).toBe(200);
        expect(json).toMatchObject({
          api_version: "1.0.0",
          api_version_path: "v1",
          build: expect.any(String) as string,
          buildno: expect.any(String) as string,
        });
      });

      it("has a Swagger document and answers a ping", async () => {
        const swagger = await ask("GET", "/api/v1/api-docs", { anonymous: true });
        expect(swagger.json).toMatchObject({ swagger: "2.0", basePath: "/api/v1" });
        expect(swagger.json.paths).toHaveProperty("/namespaces/{namespace}/actions/{package}/{name}.post");
        const ping = await ask("GET", "/ping", { anonymous: true });
        expect([ping.status, ping.text]).toEqual([200, "pong"]);
      });

      it("answers OPTIONS for every path to anybody, with the CORS headers (#5)", async () => {
        const { status, headers } = await ask("OPTIONS", "/api/v1/bogus", { anonymous: true });
        expect(status).toBe(200);
        expect(headers).toMatchObject({
          "access-control-allow-origin": "*",
          "access-control-allow-methods": "GET, DELETE, POST, PUT, HEAD",
          "access-control-allow-headers": "Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent",
        });
      });

      it.each([
        ["nothing", undefined],
        ["no scheme", "abc"],
        ["no base64", "Basic !!!"],
        ["no colon", `Basic ${Buffer.from("abc").toString("base64")}`],
        ["a short key", `Basic ${Buffer.from("23bc46b1-71f6-4ed5-8c54-816aa4f8c502:short").toString("base64")}`],
        [
          "an unknown key",
          `Basic ${Buffer.from(`23bc46b1-71f6-4ed5-8c54-816aa4f8c999:${"x".repeat(64)}`).toString("base64")}`,
        ],
      ])(
        "refuses %s as credentials with 401 and a challenge, wherever it is (#1, #2)",
        async (_what, authorization) => {
          const headers = authorization === undefined ? {} : { authorization };
          for (const path of ["/api/v1/namespaces", "/api/v1/bogus", own("actions/hi+there"), own("actions?limit=x")]) {
            const answer = await ask("GET", path, { anonymous: true, headers });
            expectError(answer, 401);
            expect(answer.headers["www-authenticate"]).toBe('Basic realm="OpenWhisk secure realm",charset=UTF-8');
          }
          const put = await ask("PUT", own("actions/x"), { anonymous: true, headers, raw: "{" });
          expectError(put, 401);
        },
      );

      it("repeats a client's request id, and makes one of 32 letters and digits otherwise (#7)", async () => {
        const given = await get("actions/nosuch", { headers: { "x-request-id": "abc" } });
        expect(given.headers["x-request-id"]).toBe("abc");
        expect(given.json.code).toBe("abc");
        for (const headers of [{}, { "x-request-id": "sid_mine" }]) {
          const made = await get("actions/nosuch", { headers: headers });
          expect(made.headers["x-request-id"]).toMatch(/^[A-Za-z0-9]{32}$/);
          expect(made.json.code).toBe(made.headers["x-request-id"]);
        }
      });

      it("lists the key's namespace, with and without a slash, and has nothing below it (#8)", async () => {
        for (const path of ["/api/v1/namespaces", "/api/v1/namespaces/"]) {
          const { status, json } = await ask("GET", path);
          expect([status, json]).toEqual([200, [target.namespace]]);
        }
        for (const method of ["GET", "PUT", "POST", "DELETE"]) {
          expectError(await ask(method, "/api/v1/namespaces/whatever"), 404);
        }
      });

      it("shows the limits of the namespace", async () => {
        const { status, json } = await get("limits");
        expect(status).toBe(200);
        expect(json).toMatchObject({
          invocationsPerMinute: expect.any(Number) as number,
          concurrentInvocations: expect.any(Number) as number,
          firesPerMinute: expect.any(Number) as number,
          minActionMemory: 128,
          maxActionTimeout: 300_000,
          maxParameterSize: "1048576 B",
        });
        expectError(await get("limits/x"), 400);
      });

      it("refuses verbs on collections with 405 and says which there are (#9, #62)", async () => {
        for (const collection of ["actions", "triggers", "rules", "packages", "activations"]) {
          for (const path of [collection, `${collection}/`]) {
            for (const method of ["PUT", "POST", "DELETE"]) {
              const answer = await ask(method, own(path), { body: {} });
              expectError(answer, 405);
              expect(answer.headers["allow"]).toBe("GET");
            }
          }
        }
        expectError(await post("packages/refresh"), 405);
        expectError(await remove(`activations/${"0".repeat(32)}`), 405);
      });

      it("does not know other collections and paths", async () => {
        for (const path of ["bogus", "triggers/t/extra", `activations/${"0".repeat(32)}/bogus`, "actions/a/b/c"]) {
          expectError(await get(path), 404);
        }
        expectError(await ask("DELETE", own("actions/p/")), 404);
        const head = await ask("HEAD", own("actions"));
        expect([404, 405]).toContain(head.status);
      });

      it("keeps strangers out of other namespaces without saying what is there, but shows public packages (#91)", async () => {
        for (const path of ["actions", "actions/x", "triggers/x", "rules", "activations", "limits"]) {
          expectError(await ask("GET", `/api/v1/namespaces/whisk.unknown/${path}`), 403);
        }
        const packages = await ask("GET", "/api/v1/namespaces/whisk.unknown/packages");
        expect([packages.status, packages.json]).toEqual([200, []]);
      });
    });

    describe("lists", () => {
      it.each(["actions", "triggers", "rules", "packages", "activations"])(
        "holds %s to the bounds of limit and skip (#10, #11)",
        async (collection) => {
          for (const limit of ["201", "-1"]) {
            const answer = await get(`${collection}?limit=${limit}`);
            expectError(answer, 400);
            expect(answer.json.error).toContain(
              `The value '${limit}' is not in the range of 0 to 200 for ${collection}.`,
            );
          }
          expectError(await get(`${collection}?limit=x`), 400);
          expectError(await get(`${collection}?skip=-1`), 400);
          expectError(await get(`${collection}?skip=x`), 400);
          expect((await get(`${collection}?limit=0&skip=0`)).status).toBe(200);
          const counted = await get(`${collection}?count=true&skip=1000000`);
          expect(counted.json).toEqual({ [collection]: 0 });
        },
      );

      it("pages by limit and skip, latest change first, and counts what is left (#12)", async () => {
        const names: string[] = [];
        for (let i = 0; i < 3; i++) {
          const trigger = fresh("paged");
          await put(`triggers/${trigger}`, {});
          names.unshift(trigger);
        }
        const all = (await get("triggers?limit=200")).json as { name: string }[];
        expect(all.slice(0, 3).map((one) => one.name)).toEqual(names);
        const second = (await get("triggers?limit=1&skip=1")).json as { name: string }[];
        expect(second.map((one) => one.name)).toEqual([names[1]]);
        const { triggers } = (await get("triggers?count=true")).json as { triggers: number };
        expect((await get("triggers?count=true&skip=2")).json).toEqual({ triggers: triggers - 2 });
        // Updating brings to the front.
        await ask("PUT", own(`triggers/${names[2] ?? ""}?overwrite=true`), { body: {} });
        expect((await get("triggers?limit=1")).json).toMatchObject([{ name: names[2] }]);
      });
    });

    describe("names", () => {
      it.each(["hi+there", "$hola", "dora%3F", "trailing%20", "a%2Fb", "%20x", "%C3%A9", "a%00b"])(
        "refuses %s (#13)",
        async (bad) => {
          for (const collection of ["actions", "triggers", "rules", "packages"]) {
            expectError(await put(`${collection}/${bad}`, {}), 400);
          }
        },
      );

      it("takes spaces, @, &, dots and dashes, and 256 characters, but not 257 (#14)", async () => {
        const odd = `o ${fresh("x")} @b&c.d-`;
        const made = await put(`triggers/${encodeURIComponent(odd)}`, {});
        expect(made.json).toMatchObject({ name: odd });
        expect((await get(`triggers/${odd.replaceAll(" ", "%20")}`)).json).toMatchObject({ name: odd });
        const long = fresh("n").padEnd(256, "x");
        expect((await put(`triggers/${long}`, {})).status).toBe(200);
        expectError(await put(`triggers/${long}x`, {}), 400);
      });

      it("tells case apart (#15) and gives a name to one kind of entity only (#16)", async () => {
        const lower = fresh("case");
        const upper = lower.toUpperCase();
        expect((await put(`triggers/${lower}`, {})).status).toBe(200);
        expect((await put(`triggers/${upper}`, {})).status).toBe(200);
        for (const collection of ["actions", "rules", "packages"]) {
          expectError(await get(`${collection}/${lower}`), 409);
          expectError(await remove(`${collection}/${lower}`), 409);
        }
        const exec = { kind: "nodejs:20", code: HELLO };
        for (const overwrite of [false, true]) {
          const query = `?overwrite=${overwrite}`;
          expectError(await ask("PUT", own(`actions/${lower}${query}`), { body: { exec } }), 409);
          expectError(await ask("PUT", own(`packages/${lower}${query}`), { body: {} }), 409);
        }
      });
    });

    describe("actions", () => {
      it("creates with defaults and answers the whole entity (1.15)", async () => {
        const name = fresh("hello");
        const before = Date.now();
        const made = await put(`actions/${name}?overwrite=false`, {
          namespace: "_",
          name,
          exec: { kind: "NodeJS:default ", code: "const main = p => ({g: 'hi ' + p.n})" },
          annotations: [
            { key: "web-export", value: true },
            { key: "raw-http", value: false },
            { key: "final", value: true },
          ],
          parameters: [{ key: "n", value: "you" }],
          limits: { memory: 128 },
          updated: 1,
          unknown: { member: 1 },
        });
        expect(made.status, made.text).toBe(200);
        expect(made.headers["content-type"]).toBe("application/json");
        expect(made.headers["access-control-allow-origin"]).toBe("*");
        const { updated, annotations, ...rest } = made.json;
        expect(rest).toEqual({
          namespace: target.namespace,
          name,
          version: "0.0.1",
          publish: false,
          exec: { kind: "nodejs:20", code: "const main = p => ({g: 'hi ' + p.n})", binary: false },
          parameters: [{ key: "n", value: "you" }],
          limits: { timeout: 60_000, memory: 128, logs: 10, concurrency: 1 },
        });
        expect(annotations).toEqual(
          expect.arrayContaining([
            { key: "web-export", value: true },
            { key: "raw-http", value: false },
            { key: "final", value: true },
            { key: "provide-api-key", value: false },
            { key: "exec", value: "nodejs:20" },
          ]) as unknown,
        );
        expect(annotations).toHaveLength(5);
        // A number, in milliseconds, and the server's (#18).
        expect(made.text).toMatch(/"updated":\d{13}[,}]/);
        expect(updated).toBeGreaterThan(before - 86_400_000 * 400);

        const read = await get(`actions/${name}`);
        expect(read.json).toEqual(made.json);
        const again = await put(`actions/${name}`, { exec: { kind: "nodejs:20", code: HELLO } });
        expectError(again, 409); // #17
        expect((await get(`actions/${name}`)).json).toEqual(made.json);

        const refused = await post(`actions/${name}?blocking=true&result=true`, { n: "x" });
        expectError(refused, 400); // final, #44
        const ran = await post(`actions/${name}?blocking=true&result=true`, { m: "x" });
        expect([ran.status, ran.text]).toEqual([200, '{"g":"hi you"}']);
      });

      it("leaves out the code when told to (#32), and lists without code, parameters and kind", async () => {
        const name = await action(HELLO, { parameters: [{ key: "a", value: 1 }] });
        const { exec, ...rest } = (await get(`actions/${name}`)).json;
        const bare = (await get(`actions/${name}?code=false`)).json;
        expect(bare).toEqual({ ...rest, exec: { kind: "nodejs:20", binary: false } });
        expect(exec.code).toBe(HELLO);
        for (const yes of ["true", "yes", "on", "1"]) {
          expect((await get(`actions/${name}?code=${yes}`)).json.exec.code).toBe(HELLO);
        }
        expectError(await get(`actions/${name}?code=perhaps`), 400);

        const [item] = (await get("actions?limit=1")).json as Json[];
        expect(item).toEqual({
          namespace: target.namespace,
          name,
          version: "0.0.1",
          publish: false,
          annotations: rest.annotations as unknown,
          limits: rest.limits as unknown,
          exec: { binary: false },
          updated: rest.updated as unknown,
        });
        const kind = (item.annotations as Json[]).find(({ key }) => key === "exec");
        expect(kind.value).toBe("nodejs:20");
      });

      it("bumps the version, or takes the one that is given (#19), and keeps what is not sent (#20, #29)", async () => {
        const name = await action(HELLO, {
          parameters: [{ key: "a", value: 1 }],
          limits: { timeout: 1000, memory: 128 },
        });
        const update = (body: unknown): Promise<Answer> => ask("PUT", own(`actions/${name}?overwrite=true`), { body });
        const bumped = await update({});
        expect(bumped.json).toMatchObject({
          version: "0.0.2",
          exec: { code: HELLO },
          parameters: [{ key: "a", value: 1 }],
          limits: { timeout: 1000, memory: 128, logs: 10 },
        });
        expect((await update({ limits: { logs: 0 } })).json.limits).toEqual({
          timeout: 1000,
          memory: 128,
          logs: 0,
          concurrency: 1,
        });
        expect((await update({ version: "2" })).json.version).toBe("2.0.0");
        expectError(await update({ version: "0.0.0" }), 400);
        expectError(await update({ version: "x" }), 400);
        // Parameters are replaced, also by none.
        expect((await update({ parameters: [{ key: "b", value: 2 }] })).json.parameters).toEqual([
          { key: "b", value: 2 },
        ]);
        expect((await update({ parameters: [] })).json.parameters).toEqual([]);
        expect((await update({ exec: null, parameters: null, limits: null })).json.exec.code).toBe(HELLO);
      });

      it("merges annotations, removes those named, and keeps its own (#27)", async () => {
        const name = await action(HELLO, { annotations: [{ key: "a", value: { deep: [1, null] } }] });
        const update = (body: unknown): Promise<Answer> => ask("PUT", own(`actions/${name}?overwrite=true`), { body });
        const keys = ({ json }: Answer): string[] =>
          (json.annotations as Json[]).map(({ key }) => key as string).sort();
        const merged = await update({
          annotations: [
            { key: "b", value: "2" },
            { key: "exec", value: "mine" },
          ],
        });
        expect(keys(merged)).toEqual(["a", "b", "exec", "provide-api-key"]);
        expect(merged.json.annotations).toContainEqual({ key: "a", value: { deep: [1, null] } });
        expect(merged.json.annotations).toContainEqual({ key: "exec", value: "nodejs:20" });
        expect(keys(await update({ delAnnotations: ["a"] }))).toEqual(["b", "exec", "provide-api-key"]);
        expectError(await update({ delAnnotations: [1] }), 400);
      });

      it("needs code to create (#20), of a kind that there is (#22)", async () => {
        for (const overwrite of [false, true]) {
          const path = own(`actions/${fresh("none")}?overwrite=${overwrite}`);
          const missing = await ask("PUT", path, { body: {} });
          expectError(missing, 400);
          expect(missing.json.error).toBe("The request content was malformed:\nexec undefined");
          const unknown = await ask("PUT", path, { body: { exec: { kind: "cobol:85", code: "x" } } });
          expectError(unknown, 400);
          expect(unknown.json.error).toContain("nodejs:20");
        }
        for (const exec of [
          {},
          { kind: 1, code: "x" },
          { kind: "nodejs:20" },
          { kind: "nodejs:20", code: 1 },
          "x",
          [],
        ]) {
          expectError(await put(`actions/${fresh("none")}`, { exec }), 400);
        }
      });

      it.each([
        ["memory", 513, "memory size 513 MB exceeds allowed threshold of 512 MB"],
        ["memory", 127, "memory size 127 MB below allowed threshold of 128 MB"],
        ["memory", 0, "memory size 0 MB below allowed threshold of 128 MB"],
        ["logs", 11, "log size 11 MB exceeds allowed threshold of 10 MB"],
        ["timeout", 300_001, "duration 300001 milliseconds exceeds allowed threshold of 300000 milliseconds"],
        ["timeout", 99, "duration 99 milliseconds below allowed threshold of 100 milliseconds"],
        ["concurrency", 0, "concurrency 0 below allowed threshold of 1"],
        ["memory", "256", "memory limit must be whole number"],
        ["timeout", 1.5, "time limit must be whole number"],
        ["logs", -1, "log size -1 MB below allowed threshold of 0 MB"],
      ])("refuses a limit of %s %s (#30)", async (limit, value, message) => {
        const exec = { kind: "nodejs:20", code: HELLO };
        const answer = await put(`actions/${fresh("limits")}`, { exec, limits: { [limit]: value } });
        expectError(answer, 400);
        expect(answer.json.error).toContain(message);
      });

      it.each([
        ["an object", { a: 1 }],
        ["an entry without value", [{ key: "a" }]],
        ["an entry without key", [{ value: 1 }]],
        ["a key that is no string", [{ key: 1, value: 1 }]],
        ["no entries", [1]],
      ])("refuses %s as parameters or annotations (#33)", async (_what, list) => {
        const exec = { kind: "nodejs:20", code: HELLO };
        for (const field of ["parameters", "annotations"]) {
          expectError(await put(`actions/${fresh("kv")}`, { exec, [field]: list }), 400);
          expectError(await put(`triggers/${fresh("kv")}`, { [field]: list }), 400);
          expectError(await put(`packages/${fresh("kv")}`, { [field]: list }), 400);
        }
      });

      it("keeps every digit, null and order of members in parameters, and lets the last of a repeated key win", async () => {
        const name = fresh("digits");
        const value = '{"z":1.10,"a":[9007199254740993,1e400,-0.0],"n":null,"u":"\\ud800\\u0000","e":"\\u00e9"}';
        const raw =
          `{"exec":{"kind":"nodejs:20","code":${JSON.stringify(HELLO)}},"parameters":` +
          `[{"key":"x","value":1},{"value": ${value} ,"key":"x"},{"key":"none","value":null},{"key":"i","value":1,"init":true}]}`;
        const made = await ask("PUT", own(`actions/${name}`), { raw });
        expect(made.status, made.text).toBe(200);
        const read = await get(`actions/${name}`);
        for (const { text } of [made, read]) {
          expect(text).toContain(`{"key":"x","value":${value}}`);
          expect(text).toContain('{"key":"none","value":null}');
          expect(text).toContain('{"key":"i","value":1,"init":true}');
        }
        await remove(`actions/${name}`);
      });

      it("says what is too large with 413 (#25, #26)", async () => {
        const exec = { kind: "nodejs:20", code: HELLO };
        const large = [{ key: "a", value: "x".repeat(1024 * 1024) }];
        const name = await action(HELLO);
        for (const [path, body] of [
          [`actions/${fresh("large")}`, { exec, parameters: large }],
          [`actions/${name}?overwrite=true`, { annotations: large }],
          [`triggers/${fresh("large")}`, { parameters: large }],
          [`packages/${fresh("large")}`, { annotations: large }],
          [`actions/${fresh("large")}`, { exec: { kind: "nodejs:20", code: "x".repeat(48 * 1024 * 1024 + 1) } }],
        ] as const) {
          expectError(await put(path, body), 413);
        }
        const payload = { a: "x".repeat(1024 * 1024) };
        expectError(await post(`actions/${name}`, payload), 413);
        expectError(await post(`actions/${name}?blocking=true`, payload), 413);
      });

      it("refuses bodies that are no JSON object, and other types (#34)", async () => {
        const name = await action(HELLO);
        for (const raw of [
          "{",
          "[]",
          "1",
          '"x"',
          "null",
          "{}x",
          "{'a':1}",
          '{"a":01}',
          "\u{feff}{}",
          Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
        ]) {
          expectError(await ask("PUT", own(`actions/${fresh("bad")}`), { raw }), 400);
          expectError(await ask("POST", own(`actions/${name}`), { raw }), 400);
        }
        const deep = `{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
        expectError(await ask("PUT", own(`actions/${fresh("deep")}`), { raw: deep }), 400);
        expectError(await ask("POST", own(`actions/${name}`), { raw: deep }), 400);
        const text = { raw: "{}", headers: { "content-type": "text/plain" } };
        expectError(await ask("PUT", own(`actions/${fresh("text")}`), text), 415);
        expectError(await ask("POST", own(`actions/${name}`), text), 415);
        expectError(await ask("PUT", own(`actions/${fresh("none")}`)), 400);
        const charset = { raw: "{}", headers: { "content-type": "Application/JSON; charset=utf-8" } };
        expect((await ask("POST", own(`actions/${name}`), charset)).status).toBe(202);
        const empty = { headers: { "content-type": "application/json", "content-length": "0" } };
        expect((await ask("POST", own(`actions/${name}`), empty)).status).toBe(202);
      });

      it("keeps an archive as base64 and says that it is one", async () => {
        const zip = EMPTY_MAIN_ZIP;
        const name = fresh("zip");
        const made = await put(`actions/${name}`, { exec: { kind: "nodejs:20", code: zip, binary: false } });
        expect(made.status, made.text).toBe(200);
        expect(made.json.exec).toEqual({ kind: "nodejs:20", code: zip, binary: true });
        expect((await get(`actions/${name}?code=false`)).json.exec).toEqual({ kind: "nodejs:20", binary: true });
        const main = await put(`actions/${fresh("main")}`, {
          exec: { kind: "nodejs:20", code: "function other() { return {} }", main: "other", binary: true },
        });
        expect(main.json.exec).toMatchObject({ main: "other", binary: false });
      });

      it("deletes and answers what was deleted", async () => {
        const name = await action(HELLO);
        const read = (await get(`actions/${name}`)).json as unknown;
        const gone = await remove(`actions/${name}`);
        expect([gone.status, gone.json]).toEqual([200, read]);
        expectError(await get(`actions/${name}`), 404);
        expectError(await remove(`actions/${name}`), 404);
        expectError(await post(`actions/${name}`), 404);
      });
    });

    describe("invocation", () => {
      it("accepts with 202 and an id of 32 hex characters, in body and header (#38)", async () => {
        const name = await action(HELLO);
        const answer = await post(`actions/${name}?result=true`);
        expect(answer.status).toBe(202);
        expect(answer.json).toEqual({ activationId: answer.headers["x-openwhisk-activation-id"] });
        expect(answer.json.activationId).toMatch(/^[0-9a-f]{32}$/);
        expect((await record(answer.json.activationId as string)).response.result).toEqual({ greeting: "hi you" });
      });

      it("answers a blocking call with the record, and it agrees with the stored one in all but logs (#39)", async () => {
        const name = await action(`function main(p) { console.log('said'); return { greeting: 'hi ' + p.name } }`);
        const answer = await post(`actions/${name}?blocking=true`, { name: "Ada" });
        expect(answer.status, answer.text).toBe(200);
        const { json, text } = answer;
        expect(json).toMatchObject({
          namespace: target.namespace,
          name,
          version: "0.0.1",
          activationId: answer.headers["x-openwhisk-activation-id"],
          response: { status: "success", success: true, result: { greeting: "hi Ada" }, size: 21 },
          logs: [],
          publish: false,
        });
        expect(typeof json.subject).toBe("string");
        expect(text).toMatch(/"start":\d{13},"end":\d{13},"duration":\d+,/);
        expect(json.end).toBeGreaterThanOrEqual(json.start as number);
        const annotations = Object.fromEntries(
          (json.annotations as { key: string; value: unknown }[]).map(({ key, value }) => [key, value]),
        );
        expect(annotations).toMatchObject({
          path: `${target.namespace}/${name}`,
          kind: "nodejs:20",
          limits: { timeout: 60_000, memory: 256, logs: 10, concurrency: 1 },
          waitTime: expect.any(Number) as number,
          initTime: expect.any(Number) as number,
          timeout: false,
        });
        expect(json).not.toHaveProperty("cause");

        const stored = await record(json.activationId as string);
        const { logs, ...same } = stored;
        expect({ ...same, logs: [] }).toEqual(json);
        expect(logs).toHaveLength(1);
        expect(logs[0]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z stdout: said$/);
        const result = await get(`activations/${json.activationId as string}/result`);
        expect(result.json).toEqual(stored.response);
        expect((await get(`activations/${json.activationId as string}/logs`)).json).toEqual({ logs });
      });

      it.each([
        ['"boom"', '"boom"'],
        ["{ statusCode: 404 }", '{"statusCode":404}'],
        ["false", "false"],
        ["null", "null"],
        ["42", "42"],
      ])("answers 502 without code for the error %s, and drops its siblings (#40, #41)", async (error, json) => {
        const name = await action(`function main() { return { error: ${error}, more: 1 } }`);
        const whole = await post(`actions/${name}?blocking=true`);
        expect(whole.status).toBe(502);
        expect(whole.json).not.toHaveProperty("code");
        expect(whole.json).not.toHaveProperty("error");
        expect(whole.text).toContain(`"result":{"error":${json}}`);
        expect(whole.json.response).toMatchObject({ status: "application error", success: false });
        const bare = await post(`actions/${name}?blocking=true&result=true`);
        expect([bare.status, bare.text]).toEqual([502, `{"error":${json}}`]);
      });

      it("answers 502 without code for code that throws (#41)", async () => {
        const name = await action("function main() { throw new Error('oh') }");
        const { status, json } = await post(`actions/${name}?blocking=true`);
        expect(status).toBe(502);
        expect(json).not.toHaveProperty("code");
        expect(json.response).toMatchObject({ status: "action developer error", success: false });
        expect(typeof json.response.result.error).toBe("string");
        expect((await post(`actions/${name}?blocking=true&result=true`)).json).toEqual(json.response.result);
      });

      it("answers an array bare, whatever was asked for (#46)", async () => {
        const name = await action("function main() { return [1, { two: 2 }] }");
        for (const query of ["blocking=true", "blocking=true&result=true"]) {
          const { status, text } = await post(`actions/${name}?${query}`);
          expect([status, text]).toEqual([200, '[1,{"two":2}]']);
        }
      });

      it("answers 202 when it takes longer than the caller waits, and goes on (#42)", async () => {
        const name = await action(
          "async function main() { await new Promise(r => setTimeout(r, 600)); return { done: 1 } }",
        );
        const answer = await post(`actions/${name}?blocking=true&result=true&timeout=50`);
        expect(answer.status).toBe(202);
        expect(answer.json).toEqual({ activationId: answer.headers["x-openwhisk-activation-id"] });
        expect((await record(answer.json.activationId as string)).response.result).toEqual({ done: 1 });
        for (const timeout of ["60001", "x", "0", "-1", "1.5"]) {
          expectError(await post(`actions/${name}?blocking=true&timeout=${timeout}`), 400); // #37
        }
      });

      it("merges package, action and payload, the last wins (#45)", async () => {
        const parent = fresh("pkg");
        await put(`packages/${parent}`, {
          parameters: [
            { key: "a", value: "package" },
            { key: "b", value: "package" },
            { key: "c", value: "package" },
          ],
        });
        const made = await put(`actions/${parent}/echo`, {
          exec: { kind: "nodejs:20", code: "function main(p) { return p }" },
          parameters: [
            { key: "b", value: "action" },
            { key: "c", value: "action" },
          ],
        });
        expect(made.json).toMatchObject({ namespace: `${target.namespace}/${parent}`, name: "echo" });
        expect(made.json.parameters).toHaveLength(2);
        const ran = await post(`actions/${parent}/echo?blocking=true&result=true`, { c: "payload", d: 1 });
        expect(ran.json).toEqual({ a: "package", b: "action", c: "payload", d: 1 });
        const read = await get(`actions/${parent}/echo`);
        expect(read.json.parameters).toEqual([
          { key: "a", value: "package" },
          { key: "b", value: "action" },
          { key: "c", value: "action" },
        ]);
        const done = await post(`actions/${parent}/echo?blocking=true`);
        expect(done.json.name).toBe("echo");
        expect(done.json.annotations).toContainEqual({ key: "path", value: `${target.namespace}/${parent}/echo` });
      });

      it("passes numbers and text through unchanged", async () => {
        const name = await action("function main(p) { return { got: p.text } }");
        const text = 'é😀 \u2028 " \\ </script> \u007f';
        const { json } = await post(`actions/${name}?blocking=true&result=true`, { text });
        expect(json).toEqual({ got: text });
      });
    });

    describe("activations", () => {
      it("lists summaries with the filters of name and time (#57, #58, #60)", async () => {
        const name = await action(HELLO);
        const ids: string[] = [];
        for (let i = 0; i < 2; i++) {
          ids.unshift((await post(`actions/${name}?blocking=true`)).json.activationId as string);
          await record(ids[0] as string);
        }
        const list = (await get(`activations?name=${name}`)).json as Json[];
        expect(list.map(({ activationId }) => activationId as string)).toEqual(ids);
        const [latest, first] = list;
        expect(latest).toMatchObject({
          namespace: target.namespace,
          name,
          version: "0.0.1",
          publish: false,
          statusCode: 0,
        });
        expect(latest.duration).toBe((latest.end as number) - (latest.start as number));
        expect(latest).not.toHaveProperty("response");
        expect(latest).not.toHaveProperty("logs");
        const kind = (latest.annotations as Json[]).find(({ key }) => key === "kind");
        expect(kind.value).toBe("nodejs:20");

        const start = first.start as number;
        const between = async (query: string): Promise<number> =>
          ((await get(`activations?name=${name}&${query}`)).json as Json[]).length;
        expect(await between(`since=${start}`)).toBe(2);
        expect(await between(`upto=${start}`)).toBe(latest.start === start ? 2 : 1);
        expect(await between(`since=${(latest.start as number) + 1}`)).toBe(0);
        expect((await get(`activations?name=${name}&count=true`)).json).toEqual({ activations: 2 });
        const docs = (await get(`activations?name=${name}&docs=true&limit=1`)).json as Json[];
        expect(docs[0]).toEqual(await record(ids[0] as string));
        expect(((await get(`activations?name=${fresh("none")}`)).json as Json[]).length).toBe(0);
        expect((await get("activations?name=&limit=1")).json).toHaveLength(1);
        expectError(await get("activations?name=a/b/c"), 400);
        expectError(await get("activations?since=abc"), 400);
        expectError(await get("activations?docs=true&count=true"), 400); // #59
      });

      it("tells ids that are none from ids that nobody has (#61)", async () => {
        expectError(await get(`activations/${"0".repeat(31)}`), 400);
        expectError(await get(`activations/${"0".repeat(33)}`), 400);
        expectError(await get(`activations/${"z".repeat(32)}`), 400);
        for (const path of ["", "/", "/result", "/logs"])
          expectError(await get(`activations/${"0".repeat(32)}${path}`), 404);
      });
    });

    describe("triggers and rules", () => {
      it("keeps triggers (1.10)", async () => {
        const name = fresh("trigger");
        const made = await put(`triggers/${name}`, { parameters: [{ key: "a", value: 1 }] });
        const { updated, ...rest } = made.json;
        expect(rest).toEqual({
          namespace: target.namespace,
          name,
          version: "0.0.1",
          publish: false,
          annotations: [],
          parameters: [{ key: "a", value: 1 }],
          limits: {},
        });
        expect(made.text).toMatch(/"updated":\d{13}/);
        expectError(await put(`triggers/${name}`, {}), 409);
        const update = (body: unknown): Promise<Answer> => ask("PUT", own(`triggers/${name}?overwrite=true`), { body });
        expect((await update({ annotations: [{ key: "n", value: 1 }] })).json).toMatchObject({
          version: "0.0.2",
          parameters: [{ key: "a", value: 1 }],
          annotations: [{ key: "n", value: 1 }],
        });
        // Not merged, unlike an action's.
        expect((await update({ annotations: [{ key: "m", value: 1 }] })).json.annotations).toEqual([
          { key: "m", value: 1 },
        ]);
        const [item] = (await get("triggers?limit=1")).json as Json[];
        expect(Object.keys(item as object).sort()).toEqual(
          ["annotations", "name", "namespace", "publish", "updated", "version"].sort(),
        );
        for (const feed of ["", "a//b", 1, "/a/b/c/d"]) {
          const annotations = [{ key: "feed", value: feed }];
          expectError(await put(`triggers/${fresh("feed")}`, { annotations }), 400); // #86
        }
        const feed = [{ key: "feed", value: "/whisk.system/alarms/alarm" }];
        expect((await put(`triggers/${fresh("feed")}`, { annotations: feed })).json.annotations).toEqual(feed);
        const gone = await remove(`triggers/${name}`);
        expect([gone.status, gone.json.name]).toEqual([200, name]);
        expectError(await post(`triggers/${name}`), 404);
        expect(updated).toBeDefined();
      });

      it("fires nothing without an active rule: 204, no body, no id (#78)", async () => {
        const name = fresh("lonely");
        await put(`triggers/${name}`, {});
        const answer = await post(`triggers/${name}`, { a: 1 });
        expect([answer.status, answer.text]).toEqual([204, ""]);
        expect(answer.headers).not.toHaveProperty("x-openwhisk-activation-id");
        expect(answer.headers).not.toHaveProperty("content-type");
        expectError(await ask("POST", own(`triggers/${name}`), { raw: "[1]" }), 400); // #81
      });

      it("fires rules, active and not, and writes down what became of each (1.15, #79, #80)", async () => {
        const trigger = fresh("t");
        const [runs, gone] = [await action("function main(p) { return { got: p.a } }"), await action(HELLO)];
        const [active, inactive, broken] = [fresh("active"), fresh("inactive"), fresh("broken")];
        await put(`triggers/${trigger}`, { parameters: [{ key: "b", value: 2 }] });
        const rule = await put(`rules/${active}?overwrite=false`, {
          name: active,
          status: "",
          trigger: `/_/${trigger}`,
          action: `/_/${runs}`,
        });
        const { updated: _updated, ...shown } = rule.json;
        expect(shown).toEqual({
          namespace: target.namespace,
          name: active,
          version: "0.0.1",
          publish: false,
          status: "active",
          trigger: { path: target.namespace, name: trigger },
          action: { path: target.namespace, name: runs },
          annotations: [],
        });
        await put(`rules/${inactive}`, {
          trigger: `${target.namespace}/${trigger}`,
          action: { path: "_", name: runs },
        });
        await put(`rules/${broken}`, { trigger: `/_/${trigger}`, action: `/_/${gone}` });
        await remove(`actions/${gone}`);
        const off = await post(`rules/${inactive}`, { status: "inactive", trigger: null, action: null });
        expect(off.status).toBe(200);
        expect((await get(`triggers/${trigger}`)).json.rules).toMatchObject({
          [`${target.namespace}/${active}`]: { action: { path: target.namespace, name: runs }, status: "active" },
          [`${target.namespace}/${inactive}`]: { status: "inactive" },
        });

        const fired = await post(`triggers/${trigger}`, { a: 1 });
        expect(fired.status).toBe(202);
        expect(fired.json).toEqual({ activationId: fired.headers["x-openwhisk-activation-id"] });
        const stored = await record(fired.json.activationId as string);
        expect(stored).toMatchObject({
          name: trigger,
          namespace: target.namespace,
          response: { result: { a: 1 }, status: "success", success: true },
          annotations: [],
        });
        for (const member of ["end", "duration", "cause"]) expect(stored).not.toHaveProperty(member);
        const logs = (stored.logs as string[]).map((line) => JSON.parse(line));
        const by = (name: string): Json => logs.find((log) => log.rule === `${target.namespace}/${name}`);
        expect(logs).toHaveLength(3);
        expect(by(active)).toMatchObject({ statusCode: 0, success: true, action: `${target.namespace}/${runs}` });
        expect(by(inactive)).toMatchObject({ statusCode: 1, success: false, error: expect.any(String) as string });
        expect(by(broken)).toMatchObject({ statusCode: 1, success: false, error: expect.any(String) as string });
        const ran = await record(by(active).activationId as string);
        expect(ran.response.result).toEqual({ got: 1 });
        expect(ran).not.toHaveProperty("cause");
        const [summary] = (await get(`activations?name=${trigger}`)).json as Json[];
        for (const member of ["end", "duration", "statusCode"]) expect(summary).not.toHaveProperty(member);
      });

      it("needs a trigger and an action that exist (#82)", async () => {
        const trigger = fresh("t");
        const runs = await action(HELLO);
        await put(`triggers/${trigger}`, {});
        for (const body of [
          {},
          { trigger: `/_/${trigger}` },
          { action: `/_/${runs}` },
          { trigger: `/_/${fresh("none")}`, action: `/_/${runs}` },
          { trigger: `/_/${trigger}`, action: `/_/${fresh("none")}` },
          { trigger, action: `/_/${runs}` },
          { trigger: 1, action: `/_/${runs}` },
          { trigger: `/_/a/b/c`, action: `/_/${runs}` },
          { trigger: `/_/${trigger}`, action: `/_/` },
        ]) {
          expectError(await put(`rules/${fresh("r")}`, body), 400);
        }
        expectError(await ask("PUT", own(`rules/${fresh("r")}?overwrite=true`), { body: {} }), 400);
      });

      it("switches rules, keeps their state over updates, and frees the trigger of deleted ones (#83, #84, #85)", async () => {
        const [trigger, rule, runs] = [fresh("t"), fresh("r"), await action(HELLO)];
        await put(`triggers/${trigger}`, {});
        await put(`rules/${rule}`, { trigger: `/_/${trigger}`, action: `/_/${runs}` });
        for (const status of ["active", "inactive", "inactive"]) {
          expect((await post(`rules/${rule}`, { status })).status).toBe(200);
          expect((await get(`rules/${rule}`)).json.status).toBe(status);
        }
        for (const body of [{ status: "paused" }, {}, { status: 1 }])
          expectError(await post(`rules/${rule}`, body), 400);
        expectError(await post(`rules/${fresh("none")}`, { status: "active" }), 404);
        const again = await ask("PUT", own(`rules/${rule}?overwrite=true`), {
          body: { annotations: [{ key: "a", value: 1 }] },
        });
        expect(again.json).toMatchObject({
          status: "inactive",
          version: "0.0.2",
          annotations: [{ key: "a", value: 1 }],
        });
        const [item] = (await get("rules?limit=1")).json as Json[];
        expect(item).toMatchObject({ name: rule, trigger: { name: trigger }, action: { name: runs } });
        expect(item).not.toHaveProperty("status");

        await post(`rules/${rule}`, { status: "active" });
        await remove(`triggers/${trigger}`);
        expect((await get(`rules/${rule}`)).json.status).toBe("inactive");
        expectError(await post(`rules/${rule}`, { status: "active" }), 404);
        expect((await post(`rules/${rule}`, { status: "inactive" })).status).toBe(200);
        await put(`triggers/${trigger}`, {});
        await post(`rules/${rule}`, { status: "active" });
        const gone = await remove(`rules/${rule}`);
        expect([gone.status, gone.json.status]).toEqual([200, "inactive"]);
        const { rules } = (await get(`triggers/${trigger}`)).json;
        expect(Object.keys((rules ?? {}) as object)).toEqual([]);
      });
    });

    describe("packages", () => {
      it("keeps packages and shows what is in them (5.1)", async () => {
        const name = fresh("pkg");
        const made = await put(`packages/${name}`, { annotations: [{ key: "binding", value: "mine" }] });
        const { updated, ...rest } = made.json;
        expect(rest).toEqual({
          namespace: target.namespace,
          name,
          version: "0.0.1",
          publish: false,
          binding: {},
          parameters: [],
          annotations: [],
        });
        await put(`actions/${name}/one`, { exec: { kind: "nodejs:20", code: HELLO } });
        await put(`actions/${name}/feed`, {
          exec: { kind: "nodejs:20", code: HELLO },
          annotations: [{ key: "feed", value: true }],
        });
        const read = (await get(`packages/${name}`)).json;
        expect(read.actions).toMatchObject([{ name: "one", version: "0.0.1" }]);
        expect(read.actions[0].annotations).toContainEqual({ key: "exec", value: "nodejs:20" });
        expect(read.feeds).toMatchObject([{ name: "feed", version: "0.0.1" }]);
        const [item] = (await get("packages?limit=1")).json as Json[];
        expect(item).toEqual({
          namespace: target.namespace,
          name,
          version: "0.0.1",
          publish: false,
          annotations: [],
          updated: updated as unknown,
          binding: false,
        });
        const inside = (await get(`actions/${name}/`)).json as Json[];
        expect(inside.map((one) => [one.namespace, one.name] as unknown)).toEqual([
          [`${target.namespace}/${name}`, "feed"],
          [`${target.namespace}/${name}`, "one"],
        ]);
        expect((await get(`actions/${name}/?count=true`)).json).toEqual({ actions: 2 });
        expectError(await get(`actions/${name}`), 409); // without the slash it is an action's name
        expectError(await get(`actions/${fresh("none")}/`), 404);

        const refused = await remove(`packages/${name}`); // #88
        expectError(refused, 409);
        expect(refused.json.error).toContain("contains 2 entities");
        expect((await remove(`packages/${name}?force=true`)).status).toBe(200);
        expectError(await get(`actions/${name}/one`), 404);
        expectError(await get(`packages/${name}`), 404);
      });

      it("refuses the name default (#87), actions of a package that is not there, and POST", async () => {
        expectError(await put("packages/default", {}), 400);
        const exec = { kind: "nodejs:20", code: HELLO };
        expectError(await put(`actions/${fresh("none")}/a`, { exec }), 404);
        expectError(await ask("PUT", own(`packages/${fresh("null")}`), { raw: '{"binding":null}' }), 400);
        const name = fresh("pkg");
        const update = (body: unknown): Promise<Answer> => ask("PUT", own(`packages/${name}?overwrite=true`), { body });
        expect((await update({ publish: true })).json).toMatchObject({ version: "0.0.1", publish: true });
        expect((await update({ publish: false })).json).toMatchObject({ version: "0.0.2", publish: false });
        expectError(await update({ publish: "yes" }), 400);
        expectError(await post(`packages/${name}`, {}), 405);
      });
    });

    describe("the openwhisk package from npm", () => {
      it("creates, invokes, lists, fires and deletes", async () => {
        const ow = openwhisk({ apihost: target.url, api_key: target.auth });
        const [name, trigger, rule] = [fresh("npm"), fresh("npm"), fresh("npm")];
        await ow.actions.create({ name, action: HELLO, params: { name: "npm" } });
        await expect(ow.actions.create({ name, action: HELLO })).rejects.toMatchObject({ statusCode: 409 });
        await ow.actions.update({ name, action: HELLO, params: { name: "again" } });
        expect(await ow.actions.invoke({ name, blocking: true, result: true })).toEqual({ greeting: "hi again" });
        const listed = await ow.actions.list({ limit: 200 });
        expect(listed.map((one) => one.name)).toContain(name);
        await ow.triggers.create({ name: trigger });
        await ow.rules.create({ name: rule, trigger, action: name });
        const { activationId } = await ow.triggers.invoke({ name: trigger, params: { name: "fired" } });
        expect(await eventually(() => ow.activations.get({ name: activationId }), RECORD_WITHIN)).toMatchObject({
          activationId,
        });
        await ow.rules.disable({ name: rule });
        expect(await ow.rules.get({ name: rule })).toMatchObject({ status: "inactive" });
        const fails = await action("function main() { return { error: 'boom' } }");
        await expect(ow.actions.invoke({ name: fails, blocking: true })).rejects.toMatchObject({
          statusCode: 502,
          message: expect.stringContaining("boom") as string,
        });
        await ow.rules.delete({ name: rule });
        await ow.triggers.delete({ name: trigger });
        await ow.actions.delete({ name });
        await expect(ow.actions.get({ name })).rejects.toMatchObject({ statusCode: 404 });
        expect(await ow.namespaces.list()).toEqual([target.namespace]);
      });
    });
  });
}

/** A zip of index.js: exports.main = () => ({}) */
const EMPTY_MAIN_ZIP =
  "UEsDBBQAAAAAAAAAIVxUS1TKGgAAABoAAAAIAAAAaW5kZXguanNleHBvcnRzLm1haW4gPSAoKSA9PiAoe30pClBLAQIUAxQAAAAAAAAAIVxUS1TKGgAAABoAAAAIAAAAAAAAAAAAAACAAQAAAABpbmRleC5qc1BLBQYAAAAAAQABADYAAABAAAAAAAA=";
