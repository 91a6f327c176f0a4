// YAML with places: every value knows its line, column and path, so that whatever is wrong with it can be pointed at.

import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document, type Node } from "yaml";

import { WeftError } from "../../../internal/base/errors.js";
import type { JsonText } from "../../../internal/base/json-text.js";
import { didYouMean } from "../names.js";

/** Longest manifest. */
export const MANIFEST_BYTES_MAX = 4 * 1024 * 1024;
/** Most values in a manifest with every alias counted as what it stands for. */
export const MANIFEST_VALUES_MAX = 100_000;
/** Deepest nesting of values. */
const DEPTH_MAX = 100;

/** Everything that is wrong with a manifest, told at once. */
export class Problems {
  readonly #all: { readonly field: string; readonly description: string; readonly where: string }[] = [];

  add(at: Place, description: string): void {
    // A value that is used twice is wrong once.
    const where = `${at.file}:${at.line}:${at.column}`;
    if (this.#all.some((one) => one.where === where && one.description === description)) return;
    this.#all.push({ where, field: at.path, description });
  }

  /** @throws invalidArgument BAD_MANIFEST with every problem */
  check(): void {
    const [first, ...more] = this.#all;
    if (!first) return;
    const rest = more.length === 0 ? "" : ` (and ${more.length} more)`;
    const field = first.field === "" ? "" : `${first.field}: `;
    throw new WeftError("invalidArgument", "BAD_MANIFEST", `${first.where} ${field}${first.description}${rest}`, {
      fields: this.#all.map((one) => ({ field: `${one.where} ${one.field}`.trim(), description: one.description })),
    });
  }
}

export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** "packages.hello.actions.greet" */
  readonly path: string;
}

interface Valued extends Place {
  readonly kind: "scalar" | "map" | "list";
}

export interface Scalar extends Valued {
  readonly kind: "scalar";
  readonly value: string | number | bigint | boolean | null;
  /** As it is written: versions and numbers keep their digits. */
  readonly source: string;
  readonly quoted: boolean;
}

export interface List extends Valued {
  readonly kind: "list";
  readonly items: readonly Value[];
}

export interface Entry {
  readonly key: string;
  readonly at: Place;
  readonly value: Value;
}

export interface Mapping extends Valued {
  readonly kind: "map";
  readonly entries: readonly Entry[];
}

export type Value = Scalar | List | Mapping;

/** @param file its name, for what is said about it. @returns the root; undefined, with problems, when it is no map */
export function readYaml(file: string, text: string, problems: Problems): Mapping | undefined {
  const start: Place = { file, line: 1, column: 1, path: "" };
  if (text.length > MANIFEST_BYTES_MAX) {
    problems.add(start, `longer than allowed: ${text.length} > ${MANIFEST_BYTES_MAX} characters`);
    return undefined;
  }
  const lines = new LineCounter();
  // YAML 1.2, with the merge keys that OpenWhisk's tools know.
  const document = parseDocument(text, { lineCounter: lines, merge: true, intAsBigInt: true, prettyErrors: false });
  for (const { pos, message } of document.errors) {
    const at = lines.linePos(pos[0]);
    problems.add({ file, line: at.line, column: at.col, path: "" }, message.replace(/\n[^]*/, ""));
  }
  if (document.errors.length > 0) return undefined;
  const root = new Tree(file, document, lines, problems).read(document.contents, "", start, 0);
  if (root?.kind === "map") return root;
  problems.add(start, "is no manifest: it must have `packages` or `project`");
  return undefined;
}

class Tree {
  #values = 0;
  #tooMany = false;

  constructor(
    private readonly file: string,
    private readonly document: Document.Parsed,
    private readonly lines: LineCounter,
    private readonly problems: Problems,
  ) {}

  read(node: unknown, path: string, near: Place, depth: number): Value | undefined {
    const at = this.#place(node, path, near);
    this.#values += 1;
    if (this.#values > MANIFEST_VALUES_MAX || depth > DEPTH_MAX) {
      if (!this.#tooMany) {
        const what = depth > DEPTH_MAX ? `deeper than ${DEPTH_MAX} levels` : `more than ${MANIFEST_VALUES_MAX} values`;
        this.problems.add(at, `is larger than allowed: ${what}`);
      }
      this.#tooMany = true;
      return undefined;
    }
    if (isAlias(node)) return this.read(node.resolve(this.document), path, at, depth + 1);
    if (isMap(node)) return { ...at, kind: "map", entries: this.#entries(node.items, at, depth) };
    if (isSeq(node)) {
      const items = node.items.map((item, i) => this.read(item, `${path}[${i}]`, at, depth + 1));
      return { ...at, kind: "list", items: items.filter((one) => one !== undefined) };
    }
    if (isScalar(node)) {
      const quoted = node.type !== undefined && node.type !== "PLAIN";
      const value = node.value as Scalar["value"];
      return { ...at, kind: "scalar", value, quoted, source: node.source ?? String(value ?? "") };
    }
    return { ...at, kind: "scalar", value: null, quoted: false, source: "" };
  }

  #entries(items: readonly { key: unknown; value: unknown }[], parent: Place, depth: number): Entry[] {
    const own: Entry[] = [];
    const merged: Entry[] = [];
    for (const { key: keyNode, value: valueNode } of items) {
      const key = isScalar(keyNode) ? (keyNode.source ?? String(keyNode.value)) : undefined;
      const at = this.#place(keyNode, `${parent.path}${parent.path === "" ? "" : "."}${key ?? "?"}`, parent);
      if (key === undefined) {
        this.problems.add(at, "a key must be a text");
        continue;
      }
      const value = this.read(valueNode, at.path, at, depth + 1);
      if (value === undefined) continue;
      if (key !== "<<") own.push({ key, at, value });
      else {
        for (const one of value.kind === "list" ? value.items : [value]) {
          if (one.kind === "map") merged.push(...one.entries);
          else this.problems.add(at, "only maps can be merged");
        }
      }
    }
    const keys = new Set(own.map(({ key }) => key));
    for (const entry of merged) {
      if (keys.has(entry.key)) continue;
      keys.add(entry.key);
      own.push(entry);
    }
    return own;
  }

