import { WeftError } from "../base/errors.js";
import type { Link, LinkMethod } from "./link.js";

/** How processes reach each other over links. GrpcNetwork in production, MemoryNetwork in tests and simulation. */
export interface Network {
  /**
   * Opens a link. Never throws: when the address cannot be reached, onClosed says why.
   * @param headers sent with the call
   */
  dial<Up, Down>(
    address: string,
    method: LinkMethod<Up, Down>,
    headers?: Readonly<Record<string, string>>,
  ): Link<Down, Up>;
}

/** Links inside one process: items are handed over as they are, in order, in a later microtask. */
export class MemoryNetwork implements Network {
  readonly #servers = new Map<string, (link: Link<unknown, unknown>) => void>();
  readonly #links = new Map<string, Set<MemoryLink<unknown, unknown>>>();

  /** @returns what stops serving; links already open go on */
  serve<Up, Down>(address: string, method: LinkMethod<Up, Down>, accept: (link: Link<Up, Down>) => void): () => void {
    const key = `${address}${method.path}`;
    this.#servers.set(key, accept);
    return () => this.#servers.delete(key);
  }

  dial<Up, Down>(address: string, method: LinkMethod<Up, Down>): Link<Down, Up> {
    const near = new MemoryLink<Down, Up>();
    const accept = this.#servers.get(`${address}${method.path}`);
    if (!accept) {
      queueMicrotask(() => near.end(new WeftError("unavailable", "UNREACHABLE", `nobody listens on ${address}`)));
      return near;
    }
    const far = new MemoryLink<Up, Down>();
    near.peer = far;
    far.peer = near;
    const open = this.#links.get(address) ?? new Set();
    this.#links.set(address, open);
    open.add(near as MemoryLink<unknown, unknown>);
    accept(far as Link<unknown, unknown>);
    return near;
  }

  /** Ends every link to an address, as a crash of its process would. */
  breakLinks(address: string): void {
    const why = new WeftError("unavailable", "LINK_LOST", "the peer went away");
    for (const link of this.#links.get(address) ?? []) {
      link.peer?.end(why);
      link.end(why);
    }
    this.#links.delete(address);
  }
}

class MemoryLink<In, Out> implements Link<In, Out> {
  onItem: (item: In) => void = () => {};
  onClosed: (why: WeftError | undefined) => void = () => {};
  onFinished: (() => void) | undefined;
  peer: MemoryLink<Out, In> | undefined;
  readonly backlogBytes = 0;
  #open = true;

  get open(): boolean {
    return this.#open;
  }

  send(item: Out): boolean {
    if (!this.#open) return false;
    const { peer } = this;
    queueMicrotask(() => peer?.deliver(item));
    return true;
  }

  finish(): void {
    const { peer } = this;
    if (!this.#open) return;
    queueMicrotask(() => {
      peer?.finished();
    });
  }

  close(why?: WeftError): void {
    const { peer } = this;
    if (!this.#open) return;
    this.end(undefined);
    queueMicrotask(() => peer?.end(why));
  }

  finished(): void {
    if (!this.#open) return;
    if (this.onFinished) this.onFinished();
    else this.close();
  }

  deliver(item: In): void {
    if (this.#open) this.onItem(item);
  }

  end(why: WeftError | undefined): void {
    if (!this.#open) return;
    this.#open = false;
    this.onClosed(why);
  }
}
