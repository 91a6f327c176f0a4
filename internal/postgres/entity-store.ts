import { WeftError } from "../base/errors.js";
import { loadedExec } from "../core/action/build.js";
import type { Listed } from "../core/action/page.js";
import type {
  ChangeListener,
  Draft,
  EntityStore,
  ListQuery,
  Revision,
  RevisionWithCode,
} from "../core/action/store.js";
import type { Action, Package, Rule, RuleLink, Stored, Trigger } from "../core/action/types.js";
import { packageIsBinding } from "../core/package/package.js";
import { announce, watchChanges, type ChangeWatchDeps } from "./changes.js";
import { storeCode } from "./code-table.js";
import type { Queryable, Value } from "./database.js";
import {
  countEntities,
  draftValues,
  entityOf,
  insertEntity,
  insertRevision,
  joinLinks,
  keyValuesText,
  packageOf,
  READ,
  retireRevisions,
  retireRevisionsThrough,
  revisionOf,
  selectFrom,
  selectRevision,
  selectRevisionWithCode,
  updateEntity,
  type EntityKind,
  type EntityOf,
  type EntityRow,
  type RevisionRow,
} from "./entity-sql.js";
import { violatedConstraint } from "./errors.js";
import { listed, listedColumns, pageOf, withinBytes, type ListedRow } from "./listed.js";
import { collectRevisions } from "./revision-garbage.js";

/** pg reads bytes as hex in one string: in pieces, large code does not take four times its size. */
const CODE_PIECE_BYTES = 4 * 1024 * 1024;

interface CodePiece {
  /** Of the whole. */
  readonly size: number;
  readonly piece: Buffer;
}

export class PostgresEntityStore implements EntityStore {
  constructor(private readonly deps: ChangeWatchDeps) {}

  // ---- actions ----

  async createAction(
    action: Draft<Action>,
    code: Uint8Array | undefined,
    revision: Revision | undefined,
    packageRevision?: number,
  ): Promise<Action> {
    return this.deps.database.transaction(async (transaction) => {
      const inPackage = await lockPackageOf(transaction, action);
      if (packageRevision !== undefined && inPackage?.revision !== packageRevision) {
        throw moved("package", action.namespace, packageOf(action.name) ?? "", packageRevision);
      }
      if (code) await storeCode(transaction, action.exec.codeDigest, code);
      const created = await create(transaction, "action", action);
      if (revision) await insertRevision(transaction, revision);
      await announce(transaction, [action]);
      await collectRevisions(transaction);
      return created;
    });
  }

  getAction(namespace: string, name: string): Promise<Action> {
    return get(this.deps.database, "action", namespace, name);
  }

  listActions(query: ListQuery & { readonly package?: string | undefined }): Promise<Listed<Action>> {
    return list(this.deps.database, "action", query, query.package);
  }

  countActions(namespace: string, packageName: string | undefined): Promise<number> {
    return countEntities(this.deps.database, namespace, "action", packageName);
  }

  async updateAction(
    action: Draft<Action>,
    expected: number,
    code: Uint8Array | undefined,
    revision: Revision | undefined,
  ): Promise<Action> {
    return this.deps.database.transaction(async (transaction) => {
      await lockPackageOf(transaction, action, "whatever it is");
      const replaced = await lock(transaction, "action", action.namespace, action.name, expected);
      if (code) await storeCode(transaction, action.exec.codeDigest, code);
      const updated = await update(transaction, "action", action, expected);
      if (revision) await insertRevision(transaction, revision);
      await retireRevisions(transaction, [replaced.revisionId]);
      await announce(transaction, [action]);
      await collectRevisions(transaction);
      return updated;
    });
  }

  async deleteAction(namespace: string, name: string, expected: number | undefined): Promise<Action> {
    return this.deps.database.transaction(async (transaction) => {
      const deleted = await remove(transaction, "action", namespace, name, expected);
      await retireRevisions(transaction, [deleted.revisionId]);
      await announce(transaction, [deleted]);
      await collectRevisions(transaction);
      return deleted;
    });
  }

  async getCode(digest: string): Promise<Uint8Array> {
    return this.#codeFrom(digest, await this.#codePiece(digest, 0));
  }

