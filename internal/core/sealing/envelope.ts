// What a sealed value looks like:
//
//   version (1 byte, 1) | length of the key's id (1 byte) | id | nonce (12 bytes) | tag (16 bytes) | ciphertext
//
// The cipher is AES-256-GCM. Namespace and name of the parameter are bound to it: moved to another place, it does not
// open, so that nobody has a value opened for him by putting somebody else's envelope into an entity of his own.
//
// The nonce is made from what is sealed (HMAC-SHA-256 with a key of its own): it never stands for two texts, needs no
// randomness, and the same value in the same place reads the same each time. What that tells is only whether the value of
// one parameter was the same twice.

import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";

import { invariant, WeftError } from "../../base/errors.js";
import type { KeyRing, SealingKey } from "./key-ring.js";

const VERSION = 1;
const HEAD_BYTES = 2;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = "aes-256-gcm";

/** Reasons of what cannot be opened. */
export const KEY_NOT_THERE = "PARAMETER_KEY_MISSING";
export const SEAL_BROKEN = "PARAMETER_SEAL_BROKEN";

/** Where a value belongs. */
export interface SealedPlace {
  readonly namespace: string;
  /** Name of the parameter. */
  readonly key: string;
}

export function seal(key: SealingKey, place: SealedPlace, plain: string): Buffer {
  const id = Buffer.from(key.id);
  invariant(id.length > 0 && id.length < 256, "the id of a key has one length byte");
  const text = Buffer.from(plain);
  const bound = placeBytes(place);
  const nonce = createHmac("sha256", key.nonceKey).update(bound).update(text).digest().subarray(0, NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key.cipherKey, nonce, { authTagLength: TAG_BYTES }).setAAD(bound);
  const sealed = Buffer.concat([cipher.update(text), cipher.final()]);
  return Buffer.concat([Buffer.of(VERSION, id.length), id, nonce, cipher.getAuthTag(), sealed]);
}

/** @returns the id of the key that sealed it; undefined when it is no envelope */
export function keyIdOf(envelope: Uint8Array): string | undefined {
  const idLength = envelope[1] ?? 0;
  if (envelope[0] !== VERSION || idLength === 0) return undefined;
  if (envelope.length < HEAD_BYTES + idLength + NONCE_BYTES + TAG_BYTES) return undefined;
  return Buffer.from(envelope.subarray(HEAD_BYTES, HEAD_BYTES + idLength)).toString();
}

/**
 * @throws internal KEY_NOT_THERE when the ring lacks the key, SEAL_BROKEN when it is no envelope, was changed, or belongs
 * elsewhere
 */
export function open(ring: Pick<KeyRing, "find">, place: SealedPlace, envelope: Uint8Array): string {
  const what = `parameter ${place.key} in namespace ${place.namespace}`;
  const id = keyIdOf(envelope);
  if (id === undefined) throw new WeftError("internal", SEAL_BROKEN, `the stored value of ${what} is not an envelope`);
  const key = ring.find(id);
  if (!key) {
    throw new WeftError("internal", KEY_NOT_THERE, `${what} was sealed with key ${id}, which is not configured`, {
      fix: `add key ${id} to parameterKeys (WEFT_PARAMETER_KEYS) of every controller`,
    });
  }
  let at = HEAD_BYTES + Buffer.byteLength(id);
  const next = (size: number): Uint8Array => envelope.subarray(at, (at += size));
  const [nonce, tag] = [next(NONCE_BYTES), next(TAG_BYTES)];
  const decipher = createDecipheriv(CIPHER, key.cipherKey, nonce, { authTagLength: TAG_BYTES })
    .setAAD(placeBytes(place))
    .setAuthTag(tag);
  try {
    return Buffer.concat([decipher.update(envelope.subarray(at)), decipher.final()]).toString();
  } catch (cause) {
    throw new WeftError("internal", SEAL_BROKEN, `the stored value of ${what} does not open with key ${id}`, { cause });
  }
}

/** Lengths first: no two places have the same bytes. */
function placeBytes({ namespace, key }: SealedPlace): Buffer {
  return Buffer.from(`${Buffer.byteLength(namespace)}:${namespace}:${key}`);
}
