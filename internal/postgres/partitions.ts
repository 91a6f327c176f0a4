// Partitions of activations and their logs, one per day. Ids begin with a time (base/ids.ts), so a day is a range of ids.

import type { Queryable } from "./database.js";

const DAY_MS = 86_400_000;
/** How many days after today are made ahead: the time an operator has to notice that maintenance does not run. */
const DAYS_AHEAD = 3;
/** Tables that are partitioned alike. */
const TABLES = ["activations", "activation_logs"] as const;

/** The smallest id of a time. */
export function firstIdAt(wallMs: number): string {
  return `${Math.floor(wallMs).toString(16).padStart(12, "0")}${"0".repeat(20)}`;
}

function suffixOf(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10).replaceAll("-", "");
}

/** The day of a partition's name; undefined for the default one. */
function dayOf(partition: string): number | undefined {
  const [, year, month, day] = /_(\d{4})(\d\d)(\d\d)$/.exec(partition) ?? [];
  return year === undefined ? undefined : Date.UTC(Number(year), Number(month) - 1, Number(day)) / DAY_MS;
}

/** One maintainer at a time, and none that waits long: others' statements queue behind one that waits for a table. */
const EXCLUSIVELY = ["set local lock_timeout = '3s'", "select pg_advisory_xact_lock(7366974, 2)"];

/**
 * Makes the partitions of yesterday, for what is recorded late, today and the days to come. To be called in a
 * transaction. May be repeated.
 */
export async function makePartitions(transaction: Queryable): Promise<void> {
  for (const statement of EXCLUSIVELY) await transaction.rows(statement);
  const { today, present } = await read(transaction);
  for (const table of TABLES) {
    for (let day = today - 1; day <= today + DAYS_AHEAD; day += 1) {
      const partition = `${table}_${suffixOf(day)}`;
      if (present.includes(partition)) continue;
      const range = [firstIdAt(day * DAY_MS), firstIdAt((day + 1) * DAY_MS)] as const;
      // Attached rather than created in place, which would lock the whole table. What came too early for its partition
      // is in the default one and must move first.
      await transaction.rows(`create table ${partition} (like ${table} including defaults including storage)`);
      await transaction.rows(
        `with moved as (delete from ${table}_default where id >= $1::uuid and id < $2::uuid returning *)
         insert into ${partition} select * from moved`,
        range,
      );
      await transaction.rows(
        `alter table ${table} attach partition ${partition} for values from ('${range[0]}') to ('${range[1]}')`,
      );
    }
  }
}

/** Drops the days that are wholly older. To be called in a transaction. May be repeated. */
export async function dropPartitions(transaction: Queryable, retentionDays: number): Promise<void> {
  for (const statement of EXCLUSIVELY) await transaction.rows(statement);
  const { today, present } = await read(transaction);
  for (const partition of present) {
    const day = dayOf(partition);
    if (day !== undefined && day < today - retentionDays) await transaction.rows(`drop table ${partition}`);
  }
}

/** Deletes what is older from the default partition, at most `limit`. @returns how many */
export async function trimDefault(database: Queryable, retentionDays: number, limit: number): Promise<number> {
  const rows = await database.rows(
    `with old as (
       delete from activations_default where id in
         (select id from activations_default
          where start_ms < extract(epoch from now()) * 1000 - $1::bigint * ${DAY_MS} limit $2)
       returning id),
     logs as (delete from activation_logs_default where id in (select id from old))
     select id from old`,
    [retentionDays, limit],
  );
  return rows.length;
}

async function read(transaction: Queryable): Promise<{ readonly today: number; readonly present: readonly string[] }> {
  const rows = await transaction.rows<{ readonly name: string }>(
    `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = any($1::regclass[])`,
    [`{${TABLES.join(",")}}`],
  );
  const [now] = await transaction.rows<{ readonly wall_ms: number }>(
    "select (extract(epoch from now()) * 1000)::bigint as wall_ms",
  );
  return { today: Math.floor((now?.wall_ms ?? 0) / DAY_MS), present: rows.map((row) => row.name) };
}
