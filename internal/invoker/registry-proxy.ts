// What builds have of a network: an HTTP proxy on a Unix socket, which reaches package registries and nothing else.
//
//   N1. Only hosts and ports of the list are reached. Names are resolved here, and the connection goes to the address that
//       was looked at.
//   N2. Nothing is read of what passes through CONNECT: a build speaks TLS with the registry itself.

import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { lookup } from "node:dns/promises";
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import type { Duplex, Readable } from "node:stream";

import type { Clock } from "../base/clock.js";
import type { Log } from "../base/log.js";
import { mayBeAt, registryAt, type Registries, type Registry } from "../core/build/registries.js";
import type { InvokerMetrics } from "./metrics.js";

/** Connections of builds at a time; tools open ten to twenty. */
export const REGISTRY_CONNECTIONS_MAX = 128;
/** Bytes that may come in over one connection: larger than any package of a registry here. */
export const REGISTRY_BYTES_MAX = 1024 * 1024 * 1024;
/** How long a registry may take to be connected to. */
export const REGISTRY_CONNECT_MS = 10_000;
/** How long a connection may be silent. */
export const REGISTRY_SILENCE_MS = 60_000;
/** Of a request's head. */
const HEADER_BYTES_MAX = 16 * 1024;

const HTTPS_PORT = 443;
const HTTP_PORT = 80;
/** Those of a connection, not of the request: RFC 9110, section 7.6.1. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "upgrade",
]);

export interface RegistryProxyDeps {
  readonly registries: Registries;
  /** A folder of its own: the socket `s`, and `ca.pem`. Made anew. */
  readonly directory: string;
  /** PEM text of whom builds trust. */
  readonly authorities: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<InvokerMetrics, "registryConnections">;
}

interface Place {
  readonly host: string;
  readonly port: number;
}

export class RegistryProxy {
  readonly #server: Server;
  readonly #open = new Set<Duplex>();

