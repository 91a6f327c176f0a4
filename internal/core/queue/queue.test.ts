import { describe, expect, it } from "vitest";

import { machineSuite } from "../../base/machine.suite.js";
import type { DoneResult } from "../dispatch/call.js";
import { FairQueue } from "./fair-queue.js";
import { decideFate, LAST_WORDS_MS, REQUEST_AGE_MS_MAX, tooOld } from "./fate.js";
import { requestMachine } from "./state.js";

machineSuite(requestMachine, [
  ["started", "sending"],
  ["unsettled", "sending"],
  ["unsettled", "started"],
  ["settled", "waiting"],
  ["given away", "waiting"],
]);

describe("the life of a request", () => {
  it("does not lead back from started but by proof", () => {
    expect(requestMachine.next("started", "send")).toBeUndefined();
    expect(requestMachine.next("unsettled", "refuse")).toBeUndefined();
    expect(requestMachine.next("unsettled", "mark")).toBeUndefined();
    expect(requestMachine.next("started", "refuse")).toBe("waiting");
    expect(requestMachine.next("unsettled", "notStarted")).toBe("waiting");
  });
});

describe("a fair queue", () => {
  const all = (queue: FairQueue<string>): string[] => {
    const taken: string[] = [];
    for (let next = queue.next(); next !== undefined; next = queue.next()) taken.push(next);
    return taken;
  };

  it("lets namespaces take turns, first come first served within each", () => {
    const queue = new FairQueue<string>(100, 100);
    for (const item of ["a1", "a2", "a3", "b1", "c1", "c2"]) queue.push(item.slice(0, 1), item);
    expect(all(queue)).toEqual(["a1", "b1", "c1", "a2", "c2", "a3"]);
    expect(queue).toMatchObject({ waiting: 0, inFlight: 6 });
  });

  it("serves a newcomer next, however many of another wait", () => {
    const queue = new FairQueue<string>(2, 2);
    for (let i = 0; i < 5_000; i++) queue.push("flood", `flood ${i}`);
    expect(all(queue)).toEqual(["flood 0", "flood 1"]);
    queue.push("small", "small");
    queue.landed("flood");
    // The flood has had its turn in this round.
    expect(["small", "flood 2"]).toContain(queue.next());
    queue.landed("flood");
    expect(["small", "flood 2"]).toContain(queue.next());
    expect(queue.depths()).toMatchObject({ small: 0 });
  });

  it("keeps each namespace within its share and all within the total", () => {
    const queue = new FairQueue<string>(3, 2);
    for (const item of ["a1", "a2", "a3", "b1", "b2"]) queue.push(item.slice(0, 1), item);
    expect(all(queue)).toEqual(["a1", "b1", "a2"]);
    queue.landed("b");
    expect(all(queue)).toEqual(["b2"]);
    queue.landed("b");
    expect(all(queue)).toEqual([]);
    queue.landed("a");
    expect(all(queue)).toEqual(["a3"]);
  });

  it("lets what comes back go first in its namespace", () => {
    const queue = new FairQueue<string>(10, 10);
    queue.push("a", "a1");
    queue.push("a", "a2");
    expect(queue.next()).toBe("a1");
    queue.landed("a");
    queue.push("a", "a1", true);
    expect(all(queue)).toEqual(["a1", "a2"]);
  });

  it("forgets namespaces that have nothing, and counts no landing twice", () => {
    const queue = new FairQueue<string>(10, 10);
    queue.push("a", "a1");
    queue.next();
    queue.landed("a");
    queue.landed("a");
    expect(queue.inFlight).toBe(0);
    expect(queue.depths()).toEqual({});
  });
});

describe("the fate of a request that misses its record", () => {
  const attempt = { invokerId: "i", invokerBootId: "b", ownerBootId: "c" };
  const done = { kind: "done" } as DoneResult;

  it.each<[string, DoneResult | undefined, number | undefined, string]>([
    ["ended, its invoker alive", done, undefined, "wait"],
    ["not known, its invoker alive", undefined, undefined, "ask"],
    ["not known, its invoker just gone", undefined, 10_000, "wait"],
    ["not known, its invoker gone", undefined, 10_000 - LAST_WORDS_MS, "recordLoss"],
    ["ended, its invoker just gone", done, 10_000, "wait"],
    ["ended, its invoker gone", done, 0, "recordResult"],
  ])("%s", (_name, result, goneMonoMs, step) => {
    expect(decideFate({ attempt, done: result, sinceMonoMs: 0 }, goneMonoMs, 10_000).kind).toBe(step);
  });

  it("is not decided before its last words could arrive", () => {
    expect(decideFate({ attempt, done: undefined, sinceMonoMs: 9_500 }, 0, 10_000).kind).toBe("wait");
  });

  it("ends after a day", () => {
    expect(tooOld(0, REQUEST_AGE_MS_MAX - 1)).toBe(false);
    expect(tooOld(0, REQUEST_AGE_MS_MAX)).toBe(true);
  });
});
