// A sequence that runs: which component is next, with what. Pure: the world is told in, what to do comes out.

import { SEQUENCE_LENGTH_MAX } from "../action/exec.js";
import {
  DEPTH_MAX,
  failure,
  withEnded,
  type ComponentEnd,
  type ComponentKind,
  type Found,
  type Inherited,
  type Place,
  type Progress,
  type RunAction,
  type RunNote,
  type Step,
} from "./step.js";

export interface SequenceRun extends Progress {
  readonly kind: "sequence";
  /** Keys, as they were when it began: changing a sequence does not change those that run. */
  readonly components: readonly string[];
  /** How many ended. */
  readonly ended: number;
  /** What the one is that runs. */
  readonly running: ComponentKind | undefined;
}

const TOO_LONG = "Too many actions in the sequence.";

export function beginSequence(
  action: RunAction,
  components: readonly string[],
  inherited: Inherited,
  startWallMs: number,
  paramsJson: string,
): Step {
  const run: SequenceRun = {
    kind: "sequence",
    action,
    components,
    ended: 0,
    running: undefined,
    // Only enclosing sequences share their count.
    depth: inherited.depth,
    componentRuns: inherited.componentRuns,
    conductorRuns: 0,
    startWallMs,
    durationMs: 0,
    memoryMb: 0,
    started: [],
  };
  if (run.depth > DEPTH_MAX) return failure(run, "applicationError", TOO_LONG);
  // An `error` in what it is called with is an argument like any other.
  return next(run, paramsJson);
}

/** What the component is that was to be looked at. */
export function foundInSequence(run: SequenceRun, found: Found, place: Place, paramsJson: string): Step {
  switch (found) {
    case "missing":
    case "forbidden":
      return failure(run, "applicationError", "Sequence component does not exist.");
    case "sequence":
      return start(run, found, run.componentRuns, place, paramsJson);
    case "action":
    case "composition": {
      const componentRuns = run.componentRuns + 1;
      if (componentRuns > SEQUENCE_LENGTH_MAX) return failure(run, "applicationError", TOO_LONG);
      return start(run, found, componentRuns, place, paramsJson);
    }
  }
}

export function endedInSequence(before: SequenceRun, end: ComponentEnd): Step {
  const counted = before.running === "sequence" ? end.composite?.componentRuns : undefined;
  const run: SequenceRun = {
    ...withEnded(before, end),
    ended: before.ended + 1,
    running: undefined,
    componentRuns: counted ?? before.componentRuns,
  };
  if (end.outcome !== "success" || run.ended === run.components.length) {
    return { kind: "end", run, outcome: end.outcome, resultJson: end.resultJson };
  }
  return next(run, end.resultJson);
}

function next(run: SequenceRun, paramsJson: string): Step {
  const key = run.components[run.ended] ?? "";
  const slash = key.indexOf("/");
  return { kind: "look", run, place: { namespace: key.slice(0, slash), name: key.slice(slash + 1) }, paramsJson };
}

function start(
  before: SequenceRun,
  running: ComponentKind,
  componentRuns: number,
  place: Place,
  paramsJson: string,
): Step {
  const run: SequenceRun = { ...before, running, componentRuns };
  const note: RunNote = {
    kind: "inherited",
    depth: run.depth + 1,
    componentRuns: running === "sequence" ? componentRuns : 0,
    conductorRuns: 0,
  };
  return { kind: "start", run, place, paramsJson, note };
}
