// One run of an action on its developer's machine: the driver, the runtime and the sandbox of an invoker, without a fabric
// around them. What ends a run there ends it here, and in the same words.

import { ActionHistory } from "../core/keepalive/histories.js";
import type { Clock } from "../base/clock.js";
import { WeftError } from "../base/errors.js";
import { bytesToHex } from "../base/ids.js";
import type { Log } from "../base/log.js";
import { MetricsRegistry } from "../base/metrics.js";
import type { Random } from "../base/random.js";
import { noTracer } from "../base/trace.js";
import type { ActionLimits } from "../core/action/types.js";
import type { Outcome } from "../core/activation/types.js";
import { LoadBreaker } from "../core/scaling/load-breaker.js";
import type { SandboxDriver } from "../core/sandbox/driver.js";
import { RevisionSpec } from "../gen/weft/link/v1/control.pb.js";
import { invokerMetrics } from "./metrics.js";
import { Run, type RunEnd, type RunOwner } from "./run.js";
import { RunLogs } from "./run-logs.js";
import { Sandbox } from "./sandbox.js";
import { SandboxEncoder } from "./sandbox-codec.js";
import { invokerSettings } from "./settings.js";

/** Environment of a runtime that shall wait for a debugger on this port of the loopback before it loads code. */
export const INSPECT_VARIABLE = "WEFT_INSPECT";

/** Nobody debugs against a clock: the longest that a timer and the runtime's protocol can say, some 24 days. */
const UNLIMITED_MS = 2 ** 31 - 1;
/** What was written past the runtime may arrive so much later than the result. */
const LAST_OUTPUT_MS = 50;

export interface LocalRunDeps {
  readonly driver: SandboxDriver;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface LocalAction {
  /** "namespace/name" or "namespace/package/name". */
  readonly key: string;
  readonly version: string;
  /** Concrete kind. */
  readonly kind: string;
  readonly code: Uint8Array;
  readonly binary: boolean;
  readonly main: string;
  /** Variables that are set before its code is loaded. */
  readonly env: Readonly<Record<string, string>>;
  readonly limits: ActionLimits;
}

export interface LocalCall {
  readonly namespace: string;
  /** "uuid:key", or "" when the action is told none. */
  readonly apiKey: string;
  /** JSON text, defaults merged. */
  readonly paramsJson: Uint8Array;
  /** The runtime waits here for a debugger, and time limits are lifted. */
  readonly inspectPort?: number;
  /** URL of the REST API as the action is told it. */
  readonly apiHost?: string;
}

export interface LocalWatcher {
  /** The runtime has said hello. */
  started(languageVersion: string, createMs: number): void;
  /** A line that the action printed, as soon as it is there. */
  printed(stream: "stdout" | "stderr", text: string): void;
}

export interface LocalEnd {
  readonly activationId: string;
  readonly outcome: Outcome;
  /** JSON text. */
  readonly resultJson: Uint8Array;
  readonly timedOut: boolean;
  /** Loading included. */
  readonly durationMs: number;
  readonly initMs: number | undefined;
  /** Until the runtime said hello. */
  readonly createMs: number;
  readonly startWallMs: number;
  /** As an activation's record has them. */
  readonly logs: readonly string[];
}

/**
 * Makes a sandbox, runs the action once in it, and removes it. A signal asks the run to stop, as a cancelled caller does.
 * @throws what SandboxDriver.create throws; canceled when the signal aborts before there is a sandbox
 */
export async function runLocally(
  { driver, clock, random, log }: LocalRunDeps,
  action: LocalAction,
  call: LocalCall,
  watcher: LocalWatcher,
  signal: AbortSignal,
): Promise<LocalEnd> {
  const { pidsMax, startTimeoutMs, cancelGraceMs } = invokerSettings({ memoryMb: action.limits.memoryMb });
  const { memoryMb, concurrency, logsMb } = action.limits;
  const ask = {
    key: action.key,
    revisionId: "local",
    kind: action.kind,
    memoryMb,
    concurrency,
    maxInstances: 0,
    timeoutMs: call.inspectPort === undefined ? action.limits.timeoutMs : UNLIMITED_MS,
  };
  const spec = RevisionSpec.fromPartial({
    ask,
    main: action.main,
    binary: action.binary,
    codeSize: action.code.length,
    env: { ...action.env },
    logsMb,
    version: action.version,
  });
  const fromMonoMs = clock.monoMs();
  const process = await driver.create(
    { sandbox: 1, kind: action.kind, memoryMb, pidsMax, env: sandboxEnv(call) },
    startTimeoutMs,
    signal,
  );
  const createMs = Math.round(clock.monoMs() - fromMonoMs);
  const arrivedMonoMs = clock.monoMs();
  try {
    watcher.started(process.languageVersion, createMs);
    const activationId = bytesToHex(random.bytes(16));
    return await new Promise<LocalEnd>((resolve, reject) => {
      const sandbox = new Sandbox(1, action.kind, memoryMb, {
        clock,
        log,
        metrics: invokerMetrics(new MetricsRegistry("invoker")),
        tracer: noTracer,
        encoder: new SandboxEncoder(),
        code: { load: () => Promise.resolve({ spec, code: action.code }) },
        loads: new LoadBreaker(),
        historyOf: () => new ActionHistory(),
        chance: () => random.next(),
        cancelGraceMs,
        greedyClock: () => 0,
        changed: () => {},
        ended: () => {},
      });
      const told = (run: Run, end: RunEnd): void => {
        signal.removeEventListener("abort", stop);
        clock.after(LAST_OUTPUT_MS, () => {
          run.sandbox.settled(run);
          const logs = run.finishLogs(clock.wallMs());
          resolve({
            activationId,
            outcome: end.outcome,
            resultJson: end.resultJson,
            timedOut: end.timedOut,
            durationMs: end.durationMs,
            initMs: run.initMs,
            createMs,
            startWallMs: run.startWallMs,
            logs,
          });
        });
      };
      const owner: RunOwner = {
        ended: told,
        silent: () => {},
        notStarted: (_, reason) => reject(notStarted(reason)),
      };
      const request = {
        activationId,
        caller: {
          namespace: call.namespace,
          subject: call.namespace,
          transactionId: bytesToHex(random.bytes(16)),
          apiKey: call.apiKey,
          cause: "",
          binding: "",
        },
        async: false,
        traceparent: "",
        waitedMs: 0,
        expiresMonoMs: Infinity,
        arrivedMonoMs,
      };
      const run = new WatchedRun(request, owner, sandbox, ask, call.paramsJson, logsMb, watcher);
      const stop = (): void => sandbox.cancel(run, "interrupted");
      sandbox.claim(ask, { order: 1, schedulerBootId: "local" });
      sandbox.started(process);
      sandbox.slots?.use(SLOT, SLOT.dispatcherBootId, () => true);
      sandbox.begin(run);
      if (signal.aborted) stop();
      else signal.addEventListener("abort", stop, { once: true });
    });
  } finally {
    await process.destroy();
  }
}

const SLOT = { slot: 0, epoch: 1, sequence: 1, dispatcherBootId: "local", revisionId: "local" };

/** Its lines are told when they are printed, and kept for the end. */
class WatchedRun extends Run {
  readonly #watched: WatchedLogs;

