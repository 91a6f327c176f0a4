// The rows, by the ids of the performance goals. Each drives a bare reference and Weft alternately and reports ratios.

import { InvokeRequest } from "../../internal/gen/weft/invoke/v1/invoke.pb.js";
import type { Fabric } from "../harness/fabric.js";
import { cpuMs, pidsWith, type EchoServer, type LoadClient } from "./children.js";
import { coldStarts } from "./cold.js";
import { ECHO_BIDI, ECHO_UNARY, type LoadOrder, type LoadReport } from "./protocol.js";
import { median, ratioOf, type Pair, type Ratio } from "./statistics.js";

export interface BenchContext {
  readonly fabric: Fabric;
  readonly echo: EchoServer;
  readonly client: LoadClient;
  readonly pairs: number;
  readonly measureMs: number;
}

export interface RowResult extends Ratio {
  readonly unit: string;
  /** More of what was seen, for people. */
  readonly notes: readonly string[];
}

export interface Row {
  readonly id: string;
  readonly title: string;
  /** "atLeast": more is better. */
  readonly floor: { readonly kind: "atLeast" | "atMost"; readonly value: number };
  run(context: BenchContext): Promise<RowResult>;
}

/** An action that returns what it gets, loaded once and kept warm by the load itself. */
export const ECHO_ACTION = "bench-echo";
export const ECHO_CODE = "exports.main = (params) => params;\n";
const PARAMS = JSON.stringify({ text: "x".repeat(100 - '{"text":""}'.length) });

export const ROWS: readonly Row[] = [
  {
    id: "D1",
    title: "warm Invoke/s \u00f7 bare unary echo/s, the worse of 64 and 256 in flight",
    floor: { kind: "atLeast", value: 0.6 },
    run: (context) => worst(context, [64, 256], unaryCapacity),
  },
  {
    id: "D2",
    title: "warm InvokeStream items/s \u00f7 bare unary echo/s, the worse of 64 and 256 in flight",
    floor: { kind: "atLeast", value: 5 },
    run: (context) => worst(context, [64, 256], streamCapacity),
  },
  {
    id: "D4",
    title: "added p50 per internal hop, 1 in flight: (InvokeStream - bare bidi echo) / 2",
    floor: { kind: "atMost", value: 0.25 },
    run: hopLatency,
  },
  {
    id: "D5",
    title: "p99 of Invoke \u00f7 p99 of bare unary echo, open loop at half of Weft's capacity",
    floor: { kind: "atMost", value: 4 },
    run: openLoopTail,
  },
  {
    id: "C1",
    title: "cold Invoke p50 \u00f7 bare Docker create + start + ready",
    floor: { kind: "atMost", value: 1.25 },
    run: coldStarts,
  },
];

async function worst(
  context: BenchContext,
  inFlights: readonly number[],
  one: (context: BenchContext, inFlight: number) => Promise<RowResult>,
): Promise<RowResult> {
  let result: RowResult | undefined;
  const notes: string[] = [];
  for (const inFlight of inFlights) {
    const at = await one(context, inFlight);
    notes.push(
      `${inFlight} in flight: ${at.median.toFixed(3)} [${at.spread.map((r) => r.toFixed(3)).join("..")}], ${at.notes.join(", ")}`,
    );
    if (!result || at.median < result.median) result = at;
  }
  if (!result) throw new Error("nothing was measured");
  return { ...result, notes };
}

async function unaryCapacity(context: BenchContext, inFlight: number): Promise<RowResult> {
  return capacity(context, { ...invokeOrder(context), loop: { kind: "closed", inFlight } }, inFlight);
}

async function streamCapacity(context: BenchContext, inFlight: number): Promise<RowResult> {
  return capacity(context, { ...streamOrder(context), loop: { kind: "closed", inFlight } }, inFlight);
}

async function capacity(context: BenchContext, order: LoadOrder, inFlight: number): Promise<RowResult> {
  const pairs: Pair[] = [];
  const costs: ReadonlyMap<string, number>[] = [];
  for (let i = 0; i < context.pairs; i++) {
    const reference = await context.client.run({ ...echoOrder(context), loop: { kind: "closed", inFlight } });
    const { report, cpuUs } = await accounted(context, order);
    pairs.push({ reference: reference.perSecond, measured: report.perSecond });
    costs.push(new Map([...cpuUs, ["client", report.clientCpuUs]]));
  }
  const each = [...(costs[0]?.keys() ?? [])].map((name) => ({
    name,
    us: median(costs.map((cost) => cost.get(name) ?? 0)),
  }));
  const all = each.filter(({ name }) => name !== "client").reduce((sum, { us }) => sum + us, 0);
  const list = each.filter(({ us }) => us >= 0.5).map(({ name, us }) => `${name} ${us.toFixed(1)}`);
  return {
    ...ratioOf(pairs),
    unit: "calls/s",
    notes: [`CPU \u00b5s per call: ${all.toFixed(0)} (${list.join(", ")})`],
  };
}

