// D7: a warm invocation of an action in an image of its own, which the launcher reaches over HTTP, against POST /run on
// kept connections to the same image in a container of its own. One program drives both, by bare sockets on either side:
// the clients of Node and grpc-js cost 30 and 95 µs of CPU a call, so that most of the ratio would be theirs.

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { InvokeRequest } from "../../internal/gen/weft/invoke/v1/invoke.pb.js";
import { requireService } from "../harness/services.js";
import { docker } from "./bare.js";
import { capacity, PARAMS, worst, type BenchContext, type RowResult } from "./capacity.js";
import { INVOKE, type LoadOrder } from "./protocol.js";

const IMAGE = "local/weft-bench-http-echo:1";
const ACTION = "bench-http-echo";
const IN_FLIGHT = [16, 64];
const MEMORY_MB = 256;
/** How long the bare server may take to listen. */
const READY_MS = 10_000;

export async function httpCapacity(context: BenchContext): Promise<RowResult> {
  // From dist: the recipe is not compiled.
  const recipe = fileURLToPath(new URL("../../../test/bench/http-echo", import.meta.url));
  execFileSync("docker", ["-H", requireService("docker"), "build", "-q", "-t", IMAGE, recipe], { stdio: "ignore" });
  await context.fabric.ok("action", "update", ACTION, "--image", IMAGE, "--concurrency", "500");
  await context.fabric.ok("action", "invoke", ACTION, "--result");
  const container = await docker().createContainer({
    Image: IMAGE,
    HostConfig: {
      Memory: MEMORY_MB * 1024 * 1024,
      MemorySwap: MEMORY_MB * 1024 * 1024,
      CpuShares: MEMORY_MB * 4,
      LogConfig: { Type: "none", Config: {} },
    },
  });
  try {
    await container.start();
    const address = `${(await container.inspect()).NetworkSettings.Networks["bridge"]?.IPAddress ?? ""}:8080`;
    await untilReady(`http://${address}/run`);
    return await worst(context, IN_FLIGHT, (_, inFlight) => {
      const loop = { kind: "closed", inFlight } as const;
      const common = { loop, warmupMs: 500, measureMs: context.measureMs };
      const bare: LoadOrder = {
        ...common,
        how: { kind: "leanPost", path: "/run", body: JSON.stringify({ value: JSON.parse(PARAMS) as unknown }) },
        address,
        headers: {},
      };
      const message = InvokeRequest.encode({
        namespace: "_",
        action: ACTION,
        paramsJson: PARAMS,
        blocking: true,
        waitMs: 0,
      }).finish();
      const order: LoadOrder = {
        ...common,
        how: { kind: "leanUnary", path: INVOKE, messageBase64: Buffer.from(message).toString("base64") },
        address: context.fabric.grpc,
        headers: { authorization: context.fabric.authorization },
      };
      return capacity(context, bare, order);
    });
  } finally {
    await container.remove({ force: true });
  }
}

async function untilReady(url: string): Promise<void> {
  const until = performance.now() + READY_MS;
  for (;;) {
    try {
      const answer = await fetch(url, { method: "POST", body: `{"value":{}}` });
      if (answer.ok) return;
    } catch (thrown) {
      if (performance.now() > until) throw thrown;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
