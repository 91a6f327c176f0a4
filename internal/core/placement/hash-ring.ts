// Consistent hashing: each member has many points on a ring, a key's chain is the members met from the key's point on.
// A member that comes or goes moves only its own share of the keys.

/** Points per member: enough that shares differ by a tenth or so, few enough that 10,000 members are rebuilt in 50 ms. */
const POINTS = 32;

interface Point {
  readonly hash: number;
  readonly id: string;
}

export class HashRing {
  readonly #points: readonly Point[];
  readonly #ids: readonly string[];

  constructor(ids: Iterable<string>) {
    this.#ids = [...ids].sort();
    const points: Point[] = [];
    for (const id of this.#ids) for (let i = 0; i < POINTS; i++) points.push({ hash: hashOf(`${id}#${i}`), id });
    this.#points = points.sort((a, b) => a.hash - b.hash || (a.id < b.id ? -1 : 1));
  }

  /** The first `length` different members from the key's point on. */
  chain(key: string, length: number): string[] {
    const found = new Set<string>();
    const wanted = Math.min(length, this.#ids.length);
    const start = this.#firstFrom(hashOf(key));
    for (let i = 0; found.size < wanted && i < this.#points.length; i++) {
      const point = this.#points[(start + i) % this.#points.length];
      if (point) found.add(point.id);
    }
    return [...found];
  }

  /** A member by chance. @param fraction between 0 (included) and 1 (excluded) */
  at(fraction: number): string | undefined {
    return this.#ids[Math.floor(fraction * this.#ids.length)];
  }

  #firstFrom(hash: number): number {
    let low = 0;
    let high = this.#points.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#points[middle]?.hash ?? 0) < hash) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** 32-bit FNV-1a with a final mix: FNV alone leaves names that differ in their last letter close together. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
