import { describe, expect, it } from "vitest";

import { zipOf } from "../../../test/harness/zip.js";
import type { WeftError } from "../../base/errors.js";
import { RuntimeManifest, type RuntimeKind } from "../sandbox/manifest.js";
import {
  changedAction,
  defaultsOf,
  initEnvironment,
  newAction,
  revisionOf,
  type ActionChange,
  type ActionInput,
} from "./action.js";
import { isTruthy, keyValuesJson } from "./key-values.js";
import { boundsOf } from "../tenancy/overrides.js";
import { DEFAULT_LIMITS } from "./limits.js";
import { CODE_BYTES_MAX, PARAMETERS_BYTES_MAX, type Action, type KeyValue } from "./types.js";

const kind = (name: string, more: Partial<RuntimeKind> = {}): RuntimeKind => ({
  kind: name,
  family: name.split(":")[0] ?? "",
  default: false,
  deprecated: false,
  image: "image",
  command: [],
  launcher: undefined,
  program: [],
  concurrency: true,
  dockerOnly: false,
  build: undefined,
  env: {},
  addressSpaceHeadroomMb: undefined,
  requireMain: false,
  stemCells: [],
  ...more,
});

const manifest = new RuntimeManifest([
  kind("nodejs:20", { default: true }),
  kind("nodejs:12", { deprecated: true }),
  kind("java:17", { default: true, requireMain: true }),
]);

const kv = (key: string, value: unknown, init = false): KeyValue => ({ key, valueJson: JSON.stringify(value), init });

const input = (more: Partial<ActionInput> = {}): ActionInput => ({
  namespace: "guest",
  name: "hello",
  version: "",
  publish: false,
  annotations: [],
  parameters: [],
  limits: undefined,
  exec: { kind: "nodejs:20", code: Buffer.from("function main() {}"), binary: false, main: "" },
  ...more,
});

const exec = (more: Partial<NonNullable<ActionInput["exec"]>>): Partial<ActionInput> => ({
  exec: { kind: "nodejs:20", code: Buffer.from("x"), binary: false, main: "", ...more },
});

function violationsOf(act: () => unknown): readonly string[] {
  try {
    act();
  } catch (thrown) {
    return (thrown as WeftError).fields.map((one) => `${one.field}: ${one.description}`);
  }
  return [];
}

describe("a sequence", () => {
  const sequence = (components: readonly string[], more: Partial<NonNullable<ActionInput["exec"]>> = {}) =>
    exec({ kind: "Sequence ", code: new Uint8Array(), components, ...more });

  const made = (): Action => ({
    ...newAction(input(sequence(["a", "/_/b", "/other/pkg/c"])), manifest, "r1").draft,
    revision: 1,
    updatedWallMs: 0,
  });

  it("has resolved components, no code, and shows them as its only parameter", () => {
    const { draft, code } = newAction(
      input({ ...sequence(["a", "/_/b", "/other/pkg/c"]), parameters: [kv("k", 1)] }),
      manifest,
      "r1",
    );
    expect(code).toBeUndefined();
    expect(draft.exec).toEqual({
      kind: "sequence",
      main: undefined,
      binary: false,
      codeDigest: "",
      codeSize: 0,
      components: ["guest/a", "guest/b", "other/pkg/c"],
    });
    expect(draft.parameters).toEqual([kv("_actions", ["/guest/a", "/guest/b", "/other/pkg/c"])]);
    expect(draft.annotations).toContainEqual(kv("exec", "sequence"));
    expect(revisionOf(draft, undefined)).toBeUndefined();
    expect(defaultsOf({ ...draft, revision: 1, updatedWallMs: 0 }, undefined)).toEqual([]);
  });

  it.each<[string, Partial<ActionInput>, string]>([
    ["without components", sequence([]), "exec.components: must name at least one action"],
    ["of 51", sequence(Array<string>(51).fill("a")), "exec.components: more than allowed: 51 > 50 actions"],
    ["with code", sequence(["a"], { code: Buffer.from("x") }), "exec.code: a sequence has no code"],
    ["with a function to call", sequence(["a"], { main: "m" }), "exec.main: a sequence has no function to call"],
    [
      "of what is no name",
      sequence(["a", "a/b/c"]),
      'exec.components[1]: must be "name" or "package/name", got "a/b/c"',
    ],
    ["that is code with components", exec({ components: ["a"] }), 'exec.components: are for the kind "sequence" only'],
  ])("%s is refused", (_what, given, violation) => {
    expect(violationsOf(() => newAction(input(given), manifest, "r1"))).toEqual([violation]);
  });

  it("keeps its annotations and ignores parameters when it is changed", () => {
    const change = { ...input({ exec: undefined }), updateFields: [], deleteAnnotations: ["provide-api-key"] };
    const { draft } = changedAction(made(), { ...change, parameters: [kv("k", 1)] }, manifest, "r2");
    expect(draft.parameters).toEqual(made().parameters);
    expect(draft.annotations).toContainEqual(kv("provide-api-key", false));
  });

  it("that becomes code has the parameters it is given, or none", () => {
    const change = { ...input(), updateFields: [], deleteAnnotations: [] };
    expect(changedAction(made(), change, manifest, "r2").draft).toMatchObject({ parameters: [] });
    const given = changedAction(made(), { ...change, parameters: [kv("k", 1)] }, manifest, "r2");
    expect(given.draft.parameters).toEqual([kv("k", 1)]);
    expect(given.draft.exec.components).toBeUndefined();
  });
});

