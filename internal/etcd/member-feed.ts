// The list of members, kept up to date for any number of listeners of this process. The watch is only a hint that it is
// time to list again: nothing is ever made of its events, so none of them can be missed.
//
//   F1. A list is asked for after the watch stands, and again after every hint: what changes after a list was taken
//       makes a hint, so the last list told is the newest sooner or later.
//   F2. Every POLL_MS the range's fingerprint is compared, for a watch that died without a word.
//   F3. Lists are told in the order of their revisions: one is asked for at a time.

import { Backoff } from "../base/backoff.js";
import type { Clock } from "../base/clock.js";
import { toWeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import type { Member, MemberListener } from "../core/coordination/coordination.js";
import type { EtcdClient, EtcdStream, Fingerprint, Listing } from "./client.js";

/** A watch that died without a word goes unnoticed for this long. */
const POLL_MS = 3_000;
/** Between two lists, so that a crowd that joins costs a few lists and not one each. */
const LIST_PAUSE_MS = 20;

export interface MemberFeedDeps {
  readonly client: EtcdClient;
  readonly prefix: string;
  readonly decode: (listing: Listing) => readonly Member[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export class MemberFeed {
  readonly #listeners = new Set<MemberListener>();
  readonly #backoff: Backoff;
  #members: readonly Member[] | undefined;
  #fingerprint: Fingerprint | undefined;
  #watch: EtcdStream<never> | undefined;
  #listing = false;
  /** Something may have changed since the list that is under way was asked for. */
  #stale = false;
  /** Tell the list even when nothing changed: the connection was gone. */
  #anew = false;
  #cancelRetry = (): void => {};
  #cancelPause = (): void => {};
  #cancelPoll = (): void => {};
  #closed = false;

  constructor(private readonly deps: MemberFeedDeps) {
    this.#backoff = new Backoff({ firstMs: 50, maxMs: 1_000 }, deps.random);
  }

  add(listener: MemberListener, signal: AbortSignal): void {
    if (signal.aborted || this.#closed) return;
    const own: MemberListener = {
      members: (all) => {
        listener.members(all);
      },
    };
    this.#listeners.add(own);
    signal.addEventListener("abort", () => this.#listeners.delete(own), { once: true });
    if (this.#watch) {
      queueMicrotask(() => {
        // Before the first list there is nothing to tell; that one will be told to all.
        if (this.#members && this.#listeners.has(own)) this.#tell([own]);
      });
    } else this.#open();
  }

  close(): void {
    this.#closed = true;
    this.#listeners.clear();
    this.#cancelRetry();
    this.#cancelPause();
    this.#cancelPoll();
    this.#watch?.cancel();
  }

  #open(): void {
    if (this.#closed) return;
    this.#anew = true;
    const watch = this.deps.client.watchStream(
      this.deps.prefix,
      () => {
        if (this.#watch === watch) this.#changed(); // F1
      },
      (why) => {
        if (this.#watch !== watch || this.#closed) return;
        this.deps.log.debug("the watch of the members ended", { error: why });
        this.#reopen();
      },
    );
    this.#watch = watch;
    this.#poll();
  }

  #reopen(): void {
    this.#watch?.cancel();
    this.#cancelPoll();
    this.#cancelRetry();
    this.#cancelRetry = this.deps.clock.after(this.#backoff.nextMs(), () => {
      this.#open();
    });
  }

  #changed(): void {
    this.#stale = true;
    if (this.#listing || this.#closed) return;
    this.#listing = true;
    this.#stale = false;
    this.deps.client.list(this.deps.prefix).then(
      (listing) => {
        this.#listed(listing);
        // F3: the next one is asked for when this one is told, and not at once.
        this.#cancelPause = this.deps.clock.after(LIST_PAUSE_MS, () => {
          this.#listing = false;
          if (this.#stale) this.#changed();
        });
      },
      (thrown: unknown) => {
        this.#listing = false;
        if (this.#closed) return;
        this.deps.log.debug("could not list the members", { error: toWeftError(thrown) });
        this.#reopen();
      },
    );
  }

  #listed(listing: Listing): void {
    if (this.#closed) return;
    this.#backoff.reset();
    const fingerprint: Fingerprint = {
      count: listing.all.length,
      newestRevision: listing.all.reduce((newest, { modRevision }) => Math.max(newest, modRevision), 0),
    };
    if (!this.#anew && sameRange(this.#fingerprint, fingerprint)) return;
    this.#anew = false;
    this.#fingerprint = fingerprint;
    this.#members = this.deps.decode(listing);
    this.#tell([...this.#listeners]);
  }

  #tell(listeners: readonly MemberListener[]): void {
    for (const listener of listeners) {
      if (!this.#listeners.has(listener)) continue;
      try {
        listener.members(this.#members ?? []);
      } catch (thrown) {
        this.deps.log.error("a listener to the members failed", { error: toWeftError(thrown) });
      }
    }
  }

  /** F2 */
  #poll(): void {
    this.#cancelPoll();
    this.#cancelPoll = this.deps.clock.after(POLL_MS, () => {
      this.deps.client.fingerprint(this.deps.prefix).then(
        (now) => {
          if (this.#closed) return;
          if (!sameRange(this.#fingerprint, now)) this.#changed();
          this.#poll();
        },
        (thrown: unknown) => {
          if (this.#closed) return;
          this.deps.log.debug("could not look after the members", { error: toWeftError(thrown) });
          this.#reopen();
        },
      );
    });
  }
}

function sameRange(a: Fingerprint | undefined, b: Fingerprint): boolean {
  return a?.count === b.count && a.newestRevision === b.newestRevision;
}
