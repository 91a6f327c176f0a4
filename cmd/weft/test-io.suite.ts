// A terminal, or a pipe, for tests of the command line.

import type { Io } from "./io.js";

export interface TestIo extends Io {
  stdout(): string;
  stderr(): string;
  interrupt(): void;
}

export interface TestIoOptions {
  readonly tty?: boolean;
  readonly columns?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: string;
}

export function testIo(options: TestIoOptions = {}): TestIo {
  const { tty = false, columns = 120, env = { NO_COLOR: "1" }, cwd = "/", stdin = "" } = options;
  const interrupt = new AbortController();
  let [stdout, stderr] = ["", ""];
  return {
    out: { write: (text) => (stdout += text), isTty: tty, columns },
    err: { write: (text) => (stderr += text), isTty: tty, columns },
    env,
    cwd,
    home: "",
    signal: interrupt.signal,
    readStdin: () => Promise.resolve(stdin),
    inIsTty: tty,
    readLine: () => Promise.resolve(stdin.split("\n")[0] ?? ""),
    stdout: () => stdout,
    stderr: () => stderr,
    interrupt: () => {
      interrupt.abort();
    },
  };
}
