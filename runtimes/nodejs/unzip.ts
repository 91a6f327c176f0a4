// Reads zip archives: enough of the format for what zip, 7z and npm tools write (stored and deflated entries), and
// strict about what could harm: names that leave the directory, more bytes than declared, more bytes than allowed.

import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { inflateRawSync } from "node:zlib";
import { ENTRIES_MAX, link, placeOf, UNPACKED_BYTES_MAX } from "./place.js";

const END_OF_DIRECTORY = 0x06054b50;
const DIRECTORY_ENTRY = 0x02014b50;
const LOCAL_ENTRY = 0x04034b50;
/** Of a Unix mode: the type of file, and the one of symbolic links. */
const LINK_MASK = 0o170000;
const LINK = 0o120000;

/** Unpacks into a directory. @throws Error that says what is wrong with the archive */
export function unzip(archive: Buffer, into: string): void {
  let end = -1;
  for (let at = archive.length - 22; at >= 0 && at >= archive.length - 22 - 0xffff; at--) {
    if (archive.readUInt32LE(at) === END_OF_DIRECTORY) {
      end = at;
      break;
    }
  }
  if (end < 0) throw new Error("the code is not a zip archive");
  const count = archive.readUInt16LE(end + 10);
  if (count > ENTRIES_MAX) throw new Error(`the archive has ${count} entries; at most ${ENTRIES_MAX} are allowed`);
  let at = archive.readUInt32LE(end + 16);
  let total = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > archive.length || archive.readUInt32LE(at) !== DIRECTORY_ENTRY)
      throw new Error("the archive is damaged");
    const method = archive.readUInt16LE(at + 10);
    const packed = archive.readUInt32LE(at + 20);
    const unpacked = archive.readUInt32LE(at + 24);
    const nameLength = archive.readUInt16LE(at + 28);
    const extraLength = archive.readUInt16LE(at + 30);
    const commentLength = archive.readUInt16LE(at + 32);
    const mode = archive.readUInt32LE(at + 38) >>> 16;
    const local = archive.readUInt32LE(at + 42);
    const name = archive.toString("utf8", at + 46, at + 46 + nameLength);
    at += 46 + nameLength + extraLength + commentLength;

    const target = placeOf(into, name);
    if (name.endsWith("/")) {
      mkdirSync(target, { recursive: true });
      continue;
    }
    total += unpacked;
    if (total > UNPACKED_BYTES_MAX) throw new Error(`the archive unpacks to more than ${UNPACKED_BYTES_MAX} bytes`);
    if (local + 30 > archive.length || archive.readUInt32LE(local) !== LOCAL_ENTRY)
      throw new Error("the archive is damaged");
    const dataAt = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
    const data = archive.subarray(dataAt, dataAt + packed);
    const content = unpack(name, method, data, unpacked);
    try {
      if ((mode & LINK_MASK) === LINK) {
        link(into, target, content.toString("utf8"));
        continue;
      }
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, content);
      if (mode & 0o111) chmodSync(target, 0o755);
    } catch (thrown) {
      throw new Error(`the archive's entry "${name}" cannot be unpacked: ${(thrown as Error).message}`);
    }
  }
}

function unpack(name: string, method: number, data: Buffer, size: number): Buffer {
  let content: Buffer;
  if (method === 0) content = data;
  else if (method === 8) {
    try {
      content = inflateRawSync(data, { maxOutputLength: Math.max(1, size) });
    } catch (thrown) {
      throw new Error(`the archive's entry "${name}" is damaged: ${(thrown as Error).message}`);
    }
  } else throw new Error(`the archive's entry "${name}" is compressed in a way that is not supported (${method})`);
  if (content.length !== size) throw new Error(`the archive's entry "${name}" is damaged`);
  return content;
}
