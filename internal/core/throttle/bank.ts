// The one who hands out permits of a namespace's limits, to all who admit calls.
//
//   K1. The permits of an account that holders have are never more than its limit, but for those that were taken without
//       asking, and when the limit was lowered.
//   K2. A call that waits is denied only when no other holder has a permit that it does not use, as each of them said
//       after it was asked; or when one of them did not answer in time.
//   K3. What a holder has is its own until it gives it back or is gone. A rate's permits of one that is gone count as
//       used, since nobody knows; places are free.
//   K4. Nothing is handed out before those who held something under the bank before have told of it, or had time to.

import { MINUTE_MS, windowMsOf, type Holding, type QuotaAccount } from "./account.js";

/** A holder whose link broke keeps its places for so long: it comes back, or its calls are at their end. */
export const GONE_MS = 10_000;
/** A holder that is asked for what it does not use answers at once; one that takes longer is not waited for. */
export const RECALL_MS = 200;

/**
 * Nobody is given more at once than this part of a limit, unless he has calls for more: what is with a gateway that dies is
 * lost for the minute. So a busy gateway asks so many times a minute; of longer windows too.
 */
const CHUNKS = 16;

/** An account whose window is over is kept as long again, within these: clocks differ, and the next one looks at who shared it. */
const KEPT_MS_MIN = 5_000;
const KEPT_MS_MAX = MINUTE_MS;

export type BankEvent =
  | { readonly kind: "hello"; readonly holderId: string; readonly bootId: string }
  /** All that it has; what is not named it has not. */
  | { readonly kind: "held"; readonly bootId: string; readonly holdings: readonly Holding[] }
  | {
      readonly kind: "want";
      readonly bootId: string;
      readonly account: QuotaAccount;
      readonly limit: number;
      readonly permits: number;
      /** A call waits. */
      readonly urgent: boolean;
    }
  | {
      readonly kind: "returned";
      readonly bootId: string;
      readonly account: QuotaAccount;
      readonly permits: number;
      /** In answer to a recall. */
      readonly recalled: boolean;
    }
  | { readonly kind: "taken"; readonly bootId: string; readonly account: QuotaAccount; readonly permits: number }
  /** Its link broke. */
  | { readonly kind: "away"; readonly bootId: string }
  /** Everybody who may hold something has told of it, or had time to (K4). */
  | { readonly kind: "open" }
  /** Every now and then. */
  | { readonly kind: "tick" };

export type BankCommand =
  | { readonly kind: "grant"; readonly bootId: string; readonly account: QuotaAccount; readonly permits: number }
  /** `spent`: there will be none before the minute is over, unless the limit is raised. */
  | {
      readonly kind: "denial";
      readonly bootId: string;
      readonly account: QuotaAccount;
      readonly spent: boolean;
      /** As the want was. */
      readonly urgent: boolean;
    }
  | { readonly kind: "recall"; readonly bootId: string; readonly account: QuotaAccount };

interface Holder {
  readonly holderId: string;
  awaySinceMonoMs: number | undefined;
}

interface Part {
  permits: number;
  /** Rates: it said that it uses all of them, and was given none since. */
  used: boolean;
  /** How often it was given some. */
  grants: number;
}

interface Ask {
  permits: number;
  urgent: boolean;
}

interface Ledger {
  readonly account: QuotaAccount;
  limit: number;
  readonly parts: Map<string, Part>;
  readonly asks: Map<string, Ask>;
  /** Who was asked for what it does not use and did not answer yet, with its grants at that time; undefined: nobody. */
  recall: { readonly open: Map<string, number>; readonly sinceMonoMs: number } | undefined;
}

export class QuotaBank {
  readonly #holders = new Map<string, Holder>();
  readonly #ledgers = new Map<string, Ledger>();
  #open = false;
  #commands: BankCommand[] = [];

