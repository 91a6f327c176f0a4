// How the CLI says things: tables for people, tab-separated lines for pipes, JSON for programs; progress for what takes
// longer than a second.

import pc from "picocolors";

import { WeftError } from "../../internal/base/errors.js";
import type { Io } from "./io.js";
import { toJson } from "./json-text.js";

/** Something is said about what is waited for after so long. */
const PROGRESS_AFTER_MS = 1_000;
/** Narrower than this a column is not cut. */
const CELL_WIDTH_MIN = 12;

export interface Column<T> {
  readonly title: string;
  readonly value: (row: T) => string | number;
  /** Numbers stand right. */
  readonly right?: boolean;
}

export class Screen {
  readonly #colours: ReturnType<typeof pc.createColors>;

  constructor(
    readonly io: Io,
    readonly json: boolean,
  ) {
    const { env } = io;
    const wanted = io.out.isTty && !env["NO_COLOR"] && env["TERM"] !== "dumb";
    this.#colours = pc.createColors(wanted || Boolean(env["FORCE_COLOR"]));
  }

  get colours(): ReturnType<typeof pc.createColors> {
    return this.#colours;
  }

  /** Data: a line on standard output. */
  print(text: string): void {
    this.io.out.write(`${text}\n`);
  }

  /** Talk: a line on standard error. */
  say(text: string): void {
    this.io.err.write(`${text}\n`);
  }

  printJson(value: unknown): void {
    this.print(toJson(value));
  }

  /** A list: a table at a terminal, tab-separated lines in a pipe. */
  table<T>(rows: readonly T[], columns: readonly Column<T>[]): void {
    if (!this.io.out.isTty) {
      for (const row of rows) this.print(columns.map((column) => plain(column.value(row))).join("\t"));
      return;
    }
    const cells = rows.map((row) => columns.map((column) => plain(column.value(row))));
    const widths = fit(
      columns.map((column, i) => Math.max(width(column.title), ...cells.map((row) => width(row[i] ?? "")))),
      this.io.out.columns || 80,
    );
    const line = (texts: readonly string[]): string =>
      texts
        .map((text, i) => {
          const cut = cutTo(text, widths[i] ?? 0);
          const space = " ".repeat((widths[i] ?? 0) - width(cut));
          return columns[i]?.right ? space + cut : cut + space;
        })
        .join("  ")
        .trimEnd();
    this.print(this.#colours.bold(line(columns.map((column) => column.title))));
    for (const row of cells) this.print(line(row));
  }

  /** One thing with its fields; those without a value are left out. */
  fields(rows: readonly (readonly [name: string, value: string | undefined])[]): void {
    const shown = rows.filter((row): row is readonly [string, string] => row[1] !== undefined && row[1] !== "");
    const widest = Math.max(...shown.map(([name]) => name.length));
    for (const [name, value] of shown) {
      const lines = value.split("\n");
      this.print(`${this.#colours.dim(name.padEnd(widest))}  ${lines.join(`\n${" ".repeat(widest + 2)}`)}`);
    }
  }

  /** Waits, and says so when it takes longer than a second. */
  async progress<T>(what: string, waiting: Promise<T>): Promise<T> {
    const { err } = this.io;
    const started = performance.now();
    // Rounded: a timer of a second may fire a moment early, and "0 s" is nothing to say.
    const seconds = (): string => `${Math.round((performance.now() - started) / 1000)} s`;
    let shows = 0;
    const show = (): void => {
      // A terminal gets one line that counts; a file or a log gets one line.
      if (err.isTty) err.write(`\r\u001b[K${what} … ${seconds()}`);
      else if (shows === 0) err.write(`${what} …\n`);
      shows += 1;
    };
    const timer = setInterval(show, PROGRESS_AFTER_MS);
    try {
      return await waiting;
    } finally {
      clearInterval(timer);
      if (shows > 0 && err.isTty) err.write("\r\u001b[K");
    }
  }
}

function plain(value: string | number): string {
  // What would move the cursor or split a row does not belong into a cell.
  return String(value).replace(/[\u0000-\u001f\u007f]+/g, " ");
}

/** Cuts the widest columns until a row fits. */
function fit(widths: readonly number[], columns: number): number[] {
  const result = [...widths];
  const total = (): number => result.reduce((sum, n) => sum + n, 0) + 2 * (result.length - 1);
  while (total() > columns) {
    const widest = result.indexOf(Math.max(...result));
    const now = result[widest] ?? 0;
    if (now <= CELL_WIDTH_MIN) break;
    result[widest] = Math.max(CELL_WIDTH_MIN, now - (total() - columns));
  }
  return result;
}

function cutTo(text: string, columns: number): string {
  if (width(text) <= columns) return text;
  let cut = "";
  for (const c of text) {
    if (width(cut) + width(c) > columns - 1) break;
    cut += c;
  }
  return `${cut}…`;
}

/** Columns that a text takes in a terminal: wide characters two, marks that combine none. */
function width(text: string): number {
  let columns = 0;
  for (const c of text) {
    if (/\p{Mark}|\u200d|\ufe0f/u.test(c)) continue;
    columns += /\p{Script=Han}|\p{Script=Hangul}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Emoji_Presentation}/u.test(
      c,
    )
      ? 2
      : 1;
  }
  return columns;
}

/** "12 ms", "1.2 s". */
export function duration(ms: number): string {
  if (ms < 1_000) return `${ms} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`;
}

/** "256 MiB". */
export function size(bytes: number): string {
  if (bytes < 1_024) return `${bytes} B`;
  if (bytes < 1_024 ** 2) return `${(bytes / 1_024).toFixed(1)} KiB`;
  if (bytes < 1_024 ** 3) return `${(bytes / 1_024 ** 2).toFixed(1)} MiB`;
  return `${(bytes / 1_024 ** 3).toFixed(1)} GiB`;
}

/** As the API sends it. */
export interface Instant {
  readonly seconds: number;
  readonly nanos: number;
}

/** RFC 3339 in UTC, to the millisecond. */
export function iso(at: Instant | undefined): string | undefined {
  return at && new Date(msOf(at)).toISOString();
}

/** The same for people; "" without one. */
export function time(at: Instant | undefined): string {
  return iso(at)?.replace("T", " ") ?? "";
}

export function msOf(at: Instant): number {
  return at.seconds * 1_000 + Math.floor(at.nanos / 1_000_000);
}

export function instant(ms: number): Instant {
  return { seconds: Math.floor(ms / 1_000), nanos: (ms % 1_000) * 1_000_000 };
}

/** A mistake of who typed. */
export function usage(message: string, fix?: string): WeftError {
  return new WeftError("invalidArgument", "USAGE", message, fix === undefined ? {} : { fix });
}
