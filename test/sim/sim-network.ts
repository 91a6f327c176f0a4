import type { Random } from "../../internal/base/random.js";
import type { Clock } from "../../internal/base/clock.js";
import { WeftError } from "../../internal/base/errors.js";
import type { Link, LinkMethod } from "../../internal/rpc/link.js";
import type { Network } from "../../internal/rpc/network.js";

/**
 * Links between simulated processes: items keep their order, take a while, and are lost with the link when it breaks.
 * The two ends of a broken link notice at different times. A stalled process neither hears nor is heard until it goes on.
 */
export class SimNetwork {
  readonly #servers = new Map<string, { readonly process: string; accept: (link: Link<unknown, unknown>) => void }>();
  readonly #links = new Set<SimLink>();
  readonly #stalledUntilMonoMs = new Map<string, number>();
  readonly #dead = new Set<string>();

  constructor(
    readonly clock: Clock,
    readonly random: Random,
  ) {}

  serve<Up, Down>(
    process: string,
    address: string,
    method: LinkMethod<Up, Down>,
    accept: (link: Link<Up, Down>) => void,
  ): void {
    this.#servers.set(`${address}${method.path}`, {
      process,
      accept: accept,
    });
  }

  /** The network as one process sees it. */
  of(process: string): Network {
    return {
      dial: <Up, Down>(address: string, method: LinkMethod<Up, Down>) => this.#dial(process, address, method.path),
    };
  }

  /** The process dies: what it sent may still arrive, nothing else of it does. */
  kill(process: string): void {
    this.#dead.add(process);
    for (const [key, server] of this.#servers) if (server.process === process) this.#servers.delete(key);
    for (const link of [...this.#links]) if (link.here === process) this.#break(link);
  }

  /** Breaks one link of a process, as a network does. @returns false when it has none */
  breakOne(process: string): boolean {
    const links = [...this.#links].filter((link) => link.here === process);
    const link = links[Math.floor(this.random.next() * links.length)];
    if (link) this.#break(link);
    return link !== undefined;
  }

  stall(process: string, ms: number): void {
    this.#stalledUntilMonoMs.set(process, this.clock.monoMs() + ms);
  }

  /** When something sent now from one to another is there. */
  arrivalMonoMs(from: string, to: string): number {
    const now = this.clock.monoMs();
    const stall = Math.max(this.#stalledUntilMonoMs.get(from) ?? 0, this.#stalledUntilMonoMs.get(to) ?? 0);
    return Math.max(now, stall) + 0.1 + 2 * this.random.next();
  }

  forget(link: SimLink): void {
    this.#links.delete(link);
  }

  #dial(process: string, address: string, path: string): SimLink {
    const near = new SimLink(this, process);
    const server = this.#servers.get(`${address}${path}`);
    if (!server || this.#dead.has(process)) {
      this.clock.after(1, () => near.over(new WeftError("unavailable", "UNREACHABLE", `nobody listens on ${address}`)));
      return near;
    }
    const far = new SimLink(this, server.process);
    near.peer = far;
    far.peer = near;
    this.#links.add(near);
    this.#links.add(far);
    server.accept(far);
    return near;
  }

  #break(link: SimLink): void {
    const why = new WeftError("unavailable", "LINK_LOST", "the link broke");
    const { peer } = link;
    link.over(why);
    if (peer) this.clock.after(this.random.next() * 20, () => peer.over(why));
    // Until it notices, the other end writes into the void.
    link.deaf = true;
    if (peer) peer.deaf = true;
  }
}

class SimLink implements Link<unknown, unknown> {
  onItem: (item: unknown) => void = () => {};
  onClosed: (why: WeftError | undefined) => void = () => {};
  onFinished: (() => void) | undefined;
  readonly backlogBytes = 0;
  peer: SimLink | undefined;
  deaf = false;
  #open = true;
  #lastArrivalMonoMs = 0;

  constructor(
    private readonly network: SimNetwork,
    readonly here: string,
  ) {}

  get open(): boolean {
    return this.#open;
  }

  send(item: unknown): boolean {
    if (!this.#open) return false;
    this.#deliver((peer) => peer.onItem(item));
    return true;
  }

  finish(): void {
    if (!this.#open) return;
    this.#deliver((peer) => {
      if (peer.onFinished) peer.onFinished();
      else peer.close();
    });
  }

  close(): void {
    if (!this.#open) return;
    this.#deliver((peer) => peer.over(undefined));
    this.over(undefined);
  }

  over(why: WeftError | undefined): void {
    if (!this.#open) return;
    this.#open = false;
    this.network.forget(this);
    this.onClosed(why);
  }

  #deliver(act: (peer: SimLink) => void): void {
    const { peer, network } = this;
    if (!peer) return;
    this.#lastArrivalMonoMs = Math.max(this.#lastArrivalMonoMs, network.arrivalMonoMs(this.here, peer.here));
    network.clock.after(this.#lastArrivalMonoMs - network.clock.monoMs(), () => {
      if (peer.#open && !peer.deaf) act(peer);
    });
  }
}
