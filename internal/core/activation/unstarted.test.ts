import { describe, expect, it } from "vitest";

import { WeftError } from "../../base/errors.js";
import type { ActivationId } from "../../base/ids.js";
import type { QueuedRequest } from "../queue/store.js";
import { activationQuery, type ActivationListInput } from "./query.js";
import { explain, failedRecord, recordOfResult, type KnownAction } from "./unstarted.js";

const request: QueuedRequest = {
  id: "1".repeat(32) as ActivationId,
  namespace: "other",
  name: "utils/echo",
  paramsJson: "{}",
  callerNamespace: "guest",
  subject: "ada",
  transactionId: "tid",
  keyUuid: "",
  traceparent: "",
  acceptedWallMs: 1_000,
};

const action = {
  namespace: "other",
  name: "utils/echo",
  version: "0.0.2",
  exec: { kind: "nodejs:20" },
  limits: { timeoutMs: 1, memoryMb: 2, logsMb: 3, concurrency: 4 },
} as KnownAction;

describe("a record of a request that no invoker tells of", () => {
  it("says what is known", () => {
    const end = { outcome: "platformError", message: "it was lost", wallMs: 5_000, invokerId: "i1" } as const;
    expect(failedRecord(request, action, end)).toEqual({
      of: "action",
      id: request.id,
      namespace: "guest",
      subject: "ada",
      name: "echo",
      path: "other/utils/echo",
      version: "0.0.2",
      kind: "nodejs:20",
      limits: { timeoutMs: 1, memoryMb: 2, logsMb: 3, concurrency: 4 },
      startWallMs: 5_000,
      durationMs: 0,
      initMs: undefined,
      waitMs: 4_000,
      outcome: "platformError",
      resultJson: '{"error":"it was lost"}',
      resultSize: 23,
      timedOut: false,
      logs: [],
      cause: undefined,
      binding: undefined,
      transactionId: "tid",
      traceId: "",
      startKind: undefined,
      invokerId: "i1",
    });
  });

  it("says through which binding the action was named", () => {
    const end = { outcome: "platformError", message: "it was lost", wallMs: 0, invokerId: "" } as const;
    const bound = { ...request, namespace: "guest", name: "mine/echo" };
    expect(failedRecord(bound, action, end)).toMatchObject({ path: "other/utils/echo", binding: "guest/mine" });
    expect(failedRecord(bound, undefined, end)).toMatchObject({ path: "guest/mine/echo", binding: undefined });
  });

  it("says that the action is unknown when it is gone", () => {
    const end = { outcome: "applicationError", message: "gone", wallMs: 0, invokerId: "" } as const;
    expect(failedRecord(request, undefined, end)).toMatchObject({ kind: "unknown", version: "0.0.0", waitMs: 0 });
  });

  it("keeps a result that was heard of", () => {
    const record = recordOfResult(request, action, {
      kind: "done",
      outcome: "success",
      resultJson: Buffer.from('{"a":1.0}'),
      startWallMs: 3_000,
      durationMs: 7,
      initMs: 2,
      waitMs: 4,
      timedOut: false,
      resultSize: 9,
      startKind: "cold",
      invokerId: "i1",
    });
    expect(record).toMatchObject({
      outcome: "success",
      resultJson: '{"a":1.0}',
      durationMs: 7,
      initMs: 2,
      startKind: "cold",
    });
  });

  it("does not show what went wrong inside", () => {
    expect(explain(new WeftError("internal", "X", "secret"))).not.toContain("secret");
    expect(explain(new WeftError("unavailable", "X", "no invoker"))).toBe("no invoker");
  });
});

describe("a query of activations", () => {
  const input = (more: Partial<ActivationListInput> = {}): ActivationListInput => ({
    namespace: "guest",
    name: "",
    sinceWallMs: undefined,
    uptoWallMs: undefined,
    full: false,
    pageSize: 10,
    pageToken: "",
    skip: 0,
    ...more,
  });

  it("reads a page, within whole milliseconds", () => {
    const { query } = activationQuery(input({ name: "utils/echo", sinceWallMs: 1.2, uptoWallMs: 3.8 }));
    expect(query).toMatchObject({ name: "utils/echo", sinceWallMs: 2, uptoWallMs: 3, limit: 10, after: undefined });
  });

  it("goes on after the page before, if it is the same query", () => {
    const token = activationQuery(input()).page.next({ startWallMs: 5, id: "a".repeat(32) });
    expect(activationQuery(input({ pageToken: token })).query.after).toEqual({ startWallMs: 5, id: "a".repeat(32) });
    expect(() => activationQuery(input({ pageToken: token, name: "x" }))).toThrow("page_token");
  });

  it.each<[string, Partial<ActivationListInput>, readonly string[]]>([
    ["a bad name", { name: "a/b/c" }, ["name"]],
    ["times the wrong way round", { sinceWallMs: 2, uptoWallMs: 1 }, ["since"]],
    ["times that nobody has", { sinceWallMs: -1e18, uptoWallMs: 1e18 }, ["since", "upto"]],
    ["a page too large", { pageSize: 1_000 }, ["page_size"]],
  ])("with %s is refused", (_name, more, fields) => {
    expect(() => activationQuery(input(more))).toThrow(
      expect.objectContaining({ fields: fields.map((field) => expect.objectContaining({ field }) as unknown) }),
    );
  });
});
