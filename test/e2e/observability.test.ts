// What an installation says about itself while it works: one trace per call from its caller into user code, metrics that
// move as they should, readiness of every role, and logs that hold no secret.

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GetActivationRequest } from "../../internal/gen/weft/activation/v1/activation.pb.js";
import { CreateActionRequest, GetActionRequest } from "../../internal/gen/weft/action/v1/action.pb.js";
import { CallRequest, type InvokeResponse } from "../../internal/gen/weft/invoke/v1/invoke.pb.js";
import { CreateRuleRequest } from "../../internal/gen/weft/rule/v1/rule.pb.js";
import { CreateTriggerRequest } from "../../internal/gen/weft/trigger/v1/trigger.pb.js";
import { GrpcNetwork } from "../../internal/rpc/channel.js";
import { PublicClient, refusalOf, services } from "../harness/client.js";
import { eventually } from "../harness/eventually.js";
import type { Fabric } from "../harness/fabric.js";
import { http } from "../harness/http.js";
import { OtlpCollector, type CollectedSpan } from "../harness/otlp-collector.js";
import { parseExposition, type Exposition } from "../harness/prometheus.js";
import { describeWith, serviceAddress } from "../harness/services.js";
import { openFabric, UP_SERVICES, type OpenFabric } from "./fabrics.js";

const TRACED_JS = `exports.main = (params, context) => ({
  environment: process.env.WEFT_TRACEPARENT, context: context.traceparent, activation: process.env.__OW_ACTIVATION_ID,
});\n`;
const TRACED_PY = `import os
def main(params, context):
    return {"environment": os.environ["WEFT_TRACEPARENT"], "context": context.traceparent,
            "activation": os.environ["__OW_ACTIVATION_ID"]}\n`;
/** No stem cell has so little: the first call of an action is a cold one. */
const COLD = { memoryMb: 128 };
/** Spans travel in batches, every 2 s. */
const SPANS_WITHIN_MS = 15_000;

interface Seen {
  readonly environment: string;
  readonly context: string;
  readonly activation: string;
}

describe("dev", () => observed("dev"));
describeWith(UP_SERVICES, "up", () => observed("up"));

