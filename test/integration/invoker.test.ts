// The invoker with real sandboxes and real links: a dispatcher, a scheduler, a controller's two services and the process
// driver, joined by gRPC over the loopback interface.

import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { bytesToHex, hexToBytes, newActivationId } from "../../internal/base/ids.js";
import { silentLog } from "../../internal/base/log.js";
import { MetricsRegistry } from "../../internal/base/metrics.js";
import { Scope } from "../../internal/base/scope.js";
import { noTracer } from "../../internal/base/trace.js";
import { systemClock as clock, systemRandom } from "../../internal/boot/system.js";
import { shardOf } from "../../internal/core/coordination/coordination.js";
import { MemberView } from "../../internal/core/coordination/member-view.js";
import { MemoryCoordination } from "../../internal/core/coordination/memory-coordination.js";
import type { ActionAsk, DispatchResult, DoneResult } from "../../internal/core/dispatch/call.js";
import { parseManifest } from "../../internal/core/sandbox/manifest.js";
import { Dispatcher } from "../../internal/dispatch/dispatcher.js";
import {
  CodeServiceService,
  RevisionSpec,
  type ActivationRecord,
  type FetchRevisionRequest,
  type FetchRevisionResponse,
} from "../../internal/gen/weft/link/v1/control.pb.js";
import { DiskCodeStore } from "../../internal/invoker/code-store.js";
import { GrpcCodeSource } from "../../internal/invoker/grpc-code-source.js";
import { Invoker } from "../../internal/invoker/invoker.js";
import { MemoryJournal } from "../../internal/invoker/journal.js";
import { invokerSettings } from "../../internal/invoker/settings.js";
import { ProcessDriver } from "../../internal/process/process-driver.js";
import { GrpcNetwork } from "../../internal/rpc/channel.js";
import { fleetLink, leaseLink, recordLink, workLink } from "../../internal/rpc/link-methods.js";
import { RpcServer } from "../../internal/rpc/server.js";
import { schedulerMetrics } from "../../internal/scheduler/metrics.js";
import { Scheduler, SCHEDULER_DEFAULTS } from "../../internal/scheduler/scheduler.js";
import { eventually } from "../harness/eventually.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const clusterKey = "cluster-key";
const scope = new Scope();
const random = systemRandom();
const codes = new Map<string, { readonly ask: ActionAsk; readonly code: Buffer; readonly logsMb: number }>();
const records = new Map<string, ActivationRecord>();
const scratch = mkdtempSync(join(tmpdir(), "weft-"));
let kinds: readonly string[] = [];
let dispatcher: Dispatcher;
let invoker: Invoker;

beforeAll(async () => {
  const coordination = new MemoryCoordination(clock);
  const grpc = scope.use("grpc", new GrpcNetwork({ clusterKey }), (network) => network.close());
  const server = (): RpcServer =>
    scope.use("server", new RpcServer({ log: silentLog, clock, clusterKey }), (s) => s.close(500));

  const controller = server();
  controller.serveLink(recordLink, (link) => {
    link.onItem = ({ sequence, records: batch }) => {
      for (const record of batch) records.set(bytesToHex(record.activationId), record);
      link.send({ sequence });
    };
  });
  controller.serveService(CodeServiceService, { fetchRevision });
  const address = await controller.listen("127.0.0.1:0");
  await coordination
    .connection()
    .join({ role: "controller", id: "c1", bootId: "c", address, zone: "", wireVersion: 1 }, 10_000);

  const scheduler = new Scheduler({
    id: "s1",
    bootId: "s-boot",
    coordination: coordination.connection(),
    clock,
    random,
    log: silentLog,
    metrics: schedulerMetrics(new MetricsRegistry("scheduler")),
    clusterKey,
    settings: SCHEDULER_DEFAULTS,
  });
  const schedulerServer = server();
  schedulerServer.serveLink(leaseLink, (link) => scheduler.serveLease(link));
  schedulerServer.serveLink(fleetLink, (link) => scheduler.serveFleet(link));
  await scheduler.start(await schedulerServer.listen("127.0.0.1:0"));
  scope.use("scheduler", scheduler, (s) => s.close());

  const driver = scope.use(
    "driver",
    new ProcessDriver({
      clock,
      log: silentLog,
      manifest: parseManifest(readFileSync(join(root, "runtimes/manifest.json"), "utf8")),
      runtimesDirectory: join(root, "dist/runtimes"),
      directory: join(scratch, "d"),
      bootId: "i-boot",
      path: process.env["PATH"] ?? "/usr/bin:/bin",
    }),
    (d) => d.close(),
  );
  kinds = await driver.kinds();
  const members = scope.use("members", new MemberView(coordination.connection()), (m) => m.close());
  members.start();
  const invokerServer = server();
  let accept: Invoker["accept"] = (link) => link.close();
  invokerServer.serveLink(workLink, (link) => accept(link));
  invoker = new Invoker({
    id: "i1",
    bootId: "i-boot",
    address: await invokerServer.listen("127.0.0.1:0"),
    driver,
    journal: new MemoryJournal(),
    network: grpc,
    code: new GrpcCodeSource(grpc, members),
    codeStore: new DiskCodeStore(join(scratch, "code"), 1_000_000_000, clock),
    coordination: coordination.connection(),
    clock,
    random,
    log: silentLog,
    metrics: new MetricsRegistry("invoker"),
    tracer: noTracer,
    clusterKey,
    settings: invokerSettings({
      memoryMb: 2_048,
      freezeAfterMs: 300,
      stems: [{ kind: "nodejs:20", memoryMb: 256, min: 1, max: 2 }],
    }),
  });
  accept = (link) => invoker.accept(link);
  scope.use("invoker", invoker, (i) => i.drain(1_000));
  await invoker.start();
  dispatcher = new Dispatcher({
    id: "g1",
    bootId: "g-boot",
    network: grpc,
    coordination: coordination.connection(),
    clock,
    random,
    log: silentLog,
  });
  dispatcher.start();
  scope.use("dispatcher", dispatcher, (d) => d.close());
  await eventually(() => invoker.readiness() === true && dispatcher.connected);
});

