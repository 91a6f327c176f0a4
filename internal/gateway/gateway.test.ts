import { execFile } from "node:child_process";
import { Metadata, status, type ServiceError } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { eventually } from "../../test/harness/eventually.js";
import {
  bearer,
  doneWith,
  gatewayWorld,
  GUEST,
  type GatewayWorld,
  type GatewayWorldOptions,
} from "../../test/harness/gateway.js";
import { recordTraces } from "../../test/harness/tracing.js";
import { DelegatedKeys } from "../core/tenancy/delegated.js";
import { managesKeys } from "./public-rpcs.js";
import { CLUSTER_KEY } from "../../test/harness/scripted-controller.js";
import { WeftError } from "../base/errors.js";
import type { DispatchCall } from "../core/dispatch/call.js";
import { HttpBody } from "../gen/google/api/httpbody.pb.js";
import {
  AccessServiceService,
  CreateKeyRequest,
  ListKeysRequest,
  WhoAmIRequest,
} from "../gen/weft/access/v1/access.pb.js";
import { ActionServiceService, DeleteActionRequest } from "../gen/weft/action/v1/action.pb.js";
import { Outcome, Start, Subject } from "../gen/weft/activation/v1/activation.pb.js";
import {
  CallRequest,
  FireRequest,
  InvokeRequest,
  InvokeServiceService,
  type StreamResult,
} from "../gen/weft/invoke/v1/invoke.pb.js";
import { Outcome as LinkOutcome } from "../gen/weft/link/v1/work.pb.js";
import { GrpcNetwork } from "../rpc/channel.js";
import { invokeStreamLink } from "../rpc/link-methods.js";
import { MESSAGE_BYTES_MAX } from "../rpc/link.js";
import { fromStatus } from "../rpc/status.js";

const worlds: GatewayWorld[] = [];

async function world(options: GatewayWorldOptions = {}): Promise<GatewayWorld> {
  const made = await gatewayWorld(options);
  worlds.push(made);
  if (options.controller !== false) await eventually(() => made.controller.watchers === 1);
  return made;
}

afterEach(async () => {
  for (const made of worlds.splice(0)) await made.close();
});

/** The error as a client of ours reads it. */
async function failure(act: Promise<unknown>): Promise<WeftError & { readonly headers: Record<string, string> }> {
  try {
    await act;
  } catch (thrown) {
    const { headers } = thrown as { headers: Record<string, string> };
    return Object.assign(fromStatus(thrown as ServiceError), { headers });
  }
  throw new Error("the call succeeded");
}

const invoke = (more: Partial<InvokeRequest> = {}): InvokeRequest => ({
  namespace: "_",
  action: "echo",
  paramsJson: "",
  blocking: true,
  waitMs: 0,
  ...more,
});

describe("credentials", () => {
  const table: readonly (readonly [string, string | undefined, string])[] = [
    ["none", undefined, "NO_CREDENTIALS"],
    ["an empty header", "", "NO_CREDENTIALS"],
    ["another scheme", "Digest abc", "MALFORMED_CREDENTIALS"],
    ["Basic that is not base64", "Basic ***", "MALFORMED_CREDENTIALS"],
    ["Basic without a colon", `Basic ${Buffer.from("nocolon").toString("base64")}`, "MALFORMED_CREDENTIALS"],
    ["Bearer without a secret", "Bearer uuid:", "MALFORMED_CREDENTIALS"],
    ["Bearer without a uuid", "Bearer :secret", "MALFORMED_CREDENTIALS"],
    ["a header that is too long", `Bearer a:${"x".repeat(2_000)}`, "MALFORMED_CREDENTIALS"],
    ["an unknown key", "Bearer nobody:secret", "BAD_CREDENTIALS"],
    ["a wrong secret", `Bearer ${GUEST.uuid}:${"h".repeat(64)}`, "BAD_CREDENTIALS"],
    ["a secret that is too short by one", `Bearer ${GUEST.uuid}:${"g".repeat(63)}`, "BAD_CREDENTIALS"],
  ];
  it("that are not right are refused with what is wrong, on every kind of rpc", async () => {
    const w = await world({
      before: (controller) => {
        controller.serve(AccessServiceService.whoAmI.path, () => Promise.resolve(Buffer.alloc(0)));
      },
    });
    for (const [what, authorization, reason] of table) {
      const headers = authorization === undefined ? {} : { authorization };
      for (const path of [InvokeServiceService.invoke.path, AccessServiceService.whoAmI.path]) {
        const error = await failure(w.raw(path, Buffer.alloc(0), headers));
        expect([what, error.kind, error.reason]).toEqual([what, "unauthenticated", reason]);
      }
    }
    expect(w.dispatcher.calls).toEqual([]);
  });

  it("that are right are accepted as Basic and as Bearer, whatever the case of the scheme", async () => {
    const w = await world();
    const basic = Buffer.from(`${GUEST.uuid}:${GUEST.secret}`).toString("base64");
    for (const authorization of [
      `Basic ${basic}`,
      `basic ${basic}`,
      bearer(GUEST),
      bearer(GUEST).toUpperCase().replace(/:.*/, `:${GUEST.secret}`).replace(GUEST.uuid.toUpperCase(), GUEST.uuid),
    ]) {
      await w.call(InvokeServiceService.invoke, invoke(), { headers: { authorization } });
    }
    expect(w.controller.authenticated).toEqual([GUEST.uuid]);
  });

  it("are refused as unavailable, not as wrong, when no controller can be asked", async () => {
    const w = await world({ controller: false });
    const error = await failure(w.call(InvokeServiceService.invoke, invoke()));
    expect(error).toMatchObject({ kind: "unavailable", reason: "NO_CONTROLLER", message: "no controller is alive" });
  });

  it("that were revoked are refused as soon as the change is told", async () => {
    const w = await world();
    await w.call(InvokeServiceService.invoke, invoke());
    w.controller.keys.delete(GUEST.uuid);
    await w.call(InvokeServiceService.invoke, invoke());
    w.controller.tell({ namespace: "guest", keyUuid: GUEST.uuid });
    await eventually(async () => {
      expect((await failure(w.call(InvokeServiceService.invoke, invoke()))).reason).toBe("BAD_CREDENTIALS");
    });
  });

  it("that are unknown are asked for once and not again for a while", async () => {
    const w = await world();
    const headers = { authorization: "Bearer nobody:secret" };
    await Promise.all(
      Array.from({ length: 5 }, () => failure(w.call(InvokeServiceService.invoke, invoke(), { headers }))),
    );
    expect(w.controller.authenticated).toEqual(["nobody"]);
  });
});

