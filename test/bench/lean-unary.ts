// A client of one unary rpc that costs little: frames of HTTP/2 written and read as they are, everything of a turn in one
// write. Where it measures one side, a client as lean has to measure the other.

import { status as Code } from "@grpc/grpc-js";
import { connect, type Socket } from "node:net";
import { messagePrefix } from "../../internal/rpc/grpc-messages.js";
import {
  CLIENT_PREFACE,
  Flag,
  frame,
  FRAME_BYTES_DEFAULT,
  FRAME_HEADER_BYTES,
  FrameReader,
  FrameType,
  headersFrames,
  Setting,
  unpadded,
  WINDOW_BYTES_DEFAULT,
  WINDOW_BYTES_MAX,
  windowUpdate,
  type Frame,
} from "../../internal/rpc/http2/frames.js";
import { encodeHeaders, HeaderDecoder } from "../../internal/rpc/http2/hpack.js";

/** The server may send so much before it is told that it was read. */
const RECEIVE_BYTES = 16 * 1024 * 1024;

export class LeanUnary {
  readonly #socket: Socket;
  readonly #reader = new FrameReader(FRAME_BYTES_DEFAULT);
  readonly #decoder = new HeaderDecoder();
  /** Calls in flight, by stream. */
  readonly #calls = new Map<number, (failure: string | undefined) => void>();
  /** Calls that wait for the server's window. */
  readonly #queued: ((failure: string | undefined) => void)[] = [];
  readonly #request: Buffer;
  readonly #bodyBytes: number;
  readonly #headersBytes: number;
  #stream = -1;
  #sendWindow = WINDOW_BYTES_DEFAULT;
  #unreported = 0;
  #out: Buffer[] = [];
  #failure: string | undefined;

  /** Each call sends this message with these headers. */
  constructor(address: string, path: string, headers: Readonly<Record<string, string>>, message: Buffer) {
    const fields = { ":method": "POST", ":scheme": "http", ":path": path, ":authority": address, te: "trailers" };
    const all = { ...fields, "content-type": "application/grpc", ...headers };
    const block = encodeHeaders(Object.entries(all).map(([name, value]) => ({ name, value })));
    const body = Buffer.concat([messagePrefix(message.length), message]);
    if (block.length > FRAME_BYTES_DEFAULT || body.length > FRAME_BYTES_DEFAULT) {
      throw new Error("a call of this client has to fit into two frames");
    }
    const head = Buffer.concat(headersFrames(0, block, false));
    this.#headersBytes = head.length;
    this.#bodyBytes = body.length;
    this.#request = Buffer.concat([head, frame(FrameType.DATA, Flag.END_STREAM, 0, body)]);

    const [host = "", port = ""] = address.split(":");
    this.#socket = connect(Number(port), host).setNoDelay(true);
    this.#socket.on("data", (chunk) => this.#received(chunk));
    this.#socket.on("error", (error) => this.#end(error.message));
    this.#socket.on("close", () => this.#end("the connection ended"));
    const window = Buffer.alloc(6);
    window.writeUInt16BE(Setting.INITIAL_WINDOW_SIZE);
    window.writeUInt32BE(RECEIVE_BYTES, 2);
    this.#out.push(CLIENT_PREFACE, frame(FrameType.SETTINGS, 0, 0, window), windowUpdate(0, RECEIVE_BYTES));
    this.#flush();
  }

  send(done: (failure: string | undefined) => void): void {
    if (this.#failure !== undefined) {
      done(this.#failure);
      return;
    }
    if (this.#sendWindow < this.#bodyBytes) {
      this.#queued.push(done);
      return;
    }
    this.#sendWindow -= this.#bodyBytes;
    this.#stream += 2;
    this.#calls.set(this.#stream, done);
    const request = Buffer.from(this.#request);
    request.writeUInt32BE(this.#stream, 5);
    request.writeUInt32BE(this.#stream, this.#headersBytes + 5);
    if (this.#out.length === 0) queueMicrotask(() => this.#flush());
    this.#out.push(request);
  }

  close(): void {
    this.#socket.destroy();
  }

  #flush(): void {
    if (this.#out.length === 0) return;
    this.#socket.write(this.#out.length === 1 ? (this.#out[0] as Buffer) : Buffer.concat(this.#out));
    this.#out = [];
  }

  #received(chunk: Buffer): void {
    try {
      this.#reader.read(chunk, (one) => this.#frame(one));
    } catch (thrown) {
      this.#end(String(thrown));
      this.#socket.destroy();
      return;
    }
    if (this.#unreported > RECEIVE_BYTES / 2) {
      this.#out.push(windowUpdate(0, this.#unreported));
      this.#unreported = 0;
    }
    this.#flush();
  }

  #frame(one: Frame): void {
    const { type, flags, stream, whole } = one;
    switch (type) {
      case FrameType.HEADERS: {
        if (!(flags & Flag.END_HEADERS)) throw new Error("a header block of several frames");
        const block = unpadded(one);
        if (!block) throw new Error("a frame with more padding than payload");
        const fields = this.#decoder.decode(block);
        if (!(flags & Flag.END_STREAM)) return;
        const said = (name: string): string | undefined => fields.find((field) => field.name === name)?.value;
        const code = said("grpc-status");
        this.#over(stream, code === String(Code.OK) ? undefined : `status ${code}: ${said("grpc-message") ?? ""}`);
        return;
      }
      case FrameType.DATA:
        this.#unreported += whole.length - FRAME_HEADER_BYTES;
        return;
      case FrameType.SETTINGS:
        if (!(flags & Flag.ACK)) this.#out.push(frame(FrameType.SETTINGS, Flag.ACK, 0, Buffer.alloc(0)));
        return;
      case FrameType.PING:
        if (!(flags & Flag.ACK)) {
          this.#out.push(frame(FrameType.PING, Flag.ACK, 0, Buffer.from(whole.subarray(FRAME_HEADER_BYTES))));
        }
        return;
      case FrameType.WINDOW_UPDATE:
        if (stream !== 0) return;
        this.#sendWindow += whole.readUInt32BE(FRAME_HEADER_BYTES) & WINDOW_BYTES_MAX;
        for (const done of this.#queued.splice(0)) this.send(done);
        return;
      case FrameType.RST_STREAM:
        this.#over(stream, `the stream was reset: ${whole.readUInt32BE(FRAME_HEADER_BYTES)}`);
        return;
      case FrameType.GOAWAY:
        this.#end("the server goes away");
        return;
      default:
        if (type === FrameType.CONTINUATION) throw new Error("a header block of several frames");
    }
  }

  #over(stream: number, failure: string | undefined): void {
    const done = this.#calls.get(stream);
    this.#calls.delete(stream);
    done?.(failure);
  }

  #end(why: string): void {
    this.#failure ??= why;
    const left = [...this.#calls.values(), ...this.#queued.splice(0)];
    this.#calls.clear();
    for (const done of left) done(this.#failure);
  }
}
