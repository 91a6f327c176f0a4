// Brings a database to the schema of this version. Each migration is one transaction; any number of processes may try at
// once, and one of them does it.

import { createHash } from "node:crypto";

import { WeftError } from "../base/errors.js";
import type { Database, Queryable } from "./database.js";
import { sqlState } from "./errors.js";
import { migrations, type Migration } from "./migrations.js";
import { makePartitions } from "./partitions.js";

const checksumOf = (migration: Migration): string => createHash("sha256").update(migration.sql).digest("hex");

/** @returns names of what was applied now; empty when the schema was current */
export async function migrate(database: Database): Promise<readonly string[]> {
  const applied: string[] = [];
  for (const migration of migrations) {
    const now = await database.transaction(async (transaction) => {
      // Held to the end of the transaction: the second comer finds the work done.
      await transaction.rows("select pg_advisory_xact_lock(7366974, 1)");
      await transaction.rows("set local statement_timeout = 0");
      await transaction.rows(createTable);
      const known = await readApplied(transaction);
      checkHistory(known, database.where);
      if (known.some((row) => row.number === migration.number)) return false;
      await transaction.rows(migration.sql);
      await transaction.rows(remember, [migration.number, migration.name, checksumOf(migration)]);
      return true;
    });
    if (now) applied.push(`${String(migration.number).padStart(4, "0")}-${migration.name}`);
  }
  await database.transaction(makePartitions);
  return applied;
}

/**
 * @throws failedPrecondition SCHEMA_OUTDATED when the database lacks migrations, SCHEMA_NEWER when it has some that this
 * version does not know, SCHEMA_CHANGED when one was edited after it was applied; unavailable when it cannot be reached
 */
export async function checkSchema(database: Database): Promise<void> {
  const known = await readApplied(database).catch((thrown: unknown) => {
    if (thrown instanceof WeftError && sqlState(thrown.cause) === "42P01") return [];
    throw thrown;
  });
  checkHistory(known, database.where);
  const missing = migrations.filter((migration) => !known.some((row) => row.number === migration.number));
  if (missing.length > 0) {
    throw new WeftError(
      "failedPrecondition",
      "SCHEMA_OUTDATED",
      `the database at ${database.where} lacks ${missing.length} of ${migrations.length} migrations`,
      { fix: "npx weft migrate" },
    );
  }
}

interface AppliedRow {
  readonly number: number;
  readonly name: string;
  readonly checksum: string;
}

function checkHistory(known: readonly AppliedRow[], where: string): void {
  for (const row of known) {
    const migration = migrations.find(({ number }) => number === row.number);
    if (!migration) {
      throw new WeftError(
        "failedPrecondition",
        "SCHEMA_NEWER",
        `the database at ${where} has migration ${row.number} (${row.name}) of a newer version`,
        { fix: "run that version of Weft or a later one" },
      );
    }
    if (checksumOf(migration) !== row.checksum) {
      throw new WeftError(
        "failedPrecondition",
        "SCHEMA_CHANGED",
        `the database at ${where} was migrated by another text of migration ${row.number} (${row.name})`,
        { fix: "run the version of Weft that migrated it, or give this one a database of its own" },
      );
    }
  }
}

function readApplied(from: Queryable): Promise<readonly AppliedRow[]> {
  return from.rows<AppliedRow>("select number, name, checksum from weft_migrations order by number");
}

const createTable = `
  create table if not exists weft_migrations (
    number      integer primary key,
    name        text not null,
    checksum    text not null,
    applied_at  timestamptz not null default now()
  )`;

const remember = "insert into weft_migrations (number, name, checksum) values ($1, $2, $3)";
