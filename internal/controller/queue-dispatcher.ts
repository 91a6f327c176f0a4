// Runs durable requests. Each is in the database from acceptance until its record is stored; here is what this controller
// has in hand of them.
//
//   Q1. A request is handed to an invoker only after the database holds the attempt under this controller's name, and
//       again only after proof that user code did not begin. So it is started at most once.
//   Q2. Every request in hand ends: by its record (from its invoker, or written here when no invoker can), or because
//       the database says that it belongs to somebody else.
//   Q3. What is in hand is bounded. What comes above is left in the database without an owner and taken when there is
//       room.
//   Q4. A request of a controller that is gone is taken over; whether its attempt began is asked of its invoker, or,
//       when that is gone too, the request ends with a platform error.

import { Backoff } from "../base/backoff.js";
import { every, type Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import { FixedRing } from "../base/fixed-ring.js";
import { hexToBytes, type ActivationId } from "../base/ids.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import type { Span, Tracer } from "../base/trace.js";
import type { RecordedActivation } from "../core/activation/store.js";
import type { ActionActivation } from "../core/activation/types.js";
import { explain, failedRecord, recordOfResult, type KnownAction } from "../core/activation/unstarted.js";
import type { Coordination, Member } from "../core/coordination/coordination.js";
import type { Destination, DispatchCall, DispatchResult, DoneResult } from "../core/dispatch/call.js";
import { mergeParams } from "../core/params/merge.js";
import { FairQueue } from "../core/queue/fair-queue.js";
import { decideFate, tooOld } from "../core/queue/fate.js";
import { requestMachine, type RequestEvent, type RequestState } from "../core/queue/state.js";
import type { Attempt, QueuedRequest, QueueStore, RecoveredRequest } from "../core/queue/store.js";
import type { Dispatcher } from "../dispatch/dispatcher.js";
import { isArray } from "../base/json-text.js";
import { noteOf, runOf, type Run } from "../core/sequence/step.js";
import { doneOfWire } from "../dispatch/wire.js";
import type { ControllerMetrics } from "./metrics.js";
import type { Resolved } from "./resolver.js";

export interface QueueSettings {
  /** Requests with the dispatcher at once. */
  readonly inFlightMax: number;
  /** Of one namespace. */
  readonly inFlightOfNamespaceMax: number;
  /** Requests in hand, and their bytes: what comes above stays in the database. */
  readonly requestsMax: number;
  readonly bytesMax: number;
}

export const QUEUE_SETTINGS: QueueSettings = {
  inFlightMax: 1_000,
  inFlightOfNamespaceMax: 250,
  requestsMax: 20_000,
  bytesMax: 128 * 1024 * 1024,
};

export interface QueueDispatcherDeps {
  readonly bootId: string;
  readonly queue: QueueStore;
  readonly coordination: Pick<Coordination, "watchMembers" | "listMembers">;
  readonly dispatcher: Pick<Dispatcher, "dispatch" | "askFate">;
  /** @throws notFound and the like when it cannot be run, unavailable when that cannot be said now */
  readonly resolve: (namespace: string, name: string, callerNamespace: string) => Promise<Runnable>;
  /** "uuid:key" for an activation that may take so long, made from a stored key; "" without one. */
  readonly keyFor: (keyUuid: string, timeoutMs: number) => string;
  /** Where requests count while they are not finished; without it they do not. */
  readonly places?: Places | undefined;
  /** Resolves when it is durable; `settled` is then told of it. */
  readonly record: (records: readonly RecordedActivation[]) => Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly tracer: Tracer;
  readonly metrics: ControllerMetrics;
  readonly settings?: Partial<QueueSettings>;
}

/**
 * What a namespace may have in flight. A request has a place from its acceptance to its record; what a sequence runs is
 * counted with the sequence.
 */
export interface Places {
  /** Takes one, whatever the limit says. */
  occupy(namespace: string): void;
  /** @param tookMs how long it was taken, when the request came to its end */
  free(namespace: string, tookMs?: number): void;
}

/** An action, and what the limits of its caller say of its run. */
export type Runnable = Resolved & Pick<DispatchCall, "truncationBytes" | "unstored">;

/** Runs sequences and compositions, whose requests stay in hand here until their record is stored. */
export interface CompositeRunner {
  begin(request: QueuedRequest, resolved: Resolved): void;
  /** Goes on with one that another controller began. */
  resume(request: QueuedRequest, run: Run): void;
  /** A component ended; its record is to come. */
  ended(request: QueuedRequest, action: KnownAction, done: DoneResult): void;
}

/** Runs built-in actions, whose requests stay in hand here until their record is stored. */
export interface BuiltinActions {
  begin(request: QueuedRequest, resolved: Resolved, paramsJson: string): void;
}

/** A request waits this long for a slot before others of its round get their turn. */
const SLOT_WAIT_MS = 30_000;
/** Requests of dead controllers, and those left in the database, are looked for this often. */
const RECOVER_EVERY_MS = 1_000;
/** Taken over at a time: each may bring 2 MiB of arguments. */
const RECOVER_MAX = 100;
/** Requests that miss their record are looked at this often, */
const SWEEP_EVERY_MS = 1_000;
/** and so many of them are asked about, or looked up, at a time. */
const ASKS_MAX = 500;
/** An invoker that says that a record is on its way is asked again only after this. */
const ASK_AGAIN_MS = 5_000;
/** A request that misses its record for this long may have been settled by another controller: the database is asked. */
const CHECK_OWNER_MS = 60_000;
/** When it is not known whether requests were stored, the database is asked after this: by then it knows. */
const DOUBT_MS = 5_000;
/** Requests in doubt that are remembered; above, the oldest is left to whoever takes over from this controller. */
const DOUBTS_MAX = 10_000;
/** What a request takes besides its arguments. */
const REQUEST_BYTES = 1_000;

type WhyWritten = "expired" | "gone" | "lost" | "result" | "refused";

interface Entry {
  readonly request: QueuedRequest;
  readonly bytes: number;
  readonly acceptedMonoMs: number;
  readonly backoff: Backoff;
  state: RequestState;
  /** Counted by its namespace and in all. */
  inFlight: boolean;
  attempts: number;
  /** What the database holds, or may hold. */
  attempt: Attempt | undefined;
  action: KnownAction;
  done: DoneResult | undefined;
  unsettledSinceMonoMs: number;
  ownerCheckedMonoMs: number;
  askAtMonoMs: number;
  asking: boolean;
  /** A record is being written here. */
  writing: boolean;
  span: Span | undefined;
  cancelTimer: () => void;
}

interface Doubt {
  readonly request: QueuedRequest;
  readonly ownerBootId: string;
  readonly sinceMonoMs: number;
}

export class QueueDispatcher {
  readonly #entries = new Map<ActivationId, Entry>();
  readonly #fair: FairQueue<Entry>;
  readonly #settings: QueueSettings;
  readonly #doubts = new Map<ActivationId, Doubt>();
  readonly #recent = new FixedRing<string>(100);
  readonly #tasks = new Set<Promise<void>>();
  #bytes = 0;
  /** Boots of live invokers; undefined until it is known. */
  #invokers: ReadonlySet<string> | undefined;
  /** Since when boots that somebody asked for are gone. */
  readonly #goneSince = new Map<string, number>();
  #leftInDatabase = false;
  #recovering = false;
  #checkingDoubts = false;
  #stopped = false;
  #stops: (() => void)[] = [];

  /** Set before the start; without it sequences cannot be run. */
  composites: CompositeRunner | undefined = undefined;
  /** Set before the start; without it built-in actions cannot be run. */
  builtins: BuiltinActions | undefined = undefined;

  constructor(private readonly deps: QueueDispatcherDeps) {
    this.#settings = { ...QUEUE_SETTINGS, ...deps.settings };
    this.#fair = new FairQueue(this.#settings.inFlightMax, this.#settings.inFlightOfNamespaceMax);
    const { metrics } = deps;
    metrics.queueWaiting.from(() => this.#fair.waiting);
    metrics.queueBytes.from(() => this.#bytes);
    metrics.queueInFlight.from(() => this.#fair.inFlight);
    metrics.queueUnsettled.from(() => this.#count("unsettled"));
    metrics.queueHeadSeconds.from(() => {
      const [oldest] = this.#entries.values();
      return oldest ? Math.max(0, (deps.clock.monoMs() - oldest.acceptedMonoMs) / 1_000) : 0;
    });
  }

  /** Takes over what dead controllers left, and goes on doing so. */
  start(): void {
    const watching = new AbortController();
    this.deps.coordination.watchMembers({ members: (all) => this.#members(all) }, watching.signal);
    this.#stops = [
      () => watching.abort(),
      every(this.deps.clock, RECOVER_EVERY_MS, () => this.#run(this.#recover())),
      every(this.deps.clock, SWEEP_EVERY_MS, () => this.#sweep()),
    ];
    this.#run(this.#recover());
  }

  /**
   * Makes requests durable and takes them in hand. The place of each that is no component is the queue's from here on, also
   * when this throws. One that is left in the database has none until it is taken in hand again.
   * @param store stores them under an owner: this controller, or "" when it has no room for them (Q3)
   * @param givesUp false: the caller tries again until it is known whether they were stored
   * @throws what `store` throws: then they are not run
   */
  async accept(
    requests: readonly QueuedRequest[],
    store: (ownerBootId: string) => Promise<void>,
    givesUp = true,
  ): Promise<void> {
    const placed = new Set(requests.filter(isPlaced));
    try {
      await this.#accept(requests, store, givesUp, placed);
    } finally {
      for (const { callerNamespace } of placed) this.deps.places?.free(callerNamespace);
    }
  }

  /** @param placed those whose place nobody has taken over yet */
  async #accept(
    requests: readonly QueuedRequest[],
    store: (ownerBootId: string) => Promise<void>,
    givesUp: boolean,
    placed: Set<QueuedRequest>,
  ): Promise<void> {
    if (this.#stopped) throw new WeftError("unavailable", "DRAINING", "this controller is stopping");
    if (requests.some(({ id }) => this.#doubts.has(id))) {
      throw new WeftError("unavailable", "GIVEN_UP", "the request was given up; send it under another id");
    }
    if (requests.length > 0 && requests.every(({ id }) => this.#entries.has(id))) return; // a repetition
    const bytes = requests.reduce((sum, request) => sum + bytesOf(request), 0);
    const room = this.#hasRoom(requests.length, bytes);
    const ownerBootId = room ? this.deps.bootId : "";
    // Counted before the wait, so that a crowd does not find the same room.
    if (room) this.#bytes += bytes;
    try {
      await store(ownerBootId);
    } catch (thrown) {
      if (givesUp) this.#doubt(requests, ownerBootId, toWeftError(thrown));
      throw thrown;
    } finally {
      if (room) this.#bytes -= bytes;
    }
    if (!room) {
      this.#leftInDatabase = true;
      this.deps.metrics.overflowed.inc(requests.length);
      return;
    }
    for (const request of requests) {
      if (this.#entries.has(request.id)) continue;
      const entry = this.#take(request, undefined);
      placed.delete(request);
      // What a run waits for does not wait behind requests that have not begun.
      this.#fair.push(request.callerNamespace, entry, request.cause !== undefined);
    }
    this.#pump();
  }

  /** True when it is in hand here. */
  has(id: ActivationId): boolean {
    return this.#entries.has(id);
  }

  /** The database says that a run is not ours any more. */
  lost(id: ActivationId): void {
    const entry = this.#entries.get(id);
    if (entry) this.#end(entry, "lose");
  }

  /** Records of these ids are durable, so their requests are gone. */
  settled(ids: readonly ActivationId[]): void {
    for (const id of ids) {
      const entry = this.#entries.get(id);
      if (entry) this.#end(entry, "record");
    }
    this.#pump();
  }

  /** Sends nothing new. What is with the dispatcher goes on. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const stop of this.#stops) stop();
    for (const entry of this.#entries.values()) entry.cancelTimer();
  }

  /** Waits for what is on its way to the database. After `stop` and when the dispatcher is closed. */
  async close(): Promise<void> {
    this.stop();
    while (this.#tasks.size > 0) await Promise.allSettled([...this.#tasks]);
  }

  /** For whoever looks at this process. */
  debug(): unknown {
    const states: Partial<Record<RequestState, number>> = {};
    for (const { state } of this.#entries.values()) states[state] = (states[state] ?? 0) + 1;
    return {
      states,
      waitingByNamespace: this.#fair.depths(),
      inFlight: this.#fair.inFlight,
      bytes: this.#bytes,
      inDoubt: this.#doubts.size,
      leftInDatabase: this.#leftInDatabase,
      recent: this.#recent.toArray(),
    };
  }

  // ---- sending ----

  #pump(): void {
    if (this.#stopped) return;
    for (let entry = this.#fair.next(); entry; entry = this.#fair.next()) {
      // It may have been settled while it waited.
      if (entry.state !== "waiting") {
        this.#fair.landed(entry.request.callerNamespace);
        continue;
      }
      entry.inFlight = true;
      this.#move(entry, "send");
      this.#run(this.#send(entry));
    }
    if (this.#leftInDatabase && this.#hasRoom(RECOVER_MAX, 0)) this.#run(this.#recover());
  }

  async #send(entry: Entry): Promise<void> {
    const { request } = entry;
    if (tooOld(request.acceptedWallMs, this.deps.clock.wallMs())) {
      this.#fail(entry, "expired", "the activation could not be started within a day of its acceptance");
      return;
    }
    let resolved: Runnable;
    let paramsJson: Uint8Array;
    try {
      resolved = await this.deps.resolve(request.namespace, request.name, request.callerNamespace);
      entry.action = resolved.action;
      const { composite } = resolved;
      if (composite && composite !== "builtin" && noteOf(request.run)?.kind !== "conductor") {
        this.#compose(entry, resolved);
        return;
      }
      paramsJson = argumentsOf(request, resolved);
      if (composite === "builtin") {
        this.#runBuiltin(entry, resolved, paramsJson);
        return;
      }
    } catch (thrown) {
      if (entry.state !== "sending") return;
      const error = toWeftError(thrown);
      switch (error.kind) {
        case "notFound":
          this.#fail(entry, "gone", `the action ${request.namespace}/${request.name} does not exist any more`);
          return;
        case "invalidArgument":
        case "failedPrecondition":
        case "permissionDenied":
          this.#fail(entry, "gone", explain(error));
          return;
        default:
          this.#refused(entry, error);
          return;
      }
    }
    // Its record may have come while the action was looked up.
    if (this.#stateOf(entry) !== "sending") return;
    const { clock } = this.deps;
    const span = this.deps.tracer.start("activation.queue", request.traceparent, {
      kind: "consumer",
      startWallMs: request.acceptedWallMs,
      attributes: {
        "weft.namespace": request.callerNamespace,
        "weft.action": `${request.namespace}/${request.name}`,
        "weft.activation_id": request.id,
        "weft.attempt": entry.attempts + 1,
      },
    });
    entry.span = span;
    const call: DispatchCall = {
      activationId: hexToBytes(request.id),
      ask: resolved.ask,
      shard: resolved.shard,
      paramsJson,
      caller: {
        namespace: request.callerNamespace,
        subject: request.subject,
        transactionId: request.transactionId,
        apiKey: resolved.providesApiKey ? this.deps.keyFor(request.keyUuid, resolved.ask.timeoutMs) : "",
        cause: request.cause ?? "",
        binding: resolved.binding ? `${resolved.binding.namespace}/${resolved.binding.name}` : "",
      },
      traceparent: span.traceparent === "" ? request.traceparent : span.traceparent,
      acceptedMonoMs: entry.acceptedMonoMs,
      expiresMonoMs: clock.monoMs() + SLOT_WAIT_MS,
      truncationBytes: resolved.truncationBytes,
      // Who runs a sequence looks for the records of what it runs.
      unstored: resolved.unstored === true && request.cause === undefined,
      attempt: entry.attempts + 1,
      beforeSend: (to) => this.#mark(entry, to),
      complete: (result) => this.#complete(entry, result),
    };
    this.deps.dispatcher.dispatch(call);
  }

  #compose(entry: Entry, resolved: Resolved): void {
    // Its record may have come while the action was looked up.
    if (this.#stateOf(entry) !== "sending") return;
    if (!this.composites) throw new WeftError("internal", "NO_COMPOSITES", "nobody runs sequences here");
    // It takes no slot itself: a place that it kept would be missing to its components.
    this.#move(entry, "compose");
    this.#land(entry);
    this.composites.begin(entry.request, resolved);
    this.#pump();
  }

  /** It keeps its place until it is recorded, so that no namespace runs more of them at once than of others. */
  #runBuiltin(entry: Entry, resolved: Resolved, paramsJson: Uint8Array): void {
    // Its record may have come while the action was looked up.
    if (this.#stateOf(entry) !== "sending") return;
    if (!this.builtins) throw new WeftError("internal", "NO_BUILTINS", "nobody runs built-in actions here");
    this.#move(entry, "compose");
    this.builtins.begin(entry.request, resolved, Buffer.from(paramsJson).toString("utf8"));
  }

  /** @returns false when it is not ours to run */
  async #mark(entry: Entry, to: Destination): Promise<boolean> {
    const { request } = entry;
    if (this.#over(entry)) return false;
    const attempt: Attempt = { ...to, ownerBootId: this.deps.bootId };
    // Before it is known: when the answer is lost the database may hold it all the same.
    entry.attempt = attempt;
    const [ours] = await this.deps.queue.markStarted([request.id], attempt); // Q1
    if (this.#over(entry)) return false;
    if (ours === undefined) {
      this.#end(entry, "lose");
      this.#pump();
      return false;
    }
    if (entry.state === "sending") {
      entry.attempts += 1;
      this.deps.metrics.queueSeconds.observe((this.deps.clock.monoMs() - entry.acceptedMonoMs) / 1_000);
    }
    this.#move(entry, "mark");
    entry.span?.set("weft.invoker_id", to.invokerId);
    entry.span?.end();
    entry.span = undefined;
    return true;
  }

  #complete(entry: Entry, result: DispatchResult): void {
    this.#land(entry);
    if (this.#over(entry)) return;
    switch (result.kind) {
      case "done":
        entry.done = result;
        this.#unsettled(entry);
        if (entry.request.cause !== undefined) this.composites?.ended(entry.request, entry.action, result);
        break;
      case "lost":
        this.deps.log.info("nobody knows how an activation ended; its invoker is asked or waited for", {
          activationId: entry.request.id,
          invokerId: result.invokerId,
          reason: result.error.reason,
        });
        this.#unsettled(entry);
        break;
      case "refused":
        this.#refused(entry, result.error);
        break;
    }
    this.#pump();
  }

  #unsettled(entry: Entry): void {
    this.#move(entry, "end");
    entry.unsettledSinceMonoMs = this.deps.clock.monoMs();
    entry.ownerCheckedMonoMs = entry.unsettledSinceMonoMs;
    entry.askAtMonoMs = entry.unsettledSinceMonoMs;
  }

  /** It did not start: it waits a while and has another turn. */
  #refused(entry: Entry, error: WeftError): void {
    this.#land(entry);
    entry.span?.fail(error);
    entry.span?.end();
    entry.span = undefined;
    this.#move(entry, "refuse");
    this.deps.metrics.retries.inc();
    this.deps.log.debug("a durable request was not started", { activationId: entry.request.id, error });
    this.#run(this.#again(entry, error.retryAfterMs ?? 0, error.reason === "NOT_STARTED_IN_TIME"));
  }

  async #again(entry: Entry, waitMs: number, first: boolean): Promise<void> {
    if (entry.attempt) {
      // Before the next turn, or it would forget the next attempt. Not needed for Q1: it only spares whoever takes over
      // from this controller a question to the invoker.
      try {
        await this.deps.queue.markNotStarted([entry.request.id], this.deps.bootId);
        entry.attempt = undefined;
      } catch (thrown) {
        this.deps.log.warn("an attempt that was not started could not be forgotten", {
          activationId: entry.request.id,
          error: toWeftError(thrown),
        });
      }
    }
    if (this.#stopped || entry.state !== "waiting") return;
    entry.cancelTimer = this.deps.clock.after(Math.max(waitMs, entry.backoff.nextMs()), () => {
      if (this.#stopped || entry.state !== "waiting") return;
      this.#fair.push(entry.request.callerNamespace, entry, first);
      this.#pump();
    });
  }

  // ---- ends that are written here ----

  #fail(entry: Entry, why: Exclude<WhyWritten, "result">, message: string, invokerId = ""): void {
    this.#write(
      entry,
      why,
      failedRecord(entry.request, entry.action, {
        outcome: why === "gone" ? "applicationError" : "platformError",
        message,
        wallMs: this.deps.clock.wallMs(),
        invokerId,
      }),
    );
  }

  #write(entry: Entry, why: WhyWritten, activation: ActionActivation): void {
    this.#land(entry);
    entry.writing = true;
    this.deps.metrics.written.bound({ why }).inc();
    this.#run(
      this.deps.record([{ activation, async: true }]).catch((thrown: unknown) => {
        // Only at stop: the request is still in the database, and whoever takes it over decides again.
        entry.writing = false;
        this.deps.log.info("a record was not written before the stop", {
          activationId: entry.request.id,
          error: toWeftError(thrown),
        });
      }),
    );
  }

  // ---- requests that miss their record ----

  #sweep(): void {
    this.#run(this.#checkDoubts());
    if (!this.#invokers) return;
    const now = this.deps.clock.monoMs();
    let asks = 0;
    const doubtful: Entry[] = [];
    for (const entry of this.#entries.values()) {
      if (entry.state !== "unsettled" || entry.writing || !entry.attempt) continue;
      const { attempt, done } = entry;
      const gone = this.#goneSinceMonoMs(attempt.invokerBootId, now);
      const step = decideFate({ attempt, done, sinceMonoMs: entry.unsettledSinceMonoMs }, gone, now);
      switch (step.kind) {
        case "wait":
          if (now - entry.ownerCheckedMonoMs >= CHECK_OWNER_MS) doubtful.push(entry);
          break;
        case "ask":
          if (now - entry.ownerCheckedMonoMs >= CHECK_OWNER_MS) doubtful.push(entry);
          if (asks >= ASKS_MAX || entry.asking || now < entry.askAtMonoMs) break;
          asks += 1;
          this.#run(this.#ask(entry, attempt));
          break;
        case "recordResult":
          this.#write(entry, "result", recordOfResult(entry.request, entry.action, step.done));
          break;
        case "recordLoss":
          entry.writing = true;
          this.#run(this.#recordLoss(entry, attempt));
          break;
      }
    }
    if (doubtful.length > 0) this.#run(this.#checkOwner(doubtful.slice(0, ASKS_MAX), now));
    for (const [bootId] of this.#goneSince) {
      if (![...this.#entries.values()].some((entry) => entry.attempt?.invokerBootId === bootId)) {
        this.#goneSince.delete(bootId);
      }
    }
  }

  async #recordLoss(entry: Entry, attempt: Attempt): Promise<void> {
    const { namespace, name, callerNamespace } = entry.request;
    // For version, kind and limits in the record. Without them it says less, and is written all the same.
    entry.action ??= await this.deps.resolve(namespace, name, callerNamespace).then(
      (resolved) => resolved.action,
      () => undefined,
    );
    const invoker = attempt.invokerId === "" ? "its invoker" : `invoker ${attempt.invokerId}`;
    this.#fail(
      entry,
      "lost",
      `${invoker} was lost while the activation ran; how it ended is not known`,
      attempt.invokerId,
    );
  }

  async #ask(entry: Entry, attempt: Attempt): Promise<void> {
    const { clock } = this.deps;
    entry.asking = true;
    try {
      const fate = await this.deps.dispatcher.askFate(attempt, hexToBytes(entry.request.id));
      if (entry.state !== "unsettled" || entry.writing) return;
      switch (fate.kind) {
        case "notStarted":
          this.#move(entry, "notStarted");
          entry.done = undefined;
          this.#run(this.#again(entry, 0, true));
          return;
        case "running":
          entry.askAtMonoMs = clock.monoMs() + SWEEP_EVERY_MS;
          return;
        case "done":
          if (fate.done) entry.done = doneOfWire(fate.done, attempt.invokerId);
          entry.askAtMonoMs = clock.monoMs() + ASK_AGAIN_MS;
          return;
      }
    } catch (thrown) {
      entry.askAtMonoMs = clock.monoMs() + SWEEP_EVERY_MS;
      this.deps.log.debug("an invoker could not say what became of an activation", {
        activationId: entry.request.id,
        invokerId: attempt.invokerId,
        error: toWeftError(thrown),
      });
    } finally {
      entry.asking = false;
    }
  }

  /** Another controller may have settled or taken them: then nothing here will ever hear of them. */
  async #checkOwner(entries: readonly Entry[], now: number): Promise<void> {
    try {
      for (const entry of entries) {
        entry.ownerCheckedMonoMs = now;
        if (!entry.attempt) continue;
        const attempt: Attempt = { ...entry.attempt, ownerBootId: this.deps.bootId };
        const [ours] = await this.deps.queue.markStarted([entry.request.id], attempt);
        if (ours === undefined && entry.state === "unsettled") this.#end(entry, "record");
      }
    } catch (thrown) {
      this.deps.log.warn("the owner of requests could not be checked", { error: toWeftError(thrown) });
    }
  }

  #goneSinceMonoMs(bootId: string, now: number): number | undefined {
    if (this.#invokers?.has(bootId)) {
      this.#goneSince.delete(bootId);
      return undefined;
    }
    const since = this.#goneSince.get(bootId) ?? now;
    this.#goneSince.set(bootId, since);
    return since;
  }

  #members(all: readonly Member[]): void {
    this.#invokers = new Set(all.filter((member) => member.role === "invoker").map((member) => member.bootId));
  }

  // ---- requests of others ----

  async #recover(): Promise<void> {
    if (this.#recovering || this.#stopped) return;
    this.#recovering = true;
    try {
      while (this.#hasRoom(RECOVER_MAX, 0)) {
        const members = await this.deps.coordination.listMembers();
        const live = members.filter((member) => member.role === "controller").map((member) => member.bootId);
        const found = await this.deps.queue.recover(this.deps.bootId, [...live, this.deps.bootId], RECOVER_MAX);
        for (const one of found) this.#recovered(one);
        if (found.length > 0) this.deps.log.info("requests were taken over", { requests: found.length });
        this.#leftInDatabase = found.length === RECOVER_MAX;
        // It may have stopped meanwhile: what was taken is found again by whoever comes next.
        if (!this.#leftInDatabase || this.#isStopped()) break;
      }
    } catch (thrown) {
      this.#leftInDatabase = false; // looked for again in a while, not at once
      this.deps.log.warn("requests of others could not be looked for", { error: toWeftError(thrown) });
    } finally {
      this.#recovering = false;
    }
    this.#pump();
  }

  #recovered({ request, attempt }: RecoveredRequest): void {
    if (this.#entries.has(request.id)) return;
    this.deps.metrics.recovered.bound({ attempt: attempt ? "started" : "none" }).inc();
    const entry = this.#take(request, attempt); // Q4
    if (isPlaced(request)) this.deps.places?.occupy(request.callerNamespace);
    const run = runOf(noteOf(request.run));
    if (run) {
      entry.state = "composing";
      this.composites?.resume(request, run);
    } else if (!attempt) this.#fair.push(request.callerNamespace, entry);
  }

  // ---- requests of which it is not known whether they were stored ----

  #doubt(requests: readonly QueuedRequest[], ownerBootId: string, error: WeftError): void {
    // Refused before it was sent, or by a rule: then it is known.
    if (error.kind !== "unavailable" || error.reason === "STORE_OVERLOADED") return;
    for (const request of requests) {
      if (this.#doubts.size >= DOUBTS_MAX) {
        const [oldest] = this.#doubts.keys();
        if (oldest !== undefined) this.#doubts.delete(oldest);
      }
      this.#doubts.set(request.id, { request, ownerBootId, sinceMonoMs: this.deps.clock.monoMs() });
    }
  }

  /** Their callers were told that they were not accepted: those that are there nevertheless end unstarted. */
  async #checkDoubts(): Promise<void> {
    if (this.#checkingDoubts) return;
    this.#checkingDoubts = true;
    try {
      const { clock, queue } = this.deps;
      const ripe = [...this.#doubts.values()].filter((doubt) => clock.monoMs() - doubt.sinceMonoMs >= DOUBT_MS);
      for (const { request, ownerBootId } of ripe.slice(0, ASKS_MAX)) {
        const nobody: Attempt = { invokerId: "", invokerBootId: "", ownerBootId };
        const [there] = await queue.markStarted([request.id], nobody);
        if (there !== undefined) {
          this.deps.metrics.written.bound({ why: "refused" }).inc();
          const message = "the activation was refused because it could not be confirmed to be durable";
          const end = { outcome: "platformError", message, wallMs: clock.wallMs(), invokerId: "" } as const;
          await this.deps.record([{ activation: failedRecord(request, undefined, end), async: true }]);
        }
        this.#doubts.delete(request.id);
      }
    } catch (thrown) {
      this.deps.log.warn("requests in doubt could not be checked", {
        requests: this.#doubts.size,
        error: toWeftError(thrown),
      });
    } finally {
      this.#checkingDoubts = false;
    }
  }

  // ---- entries ----

  #take(request: QueuedRequest, attempt: Attempt | undefined): Entry {
    const { clock } = this.deps;
    const now = clock.monoMs();
    const entry: Entry = {
      request,
      bytes: bytesOf(request),
      acceptedMonoMs: now - Math.max(0, clock.wallMs() - request.acceptedWallMs),
      backoff: new Backoff({ firstMs: 100, maxMs: 30_000 }, this.deps.random),
      state: attempt ? "unsettled" : requestMachine.initial,
      inFlight: false,
      attempts: attempt ? 1 : 0,
      attempt,
      action: undefined,
      done: undefined,
      unsettledSinceMonoMs: now,
      ownerCheckedMonoMs: now,
      askAtMonoMs: now,
      asking: false,
      writing: false,
      span: undefined,
      cancelTimer: () => {},
    };
    this.#entries.set(request.id, entry);
    this.#bytes += entry.bytes;
    return entry;
  }

  /** Takes it out of hand (Q2). */
  #end(entry: Entry, event: "record" | "lose"): void {
    this.#move(entry, event);
    this.#land(entry);
    entry.cancelTimer();
    entry.span?.end();
    entry.span = undefined;
    if (!this.#entries.delete(entry.request.id)) return;
    this.#bytes -= entry.bytes;
    if (!isPlaced(entry.request)) return;
    const tookMs = event === "record" ? this.deps.clock.monoMs() - entry.acceptedMonoMs : undefined;
    this.deps.places?.free(entry.request.callerNamespace, tookMs);
  }

  #land(entry: Entry): void {
    if (!entry.inFlight) return;
    entry.inFlight = false;
    this.#fair.landed(entry.request.callerNamespace);
  }

  #move(entry: Entry, event: RequestEvent): void {
    const next = requestMachine.next(entry.state, event);
    if (next === undefined) {
      this.deps.metrics.late.inc();
      return;
    }
    this.#recent.push(`${entry.request.id} ${entry.state} ${event} ${next}`);
    entry.state = next;
  }

  #over(entry: Entry): boolean {
    return requestMachine.isTerminal(entry.state);
  }

  // The compiler believes that nothing changes over an await: these two look again.
  #stateOf(entry: Entry): RequestState {
    return entry.state;
  }

  #isStopped(): boolean {
    return this.#stopped;
  }

  #hasRoom(requests: number, bytes: number): boolean {
    return (
      this.#entries.size + requests <= this.#settings.requestsMax && this.#bytes + bytes <= this.#settings.bytesMax
    );
  }

  #count(state: RequestState): number {
    let count = 0;
    for (const entry of this.#entries.values()) if (entry.state === state) count += 1;
    return count;
  }

  /** Keeps a promise that handles its own failures, so that closing can wait for it. */
  #run(task: Promise<void>): void {
    const kept = task.then(
      () => this.#tasks.delete(kept),
      (thrown: unknown) => {
        this.#tasks.delete(kept);
        this.deps.log.error("the queue failed unforeseen", { error: toWeftError(thrown) });
      },
    ) as Promise<void>;
    this.#tasks.add(kept);
  }
}

/** What a component hands on is not held against final parameters, and an array is not an object to merge into. */
function argumentsOf(request: QueuedRequest, { defaults, final }: Resolved): Uint8Array {
  const bytes = Buffer.from(request.paramsJson);
  if (request.cause === undefined) return mergeParams(defaults, bytes, final);
  return isArray(request.paramsJson) ? bytes : mergeParams(defaults, bytes);
}

function isPlaced(request: QueuedRequest): boolean {
  return request.cause === undefined;
}

function bytesOf(request: QueuedRequest): number {
  return REQUEST_BYTES + request.paramsJson.length + request.traceparent.length;
}
