// The runtime's codec is written by hand; here it is held to the generated one.

import { describe, expect, it } from "vitest";

import { FromSandbox, LogStream, RunOutcome, ToSandbox } from "../../internal/gen/weft/runtime/v1/sandbox.pb.js";
import {
  APPLICATION_ERROR,
  decodeToSandbox,
  encodeHello,
  encodeInitResult,
  encodeLogs,
  STDERR,
  STDOUT,
  runResultBytesMax,
  SUCCESS,
  writeRunResult,
  type RunOutcome as SaidOutcome,
} from "./codec.js";

describe("the codec of the nodejs runtime", () => {
  it("says hello, init results and run results as generated code would", () => {
    const of = (message: FromSandbox["message"]): string =>
      Buffer.from(FromSandbox.encode({ message }).finish()).toString("hex");
    for (const [reconnects, resumed] of [
      [false, undefined],
      [true, undefined],
      [true, { loaded: false }],
      [true, { loaded: true }],
    ] as const) {
      const value = { kind: "nodejs:20", languageVersion: "20.20.2", protocol: 1, reconnects, resumed };
      expect(encodeHello("nodejs:20", "20.20.2", reconnects, resumed).toString("hex")).toBe(
        of({ $case: "hello", value }),
      );
    }
    expect(encodeInitResult(false, '{"error":"ü"}').toString("hex")).toBe(
      of({ $case: "initResult", value: { ok: false, errorJson: Buffer.from('{"error":"ü"}') } }),
    );
    expect(encodeInitResult(true, "").toString("hex")).toBe(
      of({ $case: "initResult", value: { ok: true, errorJson: Buffer.alloc(0) } }),
    );
    for (const [call, text, memoryBytes] of [
      [1, "{}", 0],
      [300, '{"a":"ü🌍"}', 50_000_000],
      [2 ** 31, `{"a":"${"x".repeat(300_000)}"}`, 2 ** 40],
    ] as const) {
      expect(runResult(call, APPLICATION_ERROR, text, true, memoryBytes)).toBe(
        of({
          $case: "runResult",
          value: {
            call,
            outcome: RunOutcome.APPLICATION_ERROR,
            resultJson: Buffer.from(text),
            logsTruncated: true,
            memoryBytes,
          },
        }),
      );
    }
    expect(runResult(0, SUCCESS, "[]", false, 0)).toBe(
      of({
        $case: "runResult",
        value: {
          call: 0,
          outcome: RunOutcome.SUCCESS,
          resultJson: Buffer.from("[]"),
          logsTruncated: false,
          memoryBytes: 0,
        },
      }),
    );
  });

  it("says logs as generated code would", () => {
    const lines = [
      { stream: STDOUT, unixNanos: 1n, text: "one" },
      { stream: STDERR, unixNanos: 2n ** 52n, text: "" },
    ] as const;
    expect(encodeLogs(7, lines).toString("hex")).toBe(
      Buffer.from(
        FromSandbox.encode({
          message: {
            $case: "logs",
            value: {
              call: 7,
              lines: [
                { stream: LogStream.STDOUT, unixNanos: 1, text: "one" },
                { stream: LogStream.STDERR, unixNanos: 2 ** 52, text: "" },
              ],
            },
          },
        }).finish(),
      ).toString("hex"),
    );
  });

  it("hears init, run and cancel, and skips fields it does not know", () => {
    const init = {
      actionName: "/guest/hello",
      main: "niam",
      code: Buffer.from("function"),
      binary: true,
      env: { A: "1", Ä: "" },
      concurrency: 5,
      logLimitBytes: 10 * 1024 * 1024,
    };
    expect(decodeToSandbox(encoded({ $case: "init", value: init }))).toEqual({ kind: "init", init });
    const run = {
      call: 4_000_000_000,
      paramsJson: Buffer.from('{"a":"ü"}'),
      activationId: "0".repeat(32),
      namespace: "gäst",
      actionName: "/gäst/hello",
      actionVersion: "0.0.1",
      transactionId: "tid",
      remainingMs: 60_000,
      deadlineWallMs: 1_700_000_000_000,
      apiKey: "u:k",
      traceparent: "00-…",
    };
    const { paramsJson, traceparent: _, ...same } = run;
    const framed = Buffer.concat([Buffer.alloc(7), encoded({ $case: "run", value: run }), Buffer.alloc(3)]);
    expect(decodeToSandbox(framed, 7, framed.length - 3)).toMatchObject({
      run: { ...same, params: paramsJson.toString() },
    });
    // Texts that mostly stay are not taken for those of the run before.
    const other = { ...run, namespace: "gÄst", actionName: "/gast/hello", actionVersion: "0.0.10" };
    expect(decodeToSandbox(encoded({ $case: "run", value: other }))).toMatchObject({
      run: { namespace: "gÄst", actionName: "/gast/hello", actionVersion: "0.0.10" },
    });
    const cancel = { call: 1, reason: "too late" };
    // Four fields of numbers unknown: a varint, eight bytes, a chunk, four bytes.
    const unknown = Buffer.from("f806018106000000000000000082060161850600000000".replace(/\s/g, ""), "hex");
    const said = Buffer.concat([encoded({ $case: "cancel", value: cancel }), unknown]);
    expect(decodeToSandbox(said)).toEqual({ kind: "cancel", cancel });
    expect(decodeToSandbox(unknown)).toBeUndefined();
  });

  it("refuses what ends too early", () => {
    const whole = encoded({ $case: "cancel", value: { call: 1, reason: "too late" } });
    expect(() => decodeToSandbox(whole.subarray(0, whole.length - 1))).toThrow("message ends inside a field");
  });
});

function encoded(message: ToSandbox["message"]): Buffer {
  return Buffer.from(ToSandbox.encode({ message }).finish());
}

/** The message without its frame, whose length is checked. */
function runResult(call: number, outcome: SaidOutcome, json: string, truncated: boolean, memoryBytes: number): string {
  const from = 3;
  const out = Buffer.alloc(from + runResultBytesMax(json.length));
  const end = writeRunResult(out, from, call, outcome, json, truncated, memoryBytes);
  expect(out.readUInt32BE(from)).toBe(end - from - 4);
  return out.subarray(from + 4, end).toString("hex");
}
