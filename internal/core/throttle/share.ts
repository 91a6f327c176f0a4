// What one holder has of a namespace's limits. Calls are admitted from it at once; when it runs short, the bank is asked
// while the call waits. See QuotaBank.
//
//   H1. At most what was granted is in use, but for what is taken without asking, and while nobody can be asked: then a
//       holder takes no more than an even share of the limit, or what it has if that is more.
//   H2. A call waits for at most ASK_MS, and is told then.
//   H3. One question is open at a time for an account, so that an answer is always to the last one.

import type { Clock } from "../../base/clock.js";
import { WeftError } from "../../base/errors.js";
import {
  ALL_NAMESPACES,
  MINUTE_MS,
  type Holding,
  type QuotaAccount,
  type QuotaKind,
  type RateWindow,
} from "./account.js";

/** Reasons of refusals. */
export const RATE_LIMIT = "RATE_LIMIT";
export const CONCURRENCY_LIMIT = "CONCURRENCY_LIMIT";
export const API_RATE_LIMIT = "API_RATE_LIMIT";
/** Of the limits of the whole installation. */
export const SYSTEM_RATE_LIMIT = "SYSTEM_RATE_LIMIT";
export const SYSTEM_CONCURRENCY_LIMIT = "SYSTEM_CONCURRENCY_LIMIT";

/** How long a call waits for permits. The bank answers in a millisecond; one that has just taken over, in a second. */
export const ASK_MS = 1_500;
/** After a denial that may not hold for long, calls are refused without asking again for so long. */
export const DENIED_MS = 20;
/** After a denial of what was asked for in advance. */
const QUIET_MS = 250;
/** Permits of the next minute are asked for when this one has so long to go; of a shorter window, this part of it. */
const AHEAD_MS = 5_000;
const AHEAD_PART = 8;
/** Calls that wait for permits at once; more of them are refused. */
const WAITING_MAX = 1_000;
/** When a place is free is guessed from how long calls take; before any has ended, and at least. */
const PLACE_RETRY_MS = 100;
/** Weight of the newest call in the mean time of calls. */
const TOOK_WEIGHT = 0.1;

/** How the bank is asked. */
export interface BankPort {
  /** How long it is worth to wait for an answer now; 0: nobody can be asked. */
  waitMs(): number;
  /** Among how many the limit is shared when nobody can be asked. */
  holders(): number;
  want(account: QuotaAccount, limit: number, permits: number, urgent: boolean): void;
  giveBack(account: QuotaAccount, permits: number, recalled: boolean): void;
  taken(account: QuotaAccount, permits: number): void;
  /** It did not answer in time. */
  silent(): void;
}

/** undefined: admitted. */
export type Verdict = WeftError | undefined;

/** The answer to a want. */
export interface Denial {
  readonly spent: boolean;
  /** Of that want. */
  readonly urgent: boolean;
}

interface Waiter {
  readonly limit: number;
  readonly resolve: (verdict: Verdict) => void;
}

export abstract class Share {
  protected granted = 0;
  /** In this minute; of places, in flight. */
  protected used = 0;
  /** Below so many unused ones, more are asked for in advance. */
  #low = 0;
  #asking: "no" | "quietly" | "urgently" = "no";
  #quietUntilMonoMs = -Infinity;
  #deniedUntilMonoMs = -Infinity;
  readonly #waiting: Waiter[] = [];
  #cancelTimer: (() => void) | undefined;

  constructor(
    protected readonly namespace: string,
    protected readonly bank: BankPort,
    protected readonly clock: Clock,
  ) {}

  abstract get account(): QuotaAccount;
  protected abstract refusal(limit: number): WeftError;

