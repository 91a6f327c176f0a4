// The two modes of a local installation, for tests that must hold in both.

import { Fabric, type FabricOptions } from "../harness/fabric.js";
import { emptyDatabase } from "../harness/postgres.js";
import { serviceAddress, type Service } from "../harness/services.js";

export const UP_SERVICES: readonly Service[] = ["etcd", "postgres", "docker", "envoy"];

export interface OpenFabric {
  readonly fabric: Fabric;
  readonly close: () => Promise<void>;
}

export async function openFabric(options: FabricOptions): Promise<OpenFabric> {
  if (options.mode === "dev") {
    const fabric = await Fabric.start(options);
    return { fabric, close: () => fabric.stop() };
  }
  const database = await emptyDatabase();
  try {
    const fabric = await Fabric.start({
      ...options,
      env: { WEFT_POSTGRES_URL: database.url, ...servicesEnvironment(), ...options.env },
    });
    return {
      fabric,
      close: async () => {
        await fabric.stop();
        await database.drop();
      },
    };
  } catch (thrown) {
    await database.drop();
    throw thrown;
  }
}

function servicesEnvironment(): Record<string, string> {
  const variables = { WEFT_ETCD_ENDPOINTS: "etcd", WEFT_DOCKER_HOST: "docker", WEFT_ENVOY: "envoy" } as const;
  const env: Record<string, string> = {};
  for (const [variable, service] of Object.entries(variables)) {
    const address = serviceAddress(service);
    if (address !== undefined) env[variable] = address;
  }
  return env;
}
