import { afterEach, describe, expect, it } from "vitest";

import { eventually } from "../../test/harness/eventually.js";
import { bearer, gatewayWorld, GUEST, type GatewayWorld } from "../../test/harness/gateway.js";
import { CLUSTER_KEY } from "../../test/harness/scripted-controller.js";
import { WeftError } from "../base/errors.js";
import type { ActivationId } from "../base/ids.js";
import type { ActionActivation } from "../core/activation/types.js";
import { recordToWire } from "../dispatch/record-wire.js";
import { Outcome } from "../gen/weft/activation/v1/activation.pb.js";
import { InvokeServiceService, type InvokeRequest, type StreamResult } from "../gen/weft/invoke/v1/invoke.pb.js";
import type { AwaitRequest } from "../gen/weft/link/v1/control.pb.js";
import { GrpcNetwork } from "../rpc/channel.js";
import { invokeStreamLink } from "../rpc/link-methods.js";

const worlds: GatewayWorld[] = [];
afterEach(async () => {
  for (const made of worlds.splice(0)) await made.close();
});

/** A gateway before a controller that runs the sequence "both". */
async function world(more: Partial<ActionActivation> = {}): Promise<GatewayWorld> {
  const made = await gatewayWorld();
  worlds.push(made);
  made.controller.actions.set("guest/both", { path: "guest/both", composite: true, provideApiKey: true });
  made.controller.onAwait = (request) => Promise.resolve({ record: recordToWire(recordOf(request, more)) });
  await eventually(() => made.controller.watchers === 1);
  return made;
}

function recordOf(request: AwaitRequest, more: Partial<ActionActivation>): ActionActivation {
  return {
    of: "action",
    id: Buffer.from(request.activationId).toString("hex") as ActivationId,
    namespace: request.namespace,
    subject: "guest",
    name: "both",
    path: "guest/both",
    binding: undefined,
    version: "0.0.1",
    kind: "sequence",
    startWallMs: 1_000,
    durationMs: 7,
    initMs: undefined,
    waitMs: 3,
    outcome: "success",
    resultJson: '{"n":1.10}',
    resultSize: 10,
    timedOut: false,
    logs: ["a", "b"],
    limits: { timeoutMs: 60_000, memoryMb: 256, logsMb: 10, concurrency: 1 },
    cause: undefined,
    transactionId: "t",
    traceId: "",
    startKind: undefined,
    invokerId: "",
    composite: { endWallMs: 2_500, componentRuns: 2, conductorRuns: undefined },
    ...more,
  };
}

const both = (more: Partial<InvokeRequest> = {}): InvokeRequest => ({
  namespace: "_",
  action: "both",
  paramsJson: '{"n":0}',
  blocking: true,
  waitMs: 0,
  ...more,
});

describe("a sequence", () => {
  it("is submitted and awaited, and answered with its record and what ran in it", async () => {
    const w = await world();
    const { activationId, activation } = await w.call(InvokeServiceService.invoke, both({ waitMs: 5_000 }));
    expect(activation).toMatchObject({
      activationId,
      kind: "sequence",
      resultJson: '{"n":1.10}',
      logs: ["a", "b"],
      durationMs: 7,
      startTime: { seconds: 1, nanos: 0 },
      endTime: { seconds: 2, nanos: 500_000_000 },
      composition: false,
    });
    expect(w.dispatcher.calls).toEqual([]);
    const [submitted] = w.controller.submitted;
    expect(submitted).toMatchObject({ namespace: "guest", name: "both", composite: true });
    expect([submitted?.caller?.apiKey, submitted?.keyUuid]).toEqual(["", GUEST.uuid]);
    expect(w.controller.awaited[0]?.waitMs).toBeLessThanOrEqual(5_000);
  });

  it("of a caller who does not wait is submitted and not awaited", async () => {
    const w = await world();
    const { activationId, activation } = await w.call(InvokeServiceService.invoke, both({ blocking: false }));
    expect([activationId.length, activation]).toEqual([32, undefined]);
    expect(w.controller.awaited).toEqual([]);
  });

  it("that goes on after the wait is answered with its id, and Call says that it takes too long", async () => {
    const w = await world();
    w.controller.onAwait = () => Promise.resolve({ record: undefined });
    expect((await w.call(InvokeServiceService.invoke, both())).activation).toBeUndefined();
    const call = { namespace: "_", action: "both", params: undefined };
    await expect(w.call(InvokeServiceService.call, call)).rejects.toMatchObject({ code: 4 });
  });

  it("is awaited again when the controller that was asked goes away", async () => {
    const w = await world();
    const answer = w.controller.onAwait;
    let asked = 0;
    w.controller.onAwait = (request) => {
      asked += 1;
      return asked < 3 ? Promise.reject(new WeftError("unavailable", "STOPPED", "stopping")) : answer(request);
    };
    expect((await w.call(InvokeServiceService.invoke, both())).activation?.resultJson).toBe('{"n":1.10}');
    expect(w.controller.submitted).toHaveLength(1);
  });

  it("that nobody can say anything of any more is answered with its id", async () => {
    const w = await world();
    w.controller.onAwait = () => Promise.reject(new WeftError("unavailable", "STOPPED", "stopping"));
    const { activationId, activation } = await w.call(InvokeServiceService.invoke, both({ waitMs: 200 }));
    expect([activationId.length, activation]).toEqual([32, undefined]);
  });

  it("leaves it to the controller to count it while it runs", async () => {
    const w = await world();
    w.controller.keys.set(GUEST.uuid, { ...GUEST, concurrentInvocations: 1 });
    let open = (): void => undefined;
    const answer = w.controller.onAwait;
    w.controller.onAwait = (request) => new Promise<void>((resolve) => (open = resolve)).then(() => answer(request));
    const first = w.call(InvokeServiceService.invoke, both());
    await eventually(() => w.controller.awaited.length === 1);
    w.controller.onAwait = answer;
    await w.call(InvokeServiceService.invoke, both());
    open();
    await first;
    w.controller.onSubmit = () => Promise.reject(new WeftError("throttled", "CONCURRENCY_LIMIT", "too many"));
    await expect(w.call(InvokeServiceService.invoke, both())).rejects.toMatchObject({ code: 8 });
  });

  it("that fails is an outcome for Call", async () => {
    const w = await world({ outcome: "applicationError", resultJson: '{"error":"no"}' });
    const call = { namespace: "_", action: "both", params: undefined };
    await expect(w.call(InvokeServiceService.call, call)).rejects.toMatchObject({ code: 9, details: "no" });
  });

  it("runs on a stream of invocations like everything else", async () => {
    const w = await world();
    const network = new GrpcNetwork({ clusterKey: CLUSTER_KEY });
    const link = network.dial(w.address, invokeStreamLink, { authorization: bearer(GUEST) });
    const results: StreamResult[] = [];
    link.onItem = (item) => void results.push({ ...item, resultJson: Buffer.from(item.resultJson) });
    const closed = new Promise((resolve) => (link.onClosed = resolve));
    for (const [call, action] of ["both", "echo", "both"].entries()) {
      link.send({ call, namespace: "_", action, paramsJson: Buffer.from('{"n":1}') });
    }
    link.finish();
    await closed;
    network.close();
    results.sort((a, b) => a.call - b.call);
    expect(results.map((one) => [one.outcome, Buffer.from(one.resultJson).toString(), one.durationMs])).toEqual([
      [Outcome.SUCCESS, '{"n":1.10}', 7],
      [Outcome.SUCCESS, '{"n":1}', 5],
      [Outcome.SUCCESS, '{"n":1.10}', 7],
    ]);
  });
});
