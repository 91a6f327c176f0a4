// The command line against a scripted Weft, over real gRPC.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { eventually } from "../../test/harness/eventually.js";
import { WeftError } from "../../internal/base/errors.js";
import { silentLog } from "../../internal/base/log.js";
import { systemClock } from "../../internal/boot/system.js";
import { AccessServiceService } from "../../internal/gen/weft/access/v1/access.pb.js";
import { Action, ActionServiceService } from "../../internal/gen/weft/action/v1/action.pb.js";
import {
  Activation,
  ActivationServiceService,
  Outcome,
  Start,
  Subject,
} from "../../internal/gen/weft/activation/v1/activation.pb.js";
import { Api, ApiServiceService } from "../../internal/gen/weft/api/v1/api.pb.js";
import { ClusterServiceService, ClusterStatus } from "../../internal/gen/weft/cluster/v1/cluster.pb.js";
import { InvokeServiceService } from "../../internal/gen/weft/invoke/v1/invoke.pb.js";
import { NamespaceServiceService } from "../../internal/gen/weft/namespaces/v1/namespace.pb.js";
import { PackageServiceService } from "../../internal/gen/weft/packages/v1/package.pb.js";
import { RuleServiceService, type Rule } from "../../internal/gen/weft/rule/v1/rule.pb.js";
import { Trigger, TriggerServiceService } from "../../internal/gen/weft/trigger/v1/trigger.pb.js";
import type { CallContext } from "../../internal/rpc/call-context.js";
import { RpcServer, type Handlers } from "../../internal/rpc/server.js";
import { runCli } from "./cli.js";
import { testIo, type TestIo, type TestIoOptions } from "./test-io.suite.js";

const ID = "0123456789abcdef0123456789abcdef";

/** What the next call of an rpc does; everything that was asked, in order. */
let answers: Record<string, (request: never, ctx: CallContext) => unknown> = {};
let asked: { readonly rpc: string; readonly request: Record<string, unknown>; readonly authorization: string }[] = [];
let server: RpcServer;
let grpc = "";
let cwd = "";

beforeAll(async () => {
  server = new RpcServer({ log: silentLog, clock: systemClock });
  for (const definition of [
    AccessServiceService,
    ActionServiceService,
    ActivationServiceService,
    ApiServiceService,
    ClusterServiceService,
    InvokeServiceService,
    NamespaceServiceService,
    PackageServiceService,
    RuleServiceService,
    TriggerServiceService,
  ]) {
    const handlers: Record<string, Handlers[string]> = {};
    for (const rpc of Object.keys(definition)) {
      handlers[rpc] = async (ctx: CallContext, request: never) => {
        asked.push({ rpc, request, authorization: ctx.header("authorization") ?? "" });
        const answer = answers[rpc];
        if (!answer) throw new WeftError("internal", "NOT_SCRIPTED", `${rpc} is not scripted`);
        return answer(request, ctx);
      };
    }
    server.serveService(definition, handlers);
  }
  grpc = await server.listen("127.0.0.1:0");
});

afterAll(() => server.close(0));

beforeEach(() => {
  answers = {};
  asked = [];
  cwd = mkdtempSync(join(tmpdir(), "weft-cli-"));
  return () => {
    rmSync(cwd, { recursive: true });
  };
});

async function weft(words: string | readonly string[], options: TestIoOptions = {}) {
  const io = testIo({ cwd, ...options, env: { NO_COLOR: "1", WEFT_GRPC: grpc, WEFT_AUTH: "u:k", ...options.env } });
  const code = await runCli(typeof words === "string" ? words.split(" ") : words, io);
  return { code, stdout: io.stdout(), stderr: io.stderr() };
}

const activation = (more: Partial<Activation> = {}): Activation =>
  Activation.fromPartial({
    activationId: ID,
    namespace: "guest",
    name: "hello",
    path: "guest/hello",
    version: "0.0.1",
    subject: "guest",
    of: Subject.ACTION,
    startTime: { seconds: 1_767_225_600, nanos: 123_000_000 },
    endTime: { seconds: 1_767_225_600, nanos: 523_000_000 },
    durationMs: 400,
    initMs: 12,
    waitMs: 3,
    outcome: Outcome.SUCCESS,
    resultJson: '{"msg":"Hello, Ada","n":12345678901234567890}',
    logs: ["2026-01-01T00:00:00.200Z stdout: hi", "2026-01-01T00:00:00.300Z stderr: oh"],
    kind: "nodejs:20",
    start: Start.COLD,
    ...more,
  });

const notFound = (what: string): WeftError => new WeftError("notFound", "NO_SUCH_ENTITY", `${what} does not exist`);
const fails = (error: WeftError) => (): never => {
  throw error;
};

describe("weft action create --sequence", () => {
  const sequence = ({ action }: { action: Action }): Action =>
    Action.fromPartial({ ...action, namespace: "guest", version: "0.0.1" });

  it("stores the actions that run one after the other", async () => {
    answers["createAction"] = sequence;
    const ran = await weft("action create both --sequence first,/other/tools/second --annotation final true");
    expect(ran.stderr).toContain("created action both, version 0.0.1, sequence");
    expect(asked[0]?.request["action"]).toMatchObject({
      name: "both",
      exec: { kind: "sequence", components: ["/_/first", "/other/tools/second"] },
    });
  });

  it("makes a sequence of what is there, and shows what it runs", async () => {
    answers["updateAction"] = sequence;
    expect((await weft("action update both --sequence a,b")).code).toBe(0);
    expect(asked[0]?.request).toMatchObject({ allowMissing: true });
    answers["getAction"] = () =>
      Action.fromPartial({
        namespace: "guest",
        name: "both",
        exec: { kind: "sequence", components: ["/guest/a", "/guest/b"] },
      });
    expect((await weft("action get both")).stdout).toMatch(/runs +\/guest\/a, \/guest\/b/);
    expect(JSON.parse((await weft("action get both --json")).stdout)).toMatchObject({
      exec: { kind: "sequence", components: ["/guest/a", "/guest/b"] },
    });
  });

  it.each([
    ["action create x", "what does it run?"],
    ["action create x y.js --sequence a", "give a file or --sequence, not both"],
    ["action create x --sequence a,,b", "is no name"],
    ["action create x --sequence a --param k v", "a sequence has no arguments of its own"],
    ["action create x --sequence a --kind nodejs:20", "--kind belongs to code"],
  ])("refuses %s", async (words, why) => {
    writeFileSync(join(cwd, "y.js"), "x");
    const refused = await weft(words);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain(why);
    expect(asked).toEqual([]);
  });
});

