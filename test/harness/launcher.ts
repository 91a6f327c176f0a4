// The launcher as deploy/local/images has built it, and the image of an action's own that tests use.

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { INVOKER_DEFAULTS } from "../../internal/assembly/settings.js";
import { requireService } from "./services.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Of the compiled program. Whether it is there, whoever starts it finds out. */
export function launcherOf(dist = join(root, "dist")): string {
  const digest = readFileSync(join(dist, "runtimes/launcher/digest"), "utf8").trim();
  return join(INVOKER_DEFAULTS.launcherDir, digest, "weft-launcher");
}

/** Builds it; quick when it is there. @returns its name */
export function blackboxImage(): string {
  const image = "local/weft-test-blackbox:1";
  execFileSync("docker", [
    "-H",
    requireService("docker"),
    "build",
    "-q",
    "-t",
    image,
    join(root, "test/harness/blackbox"),
  ]);
  return image;
}
