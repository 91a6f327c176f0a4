// Client side of grpc-js: channels, unary calls as promises, dialled links.

import {
  Client,
  credentials,
  Metadata,
  type CallOptions,
  type ChannelCredentials,
  type ChannelOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ServiceError,
} from "@grpc/grpc-js";
import { WeftError } from "../base/errors.js";
import { grpcMessageStream } from "./grpc-stream.js";
import { MESSAGE_BYTES_MAX, StreamLink, type Link, type LinkMethod } from "./link.js";
import { fromStatus } from "./status.js";
import type { Network } from "./network.js";

/** Metadata entry that proves to a role that the caller belongs to the cluster. */
export const CLUSTER_KEY_HEADER = "weft-cluster-key";

const CHANNEL_OPTIONS: ChannelOptions = {
  "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
  "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
  // A silent partition is noticed within five seconds instead of minutes.
  "grpc.keepalive_time_ms": 3_000,
  "grpc.keepalive_timeout_ms": 2_000,
  "grpc.keepalive_permit_without_calls": 0,
  // Reconnect soon: a restarted role is back within a second.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.min_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
  "grpc.enable_retries": 0,
};

export interface GrpcNetworkOptions {
  /** Shared by all roles of a cluster; sent with every call. "" sends none (a client of the public API). */
  readonly clusterKey: string;
  /** For addresses that speak TLS; undefined: none does. */
  readonly tls?: {
    /** Certificates of who may sign, PEM; undefined: those that the machine trusts. */
    readonly ca?: string;
    /** Certificates are not looked at. */
    readonly insecure?: boolean;
  };
}

/** Reaches other processes over gRPC; keeps one channel per address. */
export class GrpcNetwork implements Network {
  readonly #clients = new Map<string, Client>();

  constructor(private readonly options: GrpcNetworkOptions) {}

  dial<Up, Down>(
    address: string,
    method: LinkMethod<Up, Down>,
    headers?: Readonly<Record<string, string>>,
  ): Link<Down, Up> {
    const call = this.client(address).makeBidiStreamRequest<Buffer, Buffer>(
      method.path,
      (message) => message,
      (message) => message,
      this.#metadata(headers),
      {},
    );
    return new StreamLink(grpcMessageStream(call), method.down, method.up, method.framed);
  }

  /** A generic client for an address; closed with the network. */
  client(address: string): Client {
    let client = this.#clients.get(address);
    if (!client) {
      client = new Client(address, this.#credentials(), CHANNEL_OPTIONS);
      this.#clients.set(address, client);
    }
    return client;
  }

  /** One unary call. @throws WeftError with the identity the server gave it; unavailable when it cannot be reached */
  unary<Req, Res>(address: string, method: UnaryMethod<Req, Res>, request: Req, options: UnaryOptions): Promise<Res> {
    return new Promise((resolve, reject) => {
      const call: ClientUnaryCall = this.client(address).makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        this.#metadata(options.headers),
        callOptions(options),
        (error: ServiceError | null, response?: Res) => {
          options.signal?.removeEventListener("abort", cancel);
          if (error) reject(fromStatus(error));
          else if (response === undefined)
            reject(new WeftError("internal", "NO_RESPONSE", `${method.path} answered nothing`));
          else resolve(response);
        },
      );
      if (options.onHeaders) call.on("metadata", (metadata: Metadata) => options.onHeaders?.(headersOf(metadata)));
      const cancel = (): void => {
        call.cancel();
      };
      if (options.signal?.aborted) cancel();
      else options.signal?.addEventListener("abort", cancel, { once: true });
    });
  }

  /** One server-streaming call as an async iterable; ends with an error when the stream does. */
  async *serverStream<Req, Res>(
    address: string,
    method: UnaryMethod<Req, Res>,
    request: Req,
    options: Omit<UnaryOptions, "deadlineMs"> & { readonly deadlineMs?: number },
  ): AsyncGenerator<Res> {
    const call: ClientReadableStream<Res> = this.client(address).makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      this.#metadata(options.headers),
      options.deadlineMs === undefined ? {} : callOptions({ deadlineMs: options.deadlineMs }),
    );
    const cancel = (): void => call.cancel();
    if (options.signal?.aborted) cancel();
    else options.signal?.addEventListener("abort", cancel, { once: true });
    try {
      for await (const message of call) yield message as Res;
    } catch (thrown) {
      throw fromStatus(thrown as ServiceError);
    } finally {
      options.signal?.removeEventListener("abort", cancel);
      call.cancel();
    }
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  #credentials(): ChannelCredentials {
    const { tls } = this.options;
    if (!tls) return credentials.createInsecure();
    const ca = tls.ca === undefined ? null : Buffer.from(tls.ca);
    return credentials.createSsl(ca, null, null, { rejectUnauthorized: tls.insecure !== true });
  }

  #metadata(headers: Readonly<Record<string, string>> | undefined): Metadata {
    const metadata = new Metadata();
    if (this.options.clusterKey !== "") metadata.set(CLUSTER_KEY_HEADER, this.options.clusterKey);
    for (const [name, value] of Object.entries(headers ?? {})) {
      metadata.set(name, name.endsWith("-bin") ? Buffer.from(value, "base64") : value);
    }
    return metadata;
  }
}

/** A method of a generated grpc-js service definition. */
export interface UnaryMethod<Req, Res> {
  readonly path: string;
  readonly requestSerialize: (request: Req) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Res;
}

export interface UnaryOptions {
  /** Longest wait, milliseconds. */
  readonly deadlineMs: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Told of the response's metadata. */
  readonly onHeaders?: (headers: Readonly<Record<string, string>>) => void;
}

function callOptions(options: { readonly deadlineMs: number }): CallOptions {
  return { deadline: Date.now() + options.deadlineMs };
}

function headersOf(metadata: Metadata): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(metadata.getMap())) headers[name] = value.toString();
  return headers;
}
