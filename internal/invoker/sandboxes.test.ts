// The host of the sandboxes through its own doors: orders of schedulers, memory, stem cells, freezing, drain, and what
// happens when schedulers, controllers and the coordination store go away and come back.

import { afterEach, describe, expect, it } from "vitest";

import { FakeScheduler, InvokerWorld, type WorldOptions } from "../../test/harness/invoker-world.js";
import { WeftError } from "../base/errors.js";
import type { ActionAsk } from "../core/dispatch/call.js";
import { SandboxEnd, SandboxState } from "../gen/weft/link/v1/fleet.pb.js";
import { NackReason, Outcome, StartKind } from "../gen/weft/link/v1/work.pb.js";

let world: InvokerWorld;

async function open(options: WorldOptions = {}): Promise<InvokerWorld> {
  world = new InvokerWorld(options);
  await world.start();
  return world;
}

afterEach(async () => {
  const drained = world.invoker.drain(0);
  await world.elapse(20_000);
  await drained;
  expect(world.driver.alive).toEqual([]);
  expect(world.clock.pending).toBe(0);
});

describe("an invoker", () => {
  it("tells when a sandbox becomes evictable for want of the call that it was made for", async () => {
    await open();
    await world.sandboxFor(world.action("echo"));
    await world.elapse(500);
    expect(world.scheduler.last).toMatchObject({ evictableMb: 0 });
    await world.elapse(5_000);
    expect(world.scheduler.last).toMatchObject({ evictableMb: 256 });
  });

  it("registers with everything a scheduler must know, and beats", async () => {
    await open({ settings: { zone: "z1" } });
    expect(world.scheduler.registers).toEqual([
      {
        invokerId: "i1",
        bootId: "i-boot-1",
        address: "invoker:1",
        memoryMb: 2_048,
        kinds: ["nodejs:20"],
        driver: "process",
        zone: "z1",
        wireVersion: 1,
        caveats: ["a fake: no isolation"],
      },
    ]);
    expect(world.scheduler.inventories).toEqual([{ sandboxes: [], highestEpoch: 0 }]);
    expect(world.scheduler.last).toMatchObject({ freeMb: 2_048, evictableMb: 0, starting: 0, draining: false });
    await world.elapse(2_000);
    expect(world.scheduler.heartbeats).toBeGreaterThanOrEqual(3);
    expect(world.invoker.readiness()).toBe(true);
    expect((await world.coordination.listMembers()).map((m) => `${m.role} ${m.address}`)).toContain(
      "invoker invoker:1",
    );
  });

  it("removes what an earlier life left, before it serves", async () => {
    world = new InvokerWorld();
    world.driver.leftBehind = 3;
    expect(world.invoker.readiness()).toBe("the invoker is new");
    await world.start();
    expect(world.driver.leftBehind).toBe(0);
  });

  it("offers only kinds that it was asked for and can run", async () => {
    await open({ settings: { kinds: ["nodejs:20", "cobol:85"] }, driver: { kinds: ["nodejs:20", "python:3.11"] } });
    expect(world.scheduler.registers[0]?.kinds).toEqual(["nodejs:20"]);
  });

  it("can be looked into", async () => {
    await open();
    const action = world.action("hang");
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    await dispatcher.invoke({ action, sandbox });
    expect(world.invoker.describe()).toMatchObject({
      phase: "serving",
      held: true,
      memoryMb: { total: 2_048, free: 1_792 },
      sandboxes: [
        { sandboxId: sandbox, state: "warm", action: action.key, running: 1, holders: [{ dispatcherId: "g1" }] },
      ],
      dispatchers: [{ dispatcherId: "g1", connected: true, running: 1 }],
      schedulers: [{ schedulerId: "scheduler", welcomed: true }],
      spool: { records: 0, full: false },
    });
  });
});

