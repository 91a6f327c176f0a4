// A command lives in a process of the test's making: its arguments, signals, clock and descriptors are ours.

import { describe, expect, it } from "vitest";

import { ManualClock } from "../../test/harness/clock.js";
import { eventually } from "../../test/harness/eventually.js";
import { integer, secret, type Schema } from "../base/config.js";
import { WeftError } from "../base/errors.js";
import { seededRandom } from "../base/random.js";
import { runCommandAt, type CommandContext, type CommandResult, type ProcessEdge } from "./command.js";

interface World {
  readonly edge: ProcessEdge;
  readonly clock: ManualClock;
  readonly logged: Record<string, unknown>[];
  readonly out: string[];
  readonly complaints: string[];
  readonly lines: [fd: number, line: string][];
  readonly sent: unknown[];
  signal(name: string): void;
  uncaught(error: unknown): void;
  readonly held: () => number;
  readonly listeners: () => number;
}

function world(over: Partial<ProcessEdge> = {}): World {
  const clock = new ManualClock();
  const logged: Record<string, unknown>[] = [];
  const [out, complaints, lines, sent]: [string[], string[], [number, string][], unknown[]] = [[], [], [], []];
  const signals = new Set<(name: string) => void>();
  const uncaught = new Set<(error: unknown, what: string) => void>();
  let held = 0;
  return {
    clock,
    logged,
    out,
    complaints,
    lines,
    sent,
    signal: (name) => signals.forEach((listener) => listener(name)),
    uncaught: (error) => uncaught.forEach((listener) => listener(error, "an error was not caught")),
    held: () => held,
    listeners: () => signals.size + uncaught.size,
    edge: {
      argv: [],
      env: {},
      pid: 42,
      terminal: false,
      clock,
      random: seededRandom(1),
      readFile: () => {
        throw new Error("no files here");
      },
      out: (text) => out.push(text),
      err: { write: (line) => logged.push(JSON.parse(line) as Record<string, unknown>) },
      complain: (text) => complaints.push(text),
      onSignal(listener) {
        signals.add(listener);
        return () => signals.delete(listener);
      },
      onUncaught(listener) {
        uncaught.add(listener);
        return () => uncaught.delete(listener);
      },
      hold() {
        held += 1;
        return () => (held -= 1);
      },
      writeLine: (fd, line) => lines.push([fd, line]),
      sendParent: (message) => sent.push(message),
      ...over,
    },
  };
}

const said = (w: World, msg: string): Record<string, unknown> | undefined =>
  w.logged.find((line) => line["msg"] === msg);

type Main = (context: CommandContext<Schema>) => Promise<CommandResult>;
const run = (w: World, main: Main): Promise<number> => runCommandAt(w.edge, "gateway", {}, main);

/** Runs until it is ready; what it returns is the exit code to come. */
async function readied(w: World, main: Main): Promise<{ readonly code: Promise<number> }> {
  const code = run(w, main);
  await eventually(() => said(w, "ready") !== undefined);
  return { code };
}

