import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { ManualClock } from "../../test/harness/clock.js";
import { WeftError } from "../base/errors.js";
import { silentLog } from "../base/log.js";
import { MetricsRegistry } from "../base/metrics.js";
import { seededRandom } from "../base/random.js";
import { RevisionSpec, type FetchRevisionResponse } from "../gen/weft/link/v1/control.pb.js";
import { CodeCache, type CodeSource } from "./code-cache.js";
import { DiskCodeStore, MemoryCodeStore, type CodeStore } from "./code-store.js";
import { invokerMetrics } from "./metrics.js";

const digestOf = (code: Uint8Array): string => createHash("sha256").update(code).digest("hex");

/** A controller's CodeService, with an inside to look at. */
class Controller implements CodeSource {
  readonly codes = new Map<string, Uint8Array>();
  readonly asked: { revisionId: string; withoutCode: boolean }[] = [];
  sentBytes = 0;
  failures: WeftError[] = [];
  lie: (spec: RevisionSpec) => RevisionSpec = (spec) => spec;

  async *fetch(actionKey: string, revisionId: string, withoutCode: boolean): AsyncGenerator<FetchRevisionResponse> {
    this.asked.push({ revisionId, withoutCode });
    await Promise.resolve();
    const failure = this.failures.shift();
    if (failure) throw failure;
    const code = this.codes.get(revisionId);
    if (!code) throw new WeftError("notFound", "REVISION_GONE", "gone");
    const spec = RevisionSpec.create({
      ask: { key: actionKey, revisionId },
      codeDigest: digestOf(code),
      codeSize: code.length,
      version: "0.0.1",
    });
    yield { part: { $case: "spec", value: this.lie(spec) } };
    if (withoutCode) return;
    for (let at = 0; at < code.length; at += 4) {
      const piece = code.subarray(at, at + 4);
      this.sentBytes += piece.length;
      yield { part: { $case: "code", value: piece } };
    }
  }
}

