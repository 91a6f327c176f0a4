// What happens over days and breaks: partitions, garbage, and watching through a broken connection. Time is moved by
// changing rows.

import { createHash } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";

import { eventually } from "../../test/harness/eventually.js";
import { migratedDatabase, type TestDatabase } from "../../test/harness/postgres.js";
import { describeWith } from "../../test/harness/services.js";
import { silentLog } from "../base/log.js";
import { systemClock, systemRandom } from "../boot/system.js";
import { revisionOf } from "../core/action/action.js";
import type { Build } from "../core/action/types.js";
import { anAction, aPackage, revisionFor } from "../core/action/store.suite.js";
import { anActivation, anId } from "../core/activation/store.suite.js";
import { aNamespace } from "../core/tenancy/store.suite.js";
import { announce } from "./changes.js";
import { Database } from "./database.js";
import { makePartitions } from "./partitions.js";
import { openStores, type Stores } from "./stores.js";

const DAY_MS = 86_400_000;
const aBinding = () => aPackage({ namespace: "team", name: "mine", binding: { namespace: "guest", name: "tools" } });
const deps = { clock: systemClock, random: systemRandom(), log: silentLog };
const suffix = (wallMs: number): string => new Date(wallMs).toISOString().slice(0, 10).replaceAll("-", "");

