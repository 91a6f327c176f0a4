// JSON that is looked into without being changed: values that belong to users (parameters, results) are cut out of the
// text and put into another, so that numbers keep every digit and keys their order. The text was checked before; these
// functions only find where things begin and end.

/** JSON text of one value, without white space around it. */
export type JsonText = string;

/** Members of an object by key; of a repeated key the last one. @param text JSON text of an object */
export function membersOf(text: JsonText): Map<string, JsonText> {
  const members = new Map<string, JsonText>();
  let at = skipSpace(text, text.indexOf("{") + 1);
  while (text[at] === '"') {
    const keyEnd = endOfString(text, at);
    const key = JSON.parse(text.slice(at, keyEnd)) as string;
    const start = skipSpace(text, skipSpace(text, keyEnd) + 1); // the colon
    const end = endOfValue(text, start);
    members.set(key, text.slice(start, end));
    at = skipSpace(text, skipSpace(text, end) + 1); // the comma or brace
  }
  return members;
}

/** The text of an object with these members. */
export function objectOf(members: ReadonlyMap<string, JsonText>): JsonText {
  return `{${[...members].map(([key, valueJson]) => `${JSON.stringify(key)}:${valueJson}`).join(",")}}`;
}

/** @param text JSON text of an array */
export function elementsOf(text: JsonText): JsonText[] {
  const elements: JsonText[] = [];
  let at = skipSpace(text, text.indexOf("[") + 1);
  while (at < text.length && text[at] !== "]") {
    const end = endOfValue(text, at);
    elements.push(text.slice(at, end));
    at = skipSpace(text, end);
    if (text[at] !== ",") break;
    at = skipSpace(text, at + 1);
  }
  return elements;
}

export type JsonType = "object" | "array" | "string" | "number" | "boolean" | "null";

export function typeOf(text: JsonText): JsonType {
  switch (text[0]) {
    case "{":
      return "object";
    case "[":
      return "array";
    case '"':
      return "string";
    case "t":
    case "f":
      return "boolean";
    case "n":
      return "null";
    default:
      return "number";
  }
}

/** True, a number but zero, a string that is not empty, any object or array: what OpenWhisk calls truthy. */
export function isTruthy(text: JsonText): boolean {
  switch (typeOf(text)) {
    case "boolean":
      return text === "true";
    case "null":
      return false;
    case "string":
      return text !== '""';
    case "number":
      return Number(text) !== 0;
    case "object":
    case "array":
      return true;
  }
}

/** True for the text of an object, white space before it or not. */
export function isObject(text: string): boolean {
  return text.charCodeAt(skipSpace(text, 0)) === 0x7b;
}

/** True for the text of an array, white space before it or not. */
export function isArray(text: string): boolean {
  return text.charCodeAt(skipSpace(text, 0)) === 0x5b;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (isSpace(text.charCodeAt(at))) at += 1;
  return at;
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

/** @returns the position after the closing quote */
export function endOfString(text: string, open: number): number {
  let at = open + 1;
  for (;;) {
    const quote = text.indexOf('"', at);
    if (quote < 0) return text.length;
    let backslashes = 0;
    while (text[quote - 1 - backslashes] === "\\") backslashes += 1;
    if (backslashes % 2 === 0) return quote + 1;
    at = quote + 1;
  }
}

function endOfValue(text: string, start: number): number {
  const first = text[start];
  if (first === '"') return endOfString(text, start);
  let at = start;
  if (first !== "{" && first !== "[") {
    while (at < text.length && !/[,\]}\s]/.test(text.charAt(at))) at += 1;
    return at;
  }
  let depth = 0;
  while (at < text.length) {
    const c = text[at];
    if (c === '"') {
      at = endOfString(text, at);
      continue;
    }
    at += 1;
    if (c === "{" || c === "[") depth += 1;
    else if (c === "}" || c === "]") {
      depth -= 1;
      if (depth === 0) break;
    }
  }
  return at;
}
