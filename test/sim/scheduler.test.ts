// What a scheduler does for dispatchers, seen from outside: real scheduler and dispatchers over simulated links, with
// nothing broken but what a test breaks.

import { afterEach, describe, expect, it } from "vitest";

import { shardOf, type Coordination, type Membership } from "../../internal/core/coordination/coordination.js";
import { SandboxState } from "../../internal/gen/weft/link/v1/fleet.pb.js";
import { fleetLink, leaseLink } from "../../internal/rpc/link-methods.js";
import { anAsk, FabricWorld, type CallHistory, type WorldOptions } from "./fabric-world.js";

const worlds: FabricWorld[] = [];

afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close();
});

async function aWorld(options: Partial<WorldOptions> = {}): Promise<FabricWorld> {
  const world = new FabricWorld({ seed: 1, ...options });
  worlds.push(world);
  await world.open();
  return world;
}

interface Zombie {
  /** Cuts it off from the store, which it does not notice. */
  sever(): void;
  /** Makes it order sandboxes, as if dispatchers still spoke to it. */
  orders(names: readonly string[]): void;
}

/** A scheduler s1 that believes for ever that it may command. */
async function aZombie(world: FabricWorld): Promise<Zombie> {
  await world.startScheduler("s1", (real): Coordination => ({
    join: async (member, ttlMs): Promise<Membership> => {
      const membership = await real.join(member, ttlMs);
      const forever = new AbortController().signal;
      memberships.set(forever, membership);
      return { held: () => true, lost: forever, leave: () => membership.leave() };
    },
    watchMembers: (listener, signal) => real.watchMembers(listener, signal),
    listMembers: () => real.listMembers(),
    acquireShards: (mine, owner, shards) => real.acquireShards(memberships.get(mine.lost) ?? mine, owner, shards),
    shardOwners: () => real.shardOwners(),
    close: () => real.close(),
  }));
  const process = world.schedulers.get("s1");
  return {
    sever: () => process?.coordination.sever(),
    orders: (names) => {
      const link = world.network.of("ghost").dial("s1:1", leaseLink);
      link.send({
        item: { $case: "hello", value: { dispatcherId: "g", bootId: "g", wireVersion: 1, linkSequence: 1 } },
      });
      link.send({ item: { $case: "held", value: { leases: [] } } });
      for (const name of names) {
        const action = anAsk(name, { revisionId: `${name}@ghost` });
        link.send({
          item: {
            $case: "capacity",
            value: {
              request: 1,
              action,
              shortage: 1,
              oldestWaitMs: 0,
              arrivalsPerSecond: 0,
              serviceMs: 0,
              shard: shardOf(action.key),
            },
          },
        });
      }
    },
  };
}

const memberships = new Map<AbortSignal, Membership>();

const results = (calls: readonly CallHistory[]): string[] => calls.flatMap((call) => call.results);

