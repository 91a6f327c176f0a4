// Invocations that somebody waits for, from the arguments to the end. Every face comes through here: names, throttles,
// arguments, ids, records and metrics are the same for all.
//
//   N1. What a throttle admitted is released exactly once: when the call ends, or when it does not come to be one.
//   N2. An activation whose id was told has a record: the invoker's, or one written here when no invoker will. But none
//       when its namespace stores none and it ended.
//   N3. On the warm path nothing is awaited but the end of the call.

import type { Clock } from "../base/clock.js";
import { toWeftError } from "../base/errors.js";
import { bytesToHex } from "../base/ids.js";
import type { Random } from "../base/random.js";
import type { Span, Tracer } from "../base/trace.js";
import { neededKind } from "../core/action/image.js";
import { BLOCKING_WAIT_MS_MAX } from "../core/action/types.js";
import type { Caller, DispatchCall, DispatchResult } from "../core/dispatch/call.js";
import { checkJsonObject, checkPayloadSize, mergeParams } from "../core/params/merge.js";
import {
  CONCURRENCY_LIMIT,
  RATE_LIMIT,
  type NamespaceThrottle,
  type Throttles,
  type Verdict,
} from "../core/throttle/throttle.js";
import type { DelegatedKeys } from "../core/tenancy/delegated.js";
import { checkName } from "../core/tenancy/name.js";
import { checkKindAllowed, limitsProblem, type NamespaceOverrides } from "../core/tenancy/overrides.js";
import { ActionCache, type Target } from "./action-cache.js";
import { newIdBytes } from "./activation-ids.js";
import type { LostRecords } from "./lost-records.js";
import type { GatewayMetrics } from "./metrics.js";
import type { Identity } from "./native-api.js";
import { Waits, type Wait } from "../base/waits.js";
import { recordWithout } from "./wire.js";

/** Longest wait for a slot. Nobody who waits for the end waits longer. */
const START_WITHIN_MS = BLOCKING_WAIT_MS_MAX;
/** Arguments that are a view on a frame larger than this are copied: one that waits would keep the frame alive. */
const VIEWED_BYTES_MAX = 64 * 1024;

export type Ended = (call: SyncCall, result: DispatchResult) => void;

/** One invocation in flight. */
export class SyncCall implements DispatchCall {
  readonly attempt = 0;
  readonly beforeSend = undefined;
  /** True once somebody was told the id and went: an end that nobody sees must be in a record (N2). */
  idTold = false;

  constructor(
    readonly target: Target,
    readonly activationId: Uint8Array,
    readonly paramsJson: Uint8Array,
    readonly caller: Caller,
    readonly traceparent: string,
    readonly acceptedMonoMs: number,
    readonly expiresMonoMs: number,
    readonly throttle: NamespaceThrottle,
    readonly span: Span,
    private readonly completed: (call: SyncCall, result: DispatchResult) => void,
    readonly ended: Ended,
    /** The caller's own number for it. */
    readonly tag: number,
    private readonly overrides: NamespaceOverrides | undefined,
  ) {}

  get truncationBytes(): number | undefined {
    return this.overrides?.truncationSize;
  }

  get unstored(): boolean {
    return this.overrides?.storeActivations === false;
  }

  get ask(): Target["ask"] {
    return this.target.ask;
  }

  get shard(): number {
    return this.target.shard;
  }

  complete(result: DispatchResult): void {
    this.completed(this, result);
  }
}

export interface InvocationsDeps {
  readonly dispatcher: { dispatch(call: DispatchCall): void };
  readonly actions: ActionCache;
  readonly throttles: Throttles;
  readonly lostRecords: LostRecords;
  readonly delegated: Pick<DelegatedKeys, "make">;
  readonly metrics: GatewayMetrics;
  readonly tracer: Tracer;
  readonly clock: Clock;
  readonly random: Random;
}

export class Invocations {
  readonly #waits: Waits;

  constructor(private readonly deps: InvocationsDeps) {
    this.#waits = new Waits(deps.clock);
  }

  /** For requests that came without one. */
  newTransactionId(): string {
    return bytesToHex(this.deps.random.bytes(16));
  }

  newActivationId(): Uint8Array {
    return newIdBytes(this.deps.random, this.deps.clock.wallMs());
  }

  /**
   * Takes one of the namespace's places (N1), and one of its invocations a minute. At once, unless this gateway's share is
   * used up.
   * @throws throttled, or rejects with it
   */
  admit(identity: Identity): NamespaceThrottle | Promise<NamespaceThrottle> {
    const throttle = this.deps.throttles.of(identity.namespace);
    return this.#admitted(throttle, throttle.admitInvocation(identity.quota));
  }

