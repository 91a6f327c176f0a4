import type { Listed } from "../action/page.js";
import type { ApiDraft, ApiKey, StoredApi } from "./types.js";

/** A page of a namespace's APIs, by base path. */
export interface ApiQuery {
  readonly namespace: string;
  readonly limit: number;
  /** The entry with which documents have so many bytes is the last one. */
  readonly bytesMax: number;
  readonly skip: number;
  /** Continue after this base path. */
  readonly after?: string | undefined;
}

/** A namespace as its URLs show it. */
export interface Tenant {
  readonly namespace: string;
  /** Of all its APIs, in order. */
  readonly basePaths: readonly string[];
}

/**
 * APIs and their keys. Implemented by internal/postgres; passes apiStoreSuite.
 *
 * Every write is one transaction and announces the change to watchers of the EntityStore when it commits: namespace, and
 * the base path as name. Writers name the revision they read: conflict when somebody else wrote in between.
 */
export interface ApiStore {
  /** @throws alreadyExists; notFound when there is no such namespace; throttled above APIS_PER_NAMESPACE_MAX */
  createApi(draft: ApiDraft): Promise<StoredApi>;
  /** @throws notFound */
  getApi(namespace: string, basePath: string): Promise<StoredApi>;
  /** Those with a name, by base path; at most two, which is enough to see that it is not unique. */
  findApis(namespace: string, name: string): Promise<readonly StoredApi[]>;
  listApis(query: ApiQuery): Promise<Listed<StoredApi>>;
  /** @throws notFound, conflict */
  updateApi(draft: ApiDraft, expected: number): Promise<StoredApi>;
  /** With its keys. `expected` undefined means whatever it is. @throws notFound, conflict */
  deleteApi(namespace: string, basePath: string, expected: number | undefined): Promise<void>;
  /** @throws notFound when the tenant has no API */
  getTenant(tenantId: string): Promise<Tenant>;
  /** @throws notFound when there is no such API; throttled above KEYS_PER_API_MAX */
  addApiKey(key: ApiKey): Promise<void>;
  /** Newest first. Empty when there is no such API. */
  listApiKeys(namespace: string, basePath: string): Promise<readonly ApiKey[]>;
  /** @throws notFound */
  deleteApiKey(namespace: string, basePath: string, id: string): Promise<void>;
}