describe("weft action create", () => {
  const stored = ({ action }: { action: Action }): Action =>
    Action.fromPartial({
      ...action,
      namespace: "guest",
      version: "0.0.1",
      exec: { ...action.exec, kind: "nodejs:20" },
    });

  it("stores the file with everything that was said about it", async () => {
    answers["createAction"] = stored;
    writeFileSync(join(cwd, "hello.js"), "function main() {}");
    const ran = await weft([
      ...["action", "create", "pkg/hello", "hello.js", "--main", "go", "--timeout", "5000", "--memory", "128"],
      ...[
        "--logsize",
        "0",
        "--concurrency",
        "4",
        "--web",
        "true",
        "-p",
        "name",
        "Ada",
        "--param",
        "n",
        "12345678901234567890",
      ],
      ...["--param", "flag", "--json", "-a", "note", '{"a":1}'],
    ]);
    expect(ran).toEqual({ code: 0, stdout: "", stderr: "created action pkg/hello, version 0.0.1, nodejs:20\n" });
    expect(asked[0]?.authorization).toBe(`Basic ${Buffer.from("u:k").toString("base64")}`);
    expect(asked[0]?.request["action"]).toMatchObject({
      namespace: "_",
      name: "pkg/hello",
      exec: { kind: "nodejs:default", binary: false, main: "go" },
      limits: { timeoutMs: 5_000, memoryMb: 128, logsMb: 0, concurrency: 4 },
      parameters: [
        { key: "name", valueJson: '"Ada"' },
        { key: "n", valueJson: "12345678901234567890" },
        { key: "flag", valueJson: '"--json"' },
      ],
      annotations: [
        { key: "note", valueJson: '{"a":1}' },
        { key: "web-export", valueJson: "true" },
        { key: "raw-http", valueJson: "false" },
        { key: "final", valueJson: "true" },
      ],
    });
  });

  it.each([
    ["--web raw", { "web-export": "true", "raw-http": "true", final: "true" }],
    ["--web false", { "web-export": "false", "raw-http": "false", final: "false" }],
    ["--web-secure s3cret", { "require-whisk-auth": '"s3cret"' }],
    ["--web-secure false", { "require-whisk-auth": "false" }],
  ])("makes annotations of %s", async (options, expected) => {
    answers["createAction"] = stored;
    writeFileSync(join(cwd, "x.js"), "code");
    expect((await weft(`action create x x.js ${options}`)).code).toBe(0);
    const { annotations } = asked[0]?.request["action"] as Action;
    expect(Object.fromEntries(annotations.map(({ key, valueJson }) => [key, valueJson]))).toEqual(expected);
  });

  it("makes up a secret that every client reads exactly, and shows it", async () => {
    answers["createAction"] = stored;
    writeFileSync(join(cwd, "x.js"), "code");
    const ran = await weft("action create x x.js --web true --web-secure true");
    const { annotations } = asked[0]?.request["action"] as Action;
    const secret = annotations.find(({ key }) => key === "require-whisk-auth")?.valueJson ?? "";
    expect(Number.isSafeInteger(Number(secret)) && String(Number(secret)) === secret).toBe(true);
    expect(ran.stderr).toContain(`X-Require-Whisk-Auth: ${secret}\n`);
  });

  it.each([
    ["x.py", "python:default"],
    ["x.mjs", "nodejs:default"],
  ])("knows the kind of %s", async (file, kind) => {
    answers["createAction"] = stored;
    writeFileSync(join(cwd, file), "code");
    expect((await weft(`action create x ${file}`)).code).toBe(0);
    expect(asked[0]?.request["action"]).toMatchObject({ exec: { kind }, limits: undefined });
  });

  it("sends an archive as one, whatever it is called, and wants its kind", async () => {
    answers["createAction"] = stored;
    writeFileSync(join(cwd, "code.zip"), Buffer.from("PK\u0003\u0004rest"));
    const refused = await weft("action create x code.zip");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("--kind nodejs:default");
    expect((await weft("action create x code.zip --kind python:3.11")).code).toBe(0);
    expect(asked[0]?.request["action"]).toMatchObject({ exec: { kind: "python:3.11", binary: true } });
  });

  it.each([
    ["action create x nothing.js", "there is no file nothing.js"],
    ["action create x .", "is a folder: pack it first"],
    ["action create x y.txt", "say --kind"],
    ["action create x y.rb --kind nodejs:20 --memory lots", "--memory lots: must be a whole number"],
    ["action create a/b/c y.rb", "is no name"],
    ["action create x y.rb --kind nodejs:20 --web false --web-secure s", "--web false makes none"],
  ])("refuses %s before it asks anybody", async (words, message) => {
    for (const name of ["y.rb", "y.txt"]) writeFileSync(join(cwd, name), "code");
    const ran = await weft(words);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain("error WEFT-1001");
    expect(ran.stderr).toContain(message);
    expect(asked).toEqual([]);
  });

  it("shows what the server refused, field by field, with its code and status", async () => {
    answers["createAction"] = fails(
      new WeftError("alreadyExists", "NAME_TAKEN", "action hello exists", { fix: "weft action update hello" }),
    );
    writeFileSync(join(cwd, "hello.js"), "x");
    const ran = await weft("action create hello hello.js");
    expect(ran.code).toBe(1);
    expect(ran.stderr).toBe(
      `error WEFT-1003  action hello exists\n  status  ALREADY_EXISTS (NAME_TAKEN) from ${grpc}\n  run     weft action update hello\n`,
    );
  });
});

describe("weft action", () => {
  const some = Action.fromPartial({
    namespace: "guest",
    name: "hello",
    version: "0.0.2",
    exec: { kind: "nodejs:20", codeSize: 2_048, codeDigest: "abc", code: Buffer.from("the code") },
    parameters: [{ key: "n", valueJson: "1.00" }],
    limits: { timeoutMs: 60_000, memoryMb: 256, logsMb: 10, concurrency: 1 },
    updateTime: { seconds: 1_767_225_600, nanos: 0 },
  });

  it("update leaves alone what was not said", async () => {
    answers["updateAction"] = () => some;
    expect((await weft("action update hello --timeout 5000")).code).toBe(0);
    expect(asked[0]?.request).toMatchObject({
      action: {
        exec: undefined,
        parameters: [],
        annotations: [],
        limits: { timeoutMs: 5_000, memoryMb: 0, logsMb: undefined },
      },
      updateFields: [],
      allowMissing: false,
    });
  });

  it("get shows an action, and saves its code", async () => {
    answers["getAction"] = () => some;
    const ran = await weft("action get hello --save out.js");
    expect(ran.stdout).toContain("/guest/hello");
    expect(ran.stdout).toContain("n = 1.00");
    expect(readFileSync(join(cwd, "out.js"), "utf8")).toBe("the code");
    const json = await weft("action get hello --json");
    expect(json.stdout).toContain('"value": 1.00');
    expect(JSON.parse(json.stdout)).toMatchObject({ name: "hello", exec: { kind: "nodejs:20" } });
  });

  it.each([
    ["hello", "false", "/api/v1/namespaces/guest/actions/hello"],
    ["hello", "true", "/api/v1/web/guest/default/hello"],
    ["pkg/my action", "true", "/api/v1/web/guest/pkg/my%20action"],
  ])("get --url prints where %s is, web-export being %s", async (name, valueJson, path) => {
    answers["getAction"] = () => ({ ...some, name, annotations: [{ key: "web-export", valueJson, init: false }] });
    const ran = await weft(["action", "get", name, "--url"]);
    expect(ran.stdout).toMatch(new RegExp(`^http://[^/]+${path}\n$`));
    expect(JSON.parse((await weft(["action", "get", name, "--url", "--json"])).stdout)).toEqual({
      url: ran.stdout.trim(),
    });
  });

  it("get says what was probably meant when there is none", async () => {
    answers["getAction"] = fails(notFound("action helo"));
    answers["listActions"] = () => ({ actions: [some], nextPageToken: "" });
    const ran = await weft("action get helo");
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain("error WEFT-1002  action helo does not exist; did you mean hello?");
    expect(ran.stderr).toContain("weft action list");
  });

  it("list shows a page and says that there is more; with --all it shows everything", async () => {
    answers["listActions"] = ({ pageToken }: { pageToken: string }) => ({
      actions: [{ ...some, name: pageToken === "" ? "one" : "two" }],
      nextPageToken: pageToken === "" ? "next" : "",
    });
    const page = await weft("action list --limit 1");
    expect(page.stdout).toBe("/guest/one\tnodejs:20\t0.0.2\t256 MiB\t60000 ms\t2026-01-01 00:00:00.000Z\n");
    expect(page.stderr).toContain("there are more");
    const all = await weft("action list pkg --all --json");
    expect((JSON.parse(all.stdout) as { name: string }[]).map((a) => a.name)).toEqual(["one", "two"]);
    expect(asked.at(-2)?.request).toMatchObject({ package: "pkg", pageSize: 200 });
  });

  it("delete deletes", async () => {
    answers["deleteAction"] = () => ({});
    expect(await weft("action delete /guest/pkg/hello")).toEqual({
      code: 0,
      stdout: "",
      stderr: "deleted action pkg/hello\n",
    });
    expect(asked[0]?.request).toMatchObject({ namespace: "guest", name: "pkg/hello" });
  });
});

