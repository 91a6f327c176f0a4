import { createHash } from "node:crypto";
import { tmpdir, userInfo } from "node:os";
import { join, resolve } from "node:path";

/** A Unix socket's path has room for some hundred bytes: what is added to the directory takes up to forty. */
const LENGTH_MAX = 60;

/** Where sockets that belong to `wanted` are: the same each time, and short enough wherever that is. */
export function socketDirectory(wanted: string): string {
  const path = resolve(wanted);
  if (path.length <= LENGTH_MAX) return path;
  const name = createHash("sha256").update(path).digest("hex").slice(0, 16);
  return join(tmpdir(), `weft-${userInfo().uid}-${name}`);
}
