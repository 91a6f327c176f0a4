// What Postgres and the way to it can answer, as kinds. The only place that reads SQLSTATEs.

import { WeftError, type ErrorKind } from "../base/errors.js";

interface Meaning {
  readonly kind: ErrorKind;
  readonly reason: string;
  readonly what: string;
  readonly fix?: string;
}

const NOT_REACHED_FIX = "install and start it with deploy/local/install, or correct the URL";

const TRY_AGAIN: Meaning = { kind: "unavailable", reason: "STORE_BUSY", what: "Postgres is busy with others' changes" };
const LOST: Meaning = { kind: "unavailable", reason: "STORE_UNAVAILABLE", what: "the connection to Postgres was lost" };
const SLOW: Meaning = { kind: "unavailable", reason: "STORE_TOO_SLOW", what: "Postgres did not answer in time" };
const FULL: Meaning = { kind: "unavailable", reason: "STORE_UNAVAILABLE", what: "Postgres is out of resources" };
const NOT_REACHED: Meaning = {
  kind: "unavailable",
  reason: "STORE_UNAVAILABLE",
  what: "Postgres cannot be reached",
  fix: NOT_REACHED_FIX,
};
const REFUSED: Meaning = {
  kind: "failedPrecondition",
  reason: "STORE_REFUSED",
  what: "Postgres does not let us in",
  fix: "correct user, password and database in the URL; deploy/local/install writes one that works to .weft/services.env",
};
const NO_SCHEMA: Meaning = {
  kind: "failedPrecondition",
  reason: "SCHEMA_OUTDATED",
  what: "the database does not have the tables of this version",
  fix: "npx weft migrate",
};
const BAD_TEXT: Meaning = {
  kind: "invalidArgument",
  reason: "INVALID_TEXT",
  what: "Postgres cannot store this text",
};

/** By SQLSTATE, or by the first two characters of it: its class. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  "08": LOST,
  "28": REFUSED,
  "3D": REFUSED,
  "40": TRY_AGAIN,
  "53": FULL,
  "57": LOST, // an operator stops or has stopped it
  "57014": SLOW, // statement_timeout
  "57P03": NOT_REACHED, // it is starting up
  "58": FULL,
  "55P03": TRY_AGAIN, // lock_timeout
  "25006": { ...LOST, what: "Postgres takes no writes: it is a standby" },
  "25P03": LOST, // idle_in_transaction_session_timeout
  "22021": BAD_TEXT,
  "22P05": BAD_TEXT,
  "42P01": NO_SCHEMA,
  "42703": NO_SCHEMA,
  ECONNREFUSED: NOT_REACHED,
  ENOENT: NOT_REACHED, // no such socket
  EACCES: NOT_REACHED,
  ENOTFOUND: NOT_REACHED,
  EAI_AGAIN: NOT_REACHED,
  EHOSTUNREACH: NOT_REACHED,
  ENETUNREACH: NOT_REACHED,
  ETIMEDOUT: NOT_REACHED,
  ECONNRESET: LOST,
  EPIPE: LOST,
};

/** pg's own complaints have no code. */
const MESSAGES: readonly (readonly [RegExp, Meaning])[] = [
  [/timeout exceeded when trying to connect|timeout expired/i, NOT_REACHED],
  [/query read timeout/i, SLOW],
  [/connection terminated|not queryable|connection error|after calling end/i, LOST],
  [/password must be a string|SASL|no password|server does not support SSL/i, REFUSED],
];

/** @param where host and port or socket, for people; never with the password */
export function fromPostgres(thrown: unknown, where: string): WeftError {
  if (thrown instanceof WeftError) return thrown;
  const code = sqlState(thrown);
  const message = messageOf(thrown);
  const meaning =
    MEANINGS[code] ??
    (isSqlState(code) ? MEANINGS[code.slice(0, 2)] : undefined) ??
    MESSAGES.find(([pattern]) => pattern.test(message))?.[1];
  if (!meaning) return new WeftError("internal", "STORE_FAILED", `Postgres at ${where}: ${message}`, { cause: thrown });
  return new WeftError(meaning.kind, meaning.reason, `${meaning.what} at ${where}: ${message}`, {
    cause: thrown,
    ...(meaning.fix === undefined ? {} : { fix: meaning.fix }),
  });
}

/** SQLSTATE, or the system's name of what went wrong; "" when there is neither. */
export function sqlState(thrown: unknown): string {
  // A name with several addresses fails with all their errors in one.
  if (thrown instanceof AggregateError && thrown.errors.length > 0) return sqlState(thrown.errors[0]);
  const { code } = (thrown ?? {}) as { readonly code?: unknown };
  return typeof code === "string" ? code : "";
}

/** They have a digit, which EPIPE and its like have not. */
function isSqlState(code: string): boolean {
  return /^(?=.*\d)[0-9A-Z]{5}$/.test(code);
}

/** True when the connection is as good as before: a refusal of ours, or a complaint of Postgres that is not its last word. */
export function leavesConnection(thrown: unknown): boolean {
  if (thrown instanceof WeftError) return thrown.kind !== "unavailable";
  const { severity } = (thrown ?? {}) as { readonly severity?: unknown };
  return isSqlState(sqlState(thrown)) && severity !== "FATAL" && severity !== "PANIC";
}

/** True when the same transaction may well succeed when it is tried again at once. */
export function isSerializationFailure(thrown: unknown): boolean {
  const code = sqlState(thrown);
  return code === "40001" || code === "40P01";
}

/** Name of the constraint that was violated; undefined when none was. */
export function violatedConstraint(thrown: unknown): string | undefined {
  const { code, constraint } = (thrown ?? {}) as { readonly code?: unknown; readonly constraint?: unknown };
  return typeof code === "string" && code.startsWith("23") && typeof constraint === "string" ? constraint : undefined;
}

function messageOf(thrown: unknown): string {
  if (thrown instanceof AggregateError && thrown.errors.length > 0) return messageOf(thrown.errors[0]);
  return thrown instanceof Error ? thrown.message : String(thrown);
}