  private constructor(private readonly deps: RegistryProxyDeps) {
    this.#server = createServer({ maxHeaderSize: HEADER_BYTES_MAX }, (request, response) => {
      void this.#forward(request, response);
    });
    this.#server.maxConnections = REGISTRY_CONNECTIONS_MAX;
    this.#server.on("connect", (request: IncomingMessage, client: Duplex, head: Buffer) => {
      void this.#tunnel(request.url ?? "", client, head);
    });
    this.#server.on("connection", (client: Socket) => this.#keep(client));
  }

  /** @throws when the folder cannot be made */
  static async open(deps: RegistryProxyDeps): Promise<RegistryProxy> {
    rmSync(deps.directory, { recursive: true, force: true });
    mkdirSync(deps.directory, { recursive: true, mode: 0o755 });
    chmodSync(deps.directory, 0o755); // whatever the umask: builds are other users
    writeFileSync(join(deps.directory, "ca.pem"), deps.authorities, { mode: 0o644 });
    const proxy = new RegistryProxy(deps);
    const path = join(deps.directory, "s");
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once("error", reject).listen(path, resolve);
    });
    chmodSync(path, 0o666);
    return proxy;
  }

  /** Ends what is open. */
  async close(): Promise<void> {
    for (const one of this.#open) one.destroy();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    rmSync(this.deps.directory, { recursive: true, force: true });
  }

  async #tunnel(authority: string, client: Duplex, head: Buffer): Promise<void> {
    client.on("error", () => client.destroy());
    const upstream = await this.#dial(authority, HTTPS_PORT).catch((refusal: unknown) => {
      const { status, message } = refusalOf(refusal);
      client.end(
        `HTTP/1.1 ${status}\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(message)}\r\nConnection: close\r\n\r\n${message}`,
      );
    });
    if (!upstream) return;
    if (client.destroyed) {
      upstream.destroy();
      return;
    }
    bound(upstream);
    client.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    if (head.length > 0) upstream.write(head);
    client.on("close", () => upstream.destroy());
    upstream.on("close", () => client.destroy());
    client.pipe(upstream).pipe(client);
  }

  /** For registries without TLS: those of an operator's own network. */
  async #forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = URL.canParse(request.url ?? "") ? new URL(request.url ?? "") : undefined;
    try {
      if (url?.protocol !== "http:") throw new Refusal(400, "this is a proxy: it takes CONNECT, and whole http URLs");
      const socket = await this.#dial(url.host, HTTP_PORT);
      bound(socket);
      const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !HOP_BY_HOP.has(name)));
      const { pathname, search } = url;
      const asked = httpRequest({
        createConnection: () => socket,
        method: request.method,
        path: pathname + search,
        headers: { ...headers, host: url.host, connection: "close" },
      });
      response.once("close", () => socket.destroy());
      asked.once("error", () => response.destroy());
      asked.once("response", (answer) => {
        const kept = Object.entries(answer.headers).filter(([name]) => !HOP_BY_HOP.has(name));
        response.writeHead(answer.statusCode ?? 502, Object.fromEntries(kept));
        answer.pipe(response);
      });
      request.pipe(asked);
    } catch (thrown) {
      const { status, message } = refusalOf(thrown);
      request.resume();
      response.writeHead(Number.parseInt(status, 10), { "content-type": "text/plain" }).end(message);
    }
  }

  /** N1. @throws Refusal */
  async #dial(authority: string, defaultPort: number): Promise<Socket> {
    const { log, metrics, registries } = this.deps;
    const registry = registryAt(registries, authority, defaultPort);
    if (!registry) {
      metrics.registryConnections.bound({ result: "refused" }).inc();
      log.info("a build asked for a host that is no registry", { host: authority.slice(0, 300) });
      throw new Refusal(403, `${authority} is not among the registries that builds reach: the setting buildRegistries`);
    }
    try {
      const socket = await this.#connected(await placeOf(registry));
      this.#keep(socket);
      metrics.registryConnections.bound({ result: "connected" }).inc();
      return socket;
    } catch (thrown) {
      metrics.registryConnections.bound({ result: "failed" }).inc();
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      log.warn("a registry could not be reached", { host: registry.host, port: registry.port, why });
      throw new Refusal(502, `${registry.host} could not be reached: ${why}`);
    }
  }

  #connected({ host, port }: Place): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port });
      const late = this.deps.clock.after(REGISTRY_CONNECT_MS, () => {
        socket.destroy(new Error(`no connection within ${REGISTRY_CONNECT_MS} ms`));
      });
      socket.once("error", (error) => {
        late();
        reject(error);
      });
      socket.once("connect", () => {
        late();
        socket.removeAllListeners("error");
        socket.on("error", () => socket.destroy());
        resolve(socket);
      });
    });
  }

  #keep(one: Socket): void {
    one.setTimeout(REGISTRY_SILENCE_MS, () => one.destroy());
    this.#open.add(one);
    one.once("close", () => this.#open.delete(one));
  }
}

class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const REASONS: Readonly<Record<number, string>> = { 400: "Bad Request", 403: "Forbidden", 502: "Bad Gateway" };

function refusalOf(thrown: unknown): { readonly status: string; readonly message: string } {
  const { status, message } = thrown instanceof Refusal ? thrown : new Refusal(502, String(thrown));
  return { status: `${status} ${REASONS[status] ?? ""}`, message: `${message}\n` };
}

async function placeOf(registry: Registry): Promise<Place> {
  if (registry.at) return registry.at;
  const { host, port } = registry;
  const addresses = await lookup(host, { all: true });
  const fit = addresses.find(({ address }) => mayBeAt(registry, address));
  if (fit) return { host: fit.address, port };
  throw new Error(`its addresses (${addresses.map(({ address }) => address).join(", ")}) are in no public network`);
}

function bound(upstream: Readable): void {
  let bytes = 0;
  upstream.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > REGISTRY_BYTES_MAX) upstream.destroy();
  });
}
