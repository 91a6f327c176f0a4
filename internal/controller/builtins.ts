// Runs built-in actions. Their requests are durable as those of sequences: the row stays in the queue until the record is
// stored, and a controller that takes it over runs it again.

import { Backoff } from "../base/backoff.js";
import { sleep, type Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import { isObject, membersOf, type JsonText } from "../base/json-text.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import type { RecordedActivation } from "../core/activation/store.js";
import type { Outcome } from "../core/activation/types.js";
import { explain, recordOfResult } from "../core/activation/unstarted.js";
import { problemText } from "../core/action/build.js";
import type { Builtins } from "../core/builtin/builtin.js";
import type { QueuedRequest } from "../core/queue/store.js";
import { qualifiedKey } from "../core/tenancy/name.js";
import type { Resolved } from "./resolver.js";

export interface BuiltinRunnerDeps {
  readonly builtins: Builtins;
  /** Resolves when it is durable. */
  readonly record: (records: readonly RecordedActivation[]) => Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Runs of one that found the database busy or away, before it ends as a platform error. */
const TRIES_MAX = 5;

interface End {
  readonly outcome: Outcome;
  readonly resultJson: JsonText;
}

export class BuiltinRunner {
  readonly #running = new Set<Promise<void>>();
  readonly #stop = new AbortController();

  constructor(private readonly deps: BuiltinRunnerDeps) {}

  /**
   * Runs it; its end is its record.
   * @param paramsJson merged with defaults
   */
  begin(request: QueuedRequest, resolved: Resolved, paramsJson: JsonText): void {
    const run = this.#run(request, resolved, paramsJson).then(
      () => this.#running.delete(run),
      (thrown: unknown) => {
        this.#running.delete(run);
        // The request is still in the database, and whoever takes it over runs it again.
        this.deps.log.info("a built-in action was not recorded before the stop", {
          activationId: request.id,
          error: toWeftError(thrown),
        });
      },
    ) as Promise<void>;
    this.#running.add(run);
  }

  /** Nothing is tried again from here on. */
  stop(): void {
    this.#stop.abort(new WeftError("unavailable", "STOPPED", "this controller stopped"));
  }

  async close(): Promise<void> {
    this.stop();
    while (this.#running.size > 0) await Promise.allSettled([...this.#running]);
  }

  async #run(request: QueuedRequest, { action }: Resolved, paramsJson: JsonText): Promise<void> {
    const { clock, record } = this.deps;
    const startWallMs = clock.wallMs();
    const startMonoMs = clock.monoMs();
    const { build } = action.exec;
    const { outcome, resultJson } = build?.problem
      ? failed("developerError", problemText(build))
      : await this.#answer(qualifiedKey(action), request, paramsJson);
    const resultBytes = Buffer.from(resultJson);
    const activation = recordOfResult(request, action, {
      kind: "done",
      outcome,
      resultJson: resultBytes,
      startWallMs,
      durationMs: Math.round(clock.monoMs() - startMonoMs),
      initMs: undefined,
      waitMs: Math.max(0, startWallMs - request.acceptedWallMs),
      timedOut: false,
      resultSize: resultBytes.length,
      startKind: undefined,
      invokerId: "",
    });
    await record([{ activation, async: true }]);
  }

  async #answer(key: string, request: QueuedRequest, paramsJson: JsonText): Promise<End> {
    const { builtins, clock, log, random } = this.deps;
    const builtin = builtins.get(key);
    if (!builtin) return failed("platformError", `this version of Weft has no built-in action ${key}`);
    if (!isObject(paramsJson)) return failed("applicationError", "the arguments must be an object");
    const { callerNamespace: namespace, subject, keyUuid, transactionId } = request;
    const backoff = new Backoff({ firstMs: 50, maxMs: 2_000 }, random);
    for (let tries = 1; ; tries++) {
      try {
        const resultJson = await builtin({ namespace, subject, keyUuid, transactionId }, paramsJson);
        return { outcome: membersOf(resultJson).has("error") ? "applicationError" : "success", resultJson };
      } catch (thrown) {
        const error = toWeftError(thrown);
        switch (error.kind) {
          case "unavailable":
          case "conflict":
          case "deadlineExceeded":
          case "canceled":
          case "noCapacity":
            if (tries === TRIES_MAX) return failed("platformError", explain(error));
            await sleep(clock, Math.max(backoff.nextMs(), error.retryAfterMs ?? 0), this.#stop.signal);
            break;
          case "internal":
            log.error("a built-in action failed unforeseen", { action: key, activationId: request.id, error });
            return failed("platformError", explain(error));
          case "invalidArgument":
          case "unauthenticated":
          case "permissionDenied":
          case "notFound":
          case "alreadyExists":
          case "failedPrecondition":
          case "throttled":
            return failed("applicationError", error.message);
        }
      }
    }
  }
}

function failed(outcome: Outcome, message: string): End {
  return { outcome, resultJson: JSON.stringify({ error: message }) };
}
