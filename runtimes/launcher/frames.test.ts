// The launcher's codec is written by hand, in Go. Its tests read testdata/frames.json; here that file is held to what the
// generated codec says.

import { describe, expect, it } from "vitest";

import {
  BuildOutcome,
  BuildStep,
  FromSandbox,
  LogStream,
  RunOutcome,
  ToSandbox,
} from "../../internal/gen/weft/runtime/v1/sandbox.pb.js";

const from = (message: FromSandbox["message"]): string =>
  Buffer.from(FromSandbox.encode({ message }).finish()).toString("hex");
const to = (message: ToSandbox["message"]): string =>
  Buffer.from(ToSandbox.encode({ message }).finish()).toString("hex");

const frames = {
  hello: from({
    $case: "hello",
    value: { kind: "native:1", languageVersion: "1", protocol: 1, reconnects: false, resumed: undefined },
  }),
  helloAgain: from({
    $case: "hello",
    value: { kind: "native:1", languageVersion: "1", protocol: 1, reconnects: true, resumed: { loaded: true } },
  }),
  initOk: from({ $case: "initResult", value: { ok: true, errorJson: Buffer.alloc(0) } }),
  initFailed: from({ $case: "initResult", value: { ok: false, errorJson: Buffer.from('{"error":"ü"}') } }),
  result: from({
    $case: "runResult",
    value: {
      call: 4_000_000_000,
      outcome: RunOutcome.APPLICATION_ERROR,
      resultJson: Buffer.from('{"error":"🌍"}'),
      logsTruncated: true,
      memoryBytes: 2 ** 40,
    },
  }),
  emptyResult: from({
    $case: "runResult",
    value: {
      call: 0,
      outcome: RunOutcome.SUCCESS,
      resultJson: Buffer.from("[]"),
      logsTruncated: false,
      memoryBytes: 0,
    },
  }),
  logs: from({
    $case: "logs",
    value: {
      call: 7,
      lines: [
        { stream: LogStream.STDOUT, unixNanos: 1, text: "one" },
        { stream: LogStream.STDERR, unixNanos: 2 ** 52, text: "" },
      ],
    },
  }),
  init: to({
    $case: "init",
    value: {
      actionName: "hello",
      main: "niam",
      code: Buffer.from([0, 1, 255]),
      binary: true,
      env: { A: "1", Ä: "" },
      concurrency: 5,
      logLimitBytes: 10 * 1024 * 1024,
    },
  }),
  run: to({
    $case: "run",
    value: {
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
      traceparent: "00-1-2-01",
    },
  }),
  build: to({
    $case: "build",
    value: {
      actionName: "hello",
      main: "niam",
      source: Buffer.from([0, 1, 255]),
      binary: true,
      step: BuildStep.RESOLVE,
    },
  }),
  built: from({
    $case: "buildResult",
    value: {
      outcome: BuildOutcome.BUILT,
      artifact: Buffer.from([1, 0, 255]),
      lock: "ü v1.0.0",
      diagnostics: [],
      message: "",
    },
  }),
  notBuilt: from({
    $case: "buildResult",
    value: {
      outcome: BuildOutcome.FAILED,
      artifact: Buffer.alloc(0),
      lock: "",
      diagnostics: [
        { file: "main.go", line: 4, column: 9, text: "undefined: q" },
        { file: "ü.go", line: 70_000, column: 0, text: "" },
      ],
      message: "two mistakes",
    },
  }),
  cancel: to({ $case: "cancel", value: { call: 1, reason: "too late" } }),
};

describe("frames for the launcher's tests", () => {
  it("are what the generated codec says (after a change: vitest -u)", async () => {
    await expect(`${JSON.stringify(frames, undefined, 2)}\n`).toMatchFileSnapshot("testdata/frames.json");
  });
});
