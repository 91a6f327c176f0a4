import { WeftError } from "../base/errors.js";
import {
  KEYS_PER_NAMESPACE_MAX,
  type Key,
  type LimitsChange,
  type Namespace,
  type TenancyStore,
} from "../core/tenancy/store.js";
import type { NamespaceOverrides } from "../core/tenancy/overrides.js";
import { announce } from "./changes.js";
import type { Database, Queryable } from "./database.js";
import { violatedConstraint } from "./errors.js";
import { retireRevisionsOf } from "./entity-sql.js";

export class PostgresTenancyStore implements TenancyStore {
  constructor(private readonly database: Database) {}

  async createNamespace(namespace: Namespace, key: Key): Promise<void> {
    await this.database.transaction(async (transaction) => {
      const made = await transaction.rows(insertNamespace, namespaceValues(namespace));
      if (made.length === 0) {
        throw new WeftError("alreadyExists", "NAMESPACE_EXISTS", `namespace ${namespace.name} already exists`);
      }
      await insertKeyInto(transaction, key);
      await announce(transaction, [{ namespace: namespace.name, name: "" }]);
    });
  }

  async ensureNamespace(namespace: Namespace): Promise<void> {
    await this.database.rows(insertNamespace, namespaceValues(namespace));
  }

  async getNamespace(name: string): Promise<Namespace> {
    const [row] = await this.database.rows<NamespaceRow>(selectNamespace, [name]);
    if (!row) throw namespaceNotFound(name);
    return namespaceOf(row);
  }

  async listNamespaces(limit: number, after: string | undefined): Promise<readonly Namespace[]> {
    const rows = await this.database.rows<NamespaceRow>(listAllNamespaces, [after ?? "", limit]);
    return rows.map(namespaceOf);
  }

  async updateLimits(name: string, change: LimitsChange): Promise<Namespace> {
    return this.database.transaction(async (transaction) => {
      const [row] = await transaction.rows<NamespaceRow>(`${selectNamespace} for update`, [name]);
      if (!row) throw namespaceNotFound(name);
      const old = namespaceOf(row);
      const namespace = {
        ...old,
        limits: typeof change === "function" ? change(old.limits) : { ...old.limits, ...change },
      };
      await transaction.rows(updateNamespace, namespaceValues(namespace).slice(0, 5));
      await announce(transaction, [{ namespace: name, name: "" }]);
      return namespace;
    });
  }

  async deleteNamespace(name: string): Promise<void> {
    await this.database.transaction(async (transaction) => {
      // The row first: whoever creates something in the namespace either came before or finds no namespace.
      const [row] = await transaction.rows(lockNamespace, [name]);
      if (!row) throw namespaceNotFound(name);
      const keys = await transaction.rows<{ readonly uuid: string }>("select uuid from keys where namespace = $1", [
        name,
      ]);
      await retireRevisionsOf(transaction, name);
      await transaction.rows("delete from namespaces where name = $1", [name]);
      await announce(transaction, [
        { namespace: name, name: "" },
        ...keys.map(({ uuid }) => ({ namespace: name, name: "", keyUuid: uuid })),
      ]);
    });
  }

  async addKey(key: Key): Promise<void> {
    await this.database.transaction(async (transaction) => {
      const present = await countKeysLocked(transaction, key.namespace);
      if (present >= KEYS_PER_NAMESPACE_MAX) {
        throw new WeftError(
          "throttled",
          "TOO_MANY_KEYS",
          `namespace ${key.namespace} has ${present} keys already, the most allowed`,
          { fix: "delete a key that is not used any more" },
        );
      }
      await insertKeyInto(transaction, key);
    });
  }

  async getKey(uuid: string): Promise<Key> {
    const [row] = await this.database.rows<KeyRow>(selectKey, [uuid]);
    if (!row) throw new WeftError("notFound", "KEY_NOT_FOUND", "no such key");
    return keyOf(row);
  }

  async listKeys(namespace: string): Promise<readonly Key[]> {
    const rows = await this.database.rows<KeyRow>(selectKeys, [namespace]);
    if (rows.length === 0) await this.getNamespace(namespace); // none, or none because there is no such namespace
    return rows.map(keyOf);
  }

