import { WeftError } from "../base/errors.js";
import type { Listed } from "../core/action/page.js";
import { tenantIdOf } from "../core/api/keys.js";
import type { ApiQuery, ApiStore, Tenant } from "../core/api/store.js";
import {
  APIS_PER_NAMESPACE_MAX,
  KEYS_PER_API_MAX,
  type ApiDraft,
  type ApiKey,
  type StoredApi,
} from "../core/api/types.js";
import { announce } from "./changes.js";
import { only, type Database, type Queryable } from "./database.js";
import { violatedConstraint } from "./errors.js";
import { listed, listedColumns, pageOf, withinBytes, type ListedRow } from "./listed.js";

export class PostgresApiStore implements ApiStore {
  constructor(private readonly database: Database) {}

  async createApi(draft: ApiDraft): Promise<StoredApi> {
    const { namespace, basePath, name, documentJson } = draft;
    return this.database.transaction(async (transaction) => {
      // Locked: nobody else adds one between the counting and the writing.
      const [locked] = await transaction.rows("select name from namespaces where name = $1 for update", [namespace]);
      if (!locked) throw new WeftError("notFound", "NAMESPACE_NOT_FOUND", `no namespace ${namespace}`);
      const { total } = only(
        await transaction.rows<{ readonly total: number }>("select count(*) as total from apis where namespace = $1", [
          namespace,
        ]),
      );
      if (total >= APIS_PER_NAMESPACE_MAX) {
        throw new WeftError(
          "throttled",
          "TOO_MANY_APIS",
          `namespace ${namespace} has ${total} APIs already, the most allowed`,
          { fix: "delete one that is not used any more" },
        );
      }
      const [row] = await transaction.rows<ApiRow>(insertApi, [
        namespace,
        basePath,
        tenantIdOf(namespace),
        name,
        documentJson,
      ]);
      if (!row) throw new WeftError("alreadyExists", "API_EXISTS", `API '${basePath}' already exists in ${namespace}`);
      await announce(transaction, [{ namespace, name: basePath }]);
      return apiOf(row);
    });
  }

  async getApi(namespace: string, basePath: string): Promise<StoredApi> {
    const [row] = await this.database.rows<ApiRow>(selectApi, [namespace, basePath]);
    if (!row) throw apiNotFound(basePath);
    return apiOf(row);
  }

  async findApis(namespace: string, name: string): Promise<readonly StoredApi[]> {
    return (await this.database.rows<ApiRow>(selectByName, [namespace, name])).map(apiOf);
  }

  async listApis(query: ApiQuery): Promise<Listed<StoredApi>> {
    const rows = await this.database.rows<ApiRow & ListedRow>(
      `select * from (
         select page.*, ${listedColumns("octet_length(document)", "base_path")}
         from (select ${columns} from apis where namespace = $1 and base_path > $2
               order by base_path ${pageOf(query)}) page) sized
       where ${withinBytes(query)}
       order by base_path`,
      [query.namespace, query.after ?? ""],
    );
    return listed(rows, query, apiOf);
  }

  async updateApi(draft: ApiDraft, expected: number): Promise<StoredApi> {
    const { namespace, basePath, name, documentJson } = draft;
    return this.database.transaction(async (transaction) => {
      const [row] = await transaction.rows<ApiRow>(updateApi, [namespace, basePath, name, documentJson, expected]);
      if (!row) throw await missed(transaction, namespace, basePath);
      await announce(transaction, [{ namespace, name: basePath }]);
      return apiOf(row);
    });
  }

  async deleteApi(namespace: string, basePath: string, expected: number | undefined): Promise<void> {
    await this.database.transaction(async (transaction) => {
      const [row] = await transaction.rows(deleteApi, [namespace, basePath, expected ?? null]);
      if (!row) throw await missed(transaction, namespace, basePath);
      await announce(transaction, [{ namespace, name: basePath }]);
    });
  }

  async getTenant(tenantId: string): Promise<Tenant> {
    const rows = await this.database.rows<{ readonly namespace: string; readonly base_path: string }>(selectTenant, [
      tenantId,
    ]);
    const [first] = rows;
    if (!first) throw new WeftError("notFound", "TENANT_NOT_FOUND", `there are no APIs of ${tenantId}`);
    return { namespace: first.namespace, basePaths: rows.map((row) => row.base_path) };
  }

  async addApiKey(key: ApiKey): Promise<void> {
    const { namespace, basePath } = key;
    await this.database.transaction(async (transaction) => {
      const [locked] = await transaction.rows(lockApi, [namespace, basePath]);
      if (!locked) throw apiNotFound(basePath);
      const { total } = only(
        await transaction.rows<{ readonly total: number }>(
          "select count(*) as total from api_keys where namespace = $1 and base_path = $2",
          [namespace, basePath],
        ),
      );
      if (total >= KEYS_PER_API_MAX) {
        throw new WeftError(
          "throttled",
          "TOO_MANY_API_KEYS",
          `API '${basePath}' has ${total} keys already, the most allowed`,
          { fix: "delete a key that is not used any more" },
        );
      }
      await insertKey(transaction, key);
      await announce(transaction, [{ namespace, name: basePath }]);
    });
  }

