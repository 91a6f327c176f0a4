import { describe, expect, it } from "vitest";

import { CONTENDED_MS, SlotTable, type LeaseFields, type ReadySandbox, type SlotCommand } from "./slot-table.js";

const SHARD = 7;
const EPOCH = 40;

/** A table that owns its shard, an invoker with one sandbox of two slots, and two dispatchers that hold nothing. */
function scene({ slots = 2, owned = true }: { slots?: number; owned?: boolean } = {}) {
  const table = new SlotTable({ sessionTtlMs: 1_000, starvedMs: 200 });
  let now = 0;
  const apply = (event: Parameters<SlotTable["apply"]>[0]): void => table.apply(event, now);
  const decide = (): readonly SlotCommand[] => {
    const commands = table.decide(now);
    table.audit();
    return commands;
  };
  if (owned) apply({ kind: "shards", epochs: new Map([[SHARD, EPOCH]]) });
  apply({ kind: "invoker", bootId: "inv", id: "i1", address: "i1:1" });
  apply({ kind: "inventory", bootId: "inv", sandboxes: slots > 0 ? [ready(1, slots)] : [] });
  for (const id of ["a", "b"]) {
    apply({ kind: "hello", dispatcherId: id, bootId: id });
    apply({ kind: "held", bootId: id, leases: [] });
  }
  decide();
  return {
    table,
    apply,
    decide,
    pass: (ms: number): void => {
      now += ms;
      table.tick(now);
    },
    wish: (bootId: string, shortage: number, oldestWaitMs = 0, revisionId = "r1"): readonly SlotCommand[] => {
      apply({
        kind: "wish",
        bootId,
        actionKey: "ns/a",
        revisionId,
        shard: SHARD,
        shortage,
        oldestWaitMs,
        arrivalsPerSecond: 0,
      });
      return decide();
    },
    giveBack: (bootId: string, leases: readonly LeaseFields[], isVoid = false): readonly SlotCommand[] => {
      apply({ kind: "returned", bootId, leases, void: isVoid });
      return decide();
    },
  };
}

function ready(sandbox: number, concurrency: number, more: Partial<ReadySandbox> = {}): ReadySandbox {
  return { sandbox, actionKey: "ns/a", revisionId: "r1", shard: SHARD, concurrency, holders: [], ...more };
}

const grants = (commands: readonly SlotCommand[]): { to: string; lease: LeaseFields }[] =>
  commands.flatMap((c) => (c.kind === "grant" ? [{ to: c.dispatcherBootId, lease: c.lease }] : []));
const granted = (commands: readonly SlotCommand[]): LeaseFields[] => grants(commands).map((g) => g.lease);
const told = (commands: readonly SlotCommand[]): string[] =>
  commands.flatMap((c) => (c.kind === "contended" ? [`${c.dispatcherBootId} ${c.on ? "on" : "off"}`] : []));
const revoked = (commands: readonly SlotCommand[]): string[] =>
  commands.flatMap((c) => (c.kind === "revoke" ? [`${c.dispatcherBootId} ${c.lease.sandbox}/${c.lease.slot}`] : []));
const one = <T>(items: readonly T[]): T => {
  expect(items.length).toBe(1);
  return items[0] as T;
};

