// What every SandboxDriver promises, shown with real runtimes inside.

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { eventually } from "../../../test/harness/eventually.js";
import { RuntimePeer } from "../../../test/harness/runtime-peer.js";
import type { RawOutput, SandboxDriver, SandboxProcess, SandboxSpec } from "./driver.js";

export interface DriverUnderTest {
  readonly driver: SandboxDriver;
  /** A new life of the same invoker. */
  readonly nextLife: () => SandboxDriver;
  /** A driver for which nothing can be made: no image, no interpreter. */
  readonly withoutImages: SandboxDriver;
  /** Names of everything that sandboxes of this driver, in any life, have left on the machine. */
  readonly remains: () => Promise<readonly string[]>;
  /** True when one of the sandbox's processes has used processor time lately. */
  readonly runs: (sandbox: SandboxProcess) => Promise<boolean>;
}

const echo = `function main(params) { console.log("echoing"); return { params }; }`;
const never = new AbortController().signal;
let sandboxNumber = 0;
/** What tests have made: a failed one must not fail the next. */
const made = new Set<SandboxProcess>();

export function aSpec(more: Partial<SandboxSpec> = {}): SandboxSpec {
  sandboxNumber += 1;
  return { sandbox: sandboxNumber, kind: "nodejs:20", memoryMb: 256, pidsMax: 128, env: {}, ...more };
}

/** A sandbox with code loaded. */
export async function loaded(
  driver: SandboxDriver,
  code: string,
  more: Partial<SandboxSpec> = {},
): Promise<{ readonly sandbox: SandboxProcess; readonly peer: RuntimePeer }> {
  const sandbox = await driver.create(aSpec(more), 20_000, never);
  made.add(sandbox);
  const peer = new RuntimePeer(sandbox.link);
  const { ok, error } = await peer.init(code);
  expect([ok, error]).toEqual([true, undefined]);
  return { sandbox, peer };
}

