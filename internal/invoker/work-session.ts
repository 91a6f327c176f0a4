// One link of one dispatcher. The numbers K1 to K4 are those of work-desk.ts.

import type { Clock } from "../base/clock.js";
import { bytesToHex } from "../base/ids.js";
import type { Log } from "../base/log.js";
import type { Counter } from "../base/metrics.js";
import { NumberMap } from "../base/number-map.js";
import type { Caller as CoreCaller } from "../core/dispatch/call.js";
import { leaseTokenProves } from "../core/lease/token.js";
import type { SlotDecision } from "../core/sandbox/slots.js";
import {
  CallClass,
  CallStatus,
  type ActivationStatus,
  type DispatcherHello,
  type Done,
  type Invoke,
  type LeaseRef,
  type WorkRequestItem,
  type WorkResponseItem,
} from "../gen/weft/link/v1/work.pb.js";
import type { Link } from "../rpc/link.js";
import type { InvokerMetrics, NackName } from "./metrics.js";
import type { RecentCalls } from "./recent-calls.js";
import { Run, type RunOwner } from "./run.js";
import type { Sandbox } from "./sandbox.js";
import type { InvokerSettings } from "./settings.js";
import { NACK_TO_WIRE } from "./wire.js";

export const WIRE_VERSION = 1;
const ACTIVATION_ID_BYTES = 16;

export interface WorkSessionDeps {
  readonly invokerId: string;
  /** This life of the invoker. */
  readonly bootId: () => string;
  readonly clusterKey: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: InvokerMetrics;
  readonly settings: InvokerSettings;
  readonly sandbox: (number: number) => Sandbox | undefined;
  /** True when no more records of async calls can be kept. */
  readonly spoolFull: () => boolean;
  /** True while the record of an async call waits to be durable. */
  readonly recordWaits: (activationId: string) => boolean;
}

/** One life of a dispatcher, over all its links. */
export interface Life {
  readonly dispatcherId: string;
  readonly bootId: string;
  /** By `Run.lifeNumber`. */
  readonly running: NumberMap<Run>;
  /** Calls that ever ran, modulo 2^32. */
  begun: number;
  readonly recent: RecentCalls;
  highestLink: number;
  session: WorkSession | undefined;
  endedAtMonoMs: number;
}

export type CallFate =
  | { readonly kind: "running" }
  /** `done` is undefined when the result is no longer remembered, or never was told to the one who asks. */
  | { readonly kind: "ended"; readonly done: Done | undefined }
  | { readonly kind: "unknown" };

/** What a session needs of the desk. */
export interface SessionDesk {
  readonly owner: RunOwner;
  /** @returns the life the link belongs to, or why it is refused */
  greet(hello: DispatcherHello): Life | string;
  closed(): void;
  begun(): void;
  /** Set while the invoker drains. */
  finishWithinMs(): number | undefined;
  /** What became of an activation, whichever life sent it (K6). */
  fateOf(life: Life, activationId: string): CallFate;
  /** True when another life was told that it never started (K6). */
  givenUp(life: Life, activationId: string): boolean;
}

export class WorkSession {
  #life: Life | undefined;
  readonly #runs = new NumberMap<Run>();
  #bytes = 0;
  readonly #nacks = new Map<NackName, Counter>();

  constructor(
    private readonly deps: WorkSessionDeps,
    private readonly link: Link<WorkRequestItem, WorkResponseItem>,
    private readonly desk: SessionDesk,
  ) {
    link.onItem = (item) => this.#receive(item);
    link.onClosed = (why) => {
      if (this.#life) {
        deps.log.info("the link of a dispatcher ended", {
          dispatcherId: this.#life.dispatcherId,
          running: this.#runs.size,
          reason: why?.message ?? "closed",
        });
      }
      this.desk.closed();
    };
  }

  /** undefined until its hello was accepted. */
  get life(): Life | undefined {
    return this.#life;
  }

  get unfinished(): number {
    return this.#runs.size;
  }

  close(): void {
    this.link.close();
  }

