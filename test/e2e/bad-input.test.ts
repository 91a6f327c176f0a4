// What is malformed, too large or not allowed is refused with a specific error that names the field, whichever way it
// comes (gRPC, /v1 through the built-in face and through Envoy, OpenWhisk's paths), and nothing is stored.

import { once } from "node:events";
import { connect } from "node:http2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ListKeysRequest } from "../../internal/gen/weft/access/v1/access.pb.js";
import { ListActionsRequest, UpdateActionRequest } from "../../internal/gen/weft/action/v1/action.pb.js";
import { ListActivationsRequest } from "../../internal/gen/weft/activation/v1/activation.pb.js";
import { ListNamespacesRequest } from "../../internal/gen/weft/namespaces/v1/namespace.pb.js";
import { ListPackagesRequest, PackageServiceService } from "../../internal/gen/weft/packages/v1/package.pb.js";
import { CreateRuleRequest, ListRulesRequest } from "../../internal/gen/weft/rule/v1/rule.pb.js";
import { CreateTriggerRequest, ListTriggersRequest } from "../../internal/gen/weft/trigger/v1/trigger.pb.js";
import type { StreamResult } from "../../internal/gen/weft/invoke/v1/invoke.pb.js";
import type { WeftError } from "../../internal/base/errors.js";
import { GrpcNetwork, type UnaryMethod } from "../../internal/rpc/channel.js";
import { invokeStreamLink } from "../../internal/rpc/link-methods.js";
import { MESSAGE_BYTES_MAX } from "../../internal/rpc/link.js";
import { BODY_BYTES_MAX } from "../../internal/gateway/rest/message.js";
import { PublicClient, refusalOf, services } from "../harness/client.js";
import type { Fabric } from "../harness/fabric.js";
import { http, type HttpAnswer } from "../harness/http.js";
import { describeWith } from "../harness/services.js";
import { asHttp } from "./as-http.js";
import { BAD_CALLS, BAD_HTTP } from "./bad-calls.js";
import { BAD_REQUESTS, type BadRequest, type Refused } from "./bad-requests.js";
import { openFabric, UP_SERVICES, type OpenFabric } from "./fabrics.js";

describe("dev", () => refusals("dev"));
describeWith(UP_SERVICES, "up", () => refusals("up"));

