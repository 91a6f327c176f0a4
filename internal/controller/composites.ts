// Runs sequences and compositions. What comes next is decided in core; this carries it out: components are looked up,
// queued as durable requests of their own, and waited for. A run is the row of its request: it stays in the queue until
// the record of the run is stored.
//
//   S1. A component is queued in the statement that moves its run on, and only while the run is ours. So each is started
//       at most once, and a run goes on from where it was whoever takes it over.
//   S2. A run has at most one component at a time, and moves on once for each: whatever tells of an end first counts.
//   S3. Every run ends with its record: a component that is nowhere to be found ends it with a platform error.

import { Backoff } from "../base/backoff.js";
import { every, sleep, type Clock } from "../base/clock.js";
import { toWeftError, unreachable, WeftError } from "../base/errors.js";
import { newActivationId, type ActivationId } from "../base/ids.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import type { ActivationStore, RecordedActivation } from "../core/activation/store.js";
import type { Activation } from "../core/activation/types.js";
import type { KnownAction } from "../core/activation/unstarted.js";
import { beginComposition, endedInComposition, foundInComposition } from "../core/conductor/run.js";
import type { DoneResult } from "../core/dispatch/call.js";
import type { QueuedRequest, QueueStore } from "../core/queue/store.js";
import { recordOfRun } from "../core/sequence/record.js";
import { beginSequence, endedInSequence, foundInSequence } from "../core/sequence/run.js";
import { qualifiedKey } from "../core/tenancy/name.js";
import {
  failure,
  noteOf,
  noteText,
  NOTHING_INHERITED,
  withStarted,
  type ComponentEnd,
  type Found,
  type Place,
  type Run,
  type Step,
} from "../core/sequence/step.js";
import type { ControllerMetrics } from "./metrics.js";
import type { CompositeRunner, QueueDispatcher } from "./queue-dispatcher.js";
import { NOT_FOR_CALLER, type Resolved } from "./resolver.js";

export interface CompositesDeps {
  readonly bootId: string;
  readonly queue: Pick<QueueStore, "advance" | "unsettled">;
  readonly activations: Pick<ActivationStore, "get">;
  /** Takes components in hand. */
  readonly requests: Pick<QueueDispatcher, "accept" | "has" | "lost">;
  readonly resolve: (namespace: string, name: string, callerNamespace: string) => Promise<Resolved>;
  readonly record: (records: readonly RecordedActivation[]) => Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: ControllerMetrics;
}

/** Components that another controller has in hand are looked for this often, */
const SWEEP_EVERY_MS = 2_000;
/** and so many at a time. */
const SWEEP_MAX = 500;

interface Active {
  readonly request: QueuedRequest;
  run: Run;
  /** What it waits for; undefined while it moves on. */
  awaited: ActivationId | undefined;
  /** True once the database holds what it waits for: from then on that it is nowhere means that it is lost. */
  queued: boolean;
}

export class Composites implements CompositeRunner {
  readonly #runs = new Map<ActivationId, Active>();
  /** By the component that they wait for. */
  readonly #awaited = new Map<ActivationId, Active>();
  readonly #stop = new AbortController();
  readonly #tasks = new Set<Promise<void>>();
  #sweeping = false;
  #stopSweeps = (): void => {};

  constructor(private readonly deps: CompositesDeps) {
    deps.metrics.compositesRunning.from(() => this.#runs.size);
  }

  start(): void {
    this.#stopSweeps = every(this.deps.clock, SWEEP_EVERY_MS, () => {
      if (!this.#sweeping) this.#go(this.#sweep([...this.#awaited.keys()]));
    });
  }

  begin(request: QueuedRequest, resolved: Resolved): void {
    if (this.#runs.has(request.id)) return;
    const { action, composite } = resolved;
    const note = noteOf(request.run);
    const inherited = note?.kind === "inherited" ? note : NOTHING_INHERITED;
    const about = { path: qualifiedKey(action), version: action.version, limits: action.limits };
    const wallMs = this.deps.clock.wallMs();
    const step =
      composite === "sequence"
        ? beginSequence(about, action.exec.components ?? [], inherited, wallMs, request.paramsJson)
        : beginComposition(about, inherited, wallMs, request.paramsJson);
    this.#act({ request, run: step.run, awaited: undefined, queued: false }, step);
  }

  resume(request: QueuedRequest, run: Run): void {
    if (this.#runs.has(request.id)) return;
    const active: Active = { request, run, awaited: undefined, queued: true };
    this.#runs.set(request.id, active);
    const last = run.started.at(-1);
    if (last === undefined)
      throw new WeftError("internal", "INVARIANT", `run ${request.id} was stored before it began`);
    this.#await(active, last);
    // It may have ended while nobody waited for it.
    this.#go(this.#sweep([last]));
  }

  ended(request: QueuedRequest, action: KnownAction, done: DoneResult): void {
    this.#ended(request.id, {
      outcome: done.outcome,
      resultJson: Buffer.from(done.resultJson).toString("utf8"),
      durationMs: done.durationMs,
      memoryMb: action?.limits.memoryMb ?? 0,
      composite: undefined,
    });
  }

