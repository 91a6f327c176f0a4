import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { silentLog } from "../base/log.js";
import { DiskJournal, entryOf, type JournalEntry } from "./journal.js";

const ask = {
  key: "guest/echo",
  revisionId: "r1",
  kind: "nodejs:20",
  memoryMb: 256,
  concurrency: 2,
  maxInstances: 0,
  timeoutMs: 60_000,
};
const stem: JournalEntry = {
  mark: "boot-1",
  kind: "nodejs:20",
  memoryMb: 256,
  pidsMax: 64,
  createMs: 312.5,
  ask: undefined,
};
const claimed: JournalEntry = { ...stem, mark: "boot-2", ask };

describe("a journal on disk", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "weft-journal-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it("tells the next life what is there: the last word on each sandbox", async () => {
    const journal = new DiskJournal(directory, silentLog);
    await journal.read();
    journal.put(stem);
    journal.put({ ...stem, ask });
    journal.put(claimed);
    journal.remove(claimed.mark);
    journal.put({ ...claimed, mark: "boot-3" });
    await journal.flushed();
    const read = await new DiskJournal(directory, silentLog).read();
    expect([...read].sort((a, b) => a.mark.localeCompare(b.mark))).toEqual([
      { ...stem, ask },
      { ...claimed, mark: "boot-3" },
    ]);
  });

  it("drops what was written by half, or by somebody else", async () => {
    writeFileSync(join(directory, "boot-1.json.half"), "{");
    writeFileSync(join(directory, "boot-2.json"), '{"mark":"boot-2"');
    writeFileSync(join(directory, "boot-3.json"), "[]");
    expect(await new DiskJournal(directory, silentLog).read()).toEqual([]);
    expect(readdirSync(directory)).toEqual([]);
  });

  it("refuses a mark that is no name of a file", () => {
    expect(() => new DiskJournal(directory, silentLog).put({ ...stem, mark: "../x" })).toThrow("../x is no name");
  });
});

describe("a line of the journal", () => {
  it.each<[string, unknown]>([
    ["of another sandbox", { ...stem, mark: "other" }],
    ["without a kind", { ...stem, kind: "" }],
    ["without memory", { ...stem, memoryMb: 0 }],
    ["with half a process", { ...stem, pidsMax: 1.5 }],
    ["of an action of another kind", { ...stem, ask: { ...ask, kind: "python:3.11" } }],
    ["of an action of another size", { ...stem, ask: { ...ask, memoryMb: 512 } }],
    ["of an action without a revision", { ...stem, ask: { ...ask, revisionId: undefined } }],
    ["that is a list", []],
    ["that is nothing", null],
  ])("%s is not believed", (_, value) => {
    expect(entryOf(stem.mark, value)).toBeUndefined();
  });
});
