// APIs by the calls of OpenWhisk's clients, against a server that is told what to answer.

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { Cli } from "../cli-context.js";
import { Screen } from "../output.js";
import { fetchJson } from "../rest-client.js";
import { testIo } from "../test-io.suite.js";
import { createApi, deleteApi, operationsOf, readApis } from "./apis.js";
import type { ApiState } from "./state.js";

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

let answers: Answer[] = [];
let asked: { readonly method: string; readonly url: URL; readonly body: string; readonly authorization: string }[] = [];
let server: Server;
let base = "";

beforeAll(async () => {
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.once("end", () => {
      const { method = "", url = "", headers } = request;
      const body = Buffer.concat(chunks).toString();
      asked.push({ method, url: new URL(url, base), body, authorization: headers.authorization ?? "" });
      const answer = answers.shift() ?? { status: 500, body: "nothing was scripted" };
      response.writeHead(answer.status, answer.headers).end(answer.body);
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  server.close();
});

beforeEach(() => {
  answers = [];
  asked = [];
});

const cli = (): Cli => new Cli(new Screen(testIo(), false), "_", { apihost: base, auth: "uuid:key", grpc: undefined });
const api: ApiState = {
  title: "books",
  basePath: "/club",
  path: "/books/{isbn}",
  verb: "get",
  action: "p/read",
  responseType: "http",
};
const document = {
  swagger: "2.0",
  basePath: "/club",
  info: { title: "books" },
  paths: {
    "/books/{isbn}": {
      get: {
        "x-openwhisk": { url: "https://h/api/v1/web/me/p/read.http$(request.path)", package: "p", action: "read" },
      },
      parameters: {},
    },
    "/all": {
      post: { "x-openwhisk": { url: "https://h/api/v1/web/me/default/all.json", package: "default", action: "all" } },
    },
  },
};

describe("readApis", () => {
  it("reads operations that call actions", async () => {
    answers = [{ status: 200, body: JSON.stringify({ apis: [{ id: "Not Used", value: { apidoc: document } }] }) }];
    expect([...((await readApis(cli())) ?? [])]).toEqual([
      ["GET /club/books/{isbn}", api],
      [
        "POST /club/all",
        { title: "books", basePath: "/club", path: "/all", verb: "post", action: "all", responseType: "json" },
      ],
    ]);
    expect(asked[0]?.url.pathname).toBe("/api/v1/web/whisk.system/apimgmt/getApi.http");
    expect(asked[0]?.url.searchParams.get("spaceguid")).toBe("uuid");
    expect(asked[0]?.authorization).toBe(`Basic ${Buffer.from("uuid:key").toString("base64")}`);
  });

  it("sees that there is no gateway", async () => {
    answers = [{ status: 404, body: '{"error":"no such thing","code":"x"}' }];
    expect(await readApis(cli())).toBeUndefined();
  });

  it("ends with a server that does not know pages", async () => {
    const full = {
      status: 200,
      body: JSON.stringify({ apis: Array.from({ length: 200 }, () => ({ value: { apidoc: document } })) }),
    };
    answers = [full, full];
    expect((await readApis(cli()))?.size).toBe(2);
  });

  it("takes documents without operations of actions for none", () => {
    expect(operationsOf({})).toEqual([]);
    expect(operationsOf({ paths: { "/x": { get: {} } } })).toEqual([]);
  });
});

describe("createApi and deleteApi", () => {
  it("say what OpenWhisk's clients say", async () => {
    answers = [
      { status: 200, body: "{}" },
      { status: 200, body: "{}" },
    ];
    await createApi(cli(), "me", api);
    expect(asked[0]?.url.searchParams.get("responsetype")).toBe("http");
    expect(JSON.parse(asked[0]?.body ?? "")).toEqual({
      apidoc: {
        namespace: "me",
        apiName: "books",
        gatewayBasePath: "/club",
        gatewayPath: "/books/{isbn}",
        gatewayMethod: "GET",
        id: "API:me:/club",
        action: {
          name: "p/read",
          namespace: "me",
          backendMethod: "GET",
          backendUrl: `${base}/api/v1/web/me/p/read.http`,
          authkey: "uuid:key",
        },
        pathParameters: [
          { name: "isbn", in: "path", description: "Part isbn of the path", required: true, type: "string" },
        ],
      },
    });
    await deleteApi(cli(), api);
    expect(asked[1]?.method).toBe("DELETE");
    expect(Object.fromEntries(asked[1]?.url.searchParams ?? [])).toMatchObject({
      basepath: "/club",
      relpath: "/books/{isbn}",
      operation: "get",
    });
  });

  it("give the server's own words", async () => {
    answers = [{ status: 502, body: '{"error":"API creation failure: no"}' }];
    await expect(createApi(cli(), "me", api)).rejects.toMatchObject({
      kind: "failedPrecondition",
      message: expect.stringMatching(/createApi.*502: API creation failure: no/) as string,
    });
  });
});

describe("fetchJson", () => {
  const get = () => fetchJson({ base, path: "/x", signal: new AbortController().signal });

  it("asks again when it was throttled, as long as it is told", async () => {
    answers = [
      { status: 429, body: "{}", headers: { "retry-after": "0" } },
      { status: 503, body: "{}", headers: { "retry-after": "0" } },
      { status: 200, body: '{"a":1}' },
    ];
    expect(await get()).toEqual({ a: 1 });
  });

  it("gives up", async () => {
    answers = Array.from({ length: 6 }, () => ({
      status: 429,
      body: '{"error":"slow"}',
      headers: { "retry-after": "0" },
    }));
    await expect(get()).rejects.toMatchObject({
      kind: "throttled",
      message: expect.stringContaining("slow") as string,
    });
  });

  it("does not take a page for an answer", async () => {
    answers = [{ status: 200, body: "<html>" }];
    await expect(get()).rejects.toMatchObject({ reason: "NOT_JSON" });
  });

  it.each([
    [401, "unauthenticated"],
    [403, "permissionDenied"],
    [404, "notFound"],
    [500, "unavailable"],
  ])("answers %i with %s", async (status, kind) => {
    answers = [{ status, body: "oh\nno" }];
    await expect(get()).rejects.toMatchObject({ kind, message: `${base} answers GET /x with ${status}: oh` });
  });

  it("stops waiting when it is interrupted", async () => {
    answers = [{ status: 429, body: "{}", headers: { "retry-after": "30" } }];
    const interrupt = new AbortController();
    const waiting = fetchJson({ base, path: "/x", signal: interrupt.signal });
    const ended = expect(waiting).rejects.toMatchObject({ kind: "canceled" });
    await new Promise((done) => server.once("request", (_request, response) => response.once("finish", done)));
    setImmediate(() => {
      interrupt.abort();
    });
    await ended;
  });
});
