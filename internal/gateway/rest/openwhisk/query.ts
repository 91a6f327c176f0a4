// Query parameters as OpenWhisk reads them.

import { BLOCKING_WAIT_MS_MAX } from "../../../core/action/types.js";
import { malformedQuery, Refusal } from "./refusal.js";

/** What `limit` is when a client does not say, and the most it may say; 0 stands for the most. */
const PAGE_DEFAULT = 30;
export const PAGE_MAX = 200;
/** The native API's own bound of `skip`. */
const SKIP_MAX = 1_000_000;

/** The end of the year 9999, where timestamps end; nothing starts later. */
const LAST_MOMENT_MS = 253_402_300_799_999;

const TRUE = new Set(["true", "yes", "on", "1"]);
const FALSE = new Set(["false", "no", "off", "0"]);

export class Query {
  readonly #parameters: URLSearchParams;

  constructor(query: string) {
    this.#parameters = new URLSearchParams(query);
  }

  text(name: string): string | undefined {
    return this.#parameters.get(name) ?? undefined;
  }

  /** @throws Refusal 400 */
  boolean(name: string, otherwise: boolean): boolean {
    const value = this.text(name);
    if (value === undefined) return otherwise;
    const lower = value.toLowerCase();
    if (TRUE.has(lower)) return true;
    if (FALSE.has(lower)) return false;
    throw malformedQuery(name, `'${value}' is not a valid Boolean value`);
  }

  /** @throws Refusal 400 */
  limit(collection: string): number {
    const limit = this.#integer("limit", collection) ?? PAGE_DEFAULT;
    if (limit < 0 || limit > PAGE_MAX) {
      throw malformedQuery(
        "limit",
        `The value '${this.text("limit") ?? ""}' is not in the range of 0 to ${PAGE_MAX} for ${collection}.`,
      );
    }
    return limit === 0 ? PAGE_MAX : limit;
  }

  /** @throws Refusal 400 */
  skip(collection: string): number {
    const skip = this.#integer("skip", collection) ?? 0;
    if (skip < 0) {
      throw malformedQuery(
        "skip",
        `The value '${this.text("skip") ?? ""}' is not greater than or equal to 0 for ${collection}.`,
      );
    }
    return Math.min(skip, SKIP_MAX);
  }

  /** Longest wait of a blocking call. @throws Refusal 400 */
  waitMs(): number {
    const value = this.text("timeout");
    if (value === undefined) return BLOCKING_WAIT_MS_MAX;
    const ms = /^\d{1,9}$/.test(value) ? Number(value) : 0;
    if (ms < 1 || ms > BLOCKING_WAIT_MS_MAX) {
      throw malformedQuery("timeout", `Timeout must be number of milliseconds up to ${BLOCKING_WAIT_MS_MAX}.`);
    }
    return ms;
  }

  /** A moment in epoch milliseconds. @throws Refusal 400 */
  epochMs(name: string): number | undefined {
    const value = this.text(name);
    if (value === undefined || value === "") return undefined;
    if (!/^\d{1,16}$/.test(value)) {
      throw malformedQuery(name, `Parameter is not a valid value for epoch milliseconds: ${value}`);
    }
    return Math.min(Number(value), LAST_MOMENT_MS);
  }

  #integer(name: string, collection: string): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    if (!/^[+-]?\d{1,15}$/.test(value)) {
      throw malformedQuery(name, `The value '${value}' is not an integer for ${collection}.`);
    }
    return Number(value);
  }
}

/** `docs` and `count` exclude each other. @throws Refusal 400 */
export function checkDocsAndCount(docs: boolean, count: boolean): void {
  if (docs && count) throw new Refusal(400, "The parameter 'docs' is not permitted with 'count'.");
}
