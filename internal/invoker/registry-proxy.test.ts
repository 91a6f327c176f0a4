// The proxy as builds use it: over its socket, with real connections.

import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer, request, type IncomingMessage, type Server } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { ManualClock } from "../../test/harness/clock.js";
import { eventually } from "../../test/harness/eventually.js";
import { silentLog } from "../base/log.js";
import { MetricsRegistry } from "../base/metrics.js";
import { parseRegistries } from "../core/build/registries.js";
import { invokerMetrics } from "./metrics.js";
import { REGISTRY_CONNECT_MS, RegistryProxy } from "./registry-proxy.js";

describe("the way of builds to package registries", () => {
  let scratch: string;
  let registry: Server;
  let port: number;
  let asked: IncomingMessage[];
  let proxy: RegistryProxy;
  let clock: ManualClock;

  beforeEach(async () => {
    scratch = mkdtempSync(join(tmpdir(), "weft-registries-"));
    asked = [];
    registry = createServer((message, response) => {
      asked.push(message);
      response.writeHead(200, { "content-type": "text/plain", "x-own": "yes" }).end(`you asked for ${message.url}`);
    });
    await new Promise<void>((resolve) => registry.listen(0, "127.0.0.1", resolve));
    ({ port } = registry.address() as AddressInfo);
    clock = new ManualClock();
    proxy = await RegistryProxy.open({
      // 192.0.2.1 is nobody's (RFC 5737); localhost is no public registry's.
      registries: parseRegistries([
        `npm.test:80=127.0.0.1:${port}`,
        `npm.test=127.0.0.1:${port}`,
        "closed.test=127.0.0.1:1",
        "away.test=192.0.2.1:9",
        "nosuch.invalid",
      ]),
      directory: join(scratch, "r"),
      authorities: "PEM",
      clock,
      log: silentLog,
      metrics: invokerMetrics(new MetricsRegistry("invoker")),
    });
  });
  afterEach(async () => {
    await proxy.close();
    registry.closeAllConnections();
    registry.close();
    rmSync(scratch, { recursive: true });
  });

  const socketPath = (): string => join(scratch, "r", "s");

  function get(
    url: string,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: string; own: unknown }> {
    return new Promise((resolve, reject) => {
      const sent = request({ socketPath: socketPath(), path: url, headers }, (response) => {
        let body = "";
        response.on("data", (chunk: Buffer) => (body += chunk.toString()));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body, own: response.headers["x-own"] }));
      });
      sent.once("error", reject).end();
    });
  }

  /** @returns what came back, to the end */
  function tunnel(authority: string, said = ""): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket: Socket = connect(socketPath());
      let read = "";
      socket.once("error", reject);
      socket.on("data", (chunk) => (read += chunk.toString()));
      socket.once("close", () => resolve(read));
      socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n${said}`);
    });
  }

  it("leads to a registry, by CONNECT and by whole URLs, and tells it nothing of the way", async () => {
    const answer = await get("http://npm.test/left-pad?x=1", { "proxy-authorization": "secret" });
    expect(answer).toEqual({ status: 200, body: "you asked for /left-pad?x=1", own: "yes" });
    expect(asked[0]?.headers).toMatchObject({ host: "npm.test" });
    expect(asked[0]?.headers).not.toHaveProperty("proxy-authorization");
    const read = await tunnel("npm.test:443", "GET /inside HTTP/1.1\r\nHost: npm.test\r\nConnection: close\r\n\r\n");
    expect(read).toMatch(/^HTTP\/1\.1 200 Connection Established\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
    expect(read).toContain("you asked for /inside");
  });

  it.each([
    "127.0.0.1:5432",
    "[::1]:2379",
    "localhost:443",
    "169.254.169.254:80",
    "npm.test:22",
    "evil.example:443",
    "npm.test",
  ])("leads nowhere else: %s", async (authority) => {
    const read = await tunnel(authority === "npm.test" ? "npm.test:8080" : authority);
    expect(read).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/);
    expect(read).toContain("buildRegistries");
    expect(asked).toEqual([]);
  });

  it("refuses URLs of others, and what is no request to a proxy", async () => {
    expect(await get("http://127.0.0.1:2379/health")).toMatchObject({ status: 403 });
    expect(await get("http://npm.test:8080/")).toMatchObject({ status: 403 });
    expect(await get("/left-pad")).toMatchObject({ status: 400 });
    expect(await get("https://npm.test/")).toMatchObject({ status: 400 });
    expect(asked).toEqual([]);
  });

  it("says which registry it could not reach", async () => {
    expect(await tunnel("closed.test:443")).toMatch(/^HTTP\/1\.1 502 Bad Gateway[^]*closed\.test could not be reached/);
    expect(await tunnel("nosuch.invalid:443")).toMatch(
      /^HTTP\/1\.1 502 Bad Gateway[^]*nosuch\.invalid could not be reached/,
    );
    let late = "";
    void tunnel("away.test:443").then((read) => (late = read));
    await eventually(() => {
      clock.advance(REGISTRY_CONNECT_MS);
      return late !== "";
    });
    expect(late).toMatch(/^HTTP\/1\.1 502 /);
  });

  it("is open to every user of the machine's sandboxes, and gone when it is closed", async () => {
    expect(statSync(socketPath()).mode & 0o777).toBe(0o666);
    expect(statSync(join(scratch, "r")).mode & 0o777).toBe(0o755);
    expect(readFileSync(join(scratch, "r", "ca.pem"), "utf8")).toBe("PEM");
    const open = tunnel("npm.test:443", "GET /held HTTP/1.1\r\nHost: npm.test\r\n\r\n");
    await eventually(() => asked.length === 1);
    await proxy.close();
    expect(await open).toContain("200 Connection Established");
    expect(() => statSync(socketPath())).toThrow("ENOENT");
  });
});
