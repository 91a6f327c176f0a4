// Has source built, by invokers.
//
//   B1. Nothing is built twice: what came out, and that nothing did, is remembered by what decides it (core/action/build.ts).
//       Equal builds at the same time are one.
//   B2. Only what the source is at fault for is remembered, and is the caller's error. That nobody could build it is
//       "unavailable", and nothing is stored.
//   B3. What only looks for mistakes is not asked of the user's patience: when nobody can, the action is stored unchecked.
//   B4. Any invoker may build. One that cannot, or has too much to do, is passed over; after BUILD_LOSSES_MAX that were lost
//       in the middle it is given up: the source may be what kills them.

import { createHash } from "node:crypto";

import type { Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import {
  buildDigest,
  buildFailed,
  buildStepOf,
  type BuildStep,
  type BuildStore,
  type BuildWish,
} from "../core/action/build.js";
import { CODE_BYTES_MAX, type Build, type Exec } from "../core/action/types.js";
import type { RuntimeKind, RuntimeManifest } from "../core/sandbox/manifest.js";
import type { BuildRequest, BuildResponse } from "../gen/weft/link/v1/build.pb.js";
import { BuildOutcome, BuildStep as WireStep, type BuildResult } from "../gen/weft/runtime/v1/sandbox.pb.js";
import type { ControllerMetrics } from "./metrics.js";

/** Invokers that may be lost in one build. */
export const BUILD_LOSSES_MAX = 2;
/** Reasons of an invoker that cannot build, or has too much to do. */
const PASSED_OVER: readonly string[] = ["NOT_BUILT_HERE", "IMAGE_MISSING", "BUILDS_BUSY"];
const NO_CAPACITY = "NO_BUILD_CAPACITY";
/** Builds under way here; each holds its source in memory. */
export const BUILDS_MAX = 64;
/** To wait for a turn and a sandbox, over what the recipe allows. */
const WAIT_MS = 100_000;

export interface BuildsDeps {
  readonly store: BuildStore;
  readonly manifest: RuntimeManifest;
  /** Addresses of the invokers there are. */
  readonly invokers: () => Promise<readonly string[]>;
  /** BuildService.Build of an invoker. */
  readonly build: (address: string, request: BuildRequest, deadlineMs: number) => Promise<BuildResponse>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Pick<ControllerMetrics, "builds" | "buildSeconds">;
}

/** A build, and whether it was there already. */
export interface Built {
  readonly build: Build;
  readonly cached: boolean;
}

/** What became of code that is written: nothing, a build, or why nobody looked at it. */
export type Looked = Built | { readonly unchecked: string } | undefined;

export class Builds {
  readonly #underWay = new Map<string, Promise<Build>>();

  constructor(private readonly deps: BuildsDeps) {}

  /**
   * @returns undefined when the code is loaded as it is and was not to be looked at
   * @throws invalidArgument BUILD_FAILED, unless `keepFailed`; unavailable NO_BUILD_CAPACITY when something must be made of the code
   */
  async of(exec: Exec, actionName: string, code: Uint8Array, wish: BuildWish): Promise<Looked> {
    const kind = this.deps.manifest.find(exec.kind);
    const step = kind && buildStepOf(kind, code, exec.binary, wish);
    if (!step) return undefined;
    let built: Built;
    try {
      built = await this.#once(kind, step, exec, actionName, code);
    } catch (thrown) {
      const { message, reason } = toWeftError(thrown);
      if (step !== "check" || reason !== NO_CAPACITY) throw thrown;
      this.deps.metrics.builds.bound({ result: "unchecked" }).inc(); // B3
      this.deps.log.warn("code was stored unchecked", { kind: kind.kind, why: message });
      return { unchecked: message };
    }
    if (built.build.problem !== "" && !wish.keepFailed) throw buildFailed(built.build);
    return built;
  }

  async #once(kind: RuntimeKind, step: BuildStep, exec: Exec, actionName: string, code: Uint8Array): Promise<Built> {
    const { store, metrics } = this.deps;
    const digest = buildDigest(kind, step, exec);
    const known = await store.find(digest);
    if (known) {
      metrics.builds.bound({ result: "cached" }).inc();
      return { build: known, cached: true };
    }
    const other = this.#underWay.get(digest);
    if (other) return { build: await other, cached: true };
    if (this.#underWay.size >= BUILDS_MAX) throw noCapacity(kind.kind, `${BUILDS_MAX} builds are under way`);
    const building = this.#build(digest, kind, step, exec, actionName, code);
    this.#underWay.set(digest, building);
    try {
      return { build: await building, cached: false };
    } finally {
      this.#underWay.delete(digest);
    }
  }

  async #build(
    digest: string,
    kind: RuntimeKind,
    step: BuildStep,
    exec: Exec,
    actionName: string,
    code: Uint8Array,
  ): Promise<Build> {
    const { clock, metrics, store } = this.deps;
    const fromMonoMs = clock.monoMs();
    try {
      const main = exec.main ?? "";
      const { result, durationMs } = await this.#anywhere(kind, {
        kind: kind.kind,
        build: { actionName, main, source: code, binary: exec.binary, step: STEPS[step] },
      });
      if (!result) throw new WeftError("unavailable", "NO_RESULT", "an invoker answered a build without a result");
      const built = buildOf(digest, step, result, durationMs);
      await store.keep(built, built.artifact && result.artifact);
      metrics.builds.bound({ result: built.problem === "" ? "built" : "failed" }).inc();
      return built;
    } catch (thrown) {
      metrics.builds.bound({ result: "unavailable" }).inc();
      throw thrown;
    } finally {
      metrics.buildSeconds.observe((clock.monoMs() - fromMonoMs) / 1_000);
    }
  }

  /** B4 */
  async #anywhere(kind: RuntimeKind, request: BuildRequest): Promise<BuildResponse> {
    const { build, invokers, log, random } = this.deps;
    const addresses = await invokers();
    const first = Math.floor(random.next() * addresses.length);
    const deadlineMs = (kind.build?.timeoutMs ?? 0) + WAIT_MS;
    let why = "there is no invoker";
    let losses = 0;
    for (let i = 0; i < addresses.length && losses < BUILD_LOSSES_MAX; i++) {
      const address = addresses[(first + i) % addresses.length] ?? "";
      try {
        return await build(address, request, deadlineMs);
      } catch (thrown) {
        const error = toWeftError(thrown);
        why = error.message;
        if (!PASSED_OVER.includes(error.reason)) losses += 1;
        log.info("an invoker did not build", { address, kind: kind.kind, error });
      }
    }
    throw noCapacity(kind.kind, why);
  }
}

const STEPS: Readonly<Record<BuildStep, WireStep>> = {
  compile: WireStep.COMPILE,
  resolve: WireStep.RESOLVE,
  check: WireStep.CHECK,
};

function buildOf(digest: string, step: BuildStep, result: BuildResult, durationMs: number): Build {
  const { artifact, diagnostics, lock, message, outcome } = result;
  const base = { digest, step, durationMs, diagnostics, lock };
  if (outcome !== BuildOutcome.BUILT || artifact.length > CODE_BYTES_MAX) {
    return { ...base, artifact: undefined, problem: message || "the build said nothing" };
  }
  if (artifact.length === 0 && step !== "compile") return { ...base, artifact: undefined, problem: "" };
  const sum = createHash("sha256").update(artifact).digest("hex");
  return { ...base, artifact: { digest: sum, size: artifact.length }, problem: "" };
}

function noCapacity(kind: string, why: string): WeftError {
  return new WeftError("unavailable", NO_CAPACITY, `nobody could build an action of ${kind}: ${why}`, {
    fix: "see what the invokers say: their machine needs the build image of the kind (deploy/local/images), or its compiler",
  });
}
