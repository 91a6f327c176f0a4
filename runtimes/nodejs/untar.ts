// Reads tar archives packed with gzip: what tar, npm and others write (ustar with GNU's and POSIX's long names), entry by
// entry, so that an archive needs little memory however large it becomes. As strict as unzip.ts.

import { chmodSync, closeSync, copyFileSync, mkdirSync, openSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { createGunzip } from "node:zlib";
import { ENTRIES_MAX, link, placeOf, UNPACKED_BYTES_MAX } from "./place.js";

const BLOCK = 512;
/** Of a long name, or of other things said about an entry. */
const ABOUT_BYTES_MAX = 64 * 1024;

interface Header {
  readonly name: string;
  readonly mode: number;
  readonly size: number;
  readonly type: string;
  readonly to: string;
}

/** Unpacks into a directory. @throws Error that says what is wrong with the archive */
export async function untar(archive: Buffer, into: string, unpackedMax = UNPACKED_BYTES_MAX): Promise<void> {
  const source = new Source(archive, unpackedMax);
  try {
    await unpackAll(source, into);
    await source.finish();
  } finally {
    source.close();
  }
}

async function unpackAll(source: Source, into: string): Promise<void> {
  let entries = 0;
  /** Said of the next entry by those before it. */
  let about: { name?: string; to?: string; size?: number } = {};
  for (;;) {
    const block = await source.take(BLOCK);
    if (block === undefined) break;
    if (block.every((byte) => byte === 0)) break;
    const header = headerOf(block);
    const size = about.size ?? header.size;
    if (!Number.isSafeInteger(size) || size < 0) throw new Error("the archive is damaged");
    if ("LKxg".includes(header.type)) {
      about = { ...about, ...said(header.type, await source.exactly(size, ABOUT_BYTES_MAX)) };
      continue;
    }
    entries += 1;
    if (entries > ENTRIES_MAX) throw new Error(`the archive has more than ${ENTRIES_MAX} entries`);
    const named = { ...header, name: about.name ?? header.name, to: about.to ?? header.to, size };
    about = {};
    await unpack(source, named, into);
  }
  if (entries === 0) throw new Error("the archive has no entries");
}

async function unpack(source: Source, { name, type, to, mode, size }: Header, into: string): Promise<void> {
  const target = placeOf(into, name);
  try {
    switch (type) {
      case "0":
      case "7":
        mkdirSync(dirname(target), { recursive: true });
        await source.write(target, size);
        if (mode & 0o111) chmodSync(target, 0o755);
        return;
      case "5":
        mkdirSync(target, { recursive: true });
        return;
      case "1":
        // One file with two names is as good as two files.
        mkdirSync(dirname(target), { recursive: true });
        copyFileSync(placeOf(into, to), target);
        return;
      case "2":
        link(into, target, to);
        return;
      default:
        throw new Error(`it is of a type that is not supported (${type})`);
    }
  } catch (thrown) {
    if (thrown instanceof Damaged) throw thrown;
    throw new Error(`the archive's entry "${name}" cannot be unpacked: ${(thrown as Error).message}`);
  }
}

/** @throws Error when its sum differs: it is none */
function headerOf(block: Buffer): Header {
  let sum = 0;
  for (const [i, byte] of block.entries()) sum += i >= 148 && i < 156 ? 0x20 : byte;
  if (sum !== octal(block.subarray(148, 156))) throw new Damaged("the archive is damaged, or is no tar archive");
  const prefix = block.toString("latin1", 257, 263) === "ustar\0" ? text(block.subarray(345, 500)) : "";
  const name = text(block.subarray(0, 100));
  const type = block.toString("latin1", 156, 157);
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    mode: octal(block.subarray(100, 108)),
    size: octal(block.subarray(124, 136)),
    // A file of old tars; with a slash at its end it is a folder.
    type: type === "\0" ? (name.endsWith("/") ? "5" : "0") : type,
    to: text(block.subarray(157, 257)),
  };
}

