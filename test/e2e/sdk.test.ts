// Client SDKs are generated from the public API with local plugins, and programs written on the Python and the Go one call
// a running gateway.

import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Fabric, run } from "../harness/fabric.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const expected = {
  version: "0.0.1",
  result: { msg: "Hello, Ada" },
  recorded: { msg: "Hello, Ada" },
};

describe("SDKs generated from the public API", () => {
  let fabric: Fabric;
  let out: string;

  beforeAll(async () => {
    out = mkdtempSync(join(tmpdir(), "weft-sdk-"));
    const [started] = await Promise.all([Fabric.start({ mode: "dev" }), generate()]);
    fabric = started;
  });

  afterAll(async () => {
    await fabric.stop();
    rmSync(out, { recursive: true, force: true });
  });

  async function generate(): Promise<void> {
    await succeed("bash", [join(root, "proto/sdk/generate"), out], root);
  }

  it.each(["typescript", "python", "go", "java"])("has clients of every public service in %s", (language) => {
    const files = readdirSync(join(out, language), { recursive: true, encoding: "utf8" }).join("\n").toLowerCase();
    for (const service of [
      "access",
      "action",
      "activation",
      "cluster",
      "invoke",
      "namespace",
      "package",
      "rule",
      "trigger",
    ]) {
      expect(files).toContain(service);
    }
    expect(files, "links between roles are no client's business").not.toContain("link");
  });

  it("lets a Python program deploy, invoke and read back", async () => {
    const python = join(process.env["WEFT_CACHE_DIR"] ?? join(homedir(), ".cache/weft"), "sdk-tools/python/bin/python");
    const stdout = await succeed(
      python,
      [join(root, "test/e2e/sdk/client.py"), fabric.grpc, fabric.authorization],
      out,
      {
        PYTHONPATH: join(out, "python"),
      },
    );
    expect(JSON.parse(stdout)).toEqual({ ...expected, refusal: "INVALID_ARGUMENT" });
  });

  it("lets a Go program deploy, invoke and read back", async () => {
    const module = join(out, "go");
    mkdirSync(join(module, "client"));
    cpSync(join(root, "test/e2e/sdk/go.mod.txt"), join(module, "go.mod"));
    cpSync(join(root, "test/e2e/sdk/client.go"), join(module, "client/main.go"));
    await succeed("go", ["mod", "tidy"], module);
    const stdout = await succeed("go", ["run", "./client", fabric.grpc, fabric.authorization], module);
    expect(JSON.parse(stdout)).toEqual({ ...expected, refusal: "InvalidArgument" });
  });
});

async function succeed(
  command: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const ran = await run(command, args, { ...process.env, ...env }, cwd);
  if (ran.code !== 0)
    throw new Error(`${command} ${args.join(" ")} ended with ${ran.code}\n${ran.stdout}${ran.stderr}`);
  return ran.stdout;
}
