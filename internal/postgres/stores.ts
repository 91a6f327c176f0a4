// All that Weft keeps in Postgres, opened together.

import type { Clock } from "../base/clock.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import type { BuildStore } from "../core/action/build.js";
import type { EntityStore } from "../core/action/store.js";
import type { ActivationStore } from "../core/activation/store.js";
import type { FeedStore } from "../core/feed/store.js";
import type { ApiStore } from "../core/api/store.js";
import type { QueueStore } from "../core/queue/store.js";
import type { SealStore } from "../core/sealing/store.js";
import type { TenancyStore } from "../core/tenancy/store.js";
import { PostgresActivationStore } from "./activation-store.js";
import { PostgresApiStore } from "./api-store.js";
import { PostgresBuildStore } from "./build-store.js";
import { Database, type DatabaseOptions } from "./database.js";
import { PostgresEntityStore } from "./entity-store.js";
import { PostgresFeedStore } from "./feed-store.js";
import { checkSchema, migrate } from "./migrate.js";
import { PostgresQueueStore } from "./queue-store.js";
import { PostgresSealStore } from "./seal-store.js";
import { PostgresTenancyStore } from "./tenancy-store.js";

export interface StoreDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface StoreOptions extends DatabaseOptions {
  /** True migrates the database first; otherwise it must be at the schema of this version. Default false. */
  readonly migrate?: boolean;
}

export interface Stores {
  readonly entities: EntityStore;
  readonly builds: BuildStore;
  readonly activations: ActivationStore;
  readonly queue: QueueStore;
  readonly feeds: FeedStore;
  readonly tenancy: TenancyStore;
  readonly seals: SealStore;
  readonly apis: ApiStore;
  /** Waits for what is running. Watches must have been aborted before. */
  close(): Promise<void>;
}

/**
 * Opens every store on one pool.
 * @throws unavailable STORE_UNAVAILABLE when Postgres cannot be reached, failedPrecondition STORE_REFUSED when it does not
 * let us in, and what checkSchema throws; nothing is left open then
 */
export async function openStores(deps: StoreDeps, url: string, options: StoreOptions): Promise<Stores> {
  const database = new Database(deps, url, options);
  try {
    if (options.migrate === true) {
      const applied = await migrate(database);
      if (applied.length > 0) deps.log.info("the database was migrated", { applied });
    } else await checkSchema(database);
  } catch (thrown) {
    await database.close();
    throw thrown;
  }
  return {
    entities: new PostgresEntityStore({ ...deps, database }),
    builds: new PostgresBuildStore(database),
    activations: new PostgresActivationStore(database),
    queue: new PostgresQueueStore(database),
    feeds: new PostgresFeedStore(database),
    tenancy: new PostgresTenancyStore(database),
    seals: new PostgresSealStore(database),
    apis: new PostgresApiStore(database),
    close: () => database.close(),
  };
}

/**
 * For the migrate command: brings the database to the schema of this version.
 * @returns names of what was applied now; empty when it was current
 */
export async function migrateDatabase(
  deps: StoreDeps,
  url: string,
  options: DatabaseOptions,
): Promise<readonly string[]> {
  const database = new Database(deps, url, options);
  try {
    return await migrate(database);
  } finally {
    await database.close();
  }
}
