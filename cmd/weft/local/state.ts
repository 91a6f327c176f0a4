// What a local installation keeps: the folder `.weft` of the directory it was started in. Credentials and secrets are
// readable by their owner only.

import { randomBytes, randomInt, randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface LocalState {
  /** The folder. */
  readonly dir: string;
  /** "uuid:key" of the operator, also in `wskprops`. */
  readonly auth: string;
  /** Shared by all roles; proves to one that another belongs to it. */
  readonly clusterKey: string;
  /** What controllers encrypt parameters with: see parameterKeys in docs/configuration.md. */
  readonly parameterKeys: string;
}

/** Opens the state in `dir`, making what is missing. What is there is kept: credentials survive restarts. */
export function openState(dir: string): LocalState {
  // Others may pass through to the embedded Postgres, which runs as another user when root starts it; no file is theirs to read.
  mkdirSync(dir, { recursive: true, mode: 0o711 });
  const auth = valueIn(wskpropsPath(dir), "AUTH") ?? newAuth();
  const clusterKey = kept(join(dir, "cluster.key"), () => randomBytes(32).toString("hex"));
  const parameterKeys = kept(join(dir, "parameter.keys"), () => `local-1:${randomBytes(32).toString("base64")}`);
  return { dir, auth, clusterKey, parameterKeys };
}

/** The secret in a file, which is made when there is none. */
function kept(path: string, make: () => string): string {
  const found = existsSync(path) ? readFileSync(path, "utf8").trim() : "";
  if (found !== "") return found;
  const made = make();
  writeSecret(path, `${made}\n`);
  return made;
}

/** Writes what the CLI, `wsk` and scripts read. */
export function writeWskprops(state: LocalState, restUrl: string, grpcAddress: string): void {
  writeSecret(wskpropsPath(state.dir), `APIHOST=${restUrl}\nAUTH=${state.auth}\nGRPC=${grpcAddress}\n`);
}

export function wskpropsPath(dir: string): string {
  return join(dir, "wskprops");
}

/** The value of a NAME=value line of a file; undefined without the file or the line. */
export function valueIn(path: string, name: string): string | undefined {
  if (!existsSync(path)) return undefined;
  const line = readFileSync(path, "utf8")
    .split("\n")
    .findLast((text) => text.startsWith(`${name}=`));
  return line?.slice(name.length + 1).trim();
}

/** Replaces a file at once, readable by its owner only. */
export function writeSecret(path: string, text: string): void {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, text, { mode: 0o600 });
  renameSync(draft, path);
}

/** One process of a local installation. */
export interface LocalProcess {
  /** "gateway-1", "envoy", "dev". */
  readonly name: string;
  readonly pid: number;
  /** When the system says it started: tells it from another process that got its number later. */
  readonly startId: string;
}

export interface Running {
  readonly mode: "dev" | "up";
  readonly rest: string;
  readonly grpc: string;
  readonly processes: readonly LocalProcess[];
}

/** What was started here and not stopped since; its processes may have died all the same. */
export function readRunning(dir: string): Running | undefined {
  const path = runningPath(dir);
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Running) : undefined;
}

export function writeRunning(dir: string, running: Running): void {
  writeSecret(runningPath(dir), `${JSON.stringify(running, undefined, 2)}\n`);
}

export function forgetRunning(dir: string): void {
  rmSync(runningPath(dir), { force: true });
}

function runningPath(dir: string): string {
  return join(dir, "running.json");
}

const KEY_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/** OpenWhisk's length; its clients check it. */
const KEY_LENGTH = 64;

function newAuth(): string {
  const key = Array.from({ length: KEY_LENGTH }, () => KEY_LETTERS[randomInt(KEY_LETTERS.length)]).join("");
  return `${randomUUID()}:${key}`;
}
