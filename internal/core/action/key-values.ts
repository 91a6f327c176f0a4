// Parameters and annotations: lists of keys with values that are JSON text.

import type { Violations } from "../../base/violations.js";
import { jsonProblem } from "./json.js";
import { PARAMETERS_BYTES_MAX, type KeyValue } from "./types.js";

/** Longest key, characters. */
export const KEY_LENGTH_MAX = 256;

/** What `{"key":,"value":,}` adds to each entry: sizes are those of the list as JSON. */
const ENTRY_OVERHEAD_BYTES = 20;

export interface KeyValueRules {
  /** False for annotations: they cannot be handed over at init. */
  readonly mayInit: boolean;
  /** Most bytes; default PARAMETERS_BYTES_MAX. */
  readonly bytesMax?: number;
}

/** Adds what is wrong with a list to the violations: keys, values, repeated keys, size. */
export function checkKeyValues(
  field: string,
  list: readonly KeyValue[],
  rules: KeyValueRules,
  violations: Violations,
): void {
  const { bytesMax = PARAMETERS_BYTES_MAX } = rules;
  const seen = new Set<string>();
  let bytes = 2;
  list.forEach(({ key, valueJson, init }, i) => {
    const at = `${field}[${i}]`;
    const problem = keyProblem(key, init);
    if (problem !== undefined) violations.add(`${at}.key`, problem);
    else if (seen.has(key)) violations.add(`${at}.key`, `"${key}" is there twice`);
    seen.add(key);
    if (init && !rules.mayInit) violations.add(`${at}.init`, "is for parameters only");
    bytes += ENTRY_OVERHEAD_BYTES + Buffer.byteLength(key) + Buffer.byteLength(valueJson);
    if (valueJson === "") violations.add(`${at}.value_json`, "must be JSON text; null for no value");
    // What is refused for its size is not read: it may be anything.
    else if (bytes <= bytesMax) {
      const wrong = jsonProblem(valueJson);
      if (wrong !== undefined) violations.add(`${at}.value_json`, wrong);
    }
  });
  if (bytes > bytesMax) {
    violations.addTooLarge(field, `larger than allowed: ${bytes} > ${bytesMax} bytes`);
  }
}

function keyProblem(key: string, init: boolean): string | undefined {
  if (key === "") return "must not be empty";
  if (key.length > KEY_LENGTH_MAX) return `longer than allowed: ${key.length} > ${KEY_LENGTH_MAX} characters`;
  if (key.includes("\0")) return "must not contain a null character";
  if (init && key.includes("=")) return "becomes the name of an environment variable and must not contain =";
  return undefined;
}

/** `changes` over `base`, by key: keys keep their places, new ones follow. */
export function mergeKeyValues<T extends KeyValue>(base: readonly T[], changes: readonly T[]): readonly T[] {
  if (base.length === 0) return changes;
  if (changes.length === 0) return base;
  const merged = new Map(base.map((entry) => [entry.key, entry]));
  for (const entry of changes) merged.set(entry.key, entry);
  return [...merged.values()];
}

/** JSON text of an entry's value, without white space around it. */
export function valueOf(list: readonly KeyValue[], key: string): string | undefined {
  return list.find((entry) => entry.key === key)?.valueJson.trim();
}

/** True for everything but false, null, 0 and "": how annotations that switch something are read. */
export function isTruthy(list: readonly KeyValue[], key: string, whenAbsent: boolean): boolean {
  const entry = list.find((one) => one.key === key);
  return entry ? Boolean(JSON.parse(entry.valueJson)) : whenAbsent;
}

/** The list as OpenWhisk writes it: `[{"key":...,"value":...}]`. Values keep every digit. */
export function keyValuesJson(list: readonly KeyValue[]): string {
  const entries = list.map(
    ({ key, valueJson, init }) => `{"key":${JSON.stringify(key)},"value":${valueJson}${init ? ',"init":true' : ""}}`,
  );
  return `[${entries.join(",")}]`;
}
