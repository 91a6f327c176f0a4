import { describe, expect, it } from "vitest";

import { WeftError } from "../../../internal/base/errors.js";
import { documentHere, readApisThere } from "./apis.js";
import type { Read } from "./source.js";

const OPTIONS = {
  namespace: "guest",
  target: "here",
  auth: "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:secret",
  rest: "https://weft.example",
};

/** As OpenWhisk's route management writes them. */
const document = (more = "", url = "https://ow.example/api/v1/web/guest/p/hello.http"): string => `{
  "swagger": "2.0", "info": {"title": "Greetings", "version": "1.0.0"}, "basePath": "/greet",
  "paths": {"/world": {"get": {"operationId": "get_/world",
    "x-openwhisk": {"url": "${url}", "namespace": "guest", "package": "p", "action": "hello"},
    "responses": {"default": {"description": "Default response"}}, "x-limit": 12345678901234567890.50}}},
  "x-ibm-configuration": {"assembly": {"execute": [
    {"set-variable": {"actions": [{"set": "message.headers.Authorization", "value": "Basic ${Buffer.from(OPTIONS.auth).toString("base64")}"}]}},
    {"operation-switch": {"case": [{"operations": ["get_/world"], "execute": [{"invoke": {"target-url": "${url}$(request.path)", "verb": "keep"}}]}]}}
  ]}}${more}}`;

const parsed = (text: string) =>
  JSON.parse(text) as {
    readonly paths: Record<string, Record<string, { readonly "x-openwhisk": unknown }>>;
    readonly "x-ibm-configuration": { readonly assembly: { readonly execute: readonly object[] } };
  };

describe("an API of a gateway there", () => {
  it("leads to the web actions of the namespace here, with every digit it had", () => {
    const state = documentHere(document(), OPTIONS);
    expect(state).toMatchObject({ name: "/greet", title: "Greetings", calls: ["/here/p/hello"] });
    expect(state.problem).toBeUndefined();
    expect(state.documentJson).toContain('"x-limit":12345678901234567890.50');
    const { paths, "x-ibm-configuration": configuration } = parsed(state.documentJson);
    expect(paths["/world"]?.["get"]?.["x-openwhisk"]).toEqual({
      url: "https://weft.example/api/v1/web/here/p/hello.http",
      namespace: "here",
      package: "p",
      action: "hello",
    });
    expect(JSON.stringify(configuration)).toContain("https://weft.example/api/v1/web/here/p/hello.http$(request.path)");
  });

  it("does not bring the key of its author", () => {
    const { documentJson } = documentHere(document(), OPTIONS);
    expect(documentJson).not.toContain("Authorization");
    expect(parsed(documentJson)["x-ibm-configuration"].assembly.execute).toHaveLength(1);
  });

  it("keeps leading to the actions of others, and says so", () => {
    const url = "https://ow.example/api/v1/web/whisk.system/utils/echo.json";
    const { calls, documentJson } = documentHere(
      document("", url).replace('"namespace": "guest"', '"namespace": "whisk.system"'),
      OPTIONS,
    );
    expect(calls).toEqual(["/whisk.system/utils/echo"]);
    expect(documentJson).toContain("https://weft.example/api/v1/web/whisk.system/utils/echo.json");
  });

  it("says that its keys are to be made anew", () => {
    const security =
      ', "securityDefinitions": {"k": {"type": "apiKey", "in": "header", "name": "X-Key"}}, "security": [{"k": []}]';
    expect(documentHere(document(security), OPTIONS).note).toContain("weft api key create /greet");
  });

  it("is told with its problem when it cannot be here", () => {
    const elsewhere = documentHere(document("", "https://elsewhere.example/hello"), OPTIONS);
    expect(elsewhere).toMatchObject({ name: "/greet", problem: expect.stringContaining("is no web action") as string });
  });
});

describe("readApisThere", () => {
  const answering =
    (...pages: readonly string[]): Read =>
    (path) => {
      const page = pages[Number(new URL(path, "http://x").searchParams.get("skip")) / 200];
      return page === undefined
        ? Promise.reject(new WeftError("notFound", "HTTP_404", "nothing there"))
        : Promise.resolve(page);
    };
  const page = (count: number, first = 0): string =>
    `{"apis":[${Array.from({ length: count }, (_, i) => `{"id":"x","value":{"apidoc":${document().replace("/greet", `/greet${first + i}`)}}}`).join(",")}]}`;

  it("reads page by page, and ends with a server that knows none", async () => {
    expect((await readApisThere(answering(page(200), page(3, 200)), OPTIONS))?.size).toBe(203);
    expect((await readApisThere(answering(page(200), page(200)), OPTIONS))?.size).toBe(200);
  });

  it("tells an installation without a gateway from one without APIs", async () => {
    expect(await readApisThere(answering(), OPTIONS)).toBeUndefined();
    expect((await readApisThere(answering('{"apis":[]}'), OPTIONS))?.size).toBe(0);
    await expect(readApisThere(answering('{"apis":5}'), OPTIONS)).rejects.toThrow(/not what OpenWhisk answers/);
  });
});
