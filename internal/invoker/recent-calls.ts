// What became of the last calls of one dispatcher's life. A dispatcher whose link broke asks about what it had in flight,
// and an answer "unknown" makes it send the call again: what ended must not be forgotten too soon.
//
// The ring is per dispatcher and holds more calls than a dispatcher may have unfinished on a link. A link keeps its
// order, so that the answers which may be lost with it are the last ones; they are all here, whatever other dispatchers
// do meanwhile.

import type { Done, Outcome, StartKind } from "../gen/weft/link/v1/work.pb.js";

export const RECENT_CALLS = 10_000;
/** Results kept per dispatcher; above it the oldest calls keep only the fact that they ended. */
const RESULT_BYTES_KEPT = 32 * 1024 * 1024;

/** Results are kept in slabs of this, or of their own size when they are larger. */
const SLAB_BYTES = 64 * 1024;
const FIRST_ENTRIES = 256;

// What is kept is numbers in one array and bytes in a few: ten thousand objects that each live for a second are what the
// garbage collector is worst at; kept as objects they were a third of what a call cost.
const CALL = 0;
const OUTCOME = 1;
const START_WALL_MS = 2;
const DURATION_MS = 3;
/** NaN: none. */
const INIT_MS = 4;
const WAIT_MS = 5;
const FLAGS = 6;
const RESULT_SIZE = 7;
const START_KIND = 8;
/** Number of the slab that holds its result. */
const SLAB = 9;
const RESULT_FROM = 10;
const RESULT_BYTES = 11;
const NUMBERS = 12;

/** An activation id as it is written: hex characters. */
const ID_BYTES = 32;

const TIMED_OUT = 1;
const REUSABLE = 2;

export class RecentCalls {
  #ids = Buffer.alloc(FIRST_ENTRIES * ID_BYTES);
  #numbers = new Float64Array(FIRST_ENTRIES * NUMBERS);
  /** Oldest first; the first is number `#firstSlab`. */
  readonly #slabs: Buffer[] = [];
  #firstSlab = 0;
  /** Written of the last slab. */
  #filled = 0;
  /** Calls ever added. */
  #next = 0;
  #bytes = 0;
  /** Oldest that still has its result. */
  #oldestBody = 0;
  /** Places by id, made when somebody asks: hardly anybody does. */
  #index: Map<string, number> | undefined;

  constructor(
    private readonly capacity = RECENT_CALLS,
    private readonly bytesMax = RESULT_BYTES_KEPT,
  ) {}

  /** @param activationId 32 hex characters */
  add(activationId: string, done: Done): void {
    this.#index = undefined;
    if (this.#next >= this.capacity) this.#dropBodies(this.#next - this.capacity + 1);
    const place = this.#next % this.capacity;
    this.#next += 1;
    const at = place * NUMBERS;
    if (at >= this.#numbers.length) this.#grow();
    // Character by character: that is faster than what Buffer offers for texts as short.
    const ids = this.#ids;
    for (let i = 0, to = place * ID_BYTES; i < ID_BYTES; i += 1, to += 1) ids[to] = activationId.charCodeAt(i);
    const numbers = this.#numbers;
    numbers[at + CALL] = done.call;
    numbers[at + OUTCOME] = done.outcome;
    numbers[at + START_WALL_MS] = done.startWallMs;
    numbers[at + DURATION_MS] = done.durationMs;
    numbers[at + INIT_MS] = done.initMs ?? NaN;
    numbers[at + WAIT_MS] = done.waitMs;
    numbers[at + FLAGS] = (done.timedOut ? TIMED_OUT : 0) | (done.reusable ? REUSABLE : 0);
    numbers[at + RESULT_SIZE] = done.resultSize;
    numbers[at + START_KIND] = done.startKind;
    this.#keep(at, done.resultJson);
    while (this.#bytes > this.bytesMax && this.#oldestBody < this.#next) this.#dropBodies(this.#oldestBody + 1);
  }

  /** @returns undefined when it did not end here, as far as is remembered; done is undefined when its result is gone */
  find(activationId: string): { readonly done: Done | undefined } | undefined {
    const nth = this.#places().get(activationId);
    if (nth === undefined) return undefined;
    return { done: nth < this.#oldestBody ? undefined : this.#doneAt((nth % this.capacity) * NUMBERS) };
  }

  get size(): number {
    return this.#places().size;
  }

  /** Keeps only the fact that each ended. */
  forgetResults(): void {
    this.#dropBodies(this.#next);
  }

  #places(): ReadonlyMap<string, number> {
    if (this.#index) return this.#index;
    const index = new Map<string, number>();
    // In their order: of two ends of the same activation the later counts.
    for (let nth = Math.max(0, this.#next - this.capacity); nth < this.#next; nth += 1) {
      const from = (nth % this.capacity) * ID_BYTES;
      index.set(this.#ids.toString("latin1", from, from + ID_BYTES), nth);
    }
    return (this.#index = index);
  }

  #doneAt(at: number): Done {
    const numbers = this.#numbers;
    const number = (which: number): number => numbers[at + which] ?? 0;
    const from = number(RESULT_FROM);
    const slab = this.#slabs[number(SLAB) - this.#firstSlab];
    return {
      call: number(CALL),
      outcome: number(OUTCOME) as Outcome,
      resultJson: slab ? Buffer.from(slab.subarray(from, from + number(RESULT_BYTES))) : new Uint8Array(),
      startWallMs: number(START_WALL_MS),
      durationMs: number(DURATION_MS),
      initMs: Number.isNaN(number(INIT_MS)) ? undefined : number(INIT_MS),
      waitMs: number(WAIT_MS),
      timedOut: (number(FLAGS) & TIMED_OUT) !== 0,
      resultSize: number(RESULT_SIZE),
      reusable: (number(FLAGS) & REUSABLE) !== 0,
      startKind: number(START_KIND) as StartKind,
    };
  }

  #keep(at: number, result: Uint8Array): void {
    let slab = this.#slabs.at(-1);
    if (!slab || this.#filled + result.length > slab.length) {
      slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, result.length));
      this.#slabs.push(slab);
      this.#filled = 0;
    }
    slab.set(result, this.#filled);
    this.#numbers[at + SLAB] = this.#firstSlab + this.#slabs.length - 1;
    this.#numbers[at + RESULT_FROM] = this.#filled;
    this.#numbers[at + RESULT_BYTES] = result.length;
    this.#filled += result.length;
    this.#bytes += result.length;
  }

  /** Results of all before the `to`th call are let go, and with the last of a slab the slab. */
  #dropBodies(to: number): void {
    for (; this.#oldestBody < to; this.#oldestBody += 1) {
      this.#bytes -= this.#numbers[(this.#oldestBody % this.capacity) * NUMBERS + RESULT_BYTES] ?? 0;
    }
    const oldest =
      to < this.#next
        ? (this.#numbers[(to % this.capacity) * NUMBERS + SLAB] ?? 0)
        : this.#firstSlab + this.#slabs.length;
    while (this.#firstSlab < oldest) {
      this.#slabs.shift();
      this.#firstSlab += 1;
    }
  }

  #grow(): void {
    const numbers = new Float64Array(Math.min(this.#numbers.length * 2, this.capacity * NUMBERS));
    numbers.set(this.#numbers);
    this.#numbers = numbers;
    const ids = Buffer.alloc((numbers.length / NUMBERS) * ID_BYTES);
    ids.set(this.#ids);
    this.#ids = ids;
  }
}