describe("granting", () => {
  it("gives free slots under the shard's epoch, with rising sequences", () => {
    const { wish } = scene();
    const leases = granted(wish("a", 2));
    expect(leases.map(({ slot, epoch, sequence }) => [slot, epoch, sequence])).toEqual([
      [1, EPOCH, 1],
      [0, EPOCH, 2],
    ]);
  });

  it("serves the longest waiting first, taking turns between those who wait alike", () => {
    const { wish, apply, decide } = scene({ slots: 0 });
    wish("a", 2, 100);
    wish("b", 2, 90);
    apply({ kind: "sandboxReady", bootId: "inv", ready: ready(5, 4) });
    expect(grants(decide()).map(({ to }) => to)).toEqual(["a", "b", "a", "b"]);
  });

  it("gives the slot that was freed last: few sandboxes stay hot", () => {
    const { wish, giveBack } = scene();
    const [first, second] = granted(wish("a", 2)) as [LeaseFields, LeaseFields];
    giveBack("a", [second]);
    giveBack("a", [first]);
    expect(one(granted(wish("b", 1))).slot).toBe(first.slot);
  });

  it("grants nothing of a shard that is not owned", () => {
    const { wish, apply, decide } = scene({ owned: false });
    expect(wish("a", 1)).toEqual([]);
    apply({ kind: "shards", epochs: new Map([[SHARD, EPOCH]]) });
    expect(granted(decide()).length).toBe(1);
  });

  it("does not grant a slot for which a higher epoch is known, until its own is higher", () => {
    const { apply, wish, decide, pass } = scene({ slots: 0 });
    const holders = [{ slot: 0, dispatcherId: "", dispatcherBootId: "", epoch: EPOCH + 5, sequence: 3 }];
    apply({ kind: "sandboxReady", bootId: "inv", ready: ready(1, 1, { holders }) });
    expect(granted(wish("a", 1))).toEqual([]);
    apply({ kind: "shards", epochs: new Map([[SHARD, EPOCH + 6]]) });
    pass(1);
    expect(one(granted(decide())).epoch).toBe(EPOCH + 6);
  });

  it("keeps the free slots of an invoker that cannot be used, and offers them when it can", () => {
    const { apply, wish, decide } = scene();
    apply({ kind: "invokerUsable", bootId: "inv", usable: false });
    expect(granted(wish("a", 1))).toEqual([]);
    apply({ kind: "invokerUsable", bootId: "inv", usable: true });
    expect(granted(decide()).length).toBe(1);
  });

  it("forgets a wish that was met otherwise, withdrawn, or of a dispatcher that left", () => {
    const { apply, wish, decide, table } = scene({ slots: 0 });
    wish("a", 3);
    wish("b", 1);
    apply({ kind: "stillWaiting", bootId: "a", waiting: new Map([["r1", 1]]) });
    expect(table.pool("r1", 0)?.waiting).toBe(2);
    apply({ kind: "stillWaiting", bootId: "a", waiting: new Map() });
    expect(table.waitersOf("r1")).toEqual(["b"]);
    apply({ kind: "away", bootId: "b" });
    apply({ kind: "sandboxReady", bootId: "inv", ready: ready(9, 1) });
    expect(decide()).toEqual([]);
    wish("a", 1);
    expect(wish("a", 0)).toEqual([]);
    expect(table.waiters).toBe(0);
  });
});

describe("returns", () => {
  it("frees what was granted by the same grant, and nothing else", () => {
    const { wish, giveBack, table } = scene({ slots: 1 });
    const lease = one(granted(wish("a", 1)));
    giveBack("b", [lease]);
    giveBack("a", [{ ...lease, sequence: lease.sequence - 1 }]);
    expect(table.heldSlots).toBe(1);
    expect(table.stale).toBe(2);
    giveBack("a", [lease]);
    expect(table.heldSlots).toBe(0);
  });

  it("lets a void slot rest before it is granted again, longer each time", () => {
    const { wish, giveBack, pass, decide } = scene({ slots: 1 });
    giveBack("a", granted(wish("a", 1)), true);
    expect(granted(wish("a", 1))).toEqual([]);
    pass(51);
    giveBack("a", granted(decide()), true);
    wish("a", 1);
    pass(51);
    expect(granted(decide())).toEqual([]);
    pass(50);
    expect(granted(decide()).length).toBe(1);
  });
});

