// Between what the dispatcher says and what callers and controllers are told.

import { bytesToHex, type ActivationId } from "../base/ids.js";
import { traceIdOf } from "../base/trace.js";
import {
  endWallMsOf,
  type ActionActivation,
  type Outcome as CoreOutcome,
  type StartKind,
} from "../core/activation/types.js";
import { neededKind } from "../core/action/image.js";
import type { DoneResult } from "../core/dispatch/call.js";
import { Outcome, Start, Subject, type Activation } from "../gen/weft/activation/v1/activation.pb.js";
import type { ActivationRecord } from "../gen/weft/link/v1/control.pb.js";
import { Outcome as LinkOutcome } from "../gen/weft/link/v1/work.pb.js";
import type { SyncCall } from "./invocations.js";

export function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
}

export function activationIdOf(call: SyncCall): ActivationId {
  return bytesToHex(call.activationId) as ActivationId;
}

/** The record of an activation that ended, as a caller is answered: without logs, which are collected afterwards. */
export function activationToWire(call: SyncCall, done: DoneResult): Activation {
  const { target, caller } = call;
  const { ask } = target;
  return {
    activationId: bytesToHex(call.activationId),
    namespace: caller.namespace,
    name: target.name,
    path: target.path,
    binding: target.binding,
    version: target.version,
    subject: caller.subject,
    of: Subject.ACTION,
    startTime: timestamp(done.startWallMs),
    endTime: timestamp(done.startWallMs + done.durationMs),
    durationMs: done.durationMs,
    initMs: done.initMs,
    waitMs: done.waitMs,
    outcome: outcomeToWire(done.outcome),
    timedOut: done.timedOut,
    resultJson: utf8(done.resultJson),
    resultSize: done.resultSize,
    logs: [],
    kind: neededKind(ask.kind),
    limits: {
      timeoutMs: ask.timeoutMs,
      memoryMb: ask.memoryMb,
      logsMb: target.logsMb,
      concurrency: ask.concurrency,
    },
    cause: caller.cause,
    start: startToWire(done.startKind),
    traceId: traceIdOf(call.traceparent),
    composition: false,
  };
}

/** A stored record, as a caller is answered. */
export function recordedToWire(activation: ActionActivation): Activation {
  return {
    activationId: activation.id,
    namespace: activation.namespace,
    name: activation.name,
    path: activation.path,
    version: activation.version,
    subject: activation.subject,
    of: Subject.ACTION,
    startTime: timestamp(activation.startWallMs),
    endTime: timestamp(endWallMsOf(activation)),
    durationMs: activation.durationMs,
    initMs: activation.initMs,
    waitMs: activation.waitMs,
    outcome: outcomeToWire(activation.outcome),
    timedOut: activation.timedOut,
    resultJson: activation.resultJson,
    resultSize: activation.resultSize,
    logs: [...activation.logs],
    kind: activation.kind,
    limits: { ...activation.limits },
    cause: activation.cause ?? "",
    start: startToWire(activation.startKind),
    traceId: activation.traceId,
    binding: activation.binding ?? "",
    composition: activation.composite?.conductorRuns !== undefined,
  };
}

/** The same in the words of core. */
export function activationOf(call: SyncCall, done: DoneResult): ActionActivation {
  const { target, caller } = call;
  const { ask } = target;
  return {
    of: "action",
    id: activationIdOf(call),
    namespace: caller.namespace,
    subject: caller.subject,
    name: target.name,
    path: target.path,
    binding: target.binding === "" ? undefined : target.binding,
    version: target.version,
    kind: neededKind(ask.kind),
    startWallMs: done.startWallMs,
    durationMs: done.durationMs,
    initMs: done.initMs,
    waitMs: done.waitMs,
    outcome: done.outcome,
    resultJson: utf8(done.resultJson),
    resultSize: done.resultSize,
    timedOut: done.timedOut,
    logs: [],
    limits: {
      timeoutMs: ask.timeoutMs,
      memoryMb: ask.memoryMb,
      logsMb: target.logsMb,
      concurrency: ask.concurrency,
    },
    cause: undefined,
    transactionId: caller.transactionId,
    traceId: traceIdOf(call.traceparent),
    startKind: done.startKind,
    invokerId: done.invokerId,
  };
}

/** The record of an activation that no invoker runs or reports, with an error for its result. */
export function recordWithout(
  call: SyncCall,
  lost: {
    readonly outcome: "platformError" | "applicationError";
    readonly invokerId: string;
    readonly text: string;
    readonly endWallMs: number;
    readonly ranMs: number;
  },
): ActivationRecord {
  const { target, caller } = call;
  const { ask } = target;
  const result = Buffer.from(JSON.stringify({ error: lost.text }));
  return {
    activationId: call.activationId,
    namespace: caller.namespace,
    subject: caller.subject,
    path: target.path,
    binding: target.binding,
    version: target.version,
    kind: neededKind(ask.kind),
    startWallMs: Math.max(0, Math.round(lost.endWallMs - lost.ranMs)),
    durationMs: Math.max(0, Math.round(lost.ranMs)),
    initMs: undefined,
    waitMs: 0,
    outcome: lost.outcome === "platformError" ? LinkOutcome.PLATFORM_ERROR : LinkOutcome.APPLICATION_ERROR,
    resultJson: result,
    resultSize: result.length,
    timedOut: false,
    logs: [],
    timeoutMs: ask.timeoutMs,
    memoryMb: ask.memoryMb,
    logsMb: target.logsMb,
    concurrency: ask.concurrency,
    cause: caller.cause,
    transactionId: caller.transactionId,
    traceId: traceIdOf(call.traceparent),
    async: false,
    startKind: 0,
    invokerId: lost.invokerId,
    composite: undefined,
    unstored: false,
  };
}

export function outcomeToWire(outcome: CoreOutcome): Outcome {
  switch (outcome) {
    case "success":
      return Outcome.SUCCESS;
    case "applicationError":
      return Outcome.APPLICATION_ERROR;
    case "developerError":
      return Outcome.DEVELOPER_ERROR;
    case "platformError":
      return Outcome.PLATFORM_ERROR;
  }
}

function startToWire(kind: StartKind | undefined): Start {
  switch (kind) {
    case "warm":
      return Start.WARM;
    case "frozen":
      return Start.FROZEN;
    case "stem":
      return Start.STEM;
    case "cold":
      return Start.COLD;
    case undefined:
      return Start.UNSPECIFIED;
  }
}

function timestamp(wallMs: number): { seconds: number; nanos: number } {
  const seconds = Math.floor(wallMs / 1000);
  return { seconds, nanos: Math.round((wallMs - seconds * 1000) * 1e6) };
}
