// What firing a trigger starts: its record, and a durable request per active rule.

import type { WeftError } from "../../base/errors.js";
import type { ActivationId } from "../../base/ids.js";
import { traceIdOf } from "../../base/trace.js";
import { mergeKeyValues } from "../action/key-values.js";
import type { KeyValue, RuleLink, Trigger } from "../action/types.js";
import type { TriggerActivation } from "../activation/types.js";
import { mergeParams } from "../params/merge.js";
import type { QueuedRequest } from "../queue/store.js";
import { splitKey } from "../rule/rule.js";

export interface Firing {
  readonly id: ActivationId;
  /** JSON text of an object. */
  readonly payload: Uint8Array;
  /** JSON text of an object; empty for none. */
  readonly headersJson: Uint8Array;
  readonly callerNamespace: string;
  readonly subject: string;
  readonly transactionId: string;
  /** Public part of the key that it is fired with; "" for none. */
  readonly keyUuid: string;
  readonly traceparent: string;
  readonly wallMs: number;
}

/** What is known of the action of an active rule. */
export type RuleTarget =
  /** `providesKey`: the action is given the caller's key. `check` throws when its parameters are final and overridden. */
  | {
      readonly kind: "found";
      readonly id: ActivationId;
      readonly providesKey: boolean;
      check(params: Uint8Array): void;
    }
  | { readonly kind: "refused"; readonly error: WeftError };

export interface FireDecision {
  readonly record: TriggerActivation;
  readonly requests: readonly QueuedRequest[];
}

/** As OpenWhisk writes them into a trigger's log: the invoke call answered 4xx, or 5xx. */
const STARTED = 0;
const REFUSED = 1;
const FAILED = 3;

/** Arguments of a rule's action, later wins: the trigger's parameters, the headers of the firing, the payload. */
export function firedParams(trigger: Trigger, firing: Firing): Uint8Array {
  const parameters = trigger.parameters.filter((entry) => !entry.init);
  const headers: KeyValue[] =
    firing.headersJson.length === 0
      ? []
      : [{ key: "__ow_headers", valueJson: Buffer.from(firing.headersJson).toString("utf8"), init: false }];
  const defaults = mergeKeyValues(parameters, headers).map(({ key, valueJson }) => ({
    key,
    valueJson: Buffer.from(valueJson),
  }));
  return mergeParams(defaults, firing.payload);
}

/**
 * @param links every rule of the trigger
 * @param target what is known of the action of an active rule
 * @returns undefined when no rule is active: nothing is stored then
 */
export function decideFire(
  trigger: Trigger,
  links: readonly RuleLink[],
  target: (link: RuleLink) => RuleTarget,
  firing: Firing,
): FireDecision | undefined {
  if (!links.some((link) => link.active)) return undefined;
  const params = firedParams(trigger, firing);
  const paramsJson = Buffer.from(params).toString("utf8");
  const requests: QueuedRequest[] = [];
  const logs = links.map((link) => {
    const log = (statusCode: number, more: Readonly<Record<string, string>>): string =>
      JSON.stringify({ statusCode, success: statusCode === STARTED, ...more, rule: link.rule, action: link.action });
    if (!link.active) {
      return log(REFUSED, { error: `Rule '${link.rule}' is inactive, action '${link.action}' was not activated.` });
    }
    const found = target(link);
    if (found.kind === "refused") return log(statusOf(found.error), { error: found.error.message });
    try {
      found.check(params);
    } catch (thrown) {
      return log(statusOf(thrown as WeftError), { error: (thrown as WeftError).message });
    }
    const { namespace, name } = splitKey(link.action);
    requests.push({
      id: found.id,
      namespace,
      name,
      paramsJson,
      callerNamespace: firing.callerNamespace,
      subject: firing.subject,
      transactionId: firing.transactionId,
      keyUuid: found.providesKey ? firing.keyUuid : "",
      traceparent: firing.traceparent,
      acceptedWallMs: firing.wallMs,
    });
    return log(STARTED, { activationId: found.id });
  });
  return {
    record: {
      of: "trigger",
      id: firing.id,
      namespace: firing.callerNamespace,
      subject: firing.subject,
      name: trigger.name,
      path: `${trigger.namespace}/${trigger.name}`,
      version: trigger.version,
      startWallMs: firing.wallMs,
      resultJson: firing.payload.length === 0 ? "{}" : Buffer.from(firing.payload).toString("utf8"),
      logs,
      transactionId: firing.transactionId,
      traceId: traceIdOf(firing.traceparent),
    },
    requests,
  };
}

function statusOf(error: WeftError): number {
  switch (error.kind) {
    case "noCapacity":
    case "unavailable":
    case "deadlineExceeded":
    case "canceled":
    case "internal":
      return FAILED;
    case "invalidArgument":
    case "unauthenticated":
    case "permissionDenied":
    case "notFound":
    case "alreadyExists":
    case "failedPrecondition":
    case "conflict":
    case "throttled":
      return REFUSED;
  }
}
