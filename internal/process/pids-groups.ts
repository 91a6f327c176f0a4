// A number of processes that the kernel holds: a control group for each sandbox, where this user may make one. A fork that
// would be one too many fails, as in a container. Both versions of control groups; a machine where it does not work has
// none, and the driver watches instead.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { sleep, type Clock } from "../base/clock.js";

/** A group is empty a moment after its last process was killed: looks, a millisecond apart. */
const EMPTY_LOOKS_MAX = 100;
const PROCESSES = "cgroup.procs";
/** A group that only shows whether there can be one; no sandbox has such a mark. */
const TRY = "try";

export class PidsGroups {
  private constructor(
    private readonly clock: Clock,
    /** Holds one group for each sandbox. There as long as there is one. */
    private readonly directory: string,
    /** It must be said there that groups below have the controller. */
    private readonly hands: boolean,
  ) {}

  /**
   * @param owner whose sandboxes these are: the same in each life, another one for each invoker of the machine
   * @param root where control groups are mounted
   * @returns undefined when there can be none: another system, not this user's to make, or no such controller
   */
  static open(clock: Clock, owner: string, root: string): PidsGroups | undefined {
    const name = `weft-${createHash("sha256").update(owner).digest("hex").slice(0, 16)}`;
    for (const { parent, hands } of places(root)) {
      const groups = new PidsGroups(clock, join(parent, name), hands);
      try {
        groups.make(TRY, 1);
        return groups;
      } catch {
        // Not here.
      } finally {
        removeIfEmpty(join(groups.directory, TRY));
        groups.close();
      }
    }
    return undefined;
  }

  /** Groups there are, of earlier lives too. */
  marks(): string[] {
    try {
      return readdirSync(this.directory, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => name);
    } catch {
      return []; // closed
    }
  }

  /** Before anything of it runs. @throws what the kernel says */
  make(mark: string, pidsMax: number): void {
    // Not the folders above it: where those are missing, this is no place for groups.
    if (!existsSync(this.directory)) mkdirSync(this.directory);
    if (this.hands) set(join(this.directory, "cgroup.subtree_control"), "+pids");
    const group = join(this.directory, mark);
    mkdirSync(group);
    set(join(group, "pids.max"), String(pidsMax));
  }

  /** It and all that it starts from now on. @throws when it has ended, or the kernel refuses */
  add(mark: string, pid: number): void {
    set(join(this.directory, mark, PROCESSES), String(pid));
  }

  /** Processes in a group; none when there is no such group. */
  pids(mark: string): number[] {
    try {
      return readFileSync(join(this.directory, mark, PROCESSES), "latin1")
        .split("\n")
        .map(Number)
        .filter(Boolean);
    } catch {
      return [];
    }
  }

  /** Once nothing runs in it. @returns false when something does */
  async remove(mark: string): Promise<boolean> {
    for (let look = 0; look < EMPTY_LOOKS_MAX; look++) {
      try {
        rmdirSync(join(this.directory, mark));
      } catch (thrown) {
        if ((thrown as NodeJS.ErrnoException).code === "EBUSY") {
          await sleep(this.clock, 1);
          continue;
        }
        // It is gone.
      }
      this.close();
      return true;
    }
    return false;
  }

  /** Goes when nothing is in it. */
  close(): void {
    removeIfEmpty(this.directory);
  }
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Something is in it, or it was never made.
  }
}

/** Not made when it is missing: then this is no control group. */
function set(file: string, value: string): void {
  writeFileSync(file, value, { flag: "r+" });
}

interface Place {
  readonly parent: string;
  /** It must be said that groups below have the controller. */
  readonly hands: boolean;
}

/** Where this process may have some, likely first. Under the limits that hold for itself. */
function places(root: string): readonly Place[] {
  let lines: readonly string[];
  try {
    lines = readFileSync("/proc/self/cgroup", "latin1").trim().split("\n");
  } catch {
    return []; // not Linux
  }
  return lines.flatMap((line): Place[] => {
    const [, controllers = "", ...rest] = line.split(":");
    const own = rest.join(":");
    if (controllers.split(",").includes("pids")) return [{ parent: join(root, controllers, own), hands: false }];
    // Version 2 keeps processes out of groups that have groups below, so that ours are beside our own and not below it.
    return controllers === "" ? [{ parent: join(root, dirname(own)), hands: true }] : [];
  });
}