describe("Invoke", () => {
  it("answers with the whole record of a blocking invocation but its logs", async () => {
    const w = await world();
    w.dispatcher.answer = (call) => {
      call.complete(
        doneWith({ initMs: 7, startKind: "cold", resultJson: Buffer.from('{"n":1.10}'), durationMs: 1_250 }),
      );
    };
    const { activationId, activation } = await w.call(InvokeServiceService.invoke, invoke({ paramsJson: '{"a":1}' }));
    expect(activationId).toMatch(/^[0-9a-f]{32}$/);
    expect(activation).toEqual({
      activationId,
      namespace: "guest",
      name: "echo",
      path: "guest/echo",
      version: "0.0.1",
      subject: "guest",
      of: Subject.ACTION,
      startTime: { seconds: 1_700_000_000, nanos: 123_000_000 },
      endTime: { seconds: 1_700_000_001, nanos: 373_000_000 },
      durationMs: 1_250,
      initMs: 7,
      waitMs: 1,
      outcome: Outcome.SUCCESS,
      timedOut: false,
      resultJson: '{"n":1.10}',
      resultSize: 10,
      logs: [],
      kind: "nodejs:20",
      limits: { timeoutMs: 60_000, memoryMb: 256, logsMb: 10, concurrency: 1 },
      cause: "",
      binding: "",
      start: Start.COLD,
      traceId: "",
      composition: false,
    });
    const [call] = w.dispatcher.calls;
    expect(Buffer.from(call?.paramsJson ?? []).toString()).toBe('{"a":1}');
    expect(Buffer.from(call?.activationId ?? []).toString("hex")).toBe(activationId);
    expect(call?.caller).toMatchObject({ namespace: "guest", subject: "guest", apiKey: "", cause: "" });
    expect(call?.attempt).toBe(0);
  });

  it("asks a controller once for many calls and nobody for the next ones", async () => {
    const w = await world();
    await Promise.all(Array.from({ length: 20 }, () => w.call(InvokeServiceService.invoke, invoke())));
    await w.call(InvokeServiceService.invoke, invoke({ namespace: "guest" }));
    expect(w.controller.authenticated).toEqual([GUEST.uuid]);
    expect(w.controller.resolved).toEqual(["guest/echo"]);
    expect(await w.registry.render()).toContain(
      'weft_gateway_requests_total{rpc="weft.invoke.v1.InvokeService/Invoke",kind="ok"} 21',
    );
  });

  it("merges defaults, keeps the digits of numbers, and passes the key to actions that ask for it", async () => {
    const w = await world();
    w.controller.actions.set("guest/pkg/add", {
      path: "guest/pkg/add",
      defaults: { big: "12345678901234567890", a: "1" },
      provideApiKey: true,
    });
    const { activation } = await w.call(
      InvokeServiceService.invoke,
      invoke({ action: "pkg/add", paramsJson: '{"a":0.10}' }),
    );
    expect(activation?.resultJson).toBe('{"big":12345678901234567890,"a":0.10}');
    expect(activation).toMatchObject({ name: "add", path: "guest/pkg/add" });
    expect(w.dispatcher.calls[0]?.caller.apiKey).toBe(`${GUEST.uuid}:${GUEST.secret}`);
  });

  it("takes a key that was made for an activation, passes on a new one, and lets it manage no keys", async () => {
    const w = await world();
    w.controller.actions.set("guest/keyed", { path: "guest/keyed", provideApiKey: true });
    const made = new DelegatedKeys(CLUSTER_KEY).make(GUEST.uuid, 1_000, Date.now());
    const headers = { authorization: `Bearer ${made}` };
    await w.call(InvokeServiceService.invoke, invoke({ action: "keyed" }), { headers });
    const passed = w.dispatcher.calls[0]?.caller.apiKey ?? "";
    expect(passed).toMatch(new RegExp(`^${GUEST.uuid}:[0-9a-f]{64}$`));
    // Of the activation that it started: it has that one's time, not what was left of its own.
    expect(passed).not.toBe(made);
    const { createKey, listKeys, whoAmI } = AccessServiceService;
    for (const refused of [
      w.call(createKey, CreateKeyRequest.fromPartial({ namespace: "_" }), { headers }),
      w.call(listKeys, ListKeysRequest.fromPartial({ namespace: "_" }), { headers }),
    ]) {
      await expect(refused).rejects.toMatchObject({ code: status.PERMISSION_DENIED });
    }
    expect(managesKeys(whoAmI.path)).toBe(false);
  });

  it("hands the caller's transaction id and trace on, and makes up an id otherwise", async () => {
    const w = await world();
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const headers = { authorization: bearer(GUEST), "x-request-id": "my-id", traceparent };
    const { activation } = await w.call(InvokeServiceService.invoke, invoke(), { headers });
    expect(activation?.traceId).toBe("0af7651916cd43dd8448eb211c80319c");
    await w.call(InvokeServiceService.invoke, invoke(), { headers: { ...headers, "x-request-id": "sid_reserved" } });
    expect(w.dispatcher.calls[0]).toMatchObject({ traceparent, caller: { transactionId: "my-id" } });
    expect(w.dispatcher.calls[1]?.caller.transactionId).toMatch(/^[0-9a-f]{32}$/);
  });

  it("reports user code that fails as an outcome", async () => {
    const w = await world();
    w.dispatcher.answer = (call) => {
      call.complete(doneWith({ outcome: "applicationError", resultJson: Buffer.from('{"error":"no"}') }));
    };
    const { activation } = await w.call(InvokeServiceService.invoke, invoke());
    expect(activation).toMatchObject({ outcome: Outcome.APPLICATION_ERROR, resultJson: '{"error":"no"}' });
  });

  const wrong: readonly (readonly [string, Partial<InvokeRequest>, string, string])[] = [
    ["an action without a name", { action: "" }, "action", "must not be empty"],
    ["a name with too many parts", { action: "a/b/c" }, "action", 'must be "name" or "package/name"'],
    ["an illegal character", { action: "no$" }, "action", "contains illegal characters"],
    ["a name that is too long", { action: "a".repeat(257) }, "action", "longer than allowed: 257 > 256"],
    ["an illegal namespace", { namespace: "no$" }, "namespace", "contains illegal characters"],
    ["no namespace", { namespace: "" }, "namespace", "must not be empty"],
    ["an array", { paramsJson: "[1]" }, "params", "must be a JSON object, got an array"],
    ["broken JSON", { paramsJson: '{"a":}' }, "params", "is not JSON at byte 5"],
    [
      "JSON that is too deep",
      { paramsJson: `{"a":${"[".repeat(5_000)}${"]".repeat(5_000)}}` },
      "params",
      "nested deeper",
    ],
    ["too long a wait", { waitMs: 60_001 }, "wait_ms", "must be 1 to 60000, got 60001"],
  ];
  it("refuses what is malformed with the field and what would be right, for a known and an unknown action", async () => {
    const w = await world();
    await w.call(InvokeServiceService.invoke, invoke());
    for (const [what, more, field, description] of wrong) {
      for (const action of ["echo", "unknown"]) {
        const error = await failure(w.call(InvokeServiceService.invoke, invoke({ action, ...more })));
        expect([what, error.kind]).toEqual([what, "invalidArgument"]);
        expect(error.fields).toMatchObject([{ field, description: expect.stringContaining(description) as string }]);
      }
    }
    expect(w.dispatcher.calls).toHaveLength(1);
    expect(w.gateway.debug()).toMatchObject({ dispatcher: { inFlight: 0 } });
  });

  it("refuses arguments above 1 MiB with both sizes, and takes those just below", async () => {
    const w = await world();
    const sized = (bytes: number): string => `{"a":"${"x".repeat(bytes - 8)}"}`;
    const { activation } = await w.call(InvokeServiceService.invoke, invoke({ paramsJson: sized(1_048_576) }));
    expect(activation?.resultJson.length).toBe(1_048_576);
    const error = await failure(w.call(InvokeServiceService.invoke, invoke({ paramsJson: sized(1_048_577) })));
    expect(error).toMatchObject({ kind: "invalidArgument", reason: "TOO_LARGE" });
    expect(error.fields).toEqual([{ field: "params", description: "larger than allowed: 1048577 > 1048576 bytes" }]);
    const huge = await failure(w.call(InvokeServiceService.invoke, invoke({ paramsJson: sized(9_000_000) })));
    expect(huge.reason).toBe("TOO_LARGE");
  });

  it("refuses bytes that are no message as the caller's mistake", async () => {
    const w = await world();
    const error = await failure(w.raw(InvokeServiceService.invoke.path, Buffer.from([0x0a, 0xff, 0xff])));
    expect(error).toMatchObject({ kind: "invalidArgument", reason: "MALFORMED_MESSAGE" });
  });

  it("says that there is no such action, or that another's may not be used", async () => {
    const w = await world();
    expect(await failure(w.call(InvokeServiceService.invoke, invoke({ action: "none" })))).toMatchObject({
      kind: "notFound",
      reason: "NO_SUCH_ACTION",
    });
    expect(await failure(w.call(InvokeServiceService.invoke, invoke({ namespace: "other" })))).toMatchObject({
      kind: "permissionDenied",
    });
  });

  it("refuses to override final parameters", async () => {
    const w = await world();
    w.controller.actions.set("guest/fin", { path: "guest/fin", defaults: { a: "1" }, final: true });
    for (const blocking of [true, false]) {
      const error = await failure(
        w.call(InvokeServiceService.invoke, invoke({ action: "fin", paramsJson: '{"a":2}', blocking })),
      );
      expect(error).toMatchObject({ kind: "failedPrecondition", reason: "FINAL_PARAMETERS" });
    }
    expect(w.controller.submitted).toEqual([]);
  });

  it("answers with the id alone when the wait is over, and the activation goes on", async () => {
    const w = await world();
    w.dispatcher.answer = undefined;
    const answer = await w.call(InvokeServiceService.invoke, invoke({ waitMs: 20 }));
    expect(answer.activation).toBeUndefined();
    expect(answer.activationId).toBe(Buffer.from(w.dispatcher.calls[0]?.activationId ?? []).toString("hex"));
    expect(w.gateway.debug()).toMatchObject({ dispatcher: { inFlight: 1 } });
    w.dispatcher.calls[0]?.complete(doneWith());
    expect(w.controller.records).toEqual([]);
  });

  it("keeps a record of an activation whose id it told and that then could not be started", async () => {
    const w = await world();
    w.dispatcher.answer = undefined;
    const { activationId } = await w.call(InvokeServiceService.invoke, invoke({ waitMs: 20 }));
    w.dispatcher.calls[0]?.complete({ kind: "refused", error: new WeftError("unavailable", "START_FAILED", "no") });
    const record = await eventually(() => w.controller.records[0] ?? false);
    expect(Buffer.from(record.activationId).toString("hex")).toBe(activationId);
    expect(record).toMatchObject({ outcome: LinkOutcome.PLATFORM_ERROR, path: "guest/echo", async: false });
  });

  it("lets a client's deadline end the waiting, not the activation", async () => {
    const w = await world();
    w.dispatcher.answer = undefined;
    const error = await failure(w.call(InvokeServiceService.invoke, invoke(), { deadlineMs: 60 }));
    expect(error.kind).toBe("deadlineExceeded");
    const [call] = w.dispatcher.calls;
    expect(call?.expiresMonoMs).toBeGreaterThan((call?.acceptedMonoMs ?? 0) + 50_000);
    call?.complete(doneWith());
    w.dispatcher.answer = (next) => {
      next.complete(doneWith());
    };
    await w.call(InvokeServiceService.invoke, invoke());
  });

  it("hands a refusal on, with when to come back", async () => {
    const w = await world();
    w.dispatcher.answer = (call) => {
      call.complete({
        kind: "refused",
        error: new WeftError("unavailable", "START_FAILED", "no sandbox could be started", { retryAfterMs: 1_500 }),
      });
    };
    expect(await failure(w.call(InvokeServiceService.invoke, invoke()))).toMatchObject({
      kind: "unavailable",
      reason: "START_FAILED",
      retryAfterMs: 1_500,
    });
    expect(w.controller.records).toEqual([]);
  });

  it("says so when nobody knows how an activation ended, names it, and keeps a record of it", async () => {
    const w = await world();
    w.dispatcher.answer = (call) => {
      call.complete({
        kind: "lost",
        invokerId: "invoker-9",
        error: new WeftError("unavailable", "OUTCOME_UNKNOWN", "lost"),
      });
    };
    w.controller.failure = new WeftError("unavailable", "AWAY", "away");
    await w.call(InvokeServiceService.invoke, invoke()).catch(() => undefined);
    w.controller.failure = undefined;
    const error = await failure(w.call(InvokeServiceService.invoke, invoke()));
    expect(error).toMatchObject({ kind: "unavailable", reason: "OUTCOME_UNKNOWN" });
    const id = Buffer.from(w.dispatcher.calls.at(-1)?.activationId ?? []).toString("hex");
    expect(error.headers["weft-activation-id"]).toBe(id);
    const record = await eventually(
      () => w.controller.records.find((r) => Buffer.from(r.activationId).toString("hex") === id) ?? false,
    );
    expect(record).toMatchObject({
      outcome: LinkOutcome.PLATFORM_ERROR,
      invokerId: "invoker-9",
      namespace: "guest",
      kind: "nodejs:20",
      async: false,
    });
    expect(Buffer.from(record.resultJson).toString()).toContain("lost while the activation ran");
  });

  it("keeps no record of an activation that only its answer was forgotten of", async () => {
    const w = await world();
    w.dispatcher.answer = (call) => {
      call.complete({
        kind: "lost",
        invokerId: "i",
        error: new WeftError("unavailable", "OUTCOME_FORGOTTEN", "ended"),
      });
    };
    await failure(w.call(InvokeServiceService.invoke, invoke()));
    w.dispatcher.answer = undefined;
    expect(w.gateway.debug()).toMatchObject({ unsentRecords: 0 });
    expect(w.controller.records).toEqual([]);
  });

  it("makes an invocation that nobody waits for durable before it answers, and dispatches nothing itself", async () => {
    const w = await world();
    const { activationId, activation } = await w.call(
      InvokeServiceService.invoke,
      invoke({ blocking: false, paramsJson: '{"a":1}' }),
    );
    expect(activation).toBeUndefined();
    expect(w.dispatcher.calls).toEqual([]);
    expect(w.controller.submitted).toMatchObject([
      { namespace: "guest", name: "echo", caller: { namespace: "guest", subject: "guest", apiKey: "" } },
    ]);
    expect(Buffer.from(w.controller.submitted[0]?.activationId ?? []).toString("hex")).toBe(activationId);
    expect(Buffer.from(w.controller.submitted[0]?.paramsJson ?? []).toString()).toBe('{"a":1}');
  });

  it("does not accept what could not be made durable", async () => {
    const w = await world();
    await w.call(InvokeServiceService.invoke, invoke());
    await w.controller.stop();
    const error = await failure(w.call(InvokeServiceService.invoke, invoke({ blocking: false })));
    expect(error.kind).toBe("unavailable");
    // What is warm goes on.
    await w.call(InvokeServiceService.invoke, invoke());
  });
});

