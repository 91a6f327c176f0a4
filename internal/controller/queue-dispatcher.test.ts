// Durable requests in a world whose dispatcher and database are told what to do: every request ends, and none is started
// twice.

import { describe, expect, it } from "vitest";

import { ManualClock } from "../../test/harness/clock.js";
import { recordTraces } from "../../test/harness/tracing.js";
import { WeftError } from "../base/errors.js";
import { hexToBytes, type ActivationId } from "../base/ids.js";
import { silentLog } from "../base/log.js";
import { MetricsRegistry } from "../base/metrics.js";
import { seededRandom } from "../base/random.js";
import { noTracer, type Tracer } from "../base/trace.js";
import type { RecordedActivation } from "../core/activation/store.js";
import type { ActionActivation } from "../core/activation/types.js";
import { MemoryCoordination } from "../core/coordination/memory-coordination.js";
import type { Role } from "../core/coordination/coordination.js";
import type { Destination, DispatchCall, DoneResult } from "../core/dispatch/call.js";
import { REQUEST_AGE_MS_MAX } from "../core/queue/fate.js";
import type { Attempt, QueuedRequest } from "../core/queue/store.js";
import type { Fate } from "../dispatch/dispatcher.js";
import { QueueTable } from "../../test/harness/queue-table.js";
import { controllerMetrics } from "./metrics.js";
import { QueueDispatcher, type QueueSettings } from "./queue-dispatcher.js";
import type { Resolved } from "./resolver.js";

const INVOKER: Destination = { invokerId: "i1", invokerBootId: "i1-boot" };

interface WorldOptions {
  readonly clock?: ManualClock;
  readonly table?: QueueTable;
  readonly coordination?: MemoryCoordination;
  readonly bootId?: string;
  readonly settings?: Partial<QueueSettings>;
  readonly tracer?: Tracer;
}

class World {
  readonly clock: ManualClock;
  readonly table: QueueTable;
  readonly coordination: MemoryCoordination;
  readonly metrics = controllerMetrics(new MetricsRegistry("controller"));
  readonly calls: DispatchCall[] = [];
  readonly asked: string[] = [];
  readonly records: ActionActivation[] = [];
  readonly bootId: string;
  readonly queue: QueueDispatcher;
  /** What invokers say of activations; throws for one that does not answer. */
  fate: (id: string) => Fate = () => ({ kind: "running" });
  resolveError: WeftError | undefined;
  providesApiKey = false;
  final = false;

  constructor(options: WorldOptions = {}) {
    this.clock = options.clock ?? new ManualClock();
    this.table = options.table ?? new QueueTable();
    this.coordination = options.coordination ?? new MemoryCoordination(this.clock);
    this.bootId = options.bootId ?? "c1-boot";
    this.queue = new QueueDispatcher({
      keyFor: (keyUuid, timeoutMs) => `${keyUuid}:key for ${timeoutMs}`,
      bootId: this.bootId,
      queue: this.table,
      coordination: this.coordination,
      dispatcher: {
        dispatch: (call) => void this.calls.push(call),
        askFate: async (_to, id) => {
          this.asked.push(Buffer.from(id).toString("hex"));
          return this.fate(Buffer.from(id).toString("hex"));
        },
      },
      resolve: async () => {
        await Promise.resolve();
        if (this.resolveError) throw this.resolveError;
        return this.#resolved();
      },
      record: (records) => this.record(records),
      clock: this.clock,
      random: seededRandom(1),
      log: silentLog,
      tracer: options.tracer ?? noTracer,
      metrics: this.metrics,
      settings: options.settings ?? {},
    });
  }

  async join(role: Role, id: string, bootId: string) {
    return this.coordination.join({ role, id, bootId, address: `${id}:1`, zone: "", wireVersion: 1 }, 5_000);
  }

  async start(): Promise<this> {
    await this.join("invoker", INVOKER.invokerId, INVOKER.invokerBootId);
    await this.join("controller", "c1", this.bootId);
    this.queue.start();
    await this.clock.elapse(0);
    return this;
  }

