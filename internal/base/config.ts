// Settings of a command: one typed schema, from which come the values, the help, the complaints and
// docs/configuration.md. A key `heartbeatMs` is the flag --heartbeat-ms, the variable WEFT_HEARTBEAT_MS and the same key
// in a JSON file. Flag beats environment beats file beats default, and everything that is wrong is reported at once.

import { z } from "zod";

import { WeftError, type FieldViolation } from "./errors.js";

export type SettingKind = "text" | "secret" | "integer" | "ratio" | "duration" | "boolean" | "list" | "choice";

/** One setting. Made by `text`, `secret`, `integer`, `ratio`, `durationMs`, `boolean`, `list`, `choice` and `optional`. */
export interface Setting<T> {
  readonly kind: SettingKind;
  /** What it is for, for the help and the page. */
  readonly help: string;
  /** From what a flag, a variable or a JSON file holds. */
  readonly parse: z.ZodType<T>;
  /** Undefined: it must be given, unless it is optional. */
  readonly default: T | undefined;
  readonly optional: boolean;
  /** How a value of it looks in the help. */
  readonly shape: string;
}

export type Schema = Readonly<Record<string, Setting<unknown>>>;
export type ConfigOf<S extends Schema> = { readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never };

/** A text that is not empty. Without a default it must be given. */
export function text(help: string, fallback?: string): Setting<string> {
  return setting("text", help, "<text>", z.string().min(1, "must not be empty"), fallback);
}

/**
 * A text that is never printed. Besides the flag and the variable it can be read from a file named by
 * `<VARIABLE>_FILE`, the way container platforms hand secrets over.
 */
export function secret(help: string, fallback?: string): Setting<string> {
  return setting("secret", help, "<secret>", z.string().min(1, "must not be empty"), fallback);
}

export interface IntegerOptions {
  readonly default?: number;
  /** Smallest, included. Default 0. */
  readonly min?: number;
  /** Largest, included. Default 2^53 - 1. */
  readonly max?: number;
}

export function integer(help: string, options: IntegerOptions = {}): Setting<number> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = options;
  const limits = `a whole number from ${min} to ${max}`;
  const parse = z
    .union(
      [
        z.number(),
        z
          .string()
          .regex(/^[+-]?\d+$/)
          .transform(Number),
      ],
      { error: `is ${limits}` },
    )
    .refine((n) => Number.isInteger(n) && n >= min && n <= max, `is ${limits}`);
  return setting("integer", help, "<n>", parse, options.default);
}

/** A share, from 0 to 1. */
export function ratio(help: string, fallback?: number): Setting<number> {
  const parse = z
    .union(
      [
        z.number(),
        z
          .string()
          .regex(/^\d*\.?\d+$/)
          .transform(Number),
      ],
      { error: "is a number from 0 to 1" },
    )
    .refine((n) => n >= 0 && n <= 1, "is a number from 0 to 1");
  return setting("ratio", help, "<0..1>", parse, fallback);
}

export interface DurationOptions {
  readonly minMs?: number;
  readonly maxMs?: number;
}

