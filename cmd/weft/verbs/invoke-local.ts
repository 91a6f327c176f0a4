// `weft action invoke --local`: an action's code in its runtime on this machine, from a file, a folder, or what is
// deployed. Its result goes to standard output; what it prints and how it went to standard error.

import { existsSync, statSync, watch } from "node:fs";
import { createServer } from "node:net";
import { basename, dirname, resolve } from "node:path";

import { LocalRuns } from "../../../internal/assembly/local-runs.js";
import { toWeftError, WeftError, type ErrorKind } from "../../../internal/base/errors.js";
import type { Log, LogFields } from "../../../internal/base/log.js";
import { initEnvironment } from "../../../internal/core/action/action.js";
import { isTruthy, mergeKeyValues } from "../../../internal/core/action/key-values.js";
import { DEFAULT_LIMITS } from "../../../internal/core/action/limits.js";
import type { ActionLimits, KeyValue } from "../../../internal/core/action/types.js";
import type { Outcome } from "../../../internal/core/activation/types.js";
import { mergeParams } from "../../../internal/core/params/merge.js";
import { ActionServiceService, type Action } from "../../../internal/gen/weft/action/v1/action.pb.js";
import type { KeyValue as WireKeyValue } from "../../../internal/gen/weft/common/v1/common.pb.js";
import { PackageServiceService } from "../../../internal/gen/weft/packages/v1/package.pb.js";
import type { LocalAction, LocalEnd } from "../../../internal/invoker/local-run.js";
import type { Cli } from "../cli-context.js";
import { printError } from "../errors.js";
import { pretty, RawJson } from "../json-text.js";
import { readCode } from "../local-code.js";
import { parseName, showName } from "../names.js";
import { duration, usage, type Screen } from "../output.js";
import { paramsJson } from "../params.js";
import type { Values } from "../spec.js";
import { orMeant } from "./action.js";

const INSPECT_PORT = 9229;
/** Kinds whose runtime can wait for a debugger. */
const INSPECTABLE = ["nodejs", "python"];
/** Downloading code takes longer than other calls. */
const READ_MS = 120_000;
/** An editor writes a file in several steps. */
const SETTLE_MS = 100;

/** @returns the exit code */
export async function invokeLocally(cli: Cli, what: string, values: Values): Promise<number> {
  const inspectPort = inspectPortOf(values);
  if (inspectPort !== undefined) await mustBeFree(inspectPort);
  const docker = values.flag("docker");
  if (values.flag("docker-host") && !docker) throw usage("--docker-host needs --docker");
  const fromDisk = existsSync(resolve(cli.io.cwd, what));
  if (values.flag("watch") && !fromDisk)
    throw usage(`--watch needs a file or folder, and there is none called ${what}`);
  const given = await paramsJson(values.pairs("param"), values.text("param-file"), cli.io);
  const runs = new LocalRuns({
    driver: docker ? "docker" : "process",
    dockerHost: values.text("docker-host"),
    launcherDir: cli.io.env["WEFT_LAUNCHER_DIR"],
    programPath: cli.io.env["PATH"] ?? "",
    log: logOf(cli.screen),
  });
  try {
    if (!values.flag("watch")) return await once(cli, runs, what, fromDisk, given, values, inspectPort);
    for (;;) {
      // What the next run needs may change while this one goes on.
      const changed = changeOf(resolve(cli.io.cwd, what), cli.io.signal);
      try {
        await once(cli, runs, what, fromDisk, given, values, inspectPort);
      } catch (thrown) {
        if (cli.io.signal.aborted) throw thrown;
        printError(cli.screen, toWeftError(thrown), undefined); // the next change may mend it
      }
      if (!cli.io.signal.aborted)
        cli.screen.say(cli.screen.colours.dim(`waiting for ${what} to change; Ctrl-C ends this`));
      if (!(await changed)) return INTERRUPTED;
    }
  } finally {
    await runs.close();
  }
}

const INTERRUPTED = 130;

