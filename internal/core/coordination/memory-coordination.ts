// Coordination within one process: for `weft dev`, tests and simulation. A MemoryCoordination is one process's
// connection to a store; connection() gives another one to the same store, and sever(), mend() and kill() do to it what
// networks and operators do. While a connection stands its leases are kept alive without a single timer; once it is
// severed they run out after their TTL, as etcd's do.

import type { Clock } from "../../base/clock.js";
import { WeftError } from "../../base/errors.js";
import type { Coordination, Member, MemberListener, Membership, ShardOwnership } from "./coordination.js";
import { LeaseGuard } from "./lease-guard.js";

interface Lease {
  readonly ttlMs: number;
  readonly owner: MemoryMembership;
  ended: boolean;
  cancelExpiry: () => void;
}

interface MemberRecord {
  readonly member: Member;
  readonly lease: Lease;
}

interface ShardRecord {
  readonly ownerId: string;
  readonly epoch: number;
  readonly lease: Lease;
}

class MemoryStore {
  readonly members = new Map<string, MemberRecord>();
  readonly shards = new Map<number, ShardRecord>();
  readonly connections = new Set<MemoryCoordination>();
  #revision = 0;

  constructor(readonly clock: Clock) {}

  next(): number {
    this.#revision += 1;
    return this.#revision;
  }

  list(): readonly Member[] {
    return [...this.members.values()].map((record) => record.member);
  }

  end(lease: Lease): void {
    if (lease.ended) return;
    lease.ended = true;
    lease.cancelExpiry();
    for (const [shard, record] of this.shards) if (record.lease === lease) this.shards.delete(shard);
    for (const [key, record] of this.members) if (record.lease === lease) this.members.delete(key);
    lease.owner.noticeEnd();
    this.changed();
  }

  changed(): void {
    this.next();
    for (const connection of this.connections) connection.tell();
  }
}

export class MemoryCoordination implements Coordination {
  readonly #store: MemoryStore;
  readonly #memberships = new Set<MemoryMembership>();
  readonly #listeners = new Set<MemberListener>();
  readonly #joined = new Set<string>();
  #severed = false;
  #killed = false;
  #telling = false;

  constructor(clock: Clock, store?: MemoryStore) {
    this.#store = store ?? new MemoryStore(clock);
    this.#store.connections.add(this);
  }

