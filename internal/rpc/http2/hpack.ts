// HPACK, RFC 7541: reads header blocks as any peer writes them; writes them in the plainest form, which leaves no state
// at the peer, so that blocks of different writers can follow each other on one connection.

import { huffmanDecode } from "./huffman.js";

export interface HeaderField {
  readonly name: string;
  readonly value: string;
  /** True for what HTTP/2 allows no field to look like: capitals or odd characters in a name, NUL or line ends in a value. */
  readonly malformed: boolean;
}

/** Size of the dynamic table that peers may use: HTTP/2's default. */
export const HEADER_TABLE_BYTES = 4096;
/** What an entry counts beyond its text (RFC 7541 4.1). */
const ENTRY_OVERHEAD_BYTES = 32;
/** Largest header list that is read, counted as above: a connection whose peer sends more is ended. */
export const HEADER_LIST_BYTES_MAX = 64 * 1024;

const NAME = /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const NOT_IN_VALUES = /[\0\r\n]/;

/** What ends a connection: after it the tables of both sides may differ. */
export class CompressionError extends Error {}

export class HeaderDecoder {
  /** A ring: the newest entry is at #newest. Entries have 32 bytes at least, so their number is bounded. */
  readonly #entries = new Array<HeaderField | undefined>(HEADER_TABLE_BYTES / ENTRY_OVERHEAD_BYTES);
  #newest = 0;
  #count = 0;
  #bytes = 0;
  #bytesMax = HEADER_TABLE_BYTES;
  #at = 0;

  /** @throws CompressionError */
  decode(block: Buffer): HeaderField[] {
    const fields: HeaderField[] = [];
    let listBytes = 0;
    this.#at = 0;
    while (this.#at < block.length) {
      const first = block[this.#at] as number;
      let field: HeaderField;
      if (first >= 0x80) field = this.#entry(this.#integer(block, 7));
      else if (first >= 0x40) {
        field = this.#literal(block, 6);
        this.#insert(field);
      } else if (first >= 0x20) {
        this.#resize(this.#integer(block, 5), fields.length);
        continue;
      } else field = this.#literal(block, 4);
      listBytes += sizeOf(field);
      if (listBytes > HEADER_LIST_BYTES_MAX) throw new CompressionError("the header list is too large");
      fields.push(field);
    }
    return fields;
  }

  #integer(block: Buffer, prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = (block[this.#at++] as number) & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = block[this.#at++];
      if (byte === undefined) throw new CompressionError("a header block ends within a number");
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new CompressionError("a number in a header block is too large");
  }

  #literal(block: Buffer, prefixBits: number): HeaderField {
    const index = this.#integer(block, prefixBits);
    const known = index === 0 ? undefined : this.#entry(index);
    const name = known ? known.name : this.#string(block);
    const value = this.#string(block);
    const malformed = (known ? known.malformed : !NAME.test(name)) || NOT_IN_VALUES.test(value);
    return { name, value, malformed };
  }

  #string(block: Buffer): string {
    const first = block[this.#at];
    if (first === undefined) throw new CompressionError("a header block ends within a field");
    const from = this.#integerAfter(block);
    const to = this.#at;
    if (to > block.length) throw new CompressionError("a header block ends within a string");
    if (first < 0x80) return block.toString("latin1", from, to);
    const text = huffmanDecode(block, from, to);
    if (text === undefined) throw new CompressionError("a string in a header block is not in its code");
    return text;
  }

  /** Reads a length and steps over what it counts. @returns where that begins */
  #integerAfter(block: Buffer): number {
    const length = this.#integer(block, 7);
    const from = this.#at;
    this.#at += length;
    return from;
  }

  #entry(index: number): HeaderField {
    if (index <= STATIC_TABLE.length) {
      const field = STATIC_TABLE[index - 1];
      if (field) return field;
    } else {
      const age = index - STATIC_TABLE.length - 1;
      const entries = this.#entries;
      const field = age < this.#count ? entries[(this.#newest + age) % entries.length] : undefined;
      if (field) return field;
    }
    throw new CompressionError(`a header block names entry ${index}, which is not there`);
  }

  #insert(field: HeaderField): void {
    const size = sizeOf(field);
    this.#evict(this.#bytesMax - size);
    if (size > this.#bytesMax) return;
    const entries = this.#entries;
    this.#newest = (this.#newest + entries.length - 1) % entries.length;
    entries[this.#newest] = field;
    this.#count += 1;
    this.#bytes += size;
  }

  #resize(bytesMax: number, fieldsBefore: number): void {
    if (fieldsBefore > 0) throw new CompressionError("a table size comes after a field");
    if (bytesMax > HEADER_TABLE_BYTES) throw new CompressionError(`a table size is above ${HEADER_TABLE_BYTES}`);
    this.#bytesMax = bytesMax;
    this.#evict(bytesMax);
  }

  #evict(bytesLeft: number): void {
    const entries = this.#entries;
    while (this.#bytes > bytesLeft && this.#count > 0) {
      this.#count -= 1;
      const oldest = (this.#newest + this.#count) % entries.length;
      this.#bytes -= sizeOf(entries[oldest] as HeaderField);
      entries[oldest] = undefined;
    }
  }
}