describe("starting sandboxes", () => {
  it("starts exactly one for a lone cold call, and none for the next", async () => {
    const world = await aWorld();
    const first = world.call("d1", anAsk("hello"));
    await world.run(1_000);
    expect(first.results).toEqual(["done"]);
    expect(world.created).toBe(1);
    const second = world.call("d1", anAsk("hello"));
    await world.run(1_000);
    expect(second.results).toEqual(["done"]);
    expect(world.created).toBe(1);
  });

  it("moves an idle slot to another dispatcher instead of starting a second sandbox", async () => {
    const world = await aWorld();
    world.call("d1", anAsk("hello"));
    await world.run(400);
    const other = world.call("d2", anAsk("hello"));
    await world.run(200);
    expect(other.results).toEqual(["done"]);
    expect(world.created).toBe(1);
  });

  it("starts far fewer sandboxes than calls for a burst of a function known to be short", async () => {
    const world = await aWorld({ memoryMb: 32_768 });
    for (let i = 0; i < 20; i++) {
      world.call("d1", anAsk("hello"));
      await world.run(60);
    }
    await world.run(3_000); // its sandboxes are evicted, its service time is remembered
    const before = world.created;
    const burst = Array.from({ length: 60 }, () => world.call("d1", anAsk("hello")));
    await world.run(4_000);
    expect(results(burst)).toEqual(burst.map(() => "done"));
    expect(world.created - before).toBeGreaterThan(1);
    expect(world.created - before).toBeLessThan(40);
  });

  it("keeps to the action's limit of instances", async () => {
    const world = await aWorld();
    const calls = Array.from({ length: 12 }, () => world.call("d1", anAsk("limited", { maxInstances: 2 })));
    await world.run(4_000);
    expect(results(calls)).toEqual(calls.map(() => "done"));
    expect(world.created).toBe(2);
  });

  it("lets items wait while nothing has room, and serves them when something has", async () => {
    const world = await aWorld({ invokers: 1, memoryMb: 512 });
    const large = world.call("d1", anAsk("large", { memoryMb: 1_024 }));
    await world.run(1_000);
    expect(large.results).toEqual([]);
    expect(JSON.stringify(world.schedulers.get("s1")?.scheduler.debug())).toContain("no 1024 MiB to spare");
    world.killInvoker("i1");
    (world.options as { memoryMb: number }).memoryMb = 2_048;
    await world.startInvoker("i1");
    await world.run(1_500);
    expect(large.results).toEqual(["done"]);
  });

  it("says so when no invoker is registered, and serves the item when one comes", async () => {
    const world = await aWorld({ invokers: 0 });
    const call = world.call("d1", anAsk("hello"));
    await world.run(500);
    expect(call.results).toEqual([]);
    expect(JSON.stringify(world.schedulers.get("s1")?.scheduler.debug())).toContain("no invoker is registered");
    await world.startInvoker("i1");
    await world.run(1_000);
    expect(call.results).toEqual(["done"]);
  });

  it("refuses a kind that no invoker runs", async () => {
    const world = await aWorld();
    const call = world.call("d1", anAsk("cobol", { kind: "cobol:60" }));
    await world.run(200);
    expect(call.reasons).toEqual(["UNKNOWN_KIND"]);
  });

  it("refuses waiting calls after three failed starts, tries again later, and recovers", async () => {
    const world = await aWorld();
    world.faults.startFails = 1;
    const doomed = world.call("d1", anAsk("broken"));
    await world.run(2_000);
    expect(doomed.reasons).toEqual(["START_FAILED"]);
    const atOnce = world.call("d1", anAsk("broken"));
    await world.run(50);
    expect(atOnce.results.length + atOnce.reasons.length).toBeLessThanOrEqual(2);
    world.faults.startFails = 0;
    await world.run(3_000);
    const later = world.call("d1", anAsk("broken"));
    await world.run(3_000);
    expect(later.results).toEqual(["done"]);
  });
});

describe("sharing slots", () => {
  it("takes slots from a dispatcher that never runs out of work for one that starves", async () => {
    const world = await aWorld();
    const ask = anAsk("hot", { maxInstances: 2 });
    let stop = false;
    const keepBusy = (): void => {
      if (stop) return;
      while ((world.dispatchers.get("d1")?.dispatcher.stats().waiting ?? 0) < 20) world.call("d1", ask);
      world.clock.after(5, keepBusy);
    };
    keepBusy();
    await world.run(1_000);
    const starving = world.call("d2", ask);
    await world.run(1_500);
    expect(starving.results).toEqual(["done"]);
    stop = true;
    await world.run(3_000);
    expect(world.unanswered()).toEqual([]);
  });

  it("lets holders keep their slots again once nobody else waits", async () => {
    const world = await aWorld();
    const ask = anAsk("hello", { maxInstances: 1 });
    for (let i = 0; i < 3; i++) {
      world.call("d1", ask);
      world.call("d2", ask);
    }
    await world.run(1_500);
    expect(world.unanswered()).toEqual([]);
    for (const id of ["d1", "d2", "d1"]) {
      world.call(id, ask);
      await world.run(500);
      expect(world.dispatchers.get(id)?.dispatcher.stats().leases).toBe(1);
    }
  });

  it("does not grant slots of an invoker that is silent, and does again when it speaks", async () => {
    const world = await aWorld({ idleMs: 60_000 });
    const ask = anAsk("hello", { maxInstances: 2 });
    const first = world.call("d1", ask);
    await world.run(400);
    const [place] = [...world.invokers.values()].filter((invoker) => invoker.revisions().length > 0);
    world.killDispatcher("d1"); // its slot is free now
    await world.run(100);
    world.network.stall(place?.process ?? "", 3_000);
    await world.run(1_200);
    const second = world.call("d2", ask);
    await world.run(600);
    expect([first.results, second.results, world.created]).toEqual([["done"], ["done"], 2]);
    await world.run(2_500);
    const more = Array.from({ length: 20 }, () => world.call("d2", ask));
    await world.run(3_000);
    expect(results(more)).toEqual(more.map(() => "done"));
    expect(
      world.schedulers
        .get("s1")
        ?.scheduler.describe()
        .invokers.map((one) => one.suspect),
    ).toEqual([false, false, false]);
  });

  it("frees the slots of a dispatcher that died without waiting for its session to expire", async () => {
    const world = await aWorld();
    const ask = anAsk("hello", { maxInstances: 1 });
    world.call("d1", ask);
    await world.run(400);
    world.killDispatcher("d1");
    const call = world.call("d2", ask);
    await world.run(300); // the session would live for 1,500 ms
    expect(call.results).toEqual(["done"]);
    expect(world.created).toBe(1);
  });
});

