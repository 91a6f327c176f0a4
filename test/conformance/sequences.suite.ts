/* eslint-disable @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-assignment, @typescript-eslint/no-unsafe-return -- bodies of answers are what is being looked at: a wrong member fails the test */

// Sequences and compositions as clients of OpenWhisk depend on them. They need a whole fabric: what is looked at is what
// ran. Numbers such as "#67" are lines of the list of behaviours that OpenWhisk's own tests assert.

import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OpenFabric } from "../e2e/fabrics.js";
import { eventually } from "../harness/eventually.js";
import type { Fabric } from "../harness/fabric.js";

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- bodies are what is being looked at
type Json = any;

interface Answer {
  readonly status: number;
  readonly json: Json;
  readonly text: string;
}

const RECORD_WITHIN = { withinMs: 20_000, everyMs: 50 };

export const INC = "function main(p) { return { n: (p.n || 0) + 1 } }";
export const SLEEP =
  "function main(p) { return new Promise((done) => setTimeout(() => done({ n: (p.n || 0) + 1 }), 400)) }";

/** One namespace of a fabric over REST. */
export class RestNamespace {
  constructor(
    private readonly url: string,
    private readonly auth: string,
    readonly name: string,
  ) {}

  ask(method: string, path: string, body?: unknown): Promise<Answer> {
    const { hostname, port } = new URL(this.url);
    const sent = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      authorization: `Basic ${Buffer.from(this.auth).toString("base64")}`,
      ...(sent === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(sent) }),
    };
    return new Promise((resolve, reject) => {
      const full = `/api/v1/namespaces/${path}`;
      const asked = request({ hostname, port, path: full, method, headers, agent: false }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.once("error", reject);
        response.once("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          resolve({
            status: response.statusCode ?? 0,
            text,
            json: text === "" ? undefined : JSON.parse(text),
          });
        });
      });
      asked.once("error", reject);
      asked.end(sent);
    });
  }

  get(path: string): Promise<Answer> {
    return this.ask("GET", `_/${path}`);
  }

  put(path: string, body: unknown, overwrite = false): Promise<Answer> {
    return this.ask("PUT", `_/${path}${overwrite ? "?overwrite=true" : ""}`, body);
  }

  async action(name: string, code: string, more: object = {}): Promise<string> {
    const answer = await this.put(`actions/${name}`, { exec: { kind: "nodejs:default", code }, ...more });
    expect(answer.status, answer.text).toBe(200);
    return name;
  }

  async sequence(name: string, components: readonly string[], more: object = {}): Promise<string> {
    const answer = await this.put(`actions/${name}`, sequenceOf(components, more));
    expect(answer.status, answer.text).toBe(200);
    return name;
  }

  invoke(name: string, params: object = {}, query = "blocking=true"): Promise<Answer> {
    return this.ask("POST", `_/actions/${name}?${query}`, params);
  }

  /** The record, once it is there. */
  record(id: string, withinMs = RECORD_WITHIN.withinMs): Promise<Json> {
    return eventually(
      async () => {
        const answer = await this.get(`activations/${id}`);
        expect(answer.status, answer.text).toBe(200);
        return answer.json;
      },
      { ...RECORD_WITHIN, withinMs },
    );
  }
}

export const sequenceOf = (components: readonly string[], more: object = {}): object => ({
  exec: { kind: "sequence", components },
  ...more,
});

export function annotationsOf(record: Json): Record<string, Json> {
  return Object.fromEntries((record.annotations as Json[]).map(({ key, value }) => [key, value]));
}

export async function otherNamespace(fabric: Fabric, name: string): Promise<RestNamespace> {
  const auth = (await fabric.ok("namespace", "create", name)).trim();
  return new RestNamespace(fabric.rest, auth, name);
}

