// Where the real services are, and what becomes of tests that need one that is not here: in CI they fail, elsewhere
// they are reported as skipped, by name and with what brings the service.

import { existsSync, readFileSync } from "node:fs";
import { describe } from "vitest";

export type Service = "etcd" | "postgres" | "docker" | "envoy";

const VARIABLES: Readonly<Record<Service, string>> = {
  etcd: "WEFT_ETCD_ENDPOINTS",
  postgres: "WEFT_POSTGRES_URL",
  docker: "WEFT_DOCKER_HOST",
  envoy: "WEFT_ENVOY",
};

/** In the repository, from the source and from dist. */
const FILE = ["../../.weft/services.env", "../../../.weft/services.env"]
  .map((path) => new URL(path, import.meta.url))
  .find((path) => existsSync(path));

/** Where a service is: from the environment, else from the file that deploy/local/install writes. */
export function serviceAddress(service: Service): string | undefined {
  const variable = VARIABLES[service];
  const given = process.env[variable];
  if (given) return given;
  if (!FILE) return undefined;
  for (const line of readFileSync(FILE, "utf8").split("\n")) {
    if (line.startsWith(`${variable}=`)) return line.slice(variable.length + 1);
  }
  return undefined;
}

/** @throws when it is not here: call it inside describeWith */
export function requireService(service: Service): string {
  const address = serviceAddress(service);
  if (address === undefined) throw new Error(`no ${service} here: run deploy/local/install`);
  return address;
}

/** A describe for tests that need services. */
export function describeWith(services: readonly Service[], name: string, tests: () => void | Promise<void>): void {
  const missing = services.filter((service) => serviceAddress(service) === undefined);
  if (missing.length === 0) describe(name, tests);
  else if (process.env["CI"]) {
    describe(name, () => {
      throw new Error(`CI must not skip: no ${missing.join(", ")} here; run deploy/local/install`);
    });
  } else describe.skip(`${name} (skipped: no ${missing.join(", ")} here; deploy/local/install brings them)`, tests);
}
