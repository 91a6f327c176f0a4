// A process's place among the members, kept for as long as the process lives: joins, and joins again after a loss.
//
//   R1. There is at most one membership at a time; held() speaks of that one.
//   R2. What was tied to a lost membership (shards, epochs) is gone: onJoined comes anew and takes it again.

import { Backoff } from "../../base/backoff.js";
import type { Clock } from "../../base/clock.js";
import { toWeftError } from "../../base/errors.js";
import type { Log } from "../../base/log.js";
import type { Random } from "../../base/random.js";
import type { Coordination, Member, Membership } from "./coordination.js";

export interface PresenceDeps {
  readonly coordination: Coordination;
  readonly member: Member;
  readonly ttlMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Told of each membership, the first included. */
  readonly onJoined?: (membership: Membership) => void;
  /** The membership is lost; the next one is sought already. */
  readonly onLost?: () => void;
}

export class Presence {
  readonly #backoff: Backoff;
  #membership: Membership | undefined;
  #cancelRetry = (): void => {};
  #closed = false;

  constructor(private readonly deps: PresenceDeps) {
    this.#backoff = new Backoff({ firstMs: 100, maxMs: 5_000 }, deps.random);
  }

  /** Resolves when joined. @throws what the first join throws: a process that cannot join does not start */
  async start(): Promise<void> {
    this.#joined(await this.deps.coordination.join(this.deps.member, this.deps.ttlMs));
  }

  /** True while the lease is certainly held. */
  held(): boolean {
    return this.#membership?.held() ?? false;
  }

  get membership(): Membership | undefined {
    return this.#membership;
  }

  /** Leaves. May be repeated. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelRetry();
    await this.#membership?.leave();
    this.#membership = undefined;
  }

  #joined(membership: Membership): void {
    if (this.#closed) {
      // Closed while it joined: the place is given up again.
      membership.leave().catch((thrown: unknown) => {
        this.deps.log.warn("could not leave the members; the lease runs out by itself", { error: toWeftError(thrown) });
      });
      return;
    }
    this.#membership = membership;
    this.#backoff.reset();
    const onLost = (): void => {
      if (this.#membership !== membership || this.#closed) return;
      this.#membership = undefined; // R1
      this.deps.log.warn("lost the place among the members; joining again", { memberId: this.deps.member.id });
      this.deps.onLost?.();
      this.#rejoin();
    };
    membership.lost.addEventListener("abort", onLost, { once: true });
    this.deps.onJoined?.(membership); // R2
    if (membership.lost.aborted) onLost();
  }

  #rejoin(): void {
    if (this.#closed) return;
    const { coordination, member, ttlMs, clock, log } = this.deps;
    coordination.join(member, ttlMs).then(
      (membership) => {
        log.info("joined the members again", { memberId: member.id });
        this.#joined(membership);
      },
      (thrown: unknown) => {
        if (this.#closed) return;
        log.warn("could not join the members", { memberId: member.id, error: toWeftError(thrown) });
        this.#cancelRetry = clock.after(this.#backoff.nextMs(), () => {
          this.#rejoin();
        });
      },
    );
  }
}
