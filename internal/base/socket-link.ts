import { toWeftError } from "./errors.js";
import { FRAME_BYTES_MAX, FrameParser, frameOf } from "./frame.js";

/** Framed messages over a local socket, without promises: the way to a sandbox is walked once per activation. */
export interface MessageLink {
  /** @returns false when the socket is full; what was given is kept and sent all the same */
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

export class SocketLink implements MessageLink {
  onMessage: (message: Uint8Array) => void = () => {};
  /** Why it ended, when it was not a plain end. */
  failure: string | undefined;
  readonly closed: Promise<void>;
  #over = false;

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
    if (this.socket.writableLength > BACKLOG_BYTES_MAX) {
      this.#fail("the sandbox does not read what it is sent");
      return false;
    }
    return this.socket.write(frameOf(message));
  }

  close(): void {
    this.#over = true;
    this.socket.destroy();
  }

  #fail(why: string): void {
    this.failure ??= why;
    this.close();
  }
}
