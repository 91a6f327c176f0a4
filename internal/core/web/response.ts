// The HTTP response that the result of a web action makes.

import { elementsOf, membersOf, typeOf, type JsonText } from "../../base/json-text.js";
import { RESULT_BYTES_MAX } from "../action/types.js";
import { isBinary, isJsonFamily, parseMediaType, withUtf8 } from "./media-type.js";
import type { WebFormat } from "./path.js";
import { pretty } from "./pretty.js";

export type WebAnswer =
  | {
      readonly kind: "answer";
      readonly status: number;
      /** In order; a name may repeat. Without content-type. */
      readonly headers: readonly (readonly [name: string, value: string])[];
      /** "" when there is no body. */
      readonly contentType: string;
      readonly body: Buffer;
    }
  /** The result cannot be what the URL asks for. */
  | { readonly kind: "refused"; readonly status: 400 | 404; readonly message: string };

/** Headers of one response: what proxies take. */
const HEADERS_MAX = 100;
const HEADER_BYTES_MAX = 32 * 1024;
/** Arrays of values in each other: each is read as often as it is deep. */
const HEADER_DEPTH_MAX = 4;
/** Statuses that end a response. */
const STATUS_MIN = 200;
const STATUS_MAX = 599;
/** Longest text that results are laid out in; longer ones are sent as they are. */
const PRETTY_LENGTH_MAX = 2 * RESULT_BYTES_MAX;

