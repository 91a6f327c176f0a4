import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, linkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { tarGzOf, type TarEntry } from "../../test/harness/tar.js";
import { untar } from "./untar.js";

let into = "";
beforeEach(() => {
  into = mkdtempSync(join(tmpdir(), "weft-"));
});
afterEach(() => {
  rmSync(into, { recursive: true });
});

const unpack = (entries: readonly TarEntry[]): Promise<void> => untar(Buffer.from(tarGzOf(entries)), into);

describe("untar", () => {
  it.each(["gnu", "posix", "ustar", "v7"])("unpacks what tar writes in the format %s", async (format) => {
    const from = mkdtempSync(join(tmpdir(), "weft-"));
    const long = format === "gnu" || format === "posix";
    const deep = long ? `${"folder-ü/".repeat(20)}file.txt` : "a/deep/er.txt";
    try {
      mkdirSync(join(from, deep, ".."), { recursive: true });
      writeFileSync(join(from, deep), "ü".repeat(10_000));
      writeFileSync(join(from, "run"), "#!/bin/sh", { mode: 0o755 });
      writeFileSync(join(from, "empty"), "");
      writeFileSync(join(from, "large"), Buffer.alloc(3_000_001, 7));
      linkSync(join(from, "run"), join(from, "run-again"));
      mkdirSync(join(from, "bin"));
      symlinkSync("../run", join(from, "bin/run"));
      const archive = execFileSync("tar", [`--format=${format}`, "-czf", "-", "-C", from, "."]);
      await untar(archive, into);
    } finally {
      rmSync(from, { recursive: true });
    }
    expect(readFileSync(join(into, deep), "utf8")).toBe("ü".repeat(10_000));
    expect(readFileSync(join(into, "empty"), "utf8")).toBe("");
    expect(readFileSync(join(into, "large"))).toEqual(Buffer.alloc(3_000_001, 7));
    for (const name of ["run", "run-again", "bin/run"]) {
      expect(readFileSync(join(into, name), "utf8")).toBe("#!/bin/sh");
      expect(statSync(join(into, name)).mode & 0o111).toBe(0o111);
    }
  });

  it.each<[name: string, entry: TarEntry, complaint: string]>([
    ["climbs out", { name: "../evil", content: "x" }, 'entry "../evil" points outside of it'],
    ["climbs out in the middle", { name: "a/../../evil", content: "x" }, "points outside of it"],
    ["is absolute", { name: "/etc/evil", content: "x" }, "points outside of it"],
    ["is a symbolic link that leads out", { name: "link", type: "2", to: "/etc/passwd" }, "points outside"],
    ["is another name of a file outside", { name: "link", type: "1", to: "../../etc/passwd" }, "points outside of it"],
    ["is a device", { name: "null", type: "3" }, "of a type that is not supported (3)"],
    ["says it is larger than it is", { name: "a", content: "x", declaredSize: 5_000 }, "the archive is cut off"],
    [
      "says it is larger than may be",
      { name: "a", content: "x", declaredSize: 600 * 1024 * 1024 },
      "unpacks to more than 536870912 bytes",
    ],
    ["has an endless name", { name: "././@LongLink", type: "L", declaredSize: 1_000_000 }, "is damaged"],
    ["has words about it that end nowhere", { name: "x", type: "x", content: "99 path=a\n" }, "is damaged"],
  ])("refuses an archive with an entry that %s", async (_, entry, complaint) => {
    await expect(unpack([entry])).rejects.toThrow(complaint);
  });

  it("refuses an archive that becomes larger than may be, before it does", async () => {
    const half = { content: Buffer.alloc(300_000) };
    const entries = [
      { name: "a", ...half },
      { name: "b", ...half },
    ];
    await expect(untar(Buffer.from(tarGzOf(entries)), into, 500_000)).rejects.toThrow("to more than 500000 bytes");
  });

  it.each([
    ["nothing", Buffer.alloc(0)],
    ["text", Buffer.from("function main() {}")],
    ["an archive of nothing", Buffer.from(tarGzOf([]))],
  ])("refuses %s", async (_, bytes) => {
    await expect(untar(bytes, into)).rejects.toThrow("archive");
  });

  it("refuses an archive that was cut or overwritten anywhere, or unpacks it, and does nothing else", async () => {
    const whole = Buffer.from(tarGzOf([{ name: "a", content: "abc" }]));
    for (let at = 0; at < whole.length; at++) {
      const hurt = Buffer.from(whole);
      hurt[at] = (hurt[at] ?? 0) ^ 0xff;
      for (const bytes of [hurt, whole.subarray(0, at)]) {
        await untar(bytes, into).catch((thrown: unknown) => {
          expect((thrown as Error).message).toMatch(/archive/);
        });
      }
    }
  });
});
