// What Docker itself takes for a sandbox: create, start, and the runtime's first byte on its socket. The container is made
// as Weft makes its own.

import Docker from "dockerode";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseManifest, type RuntimeManifest } from "../../internal/core/sandbox/manifest.js";
import { SECCOMP_PROFILE } from "../../internal/docker/seccomp.js";
import { requireService } from "../harness/services.js";

export const MANIFEST: RuntimeManifest = parseManifest(
  readFileSync(new URL("../../runtimes/manifest.json", import.meta.url), "utf8"),
);

export function docker(): Docker {
  return new Docker({ socketPath: requireService("docker").replace("unix://", "") });
}

export interface BareSandbox {
  /** From the order to the first byte. */
  readonly ms: number;
  remove(): Promise<void>;
}

export async function bareSandbox(engine: Docker, kind: string, memoryMb: number): Promise<BareSandbox> {
  const dir = mkdtempSync(join(tmpdir(), "weft-bare-"));
  chmodSync(dir, 0o755);
  const server = createServer();
  const hello = new Promise<void>((resolve) => {
    server.once("connection", (socket) => {
      socket.on("error", () => {}); // it ends with the container
      socket.once("data", () => resolve());
    });
  });
  await new Promise<void>((resolve) => server.listen(join(dir, "s"), resolve));
  chmodSync(join(dir, "s"), 0o777);
  const from = performance.now();
  const container = await engine.createContainer({
    Image: imageOf(kind),
    User: "66000:65532",
    Env: ["WEFT_SOCKET=/weft/link/s", `WEFT_KIND=${kind}`],
    HostConfig: {
      Binds: [`${dir}:/weft/link:ro`],
      // As the fabric's own sandboxes: a bridge doubles a start, and would flatter whoever is compared with it.
      NetworkMode: process.env["WEFT_SANDBOX_NETWORK"] === "bridge" ? "weft-sandboxes" : "none",
      LogConfig: { Type: "none", Config: {} },
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges", `seccomp=${SECCOMP_PROFILE}`],
      ReadonlyRootfs: true,
      Tmpfs: { "/tmp": "rw,exec,nosuid,nodev,mode=1777,size=64m" },
      Memory: memoryMb * 1024 * 1024,
      MemorySwap: memoryMb * 1024 * 1024,
      PidsLimit: 256,
      // Shares by memory, as Weft gives them: beside other load, a smaller share starts later.
      CpuShares: memoryMb * 4,
    },
  });
  await container.start();
  await hello;
  return {
    ms: performance.now() - from,
    remove: async () => {
      await container.remove({ force: true });
      server.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export async function bareStart(engine: Docker, kind: string, memoryMb: number): Promise<number> {
  const sandbox = await bareSandbox(engine, kind, memoryMb);
  await sandbox.remove();
  return sandbox.ms;
}

function imageOf(kind: string): string {
  const image = MANIFEST.find(kind)?.image;
  if (image === undefined) throw new Error(`runtimes/manifest.json has no ${kind}`);
  return image;
}
