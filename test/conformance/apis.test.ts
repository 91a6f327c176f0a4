// APIs of whole fabrics: `dev` with the built-in face, `up` with Envoy.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe } from "vitest";
import { openFabric, UP_SERVICES } from "../e2e/fabrics.js";
import type { FabricOptions } from "../harness/fabric.js";
import { describeWith } from "../harness/services.js";
import { TokenServer } from "../harness/token-server.js";
import { apisSuite, type ApisTarget } from "./apis.suite.js";

async function whole(options: FabricOptions): Promise<ApisTarget> {
  const tokens = await TokenServer.start();
  const directory = mkdtempSync(join(tmpdir(), "weft-token-providers-"));
  const file = join(directory, "providers.json");
  writeFileSync(file, tokens.providersJson);
  const { fabric, close } = await openFabric({ ...options, env: { WEFT_TOKEN_PROVIDERS: file } });
  const weft = (...args: readonly string[]): Promise<string> => fabric.ok(...args);
  return {
    url: fabric.rest,
    auth: fabric.auth,
    namespace: "guest",
    weft,
    tokens,
    close: async () => {
      await close();
      await tokens.stop();
      rmSync(directory, { recursive: true });
    },
  };
}

describe("dev", () => {
  apisSuite("dev", () => whole({ mode: "dev" }));
});

describeWith(UP_SERVICES, "up", () => {
  apisSuite("up", () => whole({ mode: "up", invokers: 1 }));
});
