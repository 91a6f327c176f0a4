// Processes that die or stall, one after the other, on a real installation of separate processes.

import { afterAll, beforeAll, expect, it } from "vitest";
import { ListActivationsRequest, Outcome } from "../../internal/gen/weft/activation/v1/activation.pb.js";
import { PublicClient, refusalOf, services } from "../harness/client.js";
import { eventually } from "../harness/eventually.js";
import type { Fabric } from "../harness/fabric.js";
import { describeWith } from "../harness/services.js";
import { openFabric, UP_SERVICES, type OpenFabric } from "./fabrics.js";

const SLEEP = "exports.main = ({ ms }) => new Promise((done) => setTimeout(() => done({ slept: ms }), ms));\n";
/** How long a member that died is still listed, at most. */
const MEMBER_TTL_MS = 3_000;

describeWith(UP_SERVICES, "a fabric whose processes die", () => {
  let open: OpenFabric;
  let fabric: Fabric;
  let client: PublicClient;

  beforeAll(async () => {
    open = await openFabric({ mode: "up", invokers: 2, env: { WEFT_MEMBER_TTL_MS: `${MEMBER_TTL_MS}ms` } });
    ({ fabric } = open);
    client = new PublicClient(fabric.grpc, fabric.authorization);
    await client.raiseLimits("guest");
    await client.createAction("echo", "exports.main = (params) => params;\n");
    await client.createAction("sleep", SLEEP, { timeoutMs: 30_000 });
  });

  afterAll(async () => {
    client.close();
    await open.close();
  });

  const echo = async (text: string): Promise<void> => {
    const { activation } = await client.invoke("echo", { text });
    expect(JSON.parse(activation?.resultJson ?? "{}")).toEqual({ text });
  };
  /** The invoker that runs most calls of an action, once one does. */
  const busyWith = (action: string): Promise<string> =>
    eventually(async () => {
      const { invokers } = await client.status();
      const running = invokers.map(({ id, sandboxes }) => ({
        id,
        calls: sandboxes.filter((s) => s.action === action).reduce((sum, s) => sum + s.running, 0),
      }));
      const [most] = running.sort((x, y) => y.calls - x.calls);
      return most !== undefined && most.calls > 0 && most.id;
    });
  const invokerIds = async (): Promise<string[]> => (await client.status()).invokers.map((i) => i.id).sort();

  it("serves warm calls without a scheduler, and cold ones when it is back", async () => {
    await echo("warm up");
    fabric.kill("scheduler-1");
    for (let i = 0; i < 20; i++) await echo(`without ${i}`);
    await fabric.restart();
    await client.createAction("fresh", "exports.main = () => ({ fresh: true });\n");
    const { activation } = await eventually(() => client.invoke("fresh"), { withinMs: 30_000 });
    expect(JSON.parse(activation?.resultJson ?? "{}")).toEqual({ fresh: true });
  });

  it("serves warm calls without a controller, and records them when it is back", async () => {
    await echo("warm up");
    fabric.kill("controller-1");
    const ids: string[] = [];
    for (let i = 0; i < 20; i++) ids.push((await client.invoke("echo", { i })).activationId);
    await fabric.restart();
    for (const [i, id] of ids.entries()) expect(JSON.parse((await client.record(id)).resultJson)).toEqual({ i });
  });

  it("finishes every durable request after the controller dies with them in hand", async () => {
    const ids = await Promise.all(Array.from({ length: 40 }, (_, i) => client.submit("sleep", { ms: 50 + i })));
    fabric.kill("controller-1");
    await fabric.restart();
    for (const id of ids) expect((await client.record(id, 60_000)).activationId).toBe(id);
  });

  it("finishes every durable request after an invoker dies while it runs them", async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, () => client.submit("sleep", { ms: 500 })));
    fabric.kill(await busyWith("guest/sleep"));
    for (const id of ids) expect((await client.record(id, 60_000)).activationId).toBe(id);
    await fabric.restart();
    await eventually(async () => expect(await invokerIds()).toEqual(["invoker-1", "invoker-2"]), { withinMs: 20_000 });
  });

  it("finishes every durable request after the scheduler dies", async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, () => client.submit("sleep", { ms: 200 })));
    fabric.kill("scheduler-1");
    await fabric.restart();
    for (const id of ids) {
      const record = await client.record(id, 60_000);
      expect(JSON.parse(record.resultJson)).toEqual({ slept: 200 });
    }
  });

  it("removes an invoker that died and runs its share elsewhere", async () => {
    await echo("warm up");
    fabric.kill("invoker-1");
    await eventually(async () => expect(await invokerIds()).toEqual(["invoker-2"]), { withinMs: 3 * MEMBER_TTL_MS });
    for (let i = 0; i < 20; i++) await eventually(() => echo(`elsewhere ${i}`), { withinMs: 20_000 });
    await fabric.restart();
    await eventually(async () => expect(await invokerIds()).toEqual(["invoker-1", "invoker-2"]), { withinMs: 20_000 });
  });

  it("fences an invoker that was paused beyond its lease, and takes it back when it wakes", async () => {
    const bootIdOf = async (id: string): Promise<string | undefined> =>
      (await client.status()).members.find((m) => m.id === id)?.bootId;
    await echo("warm up");
    fabric.signal("invoker-2", "SIGSTOP");
    try {
      await eventually(async () => expect(await bootIdOf("invoker-2")).toBeUndefined(), {
        withinMs: 4 * MEMBER_TTL_MS,
      });
      await eventually(() => echo("while it is paused"), { withinMs: 30_000 });
    } finally {
      fabric.signal("invoker-2", "SIGCONT");
    }
    await eventually(async () => expect(await bootIdOf("invoker-2")).toBeDefined(), { withinMs: 30_000 });
    await eventually(async () => expect(await invokerIds()).toEqual(["invoker-1", "invoker-2"]), { withinMs: 20_000 });
    for (let i = 0; i < 20; i++) await echo(`after ${i}`);
  });

  it("tells a waiting caller that the outcome is unknown when the invoker dies, and records it so", async () => {
    const waiting = refusalOf(client.invoke("sleep", { ms: 8_000 }));
    fabric.kill(await busyWith("guest/sleep"));
    const refusal = await waiting;
    expect({ kind: refusal.kind, reason: refusal.reason }).toEqual({ kind: "unavailable", reason: "OUTCOME_UNKNOWN" });
    await eventually(async () => {
      const { activations } = await client.call(
        services.activation.listActivations,
        ListActivationsRequest.fromPartial({ namespace: "_", name: "sleep", pageSize: 5 }),
      );
      expect(activations.map((a) => a.outcome)).toContain(Outcome.PLATFORM_ERROR);
    });
    await fabric.restart();
  });

  it("serves again after the gateway died", async () => {
    fabric.kill("gateway-1");
    await fabric.restart();
    await eventually(() => echo("again"), { withinMs: 20_000 });
  });
});
