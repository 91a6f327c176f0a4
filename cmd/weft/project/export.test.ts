// What is exported reads back as what was there.

import { describe, expect, it } from "vitest";

import { DEFAULT_LIMITS } from "../../../internal/core/action/limits.js";
import type { KeyValue } from "../../../internal/core/action/types.js";
import { exportManifest, type ExportRequest } from "./export.js";
import { readManifest } from "./manifest.js";
import { canonical, keyValue, type ActionState, type State } from "./state.js";

const kv = (key: string, valueJson: string, init = false): KeyValue => ({ key, valueJson, init });
const action = (name: string, more: Partial<ActionState> = {}): ActionState => ({
  name,
  kind: "nodejs:20",
  main: "",
  binary: false,
  codeDigest: "x",
  components: [],
  parameters: [],
  annotations: [],
  limits: DEFAULT_LIMITS,
  ...more,
});
const byName = <T extends { readonly name: string }>(...all: readonly T[]): ReadonlyMap<string, T> =>
  new Map(all.map((one) => [one.name, one]));
const EMPTY: State = {
  packages: new Map(),
  actions: new Map(),
  triggers: new Map(),
  rules: new Map(),
  apis: new Map(),
};

function exported(state: Partial<State>, more: Partial<ExportRequest> = {}) {
  const request = {
    namespace: "guest",
    project: "",
    feedInputs: new Map(),
    dependencies: new Map(),
    ending: () => ".js",
    ...more,
  };
  return exportManifest({ state: { ...EMPTY, ...state }, ...request });
}

/** Deployed to another namespace. */
function read(manifest: string, namespace = "other") {
  return readManifest({
    namespace,
    manifest: { file: "manifest.yaml", text: manifest },
    deployment: undefined,
    manifestIn: () => undefined,
    variables: () => undefined,
    params: new Map(),
    managed: "named",
  });
}

/** Values in one form. */
const texts = (list: readonly KeyValue[] | undefined): Record<string, string> =>
  Object.fromEntries((list ?? []).map(({ key, valueJson }) => [key, canonical(valueJson)]));

const NASTY: readonly (readonly [what: string, valueJson: string])[] = [
  ["a text", '"Ada"'],
  ["an empty text", '""'],
  ["nothing", "null"],
  ["a number with every digit", "12345678901234567890.50"],
  ["a large exponent", "1e400"],
  ["a truth value", "false"],
  ["the name of a type", '"string"'],
  ["a text that YAML would take for a number", '"007"'],
  ["a text that YAML would take for a truth value", '"yes"'],
  ["lines, quotes and backslashes", '"a\\n\\t\\"b\\" \\\\ # : - {"'],
  ["a variable", '"${HOME}"'],
  ["a dollar sign at the start", '"$HOME is where"'],
  ["dollar signs of every kind", '"$1 and ${x} and $${y} and $"'],
  ["a list", '[1, "a", [2.50], {"b": null}]'],
  ["an object", '{"a": {"b": [1]}, "c d": "${e}"}'],
  ["an object that looks like a description", '{"type": "string", "value": 5}'],
  ["an empty object", "{}"],
  ["an empty list", "[]"],
];

