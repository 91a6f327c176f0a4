import { describe, expect, it } from "vitest";

import { seededRandom } from "../../base/random.js";
import type { Revision } from "../action/store.js";
import type { Action, Binding, KeyValue, Package } from "../action/types.js";
import {
  changedPackage,
  initParametersChanged,
  newPackage,
  revisionsOfPackage,
  revisionThrough,
  type PackageChange,
} from "./package.js";

const kv = (key: string, value: unknown, init = false): KeyValue => ({ key, valueJson: JSON.stringify(value), init });

const input = (more: Partial<PackageChange> = {}): PackageChange => ({
  namespace: "guest",
  name: "utils",
  version: "",
  publish: false,
  annotations: [],
  parameters: [],
  updateFields: [],
  binding: undefined,
  ...more,
});

const stored = (more: Partial<PackageChange> = {}): Package => ({
  ...newPackage(input(more)),
  updatedWallMs: 1,
  revision: 1,
});

describe("a new package", () => {
  it("has a first version", () => {
    expect(newPackage(input({ publish: true, parameters: [kv("a", 1)] }))).toEqual({
      namespace: "guest",
      name: "utils",
      version: "0.0.1",
      publish: true,
      annotations: [],
      parameters: [kv("a", 1)],
      binding: undefined,
    });
  });

  it("that is a binding says so in an annotation, and one that is none does not", () => {
    const annotations = [kv("binding", "mine"), kv("note", 1)];
    const binding = { namespace: "whisk.system", name: "utils" };
    expect(newPackage(input({ annotations, binding }))).toMatchObject({
      binding,
      annotations: [kv("note", 1), kv("binding", binding)],
    });
    expect(newPackage(input({ annotations })).annotations).toEqual([kv("note", 1)]);
  });

  it.each<[string, Partial<PackageChange>, readonly string[]]>([
    ["the reserved name", { name: "default" }, ["name"]],
    ["a name of two parts", { name: "a/b" }, ["name"]],
    ["a binding to no name", { binding: { namespace: "", name: "a/b" } }, ["binding.namespace", "binding.name"]],
    [
      "everything wrong",
      { name: "", version: "x", parameters: [kv("", 1)], annotations: [kv("", 1)] },
      ["name", "parameters[0].key", "annotations[0].key", "version"],
    ],
  ])("with %s is refused", (_name, more, fields) => {
    expect(() => newPackage(input(more))).toThrow(
      expect.objectContaining({ fields: fields.map((field) => expect.objectContaining({ field }) as unknown) }),
    );
  });
});

describe("an update of a package", () => {
  const old = stored({ parameters: [kv("a", 1)], annotations: [kv("note", 1)] });

  it.each<[string, Partial<PackageChange>, Partial<Package>]>([
    ["of nothing raises the patch", {}, { version: "0.0.2", publish: false }],
    ["replaces annotations wholly", { annotations: [kv("other", 1)] }, { annotations: [kv("other", 1)] }],
    ["takes a package back", { updateFields: ["publish"] }, { publish: false, parameters: [kv("a", 1)] }],
    ["empties parameters that are named", { updateFields: ["parameters"] }, { parameters: [] }],
  ])("%s", (_name, more, expected) => {
    expect(changedPackage({ ...old, publish: "updateFields" in more }, input(more))).toMatchObject(expected);
  });

  it("binds a binding to another package, and keeps what it is bound to otherwise", () => {
    const bound = stored({ binding: { namespace: "a", name: "p" } });
    const other = { namespace: "b", name: "q" };
    expect(changedPackage(bound, input({ binding: other }))).toMatchObject({
      binding: other,
      annotations: [kv("binding", other)],
    });
    expect(
      changedPackage(bound, input({ annotations: [kv("note", 1)], binding: other, updateFields: ["annotations"] })),
    ).toMatchObject({
      binding: { namespace: "a", name: "p" },
      annotations: [kv("note", 1), kv("binding", { namespace: "a", name: "p" })],
    });
  });

  it("does not make a binding of a package", () => {
    expect(() => changedPackage(old, input({ binding: { namespace: "a", name: "p" } }))).toThrow(
      expect.objectContaining({ kind: "failedPrecondition", reason: "PACKAGE_NOT_BINDING" }),
    );
  });

  it("that names the binding must give one", () => {
    expect(() => changedPackage(old, input({ updateFields: ["binding"] }))).toThrow("binding");
  });

  it("of a field that is none is refused", () => {
    expect(() => changedPackage(old, input({ updateFields: ["name"] }))).toThrow("update_fields[0]");
  });
});

describe("a revision through a binding", () => {
  const own = { revisionId: "own", initParameters: [kv("S", 1, true)] } as unknown as Revision;
  const through = { ...own, initParameters: [kv("S", 2, true)] };
  const mine = { namespace: "guest", name: "mine" };

  it("is the action's own when the same is handed over at init", () => {
    expect(revisionThrough(own, { ...own, initParameters: [...own.initParameters] }, mine)).toBe(own);
  });

  it("is the same for the same binding, and another for whatever else differs", () => {
    const id = (from: Revision, to: Revision, by: Binding): string => revisionThrough(from, to, by).revisionId;
    expect(id(own, through, mine)).toBe(id({ ...own }, { ...through }, { ...mine }));
    const ids = [
      id(own, through, mine),
      id(own, through, { ...mine, name: "other" }),
      id(own, through, { ...mine, namespace: "other" }),
      id(own, { ...own, initParameters: [kv("S", 3, true)] }, mine),
      id({ ...own, revisionId: "next" }, through, mine),
    ];
    expect(new Set(ids).size).toBe(5);
  });
});

describe("init parameters of a package", () => {
  const old = stored({ parameters: [kv("a", 1), kv("S", 1, true)] });

  it.each<[string, readonly KeyValue[], boolean]>([
    ["the same", [kv("a", 2), kv("S", 1, true)], false],
    ["another value", [kv("S", 2, true)], true],
    ["one less", [], true],
    ["no longer for init", [kv("S", 1)], true],
  ])("%s", (_name, parameters, changed) => {
    expect(initParametersChanged(old, { ...old, parameters })).toBe(changed);
  });

  it("reach every action of it under a new revision", () => {
    const action = {
      namespace: "guest",
      name: "utils/echo",
      version: "0.0.7",
      parameters: [kv("T", "own", true)],
      revisionId: "old",
      exec: {},
      limits: {},
    } as unknown as Action;
    const [revision] = revisionsOfPackage(
      { ...old, parameters: [kv("S", 2, true), kv("T", 0, true)] },
      [action],
      seededRandom(1),
    );
    expect(revision).toMatchObject({
      actionKey: "guest/utils/echo",
      version: "0.0.7",
      initParameters: [kv("S", 2, true), kv("T", "own", true)],
    });
    expect(revision?.revisionId).toMatch(/^[0-9a-f]{32}$/);
  });
});
