// Whether bytes are a zip archive that a runtime will unpack. Only its directory is read: a runtime checks the contents
// when it unpacks, this finds what is not an archive, is damaged, or would take more room than anybody has, before it is
// stored. The bounds are those of the runtimes (runtimes/nodejs/unzip.ts).

/** Bytes that all entries may take unpacked. A sandbox has at most 512 MiB. */
export const UNPACKED_BYTES_MAX = 512 * 1024 * 1024;

const END_OF_DIRECTORY = 0x06054b50;
const END_BYTES = 22;
const COMMENT_BYTES_MAX = 0xffff;
const DIRECTORY_ENTRY = 0x02014b50;
const DIRECTORY_ENTRY_BYTES = 46;
const LOCAL_ENTRY = 0x04034b50;
const LOCAL_ENTRY_BYTES = 30;
const ZIP64_COUNT = 0xffff;
const ZIP64_SIZE = 0xffffffff;
const STORED = 0;
const DEFLATED = 8;
const ENCRYPTED = 1;
const LINK = 0o120000;
const FILE_TYPE = 0o170000;

/** Names of the entries of an archive that `zipProblem` found nothing wrong with. */
export function zipNames(bytes: Uint8Array): readonly string[] {
  const archive = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = endOfDirectory(archive) ?? 0;
  const names: string[] = [];
  let at = archive.readUInt32LE(end + 16);
  for (let left = archive.readUInt16LE(end + 10); left > 0; left -= 1) {
    const nameAt = at + DIRECTORY_ENTRY_BYTES;
    const nameEnd = nameAt + archive.readUInt16LE(at + 28);
    names.push(archive.toString("utf8", nameAt, nameEnd));
    at = nameEnd + archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32);
  }
  return names;
}

/** @returns what is wrong with the archive, or undefined */
export function zipProblem(bytes: Uint8Array): string | undefined {
  const archive = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = endOfDirectory(archive);
  if (end === undefined) return "is not a zip archive: it has no directory";
  if (archive.readUInt16LE(end + 4) !== 0 || archive.readUInt16LE(end + 6) !== 0) {
    return "is one part of a zip archive in several parts";
  }
  const count = archive.readUInt16LE(end + 10);
  const directoryBytes = archive.readUInt32LE(end + 12);
  const directoryAt = archive.readUInt32LE(end + 16);
  if (count === ZIP64_COUNT || directoryBytes === ZIP64_SIZE || directoryAt === ZIP64_SIZE) {
    return "is a zip64 archive, which is not supported: pack fewer or smaller files";
  }
  if (count === 0) return "is an empty zip archive";
  if (directoryAt + directoryBytes > end) return damaged("its directory lies outside of it");

  let at = directoryAt;
  let packedBytes = 0;
  let unpackedBytes = 0;
  let files = 0;
  for (let i = 0; i < count; i++) {
    if (at + DIRECTORY_ENTRY_BYTES > end || archive.readUInt32LE(at) !== DIRECTORY_ENTRY) {
      return damaged(`entry ${i + 1} of ${count} is not where its directory says`);
    }
    const packed = archive.readUInt32LE(at + 20);
    const unpacked = archive.readUInt32LE(at + 24);
    const nameBytes = archive.readUInt16LE(at + 28);
    const local = archive.readUInt32LE(at + 42);
    const next = at + DIRECTORY_ENTRY_BYTES + nameBytes + archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32);
    if (next > end) return damaged(`entry ${i + 1} of ${count} is cut off`);
    const name = archive.toString("utf8", at + DIRECTORY_ENTRY_BYTES, at + DIRECTORY_ENTRY_BYTES + nameBytes);
    const problem = entryProblem({
      name,
      flags: archive.readUInt16LE(at + 8),
      method: archive.readUInt16LE(at + 10),
      mode: archive.readUInt32LE(at + 38) >>> 16,
    });
    if (problem !== undefined) return `has the entry "${shown(name)}", which ${problem}`;
    if (packed === ZIP64_SIZE || unpacked === ZIP64_SIZE || local === ZIP64_SIZE) {
      return "is a zip64 archive, which is not supported: pack fewer or smaller files";
    }
    if (local + LOCAL_ENTRY_BYTES + packed > directoryAt || archive.readUInt32LE(local) !== LOCAL_ENTRY) {
      return damaged(`the content of "${shown(name)}" is not where its directory says`);
    }
    packedBytes += packed;
    unpackedBytes += unpacked;
    if (unpackedBytes > UNPACKED_BYTES_MAX) {
      return `would unpack to more than ${UNPACKED_BYTES_MAX} bytes`;
    }
    // Entries that share their content: the way to make a small archive unpack to a large one.
    if (packedBytes > archive.length) return damaged("its entries overlap");
    if (!name.endsWith("/")) files += 1;
    at = next;
  }
  return files === 0 ? "is a zip archive without files" : undefined;
}

function endOfDirectory(archive: Buffer): number | undefined {
  const last = archive.length - END_BYTES;
  for (let at = last; at >= 0 && at >= last - COMMENT_BYTES_MAX; at--) {
    if (archive.readUInt32LE(at) === END_OF_DIRECTORY) return at;
  }
  return undefined;
}

function entryProblem(entry: {
  readonly name: string;
  readonly flags: number;
  readonly method: number;
  readonly mode: number;
}): string | undefined {
  const { name } = entry;
  if (name === "") return "has no name";
  if (name.includes("\0")) return "has a null character in its name";
  if (name.startsWith("/") || name.split(/[/\\]/).includes("..")) return "points outside of the archive";
  if ((entry.flags & ENCRYPTED) !== 0) return "is encrypted";
  if (entry.method !== STORED && entry.method !== DEFLATED) {
    return `is compressed by method ${entry.method}; only stored and deflated entries are supported`;
  }
  if ((entry.mode & FILE_TYPE) === LINK) return "is a symbolic link";
  return undefined;
}

function damaged(how: string): string {
  return `is a damaged zip archive: ${how}`;
}

/** A name as it may stand in a message. */
function shown(name: string): string {
  return name.replace(/[^\x20-\x7e]/g, "?").slice(0, 80);
}