describeWith(["postgres"], "a database that Weft has used for a while", () => {
  let here: TestDatabase;
  let database: Database;
  let stores: Stores;
  beforeAll(async () => {
    here = await migratedDatabase();
    stores = await openStores(deps, here.url, { applicationName: "weft-test", connectionsMax: 4 });
    database = new Database(deps, here.url, { applicationName: "weft-test-admin", connectionsMax: 2 });
  });
  afterAll(async () => {
    await Promise.all([stores.close(), database.close()]);
    await here.drop();
  });
  beforeEach(async () => {
    await database.rows(
      "truncate namespaces, keys, entities, rule_links, alarms, webhooks, code, revisions, builds, queue, activations, activation_logs, apis, api_keys",
    );
    await stores.tenancy.ensureNamespace(aNamespace());
  });

  const partitions = async (): Promise<string[]> => {
    const rows = await database.rows<{ readonly name: string }>(
      "select inhrelid::regclass::text as name from pg_inherits where inhparent = 'activations'::regclass order by 1",
    );
    return rows.map(({ name }) => name);
  };
  const where = async (id: string): Promise<unknown> =>
    (await database.rows("select tableoid::regclass::text as name from activations where id = $1", [id]))[0]?.["name"];

  it("has a partition for yesterday, today and three days to come, and drops those past retention", async () => {
    const now = Date.now();
    await stores.activations.maintain(7);
    const days = [-1, 0, 1, 2, 3].map((day) => `activations_${suffix(now + day * DAY_MS)}`);
    expect(await partitions()).toEqual([...days, "activations_default"].sort());

    for (const table of ["activations", "activation_logs"]) {
      for (const [year, month] of [
        [2001, "01"],
        [2001, "02"],
      ]) {
        const from = Date.UTC(Number(year), Number(month) - 1, 1);
        const bound = (wallMs: number): string => `${wallMs.toString(16).padStart(12, "0")}${"0".repeat(20)}`;
        await database.rows(
          `create table ${table}_${year}${month}01 partition of ${table} for values from ('${bound(from)}') to ('${bound(from + DAY_MS)}')`,
        );
      }
    }
    const old = anActivation({ startWallMs: Date.UTC(2001, 1, 1, 12), logs: ["old"] });
    await stores.activations.record([{ activation: old, async: false }]);
    expect(await where(old.id)).toBe("activations_20010201");
    await stores.activations.maintain(7);
    expect(await partitions()).toEqual([...days, "activations_default"].sort());
    await expect(stores.activations.get("guest", old.id)).rejects.toMatchObject({ kind: "notFound" });
  });

  it("moves what came before its partition was there into it", async () => {
    const day = Date.now() + 3 * DAY_MS;
    for (const table of ["activations", "activation_logs"]) await database.rows(`drop table ${table}_${suffix(day)}`);
    const early = anActivation({ id: anId(day), startWallMs: day, logs: ["early"] });
    await stores.activations.record([{ activation: early, async: false }]);
    expect(await where(early.id)).toBe("activations_default");
    await database.transaction(makePartitions);
    expect(await where(early.id)).toBe(`activations_${suffix(day)}`);
    expect(await stores.activations.get("guest", early.id)).toEqual(early);
    await stores.activations.record([{ activation: { ...early, logs: ["again"] }, async: false }]);
    expect(await stores.activations.get("guest", early.id)).toEqual(early);
  });

  it("finds a record in one partition, and walks an index for a list", async () => {
    await stores.activations.record(
      Array.from({ length: 500 }, (_, i) => ({
        activation: anActivation({ startWallMs: Date.now() - i }),
        async: false,
      })),
    );
    await database.rows("analyze activations");
    const plan = async (sql: string): Promise<string> =>
      (await database.rows<Record<string, string>>(`explain ${sql}`)).map((row) => row["QUERY PLAN"]).join("\n");
    const one = await plan(`select * from activations where id = '${anId(Date.now())}'`);
    expect(one.match(/Index Scan/g)).toHaveLength(1);
    for (const name of ["", "and name = 'hello'"]) {
      const list = await plan(
        `select id from activations where namespace = 'guest' ${name} order by start_ms desc, id desc limit 30`,
      );
      expect(list).toContain("Merge Append");
      // Ties are sorted by id as they come: no list is sorted as a whole.
      expect(list).toContain("Presorted Key: activations.start_ms");
      expect(list.replaceAll("Incremental Sort", "")).not.toMatch(/-> +Sort /);
      expect(list).toMatch(/Index (Only )?Scan Backward/);
    }
  });

  const age = (interval: string): Promise<unknown> =>
    database.rows(`update revisions set retired_at = retired_at - interval '${interval}'`);
  const count = async (table: string): Promise<unknown> =>
    (await database.rows(`select count(*) as total from ${table}`))[0]?.["total"];

  it("forgets revisions an hour after they were replaced, and code when nothing refers to it", async () => {
    const [shared, own] = [Buffer.from("shared"), Buffer.from("own")];
    const a = anAction({ name: "a" }, shared);
    const b = anAction({ name: "b" }, shared);
    const c = anAction({ name: "c" }, own);
    for (const [draft, code] of [
      [a, shared],
      [b, shared],
      [c, own],
    ] as const) {
      await stores.entities.createAction(draft, code, revisionFor(draft));
    }
    expect(await count("code")).toBe(2);
    await stores.entities.deleteAction("guest", "a", undefined);
    await stores.entities.deleteAction("guest", "c", undefined);
    await age("59 minutes");
    await stores.activations.maintain(7);
    expect(await stores.entities.getRevision(c.revisionId)).toMatchObject({ actionKey: "guest/c" });
    await age("2 minutes");
    await stores.activations.maintain(7);
    for (const gone of [a, c]) {
      await expect(stores.entities.getRevision(gone.revisionId)).rejects.toMatchObject({ kind: "notFound" });
    }
    await expect(stores.entities.getCode(c.exec.codeDigest)).rejects.toMatchObject({ kind: "notFound" });
    expect(await stores.entities.getCode(b.exec.codeDigest)).toHaveLength(shared.length);
  });

  it("forgets what went with a package or a namespace, too, and with the next write of an action", async () => {
    await stores.entities.createPackage(aPackage());
    const packaged = anAction({ name: "tools/a" });
    await stores.entities.createAction(packaged, Buffer.from("1"), revisionFor(packaged));
    await stores.entities.deletePackage("guest", "tools", undefined, true);
    await stores.tenancy.ensureNamespace(aNamespace({ name: "other" }));
    const theirs = anAction({ namespace: "other" });
    await stores.entities.createAction(theirs, Buffer.from("1"), revisionFor(theirs));
    await stores.tenancy.deleteNamespace("other");
    await age("61 minutes");
    const next = anAction({ name: "next" }, Buffer.from("next"));
    await stores.entities.createAction(next, Buffer.from("next"), revisionFor(next));
    expect(await count("revisions")).toBe(1);
    expect(await count("code")).toBe(1);
  });

  it("forgets a build a day after it was asked for, and its artifact when no revision loads that", async () => {
    const built = (name: string) => {
      const [source, artifact] = [Buffer.from(`source of ${name}`), Buffer.from(`program of ${name}`)];
      const digest = createHash("sha256").update(artifact).digest("hex");
      const build: Build = {
        digest: `build of ${name}`,
        step: "compile",
        artifact: { digest, size: artifact.length },
        lock: "",
        diagnostics: [],
        problem: "",
        durationMs: 1,
      };
      return { source, artifact, build };
    };
    const ageBuilds = (interval: string): Promise<unknown> =>
      database.rows(`update builds set used_at = used_at - interval '${interval}'`);
    const [loaded, loose, asked] = [built("loaded"), built("loose"), built("asked")];
    const failed: Build = { ...built("failed").build, artifact: undefined, problem: "it does not build" };
    for (const { build, artifact } of [loaded, loose, asked]) await stores.builds.keep(build, artifact);
    await stores.builds.keep(failed, undefined);
    const source = anAction({ name: "built" }, loaded.source);
    const action = { ...source, exec: { ...source.exec, build: loaded.build } };
    await stores.entities.createAction(action, loaded.source, revisionOf(action, undefined));
    expect(await count("code")).toBe(4); // three artifacts and a source

    await ageBuilds("23 hours");
    await stores.activations.maintain(7);
    expect(await count("builds")).toBe(4);
    expect(await stores.builds.find(asked.build.digest)).toEqual(asked.build); // asked for: it stays another day
    await ageBuilds("2 hours");
    await stores.activations.maintain(7);
    expect(await stores.builds.find(asked.build.digest)).toEqual(asked.build);
    for (const gone of [loaded.build, loose.build, failed]) {
      expect(await stores.builds.find(gone.digest)).toBeUndefined();
    }
    const codeOf = (digest: string): Promise<Uint8Array> => stores.entities.getCode(digest);
    await expect(codeOf(loose.build.artifact?.digest ?? "")).rejects.toMatchObject({ kind: "notFound" });
    expect(Buffer.from(await codeOf(loaded.build.artifact?.digest ?? ""))).toEqual(loaded.artifact);
    expect(Buffer.from(await codeOf(source.exec.codeDigest))).toEqual(loaded.source);

    // The revision was the last that held its artifact and its source.
    await stores.entities.deleteAction("guest", "built", undefined);
    await age("61 minutes");
    await stores.activations.maintain(7);
    expect(await count("code")).toBe(1);
    await ageBuilds("25 hours");
    await stores.activations.maintain(7);
    expect([await count("builds"), await count("code")]).toEqual([0, 0]);
  });

  it.each<[string, (entities: Stores["entities"]) => Promise<unknown>]>([
    ["the binding was written", (e) => e.updatePackage(aBinding(), 1, [])],
    ["the binding was deleted", (e) => e.deletePackage("team", "mine", undefined, false)],
    ["the binding's namespace was deleted", () => stores.tenancy.deleteNamespace("team")],
    ["the action was deleted", (e) => e.deleteAction("guest", "tools/a", undefined)],
    ["the action's package was deleted", (e) => e.deletePackage("guest", "tools", undefined, true)],
    ["the action's namespace was deleted", () => stores.tenancy.deleteNamespace("guest")],
  ])("forgets a revision that was made for a binding an hour after %s", async (_name, write) => {
    const { entities, tenancy } = stores;
    await tenancy.ensureNamespace(aNamespace({ name: "team" }));
    await entities.createPackage(aPackage());
    const action = anAction({ name: "tools/a" });
    await entities.createAction(action, Buffer.from("1"), revisionFor(action));
    const binding = await entities.createPackage(aBinding());
    const derived = { ...revisionFor(action), revisionId: "d".repeat(32) };
    await entities.keepRevision(derived, action.revisionId, binding);
    await age("61 minutes");
    await stores.activations.maintain(7);
    expect(await entities.getRevision(derived.revisionId)).toEqual(derived);
    await write(entities);
    await age("61 minutes");
    await stores.activations.maintain(7);
    await expect(entities.getRevision(derived.revisionId)).rejects.toMatchObject({ kind: "notFound" });
  });

  it("does not forget code that somebody stores again at that moment", async () => {
    for (let round = 0; round < 20; round += 1) {
      const code = Buffer.from(`round ${round}`);
      const first = anAction({ name: "first" }, code);
      await stores.entities.createAction(first, code, revisionFor(first));
      await stores.entities.deleteAction("guest", "first", undefined);
      await age("61 minutes");
      const second = anAction({ name: "second" }, code);
      await Promise.all([
        stores.entities.createAction(second, code, revisionFor(second)),
        stores.activations.maintain(7),
      ]);
      expect(await stores.entities.getCode(second.exec.codeDigest)).toHaveLength(code.length);
      await stores.entities.deleteAction("guest", "second", undefined);
    }
  });

  it("tells a watcher to forget everything when its connection was cut, and goes on telling it of changes", async () => {
    const controller = new AbortController();
    const names: string[] = [];
    let resets = 0;
    const watching = stores.entities.watch(
      {
        changed: ({ name }) => names.push(name),
        reset: () => {
          resets += 1;
        },
      },
      controller.signal,
    );
    await eventually(() => resets === 1);
    for (let cuts = 1; cuts <= 3; cuts += 1) {
      await database.rows(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like 'listen%'",
      );
      await eventually(() => resets === cuts + 1);
      await stores.entities.createPackage(aPackage({ name: `p${cuts}` }));
      await eventually(() => names.includes(`p${cuts}`));
    }
    controller.abort();
    await watching;
  });

  it("tells a watcher to forget everything when a change is too long to be told", async () => {
    const controller = new AbortController();
    let resets = 0;
    const watching = stores.entities.watch({ changed: () => undefined, reset: () => (resets += 1) }, controller.signal);
    await eventually(() => resets === 1);
    await database.transaction((transaction) => announce(transaction, [{ namespace: "n".repeat(9_000), name: "" }]));
    await eventually(() => resets === 2);
    controller.abort();
    await watching;
  });
});
