// Activation records as OpenWhisk shows them, from the domain's (a blocking call's answer) and from the native API's.

import { SEQUENCE_KIND } from "../../../core/action/types.js";
import { endWallMsOf, STATUS_OF, type ActionActivation, type Outcome } from "../../../core/activation/types.js";
import {
  Outcome as WireOutcome,
  Subject,
  type Activation as WireActivation,
  type AppliedLimits,
} from "../../../gen/weft/activation/v1/activation.pb.js";
import { epochMs } from "./entity.js";
import type { JsonText } from "../../../base/json-text.js";

/** What both sources say. */
export interface RecordView {
  readonly of: "action" | "trigger";
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly version: string;
  readonly subject: string;
  readonly path: string;
  readonly binding: string | undefined;
  readonly kind: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly durationMs: number;
  readonly waitMs: number;
  readonly initMs: number | undefined;
  readonly timedOut: boolean;
  readonly outcome: Outcome;
  readonly resultJson: JsonText;
  readonly resultSize: number;
  readonly logs: readonly string[];
  readonly cause: string | undefined;
  readonly limits: AppliedLimits | undefined;
  /** True for a composition. */
  readonly composition: boolean;
}

export function viewOfAnswer(activation: ActionActivation): RecordView {
  return {
    ...activation,
    startMs: activation.startWallMs,
    endMs: endWallMsOf(activation),
    // Lines are collected after the answer; what a sequence ran is known.
    logs: activation.composite ? activation.logs : [],
    composition: activation.composite?.conductorRuns !== undefined,
  };
}

const OUTCOMES: Readonly<Record<number, Outcome>> = {
  [WireOutcome.SUCCESS]: "success",
  [WireOutcome.APPLICATION_ERROR]: "applicationError",
  [WireOutcome.DEVELOPER_ERROR]: "developerError",
  [WireOutcome.PLATFORM_ERROR]: "platformError",
};

export function viewOfRecord(record: WireActivation): RecordView {
  return {
    ...record,
    of: record.of === Subject.TRIGGER ? "trigger" : "action",
    id: record.activationId,
    startMs: epochMs(record.startTime),
    endMs: epochMs(record.endTime),
    initMs: record.initMs,
    outcome: OUTCOMES[record.outcome] ?? "success",
    cause: record.cause === "" ? undefined : record.cause,
    binding: record.binding === "" ? undefined : record.binding,
  };
}

/** The record as GET and a blocking POST answer it. */
export function writeRecord(view: RecordView): JsonText {
  const times =
    view.of === "trigger" ? "" : `,"end":${Math.max(view.startMs, view.endMs)},"duration":${view.durationMs}`;
  return (
    `{"namespace":${JSON.stringify(view.namespace)},"name":${JSON.stringify(view.name)}` +
    `,"version":${JSON.stringify(view.version)},"subject":${JSON.stringify(view.subject)}` +
    `,"activationId":${JSON.stringify(view.id)}` +
    (view.cause === undefined ? "" : `,"cause":${JSON.stringify(view.cause)}`) +
    `,"start":${view.startMs}${times},"response":${writeResponse(view)},"logs":${JSON.stringify(view.logs)}` +
    `,"annotations":${writeAnnotations(view)},"publish":false}`
  );
}

/** `response` of a record, which is also what `/result` answers. */
export function writeResponse(view: RecordView): JsonText {
  const { text } = STATUS_OF[view.outcome];
  // A trigger has no sandbox that answered, so no size of an answer.
  const size = view.of === "trigger" ? "" : `,"size":${view.resultSize}`;
  const result = view.resultJson === "" ? "{}" : view.resultJson;
  return `{"status":"${text}","success":${view.outcome === "success"},"result":${result}${size}}`;
}

/** The record as lists show it. */
export function writeRecordSummary(view: RecordView): JsonText {
  const end = Math.max(view.startMs, view.endMs);
  const ended =
    view.of === "trigger"
      ? ""
      : `,"end":${end},"duration":${end - view.startMs},"statusCode":${STATUS_OF[view.outcome].code}`;
  return (
    `{"namespace":${JSON.stringify(view.namespace)},"name":${JSON.stringify(view.name)}` +
    `,"version":${JSON.stringify(view.version)},"publish":false,"annotations":${writeAnnotations(view)}` +
    `,"activationId":${JSON.stringify(view.id)}` +
    (view.cause === undefined ? "" : `,"cause":${JSON.stringify(view.cause)}`) +
    `,"start":${view.startMs}${ended}}`
  );
}

function writeAnnotations(view: RecordView): JsonText {
  if (view.of === "trigger") return "[]";
  const { limits } = view;
  const composite = view.kind === SEQUENCE_KIND;
  const annotations: [string, JsonText][] = [];
  if (composite) annotations.push(["topmost", String(view.cause === undefined)]);
  annotations.push(["path", JSON.stringify(view.path)], ["kind", JSON.stringify(view.kind)]);
  if (view.binding !== undefined) annotations.push(["binding", JSON.stringify(view.binding)]);
  if (view.composition) annotations.push(["conductor", "true"]);
  // Of a sequence in which nothing ran there are none.
  if (limits && !(composite && limits.memoryMb === 0)) {
    annotations.push([
      "limits",
      `{"timeout":${limits.timeoutMs},"memory":${limits.memoryMb},"logs":${limits.logsMb},"concurrency":${limits.concurrency}}`,
    ]);
  }
  annotations.push(["waitTime", String(view.waitMs)]);
  // Clients print "cold" exactly when this is there.
  if (view.initMs !== undefined) annotations.push(["initTime", String(view.initMs)]);
  if (!composite) annotations.push(["timeout", String(view.timedOut)]);
  if (view.cause !== undefined) annotations.push(["causedBy", '"sequence"']);
  return `[${annotations.map(([key, value]) => `{"key":"${key}","value":${value}}`).join(",")}]`;
}
