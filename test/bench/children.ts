// The harness's child processes, and the CPU time that any process used.

import { fork, type ChildProcess } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { EchoAnswer, LoadOrder, LoadReport } from "./protocol.js";

/** A clean environment: NODE_EXTRA_CA_CERTS and the like change what is measured. */
const ENV = { PATH: process.env["PATH"] ?? "" };

function start(file: string): ChildProcess {
  return fork(fileURLToPath(new URL(file, import.meta.url)), { env: ENV, execArgv: ["--max-semi-space-size=32"] });
}

function message<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null): void => reject(new Error(`a child ended with ${code ?? "a signal"}`));
    child.once("exit", onExit);
    child.once("message", (said) => {
      child.off("exit", onExit);
      resolve(said as T);
    });
  });
}

export class EchoServer {
  private constructor(
    private readonly child: ChildProcess,
    readonly address: string,
  ) {}

  static async start(): Promise<EchoServer> {
    const child = start("./echo-server.js");
    const { port } = await message<{ readonly port: number }>(child);
    return new EchoServer(child, `127.0.0.1:${port}`);
  }

  /** What its Invoke answers from now on. */
  async answer(invokeResponse: Uint8Array): Promise<void> {
    const told = message(this.child);
    this.child.send({ invokeResponseBase64: Buffer.from(invokeResponse).toString("base64") } satisfies EchoAnswer);
    await told;
  }

  stop(): void {
    this.child.kill("SIGKILL");
  }
}

export class LoadClient {
  private constructor(private readonly child: ChildProcess) {}

  static async start(): Promise<LoadClient> {
    const child = start("./load-client.js");
    await message(child);
    return new LoadClient(child);
  }

  /** @throws when a call failed: a number with failures in it says nothing */
  async run(order: LoadOrder): Promise<LoadReport> {
    const answer = message<{ readonly report?: LoadReport; readonly error?: string }>(this.child);
    this.child.send(order);
    const { report, error } = await answer;
    if (!report) throw new Error(error ?? "the load client said nothing");
    if (report.failures > 0 || report.calls === 0) {
      throw new Error(`${report.failures} of ${report.failures + report.calls} calls failed: ${report.failure}`);
    }
    return report;
  }

  stop(): void {
    this.child.kill("SIGKILL");
  }
}

const TICK_MS = 10; // the kernel's USER_HZ is 100 on every Linux of today

/** CPU milliseconds that processes used so far; those that are gone count nothing. */
export function cpuMs(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      ticks += Number(fields[11]) + Number(fields[12]);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") throw thrown;
    }
  }
  return ticks * TICK_MS;
}

/** Processes whose command line has a text in it: sandboxes are not children of ours. */
export function pidsWith(text: string): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(text);
      } catch {
        return false; // it ended meanwhile
      }
    })
    .map(Number);
}
