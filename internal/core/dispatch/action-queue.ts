// One dispatcher's slots and waiting items of one action revision: who goes next, what is asked for, what is given
// back. Pure: time comes with each event, effects go out as return values.
//
//   D1. A slot serves at most one item at a time.
//   D2. Items are served in order of arrival, except those sent back by a refusal, which go to the front.
//   D3. While the action is contended, a freed slot without a waiting item is given back, not kept (a grant that comes
//       after its item was served bounces back the same way). Otherwise the owner's waiters starve.
//   D4. A slot that was revoked is given back as soon as it is free.

/** A slot as far as the queue cares. The dispatcher keeps its lease in it. */
export interface Slot {
  /** True between serve and free. */
  busy: boolean;
  /** The owner wants it back. */
  revoked: boolean;
  /** Its lease is void: never used again. */
  gone: boolean;
}

export interface Waiting {
  /** When it was accepted, monotonic. */
  readonly acceptedMonoMs: number;
  /** When it is refused if it is still waiting, monotonic; Infinity for never. */
  readonly expiresMonoMs: number;
}

export interface CapacityWish {
  /** Slots wanted now. */
  readonly shortage: number;
  readonly oldestWaitMs: number;
  readonly arrivalsPerSecond: number;
  /** 0 when not known. */
  readonly serviceMs: number;
}

/** What becomes of a slot that is free. */
export type FreeDecision<W> =
  | { readonly kind: "serve"; readonly item: W }
  | { readonly kind: "keep" }
  | { readonly kind: "giveBack" }
  | { readonly kind: "drop" };

/** Weight of the newest sample in moving averages: about the last twenty samples count. */
const EWMA_WEIGHT = 0.1;
/** A mean below this is nothing: rounded up it would keep a slot for ever. */
const IDLE_MEAN = 0.05;
/** Free slots are kept for this much more than the usual number in flight, plus one (architecture, slot leases). */
const HEADROOM = 1.15;
/**
 * Weight of the newest peak when it falls, per tick of 20 ms: halves in 1.4 s. Load that comes in bursts keeps its slots
 * between them; who needs them meanwhile is served by contention, not by thrift.
 */
const FALL_WEIGHT = 0.01;

export class ActionQueue<S extends Slot, W extends Waiting> {
  readonly #free: S[] = [];
  readonly #slots = new Set<S>();
  #waiting: W[] = [];
  #head = 0;
  #inFlight = 0;
  /** Most in flight since the last tick: what a moment shows says nothing when calls end in a millisecond. */
  #inFlightPeak = 0;
  #inFlightMean = 0;
  #serviceMs = 0;
  #arrivals = 0;
  #arrivalsSinceMonoMs: number;
  #arrivalsPerSecond = 0;
  #contended = false;
  lastUsedMonoMs: number;

