// The slots of the shards that a scheduler owns: which are free, who holds the others, who waits. A reducer: apply()
// takes in what happened, decide() says what to do about it. Time comes with each event; nothing here waits or sends.
//
//   T1. A slot is exactly one of free, held (by one dispatcher) or gone. audit() proves it.
//   T2. Every grant has a higher sequence than all before it, and is made under the epoch of its shard. A slot whose
//       last known grant has a higher epoch than ours is not granted: somebody else owns the shard by now.
//   T3. A slot goes to the dispatcher whose item has waited longest.
//   T4. While somebody waits and nothing is free, the action is contended: whoever holds slots of it is told, once,
//       and told again when it is over; never sooner than CONTENDED_MS after it began, lest it flaps.
//   T5. What a dispatcher holds is what it says it holds: its complete report replaces what was believed, a report of
//       a slot that was granted to somebody since is answered by a revocation.
//   T6. A dispatcher that is away keeps its slots until its session expires, or until an invoker says its link is gone.
//       While it is here it speaks for itself: it returns what it loses with a link, and an invoker's word may be older
//       than a grant that it has just got.
//   T7. A slot that came back as void rests before it is granted again, longer each time: its invoker still refuses it
//       (a call of a vanished dispatcher runs in it), and granting it at once would only go round in circles.
//
// The table is a hint: invokers arbitrate. A mistake here costs a refusal and a retry, never two calls in one slot.

import { invariant } from "../../base/errors.js";

/** Contention lasts at least this long. */
export const CONTENDED_MS = 50;
/** A holder that returns to a contended action is told again when it was last told longer ago than this. */
const TELL_AGAIN_MS = 10_000;
/** First and longest rest of a slot that came back as void. */
const REST_FIRST_MS = 50;
const REST_MAX_MS = 2_000;

/** What names a grant of a slot. */
export interface GrantRef {
  readonly invokerBootId: string;
  readonly sandbox: number;
  readonly slot: number;
  readonly epoch: number;
  readonly sequence: number;
}

export interface LeaseFields extends GrantRef {
  readonly actionKey: string;
  readonly revisionId: string;
  readonly shard: number;
  readonly invokerId: string;
  readonly invokerAddress: string;
}

export interface Holder {
  readonly slot: number;
  readonly dispatcherId: string;
  readonly dispatcherBootId: string;
  readonly epoch: number;
  readonly sequence: number;
}

/** A sandbox that takes calls, as its invoker reports it. */
export interface ReadySandbox {
  readonly sandbox: number;
  readonly actionKey: string;
  readonly revisionId: string;
  readonly shard: number;
  readonly concurrency: number;
  readonly holders: readonly Holder[];
}

export type SlotEvent =
  /** This scheduler owns these shards, under these epochs, and no others. */
  | { readonly kind: "shards"; readonly epochs: ReadonlyMap<number, number> }
  | { readonly kind: "invoker"; readonly bootId: string; readonly id: string; readonly address: string }
  /** Complete: what is not in it does not exist. */
  | { readonly kind: "inventory"; readonly bootId: string; readonly sandboxes: readonly ReadySandbox[] }
  /** Whether its free slots may be granted: not while it is silent, cut off or draining. */
  | { readonly kind: "invokerUsable"; readonly bootId: string; readonly usable: boolean }
  | { readonly kind: "invokerGone"; readonly bootId: string }
  | { readonly kind: "sandboxReady"; readonly bootId: string; readonly ready: ReadySandbox }
  | { readonly kind: "sandboxGone"; readonly bootId: string; readonly sandbox: number }
  | { readonly kind: "hello"; readonly dispatcherId: string; readonly bootId: string }
  /** Complete: what the dispatcher does not name it does not hold (T5). */
  | { readonly kind: "held"; readonly bootId: string; readonly leases: readonly LeaseFields[] }
  | {
      readonly kind: "wish";
      readonly bootId: string;
      readonly actionKey: string;
      readonly revisionId: string;
      readonly shard: number;
      readonly shortage: number;
      readonly oldestWaitMs: number;
      readonly arrivalsPerSecond: number;
    }
  /** What the dispatcher still waits for, complete: revision to number of items. */
  | { readonly kind: "stillWaiting"; readonly bootId: string; readonly waiting: ReadonlyMap<string, number> }
  | { readonly kind: "dropWishes"; readonly revisionId: string }
  | { readonly kind: "returned"; readonly bootId: string; readonly leases: readonly GrantRef[]; readonly void: boolean }
  /** The link to a dispatcher ended (T6). */
  | { readonly kind: "away"; readonly bootId: string }
  /** An invoker lost its link to a dispatcher: what that one holds there is free at once if it is away too (T6). */
  | { readonly kind: "dispatcherGone"; readonly invokerBootId: string; readonly bootId: string };

export type SlotCommand =
  | { readonly kind: "grant"; readonly dispatcherBootId: string; readonly lease: LeaseFields }
  | {
      readonly kind: "contended";
      readonly dispatcherBootId: string;
      readonly actionKey: string;
      readonly revisionId: string;
      readonly on: boolean;
    }
  | { readonly kind: "revoke"; readonly dispatcherBootId: string; readonly lease: LeaseFields }
  /** The sandbox serves an old revision and nobody holds a slot of it. */
  | {
      readonly kind: "destroy";
      readonly invokerBootId: string;
      readonly sandbox: number;
      readonly shard: number;
      readonly epoch: number;
    };

