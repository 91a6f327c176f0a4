// Activation records as columns and back.

import { hexToBytes, type ActivationId } from "../base/ids.js";
import type { ActionActivation, Activation, Outcome, StartKind } from "../core/activation/types.js";
import { boolArray, int2Array, int4Array, int8Array, storable, textArray, uuidArray } from "./binary-array.js";
import { CopyRows, textRoom } from "./copy.js";

const OUTCOMES: readonly Outcome[] = ["success", "applicationError", "developerError", "platformError"];
const START_KINDS: readonly StartKind[] = ["warm", "frozen", "stem", "cold"];

/** Stored names and their element types, in the order of `activationParameters`. */
const COLUMNS = [
  ["id", "uuid"],
  ["start_ms", "int8"],
  ["duration_ms", "int4"],
  ["init_ms", "int4"],
  ["wait_ms", "int4"],
  ["result_size", "int4"],
  ["timeout_ms", "int4"],
  ["memory_mb", "int4"],
  ["logs_mb", "int4"],
  ["concurrency", "int4"],
  ["cause", "uuid"],
  ["is_trigger", "bool"],
  ["timed_out", "bool"],
  ["outcome", "int2"],
  ["start_kind", "int2"],
  ["namespace", "text"],
  ["path_namespace", "text"],
  ["name", "text"],
  ["subject", "text"],
  ["version", "text"],
  ["kind", "text"],
  ["transaction_id", "text"],
  ["trace_id", "text"],
  ["invoker_id", "text"],
  ["result", "text"],
  ["end_ms", "int8"],
  ["component_runs", "int4"],
  ["conductor_runs", "int4"],
  ["bound_name", "text"],
] as const;

const names = COLUMNS.map(([name]) => name).join(", ");

/** How many parameters a batch takes, logs included. */
export const ACTIVATION_PARAMETERS = COLUMNS.length + 2;

/**
 * Common table expressions that insert a batch and its logs, keeping the first record of an id; `recorded` holds the ids
 * that were new.
 * @param first number of the first parameter
 */
export function insertActivations(first: number): string {
  const parameters = COLUMNS.map(([, type], i) => `$${first + i}::${type}[]`).join(", ");
  const [logIds, logLines] = [first + COLUMNS.length, first + COLUMNS.length + 1];
  return `
    recorded as (
      insert into activations (${names})
      select * from unnest(${parameters})
      on conflict (id) do nothing
      returning id),
    logged as (
      insert into activation_logs (id, lines)
      select l.id, l.lines from unnest($${logIds}::uuid[], $${logLines}::text[]) as l (id, lines) join recorded using (id)
      on conflict (id) do nothing)`;
}

/** @param batch without two of the same id */
export function activationParameters(batch: readonly Activation[]): Buffer[] {
  const withLogs = batch.filter((a) => a.logs.length > 0);
  const action = <T>(read: (a: Activation & { readonly of: "action" }) => T): (T | undefined)[] =>
    batch.map((a) => (a.of === "action" ? read(a) : undefined));
  const text = (read: (a: Activation) => string): Buffer => textArray(batch.map((a) => storable(read(a))));
  const actionText = (read: (a: Activation & { readonly of: "action" }) => string): Buffer =>
    text((a) => (a.of === "action" ? read(a) : ""));
  return [
    uuidArray(batch.map((a) => a.id)),
    int8Array(batch.map((a) => a.startWallMs)),
    int4Array(action((a) => a.durationMs)),
    int4Array(action((a) => a.initMs)),
    int4Array(batch.map((a) => (a.of === "action" ? a.waitMs : 0))),
    int4Array(batch.map((a) => (a.of === "action" ? a.resultSize : 0))),
    int4Array(action((a) => a.limits.timeoutMs)),
    int4Array(action((a) => a.limits.memoryMb)),
    int4Array(action((a) => a.limits.logsMb)),
    int4Array(action((a) => a.limits.concurrency)),
    uuidArray(action((a) => a.cause)),
    boolArray(batch.map((a) => a.of === "trigger")),
    boolArray(batch.map((a) => a.of === "action" && a.timedOut)),
    int2Array(batch.map((a) => (a.of === "action" ? OUTCOMES.indexOf(a.outcome) : 0))),
    int2Array(action((a) => (a.startKind === undefined ? undefined : START_KINDS.indexOf(a.startKind)))),
    text((a) => a.namespace),
    text((a) => a.path.slice(0, a.path.indexOf("/"))),
    text(listedName),
    text((a) => a.subject),
    text((a) => a.version),
    actionText((a) => a.kind),
    text((a) => a.transactionId),
    text((a) => a.traceId),
    actionText((a) => a.invokerId),
    text((a) => a.resultJson),
    int8Array(action((a) => a.composite?.endWallMs)),
    int4Array(action((a) => a.composite?.componentRuns)),
    int4Array(action((a) => a.composite?.conductorRuns)),
    actionText(boundName),
    uuidArray(withLogs.map((a) => a.id)),
    textArray(withLogs.map((a) => JSON.stringify(a.logs))),
  ];
}