describe("Call", () => {
  const callOf = (more: Partial<CallRequest> = {}): CallRequest => ({
    namespace: "_",
    action: "echo",
    params: { contentType: "application/json", data: Buffer.from('{"a":1}'), extensions: [] },
    ...more,
  });

  it("answers with the bare result, and the id beside it", async () => {
    const w = await world();
    const answer = await w.raw(InvokeServiceService.call.path, CallRequest.encode(callOf()).finish());
    const body = HttpBody.decode(answer.message);
    expect([body.contentType, Buffer.from(body.data).toString()]).toEqual(["application/json", '{"a":1}']);
    expect(answer.headers["weft-activation-id"]).toMatch(/^[0-9a-f]{32}$/);
    await w.raw(InvokeServiceService.call.path, CallRequest.encode(callOf({ params: undefined })).finish());
  });

  it("turns what user code did wrong into a status with its text, and the id beside it", async () => {
    const w = await world();
    const table = [
      ["applicationError", '{"error":"no such city"}', "failedPrecondition", "APPLICATION_ERROR", "no such city"],
      ["applicationError", '{"error":{"code":4}}', "failedPrecondition", "APPLICATION_ERROR", '{"code":4}'],
      ["developerError", '{"error":"it crashed"}', "failedPrecondition", "DEVELOPER_ERROR", "it crashed"],
      ["platformError", '{"error":"secret detail"}', "internal", "PLATFORM_ERROR", "internal error"],
    ] as const;
    for (const [outcome, result, kind, reason, message] of table) {
      w.dispatcher.answer = (call) => {
        call.complete(doneWith({ outcome, resultJson: Buffer.from(result) }));
      };
      const error = await failure(w.call(InvokeServiceService.call, callOf()));
      expect(error).toMatchObject({ kind, reason, message });
      expect(error.headers["weft-activation-id"]).toMatch(/^[0-9a-f]{32}$/);
    }
  });

  it("cuts an error text that no header could carry", async () => {
    const w = await world();
    w.dispatcher.answer = (call) => {
      call.complete(
        doneWith({
          outcome: "applicationError",
          resultJson: Buffer.from(JSON.stringify({ error: "é".repeat(500_000) })),
        }),
      );
    };
    const error = await failure(w.call(InvokeServiceService.call, callOf()));
    expect(error.reason).toBe("APPLICATION_ERROR");
    expect(error.message.length).toBeLessThan(3_000);
  });

  it("refuses a body that is not JSON by its type", async () => {
    const w = await world();
    const params = { contentType: "text/plain", data: Buffer.from("hi"), extensions: [] };
    const error = await failure(w.call(InvokeServiceService.call, callOf({ params })));
    expect(error.fields[0]).toMatchObject({ field: "params.content_type" });
  });
});

