// Controllers that fire alarms under faults: they are killed and started again, two or three at a time, some with clocks
// that are off; the database fails before or after it has committed, or answers late; owners change their alarms meanwhile.
//
// Always: a firing is made once, with one activation of each rule, and none before its time. When the faults stop: none is
// missing, but those that were too old to be made up for.

import { describe, expect, it } from "vitest";

import { WeftError } from "../../internal/base/errors.js";
import { silentLog } from "../../internal/base/log.js";
import { MetricsRegistry } from "../../internal/base/metrics.js";
import { seededRandom } from "../../internal/base/random.js";
import { sleep, type Clock } from "../../internal/base/clock.js";
import { Alarms } from "../../internal/controller/alarms.js";
import { controllerMetrics } from "../../internal/controller/metrics.js";
import type { Alarm } from "../../internal/core/feed/alarm.js";
import { CATCH_UP_MAX, nextFiring, type Schedule } from "../../internal/core/feed/schedule.js";
import { decideFire } from "../../internal/core/trigger/fire.js";
import { readCron } from "../../internal/cron/cron.js";
import { ManualClock } from "../harness/clock.js";
import { FeedTable } from "../harness/feed-table.js";

const seeds = process.env["SEED"]
  ? [Number(process.env["SEED"])]
  : Array.from({ length: Number(process.env["SEEDS"] ?? 30) }, (_, i) => i + 1);

const START = Date.UTC(2026, 0, 1);
const RULES = ["guest/r1", "guest/r2"];

/** How far wall clocks of controllers are apart, at most. */
const SKEW_MS = 300;

class SkewedClock implements Clock {
  constructor(
    private readonly clock: Clock,
    private readonly skewMs: number,
  ) {}

  wallMs(): number {
    return this.clock.wallMs() + this.skewMs;
  }

  monoMs(): number {
    return this.clock.monoMs();
  }

  after(ms: number, act: () => void): () => void {
    return this.clock.after(ms, act);
  }
}

class AlarmWorld {
  readonly clock = new ManualClock(START);
  readonly random;
  readonly started = new Map<string, number>();
  readonly table = new FeedTable((requests) => {
    for (const { id } of requests) this.started.set(id, (this.started.get(id) ?? 0) + 1);
  });
  /** By trigger, when it fired for what was due when. */
  readonly fired: { readonly trigger: string; readonly dueMs: number; readonly wallMs: number }[] = [];
  readonly controllers = new Map<string, Alarms>();
  faults = 0;
  #boots = 0;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  async alarm(trigger: string, schedule: Schedule): Promise<Alarm> {
    this.table.triggers.set(`guest/${trigger}`, new Set());
    return this.table.putAlarm(
      {
        namespace: "guest",
        trigger,
        id: Buffer.from(this.random.bytes(16)).toString("hex"),
        key: { uuid: "u", subject: "guest" },
        schedule,
        payloadJson: "{}",
        status: { active: true, changedWallMs: START },
        fired: 0,
        skips: 0,
        lastMs: undefined,
        nextMs: nextFiring(schedule, trigger, this.clock.wallMs(), readCron),
      },
      100,
    );
  }

  start(id: string): void {
    const boot = `${id}-${this.#boots++}`;
    const clock = new SkewedClock(this.clock, Math.round((this.random.next() - 0.5) * 2 * SKEW_MS));
    const alarms = new Alarms({
      feeds: {
        dueAlarms: (wallMs, limit) => this.#faulty(() => this.table.dueAlarms(wallMs, limit)),
        updateAlarm: (alarm) => this.#faulty(() => this.table.updateAlarm(alarm)),
        fireAlarm: (alarm, after, firing, owner) =>
          this.#faulty(async () => {
            const made = await this.table.fireAlarm(alarm, after, firing, owner);
            // The id of a firing begins with when it was due.
            if (made && firing) {
              const dueMs = Number.parseInt(firing.record.id.slice(0, 12), 16);
              this.fired.push({ trigger: alarm.trigger, dueMs, wallMs: this.clock.wallMs() });
            }
            return made;
          }),
      },
      keys: { check: () => Promise.resolve({ kind: "holds" }) },
      firings: {
        decide: async (namespace, name, firing, idOf) => {
          await this.#pause();
          const entity = { namespace, name, version: "0.0.1", publish: false, updatedWallMs: 0, revision: 1 };
          return decideFire(
            { ...entity, annotations: [], parameters: [] },
            RULES.map((rule) => ({ rule, action: "guest/a", active: true })),
            (link) => ({ kind: "found", id: idOf?.(link) ?? firing.id, providesKey: false, check: () => undefined }),
            firing,
          );
        },
        occupyAgain: () => undefined,
      },
      sealed: (requests) => requests,
      requests: { accept: (_requests, store) => store(boot) },
      readCron,
      clock,
      random: this.random,
      log: silentLog,
      metrics: controllerMetrics(new MetricsRegistry("controller")),
      fired: () => undefined,
    });
    alarms.start();
    this.controllers.set(id, alarms);
  }

  /** It ends in the middle of whatever it does; what it sent to the database may still arrive. */
  kill(id: string): void {
    this.controllers.get(id)?.stop();
    this.controllers.delete(id);
  }

  async run(ms: number): Promise<void> {
    await this.clock.elapse(ms);
  }

  async close(): Promise<void> {
    for (const id of [...this.controllers.keys()]) this.kill(id);
    await this.run(10_000);
  }

  /** Fails before or after it was done, or comes late. */
  async #faulty<T>(act: () => Promise<T>): Promise<T> {
    await this.#pause();
    const lost = new WeftError("unavailable", "STORE_UNAVAILABLE", "the connection was lost");
    const dice = this.random.next();
    if (dice < this.faults / 2) throw lost;
    const value = await act();
    if (dice < this.faults) throw lost;
    await this.#pause();
    return value;
  }

  async #pause(): Promise<void> {
    if (this.faults > 0 && this.random.next() < 0.3) await sleep(this.clock, 200 * this.random.next(), NEVER);
  }
}

