// How a request is refused: OpenWhisk's `{error, code}` with the status that its clients expect.

import { WeftError, type ErrorKind } from "../../../base/errors.js";
import { TOO_LARGE } from "../../../base/violations.js";
import { FINAL_PARAMETERS } from "../../../core/params/merge.js";

export interface RefusalOptions {
  readonly headers?: readonly (readonly [string, string])[];
  /** True when it is refused before it was understood (no credentials, no route, malformed): then without CORS. */
  readonly rejection?: boolean;
}

/** An answer other than 2xx that this face decides on itself. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly headers: readonly (readonly [string, string])[];
  readonly rejection: boolean;

  constructor(
    readonly status: number,
    message: string,
    options: RefusalOptions = {},
  ) {
    super(message);
    this.headers = options.headers ?? [];
    this.rejection = options.rejection ?? false;
  }
}

export function malformed(detail: string): Refusal {
  return new Refusal(400, `The request content was malformed:\n${detail}`, { rejection: true });
}

export function malformedQuery(parameter: string, detail: string): Refusal {
  return new Refusal(400, `The query parameter '${parameter}' was malformed:\n${detail}`, { rejection: true });
}

export function tooLarge(field: string, bytes: number, max: number): Refusal {
  return new Refusal(413, `${field} larger than allowed: ${bytes} > ${max} bytes.`);
}

const STATUS_OF_KIND = {
  invalidArgument: 400,
  unauthenticated: 401,
  permissionDenied: 403,
  notFound: 404,
  alreadyExists: 409,
  failedPrecondition: 409,
  conflict: 409,
  throttled: 429,
  noCapacity: 503,
  unavailable: 503,
  // The platform's own wait ended, not the action's: OpenWhisk has no 504.
  deadlineExceeded: 503,
  canceled: 503,
  internal: 500,
} as const satisfies Record<ErrorKind, number>;

/** Where OpenWhisk sees another mistake in it than the kind says. */
const STATUS_OF_REASON: Readonly<Record<string, number | undefined>> = {
  PACKAGE_IS_BINDING: 400,
  KIND_DEPRECATED: 400,
  CIRCULAR_BINDING: 422,
};

const CHALLENGE = 'Basic realm="OpenWhisk secure realm",charset=UTF-8';

/** What a platform error is to a client of OpenWhisk. */
export function refusalOf(error: WeftError): Refusal {
  if (error.kind === "unauthenticated") {
    return new Refusal(401, sentence(error.message), { headers: [["WWW-Authenticate", CHALLENGE]], rejection: true });
  }
  const status = STATUS_OF_REASON[error.reason];
  if (status !== undefined) return new Refusal(status, sentence(error.message));
  if (error.reason === FINAL_PARAMETERS) return new Refusal(400, sentence(error.message));
  if (error.reason === TOO_LARGE) return new Refusal(413, sentence(error.message));
  if (error.kind === "internal") return new Refusal(500, "There was an internal server error.");
  const retryAfter = error.retryAfterMs;
  return new Refusal(STATUS_OF_KIND[error.kind], sentence(error.message), {
    headers: retryAfter === undefined ? [] : [["Retry-After", String(Math.max(1, Math.ceil(retryAfter / 1000)))]],
  });
}

/** Weft's messages are lower case without a full stop; clients of OpenWhisk show them to people as they are. */
function sentence(message: string): string {
  const text = message.trim();
  if (text === "") return "The request was refused.";
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
