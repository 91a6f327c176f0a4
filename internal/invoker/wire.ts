// Between the words of this role and those of the links.

import type { Clock } from "../base/clock.js";
import { hexToBytes } from "../base/ids.js";
import { traceIdOf } from "../base/trace.js";
import { neededKind } from "../core/action/image.js";
import type { ActionAsk } from "../core/dispatch/call.js";
import type { SandboxState as CoreState } from "../core/sandbox/state.js";
import { outcomeToWire, startKindToWire } from "../dispatch/wire.js";
import type { ActivationRecord } from "../gen/weft/link/v1/control.pb.js";
import { SandboxEnd, SandboxState, type SandboxReport, type SandboxView } from "../gen/weft/link/v1/fleet.pb.js";
import { NackReason, type Done } from "../gen/weft/link/v1/work.pb.js";
import type { EndName, NackName } from "./metrics.js";
import type { Run, RunEnd } from "./run.js";
import type { Sandbox } from "./sandbox.js";
import type { HostReport } from "./sandbox-host.js";

const STATE_TO_WIRE: Readonly<Record<CoreState, SandboxState>> = {
  starting: SandboxState.STARTING,
  stem: SandboxState.STEM,
  warm: SandboxState.WARM,
  frozen: SandboxState.FROZEN,
  gone: SandboxState.GONE,
};

const END_TO_WIRE: Readonly<Record<EndName, SandboxEnd>> = {
  startFailed: SandboxEnd.START_FAILED,
  noRoom: SandboxEnd.NO_ROOM,
  evicted: SandboxEnd.EVICTED,
  died: SandboxEnd.DIED,
  fenced: SandboxEnd.FENCED,
  draining: SandboxEnd.DRAINING,
};

export const NACK_TO_WIRE: Readonly<Record<NackName, NackReason>> = {
  staleLease: NackReason.STALE_LEASE,
  slotBusy: NackReason.SLOT_BUSY,
  badToken: NackReason.BAD_TOKEN,
  wrongRevision: NackReason.WRONG_REVISION,
  draining: NackReason.DRAINING,
  expired: NackReason.EXPIRED,
  overCredit: NackReason.OVER_CREDIT,
};

export function viewOf(sandbox: Sandbox, clock: Clock): SandboxView {
  const { ask } = sandbox;
  return {
    sandbox: sandbox.number,
    state: STATE_TO_WIRE[sandbox.state],
    actionKey: ask?.key ?? "",
    revisionId: ask?.revisionId ?? "",
    kind: sandbox.kind,
    memoryMb: sandbox.memoryMb,
    concurrency: sandbox.slots?.concurrency ?? 0,
    running: sandbox.running,
    holders: [...(sandbox.slots?.holders() ?? [])].map(({ slot, dispatcherId, dispatcherBootId, epoch, sequence }) => ({
      slot,
      dispatcherId,
      dispatcherBootId,
      epoch,
      sequence,
    })),
    idleMs: sandbox.running > 0 ? 0 : Math.max(0, Math.round(clock.monoMs() - sandbox.idleSinceMonoMs)),
  };
}

function refusedView(action: ActionAsk): SandboxView {
  return {
    sandbox: 0,
    state: SandboxState.GONE,
    actionKey: action.key,
    revisionId: action.revisionId,
    kind: action.kind,
    memoryMb: action.memoryMb,
    concurrency: action.concurrency,
    running: 0,
    holders: [],
    idleMs: 0,
  };
}

/**
 * @param schedulerBootId who is told: an order's number means something only to the one who gave it
 * @returns undefined when it concerns somebody else's order only
 */
export function reportOf(report: HostReport, schedulerBootId: string, clock: Clock): SandboxReport | undefined {
  if (report.kind === "refused") {
    if (report.order.schedulerBootId !== schedulerBootId) return undefined;
    return {
      order: report.order.order,
      view: refusedView(report.action),
      end: END_TO_WIRE[report.end],
      message: report.message,
      phases: undefined,
    };
  }
  const { sandbox, end, message } = report;
  const order = sandbox.order?.schedulerBootId === schedulerBootId ? sandbox.order.order : 0;
  const stem = sandbox.origin === "stem";
  return {
    order,
    view: viewOf(sandbox, clock),
    end: end === undefined ? SandboxEnd.UNSPECIFIED : END_TO_WIRE[end],
    message,
    phases: {
      queueMs: stem ? 0 : Math.round(sandbox.queueMs),
      createMs: stem ? 0 : Math.round(sandbox.createMs),
      stem,
    },
  };
}

export function doneOf(run: Run, end: RunEnd): Done {
  return {
    call: run.call,
    outcome: outcomeToWire(end.outcome),
    resultJson: end.resultJson,
    startWallMs: Math.round(run.startWallMs),
    durationMs: end.durationMs,
    initMs: run.initMs,
    waitMs: run.waitMs,
    timedOut: end.timedOut,
    resultSize: end.resultSize,
    reusable: end.reusable,
    startKind: startKindToWire(run.startKind),
  };
}

/** Of a run that has ended. */
export function recordOf(run: Run, logs: readonly string[], invokerId: string): ActivationRecord {
  const { ask, request, spec, end } = run;
  if (!end) throw new TypeError("a run is recorded before it ended");
  const { caller } = request;
  return {
    activationId: hexToBytes(request.activationId),
    namespace: caller.namespace,
    subject: caller.subject,
    path: ask.key,
    version: spec?.version ?? UNKNOWN_VERSION,
    kind: neededKind(ask.kind),
    startWallMs: Math.round(run.startWallMs),
    durationMs: end.durationMs,
    initMs: run.initMs,
    waitMs: run.waitMs,
    outcome: outcomeToWire(end.outcome),
    resultJson: end.resultJson,
    resultSize: end.resultSize,
    timedOut: end.timedOut,
    logs: [...logs],
    timeoutMs: ask.timeoutMs,
    memoryMb: ask.memoryMb,
    logsMb: spec?.logsMb ?? 0,
    concurrency: ask.concurrency,
    cause: caller.cause,
    transactionId: caller.transactionId,
    traceId: traceIdOf(run.span?.traceparent ?? request.traceparent),
    async: request.async,
    startKind: startKindToWire(run.startKind),
    invokerId,
    composite: undefined,
    binding: caller.binding,
    unstored: request.unstored ?? false,
  };
}

/** Of an action whose code could not be had: nobody here knows it. */
const UNKNOWN_VERSION = "0.0.0";
