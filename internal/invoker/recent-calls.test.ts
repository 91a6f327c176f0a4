import { describe, expect, it } from "vitest";

import { Done } from "../gen/weft/link/v1/work.pb.js";
import { RecentCalls } from "./recent-calls.js";

const done = (bytes = 2): Done => Done.create({ resultJson: Buffer.alloc(bytes) });

describe("recent calls", () => {
  it("forget the oldest when there are too many", () => {
    const recent = new RecentCalls(3);
    for (const id of ["a", "b", "c", "d"]) recent.add(id, done());
    expect([recent.find("a"), recent.find("b")?.done?.resultJson.length, recent.size]).toEqual([undefined, 2, 3]);
  });

  it("give up old results before the fact that they ended", () => {
    const recent = new RecentCalls(10, 100);
    recent.add("a", done(60));
    recent.add("b", done(60));
    recent.add("c", done(1_000));
    expect(recent.find("a")).toEqual({ activationId: "a", done: undefined });
    expect([recent.find("b")?.done, recent.find("c")?.done]).toEqual([undefined, undefined]);
    recent.add("d", done(60));
    expect(recent.find("d")?.done).toBeDefined();
  });

  it("keep the later of two ends of the same activation", () => {
    const recent = new RecentCalls(2);
    recent.add("a", done(1));
    recent.add("a", done(2));
    recent.add("b", done(3));
    expect(recent.find("a")?.done?.resultJson.length).toBe(2);
  });
});
