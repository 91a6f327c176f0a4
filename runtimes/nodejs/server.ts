// The nodejs runtime: connects to its invoker, loads one action, runs it. See docs/runtime-contract.md.

import { AsyncLocalStorage } from "node:async_hooks";
import { mkdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { isPromise } from "node:util/types";
import {
  APPLICATION_ERROR,
  decodeToSandbox,
  DEVELOPER_ERROR,
  encodeHello,
  encodeInitResult,
  encodeLogs,
  runResultBytesMax,
  STDERR,
  STDOUT,
  SUCCESS,
  writeRunResult,
  type Cancel,
  type Init,
  type LogLine,
  type LogStream,
  type Run,
  type RunOutcome,
} from "./codec.js";
import type { Main } from "./load.js";

/** Longest log line; a longer one is continued on the next. */
const LINE_CHARS_MAX = 64 * 1024;
/** Characters of log lines in one message, give or take a line. */
const LOGS_CHARS_MAX = 1024 * 1024;
/** Messages above this are refused: the protocol's limit. */
const FRAME_BYTES_MAX = 64 * 1024 * 1024;
/** A result above this is told without itself: a frame has to hold it. The invoker's own limit is far lower. */
const RESULT_BYTES_MAX = FRAME_BYTES_MAX - 64 * 1024;
/** What is shown of a result that is too large. */
const EXCERPT_CHARS = 1024;
/** Output between runs that is passed on, until the next run. */
const BETWEEN_BYTES_MAX = 64 * 1024;
/** The memory of the process is looked at no more often: it costs as much as ten runs. */
const MEMORY_EVERY_MS = 1_000;
/** Results that are gathered; a larger one is sent by itself. */
const GATHER_BYTES = 64 * 1024;
/** Time between two tries to connect again. */
const RECONNECT_EVERY_MS = 100;
/** Results that wait so long are sent before the next run begins, whose code may keep the thread. */
const GATHER_MS = 1;

interface Running {
  readonly call: number;
  /** Made when its signal is asked for: most code never does. */
  abort: AbortController | undefined;
  canceled: Error | undefined;
  partialOut: string;
  partialErr: string;
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
/** How long it holds out without an invoker; 0: its end is the end of its invoker's process. */
const reconnectMs = Number(process.env["WEFT_RECONNECT_MS"] ?? 0);
/** Where a debugger is waited for; 0: nowhere. */
const inspectPort = Number(process.env["WEFT_INSPECT"] ?? 0);
for (const name of ["WEFT_SOCKET", "WEFT_KIND", "WEFT_WORKDIR", "WEFT_RECONNECT_MS", "WEFT_INSPECT", "NODE_OPTIONS"])
  Reflect.deleteProperty(process.env, name);
mkdirSync(workDir, { recursive: true });

const runs = new Map<number, Running>();
const current = new AsyncLocalStorage<Running>();
const runtimeDirectory = `${import.meta.dirname}/`;
/** As it stands before the names of the action's files in traces. */
const actionDirectory = new RegExp(`(?:file://)?${workDir.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}/action-\\w+/`, "g");
const FRAME = /^\s+at /;
const NODES_FRAME = /^\s+at .*\(?(?:node:|<anonymous>\))/;
let only: Running | undefined;
let main: Main | undefined;
let initStarted = false;
let concurrency = 1;
let logLimitBytes = 0;
let memoryBytes = 0;
let memoryAtMs = -Infinity;
let memoryIsDue = false;

/** What loads code is itself loaded while nobody waits: after hello. */
let loader: Promise<typeof import("./load.js")> | undefined;

/** Before the first hello there is nothing to resume. */
let greeted = false;
/** The invoker is gone, and has been since then. */
let aloneSinceMs: number | undefined;
let socket = open(socketPath);

captureOutput();
process.on("unhandledRejection", (reason) => crash(reason));
process.on("uncaughtException", (error) => crash(error));
process.on("exit", () => {
  for (const running of runs.values()) endPartial(running);
  if (only !== undefined) endPartial(only);
  flush();
});

function open(path: string): Socket {
  const opened = connect(path);
  opened.on("connect", () => {
    aloneSinceMs = undefined;
    const resumed = greeted ? { loaded: main !== undefined } : undefined;
    greeted = true;
    send(encodeHello(kind, process.versions.node, reconnectMs > 0, resumed));
    loader ??= import("./load.js");
  });
  opened.on("error", () => {}); // "close" follows
  opened.on("close", () => left(path));
  readFrames(opened, (bytes, from, to) => {
    const message = decodeToSandbox(bytes, from, to);
    if (message === undefined)
      process.exit(3); // a message of a newer protocol: doing part of it would be worse
    else if (message.kind === "run") run(message.run);
    else if (message.kind === "init") void initialise(message.init);
    else cancel(message.cancel);
  });
  return opened;
}

/** The connection ended. What was outstanding is lost to whoever asked; what is idle waits for the invoker's next life. */
function left(path: string): void {
  if (!greeted) process.exit(1);
  const idle = runs.size === 0 && initStarted === (main !== undefined);
  if (reconnectMs === 0 || crashed || !idle) process.exit(0);
  gathered = 0; // numbers of calls begin anew
  aloneSinceMs ??= performance.now();
  if (performance.now() - aloneSinceMs > reconnectMs) process.exit(0);
  setTimeout(() => (socket = open(path)), RECONNECT_EVERY_MS);
}

async function initialise(init: Init): Promise<void> {
  if (initStarted) {
    send(encodeInitResult(false, errorJson("Cannot initialize the action more than once.")));
    return;
  }
  initStarted = true;
  logLimitBytes = init.logLimitBytes;
  Object.assign(process.env, init.env);
  if (init.concurrency > 1) shareEnvironment();
  const loading = newRunning(0);
  only = loading;
  try {
    const { load } = await (loader ??= import("./load.js"));
    const debugging = inspectPort > 0 ? await import("./inspect.js") : undefined;
    debugging?.waitForDebugger(inspectPort);
    main = await load(init, workDir);
    debugging?.stopIn(main);
    endPartial(loading);
    only = undefined;
    concurrency = init.concurrency;
    send(encodeInitResult(true, ""));
  } catch (thrown) {
    writeLine(loading, STDERR, `${thrown instanceof Error ? userStack(thrown) : String(thrown)}\n`);
    endPartial(loading);
    only = undefined;
    initStarted = false;
    const place = placeOf(thrown);
    const where = place === undefined ? "" : ` (${place})`;
    send(encodeInitResult(false, errorJson(`Initialization has failed due to: ${describe(thrown)}${where}`)));
  }
}

function run(request: Run): void {
  const running = newRunning(request.call);
  between.logBytes = 0;
  between.truncated = false;
  if (main === undefined) {
    answer(request.call, DEVELOPER_ERROR, errorJson("The action has not been initialized."), false, 0);
    return;
  }
  runs.set(request.call, running);
  if (concurrency > 1) {
    unset = request;
    current.run(running, () => start(running, request));
  } else {
    setEnvironment(process.env, request);
    only = running;
    start(running, request);
  }
}

function start(running: Running, request: Run): void {
  const startedMs = performance.now();
  if (gathered > 0 && startedMs - gatheredSinceMs >= GATHER_MS) flush();
  if (startedMs - memoryAtMs >= MEMORY_EVERY_MS) {
    memoryAtMs = startedMs;
    memoryIsDue = true;
  }
  lastStartMs = startedMs;
  const context = {
    activationId: request.activationId,
    deadlineWallMs: request.deadlineWallMs,
    traceparent: request.traceparent,
    get signal(): AbortSignal {
      return signalOf(running);
    },
    remainingMs: () => Math.max(0, request.remainingMs - (performance.now() - startedMs)),
  };
  let returned: unknown;
  try {
    returned = main?.(request.params === "" ? {} : JSON.parse(request.params), context);
  } catch (thrown) {
    fail(running, thrown);
    return;
  }
  if (isPromise(returned) || typeof (returned as { then?: unknown } | undefined)?.then === "function") {
    (returned as Promise<unknown>).then(
      (value) => succeed(running, value),
      (reason: unknown) => {
        rejected(running, reason);
      },
    );
  } else {
    succeed(running, returned);
  }
}

function cancel({ call, reason }: Cancel): void {
  const running = runs.get(call);
  if (running === undefined || running.canceled !== undefined) return;
  running.canceled = new Error(reason);
  running.abort?.abort(running.canceled);
}

function signalOf(running: Running): AbortSignal {
  if (running.abort === undefined) {
    running.abort = new AbortController();
    if (running.canceled !== undefined) running.abort.abort(running.canceled);
  }
  return running.abort.signal;
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
    const json = JSON.stringify(value) as string | undefined;
    // A toJSON may answer anything.
    if (json === undefined || (json[0] !== "{" && json[0] !== "[")) {
      settle(running, DEVELOPER_ERROR, errorJson("The action did not return a dictionary or array."));
      return;
    }
    const error = json[0] === "[" ? undefined : errorOf(value, json);
    if (error === undefined) settle(running, SUCCESS, json);
    else settle(running, APPLICATION_ERROR, error);
  } catch (thrown) {
    settle(running, DEVELOPER_ERROR, errorJson(`The action's result cannot be written as JSON: ${describe(thrown)}`));
  }
}

/** `{"error":...}` when the result has that key as JSON; siblings are dropped. */
function errorOf(value: object, json: string): string | undefined {
  // JSON of the key decides: undefined and functions are left out of it, inherited keys too.
  const asJson = typeof (value as { toJSON?: unknown }).toJSON === "function" ? (JSON.parse(json) as object) : value;
  if (!Object.hasOwn(asJson, "error")) return undefined;
  const error = JSON.stringify({ error: readable((asJson as { error: unknown }).error) });
  return error === "{}" ? undefined : error;
}

/** What a promise is rejected with is the action's own answer: an application error. */
function rejected(running: Running, reason: unknown): void {
  if (reason instanceof Error) writeLine(running, STDERR, `${userStack(reason)}\n`);
  let json: string;
  try {
    json = JSON.stringify({ error: readable(reason) || {} });
    if (json === "{}") json = errorJson(String(reason));
  } catch {
    json = errorJson(String(reason));
  }
  settle(running, APPLICATION_ERROR, json);
}

/** Errors are objects without a visible key: as JSON they would say nothing. */
function readable(error: unknown): unknown {
  return error instanceof Error && !("toJSON" in error) ? describe(error) : error;
}

function fail(running: Running, thrown: unknown): void {
  if (thrown instanceof Error) writeLine(running, STDERR, `${userStack(thrown)}\n`);
  settle(running, DEVELOPER_ERROR, errorJson(`An error has occurred: ${describe(thrown)}`));
}

function settle(running: Running, outcome: RunOutcome, json: string): void {
  if (running.settled) return;
  running.settled = true;
  runs.delete(running.call);
  if (only === running) only = undefined;
  if (memoryIsDue) {
    memoryIsDue = false;
    memoryBytes = process.memoryUsage.rss();
  }
  endPartial(running);
  if (json.length * 3 > RESULT_BYTES_MAX) {
    const bytes = Buffer.byteLength(json);
    if (bytes > RESULT_BYTES_MAX) {
      const text = `The action produced a response that exceeded the allowed length: ${bytes} > 1048576 bytes. `;
      const excerpt = errorJson(`${text}The truncated response was: ${json.slice(0, EXCERPT_CHARS)}`);
      answer(running.call, APPLICATION_ERROR, excerpt, running.truncated, memoryBytes);
      return;
    }
  }
  answer(running.call, outcome, json, running.truncated, memoryBytes);
}

let crashed = false;

/** An error outside every call: nobody can say what state the code is in, so the sandbox ends. */
function crash(thrown: unknown): void {
  crashed = true;
  if (runs.size === 0) writeLine(only, STDERR, `${thrown instanceof Error ? userStack(thrown) : String(thrown)}\n`);
  for (const running of [...runs.values()]) fail(running, thrown);
  flush();
  socket.end(() => process.exit(1));
}

function setEnvironment(env: NodeJS.ProcessEnv, request: Run): void {
  env["__OW_ACTIVATION_ID"] = request.activationId;
  env["__OW_DEADLINE"] = String(request.deadlineWallMs);
  if (env["__OW_NAMESPACE"] !== request.namespace) env["__OW_NAMESPACE"] = request.namespace;
  if (env["__OW_ACTION_NAME"] !== request.actionName) env["__OW_ACTION_NAME"] = request.actionName;
  if (env["__OW_ACTION_VERSION"] !== request.actionVersion) env["__OW_ACTION_VERSION"] = request.actionVersion;
  env["__OW_TRANSACTION_ID"] = request.transactionId;
  setOrClear(env, "__OW_API_KEY", request.apiKey);
  setOrClear(env, "WEFT_TRACEPARENT", request.traceparent);
}

function setOrClear(env: NodeJS.ProcessEnv, name: string, value: string): void {
  if (value !== "") env[name] = value;
  else if (env[name] !== undefined) Reflect.deleteProperty(env, name);
}

/** The run whose variables are set when the environment is next looked at. */
let unset: Run | undefined;

/**
 * Runs that share a process share its environment: it tells of the one that began last. Setting it costs as much as all
 * else that is done for a run, and hardly any code looks, so that it is set when code does: through `process.env` (for
 * all that reads it there, children and workers among them) or through a reference to it that was kept.
 */
function shareEnvironment(): void {
  const real = process.env;
  let current = real;
  const fresh = (): NodeJS.ProcessEnv => {
    const request = unset;
    unset = undefined;
    if (request !== undefined) setEnvironment(current, request);
    return real;
  };
  const shared = new Proxy(real, {
    get: (_, name): unknown => Reflect.get(fresh(), name),
    set: (_, name, value) => Reflect.set(fresh(), name, value),
    has: (_, name) => Reflect.has(fresh(), name),
    deleteProperty: (_, name) => Reflect.deleteProperty(fresh(), name),
    ownKeys: () => Reflect.ownKeys(fresh()),
    getOwnPropertyDescriptor: (_, name) => Reflect.getOwnPropertyDescriptor(fresh(), name),
    defineProperty: (_, name, descriptor) => Reflect.defineProperty(fresh(), name, descriptor),
  });
  Object.defineProperty(process, "env", {
    configurable: true,
    enumerable: true,
    get: () => {
      fresh();
      return current === real ? shared : current;
    },
    // Code may put an object of its own there.
    set: (env: NodeJS.ProcessEnv) => {
      current = env === shared ? real : env;
    },
  });
}

// ---- output ----

function captureOutput(): void {
  const capture = (stream: LogStream) => (chunk: unknown, encoding?: unknown, callback?: unknown) => {
    const text = typeof chunk === "string" ? chunk : Buffer.from(chunk as Uint8Array).toString("utf8");
    const running = concurrency > 1 ? current.getStore() : only;
    writeLine(running, stream, text);
    const done = typeof encoding === "function" ? encoding : callback;
    if (typeof done === "function") process.nextTick(done);
    return true;
  };
  process.stdout.write = capture(STDOUT);
  process.stderr.write = capture(STDERR);
}

function newRunning(call: number): Running {
  return {
    call,
    abort: undefined,
    canceled: undefined,
    partialOut: "",
    partialErr: "",
    logBytes: 0,
    truncated: false,
    settled: false,
  };
}

/** Output of code that no call waits for goes to the invoker as output between runs. */
const between = newRunning(0);

/**
 * Lines are sent as they end and not gathered: code that never lets go of the thread, or is killed, has said what it
 * said. It costs what a write to standard output would.
 */
function writeLine(running: Running | undefined, stream: LogStream, text: string): void {
  const into = running === undefined || running.settled ? between : running;
  const lines: LogLine[] = [];
  let rest = (stream === STDOUT ? into.partialOut : into.partialErr) + text;
  let from = 0;
  for (;;) {
    const cut = rest.indexOf("\n", from);
    if (cut >= 0 && cut - from <= LINE_CHARS_MAX) {
      keepLine(into, lines, stream, rest.slice(from, cut));
      from = cut + 1;
    } else if (rest.length - from > LINE_CHARS_MAX) {
      keepLine(into, lines, stream, rest.slice(from, from + LINE_CHARS_MAX));
      from += LINE_CHARS_MAX;
    } else {
      break;
    }
    if (into.truncated) {
      // The rest would be dropped line by line.
      rest = "";
      from = 0;
      break;
    }
  }
  const partial = into.truncated ? "" : rest.slice(from);
  if (stream === STDOUT) into.partialOut = partial;
  else into.partialErr = partial;
  sendLines(into, lines);
}

function keepLine(into: Running, lines: LogLine[], stream: LogStream, text: string): void {
  const bytes = Buffer.byteLength(text) + 1;
  const limit = into === between ? BETWEEN_BYTES_MAX : logLimitBytes;
  if (into.truncated || into.logBytes + bytes > limit) {
    into.truncated = true;
    return;
  }
  into.logBytes += bytes;
  lines.push({ stream, unixNanos: nowNanos(), text });
}

const CLOCKS_APART_NANOS_MAX = 5_000_000n;
let epochNanos = 0n;

/** Finer than the wall clock, and as right: a machine corrects that one while a sandbox lives, or was frozen. */
function nowNanos(): bigint {
  const sinceStart = process.hrtime.bigint();
  const wall = BigInt(Date.now()) * 1_000_000n;
  const apart = wall - (epochNanos + sinceStart);
  if (apart > CLOCKS_APART_NANOS_MAX || apart < -CLOCKS_APART_NANOS_MAX) epochNanos = wall - sinceStart;
  return epochNanos + sinceStart;
}

/** Sends what was printed without a line end. */
function endPartial(running: Running): void {
  if (running.partialOut === "" && running.partialErr === "") return;
  const lines: LogLine[] = [];
  if (running.partialOut !== "") keepLine(running, lines, STDOUT, running.partialOut);
  if (running.partialErr !== "") keepLine(running, lines, STDERR, running.partialErr);
  running.partialOut = "";
  running.partialErr = "";
  sendLines(running, lines);
}

/** Several messages when one would be too large. */
function sendLines(running: Running, lines: readonly LogLine[]): void {
  let from = 0;
  let chars = 0;
  for (const [i, line] of lines.entries()) {
    chars += line.text.length;
    if (chars < LOGS_CHARS_MAX && i < lines.length - 1) continue;
    send(encodeLogs(running.call, lines.slice(from, i + 1)));
    from = i + 1;
    chars = 0;
  }
}

// ---- plumbing ----

function send(message: Buffer): void {
  flush(); // what was said before
  const frame = Buffer.allocUnsafe(4 + message.length);
  frame.writeUInt32BE(message.length, 0);
  message.copy(frame, 4);
  if (aloneSinceMs === undefined) socket.write(frame);
}

// Where several runs share the thread, the results of one turn of the event loop leave together: writing them one by one
// would cost more than all else. The first of a turn waits for the end of the present callback at most, and what waits
// is sent before anything that may take long; a process that is killed in that callback takes them with it.
let out = Buffer.allocUnsafeSlow(GATHER_BYTES);
let gathered = 0;
let gatheredSinceMs = 0;
let lastStartMs = 0;
let flushIsDue = false;
let flushedThisTurn = false;

function answer(call: number, outcome: RunOutcome, json: string, logsTruncated: boolean, memory: number): void {
  const bytesMax = runResultBytesMax(json.length);
  if (gathered + bytesMax > GATHER_BYTES) flush();
  if (bytesMax > GATHER_BYTES) {
    const alone = Buffer.allocUnsafe(runResultBytesMax(Math.ceil(Buffer.byteLength(json) / 3)));
    socket.write(alone.subarray(0, writeRunResult(alone, 0, call, outcome, json, logsTruncated, memory)));
    return;
  }
  if (gathered === 0) gatheredSinceMs = lastStartMs;
  gathered = writeRunResult(out, gathered, call, outcome, json, logsTruncated, memory);
  if (concurrency === 1) {
    flush();
  } else if (!flushIsDue) {
    flushIsDue = true;
    if (flushedThisTurn) setImmediate(flushDue);
    else process.nextTick(flushFirst);
  }
}

function flushFirst(): void {
  flushedThisTurn = true;
  setImmediate(turnEnded);
  flushDue();
}

function turnEnded(): void {
  flushedThisTurn = false;
}

function flushDue(): void {
  flushIsDue = false;
  flush();
}

function flush(): void {
  if (gathered === 0) return;
  const bytes = out.subarray(0, gathered);
  gathered = 0;
  if (socket.writableLength > 0) {
    socket.write(Buffer.from(bytes)); // it waits: with no more than it is
    return;
  }
  socket.write(bytes);
  // What the kernel has not taken is still in there.
  if (socket.writableLength > 0) out = Buffer.allocUnsafeSlow(GATHER_BYTES);
}

function readFrames(from: Socket, onFrame: (bytes: Buffer, from: number, to: number) => void): void {
  let pieces: Buffer[] = [];
  let have = 0;
  let want = 4;
  from.on("data", (chunk: Buffer) => {
    let bytes = chunk;
    if (have > 0) {
      pieces.push(chunk);
      have += chunk.length;
      if (have < want) return;
      bytes = Buffer.concat(pieces, have);
      pieces = [];
      have = 0;
    }
    let at = 0;
    for (;;) {
      const left = bytes.length - at;
      want = 4;
      if (left >= 4) {
        const length = bytes.readUInt32BE(at);
        if (length > FRAME_BYTES_MAX) process.exit(3);
        want += length;
      }
      if (left < want) {
        if (left > 0) pieces = [bytes.subarray(at)];
        have = left;
        return;
      }
      onFrame(bytes, at + 4, at + want);
      at += want;
    }
  });
}

function errorJson(error: unknown): string {
  return JSON.stringify({ error });
}

function describe(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  if (thrown instanceof SyntaxError) {
    // The first line of the stack is the file and line, when the code could not be parsed.
    const where = /^(?:.*\/)?([^/\n]+:\d+)$/.exec(thrown.stack?.split("\n", 1)[0] ?? "")?.[1];
    const what = `${thrown.name}: ${thrown.message}`;
    return where === undefined ? what : `${what} (${where})`;
  }
  return thrown.message === "" ? thrown.name : thrown.message;
}

/** Errors that are the cause of another are told with it, so deep. */
const CAUSES_MAX = 5;

/**
 * The stack as its developer knows it: without the runtime's own frames and without those of Node around it, so that the
 * action's own file comes first, named as in the archive; and what caused it.
 */
function userStack(error: Error): string {
  const stacks: string[] = [];
  let one: unknown = error;
  for (let depth = 0; one instanceof Error && depth <= CAUSES_MAX; depth++) {
    stacks.push(userFrames(one).join("\n"));
    one = one.cause;
  }
  return stacks.join("\ncaused by: ");
}

/** The message, a line or more, and the frames. */
function userFrames(error: Error): readonly string[] {
  const lines = (error.stack ?? String(error)).replaceAll(actionDirectory, "").split("\n");
  const first = lines.findIndex((line) => FRAME.test(line));
  if (first < 0) return lines;
  const frames = lines.slice(first);
  const own = frames.findIndex((line) => line.includes(runtimeDirectory));
  const users = own < 0 ? frames : frames.slice(0, own);
  while (NODES_FRAME.test(users.at(-1) ?? "")) users.pop();
  const from = users.findIndex((line) => !NODES_FRAME.test(line));
  return [...lines.slice(0, first), ...users.slice(Math.max(0, from))];
}

/** "file:line" of the action's own frame where an error comes from; undefined when it is told already. */
function placeOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || thrown instanceof SyntaxError) return undefined;
  for (const line of userFrames(thrown)) {
    const place = FRAME.test(line) ? /([^\s()]+:\d+):\d+\)?$/.exec(line)?.[1] : undefined;
    if (place !== undefined && !place.startsWith("node:")) return place;
  }
  return undefined;
}