describe("Fire", () => {
  const fire = (more: Partial<FireRequest> = {}): FireRequest => ({
    namespace: "_",
    trigger: "t",
    paramsJson: "",
    ...more,
  });

  it("answers with the id when a rule is attached, and without one otherwise", async () => {
    const w = await world();
    w.controller.triggers.add("guest/t");
    const { activationId } = await w.call(InvokeServiceService.fire, fire({ paramsJson: '{"b":2}' }));
    expect(activationId).toBe(Buffer.from(w.controller.fired[0]?.activationId ?? []).toString("hex"));
    expect(w.controller.fired[0]).toMatchObject({
      namespace: "guest",
      name: "t",
      caller: { subject: "guest", apiKey: "" },
      keyUuid: GUEST.uuid,
    });
    expect((await w.call(InvokeServiceService.fire, fire({ trigger: "lonely" }))).activationId).toBe("");
  });

  it("refuses what is malformed before anything is stored", async () => {
    const w = await world();
    const table = [
      [fire({ trigger: "a/b" }), "trigger"],
      [fire({ trigger: "" }), "trigger"],
      [fire({ namespace: "$" }), "namespace"],
      [fire({ paramsJson: "1" }), "params"],
      [fire({ paramsJson: `{"a":"${"x".repeat(1_048_576)}"}` }), "params"],
    ] as const;
    for (const [request, field] of table) {
      const error = await failure(w.call(InvokeServiceService.fire, request));
      expect([error.kind, error.fields[0]?.field]).toEqual(["invalidArgument", field]);
    }
    expect(w.controller.fired).toEqual([]);
  });
});

