// Looks through an action's code for mistakes, and runs nothing of it: what the launcher's build mode starts, with Bun or with
// Node's modules in Deno. runtimes/launcher/build.go says what it finds, and reads the places out of what is printed.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, extname, join, sep } from "node:path";
import process from "node:process";

const EXTENSIONS = [".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs"];
/** Files that are looked at. */
const FILES_MAX = 200;
/** How files name each other: require("./a"), import("./a"), from "./a", import "./a". */
const NAMED = /(?:\brequire\s*\(|\bimport\s*\(|\bfrom|\bimport)\s*["'](\.{1,2}\/[^"'\n]+)["']/g;

const mistakes = filesOf()
  .map(globalThis.Bun ? mistakeByBun : mistakeByDeno)
  .filter((said) => said !== undefined);
if (mistakes.length > 0) {
  console.log(mistakes.join("\n"));
  process.exit(1);
}

/** The entry, and what it names of its own files, and these name. What nothing names may be anything. */
function filesOf() {
  const { WEFT_SOURCE_FILE: file } = process.env;
  if (file) return [file];
  const seen = new Set([entry()]);
  for (const path of seen) {
    for (const [, named] of readFileSync(path, "utf8").matchAll(NAMED)) {
      const found = ["", ...EXTENSIONS, "/index.ts", "/index.js"]
        .map((end) => join(dirname(path), named) + end)
        .find(isCode);
      if (found !== undefined && seen.size < FILES_MAX) seen.add(found);
    }
  }
  return [...seen];
}

/** Inside of the archive, and written by who packed it. */
function isCode(path) {
  const parts = path.split(sep);
  if (parts[0] === ".." || parts.includes("node_modules")) return false;
  return EXTENSIONS.includes(extname(path)) && statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/** As runtimes/deno/loop.ts finds it. */
function entry() {
  let said;
  if (existsSync("package.json")) {
    try {
      said = JSON.parse(readFileSync("package.json", "utf8")).main;
    } catch (thrown) {
      fail(`package.json:1: is not JSON: ${thrown.message}`);
    }
  }
  const candidates = [said ?? "index.ts", "index.ts", "index.js", "index.mjs", "main.ts", "mod.ts"];
  const found = candidates.find((name) => statSync(name, { throwIfNoEntry: false })?.isFile());
  return found ?? fail(`the archive has no "${said ?? "index.ts"}"; name the file in package.json's "main"`);
}

function fail(said) {
  console.log(said);
  process.exit(1);
}

function mistakeByBun(path) {
  const loader = extname(path).replace(/^\.[mc]?/, "");
  try {
    new globalThis.Bun.Transpiler({ loader }).scan(readFileSync(path, "utf8"));
    return undefined;
  } catch (thrown) {
    const first = thrown.errors?.[0] ?? thrown;
    const { line = 1, column = 1 } = first.position ?? {};
    return `${path}:${line}:${column}: SyntaxError: ${first.message}`;
  }
}

/** Deno reads a module and what it imports; of these only what is wrong with the module itself counts. */
function mistakeByDeno(path) {
  const argv = ["info", "--json", "--no-remote", "--no-npm", "--no-lock", path];
  const { stdout, stderr } = spawnSync("deno", argv, { encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } });
  let root;
  try {
    const { modules, roots } = JSON.parse(stdout);
    root = modules.find(({ specifier }) => specifier === roots[0]);
  } catch {
    return `${path}:1: ${stderr.trim() || "Deno could not read it"}`;
  }
  const said = root?.error;
  if (said === undefined || !said.startsWith("SyntaxError")) return undefined;
  const [, line = "1", column = "1"] = /:(\d+):(\d+)\s*$/.exec(said) ?? [];
  return `${path}:${line}:${column}: ${said.split("\n", 1)[0]}`;
}
