// One stream of a connection that is served without node:http2: what arrives goes to its user at once, what is sent
// keeps to the client's windows.

import type { Http2Connection } from "./connection.js";
import {
  Flag,
  FRAME_BYTES_DEFAULT,
  FRAME_HEADER_BYTES,
  FrameType,
  headersFrames,
  resetStream,
  windowUpdate,
  writeFrameHeader,
} from "./frames.js";

/** Who serves a stream. */
export interface StreamUser {
  onData(bytes: Buffer): void;
  /** The client sends no more. */
  onEnd(): void;
  /** The client gave it up, or the connection is lost, or this side reset it. Not called once both sides have ended. */
  onLost(): void;
  /** More may be written. */
  onDrain(): void;
}

/** Received bytes of one stream that are acknowledged together. */
const STREAM_ACK_BYTES = 16 * 1024;

export class ServedStream {
  user: StreamUser = NOBODY;
  sendWindow: number;
  remoteEnded = false;
  #ended = false;
  #unacknowledged = 0;
  /** What waits for a window. */
  #waiting: Buffer[] | undefined;
  /** The trailers that end it once nothing waits. */
  #last: Buffer | undefined;
  #wantsDrain = false;

  constructor(
    private readonly connection: Http2Connection,
    readonly id: number,
  ) {
    this.sendWindow = connection.streamWindow;
  }

  get peer(): string {
    return this.connection.peer;
  }

  /** False once this side ended it, or the client gave it up. */
  get open(): boolean {
    return !this.#ended;
  }

  /** @param block of encodeHeaders */
  sendHeaders(block: Buffer, endStream = false): void {
    if (this.#ended) return;
    for (const frame of headersFrames(this.id, this.connection.firstBlock(block), endStream)) {
      this.connection.write(frame);
    }
    if (endStream) this.#finished();
  }

  /** @returns false when nothing more should be written until onDrain */
  send(bytes: Buffer): boolean {
    if (this.#ended) return false;
    if (this.#waiting) this.#waiting.push(bytes);
    else {
      const rest = this.#sendNow(bytes);
      if (rest) {
        this.#waiting = [rest];
        this.connection.block(this);
      }
    }
    if (!this.#waiting && !this.connection.congested) return true;
    this.#wantsDrain = true;
    this.connection.block(this);
    return false;
  }

  /** Headers, one piece of data and trailers in one go: what a unary answer is. The data is copied. */
  answer(headers: Buffer, prefix: Buffer, data: Uint8Array, trailers: Buffer): void {
    if (this.#ended) return;
    const { connection, id } = this;
    const size = prefix.length + data.length;
    const room = Math.min(this.sendWindow, connection.sendWindow, connection.frameBytesMax);
    if (size > room || headers.length > FRAME_BYTES_DEFAULT || connection.fresh) {
      this.sendHeaders(headers);
      this.send(prefix);
      this.send(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
      this.end(trailers);
      return;
    }
    this.sendWindow -= size;
    connection.sendWindow -= size;
    const whole = Buffer.allocUnsafe(3 * FRAME_HEADER_BYTES + headers.length + size + trailers.length);
    let at = writeFrameHeader(whole, 0, headers.length, FrameType.HEADERS, Flag.END_HEADERS, id);
    whole.set(headers, at);
    at = writeFrameHeader(whole, at + headers.length, size, FrameType.DATA, 0, id);
    whole.set(prefix, at);
    whole.set(data, at + prefix.length);
    at = writeFrameHeader(whole, at + size, trailers.length, FrameType.HEADERS, LAST, id);
    whole.set(trailers, at);
    connection.write(whole);
    this.#finished();
  }

  /** Ends it after what waits. @param trailers of encodeHeaders */
  end(trailers: Buffer): void {
    if (this.#waiting) this.#last = trailers;
    else this.sendHeaders(trailers, true);
  }

  /** Gives it up. */
  reset(code: number): void {
    if (this.#ended && this.remoteEnded) return;
    const { user } = this;
    this.#forget();
    this.connection.write(resetStream(this.id, code));
    user.onLost();
  }

  // ---- for the connection ----

  received(data: Buffer, counted: number, endStream: boolean): void {
    if (!endStream) {
      this.#unacknowledged += counted;
      if (this.#unacknowledged >= STREAM_ACK_BYTES) {
        this.connection.write(windowUpdate(this.id, this.#unacknowledged));
        this.#unacknowledged = 0;
      }
    }
    if (data.length > 0 && !this.#ended) this.user.onData(data);
    if (endStream) this.ended();
  }

  ended(): void {
    this.remoteEnded = true;
    if (this.#ended) this.connection.forget(this);
    this.user.onEnd();
  }

  lost(): void {
    const { user } = this;
    this.#forget();
    user.onLost();
  }

  grant(bytes: number): void {
    this.sendWindow += bytes;
    if (bytes > 0) this.wake();
  }

  /** A window grew, or the socket has room. */
  wake(): void {
    const waiting = this.#waiting;
    while (waiting?.length) {
      const rest = this.#sendNow(waiting[0] as Buffer);
      if (rest) {
        waiting[0] = rest;
        this.connection.block(this);
        return;
      }
      waiting.shift();
    }
    this.#waiting = undefined;
    if (this.#last) this.sendHeaders(this.#last, true);
    else if (this.#wantsDrain) {
      if (this.connection.congested) {
        this.connection.block(this);
        return;
      }
      this.#wantsDrain = false;
      this.user.onDrain();
    }
  }

  /** @returns what no window has room for */
  #sendNow(bytes: Buffer): Buffer | undefined {
    const { connection } = this;
    let at = 0;
    while (at < bytes.length) {
      const room = Math.min(this.sendWindow, connection.sendWindow, connection.frameBytesMax, bytes.length - at);
      if (room <= 0) return bytes.subarray(at);
      const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
      writeFrameHeader(header, 0, room, FrameType.DATA, 0, this.id);
      connection.write(header);
      connection.write(bytes.subarray(at, at + room));
      this.sendWindow -= room;
      connection.sendWindow -= room;
      at += room;
    }
    return undefined;
  }

  /** This side is through. */
  #finished(): void {
    this.#ended = true;
    if (this.remoteEnded) this.connection.forget(this);
  }

  #forget(): void {
    this.#ended = true;
    this.remoteEnded = true;
    this.#waiting = undefined;
    this.#last = undefined;
    this.user = NOBODY;
    this.connection.forget(this);
  }
}

const LAST = Flag.END_HEADERS | Flag.END_STREAM;

const NOBODY: StreamUser = { onData() {}, onEnd() {}, onLost() {}, onDrain() {} };
