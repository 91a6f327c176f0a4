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
  /** When it stops working; undefined for a key that stays. */
  readonly expiresWallMs?: number | undefined;
  /** Set on what is read of a blocked subject. */
  readonly blocked?: boolean | undefined;
}

/** Who keys speak for. There is one as long as it has a key. */
export interface Subject {
  readonly name: string;
  /** Since when its keys are refused; undefined when they are not. */
  readonly blockedWallMs: number | undefined;
  /** By namespace, newest first. */
  readonly keys: readonly Key[];
}

/** Most keys of one namespace: enough for rotation by machine, few enough to list in one answer. */
export const KEYS_PER_NAMESPACE_MAX = 100;

/** Longest grace of a key that was replaced. */
export const ROTATION_GRACE_MS_MAX = 30 * 24 * 60 * 60 * 1_000;

/**
 * Namespaces, their keys, and the subjects that these speak for. A key that has expired is not there any more. Changes
 * are announced to EntityStore.watch. Implemented by internal/postgres; passes tenancyStoreSuite.
 */
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
  /**
   * Adds a key in the place of another of the namespace, which works until a time that is no later than before, or not
   * any more when that is undefined.
   * @returns the old key as it is now. @throws notFound; alreadyExists; throttled as addKey
   */
  replaceKey(uuid: string, key: Key, oldExpiresWallMs: number | undefined): Promise<Key>;

  /**
   * Gives a subject its key for a namespace, which is made when there is none.
   * @returns whether it was made. @throws alreadyExists SUBJECT_EXISTS when it has one for it, KEY_EXISTS; throttled as addKey
   */
  createSubject(namespace: Namespace, key: Key): Promise<boolean>;
  /** @throws notFound */
  getSubject(name: string): Promise<Subject>;
  /** Ordered by name, after `after` when given. `namespace`: only those with keys for it, with these keys only. */
  listSubjects(limit: number, after: string | undefined, namespace: string | undefined): Promise<readonly Subject[]>;
  /** Revokes its keys for one namespace, or all. @returns them. @throws notFound when there are none */
  deleteSubject(name: string, namespace: string | undefined): Promise<readonly Key[]>;
  /** From now on its keys are refused, or accepted when `blockedWallMs` is undefined. @throws notFound */
  setBlocked(name: string, blockedWallMs: number | undefined): Promise<Subject>;
}
