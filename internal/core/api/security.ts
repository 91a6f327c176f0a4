// What a document asks of callers: keys and tokens (securityDefinitions, security) and rates (x-ibm-rate-limit).

import { invalidField } from "../../base/errors.js";
import { isObject, member, numberText, type Json } from "./json.js";

/** Where a key stands in a request. */
export interface KeyPlace {
  readonly in: "header" | "query";
  /** Of a header in lower case. */
  readonly name: string;
}

/** An access token of OAuth 2.0 in `Authorization: Bearer`, RFC 6750. */
export interface TokenPlace {
  readonly in: "bearer";
  /** Of a token provider. */
  readonly provider: string;
  /** What the token must allow, all of it. */
  readonly scopes: readonly string[];
}

export type Credential = KeyPlace | TokenPlace;

/** Any of these, each of which asks for all its credentials. Empty asks for nothing. */
export type Security = readonly (readonly Credential[])[];

export interface RateLimit {
  /** Most requests in a window. */
  readonly rate: number;
  readonly windowMs: number;
}

const UNIT_MS: Readonly<Record<string, number | undefined>> = {
  second: 1_000,
  minute: 60_000,
  hour: 3_600_000,
  day: 86_400_000,
};
const RATE_MAX = 1_000_000_000;
const UNITS_MAX = 1_000;
const SCHEMES_MAX = 20;

/**
 * What an operation asks for. Without any `security`, all keys and tokens that are defined are asked for, as OpenWhisk's
 * gateway does: who defines them means them.
 * @throws invalidArgument, also for schemes that cannot be held: an operation must not be open because of that
 */
export function readSecurity(document: Json, operation: Json): Security {
  const definitions = member(document, "securityDefinitions");
  if (definitions !== undefined && !isObject(definitions)) {
    throw invalidField("securityDefinitions", "must be an object");
  }
  const asked = member(operation, "security") ?? member(document, "security");
  if (asked === undefined) {
    const places = Object.entries(definitions ?? {}).flatMap(([name, scheme]) => placeOf(name, scheme, []) ?? []);
    return places.length === 0 ? [] : [places];
  }
  if (!Array.isArray(asked) || asked.length > SCHEMES_MAX) {
    throw invalidField("security", `must be a list of at most ${SCHEMES_MAX} requirements`);
  }
  const requirements = asked.map((requirement) => {
    if (!isObject(requirement)) throw invalidField("security", "a requirement must be an object");
    return Object.entries(requirement).map(([name, scopes]) => {
      const scheme = member(definitions, name);
      if (scheme === undefined) throw invalidField("security", `'${name}' is not in securityDefinitions`);
      const place = placeOf(name, scheme, scopesOf(name, scopes));
      if (place) return place;
      throw invalidField("security", `'${name}' is not of type "apiKey" or "oauth2": others cannot be held here`);
    });
  });
  // An empty requirement asks for nothing, so that nothing is asked for.
  return requirements.some((places) => places.length === 0) ? [] : requirements;
}

/** Of all operations together. */
export function providersAsked(securities: Iterable<Security>): ReadonlySet<string> {
  const names = new Set<string>();
  for (const security of securities) {
    for (const place of security.flat()) if (place.in === "bearer") names.add(place.provider);
  }
  return names;
}

function scopesOf(name: string, given: Json): readonly string[] {
  if (Array.isArray(given) && given.length <= SCHEMES_MAX && given.every((one) => typeof one === "string"))
    return given;
  throw invalidField("security", `'${name}' needs a list of at most ${SCHEMES_MAX} scopes; empty for a key`);
}

/** @returns undefined for types that are neither keys nor tokens */
function placeOf(name: string, scheme: Json, scopes: readonly string[]): Credential | undefined {
  if (member(scheme, "type") === "oauth2") return { in: "bearer", provider: name, scopes };
  if (member(scheme, "type") !== "apiKey") return undefined;
  const where = member(scheme, "in");
  const called = member(scheme, "name");
  if ((where !== "header" && where !== "query") || typeof called !== "string" || !/^[\w.-]{1,128}$/.test(called)) {
    throw invalidField(
      `securityDefinitions.${name}`,
      'of type "apiKey" needs "in": "header" or "query", and a "name" of letters, digits, "_", "-" and "."',
    );
  }
  return { in: where, name: where === "header" ? called.toLowerCase() : called };
}

/** Of an operation the ones it says itself, else the document's. @throws invalidArgument */
export function readRateLimits(document: Json, operation: Json): readonly RateLimit[] {
  const field = "x-ibm-rate-limit";
  const said = member(operation, field) ?? member(document, field);
  if (said === undefined || said === null) return [];
  const list = Array.isArray(said) ? said : [said];
  if (list.length > SCHEMES_MAX) throw invalidField(field, `at most ${SCHEMES_MAX} limits`);
  return list.map((one) => {
    const rate = wholeNumber(member(one, "rate"), 0, RATE_MAX);
    const units = member(one, "units") === undefined ? 1 : wholeNumber(member(one, "units"), 1, UNITS_MAX);
    const unit = member(one, "unit");
    const unitMs = typeof unit === "string" && Object.hasOwn(UNIT_MS, unit) ? UNIT_MS[unit] : undefined;
    if (rate === undefined || units === undefined || unitMs === undefined) {
      throw invalidField(
        field,
        `needs "rate" (a whole number), "unit" ("second", "minute", "hour" or "day") and optionally "units" (1 to ${UNITS_MAX})`,
      );
    }
    return { rate, windowMs: units * unitMs };
  });
}

function wholeNumber(value: Json | undefined, min: number, max: number): number | undefined {
  const number = Number(numberText(value) ?? NaN);
  return Number.isInteger(number) && number >= min && number <= max ? number : undefined;
}
