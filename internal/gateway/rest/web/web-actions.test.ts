// What the adapter of web actions says of what becomes of an invocation, in front of a scripted action.

import { describe, expect, it } from "vitest";
import { WeftError } from "../../../base/errors.js";
import type { ActivationId } from "../../../base/ids.js";
import type { ActionActivation } from "../../../core/activation/types.js";
import { ActivationLost, type InvokeAnswer, type NativeApi, type WebAction } from "../../native-api.js";
import type { RestRequest, RestResponse } from "../message.js";
import { WebActions, webPathOf } from "./web-actions.js";

const ID = "0123456789abcdef0123456789abcdef" as ActivationId;

interface Script {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly answer?: Partial<ActionActivation> | InvokeAnswer | Error;
  /** Thrown by the throttles. */
  readonly throttled?: Error;
  readonly find?: Error;
  readonly identify?: Error;
}

function adapter(script: Script): {
  readonly ask: (request?: Partial<RestRequest>) => Promise<RestResponse>;
  readonly unforeseen: unknown[];
  readonly runs: string[];
} {
  const unforeseen: unknown[] = [];
  const runs: string[] = [];
  const action: WebAction = {
    annotations: new Map(Object.entries(script.annotations ?? {})),
    immutable: new Set(),
    invoke: (prepare) => {
      if (script.throttled) return Promise.reject(script.throttled);
      let params: Uint8Array | undefined;
      try {
        params = prepare();
      } catch (thrown) {
        return Promise.reject(thrown);
      }
      if (!params) return Promise.resolve(undefined);
      runs.push(Buffer.from(params).toString());
      const { answer = {} } = script;
      if (answer instanceof Error) return Promise.reject(answer);
      if ("kind" in answer && (answer.kind === "running" || answer.kind === "accepted" || answer.kind === "done")) {
        return Promise.resolve(answer as InvokeAnswer);
      }
      const activation = { id: ID, outcome: "success", resultJson: "{}", ...answer } as ActionActivation;
      return Promise.resolve({ kind: "done", activationId: ID, activation });
    },
  };
  const api = {
    webAction: () => (script.find ? Promise.reject(script.find) : Promise.resolve(action)),
    identify: () => (script.identify ? Promise.reject(script.identify) : Promise.resolve({ namespace: "caller" })),
  } as unknown as NativeApi;
  const actions = new WebActions({ api, unforeseen: (error) => unforeseen.push(error) });
  const ask = (request: Partial<RestRequest> = {}): Promise<RestResponse> => {
    const target = request.target ?? "/api/v1/web/ns/default/a";
    const path = webPathOf(target);
    if (!path) throw new Error(`${target} is no web action`);
    return actions.handle({ method: "GET", headers: {}, body: Buffer.alloc(0), ...request, target }, path, "tid");
  };
  return { ask, unforeseen, runs };
}

const bodyOf = (response: RestResponse): unknown => JSON.parse(response.body.toString()) as unknown;
const header = (response: RestResponse, name: string): string | undefined =>
  response.headers.find(([one]) => one.toLowerCase() === name)?.[1];

