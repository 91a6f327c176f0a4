// Entities as rows, and the statements that more than one kind of entity needs.

import { hasCode } from "../core/action/exec.js";
import { imageOfKind } from "../core/action/image.js";
import {
  BLACKBOX_KIND,
  type Action,
  type Build,
  type Exec,
  type KeyValue,
  type Package,
  type Rule,
  type Stored,
  type Trigger,
} from "../core/action/types.js";
import type { Draft, Revision } from "../core/action/store.js";
import { only, type Queryable, type Value } from "./database.js";

export type EntityKind = "action" | "package" | "trigger" | "rule";

/** What a kind of entity becomes when it is read. */
export interface EntityOf {
  readonly action: Action;
  readonly package: Package;
  readonly trigger: Trigger;
  readonly rule: Rule;
}

export interface EntityRow {
  readonly namespace: string;
  readonly name: string;
  readonly kind: EntityKind;
  readonly revision: number;
  readonly updated_ms: number;
  readonly version: string;
  readonly publish: boolean;
  readonly annotations: string;
  readonly parameters: string;
  readonly package: string | null;
  readonly runtime: string | null;
  readonly main: string | null;
  readonly archive: boolean | null;
  readonly code_digest: string | null;
  readonly code_size: number | null;
  readonly timeout_ms: number | null;
  readonly memory_mb: number | null;
  readonly logs_mb: number | null;
  readonly concurrency: number | null;
  readonly max_instances: number | null;
  /** JSON array of keys; of sequences. */
  readonly components: string | null;
  /** Build as JSON text; of actions that were built. */
  readonly build: string | null;
  readonly revision_id: string | null;
  readonly trigger_key: string | null;
  readonly action_key: string | null;
  readonly binding_namespace: string | null;
  readonly binding_name: string | null;
  /** Of rules, from the link. */
  readonly active: boolean | null;
}

/** Columns that a writer sets, in the order of `draftValues`; the first three say which entity. */
const WRITTEN = [
  "namespace",
  "name",
  "kind",
  "version",
  "publish",
  "annotations",
  "parameters",
  "package",
  "runtime",
  "main",
  "archive",
  "code_digest",
  "code_size",
  "timeout_ms",
  "memory_mb",
  "logs_mb",
  "concurrency",
  "components",
  "revision_id",
  "trigger_key",
  "action_key",
  "binding_namespace",
  "binding_name",
  "build",
  "max_instances",
] as const;

export const READ = [...WRITTEN, "revision", "updated_ms"].map((name) => `e.${name}`).join(", ");

/** Gives rules their state. */
export const joinLinks = `
  left join rule_links l on e.kind = 'rule' and l.rule_namespace = e.namespace and l.rule_name = e.name`;

/** Whole rows, with the state of rules. */
export const selectFrom = `select ${READ}, l.active from entities e ${joinLinks}`;

const nowMs = "(extract(epoch from clock_timestamp()) * 1000)::bigint";

/** Inserts nothing when the name is taken. */
export const insertEntity = `
  insert into entities as e (${WRITTEN.join(", ")}, revision, updated_ms)
  values (${WRITTEN.map((_, i) => `$${i + 1}`).join(", ")}, 1, ${nowMs})
  on conflict (namespace, name) do nothing
  returning ${READ}, null as active`;

/** Updates nothing when the revision has moved on. */
export const updateEntity = `
  update entities e set
    ${WRITTEN.map((name, i) => `${name} = $${i + 1}`)
      .slice(3)
      .join(", ")},
    revision = revision + 1, updated_ms = ${nowMs}
  where namespace = $1 and name = $2 and kind = $3 and revision = $${WRITTEN.length + 1}
  returning ${READ}, null as active`;

/** @returns the package in an action's name */
export function packageOf(name: string): string | undefined {
  const slash = name.indexOf("/");
  return slash === -1 ? undefined : name.slice(0, slash);
}

