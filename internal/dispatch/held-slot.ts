import type { Slot } from "../core/dispatch/action-queue.js";
import type { Lease } from "../gen/weft/link/v1/lease.pb.js";

/** A lease in a dispatcher's hands. */
export class HeldSlot implements Slot {
  busy = false;
  revoked = false;
  gone = false;
  /** True once the token was presented. */
  shown = false;

  constructor(
    readonly actionKey: string,
    readonly revisionId: string,
    readonly shard: number,
    readonly invokerId: string,
    readonly invokerAddress: string,
    readonly invokerBootId: string,
    readonly sandbox: number,
    readonly slot: number,
    readonly epoch: number,
    readonly sequence: number,
    readonly token: Uint8Array,
  ) {}

  /** As it is reported or returned: without the token. */
  toLease(): Lease {
    return {
      actionKey: this.actionKey,
      revisionId: this.revisionId,
      invokerId: this.invokerId,
      invokerAddress: this.invokerAddress,
      invokerBootId: this.invokerBootId,
      shard: this.shard,
      ref: {
        sandbox: this.sandbox,
        slot: this.slot,
        epoch: this.epoch,
        sequence: this.sequence,
        token: new Uint8Array(),
      },
    };
  }
}

/** @returns undefined for a lease without a reference, which means nothing */
export function heldSlotOf(lease: Lease): HeldSlot | undefined {
  const { ref } = lease;
  if (!ref) return undefined;
  return new HeldSlot(
    lease.actionKey,
    lease.revisionId,
    lease.shard,
    lease.invokerId,
    lease.invokerAddress,
    lease.invokerBootId,
    ref.sandbox,
    ref.slot,
    ref.epoch,
    ref.sequence,
    // A copy: the view would keep the whole frame alive for as long as the lease is held.
    Uint8Array.from(ref.token),
  );
}