const UNIT_MS: Readonly<Record<string, number>> = { "": 1, ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A length of time: "250ms", "5s", "1.5m", "2h", "7d", or plain milliseconds. Default range: 0 to 365 days. */
export function durationMs(help: string, fallbackMs?: number, options: DurationOptions = {}): Setting<number> {
  const { minMs = 0, maxMs = 365 * 86_400_000 } = options;
  const limits = `a duration from ${formatMs(minMs)} to ${formatMs(maxMs)}, such as 250ms, 5s, 2m or plain milliseconds`;
  const parse = z
    .union(
      [
        z.number(),
        z
          .string()
          .regex(/^\d+(\.\d+)?\s*(ms|s|m|h|d)?$/)
          .transform(toMs),
      ],
      { error: `is ${limits}` },
    )
    .refine((ms) => Number.isFinite(ms) && ms >= minMs && ms <= maxMs, `is ${limits}`);
  return setting("duration", help, "<duration>", parse, fallbackMs);
}

export function boolean(help: string, fallback?: boolean): Setting<boolean> {
  const parse = z.union(
    [
      z.boolean(),
      z.enum(["true", "1", "yes", "on"]).transform(() => true),
      z.enum(["false", "0", "no", "off"]).transform(() => false),
    ],
    { error: "is true or false" },
  );
  return setting("boolean", help, "", parse, fallback);
}

/** Texts, separated by commas; in a JSON file an array. An entry has no spaces around it and is not empty. */
export function list(help: string, fallback?: readonly string[]): Setting<readonly string[]> {
  const parse = z
    .union(
      [
        z.array(z.string()).transform((all) => all.map((one) => one.trim())),
        z.string().transform((all) => all.split(",").map((one) => one.trim())),
      ],
      { error: "is a list of texts separated by commas" },
    )
    .refine((all) => all.length > 0 && all.every((one) => one !== ""), "has no empty entries");
  return setting<readonly string[]>("list", help, "<a,b,...>", parse, fallback);
}

/** One of a few words. */
export function choice<const V extends string>(help: string, values: readonly V[], fallback?: NoInfer<V>): Setting<V> {
  const parse = z.enum(values as [V, ...V[]], { error: `is one of ${values.join(", ")}` }) as unknown as z.ZodType<V>;
  return setting("choice", help, values.join("|"), parse, fallback);
}

/** The same setting, which may be left out: then its value is undefined. */
export function optional<T>(inner: Setting<T>): Setting<T | undefined> {
  return { ...inner, parse: inner.parse, optional: true };
}

/** Where a value came from. */
export type Source = "flag" | "environment" | "file" | "default";

export interface ConfigInputs {
  /** Without the program and the script. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Reads the file named by --config, WEFT_CONFIG or `<VARIABLE>_FILE`. @throws when it cannot be read */
  readonly readFile: (path: string) => string;
}

export interface LoadedConfig<S extends Schema> {
  readonly config: ConfigOf<S>;
  readonly sources: { readonly [K in keyof S]: Source };
  readonly help: string;
}

/** True when --help or -h is among the arguments. */
export function wantsHelp(argv: readonly string[]): boolean {
  return argv.includes("--help") || argv.includes("-h");
}

/**
 * Loads the settings of a command. A variable that is set to nothing counts as not set.
 * @throws invalidArgument BAD_CONFIG with one field violation per setting that is missing or wrong
 */
export function loadConfig<S extends Schema>(schema: S, inputs: ConfigInputs): LoadedConfig<S> {
  const problems: FieldViolation[] = [];
  const flags = readFlags(schema, inputs.argv, problems);
  const file = readConfigFile(schema, flags.get(CONFIG_KEY) ?? present(inputs.env["WEFT_CONFIG"]), inputs, problems);

  const config: Record<string, unknown> = {};
  const sources: Record<string, Source> = {};
  for (const [key, one] of Object.entries(schema)) {
    const found = find(key, one, flags, file, inputs, problems);
    if (found === "unreadable") continue;
    sources[key] = found?.source ?? "default";
    if (!found) {
      config[key] = one.default;
      if (one.default === undefined && !one.optional) {
        problems.push({
          field: key,
          description: `is missing: give ${flagOf(key)} or ${variableOf(key)} (${one.help})`,
        });
      }
      continue;
    }
    const parsed = one.parse.safeParse(found.raw);
    if (parsed.success) config[key] = parsed.data;
    else
      problems.push({ field: key, description: `${found.where} ${complaint(parsed.error)}${shown(one, found.raw)}` });
  }

  if (problems.length > 0) {
    const lines = problems.map(({ field, description }) => `${field}: ${description}`);
    throw new WeftError("invalidArgument", "BAD_CONFIG", lines.join("; "), {
      fields: problems,
      fix: "run it with --help to see every setting",
    });
  }
  return { config: config as ConfigOf<S>, sources: sources as LoadedConfig<S>["sources"], help: helpTable(schema) };
}

/** The values as they may be shown: secrets masked. With the source of each: `{ heartbeatMs: "5s (flag)" }`. */
export function describeConfig<S extends Schema>(schema: S, loaded: LoadedConfig<S>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(schema).map(([key, one]) => [
      key,
      `${showValue(one, loaded.config[key])} (${(loaded.sources as Readonly<Record<string, Source>>)[key] ?? "default"})`,
    ]),
  );
}

/** The table that --help prints. */
export function helpTable(schema: Schema): string {
  const rows = [
    ...Object.entries(schema).map(([key, one]) => [
      [flagOf(key), one.shape].filter(Boolean).join(" "),
      variableOf(key),
      `${one.help}${defaultNote(one)}`,
    ]),
    [
      `${flagOf(CONFIG_KEY)} <path>`,
      variableOf(CONFIG_KEY),
      "file with settings: a JSON object, or lines of VARIABLE=value",
    ],
    ["--help", "", "this table"],
  ];
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ")}`.trimEnd()).join("\n");
}

