// Code in a sandbox tries to get out of it: escape/probes.py is run as an action of a whole fabric, whose sandboxes have no
// network, and in a sandbox on a bridge. Last it runs in a container without walls, where every probe must get through or find
// that the kernel has no such thing: so each is known to be able to fail. `absent` may be answered for the rest.

import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Docker from "dockerode";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { silentLog } from "../../internal/base/log.js";
import { systemClock } from "../../internal/boot/system.js";
import { parseManifest } from "../../internal/core/sandbox/manifest.js";
import type { SandboxProcess } from "../../internal/core/sandbox/driver.js";
import { DockerDriver } from "../../internal/docker/docker-driver.js";
import { Outcome } from "../../internal/gen/weft/activation/v1/activation.pb.js";
import { PublicClient } from "../harness/client.js";
import { run } from "../harness/fabric.js";
import { launcherOf } from "../harness/launcher.js";
import { RuntimePeer } from "../harness/runtime-peer.js";
import { describeWith, serviceAddress } from "../harness/services.js";
import { openFabric, UP_SERVICES, type OpenFabric } from "./fabrics.js";

const KIND = "python:3.11";
const MEMORY_MB = 256;
const PIDS_MAX = 128;
const FABRIC_MEMORY_MB = 512;
/** Of the sandboxes of a fabric: processes as its settings say, and half of the memory for /tmp. */
const FABRIC_LIMITS = { processes: 1_024, tmpBytes: (FABRIC_MEMORY_MB / 2) * 1024 * 1024 };
const FOREIGN_IMAGE = "local/weft-test-escape:1";
const WALLS = ["files", "network", "processes", "privileges", "kernel", "limits"];

/** Not every Docker has this capability to give, and this probe needs it. */
const MISSING = { capability: "SYS_RESOURCE", probe: "live when memory is out" };

type Answers = Readonly<Record<string, string>>;
type Place = (wall: string) => Promise<Answers>;

