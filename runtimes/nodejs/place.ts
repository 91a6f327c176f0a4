// Where the entries of an archive go: inside of its folder, whatever they are called.

import { mkdirSync, symlinkSync } from "node:fs";
import { dirname, isAbsolute, join, normalize, sep } from "node:path";

/** Entries in one archive: a large node_modules has some ten thousand. */
export const ENTRIES_MAX = 100_000;
/** Bytes that all entries may take unpacked. */
export const UNPACKED_BYTES_MAX = 512 * 1024 * 1024;

/** @throws Error when it is outside */
export function placeOf(into: string, name: string): string {
  const target = normalize(join(into, name));
  if (name.includes("\0") || name.startsWith("/") || !(target + sep).startsWith(into + sep)) {
    throw new Error(`the archive's entry "${name}" points outside of it`);
  }
  return target;
}

/** npm leaves some links in node_modules/.bin. Those that stay inside are as good as files. @throws Error for others */
export function link(into: string, target: string, to: string): void {
  if (isAbsolute(to) || !(normalize(join(dirname(target), to)) + sep).startsWith(into + sep)) {
    throw new Error("it is a symbolic link that points outside");
  }
  mkdirSync(dirname(target), { recursive: true });
  symlinkSync(to, target);
}