describe("a manifest of what is there", () => {
  it.each(NASTY)("has %s as it is", (_, valueJson) => {
    const state = {
      packages: byName({ name: "p", publish: false, parameters: [kv("k", valueJson)], annotations: [] }),
    };
    const { manifest, warnings } = exported(state);
    expect(warnings).toEqual([]);
    expect(texts(read(manifest).state.packages.get("p")?.parameters)).toEqual({ k: canonical(valueJson) });
  });

  it.each(NASTY.filter(([what]) => !what.startsWith("a dollar") && !what.startsWith("dollar")))(
    "has an annotation that is %s",
    (_, valueJson) => {
      const { manifest } = exported({
        actions: byName(action("p/a", { annotations: [kv("k", valueJson)] })),
        packages: pack("p"),
      });
      expect(texts(read(manifest).state.actions.get("p/a")?.annotations)).toEqual({ k: canonical(valueJson) });
    },
  );

  it("says what it cannot say", () => {
    const { warnings } = exported({
      actions: byName(action("a", { parameters: [kv("env", "1", true)], annotations: [kv("note", '"$HOME"')] })),
      rules: byName({ name: "r", trigger: "/guest/t", action: "/guest/a", active: false, annotations: [] }),
      triggers: byName({ name: "t", parameters: [], annotations: [], feed: { action: "/guest/f", digest: undefined } }),
    });
    expect(warnings).toEqual([
      expect.stringContaining("action a: the parameter env is handed over at init"),
      expect.stringContaining("action a: the annotation note has a $"),
      expect.stringContaining("trigger t: what its feed /guest/f was told is not known"),
      expect.stringContaining("rule r is not active"),
    ]);
  });

  it("has everything, and may be deployed to another namespace", () => {
    const { manifest, files } = exported(
      {
        packages: byName(
          { name: "p", publish: true, parameters: [kv("place", '"Rome"')], annotations: [kv("team", '"x"')] },
          {
            name: "mine",
            publish: false,
            parameters: [kv("s", '","')],
            annotations: [],
            binding: { namespace: "whisk.system", name: "utils" },
          },
          { name: "own", publish: false, parameters: [], annotations: [], binding: { namespace: "guest", name: "p" } },
        ),
        actions: byName(
          action("p/hello", {
            main: "go",
            limits: { timeoutMs: 5_000, memoryMb: 128, logsMb: 0, concurrency: 3 },
            annotations: [
              keyValue("exec", "nodejs:20"),
              keyValue("web-export", true),
              keyValue("raw-http", false),
              keyValue("final", true),
            ],
          }),
          action("alone"),
          action("p/twice", {
            kind: "sequence",
            codeDigest: "",
            components: ["/guest/p/hello", "/guest/alone", "/whisk.system/utils/echo"],
          }),
        ),
        triggers: byName(
          { name: "t", parameters: [kv("n", "1")], annotations: [] },
          {
            name: "nightly",
            parameters: [],
            annotations: [keyValue("feed", "/whisk.system/alarms/alarm")],
            feed: { action: "/whisk.system/alarms/alarm", digest: undefined },
          },
        ),
        rules: byName({ name: "r", trigger: "/guest/t", action: "/guest/p/twice", active: true, annotations: [] }),
        apis: new Map([
          [
            "GET /hello/world",
            {
              title: "Hello",
              basePath: "/hello",
              path: "/world",
              verb: "get",
              action: "p/hello",
              responseType: "http",
            },
          ],
        ]),
      },
      { project: "greetings", feedInputs: new Map([["nightly", [kv("cron", '"0 3 * * *"')]]]) },
    );
    expect([...files]).toEqual([
      ["alone", "actions/alone.js"],
      ["p/hello", "actions/p/hello.js"],
    ]);
    const { name, state, warnings } = read(manifest);
    expect([name, warnings]).toEqual(["greetings", []]);
    expect(state.packages.get("p")).toMatchObject({ publish: true });
    expect(state.packages.get("mine")).toMatchObject({ binding: { namespace: "whisk.system", name: "utils" } });
    expect(state.packages.get("own")).toMatchObject({ binding: { namespace: "other", name: "p" } });
    expect(state.actions.get("p/hello")).toMatchObject({
      kind: "nodejs:20",
      main: "go",
      limits: { timeoutMs: 5_000, memoryMb: 128, logsMb: 0, concurrency: 3 },
    });
    expect(state.actions.get("p/twice")?.components).toEqual([
      "/other/p/hello",
      "/other/alone",
      "/whisk.system/utils/echo",
    ]);
    expect(state.rules.get("r")).toMatchObject({ trigger: "/other/t", action: "/other/p/twice" });
    expect(state.triggers.get("nightly")?.feed).toMatchObject({
      action: "/whisk.system/alarms/alarm",
      inputs: [kv("cron", '"0 3 * * *"')],
    });
    expect([...state.apis.keys()]).toEqual(["GET /hello/world"]);
  });

  it("quotes names that are words of YAML", () => {
    const { manifest } = exported({ packages: pack("true", "1.5", "on") });
    expect([...read(manifest).state.packages.keys()].sort()).toEqual(["1.5", "on", "true"]);
  });
});

function pack(...names: readonly string[]) {
  return byName(...names.map((name) => ({ name, publish: false, parameters: [], annotations: [] })));
}
