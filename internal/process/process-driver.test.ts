import { spawn, execFileSync, type ChildProcessByStdio } from "node:child_process";
import type { Readable } from "node:stream";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

import { silentLog } from "../base/log.js";
import { systemClock } from "../boot/system.js";
import type { SandboxProcess } from "../core/sandbox/driver.js";
import { aSpec, loaded, sandboxDriverSuite } from "../core/sandbox/driver.suite.js";
import { parseManifest, RuntimeManifest } from "../core/sandbox/manifest.js";
import { eventually } from "../../test/harness/eventually.js";
import { launcherOf } from "../../test/harness/launcher.js";
import { PidsGroups } from "./pids-groups.js";
import { ProcessDriver, type ProcessDriverDeps } from "./process-driver.js";
import { ProcessSandbox } from "./process-sandbox.js";
import { PsTable, processTable } from "./process-table.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const manifest = parseManifest(readFileSync(join(root, "runtimes/manifest.json"), "utf8"));
const scratch = mkdtempSync(join(tmpdir(), "weft-"));
afterAll(() => {
  rmSync(scratch, { recursive: true });
});

/** No control group can be made there. */
const WATCHED = { cgroupRoot: join(scratch, "no-cgroups") };
const BOMB = `const { spawn } = require("node:child_process");
  function main() {
    for (let i = 0; i < 3; i++) spawn("sh", ["-c", "while true; do sleep 30 & done"], { stdio: "ignore", detached: i === 2 }).on("error", () => {});
    return new Promise(() => {});
  }`;

let lives = 0;
function aDriver(directory: string, more: Partial<ProcessDriverDeps> = {}): ProcessDriver {
  lives += 1;
  return new ProcessDriver({
    clock: systemClock,
    log: silentLog,
    manifest,
    runtimesDirectory: join(root, "dist/runtimes"),
    directory: join(scratch, directory),
    bootId: `b${process.pid}x${lives}`,
    path: process.env["PATH"] ?? "/usr/bin:/bin",
    ...more,
  });
}

function remains(directory: string): string[] {
  const path = join(scratch, directory);
  const left = existsSync(path) ? readdirSync(path) : [];
  const processes = execFileSync("ps", ["-A", "-o", "pid=,stat=,args="], { encoding: "utf8" })
    .split("\n")
    .filter((line) => line.includes(path) && !line.includes(" ps "));
  return [...left, ...processes];
}

