import type { Random } from "../../base/random.js";

const ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const LENGTH = 32;

/** Ids that begin so are the platform's own; a client may not choose one. */
const RESERVED = "sid_";

/**
 * The transaction id of a request: what the client asked for, unless it is reserved or could not be sent back in a
 * header, else 32 random letters and digits.
 */
export function requestId(asked: string | undefined, random: Random): string {
  if (asked !== undefined && asked !== "" && !asked.startsWith(RESERVED) && /^[\x20-\x7e]+$/.test(asked)) return asked;
  let id = "";
  // 248 is the largest multiple of 62 below 256: what is above would make some characters more likely.
  while (id.length < LENGTH) {
    for (const byte of random.bytes(LENGTH * 2 - id.length)) {
      if (byte < 248 && id.length < LENGTH) id += ALPHABET.charAt(byte % ALPHABET.length);
    }
  }
  return id;
}
