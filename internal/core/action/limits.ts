import type { Violations } from "../../base/violations.js";
import { LIMIT_BOUNDS, type ActionLimits } from "./types.js";

/** Limits as a request gives them: undefined is not given. */
export type LimitsInput = { readonly [K in keyof ActionLimits]?: number | undefined } & {
  /** 0 takes it back. */
  readonly instances?: number | undefined;
};

export type LimitBounds = Readonly<Record<keyof ActionLimits, { readonly min: number; readonly max: number }>>;

const FIELDS = {
  timeoutMs: { field: "timeout_ms", unit: "ms" },
  memoryMb: { field: "memory_mb", unit: "MiB" },
  logsMb: { field: "logs_mb", unit: "MiB" },
  concurrency: { field: "concurrency", unit: "" },
} as const;

const NAMES = ["timeoutMs", "memoryMb", "logsMb", "concurrency"] as const satisfies readonly (keyof ActionLimits)[];

export const DEFAULT_LIMITS: ActionLimits = {
  timeoutMs: LIMIT_BOUNDS.timeoutMs.default,
  memoryMb: LIMIT_BOUNDS.memoryMb.default,
  logsMb: LIMIT_BOUNDS.logsMb.default,
  concurrency: LIMIT_BOUNDS.concurrency.default,
};

/** Limits of an action that gives none: the usual ones, as far as they are allowed. */
export function defaultLimits(bounds: LimitBounds): ActionLimits {
  const limits = { ...DEFAULT_LIMITS };
  for (const name of NAMES) limits[name] = Math.min(bounds[name].max, Math.max(bounds[name].min, limits[name]));
  return limits;
}

/** Limits field by field: what is given, else what was there. Adds what is out of bounds to the violations. */
export function mergeLimits(
  base: ActionLimits,
  given: LimitsInput,
  violations: Violations,
  bounds: LimitBounds = LIMIT_BOUNDS,
): ActionLimits {
  const merged = { ...base };
  for (const name of NAMES) {
    const value = given[name];
    if (value === undefined) continue;
    const { min, max } = bounds[name];
    const { field, unit } = FIELDS[name];
    if (!Number.isInteger(value) || value < min || value > max) {
      violations.add(`limits.${field}`, `must be between ${min} and ${max}${unit && ` ${unit}`}, not ${value}`);
    }
    merged[name] = value;
  }
  return merged;
}

/** Most sandboxes of an action: what is given, else what was there. Adds what is out of bounds to the violations. */
export function mergeInstances(
  old: number | undefined,
  given: number | undefined,
  violations: Violations,
  max: number,
): number | undefined {
  if (given === undefined) return old;
  if (given === 0) return undefined;
  if (!Number.isInteger(given) || given < 0 || given > max) {
    const what = "invocations that the namespace may have in flight";
    violations.add("limits.instances", `must be between 0 (no limit) and ${max}, the ${what}, not ${given}`);
  }
  return given;
}
