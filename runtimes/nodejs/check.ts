// Looks through an action's code for mistakes, and runs nothing of it: what the launcher's build mode starts.
// runtimes/launcher/build.go says what it finds, and reads the places out of what is printed.

import { spawnSync } from "node:child_process";
import { copyFileSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join, relative, sep } from "node:path";
import { compileScript, entryOf, plainSource } from "./load.js";

const EXTENSIONS = [".js", ".mjs", ".cjs"];
/** Files that are looked at. */
const FILES_MAX = 200;
/** How files name each other: require("./a"), import("./a"), from "./a", import "./a". */
const NAMED = /(?:\brequire\s*\(|\bimport\s*\(|\bfrom|\bimport)\s*["'](\.{1,2}\/[^"'\n]+)["']/g;
/** How long Node may take to read one module. */
const MODULE_MS = 20_000;

class Mistake extends Error {}

const directory = process.cwd();
const main = process.env["WEFT_ACTION_MAIN"] ?? "main";
const file = process.env["WEFT_SOURCE_FILE"] ?? "";

try {
  if (file === "") checkArchive();
  else check(join(directory, file), plainSource(readFileSync(join(directory, file), "utf8")), main);
} catch (thrown) {
  process.stdout.write(
    `${thrown instanceof Mistake ? thrown.message : `${file}: ${(thrown as Error).message}`.replace(/^: /, "")}\n`,
  );
  process.exit(1);
}

/** The entry, and what it names of its own files, and these name. What nothing names may be anything. */
function checkArchive(): void {
  const { path: entry } = entryOf(directory, main);
  const seen = new Set([entry]);
  for (const path of seen) {
    const source = plainSource(readFileSync(path, "utf8"));
    check(path, source, "main");
    for (const [, named = ""] of source.matchAll(NAMED)) {
      const found = ["", ...EXTENSIONS, "/index.js"].map((end) => join(dirname(path), named) + end).find(isCode);
      if (found !== undefined && seen.size < FILES_MAX) seen.add(found);
    }
  }
}

/** Inside of the archive, and written by who packed it. */
function isCode(path: string): boolean {
  const below = relative(directory, path);
  if (below.startsWith("..") || below.split(sep).includes("node_modules")) return false;
  return EXTENSIONS.includes(extname(path)) && statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/** As a script, or as a module where only a module can say it. @throws Mistake */
function check(path: string, source: string, name: string): void {
  if (extname(path) === ".mjs") return checkModule(path, path);
  try {
    if (compileScript(source, relative(directory, path), name)) return;
  } catch (thrown) {
    if (!(thrown instanceof SyntaxError)) throw thrown;
    throw mistakeIn(thrown.stack ?? thrown.message, path);
  }
  const copy = join(process.env["WEFT_BUILD_DIR"] ?? directory, `${basename(path, extname(path))}.mjs`);
  if (file === "") copyFileSync(path, copy);
  else writeFileSync(copy, source);
  checkModule(copy, path);
}

function checkModule(path: string, shown: string): void {
  const { status, stderr } = spawnSync(process.execPath, ["--check", path], { encoding: "utf8", timeout: MODULE_MS });
  if (status !== 0) throw mistakeIn(stderr, shown);
}

/** Node says `file:line`, the line itself, a mark below it, and what is wrong. */
function mistakeIn(said: string, path: string): Mistake {
  const shown = relative(directory, path);
  const line = /^.*\.[cm]?js:(\d+)$/m.exec(said)?.[1];
  const mark = /^( *)\^+$/m.exec(said)?.[1];
  const what = /^\w*Error: .*$/m.exec(said)?.[0] ?? (said.trim() || "it cannot be read");
  if (line === undefined) return new Mistake(`${shown}: ${what}`);
  return new Mistake(`${shown}:${line}:${mark === undefined ? "" : `${mark.length + 1}:`} ${what}`);
}