describe("contention", () => {
  it("is told to holders only, once, and over not sooner than it is due", () => {
    const { wish, giveBack, pass, decide } = scene({ slots: 2 });
    const [first] = granted(wish("a", 2)) as [LeaseFields, LeaseFields];
    expect(told(wish("b", 1))).toEqual(["a on"]);
    expect(told(wish("b", 1))).toEqual([]);
    const commands = giveBack("a", [first]);
    expect(grants(commands).map(({ to }) => to)).toEqual(["b"]);
    expect(told(commands)).toEqual([]); // nobody waits any more: who got the slot may keep it
    pass(CONTENDED_MS - 1);
    expect(told(decide())).toEqual([]);
    pass(1);
    expect(told(decide())).toEqual(["a off"]);
  });

  it("is told to a new holder while others still wait", () => {
    const { wish, giveBack } = scene({ slots: 1 });
    const lease = one(granted(wish("a", 1)));
    wish("b", 2);
    expect(told(giveBack("a", [lease]))).toEqual(["b on"]);
  });

  it("is not told to anybody while nobody holds a slot", () => {
    const { wish } = scene({ slots: 0 });
    expect(wish("a", 1)).toEqual([]);
  });

  it("is told over to who has given everything back: it goes by what it was told last", () => {
    const { wish, giveBack, pass, decide } = scene({ slots: 1 });
    const lease = one(granted(wish("a", 1)));
    wish("b", 1);
    giveBack("a", [lease]);
    pass(CONTENDED_MS);
    expect(told(decide())).toContain("a off");
  });

  it("is told again to a dispatcher that came back: it forgot", () => {
    const { wish, apply, decide } = scene({ slots: 1 });
    const lease = one(granted(wish("a", 1)));
    expect(told(wish("b", 1))).toEqual(["a on"]);
    apply({ kind: "away", bootId: "a" });
    apply({ kind: "hello", dispatcherId: "a", bootId: "a" });
    apply({ kind: "held", bootId: "a", leases: [lease] });
    expect(told(decide())).toEqual(["a on"]);
  });
});

describe("starvation", () => {
  it("takes from the dispatcher that holds most, one slot per starving one", () => {
    const { wish, apply, pass, decide } = scene({ slots: 0 });
    wish("a", 4);
    apply({ kind: "sandboxReady", bootId: "inv", ready: ready(1, 4) });
    expect(granted(decide()).length).toBe(4);
    wish("b", 2);
    pass(199);
    expect(revoked(decide())).toEqual([]);
    pass(1);
    expect(revoked(decide()).length).toBe(1);
    pass(500);
    expect(revoked(decide())).toEqual([]); // the first has not come back
  });

  it("does not move the last slot to and fro between two that have one each", () => {
    const { wish, pass, decide } = scene({ slots: 2 });
    wish("a", 1);
    wish("b", 1);
    wish("a", 1);
    wish("b", 1);
    pass(1_000);
    expect(revoked(decide())).toEqual([]);
  });
});