describe("throttles", () => {
  it("refuse with the limit, the count and when to come back, and only the namespace concerned", async () => {
    const w = await world();
    const small = {
      uuid: "small",
      secret: "s".repeat(64),
      namespace: "small",
      invocationsPerMinute: 2,
      firesPerMinute: 1,
    };
    w.controller.keys.set("small", small);
    w.controller.actions.set("small/echo", { path: "small/echo" });
    const headers = { authorization: bearer(small) };
    await w.call(InvokeServiceService.invoke, invoke(), { headers });
    // One that does not exist counts as well.
    await failure(w.call(InvokeServiceService.invoke, invoke({ action: "none" }), { headers }));
    const error = await failure(w.call(InvokeServiceService.invoke, invoke(), { headers }));
    expect(error).toMatchObject({
      kind: "throttled",
      reason: "RATE_LIMIT",
      message: "too many requests in the last minute (count: 3, allowed: 2)",
    });
    expect(error.retryAfterMs).toBeGreaterThan(0);
    await w.call(InvokeServiceService.fire, { namespace: "_", trigger: "t", paramsJson: "" }, { headers });
    expect(
      await failure(w.call(InvokeServiceService.fire, { namespace: "_", trigger: "t", paramsJson: "" }, { headers })),
    ).toMatchObject({ kind: "throttled" });
    await w.call(InvokeServiceService.invoke, invoke());
    expect(await w.registry.render()).toContain('weft_gateway_throttled_total{limit="invocationsPerMinute"} 1');
  });

  it("bound what is in flight, and let go of it when it ends however it ends", async () => {
    const w = await world();
    const one = { uuid: "one", secret: "o".repeat(64), namespace: "one", concurrentInvocations: 1 };
    w.controller.keys.set("one", one);
    w.controller.actions.set("one/echo", { path: "one/echo" });
    const headers = { authorization: bearer(one) };
    w.dispatcher.answer = undefined;
    const first = w.call(InvokeServiceService.invoke, invoke(), { headers });
    const call = await eventually(() => w.dispatcher.calls[0] ?? false);
    expect(await failure(w.call(InvokeServiceService.invoke, invoke(), { headers }))).toMatchObject({
      kind: "throttled",
      reason: "CONCURRENCY_LIMIT",
      message: "too many concurrent requests in flight (count: 1, allowed: 1)",
    });
    call.complete(doneWith());
    await first;
    const endings: ((call: DispatchCall) => void)[] = [
      (c) => {
        c.complete({ kind: "refused", error: new WeftError("unavailable", "X", "x") });
      },
      (c) => {
        c.complete({ kind: "lost", invokerId: "i", error: new WeftError("unavailable", "X", "x") });
      },
      (c) => {
        c.complete(doneWith());
      },
    ];
    for (const ending of endings) {
      w.dispatcher.answer = ending;
      await w.call(InvokeServiceService.invoke, invoke(), { headers }).catch(() => undefined);
    }
    for (const bad of [{ action: "none" }, { action: "$" }, { paramsJson: "[" }, { blocking: false }]) {
      await w.call(InvokeServiceService.invoke, invoke(bad), { headers }).catch(() => undefined);
    }
    await w.call(InvokeServiceService.invoke, invoke(), { headers });
  });

  it("leave the place of what nobody waits for to the controller, which may refuse it", async () => {
    const w = await world();
    const one = { uuid: "one", secret: "o".repeat(64), namespace: "one", concurrentInvocations: 0 };
    w.controller.keys.set("one", one);
    w.controller.actions.set("one/echo", { path: "one/echo" });
    const headers = { authorization: bearer(one) };
    const request = invoke({ blocking: false });
    expect((await w.call(InvokeServiceService.invoke, request, { headers })).activationId).toHaveLength(32);
    w.controller.onSubmit = () =>
      Promise.reject(new WeftError("throttled", "CONCURRENCY_LIMIT", "x", { retryAfterMs: 7 }));
    expect(await failure(w.call(InvokeServiceService.invoke, request, { headers }))).toMatchObject({
      kind: "throttled",
      reason: "CONCURRENCY_LIMIT",
      retryAfterMs: 7,
    });
  });

  it("follow new limits as soon as the change is told", async () => {
    const w = await world();
    await w.call(InvokeServiceService.invoke, invoke());
    w.controller.keys.set(GUEST.uuid, { ...GUEST, invocationsPerMinute: 0 });
    w.controller.tell({ namespace: "guest" });
    await eventually(async () => {
      expect((await failure(w.call(InvokeServiceService.invoke, invoke()))).kind).toBe("throttled");
    });
  });
});

describe("what differs for the actions of a namespace", () => {
  const bounded = (overrides: NonNullable<typeof GUEST.overrides>): typeof GUEST => ({ ...GUEST, overrides });

  it("ends what was made under other bounds as an application error, with a record", async () => {
    const w = await world({ before: (c) => c.keys.set(GUEST.uuid, bounded({ maxActionMemory: 128 })) });
    const text = "memory size 256 MB exceeds allowed threshold of 128 MB";
    const { activation } = await w.call(InvokeServiceService.invoke, invoke());
    expect(activation).toMatchObject({ outcome: Outcome.APPLICATION_ERROR, durationMs: 0, start: Start.UNSPECIFIED });
    expect(JSON.parse(Buffer.from(activation?.resultJson ?? "").toString())).toEqual({ error: text });
    const call = { namespace: "_", action: "echo", params: undefined };
    expect(await failure(w.call(InvokeServiceService.call, call))).toMatchObject({
      reason: "APPLICATION_ERROR",
      message: text,
    });
    expect(w.dispatcher.calls).toEqual([]);
    await eventually(() => w.controller.records.length === 2);
    expect(w.controller.records[0]).toMatchObject({ outcome: LinkOutcome.APPLICATION_ERROR, memoryMb: 256 });
  });

  it("tells invokers what is to be kept and shown", async () => {
    const overrides = bounded({ storeActivations: false, truncationSize: 9 });
    const w = await world({ before: (c) => c.keys.set(GUEST.uuid, overrides) });
    await w.call(InvokeServiceService.invoke, invoke());
    expect(w.dispatcher.calls[0]).toMatchObject({ unstored: true, truncationBytes: 9 });
  });

  it("refuses kinds and arguments that are not allowed", async () => {
    const w = await world({
      before: (c) => c.keys.set(GUEST.uuid, bounded({ allowedKinds: ["go:1.2"], maxPayloadSize: 10 })),
    });
    expect(await failure(w.call(InvokeServiceService.invoke, invoke()))).toMatchObject({
      kind: "permissionDenied",
      reason: "KIND_NOT_ALLOWED",
    });
    const large = invoke({ paramsJson: '{"k":"0123456789"}' });
    for (const request of [large, { ...large, blocking: false }]) {
      expect(await failure(w.call(InvokeServiceService.invoke, request))).toMatchObject({
        kind: "invalidArgument",
        reason: "TOO_LARGE",
      });
    }
    const fire = { namespace: "_", trigger: "t", paramsJson: large.paramsJson };
    expect(await failure(w.call(InvokeServiceService.fire, fire))).toMatchObject({ reason: "TOO_LARGE" });
    expect(w.dispatcher.calls).toEqual([]);
  });
});

describe("the cache of actions", () => {
  it("drops what a controller says has changed, packages with their actions", async () => {
    const w = await world();
    w.controller.actions.set("guest/pkg/a", { path: "guest/pkg/a" });
    const revisions = async (): Promise<readonly (string | undefined)[]> => {
      const before = w.dispatcher.calls.length;
      await w.call(InvokeServiceService.invoke, invoke());
      await w.call(InvokeServiceService.invoke, invoke({ action: "pkg/a" }));
      return w.dispatcher.calls.slice(before).map((call) => call.ask.revisionId);
    };
    expect(await revisions()).toEqual(["guest/echo@1", "guest/pkg/a@1"]);
    w.controller.actions.set("guest/echo", { path: "guest/echo", revisionId: "echo@2" });
    w.controller.actions.set("guest/pkg/a", { path: "guest/pkg/a", revisionId: "a@2" });
    expect(await revisions()).toEqual(["guest/echo@1", "guest/pkg/a@1"]);
    w.controller.tell({ namespace: "guest", name: "other" }, { namespace: "guest", name: "pkg" });
    await eventually(async () => {
      expect(await revisions()).toEqual(["guest/echo@1", "a@2"]);
    });
    w.controller.tell({ namespace: "guest", name: "echo" });
    await eventually(async () => {
      expect(await revisions()).toEqual(["echo@2", "a@2"]);
    });
  });

  it("is dropped as a whole when the stream of changes opens again, and serves what is warm until then", async () => {
    const w = await world();
    await w.call(InvokeServiceService.invoke, invoke());
    await w.controller.stop();
    w.controller.actions.set("guest/echo", { path: "guest/echo", revisionId: "echo@2" });
    await w.call(InvokeServiceService.invoke, invoke());
    expect(w.dispatcher.calls.at(-1)?.ask.revisionId).toBe("guest/echo@1");
    await w.controller.start();
    await eventually(() => w.controller.watchers === 1);
    await eventually(async () => {
      await w.call(InvokeServiceService.invoke, invoke());
      expect(w.dispatcher.calls.at(-1)?.ask.revisionId).toBe("echo@2");
    });
  });

  it("shows a caller what he just wrote, whether or not the change was told", async () => {
    const w = await world({
      before: (controller) => {
        controller.serve(ActionServiceService.deleteAction.path, () => {
          controller.actions.delete("guest/echo");
          return Promise.resolve(Buffer.alloc(0));
        });
      },
    });
    await w.call(InvokeServiceService.invoke, invoke());
    await w.call(ActionServiceService.deleteAction, DeleteActionRequest.fromPartial({ namespace: "_", name: "echo" }));
    expect((await failure(w.call(InvokeServiceService.invoke, invoke()))).kind).toBe("notFound");
  });

  it("waits for a controller that restarts instead of failing", async () => {
    const w = await world();
    await w.call(InvokeServiceService.invoke, invoke());
    await w.controller.stop();
    w.controller.actions.set("guest/new", { path: "guest/new" });
    const invoked = w.call(InvokeServiceService.invoke, invoke({ action: "new" }));
    await w.controller.start();
    await invoked;
  });
});

