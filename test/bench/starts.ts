// Starts of sandboxes. All against what Docker itself takes for the same container, alternately, and all with calls that a
// client makes: from its call to its answer.
//
//   C1  a cold call, one at a time, without stem cells
//   C3  the same where a stem cell waits
//   C4  what of a cold call is neither Docker's nor the action's: the call's time without the driver's and without init
//   C6  many cold calls at once, until each has its sandbox

import type Docker from "dockerode";
import { Start } from "../../internal/gen/weft/activation/v1/activation.pb.js";
import type { Timestamp } from "../../internal/gen/google/protobuf/timestamp.pb.js";
import type { InvokeResponse } from "../../internal/gen/weft/invoke/v1/invoke.pb.js";
import { PublicClient } from "../harness/client.js";
import { eventually } from "../harness/eventually.js";
import type { Fabric } from "../harness/fabric.js";
import { bareSandbox, bareStart, docker, MANIFEST } from "./bare.js";
import type { BenchContext, RowResult } from "./capacity.js";
import { invokerMetrics, withFabric } from "./fabrics.js";
import { median, ratioOf, type Pair } from "./statistics.js";

const KIND = "nodejs:20";
const MEMORY_MB = 128;
const CODE = "exports.main = () => ({});\n";
/** Starts before the first that counts: image layers are read, code is compiled. */
const WARMUPS = 2;
/** Pairs per pair of the other rows: one start is a short measurement. */
const STARTS_PER_PAIR = 3;
const SETTLE_MS = 300;

interface ColdCall {
  readonly ms: number;
  readonly createMs: number;
  readonly initMs: number;
}

export async function coldStarts(context: BenchContext): Promise<RowResult> {
  const pairs: Pair[] = [];
  await eachStart(context, async (engine, client, name) => {
    const reference = await bareStart(engine, KIND, MEMORY_MB);
    const { ms } = await coldCall(context, client, name);
    pairs.push({ reference, measured: ms });
  });
  return { ...ratioOf(pairs.slice(WARMUPS)), unit: "ms", notes: [noteOf(pairs.length - WARMUPS, MEMORY_MB)] };
}

export async function platformShare(context: BenchContext): Promise<RowResult> {
  const calls: ColdCall[] = [];
  await eachStart(context, async (_, client, name) => {
    calls.push(await coldCall(context, client, name));
  });
  const counted = calls.slice(WARMUPS);
  const shares = counted.map(({ ms, createMs, initMs }) => ms - createMs - initMs).sort((a, b) => a - b);
  return {
    // The goal is a length of time, not a ratio: it takes the ratio's place.
    median: median(shares),
    spread: [shares[0] as number, shares.at(-1) as number],
    reference: median(counted.map(({ createMs, initMs }) => createMs + initMs)),
    measured: median(counted.map(({ ms }) => ms)),
    unit: "ms",
    notes: [
      `driver ${median(counted.map(({ createMs }) => createMs)).toFixed(1)} ms, init ${median(counted.map(({ initMs }) => initMs)).toFixed(1)} ms`,
      noteOf(counted.length, MEMORY_MB),
    ],
  };
}

async function eachStart(
  context: BenchContext,
  one: (engine: Docker, client: PublicClient, name: string) => Promise<void>,
): Promise<void> {
  const engine = docker();
  const client = new PublicClient(context.fabric.grpc, context.fabric.authorization);
  try {
    for (let i = 0; i < WARMUPS + context.pairs * STARTS_PER_PAIR; i++) {
      await settle();
      await one(engine, client, freshName());
    }
  } finally {
    client.close();
  }
}

async function coldCall(context: BenchContext, client: PublicClient, name: string): Promise<ColdCall> {
  await client.createAction(name, CODE, { kind: KIND, memoryMb: MEMORY_MB });
  await settle();
  const before = await createSeconds(context);
  const from = performance.now();
  const answer = await client.invoke(name);
  const ms = performance.now() - from;
  startedAs(Start.COLD, answer);
  const createMs = ((await createSeconds(context)) - before) * 1_000;
  return { ms, createMs, initMs: answer.activation?.initMs ?? 0 };
}

async function createSeconds(context: BenchContext): Promise<number> {
  return (await invokerMetrics(context.fabric)).sum("weft_invoker_sandbox_create_seconds_sum", { result: "ok" });
}

