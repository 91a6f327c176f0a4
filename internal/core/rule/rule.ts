// Making and changing rules.

import { invariant, invalidField } from "../../base/errors.js";
import { Violations } from "../../base/violations.js";
import {
  ANNOTATION_RULES,
  firstVersion,
  listAfter,
  UpdateMask,
  versionAfter,
  type EntityInput,
} from "../action/entity.js";
import { checkKeyValues } from "../action/key-values.js";
import type { Draft } from "../action/store.js";
import type { Rule } from "../action/types.js";
import { checkName, qualifiedKey, resolveName, type QualifiedName } from "../tenancy/name.js";

export interface RuleInput extends EntityInput {
  /** "name" or "/namespace/name"; "" is not given. */
  readonly trigger: string;
  /** "name", "package/name" or "/namespace/[package/]name"; "" is not given. */
  readonly action: string;
}

export interface RuleChange extends RuleInput {
  readonly updateFields: readonly string[];
}

/** @throws invalidArgument with every field that is wrong */
export function newRule(input: RuleInput): Draft<Rule> {
  const violations = new Violations();
  const name = violations.try(() => checkName("name", input.name));
  const trigger = violations.try(() => triggerName(input.trigger, input.namespace));
  const action = violations.try(() => actionName(input.action, input.namespace));
  checkKeyValues("annotations", input.annotations, ANNOTATION_RULES, violations);
  const version = firstVersion(input, violations);
  violations.check();
  invariant(name !== undefined && trigger !== undefined && action !== undefined, "a missing part is a violation");
  const { namespace, publish, annotations } = input;
  return { namespace, name, version, publish, annotations, trigger, action, active: true };
}

/** Keeps the state. @throws invalidArgument with every field that is wrong */
export function changedRule(old: Rule, change: RuleChange): Draft<Rule> {
  const violations = new Violations();
  const mask = new UpdateMask(
    change.updateFields,
    ["trigger", "action", "annotations", "publish", "version"],
    violations,
  );
  const trigger = mask.has("trigger", change.trigger !== "")
    ? violations.try(() => triggerName(change.trigger, old.namespace))
    : old.trigger;
  const action = mask.has("action", change.action !== "")
    ? violations.try(() => actionName(change.action, old.namespace))
    : old.action;
  const version = versionAfter(old, change, mask, violations);
  const annotations = listAfter("annotations", old.annotations, change.annotations, ANNOTATION_RULES, mask, violations);
  violations.check();
  invariant(trigger !== undefined && action !== undefined, "a missing part is a violation");
  return {
    namespace: old.namespace,
    name: old.name,
    version,
    publish: mask.has("publish", change.publish) ? change.publish : old.publish,
    annotations,
    trigger,
    action,
    active: old.active,
  };
}

/** "namespace/name" read back. */
export function splitKey(key: string): QualifiedName {
  const at = key.indexOf("/");
  return { namespace: key.slice(0, at), name: key.slice(at + 1) };
}

function triggerName(text: string, own: string): string {
  if (text === "") throw invalidField("trigger", "is required");
  const resolved = resolveName("trigger", text, own);
  if (resolved.name.includes("/")) throw invalidField("trigger", `must be "name" or "/namespace/name", got "${text}"`);
  // A trigger of somebody else is nobody's business: for this namespace it is not there.
  if (resolved.namespace !== own) throw invalidField("trigger", `trigger ${text} does not exist`);
  return qualifiedKey(resolved);
}

function actionName(text: string, own: string): string {
  if (text === "") throw invalidField("action", "is required");
  return qualifiedKey(resolveName("action", text, own));
}
