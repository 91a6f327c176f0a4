// Dispatchers and their links: leases, credits, broken links, and what is answered about calls that were on them.

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { InvokerWorld, type FakeDispatcher } from "../../test/harness/invoker-world.js";
import type { ActionAsk } from "../core/dispatch/call.js";
import { Invoke, CallStatus, NackReason, Outcome, StartKind } from "../gen/weft/link/v1/work.pb.js";

let world: InvokerWorld;
let action: ActionAsk;
let sandbox: number;
let dispatcher: FakeDispatcher;

async function open(script = "echo", settings = {}, concurrency = 1): Promise<void> {
  world = new InvokerWorld({ settings });
  await world.start();
  action = world.action(script, { concurrency });
  sandbox = await world.sandboxFor(action);
  dispatcher = await world.dispatcher();
}

afterEach(async () => {
  const drained = world.invoker.drain(0);
  await world.elapse(10_000);
  await drained;
  expect(world.clock.pending).toBe(0);
});

describe("a link", () => {
  beforeEach(() => open());

  it("is welcomed with credits", () => {
    expect(dispatcher.welcome).toEqual({
      invokerId: "i1",
      bootId: "i-boot-1",
      wireVersion: 1,
      callCredits: 1_024,
      byteCredits: 33_554_432,
    });
  });

  it("that does not begin with hello is ended", async () => {
    const stranger = await world.dispatcher("g2");
    const link = stranger.connect();
    link.send({
      item: { $case: "hello", value: { dispatcherId: "g2", bootId: "x", wireVersion: 1, linkSequence: 9 } },
    });
    await world.settle();
    expect(stranger.closedBecause).toBe("closed");
  });

  it.each<[name: string, connect: (d: FakeDispatcher) => void]>([
    ["speaks another version", (d) => d.connect({ wireVersion: 2 })],
    ["is older than another of the same boot", (d) => d.connect({ linkSequence: 1 })],
  ])("that %s is refused", async (_, connect) => {
    connect(dispatcher);
    await world.settle();
    expect([dispatcher.welcome, dispatcher.closedBecause]).toEqual([undefined, "closed"]);
  });

  it("with a call that has no lease is ended", async () => {
    dispatcher.link?.send({
      item: { $case: "invoke", value: Invoke.create({ call: 1, activationId: new Uint8Array(16) }) },
    });
    await world.settle();
    expect(dispatcher.closedBecause).toBe("closed");
  });

  it("carries many calls one after the other in a warm sandbox, and one init", async () => {
    for (let i = 0; i < 50; i += 1) {
      const made = await dispatcher.invoke({ action, sandbox, params: `{"i":${i}}` });
      expect(made.done).toMatchObject({
        outcome: Outcome.SUCCESS,
        startKind: i === 0 ? StartKind.COLD : StartKind.WARM,
        initMs: i === 0 ? 0 : undefined,
      });
    }
    expect(world.driver.made).toHaveLength(1);
    expect(world.driver.made[0]?.inits).toHaveLength(1);
    // One timer watches the sandbox, however many calls it has served.
    await world.elapse(100);
    expect(world.records()).toHaveLength(50);
  });
});