const NEVER = new AbortController().signal;

const SCHEDULES: Readonly<Record<string, Schedule>> = {
  seconds: { kind: "cron", cron: "*/7 * * * * *" },
  minutes: { kind: "cron", cron: "* * * * *", strict: false },
  bounded: { kind: "cron", cron: "*/20 * * * * *", maxTriggers: 5 },
  stopped: { kind: "cron", cron: "*/10 * * * * *", stopDate: START + 95_000 },
  interval: { kind: "interval", minutes: 1, startDate: START + 12_345 },
  once: { kind: "once", date: START + 61_234 },
  gone: { kind: "once", date: START + 75_000, deleteAfterFire: "rules" },
};

/** Every time of a schedule in (from, until], as far as it goes. */
function expected(trigger: string, schedule: Schedule, from: number, until: number): number[] {
  const times: number[] = [];
  for (let at = nextFiring(schedule, trigger, from, readCron); at !== undefined && at <= until;) {
    times.push(at);
    at = nextFiring(schedule, trigger, at, readCron);
  }
  return schedule.kind === "cron" && schedule.maxTriggers !== undefined ? times.slice(0, schedule.maxTriggers) : times;
}

async function history(seed: number): Promise<AlarmWorld> {
  const world = new AlarmWorld(seed);
  for (const [trigger, schedule] of Object.entries(SCHEDULES)) await world.alarm(trigger, schedule);
  const { random } = world;
  for (const id of ["c1", "c2", "c3"]) if (random.next() < 0.8) world.start(id);
  world.faults = 0.2;
  for (let step = 0; step < 60; step++) {
    const id = `c${1 + Math.floor(random.next() * 3)}`;
    const dice = random.next();
    if (dice < 0.25) world.kill(id);
    else if (dice < 0.5 && !world.controllers.has(id)) world.start(id);
    await world.run(Math.round(4_000 * random.next()));
  }
  world.faults = 0;
  if (world.controllers.size === 0) world.start("c1");
  await world.run(60_000);
  return world;
}

describe("alarms under faults", () => {
  it.each(seeds)("fire once each, and none is missed (seed %i)", async (seed) => {
    const world = await history(seed);
    const until = world.clock.wallMs() - 2_000;
    for (const [trigger, schedule] of Object.entries(SCHEDULES)) {
      const fired = world.fired.filter((one) => one.trigger === trigger);
      const due = fired.map(({ dueMs }) => dueMs).filter((at) => at <= until);
      expect(due, trigger).toEqual(expected(trigger, schedule, START, until));
      for (const { dueMs, wallMs } of fired) expect(wallMs).toBeGreaterThanOrEqual(dueMs - SKEW_MS);
    }
    expect(world.started.size).toBe(world.fired.length * RULES.length);
    expect([...world.started.values()].every((times) => times === 1)).toBe(true);
    expect(new Set(world.table.records.map(({ id }) => id)).size).toBe(world.fired.length);
    await world.close();
    expect(world.clock.pending).toBe(0);
  });

  it("make up for an hour without controllers by the last of them", async () => {
    const world = new AlarmWorld(1);
    await world.alarm("seconds", { kind: "cron", cron: "*/7 * * * * *" });
    await world.alarm("minutes", { kind: "cron", cron: "*/5 * * * *" });
    await world.run(3_600_000);
    world.start("c1");
    await world.run(10_000);
    const of = (trigger: string): number[] =>
      world.fired.filter((one) => one.trigger === trigger).map(({ dueMs }) => dueMs);
    expect(of("minutes")).toEqual(
      expected("minutes", { kind: "cron", cron: "*/5 * * * *" }, START, world.clock.wallMs()),
    );
    const all = expected("seconds", { kind: "cron", cron: "*/7 * * * * *" }, START, world.clock.wallMs());
    const madeUpFor = of("seconds");
    expect(madeUpFor).toEqual(all.slice(-madeUpFor.length));
    expect(madeUpFor.length).toBeGreaterThanOrEqual(CATCH_UP_MAX);
    expect(madeUpFor.length).toBeLessThanOrEqual(CATCH_UP_MAX + 3);
    expect((await world.table.getAlarm("guest", "seconds")).skips).toBeGreaterThanOrEqual(1);
    await world.close();
  });
});
