// Pages of lists: so many rows, and none behind those that fill so many bytes. How large a row is, Postgres knows without
// reading what is stored apart from it.

import type { Listed } from "../core/action/page.js";

interface PageQuery {
  readonly limit: number;
  readonly bytesMax: number;
  readonly skip: number;
}

/** What `listedColumns` adds to a row. */
export interface ListedRow {
  /** How many rows the page could have, and one more when there are others. */
  readonly found: number;
}

/**
 * A page as SQL, with one row more, which tells whether there is another. As text, because a plan for an unknown number of
 * rows sorts where it could walk an index.
 */
export function pageOf({ limit, skip }: PageQuery): string {
  return `limit ${Math.trunc(limit) + 1} offset ${Math.trunc(skip)}`;
}

/**
 * @param bytes expression: how large a row is
 * @param order that of the list
 */
export function listedColumns(bytes: string, order: string): string {
  return `count(*) over () as found,
    sum(${bytes}) over (order by ${order} rows between unbounded preceding and 1 preceding) as bytes_before`;
}

export function withinBytes({ bytesMax }: PageQuery): string {
  return `coalesce(bytes_before, 0) < ${Math.trunc(bytesMax)}`;
}

export function listed<Row extends ListedRow, T>(
  rows: readonly Row[],
  { limit }: PageQuery,
  entryOf: (row: Row) => T,
): Listed<T> {
  const entries = rows.slice(0, limit).map(entryOf);
  return { entries, more: (rows[0]?.found ?? 0) > entries.length };
}
