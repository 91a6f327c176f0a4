// Sandboxes that are Docker containers.
//
//   D1. One container, one directory <directory>/<mark> with one socket, mounted read-only into that container alone.
//   D2. Creating takes two calls to Docker, create and start; attaching runs beside the second. Everything else (why it
//       ended, images, networks) is asked off that path, or once.
//   D3. Whatever a create began is undone before its error is told, or handed to #reaping when nobody can wait for it.
//   D4. Containers carry the invoker's id, directory, boot and mark as labels: what has the same directory and another boot was
//       left by an earlier life. An id alone does not tell: two installations on one machine both have an invoker-1.

import Docker from "dockerode";
import type { Container, ContainerCreateOptions } from "dockerode";
import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { Agent } from "node:http";
import { basename, dirname, join } from "node:path";
import { inspect } from "node:util";

import type { Clock } from "../base/clock.js";
import { invariant, toWeftError, WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import { privateDirectory } from "../base/private-directory.js";
import { Rendezvous } from "../base/rendezvous.js";
import type { SocketLink } from "../base/socket-link.js";
import { imageOfKind } from "../core/action/image.js";
import { BLACKBOX_KIND } from "../core/action/types.js";
import type {
  AdoptedSandbox,
  DriverAbilities,
  SandboxDriver,
  SandboxProcess,
  SandboxSpec,
  Survivor,
} from "../core/sandbox/driver.js";
import { builderOf, kindEnv, launcherArgs, type RuntimeKind, type RuntimeManifest } from "../core/sandbox/manifest.js";
import { withinStartLimits } from "../core/sandbox/start-limits.js";
import { FromSandbox, type Hello } from "../gen/weft/runtime/v1/sandbox.pb.js";
import { asBlackbox, blackboxKind, DiskWatch } from "./blackbox.js";
import { DockerSandbox } from "./docker-sandbox.js";
import { Freezer } from "./freezer.js";
import { ImageRefused, Images, type ImageConfig } from "./images.js";
import { RefusingSandbox } from "./refusing-sandbox.js";
import { SECCOMP_PROFILE } from "./seccomp.js";
import { asUser, SandboxUsers } from "./users.js";

const INVOKER_LABEL = "weft.invoker";
const BOOT_LABEL = "weft.boot";
const DIRECTORY_LABEL = "weft.directory";
const MARK_LABEL = "weft.sandbox";
/** Where a sandbox finds its socket. */
const LINK_DIRECTORY = "/weft/link";
/** Where one in which something is built finds the way to package registries. */
const REGISTRIES_DIRECTORY = "/weft/registries";
/** Where one of a kind with a launcher finds that. */
const LAUNCHER_DIRECTORY = "/weft/launcher";
/** Where images have what lies in a folder of the runtimes folder. */
const RUNTIME_DIRECTORY = "/weft/runtime";
/** Open files of one process inside. */
const FILES_MAX = 1024;
/** Not 0: a machine that pipes core dumps into a program does so whatever the limit is, except 1. */
const CORE_BYTES = 1;
/** Nothing is seen of these. Docker's own list, and what tells of other sandboxes: who is how busy, and whose keys there are. */
const MASKED_PATHS = [
  ...["acpi", "asound", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats"],
  ...["interrupts", "kallsyms", "key-users", "pressure"],
]
  .map((name) => `/proc/${name}`)
  .concat("/sys/firmware", "/sys/devices/virtual/powercap");
/** Memory that gets the weight of one whole share of processor time. */
const MEMORY_MB_PER_1024_SHARES = 256;
/** How long a failed create waits for its remains to be removed. */
const UNDO_WAIT_MS = 5_000;
/** Network of sandboxes that may call out, one for all invokers of a machine. */
const NETWORK = "weft-sandboxes";

export interface DockerDriverDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly manifest: RuntimeManifest;
  /** unix:///var/run/docker.sock, or tcp://host:port of a Docker that sees this machine's files. */
  readonly dockerHost: string;
  readonly invokerId: string;
  /** Tells this life's sandboxes from those of earlier ones. */
  readonly bootId: string;
  /**
   * This driver's own, absolute and short (a socket's path has room for some hundred bytes), the same in each life of the
   * invoker. Made with mode 0700.
   */
  readonly directory: string;
  /** Whether code inside may call out. docs/adr/0003-sandbox-network.md */
  readonly network: "none" | "bridge";
  /**
   * The launcher's program, absolute, as Docker sees it; its folder is mounted into sandboxes of the kinds that need it.
   * Default none: they cannot be made.
   */
  readonly launcher?: string | undefined;
  /** Folder of the way to package registries (invoker/registry-proxy.ts), as Docker sees it. Default none: builds have no network. */
  readonly registries?: string | undefined;
  /** Beginnings of names of images that are on the machine and never fetched. Default none. */
  readonly localImages?: readonly string[];
  /** Network and bridge for `bridge`; at most 15 characters. Default weft-sandboxes. */
  readonly networkName?: string;
  /** Default /sys/fs/cgroup. */
  readonly cgroupRoot?: string;
  /** How long an idle sandbox waits for the next life of its invoker. Default 0: it ends with this one. */
  readonly reconnectMs?: number;
}

export class DockerDriver implements SandboxDriver {
  readonly #docker: Docker;
  readonly #freezer: Freezer;
  readonly #images: Images;
  readonly #disks: DiskWatch;
  readonly #networkName: string;
  readonly #users: SandboxUsers;
  readonly #live = new Map<string, DockerSandbox>();
  readonly #starting = new Set<Promise<unknown>>();
  /** Undoing what nobody waits for (D3). */
  readonly #reaping = new Set<Promise<void>>();
  #network: Promise<void> | undefined;
  #networkGuarded = false;
  /** Sandboxes were left for a later life. */
  #left = false;
  #closed = false;

  constructor(private readonly deps: DockerDriverDeps) {
    const agent = new ConnectionPerCall();
    const unix = /^unix:\/\/(.+)$/.exec(deps.dockerHost)?.[1];
    const tcp = unix === undefined ? new URL(deps.dockerHost.replace(/^tcp:/, "http:")) : undefined;
    const where = tcp
      ? { host: tcp.hostname, port: tcp.port || "2375", protocol: "http" as const }
      : { socketPath: unix };
    // By a name, because the types do not know of the agent.
    const options = { ...where, agent };
    this.#docker = new Docker(options);
    this.#networkName = deps.networkName ?? NETWORK;
    const { clock, log, localImages = [] } = deps;
    this.#images = new Images({ docker: this.#docker, clock, log, localImages });
    this.#disks = new DiskWatch(clock);
    this.#users = new SandboxUsers(deps.directory);
    this.#freezer = new Freezer(deps.clock, deps.cgroupRoot ?? "/sys/fs/cgroup");
  }

  get abilities(): DriverAbilities {
    const guarded = this.deps.network === "none" || this.#networkGuarded;
    return {
      name: "docker",
      isolation: guarded,
      memoryLimit: "exact",
      pidsLimit: "exact",
      freeze: true,
      caveats: guarded
        ? []
        : ["sandboxes reach what listens on all addresses of this machine: no firewall rule could be set"],
    };
  }

  async kinds(): Promise<readonly string[]> {
    await this.#networkReady();
    const images = await this.#ask(this.#docker.listImages());
    const tags = new Set(images.flatMap((image) => (image.RepoTags as string[] | null) ?? []));
    const { kinds } = this.deps.manifest;
    const here = kinds.filter((kind) => tags.has(kind.image) && this.#launches(kind)).map((kind) => kind.kind);
    return this.deps.launcher === undefined ? here : [...here, BLACKBOX_KIND];
  }

  #launches(kind: RuntimeKind): boolean {
    return kind.launcher === undefined || this.deps.launcher !== undefined;
  }

  async create(spec: SandboxSpec, timeoutMs: number, signal: AbortSignal): Promise<SandboxProcess> {
    const creating = this.#create(spec, timeoutMs, signal);
    this.#starting.add(creating);
    try {
      return await creating;
    } finally {
      this.#starting.delete(creating);
    }
  }

  async adopt(survivors: readonly Survivor[], timeoutMs: number): Promise<readonly AdoptedSandbox[]> {
    if (survivors.length === 0) return [];
    privateDirectory(this.deps.directory);
    const containers = await this.#ask(
      this.#docker.listContainers({ filters: { label: [`${DIRECTORY_LABEL}=${this.deps.directory}`] } }),
    );
    const ids = new Map(containers.map(({ Id, Labels }) => [Labels[MARK_LABEL] ?? "", Id]));
    const adopted = await Promise.all(
      survivors.flatMap((survivor) => {
        const id = ids.get(survivor.mark);
        return id === undefined ? [] : [this.#adopt(survivor, id, timeoutMs)];
      }),
    );
    return adopted.filter((one) => one !== undefined);
  }

  /** D5 */
  async #adopt({ mark, spec }: Survivor, id: string, timeoutMs: number): Promise<AdoptedSandbox | undefined> {
    const { clock, log } = this.deps;
    const directory = join(this.deps.directory, mark);
    const socket = join(directory, "s");
    const what = `sandbox ${mark} (${spec.kind})`;
    let rendezvous: Rendezvous | undefined;
    let sandbox: DockerSandbox | undefined;
    let user = 0;
    const resuming = async (): Promise<AdoptedSandbox> => {
      await rm(socket, { force: true });
      rendezvous = await Rendezvous.listen(socket, true);
      const container = this.#docker.getContainer(id);
      const { Config, State } = await this.#ask(container.inspect());
      user = this.#users.keep(Config.User);
      const found = this.#track(spec, mark, directory, container, user);
      sandbox = found;
      this.#freezer.thaw(id);
      if (State.Paused) await this.#ask(container.unpause());
      await this.#attach(found);
      const { link, first } = await Promise.race([rendezvous.arrived, endsEarly(found, what)]);
      const hello = helloOf(first, what);
      if (!hello.resumed) {
        throw new WeftError("failedPrecondition", "NOT_RESUMED", `${what} does not say what it has kept`);
      }
      this.#ready(found, link, hello);
      if (imageOfKind(spec.kind) !== undefined) this.#disks.add(found);
      return { mark, process: found, loaded: hello.resumed.loaded };
    };
    try {
      return await withinStartLimits(clock, timeoutMs, new AbortController().signal, what, resuming());
    } catch (thrown) {
      log.info("a sandbox of an earlier life did not come back", { container: id, error: toWeftError(thrown) });
      rendezvous?.close();
      this.#live.delete(mark); // left behind: cleanUp removes it
      sandbox?.abandon();
      this.#users.leaveTo(id, user);
      return undefined;
    }
  }

  async cleanUp(): Promise<number> {
    privateDirectory(this.deps.directory);
    const adopted = new Set([...this.#live.values()].map((sandbox) => sandbox.container.id));
    const containers = await this.#ask(
      this.#docker.listContainers({ all: true, filters: { label: [`${INVOKER_LABEL}=${this.deps.invokerId}`] } }),
    );
    const old = containers.filter(({ Id, Labels, State }) => {
      if (adopted.has(Id)) return false;
      const directory = Labels[DIRECTORY_LABEL];
      if (directory === this.deps.directory) return Labels[BOOT_LABEL] !== this.deps.bootId;
      // Of an installation that was thrown away nobody else removes what is left.
      return State === "exited" && (directory === undefined || !existsSync(directory));
    });
    const there = new Set(containers.map(({ Id }) => Id));
    await Promise.all(
      old.map(async ({ Id: id }) => {
        this.#freezer.thaw(id); // what is frozen cannot be killed
        try {
          await this.#ask(this.#docker.getContainer(id).remove({ force: true, v: true }));
          there.delete(id);
        } catch (thrown) {
          this.deps.log.warn("a sandbox of an earlier life could not be removed", { container: id, error: thrown });
        }
      }),
    );
    this.#users.releaseUnless(there);
    const own = (name: string): boolean => name.startsWith(`${this.deps.bootId}-`) || this.#live.has(name);
    for (const name of readdirSync(this.deps.directory)) {
      if (!own(name)) await rm(join(this.deps.directory, name), { recursive: true, force: true });
    }
    return old.length;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#starting);
    await Promise.all([...this.#live.values()].map((sandbox) => sandbox.destroy()));
    await Promise.all(this.#reaping);
    this.#disks.close();
    if (!this.#left) await rm(this.deps.directory, { recursive: true, force: true });
  }

  async #create(spec: SandboxSpec, timeoutMs: number, signal: AbortSignal): Promise<SandboxProcess> {
    const image = imageOfKind(spec.kind);
    if (image === undefined) {
      const kind = this.deps.manifest.find(spec.kind);
      return this.#make(spec, spec.build ? kind && builderOf(kind) : kind, undefined, timeoutMs, signal);
    }
    const { clock } = this.deps;
    const beganMonoMs = clock.monoMs();
    try {
      const what = `image ${image}`;
      const config = await withinStartLimits(clock, timeoutMs, signal, what, this.#ask(this.#images.ready(image)));
      const kind = blackboxKind(spec.kind, image, config);
      const leftMs = Math.max(1, timeoutMs - (clock.monoMs() - beganMonoMs));
      return await this.#make(spec, kind, config, leftMs, signal);
    } catch (thrown) {
      if (thrown instanceof ImageRefused) return new RefusingSandbox(thrown.message);
      const told = toWeftError(thrown);
      if (told.reason === "DOCKER_FAILED" && /unable to find (user|group)/.test(told.message)) {
        return new RefusingSandbox(`The container image '${image}' cannot be run: ${told.message}`);
      }
      throw thrown;
    }
  }

  /** @param own what an image of the action's own says of itself */
  async #make(
    spec: SandboxSpec,
    kind: RuntimeKind | undefined,
    own: ImageConfig | undefined,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<DockerSandbox> {
    if (!kind) throw imageMissing(spec.kind, "no image is named for it in runtimes/manifest.json");
    if (!this.#launches(kind)) throw imageMissing(spec.kind, "the launcher is not there");
    if (this.#closed) throw new WeftError("unavailable", "DRIVER_CLOSED", "the docker driver is closed");
    if (signal.aborted) throw new WeftError("canceled", "START_CANCELED", "the start of a sandbox was given up");
    privateDirectory(this.deps.directory);
    const mark = `${this.deps.bootId}-${spec.sandbox}`;
    const directory = join(this.deps.directory, mark);
    // Open to the user inside; nobody else reaches through the directory above.
    await mkdir(directory, { mode: 0o755 });
    let rendezvous: Rendezvous | undefined;
    const making = (async () => {
      rendezvous = await Rendezvous.listen(join(directory, "s"), true);
      await this.#networkReady();
      const user = this.#users.take();
      try {
        const options = this.#container(spec, kind, mark, directory, user);
        const wanted = own ? asBlackbox(options, own, spec.memoryMb) : options;
        const container = await this.#ask(this.#docker.createContainer(wanted), kind);
        const sandbox = this.#track(spec, mark, directory, container, user);
        if (own) this.#disks.add(sandbox);
        return sandbox;
      } catch (thrown) {
        this.#users.release(user);
        throw thrown;
      }
    })();
    const what = `sandbox ${spec.sandbox} (${spec.kind})`;
    const starting = making.then((sandbox) => this.#start(sandbox, rendezvous, what));
    try {
      return await withinStartLimits(this.deps.clock, timeoutMs, signal, what, starting);
    } catch (thrown) {
      await this.#undo(making, () => rendezvous?.close(), directory);
      throw thrown;
    }
  }

  async #start(sandbox: DockerSandbox, rendezvous: Rendezvous | undefined, what: string): Promise<DockerSandbox> {
    invariant(rendezvous !== undefined, "there is a socket before there is a container");
    const early = endsEarly(sandbox, what);
    await Promise.all([this.#attach(sandbox), this.#ask(sandbox.container.start())]).catch((thrown: unknown) => {
      // Somebody may have removed the network: the next create makes it again.
      this.#network = undefined;
      throw thrown;
    });
    const { link, first } = await Promise.race([rendezvous.arrived, early]);
    this.#ready(sandbox, link, helloOf(first, what));
    return sandbox;
  }

  #ready(sandbox: DockerSandbox, link: SocketLink, hello: Hello): void {
    sandbox.survives = hello.reconnects && (this.deps.reconnectMs ?? 0) > 0;
    sandbox.ready(link, hello.languageVersion);
  }

  /** Beside the start (D2): the runtime itself prints nothing before it has code, so that nothing is missed. */
  async #attach(sandbox: DockerSandbox): Promise<void> {
    sandbox.attached(await this.#ask(sandbox.container.attach({ stream: true, stdout: true, stderr: true })));
  }

  /** Removes what a failed create made (D3); a Docker that does not answer is waited for in the background. */
  async #undo(making: Promise<DockerSandbox>, closeSocket: () => void, directory: string): Promise<void> {
    const reaping = (async () => {
      const sandbox = await making.catch(() => undefined);
      closeSocket();
      try {
        if (sandbox) await sandbox.destroy();
        else await rm(directory, { recursive: true, force: true });
      } catch (thrown) {
        this.deps.log.warn("a sandbox that did not start could not be removed", { error: thrown });
      }
    })();
    this.#reaping.add(reaping);
    void reaping.then(() => this.#reaping.delete(reaping));
    let cancel = (): void => {};
    await Promise.race([
      reaping,
      new Promise<void>((resolve) => (cancel = this.deps.clock.after(UNDO_WAIT_MS, resolve))),
    ]);
    cancel();
  }

  #track(spec: SandboxSpec, mark: string, directory: string, container: Container, user: number): DockerSandbox {
    const { clock, log } = this.deps;
    const gone = (): void => {
      this.#live.delete(mark);
      this.#users.release(user);
    };
    const left = (): void => {
      this.#left = true;
      this.#live.delete(mark);
    };
    const deps = { clock, log, freezer: this.#freezer, gone, left };
    const sandbox = new DockerSandbox(deps, spec, directory, container, mark);
    this.#live.set(mark, sandbox);
    return sandbox;
  }

  #container(
    spec: SandboxSpec,
    kind: RuntimeKind,
    mark: string,
    directory: string,
    user: number,
  ): ContainerCreateOptions {
    const memoryBytes = spec.memoryMb * 1024 * 1024;
    const { launcher, reconnectMs, registries } = this.deps;
    const env: Record<string, string> = {
      HOME: "/tmp", // all that can be written to
      ...kindEnv(kind, spec.memoryMb),
      ...spec.env,
      WEFT_SOCKET: `${LINK_DIRECTORY}/s`,
      WEFT_KIND: spec.kind,
      // Nobody comes back for a build: who asked for it was told that it is lost.
      ...(reconnectMs === undefined || spec.build ? {} : { WEFT_RECONNECT_MS: String(reconnectMs) }),
    };
    const binds = [`${directory}:${LINK_DIRECTORY}:ro`];
    if (spec.registries && registries !== undefined) {
      binds.push(`${registries}:${REGISTRIES_DIRECTORY}:ro`);
      env["WEFT_REGISTRIES"] = REGISTRIES_DIRECTORY;
    }
    let entrypoint: string[] | undefined;
    if (kind.launcher !== undefined && launcher !== undefined) {
      binds.push(`${dirname(launcher)}:${LAUNCHER_DIRECTORY}:ro`);
      const args =
        kind.family === BLACKBOX_KIND
          ? [kind.launcher, ...kind.program]
          : launcherArgs(kind, (path) => `${RUNTIME_DIRECTORY}${path.slice(path.indexOf("/"))}`);
      entrypoint = [`${LAUNCHER_DIRECTORY}/${basename(launcher)}`, ...args];
    }
    return {
      Image: kind.image,
      ...(entrypoint && { Entrypoint: entrypoint }),
      User: asUser(user),
      Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
      Labels: {
        [INVOKER_LABEL]: this.deps.invokerId,
        [DIRECTORY_LABEL]: this.deps.directory,
        [BOOT_LABEL]: this.deps.bootId,
        [MARK_LABEL]: mark,
      },
      Hostname: "sandbox",
      HostConfig: {
        Binds: binds,
        NetworkMode: this.deps.network === "none" || spec.build ? "none" : this.#networkName,
        LogConfig: { Type: "none", Config: {} },
        CapDrop: ["ALL"],
        SecurityOpt: ["no-new-privileges", `seccomp=${SECCOMP_PROFILE}`],
        MaskedPaths: MASKED_PATHS,
        ReadonlyRootfs: true,
        // It is the sandbox's memory: half of it, so that who fills it hears "no space left" and is not killed.
        // Executable, because archives bring native modules.
        Tmpfs: { "/tmp": `rw,exec,nosuid,nodev,mode=1777,size=${memoryBytes / 2}` },
        Memory: memoryBytes,
        MemorySwap: memoryBytes, // memory and swap together: no swap
        PidsLimit: spec.pidsMax,
        CpuShares: Math.max(2, Math.round((1024 * spec.memoryMb) / MEMORY_MB_PER_1024_SHARES)),
        Ulimits: [
          { Name: "nofile", Soft: FILES_MAX, Hard: FILES_MAX },
          { Name: "core", Soft: CORE_BYTES, Hard: CORE_BYTES },
        ],
        IpcMode: "private",
        ShmSize: memoryBytes,
      },
    };
  }

  // ---- network ----

  #networkReady(): Promise<void> {
    if (this.deps.network === "none") return Promise.resolve();
    this.#network ??= this.#makeNetwork().catch((thrown: unknown) => {
      this.#network = undefined; // asked again by the next
      throw thrown;
    });
    return this.#network;
  }

  async #makeNetwork(): Promise<void> {
    const network = this.#docker.getNetwork(this.#networkName);
    const there = (): Promise<boolean> => network.inspect().then(Boolean, () => false);
    if (!(await there())) {
      try {
        await this.#docker.createNetwork({
          Name: this.#networkName,
          Driver: "bridge",
          CheckDuplicate: true,
          Options: {
            "com.docker.network.bridge.name": this.#networkName,
            "com.docker.network.bridge.enable_icc": "false",
          },
        });
      } catch (thrown) {
        if (!(await there())) throw translate(thrown, this.deps.dockerHost); // else another invoker was first
      }
    }
    // Docker keeps sandboxes from each other; it does not keep them from this machine, nor from a cloud's metadata.
    const rules = [
      ["INPUT", "-i", this.#networkName, "-j", "DROP"],
      ["DOCKER-USER", "-i", this.#networkName, "-d", "169.254.0.0/16", "-j", "DROP"],
    ];
    const set = await Promise.all(rules.map((rule) => firewallRule(rule)));
    this.#networkGuarded = set.every(Boolean);
    if (!this.#networkGuarded) {
      this.deps.log.warn(
        "sandboxes reach this machine: the firewall rules could not be set; run as root, with iptables",
      );
    }
  }

  // ---- Docker's errors ----

  async #ask<T>(answer: Promise<T>, kind?: RuntimeKind): Promise<T> {
    try {
      return await answer;
    } catch (thrown) {
      if (kind && (thrown as DockerError).statusCode === 404)
        throw imageMissing(kind.kind, `there is no image ${kind.image}`);
      throw translate(thrown, this.deps.dockerHost);
    }
  }
}