  /** As the recorder does: the first record stays, and settles its request. */
  async record(records: readonly RecordedActivation[]): Promise<void> {
    await Promise.resolve();
    for (const { activation } of records) {
      if (!this.records.some(({ id }) => id === activation.id)) this.records.push(activation);
      this.table.rows.delete(activation.id);
    }
    this.queue.settled(records.map(({ activation }) => activation.id));
  }

  /** The invoker's own record of an activation. */
  invokerRecords(id: ActivationId): Promise<void> {
    return this.record([{ async: true, activation: { of: "action", id, outcome: "success" } as ActionActivation }]);
  }

  async submit(...requests: QueuedRequest[]): Promise<void> {
    await this.queue.accept(requests, (owner) => this.table.submit(requests, owner));
    await this.clock.elapse(0);
  }

  /** The last call of a request; the dispatcher found a slot for it. @returns whether it was sent */
  async send(id: ActivationId, to: Destination = INVOKER): Promise<boolean> {
    const wanted = await this.call(id).beforeSend?.(to);
    return wanted === true;
  }

  call(id: ActivationId): DispatchCall {
    const call = this.calls.findLast((one) => Buffer.from(one.activationId).toString("hex") === id);
    if (!call) throw new Error(`no call of ${id}`);
    return call;
  }

  #resolved(): Resolved {
    const ask = {
      key: "guest/hello",
      revisionId: "r1",
      kind: "nodejs:20",
      memoryMb: 256,
      concurrency: 1,
      maxInstances: 0,
      timeoutMs: 1_000,
    };
    return {
      action: {
        version: "0.0.1",
        exec: { kind: "nodejs:20" },
        limits: { timeoutMs: 1_000, memoryMb: 256, logsMb: 10, concurrency: 1 },
      },
      package: undefined,
      ask,
      shard: 7,
      defaults: [{ key: "a", valueJson: Buffer.from("1") }],
      final: this.final,
      providesApiKey: this.providesApiKey,
    } as unknown as Resolved;
  }
}

let made = 0;
function aRequest(more: Partial<QueuedRequest> = {}): QueuedRequest {
  made += 1;
  return {
    id: made.toString(16).padStart(32, "0") as ActivationId,
    namespace: "guest",
    name: "hello",
    paramsJson: '{"b":2}',
    callerNamespace: "guest",
    subject: "guest",
    transactionId: "tid",
    keyUuid: "uuid",
    traceparent: "",
    acceptedWallMs: Date.UTC(2026, 0, 1),
    ...more,
  };
}

const done: DoneResult = {
  kind: "done",
  outcome: "success",
  resultJson: Buffer.from('{"ok":true}'),
  startWallMs: 1,
  durationMs: 2,
  initMs: undefined,
  waitMs: 3,
  timedOut: false,
  resultSize: 11,
  startKind: "warm",
  invokerId: "i1",
};

const refused = (reason = "NO_SLOT_KEPT") =>
  ({ kind: "refused", error: new WeftError("unavailable", reason, "not now") }) as const;

