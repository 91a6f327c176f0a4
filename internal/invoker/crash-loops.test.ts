// Code that does not load, again and again: its calls are told why, and the machine is not burnt by it.

import { afterEach, describe, expect, it } from "vitest";

import { InvokerWorld } from "../../test/harness/invoker-world.js";
import type { ActionAsk } from "../core/dispatch/call.js";
import { LOAD_FAILURES_FREE, LOAD_PAUSE_FIRST_MS } from "../core/scaling/load-breaker.js";
import { SandboxState } from "../gen/weft/link/v1/fleet.pb.js";
import { NackReason, Outcome, StartKind } from "../gen/weft/link/v1/work.pb.js";

let world: InvokerWorld;
type FakeDispatcher = Awaited<ReturnType<InvokerWorld["dispatcher"]>>;

afterEach(async () => {
  const drained = world.invoker.drain(0);
  await world.elapse(20_000);
  await drained;
  expect(world.driver.alive).toEqual([]);
  expect(world.clock.pending).toBe(0);
});

async function open(): Promise<FakeDispatcher> {
  world = new InvokerWorld();
  await world.start();
  return world.dispatcher();
}

/** One order and one call, as they come from a caller. */
async function callOnce(dispatcher: FakeDispatcher, action: ActionAsk) {
  const order = world.scheduler.create(action);
  await world.elapse(10);
  const sandbox = world.scheduler.reportsOf(order).at(-1)?.view?.sandbox ?? 0;
  const call = await dispatcher.invoke({ action, sandbox });
  await world.elapse(10);
  return { sandbox, call };
}

async function failOften(dispatcher: FakeDispatcher, action: ActionAsk): Promise<void> {
  for (let i = 0; i < LOAD_FAILURES_FREE; i += 1) await callOnce(dispatcher, action);
}

describe("code that does not load again and again", () => {
  it.each([
    ["says why", "init fail no database", "no database"],
    ["exits", "init exit 3", "The action did not initialize and exited unexpectedly (exit code 3)."],
  ])("and %s: each call is told, but after a while none costs a sandbox", async (_, script, error) => {
    const dispatcher = await open();
    const action = world.action(script);
    for (let i = 0; i < 20; i += 1) {
      const { call } = await callOnce(dispatcher, action);
      expect(call.done).toMatchObject({ outcome: Outcome.DEVELOPER_ERROR, timedOut: false });
      expect(JSON.parse(Buffer.from(call.done?.resultJson ?? []).toString())).toEqual({ error });
    }
    expect(world.driver.made).toHaveLength(LOAD_FAILURES_FREE);
    expect(world.invoker.metrics.loadsSpared.value).toBe(20 - LOAD_FAILURES_FREE);
    expect(world.invoker.metrics.loadsPaused.value).toBe(1);
    expect(world.scheduler.last).toMatchObject({ freeMb: 2_048 });
  });

  it("is told by records that say so", async () => {
    const dispatcher = await open();
    const action = world.action("init fail no database");
    await failOften(dispatcher, action);
    const { call } = await callOnce(dispatcher, action);
    expect(call.done).toMatchObject({ startKind: StartKind.WARM, initMs: undefined, reusable: true });
    const record = await world.recordOf(call.activationId);
    expect(record).toMatchObject({ outcome: Outcome.DEVELOPER_ERROR, memoryMb: 256, logsMb: 1 });
    expect(record.logs[0]).toContain(
      "stderr: The code was not loaded for this activation: that failed 5 times in a row",
    );
  });

  it("is tried again after the pause, by one sandbox, and then rests for longer", async () => {
    const dispatcher = await open();
    const action = world.action("init fail no database");
    await failOften(dispatcher, action);
    const { sandbox } = await callOnce(dispatcher, action);
    await world.elapse(2 * LOAD_PAUSE_FIRST_MS);
    expect(dispatcher.slotsGone).toContain(sandbox);
    expect(world.scheduler.reports.at(-1)?.view).toMatchObject({ sandbox, state: SandboxState.GONE });
    for (let i = 0; i < 10; i += 1) await callOnce(dispatcher, action);
    expect(world.driver.made).toHaveLength(LOAD_FAILURES_FREE + 1);
  });

  it("runs again as soon as it loads, also where it was told before that it does not", async () => {
    const dispatcher = await open();
    world.driver.failInits = LOAD_FAILURES_FREE;
    const action = world.action("echo");
    await failOften(dispatcher, action);
    await world.elapse(2 * LOAD_PAUSE_FIRST_MS);
    // One is to try, and has not yet been called; what is ordered beside it stands in.
    const order = world.scheduler.create(action);
    await world.elapse(10);
    const trying = world.scheduler.reportsOf(order).at(-1)?.view?.sandbox ?? 0;
    const beside = await callOnce(dispatcher, action);
    expect(beside.call.done?.outcome).toBe(Outcome.DEVELOPER_ERROR);
    const call = await dispatcher.invoke({ action, sandbox: trying });
    await world.elapse(10);
    expect(call.done?.outcome).toBe(Outcome.SUCCESS);
    const late = await dispatcher.invoke({ action, sandbox: beside.sandbox });
    expect(late.nack).toBe(NackReason.STALE_LEASE);
    expect(dispatcher.slotsGone).toContain(beside.sandbox);
    expect((await callOnce(dispatcher, action)).call.done?.outcome).toBe(Outcome.SUCCESS);
  });

  it("does not touch another revision, nor code that loads and then fails", async () => {
    const dispatcher = await open();
    await failOften(dispatcher, world.action("init fail no database"));
    expect((await callOnce(dispatcher, world.action("echo"))).call.done?.outcome).toBe(Outcome.SUCCESS);
    const made = world.driver.made.length;
    const throwing = world.action("throw me");
    for (let i = 0; i < 10; i += 1) await callOnce(dispatcher, throwing);
    expect(world.driver.made).toHaveLength(made + 10);
  });

  it("is not loaded in a sandbox either that was made for it meanwhile", async () => {
    const dispatcher = await open();
    const action = world.action("init fail no database");
    const order = world.scheduler.create(action);
    await world.elapse(10);
    const early = world.scheduler.reportsOf(order).at(-1)?.view?.sandbox ?? 0;
    await failOften(dispatcher, action);
    const call = await dispatcher.invoke({ action, sandbox: early });
    expect(call.done).toMatchObject({ outcome: Outcome.DEVELOPER_ERROR, reusable: true });
    expect(world.driver.made[0]?.inits).toEqual([]);
    await world.elapse(2 * LOAD_PAUSE_FIRST_MS);
    await dispatcher.invoke({ action, sandbox: early });
    expect(world.driver.made[0]?.inits).toHaveLength(1);
  });
});