  constructor(nowMonoMs: number) {
    this.#arrivalsSinceMonoMs = nowMonoMs;
    this.lastUsedMonoMs = nowMonoMs;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get waitingCount(): number {
    return this.#waiting.length - this.#head;
  }

  get freeCount(): number {
    return this.#free.length;
  }

  get serviceMs(): number {
    return this.#serviceMs;
  }

  get contended(): boolean {
    return this.#contended;
  }

  get slots(): ReadonlySet<S> {
    return this.#slots;
  }

  /** True when no tick will give back any more: what was in flight has faded. */
  get settled(): boolean {
    return this.#inFlightMean === 0;
  }

  /** True when nothing would be lost by forgetting this queue. */
  get empty(): boolean {
    return this.#slots.size === 0 && this.waitingCount === 0 && this.#inFlight === 0;
  }

  /** An item arrived. @returns the slot that serves it now, or undefined: it waits */
  arrive(item: W, nowMonoMs: number): S | undefined {
    this.#arrivals += 1;
    this.lastUsedMonoMs = nowMonoMs;
    if (this.waitingCount === 0) {
      const slot = this.#pop();
      if (slot) return slot;
    }
    this.#waiting.push(item);
    return undefined;
  }

  /** An item was refused before it started: it is the next to be served. @returns the slot that serves it now */
  comeBack(item: W): S | undefined {
    const slot = this.#pop();
    if (slot) return slot;
    if (this.#head > 0) {
      this.#head -= 1;
      this.#waiting[this.#head] = item;
    } else {
      this.#waiting.unshift(item);
    }
    return undefined;
  }

  /** A lease arrived. */
  granted(slot: S): FreeDecision<W> {
    this.#slots.add(slot);
    return this.#settleFree(slot);
  }

  /** The call in a slot ended (`serviceMs` undefined: it did not run). */
  freed(slot: S, serviceMs: number | undefined): FreeDecision<W> {
    slot.busy = false; // D1
    this.#inFlight -= 1;
    if (serviceMs !== undefined) {
      this.#serviceMs =
        this.#serviceMs === 0 ? serviceMs : this.#serviceMs + EWMA_WEIGHT * (serviceMs - this.#serviceMs);
    }
    return this.#settleFree(slot);
  }

  /** A lease is void, whatever its slot does. A busy slot counts as in flight until `freed`. */
  void(slot: S): void {
    if (slot.gone) return;
    slot.gone = true;
    this.#slots.delete(slot);
    const at = this.#free.indexOf(slot);
    if (at >= 0) this.#free.splice(at, 1);
  }

  /** The owner says whether others wait. @returns free slots to give back */
  setContended(on: boolean): S[] {
    this.#contended = on;
    return on ? this.#takeFree(this.#free.length) : []; // D3
  }

  /** The owner wants a slot back. @returns true when it is free and can be given back now */
  revoke(slot: S): boolean {
    slot.revoked = true; // D4
    if (slot.busy || slot.gone) return false;
    this.void(slot);
    return true;
  }

  /** Takes every waiting item out, for whoever refuses them all. */
  takeWaiting(): W[] {
    const items = this.#waiting.slice(this.#head);
    this.#waiting = [];
    this.#head = 0;
    return items;
  }

  /** To be called every few tens of milliseconds. @returns surplus slots to give back, and items whose time is up */
  tick(nowMonoMs: number): { readonly surplus: S[]; readonly expired: W[] } {
    // Up at once, down slowly: a slot that is given back too early costs two messages and a wait.
    const peak = this.#inFlightPeak;
    this.#inFlightMean =
      peak > this.#inFlightMean ? peak : this.#inFlightMean + FALL_WEIGHT * (peak - this.#inFlightMean);
    if (this.#inFlightMean < IDLE_MEAN) this.#inFlightMean = 0;
    this.#inFlightPeak = this.#inFlight;
    const windowMs = nowMonoMs - this.#arrivalsSinceMonoMs;
    if (windowMs >= 200) {
      this.#arrivalsPerSecond = (this.#arrivals * 1000) / windowMs;
      this.#arrivals = 0;
      this.#arrivalsSinceMonoMs = nowMonoMs;
    }
    const wanted = Math.ceil(this.#inFlightMean * HEADROOM) + 1;
    const surplus = this.#takeFree(Math.max(0, this.#free.length + this.#inFlight - wanted));
    return { surplus, expired: this.#takeExpired(nowMonoMs) };
  }

  wish(nowMonoMs: number): CapacityWish {
    const oldest = this.#waiting[this.#head];
    const windowMs = Math.max(1, nowMonoMs - this.#arrivalsSinceMonoMs);
    return {
      shortage: this.waitingCount,
      oldestWaitMs: oldest === undefined ? 0 : Math.max(0, nowMonoMs - oldest.acceptedMonoMs),
      arrivalsPerSecond: Math.max(this.#arrivalsPerSecond, windowMs >= 50 ? (this.#arrivals * 1000) / windowMs : 0),
      serviceMs: this.#serviceMs,
    };
  }

  #settleFree(slot: S): FreeDecision<W> {
    if (slot.gone) return { kind: "drop" };
    if (slot.revoked) {
      this.void(slot);
      return { kind: "giveBack" };
    }
    const item = this.#shift();
    if (item !== undefined) {
      this.#take(slot);
      return { kind: "serve", item };
    }
    if (this.#contended) {
      this.void(slot);
      return { kind: "giveBack" };
    }
    this.#free.push(slot);
    return { kind: "keep" };
  }

  #take(slot: S): void {
    slot.busy = true;
    this.#inFlight += 1;
    if (this.#inFlight > this.#inFlightPeak) this.#inFlightPeak = this.#inFlight;
  }

  // Last in, first out: few sandboxes stay hot and the rest age out.
  #pop(): S | undefined {
    const slot = this.#free.pop();
    if (!slot) return undefined;
    this.#take(slot);
    return slot;
  }

  #shift(): W | undefined {
    if (this.#head >= this.#waiting.length) return undefined;
    const item = this.#waiting[this.#head];
    this.#head += 1;
    if (this.#head > 1024 && this.#head * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** The oldest free slots go first: the newest are the hot ones. */
  #takeFree(count: number): S[] {
    const taken = this.#free.splice(0, Math.min(count, this.#free.length));
    for (const slot of taken) {
      slot.gone = true;
      this.#slots.delete(slot);
    }
    return taken;
  }

  #takeExpired(nowMonoMs: number): W[] {
    if (this.waitingCount === 0) return [];
    const expired: W[] = [];
    const left: W[] = [];
    for (let i = this.#head; i < this.#waiting.length; i++) {
      const item = this.#waiting[i];
      if (item === undefined) continue;
      (item.expiresMonoMs <= nowMonoMs ? expired : left).push(item);
    }
    if (expired.length > 0) {
      this.#waiting = left;
      this.#head = 0;
    }
    return expired;
  }
}