describe("InvokeStream", () => {
  interface Stream {
    send(item: Partial<{ call: number; namespace: string; action: string; paramsJson: string }>): void;
    readonly results: StreamResult[];
    readonly closed: (WeftError | undefined)[];
    finish(): void;
    /** As a client that dies. */
    vanish(): void;
  }

  function open(w: GatewayWorld, authorization = bearer(GUEST)): Stream {
    const network = new GrpcNetwork({ clusterKey: "" });
    const link = network.dial(w.address, invokeStreamLink, { authorization });
    const results: StreamResult[] = [];
    const closed: (WeftError | undefined)[] = [];
    link.onItem = (item) =>
      results.push({ ...item, resultJson: Buffer.from(item.resultJson), activationId: Buffer.from(item.activationId) });
    link.onClosed = (why) => {
      closed.push(why);
      network.close();
    };
    return {
      send: ({ call = 1, namespace = "", action = "", paramsJson = "" }) =>
        link.send({ call, namespace, action, paramsJson: Buffer.from(paramsJson) }),
      results,
      closed,
      finish: () => {
        link.finish();
      },
      vanish: () => {
        link.close();
      },
    };
  }

  it("answers each item as it ends, in any order", async () => {
    const w = await world();
    w.dispatcher.answer = undefined;
    const stream = open(w);
    stream.send({ call: 1, namespace: "_", action: "echo", paramsJson: '{"n":1}' });
    stream.send({ call: 2, paramsJson: '{"n":2}' });
    stream.send({ call: 3, namespace: "guest", action: "echo" });
    await eventually(() => w.dispatcher.calls.length === 3);
    for (const at of [2, 0, 1]) {
      const call = w.dispatcher.calls[at];
      call?.complete(doneWith({ resultJson: call.paramsJson, durationMs: at }));
    }
    await eventually(() => stream.results.length === 3);
    expect(stream.results.map((r) => [r.call, Buffer.from(r.resultJson).toString(), r.durationMs])).toEqual([
      [3, "{}", 2],
      [1, '{"n":1}', 0],
      [2, '{"n":2}', 1],
    ]);
    expect(stream.results.map((r) => r.outcome)).toEqual([Outcome.SUCCESS, Outcome.SUCCESS, Outcome.SUCCESS]);
    stream.finish();
    await eventually(() => stream.closed.length === 1);
    expect(stream.closed).toEqual([undefined]);
  });

  it("finishes what is in flight after the client ended its half, and only then ends", async () => {
    const w = await world();
    w.dispatcher.answer = undefined;
    const stream = open(w);
    for (let call = 1; call <= 5; call++) stream.send({ call, namespace: "_", action: "echo" });
    stream.finish();
    await eventually(() => w.dispatcher.calls.length === 5);
    expect(stream.closed).toEqual([]);
    for (const call of w.dispatcher.calls) call.complete(doneWith());
    await eventually(() => stream.closed.length === 1);
    expect(stream.closed).toEqual([undefined]);
    expect(stream.results.map((r) => r.call)).toEqual([1, 2, 3, 4, 5]);
    expect(w.gateway.debug()).toMatchObject({ streams: 0 });
  });

  it("tells what is wrong with one item without disturbing the others", async () => {
    const w = await world();
    const stream = open(w);
    stream.send({ call: 1, action: "" });
    stream.send({ call: 2, namespace: "_", action: "a/b/c" });
    stream.send({ call: 3, namespace: "$", action: "echo" });
    stream.send({ call: 4, namespace: "_", action: "none" });
    stream.send({ call: 5, namespace: "other", action: "echo" });
    stream.send({ call: 6, namespace: "_", action: "echo", paramsJson: "[]" });
    stream.send({ call: 7, namespace: "_", action: "echo", paramsJson: `{"a":"${"x".repeat(1_048_576)}"}` });
    stream.send({ call: 8, namespace: "_", action: "echo", paramsJson: "{}" });
    await eventually(() => stream.results.length === 8);
    const byCall = new Map(stream.results.map((r) => [r.call, r]));
    const codes = [1, 2, 3, 4, 5, 6, 7, 8].map((call) => byCall.get(call)?.statusCode);
    expect(codes).toEqual([
      status.INVALID_ARGUMENT,
      status.INVALID_ARGUMENT,
      status.INVALID_ARGUMENT,
      status.NOT_FOUND,
      status.PERMISSION_DENIED,
      status.INVALID_ARGUMENT,
      status.INVALID_ARGUMENT,
      0,
    ]);
    expect(byCall.get(6)?.statusMessage).toBe("params: must be a JSON object, got an array");
    expect(byCall.get(7)?.statusMessage).toContain("larger than allowed");
    expect(byCall.get(8)?.outcome).toBe(Outcome.SUCCESS);
    expect(byCall.get(1)).toMatchObject({ outcome: Outcome.UNSPECIFIED, activationId: Buffer.alloc(0) });
  });

  it("throttles item by item and says when to come back", async () => {
    const w = await world();
    w.controller.keys.set(GUEST.uuid, { ...GUEST, concurrentInvocations: 2 });
    w.dispatcher.answer = undefined;
    const stream = open(w);
    for (let call = 1; call <= 3; call++) stream.send({ call, namespace: "_", action: "echo" });
    await eventually(() => stream.results.length === 1 && w.dispatcher.calls.length === 2);
    expect(stream.results[0]).toMatchObject({ call: 3, statusCode: status.RESOURCE_EXHAUSTED, retryAfterMs: 100 });
    for (const call of [...w.dispatcher.calls]) call.complete(doneWith());
    await eventually(() => stream.results.length === 3);
    w.dispatcher.answer = (call) => {
      call.complete(doneWith());
    };
    stream.send({ call: 4 });
    await eventually(() => stream.results.length === 4);
    expect(stream.results[3]).toMatchObject({ call: 4, statusCode: 0 });
  });

  it("names the activation whose end nobody knows", async () => {
    const w = await world();
    w.dispatcher.answer = (call) => {
      call.complete({ kind: "lost", invokerId: "i", error: new WeftError("unavailable", "OUTCOME_UNKNOWN", "lost") });
    };
    const stream = open(w);
    stream.send({ call: 1, namespace: "_", action: "echo" });
    await eventually(() => stream.results.length === 1);
    expect(stream.results[0]).toMatchObject({ statusCode: status.UNAVAILABLE });
    expect(stream.results[0]?.activationId.length).toBe(16);
    await eventually(() => w.controller.records.length === 1);
  });

  it("ends with the status when the key is not right, whatever was sent before", async () => {
    const w = await world();
    const stream = open(w, "Bearer nobody:secret");
    for (let call = 1; call <= 100; call++) stream.send({ call, namespace: "_", action: "echo" });
    await eventually(() => stream.closed.length === 1);
    expect(stream.closed[0]).toMatchObject({ kind: "unauthenticated", reason: "BAD_CREDENTIALS" });
    expect(w.dispatcher.calls).toEqual([]);
  });

  it("lets activations go on when the client goes away", async () => {
    const w = await world();
    w.dispatcher.answer = undefined;
    const stream = open(w);
    stream.send({ call: 1, namespace: "_", action: "echo" });
    const call = await eventually(() => w.dispatcher.calls[0] ?? false);
    stream.vanish();
    await eventually(() => (w.gateway.debug() as { streams: number }).streams === 0);
    expect(w.dispatcher.stats().inFlight).toBe(1);
    call.complete(doneWith());
    expect(stream.results).toEqual([]);
    expect(await w.registry.render()).toContain('weft_gateway_invocations_total{outcome="success",start="warm"} 1');
  });
});

