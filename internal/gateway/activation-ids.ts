import type { Random } from "../base/random.js";

const ID_BYTES = 16;
const TIME_BYTES = 6;
const CHANCE_BYTES = ID_BYTES - TIME_BYTES;
/** Random bytes are drawn for this many ids at once: a draw of ten bytes costs ten times as much as copying them. */
const IDS_PER_DRAW = 512;

/** Activation ids as bytes, the same as `newActivationId` makes: milliseconds since 1970, then chance. */
export class ActivationIds {
  #pool: Uint8Array = new Uint8Array();
  #at = 0;

  constructor(private readonly random: Random) {}

  next(wallMs: number): Uint8Array {
    if (this.#at >= this.#pool.length) {
      this.#pool = this.random.bytes(IDS_PER_DRAW * CHANCE_BYTES);
      this.#at = 0;
    }
    const id = Buffer.allocUnsafe(ID_BYTES);
    id.writeUIntBE(Math.floor(wallMs), 0, TIME_BYTES);
    const pool = this.#pool;
    for (let i = TIME_BYTES; i < ID_BYTES; i++) id[i] = pool[this.#at++] as number;
    return id;
  }
}
