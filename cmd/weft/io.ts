// The CLI's only view of its process: data goes to `out`, talk to `err`.

import { once } from "node:events";
import { createInterface } from "node:readline";

export interface Output {
  write(text: string): void;
  readonly isTty: boolean;
  /** Of the terminal. */
  readonly columns: number;
}

export interface Io {
  readonly out: Output;
  readonly err: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly home: string;
  /** Aborted by Ctrl-C: what is under way is cancelled, also at the other end. */
  readonly signal: AbortSignal;
  /** Everything from standard input. */
  readStdin(): Promise<string>;
  /** Somebody is there to answer. */
  readonly inIsTty: boolean;
  /** One line from standard input, without its end; "" when there is none. */
  readLine(): Promise<string>;
}

export function systemIo(): Io {
  const interrupt = new AbortController();
  process.once("SIGINT", () => {
    interrupt.abort();
    // A second one does not wait for anything.
    process.once("SIGINT", () => process.exit(130));
  });
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      // `weft … | head`: whoever read has enough.
      if (error.code === "EPIPE") process.exit(0);
      throw error;
    });
  }
  return {
    out: outputOf(process.stdout),
    err: outputOf(process.stderr),
    env: process.env,
    cwd: process.cwd(),
    home: process.env["HOME"] ?? "",
    signal: interrupt.signal,
    async readStdin() {
      const chunks: Buffer[] = [];
      for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks).toString("utf8");
    },
    get inIsTty() {
      return process.stdin.isTTY;
    },
    async readLine() {
      const lines = createInterface({ input: process.stdin });
      try {
        const { signal } = interrupt;
        const [line] = (await Promise.race([once(lines, "line", { signal }), once(lines, "close", { signal })])) as [
          string?,
        ];
        return line ?? "";
      } finally {
        lines.close();
      }
    },
  };
}

function outputOf(stream: NodeJS.WriteStream): Output {
  return {
    write: (text) => void stream.write(text),
    isTty: stream.isTTY,
    columns: stream.columns,
  };
}
