// Overrides of a namespace between the words of core and those of the wire, for controllers and gateways.

import { NUMERIC_OVERRIDES, type NamespaceOverrides, type NumericOverride } from "../core/tenancy/overrides.js";
import type { NamespaceLimits } from "../core/tenancy/store.js";
import type { NamespaceQuota } from "../gen/weft/link/v1/control.pb.js";
import type { NamespaceOverrides as WireOverrides } from "../gen/weft/namespaces/v1/namespace.pb.js";

export function overridesToWire(overrides: NamespaceOverrides): WireOverrides {
  const numbers = Object.fromEntries(NUMERIC_OVERRIDES.map((name) => [name, overrides[name]])) as Record<
    NumericOverride,
    number | undefined
  >;
  return {
    ...numbers,
    allowedKinds: [...(overrides.allowedKinds ?? [])],
    storeActivations: overrides.storeActivations,
  };
}

/** Those that are set; undefined when none is. */
export function overridesOfWire(wire: WireOverrides | undefined): NamespaceOverrides | undefined {
  const set: { -readonly [K in keyof NamespaceOverrides]: NamespaceOverrides[K] } = {};
  for (const name of NUMERIC_OVERRIDES) if (wire?.[name] !== undefined) set[name] = wire[name];
  if (wire && wire.allowedKinds.length > 0) set.allowedKinds = wire.allowedKinds;
  if (wire?.storeActivations !== undefined) set.storeActivations = wire.storeActivations;
  return Object.keys(set).length === 0 ? undefined : set;
}

export function quotaToWire(limits: NamespaceLimits): NamespaceQuota {
  return { ...limits, overrides: limits.overrides && overridesToWire(limits.overrides) };
}

/** What gateways know of a namespace's limits. Without any everything is refused. */
export function quotaOfWire(quota: NamespaceQuota | undefined): NamespaceLimits {
  const overrides = overridesOfWire(quota?.overrides);
  return {
    invocationsPerMinute: quota?.invocationsPerMinute ?? 0,
    firesPerMinute: quota?.firesPerMinute ?? 0,
    concurrentInvocations: quota?.concurrentInvocations ?? 0,
    ...(overrides ? { overrides } : {}),
  };
}
