// The limits of a namespace, kept by several gateways together: real shares, links and desk under messages that take a
// while, links that break, gateways that die and a desk that is started anew.

import { describe, expect, it } from "vitest";

import type { NamespaceLimits } from "../../internal/core/tenancy/store.js";
import type { SystemLimits } from "../../internal/core/throttle/throttle.js";
import { ThrottleWorld } from "./throttle-world.js";

/** `SEED=1234` repeats one, `SEEDS=5000` runs so many. */
const seeds = process.env["SEED"]
  ? [Number(process.env["SEED"])]
  : Array.from({ length: Number(process.env["SEEDS"] ?? 200) }, (_, i) => i + 1);

const GATEWAYS = ["g1", "g2", "g3"];
const limits = (more: Partial<NamespaceLimits> = {}): NamespaceLimits => ({
  invocationsPerMinute: 1_000_000,
  firesPerMinute: 60,
  concurrentInvocations: 1_000_000,
  ...more,
});

async function aWorld(seed: number, given: Partial<NamespaceLimits>, gateways = GATEWAYS): Promise<ThrottleWorld> {
  const world = new ThrottleWorld(seed, limits(given));
  world.startDesk();
  for (const id of gateways) world.startGateway(id);
  await world.nextMinute();
  return world;
}

function pick<T>(world: ThrottleWorld, items: readonly T[]): T {
  return items[Math.floor(world.random.next() * items.length)] as T;
}

describe("a limit of invocations a minute", () => {
  for (const gateways of [GATEWAYS.slice(0, 1), GATEWAYS.slice(0, 2), GATEWAYS]) {
    it(`is used up exactly, by ${gateways.length} gateways, however the calls fall on them`, async () => {
      for (const seed of seeds) {
        const world = await aWorld(seed, { invocationsPerMinute: 60 }, gateways);
        for (let minute = 0; minute < 3; minute++) {
          const lazy = pick(world, gateways);
          for (let i = 0; i < 120; i++) {
            const at = world.random.next() < 0.9 ? pick(world, gateways) : lazy;
            world.call(at, "ns", 10);
            await world.clock.elapse(world.random.next() < 0.3 ? 200 * world.random.next() : 0);
          }
          await world.nextMinute();
        }
        expect([seed, [...world.admitted.values()]]).toEqual([seed, [60, 60, 60]]);
        expect([seed, [...world.refused.values()]]).toEqual([seed, [60, 60, 60]]);
        expect(world.undecided).toBe(0);
        world.close();
      }
    });
  }

  it("is not exceeded when links break and gateways die, and is used up when those who live ask for it", async () => {
    for (const seed of seeds) {
      const world = await aWorld(seed, { invocationsPerMinute: 200 });
      const { random, network } = world;
      for (let step = 0; step < 50; step++) {
        for (let i = 0; i < 6; i++) world.call(pick(world, [...world.gateways.keys()]), "ns", 5);
        const dice = random.next();
        if (dice < 0.1) network.breakOne(pick(world, [...world.gateways.values()]).bootId);
        else if (dice < 0.13 && world.gateways.size > 1) world.killGateway(pick(world, [...world.gateways.keys()]));
        else if (dice < 0.2) {
          const id = GATEWAYS.find((one) => !world.gateways.has(one));
          if (id !== undefined) world.startGateway(id);
          await world.clock.elapse(50); // found the desk
        }
        await world.clock.elapse(300 * random.next());
      }
      const [admitted = 0] = world.admitted.values();
      expect([seed, admitted <= 200]).toEqual([seed, true]);
      await world.nextMinute();
      // In the next minute, with everybody there, nothing is missing.
      for (const id of GATEWAYS) if (!world.gateways.has(id)) world.startGateway(id);
      await world.clock.elapse(2_000);
      for (let i = 0; i < 300; i++) {
        world.call(pick(world, GATEWAYS), "ns", 5);
        await world.clock.elapse(random.next() < 0.2 ? 100 * random.next() : 0);
      }
      await world.clock.elapse(3_000);
      expect([seed, [...world.admitted.values()].at(-1)]).toEqual([seed, 200]);
      world.close();
    }
  });

  it("loses at most a sixteenth of a minute with a gateway that dies", async () => {
    for (const seed of seeds) {
      const world = await aWorld(seed, { invocationsPerMinute: 320 }, GATEWAYS.slice(0, 2));
      const used = Math.floor(200 * world.random.next());
      for (let i = 0; i < used; i++) {
        world.call("g2", "ns", 5);
        await world.clock.elapse(20 * world.random.next());
      }
      world.killGateway("g2");
      for (let i = 0; i < 400; i++) {
        world.call("g1", "ns", 5);
        await world.clock.elapse(world.random.next() < 0.3 ? 50 : 0);
      }
      await world.nextMinute();
      const [admitted = 0] = world.admitted.values();
      expect([seed, admitted <= 320 && admitted >= 320 - 20 - 10]).toEqual([seed, true]);
      world.close();
    }
  });

  it("is exact over a desk that is started anew within a moment, and nearly twice at most while there is none", async () => {
    for (const seed of seeds) {
      const world = await aWorld(seed, { invocationsPerMinute: 90 });
      const away = seed % 2 === 0 ? 100 : 20_000;
      const killAt = Math.floor(60 * world.random.next());
      for (let i = 0; i < 240; i++) {
        if (i === killAt) {
          world.killDesk();
          world.clock.after(away, () => world.startDesk());
        }
        world.call(pick(world, GATEWAYS), "ns", 5);
        await world.clock.elapse(100 * world.random.next());
      }
      await world.nextMinute();
      const [admitted = 0] = world.admitted.values();
      if (away < 250) expect([seed, admitted]).toEqual([seed, 90]);
      else expect([seed, admitted >= 90 && admitted < 180]).toEqual([seed, true]);
      world.close();
    }
  });
});