  async deleteKey(namespace: string, uuid: string, evenLast: boolean): Promise<void> {
    await this.database.transaction(async (transaction) => {
      const present = await countKeysLocked(transaction, namespace);
      const deleted = await transaction.rows("delete from keys where namespace = $1 and uuid = $2 returning uuid", [
        namespace,
        uuid,
      ]);
      if (deleted.length === 0) {
        throw new WeftError("notFound", "KEY_NOT_FOUND", `no key ${uuid} in namespace ${namespace}`);
      }
      if (present === 1 && !evenLast) {
        throw new WeftError("failedPrecondition", "LAST_KEY", `${uuid} is the last key of namespace ${namespace}`, {
          fix: "add another key first, or say that even the last one may go",
        });
      }
      await announce(transaction, [{ namespace, name: "", keyUuid: uuid }]);
    });
  }
}

/** Counts the keys and keeps others from changing their number until the transaction ends. @throws notFound */
async function countKeysLocked(transaction: Queryable, namespace: string): Promise<number> {
  const [row] = await transaction.rows(lockNamespace, [namespace]);
  if (!row) throw namespaceNotFound(namespace);
  const [count] = await transaction.rows<{ readonly total: number }>(
    "select count(*) as total from keys where namespace = $1",
    [namespace],
  );
  return count?.total ?? 0;
}

async function insertKeyInto(transaction: Queryable, key: Key): Promise<void> {
  try {
    await transaction.rows(insertKey, [
      key.uuid,
      Buffer.from(key.secretHash),
      key.namespace,
      key.subject,
      key.operator,
      key.createdWallMs,
    ]);
  } catch (thrown) {
    if (violatedConstraint(thrown) === "keys_pkey") {
      throw new WeftError("alreadyExists", "KEY_EXISTS", `key ${key.uuid} already exists`, { cause: thrown });
    }
    if (violatedConstraint(thrown) === "keys_namespace") throw namespaceNotFound(key.namespace);
    throw thrown;
  }
}

const namespaceNotFound = (name: string): WeftError =>
  new WeftError("notFound", "NAMESPACE_NOT_FOUND", `no namespace ${name}`);

interface NamespaceRow {
  readonly name: string;
  readonly invocations_per_minute: number;
  readonly fires_per_minute: number;
  readonly concurrent_invocations: number;
  readonly overrides: string | null;
  readonly created_ms: number;
}

function namespaceOf(row: NamespaceRow): Namespace {
  return {
    name: row.name,
    limits: {
      invocationsPerMinute: row.invocations_per_minute,
      firesPerMinute: row.fires_per_minute,
      concurrentInvocations: row.concurrent_invocations,
      ...(row.overrides === null ? {} : { overrides: JSON.parse(row.overrides) as NamespaceOverrides }),
    },
    createdWallMs: row.created_ms,
  };
}

function namespaceValues({ name, limits, createdWallMs }: Namespace): (string | number | null)[] {
  return [
    name,
    limits.invocationsPerMinute,
    limits.firesPerMinute,
    limits.concurrentInvocations,
    limits.overrides ? JSON.stringify(limits.overrides) : null,
    Math.round(createdWallMs),
  ];
}

interface KeyRow {
  readonly uuid: string;
  readonly secret_hash: Uint8Array;
  readonly namespace: string;
  readonly subject: string;
  readonly operator: boolean;
  readonly created_ms: number;
}

function keyOf(row: KeyRow): Key {
  return {
    uuid: row.uuid,
    secretHash: new Uint8Array(row.secret_hash),
    namespace: row.namespace,
    subject: row.subject,
    operator: row.operator,
    createdWallMs: row.created_ms,
  };
}

const namespaceColumns =
  "name, invocations_per_minute, fires_per_minute, concurrent_invocations, overrides, created_ms";
const keyColumns = "uuid, secret_hash, namespace, subject, operator, created_ms";

const insertNamespace = `
  insert into namespaces (${namespaceColumns}) values ($1, $2, $3, $4, $5, $6)
  on conflict (name) do nothing
  returning name`;

const selectNamespace = `select ${namespaceColumns} from namespaces where name = $1`;

const listAllNamespaces = `select ${namespaceColumns} from namespaces where name > $1 order by name limit $2`;

const lockNamespace = `select name from namespaces where name = $1 for update`;

const updateNamespace = `
  update namespaces set
    invocations_per_minute = $2,
    fires_per_minute = $3,
    concurrent_invocations = $4,
    overrides = $5
  where name = $1`;

const insertKey = `insert into keys (${keyColumns}) values ($1, $2, $3, $4, $5, $6)`;

const selectKey = { name: "select-key", text: `select ${keyColumns} from keys where uuid = $1` };

const selectKeys = `select ${keyColumns} from keys where namespace = $1 order by created_ms desc, uuid`;
