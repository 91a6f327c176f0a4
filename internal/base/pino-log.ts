// Log over pino. What a caller hands over is copied into plain, bounded, redacted values before pino sees it: a line can
// be written whatever is in its fields, and a secret cannot get out through a field that carries its name.

import { pino } from "pino";

import { WeftError } from "./errors.js";
import type { Log, LogFields } from "./log.js";

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LogDestination {
  /** One whole line with its line feed. */
  write(line: string): unknown;
}

export interface LogOptions {
  /** What is below is not written. Default "info". */
  readonly level?: LogLevel;
  /** The part of the program that speaks: "weft-gateway". */
  readonly component: string;
  readonly role?: string;
  /** Which one of its role: the instance's id. */
  readonly id?: string;
  /** Lines for people instead of JSON. Default false. */
  readonly pretty?: boolean;
  /** With `pretty`: ANSI colours. Default false. */
  readonly colour?: boolean;
  /** Default: standard error, written at once, since standard output is for data. */
  readonly destination?: LogDestination;
  /** Milliseconds since 1970. Default: pino's own reading of the clock. */
  readonly wallMs?: () => number;
}

/** Names whose values are never written, at any depth and in any case; underscores and hyphens do not count. */
const SECRET_NAME = /^auth$|authorization$|apikey$|secret$|password$|token$/;
const REDACTED = "(secret)";

/** Names that open every line; a field of that name is written with an underscore in front. */
const RESERVED_NAMES = new Set(["ts", "level", "msg", "component", "role", "id"]);

/** Deeper values become their kind: a log line is not a dump. */
const DEPTH_MAX = 5;
/** Of a list or object: the rest is counted. */
const ENTRIES_MAX = 64;
/** Of a string, in characters: a line stays within what a pipe or a log shipper takes. */
const TEXT_LENGTH_MAX = 8 * 1024;
/** Longest chain of causes. */
const CAUSES_MAX = 8;

const STANDARD_ERROR = 2;

/** Opens a log: one JSON object per line: level, ts, component, role, id, the fields, msg. */
export function openLog(options: LogOptions): Log {
  const sink = options.destination ?? pino.destination({ dest: STANDARD_ERROR, sync: true });
  const destination = options.pretty ? prettyTo(sink, options.colour ?? false) : sink;
  const { wallMs } = options;
  return new PinoLog(
    pino(
      {
        level: options.level ?? "info",
        base: {
          component: options.component,
          ...(options.role === undefined ? {} : { role: options.role }),
          ...(options.id === undefined ? {} : { id: options.id }),
        },
        timestamp: wallMs
          ? () => `,"ts":"${new Date(wallMs()).toISOString()}"`
          : () => pino.stdTimeFunctions.isoTime().replace('"time"', '"ts"'),
        formatters: { level: (level) => ({ level }) },
      },
      destination,
    ),
  );
}

class PinoLog implements Log {
  constructor(private readonly sink: pino.Logger) {}

  debug(message: string, fields?: LogFields): void {
    this.#write("debug", message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#write("info", message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#write("warn", message, fields);
  }

  error(message: string, fields?: LogFields): void {
    this.#write("error", message, fields);
  }

  with(fields: LogFields): Log {
    return new PinoLog(this.sink.child(plainFields(fields)));
  }

  #write(level: LogLevel, message: string, fields: LogFields | undefined): void {
    if (!this.sink.isLevelEnabled(level)) return; // nothing is copied for a line that is not written
    if (fields) this.sink[level](plainFields(fields), "%s", message);
    else this.sink[level]("%s", message);
  }
}

/** A copy of the fields that can be written: bounded, without secrets, with errors as values. */
export function plainFields(fields: LogFields): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    plain[RESERVED_NAMES.has(name) ? `_${name}` : name] = isSecret(name) ? REDACTED : plainValue(value, 1, []);
  }
  return plain;
}

/** True of a name whose value must not be written. */
export function isSecret(name: string): boolean {
  return SECRET_NAME.test(name.toLowerCase().replace(/[_-]/g, ""));
}

function plainValue(value: unknown, depth: number, above: readonly object[]): unknown {
  switch (typeof value) {
    case "string":
      return cut(value);
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "boolean":
    case "undefined":
      return value;
    case "bigint":
      return value.toString();
    case "symbol":
    case "function":
      return `(${typeof value})`;
    case "object":
      return value === null ? null : plainObject(value, depth, above);
  }
}

