import { describe, expect, it } from "vitest";
import { ManualClock } from "../../test/harness/clock.js";
import { WeftError } from "../base/errors.js";
import { silentLog } from "../base/log.js";
import { MetricsRegistry } from "../base/metrics.js";
import type { MessageLink } from "../base/socket-link.js";
import type { SandboxDriver, SandboxExit, SandboxProcess, SandboxSpec } from "../core/sandbox/driver.js";
import { parseManifest } from "../core/sandbox/manifest.js";
import { BuildRequest } from "../gen/weft/link/v1/build.pb.js";
import { BuildOutcome, FromSandbox, ToSandbox, type Build } from "../gen/weft/runtime/v1/sandbox.pb.js";
import { BUILD_WAIT_MS, BuildDesk, BUILDS_WAITING_MAX } from "./build-desk.js";
import { invokerMetrics } from "./metrics.js";

const MANIFEST = parseManifest(
  JSON.stringify({
    runtimes: {
      go: [
        {
          kind: "go:1",
          default: true,
          image: "i",
          launcher: "loop",
          build: { image: "b", version: 1, memoryMb: 512, timeoutMs: 100_000, command: ["build"] },
        },
      ],
      sh: [{ kind: "sh:1", default: true, image: "i", launcher: "exec" }],
    },
  }),
);
const REQUEST = BuildRequest.fromPartial({ kind: "go:1", build: { source: Buffer.from("source"), main: "main" } });

/** A build sandbox that does what the test says. */
class Builder implements SandboxProcess {
  readonly languageVersion = "1";
  readonly reconnects = false;
  readonly survivesAs = undefined;
  readonly builds: Build[] = [];
  destroyed = false;
  exit: (exit: SandboxExit) => void = () => {};
  readonly exited = new Promise<SandboxExit>((resolve) => (this.exit = resolve));
  onRawOutput = (): void => {};
  readonly link: MessageLink;

  constructor(readonly spec: SandboxSpec) {
    this.link = {
      onMessage: () => {},
      onClosed: () => {},
      send: (bytes: Uint8Array) => {
        const { message } = ToSandbox.decode(bytes);
        if (message?.$case === "build") this.builds.push(message.value);
        return true;
      },
      close: () => {},
    } as unknown as MessageLink;
  }

  say(message: FromSandbox["message"]): void {
    this.link.onMessage(FromSandbox.encode({ message }).finish());
  }

  answer(outcome: BuildOutcome, message = ""): void {
    const value = { outcome, message, artifact: Buffer.from("program"), lock: "", diagnostics: [] };
    this.say(FromSandbox.fromPartial({ message: { $case: "buildResult", value } }).message);
  }

  freeze = (): Promise<void> => Promise.resolve();
  unfreeze = (): Promise<void> => Promise.resolve();
  leave = (): Promise<void> => Promise.resolve();
  destroy = (): Promise<void> => {
    this.destroyed = true;
    return Promise.resolve();
  };
}