describe("an order", () => {
  it("is answered with a sandbox that takes calls, and says where the time went", async () => {
    await open({ driver: { createMs: 80 } });
    const order = world.scheduler.create(world.action("echo"));
    await world.elapse(79);
    expect(world.scheduler.reports).toEqual([]);
    expect(world.scheduler.last).toMatchObject({ freeMb: 1_792, starting: 1 });
    await world.elapse(100);
    expect(world.scheduler.reportsOf(order)).toMatchObject([
      {
        end: SandboxEnd.UNSPECIFIED,
        phases: { queueMs: 0, createMs: 80, stem: false },
        view: { sandbox: 1, state: SandboxState.WARM, actionKey: "guest/action1", revisionId: "r1", concurrency: 1 },
      },
    ]);
    expect(world.scheduler.last).toMatchObject({ freeMb: 1_792, starting: 0 });
  });

  it("fetches the code while the sandbox is made", async () => {
    await open({ driver: { createMs: 80 } });
    world.scheduler.create(world.action("echo"));
    await world.elapse(10);
    expect(world.controller.fetches).toBe(1);
    expect(world.driver.made).toEqual([]);
  });

  it("said twice is carried out once, and answered again", async () => {
    await open();
    const action = world.action("echo");
    const order = world.scheduler.create(action);
    world.scheduler.create(action, { order });
    await world.elapse(50);
    world.scheduler.create(action, { order });
    await world.elapse(50);
    expect(world.driver.made).toHaveLength(1);
    expect(world.scheduler.reportsOf(order).map((r) => r.view?.sandbox)).toEqual([1, 1]);
  });

  it("of a scheduler that was replaced is refused, shard by shard", async () => {
    await open();
    const action = world.action("echo");
    await world.sandboxFor(action);
    world.scheduler.create(action, { epoch: 12 });
    await world.elapse(50);
    const stale = world.scheduler.create(action, { epoch: 11 });
    const other = world.scheduler.create(action, { epoch: 11, shard: 2 });
    world.scheduler.destroy(1, 11);
    await world.elapse(50);
    expect(world.scheduler.reportsOf(stale)).toMatchObject([
      { end: SandboxEnd.FENCED, view: { state: SandboxState.GONE } },
    ]);
    expect(world.scheduler.reportsOf(other)).toMatchObject([{ view: { state: SandboxState.WARM } }]);
    expect(world.driver.alive).toHaveLength(3);
    expect(world.invoker.metrics.fencedOrders.value).toBe(2);
  });

  it.each<[name: string, error: WeftError]>([
    ["an image that is missing", new WeftError("failedPrecondition", "IMAGE_MISSING", "the image weft/x is missing")],
    ["a driver that is away", new WeftError("unavailable", "DRIVER_UNAVAILABLE", "docker does not answer")],
  ])("that fails for %s says so, and gives its memory back", async (_, error) => {
    await open();
    world.driver.failures.push(error);
    const order = world.scheduler.create(world.action("echo"));
    await world.elapse(100);
    expect(world.scheduler.reportsOf(order)).toMatchObject([{ end: SandboxEnd.START_FAILED, message: error.message }]);
    expect(world.scheduler.last?.freeMb).toBe(2_048);
  });

  it("for a runtime that never says hello fails after a while", async () => {
    await open({ driver: { createMs: 60_000 }, settings: { startTimeoutMs: 1_000 } });
    const order = world.scheduler.create(world.action("echo"));
    await world.elapse(1_100);
    expect(world.scheduler.reportsOf(order)).toMatchObject([{ end: SandboxEnd.START_FAILED }]);
  });

  it("for a kind that is not there fails at once", async () => {
    await open();
    const order = world.scheduler.create({ ...world.action("echo"), kind: "cobol:85" });
    await world.elapse(10);
    expect(world.scheduler.reportsOf(order)).toMatchObject([
      { end: SandboxEnd.START_FAILED, message: "this invoker does not run cobol:85" },
    ]);
  });

  it("waits its turn: only so many sandboxes are made at once", async () => {
    await open({ driver: { createMs: 100 }, settings: { parallelStarts: 2 } });
    for (let i = 0; i < 5; i += 1) world.scheduler.create(world.action("echo"));
    await world.elapse(400);
    expect(world.driver.creatingMost).toBe(2);
    expect(world.scheduler.reports.map((r) => r.phases?.queueMs)).toEqual([0, 0, 100, 100, 200]);
  });

  it("to end an idle sandbox ends it, and its leases", async () => {
    await open();
    const sandbox = await world.sandboxFor(world.action("echo"));
    const dispatcher = await world.dispatcher();
    world.scheduler.destroy(sandbox);
    await world.elapse(50);
    expect(dispatcher.slotsGone).toContain(sandbox);
    expect(world.scheduler.reports.at(-1)).toMatchObject({ end: SandboxEnd.EVICTED, view: { sandbox } });
    expect(world.driver.alive).toEqual([]);
  });

  it("to end a busy sandbox lets its call finish, and nothing new in", async () => {
    await open();
    const action = world.action("sleep 100");
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    const made = await dispatcher.invoke({ action, sandbox });
    world.scheduler.destroy(sandbox);
    await world.settle();
    expect((await dispatcher.invoke({ action, sandbox })).nack).toBe(NackReason.STALE_LEASE);
    await world.elapse(150);
    expect(made.done).toMatchObject({ outcome: Outcome.SUCCESS, reusable: false });
    expect(world.driver.alive).toEqual([]);
  });

  it.each([false, true])("to end a sandbox that is being made ends it (deaf driver: %s)", async (deaf) => {
    await open({ driver: { createMs: 1_000, deaf } });
    const order = world.scheduler.create(world.action("echo"));
    await world.elapse(100);
    world.scheduler.destroy(1);
    await world.elapse(deaf ? 1_000 : 100);
    expect(world.scheduler.reportsOf(order)).toMatchObject([{ end: SandboxEnd.EVICTED }]);
    expect(world.driver.creating).toBe(0);
    expect(world.driver.alive).toEqual([]);
  });
});