/** An action revision's numbers, for the rule that starts sandboxes. */
export interface PoolView {
  readonly actionKey: string;
  readonly revisionId: string;
  readonly shard: number;
  /** Items waiting at all dispatchers. */
  readonly waiting: number;
  /** Of the item that waits longest, counted up to now. */
  readonly oldestWaitMs: number;
  /** The same as the dispatchers last said it: items served meanwhile are not in their last word. */
  readonly reportedWaitMs: number;
  readonly arrivalsPerSecond: number;
  /** On invokers that can be used. */
  readonly readySlots: number;
  readonly freeSlots: number;
  readonly heldSlots: number;
  readonly sandboxes: number;
  readonly contendedForMs: number;
}

export interface SlotTableSettings {
  readonly sessionTtlMs: number;
  /** Who waits longer than this takes a slot from a dispatcher that holds more. */
  readonly starvedMs: number;
}

/** Counts of audit(). */
export interface SlotCensus {
  readonly slots: number;
  readonly free: number;
  readonly held: number;
  readonly dispatchers: number;
  readonly sandboxes: number;
  /** Wishes that are not met. */
  readonly waiters: number;
}

class Slot {
  gone = false;
  holder: Dispatcher | undefined;
  /** Of the last grant known, ours or another scheduler's. */
  epoch = 0;
  sequence = 0;
  /** T7 */
  restUntilMonoMs = 0;
  voids = 0;
  /** The holder was asked to give it back. */
  revoking = false;
  /** It lies on its pool's stack of free slots. */
  offered = false;

  constructor(
    readonly sandbox: Sandbox,
    readonly index: number,
  ) {}
}

class Sandbox {
  readonly slots: Slot[] = [];
  retiring = false;
  held = 0;

  constructor(
    readonly invoker: Invoker,
    readonly number: number,
    readonly pool: Pool,
    concurrency: number,
  ) {
    for (let index = 0; index < concurrency; index++) this.slots.push(new Slot(this, index));
  }
}

interface Invoker {
  readonly bootId: string;
  readonly id: string;
  readonly address: string;
  usable: boolean;
  /** Its inventory has come: what it does not list does not exist. */
  complete: boolean;
  readonly sandboxes: Map<number, Sandbox>;
}

interface Dispatcher {
  readonly bootId: string;
  readonly id: string;
  /** Its link stands and it has said what it holds. */
  present: boolean;
  /** When its slots are free, monotonic; Infinity while its link stands. */
  expiresMonoMs: number;
  readonly pools: Set<Pool>;
  readonly wishes: Set<Pool>;
  /** Invokers that lost its link while it was here, with the sequence of the last grant made by then. */
  readonly lostAt: Map<string, number>;
  /** Held on invokers that have not reported yet, by invoker boot. */
  readonly claims: Map<string, LeaseFields[]>;
}

interface Wish {
  shortage: number;
  /** Since when its oldest item waits, monotonic. */
  sinceMonoMs: number;
  /** How much younger the next item is. The items between the oldest and now are taken to be spread evenly. */
  readonly gapMs: number;
  readonly reportedWaitMs: number;
  readonly arrivalsPerSecond: number;
}

class Pool {
  readonly sandboxes = new Set<Sandbox>();
  /** Free slots, the one freed last on top: few sandboxes stay hot. Also holds some that are not to be had any more. */
  readonly stack: Slot[] = [];
  readonly wishes = new Map<Dispatcher, Wish>();
  readonly holders = new Map<Dispatcher, Set<Slot>>();
  readonly told = new Map<Dispatcher, number>();
  contendedSinceMonoMs: number | undefined;
  /** Somebody has begun to hold slots, and may not know of the contention. */
  untold = false;
  revoking = 0;
  /** Somebody asked for it; otherwise it is known from sandboxes only. */
  asked = false;
  /** A newer revision of the action is asked for. */
  retired = false;

  constructor(
    readonly actionKey: string,
    readonly revisionId: string,
    readonly shard: number,
  ) {}
}

export class SlotTable {
  readonly #pools = new Map<string, Pool>();
  /** The revisions of an action, the one first asked for last at the end. */
  readonly #revisions = new Map<string, Pool[]>();
  readonly #invokers = new Map<string, Invoker>();
  readonly #dispatchers = new Map<string, Dispatcher>();
  #epochs: ReadonlyMap<number, number> = new Map();
  /** What decide() looks at. */
  readonly #touched = new Set<Pool>();
  /** Contended ones and those with retiring sandboxes: looked at on each tick. */
  readonly #watched = new Set<Pool>();
  readonly #resting = new Set<Slot>();
  readonly #away = new Set<Dispatcher>();
  #commands: SlotCommand[] = [];
  #sequence = 0;
  #held = 0;
  #waiters = 0;
  /** Returns and claims that were overtaken by events. */
  stale = 0;

  constructor(private readonly settings: SlotTableSettings) {}

  get heldSlots(): number {
    return this.#held;
  }

  /** Wishes of dispatchers that are not met. */
  get waiters(): number {
    return this.#waiters;
  }

