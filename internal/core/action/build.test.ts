import { describe, expect, it } from "vitest";

import { zipOf } from "../../../test/harness/zip.js";
import type { RuntimeKind } from "../sandbox/manifest.js";
import { buildDigest, buildFailed, loadedExec, needsBuild } from "./build.js";
import type { Build, Exec } from "./types.js";

const recipe = { version: 1, image: "i", memoryMb: 512, timeoutMs: 1_000, network: false, command: ["sh"] };
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
  it.each<[string, Pick<RuntimeKind, "build">, Uint8Array, boolean, boolean]>([
    ["source of a kind that is built", go, Buffer.from("package main"), false, true],
    ["source of a kind that is not", { build: undefined }, Buffer.from("x"), false, false],
    ["an archive with source", go, zipOf([{ name: "main.go", content: "x" }]), true, true],
    ["an archive with its program", go, zipOf([{ name: "exec", content: "x" }]), true, false],
    ["an archive with a program further down", go, zipOf([{ name: "bin/exec", content: "x" }]), true, true],
    ["an executable", go, Buffer.from("\x7fELF\x02\x01", "latin1"), true, false],
  ])("are needed or not for %s", (_, kind, code, binary, needed) => {
    expect(needsBuild(kind, code, binary)).toBe(needed);
  });

  it("are the same only when all is that decides what comes out", () => {
    const of = (kind: RuntimeKind, more: Partial<Exec>): string => buildDigest(kind, { ...exec, ...more });
    const all = [
      of(go, {}),
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
    expect(buildFailed(failed).fields).toEqual([{ field: "exec.code", description: `does not build: ${problem}` }]);
  });
});
