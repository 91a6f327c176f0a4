// Fabrics of their own for rows whose settings are not those of all others, and what invokers say about themselves.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PublicClient } from "../harness/client.js";
import { Fabric } from "../harness/fabric.js";
import { http } from "../harness/http.js";
import { emptyDatabase } from "../harness/postgres.js";
import { parseExposition, type Exposition } from "../harness/prometheus.js";

export async function withFabric<T>(
  env: Readonly<Record<string, string>>,
  use: (fabric: Fabric, client: PublicClient) => Promise<T>,
): Promise<T> {
  const database = await emptyDatabase();
  try {
    const fabric = await Fabric.start({ mode: "up", invokers: 1, env: { WEFT_POSTGRES_URL: database.url, ...env } });
    const client = new PublicClient(fabric.grpc, fabric.authorization);
    try {
      await client.raiseLimits("guest");
      return await use(fabric, client);
    } finally {
      client.close();
      await fabric.stop();
    }
  } finally {
    await database.drop();
  }
}

/** Of the one invoker. */
export async function invokerMetrics(fabric: Fabric): Promise<Exposition> {
  for (const line of readFileSync(join(fabric.stateDir, "log", "invoker-1.log"), "utf8").split("\n")) {
    if (!line.includes('"ready"')) continue;
    const { admin } = JSON.parse(line) as { readonly admin: string };
    return parseExposition((await http(`http://${admin}`, "/metrics")).body);
  }
  throw new Error("invoker-1 has not said where its metrics are");
}
