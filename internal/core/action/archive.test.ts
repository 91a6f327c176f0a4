import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";

import { tarGzOf } from "../../../test/harness/tar.js";
import { zipOf } from "../../../test/harness/zip.js";
import { archiveProblem, isArchive } from "./archive.js";

const zip = zipOf([{ name: "index.js", content: "x" }]);
const tar = tarGzOf([{ name: "index.js", content: "x" }]);
const large = tarGzOf([{ name: "data.bin", content: randomBytes(100_000) }]);
const elf = Buffer.from("\x7fELF\x02\x01\x01", "latin1");
const claims = Buffer.from(large);
claims.writeUInt32LE(600 * 1024 * 1024, claims.length - 4);

describe("archives", () => {
  it.each<[name: string, code: Uint8Array, family: string | undefined, problem: RegExp | undefined]>([
    ["zip for nodejs", zip, "nodejs", undefined],
    ["zip for python", zip, "python", undefined],
    ["tar for nodejs", tar, "nodejs", undefined],
    ["tar that is larger than what is looked at", large, "nodejs", undefined],
    ["tar for who knows whom", tar, undefined, undefined],
    ["tar for python", tar, "python", undefined],
    ["an executable for native", elf, "native", undefined],
    ["an executable for who knows whom", elf, undefined, undefined],
    ["an executable for nodejs", elf, "nodejs", /^is not a zip archive/],
    [
      "packed text",
      gzipSync("function main() {}".repeat(100)),
      "nodejs",
      /^is packed with gzip but is no tar archive$/,
    ],
    ["tar cut after its first bytes", tar.subarray(0, 10), "nodejs", /^is a damaged archive/],
    ["tar overwritten at its beginning", Buffer.from(`1f8b08${"ff".repeat(60)}`, "hex"), "nodejs", /damaged/],
    ["tar that says it is too large", claims, "nodejs", /^would unpack to more than 536870912 bytes$/],
    ["zip cut off", zip.subarray(0, 30), "nodejs", /^is not a zip archive/],
  ])("as %s", (_, code, family, problem) => {
    if (problem === undefined) expect(archiveProblem(code, family)).toBeUndefined();
    else expect(archiveProblem(code, family)).toMatch(problem);
  });

  it("are told from source by how they begin", () => {
    expect([zip, tar, zipOf([]), elf].map(isArchive)).toEqual([true, true, true, true]);
    expect(["", "PK", "function main() {}", "\u001f", "#!/bin/sh"].map((text) => isArchive(Buffer.from(text)))).toEqual(
      [false, false, false, false, false],
    );
  });
});
