import type { ActivationId } from "../../base/ids.js";

/** How an activation ended. */
export type Outcome = "success" | "applicationError" | "developerError" | "platformError";

/** How a sandbox came to serve an activation. */
export type StartKind = "warm" | "frozen" | "stem" | "cold";

/** OpenWhisk's words for outcomes, as its clients read them; the index is the status code. */
export const STATUS_OF: Readonly<Record<Outcome, { readonly code: 0 | 1 | 2 | 3; readonly text: string }>> = {
  success: { code: 0, text: "success" },
  applicationError: { code: 1, text: "application error" },
  developerError: { code: 2, text: "action developer error" },
  platformError: { code: 3, text: "whisk internal error" },
};

/** What is kept of an activation of an action. */
export interface ActionActivation {
  readonly of: "action";
  readonly id: ActivationId;
  /** Caller's namespace: it owns the record. */
  readonly namespace: string;
  readonly subject: string;
  /** Name of the action without its package. */
  readonly name: string;
  /** "namespace/[package/]name" of the action. */
  readonly path: string;
  /** "namespace/name" of the binding through which it was invoked. The namespace is the caller's: bindings are not shared. */
  readonly binding: string | undefined;
  readonly version: string;
  readonly kind: string;
  readonly startWallMs: number;
  /** Init and run. */
  readonly durationMs: number;
  /** Set when this activation paid for init. */
  readonly initMs: number | undefined;
  /** Acceptance to start. */
  readonly waitMs: number;
  readonly outcome: Outcome;
  /** JSON text of the result, or of {"error": ...}. */
  readonly resultJson: string;
  readonly resultSize: number;
  readonly timedOut: boolean;
  readonly logs: readonly string[];
  readonly limits: {
    readonly timeoutMs: number;
    readonly memoryMb: number;
    readonly logsMb: number;
    readonly concurrency: number;
  };
  readonly cause: ActivationId | undefined;
  readonly transactionId: string;
  readonly traceId: string;
  readonly startKind: StartKind | undefined;
  /** Where it ran; "" when it did not. */
  readonly invokerId: string;
  /** Set for a sequence or composition, whose logs are the ids of what ran in it. */
  readonly composite?: Composite | undefined;
}

/** What the record of a sequence or composition says more. */
export interface Composite {
  /** The end of the whole: its duration is the sum of what ran in it, without what was between. */
  readonly endWallMs: number;
  /** Actions that ran in it, as the limit of a sequence or composition counts them. */
  readonly componentRuns: number;
  /** Runs of conductors, with those of nested compositions; undefined for a sequence. */
  readonly conductorRuns: number | undefined;
}

/** When an activation ended. */
export function endWallMsOf(activation: ActionActivation): number {
  return activation.composite?.endWallMs ?? activation.startWallMs + activation.durationMs;
}

/** What is kept of a firing. It has no end and no duration. */
export interface TriggerActivation {
  readonly of: "trigger";
  readonly id: ActivationId;
  readonly namespace: string;
  readonly subject: string;
  readonly name: string;
  /** "namespace/name" */
  readonly path: string;
  readonly version: string;
  readonly startWallMs: number;
  /** The payload: JSON text of an object. */
  readonly resultJson: string;
  /** One JSON object per attached rule. */
  readonly logs: readonly string[];
  readonly transactionId: string;
  readonly traceId: string;
}

export type Activation = ActionActivation | TriggerActivation;
