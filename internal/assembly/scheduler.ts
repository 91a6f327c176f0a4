import { FleetServiceService } from "../gen/weft/link/v1/fleet.pb.js";
import { fleetLink, leaseLink, quotaLink } from "../rpc/link-methods.js";
import { schedulerMetrics } from "../scheduler/metrics.js";
import { Scheduler, SCHEDULER_DEFAULTS } from "../scheduler/scheduler.js";
import { untilReady, type RoleContext } from "./context.js";
import type { SchedulerSettings } from "./settings.js";
import type { Wiring } from "./wiring.js";

const CLOSE_GRACE_MS = 1_000;

/** Resolves when it serves. @returns its internal address */
export async function startScheduler(
  context: RoleContext,
  wiring: Wiring,
  settings: Pick<SchedulerSettings, "listenAddress" | "memberTtlMs">,
): Promise<string> {
  const { scope, log, clock, random, admin } = context;
  const scheduler = new Scheduler({
    id: context.instanceId,
    bootId: context.bootId,
    coordination: wiring.coordination,
    clock,
    random,
    log,
    metrics: schedulerMetrics(context.metrics.registry("scheduler")),
    clusterKey: wiring.clusterKey,
    settings: { ...SCHEDULER_DEFAULTS, memberTtlMs: settings.memberTtlMs },
  });
  const server = wiring.server({ log, clock });
  server.serveLink(leaseLink, (link) => scheduler.serveLease(link));
  server.serveLink(fleetLink, (link) => scheduler.serveFleet(link));
  server.serveLink(quotaLink, (link) => scheduler.serveQuota(link));
  server.serveService(FleetServiceService, { describe: () => Promise.resolve(scheduler.describe()) });
  const address = await server.listen(settings.listenAddress);
  scope.use("scheduler server", server, (s) => s.close(CLOSE_GRACE_MS));
  scope.use("scheduler", scheduler, (s) => s.close());
  await scheduler.start(address);
  admin.addReadiness("scheduler", () => scheduler.readiness());
  admin.addDebug("scheduler", () => scheduler.debug());
  await untilReady(context, () => scheduler.readiness());
  return address;
}
