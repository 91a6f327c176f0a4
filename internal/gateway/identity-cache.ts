// Who credentials speak for. A credential that was checked once is known by its whole text, so that the warm path does
// no hashing; what is known is dropped when a controller says that it changed.
//
//   I1. A secret is accepted only when its SHA-256 equals the stored one, compared in constant time.
//   I2. What was asked before a change was told is not kept: the answer may be older than the change.
//   I3. A key that expires is kept for no longer than a controller said that it works.
//   I4. A key that was made for an activation is accepted as long as the one that it was made from is, and until its own
//       time is over. It is never an operator's.

import { createHash, timingSafeEqual } from "node:crypto";
import type { Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import type { DelegatedKeys } from "../core/tenancy/delegated.js";
import { quotaOfWire } from "../dispatch/overrides-wire.js";
import type { Change, Identity as WireIdentity } from "../gen/weft/link/v1/control.pb.js";
import type { ControllerClient } from "./controller-client.js";
import type { GatewayMetrics } from "./metrics.js";
import type { Identity } from "./native-api.js";
import { RecentMap } from "./recent-map.js";

/** Credentials and keys that are kept. A hundred bytes or so each. */
const CACHED_MAX = 20_000;
/** How long an unknown key is not asked for again: it may be created at any time, and nobody would tell. */
const UNKNOWN_MS = 1_000;
/** Longest header that is looked at; uuid and key have a hundred characters together. */
const HEADER_LENGTH_MAX = 1_024;

const HOW = "it must be `Basic base64(uuid:key)` or `Bearer uuid:key`";

interface Credential {
  readonly uuid: string;
  readonly secret: string;
}

/** What is known of a key until some time: who it is, or that there is none. */
interface KnownKey {
  readonly identity: WireIdentity | undefined;
  readonly untilMonoMs: number;
}

interface KnownHeader {
  readonly identity: Identity;
  /** undefined for a key that stays: nothing is compared then. */
  readonly untilMonoMs: number | undefined;
}

export interface IdentityCacheDeps {
  readonly controller: Pick<ControllerClient, "authenticate">;
  readonly delegated: Pick<DelegatedKeys, "untilWallMs">;
  readonly clock: Clock;
  readonly metrics: Pick<GatewayMetrics, "identityHits" | "identityMisses" | "identityRefusals">;
}

export class IdentityCache {
  readonly #byHeader = new RecentMap<string, KnownHeader>(CACHED_MAX);
  readonly #keys = new RecentMap<string, KnownKey>(CACHED_MAX);
  #asked = new Map<string, Promise<KnownKey>>();
  #changes = 0;

  constructor(private readonly deps: IdentityCacheDeps) {}

  /** Who it is, when that is known without asking. */
  peek(authorization: string | undefined): Identity | undefined {
    if (authorization === undefined) return undefined;
    const known = this.#byHeader.get(authorization);
    if (!known || (known.untilMonoMs !== undefined && known.untilMonoMs <= this.deps.clock.monoMs())) return undefined;
    this.deps.metrics.identityHits.inc();
    return known.identity;
  }

  /** @throws unauthenticated; unavailable when nobody can be asked */
  async identify(authorization: string | undefined): Promise<Identity> {
    const known = this.peek(authorization);
    if (known) return known;
    const { uuid, secret } = this.#parsed(authorization);
    const asOf = this.#changes;
    const { identity: found, untilMonoMs: keyUntilMonoMs } = await this.#key(uuid);
    const delegatedForMs = this.#delegatedForMs(uuid, secret);
    if (!found || (delegatedForMs === undefined ? !isSecretOf(found, secret) : delegatedForMs <= 0)) {
      throw this.#refused("BAD_CREDENTIALS", "the key is not known, or its secret is wrong");
    }
    const delegated = delegatedForMs !== undefined; // I4
    const untilMonoMs = Math.min(keyUntilMonoMs, this.deps.clock.monoMs() + (delegatedForMs ?? Infinity));
    const identity: Identity = {
      uuid,
      subject: found.subject,
      namespace: found.namespace,
      operator: found.operator && !delegated,
      quota: quotaOfWire(found.quota),
      apiKey: `${uuid}:${secret}`,
      ...(delegated ? { delegated } : {}),
    };
    if (asOf === this.#changes && authorization !== undefined) {
      // I2
      this.#byHeader.set(authorization, {
        identity,
        untilMonoMs: Number.isFinite(untilMonoMs) ? untilMonoMs : undefined,
      });
    }
    return identity;
  }

  /** How long it is accepted yet; undefined for a secret that was not made for an activation. */
  #delegatedForMs(uuid: string, secret: string): number | undefined {
    const untilWallMs = this.deps.delegated.untilWallMs(uuid, secret);
    return untilWallMs === undefined ? undefined : untilWallMs - this.deps.clock.wallMs();
  }

  changed({ namespace, name, keyUuid }: Change): void {
    if (keyUuid !== "") {
      this.#forget(({ identity }) => identity.uuid === keyUuid);
      this.#keys.delete(keyUuid);
    } else if (name === "") {
      this.#forget(({ identity }) => identity.namespace === namespace);
      this.#keys.deleteWhere((key) => key.identity?.namespace === namespace);
    }
  }

  clear(): void {
    this.#forget(() => true);
    this.#keys.clear();
  }

  get size(): number {
    return this.#byHeader.size;
  }

  #forget(matches: (known: KnownHeader) => boolean): void {
    this.#changes += 1;
    this.#asked = new Map();
    this.#byHeader.deleteWhere(matches);
  }

  #key(uuid: string): Promise<KnownKey> {
    const known = this.#keys.get(uuid);
    if (known && known.untilMonoMs > this.deps.clock.monoMs()) return Promise.resolve(known);
    const asked = this.#asked.get(uuid);
    if (asked) return asked;
    this.deps.metrics.identityMisses.inc();
    const { clock, controller } = this.deps;
    const asOf = this.#changes;
    const among = this.#asked;
    const asking = controller
      .authenticate(uuid)
      .then(
        // A copy of the hash: the view would keep the whole message alive.
        (identity) => ({ ...identity, secretHash: Uint8Array.from(identity.secretHash) }),
        (thrown: unknown) => {
          if (toWeftError(thrown).kind === "notFound") return undefined;
          throw thrown;
        },
      )
      .then((identity) => {
        const forMs = identity ? (identity.expiresInMs ?? Infinity) : UNKNOWN_MS;
        const known = { identity, untilMonoMs: clock.monoMs() + forMs };
        if (asOf === this.#changes) this.#keys.set(uuid, known); // I2
        return known;
      })
      .finally(() => among.delete(uuid));
    among.set(uuid, asking);
    return asking;
  }

  #parsed(authorization: string | undefined): Credential {
    if (authorization === undefined || authorization === "") {
      throw this.#refused("NO_CREDENTIALS", `the authorization header is missing: ${HOW}`);
    }
    const credential = authorization.length > HEADER_LENGTH_MAX ? undefined : parseAuthorization(authorization);
    if (!credential) throw this.#refused("MALFORMED_CREDENTIALS", `the authorization header is malformed: ${HOW}`);
    return credential;
  }

  #refused(reason: string, message: string): WeftError {
    this.deps.metrics.identityRefusals.inc();
    return new WeftError("unauthenticated", reason, message);
  }
}

function isSecretOf({ secretHash }: WireIdentity, secret: string): boolean {
  const hash = createHash("sha256").update(secret).digest();
  return secretHash.length === hash.length && timingSafeEqual(secretHash, hash);
}

/** @returns undefined when it is not a credential of ours */
export function parseAuthorization(header: string): Credential | undefined {
  const space = header.indexOf(" ");
  const scheme = header.slice(0, space).toLowerCase();
  const rest = header.slice(space + 1).trim();
  let text: string;
  if (scheme === "bearer") text = rest;
  else if (scheme === "basic" && /^[A-Za-z0-9+/]+={0,2}$/.test(rest)) text = Buffer.from(rest, "base64").toString();
  else return undefined;
  const colon = text.indexOf(":");
  if (colon <= 0 || colon === text.length - 1) return undefined;
  return { uuid: text.slice(0, colon), secret: text.slice(colon + 1) };
}
