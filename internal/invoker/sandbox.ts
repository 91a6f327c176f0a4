// One sandbox and the calls in it.
//
// The host makes it and ends it for want of memory or calls; everything between is here: its code is loaded by the first
// call, it freezes and thaws, its runtime is spoken to, time limits are kept, its end is noticed.
//
//   B1. Every run that was begun here ends exactly once: `ended`, or `notStarted` when its code did not begin.
//   B2. Code is loaded at most once. Calls that come meanwhile wait for it and share its fate.
//   B3. A run that must be stopped takes the sandbox with it, but not its neighbours: the sandbox takes nothing new, and
//       ends when they have ended. Its own caller is answered at once.
//   B4. A call costs no timer: one timer per sandbox is set for the earliest moment at which it must look.
//   B5. Code that failed to load again and again is left alone for a while: calls are told what the last load said, by the
//       sandbox that they came to, which has no code then, or by a stand-in, which has no process either.

import type { Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import { NumberMap } from "../base/number-map.js";
import type { Span, SpanOptions, Tracer } from "../base/trace.js";
import { RESULT_BYTES_MAX } from "../core/action/types.js";
import type { ActionAsk } from "../core/dispatch/call.js";
import type { ActionHistory } from "../core/keepalive/histories.js";
import type { RawOutput, SandboxExit, SandboxProcess } from "../core/sandbox/driver.js";
import { priorityOf, type Pooled } from "../core/sandbox/pool.js";
import { SlotTable } from "../core/sandbox/slots.js";
import { sandboxMachine, type SandboxState } from "../core/sandbox/state.js";
import type { LoadBreaker, LoadVerdict } from "../core/scaling/load-breaker.js";
import type { CodeCache, LoadableRevision } from "./code-cache.js";
import {
  canceled,
  CODE_GONE,
  CODE_NOT_FETCHED,
  errorJson,
  initFailed,
  initTimedOut,
  INVOKER_STOPPED,
  MALFORMED_MESSAGE,
  noResult,
  resultTooLarge,
  runTimedOut,
  sandboxEnded,
  type Failure,
} from "./failures.js";
import { jsonShapeOf } from "./json-text.js";
import type { EndName, InvokerMetrics } from "./metrics.js";
import type { Run } from "./run.js";
import { nanosOfMs, RawLines } from "./run-logs.js";
import { decodeFromSandbox, type FromSandboxMessage, type SandboxEncoder } from "./sandbox-codec.js";

/** A driver is given so long to say why a sandbox ended, once its connection is gone. */
const EXIT_WAIT_MS = 500;
/** A sandbox made for somebody is left alone so long, although nobody has called yet: its lease is on its way. */
const FIRST_CALL_GRACE_MS = 2_000;

export interface SandboxDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: InvokerMetrics;
  readonly tracer: Tracer;
  readonly encoder: SandboxEncoder;
  readonly code: Pick<CodeCache, "load">;
  /** What is known of code that does not load (B5). */
  readonly loads: LoadBreaker<LoadFailure>;
  /** What is known of the calls of an action. */
  readonly historyOf: (actionKey: string) => ActionHistory;
  /** Between 0 and 1. */
  readonly chance: () => number;
  readonly cancelGraceMs: number;
  /** The clock of the greedy-dual eviction. */
  readonly greedyClock: () => number;
  /** It froze, thawed, or a call ended in it. */
  readonly changed: (sandbox: Sandbox, what: "state" | "load") => void;
  /** Once. It takes no calls any more; the host destroys what is left of it. */
  readonly ended: (sandbox: Sandbox, reason: EndName) => void;
}

type Code =
  | { readonly kind: "none" }
  | { readonly kind: "fetching" }
  | { readonly kind: "ready"; readonly revision: LoadableRevision }
  | { readonly kind: "loading"; readonly revision: LoadableRevision; readonly payer: Run; readonly span: Span }
  | { readonly kind: "loaded"; readonly revision: { readonly spec: LoadableRevision["spec"] } }
  /** B5: of a stand-in. */
  | { readonly kind: "failed" };

/** What a load of code said that failed, as each of its calls is told. */
export interface LoadFailure {
  readonly spec: LoadableRevision["spec"];
  readonly outcome: Failure["outcome"];
  readonly resultJson: Uint8Array;
  readonly timedOut: boolean;
}

