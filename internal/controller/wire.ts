// Between the words of core and those of the wire.

import { bytesToHex, type ActivationId } from "../base/ids.js";
import { invalidField } from "../base/errors.js";
import type { ActionChange } from "../core/action/action.js";
import type { LimitsInput } from "../core/action/limits.js";
import type { Action, ActionLimits, KeyValue, Package, Rule, RuleLink, Trigger } from "../core/action/types.js";
import { endWallMsOf, type Activation, type Outcome, type StartKind } from "../core/activation/types.js";
import { tenantIdOf } from "../core/api/keys.js";
import { operationsIn, type ApiRoutes } from "../core/api/routes.js";
import type { ApiKey, StoredApi } from "../core/api/types.js";
import type { ActionAsk } from "../core/dispatch/call.js";
import type { Key, Namespace, NamespaceLimits } from "../core/tenancy/store.js";
import { overridesOfWire, overridesToWire } from "../dispatch/overrides-wire.js";
import type { Timestamp } from "../gen/google/protobuf/timestamp.pb.js";
import type { Api as WireApi, ApiKey as WireApiKey } from "../gen/weft/api/v1/api.pb.js";
import type { Key as WireKey } from "../gen/weft/access/v1/access.pb.js";
import type { Action as WireAction } from "../gen/weft/action/v1/action.pb.js";
import {
  Outcome as WireOutcome,
  Start,
  Subject,
  type Activation as WireActivation,
} from "../gen/weft/activation/v1/activation.pb.js";
import type { KeyValue as WireKeyValue, Limits } from "../gen/weft/common/v1/common.pb.js";
import type { ActionAsk as WireActionAsk } from "../gen/weft/link/v1/lease.pb.js";
import type {
  Namespace as WireNamespace,
  NamespaceLimits as WireLimits,
} from "../gen/weft/namespaces/v1/namespace.pb.js";
import type { Package as WirePackage } from "../gen/weft/packages/v1/package.pb.js";
import type { Rule as WireRule } from "../gen/weft/rule/v1/rule.pb.js";
import type { AttachedRule, Trigger as WireTrigger } from "../gen/weft/trigger/v1/trigger.pb.js";

// ---- pieces ----

export function timestamp(wallMs: number): Timestamp {
  const seconds = Math.floor(wallMs / 1_000);
  return { seconds, nanos: Math.round((wallMs - seconds * 1_000) * 1e6) };
}

export function wallMsOf(time: Timestamp | undefined): number | undefined {
  return time && time.seconds * 1_000 + time.nanos / 1e6;
}

export function etagOf(revision: number): string {
  return String(revision);
}

/** The revision an etag names; undefined when none is given. @throws invalidArgument for what never was an etag */
export function revisionOfEtag(etag: string): number | undefined {
  if (etag === "") return undefined;
  if (!/^[1-9]\d{0,14}$/.test(etag)) throw invalidField("etag", "is not an etag that this entity ever had");
  return Number(etag);
}

/** @throws invalidArgument unless it has 16 bytes */
export function activationIdOf(field: string, bytes: Uint8Array): ActivationId {
  if (bytes.length !== 16) throw invalidField(field, `must have 16 bytes, not ${bytes.length}`);
  return bytesToHex(bytes) as ActivationId;
}

const keyValueToWire = ({ key, valueJson, init }: KeyValue): WireKeyValue => ({ key, valueJson, init });

const LIMIT_NAMES = ["timeoutMs", "memoryMb", "concurrency"] as const;

/** 0 is "not given", except for logs. */
function limitsOfWire(limits: Limits | undefined): LimitsInput | undefined {
  if (!limits) return undefined;
  const given: { -readonly [K in keyof ActionLimits]?: number } = {};
  for (const name of LIMIT_NAMES) if (limits[name] !== 0) given[name] = limits[name];
  if (limits.logsMb !== undefined) given.logsMb = limits.logsMb;
  return { ...given, instances: limits.instances };
}

// ---- entities ----

