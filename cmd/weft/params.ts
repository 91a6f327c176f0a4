// Parameters and annotations from the command line, as JSON text.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import type { KeyValue } from "../../internal/gen/weft/common/v1/common.pb.js";
import type { Io } from "./io.js";
import { entriesOf, objectOf } from "./json-text.js";
import { usage } from "./output.js";

/** What is JSON counts as it is; everything else is a string: `--param name Ada --param n 5 --param s '"5"'`. */
export function valueOf(text: string): string {
  try {
    JSON.parse(text);
    return text.trim();
  } catch {
    return JSON.stringify(text);
  }
}

/** Pairs over those of a file; "-" reads standard input. @returns values as JSON text by key, in order */
export async function collect(
  pairs: readonly (readonly [key: string, value: string])[],
  file: string | undefined,
  io: Pick<Io, "cwd" | "readStdin">,
): Promise<Map<string, string>> {
  const entries =
    file === undefined
      ? new Map<string, string>()
      : entriesOf(await readText(file, io), file === "-" ? "standard input" : file);
  for (const [key, value] of pairs) entries.set(key, valueOf(value));
  return entries;
}

export async function paramsJson(
  pairs: readonly (readonly [key: string, value: string])[],
  file: string | undefined,
  io: Pick<Io, "cwd" | "readStdin">,
): Promise<string> {
  return objectOf(await collect(pairs, file, io));
}

export function keyValues(entries: ReadonlyMap<string, string>): KeyValue[] {
  return [...entries].map(([key, valueJson]) => ({ key, valueJson, init: false }));
}

export async function readText(file: string, io: Pick<Io, "cwd" | "readStdin">): Promise<string> {
  return file === "-" ? io.readStdin() : readFile(file, io.cwd).toString("utf8");
}

/** @throws invalidArgument with what to do */
export function readFile(file: string, cwd: string): Buffer {
  try {
    return readFileSync(resolve(cwd, file));
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    if (code === "ENOENT") throw usage(`there is no file ${file}`);
    if (code === "EISDIR") {
      throw usage(
        `${file} is a folder: pack it first`,
        `(cd ${file} && zip -qr ../code.zip .)    then --kind and code.zip`,
      );
    }
    throw usage(`${file} cannot be read: ${message}`);
  }
}
