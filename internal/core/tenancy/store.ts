import type { NamespaceOverrides } from "./overrides.js";

/** Throttles of a namespace. 0 refuses everything. */
export interface NamespaceLimits {
  readonly invocationsPerMinute: number;
  readonly firesPerMinute: number;
  readonly concurrentInvocations: number;
  /** What differs from the installation for the actions of the namespace. */
  readonly overrides?: NamespaceOverrides | undefined;
}

export type LimitsChange = Partial<NamespaceLimits> | ((old: NamespaceLimits) => NamespaceLimits);

/** What a local installation gives a namespace: generous, because its owner is also its operator. */
export const LOCAL_NAMESPACE_LIMITS: NamespaceLimits = {
  invocationsPerMinute: 6_000,
  firesPerMinute: 600,
  concurrentInvocations: 100,
};

export interface Namespace {
  readonly name: string;
  readonly limits: NamespaceLimits;
  readonly createdWallMs: number;
}

/** A credential as it is stored: never the secret itself. */
export interface Key {
  /** Public part, a UUID. */
  readonly uuid: string;
  /** SHA-256 of the secret part. The secret is 64 random characters, so a plain hash cannot be searched. */
  readonly secretHash: Uint8Array;
  readonly namespace: string;
  readonly subject: string;
  /** True for the key that may use the administration rpcs. */
  readonly operator: boolean;
  readonly createdWallMs: number;
}

/** Most keys of one namespace: enough for rotation by machine, few enough to list in one answer. */
export const KEYS_PER_NAMESPACE_MAX = 100;

/** Namespaces and their keys. Implemented by internal/postgres; passes tenancyStoreSuite. */
export interface TenancyStore {
  /** Stores both or neither. @throws alreadyExists */
  createNamespace(namespace: Namespace, key: Key): Promise<void>;
  /** Creates or leaves alone: for the operator's and the first namespace at start-up. */
  ensureNamespace(namespace: Namespace): Promise<void>;
  /** @throws notFound */
  getNamespace(name: string): Promise<Namespace>;
  /** Ordered by name, after `after` when given. */
  listNamespaces(limit: number, after: string | undefined): Promise<readonly Namespace[]>;
  /** Sets the given limits, or what is made of those that are there, with nobody between. @throws notFound; what it throws */
  updateLimits(name: string, limits: LimitsChange): Promise<Namespace>;
  /** Removes it with its keys and entities; activations stay. @throws notFound */
  deleteNamespace(name: string): Promise<void>;
  /** @throws notFound when the namespace does not exist, throttled above KEYS_PER_NAMESPACE_MAX */
  addKey(key: Key): Promise<void>;
  /** @throws notFound */
  getKey(uuid: string): Promise<Key>;
  /** Newest first. @throws notFound when the namespace does not exist */
  listKeys(namespace: string): Promise<readonly Key[]>;
  /** @throws notFound; failedPrecondition when it is the last key and `evenLast` is false */
  deleteKey(namespace: string, uuid: string, evenLast: boolean): Promise<void>;
}