describe("weft action invoke", () => {
  it("prints the id and nothing else", async () => {
    answers["invoke"] = () => ({ activationId: ID, activation: undefined });
    expect(await weft("action invoke hello")).toEqual({ code: 0, stdout: `${ID}\n`, stderr: "" });
    expect(asked[0]?.request).toMatchObject({ action: "hello", paramsJson: "{}", blocking: false });
    expect((await weft("action invoke hello", { tty: true })).stderr).toContain(`weft activation get ${ID}`);
  });

  it("sends arguments as they were written, those of the command line over those of a file", async () => {
    answers["invoke"] = () => ({ activationId: ID, activation: undefined });
    writeFileSync(join(cwd, "p.json"), '{"name":"Bob","n":1.50}');
    await weft("action invoke hello --param-file p.json --param name Ada --param list [1,2]");
    expect(asked[0]?.request["paramsJson"]).toBe('{"name":"Ada","n":1.50,"list":[1,2]}');
    await weft("action invoke hello -P -", { stdin: '{"from":"stdin"}' });
    expect(asked[1]?.request["paramsJson"]).toBe('{"from":"stdin"}');
    expect((await weft("action invoke hello -P -", { stdin: "[1]" })).stderr).toContain(
      "standard input must be a JSON object",
    );
  });

  it("--result prints the result with every digit", async () => {
    answers["invoke"] = () => ({ activationId: ID, activation: activation() });
    const ran = await weft("action invoke hello --result");
    expect(ran).toEqual({
      code: 0,
      stdout: '{\n  "msg": "Hello, Ada",\n  "n": 12345678901234567890\n}\n',
      stderr: "",
    });
    expect(asked[0]?.request).toMatchObject({ blocking: true });
  });

  it.each([
    [Outcome.APPLICATION_ERROR, "application error", 1],
    [Outcome.DEVELOPER_ERROR, "developer error", 1],
    [Outcome.PLATFORM_ERROR, "platform error", 3],
  ])("--result shows the error and ends with the right code for outcome %i", async (outcome, name, code) => {
    answers["invoke"] = () => ({ activationId: ID, activation: activation({ outcome, resultJson: '{"error":"no"}' }) });
    const ran = await weft("action invoke hello --result");
    expect(ran.code).toBe(code);
    expect(ran.stdout).toBe('{\n  "error": "no"\n}\n');
    expect(ran.stderr).toBe(`${name}: weft activation get ${ID}\n`);
  });

  it("--blocking shows the activation", async () => {
    answers["invoke"] = () => ({ activationId: ID, activation: activation() });
    const ran = await weft("action invoke hello --blocking");
    expect(ran.stdout).toContain("success");
    expect(ran.stdout).toContain("cold");
  });

  it("prints the id and ends with 4 when the wait ends first", async () => {
    answers["invoke"] = () => ({ activationId: ID, activation: undefined });
    const ran = await weft("action invoke hello --result");
    expect(ran).toMatchObject({ code: 4, stdout: `${ID}\n` });
    expect(ran.stderr).toContain("goes on");
  });

  it("is cancelled by Ctrl-C, also at the server", async () => {
    let cancelled = false;
    answers["invoke"] = (_request, ctx) =>
      new Promise(() => {
        ctx.signal.addEventListener("abort", () => (cancelled = true));
      });
    const io: TestIo = testIo({ cwd, env: { WEFT_GRPC: grpc, WEFT_AUTH: "u:k", NO_COLOR: "1" } });
    const running = runCli(["action", "invoke", "hello", "--blocking"], io);
    await eventually(() => asked.length > 0);
    io.interrupt();
    expect(await running).toBe(130);
    expect(io.stderr()).toContain("cancelled");
    await eventually(() => cancelled);
  });
});

