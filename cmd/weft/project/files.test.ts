// A project's files: the same bytes for the same files, and nothing from outside of its folder.

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { beforeEach, describe, expect, it } from "vitest";

import { zipOf } from "../../../test/harness/zip.js";
import { zipProblem } from "../../../internal/core/action/zip.js";
import { manifestIn, withCode } from "./files.js";
import { readManifest } from "./manifest.js";
import type { ActionState } from "./state.js";

let root = "";

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "weft-files-"));
  return () => {
    rmSync(root, { recursive: true });
  };
});

function put(path: string, content: string | Uint8Array = path): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
}

async function load(text: string): Promise<ActionState> {
  const project = readManifest({
    manifest: { file: "manifest.yaml", text: `packages: {default: {actions: {a: {${text}}}}}` },
    namespace: "me",
    variables: () => undefined,
    params: new Map(),
    managed: "never",
    manifestIn: () => undefined,
  });
  const action = (await withCode(project, root)).actions.get("a");
  if (!action) throw new Error("there is no action");
  return action;
}

/** Names in an archive, in their order. */
async function names(text: string): Promise<string[]> {
  const code = Buffer.from((await (await load(text)).code?.()) ?? []);
  expect(zipProblem(code)).toBeUndefined();
  const found: string[] = [];
  for (let at = code.indexOf("PK\x01\x02"); at >= 0; at = code.indexOf("PK\x01\x02", at + 1)) {
    found.push(code.toString("utf8", at + 46, at + 46 + code.readUInt16LE(at + 28)));
  }
  return found;
}

describe("code", () => {
  it("is a file as it is", async () => {
    put("src/a.js", "function main() {}");
    const action = await load("function: src/a.js");
    expect([action.kind, action.binary, Buffer.from((await action.code?.()) ?? []).toString()]).toEqual([
      "nodejs:default",
      false,
      "function main() {}",
    ]);
  });

  it("is an archive whatever its name", async () => {
    put("a.zip", zipOf([{ name: "index.js", content: "x" }]));
    expect(await load("function: a.zip, runtime: nodejs")).toMatchObject({ binary: true, kind: "nodejs:default" });
  });

  it("is what a manifest says itself", async () => {
    expect(await load("code: x, runtime: nodejs")).toMatchObject({
      binary: false,
      codeDigest: expect.stringMatching(/^2d711642b726/) as string,
    });
  });
});

describe("the archive of a folder", () => {
  it("has the same bytes whatever the order and times of its files", async () => {
    put("src/b.js");
    put("src/a/c.js");
    const first = await load("function: src, runtime: nodejs");
    utimesSync(join(root, "src/b.js"), 1, 1);
    rmSync(join(root, "src/a"), { recursive: true });
    put("src/a/c.js");
    expect((await load("function: src, runtime: nodejs")).codeDigest).toBe(first.codeDigest);
    put("src/b.js", "other");
    expect((await load("function: src, runtime: nodejs")).codeDigest).not.toBe(first.codeDigest);
  });

  it.each([
    ["", ["a.js", "lib/b.js"]],
    ["include: [[common/u.js]]", ["a.js", "common/u.js", "lib/b.js"]],
    ["include: [[common/u.js, lib/]]", ["a.js", "lib/b.js", "lib/u.js"]],
    ["include: [[common/u.js, lib/other.js]]", ["a.js", "lib/b.js", "lib/other.js"]],
    ["include: [[common/, lib/]]", ["a.js", "lib/b.js", "lib/deep/d.js", "lib/t.txt", "lib/u.js"]],
    ["include: [[common/*.js, lib/]]", ["a.js", "lib/b.js", "lib/u.js"]],
    ["include: [[common/*.js]]", ["a.js", "common/u.js", "lib/b.js"]],
    ["include: [['common/*/d.js', x/]]", ["a.js", "lib/b.js", "x/deep/d.js"]],
    ["exclude: [src/lib]", ["a.js"]],
    ["exclude: ['src/*'], include: [[src/a.js, a.js]]", ["a.js"]],
  ])("with %s has %j", async (more, files) => {
    for (const path of ["src/a.js", "src/lib/b.js", "common/u.js", "common/t.txt", "common/deep/d.js"]) put(path);
    expect(await names(`function: src, runtime: nodejs${more === "" ? "" : `, ${more}`}`)).toEqual(files);
  });
});

describe("what is refused", () => {
  beforeEach(() => {
    put("src/a.js");
    put("empty/.keep", "");
    put("bad.zip", "PK\x03\x04 and nothing else");
    put("none.js", "");
    put("strange.xyz", "x");
    symlinkSync("/etc/passwd", join(root, "passwd.js"));
    symlinkSync("/etc", join(root, "etc"));
    mkdirSync(join(root, "linked"));
    symlinkSync("../src/a.js", join(root, "linked/a.js"));
    mkdirSync(join(root, "void"));
  });

  it.each([
    ["function: ../outside.js", "is outside of the project's folder"],
    ["function: gone.js", "there is no file or folder gone.js"],
    ["function: passwd.js", "leads out of the project's folder by a link"],
    ["function: etc/passwd, runtime: nodejs", "leads out of the project's folder by a link"],
    ["function: linked/a.js", "linked/a.js is a link"],
    ["function: linked, runtime: nodejs", "linked/a.js is a link"],
    ["function: void, runtime: nodejs", "void has no files"],
    ["function: none.js", "none.js is empty"],
    ["function: bad.zip, runtime: nodejs", "bad.zip is not a zip archive"],
    ["function: src", "needs a `runtime`: an archive does not say"],
    ["function: strange.xyz", "needs a `runtime`: its ending does not say"],
    ["function: src, runtime: nodejs, include: [[../x, y]]", "is outside of the project's folder"],
    ["function: src, runtime: nodejs, include: [[src/a.js, ../y]]", "../y is outside of the archive"],
    ["function: src, runtime: nodejs, include: [['lib/*.js']]", "there is no file or folder lib/"],
    ["function: src, runtime: nodejs, include: [['src/*.ts']]", "no file is called src/*.ts"],
  ])("%s: %s", async (text, why) => {
    await expect(load(text)).rejects.toMatchObject({
      reason: "BAD_MANIFEST",
      message: expect.stringContaining(why) as string,
    });
  });
});

describe("manifestIn", () => {
  it("finds the manifest of a folder, and none outside of the project", () => {
    put("lib/manifest.yml", "packages: {}");
    expect(manifestIn(root, "lib")).toEqual({ file: "lib/manifest.yml", text: "packages: {}" });
    expect(manifestIn(root, "none")).toBeUndefined();
    put("out/manifest.yaml", "x");
    expect(manifestIn(join(root, "lib"), "../out")).toBeUndefined();
  });
});