  #place(node: unknown, path: string, near: Place): Place {
    const from = (node as Node | null | undefined)?.range?.[0];
    if (from === undefined) return { file: this.file, line: near.line, column: near.column, path };
    const { line, col } = this.lines.linePos(from);
    return { file: this.file, line, column: col, path };
  }
}

/** Reads the members of one map; whatever it was not asked for is unknown. */
export class Fields {
  readonly #known = new Set<string>();

  constructor(
    readonly at: Mapping,
    private readonly problems: Problems,
  ) {}

  get(name: string): Value | undefined {
    this.#known.add(name);
    const value = this.at.entries.find(({ key }) => key === name)?.value;
    // `actions:` with nothing behind it is a way to say none.
    return value?.kind === "scalar" && value.value === null && !value.quoted ? undefined : value;
  }

  /** The first of several names for the same thing. */
  any(...names: readonly string[]): Value | undefined {
    return names.map((name) => this.get(name)).find((value) => value !== undefined);
  }

  /** Members that are read elsewhere, or mean nothing here. */
  skip(...names: readonly string[]): void {
    for (const name of names) this.#known.add(name);
  }

  text(...names: readonly string[]): string | undefined {
    const value = this.any(...names);
    return value && textOf(value, this.problems);
  }

  boolean(name: string): boolean | undefined {
    const value = this.get(name);
    if (value === undefined) return undefined;
    const given = value.kind === "scalar" ? flagOf(value) : undefined;
    if (given === undefined) this.problems.add(value, "must be true or false");
    return given;
  }

  map(name: string): readonly Entry[] {
    const value = this.get(name);
    if (value === undefined) return [];
    if (value.kind === "map") return value.entries;
    this.problems.add(value, "must be a map");
    return [];
  }

  list(name: string): readonly Value[] {
    const value = this.get(name);
    if (value === undefined) return [];
    if (value.kind === "list") return value.items;
    this.problems.add(value, "must be a list");
    return [];
  }

  /** Adds a problem for every member that nobody asked for. */
  finish(): void {
    for (const { key, at } of this.at.entries) {
      if (this.#known.has(key)) continue;
      const near = didYouMean(key, [...this.#known]);
      const known = [...this.#known].sort().join(", ");
      this.problems.add(
        at,
        `is not known here${near === undefined ? `; there are ${known}` : `; did you mean ${near}?`}`,
      );
    }
  }
}

/** An entry's value as fields; nothing behind the name counts as an empty map. */
export function fieldsOf(value: Value, problems: Problems): Fields | undefined {
  if (value.kind === "map") return new Fields(value, problems);
  if (value.kind === "scalar" && value.value === null)
    return new Fields({ ...value, kind: "map", entries: [] }, problems);
  problems.add(value, "must be a map");
  return undefined;
}

/** A scalar as text, as it is written. */
export function textOf(value: Value, problems: Problems): string | undefined {
  if (value.kind === "scalar") return typeof value.value === "string" ? value.value : value.source;
  problems.add(value, "must be a text");
  return undefined;
}

/** true and yes, false and no. */
export function flagOf({ value, source }: Scalar): boolean | undefined {
  if (typeof value === "boolean") return value;
  if (/^(yes|true|on)$/i.test(source)) return true;
  return /^(no|false|off)$/i.test(source) ? false : undefined;
}

/** A value as JSON text; numbers keep their digits. @param string what becomes of strings */
export function jsonOf(value: Value, string: (text: string) => string): JsonText {
  switch (value.kind) {
    case "list":
      return `[${value.items.map((item) => jsonOf(item, string)).join(",")}]`;
    case "map":
      return `{${value.entries.map((one) => `${JSON.stringify(one.key)}:${jsonOf(one.value, string)}`).join(",")}}`;
    case "scalar":
      break;
  }
  if (typeof value.value === "string") return JSON.stringify(string(value.value));
  if (typeof value.value === "bigint") return String(value.value);
  if (typeof value.value === "number") {
    if (/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(value.source)) return value.source;
    // .inf and .nan are no JSON.
    return Number.isFinite(value.value) ? String(value.value) : JSON.stringify(value.source);
  }
  return String(value.value);
}
