// Parameters and annotations: arrays of {key, value}, whose values stay JSON text.

import type { KeyValue } from "../../../gen/weft/common/v1/common.pb.js";
import { PARAMETERS_BYTES_MAX } from "../../../core/action/types.js";
import { elementsOf, membersOf, typeOf, type JsonText } from "../../../base/json-text.js";
import { malformed, tooLarge } from "./refusal.js";

/**
 * @param field "parameters" or "annotations"
 * @returns undefined when the body does not have the field, or has null
 * @throws Refusal 400, 413
 */
export function readKeyValues(body: ReadonlyMap<string, JsonText>, field: string): KeyValue[] | undefined {
  const text = body.get(field);
  if (text === undefined || text === "null") return undefined;
  if (typeOf(text) !== "array") throw malformed(`${field} malformed! It must be an array of {"key", "value"}.`);
  const bytes = Buffer.byteLength(text);
  if (bytes > PARAMETERS_BYTES_MAX) throw tooLarge(field, bytes, PARAMETERS_BYTES_MAX);
  // Of a repeated key the last counts.
  const byKey = new Map<string, KeyValue>();
  elementsOf(text).forEach((element, i) => {
    const entry = readKeyValue(element, `${field}[${i}]`);
    byKey.set(entry.key, entry);
  });
  return [...byKey.values()];
}

function readKeyValue(text: JsonText, where: string): KeyValue {
  const problem = (what: string): Error => malformed(`${where.replace(/\[.*/, "")} malformed! ${where}: ${what}`);
  if (typeOf(text) !== "object") throw problem("must be an object with key and value");
  const members = membersOf(text);
  const keyText = members.get("key");
  const valueJson = members.get("value");
  if (keyText === undefined || typeOf(keyText) !== "string") throw problem("key must be a string");
  if (valueJson === undefined) throw problem("value is missing");
  const key = JSON.parse(keyText) as string;
  // Neither can be stored as text, and no client means them.
  if (/[\0\p{Surrogate}]/u.test(key)) throw problem("key must not have NUL or half a surrogate pair");
  const init = members.get("init");
  if (init !== undefined && init !== "null" && typeOf(init) !== "boolean") throw problem("init must be a boolean");
  const encryption = members.get("encryption");
  if (encryption === undefined || encryption === "null") return { key, valueJson, init: init === "true" };
  if (typeOf(encryption) !== "string") throw problem("encryption must be a string");
  return { key, valueJson, init: init === "true", encryption: JSON.parse(encryption) as string };
}

export function writeKeyValues(entries: readonly KeyValue[]): JsonText {
  const parts = entries.map(
    ({ key, valueJson, init, encryption }) =>
      `{"key":${JSON.stringify(key)},"value":${valueJson === "" ? "null" : valueJson}${init ? ',"init":true' : ""}` +
      `${encryption ? `,"encryption":${JSON.stringify(encryption)}` : ""}}`,
  );
  return `[${parts.join(",")}]`;
}

/** `over` wins per key; the order is that of first mention. */
export function mergeKeyValues(under: readonly KeyValue[], over: readonly KeyValue[]): KeyValue[] {
  const byKey = new Map(under.map((entry) => [entry.key, entry]));
  for (const entry of over) byKey.set(entry.key, entry);
  return [...byKey.values()];
}
