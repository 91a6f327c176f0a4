import { describe, expect, it } from "vitest";

import { HashRing } from "./hash-ring.js";
import { explainRefusal, place, type InvokerView, type Placement, type PlacementAsk } from "./place.js";

const ask: PlacementAsk = { actionKey: "ns/hello", kind: "nodejs:20", memoryMb: 256 };

function invoker(id: string, more: Partial<Omit<InvokerView, "stems">> & { stems?: number } = {}): InvokerView {
  return {
    id,
    bootId: `${id}-boot`,
    kinds: new Set(["nodejs:20"]),
    memoryMb: 4_096,
    freeMb: 4_096,
    evictableMb: 0,
    starting: 0,
    draining: false,
    suspect: false,
    fullAtMb: Infinity,
    ...more,
    stems: () => more.stems ?? 0,
  };
}

function decide(invokers: readonly InvokerView[], asked: PlacementAsk = ask): Placement {
  const fleet = new Map(invokers.map((one) => [one.id, one]));
  return place(asked, fleet, new HashRing(fleet.keys()), () => 0.5);
}

const where = (placement: Placement): string => (placement.kind === "placed" ? placement.invoker.id : placement.kind);

describe("placement", () => {
  it.each<[string, InvokerView[], string]>([
    ["prefers a stem cell to an empty machine", [invoker("a"), invoker("b", { freeMb: 600, stems: 1 })], "b"],
    [
      "prefers room to eviction",
      [invoker("a", { freeMb: 100, evictableMb: 3_000 }), invoker("b", { freeMb: 300 })],
      "b",
    ],
    ["evicts when there is no room", [invoker("a", { freeMb: 100, evictableMb: 300 })], "a"],
    ["avoids a long queue of starts", [invoker("a", { starting: 9 }), invoker("b", { starting: 0 })], "b"],
    ["avoids a loaded machine", [invoker("a", { freeMb: 1_000 }), invoker("b", { freeMb: 4_000 })], "b"],
    ["passes over one that drains", [invoker("a", { draining: true }), invoker("b", { freeMb: 300 })], "b"],
    ["passes over one that does not answer", [invoker("a", { suspect: true }), invoker("b", { freeMb: 300 })], "b"],
    [
      "passes over one that has just refused the size",
      [invoker("a", { fullAtMb: 256 }), invoker("b", { freeMb: 300 })],
      "b",
    ],
    ["believes a refusal of a larger size only for that size", [invoker("a", { fullAtMb: 512 })], "a"],
    ["uses a stem cell where there is no memory left", [invoker("a", { freeMb: 0, stems: 1 })], "a"],
    ["knows when nobody is there", [], "noInvokers"],
    ["knows a kind that nobody runs", [invoker("a", { kinds: new Set(["python:3.11"]) })], "unknownKind"],
    ["knows when nothing has room", [invoker("a", { freeMb: 100 })], "noCapacity"],
  ])("%s", (_name, fleet, expected) => {
    expect(where(decide(fleet))).toBe(expected);
  });

  it("finds the one invoker with room among many, wherever the chain begins", () => {
    const fleet = Array.from({ length: 200 }, (_, i) => invoker(`i${i}`, { freeMb: i === 137 ? 512 : 0 }));
    expect(where(decide(fleet))).toBe("i137");
  });

  it("tells how many were refused for which reason", () => {
    const placement = decide([
      invoker("a", { freeMb: 10 }),
      invoker("b", { freeMb: 20 }),
      invoker("c", { suspect: true }),
      invoker("d", { kinds: new Set() }),
    ]);
    if (placement.kind !== "noCapacity") throw new Error(placement.kind);
    expect(new Map(placement.rejectedBy)).toEqual(
      new Map([
        ["memory", 2],
        ["suspect", 1],
        ["kind", 1],
      ]),
    );
    const sentence = explainRefusal(ask, placement.rejectedBy);
    expect(sentence).toContain("no room for a sandbox of ns/hello");
    expect(sentence).toContain("2 invokers have no 256 MiB to spare");
    expect(sentence).toContain("1 invoker does not answer");
    expect(sentence).toContain("1 invoker cannot run nodejs:20");
  });

  it("keeps an action on its own few invokers while they are not loaded", () => {
    const fleet = Array.from({ length: 100 }, (_, i) => invoker(`i${i}`));
    const chain = new HashRing(fleet.map((one) => one.id)).chain(ask.actionKey, 8);
    expect(where(decide(fleet))).toBe(chain[0]);
  });

  it("gives the same answer to the same question", () => {
    const fleet = Array.from({ length: 5 }, (_, i) => invoker(`i${i}`));
    expect(where(decide(fleet))).toBe(where(decide([...fleet].reverse())));
  });
});

describe("the ring", () => {
  const ids = Array.from({ length: 50 }, (_, i) => `invoker-${i}`);

  it("gives every member a fair share of the keys", () => {
    const ring = new HashRing(ids);
    const counts = new Map<string, number>();
    for (let i = 0; i < 5_000; i++) {
      const [first = ""] = ring.chain(`ns/action-${i}`, 1);
      counts.set(first, (counts.get(first) ?? 0) + 1);
    }
    expect(counts.size).toBe(50);
    expect(Math.max(...counts.values())).toBeLessThan(250);
  });

  it("moves only the keys of a member that leaves", () => {
    const before = new HashRing(ids);
    const after = new HashRing(ids.filter((id) => id !== "invoker-7"));
    for (let i = 0; i < 500; i++) {
      const [first] = before.chain(`ns/action-${i}`, 1);
      if (first !== "invoker-7") expect(after.chain(`ns/action-${i}`, 1)[0]).toBe(first);
    }
  });

  it("is walked once round at most", () => {
    expect(new HashRing(["a", "b"]).chain("x", 8).sort()).toEqual(["a", "b"]);
    expect(new HashRing([]).chain("x", 8)).toEqual([]);
  });
});
