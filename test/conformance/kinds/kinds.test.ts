// Every kind in both modes: `dev` with child processes, `up` with Docker.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe } from "vitest";

import { silentLog } from "../../../internal/base/log.js";
import { readManifest } from "../../../internal/assembly/files.js";
import { systemClock } from "../../../internal/boot/system.js";
import { DockerDriver } from "../../../internal/docker/docker-driver.js";
import { ProcessDriver } from "../../../internal/process/process-driver.js";
import { openFabric, UP_SERVICES } from "../../e2e/fabrics.js";
import { launcherOf } from "../../harness/launcher.js";
import { describeWith, serviceAddress } from "../../harness/services.js";
import { kindsSuite } from "./kinds.suite.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));
/** What must not be seen inside. */
const env = { HOST_CANARY: "seen-on-the-host" };
const common = { clock: systemClock, log: silentLog, manifest: readManifest(), bootId: "kinds" };
const launcher = launcherOf();
/** Interpreters that every machine with Weft has; the others are in images. */
const EVERYWHERE = ["nodejs:20", "python:3.11"];

describe("dev", async () => {
  await kindsSuite("dev", {
    open: (more) => openFabric({ mode: "dev", env: { ...env, ...more } }),
    driver: (directory) =>
      new ProcessDriver({
        ...common,
        launcher,
        runtimesDirectory: join(root, "dist/runtimes"),
        directory,
        path: process.env["PATH"] ?? "/usr/bin:/bin",
      }),
    must: (kind) => EVERYWHERE.includes(kind),
  });
});

describeWith(UP_SERVICES, "up", () =>
  kindsSuite("up", {
    open: (more) => openFabric({ mode: "up", invokers: 1, env: { ...env, ...more, WEFT_MEMORY_MB: "8192" } }),
    driver: (directory) =>
      new DockerDriver({
        ...common,
        launcher,
        dockerHost: serviceAddress("docker") ?? "",
        invokerId: `kinds-${process.pid}`,
        directory,
        network: "none",
      }),
    must: () => true,
  }),
);
