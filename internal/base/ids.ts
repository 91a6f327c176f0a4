import { WeftError } from "./errors.js";
import type { Random } from "./random.js";

/** A string that is an id of one noun and does not mix with others. */
export type Branded<Name extends string> = string & { readonly __brand: Name };

/** 32 lower-case hex characters: 16 bytes on the wire. */
export type ActivationId = Branded<"ActivationId">;

export function newActivationId(random: Random): ActivationId {
  return bytesToHex(random.bytes(16)) as ActivationId;
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
