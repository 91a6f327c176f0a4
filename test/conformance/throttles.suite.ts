/* eslint-disable @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-assignment, @typescript-eslint/no-unsafe-return -- bodies of answers are what is being looked at: a wrong member fails the test */

// Limits and throttles as clients of OpenWhisk depend on them. Numbers such as "#115" are lines of the list of behaviours that
// OpenWhisk's own tests assert. They need a whole fabric and its operator.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OpenFabric } from "../e2e/fabrics.js";
import { ask, type Asked } from "../harness/ask.js";
import { eventually } from "../harness/eventually.js";

const WITHIN = { withinMs: 20_000, everyMs: 50 };
const ECHO = "function main(p) { return p }";
const SLEEP = "function main(p) { return new Promise((done) => setTimeout(() => done({}), p.ms || 0)) }";
const ERROR_OF = (text: RegExp) => ({
  error: expect.stringMatching(text) as unknown,
  code: expect.any(String) as unknown,
});
const RATE = (count: number, allowed: number): RegExp =>
  new RegExp(`^too many requests in the last minute \\(count: ${count}, allowed: ${allowed}\\)\\.$`, "i");
const CONCURRENT = (allowed: number): RegExp =>
  new RegExp(`^too many concurrent requests in flight \\(count: ${allowed}, allowed: ${allowed}\\)\\.$`, "i");

/** A namespace of one test, with the limits that it sets. */
class Namespace {
  constructor(
    private readonly open: OpenFabric,
    readonly name: string,
    readonly auth: string,
  ) {}

  ask(method: string, path: string, body?: unknown): Promise<Asked> {
    return ask(this.open.fabric.rest, this.auth, method, `_/${path}`, body);
  }

  async action(name: string, code = ECHO, more: object = {}): Promise<Asked> {
    const answer = await this.ask("PUT", `actions/${name}?overwrite=true`, {
      exec: { kind: "nodejs:default", code },
      limits: { concurrency: 20 },
      ...more,
    });
    expect(answer.status, answer.text).toBe(200);
    return answer;
  }

  invoke(name: string, params: object = {}, query = "blocking=true&result=true"): Promise<Asked> {
    return this.ask("POST", `actions/${name}?${query}`, params);
  }

  limits(...options: readonly string[]): Promise<string> {
    return this.open.fabric.ok("namespace", "limits", this.name, ...options);
  }

  async record(id: string): Promise<Asked["json"]> {
    return eventually(async () => {
      const answer = await this.ask("GET", `activations/${id}`);
      return answer.status === 200 && (answer.json as unknown);
    }, WITHIN);
  }
}

/** Waits for the beginning of a minute when this one is nearly over: what is counted is counted in one. */
async function atLeastLeft(ms: number): Promise<void> {
  if (60_000 - (Date.now() % 60_000) >= ms) return;
  await eventually(() => Date.now() % 60_000 < 1_000, { withinMs: ms + 1_000, everyMs: 50 });
}

