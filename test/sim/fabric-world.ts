// A small cluster in simulated time: the real scheduler, real dispatchers, scripted invokers, a network that delays and
// breaks. One seed is one history.

import { silentLog } from "../../internal/base/log.js";
import { bytesToHex } from "../../internal/base/ids.js";
import { MetricsRegistry } from "../../internal/base/metrics.js";
import { seededRandom, type Random } from "../../internal/base/random.js";
import { shardOf, type Coordination } from "../../internal/core/coordination/coordination.js";
import { MemoryCoordination } from "../../internal/core/coordination/memory-coordination.js";
import type { ActionAsk, DispatchCall, DispatchResult } from "../../internal/core/dispatch/call.js";
import { Dispatcher } from "../../internal/dispatch/dispatcher.js";
import { fleetLink, leaseLink } from "../../internal/rpc/link-methods.js";
import { schedulerMetrics } from "../../internal/scheduler/metrics.js";
import { Scheduler, SCHEDULER_DEFAULTS } from "../../internal/scheduler/scheduler.js";
import { ManualClock } from "../harness/clock.js";
import { SimInvoker, type InvokerEvent, type InvokerFaults } from "./sim-invoker.js";
import { SimNetwork } from "./sim-network.js";

const CLUSTER_KEY = "a key of the cluster";

export interface WorldOptions {
  readonly seed: number;
  readonly invokers?: number;
  readonly dispatchers?: number;
  readonly memoryMb?: number;
  readonly idleMs?: number;
}

interface DispatcherProcess {
  readonly id: string;
  readonly bootId: string;
  readonly process: string;
  readonly dispatcher: Dispatcher;
  readonly coordination: MemoryCoordination;
}

interface SchedulerProcess {
  readonly id: string;
  readonly process: string;
  readonly scheduler: Scheduler;
  readonly coordination: MemoryCoordination;
}

/** One call and what became of it. */
export interface CallHistory {
  readonly activation: string;
  readonly dispatcher: string;
  readonly revision: string;
  starts: number;
  readonly results: DispatchResult["kind"][];
  readonly reasons: string[];
  /** Its dispatcher died: nobody waits for it. */
  abandoned: boolean;
}

export class FabricWorld {
  readonly clock = new ManualClock();
  readonly random: Random;
  readonly network: SimNetwork;
  readonly store: MemoryCoordination;
  readonly faults: InvokerFaults = { startFails: 0, sandboxDies: 0, repeatsReport: 0 };
  readonly calls = new Map<string, CallHistory>();
  readonly trace: string[] = [];
  readonly invokers = new Map<string, SimInvoker>();
  readonly dispatchers = new Map<string, DispatcherProcess>();
  readonly schedulers = new Map<string, SchedulerProcess>();
  readonly fenced: { readonly shard: number; readonly epoch: number; readonly scheduler: string }[] = [];
  created = 0;
  nacks = 0;
  readonly #grantees = new Map<string, string>();
  #boot = 0;

  constructor(readonly options: WorldOptions) {
    this.random = seededRandom(options.seed);
    this.network = new SimNetwork(this.clock, this.random);
    this.store = new MemoryCoordination(this.clock);
  }

  async open(): Promise<void> {
    await this.startScheduler("s1");
    for (let i = 1; i <= (this.options.invokers ?? 3); i++) await this.startInvoker(`i${i}`);
    for (let i = 1; i <= (this.options.dispatchers ?? 2); i++) await this.startDispatcher(`d${i}`);
    await this.run(500);
  }

  async close(): Promise<void> {
    for (const { dispatcher } of this.dispatchers.values()) dispatcher.close();
    for (const { scheduler } of this.schedulers.values()) await scheduler.close();
    for (const invoker of this.invokers.values()) invoker.die();
  }

  // ---- processes ----

