// Web actions through both faces in front of a scripted gateway, and of whole fabrics.

import { describe } from "vitest";
import { openFabric, UP_SERVICES } from "../e2e/fabrics.js";
import { Envoy } from "../harness/envoy.js";
import type { FabricOptions } from "../harness/fabric.js";
import { describeWith } from "../harness/services.js";
import type { OpenWhiskTarget } from "./openwhisk.suite.js";
import { openScriptedGateway } from "./scripted-gateway.js";
import { webActionsSuite } from "./web-actions.suite.js";

async function whole(options: FabricOptions): Promise<OpenWhiskTarget> {
  const { fabric, close } = await openFabric(options);
  return { url: fabric.rest, auth: fabric.auth, namespace: "guest", close };
}

webActionsSuite(
  "the built-in face",
  async () => {
    const gateway = await openScriptedGateway();
    return { url: gateway.rest, auth: gateway.auth, namespace: "guest", close: gateway.close };
  },
  false,
);

describeWith(["envoy"], "Envoy", () => {
  webActionsSuite(
    "Envoy",
    async () => {
      const gateway = await openScriptedGateway();
      const envoy = await Envoy.start([gateway.grpc]);
      const close = async (): Promise<void> => {
        await envoy.stop();
        await gateway.close();
      };
      return { url: envoy.url, auth: gateway.auth, namespace: "guest", close };
    },
    false,
  );
});

describe("dev", () => {
  webActionsSuite("dev", () => whole({ mode: "dev" }), true);
});

describeWith(UP_SERVICES, "up", () => {
  webActionsSuite("up", () => whole({ mode: "up", invokers: 1 }), true);
});
