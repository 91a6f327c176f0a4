// Coordination over etcd.
//
// Keys, under a prefix: member/{role}/{id} holds a member as JSON, shard/{n} its owner's id; both hang on the lease of a
// membership and vanish with it. A shard's epoch is the modification revision of its key.
//
//   C1. A member's record is written only against the revision that was read, so two processes with one id never both
//       believe that the record is theirs.
//   C2. A shard is taken only when its key is absent, in the same transaction.
//   C3. A shard that was taken although the answer was lost is found again: what hangs on our own lease is ours.

import type { ICompare, IRequestOp } from "etcd3";

import type { Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import type {
  Coordination,
  Member,
  MemberListener,
  Membership,
  ShardOwnership,
} from "../core/coordination/coordination.js";
import { EtcdClient, type Listing, type Stored } from "./client.js";
import { KeptLease } from "./kept-lease.js";
import { MemberFeed } from "./member-feed.js";

export interface EtcdCoordinationDeps {
  /** host:port of each etcd. */
  readonly endpoints: readonly string[];
  /** Put before every key, without a slash at the end; "weft" in production. */
  readonly prefix: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** etcd refuses transactions with more (its --max-txn-ops). */
const TRANSACTION_OPS_MAX = 128;
/** Tries of a change that others keep overtaking. */
const TRIES_MAX = 8;

export class EtcdCoordination implements Coordination {
  readonly #client: EtcdClient;
  readonly #feed: MemberFeed;
  readonly #memberships = new Set<EtcdMembership>();
  /** Boots that have joined through here, to tell a first join from a later one. */
  readonly #joined = new Set<string>();
  #closed = false;

  constructor(private readonly deps: EtcdCoordinationDeps) {
    this.#client = new EtcdClient({ endpoints: deps.endpoints, clock: deps.clock });
    this.#feed = new MemberFeed({
      client: this.#client,
      prefix: this.#key("member/"),
      decode: (listing) => this.#decodeMembers(listing),
      clock: deps.clock,
      random: deps.random,
      log: deps.log,
    });
  }

  async join(member: Member, ttlMs: number): Promise<Membership> {
    const { clock } = this.deps;
    const sentMonoMs = clock.monoMs();
    const granted = await this.#client.grant(ttlMs);
    const lease = new KeptLease(
      { client: this.#client, clock, random: this.deps.random, log: this.deps.log },
      granted.leaseId,
      granted.ttlMs,
      sentMonoMs,
    );
    try {
      await this.#register(member, lease.leaseId);
    } catch (thrown) {
      await lease.release();
      throw thrown;
    }
    const membership = new EtcdMembership(lease, () => this.#memberships.delete(membership));
    this.#memberships.add(membership);
    if (this.#closed) await membership.leave();
    return membership;
  }

  watchMembers(listener: MemberListener, signal: AbortSignal): void {
    this.#feed.add(listener, signal);
  }

  async listMembers(): Promise<readonly Member[]> {
    return this.#decodeMembers(await this.#client.list(this.#key("member/")));
  }

  async acquireShards(
    membership: Membership,
    owner: Member,
    shards: readonly number[],
  ): Promise<readonly ShardOwnership[]> {
    if (!(membership instanceof EtcdMembership) || !membership.living) throw leaseLost(owner);
    const wanted = new Set(shards.filter((shard) => !membership.shards.has(shard)));
    const before = membership.shards.size;
    for (let tries = 0; wanted.size > 0 && tries < TRIES_MAX; tries++) {
      const { all } = await this.#client.list(this.#key("shard/"));
      for (const stored of all) {
        const shard = this.#shardOf(stored);
        if (!wanted.delete(shard)) continue;
        if (stored.leaseId === membership.lease.leaseId) membership.shards.set(shard, stored.modRevision); // C3
      }
      let overtaken = false;
      for (const batch of batches([...wanted], TRANSACTION_OPS_MAX)) {
        const epoch = await this.#take(membership, owner, batch);
        if (epoch === undefined) {
          overtaken = true;
          continue;
        }
        for (const shard of batch) {
          membership.shards.set(shard, epoch);
          wanted.delete(shard);
        }
      }
      if (!overtaken) break;
    }
    // A map keeps the order of insertion: what came in this call is at its end.
    return [...membership.shards].slice(before).map(([shard, epoch]) => ({ shard, epoch }));
  }

  async shardOwners(): Promise<ReadonlyMap<number, { readonly ownerId: string; readonly epoch: number }>> {
    const { all } = await this.#client.list(this.#key("shard/"));
    return new Map(
      all.map((stored) => [
        this.#shardOf(stored),
        { ownerId: stored.value.toString("utf8"), epoch: stored.modRevision },
      ]),
    );
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#feed.close();
    await Promise.all([...this.#memberships].map((membership) => membership.leave()));
    this.#client.close();
  }

  /** Writes the member's record on a lease, and ends what an earlier life left. */
  async #register(member: Member, leaseId: string): Promise<void> {
    const key = this.#key(`member/${member.role}/${member.id}`);
    const boot = `${member.role}/${member.id}/${member.bootId}`;
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const before = await this.#client.get(key);
      const beforeBoot = before && this.#decodeMember(before)?.bootId;
      if (before && beforeBoot !== member.bootId && this.#joined.has(boot)) throw replaced(member);
      const done = await this.#client.transact(
        [unchanged(key, before)],
        [{ request_put: { key: Buffer.from(key), value: Buffer.from(JSON.stringify(member)), lease: leaseId } }],
      );
      if (done === undefined) continue; // C1
      if (before && before.leaseId !== "0" && before.leaseId !== leaseId) {
        if (beforeBoot !== member.bootId) {
          this.deps.log.info("took the place of an earlier process with the same id", {
            memberId: member.id,
            bootId: beforeBoot,
          });
        }
        // Frees its shards at once; should this fail they are freed when the lease runs out.
        await this.#client.revoke(before.leaseId).catch((thrown: unknown) => {
          this.deps.log.warn("could not end the lease of an earlier process", { error: toWeftError(thrown) });
        });
      }
      this.#joined.add(boot);
      return;
    }
    throw replaced(member);
  }

  /** @returns the epoch, or undefined when at least one of them was taken by another meanwhile */
  async #take(membership: EtcdMembership, owner: Member, shards: readonly number[]): Promise<number | undefined> {
    const keys = shards.map((shard) => Buffer.from(this.#key(`shard/${shard}`)));
    const absent = keys.map((key): ICompare => ({ key, target: "Create", result: "Equal", create_revision: 0 })); // C2
    const puts = keys.map((key): IRequestOp => ({
      request_put: { key, value: Buffer.from(owner.id), lease: membership.lease.leaseId },
    }));
    try {
      return await this.#client.transact(absent, puts);
    } catch (thrown) {
      if (thrown instanceof WeftError && thrown.reason === "LEASE_LOST") membership.lease.lose();
      throw thrown;
    }
  }

  #key(rest: string): string {
    return `${this.deps.prefix}/${rest}`;
  }

  #shardOf(stored: Stored): number {
    return Number(stored.key.slice(this.#key("shard/").length));
  }

  #decodeMembers(listing: Listing): readonly Member[] {
    return listing.all.flatMap((stored) => this.#decodeMember(stored) ?? []);
  }

  /** @returns undefined for what is no member: written by another hand or a version that this one cannot read */
  #decodeMember(stored: Stored): Member | undefined {
    try {
      const value = JSON.parse(stored.value.toString("utf8")) as Partial<Member>;
      const { role, id, bootId, address, zone = "", wireVersion = 1 } = value;
      if (role && id && bootId && address) return { role, id, bootId, address, zone, wireVersion };
      throw new WeftError("internal", "BAD_MEMBER", `fields are missing`);
    } catch (thrown) {
      this.deps.log.warn("left out a member that cannot be read", { key: stored.key, error: toWeftError(thrown) });
      return undefined;
    }
  }
}

class EtcdMembership implements Membership {
  /** Shards taken on this lease and their epochs. */
  readonly shards = new Map<number, number>();
  #left: Promise<void> | undefined;

  constructor(
    readonly lease: KeptLease,
    private readonly forget: () => void,
  ) {
    lease.lost.addEventListener("abort", forget, { once: true });
  }

  get lost(): AbortSignal {
    return this.lease.lost;
  }

  /** True until it left or is known to be lost. */
  get living(): boolean {
    return !this.#left && !this.lease.lost.aborted;
  }

  held(): boolean {
    return this.lease.held();
  }

  leave(): Promise<void> {
    this.#left ??= this.lease.release().finally(this.forget);
    return this.#left;
  }
}

/** The key is as it was read. */
function unchanged(key: string, before: Stored | undefined): ICompare {
  return {
    key: Buffer.from(key),
    target: "Mod",
    result: "Equal",
    mod_revision: before?.modRevision ?? 0,
  };
}

function batches<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}

function replaced(member: Member): WeftError {
  return new WeftError(
    "conflict",
    "MEMBER_REPLACED",
    `another process has taken the place of ${member.role} ${member.id}`,
    { fix: `give each ${member.role} an id of its own, or stop one of the two` },
  );
}

function leaseLost(owner: Member): WeftError {
  return new WeftError("unavailable", "LEASE_LOST", `the lease of ${owner.role} ${owner.id} is lost; join again`);
}