  async startScheduler(id: string, wrap: (real: Coordination) => Coordination = (real) => real): Promise<void> {
    const bootId = this.#newBoot(id);
    const coordination = this.store.connection();
    const scheduler = new Scheduler({
      id,
      bootId,
      coordination: wrap(coordination),
      clock: this.clock,
      random: seededRandom(this.#boot),
      log: silentLog,
      metrics: schedulerMetrics(new MetricsRegistry("scheduler")),
      clusterKey: CLUSTER_KEY,
      settings: {
        ...SCHEDULER_DEFAULTS,
        invokerHeartbeatMs: 300,
        sessionTtlMs: 1_500,
        memberTtlMs: 1_500,
        coldStartMs: 150,
        startTimeoutMs: 2_000,
      },
    });
    this.network.serve(bootId, `${id}:1`, leaseLink, (link) => scheduler.serveLease(link));
    this.network.serve(bootId, `${id}:1`, fleetLink, (link) => scheduler.serveFleet(link));
    await scheduler.start(`${id}:1`);
    this.schedulers.set(id, { id, process: bootId, scheduler, coordination });
    this.#note(`scheduler ${bootId} starts`);
  }

  /** kill -9 */
  async killScheduler(id: string): Promise<void> {
    const one = this.schedulers.get(id);
    if (!one) return;
    this.schedulers.delete(id);
    this.network.kill(one.process);
    one.coordination.kill();
    await one.scheduler.close();
    this.#note(`scheduler ${one.process} dies`);
  }

  async startInvoker(id: string): Promise<void> {
    const bootId = this.#newBoot(id);
    const invoker = new SimInvoker({
      id,
      bootId,
      clusterKey: CLUSTER_KEY,
      clock: this.clock,
      random: this.random,
      network: this.network,
      coordination: this.store.connection(),
      kinds: ["nodejs:20"],
      memoryMb: this.options.memoryMb ?? 1_024,
      idleMs: this.options.idleMs ?? 1_500,
      faults: this.faults,
      saw: (what) => this.#saw(what),
    });
    this.invokers.set(id, invoker);
    this.#note(`invoker ${bootId} starts`);
    await invoker.start();
  }

  killInvoker(id: string): void {
    const invoker = this.invokers.get(id);
    if (!invoker) return;
    this.invokers.delete(id);
    invoker.die();
    this.#note(`invoker ${invoker.process} dies`);
  }

  async startDispatcher(id: string): Promise<void> {
    const bootId = this.#newBoot(id);
    const coordination = this.store.connection();
    const dispatcher = new Dispatcher({
      id,
      bootId,
      network: this.network.of(bootId),
      coordination,
      clock: this.clock,
      random: seededRandom(this.#boot),
      log: silentLog,
    });
    dispatcher.start();
    this.dispatchers.set(id, { id, bootId, process: bootId, dispatcher, coordination });
    this.#note(`dispatcher ${bootId} starts`);
    await coordination.join({ role: "gateway", id, bootId, address: `${id}:1`, zone: "", wireVersion: 1 }, 1_500);
  }

  killDispatcher(id: string): void {
    const one = this.dispatchers.get(id);
    if (!one) return;
    this.dispatchers.delete(id);
    for (const call of this.calls.values())
      if (call.dispatcher === one.bootId && call.results.length === 0) call.abandoned = true;
    this.network.kill(one.process);
    one.coordination.kill();
    one.dispatcher.close();
    this.#note(`dispatcher ${one.bootId} dies`);
  }

  // ---- calls ----

  call(dispatcherId: string, ask: ActionAsk, budgetMs = Infinity): CallHistory {
    const process = this.dispatchers.get(dispatcherId);
    if (!process) throw new Error(`no dispatcher ${dispatcherId}`);
    const activationId = this.random.bytes(16);
    const history: CallHistory = {
      activation: bytesToHex(activationId),
      dispatcher: process.bootId,
      revision: ask.revisionId,
      starts: 0,
      results: [],
      reasons: [],
      abandoned: false,
    };
    this.calls.set(history.activation, history);
    const now = this.clock.monoMs();
    const call: DispatchCall = {
      activationId,
      ask,
      shard: shardOf(ask.key),
      paramsJson: new Uint8Array(),
      caller: { namespace: "guest", subject: "guest", transactionId: "", apiKey: "", cause: "", binding: "" },
      traceparent: "",
      acceptedMonoMs: now,
      expiresMonoMs: now + budgetMs,
      attempt: 0,
      beforeSend: undefined,
      complete: (result) => {
        history.results.push(result.kind);
        if (result.kind !== "done") history.reasons.push(result.error.reason);
        this.#note(
          `${history.activation.slice(0, 6)} ${result.kind}${result.kind === "done" ? "" : ` ${result.error.reason}`}`,
        );
      },
    };
    process.dispatcher.dispatch(call);
    return history;
  }

  // ---- time ----

  /** Lets time pass, looking at everything every 5 ms. */
  async run(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 5) {
      await this.clock.elapse(Math.min(5, left));
      this.check();
    }
  }

