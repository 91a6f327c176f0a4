// Many waits that mostly end before their time, under one timer: a call that is answered in a millisecond must not pay
// for a timer of its own.

import type { Clock } from "./clock.js";

/** How late a wait may end. */
const TICK_MS = 10;

export interface Wait {
  /** Its time is over. */
  expired(): void;
}

export class Waits {
  /** By the tick in which they end. */
  readonly #byTick = new Map<number, Set<Wait>>();
  #count = 0;
  #lastTick = 0;
  #cancel: (() => void) | undefined;

  constructor(private readonly clock: Clock) {}

  /** @returns what names the wait when it is taken back */
  add(wait: Wait, ms: number): number {
    const tick = Math.max(this.#lastTick + 1, Math.ceil((this.clock.monoMs() + ms) / TICK_MS));
    let waits = this.#byTick.get(tick);
    if (!waits) this.#byTick.set(tick, (waits = new Set()));
    waits.add(wait);
    this.#count += 1;
    if (!this.#cancel) this.#arm();
    return tick;
  }

  /** Takes a wait back that has not expired. */
  remove(wait: Wait, tick: number): void {
    const waits = this.#byTick.get(tick);
    if (!waits?.delete(wait)) return;
    this.#count -= 1;
    if (waits.size === 0) this.#byTick.delete(tick);
  }

  get size(): number {
    return this.#count;
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #arm(): void {
    this.#lastTick = Math.floor(this.clock.monoMs() / TICK_MS);
    const turn = (): void => {
      // Idle once more before it stops: under load it is not set up anew for each call.
      this.#cancel = this.#turn() || this.#count > 0 ? this.clock.after(TICK_MS, turn) : undefined;
    };
    this.#cancel = this.clock.after(TICK_MS, turn);
  }

  /** @returns true when any expired */
  #turn(): boolean {
    const now = Math.floor(this.clock.monoMs() / TICK_MS);
    let any = false;
    // After a long pause the ticks that exist are fewer than those that passed.
    const due =
      now - this.#lastTick > this.#byTick.size
        ? [...this.#byTick.keys()].filter((tick) => tick <= now).sort((a, b) => a - b)
        : Array.from({ length: now - this.#lastTick }, (_, i) => this.#lastTick + 1 + i);
    this.#lastTick = now;
    for (const tick of due) {
      const waits = this.#byTick.get(tick);
      if (!waits) continue;
      this.#byTick.delete(tick);
      this.#count -= waits.size;
      any = true;
      for (const wait of waits) wait.expired();
    }
    return any;
  }
}
