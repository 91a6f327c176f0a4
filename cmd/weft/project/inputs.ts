// Inputs of packages, actions, triggers and bindings: values, or descriptions with a type and a default.

import type { JsonText } from "../../../internal/base/json-text.js";
import type { KeyValue } from "../../../internal/core/action/types.js";
import { interpolate, type Variables } from "./interpolate.js";
import { flagOf, jsonOf, type Entry, type Problems, type Value } from "./yaml-tree.js";

export interface InputContext {
  readonly variables: Variables;
  readonly missing: (name: string) => void;
  readonly problems: Problems;
  /** From the command line, as JSON text: these come before everything. */
  readonly params: ReadonlyMap<string, JsonText>;
  /** Told of every one of them that was meant. */
  readonly used: (name: string) => void;
}

type Type = "string" | "integer" | "float" | "boolean" | "json" | "slice";

const DEFAULTS: Readonly<Record<Type, JsonText>> = {
  string: '""',
  integer: "0",
  float: "0",
  boolean: "false",
  json: "{}",
  slice: "[]",
};

/** Names that OpenWhisk's tools take for the same. */
const TYPES: ReadonlyMap<string, Type> = new Map<string, Type>([
  ...(["string", "integer", "float", "boolean", "json", "slice"] as const).map((type) => [type, type] as const),
  ["int", "integer"],
  ["number", "float"],
  ["bool", "boolean"],
  ["object", "json"],
  ["map", "json"],
  ["array", "slice"],
]);
/** Those that may stand in place of a value. */
const TYPE_NAMES: ReadonlySet<string> = new Set(["string", "integer", "float", "boolean", "json"]);
const DESCRIPTION = new Set(["type", "description", "value", "required", "default", "status", "schema"]);

/**
 * @param entries of the manifest
 * @param over of the deployment file: these come before
 * @param environment true where an input without a value is the environment's variable of its name
 */
export function inputsOf(
  entries: readonly Entry[],
  over: readonly Entry[],
  context: InputContext,
  environment = false,
): KeyValue[] {
  const byKey = new Map<string, readonly Entry[]>(entries.map((entry) => [entry.key, [entry]]));
  for (const entry of over) byKey.set(entry.key, [entry, ...(byKey.get(entry.key) ?? [])]);
  return [...byKey].map(([key, sources]) => {
    const value = { key, valueJson: valueOf(key, sources, context, environment), init: false };
    return value;
  });
}

function valueOf(key: string, sources: readonly Entry[], context: InputContext, environment: boolean): JsonText {
  const fromLine = context.params.get(key);
  if (fromLine !== undefined) {
    context.used(key);
    return fromLine;
  }
  let required = false;
  let type: Type = "string";
  for (const { value } of sources) {
    const read = readInput(value, context);
    required ||= read.required;
    ({ type } = read);
    if (read.valueJson !== undefined) return read.valueJson;
  }
  const variable = environment ? context.variables(key) : undefined;
  if (variable !== undefined) return JSON.stringify(variable);
  const at = sources.at(-1)?.at;
  if (required && at) {
    context.problems.add(at, `is required and has no value: give one, or --param ${key} VALUE`);
  }
  return DEFAULTS[type];
}

interface Read {
  readonly type: Type;
  readonly required: boolean;
  readonly valueJson: JsonText | undefined;
}

function readInput(value: Value, context: InputContext): Read {
  const text = (raw: string): string => interpolate(raw, context.variables, context.missing);
  const described =
    value.kind === "map" && value.entries.length > 0 && value.entries.every(({ key }) => DESCRIPTION.has(key));
  if (!described) {
    if (value.kind === "scalar" && value.value === null)
      return { type: "string", required: false, valueJson: undefined };
    if (value.kind === "scalar" && TYPE_NAMES.has(value.source)) {
      return { type: value.source as Type, required: false, valueJson: undefined };
    }
    return { type: "string", required: false, valueJson: given(value, text) };
  }
  const field = (name: string): Value | undefined => value.entries.find(({ key }) => key === name)?.value;
  const typeValue = field("type");
  const typeName = typeValue?.kind === "scalar" ? typeValue.source : undefined;
  const type = typeName === undefined ? undefined : TYPES.get(typeName.toLowerCase());
  if (typeValue && type === undefined) {
    context.problems.add(typeValue, `is no type: there are ${[...TYPE_NAMES].join(", ")}, slice`);
  }
  const requiredValue = field("required");
  const required = requiredValue?.kind === "scalar" ? flagOf(requiredValue) : requiredValue && undefined;
  if (requiredValue && required === undefined) context.problems.add(requiredValue, "must be true or false");
  for (const one of [field("value"), field("default")]) {
    const valueJson = one && given(one, text);
    if (!one || valueJson === undefined) continue;
    return { type: type ?? "string", required: required ?? false, valueJson: typed(one, valueJson, type, context) };
  }
  return { type: type ?? "string", required: required ?? false, valueJson: undefined };
}

/** Nothing, and a text that only variables without a value make up, is no value. */
function given(value: Value, text: (raw: string) => string): JsonText | undefined {
  if (value.kind !== "scalar") return jsonOf(value, text);
  if (value.value === null) return undefined;
  const valueJson = jsonOf(value, text);
  return valueJson === '""' && value.value !== "" ? undefined : valueJson;
}

/** A text that came from a variable is what its type says; what is not is a problem. */
function typed(at: Value, valueJson: JsonText, type: Type | undefined, { problems }: InputContext): JsonText {
  const wrong = (what: string): JsonText => {
    problems.add(at, `must be ${what}, not ${valueJson.slice(0, 80)}`);
    return valueJson;
  };
  const text = valueJson.startsWith('"') ? (JSON.parse(valueJson) as string) : undefined;
  if (text === "" || type === undefined) return valueJson;
  const bare = text ?? valueJson;
  switch (type) {
    case "integer":
      return /^-?\d+$/.test(bare) ? String(BigInt(bare)) : wrong("a whole number");
    case "float":
      return /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(bare) ? bare.replace(/^(-?)0+(?=\d)/, "$1") : wrong("a number");
    case "boolean":
      return bare === "true" || bare === "false" ? bare : wrong("true or false");
    case "json":
      return text === undefined ? valueJson : isJson(text) ? text : wrong("JSON");
    case "slice":
      return valueJson.startsWith("[") ? valueJson : wrong("a list");
    case "string":
      return valueJson;
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Annotations: any values. */
export function annotationsOf(
  entries: readonly Entry[],
  over: readonly Entry[],
  { variables, missing }: Pick<InputContext, "variables" | "missing">,
): KeyValue[] {
  const byKey = new Map([...entries, ...over].map((entry) => [entry.key, entry.value]));
  const text = (raw: string): string => interpolate(raw, variables, missing);
  return [...byKey].map(([key, value]) => ({ key, valueJson: jsonOf(value, text), init: false }));
}

/** A description is an annotation, unless there is one. */
export function describe(annotations: readonly KeyValue[], description: string | undefined): KeyValue[] {
  if (description === undefined || annotations.some(({ key }) => key === "description")) return [...annotations];
  return [...annotations, { key: "description", valueJson: JSON.stringify(description), init: false }];
}