type KnownFailure = Extract<LoadVerdict<LoadFailure>, { readonly kind: "answer" }>;

/** Who asked for it, to be told when it is there. */
export interface SandboxOrder {
  readonly order: number;
  readonly schedulerBootId: string;
}

const RUN_SPAN: SpanOptions = { kind: "client" };
const NO_BYTES = new Uint8Array();
const INIT_FAILED = new WeftError("failedPrecondition", "INIT_FAILED", "the code could not be loaded");
const NO_CODE: Code = { kind: "none" };

export class Sandbox implements Pooled {
  #state: SandboxState = sandboxMachine.initial;
  #ask: ActionAsk | undefined;
  #slashedName = "";
  #slots: SlotTable | undefined;
  #history: ActionHistory | undefined;
  #process: SandboxProcess | undefined;
  #exit: SandboxExit | undefined;
  /** It comes from an earlier life, and its runtime has loaded the code already. */
  #resumed = false;
  /** Nobody has ordered it in this life: no lease on it is on its way. */
  #adopted = false;
  #power: "on" | "freezing" | "off" | "thawing" = "on";
  #freezable = true;
  #code: Code = NO_CODE;
  #ending: EndName | undefined;
  #dying = false;
  readonly #runs = new NumberMap<Run>();
  readonly #waiting: Run[] = [];
  #number = 0;
  #calls = 0;
  #initMs = 0;
  #readyAtMonoMs = 0;
  #timerDueMonoMs = Infinity;
  #cancelTimer = (): void => {};
  #cancelExitWait = (): void => {};
  readonly #raw = { stdout: new RawLines(), stderr: new RawLines() };
  #rawOwner: Run | undefined;

  order: SandboxOrder | undefined;
  /** How it came to its action. */
  origin: "cold" | "stem" = "cold";
  queueMs = 0;
  createMs = 0;
  /** From the order until it was there. */
  madeWallMs: { readonly from: number; readonly to: number } | undefined;
  idleSinceMonoMs: number;
  priority = 0;

  constructor(
    readonly number: number,
    readonly kind: string,
    readonly memoryMb: number,
    private readonly deps: SandboxDeps,
  ) {
    this.idleSinceMonoMs = deps.clock.monoMs();
  }

