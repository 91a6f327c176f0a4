// What every entity has in common when it is made or changed.

import type { Violations } from "../../base/violations.js";
import type { KeyValue, Stored } from "./types.js";
import { checkKeyValues, type KeyValueRules } from "./key-values.js";
import { FIRST_VERSION, nextVersion, parseVersion } from "./version.js";

/** Fields of a request that every entity has; "" and empty lists are not given. */
export interface EntityInput {
  readonly namespace: string;
  readonly name: string;
  readonly version: string;
  readonly publish: boolean;
  readonly annotations: readonly KeyValue[];
}

export const PARAMETER_RULES: KeyValueRules = { mayInit: true };
export const ANNOTATION_RULES: KeyValueRules = { mayInit: false };

/** Which fields an update replaces: those named, or those that are given. */
export class UpdateMask<F extends string> {
  readonly #named: ReadonlySet<string>;

  /** Adds names that are no fields to the violations. */
  constructor(names: readonly string[], fields: readonly F[], violations: Violations) {
    this.#named = new Set(names);
    names.forEach((name, i) => {
      if (!(fields as readonly string[]).includes(name)) {
        violations.add(`update_fields[${i}]`, `"${name.slice(0, 64)}" is none of ${fields.join(", ")}`);
      }
    });
  }

  /** True when the field was named, so that "not given" means "empty it". */
  names(field: F): boolean {
    return this.#named.has(field);
  }

  /** @param given whether the request has a value for it */
  has(field: F, given: boolean): boolean {
    return this.#named.size === 0 ? given : this.#named.has(field);
  }
}

/** The version of a new entity. */
export function firstVersion(input: EntityInput, violations: Violations): string {
  if (input.version === "") return FIRST_VERSION;
  return violations.try(() => parseVersion("version", input.version)) ?? FIRST_VERSION;
}

/** The version after an update: the one that is given, else the next. */
export function versionAfter<F extends string>(
  old: Stored,
  input: EntityInput,
  mask: UpdateMask<F | "version">,
  violations: Violations,
): string {
  const next = nextVersion(old.version);
  if (!mask.has("version", input.version !== "")) return next;
  if (input.version === "") {
    violations.add("version", "is named in update_fields but not given");
    return next;
  }
  return violations.try(() => parseVersion("version", input.version)) ?? next;
}

/** Replaces a list when the mask says so; checks what it takes. */
export function listAfter<F extends string>(
  field: F,
  old: readonly KeyValue[],
  given: readonly KeyValue[],
  rules: KeyValueRules,
  mask: UpdateMask<F>,
  violations: Violations,
): readonly KeyValue[] {
  if (!mask.has(field, given.length > 0)) return old;
  checkKeyValues(field, given, rules, violations);
  return given;
}
