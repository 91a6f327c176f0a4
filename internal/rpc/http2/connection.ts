// One HTTP/2 connection of a client, shared by two servers. Streams that somebody takes are served here, at a fraction of
// what node:http2 and grpc-js cost per stream. Everything else of the protocol is left to them: they see, over a pipe
// within the process (`inner`), a client that opens the other streams only.
//
//   C1. Settings, pings and GOAWAYs are the inner server's: they pass, but for what C2 and C4 say.
//   C2. Header blocks to the client refer to no dynamic table, so blocks of both servers may follow each other. The inner
//       server is told that the client's table has size 0. Blocks from the client are decoded here, all of them, in order.
//   C3. The inner server is shown a window of the connection that is not above the client's (#innerWindow); what it sends
//       within that waits when streams served here used the real one up (#held).
//   C4. A GOAWAY names the highest stream taken by either server: a client may send what is above it once more.
//   C5. Streams served here that were answered but not ended by the client count against STREAMS_MAX until they are.

import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { TurnFlush } from "../../base/turn-flush.js";
import {
  CLIENT_PREFACE,
  ErrorCode,
  Flag,
  FRAME_BYTES_DEFAULT,
  FRAME_HEADER_BYTES,
  FrameReader,
  FrameTooLarge,
  FrameType,
  frame,
  goAway,
  headersFrames,
  resetStream,
  Setting,
  unpadded,
  WINDOW_BYTES_DEFAULT,
  WINDOW_BYTES_MAX,
  windowUpdate,
  type Frame,
} from "./frames.js";
import { CompressionError, encodeHeaders, HeaderDecoder, NO_TABLE, type HeaderField } from "./hpack.js";
import { ServedStream, type StreamUser } from "./served-stream.js";

/** Tells the inner server who the client is: its socket is a pipe. What a client says under this name is dropped. */
export const PEER_HEADER = "weft-peer";
/** Streams of one connection that are served here at once; a client with more is told to wait (REFUSED_STREAM). */
export const STREAMS_MAX = 10_000;
/** Bytes of one header block, and the frames it may come in: no sane client sends more. */
const BLOCK_BYTES_MAX = 128 * 1024;
const BLOCK_FRAMES_MAX = 64;
/** Received bytes that are acknowledged together. */
const CONNECTION_ACK_BYTES = 32 * 1024;
/** Answers of one turn that are copied into one buffer; more are written as they are. */
const GATHERED_BYTES_MAX = 64 * 1024;
/** What may wait in the socket before the inner server is held up. */
const SOCKET_BYTES_MAX = 1024 * 1024;

/** Decides whether a stream is served here. @returns undefined to leave it to the inner server */
export type Take = (fields: readonly HeaderField[]) => ((stream: ServedStream) => StreamUser) | undefined;

export class Http2Connection {
  readonly peer: string;
  /** Of the connection, as the client granted it. */
  sendWindow = WINDOW_BYTES_DEFAULT;
  /** Of new streams. */
  streamWindow = WINDOW_BYTES_DEFAULT;
  frameBytesMax = FRAME_BYTES_DEFAULT;
  onClosed: () => void = () => {};
  /** What no client should be able to bring about; the connection ends. */
  onBug: (thrown: unknown) => void = () => {};

  readonly #fromClient = new FrameReader(FRAME_BYTES_DEFAULT);
  readonly #fromInner = new FrameReader(0xff_ffff);
  readonly #decoder = new HeaderDecoder();
  readonly #served = new Map<number, ServedStream>();
  /** Streams of the inner server, and which sides have ended: CLIENT_ENDED, SERVER_ENDED. */
  readonly #innerStreams = new Map<number, number>();
  readonly #inner: InnerSocket;

  #preface: Buffer | undefined = Buffer.alloc(0);
  #block: { readonly stream: number; readonly endStream: boolean; readonly parts: Buffer[]; bytes: number } | undefined;
  #highest = 0;
  #highestServed = 0;
  /** Streams above it are not taken any more. */
  #lastStream = Infinity;
  #toldSettings = false;
  #innerSaidSettings = false;
  #innerWindow = WINDOW_BYTES_DEFAULT;
  #held: Frame[] = [];
  #unacknowledged = 0;
  #innerOver = false;
  #over = false;
  /** True until a header block was sent by a stream served here. */
  fresh = true;

