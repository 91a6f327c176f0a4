// Builds source in sandboxes of its own, next to those that run actions.
//
// Builds are rare and heavy: few at once, in a bounded queue. Their memory is not taken from that of the sandboxes: it is
// `parallelBuilds` times what the recipe says, and an operator counts it beside `memoryMb`.

import type { Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { SandboxDriver, SandboxExit, SandboxProcess } from "../core/sandbox/driver.js";
import type { BuildRecipe, RuntimeManifest } from "../core/sandbox/manifest.js";
import type { BuildRequest, BuildResponse } from "../gen/weft/link/v1/build.pb.js";
import {
  BuildOutcome,
  BuildResult,
  BuildStep,
  FromSandbox,
  ToSandbox,
  type Build,
} from "../gen/weft/runtime/v1/sandbox.pb.js";
import type { InvokerMetrics } from "./metrics.js";

/** Builds that wait for their turn; more are for another invoker, or for later. */
export const BUILDS_WAITING_MAX = 16;
/** How long one waits for its turn. */
export const BUILD_WAIT_MS = 60_000;
/** Numbers of build sandboxes begin here: those of other sandboxes never come so far. */
const FIRST_NUMBER = 0x4000_0000;

export interface BuildDeskDeps {
  readonly driver: Pick<SandboxDriver, "create">;
  readonly manifest: RuntimeManifest;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<InvokerMetrics, "builds" | "buildsRunning" | "buildsWaiting" | "buildSeconds">;
  /** Builds at the same time. */
  readonly parallelBuilds: number;
  /** Variables of builds that reach registries: where these are, and what opens them. */
  readonly buildEnv: Readonly<Record<string, string>>;
  readonly startTimeoutMs: number;
  readonly pidsMax: number;
}

export class BuildDesk {
  readonly #waiting: (() => void)[] = [];
  readonly #stop = new AbortController();
  #running = 0;
  #made = 0;

  constructor(private readonly deps: BuildDeskDeps) {
    deps.metrics.buildsRunning.from(() => this.#running);
    deps.metrics.buildsWaiting.from(() => this.#waiting.length);
  }

  /**
   * @throws failedPrecondition when the kind is not built here; noCapacity when too many wait; unavailable when the sandbox
   * could not be made or was lost; canceled when `wanted` aborts: nobody waits for the answer any more
   */
  async build({ kind, build }: BuildRequest, wanted?: AbortSignal): Promise<BuildResponse> {
    const recipe = this.deps.manifest.find(kind)?.build;
    if (!recipe || !build) {
      throw new WeftError(
        "failedPrecondition",
        "NOT_BUILT_HERE",
        `${kind || "a kind without a name"} is not built here`,
      );
    }
    const over = AbortSignal.any(wanted ? [this.#stop.signal, wanted] : [this.#stop.signal]);
    await this.#turn(over);
    const { clock, metrics } = this.deps;
    const fromMonoMs = clock.monoMs();
    let sandbox: SandboxProcess | undefined;
    try {
      sandbox = await this.#sandboxOf(kind, recipe, build.step, over);
      const result = await this.#answer(sandbox, recipe, build, over);
      metrics.builds.bound({ result: result.outcome === BuildOutcome.BUILT ? "built" : "failed" }).inc();
      return { result, durationMs: Math.round(clock.monoMs() - fromMonoMs) };
    } catch (thrown) {
      metrics.builds.bound({ result: "unavailable" }).inc();
      this.deps.log.warn("a build came to no end", { kind, error: toWeftError(thrown) });
      throw thrown;
    } finally {
      metrics.buildSeconds.observe((clock.monoMs() - fromMonoMs) / 1_000);
      void this.#end(sandbox, kind);
    }
  }

  /** Nobody waits for the end of the sandbox but the next build: its memory is in use until then. */
  async #end(sandbox: SandboxProcess | undefined, kind: string): Promise<void> {
    try {
      await sandbox?.destroy();
    } catch (thrown) {
      this.deps.log.warn("a build sandbox could not be removed", { kind, error: toWeftError(thrown) });
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }

  /** Those that run end as unavailable. May be repeated. */
  close(): void {
    this.#stop.abort(new WeftError("unavailable", "STOPPED", "the invoker stops"));
  }

  /** From here on it is one of those that run. */
  async #turn(over: AbortSignal): Promise<void> {
    if (over.aborted) throw this.#whyOver();
    if (this.#running < this.deps.parallelBuilds && this.#waiting.length === 0) {
      this.#running += 1;
      return;
    }
    if (this.#waiting.length >= BUILDS_WAITING_MAX) throw busy(`${BUILDS_WAITING_MAX} builds wait already`);
    await new Promise<void>((resolve, reject) => {
      const leave = (why: WeftError): void => {
        settle();
        this.#waiting.splice(this.#waiting.indexOf(begin), 1);
        reject(why);
      };
      const cancel = this.deps.clock.after(BUILD_WAIT_MS, () => leave(busy(`no turn came within ${BUILD_WAIT_MS} ms`)));
      const ended = (): void => leave(this.#whyOver());
      over.addEventListener("abort", ended, { once: true });
      const settle = (): void => {
        cancel();
        over.removeEventListener("abort", ended);
      };
      const begin = (): void => {
        settle();
        this.#running += 1;
        resolve();
      };
      this.#waiting.push(begin);
    });
  }

  #whyOver(): WeftError {
    if (this.#stop.signal.aborted) return toWeftError(this.#stop.signal.reason);
    return new WeftError("canceled", "BUILD_UNWANTED", "nobody waits for this build any more");
  }

  #sandboxOf(kind: string, recipe: BuildRecipe, step: BuildStep, over: AbortSignal): Promise<SandboxProcess> {
    // What only looks for mistakes needs nothing of others.
    const network = recipe.network && step !== BuildStep.CHECK;
    const { driver, pidsMax, startTimeoutMs } = this.deps;
    const spec = {
      sandbox: FIRST_NUMBER + this.#made++,
      kind,
      memoryMb: recipe.memoryMb,
      pidsMax,
      env: network ? this.deps.buildEnv : {},
      build: true,
      registries: network,
    } as const;
    return driver.create(spec, startTimeoutMs, over);
  }

  #answer(sandbox: SandboxProcess, recipe: BuildRecipe, build: Build, over: AbortSignal): Promise<BuildResult> {
    const { clock } = this.deps;
    if (over.aborted) throw this.#whyOver();
    return new Promise((resolve, reject) => {
      const late = clock.after(recipe.timeoutMs, () => {
        end(() => resolve(failed(`the build took longer than the ${recipe.timeoutMs} ms that it may take`)));
      });
      const stopped = (): void => end(() => reject(this.#whyOver()));
      const end = (tell: () => void): void => {
        late();
        over.removeEventListener("abort", stopped);
        tell();
      };
      over.addEventListener("abort", stopped, { once: true });
      sandbox.link.onMessage = (bytes) => {
        end(() => {
          const { message } = FromSandbox.decode(bytes);
          if (message?.$case !== "buildResult") reject(lost("it sent something else"));
          else if (message.value.outcome === BuildOutcome.UNAVAILABLE) {
            reject(new WeftError("failedPrecondition", "NOT_BUILT_HERE", message.value.message));
          } else resolve(message.value);
        });
      };
      void sandbox.exited.then((exit) => end(() => endedEarly(exit, resolve, reject)));
      sandbox.link.send(ToSandbox.encode({ message: { $case: "build", value: build } }).finish());
    });
  }
}

/** Running into a limit is the source's doing; everything else happens to a sandbox. */
function endedEarly(exit: SandboxExit, resolve: (result: BuildResult) => void, reject: (e: WeftError) => void): void {
  switch (exit.kind) {
    case "outOfMemory":
      return resolve(failed(`the build took more memory than the ${exit.limitMb} MiB that it may take`));
    case "tooManyProcesses":
      return resolve(failed(`the build had more processes than the ${exit.limit} that it may have`));
    case "outOfDisk":
      return resolve(failed(`the build wrote more than the ${exit.limitMb} MiB that it may write`));
    case "exited":
      return reject(lost(`exit code ${exit.code ?? "none"}, signal ${exit.signal ?? "none"}`));
  }
}

function failed(message: string): BuildResult {
  return BuildResult.fromPartial({ outcome: BuildOutcome.FAILED, message });
}

function lost(how: string): WeftError {
  return new WeftError("unavailable", "BUILD_LOST", `the build sandbox ended without an answer: ${how}`);
}

function busy(why: string): WeftError {
  return new WeftError("noCapacity", "BUILDS_BUSY", `this invoker cannot build now: ${why}`);
}
