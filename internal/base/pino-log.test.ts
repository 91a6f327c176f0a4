import { describe, expect, it } from "vitest";

import { WeftError } from "./errors.js";
import type { Log } from "./log.js";
import { openLog, type LogOptions } from "./pino-log.js";

function logged(write: (log: Log) => void, options: Partial<LogOptions> = {}): Record<string, unknown>[] {
  return lines(write, options).map((line) => JSON.parse(line) as Record<string, unknown>);
}

function lines(write: (log: Log) => void, options: Partial<LogOptions> = {}): string[] {
  const written: string[] = [];
  const destination = { write: (line: string) => written.push(line) };
  write(openLog({ component: "weft-test", destination, wallMs: () => Date.UTC(2026, 0, 2, 3, 4, 5, 678), ...options }));
  return written;
}

describe("a log", () => {
  it("writes one JSON object per line with the fixed fields and the caller's", () => {
    const written = lines((log) => log.info("session opened", { invokerId: "i1", sessionEpoch: 7 }), {
      role: "scheduler",
      id: "s1",
    });
    expect(written).toHaveLength(1);
    expect(written[0]?.endsWith("}\n")).toBe(true);
    expect(JSON.parse(written[0] ?? "")).toEqual({
      ts: "2026-01-02T03:04:05.678Z",
      level: "info",
      msg: "session opened",
      component: "weft-test",
      role: "scheduler",
      id: "s1",
      invokerId: "i1",
      sessionEpoch: 7,
    });
  });

  it("takes the time from the machine when no clock is given", () => {
    const destination = { write: (line: string) => written.push(line) };
    const written: string[] = [];
    openLog({ component: "c", destination }).info("hello");
    const { ts } = JSON.parse(written[0] ?? "") as { ts: string };
    expect(Math.abs(Date.parse(ts) - Date.now())).toBeLessThan(60_000);
  });

  it("leaves out what is below its level", () => {
    const write = (log: Log): void => {
      log.debug("a");
      log.info("b");
      log.warn("c");
      log.error("d");
    };
    expect(logged(write, { level: "warn" }).map((l) => [l["level"], l["msg"]])).toEqual([
      ["warn", "c"],
      ["error", "d"],
    ]);
    expect(logged(write, { level: "debug" })).toHaveLength(4);
  });

  it("adds bound fields to every line of a child and not to the parent's", () => {
    const [child, grandchild, parent] = logged((log) => {
      const one = log.with({ activationId: "a1" });
      one.info("x");
      one.with({ attempt: 2 }).info("y");
      log.info("z");
    });
    expect(child).toMatchObject({ activationId: "a1" });
    expect(grandchild).toMatchObject({ activationId: "a1", attempt: 2 });
    expect(parent).not.toHaveProperty("activationId");
  });

  it("writes an error with kind, reason and the chain of causes", () => {
    const socket = Object.assign(new Error("connect refused"), { code: "ECONNREFUSED" });
    const error = new WeftError("unavailable", "STORE_DOWN", "postgres does not answer", {
      cause: socket,
      fix: "start it",
      retryAfterMs: 5,
    });
    const [line] = logged((log) => log.error("the store is lost", { error }));
    expect(line?.["error"]).toEqual({
      kind: "unavailable",
      reason: "STORE_DOWN",
      message: "postgres does not answer",
      retryAfterMs: 5,
      fix: "start it",
      cause: {
        kind: "Error",
        message: "connect refused",
        code: "ECONNREFUSED",
        stack: expect.stringContaining("pino-log.test") as string,
      },
    });
  });

  it("keeps the stack of what nobody foresaw and ends a circle of causes", () => {
    const error = new TypeError("x is not a function");
    error.cause = new Error("outer", { cause: error });
    const [line] = logged((log) => log.error("failed", { error: new AggregateError([error], "several") }));
    const seen = JSON.stringify(line);
    expect(seen).toContain("TypeError: x is not a function");
    expect(seen).toContain("(circular)");
  });

  it.each([
    "authorization",
    "Authorization",
    "apiKey",
    "api_key",
    "api-key",
    "secret",
    "password",
    "token",
    "auth",
    "leaseToken",
  ])("never writes the value of a field named %s, however deep and in a child's fields", (name) => {
    const hidden = "do-not-show";
    const written = lines((log) => {
      log.with({ [name]: hidden }).info("a");
      log.info("b", {
        [name]: hidden,
        headers: [{ [name]: hidden }],
        nested: { further: { [name]: { deep: hidden } } },
      });
      log.error("c", { error: new Error("x", { cause: { [name]: hidden } }) });
    }).join("");
    expect(written).not.toContain(hidden);
    expect(written.match(/\(secret\)/g)?.length).toBe(5);
  });

  it("writes fields whose names only resemble a secret's", () => {
    const [line] = logged((log) => log.info("x", { author: "ann", tokens: 3, authorized: true }));
    expect(line).toMatchObject({ author: "ann", tokens: 3, authorized: true });
  });

  it("writes a line whatever is in its fields", () => {
    const circular: Record<string, unknown> = {
      n: 12n,
      nan: Number.NaN,
      at: new Date(0),
      bytes: new Uint8Array(3),
      f: () => 1,
    };
    circular["self"] = circular;
    Object.defineProperty(circular, "bad", {
      enumerable: true,
      get: () => {
        throw new Error("no");
      },
    });
    const [line] = logged((log) =>
      log.info("odd", { circular, map: new Map([["k", 1n]]), none: undefined, nothing: null }),
    );
    expect(line).toMatchObject({
      circular: {
        n: "12",
        nan: "NaN",
        at: "1970-01-01T00:00:00.000Z",
        bytes: "(3 bytes)",
        f: "(function)",
        self: "(circular)",
        bad: "(unreadable: no)",
      },
      map: { k: "1" },
      nothing: null,
    });
    expect(line).not.toHaveProperty("none");
  });

  it("bounds long texts, long lists and deep objects", () => {
    let deep: unknown = "bottom";
    for (let i = 0; i < 100; i += 1) deep = { deep };
    const [line] = lines((log) =>
      log.info("big", { text: "x".repeat(1_000_000), list: Array.from({ length: 100_000 }, (_, i) => i), deep }),
    );
    expect(line?.length).toBeLessThan(10_000);
    expect(line).toContain("(99936 more)");
  });

  it("does not let a field replace a fixed one or a percent sign disturb the sentence", () => {
    const [line] = logged((log) => log.info("100%d done", { level: "x", msg: "y", ts: 1 }));
    expect(line).toMatchObject({ level: "info", msg: "100%d done", _level: "x", _msg: "y", _ts: 1 });
  });

  it("writes for people when asked", () => {
    const [line] = lines((log) => log.warn("invoker silent", { invokerId: "i1", why: "no heartbeat" }), {
      pretty: true,
      role: "scheduler",
    });
    expect(line).toBe('03:04:05.678 warn  scheduler invoker silent invokerId=i1 why="no heartbeat"\n');
  });
});
