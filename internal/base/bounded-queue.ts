import { invariant } from "./errors.js";

const FIRST_CAPACITY = 16;

interface Entry<T> {
  readonly item: T;
  readonly atMs: number;
}

/**
 * First in, first out, up to a limit. Pushing and shifting take constant time; memory grows with what is in it and an
 * empty queue costs little. Knows how old its head is, which says more than its depth.
 */
export class BoundedQueue<T> {
  #ring: (Entry<T> | undefined)[] = new Array<Entry<T> | undefined>(FIRST_CAPACITY).fill(undefined);
  #head = 0;
  #size = 0;

  /** @param limit most items it holds; at least 1 */
  constructor(readonly limit: number) {
    invariant(Number.isInteger(limit) && limit > 0, `a queue's limit is a whole number above zero, not ${limit}`);
  }

  get size(): number {
    return this.#size;
  }

  get full(): boolean {
    return this.#size === this.limit;
  }

  /**
   * Adds at the end.
   * @param nowMonoMs when, for `headAgeMs`
   * @returns false when it is full: nothing was added and the caller says so to whoever sent it
   */
  push(item: T, nowMonoMs = 0): boolean {
    if (this.full) return false;
    if (this.#size === this.#ring.length) this.#resize(this.#ring.length * 2);
    this.#ring[(this.#head + this.#size) % this.#ring.length] = { item, atMs: nowMonoMs };
    this.#size += 1;
    return true;
  }

  /** Takes the oldest; undefined when it is empty. */
  shift(): T | undefined {
    const entry = this.#ring[this.#head];
    if (!entry) return undefined;
    this.#ring[this.#head] = undefined; // what is gone must not be kept alive
    this.#head = (this.#head + 1) % this.#ring.length;
    this.#size -= 1;
    // A quarter full is small enough to give half back and not to double again at once.
    if (this.#ring.length > FIRST_CAPACITY && this.#size < this.#ring.length / 4) this.#resize(this.#ring.length / 2);
    return entry.item;
  }

  /** The oldest, left where it is. */
  peek(): T | undefined {
    return this.#ring[this.#head]?.item;
  }

  /** How long the oldest has waited; 0 when it is empty. */
  headAgeMs(nowMonoMs: number): number {
    const entry = this.#ring[this.#head];
    return entry ? nowMonoMs - entry.atMs : 0;
  }

  /** Takes all, oldest first. */
  drain(): T[] {
    const items = [...this];
    this.#ring = new Array<Entry<T> | undefined>(FIRST_CAPACITY).fill(undefined);
    this.#head = 0;
    this.#size = 0;
    return items;
  }

  /** Oldest first. Nothing may be pushed or shifted meanwhile. */
  *[Symbol.iterator](): Generator<T> {
    for (let i = 0; i < this.#size; i += 1) {
      const entry = this.#ring[(this.#head + i) % this.#ring.length];
      if (entry) yield entry.item;
    }
  }

  #resize(capacity: number): void {
    const ring = new Array<Entry<T> | undefined>(capacity).fill(undefined);
    for (let i = 0; i < this.#size; i += 1) ring[i] = this.#ring[(this.#head + i) % this.#ring.length];
    this.#ring = ring;
    this.#head = 0;
  }
}
