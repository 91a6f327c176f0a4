// Records of activations that no invoker will report: they are sent to a controller as soon as one answers. In memory
// and bounded: a gateway that dies with them leaves activations without a record, as it leaves callers without answer.

import { Backoff } from "../base/backoff.js";
import { BoundedQueue } from "../base/bounded-queue.js";
import type { Clock } from "../base/clock.js";
import { toWeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { Counter } from "../base/metrics.js";
import type { Random } from "../base/random.js";
import type { ActivationRecord } from "../gen/weft/link/v1/control.pb.js";
import type { ControllerClient } from "./controller-client.js";

/** An invoker with thousands of calls in flight may die while the controller is away. */
const UNSENT_MAX = 10_000;
/** As many as a controller takes at once. */
const BATCH_MAX = 500;

export interface LostRecordsDeps {
  readonly controller: Pick<ControllerClient, "record">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly dropped: Counter;
}

export class LostRecords {
  readonly #unsent = new BoundedQueue<ActivationRecord>(UNSENT_MAX);
  readonly #backoff: Backoff;
  #sending: Promise<void> | undefined;
  #cancelRetry = (): void => {};

  constructor(private readonly deps: LostRecordsDeps) {
    this.#backoff = new Backoff({ firstMs: 100, maxMs: 5_000 }, deps.random);
  }

  get size(): number {
    return this.#unsent.size;
  }

  /** Takes responsibility for a record; the oldest goes when there is no room. */
  keep(record: ActivationRecord): void {
    if (this.#unsent.full) {
      this.#unsent.shift();
      this.deps.dropped.inc();
    }
    this.#unsent.push(record);
    this.#send();
  }

  /** Tries once more to send what is left. What cannot be sent is told in the log. */
  async close(): Promise<void> {
    this.#cancelRetry();
    this.#send();
    await this.#sending;
    this.#cancelRetry();
    if (this.#unsent.size > 0) {
      this.deps.dropped.inc(this.#unsent.size);
      this.deps.log.error("records of lost activations could not be kept", { records: this.#unsent.size });
    }
  }

  #send(): void {
    if (this.#sending || this.#unsent.size === 0) return;
    this.#cancelRetry();
    this.#sending = this.#sendAll().then(
      () => {
        this.#sending = undefined;
        this.#backoff.reset();
        this.#send(); // what came meanwhile
      },
      (thrown: unknown) => {
        this.#sending = undefined;
        this.deps.log.warn("records of lost activations wait for a controller", {
          records: this.#unsent.size,
          error: toWeftError(thrown),
        });
        this.#cancelRetry = this.deps.clock.after(this.#backoff.nextMs(), () => {
          this.#send();
        });
      },
    );
  }

  async #sendAll(): Promise<void> {
    while (this.#unsent.size > 0) {
      const batch: ActivationRecord[] = [];
      for (let next = this.#unsent.shift(); next; next = batch.length < BATCH_MAX ? this.#unsent.shift() : undefined) {
        batch.push(next);
      }
      try {
        await this.deps.controller.record(batch);
      } catch (thrown) {
        for (const record of batch) if (!this.#unsent.push(record)) this.deps.dropped.inc();
        throw thrown;
      }
    }
  }
}
