// A document as a value that can be looked into and changed. Numbers that a double would change (limits of 64-bit
// integers, 1.0) are held as marked strings and come back as they were written.

import { invalidField, WeftError } from "../../base/errors.js";
import { TOO_LARGE } from "../../base/violations.js";
import { jsonProblem } from "../action/json.js";
import { DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX } from "./types.js";

export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json;
}

/** No document has it in a string: NUL is refused. */
const MARK = "\0number:";
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g;
const HELD = /"\\u0000number:(-?[\d.eE+-]+)"/g;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** @throws invalidArgument for what is too large, nested too deeply, no object, or has a NUL */
export function parseDocument(field: string, text: string): JsonObject {
  const bytes = Buffer.byteLength(text);
  if (bytes > DOCUMENT_BYTES_MAX) {
    const description = `larger than allowed: ${bytes} > ${DOCUMENT_BYTES_MAX} bytes`;
    throw new WeftError("invalidArgument", TOO_LARGE, `${field}: ${description}`, { fields: [{ field, description }] });
  }
  const problem = jsonProblem(text, DOCUMENT_DEPTH_MAX);
  if (problem !== undefined) throw invalidField(field, problem);
  const value = JSON.parse(text.replace(TOKENS, held)) as Json;
  if (!isObject(value)) throw invalidField(field, "must be a JSON object");
  if (hasNul(value)) throw invalidField(field, "must not contain the character NUL");
  return value;
}

/** The JSON text of a value; numbers as they were written. */
export function documentText(value: Json): string {
  return JSON.stringify(value).replace(HELD, "$1");
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A member of an object; undefined when it has none of its own of that name, or is no object. */
export function member(value: Json | undefined, name: string): Json | undefined {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

/** The digits of a number, as they were written. */
export function numberText(value: Json | undefined): string | undefined {
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value.startsWith(MARK) ? value.slice(MARK.length) : undefined;
}

function held(token: string): string {
  return token.startsWith('"') || String(Number(token)) === token ? token : `"\\u0000number:${token}"`;
}

function hasNul(value: Json): boolean {
  if (typeof value === "string") return value.includes("\0") && !NUMBER.test(numberText(value) ?? "");
  if (Array.isArray(value)) return value.some(hasNul);
  if (isObject(value)) return Object.entries(value).some(([key, one]) => key.includes("\0") || hasNul(one));
  return false;
}
