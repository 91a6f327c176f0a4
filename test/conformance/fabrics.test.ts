// OpenWhisk's contract in front of whole fabrics, as users run them: `dev` with the built-in face, `up` with Envoy.

import { describe } from "vitest";
import { openFabric, UP_SERVICES } from "../e2e/fabrics.js";
import type { FabricOptions } from "../harness/fabric.js";
import { describeWith } from "../harness/services.js";
import { openWhiskSuite, type OpenWhiskTarget } from "./openwhisk.suite.js";

async function target(options: FabricOptions): Promise<OpenWhiskTarget> {
  const { fabric, close } = await openFabric(options);
  return { url: fabric.rest, auth: fabric.auth, namespace: "guest", close };
}

describe("dev", () => {
  openWhiskSuite("dev", () => target({ mode: "dev" }));
});

describeWith(UP_SERVICES, "up", () => {
  openWhiskSuite("up", () => target({ mode: "up", invokers: 1 }));
});
