// The scheduler: owns shards of the action space, grants slots of their sandboxes to dispatchers, and has invokers start
// sandboxes where there are too few.
//
// What is hard is decided elsewhere: the slot table (who gets which slot), the scale-out rule (how many sandboxes) and
// placement (where). This file carries events to them and their decisions out over the links.
//
//   S1. Grants, orders to start and orders to end are made only while Ownership.commanding(), checked in the same turn.
//   S2. Nothing is granted or started for a shard that is not owned: the wish is refused with NOT_OWNER.
//   S3. When the place among the members is lost, everything is forgotten and every link ended: whoever comes back
//       reports what it has, and the table is built from that.
//   S4. An ordered sandbox is in exactly one place until it is ready, refused, given up or its invoker is cut off.
//   S5. An invoker is gone when its link ended and it is no member any more, or when it is there in a new life. Until
//       then its slots are kept for their holders, but not granted.

import { every, type Clock } from "../base/clock.js";
import { FixedRing } from "../base/fixed-ring.js";
import type { Log } from "../base/log.js";
import type { Counter } from "../base/metrics.js";
import type { Random } from "../base/random.js";
import { shardOf, type Coordination, type Member } from "../core/coordination/coordination.js";
import type { ActionAsk } from "../core/dispatch/call.js";
import { SlotTable, type LeaseFields, type ReadySandbox, type SlotCommand } from "../core/lease/slot-table.js";
import { leaseToken } from "../core/lease/token.js";
import { HashRing } from "../core/placement/hash-ring.js";
import { explainRefusal, place, type InvokerView, type Placement } from "../core/placement/place.js";
import { scaleOut } from "../core/scaling/scale-out.js";
import {
  SandboxEnd,
  SandboxState,
  type Capacity,
  type DescribeFleetResponse,
  type DispatcherGone,
  type FleetRequestItem,
  type FleetResponseItem,
  type Inventory,
  type Register,
  type SandboxReport,
} from "../gen/weft/link/v1/fleet.pb.js";
import {
  RejectReason,
  ReturnReason,
  type CapacityRequest,
  type Demand as DemandReport,
  type Lease,
  type LeaseRequestItem,
  type LeaseResponseItem,
  type ReturnLeases,
} from "../gen/weft/link/v1/lease.pb.js";
import type { QuotaRequestItem, QuotaResponseItem } from "../gen/weft/link/v1/quota.pb.js";
import type { Link } from "../rpc/link.js";
import { Demand } from "./demand.js";
import { FleetSession } from "./fleet-session.js";
import { InvokerRecord, type Order } from "./invoker-record.js";
import { LeaseSession, type SessionOutcome } from "./lease-session.js";
import type { SchedulerMetrics } from "./metrics.js";
import { Ownership } from "./ownership.js";
import { QuotaDesk } from "./quota-desk.js";
import { askOfWire, leasesOfWire, leaseToWire, readyOfWire, refsOfWire } from "./wire.js";

/** Rests, contention, starvation and the scale-out rule are looked at this often while anything is going on. */
const TICK_MS = 10;
/** Silence and late starts are looked at this often. */
const SLOW_TICK_MS = 100;
/** The scale-out rule is asked at most this often per action. */
const LOOK_MS = 5;
/** Holders who are told that others wait answer within this; before, nothing is started beside slots that may be free. */
const HOLDERS_ANSWER_MS = 10;
/** After a refusal for want of room the fleet is looked over again this often; a change of the fleet comes sooner. */
const NO_ROOM_LOOK_MS = 50;
/** What is known of a revision is forgotten when nobody asked for it for this long. */
const DEMAND_KEPT_MS = 3_600_000;
/** Weight of the newest start in the mean time of starts. */
const START_WEIGHT = 0.3;
/** Decisions kept for whoever looks at the state. */
const DECISIONS_KEPT = 100;

export interface SchedulerSettings {
  /** How often dispatchers must speak. */
  readonly dispatcherHeartbeatMs: number;
  /** How long leases outlive the last word of their dispatcher. */
  readonly sessionTtlMs: number;
  /** How often invokers must speak; after three missed ones nothing is placed on them. */
  readonly invokerHeartbeatMs: number;
  /** Of this scheduler's own lease in etcd. */
  readonly memberTtlMs: number;
  /** Failed starts in a row after which waiting calls are refused. */
  readonly startFailuresMax: number;
  /** An ordered sandbox of which nothing was heard for this long counts as failed. */
  readonly startTimeoutMs: number;
  /** When dispatchers should ask again after a refusal. */
  readonly retryAfterMs: number;
  /** Who waits longer takes a slot from a dispatcher that holds more. */
  readonly starvedMs: number;
  /** Starts per action and period. */
  readonly burstStarts: number;
  readonly burstPeriodMs: number;
  /** Time of a start before any was seen. */
  readonly coldStartMs: number;
  readonly stemStartMs: number;
}

export const SCHEDULER_DEFAULTS: SchedulerSettings = {
  dispatcherHeartbeatMs: 500,
  sessionTtlMs: 4_000,
  invokerHeartbeatMs: 1_000,
  memberTtlMs: 5_000,
  startFailuresMax: 3,
  startTimeoutMs: 60_000,
  retryAfterMs: 200,
  starvedMs: 200,
  burstStarts: 1_000,
  burstPeriodMs: 10_000,
  coldStartMs: 500,
  stemStartMs: 50,
};

