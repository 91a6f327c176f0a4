// Lists of parameters as they are stored and as they are used.

import { invalidField, toWeftError } from "../../base/errors.js";
import type { KeyValue } from "../action/types.js";
import { open, seal } from "./envelope.js";
import type { KeyRing } from "./key-ring.js";

/** What `encryption` says of a sealed value, in OpenWhisk's words. */
export const ENCRYPTION = "aes-256";

/** A parameter as clients see and send it: `encryption` set means that the value is an envelope, a string of base64. */
export interface ShownKeyValue extends KeyValue {
  readonly encryption?: string | undefined;
}

/** For the store: every value sealed with the current key, when there is one. Lists are of entities of `namespace`. */
export function sealedParameters(ring: KeyRing, namespace: string, list: readonly KeyValue[]): readonly KeyValue[] {
  const { current } = ring;
  if (!current) return list;
  return list.map((entry) => ({
    key: entry.key,
    init: entry.init,
    valueJson: seal(current, { namespace, key: entry.key }, entry.valueJson).toString("base64"),
    sealedBy: current.id,
  }));
}

/** From the store. What was stored plain stays as it is. @throws internal when something cannot be opened */
export function openedParameters(ring: KeyRing, namespace: string, list: readonly KeyValue[]): readonly KeyValue[] {
  if (!list.some(({ sealedBy }) => sealedBy !== undefined)) return list;
  return list.map((entry) =>
    entry.sealedBy === undefined
      ? entry
      : {
          key: entry.key,
          init: entry.init,
          valueJson: open(ring, { namespace, key: entry.key }, Buffer.from(entry.valueJson, "base64")),
        },
  );
}

/** For clients that shall not see values, as OpenWhisk with encryption shows them. */
export function shownSealed(ring: KeyRing, namespace: string, list: readonly KeyValue[]): readonly ShownKeyValue[] {
  return sealedParameters(ring, namespace, list).map(({ key, init, valueJson, sealedBy }) =>
    sealedBy === undefined
      ? { key, init, valueJson }
      : { key, init, valueJson: JSON.stringify(valueJson), encryption: ENCRYPTION },
  );
}

/**
 * What clients send: an entry that says it is encrypted is one that was read here before, from the same namespace, and is
 * opened; all others are plain.
 * @throws invalidArgument naming the entry that cannot be opened
 */
export function givenParameters(
  ring: KeyRing,
  field: string,
  namespace: string,
  list: readonly ShownKeyValue[],
): readonly KeyValue[] {
  return list.map(({ key, valueJson, init, encryption = "" }, i) => {
    if (encryption === "") return { key, valueJson, init };
    const refused = (): never => {
      throw invalidField(
        `${field}[${i}].encryption`,
        `is "${encryption}", but the value of ${key} was not encrypted here for it in namespace ${namespace}; ` +
          "send the value itself, without encryption",
      );
    };
    if (encryption !== ENCRYPTION || !/^\s*"[A-Za-z0-9+/]+={0,2}"\s*$/.test(valueJson)) return refused();
    try {
      return {
        key,
        init,
        valueJson: open(ring, { namespace, key }, Buffer.from(valueJson.trim().slice(1, -1), "base64")),
      };
    } catch (thrown) {
      if (toWeftError(thrown).kind === "internal") return refused();
      throw thrown;
    }
  });
}