  /** Another process's connection to the same store. */
  connection(): MemoryCoordination {
    return new MemoryCoordination(this.#store.clock, this.#store);
  }

  /** Cuts this connection, as a partition does, or stops its process: nothing is told or renewed until mend(). */
  sever(): void {
    if (this.#severed) return;
    this.#severed = true;
    for (const membership of this.#memberships) membership.severed();
  }

  /** The connection stands again. */
  mend(): void {
    if (!this.#severed || this.#killed) return;
    this.#severed = false;
    for (const membership of [...this.#memberships]) membership.mended();
    this.tell();
  }

  /** The process of this connection dies without a word: its leases run out, it hears nothing any more. */
  kill(): void {
    this.sever();
    this.#killed = true;
    this.#listeners.clear();
    this.#store.connections.delete(this);
  }

  join(member: Member, ttlMs: number): Promise<Membership> {
    return this.#do(() => {
      const key = `${member.role}/${member.id}`;
      const boot = `${key}/${member.bootId}`;
      const before = this.#store.members.get(key);
      if (before && before.member.bootId !== member.bootId && this.#joined.has(boot)) throw replaced(member);
      const membership = new MemoryMembership(this, this.#store, ttlMs, () => this.#memberships.delete(membership));
      this.#joined.add(boot);
      this.#memberships.add(membership);
      this.#store.members.set(key, { member, lease: membership.lease });
      // What is left of an earlier life of this member: its shards are free at once.
      if (before) this.#store.end(before.lease);
      this.#store.changed();
      return membership;
    });
  }

  watchMembers(listener: MemberListener, signal: AbortSignal): void {
    if (signal.aborted || this.#killed) return;
    // A listener of its own, so that the same object may watch twice.
    const own: MemberListener = { members: (all) => listener.members(all) };
    this.#listeners.add(own);
    signal.addEventListener("abort", () => this.#listeners.delete(own), { once: true });
    queueMicrotask(() => {
      if (!this.#severed && this.#listeners.has(own)) own.members(this.#store.list());
    });
  }

  listMembers(): Promise<readonly Member[]> {
    return this.#do(() => this.#store.list());
  }

  acquireShards(membership: Membership, owner: Member, shards: readonly number[]): Promise<readonly ShardOwnership[]> {
    return this.#do(() => {
      if (!(membership instanceof MemoryMembership) || membership.lease.ended) throw leaseLost(owner);
      const taken: ShardOwnership[] = [];
      const epoch = this.#store.next();
      for (const shard of new Set(shards)) {
        if (this.#store.shards.has(shard)) continue;
        this.#store.shards.set(shard, { ownerId: owner.id, epoch, lease: membership.lease });
        taken.push({ shard, epoch });
      }
      return taken;
    });
  }

  shardOwners(): Promise<ReadonlyMap<number, { readonly ownerId: string; readonly epoch: number }>> {
    return this.#do(
      () => new Map([...this.#store.shards].map(([shard, { ownerId, epoch }]) => [shard, { ownerId, epoch }])),
    );
  }

  async close(): Promise<void> {
    this.#listeners.clear();
    for (const membership of [...this.#memberships]) await membership.leave();
    this.#store.connections.delete(this);
  }

  /** False while this process and the store cannot reach each other. */
  get connected(): boolean {
    return !this.#severed;
  }

  /** Tells the listeners of the members, once per turn. */
  tell(): void {
    if (this.#telling || this.#severed || this.#listeners.size === 0) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
      if (this.#severed) return;
      const all = this.#store.list();
      for (const listener of [...this.#listeners]) if (this.#listeners.has(listener)) listener.members(all);
    });
  }

  async #do<T>(act: () => T): Promise<T> {
    // The answer of a store never comes in the same turn as the question.
    await Promise.resolve();
    if (this.#severed) {
      throw new WeftError("unavailable", "COORDINATION_UNREACHABLE", "the coordination store cannot be reached");
    }
    return act();
  }
}

class MemoryMembership implements Membership {
  readonly lease: Lease;
  readonly #lost = new AbortController();
  /** While severed: what the last keep-alive is worth. */
  #guard: LeaseGuard | undefined;
  #left = false;

  constructor(
    private readonly connection: MemoryCoordination,
    private readonly store: MemoryStore,
    ttlMs: number,
    private readonly forget: () => void,
  ) {
    this.lease = { ttlMs, owner: this, ended: false, cancelExpiry: () => {} };
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  held(): boolean {
    if (this.#left || this.#lost.signal.aborted) return false;
    return this.#guard ? this.#guard.held(this.store.clock.monoMs()) : !this.lease.ended;
  }

  severed(): void {
    const now = this.store.clock.monoMs();
    this.#guard = new LeaseGuard(this.lease.ttlMs, now, now);
    this.lease.cancelExpiry = this.store.clock.after(this.lease.ttlMs, () => this.store.end(this.lease));
  }

  mended(): void {
    if (this.lease.ended) {
      this.forget();
      this.#lost.abort();
      return;
    }
    this.lease.cancelExpiry();
    this.#guard = undefined;
  }

  /** Its record was replaced or its lease ended while it could hear of it. */
  noticeEnd(): void {
    if (!this.#left && this.connection.connected) this.mended();
  }

  leave(): Promise<void> {
    if (this.#left) return Promise.resolve();
    this.#left = true;
    this.forget();
    // Out of reach the store cannot be told: the lease runs out by itself.
    if (this.connection.connected) this.store.end(this.lease);
    return Promise.resolve();
  }
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
