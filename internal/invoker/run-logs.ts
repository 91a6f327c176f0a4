// What one run printed, in OpenWhisk's layout: "<RFC 3339 with nanoseconds> stdout: text". Bounded by the action's log
// limit; above it the tail is dropped and one line says so.

import { StringDecoder } from "node:string_decoder";

/** Longest line of raw output; a longer one goes on in the next. */
const LINE_CHARS_MAX = 64 * 1024;
/** How much of what a sandbox printed last is told in the error when it ended by itself. */
const TAIL_LINES = 3;
const TAIL_CHARS_MAX = 512;

export class RunLogs {
  readonly lines: string[] = [];
  #bytes = 0;
  #truncated = false;
  #note = "";

  /** @param limitBytes 0 keeps nothing */
  constructor(private readonly limitBytes: number) {}

  add(stream: "stdout" | "stderr", unixNanos: bigint, text: string): void {
    if (this.#truncated || this.limitBytes === 0) return;
    const bytes = Buffer.byteLength(text) + 1;
    if (this.#bytes + bytes > this.limitBytes) {
      this.truncate();
      return;
    }
    this.#bytes += bytes;
    // Postgres keeps no zero characters in texts; and a terminal is better off without them.
    const clean = text.includes("\0") ? text.replaceAll("\0", "\ufffd") : text;
    this.lines.push(`${timestamp(unixNanos)} ${stream}: ${clean}`);
  }

  /** Something was dropped, here or by the runtime. */
  truncate(): void {
    this.#truncated = true;
  }

  /** Ends them with a line of the invoker's own, which counts for no limit. */
  note(text: string): void {
    this.#note = text;
  }

  /** Ends it. May be called once. */
  finish(nowWallMs: number, developerError: boolean): readonly string[] {
    if (this.limitBytes === 0) return [];
    const now = timestamp(nanosOfMs(nowWallMs));
    if (this.#truncated) {
      this.lines.push(
        `${now} stderr: Logs were truncated because the total bytes size exceeds the limit of ${this.limitBytes} bytes.`,
      );
    }
    if (this.#note !== "") this.lines.push(`${now} stderr: ${this.#note}`);
    if (developerError) {
      this.lines.push(`${now} stderr: The action did not initialize or run as expected. Log data might be missing.`);
    }
    return this.lines;
  }

  /** The last lines without their times, for an error's text; "" when nothing was printed. */
  tail(): string {
    const texts = this.lines.slice(-TAIL_LINES).map((line) => line.slice(line.indexOf(": ") + 2));
    const text = texts.join("\n").trim();
    return text.length > TAIL_CHARS_MAX ? `…${text.slice(-TAIL_CHARS_MAX)}` : text;
  }
}

/** Cuts raw output of one stream into lines. */
export class RawLines {
  readonly #decoder = new StringDecoder("utf8");
  #partial = "";

  push(bytes: Uint8Array, line: (text: string) => void): void {
    this.#partial += this.#decoder.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    let from = 0;
    for (;;) {
      const cut = this.#partial.indexOf("\n", from);
      if (cut >= 0 && cut - from < LINE_CHARS_MAX) {
        const end = cut > from && this.#partial[cut - 1] === "\r" ? cut - 1 : cut;
        line(this.#partial.slice(from, end));
        from = cut + 1;
      } else if (this.#partial.length - from >= LINE_CHARS_MAX) {
        line(this.#partial.slice(from, from + LINE_CHARS_MAX));
        from += LINE_CHARS_MAX;
      } else {
        break;
      }
    }
    if (from > 0) this.#partial = this.#partial.slice(from);
  }

  /** True while a line is not ended. */
  get pending(): boolean {
    return this.#partial !== "";
  }

  /** Hands over the line that was not ended. */
  flush(line: (text: string) => void): void {
    if (this.#partial !== "") line(this.#partial);
    this.#partial = "";
  }
}

export function nanosOfMs(wallMs: number): bigint {
  return BigInt(Math.trunc(wallMs)) * 1_000_000n;
}

/** 30 columns: 2026-08-05T09:26:40.120000000Z. */
export function timestamp(unixNanos: bigint): string {
  // 64 bits end in the year 2554: whatever a sandbox says, there are four digits of year.
  const rest = String(unixNanos % 1_000_000n).padStart(6, "0");
  return `${new Date(Number(unixNanos / 1_000_000n)).toISOString().slice(0, -1)}${rest}Z`;
}
