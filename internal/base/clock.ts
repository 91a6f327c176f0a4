/** Time as an argument. Wall time is for records; monotonic time is for durations and deadlines. */
export interface Clock {
  /** Milliseconds since 1970; may jump. */
  wallMs(): number;
  /** Milliseconds from some fixed moment, with a fraction; never goes back. */
  monoMs(): number;
  /**
   * Runs `act` once, `ms` from now. The timer does not keep the process alive. 0: when all that is happening now is
   * done, what it has to send included.
   * @returns what cancels it; may be called after it ran
   */
  after(ms: number, act: () => void): () => void;
}

/** Runs `act` every `ms`, first after one period. @returns what ends it */
export function every(clock: Clock, ms: number, act: () => void): () => void {
  let cancel = (): void => {};
  const arm = (): void => {
    cancel = clock.after(ms, () => {
      arm();
      act();
    });
  };
  arm();
  return () => cancel();
}

/** Resolves after `ms`, or rejects with the signal's reason when it is aborted first. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = (): void => {
      cancel();
      reject(signal?.reason as Error);
    };
    const cancel = clock.after(ms, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
