// An invoker that obeys the protocol and misbehaves in every way the protocol allows: it dies, stalls, fails to start
// sandboxes, ends them, and says old things again. Who may use a slot is decided by the real invoker's own table.

import { every } from "../../internal/base/clock.js";
import { bytesToHex } from "../../internal/base/ids.js";
import type { Random } from "../../internal/base/random.js";
import type { Member, Membership } from "../../internal/core/coordination/coordination.js";
import type { MemoryCoordination } from "../../internal/core/coordination/memory-coordination.js";
import { leaseTokenProves } from "../../internal/core/lease/token.js";
import { EpochFence, SlotTable } from "../../internal/core/sandbox/slots.js";
import {
  SandboxEnd,
  SandboxState,
  type CreateSandbox,
  type FleetRequestItem,
  type FleetResponseItem,
  type SandboxReport,
  type SandboxView,
} from "../../internal/gen/weft/link/v1/fleet.pb.js";
import type { ActionAsk } from "../../internal/gen/weft/link/v1/lease.pb.js";
import {
  CallStatus,
  NackReason,
  Outcome,
  StartKind,
  type Done,
  type Invoke,
  type WorkRequestItem,
  type WorkResponseItem,
} from "../../internal/gen/weft/link/v1/work.pb.js";
import { fleetLink, workLink } from "../../internal/rpc/link-methods.js";
import type { Link } from "../../internal/rpc/link.js";
import type { ManualClock } from "../harness/clock.js";
import type { SimNetwork } from "./sim-network.js";

export interface SimInvokerDeps {
  readonly id: string;
  readonly bootId: string;
  readonly clusterKey: string;
  readonly clock: ManualClock;
  readonly random: Random;
  readonly network: SimNetwork;
  readonly coordination: MemoryCoordination;
  readonly kinds: readonly string[];
  readonly memoryMb: number;
  /** Sandboxes that are idle for this long end; without it a stranded slot would mend itself. */
  readonly idleMs: number;
  readonly faults: InvokerFaults;
  readonly saw: (what: InvokerEvent) => void;
}

/** Chances; the world turns them off when it wants everything to end. */
export interface InvokerFaults {
  startFails: number;
  sandboxDies: number;
  repeatsReport: number;
}

export type InvokerEvent =
  | { readonly kind: "started"; readonly activation: string; readonly invoker: string; readonly sandbox: number }
  | { readonly kind: "created"; readonly revision: string; readonly invoker: string; readonly sandbox: number }
  | { readonly kind: "destroyed"; readonly revision: string; readonly sandbox: number }
  /** A slot is used under a grant. */
  | { readonly kind: "used"; readonly grant: string; readonly dispatcherBootId: string }
  | { readonly kind: "nack"; readonly reason: number; readonly invoker: string }
  | { readonly kind: "fenced"; readonly shard: number; readonly epoch: number; readonly scheduler: string };

interface Sandbox {
  readonly number: number;
  readonly ask: ActionAsk;
  readonly shard: number;
  readonly slots: SlotTable;
  state: "starting" | "ready" | "gone";
  idleSinceMonoMs: number;
  destroy: boolean;
}

export class SimInvoker {
  readonly #sandboxes = new Map<number, Sandbox>();
  readonly #orders = new Map<number, number>();
  readonly #work = new Map<
    string,
    { readonly link: Link<WorkRequestItem, WorkResponseItem>; readonly bootId: string }
  >();
  readonly #fleet = new Map<string, Link<FleetResponseItem, FleetRequestItem>>();
  readonly #running = new Map<string, { call: number; sandbox: Sandbox; slot: number }>();
  readonly #done = new Map<string, Done>();
  readonly #fence = new EpochFence();
  /** What a scheduler has surely heard, and what it may hear again. */
  #said: { readonly report: SandboxReport; readonly atMonoMs: number }[] = [];
  #number = 0;
  #dead = false;
  #capacityDue = false;
  #schedulers: readonly Member[] = [];
  readonly #stops: (() => void)[] = [];

  constructor(readonly deps: SimInvokerDeps) {}

  get address(): string {
    return `${this.deps.id}:1`;
  }

  get process(): string {
    return `${this.deps.id}/${this.deps.bootId}`;
  }

