// Between the words of core and those of the links.

import type { ActionAsk } from "../core/dispatch/call.js";
import type { GrantRef, LeaseFields, ReadySandbox } from "../core/lease/slot-table.js";
import { shardOf } from "../core/coordination/coordination.js";
import { SandboxState, type SandboxView } from "../gen/weft/link/v1/fleet.pb.js";
import type { Lease } from "../gen/weft/link/v1/lease.pb.js";

/** @returns undefined for a lease without a reference, which means nothing */
export function leaseOfWire(lease: Lease): LeaseFields | undefined {
  const { ref } = lease;
  if (!ref) return undefined;
  return {
    actionKey: lease.actionKey,
    revisionId: lease.revisionId,
    shard: lease.shard,
    invokerId: lease.invokerId,
    invokerAddress: lease.invokerAddress,
    invokerBootId: lease.invokerBootId,
    sandbox: ref.sandbox,
    slot: ref.slot,
    epoch: ref.epoch,
    sequence: ref.sequence,
  };
}

export function leasesOfWire(leases: readonly Lease[]): LeaseFields[] {
  return leases.map(leaseOfWire).filter((lease) => lease !== undefined);
}

/** Only what a return is matched by. */
export function refsOfWire(leases: readonly Lease[]): GrantRef[] {
  const refs: GrantRef[] = [];
  for (const { ref, invokerBootId } of leases) {
    if (!ref) continue;
    refs.push({ invokerBootId, sandbox: ref.sandbox, slot: ref.slot, epoch: ref.epoch, sequence: ref.sequence });
  }
  return refs;
}

export function leaseToWire(lease: LeaseFields, token: Uint8Array): Lease {
  return {
    actionKey: lease.actionKey,
    revisionId: lease.revisionId,
    invokerId: lease.invokerId,
    invokerAddress: lease.invokerAddress,
    invokerBootId: lease.invokerBootId,
    shard: lease.shard,
    ref: { sandbox: lease.sandbox, slot: lease.slot, epoch: lease.epoch, sequence: lease.sequence, token },
  };
}

/** @returns undefined for a sandbox that takes no calls: starting, a stem cell, gone */
export function readyOfWire(view: SandboxView): ReadySandbox | undefined {
  if (view.state !== SandboxState.WARM && view.state !== SandboxState.FROZEN) return undefined;
  if (view.actionKey === "" || view.revisionId === "") return undefined;
  return {
    sandbox: view.sandbox,
    actionKey: view.actionKey,
    revisionId: view.revisionId,
    shard: shardOf(view.actionKey),
    concurrency: view.concurrency,
    holders: view.holders,
  };
}

/** The wire message has the same fields; a copy, so that a frame's other items are not kept alive. */
export function askOfWire(ask: ActionAsk): ActionAsk {
  return {
    key: ask.key,
    revisionId: ask.revisionId,
    kind: ask.kind,
    memoryMb: ask.memoryMb,
    concurrency: Math.max(1, ask.concurrency),
    maxInstances: ask.maxInstances,
    timeoutMs: ask.timeoutMs,
  };
}
