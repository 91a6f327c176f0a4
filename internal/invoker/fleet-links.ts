// The invoker's links to schedulers: one to each that lives.
//
//   F1. A link begins with who this is and everything that is here; from then on changes are told as they happen.
//   F2. When a link breaks nothing is lost: the next one begins with everything again.
//   F3. Capacity is told on change, and not more often than every 50 ms.

import { Backoff } from "../base/backoff.js";
import type { Clock } from "../base/clock.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import type { Member } from "../core/coordination/coordination.js";
import type {
  Capacity,
  FleetRequestItem,
  FleetResponseItem,
  Inventory,
  Register,
} from "../gen/weft/link/v1/fleet.pb.js";
import { fleetLink } from "../rpc/link-methods.js";
import type { Link } from "../rpc/link.js";
import type { Network } from "../rpc/network.js";
import type { InvokerMetrics } from "./metrics.js";
import type { CreateOrder } from "./sandbox-host.js";

const CAPACITY_EVERY_MS = 50;
const HEARTBEAT_MS_MIN = 20;

export interface FleetLinksDeps {
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: InvokerMetrics;
  readonly register: () => Register;
  readonly inventory: () => Inventory;
  readonly capacity: () => Capacity;
  readonly create: (order: CreateOrder, schedulerBootId: string) => void;
  readonly destroy: (sandbox: number, shard: number, epoch: number) => void;
}

export class FleetLinks {
  readonly #links = new Map<string, FleetLink>();
  #cancelCapacity: (() => void) | undefined;
  #toldMonoMs = -Infinity;
  #open = false;

  constructor(private readonly deps: FleetLinksDeps) {
    deps.metrics.fleetLinks.from(() => this.connected);
  }

  /** Schedulers that answered. */
  get connected(): number {
    let count = 0;
    for (const link of this.#links.values()) if (link.welcomed) count += 1;
    return count;
  }

  open(): void {
    this.#open = true;
  }

  /** The schedulers that live now. */
  schedulers(members: readonly Member[]): void {
    if (!this.#open) return;
    const alive = new Set(members.map((member) => member.bootId));
    for (const [bootId, link] of this.#links) {
      if (alive.has(bootId)) continue;
      link.close();
      this.#links.delete(bootId);
    }
    for (const member of members) {
      if (this.#links.has(member.bootId)) continue;
      const link = new FleetLink(member, this.deps);
      this.#links.set(member.bootId, link);
      link.connect();
    }
  }

  /** @param itemFor what one scheduler is told; undefined: nothing */
  tell(itemFor: (schedulerBootId: string) => FleetRequestItem | undefined): void {
    for (const [bootId, link] of this.#links) {
      const item = itemFor(bootId);
      if (item) link.send(item);
    }
  }

  /** F3 */
  capacityChanged(): void {
    if (this.#cancelCapacity || this.#links.size === 0) return;
    const { clock } = this.deps;
    const inMs = Math.max(0, this.#toldMonoMs + CAPACITY_EVERY_MS - clock.monoMs());
    this.#cancelCapacity = clock.after(inMs, () => {
      this.#cancelCapacity = undefined;
      this.#toldMonoMs = clock.monoMs();
      const item: FleetRequestItem = { item: { $case: "capacity", value: this.deps.capacity() } };
      for (const link of this.#links.values()) link.send(item);
    });
  }

  /** Ends every link. They may be opened again, as another life of this invoker. */
  close(): void {
    this.#open = false;
    this.#cancelCapacity?.();
    this.#cancelCapacity = undefined;
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
  }

  describe(): unknown {
    return [...this.#links.values()].map((link) => ({
      schedulerId: link.member.id,
      bootId: link.member.bootId,
      welcomed: link.welcomed,
    }));
  }
}

class FleetLink {
  readonly #backoff: Backoff;
  #link: Link<FleetResponseItem, FleetRequestItem> | undefined;
  #cancel = (): void => {};
  #closed = false;
  welcomed = false;

  constructor(
    readonly member: Member,
    private readonly deps: FleetLinksDeps,
  ) {
    this.#backoff = new Backoff({ firstMs: 50, maxMs: 1_000 }, deps.random);
  }

  connect(): void {
    if (this.#closed) return;
    const link = this.deps.network.dial(this.member.address, fleetLink);
    this.#link = link;
    link.onItem = (item) => this.#receive(item);
    link.onClosed = (why) => this.#broken(link, why?.message);
    // F1, F2. What changes from here on is told after it, in order.
    link.send({ item: { $case: "register", value: this.deps.register() } });
    link.send({ item: { $case: "inventory", value: this.deps.inventory() } });
    link.send({ item: { $case: "capacity", value: this.deps.capacity() } });
  }

  send(item: FleetRequestItem): void {
    this.#link?.send(item);
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
    this.#link?.close();
    this.#link = undefined;
    this.welcomed = false;
  }

  #broken(link: Link<FleetResponseItem, FleetRequestItem>, why: string | undefined): void {
    if (this.#link !== link || this.#closed) return;
    if (this.welcomed) {
      this.deps.log.info("the link to a scheduler ended", { schedulerId: this.member.id, reason: why ?? "closed" });
    }
    this.#link = undefined;
    this.welcomed = false;
    this.#cancel();
    this.#cancel = this.deps.clock.after(this.#backoff.nextMs(), () => this.connect());
  }

  #receive({ item }: FleetResponseItem): void {
    switch (item?.$case) {
      case "welcome": {
        this.welcomed = true;
        this.#backoff.reset();
        this.deps.log.info("a scheduler answers", { schedulerId: item.value.schedulerId });
        this.#beat(Math.max(HEARTBEAT_MS_MIN, item.value.heartbeatMs));
        return;
      }
      case "create": {
        const { order, shard, epoch, action } = item.value;
        if (action) this.deps.create({ order, shard, epoch, action }, this.member.bootId);
        return;
      }
      case "destroy":
        this.deps.destroy(item.value.sandbox, item.value.shard, item.value.epoch);
        return;
      case undefined: // something of a newer scheduler
    }
  }

  #beat(everyMs: number): void {
    this.#cancel();
    this.#cancel = this.deps.clock.after(everyMs, () => {
      this.send({ item: { $case: "heartbeat", value: {} } });
      this.#beat(everyMs);
    });
  }
}