describe("public rpcs of a controller", () => {
  it("are handed on as bytes with who asks, and their answers with their headers", async () => {
    const seen: Record<string, string | undefined>[] = [];
    const names = ["namespace", "subject", "key-uuid", "operator"].map((n) => `weft-caller-${n}`);
    const w = await world({
      before: (controller) => {
        controller.serve(AccessServiceService.whoAmI.path, (ctx, message) => {
          seen.push(
            Object.fromEntries([...names, "weft-transaction-id", "traceparent"].map((n) => [n, ctx.header(n)])),
          );
          ctx.setHeader("weft-extra", "yes");
          ctx.setHeader("other", "no");
          return Promise.resolve(message);
        });
      },
    });
    w.controller.keys.set("op", { uuid: "op", secret: "o", namespace: "ops", subject: "operator", operator: true });
    const answer = await w.raw(AccessServiceService.whoAmI.path, Buffer.from("any bytes"), {
      authorization: "Bearer op:o",
      "x-request-id": "tid-1",
      // What a caller says of himself counts for nothing.
      "weft-caller-namespace": "forged",
    });
    expect(answer.message.toString()).toBe("any bytes");
    expect(answer.headers).toMatchObject({ "weft-extra": "yes" });
    expect(answer.headers).not.toHaveProperty("other");
    await w.raw(AccessServiceService.whoAmI.path, Buffer.alloc(0));
    expect(seen).toMatchObject([
      {
        "weft-caller-namespace": "ops",
        "weft-caller-subject": "operator",
        "weft-caller-key-uuid": "op",
        "weft-caller-operator": "1",
        "weft-transaction-id": "tid-1",
        traceparent: undefined,
      },
      { "weft-caller-namespace": "guest", "weft-caller-operator": undefined },
    ]);
  });

  it("keep their errors with reason, fields and when to come back", async () => {
    const w = await world({
      before: (controller) => {
        controller.serve(AccessServiceService.whoAmI.path, () =>
          Promise.reject(
            new WeftError("conflict", "CHANGED", "somebody was faster", {
              fields: [{ field: "etag", description: "is old" }],
              retryAfterMs: 250,
            }),
          ),
        );
      },
    });
    expect(await failure(w.call(AccessServiceService.whoAmI, WhoAmIRequest.create()))).toMatchObject({
      kind: "conflict",
      reason: "CHANGED",
      message: "somebody was faster",
      fields: [{ field: "etag", description: "is old" }],
      retryAfterMs: 250,
    });
  });

  it("carry messages far above gRPC's default of 4 MiB both ways", async () => {
    const w = await world({
      before: (controller) => {
        controller.serve(ActionServiceService.createAction.path, (_ctx, message) => Promise.resolve(message));
      },
    });
    const big = Buffer.alloc(48 * 1024 * 1024, 1);
    const answer = await w.raw(ActionServiceService.createAction.path, big);
    expect(answer.message.equals(big)).toBe(true);
    const tooBig = await failure(w.raw(ActionServiceService.createAction.path, Buffer.alloc(MESSAGE_BYTES_MAX + 1)));
    expect(tooBig.message).toContain("larger than max");
  });

  it("say plainly when there is no controller, and try another when the first was never reached", async () => {
    const w = await world({
      before: (controller) => {
        controller.serve(AccessServiceService.whoAmI.path, (_ctx, message) => Promise.resolve(message));
      },
    });
    // A member that is gone but not yet forgotten, first in order.
    const gone = await w.coordination.join(
      { role: "controller", id: "a-gone", bootId: "x", address: "127.0.0.1:1", zone: "", wireVersion: 1 },
      10_000,
    );
    for (let i = 0; i < 3; i++) await w.raw(AccessServiceService.whoAmI.path, Buffer.from("x"));
    await gone.leave();
    await w.controller.stop();
    expect(await failure(w.raw(AccessServiceService.whoAmI.path, Buffer.alloc(0)))).toMatchObject({
      kind: "unavailable",
      reason: "NO_CONTROLLER",
    });
  });

  it("are all that is served: links between roles are not", async () => {
    const w = await world();
    const error = await failure(w.raw("/weft.link.v1.SubmitService/Submit", Buffer.alloc(0)));
    expect(error.message).toContain("does not implement");
  });
});