export function draftValues(
  kind: EntityKind,
  draft: Draft<Stored> & {
    readonly parameters?: readonly KeyValue[];
    readonly exec?: Exec;
    readonly limits?: Action["limits"];
    readonly maxInstances?: number | undefined;
    readonly revisionId?: string;
    readonly trigger?: string;
    readonly action?: string;
    readonly binding?: Package["binding"];
  },
): Value[] {
  return [
    draft.namespace,
    draft.name,
    kind,
    draft.version,
    draft.publish,
    keyValuesText(draft.annotations),
    keyValuesText(draft.parameters ?? []),
    packageOf(draft.name),
    draft.exec && runtimeText(draft.exec),
    draft.exec?.main,
    draft.exec?.binary,
    draft.exec && hasCode(draft.exec) ? draft.exec.codeDigest : undefined,
    draft.exec?.codeSize,
    draft.limits?.timeoutMs,
    draft.limits?.memoryMb,
    draft.limits?.logsMb,
    draft.limits?.concurrency,
    draft.exec?.components && JSON.stringify(draft.exec.components),
    draft.revisionId,
    draft.trigger,
    draft.action,
    draft.binding?.namespace,
    draft.binding?.name,
    draft.exec?.build && JSON.stringify(draft.exec.build),
    draft.maxInstances,
  ];
}

export function entityOf(row: EntityRow): EntityOf[EntityKind] {
  const stored: Stored = {
    namespace: row.namespace,
    name: row.name,
    version: row.version,
    publish: row.publish,
    annotations: keyValuesOf(row.annotations),
    updatedWallMs: row.updated_ms,
    revision: row.revision,
  };
  switch (row.kind) {
    case "action":
      return {
        ...stored,
        exec: execOf(row),
        parameters: keyValuesOf(row.parameters),
        limits: limitsOf(row),
        maxInstances: row.max_instances ?? undefined,
        revisionId: row.revision_id ?? "",
      };
    case "package": {
      const { binding_namespace: namespace, binding_name: name } = row;
      const binding = namespace === null || name === null ? undefined : { namespace, name };
      return { ...stored, parameters: keyValuesOf(row.parameters), binding };
    }
    case "trigger":
      return { ...stored, parameters: keyValuesOf(row.parameters) };
    case "rule":
      return { ...stored, trigger: row.trigger_key ?? "", action: row.action_key ?? "", active: row.active ?? false };
  }
}

type ExecColumns = Pick<EntityRow, "runtime" | "main" | "archive" | "code_digest" | "code_size"> &
  Partial<Pick<EntityRow, "components" | "build">>;
type LimitColumns = Pick<EntityRow, "timeout_ms" | "memory_mb" | "logs_mb" | "concurrency">;

function execOf(row: ExecColumns): Exec {
  const image = imageOfKind(row.runtime ?? "");
  return {
    kind: image === undefined ? (row.runtime ?? "") : BLACKBOX_KIND,
    ...(image === undefined ? {} : { image }),
    main: row.main ?? undefined,
    binary: row.archive ?? false,
    codeDigest: row.code_digest ?? "",
    codeSize: row.code_size ?? 0,
    ...(typeof row.components === "string" ? { components: JSON.parse(row.components) as string[] } : {}),
    ...(typeof row.build === "string" ? { build: JSON.parse(row.build) as Build } : {}),
  };
}

/** A kind, or "blackbox:<image>". */
function runtimeText({ kind, image }: Exec): string {
  return image === undefined ? kind : `${BLACKBOX_KIND}:${image}`;
}

function limitsOf(row: LimitColumns): Action["limits"] {
  return {
    timeoutMs: row.timeout_ms ?? 0,
    memoryMb: row.memory_mb ?? 0,
    logsMb: row.logs_mb ?? 0,
    concurrency: row.concurrency ?? 0,
  };
}

/** Values are JSON text inside JSON text: every digit stays. What is sealed has the id of its key as a fourth element. */
export function keyValuesText(list: readonly KeyValue[]): string {
  return JSON.stringify(
    list.map(({ key, valueJson, init, sealedBy }) =>
      sealedBy === undefined ? [key, valueJson, init] : [key, valueJson, init, sealedBy],
    ),
  );
}