export async function stemStarts(context: BenchContext): Promise<RowResult> {
  const stem = MANIFEST.find(KIND)?.stemCells[0];
  if (!stem) throw new Error(`runtimes/manifest.json keeps no stem cells of ${KIND}`);
  const engine = docker();
  const env = { WEFT_STEM_CELLS: "1", WEFT_MEMORY_MB: "16384" };
  return withFabric(env, async (fabric, client) => {
    const pairs: Pair[] = [];
    for (let i = 0; i < WARMUPS + context.pairs * STARTS_PER_PAIR; i++) {
      const reference = await bareStart(engine, KIND, stem.memoryMb);
      const name = freshName();
      await client.createAction(name, CODE, { kind: KIND, memoryMb: stem.memoryMb });
      await stemIsThere(fabric, 30_000);
      const from = performance.now();
      const answer = await client.invoke(name);
      const measured = performance.now() - from;
      startedAs(Start.STEM, answer);
      if (i >= WARMUPS) pairs.push({ reference, measured });
    }
    return { ...ratioOf(pairs), unit: "ms", notes: [noteOf(pairs.length, stem.memoryMb)] };
  });
}

/** Starts of one burst. */
const BURST = 16;
/** Sandboxes that have ended are still removed for a while. */
const REMOVAL_SETTLES = 5;
/** Docker's own best is looked for among these numbers of starts at a time. */
const AT_A_TIME = [2, 4, 8];

export async function parallelStarts(context: BenchContext): Promise<RowResult> {
  const engine = docker();
  // What was made for one burst is gone before the next, and stays until all of the burst is there.
  const env = {
    WEFT_STEM_CELLS: "0",
    WEFT_MEMORY_MB: "8192",
    WEFT_IDLE_TIMEOUT_MS: "12000",
    WEFT_FREEZE_AFTER_MS: "11000",
  };
  return withFabric(env, async (fabric, client) => {
    const emptied = (): Promise<boolean> =>
      eventually(async () => (await invokerMetrics(fabric)).sum("weft_invoker_sandboxes") === 0, {
        withinMs: 60_000,
        everyMs: 100,
      });
    let best = { atATime: 0, perSecond: 0 };
    for (const atATime of AT_A_TIME) {
      const perSecond = await bareBurst(engine, atATime);
      if (perSecond > best.perSecond) best = { atATime, perSecond };
    }
    const pairs: Pair[] = [];
    for (let i = -1; i < context.pairs; i++) {
      const reference = await bareBurst(engine, best.atATime);
      const measured = await burst(client);
      await emptied();
      for (let i = 0; i < REMOVAL_SETTLES; i++) await settle();
      if (i >= 0) pairs.push({ reference, measured });
    }
    return {
      ...ratioOf(pairs),
      unit: "starts/s",
      notes: [
        `${BURST} starts at once, Docker's best is with ${best.atATime} at a time; ${noteOf(pairs.length, MEMORY_MB)}`,
      ],
    };
  });
}

async function bareBurst(engine: Docker, atATime: number): Promise<number> {
  await settle();
  const from = performance.now();
  let left = BURST;
  const made = await Promise.all(
    Array.from({ length: atATime }, async () => {
      const own = [];
      while (left-- > 0) own.push(await bareSandbox(engine, KIND, MEMORY_MB));
      return own;
    }),
  );
  const seconds = (performance.now() - from) / 1_000;
  for (const sandbox of made.flat()) await sandbox.remove();
  await settle();
  return BURST / seconds;
}

async function burst(client: PublicClient): Promise<number> {
  const names = Array.from({ length: BURST }, freshName);
  for (const name of names) await client.createAction(name, CODE, { kind: KIND, memoryMb: MEMORY_MB });
  await settle();
  const fromWallMs = Date.now();
  const answers = await Promise.all(names.map((name) => client.invoke(name)));
  for (const answer of answers) startedAs(Start.COLD, answer);
  // Until the last call was given to its sandbox: loading and running its code is no part of a start.
  const lastWallMs = Math.max(...answers.map(({ activation }) => wallMs(activation?.startTime)));
  return BURST / ((lastWallMs - fromWallMs) / 1_000);
}

function wallMs(time: Timestamp | undefined): number {
  if (!time) throw new Error("an activation without the time of its start");
  return time.seconds * 1_000 + time.nanos / 1_000_000;
}

function startedAs(start: Start, { activation }: InvokeResponse): void {
  if (activation?.start !== start) {
    throw new Error(`a start that was to be ${start} was ${activation?.start}: ${activation?.resultJson}`);
  }
}

/** What was removed or created before goes on in the background for a while: neither side starts beside it. */
export function settle(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, SETTLE_MS);
  });
}

/** Waits for a stem cell that nothing is made beside. */
export async function stemIsThere(fabric: Fabric, withinMs: number): Promise<void> {
  await eventually(
    async () => {
      const metrics = await invokerMetrics(fabric);
      const count = (state: string): number => metrics.sum("weft_invoker_sandboxes", { state });
      return count("starting") === 0 && count("stem") > 0;
    },
    { withinMs, everyMs: 100 },
  );
  await settle();
}

let names = 0;
export function freshName(): string {
  names += 1;
  return `bench-start-${names}`;
}

function noteOf(starts: number, memoryMb: number): string {
  return `${starts} pairs, ${memoryMb} MiB, ${KIND}`;
}