  /** Takes in what happened. Nothing is decided before decide(). */
  apply(event: SlotEvent, nowMonoMs: number): void {
    switch (event.kind) {
      case "wish":
        this.#wish(event, nowMonoMs);
        return;
      case "returned":
        for (const ref of event.leases) this.#returned(event.bootId, ref, event.void, nowMonoMs);
        return;
      case "sandboxReady":
        this.#ready(event.bootId, event.ready, nowMonoMs);
        return;
      case "sandboxGone":
        this.#sandboxGone(this.#invokers.get(event.bootId)?.sandboxes.get(event.sandbox));
        return;
      case "hello":
        this.#hello(event.dispatcherId, event.bootId);
        return;
      case "held":
        this.#report(event.bootId, event.leases);
        return;
      case "stillWaiting":
        this.#stillWaiting(event.bootId, event.waiting);
        return;
      case "dropWishes":
        this.#dropWishes(event.revisionId);
        return;
      case "away":
        this.#goAway(event.bootId, nowMonoMs);
        return;
      case "dispatcherGone":
        this.#linkLost(event.invokerBootId, event.bootId);
        return;
      case "shards":
        this.#epochs = new Map(event.epochs);
        for (const pool of this.#pools.values()) this.#touched.add(pool);
        for (const slot of this.#resting) if (slot.restUntilMonoMs === Infinity) slot.restUntilMonoMs = nowMonoMs;
        return;
      case "invoker":
        if (!this.#invokers.has(event.bootId)) {
          const { bootId, id, address } = event;
          this.#invokers.set(bootId, {
            bootId,
            id,
            address,
            usable: true,
            complete: false,
            sandboxes: new Map<number, Sandbox>(),
          });
        }
        return;
      case "inventory":
        this.#inventory(event.bootId, event.sandboxes, nowMonoMs);
        return;
      case "invokerUsable":
        this.#usable(event.bootId, event.usable);
        return;
      case "invokerGone":
        this.#invokerGone(event.bootId);
        return;
    }
  }