describe("memory", () => {
  it("is never exceeded: the least valuable idle sandbox makes room, and is gone before the next is made", async () => {
    await open({ settings: { memoryMb: 512 }, driver: { destroyMs: 200, createMs: 10 } });
    const often = world.action("echo");
    const seldom = world.action("echo");
    const [a, b] = [await world.sandboxFor(often), await world.sandboxFor(seldom)];
    const dispatcher = await world.dispatcher();
    await dispatcher.invoke({ action: seldom, sandbox: b });
    for (let i = 0; i < 5; i += 1) await dispatcher.invoke({ action: often, sandbox: a });
    const order = world.scheduler.create(world.action("echo"));
    await world.elapse(100);
    expect(dispatcher.slotsGone).toEqual([b]);
    expect(world.scheduler.reports.find((r) => r.view?.sandbox === b && r.end)).toMatchObject({
      end: SandboxEnd.EVICTED,
    });
    expect(world.scheduler.reportsOf(order)).toEqual([]);
    expect(world.driver.memoryMb).toBe(512);
    await world.elapse(200);
    expect(world.scheduler.reportsOf(order)).toMatchObject([
      { view: { state: SandboxState.WARM }, phases: { queueMs: 200 } },
    ]);
    expect(world.driver.memoryMb).toBe(512);
  });

  it("that is in use is not taken: the order is refused, with what is free", async () => {
    await open({ settings: { memoryMb: 256 } });
    const action = world.action("hang");
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    await dispatcher.invoke({ action, sandbox });
    const order = world.scheduler.create(world.action("echo"));
    await world.elapse(100);
    expect(world.scheduler.reportsOf(order)).toMatchObject([{ end: SandboxEnd.NO_ROOM }]);
    expect(world.scheduler.last).toMatchObject({ freeMb: 0, evictableMb: 0 });
  });

  it("of a sandbox that waits for its first call is not taken at once", async () => {
    await open({ settings: { memoryMb: 256 } });
    await world.sandboxFor(world.action("echo"));
    const early = world.scheduler.create(world.action("echo"));
    await world.elapse(2_000);
    expect(world.scheduler.reportsOf(early)).toMatchObject([{ end: SandboxEnd.NO_ROOM }]);
    const late = world.scheduler.create(world.action("echo"));
    await world.elapse(100);
    expect(world.scheduler.reportsOf(late)).toMatchObject([{ view: { state: SandboxState.WARM } }]);
  });

  it("is told of on change, and not more often than every 50 ms", async () => {
    await open();
    const action = world.action("sleep 3");
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    const before = world.scheduler.capacities.length;
    for (let i = 0; i < 40; i += 1) {
      dispatcher.send({ action, sandbox });
      await world.elapse(5);
    }
    const told = world.scheduler.capacities.slice(before).map((c) => c.atMs);
    expect(told.length).toBeGreaterThan(1);
    for (let i = 1; i < told.length; i += 1) expect(told[i]! - told[i - 1]!).toBeGreaterThanOrEqual(50);
    await world.elapse(1_000);
    expect(world.scheduler.last).toMatchObject({ freeMb: 1_792, evictableMb: 256 });
  });
});

