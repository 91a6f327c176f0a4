// The public rpcs that controllers serve and a gateway hands on.

import { ApiServiceService } from "../gen/weft/api/v1/api.pb.js";
import { AccessServiceService } from "../gen/weft/access/v1/access.pb.js";
import { ActionServiceService } from "../gen/weft/action/v1/action.pb.js";
import { ActivationServiceService } from "../gen/weft/activation/v1/activation.pb.js";
import { ClusterServiceService } from "../gen/weft/cluster/v1/cluster.pb.js";
import { InvokeServiceService } from "../gen/weft/invoke/v1/invoke.pb.js";
import { NamespaceServiceService } from "../gen/weft/namespaces/v1/namespace.pb.js";
import { PackageServiceService } from "../gen/weft/packages/v1/package.pb.js";
import { RuleServiceService } from "../gen/weft/rule/v1/rule.pb.js";
import { TriggerServiceService } from "../gen/weft/trigger/v1/trigger.pb.js";

/** What a successful call makes old in the gateway's caches. */
export type Effect = "actions" | "apis" | "identities" | "none";

const READS = /^(Get|List|WhoAmI)/;

function proxied(service: Readonly<Record<string, { readonly path: string }>>, effect: Effect): [string, Effect][] {
  return Object.values(service).map(({ path }) => {
    const method = path.slice(path.lastIndexOf("/") + 1);
    return [path, READS.test(method) ? "none" : effect];
  });
}

const EFFECTS: ReadonlyMap<string, Effect> = new Map([
  ...proxied(NamespaceServiceService, "identities"),
  ...proxied(AccessServiceService, "identities"),
  ...proxied(PackageServiceService, "actions"),
  ...proxied(ActionServiceService, "actions"),
  ...proxied(TriggerServiceService, "none"),
  ...proxied(RuleServiceService, "none"),
  ...proxied(ApiServiceService, "apis"),
  ...proxied(ActivationServiceService, "none"),
  ...proxied(ClusterServiceService, "none"),
]);

/** Paths of the rpcs that are handed on. */
export const PROXIED_PATHS: readonly string[] = [...EFFECTS.keys()];

/** Every rpc that a gateway serves, "package.Service/Method". */
export const SERVED_RPCS: readonly string[] = [
  ...PROXIED_PATHS,
  ...Object.values(InvokeServiceService).map(({ path }) => path),
  "/weft.rest.v1.TunnelService/Handle",
  "/grpc.health.v1.Health/Check",
].map((path) => path.slice(1));

export function isProxied(path: string): boolean {
  return EFFECTS.has(path);
}

/** What a key that was made for an activation may not do: it would outlive itself. */
export function managesKeys(path: string): boolean {
  return effectOf(path) === "identities" || (KEY_RPCS.has(path) && path !== AccessServiceService.whoAmI.path);
}

const KEY_RPCS: ReadonlySet<string> = new Set(Object.values(AccessServiceService).map(({ path }) => path));

export function effectOf(path: string): Effect {
  return EFFECTS.get(path) ?? "none";
}