  sayDraining(finishWithinMs: number): void {
    if (this.#life) this.link.send({ item: { $case: "draining", value: { finishWithinMs } } });
  }

  saySlotsGone(sandboxes: readonly number[]): void {
    if (this.#life) this.link.send({ item: { $case: "slotsGone", value: { sandboxes: [...sandboxes] } } });
  }

  /** Its call ended: the credit is free before the answer leaves. */
  finished(run: Run, answer: WorkResponseItem): void {
    this.#over(run);
    this.link.send(answer);
  }

  sentBack(run: Run, reason: NackName): void {
    this.#over(run);
    this.#nack(run.call, reason);
  }

  #over(run: Run): void {
    if (this.#runs.get(run.call) === run) this.#runs.delete(run.call);
    this.#bytes -= run.paramsBytes;
    this.#life?.running.delete(run.lifeNumber);
  }

  #receive({ item }: WorkRequestItem): void {
    if (!this.#life) {
      if (item?.$case === "hello") this.#hello(item.value);
      else this.#refuse("it does not begin with hello");
      return;
    }
    switch (item?.$case) {
      case "invoke":
        this.#invoke(this.#life, item.value);
        return;
      case "cancel": {
        const run = this.#runs.get(item.value.call);
        if (run) run.sandbox.cancel(run, item.value.reason); // otherwise its end is on the way
        return;
      }
      case "statusQuery":
        this.link.send({
          item: { $case: "status", value: { statuses: this.#statuses(this.#life, item.value.activationIds) } },
        });
        return;
      case "hello":
        this.#refuse("it says hello twice");
        return;
      case undefined: // something of a newer dispatcher
    }
  }

  #hello(hello: DispatcherHello): void {
    const life = this.desk.greet(hello);
    if (typeof life === "string") {
      this.#refuse(life);
      return;
    }
    this.#life = life;
    const { invokerId, bootId, settings, log } = this.deps;
    this.link.send({
      item: {
        $case: "welcome",
        value: {
          invokerId,
          bootId: bootId(),
          wireVersion: WIRE_VERSION,
          callCredits: settings.callCredits,
          byteCredits: settings.byteCredits,
        },
      },
    });
    log.info("a dispatcher is connected", { dispatcherId: life.dispatcherId });
    const finishWithinMs = this.desk.finishWithinMs();
    if (finishWithinMs !== undefined) this.sayDraining(finishWithinMs);
  }

  #refuse(why: string): void {
    this.deps.log.warn("a link is ended: it broke the protocol", {
      dispatcherId: this.#life?.dispatcherId,
      reason: why,
    });
    this.link.close();
  }

  #invoke(life: Life, invoke: Invoke): void {
    const { lease } = invoke;
    if (!lease || invoke.activationId.length !== ACTIVATION_ID_BYTES) {
      this.#refuse("a call has no lease or no activation id");
      return;
    }
    const { deps } = this;
    if (this.desk.finishWithinMs() !== undefined) {
      this.#nack(invoke.call, "draining");
      return;
    }
    const async = invoke.class === CallClass.ASYNC;
    if (async && this.desk.givenUp(life, bytesToHex(invoke.activationId))) {
      this.#nack(invoke.call, "staleLease");
      return;
    }
    if (this.#overCredit(invoke.paramsJson.length) || (async && deps.spoolFull())) {
      this.#nack(invoke.call, "overCredit");
      return;
    }
    const sandbox = deps.sandbox(lease.sandbox);
    const slots = sandbox?.slots;
    if (!slots || !sandbox.takesCalls || !sandbox.ask) {
      this.#nack(invoke.call, "staleLease");
      return;
    }
    const decision = slots.use(
      {
        slot: lease.slot,
        epoch: lease.epoch,
        sequence: lease.sequence,
        dispatcherBootId: life.bootId,
        revisionId: invoke.revisionId,
      },
      life.dispatcherId,
      () => this.#proves(lease, life),
    );
    const refusal = REFUSAL_OF[decision];
    if (refusal !== undefined) {
      this.#nack(invoke.call, refusal);
      return;
    }
    const now = deps.clock.monoMs();
    const run = new Run(
      {
        activationId: bytesToHex(invoke.activationId),
        caller: invoke.caller ?? NOBODY,
        async,
        traceparent: invoke.traceparent,
        truncationBytes: invoke.truncationBytes,
        unstored: invoke.unstored,
        waitedMs: invoke.waitedMs,
        expiresMonoMs: invoke.remainingMs === 0 ? Infinity : now + invoke.remainingMs,
        arrivedMonoMs: now,
      },
      this.desk.owner,
      this,
      invoke.call,
      sandbox,
      lease.slot,
      sandbox.ask,
      invoke.paramsJson,
    );
    this.#runs.set(invoke.call, run);
    this.#bytes += run.paramsBytes;
    life.begun = (life.begun + 1) >>> 0;
    run.lifeNumber = life.begun;
    life.running.set(run.lifeNumber, run);
    this.desk.begun();
    sandbox.begin(run);
  }

  /** K4. A single call may be larger than all the credit for bytes. */
  #overCredit(bytes: number): boolean {
    const { callCredits, byteCredits } = this.deps.settings;
    return this.#runs.size >= callCredits || (this.#runs.size > 0 && this.#bytes + bytes > byteCredits);
  }

  #proves(lease: LeaseRef, life: Life): boolean {
    return leaseTokenProves(lease.token, this.deps.clusterKey, {
      invokerBootId: this.deps.bootId(),
      dispatcherBootId: life.bootId,
      sandbox: lease.sandbox,
      slot: lease.slot,
      epoch: lease.epoch,
      sequence: lease.sequence,
    });
  }

  #nack(call: number, reason: NackName): void {
    let counter = this.#nacks.get(reason);
    if (!counter) this.#nacks.set(reason, (counter = this.deps.metrics.nacks.bound({ reason })));
    counter.inc();
    this.link.send({ item: { $case: "nack", value: { call, reason: NACK_TO_WIRE[reason] } } });
  }

  #statuses(life: Life, activationIds: readonly Uint8Array[]): ActivationStatus[] {
    return activationIds.map((activationId) => {
      const fate = this.desk.fateOf(life, bytesToHex(activationId));
      switch (fate.kind) {
        case "running":
          return { activationId, status: CallStatus.RUNNING, done: undefined };
        case "ended":
          return { activationId, status: CallStatus.DONE, done: fate.done };
        case "unknown":
          return { activationId, status: CallStatus.UNKNOWN, done: undefined };
      }
    });
  }
}

/** undefined: it runs. */
const REFUSAL_OF: Readonly<Record<SlotDecision, NackName | undefined>> = {
  run: undefined,
  installAndRun: undefined,
  installAndRefuseBusy: "slotBusy",
  refuseBusy: "slotBusy",
  refuseStale: "staleLease",
  refuseToken: "badToken",
  refuseRevision: "wrongRevision",
};

const NOBODY: CoreCaller = { namespace: "", subject: "", transactionId: "", apiKey: "", cause: "", binding: "" };
