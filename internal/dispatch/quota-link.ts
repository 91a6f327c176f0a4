// How those who admit calls get their shares of the throttles from the scheduler that owns them. What is decided is in
// core/throttle; this carries it over the link.
//
//   Q1. A new link begins with everything that is held: the scheduler behind it may be a new one.
//   Q2. What is said while there is no link is not lost: it shows in what is held then.

import { Backoff } from "../base/backoff.js";
import type { Clock } from "../base/clock.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import type { Coordination, Member, Role } from "../core/coordination/coordination.js";
import type { QuotaAccount } from "../core/throttle/account.js";
import { ASK_MS, type BankPort } from "../core/throttle/share.js";
import type { Throttles } from "../core/throttle/throttle.js";
import type { QuotaRequestItem, QuotaResponseItem } from "../gen/weft/link/v1/quota.pb.js";
import { quotaLink } from "../rpc/link-methods.js";
import type { Link } from "../rpc/link.js";
import type { Network } from "../rpc/network.js";
import { accountOfWire, accountToWire } from "./quota-wire.js";

/** A link that broke is soon made anew: calls wait for it that long. */
const RELINK_MS = 250;

export interface QuotaLinkDeps {
  /** Id of the gateway or controller. */
  readonly id: string;
  readonly bootId: string;
  /** Those of the same role share the limits evenly while no scheduler can be asked. */
  readonly role: Role;
  readonly throttles: Throttles;
  readonly network: Network;
  readonly coordination: Pick<Coordination, "watchMembers">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export class QuotaLink implements BankPort {
  readonly #backoff: Backoff;
  #current: { readonly member: Member; readonly link: Link<QuotaResponseItem, QuotaRequestItem> } | undefined;
  #schedulers: readonly Member[] = [];
  #peers = 1;
  #avoid = "";
  #lostMonoMs = -Infinity;
  #silent = false;
  #waitingToDial = false;
  #stop = new AbortController();

  constructor(private readonly deps: QuotaLinkDeps) {
    this.#backoff = new Backoff({ firstMs: 20, maxMs: 1_000 }, deps.random);
  }

  /** Looks for a scheduler; ends with close(). */
  start(): void {
    this.deps.throttles.connect(this);
    this.deps.coordination.watchMembers({ members: (all) => this.#members(all) }, this.#stop.signal);
  }

  /** Whoever admits has drained. */
  close(): void {
    this.deps.throttles.drop();
    this.#stop.abort();
    this.#current?.link.close();
  }

  get linked(): boolean {
    return this.#current !== undefined;
  }

  // ---- for the throttles ----

  waitMs(): number {
    if (this.#current) return this.#silent ? 0 : ASK_MS;
    return this.#lostMonoMs + RELINK_MS - this.deps.clock.monoMs();
  }

  holders(): number {
    return this.#peers;
  }

  want(account: QuotaAccount, limit: number, permits: number, urgent: boolean): void {
    this.#say({ $case: "want", value: { account: accountToWire(account), limit, permits, urgent } });
  }

  giveBack(account: QuotaAccount, permits: number, recalled: boolean): void {
    this.#say({ $case: "returned", value: { account: accountToWire(account), permits, recalled } });
  }

  taken(account: QuotaAccount, permits: number): void {
    this.#say({ $case: "taken", value: { account: accountToWire(account), permits } });
  }

  silent(): void {
    if (!this.#current || this.#silent) return;
    this.#silent = true;
    this.deps.log.warn("the scheduler does not answer for the throttles: this process goes by an even share", {
      schedulerId: this.#current.member.id,
    });
  }

  // ---- the link ----

  #say(item: QuotaRequestItem["item"]): void {
    this.#current?.link.send({ item }); // Q2
  }

  #members(all: readonly Member[]): void {
    const { role } = this.deps;
    this.#schedulers = all.filter((m) => m.role === "scheduler").sort((a, b) => (a.id < b.id ? -1 : 1));
    this.#peers = Math.max(1, all.filter((m) => m.role === role).length);
    const current = this.#current?.member;
    if (current && !this.#schedulers.some((m) => m.bootId === current.bootId)) this.#current?.link.close();
    this.#dial();
  }

  #dial(): void {
    if (this.#current || this.#waitingToDial || this.#stop.signal.aborted) return;
    const member = this.#schedulers.find((m) => m.bootId !== this.#avoid) ?? this.#schedulers[0];
    if (!member) return;
    const { id, bootId, throttles, network } = this.deps;
    const link = network.dial(member.address, quotaLink);
    this.#current = { member, link };
    this.#silent = false;
    link.onItem = (item) => this.#receive(item);
    link.onClosed = () => this.#lost(member);
    link.send({ item: { $case: "hello", value: { holderId: id, bootId, wireVersion: 1 } } });
    const holdings = throttles.held().map(({ account, permits }) => ({ account: accountToWire(account), permits }));
    link.send({ item: { $case: "held", value: { holdings } } }); // Q1
    throttles.linked();
  }

  #lost(member: Member): void {
    this.#current = undefined;
    this.#avoid = member.bootId;
    // Only a link over which something was said is worth waiting for.
    if (this.#backoff.fresh) this.#lostMonoMs = this.deps.clock.monoMs();
    if (this.#stop.signal.aborted) return;
    this.#waitingToDial = true;
    this.deps.clock.after(this.#backoff.nextMs(), () => {
      this.#waitingToDial = false;
      this.#dial();
    });
  }

  #receive({ item }: QuotaResponseItem): void {
    this.#silent = false;
    this.#backoff.reset();
    const { throttles } = this.deps;
    switch (item?.$case) {
      case "grant": {
        const account = accountOfWire(item.value.account);
        if (account) throttles.granted(account, item.value.permits);
        return;
      }
      case "denial": {
        const account = accountOfWire(item.value.account);
        if (account) throttles.denied(account, item.value);
        return;
      }
      case "recall": {
        const account = accountOfWire(item.value.account);
        if (account) throttles.recalled(account);
        return;
      }
      case undefined: // something of a newer scheduler
        return;
    }
  }
}
