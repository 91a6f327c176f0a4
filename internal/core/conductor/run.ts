// A composition that runs: an action with the annotation "conductor" is asked, again and again, what comes next. Pure,
// as sequences are.

import { SEQUENCE_LENGTH_MAX } from "../action/exec.js";
import { isObject, membersOf, objectOf } from "../../base/json-text.js";
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
  type Step,
} from "../sequence/step.js";
import { nameProblem } from "../tenancy/name.js";

export interface CompositionRun extends Progress {
  readonly kind: "composition";
  /** What runs now. */
  readonly running: "conductor" | ComponentKind | undefined;
  /** What the conductor wants back: JSON text of an object; "" for nothing. */
  readonly stateJson: string;
}

const TOO_LONG = "Too many actions in the composition.";

/** Runs of the conductor: before, between and after as many components as there may be, once more to hear that it is too long. */
const CONDUCTOR_RUNS_MAX = 2 * SEQUENCE_LENGTH_MAX + 1;

export function beginComposition(
  action: RunAction,
  inherited: Inherited,
  startWallMs: number,
  paramsJson: string,
): Step {
  const run: CompositionRun = {
    kind: "composition",
    action,
    running: undefined,
    stateJson: "",
    // Field by field: a note has more.
    depth: inherited.depth,
    componentRuns: inherited.componentRuns,
    conductorRuns: inherited.conductorRuns,
    startWallMs,
    durationMs: 0,
    memoryMb: 0,
    started: [],
  };
  if (run.depth > DEPTH_MAX) return failure(run, "applicationError", TOO_LONG);
  return conduct(run, paramsJson);
}

/** What the component is that was to be looked at. A refusal is told to the conductor, which may know what to do. */
export function foundInComposition(before: CompositionRun, found: Found, place: Place, paramsJson: string): Step {
  const name = `'${place.namespace}/${place.name}'`;
  switch (found) {
    case "missing":
      return conductError(before, `Failed to resolve action with name ${name} during composition.`);
    case "forbidden":
      return conductError(before, `Failed entitlement check for action with name ${name} during composition.`);
    case "action":
    case "sequence":
    case "composition": {
      const nested = found === "composition"; // it counts what it runs, not itself
      const run: CompositionRun = { ...before, running: found, componentRuns: before.componentRuns + (nested ? 0 : 1) };
      const note = {
        kind: "inherited",
        depth: run.depth + 1,
        componentRuns: nested ? run.componentRuns : 0,
        conductorRuns: nested ? run.conductorRuns : 0,
      } as const;
      return { kind: "start", run, place, paramsJson, note };
    }
  }
}

/** @param own namespace of the caller, in which names without one are */
export function endedInComposition(before: CompositionRun, end: ComponentEnd, own: string): Step {
  const { running } = before;
  const run: CompositionRun = { ...withEnded(before, end), running: undefined };
  if (running === "conductor") return conducted(run, end, own);
  const { composite } = end;
  const shared = running === "composition" && composite;
  return conduct(
    shared
      ? { ...run, componentRuns: composite.componentRuns, conductorRuns: composite.conductorRuns ?? run.conductorRuns }
      : run,
    end.resultJson,
  );
}

/** What the conductor said. */
function conducted(before: CompositionRun, end: ComponentEnd, own: string): Step {
  const result = isObject(end.resultJson) ? membersOf(end.resultJson) : new Map<string, string>();
  const action = result.get("action");
  const params = result.get("params");
  const state = result.get("state");
  const run: CompositionRun = { ...before, stateJson: state === undefined ? "" : boxed("state", state) };
  const paramsJson = params === undefined ? undefined : boxed("value", params);
  if (action === undefined || end.outcome !== "success") {
    return { kind: "end", run, outcome: end.outcome, resultJson: paramsJson ?? end.resultJson };
  }
  const place = placeOf(action, own);
  if (!place) return conductError(run, `Failed to parse action name from json value ${action} during composition.`);
  if (run.componentRuns >= SEQUENCE_LENGTH_MAX) return conductError(run, TOO_LONG);
  return { kind: "look", run, place, paramsJson: paramsJson ?? "{}" };
}

function conductError(run: CompositionRun, message: string): Step {
  return conduct(run, JSON.stringify({ error: message }));
}

/** Runs the conductor with what it wanted back laid over the payload. */
function conduct(before: CompositionRun, payloadJson: string): Step {
  if (before.conductorRuns >= CONDUCTOR_RUNS_MAX) return failure(before, "applicationError", TOO_LONG);
  const run: CompositionRun = { ...before, running: "conductor", conductorRuns: before.conductorRuns + 1 };
  // Conductors take objects: OpenWhisk cannot hand over an array at all.
  const payload = boxed("value", payloadJson === "" ? "{}" : payloadJson);
  const paramsJson =
    run.stateJson === "" ? payload : objectOf(new Map([...membersOf(payload), ...membersOf(run.stateJson)]));
  return { kind: "start", run, place: undefined, paramsJson, note: { kind: "conductor" } };
}

/** What is no object becomes the member of one. */
function boxed(key: string, valueJson: string): string {
  return isObject(valueJson) ? valueJson : objectOf(new Map([[key, valueJson]]));
}

/** "a", "pkg/a", "ns/pkg/a", "/ns/a" or "/ns/pkg/a" as JSON text. @returns undefined when it is none of these */
function placeOf(actionJson: string, own: string): Place | undefined {
  const spelled: unknown = JSON.parse(actionJson);
  if (typeof spelled !== "string") return undefined;
  const absolute = spelled.startsWith("/");
  const parts = (absolute ? spelled.slice(1) : spelled).split("/");
  if (parts.length > 3 || (absolute && parts.length < 2)) return undefined;
  const [first = "", ...rest] = absolute || parts.length === 3 ? parts : [own, ...parts];
  const namespace = first === "_" ? own : first;
  if ([namespace, ...rest].some((part) => nameProblem(part) !== undefined)) return undefined;
  return { namespace, name: rest.join("/") };
}