describe("a durable request", () => {
  it("of an action that asks for a key is given one that is made for it, each time that it is sent", async () => {
    const world = await new World().start();
    world.providesApiKey = true;
    const request = aRequest();
    await world.submit(request);
    expect(world.call(request.id).caller.apiKey).toBe("uuid:key for 1000");
    expect(JSON.stringify([...world.table.rows.values()])).not.toContain("key for");
  });

  it("is durable, then sent with merged arguments, and gone when its record is stored", async () => {
    const world = await new World().start();
    const request = aRequest();
    await world.submit(request);
    expect(world.table.rows.get(request.id)?.owner).toBe("c1-boot");
    const call = world.call(request.id);
    expect(call).toMatchObject({ shard: 7, attempt: 1, caller: { namespace: "guest", apiKey: "", cause: "" } });
    expect(Buffer.from(call.paramsJson).toString()).toBe('{"a":1,"b":2}');
    expect(call.activationId).toEqual(hexToBytes(request.id));
    expect(await world.send(request.id)).toBe(true);
    expect(world.table.rows.get(request.id)?.attempt).toEqual({ ...INVOKER, ownerBootId: "c1-boot" });
    call.complete(done);
    await world.clock.elapse(60_000);
    // The invoker has the record: nothing is written here.
    expect(world.records).toEqual([]);
    await world.invokerRecords(request.id);
    expect(world.queue.debug()).toMatchObject({ states: {}, bytes: 0, inFlight: 0 });
    expect(world.table.rows.size).toBe(0);
  });

  it("may have its record before its end is heard of", async () => {
    const world = await new World().start();
    const request = aRequest();
    await world.submit(request);
    await world.send(request.id);
    await world.invokerRecords(request.id);
    world.call(request.id).complete(done);
    expect(world.queue.debug()).toMatchObject({ states: {}, bytes: 0, inFlight: 0 });
  });

  it("that is submitted twice is one", async () => {
    const world = await new World().start();
    const request = aRequest();
    await Promise.all([world.submit(request), world.submit(request)]);
    await world.submit(request);
    expect(world.calls).toHaveLength(1);
  });

  it("is not sent when the database says that it is somebody else's", async () => {
    const world = await new World().start();
    const request = aRequest();
    await world.submit(request);
    const row = world.table.rows.get(request.id);
    if (row) row.owner = "another";
    expect(await world.send(request.id)).toBe(false);
    expect(world.queue.debug()).toMatchObject({ states: {}, inFlight: 0 });
  });

  it("comes back with a pause when it is refused, and its attempt is forgotten first", async () => {
    const world = await new World().start();
    const request = aRequest();
    await world.submit(request);
    await world.send(request.id);
    world.call(request.id).complete(refused());
    await world.clock.elapse(10);
    expect(world.table.rows.get(request.id)?.attempt).toBeUndefined();
    expect(world.calls).toHaveLength(1);
    await world.clock.elapse(1_000);
    expect(world.calls).toHaveLength(2);
    expect(world.call(request.id).attempt).toBe(2);
    expect(await world.send(request.id)).toBe(true);
  });

  it("waits as long as it is told to", async () => {
    const world = await new World().start();
    const request = aRequest();
    await world.submit(request);
    const error = new WeftError("unavailable", "START_FAILED", "no", { retryAfterMs: 9_000 });
    world.call(request.id).complete({ kind: "refused", error });
    await world.clock.elapse(8_000);
    expect(world.calls).toHaveLength(1);
    await world.clock.elapse(1_100);
    expect(world.calls).toHaveLength(2);
  });

  it("is not run when the database cannot say whose it is, and comes back", async () => {
    const world = await new World().start();
    const request = aRequest();
    await world.submit(request);
    world.table.failures.push(new WeftError("unavailable", "STORE_UNAVAILABLE", "gone"));
    // The dispatcher refuses a call whose beforeSend rejects.
    const error = (await world.send(request.id).catch((thrown: unknown) => thrown)) as WeftError;
    world.call(request.id).complete({ kind: "refused", error });
    await world.clock.elapse(1_000);
    expect(world.calls).toHaveLength(2);
  });

  it("ends with a platform error when it could not be started for a day", async () => {
    const world = await new World().start();
    const request = aRequest();
    await world.submit(request);
    world.clock.jumpWall(REQUEST_AGE_MS_MAX);
    world.call(request.id).complete(refused());
    await world.clock.elapse(2_000);
    expect(world.records).toEqual([
      expect.objectContaining({ id: request.id, outcome: "platformError", kind: "nodejs:20" }),
    ]);
    expect(world.queue.debug()).toMatchObject({ states: {}, inFlight: 0 });
  });

  it.each<[string, (world: World) => void, RegExp]>([
    [
      "whose action is gone",
      (w) => (w.resolveError = new WeftError("notFound", "X", "no")),
      /guest\/hello does not exist/,
    ],
    ["whose arguments may not be set any more", (w) => (w.final = true), /parameters are final: a may not be set/],
  ])("%s ends with an application error", async (_name, arrange, message) => {
    const world = await new World().start();
    arrange(world);
    await world.submit(aRequest({ paramsJson: '{"a":2}' }));
    expect(world.calls).toEqual([]);
    expect(world.records).toEqual([
      expect.objectContaining({ outcome: "applicationError", resultJson: expect.stringMatching(message) as string }),
    ]);
    expect(world.queue.debug()).toMatchObject({ states: {}, inFlight: 0 });
  });

  it("waits when it cannot be said whether its action is there", async () => {
    const world = await new World().start();
    world.resolveError = new WeftError("unavailable", "STORE_UNAVAILABLE", "gone");
    await world.submit(aRequest());
    world.resolveError = undefined;
    await world.clock.elapse(1_000);
    expect(world.calls).toHaveLength(1);
    expect(world.records).toEqual([]);
  });

  it("is traced while it waits, under the trace of the call that made it", async () => {
    const traces = recordTraces();
    const world = await new World({ tracer: traces.tracer }).start();
    const request = aRequest({ traceparent: "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01" });
    await world.submit(request);
    await world.send(request.id);
    const { traceparent } = world.call(request.id);
    expect(traceparent).toMatch(/^00-0123456789abcdef0123456789abcdef-/);
    expect(traceparent).not.toBe(request.traceparent);
    const [span] = await traces.finish();
    expect(span).toMatchObject({
      name: "activation.queue",
      attributes: { "weft.invoker_id": "i1", "weft.attempt": 1 },
    });
  });
});

