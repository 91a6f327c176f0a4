import { invariant, WeftError } from "../base/errors.js";
import type { ActivationId } from "../base/ids.js";
import type { Listed } from "../core/action/page.js";
import type { ActivationQuery, ActivationStore, RecordedActivation } from "../core/activation/store.js";
import type { ActionActivation, Activation } from "../core/activation/types.js";
import {
  activationBytes,
  activationColumns,
  activationOf,
  activationParameters,
  activationRows,
  byId,
  COPY_ACTIVATIONS,
  idParameter,
  insertActivations,
  type ActivationRow,
  writeActivations,
} from "./activation-columns.js";
import { uuidArray } from "./binary-array.js";
import type { CopyRows } from "./copy.js";
import type { Database, Statement, Value } from "./database.js";
import { violatedConstraint } from "./errors.js";
import { GroupCommit } from "./group-commit.js";
import { dropPartitions, makePartitions, trimDefault } from "./partitions.js";
import { listed, listedColumns, pageOf, withinBytes, type ListedRow } from "./listed.js";
import { collectRevisions } from "./revision-garbage.js";

/** Most records of one call, and of one batch to the database: larger ones are hardly cheaper per row. */
const BATCH_MAX = 500;
const BATCH_BYTES_MAX = 16 * 1024 * 1024;
const WAITING_BYTES_MAX = 128 * 1024 * 1024;
/** One batch is encoded while the other commits. */
const LANES = 2;
/** Rows per statement when the default partition is trimmed: short transactions. */
const TRIM_ROWS = 10_000;

export class PostgresActivationStore implements ActivationStore {
  readonly #records: GroupCommit<readonly RecordedActivation[], undefined>;
  /** Not in use. */
  readonly #rows: CopyRows[] = [];

  constructor(private readonly database: Database) {
    this.#records = new GroupCommit({
      name: "activation records",
      commit: (batches) => this.#record(batches),
      lanes: LANES,
      rowsMax: BATCH_MAX,
      bytesMax: BATCH_BYTES_MAX,
      rowsOf: (batch) => batch.length,
      bytesOf: (batch) => batch.reduce((sum, { activation }) => sum + activationBytes(activation), 0),
      waitingBytesMax: WAITING_BYTES_MAX,
    });
  }

  async record(batch: readonly RecordedActivation[]): Promise<void> {
    invariant(batch.length <= BATCH_MAX, `at most ${BATCH_MAX} records at once: ${batch.length}`);
    if (batch.length > 0) await this.#records.add(batch);
  }

  async get(namespace: string, id: ActivationId): Promise<Activation> {
    const [row] = await this.database.rows<ActivationRow>(selectOne, [idParameter(id), namespace]);
    if (!row) {
      throw new WeftError("notFound", "ACTIVATION_NOT_FOUND", `no activation ${id} in namespace ${namespace}`);
    }
    return activationOf(row);
  }

  async list(query: ActivationQuery): Promise<Listed<Activation>> {
    const { where, values } = conditions(query);
    const join = query.full ? "left join activation_logs l on l.id = a.id" : "";
    const bytes = query.full ? "octet_length(a.result) + coalesce(octet_length(l.lines), 0)" : "0";
    // Page first, join then: logs are read for what is shown and for nothing else.
    const rows = await this.database.rows<ActivationRow & ListedRow>(
      `select * from (
         select ${activationColumns(query.full)}, ${listedColumns(bytes, "a.start_ms desc, a.id desc")}
         from (select * from activations a where ${where}
               order by a.start_ms desc, a.id desc ${pageOf(query)}) a ${join}) page
       where ${withinBytes(query)}
       order by start_ms desc, id desc`,
      values,
    );
    return listed(rows, query, activationOf);
  }

  async count(query: ActivationQuery): Promise<number> {
    const { where, values } = conditions({ ...query, after: undefined });
    const [row] = await this.database.rows<{ readonly total: number }>(
      `select count(*) as total from activations a where ${where}`,
      values,
    );
    return row?.total ?? 0;
  }

  async maintain(retentionDays: number): Promise<void> {
    await this.database.transaction(makePartitions);
    await this.database.transaction((transaction) => dropPartitions(transaction, retentionDays));
    while ((await trimDefault(this.database, retentionDays, TRIM_ROWS)) === TRIM_ROWS);
    while (await this.database.transaction(collectRevisions));
  }

  async #record(batches: readonly (readonly RecordedActivation[])[]): Promise<undefined[]> {
    const first = new Map<ActivationId, ActionActivation>();
    const settled = new Set<ActivationId>();
    for (const { activation, async, unstored } of batches.flat()) {
      if (!unstored && !first.has(activation.id)) first.set(activation.id, activation);
      if (async) settled.add(activation.id);
    }
    const records = [...first.values()].sort(byId);
    // Nearly every batch: nothing to settle, no logs, nothing that was recorded before.
    if (settled.size === 0 && records.every(({ logs }) => logs.length === 0) && (await this.#copied(records))) {
      return batches.map(() => undefined);
    }
    if (settled.size === 0) await this.database.rows(recordSync, activationParameters(records));
    else await this.database.rows(recordAndSettle, [uuidArray([...settled].sort()), ...activationParameters(records)]);
    return batches.map(() => undefined);
  }

  /** @returns false when one of them is there already, and nothing was done: after a link broke records come again */
  async #copied(records: readonly ActionActivation[]): Promise<boolean> {
    const rows = this.#rows.pop() ?? activationRows();
    try {
      await this.database.copy(COPY_ACTIVATIONS, writeActivations(rows, records));
      this.#rows.push(rows); // and not after a failure: it may still wait to be written to a dead connection
      return true;
    } catch (thrown) {
      if (thrown instanceof WeftError && violatedConstraint(thrown.cause) !== undefined) return false;
      throw thrown;
    }
  }
}

function conditions(query: ActivationQuery): { readonly where: string; readonly values: Value[] } {
  const values: Value[] = [query.namespace];
  const where = ["a.namespace = $1"];
  const add = (value: Value): string => `$${values.push(value)}`;
  if (query.name !== undefined) where.push(`a.name = ${add(query.name)}`);
  if (query.sinceWallMs !== undefined) where.push(`a.start_ms >= ${add(query.sinceWallMs)}`);
  if (query.uptoWallMs !== undefined) where.push(`a.start_ms <= ${add(query.uptoWallMs)}`);
  if (query.after) {
    where.push(`(a.start_ms, a.id) < (${add(query.after.startWallMs)}, ${add(query.after.id)}::uuid)`);
  }
  return { where: where.join(" and "), values };
}

// One statement is one transaction and one round trip.

const recordSync: Statement = {
  name: "record-sync",
  text: `with ${insertActivations(1)} select`,
};

const recordAndSettle: Statement = {
  name: "record-and-settle",
  text: `with settled as (delete from queue where id = any($1::uuid[])), ${insertActivations(2)} select`,
};

const selectOne: Statement = {
  name: "select-activation",
  text: `
    select ${activationColumns(true)}
    from activations a left join activation_logs l on l.id = $1::uuid
    where a.id = $1::uuid and a.namespace = $2`,
};
