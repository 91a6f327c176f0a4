import { afterEach, beforeEach, expect, it } from "vitest";

import { emptyDatabase, type TestDatabase } from "../../test/harness/postgres.js";
import { describeWith } from "../../test/harness/services.js";
import { silentLog } from "../base/log.js";
import { Database } from "./database.js";
import { checkSchema, migrate } from "./migrate.js";
import { migrations } from "./migrations.js";

describeWith(["postgres"], "migration", () => {
  let here: TestDatabase;
  const databases: Database[] = [];
  const open = (): Database => {
    const database = new Database({ log: silentLog }, here.url, { applicationName: "weft-test", connectionsMax: 2 });
    databases.push(database);
    return database;
  };
  beforeEach(async () => {
    here = await emptyDatabase();
  });
  afterEach(async () => {
    for (const database of databases.splice(0)) await database.close();
    await here.drop();
  });

  it("is done by one of many that try at once, and is nothing the next time", async () => {
    const applied = await Promise.all([1, 2, 3, 4].map(() => migrate(open())));
    expect(applied.flat()).toHaveLength(migrations.length);
    expect(await migrate(open())).toEqual([]);
    await checkSchema(open());
  });

  it("that is missing is told, with what brings it", async () => {
    const database = open();
    await expect(checkSchema(database)).rejects.toMatchObject({ reason: "SCHEMA_OUTDATED", fix: "npx weft migrate" });
    await migrate(database);
    await database.rows("delete from weft_migrations where number = $1", [migrations.length]);
    await expect(checkSchema(database)).rejects.toMatchObject({ reason: "SCHEMA_OUTDATED" });
  });

  it("of a newer version, or of another text, stops this one before it touches anything", async () => {
    const database = open();
    await migrate(database);
    await database.rows("insert into weft_migrations (number, name, checksum) values (1000, 'future', 'x')");
    for (const look of [migrate, checkSchema]) {
      await expect(look(database)).rejects.toMatchObject({ kind: "failedPrecondition", reason: "SCHEMA_NEWER" });
    }
    await database.rows("delete from weft_migrations where number = 1000");
    await database.rows("update weft_migrations set checksum = 'x' where number = 1");
    for (const look of [migrate, checkSchema]) {
      await expect(look(database)).rejects.toMatchObject({ kind: "failedPrecondition", reason: "SCHEMA_CHANGED" });
    }
  });

  it("has numbers without gaps", () => {
    expect(migrations.map(({ number }) => number)).toEqual(migrations.map((_, i) => i + 1));
  });
});
