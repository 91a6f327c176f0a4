// What Weft asks of etcd: who is alive and who owns what. Implemented by internal/etcd and, for `weft dev` and tests,
// in memory; both pass coordinationSuite.

export type Role = "gateway" | "controller" | "scheduler" | "invoker";

/** A live process. */
export interface Member {
  readonly role: Role;
  /** Stable over restarts. */
  readonly id: string;
  /** Random per process start. */
  readonly bootId: string;
  /** Where other roles dial it: host:port. */
  readonly address: string;
  readonly zone: string;
  readonly wireVersion: number;
}

/** A process's own place among the members. */
export interface Membership {
  /**
   * True while the lease is certainly held: a keep-alive that was *sent* less than TTL minus margin ago was answered
   * (LeaseGuard; monotonic clock). On false, command nothing; the data plane goes on.
   */
  held(): boolean;
  /** Aborted when the lease is lost for good; the process should join again. */
  readonly lost: AbortSignal;
  /** Removes the member at once; when the store cannot be reached, when its lease runs out. May be repeated. */
  leave(): Promise<void>;
}

/** What a shard's owner holds. */
export interface ShardOwnership {
  /** Fencing number: modification revision of the shard's key. Higher wins. */
  readonly epoch: number;
  readonly shard: number;
}

export interface MemberListener {
  /**
   * The complete list, in no order; called once at the start and after each change or reconnection. While the store
   * cannot be reached nothing is told: the last list stays the best knowledge. Changes may be told of together.
   */
  members(all: readonly Member[]): void;
}

export interface Coordination {
  /**
   * Registers this process under a lease of `ttlMs` and keeps it alive. What an earlier life of the same member left is
   * ended at once, its shards included. A process that joins again, after it lost its lease, does not push out another
   * one that has taken its id meanwhile.
   * @throws unavailable
   * @throws conflict (MEMBER_REPLACED) when it joins again and another process lives under its id
   */
  join(member: Member, ttlMs: number): Promise<Membership>;
  /** Tells of members until the signal aborts. Never rejects; reconnects by itself and lists anew. */
  watchMembers(listener: MemberListener, signal: AbortSignal): void;
  /** All members now. @throws unavailable */
  listMembers(): Promise<readonly Member[]>;
  /**
   * Takes the shards that nobody owns, tied to the membership's lease: they are free again when it leaves or is lost.
   * @returns those taken now; owned ones are left out. May be repeated.
   * @throws unavailable; then some may have been taken, and the next call returns them. LEASE_LOST: join again
   */
  acquireShards(membership: Membership, owner: Member, shards: readonly number[]): Promise<readonly ShardOwnership[]>;
  /** Who owns which shard. @throws unavailable */
  shardOwners(): Promise<ReadonlyMap<number, { readonly ownerId: string; readonly epoch: number }>>;
  /** Leaves with every membership, as far as the store can be reached, and tells listeners nothing more. */
  close(): Promise<void>;
}

/** How many parts the action space has. Fixed: changing it moves every action. */
export const SHARD_COUNT = 1_024;

/** 64-bit FNV-1a of the action key, folded into a shard. */
export function shardOf(actionKey: string): number {
  // Two 32-bit halves: BigInt costs a microsecond here, and this runs on every resolve.
  let high = 0xcbf29ce4;
  let low = 0x84222325;
  for (const byte of Buffer.from(actionKey, "utf8")) {
    low = (low ^ byte) >>> 0;
    // times 0x100000001b3 = 2^40 + 0x1b3
    const lowProduct = low * 0x1b3;
    high = (Math.imul(high, 0x1b3) + Math.floor(lowProduct / 4294967296) + (low << 8)) >>> 0;
    low = lowProduct >>> 0;
  }
  return ((high ^ low) >>> 0) % SHARD_COUNT;
}
