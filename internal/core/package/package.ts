// Making and changing packages and bindings, and what a package is that is used through a binding.

import { createHash } from "node:crypto";

import { invariant, WeftError } from "../../base/errors.js";
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
import { checkKeyValues, mergeKeyValues } from "../action/key-values.js";
import type { Draft, Revision } from "../action/store.js";
import type { Action, Binding, KeyValue, Package } from "../action/types.js";
import { checkName } from "../tenancy/name.js";

export interface PackageInput extends EntityInput {
  readonly parameters: readonly KeyValue[];
  /** Its namespace with "_" resolved. */
  readonly binding: Binding | undefined;
}

export interface PackageChange extends PackageInput {
  readonly updateFields: readonly string[];
}

/** Stands for the default package in some clients' paths, so no package may have it. */
const RESERVED_NAME = "default";
/** Annotation that names what a binding is bound to. */
const BINDING = "binding";

/** @throws invalidArgument with every field that is wrong */
export function newPackage(input: PackageInput): Draft<Package> {
  const violations = new Violations();
  const name = violations.try(() => checkName("name", input.name));
  if (name === RESERVED_NAME) violations.add("name", `"${RESERVED_NAME}" is reserved`);
  checkKeyValues("parameters", input.parameters, PARAMETER_RULES, violations);
  checkKeyValues("annotations", input.annotations, ANNOTATION_RULES, violations);
  const version = firstVersion(input, violations);
  const binding = input.binding && checkBinding(input.binding, violations);
  violations.check();
  invariant(name !== undefined, "a missing name is a violation");
  const { namespace, publish, parameters } = input;
  const annotations = serverKept(input.annotations, binding);
  return { namespace, name, version, publish, annotations, parameters, binding };
}

/** @throws invalidArgument with every field that is wrong; failedPrecondition when a package shall become a binding */
export function changedPackage(old: Package, change: PackageChange): Draft<Package> {
  const violations = new Violations();
  const mask = new UpdateMask(change.updateFields, FIELDS, violations);
  const rebound = mask.has("binding", change.binding !== undefined) ? change.binding : undefined;
  if (mask.names("binding") && !change.binding) violations.add("binding", "is named in update_fields but not given");
  const binding = rebound ? checkBinding(rebound, violations) : old.binding;
  const annotations = listAfter("annotations", old.annotations, change.annotations, ANNOTATION_RULES, mask, violations);
  const draft: Draft<Package> = {
    namespace: old.namespace,
    name: old.name,
    version: versionAfter(old, change, mask, violations),
    publish: mask.has("publish", change.publish) ? change.publish : old.publish,
    annotations: serverKept(annotations, binding),
    parameters: listAfter("parameters", old.parameters, change.parameters, PARAMETER_RULES, mask, violations),
    binding,
  };
  violations.check();
  if (rebound && !old.binding) {
    throw new WeftError(
      "failedPrecondition",
      "PACKAGE_NOT_BINDING",
      `${old.namespace}/${old.name} is a package and cannot be made a binding`,
      { fix: "give the binding another name, or delete the package first" },
    );
  }
  return draft;
}

const FIELDS = ["publish", "parameters", "annotations", "version", "binding"] as const;

function checkBinding({ namespace, name }: Binding, violations: Violations): Binding {
  violations.try(() => checkName("binding.namespace", namespace));
  violations.try(() => checkName("binding.name", name));
  return { namespace, name };
}

function serverKept(annotations: readonly KeyValue[], binding: Binding | undefined): readonly KeyValue[] {
  const own = annotations.filter(({ key }) => key !== BINDING);
  if (!binding) return own;
  return [...own, { key: BINDING, valueJson: JSON.stringify({ ...binding }), init: false }];
}

// ---- through a binding ----

/** Parameters of what a binding is: its package's, overridden by its own. */
export function parametersThrough(binding: Package | undefined, provider: Package): readonly KeyValue[] {
  return binding ? mergeKeyValues(provider.parameters, binding.parameters) : provider.parameters;
}

/**
 * The revision that sandboxes load for calls through a binding: the action's own unless the binding changes what is
 * handed over at init. Its id follows from what it is, so that whoever makes it makes the same.
 */
export function revisionThrough(own: Revision, through: Revision, binding: Binding): Revision {
  const handed = initText(through.initParameters);
  if (handed === initText(own.initParameters)) return own;
  const what = JSON.stringify([own.revisionId, binding.namespace, binding.name, handed]);
  const revisionId = createHash("sha256").update(what).digest("hex").slice(0, 32);
  return { ...through, revisionId };
}

/** Only who may read a package may use a binding to it. */
export function mayUse(provider: Package, namespace: string): boolean {
  return provider.namespace === namespace || (provider.publish && !provider.binding);
}

/** A binding that leads to no package. */
export function circularBinding(binding: Package): WeftError {
  return new WeftError(
    "failedPrecondition",
    "CIRCULAR_BINDING",
    `package binding ${binding.namespace}/${binding.name} contains a circular reference: what it is bound to has become a binding`,
    { fix: "bind it to a package" },
  );
}

/** What somebody else's package is to who may not read it, whether or not there is one. */
export function providerNotReadable({ namespace, name }: Binding): WeftError {
  return new WeftError(
    "permissionDenied",
    "PROVIDER_NOT_READABLE",
    `package ${namespace}/${name} does not exist or is not shared`,
  );
}

/** Nothing is written through a binding. */
export function packageIsBinding({ namespace, name }: Binding): WeftError {
  return new WeftError(
    "failedPrecondition",
    "PACKAGE_IS_BINDING",
    `${namespace}/${name} is a package binding: its actions cannot be written through it`,
    { fix: "write to the package that it is bound to" },
  );
}

/** True when what sandboxes of the package's actions were given at init is no longer what it should be. */
export function initParametersChanged(old: Package, draft: Draft<Package>): boolean {
  return initText(old.parameters) !== initText(draft.parameters);
}

function initText(list: readonly KeyValue[]): string {
  return JSON.stringify(list.filter((entry) => entry.init).map((entry) => [entry.key, entry.valueJson]));
}

/** New revisions of a package's actions, for when its init parameters changed. */
export function revisionsOfPackage(
  draft: Draft<Package>,
  actions: readonly Action[],
  random: Random,
): readonly Revision[] {
  return actions.flatMap((action) => revisionOf({ ...action, revisionId: newRevisionId(random) }, draft) ?? []);
}
