// Keys that must be handed on later, and so cannot be kept as a hash, are kept sealed: whoever reads the database alone
// cannot read them. What was sealed under another cluster key cannot be opened.

import { createCipheriv, createDecipheriv, createHmac, hkdfSync, timingSafeEqual } from "node:crypto";

import { bytesToHex } from "../../base/ids.js";
import type { Random } from "../../base/random.js";

const CIPHER = "aes-256-gcm";
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** Bytes that a cluster key stands for, apart from every other use of it. */
export function sealingKey(clusterKey: string, use: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", clusterKey, "", `weft ${use}`, 32));
}

/** @param place where it is kept: it cannot be opened anywhere else */
export function seal(key: Uint8Array, place: string, text: string, random: Random): Uint8Array {
  const iv = random.bytes(IV_BYTES);
  const cipher = createCipheriv(CIPHER, key, iv).setAAD(Buffer.from(place));
  return Buffer.concat([iv, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
}

/** @returns undefined when it was sealed with another key, for another place, or is damaged */
export function unseal(key: Uint8Array, place: string, sealed: Uint8Array): string | undefined {
  if (sealed.length < IV_BYTES + TAG_BYTES) return undefined;
  const end = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, IV_BYTES))
    .setAAD(Buffer.from(place))
    .setAuthTag(sealed.subarray(end));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(IV_BYTES, end)), decipher.final()]).toString("utf8");
  } catch {
    return undefined;
  }
}

/** Of a signed id, each in hex characters. */
const ID_HEX = 32;
const SIGNATURE_HEX = 32;

/** An id that nobody can make who has not the key: the id itself, and the first half of its HMAC. 64 hex characters. */
export function signedId(key: Uint8Array, id: string): string {
  return id + signatureOf(key, id);
}

/** @returns the id; undefined for what was not made with this key */
export function idOfSigned(key: Uint8Array, text: string): string | undefined {
  if (text.length !== ID_HEX + SIGNATURE_HEX || !/^[0-9a-f]+$/.test(text)) return undefined;
  const id = text.slice(0, ID_HEX);
  const given = Buffer.from(text.slice(ID_HEX));
  return timingSafeEqual(given, Buffer.from(signatureOf(key, id))) ? id : undefined;
}

function signatureOf(key: Uint8Array, id: string): string {
  return bytesToHex(createHmac("sha256", key).update(id).digest()).slice(0, SIGNATURE_HEX);
}
