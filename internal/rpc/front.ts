// What a server listens with: its connections, and which calls are served without grpc-js. grpc-js serves what is not
// plain gRPC or not registered here: other streams, compressed messages, reflection, and all errors of the protocol.

import { createServer, type AddressInfo, type Server as Listener } from "node:net";
import type { Duplex } from "node:stream";
import { toWeftError } from "../base/errors.js";
import { FastCall, type FastUnaryDeps, type RawUnaryHandler } from "./fast-unary.js";
import { failureFields, headerOf, refuse } from "./grpc-answer.js";
import { Http2Connection } from "./http2/connection.js";
import type { HeaderField } from "./http2/hpack.js";
import type { ServedStream, StreamUser } from "./http2/served-stream.js";
import type { MessageStream } from "./link.js";
import { servedMessageStream } from "./served-link.js";

export interface FrontDeps extends FastUnaryDeps {
  /** Hands a connection's other calls to grpc-js. */
  readonly inject: (connection: Duplex) => void;
  /** False leaves every call to grpc-js. */
  readonly serves: boolean;
}

/** What opens a stream of messages; it throws to refuse. */
export type Accept = (messages: MessageStream, peer: string, header: (name: string) => string | undefined) => void;

type Service = { readonly unary: RawUnaryHandler } | { readonly accept: Accept };

export class Front {
  readonly #services = new Map<string, Service>();
  readonly #connections = new Set<Http2Connection>();
  readonly #listener: Listener;
  #drained: (() => void) | undefined;

  constructor(private readonly deps: FrontDeps) {
    this.#listener = createServer((socket) => {
      const connection = new Http2Connection(socket, this.#take, deps.inject);
      this.#connections.add(connection);
      connection.onBug = (thrown) => {
        deps.log.error("a connection failed unforeseen", { peer: connection.peer, error: toWeftError(thrown) });
      };
      connection.onClosed = () => {
        this.#connections.delete(connection);
        if (this.#connections.size === 0) this.#drained?.();
      };
    });
  }

  serveUnary(path: string, unary: RawUnaryHandler): void {
    this.#services.set(path, { unary });
  }

  serveStream(path: string, accept: Accept): void {
    this.#services.set(path, { accept });
  }

  /** @returns the port, 0 for a Unix socket. Rejects with the error of the system */
  listen(where: { readonly path: string } | { readonly host: string; readonly port: number }): Promise<number> {
    const listener = this.#listener;
    return new Promise((resolve, reject) => {
      listener.once("error", reject);
      listener.listen(where, () => {
        listener.off("error", reject);
        const address = listener.address() as AddressInfo | string;
        resolve(typeof address === "string" ? 0 : address.port);
      });
    });
  }

  /** Takes no more connections. */
  stopListening(): void {
    this.#listener.close();
  }

  /** Resolves when every connection has ended. */
  async drained(): Promise<void> {
    if (this.#connections.size > 0) await new Promise<void>((resolve) => (this.#drained = resolve));
  }

  /** Ends every connection at once. */
  destroy(): void {
    for (const connection of this.#connections) connection.destroy();
  }

  readonly #take = (fields: readonly HeaderField[]): ((stream: ServedStream) => StreamUser) | undefined => {
    const path = this.deps.serves ? plainPathOf(fields) : undefined;
    const service = path === undefined ? undefined : this.#services.get(path);
    if (!service || path === undefined) return undefined;
    return "unary" in service
      ? (stream) => new FastCall(this.deps, path, service.unary, stream, fields)
      : (stream) => this.#accept(service.accept, stream, fields);
  };

  #accept(accept: Accept, stream: ServedStream, fields: readonly HeaderField[]): StreamUser {
    const { messages, user } = servedMessageStream(stream);
    try {
      this.deps.admit(headerOf(fields, "weft-cluster-key"));
      accept(messages, stream.peer, (name) => headerOf(fields, name));
    } catch (thrown) {
      refuse(stream, failureFields(thrown));
    }
    return user;
  }
}

const GRPC_TYPE = /^application\/grpc($|\+|;)/;

/** The path of a gRPC call without compression and without anything odd; undefined for what grpc-js should judge. */
function plainPathOf(fields: readonly HeaderField[]): string | undefined {
  let method: string | undefined;
  let path: string | undefined;
  let type: string | undefined;
  let regular = false;
  for (const { name, value, malformed } of fields) {
    if (malformed) return undefined;
    if (name.startsWith(":")) {
      if (regular) return undefined;
      if (name === ":method") {
        if (method !== undefined) return undefined;
        method = value;
      } else if (name === ":path") {
        if (path !== undefined) return undefined;
        path = value;
      } else if (name !== ":scheme" && name !== ":authority") return undefined;
      continue;
    }
    regular = true;
    switch (name) {
      case "content-type":
        if (type !== undefined) return undefined;
        type = value;
        break;
      case "grpc-encoding":
        if (value !== "identity") return undefined;
        break;
      case "te":
        if (value !== "trailers") return undefined;
        break;
      case "content-length":
      case "connection":
      case "keep-alive":
      case "proxy-connection":
      case "transfer-encoding":
      case "upgrade":
        return undefined;
    }
  }
  return method === "POST" && type !== undefined && GRPC_TYPE.test(type) ? path : undefined;
}
