// What the adapter of webhooks makes of requests, in front of a scripted webhook.

import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { WeftError } from "../../../base/errors.js";
import type { ActivationId } from "../../../base/ids.js";
import type { RestRequest, RestResponse } from "../message.js";
import { Hooks, hookTokenOf } from "./hooks.js";

const ID = "0123456789abcdef0123456789abcdef" as ActivationId;
const json = { "content-type": "application/json" };

interface Script {
  readonly signingSecret?: string;
  readonly fire?: ActivationId | Error | undefined;
  readonly find?: Error;
}

function adapter(script: Script = { fire: ID }) {
  const fired: { readonly event: unknown; readonly text: string; readonly headers: unknown }[] = [];
  const unforeseen: unknown[] = [];
  const hooks = new Hooks({
    api: {
      webhook: () =>
        script.find
          ? Promise.reject(script.find)
          : Promise.resolve({
              signingSecret: script.signingSecret,
              fire: (params, headers) => {
                const text = Buffer.from(params).toString();
                fired.push({ event: JSON.parse(text), text, headers: JSON.parse(Buffer.from(headers).toString()) });
                const { fire } = script;
                return fire instanceof Error ? Promise.reject(fire) : Promise.resolve({ activationId: fire });
              },
            }),
    },
    unforeseen: (error) => unforeseen.push(error),
  });
  const ask = (request: Partial<RestRequest> = {}): Promise<RestResponse> =>
    hooks.handle(
      { method: "POST", target: "/api/v1/hooks/abc", headers: {}, body: Buffer.alloc(0), ...request },
      "abc",
      "tid",
    );
  return { ask, fired, unforeseen };
}

describe("a request to a webhook", () => {
  it.each<[string, Partial<RestRequest>, object]>([
    ["fields of a body", { headers: json, body: Buffer.from('{"a":1,"b":{}}') }, { a: 1, b: {} }],
    ["nothing", {}, {}],
    [
      "a query, under the body",
      { target: "/api/v1/hooks/abc?a=q&c=d", headers: json, body: Buffer.from('{"a":1}') },
      { a: 1, c: "d" },
    ],
    [
      "a form",
      { headers: { "content-type": "application/x-www-form-urlencoded" }, body: Buffer.from("a=1&b=x+y") },
      { a: "1", b: "x y" },
    ],
    ["a list", { headers: json, body: Buffer.from("[1,2]") }, { __ow_body: [1, 2] }],
    ["a text", { headers: { "content-type": "text/plain" }, body: Buffer.from("hi") }, { __ow_body: "hi" }],
    ["bytes", { body: Buffer.from([0, 255]) }, { __ow_body: "AP8=" }],
  ])("fires with %s", async (_what, request, event) => {
    const world = adapter();
    const answer = await world.ask(request);
    expect(answer).toMatchObject({ status: 202, headers: [["x-openwhisk-activation-id", ID]] });
    expect(JSON.parse(answer.body.toString())).toEqual({ activationId: ID });
    expect(world.fired).toMatchObject([{ event, headers: request.headers ?? {} }]);
  });

  it("keeps every digit", async () => {
    const world = adapter();
    await world.ask({ headers: json, body: Buffer.from('{"n":1.000000000000000000001}') });
    expect(world.fired[0]?.text).toBe('{"n":1.000000000000000000001}');
  });

  it("that starts nothing is told so", async () => {
    expect(await adapter({ fire: undefined }).ask()).toMatchObject({ status: 204 });
  });

  it.each<[string, Script, Partial<RestRequest>, number]>([
    ["with another verb", {}, { method: "GET" }, 405],
    ["of a hook that is none", { find: new WeftError("notFound", "WEBHOOK_NOT_FOUND", "no such webhook") }, {}, 404],
    ["that is too large", {}, { headers: json, body: Buffer.alloc(1_048_577, 0x20) }, 413],
    ["without a signature", { signingSecret: "s" }, { headers: json, body: Buffer.from("{}") }, 403],
    ["that cannot be read", {}, { headers: json, body: Buffer.from("{oops") }, 400],
    [
      "that is nested too deeply",
      {},
      { headers: json, body: Buffer.from(`{"a":${"[".repeat(5_000)}${"]".repeat(5_000)}}`) },
      400,
    ],
    ["of no type that there is", {}, { headers: { "content-type": "?" }, body: Buffer.from("x") }, 400],
    ["that says what only the platform says", {}, { headers: json, body: Buffer.from('{"__ow_headers":{}}') }, 400],
  ])("%s does not fire", async (_what, script, request, status) => {
    const world = adapter(script);
    const answer = await world.ask(request);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body.toString())).toMatchObject({ code: "tid", error: expect.any(String) as string });
    expect(world.fired).toEqual([]);
  });

  it("that is throttled is told when to come back", async () => {
    const fire = new WeftError("throttled", "FIRE_RATE_LIMIT", "too many", { retryAfterMs: 5_000 });
    expect(await adapter({ fire }).ask()).toMatchObject({ status: 429, headers: [["Retry-After", "5"]] });
  });

  it("that fails unforeseen is told of, and says nothing", async () => {
    const world = adapter({ fire: new TypeError("x is not a function") });
    const answer = await world.ask();
    expect(answer.status).toBe(500);
    expect(answer.body.toString()).not.toContain("function");
    expect(world.unforeseen).toHaveLength(1);
  });

  it("is signed over its bytes as they came", async () => {
    const world = adapter({ signingSecret: "s", fire: ID });
    const body = Buffer.from('{ "a": 1.0 }');
    const signature = `sha256=${createHmac("sha256", "s").update(body).digest("hex")}`;
    expect((await world.ask({ headers: { ...json, "x-hub-signature-256": signature }, body })).status).toBe(202);
  });
});

it.each<[string, string | undefined]>([
  ["/api/v1/hooks/abc?x=1", "abc"],
  ["/api/v1/hooks/a/b", "a/b"],
  ["/api/v1/hooks/", ""],
  ["/api/v1/hooks", undefined],
  ["/api/v1/namespaces/_/hooks/abc", undefined],
])("%s has the secret part %s", (target, token) => {
  expect(hookTokenOf(target)).toBe(token);
});
