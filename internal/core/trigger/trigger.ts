// Making and changing triggers.

import { invariant } from "../../base/errors.js";
import { Violations } from "../../base/violations.js";
import {
  ANNOTATION_RULES,
  firstVersion,
  listAfter,
  PARAMETER_RULES,
  UpdateMask,
  versionAfter,
  type EntityInput,
} from "../action/entity.js";
import { checkKeyValues } from "../action/key-values.js";
import type { Draft } from "../action/store.js";
import type { KeyValue, Trigger } from "../action/types.js";
import { checkName, resolveName } from "../tenancy/name.js";

export interface TriggerInput extends EntityInput {
  readonly parameters: readonly KeyValue[];
}

export interface TriggerChange extends TriggerInput {
  readonly updateFields: readonly string[];
}

/** Annotation that names the action which manages the trigger's source. */
const FEED = "feed";

/** @throws invalidArgument with every field that is wrong */
export function newTrigger(input: TriggerInput): Draft<Trigger> {
  const violations = new Violations();
  const name = violations.try(() => checkName("name", input.name));
  checkKeyValues("parameters", input.parameters, PARAMETER_RULES, violations);
  checkKeyValues("annotations", input.annotations, ANNOTATION_RULES, violations);
  checkFeed(input, violations);
  const version = firstVersion(input, violations);
  violations.check();
  invariant(name !== undefined, "a missing name is a violation");
  const { namespace, publish, annotations, parameters } = input;
  return { namespace, name, version, publish, annotations, parameters };
}

/** @throws invalidArgument with every field that is wrong */
export function changedTrigger(old: Trigger, change: TriggerChange): Draft<Trigger> {
  const violations = new Violations();
  const mask = new UpdateMask(change.updateFields, ["parameters", "annotations", "publish", "version"], violations);
  const draft: Draft<Trigger> = {
    namespace: old.namespace,
    name: old.name,
    version: versionAfter(old, change, mask, violations),
    publish: mask.has("publish", change.publish) ? change.publish : old.publish,
    annotations: listAfter("annotations", old.annotations, change.annotations, ANNOTATION_RULES, mask, violations),
    parameters: listAfter("parameters", old.parameters, change.parameters, PARAMETER_RULES, mask, violations),
  };
  violations.check();
  return draft;
}

/** Clients follow the annotation to an action, so it must be a name. As in OpenWhisk, only a new trigger is asked. */
function checkFeed(input: TriggerInput, violations: Violations): void {
  const at = input.annotations.findIndex((entry) => entry.key === FEED);
  const feed = input.annotations[at];
  if (!feed || violations.found.length > 0) return;
  const value: unknown = JSON.parse(feed.valueJson);
  if (typeof value !== "string") {
    violations.add(`annotations[${at}].value_json`, "must be the name of an action");
    return;
  }
  violations.try(() => resolveName(`annotations[${at}].value_json`, value, input.namespace));
}
