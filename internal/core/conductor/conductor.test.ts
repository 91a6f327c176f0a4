import { describe, expect, it } from "vitest";

import type { Outcome } from "../activation/types.js";
import { NOTHING_INHERITED, type ComponentEnd, type Found, type Step } from "../sequence/step.js";
import { beginComposition, endedInComposition, foundInComposition, type CompositionRun } from "./run.js";

const ABOUT = {
  path: "guest/both",
  version: "0.0.1",
  limits: { timeoutMs: 1, memoryMb: 256, logsMb: 10, concurrency: 1 },
};

const runOf = (step: Step): CompositionRun => {
  if (step.run.kind !== "composition") throw new Error("it is no composition");
  return step.run;
};

const begin = (paramsJson = '{"n":1.0}'): Step => beginComposition(ABOUT, NOTHING_INHERITED, 1_000, paramsJson);

/** What runs now ends. */
function end(step: Step, resultJson: string, more: Partial<ComponentEnd> = {}): Step {
  const ended = {
    outcome: "success",
    resultJson,
    durationMs: 1,
    memoryMb: 128,
    composite: undefined,
    ...more,
  } as const;
  return endedInComposition(runOf(step), ended, "guest");
}

function found(step: Step, what: Found = "action"): Step {
  if (step.kind !== "look") throw new Error(`nothing is looked for: ${step.kind}`);
  return foundInComposition(runOf(step), what, step.place, step.paramsJson);
}

/** The arguments of the conductor that is to run. */
function conductor(step: Step): string {
  if (step.kind !== "start" || step.place) throw new Error(`no conductor is started: ${step.kind}`);
  return step.paramsJson;
}

describe("a composition", () => {
  it("runs the conductor first, with what it was called with", () => {
    expect(begin()).toMatchObject({
      kind: "start",
      place: undefined,
      paramsJson: '{"n":1.0}',
      note: { kind: "conductor" },
    });
  });

  it("begins with what the note of its request says", () => {
    const note = { kind: "inherited", depth: 3, componentRuns: 4, conductorRuns: 5 } as const;
    expect(beginComposition(ABOUT, note, 1, "{}").run).toMatchObject({
      kind: "composition",
      depth: 3,
      componentRuns: 4,
      conductorRuns: 6,
    });
  });

  it.each([
    ['{"params":{"a":1.0},"state":{"s":1}}', '{"a":1.0}'],
    ['{"params":7}', '{"value":7}'],
    ['{"params":[1]}', '{"value":[1]}'],
    ['{"a":1.0,"state":3}', '{"a":1.0,"state":3}'],
    ["[1,2]", "[1,2]"],
  ])("ends when the conductor names no action: %s is the result %s", (said, resultJson) => {
    expect(end(begin(), said)).toMatchObject({ kind: "end", outcome: "success", resultJson });
  });

  it.each<Outcome>(["applicationError", "developerError", "platformError"])(
    "ends with the conductor's %s",
    (outcome) => {
      const resultJson = '{"error":"no"}';
      expect(end(begin(), resultJson, { outcome })).toMatchObject({ kind: "end", outcome, resultJson });
    },
  );

  it("runs what the conductor names, and lays its state over the result", () => {
    const look = end(begin(), '{"action":"a","params":{"x":1.10},"state":{"step":1,"n":5}}');
    expect(look).toMatchObject({ kind: "look", place: { namespace: "guest", name: "a" }, paramsJson: '{"x":1.10}' });
    const component = found(look);
    expect(component).toMatchObject({ kind: "start", note: { kind: "inherited", depth: 1, componentRuns: 0 } });
    expect(conductor(end(component, '{"n":2.0,"m":3}'))).toBe('{"n":5,"m":3,"step":1}');
  });

  it.each([
    ["is boxed when it is no object", '{"action":"a","state":4}', '{"r":1,"state":4}'],
    ["is forgotten when it is left out", '{"action":"a"}', '{"r":1}'],
  ])("state %s", (_what, said, args) => {
    const before = end(begin(), '{"action":"a","state":{"old":1}}');
    const again = end(end(found(before), "{}"), said);
    expect(conductor(end(found(again), '{"r":1}'))).toBe(args);
  });

  it("hands the conductor the error of a component, and an array in a box", () => {
    const component = (): Step => found(end(begin(), '{"action":"a"}'));
    expect(conductor(end(component(), '{"error":"no"}', { outcome: "applicationError" }))).toBe('{"error":"no"}');
    expect(conductor(end(component(), "[1]"))).toBe('{"value":[1]}');
  });

  it.each([
    ['"a"', "guest", "a"],
    ['"p/a"', "guest", "p/a"],
    ['"o/p/a"', "o", "p/a"],
    ['"/o/a"', "o", "a"],
    ['"/o/p/a"', "o", "p/a"],
    ['"/_/a"', "guest", "a"],
  ])("reads the name %s", (action, namespace, name) => {
    expect(end(begin(), `{"action":${action}}`)).toMatchObject({ kind: "look", place: { namespace, name } });
  });

  it.each(['"/a"', '"a/b/c/d"', '""', '"/o/a/b/c"', "7", "null", '{"name":"a"}', '"a b!"'])(
    "tells the conductor that %s is no name",
    (action) => {
      const args = conductor(end(begin(), `{"action":${action},"state":{"s":1}}`));
      expect(JSON.parse(args)).toEqual({
        error: `Failed to parse action name from json value ${action} during composition.`,
        s: 1,
      });
    },
  );

  it.each<[Found, string]>([
    ["missing", "Failed to resolve action with name 'guest/p/a' during composition."],
    ["forbidden", "Failed entitlement check for action with name 'guest/p/a' during composition."],
  ])("tells the conductor that a component is %s", (what, error) => {
    expect(JSON.parse(conductor(found(end(begin(), '{"action":"p/a"}'), what)))).toEqual({ error });
  });

  it("tells the conductor that it is too long, and ends when it does not listen", () => {
    let step = begin();
    for (let i = 0; i < 50; i += 1) step = end(found(end(step, '{"action":"a"}')), "{}");
    expect(runOf(step)).toMatchObject({ componentRuns: 50, conductorRuns: 51 });
    let rounds = 0;
    for (step = end(step, '{"action":"a"}'); step.kind !== "end"; step = end(step, '{"action":"a"}')) {
      expect(JSON.parse(conductor(step))).toEqual({ error: "Too many actions in the composition." });
      rounds += 1;
    }
    expect(rounds).toBe(50);
    expect(step).toMatchObject({
      outcome: "applicationError",
      resultJson: '{"error":"Too many actions in the composition."}',
      run: { conductorRuns: 101 },
    });
  });

  it("shares what it may run with compositions in it, and counts a sequence as one", () => {
    const composition = found(end(begin(), '{"action":"c"}'), "composition");
    expect(composition).toMatchObject({ note: { componentRuns: 0, conductorRuns: 1 } });
    const composite = { endWallMs: 1, componentRuns: 7, conductorRuns: 9 };
    const after = end(composition, "{}", { composite });
    expect(runOf(after)).toMatchObject({ componentRuns: 7, conductorRuns: 10 });
    const sequence = found(end(after, '{"action":"s"}'), "sequence");
    expect(sequence).toMatchObject({ note: { componentRuns: 0, conductorRuns: 0 } });
    const last = end(sequence, "{}", { composite: { endWallMs: 1, componentRuns: 40, conductorRuns: undefined } });
    expect(runOf(last)).toMatchObject({ componentRuns: 8, conductorRuns: 11 });
  });
});
