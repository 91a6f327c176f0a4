// C1: a cold invocation, from the client's call to its answer, against what Docker itself takes: create, start, and the
// runtime's first byte on its socket. Same image, same limits, no stem cells, one at a time.

import Docker from "dockerode";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseManifest } from "../../internal/core/sandbox/manifest.js";
import { PublicClient } from "../harness/client.js";
import { requireService } from "../harness/services.js";
import type { BenchContext, RowResult } from "./capacity.js";
import { ratioOf, type Pair } from "./statistics.js";

const KIND = "nodejs:20";
const MEMORY_MB = 128;
/** Starts before the first that counts: image layers are read, code is compiled. */
const WARMUPS = 2;
/** Pairs per pair of the other rows: one start is a short measurement. */
const STARTS_PER_PAIR = 3;
const SETTLE_MS = 300;

export async function coldStarts(context: BenchContext): Promise<RowResult> {
  const client = new PublicClient(context.fabric.grpc, context.fabric.authorization);
  const docker = new Docker({ socketPath: requireService("docker").replace("unix://", "") });
  try {
    const pairs: Pair[] = [];
    for (let i = 0; i < WARMUPS + context.pairs * STARTS_PER_PAIR; i++) {
      await settle();
      const reference = await bareStart(docker);
      const name = `bench-cold-${i}`;
      await client.createAction(name, "exports.main = () => ({});\n", { kind: KIND, memoryMb: MEMORY_MB });
      await settle();
      const from = performance.now();
      await client.invoke(name);
      const measured = performance.now() - from;
      if (i >= WARMUPS) pairs.push({ reference, measured });
    }
    return { ...ratioOf(pairs), unit: "ms", notes: [`${pairs.length} starts of each, ${MEMORY_MB} MiB, ${KIND}`] };
  } finally {
    client.close();
  }
}

/** What was removed or created before goes on in the background for a while: neither side starts beside it. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, SETTLE_MS);
  });
}

async function bareStart(docker: Docker): Promise<number> {
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
  try {
    const from = performance.now();
    const container = await docker.createContainer({
      Image: imageOf(KIND),
      User: "65532:65532",
      Env: ["WEFT_SOCKET=/weft/link/s", `WEFT_KIND=${KIND}`],
      HostConfig: {
        Binds: [`${dir}:/weft/link:ro`],
        // As the fabric's own sandboxes: a bridge doubles a start, and would flatter whoever is compared with it.
        NetworkMode: process.env["WEFT_SANDBOX_NETWORK"] === "bridge" ? "weft-sandboxes" : "none",
        LogConfig: { Type: "none", Config: {} },
        CapDrop: ["ALL"],
        SecurityOpt: ["no-new-privileges"],
        ReadonlyRootfs: true,
        Tmpfs: { "/tmp": "rw,exec,nosuid,nodev,mode=1777,size=64m" },
        Memory: MEMORY_MB * 1024 * 1024,
        MemorySwap: MEMORY_MB * 1024 * 1024,
        PidsLimit: 256,
        // Shares by memory, as Weft gives them: beside other load, a smaller share starts later.
        CpuShares: MEMORY_MB * 4,
      },
    });
    await container.start();
    await hello;
    const ms = performance.now() - from;
    await container.remove({ force: true });
    return ms;
  } finally {
    server.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

function imageOf(kind: string): string {
  const manifest = parseManifest(readFileSync(new URL("../../runtimes/manifest.json", import.meta.url), "utf8"));
  const image = manifest.find(kind)?.image;
  if (image === undefined) throw new Error(`runtimes/manifest.json has no ${kind}`);
  return image;
}
