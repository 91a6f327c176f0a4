// Who goes next: namespaces take turns, so that one with a thousand requests does not keep one with a single request
// waiting. Within a namespace first come is first served.
//
//   F1. A namespace with something waiting and a free share is served within one round of all such namespaces.
//   F2. No namespace has more than `share` in flight.

export class FairQueue<T> {
  readonly #lanes = new Map<string, Lane<T>>();
  #waiting = 0;
  #inFlight = 0;

  /**
   * @param total most in flight at once
   * @param share most of one namespace in flight at once
   */
  constructor(
    private readonly total: number,
    private readonly share: number,
  ) {}

  get waiting(): number {
    return this.#waiting;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** @param first true for what has had its turn already and comes back */
  push(namespace: string, item: T, first = false): void {
    let lane = this.#lanes.get(namespace);
    if (!lane) this.#lanes.set(namespace, (lane = { items: [], head: 0, inFlight: 0 }));
    if (!first) lane.items.push(item);
    else if (lane.head > 0) {
      lane.head -= 1;
      lane.items[lane.head] = item;
    } else lane.items.unshift(item);
    this.#waiting += 1;
  }

  /** The next to be sent, which counts as in flight from here on; undefined when none may go. */
  next(): T | undefined {
    if (this.#inFlight >= this.total || this.#waiting === 0) return undefined;
    for (const [namespace, lane] of this.#lanes) {
      if (lane.head === lane.items.length || lane.inFlight >= this.share) continue; // F2
      const item = lane.items[lane.head] as T;
      lane.head += 1;
      if (lane.head === lane.items.length || lane.head >= 1_024) {
        lane.items = lane.items.slice(lane.head);
        lane.head = 0;
      }
      lane.inFlight += 1;
      this.#waiting -= 1;
      this.#inFlight += 1;
      // F1: to the end of the round.
      this.#lanes.delete(namespace);
      this.#lanes.set(namespace, lane);
      return item;
    }
    return undefined;
  }

  /** One of a namespace is no longer in flight. */
  landed(namespace: string): void {
    const lane = this.#lanes.get(namespace);
    if (!lane || lane.inFlight === 0) return;
    lane.inFlight -= 1;
    this.#inFlight -= 1;
    if (lane.inFlight === 0 && lane.head === lane.items.length) this.#lanes.delete(namespace);
  }

  /** How much waits, by namespace; for status pages. */
  depths(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#lanes].map(([namespace, lane]) => [namespace, lane.items.length - lane.head]));
  }
}

interface Lane<T> {
  items: T[];
  head: number;
  inFlight: number;
}