  /** What holds at every moment. */
  check(): void {
    for (const { scheduler } of this.schedulers.values()) scheduler.audit();
    for (const invoker of this.invokers.values()) {
      for (const { sandbox, running, concurrency } of invoker.loads()) {
        if (running > concurrency) {
          throw new Error(`sandbox ${sandbox} of ${invoker.process} runs ${running} calls in ${concurrency} slots`);
        }
      }
      if (invoker.usedMb > invoker.deps.memoryMb) throw new Error(`${invoker.process} uses more memory than it has`);
    }
    for (const call of this.calls.values()) {
      if (call.starts > 1) throw new Error(`call ${call.activation} started ${call.starts} times`);
      if (call.results.length > 1) throw new Error(`call ${call.activation} completed ${call.results.join(", ")}`);
      if (call.results[0] === "refused" && call.starts > 0 && !call.abandoned) {
        throw new Error(`call ${call.activation} started, and was refused as not started`);
      }
    }
  }

  /** Calls that nobody has answered and somebody waits for. */
  unanswered(): CallHistory[] {
    return [...this.calls.values()].filter((call) => call.results.length === 0 && !call.abandoned);
  }

  /** Leases that dispatchers hold, by their own count. */
  heldByDispatchers(): number {
    let held = 0;
    for (const { dispatcher } of this.dispatchers.values()) held += dispatcher.stats().leases;
    return held;
  }

  #saw(what: InvokerEvent): void {
    switch (what.kind) {
      case "started": {
        const call = this.calls.get(what.activation);
        if (call) call.starts += 1;
        this.#note(`${what.activation.slice(0, 6)} runs in ${what.invoker}/${what.sandbox}`);
        return;
      }
      case "created":
        this.created += 1;
        this.#note(`${what.invoker}/${what.sandbox} serves ${what.revision}`);
        return;
      case "destroyed":
        this.#note(`sandbox ${what.sandbox} of ${what.revision} is ordered to end`);
        return;
      case "used": {
        const grantee = this.#grantees.get(what.grant);
        if (grantee !== undefined && grantee !== what.dispatcherBootId) {
          throw new Error(`grant ${what.grant} was given to ${grantee} and to ${what.dispatcherBootId}`);
        }
        this.#grantees.set(what.grant, what.dispatcherBootId);
        return;
      }
      case "nack":
        this.nacks += 1;
        this.#note(`${what.invoker} refuses ${what.reason}`);
        return;
      case "fenced":
        this.fenced.push(what);
        this.#note(`epoch ${what.epoch} of ${what.scheduler} is refused`);
        return;
    }
  }

  #newBoot(id: string): string {
    this.#boot += 1;
    return `${id}-boot${this.#boot}`;
  }

  #note(what: string): void {
    this.trace.push(`${this.clock.monoMs().toFixed(2)} ${what}`);
  }
}

/** An action as a scheduler must know it. */
export function anAsk(name: string, more: Partial<ActionAsk> = {}): ActionAsk {
  return {
    key: `guest/${name}`,
    revisionId: `${name}@1`,
    kind: "nodejs:20",
    memoryMb: 256,
    concurrency: 1,
    maxInstances: 0,
    timeoutMs: 60_000,
    ...more,
  };
}
