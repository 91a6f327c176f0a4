// What leads from one state to another: one row per difference, refusal and order.

import { describe, expect, it } from "vitest";

import { DEFAULT_LIMITS } from "../../../internal/core/action/limits.js";
import { componentsFirst, foreignNames, planOf, type PlanContext } from "./plan.js";
import {
  keyValue,
  MANAGED,
  type ActionState,
  type ApiState,
  type PackageState,
  type RuleState,
  type State,
  type TriggerState,
} from "./state.js";

const aPackage = (more: Partial<PackageState> = {}): PackageState => ({
  name: "p",
  publish: false,
  parameters: [],
  annotations: [],
  ...more,
});
const anAction = (more: Partial<ActionState> = {}): ActionState => ({
  name: "a",
  kind: "nodejs:20",
  main: "",
  binary: false,
  codeDigest: "d1",
  components: [],
  parameters: [],
  annotations: [],
  limits: DEFAULT_LIMITS,
  ...more,
});
const aSequence = (name: string, components: readonly string[], more: Partial<ActionState> = {}): ActionState =>
  anAction({ name, kind: "sequence", codeDigest: "", components, ...more });
const aTrigger = (more: Partial<TriggerState> = {}): TriggerState => ({
  name: "t",
  parameters: [],
  annotations: [],
  ...more,
});
const aRule = (more: Partial<RuleState> = {}): RuleState => ({
  name: "r",
  trigger: "/me/t",
  action: "/me/a",
  active: true,
  annotations: [],
  ...more,
});
const anApi: ApiState = { title: "api", basePath: "/v1", path: "/x", verb: "get", action: "a", responseType: "json" };

interface Parts {
  readonly packages?: readonly PackageState[];
  readonly actions?: readonly ActionState[];
  readonly triggers?: readonly TriggerState[];
  readonly rules?: readonly RuleState[];
  readonly apis?: readonly ApiState[];
}
const stateOf = ({ packages = [], actions = [], triggers = [], rules = [], apis = [] }: Parts): State => {
  const named = <T extends { readonly name: string }>(all: readonly T[]): ReadonlyMap<string, T> =>
    new Map(all.map((one) => [one.name, one]));
  return {
    packages: named(packages),
    actions: named(actions),
    triggers: named(triggers),
    rules: named(rules),
    apis: new Map(apis.map((one) => [`${one.verb.toUpperCase()} ${one.basePath}${one.path}`, one])),
  };
};
const CONTEXT: PlanContext = {
  namespace: "me",
  kinds: [
    { kind: "nodejs:18", isDefault: false },
    { kind: "nodejs:20", isDefault: true },
  ],
  readable: new Set(["/whisk.system/utils", "/whisk.system/utils/echo"]),
};
const planned = (wanted: Parts, here: Parts, context: Partial<PlanContext> = {}): string[] =>
  planOf(stateOf(wanted), stateOf(here), { ...CONTEXT, ...context }).map(({ change, sort, name, what }) =>
    [change, sort, name, ...what].join(" | "),
  );
const owned = (project: string) => ({ key: MANAGED, valueJson: JSON.stringify({ projectName: project }), init: false });

