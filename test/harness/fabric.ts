// A whole fabric for a test: started with the CLI as a user would, in a folder and on ports of its own, and stopped with
// everything it started.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface FabricOptions {
  readonly mode: "dev" | "up";
  /** Default 3 in up; dev has one. */
  readonly invokers?: number;
  /** Default 1; dev has one. */
  readonly gateways?: number;
  /** More variables for every process of it. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface FabricProcess {
  readonly name: string;
  readonly pid: number;
}

/** What `weft` was compiled to: tests of the whole fabric run what users run. */
export const CLI = fileURLToPath(
  // From the source and from dist.
  ["../../cmd/weft/bin.mjs", "../../../cmd/weft/bin.mjs"]
    .map((path) => new URL(path, import.meta.url))
    .find((path) => existsSync(path)) ?? import.meta.url,
);

export class Fabric {
  private constructor(
    readonly mode: "dev" | "up",
    readonly stateDir: string,
    /** host:port */
    readonly grpc: string,
    /** http://host:port */
    readonly rest: string,
    private readonly options: FabricOptions,
  ) {}

  static async start(options: FabricOptions): Promise<Fabric> {
    const stateDir = mkdtempSync(join(tmpdir(), `weft-${options.mode}-`));
    const [grpc, rest] = [await freePort(), await freePort()];
    const fabric = new Fabric(options.mode, stateDir, `127.0.0.1:${grpc}`, `http://127.0.0.1:${rest}`, options);
    try {
      await fabric.restart();
    } catch (thrown) {
      await fabric.stop();
      throw thrown;
    }
    return fabric;
  }

  /** "uuid:key" */
  get auth(): string {
    const line = readFileSync(join(this.stateDir, "wskprops"), "utf8")
      .split("\n")
      .find((text) => text.startsWith("AUTH="));
    if (!line) throw new Error("wskprops has no AUTH");
    return line.slice("AUTH=".length);
  }

  /** Basic credentials for HTTP and gRPC metadata. */
  get authorization(): string {
    return `Basic ${Buffer.from(this.auth).toString("base64")}`;
  }

  /** Runs the CLI against this fabric. Never rejects for a failure of the command. */
  weft(...args: readonly string[]): Promise<Ran> {
    return run(process.execPath, [CLI, ...args], this.#environment());
  }

  /** As `weft`, but a failure is an error. @returns what it printed */
  async ok(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.weft(...args);
    if (code !== 0) throw new Error(`weft ${args.join(" ")} ended with ${code}\n${stdout}${stderr}`);
    return stdout;
  }

  processes(): readonly FabricProcess[] {
    const text = readFileSync(join(this.stateDir, "running.json"), "utf8");
    return (JSON.parse(text) as { readonly processes: readonly FabricProcess[] }).processes;
  }

  /** kill -9. */
  kill(name: string): void {
    this.signal(name, "SIGKILL");
  }

  signal(name: string, signal: NodeJS.Signals): void {
    const one = this.processes().find((p) => p.name === name);
    if (!one)
      throw new Error(
        `no process ${name}: there are ${this.processes()
          .map((p) => p.name)
          .join(", ")}`,
      );
    process.kill(one.pid, signal);
  }

  /** Starts what does not live. */
  async restart(): Promise<void> {
    const where = ["--state-dir", this.stateDir, "--grpc", this.grpc, "--rest", this.rest.slice("http://".length)];
    if (this.mode === "dev") await this.ok("dev", "--detach", ...where);
    else {
      const { invokers = 3, gateways = 1 } = this.options;
      await this.ok("up", ...where, "--invokers", String(invokers), "--gateways", String(gateways));
    }
  }

  async down(): Promise<void> {
    await this.ok("down", "--state-dir", this.stateDir);
  }

  async stop(): Promise<void> {
    try {
      await this.down();
    } finally {
      rmSync(this.stateDir, { recursive: true, force: true });
    }
  }

  #environment(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      ...this.options.env,
      NO_COLOR: "1",
      WEFT_WSKPROPS: join(this.stateDir, "wskprops"),
    };
  }
}

export function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv, cwd?: string): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, cwd, stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.once("error", reject);
    child.once("close", (code, signal) =>
      resolve({ code: code ?? 128, stdout, stderr: signal ? `${stderr}${signal}\n` : stderr }),
    );
  });
}

/** Below the range from which the system hands ports out: a listener on port 0 must not get it in the meantime. */
const PORTS = { first: 20_000, count: 12_000 };

/** A port that nobody uses at this moment. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    const free = await new Promise<boolean>((resolve) => {
      const server = createServer();
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (free) return port;
  }
}
