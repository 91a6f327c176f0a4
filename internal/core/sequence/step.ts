// What sequences and compositions have in common: what is remembered of a run, and what is to be done next.

import type { ActivationId } from "../../base/ids.js";
import type { ActionLimits } from "../action/types.js";
import type { Composite, Outcome } from "../activation/types.js";
import type { CompositionRun } from "../conductor/run.js";
import type { SequenceRun } from "./run.js";

/** Deepest nesting of sequences and compositions: without actions in them no other limit ends it. */
export const DEPTH_MAX = 50;

/** What a component inherits from the run that starts it. */
export interface Inherited {
  /** 0 for what no run encloses. */
  readonly depth: number;
  /** Spent of the limits that are shared with the enclosing run. */
  readonly componentRuns: number;
  readonly conductorRuns: number;
}

export const NOTHING_INHERITED: Inherited = { depth: 0, componentRuns: 0, conductorRuns: 0 };

/** What the record of a run says of its action. */
export interface RunAction {
  /** "namespace/[package/]name" of the action itself, whatever binding it was named through. */
  readonly path: string;
  readonly version: string;
  readonly limits: ActionLimits;
}

/** What is remembered of every run. Plain data: it is stored as JSON text between the steps. */
export interface Progress extends Inherited {
  /** The sequence or conductor as it was when it began. */
  readonly action: RunAction;
  readonly startWallMs: number;
  /** Sum of what ended in it. */
  readonly durationMs: number;
  /** Most of what ended in it; 0 when nothing did. */
  readonly memoryMb: number;
  /** Everything that was started, in order. The last one runs. */
  readonly started: readonly ActivationId[];
}

export type Run = SequenceRun | CompositionRun;

/** What an action is to whoever runs it. */
export type ComponentKind = "action" | "sequence" | "composition";

/** What was found under the name of a component. */
export type Found = ComponentKind | "missing" | "forbidden";

/** How a component, or a run of the conductor, ended. */
export interface ComponentEnd {
  readonly outcome: Outcome;
  /** JSON text of an object or array. */
  readonly resultJson: string;
  readonly durationMs: number;
  readonly memoryMb: number;
  /** Of a component that was itself a sequence or composition. */
  readonly composite: Composite | undefined;
}

/** An action by its place. */
export interface Place {
  readonly namespace: string;
  /** "name" or "package/name". */
  readonly name: string;
}

export type Step =
  /** See what the component is, and say so. */
  | { readonly kind: "look"; readonly run: Run; readonly place: Place; readonly paramsJson: string }
  /** Start it. */
  | {
      readonly kind: "start";
      readonly run: Run;
      /** undefined: the conductor itself. */
      readonly place: Place | undefined;
      readonly paramsJson: string;
      readonly note: RunNote;
    }
  | { readonly kind: "end"; readonly run: Run; readonly outcome: Outcome; readonly resultJson: string };

/** What is kept with a request beside its arguments. */
export type RunNote =
  /** A component that has not begun. */
  | ({ readonly kind: "inherited" } & Inherited)
  /** The conductor's own run: as a plain action. */
  | { readonly kind: "conductor" }
  | Run;

export function noteText(note: RunNote): string {
  return JSON.stringify(note);
}

/** @param text what `noteText` made, or "" */
export function noteOf(text: string | undefined): RunNote | undefined {
  return text === undefined || text === "" ? undefined : (JSON.parse(text) as RunNote);
}

/** A run that is going on, as opposed to one that has not begun. */
export function runOf(note: RunNote | undefined): Run | undefined {
  return note?.kind === "sequence" || note?.kind === "composition" ? note : undefined;
}

export function withStarted<R extends Run>(run: R, id: ActivationId): R {
  return { ...run, started: [...run.started, id] };
}

/** Counts what ended. */
export function withEnded<R extends Run>(run: R, end: ComponentEnd): R {
  return {
    ...run,
    durationMs: run.durationMs + end.durationMs,
    memoryMb: Math.max(run.memoryMb, end.memoryMb),
  };
}

export function failure(run: Run, outcome: Exclude<Outcome, "success">, message: string): Step {
  return { kind: "end", run, outcome, resultJson: JSON.stringify({ error: message }) };
}
