// Keys that are made for an activation, where nobody has presented the key of its owner or where that is not kept: for web
// actions, rules, sequences and everything else that is durable. One stands for a stored key, as long as that one is
// accepted, and for a few minutes only. Nobody stores it: whoever has the cluster key can make it and check it.
//
//   L1. It is accepted only while the key that it was made from is, and until its own time is over.
//   L2. It has the rights of the namespace and of its subject, never an operator's, and manages no keys.
//   L3. No other is made from it but for activations that it starts.

import { createHmac, timingSafeEqual } from "node:crypto";
import { BLOCKING_WAIT_MS_MAX } from "../action/types.js";
import { SECRET_LENGTH } from "./key.js";
import { sealingKey } from "./seal.js";

/** After the last moment in which its activation may run: for clocks that differ, and for calls that are on their way. */
export const DELEGATED_GRACE_MS = 30_000;
/** Made for one moment in so many: those of one action are the same for so long, and gateways know them already. */
const STEP_S = 10;

const EXPIRY_HEX = 8;
const PROOF_HEX = SECRET_LENGTH - EXPIRY_HEX;

export class DelegatedKeys {
  readonly #key: Uint8Array;

  constructor(clusterKey: string) {
    this.#key = sealingKey(clusterKey, "delegated keys");
  }

  /**
   * @param keyUuid of the key that it is made from; "" when there is none
   * @param timeoutMs of the action that it is made for
   * @returns "uuid:key", or ""
   */
  make(keyUuid: string, timeoutMs: number, wallMs: number): string {
    if (keyUuid === "") return "";
    const untilS = Math.ceil((wallMs + delegatedLifeMs(timeoutMs)) / 1_000 / STEP_S) * STEP_S;
    const expiry = untilS.toString(16).padStart(EXPIRY_HEX, "0");
    return `${keyUuid}:${expiry}${this.#proof(keyUuid, expiry)}`;
  }

  /** @returns until when it is accepted; undefined for a secret that is none of these. It may be over already. */
  untilWallMs(keyUuid: string, secret: string): number | undefined {
    if (secret.length !== SECRET_LENGTH || !/^[0-9a-f]+$/.test(secret)) return undefined;
    const expiry = secret.slice(0, EXPIRY_HEX);
    const given = Buffer.from(secret.slice(EXPIRY_HEX));
    if (!timingSafeEqual(given, Buffer.from(this.#proof(keyUuid, expiry)))) return undefined;
    return Number.parseInt(expiry, 16) * 1_000;
  }

  #proof(keyUuid: string, expiry: string): string {
    return createHmac("sha256", this.#key).update(`${keyUuid}\n${expiry}`).digest("hex").slice(0, PROOF_HEX);
  }
}

/** An activation waits for a sandbox, loads its code and runs. */
export function delegatedLifeMs(timeoutMs: number): number {
  return BLOCKING_WAIT_MS_MAX + 2 * timeoutMs + DELEGATED_GRACE_MS;
}
