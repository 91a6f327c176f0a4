// `weft up` on a machine that lacks something: one line names it, and what brings it. Nothing is started.

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CLI, freePort, run } from "../harness/fabric.js";

describe("weft up without what it needs", () => {
  let stateDir: string;

  beforeEach(() => {
    stateDir = mkdtempSync(join(tmpdir(), "weft-missing-"));
  });

  afterEach(() => {
    rmSync(stateDir, { recursive: true, force: true });
  });

  it("names each service that is missing and the command that brings it", async () => {
    const nobody = `127.0.0.1:${await freePort()}`;
    const { code, stdout, stderr } = await run(process.execPath, [CLI, "up", "--state-dir", stateDir], {
      PATH: process.env["PATH"],
      HOME: process.env["HOME"],
      WEFT_ETCD_ENDPOINTS: nobody,
      WEFT_POSTGRES_URL: `postgres://weft:secret@${nobody}/weft`,
      WEFT_DOCKER_HOST: `unix://${stateDir}/no-docker.sock`,
      WEFT_ENVOY: join(stateDir, "no-envoy"),
    });
    expect(code).not.toBe(0);
    expect(stdout).toBe("");
    for (const name of ["etcd", "Postgres", "Docker", "Envoy"]) {
      expect(stderr).toMatch(new RegExp(`\u2717 ${name} .*(does not answer|no such file)`));
    }
    expect(stderr).toContain("deploy/local/install");
    expect(stderr).not.toContain("secret");
    expect(existsSync(join(stateDir, "running.json"))).toBe(false);
  });
});
