// Sandboxes that are plain child processes: for development, on any machine that has Node. No isolation.
//
//   P1. A sandbox is a session of its own, led by the runtime. Destroying it kills the group in one step and then
//       whatever else carries its mark in the environment, so that children who left the session go too.
//   P2. Everything of a sandbox on disk is in one directory, <directory>/<mark>: socket, work files, and `process`, which
//       names the leader and its start. An earlier life's directories are thus the list of what it left behind.
//   P3. Memory is watched, not enforced: a sandbox may be above its limit for one period. So are processes where no control
//       group can be made for them (pids-groups.ts).

import { execFile, spawn } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";

import { every, type Clock } from "../base/clock.js";
import { WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import { privateDirectory } from "../base/private-directory.js";
import { Rendezvous } from "../base/rendezvous.js";
import type { DriverAbilities, SandboxDriver, SandboxSpec } from "../core/sandbox/driver.js";
import { builderOf, kindEnv, launcherArgs, type RuntimeKind, type RuntimeManifest } from "../core/sandbox/manifest.js";
import { withinStartLimits } from "../core/sandbox/start-limits.js";
import { FromSandbox } from "../gen/weft/runtime/v1/sandbox.pb.js";
import { PidsGroups } from "./pids-groups.js";
import { ProcessSandbox } from "./process-sandbox.js";
import { processTable, type ProcessTable } from "./process-table.js";

/** How often the memory of each sandbox's leader is looked at. */
const WATCH_MS = 100;
/** In so many looks, its children are counted too; each time when it is known to have some. */
const CHILDREN_EVERY_LOOKS = 5;
/** So many births on the machine between two looks, and children are counted at once. */
const BURST_BIRTHS = 128;
/** Names the sandbox in the environment of everything that runs in it. */
const MARK = "WEFT_SANDBOX";
/** Rounds of killing what carries a mark, before it is left to the next life. */
const SWEEPS_MAX = 20;
/** Open files in a sandbox. */
const FILES_MAX = 1024;

export interface ProcessDriverDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly manifest: RuntimeManifest;
  /** The compiled runtimes: dist/runtimes. */
  readonly runtimesDirectory: string;
  /** The launcher's program. Default none: kinds that need one cannot be made. */
  readonly launcher?: string | undefined;
  /** Folder of the way to package registries (invoker/registry-proxy.ts). Default none. */
  readonly registries?: string | undefined;
  /**
   * This driver's own, absolute and short (a socket's path has room for some hundred bytes), the same in each life of the
   * invoker. Made with mode 0700.
   */
  readonly directory: string;
  /** Tells this life's sandboxes from those of earlier ones. */
  readonly bootId: string;
  /** The program search path of sandboxes, and where python is looked for. */
  readonly path: string;
  /** Default: what fits this machine. */
  readonly table?: ProcessTable;
  /** Where control groups are. Default /sys/fs/cgroup. */
  readonly cgroupRoot?: string;
}

/** What was found on this machine. */
interface Found {
  /** What is started, by kind. */
  readonly programs: ReadonlyMap<string, Started>;
  /** Ends the runtime when this process ends, even while user code does not let it look at its socket. */
  readonly setpriv: boolean;
  readonly prlimit: boolean;
  /** Holds the number of processes; undefined where that is watched. */
  readonly groups: PidsGroups | undefined;
}

interface Started {
  /** Program and arguments. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export class ProcessDriver implements SandboxDriver {
  readonly #live = new Map<string, ProcessSandbox>();
  /** Marks of sandboxes that are being created and have no process yet. */
  readonly #starting = new Set<Promise<unknown>>();
  readonly #table: ProcessTable;
  #found: Promise<Found> | undefined;
  #known: Found | undefined;
  #endWatch: (() => void) | undefined;
  #looks = 0;
  #births = -1;
  #withChildren = false;
  #looking = false;
  #closed = false;
  #sweep: { readonly marks: Set<string>; readonly done: Promise<void> } | undefined;

  constructor(private readonly deps: ProcessDriverDeps) {
    this.#table = deps.table ?? processTable();
  }

