// Arguments of an invocation, as JSON text that is never parsed into values: numbers keep every digit, keys their
// order, and the hot path makes no objects. The text is checked byte by byte, which also finds the top-level keys, and
// defaults are spliced in front of what the caller sent.

import { isUtf8 } from "node:buffer";
import { invalidField, WeftError } from "../../base/errors.js";
import { TOO_LARGE } from "../../base/violations.js";
import { PAYLOAD_BYTES_MAX } from "../action/types.js";

/** A default parameter, package's and action's merged. */
export interface DefaultParam {
  readonly key: string;
  /** JSON text. */
  readonly valueJson: Uint8Array;
}

/** Deepest nesting of arguments. Parsers of some runtimes recurse; Python's gives up a little below 1000. */
export const JSON_DEPTH_MAX = 500;

/** Reason of the error for arguments that override final parameters. */
export const FINAL_PARAMETERS = "FINAL_PARAMETERS";

/** @throws invalidArgument TOO_LARGE above the most that is allowed */
export function checkPayloadSize(bytes: number, bytesMax = PAYLOAD_BYTES_MAX): void {
  if (bytes <= bytesMax) return;
  const description = `larger than allowed: ${bytes} > ${bytesMax} bytes`;
  throw new WeftError("invalidArgument", TOO_LARGE, `params: ${description}`, {
    fields: [{ field: "params", description }],
  });
}

/**
 * The effective arguments: defaults, overridden per top-level key by what the caller sent. A key that the caller sent
 * twice is passed on as it is (the last one counts in every runtime). Without defaults the caller's bytes are returned
 * themselves.
 * @param defaults should be the same array for each call of an action: what is derived from it is kept with it
 * @param paramsJson JSON text of an object; empty means {}
 * @param final true refuses to override a default that is not null
 * @throws invalidArgument when it is not a JSON object; failedPrecondition FINAL_PARAMETERS
 */
export function mergeParams(defaults: readonly DefaultParam[], paramsJson: Uint8Array, final = false): Uint8Array {
  const plan = defaults.length === 0 ? undefined : planOf(defaults);
  if (paramsJson.length === 0) return plan ? plan.alone : EMPTY_OBJECT;
  if (!plan) {
    scanObject(paramsJson, undefined);
    return paramsJson;
  }

  const keys: number[] = [];
  const { open, close, empty } = scanObject(paramsJson, keys);
  if (empty) return plan.alone;
  const overridden = overriddenBy(plan, paramsJson, keys);
  if (!overridden) return spliced(plan.all, paramsJson, open, close);
  if (final) refuseFinal(plan, overridden);
  const kept = plan.entries.filter((entry) => !overridden.has(entry.key)).map((entry) => entry.bytes);
  return kept.length === 0 ? paramsJson : spliced(joined(kept), paramsJson, open, close);
}

/** @throws invalidArgument when it is neither empty nor the JSON text of an object */
export function checkJsonObject(field: string, text: Uint8Array): void {
  if (text.length > 0) scanObject(text, undefined, field);
}

const EMPTY_OBJECT: Uint8Array = Buffer.from("{}");

interface Entry {
  readonly key: string;
  /** `"key":value` */
  readonly bytes: Buffer;
  readonly isNull: boolean;
}

interface Plan {
  readonly entries: readonly Entry[];
  readonly byKey: ReadonlyMap<string, Entry>;
  /** All entries with commas between them. */
  readonly all: Buffer;
  /** The defaults alone, as an object. */
  readonly alone: Buffer;
}

const plans = new WeakMap<readonly DefaultParam[], Plan>();

function planOf(defaults: readonly DefaultParam[]): Plan {
  const known = plans.get(defaults);
  if (known) return known;
  const entries = defaults.map(({ key, valueJson }) => ({
    key,
    bytes: Buffer.concat([Buffer.from(`${JSON.stringify(key)}:`), valueJson]),
    isNull: Buffer.from(valueJson).toString("latin1").trim() === "null",
  }));
  const all = joined(entries.map((entry) => entry.bytes));
  const plan: Plan = {
    entries,
    byKey: new Map(entries.map((entry) => [entry.key, entry])),
    all,
    alone: Buffer.concat([Buffer.from("{"), all, Buffer.from("}")]),
  };
  plans.set(defaults, plan);
  return plan;
}

function joined(parts: readonly Buffer[]): Buffer {
  const comma = Buffer.from(",");
  return Buffer.concat(parts.flatMap((part, i) => (i === 0 ? [part] : [comma, part])));
}

