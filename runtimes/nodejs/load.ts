// Loads an action's code and finds its main function.

import { existsSync, mkdtempSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { compileFunction, constants, Script } from "node:vm";
import type { Init } from "./codec.js";

/** How long Node may take to find a syntax error again. */
const CHECK_MS = 5_000;

export type Main = (params: unknown, context: unknown) => unknown;

/** @throws Error whose message a developer can act on */
export async function load(init: Init, workDir: string): Promise<Main> {
  if (init.code.length === 0) throw new Error("Missing main/no code to execute.");
  const main = init.main === "" ? "main" : init.main;
  const dir = mkdtempSync(join(workDir, "action-"));
  process.chdir(dir);
  offerModules(workDir);
  if (init.binary) {
    await unpack(init.code, dir);
    const { path, name } = entryOf(dir, main);
    return pick(await importAny(path), name, "the archive");
  }
  const name = init.actionName.split("/").at(-1) ?? "action";
  const source = plainSource(init.code.toString("utf8"));
  const fileName = name.endsWith(".js") ? name : `${name}.js`;
  const path = join(dir, fileName);
  writeFileSync(path, source);
  const script = compileScript(source, fileName, main);
  if (script) return runScript(script, dir, path, fileName, main);
  const modulePath = path.replace(/\.js$/, ".mjs");
  renameSync(path, modulePath);
  return pick(await importAny(modulePath), main, fileName);
}

/** What reads archives is not loaded for those who bring none. */
async function unpack(code: Buffer, dir: string): Promise<void> {
  if (code[0] === 0x1f && code[1] === 0x8b) await (await import("./untar.js")).untar(code, dir);
  else (await import("./unzip.js")).unzip(code, dir);
}

/**
 * Modules that come with the runtime are found by `require` and `import` alike, after those in an archive, and nothing of
 * them is loaded before somebody asks.
 */
function offerModules(workDir: string): void {
  const modules = join(import.meta.dirname, "node_modules");
  const link = join(workDir, "node_modules");
  // The link is there already after a first code that did not load.
  if (existsSync(modules) && !existsSync(link)) symlinkSync(modules, link);
}

// A plain `function main` without an export is found by asking for the name in the scope of the code itself.
const HEAD = "(function (exports, require, module, __filename, __dirname) {";

/** Without what is no code. */
export function plainSource(text: string): string {
  return text.replace(/^\ufeff/, "").replace(/^#!/, "//");
}

/** Undefined when only a module can say this: then it is one. */
export function compileScript(source: string, fileName: string, main: string): Script | undefined {
  if (!/^[\w$.]+$/.test(main)) throw new Error(`main "${main}" is not the name of a function`);
  const head = main.split(".")[0] ?? main;
  const wrapped = `${HEAD}${source}\n;return typeof ${head} === "undefined" ? undefined : ${main};})`;
  try {
    return new Script(wrapped, {
      filename: fileName,
      columnOffset: -HEAD.length,
      importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    });
  } catch (thrown) {
    const saysModule =
      /Cannot use import statement|Unexpected token 'export'|Cannot use 'import\.meta'|await is only valid/;
    if (thrown instanceof SyntaxError && saysModule.test(thrown.message)) return undefined;
    // Without what we put around it: the place of the mistake is then in the user's code.
    compileFunction(source, [], { filename: fileName });
    throw thrown;
  }
}

function runScript(script: Script, dir: string, path: string, fileName: string, main: string): Main {
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
  const names = Object.keys(exported ?? {}).filter((k) => k !== "default");
  throw new Error(
    `no function "${main}" in ${where}${names.length > 0 ? `; it exports ${names.join(", ")}` : " and it exports nothing"}`,
  );
}

/**
 * The file to load, and what to call in it. As in OpenWhisk, "other.niam" is `niam` of the module "other" if there is
 * such a file; else it is `niam` of something that the usual module exports as "other".
 */
export function entryOf(dir: string, main: string): { readonly path: string; readonly name: string } {
  const [file = "", ...rest] = main.split(".");
  if (rest.length > 0) {
    const path = fileOf(dir, [`${file}.js`, join(file, "index.js"), `${file}.mjs`, `${file}.cjs`]);
    if (path !== undefined) return { path, name: rest.join(".") };
  }
  return { path: usualEntryOf(dir), name: main };
}

function fileOf(dir: string, candidates: readonly string[]): string | undefined {
  return candidates.map((name) => join(dir, name)).find((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
}

function usualEntryOf(dir: string): string {
  const manifest = join(dir, "package.json");
  let entry = "index.js";
  if (existsSync(manifest)) {
    let parsed: { main?: unknown } | null;
    try {
      parsed = JSON.parse(readFileSync(manifest, "utf8")) as { main?: unknown } | null;
    } catch (thrown) {
      throw new Error(`the archive's package.json is not JSON: ${(thrown as Error).message}`);
    }
    if (typeof parsed?.main === "string" && parsed.main !== "") entry = parsed.main;
  }
  const found = fileOf(dir, [entry, `${entry}.js`, join(entry, "index.js"), "index.mjs", "index.cjs"]);
  if (found === undefined) throw new Error(`the archive has no "${entry}"; name the file in package.json's "main"`);
  return found;
}

async function importAny(path: string): Promise<unknown> {
  try {
    return (await import(pathToFileURL(path).href)) as unknown;
  } catch (thrown) {
    if (thrown instanceof SyntaxError) await addPlace(thrown, path);
    throw thrown;
  }
}

/** Node keeps the place of a module's syntax error to itself, unless asked to check the file. */
async function addPlace(error: SyntaxError, path: string): Promise<void> {
  const { spawnSync } = await import("node:child_process");
  const { stderr } = spawnSync(process.execPath, ["--check", path], { encoding: "utf8", timeout: CHECK_MS });
  const said = stderr.split("\n\n", 1)[0] ?? "";
  if (/^\S+:\d+\n/.test(said)) error.stack = `${said}\n\n${error.stack ?? ""}`;
}
