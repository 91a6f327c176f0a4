import { describe, expect, it } from "vitest";

import { nanosOfMs, RawLines, RunLogs, timestamp } from "./run-logs.js";

const at = nanosOfMs(Date.UTC(2026, 7, 5, 9, 26, 40, 120)) + 3n;

describe("the logs of a run", () => {
  it("have OpenWhisk's layout, with every nanosecond", () => {
    const logs = new RunLogs(1_000);
    logs.add("stdout", at, "hi");
    logs.add("stderr", at, "");
    expect(logs.finish(0, false)).toEqual([
      "2026-08-05T09:26:40.120000003Z stdout: hi",
      "2026-08-05T09:26:40.120000003Z stderr: ",
    ]);
  });

  it("stop at the limit and say so in one line", () => {
    const logs = new RunLogs(10);
    for (const text of ["1234", "12345", "x", "y"]) logs.add("stdout", at, text);
    expect(logs.finish(0, false)).toEqual([
      "2026-08-05T09:26:40.120000003Z stdout: 1234",
      "1970-01-01T00:00:00.000000000Z stderr: Logs were truncated because the total bytes size exceeds the limit of 10 bytes.",
    ]);
  });

  it("are empty with a limit of zero, whatever happens", () => {
    const logs = new RunLogs(0);
    logs.add("stdout", at, "hi");
    logs.truncate();
    expect(logs.finish(0, true)).toEqual([]);
  });

  it("say after a developer error that lines may be missing", () => {
    expect(new RunLogs(10).finish(0, true)).toEqual([
      "1970-01-01T00:00:00.000000000Z stderr: The action did not initialize or run as expected. Log data might be missing.",
    ]);
  });

  it("hold no zero characters and survive a sandbox that lies about the time", () => {
    const logs = new RunLogs(100);
    logs.add("stdout", 2n ** 64n - 1n, "a\0b");
    expect(logs.finish(0, false)[0]).toBe("2554-07-21T23:34:33.709551615Z stdout: a\ufffdb");
    expect(timestamp(0n)).toHaveLength(30);
  });

  it("give their last lines for an error's text", () => {
    const logs = new RunLogs(10_000);
    for (const text of ["one", "two: 2", "three", "x".repeat(1_000)]) logs.add("stdout", at, text);
    expect(logs.tail()).toHaveLength(513);
    const short = new RunLogs(100);
    short.add("stderr", at, "a: b");
    expect(short.tail()).toBe("a: b");
  });
});

describe("raw output", () => {
  const cut = (chunks: readonly Uint8Array[]): string[] => {
    const lines: string[] = [];
    const raw = new RawLines();
    for (const chunk of chunks) raw.push(chunk, (line) => lines.push(line));
    raw.flush((line) => lines.push(line));
    return lines;
  };

  it("is cut into lines wherever its chunks are cut", () => {
    const bytes = Buffer.from("one\r\nzwei ü\n\nlast");
    const expected = ["one", "zwei ü", "", "last"];
    for (let at = 0; at <= bytes.length; at += 1)
      expect(cut([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(expected);
  });

  it("without line ends is cut at a bound", () => {
    expect(cut([Buffer.alloc(150_000, "x")]).map((line) => line.length)).toEqual([65_536, 65_536, 18_928]);
  });
});