  /** As `admit`, without a place: of what a controller runs, which takes that. */
  admitRate(identity: Identity): NamespaceThrottle | Promise<NamespaceThrottle> {
    const throttle = this.deps.throttles.of(identity.namespace);
    return this.#admitted(throttle, throttle.admitRate(identity.quota));
  }

  /** @throws throttled */
  async admitFire(identity: Identity): Promise<void> {
    const refused = await this.deps.throttles.of(identity.namespace).admitFire(identity.quota);
    if (!refused) return;
    this.deps.metrics.throttledFires.inc();
    throw refused;
  }

  #admitted(
    throttle: NamespaceThrottle,
    verdict: Verdict | Promise<Verdict>,
  ): NamespaceThrottle | Promise<NamespaceThrottle> {
    if (verdict === undefined) return throttle;
    if (verdict instanceof Promise) return verdict.then((late) => this.#admitted(throttle, late));
    const { metrics } = this.deps;
    if (verdict.reason === CONCURRENCY_LIMIT) metrics.throttledConcurrency.inc();
    else if (verdict.reason === RATE_LIMIT) metrics.throttledRate.inc();
    else metrics.throttledSystem.inc();
    throw verdict;
  }

  /** What an action that asks for a key is given: the one that was presented, or, when none was, one that is made for it. */
  keyFor(identity: Identity, { ask }: Target): string {
    if (identity.apiKey !== "" && !identity.delegated) return identity.apiKey;
    return this.deps.delegated.make(identity.uuid, ask.timeoutMs, this.deps.clock.wallMs());
  }

  /** The action when it is known without asking. */
  known(identity: Identity, namespace: string, action: string): Target | undefined {
    return this.deps.actions.peek(identity.namespace, namespace, action);
  }

  /**
   * The action, asking for it. What is wrong with the arguments is told before it is asked whether there is such an action.
   * @throws invalidArgument, notFound, permissionDenied, unavailable
   */
  resolve(identity: Identity, namespace: string, action: string, paramsJson: Uint8Array): Promise<Target> {
    checkJsonObject("params", paramsJson);
    return this.deps.actions.resolve(identity.namespace, namespace, action);
  }

  /**
   * Starts an invocation. The throttle's place belongs to the call from here on, also when it throws (N1).
   * @param ended called exactly once, later or at once, unless this throws
   * @param problem why it ends as an application error without being run (limitsProblemOf)
   * @param overrides of the caller's namespace
   * @throws invalidArgument, failedPrecondition for the arguments
   */
  start(
    target: Target,
    throttle: NamespaceThrottle,
    paramsJson: Uint8Array,
    caller: Caller,
    traceparent: string,
    ended: Ended,
    tag: number,
    problem: string | undefined,
    overrides: NamespaceOverrides | undefined,
  ): SyncCall {
    const { clock, tracer, dispatcher } = this.deps;
    let merged: Uint8Array;
    try {
      merged = mergeParams(target.defaults, paramsJson, target.final);
    } catch (thrown) {
      throttle.release();
      throw thrown;
    }
    if (merged.buffer.byteLength > VIEWED_BYTES_MAX && merged.buffer.byteLength > 2 * merged.byteLength) {
      merged = new Uint8Array(merged);
    }
    const span = tracer.start("activation.invoke", traceparent, SERVER_SPAN);
    const now = clock.monoMs();
    const call = new SyncCall(
      target,
      newIdBytes(this.deps.random, clock.wallMs()),
      merged,
      caller,
      span.traceparent,
      now,
      now + START_WITHIN_MS,
      throttle,
      span,
      this.#completed,
      ended,
      tag,
      overrides,
    );
    if (problem === undefined) dispatcher.dispatch(call);
    else this.#endUnrun(call, problem);
    return call;
  }

  /**
   * As `start`, and waits for the end, at most `waitMs`.
   * @throws invalidArgument, failedPrecondition for the arguments
   */
  wait(
    target: Target,
    throttle: NamespaceThrottle,
    paramsJson: Uint8Array,
    caller: Caller,
    traceparent: string,
    waitMs: number,
    problem: string | undefined,
    overrides: NamespaceOverrides | undefined,
  ): Promise<Ending> {
    return new Promise((resolve, reject) => {
      try {
        const waiting = new Waiting(this.#waits, resolve);
        const { ended } = waiting;
        waiting.call = this.start(target, throttle, paramsJson, caller, traceparent, ended, 0, problem, overrides);
        waiting.begin(waitMs);
      } catch (thrown) {
        reject(toWeftError(thrown));
      }
    });
  }

  /** How many callers wait. */
  get waiting(): number {
    return this.#waits.size;
  }

  close(): void {
    this.#waits.close();
  }

  readonly #completed = (call: SyncCall, result: DispatchResult): void => {
    const { metrics, clock } = this.deps;
    const tookMs = clock.monoMs() - call.acceptedMonoMs;
    call.throttle.release(result.kind === "done" ? tookMs : undefined); // N1
    switch (result.kind) {
      case "done": {
        metrics.invocation(result.outcome, result.startKind);
        metrics.overhead.observeMs(tookMs - result.durationMs);
        metrics.queue.observeMs(result.waitMs);
        break;
      }
      case "refused":
        metrics.invocation("refused", undefined);
        if (call.idTold) this.#recordLoss(call, "", 0, "The activation was not started in time.");
        break;
      case "lost":
        metrics.invocation("lost", undefined);
        // An invoker that only forgot the result has sent the record.
        if (result.error.reason !== "OUTCOME_FORGOTTEN") {
          this.#recordLoss(call, result.invokerId, tookMs, "The invoker was lost while the activation ran.");
        }
        break;
    }
    if (call.span.recording) this.#describe(call, result);
    call.span.end();
    call.ended(call, result);
  };

  #recordLoss(call: SyncCall, invokerId: string, ranMs: number, text: string): void {
    const endWallMs = this.deps.clock.wallMs();
    this.deps.lostRecords.keep(recordWithout(call, { outcome: "platformError", invokerId, text, ranMs, endWallMs }));
  }

  #endUnrun(call: SyncCall, text: string): void {
    const wallMs = this.deps.clock.wallMs();
    const end = { outcome: "applicationError", invokerId: "", text, ranMs: 0, endWallMs: wallMs } as const;
    const record = recordWithout(call, end);
    this.deps.lostRecords.keep(record);
    call.complete({
      kind: "done",
      outcome: "applicationError",
      resultJson: record.resultJson,
      startWallMs: record.startWallMs,
      durationMs: 0,
      initMs: undefined,
      waitMs: 0,
      timedOut: false,
      resultSize: record.resultSize,
      startKind: undefined,
      invokerId: "",
    });
  }

  #describe(call: SyncCall, result: DispatchResult): void {
    const { span } = call;
    span.set("weft.namespace", call.caller.namespace);
    span.set("weft.action", call.target.path);
    span.set("weft.activation_id", bytesToHex(call.activationId));
    if (result.kind !== "done") {
      span.fail(result.error);
      return;
    }
    span.set("weft.outcome", result.outcome);
    span.set("weft.invoker_id", result.invokerId);
    const startWallMs = result.startWallMs - result.waitMs;
    this.deps.tracer
      .start("activation.queue", span.traceparent, { kind: "consumer", startWallMs })
      .end(result.startWallMs);
  }
}