export function throttlesSuite(what: string, start: () => Promise<OpenFabric>): void {
  describe(`limits and throttles: ${what}`, () => {
    let open: OpenFabric;
    let number = 0;

    beforeAll(async () => {
      open = await start();
    });
    afterAll(async () => {
      await open.close();
    });

    async function aNamespace(...options: readonly string[]): Promise<Namespace> {
      const name = `limited-${++number}`;
      const auth = (await open.fabric.ok("namespace", "create", name)).trim();
      const made = new Namespace(open, name, auth);
      if (options.length > 0) await made.limits(...options);
      return made;
    }

    describe("a minute", () => {
      it("has as many invocations as are allowed, and says how many there were and when it is over (#115)", async () => {
        const ns = await aNamespace("--invocations-per-minute", "6");
        await ns.action("echo");
        await atLeastLeft(15_000);
        for (let i = 0; i < 5; i++) expect((await ns.invoke("echo", { i })).json).toEqual({ i });
        // What is not there counts as well.
        expect((await ns.invoke("none")).status).toBe(404);
        for (const count of [7, 8]) {
          const refused = await ns.invoke("echo");
          expect([refused.status, refused.json]).toEqual([429, ERROR_OF(RATE(count, 6))]);
          const leftS = (60_000 - (Date.now() % 60_000)) / 1_000;
          expect(Math.abs(Number(refused.headers["retry-after"]) - leftS)).toBeLessThan(2);
        }
        // Reading is not throttled.
        expect((await ns.ask("GET", "actions/echo")).status).toBe(200);
      });

      it("that is new has all of them again (#115)", async () => {
        const ns = await aNamespace("--invocations-per-minute", "2");
        await ns.action("echo");
        await eventually(async () => (await ns.invoke("echo")).status === 429, WITHIN);
        const { headers } = await ns.invoke("echo");
        await eventually(async () => (await ns.invoke("echo")).status === 200, {
          withinMs: Number(headers["retry-after"]) * 1_000 + 1_500,
          everyMs: 250,
        });
      });

      it("counts a sequence once, whatever is in it (#73)", async () => {
        const ns = await aNamespace("--invocations-per-minute", "3");
        await ns.action("echo");
        const sequence = { exec: { kind: "sequence", components: ["/_/echo", "/_/echo", "/_/echo"] } };
        expect((await ns.ask("PUT", "actions/three", sequence)).status).toBe(200);
        await atLeastLeft(15_000);
        for (let i = 0; i < 3; i++) expect((await ns.invoke("three", { i })).json).toEqual({ i });
        expect((await ns.invoke("three")).json).toEqual(ERROR_OF(RATE(4, 3)));
      });

      it("counts firings, and what rules start as invocations, which the trigger's record tells", async () => {
        const ns = await aNamespace("--invocations-per-minute", "3", "--fires-per-minute", "2");
        await ns.action("echo");
        expect((await ns.ask("PUT", "triggers/t", {})).status).toBe(200);
        for (const rule of ["r1", "r2"]) {
          const body = { trigger: "/_/t", action: "/_/echo" };
          expect((await ns.ask("PUT", `rules/${rule}`, body)).status).toBe(200);
        }
        await atLeastLeft(20_000);
        const ids: string[] = [];
        for (let i = 0; i < 2; i++) {
          const fired = await ns.ask("POST", "triggers/t", { i });
          expect(fired.status, fired.text).toBe(202);
          ids.push(fired.json.activationId as string);
        }
        const refused = await ns.ask("POST", "triggers/t", {});
        expect([refused.status, refused.json]).toEqual([429, ERROR_OF(RATE(3, 2))]);
        const logs = await Promise.all(
          ids.map(async (id) => ((await ns.record(id)).logs as string[]).map((line) => JSON.parse(line))),
        );
        const all = logs.flat();
        expect(all.filter((one) => one.success === true)).toHaveLength(3);
        const [failed] = all.filter((one) => one.success === false);
        expect(failed).toMatchObject({
          statusCode: 1,
          error: expect.stringMatching(/count: 4, allowed: 3/) as unknown,
        });
        expect((await ns.invoke("echo")).status).toBe(429);
      });

      it("of the owner counts requests to web actions, whoever makes them (#113)", async () => {
        const ns = await aNamespace("--invocations-per-minute", "2");
        await ns.action("web", "function main() { return { body: 'hi' } }", {
          annotations: [{ key: "web-export", value: true }],
        });
        await atLeastLeft(15_000);
        const get = (): Promise<Asked> =>
          ask(open.fabric.rest, undefined, "GET", `/api/v1/web/${ns.name}/default/web.http`);
        for (let i = 0; i < 2; i++) expect((await get()).text).toBe("hi");
        const refused = await get();
        expect([refused.status, Number(refused.headers["retry-after"]) > 0]).toEqual([429, true]);
      });
    });

    describe("what is in flight", () => {
      it("is as much as is allowed, and what completes makes room (#116)", async () => {
        const ns = await aNamespace("--concurrent", "2");
        await ns.action("sleep", SLEEP);
        const running = [1, 2].map(() => ns.invoke("sleep", { ms: 2_500 }));
        const refused = await eventually(async () => {
          const answer = await ns.invoke("sleep");
          return answer.status === 429 && answer;
        }, WITHIN);
        expect(refused.json).toEqual(ERROR_OF(CONCURRENT(2)));
        expect(Number(refused.headers["retry-after"])).toBeGreaterThanOrEqual(1);
        await Promise.all(running);
        await eventually(async () => (await ns.invoke("sleep")).status === 200, WITHIN);
      });

      it("counts what nobody waits for until it is finished (#116)", async () => {
        const ns = await aNamespace("--concurrent", "1");
        await ns.action("sleep", SLEEP);
        const accepted = await ns.invoke("sleep", { ms: 1_500 }, "blocking=false");
        expect(accepted.status, accepted.text).toBe(202);
        for (const query of ["blocking=false", "blocking=true"]) {
          expect((await ns.invoke("sleep", {}, query)).json).toEqual(ERROR_OF(CONCURRENT(1)));
        }
        await ns.record(accepted.json.activationId as string);
        await eventually(async () => (await ns.invoke("sleep")).status === 200, WITHIN);
      });

      it("counts a sequence as one, however long it is", async () => {
        const ns = await aNamespace("--concurrent", "1");
        await ns.action("sleep", SLEEP);
        const sequence = { exec: { kind: "sequence", components: ["/_/sleep", "/_/sleep"] } };
        expect((await ns.ask("PUT", "actions/two", sequence)).status).toBe(200);
        const [whole, other] = [ns.invoke("two", { ms: 2_000 }), ns.invoke("two", { ms: 2_000 })];
        const statuses = [(await whole).status, (await other).status].sort();
        expect(statuses).toEqual([200, 429]);
      });
    });

    it("a limit of 0 refuses everything (#117)", async () => {
      const ns = await aNamespace("--invocations-per-minute", "0", "--fires-per-minute", "0");
      await ns.action("echo");
      expect((await ns.ask("PUT", "triggers/t", {})).status).toBe(200);
      for (const query of ["blocking=true", "blocking=false"])
        expect((await ns.invoke("echo", {}, query)).status).toBe(429);
      expect((await ns.ask("POST", "triggers/t", {})).status).toBe(429);
      await ns.limits("--invocations-per-minute", "60", "--concurrent", "0");
      await eventually(async () => {
        expect((await ns.invoke("echo")).json).toEqual(ERROR_OF(CONCURRENT(0)));
      }, WITHIN);
      await ns.limits("--concurrent", "5");
      await eventually(async () => (await ns.invoke("echo")).status === 200, WITHIN);
    });

    describe("what an operator sets for one namespace", () => {
      it("is in its limits document, and holds for its actions (#118)", async () => {
        const ns = await aNamespace();
        expect((await ns.ask("GET", "limits")).json).toEqual({
          invocationsPerMinute: 6_000,
          concurrentInvocations: 100,
          firesPerMinute: 600,
          minActionMemory: 128,
          maxActionMemory: 512,
          minActionLogs: 0,
          maxActionLogs: 10,
          minActionTimeout: 100,
          maxActionTimeout: 300_000,
          minActionConcurrency: 1,
          maxActionConcurrency: 500,
          maxParameterSize: "1048576 B",
          maxPayloadSize: "1048576 B",
          maxActionInstances: 100,
        });
        const exec = { kind: "nodejs:default", code: ECHO };
        const put = (limits: object): Promise<Asked> =>
          ns.ask("PUT", "actions/sized?overwrite=true", { exec, limits, parameters: [] });
        expect((await put({ memory: 600 })).status).toBe(400);
        await ns.limits("--invocations-per-minute", "7", "--fires-per-minute", "8", "--concurrent", "9");
        await ns.limits("--memory", "64:640", "--timeout", ":1000", "--logs", "1:2", "--concurrency", "2:3");
        await ns.limits("--payload-size", "1000", "--parameter-size", "2000", "--kinds", "nodejs:20,python:3.11");
        await ns.limits("--truncation-size", "10", "--store-activations", "no", "--instances", "5");
        await eventually(async () => {
          expect((await ns.ask("GET", "limits")).json).toEqual({
            invocationsPerMinute: 7,
            concurrentInvocations: 9,
            firesPerMinute: 8,
            allowedKinds: ["nodejs:20", "python:3.11"],
            minActionMemory: 64,
            maxActionMemory: 640,
            minActionLogs: 1,
            maxActionLogs: 2,
            minActionTimeout: 100,
            maxActionTimeout: 1_000,
            minActionConcurrency: 2,
            maxActionConcurrency: 3,
            maxParameterSize: "2000 B",
            maxPayloadSize: "1000 B",
            truncationSize: "10 B",
            storeActivations: false,
            maxActionInstances: 5,
          });
        }, WITHIN);
        const made = await put({ memory: 600 });
        expect(made.json.limits).toEqual({ timeout: 1_000, memory: 600, logs: 2, concurrency: 2 });
        for (const [limits, text] of [
          [{ memory: 641 }, "memory size 641 MB exceeds allowed threshold of 640 MB"],
          [{ memory: 63 }, "memory size 63 MB below allowed threshold of 64 MB"],
          [{ timeout: 1_001 }, "duration 1001 milliseconds exceeds allowed threshold of 1000 milliseconds"],
          [{ logs: 3 }, "log size 3 MB exceeds allowed threshold of 2 MB"],
          [{ concurrency: 1 }, "concurrency 1 below allowed threshold of 2"],
        ] as const) {
          const refused = await put(limits);
          expect([refused.status, refused.json.error]).toEqual([400, expect.stringContaining(text)]);
        }
        const large = { exec, parameters: [{ key: "k", value: "x".repeat(2_000) }] };
        expect((await ns.ask("PUT", "actions/large", large)).status).toBe(413);
        expect((await ns.invoke("sized", { k: "x".repeat(1_000) })).status).toBe(413);
        await ns.limits("--reset", "memory,timeout,logs,concurrency,payload-size", "--kinds", "all");
        await eventually(async () => {
          const { json } = await ns.ask("GET", "limits");
          expect([json.maxActionMemory, json.maxPayloadSize, json.maxParameterSize, json.allowedKinds]).toEqual([
            512,
            "1048576 B",
            "2000 B",
            undefined,
          ]);
        }, WITHIN);
      });

      it("keeps no record of what is invoked, but of sequences and firings (#56)", async () => {
        const ns = await aNamespace();
        const code = `function main(p) {
          if (p.fail) throw new Error("on purpose");
          return new Promise((done) => setTimeout(() => done({ ok: true }), p.ms || 0));
        }`;
        await ns.action("kept", code);
        await ns.limits("--store-activations", "no");
        await eventually(async () => (await ns.ask("GET", "limits")).json.storeActivations === false, WITHIN);
        const idOf = async (params: object, query: string): Promise<string> =>
          (await ns.invoke("kept", params, query)).json.activationId as string;
        const silent = [
          await idOf({}, "blocking=true"),
          await idOf({ fail: true }, "blocking=true"),
          await idOf({}, "blocking=false"),
          await idOf({ ms: 1_500 }, "blocking=true&timeout=100"),
        ];
        await ns.action("chain", "", { exec: { kind: "sequence", components: ["/_/kept"] } });
        const chain = (await ns.invoke("chain", { ms: 2_000 }, "blocking=true")).json as {
          readonly activationId: string;
        };
        const [component] = (await ns.record(chain.activationId)).logs as string[];
        expect((await ns.record(component ?? "")).response.result).toEqual({ ok: true });
        // They ended before it, and nothing is in flight any more.
        for (const id of silent) expect((await ns.ask("GET", `activations/${id}`)).status).toBe(404);
        const listed = (await ns.ask("GET", "activations")).json as { readonly activationId: string }[];
        expect(listed.map(({ activationId }) => activationId).sort()).toEqual([chain.activationId, component].sort());
        await ns.limits("--reset", "store-activations");
        await eventually(async () => (await ns.ask("GET", "limits")).json.storeActivations === undefined, WITHIN);
        expect((await ns.record(await idOf({}, "blocking=true"))).response.success).toBe(true);
      });

      it("says how much is shown of a result that is too large, whoever waits for it", async () => {
        const ns = await aNamespace();
        await ns.action("large", "function main() { return { x: 'y'.repeat(1200000) } }");
        await ns.limits("--truncation-size", "20");
        await eventually(async () => (await ns.ask("GET", "limits")).json.truncationSize === "20 B", WITHIN);
        const text =
          /^The action produced a response that exceeded the allowed length: 1200008 > 1048576 bytes\. The truncated response was: \{"x":"y{14}$/;
        const waited = await ns.invoke("large", {}, "blocking=true");
        expect([waited.status, waited.json.response.result.error]).toEqual([502, expect.stringMatching(text)]);
        const { activationId } = (await ns.invoke("large", {}, "blocking=false")).json as { activationId: string };
        expect((await ns.record(activationId)).response.result.error).toMatch(text);
      });

      it("has no more sandboxes of an action than it may", async () => {
        const ns = await aNamespace();
        await ns.action(
          "few",
          `const id = Math.random(); function main(p) {
          return new Promise((done) => setTimeout(() => done({ id }), p.ms || 0));
        }`,
          { limits: { concurrency: 1 } },
        );
        await ns.limits("--instances", "1");
        await eventually(async () => (await ns.ask("GET", "limits")).json.maxActionInstances === 1, WITHIN);
        const answers = await Promise.all(Array.from({ length: 5 }, () => ns.invoke("few", { ms: 200 })));
        expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
        expect(new Set(answers.map(({ json }) => json.id as number)).size).toBe(1);
        await ns.limits("--instances", "3");
        await eventually(async () => {
          const more = await Promise.all(Array.from({ length: 8 }, () => ns.invoke("few", { ms: 500 })));
          const sandboxes = new Set(more.map(({ json }) => json.id as number)).size;
          expect(sandboxes).toBeGreaterThan(1);
          expect(sandboxes).toBeLessThanOrEqual(3);
        }, WITHIN);
      });

      it("has no more sandboxes of an action than that itself allows", async () => {
        const ns = await aNamespace();
        const exec = {
          kind: "nodejs:default",
          code: `const id = Math.random(); function main(p) {
            return new Promise((done) => setTimeout(() => done({ id }), p.ms || 0));
          }`,
        };
        const put = (limits: object): Promise<Asked> => ns.ask("PUT", "actions/one?overwrite=true", { exec, limits });
        const made = await put({ instances: 1 });
        expect(made.json.limits).toEqual({ timeout: 60_000, memory: 256, logs: 10, concurrency: 1, instances: 1 });
        const answers = await Promise.all(Array.from({ length: 4 }, () => ns.invoke("one", { ms: 200 })));
        expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
        expect(new Set(answers.map(({ json }) => json.id as number)).size).toBe(1);
        for (const [instances, text] of [
          [101, "Max action instance concurrency must not exceed your namespace concurrency of 100."],
          [-1, "Action container concurrency must be greater than or equal to 0."],
          [1.5, "instance concurrency limit must be whole number"],
        ] as const) {
          const refused = await put({ instances });
          expect([refused.status, refused.json.error]).toEqual([400, expect.stringContaining(text)]);
        }
        expect((await put({ instances: 0 })).json.limits).not.toHaveProperty("instances");
      });

      it("lets old actions be read and deleted, and ends their activations with the limit's text (#119)", async () => {
        const ns = await aNamespace();
        await ns.action("old", ECHO, { limits: { memory: 256 } });
        await ns.limits("--memory", "128:128");
        const text = "memory size 256 MB exceeds allowed threshold of 128 MB";
        const blocking = await eventually(async () => {
          const answer = await ns.invoke("old", {}, "blocking=true");
          return answer.status === 502 && answer;
        }, WITHIN);
        expect(blocking.json.response).toMatchObject({
          success: false,
          status: "application error",
          result: { error: text },
        });
        const record = await ns.record(blocking.json.activationId as string);
        expect(record.response).toMatchObject({ status: "application error", result: { error: text } });
        const accepted = await ns.invoke("old", {}, "blocking=false");
        expect(accepted.status).toBe(202);
        const later = await ns.record(accepted.json.activationId as string);
        expect(later.response).toMatchObject({ status: "application error", result: { error: text } });
        expect((await ns.ask("GET", "actions/old")).status).toBe(200);
        expect((await ns.ask("DELETE", "actions/old")).status).toBe(200);
      });

      it("allows kinds: others are 403 when they are made, changed, invoked and run by a rule", async () => {
        const ns = await aNamespace();
        await ns.action("node");
        expect((await ns.ask("PUT", "triggers/t", {})).status).toBe(200);
        expect((await ns.ask("PUT", "rules/r", { trigger: "/_/t", action: "/_/node" })).status).toBe(200);
        await ns.limits("--kinds", "python:3.11");
        await eventually(async () => (await ns.invoke("node")).status === 403, WITHIN);
        const exec = { kind: "nodejs:default", code: ECHO };
        for (const answer of [
          await ns.invoke("node", {}, "blocking=false"),
          await ns.ask("PUT", "actions/new", { exec }),
          await ns.ask("PUT", "actions/node?overwrite=true", { exec }),
        ]) {
          expect([answer.status, answer.json]).toEqual([403, ERROR_OF(/kind "nodejs:\d+" are not allowed here/)]);
        }
        const fired = await ns.ask("POST", "triggers/t", {});
        const { logs } = await ns.record(fired.json.activationId as string);
        expect(JSON.parse((logs as string[])[0] ?? "")).toMatchObject({ success: false, statusCode: 1 });
        expect((await ns.ask("GET", "actions/node")).status).toBe(200);
        await ns.limits("--kinds", "all");
        await eventually(async () => (await ns.invoke("node")).status === 200, WITHIN);
      });

      it("is refused with the field and the bounds, and nothing of it is set", async () => {
        const ns = await aNamespace();
        const refused = await open.fabric.weft("namespace", "limits", ns.name, "--concurrent", "3", "--memory", "1:2");
        expect([refused.code, refused.stderr]).toEqual([expect.any(Number), expect.stringContaining("between 32 and")]);
        expect(refused.code).not.toBe(0);
        expect((await ns.ask("GET", "limits")).json.concurrentInvocations).toBe(100);
      });
    });
  });
}