async function once(
  cli: Cli,
  runs: LocalRuns,
  what: string,
  fromDisk: boolean,
  given: string,
  values: Values,
  inspectPort: number | undefined,
): Promise<number> {
  const { screen, io } = cli;
  const subject = fromDisk ? await fromFiles(cli, runs, what, values) : await fromWeft(cli, runs, what, values);
  const { action } = subject;
  const [family = ""] = action.kind.split(":");
  if (inspectPort !== undefined && !INSPECTABLE.includes(family)) {
    throw usage(`--inspect: nothing debugs ${action.kind} here; it is there for ${INSPECTABLE.join(" and ")}`);
  }
  const defaults = subject.defaults.map(({ key, valueJson }) => ({ key, valueJson: Buffer.from(valueJson) }));
  const { dim, red } = screen.colours;
  const loaded = await orInItsImage(
    values,
    screen.progress(`building ${subject.shown}`, runs.built(action, io.signal)),
  );
  const running = runs.run(
    loaded,
    {
      namespace: action.key.split("/", 1)[0] ?? "",
      apiKey: subject.apiKey,
      paramsJson: mergeParams(defaults, Buffer.from(given)),
      ...(subject.apiHost === undefined ? {} : { apiHost: subject.apiHost }),
      ...(inspectPort === undefined ? {} : { inspectPort }),
    },
    {
      started: (version, createMs) => {
        const where = values.flag("docker") ? "in its image" : "as a child process, not isolated";
        screen.say(
          dim(`${subject.shown} runs on ${action.kind} (${version}), ${where}; started in ${duration(createMs)}`),
        );
      },
      printed: (stream, text) => {
        screen.say(`${stream === "stderr" ? red("stderr:") : dim("stdout:")} ${text}`);
      },
    },
    io.signal,
  );
  const end = await orInItsImage(values, running);
  show(screen, action, end);
  if (io.signal.aborted) return INTERRUPTED;
  return end.outcome === "success" ? 0 : end.outcome === "platformError" ? 3 : 1;
}

/** A machine without a language may have its image. */
async function orInItsImage<T>(values: Values, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (thrown) {
    if (!(thrown instanceof WeftError) || thrown.reason !== "IMAGE_MISSING" || values.flag("docker")) throw thrown;
    throw new WeftError(thrown.kind, thrown.reason, thrown.message, {
      cause: thrown,
      fix: "weft action invoke --local --docker …    (in its image), or install the language on this machine",
    });
  }
}

function show(screen: Screen, action: LocalAction, end: LocalEnd): void {
  const result = Buffer.from(end.resultJson).toString("utf8");
  const init = end.initMs === undefined ? "" : `, of which init ${duration(end.initMs)}`;
  const why = end.timedOut ? ` (its limit of ${duration(action.limits.timeoutMs)} ended it)` : "";
  const colour = end.outcome === "success" ? screen.colours.green : screen.colours.red;
  screen.say(`${colour(OUTCOMES[end.outcome])}${why} in ${duration(end.durationMs)}${init}`);
  if (!screen.json) {
    screen.print(pretty(result));
    return;
  }
  screen.printJson({
    activationId: end.activationId,
    name: action.key.slice(action.key.indexOf("/") + 1),
    version: action.version || undefined,
    kind: action.kind,
    startTime: new Date(end.startWallMs).toISOString(),
    createMs: end.createMs,
    durationMs: end.durationMs,
    initMs: end.initMs,
    outcome: end.outcome,
    timedOut: end.timedOut,
    result: new RawJson(result),
    logs: end.logs,
    limits: action.limits,
  });
}

const OUTCOMES: Readonly<Record<Outcome, string>> = {
  success: "success",
  applicationError: "application error",
  developerError: "developer error",
  platformError: "platform error",
};

// ---- what is run ----

interface Subject {
  readonly action: LocalAction;
  readonly defaults: readonly KeyValue[];
  /** For people. */
  readonly shown: string;
  readonly apiKey: string;
  readonly apiHost?: string;
}

async function fromFiles(cli: Cli, runs: LocalRuns, path: string, values: Values): Promise<Subject> {
  const { name, code, binary, family } = await readCode(path, cli.io.cwd);
  const kind = values.text("kind") ?? (family === undefined ? undefined : `${family}:default`);
  if (kind === undefined) {
    throw usage(
      `which language is ${path}? say --kind`,
      `weft action invoke --local ${path} --kind nodejs:default    (or python:default)`,
    );
  }
  return {
    action: {
      key: `local/${name.replaceAll("/", "_")}`,
      version: "0.0.1",
      kind: runs.kindOf(kind),
      code,
      binary,
      main: values.text("main") ?? "",
      env: Object.fromEntries(values.pairs("env")),
      limits: limitsOf(values, DEFAULT_LIMITS),
    },
    defaults: [],
    shown: path,
    apiKey: "",
  };
}