/** What an entry that has no file says of the next one. */
function said(type: string, content: Buffer): { name?: string; to?: string; size?: number } {
  if (type === "L") return { name: text(content) };
  if (type === "K") return { to: text(content) };
  if (type === "g") return {}; // of all entries: dates and the like
  const about: { name?: string; to?: string; size?: number } = {};
  // "27 path=some/where\n", the number counting the whole line.
  for (let at = 0; at < content.length;) {
    const space = content.indexOf(0x20, at);
    const length = space < 0 ? NaN : Number(content.toString("latin1", at, space));
    if (!(length > space - at && at + length <= content.length)) throw new Damaged("the archive is damaged");
    const line = content.toString("utf8", space + 1, at + length - 1);
    const equals = line.indexOf("=");
    const value = line.slice(equals + 1);
    switch (line.slice(0, equals)) {
      case "path":
        about.name = value;
        break;
      case "linkpath":
        about.to = value;
        break;
      case "size":
        about.size = Number(value);
    }
    at += length;
  }
  return about;
}

function text(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end < 0 ? field.length : end);
}

/** Digits, or GNU's bytes of a number that needs more. */
function octal(field: Buffer): number {
  if ((field[0] ?? 0) & 0x80) return field.subarray(1).reduce((value, byte) => value * 256 + byte, 0);
  const digits = field
    .toString("latin1")
    .replace(/[\0 ]+$/, "")
    .trim();
  if (!/^[0-7]*$/.test(digits)) throw new Damaged("the archive is damaged");
  return digits === "" ? 0 : parseInt(digits, 8);
}

class Damaged extends Error {}

/** What comes out of the packed bytes, as it is asked for. */
class Source {
  readonly #gunzip = createGunzip();
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);
  #total = 0;

  constructor(
    packed: Buffer,
    private readonly unpackedMax: number,
  ) {
    this.#gunzip.end(packed);
    this.#chunks = this.#gunzip[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  /** So many bytes; undefined at the end. */
  async take(bytes: number): Promise<Buffer | undefined> {
    while (this.#rest.length < bytes) {
      const more = await this.#more();
      if (more === undefined) {
        if (this.#rest.length > 0) throw new Damaged("the archive is cut off");
        return undefined;
      }
      this.#rest = this.#rest.length === 0 ? more : Buffer.concat([this.#rest, more]);
    }
    const taken = this.#rest.subarray(0, bytes);
    this.#rest = this.#rest.subarray(bytes);
    return taken;
  }

  /** The content of an entry and what fills its last block. */
  async exactly(bytes: number, max: number): Promise<Buffer> {
    if (bytes > max) throw new Damaged("the archive is damaged");
    const content = await this.take(Math.ceil(bytes / BLOCK) * BLOCK);
    if (content === undefined && bytes > 0) throw new Damaged("the archive is cut off");
    return Buffer.from((content ?? Buffer.alloc(0)).subarray(0, bytes));
  }

  /** Writes the content of an entry to a file. */
  async write(path: string, bytes: number): Promise<void> {
    if (bytes > this.unpackedMax) throw this.#tooLarge();
    const file = openSync(path, "w", 0o644);
    try {
      let left = bytes;
      while (left > 0) {
        if (this.#rest.length === 0) this.#rest = (await this.#more()) ?? Buffer.alloc(0);
        if (this.#rest.length === 0) throw new Damaged("the archive is cut off");
        const piece = this.#rest.subarray(0, left);
        for (let at = 0; at < piece.length;) at += writeSync(file, piece, at);
        left -= piece.length;
        this.#rest = this.#rest.subarray(piece.length);
      }
    } finally {
      closeSync(file);
    }
    const filling = (BLOCK - (bytes % BLOCK)) % BLOCK;
    if (filling > 0) await this.take(filling);
  }

  /** Reads what fills the archive up, to the sum at its end, which shows whether all of it is whole. */
  async finish(): Promise<void> {
    while ((await this.#more()) !== undefined);
  }

  close(): void {
    this.#gunzip.destroy();
  }

  async #more(): Promise<Buffer | undefined> {
    let next: IteratorResult<Buffer>;
    try {
      next = await this.#chunks.next();
    } catch (thrown) {
      throw new Damaged(`the archive is damaged: ${(thrown as Error).message}`);
    }
    if (next.done) return undefined;
    this.#total += next.value.length;
    if (this.#total > this.unpackedMax) throw this.#tooLarge();
    return next.value;
  }

  #tooLarge(): Damaged {
    return new Damaged(`the archive unpacks to more than ${this.unpackedMax} bytes`);
  }
}