describe("a command", () => {
  it("serves until a signal, then closes in reverse and leaves in order", async () => {
    const w = world();
    const closed: string[] = [];
    let aborted = false;
    const { code } = await readied(w, async ({ scope, signal }) => {
      signal.addEventListener("abort", () => (aborted = closed.length === 0));
      scope.use("postgres", 1, () => closed.push("postgres"));
      scope.use("server", 2, () => closed.push("server"));
    });
    expect(w.held()).toBe(1);
    w.signal("SIGTERM");
    expect(await code).toBe(0);
    expect(closed).toEqual(["server", "postgres"]);
    expect(aborted).toBe(true);
    expect(said(w, "stopping")).toMatchObject({
      signal: "SIGTERM",
      open: ["server", "postgres", "admin", "telemetry"],
    });
    expect(said(w, "stopped")).toMatchObject({ level: "info", component: "weft-gateway", role: "gateway" });
    expect([w.held(), w.listeners(), w.clock.pending]).toEqual([0, 0, 0]);
  });

  it("logs its settings once, with sources and without secrets", async () => {
    const w = world({ argv: ["--slots=3"], env: { WEFT_POSTGRES_URL: "postgres://u:hunter2@h" } });
    const code = await runCommandAt(
      w.edge,
      "gateway",
      { slots: integer("slots"), postgresUrl: secret("where") },
      async ({ config }) => {
        expect([config.slots, config.postgresUrl, config.graceMs]).toEqual([3, "postgres://u:hunter2@h", 10_000]);
        return "done";
      },
    );
    expect(code).toBe(0);
    expect(said(w, "configuration loaded")?.["settings"]).toMatchObject({
      slots: "3 (flag)",
      postgresUrl: "(secret) (environment)",
      graceMs: "10s (default)",
    });
    expect(JSON.stringify(w.logged)).not.toContain("hunter2");
  });

  it("lists everything that is wrong with its settings and leaves with 2", async () => {
    const w = world({ argv: ["--slots=x", "--log-levle", "debug"] });
    const code = await runCommandAt(
      w.edge,
      "gateway",
      { slots: integer("slots", { max: 9 }), url: secret("where") },
      async () => {
        throw new Error("must not run");
      },
    );
    expect(code).toBe(2);
    expect(w.complaints.join("")).toBe(`weft-gateway: the settings are not usable
  --log-levle is not a flag of this command; did you mean --log-level?
  slots --slots is a whole number from 0 to 9, not "x"
  url is missing: give --url or WEFT_URL (where)
fix: run it with --help to see every setting
`);
    expect(w.logged).toEqual([]);
  });

  it("prints its settings when asked for help", async () => {
    const w = world({ argv: ["--nonsense", "--help"] });
    expect(await run(w, () => Promise.reject(new Error("must not run")))).toBe(0);
    expect(w.out.join("")).toContain("usage: weft-gateway [flags]");
    expect(w.out.join("")).toContain("--grace-ms <duration>");
  });

  it("says in one line why it could not start, closes what was open and leaves with 3", async () => {
    const w = world();
    let closed = false;
    const code = await run(w, async ({ scope }) => {
      scope.use("first", 1, () => (closed = true));
      throw new WeftError("unavailable", "NO_POSTGRES", "postgres at h:5432 does not answer", {
        fix: "start it with deploy/local/install",
      });
    });
    expect(code).toBe(3);
    expect(closed).toBe(true);
    expect(w.complaints).toEqual([
      "weft-gateway: postgres at h:5432 does not answer\nfix: start it with deploy/local/install\n",
    ]);
    expect(JSON.stringify(w.logged)).not.toContain("at run"); // no stack
  });

  it("shows where an unforeseen error at the start came from", async () => {
    const w = world();
    expect(await run(w, () => Promise.reject(new TypeError("x is not a function")))).toBe(3);
    expect(JSON.stringify(said(w, "it could not start"))).toContain("command.test");
    expect(w.complaints).toEqual(["weft-gateway: x is not a function\n"]);
  });

  it("names what is still open when the grace period is over, and leaves with 1", async () => {
    const w = world({ argv: ["--grace-ms", "3s"] });
    const { code } = await readied(w, async ({ scope }) => {
      scope.use("postgres", 1, () => {});
      scope.use("stuck server", 2, () => new Promise(() => {}));
    });
    w.signal("SIGINT");
    await w.clock.elapse(2_999);
    expect(said(w, "left before everything was closed")).toBeUndefined();
    await w.clock.elapse(1);
    expect(await code).toBe(1);
    expect(said(w, "left before everything was closed")).toMatchObject({
      level: "error",
      why: "the grace period of 3000 ms is over",
      open: ["stuck server", "postgres", "admin", "telemetry"],
    });
  });

  it("is cut short by a second signal, but not by an echo of the first", async () => {
    const w = world();
    const { code } = await readied(w, async ({ scope }) => {
      scope.use("slow", 1, () => new Promise(() => {}));
    });
    w.signal("SIGINT");
    await w.clock.elapse(499);
    w.signal("SIGTERM");
    await w.clock.elapse(1);
    expect(said(w, "left before everything was closed")).toBeUndefined();
    w.signal("SIGINT");
    expect(await code).toBe(1);
    expect(said(w, "left before everything was closed")).toMatchObject({
      why: "a second SIGINT",
      open: ["slow", "admin", "telemetry"],
    });
  });

  it("closes in order after an error that nobody caught, and leaves with 1", async () => {
    const w = world();
    let closed = false;
    const { code } = await readied(w, async ({ scope }) => {
      scope.use("server", 1, () => (closed = true));
    });
    w.uncaught(new Error("boom"));
    expect(await code).toBe(1);
    expect(closed).toBe(true);
    expect(said(w, "an error was not caught")).toMatchObject({
      level: "error",
      error: { kind: "internal", message: "boom" },
    });
  });

  it("leaves with 1 when an error comes while it stops in order", async () => {
    const w = world();
    const { code } = await readied(w, async ({ scope }) => {
      scope.use("server", 1, () => w.uncaught(new Error("boom")));
    });
    w.signal("SIGTERM");
    expect(await code).toBe(1);
  });

  it("stops with 1 when a part says that it cannot go on, or main throws after it was ready", async () => {
    const parted = world();
    const { code } = await readied(parted, async ({ fail, signal }) => {
      setImmediate(() => fail(new WeftError("unavailable", "LEASE_LOST", "the lease is lost")));
      signal.throwIfAborted();
    });
    expect(await code).toBe(1);
    expect(said(parted, "it cannot go on")).toMatchObject({ error: { reason: "LEASE_LOST" } });

    const thrown = world();
    const after = run(thrown, async ({ ready }) => {
      ready();
      throw new WeftError("unavailable", "LATE", "too late");
    });
    expect(await after).toBe(1);
    expect(said(thrown, "it cannot go on")).toMatchObject({ error: { reason: "LATE" } });
    expect(thrown.complaints).toEqual([]);
  });

  it("says what did not close in order, closes the rest, and leaves with 1", async () => {
    const w = world();
    let closed = false;
    const { code } = await readied(w, async ({ scope }) => {
      scope.use("postgres", 1, () => (closed = true));
      scope.use("server", 2, () => Promise.reject(new Error("port stuck")));
    });
    w.signal("SIGTERM");
    expect(await code).toBe(1);
    expect(closed).toBe(true);
    expect(said(w, "something did not close in order")).toMatchObject({ error: { message: "port stuck" } });
  });

  it("gives up its start when told to stop, and closes what it opened until then", async () => {
    const w = world();
    const closed: string[] = [];
    let opened = false;
    const code = run(w, async ({ scope, signal }) => {
      scope.use("early", 1, () => closed.push("early"));
      opened = true;
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      scope.use("late", 2, () => closed.push("late"));
      signal.throwIfAborted();
    });
    await eventually(() => opened);
    w.signal("SIGTERM");
    expect(await code).toBe(0);
    expect(closed).toEqual(["late", "early"]);
    expect(w.complaints).toEqual([]);
    expect(said(w, "ready")).toBeUndefined();
  });

  it("tells its parent once that it serves, with what the parent must know", async () => {
    const w = world({ env: { WEFT_READY_FD: "3" } });
    const { code } = await readied(w, async ({ ready }) => {
      ready({ address: "127.0.0.1:7300" });
      ready({ address: "again" });
    });
    w.signal("SIGTERM");
    await code;
    expect(w.lines).toHaveLength(1);
    const [fd, line] = w.lines[0] ?? [0, ""];
    expect(fd).toBe(3);
    expect(line.endsWith("}\n")).toBe(true);
    const message = JSON.parse(line) as Record<string, unknown>;
    expect(message).toMatchObject({
      ready: true,
      name: "gateway",
      pid: 42,
      address: "127.0.0.1:7300",
      admin: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as string,
    });
    expect(w.sent).toEqual([message]);
  });

  it("goes on when the parent cannot be told", async () => {
    const w = world({
      env: { WEFT_READY_FD: "9" },
      writeLine: () => {
        throw new Error("EBADF");
      },
    });
    const { code } = await readied(w, async () => {});
    expect(said(w, "the parent was not told that this process is ready")).toMatchObject({
      level: "warn",
      readyFd: "9",
    });
    w.signal("SIGTERM");
    expect(await code).toBe(0);
  });

  it("is ready for its load balancer only between its start and its stop, and can be watched while it drains", async () => {
    const w = world();
    const seen: [string, number][] = [];
    let address = "";
    const look = async (when: string): Promise<void> =>
      void seen.push([when, (await fetch(`http://${address}/readyz`)).status]);
    const { code } = await readied(w, async ({ admin, scope }) => {
      ({ address } = admin);
      scope.use("server", 1, () => look("draining"));
      await look("starting");
    });
    await look("serving");
    w.signal("SIGTERM");
    await code;
    expect(seen).toEqual([
      ["starting", 503],
      ["serving", 200],
      ["draining", 503],
    ]);
    await expect(look("stopped")).rejects.toThrow();
  });

  it("refuses to start when its admin address is taken", async () => {
    const w = world();
    let taken = "";
    const { code } = await readied(w, async ({ admin }) => {
      taken = admin.address;
    });
    const other = world({ argv: ["--admin-address", taken] });
    expect(await run(other, async () => {})).toBe(3);
    expect(other.complaints[0]).toContain(`cannot use ${taken}: EADDRINUSE\nfix: choose a free address`);
    w.signal("SIGTERM");
    await code;
  });
});
