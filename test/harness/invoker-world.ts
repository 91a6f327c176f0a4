// An invoker with everything around it in memory: a driver that behaves, a scheduler, a controller, dispatchers, a network
// and a coordination store, all on one clock that moves when the test says so.

import { createHash } from "node:crypto";

import { bytesToHex, hexToBytes } from "../../internal/base/ids.js";
import { silentLog } from "../../internal/base/log.js";
import { MetricsRegistry } from "../../internal/base/metrics.js";
import { seededRandom } from "../../internal/base/random.js";
import { noTracer, type Tracer } from "../../internal/base/trace.js";
import { WeftError } from "../../internal/base/errors.js";
import type { Member } from "../../internal/core/coordination/coordination.js";
import { MemoryCoordination } from "../../internal/core/coordination/memory-coordination.js";
import type { ActionAsk } from "../../internal/core/dispatch/call.js";
import { leaseToken } from "../../internal/core/lease/token.js";
import {
  RevisionSpec,
  type ActivationRecord,
  type FetchRevisionResponse,
  type RecordAck,
  type RecordBatch,
} from "../../internal/gen/weft/link/v1/control.pb.js";
import {
  SandboxState,
  type Capacity,
  type FleetRequestItem,
  type FleetResponseItem,
  type Inventory,
  type Register,
  type SandboxReport,
} from "../../internal/gen/weft/link/v1/fleet.pb.js";
import {
  CallClass,
  Invoke,
  type ActivationStatus,
  type Done,
  type NackReason,
  type WorkRequestItem,
  type WorkResponseItem,
  type WorkWelcome,
} from "../../internal/gen/weft/link/v1/work.pb.js";
import type { CodeSource } from "../../internal/invoker/code-cache.js";
import { MemoryCodeStore } from "../../internal/invoker/code-store.js";
import { Invoker } from "../../internal/invoker/invoker.js";
import { MemoryJournal } from "../../internal/invoker/journal.js";
import { invokerSettings, type InvokerSettings } from "../../internal/invoker/settings.js";
import { fleetLink, recordLink, workLink } from "../../internal/rpc/link-methods.js";
import type { Link } from "../../internal/rpc/link.js";
import { MemoryNetwork } from "../../internal/rpc/network.js";
import { ManualClock, settle } from "./clock.js";
import { FakeDriver, type FakeDriverOptions } from "./fake-driver.js";

const CLUSTER_KEY = "cluster-key";
const INVOKER_ADDRESS = "invoker:1";

export interface WorldOptions {
  readonly settings?: Partial<InvokerSettings>;
  readonly driver?: Partial<FakeDriverOptions>;
  readonly tracer?: Tracer;
  readonly journal?: MemoryJournal;
}

/** What an action is, in a world. */
export interface ActionOptions {
  readonly key?: string;
  readonly memoryMb?: number;
  readonly concurrency?: number;
  readonly timeoutMs?: number;
  readonly logsMb?: number;
  readonly env?: Record<string, string>;
}

export class InvokerWorld {
  readonly clock = new ManualClock();
  readonly network = new MemoryNetwork();
  readonly coordination = new MemoryCoordination(this.clock);
  /** The invoker's own connection to the store. */
  readonly connection = this.coordination.connection();
  readonly driver: FakeDriver;
  /** What is known of an earlier life's sandboxes. */
  readonly journal: MemoryJournal;
  readonly scheduler = new FakeScheduler(this, "scheduler", "s-boot-1");
  readonly controller = new FakeController(this);
  readonly registry = new MetricsRegistry("invoker");
  readonly invoker: Invoker;
  #revisions = 0;
  #random = seededRandom(7);

  constructor(options: WorldOptions = {}) {
    this.driver = new FakeDriver({ clock: this.clock, ...options.driver });
    this.journal = options.journal ?? new MemoryJournal();
    this.invoker = new Invoker({
      id: "i1",
      bootId: "i-boot-1",
      address: INVOKER_ADDRESS,
      driver: this.driver,
      journal: this.journal,
      network: this.network,
      code: this.controller,
      codeStore: new MemoryCodeStore(),
      coordination: this.connection,
      clock: this.clock,
      random: seededRandom(1),
      log: silentLog,
      metrics: this.registry,
      tracer: options.tracer ?? noTracer,
      clusterKey: CLUSTER_KEY,
      settings: invokerSettings({ memoryMb: 2_048, ...options.settings }),
    });
    this.network.serve(INVOKER_ADDRESS, workLink, (link) => this.invoker.accept(link));
  }