function plainObject(value: object, depth: number, above: readonly object[]): unknown {
  if (value instanceof Error) return plainError(value, above);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `(${value.byteLength} bytes)`;
  if (above.includes(value)) return "(circular)";
  if (depth >= DEPTH_MAX) return Array.isArray(value) ? `(${value.length} items)` : "(object)";

  const path = [...above, value];
  if (value instanceof Map) return plainObject(Object.fromEntries(value as Map<string, unknown>), depth, path);
  if (Array.isArray(value) || value instanceof Set) {
    const items = [...(value as Iterable<unknown>)];
    const kept = items.slice(0, ENTRIES_MAX).map((item) => plainValue(item, depth + 1, path));
    return items.length > ENTRIES_MAX ? [...kept, `(${items.length - ENTRIES_MAX} more)`] : kept;
  }
  const plain: Record<string, unknown> = {};
  let entries = 0;
  for (const name of Object.keys(value)) {
    if (entries === ENTRIES_MAX) {
      plain["(more)"] = Object.keys(value).length - ENTRIES_MAX;
      break;
    }
    entries += 1;
    plain[name] = isSecret(name) ? REDACTED : plainValue(safely(value, name), depth + 1, path);
  }
  return plain;
}

function plainError(error: Error, above: readonly object[]): unknown {
  if (above.includes(error)) return "(circular)";
  if (above.length >= CAUSES_MAX) return "(more causes)";
  const path = [...above, error];
  const code = (error as { readonly code?: unknown }).code;
  const inner = error instanceof AggregateError ? error.errors.slice(0, CAUSES_MAX) : undefined;
  const foreseen = error instanceof WeftError && error.kind !== "internal";
  return {
    ...(error instanceof WeftError
      ? {
          kind: error.kind,
          reason: error.reason,
          ...(error.fields.length === 0 ? {} : { fields: plainValue(error.fields, 2, path) }),
          ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
          ...(error.fix === undefined ? {} : { fix: cut(error.fix) }),
        }
      : { kind: error.name }),
    message: cut(error.message),
    ...(typeof code === "string" || typeof code === "number" ? { code } : {}),
    // A foreseen error says what it is by kind and reason; only for the others does it matter where they came from.
    ...(foreseen || error.stack === undefined ? {} : { stack: cut(error.stack) }),
    ...(inner ? { errors: inner.map((one: unknown) => plainValue(one, 2, path)) } : {}),
    ...(error.cause === undefined ? {} : { cause: plainValue(error.cause, 2, path) }),
  };
}

/** A getter may throw; the line is written all the same and says so. */
function safely(value: object, name: string): unknown {
  try {
    return (value as Record<string, unknown>)[name];
  } catch (thrown) {
    return `(unreadable: ${thrown instanceof Error ? thrown.message : String(thrown)})`;
  }
}

function cut(text: string): string {
  return text.length <= TEXT_LENGTH_MAX
    ? text
    : `${text.slice(0, TEXT_LENGTH_MAX)}(${text.length - TEXT_LENGTH_MAX} more)`;
}

const COLOURS: Readonly<Record<string, string>> = { debug: "90", info: "36", warn: "33", error: "31" };

/** Lines for people: time, level, component, sentence, name=value. */
function prettyTo(sink: LogDestination, colour: boolean): LogDestination {
  const paint = (code: string, text: string): string => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  return {
    write(line) {
      const { ts, level, msg, component, role, id, ...fields } = JSON.parse(line) as Record<string, unknown>;
      const who = ([role ?? component, id] as (string | undefined)[]).filter((part) => part !== undefined).join("/");
      const levelName = String(level);
      const values = Object.entries(fields).map(
        ([name, value]) =>
          `${paint("90", `${name}=`)}${typeof value === "string" && !/[\s"=]/.test(value) ? value : JSON.stringify(value)}`,
      );
      const head = `${paint("90", String(ts).slice(11, 23))} ${paint(COLOURS[levelName] ?? "0", levelName.padEnd(5))} ${who}`;
      sink.write(`${[head, String(msg), ...values].join(" ")}\n`);
    },
  };
}
