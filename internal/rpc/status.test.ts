import { Metadata, status as Code, type ServiceError } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";

import { WeftError, type ErrorKind } from "../base/errors.js";
import { fromStatus, grpcCodeOf, toStatus } from "./status.js";

const across = (thrown: unknown): WeftError => {
  const { code, details, metadata } = toStatus(thrown);
  return fromStatus(Object.assign(new Error(details), { code, details, metadata }));
};

const kinds: Readonly<Record<ErrorKind, Code>> = {
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
};

describe("an error on the wire", () => {
  it.each(Object.entries(kinds) as [ErrorKind, Code][])("keeps its kind: %s", (kind, code) => {
    expect(across(new WeftError(kind, "SOME_REASON", "text")).kind).toBe(kind);
    expect(grpcCodeOf(kind)).toBe(code);
  });

  it("keeps reason, message, fields, fix and pause", () => {
    const error = new WeftError("invalidArgument", "BAD_LIMIT", "limits.timeout_ms: zu groß 😀", {
      fields: [
        { field: "limits.timeout_ms", description: "100 to 600000" },
        { field: "", description: "" },
      ],
      fix: "weft action update hello --timeout 60000",
      retryAfterMs: 61_250,
    });
    const { kind, reason, message, fields, fix, retryAfterMs } = across(error);
    expect({ kind, reason, message, fields, fix, retryAfterMs }).toEqual({
      kind: "invalidArgument",
      reason: "BAD_LIMIT",
      message: error.message,
      fields: error.fields,
      fix: error.fix,
      retryAfterMs: 61_250,
    });
  });

  it("tells a caller nothing of an internal error but that it was one", () => {
    const error = across(new WeftError("internal", "SQL", "password 'secret' is wrong", { cause: new Error("deep") }));
    expect(error.kind).toBe("internal");
    expect(error.message).not.toContain("secret");
    expect(JSON.stringify(toStatus(new TypeError("secret")).details)).not.toContain("secret");
  });

  it("reads a status that a stranger sent", () => {
    const strange = (code: Code, metadata?: Metadata): WeftError =>
      fromStatus(Object.assign(new Error("x"), { code, details: "said so", metadata }) as unknown as ServiceError);
    expect(strange(Code.NOT_FOUND)).toMatchObject({ kind: "notFound", reason: "NOT_FOUND", message: "said so" });
    expect(strange(Code.UNKNOWN)).toMatchObject({ kind: "internal" });
    const odd = new Metadata();
    odd.set("weft-error-kind", "madeUp");
    expect(strange(Code.ABORTED, odd).kind).toBe("conflict");
  });
});