  /** Calls running per sandbox, counted apart from the slots. */
  *loads(): Generator<{ readonly sandbox: number; readonly running: number; readonly concurrency: number }> {
    for (const sandbox of this.#sandboxes.values()) {
      let running = 0;
      for (const run of this.#running.values()) if (run.sandbox === sandbox) running += 1;
      yield { sandbox: sandbox.number, running, concurrency: sandbox.ask.concurrency };
    }
  }

  get usedMb(): number {
    let used = 0;
    for (const sandbox of this.#sandboxes.values()) used += sandbox.ask.memoryMb;
    return used;
  }

  revisions(): string[] {
    return [...this.#sandboxes.values()].map((sandbox) => sandbox.ask.revisionId);
  }

  async start(): Promise<Membership> {
    const { network, coordination, clock, id, bootId } = this.deps;
    network.serve(this.process, this.address, workLink, (link) => this.#serve(link));
    const watching = new AbortController();
    coordination.watchMembers(
      {
        members: (all) => {
          this.#schedulers = all.filter((member) => member.role === "scheduler");
          for (const scheduler of this.#schedulers) this.#dial(scheduler);
        },
      },
      watching.signal,
    );
    this.#stops.push(
      () => watching.abort(),
      every(clock, 300, () => {
        this.#toAll({ $case: "heartbeat", value: {} });
        this.#repeat();
      }),
      every(clock, 100, () => this.#evictIdle()),
    );
    return coordination.join({ role: "invoker", id, bootId, address: this.address, zone: "", wireVersion: 1 }, 2_000);
  }

  /** Without a word, as kill -9 does. */
  die(): void {
    this.#dead = true;
    for (const stop of this.#stops) stop();
    this.deps.network.kill(this.process);
    this.deps.coordination.kill();
    this.#sandboxes.clear();
    this.#running.clear();
  }

  // ---- schedulers ----

  #dial(scheduler: Member): void {
    if (this.#dead || this.#fleet.has(scheduler.bootId)) return;
    const { id, bootId, network, clock, kinds, memoryMb } = this.deps;
    const link = network.of(this.process).dial(scheduler.address, fleetLink);
    this.#fleet.set(scheduler.bootId, link);
    link.onItem = ({ item }) => {
      if (item?.$case === "create") this.#create(link, scheduler.id, item.value);
      if (item?.$case === "destroy") this.#destroy(scheduler.id, item.value);
    };
    link.onClosed = () => {
      if (this.#fleet.get(scheduler.bootId) === link) this.#fleet.delete(scheduler.bootId);
      // It may have been on its way when the link broke, for as long as the longest stall.
      this.#said = this.#said.filter(({ atMonoMs }) => atMonoMs < clock.monoMs() - 1_600);
      clock.after(50 + 100 * this.deps.random.next(), () => {
        const current = this.#schedulers.find((one) => one.bootId === scheduler.bootId);
        if (current) this.#dial(current);
      });
    };
    const send = (item: FleetRequestItem["item"]): void => void link.send({ item });
    send({
      $case: "register",
      value: {
        invokerId: id,
        bootId,
        address: this.address,
        memoryMb,
        kinds: [...kinds],
        driver: "sim",
        zone: "",
        wireVersion: 1,
        caveats: [],
      },
    });
    const views = [...this.#sandboxes.values()].map((sandbox) => this.#view(sandbox));
    send({ $case: "inventory", value: { sandboxes: views, highestEpoch: this.#fence.highest } });
    send({ $case: "capacity", value: this.#capacity() });
  }

  #create(link: Link<FleetResponseItem, FleetRequestItem>, scheduler: string, create: CreateSandbox): void {
    const { random, clock, faults, saw, id } = this.deps;
    const { order, shard, epoch, action } = create;
    if (this.#dead || !action) return;
    const answer = (end: SandboxEnd, message: string): void => {
      link.send({ item: { $case: "sandbox", value: report(order, undefined, end, message) } });
    };
    if (!this.#fence.admits(shard, epoch)) {
      saw({ kind: "fenced", shard, epoch, scheduler });
      answer(SandboxEnd.FENCED, "a higher epoch was seen");
      return;
    }
    if (this.#orders.has(order)) return;
    for (const idle of this.#idle()) {
      if (this.usedMb + action.memoryMb <= this.deps.memoryMb) break;
      this.#end(idle, SandboxEnd.EVICTED);
    }
    if (this.usedMb + action.memoryMb > this.deps.memoryMb) {
      answer(SandboxEnd.NO_ROOM, "no room");
      return;
    }
    if (random.next() < faults.startFails) {
      clock.after(20, () => answer(SandboxEnd.START_FAILED, "the image is broken"));
      return;
    }
    this.#number += 1;
    const sandbox: Sandbox = {
      number: this.#number,
      ask: action,
      shard,
      slots: new SlotTable(action.revisionId, action.concurrency),
      state: "starting",
      idleSinceMonoMs: clock.monoMs(),
      destroy: false,
    };
    this.#orders.set(order, sandbox.number);
    this.#sandboxes.set(sandbox.number, sandbox);
    this.#capacityChanged();
    clock.after(20 + 150 * random.next(), () => {
      if (this.#dead || sandbox.state !== "starting") return;
      sandbox.state = "ready";
      sandbox.idleSinceMonoMs = clock.monoMs();
      saw({ kind: "created", revision: action.revisionId, invoker: id, sandbox: sandbox.number });
      this.#report(report(order, this.#view(sandbox), SandboxEnd.UNSPECIFIED, ""));
    });
  }

  #destroy(scheduler: string, order: { sandbox: number; shard: number; epoch: number }): void {
    const sandbox = this.#sandboxes.get(order.sandbox);
    if (this.#dead || !sandbox) return;
    if (!this.#fence.admits(order.shard, order.epoch)) {
      this.deps.saw({ kind: "fenced", shard: order.shard, epoch: order.epoch, scheduler });
      return;
    }
    sandbox.destroy = true;
    this.deps.saw({ kind: "destroyed", revision: sandbox.ask.revisionId, sandbox: sandbox.number });
    if (sandbox.slots.busyCount === 0) this.#end(sandbox, SandboxEnd.EVICTED);
  }

  #end(sandbox: Sandbox, end: SandboxEnd): void {
    if (sandbox.state === "gone") return;
    sandbox.state = "gone";
    this.#sandboxes.delete(sandbox.number);
    for (const { link } of this.#work.values()) {
      link.send({ item: { $case: "slotsGone", value: { sandboxes: [sandbox.number] } } });
    }
    this.#report(report(0, this.#view(sandbox), end, ""));
    this.#capacityChanged();
  }

  /** Longest idle first. */
  #idle(): Sandbox[] {
    return [...this.#sandboxes.values()]
      .filter((sandbox) => sandbox.state === "ready" && sandbox.slots.busyCount === 0)
      .sort((a, b) => a.idleSinceMonoMs - b.idleSinceMonoMs);
  }

  #evictIdle(): void {
    const now = this.deps.clock.monoMs();
    for (const sandbox of [...this.#sandboxes.values()]) {
      if (
        sandbox.state === "ready" &&
        sandbox.slots.busyCount === 0 &&
        now - sandbox.idleSinceMonoMs > this.deps.idleMs
      ) {
        this.#end(sandbox, SandboxEnd.EVICTED);
      }
    }
  }

  #report(one: SandboxReport): void {
    if (this.#fleet.size > 0) this.#said.push({ report: one, atMonoMs: this.deps.clock.monoMs() });
    this.#toAll({ $case: "sandbox", value: one });
    this.#repeat();
  }

  #repeat(): void {
    const { random, faults } = this.deps;
    if (random.next() >= faults.repeatsReport) return;
    const old = this.#said[Math.floor(random.next() * this.#said.length)];
    if (old) this.#toAll({ $case: "sandbox", value: old.report });
  }

  #capacityChanged(): void {
    if (this.#capacityDue) return;
    this.#capacityDue = true;
    this.deps.clock.after(50, () => {
      this.#capacityDue = false;
      this.#toAll({ $case: "capacity", value: this.#capacity() });
    });
  }

  #capacity() {
    const evictableMb = this.#idle().reduce((sum, sandbox) => sum + sandbox.ask.memoryMb, 0);
    const starting = [...this.#sandboxes.values()].filter((sandbox) => sandbox.state === "starting").length;
    return { freeMb: this.deps.memoryMb - this.usedMb, evictableMb, starting, stems: [], draining: false };
  }

  #toAll(item: FleetRequestItem["item"]): void {
    if (this.#dead) return;
    for (const link of this.#fleet.values()) link.send({ item });
  }

  #view(sandbox: Sandbox): SandboxView {
    const state = { starting: SandboxState.STARTING, ready: SandboxState.WARM, gone: SandboxState.GONE }[sandbox.state];
    return {
      sandbox: sandbox.number,
      state,
      actionKey: sandbox.ask.key,
      revisionId: sandbox.ask.revisionId,
      kind: sandbox.ask.kind,
      memoryMb: sandbox.ask.memoryMb,
      concurrency: sandbox.ask.concurrency,
      running: sandbox.slots.busyCount,
      holders: [...sandbox.slots.holders()],
      idleMs: 0,
    };
  }

  // ---- dispatchers ----

  #serve(link: Link<WorkRequestItem, WorkResponseItem>): void {
    let dispatcherId = "";
    let bootId = "";
    link.onItem = ({ item }) => {
      if (this.#dead) return;
      switch (item?.$case) {
        case "hello": {
          ({ dispatcherId, bootId } = item.value);
          const before = this.#work.get(dispatcherId);
          this.#work.set(dispatcherId, { link, bootId });
          before?.link.close();
          if (before) this.#gone(dispatcherId, before.bootId);
          link.send({
            item: {
              $case: "welcome",
              value: {
                invokerId: this.deps.id,
                bootId: this.deps.bootId,
                wireVersion: 1,
                callCredits: 1_000,
                byteCredits: 1_000_000,
              },
            },
          });
          return;
        }
        case "invoke":
          this.#invoke(link, dispatcherId, bootId, item.value);
          return;
        case "statusQuery": {
          const statuses = item.value.activationIds.map((activationId) => {
            const id = bytesToHex(activationId);
            const done = this.#done.get(id);
            const status = done ? CallStatus.DONE : this.#running.has(id) ? CallStatus.RUNNING : CallStatus.UNKNOWN;
            return { activationId, status, done };
          });
          link.send({ item: { $case: "status", value: { statuses } } });
          return;
        }
        case "cancel":
        case undefined:
          return;
      }
    };
    link.onClosed = () => {
      if (this.#dead || this.#work.get(dispatcherId)?.link !== link) return;
      this.#work.delete(dispatcherId);
      this.#gone(dispatcherId, bootId);
    };
  }

  #gone(dispatcherId: string, bootId: string): void {
    for (const sandbox of this.#sandboxes.values()) sandbox.slots.forgetHolder(bootId);
    this.#toAll({ $case: "dispatcherGone", value: { dispatcherId, bootId } });
  }

  #invoke(link: Link<WorkRequestItem, WorkResponseItem>, dispatcherId: string, bootId: string, invoke: Invoke): void {
    const { clock, random, faults, saw, id } = this.deps;
    const { call, lease } = invoke;
    const sandbox = lease && this.#sandboxes.get(lease.sandbox);
    const refuse = (reason: NackReason): void => {
      saw({ kind: "nack", reason, invoker: id });
      link.send({ item: { $case: "nack", value: { call, reason } } });
    };
    if (!lease || sandbox?.state !== "ready") {
      refuse(NackReason.STALE_LEASE);
      return;
    }
    const { slot, epoch, sequence } = lease;
    const claim = { slot, epoch, sequence, dispatcherBootId: bootId, revisionId: invoke.revisionId };
    const fields = {
      invokerBootId: this.deps.bootId,
      dispatcherBootId: bootId,
      sandbox: sandbox.number,
      slot,
      epoch,
      sequence,
    };
    const decision = sandbox.slots.use(claim, dispatcherId, () =>
      leaseTokenProves(lease.token, this.deps.clusterKey, fields),
    );
    switch (decision) {
      case "refuseStale":
        return refuse(NackReason.STALE_LEASE);
      case "refuseBusy":
      case "installAndRefuseBusy":
        return refuse(NackReason.SLOT_BUSY);
      case "refuseToken":
        return refuse(NackReason.BAD_TOKEN);
      case "refuseRevision":
        return refuse(NackReason.WRONG_REVISION);
      case "run":
      case "installAndRun":
        break;
    }
    const grant = `${this.deps.bootId} ${sandbox.number}/${slot} ${epoch}.${sequence}`;
    saw({ kind: "used", grant, dispatcherBootId: bootId });
    const activation = bytesToHex(invoke.activationId);
    this.#running.set(activation, { call, sandbox, slot });
    saw({ kind: "started", activation, invoker: id, sandbox: sandbox.number });
    const tookMs = random.next() < 0.1 ? 100 + 200 * random.next() : 1 + 30 * random.next();
    clock.after(tookMs, () => {
      if (this.#dead) return;
      this.#running.delete(activation);
      sandbox.slots.release(slot);
      sandbox.idleSinceMonoMs = clock.monoMs();
      this.#capacityChanged();
      const dies = random.next() < faults.sandboxDies;
      const done = doneOf(call, tookMs, !dies && !sandbox.destroy);
      this.#done.set(activation, done);
      // Answered on whatever link the dispatcher has: a call number means something only on its own.
      if (link.open) link.send({ item: { $case: "done", value: done } });
      if (dies) this.#end(sandbox, SandboxEnd.DIED);
      else if (sandbox.destroy && sandbox.slots.busyCount === 0) this.#end(sandbox, SandboxEnd.EVICTED);
    });
  }
}

function doneOf(call: number, tookMs: number, reusable: boolean): Done {
  return {
    call,
    outcome: Outcome.SUCCESS,
    resultJson: new Uint8Array(),
    startWallMs: 0,
    durationMs: Math.round(tookMs),
    initMs: undefined,
    waitMs: 0,
    timedOut: false,
    resultSize: 0,
    reusable,
    startKind: StartKind.WARM,
  };
}

function report(order: number, view: SandboxView | undefined, end: SandboxEnd, message: string): SandboxReport {
  return { order, view, end, message, phases: { queueMs: 0, createMs: 0, stem: false } };
}
