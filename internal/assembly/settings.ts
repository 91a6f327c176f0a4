// Settings of the roles. One place, so that a setting that several commands share is said once.

import { boolean, choice, durationMs, integer, list, optional, secret, text, type ConfigOf } from "../base/config.js";
import type { SystemLimits } from "../core/throttle/throttle.js";
import { LOCAL_NAMESPACE_LIMITS, type NamespaceLimits } from "../core/tenancy/store.js";

/** What every role but none of the tools needs. */
export const clusterSettings = {
  etcdEndpoints: list("etcd members, host:port, comma separated", ["127.0.0.1:2379"]),
  etcdPrefix: text("begins every key in etcd: clusters with different prefixes do not see each other", "weft"),
  clusterKey: secret(
    "secret that all roles of a cluster share; proves on every internal link that a peer belongs to it",
  ),
  memberTtlMs: durationMs("how long a role that has died stays a member", 10_000, { minMs: 2_000, maxMs: 120_000 }),
};

const listenAddress = text(
  "where other roles reach this one, host:port or unix:/path; port 0 takes a free one, which etcd tells them",
  "127.0.0.1:0",
);

export const postgresUrlSetting = secret(
  "where entities, durable requests and records are: postgres://user:password@host:port/database",
);

/** Rates and places travel as uint32. */
const LIMIT_MAX = 0xffff_ffff;

/** Limits that gateways and controllers count against: the same for all of them. */
export const limitSettings = {
  defaultInvocationsPerMinute: integer("invocations a minute of a new namespace", {
    default: LOCAL_NAMESPACE_LIMITS.invocationsPerMinute,
    max: LIMIT_MAX,
  }),
  defaultFiresPerMinute: integer("firings of triggers a minute of a new namespace", {
    default: LOCAL_NAMESPACE_LIMITS.firesPerMinute,
    max: LIMIT_MAX,
  }),
  defaultConcurrentInvocations: integer("invocations in flight of a new namespace", {
    default: LOCAL_NAMESPACE_LIMITS.concurrentInvocations,
    max: LIMIT_MAX,
  }),
  systemInvocationsPerMinute: optional(
    integer("invocations a minute of all namespaces together; more are refused with 503. Without it no limit", {
      max: LIMIT_MAX,
    }),
  ),
  systemConcurrentInvocations: optional(
    integer("invocations in flight of all namespaces together; more are refused with 503. Without it no limit", {
      max: LIMIT_MAX,
    }),
  ),
};

export type LimitSettings = ConfigOf<typeof limitSettings>;

/** What a new namespace gets. */
export function namespaceLimitsOf(settings: Partial<LimitSettings>): NamespaceLimits {
  return {
    invocationsPerMinute: settings.defaultInvocationsPerMinute ?? LOCAL_NAMESPACE_LIMITS.invocationsPerMinute,
    firesPerMinute: settings.defaultFiresPerMinute ?? LOCAL_NAMESPACE_LIMITS.firesPerMinute,
    concurrentInvocations: settings.defaultConcurrentInvocations ?? LOCAL_NAMESPACE_LIMITS.concurrentInvocations,
  };
}

export function systemLimitsOf(settings: Partial<LimitSettings>): SystemLimits {
  return {
    invocationsPerMinute: settings.systemInvocationsPerMinute,
    concurrentInvocations: settings.systemConcurrentInvocations,
  };
}

/** What gateways check, and controllers hold documents of APIs to: the same for all of them. */
export const apiSettings = {
  tokenProviders: optional(
    text(
      "JSON file of who checks OAuth tokens of APIs, by name; without it google, github and facebook, as docs/openwhisk.md says",
    ),
  ),
};

export type ApiSettings = ConfigOf<typeof apiSettings>;

export const gatewaySettings = {
  ...clusterSettings,
  ...limitSettings,
  ...apiSettings,
  grpcAddress: text("where gRPC clients reach this gateway", "127.0.0.1:3232"),
  httpAddress: optional(text("where the built-in REST face listens; without it REST comes through Envoy only")),
};

export const controllerSettings = {
  ...clusterSettings,
  ...limitSettings,
  ...apiSettings,
  listenAddress,
  postgresUrl: postgresUrlSetting,
  postgresConnections: integer("most connections to Postgres", { default: 10, min: 2, max: 200 }),
  bootstrapKey: optional(secret("uuid:key of an operator, ensured at start; the key is 64 letters and digits")),
  bootstrapNamespace: text("namespace of that key, ensured at start", "guest"),
  catalogue: boolean("install the packages that come with Weft, or bring them up to date, at start", true),
  feedsMax: integer("most alarms of a namespace, and most webhooks", { default: 1_000, min: 0, max: 1_000_000 }),
  alarmIntervalMs: durationMs("shortest time between two firings of an alarm", 1_000, { minMs: 1_000 }),
  parameterKeys: secret(
    "keys that default parameters are encrypted with in Postgres, ID:SECRET,...: the first encrypts, all decrypt; SECRET is 32 bytes as base64 or hex; none in the first place stores them plain",
  ),
  hideParameters: boolean(
    "show default parameters encrypted when they are read, as OpenWhisk with encryption does",
    false,
  ),
  blackboxImages: list(
    "beginnings of names of images that blackbox actions may use, such as registry.example.com/team/; * allows all, none forbids them",
    ["*"],
  ),
  retentionDays: integer("how many days activation records are kept", { default: 7, min: 1, max: 3_650 }),
};

