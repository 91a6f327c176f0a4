// Who is alive right now, kept up to date: what a role asks when it wants to reach another one.

import type { Coordination, Member, Role } from "./coordination.js";

export class MemberView {
  #members: readonly Member[] = [];
  readonly #listeners = new Set<() => void>();
  readonly #stop = new AbortController();

  constructor(private readonly coordination: Coordination) {}

  /** Begins to watch; ends with close(). */
  start(): void {
    this.coordination.watchMembers(
      {
        members: (all) => {
          this.#members = all;
          for (const listener of this.#listeners) listener();
        },
      },
      this.#stop.signal,
    );
  }

  /** Members of a role, ordered by id. */
  of(role: Role): readonly Member[] {
    return this.#members.filter((m) => m.role === role).sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  }

  /** Calls `listener` after each change. @returns what ends it */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#stop.abort();
    this.#listeners.clear();
  }
}