function refusals(mode: "dev" | "up"): void {
  let open: OpenFabric;
  let fabric: Fabric;
  let client: PublicClient;

  beforeAll(async () => {
    open = await openFabric({ mode, invokers: 1 });
    ({ fabric } = open);
    client = new PublicClient(fabric.grpc, fabric.authorization);
    await client.raiseLimits("guest");
    await client.call(PackageServiceService.createPackage, {
      package: {
        ...NOTHING,
        name: "box",
        parameters: [{ key: "p", valueJson: "1", init: false }],
        actions: [],
        feeds: [],
        binding: undefined,
      },
    });
    await client.createAction("good", "function main(params) { return params }");
    await client.createAction("box/inner", "function main(params) { return params }");
    await client.call(
      services.trigger.createTrigger,
      CreateTriggerRequest.fromPartial({ trigger: { namespace: "_", name: "tick" } }),
    );
    await client.call(
      services.rule.createRule,
      CreateRuleRequest.fromPartial({ rule: { namespace: "_", name: "link", trigger: "tick", action: "good" } }),
    );
  });

  afterAll(async () => {
    client.close();
    await open.close();
  });

  /** Everything that a request could have stored. */
  const stored = async (): Promise<unknown> => {
    const page = { namespace: "_", pageSize: 200, withTotal: true };
    return Promise.all([
      client.call(services.action.listActions, ListActionsRequest.fromPartial(page)),
      client.call(PackageServiceService.listPackages, ListPackagesRequest.fromPartial(page)),
      client.call(services.trigger.listTriggers, ListTriggersRequest.fromPartial(page)),
      client.call(services.rule.listRules, ListRulesRequest.fromPartial(page)),
      client.call(services.activation.listActivations, ListActivationsRequest.fromPartial(page)),
      client.call(services.namespace.listNamespaces, ListNamespacesRequest.fromPartial({ pageSize: 200 })),
      client.call(services.access.listKeys, ListKeysRequest.fromPartial({ namespace: "_" })),
    ]);
  };
  const rest = (path: string, method = "GET", body?: string | Uint8Array, headers = {}): Promise<HttpAnswer> =>
    http(fabric.rest, path, {
      method,
      headers: { authorization: fabric.authorization, "content-type": "application/json", ...headers },
      ...(body === undefined ? {} : { body }),
    });

  describe("gRPC and /v1", () => {
    it.each(BAD_REQUESTS.map((request) => [request.what, request] as const))("refuse %s", async (_what, request) => {
      const before = await stored();
      await refuses(request);
      expect(await stored()).toEqual(before);
    });
  });

  describe("OpenWhisk's paths", () => {
    it.each(BAD_CALLS.map((call) => [call.what, call] as const))("refuse %s", async (_what, call) => {
      const before = await stored();
      const { what: _, status, says, method = "PUT", path, body, headers } = call;
      const text =
        body === undefined || typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body);
      const answer = await rest(`/api/v1/namespaces/_/${path}`, method, text, headers);
      const said = answer.json() as { readonly error: string; readonly code: string };
      expect(answer.status, said.error).toBe(status);
      expect(said).toEqual({ error: expect.stringMatching(says) as string, code: answer.headers["x-request-id"] });
      expect(await stored()).toEqual(before);
    });
  });

  describe("credentials", () => {
    const uuid = (): string => fabric.auth.slice(0, 36);
    const key = (): string => fabric.auth.slice(37);
    const basic = (text: string): string => `Basic ${Buffer.from(text).toString("base64")}`;
    const cases: readonly (readonly [what: string, header: () => string | undefined, reason: string])[] = [
      ["none", () => undefined, "NO_CREDENTIALS"],
      ["an empty header", () => "", "NO_CREDENTIALS"],
      ["another scheme", () => `Digest ${fabric.auth}`, "MALFORMED_CREDENTIALS"],
      ["a scheme alone", () => "Basic", "MALFORMED_CREDENTIALS"],
      ["the key without a scheme", () => fabric.auth, "MALFORMED_CREDENTIALS"],
      ["text that is no base64", () => `Basic ${fabric.auth}`, "MALFORMED_CREDENTIALS"],
      ["base64 that is cut off", () => basic(fabric.auth).slice(0, 30), "MALFORMED_CREDENTIALS"],
      ["a uuid without a key", () => basic(uuid()), "MALFORMED_CREDENTIALS"],
      ["a uuid with an empty key", () => basic(`${uuid()}:`), "MALFORMED_CREDENTIALS"],
      ["a key without a uuid", () => basic(`:${key()}`), "MALFORMED_CREDENTIALS"],
      ["a header of ten thousand characters", () => basic("x".repeat(10_000)), "MALFORMED_CREDENTIALS"],
      [
        "the last character of base64 missing",
        () => basic(fabric.auth).replace(/=*$/, "").slice(0, -1),
        "BAD_CREDENTIALS",
      ],
      ["a uuid that nobody has", () => basic(`00000000-0000-4000-8000-000000000000:${key()}`), "BAD_CREDENTIALS"],
      ["a name instead of a uuid", () => basic(`guest:${key()}`), "BAD_CREDENTIALS"],
      ["a NUL instead of a uuid", () => basic(`\0:${key()}`), "BAD_CREDENTIALS"],
      ["another key", () => basic(`${uuid()}:${"x".repeat(64)}`), "BAD_CREDENTIALS"],
      ["a key that is too short", () => basic(`${uuid()}:${key().slice(1)}`), "BAD_CREDENTIALS"],
      ["a key that is too long", () => basic(`${fabric.auth}x`), "BAD_CREDENTIALS"],
      ["a key in other letters", () => basic(`${uuid()}:${key().toLowerCase()}`), "BAD_CREDENTIALS"],
      ["a bearer without a key", () => `Bearer ${uuid()}`, "MALFORMED_CREDENTIALS"],
      ["a bearer with another key", () => `Bearer ${uuid()}:${"x".repeat(64)}`, "BAD_CREDENTIALS"],
    ];

    it.each(cases)("are not %s", async (_what, header, reason) => {
      const authorization = header();
      const stranger = new PublicClient(fabric.grpc, authorization ?? "");
      const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
      try {
        for (const call of [
          stranger.invoke("good"),
          stranger.invoke("nobody"),
          stranger.createAction("new", "x"),
          stranger.status(),
        ]) {
          const { kind, reason: said } = await refusalOf(call);
          expect({ kind, reason: said }).toEqual({ kind: "unauthenticated", reason });
        }
        const native = await http(fabric.rest, "/v1/namespaces/_/actions/good:invoke", {
          method: "POST",
          headers: { ...headers, "content-type": "application/json" },
          body: "{}",
        });
        expect(native.status).toBe(401);
        expect(shownByHttp(native)).toEqual({ kind: "unauthenticated", reason, fields: [] });
        for (const path of ["namespaces/_/actions/good", "namespaces", "nowhere", "namespaces/_/actions/%C3%A9"]) {
          const openWhisk = await http(fabric.rest, `/api/v1/${path}`, { headers });
          expect(openWhisk.status).toBe(401);
          expect(openWhisk.headers["www-authenticate"]).toContain("Basic");
          expect(Object.keys(openWhisk.json() as object).sort()).toEqual(["code", "error"]);
        }
      } finally {
        stranger.close();
      }
    });

    it("are one of two schemes, in any case", async () => {
      for (const authorization of [
        fabric.authorization,
        fabric.authorization.replace("Basic", "bASIC"),
        `Bearer ${fabric.auth}`,
      ]) {
        const known = new PublicClient(fabric.grpc, authorization);
        await works(known);
        known.close();
        expect((await http(fabric.rest, "/api/v1/namespaces", { headers: { authorization } })).status).toBe(200);
      }
    });
  });

  it("a page token is good for the list that gave it out, and for no other", async () => {
    for (const name of ["t1", "t2", "t3"]) {
      await client.call(
        services.trigger.createTrigger,
        CreateTriggerRequest.fromPartial({ trigger: { namespace: "_", name } }),
      );
    }
    const first = await client.call(
      services.trigger.listTriggers,
      ListTriggersRequest.fromPartial({ namespace: "_", pageSize: 2 }),
    );
    const pageToken = first.nextPageToken;
    const next = await client.call(
      services.trigger.listTriggers,
      ListTriggersRequest.fromPartial({ namespace: "_", pageSize: 2, pageToken }),
    );
    expect([...first.triggers, ...next.triggers].map(({ name }) => name)).toEqual(["t3", "t2", "t1", "tick"]);
    const { list } = await actionsOfBox();
    const others = [
      client.call(services.action.listActions, ListActionsRequest.fromPartial({ namespace: "_", pageToken })),
      client.call(services.rule.listRules, ListRulesRequest.fromPartial({ namespace: "_", pageToken })),
      client.call(
        services.action.listActions,
        ListActionsRequest.fromPartial({ namespace: "_", package: "box", pageToken: list }),
      ),
      client.call(
        services.trigger.listTriggers,
        ListTriggersRequest.fromPartial({ namespace: "_", pageToken: `${pageToken}x` }),
      ),
      client.call(
        services.trigger.listTriggers,
        ListTriggersRequest.fromPartial({ namespace: "_", pageToken: pageToken.slice(0, -2) }),
      ),
    ];
    for (const other of others)
      expect(shown(await refusalOf(other))).toEqual(expected({ kind: "invalidArgument", fields: ["page_token"] }));
    const skipped = client.call(
      services.trigger.listTriggers,
      ListTriggersRequest.fromPartial({ namespace: "_", pageToken, skip: 1 }),
    );
    expect(shown(await refusalOf(skipped)).fields).toEqual(["skip"]);
  });

  const actionsOfBox = async (): Promise<{ list: string }> => {
    const page = await client.call(
      services.action.listActions,
      ListActionsRequest.fromPartial({ namespace: "_", pageSize: 1 }),
    );
    expect(page.nextPageToken).not.toBe("");
    return { list: page.nextPageToken };
  };

  it("an InvokeStream answers each bad item by itself and goes on", async () => {
    const results = new Map<number, StreamResult>();
    const network = new GrpcNetwork({ clusterKey: "" });
    const link = network.dial(fabric.grpc, invokeStreamLink, { authorization: fabric.authorization });
    const items: readonly (readonly [action: string, params: string, code: number, says: RegExp])[] = [
      ["", "{}", 3, /action/],
      ["é", "{}", 3, /illegal/],
      ["nobody", "{}", 5, /nobody/],
      ["tick", "{}", 9, /trigger/],
      ["good", "[]", 3, /params/],
      ["good", "{", 3, /params/],
      ["good", `{"a":${"[".repeat(100_000)}`, 3, /params/],
      ["good", `{"a":"${"x".repeat(1024 * 1024)}"}`, 3, /larger than allowed/],
      ["good", '{"fine":1}', 0, /^$/],
    ];
    try {
      await new Promise<void>((resolve, reject) => {
        link.onItem = (result) => {
          results.set(result.call, result);
          if (results.size === items.length) resolve();
        };
        link.onClosed = (why) => reject(why ?? new Error("the stream ended"));
        items.forEach(([action, params], call) =>
          link.send({ call, namespace: "_", action, paramsJson: Buffer.from(params) }),
        );
      });
    } finally {
      link.close();
      network.close();
    }
    for (const [call, [, , code, says]] of items.entries()) {
      const { statusCode = -1, statusMessage = "" } = results.get(call) ?? {};
      expect({ call, statusCode }).toEqual({ call, statusCode: code });
      expect(statusMessage).toMatch(says);
    }
    const fine = results.get(8);
    expect(Buffer.from(fine?.resultJson ?? []).toString()).toBe('{"fine":1}');
    await client.record(Buffer.from(fine?.activationId ?? []).toString("hex"));
  });

  it("a stream without a key ends with UNAUTHENTICATED", async () => {
    const network = new GrpcNetwork({ clusterKey: "" });
    const link = network.dial(fabric.grpc, invokeStreamLink, {});
    const why = await new Promise<WeftError | undefined>((resolve) => {
      link.onClosed = resolve;
      link.send({ call: 1, namespace: "_", action: "good", paramsJson: Buffer.from("{}") });
    });
    network.close();
    expect(why).toMatchObject({ kind: "unauthenticated", reason: "NO_CREDENTIALS" });
  });

  describe("messages that are none", () => {
    const raw = (path: string): UnaryMethod<Buffer, Buffer> => ({
      path,
      requestSerialize: (bytes) => bytes,
      responseDeserialize: (bytes) => bytes,
    });

    it.each([
      "/weft.action.v1.ActionService/Explode",
      "/weft.action.v1.NoService/GetAction",
      "/weft.link.v1.SubmitService/Submit",
      "/nothing",
    ])("are answered UNIMPLEMENTED when there is no rpc %s", async (path) => {
      expect((await refusalOf(client.call(raw(path), Buffer.alloc(0)))).message).toMatch(
        /unknown|not implement|no public rpc/i,
      );
      expect((await refusalOf(client.call(raw(path), Buffer.alloc(0)))).cause).toMatchObject({ code: 12 });
    });

    it.each([
      ["cut off", Buffer.from([0x0a, 0x7f, 0x41])],
      ["an odd wire type", Buffer.from([0x0f, 0x01])],
      ["a group without an end", Buffer.from([0x0b, 0x0b, 0x0b])],
      ["a thousand groups", Buffer.alloc(1_000, 0x0b)],
      ["a length beyond it", Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f])],
      ["a varint without an end", Buffer.alloc(11, 0xff)],
    ])("are the caller's mistake when they are %s", async (_what, bytes) => {
      const before = await stored();
      for (const { path } of [
        services.action.createAction,
        services.action.listActions,
        services.invoke.invoke,
        services.invoke.fire,
        services.invoke.call,
        services.namespace.createNamespace,
      ]) {
        const { kind, reason } = await refusalOf(client.call(raw(path), bytes));
        expect({ path, kind, reason }).toEqual({ path, kind: "invalidArgument", reason: "MALFORMED_MESSAGE" });
      }
      expect(await stored()).toEqual(before);
    });

    it.each([["text/plain"], ["application/json"], ["application/x-www-form-urlencoded"], [undefined]])(
      "are told so in HTTP when their type is %s",
      async (contentType) => {
        const session = connect(`http://${fabric.grpc}`);
        const stream = session.request({
          ":method": "POST",
          ":path": services.action.createAction.path,
          authorization: fabric.authorization,
          ...(contentType === undefined ? {} : { "content-type": contentType }),
        });
        stream.end();
        const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
        session.destroy();
        expect(headers[":status"]).toBe(415);
        await works();
      },
    );

    it("are refused above the largest size of a message, and the gateway goes on", async () => {
      const { cause } = await refusalOf(
        client.call(raw(services.action.createAction.path), Buffer.alloc(MESSAGE_BYTES_MAX + 1)),
      );
      expect(cause).toMatchObject({ code: 8 });
      await works();
    });

    it("are refused above the largest size of a body, in the words of each API", async () => {
      const body = Buffer.alloc(BODY_BYTES_MAX + 1, 0x20);
      const native = await rest("/v1/namespaces/_/actions", "POST", body);
      expect([native.status, native.json()]).toMatchObject([
        413,
        { code: 3, message: expect.stringContaining("larger than allowed") as string },
      ]);
      const openWhisk = await rest("/api/v1/namespaces/_/actions/new", "PUT", body);
      expect([openWhisk.status, openWhisk.json()]).toMatchObject([
        413,
        { error: expect.stringContaining("larger than allowed") as string },
      ]);
      await works();
    });
  });

  describe("/v1", () => {
    it.each(BAD_HTTP.map((call) => [call.what, call] as const))(
      "refuses %s",
      async (_what, { method, path, body, headers, status, says }) => {
        const before = await stored();
        const answer = await rest(path, method, body, headers);
        expect(answer.status, answer.body).toBe(status);
        const said = answer.json() as Status;
        expect(Object.keys(said).sort()).toEqual(["code", "details", "message"]);
        expect(said.message).toMatch(says);
        expect(await stored()).toEqual(before);
      },
    );
  });

  describe("what is allowed is kept as it is", () => {
    const NUMBERS =
      '{"big":123456789012345678901234567890,"small":1.0000000000000000000000000000000001,"huge":1e400,"minus":-0,"exp":1E+2}';
    const ODD =
      '{"nul":"\\u0000","lone":"\\ud800","pair":"\\ud83d\\ude00","k\\u0000":1,"\\udfff":2," ":"é😀","__proto__":{"a":1},"":null,"a":1,"a":2}';

    it.each([
      ["numbers", NUMBERS],
      ["NULs, halves of surrogates, odd and repeated keys", ODD],
    ])("in parameters and annotations: %s", async (_what, valueJson) => {
      const value = [{ key: "v", valueJson, init: false }];
      const kept = await client.call(services.trigger.updateTrigger, {
        trigger: { ...NOTHING, name: "odd", parameters: value, annotations: value, rules: [] },
        updateFields: [],
        allowMissing: true,
      });
      expect([kept.parameters, kept.annotations]).toEqual([value, value]);
      const read = await rest("/api/v1/namespaces/_/triggers/odd");
      expect(read.body).toContain(`"parameters":[{"key":"v","value":${valueJson}}]`);
    });

    it("in arguments, up to the sandbox", async () => {
      await client.createAction("text", "exports.main = (p) => ({ text: JSON.stringify(p) })");
      const { activation } = await client.call(services.invoke.invoke, {
        namespace: "_",
        action: "text",
        paramsJson: ODD,
        blocking: true,
        waitMs: 0,
      });
      const { text } = JSON.parse(activation?.resultJson ?? "{}") as { text: string };
      expect(JSON.parse(text)).toEqual(JSON.parse(ODD));
      const digits =
        'def main(args):\n    return {"big": args["big"], "small": str(args["small"]), "minus": args["minus"]}\n';
      await client.createAction("digits", digits, { kind: "python:default" });
      const python = await client.call(services.invoke.invoke, {
        namespace: "_",
        action: "digits",
        paramsJson: '{"big":123456789012345678901234567890,"small":0.1,"minus":-0}',
        blocking: true,
        waitMs: 0,
      });
      expect(python.activation?.resultJson).toContain("123456789012345678901234567890");
    });

    it.each([
      ["timeout_ms", "timeoutMs", [100, 300_000]],
      ["memory_mb", "memoryMb", [128, 512]],
      ["logs_mb", "logsMb", [0, 10]],
      ["concurrency", "concurrency", [1, 500]],
    ] as const)("in limits at both ends of %s", async (_field, name, ends) => {
      for (const value of ends) {
        const limits = { timeoutMs: 0, memoryMb: 0, concurrency: 0, logsMb: undefined, [name]: value };
        const updated = await client.call(
          services.action.updateAction,
          UpdateActionRequest.fromPartial({ action: { namespace: "_", name: "good", limits } }),
        );
        expect(updated.limits?.[name]).toBe(value);
      }
    });

    it("in names of 256 characters, and JSON 499 levels deep", async () => {
      const name = `n${"@. &-".repeat(51)}`.slice(0, 255) + "e";
      const valueJson = "[".repeat(499) + "]".repeat(499);
      const made = await client.call(
        services.trigger.createTrigger,
        CreateTriggerRequest.fromPartial({
          trigger: { namespace: "_", name, parameters: [{ key: "deep", valueJson }] },
        }),
      );
      expect(made).toMatchObject({ name, parameters: [{ key: "deep", valueJson }] });
      const read = await rest(`/v1/namespaces/_/triggers/${encodeURIComponent(name)}`);
      expect(read.status, read.body).toBe(200);
      const { activation } = await client.call(services.invoke.invoke, {
        namespace: "_",
        action: "box/inner",
        paramsJson: `{"deep":${valueJson}}`,
        blocking: true,
        waitMs: 0,
      });
      expect(activation?.resultJson).toContain(valueJson);
    });
  });

  /** A good request is answered, and its record is there before anybody looks what else is. */
  const works = async (by = client): Promise<void> => {
    const { activationId, activation } = await by.invoke("good", { works: 1 });
    expect(activation?.resultJson).toBe('{"works":1}');
    await client.record(activationId);
  };

  const refuses = async ({ method, request, refused }: BadRequest): Promise<void> => {
    const said = await refusalOf(client.call(method as UnaryMethod<unknown, unknown>, request));
    expect(shown(said)).toEqual(expected(refused));
    if (refused.says) expect(said.message).toMatch(refused.says);
    const sent = asHttp(method as UnaryMethod<unknown, unknown>, request);
    if (!sent) return;
    const answer = await rest(sent.path, sent.method, sent.body);
    expect(answer.status, answer.body).toBe(refused.http ?? HTTP_OF_KIND[refused.kind]);
    if (refused.http !== undefined) return;
    expect(shownByHttp(answer)).toEqual(expected(refused));
  };
}

