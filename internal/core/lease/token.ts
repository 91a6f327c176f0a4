// The proof of a grant. A scheduler mints it, the dispatcher presents it at the first use of a slot, the invoker checks
// it: a dispatcher cannot use a slot that was not granted to this life of it, whoever told it the numbers.

import { createHmac, timingSafeEqual } from "node:crypto";

/** What a token binds together. */
export interface TokenFields {
  readonly invokerBootId: string;
  /** Boot id of the dispatcher that the slot is granted to. */
  readonly dispatcherBootId: string;
  readonly sandbox: number;
  readonly slot: number;
  readonly epoch: number;
  readonly sequence: number;
}

/** Bytes of a token: half of HMAC-SHA-256, which is more than anybody can guess within the life of a lease. */
const TOKEN_BYTES = 16;

/** @param clusterKey the secret that all roles of a cluster share */
export function leaseToken(clusterKey: string, fields: TokenFields): Uint8Array {
  const text = `${fields.invokerBootId}\n${fields.dispatcherBootId}\n${fields.sandbox}\n${fields.slot}\n${fields.epoch}\n${fields.sequence}`;
  return createHmac("sha256", clusterKey).update(text).digest().subarray(0, TOKEN_BYTES);
}

export function leaseTokenProves(token: Uint8Array, clusterKey: string, fields: TokenFields): boolean {
  return token.length === TOKEN_BYTES && timingSafeEqual(token, leaseToken(clusterKey, fields));
}
