// What became of the last calls of one dispatcher's life. A dispatcher whose link broke asks about what it had in flight,
// and an answer "unknown" makes it send the call again: what ended must not be forgotten too soon.
//
// The ring is per dispatcher and holds more calls than a dispatcher may have unfinished on a link. A link keeps its
// order, so that the answers which may be lost with it are the last ones; they are all here, whatever other dispatchers
// do meanwhile.

import type { Done } from "../gen/weft/link/v1/work.pb.js";

export const RECENT_CALLS = 10_000;
/** Results kept per dispatcher; above it the oldest calls keep only the fact that they ended. */
const RESULT_BYTES_KEPT = 32 * 1024 * 1024;

interface Ended {
  readonly activationId: string;
  done: Done | undefined;
}

export class RecentCalls {
  readonly #ring: Ended[] = [];
  readonly #byId = new Map<string, Ended>();
  #next = 0;
  #bytes = 0;
  /** Oldest that may still have its result. */
  #oldestBody = 0;

  constructor(
    private readonly capacity = RECENT_CALLS,
    private readonly bytesMax = RESULT_BYTES_KEPT,
  ) {}

  add(activationId: string, done: Done): void {
    const at = this.#next % this.capacity;
    const before = this.#ring[at];
    if (before) {
      if (this.#byId.get(before.activationId) === before) this.#byId.delete(before.activationId);
      this.#dropBody(before);
    }
    const ended: Ended = { activationId, done };
    this.#ring[at] = ended;
    this.#byId.set(activationId, ended);
    this.#next += 1;
    this.#bytes += done.resultJson.length;
    this.#oldestBody = Math.max(this.#oldestBody, this.#next - this.capacity);
    for (; this.#bytes > this.bytesMax && this.#oldestBody < this.#next; this.#oldestBody += 1) {
      const oldest = this.#ring[this.#oldestBody % this.capacity];
      if (oldest) this.#dropBody(oldest);
    }
  }

  /** @returns undefined when it did not end here, as far as is remembered; done is undefined when its result is gone */
  find(activationId: string): { readonly done: Done | undefined } | undefined {
    return this.#byId.get(activationId);
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Keeps only the fact that each ended. */
  forgetResults(): void {
    for (const ended of this.#ring) this.#dropBody(ended);
    this.#oldestBody = this.#next;
  }

  #dropBody(ended: Ended): void {
    if (!ended.done) return;
    this.#bytes -= ended.done.resultJson.length;
    ended.done = undefined;
  }
}
