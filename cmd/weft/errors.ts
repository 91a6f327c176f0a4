// What went wrong, for people and for scripts: a stable code, what, where, and the command that fixes it. The first digit
// of the code is the exit code: 1 a mistake of the caller, 2 refused, 3 Weft failed or cannot be reached, 4 too slow;
// a cancelled command ends with 130.

import type { ErrorKind, WeftError } from "../../internal/base/errors.js";
import type { Screen } from "./output.js";

interface Meaning {
  readonly code: string;
  readonly exit: number;
  /** Name of the gRPC status. */
  readonly status: string;
  readonly fix?: string;
}

const MEANINGS: Readonly<Record<ErrorKind, Meaning>> = {
  invalidArgument: { code: "WEFT-1001", exit: 1, status: "INVALID_ARGUMENT" },
  notFound: { code: "WEFT-1002", exit: 1, status: "NOT_FOUND" },
  alreadyExists: { code: "WEFT-1003", exit: 1, status: "ALREADY_EXISTS" },
  conflict: { code: "WEFT-1004", exit: 1, status: "ABORTED", fix: "look at what changed, then do it again" },
  unauthenticated: {
    code: "WEFT-1005",
    exit: 1,
    status: "UNAUTHENTICATED",
    fix: "weft whoami --auth UUID:KEY    (or set WEFT_AUTH, or AUTH= in .weft/wskprops)",
  },
  failedPrecondition: { code: "WEFT-2001", exit: 2, status: "FAILED_PRECONDITION" },
  permissionDenied: {
    code: "WEFT-2002",
    exit: 2,
    status: "PERMISSION_DENIED",
    fix: "weft whoami    (shows whose key this is)",
  },
  throttled: { code: "WEFT-2003", exit: 2, status: "RESOURCE_EXHAUSTED", fix: "weft namespace limits" },
  unavailable: { code: "WEFT-3001", exit: 3, status: "UNAVAILABLE", fix: "weft doctor" },
  noCapacity: { code: "WEFT-3002", exit: 3, status: "UNAVAILABLE", fix: "weft status" },
  internal: { code: "WEFT-3003", exit: 3, status: "INTERNAL", fix: "weft doctor, and the logs of the roles" },
  deadlineExceeded: { code: "WEFT-4001", exit: 4, status: "DEADLINE_EXCEEDED", fix: "weft status" },
  canceled: { code: "WEFT-5001", exit: 130, status: "CANCELLED" },
};

export function exitCodeOf(error: WeftError): number {
  return MEANINGS[error.kind].exit;
}

export interface ShownError {
  readonly code: string;
  readonly kind: ErrorKind;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly where: string | undefined;
  readonly fields: readonly { readonly field: string; readonly description: string }[] | undefined;
  readonly retryAfterMs: number | undefined;
  readonly fix: string | undefined;
}

export function describeError(error: WeftError, where: string | undefined): ShownError {
  const { code, status, fix } = MEANINGS[error.kind];
  return {
    code,
    kind: error.kind,
    status,
    reason: error.reason,
    message: error.message,
    where,
    fields: error.fields.length > 0 ? error.fields : undefined,
    retryAfterMs: error.retryAfterMs,
    fix: error.fix ?? fix,
  };
}

/** Prints an error on standard error; as JSON when everything is. */
export function printError(screen: Screen, error: WeftError, where: string | undefined): void {
  const shown = describeError(error, where);
  if (screen.json) {
    screen.io.err.write(`${JSON.stringify({ error: shown })}\n`);
    return;
  }
  const { red, bold, dim } = screen.colours;
  const lines = [`${red(bold(`error ${shown.code}`))}  ${shown.message}`];
  const row = (name: string, value: string): void => {
    lines.push(`  ${dim(name.padEnd(6))}  ${value.split("\n").join("\n          ")}`);
  };
  // The message of a single field says it already.
  if (error.fields.length > 1)
    for (const { field, description } of error.fields) row("field", `${field}: ${description}`);
  // A mistake in typing never reached anybody.
  if (where !== undefined || error.reason !== "USAGE") {
    row("status", `${shown.status} (${shown.reason})${where === undefined ? "" : ` from ${where}`}`);
  }
  if (shown.retryAfterMs !== undefined) row("wait", `${Math.ceil(shown.retryAfterMs / 100) / 10} s, then try again`);
  if (shown.fix !== undefined) row("run", shown.fix);
  screen.io.err.write(`${lines.join("\n")}\n`);
}
