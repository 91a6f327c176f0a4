import Docker from "dockerode";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";

import { silentLog } from "../base/log.js";
import { systemClock } from "../boot/system.js";
import type { SandboxProcess } from "../core/sandbox/driver.js";
import { aSpec, loaded, sandboxDriverSuite } from "../core/sandbox/driver.suite.js";
import { parseManifest, RuntimeManifest } from "../core/sandbox/manifest.js";
import { eventually } from "../../test/harness/eventually.js";
import { launcherOf } from "../../test/harness/launcher.js";
import { RuntimePeer } from "../../test/harness/runtime-peer.js";
import { describeWith, serviceAddress } from "../../test/harness/services.js";
import { Build, BuildStep, ToSandbox } from "../gen/weft/runtime/v1/sandbox.pb.js";
import { DockerDriver, type DockerDriverDeps } from "./docker-driver.js";
import { DockerSandbox } from "./docker-sandbox.js";

describeWith(["docker"], "with Docker", () => {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const manifest = parseManifest(readFileSync(join(root, "runtimes/manifest.json"), "utf8"));
  const scratch = mkdtempSync(join(tmpdir(), "weft-"));
  const dockerHost = serviceAddress("docker") ?? ""; // without it nothing below runs
  const docker = new Docker({ socketPath: dockerHost.replace("unix://", "") });
  const never = new AbortController().signal;
  const test = `test-${process.pid}`;

  let lives = 0;
  /** A test that fails leaves its containers to this. */
  const drivers: DockerDriver[] = [];
  let removeNetwork = (): Promise<void> => Promise.resolve();
  const aDriver = (name: string, more: Partial<DockerDriverDeps> = {}): DockerDriver => {
    lives += 1;
    const driver = new DockerDriver({
      clock: systemClock,
      log: silentLog,
      manifest,
      dockerHost,
      invokerId: `${test}-${name}`,
      bootId: `b${lives}`,
      directory: join(scratch, name),
      network: "none",
      ...more,
    });
    drivers.push(driver);
    return driver;
  };

  /** As if the process of its invoker had been killed. */
  const abandon = (sandbox: SandboxProcess): void => {
    if (!(sandbox instanceof DockerSandbox)) throw new Error("a sandbox of another driver");
    sandbox.abandon();
  };

  const remains = async (name: string): Promise<string[]> => {
    const containers = await docker.listContainers({ all: true, filters: { label: [`weft.invoker=${test}-${name}`] } });
    const directory = join(scratch, name);
    return [...containers.map(({ Id }) => Id), ...(existsSync(directory) ? readdirSync(directory) : [])];
  };

  beforeAll(() => {
    // Quick when nothing changed.
    execFileSync(join(root, "deploy/local/images"), { stdio: "ignore" });
  }, 300_000);
  afterAll(async () => {
    for (const driver of drivers) await driver.close();
    await removeNetwork();
    rmSync(scratch, { recursive: true });
  });

  sandboxDriverSuite("DockerDriver", () =>
    Promise.resolve({
      driver: aDriver("suite"),
      nextLife: () => aDriver("suite"),
      withoutImages: aDriver("none", {
        manifest: new RuntimeManifest(manifest.kinds.map((kind) => ({ ...kind, image: "weft/no-such-image:1" }))),
      }),
      remains: () => remains("suite"),
      runs: async (sandbox) => {
        const used = async (): Promise<number> => {
          if (!(sandbox instanceof DockerSandbox)) throw new Error("a sandbox of another driver");
          const stats = (await sandbox.container.stats({ stream: false, "one-shot": true })) as {
            cpu_stats: { cpu_usage: { total_usage: number } };
          };
          return stats.cpu_stats.cpu_usage.total_usage;
        };
        const before = await used();
        await new Promise((resolve) => setTimeout(resolve, 100));
        return (await used()) !== before;
      },
    }),
  );

  it.each([
    ["nodejs:20", `let n = 0; function main() { n += 1; return { n, pid: process.pid }; }`],
    ["python:3.11", `import os\nn = 0\ndef main(params):\n  global n\n  n += 1\n  return {"n": n, "pid": os.getpid()}`],
  ])("a docker driver takes over %s sandboxes that were idle, as they were, frozen or not", async (kind, code) => {
    const name = `adopts-${kind.slice(0, 6)}`;
    const first = aDriver(name, { reconnectMs: 20_000 });
    const warm = await loaded(first, code, { kind });
    const frozen = await loaded(first, code, { kind });
    const { result } = await warm.peer.run();
    await frozen.peer.run();
    await frozen.sandbox.freeze();
    const stem = await first.create(aSpec({ kind }), 20_000, never);
    const survivors = [warm.sandbox, frozen.sandbox, stem].map((sandbox) => ({
      mark: sandbox.survivesAs ?? "",
      spec: aSpec({ kind }),
    }));
    for (const sandbox of [warm.sandbox, frozen.sandbox, stem]) abandon(sandbox);

    const next = aDriver(name, { reconnectMs: 20_000 });
    const adopted = new Map((await next.adopt(survivors, 10_000)).map((one) => [one.mark, one]));
    expect(survivors.map(({ mark }) => adopted.get(mark)?.loaded)).toEqual([true, true, false]);
    expect(await next.cleanUp()).toBe(0);
    for (const { mark } of survivors.slice(0, 2)) {
      const process = adopted.get(mark)?.process;
      if (!process) throw new Error("it is there");
      expect(process.survivesAs).toBe(mark);
      const ran = await new RuntimePeer(process.link).run();
      expect(ran).toMatchObject({ outcome: "success", result: { ...(result as object), n: 2 } });
      await process.freeze();
      await process.unfreeze();
      expect((await new RuntimePeer(process.link).run()).result).toMatchObject({ n: 3 });
    }
    const last = adopted.get(survivors[2]?.mark ?? "")?.process;
    if (!last) throw new Error("it is there");
    const peer = new RuntimePeer(last.link);
    expect((await peer.init(code)).ok).toBe(true);
    expect((await peer.run()).result).toMatchObject({ n: 1 });
    await next.close();
    expect(await remains(name)).toEqual([]);
  });

  it("a docker driver does not take over what was busy, what cannot come back, nor what is not there", async () => {
    const hangs = `function main({ spin }) { if (spin) for (;;); return new Promise(() => {}); }`;
    const first = aDriver("busy", { reconnectMs: 20_000 });
    const waits = await loaded(first, hangs);
    const spins = await loaded(first, hangs);
    const idle = await loaded(aDriver("busy"), hangs); // its driver gives it no time
    for (const [peer, params] of [
      [waits.peer, {}],
      [spins.peer, { spin: true }],
    ] as const) {
      peer.run(params).catch(() => {});
    }
    const marks = [waits, spins].map(({ sandbox }) => sandbox.survivesAs ?? "");
    expect(idle.sandbox.survivesAs).toBeUndefined();
    for (const { sandbox } of [waits, spins, idle]) abandon(sandbox);
    const next = aDriver("busy", { reconnectMs: 20_000 });
    const survivors = [...marks, "b0-77"].map((mark) => ({ mark, spec: aSpec() }));
    expect(await next.adopt(survivors, 2_000)).toEqual([]);
    expect(await next.cleanUp()).toBe(3);
    expect(await remains("busy")).toEqual([]);
    await next.close();
  });

  it("a docker driver finds what a build left when its invoker was killed: it has ended, and is removed", async () => {
    const more = { reconnectMs: 20_000, launcher: launcherOf() };
    const first = aDriver("build", more);
    const kinds = manifest.kinds.filter(({ build }) => build !== undefined).map(({ kind }) => kind);
    const kind = (await first.kinds()).find((one) => kinds.includes(one));
    if (kind === undefined) throw new Error("no kind that is built");
    const sandbox = await first.create(aSpec({ kind, build: true, memoryMb: 512 }), 20_000, never);
    expect(sandbox.survivesAs).toBeUndefined();
    const value = Build.fromPartial({ actionName: "a", source: Buffer.from("x"), step: BuildStep.COMPILE });
    sandbox.link.send(ToSandbox.encode({ message: { $case: "build", value } }).finish());
    abandon(sandbox);
    const next = aDriver("build", more);
    const [id = ""] = await remains("build");
    await eventually(async () => !(await docker.getContainer(id).inspect()).State.Running);
    expect(await next.cleanUp()).toBe(1);
    expect(await remains("build")).toEqual([]);
    await next.close();
  });

  it("a docker driver that is closed leaves what it was told to leave, awake", async () => {
    const first = aDriver("left", { reconnectMs: 20_000 });
    const { sandbox } = await loaded(first, `function main() { return {}; }`);
    const ended = await loaded(first, `function main() { return {}; }`);
    const mark = sandbox.survivesAs ?? "";
    await sandbox.freeze();
    await sandbox.leave?.();
    await first.close();
    expect((await ended.sandbox.exited).kind).toBe("exited");
    const next = aDriver("left", { reconnectMs: 20_000 });
    const [adopted] = await next.adopt([{ mark, spec: aSpec() }], 10_000);
    if (!adopted) throw new Error("it is there");
    expect((await new RuntimePeer(adopted.process.link).run()).outcome).toBe("success");
    await next.close();
    expect(await remains("left")).toEqual([]);
  });

  it("a sandbox whose invoker does not come back in time ends by itself", async () => {
    const first = aDriver("alone", { reconnectMs: 300 });
    const { sandbox } = await loaded(first, `function main() { return {}; }`);
    abandon(sandbox);
    await eventually(async () => {
      const [container] = await docker.listContainers({
        all: true,
        filters: { label: [`weft.invoker=${test}-alone`] },
      });
      expect(container?.State).toBe("exited");
    });
    const next = aDriver("alone");
    expect(await next.cleanUp()).toBe(1);
    await next.close();
  });

  it("a docker driver without Docker says how to get it", async () => {
    const driver = aDriver("absent", { dockerHost: "unix:///nowhere/docker.sock" });
    const unavailable = { kind: "unavailable", reason: "DRIVER_UNAVAILABLE", fix: "deploy/local/install" };
    await expect(driver.kinds()).rejects.toMatchObject(unavailable);
    await expect(driver.create(aSpec(), 20_000, never)).rejects.toMatchObject(unavailable);
    expect(await remains("absent")).toEqual([]);
    await driver.close();
  });

  it("a docker driver leaves alone what an invoker of the same name in another installation made, until that is gone", async () => {
    const other = aDriver("twins", { directory: join(scratch, "other") });
    const driver = aDriver("twins");
    const { sandbox, peer } = await loaded(other, `function main({ exit }) { if (exit) process.exit(3); return {}; }`);
    expect(await driver.cleanUp()).toBe(0);
    expect((await peer.run()).outcome).toBe("success");
    await peer.run({ exit: true }).catch(() => {});
    await sandbox.exited;
    expect(await driver.cleanUp()).toBe(0);
    rmSync(join(scratch, "other"), { recursive: true });
    expect(await driver.cleanUp()).toBe(1);
    await other.close();
    await driver.close();
    expect(await remains("twins")).toEqual([]);
  });

  it("a docker driver that cannot write the freezer's file pauses through Docker", async () => {
    const driver = aDriver("pause", { cgroupRoot: scratch });
    const { sandbox, peer } = await loaded(driver, `function main() { return {}; }`);
    await sandbox.freeze();
    if (!(sandbox instanceof DockerSandbox)) throw new Error("a sandbox of another driver");
    expect((await sandbox.container.inspect()).State.Paused).toBe(true);
    await sandbox.unfreeze();
    expect((await peer.run()).outcome).toBe("success");
    await sandbox.freeze();
    await sandbox.destroy();
    await driver.close();
    expect(await remains("pause")).toEqual([]);
  });

  /** What a shell inside says to each question. */
  const ask = `const { execSync } = require("node:child_process");
    function main({ questions }) {
      const answers = {};
      for (const question of questions) {
        try { answers[question] = execSync(question, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], shell: "/bin/bash" }).trim(); }
        catch (error) { answers[question] = "refused"; }
      }
      return answers;
    }`;

  it("code in a container is nobody, with no privilege, no network, no files of the host and nothing to write but /tmp", async () => {
    const driver = aDriver("escape");
    const { peer } = await loaded(driver, ask);
    const other = await loaded(driver, ask);
    const expected: Record<string, string> = {
      "id -g": "65532",
      "echo $HOME": "/tmp",
      "grep CapEff /proc/self/status | cut -f2": "0000000000000000",
      "grep CapBnd /proc/self/status | cut -f2": "0000000000000000",
      "grep NoNewPrivs /proc/self/status | cut -f2": "1",
      "grep Seccomp: /proc/self/status | cut -f2": "2",
      "ls /sys/class/net": "lo",
      // Asked of the mount, because nobody may not write to what belongs to root anyway.
      "awk '$2 == \"/\" { print substr($4, 1, 2) }' /proc/self/mounts": "ro",
      "touch /weft/here": "refused",
      "touch /etc/here": "refused",
      "touch /weft/link/here": "refused",
      "touch /tmp/here && echo yes": "yes",
      "test -e /var/run/docker.sock": "refused",
      [`test -e ${root}package.json`]: "refused",
      "mount -t tmpfs none /mnt": "refused",
      "unshare -r id": "refused",
      "echo 1 > /proc/sys/kernel/panic": "refused",
      "ls /weft/link": "", // one socket, gone once the runtime has connected
      "kill -0 2": "refused",
      "ulimit -n": "1024",
      "ulimit -c": "0",
      "head -c 300000000 /dev/zero > /tmp/big": "refused",
      "rm -f /tmp/big /tmp/here && echo yes": "yes",
    };
    const { result } = await peer.run({ questions: Object.keys(expected) });
    expect(result).toEqual(expected);
    const sees = await peer.run({ questions: ["ls /proc | grep -c '^[0-9]'"] });
    expect(Object.values(sees.result as object).map(Number)[0]).toBeLessThan(10);
    const [one, two] = await Promise.all(
      [peer, other.peer].map(async (each) => {
        const { result: who } = await each.run({ questions: ["id -u"] });
        return Number((who as Record<string, string>)["id -u"]);
      }),
    );
    expect(one).toBeGreaterThanOrEqual(66_000);
    expect(two).toBe((one ?? 0) + 1);
    await driver.close();
  });

  it("code in a container cannot have more processes than its limit", async () => {
    const driver = aDriver("pids");
    const { peer } = await loaded(driver, ask, { pidsMax: 32 });
    const question = "for i in $(seq 100); do sleep 5 & done 2>/dev/null; jobs -p | wc -l";
    const { result } = await peer.run({ questions: [question] });
    const answer = (result as Record<string, string>)[question];
    expect(answer === "refused" || Number(answer) < 32).toBe(true);
    await driver.close();
  });

  it("containers on the bridge have a way out, but reach neither each other nor this machine", async () => {
    // Of its own: the machine's may be in use by somebody's invokers.
    const networkName = `weft-t${process.pid}`;
    const driver = aDriver("bridge", { network: "bridge", networkName });
    removeNetwork = async () => {
      await driver.close();
      const left = await docker.listNetworks({ filters: { name: [networkName] } });
      for (const { Id } of left) await docker.getNetwork(Id).remove();
      for (const rule of execFileSync("iptables", ["-w", "-S"], { encoding: "utf8" }).split("\n")) {
        if (!rule.includes(` -i ${networkName} `)) continue;
        execFileSync("iptables", ["-w", ...rule.replace(/^-A/, "-D").split(" ")]);
      }
    };
    await driver.kinds();
    expect(driver.abilities.isolation).toBe(true);
    const heard = { host: 0 };
    const server = createServer((socket) => {
      heard.host += 1;
      socket.destroy();
    }).listen(0, "0.0.0.0");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const listens = `require("node:net").createServer(() => {}).listen(7777, "0.0.0.0");
      const os = require("node:os");
      function main() { return { address: Object.values(os.networkInterfaces()).flat().find((i) => !i.internal).address }; }`;
    const neighbour = await loaded(driver, listens);
    const { address } = (await neighbour.peer.run()).result as { address: string };
    const asker = await loaded(driver, `require("node:net").createServer(() => {}).listen(7778, "0.0.0.0");\n${ask}`);
    const { peer } = asker;
    const gateway = address.replace(/\.\d+$/, ".1");
    const own = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .filter(({ family, internal }) => family === "IPv4" && !internal)
      .map((one) => one.address);
    const dial = (host: string, at: number): string =>
      `timeout 1 bash -c 'echo > /dev/tcp/${host}/${at}' && echo reached`;
    const itself = await peer.run({ questions: [dial("127.0.0.1", 7778)] });
    expect(Object.values(itself.result as object)).toEqual(["reached"]); // so that "refused" below says something
    const closed = [dial(address, 7777), ...[gateway, ...own].map((host) => dial(host, port))];
    const { result } = await peer.run({ questions: [...closed, "cat /proc/net/route"] });
    const answers = result as Record<string, string>;
    expect(closed.map((question) => answers[question])).toEqual(closed.map(() => "refused"));
    expect(answers["cat /proc/net/route"]).toMatch(/^eth0\t00000000\t/m); // a default route
    expect(heard.host).toBe(0);
    server.close();
    await neighbour.sandbox.destroy();
    await asker.sandbox.destroy();

    // Whoever removes the network of a living driver costs it one start.
    await docker.getNetwork(networkName).remove();
    await expect(driver.create(aSpec(), 20_000, never)).rejects.toMatchObject({ kind: "unavailable" });
    const again = await driver.create(aSpec(), 20_000, never);
    await again.destroy();
  });
});