  async start(): Promise<void> {
    await this.scheduler.start();
    await this.controller.start();
    await this.invoker.start();
    await this.elapse(10);
  }

  elapse(ms: number): Promise<void> {
    return this.clock.elapse(ms);
  }

  /** Lets everything happen that needs no time. */
  async settle(): Promise<void> {
    for (let i = 0; i < 3; i += 1) await settle();
  }

  /** An action whose code is this script. */
  action(script: string, options: ActionOptions = {}): ActionAsk {
    this.#revisions += 1;
    const ask: ActionAsk = {
      key: options.key ?? `guest/action${this.#revisions}`,
      revisionId: `r${this.#revisions}`,
      kind: "nodejs:20",
      memoryMb: options.memoryMb ?? 256,
      concurrency: options.concurrency ?? 1,
      maxInstances: 0,
      timeoutMs: options.timeoutMs ?? 60_000,
    };
    this.controller.revisions.set(ask.revisionId, {
      ask,
      code: Buffer.from(script),
      logsMb: options.logsMb ?? 1,
      env: options.env ?? {},
    });
    return ask;
  }

  /** A sandbox for an action, ordered and ready. @returns its number */
  async sandboxFor(action: ActionAsk): Promise<number> {
    const order = this.scheduler.create(action);
    await this.elapse(50);
    const report = this.scheduler.reports.find((r) => r.order === order && r.view?.state === SandboxState.WARM);
    if (!report?.view) throw new Error(`no sandbox was made: ${JSON.stringify(this.scheduler.reports.at(-1))}`);
    return report.view.sandbox;
  }

  /** A dispatcher that is connected. */
  async dispatcher(id = "g1", bootId = `${id}-boot-1`): Promise<FakeDispatcher> {
    const dispatcher = new FakeDispatcher(this, id, bootId);
    dispatcher.connect();
    await this.settle();
    return dispatcher;
  }

  newActivationId(): string {
    return bytesToHex(this.#random.bytes(16));
  }

  records(): readonly ActivationRecord[] {
    return this.controller.batches.flatMap((batch) => batch.records);
  }

  /** The record of an activation, once it is there. */
  async recordOf(activationId: string): Promise<ActivationRecord> {
    await this.elapse(100);
    const record = this.records().find((r) => bytesToHex(r.activationId) === activationId);
    if (!record) throw new Error(`no record of ${activationId}`);
    return record;
  }
}

export class FakeScheduler {
  readonly registers: Register[] = [];
  readonly inventories: Inventory[] = [];
  readonly capacities: { readonly atMs: number; readonly capacity: Capacity }[] = [];
  readonly reports: SandboxReport[] = [];
  readonly gone: string[] = [];
  heartbeats = 0;
  link: Link<FleetRequestItem, FleetResponseItem> | undefined;
  #order = 0;
  #stop = (): void => {};
  #leave = (): Promise<void> => Promise.resolve();

  constructor(
    private readonly world: InvokerWorld,
    readonly id: string,
    readonly bootId: string,
    readonly address = id,
  ) {}

  async start(): Promise<void> {
    this.serve();
    const member: Member = {
      role: "scheduler",
      id: this.id,
      bootId: this.bootId,
      address: this.address,
      zone: "",
      wireVersion: 1,
    };
    const membership = await this.world.coordination.join(member, 5_000);
    this.#leave = () => membership.leave();
  }