describe("a request whose invoker is lost", () => {
  async function lost(): Promise<{ world: World; request: QueuedRequest; leave: () => Promise<void> }> {
    const world = new World();
    await world.join("controller", "c1", world.bootId);
    const membership = await world.join("invoker", INVOKER.invokerId, INVOKER.invokerBootId);
    world.queue.start();
    await world.clock.elapse(0);
    const request = aRequest();
    await world.submit(request);
    await world.send(request.id);
    return { world, request, leave: () => membership.leave() };
  }

  const loss = {
    kind: "lost",
    invokerId: "i1",
    error: new WeftError("unavailable", "OUTCOME_UNKNOWN", "lost"),
  } as const;

  it("ends with a platform error, and is not run again", async () => {
    const { world, request, leave } = await lost();
    world.call(request.id).complete(loss);
    await leave();
    await world.clock.elapse(3_000);
    expect(world.records).toEqual([
      expect.objectContaining({
        outcome: "platformError",
        invokerId: "i1",
        kind: "nodejs:20",
        resultJson: expect.stringContaining("invoker i1 was lost while the activation ran") as string,
      }),
    ]);
    expect(world.calls).toHaveLength(1);
    expect(world.queue.debug()).toMatchObject({ states: {}, inFlight: 0 });
  });

  it("keeps the result that was heard of", async () => {
    const { world, request, leave } = await lost();
    world.call(request.id).complete(done);
    await leave();
    await world.clock.elapse(3_000);
    expect(world.records).toEqual([expect.objectContaining({ outcome: "success", resultJson: '{"ok":true}' })]);
  });

  it("lets the invoker's last words come first", async () => {
    const { world, request, leave } = await lost();
    world.call(request.id).complete(loss);
    await leave();
    await world.clock.elapse(500);
    await world.invokerRecords(request.id);
    await world.clock.elapse(5_000);
    expect(world.records).toEqual([expect.objectContaining({ outcome: "success" })]);
  });

  it("is run again only when the invoker, alive after all, proves that it never started", async () => {
    const { world, request } = await lost();
    world.call(request.id).complete(loss);
    await world.clock.elapse(3_000);
    expect(world.asked.length).toBeGreaterThan(1);
    expect(world.calls).toHaveLength(1);
    world.fate = () => ({ kind: "notStarted" });
    await world.clock.elapse(3_000);
    expect(world.calls).toHaveLength(2);
    expect(await world.send(request.id)).toBe(true);
  });

  it("waits for the record when the invoker says that there is one", async () => {
    const { world, request, leave } = await lost();
    world.fate = () => ({ kind: "done", done: undefined });
    world.call(request.id).complete(loss);
    await world.clock.elapse(60_000);
    expect(world.records).toEqual([]);
    expect(world.calls).toHaveLength(1);
    await leave();
    await world.clock.elapse(3_000);
    expect(world.records).toEqual([expect.objectContaining({ outcome: "platformError" })]);
  });

  it("is let go when another controller has settled it", async () => {
    const { world, request } = await lost();
    world.call(request.id).complete(done);
    world.table.rows.delete(request.id);
    await world.clock.elapse(62_000);
    expect(world.queue.debug()).toMatchObject({ states: {}, bytes: 0 });
    expect(world.records).toEqual([]);
  });
});

