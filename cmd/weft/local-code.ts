// Code as it lies on a developer's disk: a file of source, an archive, or a folder to make one of.

import { existsSync, statSync } from "node:fs";
import { basename, extname, join, resolve } from "node:path";

import { archiveProblem, isArchive } from "../../internal/core/action/archive.js";
import { usage } from "./output.js";
import { readFile } from "./params.js";
import { archiveOfFolder } from "./project/files.js";
import { FAMILIES } from "./project/manifest-entities.js";

export interface LocalCode {
  /** Of an action that has this code: the file's name without its ending. */
  readonly name: string;
  readonly code: Uint8Array;
  readonly binary: boolean;
  /** "nodejs", …; undefined when neither its ending nor its files say. */
  readonly family: string | undefined;
}

/** Files that say in which language a folder is, the first one that is there. */
const ENTRIES: readonly (readonly [file: string, family: string])[] = [
  ["package.json", "nodejs"],
  ["index.js", "nodejs"],
  ["index.mjs", "nodejs"],
  ["index.cjs", "nodejs"],
  ["__main__.py", "python"],
  ["main.rb", "ruby"],
  ["index.php", "php"],
  ["go.mod", "go"],
  ["Cargo.toml", "rust"],
  ["Gemfile", "ruby"],
  ["composer.json", "php"],
];

/** @throws invalidArgument with what to do */
export async function readCode(path: string, cwd: string): Promise<LocalCode> {
  const full = resolve(cwd, path);
  if (statSync(full, { throwIfNoEntry: false })?.isDirectory()) {
    const family = ENTRIES.find(([file]) => existsSync(join(full, file)))?.[1];
    return { name: basename(full), code: await archiveOfFolder(full, path), binary: true, family };
  }
  const code = readFile(path, cwd);
  const ending = extname(path);
  const binary = isArchive(code);
  const problem = code.length === 0 ? "is empty" : binary ? archiveProblem(code, undefined) : undefined;
  if (problem !== undefined) throw usage(`${path} ${problem}`);
  return { name: basename(path, ending), code, binary, family: FAMILIES[ending.toLowerCase()] };
}
