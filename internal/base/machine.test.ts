import { describe, expect, it } from "vitest";

import { Machine } from "./machine.js";
import { endlessStates, machineSuite, unreachableStates } from "./machine.suite.js";

type State = "closed" | "open" | "broken";
type Event = "push" | "pull" | "kick";

const door = new Machine<State, Event>("door", "closed", {
  closed: { push: "open", kick: "broken" },
  open: { pull: "closed" },
  broken: {},
});

machineSuite(door, [["broken", "closed"]]);

describe("a machine", () => {
  it("follows its arrows and drops what comes late", () => {
    expect(door.next("closed", "push")).toBe("open");
    expect(door.next("open", "push")).toBeUndefined();
    expect(door.next("broken", "pull")).toBeUndefined();
  });

  it("does not take a word from the wire for an arrow because every object has it", () => {
    expect(door.next("closed", "constructor" as Event)).toBeUndefined();
    expect(door.next("closed", "toString" as Event)).toBeUndefined();
  });

  it("throws when this process raises an event that cannot be", () => {
    expect(() => door.step("broken", "push")).toThrow("door: push from broken");
    expect(door.step("open", "pull")).toBe("closed");
  });

  it("knows its ends and draws itself", () => {
    expect(door.states.filter((s) => door.isTerminal(s))).toEqual(["broken"]);
    expect(door.toMermaid()).toBe(`stateDiagram-v2
  [*] --> closed
  closed --> open: push
  closed --> broken: kick
  open --> closed: pull
  broken --> [*]`);
  });
});

describe("the suite of machines", () => {
  it("finds a state that nothing leads to", () => {
    const island = new Machine<string, string>("island", "a", { a: { go: "b" }, b: {}, island: { go: "b" } });
    expect(unreachableStates(island)).toEqual(["island"]);
  });

  it("finds states that never end", () => {
    const circle = new Machine<string, string>("circle", "a", {
      a: { go: "b", leave: "c" },
      b: { go: "b2" },
      b2: { go: "b" },
      c: {},
    });
    expect(endlessStates(circle)).toEqual(["b", "b2"]);
  });
});
