import { describe, expect, it } from "vitest";

import { settle } from "../../test/harness/clock.js";
import { eventually } from "../../test/harness/eventually.js";
import { WeftError } from "../base/errors.js";
import { GroupCommit } from "./group-commit.js";

/** A database that commits when the test says so, and refuses what is called "poison". */
class SlowDatabase {
  readonly batches: string[][] = [];
  readonly #running: (() => void)[] = [];
  down = false;

  commit = async (batch: readonly string[]): Promise<readonly string[]> => {
    this.batches.push([...batch]);
    await new Promise<void>((resolve) => this.#running.push(resolve));
    if (this.down) throw new WeftError("unavailable", "STORE_UNAVAILABLE", "down");
    if (batch.includes("poison")) throw new WeftError("invalidArgument", "INVALID_TEXT", "poison");
    return batch.map((item) => `${item} done`);
  };

  async finish(): Promise<void> {
    this.#running.shift()?.();
    await settle();
    await settle();
  }
}

const open = (over: Partial<ConstructorParameters<typeof GroupCommit<string, string>>[0]> = {}) => {
  const database = new SlowDatabase();
  const group = new GroupCommit<string, string>({
    name: "items",
    commit: database.commit,
    lanes: 1,
    rowsMax: 3,
    bytesMax: 1_000,
    rowsOf: () => 1,
    bytesOf: (item) => item.length,
    waitingBytesMax: 10_000,
    ...over,
  });
  return { database, group };
};

describe("group commit", () => {
  it("lets a single caller go at once, and gathers who comes meanwhile", async () => {
    const { database, group } = open();
    const first = group.add("a");
    await settle();
    expect(database.batches).toEqual([["a"]]);
    const rest = ["b", "c", "d", "e"].map((item) => group.add(item));
    await settle();
    expect(database.batches).toHaveLength(1);
    await database.finish();
    expect(await first).toBe("a done");
    await database.finish();
    await database.finish();
    expect(database.batches.slice(1)).toEqual([["b", "c", "d"], ["e"]]);
    expect(await Promise.all(rest)).toEqual(["b done", "c done", "d done", "e done"]);
  });

  it("takes along everybody who comes in one turn of the event loop", async () => {
    const { database, group } = open();
    const all = ["a", "b", "c"].map((item) => group.add(item));
    await settle();
    await database.finish();
    await Promise.all(all);
    expect(database.batches).toEqual([["a", "b", "c"]]);
  });

  it("uses its lanes and no more", async () => {
    const { database, group } = open({ lanes: 2, rowsMax: 1 });
    const all = ["a", "b", "c"].map((item) => group.add(item));
    await settle();
    expect(database.batches).toEqual([["a"], ["b"]]);
    await database.finish();
    expect(database.batches).toHaveLength(3);
    await database.finish();
    await database.finish();
    await Promise.all(all);
  });

  it("bounds a batch by size, and lets one that is too large alone go alone", async () => {
    const { database, group } = open({ bytesMax: 4 });
    const all = ["aa", "bb", "cccccc", "d"].map((item) => group.add(item));
    await settle();
    for (let i = 0; i < 3; i += 1) await database.finish();
    await Promise.all(all);
    expect(database.batches).toEqual([["aa", "bb"], ["cccccc"], ["d"]]);
  });

  it("tells the caller of what cannot be stored, and stores the others'", async () => {
    const { database, group } = open();
    const all = Promise.allSettled(["a", "poison", "b"].map((item) => group.add(item)));
    await settle();
    await eventually(async () => {
      await database.finish();
      expect(database.batches).toEqual([["a", "poison", "b"], ["a"], ["poison"], ["b"]]);
    });
    await database.finish();
    expect((await all).map((r) => (r.status === "fulfilled" ? r.value : (r.reason as WeftError).reason))).toEqual([
      "a done",
      "INVALID_TEXT",
      "b done",
    ]);
  });

  it("tells everybody when the database is away, without trying each, and goes on when it is back", async () => {
    const { database, group } = open();
    database.down = true;
    const all = Promise.allSettled(["a", "b"].map((item) => group.add(item)));
    await settle();
    await database.finish();
    expect((await all).map((r) => r.status)).toEqual(["rejected", "rejected"]);
    expect(database.batches).toHaveLength(1);
    database.down = false;
    const next = group.add("c");
    await settle();
    await database.finish();
    expect(await next).toBe("c done");
  });

  it("refuses callers when too much waits", async () => {
    const { database, group } = open({ waitingBytesMax: 4 });
    const first = group.add("a");
    await settle();
    const waiting = group.add("bbbb");
    await expect(group.add("c")).rejects.toMatchObject({ kind: "unavailable", reason: "STORE_OVERLOADED" });
    await database.finish();
    await database.finish();
    expect(await Promise.all([first, waiting])).toEqual(["a done", "bbbb done"]);
  });
});
