// Rows for COPY in its binary format, and the query that sends them. Postgres takes a row that is copied for half of what
// an inserted one costs it: pages are filled and logged as a whole. What COPY cannot do is to pass over a row that is
// there already: then nothing is copied, and the caller inserts.

import { Query, type Connection } from "pg";

/** Of a message of the protocol: what it is, and how long. */
const PREFIX_BYTES = 5;
const COPY_DATA = 0x64;
/** "That was all", as a whole message. */
const COPY_DONE = Buffer.from([0x63, 0, 0, 0, 4]);
/** "PGCOPY", what tells a transfer that changed bytes, no flags, no extension. */
const HEAD = Buffer.from("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", "latin1");
const END_OF_ROWS = -1;
const END_BYTES = 2;
const NULL_LENGTH = -1;
const FIRST_BYTES = 64 * 1024;
/** What is sent in one message to Postgres, unless one row is larger. */
const CHUNK_BYTES = 512 * 1024;
/** A buffer that one large row needed is not kept. */
const KEPT_BYTES_MAX = 1024 * 1024;
/** Bytes of a UTF-16 unit in UTF-8, at most. */
const UNIT_BYTES = 3;

/**
 * Writes rows of a fixed number of fields, as messages of Postgres' protocol. Its buffer is used again for the next
 * rows: fresh ones of this size, per batch, made full garbage collections twice a second.
 */
export class CopyRows {
  #chunk = Buffer.allocUnsafe(FIRST_BYTES);
  #at = 0;
  #messages: Buffer[] = [];
  #blockFrom = 0;
  #blockTo = 0;

  constructor(private readonly fields: number) {}

  /** Begins anew. Nothing that `finish` returned before is needed any more. */
  begin(): void {
    if (this.#chunk.length > KEPT_BYTES_MAX) this.#chunk = Buffer.allocUnsafe(FIRST_BYTES);
    this.#messages = [];
    this.#blockFrom = this.#blockTo = 0;
    this.#at = PREFIX_BYTES + HEAD.copy(this.#chunk, PREFIX_BYTES);
  }

  /** Begins a row. @param bytes that its fields take at most, as `textRoom` and the sizes of the others say */
  row(bytes: number): void {
    if (this.#at >= CHUNK_BYTES) this.#cut();
    const needed = this.#at + bytes + 2 + 4 * this.fields + END_BYTES + COPY_DONE.length;
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

  /** What to send. It may be written over after the next `begin`. */
  finish(): readonly Buffer[] {
    this.#at = this.#chunk.writeInt16BE(END_OF_ROWS, this.#at);
    const end = this.#at;
    this.#at += COPY_DONE.copy(this.#chunk, this.#at);
    return [...this.#messages, this.#message(end, this.#at)];
  }

  #cut(): void {
    this.#messages.push(this.#message(this.#at, this.#at));
    this.#chunk = Buffer.allocUnsafe(this.#chunk.length);
    this.#at = PREFIX_BYTES;
    this.#blockFrom = this.#blockTo = 0;
  }

  /** @param end of the rows @param until where what is sent ends */
  #message(end: number, until: number): Buffer {
    this.#chunk[0] = COPY_DATA;
    this.#chunk.writeInt32BE(end - 1, 1); // the length counts itself, and not what the message is
    return this.#chunk.subarray(0, until);
  }

  #length(length: number): void {
    this.#at = this.#chunk.writeInt32BE(length, this.#at);
  }
}

/** Bytes that a text takes at most. */
export function textRoom(value: string): number {
  return value.length * UNIT_BYTES;
}

/** `copy ... from stdin (format binary)` with everything that is to be copied. */
export class CopyIn extends Query {
  /** @param messages that `CopyRows.finish` returned; pg would copy what it is given twice, so they are written past it */
  constructor(
    text: string,
    private readonly messages: readonly Buffer[],
    done: (error: Error | undefined) => void,
  ) {
    super({ text }, done);
  }

  /** Called by pg when Postgres is ready for the rows. */
  handleCopyInResponse(connection: Connection): void {
    for (const message of this.messages) connection.stream.write(message);
  }
}
