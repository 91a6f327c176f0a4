// Loads an action's code and finds its main function.

import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Script } from "node:vm";
import type { Init } from "./codec.js";
import { unzip } from "./unzip.js";

export type Main = (params: unknown, context: unknown) => unknown;

/** @throws Error whose message a developer can act on */
export async function load(init: Init, workDir: string): Promise<Main> {
  const main = init.main === "" ? "main" : init.main;
  const dir = mkdtempSync(join(workDir, "action-"));
  process.chdir(dir);
  if (init.binary) {
    unzip(init.code, dir);
    return pick(await importAny(entryOf(dir)), main, "the archive");
  }
  const source = init.code.toString("utf8");
  const fileName = `${init.actionName.split("/").at(-1) ?? "action"}.js`;
  if (looksLikeModule(source)) {
    const path = join(dir, fileName.replace(/\.js$/, ".mjs"));
    writeFileSync(path, source);
    return pick(await importAny(path), main, fileName);
  }
  return loadScript(source, dir, fileName, main);
}

// A plain `function main` without an export is found by asking for the name in the scope of the code itself.
function loadScript(source: string, dir: string, fileName: string, main: string): Main {
  if (!/^[\w$.]+$/.test(main)) throw new Error(`main "${main}" is not the name of a function`);
  const path = join(dir, fileName);
  writeFileSync(path, source);
  const head = main.split(".")[0] ?? main;
  const wrapper = `(function (exports, require, module, __filename, __dirname) {${source}
;return typeof ${head} === "undefined" ? undefined : ${main};})`;
  const script = new Script(wrapper, { filename: fileName });
  const compiled = script.runInThisContext() as (...args: unknown[]) => unknown;
  const module = { exports: {} as Record<string, unknown> };
  const named = compiled.call(module.exports, module.exports, createRequire(path), module, path, dir);
  if (typeof named === "function") return named as Main;
  return pick(module.exports, main, fileName);
}

function pick(exported: unknown, main: string, where: string): Main {
  const spaces = [exported, (exported as { default?: unknown } | null)?.default];
  for (const space of spaces) {
    let found: unknown = space;
    for (const part of main.split(".")) found = (found as Record<string, unknown> | undefined)?.[part];
    if (typeof found === "function") return found as Main;
    if (main === "main" && typeof space === "function") return space as Main;
  }
  const names = Object.keys((exported ?? {}) as object).filter((k) => k !== "default");
  throw new Error(
    `no function "${main}" in ${where}${names.length > 0 ? `; it exports ${names.join(", ")}` : " and it exports nothing"}`,
  );
}

function entryOf(dir: string): string {
  const manifest = join(dir, "package.json");
  let entry = "index.js";
  if (existsSync(manifest)) {
    const parsed = JSON.parse(readFileSync(manifest, "utf8")) as { main?: unknown };
    if (typeof parsed.main === "string") entry = parsed.main;
  }
  const candidates = [entry, `${entry}.js`, join(entry, "index.js"), "index.mjs", "index.cjs"];
  const found = candidates.map((name) => join(dir, name)).find((path) => existsSync(path));
  if (found === undefined) throw new Error(`the archive has no "${entry}"; name the file in package.json's "main"`);
  return found;
}

async function importAny(path: string): Promise<unknown> {
  return (await import(pathToFileURL(path).href)) as unknown;
}

function looksLikeModule(source: string): boolean {
  return /^\s*(import\s[\w{*"']|export\s+(default|async|function|const|let|class|\{|\*))/m.test(source);
}
