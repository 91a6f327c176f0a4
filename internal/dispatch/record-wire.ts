// Activation records between the words of core and those of the links.

import { bytesToHex, hexToBytes, parseActivationId, type ActivationId } from "../base/ids.js";
import { invalidField } from "../base/errors.js";
import type { ActionActivation } from "../core/activation/types.js";
import type { ActivationRecord } from "../gen/weft/link/v1/control.pb.js";
import { outcomeOfWire, outcomeToWire, startKindOfWire, startKindToWire } from "./wire.js";

/** @throws invalidArgument when the id is none */
export function recordOfWire(record: ActivationRecord): ActionActivation {
  const { activationId, composite } = record;
  if (activationId.length !== 16) {
    throw invalidField("activation_id", `must have 16 bytes, not ${activationId.length}`);
  }
  return {
    of: "action",
    id: bytesToHex(activationId) as ActivationId,
    namespace: record.namespace,
    subject: record.subject,
    name: record.path.slice(record.path.lastIndexOf("/") + 1),
    path: record.path,
    binding: record.binding === "" ? undefined : record.binding,
    version: record.version,
    kind: record.kind,
    startWallMs: record.startWallMs,
    durationMs: record.durationMs,
    initMs: record.initMs,
    waitMs: record.waitMs,
    outcome: outcomeOfWire(record.outcome),
    resultJson: textOf(record.resultJson),
    resultSize: record.resultSize,
    timedOut: record.timedOut,
    logs: record.logs,
    limits: {
      timeoutMs: record.timeoutMs,
      memoryMb: record.memoryMb,
      logsMb: record.logsMb,
      concurrency: record.concurrency,
    },
    cause: record.cause === "" ? undefined : parseActivationId(record.cause),
    transactionId: record.transactionId,
    traceId: record.traceId,
    startKind: startKindOfWire(record.startKind),
    invokerId: record.invokerId,
    ...(composite ? { composite: { ...composite, conductorRuns: composite.conductorRuns } } : {}),
  };
}

export function recordToWire(activation: ActionActivation): ActivationRecord {
  const { limits, composite } = activation;
  return {
    activationId: hexToBytes(activation.id),
    namespace: activation.namespace,
    subject: activation.subject,
    path: activation.path,
    version: activation.version,
    kind: activation.kind,
    startWallMs: activation.startWallMs,
    durationMs: activation.durationMs,
    initMs: activation.initMs,
    waitMs: activation.waitMs,
    outcome: outcomeToWire(activation.outcome),
    resultJson: Buffer.from(activation.resultJson),
    resultSize: activation.resultSize,
    timedOut: activation.timedOut,
    logs: [...activation.logs],
    ...limits,
    cause: activation.cause ?? "",
    transactionId: activation.transactionId,
    traceId: activation.traceId,
    async: false,
    startKind: startKindToWire(activation.startKind),
    invokerId: activation.invokerId,
    binding: activation.binding ?? "",
    unstored: false,
    composite: composite && { ...composite, conductorRuns: composite.conductorRuns },
  };
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}
