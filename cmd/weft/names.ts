import { usage } from "./output.js";

/** An entity as it is written: "name", "package/name", "/namespace/name" or "/namespace/package/name". */
export interface EntityName {
  /** "_" is the caller's own. */
  readonly namespace: string;
  /** "name" or "package/name". */
  readonly name: string;
}

/**
 * @param parts most parts of the name itself: 2 for actions, 1 for everything else
 * @throws invalidArgument
 */
export function parseName(text: string, namespace: string, parts: 1 | 2): EntityName {
  const pieces = text.split("/");
  const qualified = text.startsWith("/");
  const [of, ...rest] = qualified ? pieces.slice(1) : [namespace, ...pieces];
  const wrong = rest.length === 0 || rest.length > parts || [of, ...rest].some((piece) => !piece);
  if (wrong) {
    const forms = parts === 2 ? "NAME, PACKAGE/NAME or /NAMESPACE/[PACKAGE/]NAME" : "NAME or /NAMESPACE/NAME";
    throw usage(`"${text}" is no name: write ${forms}`);
  }
  return { namespace: of ?? namespace, name: rest.join("/") };
}

/** As a person writes it. */
export function showName(namespace: string, name: string): string {
  return `/${namespace}/${name}`;
}

/** The candidate that was meant, if one is near enough: about one slip in three letters. */
export function didYouMean(text: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(text.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = slips(text.toLowerCase(), candidate.toLowerCase());
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

/** Letters to add, drop, change or swap with their neighbour. */
function slips(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, i) => i)];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? 0;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, at(i - 2, j - 2) + 1);
      row.push(least);
    }
  }
  return at(a.length, b.length);
}
