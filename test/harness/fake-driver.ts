// A sandbox driver without processes: sandboxes live in memory and speak the runtime's real protocol. What an action does
// is written in its code, one step per line:
//
//   echo               answers its arguments (the default at the end)
//   return <json>      answers this
//   error <json>       answers {"error": this}
//   throw <text>       a developer error
//   answer <text>      answers bytes that need not be JSON
//   log <text>         prints a line          err <text>   prints one on standard error
//   raw <text>         prints past the runtime, without a line end if the text ends with \
//   flood <n>          prints n lines of a kilobyte
//   large <n>          answers n bytes
//   sleep <ms>         waits; a cancel does not end it        nap <ms>  waits, and answers early when it is canceled
//   hang               never answers
//   exit <code>        ends the process       oom  is ended for its memory      fork  is ended for its processes
//   garbage            writes noise to the connection
//   late <text>        answers, and answers the same call again
//   init <step>        does the step when the code is loaded: sleep, fail, exit, hang, log, forge (an answer to the run)

import type { Clock } from "../../internal/base/clock.js";
import { WeftError } from "../../internal/base/errors.js";
import type { MessageLink } from "../../internal/base/socket-link.js";
import type {
  AdoptedSandbox,
  DriverAbilities,
  RawOutput,
  SandboxDriver,
  SandboxExit,
  SandboxProcess,
  SandboxSpec,
  Survivor,
} from "../../internal/core/sandbox/driver.js";
import {
  FromSandbox,
  LogStream,
  RunOutcome,
  ToSandbox,
  type Init,
  type Run,
} from "../../internal/gen/weft/runtime/v1/sandbox.pb.js";

export interface FakeDriverOptions {
  readonly clock: Clock;
  readonly kinds?: readonly string[];
  /** How long making one takes. Default 0: it is there in a later microtask. */
  readonly createMs?: number;
  readonly destroyMs?: number;
  /** True: a creation that is not wanted any more is finished all the same. */
  readonly deaf?: boolean;
  /** Its sandboxes outlive the invoker. */
  readonly survives?: boolean;
  /** What the life before has left; what is busy there does not come back. */
  readonly inherited?: readonly FakeSandbox[];
}

export class FakeDriver implements SandboxDriver {
  readonly abilities: DriverAbilities = {
    name: "process",
    isolation: false,
    memoryLimit: "none",
    pidsLimit: "none",
    freeze: true,
    caveats: ["a fake: no isolation"],
  };
  /** Every sandbox that was made, in order. */
  readonly made: FakeSandbox[] = [];
  /** Set: the next creations fail so. */
  readonly failures: WeftError[] = [];
  leftBehind = 0;
  /** So many loads of code fail, whatever the code says. */
  failInits = 0;
  /** Creations that are under way. */
  creating = 0;
  /** Most that were under way at once. */
  creatingMost = 0;
  closed = false;

  constructor(private readonly options: FakeDriverOptions) {}

  kinds(): Promise<readonly string[]> {
    return Promise.resolve(this.options.kinds ?? ["nodejs:20"]);
  }

  async create(spec: SandboxSpec, timeoutMs: number, signal: AbortSignal): Promise<SandboxProcess> {
    this.creating += 1;
    this.creatingMost = Math.max(this.creatingMost, this.creating);
    try {
      const createMs = this.options.createMs ?? 0;
      await wait(this.options.clock, Math.min(createMs, timeoutMs), this.options.deaf === true ? undefined : signal);
      if (createMs > timeoutMs) throw new WeftError("deadlineExceeded", "NO_HELLO", "the runtime did not say hello");
      const failure = this.failures.shift();
      if (failure) throw failure;
      const sandbox = new FakeSandbox(spec, this.options.clock, this.options.destroyMs ?? 0);
      this.made.push(sandbox);
      sandbox.failsInit = () => this.failInits > 0 && (this.failInits -= 1) >= 0;
      if (this.options.survives === true) sandbox.survivesAs = `mark-${this.made.length}`;
      return sandbox;
    } finally {
      this.creating -= 1;
    }
  }

  /** Those that are not destroyed. */
  get alive(): readonly FakeSandbox[] {
    return this.made.filter((sandbox) => !sandbox.destroyed && !sandbox.left);
  }

  /** What they may take together, MiB. */
  get memoryMb(): number {
    return this.alive.reduce((sum, sandbox) => sum + sandbox.spec.memoryMb, 0);
  }

  adopt(survivors: readonly Survivor[]): Promise<readonly AdoptedSandbox[]> {
    const adopted: AdoptedSandbox[] = [];
    for (const { mark, spec } of survivors) {
      const before = this.options.inherited?.find(
        (one) => one.survivesAs === mark && !one.destroyed && one.outstanding === 0,
      );
      if (!before) continue;
      const process = new FakeSandbox(spec, this.options.clock, this.options.destroyMs ?? 0);
      process.survivesAs = mark;
      process.inits.push(...before.inits);
      this.made.push(process);
      adopted.push({ mark, process, loaded: before.inits.length > 0 });
    }
    return Promise.resolve(adopted);
  }