describe("dispatchers that come and go", () => {
  it("keep their slots until their session expires", () => {
    const { wish, apply, pass, decide } = scene({ slots: 1 });
    wish("a", 1);
    apply({ kind: "away", bootId: "a" });
    wish("b", 1);
    pass(999);
    expect(granted(decide())).toEqual([]);
    pass(1);
    expect(grants(decide()).map(({ to }) => to)).toEqual(["b"]);
  });

  it.each([
    ["before", ["dispatcherGone", "away"]],
    ["after", ["away", "dispatcherGone"]],
  ] as const)("lose them at once when an invoker lost their link %s this scheduler did", (_when, order) => {
    const { wish, apply, decide } = scene({ slots: 1 });
    wish("a", 1);
    wish("b", 1);
    for (const kind of order) {
      if (kind === "away") apply({ kind, bootId: "a" });
      else apply({ kind, invokerBootId: "inv", bootId: "a" });
    }
    expect(grants(decide()).map(({ to }) => to)).toEqual(["b"]);
  });

  it("keep what they were granted while an old link of theirs is told gone: they would return what they lost", () => {
    const { wish, apply, decide, table } = scene({ slots: 2 });
    wish("a", 1);
    apply({ kind: "dispatcherGone", invokerBootId: "inv", bootId: "a" });
    wish("a", 1);
    decide();
    expect(table.heldSlots).toBe(2);
    apply({ kind: "away", bootId: "a" });
    decide();
    expect(table.heldSlots).toBe(1); // the grant that is younger than the loss
  });

  it("lose them at once when they come in a new life", () => {
    const { wish, apply, decide } = scene({ slots: 1 });
    wish("a", 1);
    wish("b", 1);
    apply({ kind: "hello", dispatcherId: "a", bootId: "a2" });
    expect(grants(decide()).map(({ to }) => to)).toEqual(["b"]);
  });

  it("hold what they say they hold, and nothing else", () => {
    const { wish, apply, decide, table } = scene({ slots: 2 });
    const [first] = granted(wish("a", 2)) as [LeaseFields, LeaseFields];
    apply({ kind: "away", bootId: "a" });
    apply({ kind: "hello", dispatcherId: "a", bootId: "a" });
    apply({ kind: "held", bootId: "a", leases: [first] }); // the other grant was lost on the way
    decide();
    expect(table.heldSlots).toBe(1);
    expect(granted(wish("b", 1)).length).toBe(1);
  });

  it("are told to give up what was granted to others meanwhile", () => {
    const { wish, apply, decide } = scene({ slots: 1 });
    const lease = one(granted(wish("a", 1)));
    wish("b", 1);
    apply({ kind: "away", bootId: "a" });
    apply({ kind: "dispatcherGone", invokerBootId: "inv", bootId: "a" });
    decide();
    apply({ kind: "hello", dispatcherId: "a", bootId: "a" });
    apply({ kind: "held", bootId: "a", leases: [lease] });
    expect(revoked(decide())).toEqual(["a 1/0"]);
  });
});

describe("a table that is built anew", () => {
  const lease: LeaseFields = {
    actionKey: "ns/a",
    revisionId: "r1",
    shard: SHARD,
    invokerId: "i2",
    invokerAddress: "i2:1",
    invokerBootId: "inv2",
    sandbox: 3,
    slot: 0,
    epoch: EPOCH - 1,
    sequence: 12,
  };
  const holder = { slot: 0, dispatcherId: "a", dispatcherBootId: "a", epoch: EPOCH - 1, sequence: 11 };

  function register({ apply }: ReturnType<typeof scene>, holders: readonly (typeof holder)[]): void {
    apply({ kind: "invoker", bootId: "inv2", id: "i2", address: "i2:1" });
    apply({ kind: "inventory", bootId: "inv2", sandboxes: [ready(3, 2, { holders })] });
  }

  it("adopts a lease that is reported before its invoker has come", () => {
    const s = scene({ slots: 0 });
    s.apply({ kind: "held", bootId: "a", leases: [lease] });
    register(s, [holder]);
    s.decide();
    expect(s.table.heldSlots).toBe(1);
    expect(s.giveBack("a", [lease])).toEqual([]); // by the newer grant, which was never used
    expect(s.table.heldSlots).toBe(0);
  });

  it("adopts a lease that is reported after its invoker has come", () => {
    const s = scene({ slots: 0 });
    register(s, []);
    s.apply({ kind: "held", bootId: "a", leases: [lease] });
    s.decide();
    expect(s.table.heldSlots).toBe(1);
  });

  it("frees a slot whose last user has spoken and does not name it", () => {
    const s = scene({ slots: 0 });
    register(s, [holder]);
    s.decide();
    expect(s.table.heldSlots).toBe(0);
  });

  it("keeps a slot for its last user until that one has had time to speak", () => {
    const s = scene({ slots: 0 });
    register(s, [{ ...holder, dispatcherId: "c", dispatcherBootId: "c" }]);
    s.decide();
    expect(s.table.heldSlots).toBe(1);
    s.pass(1_000);
    s.decide();
    expect(s.table.heldSlots).toBe(0);
  });

  it("has a dispatcher give up leases on sandboxes that are gone", () => {
    const s = scene({ slots: 0 });
    s.apply({ kind: "held", bootId: "a", leases: [{ ...lease, sandbox: 4 }] });
    register(s, []);
    expect(revoked(s.decide())).toEqual(["a 4/0"]);
  });

  it("grants above every sequence and epoch that was reported", () => {
    const s = scene({ slots: 0 });
    s.apply({ kind: "held", bootId: "a", leases: [lease] });
    register(s, []);
    s.giveBack("a", [lease]);
    const next = granted(s.wish("b", 2)).find(({ slot }) => slot === 0);
    expect(next?.epoch).toBe(EPOCH);
  });
});

