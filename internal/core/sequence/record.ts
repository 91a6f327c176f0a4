// The record of a sequence or composition.

import { traceIdOf } from "../../base/trace.js";
import { SEQUENCE_KIND } from "../action/types.js";
import type { ActionActivation, Outcome } from "../activation/types.js";
import type { QueuedRequest } from "../queue/store.js";
import { bindingOf } from "../activation/unstarted.js";
import { parseActionName } from "../tenancy/name.js";
import type { Run } from "./step.js";

export function recordOfRun(
  request: QueuedRequest,
  run: Run,
  end: { readonly outcome: Outcome; readonly resultJson: string; readonly wallMs: number },
): ActionActivation {
  return {
    of: "action",
    id: request.id,
    namespace: request.callerNamespace,
    subject: request.subject,
    name: parseActionName("name", request.name).name,
    path: run.action.path,
    binding: bindingOf(run.action.path, request),
    version: run.action.version,
    kind: SEQUENCE_KIND,
    startWallMs: run.startWallMs,
    durationMs: run.durationMs,
    initMs: undefined,
    waitMs: Math.max(0, run.startWallMs - request.acceptedWallMs),
    outcome: end.outcome,
    resultJson: end.resultJson,
    resultSize: Buffer.byteLength(end.resultJson),
    timedOut: false,
    logs: run.started,
    limits: { ...run.action.limits, memoryMb: run.memoryMb },
    cause: request.cause,
    transactionId: request.transactionId,
    traceId: traceIdOf(request.traceparent),
    startKind: undefined,
    invokerId: "",
    composite: {
      endWallMs: Math.max(run.startWallMs, end.wallMs),
      componentRuns: run.componentRuns,
      conductorRuns: run.kind === "composition" ? run.conductorRuns : undefined,
    },
  };
}
