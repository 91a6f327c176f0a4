// Rates that are not a namespace's own: so many in a window of time, as the documents of APIs state them. They hold for all
// gateways together, as the throttles do: each admits from its share. Windows begin at multiples of their length.
//
//   W1. A refused request counts as well: hammering does not help.
//   W2. Of several limits the request counts for each of them.

import { createHash } from "node:crypto";
import type { Clock } from "../../base/clock.js";
import type { QuotaAccount } from "./account.js";
import { RateShare, type BankPort, type Verdict } from "./share.js";

export interface WindowLimit {
  /** Most in a window. */
  readonly rate: number;
  /** Whole seconds. */
  readonly windowMs: number;
}

/** What rates are kept by. */
export interface Rates {
  /**
   * @param namespace whose API it is
   * @param key what is counted together in it
   * @returns why not, at once if that is known
   */
  admit(namespace: string, key: string, limits: readonly WindowLimit[]): Verdict | Promise<Verdict>;
}

/** Looked through for windows that are over when this many are there, and at every doubling. */
const SWEEP_AT = 4_096;
/** Callers choose no keys, but there may be many: beyond this the oldest are forgotten. The bank still knows what they used. */
const SHARES_MAX = 100_000;

export class WindowRates implements Rates {
  readonly #byKey = new Map<string, RateShare>();
  /** The same by what the bank calls them. */
  readonly #byAccount = new Map<string, RateShare>();
  #sweepAt = SWEEP_AT;

  constructor(
    private readonly bank: BankPort,
    private readonly clock: Clock,
  ) {}

  admit(namespace: string, key: string, limits: readonly WindowLimit[]): Verdict | Promise<Verdict> {
    let refused: Verdict;
    let asked: Promise<Verdict>[] | undefined;
    for (const { rate, windowMs } of limits) {
      const verdict = this.#share(namespace, key, windowMs).admit(rate); // W1, W2
      if (verdict instanceof Promise) (asked ??= []).push(verdict);
      else refused ??= verdict;
    }
    if (!asked) return refused;
    const atOnce = refused;
    return Promise.all(asked).then((late) => atOnce ?? late.find((one) => one !== undefined));
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** undefined: it was forgotten. */
  shareOf(account: QuotaAccount): RateShare | undefined {
    return this.#byAccount.get(nameOf(account));
  }

  get shares(): Iterable<RateShare> {
    return this.#byKey.values();
  }

  #share(namespace: string, key: string, windowMs: number): RateShare {
    const id = `${windowMs}\n${namespace}\n${key}`;
    const known = this.#byKey.get(id);
    if (known) return known;
    if (this.#byKey.size >= this.#sweepAt) this.#sweep();
    // Paths and ids of keys may be long, and schedulers need not know them.
    const window = { key: createHash("sha256").update(key).digest("base64url").slice(0, 22), windowMs };
    const made = new RateShare(namespace, "apiCalls", this.bank, this.clock, window);
    this.#byKey.set(id, made);
    this.#byAccount.set(nameOf({ namespace, window }), made);
    return made;
  }

  #sweep(): void {
    for (const [id, share] of this.#byKey) if (share.idle) this.#forget(id, share);
    if (this.#byKey.size >= SHARES_MAX) {
      // Half of them at once: one by one, each new one would look through all.
      for (const [id, share] of this.#byKey) {
        if (this.#byKey.size <= SHARES_MAX / 2) break;
        if (share.forgettable) this.#forget(id, share);
      }
    }
    this.#sweepAt = Math.max(SWEEP_AT, Math.min(SHARES_MAX, this.#byKey.size * 2), this.#byKey.size + 1);
  }

  #forget(id: string, share: RateShare): void {
    share.drop();
    this.#byKey.delete(id);
    this.#byAccount.delete(nameOf(share.account));
  }
}

function nameOf({ namespace, window }: Pick<QuotaAccount, "namespace" | "window">): string {
  return window ? `${window.windowMs}/${window.key}/${namespace}` : "";
}
