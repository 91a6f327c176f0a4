// A user for each sandbox. Some of what a machine has is counted per user and not per container: inotify instances,
// watched descriptors, pending signals, buffers of pipes. With one user for all, one sandbox could take it from the others.
// All of them are called weft in our images (deploy/docker/base), and all are of the group weft.

import { createHash } from "node:crypto";

/** On nobody's machine anybody: between what distributions give to people and what they give to containers. */
const FIRST = 66_000;
const COUNT = 1_000;
const GROUP = 65_532;

export class SandboxUsers {
  readonly #taken = new Set<number>();
  /** Users of containers that are somebody else's to remove, by container. */
  readonly #left = new Map<string, number>();
  #next: number;

  /** @param seed differs between the invokers of a machine, so that they rarely begin with the same users */
  constructor(seed: string) {
    this.#next = createHash("sha256").update(seed).digest().readUInt32BE(0) % COUNT;
  }

  /** The user longest unused. With all of them taken, two sandboxes share one: they lose no wall by that. */
  take(): number {
    for (let tries = 0; tries < COUNT; tries++) {
      const user = FIRST + this.#next;
      this.#next = (this.#next + 1) % COUNT;
      if (this.#taken.has(user)) continue;
      this.#taken.add(user);
      return user;
    }
    return FIRST + this.#next;
  }

  /** The user of a sandbox of an earlier life, as Docker says it; 0 for one that is none of these. */
  keep(text: string): number {
    const user = Number(/^(\d+):/.exec(text)?.[1] ?? 0);
    if (user >= FIRST && user < FIRST + COUNT) this.#taken.add(user);
    return user;
  }

  release(user: number): void {
    this.#taken.delete(user);
  }

  /** Its container is nobody's sandbox any more, and not gone yet. */
  leaveTo(container: string, user: number): void {
    this.#left.set(container, user);
  }

  /** Releases the users of such containers, unless they are still there. */
  releaseUnless(there: ReadonlySet<string>): void {
    for (const [container, user] of this.#left) {
      if (there.has(container)) continue;
      this.#left.delete(container);
      this.release(user);
    }
  }
}

/** As Docker takes it. */
export function asUser(user: number): string {
  return `${user}:${GROUP}`;
}
