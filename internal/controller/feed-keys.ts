// The keys that feeds fire with. Of a key its public part is kept: whether it still holds is asked at every firing, and
// actions that ask for one are given one that is made from it.

import type { Clock } from "../base/clock.js";
import type { DelegatedKeys } from "../core/tenancy/delegated.js";
import { timingSafeEqual } from "node:crypto";

import { toWeftError, WeftError } from "../base/errors.js";
import type { Random } from "../base/random.js";
import type { FeedKey } from "../core/feed/alarm.js";
import { readAuthKey } from "../core/feed/lifecycle.js";
import { secretHash } from "../core/tenancy/key.js";
import { idOfSigned, seal, sealingKey, signedId, unseal } from "../core/tenancy/seal.js";
import type { Key, TenancyStore } from "../core/tenancy/store.js";

export interface FeedKeysDeps {
  readonly tenancy: Pick<TenancyStore, "getKey">;
  /** What is sealed can be opened where this is known, and only there. */
  readonly clusterKey: string;
  readonly delegated: Pick<DelegatedKeys, "untilWallMs">;
  readonly clock: Clock;
  readonly random: Random;
}

/** What fires a trigger, as far as its key is concerned. */
export interface KeyHolder {
  readonly namespace: string;
  readonly trigger: string;
  readonly key: FeedKey;
}

export type KeyCheck = { readonly kind: "holds" } | { readonly kind: "gone"; readonly message: string };

export class FeedKeys {
  readonly #sealing: Uint8Array;
  readonly #signing: Uint8Array;

  constructor(private readonly deps: FeedKeysDeps) {
    this.#sealing = sealingKey(deps.clusterKey, "sealed keys");
    this.#signing = sealingKey(deps.clusterKey, "webhooks");
  }

  /**
   * The key that a request has in its arguments: a stored one, or one that was made for an activation.
   * @throws invalidArgument, permissionDenied unless it is a key of the namespace
   */
  make(namespace: string, authKey: string): Promise<FeedKey> {
    const { uuid, secret } = readAuthKey(authKey);
    return this.#known(namespace, uuid, (key) => {
      const { clock, delegated } = this.deps;
      const untilWallMs = delegated.untilWallMs(uuid, secret);
      if (untilWallMs !== undefined) return clock.wallMs() < untilWallMs;
      return sameHash(secretHash(secret), key.secretHash);
    });
  }

  /** The key that a gateway saw. @throws permissionDenied when it does not hold any more, or there was none */
  ofCaller(namespace: string, keyUuid: string): Promise<FeedKey> {
    return this.#known(namespace, keyUuid, () => true);
  }

  async #known(namespace: string, uuid: string, proven: (key: Key) => boolean): Promise<FeedKey> {
    const refused = new WeftError("permissionDenied", "BAD_AUTH_KEY", "Trigger authentication request failed.");
    if (uuid === "") throw refused;
    try {
      const key = await this.deps.tenancy.getKey(uuid);
      if (key.blocked || key.namespace !== namespace || !proven(key)) throw refused;
      return { uuid, subject: key.subject };
    } catch (thrown) {
      throw toWeftError(thrown).kind === "notFound" ? refused : thrown;
    }
  }

  async check({ namespace, key }: KeyHolder): Promise<KeyCheck> {
    const gone: KeyCheck = { kind: "gone", message: `the key ${key.uuid} does not hold any more` };
    try {
      const known = await this.deps.tenancy.getKey(key.uuid);
      if (known.blocked || known.namespace !== namespace) return gone;
      return { kind: "holds" };
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
