// A map from numbers to values for what comes and goes a hundred thousand times a second. The engine's Map makes a new
// table every few dozen changes and links each to its successor; once the garbage collector has moved one of them to the
// old generation, every later table and all that was in it is kept until the old generation is collected. Measured in an
// invoker, that made each collection five times as long. Here a table is replaced only when the map grows, and links
// to nothing.

const FIRST_PLACES = 16;

/** Keys are whole numbers from 0 to 2^32 - 1. Open addressing with linear probing; deletions leave no gaps. */
export class NumberMap<V extends object> {
  #keys = new Uint32Array(FIRST_PLACES);
  #values: (V | undefined)[] = new Array<V | undefined>(FIRST_PLACES).fill(undefined);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: number): V | undefined {
    return this.#values[this.#placeOf(key)];
  }

  set(key: number, value: V): void {
    let place = this.#placeOf(key);
    if (this.#values[place] === undefined) {
      if ((this.#size + 1) * 2 > this.#values.length) {
        this.#grow();
        place = this.#placeOf(key);
      }
      this.#keys[place] = key;
      this.#size += 1;
    }
    this.#values[place] = value;
  }

  /** @returns what was there */
  delete(key: number): V | undefined {
    let gap = this.#placeOf(key);
    const deleted = this.#values[gap];
    if (deleted === undefined) return undefined;
    this.#size -= 1;
    const mask = this.#values.length - 1;
    // Whoever stands behind and would be found past the gap moves into it.
    for (let place = (gap + 1) & mask; ; place = (place + 1) & mask) {
      const value = this.#values[place];
      if (value === undefined) break;
      const other = this.#keys[place] as number;
      const fromHome = (place - this.#homeOf(other)) & mask;
      if (fromHome < ((place - gap) & mask)) continue;
      this.#keys[gap] = other;
      this.#values[gap] = value;
      gap = place;
    }
    this.#values[gap] = undefined;
    return deleted;
  }

  clear(): void {
    this.#values.fill(undefined);
    this.#size = 0;
  }

  /** A copy: the map may change meanwhile. In rising order of their keys. */
  entries(): [key: number, value: V][] {
    const all: [key: number, value: V][] = [];
    for (const [place, value] of this.#values.entries()) {
      if (value !== undefined) all.push([this.#keys[place] as number, value]);
    }
    return all.sort(([a], [b]) => a - b);
  }

  /** As `entries`. */
  values(): V[] {
    return this.entries().map(([, value]) => value);
  }

  /** Where a key is, or where it would be put. */
  #placeOf(key: number): number {
    const mask = this.#values.length - 1;
    let place = this.#homeOf(key);
    while (this.#values[place] !== undefined && this.#keys[place] !== key) place = (place + 1) & mask;
    return place;
  }

  /** Numbers are given out one after the other; whole runs of them are spread as evenly as any (Fibonacci hashing). */
  #homeOf(key: number): number {
    return (Math.imul(key, 0x9e3779b1) >>> 7) & (this.#values.length - 1);
  }

  #grow(): void {
    const keys = this.#keys;
    const values = this.#values;
    this.#keys = new Uint32Array(keys.length * 2);
    this.#values = new Array<V | undefined>(values.length * 2).fill(undefined);
    for (const [place, value] of values.entries()) {
      if (value === undefined) continue;
      const to = this.#placeOf(keys[place] as number);
      this.#keys[to] = keys[place] as number;
      this.#values[to] = value;
    }
  }
}