/** @param namespace "_" resolved */
export function actionInput(
  action: WireAction,
  namespace: string,
  update: { readonly updateFields: readonly string[]; readonly deleteAnnotations: readonly string[] },
): ActionChange {
  const { exec } = action;
  return {
    namespace,
    name: action.name,
    version: action.version,
    publish: action.publish,
    annotations: action.annotations,
    parameters: action.parameters,
    limits: limitsOfWire(action.limits),
    // A view into the request: the request outlives the write.
    exec: exec && {
      kind: exec.kind,
      code: exec.code,
      binary: exec.binary,
      main: exec.main,
      components: exec.components,
      image: exec.image,
    },
    ...update,
  };
}

const NO_BYTES = new Uint8Array();

/** @param binding through which it was named */
export function actionToWire(action: Action, code: Uint8Array = NO_BYTES, binding?: Package): WireAction {
  const { exec } = action;
  return {
    namespace: action.namespace,
    name: action.name,
    version: action.version,
    exec: {
      kind: exec.kind,
      code,
      binary: exec.binary,
      main: exec.main ?? "",
      codeDigest: exec.codeDigest,
      codeSize: exec.codeSize,
      components: exec.components?.map((key) => `/${key}`) ?? [],
      image: exec.image ?? "",
      build: exec.build && {
        digest: exec.build.digest,
        cached: false,
        durationMs: exec.build.durationMs,
        artifactDigest: exec.build.artifact?.digest ?? "",
        artifactSize: exec.build.artifact?.size ?? 0,
        lock: exec.build.lock,
        problem: exec.build.problem,
      },
      unchecked: "",
    },
    parameters: action.parameters.map(keyValueToWire),
    annotations: action.annotations.map(keyValueToWire),
    limits: { ...action.limits, instances: action.maxInstances },
    publish: action.publish,
    updateTime: timestamp(action.updatedWallMs),
    etag: etagOf(action.revision),
    binding: binding ? `${binding.namespace}/${binding.name}` : "",
  };
}

/** @param contents its actions by name, and those of them that are feeds */
export function packageToWire(
  one: Package,
  contents: { readonly actions: readonly string[]; readonly feeds: readonly string[] } = { actions: [], feeds: [] },
): WirePackage {
  return {
    namespace: one.namespace,
    name: one.name,
    version: one.version,
    publish: one.publish,
    parameters: one.parameters.map(keyValueToWire),
    annotations: one.annotations.map(keyValueToWire),
    updateTime: timestamp(one.updatedWallMs),
    etag: etagOf(one.revision),
    actions: [...contents.actions],
    feeds: [...contents.feeds],
    binding: one.binding && { ...one.binding },
  };
}

export function triggerToWire(trigger: Trigger, links: readonly RuleLink[] = []): WireTrigger {
  return {
    namespace: trigger.namespace,
    name: trigger.name,
    version: trigger.version,
    parameters: trigger.parameters.map(keyValueToWire),
    annotations: trigger.annotations.map(keyValueToWire),
    publish: trigger.publish,
    updateTime: timestamp(trigger.updatedWallMs),
    etag: etagOf(trigger.revision),
    rules: links.map(({ rule, action, active }): AttachedRule => ({ rule, action, active })),
  };
}

export function ruleToWire(rule: Rule): WireRule {
  return {
    namespace: rule.namespace,
    name: rule.name,
    version: rule.version,
    trigger: `/${rule.trigger}`,
    action: `/${rule.action}`,
    active: rule.active,
    annotations: rule.annotations.map(keyValueToWire),
    publish: rule.publish,
    updateTime: timestamp(rule.updatedWallMs),
    etag: etagOf(rule.revision),
  };
}

// ---- tenancy ----

export function namespaceToWire({ name, limits, createdWallMs }: Namespace): WireNamespace {
  return {
    name,
    limits: { ...limits, overrides: limits.overrides && overridesToWire(limits.overrides) },
    createTime: timestamp(createdWallMs),
  };
}