/** `{`, the entries, `,`, and what stood between the caller's braces (which is not nothing), `}`. */
function spliced(entries: Buffer, text: Uint8Array, open: number, close: number): Uint8Array {
  const merged = Buffer.allocUnsafe(entries.length + (close - open) + 2);
  merged[0] = OPEN_BRACE;
  merged.set(entries, 1);
  merged[entries.length + 1] = COMMA;
  merged.set(text.subarray(open + 1, close + 1), entries.length + 2);
  return merged;
}

function overriddenBy(plan: Plan, text: Uint8Array, keys: readonly number[]): Set<string> | undefined {
  const view = Buffer.from(text.buffer, text.byteOffset, text.byteLength);
  let overridden: Set<string> | undefined;
  for (let i = 0; i + 1 < keys.length; i += 2) {
    const start = keys[i] as number;
    const end = keys[i + 1] as number;
    let key = view.toString("utf8", start + 1, end - 1);
    if (key.includes("\\")) key = JSON.parse(view.toString("utf8", start, end)) as string;
    if (plan.byKey.has(key)) (overridden ??= new Set()).add(key);
  }
  return overridden;
}

function refuseFinal(plan: Plan, overridden: ReadonlySet<string>): void {
  const refused = [...overridden].filter((key) => plan.byKey.get(key)?.isNull === false);
  if (refused.length === 0) return;
  throw new WeftError(
    "failedPrecondition",
    FINAL_PARAMETERS,
    `the action's parameters are final: ${refused.join(", ")} may not be set`,
    { fields: refused.map((key) => ({ field: `params.${key}`, description: "is final and may not be set" })) },
  );
}

// ---- checking ----

const QUOTE = 0x22;
const PLUS = 0x2b;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** What may follow a backslash besides u: " \ / b f n r t. */
const ESCAPES = new Set([QUOTE, BACKSLASH, 0x2f, 0x62, 0x66, 0x6e, 0x72, 0x74]);

interface ObjectScan {
  /** Position of the outer braces. */
  readonly open: number;
  readonly close: number;
  /** True when there is nothing between them. */
  readonly empty: boolean;
}

/**
 * Checks that the text is one JSON object.
 * @param keys when given: start and end (after the closing quote) of each top-level key are added
 * @throws invalidArgument with the position
 */
function scanObject(text: Uint8Array, keys: number[] | undefined, field = "params"): ObjectScan {
  const scanner = new Scanner(text, field);
  return scanner.run(keys);
}

class Scanner {
  #at = 0;
  #ascii = true;

  constructor(
    private readonly text: Uint8Array,
    private readonly field: string,
  ) {}