export function keyValuesOf(text: string): KeyValue[] {
  return (JSON.parse(text) as [string, string, boolean, string?][]).map(([key, valueJson, init, sealedBy]) =>
    sealedBy === undefined ? { key, valueJson, init } : { key, valueJson, init, sealedBy },
  );
}

// ---- revisions ----

export interface RevisionRow extends ExecColumns, LimitColumns {
  readonly revision_id: string;
  readonly action_key: string;
  readonly version: string;
  readonly init_parameters: string;
}

const REVISION_COLUMNS = `revision_id, action_key, version, runtime, main, archive, code_digest, code_size, timeout_ms,
    memory_mb, logs_mb, concurrency, init_parameters`;

export function revisionOf(row: RevisionRow): Revision {
  return {
    revisionId: row.revision_id,
    actionKey: row.action_key,
    version: row.version,
    exec: execOf(row),
    limits: limitsOf(row),
    initParameters: keyValuesOf(row.init_parameters),
  };
}

export async function insertRevision(transaction: Queryable, revision: Revision): Promise<void> {
  await transaction.rows(insertRevisionRow, [
    revision.revisionId,
    revision.actionKey,
    revision.version,
    runtimeText(revision.exec),
    revision.exec.main,
    revision.exec.binary,
    revision.exec.codeDigest,
    revision.exec.codeSize,
    revision.limits.timeoutMs,
    revision.limits.memoryMb,
    revision.limits.logsMb,
    revision.limits.concurrency,
    keyValuesText(revision.initParameters),
    revision.sourceDigest,
  ]);
}

const insertRevisionRow = `
  insert into revisions (${REVISION_COLUMNS}, source_digest)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`;

export const selectRevision = {
  name: "select-revision",
  text: `select ${REVISION_COLUMNS} from revisions where revision_id = $1`,
};

/** $2: how much of the code. No piece: there is no such code. */
export const selectRevisionWithCode = {
  name: "select-revision-with-code",
  text: `
    select ${REVISION_COLUMNS}, length(bytes) as size, substring(bytes from 1 for $2::integer) as piece
    from revisions left join code on digest = code_digest
    where revision_id = $1`,
};

/** From here on it is kept for an hour. */
export async function retireRevisions(transaction: Queryable, revisionIds: readonly string[]): Promise<void> {
  await transaction.rows(
    `update revisions set retired_at = now()
     where (revision_id = any($1::text[]) or based_on = any($1::text[])) and retired_at is null`,
    [revisionIds],
  );
}

/** Those that were made for calls through a binding. */
export async function retireRevisionsThrough(transaction: Queryable, namespace: string, name: string): Promise<void> {
  await transaction.rows("update revisions set retired_at = now() where binding_key = $1 and retired_at is null", [
    `${namespace}/${name}`,
  ]);
}

/** Those of all actions of a namespace. */
export async function retireRevisionsOf(transaction: Queryable, namespace: string): Promise<void> {
  await transaction.rows(
    `update revisions r set retired_at = now() from entities e
     where e.namespace = $1 and e.kind = 'action' and r.retired_at is null
       and (e.revision_id = r.revision_id or e.revision_id = r.based_on)`,
    [namespace],
  );
  await transaction.rows(
    `update revisions r set retired_at = now() from entities e
     where e.namespace = $1 and e.binding_name is not null and r.retired_at is null
       and r.binding_key = e.namespace || '/' || e.name`,
    [namespace],
  );
}

/** The revision that an entity carries, when it is an action. */
export async function countEntities(
  from: Queryable,
  namespace: string,
  kind: EntityKind,
  packageName: string | undefined,
): Promise<number> {
  const { total } = only(
    await from.rows<{ readonly total: number }>(
      `select count(*) as total from entities
       where namespace = $1 and kind = $2 and ($3::text is null or package = $3)`,
      [namespace, kind, packageName],
    ),
  );
  return total;
}