  /** @param first its first piece */
  async #codeFrom(digest: string, first: CodePiece): Promise<Uint8Array> {
    if (first.piece.length === first.size) return first.piece;
    const code = Buffer.allocUnsafe(first.size);
    for (let at = 0, { piece } = first; ; { piece } = await this.#codePiece(digest, at)) {
      at += piece.copy(code, at);
      if (at === code.length) return code;
    }
  }

  async #codePiece(digest: string, from: number): Promise<CodePiece> {
    const [row] = await this.deps.database.rows<CodePiece>(selectCode, [digest, from, CODE_PIECE_BYTES]);
    if (!row) throw new WeftError("notFound", "CODE_NOT_FOUND", `no code ${digest}`);
    return row;
  }

  async getRevision(revisionId: string): Promise<Revision> {
    const [row] = await this.deps.database.rows<RevisionRow>(selectRevision, [revisionId]);
    if (!row) throw new WeftError("notFound", "REVISION_NOT_FOUND", `no revision ${revisionId}`);
    return revisionOf(row);
  }

  async getRevisionWithCode(revisionId: string): Promise<RevisionWithCode> {
    const [row] = await this.deps.database.rows<RevisionRow & { [K in keyof CodePiece]: CodePiece[K] | null }>(
      selectRevisionWithCode,
      [revisionId, CODE_PIECE_BYTES],
    );
    if (!row) throw new WeftError("notFound", "REVISION_NOT_FOUND", `no revision ${revisionId}`);
    const revision = revisionOf(row);
    const { codeDigest } = revision.exec;
    const { size, piece } = row;
    if (size === null || piece === null) throw new WeftError("notFound", "CODE_NOT_FOUND", `no code ${codeDigest}`);
    return { revision, code: await this.#codeFrom(codeDigest, { size, piece }) };
  }

  async keepRevision(revision: Revision, basedOn: string, binding: Package): Promise<void> {
    const { namespace, name } = binding;
    await this.deps.database.transaction(async (transaction) => {
      // Both are held as they are: who retires what is kept here comes before, and is seen, or after.
      const [bound] = await transaction.rows(
        "select from entities where namespace = $1 and name = $2 and revision = $3 for share",
        [namespace, name, binding.revision],
      );
      const [base] = await transaction.rows(
        "select from revisions where revision_id = $1 and retired_at is null for share",
        [basedOn],
      );
      if (!bound || !base) {
        throw new WeftError("conflict", "STALE_REVISION", `${revision.actionKey} or ${namespace}/${name} was changed`);
      }
      await transaction.rows(insertDerivedRevision, [
        revision.revisionId,
        basedOn,
        `${namespace}/${name}`,
        keyValuesText(revision.initParameters),
      ]);
    });
  }

  // ---- packages ----

  async createPackage(draft: Draft<Package>): Promise<Package> {
    return this.#create("package", draft);
  }

  getPackage(namespace: string, name: string): Promise<Package> {
    return get(this.deps.database, "package", namespace, name);
  }

  listPackages(query: ListQuery): Promise<Listed<Package>> {
    return list(this.deps.database, "package", query);
  }

  countPackages(namespace: string): Promise<number> {
    return countEntities(this.deps.database, namespace, "package", undefined);
  }

  async updatePackage(
    draft: Draft<Package>,
    expected: number,
    revisions: readonly Revision[],
    revised = revisions.length > 0,
  ): Promise<Package> {
    return this.deps.database.transaction(async (transaction) => {
      // Keeps actions from being written in it meanwhile: they hold their package's row (lockPackageOf).
      await lock(transaction, "package", draft.namespace, draft.name, expected);
      const updated = await update(transaction, "package", draft, expected);
      const names = revisions.map(({ actionKey }) => actionKey.slice(actionKey.indexOf("/") + 1)).sort();
      if (revised) await reviseActions(transaction, draft, revisions);
      if (draft.binding) await retireRevisionsThrough(transaction, draft.namespace, draft.name);
      await announce(transaction, [draft, ...names.map((name) => ({ namespace: draft.namespace, name }))]);
      return updated;
    });
  }

  async deletePackage(namespace: string, name: string, expected: number | undefined, force: boolean): Promise<Package> {
    return this.deps.database.transaction(async (transaction) => {
      const deleted = await remove(transaction, "package", namespace, name, expected);
      const actions = await transaction.rows<{ readonly name: string; readonly revision_id: string }>(
        "delete from entities where namespace = $1 and package = $2 returning name, revision_id",
        [namespace, name],
      );
      if (actions.length > 0 && !force) {
        throw new WeftError(
          "failedPrecondition",
          "PACKAGE_NOT_EMPTY",
          `package ${namespace}/${name} has ${actions.length} actions`,
          { fix: "delete its actions first, or force it" },
        );
      }
      if (deleted.binding) await retireRevisionsThrough(transaction, namespace, name);
      await retireRevisions(
        transaction,
        actions.map((action) => action.revision_id),
      );
      await announce(transaction, [deleted, ...actions.map((action) => ({ namespace, name: action.name }))]);
      return deleted;
    });
  }

  // ---- triggers ----

  async createTrigger(draft: Draft<Trigger>): Promise<Trigger> {
    return this.#create("trigger", draft);
  }

  getTrigger(namespace: string, name: string): Promise<Trigger> {
    return get(this.deps.database, "trigger", namespace, name);
  }

  async rulesOf(namespace: string, trigger: string): Promise<readonly RuleLink[]> {
    return this.deps.database.rows<RuleLink & Record<string, unknown>>(selectRules, [namespace, trigger]);
  }

  listTriggers(query: ListQuery): Promise<Listed<Trigger>> {
    return list(this.deps.database, "trigger", query);
  }

  countTriggers(namespace: string): Promise<number> {
    return countEntities(this.deps.database, namespace, "trigger", undefined);
  }

  async updateTrigger(draft: Draft<Trigger>, expected: number): Promise<Trigger> {
    return this.deps.database.transaction(async (transaction) => {
      const updated = await update(transaction, "trigger", draft, expected);
      await announce(transaction, [draft]);
      return updated;
    });
  }

  async deleteTrigger(namespace: string, name: string, expected: number | undefined): Promise<Trigger> {
    return this.deps.database.transaction(async (transaction) => {
      const deleted = await remove(transaction, "trigger", namespace, name, expected);
      await announce(transaction, [deleted]);
      return deleted;
    });
  }

  // ---- rules ----

  async createRule(draft: Draft<Rule>): Promise<Rule> {
    return this.deps.database.transaction(async (transaction) => {
      await create(transaction, "rule", draft);
      await checkEnds(transaction, draft);
      await link(transaction, draft, true);
      await announce(transaction, [draft, splitKey(draft.trigger)]);
      return get(transaction, "rule", draft.namespace, draft.name);
    });
  }

  getRule(namespace: string, name: string): Promise<Rule> {
    return get(this.deps.database, "rule", namespace, name);
  }

  listRules(query: ListQuery): Promise<Listed<Rule>> {
    return list(this.deps.database, "rule", query);
  }

  countRules(namespace: string): Promise<number> {
    return countEntities(this.deps.database, namespace, "rule", undefined);
  }

  async updateRule(draft: Draft<Rule>, expected: number): Promise<Rule> {
    return this.deps.database.transaction(async (transaction) => {
      const before = await lock(transaction, "rule", draft.namespace, draft.name, expected);
      await update(transaction, "rule", draft, expected);
      await checkEnds(transaction, draft);
      await link(transaction, draft, before.active);
      await announce(transaction, [draft, splitKey(before.trigger), splitKey(draft.trigger)]);
      return get(transaction, "rule", draft.namespace, draft.name);
    });
  }

  async setRuleActive(namespace: string, name: string, active: boolean): Promise<Rule> {
    return this.deps.database.transaction(async (transaction) => {
      const rule = await lock(transaction, "rule", namespace, name, undefined);
      // Without its trigger a rule is inactive already.
      if (active) await link(transaction, rule, true);
      else await transaction.rows(unlink, [namespace, name]);
      await announce(transaction, [rule, splitKey(rule.trigger)]);
      return get(transaction, "rule", namespace, name);
    });
  }

  async deleteRule(namespace: string, name: string, expected: number | undefined): Promise<Rule> {
    return this.deps.database.transaction(async (transaction) => {
      const rule = await remove(transaction, "rule", namespace, name, expected);
      await announce(transaction, [rule, splitKey(rule.trigger)]);
      return rule;
    });
  }

  watch(listener: ChangeListener, signal: AbortSignal): Promise<void> {
    return watchChanges(this.deps, listener, signal);
  }

  async #create<K extends EntityKind>(kind: K, draft: Draft<Stored>): Promise<EntityOf[K]> {
    return this.deps.database.transaction(async (transaction) => {
      const created = await create(transaction, kind, draft);
      await announce(transaction, [draft]);
      return created;
    });
  }
}

