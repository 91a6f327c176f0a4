import { describe, expect, it } from "vitest";

import type { ActivationId } from "../../base/ids.js";
import type { Outcome } from "../activation/types.js";
import { recordOfRun } from "./record.js";
import { beginSequence, endedInSequence, foundInSequence, type SequenceRun } from "./run.js";
import {
  DEPTH_MAX,
  noteOf,
  noteText,
  NOTHING_INHERITED,
  runOf,
  withStarted,
  type ComponentEnd,
  type Found,
  type Inherited,
  type Step,
} from "./step.js";

const LIMITS = { timeoutMs: 1_000, memoryMb: 256, logsMb: 10, concurrency: 1 };
const ABOUT = { path: "guest/pkg/both", version: "0.0.3", limits: LIMITS };

const ended = (resultJson: string, more: Partial<ComponentEnd> = {}): ComponentEnd => ({
  outcome: "success",
  resultJson,
  durationMs: 5,
  memoryMb: 128,
  composite: undefined,
  ...more,
});

const begin = (components: readonly string[], inherited: Inherited = NOTHING_INHERITED): Step =>
  beginSequence(ABOUT, components, inherited, 1_000, '{"error":"an argument"}');

const sequenceOf = (step: Step): SequenceRun => {
  if (step.run.kind !== "sequence") throw new Error("it is no sequence");
  return step.run;
};

/** Says what was found, and that it was started. */
function found(step: Step, what: Found = "action"): Step {
  if (step.kind !== "look") throw new Error(`nothing is looked for: ${step.kind}`);
  return foundInSequence(sequenceOf(step), what, step.place, step.paramsJson);
}

function start(step: Step, what: Found = "action"): SequenceRun {
  const started = found(step, what);
  if (started.kind !== "start") throw new Error(`nothing is started: ${started.kind}`);
  const run = sequenceOf(started);
  return withStarted(run, `id${run.started.length}` as ActivationId);
}

describe("a sequence", () => {
  it("hands each component the result of the one before it, letter by letter, and an array too", () => {
    const first = begin(["guest/a", "other/pkg/b", "guest/c"]);
    expect(first).toMatchObject({
      kind: "look",
      place: { namespace: "guest", name: "a" },
      paramsJson: '{"error":"an argument"}',
    });
    const second = endedInSequence(start(first), ended('{"n":1.10}'));
    expect(second).toMatchObject({
      kind: "look",
      place: { namespace: "other", name: "pkg/b" },
      paramsJson: '{"n":1.10}',
    });
    const third = endedInSequence(start(second), ended("[1, 2]", { memoryMb: 512 }));
    expect(third).toMatchObject({ kind: "look", paramsJson: "[1, 2]" });
    const last = endedInSequence(start(third), ended('{"done":true}'));
    expect(last).toMatchObject({ kind: "end", outcome: "success", resultJson: '{"done":true}' });
    expect(last.run).toMatchObject({ started: ["id0", "id1", "id2"], durationMs: 15, memoryMb: 512, componentRuns: 3 });
  });

  it.each<[Outcome, string]>([
    ["applicationError", '{"error":"no"}'],
    ["developerError", '{"error":"crashed"}'],
    ["platformError", '{"error":"lost"}'],
  ])("ends with the %s of a component", (outcome, resultJson) => {
    const end = endedInSequence(start(begin(["guest/a", "guest/b"])), ended(resultJson, { outcome }));
    expect(end).toMatchObject({ kind: "end", outcome, resultJson });
  });

  it.each<Found>(["missing", "forbidden"])("ends when a component is %s, with what ran so far", (what) => {
    const second = endedInSequence(start(begin(["guest/a", "guest/b"])), ended("{}"));
    expect(found(second, what)).toMatchObject({
      kind: "end",
      outcome: "applicationError",
      resultJson: '{"error":"Sequence component does not exist."}',
      run: { started: ["id0"] },
    });
  });

  it("counts the actions of nested sequences, and a composition as one", () => {
    const nested = found(begin(["guest/s", "guest/c"], { depth: 1, componentRuns: 40, conductorRuns: 9 }), "sequence");
    expect(nested).toMatchObject({ note: { kind: "inherited", depth: 2, componentRuns: 40, conductorRuns: 0 } });
    const after = endedInSequence(
      sequenceOf(nested),
      ended("{}", { composite: { endWallMs: 1, componentRuns: 49, conductorRuns: undefined } }),
    );
    const composition = found(after, "composition");
    expect(composition).toMatchObject({ kind: "start", note: { componentRuns: 0, conductorRuns: 0 } });
    expect(composition.run.componentRuns).toBe(50);
    const ran = endedInSequence(
      sequenceOf(composition),
      ended("{}", { composite: { endWallMs: 1, componentRuns: 7, conductorRuns: 8 } }),
    );
    expect(ran.run.componentRuns).toBe(50);
  });

  it.each<[string, Step]>([
    ["more than 50 actions", found(begin(["guest/a"], { depth: 1, componentRuns: 50, conductorRuns: 0 }))],
    ["too deep a nest", begin(["guest/a"], { depth: DEPTH_MAX + 1, componentRuns: 0, conductorRuns: 0 })],
  ])("does not run %s", (_what, step) => {
    expect(step).toMatchObject({
      kind: "end",
      outcome: "applicationError",
      resultJson: '{"error":"Too many actions in the sequence."}',
    });
  });

  it("goes on from what was remembered of it", () => {
    const run = start(begin(["guest/a", "guest/b"]));
    const remembered = runOf(noteOf(noteText(run)));
    expect(remembered).toEqual(run);
    expect(runOf(noteOf(""))).toBeUndefined();
    expect(runOf(noteOf(noteText({ kind: "conductor" })))).toBeUndefined();
  });

  it("has a record with the ids of what ran, the sum of its durations and the most of its memory", () => {
    const run = start(begin(["guest/a"]));
    const cause = "c".repeat(32) as ActivationId;
    const request = {
      id: "a".repeat(32) as ActivationId,
      namespace: "guest",
      name: "pkg/both",
      paramsJson: "{}",
      callerNamespace: "ada",
      subject: "sub",
      transactionId: "t",
      keyUuid: "",
      traceparent: "",
      acceptedWallMs: 900,
      cause,
    };
    const { run: all } = endedInSequence(run, ended("{}"));
    const end = { outcome: "success", resultJson: '{"é":1}', wallMs: 1_250 } as const;
    expect(recordOfRun(request, all, end)).toMatchObject({
      namespace: "ada",
      name: "both",
      path: "guest/pkg/both",
      version: "0.0.3",
      kind: "sequence",
      startWallMs: 1_000,
      durationMs: 5,
      waitMs: 100,
      resultSize: 8,
      logs: ["id0"],
      limits: { ...LIMITS, memoryMb: 128 },
      cause,
      composite: { endWallMs: 1_250, componentRuns: 1, conductorRuns: undefined },
      binding: undefined,
    });
    // Named through a binding, it is recorded as what it is, with the binding beside it.
    expect(recordOfRun({ ...request, namespace: "bob", name: "mine/both" }, all, end)).toMatchObject({
      path: "guest/pkg/both",
      binding: "bob/mine",
    });
  });
});
