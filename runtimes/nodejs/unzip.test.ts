import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { zipOf, type ZipEntry } from "../../test/harness/zip.js";
import { unzip } from "./unzip.js";

let into = "";
beforeEach(() => {
  into = mkdtempSync(join(tmpdir(), "weft-"));
});
afterEach(() => {
  rmSync(into, { recursive: true });
});

const unpack = (entries: readonly ZipEntry[]): void => {
  unzip(Buffer.from(zipOf(entries)), into);
};

describe("unzip", () => {
  it("unpacks folders, stored and deflated files, and what may be executed", () => {
    unpack([
      { name: "a/", mode: 0o040755 },
      { name: "a/deep/er.txt", content: "ü".repeat(10_000) },
      { name: "stored", content: "as it is", deflated: false },
      { name: "empty" },
      { name: "node_modules/.bin/run", content: "../../stored", mode: 0o120777 },
      { name: "bin/run", content: "#!/bin/sh", mode: 0o100755 },
    ]);
    expect(readFileSync(join(into, "a/deep/er.txt"), "utf8")).toBe("ü".repeat(10_000));
    expect(readFileSync(join(into, "stored"), "utf8")).toBe("as it is");
    expect(readFileSync(join(into, "empty"), "utf8")).toBe("");
    expect(readFileSync(join(into, "node_modules/.bin/run"), "utf8")).toBe("as it is");
    expect(statSync(join(into, "bin/run")).mode & 0o111).toBe(0o111);
  });

  it.each<[name: string, entry: ZipEntry, complaint: string]>([
    ["climbs out", { name: "../evil", content: "x" }, 'entry "../evil" points outside of it'],
    ["climbs out in the middle", { name: "a/../../evil", content: "x" }, "points outside of it"],
    ["is absolute", { name: "/etc/evil", content: "x" }, "points outside of it"],
    ["is a symbolic link that leads out", { name: "link", content: "/etc/passwd", mode: 0o120777 }, "points outside"],
    ["says it is larger than it is", { name: "a", content: "x", declaredSize: 5 }, "is damaged"],
    [
      "says it is larger than may be",
      { name: "a", content: "x", declaredSize: 600 * 1024 * 1024 },
      "unpacks to more than",
    ],
  ])("refuses an archive with an entry that %s", (_, entry, complaint) => {
    expect(() => {
      unpack([entry]);
    }).toThrow(complaint);
  });

  it("refuses an entry that unpacks to more than it says", () => {
    expect(() => {
      unpack([{ name: "a", content: "x".repeat(1_000_000), declaredSize: 5 }]);
    }).toThrow('entry "a" is damaged');
  });

  it.each([
    ["nothing", Buffer.alloc(0)],
    ["text", Buffer.from("function main() {}".repeat(10))],
  ])("refuses %s", (_, bytes) => {
    expect(() => {
      unzip(bytes, into);
    }).toThrow("not a zip archive");
  });

  it("refuses an archive that was cut or overwritten anywhere, or unpacks it, and does nothing else", () => {
    const whole = Buffer.from(zipOf([{ name: "a", content: "abc" }]));
    for (let at = 0; at < whole.length; at++) {
      const hurt = Buffer.from(whole);
      hurt[at] = (hurt[at] ?? 0) ^ 0xff;
      for (const bytes of [hurt, whole.subarray(0, at)]) {
        try {
          unzip(bytes, into);
        } catch (thrown) {
          expect((thrown as Error).message).toMatch(/archive/);
        }
      }
    }
  });
});
