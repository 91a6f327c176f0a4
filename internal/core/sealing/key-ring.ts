// The keys that parameters are encrypted with while they are stored. The first seals; all of them open, so that a key
// can be replaced while what it sealed is still there.

import { hkdfSync } from "node:crypto";

import { invalidField } from "../../base/errors.js";

/** Bytes of a secret: those of AES-256. */
export const SECRET_BYTES = 32;
/** Keys of one ring: the one in use, and those before it that still open something. */
export const RING_KEYS_MAX = 16;
/** In the place of the first key: what is written from now on is not sealed. */
export const NO_SEALING = "none";

const ID = /^[A-Za-z0-9._-]{1,32}$/;
/** Other keys may be made from the same secret one day: these two are for values of parameters. */
const PURPOSES = { cipher: "weft parameters: cipher", nonce: "weft parameters: nonce" } as const;

export interface SealingKey {
  /** Written beside what it sealed. */
  readonly id: string;
  /** Of AES-256-GCM. */
  readonly cipherKey: Uint8Array;
  /** Of the HMAC that nonces come from. */
  readonly nonceKey: Uint8Array;
}

export class KeyRing {
  readonly #byId: ReadonlyMap<string, SealingKey>;

  /** @param current seals; undefined: nothing is sealed */
  constructor(
    readonly current: SealingKey | undefined,
    older: readonly SealingKey[],
  ) {
    this.#byId = new Map([...(current ? [current] : []), ...older].map((key) => [key.id, key]));
  }

  get ids(): readonly string[] {
    return [...this.#byId.keys()];
  }

  find(id: string): SealingKey | undefined {
    return this.#byId.get(id);
  }
}

/**
 * Reads "ID:SECRET,ID:SECRET,...", each secret 32 bytes as base64 or as 64 hexadecimal digits; "none" in the first place
 * leaves what is written as it is. The message never has a secret in it.
 * @throws invalidArgument naming the field and the place in the list
 */
export function parseKeyRing(field: string, text: string): KeyRing {
  const entries = text.split(",").map((entry) => entry.trim());
  const plain = entries[0] === NO_SEALING;
  const keys = (plain ? entries.slice(1) : entries).map((entry, i) => parseKey(field, entry, i + (plain ? 2 : 1)));
  if (keys.length > RING_KEYS_MAX) throw invalidField(field, `has ${keys.length} keys; at most ${RING_KEYS_MAX}`);
  const repeated = keys.find(({ id }, i) => keys.findIndex((key) => key.id === id) !== i);
  if (repeated) throw invalidField(field, `key ${repeated.id} is there twice`);
  return plain ? new KeyRing(undefined, keys) : new KeyRing(keys[0], keys.slice(1));
}

/** @param secret SECRET_BYTES of them */
export function sealingKey(id: string, secret: Uint8Array): SealingKey {
  const derived = (purpose: string): Uint8Array =>
    new Uint8Array(hkdfSync("sha256", secret, new Uint8Array(), purpose, SECRET_BYTES));
  return { id, cipherKey: derived(PURPOSES.cipher), nonceKey: derived(PURPOSES.nonce) };
}

function parseKey(field: string, entry: string, place: number): SealingKey {
  const colon = entry.indexOf(":");
  const id = entry.slice(0, Math.max(0, colon));
  if (!ID.test(id) || id === NO_SEALING) {
    throw invalidField(
      field,
      `key ${place} must be ID:SECRET with an id of 1 to 32 letters, digits, ".", "_" or "-" other than "${NO_SEALING}"`,
    );
  }
  const secret = secretOf(entry.slice(colon + 1));
  if (!secret) {
    throw invalidField(
      field,
      `the secret of key ${id} must be ${SECRET_BYTES} bytes as base64 or hexadecimal; openssl rand -base64 32 makes one`,
    );
  }
  return sealingKey(id, secret);
}

function secretOf(text: string): Uint8Array | undefined {
  if (/^[0-9a-fA-F]{64}$/.test(text)) return Buffer.from(text, "hex");
  // 32 bytes are 43 characters and one of padding, which some leave out.
  if (!/^[A-Za-z0-9+/]{43}=?$/.test(text)) return undefined;
  return Buffer.from(text, "base64");
}
