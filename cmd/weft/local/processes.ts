// Processes that outlive the command that started them: started in a session of their own, found again by number and
// start time, stopped in order.

import { spawn, spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { WeftError } from "../../../internal/base/errors.js";
import type { LocalProcess } from "./state.js";

export interface StartOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** What it prints is added to this file. */
  readonly logPath: string;
  /** Longest wait for the line on WEFT_READY_FD; undefined: it says nothing, do not wait. */
  readonly readyWithinMs: number | undefined;
}

export interface Started extends LocalProcess {
  /** What it said when it was ready. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** Starts a process and waits until it serves. @throws unavailable with the end of its log when it does not */
export async function startProcess(options: StartOptions): Promise<Started> {
  const log = openSync(options.logPath, "a", 0o600);
  const child = spawn(options.command, options.args, {
    detached: true,
    env: { ...options.env, WEFT_READY_FD: "3" },
    stdio: ["ignore", log, log, "pipe"],
  });
  closeSync(log);
  const pipe = child.stdio[3] as Readable;
  const failed = (why: string): WeftError =>
    new WeftError("unavailable", "START_FAILED", `${options.name} ${why}\n${lastLines(options.logPath)}`, {
      fix: `see ${options.logPath}`,
    });
  try {
    const details =
      options.readyWithinMs === undefined
        ? await new Promise<Readonly<Record<string, unknown>>>((resolve, reject) => {
            child.once("spawn", () => resolve({}));
            child.once("error", (error) => reject(failed(`could not be started: ${error.message}`)));
          })
        : await readyLine(child, pipe, options.readyWithinMs, failed);
    const { pid } = child;
    if (pid === undefined) throw failed("could not be started");
    return { name: options.name, pid, startId: startIdOf(pid) ?? "", details };
  } catch (thrown) {
    child.kill("SIGKILL");
    throw thrown;
  } finally {
    pipe.destroy();
    child.unref();
  }
}

/** True while exactly this process lives. */
export function alive(one: LocalProcess): boolean {
  return startIdOf(one.pid) === one.startId;
}

/** Tells processes to stop, all at once, and kills those that have not after `graceMs`. @returns those that were killed */
export async function stopProcesses(processes: readonly LocalProcess[], graceMs: number): Promise<LocalProcess[]> {
  const living = processes.filter(alive);
  for (const one of living) signal(one, "SIGTERM");
  const until = Date.now() + graceMs;
  while (living.some(alive) && Date.now() < until) await pause(STOP_POLL_MS);
  const killed = living.filter(alive);
  for (const one of killed) signal(one, "SIGKILL");
  while (killed.some(alive)) await pause(STOP_POLL_MS);
  return killed;
}

/** The end of a log, for an error. */
export function lastLines(path: string, count = 8): string {
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  return lines
    .slice(-count)
    .map((line) => `  ${line.slice(0, 400)}`)
    .join("\n");
}

const STOP_POLL_MS = 25;

function signal(one: LocalProcess, name: NodeJS.Signals): void {
  try {
    process.kill(one.pid, name);
  } catch (thrown) {
    // It ended meanwhile: that is what was wanted.
    if ((thrown as NodeJS.ErrnoException).code !== "ESRCH") throw thrown;
  }
}

function readyLine(
  child: ReturnType<typeof spawn>,
  pipe: Readable,
  withinMs: number,
  failed: (why: string) => WeftError,
): Promise<Readonly<Record<string, unknown>>> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(failed(`was not ready within ${withinMs / 1000} s`)), withinMs);
    const lines = createInterface({ input: pipe });
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      lines.close();
      act();
    };
    lines.once("line", (line) => settle(() => resolve(JSON.parse(line) as Readonly<Record<string, unknown>>)));
    child.once("exit", (code, by) => settle(() => reject(failed(`ended with ${by ?? `code ${code ?? "?"}`}`))));
    child.once("error", (error) => settle(() => reject(failed(`could not be started: ${error.message}`))));
  });
}

/** The moment a process started, as the system tells it; undefined when there is none (or only its remains). */
export function startIdOf(pid: number): string | undefined {
  if (process.platform === "linux") {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      // The name in parentheses may hold anything; what follows it is fields 3 and up.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return fields[0] === "Z" ? undefined : fields[19];
    } catch {
      return undefined; // no such process
    }
  }
  const { stdout } = spawnSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" });
  return stdout.trim() === "" ? undefined : stdout.trim();
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
