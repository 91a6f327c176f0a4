/* eslint-disable @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-assignment -- bodies of answers are what is being looked at: a wrong member fails the test */

// Behaviours that OpenWhisk's own tests assert and that need real sandboxes: how runs end, what they are given, what is kept
// of them; and a whole conversation, exchange by exchange. Numbers such as "#48" are lines of the list of those behaviours.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OpenFabric } from "../e2e/fabrics.js";
import { eventually } from "../harness/eventually.js";
import openwhisk from "openwhisk";
import { exchange, type Exchanged } from "../harness/raw-http.js";
import { annotationsOf, RestNamespace } from "./sequences.suite.js";

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- bodies are what is being looked at
type Json = any;

const ID = expect.stringMatching(/^[0-9a-f]{32}$/) as string;
/** Of a key that was made for an activation. */
const MADE = /^[0-9a-f-]{36}:[0-9a-f]{64}$/;
const MOMENT = expect.any(Number) as number;
const kv = (values: Readonly<Record<string, unknown>>): { key: string; value: unknown }[] =>
  Object.entries(values).map(([key, value]) => ({ key, value }));

export function behavioursSuite(name: string, open: () => Promise<OpenFabric>): void {
  describe(`${name} behaves as OpenWhisk`, () => {
    let opened: OpenFabric;
    let ns: RestNamespace;
    let count = 0;
    const fresh = (what: string): string => `${what}-${(count += 1)}`;

    beforeAll(async () => {
      opened = await open();
      ns = new RestNamespace(opened.fabric.rest, opened.fabric.auth, "guest");
    });
    afterAll(async () => {
      await opened.close();
    });

    function send(
      method: string,
      path: string,
      body?: unknown,
      { anonymous = false, headers = {} }: { anonymous?: boolean; headers?: Record<string, string> } = {},
    ): Promise<Exchanged> {
      const all = {
        ...(anonymous ? {} : { authorization: opened.fabric.authorization }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      };
      return exchange(opened.fabric.rest, method, path, all, body === undefined ? undefined : JSON.stringify(body));
    }
    const api = (method: string, path: string, body?: unknown): Promise<Exchanged> =>
      send(method, `/api/v1/namespaces/_/${path}`, body);

    async function ended(action: string, params: object = {}): Promise<{ status: number; record: Json }> {
      const { status, json } = await ns.invoke(action, params);
      expect(json.code).toBeUndefined();
      return { status, record: await ns.record(json.activationId as string) };
    }

    describe("on the wire", () => {
      it("promises CORS headers for what was understood, and for nothing else (#6)", async () => {
        const understood = [
          await api("GET", "actions"),
          await api("GET", "actions/nobody"),
          await api("POST", "actions/nobody"),
        ];
        for (const { headers } of understood) {
          expect(headers).toMatchObject({
            "access-control-allow-origin": "*",
            "access-control-allow-methods": "GET, DELETE, POST, PUT, HEAD",
            "access-control-allow-headers": "Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent",
          });
        }
        const not = [
          await send("GET", "/api/v1/namespaces", undefined, { anonymous: true }),
          await send("GET", "/api/v1/nowhere"),
          await api("DELETE", "actions"),
          await api("PUT", "actions/new", []),
        ];
        expect(not.map(({ status }) => status)).toEqual([401, 404, 405, 400]);
        for (const { headers } of not) expect(headers).not.toHaveProperty("access-control-allow-origin");
      });
    });

    describe("actions", () => {
      it.each([" NodeJS:20 ", "nodejs:default", "NODEJS:DEFAULT"])(
        "are stored as of a kind that is one, for %j (#21)",
        async (kind) => {
          const action = fresh("kind");
          const { json } = await ns.put(`actions/${action}`, { exec: { kind, code: "function main() { return {} }" } });
          expect(json.exec.kind).toBe("nodejs:20");
          expect(annotationsOf(json)["exec"]).toBe("nodejs:20");
        },
      );

      it.each([["java without a main (#24)", { kind: "java:8", code: "x" }]])(
        "are refused as %s, with the kinds that there are",
        async (_what, exec) => {
          const { status, json } = await ns.put(`actions/${fresh("none")}`, { exec });
          expect(status).toBe(400);
          expect(json.error).toMatch(/"nodejs:20", .*"python:3.11"/);
        },
      );

      it.each([
        ["no image (#23)", { kind: "blackbox" }, "'image' must be a string defined in 'exec' for 'blackbox' actions"],
        ["an image that is no text", { kind: "blackbox", image: 1 }, "'image' must be a string"],
        ["what is no name of an image", { kind: "blackbox", image: "Me/Image:1" }, "is no name of an image"],
      ])("are refused as a blackbox with %s", async (_what, exec, complaint) => {
        const { status, json } = await ns.put(`actions/${fresh("none")}`, { exec });
        expect([status, json.error]).toEqual([400, expect.stringContaining(complaint)]);
      });

      it("are given no key, unless somebody says so (#28)", async () => {
        const action = await ns.action(fresh("key"), "function main() { return {} }");
        const provides = async (change: object): Promise<unknown> =>
          annotationsOf((await ns.put(`actions/${action}`, change, true)).json)["provide-api-key"];
        expect(annotationsOf((await ns.get(`actions/${action}`)).json)["provide-api-key"]).toBe(false);
        expect(await provides({ annotations: kv({ "provide-api-key": true }) })).toBe(true);
        expect(await provides({ annotations: kv({ other: 1 }) })).toBe(true);
      });

      it("are updated one after the other, or refused with 409: no update is lost that was confirmed (#36)", async () => {
        const action = await ns.action(fresh("race"), "function main() { return {} }");
        const answers = await Promise.all(
          Array.from({ length: 20 }, (_, i) =>
            ns.put(`actions/${action}`, { annotations: kv({ [`by-${i}`]: i }) }, true),
          ),
        );
        const kept = annotationsOf((await ns.get(`actions/${action}`)).json);
        const versions = new Set<string>();
        for (const [i, { status, json }] of answers.entries()) {
          expect([200, 409]).toContain(status);
          if (status !== 200) continue;
          versions.add(json.version as string);
          expect(kept[`by-${i}`]).toBe(i);
        }
        expect(versions.size).toBe(answers.filter(({ status }) => status === 200).length);
      });
    });

    describe("runs", () => {
      it("that answer too much are told how much (#47)", async () => {
        const action = await ns.action(fresh("large"), `function main() { return { a: "x".repeat(1048576) } }`);
        const { status, record } = await ended(action);
        expect(status).toBe(502);
        expect(record.response).toMatchObject({ status: "application error", success: false });
        expect(record.response.result.error).toMatch(
          /^The action produced a response that exceeded the allowed length: 10485\d\d > 1048576 bytes\. The truncated response was: \{"a": ?"xxx/,
        );
      });

      it("that take too long are stopped, and the next one has a sandbox of its own (#48)", async () => {
        const action = await ns.action(
          fresh("late"),
          `let runs = 0; function main({ ms }) { runs += 1; return new Promise((done) => setTimeout(() => done({ runs }), ms || 0)) }`,
          { limits: { timeout: 500 } },
        );
        expect((await ended(action)).record.response.result).toEqual({ runs: 1 });
        const { status, record } = await ended(action, { ms: 5_000 });
        expect(status).toBe(502);
        expect(record.response).toMatchObject({
          status: "action developer error",
          result: { error: "The action exceeded its time limits of 500 milliseconds." },
        });
        expect(annotationsOf(record)["timeout"]).toBe(true);
        const next = await ended(action);
        expect(next.record.response.result).toEqual({ runs: 1 });
        expect(annotationsOf(next.record)).toMatchObject({ timeout: false, initTime: expect.any(Number) as number });
      });

      it("that leave are a mistake of their developer (#49)", async () => {
        const action = await ns.action(fresh("leaves"), "function main() { process.exit(3) }");
        const { status, record } = await ended(action);
        expect(status).toBe(502);
        expect(record.response.status).toBe("action developer error");
        expect(record.response.result.error).toMatch(/exited unexpectedly/);
      });

      it("that eat memory are told so (#50)", async () => {
        const action = await ns.action(
          fresh("eats"),
          "function main() { const all = []; for (;;) all.push(Buffer.alloc(8 * 1024 * 1024, 1)) }",
          { limits: { memory: 128, timeout: 30_000 } },
        );
        const { status, record } = await ended(action);
        expect(status).toBe(502);
        expect(record.response.status).toBe("action developer error");
        expect(record.response.result.error).toMatch(/exhausted its memory/);
      });

      it("say how long they waited, and the first of a sandbox how long it took to load (#51)", async () => {
        const action = await ns.action(fresh("cold"), "function main() { return {} }");
        const [cold, warm] = [annotationsOf((await ended(action)).record), annotationsOf((await ended(action)).record)];
        expect(cold).toMatchObject({ waitTime: expect.any(Number) as number, initTime: expect.any(Number) as number });
        expect(warm).toMatchObject({ waitTime: expect.any(Number) as number });
        expect(warm).not.toHaveProperty("initTime");
      });

      it("keep as many logs as they may, and say when that was not all (#52)", async () => {
        const code = `function main() { for (let i = 0; i < 20000; i++) console.log("x".repeat(99)); return {} }`;
        const some = (await ended(await ns.action(fresh("logs"), code, { limits: { logs: 1 } }))).record
          .logs as string[];
        const text = some.slice(0, -1).join("\n");
        expect(text.length).toBeGreaterThan(900_000);
        expect(some.length).toBeLessThan(11_000);
        expect(some.at(-1)).toMatch(/truncated.*1048576 bytes|1048576 bytes.*truncated|limit/i);
        const none = (await ended(await ns.action(fresh("logs"), code, { limits: { logs: 0 } }))).record;
        expect(none.logs).toEqual([]);
      });

      it("are given their caller's key when they ask for it, and where the API is (#54)", async () => {
        const code =
          "function main() { const { __OW_API_KEY: key, __OW_API_HOST: host } = process.env; return { key, host } }";
        const without = await ns.action(fresh("keyless"), code);
        const host = opened.fabric.rest;
        expect((await ended(without)).record.response.result).toEqual({ host });
        const asking = await ns.action(fresh("keyed"), code, { annotations: kv({ "provide-api-key": true }) });
        const key = opened.fabric.auth;
        expect((await ended(asking)).record.response.result).toEqual({ key, host });
        const later = await ns.invoke(asking, {}, "blocking=false");
        const made = (await ns.record(later.json.activationId as string)).response.result;
        expect(made).toEqual({ key: expect.stringMatching(MADE) as string, host });
        expect((made.key as string).split(":")[0]).toBe(key.split(":")[0]);
        expect((await ended(without)).record.response.result).toEqual({ host });
      });

      it("are given a key that is made for them where none was presented or kept, and it works as one", async () => {
        const code = "function main() { const key = process.env.__OW_API_KEY || ''; return { key, body: key } }";
        const auth = (await opened.fabric.ok("namespace", "create", fresh("delegating"))).trim();
        const own = new RestNamespace(opened.fabric.rest, auth, `delegating-${count}`);
        const asking = { annotations: kv({ "provide-api-key": true, "web-export": true }) };
        await own.action("keyed", code, asking);
        await own.sequence("chain", ["/_/keyed"]);
        await own.put("triggers/t", {});
        expect((await own.put("rules/r", { trigger: "/_/t", action: "/_/keyed" })).status).toBe(200);
        const fired = (await own.ask("POST", "_/triggers/t", {})).json.activationId as string;
        const { activationId } = JSON.parse((await own.record(fired)).logs[0] as string) as { activationId: string };
        const chained = await own.invoke("chain");
        const web = await send("GET", `/api/v1/web/${own.name}/default/keyed.http`, undefined, { anonymous: true });
        const made = {
          rule: (await own.record(activationId)).response.result.key as string,
          sequence: chained.json.response.result.key as string,
          web: web.text,
        };
        const uuid = auth.split(":")[0] ?? "";
        for (const [where, key] of Object.entries(made)) {
          expect(key, where).toMatch(MADE);
          expect(key.startsWith(`${uuid}:`), where).toBe(true);
          const ow = openwhisk({ apihost: opened.fabric.rest, api_key: key });
          expect(await ow.actions.list()).toHaveLength(2);
          // What an action starts with it has one again, with a time of its own.
          const again = await ow.actions.invoke({ name: "keyed", blocking: true, result: true });
          expect(again, where).toMatchObject({ key: expect.stringMatching(MADE) as string });
          const elsewhere = await new RestNamespace(opened.fabric.rest, key, "guest").ask("GET", "guest/actions");
          expect(elsewhere.status, where).toBe(403);
          for (const managing of [
            ["key", "create"],
            ["key", "list"],
            ["key", "rotate", uuid],
            ["namespace", "create", "more"],
          ]) {
            const refused = await opened.fabric.weft(...managing, "--auth", key);
            expect([managing, refused.code]).not.toEqual([managing, 0]);
            expect(refused.stderr, managing.join(" ")).toContain("made for an activation");
          }
          expect(await opened.fabric.ok("whoami", "--auth", key)).toContain(own.name);
          const forged = `${key.slice(0, -1)}${key.endsWith("0") ? "1" : "0"}`;
          expect((await new RestNamespace(opened.fabric.rest, forged, own.name).get("actions")).status).toBe(401);
        }
        const second = (await opened.fabric.ok("key", "create", "--auth", auth)).trim();
        await opened.fabric.ok("key", "delete", uuid, "--auth", second);
        await eventually(async () => {
          for (const key of Object.values(made)) {
            expect((await new RestNamespace(opened.fabric.rest, key, own.name).get("actions")).status).toBe(401);
          }
          const now = await send("GET", `/api/v1/web/${own.name}/default/keyed.http`, undefined, { anonymous: true });
          expect(now.text.split(":")[0]).toBe(second.split(":")[0]);
        });
      });

      it("find what is for init in their environment, as text, and not among their arguments (#55)", async () => {
        const action = await ns.action(
          fresh("init"),
          "function main(args) { const { SECRET, OBJECT, NUMBER, NOTHING } = process.env; return { args, SECRET, OBJECT, NUMBER, NOTHING } }",
          {
            parameters: [
              { key: "SECRET", value: "s", init: true },
              { key: "OBJECT", value: { a: [1] }, init: true },
              { key: "NUMBER", value: 7, init: true },
              { key: "NOTHING", value: null, init: true },
              { key: "plain", value: 1 },
            ],
          },
        );
        const { json } = await ns.get(`actions/${action}`);
        expect(json.parameters).toContainEqual({ key: "SECRET", value: "s", init: true });
        expect(json.parameters).toContainEqual({ key: "plain", value: 1 });
        expect((await ended(action, { x: 2 })).record.response.result).toEqual({
          args: { plain: 1, x: 2 },
          SECRET: "s",
          OBJECT: `{"a":[1]}`,
          NUMBER: "7",
          NOTHING: "",
        });
      });
    });

    describe("web actions", () => {
      it("are exported by their own annotations, not by those of a binding that leads to them (#114)", async () => {
        const box = fresh("box");
        expect((await ns.put(`packages/${box}`, { annotations: kv({ "web-export": false }) })).status).toBe(200);
        await ns.action(`${box}/page`, "function main(p) { return { v: p.v } }", {
          annotations: kv({ "web-export": true }),
        });
        const bound = fresh("bound");
        const made = await ns.put(`packages/${bound}`, {
          binding: { namespace: "_", name: box },
          annotations: kv({ "web-export": false }),
          parameters: kv({ v: "binding's" }),
        });
        expect(made.status, made.text).toBe(200);
        for (const [through, v] of [
          [box, "mine"],
          [bound, "mine"],
        ] as const) {
          const { status, json } = await send("GET", `/api/v1/web/guest/${through}/page.json?v=${v}`, undefined, {
            anonymous: true,
          });
          expect([status, json]).toEqual([200, { v }]);
        }
        const { json } = await send("GET", `/api/v1/web/guest/${bound}/page.json`, undefined, { anonymous: true });
        expect(json).toEqual({ v: "binding's" });
      });
    });

    // One after the other, as a person would.
    it("answers the worked exchanges to the member (1.15)", async () => {
      const error = { error: expect.stringMatching(/./) as string, code: expect.stringMatching(/^\w{32}$/) as string };
      async function says(
        method: string,
        path: string,
        body: unknown,
        status: number,
        answer: unknown,
      ): Promise<Exchanged> {
        const sent = await send(method, `/api/v1/${path}`, body);
        expect([sent.status, sent.text === "" ? "" : sent.json], `${method} ${path}`).toEqual([status, answer]);
        return sent;
      }
      const actions = (await api("GET", "actions?count=true")).json as { actions: number };
      await says("GET", "namespaces", undefined, 200, ["guest"]);
      await says("GET", "namespaces/_/actions?limit=201", undefined, 400, {
        error:
          "The query parameter 'limit' was malformed:\nThe value '201' is not in the range of 0 to 200 for actions.",
        code: error.code,
      });
      const code = "const main = p => ({g: 'hi ' + p.n})";
      const annotations = kv({ "web-export": true, "raw-http": false, final: true });
      const hello = {
        namespace: "_",
        name: "hello",
        exec: { kind: "nodejs:default", code },
        annotations,
        parameters: kv({ n: "you" }),
        limits: { memory: 128 },
      };
      await says("PUT", "namespaces/_/actions/hello?overwrite=false", hello, 200, {
        namespace: "guest",
        name: "hello",
        version: "0.0.1",
        publish: false,
        exec: { kind: "nodejs:20", code, binary: false },
        parameters: kv({ n: "you" }),
        annotations: expect.toSatisfy(
          (list: unknown[]) =>
            list.length === 5 &&
            kv({ "provide-api-key": false, exec: "nodejs:20" }).every((one) =>
              JSON.stringify(list).includes(JSON.stringify(one)),
            ),
        ) as unknown,
        limits: { timeout: 60_000, memory: 128, logs: 10, concurrency: 1 },
        updated: MOMENT,
      });
      await says("GET", "namespaces/_/actions?count=true", undefined, 200, { actions: actions.actions + 1 });
      await says("PUT", "namespaces/_/actions/hello?overwrite=false", hello, 409, error);
      const invoke = "namespaces/_/actions/hello?blocking=true&result=true";
      await says("POST", invoke, { n: "x" }, 400, error);
      const greeted = await says("POST", invoke, { m: "x" }, 200, { g: "hi you" });
      const id = greeted.headers["x-openwhisk-activation-id"] as string;
      expect(id).toEqual(ID);
      const accepted = await says("POST", "namespaces/_/actions/hello", undefined, 202, { activationId: ID });
      expect(accepted.json).toEqual({ activationId: accepted.headers["x-openwhisk-activation-id"] });

      const fails = { exec: { kind: "nodejs:default", code: "const main = () => ({error: 'boom'})" } };
      expect((await api("PUT", "actions/fails", fails)).status).toBe(200);
      const failed = await says("POST", "namespaces/_/actions/fails?blocking=true", {}, 502, {
        namespace: "guest",
        name: "fails",
        version: "0.0.1",
        subject: "guest",
        activationId: ID,
        start: MOMENT,
        end: MOMENT,
        duration: MOMENT,
        response: { result: { error: "boom" }, size: 16, status: "application error", success: false },
        logs: [],
        annotations: expect.any(Array) as unknown[],
        publish: false,
      });
      expect(annotationsOf(failed.json)).toMatchObject({
        path: "guest/fails",
        waitTime: MOMENT,
        kind: "nodejs:20",
        timeout: false,
        limits: { concurrency: 1, logs: 10, memory: 256, timeout: 60_000 },
      });
      await says("POST", "namespaces/_/actions/fails?blocking=true&result=true", {}, 502, { error: "boom" });
      await says("POST", "namespaces/_/actions/nosuch", undefined, 404, error);

      await ns.record(id);
      await says("GET", `namespaces/_/activations/${id}/result`, undefined, 200, {
        result: { g: "hi you" },
        size: expect.any(Number) as number,
        status: "success",
        success: true,
      });
      await says("GET", `namespaces/_/activations/${id}/logs`, undefined, 200, { logs: [] });

      await says("PUT", "namespaces/_/triggers/t", {}, 200, {
        namespace: "guest",
        name: "t",
        version: "0.0.1",
        publish: false,
        annotations: [],
        parameters: [],
        limits: {},
        updated: MOMENT,
      });
      await says("POST", "namespaces/_/triggers/t", { a: 1 }, 204, "");
      await says(
        "PUT",
        "namespaces/_/rules/r?overwrite=false",
        { name: "r", status: "", trigger: "/_/t", action: "/_/hello" },
        200,
        {
          namespace: "guest",
          name: "r",
          version: "0.0.1",
          publish: false,
          status: "active",
          trigger: { path: "guest", name: "t" },
          action: { path: "guest", name: "hello" },
          annotations: [],
          updated: MOMENT,
        },
      );
      await says("POST", "namespaces/_/triggers/t", { a: 1 }, 202, { activationId: ID });
      expect((await api("POST", "rules/r", { status: "inactive", trigger: null, action: null })).status).toBe(200);
      await says("POST", "namespaces/_/triggers/t", { a: 1 }, 204, "");

      expect((await api("PUT", "packages/p", {})).status).toBe(200);
      for (const one of ["p/a", "p/b"]) expect((await api("PUT", `actions/${one}`, fails)).status).toBe(200);
      await says("DELETE", "namespaces/_/packages/p", undefined, 409, {
        error: "Package not empty (contains 2 entities). Set force param or delete package contents.",
        code: error.code,
      });

      const page = await send("GET", "/api/v1/web/guest/default/hello.json?m=1", undefined, { anonymous: true });
      expect([page.status, page.headers["content-type"], page.json]).toEqual([
        200,
        "application/json",
        { g: "hi you" },
      ]);
      const bare = await send("GET", "/api/v1/web/guest/default/hello?m=1", undefined, { anonymous: true });
      expect([bare.status, bare.text]).toEqual([204, ""]);
    });
  });
}
