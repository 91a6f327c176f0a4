// /namespaces/{ns}/triggers

import { nameProblem } from "../../../core/tenancy/name.js";
import type { KeyValue } from "../../../gen/weft/common/v1/common.pb.js";
import {
  CreateTriggerRequest,
  DeleteTriggerRequest,
  GetTriggerRequest,
  ListTriggersRequest,
  Trigger,
  TriggerServiceService as Triggers,
  UpdateTriggerRequest,
} from "../../../gen/weft/trigger/v1/trigger.pb.js";
import { jsonResponse, type RestResponse } from "../message.js";
import type { OpenWhiskCall } from "./call.js";
import { epochMs, readBoolean, readVersion, writeHead, writePath } from "./entity.js";
import { typeOf, type JsonText } from "../../../base/json-text.js";
import { readKeyValues, writeKeyValues } from "./key-values.js";
import { listOf } from "./lists.js";
import { Refusal } from "./refusal.js";
import { removeReturning } from "./remove.js";

export function listTriggers(call: OpenWhiskCall): Promise<RestResponse> {
  return listOf(
    call,
    "triggers",
    Triggers.listTriggers,
    (page) => ListTriggersRequest.fromPartial(page),
    (response) =>
      response.triggers.map(
        (trigger) =>
          `{${writeHead(trigger)},"annotations":${writeKeyValues(trigger.annotations)}` +
          `,"updated":${epochMs(trigger.updateTime)}}`,
      ),
  );
}

export async function getTrigger(call: OpenWhiskCall): Promise<RestResponse> {
  const namespace = call.namespace();
  const request = GetTriggerRequest.fromPartial({ namespace, name: call.entity() });
  return jsonResponse(200, writeTrigger(await call.native(Triggers.getTrigger, request, namespace)));
}

export async function putTrigger(call: OpenWhiskCall): Promise<RestResponse> {
  const namespace = call.namespace();
  const name = call.entity();
  const overwrite = call.query.boolean("overwrite", false);
  const body = call.entityBody();
  const annotations = readKeyValues(body, "annotations");
  if (!overwrite) checkFeed(annotations ?? []);
  const read = {
    parameters: readKeyValues(body, "parameters"),
    annotations,
    version: readVersion(body),
    publish: readBoolean(body, "publish"),
  };
  const given = Object.entries(read).filter(([, value]) => value !== undefined);
  const trigger = Trigger.fromPartial({ namespace, name, ...Object.fromEntries(given) });
  const stored = overwrite
    ? await call.native(
        Triggers.updateTrigger,
        UpdateTriggerRequest.fromPartial({ trigger, updateFields: given.map(([key]) => key), allowMissing: true }),
        namespace,
      )
    : await call.native(Triggers.createTrigger, CreateTriggerRequest.fromPartial({ trigger }), namespace);
  return jsonResponse(200, writeTrigger(stored));
}

export async function deleteTrigger(call: OpenWhiskCall): Promise<RestResponse> {
  const namespace = call.namespace();
  const name = call.entity();
  const deleted = await removeReturning(
    () => call.native(Triggers.getTrigger, GetTriggerRequest.fromPartial({ namespace, name }), namespace),
    (etag) =>
      call.native(Triggers.deleteTrigger, DeleteTriggerRequest.fromPartial({ namespace, name, etag }), namespace),
  );
  return jsonResponse(200, writeTrigger(deleted));
}

/** A `feed` annotation names an action: "/ns/[pkg/]name" or shorter. @throws Refusal 400 */
function checkFeed(annotations: readonly KeyValue[]): void {
  const feed = annotations.find(({ key }) => key === "feed");
  if (!feed) return;
  const path = typeOf(feed.valueJson) === "string" ? (JSON.parse(feed.valueJson) as string) : "";
  const segments = (path.startsWith("/") ? path.slice(1) : path).split("/");
  if (segments.length > 3 || segments.some((segment) => nameProblem(segment) !== undefined)) {
    throw new Refusal(400, "Feed name is not valid");
  }
}

function writeTrigger(trigger: Trigger): JsonText {
  const rules = trigger.rules.map(
    ({ rule, action, active }) =>
      `${JSON.stringify(rule)}:{"action":${writePath(action)},"status":"${active ? "active" : "inactive"}"}`,
  );
  return (
    `{${writeHead(trigger)},"annotations":${writeKeyValues(trigger.annotations)}` +
    `,"parameters":${writeKeyValues(trigger.parameters)},"limits":{}` +
    (rules.length === 0 ? "" : `,"rules":{${rules.join(",")}}`) +
    `,"updated":${epochMs(trigger.updateTime)}}`
  );
}