/** A Markdown table of the settings, for docs/configuration.md. */
export function configMarkdown(schema: Schema): string {
  const escape = (cell: string): string => cell.replaceAll("|", "\\|");
  return [
    "| setting | flag | variable | value | default | meaning |",
    "|---|---|---|---|---|---|",
    ...Object.entries(schema).map(([key, one]) => {
      const fallback =
        one.default !== undefined ? `\`${showValue(one, one.default)}\`` : one.optional ? "not set" : "required";
      const shape = one.kind === "boolean" ? "`true`, `false`" : `\`${one.shape}\``;
      return `| ${[key, `\`${flagOf(key)}\``, `\`${variableOf(key)}\``, shape, fallback, one.help].map(escape).join(" | ")} |`;
    }),
  ].join("\n");
}

export function flagOf(key: string): string {
  return `--${words(key).join("-")}`;
}

export function variableOf(key: string): string {
  return `WEFT_${words(key).join("_").toUpperCase()}`;
}

/** "250ms", "5s", "2m": the largest unit that gives a whole number. */
export function formatMs(ms: number): string {
  if (ms === 0) return "0ms";
  for (const unit of ["d", "h", "m", "s"]) {
    const size = UNIT_MS[unit] as number;
    if (ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}

/** The known word nearest to a mistyped one, when it is near enough to be meant. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: { readonly word: string; readonly distance: number } | undefined;
  for (const one of known) {
    const distance = editDistance(word, one);
    if (!best || distance < best.distance) best = { word: one, distance };
  }
  return best && best.distance <= Math.max(2, Math.floor(best.word.length / 4)) ? best.word : undefined;
}

const CONFIG_KEY = "config";

interface Found {
  readonly raw: unknown;
  readonly source: Source;
  /** What to name in a complaint: the flag, the variable, or the file. */
  readonly where: string;
}

interface ConfigFile {
  readonly path: string;
  readonly values: ReadonlyMap<string, unknown>;
}

function find(
  key: string,
  one: Setting<unknown>,
  flags: ReadonlyMap<string, string>,
  file: ConfigFile | undefined,
  { env, readFile }: ConfigInputs,
  problems: FieldViolation[],
): Found | "unreadable" | undefined {
  const flag = flags.get(key);
  if (flag !== undefined) return { raw: flag, source: "flag", where: flagOf(key) };
  const variable = variableOf(key);
  const value = present(env[variable]);
  if (value !== undefined) return { raw: value, source: "environment", where: variable };
  const secretFile = one.kind === "secret" ? present(env[`${variable}_FILE`]) : undefined;
  if (secretFile !== undefined) {
    try {
      return { raw: readFile(secretFile).trimEnd(), source: "file", where: `the file named by ${variable}_FILE` };
    } catch (thrown) {
      problems.push({
        field: key,
        description: `${variable}_FILE names a file that cannot be read: ${messageOf(thrown)}`,
      });
      return "unreadable";
    }
  }
  return file?.values.has(key)
    ? { raw: file.values.get(key), source: "file", where: `${key} in ${file.path}` }
    : undefined;
}

/** Flags by key: --name value, --name=value, --switch, --no-switch. */
function readFlags(schema: Schema, argv: readonly string[], problems: FieldViolation[]): Map<string, string> {
  const keyOf = new Map([...Object.keys(schema), CONFIG_KEY].map((key) => [flagOf(key), key]));
  const negated = new Map(
    Object.keys(schema)
      .filter((key) => schema[key]?.kind === "boolean")
      .map((key) => [`--no-${flagOf(key).slice(2)}`, key]),
  );
  const flags = new Map<string, string>();
  const set = (key: string, name: string, value: string): void => {
    if (flags.has(key)) problems.push({ field: key, description: `${name} is given twice` });
    flags.set(key, value);
  };
  for (let i = 0; i < argv.length; i += 1) {
    const argument = argv[i] as string;
    if (!argument.startsWith("--")) {
      problems.push({ field: argument, description: "is no flag, and this command takes no other arguments" });
      continue;
    }
    const equals = argument.indexOf("=");
    const name = equals === -1 ? argument : argument.slice(0, equals);
    const key = keyOf.get(name);
    const no = negated.get(name);
    if (key !== undefined) {
      const next = argv[i + 1];
      if (equals !== -1) set(key, name, argument.slice(equals + 1));
      else if (schema[key]?.kind === "boolean") set(key, name, "true");
      else if (next === undefined || next.startsWith("--"))
        problems.push({ field: key, description: `${name} needs a value` });
      else {
        set(key, name, next);
        i += 1;
      }
    } else if (no !== undefined && equals === -1) {
      set(no, name, "false");
    } else {
      const meant = nearest(name, [...keyOf.keys(), ...negated.keys()]);
      problems.push({
        field: name,
        description: `is not a flag of this command${meant ? `; did you mean ${meant}?` : ""}`,
      });
      // What follows a mistyped flag is most likely its value: one complaint for one mistake.
      const next = argv[i + 1];
      if (equals === -1 && next !== undefined && !next.startsWith("--")) i += 1;
    }
  }
  return flags;
}

function readConfigFile(
  schema: Schema,
  path: string | undefined,
  { readFile }: ConfigInputs,
  problems: FieldViolation[],
): ConfigFile | undefined {
  if (path === undefined) return undefined;
  let content: string;
  try {
    content = readFile(path);
  } catch (thrown) {
    problems.push({ field: CONFIG_KEY, description: `${path} cannot be read: ${messageOf(thrown)}` });
    return undefined;
  }
  return {
    path,
    values: content.trimStart().startsWith("{")
      ? fromJson(schema, path, content, problems)
      : fromLines(schema, path, content, problems),
  };
}

/** A JSON object belongs to this command alone, so a key it does not know is a mistake. */
function fromJson(schema: Schema, path: string, content: string, problems: FieldViolation[]): Map<string, unknown> {
  let entries: [string, unknown][];
  try {
    entries = Object.entries(JSON.parse(content) as Record<string, unknown>);
  } catch (thrown) {
    problems.push({ field: CONFIG_KEY, description: `${path} is not JSON: ${messageOf(thrown)}` });
    return new Map();
  }
  for (const [key] of entries) {
    if (Object.hasOwn(schema, key)) continue;
    const meant = nearest(key, Object.keys(schema));
    problems.push({
      field: key,
      description: `in ${path} is not a setting of this command${meant ? `; did you mean ${meant}?` : ""}`,
    });
  }
  return new Map(entries);
}

/** Lines of VARIABLE=value are shared by several commands, as the environment is: what others use is passed over. */
function fromLines(schema: Schema, path: string, content: string, problems: FieldViolation[]): Map<string, unknown> {
  const keyOf = new Map(Object.keys(schema).map((key) => [variableOf(key), key]));
  const values = new Map<string, unknown>();
  content.split("\n").forEach((line, i) => {
    const bare = line.trim().replace(/^export\s+/, "");
    if (bare === "" || bare.startsWith("#")) return;
    const assignment = /^([A-Za-z_]\w*)=(.*)$/.exec(bare);
    if (!assignment) {
      problems.push({ field: CONFIG_KEY, description: `${path}:${i + 1} is not VARIABLE=value` });
      return;
    }
    const key = keyOf.get(assignment[1] as string);
    const value = unquote(assignment[2] as string);
    if (key !== undefined && value !== "") values.set(key, value);
  });
  return values;
}

function setting<T>(
  kind: SettingKind,
  help: string,
  shape: string,
  parse: z.ZodType<T>,
  fallback: T | undefined,
): Setting<T> {
  return { kind, help, shape, parse, default: fallback, optional: false };
}

function showValue(one: Setting<unknown>, value: unknown): string {
  if (value === undefined) return "not set";
  if (one.kind === "secret") return "(secret)";
  if (one.kind === "duration") return formatMs(value as number);
  return Array.isArray(value) ? value.join(",") : `${value as string | number | boolean}`;
}

function defaultNote(one: Setting<unknown>): string {
  if (one.default !== undefined) return ` (default: ${showValue(one, one.default)})`;
  return one.optional ? " (optional)" : " (required)";
}

function complaint(error: z.ZodError): string {
  return error.issues.map((issue) => issue.message).join(", ");
}

/** The refused value, so that it can be found; never a secret's. */
function shown(one: Setting<unknown>, raw: unknown): string {
  return one.kind === "secret" ? "" : `, not ${JSON.stringify(raw)}`;
}

function toMs(value: string): number {
  const [, amount = "", unit = ""] = /^([\d.]+)\s*([a-z]*)$/.exec(value) ?? [];
  return Number(amount) * (UNIT_MS[unit] ?? Number.NaN);
}

/** heartbeatMs → heartbeat, ms; etcdURL → etcd, url. */
function words(key: string): string[] {
  return key
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replace(/([A-Z])([A-Z][a-z])/g, "$1 $2")
    .toLowerCase()
    .split(" ");
}

function unquote(value: string): string {
  const bare = value.trim();
  const quoted = /^"(.*)"$|^'(.*)'$/.exec(bare);
  return quoted ? (quoted[1] ?? quoted[2] ?? "") : bare;
}

function present(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substitute = (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substitute, (previous[j] as number) + 1, (row[j - 1] as number) + 1));
    }
    previous = row;
  }
  return previous[b.length] as number;
}