  get state(): SandboxState {
    return this.#state;
  }
  get ask(): ActionAsk | undefined {
    return this.#ask;
  }
  /** undefined while it belongs to no action. */
  get slots(): SlotTable | undefined {
    return this.#slots;
  }
  get running(): number {
    return this.#runs.size;
  }
  /** undefined while it belongs to no action. */
  get history(): ActionHistory | undefined {
    return this.#history;
  }
  /** What it took to make and load it, ms. */
  get startCostMs(): number {
    return this.createMs + this.#initMs;
  }
  get process(): SandboxProcess | undefined {
    return this.#process;
  }
  get takesCalls(): boolean {
    return this.#ending === undefined && !this.#dying && (this.#state === "warm" || this.#state === "frozen");
  }
  get evictable(): boolean {
    if (this.#ending !== undefined || this.#dying) return false;
    if (this.#state === "stem" || this.#calls > 0 || this.#adopted) return true;
    return this.deps.clock.monoMs() - this.#readyAtMonoMs >= FIRST_CALL_GRACE_MS;
  }
  get freezable(): boolean {
    return this.#freezable && this.#power === "on" && !this.#dying;
  }

  // ---- its life ----

  /** It is made, or taken, for an action. Its code is fetched while the driver works. */
  claim(ask: ActionAsk, order: SandboxOrder | undefined): void {
    this.#ask = ask;
    this.#slashedName = `/${ask.key}`;
    this.#history = this.deps.historyOf(ask.key);
    this.#slots = new SlotTable(ask.revisionId, Math.max(1, ask.concurrency));
    this.order = order;
    if (this.#state === "stem") {
      this.origin = "stem";
      this.#state = sandboxMachine.step("stem", "claim");
      this.#becameReady();
    }
    this.#fetch();
  }

  /** The driver has made it. */
  started(process: SandboxProcess): void {
    this.#process = process;
    process.link.onMessage = (bytes) => this.#receive(bytes);
    process.onRawOutput = (output) => this.#heardRaw(output);
    void process.exited.then((exit) => {
      this.#exit = exit;
      this.#lost();
    });
    void process.link.closed.then(() => this.#lost());
    this.#state = sandboxMachine.step("starting", this.#ask ? "ready" : "prepared");
    this.#becameReady();
  }

  /**
   * It comes from an earlier life of the invoker.
   * @param ask undefined: it is a stem cell
   * @param loaded its runtime has loaded the code
   */
  adopted(process: SandboxProcess, ask: ActionAsk | undefined, loaded: boolean): void {
    this.#adopted = true;
    this.#resumed = loaded;
    if (ask) this.claim(ask, undefined);
    this.started(process);
  }

  /** B5. It is there at once, and tells its calls what is known as long as that is all there is. */
  standIn(ask: ActionAsk, order: SandboxOrder): void {
    this.#code = { kind: "failed" };
    this.claim(ask, order);
    this.#state = sandboxMachine.step("starting", "ready");
    this.#becameReady();
  }

  /** Ends it now. Calls that run are answered that the invoker stopped. */
  end(reason: EndName): void {
    if (this.#state === "gone") return;
    this.#ending = reason;
    this.#failRuns(INVOKER_STOPPED);
    this.#gone(reason);
  }

  /**
   * Lets a later life of the invoker have it.
   * @returns its process; undefined when it is busy, or does not outlive this life
   */
  leave(): SandboxProcess | undefined {
    const process = this.#process;
    if (this.#state === "gone" || this.#dying || this.#runs.size > 0 || process?.survivesAs === undefined)
      return undefined;
    if (this.#ending !== undefined && this.#ending !== "draining") return undefined;
    this.#dying = true; // its connection ends, and that means nothing
    this.#state = sandboxMachine.step(this.#state, "end");
    this.#cancelTimer();
    this.#cancelExitWait();
    return process;
  }

  /** Takes no new calls and ends when the last one has. */
  endWhenIdle(reason: EndName): void {
    this.#ending ??= reason;
    if (this.#runs.size === 0) this.#gone(this.#ending);
  }

  freeze(): void {
    if (this.#state !== "warm" || !this.freezable || this.#runs.size > 0) return;
    const { process } = this;
    if (!process) return;
    this.#state = sandboxMachine.step("warm", "freeze");
    this.#power = "freezing";
    this.deps.changed(this, "state");
    process.freeze().then(
      () => {
        this.#power = "off";
        this.#advance();
      },
      (thrown: unknown) => {
        this.deps.log.warn("a sandbox could not be frozen; it stays as it is", {
          sandboxId: this.number,
          error: toWeftError(thrown),
        });
        this.#freezable = false;
        this.#power = "on";
        if (this.#state !== "frozen") return;
        this.#state = sandboxMachine.step("frozen", "thaw");
        this.deps.changed(this, "state");
        this.#advance();
      },
    );
  }

  /** Its priority rises with the clock when it is used. */
  touch(): void {
    this.priority = priorityOf(this.deps.greedyClock(), this.#calls, this.startCostMs, this.memoryMb);
  }

  #becameReady(): void {
    const now = this.deps.clock.monoMs();
    this.#readyAtMonoMs = now;
    this.idleSinceMonoMs = now;
    this.touch();
  }

  #gone(reason: EndName): void {
    if (this.#state === "gone") return;
    this.#state = sandboxMachine.step(this.#state, "end");
    this.#cancelTimer();
    this.#cancelExitWait();
    if (this.#code.kind === "loading") this.#code.span.end();
    this.#code = NO_CODE;
    this.deps.ended(this, reason);
  }

  // ---- calls ----

  /** A call whose slot is its own. */
  begin(run: Run): void {
    if (this.#runs.size === 0) this.#noteGap(run.request.arrivedMonoMs);
    this.#number = (this.#number + 1) >>> 0;
    run.number = this.#number;
    this.#runs.set(run.number, run);
    if (this.#code.kind === "loaded" && this.#power === "on") {
      this.#send(run, this.#code.revision.spec);
      return;
    }
    if (this.#code.kind === "loaded" || this.#resumed) run.startKind = this.#power === "on" ? "warm" : "frozen";
    else run.startKind = this.origin;
    run.dueMonoMs = run.request.expiresMonoMs;
    this.#waiting.push(run);
    this.#arm(run.dueMonoMs);
    this.#advance();
  }

  /** How long it was idle; of one that was made for the call, how long its action was. */
  #noteGap(nowMonoMs: number): void {
    const history = this.#history;
    if (!history) return;
    const sinceMonoMs = this.#calls > 0 || this.#adopted ? this.idleSinceMonoMs : history.lastIdleMonoMs;
    if (sinceMonoMs > -Infinity) history.gaps.add(nowMonoMs - sinceMonoMs);
  }

  /** Asks a call to stop. Its end is told as any other. */
  cancel(run: Run, reason: string): void {
    switch (run.phase) {
      case "waiting":
        this.#sendBack(run, "expired");
        return;
      case "initialising":
      case "running":
        if (run.canceledBecause !== undefined) return;
        run.canceledBecause = reason;
        if (run.phase === "running") this.#process?.link.send(this.deps.encoder.cancel(run.number, reason));
        run.dueMonoMs = Math.min(run.dueMonoMs, this.deps.clock.monoMs() + this.deps.cancelGraceMs);
        this.#arm(run.dueMonoMs);
        return;
      case "over":
        return;
    }
  }

  /** True while output past the runtime would be taken for this run's. */
  mayPrint(run: Run): boolean {
    return this.#rawOwner === run;
  }

  /** The last of its raw output is there. */
  settled(run: Run): void {
    if (this.#rawOwner === run) this.#passRaw(undefined);
  }

  /** Does what the calls that wait need next. */
  #advance(): void {
    if (this.#waiting.length === 0 || this.#state === "gone" || this.#dying) return;
    switch (this.#power) {
      case "freezing":
      case "thawing":
        return;
      case "off":
        this.#thaw();
        return;
      case "on":
    }
    switch (this.#code.kind) {
      case "none":
        this.#fetch();
        return;
      case "fetching":
      case "loading":
        return;
      case "ready":
        this.#init(this.#code.revision);
        return;
      case "loaded": {
        const { spec } = this.#code.revision;
        for (const run of this.#waiting.splice(0)) this.#send(run, spec);
        return;
      }
      case "failed": {
        const verdict = this.deps.loads.known(this.#slots?.revisionId ?? "", this.deps.clock.monoMs());
        if (verdict.kind === "answer") {
          this.#tellAll(verdict);
          return;
        }
        for (const run of [...this.#waiting]) this.#sendBack(run, "staleLease");
        this.endWhenIdle("evicted");
      }
    }
  }

  #thaw(): void {
    const { process } = this;
    if (!process) return;
    this.#state = sandboxMachine.step("frozen", "thaw");
    this.#power = "thawing";
    this.deps.changed(this, "state");
    process.unfreeze().then(
      () => {
        this.#power = "on";
        this.#advance();
      },
      (thrown: unknown) => {
        if (this.#state === "gone") return;
        this.deps.log.warn("a sandbox could not be thawed; it ends", {
          sandboxId: this.number,
          error: toWeftError(thrown),
        });
        for (const run of [...this.#waiting]) this.#sendBack(run, "staleLease");
        this.#gone("died");
      },
    );
  }

  #fetch(): void {
    const ask = this.#ask;
    if (this.#code.kind !== "none" || !ask) return;
    this.#code = { kind: "fetching" };
    this.deps.code.load(ask.key, ask.revisionId).then(
      (revision) => {
        if (this.#state === "gone") return;
        this.#code = this.#resumed
          ? { kind: "loaded", revision: { spec: revision.spec } }
          : { kind: "ready", revision };
        this.#advance();
      },
      (thrown: unknown) => {
        if (this.#state === "gone") return;
        this.#code = NO_CODE;
        this.#notFetched(ask, toWeftError(thrown));
      },
    );
  }

  #notFetched(ask: ActionAsk, error: WeftError): void {
    const gone = error.kind === "notFound";
    if (!gone) this.deps.log.warn("the code of an action could not be fetched", { action: ask.key, error });
    // Without a call nobody needs to know: the first one tries again, and is told.
    if (this.#waiting.length === 0) {
      if (gone && this.#resumed) this.#gone("evicted");
      return;
    }
    for (const run of [...this.#waiting]) {
      // What nobody waits for is tried again elsewhere; a caller is told.
      if (!gone && run.request.async) this.#sendBack(run, "staleLease");
      else this.#fail(run, gone ? CODE_GONE : CODE_NOT_FETCHED);
    }
    this.#gone("died");
  }

  #init(revision: LoadableRevision): void {
    const { clock, tracer, encoder, loads } = this.deps;
    const now = clock.monoMs();
    const verdict = loads.mayLoad(this.#slots?.revisionId ?? "", now);
    if (verdict.kind === "answer") {
      this.#tellAll(verdict);
      return;
    }
    const payer = this.#waiting.find((run) => now < run.request.expiresMonoMs);
    if (!payer || !this.#ask) {
      for (const run of [...this.#waiting]) this.#sendBack(run, "expired");
      return;
    }
    this.#waiting.splice(this.#waiting.indexOf(payer), 1);
    const { spec } = revision;
    payer.phase = "initialising";
    payer.spec = spec;
    payer.startMonoMs = now;
    payer.startWallMs = clock.wallMs();
    payer.dueMonoMs = now + this.#ask.timeoutMs;
    this.#passRaw(payer);
    this.#traceStart(payer);
    const span = tracer.start("sandbox.init", payer.request.traceparent, RUN_SPAN);
    this.#code = { kind: "loading", revision, payer, span };
    const { caller } = payer.request;
    const env: Record<string, string> = {
      ...spec.env,
      __OW_ACTION_NAME: this.#slashedName,
      __OW_ACTION_VERSION: spec.version,
      __OW_NAMESPACE: caller.namespace,
      __OW_ACTIVATION_ID: payer.request.activationId,
      __OW_TRANSACTION_ID: caller.transactionId,
      __OW_DEADLINE: String(Math.round(payer.startWallMs + this.#ask.timeoutMs)),
    };
    if (caller.apiKey !== "") env["__OW_API_KEY"] = caller.apiKey;
    if (this.#ask.concurrency > 1) env["__OW_ALLOW_CONCURRENT"] = "true";
    this.#process?.link.send(
      encoder.init({
        actionName: this.#ask.key.slice(this.#ask.key.lastIndexOf("/") + 1),
        main: spec.main,
        code: revision.code,
        binary: spec.binary,
        env,
        concurrency: this.#ask.concurrency,
        logLimitBytes: spec.logsMb * 1024 * 1024,
      }),
    );
    this.#arm(payer.dueMonoMs);
  }

  /** B5 */
  #tellAll({ failure, failures, leftMs }: KnownFailure): void {
    const { clock, metrics } = this.deps;
    for (const run of [...this.#waiting]) {
      metrics.loadsSpared.inc();
      run.startKind = "warm"; // nothing was started for it
      run.spec = failure.spec;
      const again = leftMs < 1_000 ? "soon" : `in ${Math.ceil(leftMs / 1_000)} s`;
      run.logs.add(
        "stderr",
        nanosOfMs(clock.wallMs()),
        `The code was not loaded for this activation: that failed ${failures} times in a row, the last time as told here. It is tried again ${again}.`,
      );
      this.#finish(run, failure.outcome, failure.resultJson, failure.resultJson.length, failure.timedOut, true);
    }
  }

  /** B5 */
  #loadFailed(failure: Omit<LoadFailure, "spec">): void {
    if (this.#code.kind !== "loading") return;
    const { revision, payer } = this.#code;
    const { loads, clock, chance } = this.deps;
    const known = { ...failure, spec: revision.spec };
    loads.failed(payer.ask.revisionId, known, payer.startMonoMs, clock.monoMs(), chance());
  }

  /** The first call is what it was made for: its trace tells what the start took. A stem cell was made for nobody. */
  #traceStart(payer: Run): void {
    if (!this.madeWallMs || this.origin !== "cold") return;
    const { from, to } = this.madeWallMs;
    this.madeWallMs = undefined;
    this.deps.tracer.start("sandbox.start", payer.request.traceparent, { startWallMs: from }).end(to);
  }

  #send(run: Run, spec: LoadableRevision["spec"]): void {
    const { clock, metrics, tracer } = this.deps;
    const now = clock.monoMs();
    const ask = run.ask;
    const { request } = run;
    // NaN: its part has not begun yet.
    if (Number.isNaN(run.startMonoMs)) {
      if (now >= request.expiresMonoMs) {
        this.#sendBack(run, "expired");
        return;
      }
      run.startMonoMs = now;
      run.startWallMs = clock.wallMs();
      run.spec = spec;
    }
    run.phase = "running";
    run.dueMonoMs = run.canceledBecause === undefined ? now + ask.timeoutMs : run.dueMonoMs;
    this.#passRaw(run);
    const span = tracer.start("activation.run", request.traceparent, RUN_SPAN);
    run.span = span;
    if (span.recording) {
      span.set("weft.activation_id", request.activationId);
      span.set("weft.action", ask.key);
      span.set("weft.namespace", request.caller.namespace);
    }
    this.#process?.link.send(
      this.deps.encoder.run({
        call: run.number,
        paramsJson: run.paramsJson,
        activationId: request.activationId,
        namespace: request.caller.namespace,
        actionName: this.#slashedName,
        actionVersion: spec.version,
        transactionId: request.caller.transactionId,
        remainingMs: ask.timeoutMs,
        deadlineWallMs: Math.round(clock.wallMs() + ask.timeoutMs),
        apiKey: request.caller.apiKey,
        traceparent: span.traceparent,
      }),
    );
    run.paramsJson = NO_BYTES; // a view of a whole frame
    this.#observeStart(metrics, run, now - request.arrivedMonoMs);
    if (run.canceledBecause !== undefined) {
      this.#process?.link.send(this.deps.encoder.cancel(run.number, run.canceledBecause));
    }
    if (run.dueMonoMs < this.#timerDueMonoMs) this.#arm(run.dueMonoMs);
  }

  #observeStart(metrics: InvokerMetrics, run: Run, ms: number): void {
    switch (run.startKind) {
      case "warm":
        metrics.startWarm.observeMs(ms);
        return;
      case "frozen":
        metrics.startFrozen.observeMs(ms);
        return;
      case "stem":
        metrics.startStem.observeMs(ms);
        return;
      case "cold":
        metrics.startCold.observeMs(ms);
    }
  }

  // ---- how calls end ----

  #fail(run: Run, failure: Failure): void {
    if (failure.note !== undefined) run.logs.note(failure.note);
    this.#finish(run, failure.outcome, errorJson(failure.error), 0, failure.timedOut ?? false, false);
  }

  /** B1. The slot is free before its holder is told. */
  #finish(
    run: Run,
    outcome: Failure["outcome"],
    resultJson: Uint8Array,
    resultSize: number,
    timedOut: boolean,
    keeps: boolean,
  ): void {
    if (run.phase === "over") return;
    const now = this.deps.clock.monoMs();
    const begun = !Number.isNaN(run.startMonoMs);
    if (!begun) {
      run.startMonoMs = now;
      run.startWallMs = this.deps.clock.wallMs();
      this.#leaveWaiting(run);
    }
    run.phase = "over";
    this.#runs.delete(run.number);
    this.#calls += 1;
    if (!keeps)
      this.#ending ??= "died"; // B3
    else {
      this.#slots?.release(run.slot);
      this.idleSinceMonoMs = now;
      if (this.#history) this.#history.lastIdleMonoMs = now;
      this.touch();
    }
    const reusable = keeps && this.#ending === undefined && !this.#dying;
    const durationMs = Math.max(0, Math.round(now - run.startMonoMs));
    const end = { outcome, resultJson, resultSize, timedOut, reusable, durationMs };
    run.end = end;
    if (run.span) {
      if (run.span.recording) run.span.set("weft.outcome", outcome);
      run.span.end();
    }
    this.deps.metrics.run[outcome].observeMs(now - run.startMonoMs);
    run.owner.ended(run, end);
    if (this.#ending !== undefined && this.#runs.size === 0) this.#gone(this.#ending);
    else this.deps.changed(this, "load");
  }

  /** B1: its code did not begin. */
  #sendBack(run: Run, reason: "staleLease" | "expired"): void {
    if (run.phase === "over") return;
    run.phase = "over";
    this.#leaveWaiting(run);
    this.#runs.delete(run.number);
    this.#slots?.release(run.slot);
    run.owner.notStarted(run, reason);
    if (this.#ending !== undefined && this.#runs.size === 0) this.#gone(this.#ending);
  }

  #leaveWaiting(run: Run): void {
    const at = this.#waiting.indexOf(run);
    if (at !== -1) this.#waiting.splice(at, 1);
  }

  /** Every call here ends so; those whose code did not begin are sent back. */
  #failRuns(failure: Failure | ((run: Run) => Failure)): void {
    const loading = this.#code.kind === "loading";
    for (const run of this.#runs.values()) {
      // B2: calls that wait for the code share its fate.
      if (run.phase === "waiting" && !loading) this.#sendBack(run, "staleLease");
      else this.#fail(run, typeof failure === "function" ? failure(run) : failure);
    }
  }

  // ---- time ----

  /** B4 */
  #arm(dueMonoMs: number): void {
    if (dueMonoMs >= this.#timerDueMonoMs) return;
    this.#cancelTimer();
    this.#timerDueMonoMs = dueMonoMs;
    this.#cancelTimer = this.deps.clock.after(dueMonoMs - this.deps.clock.monoMs(), this.#look);
  }

  readonly #look = (): void => {
    this.#timerDueMonoMs = Infinity;
    const now = this.deps.clock.monoMs();
    for (const run of this.#runs.values()) if (run.dueMonoMs <= now) this.#overdue(run);
    if (this.#state === "gone") return;
    let next = Infinity;
    for (const run of this.#runs.values()) next = Math.min(next, run.dueMonoMs);
    if (next < Infinity) this.#arm(next);
  };

  #overdue(run: Run): void {
    const { metrics } = this.deps;
    const timeoutMs = run.ask.timeoutMs;
    switch (run.phase) {
      case "waiting":
        this.#sendBack(run, "expired");
        return;
      case "initialising": {
        if (run.canceledBecause === undefined) metrics.initTimeouts.inc();
        const failure = run.canceledBecause === undefined ? initTimedOut(timeoutMs) : canceled(run.canceledBecause);
        if (run.canceledBecause === undefined) this.#loadFailed(toldBy(failure));
        this.#endInit(metrics.initFailed, run);
        this.#failRuns(failure);
        return;
      }
      case "running":
        if (run.canceledBecause === undefined) metrics.runTimeouts.inc();
        this.#fail(
          run,
          run.canceledBecause === undefined ? runTimedOut(timeoutMs, run.initMs) : canceled(run.canceledBecause),
        );
        return;
      case "over":
    }
  }

  #endInit(result: { observeMs(ms: number): void }, payer: Run): number {
    const ms = this.deps.clock.monoMs() - payer.startMonoMs;
    payer.initMs = Math.max(0, Math.round(ms));
    result.observeMs(ms);
    if (this.#code.kind === "loading") {
      if (result === this.deps.metrics.initFailed) this.#code.span.fail(INIT_FAILED);
      this.#code.span.end();
    }
    return ms;
  }

  // ---- what it says ----

  #receive(bytes: Uint8Array): void {
    if (this.#state === "gone") return;
    let message: FromSandboxMessage;
    try {
      message = decodeFromSandbox(bytes);
    } catch (thrown) {
      this.#malformed(toWeftError(thrown).message);
      return;
    }
    switch (message.kind) {
      case "runResult":
        this.#ran(message);
        return;
      case "logs": {
        const run = this.#printer(message.call);
        if (!run) this.deps.metrics.lateMessages.inc();
        else for (const line of message.lines) run.logs.add(line.stream, line.unixNanos, line.text);
        return;
      }
      case "initResult":
        this.#loaded(message.ok, message.errorJson);
    }
  }

  #ran(message: FromSandboxMessage & { readonly kind: "runResult" }): void {
    const run = this.#runs.get(message.call);
    if (run?.phase !== "running") {
      // Of a run that was stopped: it is answered, and the sandbox ends as soon as its neighbours have.
      this.deps.metrics.lateMessages.inc();
      return;
    }
    if (message.logsTruncated) run.logs.truncate();
    const answer = message.resultJson;
    const size = answer.length;
    if (size > RESULT_BYTES_MAX) {
      const { outcome, error } = resultTooLarge(answer, run.request.truncationBytes);
      this.#finish(run, outcome, errorJson(error), size, false, message.outcome !== "developerError");
      return;
    }
    const shape = jsonShapeOf(answer);
    if (shape === undefined || (shape === "array" && message.outcome !== "success")) {
      const { outcome, error } = noResult(answer);
      this.#finish(run, outcome, errorJson(error), size, false, false);
      return;
    }
    // A copy: the answer is a view of what came from the socket.
    this.#finish(run, message.outcome, Buffer.from(answer), size, false, message.outcome !== "developerError");
  }

  #loaded(ok: boolean, error: Uint8Array): void {
    if (this.#code.kind !== "loading") {
      this.#malformed("it answers an init that was not asked for");
      return;
    }
    const { payer, revision } = this.#code;
    const { metrics } = this.deps;
    if (!ok) {
      const failure = initFailed(error);
      const json = "json" in failure ? failure.json : errorJson(failure.error);
      this.#loadFailed({ outcome: failure.outcome, resultJson: json, timedOut: false });
      this.#endInit(metrics.initFailed, payer);
      for (const run of this.#runs.values()) {
        run.spec ??= revision.spec;
        this.#finish(run, failure.outcome, json, run === payer ? error.length : 0, false, false);
      }
      return;
    }
    this.deps.loads.loaded(payer.ask.revisionId);
    this.#initMs = this.#endInit(metrics.initOk, payer);
    this.#code = { kind: "loaded", revision: { spec: revision.spec } }; // the code itself may go
    this.#send(payer, revision.spec);
    this.#advance();
  }

  #malformed(what: string): void {
    this.deps.log.info("a sandbox ends: it broke its protocol", {
      sandboxId: this.number,
      action: this.#ask?.key,
      reason: what,
    });
    this.#failRuns(MALFORMED_MESSAGE);
    this.#gone("died");
  }

  /** Whose lines these are: 0 is what was printed during init or between runs. */
  #printer(call: number): Run | undefined {
    if (call !== 0) return this.#runs.get(call);
    if (this.#code.kind === "loading") return this.#code.payer;
    return this.#runs.size === 1 ? this.#onlyRun() : undefined;
  }

  #onlyRun(): Run | undefined {
    return this.#runs.values()[0];
  }

  // ---- output past the runtime ----

  // It carries no call's number: it belongs to the run that began last, until its record is made.
  #heardRaw({ stream, bytes }: RawOutput): void {
    const owner = this.#rawOwner;
    if (!owner) return;
    const nanos = nanosOfMs(this.deps.clock.wallMs());
    this.#raw[stream].push(bytes, (text) => owner.logs.add(stream, nanos, text));
  }

  #passRaw(next: Run | undefined): void {
    const before = this.#rawOwner;
    if (before && before !== next && (this.#raw.stdout.pending || this.#raw.stderr.pending)) {
      const nanos = nanosOfMs(this.deps.clock.wallMs());
      this.#raw.stdout.flush((text) => before.logs.add("stdout", nanos, text));
      this.#raw.stderr.flush((text) => before.logs.add("stderr", nanos, text));
    }
    this.#rawOwner = next;
    if (before && before !== next) before.owner.silent(before);
  }

  // ---- its end ----

  /** Its connection or its process ended: nothing runs in it any more. */
  #lost(): void {
    if (this.#state === "gone") return;
    if (this.#exit) {
      this.#bury();
      return;
    }
    if (this.#dying) return;
    this.#dying = true;
    if (this.#runs.size === 0) {
      this.#bury(); // at once: its slots must not be granted to anybody
      return;
    }
    // Why it ended is for the driver to say, if it does so soon.
    this.#cancelExitWait = this.deps.clock.after(EXIT_WAIT_MS, () => this.#bury());
  }

  #bury(): void {
    if (this.#state === "gone") return;
    this.#dying = true;
    const payer = this.#code.kind === "loading" ? this.#code.payer : undefined;
    if (payer) {
      this.#loadFailed(toldBy(sandboxEnded(this.#exit, true, payer.logs.tail())));
      this.#endInit(this.deps.metrics.initFailed, payer);
    }
    this.#passRaw(undefined);
    if (this.#exit?.kind === "outOfMemory") {
      this.deps.log.info("a sandbox ran out of memory", { sandboxId: this.number, action: this.#ask?.key });
    }
    this.#failRuns((run) => sandboxEnded(this.#exit, payer !== undefined, (payer ?? run).logs.tail()));
    this.#gone("died");
  }
}

function toldBy({ outcome, error, timedOut = false }: Failure): Omit<LoadFailure, "spec"> {
  return { outcome, resultJson: errorJson(error), timedOut };
}