export interface SchedulerDeps {
  readonly id: string;
  readonly bootId: string;
  readonly coordination: Coordination;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: SchedulerMetrics;
  readonly clusterKey: string;
  readonly settings: SchedulerSettings;
}

/** One decision about starts, for /debug. */
interface Decision {
  readonly atWallMs: number;
  readonly action: string;
  readonly revisionId: string;
  readonly what: string;
}

export class Scheduler {
  #table: SlotTable;
  readonly #leaseSessions = new Set<LeaseSession>();
  readonly #dispatchers = new Map<string, LeaseSession>();
  readonly #fleetSessions = new Set<FleetSession>();
  /** By boot. */
  readonly #invokers = new Map<string, InvokerRecord>();
  /** The same by id, for placement: one life each. */
  readonly #fleet = new Map<string, InvokerRecord>();
  #ring = new HashRing([]);
  readonly #demands = new Map<string, Demand>();
  /** Demands that are not met. */
  readonly #wanting = new Set<Demand>();
  readonly #startMs = new Map<string, number>();
  readonly #decisions = new FixedRing<Decision>(DECISIONS_KEPT);
  readonly #counts: BoundCounters;
  readonly #quota: QuotaDesk;
  #members: readonly Member[] | undefined;
  #ownership: Ownership | undefined;
  #order: number;
  #staleSeen = 0;
  #stops: (() => void)[] = [];