async function hopLatency(context: BenchContext): Promise<RowResult> {
  const pairs: Pair[] = [];
  for (let i = 0; i < context.pairs; i++) {
    const loop = { kind: "closed", inFlight: 1 } as const;
    const reference = await context.client.run({
      ...echoOrder(context),
      how: { kind: "bidi", path: ECHO_BIDI, messageBase64: Buffer.from(PARAMS).toString("base64") },
      loop,
    });
    const measured = await context.client.run({ ...streamOrder(context), loop });
    pairs.push({ reference: reference.p50Ms, measured: measured.p50Ms });
  }
  // The goal is a length of time, not a ratio: it takes the ratio's place.
  const perHop = pairs.map((pair) => (pair.measured - pair.reference) / 2).sort((a, b) => a - b);
  return {
    ...ratioOf(pairs),
    median: median(perHop),
    spread: [perHop[0] as number, perHop.at(-1) as number],
    unit: "ms",
    notes: ["two internal hops: gateway to invoker, invoker to sandbox"],
  };
}

async function openLoopTail(context: BenchContext): Promise<RowResult> {
  const capacityReport = await context.client.run({ ...invokeOrder(context), loop: { kind: "closed", inFlight: 64 } });
  const perSecond = Math.max(1, Math.floor(capacityReport.perSecond / 2));
  const pairs: Pair[] = [];
  for (let i = 0; i < context.pairs; i++) {
    const reference = await context.client.run({ ...echoOrder(context), loop: { kind: "open", perSecond } });
    const measured = await context.client.run({ ...invokeOrder(context), loop: { kind: "open", perSecond } });
    pairs.push({ reference: reference.p99Ms, measured: measured.p99Ms });
  }
  return { ...ratioOf(pairs), unit: "ms", notes: [`${perSecond} calls/s on both sides`] };
}

/** Runs an order and says what it cost each process of Weft, sandboxes and the database. */
async function accounted(
  context: BenchContext,
  order: LoadOrder,
): Promise<{ readonly report: LoadReport; readonly cpuUs: ReadonlyMap<string, number> }> {
  // Sandboxes that are there after a warm-up are those that serve.
  await context.client.run({ ...order, warmupMs: 0, measureMs: 300 });
  const groups = new Map<string, readonly number[]>([
    ...context.fabric.processes().map((one) => [one.name, [one.pid]] as const),
    ["sandboxes", pidsWith("/runtime/server.")],
    ["postgres", pidsWith("postgres: ")],
  ]);
  const from = new Map([...groups].map(([name, pids]) => [name, cpuMs(pids)]));
  const report = await context.client.run({ ...order, warmupMs: 0 });
  const cpuUs = new Map(
    [...groups].map(([name, pids]) => [name, ((cpuMs(pids) - (from.get(name) ?? 0)) * 1_000) / report.calls]),
  );
  return { report, cpuUs };
}

function echoOrder(context: BenchContext): LoadOrder {
  return {
    loop: { kind: "closed", inFlight: 1 },
    how: { kind: "unary", path: ECHO_UNARY, messageBase64: Buffer.from(PARAMS).toString("base64") },
    address: context.echo.address,
    headers: {},
    warmupMs: 500,
    measureMs: context.measureMs,
  };
}

function invokeOrder(context: BenchContext): LoadOrder {
  const message = InvokeRequest.encode({
    namespace: "_",
    action: ECHO_ACTION,
    paramsJson: PARAMS,
    blocking: true,
    waitMs: 0,
  }).finish();
  return {
    ...echoOrder(context),
    how: {
      kind: "unary",
      path: "/weft.invoke.v1.InvokeService/Invoke",
      messageBase64: Buffer.from(message).toString("base64"),
    },
    address: context.fabric.grpc,
    headers: { authorization: context.fabric.authorization },
  };
}

function streamOrder(context: BenchContext): LoadOrder {
  return {
    ...echoOrder(context),
    how: { kind: "invokeStream", namespace: "_", action: ECHO_ACTION, paramsJson: PARAMS },
    address: context.fabric.grpc,
    headers: { authorization: context.fabric.authorization },
  };
}
