// All sandboxes of an invoker: made on a scheduler's order or as stem cells, ended for want of memory or of calls.
//
//   H1. What sandboxes may take together never exceeds the memory of the invoker: a new one waits until what it replaces
//       is really gone.
//   H2. Starts that somebody waits for come before stem cells, and stem cells take only memory that is free. What was taken
//       is made anew a moment later: the call that took it comes first.
//   H3. An order is carried out once, however often it is said; one from a scheduler that was replaced is refused.
//   H4. A sandbox of an earlier life is taken over only as what the journal says it is: the same action revision, with its
//       code loaded or without. What cannot be told is removed.

import { Backoff } from "../base/backoff.js";
import { BoundedQueue } from "../base/bounded-queue.js";
import { every, type Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import type { Tracer } from "../base/trace.js";
import { neededKind } from "../core/action/image.js";
import type { ActionAsk } from "../core/dispatch/call.js";
import { ActionHistories } from "../core/keepalive/histories.js";
import { keepMs, KNOWN_GAPS, nextPrice, PRICE_FIRST, type IdleMemory } from "../core/keepalive/keep.js";
import type { SandboxDriver, SandboxProcess } from "../core/sandbox/driver.js";
import {
  evictableMb,
  idleAction,
  makeRoom,
  refillDueMonoMs,
  STEM_WINDOWS,
  stemShortage,
  stemTaken,
  stemTarget,
  type StemsTaken,
} from "../core/sandbox/pool.js";
import { EpochFence } from "../core/sandbox/slots.js";
import type { SandboxState } from "../core/sandbox/state.js";
import { LoadBreaker } from "../core/scaling/load-breaker.js";
import type { CodeCache } from "./code-cache.js";
import type { SandboxJournal } from "./journal.js";
import { STATES, type EndName, type InvokerMetrics } from "./metrics.js";
import { Sandbox, type LoadFailure, type SandboxDeps, type SandboxOrder } from "./sandbox.js";
import { SandboxEncoder } from "./sandbox-codec.js";
import type { InvokerSettings, StemSetting } from "./settings.js";

/** Starts that may wait: a scheduler that orders more is told there is no room. */
const START_QUEUE_MAX = 1_024;
/** Orders remembered after their sandbox is gone, so that a repetition is answered and not carried out. */
const ORDERS_REMEMBERED = 4_096;
/** Demand for stem cells is counted in windows of the time that making some takes. */
const STEM_WINDOW_MS = 10_000;
/** Classes that stem cells are kept of because they are asked for. */
const STEM_CLASSES_MAX = 64;
const HOUSEKEEPING_MS_MAX = 1_000;
const HOUSEKEEPING_MS_MIN = 20;
/** Actions whose calls are remembered, with a sandbox or without. */
const HISTORIES_MAX = 10_000;
/** Runtimes of an earlier life's sandboxes are given so long to come back: they try every 100 ms. */
const ADOPT_WITHIN_MS = 4_000;

export interface CreateOrder {
  readonly order: number;
  readonly shard: number;
  readonly epoch: number;
  readonly action: ActionAsk;
}

/** What became of an order or a sandbox, for the schedulers. */
export type HostReport =
  | { readonly kind: "sandbox"; readonly sandbox: Sandbox; readonly end: EndName | undefined; readonly message: string }
  /** No sandbox was made for this order. */
  | {
      readonly kind: "refused";
      readonly order: SandboxOrder;
      readonly action: ActionAsk;
      readonly end: EndName;
      readonly message: string;
    };

export interface SandboxHostDeps {
  readonly driver: SandboxDriver;
  readonly journal: SandboxJournal;
  readonly code: CodeCache;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: InvokerMetrics;
  readonly tracer: Tracer;
  readonly settings: InvokerSettings;
  /** Told of everything that schedulers must know. */
  readonly report: (report: HostReport) => void;
  /** Free memory and the like changed. */
  readonly capacityChanged: () => void;
  /** Leases on it are void. */
  readonly slotsGone: (sandbox: number) => void;
}

interface StartJob {
  readonly sandbox: Sandbox;
  readonly stem: StemClass | undefined;
  readonly queuedMonoMs: number;
}

interface StemClass extends StemSetting {
  /** Starts per window, the present one last. */
  readonly windows: number[];
  readonly backoff: Backoff;
  /** None is made before: making the last one failed. */
  quietUntilMonoMs: number;
  /** It is there because it was asked for, and goes when it is not asked for any more. */
  readonly byDemand: boolean;
}

export class SandboxHost {
  readonly #sandboxes = new Map<number, Sandbox>();
  readonly #demand = new BoundedQueue<StartJob>(START_QUEUE_MAX);
  readonly #stemStarts = new BoundedQueue<StartJob>(START_QUEUE_MAX);
  #stems: readonly StemClass[];
  /** H2. Until these may be made anew. */
  #taken: StemsTaken | undefined;
  #cancelRefill = (): void => {};
  readonly #starts = new Set<Promise<void>>();
  readonly #aborts = new Map<number, AbortController>();
  /** What is being destroyed still takes its memory (H1). */
  readonly #destroying = new Map<Sandbox, Promise<void>>();
  readonly #roomWaiters = new Set<() => void>();
  readonly #orders = new Map<string, { readonly sandbox: Sandbox } | { readonly refusal: HostReport }>();
  /** Why making one failed, until that is reported. */
  readonly #failures = new WeakMap<Sandbox, string>();
  readonly #encoder = new SandboxEncoder();
  readonly #histories = new ActionHistories(HISTORIES_MAX);
  readonly #loads = new LoadBreaker<LoadFailure>();
  /** Sandboxes without a process, for code that does not load, and what ends each when it is to be tried again. */
  readonly #standIns = new Map<Sandbox, () => void>();
  readonly #sandboxDeps: SandboxDeps;
  readonly fence = new EpochFence();
  #kinds: ReadonlySet<string> = new Set();
  #next = 0;
  #usedMb = 0;
  #destroyingMb = 0;
  #evictableToldMb = 0;
  /** What memory is worth: see core/keepalive. */
  #price = PRICE_FIRST;
  #idleBefore: IdleMemory | undefined;
  #pricedMonoMs = 0;
  #greedyClock = 0;
  #windowEndsMonoMs = 0;
  #draining = false;
  #stopHousekeeping = (): void => {};

  constructor(private readonly deps: SandboxHostDeps) {
    const { clock, log, metrics, tracer, code, settings, random } = deps;
    this.#stems = settings.stems.map((stem) => this.#stemClass(stem, false));
    this.#sandboxDeps = {
      clock,
      log,
      metrics,
      tracer,
      code,
      encoder: this.#encoder,
      loads: this.#loads,
      historyOf: (actionKey) => this.#histories.of(actionKey),
      chance: () => random.next(),
      cancelGraceMs: settings.cancelGraceMs,
      greedyClock: () => this.#greedyClock,
      changed: (sandbox, what) => {
        if (what === "state") this.deps.report({ kind: "sandbox", sandbox, end: undefined, message: "" });
        else this.deps.capacityChanged();
      },
      ended: (sandbox, reason) => this.#ended(sandbox, reason),
    };
    for (const state of STATES) metrics.sandboxes.bound({ state }).from(() => this.#count(state));
    metrics.memoryTotal.set(settings.memoryMb * MIB);
    metrics.memoryUsed.from(() => this.#usedMb * MIB);
    metrics.memoryEvictable.from(() => this.evictableMb * MIB);
    metrics.idlePrice.from(() => this.#price / PRICE_FIRST);
    metrics.loadsPaused.from(() => this.#loads.paused(clock.monoMs()));
    metrics.startQueue.from(() => this.#demand.size + this.#stemStarts.size);
    metrics.startQueueAge.from(() => this.#demand.headAgeMs(clock.monoMs()) / 1_000);
  }

  /**
   * Takes over what an earlier life left, as far as it fits; before `start`, and before the driver cleans up.
   * @param kinds what is run here
   * @returns how many
   */
  async adopt(kinds: readonly string[]): Promise<number> {
    const { driver, journal, settings, metrics } = this.deps;
    const entries = await journal.read();
    let leftMb = settings.memoryMb;
    const wanted = new Map(
      entries
        .filter(({ kind, memoryMb }) => {
          if (!kinds.includes(neededKind(kind)) || memoryMb > leftMb) return false;
          leftMb -= memoryMb;
          return true;
        })
        .map((entry) => [entry.mark, { entry, number: (this.#next += 1) }]),
    );
    const survivors = [...wanted.values()].map(({ entry: { mark, kind, memoryMb, pidsMax }, number: sandbox }) => ({
      mark,
      spec: { sandbox, kind, memoryMb, pidsMax, env: settings.sandboxEnv },
    }));
    const adopted = (await driver.adopt?.(survivors, ADOPT_WITHIN_MS)) ?? [];
    for (const { mark, process, loaded } of adopted) {
      const of = wanted.get(mark);
      wanted.delete(mark);
      if (!of || (loaded && !of.entry.ask)) {
        journal.remove(mark); // H4: it has somebody's code, and nobody knows whose
        await process.destroy();
        continue;
      }
      const { entry, number } = of;
      const sandbox = this.#addAs(number, entry.kind, entry.memoryMb);
      sandbox.createMs = entry.createMs;
      sandbox.adopted(process, entry.ask, loaded);
    }
    const kept = new Set([...this.#sandboxes.values()].map(({ process }) => process?.survivesAs));
    for (const { mark } of entries) if (!kept.has(mark)) journal.remove(mark);
    metrics.adopted.inc(kept.size);
    metrics.notAdopted.inc(entries.length - kept.size);
    return kept.size;
  }

  /** @param kinds what the driver can make */
  start(kinds: readonly string[]): void {
    this.#kinds = new Set(kinds);
    const { clock, settings } = this.deps;
    this.#windowEndsMonoMs = clock.monoMs() + STEM_WINDOW_MS;
    this.#pricedMonoMs = clock.monoMs();
    const shortest = Math.min(settings.freezeAfterMs, settings.idleTimeoutMs) / 4;
    const everyMs = Math.min(HOUSEKEEPING_MS_MAX, Math.max(HOUSEKEEPING_MS_MIN, shortest));
    this.#stopHousekeeping = every(clock, everyMs, () => this.#keepHouse());
    this.#refillStems();
  }

  get(number: number): Sandbox | undefined {
    return this.#sandboxes.get(number);
  }

  get sandboxes(): Iterable<Sandbox> {
    return this.#sandboxes.values();
  }

  get freeMb(): number {
    return Math.max(0, this.deps.settings.memoryMb - this.#usedMb);
  }

  get evictableMb(): number {
    return evictableMb(this.#sandboxes.values());
  }

  get starting(): number {
    return this.#starts.size + this.#demand.size + this.#stemStarts.size;
  }

  /** Stem cells that an order could take now. */
  stems(): readonly { readonly kind: string; readonly memoryMb: number; readonly count: number }[] {
    return this.#stems.map((stem) => ({
      kind: stem.kind,
      memoryMb: stem.memoryMb,
      count: this.#countStems(stem, "stem"),
    }));
  }

  // ---- orders ----

  /** H3. The answer is a report: when its sandbox is ready, or at once. */
  create(order: CreateOrder, schedulerBootId: string): void {
    const { action } = order;
    const by: SandboxOrder = { order: order.order, schedulerBootId };
    const key = `${order.epoch}/${order.order}`;
    const before = this.#orders.get(key);
    if (before) {
      this.#repeat(before, by);
      return;
    }
    if (!this.fence.admits(order.shard, order.epoch)) {
      this.deps.metrics.fencedOrders.inc();
      this.#refuse(undefined, by, action, "fenced", `epoch ${order.epoch} of shard ${order.shard} is over`);
      return;
    }
    if (this.#draining) {
      this.#refuse(key, by, action, "draining", "the invoker drains");
      return;
    }
    if (!this.#kinds.has(neededKind(action.kind))) {
      this.#refuse(key, by, action, "startFailed", `this invoker does not run ${action.kind}`);
      return;
    }
    if (this.#standIn(key, action, by)) return;
    this.#countDemand(action);
    const stem = this.#findStem(action);
    if (stem) {
      this.#loads.mayStart(action.revisionId, this.deps.clock.monoMs());
      this.#remember(key, { sandbox: stem });
      stem.claim(action, by);
      this.#writeDown(stem);
      this.deps.report({ kind: "sandbox", sandbox: stem, end: undefined, message: "" });
      this.#refillLater();
      return;
    }
    if (!this.#admit(action.memoryMb)) {
      this.#refuse(undefined, by, action, "noRoom", `${action.memoryMb} MiB do not fit; ${this.freeMb} MiB are free`);
      return;
    }
    this.#loads.mayStart(action.revisionId, this.deps.clock.monoMs());
    const sandbox = this.#add(action.kind, action.memoryMb);
    this.#remember(key, { sandbox });
    sandbox.claim(action, by);
    this.#demand.push({ sandbox, stem: undefined, queuedMonoMs: this.deps.clock.monoMs() }, this.deps.clock.monoMs());
    this.deps.capacityChanged();
    this.#pump();
  }

  /** Ends a sandbox once no call runs in it. @returns false when the order is stale */
  destroy(number: number, shard: number, epoch: number): boolean {
    if (!this.fence.admits(shard, epoch)) {
      this.deps.metrics.fencedOrders.inc();
      return false;
    }
    const sandbox = this.#sandboxes.get(number);
    if (!sandbox) return true;
    this.deps.slotsGone(number);
    sandbox.endWhenIdle("evicted");
    return true;
  }

  /** Code that does not load gets no sandbox until it is tried again. @returns false when it is to be tried */
  #standIn(key: string, action: ActionAsk, by: SandboxOrder): boolean {
    const { clock, log } = this.deps;
    const verdict = this.#loads.known(action.revisionId, clock.monoMs());
    if (verdict.kind === "load") return false;
    this.#next += 1;
    const sandbox = this.#addAs(this.#next, action.kind, 0); // it takes no memory
    this.#remember(key, { sandbox });
    sandbox.standIn(action, by);
    this.#standIns.set(
      sandbox,
      clock.after(verdict.leftMs, () => sandbox.endWhenIdle("evicted")),
    );
    log.info("an action whose code does not load is left alone for a while", {
      action: action.key,
      failures: verdict.failures,
      durationMs: Math.round(verdict.leftMs),
    });
    this.deps.report({ kind: "sandbox", sandbox, end: undefined, message: "" });
    return true;
  }

  #repeat(before: { readonly sandbox: Sandbox } | { readonly refusal: HostReport }, by: SandboxOrder): void {
    if ("refusal" in before) {
      this.deps.report(before.refusal);
      return;
    }
    const { sandbox } = before;
    sandbox.order = by; // whoever asks now is told when it is there
    if (sandbox.state === "starting") return;
    const end = sandbox.state === "gone" ? "died" : undefined;
    this.deps.report({ kind: "sandbox", sandbox, end, message: "" });
  }

  /** @param key undefined: it may be said again, and decided anew */
  #refuse(key: string | undefined, order: SandboxOrder, action: ActionAsk, end: EndName, message: string): void {
    const refusal: HostReport = { kind: "refused", order, action, end, message };
    if (key !== undefined) this.#remember(key, { refusal });
    this.deps.metrics.ends.bound({ reason: end }).inc();
    this.deps.report(refusal);
  }

  #remember(key: string, what: { readonly sandbox: Sandbox } | { readonly refusal: HostReport }): void {
    this.#orders.set(key, what);
    if (this.#orders.size <= ORDERS_REMEMBERED) return;
    for (const [oldest, of] of this.#orders) {
      // One whose sandbox lives must stay: its repetition would make a second one.
      if ("sandbox" in of && of.sandbox.state !== "gone") continue;
      this.#orders.delete(oldest);
      return;
    }
  }

  // ---- making them ----

  /** Makes room for one more, if it can. */
  #admit(memoryMb: number): boolean {
    if (this.#demand.full) return false;
    const room = makeRoom(
      this.#sandboxes.values(),
      memoryMb,
      this.deps.settings.memoryMb - this.#usedMb,
      this.#greedyClock,
    );
    if (!room) return false;
    this.#greedyClock = room.clock;
    for (const victim of room.victims) victim.end("evicted");
    return true;
  }

  #add(kind: string, memoryMb: number): Sandbox {
    this.#next += 1;
    return this.#addAs(this.#next, kind, memoryMb);
  }

  #addAs(number: number, kind: string, memoryMb: number): Sandbox {
    const sandbox = new Sandbox(number, kind, memoryMb, this.#sandboxDeps);
    this.#sandboxes.set(sandbox.number, sandbox);
    this.#usedMb += memoryMb;
    return sandbox;
  }

  #writeDown({ process, kind, memoryMb, createMs, ask }: Sandbox): void {
    const mark = process?.survivesAs;
    if (mark === undefined) return;
    this.deps.journal.put({ mark, kind, memoryMb, pidsMax: this.deps.settings.pidsMax, createMs, ask });
  }

  #pump(): void {
    while (this.#starts.size < this.deps.settings.parallelStarts) {
      const job = this.#demand.shift() ?? this.#stemStarts.shift(); // H2
      if (!job) return;
      if (job.sandbox.state === "gone") continue;
      const start = this.#start(job).finally(() => {
        this.#starts.delete(start);
        this.deps.capacityChanged();
        this.#pump();
      });
      this.#starts.add(start);
    }
  }

  /** Never rejects. */
  async #start({ sandbox, stem, queuedMonoMs }: StartJob): Promise<void> {
    const { driver, clock, settings, metrics, log, tracer } = this.deps;
    const abort = new AbortController();
    this.#aborts.set(sandbox.number, abort);
    // The order, not the driver's beginning: whoever caused it waits from then on.
    const orderedWallMs = clock.wallMs() - (clock.monoMs() - queuedMonoMs);
    const spec = {
      sandbox: sandbox.number,
      kind: sandbox.kind,
      memoryMb: sandbox.memoryMb,
      pidsMax: settings.pidsMax,
      env: settings.sandboxEnv,
    };
    let createMonoMs = clock.monoMs();
    try {
      await this.#roomFor(abort.signal);
      createMonoMs = clock.monoMs();
      sandbox.queueMs = createMonoMs - queuedMonoMs;
      const process = await driver.create(spec, settings.startTimeoutMs, abort.signal);
      sandbox.createMs = clock.monoMs() - createMonoMs;
      metrics.createOk.observeMs(sandbox.createMs);
      if (this.#isGone(sandbox)) {
        this.#destroy(sandbox, process); // ended while it was made
        return;
      }
      sandbox.madeWallMs = { from: orderedWallMs, to: clock.wallMs() };
      sandbox.started(process);
      this.#writeDown(sandbox);
      if (stem) stem.backoff.reset();
      this.deps.report({ kind: "sandbox", sandbox, end: undefined, message: "" });
    } catch (thrown) {
      const error = toWeftError(thrown);
      if (this.#isGone(sandbox)) return; // it was to end; that it did not begin is no failure
      const span = tracer.start("sandbox.start", "", { startWallMs: orderedWallMs });
      span.fail(error);
      span.end();
      metrics.createFailed.observeMs(clock.monoMs() - createMonoMs);
      log.warn("a sandbox could not be made", { sandboxId: sandbox.number, kind: sandbox.kind, error });
      if (stem) stem.quietUntilMonoMs = clock.monoMs() + stem.backoff.nextMs();
      this.#failures.set(sandbox, error.message);
      sandbox.end("startFailed");
    } finally {
      this.#aborts.delete(sandbox.number);
    }
  }

  // An await has passed: it may have ended meanwhile.
  #isGone(sandbox: Sandbox): boolean {
    return sandbox.state === "gone";
  }

  /** H1 */
  async #roomFor(signal: AbortSignal): Promise<void> {
    const { clock, settings } = this.deps;
    const untilMonoMs = clock.monoMs() + settings.startTimeoutMs;
    while (this.#usedMb + this.#destroyingMb > settings.memoryMb && this.#destroying.size > 0) {
      const leftMs = untilMonoMs - clock.monoMs();
      if (leftMs <= 0) {
        throw new WeftError("deadlineExceeded", "NO_ROOM_IN_TIME", "what had to make room did not end in time");
      }
      await new Promise<void>((resolve) => {
        const go = (): void => {
          cancel();
          this.#roomWaiters.delete(go);
          signal.removeEventListener("abort", go);
          resolve();
        };
        const cancel = clock.after(leftMs, go);
        this.#roomWaiters.add(go);
        signal.addEventListener("abort", go, { once: true });
      });
      if (signal.aborted) throw new WeftError("canceled", "START_CANCELED", "the sandbox is not wanted any more");
    }
  }

  // ---- ending them ----

  #ended(sandbox: Sandbox, reason: EndName): void {
    const { metrics, log } = this.deps;
    if (!this.#sandboxes.delete(sandbox.number)) return;
    this.#usedMb -= sandbox.memoryMb;
    metrics.ends.bound({ reason }).inc();
    this.#aborts.get(sandbox.number)?.abort();
    this.#standIns.get(sandbox)?.();
    this.#standIns.delete(sandbox);
    const { process } = sandbox;
    if (process?.survivesAs !== undefined) this.deps.journal.remove(process.survivesAs);
    if (process) this.#destroy(sandbox, process);
    log.debug("a sandbox ended", { sandboxId: sandbox.number, action: sandbox.ask?.key, reason });
    if (sandbox.ask) this.deps.slotsGone(sandbox.number);
    this.deps.report({ kind: "sandbox", sandbox, end: reason, message: this.#failures.get(sandbox) ?? "" });
    this.deps.capacityChanged();
    this.#pump();
  }

  #destroy(sandbox: Sandbox, process: SandboxProcess): void {
    this.#destroyingMb += sandbox.memoryMb;
    const destroyed = process
      .destroy()
      .catch((thrown: unknown) => {
        this.deps.log.error("a sandbox could not be destroyed; its memory may not be free", {
          sandboxId: sandbox.number,
          error: toWeftError(thrown),
        });
      })
      .finally(() => {
        this.#destroyingMb -= sandbox.memoryMb;
        this.#destroying.delete(sandbox);
        for (const go of [...this.#roomWaiters]) go();
        this.#refillStems();
      });
    this.#destroying.set(sandbox, destroyed);
  }

  /** Nothing new; what is idle ends now, the rest when its calls have ended. What is to be left waits for `close`. */
  drain(): void {
    this.#draining = true;
    this.#cancelRefill();
    if (this.deps.settings.leaveSandboxes) return;
    for (const sandbox of [...this.#sandboxes.values()]) sandbox.endWhenIdle("draining");
  }

  /** Ends everything, whatever runs, but what is left to the next life; resolves when nothing else is there. */
  async close(): Promise<void> {
    this.#draining = true;
    this.#cancelRefill();
    this.#stopHousekeeping();
    if (this.deps.settings.leaveSandboxes) await this.#leave();
    for (const sandbox of [...this.#sandboxes.values()]) sandbox.end("draining");
    while (this.#destroying.size > 0 || this.#starts.size > 0) {
      await Promise.all([...this.#destroying.values(), ...this.#starts]);
    }
    await this.deps.journal.flushed();
  }

  async #leave(): Promise<void> {
    const leaving: Promise<void>[] = [];
    for (const sandbox of [...this.#sandboxes.values()]) {
      const left = sandbox.leave()?.leave?.();
      if (!left) continue;
      this.#sandboxes.delete(sandbox.number);
      this.#usedMb -= sandbox.memoryMb;
      leaving.push(left);
    }
    await Promise.all(leaving);
    if (leaving.length > 0)
      this.deps.log.info("idle sandboxes are left to the next life", { sandboxes: leaving.length });
  }

  // ---- stem cells and idleness ----

  #keepHouse(): void {
    const { clock, settings, driver } = this.deps;
    const now = clock.monoMs();
    const freezeAfterMs = driver.abilities.freeze ? settings.freezeAfterMs : Infinity;
    this.#setPrice(now);
    for (const sandbox of [...this.#sandboxes.values()]) {
      const idleTimeoutMs = sandbox.running === 0 ? this.keepMs(sandbox, now) : Infinity;
      switch (idleAction(sandbox, now, { freezeAfterMs, idleTimeoutMs })) {
        case "end":
          if (sandbox.evictable) sandbox.end("evicted");
          break;
        case "freeze":
          if (sandbox.evictable) sandbox.freeze();
          break;
        case "keep":
      }
    }
    while (now >= this.#windowEndsMonoMs) {
      this.#windowEndsMonoMs += STEM_WINDOW_MS;
      for (const { windows } of this.#stems) {
        windows.push(0);
        if (windows.length > STEM_WINDOWS) windows.shift();
      }
      this.#forgetStemClasses();
    }
    this.#refillStems();
    // Time alone makes a sandbox evictable that was made for a call which did not come.
    if (this.evictableMb !== this.#evictableToldMb) {
      this.#evictableToldMb = this.evictableMb;
      this.deps.capacityChanged();
    }
  }

  /** How long a sandbox is idle before it ends. */
  keepMs({ history, memoryMb, startCostMs, idleSinceMonoMs }: Sandbox, nowMonoMs: number): number {
    const { idleTimeoutMs, keepMaxMs } = this.deps.settings;
    if (!history || history.gaps.count < KNOWN_GAPS) return idleTimeoutMs;
    const idleMs = nowMonoMs - idleSinceMonoMs;
    return keepMs(history.gaps, { memoryMb, startCostMs, price: this.#price, idleMs, maxMs: keepMaxMs });
  }

  #setPrice(nowMonoMs: number): void {
    const { memoryMb, idleShare } = this.deps.settings;
    const now = { idleMb: this.#idleMb(), shareMb: memoryMb * idleShare };
    this.#price = nextPrice(this.#price, this.#idleBefore ?? now, now, nowMonoMs - this.#pricedMonoMs);
    this.#idleBefore = now;
    this.#pricedMonoMs = nowMonoMs;
  }

  /** What sandboxes take that belong to an action and wait for its next call. */
  #idleMb(): number {
    let sum = 0;
    for (const { state, running, memoryMb } of this.#sandboxes.values()) {
      if (running === 0 && (state === "warm" || state === "frozen")) sum += memoryMb;
    }
    return sum;
  }

  #countDemand({ kind, memoryMb }: ActionAsk): void {
    let stem = this.#stems.find((one) => one.kind === kind && one.memoryMb === memoryMb);
    if (!stem) {
      const { stemDemandMax: max } = this.deps.settings;
      if (max === 0 || this.#stems.length >= STEM_CLASSES_MAX) return;
      stem = this.#stemClass({ kind, memoryMb, min: 0, max }, true);
      this.#stems = [...this.#stems, stem];
    }
    stem.windows[stem.windows.length - 1] = (stem.windows.at(-1) ?? 0) + 1;
  }

  #stemClass(setting: StemSetting, byDemand: boolean): StemClass {
    const backoff = new Backoff({ firstMs: 1_000, maxMs: 60_000 }, this.deps.random);
    // That a class was not asked for before is known, too.
    const windows = byDemand ? Array<number>(STEM_WINDOWS).fill(0) : [0];
    return { ...setting, windows, backoff, quietUntilMonoMs: 0, byDemand };
  }

  /** A class that nobody has asked for in all windows gives its memory back. */
  #forgetStemClasses(): void {
    const forgotten = this.#stems.filter(
      ({ byDemand, windows }) => byDemand && windows.every((starts) => starts === 0),
    );
    if (forgotten.length === 0) return;
    this.#stems = this.#stems.filter((stem) => !forgotten.includes(stem));
    for (const { kind, memoryMb } of forgotten) {
      for (const sandbox of [...this.#sandboxes.values()]) {
        const one = !sandbox.ask && sandbox.kind === kind && sandbox.memoryMb === memoryMb;
        if (one && sandbox.state === "stem") sandbox.end("evicted");
      }
    }
  }

  #findStem(action: ActionAsk): Sandbox | undefined {
    for (const sandbox of this.#sandboxes.values()) {
      if (sandbox.state !== "stem" || !sandbox.evictable) continue; // one that is dying serves nobody
      if (sandbox.kind === action.kind && sandbox.memoryMb === action.memoryMb) return sandbox;
    }
    return undefined;
  }

  #refillLater(): void {
    const { clock } = this.deps;
    this.#taken = stemTaken(this.#taken, clock.monoMs());
    this.#cancelRefill();
    this.#cancelRefill = clock.after(refillDueMonoMs(this.#taken) - clock.monoMs(), () => {
      this.#taken = undefined;
      this.#refillStems();
    });
  }

  #refillStems(): void {
    if (this.#draining || this.#taken) return;
    const { settings, clock } = this.deps;
    const now = clock.monoMs();
    for (const stem of this.#stems) {
      if (!this.#kinds.has(stem.kind) || now < stem.quietUntilMonoMs) continue;
      let stemMb = 0;
      for (const sandbox of this.#sandboxes.values()) if (!sandbox.ask) stemMb += sandbox.memoryMb;
      const shortage = stemShortage({
        target: stemTarget(stem, stem.windows),
        present: this.#countStems(stem, "stem") + this.#countStems(stem, "starting"),
        memoryMb: stem.memoryMb,
        freeMb: settings.memoryMb - this.#usedMb - this.#destroyingMb,
        shareLeftMb: settings.memoryMb * settings.stemShare - stemMb,
      });
      for (let i = 0; i < shortage && !this.#stemStarts.full; i += 1) {
        this.#stemStarts.push({ sandbox: this.#add(stem.kind, stem.memoryMb), stem, queuedMonoMs: now }, now);
      }
    }
    this.#pump();
  }

  #countStems(stem: StemSetting, state: SandboxState): number {
    let count = 0;
    for (const sandbox of this.#sandboxes.values()) {
      if (sandbox.ask || sandbox.state !== state) continue;
      if (sandbox.kind === stem.kind && sandbox.memoryMb === stem.memoryMb) count += 1;
    }
    return count;
  }

  #count(state: SandboxState): number {
    let count = 0;
    for (const sandbox of this.#sandboxes.values()) if (sandbox.state === state) count += 1;
    return count;
  }
}

const MIB = 1024 * 1024;