  constructor(private readonly deps: SchedulerDeps) {
    this.#table = this.#newTable();
    this.#counts = bindCounters(deps.metrics);
    // Orders must not repeat over restarts, whatever the clock does: they count from a random start.
    this.#order = Math.floor(deps.random.next() * 2 ** 40) * 1_000;
    this.#bindGauges();
    this.#quota = new QuotaDesk({
      clock: deps.clock,
      log: deps.log,
      metrics: deps.metrics,
      commanding: () => this.#ownership?.commanding() ?? false,
      owns: (shard) => this.#ownership?.epochOf(shard) !== undefined,
      holders: () =>
        this.#members?.flatMap(({ role, bootId }) => (role === "gateway" || role === "controller" ? [bootId] : [])),
    });
  }

  /**
   * Joins the members and takes shards; ends with close(). Links may be served before.
   * @param address where dispatchers and invokers dial this scheduler
   * @throws what joining throws: unavailable without etcd
   */
  async start(address: string): Promise<void> {
    const { id, bootId, coordination, clock, random, log, settings } = this.deps;
    const member: Member = { role: "scheduler", id, bootId, address, zone: "", wireVersion: 1 };
    this.#ownership = new Ownership({
      coordination,
      member,
      ttlMs: settings.memberTtlMs,
      clock,
      random,
      log,
      changed: (epochs) => {
        this.#table.apply({ kind: "shards", epochs }, clock.monoMs());
        this.#pump();
        if (epochs.size > 0) this.#quota.tookOver();
      },
      lost: () => this.#startOver(),
    });
    await this.#ownership.start();
    const watching = new AbortController();
    coordination.watchMembers({ members: (all) => this.#membersChanged(all) }, watching.signal);
    this.#stops = [
      () => watching.abort(),
      every(clock, TICK_MS, () => this.#tick()),
      every(clock, SLOW_TICK_MS, () => this.#slowTick()),
    ];
  }

  /** True, or why it cannot serve. */
  readiness(): true | string {
    if (!this.#ownership) return "not started";
    if (!this.#ownership.commanding()) return "its place among the members is in doubt";
    return this.#ownership.shards > 0 ? true : "owns no shard";
  }

  /** Ends every link and leaves the members. Dispatchers go on using their leases. */
  async close(): Promise<void> {
    for (const stop of this.#stops) stop();
    this.#stops = [];
    this.#endSessions();
    await this.#ownership?.close();
  }

  // ---- links ----

  /** A dispatcher's link. Sets the link's callbacks before it returns. */
  serveLease(link: Link<LeaseRequestItem, LeaseResponseItem>): void {
    const { id, clock, settings } = this.deps;
    const session = new LeaseSession(link, {
      schedulerId: id,
      clock,
      heartbeatMs: settings.dispatcherHeartbeatMs,
      sessionTtlMs: settings.sessionTtlMs,
      hello: (s) => this.#hello(s),
      held: (s, leases) => this.#held(s, leases),
      capacity: (s, request) => this.#capacityWanted(s, request),
      returned: (s, returned) => this.#returned(s, returned),
      heartbeat: (s, demands) => this.#demandsReported(s, demands),
      ended: (s, outcome) => this.#dispatcherEnded(s, outcome),
    });
    this.#leaseSessions.add(session);
    session.start();
  }

  /** An invoker's link. Sets the link's callbacks before it returns. */
  serveFleet(link: Link<FleetRequestItem, FleetResponseItem>): void {
    const { id, clock, settings } = this.deps;
    const session = new FleetSession(link, {
      schedulerId: id,
      clock,
      heartbeatMs: settings.invokerHeartbeatMs,
      registered: (s, register) => this.#registered(s, register),
      inventory: (s, inventory) => this.#inventory(s, inventory),
      capacity: (s, capacity) => this.#capacity(s, capacity),
      sandbox: (s, report) => this.#sandbox(s, report),
      dispatcherGone: (s, gone) => this.#dispatcherGone(s, gone),
      silence: (s) => this.#silence(s),
      ended: (s, outcome) => this.#invokerEnded(s, outcome),
    });
    this.#fleetSessions.add(session);
    session.start();
  }

  /** The link of one who admits calls. Sets the link's callbacks before it returns. */
  serveQuota(link: Link<QuotaRequestItem, QuotaResponseItem>): void {
    this.#quota.serve(link);
  }

  /** What it knows of its fleet: the rpc FleetService.Describe. */
  describe(): DescribeFleetResponse {
    return {
      invokers: [...this.#fleet.values()].map((invoker) => ({
        register: invoker.register,
        capacity: invoker.capacity,
        sandboxes: [...invoker.sandboxes.values()],
        suspect: invoker.suspect,
      })),
      leases: this.#table.heldSlots,
      shards: this.#ownership?.shards ?? 0,
    };
  }

  /** The state at this moment, for the admin listener. */
  debug(): unknown {
    const now = this.deps.clock.monoMs();
    return {
      commanding: this.#ownership?.commanding() ?? false,
      shards: this.#ownership?.shards ?? 0,
      slots: this.#table.audit(),
      dispatchers: this.#table.dispatchers(),
      leaseSessions: [...this.#leaseSessions].map((s) => ({
        dispatcherId: s.dispatcherId,
        bootId: s.bootId,
        state: s.state,
        ageMs: now - s.sinceMonoMs,
      })),
      invokers: [...this.#invokers.values()].map((invoker) => ({
        invokerId: invoker.id,
        bootId: invoker.bootId,
        session: invoker.session?.state ?? "none",
        suspect: invoker.suspect,
        draining: invoker.draining,
        memoryMb: invoker.memoryMb,
        freeMb: invoker.freeMb,
        evictableMb: invoker.evictableMb,
        starting: invoker.starting,
        sandboxes: invoker.sandboxes.size,
        orders: [...invoker.orders.values()],
      })),
      actions: this.#table.pools(now).map((pool) => {
        const demand = this.#demands.get(pool.revisionId);
        return {
          ...pool,
          serviceMs: demand?.serviceMs ?? 0,
          starting: demand?.orders.size ?? 0,
          startFailures: demand?.breaker.failures ?? 0,
          lastDecision: demand?.lastDecision,
        };
      }),
      decisions: this.#decisions.toArray(),
      quota: this.#quota.debug(),
    };
  }

  /** Counts the slots from both sides. @throws internal when they differ */
  audit(): ReturnType<SlotTable["audit"]> {
    return this.#table.audit();
  }

  // ---- dispatchers ----

  #hello(session: LeaseSession): void {
    const { dispatcherId, bootId } = session;
    this.#dispatchers.get(bootId)?.end({ kind: "replaced" });
    this.#dispatchers.set(bootId, session);
    this.#table.apply({ kind: "hello", dispatcherId, bootId }, this.deps.clock.monoMs());
    this.deps.log.info("a dispatcher is here", { dispatcherId });
  }

  #held(session: LeaseSession, leases: readonly Lease[]): void {
    this.#table.apply({ kind: "held", bootId: session.bootId, leases: leasesOfWire(leases) }, this.deps.clock.monoMs());
    this.#pump();
  }

  #capacityWanted(session: LeaseSession, request: CapacityRequest): void {
    const { action, shard } = request;
    if (!action) return;
    if (this.#ownership?.epochOf(shard) === undefined || shardOf(action.key) !== shard) {
      this.#reject(session, action, RejectReason.NOT_OWNER, `shard ${shard} is not owned here`); // S2
      return;
    }
    const now = this.deps.clock.monoMs();
    const demand = this.#demandOf(action, shard, now);
    demand.served(request.serviceMs);
    this.#table.apply(
      {
        kind: "wish",
        bootId: session.bootId,
        actionKey: action.key,
        revisionId: action.revisionId,
        shard,
        shortage: request.shortage,
        oldestWaitMs: request.oldestWaitMs,
        arrivalsPerSecond: request.arrivalsPerSecond,
      },
      now,
    );
    this.#pump();
    if (request.shortage === 0) return;
    this.#wanting.add(demand);
    this.#look(demand, now);
  }

  #returned(session: LeaseSession, { leases, reason }: ReturnLeases): void {
    this.#counts.returns(reason, leases.length);
    this.#table.apply(
      { kind: "returned", bootId: session.bootId, leases: refsOfWire(leases), void: reason === ReturnReason.VOID },
      this.deps.clock.monoMs(),
    );
    this.#pump();
  }

  #demandsReported(session: LeaseSession, demands: readonly DemandReport[]): void {
    const waiting = new Map<string, number>();
    for (const report of demands) {
      this.#demands.get(report.revisionId)?.served(report.serviceMs);
      if (report.waiting > 0) waiting.set(report.revisionId, report.waiting);
    }
    // Items that were served otherwise or gave up are waited for no longer, whatever was wished before.
    this.#table.apply({ kind: "stillWaiting", bootId: session.bootId, waiting }, this.deps.clock.monoMs());
    this.#pump();
  }

  #dispatcherEnded(session: LeaseSession, outcome: SessionOutcome): void {
    this.#leaseSessions.delete(session);
    this.#counts.sessionEnded("dispatcher", outcome.kind);
    if (this.#dispatchers.get(session.bootId) !== session) {
      if (outcome.kind === "protocolError") this.deps.log.warn("a dispatcher was refused", { why: outcome.why });
      return;
    }
    this.#dispatchers.delete(session.bootId);
    this.#table.apply({ kind: "away", bootId: session.bootId }, this.deps.clock.monoMs());
    this.deps.log.info("a dispatcher's session ended", {
      dispatcherId: session.dispatcherId,
      outcome: outcome.kind,
      why: "why" in outcome ? outcome.why : undefined,
    });
    this.#pump();
  }

  // ---- invokers ----

  #registered(session: FleetSession, register: Register): void {
    const { invokerId, bootId } = session;
    const former = this.#fleet.get(invokerId);
    if (former && former.bootId !== bootId) this.#invokerGone(former, "it was started anew"); // S5
    const known = this.#invokers.get(bootId);
    if (known?.session) {
      const old = known.session;
      known.session = undefined; // it is cut off, not gone
      this.#giveUpOrders(known);
      old.end({ kind: "replaced" });
    }
    const invoker = known ?? new InvokerRecord(register, () => this.deps.clock.monoMs());
    invoker.session = session;
    this.#invokers.set(bootId, invoker);
    this.#fleet.set(invokerId, invoker);
    if (!known) this.#ring = new HashRing(this.#fleet.keys());
    const now = this.deps.clock.monoMs();
    this.#table.apply({ kind: "invoker", bootId, id: invokerId, address: register.address }, now);
    this.#usableChanged(invoker);
    this.deps.log.info("an invoker is here", { invokerId, memoryMb: register.memoryMb, kinds: register.kinds });
  }

  #inventory(session: FleetSession, inventory: Inventory): void {
    const invoker = this.#invokers.get(session.bootId);
    if (invoker?.session !== session) return;
    const listed = new Set(inventory.sandboxes.map((view) => view.sandbox));
    // What ended while it was cut off must not be brought back by a report that comes late.
    for (const sandbox of [...invoker.sandboxes.keys()]) if (!listed.has(sandbox)) invoker.ended(sandbox);
    const ready: ReadySandbox[] = [];
    for (const view of inventory.sandboxes) {
      invoker.sandboxes.set(view.sandbox, view);
      const one = readyOfWire(view);
      if (one) ready.push(one);
    }
    this.#table.apply({ kind: "inventory", bootId: session.bootId, sandboxes: ready }, this.deps.clock.monoMs());
    this.#usableChanged(invoker);
    // It may not have heard of these before it was cut off.
    this.#carryOut(this.#table.retiring(session.bootId));
    this.#fleetChanged();
  }

  #capacity(session: FleetSession, capacity: Capacity): void {
    const invoker = this.#invokers.get(session.bootId);
    if (invoker?.session !== session) return;
    invoker.reported(capacity);
    this.#usableChanged(invoker);
    this.#fleetChanged();
  }

  #sandbox(session: FleetSession, report: SandboxReport): void {
    const invoker = this.#invokers.get(session.bootId);
    if (invoker?.session !== session) return;
    const now = this.deps.clock.monoMs();
    const { view } = report;
    const order = report.order === 0 ? undefined : invoker.orders.get(report.order);
    if (view && view.state !== SandboxState.GONE) {
      if (invoker.hasEnded(view.sandbox)) {
        this.#counts.stale(1);
        return;
      }
      invoker.sandboxes.set(view.sandbox, view);
      const ready = readyOfWire(view);
      if (ready) {
        this.#table.apply({ kind: "sandboxReady", bootId: session.bootId, ready }, now);
        if (order) this.#orderReady(invoker, order, report, now);
      }
    } else {
      if (view && view.sandbox !== 0) {
        invoker.ended(view.sandbox);
        this.#table.apply({ kind: "sandboxGone", bootId: session.bootId, sandbox: view.sandbox }, now);
      }
      if (order) this.#orderFailed(invoker, order, report, now);
      this.#fleetChanged();
    }
    this.#pump();
  }

  #dispatcherGone(session: FleetSession, { bootId }: DispatcherGone): void {
    if (this.#invokers.get(session.bootId)?.session !== session) return;
    this.#table.apply({ kind: "dispatcherGone", invokerBootId: session.bootId, bootId }, this.deps.clock.monoMs());
    this.#pump();
  }

  #silence(session: FleetSession): void {
    const invoker = this.#invokers.get(session.bootId);
    if (invoker?.session !== session) return;
    if (session.silent) this.deps.log.warn("an invoker is silent: nothing is placed on it", { invokerId: invoker.id });
    else this.deps.log.info("an invoker speaks again", { invokerId: invoker.id });
    this.#usableChanged(invoker);
    this.#fleetChanged();
  }

  #invokerEnded(session: FleetSession, outcome: SessionOutcome): void {
    this.#fleetSessions.delete(session);
    this.#counts.sessionEnded("invoker", outcome.kind);
    const invoker = this.#invokers.get(session.bootId);
    if (invoker?.session !== session) {
      if (outcome.kind === "protocolError") this.deps.log.warn("an invoker was refused", { why: outcome.why });
      return;
    }
    invoker.session = undefined;
    this.deps.log.warn("an invoker's session ended", {
      invokerId: invoker.id,
      outcome: outcome.kind,
      why: "why" in outcome ? outcome.why : undefined,
    });
    // What becomes of these it will say in its next inventory; until then others are started elsewhere (S4).
    this.#giveUpOrders(invoker);
    if (this.#lives(invoker.bootId)) this.#usableChanged(invoker);
    else this.#invokerGone(invoker, "its link ended and it is no member");
    this.#fleetChanged();
  }

  #membersChanged(all: readonly Member[]): void {
    this.#members = all;
    for (const invoker of [...this.#invokers.values()]) {
      if (!invoker.session && !this.#lives(invoker.bootId)) this.#invokerGone(invoker, "it is no member any more"); // S5
    }
    this.#pump();
  }

  #lives(invokerBootId: string): boolean {
    return (this.#members ?? []).some((member) => member.role === "invoker" && member.bootId === invokerBootId);
  }

  #invokerGone(invoker: InvokerRecord, why: string): void {
    this.#invokers.delete(invoker.bootId);
    if (this.#fleet.get(invoker.id) === invoker) this.#fleet.delete(invoker.id);
    const { session } = invoker;
    invoker.session = undefined;
    session?.end({ kind: "replaced" });
    this.#giveUpOrders(invoker);
    this.#ring = new HashRing(this.#fleet.keys());
    this.#table.apply({ kind: "invokerGone", bootId: invoker.bootId }, this.deps.clock.monoMs());
    this.deps.log.warn("an invoker is gone", { invokerId: invoker.id, why, sandboxes: invoker.sandboxes.size });
    this.#fleetChanged();
    this.#pump();
  }

  #usableChanged(invoker: InvokerRecord): void {
    const { bootId, usable } = invoker;
    this.#table.apply({ kind: "invokerUsable", bootId, usable }, this.deps.clock.monoMs());
    this.#pump();
  }

  /** Whoever waits for room is looked at again. */
  #fleetChanged(): void {
    const now = this.deps.clock.monoMs();
    for (const demand of this.#wanting) demand.nextLookMonoMs = Math.min(demand.nextLookMonoMs, now);
  }

  // ---- starts ----

  #demandOf(action: ActionAsk, shard: number, nowMonoMs: number): Demand {
    let demand = this.#demands.get(action.revisionId);
    if (!demand) {
      demand = new Demand(askOfWire(action), shard, this.deps.settings, nowMonoMs);
      this.#demands.set(action.revisionId, demand);
    }
    // The limit of its namespace may have changed since.
    const { maxInstances } = action;
    if (demand.ask.maxInstances !== maxInstances) demand.ask = { ...demand.ask, maxInstances };
    demand.lastUsedMonoMs = nowMonoMs;
    return demand;
  }

  /** Asks the scale-out rule about a demand, and orders what it says. */
  #look(demand: Demand, nowMonoMs: number): void {
    if (nowMonoMs < demand.nextLookMonoMs) return;
    const { ask } = demand;
    const pool = this.#table.pool(ask.revisionId, nowMonoMs);
    if (!pool || pool.waiting === 0) {
      this.#wanting.delete(demand);
      demand.toldNoRoom.clear();
      return;
    }
    demand.nextLookMonoMs = nowMonoMs + LOOK_MS;
    const epoch = this.#ownership?.epochOf(demand.shard);
    if (epoch === undefined || !this.#ownership?.commanding()) return; // S1, S2
    if (pool.contendedForMs < HOLDERS_ANSWER_MS && this.#table.heldByOthers(ask.revisionId)) return;

    const verdict = demand.breaker.verdict(nowMonoMs);
    if (verdict.kind === "pause") {
      if (demand.breaker.open) this.#refuseStarts(demand, verdict.leftMs);
      return;
    }
    const decision = scaleOut({
      waiting: pool.waiting,
      reportedWaitMs: pool.reportedWaitMs,
      readySlots: pool.readySlots,
      startingSlots: demand.orders.size * ask.concurrency,
      serviceMs: demand.serviceMs,
      arrivalsPerSecond: pool.arrivalsPerSecond,
      startMs: this.#expectedStartMs(ask),
      concurrency: ask.concurrency,
      instances: this.#table.instances(ask.key) + this.#ordersOf(ask.key),
      maxInstances: ask.maxInstances,
      unknownLimit: demand.unknownLimit,
      burstLeft: demand.burst.left(nowMonoMs),
    });
    demand.lastDecision = decision;
    if (decision.because === "maxInstances" && decision.starts === 0 && demand.orders.size === 0) {
      this.#table.makeWay(ask.revisionId);
      this.#pump();
    }
    const starts =
      verdict.kind === "probe" ? Math.min(decision.starts, demand.orders.size > 0 ? 0 : 1) : decision.starts;
    for (let i = 0; i < starts; i++) {
      const placement = place(placementAsk(ask), this.#fleet, this.#ring, () => this.deps.random.next());
      if (placement.kind !== "placed") {
        this.#refusePlacement(demand, placement, nowMonoMs);
        return;
      }
      if (!this.#orderSandbox(demand, placement, epoch, nowMonoMs)) return;
    }
  }

  #orderSandbox(
    demand: Demand,
    placement: Extract<Placement, { kind: "placed" }>,
    epoch: number,
    nowMonoMs: number,
  ): boolean {
    const { ask, shard } = demand;
    const invoker = this.#invokers.get(placement.invoker.bootId);
    this.#order += 1;
    const id = this.#order;
    if (!invoker?.session?.order({ $case: "create", value: { order: id, shard, epoch, action: ask } })) return false;
    const order: Order = {
      id,
      actionKey: ask.key,
      revisionId: ask.revisionId,
      invokerBootId: invoker.bootId,
      memoryMb: ask.memoryMb,
      stem: placement.stem,
      orderedMonoMs: nowMonoMs,
    };
    invoker.orders.set(id, order);
    demand.orders.set(id, order);
    demand.burst.take(1);
    this.#counts.order("ordered");
    this.#decided(
      ask,
      `starts a sandbox on ${invoker.id} (${placement.stem ? "stem cell" : "cold"}${placement.evicts ? ", evicting" : ""}; ` +
        `${demand.lastDecision?.because}; best of ${placement.candidates})`,
    );
    return true;
  }

  #orderReady(invoker: InvokerRecord, order: Order, report: SandboxReport, nowMonoMs: number): void {
    this.#endOrder(invoker, order, "ready");
    const demand = this.#demands.get(order.revisionId);
    if (!demand) return;
    demand.started();
    demand.nextLookMonoMs = Math.min(demand.nextLookMonoMs, nowMonoMs);
    const tookMs = nowMonoMs - order.orderedMonoMs;
    const key = startKey(demand.ask.kind, report.phases?.stem ?? order.stem);
    const mean = this.#startMs.get(key);
    this.#startMs.set(key, mean === undefined ? tookMs : mean + START_WEIGHT * (tookMs - mean));
    this.#counts.started(report.phases?.stem ?? order.stem, tookMs);
  }

  #orderFailed(invoker: InvokerRecord, order: Order, report: SandboxReport, nowMonoMs: number): void {
    const demand = this.#demands.get(order.revisionId);
    if (demand) demand.nextLookMonoMs = Math.min(demand.nextLookMonoMs, nowMonoMs);
    switch (report.end) {
      case SandboxEnd.NO_ROOM:
      case SandboxEnd.EVICTED:
        invoker.refusedFor(order.memoryMb);
        this.#endOrder(invoker, order, "noRoom");
        return;
      case SandboxEnd.DRAINING:
        invoker.refusedDraining();
        this.#usableChanged(invoker);
        this.#endOrder(invoker, order, "draining");
        return;
      case SandboxEnd.FENCED:
        this.#endOrder(invoker, order, "fenced");
        this.#ownership?.fenced(shardOf(order.actionKey));
        return;
      default:
        this.#startFailed(invoker, order, report.message || "the sandbox ended before it was ready", nowMonoMs);
    }
  }

  #startFailed(invoker: InvokerRecord, order: Order, message: string, nowMonoMs: number): void {
    this.#endOrder(invoker, order, "failed");
    const demand = this.#demands.get(order.revisionId);
    if (!demand) return;
    demand.breaker.failed(`${invoker.id}: ${message}`, order.orderedMonoMs, nowMonoMs, this.deps.random.next());
    this.deps.log.warn("a sandbox could not be started", {
      action: order.actionKey,
      revision: order.revisionId,
      invokerId: invoker.id,
      reason: message,
      failures: demand.breaker.failures,
    });
    this.#decided(demand.ask, `start failed on ${invoker.id}: ${message}`);
    const verdict = demand.breaker.verdict(nowMonoMs);
    if (demand.breaker.open && verdict.kind === "pause") this.#refuseStarts(demand, verdict.leftMs);
  }

  #endOrder(invoker: InvokerRecord, order: Order, result: OrderResult): void {
    invoker.orders.delete(order.id); // S4
    this.#demands.get(order.revisionId)?.orders.delete(order.id);
    this.#counts.order(result);
  }

  #giveUpOrders(invoker: InvokerRecord): void {
    for (const order of [...invoker.orders.values()]) this.#endOrder(invoker, order, "lost");
  }

  #refuseStarts(demand: Demand, retryAfterMs: number): void {
    const { ask, breaker } = demand;
    const message = `no sandbox could be started for ${ask.key}: ${breaker.message} (${breaker.failures} failures in a row)`;
    for (const bootId of this.#table.waitersOf(ask.revisionId)) {
      const session = this.#dispatchers.get(bootId);
      if (session) this.#reject(session, ask, RejectReason.START_FAILED, message, retryAfterMs);
    }
    // They refused their items: nobody waits any more.
    this.#table.apply({ kind: "dropWishes", revisionId: ask.revisionId }, this.deps.clock.monoMs());
    this.#pump();
  }

  #refusePlacement(demand: Demand, refusal: Exclude<Placement, { kind: "placed" }>, nowMonoMs: number): void {
    const { ask } = demand;
    demand.nextLookMonoMs = nowMonoMs + NO_ROOM_LOOK_MS;
    const awaited = (this.#members ?? []).filter(
      (m) => m.role === "invoker" && this.#invokers.get(m.bootId)?.suspect !== false,
    );
    if (refusal.kind === "unknownKind" && awaited.length === 0) {
      this.#decided(ask, `no invoker runs ${ask.kind}`);
      for (const bootId of this.#table.waitersOf(ask.revisionId)) {
        const session = this.#dispatchers.get(bootId);
        if (session) this.#reject(session, ask, RejectReason.UNKNOWN_KIND, `no invoker runs ${ask.kind}`);
      }
      this.#table.apply({ kind: "dropWishes", revisionId: ask.revisionId }, nowMonoMs);
      this.#pump();
      return;
    }
    const message = refusalMessage(ask, refusal, awaited);
    const { retryAfterMs } = this.deps.settings;
    for (const bootId of this.#table.waitersOf(ask.revisionId)) {
      const told = demand.toldNoRoom.get(bootId);
      const session = this.#dispatchers.get(bootId);
      if (!session || (told !== undefined && nowMonoMs - told < retryAfterMs)) continue;
      if (demand.toldNoRoom.size === 0) this.#decided(ask, message);
      demand.toldNoRoom.set(bootId, nowMonoMs);
      // The wish stands: whoever asked gets a slot as soon as one is free, without asking again.
      this.#reject(session, ask, RejectReason.NO_CAPACITY, message, retryAfterMs);
    }
  }

  #reject(
    session: LeaseSession,
    ask: Pick<ActionAsk, "key" | "revisionId">,
    reason: RejectReason,
    message: string,
    retryAfterMs = this.deps.settings.retryAfterMs,
  ): void {
    this.#counts.reject(reason);
    session.send({
      $case: "reject",
      value: { actionKey: ask.key, revisionId: ask.revisionId, reason, message, retryAfterMs: Math.ceil(retryAfterMs) },
    });
  }

  #ordersOf(actionKey: string): number {
    let count = 0;
    for (const invoker of this.#invokers.values()) {
      for (const order of invoker.orders.values()) if (order.actionKey === actionKey) count += 1;
    }
    return count;
  }

  #expectedStartMs(ask: ActionAsk): number {
    const { settings } = this.deps;
    for (const invoker of this.#fleet.values()) {
      if (invoker.usable && invoker.stems(ask.kind, ask.memoryMb) > 0) {
        return this.#startMs.get(startKey(ask.kind, true)) ?? settings.stemStartMs;
      }
    }
    return this.#startMs.get(startKey(ask.kind, false)) ?? settings.coldStartMs;
  }

  #decided(ask: ActionAsk, what: string): void {
    this.#decisions.push({
      atWallMs: this.deps.clock.wallMs(),
      action: ask.key,
      revisionId: ask.revisionId,
      what,
    });
  }

  // ---- commands ----

  /** Carries out what the table decides, as long as this scheduler may command (S1). */
  #pump(): void {
    if (!this.#ownership?.commanding()) return;
    this.#carryOut(this.#table.decide(this.deps.clock.monoMs()));
    const { stale } = this.#table;
    if (stale > this.#staleSeen) this.#counts.stale(stale - this.#staleSeen);
    this.#staleSeen = stale;
  }

  #carryOut(commands: readonly SlotCommand[]): void {
    if (commands.length === 0 || !this.#ownership?.commanding()) return;
    let grantee = "";
    let leases: Lease[] = [];
    const flush = (): void => {
      if (leases.length > 0) this.#dispatchers.get(grantee)?.send({ $case: "grant", value: { leases } });
      leases = [];
    };
    for (const command of commands) {
      if (command.kind === "grant") {
        if (command.dispatcherBootId !== grantee) flush();
        grantee = command.dispatcherBootId;
        leases.push(this.#granted(command.lease, grantee));
        continue;
      }
      flush(); // what a dispatcher is told keeps its order
      this.#tell(command);
    }
    flush();
  }

  #granted(lease: LeaseFields, dispatcherBootId: string): Lease {
    this.#counts.granted();
    return leaseToWire(lease, leaseToken(this.deps.clusterKey, { ...lease, dispatcherBootId }));
  }

  #tell(command: Exclude<SlotCommand, { kind: "grant" }>): void {
    switch (command.kind) {
      case "contended": {
        const { actionKey, revisionId, on } = command;
        if (on) this.#counts.contended();
        this.#dispatchers
          .get(command.dispatcherBootId)
          ?.send({ $case: "contended", value: { actionKey, revisionId, on } });
        return;
      }
      case "revoke":
        this.#counts.revoked();
        this.#dispatchers
          .get(command.dispatcherBootId)
          ?.send({ $case: "revoke", value: { leases: [leaseToWire(command.lease, NO_TOKEN)] } });
        return;
      case "destroy": {
        const { sandbox, shard, epoch } = command;
        const sent = this.#invokers
          .get(command.invokerBootId)
          ?.session?.order({ $case: "destroy", value: { sandbox, shard, epoch } });
        if (sent) this.#counts.destroyed();
        return;
      }
    }
  }

  // ---- time ----

  #tick(): void {
    const now = this.deps.clock.monoMs();
    this.#table.tick(now);
    this.#pump();
    for (const demand of this.#wanting) this.#look(demand, now);
  }

  #slowTick(): void {
    const now = this.deps.clock.monoMs();
    for (const session of [...this.#leaseSessions]) session.check(now);
    for (const session of [...this.#fleetSessions]) session.check(now);
    this.#quota.tick();
    const { startTimeoutMs } = this.deps.settings;
    for (const invoker of this.#invokers.values()) {
      for (const order of [...invoker.orders.values()]) {
        if (now - order.orderedMonoMs < startTimeoutMs) continue;
        this.#startFailed(invoker, order, `no sandbox after ${startTimeoutMs} ms`, now);
      }
    }
    for (const [revisionId, demand] of this.#demands) {
      if (demand.orders.size > 0 || this.#wanting.has(demand)) continue;
      if (now - demand.lastUsedMonoMs > DEMAND_KEPT_MS) this.#demands.delete(revisionId);
    }
  }

  // ---- losing the place ----

  #startOver(): void {
    this.deps.log.warn("starts over: leases and sandboxes will be reported anew");
    this.#endSessions();
    this.#table = this.#newTable();
    this.#staleSeen = 0;
    for (const invoker of this.#invokers.values()) this.#giveUpOrders(invoker);
    this.#invokers.clear();
    this.#fleet.clear();
    this.#ring = new HashRing([]);
    this.#wanting.clear();
  }

  #endSessions(): void {
    for (const session of [...this.#leaseSessions]) session.end({ kind: "stopped" });
    for (const session of [...this.#fleetSessions]) session.end({ kind: "stopped" });
    this.#quota.startOver();
  }

  #newTable(): SlotTable {
    const { sessionTtlMs, starvedMs } = this.deps.settings;
    return new SlotTable({ sessionTtlMs, starvedMs });
  }

  #bindGauges(): void {
    const { metrics } = this.deps;
    metrics.shards.from(() => this.#ownership?.shards ?? 0);
    metrics.commanding.from(() => (this.#ownership?.commanding() ? 1 : 0));
    metrics.dispatchers.from(() => this.#dispatchers.size);
    metrics.slotsHeld.from(() => this.#table.heldSlots);
    metrics.waiters.from(() => this.#table.waiters);
    metrics.oldestWait.from(() => {
      const now = this.deps.clock.monoMs();
      let oldest = 0;
      for (const { ask } of this.#wanting)
        oldest = Math.max(oldest, this.#table.pool(ask.revisionId, now)?.oldestWaitMs ?? 0);
      return oldest / 1_000;
    });
    metrics.starting.from(() => sum(this.#invokers.values(), (invoker) => invoker.orders.size));
    const count = (admits: (invoker: InvokerView) => boolean) => () =>
      sum(this.#fleet.values(), (invoker) => (admits(invoker) ? 1 : 0));
    metrics.invokers.bound({ state: "usable" }).from(count((i) => !i.suspect && !i.draining));
    metrics.invokers.bound({ state: "suspect" }).from(count((i) => i.suspect));
    metrics.invokers.bound({ state: "draining" }).from(count((i) => i.draining && !i.suspect));
  }
}

const NO_TOKEN = new Uint8Array();

type OrderResult = "ordered" | "ready" | "failed" | "noRoom" | "fenced" | "draining" | "lost";

type BoundCounters = ReturnType<typeof bindCounters>;

/** Series looked up once: counting on the grant path is an addition. */
function bindCounters(metrics: SchedulerMetrics) {
  const returns: Partial<Record<ReturnReason, Counter>> = {
    [ReturnReason.SURPLUS]: metrics.returns.bound({ reason: "surplus" }),
    [ReturnReason.CONTENDED]: metrics.returns.bound({ reason: "contended" }),
    [ReturnReason.DRAIN]: metrics.returns.bound({ reason: "drain" }),
    [ReturnReason.VOID]: metrics.returns.bound({ reason: "void" }),
  };
  const rejects: Partial<Record<RejectReason, Counter>> = {
    [RejectReason.NO_CAPACITY]: metrics.rejects.bound({ reason: "noCapacity" }),
    [RejectReason.START_FAILED]: metrics.rejects.bound({ reason: "startFailed" }),
    [RejectReason.NOT_OWNER]: metrics.rejects.bound({ reason: "notOwner" }),
    [RejectReason.UNKNOWN_KIND]: metrics.rejects.bound({ reason: "unknownKind" }),
  };
  const cold = metrics.startSeconds.bound({ kind: "cold" });
  const stem = metrics.startSeconds.bound({ kind: "stem" });
  return {
    granted: () => metrics.grants.inc(),
    returns: (reason: ReturnReason, leases: number) => returns[reason]?.inc(leases),
    reject: (reason: RejectReason) => rejects[reason]?.inc(),
    stale: (by: number) => metrics.stale.inc(by),
    contended: () => metrics.contentions.inc(),
    revoked: () => metrics.revocations.inc(),
    destroyed: () => metrics.destroys.inc(),
    order: (result: OrderResult) => metrics.orders.bound({ result }).inc(),
    started: (fromStem: boolean, ms: number) => (fromStem ? stem : cold).observeMs(ms),
    sessionEnded: (peer: "dispatcher" | "invoker", outcome: SessionOutcome["kind"]) =>
      metrics.sessions.bound({ peer, outcome }).inc(),
  };
}

function sum<T>(items: Iterable<T>, of: (item: T) => number): number {
  let total = 0;
  for (const item of items) total += of(item);
  return total;
}

function startKey(kind: string, stem: boolean): string {
  return `${kind}${stem ? " stem" : " cold"}`;
}

function placementAsk(ask: ActionAsk): { actionKey: string; kind: string; memoryMb: number } {
  return { actionKey: ask.key, kind: ask.kind, memoryMb: ask.memoryMb };
}

function refusalMessage(
  ask: ActionAsk,
  refusal: Exclude<Placement, { kind: "placed" }>,
  awaited: readonly Member[],
): string {
  const names = awaited.map((member) => member.id).join(", ");
  switch (refusal.kind) {
    case "noInvokers":
      return awaited.length === 0
        ? "no invoker is registered"
        : `no invoker is registered yet; ${names} ${awaited.length === 1 ? "is" : "are"} expected`;
    case "unknownKind":
      return `no invoker that answers runs ${ask.kind}; ${names} ${awaited.length === 1 ? "does" : "do"} not answer`;
    case "noCapacity":
      return explainRefusal(placementAsk(ask), refusal.rejectedBy);
  }
}
