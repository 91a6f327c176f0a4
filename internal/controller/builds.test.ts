import { beforeEach, describe, expect, it } from "vitest";

import { WeftError } from "../base/errors.js";
import { silentLog } from "../base/log.js";
import { MetricsRegistry } from "../base/metrics.js";
import { seededRandom } from "../base/random.js";
import type { BuildStore, BuildWish } from "../core/action/build.js";
import type { Build, Exec } from "../core/action/types.js";
import { RuntimeManifest, type RuntimeKind } from "../core/sandbox/manifest.js";
import type { BuildRequest, BuildResponse } from "../gen/weft/link/v1/build.pb.js";
import { BuildOutcome, BuildResult } from "../gen/weft/runtime/v1/sandbox.pb.js";
import { ManualClock } from "../../test/harness/clock.js";
import { Builds, type Built } from "./builds.js";
import { controllerMetrics } from "./metrics.js";

const recipe = {
  version: 1,
  image: "i",
  memoryMb: 512,
  timeoutMs: 1_000,
  network: false,
  command: ["sh"],
  compiles: { sources: undefined },
  dependencies: [],
};
const go = { kind: "go:1.26", family: "go", build: recipe } as unknown as RuntimeKind;
const sh = { kind: "sh:1", family: "sh", build: { ...recipe, compiles: undefined } } as unknown as RuntimeKind;
const exec: Exec = { kind: "go:1.26", main: undefined, binary: false, codeDigest: "source", codeSize: 6 };
const code = Buffer.from("source");

class MemoryBuilds implements BuildStore {
  readonly kept = new Map<string, Build>();
  find(digest: string): Promise<Build | undefined> {
    return Promise.resolve(this.kept.get(digest));
  }
  keep(build: Build): Promise<void> {
    this.kept.set(build.digest, build);
    return Promise.resolve();
  }
}

const is = (outcome: BuildOutcome, more: Partial<BuildResult> = {}): BuildResponse => ({
  result: BuildResult.fromPartial({ outcome, ...more }),
  durationMs: 7,
});
const built = is(BuildOutcome.BUILT, { artifact: Buffer.from("program"), lock: "locked" });
const failed = is(BuildOutcome.FAILED, { message: "main.go:1: no" });

describe("builds of a controller", () => {
  let store: MemoryBuilds;
  let asked: string[];
  let answer: (address: string, request: BuildRequest) => Promise<BuildResponse>;
  let invokers: string[];
  let builds: Builds;

  beforeEach(() => {
    store = new MemoryBuilds();
    asked = [];
    invokers = ["a", "b", "c"];
    answer = () => Promise.resolve(built);
    builds = new Builds({
      store,
      manifest: new RuntimeManifest([go, sh]),
      invokers: () => Promise.resolve(invokers),
      build: (address, request) => {
        asked.push(address);
        return answer(address, request);
      },
      clock: new ManualClock(),
      random: seededRandom(1),
      log: silentLog,
      metrics: controllerMetrics(new MetricsRegistry("controller")),
    });
  });

  const wish = (keepFailed: boolean): BuildWish => ({ keepFailed, resolve: undefined });
  const of = async (keepFailed = false): Promise<Built | undefined> => {
    const looked = await builds.of(exec, "act", code, wish(keepFailed));
    return looked && "build" in looked ? looked : undefined;
  };

  it("are made once, and remembered with their lock", async () => {
    expect(await of()).toMatchObject({ cached: false, build: { lock: "locked", problem: "", durationMs: 7 } });
    expect(await of()).toMatchObject({ cached: true });
    expect(asked).toHaveLength(1);
  });

  it("are one when they are equal and at the same time", async () => {
    const [first, second] = await Promise.all([of(), of()]);
    expect(asked).toHaveLength(1);
    expect(second?.build).toEqual(first?.build);
  });

  it("that fail are refused, or kept when the caller wants that, and are not made again", async () => {
    answer = () => Promise.resolve(failed);
    await expect(of()).rejects.toMatchObject({ kind: "invalidArgument", reason: "BUILD_FAILED" });
    expect(await of(true)).toMatchObject({ cached: true, build: { artifact: undefined, problem: "main.go:1: no" } });
    expect(asked).toHaveLength(1);
  });

  it("that only look for mistakes leave nothing behind but that none was found, or refuse", async () => {
    const looking = { ...exec, kind: "sh:1" };
    answer = () => Promise.resolve(is(BuildOutcome.BUILT));
    const found = await builds.of(looking, "act", code, wish(false));
    expect(found).toMatchObject({ build: { step: "check", artifact: undefined, problem: "" } });
    answer = () => Promise.resolve(failed);
    const other = builds.of({ ...looking, codeDigest: "other" }, "act", code, wish(false));
    await expect(other).rejects.toMatchObject({
      reason: "BUILD_FAILED",
      message: "The code cannot be loaded: main.go:1: no",
    });
    expect(await builds.of(looking, "act", code, wish(true))).toBeUndefined();
    expect(asked).toHaveLength(2);
  });

  it("that only look for mistakes keep nobody from deploying when nobody can look", async () => {
    invokers = [];
    const looked = await builds.of({ ...exec, kind: "sh:1" }, "act", code, wish(false));
    expect(looked).toEqual({ unchecked: expect.stringContaining("there is no invoker") as string });
    expect(store.kept.size).toBe(0);
  });

  it("go on elsewhere when an invoker cannot build or is busy", async () => {
    const reasons = ["NOT_BUILT_HERE", "BUILDS_BUSY"];
    answer = () => {
      const reason = reasons.pop();
      return reason === undefined ? Promise.resolve(built) : Promise.reject(new WeftError("unavailable", reason, "no"));
    };
    expect(await of()).toMatchObject({ cached: false });
    expect(new Set(asked).size).toBe(3);
  });

  it.each([
    ["after two that were lost in the middle", ["a", "b", "c"], 2],
    ["without invokers", [], 0],
  ])("are given up %s, and nothing is remembered", async (_, all, times) => {
    invokers = all;
    answer = () => Promise.reject(new WeftError("unavailable", "BUILD_LOST", "gone"));
    await expect(of(true)).rejects.toMatchObject({ kind: "unavailable", reason: "NO_BUILD_CAPACITY" });
    expect(asked).toHaveLength(times);
    expect(store.kept.size).toBe(0);
  });
});