function world(parallelBuilds = 1) {
  const clock = new ManualClock();
  const made: Builder[] = [];
  const failures: WeftError[] = [];
  const driver: Pick<SandboxDriver, "create"> = {
    create: (spec) => {
      const failure = failures.shift();
      if (failure) return Promise.reject(failure);
      const builder = new Builder(spec);
      made.push(builder);
      return Promise.resolve(builder);
    },
  };
  const metrics = invokerMetrics(new MetricsRegistry("invoker"));
  const deps = { driver, manifest: MANIFEST, clock, log: silentLog, metrics, parallelBuilds, buildEnv: {} };
  return { clock, made, failures, desk: new BuildDesk({ ...deps, startTimeoutMs: 1_000, pidsMax: 64 }) };
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const endOf = (build: Promise<unknown>): Promise<unknown> => build.catch((thrown: unknown) => thrown);

describe("a desk for builds", () => {
  it("makes a sandbox of the recipe's size, hands it the source, and gives its answer", async () => {
    const { clock, made, desk } = world();
    const built = desk.build(REQUEST);
    await settle();
    clock.advance(250);
    expect(made[0]?.spec).toMatchObject({ kind: "go:1", memoryMb: 512, build: true });
    expect(Buffer.from(made[0]?.builds[0]?.source ?? []).toString()).toBe("source");
    made[0]?.answer(BuildOutcome.BUILT);
    expect(await built).toMatchObject({ result: { outcome: BuildOutcome.BUILT }, durationMs: 250 });
    expect(made[0]?.destroyed).toBe(true);
  });

  it("builds only kinds that have a recipe", async () => {
    const { desk } = world();
    for (const kind of ["sh:1", "none:1", ""]) {
      const request = BuildRequest.fromPartial({ ...REQUEST, kind });
      expect(await endOf(desk.build(request))).toMatchObject({ kind: "failedPrecondition", reason: "NOT_BUILT_HERE" });
    }
  });

  it("runs as many at once as it may, lets a bounded number wait in order, and refuses the others", async () => {
    const { made, desk } = world(2);
    const builds = Array.from({ length: 2 + BUILDS_WAITING_MAX }, () => desk.build(REQUEST));
    expect(await endOf(desk.build(REQUEST))).toMatchObject({ kind: "noCapacity", reason: "BUILDS_BUSY" });
    for (let done = 0; done < builds.length; done++) {
      await settle();
      expect(made.length).toBe(Math.min(done + 2, builds.length));
      made[done]?.answer(BuildOutcome.BUILT);
      await builds[done];
    }
    expect(made.every(({ destroyed }) => destroyed)).toBe(true);
  });

  it("lets none wait longer than it says, and gives nobody's turn to one that has gone", async () => {
    const { clock, made, desk } = world();
    const first = desk.build(REQUEST);
    await settle();
    const late = endOf(desk.build(REQUEST));
    await settle();
    clock.advance(BUILD_WAIT_MS);
    expect(await late).toMatchObject({ kind: "noCapacity", reason: "BUILDS_BUSY" });
    made[0]?.answer(BuildOutcome.BUILT);
    await first;
    const next = desk.build(REQUEST);
    await settle();
    expect(made).toHaveLength(2);
    made[1]?.answer(BuildOutcome.BUILT);
    expect((await next).result?.outcome).toBe(BuildOutcome.BUILT);
  });

  it.each<readonly [string, SandboxExit, string]>([
    ["memory", { kind: "outOfMemory", limitMb: 512 }, "more memory than the 512 MiB"],
    ["processes", { kind: "tooManyProcesses", limit: 64 }, "more processes than the 64"],
    ["disk", { kind: "outOfDisk", limitMb: 100 }, "more than the 100 MiB"],
  ])("says to the one who deploys when the source ran out of %s", async (_what, exit, text) => {
    const { made, desk } = world();
    const built = desk.build(REQUEST);
    await settle();
    made[0]?.exit(exit);
    const { result } = await built;
    expect(result).toMatchObject({ outcome: BuildOutcome.FAILED });
    expect(result?.message).toContain(text);
  });

  it("ends a build that takes too long, and says so", async () => {
    const { clock, made, desk } = world();
    const built = desk.build(REQUEST);
    await settle();
    clock.advance(100_000);
    expect((await built).result).toMatchObject({
      outcome: BuildOutcome.FAILED,
      message: expect.stringContaining("100000 ms") as string,
    });
    expect(made[0]?.destroyed).toBe(true);
    made[0]?.answer(BuildOutcome.BUILT); // too late: nobody listens
  });

  it("tells a lost sandbox, one that cannot build and one that was not made from source that does not build", async () => {
    const { made, failures, desk } = world();
    const crashed = endOf(desk.build(REQUEST));
    await settle();
    made[0]?.exit({ kind: "exited", code: 137, signal: undefined });
    expect(await crashed).toMatchObject({ kind: "unavailable", reason: "BUILD_LOST" });

    const unable = endOf(desk.build(REQUEST));
    await settle();
    made[1]?.answer(BuildOutcome.UNAVAILABLE, "no compiler");
    expect(await unable).toMatchObject({
      kind: "failedPrecondition",
      reason: "NOT_BUILT_HERE",
      message: "no compiler",
    });

    failures.push(new WeftError("unavailable", "DRIVER_UNAVAILABLE", "no Docker"));
    expect(await endOf(desk.build(REQUEST))).toMatchObject({ reason: "DRIVER_UNAVAILABLE" });
    const after = desk.build(REQUEST);
    await settle();
    made[2]?.answer(BuildOutcome.BUILT);
    expect((await after).result?.outcome).toBe(BuildOutcome.BUILT);
  });

  it("ends a build that nobody waits for any more, running or waiting, and goes on with the next", async () => {
    const { made, desk } = world();
    const [first, second] = [new AbortController(), new AbortController()];
    const running = endOf(desk.build(REQUEST, first.signal));
    await settle();
    const waiting = endOf(desk.build(REQUEST, second.signal));
    const next = desk.build(REQUEST);
    second.abort();
    expect(await waiting).toMatchObject({ kind: "canceled", reason: "BUILD_UNWANTED" });
    first.abort();
    expect(await running).toMatchObject({ kind: "canceled", reason: "BUILD_UNWANTED" });
    await settle();
    expect(made.map(({ destroyed }) => destroyed)).toEqual([true, false]);
    made[1]?.answer(BuildOutcome.BUILT);
    expect((await next).result?.outcome).toBe(BuildOutcome.BUILT);
    expect(await endOf(desk.build(REQUEST, AbortSignal.abort()))).toMatchObject({ reason: "BUILD_UNWANTED" });
  });

  it("when it closes ends what runs, and takes nothing more", async () => {
    const { made, desk } = world();
    const running = endOf(desk.build(REQUEST));
    await settle();
    desk.close();
    expect(await running).toMatchObject({ kind: "unavailable", reason: "STOPPED" });
    expect(made[0]?.destroyed).toBe(true);
    expect(await endOf(desk.build(REQUEST))).toMatchObject({ reason: "STOPPED" });
  });
});
