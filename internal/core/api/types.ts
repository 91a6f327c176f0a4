/** An API as it is stored: a Swagger 2.0 document under a base path. */
export interface StoredApi {
  readonly namespace: string;
  /** "/" or "/segments", without a slash at its end. */
  readonly basePath: string;
  /** Title of the document. */
  readonly name: string;
  /** JSON text of the document, checked and completed. */
  readonly documentJson: string;
  readonly updatedWallMs: number;
  /** Counts writes, from 1; a writer names the one it read. Shown as the etag. */
  readonly revision: number;
}

/** An API without what the store sets. */
export type ApiDraft = Omit<StoredApi, "revision" | "updatedWallMs">;

/** What callers of an API present, as it is stored: never the secret itself. */
export interface ApiKey {
  /** A UUID; not secret. */
  readonly id: string;
  readonly namespace: string;
  readonly basePath: string;
  /** SHA-256 of the secret. The secret is 48 random characters, so a plain hash cannot be searched. */
  readonly secretHash: Uint8Array;
  /** For people: who has it. */
  readonly note: string;
  readonly createdWallMs: number;
}

/** Most APIs of a namespace: gateways keep the base paths of all of them in one answer. */
export const APIS_PER_NAMESPACE_MAX = 100;
/** Most keys of an API, for the same reason. */
export const KEYS_PER_API_MAX = 100;
/** Largest document, bytes of JSON: OpenWhisk's largest payload, in which documents arrive there. */
export const DOCUMENT_BYTES_MAX = 1024 * 1024;
/** Deepest nesting of a document. Schemas of real ones have about ten levels. */
export const DOCUMENT_DEPTH_MAX = 64;
/** Most operations of an API, and most paths: matching goes through the paths one by one. */
export const OPERATIONS_MAX = 500;
/** Longest base path and longest path, characters as written. */
export const PATH_LENGTH_MAX = 256;
/** Longest title, and longest note of a key, characters. */
export const API_NAME_LENGTH_MAX = 256;

export const VERBS = ["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"] as const;
export type Verb = (typeof VERBS)[number];

export function isVerb(text: string): text is Verb {
  return (VERBS as readonly string[]).includes(text);
}