describeWith(UP_SERVICES, "escape", () => {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const code = readFileSync(new URL("escape/probes.py", import.meta.url), "utf8");
  const manifest = parseManifest(readFileSync(join(root, "runtimes/manifest.json"), "utf8"));
  const dockerHost = serviceAddress("docker") ?? ""; // without it nothing below runs
  const docker = new Docker({ socketPath: dockerHost.replace("unix://", "") });
  const scratch = mkdtempSync(join(tmpdir(), "weft-escape-"));
  const marker = `weft-escape-${process.pid}`;
  const closing: (() => unknown)[] = [() => rmSync(scratch, { recursive: true })];

  let params: Record<string, unknown> = {};
  let open: OpenFabric;
  let client: PublicClient;
  let bridged: DockerDriver;
  const heard: string[] = [];

  beforeAll(async () => {
    open = await openFabric({ mode: "up", invokers: 1 });
    closing.push(open.close);
    client = new PublicClient(open.fabric.grpc, open.fabric.authorization);
    closing.push(() => client.close());
    await client.createAction("escape", code, { kind: KIND, memoryMb: FABRIC_MEMORY_MB, timeoutMs: 60_000 });

    const networkName = `weft-e${process.pid}`;
    const common = { clock: systemClock, log: silentLog, manifest, dockerHost, bootId: "b" };
    bridged = new DockerDriver({
      ...common,
      invokerId: marker,
      directory: join(scratch, "bridged"),
      network: "bridge",
      networkName,
      launcher: launcherOf(),
      localImages: ["local/"],
    });
    const image = join(scratch, "image");
    cpSync(new URL("escape/image", import.meta.url), image, { recursive: true });
    writeFileSync(join(image, "probes.py"), code);
    execFileSync("docker", ["-H", dockerHost, "build", "-q", "-t", FOREIGN_IMAGE, image], { stdio: "pipe" });
    closing.push(async () => {
      await bridged.close();
      await docker.getNetwork(networkName).remove();
      for (const rule of execFileSync("iptables", ["-w", "-S"], { encoding: "utf8" }).split("\n")) {
        if (!rule.includes(` -i ${networkName} `)) continue;
        execFileSync("iptables", ["-w", ...rule.replace(/^-A/, "-D").split(" ")]);
      }
    });
    await bridged.kinds();
    expect(bridged.abilities.isolation).toBe(true);
    params = await targets();
  });

  afterAll(async () => {
    for (const close of closing.reverse()) await close();
  });

  /** Things on this machine that a sandbox must not reach, and that anybody else does. */
  async function targets(): Promise<Record<string, unknown>> {
    const anyone = createServer((socket) => {
      heard.push("a connection");
      socket.destroy();
    }).listen(0, "0.0.0.0");
    await once(anyone, "listening");
    const udp = createSocket("udp4", (_, from) => {
      heard.push("a datagram");
      udp.send("yes", from.port, from.address);
    }).bind(0, "0.0.0.0");
    await once(udp, "listening");
    const abstract = createServer(() => heard.push("an abstract socket")).listen(`\0${marker}`);
    await once(abstract, "listening");
    closing.push(
      () => anyone.close(),
      () => udp.close(),
      () => abstract.close(),
    );
    const sharedMemory = `/dev/shm/${marker}`;
    writeFileSync(sharedMemory, "");
    const segment = /\d+/.exec(execFileSync("ipcmk", ["-M", "4096", "-p", "0666"], { encoding: "utf8" }))?.[0] ?? "";
    closing.push(
      () => rmSync(sharedMemory),
      () => execFileSync("ipcrm", ["-m", segment]),
    );

    const neighbour = await bridged.create(
      { sandbox: 1, kind: "nodejs:20", memoryMb: 128, pidsMax: 64, env: { MARKER: marker } },
      20_000,
      new AbortController().signal,
    );
    const peer = new RuntimePeer(neighbour.link);
    await peer.init(`require("node:net").createServer(() => {}).listen(7777, "0.0.0.0");
      const os = require("node:os");
      function main() { return { address: Object.values(os.networkInterfaces()).flat().find((i) => !i.internal).address }; }`);
    const { address } = (await peer.run()).result as { address: string };
    const own = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .filter(({ family, scopeid }) => family === "IPv4" || scopeid === 0)
      .map((one) => one.address);
    const hosts = [...new Set([address.replace(/\.\d+$/, ".1"), ...own])];
    const listening = listeningPorts();
    // Of every role, of etcd and of Postgres: whatever listens here.
    expect(listening).toEqual(expect.arrayContaining([Number(open.fabric.grpc.split(":")[1]), 2379, 5432]));
    const port = anyone.address() as { port: number };
    return {
      marker,
      hostFiles: [join(root, "package.json"), join(open.fabric.stateDir, "running.json")],
      ports: hosts.flatMap((host) => [port.port, ...listening].map((at) => `${host}:${at}`)),
      neighbours: [`${address}:7777`],
      metadata: ["169.254.169.254:80", "169.254.169.254:443", "169.254.170.2:80"],
      datagram: hosts.filter((host) => !host.includes(":")).map((host) => `${host}:${udp.address().port}`),
      abstract: marker,
      dockerSocket: dockerHost.replace("unix://", ""),
      sharedMemory,
      processes: PIDS_MAX,
      tmpBytes: (MEMORY_MB / 2) * 1024 * 1024,
    };
  }

  const withoutNetwork: Place = async (wall) => {
    const { activation } = await client.invoke("escape", { ...params, wall, ...FABRIC_LIMITS });
    expect(activation?.outcome).toBe(Outcome.SUCCESS);
    return JSON.parse(activation?.resultJson ?? "") as Answers;
  };

  let sandboxes = 10;
  const onTheBridge: Place = async (wall) => {
    const { sandbox, probe } = await prober();
    const answers = await probe(wall);
    await sandbox.destroy();
    return answers;
  };

  const inForeignImage: Place = async (wall) => {
    const { sandbox, probe } = await prober(`blackbox:${FOREIGN_IMAGE}`, "");
    const answers = await probe(wall);
    await sandbox.destroy();
    return answers;
  };

  async function prober(
    kind = KIND,
    source = code,
  ): Promise<{ readonly sandbox: SandboxProcess; readonly probe: Place }> {
    const spec = { sandbox: sandboxes++, kind, memoryMb: MEMORY_MB, pidsMax: PIDS_MAX, env: {} };
    const sandbox = await bridged.create(spec, 20_000, new AbortController().signal);
    const peer = new RuntimePeer(sandbox.link);
    expect((await peer.init(source)).ok).toBe(true);
    const foreign = source === "";
    return { sandbox, probe: async (wall) => (await peer.run({ ...params, foreign, wall })).result as Answers };
  }

  const withoutWalls: Place = async (wall) => {
    const link = join(scratch, "link");
    const server = createServer((socket) => socket.destroy());
    if (!existsSync(link)) execFileSync("mkdir", [link]);
    await once(server.listen(join(link, "s")), "listening");
    // Nobody may answer at the real metadata address, and neighbours do not answer this machine either.
    const somebody = (params["ports"] as readonly string[]).slice(0, 1);
    const others = { metadata: somebody, neighbours: somebody };
    const files = { "probes.py": code, "params.json": JSON.stringify({ ...params, ...others, wall }) };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(scratch, name), text);
    // Not --privileged: some machines do not let their Docker have every capability.
    const own = ["--cap-add=ALL", `--cap-drop=${MISSING.capability}`, "--device-cgroup-rule=a *:* rwm", "--user=0:0"];
    const shared = ["--pid=host", "--network=host", "--ipc=host"];
    const open = ["seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"];
    const socket = params["dockerSocket"] as string;
    const hostFiles = params["hostFiles"] as readonly string[];
    const mounts = [`${scratch}:/probes:ro`, `${link}:/weft/link`, "/dev", "/sys", socket, ...hostFiles];
    const { stdout, stderr } = await run(
      "docker",
      [
        ...["-H", dockerHost, "run", "--rm", ...own, ...shared],
        ...open.flatMap((option) => ["--security-opt", option]),
        ...["--ulimit", "nofile=2000:4096", "--ulimit", "core=0:-1"],
        ...mounts.flatMap((path) => ["-v", path.includes(":") ? path : `${path}:${path}`]),
        ...[
          "--entrypoint",
          "sh",
          manifest.find(KIND)?.image ?? "",
          "-c",
          "python3 /probes/probes.py < /probes/params.json",
        ],
      ],
      process.env,
    );
    server.close();
    try {
      return JSON.parse(stdout) as Answers;
    } catch (cause) {
      throw new Error(`the probes of ${wall} failed: ${stderr}`, { cause });
    }
  };

  const got = (answers: Answers): Answers =>
    Object.fromEntries(Object.entries(answers).filter(([, said]) => said !== "stopped" && said !== "absent"));

  describe.each<readonly [string, Place]>([
    ["a sandbox without a network", withoutNetwork],
    ["a sandbox on the bridge", onTheBridge],
    ["a foreign image that runs as root", inForeignImage],
  ])("from %s", (_, place) => {
    it.each(WALLS)("nothing gets past the wall of %s", async (wall) => {
      heard.length = 0;
      const answers = await place(wall);
      expect(Object.keys(answers)).not.toEqual([]);
      expect(got(answers)).toEqual({});
      expect(heard).toEqual([]);
    });
  });

  it("what the machine counts per user, one sandbox cannot take from another", async () => {
    const [greedy, other] = [await prober(), await prober()];
    const { taken } = await greedy.probe("take_inotify");
    expect(Number(taken)).toBeGreaterThan(0);
    expect(await greedy.probe("use_inotify")).toEqual({ "one of its own": "stopped" });
    expect(await other.probe("use_inotify")).toEqual({ "one of its own": "there is one" });
    // It runs as a user of this machine, root: it gets none rather than the machine's.
    const foreign = await prober(`blackbox:${FOREIGN_IMAGE}`, "");
    expect(await foreign.probe("take_inotify")).toEqual({ taken: "0" });
    await Promise.all([greedy, other, foreign].map(({ sandbox }) => sandbox.destroy()));
  });

  it.each(WALLS)("everything gets past the wall of %s where there is none", async (wall) => {
    const answers = await withoutWalls(wall);
    const stopped = Object.entries(answers).filter(([name, said]) => said === "stopped" && name !== MISSING.probe);
    expect(stopped).toEqual([]);
    expect(got(answers)).not.toEqual({});
  });
});

/** Of every process on this machine. */
function listeningPorts(): readonly number[] {
  const LISTEN = "0A";
  const ports = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((path) =>
    readFileSync(path, "utf8")
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state]) => state === LISTEN)
      .map(([, local = ""]) => parseInt(local.split(":")[1] ?? "", 16)),
  );
  return [...new Set(ports)];
}
