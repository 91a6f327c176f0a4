// Both versions of control groups, whatever this machine has: trees of plain files as each version lays them out, and a
// real version 2, which the kernel has beside a version 1 too.

import { spawn, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

import { eventually } from "../../test/harness/eventually.js";
import { describeWith } from "../../test/harness/services.js";
import { systemClock } from "../boot/system.js";
import { Freezer } from "./freezer.js";

const ID = "0123456789abcdef";
const scratch = mkdtempSync(join(tmpdir(), "weft-freezer-"));
afterAll(() => {
  rmSync(scratch, { recursive: true });
});

let trees = 0;
/** Files of a hierarchy, by their paths. */
function aTree(files: Readonly<Record<string, string>>): string {
  trees += 1;
  const root = join(scratch, String(trees));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

describe("the freezer", () => {
  it.each([
    ["version 1, cgroupfs", `freezer/docker/${ID}`],
    ["version 1, systemd", `freezer/system.slice/docker-${ID}.scope`],
  ])("writes the file of %s", async (_, at) => {
    const root = aTree({ [`${at}/freezer.state`]: "THAWED\n" });
    const freezer = new Freezer(systemClock, root);
    expect(await freezer.freeze(ID)).toBe(true);
    expect(readFileSync(join(root, at, "freezer.state"), "utf8")).toBe("FROZEN");
    freezer.thaw(ID);
    expect(readFileSync(join(root, at, "freezer.state"), "utf8")).toBe("THAWED");
  });

  it.each([
    ["version 2, cgroupfs", `docker/${ID}`],
    ["version 2, systemd", `system.slice/docker-${ID}.scope`],
  ])("writes the file of %s, and believes its events", async (_, at) => {
    const root = aTree({ [`${at}/cgroup.freeze`]: "0\n", [`${at}/cgroup.events`]: "populated 1\nfrozen 0\n" });
    const freezer = new Freezer(systemClock, root);
    const freezing = freezer.freeze(ID);
    expect(readFileSync(join(root, at, "cgroup.freeze"), "utf8")).toBe("1");
    writeFileSync(join(root, at, "cgroup.events"), "populated 1\nfrozen 1\n"); // as the kernel does in a while
    expect(await freezing).toBe(true);
    freezer.thaw(ID);
    expect(readFileSync(join(root, at, "cgroup.freeze"), "utf8")).toBe("0");
  });

  it("thaws again, and says no, when the kernel does not say that all is stopped", async () => {
    const at = `docker/${ID}`;
    const root = aTree({ [`${at}/cgroup.freeze`]: "0\n", [`${at}/cgroup.events`]: "populated 1\nfrozen 0\n" });
    expect(await new Freezer(systemClock, root).freeze(ID)).toBe(false);
    expect(readFileSync(join(root, at, "cgroup.freeze"), "utf8")).toBe("0");
  });

  it("says no where there is neither version, and for a container that is gone", async () => {
    expect(await new Freezer(systemClock, aTree({ "memory/docker/x": "" })).freeze(ID)).toBe(false);
    const freezer = new Freezer(systemClock, aTree({ [`freezer/docker/${ID}/freezer.state`]: "THAWED\n" }));
    expect(await freezer.freeze(ID)).toBe(true);
    expect(await freezer.freeze("gone")).toBe(false);
    freezer.thaw("gone");
  });
});

describeWith(["docker"], "the freezer on a real version 2", () => {
  it("stops a process that never rests, and lets it go on", async () => {
    const { root, unmount } = version2();
    const parent = join(root, "docker");
    const madeParent = !existsSync(parent);
    const group = join(parent, `weft-test-${process.pid}`);
    mkdirSync(group, { recursive: true });
    const busy = spawn("sh", ["-c", "while :; do :; done"], { stdio: "ignore" });
    try {
      writeFileSync(join(group, "cgroup.procs"), String(busy.pid));
      const freezer = new Freezer(systemClock, root);
      expect(await freezer.freeze(`weft-test-${process.pid}`)).toBe(true);
      const stopped = ticksOf(busy.pid);
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(ticksOf(busy.pid)).toBe(stopped);
      freezer.thaw(`weft-test-${process.pid}`);
      await eventually(() => ticksOf(busy.pid) > stopped);
    } finally {
      busy.kill("SIGKILL");
      await eventually(() => readFileSync(join(group, "cgroup.procs"), "utf8") === "");
      rmdirSync(group);
      if (madeParent) rmdirSync(parent);
      unmount();
    }
  });
});

/** Where it is mounted; else it is mounted for the moment. */
function version2(): { readonly root: string; readonly unmount: () => void } {
  for (const line of readFileSync("/proc/self/mounts", "utf8").split("\n")) {
    const [, at = "", kind] = line.split(" ");
    if (kind === "cgroup2") return { root: at, unmount: () => {} };
  }
  const root = join(scratch, "cgroup2");
  mkdirSync(root);
  execFileSync("mount", ["-t", "cgroup2", "none", root]);
  return { root, unmount: () => execFileSync("umount", [root]) };
}

function ticksOf(pid: number | undefined): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}