// ---- every kind ----

async function create<K extends EntityKind>(
  transaction: Queryable,
  kind: K,
  draft: Draft<Stored>,
): Promise<EntityOf[K]> {
  let row: EntityRow | undefined;
  try {
    [row] = await transaction.rows<EntityRow & Record<string, unknown>>(insertEntity, draftValues(kind, draft));
  } catch (thrown) {
    if (violatedConstraint(thrown) !== "entities_namespace") throw thrown;
    throw new WeftError("notFound", "NAMESPACE_NOT_FOUND", `no namespace ${draft.namespace}`, { cause: thrown });
  }
  if (row) return entityOf(row) as EntityOf[K];
  const taken = await read(transaction, draft.namespace, draft.name);
  if (taken && taken.kind !== kind) throw wrongCollection(taken, kind);
  throw new WeftError("alreadyExists", "ENTITY_EXISTS", `${kind} ${draft.namespace}/${draft.name} already exists`);
}

async function get<K extends EntityKind>(
  from: Queryable,
  kind: K,
  namespace: string,
  name: string,
): Promise<EntityOf[K]> {
  const row = await read(from, namespace, name);
  if (!row) throw entityNotFound(kind, namespace, name);
  if (row.kind !== kind) throw wrongCollection(row, kind);
  return entityOf(row) as EntityOf[K];
}

