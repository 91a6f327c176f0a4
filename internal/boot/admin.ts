// What a process tells those who run it, over plain HTTP: /metrics, /healthz, /readyz, /debug. It listens on loopback
// unless told otherwise, changes nothing, and is the last thing to close, so that a drain can be watched.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { WeftError, toWeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { Metrics } from "../base/metrics.js";
import { plainFields } from "../base/pino-log.js";

export interface AdminDeps {
  readonly metrics: Pick<Metrics, "render">;
  readonly log: Log;
}

/** True: ready. A text: not ready, and why. */
export type Readiness = true | string;

/** Scrapers and people; more at once is a mistake somewhere. */
const CONNECTIONS_MAX = 32;
const REQUEST_TIMEOUT_MS = 10_000;

export class Admin {
  readonly #server: Server;
  readonly #checks = new Map<string, () => Readiness>();
  readonly #providers = new Map<string, () => unknown>();

  constructor(private readonly deps: AdminDeps) {
    this.#server = createServer((request, response) => void this.#answer(request, response));
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.requestTimeout = REQUEST_TIMEOUT_MS;
    this.#server.headersTimeout = REQUEST_TIMEOUT_MS;
  }

  /**
   * @param address "host:port"; port 0 takes a free one
   * @throws failedPrecondition when it cannot listen there
   */
  async listen(address: string): Promise<void> {
    const { host, port } = splitAddress(address);
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (error: NodeJS.ErrnoException) => {
        reject(
          new WeftError(
            "failedPrecondition",
            "ADMIN_ADDRESS",
            `the admin listener cannot use ${address}: ${error.code ?? error.message}`,
            {
              fields: [{ field: "adminAddress", description: `cannot be listened on: ${error.code ?? error.message}` }],
              fix: "choose a free address with --admin-address, for example 127.0.0.1:0",
              cause: error,
            },
          ),
        );
      });
      this.#server.listen(port, host, resolve);
    });
    this.#server.on("error", (error) => this.deps.log.error("the admin listener failed", { error }));
  }

  /** Where it listens: "127.0.0.1:41234". Only after `listen`. */
  get address(): string {
    const { address, family, port } = this.#server.address() as AddressInfo;
    return family === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`;
  }

  /** Adds a condition that /readyz asks. A second one of the same name replaces the first. @returns what takes it away */
  addReadiness(name: string, check: () => Readiness): () => void {
    return added(this.#checks, name, check);
  }

  /**
   * Adds a part of the state to /debug (and alone to /debug/<name>): sessions, queues, last transitions. It is called
   * per request, may return a promise, and what it returns is cut and redacted as a log's fields are.
   * @returns what takes it away
   */
  addDebug(name: string, provider: () => unknown): () => void {
    return added(this.#providers, name, provider);
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => {
        resolve();
      });
      this.#server.closeAllConnections();
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      if (request.method !== "GET" && request.method !== "HEAD") {
        send(response, 405, TEXT, "only GET\n");
        return;
      }
      const path = new URL(request.url ?? "/", "http://admin").pathname;
      switch (path) {
        case "/metrics":
          send(response, 200, "text/plain; version=0.0.4; charset=utf-8", await this.deps.metrics.render());
          return;
        case "/healthz": // that it answers is the answer: the event loop turns
          send(response, 200, TEXT, "ok\n");
          return;
        case "/readyz":
          this.#answerReady(response);
          return;
        case "/debug":
          send(response, 200, JSON_TYPE, toJson(await this.#debug([...this.#providers.keys()])));
          return;
        default:
          await this.#answerOther(path, response);
      }
    } catch (thrown) {
      const error = toWeftError(thrown);
      this.deps.log.error("an admin request failed", { path: request.url, error });
      if (response.headersSent) response.destroy();
      else send(response, 500, TEXT, `${error.message}\n`);
    }
  }

  async #answerOther(path: string, response: ServerResponse): Promise<void> {
    const name = path.startsWith("/debug/") ? decodeURIComponent(path.slice("/debug/".length)) : undefined;
    if (name !== undefined && this.#providers.has(name)) {
      send(response, 200, JSON_TYPE, toJson((await this.#debug([name]))[name]));
      return;
    }
    const paths = [
      "/metrics",
      "/healthz",
      "/readyz",
      "/debug",
      ...[...this.#providers.keys()].map((one) => `/debug/${one}`),
    ];
    send(response, 404, TEXT, `there are ${paths.join(", ")}\n`);
  }

  #answerReady(response: ServerResponse): void {
    const checks: Record<string, string> = {};
    let ready = true;
    for (const [name, check] of this.#checks) {
      const readiness = check();
      if (readiness !== true) ready = false;
      checks[name] = readiness === true ? "ready" : readiness;
    }
    send(response, ready ? 200 : 503, JSON_TYPE, toJson({ ready, checks }));
  }

  /** One part that fails says so in its place and does not hide the others. */
  async #debug(names: readonly string[]): Promise<Record<string, unknown>> {
    const parts = names.map(async (name): Promise<[string, unknown]> => {
      try {
        return [name, await this.#providers.get(name)?.()];
      } catch (thrown) {
        return [name, { unreadable: toWeftError(thrown).message }];
      }
    });
    return Object.fromEntries(await Promise.all(parts));
  }
}

const TEXT = "text/plain; charset=utf-8";
const JSON_TYPE = "application/json";

function added<T>(map: Map<string, T>, name: string, value: T): () => void {
  map.set(name, value);
  return () => {
    if (map.get(name) === value) map.delete(name);
  };
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
  });
  response.end(response.req.method === "HEAD" ? undefined : body);
}

function toJson(value: unknown): string {
  return `${JSON.stringify(plainFields({ value })["value"] ?? null, undefined, 2)}\n`;
}

function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) {
    throw new WeftError("invalidArgument", "ADMIN_ADDRESS", `the admin address ${address} is not host:port`, {
      fields: [{ field: "adminAddress", description: "is host:port, such as 127.0.0.1:7390" }],
      fix: "give --admin-address as host:port, for example 127.0.0.1:0",
    });
  }
  return { host: match[1] ?? (match[2] || "0.0.0.0"), port };
}
