import type { Log } from "../base/log.js";

/** What everything that a call reaches is given first. Explicit, so that it works in simulation and can be searched. */
export interface CallContext {
  /** Aborted when the caller hung up or its deadline passed. */
  readonly signal: AbortSignal;
  /** On the monotonic clock; undefined when the caller set none. */
  readonly deadlineMonoMs: number | undefined;
  /** W3C trace context of the caller, or "". */
  readonly traceparent: string;
  readonly log: Log;
  /** Address of the caller. */
  readonly peer: string;
  /** A metadata entry of the request; undefined when absent. Binary entries (name ends in -bin) as base64. */
  header(name: string): string | undefined;
  /** Every text entry of the request's metadata, lower-case names; values of a repeated one joined with ", ". */
  headers(): Readonly<Record<string, string>>;
  /** Adds a metadata entry to the response. Only before the response is sent. */
  setHeader(name: string, value: string): void;
}