  serve(): void {
    this.#stop = this.world.network.serve(this.address, fleetLink, (link) => {
      this.link = link;
      link.onItem = (item) => this.#hear(link, item);
      link.onClosed = () => {
        if (this.link === link) this.link = undefined;
      };
    });
  }

  /** Its process ends; its lease too, unless `silently`. */
  async stop(silently = false): Promise<void> {
    this.#stop();
    this.world.network.breakLinks(this.address);
    if (!silently) await this.#leave();
  }

  get last(): Capacity | undefined {
    return this.capacities.at(-1)?.capacity;
  }

  /** @returns the order's number */
  create(action: ActionAsk, options: { epoch?: number; order?: number; shard?: number } = {}): number {
    this.#order += 1;
    const order = options.order ?? this.#order;
    this.link?.send({
      item: { $case: "create", value: { order, shard: options.shard ?? 1, epoch: options.epoch ?? 10, action } },
    });
    return order;
  }

  destroy(sandbox: number, epoch = 10): void {
    this.link?.send({ item: { $case: "destroy", value: { sandbox, shard: 1, epoch } } });
  }

  reportsOf(order: number): readonly SandboxReport[] {
    return this.reports.filter((report) => report.order === order);
  }

  #hear(link: Link<FleetRequestItem, FleetResponseItem>, { item }: FleetRequestItem): void {
    switch (item?.$case) {
      case "register":
        this.registers.push(item.value);
        link.send({ item: { $case: "welcome", value: { schedulerId: this.id, heartbeatMs: 500, wireVersion: 1 } } });
        return;
      case "inventory":
        this.inventories.push(item.value);
        return;
      case "capacity":
        this.capacities.push({ atMs: this.world.clock.monoMs(), capacity: item.value });
        return;
      case "sandbox":
        this.reports.push(item.value);
        return;
      case "heartbeat":
        this.heartbeats += 1;
        return;
      case "dispatcherGone":
        this.gone.push(item.value.bootId);
        return;
      case undefined:
    }
  }
}

/** Its RecordService and its CodeService. */
export class FakeController implements CodeSource {
  readonly batches: RecordBatch[] = [];
  readonly revisions = new Map<
    string,
    {
      readonly ask: ActionAsk;
      readonly code: Uint8Array;
      readonly logsMb: number;
      readonly env: Record<string, string>;
    }
  >();
  /** False: what it is sent is never durable. */
  acking = true;
  /** Set: it does not hand out code, and says so. */
  codeFailure: WeftError | undefined;
  /** Handing out code takes so long. */
  codeMs = 0;
  fetches = 0;
  #stop = (): void => {};

  constructor(private readonly world: InvokerWorld) {}

  async start(): Promise<void> {
    this.serve();
    await this.world.coordination.join(
      { role: "controller", id: "c1", bootId: "c-boot-1", address: "controller", zone: "", wireVersion: 1 },
      5_000,
    );
  }

  serve(): void {
    this.#stop = this.world.network.serve("controller", recordLink, (link: Link<RecordBatch, RecordAck>) => {
      link.onItem = (batch) => {
        this.batches.push(batch);
        if (this.acking) link.send({ sequence: batch.sequence });
      };
    });
  }

  stop(): void {
    this.#stop();
    this.world.network.breakLinks("controller");
  }

  async *fetch(_actionKey: string, revisionId: string, withoutCode: boolean): AsyncGenerator<FetchRevisionResponse> {
    this.fetches += 1;
    if (this.codeMs > 0) await new Promise<void>((resolve) => void this.world.clock.after(this.codeMs, resolve));
    if (this.codeFailure) throw this.codeFailure;
    const revision = this.revisions.get(revisionId);
    if (!revision) throw new WeftError("notFound", "REVISION_GONE", "the revision is gone");
    const { ask, code, logsMb, env } = revision;
    yield {
      part: {
        $case: "spec",
        value: RevisionSpec.create({
          ask,
          codeDigest: createHash("sha256").update(code).digest("hex"),
          codeSize: code.length,
          version: "0.0.7",
          logsMb,
          env,
        }),
      },
    };
    if (!withoutCode) yield { part: { $case: "code", value: code } };
  }
}

export interface CallOptions {
  readonly action: ActionAsk;
  readonly sandbox: number;
  readonly slot?: number;
  readonly epoch?: number;
  readonly sequence?: number;
  /** Default: the right one, at each call. */
  readonly token?: Uint8Array;
  readonly params?: string;
  readonly remainingMs?: number;
  readonly waitedMs?: number;
  readonly async?: boolean;
  readonly activationId?: string;
  readonly revisionId?: string;
  readonly apiKey?: string;
  readonly traceparent?: string;
  readonly truncationBytes?: number;
  readonly unstored?: boolean;
}

export interface Call {
  readonly activationId: string;
  readonly call: number;
  done: Done | undefined;
  nack: NackReason | undefined;
  /** How often it was answered. */
  answers: number;
}

