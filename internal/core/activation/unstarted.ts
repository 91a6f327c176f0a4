// Records of durable requests whose end no invoker tells: they did not start, or whoever ran them is gone.

import type { WeftError } from "../../base/errors.js";
import { traceIdOf } from "../../base/trace.js";
import type { DoneResult } from "../dispatch/call.js";
import type { Action } from "../action/types.js";
import type { QueuedRequest } from "../queue/store.js";
import { parseActionName, qualifiedKey, type QualifiedName } from "../tenancy/name.js";
import type { ActionActivation, Outcome } from "./types.js";

/** What was known of the action when its request ended; undefined when it is gone. */
export type KnownAction = Pick<Action, "namespace" | "name" | "version" | "exec" | "limits"> | undefined;

/** What a record says of an action that is gone, as OpenWhisk does. */
const UNKNOWN_KIND = "unknown";
const UNKNOWN_VERSION = "0.0.0";
const NO_LIMITS = { timeoutMs: 0, memoryMb: 0, logsMb: 0, concurrency: 0 };

/** The record of a request that ended without a result. */
export function failedRecord(
  request: QueuedRequest,
  action: KnownAction,
  end: {
    readonly outcome: Exclude<Outcome, "success">;
    readonly message: string;
    readonly wallMs: number;
    readonly invokerId: string;
  },
): ActionActivation {
  const resultJson = JSON.stringify({ error: end.message });
  return {
    ...described(request, action),
    startWallMs: end.wallMs,
    durationMs: 0,
    initMs: undefined,
    waitMs: Math.max(0, end.wallMs - request.acceptedWallMs),
    outcome: end.outcome,
    resultJson,
    resultSize: Buffer.byteLength(resultJson),
    timedOut: false,
    logs: [],
    startKind: undefined,
    invokerId: end.invokerId,
  };
}

/** The record of a request whose result is known although its invoker died before it sent the record; without logs. */
export function recordOfResult(request: QueuedRequest, action: KnownAction, done: DoneResult): ActionActivation {
  return {
    ...described(request, action),
    startWallMs: done.startWallMs,
    durationMs: done.durationMs,
    initMs: done.initMs,
    waitMs: done.waitMs,
    outcome: done.outcome,
    resultJson: Buffer.from(done.resultJson).toString("utf8"),
    resultSize: done.resultSize,
    timedOut: done.timedOut,
    logs: [],
    startKind: done.startKind,
    invokerId: done.invokerId,
  };
}

/** What a person reads in the record of a request that could not be run. */
export function explain(error: WeftError): string {
  return error.kind === "internal" ? "the platform failed; its logs tell more" : error.message;
}

type Described = Pick<
  ActionActivation,
  | "of"
  | "id"
  | "namespace"
  | "subject"
  | "name"
  | "path"
  | "binding"
  | "version"
  | "kind"
  | "limits"
  | "cause"
  | "transactionId"
  | "traceId"
>;

function described(request: QueuedRequest, action: KnownAction): Described {
  const path = qualifiedKey(action ?? request);
  return {
    of: "action",
    id: request.id,
    namespace: request.callerNamespace,
    subject: request.subject,
    name: parseActionName("name", request.name).name,
    path,
    // Asked for by another name than its own.
    binding: bindingOf(path, request),
    version: action?.version ?? UNKNOWN_VERSION,
    kind: action?.exec.kind ?? UNKNOWN_KIND,
    limits: action?.limits ?? NO_LIMITS,
    cause: request.cause,
    transactionId: request.transactionId,
    traceId: traceIdOf(request.traceparent),
  };
}

/** "namespace/name" of the binding that an action was asked for through: its place is then not what was asked for. */
export function bindingOf(path: string, asked: QualifiedName): string | undefined {
  const key = qualifiedKey(asked);
  return path === key ? undefined : key.slice(0, key.lastIndexOf("/"));
}
