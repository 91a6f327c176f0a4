// What a new life of an invoker takes over from the one before, which was killed.

import { afterEach, describe, expect, it } from "vitest";

import { InvokerWorld, type WorldOptions } from "../../test/harness/invoker-world.js";
import { SandboxState } from "../gen/weft/link/v1/fleet.pb.js";
import { Outcome, StartKind } from "../gen/weft/link/v1/work.pb.js";
import { MemoryJournal } from "./journal.js";

let world: InvokerWorld;

afterEach(async () => {
  const drained = world.invoker.drain(0);
  await world.elapse(20_000);
  await drained;
  expect(world.driver.alive).toEqual([]);
});

async function open(options: WorldOptions = {}): Promise<InvokerWorld> {
  world = new InvokerWorld({ ...options, driver: { survives: true, ...options.driver } });
  await world.start();
  return world;
}

/** The next life: `before` was killed and does not hear of it. It knows the same actions. */
async function nextLife(before: InvokerWorld, options: WorldOptions = {}): Promise<InvokerWorld> {
  const next = new InvokerWorld({
    journal: before.journal,
    ...options,
    driver: { survives: true, inherited: before.driver.alive, ...options.driver },
  });
  for (const [id, revision] of before.controller.revisions) next.controller.revisions.set(id, revision);
  world = next;
  await next.start();
  return next;
}

