// OpenWhisk's own client for JavaScript, as it is published, drives a whole Weft.

import openwhisk from "openwhisk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { eventually } from "../harness/eventually.js";
import { describeWith } from "../harness/services.js";
import { openFabric, UP_SERVICES, type OpenFabric } from "./fabrics.js";

const ECHO = "function main(params) { return params }";
const kv = (values: Readonly<Record<string, unknown>>): { key: string; value: unknown }[] =>
  Object.entries(values).map(([key, value]) => ({ key, value }));

function suite(mode: "dev" | "up"): void {
  describe(`the openwhisk package from npm, in ${mode}`, () => {
    let open: OpenFabric;
    let ow: openwhisk.Client;
    /** Another user's. */
    let theirs: openwhisk.Client;

    beforeAll(async () => {
      open = await openFabric({ mode, invokers: 1 });
      const { fabric } = open;
      ow = openwhisk({ apihost: fabric.rest, api_key: fabric.auth });
      const key = (await fabric.ok("namespace", "create", "theirs")).trim();
      theirs = openwhisk({ apihost: fabric.rest, api_key: key });
    });
    afterAll(async () => {
      await open.close();
    });

    const listOf = (lists: Promise<{ name?: string }[]>): Promise<(string | undefined)[]> =>
      lists.then((all) => all.map(({ name }) => name));

    /** What the client throws: the body and the status of the answer. */
    async function refused(call: Promise<unknown>, statusCode: number): Promise<void> {
      await expect(call).rejects.toMatchObject({
        name: "OpenWhiskError",
        statusCode,
        message: expect.stringMatching(`Returned HTTP ${statusCode} .* --> "[^"]+`) as string,
        error: { error: expect.any(String) as string, code: expect.stringMatching(/^\w+$/) as string },
      });
    }

    describe("actions", () => {
      it("are created, read, listed, updated and deleted", async () => {
        const made = await ow.actions.create({
          name: "crud",
          action: ECHO,
          params: { a: 1 },
          annotations: { note: "x" },
          limits: { timeout: 5_000, memory: 128, logs: 1 },
        });
        expect(made).toMatchObject({
          namespace: "guest",
          name: "crud",
          version: "0.0.1",
          publish: false,
          exec: { kind: "nodejs:20", code: ECHO, binary: false },
          parameters: kv({ a: 1 }),
          limits: { timeout: 5_000, memory: 128, logs: 1, concurrency: 1 },
        });
        expect(made.annotations).toEqual(expect.arrayContaining(kv({ note: "x", exec: "nodejs:20" })));
        await refused(ow.actions.create({ name: "crud", action: ECHO }), 409);
        expect(await ow.actions.update({ name: "crud", params: { b: 2 } })).toMatchObject({
          version: "0.0.2",
          parameters: kv({ b: 2 }),
          exec: { code: ECHO },
        });
        expect(await ow.actions.create({ name: "crud", action: ECHO, overwrite: true })).toMatchObject({
          version: "0.0.3",
        });
        expect(await ow.actions.get("crud")).toMatchObject({ name: "crud", version: "0.0.3" });
        const [listed] = await ow.actions.list({ limit: 1 });
        expect(listed).toMatchObject({
          name: "crud",
          annotations: expect.arrayContaining(kv({ exec: "nodejs:20" })) as unknown,
        });
        expect(await ow.actions.list({ count: true })).toEqual({ actions: 1 });
        expect(await ow.actions.delete("crud")).toMatchObject({ name: "crud", exec: { code: ECHO } });
        await refused(ow.actions.get("crud"), 404);
        await refused(ow.actions.invoke("crud"), 404);
        await refused(ow.actions.create({ name: "crud", action: ECHO, kind: "cobol:85" }), 400);
        await refused(ow.actions.create({ name: "crud", action: ECHO, limits: { memory: 1 } }), 400);
        await refused(ow.actions.create({ name: "no/such/name", action: ECHO }), 404);
      });

      it("take an archive", async () => {
        const zip = Buffer.from(EMPTY_MAIN_ZIP, "base64");
        expect(await ow.actions.create({ name: "zipped", action: zip, kind: "nodejs:20" })).toMatchObject({
          exec: { binary: true, code: EMPTY_MAIN_ZIP },
        });
        expect(await ow.actions.invoke({ name: "zipped", blocking: true, result: true })).toEqual({});
      });

      it("are invoked, waiting for the record, for the result, or not", async () => {
        await ow.actions.create({ name: "greet", action: ECHO, params: { name: "Ada" } });
        const call = { name: "greet", params: { x: [1, "é"] } };
        const record = await ow.actions.invoke({ ...call, blocking: true });
        expect(record).toMatchObject({
          name: "greet",
          namespace: "guest",
          subject: "guest",
          logs: [],
          response: { status: "success", success: true, result: { name: "Ada", x: [1, "é"] } },
        });
        expect(record.activationId).toMatch(/^[0-9a-f]{32}$/);
        expect(record.end - record.start).toBe(record.duration);
        expect(await ow.actions.invoke({ ...call, blocking: true, result: true })).toEqual({
          name: "Ada",
          x: [1, "é"],
        });
        expect(Object.keys(await ow.actions.invoke(call))).toEqual(["activationId"]);
        const many = await ow.actions.invoke([
          "greet",
          { name: "/_/greet" },
          { name: "/guest/greet", namespace: "guest" },
        ]);
        expect(new Set(many.map(({ activationId }) => activationId)).size).toBe(3);
      });

      it("that fail are rejected with what they answered, and the record beside it", async () => {
        const failing: readonly (readonly [string, string, string])[] = [
          ["function main() { return { error: 'boom' } }", "application error", "boom"],
          ["function main() { throw new Error('boom') }", "action developer error", "boom"],
          ["function main() { return { error: { statusCode: 418 } } }", "application error", "status code: 418"],
          ["function main() { process.exit(1) }", "action developer error", ""],
          ["this is no code", "action developer error", ""],
        ];
        for (const [code, status, text] of failing) {
          await ow.actions.update({ name: "fails", action: code });
          await expect(ow.actions.invoke({ name: "fails", blocking: true })).rejects.toMatchObject({
            statusCode: 502,
            message: expect.stringContaining(text) as string,
            error: { response: { status, success: false, result: { error: expect.anything() as unknown } } },
          });
        }
        await ow.actions.update({ name: "fails", action: failing[0]![0] });
        await expect(ow.actions.invoke({ name: "fails", blocking: true, result: true })).rejects.toMatchObject({
          statusCode: 502,
          // The client asks for the record and takes the result out of it itself.
          error: { response: { result: { error: "boom" } } },
        });
      });
    });

    describe("packages and bindings", () => {
      it("are created, bound, read, listed, updated and deleted", async () => {
        const made = await theirs.packages.create({
          name: "tools",
          package: { publish: true, parameters: kv({ a: 1, b: 1 }) },
        });
        expect(made).toMatchObject({ namespace: "theirs", name: "tools", publish: true, binding: {} });
        await theirs.actions.create({ name: "tools/echo", action: ECHO });
        const binding = { namespace: "theirs", name: "tools" };
        expect(
          await ow.packages.create({ name: "mine", package: { binding, parameters: kv({ b: 2 }) } }),
        ).toMatchObject({
          binding,
          annotations: kv({ binding }),
        });
        expect(await ow.packages.get("mine")).toMatchObject({
          binding,
          parameters: kv({ a: 1, b: 2 }),
          actions: [{ name: "echo" }],
          feeds: [],
        });
        expect(await ow.actions.invoke({ name: "mine/echo", blocking: true, result: true })).toEqual({ a: 1, b: 2 });
        expect(await ow.actions.get("mine/echo")).toMatchObject({ namespace: "theirs/tools", name: "echo" });
        expect(await ow.packages.list({ namespace: "theirs" })).toMatchObject([{ name: "tools", binding: false }]);
        expect(await ow.packages.list()).toMatchObject([{ name: "mine", binding }]);
        await refused(ow.actions.create({ name: "mine/new", action: ECHO }), 400);
        await refused(ow.packages.create({ name: "mine" }), 409);
        await refused(ow.packages.create({ name: "no", package: { binding: { namespace: "_", name: "mine" } } }), 400);
        await refused(
          ow.packages.create({ name: "no", package: { binding: { namespace: "theirs", name: "x" } } }),
          403,
        );
        await refused(theirs.packages.delete("tools"), 409);
        await theirs.packages.update({ name: "tools", package: { publish: false } });
        await eventually(() => refused(ow.actions.invoke({ name: "mine/echo", blocking: true }), 403));
        await refused(ow.packages.get("mine"), 403);
        await refused(ow.packages.get("/theirs/tools"), 403);
        expect(await ow.packages.delete("mine")).toMatchObject({ binding });
        await theirs.actions.delete("tools/echo");
        await theirs.packages.delete("tools");
        await refused(theirs.packages.get("tools"), 404);
      });

      it("that come with Weft are used by their own names and bound", async () => {
        expect(await listOf(ow.packages.list({ namespace: "whisk.system" }))).toEqual(
          expect.arrayContaining(["utils", "samples"]),
        );
        const call = { name: "/whisk.system/utils/sort", blocking: true, result: true, params: { lines: ["b", "a"] } };
        expect(await ow.actions.invoke(call)).toEqual({ lines: ["a", "b"], length: 2 });
        await ow.packages.create({
          name: "system",
          package: { binding: { namespace: "whisk.system", name: "samples" }, parameters: kv({ place: "here" }) },
        });
        expect(
          await ow.actions.invoke({ name: "system/greeting", blocking: true, result: true, params: { name: "Ada" } }),
        ).toEqual({ payload: "Hello, Ada from here!" });
      });
    });

    describe("triggers, rules and feeds", () => {
      it("fire actions while their rules are active", async () => {
        await ow.actions.create({ name: "fired", action: ECHO });
        expect(await ow.triggers.create({ name: "tick", trigger: { parameters: kv({ a: 1 }) } })).toMatchObject({
          name: "tick",
          parameters: kv({ a: 1 }),
        });
        await refused(ow.triggers.create({ name: "tick" }), 409);
        expect(await ow.rules.create({ name: "onTick", trigger: "tick", action: "fired" })).toMatchObject({
          status: "active",
          trigger: { path: "guest", name: "tick" },
          action: { path: "guest", name: "fired" },
        });
        const { activationId } = await ow.triggers.invoke({ name: "tick", params: { b: 2 } });
        const record = await eventually(() => ow.activations.get({ name: activationId }));
        expect(record).toMatchObject({ name: "tick", response: { result: { b: 2 } } });
        const [log = ""] = record.logs;
        const fired = JSON.parse(log) as { activationId: string; success: boolean };
        expect(fired.success).toBe(true);
        expect(await eventually(() => ow.activations.get({ name: fired.activationId }))).toMatchObject({
          name: "fired",
          response: { result: { a: 1, b: 2 } },
        });
        await ow.rules.disable({ name: "onTick" });
        expect(await ow.rules.get("onTick")).toMatchObject({ status: "inactive" });
        await ow.triggers.invoke("tick");
        await ow.rules.enable({ name: "onTick" });
        expect((await ow.triggers.get("tick")).rules).toMatchObject({ "guest/onTick": { status: "active" } });
        expect(
          await ow.rules.update({ name: "onTick", trigger: "tick", action: "/whisk.system/utils/echo" }),
        ).toMatchObject({
          version: "0.0.2",
          action: { path: "whisk.system/utils", name: "echo" },
        });
        expect(await listOf(ow.rules.list())).toContain("onTick");
        expect(await listOf(ow.triggers.list())).toContain("tick");
        await refused(ow.rules.create({ name: "no", trigger: "none", action: "fired" }), 400);
        await ow.rules.delete("onTick");
        await ow.triggers.delete("tick");
        await refused(ow.triggers.invoke("tick"), 404);
        await refused(ow.rules.get("onTick"), 404);
      });

      it("hand a feed its trigger", async () => {
        await ow.packages.create({ name: "feeds" });
        await ow.actions.create({ name: "feeds/changes", action: ECHO, annotations: { feed: true } });
        expect(await ow.packages.get("feeds")).toMatchObject({ actions: [], feeds: [{ name: "changes" }] });
        const feed = { name: "feeds/changes", trigger: "changed" };
        const created = await ow.feeds.create({ ...feed, params: { every: 5 } });
        expect(created.response?.result).toEqual({
          lifecycleEvent: "CREATE",
          authKey: open.fabric.auth,
          triggerName: "/_/changed",
          every: 5,
        });
        expect((await ow.feeds.delete(feed)).response?.result).toMatchObject({ lifecycleEvent: "DELETE" });
      });
    });

    describe("activations and namespaces", () => {
      it("are listed and read, with their logs and results", async () => {
        const code = "function main() { console.log('out'); console.error('err'); return { done: true } }";
        await ow.actions.create({ name: "logs", action: code });
        const since = Date.now() - 60_000;
        const { activationId } = await ow.actions.invoke({ name: "logs", blocking: true });
        const record = await eventually(() => ow.activations.get(activationId));
        expect(record.logs).toHaveLength(2);
        const { logs } = await ow.activations.logs({ name: activationId });
        expect(logs.map((line) => line.replace(/^\S+ /, "")).sort()).toEqual(["stderr: err", "stdout: out"]);
        expect(await ow.activations.result({ name: activationId })).toEqual({
          status: "success",
          success: true,
          result: { done: true },
          size: 13,
        });
        expect(await ow.activations.list({ name: "logs", since, docs: true })).toMatchObject([
          { activationId, response: { result: { done: true } }, logs: record.logs },
        ]);
        expect(await ow.activations.list({ limit: 1 })).toHaveLength(1);
        expect(await ow.activations.list({ name: "logs", upto: since })).toEqual([]);
        expect(await ow.activations.list({ name: "logs", count: true })).toEqual({ activations: 1 });
        await refused(ow.activations.get("0".repeat(32)), 404);
        await refused(ow.activations.get("short"), 400);
        await refused(theirs.activations.get(activationId), 404);
      });

      it("are the key's", async () => {
        expect(await ow.namespaces.list()).toEqual(["guest"]);
        expect(await theirs.namespaces.list()).toEqual(["theirs"]);
        const content = await ow.namespaces.get("guest");
        expect(content.actions?.map(({ name }) => name)).toContain("logs");
        await refused(ow.actions.list({ namespace: "theirs" }), 403);
        const stranger = openwhisk({ apihost: open.fabric.rest, api_key: `nobody:${"k".repeat(64)}` });
        await refused(stranger.actions.list(), 401);
        await refused(ow.actions.list({ limit: 201 }), 400);
      });
    });
  });
}

suite("dev");
describeWith(UP_SERVICES, "up", () => {
  suite("up");
});

/** index.js: exports.main = () => ({}) */
const EMPTY_MAIN_ZIP =
  "UEsDBBQAAAAAAAAAIVxUS1TKGgAAABoAAAAIAAAAaW5kZXguanNleHBvcnRzLm1haW4gPSAoKSA9PiAoe30pClBLAQIUAxQAAAAAAAAAIVxUS1TKGgAAABoAAAAIAAAAAAAAAAAAAACAAQAAAABpbmRleC5qc1BLBQYAAAAAAQABADYAAABAAAAAAAA=";
