// One child process as a sandbox: its session, its socket, its directory, and how it ends.

import type { ChildProcess } from "node:child_process";
import { rm } from "node:fs/promises";

import type { Clock } from "../base/clock.js";
import type { Log } from "../base/log.js";
import type { SocketLink } from "../base/socket-link.js";
import type { RawOutput, SandboxExit, SandboxProcess, SandboxSpec } from "../core/sandbox/driver.js";
import { RawOutputGate } from "../core/sandbox/raw-output.js";

/** How long a runtime whose connection ended may take to end itself. */
const LEAVE_MS = 500;
/** How long to wait for the last words of a process that aborted: they say whether it was out of memory. */
const LAST_WORDS_MS = 200;
const LAST_WORDS_BYTES_MAX = 8 * 1024;

export interface ProcessSandboxDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Kills what is left of it outside its session. */
  readonly sweep: (mark: string) => Promise<void>;
  readonly gone: (sandbox: ProcessSandbox) => void;
}

export class ProcessSandbox implements SandboxProcess {
  onRawOutput: (output: RawOutput) => void = () => {};
  readonly exited: Promise<SandboxExit>;
  languageVersion = "";
  frozen = false;
  #link: SocketLink | undefined;
  #ended = false;
  /** Why we ended it, when we did. */
  #verdict: SandboxExit | undefined;
  #lastWords = "";
  readonly #gate: RawOutputGate;
  #destroyed: Promise<void> | undefined;
  #cancelLeave = (): void => {};

  constructor(
    private readonly deps: ProcessSandboxDeps,
    readonly spec: SandboxSpec,
    /** Its directory's name and its mark in the environment. */
    readonly mark: string,
    private readonly directory: string,
    private readonly child: ChildProcess,
    /** Process, group and session id: they are one, because it leads both. */
    readonly pid: number,
  ) {
    this.#gate = new RawOutputGate(deps.clock);
    this.#readRaw("stdout");
    this.#readRaw("stderr");
    this.exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        this.#ended = true;
        this.#cancelLeave();
        void this.#classify(code, signal).then(resolve);
      });
    });
    // Its children do not outlive it, whether or not anybody destroys it.
    this.exited
      .then(() => this.destroy())
      .catch((thrown: unknown) => {
        deps.log.warn("a sandbox could not be removed", { sandbox: mark, error: thrown });
      });
  }

  get link(): SocketLink {
    if (!this.#link) throw new Error("the link of a sandbox that is not ready");
    return this.#link;
  }

  /** The runtime has said hello. */
  ready(link: SocketLink, languageVersion: string): void {
    this.#link = link;
    this.languageVersion = languageVersion;
    void link.closed.then(() => {
      if (this.#ended) return;
      // A stopped process cannot leave.
      this.#signal("SIGCONT");
      this.#cancelLeave = this.deps.clock.after(LEAVE_MS, () => {
        this.#signal("SIGKILL");
      });
    });
  }

  /** Kills it because it is above a limit. */
  condemn(verdict: SandboxExit): void {
    this.#verdict ??= verdict;
    this.#signal("SIGKILL");
  }

  freeze(): Promise<void> {
    this.frozen = true;
    this.#signal("SIGSTOP");
    return Promise.resolve();
  }

  unfreeze(): Promise<void> {
    this.frozen = false;
    this.#signal("SIGCONT");
    return Promise.resolve();
  }

  destroy(): Promise<void> {
    this.#destroyed ??= this.#destroy();
    return this.#destroyed;
  }

  async #destroy(): Promise<void> {
    this.#cancelLeave();
    // The group first: the kernel does that in one step, so that not even a fork bomb gets away inside it.
    this.#signal("SIGKILL");
    if (!this.#ended) await new Promise((resolve) => this.child.once("exit", resolve));
    this.#signal("SIGKILL"); // what was born between the two, now that nobody can fork from the leader
    this.#gate.close();
    this.#link?.close();
    await this.deps.sweep(this.mark);
    this.child.stdout?.destroy();
    this.child.stderr?.destroy();
    await rm(this.directory, { recursive: true, force: true, maxRetries: 3 });
    this.deps.gone(this);
  }

  #signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.pid, signal);
    } catch (thrown) {
      // ESRCH: all of it has ended. macOS says EPERM when only zombies are left.
      const code = (thrown as NodeJS.ErrnoException).code;
      if (code !== "ESRCH" && code !== "EPERM") throw thrown;
    }
  }

  #readRaw(stream: "stdout" | "stderr"): void {
    const from = this.child[stream];
    if (!from) return;
    this.#gate.add(from);
    from.on("data", (bytes: Buffer) => {
      if (stream === "stderr")
        this.#lastWords = (this.#lastWords + bytes.toString("latin1")).slice(-LAST_WORDS_BYTES_MAX);
      this.onRawOutput({ stream, bytes });
      this.#gate.count(bytes.length);
    });
    from.on("error", () => {}); // the pipe of a process that was killed; "exit" tells
  }

  async #classify(code: number | null, signal: NodeJS.Signals | null): Promise<SandboxExit> {
    if (this.#verdict) return this.#verdict;
    if (signal === "SIGABRT" || code === 134) {
      // V8 aborts when its heap is full, and says so on standard error, which may still be on its way.
      await this.#lastWordsSaid();
      if (/heap out of memory/i.test(this.#lastWords)) return { kind: "outOfMemory", limitMb: this.spec.memoryMb };
    }
    return { kind: "exited", code: code ?? undefined, signal: signal ?? undefined };
  }

  #lastWordsSaid(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.deps.clock.after(LAST_WORDS_MS, resolve);
      this.child.once("close", () => {
        cancel();
        resolve();
      });
    });
  }
}