/** Between two hops: an action does not decide on connections. The length is that of what is sent. */
const HOP_BY_HOP = new Set([
  "connection",
  "content-length",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** What the platform says about itself. */
const PLATFORMS = /^(?:x-request-id$|x-openwhisk-activation-id$|x-envoy-|weft-|grpc-)/;

/** @param result JSON text: the result, or what an application error has as `error` */
export function webAnswer(format: WebFormat, result: JsonText): WebAnswer {
  switch (format) {
    case "http":
      return http(result) ?? invalid("message/http");
    case "json": {
      const type = typeOf(result);
      if (type !== "object" && type !== "array") return invalid("application/json");
      return answer(200, [], "application/json", Buffer.from(pretty(result, PRETTY_LENGTH_MAX)));
    }
    case "html":
      return markup(result, "html", "text/html", "text/html; charset=UTF-8");
    case "svg":
      return markup(result, "svg", "image/svg+xml", "image/svg+xml");
    case "text": {
      const text = projected(result, "text");
      if (text === undefined) {
        return { kind: "refused", status: 404, message: "Response does not include requested property." };
      }
      return answer(200, [], "text/plain; charset=UTF-8", Buffer.from(printed(text)));
    }
  }
}

function markup(result: JsonText, field: string, type: string, contentType: string): WebAnswer {
  const text = projected(result, field);
  if (text === undefined || typeOf(text) !== "string") return invalid(type);
  return answer(200, [], contentType, Buffer.from(JSON.parse(text) as string));
}

/** Field `body`, else the one with the name of the format; what is no object stands for itself. */
function projected(result: JsonText, field: string): JsonText | undefined {
  if (typeOf(result) !== "object") return result;
  const members = membersOf(result);
  return members.get("body") ?? members.get(field);
}

function printed(value: JsonText): string {
  switch (typeOf(value)) {
    case "string":
      return JSON.parse(value) as string;
    case "object":
    case "array":
      return pretty(value, PRETTY_LENGTH_MAX);
    case "number":
    case "boolean":
    case "null":
      return value;
  }
}

// ---- .http ----

/** @returns undefined when the result does not describe a response */
function http(result: JsonText): WebAnswer | undefined {
  if (typeOf(result) !== "object") return undefined;
  const members = membersOf(result);
  const all = headersOf(members.get("headers"));
  const status = statusOf(members.get("statusCode"));
  if (!all || status === "invalid") return undefined;
  const contentType = all.find(([name]) => name.toLowerCase() === "content-type")?.[1];
  const headers = all.filter(([name]) => isPassedOn(name.toLowerCase()));
  const body = members.get("body");
  if (body === undefined || body === "null" || body === '""' || status === 204 || status === 304) {
    return answer(status ?? 204, headers, "", Buffer.alloc(0));
  }
  return typeOf(body) === "string"
    ? httpText(status ?? 200, headers, contentType, JSON.parse(body) as string)
    : httpJson(status ?? 200, headers, contentType, body);
}

function httpText(
  status: number,
  headers: readonly (readonly [string, string])[],
  contentType: string | undefined,
  text: string,
): WebAnswer {
  const type = parseMediaType(contentType ?? "text/html");
  if (!type) return unknownType();
  if (isBinary(type) && !isJsonFamily(type)) {
    const bytes = decodeBase64(text);
    return bytes ? answer(status, headers, type.text, bytes) : mismatch();
  }
  // Text that could be base64 is taken for it where JSON is expected: some actions rely on it.
  const bytes = isJsonFamily(type) && looksLikeBase64(text) ? decodeBase64(text) : undefined;
  return answer(status, headers, withUtf8(type), bytes ?? Buffer.from(text));
}

function httpJson(
  status: number,
  headers: readonly (readonly [string, string])[],
  contentType: string | undefined,
  value: JsonText,
): WebAnswer {
  const type = parseMediaType(contentType ?? "application/json");
  if (!type) return unknownType();
  if (!isJsonFamily(type)) return mismatch();
  return answer(status, headers, type.text, Buffer.from(pretty(value, PRETTY_LENGTH_MAX)));
}

/** @returns undefined when nobody said; "invalid" when it is no status that ends a response */
function statusOf(text: JsonText | undefined): number | "invalid" | undefined {
  if (text === undefined) return undefined;
  let status: number;
  if (typeOf(text) === "number") status = Number(text);
  else if (typeOf(text) === "string") {
    const spelled = JSON.parse(text) as string;
    status = /^\+?\d{1,9}$/.test(spelled) ? Number(spelled) : NaN;
  } else return "invalid";
  return Number.isInteger(status) && status >= STATUS_MIN && status <= STATUS_MAX ? status : "invalid";
}

/** Headers, content-type among them. @returns undefined when they are none, or too many */
function headersOf(text: JsonText | undefined): readonly (readonly [name: string, value: string])[] | undefined {
  if (text === undefined) return [];
  if (typeOf(text) !== "object") return undefined;
  const headers: [string, string][] = [];
  let bytes = 0;
  // Values still to be looked at, next one last: arrays may stand in arrays.
  const pending = [...membersOf(text)].reverse().map(([name, value]) => ({ name, value, depth: 0 }));
  for (let next = pending.pop(); next; next = pending.pop()) {
    const { name, value: valueText, depth } = next;
    if (typeOf(valueText) === "array") {
      const elements = depth < HEADER_DEPTH_MAX ? elementsOf(valueText).reverse() : [];
      if (depth >= HEADER_DEPTH_MAX || pending.length + elements.length > HEADERS_MAX) return undefined;
      for (const value of elements) pending.push({ name, value, depth: depth + 1 });
      continue;
    }
    const value = headerValue(valueText);
    if (value === undefined || !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) return undefined;
    bytes += name.length + value.length + 4;
    headers.push([name, value]);
    if (headers.length > HEADERS_MAX || bytes > HEADER_BYTES_MAX) return undefined;
  }
  return headers;
}

/** One character a byte. @returns undefined when it is no value of a header: a line break would begin another one */
function headerValue(text: JsonText): string | undefined {
  switch (typeOf(text)) {
    case "string": {
      const value = Buffer.from(JSON.parse(text) as string).toString("latin1");
      return /[\x00-\x08\x0a-\x1f\x7f]/.test(value) ? undefined : value.replace(/^[ \t]+|[ \t]+$/g, "");
    }
    case "number":
    case "boolean":
      return text;
    case "null":
    case "object":
    case "array":
      return undefined;
  }
}

function isPassedOn(name: string): boolean {
  return name !== "content-type" && !HOP_BY_HOP.has(name) && !PLATFORMS.test(name);
}

function looksLikeBase64(text: string): boolean {
  const trimmed = text.trim();
  return trimmed !== "" && trimmed.length % 4 === 0 && decodeBase64(trimmed) !== undefined;
}

/** @returns undefined when the text is not base64; padding may be left out */
function decodeBase64(text: string): Buffer | undefined {
  const digits = text.replace(/={1,2}$/, "");
  if (/[^A-Za-z0-9+/]/.test(digits) || digits.length % 4 === 1) return undefined;
  if (digits.length !== text.length && text.length % 4 !== 0) return undefined;
  return Buffer.from(digits, "base64");
}

function answer(
  status: number,
  headers: readonly (readonly [string, string])[],
  contentType: string,
  body: Buffer,
): WebAnswer {
  return { kind: "answer", status, headers, contentType, body };
}

function invalid(type: string): WebAnswer {
  return { kind: "refused", status: 400, message: `Response is not valid '${type}'.` };
}

function mismatch(): WebAnswer {
  return {
    kind: "refused",
    status: 400,
    message: "Response type in header did not match generated content type.",
  };
}

function unknownType(): WebAnswer {
  return { kind: "refused", status: 400, message: "Response did not specify a known content-type." };
}
