// Rows for COPY in its binary format, and the query that sends them. Postgres takes a row that is copied for half of what
// an inserted one costs it: pages are filled and logged as a whole. What COPY cannot do is to pass over a row that is
// there already: then nothing is copied, and the caller inserts.

import { Query, type Connection } from "pg";

/** "PGCOPY", what tells a transfer that changed bytes, no flags, no extension. */
const HEAD = Buffer.from("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", "latin1");
const END_OF_ROWS = -1;
const NULL_LENGTH = -1;
const FIRST_BYTES = 64 * 1024;
/** What is sent in one message to Postgres, unless one row is larger. */
const CHUNK_BYTES = 512 * 1024;
/** Bytes of a UTF-16 unit in UTF-8, at most. */
const UNIT_BYTES = 3;

/** Writes rows of a fixed number of fields. */
export class CopyRows {
  #chunk = Buffer.allocUnsafe(FIRST_BYTES);
  #at = HEAD.copy(this.#chunk);
  readonly #chunks: Buffer[] = [];
  #blockFrom = 0;
  #blockTo = 0;

  constructor(private readonly fields: number) {}

  /** Begins a row. @param bytes that its fields take at most, as `textRoom` and the sizes of the others say */
  row(bytes: number): void {
    if (this.#at >= CHUNK_BYTES) this.#cut();
    const needed = this.#at + bytes + 2 + 4 * this.fields;
    if (needed > this.#chunk.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, 2 * this.#chunk.length));
      this.#chunk.copy(grown, 0, 0, this.#at);
      this.#chunk = grown;
    }
    this.#at = this.#chunk.writeInt16BE(this.fields, this.#at);
  }

  /** @param hex of 16 bytes */
  uuid(hex: string | undefined): void {
    if (hex === undefined) {
      this.#length(NULL_LENGTH);
      return;
    }
    this.#length(16);
    this.#at += this.#chunk.write(hex, this.#at, "hex");
  }

  int8(value: number): void {
    this.#length(8);
    const whole = Math.round(value);
    const high = Math.floor(whole / 2 ** 32);
    this.#at = this.#chunk.writeInt32BE(high, this.#at);
    this.#at = this.#chunk.writeUInt32BE(whole - high * 2 ** 32, this.#at);
  }

  int4(value: number | undefined): void {
    if (value === undefined) {
      this.#length(NULL_LENGTH);
      return;
    }
    this.#length(4);
    this.#at = this.#chunk.writeInt32BE(Math.round(value), this.#at);
  }

  int2(value: number | undefined): void {
    if (value === undefined) {
      this.#length(NULL_LENGTH);
      return;
    }
    this.#length(2);
    this.#at = this.#chunk.writeInt16BE(value, this.#at);
  }

  bool(value: boolean): void {
    this.#length(1);
    this.#chunk[this.#at++] = value ? 1 : 0;
  }

  text(value: string): void {
    const bytes = this.#chunk.write(value, this.#at + 4);
    this.#length(bytes);
    this.#at += bytes;
  }

  /** Fields from here to `endBlock` may come again. */
  beginBlock(): void {
    this.#blockFrom = this.#at;
  }

  endBlock(): void {
    this.#blockTo = this.#at;
  }

  /** The fields of the last block once more. @returns false when there is none: write them */
  again(): boolean {
    if (this.#blockTo === 0) return false;
    this.#chunk.copyWithin(this.#at, this.#blockFrom, this.#blockTo);
    this.#at += this.#blockTo - this.#blockFrom;
    return true;
  }

  /** What to send. Nothing is written afterwards. */
  finish(): readonly Buffer[] {
    const end = Buffer.allocUnsafe(2);
    end.writeInt16BE(END_OF_ROWS);
    return [...this.#chunks, this.#chunk.subarray(0, this.#at), end];
  }

  #cut(): void {
    this.#chunks.push(this.#chunk.subarray(0, this.#at));
    this.#chunk = Buffer.allocUnsafe(this.#chunk.length);
    this.#at = this.#blockFrom = this.#blockTo = 0;
  }

  #length(length: number): void {
    this.#at = this.#chunk.writeInt32BE(length, this.#at);
  }
}

/** Bytes that a text takes at most. */
export function textRoom(value: string): number {
  return value.length * UNIT_BYTES;
}

/** The part of pg's connection that its types leave out. */
interface CopyConnection extends Connection {
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

/** `copy ... from stdin (format binary)` with everything that is to be copied. */
export class CopyIn extends Query {
  constructor(
    text: string,
    private readonly chunks: readonly Buffer[],
    done: (error: Error | undefined) => void,
  ) {
    super({ text }, done);
  }

  /** Called by pg when Postgres is ready for the rows. */
  handleCopyInResponse(connection: CopyConnection): void {
    for (const chunk of this.chunks) connection.sendCopyFromChunk(chunk);
    connection.endCopyFrom();
  }
}
