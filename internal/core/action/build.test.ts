import { describe, expect, it } from "vitest";

import { zipOf } from "../../../test/harness/zip.js";
import type { BuildRecipe, RuntimeKind } from "../sandbox/manifest.js";
import { buildDigest, buildFailed, buildStepOf, loadedExec, type BuildStep } from "./build.js";
import type { Build, Exec } from "./types.js";

const recipe = {
  version: 1,
  image: "i",
  memoryMb: 512,
  timeoutMs: 1_000,
  network: false,
  command: ["sh"],
  extension: undefined,
  compiles: { sources: undefined },
  dependencies: [],
};
const go = { kind: "go:1.26", build: recipe } as unknown as RuntimeKind;
const exec: Exec = { kind: "go:1.26", main: undefined, binary: false, codeDigest: "source", codeSize: 6 };
const built: Build = {
  digest: "b",
  artifact: { digest: "program", size: 9 },
  lock: "",
  diagnostics: [],
  problem: "",
  durationMs: 5,
};
const problem = "./main.go:4:2: undefined: x";
const failed: Build = { ...built, artifact: undefined, problem };

describe("builds", () => {
  const loads = (more: Partial<BuildRecipe>): Pick<RuntimeKind, "build"> => ({
    build: { ...recipe, compiles: undefined, ...more },
  });
  const list = { file: "package.json", brought: ["node_modules"] };
  const java = loads({ compiles: { sources: ".java" } });
  const script = loads({ dependencies: [list] });
  const zip = (...names: readonly string[]): Uint8Array => zipOf(names.map((name) => ({ name, content: "x" })));
  const text = Buffer.from("x");
  const elf = Buffer.from("\x7fELF\x02\x01", "latin1");
  const tar = Buffer.from([0x1f, 0x8b, 8, 0]);

  it.each<[string, Pick<RuntimeKind, "build">, Uint8Array, boolean, BuildStep | undefined, BuildStep | undefined]>([
    ["nothing of a kind without a recipe", { build: undefined }, text, false, undefined, undefined],
    ["a program of source", go, text, false, "compile", "compile"],
    ["a program of an archive with source", go, zip("main.go"), true, "compile", "compile"],
    ["a program of a tar archive, whose names are not read", go, tar, true, "compile", "compile"],
    ["nothing of an archive with its program", go, zip("exec"), true, undefined, undefined],
    ["a program of one with a program further down", go, zip("bin/exec"), true, "compile", "compile"],
    ["nothing of an executable", go, elf, true, undefined, undefined],
    ["a jar of one source", java, text, false, "compile", "compile"],
    ["a jar of sources", java, zip("src/Hello.java", "lib/x.jar"), true, "compile", "compile"],
    ["nothing of a jar, but that it is looked at", java, zip("Hello.class", "Hello.java"), true, "check", undefined],
    ["nothing of code that is loaded, but that it is looked at", script, text, false, "check", undefined],
    ["what an archive lists", script, zip("index.js", "package.json"), true, "resolve", undefined],
    [
      "nothing that an archive brings",
      script,
      zip("package.json", "node_modules/a/index.js"),
      true,
      "check",
      undefined,
    ],
    ["nothing of a list further down", script, zip("index.js", "a/package.json"), true, "check", undefined],
    ["what a tar archive may list", script, tar, true, "resolve", undefined],
  ])("make %s", (_, kind, code, binary, natively, byOpenWhisk) => {
    const of = (keepFailed: boolean, resolve?: boolean): BuildStep | undefined =>
      buildStepOf(kind, code, binary, { keepFailed, resolve });
    expect([of(false), of(true)]).toEqual([natively, byOpenWhisk]);
    // The annotation is about what would be resolved, and nothing else.
    const resolves = natively === "resolve";
    expect(of(true, true)).toBe(resolves ? "resolve" : byOpenWhisk);
    expect(of(false, false)).toBe(resolves ? "check" : natively);
  });

  it("are the same only when all is that decides what comes out", () => {
    const of = (kind: RuntimeKind, more: Partial<Exec>, step: BuildStep = "compile"): string =>
      buildDigest(kind, step, { ...exec, ...more });
    const all = [
      of(go, {}),
      of(go, {}, "check"),
      of(go, {}, "resolve"),
      of(go, { main: "other" }),
      of(go, { codeDigest: "else" }),
      of(go, { binary: true }),
      of({ ...go, kind: "go:1.27" }, {}),
      of({ ...go, build: { ...recipe, version: 2 } }, {}),
    ];
    expect(new Set(all).size).toBe(all.length);
    expect(of(go, { main: "main" })).toBe(all[0]);
  });

  it("let what was built be loaded, and the source where nothing was", () => {
    expect(loadedExec({ ...exec, build: built })).toEqual({
      ...exec,
      binary: true,
      codeDigest: "program",
      codeSize: 9,
    });
    expect(loadedExec({ ...exec, build: failed })).toEqual(exec);
    expect(loadedExec(exec)).toEqual(exec);
  });

  it("say what could not be done", () => {
    const of = (step: BuildStep | undefined): string => buildFailed({ ...failed, step }).message;
    expect(of(undefined)).toBe(`The source does not build: ${problem}`);
    expect(of("check")).toBe(`The code cannot be loaded: ${problem}`);
    expect(of("resolve")).toBe(`The code and its dependencies do not come together: ${problem}`);
  });

  it("that fail are refused with each place, or with what was said when there is none", () => {
    const diagnostics = [
      { file: "main.go", line: 4, column: 2, text: "undefined: x" },
      { file: "b.go", line: 1, column: 0, text: "no package" },
    ];
    expect(buildFailed({ ...failed, diagnostics })).toMatchObject({
      kind: "invalidArgument",
      reason: "BUILD_FAILED",
      message: `The source does not build: ${problem}`,
      fields: [
        { field: "exec.code", description: "main.go:4:2: undefined: x" },
        { field: "exec.code", description: "b.go:1: no package" },
      ],
    });
    expect(buildFailed(failed).fields).toEqual([
      { field: "exec.code", description: `The source does not build: ${problem}` },
    ]);
  });
});
