import type { Clock } from "../../base/clock.js";
import { WeftError } from "../../base/errors.js";

/** Waits for `start` no longer than it may take, and not once nobody wants it. @throws deadlineExceeded, canceled */
export function withinStartLimits<T>(
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal,
  what: string,
  start: Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      cancel();
      signal.removeEventListener("abort", onAbort);
    };
    const onAbort = (): void => {
      settle();
      reject(
        new WeftError("canceled", "START_CANCELED", `the start of ${what} was given up`, { cause: signal.reason }),
      );
    };
    const cancel = clock.after(timeoutMs, () => {
      settle();
      reject(new WeftError("deadlineExceeded", "START_TIMEOUT", `${what} was not ready within ${timeoutMs} ms`));
    });
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    start.then(
      (value) => {
        settle();
        resolve(value);
      },
      (thrown: unknown) => {
        settle();
        reject(thrown);
      },
    );
  });
}