describe("a new action", () => {
  it("has a first version, default limits, the concrete kind and the annotations that the server keeps", () => {
    const { draft, code } = newAction(input(exec({ kind: " NodeJS:default ", main: "run" })), manifest, "r1");
    expect(Buffer.from(code ?? []).toString()).toBe("x");
    expect(draft).toEqual({
      namespace: "guest",
      name: "hello",
      version: "0.0.1",
      publish: false,
      annotations: [kv("provide-api-key", false), kv("exec", "nodejs:20")],
      exec: {
        kind: "nodejs:20",
        main: "run",
        binary: false,
        codeDigest: "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
        codeSize: 1,
      },
      parameters: [],
      limits: DEFAULT_LIMITS,
      revisionId: "r1",
    });
  });

  it("keeps an answer to whether it is given a key, and does not let the kind be said otherwise", () => {
    const annotations = [kv("provide-api-key", true), kv("exec", "cobol:1"), kv("note", { a: 1 })];
    const { draft } = newAction(input({ annotations }), manifest, "r1");
    expect(draft.annotations).toEqual([kv("provide-api-key", true), kv("exec", "nodejs:20"), kv("note", { a: 1 })]);
  });

  it.each<[string, Partial<ActionInput>, readonly RegExp[]]>([
    ["no name", { name: "" }, [/^name: must not be empty/]],
    ["a name of three parts", { name: "a/b/c" }, [/^name: must be "name" or "package\/name"/]],
    ["a name with a strange character", { name: "a+b" }, [/^name: contains illegal/]],
    ["a name that is too long", { name: "x".repeat(257) }, [/^name: longer than allowed: 257/]],
    ["a version that is none", { version: "1.x" }, [/^version: must be "major.minor.patch"/]],
    ["the version zero", { version: "0.0.0" }, [/^version: must be above/]],
    ["no code at all", { exec: undefined }, [/^exec: is required/]],
    [
      "an unknown kind",
      exec({ kind: "cobol:1" }),
      [/^exec.kind: "cobol:1" is not supported; must be one of "nodejs:20", "java:17"/],
    ],
    ["no kind", exec({ kind: "" }), [/^exec.kind: must be one of/]],
    ["a family without a default", exec({ kind: "cobol:default" }), [/^exec.kind: /]],
    ["a kind of the past", exec({ kind: "nodejs:12" }), [/^exec.kind: "nodejs:12" is no longer supported/]],
    ["no main where one is needed", exec({ kind: "java:17" }), [/^exec.main: is required for java:17/]],
    ["a main with a line break", exec({ main: "a\nb" }), [/^exec.main: must not contain control/]],
    ["a main that is too long", exec({ main: "x".repeat(300) }), [/^exec.main: longer than allowed/]],
    ["empty code", exec({ code: new Uint8Array() }), [/^exec.code: must not be empty/]],
    ["code that is no text", exec({ code: Uint8Array.of(0xff, 0xfe) }), [/^exec.code: must be UTF-8/]],
    ["an archive that is none", exec({ code: Buffer.from("PK"), binary: true }), [/^exec.code: is not a zip archive/]],
    [
      "a time limit too short",
      { limits: { timeoutMs: 99 } },
      [/^limits.timeout_ms: must be between 100 and 300000 ms, not 99/],
    ],
    [
      "limits too large",
      { limits: { memoryMb: 513, logsMb: 11, concurrency: 501 } },
      [/memory_mb/, /logs_mb/, /concurrency/],
    ],
    ["a broken number of sandboxes", { limits: { instances: 1.5 } }, [/^limits.instances: must be between 0/]],
    [
      "a parameter that is no JSON",
      { parameters: [{ key: "a", valueJson: "{", init: false }] },
      [/^parameters\[0\].value_json: must be JSON/],
    ],
    [
      "a parameter without value",
      { parameters: [{ key: "a", valueJson: "", init: false }] },
      [/^parameters\[0\].value_json: must be JSON text; null/],
    ],
    ["a parameter without key", { parameters: [kv("", 1)] }, [/^parameters\[0\].key: must not be empty/]],
    ["a parameter with a long key", { parameters: [kv("x".repeat(257), 1)] }, [/^parameters\[0\].key: longer/]],
    [
      "a parameter twice",
      { parameters: [kv("a", 1), kv("b", 1), kv("a", 2)] },
      [/^parameters\[2\].key: "a" is there twice/],
    ],
    [
      "a variable with =",
      { parameters: [kv("a=b", 1, true)] },
      [/^parameters\[0\].key: becomes the name of an environment/],
    ],
    ["an annotation for init", { annotations: [kv("a", 1, true)] }, [/^annotations\[0\].init: is for parameters/]],
    [
      "a value nested too deep",
      { annotations: [{ key: "a", valueJson: "[".repeat(600) + "]".repeat(600), init: false }] },
      [/nested deeper/],
    ],
    [
      "parameters too large",
      { parameters: [kv("a", "x".repeat(PARAMETERS_BYTES_MAX))] },
      [/^parameters: larger than allowed/],
    ],
    [
      "many things wrong",
      { name: "", version: "x", limits: { memoryMb: 1 }, exec: undefined },
      [/^name/, /^version/, /^limits/, /^exec/],
    ],
  ])("with %s is refused, naming the field", (_name, more, wrong) => {
    const found = violationsOf(() => newAction(input(more), manifest, "r1"));
    expect(found).toHaveLength(wrong.length);
    wrong.forEach((pattern, i) => expect(found[i]).toMatch(pattern));
  });

  it("may be as large as allowed and not larger", () => {
    const code = Buffer.alloc(CODE_BYTES_MAX + 1, "x");
    expect(newAction(input(exec({ code: code.subarray(1) })), manifest, "r1").draft.exec.codeSize).toBe(CODE_BYTES_MAX);
    expect(() => newAction(input(exec({ code })), manifest, "r1")).toThrow(
      expect.objectContaining({ kind: "invalidArgument", reason: "TOO_LARGE" }),
    );
  });

  it("takes an archive", () => {
    const code = zipOf([{ name: "index.js", content: "exports.main = () => ({})" }]);
    expect(newAction(input(exec({ code, binary: true })), manifest, "r1").draft.exec.binary).toBe(true);
  });
});

