// Checks that bytes are JSON without making anything of them. A sandbox is not trusted: what it calls a result goes to
// stores and callers that take it for JSON, and one bad text would stop the batch of its neighbours.

import { isUtf8 } from "node:buffer";

/** Deeper texts are refused: readers further on recurse. */
const DEPTH_MAX = 512;

export type JsonShape = "object" | "array";

/** @returns what the text is, or undefined when it is no JSON object or array */
export function jsonShapeOf(bytes: Uint8Array): JsonShape | undefined {
  const start = skipSpace(bytes, 0);
  const first = bytes[start];
  if (first !== OPEN_OBJECT && first !== OPEN_ARRAY) return undefined;
  const end = value(bytes, start, 0);
  if (end < 0 || skipSpace(bytes, end) !== bytes.length || !isUtf8(bytes)) return undefined;
  return first === OPEN_OBJECT ? "object" : "array";
}

const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;

// Each returns where it ended, or -1.

function value(bytes: Uint8Array, at: number, depth: number): number {
  switch (bytes[at]) {
    case OPEN_OBJECT:
      return depth >= DEPTH_MAX ? -1 : object(bytes, at + 1, depth + 1);
    case OPEN_ARRAY:
      return depth >= DEPTH_MAX ? -1 : array(bytes, at + 1, depth + 1);
    case QUOTE:
      return string(bytes, at + 1);
    case 0x74:
      return word(bytes, at, "true");
    case 0x66:
      return word(bytes, at, "false");
    case 0x6e:
      return word(bytes, at, "null");
    default:
      return number(bytes, at);
  }
}

function object(bytes: Uint8Array, from: number, depth: number): number {
  let at = skipSpace(bytes, from);
  if (bytes[at] === CLOSE_OBJECT) return at + 1;
  for (;;) {
    if (bytes[at] !== QUOTE) return -1;
    at = string(bytes, at + 1);
    if (at < 0) return -1;
    at = skipSpace(bytes, at);
    if (bytes[at] !== COLON) return -1;
    at = value(bytes, skipSpace(bytes, at + 1), depth);
    if (at < 0) return -1;
    at = skipSpace(bytes, at);
    if (bytes[at] === CLOSE_OBJECT) return at + 1;
    if (bytes[at] !== COMMA) return -1;
    at = skipSpace(bytes, at + 1);
  }
}

function array(bytes: Uint8Array, from: number, depth: number): number {
  let at = skipSpace(bytes, from);
  if (bytes[at] === CLOSE_ARRAY) return at + 1;
  for (;;) {
    at = value(bytes, at, depth);
    if (at < 0) return -1;
    at = skipSpace(bytes, at);
    if (bytes[at] === CLOSE_ARRAY) return at + 1;
    if (bytes[at] !== COMMA) return -1;
    at = skipSpace(bytes, at + 1);
  }
}

function string(bytes: Uint8Array, from: number): number {
  let at = from;
  for (;;) {
    const byte = bytes[at];
    if (byte === undefined || byte < 0x20) return -1;
    at += 1;
    if (byte === QUOTE) return at;
    if (byte !== BACKSLASH) continue;
    const escaped = bytes[at];
    at += 1;
    if (escaped === 0x75) {
      for (let i = 0; i < 4; i += 1) if (!isHex(bytes[at + i])) return -1;
      at += 4;
    } else if (escaped === undefined || !ESCAPES.has(escaped)) {
      return -1;
    }
  }
}

const ESCAPES = new Set(Buffer.from('"\\/bfnrt'));

function number(bytes: Uint8Array, from: number): number {
  let at = bytes[from] === MINUS ? from + 1 : from;
  if (bytes[at] === ZERO) at += 1;
  else {
    const end = digits(bytes, at);
    if (end === at) return -1;
    at = end;
  }
  if (bytes[at] === DOT) {
    const end = digits(bytes, at + 1);
    if (end === at + 1) return -1;
    at = end;
  }
  if (bytes[at] === 0x65 || bytes[at] === 0x45) {
    at += 1;
    if (bytes[at] === PLUS || bytes[at] === MINUS) at += 1;
    const end = digits(bytes, at);
    if (end === at) return -1;
    at = end;
  }
  return at;
}

function digits(bytes: Uint8Array, from: number): number {
  let at = from;
  for (;;) {
    const byte = bytes[at];
    if (byte === undefined || byte < ZERO || byte > NINE) return at;
    at += 1;
  }
}

function word(bytes: Uint8Array, at: number, text: string): number {
  for (let i = 0; i < text.length; i += 1) if (bytes[at + i] !== text.charCodeAt(i)) return -1;
  return at + text.length;
}

function isHex(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  return (byte >= ZERO && byte <= NINE) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66);
}

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  for (;;) {
    const byte = bytes[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at;
    at += 1;
  }
}