describe("the native interface for other faces", () => {
  it("answers as the rpcs do, with bytes and with messages", async () => {
    const w = await world({
      before: (controller) => {
        controller.serve(AccessServiceService.whoAmI.path, (_ctx, message) => Promise.resolve(message));
      },
    });
    const { api } = w.gateway;
    const identity = await api.identify(bearer(GUEST));
    expect(identity).toMatchObject({ namespace: "guest", subject: "guest", operator: false });
    const context = { identity, transactionId: "t1", traceparent: "" };
    const command = { namespace: "_", action: "echo", paramsJson: Buffer.from('{"a":1}'), blocking: true, waitMs: 0 };
    const done = await api.invoke(command, context);
    expect(done).toMatchObject({
      kind: "done",
      activation: { resultJson: '{"a":1}', outcome: "success", transactionId: "t1" },
    });
    expect(await api.invoke({ ...command, blocking: false }, context)).toMatchObject({ kind: "accepted" });
    w.dispatcher.answer = undefined;
    expect(await api.invoke({ ...command, waitMs: 10 }, context)).toMatchObject({ kind: "running" });
    w.controller.triggers.add("guest/t");
    const fired = await api.fire(
      { namespace: "_", trigger: "t", paramsJson: Buffer.alloc(0), headersJson: Buffer.from("{}") },
      context,
    );
    expect(fired.activationId).toMatch(/^[0-9a-f]{32}$/);
    expect(Buffer.from(w.controller.fired[0]?.headersJson ?? []).toString()).toBe("{}");
    expect(await api.call(AccessServiceService.whoAmI, WhoAmIRequest.create(), context)).toMatchObject({ subject: "" });
    w.dispatcher.answer = (call) => {
      call.complete(doneWith());
    };
    const raw = await api.callRaw(
      InvokeServiceService.call.path,
      Buffer.from(CallRequest.encode({ namespace: "_", action: "echo", params: undefined }).finish()),
      context,
    );
    expect(raw.headers["weft-activation-id"]).toMatch(/^[0-9a-f]{32}$/);
    await expect(api.callRaw("/weft.link.v1.SubmitService/Submit", Buffer.alloc(0), context)).rejects.toMatchObject({
      kind: "notFound",
      reason: "NO_SUCH_RPC",
    });
    w.dispatcher.answer = (call) => {
      call.complete({ kind: "lost", invokerId: "i", error: new WeftError("unavailable", "OUTCOME_UNKNOWN", "lost") });
    };
    await expect(api.invoke(command, context)).rejects.toMatchObject({
      reason: "OUTCOME_UNKNOWN",
      activationId: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
    });
  });

  it("serves the tunnel for Envoy without a key of its own", async () => {
    const w = await world({
      before: (_controller, gateway) => {
        gateway.serveTunnel((ctx, request) => {
          ctx.setHeader("weft-http-status", "418");
          return Promise.resolve({ ...request, contentType: ctx.header("x-envoy-original-path") ?? "" });
        });
      },
    });
    const answer = await w.raw("/weft.rest.v1.TunnelService/Handle", Buffer.alloc(0), {
      "x-envoy-original-path": "/ping",
    });
    expect(HttpBody.decode(answer.message).contentType).toBe("/ping");
    expect(answer.headers["weft-http-status"]).toBe("418");
  });
});

describe("reflection and health", () => {
  const buf = (...args: readonly string[]): Promise<string> =>
    new Promise((resolve, reject) => {
      const all = ["curl", "--protocol", "grpc", "--http2-prior-knowledge", ...args];
      execFile("node_modules/.bin/buf", all, { timeout: 20_000 }, (error, stdout, stderr) => {
        if (error) reject(new Error(stderr || error.message));
        else resolve(stdout.trim());
      });
    });

  it("let buf curl list and call the API without any file, by either version of reflection", async () => {
    const w = await world();
    const methods = await buf("--list-methods", `http://${w.address}`);
    expect(methods).toContain("weft.invoke.v1.InvokeService/Invoke");
    expect(methods).toContain("weft.action.v1.ActionService/CreateAction");
    expect(methods).not.toContain("weft.link");
    expect(methods).not.toContain("weft.rest");
    for (const protocol of ["grpc-v1", "grpc-v1alpha"]) {
      const answer = await buf(
        "--reflect-protocol",
        protocol,
        "-H",
        `authorization: ${bearer(GUEST)}`,
        "-d",
        '{"namespace":"_","action":"echo","paramsJson":"{\\"x\\":1}","blocking":true}',
        `http://${w.address}/weft.invoke.v1.InvokeService/Invoke`,
      );
      expect(JSON.parse(answer)).toMatchObject({ activation: { resultJson: '{"x":1}', outcome: "OUTCOME_SUCCESS" } });
    }
  }, 30_000);

  it("say whether the server and each public service serve, and tell of a drain", async () => {
    const w = await world();
    const check = (service: string): Promise<string> =>
      w
        .raw(
          "/grpc.health.v1.Health/Check",
          Buffer.concat([Buffer.from([0x0a, service.length]), Buffer.from(service)]),
          {},
        )
        .then(({ message }) => message.toString("hex"));
    expect(await check("")).toBe("0801");
    expect(await check("weft.invoke.v1.InvokeService")).toBe("0801");
    expect((await failure(check("weft.link.v1.SubmitService"))).kind).toBe("notFound");
    const seen: string[] = [];
    const watch = w.client.makeServerStreamRequest(
      "/grpc.health.v1.Health/Watch",
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      Buffer.alloc(0),
      new Metadata(),
    );
    watch.on("data", (message: Buffer) => seen.push(message.toString("hex")));
    watch.on("error", () => undefined);
    await eventually(() => seen.length === 1);
    await w.gateway.drain(0);
    await eventually(() => seen.length === 2);
    expect(seen).toEqual(["0801", "0802"]);
    expect(await check("")).toBe("0802");
    watch.cancel();
  });
});

describe("a gateway's life", () => {
  it("is not ready before a controller and a scheduler have answered, and stays ready without them", async () => {
    const w = await world({ controller: false });
    w.dispatcher.connected = false;
    expect(w.dispatcher.started).toBe(true);
    expect(w.gateway.readiness()).toBe("no controller has answered yet");
    await w.controller.start();
    await eventually(() => {
      expect(w.gateway.readiness()).toBe("no scheduler has answered yet");
    });
    w.dispatcher.connected = true;
    expect(w.gateway.readiness()).toBe(true);
    w.dispatcher.connected = false;
    await w.controller.stop();
    expect(w.gateway.readiness()).toBe(true);
  });

  it("finishes what is in flight before it closes", async () => {
    const w = await world();
    w.dispatcher.answer = undefined;
    const invoked = w.call(InvokeServiceService.invoke, invoke());
    const call = await eventually(() => w.dispatcher.calls[0] ?? false);
    const drained = w.gateway.drain(5_000);
    expect(w.gateway.readiness()).toBe("draining");
    call.complete(doneWith());
    await drained;
    expect((await invoked).activation?.outcome).toBe(Outcome.SUCCESS);
    await w.gateway.close(1_000);
    expect(w.dispatcher.closed).toBe(true);
  });

  it("says which address it cannot have", async () => {
    const w = await world();
    await expect(w.gateway.start(w.address)).rejects.toThrow();
  });
});

describe("traces", () => {
  it("show a call and its wait for a slot, under the caller's trace", async () => {
    const traces = recordTraces();
    const w = await world({ tracer: traces.tracer });
    w.dispatcher.answer = (call) => {
      call.complete(doneWith({ waitMs: 30 }));
    };
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    await w.call(InvokeServiceService.invoke, invoke(), { headers: { authorization: bearer(GUEST), traceparent } });
    const spans = await traces.finish();
    expect(spans.map((span) => span.name).sort()).toEqual(["activation.invoke", "activation.queue"]);
    for (const span of spans) expect(span.spanContext().traceId).toBe("0af7651916cd43dd8448eb211c80319c");
    expect(w.dispatcher.calls[0]?.traceparent).toContain("0af7651916cd43dd8448eb211c80319c");
    expect(w.dispatcher.calls[0]?.traceparent).not.toBe(traceparent);
  });
});
