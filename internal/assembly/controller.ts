import { Controller } from "../controller/controller.js";
import { Presence } from "../core/coordination/presence.js";
import { QuotaLink } from "../dispatch/quota-link.js";
import type { Activation } from "../core/activation/types.js";
import { parseKeyRing } from "../core/sealing/key-ring.js";
import { BuildServiceService } from "../gen/weft/link/v1/build.pb.js";
import { FleetServiceService, InvokerServiceService } from "../gen/weft/link/v1/fleet.pb.js";
import { openStores } from "../postgres/stores.js";
import { readCron } from "../cron/cron.js";
import type { RoleContext } from "./context.js";
import { readCatalogue, readManifest, readTokenProviders, readVersion } from "./files.js";
import {
  namespaceLimitsOf,
  systemLimitsOf,
  type ApiSettings,
  type ControllerSettings,
  type LimitSettings,
} from "./settings.js";
import type { Wiring } from "./wiring.js";

const CLOSE_GRACE_MS = 2_000;
/** Calls that run when a controller stops are waited for; what has not begun stays in the database. */
const DRAIN_GRACE_MS = 5_000;
/** A scheduler answers this in a millisecond or not at all. */
const DESCRIBE_MS = 2_000;
/** What an invoker has is known without it, if not as exactly: `weft status` does not wait for one that hangs. */
const DESCRIBE_INVOKER_MS = 500;
const STATEMENT_TIMEOUT_MS = 30_000;

export interface ControllerHooks {
  /** Brings the database to the schema of this version first. */
  readonly migrate?: boolean;
  /** Told of each record that is durable. */
  readonly onRecorded?: (activation: Activation) => void;
}

/** Resolves when it serves. @returns its internal address */
export async function startController(
  context: RoleContext,
  wiring: Wiring,
  settings: Pick<
    ControllerSettings,
    | "listenAddress"
    | "memberTtlMs"
    | "postgresUrl"
    | "postgresConnections"
    | "bootstrapKey"
    | "bootstrapNamespace"
    | "catalogue"
    | "feedsMax"
    | "blackboxImages"
    | "alarmIntervalMs"
    | "retentionDays"
    | "parameterKeys"
    | "hideParameters"
  > &
    ApiSettings &
    Partial<LimitSettings>,
  hooks: ControllerHooks = {},
): Promise<string> {
  const { scope, log, clock, random, admin, bootId, instanceId: id } = context;
  const keyRing = parseKeyRing("parameterKeys", settings.parameterKeys);
  const stores = scope.use(
    "postgres",
    await openStores({ clock, random, log }, settings.postgresUrl, {
      applicationName: id,
      connectionsMax: settings.postgresConnections,
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
      migrate: hooks.migrate ?? false,
    }),
    (s) => s.close(),
  );
  const controller = new Controller({
    id,
    bootId,
    entities: stores.entities,
    builds: stores.builds,
    requestBuild: (address, request, deadlineMs) =>
      wiring.grpc.unary(address, BuildServiceService.build, request, { deadlineMs }),
    tenancy: stores.tenancy,
    seals: stores.seals,
    keyRing,
    apis: stores.apis,
    activations: stores.activations,
    queue: stores.queue,
    feeds: stores.feeds,
    coordination: wiring.coordination,
    network: wiring.links,
    describeFleet: (address) =>
      wiring.grpc.unary(address, FleetServiceService.describe, {}, { deadlineMs: DESCRIBE_MS }),
    describeInvoker: (address) =>
      wiring.grpc.unary(address, InvokerServiceService.describe, {}, { deadlineMs: DESCRIBE_INVOKER_MS }),
    clusterKey: wiring.clusterKey,
    readCron,
    manifest: readManifest().allowing(settings.blackboxImages),
    tokenProviders: new Set(readTokenProviders(settings.tokenProviders).keys()),
    catalogue: settings.catalogue ? readCatalogue() : [],
    clock,
    random,
    log,
    tracer: context.tracer,
    metrics: context.metrics.registry("controller"),
    settings: {
      bootstrapKey: settings.bootstrapKey ?? "",
      bootstrapNamespace: settings.bootstrapNamespace,
      namespaceLimits: namespaceLimitsOf(settings),
      systemLimits: systemLimitsOf(settings),
      retentionDays: settings.retentionDays,
      alarms: { perNamespaceMax: settings.feedsMax, intervalMinMs: settings.alarmIntervalMs },
      webhooksPerNamespaceMax: settings.feedsMax,
      hideParameters: settings.hideParameters,
    },
    version: readVersion(),
    ...(hooks.onRecorded ? { onRecorded: hooks.onRecorded } : {}),
  });
  const quota = new QuotaLink({
    id,
    bootId,
    role: "controller",
    throttles: controller.throttles,
    network: wiring.links,
    coordination: wiring.coordination,
    clock,
    random,
    log,
  });
  scope.use("shares of throttles", quota, (q) => q.close()).start();
  const server = wiring.server({ log, clock, observe: controller.observe });
  controller.register(server);
  scope.use("controller", controller, (c) => c.close());
  const address = await server.listen(settings.listenAddress);
  scope.use("controller server", server, (s) => s.close(CLOSE_GRACE_MS));
  const presence = scope.use(
    "controller membership",
    new Presence({
      coordination: wiring.coordination,
      member: { role: "controller", id, bootId, address, zone: "", wireVersion: 1 },
      ttlMs: settings.memberTtlMs,
      clock,
      random,
      log,
    }),
    (p) => p.close(),
  );
  // A member before it takes requests: another controller takes over what belongs to a boot that is none.
  await presence.start();
  await controller.start();
  // The last to be opened is the first to close: it drains while the server still takes records.
  scope.use("controller drain", controller, (c) => c.drain(DRAIN_GRACE_MS));
  admin.addReadiness("controller", () => (presence.held() ? true : "its place among the members is in doubt"));
  admin.addDebug("controller", () => controller.debug());
  return address;
}
