// Traces as W3C traceparent texts: that is how they travel in every message, and what a span hands on. A tracer of ours
// stands between the roles and OpenTelemetry so that not tracing costs nothing and simulation needs no SDK.

import { bytesToHex } from "./ids.js";
import type { Random } from "./random.js";

export interface TraceContext {
  /** 32 lower-case hex characters, not all zero. */
  readonly traceId: string;
  /** 16 lower-case hex characters, not all zero. */
  readonly spanId: string;
  readonly sampled: boolean;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
/** Longest that is looked at: later versions may add to the 55 characters of version 00. */
const TRACEPARENT_LENGTH_MAX = 256;

/** What a traceparent says; undefined when it is empty or broken, in which case a new trace may begin. */
export function parseTraceparent(header: string): TraceContext | undefined {
  if (header.length < 55 || header.length > TRACEPARENT_LENGTH_MAX) return undefined;
  const [, version, traceId, spanId, flags, rest] = TRACEPARENT.exec(header) ?? [];
  if (version === undefined || traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceparent({ traceId, spanId, sampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`;
}

/** The first span of a new trace. */
export function newTrace(random: Random, sampled: boolean): TraceContext {
  return { traceId: newId(random, 16), spanId: newId(random, 8), sampled };
}

/** A further span of the same trace, sampled as its parent is. */
export function childOf(parent: TraceContext, random: Random): TraceContext {
  return { ...parent, spanId: newId(random, 8) };
}

/** For the log field and the activation's record; "" without a trace. */
export function traceIdOf(traceparent: string): string {
  return parseTraceparent(traceparent)?.traceId ?? "";
}

export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

export interface SpanOptions {
  readonly attributes?: SpanAttributes;
  /** Which side of a call or queue it describes. Default "internal". */
  readonly kind?: "internal" | "server" | "client" | "producer" | "consumer";
  /** When it began, for what is told afterwards. Default: now. Milliseconds since 1970. */
  readonly startWallMs?: number;
}

export interface Span {
  /** To hand on to what happens inside it; "" when there is no trace. */
  readonly traceparent: string;
  /** False: nothing will be kept, so that costly attributes need not be made. */
  readonly recording: boolean;
  set(name: string, value: string | number | boolean): void;
  /** Marks it as failed. It must still be ended. */
  fail(error: unknown): void;
  /** @param endWallMs for what is told afterwards; default: now. A second end is passed over. */
  end(endWallMs?: number): void;
}

export interface Tracer {
  /**
   * Opens a span.
   * @param name an rpc's full method, or `<noun>.<verb>` ("activation.queue"); never with an id in it
   * @param parent traceparent of what it is part of; "" begins a new trace
   */
  start(name: string, parent: string, options?: SpanOptions): Span;
}

/** Runs `act` inside a span that ends when it settles and fails when it throws. */
export async function traced<T>(
  tracer: Tracer,
  name: string,
  parent: string,
  act: (span: Span) => T | Promise<T>,
  options?: SpanOptions,
): Promise<T> {
  const span = tracer.start(name, parent, options);
  try {
    return await act(span);
  } catch (thrown) {
    span.fail(thrown);
    throw thrown;
  } finally {
    span.end();
  }
}

/** A span that keeps nothing and hands its parent on, so that a trace passes through a process that does not trace. */
export class PassedSpan implements Span {
  readonly recording = false;

  constructor(readonly traceparent: string) {}

  set(): void {}
  fail(): void {}
  end(): void {}
}

const NO_SPAN = new PassedSpan("");

/** Keeps nothing. One comparison per span, and one small object when there is a parent to hand on. */
export const noTracer: Tracer = {
  start: (_name, parent) => (parent === "" ? NO_SPAN : new PassedSpan(parent)),
};

/** All-zero ids mean "none" to every reader of traces. */
function newId(random: Random, bytes: number): string {
  for (;;) {
    const id = bytesToHex(random.bytes(bytes));
    if (!/^0+$/.test(id)) return id;
  }
}