/** In the order of `writeActivations`: what is the same in many records of a batch comes together. */
const COPY_COLUMNS = [
  ...[
    "id",
    "start_ms",
    "duration_ms",
    "init_ms",
    "wait_ms",
    "result_size",
    "cause",
    "timed_out",
    "outcome",
    "start_kind",
  ],
  ...["transaction_id", "trace_id", "result"],
  ...["namespace", "path_namespace", "name", "subject", "version", "kind", "invoker_id"],
  ...["timeout_ms", "memory_mb", "logs_mb", "concurrency", "is_trigger", "bound_name"],
] as const;

/** Copies what `writeActivations` wrote. */
export const COPY_ACTIVATIONS = `copy activations (${COPY_COLUMNS.join(", ")}) from stdin (format binary)`;

/** What the fields of one size take. */
const FIXED_BYTES = 128;

/** To be filled by `writeActivations`. */
export function activationRows(): CopyRows {
  return new CopyRows(COPY_COLUMNS.length);
}

/** @param batch without two of the same id, and without logs */
export function writeActivations(rows: CopyRows, batch: readonly ActionActivation[]): readonly Buffer[] {
  rows.begin();
  let before: ActionActivation | undefined;
  for (const a of batch) {
    const result = storable(a.resultJson);
    const transactionId = storable(a.transactionId);
    const traceId = storable(a.traceId);
    const repeated = before !== undefined && looksAlike(before, a);
    rows.row(FIXED_BYTES + textRoom(result) + textRoom(transactionId) + textRoom(traceId) + blockRoom(a));
    rows.uuid(a.id);
    rows.int8(a.startWallMs);
    rows.int4(a.durationMs);
    rows.int4(a.initMs);
    rows.int4(a.waitMs);
    rows.int4(a.resultSize);
    rows.uuid(a.cause);
    rows.bool(a.timedOut);
    rows.int2(OUTCOMES.indexOf(a.outcome));
    rows.int2(a.startKind === undefined ? undefined : START_KINDS.indexOf(a.startKind));
    rows.text(transactionId);
    rows.text(traceId);
    rows.text(result);
    if (!(repeated && rows.again())) {
      const slash = a.path.indexOf("/");
      rows.beginBlock();
      rows.text(storable(a.namespace));
      rows.text(storable(a.path.slice(0, slash)));
      rows.text(storable(listedName(a)));
      rows.text(storable(a.subject));
      rows.text(storable(a.version));
      rows.text(storable(a.kind));
      rows.text(storable(a.invokerId));
      rows.int4(a.limits.timeoutMs);
      rows.int4(a.limits.memoryMb);
      rows.int4(a.limits.logsMb);
      rows.int4(a.limits.concurrency);
      rows.bool(false);
      rows.text(storable(boundName(a)));
      rows.endBlock();
    }
    before = a;
  }
  return rows.finish();
}

/** True when the fields of the block in `writeActivations` are the same. */
function looksAlike(a: ActionActivation, b: ActionActivation): boolean {
  return (
    a.path === b.path &&
    a.binding === b.binding &&
    a.namespace === b.namespace &&
    a.subject === b.subject &&
    a.version === b.version &&
    a.kind === b.kind &&
    a.invokerId === b.invokerId &&
    a.limits.timeoutMs === b.limits.timeoutMs &&
    a.limits.memoryMb === b.limits.memoryMb &&
    a.limits.logsMb === b.limits.logsMb &&
    a.limits.concurrency === b.limits.concurrency
  );
}

function blockRoom(a: ActionActivation): number {
  return (
    textRoom(a.namespace) +
    2 * textRoom(a.path) +
    textRoom(a.binding ?? "") +
    textRoom(a.subject) +
    textRoom(a.version) +
    textRoom(a.kind) +
    textRoom(a.invokerId)
  );
}

