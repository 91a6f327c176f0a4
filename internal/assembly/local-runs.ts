// What runs an action on its developer's machine: a driver of its own and what that finds here, without a fabric.

import { tmpdir } from "node:os";
import { join } from "node:path";

import { WeftError } from "../base/errors.js";
import { newBootId } from "../base/ids.js";
import { silentLog, type Log } from "../base/log.js";
import { MetricsRegistry } from "../base/metrics.js";
import { systemClock, systemRandom } from "../boot/system.js";
import { buildFailed, buildStepOf } from "../core/action/build.js";
import { sandboxKindOf } from "../core/action/image.js";
import { BLACKBOX_KIND } from "../core/action/types.js";
import type { DriverAbilities, SandboxDriver } from "../core/sandbox/driver.js";
import { DockerDriver } from "../docker/docker-driver.js";
import {
  runLocally,
  type LocalAction,
  type LocalCall,
  type LocalEnd,
  type LocalWatcher,
} from "../invoker/local-run.js";
import { BuildOutcome, BuildStep } from "../gen/weft/runtime/v1/sandbox.pb.js";
import { BuildDesk } from "../invoker/build-desk.js";
import { invokerMetrics } from "../invoker/metrics.js";
import { invokerSettings } from "../invoker/settings.js";
import { ProcessDriver } from "../process/process-driver.js";
import { openBuildNetwork } from "./build-network.js";
import { findLauncher, readManifest, runtimesDirectory } from "./files.js";
import { INVOKER_DEFAULTS } from "./settings.js";
import { socketDirectory } from "./socket-directory.js";

export interface LocalRunsOptions {
  readonly driver: DriverAbilities["name"];
  readonly dockerHost?: string | undefined;
  /** Folder of the launcher, which serves kinds without a server of their own. */
  readonly launcherDir?: string | undefined;
  /** Where child processes find programs. */
  readonly programPath: string;
  readonly log: Log;
}

/** Runs actions one at a time, each in a sandbox of its own that goes with it. */
export class LocalRuns {
  readonly #manifest = readManifest();
  readonly #random = systemRandom();
  readonly #driver: SandboxDriver;
  readonly #registries: string;
  /** The machine's timers do not keep a process; somebody waits for this one. */
  readonly #alive = setInterval(() => {}, 60_000);

  constructor(private readonly options: LocalRunsOptions) {
    const bootId = newBootId(this.#random);
    const launcher = findLauncher(options.launcherDir ?? INVOKER_DEFAULTS.launcherDir);
    this.#registries = socketDirectory(join(tmpdir(), `weft-local-${bootId}-r`));
    const common = {
      clock: systemClock,
      log: options.log,
      manifest: this.#manifest,
      directory: socketDirectory(join(tmpdir(), `weft-local-${bootId}`)),
      bootId,
      launcher,
      registries: this.#registries,
    };
    this.#driver =
      options.driver === "process"
        ? new ProcessDriver({ ...common, runtimesDirectory, path: options.programPath })
        : new DockerDriver({
            ...common,
            dockerHost: options.dockerHost ?? INVOKER_DEFAULTS.dockerHost,
            invokerId: `local-${bootId}`,
            localImages: INVOKER_DEFAULTS.localImages,
            network: INVOKER_DEFAULTS.sandboxNetwork,
          });
  }

  /**
   * The concrete kind.
   * @param image of a blackbox action
   * @throws invalidArgument UNKNOWN_KIND; failedPrecondition IMAGE_NEEDED for an image, which is no child process
   */
  kindOf(kind: string, image = ""): string {
    if (kind === BLACKBOX_KIND) {
      if (this.options.driver === "docker") return sandboxKindOf({ kind, image });
      throw new WeftError("failedPrecondition", "IMAGE_NEEDED", `it runs in the image ${image}`, {
        fix: "weft action invoke --local --docker NAME",
      });
    }
    const found = this.#manifest.resolve(kind);
    if (found) return found.kind;
    const there = this.#manifest.kinds.map((one) => one.kind).join(", ");
    throw new WeftError("invalidArgument", "UNKNOWN_KIND", `kind: there is no ${kind}; there is ${there}`, {
      fields: [{ field: "kind", description: `there is no ${kind}` }],
    });
  }

  /**
   * What is loaded: what a build sandbox makes of source that is compiled, or of an archive that lists its dependencies, as
   * when it is deployed.
   * @throws invalidArgument BUILD_FAILED with file and line; failedPrecondition when it cannot be built here
   */
  async built(action: LocalAction, signal: AbortSignal): Promise<LocalAction> {
    const kind = this.#manifest.find(action.kind);
    const { code, binary, main, key } = action;
    // What has a mistake says so when it is loaded.
    const step = kind && buildStepOf(kind, code, binary, { keepFailed: false, resolve: undefined });
    if (!step || step === "check") return action;
    const metrics = invokerMetrics(new MetricsRegistry("invoker"));
    const { log } = this.options;
    const network = await openBuildNetwork(INVOKER_DEFAULTS, this.#registries, { clock: systemClock, log, metrics });
    const desk = new BuildDesk({
      driver: this.#driver,
      manifest: this.#manifest,
      clock: systemClock,
      log: silentLog,
      metrics,
      parallelBuilds: 1,
      buildEnv: network.env,
      ...invokerSettings({ memoryMb: action.limits.memoryMb }),
    });
    const stop = (): void => desk.close();
    signal.addEventListener("abort", stop, { once: true });
    try {
      const actionName = key.slice(key.lastIndexOf("/") + 1);
      const { result } = await desk.build({
        kind: kind.kind,
        build: {
          actionName,
          main,
          source: code,
          binary,
          step: step === "compile" ? BuildStep.COMPILE : BuildStep.RESOLVE,
        },
      });
      if (result?.outcome === BuildOutcome.BUILT) {
        return result.artifact.length === 0 ? action : { ...action, code: result.artifact, binary: true };
      }
      const { diagnostics = [], message: problem = "nothing was said" } = result ?? {};
      throw buildFailed({ digest: "", step, durationMs: 0, lock: "", artifact: undefined, diagnostics, problem });
    } finally {
      signal.removeEventListener("abort", stop);
      await network.close();
    }
  }

  /** As `runLocally`. */
  run(action: LocalAction, call: LocalCall, watcher: LocalWatcher, signal: AbortSignal): Promise<LocalEnd> {
    const deps = { driver: this.#driver, clock: systemClock, random: this.#random, log: this.options.log };
    return runLocally(deps, action, call, watcher, signal);
  }

  async close(): Promise<void> {
    try {
      await this.#driver.close();
    } finally {
      clearInterval(this.#alive);
    }
  }
}
