import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { HttpRules } from "./http-rules.js";
import { TRANSCODED_SERVICES } from "./transcode.js";

const descriptors = readFileSync(new URL("../../gen/weft.binpb", import.meta.url));
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptors));
const rules = new HttpRules(
  registry,
  TRANSCODED_SERVICES.flatMap((name) => registry.getService(name) ?? []),
);

function found(method: string, path: string): readonly unknown[] | undefined {
  const match = rules.find(method, path);
  return match && [match.binding.method.name, Object.fromEntries(match.variables)];
}

describe("the HTTP rules of the public API", () => {
  it.each([
    ["GET", "/v1/whoami", "WhoAmI", {}],
    ["GET", "/v1/whoami/", "WhoAmI", {}],
    ["GET", "/v1/namespaces/_/actions", "ListActions", { namespace: "_" }],
    ["GET", "/v1/namespaces/_/actions/", "ListActions", { namespace: "_" }],
    ["GET", "/v1/namespaces//actions", "ListActions", { namespace: "" }],
    ["GET", "/v1/namespaces/_/actions/a", "GetAction", { namespace: "_", name: "a" }],
    ["GET", "/v1/namespaces/_/actions/p/a", "GetAction", { namespace: "_", name: "p/a" }],
    ["POST", "/v1/namespaces/_/actions", "CreateAction", { "action.namespace": "_" }],
    ["PATCH", "/v1/namespaces/_/actions/p/a", "UpdateAction", { "action.namespace": "_", "action.name": "p/a" }],
    ["POST", "/v1/namespaces/_/actions/p/a:invoke", "Invoke", { namespace: "_", action: "p/a" }],
    ["POST", "/v1/namespaces/_/actions/a:b:call", "Call", { namespace: "_", action: "a:b" }],
    ["POST", "/v1/namespaces/_/rules/r:enable", "EnableRule", { namespace: "_", name: "r" }],
    ["PATCH", "/v1/namespaces/a/limits", "UpdateNamespaceLimits", { namespace: "a" }],
  ])("finds %s %s", (method, path, rpc, variables) => {
    expect(found(method, path)).toEqual([rpc, variables]);
  });

  it.each([
    ["GET", "/v1"],
    ["GET", "/v1/"],
    ["PUT", "/v1/whoami"],
    ["GET", "/v1/namespaces/a//actions"],
    ["GET", "/v1/namespaces/_/actions/a:invoke"],
    ["POST", "/v1/namespaces/_/actions/a:nosuch"],
    ["POST", "/v1/namespaces/_/actions/a:invoke/"],
    ["POST", "/v1/namespaces/_/actions/a%3Ainvoke"],
  ])("does not find %s %s", (method, path) => {
    expect(found(method, path)).toBeUndefined();
  });

  it("decodes names, but an escaped slash does not make a package", () => {
    expect(found("GET", "/v1/namespaces/a%20b/actions/c%40d%26%C3%A9")).toEqual([
      "GetAction",
      { namespace: "a b", name: "c@d&é" },
    ]);
    expect(found("GET", "/v1/namespaces/_/actions/a%2Fb%252Fc")).toEqual([
      "GetAction",
      { namespace: "_", name: "a%2Fb%2Fc" },
    ]);
    expect(found("GET", "/v1/namespaces/%zz/actions/%")).toEqual(["GetAction", { namespace: "%zz", name: "%" }]);
  });

  it("has a path for every unary rpc", () => {
    const unary = TRANSCODED_SERVICES.flatMap((name) => registry.getService(name)?.methods ?? []).filter(
      (method) => method.methodKind === "unary",
    );
    const paths = new Set(
      ["GET", "POST", "PATCH", "DELETE"].flatMap((method) => rules.of(method).map((binding) => binding.rpc)),
    );
    expect(unary.map((method) => `/${method.parent.typeName}/${method.name}`).filter((rpc) => !paths.has(rpc))).toEqual(
      [],
    );
  });
});
