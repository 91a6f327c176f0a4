// APIs of whole fabrics: `dev` with the built-in face, `up` with Envoy.

import { describe } from "vitest";
import { openFabric, UP_SERVICES } from "../e2e/fabrics.js";
import type { FabricOptions } from "../harness/fabric.js";
import { describeWith } from "../harness/services.js";
import { apisSuite, type ApisTarget } from "./apis.suite.js";

async function whole(options: FabricOptions): Promise<ApisTarget> {
  const { fabric, close } = await openFabric(options);
  const weft = (...args: readonly string[]): Promise<string> => fabric.ok(...args);
  return { url: fabric.rest, auth: fabric.auth, namespace: "guest", weft, close };
}

describe("dev", () => {
  apisSuite("dev", () => whole({ mode: "dev" }));
});

describeWith(UP_SERVICES, "up", () => {
  apisSuite("up", () => whole({ mode: "up", invokers: 1 }));
});
