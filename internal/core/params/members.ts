// JSON that is looked into without being changed: the members of an object, cut out of its text, so that numbers keep
// every digit. The text is that of a result or of arguments and was checked before.

/** Members of an object by key; of a repeated key the last one. @param text JSON text of an object */
export function membersOf(text: string): Map<string, string> {
  const members = new Map<string, string>();
  let at = skipSpace(text, text.indexOf("{") + 1);
  while (text[at] === '"') {
    const keyEnd = endOfString(text, at);
    const start = skipSpace(text, skipSpace(text, keyEnd) + 1); // the colon
    const end = endOfValue(text, start);
    members.set(JSON.parse(text.slice(at, keyEnd)) as string, text.slice(start, end));
    at = skipSpace(text, skipSpace(text, end) + 1); // the comma, or the brace
  }
  return members;
}

/** The text of an object with these members. */
export function objectOf(members: ReadonlyMap<string, string>): string {
  return `{${[...members].map(([key, valueJson]) => `${JSON.stringify(key)}:${valueJson}`).join(",")}}`;
}

/** True for the text of an object. */
export function isObject(text: string): boolean {
  return text.charCodeAt(skipSpace(text, 0)) === 0x7b;
}

/** True for the text of an array. */
export function isArray(text: string): boolean {
  return text.charCodeAt(skipSpace(text, 0)) === 0x5b;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  for (let c = text.charCodeAt(at); c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09; c = text.charCodeAt(at))
    at += 1;
  return at;
}

/** @returns the position after the closing quote */
function endOfString(text: string, open: number): number {
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