  get abilities(): DriverAbilities {
    const exact = this.#known?.groups !== undefined;
    const watched = exact ? "memory is" : "memory and processes are";
    const caveats = [
      "child processes: no isolation; code runs as this user, with its files and its network",
      `${watched} watched every ${WATCH_MS} to ${WATCH_MS * CHILDREN_EVERY_LOOKS} ms, not enforced`,
    ];
    if (!exact) caveats.push("a fork bomb on a busy machine may not be stopped: no control group can be made here");
    if (!this.#table.seesMarks) caveats.push("processes that leave the session of their sandbox are not found again");
    if (this.#known && !this.#known.setpriv) {
      caveats.push(
        "code that never lets go of its thread outlives a killed invoker until the next start (no setpriv here)",
      );
    }
    if (this.#known && !this.#known.prlimit) {
      caveats.push("open files, core dumps and address space are not limited (no prlimit here)");
    }
    const pidsLimit = exact ? "exact" : "watched";
    return { name: "process", isolation: false, memoryLimit: "watched", pidsLimit, freeze: true, caveats };
  }

  async kinds(): Promise<readonly string[]> {
    const { programs } = await this.#find();
    return [...programs.keys()];
  }

  async create(spec: SandboxSpec, timeoutMs: number, signal: AbortSignal): Promise<ProcessSandbox> {
    const creating = this.#create(spec, timeoutMs, signal);
    this.#starting.add(creating);
    try {
      return await creating;
    } finally {
      this.#starting.delete(creating);
    }
  }

  async cleanUp(): Promise<number> {
    privateDirectory(this.deps.directory);
    const marks = new Set(readdirSync(this.deps.directory).filter((name) => !this.#live.has(name)));
    const { groups } = await this.#find();
    for (const mark of groups?.marks() ?? []) if (!this.#live.has(mark)) marks.add(mark);
    for (const mark of marks) this.#killRecorded(mark);
    if (marks.size > 0) await this.#sweepMarks(marks);
    for (const mark of marks) {
      await this.#removeGroup(groups, mark);
      await rm(join(this.deps.directory, mark), { recursive: true, force: true });
    }
    return marks.size;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#starting);
    await Promise.all([...this.#live.values()].map((sandbox) => sandbox.destroy()));
    this.#endWatch?.();
    this.#endWatch = undefined;
    this.#known?.groups?.close();
    await rm(this.deps.directory, { recursive: true, force: true });
  }

  async #create(spec: SandboxSpec, timeoutMs: number, signal: AbortSignal): Promise<ProcessSandbox> {
    const found = this.#known ?? (await this.#find());
    const asked = this.deps.manifest.find(spec.kind);
    const kind = spec.build ? asked && builderOf(asked) : asked;
    const program = spec.build ? this.#builder(kind) : found.programs.get(spec.kind);
    if (!kind || program === undefined) throw this.#noSuchKind(spec.kind, found);
    if (this.#closed) throw new WeftError("unavailable", "DRIVER_CLOSED", "the process driver is closed");
    privateDirectory(this.deps.directory);
    const mark = `${this.deps.bootId}-${spec.sandbox}`;
    const directory = join(this.deps.directory, mark);
    const work = join(directory, "work");
    await mkdir(work, { recursive: true, mode: 0o700 });
    let rendezvous: Rendezvous | undefined;
    let sandbox: ProcessSandbox | undefined;
    try {
      rendezvous = await Rendezvous.listen(join(directory, "s"), false);
      signal.throwIfAborted();
      const started = this.#spawn(spec, kind, program, found, mark, directory, work);
      sandbox = started;
      const early = started.exited.then((exit) => {
        throw new WeftError("unavailable", "RUNTIME_DIED", `the runtime of ${spec.kind} ended before it said hello`, {
          cause: exit,
        });
      });
      const what = `sandbox ${spec.sandbox} (${spec.kind})`;
      const arrival = withinStartLimits(
        this.deps.clock,
        timeoutMs,
        signal,
        what,
        Promise.race([rendezvous.arrived, early]),
      );
      const { link, first } = await arrival;
      started.ready(link, languageVersionOf(first, what));
      return started;
    } catch (thrown) {
      rendezvous?.close();
      if (sandbox) await sandbox.destroy();
      else await rm(directory, { recursive: true, force: true });
      if (thrown === signal.reason) {
        throw new WeftError("canceled", "START_CANCELED", "the start of a sandbox was given up", { cause: thrown });
      }
      throw thrown;
    }
  }

  #spawn(
    spec: SandboxSpec,
    kind: RuntimeKind,
    program: Started,
    found: Found,
    mark: string,
    directory: string,
    work: string,
  ): ProcessSandbox {
    const command = [...program.command];
    if (found.prlimit) {
      const limits = ["--core=0", `--nofile=${FILES_MAX}`];
      if (kind.addressSpaceHeadroomMb !== undefined) {
        limits.push(`--as=${(spec.memoryMb + kind.addressSpaceHeadroomMb) * 1024 * 1024}`);
      }
      command.unshift("prlimit", ...limits);
    }
    if (found.setpriv) command.unshift("setpriv", "--pdeathsig", "KILL");
    const [file = "", ...rest] = command;
    const child = spawn(file, rest, {
      detached: true, // leads a session and a group of its own (P1)
      cwd: work,
      stdio: ["ignore", "pipe", "pipe"],
      // Nothing of ours: secrets, and settings of Node that would slow its start or change it.
      env: {
        PATH: this.deps.path,
        HOME: work,
        TMPDIR: work,
        LANG: "C.UTF-8",
        ...program.env,
        ...kindEnv(kind, spec.memoryMb),
        ...spec.env,
        ...(spec.registries && this.deps.registries !== undefined ? { WEFT_REGISTRIES: this.deps.registries } : {}),
        WEFT_SOCKET: join(directory, "s"),
        WEFT_KIND: spec.kind,
        WEFT_WORKDIR: work,
        [MARK]: mark,
      },
    });
    child.on("error", () => {}); // no pid tells the same, below
    if (child.pid === undefined) {
      throw new WeftError("unavailable", "DRIVER_UNAVAILABLE", `${file} could not be started`, {
        fix: "see whether the machine has processes and memory left",
      });
    }
    this.#group(found.groups, mark, child.pid, spec.pidsMax);
    writeFileSync(join(directory, "process"), `${child.pid} ${this.#table.startOf(child.pid) ?? ""}`);
    const sandbox = new ProcessSandbox(
      {
        clock: this.deps.clock,
        log: this.deps.log,
        sweep: async (one) => {
          await this.#sweepMarks(new Set([one]));
          await this.#removeGroup(found.groups, one);
        },
        gone: (one) => {
          this.#live.delete(one.mark);
          if (this.#live.size > 0) return;
          this.#endWatch?.();
          this.#endWatch = undefined;
        },
      },
      spec,
      mark,
      directory,
      child,
      child.pid,
    );
    this.#live.set(mark, sandbox);
    this.#endWatch ??= every(this.deps.clock, WATCH_MS, () => void this.#look());
    return sandbox;
  }

  // ---- watching (P3) ----

  async #look(): Promise<void> {
    if (this.#looking) return; // ps may take longer than a period
    this.#looking = true;
    try {
      const awake = [...this.#live.values()].filter((sandbox) => !sandbox.frozen);
      for (const sandbox of awake) this.#judge(sandbox, this.#table.memoryOf(sandbox.pid) ?? 0, 0);
      this.#looks += 1;
      const births = this.#table.births();
      const burst = births !== undefined && Math.abs(births - this.#births) >= BURST_BIRTHS;
      if (!burst && !this.#withChildren && this.#looks % CHILDREN_EVERY_LOOKS !== 0) return;
      if (births === this.#births && !this.#withChildren) return;
      this.#births = births ?? -1;
      const uses = await this.#table.sessions(new Set(awake.map((sandbox) => sandbox.pid)));
      this.#withChildren = false;
      for (const sandbox of awake) {
        const use = uses.get(sandbox.pid);
        if (!use) continue;
        if (use.processes > 1) this.#withChildren = true;
        this.#judge(sandbox, use.memoryBytes, use.tasks);
      }
    } finally {
      this.#looking = false;
    }
  }

  #judge(sandbox: ProcessSandbox, memoryBytes: number, tasks: number): void {
    const { memoryMb, pidsMax } = sandbox.spec;
    if (memoryBytes > memoryMb * 1024 * 1024) sandbox.condemn({ kind: "outOfMemory", limitMb: memoryMb });
    else if (tasks > pidsMax) sandbox.condemn({ kind: "tooManyProcesses", limit: pidsMax });
  }

  // ---- killing ----

  /** A runtime starts nothing before it has code, so that all of its sandbox is in the group. */
  #group(groups: PidsGroups | undefined, mark: string, pid: number, pidsMax: number): void {
    if (!groups) return;
    try {
      groups.make(mark, pidsMax);
      groups.add(mark, pid);
    } catch (thrown) {
      kill(-pid, "SIGKILL");
      void this.#removeGroup(groups, mark);
      throw new WeftError("unavailable", "DRIVER_UNAVAILABLE", "no control group could be made for a sandbox", {
        cause: thrown,
        fix: "see whether this user may still write where /proc/self/cgroup says",
      });
    }
  }

  /** The group of a sandbox that has ended, with what of it the sweep could not find. */
  async #removeGroup(groups: PidsGroups | undefined, mark: string): Promise<void> {
    if (!groups) return;
    for (const pid of groups.pids(mark)) kill(pid, "SIGKILL");
    if (!(await groups.remove(mark))) this.deps.log.warn("a control group is left", { sandbox: mark });
  }

  /** Kills whatever carries one of the marks. One pass over all processes serves everybody who asks in the same tick. */
  #sweepMarks(marks: ReadonlySet<string>): Promise<void> {
    if (!this.#table.seesMarks) return Promise.resolve();
    if (!this.#sweep) {
      const all = new Set<string>();
      const done = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
        this.#sweep = undefined;
        return this.#kill(all);
      });
      this.#sweep = { marks: all, done };
    }
    for (const mark of marks) this.#sweep.marks.add(mark);
    return this.#sweep.done;
  }

  async #kill(marks: ReadonlySet<string>): Promise<void> {
    for (let round = 0; round < SWEEPS_MAX; round++) {
      const found = [...this.#table.marked(MARK, marks).keys()];
      if (found.length === 0) return;
      // Stopped first, so that none is born while the others are killed.
      for (const signal of ["SIGSTOP", "SIGKILL"] as const) for (const pid of found) kill(pid, signal);
      await new Promise<void>((resolve) => void this.deps.clock.after(1 + round, resolve));
    }
    this.deps.log.warn("processes of a sandbox cannot be killed", { sandboxes: [...marks] });
  }

  #killRecorded(mark: string): void {
    let recorded: string;
    try {
      recorded = readFileSync(join(this.deps.directory, mark, "process"), "utf8");
    } catch {
      return; // it died before there was a process, or before it was written down: the mark finds that one
    }
    const space = recorded.indexOf(" ");
    const pid = Number(recorded.slice(0, space));
    const start = recorded.slice(space + 1);
    // The number may be another process's by now.
    if (pid > 1 && start !== "" && this.#table.startOf(pid) === start) kill(-pid, "SIGKILL");
  }

  // ---- finding ----

  #find(): Promise<Found> {
    this.#found ??= this.#search().then((found) => (this.#known = found));
    return this.#found;
  }

  async #search(): Promise<Found> {
    const [setpriv, prlimit] = await Promise.all([
      this.#answers("setpriv", ["--pdeathsig", "KILL", "true"]),
      this.#answers("prlimit", ["--core=0", "true"]),
    ]);
    const programs = new Map<string, Started>();
    for (const kind of this.deps.manifest.kinds) {
      if (kind.dockerOnly) continue;
      const program = kind.launcher === undefined ? await this.#served(kind) : await this.#launched(kind);
      if (program !== undefined) programs.set(kind.kind, program);
    }
    const { clock, cgroupRoot = "/sys/fs/cgroup", directory } = this.deps;
    const groups = PidsGroups.open(clock, directory, cgroupRoot);
    return { programs, setpriv: setpriv !== undefined, prlimit: prlimit !== undefined, groups };
  }

  /** A kind with a runtime server of its own. */
  async #served(kind: RuntimeKind): Promise<Started | undefined> {
    const program = kind.command[0] === "node" ? this.#node(kind) : await this.#interpreter(kind);
    const args = kind.command.slice(1).map((arg) => (arg.includes("/") ? this.#fileOf(arg) : arg));
    return program === undefined ? undefined : { command: [program, ...args], env: {} };
  }

  /** A kind that the launcher serves: its program is here, and of the kind's version. */
  async #launched(kind: RuntimeKind): Promise<Started | undefined> {
    const { launcher } = this.deps;
    if (launcher === undefined) return undefined;
    const command = [launcher, ...launcherArgs(kind, (path) => this.#fileOf(path))];
    const [program] = kind.program;
    if (program === undefined) return { command, env: {} };
    const version = versionIn(
      (await this.#answers(program, ["--version"])) ?? "",
      kind.kind.slice(kind.family.length + 1),
    );
    return version === undefined ? undefined : { command, env: { WEFT_LANGUAGE_VERSION: version } };
  }

  /** Whether what it needs is on this machine, the build command finds out. */
  #builder(builder: RuntimeKind | undefined): Started | undefined {
    const { launcher } = this.deps;
    if (!builder || builder.dockerOnly || launcher === undefined) return undefined;
    return { command: [launcher, ...launcherArgs(builder, (path) => this.#fileOf(path))], env: {} };
  }

  #fileOf(path: string): string {
    return join(this.deps.runtimesDirectory, path);
  }

  /** The node that runs us. Without its own kind in the manifest it serves the default: newer ones run older code. */
  #node(kind: RuntimeKind): string | undefined {
    const running = `nodejs:${process.versions.node.split(".")[0] ?? ""}`;
    if (kind.kind === running) return process.execPath;
    if (!kind.default || this.deps.manifest.find(running)) return undefined;
    this.deps.log.warn("a kind is served by another version", { kind: kind.kind, version: process.versions.node });
    return process.execPath;
  }

  /** The interpreter of exactly this version: `python3.11`, else a `python3` that says it is 3.11. */
  async #interpreter(kind: RuntimeKind): Promise<string | undefined> {
    const program = kind.command[0] ?? "";
    const version = kind.kind.slice(kind.family.length + 1);
    for (const name of [`${kind.family}${version}`, program]) {
      // Asked for its real path: version managers put scripts in front that take longer than the interpreter.
      const answer = await this.#answers(name, [
        "-c",
        "import sys; print('%d.%d %s' % (*sys.version_info[:2], sys.executable))",
      ]);
      const [found, ...path] = (answer ?? "").trim().split(" ");
      if (found === version) return path.join(" ");
    }
    return undefined;
  }

  /** What a program prints; undefined when it is not there or fails. */
  #answers(program: string, args: readonly string[]): Promise<string | undefined> {
    return new Promise((resolve) => {
      execFile(program, args, { env: { PATH: this.deps.path }, timeout: 10_000 }, (failed, text) => {
        resolve(failed ? undefined : text);
      });
    });
  }

  #noSuchKind(kind: string, found: Found): WeftError {
    const has = [...found.programs.keys()].join(", ");
    return new WeftError("failedPrecondition", "IMAGE_MISSING", `no program here runs ${kind}; there is ${has}`, {
      fix: `install ${kind.replace(":", " ")} on this machine, or use the docker driver`,
    });
  }
}

/** The version in what a program says of itself, when it is the wanted one or begins with it: "3.1.2" for "3.1". */
export function versionIn(said: string, wanted: string): string | undefined {
  return [...said.matchAll(/\d+(\.\d+)*/g)].map(([v]) => v).find((v) => v === wanted || v.startsWith(`${wanted}.`));
}

function languageVersionOf(first: Uint8Array, what: string): string {
  const { message } = FromSandbox.decode(first);
  if (message?.$case === "hello" && message.value.protocol === 1) return message.value.languageVersion;
  throw new WeftError("failedPrecondition", "RUNTIME_PROTOCOL", `${what} speaks another protocol`, {
    fix: "run: npm run build, and deploy/local/images",
  });
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "ESRCH") throw thrown;
  }
}
