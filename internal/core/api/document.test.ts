import { describe, expect, it } from "vitest";

import { importedApi, operationIdOf, withOperation, withoutOperation, type NewOperation } from "./document.js";
import { parseDocument, type JsonObject } from "./json.js";
import { compileRoutes, operationsIn } from "./routes.js";

const operation = (overrides: Partial<NewOperation> = {}): NewOperation => ({
  namespace: "guest",
  basePath: "/base",
  name: "",
  path: "/path",
  verb: "GET",
  action: { namespace: "guest", name: "pkg/act" },
  format: "json",
  secret: "",
  restUrl: "https://host",
  pathParameters: [],
  rateLimits: [],
  keyHeader: "",
  ...overrides,
});

const documentOf = (api: { readonly documentJson: string }): JsonObject => parseDocument("d", api.documentJson);
const executesOf = (api: { readonly documentJson: string }): unknown =>
  (documentOf(api) as { "x-ibm-configuration": { assembly: { execute: unknown[] } } })["x-ibm-configuration"].assembly
    .execute;

describe("an operation", () => {
  it("makes an API when there is none, named as it is said or by its base path", () => {
    const made = withOperation(operation(), undefined);
    expect(made).toMatchObject({ namespace: "guest", basePath: "/base", name: "/base" });
    expect(documentOf(made)).toMatchObject({
      paths: {
        "/path": {
          get: {
            operationId: "getPath",
            "x-openwhisk": {
              namespace: "guest",
              package: "pkg",
              action: "act",
              url: "https://host/api/v1/web/guest/pkg/act.json",
            },
          },
        },
      },
    });
    expect(withOperation(operation({ name: "Mine" }), undefined).name).toBe("Mine");
  });

  it("is added to those that are there, and replaces its like with what belonged to it", () => {
    const one = withOperation(operation({ secret: "s1" }), undefined);
    const two = withOperation(
      operation({ verb: "PUT", action: { namespace: "guest", name: "plain" } }),
      one.documentJson,
    );
    const three = withOperation(operation({ secret: "s2", format: "text", name: "late" }), two.documentJson);
    expect(three.name).toBe("/base");
    const routes = compileRoutes(documentOf(three));
    expect(operationsIn(routes).map(({ verb, id, backend }) => [verb, id, backend.action, backend.format])).toEqual([
      ["GET", "getPath", "pkg/act", "text"],
      ["PUT", "putPath", "plain", "json"],
    ]);
    expect(routes.paths[0]?.operations.get("GET")?.backend.headers).toEqual(new Map([["x-require-whisk-auth", "s2"]]));
    expect(executesOf(three)).toMatchObject([{ "operation-switch": { case: [{}, {}] } }]);
  });

  it("has its parameters described, and leads to the path of the request", () => {
    const made = withOperation(
      operation({ path: "/a/{b}/{c}", format: "http", pathParameters: [{ name: "b", description: "B" }] }),
      undefined,
    );
    expect(documentOf(made)).toMatchObject({
      paths: {
        "/a/{b}/{c}": {
          get: {
            parameters: [
              { name: "b", in: "path", required: true, type: "string", description: "B" },
              { name: "c", in: "path", required: true, type: "string" },
            ],
          },
        },
      },
    });
    const [only] = operationsIn(compileRoutes(documentOf(made)));
    expect(only?.backend).toMatchObject({ requestPath: true, format: "http", rest: "" });
    expect(() => withOperation(operation({ path: "/{a}" }), undefined)).toThrow("must use a response type of '.http'");
  });

  it("gets an id of its own when two paths would have the same", () => {
    const one = withOperation(operation({ path: "/a/b" }), undefined);
    const two = withOperation(operation({ path: "/aB" }), one.documentJson);
    const three = withOperation(operation({ path: "/a/B" }), two.documentJson);
    expect(operationsIn(compileRoutes(documentOf(three))).map(({ id }) => id)).toEqual(["getAB", "getAB_2", "getAB_3"]);
  });

  it("asks for a key without asking for one of the others, or leaving those open that asked", () => {
    const open = withOperation(operation(), undefined);
    const one = withOperation(operation({ path: "/k", keyHeader: "X-Key" }), open.documentJson);
    expect(securityOf(one)).toEqual({ "/path": 0, "/k": 1 });
    const guarded = importedApi(
      "guest",
      JSON.stringify({
        basePath: "/base",
        info: {},
        paths: { "/path": { get: { "x-openwhisk": { url: "/api/v1/web/_/default/a.json" } } } },
        securityDefinitions: { k: { type: "apiKey", in: "query", name: "k" } },
      }),
    );
    expect(securityOf(guarded)).toEqual({ "/path": 1 });
    const two = withOperation(operation({ path: "/k", keyHeader: "X-Key" }), guarded.documentJson);
    expect(securityOf(two)).toEqual({ "/path": 1, "/k": 1 });
  });

  const securityOf = (api: { readonly documentJson: string }): Record<string, number> =>
    Object.fromEntries(
      operationsIn(compileRoutes(documentOf(api))).map(({ path, security }) => [path, security.length]),
    );

  it.each<[string, string]>([
    ["/a/{id}", "getAId"],
    ["/", "get"],
    ["/hello-world/x_y.z", "getHello-worldX_yz"],
  ])("at %s has the id %s", (path, id) => {
    expect(operationIdOf("GET", path)).toBe(id);
  });
});

