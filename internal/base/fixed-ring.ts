import { invariant } from "./errors.js";

/** The last so many of something: a role's recent transitions, for whoever looks at its state. */
export class FixedRing<T> {
  readonly #items: T[] = [];
  #next = 0;

  /** @param capacity how many are kept; at least 1 */
  constructor(readonly capacity: number) {
    invariant(
      Number.isInteger(capacity) && capacity > 0,
      `a ring's capacity is a whole number above zero, not ${capacity}`,
    );
  }

  /** Adds one; the oldest makes room. */
  push(item: T): void {
    this.#items[this.#next] = item;
    this.#next = (this.#next + 1) % this.capacity;
  }

  get size(): number {
    return this.#items.length;
  }

  /** Oldest first. */
  toArray(): T[] {
    return this.#items.length < this.capacity
      ? [...this.#items]
      : [...this.#items.slice(this.#next), ...this.#items.slice(0, this.#next)];
  }
}