describe("an action's new revision", () => {
  it("has the idle sandboxes of the old one end", async () => {
    const world = await aWorld();
    const old = anAsk("hello");
    world.call("d1", old);
    await world.run(400);
    const young = { ...old, revisionId: "hello@2" };
    const call = world.call("d1", young);
    await world.run(600);
    expect(call.results).toEqual(["done"]);
    expect([...world.invokers.values()].flatMap((invoker) => invoker.revisions())).toEqual(["hello@2"]);
  });
});

describe("an invoker that was cut off", () => {
  it("cannot bring back, by a late report, a sandbox that ended meanwhile", async () => {
    const world = await aWorld({ invokers: 0 });
    await world.store
      .connection()
      .join({ role: "invoker", id: "i9", bootId: "i9", address: "i9:1", zone: "", wireVersion: 1 }, 60_000);
    const view = {
      sandbox: 1,
      state: SandboxState.WARM,
      actionKey: "guest/hello",
      revisionId: "hello@1",
      kind: "nodejs:20",
      memoryMb: 256,
      concurrency: 1,
      running: 0,
      holders: [],
      idleMs: 0,
    };
    const connect = (sandboxes: (typeof view)[]) => {
      const link = world.network.of("i9").dial("s1:1", fleetLink);
      const register = {
        invokerId: "i9",
        bootId: "i9",
        address: "i9:1",
        memoryMb: 1_024,
        kinds: ["nodejs:20"],
        driver: "sim",
        zone: "",
        wireVersion: 1,
        caveats: [],
      };
      link.send({ item: { $case: "register", value: register } });
      link.send({ item: { $case: "inventory", value: { sandboxes, highestEpoch: 0 } } });
      return link;
    };
    const slots = (): number | undefined => world.schedulers.get("s1")?.scheduler.audit().slots;
    connect([view]).close();
    await world.run(50);
    expect(slots()).toBe(1);
    const link = connect([]);
    link.send({ item: { $case: "sandbox", value: { order: 0, view, end: 0, message: "", phases: undefined } } });
    await world.run(50);
    expect(slots()).toBe(0);
  });
});

