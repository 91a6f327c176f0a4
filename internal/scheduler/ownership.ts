// What this scheduler may command: its place among the members, and the shards that are its own under their epochs.
//
//   O1. commanding() is asked before each privileged command, without an await between. It is false from the moment
//       the lease is not certainly held.
//   O2. When the place is lost every epoch goes with it. Shards are taken anew, under higher epochs.
//   O3. A shard for which an invoker has seen a higher epoch is another's: it is given up, and taken again only when
//       nobody owns it.

import type { Clock } from "../base/clock.js";
import { toWeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import { SHARD_COUNT, type Coordination, type Member, type Membership } from "../core/coordination/coordination.js";
import { Presence } from "../core/coordination/presence.js";

/** Shards in one request: what one transaction of etcd takes. */
const BATCH = 128;
/** Shards that others own are asked for again this often: their owner may have died. */
const RETRY_MS = 250;

export interface OwnershipDeps {
  readonly coordination: Coordination;
  readonly member: Member;
  readonly ttlMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The owned shards changed. */
  readonly changed: (epochs: ReadonlyMap<number, number>) => void;
  /** The place is lost: nothing may be commanded until `changed`. */
  readonly lost: () => void;
}

export class Ownership {
  readonly #epochs = new Map<number, number>();
  readonly #presence: Presence;
  #cancelRetry = (): void => {};
  #closed = false;

  constructor(private readonly deps: OwnershipDeps) {
    this.#presence = new Presence({
      coordination: deps.coordination,
      member: deps.member,
      ttlMs: deps.ttlMs,
      clock: deps.clock,
      random: deps.random,
      log: deps.log,
      onJoined: (membership) => void this.#acquire(membership),
      onLost: () => {
        this.#cancelRetry();
        this.#epochs.clear(); // O2
        deps.lost();
      },
    });
  }

  /** Resolves when joined; shards follow. @throws what joining throws */
  start(): Promise<void> {
    return this.#presence.start();
  }

  /** O1 */
  commanding(): boolean {
    return this.#presence.held();
  }

  epochOf(shard: number): number | undefined {
    return this.#epochs.get(shard);
  }

  get shards(): number {
    return this.#epochs.size;
  }

  /** An invoker refused an order for the shard: it has seen a higher epoch (O3). */
  fenced(shard: number): void {
    const epoch = this.#epochs.get(shard);
    if (epoch === undefined) return;
    this.#epochs.delete(shard);
    this.deps.log.error("an invoker has seen a higher epoch of a shard: it is given up", { shard, epoch });
    this.deps.changed(this.#epochs);
    const { membership } = this.#presence;
    if (membership) this.#retry(membership);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelRetry();
    this.#epochs.clear();
    await this.#presence.close();
  }

  /** Takes every shard that nobody owns. Never rejects. */
  async #acquire(membership: Membership): Promise<void> {
    const missing: number[] = [];
    for (let shard = 0; shard < SHARD_COUNT; shard++) if (!this.#epochs.has(shard)) missing.push(shard);
    let taken = 0;
    try {
      for (let at = 0; at < missing.length; at += BATCH) {
        const batch = missing.slice(at, at + BATCH);
        const owned = await this.deps.coordination.acquireShards(membership, this.deps.member, batch);
        if (this.#over(membership)) return;
        for (const { shard, epoch } of owned) this.#epochs.set(shard, epoch);
        taken += owned.length;
      }
    } catch (thrown) {
      if (this.#over(membership)) return;
      this.deps.log.warn("could not take shards", { error: toWeftError(thrown), missing: missing.length - taken });
    }
    if (taken > 0) {
      this.deps.log.info("owns shards", { shards: this.#epochs.size });
      this.deps.changed(this.#epochs);
    }
    if (this.#epochs.size < SHARD_COUNT) this.#retry(membership);
  }

  #retry(membership: Membership): void {
    this.#cancelRetry();
    this.#cancelRetry = this.deps.clock.after(RETRY_MS, () => {
      if (!this.#over(membership)) void this.#acquire(membership);
    });
  }

  #over(membership: Membership): boolean {
    return this.#closed || this.#presence.membership !== membership;
  }
}
