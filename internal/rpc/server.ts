// Server side of grpc-js. Handlers are promise-returning functions; whatever they throw becomes a status here.

import {
  Metadata,
  Server,
  ServerCredentials,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type UntypedHandleCall,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { timingSafeEqual } from "node:crypto";
import { lstatSync, rmSync } from "node:fs";
import { connect } from "node:net";
import type { Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import { Waits } from "../base/waits.js";
import type { CallContext } from "./call-context.js";
import { CLUSTER_KEY_HEADER } from "./channel.js";
import { Front } from "./front.js";
import { PEER_HEADER } from "./http2/connection.js";
import { grpcMessageStream } from "./grpc-stream.js";
import { MESSAGE_BYTES_MAX, StreamLink, type Link, type LinkMethod, type MessageStream } from "./link.js";
import { toStatus } from "./status.js";

export interface RpcServerDeps {
  readonly log: Log;
  readonly clock: Clock;
  /** When set, every call must present it: this server is for roles only. */
  readonly clusterKey?: string;
  /** False leaves every call to grpc-js. Default true. */
  readonly fast?: boolean;
  /** Told of every finished unary or streaming call, for metrics. */
  readonly observe?: (path: string, errorKind: string | undefined, seconds: number) => void;
}

/** What a link's server end may know of who opened it. */
export interface LinkCall {
  readonly peer: string;
  header(name: string): string | undefined;
}

type UnaryHandler = (ctx: CallContext, request: never) => Promise<unknown>;
/** `send` takes a response message and resolves when more may follow. */
type StreamHandler = (ctx: CallContext, request: never, send: never) => Promise<void>;
/** Per rpc name in lower camel case, as ts-proto names them. */
export type Handlers = Readonly<Record<string, UnaryHandler | StreamHandler>>;

export class RpcServer {
  readonly #server = new Server({
    "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
    "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
    // Peers probe idle links every 3 s; without this grpc-js may call that abuse.
    "grpc.http2.min_ping_interval_without_data_ms": 1_000,
    // Channelz stays on although nobody reads it: without it forceShutdown of 1.14.7 forgets to end the sessions.
  });
  readonly #links = new Set<Link<unknown, unknown>>();
  readonly #waits: Waits;
  readonly #front: Front;

  constructor(private readonly deps: RpcServerDeps) {
    const injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
    this.#waits = new Waits(deps.clock);
    this.#front = new Front({
      clock: deps.clock,
      log: deps.log,
      waits: this.#waits,
      serves: deps.fast !== false,
      inject: (connection) => {
        injector.injectConnection(connection);
      },
      admit: (clusterKey) => {
        this.#admit(clusterKey);
      },
      observe: (path, thrown, startedMs) => {
        this.#observe(path, thrown, startedMs);
      },
    });
  }

  /** Serves a link; `accept` must set the link's callbacks before it returns. It may throw to refuse. */
  serveLink<Up, Down>(method: LinkMethod<Up, Down>, accept: (link: Link<Up, Down>, call: LinkCall) => void): void {
    const open = (stream: MessageStream, call: LinkCall): void => {
      const link = new StreamLink<Up, Down>(stream, method.up, method.down, method.framed);
      this.#links.add(link as Link<unknown, unknown>);
      link.afterClosed = () => this.#links.delete(link as Link<unknown, unknown>);
      accept(link, call);
    };
    const handle = (call: ServerDuplexStream<Buffer, Buffer>): void => {
      try {
        this.#admit(headerOf(call.metadata, CLUSTER_KEY_HEADER));
        open(grpcMessageStream(call), { peer: peerOf(call.metadata), header: (name) => headerOf(call.metadata, name) });
      } catch (thrown) {
        call.emit("error", toStatus(thrown));
      }
    };
    this.#front.serveStream(method.path, (stream, peer, header) => {
      open(stream, { peer, header });
    });
    const identity = (message: Buffer): Buffer => message;
    this.#server.register(method.path, handle, identity, identity, "bidi");
  }

  /** Serves the unary and server-streaming rpcs of a generated definition that have a handler. */
  serveService(definition: ServiceDefinition, handlers: Handlers): void {
    const implementation: Record<string, UntypedHandleCall> = {};
    const served: Record<string, ServiceDefinition[string]> = {};
    for (const [name, method] of Object.entries(definition)) {
      const handler = handlers[name];
      if (!handler || method.requestStream) continue;
      // Decoded in the handler: what cannot be decoded is the caller's mistake, which grpc-js would call internal.
      served[name] = { ...method, requestDeserialize: (message: Buffer): Buffer => message };
      const decode = (message: Buffer): unknown => decoded(method.path, method.requestDeserialize, message);
      implementation[name] = method.responseStream
        ? this.#streaming(method.path, (ctx, message: Buffer, send) =>
            (handler as StreamHandler)(ctx, decode(message) as never, send as never),
          )
        : this.#unary(method.path, (ctx, message: Buffer) => (handler as UnaryHandler)(ctx, decode(message) as never));
      if (!method.responseStream) {
        this.#front.serveUnary(method.path, async (ctx, message) =>
          method.responseSerialize(await (handler as UnaryHandler)(ctx, decode(message) as never)),
        );
      }
    }
    this.#server.addService(served, implementation as UntypedServiceImplementation);
  }

  /** Serves one unary rpc without decoding: for proxies. */
  serveRaw(path: string, handler: (ctx: CallContext, request: Buffer) => Promise<Buffer>): void {
    const identity = (message: Buffer): Buffer => message;
    this.#server.register(path, this.#unary(path, handler) as never, identity, identity, "unary");
    this.#front.serveUnary(path, handler);
  }

  /** The server below, for reflection and health services that come as packages. */
  get raw(): Server {
    return this.#server;
  }

  /** Links that stand. */
  get linkCount(): number {
    return this.#links.size;
  }

  /** @returns the address with the port that was bound. @throws unavailable when it cannot be bound */
  async listen(address: string): Promise<string> {
    const socket = address.startsWith("unix:") ? address.slice("unix:".length) : undefined;
    if (socket !== undefined) await removeDeadSocket(socket);
    try {
      const port = await this.#front.listen(socket === undefined ? hostAndPort(address) : { path: socket });
      return address.replace(/:\d+$/, `:${port}`);
    } catch (thrown) {
      const error = toWeftError(thrown);
      throw new WeftError("unavailable", "CANNOT_LISTEN", `cannot listen on ${address}: ${error.message}`, {
        cause: thrown,
        fix: "stop what uses the port, or choose another one",
      });
    }
  }

  /** Ends links, lets calls finish for `graceMs`, then ends them too. */
  async close(graceMs: number): Promise<void> {
    for (const link of this.#links) link.close();
    this.#front.stopListening();
    const cancel = this.deps.clock.after(graceMs, () => {
      this.#server.forceShutdown();
      this.#front.destroy();
    });
    await new Promise<void>((resolve) => {
      this.#server.tryShutdown(() => resolve());
    });
    await this.#front.drained();
    cancel();
    this.#waits.close();
  }

  #admit(key: string | undefined): void {
    const { clusterKey } = this.deps;
    if (clusterKey === undefined) return;
    const presented = Buffer.from(key ?? "");
    const expected = Buffer.from(clusterKey);
    if (presented.length !== expected.length || !timingSafeEqual(presented, expected)) {
      throw new WeftError("unauthenticated", "NOT_OF_THIS_CLUSTER", "the cluster key is missing or wrong");
    }
  }

  #unary(path: string, handler: (ctx: CallContext, message: Buffer) => Promise<unknown>) {
    return (call: ServerUnaryCall<Buffer, unknown>, callback: sendUnaryData<unknown>): void => {
      const startedMs = this.deps.clock.monoMs();
      const { ctx, headers } = this.#context(call, startedMs);
      const run = async (): Promise<unknown> => {
        this.#admit(headerOf(call.metadata, CLUSTER_KEY_HEADER));
        return handler(ctx, call.request);
      };
      run().then(
        (response) => {
          const sent = headers();
          if (sent) call.sendMetadata(sent);
          this.#observe(path, undefined, startedMs);
          callback(null, response);
        },
        (thrown: unknown) => {
          const sent = headers();
          if (sent) call.sendMetadata(sent);
          this.#observe(path, thrown, startedMs);
          callback(toStatus(thrown));
        },
      );
    };
  }

  #streaming(
    path: string,
    handler: (ctx: CallContext, message: Buffer, send: (message: unknown) => Promise<void>) => Promise<void>,
  ) {
    return (call: ServerWritableStream<Buffer, unknown>): void => {
      const startedMs = this.deps.clock.monoMs();
      const { ctx } = this.#context(call, startedMs);
      const send = (message: unknown): Promise<void> => {
        if (ctx.signal.aborted) return Promise.reject(new WeftError("canceled", "CALL_OVER", "the call is over"));
        if (call.write(message)) return Promise.resolve();
        return new Promise((resolve, reject) => {
          const settle = (): void => {
            call.off("drain", settle);
            ctx.signal.removeEventListener("abort", settle);
            if (ctx.signal.aborted) reject(new WeftError("canceled", "CALL_OVER", "the call is over"));
            else resolve();
          };
          call.once("drain", settle);
          ctx.signal.addEventListener("abort", settle, { once: true });
        });
      };
      const run = async (): Promise<void> => {
        this.#admit(headerOf(call.metadata, CLUSTER_KEY_HEADER));
        await handler(ctx, call.request, send);
      };
      run().then(
        () => {
          this.#observe(path, undefined, startedMs);
          call.end();
        },
        (thrown: unknown) => {
          this.#observe(path, thrown, startedMs);
          call.emit("error", toStatus(thrown));
        },
      );
    };
  }

  #observe(path: string, thrown: unknown, startedMs: number): void {
    const error = thrown === undefined ? undefined : toWeftError(thrown);
    if (error?.kind === "internal") this.deps.log.error("a call failed unforeseen", { rpc: path, error });
    this.deps.observe?.(path, error?.kind, (this.deps.clock.monoMs() - startedMs) / 1000);
  }

  #context(
    call: ServerUnaryCall<Buffer, unknown> | ServerWritableStream<Buffer, unknown>,
    nowMonoMs: number,
  ): { ctx: CallContext; headers: () => Metadata | undefined } {
    // Most calls look at neither: both are made when first asked for.
    let abort: AbortController | undefined;
    let outgoing: Metadata | undefined;
    const { deps } = this;
    const ctx: CallContext = {
      get signal(): AbortSignal {
        if (!abort) {
          const made = new AbortController();
          abort = made;
          if (call.cancelled) made.abort();
          else call.on("cancelled", () => made.abort());
        }
        return abort.signal;
      },
      get deadlineMonoMs(): number | undefined {
        const deadline = call.getDeadline();
        if (deadline === Infinity) return undefined;
        return nowMonoMs + (Number(deadline) - deps.clock.wallMs());
      },
      get traceparent(): string {
        return headerOf(call.metadata, "traceparent") ?? "";
      },
      log: deps.log,
      get peer(): string {
        return peerOf(call.metadata);
      },
      header: (name) => headerOf(call.metadata, name),
      headers: () => headersOf(call.metadata),
      setHeader(name, value) {
        outgoing ??= new Metadata();
        outgoing.add(name, value);
      },
    };
    return { ctx, headers: () => outgoing };
  }
}