  /** Time passes: rests, sessions and contention end. To be called every few milliseconds, before decide(). */
  tick(nowMonoMs: number): void {
    for (const slot of this.#resting) {
      if (slot.gone || slot.holder) this.#resting.delete(slot);
      else if (nowMonoMs >= slot.restUntilMonoMs) {
        this.#resting.delete(slot);
        this.#offer(slot);
      }
    }
    for (const dispatcher of this.#away) if (nowMonoMs >= dispatcher.expiresMonoMs) this.#expire(dispatcher);
    for (const pool of this.#watched) this.#touched.add(pool);
  }

  /** What is to be done now. Only to be asked while this scheduler may command. */
  decide(nowMonoMs: number): readonly SlotCommand[] {
    for (const pool of this.#touched) this.#decide(pool, nowMonoMs);
    this.#touched.clear();
    const commands = this.#commands;
    this.#commands = [];
    return commands;
  }

  pool(revisionId: string, nowMonoMs: number): PoolView | undefined {
    const pool = this.#pools.get(revisionId);
    return pool && viewOf(pool, nowMonoMs);
  }

  pools(nowMonoMs: number): PoolView[] {
    return [...this.#pools.values()].map((pool) => viewOf(pool, nowMonoMs));
  }

  /** Sandboxes of all revisions of an action. */
  instances(actionKey: string): number {
    let count = 0;
    for (const pool of this.#revisions.get(actionKey) ?? []) count += pool.sandboxes.size;
    return count;
  }

  /** Boot ids of the dispatchers that wait for a revision. */
  waitersOf(revisionId: string): string[] {
    return [...(this.#pools.get(revisionId)?.wishes.keys() ?? [])].map((dispatcher) => dispatcher.bootId);
  }

  /** True when some other dispatcher than those who wait may have a free slot of the revision. */
  heldByOthers(revisionId: string): boolean {
    const pool = this.#pools.get(revisionId);
    if (!pool) return false;
    for (const holder of pool.holders.keys()) if (!pool.wishes.has(holder)) return true;
    return false;
  }

  dispatchers(): { readonly id: string; readonly bootId: string; readonly present: boolean; readonly held: number }[] {
    return [...this.#dispatchers.values()].map((d) => {
      let held = 0;
      for (const pool of d.pools) held += pool.holders.get(d)?.size ?? 0;
      return { id: d.id, bootId: d.bootId, present: d.present, held };
    });
  }

  /** Counts everything twice, once from each side. @throws internal when the two differ (T1) */
  audit(): SlotCensus {
    let free = 0;
    let held = 0;
    let sandboxes = 0;
    for (const invoker of this.#invokers.values()) {
      for (const sandbox of invoker.sandboxes.values()) {
        sandboxes += 1;
        let heldHere = 0;
        invariant(sandbox.pool.sandboxes.has(sandbox), "a sandbox is in its pool");
        invariant(this.#pools.get(sandbox.pool.revisionId) === sandbox.pool, "a pool with sandboxes is not forgotten");
        for (const slot of sandbox.slots) {
          invariant(!slot.gone, "a slot of a sandbox that is there is not gone");
          if (slot.holder) {
            heldHere += 1;
            invariant(!slot.offered, "a held slot is not offered");
            invariant(sandbox.pool.holders.get(slot.holder)?.has(slot) === true, "a holder knows what it holds");
            invariant(this.#dispatchers.get(slot.holder.bootId) === slot.holder, "a holder is known");
          } else {
            free += 1;
            invariant(
              slot.offered || !invoker.usable || sandbox.retiring || this.#resting.has(slot),
              "a free slot is offered, or it is known why not",
            );
          }
        }
        invariant(heldHere === sandbox.held, "a sandbox knows how many of its slots are held");
        held += heldHere;
      }
    }
    let heldByHolders = 0;
    let inPools = 0;
    let wishes = 0;
    for (const pool of this.#pools.values()) {
      inPools += pool.sandboxes.size;
      wishes += pool.wishes.size;
      for (const [holder, slots] of pool.holders) {
        invariant(slots.size > 0 && holder.pools.has(pool), "who holds nothing is no holder");
        heldByHolders += slots.size;
      }
      for (const dispatcher of pool.wishes.keys()) invariant(dispatcher.present, "only who is there can wait");
    }
    invariant(held === heldByHolders && held === this.#held, "held slots are counted once");
    invariant(inPools === sandboxes, "sandboxes are counted once");
    invariant(wishes === this.#waiters, "waiters are counted once");
    return { slots: free + held, free, held, dispatchers: this.#dispatchers.size, sandboxes, waiters: wishes };
  }

  // ---- dispatchers ----

  #hello(id: string, bootId: string): void {
    for (const other of this.#dispatchers.values()) {
      // A process that was started anew holds nothing of its former life.
      if (other.id === id && other.bootId !== bootId) this.#expire(other);
    }
    const known = this.#dispatchers.get(bootId);
    const dispatcher = known ?? newDispatcher(id, bootId);
    this.#dispatchers.set(bootId, dispatcher);
    this.#away.delete(dispatcher);
    dispatcher.expiresMonoMs = Infinity;
    this.#dropWishesOf(dispatcher);
    this.#untell(dispatcher);
    dispatcher.present = false; // until it has said what it holds
  }

  /** A dispatcher forgets what it was told when its link ends. */
  #untell(dispatcher: Dispatcher): void {
    for (const pool of this.#watched) pool.told.delete(dispatcher);
  }

  #report(bootId: string, leases: readonly LeaseFields[]): void {
    const dispatcher = this.#dispatchers.get(bootId);
    if (!dispatcher) return;
    dispatcher.present = true;
    dispatcher.claims.clear();
    const kept = new Set<Slot>();
    for (const lease of leases) {
      const invoker = this.#invokers.get(lease.invokerBootId);
      if (!invoker?.complete) {
        const claims = dispatcher.claims.get(lease.invokerBootId);
        if (claims) claims.push(lease);
        else dispatcher.claims.set(lease.invokerBootId, [lease]);
        continue;
      }
      const slot = this.#claim(dispatcher, lease);
      if (slot) kept.add(slot);
    }
    for (const pool of [...dispatcher.pools]) {
      for (const slot of [...(pool.holders.get(dispatcher) ?? [])]) {
        // What it may hold on an invoker that has not reported is in its claims.
        if (!kept.has(slot)) this.#release(slot);
      }
    }
  }

  /** @returns the slot when the dispatcher holds it (T5) */
  #claim(dispatcher: Dispatcher, lease: LeaseFields): Slot | undefined {
    const sandbox = this.#invokers.get(lease.invokerBootId)?.sandboxes.get(lease.sandbox);
    const slot = sandbox?.slots[lease.slot];
    if (
      !sandbox ||
      !slot ||
      sandbox.retiring ||
      sandbox.pool.revisionId !== lease.revisionId ||
      compareGrants(lease, slot) < 0 ||
      (compareGrants(lease, slot) === 0 && slot.holder !== undefined && slot.holder !== dispatcher)
    ) {
      this.stale += 1;
      this.#commands.push({ kind: "revoke", dispatcherBootId: dispatcher.bootId, lease });
      return undefined;
    }
    slot.epoch = lease.epoch;
    slot.sequence = lease.sequence;
    this.#hold(slot, dispatcher);
    sandbox.pool.untold = true;
    this.#touched.add(sandbox.pool);
    return slot;
  }

  #goAway(bootId: string, nowMonoMs: number): void {
    const dispatcher = this.#dispatchers.get(bootId);
    if (!dispatcher) return;
    dispatcher.present = false;
    this.#dropWishesOf(dispatcher);
    this.#untell(dispatcher);
    for (const [invokerBootId, sequence] of dispatcher.lostAt) this.#releaseAt(invokerBootId, dispatcher, sequence);
    dispatcher.lostAt.clear();
    if (dispatcher.pools.size === 0 && dispatcher.claims.size === 0) {
      this.#expire(dispatcher);
      return;
    }
    dispatcher.expiresMonoMs = nowMonoMs + this.settings.sessionTtlMs;
    this.#away.add(dispatcher);
  }

  #expire(dispatcher: Dispatcher): void {
    this.#dropWishesOf(dispatcher);
    for (const pool of [...dispatcher.pools]) {
      for (const slot of [...(pool.holders.get(dispatcher) ?? [])]) this.#release(slot);
    }
    this.#untell(dispatcher);
    this.#away.delete(dispatcher);
    this.#dispatchers.delete(dispatcher.bootId);
  }

  #linkLost(invokerBootId: string, bootId: string): void {
    const dispatcher = this.#dispatchers.get(bootId);
    if (!dispatcher) return;
    if (dispatcher.present)
      dispatcher.lostAt.set(invokerBootId, this.#sequence); // T6
    else this.#releaseAt(invokerBootId, dispatcher, Infinity);
  }

  /** @param upTo grants with a higher sequence were made after the link was lost */
  #releaseAt(invokerBootId: string, dispatcher: Dispatcher, upTo: number): void {
    dispatcher.claims.delete(invokerBootId);
    for (const pool of [...dispatcher.pools]) {
      for (const slot of [...(pool.holders.get(dispatcher) ?? [])]) {
        if (slot.sandbox.invoker.bootId === invokerBootId && slot.sequence <= upTo) this.#release(slot);
      }
    }
  }

  #wish(event: Extract<SlotEvent, { kind: "wish" }>, nowMonoMs: number): void {
    const dispatcher = this.#dispatchers.get(event.bootId);
    if (!dispatcher?.present) return;
    if (event.shortage === 0) {
      const pool = this.#pools.get(event.revisionId);
      if (pool) this.#dropWish(pool, dispatcher);
      return;
    }
    const pool = this.#poolOf(event.actionKey, event.revisionId, event.shard);
    this.#asked(pool);
    if (!pool.wishes.has(dispatcher)) this.#waiters += 1;
    pool.wishes.set(dispatcher, {
      shortage: event.shortage,
      sinceMonoMs: nowMonoMs - event.oldestWaitMs,
      gapMs: event.oldestWaitMs / event.shortage,
      reportedWaitMs: event.oldestWaitMs,
      arrivalsPerSecond: event.arrivalsPerSecond,
    });
    dispatcher.wishes.add(pool);
    this.#touched.add(pool);
  }

  #stillWaiting(bootId: string, waiting: ReadonlyMap<string, number>): void {
    const dispatcher = this.#dispatchers.get(bootId);
    if (!dispatcher) return;
    for (const pool of [...dispatcher.wishes]) {
      const wish = pool.wishes.get(dispatcher);
      const left = waiting.get(pool.revisionId) ?? 0;
      if (!wish) continue;
      if (left === 0) this.#dropWish(pool, dispatcher);
      else wish.shortage = Math.min(wish.shortage, left);
    }
  }

  #dropWishes(revisionId: string): void {
    const pool = this.#pools.get(revisionId);
    if (pool) for (const dispatcher of [...pool.wishes.keys()]) this.#dropWish(pool, dispatcher);
  }

  #dropWishesOf(dispatcher: Dispatcher): void {
    for (const pool of [...dispatcher.wishes]) this.#dropWish(pool, dispatcher);
  }

  #dropWish(pool: Pool, dispatcher: Dispatcher): void {
    if (!pool.wishes.delete(dispatcher)) return;
    this.#waiters -= 1;
    dispatcher.wishes.delete(pool);
    this.#touched.add(pool);
  }

