import type { Clock } from "../../base/clock.js";

/**
 * Raw output that a sandbox may have per second, both streams together. Above it the driver stops reading, so that the
 * writer waits: a flood costs its own sandbox time, and not the invoker that carries its neighbours.
 */
export const RAW_OUTPUT_BYTES_PER_SECOND_MAX = 16 * 1024 * 1024;

/** What the gate needs of a stream. */
export interface Pausable {
  pause(): unknown;
  resume(): unknown;
}

/** Holds the streams of one sandbox to the bound. */
export class RawOutputGate {
  readonly #streams: Pausable[] = [];
  #windowEndMs = 0;
  #left = RAW_OUTPUT_BYTES_PER_SECOND_MAX;
  #cancel: (() => void) | undefined;

  constructor(private readonly clock: Clock) {}

  add(stream: Pausable): void {
    this.#streams.push(stream);
  }

  /** Counts what was read; pauses the streams for the rest of the second when it was too much. */
  count(bytes: number): void {
    const nowMs = this.clock.monoMs();
    if (nowMs >= this.#windowEndMs) {
      this.#windowEndMs = nowMs + 1_000;
      this.#left = RAW_OUTPUT_BYTES_PER_SECOND_MAX;
    }
    this.#left -= bytes;
    if (this.#left > 0 || this.#cancel) return;
    for (const stream of this.#streams) stream.pause();
    this.#cancel = this.clock.after(this.#windowEndMs - nowMs, () => {
      this.#cancel = undefined;
      for (const stream of this.#streams) stream.resume();
    });
  }

  /** Ends waiting; call it when the sandbox is over. */
  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    for (const stream of this.#streams) stream.resume();
  }
}
