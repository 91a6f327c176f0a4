// Lets in what needs much memory: a few at a time, in the order of asking. What is small does not wait.

import { WeftError } from "./errors.js";

/** Reason of the error of who is refused a turn. */
export const TOO_MANY_LARGE = "TOO_MANY_LARGE";

export interface TurnsOptions {
  /** Smaller ones pass at once and do not count. */
  readonly countsFrom: number;
  /** Bytes at once; one that is larger has a turn by itself. */
  readonly bytesAtOnce: number;
  /** Bytes of those that wait: beyond it they are refused. */
  readonly waitingBytesMax: number;
}

interface Waiter {
  readonly bytes: number;
  readonly begin: () => void;
}

export class Turns {
  readonly #waiting = new Set<Waiter>();
  #bytes = 0;
  #waitingBytes = 0;

  constructor(private readonly options: TurnsOptions) {}

  /**
   * Runs `act` when there is room.
   * @throws unavailable TOO_MANY_LARGE when too much waits; whatever the signal aborts with while it waits
   */
  async run<T>(bytes: number, act: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (bytes < this.options.countsFrom) return act();
    if (this.#waiting.size > 0 || !this.#fits(bytes)) await this.#wait(bytes, signal);
    else this.#bytes += bytes;
    try {
      return await act();
    } finally {
      this.#bytes -= bytes;
      this.#next();
    }
  }

  #fits(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.options.bytesAtOnce;
  }

  /** Resolves with its bytes counted. */
  #wait(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#waitingBytes + bytes > this.options.waitingBytesMax) {
      const error = new WeftError("unavailable", TOO_MANY_LARGE, "too many large requests at once; try again", {
        retryAfterMs: 1_000,
      });
      return Promise.reject(error);
    }
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(waiter);
        this.#waitingBytes -= bytes;
        signal?.removeEventListener("abort", abort);
      };
      const abort = (): void => {
        leave();
        reject(signal?.reason);
        this.#next(); // those behind it may be smaller
      };
      const waiter: Waiter = {
        bytes,
        begin: () => {
          leave();
          this.#bytes += bytes;
          resolve();
        },
      };
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      signal?.addEventListener("abort", abort);
      this.#waiting.add(waiter);
      this.#waitingBytes += bytes;
    });
  }

  #next(): void {
    for (const waiter of this.#waiting) {
      if (!this.#fits(waiter.bytes)) return;
      waiter.begin();
    }
  }
}