describe("weft activation", () => {
  it("get shows record, result, logs, durations and the kind of start", async () => {
    answers["getActivation"] = () => activation();
    const { stdout, code } = await weft(`activation get ${ID}`);
    expect(code).toBe(0);
    expect(stdout).toBe(
      [
        `activation  ${ID}`,
        "action      /guest/hello",
        "version     0.0.1",
        "kind        nodejs:20",
        "outcome     success",
        "started     2026-01-01 00:00:00.123Z",
        "duration    400 ms, of which init 12 ms",
        "waited      3 ms",
        "start       cold",
        "result      {",
        '              "msg": "Hello, Ada",',
        '              "n": 12345678901234567890',
        "            }",
        "logs        2026-01-01T00:00:00.200Z stdout: hi",
        "            2026-01-01T00:00:00.300Z stderr: oh",
        "",
      ].join("\n"),
    );
  });

  it("get --json is for programs", async () => {
    answers["getActivation"] = () => activation({ outcome: Outcome.DEVELOPER_ERROR, timedOut: true });
    const { stdout } = await weft(`activation get ${ID} --json`);
    expect(stdout).toContain("12345678901234567890");
    expect(JSON.parse(stdout)).toMatchObject({
      activationId: ID,
      outcome: "developerError",
      timedOut: true,
      start: "cold",
      durationMs: 400,
      initMs: 12,
      waitMs: 3,
      logs: [expect.stringContaining("hi"), expect.stringContaining("oh")],
      result: { msg: "Hello, Ada" },
    });
  });

  it("get waits for a record that is about to come", async () => {
    let looks = 0;
    answers["getActivation"] = () => {
      looks += 1;
      if (looks < 3) throw notFound("activation");
      return activation();
    };
    expect((await weft(`activation get ${ID}`)).code).toBe(0);
    expect(looks).toBe(3);
  });

  it("get says that it may still run when there is no record", async () => {
    answers["getActivation"] = fails(notFound(`activation ${ID}`));
    const ran = await weft(`activation get ${ID} --wait 0`);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain("may still be running");
    expect(ran.stderr).toContain("--wait 60");
  });

  it("logs and result print just these", async () => {
    answers["getActivation"] = () => activation();
    expect((await weft(`activation logs ${ID}`)).stdout).toBe(activation().logs.join("\n") + "\n");
    expect((await weft(`activation logs ${ID} --strip`)).stdout).toBe("hi\noh\n");
    expect(JSON.parse((await weft(`activation result ${ID}`)).stdout)).toMatchObject({ msg: "Hello, Ada" });
  });

  it("last is the latest", async () => {
    answers["listActivations"] = () => ({ activations: [activation()], nextPageToken: "" });
    answers["getActivation"] = () => activation();
    expect((await weft("activation result last")).code).toBe(0);
    expect(asked.at(-1)?.request["activationId"]).toBe(ID);
  });

  it("list shows what ended, by name and time", async () => {
    const fired = activation({
      of: Subject.TRIGGER,
      name: "t",
      path: "guest/t",
      start: Start.UNSPECIFIED,
      durationMs: 0,
    });
    answers["listActivations"] = () => ({ activations: [activation(), fired], nextPageToken: "" });
    const ran = await weft("activation list hello --since 2026-01-01T00:00:00Z --limit 2");
    expect(ran.stdout.split("\n").map((line) => line.split("\t").slice(1))).toEqual([
      [ID, "guest/hello", "success", "cold", "400 ms"],
      [ID, "guest/t", "success", "trigger", ""],
      [],
    ]);
    expect(asked[0]?.request).toMatchObject({ name: "hello", since: { seconds: 1_767_225_600 }, pageSize: 2 });
    expect((await weft("activation list --since yesterday")).stderr).toContain("--since yesterday");
  });

  it("poll shows each activation once, until Ctrl-C", async () => {
    // As a server would: nothing that started before it was asked for.
    const started = { seconds: Math.ceil(Date.now() / 1_000) + 1, nanos: 0 };
    answers["listActivations"] = () => ({ activations: [activation({ startTime: started })], nextPageToken: "" });
    const io = testIo({ cwd, env: { WEFT_GRPC: grpc, WEFT_AUTH: "u:k", NO_COLOR: "1" } });
    const running = runCli(["activation", "poll"], io);
    await eventually(() => asked.length >= 3);
    io.interrupt();
    expect(await running).toBe(130);
    expect(io.stdout().split(ID).length).toBe(2);
    expect(io.stdout()).toContain("stdout: hi");
  });
});

describe("weft trigger and rule", () => {
  const trigger = Trigger.fromPartial({ namespace: "guest", name: "greeted", version: "0.0.1" });
  const rule = { namespace: "guest", name: "r", version: "0.0.1", trigger: "/guest/greeted", action: "/guest/hello" };

  it("create, fire and get a trigger", async () => {
    answers["createTrigger"] = () => trigger;
    answers["fire"] = () => ({ activationId: ID });
    answers["getTrigger"] = () => ({ ...trigger, rules: [{ rule: "guest/r", action: "guest/hello", active: true }] });
    expect((await weft("trigger create greeted --param name Ada")).code).toBe(0);
    expect(asked[0]?.request["trigger"]).toMatchObject({ parameters: [{ key: "name", valueJson: '"Ada"' }] });
    expect((await weft("trigger fire greeted --param name Bob")).stdout).toBe(`${ID}\n`);
    expect(asked[1]?.request).toMatchObject({ trigger: "greeted", paramsJson: '{"name":"Bob"}' });
    expect((await weft("trigger get greeted")).stdout).toContain("/guest/r runs /guest/hello");
  });

  describe("with a feed", () => {
    const FEED = "/whisk.system/alarms/alarm";
    const fed = Trigger.fromPartial({ ...trigger, annotations: [{ key: "feed", valueJson: JSON.stringify(FEED) }] });
    const told = (): unknown[] =>
      asked
        .filter(({ rpc }) => rpc === "invoke")
        .map(({ request }) => {
          expect(request).toMatchObject({ namespace: "whisk.system", action: "alarms/alarm", blocking: true });
          return JSON.parse(request["paramsJson"] as string) as unknown;
        });
    const common = { triggerName: "/_/greeted", authKey: "u:k" };

    beforeEach(() => {
      answers["createTrigger"] = () => fed;
      answers["getTrigger"] = () => fed;
      answers["updateTrigger"] = () => fed;
      answers["deleteTrigger"] = () => ({});
      answers["invoke"] = () => ({ activation: activation({ resultJson: '{"status":"success"}' }) });
    });

    it("create tells the feed, which gets the parameters", async () => {
      const ran = await weft([
        ...["trigger", "create", "greeted", "--feed", FEED, "--param", "cron", "0 3 * * *"],
        ...["--param", "n", "1.00", "--trigger-param", "a", "1", "--annotation", "b", "2"],
      ]);
      expect(ran, ran.stderr).toMatchObject({ code: 0, stdout: "" });
      expect(ran.stderr).toContain(`fed by ${FEED}`);
      expect(asked[0]?.request["trigger"]).toMatchObject({
        parameters: [{ key: "a", valueJson: "1" }],
        annotations: [
          { key: "b", valueJson: "2" },
          { key: "feed", valueJson: JSON.stringify(FEED) },
        ],
      });
      expect(told()).toEqual([{ ...common, lifecycleEvent: "CREATE", cron: "0 3 * * *", n: 1 }]);
      expect(asked[1]?.request["paramsJson"]).toContain('"n":1.00');
    });

    it("create prints the URL that the feed gives", async () => {
      answers["invoke"] = () => ({
        activation: activation({ resultJson: '{"status":"success","path":"/api/v1/hooks/abc"}' }),
      });
      const words = `trigger create greeted --feed ${FEED}`;
      expect((await weft(words)).stdout).toMatch(/^http:.*\/api\/v1\/hooks\/abc\n$/);
      expect(JSON.parse((await weft(`${words} --json`)).stdout)).toMatchObject({
        name: "greeted",
        feed: { name: FEED, url: expect.stringMatching(/hooks\/abc$/) as string },
      });
    });

    it("create leaves nothing behind when the feed refuses", async () => {
      answers["invoke"] = () => ({
        activation: activation({ outcome: Outcome.APPLICATION_ERROR, resultJson: '{"error":"no such time"}' }),
      });
      const ran = await weft(`trigger create greeted --feed ${FEED} --param cron x`);
      expect(ran.code).toBe(2);
      expect(ran.stderr).toContain(`the feed ${FEED} refuses: no such time`);
      expect(told()).toMatchObject([{ lifecycleEvent: "CREATE" }, { lifecycleEvent: "DELETE" }]);
      expect(asked.at(-1)).toMatchObject({ rpc: "deleteTrigger", request: { name: "greeted" } });
    });

    it("update changes what the feed does, the trigger, or both", async () => {
      await weft("trigger update greeted --param cron @hourly");
      expect(asked.map(({ rpc }) => rpc)).toEqual(["getTrigger", "invoke"]);
      expect(told()).toEqual([{ ...common, lifecycleEvent: "UPDATE", cron: "@hourly" }]);
      asked = [];
      await weft("trigger update greeted --trigger-param a 1 --annotation b 2");
      expect(asked.map(({ rpc }) => rpc)).toEqual(["getTrigger", "updateTrigger"]);
      expect(asked[1]?.request["trigger"]).toMatchObject({ annotations: [{ key: "b" }, { key: "feed" }] });
    });

    it("get shows what the feed says", async () => {
      answers["invoke"] = () => ({
        activation: activation({
          resultJson:
            '{"config":{"cron":"@hourly","path":"/api/v1/hooks/abc"},"status":{"active":true,"fired":12345678901234567890}}',
        }),
      });
      const { stdout } = await weft("trigger get greeted");
      for (const text of [FEED, 'cron = "@hourly"', "fired = 12345678901234567890", "/api/v1/hooks/abc"]) {
        expect(stdout).toContain(text);
      }
      expect((await weft("trigger get greeted --json")).stdout).toContain("12345678901234567890");
      expect(told()[0]).toEqual({ ...common, lifecycleEvent: "READ" });
      answers["invoke"] = fails(new WeftError("notFound", "NO_SUCH_ACTION", "the feed is gone"));
      expect((await weft("trigger get greeted")).stdout).toContain("the feed is gone");
    });

    it("delete tells the feed, whatever that says", async () => {
      answers["invoke"] = fails(new WeftError("notFound", "NO_SUCH_ACTION", "the feed is gone"));
      expect(await weft("trigger delete greeted")).toMatchObject({ code: 0 });
      expect(told()).toEqual([{ ...common, lifecycleEvent: "DELETE" }]);
      expect(asked.at(-1)?.rpc).toBe("deleteTrigger");
    });

    it.each([
      ["pause", "PAUSE"],
      ["unpause", "UNPAUSE"],
    ])("%s tells the feed, and needs one", async (verb, lifecycleEvent) => {
      expect((await weft(`trigger ${verb} greeted`)).stderr).toContain("paused trigger greeted");
      expect(told()).toEqual([{ ...common, lifecycleEvent }]);
      answers["getTrigger"] = () => trigger;
      const ran = await weft(`trigger ${verb} greeted`);
      expect(ran.code).toBe(2);
      expect(ran.stderr).toContain("greeted has no feed");
    });
  });

  it("fire says that nobody listens", async () => {
    answers["fire"] = () => ({ activationId: "" });
    const ran = await weft("trigger fire greeted");
    expect(ran).toMatchObject({ code: 0, stdout: "" });
    expect(ran.stderr).toContain("no active rule listens to greeted");
    expect(JSON.parse((await weft("trigger fire greeted --json")).stdout)).toEqual({ fired: false });
  });

  it("create, disable and list rules", async () => {
    answers["createRule"] = (): Partial<Rule> => ({ ...rule, active: true, annotations: [] });
    answers["disableRule"] = (): Partial<Rule> => ({ ...rule, active: false, annotations: [] });
    answers["listRules"] = () => ({ rules: [{ ...rule, active: false, annotations: [] }], nextPageToken: "" });
    const script = async (words: string): Promise<string> => {
      const ran = await weft(words);
      expect(ran, ran.stderr).toMatchObject({ code: 0 });
      return ran.stdout + ran.stderr;
    };
    expect(await script("rule create r greeted hello")).toContain("/guest/greeted runs /guest/hello (active)");
    expect(asked[0]?.request["rule"]).toMatchObject({ namespace: "_", name: "r", trigger: "greeted", action: "hello" });
    expect(await script("rule disable r")).toContain("inactive");
    expect(await script("rule list")).toBe("/guest/r\tinactive\t/guest/greeted\t/guest/hello\t\n");
  });
});

