import { describe, expect, it } from "vitest";

import { seededRandom } from "../../base/random.js";
import type { Action, Package } from "../action/types.js";
import { parseManifest } from "../sandbox/manifest.js";
import { installedAction, installedPackage, parseCataloguePackage, type CataloguePackage } from "./catalogue.js";

const manifest = parseManifest(
  JSON.stringify({
    runtimes: {
      nodejs: [
        { kind: "nodejs:20", default: true, deprecated: false, image: "i", command: ["node"], requireMain: false },
      ],
    },
  }),
);
const random = seededRandom(1);

function parsed(more: object = {}, code = "function main() {}"): CataloguePackage {
  const text = { annotations: { description: "tools" }, parameters: { a: 1 }, actions: { echo: more } };
  return parseCataloguePackage("utils", JSON.stringify(text), (file) => Buffer.from(file === "echo.js" ? code : ""));
}

const stored = <T extends object>(draft: T) => ({ ...draft, revision: 1, updatedWallMs: 1 });
const anAction = (from: CataloguePackage): Action =>
  stored(installedAction(undefined, from.actions[0]!, manifest, random)!.draft);

describe("a package of the catalogue", () => {
  it("is shared, and belongs to the system's namespace", () => {
    const one = parsed({ parameters: { p: "q" }, annotations: { description: "echoes" } });
    expect(installedPackage(undefined, one.package)).toEqual({
      namespace: "whisk.system",
      name: "utils",
      version: "0.0.1",
      publish: true,
      annotations: [{ key: "description", valueJson: '"tools"', init: false }],
      parameters: [{ key: "a", valueJson: "1", init: false }],
      binding: undefined,
    });
    expect(installedAction(undefined, one.actions[0]!, manifest, random)).toMatchObject({
      draft: {
        name: "utils/echo",
        exec: { kind: "nodejs:20" },
        parameters: [{ key: "p", valueJson: '"q"' }],
      },
      code: Buffer.from("function main() {}"),
    });
  });

  it("that is as it shall be is not written", () => {
    const one = parsed({ annotations: { b: 1, a: 2 } });
    const old = stored(installedPackage(undefined, one.package)!);
    expect(installedPackage(old, one.package)).toBeUndefined();
    expect(
      installedAction(anAction(one), parsed({ annotations: { a: 2, b: 1 } }).actions[0]!, manifest, random),
    ).toBeUndefined();
  });

  it.each<[string, Partial<Package>]>([
    ["somebody took it back", { publish: false }],
    ["has other parameters", { parameters: [] }],
    ["has other annotations", { annotations: [] }],
  ])("that %s is brought up to date with the next version", (_name, differs) => {
    const wanted = parsed().package;
    const right = installedPackage(undefined, wanted)!;
    expect(installedPackage({ ...stored(right), ...differs }, wanted)).toEqual({ ...right, version: "0.0.2" });
  });

  it.each<[string, object, string]>([
    ["code", {}, "function main() { return {} }"],
    ["parameters", { parameters: { p: 1 } }, "function main() {}"],
    ["annotations", { annotations: { note: 2 } }, "function main() {}"],
  ])("has an action with new %s written with the next version", (_name, more, code) => {
    const old = anAction(parsed({ annotations: { gone: true, note: 1 } }));
    const next = parsed(more, code);
    const write = installedAction(old, next.actions[0]!, manifest, random);
    const { revisionId: _own, ...right } = anAction(next);
    expect(write?.draft).toMatchObject({ exec: right.exec, parameters: right.parameters, version: "0.0.2" });
    expect(new Set(write?.draft.annotations)).toEqual(new Set(right.annotations));
  });

  it("whose files have no known extension is a mistake of ours", () => {
    expect(() => parsed({ kind: "cobol:default" })).toThrow("cobol");
  });
});
