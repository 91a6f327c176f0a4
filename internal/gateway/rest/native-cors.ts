// Browsers may call /v1 from any origin: keys are sent explicitly, never by cookie. Envoy's CORS filter does this
// there, configured the same.

import { emptyResponse, type RestRequest, type RestResponse } from "./message.js";

export const ALLOWED_METHODS = "GET, POST, PUT, PATCH, DELETE";
export const ALLOWED_HEADERS =
  "authorization, content-type, accept, x-request-id, traceparent, x-grpc-web, x-user-agent, grpc-timeout";
export const EXPOSED_HEADERS = "x-request-id, weft-activation-id, grpc-status, grpc-message";
/** How long a browser remembers a preflight, seconds. */
export const MAX_AGE = "86400";

export function isPreflight({ method, headers }: RestRequest): boolean {
  return method === "OPTIONS" && "origin" in headers && "access-control-request-method" in headers;
}

export function preflightResponse({ headers }: RestRequest, requestId: string): RestResponse {
  return emptyResponse(200, [
    ["x-request-id", requestId],
    ["access-control-allow-origin", headers["origin"] ?? ""],
    ["access-control-allow-methods", ALLOWED_METHODS],
    ["access-control-allow-headers", ALLOWED_HEADERS],
    ["access-control-expose-headers", EXPOSED_HEADERS],
    ["access-control-max-age", MAX_AGE],
  ]);
}

export function corsOf({ headers }: RestRequest): RestResponse["headers"] {
  const { origin } = headers;
  if (origin === undefined) return [];
  return [
    ["access-control-allow-origin", origin],
    ["access-control-expose-headers", EXPOSED_HEADERS],
  ];
}
