// Web actions below the faces: who may reach what without a key, as whom it runs, and who is throttled for it.

import { afterEach, describe, expect, it } from "vitest";
import { eventually } from "../../test/harness/eventually.js";
import { bearer, doneWith, gatewayWorld, GUEST, type GatewayWorld } from "../../test/harness/gateway.js";
import { toWeftError, WeftError } from "../base/errors.js";
import type { DispatchCall } from "../core/dispatch/call.js";
import { ActionServiceService, DeleteActionRequest } from "../gen/weft/action/v1/action.pb.js";
import type { NativeApi, WebAction } from "./native-api.js";

const worlds: GatewayWorld[] = [];
const EXPORTED = { "web-export": "true" };
const CONTEXT = { transactionId: "tid", traceparent: "" };

async function world(before?: (w: GatewayWorld["controller"]) => void): Promise<GatewayWorld & { api: NativeApi }> {
  const made = await gatewayWorld(before ? { before } : {});
  worlds.push(made);
  await eventually(() => made.controller.watchers === 1);
  return { ...made, api: made.gateway.api };
}

afterEach(async () => {
  for (const made of worlds.splice(0)) await made.close();
});

async function refusal(act: Promise<unknown>): Promise<WeftError> {
  try {
    await act;
  } catch (thrown) {
    return toWeftError(thrown);
  }
  throw new Error("it was not refused");
}

const run = (action: WebAction, json = '{"a":1}'): ReturnType<WebAction["invoke"]> =>
  action.invoke(() => Buffer.from(json), CONTEXT);