  /** Takes a permit, if there is one, or tells later. */
  admit(limit: number): Verdict | Promise<Verdict> {
    if (this.#take(limit)) return undefined;
    // As many as there may be are in use here alone.
    if (this.used >= limit || this.denied(limit)) return this.refusal(limit);
    const waitMs = this.bank.waitMs();
    if (waitMs <= 0) return this.#alone(limit);
    if (this.#waiting.length >= WAITING_MAX) return this.refusal(limit);
    return new Promise((resolve) => {
      this.#waiting.push({ limit, resolve });
      this.#cancelTimer ??= this.clock.after(waitMs, () => this.#expired());
      this.#ask();
    });
  }

  /** Asks in advance for an account that was not used yet. */
  warm(limit: number): void {
    if (this.granted === 0) this.#quietly(limit);
  }

  /** Gives back all that is not used. */
  abstract drop(): void;

  /** For the report to a bank that may not know of it. */
  held(): Holding[] {
    return this.granted === 0 ? [] : [{ account: this.account, permits: this.granted }];
  }

  grant(_minute: number, permits: number): void {
    this.granted += permits;
    this.#asking = "no";
    this.#deniedUntilMonoMs = -Infinity;
    this.#low = permits >>> 1;
    this.serve();
    this.#ask();
  }

  denial(_minute: number, { urgent }: Denial): void {
    const now = this.clock.monoMs();
    if (urgent !== (this.#asking === "urgently")) return; // to a question that is not open any more
    this.#asking = "no";
    if (!urgent) {
      this.#quietUntilMonoMs = now + QUIET_MS;
      this.#ask();
      return;
    }
    this.#deniedUntilMonoMs = now + DENIED_MS;
    this.#tellAll((limit) => this.refusal(limit));
  }

  recall(_minute: number): void {
    const unused = Math.max(0, this.granted - this.used);
    this.granted -= unused;
    this.#low = 0;
    this.bank.giveBack(this.account, unused, true);
  }

  /** A new link to the bank: what was asked on the old one is not answered any more. */
  asksAnew(): void {
    this.#asking = "no";
    this.#ask();
  }

  /** True when nobody waits. */
  protected get quiet(): boolean {
    return this.#waiting.length === 0;
  }

  protected denied(_limit: number): boolean {
    return this.clock.monoMs() < this.#deniedUntilMonoMs;
  }

  /** What was granted before does not count any more. */
  protected renew(granted: number): void {
    this.granted = granted;
    this.used = 0;
    this.#low = granted >>> 1;
    this.#asking = "no";
    this.#quietUntilMonoMs = -Infinity;
    this.#deniedUntilMonoMs = -Infinity;
    if (this.quiet) return;
    this.serve();
    this.#ask();
  }

  /** Gives what is free to those who wait. */
  protected serve(): void {
    for (let first = this.#waiting[0]; first; first = this.#waiting[0]) {
      if (this.used >= this.granted || this.used >= first.limit) return;
      this.used += 1;
      this.#waiting.shift();
      first.resolve(undefined);
    }
    this.#stopTimer();
  }

  /** Takes a permit, granted or not. */
  protected takeAnyway(): void {
    this.used += 1;
    if (this.used <= this.granted) return;
    this.granted = this.used;
    this.bank.taken(this.account, 1);
  }

  /** Brings the account up to now. */
  protected turn(): void {}

  #take(limit: number): boolean {
    this.turn();
    const left = this.granted - this.used;
    if (left <= 0 || this.used >= limit || this.#waiting.length > 0) return false;
    this.used += 1;
    if (left <= this.#low && this.granted < limit) this.#quietly(limit);
    return true;
  }

  /** H1 */
  #alone(limit: number): Verdict {
    if (this.used >= Math.max(this.granted, Math.ceil(limit / Math.max(1, this.bank.holders())))) {
      return this.refusal(limit);
    }
    this.takeAnyway();
    return undefined;
  }

  #expired(): void {
    this.#cancelTimer = undefined;
    this.bank.silent();
    this.turn();
    this.#tellAll((limit) => this.#alone(limit)); // H2
  }

  #tellAll(verdict: (limit: number) => Verdict): void {
    for (const { limit, resolve } of this.#waiting.splice(0)) resolve(verdict(limit));
    this.#stopTimer();
  }

  #stopTimer(): void {
    if (this.#waiting.length > 0) return;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #ask(): void {
    const last = this.#waiting.at(-1);
    if (!last || this.#asking !== "no") return; // H3
    this.#asking = "urgently";
    this.bank.want(this.account, last.limit, this.#waiting.length, true);
  }

  #quietly(limit: number): void {
    if (this.#asking !== "no" || this.clock.monoMs() < this.#quietUntilMonoMs || this.bank.waitMs() <= 0) return;
    this.#asking = "quietly";
    this.bank.want(this.account, limit, 1, false);
  }
}

/** Permits of a calendar minute, or of a window: what is used is used. */
export class RateShare extends Share {
  #minute = -1;
  #aheadAtWallMs = 0;
  #next = 0;
  #refused = 0;
  /** The limit of which the bank said that nothing is left in this minute. */
  #spent: number | undefined;
  #limit = 0;
  readonly #windowMs: number;

  constructor(
    namespace: string,
    private readonly kind: QuotaKind,
    bank: BankPort,
    clock: Clock,
    private readonly window?: RateWindow,
  ) {
    super(namespace, bank, clock);
    this.#windowMs = window?.windowMs ?? MINUTE_MS;
  }

  override admit(limit: number): Verdict | Promise<Verdict> {
    this.#limit = limit;
    return super.admit(limit);
  }

  /** True when nobody waits for what it is given. */
  get forgettable(): boolean {
    return this.quiet;
  }

  /** True when forgetting it changes nothing. */
  get idle(): boolean {
    return this.quiet && this.#now() !== this.#minute;
  }

  /** What is used stays with the bank. */
  override drop(): void {
    for (const { account, permits } of this.held()) {
      const unused = account.minute === this.#minute ? Math.max(0, permits - this.used) : permits;
      if (unused > 0) this.bank.giveBack(account, unused, false);
    }
    this.granted = Math.min(this.granted, this.used);
    this.#next = 0;
  }

  override held(): Holding[] {
    this.turn();
    const next = this.#next === 0 ? [] : [{ account: this.#accountOf(this.#minute + 1), permits: this.#next }];
    return [...super.held(), ...next];
  }

  override grant(minute: number, permits: number): void {
    this.turn();
    if (minute === this.#minute) super.grant(minute, permits);
    else if (minute === this.#minute + 1) this.#next += permits;
    // What is older is worth nothing any more.
  }

  override denial(minute: number, denial: Denial): void {
    this.turn();
    if (minute !== this.#minute) return;
    if (denial.spent) this.#spent = this.#limit;
    super.denial(minute, denial);
  }

  override recall(minute: number): void {
    this.turn();
    if (minute === this.#minute) {
      super.recall(minute);
      return;
    }
    const next = minute === this.#minute + 1 ? this.#next : 0;
    if (next > 0) this.#next = 0;
    this.bank.giveBack(this.#accountOf(minute), next, true);
  }

  override get account(): QuotaAccount {
    return this.#accountOf(this.#minute);
  }

  protected override denied(limit: number): boolean {
    return this.#spent === limit || super.denied(limit);
  }

  /** Refused requests are counted as well: hammering does not help. */
  protected override refusal(limit: number): WeftError {
    this.#refused += 1;
    const counted = `count: ${limit + this.#refused}, allowed: ${limit}`;
    const retryAfterMs = Math.max(1, Math.ceil((this.#minute + 1) * this.#windowMs - this.clock.wallMs()));
    if (this.namespace === ALL_NAMESPACES) {
      // Not the caller's doing, and he is not told how much others do.
      const message = "the system is overloaded: there are too many requests in this minute";
      return new WeftError("noCapacity", SYSTEM_RATE_LIMIT, message, { retryAfterMs });
    }
    if (!this.window) {
      const message = `too many requests in the last minute (${counted})`;
      return new WeftError("throttled", RATE_LIMIT, message, { retryAfterMs });
    }
    const message = `too many requests to this API (${counted} in ${this.#windowMs / 1_000} s)`;
    return new WeftError("throttled", API_RATE_LIMIT, message, { retryAfterMs });
  }

  #accountOf(minute: number): QuotaAccount {
    const { namespace, kind, window } = this;
    return window ? { namespace, kind, minute, window } : { namespace, kind, minute };
  }

  #now(): number {
    return Math.floor(this.clock.wallMs() / this.#windowMs);
  }

  protected override turn(): void {
    const wallMs = this.clock.wallMs();
    const minute = Math.floor(wallMs / this.#windowMs);
    if (minute !== this.#minute) {
      const next = minute === this.#minute + 1 ? this.#next : 0;
      this.#minute = minute;
      this.#aheadAtWallMs = (minute + 1) * this.#windowMs - Math.min(AHEAD_MS, this.#windowMs / AHEAD_PART);
      this.#next = 0;
      this.#refused = 0;
      this.#spent = undefined;
      this.renew(next);
    } else if (wallMs >= this.#aheadAtWallMs && this.used > 0) {
      this.#aheadAtWallMs = Infinity;
      if (this.bank.waitMs() <= 0) return;
      // So that the first calls of the minute find some.
      this.bank.want({ ...this.account, minute: minute + 1 }, this.#limit, 1, false);
    }
  }
}

/** Permits of activations in flight: they come back. */
export class PlaceShare extends Share {
  #tookMs: number | undefined;

  get inFlight(): number {
    return this.used;
  }

  /** @param tookMs how long it was used, when that says something of others */
  release(tookMs?: number): void {
    this.used -= 1;
    if (tookMs !== undefined) this.#tookMs = (this.#tookMs ?? tookMs) * (1 - TOOK_WEIGHT) + tookMs * TOOK_WEIGHT;
    if (!this.quiet) this.serve();
  }

  /** For what is in flight whatever the limit says. */
  occupy(): void {
    this.takeAnyway();
  }

  get idle(): boolean {
    return this.quiet && this.used === 0;
  }

  override drop(): void {
    const unused = this.granted - this.used;
    if (unused <= 0) return;
    this.granted -= unused;
    this.bank.giveBack(this.account, unused, false);
  }

  override get account(): QuotaAccount {
    return { namespace: this.namespace, kind: "places", minute: 0 };
  }

  protected override refusal(limit: number): WeftError {
    const count = Math.max(limit, this.used);
    // Of as many calls as are in flight, one ends in this part of the time that each takes.
    const guessedMs = this.#tookMs === undefined ? PLACE_RETRY_MS : this.#tookMs / Math.max(1, count);
    const retryAfterMs = Math.max(1, Math.round(guessedMs));
    if (this.namespace === ALL_NAMESPACES) {
      const message = "the system is overloaded: there are too many requests in flight";
      return new WeftError("noCapacity", SYSTEM_CONCURRENCY_LIMIT, message, { retryAfterMs });
    }
    const message = `too many concurrent requests in flight (count: ${count}, allowed: ${limit})`;
    return new WeftError("throttled", CONCURRENCY_LIMIT, message, { retryAfterMs });
  }
}