  #returned(bootId: string, ref: GrantRef, isVoid: boolean, nowMonoMs: number): void {
    const slot = this.#invokers.get(ref.invokerBootId)?.sandboxes.get(ref.sandbox)?.slots[ref.slot];
    if (slot?.holder?.bootId !== bootId || slot.epoch !== ref.epoch || slot.sequence !== ref.sequence) {
      this.stale += 1;
      this.#forgetClaim(bootId, ref);
      return;
    }
    if (isVoid) {
      slot.restUntilMonoMs = nowMonoMs + Math.min(REST_MAX_MS, REST_FIRST_MS * 2 ** slot.voids); // T7
      slot.voids = Math.min(slot.voids + 1, 10);
      this.#resting.add(slot);
    } else {
      slot.voids = 0;
    }
    this.#release(slot);
  }

  #forgetClaim(bootId: string, ref: GrantRef): void {
    const dispatcher = this.#dispatchers.get(bootId);
    const claims = dispatcher?.claims.get(ref.invokerBootId);
    if (!dispatcher || !claims) return;
    const left = claims.filter((c) => c.sandbox !== ref.sandbox || c.slot !== ref.slot || c.sequence !== ref.sequence);
    if (left.length > 0) dispatcher.claims.set(ref.invokerBootId, left);
    else dispatcher.claims.delete(ref.invokerBootId);
  }

  // ---- invokers ----

  #inventory(bootId: string, sandboxes: readonly ReadySandbox[], nowMonoMs: number): void {
    const invoker = this.#invokers.get(bootId);
    if (!invoker) return;
    invoker.complete = true;
    const listed = new Set(sandboxes.map((ready) => ready.sandbox));
    for (const [number, sandbox] of invoker.sandboxes) if (!listed.has(number)) this.#sandboxGone(sandbox);
    for (const ready of sandboxes) this.#ready(bootId, ready, nowMonoMs);
    for (const dispatcher of this.#dispatchers.values()) {
      const claims = dispatcher.claims.get(bootId);
      if (!claims) continue;
      dispatcher.claims.delete(bootId);
      for (const lease of claims) this.#claim(dispatcher, lease);
    }
  }

  #ready(bootId: string, ready: ReadySandbox, nowMonoMs: number): void {
    const invoker = this.#invokers.get(bootId);
    if (!invoker) return;
    const known = invoker.sandboxes.get(ready.sandbox);
    if (known && known.pool.revisionId === ready.revisionId) {
      // What we know of its slots is fresher than what the invoker has seen used, unless another scheduler granted.
      for (const holder of ready.holders) {
        const slot = known.slots[holder.slot];
        if (!slot || compareGrants(holder, slot) <= 0) continue;
        slot.epoch = holder.epoch;
        slot.sequence = holder.sequence;
      }
      return;
    }
    if (known) this.#sandboxGone(known);
    const pool = this.#poolOf(ready.actionKey, ready.revisionId, ready.shard);
    const sandbox = new Sandbox(invoker, ready.sandbox, pool, Math.max(1, ready.concurrency));
    invoker.sandboxes.set(ready.sandbox, sandbox);
    pool.sandboxes.add(sandbox);
    for (const holder of ready.holders) this.#adopt(sandbox, holder, nowMonoMs);
    for (const slot of sandbox.slots) if (!slot.holder) this.#offer(slot);
    if (pool.retired) this.#watched.add(pool);
  }

  /** Believes a holder that has not spoken yet; whoever is there speaks for itself (T5). */
  #adopt(sandbox: Sandbox, holder: Holder, nowMonoMs: number): void {
    const slot = sandbox.slots[holder.slot];
    if (!slot || compareGrants(holder, slot) < 0) return;
    slot.epoch = holder.epoch;
    slot.sequence = holder.sequence;
    if (holder.dispatcherBootId === "") return;
    let dispatcher = this.#dispatchers.get(holder.dispatcherBootId);
    if (dispatcher?.present) return;
    if (!dispatcher) {
      dispatcher = newDispatcher(holder.dispatcherId, holder.dispatcherBootId);
      dispatcher.expiresMonoMs = nowMonoMs + this.settings.sessionTtlMs;
      this.#dispatchers.set(dispatcher.bootId, dispatcher);
      this.#away.add(dispatcher);
    }
    this.#hold(slot, dispatcher);
  }

  #usable(bootId: string, usable: boolean): void {
    const invoker = this.#invokers.get(bootId);
    if (!invoker || invoker.usable === usable) return;
    invoker.usable = usable;
    for (const sandbox of invoker.sandboxes.values()) {
      this.#touched.add(sandbox.pool);
      if (usable) for (const slot of sandbox.slots) this.#offer(slot);
    }
  }

  #invokerGone(bootId: string): void {
    const invoker = this.#invokers.get(bootId);
    if (!invoker) return;
    for (const sandbox of [...invoker.sandboxes.values()]) this.#sandboxGone(sandbox);
    for (const dispatcher of this.#dispatchers.values()) {
      dispatcher.claims.delete(bootId);
      dispatcher.lostAt.delete(bootId);
    }
    this.#invokers.delete(bootId);
  }

  #sandboxGone(sandbox: Sandbox | undefined): void {
    if (!sandbox) return;
    for (const slot of sandbox.slots) {
      if (slot.holder) this.#letGo(slot);
      slot.gone = true;
      this.#resting.delete(slot);
    }
    sandbox.pool.sandboxes.delete(sandbox);
    sandbox.invoker.sandboxes.delete(sandbox.number);
    this.#touched.add(sandbox.pool);
  }

  // ---- slots ----

  #hold(slot: Slot, dispatcher: Dispatcher): void {
    if (slot.holder === dispatcher) return;
    if (slot.holder) this.#letGo(slot);
    const { pool } = slot.sandbox;
    slot.holder = dispatcher;
    slot.sandbox.held += 1;
    this.#held += 1;
    // It may lie deep in the stack; #pop passes over what is held.
    slot.offered = false;
    const slots = pool.holders.get(dispatcher);
    if (slots) slots.add(slot);
    else {
      pool.holders.set(dispatcher, new Set([slot]));
      dispatcher.pools.add(pool);
    }
  }

  #letGo(slot: Slot): void {
    const { holder } = slot;
    if (!holder) return;
    const { pool } = slot.sandbox;
    const slots = pool.holders.get(holder);
    slots?.delete(slot);
    if (slots?.size === 0) {
      pool.holders.delete(holder);
      holder.pools.delete(pool);
    }
    if (slot.revoking) {
      slot.revoking = false;
      pool.revoking -= 1;
    }
    slot.holder = undefined;
    slot.sandbox.held -= 1;
    this.#held -= 1;
  }

  #release(slot: Slot): void {
    this.#letGo(slot);
    this.#touched.add(slot.sandbox.pool);
    if (!this.#resting.has(slot)) this.#offer(slot);
  }

  #offer(slot: Slot): void {
    if (slot.gone || slot.holder || slot.offered || slot.sandbox.retiring || !slot.sandbox.invoker.usable) return;
    if (this.#resting.has(slot)) return;
    slot.offered = true;
    slot.sandbox.pool.stack.push(slot);
    this.#touched.add(slot.sandbox.pool);
  }

  /** The best free slot, taken off the stack. */
  #pop(pool: Pool, epoch: number): Slot | undefined {
    for (let slot = pool.stack.pop(); slot; slot = pool.stack.pop()) {
      if (!slot.offered) continue; // held or gone since it was put there
      slot.offered = false;
      if (slot.gone || slot.holder || slot.sandbox.retiring || !slot.sandbox.invoker.usable) continue;
      if (slot.epoch > epoch) {
        // T2: another scheduler has granted it. Ours is the older epoch; whoever ends that will offer it again.
        this.#resting.add(slot);
        slot.restUntilMonoMs = Infinity;
        continue;
      }
      return slot;
    }
    return undefined;
  }

  // ---- decisions ----

  #poolOf(actionKey: string, revisionId: string, shard: number): Pool {
    const known = this.#pools.get(revisionId);
    if (known) return known;
    const pool = new Pool(actionKey, revisionId, shard);
    this.#pools.set(revisionId, pool);
    const revisions = this.#revisions.get(actionKey);
    // Known from sandboxes only: it is not newer than what is asked for.
    if (revisions) revisions.unshift(pool);
    else this.#revisions.set(actionKey, [pool]);
    return pool;
  }

  /** Revision ids do not tell which is newer; the one that was first asked for last is. */
  #asked(pool: Pool): void {
    if (pool.asked) return;
    pool.asked = true;
    pool.retired = false;
    const others = (this.#revisions.get(pool.actionKey) ?? []).filter((other) => other !== pool);
    this.#revisions.set(pool.actionKey, [...others, pool]);
    for (const other of others) {
      other.retired = true;
      this.#touched.add(other);
      this.#watched.add(other);
    }
  }

  #decide(pool: Pool, nowMonoMs: number): void {
    const epoch = this.#epochs.get(pool.shard);
    if (epoch !== undefined) {
      this.#grantFree(pool, epoch, nowMonoMs);
      if (pool.wishes.size > 0) this.#relieveStarved(pool, nowMonoMs);
      if (pool.retired) this.#retire(pool, epoch);
    }
    this.#settleContention(pool, nowMonoMs);
    const idle = pool.sandboxes.size === 0 && pool.wishes.size === 0 && pool.holders.size === 0;
    if (pool.contendedSinceMonoMs !== undefined || (pool.retired && !idle)) this.#watched.add(pool);
    else this.#watched.delete(pool);
    if (idle && pool.contendedSinceMonoMs === undefined) this.#forget(pool);
  }

  #grantFree(pool: Pool, epoch: number, nowMonoMs: number): void {
    while (pool.wishes.size > 0) {
      const slot = this.#pop(pool, epoch);
      if (!slot) return;
      const dispatcher = longestWaiting(pool);
      const wish = dispatcher && pool.wishes.get(dispatcher);
      if (!dispatcher || !wish) {
        this.#offer(slot);
        return;
      }
      this.#sequence += 1; // T2
      slot.epoch = epoch;
      slot.sequence = this.#sequence;
      if (!pool.holders.has(dispatcher)) pool.untold = true;
      this.#hold(slot, dispatcher);
      wish.shortage -= 1;
      wish.sinceMonoMs = Math.min(nowMonoMs, wish.sinceMonoMs + wish.gapMs);
      if (wish.shortage <= 0) this.#dropWish(pool, dispatcher);
      this.#commands.push({ kind: "grant", dispatcherBootId: dispatcher.bootId, lease: leaseOf(slot) });
    }
  }

  // A dispatcher with work of its own never runs out of use for its slots, so another one's items would wait for ever.
  #relieveStarved(pool: Pool, nowMonoMs: number): void {
    let starved = 0;
    let least = Infinity;
    for (const [dispatcher, wish] of pool.wishes) {
      if (nowMonoMs - wish.sinceMonoMs < this.settings.starvedMs) continue;
      starved += 1;
      least = Math.min(least, pool.holders.get(dispatcher)?.size ?? 0);
    }
    for (let wanted = starved - pool.revoking; wanted > 0; wanted--) {
      let most: Dispatcher | undefined;
      let mostHeld = least === 0 ? 0 : least + 1;
      for (const [holder, slots] of pool.holders) {
        // Never the last one for somebody who has one already: it would only go to and fro.
        if (!holder.present || slots.size <= mostHeld) continue;
        most = holder;
        mostHeld = slots.size;
      }
      const slots = most && pool.holders.get(most);
      const slot = slots && [...slots].find((s) => !s.revoking);
      if (!most || !slot) return;
      this.#revoke(slot, most);
    }
  }

  // Dispatchers that have not heard of the newer revision would keep slots that the action's limit may need.
  #retire(pool: Pool, epoch: number): void {
    if (pool.wishes.size > 0) return;
    for (const [holder, slots] of pool.holders) {
      if (!holder.present) continue;
      for (const slot of slots) {
        if (!slot.revoking) this.#revoke(slot, holder);
      }
    }
    for (const sandbox of pool.sandboxes) {
      if (sandbox.held === 0 && !sandbox.retiring && sandbox.invoker.usable) this.#retireSandbox(sandbox, epoch);
    }
  }

  #retireSandbox(sandbox: Sandbox, epoch: number): void {
    sandbox.retiring = true;
    for (const slot of sandbox.slots) slot.offered = false;
    this.#commands.push({
      kind: "destroy",
      invokerBootId: sandbox.invoker.bootId,
      sandbox: sandbox.number,
      shard: sandbox.pool.shard,
      epoch,
    });
  }

  /**
   * A revision that waits may start no sandbox because other revisions of its action use up the limit: one of theirs
   * ends, unless their items have waited longer. To be repeated until there is room.
   */
  makeWay(revisionId: string): void {
    const pool = this.#pools.get(revisionId);
    const epoch = pool && this.#epochs.get(pool.shard);
    if (!pool || epoch === undefined) return;
    const since = waitingSinceMonoMs(pool);
    let victim: Sandbox | undefined;
    for (const other of this.#revisions.get(pool.actionKey) ?? []) {
      if (other === pool) continue;
      for (const sandbox of other.sandboxes) {
        if (sandbox.retiring) return; // one at a time
        if (!sandbox.invoker.usable || waitingSinceMonoMs(other) < since) continue;
        if (!victim || sandbox.held < victim.held) victim = sandbox;
      }
    }
    if (!victim) return;
    for (const slot of victim.slots) if (slot.holder?.present && !slot.revoking) this.#revoke(slot, slot.holder);
    this.#retireSandbox(victim, epoch);
  }

  #revoke(slot: Slot, holder: Dispatcher): void {
    slot.revoking = true;
    slot.sandbox.pool.revoking += 1;
    this.#commands.push({ kind: "revoke", dispatcherBootId: holder.bootId, lease: leaseOf(slot) });
  }

  /** Orders that an invoker may not have got, to be said again after it reported its inventory. */
  retiring(invokerBootId: string): readonly SlotCommand[] {
    const commands: SlotCommand[] = [];
    for (const sandbox of this.#invokers.get(invokerBootId)?.sandboxes.values() ?? []) {
      const { shard } = sandbox.pool;
      const epoch = this.#epochs.get(shard);
      if (sandbox.retiring && epoch !== undefined) {
        commands.push({ kind: "destroy", invokerBootId, sandbox: sandbox.number, shard, epoch });
      }
    }
    return commands;
  }

  #settleContention(pool: Pool, nowMonoMs: number): void {
    if (pool.wishes.size > 0) {
      const begins = pool.contendedSinceMonoMs === undefined;
      if (pool.holders.size > 0 && (begins || pool.untold)) {
        if (begins) pool.contendedSinceMonoMs = nowMonoMs;
        pool.untold = false;
        for (const holder of pool.holders.keys()) this.#tell(pool, holder, nowMonoMs); // T4
      }
      return;
    }
    if (pool.contendedSinceMonoMs === undefined || nowMonoMs - pool.contendedSinceMonoMs < CONTENDED_MS) return;
    pool.contendedSinceMonoMs = undefined;
    for (const dispatcher of pool.told.keys()) {
      // Also who gave everything back meanwhile: it goes by what it was told last.
      if (dispatcher.present) this.#commands.push(contended(pool, dispatcher, false));
    }
    pool.told.clear();
  }

  #tell(pool: Pool, dispatcher: Dispatcher, nowMonoMs: number): void {
    if (!dispatcher.present) return;
    const told = pool.told.get(dispatcher);
    if (told !== undefined && nowMonoMs - told < TELL_AGAIN_MS) return;
    pool.told.set(dispatcher, nowMonoMs);
    this.#commands.push(contended(pool, dispatcher, true));
  }

  #forget(pool: Pool): void {
    this.#pools.delete(pool.revisionId);
    this.#watched.delete(pool);
    const left = (this.#revisions.get(pool.actionKey) ?? []).filter((other) => other !== pool);
    if (left.length > 0) this.#revisions.set(pool.actionKey, left);
    else this.#revisions.delete(pool.actionKey);
  }
}