describe("stem cells", () => {
  const stems = [{ kind: "nodejs:20", memoryMb: 256, min: 1, max: 4 }];

  it("are made at the start, taken by an order at once, and made anew", async () => {
    await open({ settings: { stems }, driver: { createMs: 500 } });
    await world.elapse(600);
    expect(world.scheduler.last?.stems).toEqual([{ kind: "nodejs:20", memoryMb: 256, count: 1 }]);
    expect(world.scheduler.reports).toMatchObject([{ order: 0, view: { state: SandboxState.STEM, actionKey: "" } }]);
    const action = world.action("echo");
    const order = world.scheduler.create(action);
    await world.elapse(10);
    const [report] = world.scheduler.reportsOf(order);
    expect(report).toMatchObject({ view: { state: SandboxState.WARM }, phases: { stem: true, createMs: 0 } });
    const dispatcher = await world.dispatcher();
    const made = await dispatcher.invoke({ action, sandbox: report?.view?.sandbox ?? 0 });
    expect(made.done).toMatchObject({ outcome: Outcome.SUCCESS, startKind: StartKind.STEM, initMs: 0 });
    expect((await dispatcher.invoke({ action, sandbox: report?.view?.sandbox ?? 0 })).done?.startKind).toBe(
      StartKind.WARM,
    );
    await world.elapse(600);
    expect(world.scheduler.last?.stems[0]?.count).toBe(1);
    expect(world.driver.made).toHaveLength(2);
  });

  it("are made anew a moment after they were taken: the call that took one comes first", async () => {
    await open({ settings: { stems }, driver: { createMs: 50 } });
    await world.elapse(100);
    const making = (): number | undefined => world.scheduler.last?.starting;
    await world.elapse(1_000);
    world.scheduler.create(world.action("echo"));
    await world.elapse(90);
    expect(making()).toBe(0);
    expect(world.driver.made).toHaveLength(1);
    await world.elapse(200);
    expect(world.driver.made).toHaveLength(2);
    expect(world.scheduler.last?.stems[0]?.count).toBe(1);
  });

  it("are not taken for another memory class", async () => {
    await open({ settings: { stems } });
    await world.elapse(100);
    const order = world.scheduler.create(world.action("echo", { memoryMb: 128 }));
    await world.elapse(100);
    expect(world.scheduler.reportsOf(order)).toMatchObject([{ phases: { stem: false } }]);
  });

  it("take no calls", async () => {
    await open({ settings: { stems } });
    await world.elapse(100);
    const dispatcher = await world.dispatcher();
    expect((await dispatcher.invoke({ action: world.action("echo"), sandbox: 1 })).nack).toBe(NackReason.STALE_LEASE);
  });

  it("grow in number with demand, up to their share of the memory", async () => {
    await open({ settings: { stems, stemShare: 0.375 } });
    await world.elapse(100);
    for (let i = 0; i < 4; i += 1) {
      await world.sandboxFor(world.action("echo"));
      await world.elapse(50);
    }
    await world.elapse(1_100);
    expect(world.scheduler.last?.stems[0]?.count).toBe(3);
  });

  it("make room for what is wanted", async () => {
    await open({ settings: { stems, memoryMb: 1_024 } });
    await world.elapse(100);
    for (let i = 0; i < 2; i += 1) await world.sandboxFor(world.action("echo", { memoryMb: 512 }));
    expect(world.driver.memoryMb).toBe(1_024);
    expect(world.scheduler.last?.stems[0]?.count).toBe(0);
  });

  it("are kept of a class that is asked for, and given back when it is not any more", async () => {
    await open({ settings: { stemDemandMax: 4 } });
    const action = (): ActionAsk => world.action("echo", { memoryMb: 128 });
    // Once is no demand among more than a hundred windows; twice is.
    await world.sandboxFor(action());
    await world.elapse(1_300_000);
    await world.sandboxFor(action());
    await world.elapse(11_000);
    for (let i = 0; i < 2; i += 1) await world.sandboxFor(action());
    await world.elapse(11_000);
    expect(world.scheduler.last?.stems).toEqual([{ kind: "nodejs:20", memoryMb: 128, count: 1 }]);
    const order = world.scheduler.create(action());
    await world.elapse(10);
    expect(world.scheduler.reportsOf(order)).toMatchObject([{ phases: { stem: true } }]);
    await world.elapse(1_400_000);
    expect(world.scheduler.last?.stems).toEqual([]);
    expect(world.driver.alive).toEqual([]);
  });

  it("that cannot be made are not tried for ever at once", async () => {
    world = new InvokerWorld({ settings: { stems } });
    for (let i = 0; i < 100; i += 1) world.driver.failures.push(new WeftError("unavailable", "DOWN", "down"));
    await world.start();
    await world.elapse(10_000);
    expect(100 - world.driver.failures.length).toBeLessThan(8);
    world.driver.failures.length = 0;
    await world.elapse(60_000);
    expect(world.scheduler.last?.stems[0]?.count).toBe(1);
  });
});