describe("an update of an action", () => {
  const old: Action = {
    ...newAction(
      input({ parameters: [kv("a", 1)], annotations: [kv("note", 1), kv("gone", 1)], limits: { memoryMb: 512 } }),
      manifest,
      "r1",
    ).draft,
    updatedWallMs: 1,
    revision: 3,
  };
  const change = (more: Partial<ActionChange> = {}): ActionChange => ({
    ...input({ exec: undefined }),
    updateFields: [],
    deleteAnnotations: [],
    ...more,
  });

  it.each<[string, Partial<ActionChange>, Partial<Action>]>([
    ["of nothing raises the patch", {}, { version: "0.0.2" }],
    ["with a version takes it", { version: "2" }, { version: "2.0.0" }],
    ["merges limits field by field", { limits: { logsMb: 0 } }, { limits: { ...old.limits, logsMb: 0 } }],
    ["sets how many sandboxes there may be", { limits: { instances: 3 } }, { maxInstances: 3, limits: old.limits }],
    ["replaces parameters that are given", { parameters: [kv("b", 2)] }, { parameters: [kv("b", 2)] }],
    ["empties parameters that are named", { updateFields: ["parameters"] }, { parameters: [] }],
    [
      "leaves alone what is given but not named",
      { updateFields: ["publish"], parameters: [kv("b", 2)] },
      { parameters: [kv("a", 1)] },
    ],
    ["publishes", { publish: true }, { publish: true }],
    [
      "merges annotations by key, after deleting",
      { annotations: [kv("note", 2), kv("new", 3)], deleteAnnotations: ["gone"] },
      { annotations: [kv("provide-api-key", false), kv("note", 2), kv("exec", "nodejs:20"), kv("new", 3)] },
    ],
    [
      "deletes annotations without giving any, but not the kind",
      { deleteAnnotations: ["note", "gone", "exec"] },
      { annotations: [kv("provide-api-key", false), kv("exec", "nodejs:20")] },
    ],
  ])("%s", (_name, more, expected) => {
    const { draft, code } = changedAction(old, change(more), manifest, "r2");
    expect(draft).toMatchObject(expected);
    expect(draft.revisionId).toBe("r2");
    expect(draft.exec).toEqual(old.exec);
    expect(code).toBeUndefined();
  });

  it("keeps how many sandboxes there may be, until it is taken back", () => {
    const limited = { ...old, maxInstances: 3 };
    expect(changedAction(limited, change({ limits: { logsMb: 1 } }), manifest, "r2").draft.maxInstances).toBe(3);
    expect(changedAction(limited, change({}), manifest, "r2").draft.maxInstances).toBe(3);
    const back = change({ limits: { instances: 0 } });
    expect(changedAction(limited, back, manifest, "r2").draft.maxInstances).toBeUndefined();
    const bounds = boundsOf(undefined, 2);
    expect(() => changedAction(old, change({ limits: { instances: 3 } }), manifest, "r2", bounds)).toThrow(
      "limits.instances: must be between 0 (no limit) and 2",
    );
  });

  it("with code replaces all of it", () => {
    const { draft, code } = changedAction(old, change(exec({ kind: "java:default", main: "M" })), manifest, "r2");
    expect(draft.exec).toMatchObject({ kind: "java:17", main: "M" });
    expect(draft.annotations).toContainEqual(kv("exec", "java:17"));
    expect(code).toBeDefined();
  });

  it.each<[string, Partial<ActionChange>, RegExp]>([
    ["of a field that is none", { updateFields: ["code"] }, /^update_fields\[0\]: "code" is none of/],
    ["of code that is not given", { updateFields: ["exec"] }, /^exec: is named/],
    ["of limits that are not given", { updateFields: ["limits"] }, /^limits: is named/],
    ["of a version that is not given", { updateFields: ["version"] }, /^version: is named/],
    ["with a bad limit", { limits: { concurrency: 0 } }, /^limits.concurrency/],
    ["with bad annotations", { annotations: [kv("", 1)] }, /^annotations\[0\].key/],
  ])("%s is refused", (_name, more, wrong) => {
    expect(violationsOf(() => changedAction(old, change(more), manifest, "r2"))).toEqual([
      expect.stringMatching(wrong),
    ]);
  });

  it("of a kind of the past needs code of another kind", () => {
    const past: Action = { ...old, exec: { ...old.exec, kind: "nodejs:12" } };
    expect(violationsOf(() => changedAction(past, change(), manifest, "r2"))).toEqual([
      expect.stringMatching(/^exec.kind: "nodejs:12" is no longer supported/),
    ]);
    expect(changedAction(past, change(exec({})), manifest, "r2").draft.exec.kind).toBe("nodejs:20");
  });

  it("cannot grow the annotations beyond their limit bit by bit", () => {
    const half = "x".repeat(PARAMETERS_BYTES_MAX / 2);
    const large: Action = { ...old, annotations: [kv("one", half)] };
    expect(
      violationsOf(() => changedAction(large, change({ annotations: [kv("two", half)] }), manifest, "r2")),
    ).toEqual([expect.stringMatching(/^annotations: larger than allowed with those stored/)]);
  });
});

