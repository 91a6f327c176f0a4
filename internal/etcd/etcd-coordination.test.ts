import { spawn, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Etcd3 } from "etcd3";
import { expect, it, onTestFinished } from "vitest";

import { eventually } from "../../test/harness/eventually.js";
import { describeWith, requireService } from "../../test/harness/services.js";
import { silentLog } from "../base/log.js";
import { seededRandom } from "../base/random.js";
import { systemClock } from "../boot/system.js";
import { coordinationSuite, testMember } from "../core/coordination/coordination.suite.js";
import type { Member } from "../core/coordination/coordination.js";
import { EtcdCoordination } from "./etcd-coordination.js";

/** etcd gives no shorter lease with its default election timeout. */
const TTL_MS = 2_000;

function open(endpoint: string, prefix: string): EtcdCoordination {
  return new EtcdCoordination({
    endpoints: [endpoint],
    prefix,
    clock: systemClock,
    random: seededRandom(7),
    log: silentLog,
  });
}

/** A TCP proxy that can be cut: connections end and new ones are refused by silence. */
class Proxy {
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  #cut = false;

  constructor(target: string) {
    const [host = "", port = ""] = target.split(":");
    this.#server = createServer((near) => {
      if (this.#cut) {
        near.destroy();
        return;
      }
      const far = connect(Number(port), host);
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(socket);
        socket.pipe(other);
        socket.on("error", () => other.destroy());
        socket.on("close", () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
      }
    });
  }

  async listen(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  cut(): void {
    this.#cut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#cut = false;
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** An etcd of the test's own, that it may stop and start. */
class OwnEtcd {
  readonly #directory = mkdtempSync(join(tmpdir(), "weft-etcd-"));
  #process: ChildProcess | undefined;

  private constructor(
    private readonly clientPort: number,
    private readonly peerPort: number,
  ) {}

  static async start(): Promise<OwnEtcd> {
    const etcd = new OwnEtcd(await freePort(), await freePort());
    onTestFinished(async () => {
      await etcd.stop();
      rmSync(etcd.#directory, { recursive: true });
    });
    await etcd.run();
    return etcd;
  }

  get endpoint(): string {
    return `127.0.0.1:${this.clientPort}`;
  }

  async run(): Promise<void> {
    const client = `http://${this.endpoint}`;
    const peer = `http://127.0.0.1:${this.peerPort}`;
    this.#process = spawn(
      "etcd",
      [
        ["--data-dir", this.#directory],
        ["--listen-client-urls", client, "--advertise-client-urls", client],
        ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
        ["--initial-cluster", `default=${peer}`],
        ["--heartbeat-interval", "50", "--election-timeout", "500"],
      ].flat(),
      { stdio: "ignore" },
    );
    const probe = open(this.endpoint, "probe");
    try {
      await eventually(() => probe.listMembers(), { withinMs: 20_000, everyMs: 50 });
    } finally {
      await probe.close();
    }
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal);
  }
}

describeWith(["etcd"], "EtcdCoordination", () => {
  coordinationSuite("EtcdCoordination", async () => {
    const endpoint = requireService("etcd");
    const prefix = `weft-test/${randomUUID()}`;
    const proxies: Proxy[] = [];
    const coordinations: EtcdCoordination[] = [];
    return {
      ttlMs: TTL_MS,
      async connect() {
        const proxy = new Proxy(endpoint);
        proxies.push(proxy);
        const coordination = open(await proxy.listen(), prefix);
        coordinations.push(coordination);
        return {
          coordination,
          sever: () => {
            proxy.cut();
          },
          mend: () => {
            proxy.mend();
          },
        };
      },
      pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      async close() {
        for (const proxy of proxies) proxy.mend();
        await Promise.all(coordinations.map((coordination) => coordination.close()));
        for (const proxy of proxies) proxy.close();
        const raw = new Etcd3({ hosts: endpoint });
        await raw.delete().prefix(`${prefix}/`);
        raw.close();
      },
    };
  });

  it("says in one line which endpoints do not answer, and what brings an etcd", async () => {
    const endpoint = `127.0.0.1:${await freePort()}`;
    const coordination = open(endpoint, "x");
    onTestFinished(() => coordination.close());
    const error: unknown = await coordination.join(testMember("a"), TTL_MS).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ kind: "unavailable", reason: "ETCD_UNREACHABLE" });
    const { message, fix } = error as { message: string; fix: string };
    expect(message).toContain(endpoint);
    expect(message).not.toContain("\n");
    expect(fix).toContain("deploy/local/install");
  });

  it("fails a call to an etcd that accepts but never answers, instead of hanging", async () => {
    const silent = createServer(() => {}).listen(0, "127.0.0.1");
    await once(silent, "listening");
    const coordination = open(`127.0.0.1:${(silent.address() as AddressInfo).port}`, "x");
    onTestFinished(async () => {
      await coordination.close();
      silent.close();
    });
    const start = performance.now();
    await expect(coordination.listMembers()).rejects.toMatchObject({ kind: "unavailable" });
    expect(performance.now() - start).toBeLessThan(5_000);
  });

  it("leaves out a record that it cannot read, and keeps the others", async () => {
    const endpoint = requireService("etcd");
    const prefix = `weft-test/${randomUUID()}`;
    const raw = new Etcd3({ hosts: endpoint });
    const coordination = open(endpoint, prefix);
    onTestFinished(async () => {
      await coordination.close();
      await raw.delete().prefix(`${prefix}/`);
      raw.close();
    });
    await raw.put(`${prefix}/member/invoker/odd`).value("not json");
    await raw.put(`${prefix}/member/invoker/old`).value("{}");
    await coordination.join(testMember("a"), TTL_MS);
    expect((await coordination.listMembers()).map((m) => m.id)).toEqual(["a"]);
  });

  it("sees every member of a crowd that joins and leaves at once", async () => {
    const endpoint = requireService("etcd");
    const prefix = `weft-test/${randomUUID()}`;
    const [here, there] = [open(endpoint, prefix), open(endpoint, prefix)];
    onTestFinished(async () => {
      await Promise.all([here.close(), there.close()]);
    });
    let last: readonly Member[] = [];
    here.watchMembers({ members: (all) => (last = all) }, new AbortController().signal);
    const crowd = Array.from({ length: 200 }, (_, i) => testMember(`i${i}`));
    const memberships = await Promise.all(crowd.map((member) => there.join(member, 30_000)));
    await eventually(() => {
      expect(last.length).toBe(200);
    });
    await Promise.all(memberships.slice(50).map((membership) => membership.leave()));
    await eventually(() => {
      expect(last.length).toBe(50);
    });
  });

  it("goes on with the same membership and shards after etcd was killed and started again", async () => {
    const etcd = await OwnEtcd.start();
    const coordination = open(etcd.endpoint, "t");
    onTestFinished(() => coordination.close());
    const scheduler = testMember("s", { role: "scheduler" });
    const membership = await coordination.join(scheduler, 4_000);
    const shards = await coordination.acquireShards(membership, scheduler, [1, 2, 3]);
    const lists: string[][] = [];
    coordination.watchMembers({ members: (all) => lists.push(all.map((m) => m.id)) }, new AbortController().signal);
    await eventually(() => lists.length > 0);

    await etcd.stop();
    await eventually(() => !membership.held(), { withinMs: 5_000 });
    await expect(coordination.listMembers()).rejects.toMatchObject({ reason: "ETCD_UNREACHABLE" });
    await etcd.run();

    await eventually(() => membership.held(), { withinMs: 10_000 });
    expect(membership.lost.aborted).toBe(false);
    const owners = await coordination.shardOwners();
    for (const { shard, epoch } of shards) expect(owners.get(shard)?.epoch).toBe(epoch);
    await eventually(() => lists.length > 1); // told again after the reconnection
    await coordination.join(testMember("late"), 4_000);
    await eventually(() => {
      expect(lists.at(-1)?.sort()).toEqual(["late", "s"]);
    });
    expect(lists).not.toContainEqual([]);
  });

  it("holds nothing while etcd is frozen, and works on when it thaws", async () => {
    const etcd = await OwnEtcd.start();
    const coordination = open(etcd.endpoint, "t");
    onTestFinished(() => coordination.close());
    const membership = await coordination.join(testMember("a"), TTL_MS);
    etcd.signal("SIGSTOP");
    await eventually(() => !membership.held(), { withinMs: TTL_MS });
    etcd.signal("SIGCONT");
    // Thawed, etcd may have let the lease run out or not; both end with this process among the members again.
    await eventually(
      async () => {
        if (membership.lost.aborted) await coordination.join(testMember("a"), TTL_MS);
        expect((await coordination.listMembers()).map((m) => m.id)).toEqual(["a"]);
        return membership.lost.aborted || membership.held();
      },
      { withinMs: 10_000 },
    );
  });

  const built = (path: string): string => new URL(`../../dist/internal/${path}`, import.meta.url).href;
  it("a process that is stopped and goes on knows at once that it does not hold its lease", async () => {
    const endpoint = requireService("etcd");
    const prefix = `weft-test/${randomUUID()}`;
    const directory = mkdtempSync(join(tmpdir(), "weft-stopped-"));
    const path = join(directory, "member.mjs");
    writeFileSync(
      path,
      `
        import { EtcdCoordination } from ${JSON.stringify(built("etcd/etcd-coordination.js"))};
        import { systemClock, systemRandom } from ${JSON.stringify(built("boot/system.js"))};
        import { silentLog } from ${JSON.stringify(built("base/log.js"))};
        const coordination = new EtcdCoordination({
          endpoints: [${JSON.stringify(endpoint)}], prefix: ${JSON.stringify(prefix)},
          clock: systemClock, random: systemRandom(), log: silentLog,
        });
        const membership = await coordination.join(${JSON.stringify(testMember("a"))}, ${TTL_MS});
        const say = () => process.stdout.write(membership.held() + " " + membership.lost.aborted + "\\n");
        say();
        setInterval(say, 5);
        `,
    );
    const child = spawn(process.execPath, [path], { stdio: ["ignore", "pipe", "inherit"] });
    const coordination = open(endpoint, prefix);
    onTestFinished(async () => {
      child.kill("SIGKILL");
      await coordination.close();
      rmSync(directory, { recursive: true });
    });
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
    const lines = (): string[] => said.split("\n").slice(0, -1);

    await eventually(() => lines().at(-1) === "true false", { withinMs: 20_000 });
    child.kill("SIGSTOP");
    await eventually(async () => (await coordination.listMembers()).length === 0, { withinMs: 10_000 });
    // What it said before the stop is read by now: the pipe was drained while the lease ran out.
    const before = lines().length;
    child.kill("SIGCONT");
    await eventually(() => lines().at(-1) === "false true", { withinMs: 10_000 });
    expect(lines().slice(before)).not.toContain("true false");
  });
});