async function fromWeft(cli: Cli, runs: LocalRuns, nameText: string, values: Values): Promise<Subject> {
  const { namespace, name } = parseName(nameText, cli.namespace, 2);
  let action: Action;
  try {
    action = await orMeant(
      cli,
      namespace,
      name,
      cli.call(
        ActionServiceService.getAction,
        { namespace, name, withCode: true },
        { what: `reading ${name}`, deadlineMs: READ_MS },
      ),
    );
  } catch (thrown) {
    if (!(thrown instanceof WeftError) || !MAY_BE_A_FILE.includes(thrown.kind)) throw thrown;
    const { kind, reason, message, fix } = thrown;
    throw new WeftError(kind, reason, `there is no file ${nameText} here, and ${message}`, {
      cause: thrown,
      ...(fix === undefined ? {} : { fix }),
    });
  }
  const { exec } = action;
  const shown = showName(action.namespace, action.name);
  if (!exec || exec.components.length > 0) {
    throw usage(
      `${shown} is a sequence: run what it is made of, one after the other`,
      exec?.components.map((one) => `weft action invoke --local ${one}`).join("\n"),
    );
  }
  const own = [...action.parameters];
  const inPackage = await packageParameters(cli, namespace, name);
  const all = mergeKeyValues(inPackage, own);
  const givenKeys = new Set(values.pairs("param").map(([key]) => key));
  const hidden = all.filter((one) => one.encryption !== undefined && !givenKeys.has(one.key)).map(({ key }) => key);
  if (hidden.length > 0) {
    throw usage(
      `the values of ${hidden.join(", ")} are shown encrypted here: give them`,
      `weft action invoke --local ${nameText} ${hidden.map((key) => `--param ${key} VALUE`).join(" ")}`,
    );
  }
  const readable = all.filter((one) => one.encryption === undefined);
  return {
    action: {
      key: `${action.namespace}/${action.name}`,
      version: action.version,
      kind: runs.kindOf(values.text("kind") ?? exec.kind, exec.image),
      code: exec.code,
      binary: exec.binary,
      main: values.text("main") ?? exec.main,
      env: { ...initEnvironment(readable.filter((one) => one.init)), ...Object.fromEntries(values.pairs("env")) },
      limits: limitsOf(values, { ...DEFAULT_LIMITS, ...action.limits }),
    },
    defaults: readable.filter((one) => !one.init),
    shown: `${shown} version ${action.version}`,
    apiKey: isTruthy(action.annotations, "provide-api-key", true) ? cli.connection.auth : "",
    apiHost: cli.connection.rest,
  };
}

/** Ways not to find an action, after which it is worth saying that no file was found either. */
const MAY_BE_A_FILE: readonly ErrorKind[] = ["notFound", "unauthenticated", "unavailable"];

async function packageParameters(cli: Cli, namespace: string, name: string): Promise<readonly WireKeyValue[]> {
  const slash = name.indexOf("/");
  if (slash === -1) return [];
  const request = { namespace, name: name.slice(0, slash), asStored: false };
  const { parameters } = await cli.call(PackageServiceService.getPackage, request);
  return parameters;
}

function limitsOf(
  values: Values,
  base: Omit<ActionLimits, "logsMb"> & { readonly logsMb?: number | undefined },
): ActionLimits {
  return {
    timeoutMs: values.number("timeout", 1, TIMEOUT_MS_MAX) ?? base.timeoutMs,
    memoryMb: values.number("memory", 16, MEMORY_MB_MAX) ?? base.memoryMb,
    logsMb: base.logsMb ?? DEFAULT_LIMITS.logsMb,
    concurrency: base.concurrency,
  };
}

/** On one's own machine more is allowed than anywhere else: an hour, and what no machine has. */
const TIMEOUT_MS_MAX = 3_600_000;
const MEMORY_MB_MAX = 1_048_576;

// ---- around it ----

function inspectPortOf(values: Values): number | undefined {
  if (!values.flag("inspect")) return undefined;
  if (values.flag("docker")) {
    throw usage("--inspect is for child processes: nothing reaches a port inside of an image", "leave out --docker");
  }
  return values.text("inspect") === "" ? INSPECT_PORT : values.number("inspect", 1, 65_535);
}

function mustBeFree(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (thrown: NodeJS.ErrnoException) => {
      reject(
        usage(
          `--inspect: port ${port} of 127.0.0.1 cannot be had (${thrown.code ?? thrown.message})`,
          `--inspect=PORT    (another one)`,
        ),
      );
    });
    server.listen(port, "127.0.0.1", () => server.close(() => resolve()));
  });
}

/** Resolves with true when a file, or anything in a folder, has changed; with false when the signal aborts. */
function changeOf(path: string, signal: AbortSignal): Promise<boolean> {
  const folder = statSync(path).isDirectory();
  // Editors put a new file in the place of the old one: its folder tells.
  const watcher = watch(folder ? path : dirname(path), { recursive: folder });
  return new Promise((resolve, reject) => {
    const end = (changed: boolean): void => {
      signal.removeEventListener("abort", aborted);
      watcher.close();
      resolve(changed);
    };
    const aborted = (): void => end(false);
    let soon: NodeJS.Timeout | undefined;
    watcher.on("change", (_, file) => {
      if (!folder && file !== basename(path)) return;
      soon ??= setTimeout(() => end(true), SETTLE_MS);
    });
    watcher.once("error", reject);
    if (signal.aborted) aborted();
    else signal.addEventListener("abort", aborted, { once: true });
  });
}

/** What a driver has to say to people; its details are not for them. */
function logOf(screen: Screen): Log {
  const say = (message: string, fields: LogFields = {}): void => {
    const details = Object.entries(fields).map(
      ([name, value]) => `${name} ${value instanceof Error ? value.message : String(value)}`,
    );
    screen.say(screen.colours.dim([message, ...details].join("; ")));
  };
  const log: Log = { debug() {}, info() {}, warn: say, error: say, with: () => log };
  return log;
}