  #out: Buffer[] = [];
  #outBytes = 0;
  readonly #turn = new TurnFlush(() => this.#flush());
  readonly #blocked = new Set<ServedStream>();

  constructor(
    private readonly socket: Socket,
    private readonly take: Take,
    inject: (inner: Duplex) => void,
  ) {
    this.peer = socket.remoteAddress === undefined ? "unknown" : `${socket.remoteAddress}:${socket.remotePort ?? 0}`;
    socket.setNoDelay(true);
    this.#inner = new InnerSocket(this);
    this.#inner.on("error", () => {}); // of a client that goes on after it said that it would not
    inject(this.#inner);
    socket.on("data", this.#onData);
    socket.on("drain", this.#onDrain);
    socket.on("end", () => this.#inner.push(null));
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => this.#closed());
  }

  /** Ends it at once. */
  destroy(): void {
    this.socket.destroy();
  }

  /** True when more should wait. */
  get congested(): boolean {
    return this.#outBytes + this.socket.writableLength > GATHERED_BYTES_MAX * 4;
  }

  // ---- for the streams served here ----

  write(bytes: Buffer): void {
    if (this.#over) return;
    this.#out.push(bytes);
    this.#outBytes += bytes.length;
    this.#turn.schedule();
  }

  /** @returns the block as the first of the connection: a client whose table is smaller than usual waits for word of it */
  firstBlock(block: Buffer): Buffer {
    if (!this.fresh) return block;
    this.fresh = false;
    return Buffer.concat([NO_TABLE, block]);
  }

  /** It waits for the connection's window, or for the socket. */
  block(stream: ServedStream): void {
    this.#blocked.add(stream);
  }

  forget(stream: ServedStream): void {
    this.#served.delete(stream.id);
    this.#blocked.delete(stream);
    this.#endWhenDone();
  }

  // ---- from the client ----

  readonly #onData = (chunk: Buffer): void => {
    let bytes = chunk;
    if (this.#preface) {
      bytes = this.#preface.length === 0 ? chunk : Buffer.concat([this.#preface, chunk]);
      const size = Math.min(bytes.length, CLIENT_PREFACE.length);
      if (!bytes.subarray(0, size).equals(CLIENT_PREFACE.subarray(0, size))) {
        this.socket.destroy(); // no HTTP/2: nothing can be said that it would understand
        return;
      }
      this.#preface = size < CLIENT_PREFACE.length ? bytes : undefined;
      if (this.#preface) return;
      this.#inner.push(CLIENT_PREFACE);
      bytes = bytes.subarray(CLIENT_PREFACE.length);
    }
    try {
      this.#fromClient.read(bytes, this.#onClientFrame);
    } catch (thrown) {
      if (thrown instanceof CompressionError) this.#fail(ErrorCode.COMPRESSION_ERROR, thrown.message);
      else if (thrown instanceof FrameTooLarge) this.#fail(ErrorCode.FRAME_SIZE_ERROR, thrown.message);
      else {
        this.onBug(thrown);
        this.#fail(ErrorCode.INTERNAL_ERROR, "internal error");
      }
    }
  };

  readonly #onClientFrame = (read: Frame): void => {
    if (this.#over) return;
    const { type, stream } = read;
    if (this.#block && (type !== FrameType.CONTINUATION || stream !== this.#block.stream)) {
      this.#fail(ErrorCode.PROTOCOL_ERROR, "a header block is not complete");
      return;
    }
    switch (type) {
      case FrameType.HEADERS:
      case FrameType.CONTINUATION:
        this.#onHeaders(read);
        return;
      case FrameType.DATA:
        this.#onStreamData(read);
        return;
      case FrameType.RST_STREAM:
        this.#onReset(read);
        return;
      case FrameType.WINDOW_UPDATE:
        this.#onWindowUpdate(read);
        return;
      case FrameType.SETTINGS:
        this.#onSettings(read);
        return;
      default:
        this.#inner.push(read.whole);
    }
  };

  #onHeaders(read: Frame): void {
    const { type, flags, stream } = read;
    const part = unpadded(read);
    if (!part || stream === 0 || stream % 2 === 0) {
      this.#fail(ErrorCode.PROTOCOL_ERROR, "a frame of headers is malformed");
      return;
    }
    if (type === FrameType.HEADERS) {
      const endStream = (flags & Flag.END_STREAM) !== 0;
      if (flags & Flag.END_HEADERS) {
        this.#headers(stream, part, endStream);
        return;
      }
      this.#block = { stream, endStream, parts: [part], bytes: part.length };
      return;
    }
    const block = this.#block;
    if (!block) {
      this.#fail(ErrorCode.PROTOCOL_ERROR, "a continuation of nothing");
      return;
    }
    block.parts.push(part);
    block.bytes += part.length;
    if (block.bytes > BLOCK_BYTES_MAX || block.parts.length > BLOCK_FRAMES_MAX) {
      this.#fail(ErrorCode.ENHANCE_YOUR_CALM, "a header block is too large");
      return;
    }
    if ((flags & Flag.END_HEADERS) === 0) return;
    this.#block = undefined;
    this.#headers(stream, Buffer.concat(block.parts), block.endStream);
  }

  #headers(id: number, block: Buffer, endStream: boolean): void {
    const fields = this.#decoder.decode(block); // also of streams that are over: the table must follow (C2)
    const served = this.#served.get(id);
    if (served) {
      // Trailers.
      if (endStream && !served.remoteEnded) served.ended();
      else this.#fail(ErrorCode.PROTOCOL_ERROR, "headers come twice");
      return;
    }
    if (id > this.#highest) {
      this.#highest = id;
      if (id > this.#lastStream) {
        this.write(resetStream(id, ErrorCode.REFUSED_STREAM));
        return;
      }
      const user = this.#innerOver ? undefined : this.take(fields);
      if (user) {
        this.#serve(id, user, endStream);
        return;
      }
      this.#innerStreams.set(id, 0);
    } else if (!this.#innerStreams.has(id)) return; // of a stream that was reset while they were on their way
    const told = fields.filter(({ name }) => name !== PEER_HEADER);
    if (fields[0]?.name.startsWith(":")) told.push({ name: PEER_HEADER, value: this.peer, malformed: false });
    for (const part of headersFrames(id, encodeHeaders(told), endStream)) this.#inner.push(part);
    if (endStream) this.#innerEnded(id, CLIENT_ENDED);
  }

  #serve(id: number, use: (stream: ServedStream) => StreamUser, endStream: boolean): void {
    if (this.#served.size >= STREAMS_MAX) {
      this.write(resetStream(id, ErrorCode.REFUSED_STREAM));
      return;
    }
    this.#highestServed = id;
    const stream = new ServedStream(this, id);
    this.#served.set(id, stream);
    stream.user = use(stream);
    if (endStream) stream.ended();
  }

  #onStreamData(read: Frame): void {
    const { flags, stream: id, whole } = read;
    const served = this.#served.get(id);
    if (!served && this.#innerStreams.has(id)) {
      this.#inner.push(whole);
      if (flags & Flag.END_STREAM) this.#innerEnded(id, CLIENT_ENDED);
      return;
    }
    if (id === 0 || id > this.#highest) {
      this.#fail(ErrorCode.PROTOCOL_ERROR, "data of no stream");
      return;
    }
    this.#unacknowledged += whole.length - FRAME_HEADER_BYTES;
    if (this.#unacknowledged >= CONNECTION_ACK_BYTES) {
      this.write(windowUpdate(0, this.#unacknowledged));
      this.#unacknowledged = 0;
    }
    if (!served) return; // it was reset while this was on its way
    const data = unpadded(read);
    if (!data) this.#fail(ErrorCode.PROTOCOL_ERROR, "there is more padding than data");
    else if (served.remoteEnded) served.reset(ErrorCode.STREAM_CLOSED);
    else served.received(data, whole.length - FRAME_HEADER_BYTES, (flags & Flag.END_STREAM) !== 0);
  }

  #onReset(read: Frame): void {
    const { stream: id, whole } = read;
    const served = this.#served.get(id);
    if (whole.length !== FRAME_HEADER_BYTES + 4) this.#fail(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM has four bytes");
    else if (served) served.lost();
    else if (this.#innerStreams.delete(id)) this.#inner.push(whole);
    else if (id === 0 || id > this.#highest) this.#fail(ErrorCode.PROTOCOL_ERROR, "a reset of no stream");
  }

  #onWindowUpdate(read: Frame): void {
    const { stream: id, whole } = read;
    if (whole.length !== FRAME_HEADER_BYTES + 4) {
      this.#fail(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE has four bytes");
      return;
    }
    const bytes = whole.readUInt32BE(FRAME_HEADER_BYTES) & WINDOW_BYTES_MAX;
    if (id === 0) {
      this.sendWindow += bytes;
      if (bytes === 0) this.#fail(ErrorCode.PROTOCOL_ERROR, "a window grows by nothing");
      else if (this.sendWindow > WINDOW_BYTES_MAX) this.#fail(ErrorCode.FLOW_CONTROL_ERROR, "a window is too large");
      else this.#windowGrew();
      return;
    }
    const served = this.#served.get(id);
    if (served) {
      if (bytes === 0) served.reset(ErrorCode.PROTOCOL_ERROR);
      else if (served.sendWindow + bytes > WINDOW_BYTES_MAX) served.reset(ErrorCode.FLOW_CONTROL_ERROR);
      else served.grant(bytes);
    } else if (this.#innerStreams.has(id)) this.#inner.push(whole);
    else if (id > this.#highest) this.#fail(ErrorCode.PROTOCOL_ERROR, "a window of no stream");
  }

  /** C3 */
  #windowGrew(): void {
    if (this.sendWindow > this.#innerWindow) {
      this.#inner.push(windowUpdate(0, this.sendWindow - this.#innerWindow));
      this.#innerWindow = this.sendWindow;
    }
    const held = this.#held;
    this.#held = [];
    for (const one of held) this.#fromInnerStream(one);
    this.#wake();
  }

  #onSettings(read: Frame): void {
    const { flags, stream, whole } = read;
    const size = whole.length - FRAME_HEADER_BYTES;
    if (flags & Flag.ACK || stream !== 0 || size % SETTING_BYTES !== 0) {
      this.#inner.push(whole); // which says what is wrong with it
      return;
    }
    const told: Buffer[] = [];
    for (let at = FRAME_HEADER_BYTES; at < whole.length; at += SETTING_BYTES) {
      const value = whole.readUInt32BE(at + 2);
      switch (whole.readUInt16BE(at)) {
        case Setting.HEADER_TABLE_SIZE:
          continue; // C2
        case Setting.INITIAL_WINDOW_SIZE:
          if (value <= WINDOW_BYTES_MAX) this.#resizeWindows(value);
          break;
        case Setting.MAX_FRAME_SIZE:
          if (value >= FRAME_BYTES_DEFAULT && value <= 0xff_ffff) this.frameBytesMax = value;
          break;
      }
      told.push(whole.subarray(at, at + SETTING_BYTES));
    }
    if (!this.#toldSettings) told.push(NO_TABLE_SETTING);
    this.#toldSettings = true;
    this.#inner.push(frame(FrameType.SETTINGS, 0, 0, Buffer.concat(told)));
    this.#wake();
  }

  #resizeWindows(bytes: number): void {
    const more = bytes - this.streamWindow;
    this.streamWindow = bytes;
    for (const stream of this.#served.values()) stream.grant(more);
  }

  // ---- from the inner server ----

  fromInner(chunk: Buffer): void {
    if (!this.#over) this.#fromInner.read(chunk, this.#onInnerFrame);
  }

  /** Calls back when the socket has room. */
  whenTaken(taken: () => void): void {
    if (this.#outBytes + this.socket.writableLength <= SOCKET_BYTES_MAX || this.#over) taken();
    else this.#taken = taken;
  }
  #taken: (() => void) | undefined;

  readonly #onInnerFrame = (sent: Frame): void => {
    switch (sent.type) {
      case FrameType.DATA:
      case FrameType.HEADERS:
      case FrameType.CONTINUATION:
      case FrameType.RST_STREAM:
        this.#fromInnerStream(sent);
        return;
      case FrameType.SETTINGS:
        this.#innerSaidSettings = true;
        break;
      case FrameType.GOAWAY: {
        // C4
        const last = Math.max(sent.whole.readUInt32BE(FRAME_HEADER_BYTES) & WINDOW_BYTES_MAX, this.#highestServed);
        this.#lastStream = last;
        const rewritten = Buffer.from(sent.whole);
        rewritten.writeUInt32BE(last, FRAME_HEADER_BYTES);
        this.write(rewritten);
        if (rewritten.readUInt32BE(FRAME_HEADER_BYTES + 4) !== ErrorCode.NO_ERROR) this.#cutOff();
        return;
      }
    }
    this.write(sent.whole);
  };

  #fromInnerStream(sent: Frame): void {
    const { type, flags, stream, whole } = sent;
    if (this.#held.length > 0) {
      this.#held.push(sent);
      return;
    }
    if (type === FrameType.DATA) {
      const bytes = whole.length - FRAME_HEADER_BYTES;
      const room = Math.min(bytes, this.sendWindow);
      this.sendWindow -= room;
      this.#innerWindow -= room;
      if (room < bytes) {
        // What there is room for leaves: a client may wait for it before it grants more.
        const cut = FRAME_HEADER_BYTES + room;
        if (room > 0) this.write(frame(type, 0, stream, whole.subarray(FRAME_HEADER_BYTES, cut)));
        this.#held.push({ type, flags, stream, whole: frame(type, flags, stream, whole.subarray(cut)) });
        return;
      }
    }
    this.write(whole);
    if (type === FrameType.RST_STREAM) this.#innerStreams.delete(stream);
    else if (type !== FrameType.CONTINUATION && flags & Flag.END_STREAM) this.#innerEnded(stream, SERVER_ENDED);
  }

  #innerEnded(id: number, side: number): void {
    const ended = (this.#innerStreams.get(id) ?? 0) | side;
    if (ended === (CLIENT_ENDED | SERVER_ENDED)) this.#innerStreams.delete(id);
    else this.#innerStreams.set(id, ended);
  }

  /** It has no more to say: the connection ends when the streams served here have. */
  innerOver(): void {
    if (this.#innerOver) return;
    this.#innerOver = true;
    this.#lastStream = Math.min(this.#lastStream, this.#highest);
    this.#endWhenDone();
  }

  // ---- to the client ----

  #flush(): void {
    // HTTP/2 begins with the server's settings.
    if (this.#over || !this.#innerSaidSettings || this.#outBytes === 0) return;
    const [out, bytes] = [this.#out, this.#outBytes];
    this.#out = [];
    this.#outBytes = 0;
    const { socket } = this;
    if (out.length === 1) socket.write(out[0] as Buffer);
    else if (bytes <= GATHERED_BYTES_MAX) socket.write(Buffer.concat(out, bytes));
    else {
      socket.cork();
      for (const one of out) socket.write(one);
      socket.uncork();
    }
    if (socket.writableLength === 0) this.#onDrain();
  }

  readonly #onDrain = (): void => {
    const taken = this.#taken;
    this.#taken = undefined;
    taken?.();
    this.#wake();
  };

  #wake(): void {
    if (this.#blocked.size === 0) return;
    const blocked = [...this.#blocked];
    this.#blocked.clear();
    for (const stream of blocked) stream.wake();
  }

  // ---- the end ----

  #endWhenDone(): void {
    if (!this.#innerOver || this.#over || this.#served.size > 0) return;
    this.#flush();
    this.socket.end();
  }

  /** Ends the connection because of what the client did. */
  #fail(code: number, why: string): void {
    if (this.#over) return;
    this.write(goAway(this.#highest, code, why));
    this.#cutOff();
  }

  /** Sends what was written, and ends whether or not the client ends its side. */
  #cutOff(): void {
    this.#innerSaidSettings = true;
    this.#flush();
    this.#over = true;
    this.socket.destroySoon();
  }

  #closed(): void {
    this.#over = true;
    this.#inner.destroy();
    for (const stream of [...this.#served.values()]) stream.lost();
    this.#served.clear();
    this.#held = [];
    this.#out = [];
    this.#taken?.();
    this.#taken = undefined;
    this.onClosed();
  }
}

const CLIENT_ENDED = 1;
const SERVER_ENDED = 2;
const SETTING_BYTES = 6;
/** HEADER_TABLE_SIZE = 0 */
const NO_TABLE_SETTING = Buffer.of(0, Setting.HEADER_TABLE_SIZE, 0, 0, 0, 0);

/** The inner server's end of the pipe. */
class InnerSocket extends Duplex {
  constructor(private readonly connection: Http2Connection) {
    super({ allowHalfOpen: false });
  }

  /** What the client sends is bounded by the windows that the inner server grants it. */
  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.connection.fromInner(chunk);
    this.connection.whenTaken(done);
  }

  override _final(done: () => void): void {
    this.connection.innerOver();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.connection.innerOver();
    done(error);
  }
}
