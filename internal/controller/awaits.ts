// Callers who wait for the record of a request that was submitted.

import { every, type Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import type { ActivationId } from "../base/ids.js";
import type { ActivationStore } from "../core/activation/store.js";
import type { ActionActivation, Activation } from "../core/activation/types.js";

/** Records that another controller stored are looked for this often. */
const LOOK_EVERY_MS = 2_000;

export interface AwaitsDeps {
  readonly activations: Pick<ActivationStore, "get">;
  readonly clock: Clock;
}

interface Waiter {
  readonly namespace: string;
  told(activation: ActionActivation): void;
  failed(error: WeftError): void;
}

export class Awaits {
  readonly #waiters = new Map<ActivationId, Set<Waiter>>();
  #closed = false;

  constructor(private readonly deps: AwaitsDeps) {}

  get size(): number {
    return this.#waiters.size;
  }

  /** @returns undefined when the wait ends first. @throws unavailable when this controller stops, or cannot look */
  async wait(
    namespace: string,
    id: ActivationId,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<ActionActivation | undefined> {
    if (this.#closed) throw stopped();
    const ends: (() => void)[] = [];
    try {
      return await new Promise((resolve, reject) => {
        const waiter: Waiter = { namespace, told: resolve, failed: reject };
        // Before it is looked for: a record that is stored meanwhile is told of.
        this.#add(id, waiter);
        ends.push(() => this.#remove(id, waiter));
        ends.push(this.deps.clock.after(waitMs, () => resolve(undefined)));
        const hungUp = (): void => resolve(undefined);
        signal.addEventListener("abort", hungUp, { once: true });
        ends.push(() => signal.removeEventListener("abort", hungUp));
        const look = (): void => {
          this.#look(id, waiter).catch(reject);
        };
        ends.push(every(this.deps.clock, LOOK_EVERY_MS, look));
        look();
      });
    } finally {
      for (const end of ends) end();
    }
  }

  /** Told of every record that is durable. */
  recorded(activation: Activation): void {
    const waiters = this.#waiters.get(activation.id);
    if (!waiters || activation.of !== "action") return;
    for (const waiter of waiters) if (waiter.namespace === activation.namespace) waiter.told(activation);
  }

  /** Sends everybody to another controller. */
  close(): void {
    this.#closed = true;
    for (const waiters of this.#waiters.values()) for (const waiter of waiters) waiter.failed(stopped());
  }

  async #look(id: ActivationId, waiter: Waiter): Promise<void> {
    try {
      const found = await this.deps.activations.get(waiter.namespace, id);
      if (found.of === "action") waiter.told(found);
    } catch (thrown) {
      if (toWeftError(thrown).kind !== "notFound") throw thrown;
    }
  }

  #add(id: ActivationId, waiter: Waiter): void {
    const waiters = this.#waiters.get(id) ?? new Set();
    waiters.add(waiter);
    this.#waiters.set(id, waiters);
  }

  #remove(id: ActivationId, waiter: Waiter): void {
    const waiters = this.#waiters.get(id);
    waiters?.delete(waiter);
    if (waiters?.size === 0) this.#waiters.delete(id);
  }
}

function stopped(): WeftError {
  return new WeftError("unavailable", "STOPPED", "this controller is stopping");
}
