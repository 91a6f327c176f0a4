import { MemberView } from "../core/coordination/member-view.js";
import { Presence } from "../core/coordination/presence.js";
import { Dispatcher } from "../dispatch/dispatcher.js";
import { QuotaLink } from "../dispatch/quota-link.js";
import { RpcControllerClient } from "../gateway/controller-client.js";
import { Gateway } from "../gateway/gateway.js";
import { Rest } from "../gateway/rest/rest.js";
import type { RuntimeManifest } from "../core/sandbox/manifest.js";
import { untilReady, type RoleContext } from "./context.js";
import { docsFiles, readDescriptors, readManifest, readTokenProviders, readVersion } from "./files.js";
import {
  namespaceLimitsOf,
  systemLimitsOf,
  type ApiSettings,
  type GatewaySettings,
  type LimitSettings,
} from "./settings.js";
import type { Wiring } from "./wiring.js";

const CLOSE_GRACE_MS = 1_500;
/** Calls in flight when a gateway stops are waited for this long. */
const DRAIN_GRACE_MS = 5_000;

export interface GatewayAddresses {
  readonly grpc: string;
  /** undefined without the built-in face. */
  readonly http: string | undefined;
}

/** Resolves when it serves: a controller and a scheduler have answered. */
export async function startGateway(
  context: RoleContext,
  wiring: Wiring,
  settings: Pick<GatewaySettings, "grpcAddress" | "httpAddress" | "memberTtlMs"> & ApiSettings & Partial<LimitSettings>,
): Promise<GatewayAddresses> {
  const { scope, log, clock, random, admin, bootId, instanceId: id } = context;
  const { coordination } = wiring;
  const members = scope.use("members", new MemberView(coordination), (m) => m.close());
  members.start();
  const descriptors = readDescriptors();
  const registry = context.metrics.registry("gateway");
  const gateway = new Gateway({
    controller: new RpcControllerClient({ network: wiring.grpc, members, clock, random, log }),
    dispatcher: new Dispatcher({ id, bootId, network: wiring.links, coordination, clock, random, log }),
    clusterKey: wiring.clusterKey,
    systemLimits: systemLimitsOf(settings),
    clock,
    random,
    log,
    metrics: registry,
    tracer: context.tracer,
    descriptors,
  });
  const quota = new QuotaLink({
    id,
    bootId,
    role: "gateway",
    throttles: gateway.throttles,
    network: wiring.links,
    coordination,
    clock,
    random,
    log,
  });
  scope.use("shares of throttles", quota, (q) => q.close()).start();
  const version = readVersion();
  const rest = new Rest({
    api: gateway.api,
    rates: gateway.throttles.rates,
    tokenProviders: readTokenProviders(settings.tokenProviders),
    clock,
    random,
    log,
    registry,
    descriptors,
    info: {
      build: version,
      buildNumber: version,
      defaultLimits: namespaceLimitsOf(settings),
      runtimes: runtimesOf(readManifest()),
      readDocsFile: docsFiles(),
    },
  });
  gateway.serveTunnel(rest.tunnel);
  const grpc = await gateway.start(settings.grpcAddress);
  scope.use("gateway", gateway, (g) => g.close(CLOSE_GRACE_MS));
  const presence = scope.use(
    "gateway membership",
    new Presence({
      coordination,
      member: { role: "gateway", id, bootId, address: grpc, zone: "", wireVersion: 1 },
      ttlMs: settings.memberTtlMs,
      clock,
      random,
      log,
    }),
    (p) => p.close(),
  );
  await presence.start();
  admin.addReadiness("gateway", () => gateway.readiness());
  admin.addDebug("gateway", () => gateway.debug());
  await untilReady(context, () => gateway.readiness());
  let http: string | undefined;
  if (settings.httpAddress !== undefined) {
    const at = settings.httpAddress.lastIndexOf(":");
    http = await rest.listen(settings.httpAddress.slice(0, at), Number(settings.httpAddress.slice(at + 1)));
  }
  scope.use("rest", rest, (r) => r.close(CLOSE_GRACE_MS));
  scope.use("gateway drain", gateway, (g) => g.drain(DRAIN_GRACE_MS));
  return { grpc, http };
}

/** As the host document shows them: by family, in the manifest's order. */
function runtimesOf(manifest: RuntimeManifest): Record<string, RuntimeManifest["kinds"]> {
  const families: Record<string, RuntimeManifest["kinds"][number][]> = {};
  for (const kind of manifest.kinds) (families[kind.family] ??= []).push(kind);
  return families;
}
