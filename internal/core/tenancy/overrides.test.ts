import { describe, expect, it } from "vitest";
import { Violations } from "../../base/violations.js";
import { DEFAULT_LIMITS } from "../action/limits.js";
import {
  boundsOf,
  checkKindAllowed,
  INSTALLATION_BOUNDS,
  limitsProblem,
  NUMERIC_OVERRIDES,
  OVERRIDE_BOUNDS,
  overridesAfter,
  tighterInstances,
  type NamespaceOverrides,
} from "./overrides.js";

describe("what an operator sets for one namespace", () => {
  const table: readonly {
    readonly what: string;
    readonly old?: NamespaceOverrides;
    readonly given?: NamespaceOverrides;
    readonly clear?: readonly string[];
    readonly after?: NamespaceOverrides | undefined;
    readonly wrong?: readonly string[];
  }[] = [
    { what: "is nothing, at first", after: undefined },
    {
      what: "is kept by what is set besides",
      old: { maxActionMemory: 1_024 },
      given: { maxActionLogs: 0, allowedKinds: [" NodeJS:20 "] },
      after: { maxActionMemory: 1_024, maxActionLogs: 0, allowedKinds: ["nodejs:20"] },
    },
    {
      what: "is taken back by name, in either spelling",
      old: { maxActionMemory: 1_024, minActionMemory: 64, allowedKinds: ["nodejs:20"] },
      clear: ["max_action_memory", "allowedKinds"],
      after: { minActionMemory: 64 },
    },
    { what: "is nothing again", old: { maxPayloadSize: 5 }, clear: ["max_payload_size"], after: undefined },
    {
      what: "may be taken back and set at once",
      old: { minActionMemory: 600, maxActionMemory: 700 },
      given: { maxActionMemory: 256 },
      clear: ["min_action_memory"],
      after: { maxActionMemory: 256 },
    },
    {
      what: "says whether activations are stored, and takes that back",
      old: { storeActivations: false },
      given: { truncationSize: 0, maxActionInstances: 3 },
      after: { storeActivations: false, truncationSize: 0, maxActionInstances: 3 },
    },
    {
      what: "stores activations again",
      old: { storeActivations: false },
      clear: ["store_activations"],
      after: undefined,
    },
    { what: "stores no activations", given: { storeActivations: false }, after: { storeActivations: false } },
    {
      what: "has at least one sandbox",
      given: { maxActionInstances: 0 },
      wrong: ["limits.overrides.max_action_instances"],
    },
    { what: "has names", clear: ["memory"], wrong: ["clear[0]"] },
    {
      what: "is no kind that could be none",
      given: { allowedKinds: ["nodejs:20", "a b", ""] },
      wrong: ["limits.overrides.allowed_kinds[1]", "limits.overrides.allowed_kinds[2]"],
    },
    {
      what: "has a most that is not below the least",
      old: { minActionTimeout: 1_000 },
      given: { maxActionTimeout: 999 },
      wrong: ["limits.overrides.min_action_timeout"],
    },
    ...NUMERIC_OVERRIDES.map((name) => ({
      what: `is not above what can be borne: ${name}`,
      given: { [name]: OVERRIDE_BOUNDS[name].max + 1 },
      wrong: [`limits.overrides.${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`],
    })),
  ];
  for (const { what, old, given = {}, clear = [], after, wrong = [] } of table) {
    it(what, () => {
      const violations = new Violations();
      const got = overridesAfter(old, given, clear, violations);
      expect(violations.found.map(({ field }) => field)).toEqual(wrong);
      if (wrong.length === 0) expect(got).toEqual(after);
    });
  }
});

describe("the bounds of a namespace", () => {
  it("are the installation's where nothing is set", () => {
    expect(boundsOf(undefined)).toBe(INSTALLATION_BOUNDS);
    expect(boundsOf({ maxPayloadSize: 7 })).toMatchObject({
      memoryMb: { min: 128, max: 512 },
      payloadBytesMax: 7,
      parameterBytesMax: 1_048_576,
    });
  });

  it("are never empty: one end draws the other along", () => {
    expect(boundsOf({ maxActionMemory: 64, minActionTimeout: 600_000 })).toMatchObject({
      memoryMb: { min: 64, max: 64 },
      timeoutMs: { min: 600_000, max: 600_000 },
    });
  });
});

describe("an action that was made under other bounds", () => {
  it.each<[string, NamespaceOverrides | undefined, string | undefined]>([
    ["runs where nothing is set", undefined, undefined],
    ["runs within them", { maxActionMemory: 256, minActionTimeout: 60_000 }, undefined],
    ["has too much memory", { maxActionMemory: 255 }, "memory size 256 MB exceeds allowed threshold of 255 MB"],
    [
      "may take too short",
      { minActionTimeout: 60_001 },
      "duration 60000 milliseconds below allowed threshold of 60001 milliseconds",
    ],
    ["logs too much", { maxActionLogs: 9 }, "log size 10 MB exceeds allowed threshold of 9 MB"],
    ["runs too few at once", { minActionConcurrency: 2 }, "concurrency 1 below allowed threshold of 2"],
  ])("%s", (_what, overrides, problem) => {
    expect(limitsProblem(overrides, DEFAULT_LIMITS)).toBe(problem);
  });
});

describe("the kinds of a namespace", () => {
  it("are all, or those that are listed, and sequences", () => {
    for (const [allowed, kind] of [
      [undefined, "nodejs:20"],
      [[], "nodejs:20"],
      [["nodejs:20"], "nodejs:20"],
      [["nodejs:20"], "sequence"],
    ] as const) {
      checkKindAllowed(allowed, kind);
    }
    expect(() => checkKindAllowed(["nodejs:20", "go:1.2"], "python:3")).toThrow(
      expect.objectContaining({
        kind: "permissionDenied",
        reason: "KIND_NOT_ALLOWED",
        message: 'actions of the kind "python:3" are not allowed here; allowed are nodejs:20, go:1.2',
      }),
    );
  });
});

it.each([
  [undefined, undefined, 0],
  [0, 0, 0],
  [3, undefined, 3],
  [0, 5, 5],
  [3, 5, 3],
  [5, 3, 3],
])("of %s sandboxes for the action and %s for the namespace, %d hold", (action, namespace, holds) => {
  expect(tighterInstances(action, namespace)).toBe(holds);
});