describe("parameters of package and action", () => {
  const action: Action = {
    ...newAction(input({ parameters: [kv("a", 2), kv("S", "action", true)] }), manifest, "r1").draft,
    updatedWallMs: 1,
    revision: 1,
  };
  const inPackage = { parameters: [kv("a", 1), kv("b", 1), kv("S", "package", true), kv("T", [1], true)] };

  it("are merged for arguments, without those for init", () => {
    expect(defaultsOf(action, { ...action, ...inPackage })).toEqual([kv("a", 2), kv("b", 1)]);
    expect(defaultsOf(action, undefined)).toEqual([kv("a", 2)]);
  });

  it("are merged for init, without the rest", () => {
    expect(revisionOf(action, inPackage)).toMatchObject({
      revisionId: "r1",
      actionKey: "guest/hello",
      initParameters: [kv("S", "action", true), kv("T", [1], true)],
    });
  });

  it("become environment variables: strings bare, null empty, the rest as JSON with every digit", () => {
    const env = initEnvironment([
      kv("S", "text"),
      kv("N", null),
      kv("O", { a: [1] }),
      kv("B", false),
      { key: "BIG", valueJson: " 12345678901234567890.10 ", init: true },
    ]);
    expect(env).toEqual({ S: "text", N: "", O: '{"a":[1]}', B: "false", BIG: "12345678901234567890.10" });
  });
});

describe("annotations", () => {
  it.each([
    ["true", true],
    ["false", false],
    ["0", false],
    ["1", true],
    ['""', false],
    ['"false"', true],
    ["null", false],
    ["[]", true],
    ["{}", true],
  ])("of %s are read as %s", (valueJson, truthy) => {
    expect(isTruthy([{ key: "final", valueJson, init: false }], "final", !truthy)).toBe(truthy);
  });

  it("that are absent are read as what that means", () => {
    expect(isTruthy([], "final", true)).toBe(true);
    expect(isTruthy([], "final", false)).toBe(false);
  });

  it("are written as OpenWhisk's array, with every digit", () => {
    const list = [{ key: 'a"', valueJson: "1.10", init: false }, kv("b", "x", true)];
    expect(keyValuesJson(list)).toBe('[{"key":"a\\"","value":1.10},{"key":"b","value":"x","init":true}]');
  });
});
