// The arguments that a web action gets of an HTTP request, as JSON text: values of the caller's JSON stay as they are
// written.

import { isUtf8 } from "node:buffer";
import { toWeftError } from "../../base/errors.js";
import { membersOf, type JsonText } from "../../base/json-text.js";
import { jsonProblem } from "../action/json.js";
import { checkJsonObject } from "../params/merge.js";
import { isBinary, isJsonFamily, parseMediaType, type MediaType } from "./media-type.js";

export interface WebRequest {
  readonly method: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Without its question mark, as it was sent. */
  readonly query: string;
  /** What follows the action in the path. */
  readonly path: string;
  readonly body: Buffer;
  /** Namespace of the caller's key; undefined for strangers. */
  readonly user: string | undefined;
  /** What an API found in the path, by name: counts over query and body. Raw actions see it in the path only. */
  readonly parameters?: ReadonlyMap<string, string> | undefined;
}

export type WebArguments =
  { readonly kind: "arguments"; readonly json: JsonText } | { readonly kind: "refused"; readonly message: string };

/** What a request may not set. */
const RESERVED = ["__ow_method", "__ow_headers", "__ow_path", "__ow_user", "__ow_query", "__ow_body"] as const;

/** OpenWhisk's words, which its tests look for. */
export const NOT_ALLOWED = "Request defines parameters that are not allowed (e.g., reserved properties).";

/**
 * @param raw query and body are handed over as they are
 * @param immutable parameters that may not be set
 */
export function webArguments(request: WebRequest, raw: boolean, immutable: ReadonlySet<string>): WebArguments {
  const type = typeOfBody(request);
  if (type === "unknown") {
    return refused(`Content type '${request.headers["content-type"] ?? ""}' is not supported.`);
  }
  const own = new Map<string, JsonText>([
    ["__ow_method", JSON.stringify(request.method.toLowerCase())],
    ["__ow_headers", headersJson(request.headers)],
    ["__ow_path", JSON.stringify(request.path)],
  ]);
  if (request.user !== undefined) own.set("__ow_user", JSON.stringify(request.user));
  if (raw) {
    own.set("__ow_query", JSON.stringify(canonicalQuery(request.query)));
    const encoded = type && (isBinary(type) || (type.main === "application" && type.sub === "json"));
    own.set("__ow_body", JSON.stringify(request.body.toString(encoded ? "base64" : "utf8")));
    return done(own);
  }

  const given = new Map(fields(request.query));
  const body = readBody(request.body, type);
  switch (body.kind) {
    case "refused":
      return body;
    case "fields":
      for (const [key, value] of body.fields) given.set(key, value);
      break;
    case "value":
      own.set("__ow_body", body.value);
      break;
    case "none":
      break;
  }
  for (const [name, value] of request.parameters ?? []) given.set(name, JSON.stringify(value));
  for (const key of RESERVED) if (given.has(key)) return refused(NOT_ALLOWED);
  for (const key of given.keys()) if (immutable.has(key)) return refused(NOT_ALLOWED);
  return done(new Map([...own, ...given]));
}

/** Headers come one byte a character; what is UTF-8 is read as that. */
function headersJson(headers: WebRequest["headers"]): JsonText {
  const parts = Object.entries(headers).map(([name, value]) => {
    const bytes = /[\x80-\xff]/.test(value) ? Buffer.from(value, "latin1") : undefined;
    return `${JSON.stringify(name)}:${JSON.stringify(bytes && isUtf8(bytes) ? bytes.toString("utf8") : value)}`;
  });
  return `{${parts.join(",")}}`;
}

type Body =
  | { readonly kind: "none" }
  | { readonly kind: "fields"; readonly fields: Iterable<readonly [string, JsonText]> }
  | { readonly kind: "value"; readonly value: JsonText }
  | { readonly kind: "refused"; readonly message: string };

function readBody(bytes: Buffer, type: MediaType | undefined): Body {
  if (!type) return { kind: "none" };
  if (isJsonFamily(type)) return readJson(bytes);
  if (type.main === "application" && type.sub === "x-www-form-urlencoded") {
    return { kind: "fields", fields: fields(bytes.toString("utf8")) };
  }
  return { kind: "value", value: JSON.stringify(bytes.toString(isBinary(type) ? "base64" : "utf8")) };
}

function readJson(bytes: Buffer): Body {
  const text = bytes.toString("utf8").trim();
  if (text === "") return { kind: "none" };
  if (text.startsWith("{")) {
    try {
      checkJsonObject("body", bytes);
    } catch (thrown) {
      return malformed(toWeftError(thrown).message);
    }
    return { kind: "fields", fields: membersOf(text) };
  }
  const problem = jsonProblem(text);
  return problem === undefined ? { kind: "value", value: text } : malformed(`the body ${problem}`);
}

/** @returns undefined when there is no body; "unknown" when its type cannot be read */
function typeOfBody({ body, headers }: WebRequest): MediaType | "unknown" | undefined {
  if (body.length === 0) return undefined;
  return parseMediaType(headers["content-type"] ?? "application/octet-stream") ?? "unknown";
}

/** Of a repeated name the last counts. */
function fields(text: string): Map<string, JsonText> {
  return new Map([...new URLSearchParams(text)].map(([name, value]) => [name, JSON.stringify(value)]));
}

/** The query with everything escaped that should be, and nothing that need not. */
export function canonicalQuery(query: string): string {
  return query
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair) => {
      const equals = pair.indexOf("=");
      if (equals < 0) return escaped(pair);
      return `${escaped(pair.slice(0, equals))}=${escaped(pair.slice(equals + 1))}`;
    })
    .join("&");
}

const PLAIN = /[^A-Za-z0-9\-._~!$'()*,:@/?]+/g;

function escaped(text: string): string {
  // Read as a form field: percent signs that escape nothing stay, what is no UTF-8 is replaced.
  const [pair] = new URLSearchParams(`v=${text.replaceAll("=", "%3D")}`);
  return (pair?.[1] ?? "").replace(PLAIN, (part) => encodeURIComponent(part).replaceAll("%20", "+"));
}

function done(members: ReadonlyMap<string, JsonText>): WebArguments {
  const parts = [...members].map(([key, value]) => `${JSON.stringify(key)}:${value}`);
  return { kind: "arguments", json: `{${parts.join(",")}}` };
}

function refused(message: string): { readonly kind: "refused"; readonly message: string } {
  return { kind: "refused", message };
}

function malformed(detail: string): { readonly kind: "refused"; readonly message: string } {
  return refused(`The request content was malformed:\n${detail}`);
}