describe("a sandbox without calls", () => {
  const settings = { freezeAfterMs: 1_000, idleTimeoutMs: 60_000 };

  it("freezes, says so, and thaws for the next call", async () => {
    await open({ settings });
    const action = world.action("echo");
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    await dispatcher.invoke({ action, sandbox });
    await world.elapse(1_300);
    expect(world.driver.made[0]?.frozen).toBe(true);
    expect(world.scheduler.reports.at(-1)).toMatchObject({ view: { sandbox, state: SandboxState.FROZEN } });
    const made = await dispatcher.invoke({ action, sandbox });
    expect(made.done).toMatchObject({ outcome: Outcome.SUCCESS, startKind: StartKind.FROZEN, initMs: undefined });
    expect(world.scheduler.reports.at(-1)).toMatchObject({ view: { sandbox, state: SandboxState.WARM } });
    expect((await dispatcher.invoke({ action, sandbox })).done?.startKind).toBe(StartKind.WARM);
  });

  it("is thawed by a call that comes while it freezes", async () => {
    await open({ settings });
    const action = world.action("echo");
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    await dispatcher.invoke({ action, sandbox });
    // Between the order to freeze and its end: sent just before the clock moves there.
    world.clock.after(1_000, () => dispatcher.send({ action, sandbox }));
    await world.elapse(1_300);
    const last = [...dispatcher.calls.values()].at(-1);
    expect(last?.done?.outcome).toBe(Outcome.SUCCESS);
  });

  it("that never was called freezes too; its first call thaws and loads it", async () => {
    await open({ settings });
    const action = world.action("echo");
    const sandbox = await world.sandboxFor(action);
    await world.elapse(3_500);
    expect(world.driver.made[0]?.frozen).toBe(true);
    const dispatcher = await world.dispatcher();
    const made = await dispatcher.invoke({ action, sandbox });
    expect(made.done).toMatchObject({ outcome: Outcome.SUCCESS, startKind: StartKind.COLD, initMs: 0 });
  });

  it("stays as it is when it cannot be frozen", async () => {
    await open({ settings });
    const action = world.action("echo");
    const sandbox = await world.sandboxFor(action);
    world.driver.made[0]!.powerFailure = new WeftError("unavailable", "FREEZE", "no");
    await world.elapse(5_000);
    expect(world.driver.made[0]?.freezes).toBe(0);
    const dispatcher = await world.dispatcher();
    expect((await dispatcher.invoke({ action, sandbox })).done?.outcome).toBe(Outcome.SUCCESS);
  });

  it("that cannot be thawed ends; its call did not start", async () => {
    await open({ settings });
    const action = world.action("echo");
    const sandbox = await world.sandboxFor(action);
    await world.elapse(3_500);
    world.driver.made[0]!.powerFailure = new WeftError("unavailable", "THAW", "no");
    const dispatcher = await world.dispatcher();
    const made = await dispatcher.invoke({ action, sandbox });
    expect(made.nack).toBe(NackReason.STALE_LEASE);
    expect(world.scheduler.reports.at(-1)).toMatchObject({ end: SandboxEnd.DIED });
  });

  it("ends after its time", async () => {
    await open({ settings: { freezeAfterMs: 1_000, idleTimeoutMs: 5_000 } });
    const sandbox = await world.sandboxFor(world.action("echo"));
    await world.elapse(5_600);
    expect(world.driver.alive).toEqual([]);
    expect(world.scheduler.reports.at(-1)).toMatchObject({ end: SandboxEnd.EVICTED, view: { sandbox } });
  });

  it("is kept for as long as its calls make it worth, once they are known", async () => {
    await open({ driver: { createMs: 40 }, settings: { freezeAfterMs: 1_000, idleTimeoutMs: 5_000 } });
    const dispatcher = await world.dispatcher();
    const minutely = world.action("echo");
    let sandbox = await world.sandboxFor(minutely);
    let made = 1;
    for (let i = 0; i < 30; i += 1) {
      await dispatcher.invoke({ action: minutely, sandbox });
      await world.elapse(60_000);
      if (world.driver.alive.length > 0) continue;
      made += 1;
      sandbox = await world.sandboxFor(minutely);
    }
    // Ten gaps were learned with cold starts; from then on it lasts from call to call.
    expect(made).toBe(11);
    await world.elapse(120_000);
    expect(world.driver.alive).toEqual([]); // but not for longer
  });

  it("that dies by itself is told of, and its leases are void", async () => {
    await open();
    const sandbox = await world.sandboxFor(world.action("echo"));
    const dispatcher = await world.dispatcher();
    world.driver.made[0]?.crash();
    await world.elapse(10);
    expect(dispatcher.slotsGone).toEqual([sandbox]);
    expect(world.scheduler.reports.at(-1)).toMatchObject({
      end: SandboxEnd.DIED,
      view: { sandbox, state: SandboxState.GONE },
    });
  });
});

