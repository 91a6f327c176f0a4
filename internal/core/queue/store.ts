import type { ActivationId } from "../../base/ids.js";
import type { TriggerActivation } from "../activation/types.js";

/** A durable request to invoke an action. */
export interface QueuedRequest {
  readonly id: ActivationId;
  /** Namespace of the action. */
  readonly namespace: string;
  /** "name" or "package/name". */
  readonly name: string;
  /** JSON text of the arguments, not merged with defaults. */
  readonly paramsJson: string;
  readonly callerNamespace: string;
  readonly subject: string;
  readonly transactionId: string;
  /** Public part of the key that it is made with; "" for none. Where an action asks for a key, one is made from it. */
  readonly keyUuid: string;
  readonly traceparent: string;
  readonly acceptedWallMs: number;
  /** Activation of the sequence or composition that it is a component of. */
  readonly cause?: ActivationId | undefined;
  /** Of a component, what it inherits; of a running sequence or composition how far it came (see RunNote); "" for none. */
  readonly run?: string | undefined;
}

/** Where a started attempt went. */
export interface Attempt {
  readonly invokerId: string;
  readonly invokerBootId: string;
  /** Boot id of the controller whose link carried it. */
  readonly ownerBootId: string;
}

/** A request as it was found again after its owner died. */
export interface RecoveredRequest {
  readonly request: QueuedRequest;
  /** undefined: never sent to an invoker. */
  readonly attempt: Attempt | undefined;
}

/**
 * The durable queue: one table. A request is there from acceptance until its activation record is stored, which
 * deletes it in the same transaction (ActivationStore.record). Implemented by internal/postgres; passes queueStoreSuite.
 *
 * Ownership: a request belongs to the controller (boot) that accepted or recovered it. Only its owner starts it, so a
 * request is started at most once by construction; `markStarted` compares the owner in SQL.
 */
export interface QueueStore {
  /** Durable when it resolves; owned by `ownerBootId`. Ids already there are left alone. */
  submit(requests: readonly QueuedRequest[], ownerBootId: string): Promise<void>;
  /** The trigger's record and the requests of its rules, all or nothing. */
  fire(trigger: TriggerActivation, requests: readonly QueuedRequest[], ownerBootId: string): Promise<void>;
  /**
   * Remembers that a request is about to be sent. Resolves with the ids for which it is true: not those that were
   * settled or that another controller took over.
   */
  markStarted(ids: readonly ActivationId[], attempt: Attempt): Promise<readonly ActivationId[]>;
  /** Forgets an attempt that is proven not to have started. */
  markNotStarted(ids: readonly ActivationId[], ownerBootId: string): Promise<void>;
  /**
   * Moves a running sequence or composition on: remembers how far it came, and submits its next component, all or
   * nothing. `component` undefined only remembers. May be repeated.
   * @returns false when the run is not there any more or not its owner's: then nothing was done
   */
  advance(
    run: { readonly id: ActivationId; readonly run: string; readonly ownerBootId: string },
    component: QueuedRequest | undefined,
    componentOwnerBootId: string,
  ): Promise<boolean>;
  /** Those of the ids that are not settled, whoever owns them. */
  unsettled(ids: readonly ActivationId[]): Promise<readonly ActivationId[]>;
  /** Takes over at most `limit` requests whose owner is not in `liveBootIds`, oldest first. */
  recover(ownerBootId: string, liveBootIds: readonly string[], limit: number): Promise<readonly RecoveredRequest[]>;
  /** Requests not yet settled. */
  depth(): Promise<number>;
}