describe("a call is sent back", () => {
  it("when its lease was granted to somebody else since", async () => {
    await open();
    const other = await world.dispatcher("g2");
    await dispatcher.invoke({ action, sandbox, sequence: 1 });
    expect((await other.invoke({ action, sandbox, sequence: 2 })).done?.outcome).toBe(Outcome.SUCCESS);
    expect((await dispatcher.invoke({ action, sandbox, sequence: 1 })).nack).toBe(NackReason.STALE_LEASE);
    expect((await dispatcher.invoke({ action, sandbox, sequence: 3 })).done?.outcome).toBe(Outcome.SUCCESS);
    expect((await other.invoke({ action, sandbox, epoch: 11, sequence: 1 })).done?.outcome).toBe(Outcome.SUCCESS);
  });

  it("when there is no such sandbox, or no such slot", async () => {
    await open();
    expect((await dispatcher.invoke({ action, sandbox: 99 })).nack).toBe(NackReason.STALE_LEASE);
    expect((await dispatcher.invoke({ action, sandbox, slot: 1 })).nack).toBe(NackReason.STALE_LEASE);
  });

  it("when its slot is busy, also for somebody who holds a newer grant", async () => {
    await open("sleep 100");
    const first = await dispatcher.invoke({ action, sandbox });
    expect((await dispatcher.invoke({ action, sandbox })).nack).toBe(NackReason.SLOT_BUSY);
    const other = await world.dispatcher("g2");
    expect((await other.invoke({ action, sandbox, sequence: 2 })).nack).toBe(NackReason.SLOT_BUSY);
    await world.elapse(100);
    expect(first.done?.outcome).toBe(Outcome.SUCCESS);
    expect(world.driver.made[0]?.outstandingMost).toBe(1);
  });

  it("when its token does not prove the grant", async () => {
    await open();
    expect((await dispatcher.invoke({ action, sandbox, token: new Uint8Array(16) })).nack).toBe(NackReason.BAD_TOKEN);
    expect((await dispatcher.invoke({ action, sandbox, token: new Uint8Array() })).nack).toBe(NackReason.BAD_TOKEN);
    expect((await dispatcher.invoke({ action, sandbox })).done).toBeDefined();
    // Shown once, it need not be shown again.
    expect((await dispatcher.invoke({ action, sandbox, token: new Uint8Array() })).done).toBeDefined();
  });

  it("when the sandbox serves another revision", async () => {
    await open();
    expect((await dispatcher.invoke({ action, sandbox, revisionId: "r9" })).nack).toBe(NackReason.WRONG_REVISION);
  });

  it("when more is unfinished than was credited", async () => {
    await open("sleep 100", { callCredits: 2 }, 5);
    const calls = [];
    for (const slot of [0, 1, 2]) calls.push(await dispatcher.invoke({ action, sandbox, slot }));
    expect(calls.map((c) => c.nack)).toEqual([undefined, undefined, NackReason.OVER_CREDIT]);
    await world.elapse(100);
    expect((await dispatcher.invoke({ action, sandbox, slot: 2 })).nack).toBeUndefined();
  });

  it("when more bytes are unfinished than were credited, unless it is alone", async () => {
    await open("sleep 100", { byteCredits: 100 }, 5);
    const large = `{"x":"${"y".repeat(200)}"}`;
    const calls = [];
    for (const slot of [0, 1]) calls.push(await dispatcher.invoke({ action, sandbox, slot, params: large }));
    expect(calls.map((c) => c.nack)).toEqual([undefined, NackReason.OVER_CREDIT]);
    await world.elapse(100);
    expect((await dispatcher.invoke({ action, sandbox, slot: 1, params: large })).nack).toBeUndefined();
    await world.elapse(100);
    const small = `{"x":"${"y".repeat(30)}"}`;
    for (const slot of [0, 1]) {
      expect((await dispatcher.invoke({ action, sandbox, slot, params: small })).nack).toBeUndefined();
    }
  });

  it("when it is durable and its record could not be kept", async () => {
    await open("echo", { spoolRecords: 1 });
    world.controller.stop();
    for (const async of [true, true]) await dispatcher.invoke({ action, sandbox, async });
    await world.elapse(50);
    expect((await dispatcher.invoke({ action, sandbox, async: true })).nack).toBe(NackReason.OVER_CREDIT);
    expect((await dispatcher.invoke({ action, sandbox })).done?.outcome).toBe(Outcome.SUCCESS);
    world.controller.serve();
    await world.elapse(5_000);
    expect((await dispatcher.invoke({ action, sandbox, async: true })).done?.outcome).toBe(Outcome.SUCCESS);
  });
});