/**
 * Reads an entity and keeps others from writing it, or anything that refers to it, until the transaction ends.
 * @throws as get; conflict when its revision is another than expected
 */
async function lock<K extends EntityKind>(
  transaction: Queryable,
  kind: K,
  namespace: string,
  name: string,
  expected: number | undefined,
): Promise<EntityOf[K]> {
  await transaction.rows("select from entities where namespace = $1 and name = $2 for update", [namespace, name]);
  const entity = await get(transaction, kind, namespace, name);
  if (expected !== undefined && entity.revision !== expected) throw moved(kind, namespace, name, expected);
  return entity;
}

async function update<K extends EntityKind>(
  transaction: Queryable,
  kind: K,
  draft: Draft<Stored>,
  expected: number,
): Promise<EntityOf[K]> {
  const [row] = await transaction.rows<EntityRow & Record<string, unknown>>(updateEntity, [
    ...draftValues(kind, draft),
    expected,
  ]);
  if (row) return entityOf(row) as EntityOf[K];
  // The where clause has decided. This only finds the complaint.
  await get(transaction, kind, draft.namespace, draft.name);
  throw moved(kind, draft.namespace, draft.name, expected);
}

async function remove<K extends EntityKind>(
  transaction: Queryable,
  kind: K,
  namespace: string,
  name: string,
  expected: number | undefined,
): Promise<EntityOf[K]> {
  const entity = await lock(transaction, kind, namespace, name, expected);
  await transaction.rows("delete from entities where namespace = $1 and name = $2", [namespace, name]);
  return entity;
}

async function list<K extends EntityKind>(
  from: Queryable,
  kind: K,
  query: ListQuery,
  packageName?: string,
): Promise<Listed<EntityOf[K]>> {
  const values: Value[] = [query.namespace, kind];
  const where = ["e.namespace = $1", "e.kind = $2"];
  const add = (value: Value): string => `$${values.push(value)}`;
  if (packageName !== undefined) where.push(`e.package = ${add(packageName)}`);
  if (query.after) {
    const [ms, name] = [add(query.after.updatedWallMs), add(query.after.name)];
    // The first condition is implied; it is what the index can start at.
    where.push(`e.updated_ms <= ${ms}`, `(e.updated_ms < ${ms} or e.name > ${name})`);
  }
  const rows = await from.rows<EntityRow & ListedRow & Record<string, unknown>>(
    `select * from (
       select ${READ}, l.active, ${listedColumns(
         "octet_length(e.annotations) + octet_length(e.parameters)",
         "e.updated_ms desc, e.name",
       )}
       from (select * from entities e where ${where.join(" and ")}
             order by e.updated_ms desc, e.name ${pageOf(query)}) e ${joinLinks}) page
     where ${withinBytes(query)}
     order by updated_ms desc, name`,
    values,
  );
  return listed(rows, query, (row) => entityOf(row) as EntityOf[K]);
}

