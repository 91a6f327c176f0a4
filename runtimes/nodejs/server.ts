// The nodejs runtime: connects to its invoker, loads one action, runs it. See docs/runtime-contract.md.

import { AsyncLocalStorage } from "node:async_hooks";
import { mkdirSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { isPromise } from "node:util/types";
import {
  APPLICATION_ERROR,
  decodeToSandbox,
  DEVELOPER_ERROR,
  encodeHello,
  encodeInitResult,
  encodeLogs,
  encodeRunResult,
  STDERR,
  STDOUT,
  SUCCESS,
  type Init,
  type LogLine,
  type LogStream,
  type Run,
  type RunOutcome,
} from "./codec.js";
import { load, type Main } from "./load.js";

/** Longest log line; a longer one is continued on the next. */
const LINE_CHARS_MAX = 64 * 1024;
/** Messages above this are refused: the protocol's limit. */
const FRAME_BYTES_MAX = 64 * 1024 * 1024;
/** The memory of the process is looked at once in so many runs: reading it costs a system call. */
const MEMORY_EVERY_RUNS = 64;

interface Running {
  readonly call: number;
  readonly abort: AbortController;
  readonly lines: LogLine[];
  readonly partial: { [STDOUT]: string; [STDERR]: string };
  logBytes: number;
  truncated: boolean;
  settled: boolean;
}

const workDir = process.env["WEFT_WORKDIR"] ?? tmpdir();
const kind = process.env["WEFT_KIND"] ?? `nodejs:${process.versions.node.split(".")[0] ?? ""}`;
const socketPath = process.env["WEFT_SOCKET"];
if (socketPath === undefined) {
  process.stderr.write("WEFT_SOCKET is not set: this program is started by a Weft invoker\n");
  process.exit(2);
}
for (const name of ["WEFT_SOCKET", "WEFT_KIND", "WEFT_WORKDIR", "NODE_OPTIONS"]) delete process.env[name];
mkdirSync(workDir, { recursive: true });

const socket = connect(socketPath);
const runs = new Map<number, Running>();
const current = new AsyncLocalStorage<Running>();
let only: Running | undefined;
let main: Main | undefined;
let initStarted = false;
let concurrency = 1;
let logLimitBytes = 0;
let runCount = 0;
let memoryBytes = 0;

socket.on("connect", () => send(encodeHello(kind, process.versions.node)));
socket.on("error", () => process.exit(1));
socket.on("close", () => process.exit(0));
readFrames((frame) => {
  const message = decodeToSandbox(frame);
  if (message === undefined) process.exit(3); // a message of a newer protocol: doing part of it would be worse
  else if (message.kind === "run") run(message.run);
  else if (message.kind === "init") void initialise(message.init);
  else runs.get(message.cancel.call)?.abort.abort(new Error(message.cancel.reason));
});

captureOutput();
process.on("unhandledRejection", (reason) => crash(reason));
process.on("uncaughtException", (error) => crash(error));
process.on("exit", () => flushAll());

async function initialise(init: Init): Promise<void> {
  if (initStarted) {
    send(encodeInitResult(false, errorJson("Cannot initialize the action more than once.")));
    return;
  }
  initStarted = true;
  concurrency = init.concurrency;
  logLimitBytes = init.logLimitBytes;
  Object.assign(process.env, init.env);
  const loading = newRunning(0);
  only = loading;
  try {
    main = await load(init, workDir);
    flush(loading);
    only = undefined;
    send(encodeInitResult(true, ""));
  } catch (thrown) {
    flush(loading);
    only = undefined;
    initStarted = false;
    send(encodeInitResult(false, errorJson(`Initialization has failed due to: ${describe(thrown)}`)));
  }
}

function run(request: Run): void {
  const running = newRunning(request.call);
  if (main === undefined) {
    send(encodeRunResult(request.call, DEVELOPER_ERROR, errorJson("The action has not been initialized."), false, 0));
    return;
  }
  runs.set(request.call, running);
  setEnvironment(request);
  if (concurrency > 1) {
    current.run(running, () => start(running, request));
  } else {
    only = running;
    start(running, request);
  }
}

function start(running: Running, request: Run): void {
  const startedMs = performance.now();
  const context = {
    activationId: request.activationId,
    deadlineWallMs: request.deadlineWallMs,
    traceparent: request.traceparent,
    signal: running.abort.signal,
    remainingMs: () => Math.max(0, request.remainingMs - (performance.now() - startedMs)),
  };
  let returned: unknown;
  try {
    returned = main?.(JSON.parse(request.params.length === 0 ? "{}" : request.params.toString()), context);
  } catch (thrown) {
    fail(running, thrown);
    return;
  }
  if (isPromise(returned) || typeof (returned as { then?: unknown } | undefined)?.then === "function") {
    (returned as Promise<unknown>).then(
      (value) => succeed(running, value),
      // What a promise is rejected with is the action's own answer: an application error.
      (reason: unknown) => settle(running, APPLICATION_ERROR, errorJson(serialisable(reason))),
    );
  } else {
    succeed(running, returned);
  }
}

function succeed(running: Running, value: unknown): void {
  if (value === undefined) {
    settle(running, SUCCESS, "{}");
    return;
  }
  if (typeof value !== "object" || value === null) {
    settle(running, DEVELOPER_ERROR, errorJson("The action did not return a dictionary or array."));
    return;
  }
  try {
    if (!Array.isArray(value) && "error" in value) {
      settle(running, APPLICATION_ERROR, errorJson(value.error === undefined ? null : value.error));
      return;
    }
    const json = JSON.stringify(value) as string | undefined;
    // A toJSON may answer anything.
    if (json === undefined || (json[0] !== "{" && json[0] !== "[")) {
      settle(running, DEVELOPER_ERROR, errorJson("The action did not return a dictionary or array."));
      return;
    }
    settle(running, SUCCESS, json);
  } catch (thrown) {
    settle(running, DEVELOPER_ERROR, errorJson(`The action's result cannot be written as JSON: ${describe(thrown)}`));
  }
}

function fail(running: Running, thrown: unknown): void {
  const stack = thrown instanceof Error ? userStack(thrown) : undefined;
  if (stack !== undefined) writeLine(running, STDERR, `${stack}\n`);
  settle(running, DEVELOPER_ERROR, errorJson(`An error has occurred: ${describe(thrown)}`));
}

function settle(running: Running, outcome: RunOutcome, json: string): void {
  if (running.settled) return;
  running.settled = true;
  runs.delete(running.call);
  if (only === running) only = undefined;
  runCount += 1;
  if (runCount % MEMORY_EVERY_RUNS === 1) memoryBytes = process.memoryUsage.rss();
  endPartial(running);
  const result = encodeRunResult(running.call, outcome, json, running.truncated, memoryBytes);
  if (running.lines.length === 0) {
    send(result);
  } else {
    socket.cork();
    flush(running);
    send(result);
    socket.uncork();
  }
}

/** An error outside every call: nobody can say what state the code is in, so the sandbox ends. */
function crash(thrown: unknown): void {
  for (const running of [...runs.values()]) fail(running, thrown);
  socket.end(() => process.exit(1));
}

function setEnvironment(request: Run): void {
  const { env } = process;
  env["__OW_ACTIVATION_ID"] = request.activationId;
  env["__OW_DEADLINE"] = String(request.deadlineWallMs);
  if (env["__OW_NAMESPACE"] !== request.namespace) env["__OW_NAMESPACE"] = request.namespace;
  if (env["__OW_ACTION_NAME"] !== request.actionName) env["__OW_ACTION_NAME"] = request.actionName;
  if (env["__OW_ACTION_VERSION"] !== request.actionVersion) env["__OW_ACTION_VERSION"] = request.actionVersion;
  env["__OW_TRANSACTION_ID"] = request.transactionId;
  setOrClear("__OW_API_KEY", request.apiKey);
  setOrClear("WEFT_TRACEPARENT", request.traceparent);
}

function setOrClear(name: string, value: string): void {
  if (value !== "") process.env[name] = value;
  else if (process.env[name] !== undefined) delete process.env[name];
}

// ---- output ----

function captureOutput(): void {
  const capture = (stream: LogStream) => (chunk: unknown, encoding?: unknown, callback?: unknown) => {
    const text = typeof chunk === "string" ? chunk : Buffer.from(chunk as Uint8Array).toString("utf8");
    const running = concurrency > 1 ? current.getStore() : only;
    writeLine(running, stream, text);
    const done = typeof encoding === "function" ? encoding : callback;
    if (typeof done === "function") process.nextTick(done as () => void);
    return true;
  };
  process.stdout.write = capture(STDOUT) as typeof process.stdout.write;
  process.stderr.write = capture(STDERR) as typeof process.stderr.write;
}

function newRunning(call: number): Running {
  return {
    call,
    abort: new AbortController(),
    lines: [],
    partial: { [STDOUT]: "", [STDERR]: "" },
    logBytes: 0,
    truncated: false,
    settled: false,
  };
}

/** Output of code that no call waits for goes to the invoker as output between runs. */
const between = newRunning(0);
let flushScheduled = false;

function writeLine(running: Running | undefined, stream: LogStream, text: string): void {
  const into = running === undefined || running.settled ? between : running;
  let rest = into.partial[stream] + text;
  let cut = rest.indexOf("\n");
  while (cut >= 0 || rest.length >= LINE_CHARS_MAX) {
    const at = cut >= 0 && cut < LINE_CHARS_MAX ? cut : LINE_CHARS_MAX;
    addLine(into, stream, rest.slice(0, at));
    rest = rest.slice(at === cut ? at + 1 : at);
    cut = rest.indexOf("\n");
  }
  into.partial[stream] = rest;
  if (into.lines.length > 0 && !flushScheduled) {
    flushScheduled = true;
    // Soon rather than at the end of the run: what a crashing process has printed should be there.
    setImmediate(() => {
      flushScheduled = false;
      flushAll();
    });
  }
}

function addLine(running: Running, stream: LogStream, text: string): void {
  if (running !== between) {
    const bytes = Buffer.byteLength(text) + 1;
    if (running.truncated || running.logBytes + bytes > logLimitBytes) {
      running.truncated = true;
      return;
    }
    running.logBytes += bytes;
  } else if (running.lines.length > 1_000) {
    return;
  }
  running.lines.push({ stream, unixNanos: nowNanos(), text });
}

const epochNanos = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
function nowNanos(): bigint {
  return epochNanos + process.hrtime.bigint();
}

function endPartial(running: Running): void {
  for (const stream of [STDOUT, STDERR] as const) {
    if (running.partial[stream] !== "") addLine(running, stream, running.partial[stream]);
    running.partial[stream] = "";
  }
}

function flush(running: Running): void {
  if (running.call === 0) endPartial(running);
  if (running.lines.length === 0) return;
  send(encodeLogs(running.call, running.lines));
  running.lines.length = 0;
}

function flushAll(): void {
  if (only !== undefined) flush(only);
  for (const running of runs.values()) if (running !== only) flush(running);
  flush(between);
}

// ---- plumbing ----

function send(message: Buffer): void {
  const frame = Buffer.allocUnsafe(4 + message.length);
  frame.writeUInt32BE(message.length, 0);
  message.copy(frame, 4);
  socket.write(frame);
}

function readFrames(onFrame: (frame: Buffer) => void): void {
  let pieces: Buffer[] = [];
  let have = 0;
  let want = -1;
  socket.on("data", (chunk: Buffer) => {
    let rest = chunk;
    for (;;) {
      if (have > 0 || want < 0) {
        pieces.push(rest);
        have += rest.length;
        if (have < (want < 0 ? 4 : want + 4)) return;
        rest = pieces.length === 1 ? rest : Buffer.concat(pieces, have);
        pieces = [];
        have = 0;
      }
      want = rest.readUInt32BE(0);
      if (want > FRAME_BYTES_MAX) process.exit(3);
      if (rest.length < want + 4) {
        pieces = [rest];
        have = rest.length;
        return;
      }
      onFrame(rest.subarray(4, want + 4));
      rest = rest.subarray(want + 4);
      want = -1;
      if (rest.length === 0) return;
    }
  });
}

function errorJson(error: unknown): string {
  return JSON.stringify({ error });
}

/** What a rejection carries, as JSON can say it. */
function serialisable(reason: unknown): unknown {
  if (reason === undefined) return {};
  if (reason instanceof Error) return reason.message === "" ? reason.name : reason.message;
  // `{error: x}` is what the record will hold anyway.
  if (typeof reason === "object" && reason !== null && "error" in reason) return (reason as { error: unknown }).error;
  try {
    JSON.stringify(reason);
    return reason;
  } catch {
    return String(reason);
  }
}

function describe(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  if (thrown instanceof SyntaxError) {
    // The first line of the stack is the user's file and line.
    const where = thrown.stack?.split("\n", 1)[0] ?? "";
    return /:\d+$/.test(where) ? `${thrown.name}: ${thrown.message} (${where})` : `${thrown.name}: ${thrown.message}`;
  }
  return thrown.message === "" ? thrown.name : thrown.message;
}

/** The stack without the runtime's own frames. */
function userStack(error: Error): string {
  const lines = (error.stack ?? String(error)).split("\n");
  const own = lines.findIndex((line) => line.includes(import.meta.url) || line.includes("runtimes/nodejs/"));
  return (own > 0 ? lines.slice(0, own) : lines).join("\n");
}
