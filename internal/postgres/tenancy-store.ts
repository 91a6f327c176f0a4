import { WeftError } from "../base/errors.js";
import {
  KEYS_PER_NAMESPACE_MAX,
  type Key,
  type LimitsChange,
  type Namespace,
  type Subject,
  type TenancyStore,
} from "../core/tenancy/store.js";
import type { NamespaceOverrides } from "../core/tenancy/overrides.js";
import { announce, type Announced } from "./changes.js";
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
    await this.database.transaction((transaction) => addKeyIn(transaction, key));
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

  async replaceKey(uuid: string, key: Key, oldExpiresWallMs: number | undefined): Promise<Key> {
    return this.database.transaction(async (transaction) => {
      const { namespace } = key;
      const [old] = await transaction.rows<KeyRow>(
        oldExpiresWallMs === undefined ? revokeKey : expireKey,
        oldExpiresWallMs === undefined ? [namespace, uuid] : [namespace, uuid, Math.round(oldExpiresWallMs)],
      );
      if (!old) throw new WeftError("notFound", "KEY_NOT_FOUND", `no key ${uuid} in namespace ${namespace}`);
      await addKeyIn(transaction, key);
      await announce(transaction, [{ namespace, name: "", keyUuid: uuid }]);
      return keyOf(old);
    });
  }

  async createSubject(namespace: Namespace, key: Key): Promise<boolean> {
    return this.database.transaction(async (transaction) => {
      const made = await transaction.rows(insertNamespace, namespaceValues(namespace));
      await lockedNamespace(transaction, namespace.name);
      const theirs = await transaction.rows(`select from keys where namespace = $1 and subject = $2 and ${living()}`, [
        namespace.name,
        key.subject,
      ]);
      if (theirs.length > 0) {
        throw new WeftError(
          "alreadyExists",
          "SUBJECT_EXISTS",
          `subject ${key.subject} has a key for namespace ${namespace.name} already`,
          { fix: "rotate that key, or create another one beside it" },
        );
      }
      await addKeyIn(transaction, key);
      // A key that was asked for before it was there is remembered as unknown.
      await announce(transaction, [
        { namespace: namespace.name, name: "" },
        { namespace: namespace.name, name: "", keyUuid: key.uuid },
      ]);
      return made.length > 0;
    });
  }

  getSubject(name: string): Promise<Subject> {
    return readSubject(this.database, name);
  }

  async listSubjects(
    limit: number,
    after: string | undefined,
    namespace: string | undefined,
  ): Promise<readonly Subject[]> {
    const rows = await this.database.rows<KeyRow>(selectSubjects, [after ?? "", limit, namespace]);
    const subjects = new Map<string, KeyRow[]>();
    for (const row of rows) {
      const keys = subjects.get(row.subject);
      if (keys) keys.push(row);
      else subjects.set(row.subject, [row]);
    }
    return [...subjects.values()].map(subjectOf);
  }

  async deleteSubject(name: string, namespace: string | undefined): Promise<readonly Key[]> {
    return this.database.transaction(async (transaction) => {
      const deleted = await transaction.rows<KeyRow>(deleteKeysOf, [name, namespace]);
      if (deleted.length === 0) throw subjectNotFound(name, namespace);
      // Who comes back under this name is not blocked for what another did.
      await transaction.rows(
        "delete from blocked_subjects b where subject = $1 and not exists (select from keys where subject = b.subject)",
        [name],
      );
      await announce(transaction, deleted.map(announcedKey));
      return deleted.map(keyOf);
    });
  }

  async setBlocked(name: string, blockedWallMs: number | undefined): Promise<Subject> {
    return this.database.transaction(async (transaction) => {
      if (blockedWallMs === undefined) {
        await transaction.rows("delete from blocked_subjects where subject = $1", [name]);
      } else {
        await transaction.rows(
          "insert into blocked_subjects (subject, blocked_ms) values ($1, $2) on conflict (subject) do nothing",
          [name, Math.round(blockedWallMs)],
        );
      }
      const subject = await readSubject(transaction, name);
      const namespaces = new Set(subject.keys.map((key) => key.namespace));
      await announce(transaction, [
        ...subject.keys.map((key) => announcedKey(key)),
        // What their web actions answer changes too.
        ...[...namespaces].map((namespace) => ({ namespace, name: "" })),
      ]);
      return subject;
    });
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
  await lockedNamespace(transaction, namespace);
  await transaction.rows(`delete from keys where namespace = $1 and not (${living()})`, [namespace]);
  const [count] = await transaction.rows<{ readonly total: number }>(
    "select count(*) as total from keys where namespace = $1",
    [namespace],
  );
  return count?.total ?? 0;
}