async function read(from: Queryable, namespace: string, name: string): Promise<EntityRow | undefined> {
  const [row] = await from.rows<EntityRow & Record<string, unknown>>(selectEntity, [namespace, name]);
  return row;
}

const entityNotFound = (kind: EntityKind, namespace: string, name: string): WeftError =>
  new WeftError("notFound", "ENTITY_NOT_FOUND", `no ${kind} ${namespace}/${name}`);

const wrongCollection = (row: EntityRow, wanted: EntityKind): WeftError =>
  new WeftError(
    "failedPrecondition",
    "WRONG_COLLECTION",
    `${row.namespace}/${row.name} is ${row.kind === "action" ? "an" : "a"} ${row.kind}, not ${wanted === "action" ? "an" : "a"} ${wanted}`,
  );

const moved = (kind: EntityKind, namespace: string, name: string, expected: number | undefined): WeftError =>
  new WeftError(
    "conflict",
    "STALE_REVISION",
    `${kind} ${namespace}/${name} was changed by somebody else${expected === undefined ? "" : `: it is not at revision ${expected} any more`}`,
  );

// ---- actions and their packages ----

/**
 * Keeps the package of an action from being deleted or revised until the transaction ends.
 * @throws notFound when it does not exist, or failedPrecondition WRONG_COLLECTION
 */
async function lockPackageOf(
  transaction: Queryable,
  action: Draft<Action>,
  missing: "must be there" | "whatever it is" = "must be there",
): Promise<{ readonly revision: number } | undefined> {
  const name = packageOf(action.name);
  if (name === undefined) return undefined;
  const [row] = await transaction.rows<{
    readonly kind: EntityKind;
    readonly bound: boolean;
    readonly revision: number;
  }>(
    `select kind, binding_name is not null as bound, revision from entities
     where namespace = $1 and name = $2 for key share`,
    [action.namespace, name],
  );
  if (row?.bound) throw packageIsBinding({ namespace: action.namespace, name });
  if (row?.kind === "package" || missing === "whatever it is") return row;
  if (!row) {
    // A namespace that does not exist is the better complaint.
    const [namespace] = await transaction.rows("select from namespaces where name = $1", [action.namespace]);
    throw namespace
      ? entityNotFound("package", action.namespace, name)
      : new WeftError("notFound", "NAMESPACE_NOT_FOUND", `no namespace ${action.namespace}`);
  }
  return get(transaction, "package", action.namespace, name);
}

/** Gives every action of a package the revision that was made for it. @throws conflict when they are not the same */
async function reviseActions(
  transaction: Queryable,
  draft: Draft<Package>,
  revisions: readonly Revision[],
): Promise<void> {
  const rows = await transaction.rows<EntityRow & Record<string, unknown>>(
    `${selectFrom} where e.namespace = $1 and e.package = $2 and e.code_digest is not null order by e.name for update of e`,
    [draft.namespace, draft.name],
  );
  const byKey = new Map(revisions.map((revision) => [revision.actionKey, revision]));
  const stale = (): WeftError =>
    new WeftError(
      "conflict",
      "STALE_REVISION",
      `the actions of package ${draft.namespace}/${draft.name} were changed by somebody else`,
    );
  if (rows.length !== revisions.length) throw stale();
  for (const row of rows) {
    const action = entityOf(row) as Action;
    const revision = byKey.get(`${action.namespace}/${action.name}`);
    // A revision made from an action that has changed since would bring its old code back.
    if (
      !revision ||
      revision.version !== action.version ||
      revision.exec.codeDigest !== loadedExec(action.exec).codeDigest ||
      revision.exec.kind !== action.exec.kind ||
      revision.exec.image !== action.exec.image ||
      revision.exec.main !== action.exec.main
    ) {
      throw stale();
    }
    await insertRevision(transaction, revision);
    // A writer who read the action before must read it again: what he made of it has the package's old parameters.
    await transaction.rows(
      "update entities set revision_id = $3, revision = revision + 1 where namespace = $1 and name = $2",
      [action.namespace, action.name, revision.revisionId],
    );
    await retireRevisions(transaction, [action.revisionId]);
  }
}