/** A process of its own that goes on with this script, in which a driver can be made: to be killed. */
function anInvoker(script: string): ChildProcessByStdio<null, Readable, null> {
  const modules = `
    import { readFileSync } from "node:fs";
    const at = (path) => import(new URL(path, "file://${root}dist/").href);
    const { ProcessDriver } = await at("internal/process/process-driver.js");
    const { systemClock } = await at("internal/boot/system.js");
    const { silentLog } = await at("internal/base/log.js");
    const { parseManifest } = await at("internal/core/sandbox/manifest.js");
    const { ToSandbox } = await at("internal/gen/weft/runtime/v1/sandbox.pb.js");`;
  return spawn(process.execPath, ["--input-type=module", "-e", `${modules}\n${script}`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.split(" ") ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

sandboxDriverSuite("ProcessDriver", () =>
  Promise.resolve({
    driver: aDriver("suite"),
    nextLife: () => aDriver("suite"),
    withoutImages: aDriver("none", { manifest: new RuntimeManifest([]) }),
    remains: () => Promise.resolve(remains("suite")),
    runs: async (sandbox: SandboxProcess) => {
      if (!(sandbox instanceof ProcessSandbox)) throw new Error("a sandbox of another driver");
      const { pid } = sandbox;
      const before = cpuTicks(pid);
      await new Promise((resolve) => setTimeout(resolve, 100));
      return cpuTicks(pid) !== before;
    },
  }),
);

describe("a process driver", () => {
  it("says that it isolates nothing, and how firmly its limits hold", async () => {
    const driver = aDriver("label", WATCHED);
    await driver.kinds();
    expect(driver.abilities).toMatchObject({ isolation: false, memoryLimit: "watched", pidsLimit: "watched" });
    expect(driver.abilities.caveats).toEqual([
      "child processes: no isolation; code runs as this user, with its files and its network",
      "memory and processes are watched every 100 to 500 ms, not enforced",
      "a fork bomb on a busy machine may not be stopped: no control group can be made here",
    ]);
    await driver.close();
    const held = aDriver("label-held");
    await held.kinds();
    const exact = held.abilities.pidsLimit === "exact";
    expect(held.abilities.caveats.join()).toContain(
      exact ? "memory is watched every" : "memory and processes are watched every",
    );
    await held.close();
  });

  it("ends a fork bomb where it can only watch, while all processors are busy", async () => {
    const driver = aDriver("bomb", WATCHED);
    const busy = cpus().map(() => spawn("sh", ["-c", "while :; do :; done"], { stdio: "ignore" }));
    try {
      const { sandbox, peer } = await loaded(driver, BOMB, { pidsMax: 64 });
      const began = performance.now();
      await expect(peer.run()).rejects.toThrow("connection ended");
      expect(await sandbox.exited).toEqual({ kind: "tooManyProcesses", limit: 64 });
      await sandbox.destroy();
      expect(performance.now() - began).toBeLessThan(10_000);
      expect(remains("bomb")).toEqual([]);
    } finally {
      for (const one of busy) one.kill("SIGKILL");
      await driver.close();
    }
  });

  it("lets a sandbox have no process more than its limit, where the kernel holds that, and leaves no group", async () => {
    const driver = aDriver("held");
    await driver.kinds();
    const { sandbox, peer } = await loaded(driver, BOMB, { pidsMax: 64 });
    const running = peer.run().catch(() => "ended");
    if (driver.abilities.pidsLimit === "exact" && sandbox instanceof ProcessSandbox) {
      let most = 0;
      for (let look = 0; look < 50; look++) {
        const held = processTable().marked("WEFT_SANDBOX", new Set([sandbox.mark]));
        most = Math.max(most, held.size);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      expect(most).toBeGreaterThan(20);
      expect(most).toBeLessThanOrEqual(64);
    }
    await sandbox.destroy();
    expect(await running).toBe("ended");
    await driver.close();
    expect(remains("held")).toEqual([]);
    expect(PidsGroups.open(systemClock, join(scratch, "held"), "/sys/fs/cgroup")?.marks() ?? []).toEqual([]);
  });

  it("removes what a build left when its invoker was killed: the compiler, its folder", async () => {
    const directory = join(scratch, "build");
    const invoker = anInvoker(`
      const build = { image: "none", version: 1, memoryMb: 256, timeoutMs: 60000, command: ["sh", "-c", "setsid sleep 1000 & sleep 1000"] };
      const manifest = { runtimes: { sh: [{ kind: "sh:1", default: true, image: "none", launcher: "exec", build }] } };
      const driver = new ProcessDriver({
        clock: systemClock, log: silentLog, bootId: "first", directory: ${JSON.stringify(directory)},
        manifest: parseManifest(JSON.stringify(manifest)), launcher: ${JSON.stringify(launcherOf())},
        runtimesDirectory: "${root}dist/runtimes", path: process.env.PATH,
      });
      const spec = { sandbox: 1, kind: "sh:1", memoryMb: 256, pidsMax: 64, env: {}, build: true };
      const made = await driver.create(spec, 20000, new AbortController().signal);
      const value = { actionName: "a", main: "", source: Buffer.from("x"), binary: false, step: 1 };
      made.link.send(ToSandbox.encode({ message: { $case: "build", value } }).finish());
      console.log(made.pid);`);
    const marked = (): number => processTable().marked("WEFT_SANDBOX", new Set(["first-1"])).size;
    await eventually(() => marked() >= 3, { withinMs: 20_000 });
    invoker.kill("SIGKILL");
    const next = aDriver("build");
    expect(await next.cleanUp()).toBe(1);
    expect(marked()).toBe(0);
    await next.close();
    expect(remains("build")).toEqual([]);
  });

  it("says what is missing on a machine without the programs that it sets limits with", async () => {
    const programs = join(scratch, "few");
    mkdirSync(programs);
    const driver = aDriver("few-programs", { path: programs });
    expect(await driver.kinds()).toEqual(["nodejs:20"]); // the one that runs this
    const caveats = driver.abilities.caveats.join("\n");
    expect(caveats).toContain("no setpriv here");
    expect(caveats).toContain("no prlimit here");
    await driver.close();
  });

  it("limits open files and core dumps, leads a session of its own and writes to a folder of its own", async () => {
    const driver = aDriver("limits");
    const code = `const { execSync } = require("node:child_process");
      const ask = (what) => execSync(what, { encoding: "utf8", shell: "/bin/sh" }).trim();
      function main() {
        return {
          files: ask("ulimit -n"), hardFiles: ask("ulimit -Hn"), core: ask("ulimit -Hc"),
          session: ask("ps -o sid= -p " + process.pid), pid: process.pid, cwd: process.cwd(),
          home: process.env.HOME, temporary: process.env.TMPDIR, names: Object.keys(process.env),
        };
      }`;
    const { sandbox, peer } = await loaded(driver, code, { env: { GIVEN: "yes" } });
    const { result } = await peer.run();
    const { session, pid, cwd, home, temporary, names, ...limits } = result as Record<string, unknown>;
    expect(limits).toEqual({ files: "1024", hardFiles: "1024", core: "0" });
    expect(Number(session)).toBe(pid);
    expect(temporary).toBe(home);
    expect(String(cwd).startsWith(String(home))).toBe(true);
    expect(String(home).startsWith(join(scratch, "limits"))).toBe(true);
    const ours = (names as readonly string[]).filter((name) => !name.startsWith("__OW_") && !name.startsWith("WEFT_"));
    expect(ours.sort()).toEqual(["GIVEN", "HOME", "LANG", "PATH", "TMPDIR"]);
    await sandbox.destroy();
    expect(remains("limits")).toEqual([]);
    await driver.close();
  });

  it("works without /proc, with what ps tells", async () => {
    const driver = aDriver("ps", { table: new PsTable() });
    const { sandbox, peer } = await loaded(
      driver,
      `function main() { const all = []; return new Promise(() => setInterval(() => all.push(Buffer.alloc(8 << 20, 1)), 50)); }`,
      { memoryMb: 128 },
    );
    await expect(peer.run()).rejects.toThrow("connection ended");
    expect(await sandbox.exited).toEqual({ kind: "outOfMemory", limitMb: 128 });
    expect(driver.abilities.caveats.join()).toContain("leave the session");
    await driver.close();
  });

  it("takes its sandboxes with it when it is killed, even those whose code never lets go", async () => {
    const directory = join(scratch, "killed");
    const invoker = anInvoker(`
      const driver = new ProcessDriver({
        clock: systemClock, log: silentLog, bootId: "first", directory: ${JSON.stringify(directory)},
        manifest: parseManifest(readFileSync("${root}runtimes/manifest.json", "utf8")),
        runtimesDirectory: "${root}dist/runtimes", path: process.env.PATH,
      });
      const never = new AbortController().signal;
      for (const sandbox of [1, 2]) {
        const made = await driver.create({ sandbox, kind: "nodejs:20", memoryMb: 256, pidsMax: 64, env: {} }, 20000, never);
        const code = Buffer.from(sandbox === 1 ? "for (;;);" : "");
        const value = { actionName: "a", main: "", code, binary: false, env: {}, concurrency: 1, logLimitBytes: 0 };
        made.link.send(ToSandbox.encode({ message: { $case: "init", value } }).finish());
        console.log(made.pid);
      }`);
    let said = "";
    invoker.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
    const sandboxes = await eventually(() => {
      const pids = said.trim().split("\n").filter(Boolean).map(Number);
      return pids.length === 2 && pids;
    });
    invoker.kill("SIGKILL");
    const table = processTable();
    await eventually(() => sandboxes.every((pid) => table.startOf(pid) === undefined));
    const next = aDriver("killed");
    expect(await next.cleanUp()).toBe(2); // their directories
    await next.close();
    expect(remains("killed")).toEqual([]);
  });

  it("leaves alone a process that only has the number of one of an earlier life", async () => {
    const directory = join(scratch, "reused");
    mkdirSync(join(directory, "old-1"), { recursive: true, mode: 0o700 });
    const bystander = spawn("sleep", ["1000"], { detached: true, stdio: "ignore" });
    writeFileSync(join(directory, "old-1", "process"), `${bystander.pid} 1`);
    const driver = aDriver("reused");
    expect(await driver.cleanUp()).toBe(1);
    expect(processTable().startOf(bystander.pid ?? 0)).toBeDefined();
    bystander.kill("SIGKILL");
    await driver.close();
  });

  it("refuses a directory that others can reach into", async () => {
    const directory = join(scratch, "open");
    mkdirSync(directory);
    chmodSync(directory, 0o755);
    await expect(aDriver("open").create(aSpec(), 20_000, new AbortController().signal)).rejects.toMatchObject({
      reason: "DIRECTORY_NOT_PRIVATE",
    });
  });

  it("refuses a runtime that ends before it says hello", async () => {
    const driver = aDriver("mute", { runtimesDirectory: scratch });
    await expect(driver.create(aSpec(), 20_000, new AbortController().signal)).rejects.toMatchObject({
      reason: "RUNTIME_DIED",
    });
    expect(remains("mute")).toEqual([]);
    await driver.close();
  });
});
