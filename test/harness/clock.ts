import type { Clock } from "../../internal/base/clock.js";

interface Timer {
  readonly dueMonoMs: number;
  readonly order: number;
  readonly act: () => void;
}

/** Time that moves only when the test says so. */
export class ManualClock implements Clock {
  #monoMs = 0;
  #wallMs: number;
  #order = 0;
  /** Soonest first; equal times in the order in which they were set. */
  readonly #timers: Timer[] = [];

  constructor(wallMs = Date.UTC(2026, 0, 1)) {
    this.#wallMs = wallMs;
  }

  wallMs(): number {
    return this.#wallMs;
  }

  monoMs(): number {
    return this.#monoMs;
  }

  after(ms: number, act: () => void): () => void {
    const timer: Timer = { dueMonoMs: this.#monoMs + Math.max(0, ms), order: this.#order++, act };
    const before = this.#timers.findIndex((t) => t.dueMonoMs > timer.dueMonoMs);
    this.#timers.splice(before === -1 ? this.#timers.length : before, 0, timer);
    return () => {
      const at = this.#timers.indexOf(timer);
      if (at !== -1) this.#timers.splice(at, 1);
    };
  }

  /** How many timers are set: a component that ended leaves none. */
  get pending(): number {
    return this.#timers.length;
  }

  /** Milliseconds until the next timer; undefined without one. */
  get nextInMs(): number | undefined {
    const next = this.#timers[0];
    return next && next.dueMonoMs - this.#monoMs;
  }

  /** Moves both clocks on, running what falls due in order, with what that sets in turn. Promises do not run between. */
  advance(ms: number): void {
    const end = this.#monoMs + ms;
    for (let timer = this.#due(end); timer; timer = this.#due(end)) {
      this.#moveTo(timer.dueMonoMs);
      timer.act();
    }
    this.#moveTo(end);
  }

  /** As `advance`, letting every promise settle after each timer and at the end. */
  async elapse(ms: number): Promise<void> {
    const end = this.#monoMs + ms;
    await settle();
    for (let timer = this.#due(end); timer; timer = this.#due(end)) {
      this.#moveTo(timer.dueMonoMs);
      timer.act();
      await settle();
    }
    this.#moveTo(end);
    await settle();
  }

  /** Moves wall time alone, as an operator or NTP would. */
  jumpWall(ms: number): void {
    this.#wallMs += ms;
  }

  #due(end: number): Timer | undefined {
    const next = this.#timers[0];
    return next && next.dueMonoMs <= end ? this.#timers.shift() : undefined;
  }

  #moveTo(monoMs: number): void {
    this.#wallMs += monoMs - this.#monoMs;
    this.#monoMs = monoMs;
  }
}

/** Lets every promise that can go on do so; nothing under it does I/O. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
