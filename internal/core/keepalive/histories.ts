import { GapHistogram } from "./gap-histogram.js";

/** What is known of the calls of one action here. */
export class ActionHistory {
  readonly gaps = new GapHistogram();
  /** When a sandbox of it last became idle, monotonic. */
  lastIdleMonoMs = -Infinity;
}

/** Histories by action, also of those that have no sandbox now; those that were asked for longest ago are forgotten. */
export class ActionHistories {
  readonly #histories = new Map<string, ActionHistory>();

  constructor(private readonly max: number) {}

  of(actionKey: string): ActionHistory {
    const history = this.#histories.get(actionKey) ?? new ActionHistory();
    this.#histories.delete(actionKey);
    this.#histories.set(actionKey, history);
    if (this.#histories.size > this.max) {
      for (const oldest of this.#histories.keys()) {
        this.#histories.delete(oldest);
        break;
      }
    }
    return history;
  }
}
