// The embedded server is the real one of npm's package. What a killed owner leaves is tried with a process of its own,
// which runs the compiled code.

import { spawn, type ChildProcess } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { eventually } from "../../test/harness/eventually.js";
import { silentLog } from "../base/log.js";
import { systemClock, systemRandom } from "../boot/system.js";
import { Database } from "./database.js";
import { startEmbeddedPostgres, type EmbeddedPostgres } from "./embedded.js";
import { openStores } from "./stores.js";

const deps = { clock: systemClock, random: systemRandom(), log: silentLog };
const options = { applicationName: "weft-test", connectionsMax: 2 };
const root = process.getuid?.() === 0;
const compiled = fileURLToPath(new URL("../../dist/internal/postgres/embedded.js", import.meta.url));

describe("embedded Postgres", () => {
  let scratch: string;
  let directory: string;
  const started: EmbeddedPostgres[] = [];
  const children: ChildProcess[] = [];

  beforeEach(() => {
    scratch = mkdtempSync(join(tmpdir(), "weft-embedded-"));
    chmodSync(scratch, 0o711); // the account that root's server runs as must come through
    directory = join(scratch, "postgres");
  });

  afterEach(async () => {
    for (const child of children.splice(0)) child.kill("SIGKILL");
    for (const server of started.splice(0)) await server.stop();
    rmSync(scratch, { recursive: true, force: true });
  });

  const start = async (where = directory): Promise<EmbeddedPostgres> => {
    const server = await startEmbeddedPostgres(deps, where);
    started.push(server);
    return server;
  };

  const ask = async (url: string, sql: string): Promise<readonly Record<string, unknown>[]> => {
    const database = new Database(deps, url, options);
    try {
      return await database.rows(sql);
    } finally {
      await database.close();
    }
  };

  /** An owner in a process of its own; resolves when its server runs. */
  const startElsewhere = async (
    then = "setInterval(() => undefined, 1_000);",
  ): Promise<{ readonly child: ChildProcess; readonly url: string }> => {
    const program = `
      const { startEmbeddedPostgres } = await import(${JSON.stringify(compiled)});
      const { systemClock, systemRandom } = await import(${JSON.stringify(join(dirname(compiled), "../boot/system.js"))});
      const log = { debug() {}, info() {}, warn() {}, error() {}, with: () => log };
      const server = await startEmbeddedPostgres({ clock: systemClock, random: systemRandom(), log }, process.argv[1]);
      console.log(server.url);
      ${then}`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program, "--", directory], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.push(child);
    const url = await new Promise<string>((resolve, reject) => {
      let text = "";
      child.stdout.setEncoding("utf8");
      child.stdout.on("data", (chunk: string) => {
        text += chunk;
        if (text.includes("\n")) resolve(text.trim());
      });
      child.once("exit", (code) => {
        reject(new Error(`the owner exited with ${code}`));
      });
    });
    return { child, url };
  };

  const exit = (child: ChildProcess): Promise<number | null> =>
    new Promise((resolve) => {
      child.once("exit", resolve);
    });

  it("serves the stores, and keeps what it was given over a stop", async () => {
    const first = await start();
    const stores = await openStores(deps, first.url, { ...options, migrate: true });
    await stores.tenancy.ensureNamespace({
      name: "guest",
      limits: { invocationsPerMinute: 1, firesPerMinute: 2, concurrentInvocations: 3 },
      createdWallMs: 4,
    });
    await stores.activations.maintain(7);
    await stores.close();
    await first.stop();
    await first.stop();
    await first.exited;

    const second = await start();
    expect(second.url).toBe(first.url);
    const again = await openStores(deps, second.url, options);
    expect(await again.tenancy.getNamespace("guest")).toMatchObject({ createdWallMs: 4 });
    await again.close();
  });

  it("can be reached by nobody else", async () => {
    const server = await start();
    expect(await ask(server.url, "show listen_addresses")).toEqual([{ listen_addresses: "" }]);
    expect(statSync(join(directory, "password")).mode & 0o777).toBe(0o600);
    expect(statSync(join(directory, "run")).mode & 0o777).toBe(0o700);
    expect(statSync(join(directory, "data")).mode & 0o077).toBe(0);
    const url = new URL(server.url);
    url.password = "guess";
    await expect(ask(url.href, "select 1")).rejects.toMatchObject({
      kind: "failedPrecondition",
      reason: "STORE_REFUSED",
    });
  });

  it("says who uses a directory that is in use", async () => {
    await start();
    await expect(startEmbeddedPostgres(deps, directory)).rejects.toMatchObject({
      reason: "EMBEDDED_POSTGRES_BUSY",
      message: expect.stringContaining(String(process.pid)) as string,
    });
  });

  it("ends with its owner when that is killed, and starts again with what was committed", async () => {
    const { child, url } = await startElsewhere();
    await ask(url, "create table kept as select 7 as value");
    const postmaster = Number(readFileSync(join(directory, "data", "postmaster.pid"), "utf8").split("\n")[0]);
    child.kill("SIGKILL");
    await exit(child);
    const server = await start(); // at once: the old server is still on its way out
    expect(await ask(server.url, "select value from kept")).toEqual([{ value: 7 }]);
    await eventually(() => !existsSync(`/proc/${postmaster}`));
  });

  it("is started and stopped by a process that has nothing else to live for", async () => {
    const { child } = await startElsewhere("await server.stop();");
    expect(await exit(child)).toBe(0);
    expect(existsSync(join(directory, "data", "postmaster.pid"))).toBe(false);
  });

  it("leaves nothing running when its owner is killed and nobody comes after it", async () => {
    const { child } = await startElsewhere();
    child.kill("SIGKILL");
    await exit(child);
    await eventually(() => !existsSync(join(directory, "data", "postmaster.pid")), { withinMs: 10_000 });
  });

  it("starts again after the server itself was killed", async () => {
    const server = await start();
    await ask(server.url, "create table kept as select 7 as value");
    const postmaster = Number(readFileSync(join(directory, "data", "postmaster.pid"), "utf8").split("\n")[0]);
    process.kill(postmaster, "SIGKILL");
    await server.exited;
    await server.stop();
    const again = await start();
    expect(await ask(again.url, "select value from kept")).toEqual([{ value: 7 }]);
  });

  it("takes over a server that nobody owns any more", async () => {
    const orphan = await start();
    await ask(orphan.url, "create table kept as select 7 as value");
    rmSync(join(directory, "owner"));
    const server = await start();
    await orphan.exited;
    expect(await ask(server.url, "select value from kept")).toEqual([{ value: 7 }]);
  });

  it("is not kept from starting by what a death left: a dead owner, half a cluster, a number that is a stranger's", async () => {
    mkdirSync(join(directory, "data.new", "base"), { recursive: true });
    writeFileSync(join(directory, "owner"), "999999999 1\n");
    const first = await start();
    await first.stop();
    const stranger = spawn("sleep", ["60"], root ? { uid: statSync(join(directory, "data")).uid } : {});
    children.push(stranger);
    writeFileSync(join(directory, "data", "postmaster.pid"), `${stranger.pid}\n${join(directory, "data")}\n1\n5432\n`);
    writeFileSync(join(directory, "owner"), `${stranger.pid} 1\n`);
    const second = await start();
    expect(await ask(second.url, "select 1 as one")).toEqual([{ one: 1 }]);
    expect(stranger.exitCode).toBeNull();
  });

  it("works in a directory whose path is too long for a socket", async () => {
    const server = await start(join(scratch, "d".repeat(100), "postgres"));
    expect(await ask(server.url, "select 1 as one")).toEqual([{ one: 1 }]);
  });

  it("says why it does not start", async () => {
    const first = await start();
    await first.stop();
    writeFileSync(join(directory, "data", "PG_VERSION"), "9\n");
    await expect(startEmbeddedPostgres(deps, directory)).rejects.toMatchObject({
      reason: "EMBEDDED_POSTGRES_FAILED",
      message: expect.stringContaining("incompatible") as string,
    });
  });

  it.runIf(root)("keeps root's data elsewhere when the server's account cannot enter the directory", async () => {
    chmodSync(scratch, 0o700);
    const server = await start();
    const { directory: home } = server;
    expect(home).not.toBe(directory);
    await ask(server.url, "create table kept as select 7 as value");
    await server.stop();
    const again = await start();
    expect(again.directory).toBe(home);
    expect(await ask(again.url, "select value from kept")).toEqual([{ value: 7 }]);
    await again.stop();

    rmSync(directory, { recursive: true });
    const anew = await start();
    expect(existsSync(home)).toBe(false);
    await expect(ask(anew.url, "select value from kept")).rejects.toThrow("kept");
    await anew.stop();
    rmSync(anew.directory, { recursive: true });
  });
});
