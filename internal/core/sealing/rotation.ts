// Keys come and go: whether those that are configured fit what is stored, and sealing everything anew.

import { WeftError } from "../../base/errors.js";
import { keyIdOf, open, seal } from "./envelope.js";
import type { KeyRing } from "./key-ring.js";
import { openedParameters, sealedParameters } from "./parameters.js";
import type { SealStore, StoredParameters } from "./store.js";

/** Sealed with a key to know it again by; belongs to no namespace. */
const CHECK_PLACE = { namespace: "", key: "" };
const CHECK_TEXT = "weft";
/** Lists that are read at once: each has a megabyte at most, and mostly a few hundred bytes. */
const BATCH = 20;

/**
 * That this ring opens what is stored. Remembers its keys.
 * @returns whether something is stored plain although there is a key that seals
 * @throws failedPrecondition PARAMETER_KEY_WRONG, PARAMETER_KEY_MISSING
 */
export async function checkKeyRing(ring: KeyRing, store: SealStore): Promise<{ readonly plainStored: boolean }> {
  const known = new Map((await store.knownKeys()).map((key) => [key.id, key]));
  for (const id of ring.ids) {
    const key = ring.find(id);
    if (!key) continue;
    const check = seal(key, CHECK_PLACE, CHECK_TEXT);
    const remembered = known.get(id) ?? (await store.rememberKey({ id, check }));
    if (!opens(ring, remembered.check)) {
      throw new WeftError(
        "failedPrecondition",
        "PARAMETER_KEY_WRONG",
        `the secret of key ${id} in parameterKeys is not the one that this database knows by that id`,
        { fix: `give key ${id} the secret it had, or give the new secret an id of its own` },
      );
    }
  }
  for (const id of known.keys()) {
    if (ring.find(id)) continue;
    if (await store.keyInUse(id)) {
      throw new WeftError(
        "failedPrecondition",
        "PARAMETER_KEY_MISSING",
        `parameters were sealed with key ${id}, which parameterKeys does not have`,
        {
          fix: `add key ${id} to parameterKeys (WEFT_PARAMETER_KEYS), after the first one if it shall not be used any more`,
        },
      );
    }
    await store.forgetKey(id);
  }
  return { plainStored: ring.current !== undefined && (await store.plainStored()) };
}

export interface Resealed {
  /** Lists that were written anew. */
  readonly lists: number;
  /** Keys that nothing is sealed with any more. */
  readonly unusedKeys: readonly string[];
}

/**
 * Seals everything with the current key, or opens everything when there is none. May be repeated, and go on beside
 * other writers: what they write is sealed with the current key already.
 * @throws internal when something cannot be opened
 */
export async function resealAll(ring: KeyRing, store: SealStore, signal?: AbortSignal): Promise<Resealed> {
  let lists = 0;
  for (const table of ["entities", "revisions"] as const) {
    let after: string | undefined;
    for (;;) {
      signal?.throwIfAborted();
      const batch = await store.listParameters(table, BATCH, after);
      for (const stored of batch) if (await reseal(ring, store, stored)) lists += 1;
      if (batch.length < BATCH) break;
      after = batch.at(-1)?.position;
    }
  }
  const unusedKeys: string[] = [];
  for (const { id } of await store.knownKeys()) {
    if (id !== ring.current?.id && !(await store.keyInUse(id))) unusedKeys.push(id);
  }
  return { lists, unusedKeys };
}

/** @returns whether it was written; who has changed it meanwhile sealed it himself */
async function reseal(ring: KeyRing, store: SealStore, stored: StoredParameters): Promise<boolean> {
  if (stored.parameters.every(({ sealedBy }) => sealedBy === ring.current?.id)) return false;
  const plain = openedParameters(ring, stored.namespace, stored.parameters);
  return store.replaceParameters(stored, sealedParameters(ring, stored.namespace, plain));
}

function opens(ring: KeyRing, check: Uint8Array): boolean {
  if (keyIdOf(check) === undefined) return false;
  try {
    return open(ring, CHECK_PLACE, check) === CHECK_TEXT;
  } catch (thrown) {
    if (thrown instanceof WeftError && thrown.kind === "internal") return false;
    throw thrown;
  }
}