describe("weft namespace, key and package", () => {
  it("namespace create shows the key once, as data", async () => {
    answers["createNamespace"] = () => ({
      namespace: { name: "team", limits: { invocationsPerMinute: 6_000 } },
      auth: "uuid:secret",
    });
    const plain = await weft("namespace create team");
    expect(plain.stdout).toBe("uuid:secret\n");
    expect(plain.stderr).toContain("shown only now");
    expect(JSON.parse((await weft("namespace create team --json")).stdout)).toMatchObject({
      name: "team",
      auth: "uuid:secret",
      uuid: "uuid",
      key: "secret",
      limits: { invocationsPerMinute: 6_000 },
    });
  });

  it("namespace limits shows them, and sets those that are given", async () => {
    const limits = { invocationsPerMinute: 6_000, firesPerMinute: 600, concurrentInvocations: 100 };
    answers["getNamespace"] = () => ({ name: "guest", limits });
    answers["updateNamespaceLimits"] = () => ({ name: "guest", limits: { ...limits, firesPerMinute: 0 } });
    expect((await weft("namespace limits")).stdout).toContain("invocations/min  6000");
    expect(asked[0]?.request).toEqual({ namespace: "_" });
    expect((await weft("namespace limits guest --fires-per-minute 0")).stdout).toContain("fires/min        0");
    expect(asked[1]?.request).toEqual({
      namespace: "guest",
      limits: { invocationsPerMinute: undefined, firesPerMinute: 0, concurrentInvocations: undefined },
      clear: [],
    });
  });

  it("namespace limits sets and takes back what actions of the namespace may be", async () => {
    const overrides = {
      allowedKinds: ["nodejs:20", "go:1.2"],
      minActionMemory: 64,
      maxActionMemory: 256,
      maxPayloadSize: 5,
    };
    answers["updateNamespaceLimits"] = () => ({ name: "guest", limits: { overrides } });
    const set = await weft(
      "namespace limits guest --memory 64:256 --timeout :1000 --kinds nodejs:20,go:1.2 --payload-size 5",
    );
    expect(set.stdout).toMatch(/kinds +nodejs:20, go:1.2\n *memory +64:256 MiB\n *payload-size +5 bytes/);
    expect(asked[0]?.request).toMatchObject({
      limits: { overrides: { ...overrides, maxActionTimeout: 1_000 } },
      clear: [],
    });
    const shown = await weft("namespace limits guest --reset memory,payload-size --kinds all --json");
    expect(asked[1]?.request).toMatchObject({
      limits: {},
      clear: ["allowedKinds", "minActionMemory", "maxActionMemory", "maxPayloadSize"],
    });
    expect(JSON.parse(shown.stdout)).toMatchObject({
      limits: { maxActionMemory: 256, allowedKinds: ["nodejs:20", "go:1.2"] },
    });
    answers["updateNamespaceLimits"] = () => ({
      name: "guest",
      limits: { overrides: { allowedKinds: [], storeActivations: false, truncationSize: 100, maxActionInstances: 4 } },
    });
    const more = await weft("namespace limits guest --store-activations no --truncation-size 100 --instances 4");
    expect(asked.pop()?.request).toMatchObject({
      limits: { overrides: { storeActivations: false, truncationSize: 100, maxActionInstances: 4 } },
    });
    expect(more.stdout).toMatch(/truncation-size +100 bytes\n *instances +4\n *store-activations +no\n/);
    await weft("namespace limits guest --reset store-activations,truncation-size,instances");
    expect(asked.pop()?.request).toMatchObject({ clear: ["storeActivations", "truncationSize", "maxActionInstances"] });
    for (const wrong of [
      "--store-activations maybe",
      "--memory 64",
      "--memory :",
      "--memory a:b",
      "--memory 1:2:3",
      "--reset cpu",
      "--payload-size x",
    ]) {
      const refused = await weft(`namespace limits guest ${wrong}`);
      expect([wrong, refused.code, refused.stdout]).toEqual([wrong, 1, ""]);
    }
    expect(asked).toHaveLength(2);
  });

  it("key create, list and delete", async () => {
    const key = { uuid: "u2", namespace: "guest", subject: "guest", createTime: undefined };
    answers["createKey"] = () => ({ key, auth: "u2:k2" });
    answers["listKeys"] = () => ({ keys: [key] });
    answers["deleteKey"] = () => ({});
    expect((await weft("key create")).stdout).toBe("u2:k2\n");
    expect((await weft("key list")).stdout).toBe("u2\tguest\tguest\t\t\n");
    expect((await weft("key delete u2")).stderr).toBe("revoked key u2\n");
  });

  const aPackage = {
    namespace: "guest",
    version: "0.0.1",
    publish: false,
    parameters: [],
    annotations: [],
    actions: [],
    feeds: [],
  };

  it("package bind names the package as it is written, and what is handed to its actions", async () => {
    const binding = { namespace: "whisk.system", name: "utils" };
    answers["createPackage"] = () => ({ ...aPackage, name: "mine", binding });
    const { stderr } = await weft("package bind /whisk.system/utils mine --param separator ,");
    expect(stderr).toBe("bound /whisk.system/utils as mine\n");
    expect(asked[0]?.request).toMatchObject({
      package: { namespace: "_", name: "mine", binding, parameters: [{ key: "separator", valueJson: '","' }] },
    });
    await weft("package bind tools mine");
    expect(asked[1]?.request).toMatchObject({ package: { binding: { namespace: "_", name: "tools" } } });
    expect((await weft("package bind tools")).code).toBe(1);
  });

  it("package get and list show what a binding is bound to, and feeds", async () => {
    const bound = { ...aPackage, name: "mine", binding: { namespace: "whisk.system", name: "utils" } };
    answers["getPackage"] = () => ({ ...bound, actions: ["echo", "alarm"], feeds: ["alarm"] });
    answers["listPackages"] = () => ({ packages: [bound, { ...aPackage, name: "own" }], nextPageToken: "" });
    const shown = (await weft("package get mine")).stdout;
    expect(shown).toContain("bound to  /whisk.system/utils");
    expect(shown).toContain("feeds     alarm");
    expect(JSON.parse((await weft("package get mine --json")).stdout)).toMatchObject({
      binding: { namespace: "whisk.system", name: "utils" },
      feeds: ["alarm"],
    });
    const listed = (await weft("package list /whisk.system")).stdout;
    expect(listed).toContain("/guest/mine\tno\t/whisk.system/utils");
    expect(asked.at(-1)?.request).toMatchObject({ namespace: "whisk.system" });
  });

  it("package update names the switch, so that no can be told from not said", async () => {
    answers["updatePackage"] = () => ({ name: "p", version: "0.0.2", parameters: [], annotations: [], actions: [] });
    await weft("package update p --shared no");
    expect(asked[0]?.request).toMatchObject({ updateFields: ["publish"], package: { publish: false } });
    expect((await weft("package update p --shared perhaps")).code).toBe(1);
  });

  it("whoami says whose key it is", async () => {
    answers["whoAmI"] = () => ({ subject: "guest", namespace: "guest", uuid: "u", operator: true });
    expect(JSON.parse((await weft("whoami --json")).stdout)).toMatchObject({
      namespace: "guest",
      operator: true,
      grpc,
    });
  });
});

