// The HTTP request that google.api.http makes of an rpc, so that one table of requests is sent both ways.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createFileRegistry, fromBinary, getOption, toJson, type DescMethod, type JsonValue } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import type { UnaryMethod } from "../../internal/rpc/channel.js";

const registry = createFileRegistry(
  fromBinary(
    FileDescriptorSetSchema,
    readFileSync(fileURLToPath(new URL("../../internal/gen/weft.binpb", import.meta.url))),
  ),
);

export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly body?: string | Uint8Array;
}

interface Rule {
  readonly pattern: { readonly case: string; readonly value: string };
  readonly body: string;
}

type JsonObject = Record<string, JsonValue>;

/** @returns undefined for an rpc that has no rule, as streams have none */
export function asHttp<Req, Res>(method: UnaryMethod<Req, Res>, request: Req): HttpRequest | undefined {
  const described = descriptorOf(method.path);
  const extension = registry.getExtension("google.api.http");
  if (!extension) throw new Error("the descriptor set lacks google.api.http");
  if (described.methodKind !== "unary") return undefined;
  const { pattern, body } = getOption(described, extension) as Rule;
  const json = toJson(described.input, fromBinary(described.input, method.requestSerialize(request)), {
    useProtoFieldName: true,
    registry,
  }) as JsonObject;
  const path = pattern.value.replace(/\{([^}=]+)(=\*\*)?\}/g, (_, field: string, rest?: string) => {
    const value = take(json, field.split("."));
    const segments = rest === undefined ? [value] : value.split("/");
    return segments.map(encodeURIComponent).join("/");
  });
  const sent = pattern.case.toUpperCase();
  if (body === "*") return { method: sent, path, body: JSON.stringify(json) };
  const own = body === "" ? undefined : json[body];
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(json)) if (name !== body) flatten(query, name, value);
  const target = query.size === 0 ? path : `${path}?${query.toString().replaceAll("+", "%20")}`;
  if (body === "") return { method: sent, path: target };
  if (isHttpBody(described, body)) {
    return {
      method: sent,
      path: target,
      body: Buffer.from(text((own as JsonObject | undefined)?.["data"]), "base64"),
    };
  }
  return { method: sent, path: target, body: JSON.stringify(own ?? {}) };
}

function descriptorOf(path: string): DescMethod {
  const [service = "", name = ""] = path.slice(1).split("/");
  const method = registry.getService(service)?.methods.find((one) => one.name === name);
  if (!method) throw new Error(`no rpc ${path} in the descriptor set`);
  return method;
}

function isHttpBody(method: DescMethod, field: string): boolean {
  return method.input.fields.find((one) => one.name === field)?.message?.typeName === "google.api.HttpBody";
}

/** What stands in the path does not stand in the body as well. */
function take(json: JsonObject, [name = "", ...rest]: readonly string[]): string {
  const value = json[name];
  if (rest.length > 0) return take((value ?? {}) as JsonObject, rest);
  Reflect.deleteProperty(json, name);
  return text(value);
}

function text(value: JsonValue | undefined): string {
  return typeof value === "string" ? value : "";
}

function flatten(query: URLSearchParams, name: string, value: JsonValue): void {
  if (Array.isArray(value)) for (const one of value) flatten(query, name, one);
  else if (typeof value === "object" && value !== null) {
    for (const [inner, one] of Object.entries(value)) flatten(query, `${name}.${inner}`, one);
  } else query.append(name, String(value));
}
