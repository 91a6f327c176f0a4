import type { RawOutput } from "../core/sandbox/driver.js";

/** Bytes of the header before each piece: stream, three zeros, length big-endian. */
const HEADER_BYTES = 8;

/** Takes Docker's two streams in one apart. Pieces are handed on as they come, in parts if need be. */
export class RawStreamParser {
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  #left = 0;
  #stream: RawOutput["stream"] = "stdout";

  constructor(private readonly onOutput: (output: RawOutput) => void) {}

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left === 0) {
        const wanted = Math.min(HEADER_BYTES - this.#headerBytes, chunk.length - at);
        this.#header.set(chunk.subarray(at, at + wanted), this.#headerBytes);
        this.#headerBytes += wanted;
        at += wanted;
        if (this.#headerBytes < HEADER_BYTES) return;
        this.#headerBytes = 0;
        this.#stream = this.#header[0] === 2 ? "stderr" : "stdout";
        this.#left = this.#header.readUInt32BE(4);
        continue;
      }
      const part = Math.min(this.#left, chunk.length - at);
      this.onOutput({ stream: this.#stream, bytes: chunk.subarray(at, at + part) });
      this.#left -= part;
      at += part;
    }
  }
}