describe("the adapter of web actions", () => {
  it.each<[string, Script, number, string]>([
    ["runs longer than is waited", { answer: { kind: "running", activationId: ID } }, 202, "Response not yet ready."],
    ["fails", { answer: { outcome: "developerError" } }, 400, "There was an error processing your request."],
    ["could not be run", { answer: { outcome: "platformError" } }, 400, "There was an error processing your request."],
    [
      "was lost",
      { answer: new ActivationLost(ID, "lost", undefined) },
      400,
      "There was an error processing your request.",
    ],
    ["gives no response", { answer: { resultJson: "[]" } }, 400, "Response is not valid 'message/http'."],
  ])("names the activation that %s", async (_what, script, status, message) => {
    const response = await adapter(script).ask();
    expect(response.status).toBe(status);
    expect(bodyOf(response)).toEqual({ error: message, code: "tid" });
    expect(header(response, "x-openwhisk-activation-id")).toBe(ID);
    expect(header(response, "access-control-allow-origin")).toBe("*");
  });

  it.each<[string, WeftError, number]>([
    ["throttled", new WeftError("throttled", "RATE_LIMIT", "too many", { retryAfterMs: 1_500 }), 429],
    ["not taken", new WeftError("noCapacity", "FULL", "full", { retryAfterMs: 100 }), 503],
    ["not started", new WeftError("unavailable", "DOWN", "down"), 503],
  ])("says when an invocation is %s, with CORS and without an id", async (_what, error, status) => {
    for (const script of [{ throttled: error }, { answer: error }]) {
      const response = await adapter(script).ask();
      expect(response.status).toBe(status);
      expect(header(response, "access-control-allow-origin")).toBe("*");
      expect(header(response, "x-openwhisk-activation-id")).toBeUndefined();
      expect(header(response, "retry-after") !== undefined).toBe(error.retryAfterMs !== undefined);
    }
  });

  it("throttles before it looks at the size, the preflight, the secret and the arguments, in that order", async () => {
    const annotations = { "require-whisk-auth": '"s"' };
    const throttled = new WeftError("throttled", "RATE_LIMIT", "too many");
    const body = Buffer.alloc(1_048_577);
    const target = "/api/v1/web/ns/default/a?__ow_body=1";
    const status = async (script: Script, request: Partial<RestRequest>): Promise<number> =>
      (await adapter({ annotations, ...script }).ask(request)).status;
    expect(await status({ throttled }, { method: "OPTIONS", body, target })).toBe(429);
    expect(await status({}, { method: "OPTIONS", body, target })).toBe(413);
    expect(await status({}, { method: "OPTIONS", target })).toBe(200);
    expect(await status({}, { target })).toBe(401);
    expect(await status({}, { target, headers: { "x-require-whisk-auth": "s" } })).toBe(400);
    expect(await status({}, { headers: { "x-require-whisk-auth": "s" } })).toBe(204);
  });

  it("does not take a key for wrong when nobody could be asked", async () => {
    const down = adapter({ identify: new WeftError("unavailable", "NO_CONTROLLER", "none") });
    expect((await down.ask({ headers: { authorization: "Basic eDp5" } })).status).toBe(503);
    expect(down.runs).toEqual([]);
    expect((await down.ask()).status).toBe(204);
  });

  it("says nothing of what went wrong inside, but logs it", async () => {
    const broken = adapter({ find: new TypeError("a secret of ours") });
    const response = await broken.ask();
    expect(response.status).toBe(500);
    expect(response.body.toString()).not.toContain("secret");
    expect(broken.unforeseen).toHaveLength(1);
    expect(header(response, "access-control-allow-origin")).toBeUndefined();
  });

  it("lets an action say its own CORS headers, each once", async () => {
    const result = { body: "x", headers: { "access-control-allow-ORIGIN": "https://a", "Access-Control-Max-Age": 5 } };
    const { headers } = await adapter({ answer: { resultJson: JSON.stringify(result) } }).ask();
    const cors = headers.filter(([name]) => name.toLowerCase().startsWith("access-control-"));
    expect(cors.map(([name, value]) => `${name.toLowerCase()}: ${value}`).sort()).toEqual([
      "access-control-allow-headers: Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent",
      "access-control-allow-methods: OPTIONS, GET, DELETE, POST, PUT, HEAD, PATCH",
      "access-control-allow-origin: https://a",
      "access-control-max-age: 5",
    ]);
  });

  it("knows its verbs", async () => {
    const scripted = adapter({});
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]) {
      expect((await scripted.ask({ method })).status).toBe(204);
    }
    expect(scripted.runs).toHaveLength(6);
    for (const method of ["TRACE", "PROPFIND", "get"]) {
      const refused = await scripted.ask({ method });
      expect(refused.status).toBe(405);
      expect(header(refused, "allow")).toContain("PATCH");
    }
    expect(scripted.runs).toHaveLength(6);
  });

  it("is not asked about other paths", () => {
    for (const target of [
      "/",
      "/api/v1/web",
      "/api/v1/web/a/b",
      "/api/v1/web/a/b/?c",
      "/api/v1/webs/a/b/c",
      "/web/a/b/c",
    ]) {
      expect(webPathOf(target)).toBeUndefined();
    }
    expect(webPathOf("/api/v1/web/a/b/c?d=/e.json")).toMatchObject({ action: "b/c", format: "http", rest: "" });
  });
});
