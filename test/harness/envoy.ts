// An Envoy of one's own, with the configuration that Weft ships.

import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { renderEnvoyBootstrap } from "../../internal/gateway/rest/envoy-bootstrap.js";
import { eventually } from "./eventually.js";
import { http } from "./http.js";
import { requireService } from "./services.js";

const TEMPLATE = fileURLToPath(
  // From the source and from dist.
  ["../../deploy/envoy/bootstrap.yaml", "../../../deploy/envoy/bootstrap.yaml"]
    .map((path) => new URL(path, import.meta.url))
    .find((path) => existsSync(path)) ?? import.meta.url,
);
export const DESCRIPTORS = fileURLToPath(new URL("../../internal/gen/weft.binpb", import.meta.url));

export class Envoy {
  private constructor(
    /** http(s)://host:port */
    readonly url: string,
    /** http://host:port */
    readonly adminUrl: string,
    private readonly child: ChildProcess,
    private readonly dir: string,
  ) {}

  /** @param gateways public gRPC addresses. Resolves when the first request could come. @param tls PEM, for clients */
  static async start(
    gateways: readonly string[],
    tls?: { readonly cert: string; readonly key: string },
  ): Promise<Envoy> {
    const dir = mkdtempSync(join(tmpdir(), "weft-envoy-"));
    const [config, adminFile] = [join(dir, "envoy.yaml"), join(dir, "admin")];
    const bootstrap = renderEnvoyBootstrap(readFileSync(TEMPLATE, "utf8"), {
      listenAddress: "127.0.0.1:0",
      adminAddress: "127.0.0.1:0",
      gatewayAddresses: gateways,
      descriptorsPath: DESCRIPTORS,
      ...(tls ? { tls: filesOf(dir, tls) } : {}),
    });
    writeFileSync(config, bootstrap);
    const args = ["-c", config, "--admin-address-path", adminFile, "--use-dynamic-base-id"];
    const child = spawn(requireService("envoy"), [...args, "--concurrency", "1", "--log-level", "warn"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (said = `${said}${text}`.slice(-8_192)));
    try {
      const [url, adminUrl] = await eventually(
        async () => {
          if (child.exitCode !== null) throw new Error(`Envoy ended with ${child.exitCode}: ${said}`);
          const admin = `http://${readFileSync(adminFile, "utf8").trim()}`;
          const ready = await http(admin, "/ready");
          if (ready.status !== 200) return false;
          const listeners = (await http(admin, "/listeners?format=json")).json() as Listeners;
          const address = listeners.listener_statuses[0]?.local_address.socket_address;
          return address ? [`${tls ? "https" : "http"}://${address.address}:${address.port_value}`, admin] : false;
        },
        { withinMs: 20_000, everyMs: 50 },
      );
      return new Envoy(url, adminUrl, child, dir);
    } catch (thrown) {
      child.kill("SIGKILL");
      rmSync(dir, { recursive: true, force: true });
      throw thrown;
    }
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null) {
      const ended = new Promise((resolve) => this.child.once("exit", resolve));
      this.child.kill("SIGKILL");
      await ended;
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function filesOf(dir: string, tls: { readonly cert: string; readonly key: string }) {
  const [certificatePath, keyPath] = [join(dir, "cert.pem"), join(dir, "key.pem")];
  writeFileSync(certificatePath, tls.cert);
  writeFileSync(keyPath, tls.key, { mode: 0o600 });
  return { certificatePath, keyPath };
}

interface Listeners {
  readonly listener_statuses: readonly {
    readonly local_address: { readonly socket_address: { readonly address: string; readonly port_value: number } };
  }[];
}
