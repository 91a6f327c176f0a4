import type { WeftError } from "../../base/errors.js";
import type { Outcome, StartKind } from "../activation/types.js";

/** What a scheduler must know about an action revision to place it. */
export interface ActionAsk {
  /** "namespace/name" or "namespace/package/name". */
  readonly key: string;
  readonly revisionId: string;
  readonly kind: string;
  readonly memoryMb: number;
  readonly concurrency: number;
  /** 0 for no limit of its own. */
  readonly maxInstances: number;
  readonly timeoutMs: number;
}

/** On whose behalf a call runs. */
export interface Caller {
  readonly namespace: string;
  readonly subject: string;
  readonly transactionId: string;
  /** "uuid:key" when the action asks for it, else "". */
  readonly apiKey: string;
  /** Id of the enclosing activation, or "". */
  readonly cause: string;
  /** "namespace/name" of the binding through which the action was named, or "". */
  readonly binding: string;
}

/** Where a call went. */
export interface Destination {
  readonly invokerId: string;
  readonly invokerBootId: string;
}

/** One invocation handed to a dispatcher. */
export interface DispatchCall {
  /** 16 bytes. */
  readonly activationId: Uint8Array;
  readonly ask: ActionAsk;
  readonly shard: number;
  /** JSON text of the arguments, defaults merged. */
  readonly paramsJson: Uint8Array;
  readonly caller: Caller;
  /** W3C trace context, or "". */
  readonly traceparent: string;
  /** When it was accepted, monotonic. */
  readonly acceptedMonoMs: number;
  /** When it is refused if it has not started by then, monotonic; Infinity for never. */
  readonly expiresMonoMs: number;
  /** Attempt of a durable request, from 1; 0 for a caller who waits. */
  readonly attempt: number;
  /** How much of a result that is too large its caller is shown, bytes; undefined: as much as a result may have. */
  readonly truncationBytes?: number | undefined;
  /** True when no record of it is wanted. */
  readonly unstored?: boolean | undefined;
  /**
   * Asked before the call is sent, for durable requests: false drops the call without `complete`. When it rejects, the
   * call is refused. undefined for callers who wait: nothing is asked and nothing awaited.
   */
  readonly beforeSend: ((to: Destination) => Promise<boolean>) | undefined;
  /** Called exactly once, unless beforeSend said false. */
  complete(result: DispatchResult): void;
}

export interface DoneResult {
  readonly kind: "done";
  readonly outcome: Outcome;
  readonly resultJson: Uint8Array;
  readonly startWallMs: number;
  readonly durationMs: number;
  readonly initMs: number | undefined;
  readonly waitMs: number;
  readonly timedOut: boolean;
  readonly resultSize: number;
  readonly startKind: StartKind | undefined;
  readonly invokerId: string;
}

export type DispatchResult =
  /** User code ended, one way or another; the invoker sends the record. */
  | DoneResult
  /** Proven not to have started: may be sent again. */
  | { readonly kind: "refused"; readonly error: WeftError }
  /** It may have started, and nobody can say how it ended: must not be sent again by itself. */
  | { readonly kind: "lost"; readonly invokerId: string; readonly error: WeftError };
