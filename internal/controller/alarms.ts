// Fires what is due by the clock. Alarms are rows of the database; every controller looks for those that are due.
//
//   A1. A firing moves its alarm on, and stores the trigger's record and the requests of its rules, in one transaction
//       that does nothing when the alarm is not as it was read. So each firing is made once, whoever else makes it.
//   A2. A firing whose commit is in doubt is made again, with the same ids, until it is known: what it started is then in
//       hand here, or belongs to somebody else.
//   A3. A controller that stops leaves what is due to the next one; what was missed meanwhile is made up for (see
//       dueFiring).

import { Backoff } from "../base/backoff.js";
import { sleep, type Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import { bytesToHex } from "../base/ids.js";
import type { Random } from "../base/random.js";
import type { TriggerActivation } from "../core/activation/types.js";
import { decideAlarm, disabledAlarm, firingId, type AlarmFiring } from "../core/feed/firing.js";
import type { Alarm } from "../core/feed/alarm.js";
import type { ReadCron } from "../core/feed/schedule.js";
import type { FeedStore } from "../core/feed/store.js";
import type { QueuedRequest } from "../core/queue/store.js";
import type { FireDecision } from "../core/trigger/fire.js";
import type { FeedKeys } from "./feed-keys.js";
import type { Firings } from "./firings.js";
import type { ControllerMetrics } from "./metrics.js";
import type { QueueDispatcher } from "./queue-dispatcher.js";

export interface AlarmsDeps {
  readonly feeds: Pick<FeedStore, "dueAlarms" | "fireAlarm" | "updateAlarm">;
  readonly keys: Pick<FeedKeys, "check">;
  readonly firings: Pick<Firings, "decide" | "occupyAgain">;
  /** What a firing starts as it is stored. */
  readonly sealed: (requests: readonly QueuedRequest[]) => readonly QueuedRequest[];
  /** Takes what is started in hand. */
  readonly requests: Pick<QueueDispatcher, "accept">;
  readonly readCron: ReadCron;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: ControllerMetrics;
  /** Told of triggers' records that are durable. */
  readonly fired: (record: TriggerActivation) => void;
}

/** Alarms that others made or moved are seen this late. */
const LOOK_EVERY_MS = 1_000;
/** Looked for at a time, */
const DUE_MAX = 100;
/** and so many fired at a time. */
const FIRING_MAX = 10;
/** Of an alarm that could not be fired; others go first meanwhile. */
const RETRY = { firstMs: 500, maxMs: 30_000 };
/** In which it must be known whether a firing was stored, before it is looked up again as if nobody had tried. */
const DOUBT_TRIES_MAX = 10;

interface Trouble {
  readonly backoff: Backoff;
  untilMonoMs: number;
}

export class Alarms {
  readonly #stop = new AbortController();
  /** Alarms that could not be fired, by their id. */
  readonly #troubles = new Map<string, Trouble>();
  #cancelTimer = (): void => {};
  #looking: Promise<void> | undefined;
  #again = false;

  constructor(private readonly deps: AlarmsDeps) {}

  start(): void {
    this.look();
  }

  /** Something may be due sooner than was known. */
  look(): void {
    if (this.#stop.signal.aborted) return;
    if (this.#looking) {
      this.#again = true;
      return;
    }
    this.#cancelTimer();
    this.#looking = this.#look().finally(() => {
      this.#looking = undefined;
      if (this.#again) {
        this.#again = false;
        this.look();
      }
    });
  }

  /** Begins no more firings. */
  stop(): void {
    this.#cancelTimer();
    this.#stop.abort(new WeftError("unavailable", "STOPPED", "this controller stopped"));
  }

  async close(): Promise<void> {
    this.stop();
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { clock, feeds, log } = this.deps;
    let nextMs = LOOK_EVERY_MS;
    try {
      const wallMs = clock.wallMs();
      const soon = await feeds.dueAlarms(wallMs + LOOK_EVERY_MS, DUE_MAX + this.#troubles.size);
      const now = clock.monoMs();
      this.#forgetTroubles(now);
      const due = soon.filter((alarm) => (alarm.nextMs ?? Infinity) <= wallMs && !this.#waits(alarm, now));
      await this.#fireAll(due);
      const upcoming = soon.find((alarm) => (alarm.nextMs ?? 0) > wallMs)?.nextMs;
      // One that was made up for may be due again.
      if (due.length > 0) nextMs = 0;
      else if (upcoming !== undefined) nextMs = Math.max(1, Math.min(LOOK_EVERY_MS, upcoming - clock.wallMs()));
    } catch (thrown) {
      log.warn("alarms cannot be looked for", { error: toWeftError(thrown) });
    }
    if (!this.#isStopped()) this.#cancelTimer = clock.after(nextMs, () => this.look());
  }

  /** One after the other in each of some lanes. */
  async #fireAll(due: readonly Alarm[]): Promise<void> {
    const waiting = [...due];
    const lane = async (): Promise<void> => {
      for (let alarm = waiting.shift(); alarm && !this.#isStopped(); alarm = waiting.shift())
        await this.#tryFire(alarm);
    };
    await Promise.all(Array.from({ length: Math.min(FIRING_MAX, due.length) }, lane));
  }

  async #tryFire(alarm: Alarm): Promise<void> {
    try {
      await this.#fire(alarm);
      this.#troubles.delete(alarm.id);
    } catch (thrown) {
      if (this.#isStopped()) return;
      const error = toWeftError(thrown);
      const { namespace, trigger } = alarm;
      this.deps.metrics.alarmFailures.inc();
      this.deps.log.warn("an alarm could not be fired; it is tried again", { namespace, trigger, error });
      this.#delay(alarm, error.retryAfterMs ?? 0);
    }
  }

  async #fire(alarm: Alarm): Promise<void> {
    const { clock, feeds, firings, keys, metrics, random, readCron } = this.deps;
    const { namespace, trigger, nextMs } = alarm;
    if (nextMs === undefined) return;
    const wallMs = clock.wallMs();
    const key = await keys.check(alarm);
    if (key.kind === "gone") {
      await this.#disable(alarm, key.message, wallMs);
      return;
    }
    const firing = decideAlarm(alarm, nextMs, wallMs, readCron);
    const decision = await orMissing(
      firings.decide(
        namespace,
        trigger,
        {
          id: firing.id,
          payload: Buffer.from(alarm.payloadJson),
          headersJson: NO_HEADERS,
          callerNamespace: namespace,
          subject: alarm.key.subject,
          transactionId: bytesToHex(random.bytes(16)),
          keyUuid: alarm.key.uuid,
          traceparent: "",
          wallMs,
        },
        (link) => firingId(alarm, firing.dueMs, link.rule),
      ),
    );
    // Deleted since it was read, and the alarm with it.
    if (decision === "missing") return;
    const made = await this.#store(alarm, firing, decision, (after, owner) =>
      feeds.fireAlarm(alarm, after, decision && { ...decision, requests: this.deps.sealed(decision.requests) }, owner),
    );
    if (!made) {
      metrics.alarmFirings.bound({ result: "other" }).inc();
      return;
    }
    metrics.alarmFirings.bound({ result: decision ? "fired" : "noRule" }).inc();
    metrics.alarmLag.observe(Math.max(0, wallMs - firing.dueMs) / 1_000);
    if (firing.skipped) this.#skipped(alarm, firing);
    if (decision) this.deps.fired(decision.record);
  }

  /** @returns false when somebody else has moved the alarm on (A1) */
  async #store(
    alarm: Alarm,
    firing: AlarmFiring,
    decision: FireDecision | undefined,
    store: (after: AlarmFiring["after"], ownerBootId: string) => Promise<boolean>,
  ): Promise<boolean> {
    const { clock, firings, log, random, requests } = this.deps;
    const { signal } = this.#stop;
    const backoff = new Backoff({ firstMs: 100, maxMs: 5_000 }, random);
    let inDoubt = false;
    for (let tries = 1; ; tries++) {
      if (inDoubt && decision) firings.occupyAgain(decision);
      try {
        await requests.accept(
          decision?.requests ?? [],
          async (ownerBootId) => {
            // Moved on after a try in doubt: by that try, or by somebody whose requests these are (A2).
            if (!(await store(firing.after, ownerBootId)) && !inDoubt) throw moved(alarm);
          },
          false,
        );
        return true;
      } catch (thrown) {
        const error = toWeftError(thrown);
        if (error.reason === MOVED) return false;
        if (error.kind !== "unavailable" || error.reason === "DRAINING" || tries === DOUBT_TRIES_MAX) throw error;
        inDoubt = true;
        log.info("it is not known whether a firing was stored; it is stored again", {
          namespace: alarm.namespace,
          trigger: alarm.trigger,
          error,
        });
        await sleep(clock, backoff.nextMs(), signal);
      }
    }
  }

  async #disable(alarm: Alarm, message: string, wallMs: number): Promise<void> {
    const { namespace, trigger } = alarm;
    try {
      await this.deps.feeds.updateAlarm(disabledAlarm(alarm, 401, message, wallMs));
      this.deps.metrics.alarmFirings.bound({ result: "disabled" }).inc();
      this.deps.log.info("an alarm was disabled", { namespace, trigger, reason: message });
    } catch (thrown) {
      // Somebody else did so, or its owner changed it.
      if (toWeftError(thrown).kind !== "conflict") throw thrown;
    }
  }

  #skipped({ namespace, trigger }: Alarm, { dueMs }: AlarmFiring): void {
    this.deps.metrics.alarmSkips.inc();
    this.deps.log.warn("firings of an alarm were left out: there were too many, or they were too old", {
      namespace,
      trigger,
      before: new Date(dueMs).toISOString(),
    });
  }

  #waits(alarm: Alarm, now: number): boolean {
    return (this.#troubles.get(alarm.id)?.untilMonoMs ?? 0) > now;
  }

  /** Of alarms that are no more. */
  #forgetTroubles(now: number): void {
    for (const [id, { untilMonoMs }] of this.#troubles) {
      if (now - untilMonoMs > 2 * RETRY.maxMs) this.#troubles.delete(id);
    }
  }

  #delay(alarm: Alarm, leastMs: number): void {
    const { clock, random } = this.deps;
    const trouble = this.#troubles.get(alarm.id) ?? { backoff: new Backoff(RETRY, random), untilMonoMs: 0 };
    trouble.untilMonoMs = clock.monoMs() + Math.max(leastMs, trouble.backoff.nextMs());
    this.#troubles.set(alarm.id, trouble);
  }

  /** Asked anew after an await: the compiler believes what it saw before. */
  #isStopped(): boolean {
    return this.#stop.signal.aborted;
  }
}

/** There was no request whose headers could be told. */
const NO_HEADERS = Buffer.from("{}");

const MOVED = "ALARM_MOVED";

function moved({ namespace, trigger }: Alarm): WeftError {
  return new WeftError("conflict", MOVED, `the alarm of ${namespace}/${trigger} was moved on by somebody else`);
}

async function orMissing<T>(reading: Promise<T>): Promise<T | "missing"> {
  try {
    return await reading;
  } catch (thrown) {
    if (toWeftError(thrown).kind !== "notFound") throw thrown;
    return "missing";
  }
}
