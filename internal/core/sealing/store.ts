import type { KeyValue } from "../action/types.js";

/** A list of parameters as it lies in the store. */
export interface StoredParameters {
  readonly table: "entities" | "revisions";
  /** Which row; for the store only, and in order. */
  readonly position: string;
  readonly namespace: string;
  readonly parameters: readonly KeyValue[];
}

/** A key that this database has seen. */
export interface KnownKey {
  readonly id: string;
  /** An envelope that the key made, to know it again by. */
  readonly check: Uint8Array;
}

/**
 * What the sealing of parameters has to know of the database. Implemented by internal/postgres; passes sealStoreSuite.
 * Nothing here opens or seals: see SealedEntityStore.
 */
export interface SealStore {
  knownKeys(): Promise<readonly KnownKey[]>;
  /** Remembers a key; one of that id that is there already is left alone. @returns what is remembered now */
  rememberKey(key: KnownKey): Promise<KnownKey>;
  forgetKey(id: string): Promise<void>;
  /** Whether any parameter, or any request of a firing, was sealed with this key. Reads everything. */
  keyInUse(id: string): Promise<boolean>;
  /** Whether any parameter is not sealed. Reads everything, at worst. */
  plainStored(): Promise<boolean>;
  /** Lists that are not empty, in the order of their positions, after one when given. */
  listParameters(
    table: StoredParameters["table"],
    limit: number,
    after: string | undefined,
  ): Promise<readonly StoredParameters[]>;
  /** Puts other text in the place of what was read, unless that has changed. Not a write of the entity. */
  replaceParameters(was: StoredParameters, parameters: readonly KeyValue[]): Promise<boolean>;
}
