// The life of a process: settings, log, start, ready, signal, ordered stop, exit code. A command's main opens things in
// its scope and returns; the process then serves until it is told to stop, and the scope closes in reverse.
//
// Exit codes: 0 stopped in order · 1 something failed, or the stop took too long or was cut short · 2 the settings are
// wrong · 3 it could not start.

import { readFileSync, writeSync } from "node:fs";

import type { Clock } from "../base/clock.js";
import {
  choice,
  describeConfig,
  durationMs,
  helpTable,
  loadConfig,
  optional,
  ratio,
  text,
  wantsHelp,
  type ConfigOf,
  type Schema,
} from "../base/config.js";
import { WeftError, toWeftError } from "../base/errors.js";
import { newBootId } from "../base/ids.js";
import type { Log, LogFields } from "../base/log.js";
import { Metrics } from "../base/metrics.js";
import { LOG_LEVELS, openLog, type LogDestination } from "../base/pino-log.js";
import type { Random } from "../base/random.js";
import { Scope } from "../base/scope.js";
import type { Tracer } from "../base/trace.js";
import { Admin } from "./admin.js";
import { processMetrics } from "./process-metrics.js";
import { systemClock, systemRandom } from "./system.js";
import { openTelemetry } from "./telemetry.js";

/** Settings that every command has. */
export const commonConfig = {
  instanceId: optional(text("which one of its role this is, in logs and traces; without it: the role and a random id")),
  logLevel: choice("least level that is logged", LOG_LEVELS, "info"),
  logFormat: choice(
    "json for machines, pretty for people, auto: pretty at a terminal",
    ["auto", "json", "pretty"],
    "auto",
  ),
  adminAddress: text("where /metrics, /healthz, /readyz and /debug are; port 0 takes a free one", "127.0.0.1:0"),
  otlpEndpoint: optional(
    text("OpenTelemetry collector, OTLP over HTTP (http://host:4318); without it nothing is traced"),
  ),
  traceRatio: ratio(
    "share of the traces that begin here which are kept; a caller's traceparent decides for itself",
    0.01,
  ),
  graceMs: durationMs("how long a stop may take before the process leaves regardless", 10_000, {
    minMs: 100,
    maxMs: 3_600_000,
  }),
};

export type CommonConfig = ConfigOf<typeof commonConfig>;

export interface CommandContext<S extends Schema> {
  readonly config: ConfigOf<S> & CommonConfig;
  /** What is opened here is closed in reverse when the process stops. */
  readonly scope: Scope;
  readonly log: Log;
  /** Aborted at the start of the stop, before anything closes. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
  readonly tracer: Tracer;
  readonly admin: Admin;
  /** 16 hex characters: this life of this process. */
  readonly bootId: string;
  readonly instanceId: string;
  /** Says that it serves, with what a parent must know (addresses). Without a call, main's return says so. */
  readonly ready: (details?: LogFields) => void;
  /** Stops the process in order with exit code 1: for loops that must not end but did. */
  readonly fail: (error: unknown) => void;
}

/** "done": the work is over and the process stops by itself. Otherwise it serves until a signal. */
export type CommandResult = "done" | undefined | void;

/**
 * Runs a command to its end and leaves the process with its exit code.
 * @param name the role or verb: "gateway" speaks as weft-gateway
 */
export async function runCommand<S extends Schema>(
  name: string,
  schema: S,
  main: (context: CommandContext<S>) => Promise<CommandResult>,
): Promise<never> {
  process.exit(await runCommandAt(processEdge(), name, schema, main));
}

/** What a command needs of the process it lives in; the real one is `processEdge`. */
export interface ProcessEdge {
  /** Without the program and the script. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly terminal: boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly readFile: (path: string) => string;
  readonly out: (text: string) => void;
  readonly err: LogDestination | undefined;
  readonly complain: (text: string) => void;
  /** Told of every signal to stop. @returns what ends it */
  readonly onSignal: (listener: (signal: string) => void) => () => void;
  /** Told of every error that nobody caught. @returns what ends it */
  readonly onUncaught: (listener: (error: unknown, what: string) => void) => () => void;
  /** Keeps the process alive until it is called: timers and promises alone do not. */
  readonly hold: () => () => void;
  /** One line to the descriptor that the parent listens on. */
  readonly writeLine: (fd: number, line: string) => void;
  /** The channel to a parent that forked this process. */
  readonly sendParent: ((message: unknown, failed: (error: Error) => void) => void) | undefined;
}

/** As `runCommand`, in a process of the caller's making. @returns the exit code */
export async function runCommandAt<S extends Schema>(
  edge: ProcessEdge,
  name: string,
  schema: S,
  main: (context: CommandContext<S>) => Promise<CommandResult>,
): Promise<number> {
  const component = `weft-${name}`;
  const full = { ...commonConfig, ...schema };
  if (wantsHelp(edge.argv)) {
    edge.out(
      `usage: ${component} [flags]\n\nA flag beats its variable, which beats the file, which beats the default.\n\n${helpTable(full)}\n`,
    );
    return 0;
  }

  let loaded;
  try {
    loaded = loadConfig(full, edge);
  } catch (thrown) {
    edge.complain(complaint(component, toWeftError(thrown)));
    return EXIT_SETTINGS;
  }
  const config = loaded.config as ConfigOf<S> & CommonConfig;
  const release = edge.hold();
  const life = new CommandLife(edge, component, name, config);
  try {
    life.log.info("configuration loaded", { settings: describeConfig(full, loaded) });
    return await life.run((context) => main({ ...context, config }));
  } finally {
    release();
  }
}

