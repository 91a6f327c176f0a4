// What stands for a namespace in URLs, and what callers of its APIs present.

import { createHash } from "node:crypto";

import { bytesToHex } from "../../base/ids.js";
import type { Random } from "../../base/random.js";
import type { ApiKey } from "./types.js";

/** Letters, digits, `-` and `_`: a secret may stand in a header and in a query. */
const SECRET_BYTES = 36;
const TENANT_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/**
 * The id of a namespace in URLs of its APIs: a UUID (version 8) that follows from its name. A name itself could be taken
 * for the version of the REST API, and need escapes.
 */
export function tenantIdOf(namespace: string): string {
  return uuid(createHash("sha256").update(`weft api tenant\n${namespace}`).digest(), 0x80);
}

export function isTenantId(text: string): boolean {
  return TENANT_ID.test(text);
}

export interface NewApiKey {
  readonly key: ApiKey;
  /** To be shown once. */
  readonly secret: string;
}

/** @param random must be unpredictable: the system's */
export function newApiKey(
  of: Pick<ApiKey, "namespace" | "basePath" | "note">,
  random: Random,
  wallMs: number,
): NewApiKey {
  const secret = Buffer.from(random.bytes(SECRET_BYTES)).toString("base64url");
  const { namespace, basePath, note } = of;
  const id = uuid(random.bytes(16), 0x40);
  return { key: { id, namespace, basePath, note, secretHash: apiKeyHash(secret), createdWallMs: wallMs }, secret };
}

export function apiKeyHash(secret: string): Uint8Array {
  return createHash("sha256").update(secret).digest();
}

function uuid(bytes: Uint8Array, version: number): string {
  const own = Uint8Array.from(bytes.subarray(0, 16));
  own[6] = ((own[6] ?? 0) & 0x0f) | version;
  own[8] = ((own[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytesToHex(own);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