  /** Told of every record that is durable. */
  recorded(activation: Activation): void {
    if (activation.of !== "action" || !this.#awaited.has(activation.id)) return;
    const { outcome, resultJson, durationMs, limits, composite } = activation;
    this.#ended(activation.id, { outcome, resultJson, durationMs, memoryMb: limits.memoryMb, composite });
  }

  /** Runs stay in the database for the next controller. */
  stop(): void {
    this.#stopSweeps();
    this.#stop.abort(new WeftError("unavailable", "STOPPED", "this controller stopped"));
  }

  async close(): Promise<void> {
    this.stop();
    while (this.#tasks.size > 0) await Promise.allSettled([...this.#tasks]);
  }

  /** For whoever looks at this process. */
  debug(): unknown {
    return { running: this.#runs.size, waiting: this.#awaited.size };
  }

  #await(active: Active, id: ActivationId): void {
    active.awaited = id;
    this.#awaited.set(id, active);
  }

  #ended(id: ActivationId, end: ComponentEnd): void {
    const active = this.#awaited.get(id);
    if (!active) return; // S2
    this.#awaited.delete(id);
    active.awaited = undefined;
    this.#act(active, endedIn(active, end));
  }

  #act(active: Active, step: Step): void {
    this.#runs.set(active.request.id, active);
    this.#go(this.#carryOut(active, step));
  }