  constructor(
    request: Run["request"],
    owner: RunOwner,
    sandbox: Sandbox,
    ask: Run["ask"],
    paramsJson: Uint8Array,
    logsMb: number,
    watcher: LocalWatcher,
  ) {
    super(request, owner, NO_SESSION, 1, sandbox, SLOT.slot, ask, paramsJson);
    this.#watched = new WatchedLogs(logsMb * 1024 * 1024, watcher);
  }

  override get logs(): RunLogs {
    return this.#watched;
  }

  override finishLogs(nowWallMs: number): readonly string[] {
    return this.#watched.end(nowWallMs);
  }
}

class WatchedLogs extends RunLogs {
  constructor(
    limitBytes: number,
    private readonly watcher: LocalWatcher,
  ) {
    super(limitBytes);
  }

  override add(stream: "stdout" | "stderr", unixNanos: bigint, text: string): void {
    const before = this.lines.length;
    super.add(stream, unixNanos, text);
    if (this.lines.length > before) this.watcher.printed(stream, text);
  }

  /** Tells too that something was dropped. That more may be missing is for those who were not here. */
  end(nowWallMs: number): readonly string[] {
    const before = this.lines.length;
    const all = this.finish(nowWallMs, false);
    for (const line of all.slice(before)) this.watcher.printed("stderr", line.slice(line.indexOf(": ") + 2));
    return all;
  }
}

/** It came by no link. */
const NO_SESSION: Run["session"] = { life: undefined, finished: () => {}, sentBack: () => {} };

function sandboxEnv({ inspectPort, apiHost }: LocalCall): Record<string, string> {
  return {
    ...(apiHost === undefined ? {} : { __OW_API_HOST: apiHost }),
    ...(inspectPort === undefined ? {} : { [INSPECT_VARIABLE]: String(inspectPort) }),
  };
}

/** With nobody to hold a slot against it, and no time by which it must have begun, there is one way left. */
function notStarted(reason: string): WeftError {
  return reason === "expired"
    ? new WeftError("canceled", "INTERRUPTED", "cancelled before the code began")
    : new WeftError("unavailable", "SANDBOX_GONE", "the sandbox ended before the code began");
}
