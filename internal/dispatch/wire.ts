// Between the words of core and those of the links.

import type { Outcome as CoreOutcome, StartKind as CoreStartKind } from "../core/activation/types.js";
import type { DoneResult } from "../core/dispatch/call.js";
import { Outcome, StartKind, type Done } from "../gen/weft/link/v1/work.pb.js";

const OUTCOME_OF_WIRE: Readonly<Record<number, CoreOutcome>> = {
  [Outcome.SUCCESS]: "success",
  [Outcome.APPLICATION_ERROR]: "applicationError",
  [Outcome.DEVELOPER_ERROR]: "developerError",
  [Outcome.PLATFORM_ERROR]: "platformError",
};

const START_OF_WIRE: Readonly<Record<number, CoreStartKind>> = {
  [StartKind.WARM]: "warm",
  [StartKind.FROZEN]: "frozen",
  [StartKind.STEM]: "stem",
  [StartKind.COLD]: "cold",
};

/** What a newer peer says that this one does not know counts as Weft's own failure. */
export function outcomeOfWire(outcome: number): CoreOutcome {
  return OUTCOME_OF_WIRE[outcome] ?? "platformError";
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

export function startKindOfWire(kind: number): CoreStartKind | undefined {
  return START_OF_WIRE[kind];
}

export function startKindToWire(kind: CoreStartKind | undefined): StartKind {
  switch (kind) {
    case "warm":
      return StartKind.WARM;
    case "frozen":
      return StartKind.FROZEN;
    case "stem":
      return StartKind.STEM;
    case "cold":
      return StartKind.COLD;
    case undefined:
      return StartKind.UNSPECIFIED;
  }
}

export function doneOfWire(done: Done, invokerId: string): DoneResult {
  return {
    kind: "done",
    outcome: outcomeOfWire(done.outcome),
    resultJson: done.resultJson,
    startWallMs: done.startWallMs,
    durationMs: done.durationMs,
    initMs: done.initMs,
    waitMs: done.waitMs,
    timedOut: done.timedOut,
    resultSize: done.resultSize,
    startKind: startKindOfWire(done.startKind),
    invokerId,
  };
}
