// OpenWhisk's contract in front of a scripted gateway, through both faces.

import { Envoy } from "../harness/envoy.js";
import { describeWith } from "../harness/services.js";
import { openWhiskSuite } from "./openwhisk.suite.js";
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
