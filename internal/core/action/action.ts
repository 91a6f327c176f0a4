// Making and changing actions: pure, with everything that is wrong reported at once.

import { invariant } from "../../base/errors.js";
import { bytesToHex } from "../../base/ids.js";
import type { Random } from "../../base/random.js";
import { Violations } from "../../base/violations.js";
import type { RuntimeManifest } from "../sandbox/manifest.js";
import { formatActionName, parseActionName, qualifiedKey } from "../tenancy/name.js";
import { checkKindAllowed, INSTALLATION_BOUNDS, type ActionBounds } from "../tenancy/overrides.js";
import {
  ANNOTATION_RULES,
  firstVersion,
  listAfter,
  PARAMETER_RULES,
  UpdateMask,
  versionAfter,
  type EntityInput,
} from "./entity.js";
import { loadedExec } from "./build.js";
import { checkExec, hasCode, type ExecInput } from "./exec.js";
import { checkKeyValues, mergeKeyValues, type KeyValueRules } from "./key-values.js";
import { defaultLimits, mergeInstances, mergeLimits, type LimitsInput } from "./limits.js";
import type { Draft, Revision } from "./store.js";
import { PARAMETERS_BYTES_MAX, type Action, type Exec, type KeyValue, type Package } from "./types.js";

export interface ActionInput extends EntityInput {
  readonly exec: ExecInput | undefined;
  readonly parameters: readonly KeyValue[];
  readonly limits: LimitsInput | undefined;
}

export interface ActionChange extends ActionInput {
  readonly updateFields: readonly string[];
  readonly deleteAnnotations: readonly string[];
}

/** An action to be stored, with its code; `code` undefined keeps the stored one, or there is none. */
export interface ActionWrite {
  readonly draft: Draft<Action>;
  readonly code: Uint8Array | undefined;
}

/** Annotation that names the kind: lists of actions show it, and OpenWhisk's client needs it there. */
const EXEC = "exec";
/** Parameter in which OpenWhisk shows the components of a sequence. */
const COMPONENTS = "_actions";
/** Annotation that hands the caller's key to the action; actions made by Weft do without unless they ask. */
const PROVIDE_API_KEY = "provide-api-key";

export function newRevisionId(random: Random): string {
  return bytesToHex(random.bytes(16));
}

/** @throws invalidArgument with every field that is wrong */
export function newAction(
  input: ActionInput,
  manifest: RuntimeManifest,
  revisionId: string,
  bounds = INSTALLATION_BOUNDS,
): ActionWrite {
  const violations = new Violations();
  const name = violations.try(() => formatActionName(parseActionName("name", input.name)));
  checkKeyValues("parameters", input.parameters, parameterRules(bounds), violations);
  checkKeyValues("annotations", input.annotations, ANNOTATION_RULES, violations);
  const version = firstVersion(input, violations);
  const limits = mergeLimits(defaultLimits(bounds), input.limits ?? {}, violations, bounds);
  const maxInstances = mergeInstances(undefined, input.limits?.instances, violations, bounds.instancesMax);
  if (!input.exec) violations.add("exec", "is required");
  const exec = input.exec && checkExec(input.exec, manifest, input.namespace, violations);
  violations.check();
  invariant(name !== undefined && exec !== undefined && input.exec !== undefined, "a missing part is a violation");
  checkKindAllowed(bounds.allowedKinds, exec.kind);
  return {
    draft: {
      namespace: input.namespace,
      name,
      version,
      publish: input.publish,
      annotations: serverKept(mergeKeyValues([notProvided()], input.annotations), exec),
      exec,
      parameters: parametersOf(exec, input.parameters),
      limits,
      maxInstances,
      revisionId,
    },
    code: hasCode(exec) ? input.exec.code : undefined,
  };
}