export const schedulerSettings = {
  ...clusterSettings,
  listenAddress,
};

/** What builds reach: of invokers, and of `weft dev`. */
export const buildNetworkSettings = {
  buildRegistries: list(
    "hosts that builds may reach: public for the package registries that everybody uses, host, host:port, or host:port=address:port for one that is elsewhere than its name says; none for none",
    ["public"],
  ),
  buildEnv: optional(
    secret('variables of builds that reach registries, a JSON object: {"npm_config_registry": "https://npm.example/"}'),
  ),
  buildCaFile: optional(
    text("PEM file of all authorities that builds trust; without it those that Node does, and NODE_EXTRA_CA_CERTS"),
  ),
};

export const invokerSettings = {
  ...clusterSettings,
  listenAddress,
  driver: choice(
    "what makes sandboxes; process gives no isolation and is for development",
    ["docker", "process"],
    "docker",
  ),
  dockerHost: text("where the Docker engine answers: unix:///path or tcp://host:port", "unix:///var/run/docker.sock"),
  sandboxNetwork: choice(
    "what Docker's sandboxes reach: none is safest and starts twice as fast, bridge lets them call out",
    ["none", "bridge"],
    "none",
  ),
  launcherDir: text(
    "folder of the launcher, which serves the kinds without a server of their own; deploy/local/images fills it",
    "/var/cache/weft/launcher",
  ),
  localImages: list("beginnings of names of images that are on this machine and never fetched from a registry", [
    "weft/",
    "local/",
  ]),
  parallelBuilds: integer("builds of source at the same time; each takes 1 GiB beside memoryMb", {
    default: 1,
    min: 1,
    max: 64,
  }),
  ...buildNetworkSettings,
  apiHost: optional(
    text("URL of the REST API as code in sandboxes is told it, __OW_API_HOST; without it the variable is not set"),
  ),
  memoryMb: integer("memory for sandboxes, MiB", { default: 2_048, min: 128, max: 16_777_216 }),
  stateDir: text("folder of the code cache and the sockets of sandboxes", "/var/lib/weft/invoker"),
  stemCells: integer("prepared sandboxes kept per kind that is in use; 0 keeps none", { default: 1, min: 0, max: 100 }),
  freezeAfterMs: durationMs("an idle sandbox is frozen after", 10_000, { minMs: 100 }),
  idleTimeoutMs: durationMs(
    "an idle sandbox is removed after, until ten pauses between calls of its action are known",
    600_000,
    { minMs: 1_000 },
  ),
  keepMaxMs: durationMs(
    "an idle sandbox whose action's calls are known is removed when it is not worth its memory, and after",
    14_400_000,
    { minMs: 1_000 },
  ),
  adoptWithinMs: durationMs(
    "an idle Docker sandbox whose invoker was killed waits so long for its next process; 0 ends it at once",
    60_000,
    { minMs: 0, maxMs: 3_600_000 },
  ),
  leaveSandboxes: boolean(
    "leave idle Docker sandboxes when the invoker stops, for its next process to take over: to replace it by another version",
    false,
  ),
  drainGraceMs: durationMs(
    "how long calls may go on when the invoker stops; less than the grace of the process",
    7_000,
  ),
};

export const migrateSettings = { postgresUrl: postgresUrlSetting };

export type ClusterSettings = ConfigOf<typeof clusterSettings>;
export type GatewaySettings = ConfigOf<typeof gatewaySettings>;
export type ControllerSettings = ConfigOf<typeof controllerSettings>;
export type SchedulerSettings = ConfigOf<typeof schedulerSettings>;
export type InvokerSettings = ConfigOf<typeof invokerSettings>;

/** What an invoker uses where nobody asks for anything else. */
export const INVOKER_DEFAULTS = {
  dockerHost: invokerSettings.dockerHost.default as string,
  sandboxNetwork: invokerSettings.sandboxNetwork.default as "bridge" | "none",
  launcherDir: invokerSettings.launcherDir.default as string,
  localImages: invokerSettings.localImages.default as readonly string[],
  parallelBuilds: invokerSettings.parallelBuilds.default as number,
  buildRegistries: invokerSettings.buildRegistries.default as readonly string[],
  buildEnv: undefined,
  buildCaFile: undefined,
  stemCells: invokerSettings.stemCells.default as number,
  freezeAfterMs: invokerSettings.freezeAfterMs.default as number,
  idleTimeoutMs: invokerSettings.idleTimeoutMs.default as number,
  keepMaxMs: invokerSettings.keepMaxMs.default as number,
  adoptWithinMs: invokerSettings.adoptWithinMs.default as number,
  leaveSandboxes: invokerSettings.leaveSandboxes.default as boolean,
  drainGraceMs: invokerSettings.drainGraceMs.default as number,
};
