// What an operator sets for one namespace instead of the installation's bounds of actions and sizes. Names and units are
// those of OpenWhisk's limits document: MiB, milliseconds, bytes.

import { WeftError } from "../../base/errors.js";
import type { Violations } from "../../base/violations.js";
import {
  LIMIT_BOUNDS,
  PARAMETERS_BYTES_MAX,
  PAYLOAD_BYTES_MAX,
  RESULT_BYTES_MAX,
  SEQUENCE_KIND,
  type ActionLimits,
} from "../action/types.js";
import type { NamespaceLimits } from "./store.js";

/** What each may be set to: what the fabric itself can bear. */
export const OVERRIDE_BOUNDS = {
  minActionMemory: { min: 32, max: 32_768 },
  maxActionMemory: { min: 32, max: 32_768 },
  minActionLogs: { min: 0, max: LIMIT_BOUNDS.logsMb.max },
  maxActionLogs: { min: 0, max: LIMIT_BOUNDS.logsMb.max },
  minActionTimeout: { min: 1, max: 3_600_000 },
  maxActionTimeout: { min: 1, max: 3_600_000 },
  minActionConcurrency: { min: 1, max: LIMIT_BOUNDS.concurrency.max },
  maxActionConcurrency: { min: 1, max: LIMIT_BOUNDS.concurrency.max },
  maxParameterSize: { min: 0, max: PARAMETERS_BYTES_MAX },
  maxPayloadSize: { min: 0, max: PAYLOAD_BYTES_MAX },
  truncationSize: { min: 0, max: RESULT_BYTES_MAX },
  maxActionInstances: { min: 1, max: 10_000 },
} as const;

export type NumericOverride = keyof typeof OVERRIDE_BOUNDS;
export const NUMERIC_OVERRIDES = Object.keys(OVERRIDE_BOUNDS) as readonly NumericOverride[];

/** What is not set is the installation's. */
export type NamespaceOverrides = { readonly [K in NumericOverride]?: number | undefined } & {
  /** Kinds that actions may have; undefined for all. */
  readonly allowedKinds?: readonly string[] | undefined;
  /** False: actions that are invoked leave no record. */
  readonly storeActivations?: boolean | undefined;
};

export type OverrideName = keyof NamespaceOverrides;
export const OVERRIDE_NAMES: readonly OverrideName[] = ["allowedKinds", "storeActivations", ...NUMERIC_OVERRIDES];

export const ALLOWED_KINDS_MAX = 100;
const KIND_LENGTH_MAX = 64;

interface Bound {
  readonly min: number;
  readonly max: number;
}

/** What holds for the actions of a namespace. */
export interface ActionBounds extends Readonly<Record<keyof ActionLimits, Bound>> {
  readonly parameterBytesMax: number;
  readonly payloadBytesMax: number;
  readonly allowedKinds: readonly string[] | undefined;
  /** Most sandboxes that an action may ask to have at most: more can never run at once. */
  readonly instancesMax: number;
}

export const INSTALLATION_BOUNDS: ActionBounds = {
  ...LIMIT_BOUNDS,
  parameterBytesMax: PARAMETERS_BYTES_MAX,
  payloadBytesMax: PAYLOAD_BYTES_MAX,
  allowedKinds: undefined,
  instancesMax: 0xffff_ffff,
};

/** @param concurrentInvocations of the namespace */
export function boundsOf(overrides: NamespaceOverrides | undefined, concurrentInvocations?: number): ActionBounds {
  const instancesMax = concurrentInvocations ?? INSTALLATION_BOUNDS.instancesMax;
  if (!overrides)
    return concurrentInvocations === undefined ? INSTALLATION_BOUNDS : { ...INSTALLATION_BOUNDS, instancesMax };
  const { memoryMb, logsMb, timeoutMs, concurrency } = LIMIT_BOUNDS;
  return {
    memoryMb: boundOf(overrides.minActionMemory, overrides.maxActionMemory, memoryMb),
    logsMb: boundOf(overrides.minActionLogs, overrides.maxActionLogs, logsMb),
    timeoutMs: boundOf(overrides.minActionTimeout, overrides.maxActionTimeout, timeoutMs),
    concurrency: boundOf(overrides.minActionConcurrency, overrides.maxActionConcurrency, concurrency),
    parameterBytesMax: overrides.maxParameterSize ?? PARAMETERS_BYTES_MAX,
    payloadBytesMax: overrides.maxPayloadSize ?? PAYLOAD_BYTES_MAX,
    allowedKinds: overrides.allowedKinds,
    instancesMax,
  };
}

/** One that is set draws the other along: whoever lowers the most below the installation's least means both. */
function boundOf(min: number | undefined, max: number | undefined, usual: Bound): Bound {
  return { min: min ?? Math.min(usual.min, max ?? usual.min), max: max ?? Math.max(usual.max, min ?? usual.max) };
}

/**
 * The overrides after some were set and some taken back; undefined when none is left.
 * @param clear names of those to take back; adds what is wrong to the violations
 */