describe("the code cache", () => {
  let directory: string;
  const clock = new ManualClock();
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "weft-code-"));
  });
  const open: CodeCache[] = [];
  afterEach(async () => {
    // What is still written goes to the folder.
    await Promise.all(open.splice(0).map((cache) => cache.close()));
    await rm(directory, { recursive: true, force: true });
  });

  const cacheOf = (source: CodeSource, store: CodeStore = new MemoryCodeStore(), memoryBytes = 1_000): CodeCache => {
    const cache = new CodeCache({
      source,
      store,
      clock,
      random: seededRandom(1),
      log: silentLog,
      metrics: invokerMetrics(new MetricsRegistry("invoker")),
      memoryBytes,
      patienceMs: 1_000,
    });
    open.push(cache);
    return cache;
  };
  /** Of an invoker whose disk is there in the next life. */
  const aLifeThatLoads = async (controller: Controller, revisionId: string, maxBytes = 1_000): Promise<void> => {
    const cache = cacheOf(controller, new DiskCodeStore(directory, maxBytes, clock));
    await cache.load("ns/a", revisionId);
    await cache.close();
  };
  const controllerWith = (codes: Record<string, string>): Controller => {
    const controller = new Controller();
    for (const [revisionId, code] of Object.entries(codes)) controller.codes.set(revisionId, Buffer.from(code));
    return controller;
  };

  it("fetches a revision once, however many want it at once and later", async () => {
    const controller = controllerWith({ r1: "function main() {}" });
    const cache = cacheOf(controller);
    const [one, two] = await Promise.all([cache.load("ns/a", "r1"), cache.load("ns/a", "r1")]);
    await cache.load("ns/a", "r1");
    expect(Buffer.from(one.code).toString()).toBe("function main() {}");
    expect(two).toBe(one);
    expect(controller.asked).toHaveLength(1);
  });

  it("keeps what was used last in memory, up to a bound", async () => {
    const controller = controllerWith({ r1: "a".repeat(400), r2: "b".repeat(400), r3: "c".repeat(400) });
    const cache = cacheOf(controller);
    for (const revision of ["r1", "r2", "r1", "r3"]) await cache.load("ns/a", revision);
    expect(cache.stats()).toEqual({ revisions: 2, bytes: 800, loading: 0 });
    const before = controller.asked.length;
    await cache.load("ns/a", "r1");
    expect(controller.asked).toHaveLength(before);
    await cache.load("ns/a", "r2");
    expect(controller.asked).toHaveLength(before + 1);
  });

  it("asks for no code that is on disk, also in the next life", async () => {
    const controller = controllerWith({ r1: "x".repeat(100) });
    await aLifeThatLoads(controller, "r1");
    expect(controller.sentBytes).toBe(100);
    const { code } = await cacheOf(controller, new DiskCodeStore(directory, 1_000, clock)).load("ns/a", "r1");
    expect(code).toHaveLength(100);
    expect(controller.asked[1]).toEqual({ revisionId: "r1", withoutCode: true });
    expect(controller.sentBytes).toBe(100);
  });

  it("stops reading large code when another revision had the same", async () => {
    const large = "x".repeat(64 * 1024 + 1);
    const controller = controllerWith({ r1: large, r2: large });
    await aLifeThatLoads(controller, "r1", 1_000_000);
    expect(controller.sentBytes).toBe(large.length);
    await aLifeThatLoads(controller, "r2", 1_000_000);
    expect(controller.sentBytes).toBe(large.length);
  });

  it("reads on when the code is small: it comes sooner than the disk has it", async () => {
    const controller = controllerWith({ r1: "x".repeat(100), r2: "x".repeat(100) });
    const store = new MemoryCodeStore();
    await cacheOf(controller, store).load("ns/a", "r1");
    store.get = () => expect.unreachable("the disk is not asked");
    await cacheOf(controller, store).load("ns/a", "r2");
    expect(controller.sentBytes).toBe(200);
  });

  it("hands out code before it is on disk, and is closed when it is", async () => {
    const store = new MemoryCodeStore();
    let written = (): void => {};
    store.put = async (digest, code) => {
      await new Promise<void>((resolve) => (written = resolve));
      store.codes.set(digest, code);
    };
    const cache = cacheOf(controllerWith({ r1: "code" }), store);
    expect(Buffer.from((await cache.load("ns/a", "r1")).code).toString()).toBe("code");
    const closed = cache.close();
    expect(store.codes.size).toBe(0);
    written();
    await closed;
    expect(store.codes.size).toBe(1);
    expect(store.digests.has("r1")).toBe(true);
  });

  it("does not keep what waits for a slow disk for ever", async () => {
    const store = new MemoryCodeStore();
    let written = (): void => {};
    const slow = new Promise<void>((resolve) => (written = resolve));
    store.put = () => slow;
    const revisions = Array.from({ length: 300 }, (_, i) => `r${i}`);
    const cache = cacheOf(controllerWith(Object.fromEntries(revisions.map((id) => [id, "code"]))), store);
    for (const id of revisions) await cache.load("ns/a", id);
    written();
    await cache.close();
    expect(store.digests.size).toBe(256);
  });

  it("fetches again what was damaged on disk", async () => {
    const controller = controllerWith({ r1: "x".repeat(100) });
    await aLifeThatLoads(controller, "r1");
    const [name] = await readdir(join(directory, "code"));
    await writeFile(join(directory, "code", name ?? ""), "y".repeat(100));
    const { code } = await cacheOf(controller, new DiskCodeStore(directory, 1_000, clock)).load("ns/a", "r1");
    expect(Buffer.from(code).toString()).toBe("x".repeat(100));
  });

  it("lets old code on disk make room", async () => {
    const controller = controllerWith({ r1: "a".repeat(400), r2: "b".repeat(400), r3: "c".repeat(400) });
    const store = new DiskCodeStore(directory, 1_000, clock);
    for (const revision of ["r1", "r2", "r3"]) await aLifeThatLoads(controller, revision);
    expect(await readdir(join(directory, "code"))).toHaveLength(2);
    expect(await store.get(digestOf(controller.codes.get("r3")!))).toBeDefined();
  });

  it("works with a disk that can neither be read nor written", async () => {
    const controller = controllerWith({ r1: "code" });
    await writeFile(join(directory, "file"), "");
    const cache = cacheOf(controller, new DiskCodeStore(join(directory, "file"), 1_000, clock));
    await expect(cache.load("ns/a", "r1")).resolves.toBeDefined();
  });

  it.each<[name: string, lie: (spec: RevisionSpec) => RevisionSpec, complaint: string]>([
    ["another digest", (spec) => ({ ...spec, codeDigest: digestOf(Buffer.from("other")) }), "its digest differs"],
    ["fewer bytes", (spec) => ({ ...spec, codeSize: 3 }), "4 bytes came instead of 3"],
    ["more bytes", (spec) => ({ ...spec, codeSize: 5 }), "4 bytes came instead of 5"],
    ["another revision", (spec) => ({ ...spec, ask: undefined }), "it describes another revision"],
  ])("refuses code with %s", async (_, lie, complaint) => {
    const controller = controllerWith({ r1: "code" });
    controller.lie = lie;
    const cache = cacheOf(controller);
    await expect(cache.load("ns/a", "r1")).rejects.toThrow(complaint);
    controller.lie = (spec) => spec;
    await expect(cache.load("ns/a", "r1")).resolves.toBeDefined();
  });

  it("asks again while no controller answers, but not for ever", async () => {
    const unavailable = (): WeftError => new WeftError("unavailable", "DOWN", "down");
    const controller = controllerWith({ r1: "code" });
    controller.failures = [unavailable(), unavailable()];
    const loading = cacheOf(controller).load("ns/a", "r1");
    await clock.elapse(500);
    await expect(loading).resolves.toBeDefined();
    controller.failures = Array.from({ length: 100 }, unavailable);
    const failing = cacheOf(controller).load("ns/a", "r1");
    const outcome = expect(failing).rejects.toMatchObject({ kind: "unavailable" });
    await clock.elapse(2_000);
    await outcome;
  });

  it("does not ask again for a revision that is gone", async () => {
    const controller = new Controller();
    await expect(cacheOf(controller).load("ns/a", "r1")).rejects.toMatchObject({ kind: "notFound" });
    expect(controller.asked).toHaveLength(1);
  });
});
