// What builds have of a network, from an invoker's settings.

import { readFileSync } from "node:fs";
import { rootCertificates } from "node:tls";

import { invalidField } from "../base/errors.js";
import type { Clock } from "../base/clock.js";
import type { Log } from "../base/log.js";
import { parseBuildEnv, parseRegistries } from "../core/build/registries.js";
import type { InvokerMetrics } from "../invoker/metrics.js";
import { RegistryProxy } from "../invoker/registry-proxy.js";
import type { InvokerSettings } from "./settings.js";

export type BuildNetworkSettings = Pick<InvokerSettings, "buildRegistries" | "buildEnv" | "buildCaFile">;

export interface BuildNetwork {
  /** For the driver. */
  readonly directory: string;
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/** @throws invalidArgument naming the setting that is wrong. */
export async function openBuildNetwork(
  settings: BuildNetworkSettings,
  directory: string,
  deps: { readonly clock: Clock; readonly log: Log; readonly metrics: Pick<InvokerMetrics, "registryConnections"> },
): Promise<BuildNetwork> {
  const registries = parseRegistries(settings.buildRegistries);
  const env = parseBuildEnv(settings.buildEnv);
  const authorities = authoritiesOf(settings.buildCaFile);
  const proxy = await RegistryProxy.open({ ...deps, registries, directory, authorities });
  return { directory, env, close: () => proxy.close() };
}

/** Whom Node trusts, unless a file says it. */
function authoritiesOf(file: string | undefined): string {
  if (file !== undefined) return readPem("buildCaFile", file);
  const extra = process.env["NODE_EXTRA_CA_CERTS"];
  return [...rootCertificates, ...(extra ? [readPem("NODE_EXTRA_CA_CERTS", extra)] : [])].join("\n");
}

function readPem(field: string, file: string): string {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (thrown) {
    throw invalidField(field, `cannot be read: ${(thrown as Error).message}`);
  }
  if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  throw invalidField(field, `${file} has no certificate in PEM`);
}
