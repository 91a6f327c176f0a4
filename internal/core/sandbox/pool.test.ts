import { describe, expect, it } from "vitest";

import {
  evictableMb,
  idleAction,
  makeRoom,
  priorityOf,
  refillDueMonoMs,
  stemShortage,
  stemTaken,
  stemTarget,
  type Pooled,
  type StemsTaken,
} from "./pool.js";

interface Named extends Pooled {
  readonly name: string;
}
const box = (name: string, change: Partial<Pooled> = {}): Named => ({
  name,
  state: "warm",
  memoryMb: 256,
  running: 0,
  evictable: true,
  priority: 1,
  idleSinceMonoMs: 0,
  ...change,
});

describe("making room", () => {
  it.each<[name: string, boxes: Named[], needMb: number, freeMb: number, victims: string[] | undefined]>([
    ["ends nobody when it fits", [box("a")], 256, 256, []],
    ["ends the least valuable", [box("a", { priority: 3 }), box("b", { priority: 2 })], 256, 0, ["b"]],
    [
      "ends as many as it takes",
      [box("a", { priority: 1 }), box("b", { priority: 2 }), box("c", { priority: 3 })],
      512,
      0,
      ["a", "b"],
    ],
    [
      "ends, of equals, the one that idled longest",
      [box("a", { idleSinceMonoMs: 9 }), box("b", { idleSinceMonoMs: 3 })],
      256,
      0,
      ["b"],
    ],
    [
      "spares small ones when a large one had to go anyway",
      [box("a", { memoryMb: 128, priority: 1 }), box("b", { memoryMb: 512, priority: 2 })],
      512,
      0,
      ["b"],
    ],
    ["never ends one that runs", [box("a", { running: 1 })], 256, 0, undefined],
    [
      "never ends one that is being made or is gone",
      [box("a", { state: "starting" }), box("b", { state: "gone" })],
      256,
      0,
      undefined,
    ],
    ["never ends one that waits for its first call", [box("a", { evictable: false })], 256, 0, undefined],
    [
      "ends stem cells and frozen ones too",
      [box("a", { state: "stem" }), box("b", { state: "frozen" })],
      512,
      0,
      ["a", "b"],
    ],
    ["uses what is free first", [box("a")], 512, 256, ["a"]],
    ["ends nobody when it would not suffice", [box("a")], 1_024, 256, undefined],
  ])("%s", (_, boxes, needMb, freeMb, victims) => {
    expect(makeRoom(boxes, needMb, freeMb, 0)?.victims.map((v) => v.name)).toEqual(victims);
  });

  it("moves the clock to the priority of what went last, so that what is not used again goes next", () => {
    expect(makeRoom([box("a", { priority: 5 })], 256, 0, 2)?.clock).toBe(5);
    expect(makeRoom([box("a", { priority: 1 })], 256, 0, 2)?.clock).toBe(2);
  });

  it("values calls and slow starts, and devalues memory", () => {
    expect(priorityOf(0, 10, 100, 256)).toBeGreaterThan(priorityOf(0, 1, 100, 256));
    expect(priorityOf(0, 1, 500, 256)).toBeGreaterThan(priorityOf(0, 1, 100, 256));
    expect(priorityOf(0, 1, 100, 128)).toBeGreaterThan(priorityOf(0, 1, 100, 512));
    expect(priorityOf(7, 1, 100, 256)).toBeGreaterThan(priorityOf(0, 10, 100, 256));
  });

  it("counts what could be freed", () => {
    expect(
      evictableMb([box("a"), box("b", { running: 1 }), box("c", { evictable: false }), box("d", { memoryMb: 128 })]),
    ).toBe(384);
  });
});

describe("a sandbox without calls", () => {
  const times = { freezeAfterMs: 10_000, idleTimeoutMs: 600_000 };
  it.each<[name: string, sandbox: Named, now: number, action: string]>([
    ["stays as it is at first", box("a"), 9_999, "keep"],
    ["freezes after a grace", box("a"), 10_000, "freeze"],
    ["does not freeze twice", box("a", { state: "frozen" }), 20_000, "keep"],
    ["ends after its time, frozen or not", box("a", { state: "frozen" }), 600_000, "end"],
    ["ends after its time even if it could not freeze", box("a"), 600_000, "end"],
    ["is not idle while it runs", box("a", { running: 1 }), 700_000, "keep"],
    ["waits for as long as it takes as a stem cell", box("a", { state: "stem" }), 700_000, "keep"],
  ])("%s", (_, sandbox, now, action) => {
    expect(idleAction(sandbox, now, times)).toBe(action);
  });
});

describe("stem cells", () => {
  it.each<[name: string, min: number, max: number, starts: number[], target: number]>([
    ["are kept at the minimum without demand", 1, 4, [], 1],
    ["follow all but the rarest windows", 1, 8, [...Array.from({ length: 99 }, () => 2), 50], 2],
    ["follow a peak that is not rare", 1, 8, [0, 0, 5, 5], 5],
    ["stop at the maximum", 0, 4, [9, 9], 4],
    ["are none when none are wanted", 0, 0, [9, 9], 0],
  ])("%s", (_, min, max, starts, target) => {
    expect(stemTarget({ min, max }, starts)).toBe(target);
  });

  it.each<[name: string, present: number, freeMb: number, shareLeftMb: number, shortage: number]>([
    ["are made up to the target", 1, 4_096, 4_096, 2],
    ["take only what is free", 0, 300, 4_096, 1],
    ["take only their share", 0, 4_096, 512, 2],
    ["are not ended when there are too many", 5, 4_096, 4_096, 0],
    ["are not made over the share", 0, 4_096, -100, 0],
  ])("%s", (_, present, freeMb, shareLeftMb, shortage) => {
    expect(stemShortage({ target: 3, present, memoryMb: 256, freeMb, shareLeftMb })).toBe(shortage);
  });

  it.each<[name: string, takenAt: number[], due: number]>([
    ["are made anew a moment after one was taken", [1_000], 1_100],
    ["are made anew a moment after the last was taken", [1_000, 1_090, 1_150], 1_250],
    ["are not put off for ever by takers that follow each other", [0, 90, 180, 270, 360, 450], 500],
  ])("%s", (_, takenAt, due) => {
    const taken = takenAt.reduce<StemsTaken | undefined>(stemTaken, undefined);
    expect(taken && refillDueMonoMs(taken)).toBe(due);
  });
});
