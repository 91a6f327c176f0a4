// The stores against a real Postgres. Two sets of stores on one database stand for two processes.

import { afterAll, beforeAll } from "vitest";

import { silentLog } from "../base/log.js";
import { systemClock, systemRandom } from "../boot/system.js";
import { entityStoreSuite } from "../core/action/store.suite.js";
import { apiStoreSuite } from "../core/api/store.suite.js";
import { activationStoreSuite } from "../core/activation/store.suite.js";
import { feedStoreSuite } from "../core/feed/store.suite.js";
import type { EntityStore } from "../core/action/store.js";
import { KeyRing, sealingKey } from "../core/sealing/key-ring.js";
import { SealedEntityStore } from "../core/sealing/sealed-entities.js";
import { sealStoreSuite } from "../core/sealing/store.suite.js";
import { queueStoreSuite } from "../core/queue/store.suite.js";
import { tenancyStoreSuite } from "../core/tenancy/store.suite.js";
import { migratedDatabase, type TestDatabase } from "../../test/harness/postgres.js";
import { describeWith } from "../../test/harness/services.js";
import { Database } from "./database.js";
import { openStores, type Stores } from "./stores.js";

describeWith(["postgres"], "the stores in Postgres", () => {
  let here: TestDatabase;
  let database: Database;
  let stores: Stores;
  let others: Stores;

  beforeAll(async () => {
    here = await migratedDatabase();
    const deps = { clock: systemClock, random: systemRandom(), log: silentLog };
    const options = { applicationName: "weft-test", connectionsMax: 5 };
    stores = await openStores(deps, here.url, options);
    others = await openStores(deps, here.url, options);
    database = new Database(deps, here.url, options);
  });

  afterAll(async () => {
    await Promise.all([stores.close(), others.close(), database.close()]);
    await here.drop();
  });

  const empty = async (): Promise<void> => {
    await database.rows(
      "truncate namespaces, keys, entities, rule_links, alarms, webhooks, code, revisions, builds, queue, activations, activation_logs, blocked_subjects, parameter_keys, apis, api_keys",
    );
  };

  activationStoreSuite("PostgresActivationStore", async () => {
    await empty();
    return { store: stores.activations, other: others.activations };
  });

  queueStoreSuite("PostgresQueueStore", async () => {
    await empty();
    return { queue: stores.queue, other: others.queue, activations: stores.activations };
  });

  feedStoreSuite("PostgresFeedStore", async () => {
    await empty();
    return { ...stores, other: others.feeds };
  });

  tenancyStoreSuite("PostgresTenancyStore", async () => {
    await empty();
    return { store: stores.tenancy, other: others.tenancy };
  });

  const listed = (rows: readonly unknown[]): string => JSON.stringify(rows);

  sealStoreSuite("PostgresSealStore", async () => {
    await empty();
    return {
      ...stores,
      raw: async () =>
        listed([
          await database.rows("select parameters from entities"),
          await database.rows("select init_parameters from revisions"),
          await database.rows("select params from queue"),
        ]),
    };
  });

  const ring = new KeyRing(sealingKey("suite", new Uint8Array(32).fill(7)), []);
  entityStoreSuite("SealedEntityStore over Postgres", async () => {
    await empty();
    const [store, other] = [stores.entities, others.entities].map((inner) => new SealedEntityStore(inner, ring));
    return { store: store as EntityStore, other: other as EntityStore, tenancy: stores.tenancy };
  });

  apiStoreSuite("PostgresApiStore", async () => {
    await empty();
    return { store: stores.apis, other: others.apis, tenancy: stores.tenancy, entities: others.entities };
  });

  entityStoreSuite("PostgresEntityStore", async () => {
    await empty();
    return { store: stores.entities, other: others.entities, tenancy: stores.tenancy };
  });
});
