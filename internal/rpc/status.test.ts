import { Metadata, status as Code, type ServiceError } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";

import { WeftError, type ErrorKind } from "../base/errors.js";
import { fromStatus, grpcCodeOf, httpStatusOf, toStatus } from "./status.js";

const across = (thrown: unknown): WeftError => {
  const { code, details, metadata } = toStatus(thrown);
  return fromStatus(Object.assign(new Error(details), { code, details, metadata }));
};

const kinds: Readonly<Record<ErrorKind, readonly [code: Code, http: number]>> = {
  invalidArgument: [Code.INVALID_ARGUMENT, 400],
  unauthenticated: [Code.UNAUTHENTICATED, 401],
  permissionDenied: [Code.PERMISSION_DENIED, 403],
  notFound: [Code.NOT_FOUND, 404],
  alreadyExists: [Code.ALREADY_EXISTS, 409],
  failedPrecondition: [Code.FAILED_PRECONDITION, 409],
  conflict: [Code.ABORTED, 409],
  throttled: [Code.RESOURCE_EXHAUSTED, 429],
  noCapacity: [Code.UNAVAILABLE, 503],
  unavailable: [Code.UNAVAILABLE, 503],
  deadlineExceeded: [Code.DEADLINE_EXCEEDED, 504],
  canceled: [Code.CANCELLED, 499],
  internal: [Code.INTERNAL, 500],
};

describe("an error on the wire", () => {
  it.each(Object.entries(kinds) as [ErrorKind, readonly [Code, number]][])(
    "keeps its kind: %s",
    (kind, [code, http]) => {
      expect(across(new WeftError(kind, "SOME_REASON", "text")).kind).toBe(kind);
      expect([grpcCodeOf(kind), httpStatusOf(kind)]).toEqual([code, http]);
    },
  );

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