describe("a web action", () => {
  it("is found when it was exported and only then, whatever else is known of actions", async () => {
    const w = await world();
    w.controller.actions.set("guest/web", { path: "guest/web", annotations: { ...EXPORTED, note: '{"n":1.0}' } });
    w.controller.actions.set("guest/truthy", { path: "guest/truthy", annotations: { "web-export": '"true"' } });
    const identity = await w.api.identify(bearer(GUEST));
    const command = { namespace: "_", action: "echo", paramsJson: Buffer.alloc(0), blocking: true, waitMs: 0 };
    await w.api.invoke(command, { identity, ...CONTEXT });
    for (const name of ["echo", "truthy", "none"]) {
      expect(await refusal(w.api.webAction("guest", name))).toMatchObject({ kind: "notFound" });
    }
    expect(await refusal(w.api.webAction("_", "web"))).toMatchObject({ kind: "notFound" });
    const found = await w.api.webAction("guest", "web");
    expect([...found.annotations]).toEqual([
      ["web-export", "true"],
      ["note", '{"n":1.0}'],
    ]);
    // What strangers may know of it says nothing of who may invoke it with a key: that is asked for.
    const other = { uuid: "other", secret: "o".repeat(64), namespace: "other" };
    w.controller.keys.set("other", other);
    const stranger = await w.api.identify(bearer(other));
    const before = w.controller.resolved.length;
    await w.api.invoke({ ...command, namespace: "guest", action: "web" }, { identity: stranger, ...CONTEXT });
    expect(w.controller.resolved.slice(before)).toEqual(["guest/web"]);
  });

  it("runs as its owner with a key that is made for it, and its own properties override final defaults", async () => {
    const w = await world();
    w.controller.actions.set("guest/web", {
      path: "guest/web",
      annotations: EXPORTED,
      final: true,
      provideApiKey: true,
      defaults: { fixed: "1", open: " null " },
    });
    const action = await w.api.webAction("guest", "web");
    expect([...action.immutable]).toEqual(["fixed"]);
    const answer = await run(action, '{"fixed":2,"a":12345678901234567890}');
    expect(answer).toMatchObject({ kind: "done", activation: { namespace: "guest", subject: "guest", name: "web" } });
    const [call] = w.dispatcher.calls;
    expect(call?.caller).toMatchObject({ namespace: "guest", subject: "guest", transactionId: "tid" });
    const authorization = `Bearer ${call?.caller.apiKey}`;
    expect(await w.api.identify(authorization)).toMatchObject({
      uuid: GUEST.uuid,
      namespace: "guest",
      delegated: true,
    });
    w.controller.keys.delete(GUEST.uuid);
    w.controller.tell({ namespace: "guest", keyUuid: GUEST.uuid });
    await eventually(async () => {
      await expect(w.api.identify(authorization)).rejects.toMatchObject({ kind: "unauthenticated" });
      await expect(w.api.webAction("guest", "web")).rejects.toMatchObject({ kind: "notFound" });
    });
    expect(Buffer.from(call?.paramsJson ?? []).toString()).toBe('{"open": null ,"fixed":2,"a":12345678901234567890}');
  });

  it("is asked for once, until a controller tells that it, its package or its owner's limits changed", async () => {
    const w = await world();
    w.controller.actions.set("guest/pkg/web", { path: "guest/pkg/web", annotations: EXPORTED });
    const asked = async (): Promise<number> => {
      const before = w.controller.resolved.length;
      await run(await w.api.webAction("guest", "pkg/web"));
      return w.controller.resolved.length - before;
    };
    expect(await asked()).toBe(1);
    // The stream of changes may open only now, and make old what was asked for before.
    await eventually(async () => (await asked()) === 0);
    w.controller.keys.set(GUEST.uuid, { ...GUEST, invocationsPerMinute: 0 });
    w.controller.tell({ namespace: "guest" });
    await eventually(async () => {
      expect((await refusal(w.api.webAction("guest", "pkg/web").then((action) => run(action)))).kind).toBe("throttled");
    });
    w.controller.actions.set("guest/pkg/web", { path: "guest/pkg/web" });
    w.controller.tell({ namespace: "guest", name: "pkg" });
    await eventually(async () => {
      expect((await refusal(w.api.webAction("guest", "pkg/web"))).kind).toBe("notFound");
    });
  });

  it("is gone for everybody as soon as its owner's own write was answered", async () => {
    const w = await world((controller) => {
      controller.serve(ActionServiceService.deleteAction.path, () => {
        controller.actions.delete("guest/web");
        return Promise.resolve(Buffer.alloc(0));
      });
    });
    w.controller.actions.set("guest/web", { path: "guest/web", annotations: EXPORTED });
    await w.api.webAction("guest", "web");
    await w.call(ActionServiceService.deleteAction, DeleteActionRequest.fromPartial({ namespace: "_", name: "web" }));
    expect((await refusal(w.api.webAction("guest", "web"))).kind).toBe("notFound");
  });

  it("counts for its owner's throttles, and lets go of them however it ends", async () => {
    const w = await world();
    const one = { uuid: "one", secret: "o".repeat(64), namespace: "one", concurrentInvocations: 1 };
    w.controller.keys.set("one", one);
    w.controller.actions.set("one/web", { path: "one/web", annotations: EXPORTED });
    const action = await w.api.webAction("one", "web");
    w.dispatcher.answer = undefined;
    const first = run(action);
    const call = await eventually(() => w.dispatcher.calls[0] ?? false);
    let prepared = 0;
    const second = action.invoke(() => Buffer.from(String((prepared += 1))), CONTEXT);
    expect(await refusal(second)).toMatchObject({ kind: "throttled", reason: "CONCURRENCY_LIMIT" });
    expect(prepared).toBe(0);
    call.complete(doneWith());
    await first;

    const mine = new WeftError("permissionDenied", "MINE", "no");
    const refuses = action.invoke(() => {
      throw mine;
    }, CONTEXT);
    expect(await refusal(refuses)).toBe(mine);
    expect(await action.invoke(() => undefined, CONTEXT)).toBeUndefined();
    expect((await refusal(run(action, "[1]"))).kind).toBe("invalidArgument");
    const endings: ((call: DispatchCall) => void)[] = [
      (c) => c.complete({ kind: "refused", error: new WeftError("noCapacity", "X", "x") }),
      (c) => c.complete({ kind: "lost", invokerId: "i", error: new WeftError("unavailable", "X", "x") }),
      (c) => c.complete(doneWith()),
    ];
    for (const ending of endings) {
      w.dispatcher.answer = ending;
      await run(action).catch(() => undefined);
    }
    expect(await run(action)).toMatchObject({ kind: "done" });
  });
});
