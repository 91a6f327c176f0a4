// A QueueStore that encrypts what firings leave in it: their arguments have the trigger's parameters in them. Arguments
// that somebody sends with an invocation are stored as they are, here and in records, as in OpenWhisk.

import type { ActivationId } from "../../base/ids.js";
import type { TriggerActivation } from "../activation/types.js";
import type { Attempt, QueuedRequest, QueueStore, RecoveredRequest } from "../queue/store.js";
import { open, seal, type SealedPlace } from "./envelope.js";
import type { KeyRing } from "./key-ring.js";

/** Arguments are a JSON object and never begin like this. Then come the key's id, a colon, and an envelope in base64. */
export const SEALED_MARK = "sealed:";

export class SealedQueueStore implements QueueStore {
  constructor(
    private readonly stored: QueueStore,
    private readonly ring: KeyRing,
  ) {}

  submit(requests: readonly QueuedRequest[], ownerBootId: string): Promise<void> {
    return this.stored.submit(requests, ownerBootId);
  }

  fire(trigger: TriggerActivation, requests: readonly QueuedRequest[], ownerBootId: string): Promise<void> {
    return this.stored.fire(trigger, this.sealed(requests), ownerBootId);
  }

  /** What a firing starts as it is stored, for whoever stores it together with something else. */
  sealed(requests: readonly QueuedRequest[]): readonly QueuedRequest[] {
    const { current } = this.ring;
    if (!current) return requests;
    return requests.map((request) => ({
      ...request,
      paramsJson: `${SEALED_MARK}${current.id}:${seal(current, placeOf(request), request.paramsJson).toString("base64")}`,
    }));
  }

  markStarted(ids: readonly ActivationId[], attempt: Attempt): Promise<readonly ActivationId[]> {
    return this.stored.markStarted(ids, attempt);
  }

  markNotStarted(ids: readonly ActivationId[], ownerBootId: string): Promise<void> {
    return this.stored.markNotStarted(ids, ownerBootId);
  }

  advance(
    run: { readonly id: ActivationId; readonly run: string; readonly ownerBootId: string },
    component: QueuedRequest | undefined,
    componentOwnerBootId: string,
  ): Promise<boolean> {
    return this.stored.advance(run, component, componentOwnerBootId);
  }

  unsettled(ids: readonly ActivationId[]): Promise<readonly ActivationId[]> {
    return this.stored.unsettled(ids);
  }

  async recover(
    ownerBootId: string,
    liveBootIds: readonly string[],
    limit: number,
  ): Promise<readonly RecoveredRequest[]> {
    const recovered = await this.stored.recover(ownerBootId, liveBootIds, limit);
    return recovered.map((one) => ({ ...one, request: this.#opened(one.request) }));
  }

  depth(): Promise<number> {
    return this.stored.depth();
  }

  #opened(request: QueuedRequest): QueuedRequest {
    const { paramsJson } = request;
    if (!paramsJson.startsWith(SEALED_MARK)) return request;
    const envelope = Buffer.from(paramsJson.slice(paramsJson.indexOf(":", SEALED_MARK.length) + 1), "base64");
    return { ...request, paramsJson: open(this.ring, placeOf(request), envelope) };
  }
}

function placeOf({ callerNamespace, id }: QueuedRequest): SealedPlace {
  return { namespace: callerNamespace, key: `firing ${id}` };
}
