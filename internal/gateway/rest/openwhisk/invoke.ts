// POST on an action and on a trigger.

import type { ActivationId } from "../../../base/ids.js";
import { STATUS_OF, type ActionActivation } from "../../../core/activation/types.js";
import { ActivationLost, type InvokeAnswer } from "../../native-api.js";
import { emptyResponse, jsonResponse, type RestResponse } from "../message.js";
import { viewOfAnswer, writeRecord } from "./activation-record.js";
import type { OpenWhiskCall } from "./call.js";

/** Status of a blocking call by the code of the outcome. A 502 or 500 with a record has no `code`, on purpose. */
const HTTP_OF_STATUS_CODE = { 0: 200, 1: 502, 2: 502, 3: 500 } as const;

export async function invokeAction(call: OpenWhiskCall): Promise<RestResponse> {
  const namespace = call.namespace();
  const action = call.action();
  const blocking = call.query.boolean("blocking", false);
  const onlyResult = call.query.boolean("result", false);
  const waitMs = call.query.waitMs();
  const command = { namespace, action, paramsJson: call.arguments(), blocking, waitMs };
  const answer = await call.api.invoke(command, call.context).catch((thrown: unknown): InvokeAnswer => {
    // It runs or ran somewhere; its record will say how it ended. That is what 202 tells a client to look for.
    if (thrown instanceof ActivationLost) return { kind: "running", activationId: thrown.activationId };
    throw call.foreign(thrown, namespace);
  });
  if (answer.kind !== "done") return accepted(answer.activationId);
  return ended(answer.activation, onlyResult);
}

export async function fireTrigger(call: OpenWhiskCall): Promise<RestResponse> {
  const namespace = call.namespace();
  const command = {
    namespace,
    trigger: call.entity(),
    paramsJson: call.arguments(),
    headersJson: call.headersJson(),
  };
  const { activationId } = await call.api.fire(command, call.context).catch((thrown: unknown) => {
    throw call.foreign(thrown, namespace);
  });
  return activationId === undefined ? emptyResponse(204) : accepted(activationId);
}

function ended(activation: ActionActivation, onlyResult: boolean): RestResponse {
  const status = HTTP_OF_STATUS_CODE[STATUS_OF[activation.outcome].code];
  const result = activation.resultJson === "" ? "{}" : activation.resultJson;
  // An array is answered bare whatever was asked for, as OpenWhisk does.
  const bare = onlyResult || result.startsWith("[");
  return jsonResponse(status, bare ? result : writeRecord(viewOfAnswer(activation)), [idHeader(activation.id)]);
}

function accepted(id: ActivationId): RestResponse {
  return jsonResponse(202, `{"activationId":"${id}"}`, [idHeader(id)]);
}

function idHeader(id: ActivationId): readonly [string, string] {
  return ["x-openwhisk-activation-id", id];
}