/** A connection that was kept may have been closed by Docker in the same moment. */
class ConnectionPerCall extends Agent {
  constructor() {
    super({ keepAlive: false });
  }

  /**
   * dockerode prints the options of each call for its debug log, also when nobody reads that. In them is the agent, and
   * in it the socket of every live sandbox: with ten sandboxes that took 40 ms of a start.
   */
  [inspect.custom](): string {
    return "ConnectionPerCall";
  }
}

interface DockerError {
  readonly statusCode?: number;
  readonly code?: string;
  readonly reason?: string;
  readonly message: string;
}

function translate(thrown: unknown, dockerHost: string): Error {
  if (thrown instanceof WeftError || thrown instanceof ImageRefused) return thrown;
  const { code, message } = thrown as DockerError;
  if (code !== undefined && ["ENOENT", "ECONNREFUSED", "ECONNRESET", "EACCES", "EPIPE", "ENOTFOUND"].includes(code)) {
    return new WeftError("unavailable", "DRIVER_UNAVAILABLE", `no Docker answers at ${dockerHost}: ${message}`, {
      cause: thrown,
      fix: code === "EACCES" ? "run as root, or as a member of the group docker" : "deploy/local/install",
    });
  }
  return new WeftError("unavailable", "DOCKER_FAILED", `docker: ${message.trim()}`, { cause: thrown });
}