  /** @returns what is to be told, in this order */
  apply(event: BankEvent, monoMs: number, wallMs: number): readonly BankCommand[] {
    switch (event.kind) {
      case "hello":
        this.#hello(event.holderId, event.bootId, monoMs);
        break;
      case "held":
        this.#held(event.bootId, event.holdings, monoMs);
        break;
      case "want":
        this.#want(event, monoMs);
        break;
      case "returned":
        this.#returned(event, monoMs);
        break;
      case "taken":
        this.#partOf(this.#ledgerOf(event.account), event.bootId).permits += event.permits;
        break;
      case "away":
        this.#away(event.bootId, monoMs);
        break;
      case "open":
        this.#open = true;
        for (const ledger of this.#ledgers.values()) this.#settle(ledger, monoMs);
        break;
      case "tick":
        this.#tick(monoMs, wallMs);
        break;
    }
    const commands = this.#commands;
    this.#commands = [];
    return commands;
  }

  /** K4 */
  get open(): boolean {
    return this.#open;
  }

  /** Of an account: what holders have in all. */
  handedOut(account: QuotaAccount): number {
    const ledger = this.#ledgers.get(keyOf(account));
    return ledger ? sumOf(ledger) : 0;
  }

  get accounts(): number {
    return this.#ledgers.size;
  }

  /** For whoever looks at this process: the accounts of which the most is handed out. */
  debug(): unknown {
    return {
      open: this.#open,
      holders: [...this.#holders].map(([bootId, { holderId, awaySinceMonoMs }]) => ({
        holderId,
        bootId,
        away: awaySinceMonoMs !== undefined,
      })),
      accounts: [...this.#ledgers.values()].slice(-100).map(({ account, limit, parts, asks }) => ({
        ...account,
        limit,
        parts: Object.fromEntries([...parts].map(([bootId, { permits }]) => [bootId, permits])),
        asks: asks.size,
      })),
    };
  }

  #hello(holderId: string, bootId: string, monoMs: number): void {
    for (const [oldBootId, holder] of this.#holders) {
      if (holder.holderId === holderId && oldBootId !== bootId) this.#gone(oldBootId, monoMs);
    }
    this.#holders.set(bootId, { holderId, awaySinceMonoMs: undefined });
  }

  #held(bootId: string, holdings: readonly Holding[], monoMs: number): void {
    for (const ledger of this.#ledgers.values()) {
      ledger.asks.delete(bootId);
      ledger.recall?.open.delete(bootId);
      ledger.parts.delete(bootId);
    }
    for (const { account, permits } of holdings) this.#partOf(this.#ledgerOf(account), bootId).permits = permits;
    for (const ledger of this.#ledgers.values()) this.#settle(ledger, monoMs);
  }

  #want({ bootId, account, limit, permits, urgent }: BankEvent & { readonly kind: "want" }, monoMs: number): void {
    const ledger = this.#ledgerOf(account);
    ledger.limit = limit;
    this.#partOf(ledger, bootId);
    ledger.asks.set(bootId, { permits: Math.max(1, permits), urgent });
    this.#settle(ledger, monoMs);
  }

  #returned({ bootId, account, permits, recalled }: BankEvent & { readonly kind: "returned" }, monoMs: number): void {
    const ledger = this.#ledgers.get(keyOf(account));
    const part = ledger?.parts.get(bootId);
    if (!ledger || !part) return;
    part.permits = Math.max(0, part.permits - permits);
    if (recalled) {
      const grants = ledger.recall?.open.get(bootId);
      // What it was given after it was asked, it did not speak of; and places come back.
      if (grants !== undefined && account.kind !== "places") part.used = grants === part.grants;
      ledger.recall?.open.delete(bootId);
    }
    this.#settle(ledger, monoMs);
  }

  #away(bootId: string, monoMs: number): void {
    const holder = this.#holders.get(bootId);
    if (!holder) return;
    holder.awaySinceMonoMs = monoMs;
    for (const ledger of this.#ledgers.values()) {
      ledger.asks.delete(bootId);
      if (ledger.recall?.open.delete(bootId)) this.#settle(ledger, monoMs);
    }
  }

  /** K3 */
  #gone(bootId: string, monoMs: number): void {
    this.#holders.delete(bootId);
    for (const ledger of this.#ledgers.values()) {
      ledger.asks.delete(bootId);
      ledger.recall?.open.delete(bootId);
      if (ledger.account.kind === "places") ledger.parts.delete(bootId);
      this.#settle(ledger, monoMs);
    }
  }

  #tick(monoMs: number, wallMs: number): void {
    for (const [bootId, { awaySinceMonoMs }] of this.#holders) {
      if (awaySinceMonoMs !== undefined && monoMs - awaySinceMonoMs >= GONE_MS) this.#gone(bootId, monoMs);
    }
    for (const [key, ledger] of this.#ledgers) {
      const { account, asks, parts, recall } = ledger;
      if (recall && monoMs - recall.sinceMonoMs >= RECALL_MS) {
        recall.open.clear();
        this.#settle(ledger, monoMs, false); // K2
      }
      const over =
        account.kind === "places" ? [...parts.values()].every((part) => part.permits === 0) : isOver(account, wallMs);
      if (over && asks.size === 0) this.#ledgers.delete(key);
    }
  }

  /** Answers whoever can be answered. @param answered false: some who were asked for what they do not use did not answer */
  #settle(ledger: Ledger, monoMs: number, answered = true): void {
    if (ledger.recall?.open.size === 0 && ledger.asks.size === 0) ledger.recall = undefined;
    if (!this.#open || ledger.asks.size === 0) return; // K4
    this.#grant(ledger);
    for (const [bootId, ask] of ledger.asks) if (!ask.urgent) this.#deny(ledger, bootId, false);
    if (ledger.asks.size === 0) return;
    if (!ledger.recall) {
      const open = new Map<string, number>();
      for (const [bootId, part] of ledger.parts) {
        // Who asks itself has none to spare.
        if (part.permits === 0 || part.used || ledger.asks.has(bootId) || !this.#present(bootId)) continue;
        open.set(bootId, part.grants);
        this.#commands.push({ kind: "recall", bootId, account: ledger.account });
      }
      if (open.size > 0) ledger.recall = { open, sinceMonoMs: monoMs };
    }
    if (ledger.recall && ledger.recall.open.size > 0) return;
    ledger.recall = undefined;
    // K2
    const spent =
      answered &&
      ledger.account.kind !== "places" &&
      [...ledger.parts].every(
        ([bootId, part]) => part.permits === 0 || part.used || ledger.asks.has(bootId) || !this.#holders.has(bootId),
      );
    for (const bootId of [...ledger.asks.keys()]) this.#deny(ledger, bootId, spent);
  }

  #grant(ledger: Ledger): void {
    let left = ledger.limit - sumOf(ledger);
    for (const [bootId, ask] of ledger.asks) {
      if (left <= 0) return; // K1
      const chunk = Math.ceil(Math.min(left / (2 * this.#sharers(ledger)), ledger.limit / chunksOf(ledger.account)));
      const permits = Math.min(left, Math.max(ask.permits, chunk));
      const part = this.#partOf(ledger, bootId);
      part.permits += permits;
      part.grants += 1;
      part.used = false;
      left -= permits;
      ledger.asks.delete(bootId);
      this.#commands.push({ kind: "grant", bootId, account: ledger.account, permits });
    }
  }

  #deny(ledger: Ledger, bootId: string, spent: boolean): void {
    const part = this.#partOf(ledger, bootId);
    // Places come back, so that nothing follows from it for the next time; and who asks in advance has some yet.
    const urgent = ledger.asks.get(bootId)?.urgent ?? false;
    if (ledger.account.kind !== "places" && urgent) part.used = true;
    ledger.asks.delete(bootId);
    this.#commands.push({ kind: "denial", bootId, account: ledger.account, spent, urgent });
  }

  /** How many share the account, as far as is known: who had some of the last minute will want some of this. */
  #sharers({ account, parts }: Ledger): number {
    if (account.kind === "places") return parts.size;
    const before = this.#ledgers.get(keyOf({ ...account, minute: account.minute - 1 }));
    if (!before) return parts.size;
    const sharers = new Set(parts.keys());
    for (const bootId of before.parts.keys()) if (this.#holders.has(bootId)) sharers.add(bootId);
    return sharers.size;
  }

  #present(bootId: string): boolean {
    const holder = this.#holders.get(bootId);
    return holder !== undefined && holder.awaySinceMonoMs === undefined;
  }

  #ledgerOf(account: QuotaAccount): Ledger {
    const key = keyOf(account);
    const known = this.#ledgers.get(key);
    if (known) return known;
    // Its limit comes with the first who wants some of it.
    const made: Ledger = { account, limit: 0, parts: new Map(), asks: new Map(), recall: undefined };
    this.#ledgers.set(key, made);
    return made;
  }

  #partOf(ledger: Ledger, bootId: string): Part {
    const known = ledger.parts.get(bootId);
    if (known) return known;
    const made: Part = { permits: 0, used: false, grants: 0 };
    ledger.parts.set(bootId, made);
    return made;
  }
}

function sumOf(ledger: Ledger): number {
  let sum = 0;
  for (const { permits } of ledger.parts.values()) sum += permits;
  return sum;
}

function chunksOf(account: QuotaAccount): number {
  return CHUNKS * Math.max(1, windowMsOf(account) / MINUTE_MS);
}

function isOver(account: QuotaAccount, wallMs: number): boolean {
  const windowMs = windowMsOf(account);
  const keptMs = Math.min(Math.max(windowMs, KEPT_MS_MIN), KEPT_MS_MAX);
  return wallMs >= (account.minute + 1) * windowMs + keptMs;
}

function keyOf({ namespace, kind, minute, window }: QuotaAccount): string {
  const key = `${kind}/${minute}/${namespace}`;
  return window ? `${key}/${window.windowMs}/${window.key}` : key;
}
