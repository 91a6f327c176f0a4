import { afterEach, describe, expect, it } from "vitest";

import { ManualClock } from "../../test/harness/clock.js";
import { QueueTable } from "../../test/harness/queue-table.js";
import { WeftError } from "../base/errors.js";
import type { ActivationId } from "../base/ids.js";
import { silentLog } from "../base/log.js";
import { MetricsRegistry } from "../base/metrics.js";
import { seededRandom } from "../base/random.js";

import { noTracer } from "../base/trace.js";
import type { RecordedActivation } from "../core/activation/store.js";
import type { ActionActivation } from "../core/activation/types.js";
import { MemoryCoordination } from "../core/coordination/memory-coordination.js";
import type { DispatchCall, DoneResult } from "../core/dispatch/call.js";
import type { QueuedRequest } from "../core/queue/store.js";
import { Composites } from "./composites.js";
import { controllerMetrics } from "./metrics.js";
import { QueueDispatcher } from "./queue-dispatcher.js";
import type { Resolved } from "./resolver.js";

const LIMITS = { timeoutMs: 1_000, memoryMb: 256, logsMb: 10, concurrency: 1 };
const INVOKER = { invokerId: "i1", invokerBootId: "i1-boot" };

/** The database and what outlives a controller. */
class Store {
  readonly clock = new ManualClock();
  readonly table = new QueueTable();
  readonly coordination = new MemoryCoordination(this.clock);
  readonly records = new Map<ActivationId, ActionActivation>();
  readonly actions = new Map<string, readonly string[] | "conductor" | undefined>();
}

class World {
  readonly calls: DispatchCall[] = [];
  readonly queue: QueueDispatcher;
  readonly composites: Composites;

  constructor(
    readonly store: Store,
    readonly bootId: string,
  ) {
    const { clock, table, coordination } = store;
    const metrics = controllerMetrics(new MetricsRegistry("controller"));
    const common = { bootId, queue: table, clock, random: seededRandom(bootId.length), log: silentLog, metrics };
    const resolve = (namespace: string, name: string): Promise<Resolved> => this.#resolve(`${namespace}/${name}`);
    const record = (records: readonly RecordedActivation[]): Promise<void> => this.record(records);
    this.queue = new QueueDispatcher({
      keyFor: (keyUuid, timeoutMs) => `${keyUuid}:key for ${timeoutMs}`,
      ...common,
      coordination,
      dispatcher: {
        dispatch: (call) => void this.calls.push(call),
        askFate: () => Promise.resolve({ kind: "running" }),
      },
      resolve,
      record,
      tracer: noTracer,
    });
    this.composites = new Composites({
      ...common,
      activations: { get: (_namespace, id) => this.#get(id) },
      requests: this.queue,
      resolve,
      record,
    });
    this.queue.composites = this.composites;
  }

  async start(): Promise<void> {
    this.composites.start();
    this.queue.start();
    await this.turn();
  }

  async record(records: readonly RecordedActivation[]): Promise<void> {
    await Promise.resolve();
    for (const { activation } of records) {
      if (!this.store.records.has(activation.id)) this.store.records.set(activation.id, activation);
      this.store.table.rows.delete(activation.id);
    }
    this.queue.settled(records.map(({ activation }) => activation.id));
    for (const { activation } of records) this.composites.recorded(activation);
    await this.turn();
  }

  async submit(request: QueuedRequest): Promise<void> {
    await this.queue.accept([request], (owner) => this.store.table.submit([request], owner));
    await this.turn();
  }

  turn(ms = 0): Promise<void> {
    return this.store.clock.elapse(ms);
  }

  /** Names of what was handed to the dispatcher. */
  get ran(): string[] {
    return this.calls.map((call) => `${call.ask.key} ${Buffer.from(call.paramsJson).toString()}`);
  }

  /** The last call ends; its record comes when the invoker sends it. */
  async end(resultJson: string, more: Partial<DoneResult> = {}): Promise<ActivationId> {
    const call = this.calls.at(-1);
    if (!call) throw new Error("nothing runs");
    expect(await call.beforeSend?.(INVOKER)).toBe(true);
    call.complete({ ...done, resultJson: Buffer.from(resultJson), ...more });
    await this.turn();
    return idOf(call);
  }

  /** What an invoker sends of an activation. */
  invokerRecords(id: ActivationId, resultJson: string): Promise<void> {
    const activation = { of: "action", id, outcome: "success", resultJson, durationMs: 2, limits: LIMITS };
    return this.record([{ async: true, activation: activation as unknown as ActionActivation }]);
  }

  async close(): Promise<void> {
    this.composites.stop();
    this.queue.stop();
    await this.composites.close();
    await this.queue.close();
  }

  async #resolve(key: string): Promise<Resolved> {
    await Promise.resolve();
    const { actions } = this.store;
    if (!actions.has(key)) throw new WeftError("notFound", "ENTITY_NOT_FOUND", `no action ${key}`);
    const what = actions.get(key);
    const composite = what === undefined ? undefined : what === "conductor" ? "composition" : "sequence";
    return {
      action: {
        version: "0.0.1",
        limits: LIMITS,
        exec: { kind: "k", components: Array.isArray(what) ? what : undefined },
      },
      ask: { key, revisionId: key, kind: "k", memoryMb: 256, concurrency: 1, maxInstances: 0, timeoutMs: 1_000 },
      shard: 1,
      defaults: [],
      final: false,
      providesApiKey: false,
      composite,
    } as unknown as Resolved;
  }

