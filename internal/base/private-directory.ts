import { lstatSync, mkdirSync } from "node:fs";
import { isAbsolute } from "node:path";
import { invariant, WeftError } from "./errors.js";

/**
 * Makes a directory that nobody else can look or reach into: for sockets. May be repeated.
 * @param path absolute
 * @throws failedPrecondition when it is there and is somebody else's, or open to others
 */
export function privateDirectory(path: string): void {
  invariant(isAbsolute(path), `${path} is absolute`);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const { mode, uid } = lstatSync(path);
  if (uid !== process.getuid?.() || (mode & 0o77) !== 0) {
    throw new WeftError("failedPrecondition", "DIRECTORY_NOT_PRIVATE", `${path} is open to other users`, {
      fix: `chmod 700 ${path}, or remove it`,
    });
  }
}
