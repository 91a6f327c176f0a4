// What callers are told when Postgres is not there, not theirs, too slow or gone in the middle, and that work goes on when
// it is back.

import { createServer, type Server, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { eventually } from "../../test/harness/eventually.js";
import { migratedDatabase, emptyDatabase, type TestDatabase } from "../../test/harness/postgres.js";
import { describeWith, requireService } from "../../test/harness/services.js";
import { WeftError } from "../base/errors.js";
import { silentLog } from "../base/log.js";
import { systemClock, systemRandom } from "../boot/system.js";
import { Database, type DatabaseOptions } from "./database.js";
import { openStores } from "./stores.js";

const deps = { clock: systemClock, random: systemRandom(), log: silentLog };
const options: DatabaseOptions = { applicationName: "weft-test-database", connectionsMax: 2 };

const changed = (url: string, change: (url: URL) => void): string => {
  const other = new URL(url);
  change(other);
  return other.href;
};

describe("the URL of Postgres", () => {
  it.each(["", "127.0.0.1:5432", "mysql://a@b/c", "postgres://us er:p@ss@:x/"])(
    'is refused when it is "%s", without showing it',
    (url) => {
      expect(() => new Database(deps, url, options)).toThrow(expect.objectContaining({ reason: "BAD_STORE_URL" }));
    },
  );

  it("is shown without its password", () => {
    expect(new Database(deps, "postgres://weft:secret@db.example:5433/weft", options).where).toBe(
      "db.example:5433/weft",
    );
    expect(new Database(deps, "postgres://weft:secret@localhost/weft?host=%2Frun%2Fpg", options).where).toBe(
      "/run/pg/weft",
    );
  });
});

describe("a Postgres that is not there", () => {
  const servers: Server[] = [];
  const sockets: Socket[] = [];
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
    for (const server of servers.splice(0)) server.close();
  });

  const listen = async (onSocket: (socket: Socket) => void): Promise<string> => {
    const server = createServer((socket) => {
      sockets.push(socket);
      onSocket(socket);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `postgres://weft:secret@127.0.0.1:${(server.address() as { readonly port: number }).port}/weft`;
  };

  it("is named, with what brings it", async () => {
    const url = await listen(() => undefined);
    const [server] = servers.splice(0);
    await new Promise((resolve) => server?.close(resolve));
    const error = await openStores(deps, url, options).then(
      () => undefined,
      (thrown: unknown) => thrown as WeftError,
    );
    expect(error).toMatchObject({ kind: "unavailable", reason: "STORE_UNAVAILABLE" });
    expect(error?.message).toMatch(/^Postgres cannot be reached at 127\.0\.0\.1:\d+\/weft: connect ECONNREFUSED/);
    expect(error?.message).not.toContain("secret");
    expect(error?.fix).toContain("deploy/local/install");
  });

  it("is told by a socket that does not exist, and by a host that does not", async () => {
    for (const url of ["postgres://u:p@localhost/weft?host=%2Fnowhere", "postgres://u:p@nowhere.invalid/weft"]) {
      await expect(openStores(deps, url, options)).rejects.toMatchObject({
        kind: "unavailable",
        reason: "STORE_UNAVAILABLE",
      });
    }
  });

  it("is given up when something accepts and says nothing", async () => {
    const url = await listen(() => undefined);
    await expect(openStores(deps, url, { ...options, connectTimeoutMs: 100 })).rejects.toMatchObject({
      kind: "unavailable",
    });
  });

  it("is given up when something hangs up", async () => {
    const url = await listen((socket) => socket.end());
    await expect(openStores(deps, url, options)).rejects.toMatchObject({ kind: "unavailable" });
  });
});

describeWith(["postgres"], "a database in Postgres", () => {
  let here: TestDatabase;
  let database: Database;
  beforeAll(async () => {
    here = await migratedDatabase();
    database = new Database(deps, here.url, { ...options, statementTimeoutMs: 300 });
    await database.rows("create table t (k int primary key, v int not null)");
  });
  afterAll(async () => {
    await database.close();
    await here.drop();
  });

  it("that does not let us in is a mistake of ours, with what mends it", async () => {
    const url = requireService("postgres");
    for (const wrong of [
      changed(url, (u) => (u.password = "wrong")),
      changed(url, (u) => (u.username = "nobody_here")),
      changed(url, (u) => (u.pathname = "/no_such_database")),
    ]) {
      await expect(openStores(deps, wrong, options)).rejects.toMatchObject({
        kind: "failedPrecondition",
        reason: "STORE_REFUSED",
        fix: expect.any(String) as string,
      });
    }
  });

  it("without our tables says so, and can be migrated", async () => {
    const empty = await emptyDatabase();
    try {
      await expect(openStores(deps, empty.url, options)).rejects.toMatchObject({
        kind: "failedPrecondition",
        reason: "SCHEMA_OUTDATED",
        fix: "npx weft migrate",
      });
      const stores = await openStores(deps, empty.url, { ...options, migrate: true });
      expect(await stores.queue.depth()).toBe(0);
      await stores.close();
    } finally {
      await empty.drop();
    }
  });

  it("ends a statement that runs too long, and serves the next", async () => {
    await expect(database.rows("select pg_sleep(5)")).rejects.toMatchObject({
      kind: "unavailable",
      reason: "STORE_TOO_SLOW",
    });
    expect(await database.rows("select 1 as one")).toEqual([{ one: 1 }]);
  });

  it("keeps the connection after a refusal, and rolls back what came before it", async () => {
    const pid = async (): Promise<unknown> => database.rows("select pg_backend_pid() as pid");
    const before = await pid();
    await expect(
      database.transaction(async (transaction) => {
        await transaction.rows("insert into t values (1, 1)");
        await transaction.rows("insert into t values (1, 2)");
      }),
    ).rejects.toMatchObject({ kind: "internal", reason: "STORE_FAILED" });
    await expect(
      database.transaction(async (transaction) => {
        await transaction.rows("insert into t values (2, 1)");
        throw new WeftError("notFound", "X", "x");
      }),
    ).rejects.toMatchObject({ kind: "notFound" });
    expect(await database.rows("select * from t where k in (1, 2)")).toEqual([]);
    expect(await pid()).toEqual(before);
  });

  it("replaces a connection that was cut, in the middle of a transaction as well as idle", async () => {
    const cut =
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and datname = current_database()";
    const killer = new Database(deps, here.url, { applicationName: "weft-test-killer", connectionsMax: 1 });
    try {
      await expect(
        database.transaction(async (transaction) => {
          await transaction.rows("insert into t values (3, 1)");
          await killer.rows(cut, [options.applicationName]);
          await transaction.rows("insert into t values (4, 1)");
        }),
      ).rejects.toMatchObject({ kind: "unavailable" });
      expect(await killer.rows("select * from t where k in (3, 4)")).toEqual([]);
      // The end of an idle connection may be noticed only by the statement that finds it dead; it is told so.
      await eventually(() => database.rows("select 1"));
      await killer.rows(cut, [options.applicationName]);
      expect(await eventually(() => database.rows("select 1 as one"))).toEqual([{ one: 1 }]);
    } finally {
      await killer.close();
    }
  });

  it("runs the loser of a deadlock again", async () => {
    await database.rows("insert into t values (10, 0), (11, 0)");
    const patient = new Database(deps, here.url, { ...options, statementTimeoutMs: 20_000 });
    const both = [10, 11];
    let waiting = 0;
    let meet = (): void => undefined;
    const met = new Promise<void>((resolve) => (meet = resolve));
    const add = (first: number | undefined, second: number | undefined): Promise<void> =>
      patient.transaction(async (transaction) => {
        await transaction.rows("update t set v = v + 1 where k = $1", [first]);
        if ((waiting += 1) === 2) meet();
        await met;
        await transaction.rows("update t set v = v + 1 where k = $1", [second]);
      });
    await Promise.all([add(both[0], both[1]), add(both[1], both[0])]);
    // The loser may come back before the winner has woken, and lose once more.
    expect(waiting).toBeGreaterThanOrEqual(3);
    expect(await database.rows("select v from t where k in (10, 11)")).toEqual([{ v: 2 }, { v: 2 }]);
    await patient.close();
  });

  it("refuses text that it cannot hold as the caller's mistake", async () => {
    await expect(database.rows("select $1::text", ["a\0b"])).rejects.toMatchObject({
      kind: "invalidArgument",
      reason: "INVALID_TEXT",
    });
  });
});