  #get(id: ActivationId): Promise<ActionActivation> {
    const found = this.store.records.get(id);
    if (!found) return Promise.reject(new WeftError("notFound", "ACTIVATION_NOT_FOUND", `no activation ${id}`));
    return Promise.resolve(found);
  }
}

const done: DoneResult = {
  kind: "done",
  outcome: "success",
  resultJson: Buffer.from("{}"),
  startWallMs: 1,
  durationMs: 2,
  initMs: undefined,
  waitMs: 3,
  timedOut: false,
  resultSize: 11,
  startKind: "warm",
  invokerId: "i1",
};

const RUN = "a".repeat(32) as ActivationId;
const idOf = (call: DispatchCall): ActivationId => Buffer.from(call.activationId).toString("hex") as ActivationId;

function aRun(store: Store, name = "both"): QueuedRequest {
  return {
    id: RUN,
    namespace: "guest",
    name,
    paramsJson: '{"n":1.0}',
    callerNamespace: "guest",
    subject: "guest",
    transactionId: "tid",
    keyUuid: "",
    traceparent: "",
    acceptedWallMs: store.clock.wallMs(),
  };
}

describe("a sequence in a controller", () => {
  const worlds: World[] = [];
  async function world(store = new Store(), bootId = "c1-boot"): Promise<World> {
    store.actions.set("guest/a", undefined).set("guest/b", undefined);
    store.actions.set("guest/both", ["guest/a", "guest/b"]).set("guest/nested", ["guest/both", "guest/b"]);
    const w = new World(store, bootId);
    worlds.push(w);
    await w.start();
    return w;
  }
  afterEach(async () => {
    for (const w of worlds.splice(0)) await w.close();
  });

  it("runs its components one after the other, each with its cause, without waiting for their records", async () => {
    const w = await world();
    await w.submit(aRun(w.store));
    expect(w.ran).toEqual(['guest/a {"n":1.0}']);
    expect(w.calls[0]?.caller.cause).toBe(RUN);
    const first = await w.end('{"n":2.0}');
    expect(w.ran).toEqual(['guest/a {"n":1.0}', 'guest/b {"n":2.0}']);
    const second = await w.end('{"n":3.0}');
    expect(w.store.records.get(RUN)).toMatchObject({
      outcome: "success",
      resultJson: '{"n":3.0}',
      logs: [first, second],
      durationMs: 4,
      limits: LIMITS,
    });
    expect(w.store.table.rows.has(RUN)).toBe(false);
    // The components' own records come later, and change nothing.
    await w.invokerRecords(first, '{"other":1}');
    await w.invokerRecords(second, '{"other":1}');
    expect(w.calls).toHaveLength(2);
    expect(w.store.table.rows.size).toBe(0);
  });

  it("moves on once when the record comes before the dispatcher tells", async () => {
    const w = await world();
    await w.submit(aRun(w.store));
    const [call] = w.calls;
    expect(await call?.beforeSend?.(INVOKER)).toBe(true);
    if (call) await w.invokerRecords(idOf(call), '{"n":9}');
    call?.complete({ ...done, resultJson: Buffer.from('{"n":8}') });
    await w.turn();
    expect(w.ran.slice(1)).toEqual(['guest/b {"n":9}']);
  });

  it("goes on after its controller died, with what a component's record says, and starts nothing twice", async () => {
    const w = await world();
    await w.submit({ ...aRun(w.store, "nested") });
    const first = await w.end('{"n":2}');
    expect(w.ran).toEqual(['guest/a {"n":1.0}', 'guest/b {"n":2}']);
    const running = w.calls[1];
    expect(await running?.beforeSend?.(INVOKER)).toBe(true);
    const second = running ? idOf(running) : first;
    await w.close(); // dead: nobody hears of the end
    const heir = await world(w.store, "c2-boot-2");
    await heir.turn(1_000);
    expect(heir.calls).toEqual([]);
    await heir.invokerRecords(first, '{"n":2}');
    await heir.invokerRecords(second, '{"n":3}');
    expect(heir.ran).toEqual(['guest/b {"n":3}']);
    const third = await heir.end('{"n":4}');
    const whole = heir.store.records.get(RUN);
    expect(whole).toMatchObject({ resultJson: '{"n":4}', outcome: "success" });
    const inner = heir.store.records.get((whole?.logs[0] ?? "") as ActivationId);
    expect([inner?.logs, inner?.cause, whole?.logs[1]]).toEqual([[first, second], RUN, third]);
  });

  it("finds the record of a component that nobody told of", async () => {
    const w = await world();
    await w.submit(aRun(w.store));
    const first = w.calls[0] ? idOf(w.calls[0]) : RUN;
    // Another controller took it over, and stored its record.
    w.queue.lost(first);
    await w.turn(3_000);
    expect(w.calls).toHaveLength(1);
    w.store.table.rows.delete(first);
    w.store.records.set(first, {
      of: "action",
      id: first,
      outcome: "success",
      resultJson: '{"n":5}',
      durationMs: 1,
      limits: LIMITS,
    } as unknown as ActionActivation);
    await w.turn(3_000);
    expect(w.ran.slice(1)).toEqual(['guest/b {"n":5}']);
  });

  it("ends when a component has neither a request nor a record", async () => {
    const w = await world();
    await w.submit(aRun(w.store));
    const first = w.calls[0] ? idOf(w.calls[0]) : RUN;
    w.queue.lost(first);
    w.store.table.rows.delete(first);
    await w.turn(3_000);
    expect(w.store.records.get(RUN)).toMatchObject({
      outcome: "platformError",
      resultJson: `{"error":"Timeout reached when retrieving activation ${first} for sequence component."}`,
      logs: [first],
    });
  });

  it("does not miss a component that is just being queued", async () => {
    const w = await world();
    let open = (): void => undefined;
    w.store.table.gate = new Promise<void>((resolve) => (open = resolve));
    await w.submit(aRun(w.store));
    await w.turn(5_000); // looks for what is nowhere
    expect(w.store.records.size).toBe(0);
    open();
    await w.turn();
    expect(w.ran).toEqual(['guest/a {"n":1.0}']);
  });

  it("queues a component again under its id when the database did not answer", async () => {
    const w = await world();
    await w.submit(aRun(w.store));
    const gone = new WeftError("unavailable", "STORE_UNAVAILABLE", "the database is away");
    const [call] = w.calls;
    expect(await call?.beforeSend?.(INVOKER)).toBe(true);
    w.store.table.failures.push(gone, gone);
    call?.complete({ ...done, resultJson: Buffer.from('{"n":2}') });
    await w.turn(10_000);
    expect(w.ran).toEqual(['guest/a {"n":1.0}', 'guest/b {"n":2}']);
    await w.end("{}");
    expect(w.store.records.get(RUN)).toMatchObject({ outcome: "success" });
  });

  it("is left alone when another controller has taken it over", async () => {
    const w = await world();
    await w.submit(aRun(w.store));
    const other = {
      role: "controller",
      id: "c2",
      bootId: "c2-boot",
      address: "c2:1",
      zone: "",
      wireVersion: 1,
    } as const;
    await w.store.coordination.join(other, 60_000);
    const row = w.store.table.rows.get(RUN);
    if (row) row.owner = other.bootId;
    await w.end('{"n":2}');
    await w.turn(5_000);
    expect(w.calls).toHaveLength(1);
    expect(w.store.records.has(RUN)).toBe(false);
    expect(w.queue.has(RUN)).toBe(false);
  });

  it("starts no component while its controller stops", async () => {
    const w = await world();
    await w.submit(aRun(w.store));
    const [call] = w.calls;
    expect(await call?.beforeSend?.(INVOKER)).toBe(true);
    w.queue.stop();
    w.composites.stop();
    call?.complete({ ...done, resultJson: Buffer.from('{"n":2}') });
    await w.turn(5_000);
    expect(w.calls).toHaveLength(1);
    expect(w.store.table.rows.has(RUN)).toBe(true);
  });

  it("of more runs than there are places does not keep its components from theirs", async () => {
    const w = await world();
    for (let i = 0; i < 300; i += 1) {
      await w.submit({ ...aRun(w.store), id: i.toString(16).padStart(32, "0") as ActivationId });
    }
    expect(w.calls.length).toBeGreaterThanOrEqual(250);
  });

  it("asks a conductor as a plain action", async () => {
    const w = await world();
    w.store.actions.set("guest/c", "conductor");
    await w.submit(aRun(w.store, "c"));
    expect(w.ran).toEqual(['guest/c {"n":1.0}']);
    await w.end('{"action":"a","params":{"x":1},"state":{"s":1}}');
    await w.end('{"y":2}');
    expect(w.ran.slice(1)).toEqual(['guest/a {"x":1}', 'guest/c {"y":2,"s":1}']);
    await w.end('{"done":true}');
    expect(w.store.records.get(RUN)).toMatchObject({
      resultJson: '{"done":true}',
      composite: { componentRuns: 1, conductorRuns: 2 },
    });
  });
});