afterAll(async () => {
  expect(await scope.close()).toEqual([]);
  rmSync(scratch, { recursive: true });
});

async function fetchRevision(
  _ctx: unknown,
  { revisionId, withoutCode }: FetchRevisionRequest,
  send: (message: FetchRevisionResponse) => Promise<void>,
): Promise<void> {
  const found = codes.get(revisionId);
  if (!found) throw new Error("no such revision");
  const { ask, code, logsMb } = found;
  const codeDigest = createHash("sha256").update(code).digest("hex");
  const value = RevisionSpec.create({ ask, codeDigest, codeSize: code.length, version: "0.0.1", logsMb });
  await send({ part: { $case: "spec", value } });
  for (let at = 0; !withoutCode && at < code.length; at += 1_048_576) {
    await send({ part: { $case: "code", value: code.subarray(at, at + 1_048_576) } });
  }
}

function actionOf(code: string, options: { kind?: string; timeoutMs?: number; logsMb?: number } = {}): ActionAsk {
  const revisionId = `r${codes.size + 1}`;
  const ask: ActionAsk = {
    key: `guest/${revisionId}`,
    revisionId,
    kind: options.kind ?? "nodejs:20",
    memoryMb: 256,
    concurrency: 1,
    maxInstances: 0,
    timeoutMs: options.timeoutMs ?? 10_000,
  };
  codes.set(revisionId, { ask, code: Buffer.from(code), logsMb: options.logsMb ?? 1 });
  return ask;
}

interface Ended extends DoneResult {
  readonly result: unknown;
  readonly record: ActivationRecord;
}

async function call(ask: ActionAsk, params: unknown = {}): Promise<Ended> {
  const id = newActivationId(random, clock.wallMs());
  const ended = await new Promise<DispatchResult>((complete) => {
    const now = clock.monoMs();
    dispatcher.dispatch({
      activationId: hexToBytes(id),
      ask,
      shard: shardOf(ask.key),
      paramsJson: Buffer.from(JSON.stringify(params)),
      caller: { namespace: "guest", subject: "guest", transactionId: "t", apiKey: "", cause: "", binding: "" },
      traceparent: "",
      acceptedMonoMs: now,
      expiresMonoMs: now + 20_000,
      attempt: 0,
      beforeSend: undefined,
      complete,
    });
  });
  if (ended.kind !== "done") throw ended.error;
  const record = await eventually(() => records.get(id) ?? false);
  return { ...ended, result: JSON.parse(Buffer.from(ended.resultJson).toString()) as unknown, record };
}

const texts = (record: ActivationRecord): string[] => record.logs.map((line) => line.slice(31));

