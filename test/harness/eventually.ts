import { inspect } from "node:util";

export interface EventuallyOptions {
  /** Default 5 000. */
  readonly withinMs?: number;
  /** Pause between looks. Default 10. */
  readonly everyMs?: number;
}

/**
 * Looks again and again until `look` neither throws nor returns false, and returns what it returned. It watches a level,
 * not an edge: what was true before the first look counts. Put `expect` inside, or return a condition.
 * @throws when time is up, saying what was last seen; a look that hangs counts as seen nothing
 */
export async function eventually<T>(
  look: () => T | Promise<T>,
  options: EventuallyOptions = {},
): Promise<Exclude<T, false>> {
  const { withinMs = 5_000, everyMs = 10 } = options;
  const start = performance.now();
  let looks = 0;
  let last: { readonly threw: unknown } | { readonly returned: unknown } | undefined;

  for (;;) {
    const leftMs = withinMs - (performance.now() - start);
    if (leftMs <= 0 && looks > 0) break;
    looks += 1;
    const seen = await within(Math.max(leftMs, everyMs), look);
    if (seen === "hung") break;
    if ("returned" in seen && seen.returned !== false) return seen.returned as Exclude<T, false>;
    last = seen;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }

  const what = !last
    ? "the look itself did not end"
    : "threw" in last
      ? `last seen: ${last.threw instanceof Error ? last.threw.message : inspect(last.threw)}`
      : `last seen: ${inspect(last.returned)}`;
  throw new Error(`not within ${withinMs} ms (${looks} looks); ${what}`, {
    cause: last && "threw" in last ? last.threw : undefined,
  });
}

async function within<T>(
  ms: number,
  look: () => T | Promise<T>,
): Promise<{ readonly threw: unknown } | { readonly returned: T } | "hung"> {
  let timer: NodeJS.Timeout | undefined;
  const hung = new Promise<"hung">((resolve) => {
    timer = setTimeout(() => {
      resolve("hung");
    }, ms);
  });
  const looked = (async () => {
    try {
      return { returned: await look() };
    } catch (threw) {
      return { threw };
    }
  })();
  try {
    return await Promise.race([looked, hung]);
  } finally {
    clearTimeout(timer);
  }
}