describe("a new life of an invoker", () => {
  it("offers what was warm as warm, and runs in it without loading the code again", async () => {
    const before = await open();
    const action = before.action("echo");
    const sandbox = await before.sandboxFor(action);
    await (await before.dispatcher()).invoke({ action, sandbox });
    await before.elapse(100);

    const next = await nextLife(before);
    expect(next.driver.made).toHaveLength(1);
    const [view] = next.scheduler.inventories[0]?.sandboxes ?? [];
    expect(view).toMatchObject({ state: SandboxState.WARM, revisionId: action.revisionId, running: 0, holders: [] });
    expect(next.invoker.metrics.adopted.value).toBe(1);

    const dispatcher = await next.dispatcher();
    const call = await dispatcher.invoke({ action, sandbox: view?.sandbox ?? 0, params: '{"n":1}' });
    await next.elapse(50);
    expect(call.done).toMatchObject({
      outcome: Outcome.SUCCESS,
      startKind: StartKind.WARM,
      initMs: undefined,
    });
    expect(next.driver.made[0]?.inits).toHaveLength(1); // that of the life before
  });

  it("offers what it took over to whoever needs the room, at once", async () => {
    const before = await open({ settings: { memoryMb: 512 } });
    for (let i = 0; i < 2; i += 1) await before.sandboxFor(before.action("echo"));
    const next = await nextLife(before, { settings: { memoryMb: 512 } });
    expect(next.scheduler.last).toMatchObject({ freeMb: 0, evictableMb: 512 });
    await next.sandboxFor(next.action("echo", { key: "guest/other" }));
  });

  it("loads the code of one that had none", async () => {
    const before = await open();
    const action = before.action("echo");
    await before.sandboxFor(action);
    const next = await nextLife(before);
    const dispatcher = await next.dispatcher();
    const call = await dispatcher.invoke({ action, sandbox: 1 });
    await next.elapse(50);
    expect(call.done).toMatchObject({ outcome: Outcome.SUCCESS, startKind: StartKind.COLD });
    expect(next.driver.made[0]?.inits).toHaveLength(1);
  });

  it("keeps stem cells as such", async () => {
    const stems = [{ kind: "nodejs:20", memoryMb: 256, min: 2, max: 2 }];
    const before = await open({ settings: { stems } });
    await before.elapse(100);
    const next = await nextLife(before, { settings: { stems } });
    await next.elapse(100);
    expect(next.scheduler.inventories[0]?.sandboxes.map((view) => view.state)).toEqual([
      SandboxState.STEM,
      SandboxState.STEM,
    ]);
    expect(next.driver.made).toHaveLength(2); // and no others are made beside them
  });

  it("does not take over what was running a call, and forgets it", async () => {
    const before = await open();
    const action = before.action("hang");
    const sandbox = await before.sandboxFor(action);
    await (await before.dispatcher()).invoke({ action, sandbox });
    const next = await nextLife(before);
    expect(next.scheduler.inventories[0]?.sandboxes).toEqual([]);
    expect(next.journal.entries.size).toBe(0);
    expect(next.invoker.metrics.notAdopted.value).toBe(1);
  });

  it("does not believe a stem cell that has code", async () => {
    const before = await open();
    const action = before.action("echo");
    const sandbox = await before.sandboxFor(action);
    await (await before.dispatcher()).invoke({ action, sandbox });
    await before.elapse(100);
    for (const [mark, entry] of before.journal.entries) before.journal.entries.set(mark, { ...entry, ask: undefined });
    const next = await nextLife(before);
    expect(next.scheduler.inventories[0]?.sandboxes).toEqual([]);
    expect(next.driver.alive).toEqual([]);
  });

  it("takes over no more than fits, and no kind that it does not run", async () => {
    const before = await open();
    for (let i = 0; i < 4; i += 1) await before.sandboxFor(before.action("echo"));
    const small = await nextLife(before, { settings: { memoryMb: 600 } });
    expect(small.scheduler.inventories[0]?.sandboxes).toHaveLength(2);
    expect(small.journal.entries.size).toBe(2);
    const drained = small.invoker.drain(0);
    await small.elapse(20_000);
    await drained;

    const again = await open();
    await again.sandboxFor(again.action("echo"));
    const other = await nextLife(again, { driver: { kinds: ["python:3.11"] } });
    expect(other.scheduler.inventories[0]?.sandboxes).toEqual([]);
  });

  it("lets go of one whose action was deleted meanwhile", async () => {
    const before = await open();
    const action = before.action("echo");
    const sandbox = await before.sandboxFor(action);
    await (await before.dispatcher()).invoke({ action, sandbox });
    await before.elapse(100);
    before.controller.revisions.clear();
    const next = await nextLife(before);
    await next.elapse(1_000);
    expect(next.driver.alive).toEqual([]);
  });

  it("serves a call that comes before the controllers answer as soon as they do", async () => {
    const before = await open();
    const action = before.action("echo");
    const sandbox = await before.sandboxFor(action);
    await (await before.dispatcher()).invoke({ action, sandbox });
    await before.elapse(100);
    const next = await nextLife(before);
    expect(next.journal).toBeInstanceOf(MemoryJournal);
    const third = await nextLife(next); // and again: one life after the other
    expect(third.scheduler.inventories[0]?.sandboxes).toHaveLength(1);
    const dispatcher = await third.dispatcher();
    const call = await dispatcher.invoke({ action, sandbox: 1 });
    await third.elapse(50);
    expect(call.done).toMatchObject({ outcome: Outcome.SUCCESS, startKind: StartKind.WARM });
  });

  it("finds what the one before left when it was told to stop: what was idle then", async () => {
    const before = await open({ settings: { leaveSandboxes: true } });
    const action = before.action("echo");
    const sandbox = await before.sandboxFor(action);
    const dispatcher = await before.dispatcher();
    await dispatcher.invoke({ action, sandbox });
    const slow = before.action("sleep 1000");
    const busy = await dispatcher.invoke({ action: slow, sandbox: await before.sandboxFor(slow) });
    const hangs = before.action("hang");
    await dispatcher.invoke({ action: hangs, sandbox: await before.sandboxFor(hangs) });
    const drained = before.invoker.drain(5_000);
    await before.elapse(20_000);
    await drained;
    expect(busy.done?.outcome).toBe(Outcome.SUCCESS);
    expect(before.driver.made.map(({ left, destroyed }) => [left, destroyed])).toEqual([
      [true, false],
      [true, false],
      [false, true],
    ]);
    expect(before.clock.pending).toBe(0);

    const next = await nextLife(before, { driver: { inherited: before.driver.made } });
    expect(next.scheduler.inventories[0]?.sandboxes.map((view) => view.revisionId)).toEqual([
      action.revisionId,
      slow.revisionId,
    ]);
  });
});