/** Negative when `a` is the older grant. */
export function compareGrants(
  a: { readonly epoch: number; readonly sequence: number },
  b: { readonly epoch: number; readonly sequence: number },
): number {
  return a.epoch === b.epoch ? a.sequence - b.sequence : a.epoch - b.epoch;
}

function newDispatcher(id: string, bootId: string): Dispatcher {
  return {
    bootId,
    id,
    present: false,
    expiresMonoMs: Infinity,
    pools: new Set(),
    wishes: new Set(),
    lostAt: new Map(),
    claims: new Map(),
  };
}

/** Equal waits fall to the one who asked first: a map keeps its order. */
function longestWaiting(pool: Pool): Dispatcher | undefined {
  let longest: Dispatcher | undefined;
  let sinceMonoMs = Infinity;
  for (const [dispatcher, wish] of pool.wishes) {
    if (wish.sinceMonoMs < sinceMonoMs) {
      longest = dispatcher;
      sinceMonoMs = wish.sinceMonoMs;
    }
  }
  return longest;
}

/** Infinity when nobody waits. */
function waitingSinceMonoMs(pool: Pool): number {
  let sinceMonoMs = Infinity;
  for (const wish of pool.wishes.values()) sinceMonoMs = Math.min(sinceMonoMs, wish.sinceMonoMs);
  return sinceMonoMs;
}

