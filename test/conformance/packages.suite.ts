/* eslint-disable @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-assignment, @typescript-eslint/no-unsafe-return -- bodies of answers are what is being looked at: a wrong member fails the test */

// Packages, bindings and who may do what with them, as OpenWhisk's contract has it, over REST and natively. Numbers such
// as "#90" are lines of the list of behaviours that OpenWhisk's own tests assert.

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { PackageServiceService as Packages } from "../../internal/gen/weft/packages/v1/package.pb.js";
import { openFabric, type OpenFabric } from "../e2e/fabrics.js";
import { PublicClient, refusalOf, services } from "../harness/client.js";
import { eventually } from "../harness/eventually.js";
import type { FabricOptions } from "../harness/fabric.js";

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- bodies are what is being looked at
type Json = any;

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly json: Json;
}

/** A user of the REST API. */
class User {
  constructor(
    readonly namespace: string,
    readonly auth: string,
    private readonly rest: string,
  ) {}

  get authorization(): string {
    return `Basic ${Buffer.from(this.auth).toString("base64")}`;
  }

  /** @param path below /namespaces/ */
  async ask(method: string, path: string, body?: unknown): Promise<Answer> {
    const response = await fetch(`${this.rest}/api/v1/namespaces/${path}`, {
      method,
      headers: { authorization: this.authorization, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      text,
      get json(): Json {
        return JSON.parse(text);
      },
    };
  }

  get = (path: string): Promise<Answer> => this.ask("GET", path);
  put = (path: string, body: unknown): Promise<Answer> => this.ask("PUT", path, body);
  remove = (path: string): Promise<Answer> => this.ask("DELETE", path);

  /** @throws when it is refused */
  async made(path: string, body: unknown): Promise<Json> {
    const answer = await this.put(path, body);
    expect(answer.status, answer.text).toBe(200);
    return answer.json;
  }

  async result(path: string, args: unknown = {}): Promise<Json> {
    const answer = await this.ask("POST", `${path}?blocking=true&result=true`, args);
    expect(answer.status, answer.text).toBe(200);
    return answer.json;
  }
}

const kv = (values: Readonly<Record<string, unknown>>): unknown[] =>
  Object.entries(values).map(([key, value]) => ({ key, value }));
const exec = { kind: "nodejs:default", code: "function main(p) { return p }" };

export function packagesSuite(name: string, options: FabricOptions): void {
  describe(`${name} keeps OpenWhisk's contract of packages`, () => {
    let open: OpenFabric;
    let native: PublicClient;
    let me: User;
    let other: User;
    let count = 0;
    const fresh = (what: string): string => `${what}-${(count += 1)}`;

    beforeAll(async () => {
      open = await openFabric(options);
      const { fabric } = open;
      native = new PublicClient(fabric.grpc, fabric.authorization);
      me = new User("guest", fabric.auth, fabric.rest);
      const auth = (await fabric.ok("namespace", "create", "team")).trim();
      other = new User("team", auth, fabric.rest);
      for (const namespace of ["guest", "team"]) await native.raiseLimits(namespace);
    });
    afterAll(async () => {
      native.close();
      await open.close();
    });

    function expectError(answer: Answer, status: number, text?: string): void {
      expect(answer.status, answer.text).toBe(status);
      expect(Object.keys(answer.json as object).sort()).toEqual(["code", "error"]);
      if (text !== undefined) expect(answer.json.error).toContain(text);
    }

    /** A package of "team" with an action "echo", shared. */
    async function shared(parameters: Readonly<Record<string, unknown>> = {}, publish = true): Promise<string> {
      const made = fresh("shared");
      await other.made(`_/packages/${made}`, { publish, parameters: kv(parameters) });
      await other.made(`_/actions/${made}/echo`, { exec });
      return made;
    }

    /** A binding of "guest". */
    async function bound(provider: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<string> {
      const made = fresh("bound");
      const [namespace, of] = provider.split("/");
      await me.made(`_/packages/${made}`, { binding: { namespace, name: of }, parameters: kv(parameters) });
      return made;
    }

    describe("a binding", () => {
      it("is shown with what it is bound to, and reads as that with the parameters merged (#89)", async () => {
        const provider = await shared({ a: 1, b: 1 });
        await other.made(`_/actions/${provider}/changes`, { exec, annotations: kv({ feed: true }) });
        const binding = { namespace: "team", name: provider };
        const made = fresh("bound");
        const { updated, ...rest } = await me.made(`_/packages/${made}`, {
          binding,
          parameters: kv({ b: 2, c: 2 }),
          annotations: kv({ binding: "mine", note: 1 }), // #92
        });
        expect(rest).toEqual({
          namespace: "guest",
          name: made,
          version: "0.0.1",
          publish: false,
          binding,
          parameters: kv({ b: 2, c: 2 }),
          annotations: kv({ note: 1, binding }),
        });
        const read = (await me.get(`_/packages/${made}`)).json;
        expect(read).toMatchObject({ ...rest, updated, parameters: kv({ a: 1, b: 2, c: 2 }) });
        expect(read.actions).toMatchObject([{ name: "echo", version: "0.0.1" }]);
        expect(read.feeds).toMatchObject([{ name: "changes", version: "0.0.1" }]);
        const listed = (await me.get("_/packages?limit=200")).json as Json[];
        expect(listed.find((one) => one.name === made)).toEqual({
          namespace: "guest",
          name: made,
          version: "0.0.1",
          publish: false,
          annotations: kv({ note: 1, binding }),
          updated,
          binding,
        });
        expect((await me.get(`_/actions/${made}/`)).json).toMatchObject([
          { namespace: `team/${provider}`, name: "changes" },
          { namespace: `team/${provider}`, name: "echo" },
        ]);
        const deleted = await me.remove(`_/packages/${made}`);
        expect([deleted.status, deleted.json.binding]).toEqual([200, binding]);
        expect((await other.get(`_/packages/${provider}`)).status).toBe(200);
      });

      it("names actions: read with every parameter that applies, by their own names (1.9.2)", async () => {
        const provider = await shared({ a: 1, b: 1, c: 1 });
        await other.made(`_/actions/${provider}/echo?overwrite=true`, { parameters: kv({ c: 3 }) });
        const made = await bound(`team/${provider}`, { b: 2, c: 2 });
        const read = (await me.get(`_/actions/${made}/echo`)).json;
        expect(read).toMatchObject({
          namespace: `team/${provider}`,
          name: "echo",
          parameters: kv({ a: 1, b: 2, c: 3 }),
        });
        expect(read.exec.code).toBe(exec.code);
        expect(read.binding).toBeUndefined();
        const metadata = (await me.get(`_/actions/${made}/echo?code=false`)).json;
        expect(metadata.binding).toBe(`guest/${made}`);
        expect(metadata.exec.code).toBeUndefined();
        expect((await other.get(`_/actions/${provider}/echo?code=false`)).json.binding).toBeUndefined();
      });

      it("hands over parameters: the package's, then its own, then the action's, then the call's (#45)", async () => {
        const provider = await shared({ a: "package", b: "package", c: "package", d: "package" });
        const action = { exec, parameters: kv({ c: "action", d: "action" }) };
        await other.made(`_/actions/${provider}/echo?overwrite=true`, action);
        const made = await bound(`team/${provider}`, { b: "binding", c: "binding", d: "binding" });
        const expected = { a: "package", b: "binding", c: "action", d: "call" };
        expect(await me.result(`_/actions/${made}/echo`, { d: "call" })).toEqual(expected);
        expect(await me.result(`team/actions/${provider}/echo`, { d: "call" })).toEqual({ ...expected, b: "package" });
        // Also those that are handed over when the code is loaded, one sandbox for each.
        const code = "function main() { return { secret: process.env.SECRET } }";
        await other.made(`_/actions/${provider}/secret`, { exec: { ...exec, code } });
        await other.made(`_/packages/${provider}?overwrite=true`, {
          parameters: [{ key: "SECRET", value: "package", init: true }],
        });
        const secret = (of: string): Promise<Json> =>
          me.result(of === made ? `_/actions/${of}/secret` : `${of}/secret`);
        await me.made(`_/packages/${made}?overwrite=true`, {
          parameters: [{ key: "SECRET", value: "binding", init: true }],
        });
        expect(await secret(made)).toEqual({ secret: "binding" });
        expect(await secret(`team/actions/${provider}`)).toEqual({ secret: "package" });
        expect(await secret(made)).toEqual({ secret: "binding" });
        await me.made(`_/packages/${made}?overwrite=true`, {
          parameters: [{ key: "SECRET", value: "another", init: true }],
        });
        expect(await secret(made)).toEqual({ secret: "another" });
      });

      it("counts as a default for what is final (2.1)", async () => {
        const provider = await shared();
        await other.made(`_/actions/${provider}/echo?overwrite=true`, { annotations: kv({ final: true }) });
        const made = await bound(`team/${provider}`, { kept: 1 });
        const path = `_/actions/${made}/echo`;
        expectError(await me.ask("POST", `${path}?blocking=true`, { kept: 2 }), 400);
        expectError(await me.ask("POST", path, { kept: 2 }), 400);
        expect(await me.result(path, { own: 2 })).toEqual({ kept: 1, own: 2 });
      });

      it("is told by records, and is what they are listed by (#53, #63)", async () => {
        const provider = await shared();
        const made = await bound(`team/${provider}`);
        const blocking = await me.ask("POST", `_/actions/${made}/echo?blocking=true`, {});
        const { activationId } = (await me.ask("POST", `_/actions/${made}/echo`, {})).json;
        const expected = {
          namespace: "guest",
          name: "echo",
          annotations: expect.arrayContaining([
            { key: "path", value: `team/${provider}/echo` },
            { key: "binding", value: `guest/${made}` },
          ]) as unknown,
        };
        expect(blocking.json).toMatchObject(expected);
        for (const id of [blocking.json.activationId, activationId] as string[]) {
          await eventually(async () => {
            const read = await me.get(`_/activations/${id}`);
            expect(read.status).toBe(200);
            expect(read.json).toMatchObject(expected);
          });
        }
        const named = async (of: string): Promise<Json> =>
          ((await me.get(`_/activations?name=${of}/echo`)).json as Json[]).map((one) => one.activationId as unknown);
        expect(await named(made)).toEqual([activationId, blocking.json.activationId]);
        expect(await named(provider)).toEqual([]);
        expect((await other.get(`_/activations?name=${provider}/echo`)).json).toEqual([]);
      });

      it("names actions for rules", async () => {
        const made = await bound(`team/${await shared()}`, { from: "binding" });
        const [trigger, rule] = [fresh("trigger"), fresh("rule")];
        await me.made(`_/triggers/${trigger}`, {});
        const stored = await me.made(`_/rules/${rule}`, { trigger: `/_/${trigger}`, action: `/_/${made}/echo` });
        expect(stored.action).toEqual({ path: `guest/${made}`, name: "echo" });
        expect((await me.ask("POST", `_/triggers/${trigger}`, { x: 1 })).status).toBe(202);
        await eventually(async () => {
          const [ran] = (await me.get(`_/activations?name=${made}/echo&docs=true`)).json as Json[];
          expect(ran.response.result).toMatchObject({ from: "binding", x: 1 });
        });
        expectError(
          await me.put(`_/rules/${fresh("rule")}`, { trigger: `/_/${trigger}`, action: `/_/${made}/no` }),
          400,
        );
      });

      it("is not for writing actions", async () => {
        const provider = await shared();
        const made = await bound(`team/${provider}`);
        for (const path of [
          `_/actions/${made}/new`,
          `_/actions/${made}/echo`,
          `_/actions/${made}/echo?overwrite=true`,
        ]) {
          expectError(await me.put(path, { exec }), 400, "binding");
        }
        expectError(await me.remove(`_/actions/${made}/echo`), 400, "binding");
        expect((await other.get(`_/actions/${provider}/echo`)).status).toBe(200);
      });

      it("is bound to a package and nothing else (#90)", async () => {
        const provider = await shared();
        const hidden = await shared({}, false);
        const made = await bound(`team/${provider}`);
        const [trigger, plain] = [fresh("trigger"), fresh("plain")];
        await me.made(`_/triggers/${trigger}`, {});
        await me.made(`_/packages/${plain}`, { binding: {} });
        const bind = (binding: unknown): Promise<Answer> => me.put(`_/packages/${fresh("no")}`, { binding });
        expectError(await bind({ namespace: "_", name: fresh("none") }), 400);
        expectError(await bind({ namespace: "_", name: made }), 400);
        expectError(await bind({ namespace: "_", name: trigger }), 409);
        expectError(await bind({ namespace: "team", name: hidden }), 403);
        expectError(await bind({ namespace: "team", name: fresh("none") }), 403);
        expectError(await bind({ namespace: "nobody", name: "none" }), 403);
        for (const wrong of [null, "team/x", { name: "x" }, { namespace: "team" }, { namespace: 1, name: "x" }]) {
          expectError(await bind(wrong), 400);
        }
        expectError(await bind({ namespace: "te/am", name: "x" }), 400);
        const binding = { namespace: "team", name: provider };
        expectError(await me.put(`_/packages/${plain}?overwrite=true`, { binding }), 409);
        expectError(
          await me.put(`_/packages/${made}?overwrite=true`, { binding: { namespace: "_", name: made } }),
          400,
        );
        expectError(await me.put(`_/packages/${made}`, { binding }), 409);
        const another = await shared({ from: "another" });
        const moved = await me.made(`_/packages/${made}?overwrite=true`, {
          binding: { namespace: "team", name: another },
        });
        expect(moved).toMatchObject({
          version: "0.0.2",
          annotations: kv({ binding: { namespace: "team", name: another } }),
        });
        expect(await me.result(`_/actions/${made}/echo`)).toEqual({ from: "another" });
      });

      it("stays when its package goes: listed and deleted, but neither read nor used", async () => {
        for (const [user, namespace, status] of [
          [other, "team", 403],
          [me, "guest", 404],
        ] as const) {
          const provider = fresh("leaving");
          await user.made(`_/packages/${provider}`, { publish: true });
          await user.made(`_/actions/${provider}/echo`, { exec });
          const made = await bound(`${namespace}/${provider}`);
          expect(await me.result(`_/actions/${made}/echo`)).toEqual({});
          expect((await user.remove(`_/packages/${provider}?force=true`)).status).toBe(200);
          await eventually(async () => expectError(await me.ask("POST", `_/actions/${made}/echo`, {}), status));
          expectError(await me.get(`_/packages/${made}`), status);
          expectError(await me.get(`_/actions/${made}/`), status);
          expectError(await me.get(`_/actions/${made}/echo`), status);
          const listed = (await me.get("_/packages?limit=200")).json as Json[];
          expect(listed.map((one) => one.name as unknown)).toContain(made);
          expect((await me.remove(`_/packages/${made}`)).status).toBe(200);
        }
      });

      it("leads nowhere when its package becomes a binding", async () => {
        const [provider, made] = [fresh("turning"), fresh("bound")];
        await me.made(`_/packages/${provider}`, {});
        await me.made(`_/packages/${made}`, { binding: { namespace: "_", name: provider } });
        await me.remove(`_/packages/${provider}`);
        await me.made(`_/packages/${provider}`, { binding: { namespace: "team", name: await shared() } });
        expectError(await me.get(`_/packages/${made}`), 422);
        expectError(await me.get(`_/actions/${made}/echo`), 422);
        expectError(await me.ask("POST", `_/actions/${made}/echo`, {}), 422);
        expect((await me.remove(`_/packages/${made}`)).status).toBe(200);
      });

      it("follows what becomes of its package at once, for calls as for reading", async () => {
        const provider = await shared({ v: 1 });
        const made = await bound(`team/${provider}`);
        const path = `_/actions/${made}/echo`;
        expect(await me.result(path)).toEqual({ v: 1 });
        await other.made(`_/packages/${provider}?overwrite=true`, { parameters: kv({ v: 2 }) });
        await eventually(async () => expect(await me.result(path)).toEqual({ v: 2 }));
        const code = "function main() { return { new: true } }";
        await other.made(`_/actions/${provider}/echo?overwrite=true`, { exec: { ...exec, code } });
        await eventually(async () => expect(await me.result(path)).toEqual({ new: true }));
        await other.made(`_/packages/${provider}?overwrite=true`, { publish: false });
        await eventually(async () => expectError(await me.ask("POST", `${path}?blocking=true`, {}), 403));
        expectError(await me.get(`_/packages/${made}`), 403);
        await other.made(`_/packages/${provider}?overwrite=true`, { publish: true });
        await eventually(async () => expect(await me.result(path)).toEqual({ new: true }));
        await me.made(`_/packages/${made}?overwrite=true`, { parameters: kv({ own: 1 }) });
        expect(await me.result(path)).toEqual({ new: true });
      });
    });

    describe("another's namespace", () => {
      it("shows the packages that it shares, and no bindings (#91)", async () => {
        const [visible, hidden] = [await shared(), await shared({}, false)];
        const made = fresh("bound");
        await other.made(`_/packages/${made}`, { binding: { namespace: "_", name: visible }, publish: true });
        const listed = (await me.get("team/packages?limit=200")).json as Json[];
        const names = listed.map((one) => one.name as string);
        expect(names).toContain(visible);
        expect(names).not.toContain(hidden);
        expect(names).not.toContain(made);
        expect((await me.get("team/packages?count=true")).json).toEqual({ packages: names.length });
        expect((await me.get(`team/packages?limit=1&skip=${names.length}&public=true`)).json).toEqual([]);
        expect((await me.get("nobody/packages")).json).toEqual([]);
        expectError(await me.get(`team/packages/${made}`), 403);
        expectError(await me.ask("POST", `team/actions/${made}/echo`, {}), 403);
      });

      it("lets everybody read, list and invoke what is in a shared package, and nothing else (1.13)", async () => {
        const [visible, hidden] = [await shared({ p: 1 }), await shared({}, false)];
        const alone = fresh("alone");
        await other.made(`_/actions/${alone}`, { exec });
        const actions = (of: string): string => `team/actions/${of}`;
        expect((await me.get(`team/packages/${visible}`)).json).toMatchObject({ actions: [{ name: "echo" }] });
        expect((await me.get(actions(`${visible}/`))).json).toMatchObject([{ name: "echo" }]);
        expect((await me.get(actions(`${visible}/echo`))).json).toMatchObject({ parameters: kv({ p: 1 }) });
        expect(await me.result(actions(`${visible}/echo`))).toEqual({ p: 1 });
        const forbidden: readonly (readonly [string, string, unknown?])[] = [
          ["GET", `team/packages/${hidden}`],
          ["GET", `team/packages/${fresh("none")}`],
          ["GET", "team/actions"],
          ["GET", "nobody/actions"],
          ["GET", actions(`${hidden}/`)],
          ["GET", actions(`${hidden}/echo`)],
          ["GET", actions(alone)],
          ["GET", actions(`${visible}/none`)],
          ["POST", actions(`${hidden}/echo`), {}],
          ["POST", actions(alone), {}],
          ["PUT", `team/packages/${visible}?overwrite=true`, {}],
          ["PUT", `team/packages/${fresh("new")}`, {}],
          ["DELETE", `team/packages/${visible}`],
          ["PUT", actions(`${visible}/echo?overwrite=true`), { exec }],
          ["PUT", actions(`${visible}/new`), { exec }],
          ["DELETE", actions(`${visible}/echo`)],
          ["GET", "team/triggers"],
          ["GET", "team/rules"],
          ["GET", "team/activations"],
        ];
        for (const [method, path, body] of forbidden) expectError(await me.ask(method, path, body), 403);
        expect((await other.get(`_/packages/${visible}`)).json).toMatchObject({ version: "0.0.1", publish: true });
      });

      it("runs its actions in the name of who calls (#53)", async () => {
        const provider = await shared();
        const code =
          "function main() { return { of: process.env.__OW_NAMESPACE, action: process.env.__OW_ACTION_NAME } }";
        await other.made(`_/actions/${provider}/who`, { exec: { ...exec, code } });
        const made = await bound(`team/${provider}`);
        for (const path of [`team/actions/${provider}/who`, `_/actions/${made}/who`]) {
          expect(await me.result(path)).toEqual({ of: "guest", action: `/team/${provider}/who` });
        }
      });
    });

    describe("natively", () => {
      const aPackage = (more: object): Parameters<typeof Packages.createPackage.requestSerialize>[0]["package"] => ({
        namespace: "_",
        name: "",
        version: "",
        publish: false,
        parameters: [],
        annotations: [],
        updateTime: undefined,
        etag: "",
        actions: [],
        feeds: [],
        binding: undefined,
        ...more,
      });

      it("bindings are made, read as they are and as they are stored, and say why they are refused", async () => {
        const provider = await shared({ a: 1 });
        const [name, namespace] = [fresh("bound"), "_"];
        const binding = { namespace: "team", name: provider };
        const parameters = [{ key: "b", valueJson: "2", init: false }];
        await native.call(Packages.createPackage, { package: aPackage({ name, binding, parameters }) });
        const read = await native.call(Packages.getPackage, { namespace, name, asStored: false });
        expect(read).toMatchObject({ binding, actions: ["echo"], parameters: [{ key: "a" }, { key: "b" }] });
        const stored = await native.call(Packages.getPackage, { namespace, name, asStored: true });
        expect(stored).toMatchObject({ binding, actions: [], parameters: [{ key: "b" }], etag: read.etag });
        const action = await native.call(services.action.getAction, {
          namespace,
          name: `${name}/echo`,
          withCode: false,
        });
        expect(action).toMatchObject({ namespace: "team", name: `${provider}/echo`, binding: `guest/${name}` });
        const { activation } = await native.invoke(`${name}/echo`);
        expect(activation).toMatchObject({
          resultJson: '{"a":1,"b":2}',
          path: `team/${provider}/echo`,
          binding: `guest/${name}`,
        });
        expect(await refusalOf(native.createAction(`${name}/new`, exec.code))).toMatchObject({
          kind: "failedPrecondition",
          reason: "PACKAGE_IS_BINDING",
        });
        for (const [to, expected] of [
          [{ namespace: "_", name }, { kind: "invalidArgument" }],
          [{ namespace: "_", name: "none" }, { kind: "invalidArgument" }],
          [
            { namespace: "team", name: "none" },
            { kind: "permissionDenied", reason: "PROVIDER_NOT_READABLE" },
          ],
        ] as const) {
          const refused = refusalOf(
            native.call(Packages.createPackage, { package: aPackage({ name: fresh("no"), binding: to }) }),
          );
          expect(await refused).toMatchObject(expected);
        }
        await other.made(`_/packages/${provider}?overwrite=true`, { publish: false });
        await eventually(async () => {
          expect(await refusalOf(native.invoke(`${name}/echo`))).toMatchObject({
            kind: "permissionDenied",
            reason: "PROVIDER_NOT_READABLE",
          });
        });
      });
    });

    describe("the packages that come with it", () => {
      it("are there for everybody, to use, to bind and not to write", async () => {
        const listed = (await other.get("whisk.system/packages")).json as Json[];
        expect(listed.map((one) => one.name as string)).toEqual(expect.arrayContaining(["utils", "samples"]));
        expect(await other.result("whisk.system/actions/utils/echo", { a: 1 })).toEqual({ a: 1 });
        expect(await other.result("whisk.system/actions/utils/namespace")).toEqual({ namespace: "team" });
        expect(await other.result("whisk.system/actions/samples/greeting", { name: "Ada" })).toEqual({
          payload: "Hello, Ada from somewhere!",
        });
        const made = await bound("whisk.system/utils", { separator: "," });
        expect(await me.result(`_/actions/${made}/split`, { payload: "a,b" })).toEqual({
          lines: ["a", "b"],
          payload: "a,b",
        });
        expectError(await me.put("whisk.system/packages/utils?overwrite=true", {}), 403);
        expectError(await me.remove("whisk.system/actions/utils/echo"), 403);
      });

      it("are not written again by a start that finds them as they are", async () => {
        const before = (await me.get("whisk.system/packages/utils")).json;
        await open.fabric.down();
        await open.fabric.restart();
        expect((await me.get("whisk.system/packages/utils")).json).toEqual(before);
      });
    });
  });
}