const NOTHING = { namespace: "_", version: "", publish: false, annotations: [], updateTime: undefined, etag: "" };

interface Shown {
  readonly kind: string;
  readonly reason: string | undefined;
  readonly fields: readonly string[];
}

function expected({ kind, reason, fields = [] }: Refused): unknown {
  const named = reason ?? (kind === "invalidArgument" ? "INVALID_FIELD" : undefined);
  return { kind, reason: named ?? (expect.any(String) as string), fields };
}

function shown({
  kind,
  reason,
  fields,
}: {
  readonly kind: string;
  readonly reason: string;
  readonly fields: readonly { readonly field: string }[];
}): Shown {
  return { kind, reason, fields: fields.map(({ field }) => field) };
}

interface Status {
  readonly code: number;
  readonly message: string;
  readonly details: readonly {
    readonly "@type": string;
    readonly reason?: string;
    readonly fieldViolations?: readonly { readonly field: string }[];
  }[];
}

const HTTP_OF_KIND: Readonly<Record<string, number>> = {
  invalidArgument: 400,
  failedPrecondition: 400,
  notFound: 404,
  alreadyExists: 409,
  conflict: 409,
};

const KIND_OF_CODE: Readonly<Record<number, string>> = {
  3: "invalidArgument",
  5: "notFound",
  6: "alreadyExists",
  7: "permissionDenied",
  8: "throttled",
  9: "failedPrecondition",
  10: "conflict",
  16: "unauthenticated",
};

function shownByHttp(answer: HttpAnswer): Shown {
  const { code, details } = answer.json() as Status;
  return {
    kind: KIND_OF_CODE[code] ?? String(code),
    reason: details.find((detail) => detail.reason !== undefined)?.reason,
    fields: details.flatMap((detail) => detail.fieldViolations ?? []).map(({ field }) => field),
  };
}
