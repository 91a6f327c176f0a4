// Length-prefixed frames over a byte stream: 4 bytes big-endian, then that many bytes.

import { WeftError } from "./errors.js";

/** Largest frame: the largest code (48 MiB) with its envelope, with room. */
export const FRAME_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Cuts chunks into frames. A frame that lies inside one chunk is handed on as a view of it; a longer one is gathered in
 * a buffer that is allocated once.
 */
export class FrameParser {
  readonly #header = Buffer.alloc(4);
  #headerBytes = 0;
  #frame: Buffer | undefined;
  #filled = 0;

  constructor(private readonly onFrame: (frame: Uint8Array) => void) {}

  /** @throws invalidArgument for a frame above the limit: the stream is not usable any more */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (!this.#frame) {
        // The common case: head and frame lie in this chunk.
        if (this.#headerBytes === 0 && chunk.length - at >= 4) {
          const size =
            (((chunk[at] as number) << 24) |
              ((chunk[at + 1] as number) << 16) |
              ((chunk[at + 2] as number) << 8) |
              (chunk[at + 3] as number)) >>>
            0;
          if (chunk.length - at - 4 >= size && size <= FRAME_BYTES_MAX) {
            at += 4 + size;
            this.onFrame(chunk.subarray(at - size, at));
            continue;
          }
        }
        const wanted = Math.min(4 - this.#headerBytes, chunk.length - at);
        this.#header.set(chunk.subarray(at, at + wanted), this.#headerBytes);
        this.#headerBytes += wanted;
        at += wanted;
        if (this.#headerBytes < 4) return;
        this.#headerBytes = 0;
        const size = this.#header.readUInt32BE(0);
        if (size > FRAME_BYTES_MAX) {
          throw new WeftError(
            "invalidArgument",
            "FRAME_TOO_LARGE",
            `a frame of ${size} bytes exceeds ${FRAME_BYTES_MAX}`,
          );
        }
        if (chunk.length - at >= size) {
          this.onFrame(chunk.subarray(at, at + size));
          at += size;
          continue;
        }
        this.#frame = Buffer.allocUnsafe(size);
        this.#filled = 0;
      }
      const frame = this.#frame;
      const part = Math.min(frame.length - this.#filled, chunk.length - at);
      frame.set(chunk.subarray(at, at + part), this.#filled);
      this.#filled += part;
      at += part;
      if (this.#filled === frame.length) {
        this.#frame = undefined;
        this.onFrame(frame);
      }
    }
  }
}

/** A frame ready to be written. */
export function frameOf(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(4 + message.length);
  writeFrame(frame, 0, message);
  return frame;
}

/** Writes a frame where there is room for it. @returns where it ends */
export function writeFrame(into: Buffer, at: number, message: Uint8Array): number {
  into.writeUInt32BE(message.length, at);
  into.set(message, at + 4);
  return at + 4 + message.length;
}