describe("weft admin, and key rotate", () => {
  const at = { seconds: 1_767_225_600, nanos: 0 };
  const key = (uuid: string, namespace: string, more: object = {}): object => ({
    uuid,
    namespace,
    subject: "alice",
    createTime: at,
    expireTime: undefined,
    ...more,
  });
  const alice = (...keys: object[]): object => ({ subject: "alice", blocked: false, blockTime: undefined, keys });

  it("user create shows the key once, as data, and takes one that there was before", async () => {
    answers["createSubject"] = () => ({ key: key("u2", "team"), auth: "u2:secret", namespaceCreated: true });
    const plain = await weft("admin user create alice team");
    expect(plain.stdout).toBe("u2:secret\n");
    expect(plain.stderr).toContain("new namespace team");
    expect(asked[0]?.request).toEqual({ subject: "alice", namespace: "team", auth: "" });
    const json = JSON.parse((await weft("admin user create alice --use u2:secret --json")).stdout) as unknown;
    expect(asked[1]?.request).toEqual({ subject: "alice", namespace: "", auth: "u2:secret" });
    expect(json).toMatchObject({ uuid: "u2", namespace: "team", auth: "u2:secret", namespaceCreated: true });
  });

  it("user get and list show subjects without secrets", async () => {
    answers["getSubject"] = () => ({ ...alice(key("u1", "alice"), key("u2", "team")), blocked: true, blockTime: at });
    answers["listSubjects"] = () => ({ subjects: [alice(key("u1", "alice"), key("u2", "team"))], nextPageToken: "" });
    const got = await weft("admin user get alice");
    expect(got.stdout).toContain("since 2026-01-01 00:00:00.000Z");
    expect(got.stdout).toContain("team  u2");
    expect((await weft("admin user list team")).stdout).toBe("alice\talice, team\t2\t\n");
    expect(asked[1]?.request).toMatchObject({ namespace: "team" });
    expect(JSON.parse((await weft("admin user list --json")).stdout)).toMatchObject([{ subject: "alice" }]);
  });

  it("user whois sends only what is before the colon", async () => {
    answers["whoIs"] = () => ({ key: key("u1", "alice"), blocked: false, operator: true });
    expect((await weft("admin user whois u1:secret")).stdout).toMatch(/operator +yes/);
    expect(asked[0]?.request).toEqual({ uuid: "u1" });
  });

  it("user block, unblock and delete say what became of it", async () => {
    answers["blockSubject"] = () => alice(key("u1", "alice"));
    answers["unblockSubject"] = () => alice(key("u1", "alice"));
    answers["deleteSubject"] = () => ({ keys: 2, deletedNamespaces: ["a"], keylessNamespaces: ["b"] });
    expect((await weft("admin user block alice")).stderr).toContain("within a second");
    expect((await weft("admin user unblock alice")).stderr).toContain("unblocked alice");
    const deleted = (await weft("admin user delete alice --with-namespaces")).stderr;
    expect(asked[2]?.request).toEqual({ subject: "alice", namespace: "", withNamespaces: true });
    for (const said of ["revoked 2 keys", "deleted namespace a", "weft namespace delete b"]) {
      expect(deleted).toContain(said);
    }
  });

  it("says who was probably meant", async () => {
    answers["blockSubject"] = fails(new WeftError("notFound", "SUBJECT_NOT_FOUND", "no subject alcie"));
    answers["listSubjects"] = () => ({ subjects: [alice(key("u1", "alice"))], nextPageToken: "" });
    const ran = await weft("admin user block alcie");
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain("did you mean alice?");
  });

  it("key rotate replaces the key that is used, or another, with a grace", async () => {
    answers["rotateKey"] = ({ graceSeconds }: { graceSeconds: number }) => ({
      key: key("u9", "guest"),
      auth: "u9:secret",
      oldExpireTime: graceSeconds > 0 ? at : undefined,
    });
    const now = await weft("key rotate");
    expect(now).toMatchObject({ stdout: "u9:secret\n", stderr: expect.stringContaining("is revoked") as unknown });
    expect(asked[0]?.request).toEqual({ namespace: "_", uuid: "_", graceSeconds: 0 });
    expect((await weft("key rotate u1 --grace 24h -n team")).stderr).toContain("works until 2026-01-01");
    expect(asked[1]?.request).toEqual({ namespace: "team", uuid: "u1", graceSeconds: 86_400 });
    const wrong = await weft("key rotate --grace soon");
    expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining("90s, 30m, 24h") as unknown });
  });

  it("admin key rotate takes the subject's newest key that stays, and asks which when there are several", async () => {
    const expiring = key("u3", "alice", { expireTime: at });
    answers["getSubject"] = () => alice(expiring, key("u1", "alice"));
    answers["rotateKey"] = () => ({ key: key("u9", "alice"), auth: "u9:secret", oldExpireTime: undefined });
    await weft("admin key rotate alice");
    expect(asked[1]?.request).toMatchObject({ namespace: "alice", uuid: "u1" });
    answers["getSubject"] = () => alice(key("u1", "alice"), key("u2", "team"));
    const unclear = await weft("admin key rotate alice");
    expect(unclear).toMatchObject({ code: 1, stderr: expect.stringContaining("alice, team") as unknown });
    await weft("admin key rotate alice team");
    expect(asked.at(-1)?.request).toMatchObject({ namespace: "team", uuid: "u2" });
  });

  it("limits set, get and delete", async () => {
    const limits = { invocationsPerMinute: 6_000, firesPerMinute: 600, concurrentInvocations: 100 };
    answers["getNamespace"] = () => ({ name: "team", limits });
    answers["updateNamespaceLimits"] = () => ({ name: "team", limits: { ...limits, concurrentInvocations: 5 } });
    answers["resetNamespaceLimits"] = () => ({ name: "team", limits });
    expect((await weft("admin limits get team")).stdout).toContain("concurrent       100");
    expect((await weft("admin limits set team --concurrent 5")).stdout).toContain("concurrent       5");
    expect((await weft("admin limits delete team")).stdout).toContain("concurrent       100");
    expect(asked[2]).toMatchObject({ rpc: "resetNamespaceLimits", request: { namespace: "team" } });
    expect(await weft("admin limits set team")).toMatchObject({ code: 1 });
  });

  it("seal says what is encrypted now, and what may go", async () => {
    answers["sealParameters"] = () => ({ lists: 3, keyId: "k2", unusedKeyIds: ["k1"] });
    const { stderr } = await weft("admin seal");
    expect(stderr).toContain("encrypted with key k2; 3 lists");
    expect(stderr).toContain("nothing needs k1");
  });

  it("helps with its verbs of two words, and says what is wrong with them", async () => {
    expect((await weft("admin --help")).stdout).toMatch(/user[^]*key[^]*limits[^]*seal/);
    expect((await weft("admin user --help")).stdout).toMatch(/create[^]*whois[^]*unblock/);
    expect((await weft("admin user create --help")).stdout).toContain("weft admin user create alice@example.org team");
    expect(await weft("admin user crate alice")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("create") as unknown,
    });
    const bash = (await weft("completion bash")).stdout;
    expect(bash).toContain('"admin user") words="create get list delete whois block unblock" ;;');
    expect(bash).toMatch(/"admin limits set"\) words="[^"]*--fires-per-minute/);
    expect((await weft("completion fish")).stdout).toContain(
      "'__fish_seen_subcommand_from admin; and __fish_seen_subcommand_from user;",
    );
  });
});

