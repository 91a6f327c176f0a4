// The role that owns the sandboxes of one machine.
//
//   I1. It is the only authority for its sandboxes and their slots; everybody else's copy is a hint.
//   I2. When its place among the members is lost it joins again as a new life: every link is opened anew, and no lease or
//       token of the old life means anything. What runs goes on, and is recorded.
//   I3. Draining: nothing new, everybody is told, what runs may end within the grace, records are handed over, sandboxes
//       are destroyed, and only then does it leave.

import { Backoff } from "../base/backoff.js";
import { sleep, type Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import { newBootId } from "../base/ids.js";
import type { Log } from "../base/log.js";
import type { MetricsRegistry } from "../base/metrics.js";
import type { Random } from "../base/random.js";
import type { Tracer } from "../base/trace.js";
import type { Coordination, Member, Membership } from "../core/coordination/coordination.js";
import { MemberView } from "../core/coordination/member-view.js";
import type { SandboxDriver } from "../core/sandbox/driver.js";
import type { Capacity, DescribeInvokerResponse, Inventory, Register } from "../gen/weft/link/v1/fleet.pb.js";
import type { WorkRequestItem, WorkResponseItem } from "../gen/weft/link/v1/work.pb.js";
import type { Link } from "../rpc/link.js";
import type { Network } from "../rpc/network.js";
import { CodeCache, type CodeSource } from "./code-cache.js";
import type { CodeStore } from "./code-store.js";
import { FleetLinks } from "./fleet-links.js";
import type { SandboxJournal } from "./journal.js";
import { invokerMetrics, type InvokerMetrics } from "./metrics.js";
import { RecordSpool } from "./record-spool.js";
import { SandboxHost } from "./sandbox-host.js";
import type { InvokerSettings } from "./settings.js";
import { recordOf, reportOf, viewOf } from "./wire.js";
import { WorkDesk } from "./work-desk.js";
import { WIRE_VERSION } from "./work-session.js";

/** How often a drain looks whether the last call has ended. */
const DRAIN_LOOK_MS = 20;
/** Records are given so long to be taken at the end, at least. */
const FLUSH_MS_MIN = 2_000;

export interface InvokerDeps {
  /** Stable over restarts. */
  readonly id: string;
  /** Random per process start. */
  readonly bootId: string;
  /** Where dispatchers dial: host:port. */
  readonly address: string;
  readonly driver: SandboxDriver;
  /** What an earlier life left, for this one to take over. */
  readonly journal: SandboxJournal;
  readonly network: Network;
  readonly code: CodeSource;
  readonly codeStore: CodeStore;
  readonly coordination: Coordination;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: MetricsRegistry<"invoker">;
  readonly tracer: Tracer;
  /** The secret that all roles of the cluster share. */
  readonly clusterKey: string;
  readonly settings: InvokerSettings;
}

type Phase = "new" | "serving" | "draining" | "stopped";

export class Invoker {
  readonly #metrics: InvokerMetrics;
  readonly #members: MemberView;
  readonly #code: CodeCache;
  readonly #spool: RecordSpool;
  readonly #host: SandboxHost;
  readonly #desk: WorkDesk;
  readonly #fleet: FleetLinks;
  readonly #backoff: Backoff;
  readonly #stopping = new AbortController();
  #phase: Phase = "new";
  #bootId: string;
  /** Lives of this process: another one under the same id has none of these. */
  readonly #bootIds: string[];
  #membership: Membership | undefined;
  #kinds: readonly string[] = [];
  #goneSlots: number[] = [];
  #joins = 0;
  #drained: Promise<void> | undefined;

  constructor(private readonly deps: InvokerDeps) {
    const { clock, random, log, network, settings, tracer } = deps;
    const metrics = invokerMetrics(deps.metrics);
    this.#metrics = metrics;
    this.#bootId = deps.bootId;
    this.#bootIds = [deps.bootId];
    this.#backoff = new Backoff({ firstMs: 100, maxMs: 5_000 }, random);
    this.#members = new MemberView(deps.coordination);
    this.#code = new CodeCache({
      source: deps.code,
      store: deps.codeStore,
      clock,
      random,
      log,
      metrics,
      memoryBytes: settings.codeMemoryBytes,
      patienceMs: settings.codePatienceMs,
    });
    this.#spool = new RecordSpool({
      invokerId: deps.id,
      network,
      controllers: () => this.#members.of("controller").map((member) => member.address),
      clock,
      random,
      log,
      metrics,
      maxRecords: settings.spoolRecords,
      maxBytes: settings.spoolBytes,
    });
    this.#host = new SandboxHost({
      driver: deps.driver,
      journal: deps.journal,
      code: this.#code,
      clock,
      random,
      log,
      metrics,
      tracer,
      settings,
      report: (report) =>
        this.#fleet.tell((schedulerBootId) => {
          const value = reportOf(report, schedulerBootId, clock);
          return value && { item: { $case: "sandbox", value } };
        }),
      capacityChanged: () => this.#fleet.capacityChanged(),
      slotsGone: (sandbox) => this.#slotsGone(sandbox),
    });
    this.#desk = new WorkDesk({
      invokerId: deps.id,
      bootId: () => this.#bootId,
      clusterKey: deps.clusterKey,
      clock,
      log,
      metrics,
      settings,
      sandbox: (number) => this.#host.get(number),
      spoolFull: () => this.#spool.full,
      recordWaits: (activationId) => this.#spool.holds(activationId),
      settled: (run) => {
        const { unstored, async } = run.request;
        // Of a durable request it is kept in the queue until it is told that it ended.
        if (!unstored) this.#spool.add(recordOf(run, run.finishLogs(clock.wallMs()), deps.id));
        else if (async) this.#spool.add(recordOf(run, [], deps.id));
      },
      dispatcherGone: (dispatcherId, bootId) => {
        for (const sandbox of this.#host.sandboxes) sandbox.slots?.forgetHolder(bootId);
        this.#fleet.tell(() => ({ item: { $case: "dispatcherGone", value: { dispatcherId, bootId } } }));
      },
    });
    this.#fleet = new FleetLinks({
      network,
      clock,
      random,
      log,
      metrics,
      register: () => this.#register(),
      inventory: () => this.#inventory(),
      capacity: () => this.#capacity(),
      create: (order, schedulerBootId) => this.#host.create(order, schedulerBootId),
      destroy: (sandbox, shard, epoch) => {
        if (!this.#host.destroy(sandbox, shard, epoch)) {
          log.warn("an order of a scheduler that was replaced is refused", { sandboxId: sandbox, shard });
        }
      },
    });
  }

  /**
   * Finds out what can be run, takes over what an earlier life left, removes the rest of it, and joins. Resolves when schedulers can see it; its
   * server must be listening before.
   * @throws what the driver or the coordination store throws; nothing is left behind then
   */
  async start(): Promise<void> {
    const { driver, settings, log } = this.deps;
    const possible = await driver.kinds();
    const { kinds } = settings;
    this.#kinds = kinds ? kinds.filter((kind) => possible.includes(kind)) : possible;
    const missing = kinds?.filter((kind) => !possible.includes(kind)) ?? [];
    if (missing.length > 0) log.warn("kinds that were asked for cannot be run here", { kinds: missing });
    const adopted = await this.#host.adopt(this.#kinds);
    if (adopted > 0) log.info("sandboxes of an earlier life were taken over", { sandboxes: adopted });
    const removed = await driver.cleanUp();
    if (removed > 0) log.warn("sandboxes of an earlier life were removed", { sandboxes: removed });
    this.#joined(await this.deps.coordination.join(this.#member(this.#bootId), settings.leaseTtlMs));
    this.#phase = "serving";
    this.#fleet.open();
    this.#host.start(this.#kinds);
    this.#members.onChange(() => this.#membersChanged());
    this.#members.start();
    this.#spool.start();
    log.info("the invoker serves", { invokerId: this.deps.id, memoryMb: settings.memoryMb, kinds: this.#kinds });
  }

  /** Takes a link that a dispatcher dialled: what the server of workLink calls. */
  accept(link: Link<WorkRequestItem, WorkResponseItem>): void {
    if (this.#phase === "stopped") link.close();
    else this.#desk.accept(link);
  }

  /** True, or why it is of no use at the moment. */
  readiness(): true | string {
    if (this.#phase !== "serving") return `the invoker is ${this.#phase}`;
    if (!this.#membership) return "it is not among the members; joining again";
    if (this.#fleet.connected === 0) return "no scheduler answers";
    return true;
  }

  /**
   * I3. Resolves when nothing is left. May be repeated.
   * @param graceMs how long calls may go on
   */
  drain(graceMs: number = this.deps.settings.drainGraceMs): Promise<void> {
    this.#drained ??= this.#drain(graceMs);
    return this.#drained;
  }

  async #drain(graceMs: number): Promise<void> {
    const { clock, log } = this.deps;
    const wasServing = this.#phase === "serving";
    this.#phase = "draining";
    this.#stopping.abort(new WeftError("canceled", "STOPPED", "the invoker stops"));
    const untilMonoMs = clock.monoMs() + graceMs;
    log.info("the invoker drains", { calls: this.#desk.callCount, durationMs: graceMs });
    this.#desk.drain(graceMs);
    this.#host.drain();
    this.#fleet.capacityChanged();
    while (this.#desk.callCount > 0 && clock.monoMs() < untilMonoMs) {
      await sleep(clock, Math.min(DRAIN_LOOK_MS, Math.max(1, untilMonoMs - clock.monoMs())));
    }
    if (this.#desk.callCount > 0)
      log.warn("calls are stopped: the time to drain is up", { calls: this.#desk.callCount });
    await this.#host.close(); // what still runs is answered
    this.#desk.settleNow();
    if (wasServing && !(await this.#spool.flush(Math.max(FLUSH_MS_MIN, untilMonoMs - clock.monoMs())))) {
      log.error("records are lost: no controller took them before the stop", { records: this.#spool.size });
    }
    await this.#leave();
    this.#phase = "stopped";
    this.#desk.closeLinks();
    this.#fleet.close();
    this.#members.close();
    this.#spool.close();
    await this.#code.close();
  }

  /** What is here at this moment. */
  snapshot(): DescribeInvokerResponse {
    return { register: this.#register(), inventory: this.#inventory(), capacity: this.#capacity() };
  }

  /** For the debug page. */
  describe(): unknown {
    const { clock } = this.deps;
    return {
      phase: this.#phase,
      bootId: this.#bootId,
      joins: this.#joins,
      held: this.#membership?.held() ?? false,
      kinds: this.#kinds,
      memoryMb: { total: this.deps.settings.memoryMb, free: this.#host.freeMb, evictable: this.#host.evictableMb },
      sandboxes: [...this.#host.sandboxes].map((sandbox) => ({
        sandboxId: sandbox.number,
        state: sandbox.state,
        action: sandbox.ask?.key,
        kind: sandbox.kind,
        memoryMb: sandbox.memoryMb,
        running: sandbox.running,
        idleMs: Math.round(clock.monoMs() - sandbox.idleSinceMonoMs),
        keepMs: Math.round(this.#host.keepMs(sandbox, clock.monoMs())),
        priority: sandbox.priority,
        holders: [...(sandbox.slots?.holders() ?? [])],
      })),
      stems: this.#host.stems(),
      starting: this.#host.starting,
      dispatchers: this.#desk.describe(),
      schedulers: this.#fleet.describe(),
      code: this.#code.stats(),
      spool: {
        records: this.#spool.size,
        bytes: this.#spool.bytes,
        ageMs: Math.round(this.#spool.ageMs(clock.monoMs())),
        connected: this.#spool.connected,
        full: this.#spool.full,
      },
    };
  }

  /** What is counted, for tests. */
  get metrics(): InvokerMetrics {
    return this.#metrics;
  }

  #register(): Register {
    const { id, address, driver, settings } = this.deps;
    return {
      invokerId: id,
      bootId: this.#bootId,
      address,
      memoryMb: settings.memoryMb,
      kinds: [...this.#kinds],
      driver: driver.abilities.name,
      zone: settings.zone,
      wireVersion: WIRE_VERSION,
      caveats: [...driver.abilities.caveats],
    };
  }

  #inventory(): Inventory {
    return {
      sandboxes: [...this.#host.sandboxes].map((sandbox) => viewOf(sandbox, this.deps.clock)),
      highestEpoch: this.#host.fence.highest,
    };
  }

  #capacity(): Capacity {
    return {
      freeMb: this.#host.freeMb,
      evictableMb: this.#host.evictableMb,
      starting: this.#host.starting,
      stems: [...this.#host.stems()],
      draining: this.#phase !== "serving",
    };
  }

  #member(bootId: string): Member {
    return {
      role: "invoker",
      id: this.deps.id,
      bootId,
      address: this.deps.address,
      zone: this.deps.settings.zone,
      wireVersion: WIRE_VERSION,
    };
  }

  #membersChanged(): void {
    this.#fleet.schedulers(this.#members.of("scheduler"));
    this.#spool.controllersChanged();
  }

  /** Everything that ends in one turn is told in one item. */
  #slotsGone(sandbox: number): void {
    this.#goneSlots.push(sandbox);
    if (this.#goneSlots.length > 1) return;
    queueMicrotask(() => this.#desk.slotsGone(this.#goneSlots.splice(0)));
  }

  // ---- membership ----

  #joined(membership: Membership): void {
    this.#membership = membership;
    this.#joins += 1;
    this.#backoff.reset();
    const onLost = (): void => {
      if (this.#membership !== membership) return;
      this.#membership = undefined;
      if (this.#phase !== "serving") return;
      this.deps.log.warn("the invoker lost its place among the members; it joins again", { invokerId: this.deps.id });
      void this.#rejoin();
    };
    membership.lost.addEventListener("abort", onLost, { once: true });
    if (membership.lost.aborted) onLost();
  }

  /** I2. Until it succeeds everything goes on as before: dispatchers may be reachable when the store is not. */
  async #rejoin(): Promise<void> {
    const { coordination, random, clock, settings, log, id } = this.deps;
    while (this.#phase === "serving") {
      try {
        const members = await coordination.listMembers();
        const other = members.find((m) => m.role === "invoker" && m.id === id && !this.#bootIds.includes(m.bootId));
        if (other) {
          throw new WeftError("conflict", "MEMBER_REPLACED", `another process is invoker ${id} at ${other.address}`, {
            fix: "give each invoker an id of its own, or stop one of the two",
          });
        }
        const bootId = newBootId(random);
        this.#bootIds.push(bootId);
        const membership = await coordination.join(this.#member(bootId), settings.leaseTtlMs);
        if (this.#isStopping()) {
          await membership.leave();
          return;
        }
        this.#beginLife(bootId);
        this.#joined(membership);
        return;
      } catch (thrown) {
        const error = toWeftError(thrown);
        log.warn("the invoker could not join again", { error });
        try {
          await sleep(clock, this.#backoff.nextMs(), this.#stopping.signal);
        } catch {
          return; // it stops
        }
      }
    }
  }

  // An await has passed: it may have begun to drain.
  #isStopping(): boolean {
    return this.#phase !== "serving";
  }

  #beginLife(bootId: string): void {
    this.#bootId = bootId;
    this.deps.log.info("the invoker begins a new life", { invokerId: this.deps.id, bootId: this.#bootId });
    this.#fleet.close();
    this.#desk.closeLinks(); // and with each link what it held is nobody's
    this.#fleet.open();
    this.#fleet.schedulers(this.#members.of("scheduler"));
  }

  async #leave(): Promise<void> {
    const membership = this.#membership;
    this.#membership = undefined;
    try {
      await membership?.leave();
    } catch (thrown) {
      this.deps.log.warn("the invoker could not leave; its lease runs out by itself", { error: toWeftError(thrown) });
    }
  }
}