describe("draining", () => {
  it("refuses what is new, lets calls end, hands over records, destroys, and leaves", async () => {
    await open();
    const action = world.action("sleep 1000");
    const idle = await world.sandboxFor(world.action("echo"));
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    const made = await dispatcher.invoke({ action, sandbox });
    let ended = false;
    void world.invoker.drain(5_000).then(() => {
      ended = true;
    });
    await world.elapse(100);
    expect(dispatcher.draining).toBe(5_000);
    expect(world.scheduler.last?.draining).toBe(true);
    expect(dispatcher.slotsGone).toEqual([idle]);
    expect((await dispatcher.invoke({ action, sandbox })).nack).toBe(NackReason.DRAINING);
    const order = world.scheduler.create(action);
    await world.elapse(100);
    expect(world.scheduler.reportsOf(order)).toMatchObject([{ end: SandboxEnd.DRAINING }]);
    const late = await world.dispatcher("g2");
    expect([late.welcome?.invokerId, late.draining]).toEqual(["i1", 5_000]);
    expect(ended).toBe(false);
    await world.elapse(1_000);
    expect(ended).toBe(true);
    expect(made.done?.outcome).toBe(Outcome.SUCCESS);
    expect(world.records()).toHaveLength(1);
    expect(world.driver.alive).toEqual([]);
    expect(dispatcher.closedBecause).toBe("closed");
    expect((await world.coordination.listMembers()).some((m) => m.role === "invoker")).toBe(false);
  });

  it("stops what does not end within the grace, and records that", async () => {
    await open();
    const action = world.action("hang");
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    const made = await dispatcher.invoke({ action, sandbox });
    const drained = world.invoker.drain(300);
    await world.elapse(400);
    await drained;
    expect(Buffer.from(made.done?.resultJson ?? []).toString()).toContain("The invoker was stopped");
    expect(world.records()).toMatchObject([{ outcome: Outcome.PLATFORM_ERROR }]);
  });

  it("ends starts that are under way", async () => {
    await open({ driver: { createMs: 10_000 } });
    const order = world.scheduler.create(world.action("echo"));
    await world.elapse(100);
    const drained = world.invoker.drain(1_000);
    await world.elapse(500);
    await drained;
    expect(world.scheduler.reportsOf(order)).toMatchObject([{ end: SandboxEnd.DRAINING }]);
    expect(world.driver.creating).toBe(0);
  });

  it("waits for records, but not for ever", async () => {
    await open();
    const action = world.action("echo");
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    await dispatcher.invoke({ action, sandbox });
    world.controller.acking = false;
    let ended = false;
    void world.invoker.drain(1_000).then(() => {
      ended = true;
    });
    await world.elapse(1_900);
    expect(ended).toBe(false);
    await world.elapse(200);
    expect(ended).toBe(true);
  });
});

