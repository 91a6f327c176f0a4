// /namespaces/{ns}/rules

import { WeftError } from "../../../base/errors.js";
import {
  CreateRuleRequest,
  DeleteRuleRequest,
  DisableRuleRequest,
  EnableRuleRequest,
  GetRuleRequest,
  ListRulesRequest,
  Rule,
  RuleServiceService as Rules,
  UpdateRuleRequest,
} from "../../../gen/weft/rule/v1/rule.pb.js";
import { jsonResponse, textResponse, type RestResponse } from "../message.js";
import type { OpenWhiskCall } from "./call.js";
import { epochMs, readBoolean, readQualifiedName, readString, readVersion, writeHead, writePath } from "./entity.js";
import type { JsonText } from "../../../base/json-text.js";
import { readKeyValues, writeKeyValues } from "./key-values.js";
import { listOf } from "./lists.js";
import { malformed, Refusal } from "./refusal.js";
import { removeReturning } from "./remove.js";

export function listRules(call: OpenWhiskCall): Promise<RestResponse> {
  return listOf(
    call,
    "rules",
    Rules.listRules,
    (page) => ListRulesRequest.fromPartial(page),
    (response) => response.rules.map((rule) => writeRule(rule, undefined)),
  );
}

export async function getRule(call: OpenWhiskCall): Promise<RestResponse> {
  const namespace = call.namespace();
  const request = GetRuleRequest.fromPartial({ namespace, name: call.entity() });
  const rule = await call.native(Rules.getRule, request, namespace);
  return jsonResponse(200, writeRule(rule, rule.active));
}

export async function putRule(call: OpenWhiskCall): Promise<RestResponse> {
  const namespace = call.namespace();
  const name = call.entity();
  const overwrite = call.query.boolean("overwrite", false);
  const body = call.entityBody();
  const read = {
    trigger: readReference(call, body, "trigger", 2),
    action: readReference(call, body, "action", 3),
    annotations: readKeyValues(body, "annotations"),
    version: readVersion(body),
    publish: readBoolean(body, "publish"),
  };
  const incomplete = read.trigger === undefined || read.action === undefined;
  if (!overwrite && incomplete) throw needsBoth();
  const given = Object.entries(read).filter(([, value]) => value !== undefined);
  const rule = Rule.fromPartial({ namespace, name, ...Object.fromEntries(given) });
  if (!overwrite) {
    const created = await call.native(Rules.createRule, CreateRuleRequest.fromPartial({ rule }), namespace);
    return jsonResponse(200, writeRule(created, created.active));
  }
  const request = UpdateRuleRequest.fromPartial({
    rule,
    updateFields: given.map(([key]) => key),
    allowMissing: !incomplete,
  });
  try {
    const updated = await call.native(Rules.updateRule, request, namespace);
    return jsonResponse(200, writeRule(updated, updated.active));
  } catch (thrown) {
    // There is nothing to update and not enough to create it.
    if (thrown instanceof WeftError && thrown.kind === "notFound" && incomplete) throw needsBoth();
    throw thrown;
  }
}

/** POST sets the state; what else the body has (clients send the rule's other members as null) does not count. */
export async function setRuleStatus(call: OpenWhiskCall): Promise<RestResponse> {
  const namespace = call.namespace();
  const name = call.entity();
  const status = readString(call.entityBody(), "status");
  if (status === undefined) throw malformed('\'status\' must be "active" or "inactive"');
  if (status === "inactive") {
    await call.native(Rules.disableRule, DisableRuleRequest.fromPartial({ namespace, name }), namespace);
  } else if (status === "active") await enable(call, namespace, name);
  else throw malformed(`'${status}' is not a recognized rule state`);
  return textResponse(200, "OK");
}

export async function deleteRule(call: OpenWhiskCall): Promise<RestResponse> {
  const namespace = call.namespace();
  const name = call.entity();
  const deleted = await removeReturning(
    () => call.native(Rules.getRule, GetRuleRequest.fromPartial({ namespace, name }), namespace),
    (etag) => call.native(Rules.deleteRule, DeleteRuleRequest.fromPartial({ namespace, name, etag }), namespace),
  );
  return jsonResponse(200, writeRule(deleted, false));
}

async function enable(call: OpenWhiskCall, namespace: string, name: string): Promise<void> {
  try {
    await call.native(Rules.enableRule, EnableRuleRequest.fromPartial({ namespace, name }), namespace);
  } catch (thrown) {
    const noTrigger =
      thrown instanceof WeftError && thrown.kind === "failedPrecondition" && thrown.reason === "NO_SUCH_TRIGGER";
    if (noTrigger) throw new Refusal(404, "Only rules with existing triggers can be activated");
    throw thrown;
  }
}

function needsBoth(): Refusal {
  return malformed("rule requires a valid trigger and a valid action");
}

/** @returns "/ns/[pkg/]name", or undefined when it is not given */
function readReference(
  call: OpenWhiskCall,
  body: ReadonlyMap<string, JsonText>,
  field: string,
  segmentsMax: number,
): string | undefined {
  const text = body.get(field);
  if (text === undefined || text === "null") return undefined;
  const segments = readQualifiedName(text, field, call.identity.namespace);
  if (segments.length > segmentsMax) throw malformed(`'${field}' has too many segments: /${segments.join("/")}`);
  return `/${segments.join("/")}`;
}

/** @param active undefined in lists, which do not show the status */
function writeRule(rule: Rule, active: boolean | undefined): JsonText {
  return (
    `{${writeHead(rule)}` +
    (active === undefined ? "" : `,"status":"${active ? "active" : "inactive"}"`) +
    `,"trigger":${writePath(rule.trigger)},"action":${writePath(rule.action)}` +
    `,"annotations":${writeKeyValues(rule.annotations)},"updated":${epochMs(rule.updateTime)}}`
  );
}
