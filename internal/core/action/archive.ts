// Which archives an action's code may come in: zip, and tar packed with gzip. An executable counts as one: it is no text.

import { constants, gunzipSync } from "node:zlib";
import { UNPACKED_BYTES_MAX, zipProblem } from "./zip.js";

/** Families that take a program that the machine runs as it is, besides. */
const EXECUTABLE_FAMILIES: readonly string[] = ["native", "go", "rust"];
/** Of the packed bytes: enough for the first header of a tar archive, and little work whatever it unpacks to. */
const HEAD_BYTES = 4_096;
/** Header, data of nothing, end: less is no gzip file. */
const GZIP_BYTES_MIN = 18;
const TAR_BLOCK = 512;

/** An archive is one whatever its name; nothing that is a program's source begins so. */
export function isArchive(code: Uint8Array): boolean {
  return isZip(code) || isGzip(code) || isExecutable(code);
}

/**
 * @param family of the kind, for example "nodejs"; undefined when it is not known: then whatever some kind takes is right
 * @returns what is wrong with an archive, or undefined
 */
export function archiveProblem(code: Uint8Array, family: string | undefined): string | undefined {
  if (isExecutable(code) && (family === undefined || EXECUTABLE_FAMILIES.includes(family))) return undefined;
  return isGzip(code) ? tarProblem(code) : zipProblem(code);
}

/** Its beginning and its end are looked at; the runtime reads the rest when it unpacks. */
function tarProblem(code: Uint8Array): string | undefined {
  if (code.length < GZIP_BYTES_MIN) return "is a damaged archive: it is cut off";
  let head: Buffer;
  try {
    // Flushed early, it does not mind that more would follow.
    head = gunzipSync(code.subarray(0, HEAD_BYTES), { finishFlush: constants.Z_SYNC_FLUSH });
  } catch (thrown) {
    return `is a damaged archive: ${(thrown as Error).message}`;
  }
  if (head.length < TAR_BLOCK || sumOf(head) !== saidSum(head)) return "is packed with gzip but is no tar archive";
  const unpacked = Buffer.from(code.buffer, code.byteOffset, code.byteLength).readUInt32LE(code.length - 4);
  return unpacked > UNPACKED_BYTES_MAX ? `would unpack to more than ${UNPACKED_BYTES_MAX} bytes` : undefined;
}

/** Of a tar header, with blanks where it stands itself. */
function sumOf(header: Buffer): number {
  let sum = 0;
  for (let i = 0; i < TAR_BLOCK; i++) sum += i >= 148 && i < 156 ? 0x20 : (header[i] ?? 0);
  return sum;
}

function saidSum(header: Buffer): number {
  return parseInt(header.toString("latin1", 148, 156), 8);
}

/** PK\3\4, and PK\5\6 for an empty one. */
export function isZip(code: Uint8Array): boolean {
  return code.length >= 4 && code[0] === 0x50 && code[1] === 0x4b && (code[2] ?? 0) < 8;
}

function isGzip(code: Uint8Array): boolean {
  return code.length >= 3 && code[0] === 0x1f && code[1] === 0x8b && code[2] === 8;
}

export function isExecutable(code: Uint8Array): boolean {
  return code.length >= 4 && code[0] === 0x7f && code[1] === 0x45 && code[2] === 0x4c && code[3] === 0x46;
}
