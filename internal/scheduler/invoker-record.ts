// What a scheduler knows of an invoker. It outlives the invoker's session: an invoker that is cut off still runs what it
// runs, and its leases are used.

import type { InvokerView } from "../core/placement/place.js";
import type { Capacity, Register, SandboxView } from "../gen/weft/link/v1/fleet.pb.js";
import type { FleetSession } from "./fleet-session.js";

/**
 * Invokers tell of a change within 50 ms. What was ordered longer than this before a capacity came is counted in it;
 * what was ordered later is taken off.
 */
const CAPACITY_LAG_MS = 100;
/** Numbers of ended sandboxes that are remembered: a report that comes late must not bring one back. */
const GONE_KEPT = 4_096;
/** How long a refusal for want of room is believed when no capacity follows it. */
const FULL_MS = 250;

/** A sandbox that was ordered and of which nothing was heard. */
export interface Order {
  readonly id: number;
  readonly actionKey: string;
  readonly revisionId: string;
  readonly invokerBootId: string;
  readonly memoryMb: number;
  /** A stem cell was there for it. */
  readonly stem: boolean;
  readonly orderedMonoMs: number;
}

export class InvokerRecord implements InvokerView {
  session: FleetSession | undefined;
  capacity: Capacity | undefined;
  readonly sandboxes = new Map<number, SandboxView>();
  readonly orders = new Map<number, Order>();
  readonly #gone = new Set<number>();
  readonly kinds: ReadonlySet<string>;
  #capacityMonoMs = -Infinity;
  #fullAtMb = Infinity;
  #fullUntilMonoMs = -Infinity;
  #refusedDraining = false;

  constructor(
    readonly register: Register,
    private readonly monoMs: () => number,
  ) {
    this.kinds = new Set(register.kinds);
  }

  get id(): string {
    return this.register.invokerId;
  }

  get bootId(): string {
    return this.register.bootId;
  }

  get memoryMb(): number {
    return this.register.memoryMb;
  }

  get freeMb(): number {
    const free = this.capacity?.freeMb ?? this.register.memoryMb;
    let uncounted = 0;
    for (const order of this.orders.values()) {
      if (!order.stem && order.orderedMonoMs > this.#capacityMonoMs - CAPACITY_LAG_MS) uncounted += order.memoryMb;
    }
    return Math.max(0, free - uncounted);
  }

  get evictableMb(): number {
    return this.capacity?.evictableMb ?? 0;
  }

  get starting(): number {
    return Math.max(this.capacity?.starting ?? 0, this.orders.size);
  }

  get draining(): boolean {
    return this.#refusedDraining || (this.capacity?.draining ?? false);
  }

  /** Not to be placed on: cut off, silent, or its inventory has not come. */
  get suspect(): boolean {
    return this.session === undefined || this.session.silent || this.session.state !== "serving";
  }

  /** May its free slots be granted? */
  get usable(): boolean {
    return !this.suspect && !this.draining;
  }

  get fullAtMb(): number {
    return this.monoMs() < this.#fullUntilMonoMs ? this.#fullAtMb : Infinity;
  }

  /** A sandbox ended. Its number is not used again. */
  ended(sandbox: number): void {
    this.sandboxes.delete(sandbox);
    this.#gone.add(sandbox);
    if (this.#gone.size <= GONE_KEPT) return;
    for (const oldest of this.#gone) {
      this.#gone.delete(oldest);
      return;
    }
  }

  hasEnded(sandbox: number): boolean {
    return this.#gone.has(sandbox);
  }

  stems(kind: string, memoryMb: number): number {
    const stem = this.capacity?.stems.find((s) => s.kind === kind && s.memoryMb === memoryMb);
    if (!stem) return 0;
    let taken = 0;
    for (const order of this.orders.values()) {
      if (order.stem && order.orderedMonoMs > this.#capacityMonoMs - CAPACITY_LAG_MS) taken += 1;
    }
    return Math.max(0, stem.count - taken);
  }

  reported(capacity: Capacity): void {
    this.capacity = capacity;
    this.#capacityMonoMs = this.monoMs();
    this.#fullUntilMonoMs = -Infinity;
    if (!capacity.draining) this.#refusedDraining = false;
  }

  /** It refused an order: no room. */
  refusedFor(memoryMb: number): void {
    const now = this.monoMs();
    this.#fullAtMb = now < this.#fullUntilMonoMs ? Math.min(this.#fullAtMb, memoryMb) : memoryMb;
    this.#fullUntilMonoMs = now + FULL_MS;
  }

  /** It refused an order because it drains; its capacity will say so too. */
  refusedDraining(): void {
    this.#refusedDraining = true;
  }
}