describe("requests of a controller that died", () => {
  async function afterDeath(attempt: Attempt | undefined): Promise<{ world: World; request: QueuedRequest }> {
    const world = new World({ bootId: "c2-boot" });
    const request = aRequest();
    world.table.rows.set(request.id, { request, owner: "c1-boot", attempt });
    await world.start();
    return { world, request };
  }

  const attempt: Attempt = { ...INVOKER, ownerBootId: "c1-boot" };

  it("that were not sent are run", async () => {
    const { world, request } = await afterDeath(undefined);
    expect(await world.send(request.id)).toBe(true);
  });

  it("that were sent to an invoker that lives are asked about, and run when they never started", async () => {
    const { world, request } = await afterDeath(attempt);
    await world.clock.elapse(3_000);
    expect(world.asked).toContain(request.id);
    expect(world.calls).toEqual([]);
    world.fate = () => ({ kind: "notStarted" });
    await world.clock.elapse(3_000);
    expect(world.call(request.id).attempt).toBe(2);
  });

  it("that were sent to an invoker that is gone end with a platform error", async () => {
    const { world, request } = await afterDeath({ ...attempt, invokerBootId: "an earlier life" });
    await world.clock.elapse(4_000);
    expect(world.calls).toEqual([]);
    expect(world.records).toEqual([
      expect.objectContaining({ id: request.id, outcome: "platformError", kind: "nodejs:20" }),
    ]);
  });

  it("are taken over as soon as it is known to be dead, and not before", async () => {
    const clock = new ManualClock();
    const coordination = new MemoryCoordination(clock);
    const other = coordination.connection();
    await other.join({ role: "controller", id: "c1", bootId: "c1-boot", address: "", zone: "", wireVersion: 1 }, 5_000);
    const world = new World({ clock, coordination, bootId: "c2-boot" });
    const request = aRequest();
    world.table.rows.set(request.id, { request, owner: "c1-boot", attempt: undefined });
    await coordination.join(
      { role: "controller", id: "c2", bootId: "c2-boot", address: "", zone: "", wireVersion: 1 },
      5_000,
    );
    world.queue.start();
    await clock.elapse(20_000);
    expect(world.calls).toEqual([]);
    other.kill();
    await clock.elapse(7_000);
    expect(world.calls).toHaveLength(1);
  });

  it("are left alone while it is not known who lives", async () => {
    const { world } = await afterDeath(undefined);
    world.calls.length = 0;
    world.coordination.sever();
    world.table.rows.set("f".repeat(32) as ActivationId, { request: aRequest(), owner: "c3-boot", attempt: undefined });
    await world.clock.elapse(3_000);
    expect(world.calls).toEqual([]);
  });

  it("are started by one of two controllers only", async () => {
    // The first one lives, but everybody thinks that it is dead: it was paused.
    const clock = new ManualClock();
    const table = new QueueTable();
    const coordination = new MemoryCoordination(clock);
    const first = await new World({ clock, table, coordination, bootId: "c1-boot" }).start();
    const request = aRequest();
    await first.submit(request);
    const second = new World({ clock, table, coordination: coordination.connection(), bootId: "c2-boot" });
    await second.join("controller", "c1", "c2-boot");
    second.queue.start();
    await clock.elapse(0);
    expect(await second.send(request.id)).toBe(true);
    expect(await first.send(request.id)).toBe(false);
  });
});