describe("a scheduler that is started again", () => {
  it("adopts what is held: the next calls run in the same sandbox, and none is started", async () => {
    const world = await aWorld();
    world.call("d1", anAsk("hello"));
    await world.run(400);
    await world.killScheduler("s1");
    const meanwhile = world.call("d1", anAsk("hello"));
    await world.run(100);
    expect(meanwhile.results).toEqual(["done"]); // nobody is asked for a slot that is held
    await world.startScheduler("s1");
    await world.run(900);
    const scheduler = world.schedulers.get("s1")?.scheduler;
    expect(scheduler?.audit().held).toBe(world.heldByDispatchers());
    expect(scheduler?.describe()).toMatchObject({ leases: 1, shards: 1_024 });
    const after = world.call("d1", anAsk("hello"));
    await world.run(400);
    const other = world.call("d2", anAsk("hello"));
    await world.run(400);
    expect([...after.results, ...other.results]).toEqual(["done", "done"]);
    expect(world.created).toBe(1);
    expect(world.nacks).toBe(0);
  });

  it("describes its fleet", async () => {
    const world = await aWorld({ invokers: 2 });
    world.call("d1", anAsk("hello"));
    await world.run(400);
    const { invokers } = world.schedulers.get("s1")?.scheduler.describe() ?? { invokers: [] };
    expect(invokers.map((invoker) => [invoker.register?.invokerId, invoker.suspect])).toEqual([
      ["i1", false],
      ["i2", false],
    ]);
    expect(invokers.flatMap((invoker) => invoker.sandboxes).map((view) => [view.actionKey, view.state])).toEqual([
      ["guest/hello", SandboxState.WARM],
    ]);
  });
});

describe("a scheduler whose lease is in doubt", () => {
  it("commands nothing, while warm calls go on, and goes on where it was when the doubt is over", async () => {
    const world = await aWorld();
    world.call("d1", anAsk("hello"));
    await world.run(400);
    const scheduler = world.schedulers.get("s1");
    scheduler?.coordination.sever();
    await world.run(600);
    world.call("d1", anAsk("hello")); // keeps its sandbox from being evicted
    await world.run(700); // beyond what the guard believes, short of the lease's end
    expect(scheduler?.scheduler.readiness()).toContain("in doubt");
    const warm = world.call("d1", anAsk("hello"));
    const cold = world.call("d1", anAsk("other"));
    await world.run(150);
    const moved = world.call("d2", anAsk("hello")); // there is a free slot, but it takes a grant
    await world.run(10);
    expect([warm.results, cold.results, moved.results, world.created]).toEqual([["done"], [], [], 1]);
    for (const invoker of (scheduler?.scheduler.debug() as { invokers: { orders: unknown[] }[] }).invokers) {
      expect(invoker.orders).toEqual([]);
    }
    scheduler?.coordination.mend();
    await world.run(1_000);
    expect([cold.results, moved.results]).toEqual([["done"], ["done"]]);
  });

  // A process that is stopped for longer than its lease and believes its clock: what LeaseGuard prevents, forced.
  it.each(Array.from({ length: 50 }, (_, i) => i + 1))(
    "is refused by invokers once its successor has spoken, whatever it believes (seed %i)",
    async (seed) => {
      const world = new FabricWorld({ seed, invokers: 0, dispatchers: 0 });
      worlds.push(world);
      const zombie = await aZombie(world);
      for (const id of ["i1", "i2", "i3"]) await world.startInvoker(id);
      for (const id of ["d1", "d2"]) await world.startDispatcher(id);
      await world.run(500);
      const names = ["a", "b", "c", "d"];
      const asks = names.map((name) => anAsk(name, { concurrency: 2 }));
      const burst = (): void => {
        for (const ask of asks) {
          for (const id of world.dispatchers.keys()) {
            for (let i = Math.floor(world.random.next() * 4); i > 0; i--) world.call(id, ask);
          }
        }
      };
      burst();
      await world.run(300);
      zombie.sever();
      // Its lease runs out unnoticed by it; one dispatcher keeps its link to it, and so do the invokers.
      await world.run(1_600);
      await world.startScheduler("s2");
      for (let i = 0; i < 20; i++) {
        burst();
        await world.run(100);
      }
      const fencedBefore = world.fenced.length;
      zombie.orders(names);
      await world.run(500);
      expect(world.fenced.length).toBeGreaterThan(fencedBefore);
      expect(world.fenced.every(({ scheduler }) => scheduler === "s1")).toBe(true);
      await world.killScheduler("s1");
      await world.run(5_000);
      expect(world.unanswered()).toEqual([]);
      expect(world.schedulers.get("s2")?.scheduler.audit().held).toBe(world.heldByDispatchers());
    },
  );
});