/** Speaks a dispatcher's part of the WorkLink, by hand. */
export class FakeDispatcher {
  readonly calls = new Map<number, Call>();
  readonly slotsGone: number[] = [];
  readonly statuses: ActivationStatus[] = [];
  welcome: WorkWelcome | undefined;
  draining: number | undefined;
  closedBecause: string | undefined;
  link: Link<WorkResponseItem, WorkRequestItem> | undefined;
  invokerBootId = "i-boot-1";
  #sequence = 0;
  #call = 0;

  constructor(
    private readonly world: InvokerWorld,
    readonly id: string,
    readonly bootId: string,
  ) {}

  /** Opens a link; the one before stays as it is. */
  connect(options: { linkSequence?: number; wireVersion?: number } = {}): Link<WorkResponseItem, WorkRequestItem> {
    this.#sequence += 1;
    const link = this.world.network.dial(INVOKER_ADDRESS, workLink);
    this.link = link;
    this.closedBecause = undefined;
    this.welcome = undefined;
    link.onItem = (item) => this.#hear(item);
    link.onClosed = (why) => {
      if (this.link === link) this.closedBecause = why?.message ?? "closed";
    };
    link.send({
      item: {
        $case: "hello",
        value: {
          dispatcherId: this.id,
          bootId: this.bootId,
          wireVersion: options.wireVersion ?? 1,
          linkSequence: options.linkSequence ?? this.#sequence,
        },
      },
    });
    return link;
  }

  /** Sends a call and does not wait. */
  send(options: CallOptions): Call {
    this.#call += 1;
    const { action, sandbox, slot = 0, epoch = 10, sequence = 1 } = options;
    const activationId = options.activationId ?? this.world.newActivationId();
    const call: Call = { activationId, call: this.#call, done: undefined, nack: undefined, answers: 0 };
    this.calls.set(this.#call, call);
    const token =
      options.token ??
      leaseToken(CLUSTER_KEY, {
        invokerBootId: this.invokerBootId,
        dispatcherBootId: this.bootId,
        sandbox,
        slot,
        epoch,
        sequence,
      });
    this.link?.send({
      item: {
        $case: "invoke",
        value: Invoke.create({
          call: this.#call,
          activationId: hexToBytes(activationId),
          lease: { sandbox, slot, epoch, sequence, token },
          paramsJson: Buffer.from(options.params ?? '{"name":"Ada"}'),
          caller: {
            namespace: "guest",
            subject: "guest-subject",
            transactionId: "tid",
            apiKey: options.apiKey ?? "",
            cause: "",
          },
          remainingMs: options.remainingMs ?? 0,
          waitedMs: options.waitedMs ?? 0,
          class: options.async === true ? CallClass.ASYNC : CallClass.SYNC,
          traceparent: options.traceparent ?? "",
          revisionId: options.revisionId ?? action.revisionId,
          attempt: options.async === true ? 1 : 0,
          truncationBytes: options.truncationBytes,
          unstored: options.unstored ?? false,
        }),
      },
    });
    return call;
  }

  /** Sends a call and lets everything happen that needs no time. */
  async invoke(options: CallOptions): Promise<Call> {
    const call = this.send(options);
    await this.world.settle();
    return call;
  }

  cancel(call: Call, reason = "the caller hung up"): void {
    this.link?.send({ item: { $case: "cancel", value: { call: call.call, reason } } });
  }

  async ask(...calls: readonly Call[]): Promise<readonly ActivationStatus[]> {
    const before = this.statuses.length;
    const activationIds = calls.map((call) => hexToBytes(call.activationId));
    this.link?.send({ item: { $case: "statusQuery", value: { activationIds } } });
    await this.world.settle();
    return this.statuses.slice(before);
  }

  #hear({ item }: WorkResponseItem): void {
    switch (item?.$case) {
      case "welcome":
        this.welcome = item.value;
        return;
      case "done":
      case "nack": {
        const call = this.calls.get(item.value.call);
        if (!call) throw new Error(`an answer to a call that was not made: ${item.value.call}`);
        call.answers += 1;
        if (item.$case === "done") call.done = item.value;
        else call.nack = item.value.reason;
        return;
      }
      case "slotsGone":
        this.slotsGone.push(...item.value.sandboxes);
        return;
      case "status":
        this.statuses.push(...item.value.statuses);
        return;
      case "draining":
        this.draining = item.value.finishWithinMs;
        return;
      case undefined:
    }
  }
}