export function sequencesSuite(name: string, open: () => Promise<OpenFabric>): void {
  describe(`sequences and compositions in ${name}`, () => {
    let opened: OpenFabric;
    let ns: RestNamespace;
    let count = 0;
    const fresh = (what: string): string => `${what}-${(count += 1)}`;
    const own = (action: string): string => `/_/${action}`;

    beforeAll(async () => {
      opened = await open();
      const { fabric } = opened;
      ns = new RestNamespace(fabric.rest, fabric.auth, "guest");
      await ns.action("inc", INC);
      await ns.action("fail", "function main(p) { return { error: { n: p.n }, left: 1 } }");
      await ns.action("echo", "function main(p) { return p }");
    });
    afterAll(async () => {
      await opened.close();
    });

    describe("definition", () => {
      it("resolves the names of components, and shows them as its parameters", async () => {
        const made = fresh("seq");
        const answer = await ns.put(
          `actions/${made}`,
          sequenceOf([own("inc"), "/guest/echo"], { parameters: [{ key: "k", value: 1 }] }),
        );
        expect(answer.status, answer.text).toBe(200);
        expect(answer.json.exec).toEqual({ kind: "sequence", components: ["/guest/inc", "/guest/echo"] });
        expect(answer.json.parameters).toEqual([{ key: "_actions", value: ["/guest/inc", "/guest/echo"] }]);
        expect(annotationsOf(answer.json)).toEqual({ exec: "sequence", "provide-api-key": false });
        const read = await ns.get(`actions/${made}`);
        expect(read.json).toEqual(answer.json);
        const listed = await ns.get("actions?limit=1");
        expect(listed.json[0]).toMatchObject({ name: made, exec: { binary: false } });
        expect(listed.json[0].parameters).toBeUndefined();
        const deleted = await ns.ask("DELETE", `_/actions/${made}`);
        expect([deleted.status, deleted.json]).toEqual([200, answer.json]);
      });

      it("refuses what is no list of components (#65)", async () => {
        for (const exec of [
          { kind: "sequence" },
          { kind: "sequence", components: "/_/inc" },
          { kind: "sequence", components: [] },
          { kind: "sequence", components: [7] },
          { kind: "sequence", components: ["inc"] },
          { kind: "sequence", components: [own("inc"), "/_/a/b/c"] },
        ]) {
          const answer = await ns.put(`actions/${fresh("bad")}`, { exec });
          expect(answer.status, JSON.stringify(exec)).toBe(400);
        }
      });

      it("refuses a component that is not there with 400, and one of somebody else with 403 (#65)", async () => {
        const other = await otherNamespace(opened.fabric, fresh("stranger"));
        await other.action("private", INC);
        await other.put("packages/closed", {});
        await other.action("closed/a", INC);
        const answer = await ns.put(`actions/${fresh("seq")}`, sequenceOf([own("nowhere")]));
        expect([answer.status, answer.json.error]).toEqual([
          400,
          expect.stringContaining("Sequence component does not exist") as string,
        ]);
        for (const component of ["private", "closed/a", "closed/nowhere", "nowhere"]) {
          const refused = await ns.put(`actions/${fresh("seq")}`, sequenceOf([`/${other.name}/${component}`]));
          expect(refused.status, component).toBe(403);
        }
      });

      it("refuses a sequence that leads back to itself, and leaves what is stored (#65, #66)", async () => {
        const [inner, outer] = [fresh("inner"), fresh("outer")];
        const direct = await ns.put(`actions/${inner}`, sequenceOf([own("inc"), own(inner)]));
        expect([direct.status, direct.json.error]).toEqual([
          400,
          expect.stringContaining("Sequence may not refer to itself") as string,
        ]);
        await ns.sequence(inner, [own("inc")]);
        await ns.sequence(outer, [own(inner)]);
        const before = (await ns.get(`actions/${inner}`)).json;
        const nested = await ns.put(`actions/${inner}`, sequenceOf([own("inc"), own(outer)]), true);
        expect(nested.status, nested.text).toBe(400);
        expect((await ns.get(`actions/${inner}`)).json).toEqual(before);
      });

      it("refuses more than fifty actions, those of nested sequences counted (#64, #66)", async () => {
        const [half, whole] = [fresh("half"), fresh("whole")];
        await ns.sequence(half, Array<string>(25).fill(own("inc")));
        await ns.sequence(whole, [own(half), own(half)]);
        for (const components of [Array<string>(51).fill(own("inc")), [own(half), own(half), own("inc")]]) {
          const answer = await ns.put(`actions/${whole}`, sequenceOf(components), true);
          expect([answer.status, answer.json.error]).toEqual([
            400,
            expect.stringContaining("Too many actions in the sequence.") as string,
          ]);
        }
        expect((await ns.get(`actions/${whole}`)).json).toMatchObject({ version: "0.0.1" });
      });

      it("keeps its annotations when some are to be deleted, and becomes code without its parameters", async () => {
        const made = fresh("seq");
        await ns.sequence(made, [own("inc")], { annotations: [{ key: "a", value: 1 }] });
        const changed = await ns.put(
          `actions/${made}`,
          { delAnnotations: ["a"], annotations: [{ key: "b", value: 2 }], parameters: [{ key: "k", value: 1 }] },
          true,
        );
        expect(annotationsOf(changed.json)).toMatchObject({ a: 1, b: 2 });
        expect(changed.json.parameters).toEqual([{ key: "_actions", value: ["/guest/inc"] }]);
        const code = await ns.put(`actions/${made}`, { exec: { kind: "nodejs:default", code: INC } }, true);
        expect([code.status, code.json.parameters]).toEqual([200, []]);
        expect(annotationsOf(code.json)).toMatchObject({ exec: code.json.exec.kind as string });
        expect((await ns.invoke(made, { n: 1 }, "blocking=true&result=true")).json).toEqual({ n: 2 });
      });
    });

    describe("running", () => {
      it("hands results on, and has a record of the whole and of each component (#67)", async () => {
        const [inner, outer] = [fresh("inner"), fresh("outer")];
        await ns.sequence(inner, [own("inc"), own("inc")]);
        await ns.sequence(outer, [own("inc"), own(inner)]);
        const { status, json } = await ns.invoke(outer, { n: 5 });
        expect(status).toBe(200);
        expect(json.response).toEqual({ status: "success", success: true, result: { n: 8 }, size: 7 });
        expect(json.logs).toHaveLength(2);
        expect(json.cause).toBeUndefined();
        expect(annotationsOf(json)).toEqual({
          topmost: true,
          path: `guest/${outer}`,
          kind: "sequence",
          waitTime: expect.any(Number) as number,
          limits: { timeout: 60_000, memory: 256, logs: 10, concurrency: 1 },
        });
        const stored = await ns.record(json.activationId as string);
        expect(stored).toEqual(json);
        const [first, nested] = await Promise.all((json.logs as string[]).map((id) => ns.record(id)));
        expect(first).toMatchObject({ name: "inc", cause: json.activationId, response: { result: { n: 6 } } });
        expect(annotationsOf(first)).toMatchObject({ causedBy: "sequence", path: "guest/inc" });
        expect(annotationsOf(first)["topmost"]).toBeUndefined();
        expect(nested).toMatchObject({ name: inner, cause: json.activationId, response: { result: { n: 8 } } });
        expect(annotationsOf(nested)).toMatchObject({ topmost: false, causedBy: "sequence", kind: "sequence" });
        const innermost = await Promise.all((nested.logs as string[]).map((id) => ns.record(id)));
        for (const one of innermost) expect(one.cause).toBe(nested.activationId);
        const sum = (list: Json[]): number => list.reduce<number>((all, one) => all + (one.duration as number), 0);
        expect(nested.duration).toBe(sum(innermost));
        expect(json.duration).toBe(sum([first, nested]));
        expect(json.end - json.start).toBeGreaterThanOrEqual(json.duration as number);
        const summary = (await ns.get(`activations?name=${outer}`)).json[0];
        expect(summary).toMatchObject({ duration: json.end - json.start, statusCode: 0 });
        expect((await ns.get(`activations/${json.activationId as string}/logs`)).json).toEqual({ logs: json.logs });
      });

      it("answers the bare result, a caller who does not wait, and a firing alike", async () => {
        const made = await ns.sequence(fresh("seq"), [own("inc"), own("inc")]);
        expect(await ns.invoke(made, { n: 1 }, "blocking=true&result=true")).toMatchObject({
          status: 200,
          json: { n: 3 },
        });
        const accepted = await ns.invoke(made, { n: 2 }, "blocking=false");
        expect(accepted.status).toBe(202);
        expect((await ns.record(accepted.json.activationId as string)).response.result).toEqual({ n: 4 });
        const [trigger, rule] = [fresh("trigger"), fresh("rule")];
        await ns.put(`triggers/${trigger}`, {});
        await ns.put(`rules/${rule}`, { trigger: `/_/${trigger}`, action: own(made) });
        const fired = await ns.ask("POST", `_/triggers/${trigger}`, { n: 7 });
        const firing = await ns.record(fired.json.activationId as string);
        const { activationId } = JSON.parse(firing.logs[0] as string) as { activationId: string };
        const record = await ns.record(activationId);
        expect([record.response.result, record.cause]).toEqual([{ n: 9 }, undefined]);
        expect(annotationsOf(record)["topmost"]).toBe(true);
      });

      it("ends with the error of a component, and runs nothing after it (#68)", async () => {
        const made = await ns.sequence(fresh("seq"), [own("inc"), own("fail"), own("inc")]);
        const { status, json } = await ns.invoke(made, { n: 1 });
        expect(status).toBe(502);
        expect(json.code).toBeUndefined();
        expect(json.response).toMatchObject({ status: "application error", result: { error: { n: 2 } } });
        expect(json.logs).toHaveLength(2);
        const result = await ns.invoke(made, { n: 1 }, "blocking=true&result=true");
        expect([result.status, result.json]).toEqual([502, { error: { n: 2 } }]);
      });

      it("takes an error in what it is called with for an argument (#69)", async () => {
        const made = await ns.sequence(fresh("seq"), [own("inc")]);
        expect((await ns.invoke(made, { error: "x", n: 1 }, "blocking=true&result=true")).json).toEqual({ n: 2 });
      });

      it("ends when a component is gone, with a record of what ran (#70)", async () => {
        const gone = await ns.action(fresh("gone"), INC);
        const made = await ns.sequence(fresh("seq"), [own("inc"), own(gone)]);
        await ns.ask("DELETE", `_/actions/${gone}`);
        const { status, json } = await ns.invoke(made, { n: 1 });
        expect(status).toBe(502);
        expect(json.response).toMatchObject({
          status: "application error",
          result: { error: "Sequence component does not exist." },
        });
        expect(json.logs).toHaveLength(1);
        expect(await ns.record(json.activationId as string)).toEqual(json);
      });

      it("is forbidden when a component is not shared any more (#71)", async () => {
        const other = await otherNamespace(opened.fabric, fresh("sharer"));
        await other.put("packages/shared", { publish: true });
        await other.action("shared/inc", INC);
        const made = await ns.sequence(fresh("seq"), [`/${other.name}/shared/inc`]);
        expect((await ns.invoke(made, { n: 1 }, "blocking=true&result=true")).json).toEqual({ n: 2 });
        await other.put("packages/shared", { publish: false }, true);
        for (const query of ["blocking=true", "blocking=false"]) {
          expect((await ns.invoke(made, { n: 1 }, query)).status).toBe(403);
        }
      });

      it("gives each component its own package's parameters, and none of the sequence's (#72)", async () => {
        const pkg = fresh("pkg");
        await ns.put(`packages/${pkg}`, { parameters: [{ key: "fromPackage", value: 1 }] });
        await ns.action(`${pkg}/echo`, "function main(p) { return p }", { parameters: [{ key: "mine", value: 2 }] });
        const made = await ns.sequence(`${pkg}/seq`, [own("echo"), own(`${pkg}/echo`)]);
        const { json } = await ns.invoke(made, { a: 0 }, "blocking=true&result=true");
        expect(json).toEqual({ a: 0, fromPackage: 1, mine: 2 });
        expect((await ns.invoke(made, {}, "blocking=true")).json).toMatchObject({ namespace: "guest", name: "seq" });
      });

      it("counts once for the limit of its namespace (#73)", async () => {
        const other = await otherNamespace(opened.fabric, fresh("limited"));
        await opened.fabric.ok("namespace", "limits", other.name, "--invocations-per-minute", "3");
        await other.action("inc", INC);
        await other.sequence("seq", Array<string>(6).fill("/_/inc"));
        for (let i = 0; i < 3; i += 1) expect((await other.invoke("seq")).status).toBe(200);
      });

      it("hands arrays on, and answers with one", async () => {
        const list = await ns.action(fresh("list"), "function main(p) { return [p.n, 2, 3] }");
        const sum = await ns.action(fresh("sum"), "function main(p) { return { sum: p.reduce((a, b) => a + b, 0) } }");
        const back = await ns.action(fresh("back"), "function main(p) { return p.reverse() }");
        const summed = await ns.sequence(fresh("seq"), [own(list), own(back), own(sum)]);
        expect((await ns.invoke(summed, { n: 1 }, "blocking=true&result=true")).json).toEqual({ sum: 6 });
        const bare = await ns.sequence(fresh("seq"), [own(list), own(back)]);
        expect((await ns.invoke(bare, { n: 1 })).json).toEqual([3, 2, 1]);
      });

      it("is run by name with gRPC and its command line as well", async () => {
        const made = fresh("cli");
        await opened.fabric.ok("action", "create", made, "--sequence", "inc,inc");
        const out = await opened.fabric.ok("action", "invoke", made, "--param", "n", "3", "--result");
        expect(JSON.parse(out)).toEqual({ n: 5 });
      });
    });

    describe("a composition", () => {
      const conductor = (code: string, value: unknown = true): Promise<string> =>
        ns.action(fresh("conductor"), code, { annotations: [{ key: "conductor", value }] });

      it("runs what its conductor names, and has a record of every run (#77)", async () => {
        const made = await conductor(
          `function main(p) {
             const step = p.step || 0;
             return step < 2 ? { action: 'inc', params: { n: p.n }, state: { step: step + 1 } } : { params: { n: p.n } };
           }`,
          {},
        );
        const { status, json } = await ns.invoke(made, { n: 4 });
        expect(status).toBe(200);
        expect(json.response.result).toEqual({ n: 6 });
        expect(annotationsOf(json)).toEqual({
          topmost: true,
          path: `guest/${made}`,
          kind: "sequence",
          conductor: true,
          waitTime: expect.any(Number) as number,
          limits: { timeout: 60_000, memory: 256, logs: 10, concurrency: 1 },
        });
        const runs = await Promise.all((json.logs as string[]).map((id) => ns.record(id)));
        expect(runs.map((run) => run.name as string)).toEqual([made, "inc", made, "inc", made]);
        for (const run of runs) {
          expect(run.cause).toBe(json.activationId);
          expect(annotationsOf(run)).toMatchObject({ causedBy: "sequence" });
          expect(annotationsOf(run)["conductor"]).toBeUndefined();
        }
        expect(json.duration).toBe(runs.reduce<number>((all, run) => all + (run.duration as number), 0));
        expect(await ns.record(json.activationId as string)).toEqual(json);
      });

      it("ends with params if there are any, and boxes what is no object (#74)", async () => {
        const made = await conductor("function main(p) { return p.said }");
        const result = async (said: object): Promise<Json> =>
          (await ns.invoke(made, { said }, "blocking=true&result=true")).json;
        expect(await result({ params: { a: 1 }, state: { b: 2 } })).toEqual({ a: 1 });
        expect(await result({ params: 7 })).toEqual({ value: 7 });
        expect(await result({ a: 1 })).toEqual({ a: 1 });
        expect(await ns.invoke(made, { said: { error: "no" } })).toMatchObject({
          status: 502,
          json: { response: { status: "application error", result: { error: "no" } } },
        });
      });

      it("is told what is wrong with the action that it names, and of components that fail (#75)", async () => {
        const other = await otherNamespace(opened.fabric, fresh("hidden"));
        await other.action("secret", INC);
        const made = await conductor(
          "function main(p) { return p.error ? { params: { said: p.error } } : { action: p.action } }",
        );
        const said = async (action: unknown): Promise<Json> =>
          (await ns.invoke(made, { action }, "blocking=true&result=true")).json.said;
        expect(await said("a/b/c/d")).toBe('Failed to parse action name from json value "a/b/c/d" during composition.');
        expect(await said(7)).toBe("Failed to parse action name from json value 7 during composition.");
        expect(await said("nowhere")).toBe("Failed to resolve action with name 'guest/nowhere' during composition.");
        expect(await said(`/${other.name}/secret`)).toBe(
          `Failed entitlement check for action with name '${other.name}/secret' during composition.`,
        );
        expect(await said("fail")).toEqual({});
      });

      it("is told that it is too long, and ends when it does not listen (#76)", async () => {
        const endless = await conductor("function main(p) { return { action: 'inc', params: {} } }");
        const { status, json } = await ns.invoke(endless);
        expect(status, JSON.stringify(json)).toBe(502);
        expect(json.response.result).toEqual({ error: "Too many actions in the composition." });
        expect(json.logs).toHaveLength(50 + 101);
      });

      it("may be part of a sequence, and have sequences and compositions in it", async () => {
        const twice = await conductor(
          `function main(p) {
             return p.step ? { n: p.n } : { action: p.inner || 'inc', params: { n: p.n }, state: { step: 1 } };
           }`,
        );
        const both = await ns.sequence(fresh("seq"), [own("inc"), own(twice), own("inc")]);
        const { json } = await ns.invoke(both, { n: 1 });
        expect(json.response.result).toEqual({ n: 4 });
        const nested = await ns.record(json.logs[1] as string);
        expect(annotationsOf(nested)).toMatchObject({ topmost: false, conductor: true, causedBy: "sequence" });
        for (const inner of [both, twice]) {
          const result = await ns.invoke(twice, { n: 1, inner }, "blocking=true&result=true");
          expect(result.json, inner).toEqual({ n: inner === both ? 4 : 2 });
        }
      });
    });
  });
}
