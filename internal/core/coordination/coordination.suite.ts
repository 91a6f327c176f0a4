import { describe, expect, it, onTestFinished } from "vitest";

import { eventually } from "../../../test/harness/eventually.js";
import type { Coordination, Member, Role } from "./coordination.js";

/** A process's connection to the store under test, with what may happen to it. */
export interface TestConnection {
  readonly coordination: Coordination;
  /** Cuts it off from the store, both ways. */
  sever(): Promise<void> | void;
  mend(): Promise<void> | void;
}

export interface TestStore {
  /** Shortest lease that the store gives. */
  readonly ttlMs: number;
  /** Opens a further connection to the same store. */
  connect(): Promise<TestConnection>;
  /** Lets time pass, when the store's time does not pass by itself. */
  pass(ms: number): Promise<void>;
  close(): Promise<void>;
}

export function testMember(id: string, more: Partial<Member> = {}): Member {
  return { role: "invoker", id, bootId: `${id}-boot`, address: "127.0.0.1:1", zone: "z", wireVersion: 1, ...more };
}

/** What every Coordination promises. Each implementation's test file calls it. */
export function coordinationSuite(name: string, open: () => Promise<TestStore>): void {
  const opened = async (): Promise<TestStore> => {
    const store = await open();
    onTestFinished(() => store.close());
    return store;
  };
  const ids = (members: readonly Member[]): string[] => members.map((m) => m.id).sort();
  /** Looks until it holds, while the store's time passes. */
  const comes = (store: TestStore, look: () => unknown): Promise<unknown> =>
    eventually(
      async () => {
        await store.pass(50);
        return look();
      },
      { withinMs: 15_000 },
    );
  const watch = (
    coordination: Coordination,
  ): { lists: (readonly Member[])[]; last: () => string[]; stop: () => void } => {
    const lists: (readonly Member[])[] = [];
    const stop = new AbortController();
    coordination.watchMembers({ members: (all) => lists.push(all) }, stop.signal);
    onTestFinished(() => {
      stop.abort();
    });
    return {
      lists,
      last: () => ids(lists.at(-1) ?? []),
      stop: () => {
        stop.abort();
      },
    };
  };

  describe(`${name} keeps the Coordination contract`, () => {
    it("lists a member as it joined, until it leaves", async () => {
      const store = await opened();
      const { coordination } = await store.connect();
      const member = testMember("a", { role: "gateway", address: "10.0.0.1:77", zone: "north" });
      const membership = await coordination.join(member, store.ttlMs);
      expect(await coordination.listMembers()).toEqual([member]);
      expect(membership.held()).toBe(true);
      await membership.leave();
      expect(await coordination.listMembers()).toEqual([]);
      expect(membership.held()).toBe(false);
      expect(membership.lost.aborted).toBe(false);
      await membership.leave();
    });

    it("keeps members of different roles apart though they have the same id", async () => {
      const store = await opened();
      const { coordination } = await store.connect();
      for (const role of ["gateway", "controller", "scheduler", "invoker"] satisfies Role[]) {
        await coordination.join(testMember("same", { role }), store.ttlMs);
      }
      expect((await coordination.listMembers()).map((m) => m.role).sort()).toEqual([
        "controller",
        "gateway",
        "invoker",
        "scheduler",
      ]);
    });

    it("keeps a member for much longer than its TTL", async () => {
      const store = await opened();
      const { coordination } = await store.connect();
      const membership = await coordination.join(testMember("a"), store.ttlMs);
      for (let i = 0; i < 30; i++) {
        await store.pass(store.ttlMs / 20);
        expect(membership.held()).toBe(true);
      }
      expect(ids(await coordination.listMembers())).toEqual(["a"]);
      expect(membership.lost.aborted).toBe(false);
    });

    it("tells a listener of the list at the start and of every change, also by other processes", async () => {
      const store = await opened();
      const [here, there] = [await store.connect(), await store.connect()];
      await there.coordination.join(testMember("a"), store.ttlMs);
      const seen = watch(here.coordination);
      await comes(store, () => {
        expect(seen.last()).toEqual(["a"]);
      });
      const b = await there.coordination.join(testMember("b"), store.ttlMs);
      await comes(store, () => {
        expect(seen.last()).toEqual(["a", "b"]);
      });
      await b.leave();
      await comes(store, () => {
        expect(seen.last()).toEqual(["a"]);
      });
    });

    it("tells a listener of an empty list too", async () => {
      const store = await opened();
      const seen = watch((await store.connect()).coordination);
      await comes(store, () => {
        expect(seen.lists).toEqual([[]]);
      });
    });

    it("tells a later listener of the list although nothing changes", async () => {
      const store = await opened();
      const { coordination } = await store.connect();
      await coordination.join(testMember("a"), store.ttlMs);
      const first = watch(coordination);
      await comes(store, () => first.last().length === 1);
      const second = watch(coordination);
      await comes(store, () => {
        expect(second.last()).toEqual(["a"]);
      });
    });

    it("tells nothing after the signal was aborted", async () => {
      const store = await opened();
      const { coordination } = await store.connect();
      const [stopped, running] = [watch(coordination), watch(coordination)];
      await comes(store, () => stopped.lists.length > 0);
      stopped.stop();
      const before = stopped.lists.length;
      await coordination.join(testMember("a"), store.ttlMs);
      await comes(store, () => running.last().length === 1);
      expect(stopped.lists.length).toBe(before);
    });

    it("replaces the record of an earlier life at once and frees its shards", async () => {
      const store = await opened();
      const [before, after] = [await store.connect(), await store.connect()];
      const old = testMember("s", { role: "scheduler", bootId: "one" });
      const oldMembership = await before.coordination.join(old, store.ttlMs);
      await before.coordination.acquireShards(oldMembership, old, [1, 2]);
      await before.sever(); // as a process that died: its lease lives on

      const young = { ...old, bootId: "two", address: "127.0.0.1:2" };
      const membership = await after.coordination.join(young, store.ttlMs);
      expect(await after.coordination.listMembers()).toEqual([young]);
      const taken = await after.coordination.acquireShards(membership, young, [1, 2]);
      expect(taken.map((s) => s.shard)).toEqual([1, 2]);

      await store.pass(store.ttlMs * 1.5);
      expect(await after.coordination.listMembers()).toEqual([young]);
      expect((await after.coordination.shardOwners()).size).toBe(2);
    });

    it("tells a replaced process that its lease is lost, and does not let it push out its successor", async () => {
      const store = await opened();
      const [before, after] = [await store.connect(), await store.connect()];
      const old = testMember("a", { bootId: "one" });
      const young = { ...old, bootId: "two" };
      const oldMembership = await before.coordination.join(old, store.ttlMs);
      const membership = await after.coordination.join(young, store.ttlMs);
      await comes(store, () => oldMembership.lost.aborted);
      expect(oldMembership.held()).toBe(false);
      await expect(before.coordination.join(old, store.ttlMs)).rejects.toMatchObject({
        kind: "conflict",
        reason: "MEMBER_REPLACED",
      });
      expect(await after.coordination.listMembers()).toEqual([young]);
      await membership.leave();
      await before.coordination.join(old, store.ttlMs);
      expect(await after.coordination.listMembers()).toEqual([old]);
    });

    it("stops holding before a cut-off member disappears, and says lost once it can know", async () => {
      const store = await opened();
      const [cut, other] = [await store.connect(), await store.connect()];
      const membership = await cut.coordination.join(testMember("a"), store.ttlMs);
      const seen = watch(other.coordination);
      await comes(store, () => seen.last().length === 1);
      await cut.sever();
      let heldWhileGone = false;
      await comes(store, async () => {
        const gone = (await other.coordination.listMembers()).length === 0;
        heldWhileGone ||= gone && membership.held();
        return gone;
      });
      expect(heldWhileGone).toBe(false);
      expect(membership.held()).toBe(false);
      await comes(store, () => {
        expect(seen.last()).toEqual([]);
      });
      await cut.mend();
      await comes(store, () => membership.lost.aborted);
    });

    it("holds on through a cut shorter than the TTL, and lets a lost member join again", async () => {
      const store = await opened();
      const connection = await store.connect();
      const { coordination } = connection;
      const membership = await coordination.join(testMember("a"), store.ttlMs);
      await connection.sever();
      await store.pass(store.ttlMs / 4);
      await connection.mend();
      await comes(store, () => membership.held());
      await store.pass(store.ttlMs);
      expect(membership.held()).toBe(true);

      await connection.sever();
      await store.pass(store.ttlMs * 2);
      await connection.mend();
      await comes(store, () => membership.lost.aborted);
      const again = await coordination.join(testMember("a"), store.ttlMs);
      expect(again.held()).toBe(true);
      expect(ids(await coordination.listMembers())).toEqual(["a"]);
    });

    it("keeps silent while it is cut off, and tells of everything missed when it is back", async () => {
      const store = await opened();
      const [here, there] = [await store.connect(), await store.connect()];
      const a = await there.coordination.join(testMember("a"), store.ttlMs);
      const seen = watch(here.coordination);
      await comes(store, () => seen.last().length === 1);
      await here.sever();
      await a.leave();
      await there.coordination.join(testMember("b"), store.ttlMs);
      await store.pass(500);
      expect(seen.last()).toEqual(["a"]);
      await here.mend();
      await comes(store, () => {
        expect(seen.last()).toEqual(["b"]);
      });
    });

    it("says unavailable while the store cannot be reached", async () => {
      const store = await opened();
      const connection = await store.connect();
      await connection.coordination.listMembers();
      await connection.sever();
      await expect(connection.coordination.listMembers()).rejects.toMatchObject({ kind: "unavailable" });
      await expect(connection.coordination.shardOwners()).rejects.toMatchObject({ kind: "unavailable" });
      await expect(connection.coordination.join(testMember("a"), store.ttlMs)).rejects.toMatchObject({
        kind: "unavailable",
      });
    });

    it("gives every shard to one owner, and says who has which", async () => {
      const store = await opened();
      const [one, two] = [await store.connect(), await store.connect()];
      const [a, b] = [testMember("a", { role: "scheduler" }), testMember("b", { role: "scheduler" })];
      const [ma, mb] = [await one.coordination.join(a, store.ttlMs), await two.coordination.join(b, store.ttlMs)];
      const all = Array.from({ length: 1_024 }, (_, i) => i);
      const [forA, forB] = await Promise.all([
        one.coordination.acquireShards(ma, a, all),
        two.coordination.acquireShards(mb, b, all),
      ]);
      const rest = await one.coordination.acquireShards(ma, a, all);
      const ofA = [...forA, ...rest].map((s) => s.shard);
      expect([...ofA, ...forB.map((s) => s.shard)].sort((x, y) => x - y)).toEqual(all);
      const owners = await one.coordination.shardOwners();
      expect(owners.size).toBe(1_024);
      for (const { shard, epoch } of [...forA, ...rest]) expect(owners.get(shard)).toEqual({ ownerId: "a", epoch });
      for (const { shard, epoch } of forB) expect(owners.get(shard)).toEqual({ ownerId: "b", epoch });
    });

    it("takes no shard twice: a repeated wish returns only what is new", async () => {
      const store = await opened();
      const { coordination } = await store.connect();
      const a = testMember("a", { role: "scheduler" });
      const membership = await coordination.join(a, store.ttlMs);
      expect((await coordination.acquireShards(membership, a, [1, 2])).map((s) => s.shard)).toEqual([1, 2]);
      expect((await coordination.acquireShards(membership, a, [1, 2, 3])).map((s) => s.shard)).toEqual([3]);
      expect(await coordination.acquireShards(membership, a, [])).toEqual([]);
    });

    it("gives a shard that changes hands a higher epoch", async () => {
      const store = await opened();
      const [one, two] = [await store.connect(), await store.connect()];
      const [a, b] = [testMember("a", { role: "scheduler" }), testMember("b", { role: "scheduler" })];
      const ma = await one.coordination.join(a, store.ttlMs);
      const mb = await two.coordination.join(b, store.ttlMs);
      const [first] = await one.coordination.acquireShards(ma, a, [7]);
      expect(await two.coordination.acquireShards(mb, b, [7])).toEqual([]);
      await ma.leave();
      const [second] = await two.coordination.acquireShards(mb, b, [7]);
      expect(first && second && second.epoch > first.epoch).toBe(true);
    });

    it("frees the shards of an owner whose lease ran out, and gives it none", async () => {
      const store = await opened();
      const [one, two] = [await store.connect(), await store.connect()];
      const [a, b] = [testMember("a", { role: "scheduler" }), testMember("b", { role: "scheduler" })];
      const ma = await one.coordination.join(a, store.ttlMs);
      const mb = await two.coordination.join(b, store.ttlMs);
      await one.coordination.acquireShards(ma, a, [1]);
      await one.sever();
      await comes(store, async () => (await two.coordination.shardOwners()).size === 0);
      expect((await two.coordination.acquireShards(mb, b, [1])).length).toBe(1);
      await one.mend();
      await comes(store, () => ma.lost.aborted);
      await expect(one.coordination.acquireShards(ma, a, [2])).rejects.toMatchObject({ reason: "LEASE_LOST" });
    });

    it("leaves with everything it joined when it is closed", async () => {
      const store = await opened();
      const [one, two] = [await store.connect(), await store.connect()];
      const a = testMember("a", { role: "scheduler" });
      const membership = await one.coordination.join(a, store.ttlMs);
      await one.coordination.join(testMember("b"), store.ttlMs);
      await one.coordination.acquireShards(membership, a, [1]);
      await one.coordination.close();
      expect(await two.coordination.listMembers()).toEqual([]);
      expect((await two.coordination.shardOwners()).size).toBe(0);
    });
  });
}
