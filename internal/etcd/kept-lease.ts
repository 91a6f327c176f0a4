// One lease, kept alive over one stream. Its guard says whether it is held; only etcd says that it is lost: after an
// outage a lease may have been prolonged by a new leader, and then everything goes on under the same epochs.

import { Backoff } from "../base/backoff.js";
import type { Clock } from "../base/clock.js";
import { toWeftError, type WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import { LeaseGuard } from "../core/coordination/lease-guard.js";
import type { EtcdClient, EtcdStream } from "./client.js";

export interface KeptLeaseDeps {
  readonly client: EtcdClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export class KeptLease {
  readonly #lost = new AbortController();
  readonly #guard: LeaseGuard;
  readonly #backoff: Backoff;
  /** When what is unanswered on the stream was sent, oldest first. */
  #sent: number[] = [];
  #stream: EtcdStream<string> | undefined;
  #cancelTimer = (): void => {};
  #ended = false;

  constructor(
    private readonly deps: KeptLeaseDeps,
    readonly leaseId: string,
    ttlMs: number,
    grantSentMonoMs: number,
  ) {
    this.#guard = new LeaseGuard(ttlMs, grantSentMonoMs, deps.clock.monoMs());
    this.#backoff = new Backoff({ firstMs: 50, maxMs: this.#guard.keepAliveEveryMs }, deps.random);
    this.#later(this.#guard.keepAliveEveryMs);
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  held(): boolean {
    return !this.#ended && this.#guard.held(this.deps.clock.monoMs());
  }

  /** Keeps it alive no longer, and ends it in etcd; when etcd cannot be reached it runs out by itself. */
  async release(): Promise<void> {
    if (this.#ended) return;
    this.#stop();
    try {
      await this.deps.client.revoke(this.leaseId);
    } catch (thrown) {
      this.deps.log.warn("could not end a lease in etcd; it runs out by itself", { error: toWeftError(thrown) });
    }
  }

  /** etcd said that the lease is over. */
  lose(): void {
    if (this.#ended) return;
    this.#stop();
    this.#lost.abort();
  }

  #stop(): void {
    this.#ended = true;
    this.#cancelTimer();
    this.#stream?.cancel();
    this.#stream = undefined;
  }

  #later(ms: number): void {
    this.#cancelTimer();
    this.#cancelTimer = this.deps.clock.after(ms, () => {
      this.#keepAlive();
    });
  }

  #keepAlive(): void {
    const { client, clock } = this.deps;
    // Unanswered since the last one: the stream is dead, whatever it says of itself.
    if (this.#sent.length > 0) this.#drop();
    if (!this.#stream) {
      const stream = client.keepAliveStream(
        (ttlMs) => {
          if (this.#stream === stream) this.#answered(ttlMs);
        },
        (why) => {
          if (this.#stream === stream) this.#broken(why);
        },
      );
      this.#stream = stream;
    }
    this.#sent.push(clock.monoMs());
    this.#stream.write(this.leaseId);
    this.#later(this.#guard.keepAliveEveryMs);
  }

  #answered(ttlMs: number): void {
    if (ttlMs <= 0) {
      this.lose();
      return;
    }
    const sent = this.#sent.shift();
    if (sent === undefined) return; // an answer that nobody asked for proves nothing
    this.#guard.acknowledged(sent, this.deps.clock.monoMs(), ttlMs);
    this.#backoff.reset();
  }

  #broken(why: WeftError): void {
    this.deps.log.debug("a keep-alive stream to etcd ended", { error: why });
    this.#drop();
    this.#later(this.#backoff.nextMs());
  }

  #drop(): void {
    this.#stream?.cancel();
    this.#stream = undefined;
    this.#sent = [];
  }
}
