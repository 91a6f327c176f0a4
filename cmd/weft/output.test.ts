import { describe, expect, it } from "vitest";

import { WeftError } from "../../internal/base/errors.js";
import { exitCodeOf, printError } from "./errors.js";
import { duration, Screen, size } from "./output.js";
import { testIo, type TestIo } from "./test-io.suite.js";

const rows = [
  { name: "hello", size: 5, note: "a\tb\nc" },
  { name: "日本語", size: 12_345, note: "" },
];
const columns = [
  { title: "NAME", value: (r: (typeof rows)[number]) => r.name },
  { title: "SIZE", value: (r: (typeof rows)[number]) => r.size, right: true },
  { title: "NOTE", value: (r: (typeof rows)[number]) => r.note },
];

describe("a table", () => {
  it("is aligned at a terminal", () => {
    const io = testIo({ tty: true });
    new Screen(io, false).table(rows, columns);
    expect(io.stdout()).toBe("NAME     SIZE  NOTE\nhello       5  a b c\n日本語  12345\n");
  });

  it("is lines of tab-separated cells in a pipe, without titles", () => {
    const io = testIo();
    new Screen(io, false).table(rows, columns);
    expect(io.stdout()).toBe("hello\t5\ta b c\n日本語\t12345\t\n");
  });

  it("cuts its widest column when the terminal is narrow", () => {
    const io = testIo({ tty: true, columns: 40 });
    const long = [{ name: "x".repeat(100), size: 1, note: "short" }];
    new Screen(io, false).table(long, columns);
    for (const line of io.stdout().trimEnd().split("\n")) expect(line.length).toBeLessThanOrEqual(40);
    expect(io.stdout()).toContain("…");
  });

  it("has colours only where they are wanted", () => {
    const plain = testIo({ tty: true, env: { NO_COLOR: "1" } });
    new Screen(plain, false).table(rows, columns);
    const coloured = testIo({ tty: true, env: {} });
    new Screen(coloured, false).table(rows, columns);
    expect(plain.stdout()).not.toContain("\u001b");
    expect(coloured.stdout()).toContain("\u001b[1m");
  });
});

describe("progress", () => {
  const slow = (): Promise<string> => new Promise((resolve) => setTimeout(resolve, 1_300, "done"));
  const waited = async (io: TestIo): Promise<string> => {
    expect(await new Screen(io, false).progress("waiting", slow())).toBe("done");
    return io.stderr();
  };

  it("is one plain line in a log, and a line that vanishes at a terminal", async () => {
    const [log, terminal] = await Promise.all([waited(testIo()), waited(testIo({ tty: true }))]);
    expect(log).toBe("waiting …\n");
    // A busy machine may be late, never early.
    expect(terminal).toMatch(/^(\r\u001b\[Kwaiting … [1-9] s)+\r\u001b\[K$/);
  });

  it("says nothing of what is quick", async () => {
    const io = testIo({ tty: true });
    await new Screen(io, false).progress("waiting", Promise.resolve(1));
    expect(io.stderr()).toBe("");
  });
});

describe("an error", () => {
  const refused = new WeftError("throttled", "TOO_MANY_INVOCATIONS", "too many invocations", { retryAfterMs: 1_250 });
  const invalid = new WeftError("invalidArgument", "INVALID_FIELDS", "two fields are wrong", {
    fields: [
      { field: "name", description: "is empty" },
      { field: "limits.timeout_ms", description: "100 to 300000" },
    ],
    fix: "weft action create --help",
  });

  it("has a stable code, what, where, and what mends it", () => {
    const io = testIo();
    printError(new Screen(io, false), invalid, "127.0.0.1:3232");
    printError(new Screen(io, false), refused, "127.0.0.1:3232");
    expect(io.stdout()).toBe("");
    expect(io.stderr()).toBe(
      [
        "error WEFT-1001  two fields are wrong",
        "  field   name: is empty",
        "  field   limits.timeout_ms: 100 to 300000",
        "  status  INVALID_ARGUMENT (INVALID_FIELDS) from 127.0.0.1:3232",
        "  run     weft action create --help",
        "error WEFT-2003  too many invocations",
        "  status  RESOURCE_EXHAUSTED (TOO_MANY_INVOCATIONS) from 127.0.0.1:3232",
        "  wait    1.3 s, then try again",
        "  run     weft namespace limits",
        "",
      ].join("\n"),
    );
  });

  it("is JSON when everything is", () => {
    const io = testIo();
    printError(new Screen(io, true), invalid, undefined);
    expect(JSON.parse(io.stderr())).toMatchObject({
      error: { code: "WEFT-1001", kind: "invalidArgument", status: "INVALID_ARGUMENT", fields: invalid.fields },
    });
  });

  it.each([
    ["notFound", 1],
    ["unauthenticated", 1],
    ["permissionDenied", 2],
    ["throttled", 2],
    ["failedPrecondition", 2],
    ["unavailable", 3],
    ["noCapacity", 3],
    ["internal", 3],
    ["deadlineExceeded", 4],
    ["canceled", 130],
  ] as const)("of kind %s ends with %i", (kind, code) => {
    expect(exitCodeOf(new WeftError(kind, "R", "m"))).toBe(code);
  });
});

it("says durations and sizes for people", () => {
  expect([duration(0), duration(999), duration(1_250), duration(61_000)]).toEqual([
    "0 ms",
    "999 ms",
    "1.3 s",
    "1 min 1 s",
  ]);
  expect([size(12), size(2_048), size(48 * 1024 ** 2)]).toEqual(["12 B", "2.0 KiB", "48.0 MiB"]);
});
