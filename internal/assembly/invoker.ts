import { join } from "node:path";
import { WeftError } from "../base/errors.js";
import { MemberView } from "../core/coordination/member-view.js";
import type { SandboxDriver } from "../core/sandbox/driver.js";
import type { RuntimeManifest } from "../core/sandbox/manifest.js";
import { DockerDriver } from "../docker/docker-driver.js";
import { BuildServiceService, type BuildRequest, type BuildResponse } from "../gen/weft/link/v1/build.pb.js";
import { InvokerServiceService, type DescribeInvokerResponse } from "../gen/weft/link/v1/fleet.pb.js";
import { BuildDesk } from "../invoker/build-desk.js";
import { DiskCodeStore } from "../invoker/code-store.js";
import { GrpcCodeSource } from "../invoker/grpc-code-source.js";
import { Invoker } from "../invoker/invoker.js";
import { DiskJournal } from "../invoker/journal.js";
import { invokerSettings } from "../invoker/settings.js";
import { ProcessDriver } from "../process/process-driver.js";
import type { CallContext } from "../rpc/call-context.js";
import { workLink } from "../rpc/link-methods.js";
import { openBuildNetwork } from "./build-network.js";
import { untilReady, type RoleContext } from "./context.js";
import { findLauncher, readManifest, runtimesDirectory } from "./files.js";
import type { InvokerSettings } from "./settings.js";
import { socketDirectory } from "./socket-directory.js";
import type { Wiring } from "./wiring.js";

const CLOSE_GRACE_MS = 1_000;
/** Code kept on disk: a few dozen of the largest actions, thousands of usual ones. */
const CODE_DISK_BYTES_MAX = 2 * 1024 * 1024 * 1024;

const BUILD_START_MS = 30_000;
/** Compilers have many threads. */
const BUILD_PIDS_MAX = 1_024;

