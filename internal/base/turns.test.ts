import { describe, expect, it } from "vitest";
import { WeftError } from "./errors.js";
import { Turns } from "./turns.js";

/** Acts that end when they are told, and which of them run. */
class World {
  readonly running: string[] = [];
  readonly #ends = new Map<string, () => void>();
  readonly turns = new Turns({ countsFrom: 10, bytesAtOnce: 100, waitingBytesMax: 300 });

  start(name: string, bytes: number, signal?: AbortSignal): Promise<string> {
    const act = async (): Promise<string> => {
      this.running.push(name);
      await new Promise<void>((resolve) => this.#ends.set(name, resolve));
      this.running.splice(this.running.indexOf(name), 1);
      return name;
    };
    return this.turns.run(bytes, act, signal);
  }

  async end(name: string): Promise<void> {
    this.#ends.get(name)?.();
    await settled();
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("turns", () => {
  it("are given at once while there is room, then in the order of asking", async () => {
    const world = new World();
    const all = [world.start("a", 60), world.start("b", 40), world.start("c", 50), world.start("d", 20)];
    await settled();
    expect(world.running).toEqual(["a", "b"]);
    await world.end("b"); // room for d, but c came first
    expect(world.running).toEqual(["a"]);
    await world.end("a");
    expect(world.running).toEqual(["c", "d"]);
    await world.end("c");
    await world.end("d");
    expect(await Promise.all(all)).toEqual(["a", "b", "c", "d"]);
  });

  it("are given to what is larger than the room when nothing else has one, and what is small needs none", async () => {
    const world = new World();
    void world.start("a", 50);
    void world.start("huge", 250);
    void world.start("small", 9);
    await settled();
    expect(world.running).toEqual(["a", "small"]);
    await world.end("a");
    expect(world.running).toEqual(["small", "huge"]);
  });

  it("are refused when too much waits, and come free when one gives up or fails", async () => {
    const world = new World();
    void world.start("a", 100);
    const abort = new AbortController();
    const givesUp = world.start("b", 200, abort.signal);
    void world.start("c", 100);
    await expect(world.start("d", 10)).rejects.toMatchObject({ kind: "unavailable", reason: "TOO_MANY_LARGE" });
    abort.abort(new WeftError("canceled", "CALL_OVER", "the caller hung up"));
    await expect(givesUp).rejects.toMatchObject({ reason: "CALL_OVER" });
    await world.end("a");
    expect(world.running).toEqual(["c"]);
    const fails = expect(world.turns.run(50, () => Promise.reject(new Error("no luck")))).rejects.toThrow("no luck");
    await world.end("c");
    await fails;
    void world.start("e", 100);
    await settled();
    expect(world.running).toEqual(["e"]);
  });
});
