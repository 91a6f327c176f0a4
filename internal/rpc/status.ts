// Errors on the wire: a WeftError keeps its identity across a hop (kind, reason, fields, retryAfterMs), and clients
// that know google.rpc details can read them. `internal` crosses without message or cause.

import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { Metadata, status as Code, type ServiceError } from "@grpc/grpc-js";
import { toWeftError, WeftError, type ErrorKind, type FieldViolation } from "../base/errors.js";

const CODES = {
  invalidArgument: Code.INVALID_ARGUMENT,
  unauthenticated: Code.UNAUTHENTICATED,
  permissionDenied: Code.PERMISSION_DENIED,
  notFound: Code.NOT_FOUND,
  alreadyExists: Code.ALREADY_EXISTS,
  failedPrecondition: Code.FAILED_PRECONDITION,
  conflict: Code.ABORTED,
  throttled: Code.RESOURCE_EXHAUSTED,
  noCapacity: Code.UNAVAILABLE,
  unavailable: Code.UNAVAILABLE,
  deadlineExceeded: Code.DEADLINE_EXCEEDED,
  canceled: Code.CANCELLED,
  internal: Code.INTERNAL,
} as const satisfies Record<ErrorKind, Code>;

/** gRPC code of a kind, as a number. */
export function grpcCodeOf(kind: ErrorKind): number {
  return CODES[kind];
}

const KIND_OF_CODE: Partial<Record<Code, ErrorKind>> = {
  [Code.INVALID_ARGUMENT]: "invalidArgument",
  [Code.OUT_OF_RANGE]: "invalidArgument",
  [Code.UNAUTHENTICATED]: "unauthenticated",
  [Code.PERMISSION_DENIED]: "permissionDenied",
  [Code.NOT_FOUND]: "notFound",
  [Code.ALREADY_EXISTS]: "alreadyExists",
  [Code.FAILED_PRECONDITION]: "failedPrecondition",
  [Code.ABORTED]: "conflict",
  [Code.RESOURCE_EXHAUSTED]: "throttled",
  [Code.UNAVAILABLE]: "unavailable",
  [Code.DEADLINE_EXCEEDED]: "deadlineExceeded",
  [Code.CANCELLED]: "canceled",
};

const DETAILS = "grpc-status-details-bin";
const KIND = "weft-error-kind";
const DOMAIN = "weft";
/** What a caller is told of an internal error; the log has the rest, under the same trace. */
const INTERNAL_MESSAGE = "internal error";

export interface WireStatus {
  readonly code: Code;
  readonly details: string;
  readonly metadata: Metadata;
}

export function toStatus(thrown: unknown): WireStatus {
  const error = toWeftError(thrown);
  const hidden = error.kind === "internal";
  // A lone surrogate cannot be sent: grpc-js would throw where nobody catches.
  const message = hidden ? INTERNAL_MESSAGE : Buffer.from(error.message).toString();
  const code = CODES[error.kind];
  const metadata = new Metadata();
  metadata.set(KIND, error.kind);
  metadata.set(DETAILS, Buffer.from(encodeDetails(code, message, error)));
  return { code, details: message, metadata };
}

export function fromStatus(error: ServiceError): WeftError {
  // A call to a peer that does not answer has no metadata of ours.
  const metadata = error.metadata as Metadata | undefined;
  const said = metadata?.get(KIND)[0];
  const kind =
    typeof said === "string" && said in CODES ? (said as ErrorKind) : (KIND_OF_CODE[error.code] ?? "internal");
  const bytes = metadata?.get(DETAILS)[0];
  const details = bytes instanceof Buffer ? decodeDetails(bytes) : undefined;
  const reason = details?.reason ?? (neverLeft(error, said) ? NOT_CONNECTED : Code[error.code]);
  return new WeftError(kind, reason, error.details || error.message, {
    cause: error,
    ...(details?.retryAfterMs === undefined ? {} : { retryAfterMs: details.retryAfterMs }),
    ...(details?.fields.length ? { fields: details.fields } : {}),
    ...(details?.fix === undefined ? {} : { fix: details.fix }),
  });
}

/** Reason of an error that proves that the peer never saw the call: it may be sent again, whatever it does. */
export const NOT_CONNECTED = "NOT_CONNECTED";

/** grpc-js says so only in words: they are those of a call that was queued for a connection that did not come about. */
function neverLeft(error: ServiceError, said: unknown): boolean {
  return (
    error.code === Code.UNAVAILABLE &&
    said === undefined &&
    /^(No connection established|Name resolution failed|Failed to connect)/.test(error.details)
  );
}