describe("an invoker with real sandboxes", () => {
  it("runs an action cold or from a stem cell, then warm, and after a pause frozen", async () => {
    const ask = actionOf('function main(params) { console.log("hi"); return { msg: "Hello, " + params.name }; }');
    const first = await call(ask, { name: "Ada" });
    expect(first).toMatchObject({ outcome: "success", result: { msg: "Hello, Ada" }, invokerId: "i1" });
    expect(["cold", "stem"]).toContain(first.startKind);
    expect(first.initMs).toBeGreaterThanOrEqual(0);
    expect(texts(first.record)).toEqual(["stdout: hi"]);
    const second = await call(ask, { name: "Bob" });
    expect(second).toMatchObject({ startKind: "warm", initMs: undefined, result: { msg: "Hello, Bob" } });
    await eventually(() => JSON.stringify(invoker.describe()).includes('"state":"frozen"'));
    const third = await call(ask, { name: "Eve" });
    expect(third).toMatchObject({ startKind: "frozen", result: { msg: "Hello, Eve" } });
  });

  it("tells errors apart, and a developer's error costs the sandbox", async () => {
    const ask = actionOf(`function main({ how }) {
      if (how === "reject") return Promise.reject({ code: 7 });
      if (how === "throw") throw new Error("boom");
      return { how };
    }`);
    expect(await call(ask, { how: "reject" })).toMatchObject({
      outcome: "applicationError",
      result: { error: { code: 7 } },
    });
    expect(await call(ask, { how: "fine" })).toMatchObject({ outcome: "success", startKind: "warm" });
    const thrown = await call(ask, { how: "throw" });
    expect(thrown).toMatchObject({ outcome: "developerError", result: { error: "An error has occurred: boom" } });
    expect(texts(thrown.record).join("\n")).toContain("Error: boom");
    const next = await call(ask, { how: "fine" });
    expect(next.initMs).toBeGreaterThanOrEqual(0);
  });

  it("contains code that does not parse, exits, and loops", async () => {
    const broken = await call(actionOf("function main( {"));
    expect(broken.outcome).toBe("developerError");
    expect(JSON.stringify(broken.result)).toContain("SyntaxError");
    const exits = await call(actionOf('function main() { console.log("last words"); process.exit(3); }'));
    expect(exits.outcome).toBe("developerError");
    expect(JSON.stringify(exits.result)).toMatch(/exited unexpectedly.*last words/);
    const loops = await call(actionOf("function main() { for (;;); }", { timeoutMs: 300 }));
    expect(loops).toMatchObject({
      outcome: "developerError",
      timedOut: true,
      result: { error: "The action exceeded its time limits of 300 milliseconds." },
    });
    expect(loops.durationMs).toBeLessThan(3_000);
  });

  it("keeps what is printed past the runtime, and cuts a flood", async () => {
    const raw = await call(
      actionOf(`const { execFileSync } = require("node:child_process");
        function main() { execFileSync("echo", ["from a child"], { stdio: "inherit" }); return {}; }`),
    );
    expect(texts(raw.record)).toEqual(["stdout: from a child"]);
    const flood = await call(
      actionOf('function main() { for (let i = 0; i < 5000; i += 1) console.log("x".repeat(1000)); return {}; }'),
    );
    expect(flood.outcome).toBe("success");
    expect(texts(flood.record).at(-1)).toMatch(/^stderr: Logs were truncated/);
  });

  it("takes code and answers as large as they may be", async () => {
    const large = actionOf(`// ${"x".repeat(5_000_000)}\nfunction main({ n }) { return { y: "y".repeat(n) }; }`);
    expect((await call(large, { n: 1_000_000 })).resultSize).toBe(1_000_008);
    const over = await call(large, { n: 2_000_000 });
    expect(over.outcome).toBe("applicationError");
    expect(JSON.stringify(over.result)).toContain("exceeded the allowed length: 2000008 > 1048576 bytes");
  });

  it("runs python too", async ({ skip }) => {
    if (!kinds.includes("python:3.11")) {
      if (process.env["CI"]) throw new Error("CI must not skip: no python here");
      skip("no python here");
    }
    const ask = actionOf('def main(args):\n    print("hi")\n    return {"msg": "Hello, " + args["name"]}\n', {
      kind: "python:3.11",
    });
    const made = await call(ask, { name: "Ada" });
    expect(made).toMatchObject({ outcome: "success", result: { msg: "Hello, Ada" } });
    expect(texts(made.record)).toEqual(["stdout: hi"]);
  });

  it("serves many at once without mixing them up", async () => {
    const ask = actionOf("async function main({ i }) { await new Promise((r) => setTimeout(r, 5)); return { i }; }");
    const ended = await Promise.all(Array.from({ length: 200 }, (_, i) => call(ask, { i })));
    expect(ended.map((one) => one.result)).toEqual(Array.from({ length: 200 }, (_, i) => ({ i })));
  });
});
