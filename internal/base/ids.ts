import { WeftError } from "./errors.js";
import type { Random } from "./random.js";

/** A string that is an id of one noun and does not mix with others. */
export type Branded<Name extends string> = string & { readonly __brand: Name };

/** 32 lower-case hex characters: 16 bytes on the wire. */
export type ActivationId = Branded<"ActivationId">;

/**
 * An id that sorts by when it was made: 6 bytes of milliseconds since 1970, then 10 random bytes. The store keeps records
 * in a partition per day and finds an id's day in the id itself, so that an id is unique over all of them.
 * @param wallMs when the activation was accepted
 */
export function newActivationId(random: Random, wallMs: number): ActivationId {
  return (Math.floor(wallMs).toString(16).padStart(12, "0") + bytesToHex(random.bytes(10))) as ActivationId;
}

/** @throws invalidArgument when it is not 32 hex characters */
export function parseActivationId(text: string): ActivationId {
  if (text.length !== 32) {
    throw new WeftError(
      "invalidArgument",
      "BAD_ACTIVATION_ID",
      `activation id length is ${text.length} but must be 32`,
      { fields: [{ field: "activation_id", description: "32 hex characters" }] },
    );
  }
  if (!/^[0-9a-f]{32}$/i.test(text)) {
    throw new WeftError("invalidArgument", "BAD_ACTIVATION_ID", "the activation id is not valid: it must be hex", {
      fields: [{ field: "activation_id", description: "32 hex characters" }],
    });
  }
  return text.toLowerCase() as ActivationId;
}

/** Random per process start: tells one life of a process from the next. 16 hex characters. */
export function newBootId(random: Random): string {
  return bytesToHex(random.bytes(8));
}

export function bytesToHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

export function hexToBytes(hex: string): Uint8Array {
  return Buffer.from(hex, "hex");
}
