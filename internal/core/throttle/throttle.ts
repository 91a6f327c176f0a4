// Throttles of a namespace as OpenWhisk's users know them: rates per calendar minute, and a bound on what is in flight.
// The limits hold for all gateways and controllers together: each admits calls from its share.
//
//   T1. A refused request is counted as well: hammering does not help.
//   T2. What was admitted with admitInvocation or admitPlace is in flight until its one release.
//   T3. What the namespace may, the limits of the whole installation may still refuse; then it has no place. What a
//       namespace is refused does not count there.

import type { Clock } from "../../base/clock.js";
import type { NamespaceLimits } from "../tenancy/store.js";
import { ALL_NAMESPACES, type Holding, type QuotaAccount, type QuotaKind } from "./account.js";
import { PlaceShare, RateShare, type BankPort, type Denial, type Share, type Verdict } from "./share.js";
import { WindowRates } from "./window.js";

export { CONCURRENCY_LIMIT, RATE_LIMIT, SYSTEM_CONCURRENCY_LIMIT, SYSTEM_RATE_LIMIT, type Verdict } from "./share.js";

/** Limits of all namespaces together; undefined for none. */
export interface SystemLimits {
  readonly invocationsPerMinute?: number | undefined;
  readonly concurrentInvocations?: number | undefined;
}

export class NamespaceThrottle {
  readonly #invocations: RateShare;
  readonly #fires: RateShare;
  readonly #places: PlaceShare;

  constructor(
    namespace: string,
    bank: BankPort,
    clock: Clock,
    private readonly system: SystemThrottle | undefined,
  ) {
    this.#invocations = new RateShare(namespace, "invocations", bank, clock);
    this.#fires = new RateShare(namespace, "fires", bank, clock);
    this.#places = new PlaceShare(namespace, bank, clock);
  }

  get inFlight(): number {
    return this.#places.inFlight;
  }