  async #carryOut(active: Active, first: Step): Promise<void> {
    const { clock, random, log } = this.deps;
    const { signal } = this.#stop;
    const backoff = new Backoff({ firstMs: 50, maxMs: 2_000 }, random);
    // Once for the step: when it is not known whether it was queued, it is queued again under the same id (S1).
    const id = newActivationId(random, clock.wallMs());
    let step = first;
    while (!isAborted(signal)) {
      try {
        const next = await this.#carryOutOnce(active, step, id);
        if (!next) return;
        step = next;
        backoff.reset();
      } catch (thrown) {
        const error = toWeftError(thrown);
        if (isAborted(signal)) return;
        if (error.kind === "internal" || error.kind === "invalidArgument") {
          if (step.kind === "end") throw thrown;
          log.error("a sequence failed unforeseen", { activationId: active.request.id, error });
          step = failure(step.run, "platformError", failedText(step.run));
          continue;
        }
        log.warn("a sequence cannot go on for now", { activationId: active.request.id, error });
        await sleep(clock, Math.max(backoff.nextMs(), error.retryAfterMs ?? 0), signal).catch(() => undefined);
      }
    }
  }

  /** @returns the next step; undefined when there is none for now */
  async #carryOutOnce(active: Active, step: Step, id: ActivationId): Promise<Step | undefined> {
    active.run = step.run;
    switch (step.kind) {
      case "look": {
        const { run, place, paramsJson } = step;
        const found = await this.#look(place, active.request.callerNamespace);
        return run.kind === "sequence"
          ? foundInSequence(run, found, place, paramsJson)
          : foundInComposition(run, found, place, paramsJson);
      }
      case "start":
        await this.#start(active, step, id);
        return undefined;
      case "end":
        await this.#end(active, step);
        return undefined;
    }
    return unreachable(step);
  }

  async #look({ namespace, name }: Place, callerNamespace: string): Promise<Found> {
    try {
      const { composite } = await this.deps.resolve(namespace, name, callerNamespace);
      return composite === "sequence" || composite === "composition" ? composite : "action";
    } catch (thrown) {
      const { kind, reason } = toWeftError(thrown);
      if (kind === "permissionDenied" || reason === NOT_FOR_CALLER) return "forbidden";
      if (kind === "notFound" || kind === "failedPrecondition") return "missing";
      throw thrown;
    }
  }

  async #start(active: Active, step: Step & { readonly kind: "start" }, id: ActivationId): Promise<void> {
    const { bootId, clock, queue, requests } = this.deps;
    const { request } = active;
    const run = withStarted(step.run, id);
    const component: QueuedRequest = {
      ...request,
      ...(step.place ?? {}),
      id,
      paramsJson: step.paramsJson,
      acceptedWallMs: clock.wallMs(),
      cause: request.id,
      run: noteText(step.note),
    };
    active.run = run;
    active.queued = false;
    // Before it is stored: it may end before the database has answered.
    this.#await(active, id);
    try {
      await requests.accept(
        [component],
        async (owner) => {
          const moved = { id: request.id, run: noteText(run), ownerBootId: bootId };
          if (!(await queue.advance(moved, component, owner))) throw taken(request.id);
        },
        false,
      );
      if (active.awaited === id) active.queued = true;
    } catch (thrown) {
      this.#awaited.delete(id);
      active.awaited = undefined;
      active.run = step.run;
      if (toWeftError(thrown).reason !== RUN_TAKEN) throw thrown;
      this.#runs.delete(request.id);
      requests.lost(request.id);
      this.deps.log.info("a sequence was taken over by another controller", { activationId: request.id });
    }
  }

  async #end(active: Active, step: Step & { readonly kind: "end" }): Promise<void> {
    const { outcome, resultJson, run } = step;
    const end = { outcome, resultJson, wallMs: this.deps.clock.wallMs() };
    await this.deps.record([{ activation: recordOfRun(active.request, run, end), async: true }]);
    this.deps.metrics.composites.bound({ kind: run.kind, outcome }).inc();
    this.#runs.delete(active.request.id);
  }

  /** Looks for what became of components that nobody here told of. */
  async #sweep(ids: readonly ActivationId[]): Promise<void> {
    const { activations, queue, requests, log } = this.deps;
    const elsewhere = ids
      .filter((id) => this.#awaited.get(id)?.queued === true && !requests.has(id))
      .slice(0, SWEEP_MAX);
    if (elsewhere.length === 0) return;
    this.#sweeping = true;
    try {
      // In this order: a record is stored in the transaction that takes its request from the queue.
      const unsettled = new Set(await queue.unsettled(elsewhere));
      for (const id of elsewhere) {
        const active = this.#awaited.get(id);
        if (!active || unsettled.has(id) || requests.has(id)) continue;
        try {
          this.recorded(await activations.get(active.request.callerNamespace, id));
        } catch (thrown) {
          if (toWeftError(thrown).kind !== "notFound") throw thrown;
          this.#missing(id, active); // S3
        }
      }
    } catch (thrown) {
      log.warn("components of sequences could not be looked for", { error: toWeftError(thrown) });
    } finally {
      this.#sweeping = false;
    }
  }

  #missing(id: ActivationId, active: Active): void {
    if (this.#awaited.get(id) !== active) return;
    this.deps.log.error("a component of a sequence has neither a request nor a record", { activationId: id });
    this.#awaited.delete(id);
    active.awaited = undefined;
    const what = active.run.kind === "sequence" ? "for sequence component" : "during composition";
    const text = `Timeout reached when retrieving activation ${id} ${what}.`;
    this.#act(active, failure(active.run, "platformError", text));
  }

  /** Keeps a promise that handles its own failures, so that closing can wait for it. */
  #go(task: Promise<void>): void {
    const kept = task.then(
      () => this.#tasks.delete(kept),
      (thrown: unknown) => {
        this.#tasks.delete(kept);
        if (!this.#stop.signal.aborted) {
          this.deps.log.error("running sequences failed unforeseen", { error: toWeftError(thrown) });
        }
      },
    ) as Promise<void>;
    this.#tasks.add(kept);
  }
}

function endedIn({ run, request }: Active, end: ComponentEnd): Step {
  return run.kind === "sequence" ? endedInSequence(run, end) : endedInComposition(run, end, request.callerNamespace);
}

function failedText(run: Run): string {
  return run.kind === "sequence" ? "Sequence failed." : "Activation failure during composition.";
}

const RUN_TAKEN = "RUN_TAKEN";

function taken(id: ActivationId): WeftError {
  return new WeftError("conflict", RUN_TAKEN, `the run ${id} belongs to another controller`);
}

/** Asked anew after an await: the compiler believes what it saw before. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
