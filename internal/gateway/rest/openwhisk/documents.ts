// The documents that OpenWhisk answers without credentials, and the limits of a namespace.

import { CODE_BYTES_MAX, LIMIT_BOUNDS, PARAMETERS_BYTES_MAX, PAYLOAD_BYTES_MAX } from "../../../core/action/types.js";
import { boundsOf } from "../../../core/tenancy/overrides.js";
import { LOCAL_NAMESPACE_LIMITS, type NamespaceLimits } from "../../../core/tenancy/store.js";
import type { ReadDocsFile } from "./docs-pages.js";

export interface RuntimeKind {
  readonly kind: string;
  readonly image: string;
  readonly default: boolean;
  readonly deprecated: boolean;
  readonly requireMain: boolean;
}

/** What the installation says about itself. */
export interface HostInfo {
  /** When or from what it was built: shown by `wsk property get`. */
  readonly build: string;
  readonly buildNumber: string;
  /** Kinds by family ("nodejs"), in the order to show them. */
  readonly runtimes: Readonly<Record<string, readonly RuntimeKind[]>>;
  /** Throttles of a namespace that has none of its own; default: a local installation's. */
  readonly defaultLimits?: NamespaceLimits;
  /** Longest sequence; default 50. */
  readonly sequenceLengthMax?: number;
  /** Files of Swagger's pages; without it there are no pages. */
  readonly readDocsFile?: ReadDocsFile;
}

const MIB = 1024 * 1024;

/** `GET /`: tools read the kinds and limits from it. */
export function hostDocument(info: HostInfo): string {
  const throttles = info.defaultLimits ?? LOCAL_NAMESPACE_LIMITS;
  const { timeoutMs, memoryMb, logsMb } = LIMIT_BOUNDS;
  const runtimes = Object.entries(info.runtimes).map(([family, kinds]) => [
    family,
    kinds.map((runtime) => ({
      kind: runtime.kind,
      image: runtime.image,
      deprecated: runtime.deprecated,
      default: runtime.default,
      attached: true,
      requireMain: runtime.requireMain,
    })),
  ]);
  return JSON.stringify({
    description: "Weft, compatible with OpenWhisk",
    support: { github: "https://github.com/apache/openwhisk/issues", slack: "http://slack.openwhisk.org" },
    api_paths: ["/api/v1"],
    limits: {
      actions_per_minute: throttles.invocationsPerMinute,
      triggers_per_minute: throttles.firesPerMinute,
      concurrent_actions: throttles.concurrentInvocations,
      sequence_length: info.sequenceLengthMax ?? 50,
      default_min_action_duration: timeoutMs.min,
      default_max_action_duration: timeoutMs.max,
      default_min_action_memory: memoryMb.min * MIB,
      default_max_action_memory: memoryMb.max * MIB,
      default_min_action_logs: logsMb.min * MIB,
      default_max_action_logs: logsMb.max * MIB,
      min_action_duration: timeoutMs.min,
      max_action_duration: timeoutMs.max,
      min_action_memory: memoryMb.min * MIB,
      max_action_memory: memoryMb.max * MIB,
      min_action_logs: logsMb.min * MIB,
      max_action_logs: logsMb.max * MIB,
      max_action_code: CODE_BYTES_MAX,
      max_parameters: PARAMETERS_BYTES_MAX,
      max_payload: PAYLOAD_BYTES_MAX,
    },
    runtimes: Object.fromEntries(runtimes) as unknown,
  });
}

/** `GET /api/v1`: `build` and `buildno` are strings, or clients cannot read it. */
export function apiDocument(info: HostInfo): string {
  return JSON.stringify({
    description: "OpenWhisk API",
    api_version: "1.0.0",
    api_version_path: "v1",
    build: info.build,
    buildno: info.buildNumber,
    swagger_paths: { ui: "/docs", "api-docs": "/api-docs" },
  });
}

/** `GET /namespaces/{ns}/limits`. */
export function limitsDocument(quota: NamespaceLimits): string {
  const { overrides } = quota;
  const { allowedKinds, timeoutMs, memoryMb, logsMb, concurrency, ...sizes } = boundsOf(overrides);
  return JSON.stringify({
    invocationsPerMinute: quota.invocationsPerMinute,
    concurrentInvocations: quota.concurrentInvocations,
    firesPerMinute: quota.firesPerMinute,
    // Absent unless they are set.
    allowedKinds,
    storeActivations: overrides?.storeActivations,
    minActionMemory: memoryMb.min,
    maxActionMemory: memoryMb.max,
    minActionLogs: logsMb.min,
    maxActionLogs: logsMb.max,
    minActionTimeout: timeoutMs.min,
    maxActionTimeout: timeoutMs.max,
    minActionConcurrency: concurrency.min,
    maxActionConcurrency: concurrency.max,
    maxParameterSize: `${sizes.parameterBytesMax} B`,
    maxPayloadSize: `${sizes.payloadBytesMax} B`,
    truncationSize: overrides?.truncationSize === undefined ? undefined : `${overrides.truncationSize} B`,
    // Each sandbox that is in use is for an invocation in flight.
    maxActionInstances: overrides?.maxActionInstances ?? quota.concurrentInvocations,
  });
}
