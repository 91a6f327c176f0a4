// Keeps an invoker from making sandboxes over and over for code that does not load. It is the user's own failing code, and
// each of its calls is told what the code did: after a few loads in a row that failed, calls are told what the last load
// said, without a sandbox, until a pause has passed; then one load is tried. Pauses double. A load that succeeds ends it,
// and a new revision has never failed.

/** Loads that may fail in a row before the first pause: whoever tries out an action sees each of its own failures. */
export const LOAD_FAILURES_FREE = 5;
export const LOAD_PAUSE_FIRST_MS = 500;
export const LOAD_PAUSE_MAX_MS = 30_000;
/** A pause is longer or shorter by up to so much of it, so that invokers do not try at the same moment. */
export const LOAD_PAUSE_JITTER = 0.25;
/** A load that was let through and of which nothing is heard does not keep others waiting for longer. */
export const LOAD_PROBE_MS = 30_000;
/** Revisions that are remembered; those that failed longest ago are forgotten first. */
export const LOAD_REVISIONS_MAX = 1_024;

export type LoadVerdict<F> =
  | { readonly kind: "load" }
  /** What the last load said is the answer. */
  | { readonly kind: "answer"; readonly failure: F; readonly failures: number; readonly leftMs: number };

interface Failing<F> {
  failures: number;
  failure: F;
  /** How often a pause began. */
  pauses: number;
  pauseBeganMonoMs: number;
  pausedUntilMonoMs: number;
  probeUntilMonoMs: number;
}

/** @typeParam F what a failed load is remembered by */
export class LoadBreaker<F> {
  /** The one that failed longest ago first. */
  readonly #failing = new Map<string, Failing<F>>();

  /** Revisions whose calls are answered without a load now. */
  paused(nowMonoMs: number): number {
    let count = 0;
    for (const one of this.#failing.values()) if (one.pausedUntilMonoMs > nowMonoMs) count += 1;
    return count;
  }

  /** What its calls are to be told, while it pauses or one sandbox tries. */
  known(revisionId: string, nowMonoMs: number): LoadVerdict<F> {
    const failing = this.#failing.get(revisionId);
    if (!failing) return LOAD;
    const untilMonoMs = Math.max(failing.pausedUntilMonoMs, failing.probeUntilMonoMs);
    return untilMonoMs > nowMonoMs ? answer(failing, untilMonoMs - nowMonoMs) : LOAD;
  }

  /** May a sandbox be made for it? The first one after a pause is the one that tries. */
  mayStart(revisionId: string, nowMonoMs: number): LoadVerdict<F> {
    const verdict = this.known(revisionId, nowMonoMs);
    const failing = this.#failing.get(revisionId);
    if (verdict.kind === "load" && failing && failing.failures >= LOAD_FAILURES_FREE) {
      failing.probeUntilMonoMs = nowMonoMs + LOAD_PROBE_MS;
    }
    return verdict;
  }

  /** May a sandbox that is there load it? */
  mayLoad(revisionId: string, nowMonoMs: number): LoadVerdict<F> {
    const failing = this.#failing.get(revisionId);
    if (!failing || failing.pausedUntilMonoMs <= nowMonoMs) return LOAD;
    return answer(failing, failing.pausedUntilMonoMs - nowMonoMs);
  }

  /**
   * @param begunMonoMs when the load began: what began before the last pause failed together with what caused it
   * @param chance between 0 and 1
   */
  failed(revisionId: string, failure: F, begunMonoMs: number, nowMonoMs: number, chance: number): void {
    let failing = this.#failing.get(revisionId);
    failing ??= {
      failures: 0,
      failure,
      pauses: 0,
      pauseBeganMonoMs: -Infinity,
      pausedUntilMonoMs: -Infinity,
      probeUntilMonoMs: -Infinity,
    };
    failing.failures += 1;
    failing.failure = failure;
    if (failing.failures >= LOAD_FAILURES_FREE && begunMonoMs > failing.pauseBeganMonoMs) {
      const pauseMs = Math.min(LOAD_PAUSE_MAX_MS, LOAD_PAUSE_FIRST_MS * 2 ** Math.min(failing.pauses, 20));
      failing.pauses += 1;
      failing.pauseBeganMonoMs = nowMonoMs;
      failing.pausedUntilMonoMs = nowMonoMs + pauseMs * (1 + LOAD_PAUSE_JITTER * (2 * chance - 1));
      failing.probeUntilMonoMs = -Infinity;
    }
    this.#failing.delete(revisionId);
    this.#failing.set(revisionId, failing);
    if (this.#failing.size <= LOAD_REVISIONS_MAX) return;
    for (const oldest of this.#failing.keys()) {
      this.#failing.delete(oldest);
      return;
    }
  }

  loaded(revisionId: string): void {
    this.#failing.delete(revisionId);
  }
}

const LOAD = { kind: "load" } as const;

function answer<F>({ failure, failures }: Failing<F>, leftMs: number): LoadVerdict<F> {
  return { kind: "answer", failure, failures, leftMs };
}
