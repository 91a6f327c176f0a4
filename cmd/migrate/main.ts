// Brings the database to the schema of this version, and ends. May run again, and beside itself.

import { runCommand } from "../../internal/boot/command.js";
import { migrateDatabase } from "../../internal/postgres/stores.js";
import { migrateConfig } from "./config.js";

/** A migration may rewrite a large table. */
const STATEMENT_TIMEOUT_MS = 3_600_000;

await runCommand("migrate", migrateConfig, async ({ config, clock, random, log, instanceId }) => {
  const applied = await migrateDatabase({ clock, random, log }, config.postgresUrl, {
    applicationName: instanceId,
    connectionsMax: 2,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  });
  log.info(applied.length === 0 ? "the database is current" : "the database was migrated", { applied });
  return "done";
});
