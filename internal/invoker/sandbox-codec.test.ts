import { describe, expect, it } from "vitest";

import { FromSandbox, LogStream, RunOutcome, ToSandbox } from "../gen/weft/runtime/v1/sandbox.pb.js";
import { decodeFromSandbox, SandboxEncoder } from "./sandbox-codec.js";

const run = {
  call: 300,
  paramsJson: Buffer.from('{"a":1}'),
  activationId: "0".repeat(32),
  namespace: "guest",
  actionName: "/guest/hello",
  actionVersion: "0.0.1",
  transactionId: "tid",
  remainingMs: 60_000,
  deadlineWallMs: 1_790_000_000_000,
  apiKey: "u:k",
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
};

describe("what an invoker says to a sandbox", () => {
  it("is, byte for byte, what generated code writes", () => {
    const encoder = new SandboxEncoder();
    expect(Buffer.from(encoder.run(run))).toEqual(
      Buffer.from(ToSandbox.encode({ message: { $case: "run", value: run } }).finish()),
    );
    const empty = { ...run, paramsJson: Buffer.alloc(100_000), apiKey: "", traceparent: "", remainingMs: 0 };
    expect(Buffer.from(encoder.run(empty))).toEqual(
      Buffer.from(ToSandbox.encode({ message: { $case: "run", value: empty } }).finish()),
    );
    const cancel = { message: { $case: "cancel", value: { call: 3, reason: "gone" } } } as const;
    expect(Buffer.from(encoder.cancel(3, "gone"))).toEqual(Buffer.from(ToSandbox.encode(cancel).finish()));
  });
});

describe("what a sandbox says to an invoker", () => {
  const encoded = (message: FromSandbox["message"]): Uint8Array => FromSandbox.encode({ message }).finish();

  it("is read as generated code wrote it", () => {
    expect(
      decodeFromSandbox(
        encoded({
          $case: "runResult",
          value: {
            call: 7,
            outcome: RunOutcome.APPLICATION_ERROR,
            resultJson: Buffer.from("{}"),
            logsTruncated: true,
            memoryBytes: 12_345_678_901,
          },
        }),
      ),
    ).toMatchObject({
      kind: "runResult",
      call: 7,
      outcome: "applicationError",
      logsTruncated: true,
      memoryBytes: 12_345_678_901,
    });
    expect(
      decodeFromSandbox(encoded({ $case: "initResult", value: { ok: false, errorJson: Buffer.from("{}") } })),
    ).toMatchObject({ kind: "initResult", ok: false });
  });

  it("may tell times in nanoseconds, which no double holds", () => {
    const bytes = encoded({
      $case: "logs",
      value: { call: 1, lines: [{ stream: LogStream.STDERR, unixNanos: 2 ** 53, text: "ü" }] },
    });
    // 2^53 as a varint is eight bytes of zero and one more; make the odd number that follows it.
    const at = Buffer.from(bytes).indexOf(Buffer.from([0x10, 0x80]));
    bytes[at + 1] = 0x81;
    expect(decodeFromSandbox(bytes)).toEqual({
      kind: "logs",
      call: 1,
      lines: [{ stream: "stderr", unixNanos: 9_007_199_254_740_993n, text: "ü" }],
    });
  });

  it.each<[name: string, bytes: Uint8Array]>([
    ["nothing", new Uint8Array()],
    [
      "a second hello",
      encoded({
        $case: "hello",
        value: { kind: "k", languageVersion: "1", protocol: 1, reconnects: false, resumed: undefined },
      }),
    ],
    ["noise", Buffer.from("GET / HTTP/1.1\r\n")],
    ["a message cut short", Buffer.from([0x1a, 0x7f, 0x08])],
    ["an outcome that there is not", Buffer.from([0x1a, 0x02, 0x10, 0x09])],
  ])("is refused when it is %s", (_, bytes) => {
    expect(() => decodeFromSandbox(bytes)).toThrow("the sandbox sent what is no message");
  });
});
