// What rows are made of: pairs of a bare reference and Weft, and what each process used.

import type { Fabric } from "../harness/fabric.js";
import { cpuMs, pidsWith, type EchoServer, type LoadClient } from "./children.js";
import type { LoadOrder, LoadReport } from "./protocol.js";
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

/** An action that returns what it gets, loaded once and kept warm by the load itself. */
export const ECHO_ACTION = "bench-echo";
export const ECHO_CODE = "exports.main = (params) => params;\n";
export const PARAMS = JSON.stringify({ text: "x".repeat(100 - '{"text":""}'.length) });

/** What is no part of Weft, although it is listed. */
const CLIENTS: ReadonlySet<string> = new Set(["client", "bare side's client"]);

export async function worst(
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

/** Runs both alternately: calls a second of Weft against those of the reference. */
export async function capacity(context: BenchContext, bare: LoadOrder, order: LoadOrder): Promise<RowResult> {
  const pairs: Pair[] = [];
  const costs: ReadonlyMap<string, number>[] = [];
  // A pair that does not count first: code is compiled on both sides.
  for (let i = -1; i < context.pairs; i++) {
    const reference = await context.client.run(bare);
    const { report, cpuUs } = await accounted(context, order);
    if (i < 0) continue;
    pairs.push({ reference: reference.perSecond, measured: report.perSecond });
    costs.push(new Map([...cpuUs, ["client", report.clientCpuUs], ["bare side's client", reference.clientCpuUs]]));
  }
  const each = [...(costs[0]?.keys() ?? [])].map((name) => ({
    name,
    us: median(costs.map((cost) => cost.get(name) ?? 0)),
  }));
  const all = each.filter(({ name }) => !CLIENTS.has(name)).reduce((sum, { us }) => sum + us, 0);
  const list = each.filter(({ us }) => us >= 0.5).map(({ name, us }) => `${name} ${us.toFixed(1)}`);
  return {
    ...ratioOf(pairs),
    unit: "calls/s",
    notes: [`CPU \u00b5s per call: ${all.toFixed(0)} (${list.join(", ")})`],
  };
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
    ["launchers", pidsWith("/weft/launcher/")],
    ["postgres", pidsWith("postgres: ")],
  ]);
  const from = new Map([...groups].map(([name, pids]) => [name, cpuMs(pids)]));
  const report = await context.client.run({ ...order, warmupMs: 0 });
  const cpuUs = new Map(
    [...groups].map(([name, pids]) => [name, ((cpuMs(pids) - (from.get(name) ?? 0)) * 1_000) / report.calls]),
  );
  return { report, cpuUs };
}