  cleanUp(): Promise<number> {
    const removed = this.leftBehind;
    this.leftBehind = 0;
    return Promise.resolve(removed);
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const sandbox of this.alive) await sandbox.destroy();
  }
}

/** One of its sandboxes, with an inside to look at. */
export class FakeSandbox implements SandboxProcess {
  survivesAs: string | undefined;
  failsInit = (): boolean => false;
  readonly languageVersion = "20.0.0";
  readonly link: MessageLink;
  readonly exited: Promise<SandboxExit>;
  onRawOutput: (output: RawOutput) => void = () => {};
  readonly inits: Init[] = [];
  readonly runs: Run[] = [];
  readonly canceled: string[] = [];
  frozen = false;
  freezes = 0;
  destroyed = false;
  /** Set: the next freeze or unfreeze fails so. */
  powerFailure: WeftError | undefined;
  /** Runs that are not answered. */
  outstanding = 0;
  /** Most at once. */
  outstandingMost = 0;

  #exit: (exit: SandboxExit) => void = () => {};
  #closed: () => void = () => {};
  #over = false;
  readonly #cancels = new Map<number, AbortController>();

  constructor(
    readonly spec: SandboxSpec,
    private readonly clock: Clock,
    private readonly destroyMs: number,
  ) {
    this.exited = new Promise((resolve) => {
      this.#exit = resolve;
    });
    const closed = new Promise<void>((resolve) => {
      this.#closed = resolve;
    });
    this.link = {
      send: (message) => {
        if (this.#over) return false;
        const copy = Uint8Array.from(message);
        queueMicrotask(() => this.#hear(copy));
        return true;
      },
      onMessage: () => {},
      closed,
      close: () => this.#end({ kind: "exited", code: undefined, signal: "SIGKILL" }),
    };
  }

  freeze(): Promise<void> {
    const failure = this.powerFailure;
    this.powerFailure = undefined;
    if (failure) return Promise.reject(failure);
    this.frozen = true;
    this.freezes += 1;
    return Promise.resolve();
  }

  unfreeze(): Promise<void> {
    const failure = this.powerFailure;
    this.powerFailure = undefined;
    if (failure) return Promise.reject(failure);
    this.frozen = false;
    return Promise.resolve();
  }

  left = false;
  leave(): Promise<void> {
    this.left = true;
    this.#closed();
    return Promise.resolve();
  }

  async destroy(): Promise<void> {
    this.#end({ kind: "exited", code: undefined, signal: "SIGKILL" });
    await wait(this.clock, this.destroyMs);
    this.destroyed = true;
  }

  /** Ends by itself, for no reason of the code. */
  crash(exit: SandboxExit = { kind: "exited", code: 1, signal: undefined }): void {
    this.#end(exit);
  }

  /** Its connection ends, and nobody says why. */
  disconnect(): void {
    this.#over = true;
    this.#closed();
  }

  #end(exit: SandboxExit): void {
    if (!this.#over) {
      this.#over = true;
      this.#closed();
    }
    this.#exit(exit);
  }

  #say(message: FromSandbox["message"]): void {
    if (!this.#over) this.link.onMessage(FromSandbox.encode({ message }).finish());
  }

  #hear(bytes: Uint8Array): void {
    if (this.#over) return;
    if (this.frozen) throw new Error("a frozen sandbox was spoken to");
    const { message } = ToSandbox.decode(bytes);
    switch (message?.$case) {
      case "init":
        this.inits.push(message.value);
        void this.#init(message.value);
        return;
      case "run":
        this.runs.push(message.value);
        void this.#run(message.value);
        return;
      case "cancel":
        this.canceled.push(message.value.reason);
        this.#cancels.get(message.value.call)?.abort();
        return;
      case "build":
        this.disconnect(); // as a runtime does with what it does not know
        return;
      case undefined:
        throw new Error("a sandbox was told nothing");
    }
  }

  async #init(init: Init): Promise<void> {
    if (this.failsInit()) {
      this.#say({ $case: "initResult", value: { ok: false, errorJson: json({ error: "no database" }) } });
      return;
    }
    for (const [step, rest] of stepsOf(init.code)) {
      if (step !== "init") continue;
      const [what = "", ...more] = rest.split(" ");
      if (what === "hang") return;
      if (what === "sleep") await wait(this.clock, Number(more[0]));
      if (what === "log") this.#log(0, LogStream.STDOUT, more.join(" "));
      if (what === "forge") {
        const resultJson = json({ forged: true });
        this.#say({
          $case: "runResult",
          value: { call: 1, outcome: RunOutcome.SUCCESS, resultJson, logsTruncated: false, memoryBytes: 0 },
        });
      }
      if (what === "exit") {
        this.#end({ kind: "exited", code: Number(more[0]), signal: undefined });
        return;
      }
      if (what === "fail") {
        this.#say({ $case: "initResult", value: { ok: false, errorJson: json({ error: more.join(" ") }) } });
        return;
      }
    }
    this.#say({ $case: "initResult", value: { ok: true, errorJson: new Uint8Array() } });
  }

  async #run(run: Run): Promise<void> {
    this.outstanding += 1;
    this.outstandingMost = Math.max(this.outstandingMost, this.outstanding);
    const cancel = new AbortController();
    this.#cancels.set(run.call, cancel);
    for (const [step, rest] of stepsOf(this.inits[0]?.code ?? new Uint8Array())) {
      const more = await this.#step(step, rest, run, cancel.signal);
      if (!more) return;
    }
    this.#answer(run, RunOutcome.SUCCESS, run.paramsJson);
  }

  /** @returns false when nothing follows */
  async #step(step: string, rest: string, run: Run, canceled: AbortSignal): Promise<boolean> {
    switch (step) {
      case "":
      case "init":
        return true;
      case "log":
        this.#log(run.call, LogStream.STDOUT, rest);
        return true;
      case "err":
        this.#log(run.call, LogStream.STDERR, rest);
        return true;
      case "raw":
        this.onRawOutput({
          stream: "stdout",
          bytes: Buffer.from(rest.endsWith("\\") ? rest.slice(0, -1) : `${rest}\n`),
        });
        return true;
      case "flood":
        for (let i = 0; i < Number(rest); i += 1) this.#log(run.call, LogStream.STDOUT, "x".repeat(1_023));
        return true;
      case "sleep":
        await wait(this.clock, Number(rest));
        return true;
      case "nap":
        await wait(this.clock, Number(rest), canceled).catch(() => undefined);
        return true;
      case "echo":
        this.#answer(run, RunOutcome.SUCCESS, run.paramsJson);
        return false;
      case "return":
        this.#answer(run, RunOutcome.SUCCESS, Buffer.from(rest));
        return false;
      case "error":
        this.#answer(run, RunOutcome.APPLICATION_ERROR, Buffer.from(`{"error":${rest}}`));
        return false;
      case "throw":
        this.#answer(run, RunOutcome.DEVELOPER_ERROR, json({ error: `An error has occurred: ${rest}` }));
        return false;
      case "answer":
        this.#answer(run, RunOutcome.SUCCESS, Buffer.from(rest));
        return false;
      case "large":
        this.#answer(run, RunOutcome.SUCCESS, json({ x: "y".repeat(Number(rest) - 8) }));
        return false;
      case "late":
        this.#answer(run, RunOutcome.SUCCESS, json({ said: rest }));
        this.#answer(run, RunOutcome.SUCCESS, json({ said: "again" }));
        return false;
      case "garbage":
        this.link.onMessage(Buffer.from("GET / HTTP/1.1\r\n"));
        return false;
      case "exit":
        this.#end({ kind: "exited", code: Number(rest), signal: undefined });
        return false;
      case "oom":
        this.#end({ kind: "outOfMemory", limitMb: this.spec.memoryMb });
        return false;
      case "fork":
        this.#end({ kind: "tooManyProcesses", limit: this.spec.pidsMax });
        return false;
      case "hang":
        return false;
      default:
        throw new Error(`the fake driver does not know the step ${step}`);
    }
  }

  #answer(run: Run, outcome: RunOutcome, resultJson: Uint8Array): void {
    this.outstanding -= 1;
    this.#cancels.delete(run.call);
    this.#say({
      $case: "runResult",
      value: { call: run.call, outcome, resultJson, logsTruncated: false, memoryBytes: 1 },
    });
  }

  #log(call: number, stream: LogStream, text: string): void {
    // Past 2^53 nanoseconds generated code writes what a double can hold, which is near enough here.
    const unixNanos = this.clock.wallMs() * 1_000_000;
    this.#say({ $case: "logs", value: { call, lines: [{ stream, unixNanos, text }] } });
  }
}

function stepsOf(code: Uint8Array): [step: string, rest: string][] {
  return Buffer.from(code)
    .toString()
    .split("\n")
    .map((line) => {
      const at = line.indexOf(" ");
      return at === -1 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
    });
}

function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

function wait(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.reject(new WeftError("canceled", "CANCELED", "not wanted any more"));
  if (ms === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, resolve);
    signal?.addEventListener(
      "abort",
      () => {
        cancel();
        reject(new WeftError("canceled", "CANCELED", "not wanted any more"));
      },
      { once: true },
    );
  });
}