describe("many requests", () => {
  it("of one namespace do not keep another waiting", async () => {
    const world = await new World({ settings: { inFlightMax: 4, inFlightOfNamespaceMax: 3 } }).start();
    await world.submit(...Array.from({ length: 100 }, () => aRequest({ callerNamespace: "flood" })));
    expect(world.calls).toHaveLength(3);
    const small = aRequest({ callerNamespace: "small" });
    await world.submit(small);
    expect(world.calls).toHaveLength(4);
    expect(world.call(small.id)).toBeDefined();
  });

  it("beyond what fits here stay in the database, and are taken when there is room", async () => {
    const world = await new World({ settings: { requestsMax: 150 } }).start();
    const first = Array.from({ length: 150 }, () => aRequest());
    await world.submit(...first);
    const later = aRequest();
    await world.submit(later);
    expect(world.table.rows.get(later.id)?.owner).toBe("");
    expect(world.calls).toHaveLength(150);
    for (const { id } of first) {
      await world.send(id);
      world.call(id).complete(done);
      await world.invokerRecords(id);
    }
    await world.clock.elapse(0);
    expect(world.call(later.id)).toBeDefined();
    expect(world.table.rows.get(later.id)?.owner).toBe("c1-boot");
  });

  it("all end, in whatever way each is treated, and none is started twice", async () => {
    const world = await new World({ settings: { inFlightMax: 20, inFlightOfNamespaceMax: 10 } }).start();
    const random = seededRandom(11);
    const requests = Array.from({ length: 200 }, (_, i) => aRequest({ callerNamespace: `n${i % 5}` }));
    await world.submit(...requests);
    const started = new Map<string, number>();
    for (let i = 0; i < 4_000 && world.records.length < requests.length; i++) {
      const call = world.calls.shift();
      if (!call) {
        await world.clock.elapse(500);
        continue;
      }
      const id = Buffer.from(call.activationId).toString("hex") as ActivationId;
      const chance = random.next();
      if (chance < 0.2) call.complete(refused());
      else if (await call.beforeSend?.(INVOKER)) {
        if (chance < 0.4) call.complete(refused("NOT_STARTED_IN_TIME"));
        else {
          started.set(id, (started.get(id) ?? 0) + 1);
          if (chance < 0.7) await world.invokerRecords(id);
          call.complete(done);
          if (chance >= 0.7) await world.invokerRecords(id);
        }
      }
    }
    expect(world.records).toHaveLength(200);
    expect([...started.values()].every((times) => times === 1)).toBe(true);
    expect(world.queue.debug()).toMatchObject({ states: {}, inFlight: 0, bytes: 0 });
  });
});

describe("a request of which it is not known whether it was stored", () => {
  const lostAnswer = new WeftError("unavailable", "STORE_UNAVAILABLE", "the connection was lost");

  it("is refused, and ends unstarted if it is there", async () => {
    const world = await new World().start();
    const request = aRequest();
    const accepted = world.queue.accept([request], async (owner) => {
      await world.table.submit([request], owner);
      throw lostAnswer;
    });
    await expect(accepted).rejects.toBe(lostAnswer);
    await expect(world.submit(request)).rejects.toMatchObject({ reason: "GIVEN_UP" });
    await world.clock.elapse(7_000);
    expect(world.calls).toEqual([]);
    expect(world.records).toEqual([expect.objectContaining({ id: request.id, outcome: "platformError" })]);
    expect(world.table.rows.size).toBe(0);
  });

  it("leaves nothing behind if it is not", async () => {
    const world = await new World().start();
    const request = aRequest();
    await expect(world.queue.accept([request], () => Promise.reject(lostAnswer))).rejects.toBe(lostAnswer);
    await world.clock.elapse(7_000);
    expect(world.records).toEqual([]);
    // By then it may be sent again under the same id.
    await world.submit(request);
    expect(world.calls).toHaveLength(1);
  });
});

describe("stopping", () => {
  it("sends nothing new, accepts nothing, and leaves the rest in the database and no timer", async () => {
    const world = await new World({ settings: { inFlightMax: 1 } }).start();
    const [one, two] = [aRequest(), aRequest()];
    await world.submit(one, two);
    world.queue.stop();
    await expect(world.submit(aRequest())).rejects.toMatchObject({ kind: "unavailable", reason: "DRAINING" });
    await world.send(one.id);
    world.call(one.id).complete(refused("STOPPED"));
    await world.queue.close();
    await world.clock.elapse(10_000);
    expect(world.calls).toHaveLength(1);
    expect(world.table.rows.get(one.id)?.attempt).toBeUndefined();
    expect(world.table.rows.size).toBe(2);
    expect(world.clock.pending).toBe(0);
  });
});