describe("a limit of activations in flight", () => {
  it("is never exceeded, and can be had in full by whoever needs it", async () => {
    for (const seed of seeds) {
      const world = await aWorld(seed, { concurrentInvocations: 20 });
      for (let step = 0; step < 100; step++) {
        const crowd = pick(world, GATEWAYS);
        for (let i = Math.floor(8 * world.random.next()); i > 0; i--) {
          world.call(world.random.next() < 0.5 ? crowd : pick(world, GATEWAYS), "ns", 400 * world.random.next());
        }
        await world.clock.elapse(50 * world.random.next());
      }
      expect([seed, world.mostInFlight]).toEqual([seed, 20]);
      await world.clock.elapse(1_000);
      expect(world.inFlight.get("ns")).toBe(0);
      // All of it at one gateway, at once.
      for (let i = 0; i < 30; i++) world.call("g1", "ns", 1_000);
      await world.clock.elapse(100);
      expect([seed, world.inFlight.get("ns"), world.undecided]).toEqual([seed, 20, 0]);
      world.close();
    }
  });

  it("is whole again when a gateway died with some of it", async () => {
    for (const seed of seeds) {
      const world = await aWorld(seed, { concurrentInvocations: 20 });
      for (let i = 0; i < 10; i++) world.call("g2", "ns", 300);
      await world.clock.elapse(100);
      world.killGateway("g2");
      await world.clock.elapse(11_000);
      for (let i = 0; i < 30; i++) world.call("g1", "ns", 1_000);
      await world.clock.elapse(500);
      expect([seed, world.inFlight.get("ns")]).toEqual([seed, 20]);
      world.close();
    }
  });

  it("counts what was taken without asking", async () => {
    const world = await aWorld(1, { concurrentInvocations: 5 });
    const controller = world.gateways.get("g3");
    for (let i = 0; i < 5; i++) controller?.throttles.of("ns").occupy();
    await world.clock.elapse(100);
    world.call("g1", "ns", 10);
    await world.clock.elapse(100);
    expect(world.refused.size).toBe(1);
    controller?.throttles.of("ns").release();
    await world.clock.elapse(100);
    world.call("g1", "ns", 10);
    await world.clock.elapse(100);
    expect([...world.admitted.values()]).toEqual([1]);
    world.close();
  });
});

