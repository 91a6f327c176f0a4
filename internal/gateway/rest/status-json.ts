// A refused call of /v1 as JSON: google.rpc.Status, written exactly as Envoy's transcoder writes it.

import type { WeftError } from "../../base/errors.js";
import { grpcCodeOf } from "../../rpc/status.js";
import { escapeAsEnvoy } from "./envoy-json.js";
import { jsonResponse, type RestResponse } from "./message.js";

/** HTTP status by gRPC code: Google's mapping, which Envoy has built in. */
const HTTP_OF_CODE: Readonly<Record<number, number>> = {
  0: 200,
  1: 499,
  2: 500,
  3: 400,
  4: 504,
  5: 404,
  6: 409,
  7: 403,
  8: 429,
  9: 400,
  10: 409,
  11: 400,
  12: 501,
  13: 500,
  14: 503,
  15: 500,
  16: 401,
};

const INVALID_ARGUMENT = 3;
/** What callers are told of an internal error, on every face. */
const INTERNAL_MESSAGE = "internal error";

export function errorResponse(error: WeftError, headers: RestResponse["headers"]): RestResponse {
  const code = grpcCodeOf(error.kind);
  const message = error.kind === "internal" ? INTERNAL_MESSAGE : error.message;
  const details: object[] = [
    {
      "@type": "type.googleapis.com/google.rpc.ErrorInfo",
      reason: error.reason,
      domain: "weft",
      metadata: error.fix === undefined ? {} : { fix: error.fix },
    },
  ];
  if (error.retryAfterMs !== undefined) {
    details.push({ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: duration(error.retryAfterMs) });
  }
  if (error.fields.length > 0) {
    const fieldViolations = error.fields.map(({ field, description }) => ({ field, description }));
    details.push({ "@type": "type.googleapis.com/google.rpc.BadRequest", fieldViolations });
  }
  return jsonResponse(HTTP_OF_CODE[code] ?? 500, escapeAsEnvoy(JSON.stringify({ code, message, details })), headers);
}

/** What no rpc has seen: written as Envoy writes its local replies, members in alphabetical order and a line feed. */
export function refusedResponse(
  http: number,
  code: number,
  message: string,
  headers: RestResponse["headers"] = [],
): RestResponse {
  return jsonResponse(http, `${JSON.stringify({ code, details: [], message })}\n`, headers);
}

export function badRequest(message: string): RestResponse {
  return refusedResponse(400, INVALID_ARGUMENT, message);
}

/** google.protobuf.Duration as JSON: no fraction, or three digits of it. */
function duration(ms: number): string {
  const whole = Math.round(ms);
  const fraction = whole % 1000;
  return `${Math.floor(whole / 1000)}${fraction === 0 ? "" : `.${String(fraction).padStart(3, "0")}`}s`;
}
