// What changed, told to this process's caches and to the gateways'.
//
//   C1. A watcher is told of every change that commits after it was welcomed, or its stream ends and it starts anew
//       with an empty cache.

import { Backoff } from "../base/backoff.js";
import { sleep, type Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import type { EntityChange, EntityStore } from "../core/action/store.js";
import type { ControllerMetrics } from "./metrics.js";

/** Changes that wait for a slow watcher; beyond it an empty cache is quicker. */
const BACKLOG_MAX = 10_000;
/** Changes of one message. */
const BATCH_MAX = 500;

export interface ChangesDeps {
  readonly entities: Pick<EntityStore, "watch">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: ControllerMetrics;
}

interface Watcher {
  readonly waiting: EntityChange[];
  wake: () => void;
  over: WeftError | undefined;
}

export class Changes {
  readonly #watchers = new Set<Watcher>();
  readonly #stop = new AbortController();
  readonly #backoff: Backoff;
  #watching: Promise<void> = Promise.resolve();

  /** Told of each change before any watcher is. `undefined`: anything may have changed. */
  onChange: (change: EntityChange | undefined) => void = () => {};

  constructor(private readonly deps: ChangesDeps) {
    this.#backoff = new Backoff({ firstMs: 50, maxMs: 2_000 }, deps.random);
    deps.metrics.watchers.from(() => this.#watchers.size);
  }

  start(): void {
    this.#watching = this.#watch();
  }

  /** Sends changes until the signal aborts. @throws unavailable when some may have been missed (C1) */
  async serve(send: (changes: readonly EntityChange[]) => Promise<void>, signal: AbortSignal): Promise<void> {
    const watcher: Watcher = { waiting: [], wake: () => {}, over: undefined };
    const end = (): void => watcher.wake();
    this.#watchers.add(watcher);
    signal.addEventListener("abort", end, { once: true });
    try {
      await send([]);
      while (!signal.aborted) {
        if (watcher.over) throw watcher.over;
        if (watcher.waiting.length > 0) {
          await send(watcher.waiting.splice(0, BATCH_MAX));
          continue;
        }
        await new Promise<void>((resolve) => {
          watcher.wake = resolve;
        });
      }
    } finally {
      signal.removeEventListener("abort", end);
      this.#watchers.delete(watcher);
    }
  }

  /** Says what this process has just changed itself: its own readers do not wait for the store to tell. */
  changedHere(change: EntityChange): void {
    this.onChange(change);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#endAll(new WeftError("unavailable", "STOPPED", "this controller stopped"));
    await this.#watching;
  }

  /** A method: the compiler would believe that a property does not change over an await. */
  #stopped(): boolean {
    return this.#stop.signal.aborted;
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stop;
    while (!this.#stopped()) {
      try {
        await this.deps.entities.watch(
          {
            changed: (change) => {
              this.#backoff.reset();
              this.#changed(change);
            },
            reset: () => this.#reset(),
          },
          signal,
        );
      } catch (thrown) {
        this.deps.log.warn("watching for changes failed", { error: toWeftError(thrown) });
      }
      if (this.#stopped()) return;
      this.#reset();
      await sleep(this.deps.clock, this.#backoff.nextMs(), signal).catch(() => undefined); // aborted: the loop ends
    }
  }

  #changed(change: EntityChange): void {
    this.deps.metrics.changes.inc();
    this.onChange(change);
    for (const watcher of this.#watchers) {
      if (watcher.waiting.length >= BACKLOG_MAX) {
        watcher.over = new WeftError("unavailable", "TOO_SLOW", "too many changes wait to be sent; start anew");
      } else watcher.waiting.push(change);
      watcher.wake();
    }
  }

  #reset(): void {
    this.onChange(undefined);
    this.#endAll(new WeftError("unavailable", "CHANGES_MISSED", "changes may have been missed; start anew"));
  }

  #endAll(why: WeftError): void {
    for (const watcher of this.#watchers) {
      watcher.over = why;
      watcher.wake();
    }
  }
}
