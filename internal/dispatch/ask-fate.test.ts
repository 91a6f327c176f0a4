// What an invoker knows of activations that this dispatcher did not send: how durable requests are recovered.

import { describe, expect, it } from "vitest";

import { ManualClock, settle } from "../../test/harness/clock.js";
import { silentLog } from "../base/log.js";
import { seededRandom } from "../base/random.js";
import { MemoryCoordination } from "../core/coordination/memory-coordination.js";
import { CallStatus, type WorkRequestItem, type WorkResponseItem } from "../gen/weft/link/v1/work.pb.js";
import { workLink } from "../rpc/link-methods.js";
import type { Link } from "../rpc/link.js";
import { MemoryNetwork } from "../rpc/network.js";
import { Dispatcher } from "./dispatcher.js";

const INVOKER = { invokerId: "i1", invokerBootId: "boot-1" };
const ID = Uint8Array.from({ length: 16 }, (_, i) => i);

async function world(options: { readonly answer?: (id: Uint8Array) => CallStatus; readonly bootId?: string } = {}) {
  const clock = new ManualClock();
  const network = new MemoryNetwork();
  const coordination = new MemoryCoordination(clock);
  const asked: WorkRequestItem[] = [];
  network.serve<WorkRequestItem, WorkResponseItem>(
    "i1:1",
    workLink,
    (link: Link<WorkRequestItem, WorkResponseItem>) => {
      link.onItem = ({ item }) => {
        if (item?.$case === "hello") {
          const bootId = options.bootId ?? INVOKER.invokerBootId;
          const welcome = { invokerId: "i1", bootId, wireVersion: 1, callCredits: 8, byteCredits: 1_000 };
          link.send({ item: { $case: "welcome", value: welcome } });
        }
        if (item?.$case === "statusQuery") {
          asked.push({ item });
          if (!options.answer) return;
          const statuses = item.value.activationIds.map((activationId) => ({
            activationId,
            status: options.answer?.(activationId) ?? CallStatus.UNSPECIFIED,
            done: undefined,
          }));
          link.send({ item: { $case: "status", value: { statuses } } });
        }
      };
    },
  );
  await coordination.join(
    { role: "invoker", id: "i1", bootId: "boot-1", address: "i1:1", zone: "", wireVersion: 1 },
    5_000,
  );
  const dispatcher = new Dispatcher({
    id: "c1",
    bootId: "c-boot",
    network,
    coordination,
    clock,
    random: seededRandom(1),
    log: silentLog,
  });
  dispatcher.start();
  await settle();
  return { clock, network, dispatcher, asked };
}

describe("asking an invoker for the fate of an activation", () => {
  it.each([
    ["unknown proves that it never started", CallStatus.UNKNOWN, { kind: "notStarted" }],
    ["running is running", CallStatus.RUNNING, { kind: "running" }],
    ["done without a result has its record", CallStatus.DONE, { kind: "done", done: undefined }],
    ["what a newer invoker says proves nothing", CallStatus.UNSPECIFIED, { kind: "running" }],
  ] as const)("%s", async (_name, status, fate) => {
    const { dispatcher } = await world({ answer: () => status });
    expect(await dispatcher.askFate(INVOKER, ID)).toEqual(fate);
    // And again over the link that is there.
    expect(await dispatcher.askFate(INVOKER, ID)).toEqual(fate);
    dispatcher.close();
  });

  it("fails when that life of the invoker is over", async () => {
    const { dispatcher } = await world({ answer: () => CallStatus.UNKNOWN });
    await expect(dispatcher.askFate({ invokerId: "i1", invokerBootId: "boot-0" }, ID)).rejects.toMatchObject({
      kind: "unavailable",
      reason: "INVOKER_GONE",
    });
    dispatcher.close();
  });

  it("fails when another life answers at its address", async () => {
    const { dispatcher } = await world({ answer: () => CallStatus.UNKNOWN, bootId: "boot-2" });
    await expect(dispatcher.askFate(INVOKER, ID)).rejects.toMatchObject({ reason: "INVOKER_RESTARTED" });
    dispatcher.close();
  });

  it("fails when the link breaks before the answer", async () => {
    const { dispatcher, network } = await world();
    const answer = dispatcher.askFate(INVOKER, ID);
    await settle();
    network.breakLinks("i1:1");
    await expect(answer).rejects.toMatchObject({ reason: "LINK_LOST" });
    dispatcher.close();
  });

  it("fails when the invoker says nothing, and leaves no timer", async () => {
    const { dispatcher, clock, asked } = await world();
    const answer = dispatcher.askFate(INVOKER, ID);
    const failed = expect(answer).rejects.toMatchObject({ reason: "NO_ANSWER" });
    await clock.elapse(6_000);
    await failed;
    expect(asked).toHaveLength(1);
    dispatcher.close();
    expect(clock.pending).toBe(0);
  });
});
