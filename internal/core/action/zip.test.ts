import { describe, expect, it } from "vitest";

import { zipOf, type ZipEntry } from "../../../test/harness/zip.js";
import { UNPACKED_BYTES_MAX, zipProblem } from "./zip.js";

const file: ZipEntry = { name: "index.js", content: "exports.main = () => ({})" };

function patched(entries: readonly ZipEntry[], patch: (archive: Buffer) => Uint8Array | undefined): Uint8Array {
  const archive = Buffer.from(zipOf(entries));
  return patch(archive) ?? archive;
}

/** Where the first entry of the directory begins. */
const directory = (archive: Buffer): number => archive.indexOf("PK\x01\x02", "latin1");
const end = (archive: Buffer): number => archive.lastIndexOf("PK\x05\x06", undefined, "latin1");

describe("an archive", () => {
  it.each<[string, Uint8Array]>([
    ["with a file", zipOf([file])],
    [
      "with folders and stored files",
      zipOf([{ name: "lib/" }, { name: "lib/a.js", content: "1", deflated: false }, file]),
    ],
    ["with a comment at its end", Buffer.concat([zipOf([file]), Buffer.from("a comment")])],
    ["whose names only look like a way out", zipOf([{ name: "a..b/..c.js", content: "1" }])],
    ["that is a view into something larger", Buffer.concat([Buffer.alloc(7), zipOf([file])]).subarray(7)],
  ])("%s is accepted", (_name, archive) => {
    expect(zipProblem(archive)).toBeUndefined();
  });

  it.each<[string, Uint8Array, RegExp]>([
    ["that is text", Buffer.from("function main() {}"), /not a zip archive/],
    ["that is empty", new Uint8Array(), /not a zip archive/],
    ["that is shorter than any directory", Buffer.from("PK\x05\x06"), /not a zip archive/],
    ["without entries", zipOf([]), /empty/],
    ["without files", zipOf([{ name: "lib/" }]), /without files/],
    ["that lost its beginning", zipOf([file]).subarray(10), /damaged/],
    ["whose directory lies outside of it", patched([file], (a) => void a.writeUInt32LE(9_999, end(a) + 16)), /outside/],
    ["whose directory is cut off", patched([file], (a) => void a.writeUInt16LE(2, end(a) + 10)), /entry 2 of 2/],
    [
      "with an entry longer than the directory",
      patched([file], (a) => void a.writeUInt16LE(999, directory(a) + 28)),
      /cut off/,
    ],
    ["with content that is elsewhere", patched([file], (a) => void a.writeUInt32LE(3, directory(a) + 42)), /not where/],
    [
      "with content that would reach into the directory",
      patched([file], (a) => void a.writeUInt32LE(500, directory(a) + 20)),
      /not where/,
    ],
    ["with an encrypted entry", patched([file], (a) => void a.writeUInt16LE(1, directory(a) + 8)), /encrypted/],
    ["with another compression", patched([file], (a) => void a.writeUInt16LE(14, directory(a) + 10)), /method 14/],
    ["in several parts", patched([file], (a) => void a.writeUInt16LE(1, end(a) + 4)), /several parts/],
    ["with zip64 counts", patched([file], (a) => void a.writeUInt16LE(0xffff, end(a) + 10)), /zip64/],
    ["with zip64 sizes", patched([file], (a) => void a.writeUInt32LE(0xffffffff, directory(a) + 24)), /zip64/],
    ["with a name above it", zipOf([{ name: "../index.js", content: "1" }]), /points outside/],
    ["with a name above it, the other way", zipOf([{ name: "a\\..\\..\\b.js", content: "1" }]), /points outside/],
    ["with an absolute name", zipOf([{ name: "/etc/passwd", content: "1" }]), /points outside/],
    ["with a name with a null in it", zipOf([{ name: "a\0.js", content: "1" }]), /null character/],
    ["with a link", zipOf([{ name: "l", content: "/etc/passwd", mode: 0o120777 }]), /symbolic link/],
    ["that says it unpacks to too much", zipOf([{ ...file, declaredSize: UNPACKED_BYTES_MAX + 1 }]), /unpack to more/],
    [
      "whose entries add up to too much",
      zipOf([1, 2, 3].map((n) => ({ name: `${n}`, content: "x", declaredSize: UNPACKED_BYTES_MAX / 2 }))),
      /unpack to more/,
    ],
  ])("%s is refused", (_name, archive, why) => {
    expect(zipProblem(archive)).toMatch(why);
  });

  it("whose entries share their content is refused", () => {
    // The directory lists the same content again and again, as a bomb does.
    const one = Buffer.from(zipOf([{ name: "a", content: "x".repeat(2_000), deflated: false }]));
    const [from, to] = [directory(one), end(one)];
    const entry = one.subarray(from, to);
    const many = Buffer.concat([one.subarray(0, from), entry, entry, entry, one.subarray(to)]);
    many.writeUInt16LE(3, end(many) + 10);
    many.writeUInt32LE(entry.length * 3, end(many) + 12);
    expect(zipProblem(many)).toMatch(/overlap/);
  });
});
