// The rows, by the ids of the performance goals. Each drives a bare reference and Weft alternately and reports ratios.

import { InvokeRequest } from "../../internal/gen/weft/invoke/v1/invoke.pb.js";
import { capacity, ECHO_ACTION, PARAMS, worst, type BenchContext, type RowResult } from "./capacity.js";
import { ECHO_BIDI, ECHO_UNARY, INVOKE, type LoadOrder } from "./protocol.js";
import { httpCapacity } from "./http.js";
import { restCapacity } from "./rest.js";
import { kinds } from "./kinds.js";
import { coldStarts, parallelStarts, platformShare, stemStarts } from "./starts.js";
import { median, ratioOf, type Pair } from "./statistics.js";

export interface Row {
  readonly id: string;
  readonly title: string;
  /** "atLeast": more is better. */
  readonly floor: { readonly kind: "atLeast" | "atMost"; readonly value: number };
  run(context: BenchContext): Promise<RowResult>;
}

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
    id: "D7",
    title:
      "warm Invoke/s of an action in an image of its own \u00f7 bare HTTP keep-alive echo/s of that image; clients of bare sockets on both sides",
    floor: { kind: "atLeast", value: 0.3 },
    run: httpCapacity,
  },
  {
    id: "D8",
    title:
      "warm Invoke/s over REST through Envoy \u00f7 the same with a bare gRPC echo, the worse of 16 and 64 in flight",
    floor: { kind: "atLeast", value: 0.75 },
    run: restCapacity,
  },
  {
    id: "C1",
    title: "cold Invoke p50 \u00f7 bare Docker create + start + ready",
    floor: { kind: "atMost", value: 1.25 },
    run: coldStarts,
  },
  {
    id: "C3",
    title: "Invoke p50 where a stem cell waits \u00f7 bare Docker create + start + ready",
    floor: { kind: "atMost", value: 0.06 },
    run: stemStarts,
  },
  {
    id: "C4",
    title: "what of a cold Invoke is the platform's, p50: all but the driver's create and the action's init",
    floor: { kind: "atMost", value: 8 },
    run: platformShare,
  },
  {
    id: "C6",
    title: "cold starts/s of a burst \u00f7 bare Docker's starts/s at its best",
    floor: { kind: "atLeast", value: 0.93 },
    run: parallelStarts,
  },
  {
    id: "kinds",
    title:
      "per kind: cold, stem and warm Invoke, ms, and memory; the number is stem p50 \u00f7 cold p50, the median kind's",
    floor: { kind: "atMost", value: 0.25 },
    run: kinds,
  },
];

async function unaryCapacity(context: BenchContext, inFlight: number): Promise<RowResult> {
  const loop = { kind: "closed", inFlight } as const;
  return capacity(context, { ...echoOrder(context), loop }, { ...invokeOrder(context), loop });
}

async function streamCapacity(context: BenchContext, inFlight: number): Promise<RowResult> {
  const loop = { kind: "closed", inFlight } as const;
  return capacity(context, { ...echoOrder(context), loop }, { ...streamOrder(context), loop });
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
      path: INVOKE,
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
