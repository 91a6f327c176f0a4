// D8: a warm invocation over REST, through the Envoy of `weft up`, against the same request through an Envoy of the same
// configuration with a bare gRPC server behind it that answers the same message.

import { InvokeResponse } from "../../internal/gen/weft/invoke/v1/invoke.pb.js";
import { PublicClient } from "../harness/client.js";
import { Envoy } from "../harness/envoy.js";
import { capacity, ECHO_ACTION, PARAMS, worst, type BenchContext, type RowResult } from "./capacity.js";
import type { LoadOrder } from "./protocol.js";

const IN_FLIGHT = [16, 64];

export async function restCapacity(context: BenchContext): Promise<RowResult> {
  const path = `/v1/namespaces/_/actions/${ECHO_ACTION}:invoke`;
  const body = JSON.stringify({ params_json: PARAMS, blocking: true });
  const headers = { authorization: context.fabric.authorization };
  const client = new PublicClient(context.fabric.grpc, context.fabric.authorization);
  try {
    await context.echo.answer(InvokeResponse.encode(await client.invoke(ECHO_ACTION, JSON.parse(PARAMS))).finish());
  } finally {
    client.close();
  }
  const envoy = await Envoy.start([context.echo.address]);
  try {
    return await worst(context, IN_FLIGHT, (_, inFlight) => {
      const order = (url: string): LoadOrder => ({
        loop: { kind: "closed", inFlight },
        how: { kind: "post", path, body },
        address: url.slice("http://".length),
        headers,
        warmupMs: 500,
        measureMs: context.measureMs,
      });
      return capacity(context, order(envoy.url), order(context.fabric.rest));
    });
  } finally {
    await envoy.stop();
  }
}
