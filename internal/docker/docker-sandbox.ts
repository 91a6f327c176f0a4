// One container as a sandbox: its link, its raw output, and how it ends.

import type { Container } from "dockerode";
import { rm } from "node:fs/promises";

import { sleep, type Clock } from "../base/clock.js";
import type { Log } from "../base/log.js";
import type { SocketLink } from "../base/socket-link.js";
import type { RawOutput, SandboxExit, SandboxProcess, SandboxSpec } from "../core/sandbox/driver.js";
import { RawOutputGate } from "../core/sandbox/raw-output.js";
import type { Freezer } from "./freezer.js";
import { RawStreamParser } from "./raw-stream.js";

/** How long a runtime whose connection ended may take to end itself. */
const LEAVE_MS = 500;
/** Docker may hear of the kernel's out-of-memory kill after the exit: looks, and the time between them. */
const OOM_LOOKS = 5;
const OOM_LOOK_MS = 40;
const LAST_WORDS_BYTES_MAX = 8 * 1024;
/** Exit codes above this tell a signal. */
const SIGNALLED = 128;
const KILLED = SIGNALLED + 9;

export interface DockerSandboxDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly freezer: Freezer;
  readonly gone: (sandbox: DockerSandbox) => void;
  /** It goes on without this process. */
  readonly left: (sandbox: DockerSandbox) => void;
}

export class DockerSandbox implements SandboxProcess {
  onRawOutput: (output: RawOutput) => void = () => {};
  readonly exited: Promise<SandboxExit>;
  languageVersion = "";
  /** True when its runtime comes back to a later life. */
  survives = false;
  #link: SocketLink | undefined;
  #stopReading = (): void => {};
  #frozen: "no" | "file" | "docker" = "no";
  #lastWords = "";
  #destroyed: Promise<void> | undefined;
  /** It ends, for whatever reason. */
  #end: () => void = () => {};
  #ending = false;
  /** Why we ended it, when we did. */
  #verdict: SandboxExit | undefined;
  readonly #gate: RawOutputGate;

  constructor(
    private readonly deps: DockerSandboxDeps,
    readonly spec: SandboxSpec,
    private readonly directory: string,
    readonly container: Container,
    private readonly name: string,
  ) {
    this.#gate = new RawOutputGate(deps.clock);
    this.exited = new Promise<void>((resolve) => {
      this.#end = () => {
        this.#ending = true;
        resolve();
      };
    }).then(() => (this.#destroyed ? killed : this.#findOut()));
  }

  get survivesAs(): string | undefined {
    return this.survives ? this.name : undefined;
  }

  get link(): SocketLink {
    if (!this.#link) throw new Error("the link of a sandbox that is not ready");
    return this.#link;
  }

  /** What its processes write past the runtime. Its end is the container's. */
  attached(stream: NodeJS.ReadableStream): void {
    const parser = new RawStreamParser((output) => {
      if (output.stream === "stderr") {
        this.#lastWords = (this.#lastWords + Buffer.from(output.bytes).toString("latin1")).slice(-LAST_WORDS_BYTES_MAX);
      }
      this.onRawOutput(output);
    });
    this.#gate.add(stream);
    this.#stopReading = () => (stream as NodeJS.ReadableStream & { destroy(): void }).destroy();
    stream.on("data", (bytes: Buffer) => {
      parser.push(bytes);
      this.#gate.count(bytes.length);
    });
    // "close" follows an error and an end alike.
    stream.on("error", () => {});
    stream.on("close", () => {
      this.#end();
    });
  }

  /** The runtime has said hello. */
  ready(link: SocketLink, languageVersion: string): void {
    this.#link = link;
    this.languageVersion = languageVersion;
    void link.closed.then(() => {
      this.#end();
    });
  }

  /** Kills it because it is above a limit. */
  condemn(verdict: SandboxExit): void {
    this.#verdict ??= verdict;
    this.container.kill().catch(() => {}); // it has just ended by itself
  }

  async freeze(): Promise<void> {
    if (this.#frozen !== "no" || this.#ending || this.#destroyed) return;
    if (await this.deps.freezer.freeze(this.container.id)) {
      this.#frozen = "file";
      return;
    }
    if (this.#over()) return;
    this.#frozen = "docker";
    await this.#unlessOver(this.container.pause());
  }

  async unfreeze(): Promise<void> {
    const how = this.#frozen;
    this.#frozen = "no";
    if (how === "file") this.deps.freezer.thaw(this.container.id);
    else if (how === "docker") await this.#unlessOver(this.container.unpause());
  }

  async leave(): Promise<void> {
    await this.unfreeze(); // it ends by itself when nobody comes for it
    this.abandon();
    this.deps.left(this);
  }

  /** Lets go of it without ending it: somebody else removes it, or takes it over. */
  abandon(): void {
    this.#destroyed ??= Promise.resolve();
    this.#gate.close();
    this.#stopReading();
    this.#link?.close();
    this.#end();
  }

  destroy(): Promise<void> {
    this.#destroyed ??= this.#destroy();
    return this.#destroyed;
  }

  async #destroy(): Promise<void> {
    // Once it is removed nobody can tell any more why it ended.
    if (this.#ending) await this.exited;
    await this.unfreeze(); // what is frozen cannot be killed
    try {
      await this.container.remove({ force: true, v: true });
    } catch (thrown) {
      // 404: somebody else removed it; 409: somebody else is about to.
      const { statusCode } = thrown as { statusCode?: number };
      if (statusCode !== 404 && statusCode !== 409) throw thrown;
      if (statusCode === 409) await this.container.wait({ condition: "removed" }).catch(() => {});
    } finally {
      this.#gate.close();
      this.#link?.close();
      this.#end();
    }
    await rm(this.directory, { recursive: true, force: true });
    this.deps.gone(this);
  }

  /** Why it ended by itself; kills it when it has not. */
  async #findOut(): Promise<SandboxExit> {
    const cancel = this.deps.clock.after(LEAVE_MS, () => {
      this.deps.freezer.thaw(this.container.id);
      this.container.kill().catch(() => {}); // it has just ended; the wait below tells
    });
    try {
      const { StatusCode: code } = (await this.container.wait()) as { StatusCode: number };
      if (this.#verdict) return this.#verdict;
      // V8 aborts when its heap is full; the first process of a container may get another signal than the one it asked for.
      if (code > SIGNALLED && /heap out of memory/i.test(this.#lastWords)) return this.#outOfMemory();
      for (let look = 0; look < OOM_LOOKS; look++) {
        if ((await this.container.inspect()).State.OOMKilled) return this.#outOfMemory();
        if (code !== KILLED) break;
        await sleep(this.deps.clock, OOM_LOOK_MS);
      }
      return { kind: "exited", code, signal: code === KILLED ? "SIGKILL" : undefined };
    } catch (thrown) {
      if ((thrown as { statusCode?: number }).statusCode !== 404) {
        this.deps.log.warn("why a sandbox ended cannot be found out", { error: thrown });
      }
      return killed;
    } finally {
      cancel();
    }
  }

  #outOfMemory(): SandboxExit {
    return { kind: "outOfMemory", limitMb: this.spec.memoryMb };
  }

  #over(): boolean {
    return this.#ending || this.#destroyed !== undefined;
  }

  async #unlessOver(act: Promise<unknown>): Promise<void> {
    try {
      await act;
    } catch (thrown) {
      if (!this.#over()) throw thrown;
    }
  }
}

const killed: SandboxExit = { kind: "exited", code: undefined, signal: "SIGKILL" };
