// Sequences and compositions that somebody calls. No invoker runs them: a controller does, durably, and is asked how they
// ended.

import type { Clock } from "../base/clock.js";
import { toWeftError } from "../base/errors.js";
import { traced, type Tracer } from "../base/trace.js";
import type { ActionActivation } from "../core/activation/types.js";
import type { Caller } from "../core/dispatch/call.js";
import { checkJsonObject, mergeParams } from "../core/params/merge.js";
import { recordOfWire } from "../dispatch/record-wire.js";
import type { Target } from "./action-cache.js";
import type { ControllerClient } from "./controller-client.js";
import type { Invocations } from "./invocations.js";
import type { GatewayMetrics } from "./metrics.js";

export interface CompositeCallsDeps {
  readonly controller: Pick<ControllerClient, "submit" | "await">;
  readonly invocations: Pick<Invocations, "newActivationId">;
  readonly metrics: GatewayMetrics;
  readonly tracer: Tracer;
  readonly clock: Clock;
}

/** A durable request, as a caller made it. */
export interface Submission {
  readonly namespace: string;
  /** "name" or "package/name". */
  readonly name: string;
  readonly target: Target;
  readonly paramsJson: Uint8Array;
  /** Without a key: it is made where it is needed. */
  readonly caller: Caller;
  /** Of the key that was presented, or of the owner's; "" for none. */
  readonly keyUuid: string;
  readonly traceparent: string;
}

export type CompositeEnding =
  | { readonly kind: "recorded"; readonly activation: ActionActivation }
  /** The wait is over, or nobody could be asked any more: it goes on. */
  | { readonly kind: "continues"; readonly activationId: Uint8Array };

export class CompositeCalls {
  constructor(private readonly deps: CompositeCallsDeps) {}

  /**
   * Makes a request durable, a plain action's too. @returns its id
   * @throws invalidArgument, failedPrecondition for the arguments; permissionDenied; unavailable
   */
  async submit({ namespace, name, target, paramsJson, caller, keyUuid, traceparent }: Submission): Promise<Uint8Array> {
    const { invocations, controller, metrics, tracer } = this.deps;
    // Defaults are merged when it runs, by whatever the action then is; what is wrong now is told now.
    if (target.final) mergeParams(target.defaults, paramsJson, true);
    else checkJsonObject("params", paramsJson);
    const activationId = invocations.newActivationId();
    await traced(
      tracer,
      "activation.submit",
      traceparent,
      (span) =>
        controller.submit({
          activationId,
          namespace,
          name,
          paramsJson,
          caller,
          keyUuid,
          traceparent: span.traceparent,
          composite: target.composite,
        }),
      { kind: "server" },
    );
    metrics.submitted.inc();
    return activationId;
  }

  /** Submits it and waits for its end. @throws as submit */
  async run(submission: Submission, waitMs: number): Promise<CompositeEnding> {
    const { clock, controller, metrics } = this.deps;
    const untilMonoMs = clock.monoMs() + waitMs;
    const activationId = await this.submit(submission);
    try {
      const leftMs = Math.max(1, Math.round(untilMonoMs - clock.monoMs()));
      const { record } = await controller.await({
        activationId,
        namespace: submission.caller.namespace,
        waitMs: leftMs,
      });
      if (!record) return { kind: "continues", activationId };
      const activation = recordOfWire(record);
      metrics.invocation(activation.outcome, undefined);
      return { kind: "recorded", activation };
    } catch (thrown) {
      // It is durable: whatever became of those who could be asked, it will have a record.
      if (toWeftError(thrown).kind !== "unavailable") throw thrown;
      return { kind: "continues", activationId };
    }
  }
}