/** @throws invalidArgument when the bytes are no message of the rpc */
export function decoded<T>(path: string, decode: (message: Buffer) => T, message: Buffer): T {
  try {
    return decode(message);
  } catch (thrown) {
    throw new WeftError("invalidArgument", "MALFORMED_MESSAGE", `the message is not a request of ${path}`, {
      cause: thrown,
    });
  }
}

function headerOf(metadata: Metadata, name: string): string | undefined {
  const value = metadata.get(name)[0];
  if (value === undefined) return undefined;
  return typeof value === "string" ? value : value.toString("base64");
}

function peerOf(metadata: Metadata): string {
  return headerOf(metadata, PEER_HEADER) ?? "unknown";
}

function headersOf(metadata: Metadata): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of Object.keys(metadata.getMap())) {
    if (!name.endsWith("-bin") && name !== PEER_HEADER) headers[name] = metadata.get(name).join(", ");
  }
  return headers;
}

function hostAndPort(address: string): { readonly host: string; readonly port: number } {
  const [, bracketed, host, port] = /^(?:\[(.+)\]|(.+)):(\d+)$/.exec(address) ?? [];
  return { host: bracketed ?? host ?? address, port: Number(port ?? 0) };
}

/** A process that was killed leaves its socket behind. One that somebody listens on is left alone: binding tells. */
async function removeDeadSocket(path: string): Promise<void> {
  if (!(lstatSync(path, { throwIfNoEntry: false })?.isSocket() ?? false)) return;
  const answered = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
  if (!answered) rmSync(path, { force: true });
}
