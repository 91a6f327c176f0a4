import { PAGE_BYTES_MAX, PAGE_SIZE_MAX, type Listed } from "../core/action/page.js";
import type { ListQuery } from "../core/action/store.js";

/** Every entry of a list, page by page. */
export async function everyEntry<T extends { readonly updatedWallMs: number; readonly name: string }>(
  list: (query: ListQuery) => Promise<Listed<T>>,
  namespace: string,
): Promise<readonly T[]> {
  const all: T[] = [];
  for (;;) {
    const last = all.at(-1);
    const after = last && { updatedWallMs: last.updatedWallMs, name: last.name };
    const { entries, more } = await list({ namespace, limit: PAGE_SIZE_MAX, bytesMax: PAGE_BYTES_MAX, skip: 0, after });
    all.push(...entries);
    if (!more) return all;
  }
}