  /** One of a minute's invocations, and a place until `release` (T2). @returns why not, at once if that is known */
  admitInvocation(limits: NamespaceLimits): Verdict | Promise<Verdict> {
    const verdict = this.#admitOwn(limits);
    const { system } = this;
    return system ? then(verdict, () => this.#orFree(system.admitInvocation())) : verdict;
  }

  #admitOwn(limits: NamespaceLimits): Verdict | Promise<Verdict> {
    const refused = this.#invocations.admit(limits.invocationsPerMinute);
    if (!refused) return this.#places.admit(limits.concurrentInvocations);
    if (!(refused instanceof Promise)) return refused;
    this.#places.warm(limits.concurrentInvocations);
    return refused.then((verdict) => verdict ?? this.#places.admit(limits.concurrentInvocations));
  }

  /** One of a minute's invocations, without a place: whoever runs it takes that. */
  admitRate(limits: NamespaceLimits): Verdict | Promise<Verdict> {
    const { system } = this;
    const verdict = this.#invocations.admit(limits.invocationsPerMinute);
    return system ? then(verdict, () => system.admitRate()) : verdict;
  }

  /** A place until `release` (T2). */
  admitPlace(limits: NamespaceLimits): Verdict | Promise<Verdict> {
    const { system } = this;
    const verdict = this.#places.admit(limits.concurrentInvocations);
    return system ? then(verdict, () => this.#orFree(system.admitPlace())) : verdict;
  }

  admitFire(limits: NamespaceLimits): Verdict | Promise<Verdict> {
    return this.#fires.admit(limits.firesPerMinute);
  }

  /** A place, whatever the limit says, until `release`: of what was admitted by somebody who is gone. */
  occupy(): void {
    this.#places.occupy();
    this.system?.occupy();
  }

  /** @param tookMs how long the activation took, when it ran: from it is guessed when the next place is free */
  release(tookMs?: number): void {
    this.#places.release(tookMs);
    this.system?.release(tookMs);
  }

  /** T3 */
  #orFree(verdict: Verdict | Promise<Verdict>): Verdict | Promise<Verdict> {
    if (verdict instanceof Promise) return verdict.then((late) => this.#orFree(late));
    if (verdict) this.#places.release();
    return verdict;
  }

  /** True when forgetting it changes nothing. */
  get idle(): boolean {
    return this.#places.idle && this.#invocations.idle && this.#fires.idle;
  }

  /** Gives its places back, before it is forgotten. */
  drop(): void {
    this.#places.drop();
  }

  share(kind: Exclude<QuotaKind, "apiCalls">): Share {
    switch (kind) {
      case "invocations":
        return this.#invocations;
      case "fires":
        return this.#fires;
      case "places":
        return this.#places;
    }
  }

  get shares(): readonly Share[] {
    return [this.#invocations, this.#fires, this.#places];
  }
}

/** What all namespaces together may. */
class SystemThrottle {
  readonly rate: RateShare;
  readonly places: PlaceShare;

  constructor(
    private readonly limits: SystemLimits,
    bank: BankPort,
    clock: Clock,
  ) {
    this.rate = new RateShare(ALL_NAMESPACES, "invocations", bank, clock);
    this.places = new PlaceShare(ALL_NAMESPACES, bank, clock);
  }

  admitInvocation(): Verdict | Promise<Verdict> {
    return then(this.admitRate(), () => this.admitPlace());
  }

  admitRate(): Verdict | Promise<Verdict> {
    const { invocationsPerMinute } = this.limits;
    return invocationsPerMinute === undefined ? undefined : this.rate.admit(invocationsPerMinute);
  }

  admitPlace(): Verdict | Promise<Verdict> {
    const { concurrentInvocations } = this.limits;
    return concurrentInvocations === undefined ? undefined : this.places.admit(concurrentInvocations);
  }

  occupy(): void {
    if (this.limits.concurrentInvocations !== undefined) this.places.occupy();
  }

  release(tookMs: number | undefined): void {
    if (this.limits.concurrentInvocations !== undefined) this.places.release(tookMs);
  }
}

/** The next verdict, when this one admits. */
function then(verdict: Verdict | Promise<Verdict>, next: () => Verdict | Promise<Verdict>): Verdict | Promise<Verdict> {
  if (verdict === undefined) return next();
  return verdict instanceof Promise ? verdict.then((late) => late ?? next()) : verdict;
}

/** Looked through for idle ones when this many are there, and at every doubling. */
const SWEEP_AT = 1_024;

/** One who admits calls and is alone: what is admitted is bounded by the limits themselves. */
const NOBODY: BankPort = {
  waitMs: () => 0,
  holders: () => 1,
  want: () => undefined,
  giveBack: () => undefined,
  taken: () => undefined,
  silent: () => undefined,
};

/** The throttles of all namespaces that lately did something. */
export class Throttles {
  readonly #byNamespace = new Map<string, NamespaceThrottle>();
  #sweepAt = SWEEP_AT;
  #port = NOBODY;
  /** What shares are given: the port may be set later. */
  readonly #bank: BankPort = {
    waitMs: () => this.#port.waitMs(),
    holders: () => this.#port.holders(),
    want: (account, limit, permits, urgent) => this.#port.want(account, limit, permits, urgent),
    giveBack: (account, permits, recalled) => this.#port.giveBack(account, permits, recalled),
    taken: (account, permits) => this.#port.taken(account, permits),
    silent: () => this.#port.silent(),
  };

  /** Of APIs. */
  readonly rates: WindowRates;

  readonly #system: SystemThrottle | undefined;

  constructor(
    private readonly clock: Clock,
    system: SystemLimits = {},
  ) {
    this.rates = new WindowRates(this.#bank, clock);
    const limited = system.invocationsPerMinute !== undefined || system.concurrentInvocations !== undefined;
    this.#system = limited ? new SystemThrottle(system, this.#bank, clock) : undefined;
  }

  /** Says how the bank is asked; before, nobody is. */
  connect(port: BankPort): void {
    this.#port = port;
  }

  of(namespace: string): NamespaceThrottle {
    const known = this.#byNamespace.get(namespace);
    if (known) return known;
    if (this.#byNamespace.size >= this.#sweepAt) this.#sweep();
    const made = new NamespaceThrottle(namespace, this.#bank, this.clock, this.#system);
    this.#byNamespace.set(namespace, made);
    return made;
  }

  get size(): number {
    return this.#byNamespace.size;
  }

  // ---- what the bank says ----

  granted(account: QuotaAccount, permits: number): void {
    // One that was forgotten needs none: what comes too late for it goes back.
    const share = this.#shareOf(account);
    if (share) share.grant(account.minute, permits);
    else this.#port.giveBack(account, permits, false);
  }

  denied(account: QuotaAccount, denial: Denial): void {
    this.#shareOf(account)?.denial(account.minute, denial);
  }

  recalled(account: QuotaAccount): void {
    const share = this.#shareOf(account);
    if (share) share.recall(account.minute);
    else this.#port.giveBack(account, 0, true);
  }

  /** Everything that is held, for a bank that may not know of it. */
  held(): Holding[] {
    return [...this.#shares()].flatMap((share) => share.held());
  }

  /** The bank can be asked, after it was told what is held. */
  linked(): void {
    for (const share of this.#shares()) share.asksAnew();
  }

  /** Gives back all that is not used: whoever admitted from it admits no more. */
  drop(): void {
    for (const share of this.#shares()) share.drop();
  }

  #shareOf(account: QuotaAccount): Share | undefined {
    if (account.kind === "apiCalls") return this.rates.shareOf(account);
    if (account.namespace === ALL_NAMESPACES) {
      return account.kind === "places" ? this.#system?.places : this.#system?.rate;
    }
    return this.#byNamespace.get(account.namespace)?.share(account.kind);
  }

  *#shares(): Generator<Share> {
    for (const { shares } of this.#byNamespace.values()) yield* shares;
    if (this.#system) yield* [this.#system.rate, this.#system.places];
    yield* this.rates.shares;
  }

  #sweep(): void {
    for (const [namespace, throttle] of this.#byNamespace) {
      if (!throttle.idle) continue;
      throttle.drop();
      this.#byNamespace.delete(namespace);
    }
    this.#sweepAt = Math.max(SWEEP_AT, this.#byNamespace.size * 2);
  }
}
