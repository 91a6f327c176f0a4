// What each kind costs: a cold call, one that a stem cell serves, a warm one, and the memory of a sandbox that waits for its
// next call. Actions do nothing; their sources are those of the conformance suite, asked to answer their parameters.

import type Docker from "dockerode";
import type { RuntimeKind } from "../../internal/core/sandbox/manifest.js";
import { Start } from "../../internal/gen/weft/activation/v1/activation.pb.js";
import { Family } from "../conformance/kinds/family.js";
import { PublicClient, type ActionOptions } from "../harness/client.js";
import type { Fabric } from "../harness/fabric.js";
import { docker, MANIFEST } from "./bare.js";
import type { BenchContext, RowResult } from "./capacity.js";
import { withFabric } from "./fabrics.js";
import { freshName, settle, stemIsThere } from "./starts.js";
import { median, quantile, ratioOf, type Pair } from "./statistics.js";

const MEMORY_MB = 256;
const WARM_CALLS_PER_PAIR = 100;
const STARTS_PER_PAIR = 2;

interface KindTimes {
  readonly cold: readonly number[];
  readonly stem: readonly number[];
  readonly warm: readonly number[];
  readonly idleMemoryMb: number;
}

export async function kinds(context: BenchContext): Promise<RowResult> {
  const engine = docker();
  const env = { WEFT_MEMORY_MB: "16384", WEFT_FREEZE_AFTER_MS: "600000" };
  const notes: string[] = [
    "| kind | cold p50 | p99 | stem p50 | p99 | warm p50 | p99 | idle sandbox |",
    "|---|---|---|---|---|---|---|---|",
  ];
  const pairs: Pair[] = [];
  for (const kind of MANIFEST.kinds) {
    const source = sourceOf(kind);
    const cold = await withFabric({ ...env, WEFT_STEM_CELLS: "0" }, (_, client) =>
      coldAndWarm(context, engine, client, kind, source),
    );
    const stem =
      kind.stemCells.length === 0
        ? []
        : await withFabric({ ...env, WEFT_STEM_CELLS: "1" }, (fabric, client) =>
            stemTimes(context, fabric, client, kind, source),
          );
    const times: KindTimes = { ...cold, stem };
    notes.push(rowOf(kind.kind, times));
    if (stem.length > 0) pairs.push({ reference: median(times.cold), measured: median(stem) });
  }
  return { ...ratioOf(pairs), unit: "ms", notes };
}

interface Source {
  readonly code: string;
  readonly options: ActionOptions;
}

async function coldAndWarm(
  context: BenchContext,
  engine: Docker,
  client: PublicClient,
  kind: RuntimeKind,
  source: Source,
): Promise<Omit<KindTimes, "stem">> {
  const cold: number[] = [];
  let name = "";
  for (let i = -1; i < context.pairs * STARTS_PER_PAIR; i++) {
    name = freshName();
    await client.createAction(name, source.code, { ...source.options, kind: kind.kind, memoryMb: MEMORY_MB });
    await settle();
    const ms = await timed(client, name, Start.COLD);
    if (i >= 0) cold.push(ms); // the first reads image layers
  }
  const warm: number[] = [];
  for (let i = 0; i < context.pairs * WARM_CALLS_PER_PAIR; i++) warm.push(await timed(client, name, Start.WARM));
  await settle();
  return { cold, warm, idleMemoryMb: await idleMemoryMb(engine, kind) };
}

async function stemTimes(
  context: BenchContext,
  fabric: Fabric,
  client: PublicClient,
  kind: RuntimeKind,
  source: Source,
): Promise<readonly number[]> {
  const stem: number[] = [];
  const memoryMb = kind.stemCells[0]?.memoryMb ?? MEMORY_MB;
  for (let i = 0; i < context.pairs * STARTS_PER_PAIR; i++) {
    const name = freshName();
    await client.createAction(name, source.code, { ...source.options, kind: kind.kind, memoryMb });
    await stemIsThere(fabric, 60_000);
    stem.push(await timed(client, name, Start.STEM));
  }
  return stem;
}

async function timed(client: PublicClient, name: string, start: Start): Promise<number> {
  const from = performance.now();
  const { activation } = await client.invoke(name, { act: "echo" });
  const ms = performance.now() - from;
  if (activation?.start !== start) throw new Error(`a start that was to be ${start} was ${activation?.start}`);
  return ms;
}

/** What Docker counts for the kind's sandboxes on this machine, without what the kernel could drop at once: the median. */
async function idleMemoryMb(engine: Docker, { image }: RuntimeKind): Promise<number> {
  const bytes: number[] = [];
  for (const { Id: id } of await engine.listContainers({ filters: { ancestor: [image] } })) {
    const { memory_stats: memory } = (await engine.getContainer(id).stats({ stream: false, "one-shot": true })) as {
      readonly memory_stats: { readonly usage?: number; readonly stats?: Readonly<Record<string, number>> };
    };
    if (memory.usage === undefined) continue; // it ended meanwhile
    // Version 1 and 2 of control groups have different names for it.
    bytes.push(memory.usage - (memory.stats?.["total_inactive_file"] ?? memory.stats?.["inactive_file"] ?? 0));
  }
  return median(bytes) / 1024 / 1024;
}

function sourceOf({ family: name }: RuntimeKind): Source {
  const family = Family.read(name);
  const { main } = family.can;
  return { code: family.source("action").toString(), options: main === undefined ? {} : { main } };
}

function rowOf(kind: string, { cold, stem, warm, idleMemoryMb: memory }: KindTimes): string {
  const two = (times: readonly number[]): string =>
    times.length === 0 ? "- | -" : `${quantile(times, 0.5).toFixed(1)} | ${quantile(times, 0.99).toFixed(1)}`;
  return `| ${kind} | ${two(cold)} | ${two(stem)} | ${two(warm)} | ${memory.toFixed(0)} MiB |`;
}