describe("planOf", () => {
  it.each<readonly [what: string, wanted: Parts, here: Parts, plan: readonly string[]]>([
    ["what is new", { actions: [anAction()] }, {}, ["create | action | a"]],
    ["what is the same", { actions: [anAction()] }, { actions: [anAction()] }, ["leave | action | a"]],
    [
      "publish, which only what tells of it changes",
      { actions: [anAction({ publish: true })], triggers: [aTrigger({ publish: false })], rules: [aRule()] },
      {
        actions: [anAction({ publish: false })],
        triggers: [aTrigger({ publish: true })],
        rules: [aRule({ publish: true })],
      },
      ["change | action | a | publish true", "change | trigger | t | publish false", "leave | rule | r"],
    ],
    [
      "what cannot be read there, until it was made here",
      {
        packages: [aPackage({ sealed: "its x are encrypted" }), aPackage({ name: "q", sealed: "its x are encrypted" })],
        actions: [anAction({ name: "p/a" }), anAction({ name: "q/a" })],
      },
      { packages: [aPackage()] },
      [
        "leave | package | p | stays as it is here: its x are encrypted",
        "refuse | package | q | its x are encrypted: create it here with their values",
        "create | action | p/a",
        "refuse | action | q/a | its package q cannot be",
      ],
    ],
    [
      "a default kind, and main",
      { actions: [anAction({ kind: "nodejs:default", main: "main" })] },
      { actions: [anAction()] },
      ["leave | action | a"],
    ],
    [
      "another kind, code, main and limit",
      {
        actions: [
          anAction({ kind: "nodejs:18", codeDigest: "d2", main: "go", limits: { ...DEFAULT_LIMITS, memoryMb: 128 } }),
        ],
      },
      { actions: [anAction()] },
      ["change | action | a | kind nodejs:20 → nodejs:18 | code | main main → go | memory 256 → 128 MiB"],
    ],
    [
      "values that are written otherwise",
      { actions: [anAction({ parameters: [{ key: "k", valueJson: '{"b":[1, 2],"a":"\\u0041"}', init: false }] })] },
      { actions: [anAction({ parameters: [{ key: "k", valueJson: '{"a":"A","b":[1,2]}', init: false }] })] },
      ["leave | action | a"],
    ],
    [
      "values that differ in a digit no double has",
      { actions: [anAction({ parameters: [{ key: "k", valueJson: "12345678901234567891", init: false }] })] },
      { actions: [anAction({ parameters: [{ key: "k", valueJson: "12345678901234567890", init: false }] })] },
      ["change | action | a | parameter k"],
    ],
    [
      "parameters that are new, gone, or for init",
      { actions: [anAction({ parameters: [keyValue("new", 1), { ...keyValue("env", 1), init: true }] })] },
      { actions: [anAction({ parameters: [keyValue("gone", 1), keyValue("env", 1)] })] },
      ["change | action | a | parameters env, gone, new"],
    ],
    [
      "annotations of the platform",
      { actions: [anAction()] },
      { actions: [anAction({ annotations: [keyValue("exec", "nodejs:20"), keyValue("provide-api-key", false)] })] },
      ["leave | action | a"],
    ],
    [
      "an annotation that is gone",
      { actions: [anAction()] },
      { actions: [anAction({ annotations: [keyValue("web-export", true)] })] },
      ["change | action | a | annotation web-export"],
    ],
    [
      "parameters and limits of a sequence",
      { actions: [aSequence("s", ["/me/a"])] },
      { actions: [anAction(), aSequence("s", ["/me/a"], { parameters: [keyValue("_actions", [])] })] },
      ["leave | sequence | s"],
    ],
    [
      "another sequence",
      { actions: [aSequence("s", ["/me/a", "/me/a"])] },
      { actions: [anAction(), aSequence("s", ["/me/a"])] },
      ["change | sequence | s | runs /me/a, /me/a"],
    ],
    [
      "a package that is shared",
      { packages: [aPackage({ publish: true })] },
      { packages: [aPackage()] },
      ["change | package | p | shared"],
    ],
    [
      "a binding to another package",
      { packages: [aPackage({ binding: { namespace: "whisk.system", name: "utils" } })] },
      { packages: [aPackage({ binding: { namespace: "whisk.system", name: "samples" } })] },
      ["change | binding | p | bound to /whisk.system/utils"],
    ],
    [
      "a rule's state, trigger and action",
      { rules: [aRule({ active: false, trigger: "/me/u", action: "/me/b" })] },
      {
        actions: [anAction(), anAction({ name: "b" })],
        triggers: [aTrigger(), aTrigger({ name: "u" })],
        rules: [aRule()],
      },
      ["change | rule | r | trigger /me/t → /me/u | action /me/a → /me/b | inactive"],
    ],
    [
      "what a feed is told",
      { triggers: [aTrigger({ feed: { action: "/me/a", inputs: [], digest: "new" } })] },
      { actions: [anAction()], triggers: [aTrigger({ feed: { action: "/me/a", digest: "old" } })] },
      ["change | trigger | t | what the feed is told"],
    ],
    [
      "another action behind an API",
      { apis: [{ ...anApi, action: "b" }] },
      { actions: [anAction({ name: "b" })], apis: [anApi] },
      ["change | api | GET /v1/x | action a → b"],
    ],
  ])("tells %s", (_what, wanted, here, plan) => {
    expect(planned(wanted, here)).toEqual(plan);
  });

  it.each<readonly [what: string, wanted: Parts, here: Parts, why: RegExp]>([
    [
      "a kind that nothing here runs",
      { actions: [anAction({ kind: "php:8.1" })] },
      {},
      /no runtime here has the kind php:8.1: there are nodejs:18/,
    ],
    [
      "a default of a family that nothing here runs",
      { actions: [anAction({ kind: "php:default" })] },
      {},
      /php:default/,
    ],
    ["what is known not to be", { actions: [anAction({ problem: "it runs in an image" })] }, {}, /it runs in an image/],
    ["an action without its package", { actions: [anAction({ name: "p/a" })] }, {}, /there is no package p/],
    [
      "a name that another one has",
      { triggers: [aTrigger()] },
      { actions: [anAction({ name: "t" })] },
      /there is an action of this name/,
    ],
    [
      "a package that would become a binding",
      { packages: [aPackage({ binding: { namespace: "whisk.system", name: "utils" } })] },
      { packages: [aPackage()] },
      /there is a package of this name/,
    ],
    [
      "a binding to what is not shared",
      { packages: [aPackage({ binding: { namespace: "other", name: "x" } })] },
      {},
      /\/other\/x is not here, or not shared/,
    ],
    [
      "a sequence without a component",
      { actions: [aSequence("s", ["/me/gone"])] },
      {},
      /it runs \/me\/gone, which does not exist/,
    ],
    ["a sequence of somebody else's action", { actions: [aSequence("s", ["/other/x"])] }, {}, /not for this key/],
    ["a rule without its trigger", { rules: [aRule()] }, { actions: [anAction()] }, /its trigger t does not exist/],
    [
      "a trigger without its feed",
      { triggers: [aTrigger({ feed: { action: "/me/f", inputs: [], digest: "" } })] },
      {},
      /its feed is \/me\/f, which does not exist/,
    ],
  ])("refuses %s", (_what, wanted, here, why) => {
    const [first] = planOf(stateOf(wanted), stateOf(here), CONTEXT);
    expect(first?.change).toBe("refuse");
    expect(first?.what.join()).toMatch(why);
  });

  it("refuses what needs what cannot be, in a chain", () => {
    const wanted = {
      actions: [anAction({ kind: "php:8.1" }), aSequence("s", ["/me/a"]), aSequence("z", ["/me/s"])],
      triggers: [aTrigger()],
      rules: [aRule({ action: "/me/z" })],
    };
    expect(planned(wanted, {}).map((row) => row.split(" | ").slice(0, 3).join(" "))).toEqual([
      "refuse action a",
      "refuse sequence s",
      "refuse sequence z",
      "create trigger t",
      "refuse rule r",
    ]);
  });

  it("takes what refers to a binding for what the binding is bound to", () => {
    const mine = aPackage({ name: "mine", binding: { namespace: "whisk.system", name: "utils" } });
    const wanted = {
      packages: [mine],
      actions: [aSequence("s", ["/me/mine/echo"]), aSequence("t", ["/me/mine/nothing"])],
    };
    expect(planned(wanted, {})).toEqual([
      "create | binding | mine",
      "create | sequence | s",
      "refuse | sequence | t | it runs /whisk.system/utils/nothing, which is not here, or not for this key",
    ]);
  });

  it("writes packages, bindings, actions, sequences, triggers, rules and APIs in this order", () => {
    const wanted = {
      packages: [aPackage(), aPackage({ name: "b", binding: { namespace: "me", name: "p" } })],
      actions: [aSequence("b/x".replace("b/", ""), ["/me/y"]), aSequence("y", ["/me/a"]), anAction()],
      triggers: [aTrigger()],
      rules: [aRule()],
      apis: [anApi],
    };
    expect(planned(wanted, {}).map((row) => row.split(" | ")[2])).toEqual([
      "p",
      "b",
      "a",
      "y",
      "x",
      "t",
      "r",
      "GET /v1/x",
    ]);
  });

  it("keeps what is here when it is told to, and says what differs", () => {
    expect(planned({ actions: [anAction({ codeDigest: "d2" })] }, { actions: [anAction()] }, { keep: true })).toEqual([
      "leave | action | a | is another one here (code)",
    ]);
  });

  describe("of a project", () => {
    const annotations = [owned("mine")];
    const owns = new Set(["mine"]);

    it("deletes what is its own and no longer asked for, users before what they use", () => {
      const here = {
        packages: [aPackage({ annotations })],
        actions: [
          anAction({ annotations }),
          aSequence("s", ["/me/a"], { annotations }),
          aSequence("u", ["/me/s"], { annotations }),
          anAction({ name: "other", annotations: [owned("other")] }),
          anAction({ name: "nobodys" }),
        ],
        triggers: [aTrigger({ annotations })],
        rules: [aRule({ annotations })],
      };
      expect(planned({}, here, { owns }).map((row) => row.replace("delete | ", ""))).toEqual([
        "rule | r",
        "trigger | t",
        "sequence | u",
        "sequence | s",
        "action | a",
        "package | p",
      ]);
    });

    it("leaves a package that has what is not its own", () => {
      const here = { packages: [aPackage({ annotations })], actions: [anAction({ name: "p/guest" })] };
      expect(planned({}, here, { owns })).toEqual(["leave | package | p | has p/guest, not of this project"]);
    });

    it("refuses what belongs to another project, and takes what is nobody's", () => {
      const wanted = { actions: [anAction({ annotations }), anAction({ name: "b", annotations })] };
      const here = { actions: [anAction({ annotations: [owned("other")] }), anAction({ name: "b" })] };
      expect(planned(wanted, here, { owns })).toEqual([
        "refuse | action | a | it belongs to the project other",
        `change | action | b | annotation ${MANAGED}`,
      ]);
    });

    it("does not change what only another version of the manifest marked", () => {
      const mark = (projectHash: string) => ({
        ...owned("mine"),
        valueJson: JSON.stringify({ projectName: "mine", projectHash }),
      });
      const wanted = { actions: [anAction({ annotations: [mark("1")] })] };
      expect(planned(wanted, { actions: [anAction({ annotations: [mark("2")] })] }, { owns })).toEqual([
        "leave | action | a",
      ]);
    });

    it("frees a name before another sort of entity takes it", () => {
      const wanted = { triggers: [aTrigger({ name: "x", annotations })] };
      const here = { actions: [anAction({ name: "x", annotations }), anAction({ name: "y", annotations })] };
      expect(planned(wanted, here, { owns })).toEqual([
        "delete | action | x",
        "create | trigger | x",
        "delete | action | y",
      ]);
    });

    it("deletes operations that it made, and no others", () => {
      const here = { apis: [anApi, { ...anApi, verb: "post" }] };
      expect(planned({}, here, { owns, ownApis: new Set(["GET /v1/x"]) })).toEqual(["delete | api | GET /v1/x"]);
    });
  });
});

describe("componentsFirst", () => {
  it("ends for sequences that lead back to themselves", () => {
    const loop = [aSequence("a", ["/me/b"]), aSequence("b", ["/me/a"])];
    expect(componentsFirst(loop, "me").map(({ name }) => name)).toEqual(["b", "a"]);
  });
});

describe("foreignNames", () => {
  it("are those of other namespaces, and of feeds only when they are told something", () => {
    const wanted = stateOf({
      packages: [aPackage({ binding: { namespace: "other", name: "x" } })],
      actions: [aSequence("s", ["/me/a", "/other/b"])],
      triggers: [
        aTrigger({ feed: { action: "/far/feed", inputs: [], digest: "" } }),
        aTrigger({ name: "u", feed: { action: "/far/untold", digest: "" } }),
      ],
      rules: [aRule({ action: "/other/c" })],
    });
    expect(foreignNames(wanted, "me")).toEqual({
      actions: ["/other/b", "/other/c", "/far/feed"],
      packages: ["/other/x"],
    });
  });
});