export function overridesAfter(
  old: NamespaceOverrides | undefined,
  given: NamespaceOverrides,
  clear: readonly string[],
  violations: Violations,
): NamespaceOverrides | undefined {
  const after = new Map<OverrideName, number | boolean | readonly string[] | undefined>();
  for (const name of OVERRIDE_NAMES) if (old?.[name] !== undefined) after.set(name, old[name]);
  clear.forEach((name, i) => {
    const known = OVERRIDE_NAMES.find((one) => one === name || snake(one) === name);
    if (known) after.delete(known);
    else violations.add(`clear[${i}]`, `"${name.slice(0, 64)}" is none of ${OVERRIDE_NAMES.map(snake).join(", ")}`);
  });
  for (const name of NUMERIC_OVERRIDES) {
    const value = given[name];
    if (value === undefined) continue;
    const { min, max } = OVERRIDE_BOUNDS[name];
    if (!Number.isInteger(value) || value < min || value > max) {
      violations.add(`limits.overrides.${snake(name)}`, `must be between ${min} and ${max}, not ${value}`);
    }
    after.set(name, value);
  }
  if (given.storeActivations !== undefined) after.set("storeActivations", given.storeActivations);
  if (given.allowedKinds) after.set("allowedKinds", checkKinds(given.allowedKinds, violations));
  const merged = Object.fromEntries(after) as NamespaceOverrides;
  for (const what of ["Memory", "Logs", "Timeout", "Concurrency"] as const) {
    const [min, max] = [merged[`minAction${what}`], merged[`maxAction${what}`]];
    if (min !== undefined && max !== undefined && min > max) {
      violations.add(
        `limits.overrides.${snake(`minAction${what}`)}`,
        `must not be above the most, ${max}, but is ${min}`,
      );
    }
  }
  return after.size === 0 ? undefined : merged;
}

function checkKinds(kinds: readonly string[], violations: Violations): readonly string[] {
  const field = "limits.overrides.allowed_kinds";
  if (kinds.length > ALLOWED_KINDS_MAX)
    violations.add(field, `more than allowed: ${kinds.length} > ${ALLOWED_KINDS_MAX}`);
  return kinds.slice(0, ALLOWED_KINDS_MAX).map((kind, i) => {
    const plain = kind.trim().toLowerCase();
    if (!/^[a-z0-9._-]+(:[a-z0-9._-]+)?$/.test(plain) || plain.length > KIND_LENGTH_MAX) {
      violations.add(`${field}[${i}]`, `must be a kind such as "nodejs:20", not "${kind.slice(0, KIND_LENGTH_MAX)}"`);
    }
    return plain;
  });
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** @throws permissionDenied when actions of this kind are not for the namespace; sequences are for all */
export function checkKindAllowed(allowedKinds: readonly string[] | undefined, kind: string): void {
  if (!allowedKinds || allowedKinds.length === 0 || kind === SEQUENCE_KIND || allowedKinds.includes(kind)) return;
  throw new WeftError(
    "permissionDenied",
    "KIND_NOT_ALLOWED",
    `actions of the kind "${kind.slice(0, KIND_LENGTH_MAX)}" are not allowed here; allowed are ${allowedKinds.join(", ")}`,
  );
}

/**
 * Why an action that was made under other bounds does not run for this namespace; undefined when it may.
 * @param overrides of the namespace that invokes it
 */
export function limitsProblem(overrides: NamespaceOverrides | undefined, limits: ActionLimits): string | undefined {
  if (!overrides) return undefined;
  const bounds = boundsOf(overrides);
  for (const [name, what, unit] of LIMIT_WORDS) {
    const { min, max } = bounds[name];
    const value = limits[name];
    if (value > max) return `${what} ${value}${unit} exceeds allowed threshold of ${max}${unit}`;
    if (value < min) return `${what} ${value}${unit} below allowed threshold of ${min}${unit}`;
  }
  return undefined;
}

const LIMIT_WORDS = [
  ["memoryMb", "memory size", " MB"],
  ["timeoutMs", "duration", " milliseconds"],
  ["logsMb", "log size", " MB"],
  ["concurrency", "concurrency", ""],
] as const satisfies readonly (readonly [keyof ActionLimits, string, string])[];

/** Limits with what an update of a namespace sets. @throws invalidArgument with every field that is wrong */
export function limitsAfter(
  old: NamespaceLimits,
  given: Partial<NamespaceLimits>,
  clear: readonly string[],
  violations: Violations,
): NamespaceLimits {
  const overrides = overridesAfter(old.overrides, given.overrides ?? {}, clear, violations);
  const { invocationsPerMinute, firesPerMinute, concurrentInvocations } = { ...old, ...given };
  return { invocationsPerMinute, firesPerMinute, concurrentInvocations, ...(overrides ? { overrides } : {}) };
}

/** The smaller of two limits of sandboxes, of which 0 and undefined are none. @returns 0 for none */
export function tighterInstances(action: number | undefined, namespace: number | undefined): number {
  if (!action || !namespace) return action || namespace || 0;
  return Math.min(action, namespace);
}
