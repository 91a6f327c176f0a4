// Platform errors: what Weft could not do, and what the caller should do about it. What user code did is an outcome,
// never an error.

/** What to do about an error. `internal/rpc/status.ts` maps each kind to gRPC and HTTP. */
export const ERROR_KINDS = [
  "invalidArgument",
  "unauthenticated",
  "permissionDenied",
  "notFound",
  "alreadyExists",
  "failedPrecondition",
  "conflict",
  "throttled",
  "noCapacity",
  "unavailable",
  "deadlineExceeded",
  "canceled",
  "internal",
] as const;

export type ErrorKind = (typeof ERROR_KINDS)[number];

/** One field of a request that was refused. */
export interface FieldViolation {
  /** Path of the field as the caller wrote it, for example "limits.timeout_ms". */
  readonly field: string;
  /** What is wrong and what would be right. */
  readonly description: string;
}

export interface WeftErrorOptions {
  /** For logs; never sent to a caller. */
  readonly cause?: unknown;
  /** How long the caller should wait before trying again. */
  readonly retryAfterMs?: number;
  readonly fields?: readonly FieldViolation[];
  /** What a program or person can run to fix it. */
  readonly fix?: string;
}

export class WeftError extends Error {
  override readonly name = "WeftError";
  readonly retryAfterMs: number | undefined;
  readonly fields: readonly FieldViolation[];
  readonly fix: string | undefined;

  /**
   * @param kind what the caller should do
   * @param reason stable UPPER_SNAKE name that a program can match
   * @param message for people: lower case, no full stop, with the ids
   */
  constructor(
    readonly kind: ErrorKind,
    readonly reason: string,
    message: string,
    options: WeftErrorOptions = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.retryAfterMs = options.retryAfterMs;
    this.fields = options.fields ?? [];
    this.fix = options.fix;
  }
}

/** A request field that is refused. */
export function invalidField(field: string, description: string): WeftError {
  return new WeftError("invalidArgument", "INVALID_FIELD", `${field}: ${description}`, {
    fields: [{ field, description }],
  });
}

/** Turns whatever was thrown into a WeftError; what is not one already is `internal`. */
export function toWeftError(thrown: unknown): WeftError {
  if (thrown instanceof WeftError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new WeftError("internal", "UNFORESEEN", message, { cause: thrown });
}

/** Always on: for facts that hold across steps. Validation of input is not an invariant. */
export function invariant(condition: boolean, what: string): asserts condition {
  if (!condition) throw new WeftError("internal", "INVARIANT", `invariant broken: ${what}`);
}

/** For the end of a switch over a union: a new case does not compile until it is handled. */
export function unreachable(value: never): never {
  throw new WeftError("internal", "UNREACHABLE", `unforeseen case: ${JSON.stringify(value)}`);
}
