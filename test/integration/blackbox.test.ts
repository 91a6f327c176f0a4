// An image of an action's own in a sandbox: what the launcher and the docker driver make of it together. The image knows
// nothing of Weft; it speaks what OpenWhisk's images speak (test/harness/blackbox).

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";

import { silentLog } from "../../internal/base/log.js";
import { systemClock } from "../../internal/boot/system.js";
import type { SandboxProcess } from "../../internal/core/sandbox/driver.js";
import { parseManifest } from "../../internal/core/sandbox/manifest.js";
import { DockerDriver } from "../../internal/docker/docker-driver.js";
import type { Init } from "../../internal/gen/weft/runtime/v1/sandbox.pb.js";
import { blackboxImage, launcherOf } from "../harness/launcher.js";
import { RuntimePeer } from "../harness/runtime-peer.js";
import { describeWith, serviceAddress } from "../harness/services.js";

describeWith(["docker"], "an image of an action's own", () => {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const scratch = mkdtempSync(join(tmpdir(), "weft-"));
  const driver = new DockerDriver({
    clock: systemClock,
    log: silentLog,
    manifest: parseManifest(readFileSync(join(root, "runtimes/manifest.json"), "utf8")),
    dockerHost: serviceAddress("docker") ?? "",
    launcher: launcherOf(),
    localImages: ["local/"],
    invokerId: `test-${process.pid}-blackbox`,
    bootId: "b1",
    directory: join(scratch, "d"),
    network: "none",
  });
  let image = "";
  beforeAll(() => {
    image = blackboxImage();
  }, 120_000);
  afterAll(async () => {
    await driver.close();
    rmSync(scratch, { recursive: true });
  });

  const open: SandboxProcess[] = [];
  afterEach(async () => {
    for (const sandbox of open.splice(0)) if (sandbox.link !== answers?.link) await sandbox.destroy();
  });

  let count = 0;
  async function aSandbox(of = image): Promise<{ readonly sandbox: SandboxProcess; readonly peer: RuntimePeer }> {
    count += 1;
    const spec = { sandbox: count, kind: `blackbox:${of}`, memoryMb: 256, pidsMax: 128, env: { __OW_API_HOST: "api" } };
    const sandbox = await driver.create(spec, 20_000, new AbortController().signal);
    open.push(sandbox);
    return { sandbox, peer: new RuntimePeer(sandbox.link) };
  }

  async function loaded(code: string | Uint8Array = "", init: Partial<Init> = {}): Promise<RuntimePeer> {
    const { peer } = await aSandbox();
    expect(await peer.init(code, init)).toMatchObject({ ok: true });
    return peer;
  }

  it("gets /init and /run as OpenWhisk's images do, with and without code", async () => {
    const env = { __OW_ACTION_NAME: "/guest/hello", SECRET: "s" };
    const peer = await loaded("some code", { env, main: "niam" });
    const fields = { apiKey: "u:k", deadlineWallMs: 1_700_000_000_000 };
    const { result } = await peer.run({ act: "request", text: "Grüße 🌍" }, fields);
    expect(result).toEqual({
      runs: 1,
      init: { name: "/guest/hello", main: "niam", binary: false, code: "some code", env },
      request: {
        value: { act: "request", text: "Grüße 🌍" },
        namespace: "guest",
        action_name: "/guest/hello",
        action_version: "0.0.1",
        activation_id: "1".padStart(32, "0"),
        transaction_id: "tid",
        deadline: "1700000000000",
        api_key: "u:k",
      },
    });
    const archive = Buffer.from([0x50, 0x4b, 5, 6, 0, 255]);
    const withArchive = await loaded(archive);
    expect((await withArchive.run({ act: "request" })).result).toMatchObject({
      init: { main: "main", binary: true, code: archive.toString("base64") },
    });
    const without = await loaded();
    const { init } = (await without.run({ act: "request" })).result as { readonly init: object };
    expect(init).not.toHaveProperty("code");
    expect(await without.init("more")).toEqual({
      ok: false,
      error: "Cannot initialize the action more than once.",
      logs: [],
    });
  });

  it("runs as its recipe says: user, folder, environment, and writes where it wants to", async () => {
    const peer = await loaded();
    expect((await peer.run({ act: "writes" })).result).toEqual({
      written: ["server.py", "written"],
      user: 0,
      cwd: "/app",
    });
    const { result } = await peer.run({ act: "environment" });
    expect(result).toMatchObject({ GREETING: "from the image", __OW_API_HOST: "api" });
    for (const name of ["WEFT_SOCKET", "WEFT_KIND", "__OW_ALLOW_CONCURRENT"]) expect(result).not.toHaveProperty(name);
    const together = await loaded("", { concurrency: 3 });
    expect((await together.run({ act: "environment" })).result).toMatchObject({ __OW_ALLOW_CONCURRENT: "true" });
    const startMs = performance.now();
    await Promise.all([1, 2, 3].map(() => together.run({ act: "wait", ms: 500 })));
    expect(performance.now() - startMs).toBeLessThan(1_400);
  });

  /** One for all of them: the invoker would not use it again after some, the launcher would. */
  let answers: RuntimePeer | undefined;
  it.each<[name: string, params: object, outcome: string, result: unknown]>([
    ["an object", { act: "echo", a: [1, { b: null }] }, "success", { act: "echo", a: [1, { b: null }] }],
    ["an array", { act: "array" }, "success", [1, 2]],
    ["an error of its own", { act: "error" }, "applicationError", { error: "as it says" }],
    ["a refusal", { act: "refuse" }, "developerError", { error: "The action did not return a dictionary." }],
    [
      "a refusal that says nothing",
      { act: "strange" },
      "developerError",
      { error: `The action did not produce a valid JSON or JSON Array response: ["no", "object"]` },
    ],
    [
      "a text",
      { act: "text" },
      "developerError",
      { error: `The action did not produce a valid JSON or JSON Array response: "text"` },
    ],
    [
      "what has no length",
      { respond: "endless" },
      "developerError",
      { error: "The action did not produce a valid response: the response has no Content-Length" },
    ],
    [
      "chunks",
      { respond: "chunked" },
      "developerError",
      { error: "The action did not produce a valid response: the response has no Content-Length" },
    ],
  ])("may answer %s", async (_, params, outcome, result) => {
    answers ??= await loaded();
    expect(await answers.run(params)).toMatchObject({ outcome, result });
  });

  it("has its output told per call, without the marks at its end", async () => {
    const peer = await loaded();
    for (let n = 0; n < 3; n++) {
      const { logs } = await peer.run({ act: "lines" });
      expect(logs.filter((line) => line.startsWith("stdout"))).toEqual(["stdout: out 1", "stdout: out 2"]);
      expect(logs.filter((line) => line.startsWith("stderr"))).toEqual(["stderr: err 1", "stderr: err 2"]);
    }
    expect(peer.between).toEqual([]);
  });

  it("says why it does not load", async () => {
    const broken = await aSandbox();
    expect(await broken.peer.init("broken")).toEqual({
      ok: false,
      error: "The code is broken.",
      logs: ["stderr: it does not load"],
    });
    const odd = await aSandbox();
    expect((await odd.peer.init("odd")).error).toBe('The action failed during initialization (status 500): "odd"');
  });

  it("ends with its sandbox, and the sandbox with it", async () => {
    const { sandbox, peer } = await aSandbox();
    await peer.init("");
    await expect(peer.run({ act: "exit" })).rejects.toThrow("connection ended");
    expect(peer.printed(1)).toEqual(["stderr: last words"]);
    expect(await sandbox.exited).toEqual({ kind: "exited", code: 3, signal: undefined });
  });

  it("is refused as the developer's mistake when it is not there", async () => {
    for (const [name, error] of [
      [
        "local/weft-no-such-image:1",
        /^Failed to pull container image 'local\/weft-no-such-image:1'\. It is not on the/,
      ],
      ["127.0.0.1:9/nobody/image", /^Failed to pull container image '127\.0\.0\.1:9\/nobody\/image'\. /],
    ] as const) {
      const { peer, sandbox } = await aSandbox(name);
      const { ok, error: said } = await peer.init("");
      expect([ok, said]).toEqual([false, expect.stringMatching(error)]);
      await sandbox.destroy();
      expect((await sandbox.exited).kind).toBe("exited");
    }
  });

  it("cannot write a file larger than a sandbox holds", async () => {
    const peer = await loaded();
    expect((await peer.run({ act: "fills", bytes: 1024 ** 2 })).result).toEqual({ written: 1024 ** 2 });
    expect((await peer.run({ act: "fills", bytes: 1024 ** 3 })).result).toEqual({ refused: "File too large" });
  });
});
