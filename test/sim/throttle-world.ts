// Several gateways that admit calls of some namespaces, and the scheduler's desk that hands out their shares, in
// simulated time.

import { silentLog } from "../../internal/base/log.js";
import { MetricsRegistry } from "../../internal/base/metrics.js";
import { seededRandom, type Random } from "../../internal/base/random.js";
import type { Member, MemberListener } from "../../internal/core/coordination/coordination.js";
import { minuteOf } from "../../internal/core/throttle/account.js";
import { Throttles, type SystemLimits, type Verdict } from "../../internal/core/throttle/throttle.js";
import type { WindowLimit } from "../../internal/core/throttle/window.js";
import type { NamespaceLimits } from "../../internal/core/tenancy/store.js";
import { QuotaLink } from "../../internal/dispatch/quota-link.js";
import { quotaLink } from "../../internal/rpc/link-methods.js";
import { schedulerMetrics } from "../../internal/scheduler/metrics.js";
import { QuotaDesk } from "../../internal/scheduler/quota-desk.js";
import { ManualClock } from "../harness/clock.js";
import { SimNetwork } from "./sim-network.js";

export interface SimGateway {
  readonly id: string;
  readonly bootId: string;
  readonly throttles: Throttles;
  readonly link: QuotaLink;
  alive: boolean;
}

interface Desk {
  readonly bootId: string;
  readonly desk: QuotaDesk;
  readonly stop: () => void;
}

const TICK_MS = 100;

export class ThrottleWorld {
  readonly clock = new ManualClock();
  readonly random: Random;
  readonly network: SimNetwork;
  readonly gateways = new Map<string, SimGateway>();
  /** Admitted invocations by namespace and minute. */
  readonly admitted = new Map<string, number>();
  readonly refused = new Map<string, number>();
  /** Places that are taken, of gateways that live. */
  readonly inFlight = new Map<string, number>();
  mostInFlight = 0;
  undecided = 0;
  #desk: Desk | undefined;
  #boots = 0;
  readonly #listeners = new Set<MemberListener>();

  constructor(
    seed: number,
    readonly limits: NamespaceLimits,
    readonly system: SystemLimits = {},
  ) {
    this.random = seededRandom(seed);
    this.network = new SimNetwork(this.clock, this.random);
  }

  startDesk(): void {
    const bootId = `desk#${++this.#boots}`;
    const desk = new QuotaDesk({
      clock: this.clock,
      log: silentLog,
      metrics: schedulerMetrics(new MetricsRegistry("scheduler")),
      commanding: () => true,
      owns: () => true,
      holders: () => [...this.gateways.values()].filter((one) => one.alive).map((one) => one.bootId),
    });
    this.network.serve(bootId, "desk:1", quotaLink, (link) => desk.serve(link));
    let cancel = (): void => {};
    const tick = (): void => {
      desk.tick();
      cancel = this.clock.after(TICK_MS, tick);
    };
    tick();
    this.#desk = { bootId, desk, stop: () => cancel() };
    this.#membersChanged();
    desk.tookOver();
  }

  killDesk(): void {
    if (!this.#desk) return;
    this.network.kill(this.#desk.bootId);
    this.#desk.stop();
    this.#desk = undefined;
    this.#membersChanged();
  }

  startGateway(id: string): void {
    const bootId = `${id}#${++this.#boots}`;
    const throttles = new Throttles(this.clock, this.system);
    const link = new QuotaLink({
      id,
      bootId,
      role: "gateway",
      throttles,
      network: this.network.of(bootId),
      coordination: {
        watchMembers: (listener) => {
          this.#listeners.add(listener);
          listener.members(this.#members());
        },
      },
      clock: this.clock,
      random: this.random,
      log: silentLog,
    });
    this.gateways.set(id, { id, bootId, throttles, link, alive: true });
    link.start();
    this.#membersChanged();
  }

  /** It dies with what it has; its calls end with it. */
  killGateway(id: string): void {
    const gateway = this.gateways.get(id);
    if (!gateway) return;
    gateway.alive = false;
    this.network.kill(gateway.bootId);
    gateway.link.close();
    this.gateways.delete(id);
    this.#membersChanged();
  }

  /** A call; it keeps its place for `tookMs`. */
  call(id: string, namespace: string, tookMs: number): void {
    const gateway = this.gateways.get(id);
    if (!gateway) return;
    const throttle = gateway.throttles.of(namespace);
    this.undecided += 1;
    const told = (verdict: Verdict): void => {
      this.undecided -= 1;
      if (!gateway.alive) return;
      const minute = `${namespace}/${minuteOf(this.clock.wallMs())}`;
      if (verdict) {
        this.refused.set(minute, (this.refused.get(minute) ?? 0) + 1);
        return;
      }
      this.admitted.set(minute, (this.admitted.get(minute) ?? 0) + 1);
      const now = (this.inFlight.get(namespace) ?? 0) + 1;
      this.inFlight.set(namespace, now);
      this.mostInFlight = Math.max(this.mostInFlight, now);
      this.clock.after(tookMs, () => {
        if (gateway.alive) throttle.release(tookMs);
        this.inFlight.set(namespace, (this.inFlight.get(namespace) ?? 0) - 1);
      });
    };
    const verdict = throttle.admitInvocation(this.limits);
    if (verdict instanceof Promise) void verdict.then(told);
    else told(verdict);
  }

  /** A call of an API. It counts in `admitted` and `refused` by window. */
  apiCall(id: string, key: string, limit: WindowLimit): void {
    const gateway = this.gateways.get(id);
    if (!gateway) return;
    this.undecided += 1;
    const told = (verdict: Verdict): void => {
      this.undecided -= 1;
      if (!gateway.alive) return;
      const counts = verdict ? this.refused : this.admitted;
      const window = `${key}/${Math.floor(this.clock.wallMs() / limit.windowMs)}`;
      counts.set(window, (counts.get(window) ?? 0) + 1);
    };
    const verdict = gateway.throttles.rates.admit("ns", key, [limit]);
    if (verdict instanceof Promise) void verdict.then(told);
    else told(verdict);
  }

  /** To the beginning of the next minute. */
  async nextMinute(): Promise<void> {
    await this.clock.elapse(60_000 - (this.clock.wallMs() % 60_000));
  }

  close(): void {
    for (const id of [...this.gateways.keys()]) this.killGateway(id);
    this.killDesk();
  }

  #members(): readonly Member[] {
    const gateways = [...this.gateways.values()].filter((one) => one.alive);
    const member = (role: Member["role"], id: string, bootId: string): Member => ({
      role,
      id,
      bootId,
      address: `${id}:1`,
      zone: "",
      wireVersion: 1,
    });
    return [
      ...(this.#desk ? [member("scheduler", "desk", this.#desk.bootId)] : []),
      ...gateways.map(({ id, bootId }) => member("gateway", id, bootId)),
    ];
  }

  #membersChanged(): void {
    for (const listener of this.#listeners) listener.members(this.#members());
  }
}
