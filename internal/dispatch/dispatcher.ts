// The part that gateways and controllers share: it holds leases, and gets calls run.
//
// A call takes a free slot, or waits in its action's queue while capacity is asked for. Everything hard is decided by
// ActionQueue; this file carries its decisions out over the links. On the warm path a call costs one item on a
// WorkLink each way and touches nothing else.
//
//   P1. Every call is completed exactly once (or dropped by its own beforeSend).
//   P2. A call is sent again only when it is proven not to have started.
//   P3. Leases outlive the scheduler: when its link breaks they go on being used, and are reported to the next one.

import { Backoff } from "../base/backoff.js";
import { every, type Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import type { Coordination, Member } from "../core/coordination/coordination.js";
import { ActionQueue, type FreeDecision } from "../core/dispatch/action-queue.js";
import type { ActionAsk, Destination, DispatchCall } from "../core/dispatch/call.js";
import {
  RejectReason,
  ReturnReason,
  type Demand,
  type Lease,
  type LeaseRequestItem,
  type LeaseResponseItem,
  type Reject,
} from "../gen/weft/link/v1/lease.pb.js";
import { NackReason, type Done } from "../gen/weft/link/v1/work.pb.js";
import { leaseLink } from "../rpc/link-methods.js";
import type { Link } from "../rpc/link.js";
import type { Network } from "../rpc/network.js";
import { HeldSlot, heldSlotOf } from "./held-slot.js";
import { doneOfWire } from "./wire.js";
import { WorkPeer, type Fate, type Flight } from "./work-peer.js";

export type { Fate } from "./work-peer.js";

/** Surplus is trimmed and expired items are refused this often. */
const TICK_MS = 20;
/** Queues and links that nobody used for this long are closed. */
const FORGET_MS = 60_000;
/** After so long without a call, and when its slots are trimmed, there are no more ticks for an action. */
const ACTIVE_MS = 2_000;
/** How often all queues and links are looked over for those nobody uses. */
const SWEEP_MS = 5_000;
/** A call that was sent back this often is refused: something is wrong that sending again does not mend. */
const SEND_BACK_MAX = 20;
/**
 * What is added to a wish gathers for so long, unless the wish is answered before. A scheduler takes each wish for all
 * that is wanted then: told of a burst call by call, it granted many times as much, and what was too much came back.
 */
const WISH_GATHER_MS = 2;
/** While items wait and nothing happens, the wish is repeated: a scheduler may have been replaced meanwhile. */
const WISH_REPEAT_MS = 1_000;

export interface DispatcherDeps {
  /** Id of the gateway or controller. */
  readonly id: string;
  readonly bootId: string;
  readonly network: Network;
  readonly coordination: Coordination;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

interface Item {
  readonly call: DispatchCall;
  readonly state: ActionState;
  readonly acceptedMonoMs: number;
  readonly expiresMonoMs: number;
  sentBack: number;
  /** P1 */
  completed: boolean;
}

interface ItemFlight extends Flight {
  readonly item: Item;
}

interface ActionState {
  /** As the newest call has it: how many sandboxes there may be changes without a new revision. */
  ask: ActionAsk;
  readonly shard: number;
  readonly queue: ActionQueue<HeldSlot, Item>;
  wishedShortage: number;
  wishedAtMonoMs: number;
  /** Set while an addition to the wish gathers. */
  cancelGather: (() => void) | undefined;
  /** Nothing is asked for before, monotonic: the scheduler said when to come back. */
  quietUntilMonoMs: number;
  /** Looked after in every tick until then, monotonic; later only now and then. */
  activeUntilMonoMs: number;
}

export class Dispatcher {
  readonly #actions = new Map<string, ActionState>();
  readonly #currentRevision = new Map<string, string>();
  readonly #peers = new Map<string, WorkPeer<ItemFlight>>();
  /** Those that something happened to lately: a process knows many actions and serves few at a time. */
  readonly #active = new Set<ActionState>();
  readonly #backoff: Backoff;
  #scheduler: { readonly member: Member; readonly link: Link<LeaseResponseItem, LeaseRequestItem> } | undefined;
  #welcomed = false;
  #schedulers: readonly Member[] = [];
  #invokers: readonly Member[] = [];
  #avoidScheduler = "";
  #request = 0;
  #linkSequence = 0;
  #workLinks = 0;
  #cancelReconnect = (): void => {};
  #heartbeatMs = 500;
  #stops: (() => void)[] = [];
  #draining = false;
  #closed = false;

  constructor(private readonly deps: DispatcherDeps) {
    this.#backoff = new Backoff({ firstMs: 50, maxMs: 1_000 }, deps.random);
  }

  /** Starts looking for schedulers and invokers; ends with close(). */
  start(): void {
    const watching = new AbortController();
    this.deps.coordination.watchMembers({ members: (all) => this.#members(all) }, watching.signal);
    this.#stops = [
      () => watching.abort(),
      every(this.deps.clock, TICK_MS, () => this.#tick()),
      every(this.deps.clock, SWEEP_MS, () => this.#sweep()),
      this.#heartbeats(),
    ];
  }

  /** Gets a call run (P1). Never throws. */
  dispatch(call: DispatchCall): void {
    if (this.#draining) {
      call.complete({ kind: "refused", error: new WeftError("unavailable", "DRAINING", "this process is stopping") });
      return;
    }
    const state = this.#stateOf(call.ask, call.shard);
    const item: Item = {
      call,
      state,
      acceptedMonoMs: call.acceptedMonoMs,
      expiresMonoMs: call.expiresMonoMs,
      sentBack: 0,
      completed: false,
    };
    this.#touch(state);
    const slot = state.queue.arrive(item, call.acceptedMonoMs);
    if (slot) this.#send(slot, item);
    else this.#wish(state);
  }

  /** Asks to stop a call that runs. Its answer is still its completion. */
  cancel(activationId: string, reason: string): void {
    for (const peer of this.#peers.values()) peer.cancel(activationId, reason);
  }

  /**
   * Asks an invoker what became of an activation that another life of this process, or another process, sent it.
   * @throws unavailable when that life of the invoker is over or does not answer
   */
  async askFate(to: Destination, activationId: Uint8Array): Promise<Fate> {
    const known = this.#peers.get(to.invokerBootId);
    if (known) return known.ask(activationId);
    const member = this.#invokers.find((m) => m.bootId === to.invokerBootId);
    if (!member) throw new WeftError("unavailable", "INVOKER_GONE", `invoker ${to.invokerId} left or was restarted`);
    return this.#peer(member.id, member.bootId, member.address).ask(activationId);
  }

  /** Numbers for status pages. */
  stats(): { readonly inFlight: number; readonly waiting: number; readonly leases: number; readonly actions: number } {
    let inFlight = 0;
    let waiting = 0;
    let leases = 0;
    for (const { queue } of this.#actions.values()) {
      inFlight += queue.inFlight;
      waiting += queue.waitingCount;
      leases += queue.slots.size;
    }
    return { inFlight, waiting, leases, actions: this.#actions.size };
  }

  /** True when a scheduler answers: capacity can be had. */
  get connected(): boolean {
    return this.#welcomed;
  }

  /** Takes nothing new; resolves when nothing is in flight, or after `graceMs`. */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    const until = this.deps.clock.monoMs() + graceMs;
    while (this.deps.clock.monoMs() < until) {
      const { inFlight, waiting } = this.stats();
      if (inFlight === 0 && waiting === 0) return;
      await new Promise<void>((resolve) => {
        this.deps.clock.after(TICK_MS, resolve);
      });
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#draining = true;
    for (const stop of this.#stops) stop();
    this.#cancelReconnect();
    const why = stopped();
    for (const state of this.#actions.values()) {
      state.cancelGather?.();
      for (const item of state.queue.takeWaiting()) this.#complete(item, { kind: "refused", error: why });
      const slots = [...state.queue.slots];
      for (const slot of slots) state.queue.void(slot);
      this.#giveBack(slots, ReturnReason.DRAIN);
    }
    for (const peer of this.#peers.values()) peer.close(why);
    this.#scheduler?.link.close();
  }

  // ---- calls ----

  #stateOf(ask: ActionAsk, shard: number): ActionState {
    const known = this.#actions.get(ask.revisionId);
    if (known) {
      known.ask = ask;
      return known;
    }
    const now = this.deps.clock.monoMs();
    const state: ActionState = {
      ask,
      shard,
      queue: new ActionQueue(now),
      wishedShortage: 0,
      wishedAtMonoMs: -Infinity,
      cancelGather: undefined,
      quietUntilMonoMs: -Infinity,
      activeUntilMonoMs: now,
    };
    this.#actions.set(ask.revisionId, state);
    const before = this.#currentRevision.get(ask.key);
    this.#currentRevision.set(ask.key, ask.revisionId);
    if (before !== undefined) this.#retire(before);
    return state;
  }

  /** An action has a newer revision: slots of the old one are of no use once its waiting items are served. */
  #retire(revisionId: string): void {
    const state = this.#actions.get(revisionId);
    if (!state) return;
    const free: HeldSlot[] = [];
    for (const slot of state.queue.slots) if (state.queue.revoke(slot)) free.push(slot);
    this.#giveBack(free, ReturnReason.SURPLUS);
  }

  #send(slot: HeldSlot, item: Item): void {
    const { call, state } = item;
    const { beforeSend } = call;
    const flight: ItemFlight = { call, slot, item };
    if (!beforeSend) {
      this.#peerOf(slot).send(flight);
      return;
    }
    beforeSend({ invokerId: slot.invokerId, invokerBootId: slot.invokerBootId }).then(
      (wanted) => {
        if (!wanted) {
          item.completed = true; // P1: dropped
          this.#free(state, slot, undefined);
        } else if (slot.gone || this.#closed) {
          // The world changed meanwhile.
          this.#notStarted(flight, "unknown");
        } else this.#peerOf(slot).send(flight);
      },
      (thrown: unknown) => {
        this.#complete(item, { kind: "refused", error: toWeftError(thrown) });
        this.#free(state, slot, undefined);
      },
    );
  }

  #done({ item, slot }: ItemFlight, done: Done): void {
    // The slot first: the next item is on its way while the caller is answered.
    if (!done.reusable) this.#voidSandbox(item.state, slot);
    this.#free(item.state, slot, done.durationMs);
    this.#complete(item, doneOfWire(done, slot.invokerId));
  }

  #notStarted({ item, slot }: ItemFlight, reason: NackReason | "unknown"): void {
    const { state } = item;
    if (reason !== NackReason.OVER_CREDIT && reason !== NackReason.EXPIRED && !slot.gone) {
      this.#giveBack([slot], ReturnReason.VOID);
      state.queue.void(slot);
    }
    this.#free(state, slot, undefined);
    if (reason === NackReason.EXPIRED) {
      this.#complete(item, { kind: "refused", error: expired(item.call) });
      return;
    }
    if (this.#closed) {
      this.#complete(item, { kind: "refused", error: stopped() });
      return;
    }
    item.sentBack += 1;
    if (item.sentBack > SEND_BACK_MAX) {
      this.#complete(item, {
        kind: "refused",
        error: new WeftError("unavailable", "NO_SLOT_KEPT", `no invoker accepted the call in ${SEND_BACK_MAX} tries`, {
          retryAfterMs: 1_000,
        }),
      });
      return;
    }
    const next = state.queue.comeBack(item); // P2
    if (next) this.#send(next, item);
    else this.#wish(state);
  }

  #lost({ item, slot }: ItemFlight, error: WeftError): void {
    item.state.queue.void(slot);
    this.#free(item.state, slot, undefined);
    this.#complete(item, { kind: "lost", invokerId: slot.invokerId, error });
  }

  #complete(item: Item, result: Parameters<DispatchCall["complete"]>[0]): void {
    if (item.completed) return; // P1
    item.completed = true;
    try {
      item.call.complete(result);
    } catch (thrown) {
      this.deps.log.error("a call's completion failed", { error: toWeftError(thrown) });
    }
  }

  #touch(state: ActionState): void {
    state.activeUntilMonoMs = this.deps.clock.monoMs() + ACTIVE_MS;
    this.#active.add(state);
  }

  #free(state: ActionState, slot: HeldSlot, serviceMs: number | undefined): void {
    this.#touch(state);
    this.#act(state, slot, state.queue.freed(slot, serviceMs));
  }

  #act(state: ActionState, slot: HeldSlot, decision: FreeDecision<Item>): void {
    switch (decision.kind) {
      case "serve":
        this.#send(slot, decision.item);
        return;
      case "giveBack":
        this.#giveBack([slot], state.queue.contended ? ReturnReason.CONTENDED : ReturnReason.DRAIN);
        return;
      case "keep":
      case "drop":
        return;
    }
  }

  // ---- invokers ----

  #peerOf(slot: HeldSlot): WorkPeer<ItemFlight> {
    return this.#peers.get(slot.invokerBootId) ?? this.#peer(slot.invokerId, slot.invokerBootId, slot.invokerAddress);
  }

  #peer(invokerId: string, bootId: string, address: string): WorkPeer<ItemFlight> {
    let peer = this.#peers.get(bootId);
    if (!peer) {
      peer = new WorkPeer<ItemFlight>(invokerId, bootId, address, {
        dispatcherId: this.deps.id,
        bootId: this.deps.bootId,
        network: this.deps.network,
        clock: this.deps.clock,
        random: this.deps.random,
        log: this.deps.log,
        nextLink: () => (this.#workLinks += 1),
        done: (flight, done) => this.#done(flight, done),
        notStarted: (flight, reason) => this.#notStarted(flight, reason),
        lost: (flight, error) => this.#lost(flight, error),
        slotsGone: (from, sandboxes) => this.#sandboxesGone(from, sandboxes),
        unusable: (from) => this.#voidInvoker(from),
      });
      this.#peers.set(bootId, peer);
      peer.connect();
    }
    return peer;
  }

  #closePeer(peer: WorkPeer<ItemFlight>, why: string): void {
    peer.close(new WeftError("unavailable", "INVOKER_GONE", `invoker ${peer.invokerId} ${why}`));
  }

  #voidSandbox(state: ActionState, of: HeldSlot): void {
    for (const slot of [...state.queue.slots]) {
      if (slot.sandbox === of.sandbox && slot.invokerBootId === of.invokerBootId) state.queue.void(slot);
    }
  }

  #sandboxesGone(peer: WorkPeer<ItemFlight>, sandboxes: readonly number[]): void {
    const gone = new Set(sandboxes);
    for (const state of this.#actions.values()) {
      for (const slot of [...state.queue.slots]) {
        if (slot.invokerBootId === peer.bootId && gone.has(slot.sandbox)) state.queue.void(slot);
      }
    }
  }

  #voidInvoker(peer: WorkPeer<ItemFlight>): void {
    // One that closed takes nothing more; whoever gets a slot there dials anew.
    if (peer.closed && this.#peers.get(peer.bootId) === peer) this.#peers.delete(peer.bootId);
    for (const state of this.#actions.values()) {
      const gone: HeldSlot[] = [];
      for (const slot of [...state.queue.slots]) {
        if (slot.invokerBootId !== peer.bootId) continue;
        state.queue.void(slot);
        gone.push(slot);
      }
      this.#giveBack(gone, ReturnReason.VOID);
      if (state.queue.waitingCount > 0) this.#wish(state);
    }
  }

  // ---- schedulers ----

  #members(all: readonly Member[]): void {
    this.#schedulers = all.filter((m) => m.role === "scheduler").sort((a, b) => (a.id < b.id ? -1 : 1));
    this.#invokers = all.filter((m) => m.role === "invoker");
    const invokers = new Set(this.#invokers.map((m) => m.bootId));
    for (const [bootId, peer] of this.#peers) {
      // Static stability: an invoker whose link stands is used, whatever became of its place in the list.
      if (!invokers.has(bootId) && peer.idle && !peer.serving) this.#closePeer(peer, "left");
    }
    const current = this.#scheduler?.member;
    if (current && !this.#schedulers.some((m) => m.bootId === current.bootId)) this.#scheduler?.link.close();
    this.#connectScheduler();
  }

  #connectScheduler(): void {
    if (this.#scheduler || this.#closed) return;
    const member = this.#schedulers.find((m) => m.bootId !== this.#avoidScheduler) ?? this.#schedulers[0];
    if (!member) return;
    const link = this.deps.network.dial(member.address, leaseLink);
    this.#scheduler = { member, link };
    link.onItem = (item) => this.#receive(item);
    link.onClosed = () => {
      if (this.#scheduler?.link !== link) return;
      this.#scheduler = undefined;
      this.#welcomed = false;
      for (const state of this.#actions.values()) state.queue.setContended(false);
      if (this.#closed) return;
      this.#cancelReconnect();
      this.#cancelReconnect = this.deps.clock.after(this.#backoff.nextMs(), () => this.#connectScheduler());
    };
    this.#linkSequence += 1;
    link.send({
      item: {
        $case: "hello",
        value: {
          dispatcherId: this.deps.id,
          bootId: this.deps.bootId,
          wireVersion: 1,
          linkSequence: this.#linkSequence,
        },
      },
    });
    const leases: Lease[] = [];
    for (const { queue } of this.#actions.values()) for (const slot of queue.slots) leases.push(slot.toLease());
    link.send({ item: { $case: "held", value: { leases } } }); // P3
  }

  #receive({ item }: LeaseResponseItem): void {
    switch (item?.$case) {
      case "welcome":
        this.#welcomed = true;
        this.#heartbeatMs = Math.max(50, item.value.heartbeatMs);
        this.#backoff.reset();
        this.deps.log.info("a scheduler answers", { schedulerId: item.value.schedulerId });
        for (const state of this.#actions.values()) {
          state.wishedShortage = 0;
          state.quietUntilMonoMs = -Infinity;
          if (state.queue.waitingCount > 0) this.#wish(state);
        }
        return;
      case "grant":
        for (const lease of item.value.leases) this.#granted(lease);
        return;
      case "contended": {
        const state = this.#actions.get(item.value.revisionId);
        if (state) this.#giveBack(state.queue.setContended(item.value.on), ReturnReason.CONTENDED);
        return;
      }
      case "revoke":
        for (const lease of item.value.leases) this.#revoked(lease);
        return;
      case "reject":
        this.#rejected(item.value);
        return;
      case undefined:
        return;
    }
  }

  #granted(lease: Lease): void {
    const slot = heldSlotOf(lease);
    if (!slot) return;
    const state = this.#actions.get(slot.revisionId);
    if (!state || this.#draining) {
      this.#giveBack([slot], ReturnReason.SURPLUS);
      return;
    }
    state.wishedShortage = Math.max(0, state.wishedShortage - 1);
    this.#touch(state);
    this.#peerOf(slot);
    this.#act(state, slot, state.queue.granted(slot));
    if (state.wishedShortage === 0 && state.queue.waitingCount > 0) this.#wish(state);
  }

  #revoked(lease: Lease): void {
    const state = this.#actions.get(lease.revisionId);
    if (!state) return;
    for (const slot of [...state.queue.slots]) {
      if (
        slot.invokerBootId === lease.invokerBootId &&
        slot.sandbox === lease.ref?.sandbox &&
        slot.slot === lease.ref.slot &&
        state.queue.revoke(slot)
      ) {
        this.#giveBack([slot], ReturnReason.DRAIN);
      }
    }
  }

  #rejected(reject: Reject): void {
    const state = this.#actions.get(reject.revisionId);
    if (!state) return;
    state.wishedShortage = 0;
    const retryAfterMs = Math.max(50, reject.retryAfterMs);
    const refuse = (error: WeftError): void => {
      for (const item of state.queue.takeWaiting()) this.#complete(item, { kind: "refused", error });
    };
    switch (reject.reason) {
      case RejectReason.UNKNOWN_KIND:
        refuse(
          new WeftError("failedPrecondition", "UNKNOWN_KIND", reject.message || `no invoker runs ${state.ask.kind}`),
        );
        return;
      case RejectReason.START_FAILED:
        refuse(
          new WeftError("unavailable", "START_FAILED", reject.message || "no sandbox could be started", {
            retryAfterMs,
          }),
        );
        return;
      case RejectReason.NOT_OWNER:
        this.#avoidScheduler = this.#scheduler?.member.bootId ?? "";
        state.quietUntilMonoMs = this.deps.clock.monoMs() + retryAfterMs;
        if (this.#schedulers.length > 1) this.#scheduler?.link.close();
        return;
      default:
        // No capacity now: the items keep waiting, each until its own time is up.
        state.quietUntilMonoMs = this.deps.clock.monoMs() + retryAfterMs;
    }
  }

  #wish(state: ActionState): void {
    const now = this.deps.clock.monoMs();
    if (!this.#welcomed || now < state.quietUntilMonoMs) return;
    const wish = state.queue.wish(now);
    // A wish that grew is told soon; the same wish again only now and then.
    const sinceMs = now - state.wishedAtMonoMs;
    if (wish.shortage <= state.wishedShortage && sinceMs < WISH_REPEAT_MS) return;
    if (state.wishedShortage > 0 && sinceMs < WISH_GATHER_MS) {
      state.cancelGather ??= this.deps.clock.after(WISH_GATHER_MS - sinceMs, () => {
        state.cancelGather = undefined;
        if (state.queue.waitingCount > 0) this.#wish(state);
      });
      return;
    }
    state.cancelGather?.();
    state.cancelGather = undefined;
    state.wishedShortage = wish.shortage;
    state.wishedAtMonoMs = now;
    this.#request += 1;
    this.#scheduler?.link.send({
      item: {
        $case: "capacity",
        value: {
          request: this.#request,
          action: state.ask,
          shard: state.shard,
          shortage: wish.shortage,
          oldestWaitMs: Math.round(wish.oldestWaitMs),
          arrivalsPerSecond: wish.arrivalsPerSecond,
          serviceMs: wish.serviceMs,
        },
      },
    });
  }

  #giveBack(slots: readonly HeldSlot[], reason: ReturnReason): void {
    if (slots.length === 0) return;
    this.#scheduler?.link.send({
      item: { $case: "returned", value: { leases: slots.map((slot) => slot.toLease()), reason } },
    });
  }

  #tick(): void {
    const now = this.deps.clock.monoMs();
    for (const state of this.#active) {
      const { queue } = state;
      const { surplus, expired: late } = queue.tick(now);
      this.#giveBack(surplus, ReturnReason.SURPLUS);
      for (const item of late) this.#complete(item, { kind: "refused", error: expired(item.call) });
      if (queue.waitingCount > 0) this.#wish(state);
      else if (state.wishedShortage > 0) this.#withdraw(state);
      const quiet = now > state.activeUntilMonoMs && queue.inFlight === 0 && queue.waitingCount === 0;
      if (quiet && queue.settled) this.#active.delete(state);
    }
  }

  /** Served otherwise meanwhile: the owner is told, lest it starts sandboxes for nobody. */
  #withdraw(state: ActionState): void {
    state.wishedAtMonoMs = -Infinity;
    state.wishedShortage = -1;
    this.#wish(state);
    state.wishedShortage = 0;
  }

  /** Forgets what nobody used for a while. */
  #sweep(): void {
    const now = this.deps.clock.monoMs();
    const leased = new Set<string>();
    for (const [revisionId, state] of this.#actions) {
      const { queue, ask } = state;
      for (const slot of queue.slots) leased.add(slot.invokerBootId);
      if (queue.empty && now - queue.lastUsedMonoMs > FORGET_MS) {
        this.#actions.delete(revisionId);
        this.#active.delete(state);
        if (this.#currentRevision.get(ask.key) === revisionId) this.#currentRevision.delete(ask.key);
      }
    }
    for (const [bootId, peer] of this.#peers) {
      // A link with leases stays: its end would free them.
      if (peer.idle && !leased.has(bootId) && now - peer.lastUsedMonoMs > FORGET_MS)
        this.#closePeer(peer, "is not used");
    }
  }

  #heartbeats(): () => void {
    let cancel = (): void => {};
    const beat = (): void => {
      cancel = this.deps.clock.after(this.#heartbeatMs, beat);
      if (!this.#welcomed) return;
      const demands: Demand[] = [];
      for (const { ask, queue } of this.#actions.values()) {
        if (queue.slots.size === 0 && queue.waitingCount === 0) continue;
        demands.push({
          actionKey: ask.key,
          revisionId: ask.revisionId,
          inFlight: queue.inFlight,
          waiting: queue.waitingCount,
          free: queue.freeCount,
          serviceMs: queue.serviceMs,
        });
      }
      this.#scheduler?.link.send({ item: { $case: "heartbeat", value: { demands } } });
    };
    beat();
    return () => cancel();
  }
}

function stopped(): WeftError {
  return new WeftError("unavailable", "STOPPED", "this process stopped");
}

function expired(call: DispatchCall): WeftError {
  return new WeftError(
    "deadlineExceeded",
    "NOT_STARTED_IN_TIME",
    `no sandbox for ${call.ask.key} became free in time; the activation was not started`,
  );
}
