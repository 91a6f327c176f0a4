// OpenWhisk's contract: in front of a scripted gateway through both faces, and of whole fabrics.

import { openFabric, UP_SERVICES } from "../e2e/fabrics.js";
import { Envoy } from "../harness/envoy.js";
import { describeWith } from "../harness/services.js";
import { openWhiskSuite, type OpenWhiskTarget } from "./openwhisk.suite.js";
import { openScriptedGateway } from "./scripted-gateway.js";

openWhiskSuite("the built-in face", async () => {
  const gateway = await openScriptedGateway();
  return { url: gateway.rest, auth: gateway.auth, namespace: "guest", close: gateway.close };
});

describeWith(["envoy"], "Envoy", () => {
  openWhiskSuite("Envoy", async () => {
    const gateway = await openScriptedGateway();
    const envoy = await Envoy.start([gateway.grpc]);
    const close = async (): Promise<void> => {
      await envoy.stop();
      await gateway.close();
    };
    return { url: envoy.url, auth: gateway.auth, namespace: "guest", close };
  });
});

// And whole fabrics: what a script answers could be what nobody else does.
async function wholeFabric(mode: "dev" | "up"): Promise<OpenWhiskTarget> {
  const { fabric, close } = await openFabric({ mode, invokers: 1 });
  return { url: fabric.rest, auth: fabric.auth, namespace: "guest", close };
}

openWhiskSuite("dev", () => wholeFabric("dev"));

describeWith(UP_SERVICES, "up", () => {
  openWhiskSuite("up", () => wholeFabric("up"));
});
