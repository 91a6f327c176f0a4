// Who may use which slot of a sandbox. The invoker is the only authority: what dispatchers and schedulers believe of a
// slot is a hint, and this table decides.
//
//   T1. A slot runs at most one call; a sandbox never more than it has slots. No lease, epoch or clock can change that.
//   T2. The highest (epoch, sequence) that was proven for a slot holds it; a lower one is refused from then on.
//   T3. A grant is proven once, by its token; after that its holder is known by its boot.

/** A lease as a call presents it. */
export interface SlotClaim {
  readonly slot: number;
  readonly epoch: number;
  readonly sequence: number;
  /** Life of the dispatcher that calls. */
  readonly dispatcherBootId: string;
  /** Revision that the caller resolved. */
  readonly revisionId: string;
}

/** What the table remembers of one slot. */
export interface SlotHolding {
  readonly epoch: number;
  readonly sequence: number;
  readonly dispatcherId: string;
  /** "" while nobody holds it. */
  readonly dispatcherBootId: string;
  readonly busy: boolean;
}

export const FREE_SLOT: SlotHolding = { epoch: 0, sequence: 0, dispatcherId: "", dispatcherBootId: "", busy: false };

export type SlotDecision =
  /** The holder calls again. */
  | "run"
  /** The token proves a newer grant: its bearer holds the slot from here on, and runs. */
  | "installAndRun"
  /** The same, but the call of the holder before is not over (T1). */
  | "installAndRefuseBusy"
  | "refuseBusy"
  | "refuseStale"
  | "refuseToken"
  | "refuseRevision";

/**
 * Decides about one call.
 * @param revisionId what the sandbox serves
 * @param holding the slot claimed; undefined when there is no such slot
 * @param proves asks the token; it costs a hash, so only when it matters
 */
export function decideUse(
  revisionId: string,
  holding: SlotHolding | undefined,
  claim: SlotClaim,
  proves: () => boolean,
): SlotDecision {
  if (!holding) return "refuseStale";
  if (claim.revisionId !== revisionId) return "refuseRevision";
  const newer = compareGrants(claim, holding);
  if (newer < 0) return "refuseStale"; // T2
  if (newer === 0 && claim.dispatcherBootId === holding.dispatcherBootId) return holding.busy ? "refuseBusy" : "run"; // T3
  if (!proves()) return "refuseToken";
  return holding.busy ? "installAndRefuseBusy" : "installAndRun";
}

/** Negative: `a` was granted before `b`. */
export function compareGrants(
  a: { readonly epoch: number; readonly sequence: number },
  b: { readonly epoch: number; readonly sequence: number },
): number {
  return a.epoch === b.epoch ? a.sequence - b.sequence : a.epoch - b.epoch;
}

/** The slots of one sandbox. Deciding and noting are one step: nothing happens between them. */
export class SlotTable {
  readonly #slots: { -readonly [K in keyof SlotHolding]: SlotHolding[K] }[];
  #busy = 0;

  constructor(
    readonly revisionId: string,
    readonly concurrency: number,
  ) {
    this.#slots = Array.from({ length: concurrency }, () => ({ ...FREE_SLOT }));
  }

  get busyCount(): number {
    return this.#busy;
  }

  /** Decides, and notes what was decided: after "run" and "installAndRun" the slot is busy until `release`. */
  use(claim: SlotClaim, dispatcherId: string, proves: () => boolean): SlotDecision {
    const slot = this.#slots[claim.slot];
    const decision = decideUse(this.revisionId, slot, claim, proves);
    if (!slot) return decision;
    if (decision === "installAndRun" || decision === "installAndRefuseBusy") {
      slot.epoch = claim.epoch;
      slot.sequence = claim.sequence;
      slot.dispatcherId = dispatcherId;
      slot.dispatcherBootId = claim.dispatcherBootId;
    }
    if (decision === "run" || decision === "installAndRun") {
      slot.busy = true;
      this.#busy += 1;
    }
    return decision;
  }

  /** The call in the slot is over. */
  release(index: number): void {
    const slot = this.#slots[index];
    if (!slot?.busy) return;
    slot.busy = false;
    this.#busy -= 1;
  }

  /** A dispatcher's life ended: its slots are nobody's. What it was granted stays outdated by anything newer (T2). */
  forgetHolder(dispatcherBootId: string): void {
    for (const slot of this.#slots) {
      if (slot.dispatcherBootId !== dispatcherBootId) continue;
      slot.dispatcherId = "";
      slot.dispatcherBootId = "";
    }
  }

  /** Slots that somebody holds. */
  *holders(): Generator<SlotHolding & { readonly slot: number }> {
    for (const [slot, holding] of this.#slots.entries()) {
      if (holding.dispatcherBootId !== "") yield { ...holding, slot };
    }
  }

  /** As it is, for tests and status pages. */
  at(index: number): SlotHolding | undefined {
    return this.#slots[index];
  }
}

/** Highest epoch seen per shard: orders below it come from a scheduler that was replaced. */
export class EpochFence {
  readonly #highest = new Map<number, number>();
  #highestOfAll = 0;

  /** @returns false when the order is stale; otherwise the epoch is remembered */
  admits(shard: number, epoch: number): boolean {
    if (epoch < (this.#highest.get(shard) ?? 0)) return false;
    this.#highest.set(shard, epoch);
    if (epoch > this.#highestOfAll) this.#highestOfAll = epoch;
    return true;
  }

  get highest(): number {
    return this.#highestOfAll;
  }
}