  async listApiKeys(namespace: string, basePath: string): Promise<readonly ApiKey[]> {
    return (await this.database.rows<KeyRow>(selectKeys, [namespace, basePath])).map(keyOf);
  }

  async deleteApiKey(namespace: string, basePath: string, id: string): Promise<void> {
    await this.database.transaction(async (transaction) => {
      const [row] = await transaction.rows(deleteKey, [namespace, basePath, id]);
      if (!row) throw new WeftError("notFound", "API_KEY_NOT_FOUND", `API '${basePath}' has no key ${id}`);
      await announce(transaction, [{ namespace, name: basePath }]);
    });
  }
}

/** Why a write found no row: there is none, or another write came first. */
async function missed(transaction: Queryable, namespace: string, basePath: string): Promise<WeftError> {
  const [row] = await transaction.rows<ApiRow>(selectApi.text, [namespace, basePath]);
  if (!row) return apiNotFound(basePath);
  return new WeftError(
    "conflict",
    "STALE_ETAG",
    `API '${basePath}' was changed meanwhile: its etag is ${row.revision}`,
  );
}

async function insertKey(transaction: Queryable, key: ApiKey): Promise<void> {
  const { id, namespace, basePath, secretHash, note, createdWallMs } = key;
  try {
    await transaction.rows(insertApiKey, [
      id,
      namespace,
      basePath,
      Buffer.from(secretHash),
      note,
      Math.round(createdWallMs),
    ]);
  } catch (thrown) {
    if (violatedConstraint(thrown) !== "api_keys_pkey") throw thrown;
    throw new WeftError("alreadyExists", "API_KEY_EXISTS", `key ${id} already exists`, { cause: thrown });
  }
}

const apiNotFound = (basePath: string): WeftError =>
  new WeftError("notFound", "API_NOT_FOUND", `API '${basePath}' does not exist`);

interface ApiRow {
  readonly namespace: string;
  readonly base_path: string;
  readonly name: string;
  readonly document: string;
  readonly revision: number;
  readonly updated_ms: number;
}

function apiOf(row: ApiRow): StoredApi {
  return {
    namespace: row.namespace,
    basePath: row.base_path,
    name: row.name,
    documentJson: row.document,
    revision: row.revision,
    updatedWallMs: row.updated_ms,
  };
}

interface KeyRow {
  readonly id: string;
  readonly namespace: string;
  readonly base_path: string;
  readonly secret_hash: Uint8Array;
  readonly note: string;
  readonly created_ms: number;
}

function keyOf(row: KeyRow): ApiKey {
  return {
    id: row.id,
    namespace: row.namespace,
    basePath: row.base_path,
    secretHash: new Uint8Array(row.secret_hash),
    note: row.note,
    createdWallMs: row.created_ms,
  };
}

const columns = "namespace, base_path, name, document, revision, updated_ms";
const nowMs = "(extract(epoch from clock_timestamp()) * 1000)::bigint";

const insertApi = `
  insert into apis (namespace, base_path, tenant_id, name, document, revision, updated_ms)
  values ($1, $2, $3, $4, $5, 1, ${nowMs})
  on conflict (namespace, base_path) do nothing
  returning ${columns}`;

const selectApi = {
  name: "select-api",
  text: `select ${columns} from apis where namespace = $1 and base_path = $2`,
};

const selectByName = `select ${columns} from apis where namespace = $1 and name = $2 order by base_path limit 2`;

const updateApi = `
  update apis set name = $3, document = $4, revision = revision + 1, updated_ms = ${nowMs}
  where namespace = $1 and base_path = $2 and revision = $5
  returning ${columns}`;

const deleteApi = `
  delete from apis where namespace = $1 and base_path = $2 and ($3::bigint is null or revision = $3)
  returning base_path`;

const selectTenant = {
  name: "select-tenant",
  text: "select namespace, base_path from apis where tenant_id = $1 order by base_path",
};

const lockApi = "select base_path from apis where namespace = $1 and base_path = $2 for update";

const insertApiKey = `
  insert into api_keys (id, namespace, base_path, secret_hash, note, created_ms) values ($1, $2, $3, $4, $5, $6)`;

const selectKeys = `
  select id, namespace, base_path, secret_hash, note, created_ms from api_keys
  where namespace = $1 and base_path = $2 order by created_ms desc, id`;

const deleteKey = "delete from api_keys where namespace = $1 and base_path = $2 and id = $3 returning id";