describe("a rate that the document of an API states", () => {
  const HOUR = { rate: 60, windowMs: 3_600_000 };

  it("is used up exactly by three gateways that come and go without dying", async () => {
    for (const seed of seeds) {
      const world = await aWorld(seed, {});
      await world.clock.elapse(HOUR.windowMs - (world.clock.wallMs() % HOUR.windowMs));
      for (let i = 0; i < 120; i++) {
        world.apiCall(pick(world, GATEWAYS), "k", HOUR);
        if (i % 20 === 19) {
          // As one is replaced: it gives back what it did not use.
          const id = pick(world, GATEWAYS);
          await world.clock.elapse(2_000);
          world.gateways.get(id)?.link.close();
          await world.clock.elapse(100);
          world.killGateway(id);
          world.startGateway(id);
          await world.clock.elapse(100);
        }
        await world.clock.elapse(world.random.next() < 0.3 ? 200 * world.random.next() : 0);
      }
      await world.clock.elapse(2_000);
      expect([seed, [...world.admitted.values()], world.undecided]).toEqual([seed, [60], 0]);
      world.close();
    }
  });

  it("is not exceeded in a second, whatever the delays", async () => {
    const limit = { rate: 9, windowMs: 1_000 };
    for (const seed of seeds) {
      const world = await aWorld(seed, {});
      for (let i = 0; i < 200; i++) {
        world.apiCall(pick(world, GATEWAYS), "k", limit);
        // Seldom enough that a new link is there before the next one breaks: nobody goes by an even share.
        if (i % 60 === 59) world.network.breakOne(pick(world, [...world.gateways.values()]).bootId);
        await world.clock.elapse(40 * world.random.next());
      }
      await world.clock.elapse(3_000);
      expect([seed, Math.max(...world.admitted.values()) <= 9, world.undecided]).toEqual([seed, true, 0]);
      world.close();
    }
  });
});

describe("limits of all namespaces together", () => {
  const sum = (of: ReadonlyMap<string, number>): number => [...of.values()].reduce((a, b) => a + b, 0);

  async function aSystem(seed: number, system: SystemLimits): Promise<ThrottleWorld> {
    const world = new ThrottleWorld(seed, limits(), system);
    world.startDesk();
    for (const id of GATEWAYS) world.startGateway(id);
    await world.nextMinute();
    return world;
  }

  it("use up a minute exactly, whichever gateways and namespaces the calls are of", async () => {
    for (const seed of seeds) {
      const world = await aSystem(seed, { invocationsPerMinute: 70 });
      for (let i = 0; i < 120; i++) {
        world.call(pick(world, GATEWAYS), pick(world, ["a", "b", "c"]), 300 * world.random.next());
        await world.clock.elapse(world.random.next() < 0.2 ? 400 * world.random.next() : 0);
      }
      await world.clock.elapse(2_000);
      expect([seed, sum(world.admitted), world.undecided]).toEqual([seed, 70, 0]);
      world.close();
    }
  });

  it("are never exceeded by what is in flight, and can be had in full", async () => {
    for (const seed of seeds) {
      const world = await aSystem(seed, { concurrentInvocations: 15 });
      let most = 0;
      for (let i = 0; i < 200; i++) {
        world.call(pick(world, GATEWAYS), pick(world, ["a", "b", "c"]), 300 * world.random.next());
        await world.clock.elapse(30 * world.random.next());
        most = Math.max(most, sum(world.inFlight));
      }
      await world.clock.elapse(2_000);
      expect([seed, most <= 15, sum(world.inFlight)]).toEqual([seed, true, 0]);
      for (let i = 0; i < 30; i++) world.call("g2", pick(world, ["a", "b"]), 1_000);
      await world.clock.elapse(500);
      expect([seed, sum(world.inFlight), world.undecided]).toEqual([seed, 15, 0]);
      world.close();
    }
  });
});
