// Credentials: made here, shown once, kept as a hash.

import { createHash } from "node:crypto";

import { invalidField } from "../../base/errors.js";
import { bytesToHex } from "../../base/ids.js";
import type { Random } from "../../base/random.js";
import type { Violations } from "../../base/violations.js";
import type { Key } from "./store.js";

/** Characters of the secret part, as OpenWhisk's tools expect them. */
export const SECRET_LENGTH = 64;
const ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
export const SUBJECT_LENGTH_MIN = 5;
export const SUBJECT_LENGTH_MAX = 256;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const SECRET = /^[A-Za-z0-9]{64}$/;

export interface NewKey {
  readonly key: Key;
  /** "uuid:secret", to be shown once. */
  readonly auth: string;
}

export interface KeyOwner {
  readonly namespace: string;
  readonly subject: string;
  readonly operator: boolean;
}

/** @param random must be unpredictable: the system's */
export function newKey(owner: KeyOwner, random: Random, wallMs: number): NewKey {
  return keyOf(newUuid(random), newSecret(random), owner, wallMs);
}

/** A key that an operator chose. @throws invalidArgument unless it is "uuid:64 letters and digits" */
export function givenKey(field: string, auth: string, owner: KeyOwner, wallMs: number): NewKey {
  const colon = auth.indexOf(":");
  const [uuid, secret] = [auth.slice(0, colon), auth.slice(colon + 1)];
  if (!isKeyUuid(uuid) || !SECRET.test(secret)) {
    throw invalidField(field, `must be "uuid:key" with ${SECRET_LENGTH} letters and digits after the colon`);
  }
  return keyOf(uuid, secret, owner, wallMs);
}

/** Whether a text can be the public part of a key. */
export function isKeyUuid(text: string): boolean {
  return UUID.test(text);
}

export function secretHash(secret: string): Uint8Array {
  return createHash("sha256").update(secret).digest();
}

/** The subject of a namespace's first key when none is named. */
export function subjectOfNamespace(namespace: string): string {
  return namespace.padEnd(SUBJECT_LENGTH_MIN, "_");
}

/** It travels in headers, so it is printable ASCII and does not begin or end with a space. */
const SUBJECT = /^[\x21-\x7e][\x20-\x7e]*[\x21-\x7e]$/;

export function checkSubject(field: string, subject: string, violations: Violations): void {
  if (subject.length < SUBJECT_LENGTH_MIN || subject.length > SUBJECT_LENGTH_MAX) {
    violations.add(field, `must have ${SUBJECT_LENGTH_MIN} to ${SUBJECT_LENGTH_MAX} characters, not ${subject.length}`);
  } else if (!SUBJECT.test(subject)) {
    violations.add(field, "must be printable ASCII and must not begin or end with a space");
  }
}

function keyOf(uuid: string, secret: string, owner: KeyOwner, wallMs: number): NewKey {
  return { key: { uuid, secretHash: secretHash(secret), ...owner, createdWallMs: wallMs }, auth: `${uuid}:${secret}` };
}

/** A UUID of version 4. */
function newUuid(random: Random): string {
  const bytes = Uint8Array.from(random.bytes(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytesToHex(bytes);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function newSecret(random: Random): string {
  // Bytes above the largest multiple of the alphabet are thrown away: the rest of a division would favour its start.
  const fair = 256 - (256 % ALPHABET.length);
  let secret = "";
  while (secret.length < SECRET_LENGTH) {
    for (const byte of random.bytes(SECRET_LENGTH)) {
      if (byte < fair && secret.length < SECRET_LENGTH) secret += ALPHABET.charAt(byte % ALPHABET.length);
    }
  }
  return secret;
}