// ---- rules and their ends ----

/** "namespace/name" or "namespace/package/name". */
function splitKey(key: string): { readonly namespace: string; readonly name: string } {
  const slash = key.indexOf("/");
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

async function checkEnds(transaction: Queryable, rule: Draft<Rule>): Promise<void> {
  for (const [kind, key, reason] of [
    ["trigger", rule.trigger, "NO_SUCH_TRIGGER"],
    ["action", rule.action, "NO_SUCH_ACTION"],
  ] as const) {
    const { namespace, name } = splitKey(key);
    const row =
      (await read(transaction, namespace, name)) ??
      (kind === "action" ? await readThroughBinding(transaction, namespace, name) : undefined);
    if (row?.kind !== kind) {
      throw new WeftError("failedPrecondition", reason, `${kind} ${key} of rule ${rule.name} does not exist`);
    }
  }
}

/** The action that "binding/name" stands for. */
async function readThroughBinding(from: Queryable, namespace: string, name: string): Promise<EntityRow | undefined> {
  const packageName = packageOf(name);
  const binding = packageName === undefined ? undefined : await read(from, namespace, packageName);
  if (typeof binding?.binding_namespace !== "string" || typeof binding.binding_name !== "string") return undefined;
  return read(from, binding.binding_namespace, `${binding.binding_name}${name.slice(name.indexOf("/"))}`);
}

/** Ties a rule to its trigger, and to no other. @throws failedPrecondition NO_SUCH_TRIGGER */
async function link(transaction: Queryable, rule: Draft<Rule>, active: boolean): Promise<void> {
  const trigger = splitKey(rule.trigger);
  const [there] = await transaction.rows(
    "select from entities where namespace = $1 and name = $2 and kind = 'trigger' for key share",
    [trigger.namespace, trigger.name],
  );
  if (!there) {
    throw new WeftError(
      "failedPrecondition",
      "NO_SUCH_TRIGGER",
      `trigger ${rule.trigger} of rule ${rule.name} does not exist`,
    );
  }
  await transaction.rows(upsertLink, [rule.namespace, rule.name, trigger.namespace, trigger.name, active]);
}

// ---- statements ----

const selectEntity = {
  name: "select-entity",
  text: `${selectFrom} where e.namespace = $1 and e.name = $2`,
};

// Stored uncompressed, so that a piece is read without the rest.
const selectCode = `
  select length(bytes) as size, substring(bytes from $2::integer + 1 for $3) as piece from code where digest = $1`;

const selectRules = {
  name: "select-rules",
  text: `
    select l.rule_namespace || '/' || l.rule_name as rule, e.action_key as action, l.active
    from rule_links l join entities e on e.namespace = l.rule_namespace and e.name = l.rule_name
    where l.trigger_namespace = $1 and l.trigger_name = $2
    order by l.rule_namespace, l.rule_name`,
};

// The same as what it is based on but for the init parameters. When it is there already, it is in use again.
const insertDerivedRevision = `
  insert into revisions (revision_id, based_on, binding_key, init_parameters, action_key, version, runtime, main, archive,
    code_digest, code_size, timeout_ms, memory_mb, logs_mb, concurrency)
  select $1, revision_id, $3, $4, action_key, version, runtime, main, archive,
    code_digest, code_size, timeout_ms, memory_mb, logs_mb, concurrency
  from revisions where revision_id = $2
  on conflict (revision_id) do update set retired_at = null`;

const upsertLink = `
  insert into rule_links (rule_namespace, rule_name, trigger_namespace, trigger_name, active)
  values ($1, $2, $3, $4, $5)
  on conflict (rule_namespace, rule_name) do update set
    trigger_namespace = excluded.trigger_namespace, trigger_name = excluded.trigger_name, active = excluded.active`;

const unlink = `update rule_links set active = false where rule_namespace = $1 and rule_name = $2`;
