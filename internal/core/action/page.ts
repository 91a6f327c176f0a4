// Pages of lists. A token says after which entry the next page begins. It is opaque to clients and bound to the list it
// came from: the rpc and everything that was asked for but the page itself.

import { createHash } from "node:crypto";

import type { Violations } from "../../base/violations.js";

export const PAGE_SIZE_DEFAULT = 30;
export const PAGE_SIZE_MAX = 200;
export const SKIP_MAX = 1_000_000;
/**
 * A page ends with the entry that fills so many bytes: two hundred of the largest entries fit into no message, and into
 * little memory. The largest single one, a record with its result and logs, has 11 MiB.
 */
export const PAGE_BYTES_MAX = 16 * 1024 * 1024;

/** Entries of a list in their order, and whether there are others behind them. */
export interface Listed<T> {
  readonly entries: readonly T[];
  readonly more: boolean;
}

export interface PageRequest {
  readonly pageSize: number;
  readonly pageToken: string;
  readonly skip: number;
}

/** Where a page begins. `P` is the position in the list: plain JSON values. */
export interface Page<P> {
  /** 1 to 200. */
  readonly size: number;
  readonly skip: number;
  readonly after: P | undefined;
  /** What a store is asked for. */
  readonly query: {
    readonly limit: number;
    readonly bytesMax: number;
    readonly skip: number;
    readonly after: P | undefined;
  };
  /** Token of the page after this one. */
  next(position: P): string;
}

/**
 * @param list what is listed: the rpc and its filters
 * @param isPosition whether a decoded value is a position of this list
 * @param violations gets what is wrong with size, token and skip
 */
export function readPage<P>(
  request: PageRequest,
  list: readonly (string | number | undefined)[],
  isPosition: (value: unknown) => value is P,
  violations: Violations,
): Page<P> {
  const { pageSize, pageToken, skip } = request;
  if (pageSize < 0 || pageSize > PAGE_SIZE_MAX) {
    violations.add(
      "page_size",
      `must be between 1 and ${PAGE_SIZE_MAX}, or 0 for ${PAGE_SIZE_DEFAULT}; got ${pageSize}`,
    );
  }
  if (skip < 0 || skip > SKIP_MAX) violations.add("skip", `must be between 0 and ${SKIP_MAX}, got ${skip}`);
  if (skip > 0 && pageToken !== "") violations.add("skip", "must not be given together with page_token");
  const query = JSON.stringify(list);
  let after: P | undefined;
  if (pageToken !== "") {
    after = decode(pageToken, query, isPosition);
    if (after === undefined) violations.add("page_token", "is not a token that this list gave out");
  }
  const size = pageSize === 0 ? PAGE_SIZE_DEFAULT : pageSize;
  return {
    size,
    skip,
    after,
    query: { limit: size, bytesMax: PAGE_BYTES_MAX, skip, after },
    next: (position) => encode(position, query),
  };
}

/**
 * The first page of what was read: at most `limit` entries, and none behind those that fill `bytesMax`.
 * @param bytesOf how large one is; without it they are small
 */
export function cutPage<T>(
  read: readonly T[],
  limit: number,
  bytesOf: (entry: T) => number = () => 0,
  bytesMax: number = PAGE_BYTES_MAX,
): Listed<T> {
  let count = 0;
  for (let bytes = 0; count < read.length && count < limit && bytes < bytesMax; count++) {
    bytes += bytesOf(read[count] as T);
  }
  return { entries: read.slice(0, count), more: read.length > count };
}

const CHECK_BYTES = 6;

/** A token: a check over list and position, then the position. Longer than any real one is refused unread. */
const TOKEN_LENGTH_MAX = 4_096;

function encode(position: unknown, query: string): string {
  const text = JSON.stringify(position);
  return Buffer.concat([checkOf(text, query), Buffer.from(text)]).toString("base64url");
}

function decode<P>(token: string, query: string, isPosition: (value: unknown) => value is P): P | undefined {
  if (token.length > TOKEN_LENGTH_MAX || !/^[\w-]+$/.test(token)) return undefined;
  const bytes = Buffer.from(token, "base64url");
  const text = bytes.subarray(CHECK_BYTES).toString("utf8");
  if (!checkOf(text, query).equals(bytes.subarray(0, CHECK_BYTES))) return undefined;
  // The check holds, so we wrote it, or somebody who means to: what follows is looked at all the same.
  try {
    const position: unknown = JSON.parse(text);
    return isPosition(position) ? position : undefined;
  } catch {
    return undefined;
  }
}

function checkOf(text: string, query: string): Buffer {
  return createHash("sha256").update(query).update("\n").update(text).digest().subarray(0, CHECK_BYTES);
}

/** Position in a list of entities: latest change first, ties by name. */
export interface EntityPosition {
  readonly updatedWallMs: number;
  readonly name: string;
}

export function isEntityPosition(value: unknown): value is EntityPosition {
  const position = value as Partial<Record<string, unknown>> | null;
  return typeof position === "object" && Number.isFinite(position?.["updatedWallMs"]) && isText(position?.["name"]);
}

/** Position in a list of activations: latest start first, ties by id. */
export interface ActivationPosition {
  readonly startWallMs: number;
  readonly id: string;
}

export function isActivationPosition(value: unknown): value is ActivationPosition {
  const position = value as Partial<Record<string, unknown>> | null;
  return (
    typeof position === "object" &&
    Number.isSafeInteger(position?.["startWallMs"]) &&
    isText(position?.["id"]) &&
    /^[0-9a-f]{32}$/.test(position["id"])
  );
}

export function isText(value: unknown): value is string {
  return typeof value === "string" && !value.includes("\0");
}
