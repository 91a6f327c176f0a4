// What is different about the containers of blackbox actions: the image is foreign, and expects to be run as it says.
//
//   * The launcher takes the place of its entry point and starts that itself.
//   * It keeps the user it names, root included, without any capability: its own files are that user's.
//   * That user is one of this machine's: what the machine counts per user and is soon used up, it does not get.
//   * Its root can be written to, because OpenWhisk's images unpack code beside their programs: nodejs in /nodejsAction,
//     the ActionLoop ones in /action, where a tmpfs would hide what the image brought. How much is written is watched.
//   * What it wants as volumes, which are files of the host without a bound, are bounded tmpfs.

import type { ContainerCreateOptions, HostConfig } from "dockerode";

import { every, type Clock } from "../base/clock.js";
import type { RuntimeKind } from "../core/sandbox/manifest.js";
import type { DockerSandbox } from "./docker-sandbox.js";
import type { ImageConfig } from "./images.js";
import { SECCOMP_PROFILE_FOREIGN_USER } from "./seccomp.js";

/** What a container may write to its root, MiB. No single file may be larger either, which the kernel holds. */
const DISK_MB_MAX = 512;
const MIB = 1024 * 1024;
/** What of the kernel only root may read, and needs no capability for. */
const MASKED_FOR_ROOT = ["kpagecgroup", "kpagecount", "kpageflags", "pagetypeinfo", "slabinfo", "vmallocinfo"]
  .map((name) => `/proc/${name}`)
  .concat("/sys/kernel/slab");
/** How often it is looked at. */
const LOOK_MS = 5_000;
/** An image may name so many volumes. */
const VOLUMES_MAX = 16;

export function blackboxKind(kind: string, image: string, { program }: ImageConfig): RuntimeKind {
  return {
    kind,
    family: "blackbox",
    default: false,
    deprecated: false,
    image,
    command: [],
    launcher: "http",
    program,
    concurrency: true,
    dockerOnly: true,
    build: undefined,
    env: {},
    addressSpaceHeadroomMb: undefined,
    requireMain: false,
    stemCells: [],
  };
}

/** Of the options of a container what an image of an action's own changes. */
export function asBlackbox(
  options: ContainerCreateOptions,
  { volumes }: ImageConfig,
  memoryMb: number,
): ContainerCreateOptions {
  const { User: _user, HostConfig: host = {}, ...rest } = options;
  const tmpfs = Object.fromEntries(
    volumes.slice(0, VOLUMES_MAX).map((path) => [path, `rw,exec,nosuid,nodev,mode=1777,size=${(memoryMb / 2) * MIB}`]),
  );
  const hostConfig: HostConfig = {
    ...host,
    ReadonlyRootfs: false,
    SecurityOpt: ["no-new-privileges", `seccomp=${SECCOMP_PROFILE_FOREIGN_USER}`],
    MaskedPaths: [...(host.MaskedPaths ?? []), ...MASKED_FOR_ROOT],
    Tmpfs: { ...(host.Tmpfs as Record<string, string> | undefined), ...tmpfs },
    Ulimits: [...(host.Ulimits ?? []), { Name: "fsize", Soft: DISK_MB_MAX * MIB, Hard: DISK_MB_MAX * MIB }],
  };
  // Its own home, or its user's.
  const env = rest.Env?.filter((entry) => !entry.startsWith("HOME=")) ?? [];
  return { ...rest, Env: env, Healthcheck: { Test: ["NONE"] }, HostConfig: hostConfig };
}

/** Ends containers that have written too much to their root. */
export class DiskWatch {
  readonly #watched = new Set<DockerSandbox>();
  #stop: (() => void) | undefined;
  #looking = false;

  constructor(private readonly clock: Clock) {}

  add(sandbox: DockerSandbox): void {
    this.#watched.add(sandbox);
    this.#stop ??= every(this.clock, LOOK_MS, () => void this.#look());
    void sandbox.exited.then(() => {
      this.#watched.delete(sandbox);
      if (this.#watched.size === 0) this.close();
    });
  }

  close(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  async #look(): Promise<void> {
    if (this.#looking) return; // counting takes its time
    this.#looking = true;
    try {
      for (const sandbox of this.#watched) {
        const bytes = await writtenBytes(sandbox);
        if (bytes > DISK_MB_MAX * MIB) sandbox.condemn({ kind: "outOfDisk", limitMb: DISK_MB_MAX });
      }
    } finally {
      this.#looking = false;
    }
  }
}

/** 0 for one that has just ended. */
async function writtenBytes({ container }: DockerSandbox): Promise<number> {
  try {
    const { SizeRw: bytes } = (await container.inspect({ size: true } as object)) as { SizeRw?: number };
    return bytes ?? 0;
  } catch {
    return 0;
  }
}