const EXIT_OK = 0;
const EXIT_FAILED = 1;
const EXIT_SETTINGS = 2;
const EXIT_START = 3;

/** Ctrl-C reaches a whole process group, and a parent passes it on besides: within this time it is one wish. */
const SAME_SIGNAL_MS = 500;

/** Why a process stops. */
type Stop =
  | { readonly kind: "signal"; readonly signal: string }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly error: WeftError }
  | { readonly kind: "startFailed"; readonly error: WeftError };

type Context = Omit<CommandContext<Schema>, "config">;

/** One process from its settings to its exit code. */
class CommandLife {
  readonly log: Log;
  readonly #scope = new Scope();
  readonly #abort = new AbortController();
  readonly #instanceId: string;
  readonly #bootId: string;
  #state: "starting" | "ready" | "stopping" = "starting";
  #stop: (stop: Stop) => void = () => {};
  readonly #stopped = new Promise<Stop>((resolve) => {
    this.#stop = resolve;
  });
  #cutShort: (why: string) => void = () => {};
  #crashed = false;

  constructor(
    private readonly edge: ProcessEdge,
    private readonly component: string,
    private readonly role: string,
    private readonly config: CommonConfig,
  ) {
    this.#bootId = newBootId(edge.random);
    this.#instanceId = config.instanceId ?? `${role}-${this.#bootId.slice(0, 8)}`;
    this.log = openLog({
      level: config.logLevel,
      component,
      role,
      id: this.#instanceId,
      pretty: config.logFormat === "pretty" || (config.logFormat === "auto" && edge.terminal),
      colour: edge.terminal && !edge.env["NO_COLOR"],
      ...(edge.err ? { destination: edge.err } : {}),
      wallMs: () => edge.clock.wallMs(),
    });
  }

  async run(main: (context: Context) => Promise<CommandResult>): Promise<number> {
    const listening = [
      this.edge.onSignal((signal) => this.#onSignal(signal)),
      this.edge.onUncaught((e, what) => this.#onUncaught(e, what)),
    ];
    try {
      const started = this.#start(main);
      const stop = await this.#stopped;
      return await this.#end(stop, started);
    } finally {
      for (const end of listening) end();
    }
  }

  /** Never rejects: what goes wrong is a reason to stop. */
  async #start(main: (context: Context) => Promise<CommandResult>): Promise<void> {
    try {
      const { clock, random } = this.edge;
      const metrics = new Metrics(processMetrics);
      const telemetry = this.#scope.use(
        "telemetry",
        openTelemetry({
          component: this.component,
          instanceId: this.#instanceId,
          endpoint: this.config.otlpEndpoint,
          ratio: this.config.traceRatio,
          clock,
          random,
          log: this.log,
        }),
        (t) => t.close(),
      );
      const admin = new Admin({ metrics, log: this.log });
      await admin.listen(this.config.adminAddress);
      this.#scope.use("admin", admin, (a) => a.close());
      admin.addReadiness("process", () => this.#state === "ready" || this.#state);

      const ready = (details: LogFields = {}): void => this.#ready({ admin: admin.address, ...details });
      const result = await main({
        scope: this.#scope,
        log: this.log,
        signal: this.#abort.signal,
        clock,
        random,
        metrics,
        tracer: telemetry.tracer,
        admin,
        bootId: this.#bootId,
        instanceId: this.#instanceId,
        ready,
        fail: (thrown) => {
          const error = toWeftError(thrown);
          this.log.error("it cannot go on", { error });
          this.#stop({ kind: "failed", error });
        },
      });
      if (result === "done") this.#stop({ kind: "done" });
      else ready();
    } catch (thrown) {
      const error = toWeftError(thrown);
      if (this.#abort.signal.aborted) {
        // A start that is given up because it was told to stop has not failed.
        this.log.debug("the start was given up", { error });
      } else if (this.#state === "ready") {
        this.log.error("it cannot go on", { error });
        this.#stop({ kind: "failed", error });
      } else {
        this.#stop({ kind: "startFailed", error });
      }
    }
  }

  #ready(details: LogFields): void {
    if (this.#state !== "starting") return;
    this.#state = "ready";
    this.log.info("ready", { ...details, pid: this.edge.pid });
    const message = { ready: true, name: this.role, instanceId: this.#instanceId, pid: this.edge.pid, ...details };
    const fd = this.edge.env["WEFT_READY_FD"];
    const untold = (error: unknown): void =>
      this.log.warn("the parent was not told that this process is ready", { readyFd: fd, error });
    try {
      if (fd) this.edge.writeLine(Number(fd), `${JSON.stringify(message)}\n`);
      this.edge.sendParent?.(message, untold);
    } catch (thrown) {
      untold(thrown);
    }
  }

  async #end(stop: Stop, started: Promise<void>): Promise<number> {
    const { clock } = this.edge;
    const wasReady = this.#state === "ready";
    this.#state = "stopping";
    this.#report(stop, wasReady);

    const startMonoMs = clock.monoMs();
    const cut = new Promise<{ readonly cut: string }>((resolve) => {
      this.#cutShort = (why) => {
        resolve({ cut: why });
      };
    });
    const cancelGrace = clock.after(this.config.graceMs, () =>
      this.#cutShort(`the grace period of ${this.config.graceMs} ms is over`),
    );
    this.#abort.abort(new WeftError("canceled", "STOPPING", "the process is stopping"));

    // What main still opens belongs to the scope too: it closes when main is through.
    const closed = started.then(() => this.#scope.close());
    const outcome = await Promise.race([closed, cut]);
    cancelGrace();
    if ("cut" in outcome) {
      this.log.error("left before everything was closed", { why: outcome.cut, open: this.#scope.open });
      return EXIT_FAILED;
    }
    for (const error of outcome) this.log.error("something did not close in order", { error });
    this.log.info("stopped", { durationMs: Math.round(clock.monoMs() - startMonoMs) });

    if (stop.kind === "startFailed") return stop.error.reason === "BAD_CONFIG" ? EXIT_SETTINGS : EXIT_START;
    return stop.kind === "failed" || this.#crashed || outcome.length > 0 ? EXIT_FAILED : EXIT_OK;
  }

  #report(stop: Stop, wasReady: boolean): void {
    switch (stop.kind) {
      case "signal":
        this.log.info("stopping", { signal: stop.signal, starting: !wasReady, open: this.#scope.open });
        return;
      case "done":
        this.log.debug("done", { open: this.#scope.open });
        return;
      case "failed":
        this.log.info("stopping after a failure", { open: this.#scope.open });
        return;
      case "startFailed":
        // A foreseen reason is one clear line for whoever started it; the rest is for whoever repairs it.
        if (stop.error.kind === "internal") this.log.error("it could not start", { error: stop.error });
        else this.log.debug("it could not start", { error: stop.error, stack: stop.error.stack });
        this.edge.complain(complaint(this.component, stop.error));
        return;
    }
  }

  #firstSignalMonoMs: number | undefined;

  #onSignal(signal: string): void {
    const now = this.edge.clock.monoMs();
    if (this.#firstSignalMonoMs === undefined) {
      this.#firstSignalMonoMs = now;
      this.#stop({ kind: "signal", signal });
    } else if (now - this.#firstSignalMonoMs >= SAME_SIGNAL_MS) {
      this.#cutShort(`a second ${signal}`);
    }
  }

  #onUncaught(thrown: unknown, what: string): void {
    this.#crashed = true;
    const error = toWeftError(thrown);
    this.log.error(what, { error });
    this.#stop({ kind: "failed", error });
  }
}

/** What a person is told: one line per fact, no stack. */
function complaint(component: string, error: WeftError): string {
  const lines =
    error.reason === "BAD_CONFIG"
      ? [
          `${component}: the settings are not usable`,
          ...error.fields.map(({ field, description }) => `  ${field} ${description}`),
        ]
      : [`${component}: ${error.message}`];
  if (error.fix !== undefined) lines.push(`fix: ${error.fix}`);
  return `${lines.join("\n")}\n`;
}

/** Longer than any process lives, and what a timer can hold. */
const HOLD_MS = 2 ** 31 - 1;

/** The process this code runs in. */
export function processEdge(): ProcessEdge {
  return {
    argv: process.argv.slice(2),
    env: process.env,
    pid: process.pid,
    terminal: process.stderr.isTTY,
    clock: systemClock,
    random: systemRandom(),
    readFile: (path) => readFileSync(path, "utf8"),
    out: (line) => void writeSync(process.stdout.fd, line),
    err: undefined,
    complain: (line) => void writeSync(process.stderr.fd, line),
    onSignal(listener) {
      process.on("SIGTERM", listener).on("SIGINT", listener);
      return () => process.off("SIGTERM", listener).off("SIGINT", listener);
    },
    onUncaught(listener) {
      const onException = (error: unknown): void => listener(error, "an error was not caught");
      const onRejection = (error: unknown): void => listener(error, "a promise's rejection was not handled");
      process.on("uncaughtException", onException).on("unhandledRejection", onRejection);
      return () => process.off("uncaughtException", onException).off("unhandledRejection", onRejection);
    },
    hold() {
      const timer = setInterval(() => {}, HOLD_MS);
      return () => {
        clearInterval(timer);
      };
    },
    writeLine: (fd, line) => void writeSync(fd, line),
    sendParent: process.send
      ? (message, failed) => void process.send?.(message, undefined, undefined, (error) => error && failed(error))
      : undefined,
  };
}
