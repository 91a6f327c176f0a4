// The keys that feeds fire with. They are handed to actions later, so they are kept, sealed; whether one still holds is
// asked at every firing.

import { timingSafeEqual } from "node:crypto";

import { toWeftError, WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import type { FeedKey } from "../core/feed/alarm.js";
import { readAuthKey } from "../core/feed/lifecycle.js";
import { secretHash } from "../core/tenancy/key.js";
import { idOfSigned, seal, sealingKey, signedId, unseal } from "../core/tenancy/seal.js";
import type { TenancyStore } from "../core/tenancy/store.js";

export interface FeedKeysDeps {
  readonly tenancy: Pick<TenancyStore, "getKey">;
  /** What is sealed can be opened where this is known, and only there. */
  readonly clusterKey: string;
  readonly random: Random;
  readonly log: Log;
}

/** What fires a trigger, as far as its key is concerned. */
export interface KeyHolder {
  readonly namespace: string;
  readonly trigger: string;
  readonly key: FeedKey;
}

export type KeyCheck =
  /** `apiKey`: "uuid:key"; "" when it cannot be opened any more. */
  { readonly kind: "holds"; readonly apiKey: string } | { readonly kind: "gone"; readonly message: string };

export class FeedKeys {
  readonly #sealing: Uint8Array;
  readonly #signing: Uint8Array;

  constructor(private readonly deps: FeedKeysDeps) {
    this.#sealing = sealingKey(deps.clusterKey, "sealed keys");
    this.#signing = sealingKey(deps.clusterKey, "webhooks");
  }

  /** @throws invalidArgument, permissionDenied unless it is a key of the namespace */
  async make(namespace: string, trigger: string, authKey: string): Promise<FeedKey> {
    const { uuid, secret } = readAuthKey(authKey);
    const refused = new WeftError("permissionDenied", "BAD_AUTH_KEY", "Trigger authentication request failed.");
    try {
      const key = await this.deps.tenancy.getKey(uuid);
      if (key.blocked || key.namespace !== namespace || !sameHash(secretHash(secret), key.secretHash)) throw refused;
      return { uuid, subject: key.subject, sealed: this.seal({ namespace, trigger }, `${uuid}:${secret}`) };
    } catch (thrown) {
      throw toWeftError(thrown).kind === "notFound" ? refused : thrown;
    }
  }

  async check({ namespace, trigger, key }: KeyHolder): Promise<KeyCheck> {
    const gone: KeyCheck = { kind: "gone", message: `the key ${key.uuid} does not hold any more` };
    try {
      const known = await this.deps.tenancy.getKey(key.uuid);
      if (known.blocked || known.namespace !== namespace) return gone;
      const apiKey = this.unseal({ namespace, trigger }, key.sealed);
      if (apiKey === undefined) {
        this.deps.log.warn("the key of a feed cannot be opened; its actions get none", { namespace, trigger });
        return { kind: "holds", apiKey: "" };
      }
      return sameHash(secretHash(readAuthKey(apiKey).secret), known.secretHash) ? { kind: "holds", apiKey } : gone;
    } catch (thrown) {
      if (toWeftError(thrown).kind === "notFound") return gone;
      throw thrown;
    }
  }

  seal(holder: Pick<KeyHolder, "namespace" | "trigger">, text: string): Uint8Array {
    return seal(this.#sealing, placeOf(holder), text, this.deps.random);
  }

  /** @returns undefined when it was sealed under another cluster key */
  unseal(holder: Pick<KeyHolder, "namespace" | "trigger">, sealed: Uint8Array): string | undefined {
    return unseal(this.#sealing, placeOf(holder), sealed);
  }

  /** The secret part of a webhook's URL. */
  tokenOf(id: string): string {
    return signedId(this.#signing, id);
  }

  /** @returns the webhook's id; undefined for what is no such token, without asking anybody */
  idOfToken(token: string): string | undefined {
    return idOfSigned(this.#signing, token);
  }
}

function placeOf({ namespace, trigger }: Pick<KeyHolder, "namespace" | "trigger">): string {
  return `${namespace}/${trigger}`;
}

function sameHash(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