/** Keeps others from changing the keys of a namespace until the transaction ends. @throws notFound */
async function lockedNamespace(transaction: Queryable, namespace: string): Promise<void> {
  const [row] = await transaction.rows(lockNamespace, [namespace]);
  if (!row) throw namespaceNotFound(namespace);
}

/** @throws throttled above the limit; notFound; alreadyExists */
async function addKeyIn(transaction: Queryable, key: Key): Promise<void> {
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
}

async function readSubject(from: Queryable, name: string): Promise<Subject> {
  const rows = await from.rows<KeyRow>(selectSubject, [name]);
  if (rows.length === 0) throw subjectNotFound(name, undefined);
  return subjectOf(rows);
}

function announcedKey({ namespace, uuid }: Pick<KeyRow, "namespace" | "uuid">): Announced {
  return { namespace, name: "", keyUuid: uuid };
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
      key.expiresWallMs,
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

const subjectNotFound = (name: string, namespace: string | undefined): WeftError =>
  new WeftError(
    "notFound",
    "SUBJECT_NOT_FOUND",
    `no subject ${name}${namespace === undefined ? "" : ` with a key for namespace ${namespace}`}`,
  );

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
  readonly expires_ms: number | null;
  readonly blocked_ms: number | null;
}

/** @param rows at least one */
function subjectOf(rows: readonly KeyRow[]): Subject {
  const [first] = rows;
  return { name: first?.subject ?? "", blockedWallMs: first?.blocked_ms ?? undefined, keys: rows.map(keyOf) };
}

function keyOf(row: KeyRow): Key {
  return {
    uuid: row.uuid,
    secretHash: new Uint8Array(row.secret_hash),
    namespace: row.namespace,
    subject: row.subject,
    operator: row.operator,
    createdWallMs: row.created_ms,
    ...(row.expires_ms === null ? {} : { expiresWallMs: row.expires_ms }),
    ...(row.blocked_ms === null ? {} : { blocked: true }),
  };
}

const namespaceColumns =
  "name, invocations_per_minute, fires_per_minute, concurrent_invocations, overrides, created_ms";
const keyColumns = "uuid, secret_hash, namespace, subject, operator, created_ms, expires_ms";

/** With since when the subject is blocked. */
const selectKeyFrom = `
  select ${keyColumns
    .split(", ")
    .map((column) => `k.${column}`)
    .join(", ")}, b.blocked_ms
  from keys k left join blocked_subjects b on b.subject = k.subject`;

/** What has expired is not there any more. */
function living(table = "keys"): string {
  return `(${table}.expires_ms is null or ${table}.expires_ms > extract(epoch from clock_timestamp()) * 1000)`;
}

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

const insertKey = `insert into keys (${keyColumns}) values ($1, $2, $3, $4, $5, $6, $7)`;

const selectKey = { name: "select-key", text: `${selectKeyFrom} where k.uuid = $1 and ${living("k")}` };

const selectKeys = `
  ${selectKeyFrom} where k.namespace = $1 and ${living("k")} order by k.created_ms desc, k.uuid`;

const keyOrder = 'k.subject collate "C", k.namespace, k.created_ms desc, k.uuid';

const selectSubject = `${selectKeyFrom} where k.subject = $1 and ${living("k")} order by ${keyOrder}`;

const selectSubjects = `
  ${selectKeyFrom}
  where ${living("k")} and ($3::text is null or k.namespace = $3) and k.subject in (
    select distinct subject collate "C" from keys
    where subject collate "C" > $1 and ($3::text is null or namespace = $3) and ${living()}
    order by subject collate "C" limit $2)
  order by ${keyOrder}`;

const deleteKeysOf = `
  delete from keys where subject = $1 and ($2::text is null or namespace = $2) and ${living()}
  returning ${keyColumns}, null::bigint as blocked_ms`;

const revokeKey = `
  delete from keys where namespace = $1 and uuid = $2 and ${living()}
  returning ${keyColumns}, null::bigint as blocked_ms`;

const expireKey = `
  update keys set expires_ms = least(expires_ms, $3::bigint) where namespace = $1 and uuid = $2 and ${living()}
  returning ${keyColumns}, null::bigint as blocked_ms`;