/**
 * Whether a namespace may run an action, as its limits are now.
 * @returns why it ends as an application error instead; undefined when it runs
 * @throws permissionDenied when actions of its kind are not for the namespace; invalidArgument for too large arguments
 */
export function limitsProblemOf({ quota }: Identity, target: Target, paramsBytes: number): string | undefined {
  const { overrides } = quota;
  if (!overrides) return undefined;
  checkPayloadSize(paramsBytes, overrides.maxPayloadSize);
  checkKindAllowed(overrides.allowedKinds, neededKind(target.ask.kind));
  if (target.composite) return undefined; // who runs it looks at what runs
  const { memoryMb, timeoutMs, concurrency } = target.ask;
  return limitsProblem(overrides, { memoryMb, timeoutMs, concurrency, logsMb: target.logsMb });
}

/** What a caller who waits is told. */
export type Ending =
  | { readonly kind: "ended"; readonly call: SyncCall; readonly result: DispatchResult }
  /** The wait is over, the activation goes on. */
  | { readonly kind: "running"; readonly call: SyncCall };

class Waiting implements Wait {
  call: SyncCall | undefined;
  #tick: number | undefined;
  #over = false;

  constructor(
    private readonly waits: Waits,
    private readonly resolve: (ending: Ending) => void,
  ) {}

  begin(waitMs: number): void {
    if (!this.#over) this.#tick = this.waits.add(this, waitMs);
  }

  readonly ended = (call: SyncCall, result: DispatchResult): void => {
    if (this.#over) return;
    this.#over = true;
    if (this.#tick !== undefined) this.waits.remove(this, this.#tick);
    this.resolve({ kind: "ended", call, result });
  };

  expired(): void {
    const { call } = this;
    if (this.#over || !call) return;
    this.#over = true;
    call.idTold = true;
    this.resolve({ kind: "running", call });
  }
}

const SERVER_SPAN = { kind: "server" } as const;

/** What "_" stands for, or the name itself. @throws invalidArgument */
export function namespaceOf(identity: Identity, namespace: string): string {
  if (namespace === "_" || namespace === identity.namespace) return identity.namespace;
  return checkName("namespace", namespace);
}
