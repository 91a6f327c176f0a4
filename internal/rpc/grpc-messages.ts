// gRPC's framing of messages on a stream: a flag, a length, the message.

import { status as Code } from "@grpc/grpc-js";

/** Compressed or not, and how long. */
export const PREFIX_BYTES = 5;

/** What ends a call whose messages cannot be read. */
export class UnreadableMessage extends Error {
  constructor(
    readonly code: Code,
    message: string,
  ) {
    super(message);
  }
}

export class MessageReader {
  #chunks: Buffer[] = [];
  #received = 0;

  constructor(private readonly bytesMax: number) {}

  /**
   * Takes what arrived and hands over the messages that are complete, until told to stop.
   * @param onMessage returns false when no more are wanted
   * @throws UnreadableMessage; nothing can be read after it
   */
  read(chunk: Buffer, onMessage: (message: Buffer) => boolean): void {
    let all = chunk;
    if (this.#chunks.length > 0) {
      this.#chunks.push(chunk);
      this.#received += chunk.length;
      const [first] = this.#chunks;
      // The prefix is nearly always in the first piece; a long message is put together once.
      if (first && first.length >= PREFIX_BYTES && this.#received < PREFIX_BYTES + first.readUInt32BE(1)) return;
      all = Buffer.concat(this.#chunks, this.#received);
      this.#chunks = [];
    }
    let at = 0;
    while (all.length - at >= PREFIX_BYTES) {
      if (all[at] !== 0) {
        throw new UnreadableMessage(Code.INTERNAL, "a message is compressed although the call names no compression");
      }
      const size = all.readUInt32BE(at + 1);
      if (size > this.bytesMax) {
        throw new UnreadableMessage(
          Code.RESOURCE_EXHAUSTED,
          `Received message larger than max (${size} vs ${this.bytesMax})`,
        );
      }
      const end = at + PREFIX_BYTES + size;
      if (end > all.length) break;
      if (!onMessage(all.subarray(at + PREFIX_BYTES, end))) return;
      at = end;
    }
    if (at < all.length) {
      this.#chunks.push(at === 0 ? all : all.subarray(at));
      this.#received = all.length - at;
    }
  }

  /** True in the middle of a message. */
  get partial(): boolean {
    return this.#chunks.length > 0;
  }
}

export function messagePrefix(size: number): Buffer {
  const prefix = Buffer.allocUnsafe(PREFIX_BYTES);
  prefix[0] = 0;
  prefix.writeUInt32BE(size, 1);
  return prefix;
}