  run(keys: number[] | undefined): ObjectScan {
    const { text } = this;
    this.#space();
    const open = this.#at;
    if (text[open] !== OPEN_BRACE) throw this.#notAnObject();
    const arrays: boolean[] = [false];
    this.#at += 1;
    this.#space();
    const empty = text[this.#at] === CLOSE_BRACE;
    if (!empty) this.#key(keys);
    else {
      this.#at += 1;
      arrays.pop();
    }
    while (arrays.length > 0) {
      this.#value(arrays);
      this.#afterValue(arrays, keys);
    }
    const close = this.#at - 1;
    this.#space();
    if (this.#at < text.length) throw this.#wrong("nothing may follow the object");
    if (!this.#ascii && !isUtf8(text)) throw invalidField(this.field, "must be UTF-8");
    return { open, close, empty };
  }

  /** Steps over a scalar, or into a container that is not empty. */
  #value(arrays: boolean[]): void {
    const { text } = this;
    for (;;) {
      const c = text[this.#at];
      switch (c) {
        case QUOTE:
          this.#string();
          return;
        case OPEN_BRACE:
        case OPEN_BRACKET: {
          if (arrays.length >= JSON_DEPTH_MAX) throw this.#wrong(`nested deeper than ${JSON_DEPTH_MAX} levels`);
          this.#at += 1;
          this.#space();
          const isArray = c === OPEN_BRACKET;
          if (text[this.#at] === (isArray ? CLOSE_BRACKET : CLOSE_BRACE)) {
            this.#at += 1;
            return;
          }
          arrays.push(isArray);
          if (isArray) break; // its first value follows
          this.#key(undefined);
          break;
        }
        case 0x74:
          this.#word("true");
          return;
        case 0x66:
          this.#word("false");
          return;
        case 0x6e:
          this.#word("null");
          return;
        default:
          this.#number();
          return;
      }
    }
  }

  /** Closes what ends here, and steps to the next value. */
  #afterValue(arrays: boolean[], keys: number[] | undefined): void {
    const { text } = this;
    while (arrays.length > 0) {
      this.#space();
      const inArray = arrays[arrays.length - 1] === true;
      const c = text[this.#at];
      if (c === COMMA) {
        this.#at += 1;
        this.#space();
        if (!inArray) this.#key(arrays.length === 1 ? keys : undefined);
        return;
      }
      if (c !== (inArray ? CLOSE_BRACKET : CLOSE_BRACE)) throw this.#wrong(`expected , or ${inArray ? "]" : "}"}`);
      this.#at += 1;
      arrays.pop();
    }
  }

  /** A key and its colon, and the space after it. */
  #key(keys: number[] | undefined): void {
    const start = this.#at;
    if (this.text[start] !== QUOTE) throw this.#wrong('expected a key in double quotes or "}"');
    this.#string();
    if (keys) keys.push(start, this.#at);
    this.#space();
    if (this.text[this.#at] !== COLON) throw this.#wrong("expected : after a key");
    this.#at += 1;
    this.#space();
  }

  #string(): void {
    const { text } = this;
    let at = this.#at + 1;
    for (;;) {
      const c = text[at];
      if (c === undefined) {
        this.#at = at;
        throw this.#wrong("a string does not end");
      }
      if (c === QUOTE) break;
      if (c === BACKSLASH) {
        const escaped = text[at + 1];
        if (escaped === 0x75) {
          for (let i = at + 2; i < at + 6; i++) {
            if (!isHex(text[i])) {
              this.#at = i;
              throw this.#wrong("\\u takes four hex digits");
            }
          }
          at += 6;
        } else if (escaped !== undefined && ESCAPES.has(escaped)) at += 2;
        else {
          this.#at = at;
          throw this.#wrong('a backslash must be followed by one of "\\/bfnrtu');
        }
        continue;
      }
      if (c < 0x20) {
        this.#at = at;
        throw this.#wrong("a control character in a string must be escaped");
      }
      if (c >= 0x80) this.#ascii = false;
      at += 1;
    }
    this.#at = at + 1;
  }

  #number(): void {
    const { text } = this;
    if (text[this.#at] === MINUS) this.#at += 1;
    if (text[this.#at] === ZERO) this.#at += 1;
    else this.#digits("expected a value");
    if (text[this.#at] === DOT) {
      this.#at += 1;
      this.#digits("expected a digit after the point");
    }
    const e = text[this.#at];
    if (e === 0x65 || e === 0x45) {
      this.#at += 1;
      const sign = text[this.#at];
      if (sign === PLUS || sign === MINUS) this.#at += 1;
      this.#digits("expected a digit in the exponent");
    }
  }

  #digits(otherwise: string): void {
    const { text } = this;
    const start = this.#at;
    for (let c = text[this.#at]; c !== undefined && c >= ZERO && c <= NINE; c = text[this.#at]) this.#at += 1;
    if (this.#at === start) throw this.#wrong(otherwise);
  }

  #word(word: string): void {
    for (let i = 0; i < word.length; i++) {
      if (this.text[this.#at + i] !== word.charCodeAt(i)) throw this.#wrong("expected a value");
    }
    this.#at += word.length;
  }

  #space(): void {
    const { text } = this;
    for (let c = text[this.#at]; c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09; c = text[this.#at]) {
      this.#at += 1;
    }
  }

  #wrong(what: string): WeftError {
    const { text } = this;
    const where = this.#at >= text.length ? "at its end" : `at byte ${this.#at}`;
    return invalidField(this.field, `is not JSON ${where}: ${what}`);
  }

  #notAnObject(): WeftError {
    const c = this.text[this.#at];
    const got =
      c === OPEN_BRACKET
        ? "an array"
        : c === QUOTE
          ? "a string"
          : c === undefined
            ? "only white space"
            : c === MINUS || (c >= ZERO && c <= NINE)
              ? "a number"
              : "something else";
    return invalidField(this.field, `must be a JSON object, got ${got}`);
  }
}

function isHex(c: number | undefined): boolean {
  return c !== undefined && ((c >= ZERO && c <= NINE) || (c >= 0x61 && c <= 0x66) || (c >= 0x41 && c <= 0x46));
}