export function sandboxDriverSuite(name: string, open: () => Promise<DriverUnderTest>): void {
  describe(`${name} keeps the SandboxDriver contract`, () => {
    let under: DriverUnderTest;
    let driver: SandboxDriver;
    beforeAll(async () => {
      under = await open();
      driver = under.driver;
    });
    afterEach(async () => {
      for (const sandbox of made) await sandbox.destroy();
      made.clear();
    });
    afterAll(async () => {
      await driver.close();
      expect(await under.remains()).toEqual([]);
    });

    it("knows its kinds and says what it holds", async () => {
      expect(await driver.kinds()).toEqual(expect.arrayContaining(["nodejs:20", "python:3.11"]));
      expect(driver.abilities.freeze).toBe(true);
      expect(driver.abilities.isolation || driver.abilities.caveats.length > 0).toBe(true);
    });

    it.each([
      ["nodejs:20", echo, /^\d+\.\d+\.\d+$/],
      ["python:3.11", `def main(params):\n  print("echoing")\n  return {"params": params}`, /^3\.11\.\d+$/],
    ])("creates a %s sandbox that loads code and runs it, again and again", async (kind, code, version) => {
      const { sandbox, peer } = await loaded(driver, code, { kind });
      expect(sandbox.languageVersion).toMatch(version);
      for (const n of [1, 2, 3]) {
        const ran = await peer.run({ n, text: "Grüße, 世界 🌍" });
        expect(ran).toMatchObject({
          outcome: "success",
          result: { params: { n, text: "Grüße, 世界 🌍" } },
          logs: ["stdout: echoing"],
        });
      }
      await sandbox.destroy();
    });

    it("hands down only the environment it was given", async () => {
      process.env["WEFT_TEST_SECRET"] = "do not tell";
      const code = `function main() { return { ...process.env }; }`;
      const { sandbox, peer } = await loaded(driver, code, { env: { GIVEN: "yes" } });
      delete process.env["WEFT_TEST_SECRET"];
      const { result } = await peer.run();
      expect(result).toMatchObject({ GIVEN: "yes" });
      for (const name of ["WEFT_TEST_SECRET", "NODE_OPTIONS", "NODE_EXTRA_CA_CERTS", "WEFT_SOCKET"]) {
        expect(result).not.toHaveProperty(name);
      }
      await sandbox.destroy();
    });

    it.each([
      ["exits by itself", `setTimeout(() => process.exit(7), 10); return new Promise(() => {});`, { code: 7 }],
      ["aborts", `process.abort();`, {}],
    ])("tells when a sandbox %s, ends its link and leaves nothing", async (_, body, exit) => {
      const { sandbox, peer } = await loaded(driver, `function main() { ${body} }`);
      await expect(peer.run()).rejects.toThrow("connection ended");
      const told = await sandbox.exited;
      expect(told).toMatchObject({ kind: "exited", ...exit });
      expect(told.kind === "exited" && (told.signal ?? told.code)).not.toBe(0);
      await sandbox.link.closed;
      await sandbox.destroy();
    });

    it.each([
      [
        "nodejs:20",
        "the heap",
        `function main() { const all = []; for (;;) all.push(new Array(1e5).fill(all.length)); }`,
      ],
      ["nodejs:20", "buffers", `function main() { const all = []; for (;;) all.push(Buffer.alloc(4 << 20, 1)); }`],
      ["python:3.11", "bytes", `def main(p):\n  all = []\n  while True:\n    all.append(bytearray(b"x" * (4 << 20)))`],
    ])("ends a %s sandbox that fills its memory with %s, and says so", async (kind, _, code) => {
      const { sandbox, peer } = await loaded(driver, code, { kind, memoryMb: 128 });
      await expect(peer.run()).rejects.toThrow("connection ended");
      expect(await sandbox.exited).toEqual({ kind: "outOfMemory", limitMb: 128 });
      await sandbox.destroy();
    });

    it("holds a fork bomb down, and its neighbour goes on", async () => {
      const bomb = `const { spawn } = require("node:child_process");
        function main() {
          const script = "while true; do sleep 30 & done";
          for (let i = 0; i < 3; i++) spawn("sh", ["-c", script], { stdio: "ignore", detached: i === 2 }).on("error", () => {});
          return new Promise(() => {});
        }`;
      const neighbour = await loaded(driver, echo);
      const { sandbox, peer } = await loaded(driver, bomb, { pidsMax: 64 });
      const running = peer.run().catch(() => "ended");
      for (const n of [1, 2, 3]) expect((await neighbour.peer.run({ n })).outcome).toBe("success");
      if (driver.abilities.pidsLimit === "watched") {
        expect(await sandbox.exited).toEqual({ kind: "tooManyProcesses", limit: 64 });
      }
      await sandbox.destroy();
      expect(await running).toBe("ended");
      expect((await neighbour.peer.run()).outcome).toBe("success");
      await neighbour.sandbox.destroy();
    });

    it("freezes and unfreezes, again and again, and destroys what is frozen", async () => {
      const { sandbox, peer } = await loaded(
        driver,
        `let n = 0; setInterval(() => n++, 1); function main() { return { n }; }`,
      );
      await sandbox.freeze();
      await sandbox.freeze();
      const during = peer.run();
      expect(await Promise.race([during, within(200, "still frozen")])).toBe("still frozen");
      expect(await under.runs(sandbox)).toBe(false);
      await sandbox.unfreeze();
      await sandbox.unfreeze();
      expect((await during).outcome).toBe("success");
      await sandbox.freeze();
      await sandbox.destroy();
      expect((await sandbox.exited).kind).toBe("exited");
      expect(await under.remains()).toEqual([]);
    });

    it("destroys everything inside, with children that left their session, and may be asked again", async () => {
      const code = `const { spawn } = require("node:child_process");
        function main() {
          const child = spawn("sh", ["-c", "sleep 1000 & sleep 1000"], { detached: true, stdio: "ignore" });
          return { child: child.pid };
        }`;
      const { sandbox, peer } = await loaded(driver, code);
      expect((await peer.run()).outcome).toBe("success");
      await Promise.all([sandbox.destroy(), sandbox.destroy()]);
      await sandbox.destroy();
      await sandbox.link.closed;
      expect((await sandbox.exited).kind).toBe("exited");
      expect(await under.remains()).toEqual([]);
      await sandbox.freeze();
      await sandbox.unfreeze();
    });

    it("ends a sandbox whose runtime closed its connection", async () => {
      const code = `function main() {
        for (const handle of process._getActiveHandles()) if (handle.remoteAddress === undefined && handle.destroy) handle.destroy();
        setInterval(() => {}, 1000);
        return new Promise(() => {});
      }`;
      const { sandbox, peer } = await loaded(driver, code);
      await expect(peer.run()).rejects.toThrow("connection ended");
      expect((await sandbox.exited).kind).toBe("exited");
      await sandbox.destroy();
    });

    it("ends a sandbox whose connection we close, though its code lets go of nothing", async () => {
      const { sandbox, peer } = await loaded(driver, `function main() { for (;;); }`);
      const running = peer.run().catch(() => "ended");
      sandbox.link.close();
      expect(await running).toBe("ended");
      expect((await sandbox.exited).kind).toBe("exited");
      await sandbox.destroy();
    });

    it("carries output that passes the runtime by, from either stream", async () => {
      const code = `const { execSync } = require("node:child_process");
        function main() { execSync("echo raw out; echo raw err >&2", { stdio: "inherit" }); return {}; }`;
      const { sandbox, peer } = await loaded(driver, code);
      const seen = { stdout: "", stderr: "" };
      sandbox.onRawOutput = ({ stream, bytes }: RawOutput) => {
        seen[stream] += Buffer.from(bytes).toString();
      };
      await peer.run();
      await eventually(() => {
        expect(seen).toEqual({ stdout: "raw out\n", stderr: "raw err\n" });
      });
      await sandbox.destroy();
    });

    it("lets a flood of raw output wait rather than carry it", async () => {
      const code = `const { spawn } = require("node:child_process");
        function main() { spawn("yes", { stdio: "inherit" }); return {}; }`;
      const { sandbox, peer } = await loaded(driver, code);
      let bytes = 0;
      sandbox.onRawOutput = (output) => {
        bytes += output.bytes.length;
      };
      await peer.run();
      await eventually(() => bytes > 1_000_000);
      await within(500, undefined);
      expect(bytes).toBeLessThan(40 * 1024 * 1024);
      await sandbox.destroy();
    });

    it("gives up in time when the runtime is too slow, and leaves nothing", async () => {
      await expect(driver.create(aSpec(), 1, never)).rejects.toMatchObject({ kind: "deadlineExceeded" });
      await eventually(async () => {
        expect(await under.remains()).toEqual([]);
      });
    });

    it("gives up when nobody wants it any more, before or during, and leaves nothing", async () => {
      await expect(driver.create(aSpec(), 20_000, AbortSignal.abort())).rejects.toMatchObject({ kind: "canceled" });
      const abort = new AbortController();
      const creating = driver.create(aSpec(), 20_000, abort.signal);
      setTimeout(() => {
        abort.abort();
      }, 10);
      await expect(creating).rejects.toMatchObject({ kind: "canceled" });
      await eventually(async () => {
        expect(await under.remains()).toEqual([]);
      });
    });

    it("says what is missing and how to get it", async () => {
      await expect(under.withoutImages.create(aSpec(), 20_000, never)).rejects.toMatchObject({
        kind: "failedPrecondition",
        reason: "IMAGE_MISSING",
        fix: expect.stringMatching(/\w/) as string,
      });
      expect(await under.withoutImages.kinds()).toEqual([]);
      await under.withoutImages.close();
    });

    it("makes many at once", async () => {
      const all = await Promise.all(Array.from({ length: 8 }, () => loaded(driver, echo)));
      const ran = await Promise.all(all.map(({ peer }, n) => peer.run({ n })));
      expect(ran.map(({ result }) => result)).toEqual(all.map((_, n) => ({ params: { n } })));
      await Promise.all(all.map(({ sandbox }) => sandbox.destroy()));
      expect(await under.remains()).toEqual([]);
    });

    it("removes what an earlier life left behind, frozen or not, and nothing of its own", async () => {
      const abandoned = await loaded(driver, echo);
      const frozen = await loaded(driver, echo);
      await frozen.sandbox.freeze();
      const next = under.nextLife();
      expect(await next.cleanUp()).toBe(2);
      expect((await abandoned.sandbox.exited).kind).toBe("exited");
      expect((await frozen.sandbox.exited).kind).toBe("exited");
      const own = await loaded(next, echo);
      expect(await next.cleanUp()).toBe(0);
      expect((await own.peer.run()).outcome).toBe("success");
      await next.close();
      expect((await own.sandbox.exited).kind).toBe("exited");
      expect(await under.remains()).toEqual([]);
    });
  });
}

/** For what must not happen meanwhile. */
function within<T>(ms: number, value: T): Promise<T> {
  return new Promise((resolve) =>
    setTimeout(() => {
      resolve(value);
    }, ms),
  );
}
