import { describe, expect, it } from "vitest";

import { decideUse, EpochFence, FREE_SLOT, SlotTable, type SlotClaim, type SlotHolding } from "./slots.js";

const held: SlotHolding = { epoch: 5, sequence: 7, dispatcherId: "g1", dispatcherBootId: "boot1", busy: false };
const claim = (change: Partial<SlotClaim> = {}): SlotClaim => ({
  slot: 0,
  epoch: 5,
  sequence: 7,
  dispatcherBootId: "boot1",
  revisionId: "r1",
  ...change,
});

describe("a call that presents a lease", () => {
  it.each<[name: string, holding: SlotHolding | undefined, claim: SlotClaim, proves: boolean, decision: string]>([
    ["runs when its holder calls again, without a token", held, claim(), false, "run"],
    ["runs at the first use of a free slot when the token proves the grant", FREE_SLOT, claim(), true, "installAndRun"],
    ["is refused at the first use without proof", FREE_SLOT, claim(), false, "refuseToken"],
    ["replaces the holder with a higher sequence", held, claim({ sequence: 8 }), true, "installAndRun"],
    [
      "replaces the holder with a higher epoch, whatever the sequence",
      held,
      claim({ epoch: 6, sequence: 1 }),
      true,
      "installAndRun",
    ],
    ["does not replace the holder without proof", held, claim({ sequence: 8 }), false, "refuseToken"],
    ["is stale with a lower sequence, proven or not", held, claim({ sequence: 6 }), true, "refuseStale"],
    [
      "is stale with a lower epoch, whatever the sequence",
      held,
      claim({ epoch: 4, sequence: 99 }),
      true,
      "refuseStale",
    ],
    [
      "of another life of the dispatcher needs a grant of its own",
      held,
      claim({ dispatcherBootId: "boot2" }),
      false,
      "refuseToken",
    ],
    ["waits for nothing when the slot is busy", { ...held, busy: true }, claim(), true, "refuseBusy"],
    [
      "takes over a busy slot but does not run",
      { ...held, busy: true },
      claim({ sequence: 8 }),
      true,
      "installAndRefuseBusy",
    ],
    ["names another revision", held, claim({ revisionId: "r2" }), true, "refuseRevision"],
    ["names a slot that is not there", undefined, claim(), true, "refuseStale"],
  ])("%s", (_, holding, presented, proves, decision) => {
    expect(decideUse("r1", holding, presented, () => proves)).toBe(decision);
  });

  it("costs no hash when the holder calls again or the lease is stale", () => {
    const never = (): boolean => expect.fail("the token was asked");
    expect(decideUse("r1", held, claim(), never)).toBe("run");
    expect(decideUse("r1", held, claim({ sequence: 1 }), never)).toBe("refuseStale");
  });
});

describe("a slot table", () => {
  const use = (table: SlotTable, change: Partial<SlotClaim> = {}, proves = true): string =>
    table.use(claim(change), "g1", () => proves);

  it("runs one call per slot and no more than it has slots", () => {
    const table = new SlotTable("r1", 2);
    expect([use(table), use(table), use(table, { slot: 1 }), use(table, { slot: 2 })]).toEqual([
      "installAndRun",
      "refuseBusy",
      "installAndRun",
      "refuseStale",
    ]);
    expect(table.busyCount).toBe(2);
    table.release(0);
    table.release(0);
    expect(table.busyCount).toBe(1);
    expect(use(table)).toBe("run");
  });

  it("refuses the holder before once a newer grant was shown, even while that one could not run", () => {
    const table = new SlotTable("r1", 1);
    expect(use(table)).toBe("installAndRun");
    expect(use(table, { sequence: 8, dispatcherBootId: "boot2" })).toBe("installAndRefuseBusy");
    table.release(0);
    expect(use(table)).toBe("refuseStale");
    expect(use(table, { sequence: 8, dispatcherBootId: "boot2" }, false)).toBe("run");
  });

  it("forgets the holder whose link ended, but not how old its grant is", () => {
    const table = new SlotTable("r1", 1);
    use(table);
    table.release(0);
    table.forgetHolder("boot1");
    expect([...table.holders()]).toEqual([]);
    expect(use(table, { sequence: 6 })).toBe("refuseStale");
    expect(use(table, {}, false)).toBe("refuseToken");
    expect(use(table, {}, true)).toBe("installAndRun");
  });
});

describe("an epoch fence", () => {
  it("refuses what is lower than the highest of the same shard", () => {
    const fence = new EpochFence();
    expect([
      fence.admits(1, 5),
      fence.admits(1, 4),
      fence.admits(1, 5),
      fence.admits(2, 1),
      fence.admits(1, 6),
    ]).toEqual([true, false, true, true, true]);
    expect(fence.highest).toBe(6);
  });
});