/** Resolves when schedulers see it. @returns its internal address */
export async function startInvoker(
  context: RoleContext,
  wiring: Wiring,
  settings: Pick<
    InvokerSettings,
    | "listenAddress"
    | "memberTtlMs"
    | "driver"
    | "dockerHost"
    | "sandboxNetwork"
    | "launcherDir"
    | "localImages"
    | "parallelBuilds"
    | "buildRegistries"
    | "buildEnv"
    | "buildCaFile"
    | "apiHost"
    | "memoryMb"
    | "stateDir"
    | "stemCells"
    | "freezeAfterMs"
    | "idleTimeoutMs"
    | "keepMaxMs"
    | "adoptWithinMs"
    | "leaveSandboxes"
    | "drainGraceMs"
  > & {
    /** Where child-process sandboxes find programs. */
    readonly programPath: string;
  },
): Promise<string> {
  const { scope, log, clock, random, admin, bootId, instanceId: id } = context;
  const { coordination, grpc } = wiring;
  const manifest = readManifest();
  const members = scope.use("members", new MemberView(coordination), (m) => m.close());
  members.start();
  const server = wiring.server({ log, clock });
  // Its address is part of who it is, so that it listens before it is.
  let accept = (link: Parameters<Invoker["accept"]>[0]): void => link.close();
  let describe = (): DescribeInvokerResponse => {
    throw new WeftError("unavailable", "STARTING", `${id} starts`);
  };
  let build = (_request: BuildRequest, _wanted: AbortSignal): Promise<BuildResponse> => {
    throw new WeftError("unavailable", "STARTING", `${id} starts`);
  };
  server.serveLink(workLink, (link) => accept(link));
  server.serveService(BuildServiceService, {
    build: (ctx: CallContext, request: BuildRequest) => build(request, ctx.signal),
  });
  server.serveService(InvokerServiceService, { describe: () => Promise.resolve(describe()) });
  const address = await server.listen(settings.listenAddress);
  scope.use("invoker server", server, (s) => s.close(CLOSE_GRACE_MS));
  const registries = socketDirectory(join(settings.stateDir, "registries"));
  const driver = scope.use("sandbox driver", driverOf(context, manifest, settings, registries), (d) => d.close());
  const invoker = new Invoker({
    id,
    bootId,
    address,
    driver,
    journal: new DiskJournal(join(settings.stateDir, "journal"), log),
    network: wiring.links,
    code: new GrpcCodeSource(grpc, members),
    codeStore: new DiskCodeStore(join(settings.stateDir, "code"), CODE_DISK_BYTES_MAX, clock),
    coordination,
    clock,
    random,
    log,
    metrics: context.metrics.registry("invoker"),
    tracer: context.tracer,
    clusterKey: wiring.clusterKey,
    settings: invokerSettings({
      memoryMb: settings.memoryMb,
      leaseTtlMs: settings.memberTtlMs,
      freezeAfterMs: settings.freezeAfterMs,
      idleTimeoutMs: settings.idleTimeoutMs,
      keepMaxMs: settings.keepMaxMs,
      leaveSandboxes: settings.leaveSandboxes && settings.adoptWithinMs > 0,
      drainGraceMs: settings.drainGraceMs,
      sandboxEnv: settings.apiHost === undefined ? {} : { __OW_API_HOST: settings.apiHost },
      stemDemandMax: settings.stemCells * STEMS_PER_MIN,
      stems: manifest.kinds.flatMap((kind) =>
        kind.stemCells.map(({ memoryMb }) => ({
          kind: kind.kind,
          memoryMb,
          min: settings.stemCells,
          max: settings.stemCells * STEMS_PER_MIN,
        })),
      ),
    }),
  });
  const { metrics } = invoker;
  const network = await openBuildNetwork(settings, registries, { clock, log, metrics });
  scope.use("build network", network, (n) => n.close());
  const builds = new BuildDesk({
    driver,
    manifest,
    clock,
    log,
    metrics,
    parallelBuilds: settings.parallelBuilds,
    buildEnv: network.env,
    startTimeoutMs: BUILD_START_MS,
    pidsMax: BUILD_PIDS_MAX,
  });
  scope.use("builds", builds, (b) => b.close());
  accept = (link) => invoker.accept(link);
  describe = () => invoker.snapshot();
  scope.use("invoker", invoker, (i) => i.drain());
  await invoker.start();
  build = (request, wanted) => builds.build(request, wanted); // not before what an earlier life left is removed
  admin.addReadiness("invoker", () => invoker.readiness());
  admin.addDebug("invoker", () => invoker.describe());
  await untilReady(context, () => invoker.readiness());
  return address;
}

/** How far demand may raise the number of stem cells of a kind. */
const STEMS_PER_MIN = 8;

function driverOf(
  { log, clock, bootId, instanceId }: RoleContext,
  manifest: RuntimeManifest,
  settings: Pick<
    InvokerSettings,
    "driver" | "dockerHost" | "sandboxNetwork" | "launcherDir" | "localImages" | "stateDir" | "adoptWithinMs"
  > & {
    readonly programPath: string;
  },
  registries: string,
): SandboxDriver {
  const directory = socketDirectory(join(settings.stateDir, "sandboxes"));
  const launcher = findLauncher(settings.launcherDir);
  if (launcher === undefined) {
    log.warn("kinds that need the launcher cannot be run: it is not there", {
      launcherDir: settings.launcherDir,
      fix: "deploy/local/images launcher",
    });
  }
  switch (settings.driver) {
    case "process":
      return new ProcessDriver({
        clock,
        log,
        manifest,
        runtimesDirectory,
        launcher,
        registries,
        directory,
        bootId,
        path: settings.programPath,
      });
    case "docker":
      return new DockerDriver({
        clock,
        log,
        manifest,
        dockerHost: settings.dockerHost,
        invokerId: instanceId,
        bootId,
        directory,
        launcher,
        registries,
        localImages: settings.localImages,
        network: settings.sandboxNetwork,
        reconnectMs: settings.adoptWithinMs,
      });
  }
}
