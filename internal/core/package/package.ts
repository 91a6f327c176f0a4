// Making and changing packages.

import { invariant } from "../../base/errors.js";
import type { Random } from "../../base/random.js";
import { Violations } from "../../base/violations.js";
import { newRevisionId, revisionOf } from "../action/action.js";
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
import type { Draft, Revision } from "../action/store.js";
import type { Action, KeyValue, Package } from "../action/types.js";
import { checkName } from "../tenancy/name.js";

export interface PackageInput extends EntityInput {
  readonly parameters: readonly KeyValue[];
}

export interface PackageChange extends PackageInput {
  readonly updateFields: readonly string[];
}

/** Stands for the default package in some clients' paths, so no package may have it. */
const RESERVED_NAME = "default";

/** @throws invalidArgument with every field that is wrong */
export function newPackage(input: PackageInput): Draft<Package> {
  const violations = new Violations();
  const name = violations.try(() => checkName("name", input.name));
  if (name === RESERVED_NAME) violations.add("name", `"${RESERVED_NAME}" is reserved`);
  checkKeyValues("parameters", input.parameters, PARAMETER_RULES, violations);
  checkKeyValues("annotations", input.annotations, ANNOTATION_RULES, violations);
  const version = firstVersion(input, violations);
  violations.check();
  invariant(name !== undefined, "a missing name is a violation");
  const { namespace, publish, annotations, parameters } = input;
  return { namespace, name, version, publish, annotations, parameters };
}

/** @throws invalidArgument with every field that is wrong */
export function changedPackage(old: Package, change: PackageChange): Draft<Package> {
  const violations = new Violations();
  const mask = new UpdateMask(change.updateFields, ["publish", "parameters", "annotations", "version"], violations);
  const draft: Draft<Package> = {
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

/** True when what sandboxes of the package's actions were given at init is no longer what it should be. */
export function initParametersChanged(old: Package, draft: Draft<Package>): boolean {
  const text = (list: readonly KeyValue[]): string =>
    JSON.stringify(list.filter((entry) => entry.init).map((entry) => [entry.key, entry.valueJson]));
  return text(old.parameters) !== text(draft.parameters);
}

/** New revisions of a package's actions, for when its init parameters changed. */
export function revisionsOfPackage(
  draft: Draft<Package>,
  actions: readonly Action[],
  random: Random,
): readonly Revision[] {
  return actions.flatMap((action) => revisionOf({ ...action, revisionId: newRevisionId(random) }, draft) ?? []);
}
