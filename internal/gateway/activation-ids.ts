import type { Random } from "../base/random.js";

const ID_BYTES = 16;
const TIME_BYTES = 6;

/** An activation id as bytes, the same as `newActivationId` makes: milliseconds since 1970, then chance. */
export function newIdBytes(random: Random, wallMs: number): Uint8Array {
  const id = Buffer.allocUnsafe(ID_BYTES);
  id.writeUIntBE(Math.floor(wallMs), 0, TIME_BYTES);
  id.set(random.bytes(ID_BYTES - TIME_BYTES), TIME_BYTES);
  return id;
}
