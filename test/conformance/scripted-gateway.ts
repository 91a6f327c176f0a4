// One gateway process for both faces: the public gRPC server that Envoy stands before, and the built-in HTTP face.

import { readFileSync } from "node:fs";
import { silentLog } from "../../internal/base/log.js";
import { Metrics } from "../../internal/base/metrics.js";
import { systemClock, systemRandom } from "../../internal/boot/system.js";
import { Throttles } from "../../internal/core/throttle/throttle.js";
import { Health } from "../../internal/gateway/health.js";
import { Rest } from "../../internal/gateway/rest/rest.js";
import { TunnelServiceService } from "../../internal/gen/weft/rest/v1/tunnel.pb.js";
import { RpcServer } from "../../internal/rpc/server.js";
import { DESCRIPTORS } from "../harness/envoy.js";
import { ScriptedApi } from "./scripted-api.js";

export interface ScriptedGateway {
  readonly api: ScriptedApi;
  /** host:port */
  readonly grpc: string;
  /** http://host:port of the built-in face */
  readonly rest: string;
  /** Value of an Authorization header that is accepted. */
  readonly authorization: string;
  /** The same as "uuid:key". */
  readonly auth: string;
  readonly close: () => Promise<void>;
}

const AUTH = `23bc46b1-71f6-4ed5-8c54-816aa4f8c502:${"k".repeat(64)}`;
const CLOSE_MS = 2_000;

export async function openScriptedGateway(): Promise<ScriptedGateway> {
  const random = systemRandom();
  const api = new ScriptedApi({ random, auth: AUTH });
  const rest = new Rest({
    api,
    rates: new Throttles(systemClock).rates,
    tokenProviders: new Map(),
    clock: systemClock,
    random,
    log: silentLog,
    registry: new Metrics().registry("gateway"),
    descriptors: readFileSync(DESCRIPTORS),
    info: {
      build: "2026-01-01",
      buildNumber: "test",
      runtimes: {
        nodejs: [{ kind: "nodejs:20", image: "node", default: true, deprecated: false, requireMain: false }],
        python: [{ kind: "python:3.11", image: "python", default: true, deprecated: false, requireMain: false }],
      },
    },
  });
  const server = new RpcServer({ log: silentLog, clock: systemClock });
  server.serveService(TunnelServiceService, { handle: rest.tunnel });
  new Health([]).serve(server);
  for (const path of api.paths) {
    server.serveRaw(path, async (ctx, message) => {
      const identity = await api.identify(ctx.header("authorization"));
      const transactionId = ctx.header("x-request-id") ?? "";
      const setHeader = (name: string, value: string): void => ctx.setHeader(name, value);
      const context = { identity, transactionId, traceparent: ctx.traceparent };
      return (await api.callRaw(path, message, context, setHeader)).message;
    });
  }
  const grpc = await server.listen("127.0.0.1:0");
  const face = await rest.listen("127.0.0.1", 0);
  return {
    api,
    grpc,
    rest: `http://${face}`,
    auth: AUTH,
    authorization: `Basic ${Buffer.from(AUTH).toString("base64")}`,
    close: async () => {
      await rest.close(CLOSE_MS);
      await server.close(CLOSE_MS);
    },
  };
}