describe("weft api", () => {
  const api = (more: Partial<Api> = {}): Api =>
    Api.fromPartial({
      namespace: "guest",
      basePath: "/hello",
      name: "Hello",
      cors: true,
      tenantId: "t",
      urlPath: "/api/t/hello",
      documentJson: Buffer.from('{"basePath":"/hello","max":9223372036854775807}'),
      operations: [
        {
          path: "/{name}",
          verb: "GET",
          operationId: "o",
          action: "/guest/hello",
          responseType: "http",
          requiresKey: true,
        },
      ],
      ...more,
    });
  const rest = { env: { WEFT_APIHOST: "http://weft.example" } };

  it("create puts an action behind a path, and prints its URL", async () => {
    answers["createOperation"] = () => api();
    const words = "api create /hello /{name} get hello --key-header X-Key --rate 100/minute --name Hello";
    expect(await weft(words, rest)).toMatchObject({
      code: 0,
      stdout: "GET http://weft.example/api/t/hello/{name}\n",
    });
    expect(asked[0]?.request).toMatchObject({
      namespace: "_",
      basePath: "/hello",
      name: "Hello",
      path: "/{name}",
      verb: "get",
      action: "hello",
      responseType: "",
      restUrl: "http://weft.example",
      unchecked: false,
      rateLimits: [{ rate: 100, unit: "minute", units: 1 }],
      keyHeader: "X-Key",
    });
  });

  it("create stores a document, JSON as it is written or YAML", async () => {
    answers["importApi"] = () => api();
    writeFileSync(join(cwd, "a.json"), '{"max": 9223372036854775807}');
    writeFileSync(join(cwd, "a.yaml"), "basePath: /hello\npaths: {}\n");
    writeFileSync(join(cwd, "bad.yaml"), "a: [");
    const sent = async (file: string): Promise<string> => {
      asked = [];
      expect((await weft(`api create --config-file ${file}`, rest)).code).toBe(0);
      return String(asked[0]?.request["documentJson"]);
    };
    expect(await sent("a.json")).toBe('{"max": 9223372036854775807}');
    expect(await sent("a.yaml")).toBe('{"basePath":"/hello","paths":{}}');
    asked = [];
    for (const words of [
      "--config-file bad.yaml",
      "--config-file none.json",
      "/a --config-file a.json",
      "/a /b",
      "/a /b get c --rate 5",
    ]) {
      expect((await weft(`api create ${words}`, rest)).code).toBe(1);
    }
    expect(asked).toEqual([]);
  });

  it("get shows an API, as JSON with every digit of its document, and saves it", async () => {
    answers["getApi"] = () => api();
    const { stdout } = await weft("api get /hello", rest);
    expect(stdout).toContain("http://weft.example/api/t/hello");
    expect(stdout).toContain("/guest/hello.http");
    expect((await weft("api get /hello --json", rest)).stdout).toContain('"max": 9223372036854775807');
    await weft("api get /hello --save out.json", rest);
    expect(readFileSync(join(cwd, "out.json"), "utf8")).toContain("9223372036854775807");
    expect(asked[0]?.request).toEqual({ namespace: "_", api: "/hello" });
  });

  it("get says what was probably meant", async () => {
    answers["getApi"] = () => {
      throw new WeftError("notFound", "API_NOT_FOUND", "API '/helo' does not exist");
    };
    answers["listApis"] = () => ({ apis: [api()], nextPageToken: "" });
    const { code, stderr } = await weft("api get /helo", rest);
    expect(code).not.toBe(0);
    expect(stderr).toContain("did you mean /hello?");
  });

  it("list and delete", async () => {
    answers["listApis"] = () => ({ apis: [api()], nextPageToken: "" });
    answers["deleteApi"] = () => ({});
    expect((await weft("api list", rest)).stdout.split("\n")[0]?.split("\t")).toEqual([
      "Hello",
      "GET",
      "/guest/hello.http",
      "yes",
      "http://weft.example/api/t/hello/{name}",
    ]);
    expect((await weft("api delete /hello /a get")).stderr).toContain("deleted GET /a of API /hello");
    expect((await weft("api delete /hello")).stderr).toContain("deleted API /hello");
    expect(asked.at(-2)?.request).toEqual({ namespace: "_", api: "/hello", path: "/a", verb: "get", etag: "" });
  });

  it("key create prints the secret alone; list, delete, and what is neither", async () => {
    const key = { id: "1", namespace: "guest", basePath: "/hello", note: "app", createTime: undefined };
    answers["createApiKey"] = () => ({ key, secret: "s3cret" });
    answers["listApiKeys"] = () => ({ keys: [key] });
    answers["deleteApiKey"] = () => ({});
    expect((await weft(["api", "key", "create", "/hello", "--note", "app"])).stdout).toBe("s3cret\n");
    expect(asked[0]?.request).toEqual({ namespace: "_", api: "/hello", note: "app" });
    expect((await weft("api key list /hello")).stdout).toContain("1\tapp");
    expect((await weft("api key delete /hello 1")).code).toBe(0);
    expect(asked.at(-1)?.request).toEqual({ namespace: "_", api: "/hello", id: "1" });
    expect((await weft("api key delete /hello")).code).toBe(1);
    expect((await weft("api key rotate /hello")).code).toBe(1);
  });
});