function leaseOf(slot: Slot): LeaseFields {
  const { sandbox } = slot;
  const { pool, invoker } = sandbox;
  return {
    actionKey: pool.actionKey,
    revisionId: pool.revisionId,
    shard: pool.shard,
    invokerId: invoker.id,
    invokerAddress: invoker.address,
    invokerBootId: invoker.bootId,
    sandbox: sandbox.number,
    slot: slot.index,
    epoch: slot.epoch,
    sequence: slot.sequence,
  };
}

function contended(pool: Pool, dispatcher: Dispatcher, on: boolean): SlotCommand {
  return {
    kind: "contended",
    dispatcherBootId: dispatcher.bootId,
    actionKey: pool.actionKey,
    revisionId: pool.revisionId,
    on,
  };
}

function viewOf(pool: Pool, nowMonoMs: number): PoolView {
  let waiting = 0;
  let oldestMonoMs = nowMonoMs;
  let reportedWaitMs = 0;
  let arrivalsPerSecond = 0;
  for (const wish of pool.wishes.values()) {
    waiting += wish.shortage;
    oldestMonoMs = Math.min(oldestMonoMs, wish.sinceMonoMs);
    reportedWaitMs = Math.max(reportedWaitMs, wish.reportedWaitMs);
    arrivalsPerSecond += wish.arrivalsPerSecond;
  }
  let readySlots = 0;
  let freeSlots = 0;
  let heldSlots = 0;
  for (const sandbox of pool.sandboxes) {
    heldSlots += sandbox.held;
    if (!sandbox.invoker.usable || sandbox.retiring) continue;
    readySlots += sandbox.slots.length;
    freeSlots += sandbox.slots.length - sandbox.held;
  }
  return {
    actionKey: pool.actionKey,
    revisionId: pool.revisionId,
    shard: pool.shard,
    waiting,
    oldestWaitMs: nowMonoMs - oldestMonoMs,
    reportedWaitMs,
    arrivalsPerSecond,
    readySlots,
    freeSlots,
    heldSlots,
    sandboxes: pool.sandboxes.size,
    contendedForMs: pool.contendedSinceMonoMs === undefined ? 0 : nowMonoMs - pool.contendedSinceMonoMs,
  };
}
