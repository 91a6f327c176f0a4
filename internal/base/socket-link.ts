import { toWeftError } from "./errors.js";
import { FRAME_BYTES_MAX, FrameParser, frameOf, writeFrame } from "./frame.js";
import { TurnFlush } from "./turn-flush.js";

/** Framed messages over a local socket, without promises: the way to a sandbox is walked once per activation. */
export interface MessageLink {
  /**
   * The message is copied: whoever sends may write over it. It leaves at the end of the present callback, or with others
   * of the same turn of the event loop when that ends.
   * @returns false when the socket is full; what was given is kept and sent all the same
   */
  send(message: Uint8Array): boolean;
  onMessage: (message: Uint8Array) => void;
  /** Resolves when either side ended it. Never rejects. */
  readonly closed: Promise<void>;
  close(): void;
}

/** What is needed of a node:net socket. */
export interface ByteSocket {
  write(bytes: Uint8Array): boolean;
  destroy(): unknown;
  on(event: "data", listener: (chunk: Buffer) => void): unknown;
  on(event: "close", listener: () => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  readonly writableLength: number;
}

/** What may wait for a sandbox that does not read: one largest message and as much again. */
const BACKLOG_BYTES_MAX = 2 * FRAME_BYTES_MAX;
/** Messages that are gathered; a larger one is written by itself. */
const GATHER_BYTES = 64 * 1024;
const FRAME_HEAD_BYTES = 4;
/** Most links carry little: a buffer begins with this. */
const GATHER_BYTES_FIRST = 4 * 1024;

export class SocketLink implements MessageLink {
  onMessage: (message: Uint8Array) => void = () => {};
  /** Why it ended, when it was not a plain end. */
  failure: string | undefined;
  readonly closed: Promise<void>;
  #over = false;
  #gather = Buffer.allocUnsafeSlow(GATHER_BYTES_FIRST);
  #gathered = 0;
  readonly #turn = new TurnFlush(() => this.#flush());

  constructor(private readonly socket: ByteSocket) {
    const parser = new FrameParser((frame) => this.onMessage(frame));
    socket.on("data", (chunk) => {
      if (this.#over) return;
      try {
        parser.push(chunk);
      } catch (thrown) {
        this.#fail(toWeftError(thrown).message);
      }
    });
    socket.on("error", (error) => {
      this.failure ??= error.message; // "close" follows
    });
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.#over = true;
        resolve();
      });
    });
  }

  send(message: Uint8Array): boolean {
    if (this.#over) return false;
    const waiting = this.socket.writableLength;
    if (waiting > BACKLOG_BYTES_MAX) {
      this.#fail("the sandbox does not read what it is sent");
      return false;
    }
    const size = FRAME_HEAD_BYTES + message.length;
    if (this.#gathered + size > this.#gather.length) this.#makeRoom(size);
    if (size > GATHER_BYTES) return this.socket.write(frameOf(message));
    this.#gathered = writeFrame(this.#gather, this.#gathered, message);
    this.#turn.schedule();
    return waiting === 0;
  }

  #makeRoom(size: number): void {
    if (this.#gathered + size > GATHER_BYTES) this.#flush();
    if (size > GATHER_BYTES || this.#gather.length >= GATHER_BYTES) return;
    const larger = Buffer.allocUnsafeSlow(GATHER_BYTES);
    this.#gather.copy(larger, 0, 0, this.#gathered);
    this.#gather = larger;
  }

  #flush(): void {
    if (this.#gathered === 0 || this.#over) return;
    const bytes = this.#gather.subarray(0, this.#gathered);
    this.#gathered = 0;
    if (this.socket.writableLength > 0) {
      this.socket.write(Buffer.from(bytes)); // it waits: with no more than it is
      return;
    }
    this.socket.write(bytes);
    // What the kernel has not taken is still in there.
    if (this.socket.writableLength > 0) this.#gather = Buffer.allocUnsafeSlow(GATHER_BYTES_FIRST);
  }

  close(): void {
    this.#flush();
    this.#over = true;
    this.socket.destroy();
  }

  #fail(why: string): void {
    this.failure ??= why;
    this.close();
  }
}