describe("sandboxes and invokers that end", () => {
  it("take their slots with them, held or free", () => {
    const { wish, apply, decide, table } = scene({ slots: 2 });
    const lease = one(granted(wish("a", 1)));
    apply({ kind: "sandboxGone", bootId: "inv", sandbox: 1 });
    expect(decide()).toEqual([]);
    expect(table.audit()).toMatchObject({ slots: 0, held: 0, sandboxes: 0 });
    apply({ kind: "returned", bootId: "a", leases: [lease], void: true });
    expect(table.stale).toBe(1);
  });

  it("are gone when a complete inventory does not list them", () => {
    const { apply, decide, table } = scene();
    apply({ kind: "inventory", bootId: "inv", sandboxes: [ready(2, 3)] });
    decide();
    expect(table.audit()).toMatchObject({ slots: 3, sandboxes: 1 });
    apply({ kind: "invokerGone", bootId: "inv" });
    decide();
    expect(table.audit()).toMatchObject({ slots: 0 });
    expect(table.pools(0)).toEqual([]);
  });
});

describe("old revisions", () => {
  const destroys = (commands: readonly SlotCommand[]): SlotCommand[] => commands.filter((c) => c.kind === "destroy");

  it("end, once nobody holds or wants them and a newer one is asked for", () => {
    const { wish, giveBack } = scene({ slots: 1 });
    const lease = one(granted(wish("a", 1)));
    const asked = wish("a", 1, 0, "r2");
    expect([revoked(asked), destroys(asked)]).toEqual([["a 1/0"], []]); // whoever still holds some is asked for them
    expect(destroys(giveBack("a", [lease]))).toEqual([
      { kind: "destroy", invokerBootId: "inv", sandbox: 1, shard: SHARD, epoch: EPOCH },
    ]);
  });

  it("are made way for by an idle sandbox of another revision, when their items wait and the limit is used up", () => {
    const { wish, apply, decide, table } = scene({ slots: 0 });
    wish("b", 1, 50, "r0"); // an item that was accepted before the update
    wish("a", 1);
    apply({ kind: "sandboxReady", bootId: "inv", ready: ready(1, 1) });
    decide();
    table.makeWay("r0");
    const commands = decide();
    expect(revoked(commands)).toEqual(["a 1/0"]);
    expect(destroys(commands).length).toBe(1);
    table.makeWay("r0");
    expect(decide()).toEqual([]); // one at a time
    apply({ kind: "sandboxGone", bootId: "inv", sandbox: 1 });
    decide();
    expect(table.instances("ns/a")).toBe(0);
  });

  it("wait while the items of the other revision have waited longer", () => {
    const { wish, apply, decide, table } = scene({ slots: 0 });
    wish("b", 1, 20, "r0");
    wish("a", 2, 100);
    apply({ kind: "sandboxReady", bootId: "inv", ready: ready(1, 1) });
    decide();
    table.makeWay("r0");
    expect(destroys(decide())).toEqual([]);
  });

  it("are not granted from a sandbox that was ordered to end", () => {
    const { wish } = scene({ slots: 1 });
    wish("a", 1);
    wish("a", 0);
    const s = scene({ slots: 1 });
    s.wish("a", 0);
    s.wish("b", 1, 0, "r2");
    expect(granted(s.wish("a", 1))).toEqual([]);
    expect(s.table.retiring("inv").length).toBe(1);
  });
});
