import { Registry, collectDefaultMetrics } from "prom-client";

let registry: Registry | undefined;

/**
 * What the process says about itself (event-loop delay, memory, CPU, garbage collection, descriptors) as Prometheus
 * text, under the names that every Node dashboard knows. It is measured once however many roles live in the process.
 */
export async function processMetrics(): Promise<string> {
  if (!registry) {
    registry = new Registry();
    collectDefaultMetrics({ register: registry });
  }
  // prom-client writes what it has not measured yet as "Nan", which is not in the format.
  return (await registry.metrics()).replace(/ Nan$/gm, " NaN");
}
