// The first steps of the README, as a user types them, in both modes: deploy code, fire events, read back activations, over
// the CLI, plain gRPC, REST, and OpenWhisk's paths. One fabric per mode; the steps build on each other as a user's do.

import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.js";
import { run, type Fabric } from "../harness/fabric.js";
import { http } from "../harness/http.js";
import { describeWith } from "../harness/services.js";
import { openFabric, UP_SERVICES, type OpenFabric } from "./fabrics.js";

const HELLO = 'function main(params) { return { msg: "Hello, " + (params.name ?? "World") } }\n';

describe("dev", () => steps("dev"));
describeWith(UP_SERVICES, "up", () => steps("up"));

function steps(mode: "dev" | "up"): void {
  let open: OpenFabric;
  let fabric: Fabric;
  let dir: string;
  let hello: string;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "weft-steps-"));
    hello = join(dir, "hello.js");
    writeFileSync(hello, HELLO);
    open = await openFabric({ mode });
    ({ fabric } = open);
  });

  afterAll(async () => {
    await open.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const json = async (...args: readonly string[]): Promise<Record<string, unknown>> =>
    JSON.parse(await fabric.ok(...args, "--json")) as Record<string, unknown>;
  const rest = (path: string, method = "GET", body?: unknown) =>
    http(fabric.rest, path, {
      method,
      headers: { authorization: fabric.authorization, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });

  it("writes credentials that only their owner can read", () => {
    expect(statSync(join(fabric.stateDir, "wskprops")).mode & 0o777).toBe(0o600);
    expect(fabric.auth).toMatch(/^[0-9a-f-]{36}:[A-Za-z0-9]{64}$/);
  });

  it("creates an action from a file and returns its result", async () => {
    await fabric.ok("action", "create", "hello", hello);
    expect(JSON.parse(await fabric.ok("action", "invoke", "hello", "--param", "name", "Ada", "--result"))).toEqual({
      msg: "Hello, Ada",
    });
  });

  it("prints an id at once, and the record of it later: result, duration, cold or warm", async () => {
    const id = (await fabric.ok("action", "invoke", "hello")).trim();
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    const shown = await eventually(() => fabric.ok("activation", "get", id), { withinMs: 20_000, everyMs: 200 });
    expect(shown).toContain("Hello, World");
    expect(shown).toMatch(/warm|cold|stem/);
    expect(shown).toMatch(/\d+ ms/);
  });

  it("runs an action when a trigger fires", async () => {
    await fabric.ok("trigger", "create", "greeted");
    await fabric.ok("rule", "create", "r", "greeted", "hello");
    const id = (await fabric.ok("trigger", "fire", "greeted", "--param", "name", "Bob")).trim();
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    await eventually(
      async () => {
        const answer = await rest("/api/v1/namespaces/_/activations?docs=true&limit=50");
        const records = answer.json() as readonly {
          readonly name: string;
          readonly response: { readonly result: unknown };
        }[];
        expect(records.filter((r) => r.name === "hello").map((r) => r.response.result)).toContainEqual({
          msg: "Hello, Bob",
        });
        expect(records.map((r) => r.name)).toContain("greeted");
      },
      { withinMs: 20_000, everyMs: 100 },
    );
  });

  it("lists activations", async () => {
    const listed = await fabric.ok("activation", "list");
    expect(listed).toContain("hello");
    expect(listed).toContain("greeted");
  });

  it("keeps what was printed, stdout and stderr told apart", async () => {
    const file = join(dir, "talk.js");
    writeFileSync(file, 'exports.main = () => { console.log("out"); console.error("err"); return {}; };\n');
    await fabric.ok("action", "create", "talk", file);
    const id = (await fabric.ok("action", "invoke", "talk")).trim();
    const logs = await eventually(() => fabric.ok("activation", "logs", id), { withinMs: 20_000, everyMs: 200 });
    expect(logs).toMatch(/stdout: out/);
    expect(logs).toMatch(/stderr: err/);
  });

  it("runs Python", async () => {
    const file = join(dir, "hello.py");
    writeFileSync(file, 'def main(args):\n    return {"msg": "Hello, " + args.get("name", "World")}\n');
    await fabric.ok("action", "create", "hello-py", file);
    expect(JSON.parse(await fabric.ok("action", "invoke", "hello-py", "--param", "name", "Ada", "--result"))).toEqual({
      msg: "Hello, Ada",
    });
  });

  it("answers a gRPC client that has no files, through reflection", async () => {
    const { code, stdout, stderr } = await run(
      "node_modules/.bin/buf",
      [
        ...["curl", "--protocol", "grpc", "--http2-prior-knowledge"],
        ...["--header", `authorization: ${fabric.authorization}`],
        ...[
          "--data",
          JSON.stringify({ namespace: "_", action: "hello", paramsJson: '{"name":"Ada"}', blocking: true }),
        ],
        `http://${fabric.grpc}/weft.invoke.v1.InvokeService/Invoke`,
      ],
      process.env,
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const { activation } = JSON.parse(stdout) as { readonly activation: { readonly resultJson: string } };
    expect(JSON.parse(activation.resultJson)).toEqual({ msg: "Hello, Ada" });
  });

  it("answers REST transcoded from the proto's annotations", async () => {
    const answer = await rest("/v1/namespaces/_/actions/hello:invoke", "POST", {
      params_json: '{"name":"Ada"}',
      blocking: true,
    });
    expect(answer.status).toBe(200);
    expect(answer.body).toContain("Hello, Ada");
    expect((await rest("/v1/namespaces/_/actions/nobody")).status).toBe(404);
    expect((await http(fabric.rest, "/v1/namespaces/_/actions")).status).toBe(401);
  });

  it("answers OpenWhisk's paths", async () => {
    const result = await rest("/api/v1/namespaces/_/actions/hello?blocking=true&result=true", "POST", { name: "Ada" });
    expect({ status: result.status, body: result.json() }).toEqual({ status: 200, body: { msg: "Hello, Ada" } });
    expect(result.headers["x-openwhisk-activation-id"]).toMatch(/^[0-9a-f]{32}$/);
    const accepted = await rest("/api/v1/namespaces/_/actions/hello", "POST", {});
    expect(accepted.status).toBe(202);
    expect((await rest("/api/v1/namespaces/_/triggers/greeted", "POST", {})).status).toBe(202);
    expect((await rest("/api/v1/namespaces/_/rules/r")).json()).toMatchObject({ status: "active" });
    expect((await rest("/api/v1/namespaces")).json()).toEqual(["guest"]);
  });

  it("gives a new namespace a key of its own, which sees nothing of another's", async () => {
    const made = await json("namespace", "create", "tenant");
    expect(made["auth"]).toMatch(/^[0-9a-f-]{36}:[A-Za-z0-9]{64}$/);
    const authorization = `Basic ${Buffer.from(String(made["auth"])).toString("base64")}`;
    const mine = await http(fabric.rest, "/api/v1/namespaces", { headers: { authorization } });
    expect(mine.json()).toEqual(["tenant"]);
    const foreign = await http(fabric.rest, "/api/v1/namespaces/guest/actions/hello", { headers: { authorization } });
    expect([403, 404]).toContain(foreign.status);
    const secret = await http(fabric.rest, "/v1/namespaces/guest/actions/hello", { headers: { authorization } });
    expect(secret.status).toBe(404);
  });

  it("shows and sets throttles, and refuses what is above them", async () => {
    expect(await fabric.ok("namespace", "limits", "guest")).toMatch(/6,?000/);
    await fabric.ok("namespace", "limits", "tenant", "--invocations-per-minute", "0");
    expect(await fabric.ok("namespace", "limits", "tenant")).toMatch(/\b0\b/);
  });

  it("shows roles, invokers and sandboxes", async () => {
    const status = (await json("status")) as {
      readonly members: readonly { readonly role: string }[];
      readonly invokers: readonly { readonly sandboxes: readonly { readonly action: string }[] }[];
    };
    expect(new Set(status.members.map((m) => m.role))).toEqual(
      new Set(["gateway", "controller", "scheduler", "invoker"]),
    );
    expect(status.invokers).toHaveLength(mode === "up" ? 3 : 1);
    expect(status.invokers.flatMap((i) => i.sandboxes.map((s) => s.action))).toContain("guest/hello");
  });

  it("says what is wrong and how to mend it, and stores nothing", async () => {
    const wrong = await fabric.weft("action", "create", "bad name/with/slashes", hello);
    expect(wrong.code).toBe(1);
    expect(wrong.stdout).toBe("");
    expect(wrong.stderr).toContain("name");
    const typo = await fabric.weft("action", "get", "helo");
    expect(typo.code).toBe(1);
    expect(typo.stderr).toContain("hello");
  });

  it("keeps its state over a restart", async () => {
    const before = fabric.auth;
    await fabric.down();
    await fabric.restart();
    expect(fabric.auth).toBe(before);
    expect(JSON.parse(await fabric.ok("action", "invoke", "hello", "--param", "name", "again", "--result"))).toEqual({
      msg: "Hello, again",
    });
    expect(await fabric.ok("activation", "list", "--limit", "100")).toContain("greeted");
  });
}
