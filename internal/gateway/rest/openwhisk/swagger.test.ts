import { describe, expect, it } from "vitest";

import { describedRoutes } from "./api.js";
import { docsPage } from "./docs-pages.js";
import { apiSwagger, describedOperations, hostSwagger, operationKey } from "./swagger.js";

interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly parameters: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly default?: unknown;
  }[];
  readonly responses: Readonly<Record<string, { readonly description: string }>>;
}
interface Document {
  readonly swagger: string;
  readonly basePath: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly definitions: Readonly<Record<string, unknown>>;
  readonly securityDefinitions: Readonly<Record<string, { readonly type: string }>>;
}

const BASE = "/api/v1";
const text = apiSwagger(BASE, "1.2.3", describedRoutes);
const document = JSON.parse(text) as Document;
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
);

describe("the Swagger document of the REST API", () => {
  it("describes every route there is, and none that is not", () => {
    const routes = describedRoutes.map((route) => operationKey(route, BASE)).sort();
    expect([...describedOperations].sort()).toEqual(routes);
    expect(operations.map(({ path, method }) => `${method.toUpperCase()} ${path}`).sort()).toEqual(routes);
  });

  it("is Swagger 2.0 with the version of the installation, and asks for a key", () => {
    expect(document).toMatchObject({ swagger: "2.0", basePath: BASE, info: { version: "1.2.3" } });
    expect(document.securityDefinitions["basic"]).toMatchObject({ type: "basic" });
  });

  it("refers to definitions that are there, and has none that nothing refers to", () => {
    const named = [...text.matchAll(/"#\/definitions\/(\w+)"/g)].map(([, name]) => name);
    expect([...new Set(named)].sort()).toEqual(Object.keys(document.definitions).sort());
  });

  it("gives each operation an id of its own, the parameters of its path, one body at most, and answers", () => {
    expect(new Set(operations.map(({ operation }) => operation.operationId)).size).toBe(operations.length);
    for (const { path, operation } of operations) {
      const inPath = operation.parameters.filter((parameter) => parameter.in === "path");
      expect(inPath.map(({ name }) => name)).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name));
      expect(inPath.every(({ required }) => required)).toBe(true);
      expect(inPath.filter((parameter) => parameter.name === "namespace").every((one) => one.default === "_")).toBe(
        true,
      );
      expect(operation.parameters.filter((parameter) => parameter.in === "body").length).toBeLessThanOrEqual(1);
      expect(new Set(operation.parameters.map((parameter) => `${parameter.in} ${parameter.name}`)).size).toBe(
        operation.parameters.length,
      );
      expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(["401", "500"]));
      expect(Object.keys(operation.responses).some((status) => status.startsWith("2"))).toBe(true);
      for (const { description } of Object.values(operation.responses)) expect(description).toBeTypeOf("string");
    }
  });

  it("has a small sibling for the host document", () => {
    expect(JSON.parse(hostSwagger("1"))).toMatchObject({ swagger: "2.0", paths: { "/": { get: {} } } });
  });
});

describe("the pages of the API", () => {
  const read = (name: string) =>
    name === "swagger-ui.css" ? { type: "text/css", body: Buffer.from("p{}") } : undefined;
  const at = (path: string) => docsPage(BASE, `${BASE}${path}`, read);

  it.each([
    ["/docs", "docs/index.html?url=/api/v1/api-docs"],
    ["/docs/", "index.html?url=/api/v1/api-docs"],
    ["/docs?x=1", "docs/index.html?url=/api/v1/api-docs"],
  ])("are pointed to from %s", (path, location) => {
    expect(at(path)?.status).toBe(308);
    expect(Object.fromEntries(at(path)?.headers ?? [])["Location"]).toBe(location);
  });

  it("load nothing from elsewhere, whatever the address says, and are told to browsers to do nothing else", () => {
    for (const name of ["index.html", "initializer.js", "swagger-ui.css"]) {
      const page = at(`/docs/${name}?url=https://evil.example/swagger.json`);
      expect(page?.status).toBe(200);
      expect(page?.body.toString()).not.toMatch(/https?:|evil/);
      const policy = Object.fromEntries(page?.headers ?? [])["Content-Security-Policy"] ?? "";
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("connect-src 'self'");
      expect(policy).not.toMatch(/unsafe|\*|https?:/);
    }
    expect(at("/docs/index.html")?.body.toString()).not.toMatch(/<script>|style=|onload=/);
  });

  it.each(["/docs/package.json", "/docs/../api.js", "/docs/%2e%2e/x", "/docs/swagger-ui.css/", "/docsx", "/docs//"])(
    "do not include %s",
    (path) => {
      expect(at(path)).toBeUndefined();
    },
  );

  it("are not there where nobody brought their files", () => {
    expect(docsPage(BASE, `${BASE}/docs`, undefined)).toBeUndefined();
  });
});