/** Those that are set. */
export function namespaceLimitsOfWire(limits: WireLimits | undefined): Partial<NamespaceLimits> {
  const given: { -readonly [K in keyof NamespaceLimits]?: NamespaceLimits[K] } = {};
  if (limits?.invocationsPerMinute !== undefined) given.invocationsPerMinute = limits.invocationsPerMinute;
  if (limits?.firesPerMinute !== undefined) given.firesPerMinute = limits.firesPerMinute;
  if (limits?.concurrentInvocations !== undefined) given.concurrentInvocations = limits.concurrentInvocations;
  if (limits?.overrides) given.overrides = overridesOfWire(limits.overrides);
  return given;
}

export function keyToWire({ uuid, namespace, subject, createdWallMs, expiresWallMs }: Key): WireKey {
  const expireTime = expiresWallMs === undefined ? undefined : timestamp(expiresWallMs);
  return { uuid, namespace, subject, createTime: timestamp(createdWallMs), expireTime };
}

// ---- activations ----

const OUTCOME_TO_WIRE: Readonly<Record<Outcome, WireOutcome>> = {
  success: WireOutcome.SUCCESS,
  applicationError: WireOutcome.APPLICATION_ERROR,
  developerError: WireOutcome.DEVELOPER_ERROR,
  platformError: WireOutcome.PLATFORM_ERROR,
};

const START_TO_WIRE: Readonly<Record<StartKind, Start>> = {
  warm: Start.WARM,
  frozen: Start.FROZEN,
  stem: Start.STEM,
  cold: Start.COLD,
};

export function activationToWire(activation: Activation): WireActivation {
  const { id, namespace, subject, name, path, version, startWallMs, resultJson, logs, traceId } = activation;
  const common = {
    activationId: id,
    namespace,
    name,
    path,
    version,
    subject,
    startTime: timestamp(startWallMs),
    resultJson,
    logs: [...logs],
    traceId,
    composition: activation.of === "action" && activation.composite?.conductorRuns !== undefined,
  };
  if (activation.of === "trigger") {
    return {
      ...common,
      of: Subject.TRIGGER,
      endTime: undefined,
      durationMs: 0,
      initMs: undefined,
      waitMs: 0,
      outcome: WireOutcome.SUCCESS,
      timedOut: false,
      resultSize: Buffer.byteLength(resultJson),
      kind: "",
      limits: undefined,
      cause: "",
      binding: "",
      start: Start.UNSPECIFIED,
    };
  }
  return {
    ...common,
    of: Subject.ACTION,
    endTime: timestamp(endWallMsOf(activation)),
    durationMs: activation.durationMs,
    initMs: activation.initMs,
    waitMs: activation.waitMs,
    outcome: OUTCOME_TO_WIRE[activation.outcome],
    timedOut: activation.timedOut,
    resultSize: activation.resultSize,
    kind: activation.kind,
    limits: { ...activation.limits },
    cause: activation.cause ?? "",
    binding: activation.binding ?? "",
    start: activation.startKind ? START_TO_WIRE[activation.startKind] : Start.UNSPECIFIED,
  };
}

export { recordOfWire, textOf } from "../dispatch/record-wire.js";

// ---- dispatch ----

export function askToWire(ask: ActionAsk): WireActionAsk {
  return { ...ask };
}

// ---- APIs ----

export function apiToWire(api: StoredApi, routes: ApiRoutes, withDocument: boolean): WireApi {
  const tenantId = tenantIdOf(api.namespace);
  return {
    namespace: api.namespace,
    basePath: api.basePath,
    name: api.name,
    operations: operationsIn(routes).map(({ path, verb, id, backend, security }) => ({
      path,
      verb,
      operationId: id,
      action: `/${backend.namespace}/${backend.action}`,
      responseType: backend.format,
      requiresKey: security.length > 0,
    })),
    cors: routes.cors,
    tenantId,
    urlPath: `/api/${tenantId}${api.basePath === "/" ? "" : api.basePath}`,
    documentJson: Buffer.from(withDocument ? api.documentJson : ""),
    updateTime: timestamp(api.updatedWallMs),
    etag: etagOf(api.revision),
  };
}

export function apiKeyToWire({ id, namespace, basePath, note, createdWallMs }: ApiKey): WireApiKey {
  return { id, namespace, basePath, note, createTime: timestamp(createdWallMs) };
}