describe("a link that breaks", () => {
  it("stops no call: it ends, is recorded, and its end is told on the next link", async () => {
    await open("sleep 100");
    const made = await dispatcher.invoke({ action, sandbox });
    world.network.breakLinks("invoker:1");
    dispatcher.connect();
    await world.settle();
    expect((await dispatcher.ask(made))[0]?.status).toBe(CallStatus.RUNNING);
    await world.elapse(100);
    const [status] = await dispatcher.ask(made);
    expect(status).toMatchObject({ status: CallStatus.DONE, done: { outcome: Outcome.SUCCESS, durationMs: 100 } });
    expect(made.answers).toBe(0);
    expect((await world.recordOf(made.activationId)).outcome).toBe(Outcome.SUCCESS);
  });

  it("proves with unknown that a call did not start, and it never will", async () => {
    await open("sleep 100");
    const old = dispatcher.link;
    const lost = dispatcher.send({ action, sandbox }); // on its way
    world.network.breakLinks("invoker:1");
    dispatcher.connect();
    await world.settle();
    expect((await dispatcher.ask(lost))[0]?.status).toBe(CallStatus.UNKNOWN);
    expect(old?.open).toBe(false);
    await world.elapse(1_000);
    expect(world.driver.made[0]?.runs).toEqual([]);
  });

  it("is ended by a newer link of the same boot before that is welcomed, with what was unread on it", async () => {
    await open("echo");
    const old = dispatcher.link!;
    // The invoker has not noticed that the old link is dead. What is still said on it is not heard.
    dispatcher.connect();
    await world.settle();
    expect(dispatcher.welcome).toBeDefined();
    expect(old.open).toBe(false);
    const delayed = dispatcher.send({ action, sandbox });
    expect(old.send({ item: { $case: "statusQuery", value: { activationIds: [] } } })).toBe(false);
    await world.settle();
    expect(delayed.done?.outcome).toBe(Outcome.SUCCESS);
    expect(world.scheduler.gone).toEqual([]);
  });

  it("of an older boot is ended, and its slots are nobody's at once", async () => {
    await open("echo");
    await dispatcher.invoke({ action, sandbox });
    const next = await world.dispatcher("g1", "g1-boot-2");
    expect(dispatcher.closedBecause).toBe("closed");
    expect(next.welcome).toBeDefined();
    expect(world.scheduler.gone).toEqual(["g1-boot-1"]);
    // The old life comes back from a pause.
    dispatcher.connect();
    await world.settle();
    expect([dispatcher.welcome, dispatcher.closedBecause]).toEqual([undefined, "closed"]);
    expect(next.closedBecause).toBeUndefined();
  });

  it("tells the schedulers whose slots are free", async () => {
    await open("echo");
    await dispatcher.invoke({ action, sandbox });
    expect(world.scheduler.gone).toEqual([]);
    world.network.breakLinks("invoker:1");
    await world.settle();
    expect(world.scheduler.gone).toEqual(["g1-boot-1"]);
    // What it held is void until it is granted and proven again.
    dispatcher.connect();
    await world.settle();
    expect((await dispatcher.invoke({ action, sandbox, token: new Uint8Array() })).nack).toBe(NackReason.BAD_TOKEN);
    expect((await dispatcher.invoke({ action, sandbox, sequence: 2 })).done).toBeDefined();
  });

  it("is answered for whoever asks: a controller takes over from a dead one", async () => {
    await open("sleep 100", {}, 2);
    const made = await dispatcher.invoke({ action, sandbox, async: true });
    const heir = await world.dispatcher("g1", "g1-boot-2");
    const other = await world.dispatcher("g2");
    for (const one of [heir, other]) expect((await one.ask(made))[0]?.status).toBe(CallStatus.RUNNING);
    await world.elapse(200);
    for (const one of [heir, other]) expect((await one.ask(made))[0]?.status).toBe(CallStatus.DONE);
  });

  it("never says unknown of a durable call whose record is not acknowledged, however long ago it ended", async () => {
    await open("echo");
    world.controller.stop();
    const made = await dispatcher.invoke({ action, sandbox, async: true });
    await world.elapse(3_600_000);
    const heir = await world.dispatcher("g1", "g1-boot-2");
    const later = await world.dispatcher("g1", "g1-boot-3");
    expect(heir.closedBecause).toBe("closed");
    await world.elapse(3_600_000);
    const last = await world.dispatcher("g2");
    for (const one of [later, last]) expect((await one.ask(made))[0]?.status).toBe(CallStatus.DONE);
    world.controller.serve();
    await world.elapse(10_000);
    expect((await last.ask(made))[0]?.status).toBe(CallStatus.UNKNOWN);
  });

  it("that is answered with unknown is started by the one who was told, and by nobody else any more", async () => {
    await open("echo");
    const activationId = "7".repeat(32);
    const heir = await world.dispatcher("g2");
    expect((await heir.ask({ activationId } as never))[0]?.status).toBe(CallStatus.UNKNOWN);
    // What the other one sent before it was believed dead arrives after all.
    const late = await dispatcher.invoke({ action, sandbox, async: true, activationId, sequence: 1 });
    expect(late.nack).toBe(NackReason.STALE_LEASE);
    const made = await heir.invoke({ action, sandbox, async: true, activationId, sequence: 2 });
    expect(made.done?.outcome).toBe(Outcome.SUCCESS);
    expect(world.driver.made[0]?.runs).toHaveLength(1);
  });

  it("answers about a call that was sent back that it did not start", async () => {
    await open();
    const made = await dispatcher.invoke({ action, sandbox: 99 });
    expect((await dispatcher.ask(made))[0]?.status).toBe(CallStatus.UNKNOWN);
  });
});