/** The action's own "package/name" when it was invoked through a binding, else "". */
function boundName(a: ActionActivation): string {
  return a.binding === undefined ? "" : afterSlash(a.path);
}

const afterSlash = (text: string): string => text.slice(text.indexOf("/") + 1);

/** What a record is listed by: "name" or "package/name", with a binding's name in place of its package's. */
function listedName(a: Activation): string {
  return a.of === "action" && a.binding !== undefined ? `${afterSlash(a.binding)}/${a.name}` : afterSlash(a.path);
}

/** Roughly what a record costs to store and to hold. */
export function activationBytes(activation: Activation): number {
  return activation.logs.reduce((sum, line) => sum + line.length, 500 + activation.resultJson.length);
}

/** What `activationOf` reads. `full`: with result and logs, which come from another table. */
export function activationColumns(full: boolean): string {
  const own = COLUMNS.map(([name]) => name).filter((name) => full || name !== "result");
  return [...own.map((name) => `a.${name}`), ...(full ? ["l.lines"] : [])].join(", ");
}

export interface ActivationRow {
  readonly id: string;
  readonly start_ms: number;
  readonly duration_ms: number | null;
  readonly init_ms: number | null;
  readonly wait_ms: number;
  readonly result_size: number;
  readonly timeout_ms: number | null;
  readonly memory_mb: number | null;
  readonly logs_mb: number | null;
  readonly concurrency: number | null;
  readonly cause: string | null;
  readonly is_trigger: boolean;
  readonly timed_out: boolean;
  readonly outcome: number;
  readonly start_kind: number | null;
  readonly namespace: string;
  readonly path_namespace: string;
  readonly name: string;
  readonly subject: string;
  readonly version: string;
  readonly kind: string;
  readonly transaction_id: string;
  readonly trace_id: string;
  readonly invoker_id: string;
  /** The action's own "package/name" when it was invoked through a binding, else "". */
  readonly bound_name: string;
  /** Absent when not asked for. */
  readonly result?: string;
  readonly end_ms: number | null;
  readonly component_runs: number | null;
  readonly conductor_runs: number | null;
  readonly lines?: string | null;
}

export function activationOf(row: ActivationRow): Activation {
  const common = {
    id: idOf(row.id),
    namespace: row.namespace,
    subject: row.subject,
    name: row.name.slice(row.name.lastIndexOf("/") + 1),
    path: `${row.path_namespace}/${row.bound_name || row.name}`,
    version: row.version,
    startWallMs: row.start_ms,
    resultJson: row.result ?? "",
    logs: row.lines === undefined || row.lines === null ? [] : (JSON.parse(row.lines) as string[]),
    transactionId: row.transaction_id,
    traceId: row.trace_id,
  };
  if (row.is_trigger) return { of: "trigger", ...common };
  return {
    of: "action",
    ...common,
    binding: row.bound_name === "" ? undefined : `${row.namespace}/${row.name.slice(0, row.name.indexOf("/"))}`,
    kind: row.kind,
    durationMs: row.duration_ms ?? 0,
    initMs: row.init_ms ?? undefined,
    waitMs: row.wait_ms,
    outcome: OUTCOMES[row.outcome] ?? "platformError",
    resultSize: row.result_size,
    timedOut: row.timed_out,
    limits: {
      timeoutMs: row.timeout_ms ?? 0,
      memoryMb: row.memory_mb ?? 0,
      logsMb: row.logs_mb ?? 0,
      concurrency: row.concurrency ?? 0,
    },
    cause: row.cause === null ? undefined : idOf(row.cause),
    startKind: row.start_kind === null ? undefined : START_KINDS[row.start_kind],
    invokerId: row.invoker_id,
    ...(row.end_ms === null
      ? {}
      : {
          composite: {
            endWallMs: row.end_ms,
            componentRuns: row.component_runs ?? 0,
            conductorRuns: row.conductor_runs ?? undefined,
          },
        }),
  };
}

/** An id as Weft writes it, from a uuid as Postgres writes it. */
export function idOf(uuid: string): ActivationId {
  return uuid.replaceAll("-", "") as ActivationId;
}

/** The order of ids in an index: batches that touch the same rows touch them in the same order. */
export function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

/** An id as one binary parameter. */
export function idParameter(id: ActivationId): Uint8Array {
  return hexToBytes(id);
}
