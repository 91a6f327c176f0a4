// JSON as text. Arguments and results are never turned into JavaScript values, so that numbers keep every digit.

import { WeftError } from "../../internal/base/errors.js";

/** JSON text inside a value that is printed as JSON. */
export class RawJson {
  constructor(readonly text: string) {}
}

/** The value as JSON text, indented by two; what is RawJson keeps its digits, what is undefined is left out. */
export function toJson(value: unknown): string {
  return pretty(compact(value));
}

function compact(value: unknown): string {
  if (value instanceof RawJson) return value.text.trim() === "" ? "null" : value.text;
  if (Array.isArray(value)) return `[${value.map((item: unknown) => compact(item ?? null)).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${compact(item)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

/** Indents JSON text by two without reading its values. */
export function pretty(text: string): string {
  let result = "";
  let depth = 0;
  const newLine = (): string => `\n${"  ".repeat(depth)}`;
  for (let i = 0; i < text.length; i++) {
    const c = text.charAt(i);
    if (c === '"') {
      const end = endOfString(text, i);
      result += text.slice(i, end);
      i = end - 1;
    } else if (c === "{" || c === "[") {
      const next = skipSpace(text, i + 1);
      const closing = text.charAt(next);
      if (closing === "}" || closing === "]") {
        result += c + closing;
        i = next;
      } else {
        depth += 1;
        result += c + newLine();
      }
    } else if (c === "}" || c === "]") {
      depth -= 1;
      result += newLine() + c;
    } else if (c === ",") result += c + newLine();
    else if (c === ":") result += ": ";
    else if (!isSpace(c)) result += c;
  }
  return result;
}

/**
 * The entries of a JSON object with their values as text, in order; of a repeated key the last one counts.
 * @param where what the text is, for the complaint
 * @throws invalidArgument when it is not the text of an object
 */
export function entriesOf(text: string, where: string): Map<string, string> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    throw new WeftError("invalidArgument", "BAD_JSON", `${where} is not JSON: ${(thrown as SyntaxError).message}`);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new WeftError("invalidArgument", "BAD_JSON", `${where} must be a JSON object, like {"name": "Ada"}`);
  }
  const entries = new Map<string, string>();
  let at = skipSpace(text, skipSpace(text, 0) + 1);
  while (text.charAt(at) === '"') {
    const keyEnd = endOfString(text, at);
    const key = JSON.parse(text.slice(at, keyEnd)) as string;
    const start = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const end = endOfValue(text, start);
    entries.delete(key);
    entries.set(key, text.slice(start, end).trimEnd());
    at = skipSpace(text, end);
    if (text.charAt(at) === ",") at = skipSpace(text, at + 1);
  }
  return entries;
}

/** JSON text of an object. */
export function objectOf(entries: ReadonlyMap<string, string>): string {
  return `{${[...entries].map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(",")}}`;
}

function endOfValue(text: string, from: number): number {
  let depth = 0;
  for (let i = from; i < text.length; i++) {
    const c = text.charAt(i);
    if (c === '"') i = endOfString(text, i) - 1;
    else if (c === "{" || c === "[") depth += 1;
    else if (c === "}" || c === "]") {
      if (depth === 0) return i;
      depth -= 1;
    } else if (c === "," && depth === 0) return i;
  }
  return text.length;
}

function endOfString(text: string, from: number): number {
  let i = from + 1;
  while (i < text.length && text.charAt(i) !== '"') i += text.charAt(i) === "\\" ? 2 : 1;
  return i + 1;
}

function skipSpace(text: string, from: number): number {
  let i = from;
  while (i < text.length && isSpace(text.charAt(i))) i++;
  return i;
}

function isSpace(c: string): boolean {
  return c === " " || c === "\n" || c === "\r" || c === "\t";
}