// google.rpc.Status { int32 code = 1; string message = 2; repeated Any details = 3 } with ErrorInfo, RetryInfo and
// BadRequest of google/rpc/error_details.proto, written by hand: four small messages do not earn generated files.

function encodeDetails(code: number, message: string, error: WeftError): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.Varint).int32(code);
  writer.tag(2, WireType.LengthDelimited).string(message);
  const any = (type: string, write: (w: BinaryWriter) => void): void => {
    const body = new BinaryWriter();
    write(body);
    writer.tag(3, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(`type.googleapis.com/google.rpc.${type}`);
    writer.tag(2, WireType.LengthDelimited).bytes(body.finish());
    writer.join();
  };
  any("ErrorInfo", (w) => {
    w.tag(1, WireType.LengthDelimited).string(error.reason);
    w.tag(2, WireType.LengthDelimited).string(DOMAIN);
    if (error.fix !== undefined) {
      w.tag(3, WireType.LengthDelimited).fork();
      w.tag(1, WireType.LengthDelimited).string("fix").tag(2, WireType.LengthDelimited).string(error.fix);
      w.join();
    }
  });
  const { retryAfterMs } = error;
  if (retryAfterMs !== undefined) {
    any("RetryInfo", (w) => {
      w.tag(1, WireType.LengthDelimited).fork();
      w.tag(1, WireType.Varint).int64(Math.floor(retryAfterMs / 1000));
      w.tag(2, WireType.Varint).int32(Math.round((retryAfterMs % 1000) * 1e6));
      w.join();
    });
  }
  if (error.fields.length > 0) {
    any("BadRequest", (w) => {
      for (const violation of error.fields) {
        w.tag(1, WireType.LengthDelimited).fork();
        w.tag(1, WireType.LengthDelimited).string(violation.field);
        w.tag(2, WireType.LengthDelimited).string(violation.description);
        w.join();
      }
    });
  }
  return writer.finish();
}

interface Details {
  readonly reason: string | undefined;
  readonly fix: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly fields: readonly FieldViolation[];
}

/** Calls `field` for each field of a message; what it does not read is skipped. */
function eachField(bytes: Uint8Array, field: (number: number, reader: BinaryReader) => boolean): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (!field(number, reader)) reader.skip(type);
  }
}

function decodeDetails(bytes: Uint8Array): Details {
  let reason: string | undefined;
  let fix: string | undefined;
  let retryAfterMs: number | undefined;
  const fields: FieldViolation[] = [];
  const readInfo = (body: Uint8Array): void => {
    eachField(body, (number, reader) => {
      if (number === 1) reason = reader.string();
      else if (number === 3) {
        let value = "";
        eachField(reader.bytes(), (part, entry) => {
          if (part !== 2) return false;
          value = entry.string();
          return true;
        });
        fix = value;
      } else return false;
      return true;
    });
  };
  const readRetry = (body: Uint8Array): void => {
    eachField(body, (number, reader) => {
      if (number !== 1) return false;
      let ms = 0;
      eachField(reader.bytes(), (part, duration) => {
        if (part === 1) ms += Number(duration.int64()) * 1000;
        else if (part === 2) ms += duration.int32() / 1e6;
        else return false;
        return true;
      });
      retryAfterMs = ms;
      return true;
    });
  };
  const readFields = (body: Uint8Array): void => {
    eachField(body, (number, reader) => {
      if (number !== 1) return false;
      const violation = { field: "", description: "" };
      eachField(reader.bytes(), (part, entry) => {
        if (part === 1) violation.field = entry.string();
        else if (part === 2) violation.description = entry.string();
        else return false;
        return true;
      });
      fields.push(violation);
      return true;
    });
  };
  eachField(bytes, (number, reader) => {
    if (number !== 3) return false;
    let type = "";
    let body: Uint8Array = new Uint8Array();
    eachField(reader.bytes(), (part, any) => {
      if (part === 1) type = any.string();
      else if (part === 2) body = any.bytes();
      else return false;
      return true;
    });
    if (type.endsWith(".ErrorInfo")) readInfo(body);
    else if (type.endsWith(".RetryInfo")) readRetry(body);
    else if (type.endsWith(".BadRequest")) readFields(body);
    return true;
  });
  return { reason, fix, retryAfterMs, fields };
}
