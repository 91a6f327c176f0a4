// HTTP messages apart from any transport: the built-in face and Envoy's tunnel make the same request of them, and send
// the same response.

/** Largest request body: 48 MiB of code as base64 inside JSON (64 MiB), and what surrounds it. Envoy has the same. */
export const BODY_BYTES_MAX = 68 * 1024 * 1024;

export interface RestRequest {
  /** Upper case. */
  readonly method: string;
  /** Path and query exactly as the client sent them. */
  readonly target: string;
  /** Lower-case names; values of a repeated header joined with ", ". */
  readonly headers: Readonly<Record<string, string>>;
  /** Empty when there was none. */
  readonly body: Buffer;
  /** Aborted when the client hung up: nobody reads the answer. */
  readonly signal?: AbortSignal;
}

export interface RestResponse {
  readonly status: number;
  /** In order; a name may repeat. Without content-type. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** "" sends no content-type. */
  readonly contentType: string;
  readonly body: Buffer;
}

const NOTHING = Buffer.alloc(0);

export function emptyResponse(status: number, headers: RestResponse["headers"] = []): RestResponse {
  return { status, headers, contentType: "", body: NOTHING };
}

/** @param json JSON text */
export function jsonResponse(status: number, json: string, headers: RestResponse["headers"] = []): RestResponse {
  return { status, headers, contentType: "application/json", body: Buffer.from(json) };
}

export function textResponse(status: number, text: string, headers: RestResponse["headers"] = []): RestResponse {
  return { status, headers, contentType: "text/plain", body: Buffer.from(text) };
}

/** Path without query. */
export function pathOf(target: string): string {
  const end = target.indexOf("?");
  return end < 0 ? target : target.slice(0, end);
}

/** Query without its question mark. */
export function queryOf(target: string): string {
  const start = target.indexOf("?");
  return start < 0 ? "" : target.slice(start + 1);
}