/** A header block that refers to no dynamic table and leaves nothing in one. */
export function encodeHeaders(fields: readonly Pick<HeaderField, "name" | "value">[]): Buffer {
  const parts: Buffer[] = [];
  for (const { name, value } of fields) {
    const whole = STATIC_TABLE.findIndex((entry) => entry.name === name && entry.value === value && value !== "");
    if (whole >= 0) {
      parts.push(encodeInteger(0x80, 0x7f, whole + 1));
      continue;
    }
    const named = STATIC_TABLE.findIndex((entry) => entry.name === name);
    // Never indexed, also by who forwards it: it may be a key.
    parts.push(encodeInteger(0x10, 0x0f, named + 1));
    if (named < 0) parts.push(encodeString(name));
    parts.push(encodeString(value));
  }
  return Buffer.concat(parts);
}

function encodeString(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return Buffer.concat([encodeInteger(0, 0x7f, bytes.length), bytes]);
}

function encodeInteger(pattern: number, mask: number, value: number): Buffer {
  if (value < mask) return Buffer.of(pattern | value);
  const bytes = [pattern | mask];
  for (let rest = value - mask; ; rest >>>= 7) {
    if (rest < 0x80) {
      bytes.push(rest);
      return Buffer.from(bytes);
    }
    bytes.push((rest & 0x7f) | 0x80);
  }
}

/** An update of the table's size to nothing: allowed before any block, and what a peer with a smaller table waits for. */
export const NO_TABLE = Buffer.of(0x20);

function sizeOf({ name, value }: HeaderField): number {
  return name.length + value.length + ENTRY_OVERHEAD_BYTES;
}

/** RFC 7541 appendix A. */
const STATIC_TABLE: readonly HeaderField[] = [
  [":authority"],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset"],
  ["accept-encoding", "gzip, deflate"],
  ["accept-language"],
  ["accept-ranges"],
  ["accept"],
  ["access-control-allow-origin"],
  ["age"],
  ["allow"],
  ["authorization"],
  ["cache-control"],
  ["content-disposition"],
  ["content-encoding"],
  ["content-language"],
  ["content-length"],
  ["content-location"],
  ["content-range"],
  ["content-type"],
  ["cookie"],
  ["date"],
  ["etag"],
  ["expect"],
  ["expires"],
  ["from"],
  ["host"],
  ["if-match"],
  ["if-modified-since"],
  ["if-none-match"],
  ["if-range"],
  ["if-unmodified-since"],
  ["last-modified"],
  ["link"],
  ["location"],
  ["max-forwards"],
  ["proxy-authenticate"],
  ["proxy-authorization"],
  ["range"],
  ["referer"],
  ["refresh"],
  ["retry-after"],
  ["server"],
  ["set-cookie"],
  ["strict-transport-security"],
  ["transfer-encoding"],
  ["user-agent"],
  ["vary"],
  ["via"],
  ["www-authenticate"],
].map(([name = "", value = ""]) => ({ name, value, malformed: false }));