describe("taking away", () => {
  const two = withOperation(
    operation({ verb: "PUT" }),
    withOperation(operation(), withOperation(operation({ path: "/b" }), undefined).documentJson).documentJson,
  );

  it("a verb, a path, and at last everything", () => {
    const withoutPut = withoutOperation(two, "/path", "PUT");
    expect(withoutPut && operationsIn(compileRoutes(documentOf(withoutPut))).map(({ id }) => id)).toEqual([
      "getB",
      "getPath",
    ]);
    const withoutPath = withoutOperation(two, "/path", undefined);
    expect(withoutPath && executesOf(withoutPath)).toMatchObject([
      { "operation-switch": { case: [{ operations: ["getB"] }] } },
    ]);
    expect(withoutPath && withoutOperation(withoutPath, "/b", "GET")).toBeUndefined();
  });

  it.each<[string, "GET" | "POST" | undefined, string]>([
    ["/c", undefined, "path '/c' does not exist in the API"],
    ["/path", "POST", "path '/path' with operation 'post' does not exist in the API"],
    ["constructor", undefined, "path 'constructor' does not exist in the API"],
  ])("%s %s says that it is not there", (path, verb, message) => {
    expect(() => withoutOperation(two, path, verb)).toThrow(message);
  });
});

describe("a document from elsewhere", () => {
  const url = "https://h/api/v1/web/_/pkg/act.http";

  it("gets ids, and the caller's namespace for the underscore", () => {
    const api = importedApi(
      "a b",
      JSON.stringify({
        basePath: "/x/",
        info: { title: "T" },
        paths: { "x-note": 1, "/p": { get: { "x-openwhisk": { namespace: "_", url } } } },
        "x-ibm-configuration": { assembly: { execute: [{ invoke: { "target-url": url } }] } },
      }),
    );
    expect(api).toMatchObject({ basePath: "/x", name: "T" });
    expect(documentOf(api)).toMatchObject({
      swagger: "2.0",
      basePath: "/x",
      paths: {
        "/p": {
          get: {
            operationId: "getP",
            "x-openwhisk": { namespace: "a b", url: "https://h/api/v1/web/a%20b/pkg/act.http" },
          },
        },
      },
      "x-ibm-configuration": {
        assembly: { execute: [{ invoke: { "target-url": "https://h/api/v1/web/a%20b/pkg/act.http" } }] },
      },
    });
  });
});
