// Looks through an action's code for mistakes, and runs nothing of it: what the launcher's build mode starts.
// runtimes/launcher/build.go says what it finds, and reads the places out of what is printed.

import { spawnSync } from "node:child_process";
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, extname, join, relative } from "node:path";
import { compileScript, entryOf, plainSource } from "./load.js";

const EXTENSIONS = [".js", ".mjs", ".cjs"];
/** Files beside the entry that are looked at: those at the top of an archive. */
const FILES_MAX = 100;
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

function checkArchive(): void {
  const { path: entry } = entryOf(directory, main);
  const beside = readdirSync(directory)
    .filter((name) => EXTENSIONS.includes(extname(name)))
    .slice(0, FILES_MAX)
    .map((name) => join(directory, name));
  for (const path of new Set([entry, ...beside])) check(path, plainSource(readFileSync(path, "utf8")), "main");
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
  const place = /^\S*?:(\d+)\n.*\n( *)\^+/m.exec(said);
  const what = /^\w*Error: .*$/m.exec(said)?.[0] ?? (said.trim() || "it cannot be read");
  return new Mistake(place ? `${shown}:${place[1]}:${(place[2] ?? "").length + 1}: ${what}` : `${shown}: ${what}`);
}