describe("weft status", () => {
  const state = ClusterStatus.fromPartial({
    version: "0.1.0",
    queued: 2,
    members: [{ role: "gateway", id: "gateway-1", address: "127.0.0.1:3232", bootId: "b" }],
    invokers: [
      {
        id: "invoker-1",
        driver: "process",
        memoryMb: 4_096,
        freeMb: 3_840,
        caveats: ["child processes: no isolation"],
        sandboxes: [
          { number: 1, state: "warm", action: "guest/hello", kind: "nodejs:20", memoryMb: 256, idleMs: 1_500 },
        ],
      },
    ],
  });

  it("shows roles, invokers and sandboxes", async () => {
    answers["getStatus"] = () => state;
    const { stdout } = await weft("status", { tty: true });
    for (const text of [
      "gateway-1",
      "invoker-1",
      "1 warm",
      "guest/hello",
      "2 durable requests",
      "1.5 s",
      "! invoker-1: child processes: no isolation",
    ]) {
      expect(stdout).toContain(text);
    }
    expect(JSON.parse((await weft("status --json")).stdout)).toMatchObject({
      members: [{ role: "gateway", id: "gateway-1" }],
      invokers: [
        {
          id: "invoker-1",
          caveats: ["child processes: no isolation"],
          sandboxes: [{ number: 1, state: "warm", action: "guest/hello" }],
        },
      ],
      queued: 2,
    });
  });

  it("says what is refused with exit code 2", async () => {
    answers["getStatus"] = fails(new WeftError("permissionDenied", "NOT_OPERATOR", "only the operator may"));
    const ran = await weft("status");
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain("PERMISSION_DENIED (NOT_OPERATOR)");
  });
});

describe("weft", () => {
  it.each([
    ["acton", "did you mean action?"],
    ["action crate x", "did you mean create?"],
    ["action invoke hello --parm x", "did you mean --param?"],
    ["action get", "missing required argument 'NAME'"],
    ["action get a b", "too many arguments"],
    ["action invoke hello --param x", "--param KEY VALUE"],
  ])("%s: says what is wrong and where the help is", async (words, message) => {
    const ran = await weft(words);
    expect(ran.code).toBe(1);
    expect(ran.stdout).toBe("");
    expect(ran.stderr).toContain(message);
    expect(ran.stderr).toMatch(/run +weft .*--help/);
  });

  it("helps with everything, without asking anybody", async () => {
    const all = await weft("--help");
    expect(all.code).toBe(0);
    for (const word of [
      "action",
      "activation",
      "trigger",
      "rule",
      "dev",
      "up",
      "down",
      "status",
      "doctor",
      "completion",
    ]) {
      expect(all.stdout).toContain(word);
    }
    const one = await weft("action invoke --help");
    expect(one.stdout).toContain("--param KEY VALUE");
    expect(one.stdout).toContain("weft action invoke hello --param name Ada --result");
    expect((await weft("--version")).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it("says what to do without a key, and without a Weft", async () => {
    const keyless = await weft("whoami", { env: { WEFT_AUTH: "" } });
    expect(keyless).toMatchObject({ code: 1 });
    expect(keyless.stderr).toContain("error WEFT-1005");
    expect(keyless.stderr).toContain("weft dev");
    const alone = await weft("whoami --grpc 127.0.0.1:1");
    expect(alone).toMatchObject({ code: 3 });
    expect(alone.stderr).toContain("no Weft answers at 127.0.0.1:1");
    expect(alone.stderr).toContain("weft doctor");
  });

  it.each(["bash", "zsh", "fish"])("completion %s knows every command", async (shell) => {
    const { stdout, code } = await weft(`completion ${shell}`);
    expect(code).toBe(0);
    for (const word of ["activation", "invoke", "whoami", "param-file"]) expect(stdout).toContain(word);
  });

  it("completion of another shell is refused with those there are", async () => {
    expect((await weft("completion tcsh")).stderr).toContain("bash, zsh or fish");
  });

  it("doctor says what is wrong, each with what mends it", async () => {
    answers["whoAmI"] = () => ({ subject: "guest", namespace: "guest", uuid: "u", operator: false });
    const ran = await weft("doctor --json --apihost http://127.0.0.1:1");
    expect(ran.code).toBe(1);
    const { findings } = JSON.parse(ran.stdout) as { findings: { what: string; state: string; fix?: string }[] };
    expect(findings).toContainEqual(expect.objectContaining({ what: "gRPC", state: "ok" }));
    expect(findings).toContainEqual(expect.objectContaining({ what: "key", state: "ok" }));
    expect(findings).toContainEqual(expect.objectContaining({ what: "REST", state: "wrong" }));
    for (const finding of findings) if (finding.state !== "ok") expect(finding.fix).toBeTruthy();
  });
});
