// What becomes of sandboxes: when an invoker is killed under load, what was warm is warm again for its next process, what
// was busy is told to its callers once, and nothing of either life is left behind; code that never loads does not burn the
// machine.

import Docker from "dockerode";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { socketDirectory } from "../../internal/assembly/socket-directory.js";
import { WeftError } from "../../internal/base/errors.js";
import { Outcome, Start } from "../../internal/gen/weft/activation/v1/activation.pb.js";
import { PublicClient, refusalOf, services } from "../harness/client.js";
import { eventually } from "../harness/eventually.js";
import { describeWith, serviceAddress } from "../harness/services.js";
import { openFabric, UP_SERVICES, type OpenFabric } from "./fabrics.js";

const WHO_NODE = `const born = Math.random(); let n = 0;
exports.main = ({ ms }) => new Promise((done) => setTimeout(() => done({ born, pid: process.pid, n: ++n }), ms ?? 0));\n`;
const WHO_PYTHON = `import os, random, time
born, n = random.random(), 0
def main(params):
    global n
    n += 1
    time.sleep(params.get("ms", 0) / 1000)
    return {"born": born, "pid": os.getpid(), "n": n}
`;
const WARM = 5;

interface Who {
  readonly born: number;
  readonly pid: number;
  readonly n: number;
}

