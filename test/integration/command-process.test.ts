// A command in a process of its own, as `weft up` starts it: real signals, real descriptors, real exit codes.

import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";

import { afterEach, describe, expect, it } from "vitest";

import { eventually } from "../harness/eventually.js";

const command = new URL("../../dist/internal/boot/command.js", import.meta.url).href;
const errors = new URL("../../dist/internal/base/errors.js", import.meta.url).href;

interface Child {
  readonly process: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** What came over descriptor 3. */
  readonly told: () => string;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>;
}

const children: ChildProcess[] = [];
const directories: string[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

/** Starts a command whose main has this body; `scope`, `ready`, `log`, `WeftError` are in reach. */
function start(main: string, argv: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Child {
  const script = `
    import { runCommand } from ${JSON.stringify(command)};
    import { WeftError } from ${JSON.stringify(errors)};
    await runCommand("probe", {}, async ({ scope, ready, log, signal }) => { ${main} });
  `;
  const directory = mkdtempSync(join(tmpdir(), "weft-command-"));
  directories.push(directory);
  const path = join(directory, "probe.mjs");
  writeFileSync(path, script);
  const child = spawn(process.execPath, [path, ...argv], {
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  children.push(child);
  const [stdout, stderr, told] = [child.stdio[1], child.stdio[2], child.stdio[3]].map((stream) => {
    let text = "";
    (stream as Readable).setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    return () => text;
  }) as [() => string, () => string, () => string];
  return {
    process: child,
    stdout,
    stderr,
    told,
    ended: new Promise((resolve) => child.on("close", (code, signal) => resolve({ code, signal }))),
  };
}

const logged = (child: Child): Record<string, unknown>[] =>
  child
    .stderr()
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const said = (child: Child, msg: string): Record<string, unknown> | undefined =>
  logged(child).find((line) => line["msg"] === msg);

async function serving(child: Child): Promise<Record<string, unknown>> {
  await eventually(() => child.told().endsWith("\n"), { withinMs: 15_000 });
  return JSON.parse(child.told()) as Record<string, unknown>;
}

describe("a command's process", () => {
  it("says on descriptor 3 that it serves, stays alive without work, and ends in order on SIGTERM", async () => {
    const child = start('scope.use("thing", 1, () => log.info("thing closed")); ready({ address: "a:1" });', [], {
      WEFT_READY_FD: "3",
    });
    const message = await serving(child);
    expect(message).toMatchObject({ ready: true, name: "probe", pid: child.process.pid, address: "a:1" });
    const health = await fetch(`http://${String(message["admin"])}/healthz`);
    expect(health.status).toBe(200);
    child.process.kill("SIGTERM");
    expect(await child.ended).toEqual({ code: 0, signal: null });
    expect(said(child, "stopping")).toMatchObject({ signal: "SIGTERM" });
    expect(said(child, "thing closed")).toBeDefined();
    expect(child.stdout()).toBe("");
  });

  it("leaves with 1 and names what was open when the grace period is over, though nothing keeps the loop alive", async () => {
    const child = start('scope.use("stuck", 1, () => new Promise(() => {}));', ["--grace-ms", "150"], {
      WEFT_READY_FD: "3",
    });
    await serving(child);
    child.process.kill("SIGINT");
    expect(await child.ended).toEqual({ code: 1, signal: null });
    expect(said(child, "left before everything was closed")?.["open"]).toEqual(["stuck", "admin", "telemetry"]);
  });

  it("closes in order and leaves with 1 after an exception or a rejection that nobody caught", async () => {
    for (const [crash, sentence] of [
      ['setTimeout(() => { throw new Error("boom"); }, 10);', "an error was not caught"],
      ['setTimeout(() => void Promise.reject(new Error("boom")), 10);', "a promise's rejection was not handled"],
    ] as const) {
      const child = start(`scope.use("thing", 1, () => log.info("thing closed")); ${crash}`);
      expect(await child.ended).toEqual({ code: 1, signal: null });
      expect(said(child, sentence)).toMatchObject({ level: "error", error: { message: "boom" } });
      expect(said(child, "thing closed")).toBeDefined();
    }
  });

  it("leaves with 2 for its settings and 3 for a start that cannot be, with one clear line", async () => {
    const wrong = start("", ["--grace-ms", "soon"]);
    expect((await wrong.ended).code).toBe(2);
    expect(wrong.stderr()).toContain("graceMs --grace-ms is a duration from 100ms to 1h");

    const unable = start(
      'throw new WeftError("unavailable", "NO_ETCD", "etcd does not answer", { fix: "start etcd" });',
      ["--log-level", "error"],
    );
    expect((await unable.ended).code).toBe(3);
    expect(unable.stderr()).toBe("weft-probe: etcd does not answer\nfix: start etcd\n");
  });

  it("leaves with 0 when its work is over, and prints help to standard output", async () => {
    const done = start('return "done";');
    expect((await done.ended).code).toBe(0);
    const help = start("", ["--help"]);
    expect((await help.ended).code).toBe(0);
    expect(help.stdout()).toContain("usage: weft-probe [flags]");
    expect(help.stderr()).toBe("");
  });
});