describe("when others go away", () => {
  it("a scheduler that comes back is told everything again, and calls never noticed", async () => {
    await open();
    const action = world.action("echo");
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    await dispatcher.invoke({ action, sandbox });
    await world.scheduler.stop(true);
    await world.elapse(100);
    expect((await dispatcher.invoke({ action, sandbox })).done?.outcome).toBe(Outcome.SUCCESS);
    expect(world.invoker.readiness()).toBe("no scheduler answers");
    world.scheduler.serve();
    await world.elapse(2_000);
    expect(world.scheduler.registers).toHaveLength(2);
    expect(world.scheduler.inventories.at(-1)).toMatchObject({
      highestEpoch: 10,
      sandboxes: [
        {
          sandbox,
          state: SandboxState.WARM,
          revisionId: action.revisionId,
          running: 0,
          holders: [{ slot: 0, dispatcherId: "g1", dispatcherBootId: "g1-boot-1", epoch: 10, sequence: 1 }],
        },
      ],
    });
    expect(world.invoker.readiness()).toBe(true);
  });

  it("another scheduler is found, and orders of the first are worth nothing to it", async () => {
    await open();
    const order = world.scheduler.create(world.action("echo"));
    await world.elapse(50);
    await world.scheduler.stop();
    const next = new FakeScheduler(world, "scheduler2", "s-boot-2");
    await next.start();
    await world.elapse(1_000);
    expect(next.inventories[0]?.sandboxes).toHaveLength(1);
    expect(next.reportsOf(order)).toEqual([]);
    next.create(world.action("echo"), { epoch: 20 });
    await world.elapse(100);
    expect(next.reports.map((r) => r.order)).toEqual([1]);
    next.destroy(1, 20);
    await world.elapse(100);
    expect(next.reports.at(-1)).toMatchObject({ order: 0, view: { sandbox: 1, state: SandboxState.GONE } });
  });

  it("a controller that comes back gets every record, in order", async () => {
    await open();
    const action = world.action("echo");
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    await dispatcher.invoke({ action, sandbox });
    world.controller.acking = false;
    await world.elapse(100);
    world.controller.stop();
    const later = await dispatcher.invoke({ action, sandbox });
    await world.elapse(1_000);
    world.controller.acking = true;
    world.controller.serve();
    await world.elapse(5_000);
    expect(world.records()).toHaveLength(3); // the first one twice: it was not acknowledged
    expect(Buffer.from(world.records().at(-1)?.activationId ?? []).toString("hex")).toBe(later.activationId);
  });

  it("an invoker whose lease ran out begins a new life: old leases are void, what runs goes on and is recorded", async () => {
    await open({ settings: { leaseTtlMs: 3_000 } });
    const action = world.action("sleep 10000");
    const idle = world.action("echo");
    const [sandbox, free] = [await world.sandboxFor(action), await world.sandboxFor(idle)];
    const dispatcher = await world.dispatcher();
    const made = await dispatcher.invoke({ action, sandbox });
    await dispatcher.invoke({ action: idle, sandbox: free });
    world.connection.sever(); // as a pause of the process would
    await world.elapse(5_000);
    expect((await world.coordination.listMembers()).some((m) => m.role === "invoker")).toBe(false);
    // The data plane does not ask the store.
    expect((await dispatcher.invoke({ action: idle, sandbox: free })).done?.outcome).toBe(Outcome.SUCCESS);
    world.connection.mend();
    await world.elapse(1_000);
    const member = (await world.coordination.listMembers()).find((m) => m.role === "invoker");
    expect(member?.bootId).not.toBe("i-boot-1");
    expect(world.scheduler.registers.at(-1)).toMatchObject({ invokerId: "i1", bootId: member?.bootId });
    expect(world.scheduler.inventories.at(-1)?.sandboxes.map((s) => [s.running, s.holders])).toEqual([
      [1, []],
      [0, []],
    ]);
    expect(dispatcher.closedBecause).toBe("closed");
    dispatcher.connect();
    await world.settle();
    expect(dispatcher.welcome?.bootId).toBe(member?.bootId);
    // A token of the old life proves nothing; one of the new life does.
    expect((await dispatcher.invoke({ action: idle, sandbox: free, sequence: 2 })).nack).toBe(NackReason.BAD_TOKEN);
    dispatcher.invokerBootId = member?.bootId ?? "";
    expect((await dispatcher.invoke({ action: idle, sandbox: free, sequence: 3 })).done?.outcome).toBe(Outcome.SUCCESS);
    await world.elapse(5_000);
    expect((await world.recordOf(made.activationId)).outcome).toBe(Outcome.SUCCESS);
  });

  it("an invoker whose id was taken by another process does not push it out", async () => {
    await open({ settings: { leaseTtlMs: 3_000 } });
    world.connection.sever();
    await world.elapse(5_000);
    const other = await world.coordination.join(
      { role: "invoker", id: "i1", bootId: "other", address: "elsewhere:1", zone: "", wireVersion: 1 },
      3_000,
    );
    world.connection.mend();
    await world.elapse(10_000);
    expect((await world.coordination.listMembers()).find((m) => m.role === "invoker")?.bootId).toBe("other");
    expect(world.invoker.readiness()).toBe("it is not among the members; joining again");
    await other.leave();
    await world.elapse(10_000);
    expect(world.invoker.readiness()).toBe(true);
  });
});