/** @throws invalidArgument with every field that is wrong */
export function changedAction(
  old: Action,
  change: ActionChange,
  manifest: RuntimeManifest,
  revisionId: string,
  bounds = INSTALLATION_BOUNDS,
): ActionWrite {
  const violations = new Violations();
  const mask = new UpdateMask(
    change.updateFields,
    ["exec", "parameters", "annotations", "limits", "publish", "version"],
    violations,
  );
  const given = listAfter("parameters", old.parameters, change.parameters, parameterRules(bounds), mask, violations);
  const annotations = annotationsAfter(old, change, mask.has("annotations", change.annotations.length > 0), violations);
  const version = versionAfter(old, change, mask, violations);
  const limits =
    mask.has("limits", change.limits !== undefined) && change.limits
      ? mergeLimits(old.limits, change.limits, violations, bounds)
      : old.limits;
  const maxInstances = mask.has("limits", change.limits !== undefined)
    ? mergeInstances(old.maxInstances, change.limits?.instances, violations, bounds.instancesMax)
    : old.maxInstances;
  if (mask.names("limits") && !change.limits) violations.add("limits", "is named in update_fields but not given");
  if (mask.names("exec") && !change.exec) violations.add("exec", "is named in update_fields but not given");
  const replaced = mask.has("exec", change.exec !== undefined) ? change.exec : undefined;
  const exec = replaced ? checkExec(replaced, manifest, old.namespace, violations) : old.exec;
  if (!replaced && hasCode(old.exec) && !old.exec.image && manifest.find(old.exec.kind)?.deprecated !== false) {
    violations.add("exec.kind", `"${old.exec.kind}" is no longer supported; give the action code of another kind`);
  }
  violations.check();
  checkKindAllowed(bounds.allowedKinds, exec.kind);
  // What a sequence showed as its parameters are not the arguments of code that takes its place.
  const kept = old.exec.components && given === old.parameters ? [] : given;
  return {
    draft: {
      namespace: old.namespace,
      name: old.name,
      version,
      publish: mask.has("publish", change.publish) ? change.publish : old.publish,
      annotations: serverKept(annotations, exec),
      exec,
      parameters: parametersOf(exec, kept),
      limits,
      maxInstances,
      revisionId,
    },
    code: hasCode(exec) ? replaced?.code : undefined,
  };
}

/**
 * What an invoker loads for an action: init parameters are the package's, overridden by the action's. What has
 * no code is not loaded.
 */
export function revisionOf(
  action: Draft<Action>,
  inPackage: Pick<Package, "parameters"> | undefined,
): Revision | undefined {
  if (!hasCode(action.exec)) return undefined;
  const merged = mergeKeyValues(inPackage?.parameters ?? [], action.parameters);
  return {
    revisionId: action.revisionId,
    actionKey: qualifiedKey(action),
    version: action.version,
    exec: loadedExec(action.exec),
    sourceDigest: action.exec.build?.artifact ? action.exec.codeDigest : undefined,
    limits: action.limits,
    initParameters: merged.filter((entry) => entry.init),
  };
}

/** Default arguments: the package's, overridden by the action's, without those for init. A sequence has none. */
export function defaultsOf(action: Action, inPackage: Pick<Package, "parameters"> | undefined): readonly KeyValue[] {
  if (action.exec.components) return [];
  return mergeKeyValues(inPackage?.parameters ?? [], action.parameters).filter((entry) => !entry.init);
}

/** Init parameters as environment variables: strings as they are, null as nothing, the rest as JSON text. */
export function initEnvironment(initParameters: readonly KeyValue[]): Record<string, string> {
  const env: Record<string, string> = {};
  for (const { key, valueJson } of initParameters) {
    const value: unknown = JSON.parse(valueJson);
    // A variable ends at a null character: what could not be handed over whole is handed over up to there.
    if (typeof value === "string") env[key] = value.split("\0", 1)[0] ?? "";
    else env[key] = value === null ? "" : typeof value === "object" ? JSON.stringify(value) : valueJson.trim();
  }
  return env;
}

function annotationsAfter(
  old: Action,
  change: ActionChange,
  merge: boolean,
  violations: Violations,
): readonly KeyValue[] {
  // As OpenWhisk has it: a sequence keeps its annotations.
  const removed = new Set(old.exec.components ? [] : change.deleteAnnotations);
  const kept = old.annotations.filter((entry) => !removed.has(entry.key));
  if (!merge) return kept;
  checkKeyValues("annotations", change.annotations, ANNOTATION_RULES, violations);
  const merged = mergeKeyValues(kept, change.annotations);
  // Each part was small enough, the whole may not be.
  if (merged.length > change.annotations.length && violations.found.length === 0) {
    const bytes = merged.reduce((sum, { key, valueJson }) => sum + Buffer.byteLength(key) + valueJson.length, 0);
    if (bytes > PARAMETERS_BYTES_MAX) {
      violations.addTooLarge(
        "annotations",
        `larger than allowed with those stored: ${bytes} > ${PARAMETERS_BYTES_MAX} bytes`,
      );
    }
  }
  return merged;
}

function parameterRules({ parameterBytesMax }: ActionBounds): KeyValueRules {
  return { ...PARAMETER_RULES, bytesMax: parameterBytesMax };
}

function parametersOf({ components }: Exec, given: readonly KeyValue[]): readonly KeyValue[] {
  if (!components) return given;
  return [{ key: COMPONENTS, valueJson: JSON.stringify(components.map((key) => `/${key}`)), init: false }];
}

function serverKept(annotations: readonly KeyValue[], exec: Exec): readonly KeyValue[] {
  return mergeKeyValues(annotations, [{ key: EXEC, valueJson: JSON.stringify(exec.kind), init: false }]);
}

function notProvided(): KeyValue {
  return { key: PROVIDE_API_KEY, valueJson: "false", init: false };
}