function observed(mode: "dev" | "up"): void {
  let open: OpenFabric;
  let fabric: Fabric;
  let client: PublicClient;
  let collector: OtlpCollector;
  let traces = 0;

  beforeAll(async () => {
    collector = await OtlpCollector.start();
    const env = { WEFT_OTLP_ENDPOINT: collector.endpoint, WEFT_TRACE_RATIO: "0", WEFT_LOG_LEVEL: "debug" };
    open = await openFabric({ mode, invokers: 2, env });
    ({ fabric } = open);
    client = new PublicClient(fabric.grpc, fabric.authorization);
    await client.raiseLimits("guest");
    await client.createAction("hello", "exports.main = () => ({ hello: true });\n");
    await client.createAction("fails", "exports.main = () => ({ error: 'no' });\n", COLD);
    await client.createAction("broken", 'throw new Error("it does not load");\n', COLD);
    await client.call(
      services.trigger.createTrigger,
      CreateTriggerRequest.fromPartial({ trigger: { namespace: "_", name: "tick" } }),
    );
    const rule = { namespace: "_", name: "link", trigger: "tick", action: "hello" };
    await client.call(services.rule.createRule, CreateRuleRequest.fromPartial({ rule }));
  });

  afterAll(async () => {
    client.close();
    await open.close();
    await collector.stop();
  });

  const newTrace = (sampled = true): { readonly traceId: string; readonly parent: string; readonly header: string } => {
    const traceId = `${(traces += 1)}`.padStart(4, "0") + "7651916cd43dd8448eb211c80319";
    const parent = "b7ad6b7169203331";
    return { traceId, parent, header: `00-${traceId}-${parent}-${sampled ? "01" : "00"}` };
  };

  const invoke = async (action: string, traceparent: string, blocking = true): Promise<InvokeResponse> => {
    const network = new GrpcNetwork({ clusterKey: "" });
    try {
      return await network.unary(
        fabric.grpc,
        services.invoke.invoke,
        { namespace: "_", action, paramsJson: '{"a":1}', blocking, waitMs: 0 },
        { deadlineMs: 60_000, headers: { authorization: fabric.authorization, traceparent } },
      );
    } finally {
      network.close();
    }
  };

  /** Spans of a trace by name, once there are so many. */
  const spansOf = (traceId: string, names: readonly string[]): Promise<readonly CollectedSpan[]> =>
    eventually(
      () => {
        const spans = collector.of(traceId);
        expect(spans.map((span) => span.name).sort()).toEqual([...names].sort());
        return spans;
      },
      { withinMs: SPANS_WITHIN_MS },
    );
  const named = (spans: readonly CollectedSpan[], name: string): CollectedSpan => {
    const span = spans.find((one) => one.name === name);
    if (!span) throw new Error(`no span ${name}`);
    return span;
  };
  const service = (role: string): string => (mode === "dev" ? "weft-dev" : `weft-${role}`);

  describe("a trace", () => {
    it.each([
      ["JavaScript", "traced-js", "nodejs:default", TRACED_JS],
      ["Python", "traced-py", "python:default", TRACED_PY],
    ])(
      "goes from the caller through gateway and invoker into %s, and into the record",
      async (_what, name, kind, code) => {
        await client.createAction(name, code, { kind, ...COLD });
        const cold = newTrace();
        const { activation, activationId } = await invoke(name, cold.header);
        const spans = await spansOf(cold.traceId, [
          "activation.invoke",
          "activation.queue",
          "sandbox.start",
          "sandbox.init",
          "activation.run",
        ]);

        const server = named(spans, "activation.invoke");
        expect(server).toMatchObject({
          service: service("gateway"),
          kind: 2,
          parentSpanId: cold.parent,
          attributes: {
            "weft.action": `guest/${name}`,
            "weft.activation_id": activationId,
            "weft.namespace": "guest",
            "weft.outcome": "success",
          },
        });
        for (const inside of ["activation.queue", "sandbox.start", "sandbox.init", "activation.run"]) {
          expect(named(spans, inside)).toMatchObject({ parentSpanId: server.spanId });
        }
        expect(named(spans, "activation.queue").service).toBe(service("gateway"));
        for (const inside of ["sandbox.start", "sandbox.init", "activation.run"]) {
          expect(named(spans, inside).service).toBe(service("invoker"));
        }
        // Each where it belongs: the start within the waiting, then init, then the run, all within the call.
        const order = ["sandbox.start", "sandbox.init", "activation.run"].map((one) => named(spans, one));
        for (const [i, span] of order.entries()) {
          expect(span.endNs).toBeGreaterThanOrEqual(span.startNs);
          const before = order[i - 1];
          if (before) expect(span.startNs).toBeGreaterThanOrEqual(before.endNs - 2_000_000n);
          expect(span.startNs).toBeGreaterThanOrEqual(server.startNs - 2_000_000n);
          expect(span.endNs).toBeLessThanOrEqual(server.endNs + 2_000_000n);
        }
        expect(named(spans, "activation.run").attributes).toMatchObject({ "weft.activation_id": activationId });

        // User code continues the trace below its own run.
        const run = named(spans, "activation.run");
        const handedOn = `00-${cold.traceId}-${run.spanId}-01`;
        expect(JSON.parse(activation?.resultJson ?? "{}")).toEqual({
          environment: handedOn,
          context: handedOn,
          activation: activationId,
        } satisfies Seen);
        expect(activation?.traceId).toBe(cold.traceId);
        expect((await client.record(activationId)).traceId).toBe(cold.traceId);

        const warm = newTrace();
        const again = await invoke(name, warm.header);
        const fewer = await spansOf(warm.traceId, ["activation.invoke", "activation.queue", "activation.run"]);
        expect((JSON.parse(again.activation?.resultJson ?? "{}") as Seen).environment).toBe(
          `00-${warm.traceId}-${named(fewer, "activation.run").spanId}-01`,
        );
      },
    );

    it("is followed and not recorded when its caller does not sample it", async () => {
      const trace = newTrace(false);
      const { activation, activationId } = await invoke("hello", trace.header);
      expect(activation?.traceId).toBe(trace.traceId);
      expect((await client.record(activationId)).traceId).toBe(trace.traceId);
      await client.createAction("unsampled", TRACED_JS);
      const seen = JSON.parse((await invoke("unsampled", trace.header)).activation?.resultJson ?? "{}") as Seen;
      expect(seen.environment).toMatch(new RegExp(`^00-${trace.traceId}-[0-9a-f]{16}-00$`));
      expect(collector.of(trace.traceId)).toEqual([]);
    });

    it("does not begin with what is no traceparent", async () => {
      for (const header of [
        "x",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-zz-b7ad6b7169203331-01",
      ]) {
        expect((await invoke("hello", header)).activation?.resultJson).toBe('{"hello":true}');
      }
    });

    it("comes along over /v1 and OpenWhisk's paths", async () => {
      const ask = (path: string, traceparent: string, body = "{}") =>
        http(fabric.rest, path, {
          method: "POST",
          headers: { authorization: fabric.authorization, "content-type": "application/json", traceparent },
          body,
        });
      for (const [path, body] of [
        ["/v1/namespaces/_/actions/hello:invoke", '{"blocking":true}'],
        ["/v1/namespaces/_/actions/hello:call", "{}"],
        ["/api/v1/namespaces/_/actions/hello?blocking=true", "{}"],
      ] as const) {
        const trace = newTrace();
        const answer = await ask(path, trace.header, body);
        expect(answer.status, answer.body).toBe(200);
        const spans = await eventually(
          () => {
            const some = collector.of(trace.traceId);
            expect(some.map(({ name }) => name)).toEqual(
              expect.arrayContaining(["activation.invoke", "activation.run"]),
            );
            return some;
          },
          { withinMs: SPANS_WITHIN_MS },
        );
        expect(named(spans, "activation.invoke").parentSpanId).toBe(trace.parent);
      }
    });

    it("goes through the queue of a request that nobody waits for, and through a trigger", async () => {
      const trace = newTrace();
      const { activationId } = await invoke("hello", trace.header, false);
      const spans = await spansOf(trace.traceId, ["activation.submit", "activation.queue", "activation.run"]);
      expect(named(spans, "activation.submit")).toMatchObject({
        service: service("gateway"),
        kind: 2,
        parentSpanId: trace.parent,
      });
      expect(named(spans, "activation.queue").service).toBe(service("controller"));
      expect((await client.record(activationId)).traceId).toBe(trace.traceId);

      const fired = newTrace();
      const network = new GrpcNetwork({ clusterKey: "" });
      const headers = { authorization: fabric.authorization, traceparent: fired.header };
      const fire = await network.unary(
        fabric.grpc,
        services.invoke.fire,
        { namespace: "_", trigger: "tick", paramsJson: "{}" },
        { deadlineMs: 30_000, headers },
      );
      network.close();
      const below = await spansOf(fired.traceId, ["trigger.fire", "activation.queue", "activation.run"]);
      expect(named(below, "trigger.fire").parentSpanId).toBe(fired.parent);
      const record = await client.call(
        services.activation.getActivation,
        GetActivationRequest.fromPartial({ namespace: "_", activationId: fire.activationId }),
      );
      expect(record.traceId).toBe(fired.traceId);
    });

    it("has the rpcs of entities, and says which of them failed and why", async () => {
      const trace = newTrace();
      const network = new GrpcNetwork({ clusterKey: "" });
      const headers = { authorization: fabric.authorization, traceparent: trace.header };
      const request = GetActionRequest.fromPartial({ namespace: "_", name: "nobody" });
      await refusalOf(network.unary(fabric.grpc, services.action.getAction, request, { deadlineMs: 30_000, headers }));
      network.close();
      const [span] = await spansOf(trace.traceId, ["weft.action.v1.ActionService/GetAction"]);
      expect(span).toMatchObject({
        kind: 2,
        parentSpanId: trace.parent,
        attributes: { "error.type": "ENTITY_NOT_FOUND", "weft.kind": "notFound" },
      });
    });
  });

  /** Files that hold what the installation said. */
  const logs = (): readonly string[] => {
    const dir = mode === "dev" ? fabric.stateDir : join(fabric.stateDir, "log");
    return readdirSync(dir)
      .filter((name) => name.endsWith(".log"))
      .map((name) => join(dir, name));
  };

  /** Where each process says what it is like; "admin" of its line `ready`. */
  const admins = (): ReadonlyMap<string, string> => {
    const found = new Map<string, string>();
    for (const file of logs()) {
      for (const line of readFileSync(file, "utf8").split("\n")) {
        if (!line.startsWith("{")) continue;
        const { msg, id, admin } = JSON.parse(line) as {
          readonly msg: string;
          readonly id: string;
          readonly admin?: string;
        };
        if (msg === "ready" && admin !== undefined) found.set(id, `http://${admin}`);
      }
    }
    return found;
  };
  const roles = mode === "dev" ? ["dev"] : ["controller-1", "gateway-1", "invoker-1", "invoker-2", "scheduler-1"];

  const scrape = async (): Promise<ReadonlyMap<string, Exposition>> => {
    const all = new Map<string, Exposition>();
    for (const [id, admin] of admins()) {
      const { status, headers, body } = await http(admin, "/metrics");
      expect([status, headers["content-type"]]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"]);
      all.set(id, parseExposition(body));
    }
    return all;
  };
  /** Over all processes. */
  const total = (all: ReadonlyMap<string, Exposition>, name: string, labels = {}): number =>
    [...all.values()].reduce((sum, one) => sum + one.sum(name, labels), 0);

  describe("metrics", () => {
    it("of every process can be scraped, and name the role that they are of", async () => {
      const all = await scrape();
      expect([...all.keys()].sort().map((id) => id.replace(/^dev.*/, "dev"))).toEqual(roles);
      for (const [id, { types }] of all) {
        const role = id.replace(/-\d+$/, "");
        const prefixes = mode === "dev" ? ["gateway", "controller", "scheduler", "invoker"] : [role];
        for (const prefix of prefixes) {
          expect([...types.keys()].filter((name) => name.startsWith(`weft_${prefix}_`)).length).toBeGreaterThan(5);
        }
        expect([...types.keys()]).toEqual(
          expect.arrayContaining(["process_resident_memory_bytes", "nodejs_eventloop_lag_p99_seconds"]),
        );
        for (const name of types.keys()) expect(name).toMatch(/^(weft|process|nodejs)_/);
      }
    });

    it("count activations by outcome and by how their sandbox came, once each", async () => {
      const before = await scrape();
      const moved =
        (name: string, labels = {}) =>
        async (): Promise<number> =>
          total(await scrape(), name, labels) - total(before, name, labels);
      const ids: string[] = [];
      const run = async (action: string, times: number): Promise<void> => {
        for (let i = 0; i < times; i++) ids.push((await client.invoke(action)).activationId);
      };
      await client.createAction("counted", "exports.main = () => ({});\n", COLD);
      await run("counted", 5);
      await run("fails", 3);
      await run("broken", 2);
      const durable = await client.submit("counted");
      for (const id of [...ids, durable]) await client.record(id);
      await refusalOf(client.invoke("nobody"));

      const gateway = "weft_gateway_invocations_total";
      const cases: readonly (readonly [name: string, labels: Record<string, string>, moved: number])[] = [
        [gateway, { outcome: "success" }, 5],
        [gateway, { outcome: "success", start: "cold" }, 1],
        [gateway, { outcome: "success", start: "warm" }, 4],
        [gateway, { outcome: "applicationError" }, 3],
        [gateway, { outcome: "developerError" }, 2],
        [gateway, { outcome: "developerError", start: "cold" }, 2],
        ["weft_gateway_submitted_total", {}, 1],
        ["weft_gateway_requests_total", { rpc: "weft.invoke.v1.InvokeService/Invoke", kind: "ok" }, 11],
        ["weft_gateway_requests_total", { rpc: "weft.invoke.v1.InvokeService/Invoke", kind: "notFound" }, 1],
        ["weft_gateway_overhead_seconds_count", {}, 10],
        ["weft_invoker_run_seconds_count", { outcome: "success" }, 6],
        ["weft_invoker_run_seconds_count", { outcome: "applicationError" }, 3],
        ["weft_invoker_run_seconds_count", { outcome: "developerError" }, 2],
        ["weft_invoker_records_total", {}, 11],
        ["weft_controller_records_total", { outcome: "success" }, 6],
        ["weft_controller_records_total", { outcome: "applicationError" }, 3],
        ["weft_controller_records_total", { outcome: "developerError" }, 2],
        ["weft_controller_accepted_requests_total", {}, 1],
        ["weft_invoker_spool_drops_total", {}, 0],
        ["weft_invoker_nacks_total", { reason: "badToken" }, 0],
      ];
      await eventually(async () => {
        const now = await scrape();
        const said = cases.map(([name, labels]) => [
          name,
          labels,
          total(now, name, labels) - total(before, name, labels),
        ]);
        expect(said).toEqual(cases);
      });
      // Nothing is left behind.
      await eventually(async () => {
        const now = await scrape();
        for (const gauge of [
          "weft_gateway_in_flight_activations",
          "weft_gateway_waiting_activations",
          "weft_controller_queue_requests",
          "weft_controller_queue_unsettled_requests",
          "weft_invoker_calls",
          "weft_invoker_spool_items",
          "weft_scheduler_wishes_waiting",
        ]) {
          expect([gauge, total(now, gauge)]).toEqual([gauge, 0]);
        }
      });
      expect(await moved("weft_scheduler_grants_total")()).toBeGreaterThan(0);
      expect(await moved("weft_scheduler_starts_total", { result: "ready" })()).toBeGreaterThan(0);
    });
  });

  it("every process is alive and ready, part by part, and shows its state", async () => {
    const found = admins();
    expect(found.size).toBe(roles.length);
    for (const [id, admin] of found) {
      expect((await http(admin, "/healthz")).body).toBe("ok\n");
      const ready = await http(admin, "/readyz");
      const said = ready.json() as { readonly ready: boolean; readonly checks: Readonly<Record<string, string>> };
      expect([ready.status, said.ready, new Set(Object.values(said.checks))]).toEqual([200, true, new Set(["ready"])]);
      const expectedParts = mode === "dev" ? ["gateway", "controller", "invoker"] : [id.replace(/-\d+$/, "")];
      expect(Object.keys(said.checks)).toEqual(expect.arrayContaining(["process", ...expectedParts]));
      const debug = await http(admin, "/debug");
      expect([debug.status, typeof debug.json()]).toEqual([200, "object"]);
      expect((await http(admin, "/metrics", { method: "POST" })).status).toBe(405);
      expect((await http(admin, "/nothing")).status).toBe(404);
    }
  });

  it("logs are JSON of known shape, for their owner only, and of what happened", () => {
    const words = new Set<string>();
    for (const file of logs()) {
      expect([file, statSync(file).mode & 0o077]).toEqual([file, 0]);
      if (mode === "dev" || file.endsWith("envoy.log")) continue;
      for (const line of readFileSync(file, "utf8").split("\n")) {
        if (!line.startsWith("{")) continue;
        const said = JSON.parse(line) as Readonly<Record<string, unknown>>;
        expect(Object.keys(said)).toEqual(expect.arrayContaining(["ts", "level", "msg", "component", "role", "id"]));
        words.add(String(said["level"]));
      }
    }
    if (mode === "up") expect([...words].sort()).toEqual(expect.arrayContaining(["debug", "info"]));
    expect([...words]).not.toContain("error");
  });

  it("no log, metric or state page has a secret after a busy session, with everything logged", async () => {
    const secret = (name: string): string => `hush-${name}-${"0123456789abcdef".repeat(2)}`;
    const secrets = new Map<string, string>();
    const hush = (name: string): string => {
      secrets.set(name, secret(name));
      return secret(name);
    };
    const rest = (method: string, path: string, body?: unknown, authorization = fabric.authorization) =>
      http(fabric.rest, path, {
        method,
        headers: { authorization, "content-type": "application/json", "x-api-key": hush("request header") },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      });

    // Values of parameters, in entities and in calls, of code that works, fails, cannot be loaded, and takes too long.
    const parameters = [
      { key: "password", valueJson: JSON.stringify(hush("default parameter")), init: false },
      { key: "TOKEN", valueJson: JSON.stringify(hush("init parameter")), init: true },
    ];
    const actions = {
      works: "exports.main = (p) => ({ p });",
      throws: "exports.main = (p) => { throw new Error(p.argument); };",
      exits: "exports.main = () => process.exit(1);",
      late: "exports.main = () => new Promise(() => {});",
      prints: "exports.main = (p) => { console.log(p.argument); console.error(process.env.TOKEN); return {}; };",
      "cannot load": `exports.main = () => { ${hush("code")} is not JavaScript`,
    };
    for (const [name, code] of Object.entries(actions)) {
      const action = {
        namespace: "_",
        name,
        exec: { kind: "nodejs:20", code: Buffer.from(code) },
        parameters,
        annotations: [{ key: "note", valueJson: JSON.stringify(hush("annotation")) }],
        limits: { timeoutMs: 500 },
      };
      await client.call(
        services.action.createAction,
        CreateActionRequest.fromPartial({ action, keepFailedBuild: true }),
      );
      const { activationId } = await client.invoke(name, { argument: hush("argument") });
      const durable = await client.submit(name, { argument: hush("durable argument") });
      for (const id of [activationId, durable]) await client.record(id);
      const call = CallRequest.fromPartial({
        namespace: "_",
        action: name,
        params: { data: Buffer.from(JSON.stringify({ argument: hush("bare argument") })) },
      });
      await client.call(services.invoke.call, call).catch(() => undefined);
      await rest("POST", `/api/v1/namespaces/_/actions/${encodeURIComponent(name)}?blocking=true`, {
        argument: hush("OpenWhisk argument"),
      });
    }
    await client.call(services.invoke.fire, {
      namespace: "_",
      trigger: "tick",
      paramsJson: JSON.stringify({ argument: hush("payload") }),
    });
    // What is refused is told to whoever sent it, and to nobody else.
    await rest("POST", "/api/v1/namespaces/_/actions/works", `{"argument":"${hush("broken body")}"`);
    await rest("POST", "/v1/namespaces/_/actions", `{"name":"${hush("broken request")}`);
    const wrongKey = hush("wrong key").replaceAll("-", "").padEnd(64, "x").slice(0, 64);
    secrets.set("wrong key", wrongKey);
    const strange = `Basic ${Buffer.from(`${fabric.auth.slice(0, 36)}:${wrongKey}`).toString("base64")}`;
    expect((await rest("GET", "/api/v1/namespaces", undefined, strange)).status).toBe(401);
    const stranger = new PublicClient(fabric.grpc, strange);
    expect((await refusalOf(stranger.invoke("works"))).kind).toBe("unauthenticated");
    stranger.close();
    // Keys that were made here.
    const made = await fabric.ok("namespace", "create", "secretive", "--json");
    const { auth } = JSON.parse(made) as { readonly auth: string };
    secrets.set("key of a new namespace", auth.slice(37));
    const other = new PublicClient(fabric.grpc, `Bearer ${auth}`);
    await other.createAction("mine", "exports.main = () => ({});");
    await other.invoke("mine");
    other.close();

    // And those of the installation.
    secrets.set("operator's key", fabric.auth.slice(37));
    secrets.set("operator's credentials", fabric.authorization.slice("Basic ".length));
    secrets.set("cluster key", readFileSync(join(fabric.stateDir, "cluster.key"), "utf8").trim());
    const postgres = serviceAddress("postgres");
    if (mode === "up" && postgres !== undefined) secrets.set("password of Postgres", new URL(postgres).password);

    const told: string[] = [];
    for (const file of logs()) told.push(readFileSync(file, "utf8"));
    for (const admin of admins().values()) {
      for (const page of ["/metrics", "/debug", "/readyz"]) told.push((await http(admin, page)).body);
    }
    for (const span of collector.all) told.push(JSON.stringify(span.attributes), span.name);
    expect(told.filter((text) => text.includes("configuration loaded")).length).toBeGreaterThanOrEqual(roles.length);
    for (const [name, value] of secrets) {
      expect(value.length, name).toBeGreaterThan(10);
      const leak = told.find((text) => text.includes(value));
      const at = leak?.indexOf(value) ?? 0;
      expect([name, leak?.slice(Math.max(0, at - 300), at + 100)]).toEqual([name, undefined]);
    }
  });
}
