// What the annotation require-whisk-auth asks of a caller.

import { createHash, timingSafeEqual } from "node:crypto";
import { typeOf, type JsonText } from "../../base/json-text.js";

/** Header that carries the secret. */
const SECRET_HEADER = "x-require-whisk-auth";
/** Numbers with more zeros than this in their decimal form match nothing. */
const EXPONENT_MAX = 400;

/** @param keyed true when the caller presented a key that is somebody's */
export function mayInvoke(
  annotation: JsonText | undefined,
  headers: Readonly<Record<string, string>>,
  keyed: boolean,
): boolean {
  if (annotation === undefined) return true;
  switch (typeOf(annotation)) {
    case "boolean":
      return annotation === "false" || keyed;
    case "string":
      return matches(JSON.parse(annotation) as string, headers[SECRET_HEADER]);
    case "number":
      return matches(decimal(annotation), headers[SECRET_HEADER]);
    case "null":
    case "object":
    case "array":
      return false;
  }
}

function matches(secret: string | undefined, given: string | undefined): boolean {
  if (secret === undefined || given === undefined) return false;
  // Headers come one byte a character.
  return [secret, Buffer.from(secret).toString("latin1")].some((one) => timingSafeEqual(digest(one), digest(given)));
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/** A JSON number without exponent; every digit stays. */
export function decimal(number: JsonText): string | undefined {
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(number);
  if (!match) return undefined;
  const [, sign = "", whole = "", fraction = "", exponentText] = match;
  if (exponentText === undefined) return number;
  const exponent = Number(exponentText);
  if (Math.abs(exponent) > EXPONENT_MAX) return undefined;
  const digits = whole + fraction;
  const point = whole.length + exponent;
  const padded =
    point > digits.length ? digits.padEnd(point, "0") : digits.padStart(digits.length - Math.min(0, point), "0");
  const at = Math.max(0, point);
  const before = padded.slice(0, at).replace(/^0+(?=\d)/, "") || "0";
  const after = padded.slice(at).replace(/0+$/, "");
  return `${sign}${before}${after === "" ? "" : `.${after}`}`;
}