describeWith(UP_SERVICES, "an invoker and its sandboxes", () => {
  const docker = new Docker({ socketPath: (serviceAddress("docker") ?? "").replace("unix://", "") });
  let open: OpenFabric;
  let client: PublicClient;
  let state: string;

  beforeAll(async () => {
    open = await openFabric({
      mode: "up",
      invokers: 1,
      env: {
        WEFT_MEMBER_TTL_MS: "3s",
        WEFT_MEMORY_MB: "4096",
        WEFT_FREEZE_AFTER_MS: "2s",
        WEFT_LEAVE_SANDBOXES: "true",
      },
    });
    state = join(open.fabric.stateDir, "invoker-1");
    client = new PublicClient(open.fabric.grpc, open.fabric.authorization);
    await client.raiseLimits("guest");
    await client.createAction("who", WHO_NODE);
    await client.createAction("who-python", WHO_PYTHON, { kind: "python:default" });
  });

  afterAll(async () => {
    client.close();
    // What it leaves when it stops for good ends by itself; a next life would remove it.
    const { fabric } = open;
    await fabric.down();
    await Promise.all((await containers()).map((id) => docker.getContainer(id).remove({ force: true })));
    rmSync(sockets(), { recursive: true, force: true });
    await open.close();
  });

  const sockets = (): string => socketDirectory(join(state, "sandboxes"));
  const containers = async (): Promise<string[]> =>
    (await docker.listContainers({ all: true, filters: { label: [`weft.directory=${sockets()}`] } })).map((c) => c.Id);
  /** So many calls at the same time: each in a sandbox of its own. */
  const together = (action: string, calls: number, ms: number): Promise<{ who: Who; id: string }[]> =>
    Promise.all(
      Array.from({ length: calls }, async () => {
        const { activation, activationId } = await client.invoke(action, { ms });
        return { who: JSON.parse(activation?.resultJson ?? "{}") as Who, id: activationId };
      }),
    );
  const bornOf = (calls: readonly { who: Who }[]): number[] => [...new Set(calls.map(({ who }) => who.born))].sort();
  const sandboxes = async () => (await client.status()).invokers.flatMap((invoker) => invoker.sandboxes);
  /** Everything that is on the machine is something that the invoker knows, and the other way round. */
  const nothingLeaks = (): Promise<void> =>
    eventually(async () => {
      const known = (await sandboxes()).filter(({ state: is }) => is !== "starting").length;
      expect(await containers()).toHaveLength(known);
      expect(readdirSync(sockets())).toHaveLength(known);
      expect(readdirSync(join(state, "journal"))).toHaveLength(known);
    });

  it.each(["who", "who-python"])(
    "finds its warm sandboxes again: none is lost, none is made anew (%s)",
    async (action) => {
      const known = new Set<number>();
      await eventually(
        async () => {
          const born = bornOf(await together(action, WARM, 1_000));
          for (const one of born) known.add(one);
          return born.length === WARM;
        },
        { withinMs: 60_000 },
      );
      const of = async () => (await sandboxes()).filter((s) => s.action === `guest/${action}`);
      // Some are frozen when it is killed.
      if (action === "who") {
        await eventually(async () => expect((await of()).every((s) => s.state === "frozen")).toBe(true), {
          withinMs: 20_000,
        });
      }
      const there = (await of()).length;
      open.fabric.kill("invoker-1");
      await open.fabric.restart();
      expect(await of()).toHaveLength(there);
      const after = await together(action, WARM, 1_000);
      // One that was made for a call which another sandbox took has not run yet: its first call loads the code.
      const ran = after.filter(({ who }) => known.has(who.born));
      if (known.size === there) expect(ran).toHaveLength(WARM);
      else expect(ran.length).toBeGreaterThanOrEqual(WARM - (there - known.size));
      for (const { id } of ran) {
        const record = await client.record(id);
        expect([record.start, record.initMs]).toEqual([Start.WARM, undefined]);
      }
      await nothingLeaks();
    },
  );

  it("leaves idle sandboxes for the process that replaces it, when it is told to", async () => {
    const before = bornOf(await together("who", WARM, 500));
    const { pid } = open.fabric.processes().find(({ name }) => name === "invoker-1") ?? { pid: 0 };
    open.fabric.signal("invoker-1", "SIGTERM");
    await eventually(() => !existsSync(`/proc/${pid}`), { withinMs: 20_000 });
    await open.fabric.restart();
    for (const born of bornOf(await together("who", WARM, 500))) expect(before).toContain(born);
    await nothingLeaks();
  });

  it("tells each caller once that the outcome of a call in flight is unknown, and does not use its sandbox again", async () => {
    await together("who", WARM, 500);
    const refusals = [0, 1].map(() => refusalOf(client.invoke("who", { ms: 8_000 })));
    const busy = await eventually(async () => {
      const running = (await sandboxes()).filter((s) => s.action === "guest/who" && s.running > 0);
      return running.length === 2 && running.length;
    });
    const idle = (await sandboxes()).filter((s) => s.action === "guest/who").length - busy;
    open.fabric.kill("invoker-1");
    for (const refusal of await Promise.all(refusals)) {
      expect({ kind: refusal.kind, reason: refusal.reason }).toEqual({
        kind: "unavailable",
        reason: "OUTCOME_UNKNOWN",
      });
    }
    await open.fabric.restart();
    expect((await sandboxes()).filter((s) => s.action === "guest/who")).toHaveLength(idle);
    await nothingLeaks();
  });

  it("loses nothing of its load but what it ran when it was killed, again and again", async () => {
    const ids: string[] = [];
    let over = false;
    let unknown = 0;
    const load = Array.from({ length: 4 }, async () => {
      while (!over) {
        try {
          const { activation, activationId } = await client.invoke("who", { ms: 20 });
          expect(activation?.outcome).toBe(Outcome.SUCCESS);
          ids.push(activationId);
        } catch (thrown) {
          if (!(thrown instanceof WeftError)) throw thrown;
          if (thrown.reason === "OUTCOME_UNKNOWN") unknown += 1;
          else expect(thrown.kind).toBe("unavailable");
        }
      }
    });
    for (let kill = 0; kill < 3; kill += 1) {
      const before = ids.length;
      await eventually(() => ids.length > before + 20, { withinMs: 30_000 });
      open.fabric.kill("invoker-1");
      await open.fabric.restart();
    }
    over = true;
    await Promise.all(load);
    expect(unknown).toBeLessThanOrEqual(3 * 4);
    await eventually(async () => expect((await sandboxes()).every((s) => s.running === 0)).toBe(true));
    await nothingLeaks();
  });

  it("tells each caller of code that does not load why, without a sandbox for each, and runs it once it is put right", async () => {
    await client.createAction("broken", `console.log("loading"); throw new Error("no database");\n`);
    const ids: string[] = [];
    const results = new Set<string>();
    for (let i = 0; i < 30; i += 1) {
      const { activation, activationId } = await client.invoke("broken");
      expect(activation?.outcome).toBe(Outcome.DEVELOPER_ERROR);
      results.add(activation?.resultJson ?? "");
      ids.push(activationId);
    }
    expect([...results]).toEqual([expect.stringContaining("no database")]);
    const records = await Promise.all(ids.map((id) => client.record(id)));
    const loaded = records.filter((record) => record.initMs !== undefined);
    const spared = records.filter((record) => record.logs.join("\n").includes("was not loaded for this activation"));
    expect(loaded.length + spared.length).toBe(30);
    expect(loaded.length).toBeLessThan(12);
    await client.call(services.action.deleteAction, { namespace: "_", name: "broken", etag: "" });
    await client.createAction("broken", `exports.main = () => ({ ok: true });\n`);
    expect((await client.invoke("broken")).activation?.outcome).toBe(Outcome.SUCCESS);
    await nothingLeaks();
  });
});
