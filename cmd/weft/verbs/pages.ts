import type { Cli } from "../cli-context.js";
import type { Values } from "../spec.js";

/** Largest page that the API gives. */
const PAGE_MAX = 200;
const DEFAULT_LIMIT = 30;

export interface Page<T> {
  readonly entries: readonly T[];
  readonly next: string;
}

export interface PageRequest {
  readonly pageSize: number;
  readonly pageToken: string;
  readonly skip: number;
}

/** As many as --limit or --all says, page by page; says so when there are more. */
export async function listed<T>(
  cli: Cli,
  values: Values,
  page: (request: PageRequest) => Promise<Page<T>>,
): Promise<readonly T[]> {
  const limit = values.flag("all") ? Infinity : (values.number("limit", 1, 1_000_000) ?? DEFAULT_LIMIT);
  const skip = values.number("skip", 0, 1_000_000) ?? 0;
  const entries: T[] = [];
  let token = "";
  do {
    const got = await page({
      pageSize: Math.min(PAGE_MAX, limit - entries.length),
      pageToken: token,
      skip: token === "" ? skip : 0,
    });
    entries.push(...got.entries);
    token = got.next;
  } while (token !== "" && entries.length < limit);
  if (token !== "") cli.screen.say(`there are more: --limit ${entries.length * 2}, or --all`);
  return entries;
}

/** Names of one page, for "did you mean". */
export async function somePage<T>(
  page: (request: PageRequest) => Promise<Page<T>>,
  name: (entry: T) => string,
): Promise<readonly string[]> {
  return (await page({ pageSize: PAGE_MAX, pageToken: "", skip: 0 })).entries.map(name);
}