function imageMissing(kind: string, why: string): WeftError {
  return new WeftError("failedPrecondition", "IMAGE_MISSING", `no sandbox can be made for ${kind}: ${why}`, {
    fix: "deploy/local/images",
  });
}

/** Rejects when it ends. */
function endsEarly(sandbox: DockerSandbox, what: string): Promise<never> {
  const early = sandbox.exited.then((exit): never => {
    throw new WeftError("unavailable", "RUNTIME_DIED", `${what} ended before its runtime said hello`, { cause: exit });
  });
  early.catch(() => {}); // every sandbox ends some time
  return early;
}

function helloOf(first: Uint8Array, what: string): Hello {
  const { message } = FromSandbox.decode(first);
  if (message?.$case === "hello" && message.value.protocol === 1) return message.value;
  throw new WeftError("failedPrecondition", "RUNTIME_PROTOCOL", `${what} speaks another protocol`, {
    fix: "deploy/local/images",
  });
}

/** Sets a rule unless it is set. @returns false when that is not possible here */
async function firewallRule([chain = "", ...rule]: readonly string[]): Promise<boolean> {
  const iptables = (...args: readonly string[]): Promise<boolean> =>
    new Promise((resolve) => {
      execFile("iptables", ["-w", "5", ...args], { timeout: 10_000 }, (failed) => {
        resolve(!failed);
      });
    });
  return (await iptables("-C", chain, ...rule)) || iptables("-I", chain, ...rule);
}
