// Unary rpcs straight on node:http2. grpc-js builds some fifteen objects per call on the way to a handler (interceptors,
// metadata, decoders); for calls that are answered in a millisecond that is most of a gateway's work. grpc-js still owns
// the listener, the sessions, keep-alive and shutdown, and serves whatever this file does not take: streams, compressed
// messages, everything that is not plain gRPC. fast-unary.test.ts holds both to the same answers.
//
//   U1. A call is answered at most once: by its handler, or because its deadline passed or its caller went. A handler that
//       settles later is passed over.

import type { Http2Server, IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { status as Code, type Server } from "@grpc/grpc-js";
import type { Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import { Waits, type Wait } from "../base/waits.js";
import type { CallContext } from "./call-context.js";
import { MESSAGE_BYTES_MAX } from "./link.js";
import { toStatus } from "./status.js";

export type RawUnaryHandler = (ctx: CallContext, message: Buffer) => Promise<Uint8Array>;

export interface FastUnaryDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** @throws unauthenticated when the caller may not call this server at all */
  readonly admit: (clusterKey: string | undefined) => void;
  readonly observe: (path: string, thrown: unknown, startedMonoMs: number) => void;
}

/** Compressed or not, and how long. */
const PREFIX_BYTES = 5;
/** Above it, copying an answer behind its prefix costs more than writing twice. */
const COPIED_BYTES_MAX = 16 * 1024;
const ANSWER: OutgoingHttpHeaders = { ":status": 200, "content-type": "application/grpc" };
const SUCCESS: OutgoingHttpHeaders = { "grpc-status": "0" };
const WITH_TRAILERS = { waitForTrailers: true };

export class FastUnary {
  readonly #handlers = new Map<string, RawUnaryHandler>();
  readonly waits: Waits;

  constructor(readonly deps: FastUnaryDeps) {
    this.waits = new Waits(deps.clock);
  }

  serve(path: string, handler: RawUnaryHandler): void {
    this.#handlers.set(path, handler);
  }

  /**
   * Takes what it serves from the listeners of a server that listens.
   * @returns false when grpc-js is not built as this file knows it: then it serves everything itself
   */
  attach(server: Server): boolean {
    const { http2Servers } = server as unknown as { readonly http2Servers?: unknown };
    if (!(http2Servers instanceof Map)) return false;
    let attached = false;
    for (const listener of http2Servers.keys() as IterableIterator<Http2Server>) {
      const [others, ...more] = listener.listeners("stream") as StreamListener[];
      if (!others || more.length > 0) return false;
      listener.removeAllListeners("stream");
      listener.on("stream", (stream, headers, ...rest) => {
        const path = headers[":path"];
        const handler = path === undefined || !isPlain(headers) ? undefined : this.#handlers.get(path);
        if (handler && path !== undefined) new FastCall(this, path, handler, stream, headers);
        else others.call(listener, stream, headers, ...rest);
      });
      attached = true;
    }
    return attached;
  }

  close(): void {
    this.waits.close();
  }
}

type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...rest: unknown[]) => void;

/** gRPC without compression. */
function isPlain(headers: IncomingHttpHeaders): boolean {
  const type = headers["content-type"];
  const encoding = headers["grpc-encoding"];
  return (
    headers[":method"] === "POST" &&
    type !== undefined &&
    /^application\/grpc($|\+|;)/.test(type) &&
    (encoding === undefined || encoding === "identity")
  );
}

class FastCall implements CallContext, Wait {
  readonly log: Log;
  readonly deadlineMonoMs: number | undefined;
  readonly #startedMonoMs: number;
  readonly #tick: number | undefined;
  #chunks: Buffer[] | undefined;
  #received = 0;
  #handed = false;
  #over = false;
  #gone = false;
  #abort: AbortController | undefined;
  #outgoing: Record<string, string | string[]> | undefined;

  constructor(
    private readonly owner: FastUnary,
    private readonly path: string,
    private readonly handler: RawUnaryHandler,
    private readonly stream: ServerHttp2Stream,
    private readonly incoming: IncomingHttpHeaders,
  ) {
    const { clock, log } = owner.deps;
    this.log = log;
    this.#startedMonoMs = clock.monoMs();
    const timeoutMs = timeoutOf(incoming["grpc-timeout"]);
    if (timeoutMs !== undefined) {
      this.deadlineMonoMs = this.#startedMonoMs + timeoutMs;
      this.#tick = owner.waits.add(this, timeoutMs);
    }
    stream.on("data", this.#onData);
    stream.on("end", this.#onEnd);
    stream.on("close", this.#onClose);
    stream.on("error", passOver); // "close" follows
  }

  // ---- what the handler sees ----

  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController();
      if (this.#gone) this.#abort.abort();
    }
    return this.#abort.signal;
  }

  get traceparent(): string {
    return this.header("traceparent") ?? "";
  }

  get peer(): string {
    const socket = this.stream.session?.socket;
    return socket?.remoteAddress === undefined ? "unknown" : `${socket.remoteAddress}:${socket.remotePort ?? 0}`;
  }

  header(name: string): string | undefined {
    const value = this.incoming[name.toLowerCase()];
    return Array.isArray(value) ? value[0] : value;
  }

  headers(): Readonly<Record<string, string>> {
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(this.incoming)) {
      if (value === undefined || name.startsWith(":") || name.endsWith("-bin")) continue;
      headers[name] = Array.isArray(value) ? value.join(", ") : value;
    }
    return headers;
  }

  setHeader(name: string, value: string): void {
    this.#outgoing ??= {};
    const before = this.#outgoing[name];
    this.#outgoing[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value];
  }

  // ---- the request ----

  readonly #onData = (chunk: Buffer): void => {
    if (this.#handed || this.#over) return; // what follows the one message is none of it
    const whole = this.#add(chunk);
    if (!whole) return;
    this.#handed = true;
    this.#chunks = undefined;
    let answer: Promise<Uint8Array>;
    try {
      const { admit } = this.owner.deps;
      admit(this.header("weft-cluster-key"));
      answer = this.handler(this, whole);
    } catch (thrown) {
      this.#fail(thrown);
      return;
    }
    answer.then(this.#succeed, this.#fail);
  };

  /** @returns the message when it is complete */
  #add(chunk: Buffer): Buffer | undefined {
    let all = chunk;
    this.#received += chunk.length;
    if (this.#chunks) {
      this.#chunks.push(chunk);
      const [first] = this.#chunks;
      // The prefix is nearly always in the first piece; a long message is put together once.
      if (first && first.length >= PREFIX_BYTES && this.#received < PREFIX_BYTES + first.readUInt32BE(1))
        return undefined;
      all = Buffer.concat(this.#chunks);
      this.#chunks = [all];
    }
    if (all.length < PREFIX_BYTES) {
      this.#chunks ??= [all];
      return undefined;
    }
    const size = all.readUInt32BE(1);
    if (all[0] !== 0) {
      this.#answer(Code.INTERNAL, "a message is compressed although the call names no compression");
    } else if (size > MESSAGE_BYTES_MAX) {
      this.#answer(Code.RESOURCE_EXHAUSTED, `Received message larger than max (${size} vs ${MESSAGE_BYTES_MAX})`);
    } else if (all.length >= PREFIX_BYTES + size) return all.subarray(PREFIX_BYTES, PREFIX_BYTES + size);
    else this.#chunks ??= [all];
    return undefined;
  }

  readonly #onEnd = (): void => {
    if (this.#handed || this.#over) return;
    this.#fail(new WeftError("invalidArgument", "MALFORMED_MESSAGE", `the call of ${this.path} has no whole message`));
  };

  readonly #onClose = (): void => {
    this.#gone = true;
    this.#abort?.abort();
    if (this.#settle()) this.#observe(new WeftError("canceled", "CALL_OVER", "the caller went away"));
  };

  /** Its deadline passed. */
  expired(): void {
    this.#fail(new WeftError("deadlineExceeded", "DEADLINE_EXCEEDED", "the deadline of the call passed"));
    this.#gone = true;
    this.#abort?.abort();
  }

  // ---- the answer ----

  readonly #succeed = (message: Uint8Array): void => {
    if (!this.#settle()) return;
    this.#observe(undefined);
    const { stream } = this;
    if (message.length > MESSAGE_BYTES_MAX) {
      this.#end({
        "grpc-status": String(Code.RESOURCE_EXHAUSTED),
        "grpc-message": `Attempted to send message with a size larger than ${MESSAGE_BYTES_MAX}`,
      });
      return;
    }
    if (!this.#respond(WITH_TRAILERS)) return;
    stream.once("wantTrailers", sendSuccess);
    if (message.length > COPIED_BYTES_MAX) {
      stream.write(prefixOf(message.length, PREFIX_BYTES));
      stream.end(message);
    } else {
      const frame = prefixOf(message.length, PREFIX_BYTES + message.length);
      frame.set(message, PREFIX_BYTES);
      stream.end(frame);
    }
  };

  readonly #fail = (thrown: unknown): void => {
    if (!this.#settle()) return;
    const error = toWeftError(thrown);
    this.#observe(error);
    const { code, details, metadata } = toStatus(error);
    this.#end({
      ...metadata.toHttp2Headers(),
      "grpc-status": String(code),
      "grpc-message": encodeURI(details),
    });
  };

  #answer(code: Code, details: string): void {
    if (!this.#settle()) return;
    this.#observe(new WeftError("invalidArgument", "MALFORMED_MESSAGE", details));
    this.#end({ "grpc-status": String(code), "grpc-message": details });
  }

  /** @returns false when it was answered already (U1) */
  #settle(): boolean {
    if (this.#over) return false;
    this.#over = true;
    if (this.#tick !== undefined) this.owner.waits.remove(this, this.#tick);
    return true;
  }

  /** Ends the call without a message. */
  #end(trailers: OutgoingHttpHeaders): void {
    const { stream } = this;
    if (!this.#outgoing) {
      this.#respond({ endStream: true }, trailers);
      return;
    }
    if (!this.#respond(WITH_TRAILERS)) return;
    stream.once("wantTrailers", () => {
      stream.sendTrailers(trailers);
    });
    stream.end();
  }

  /** @returns false when there is nobody to answer */
  #respond(
    options: { readonly endStream?: boolean; readonly waitForTrailers?: boolean },
    more?: OutgoingHttpHeaders,
  ): boolean {
    const { stream } = this;
    if (stream.destroyed || stream.closed) return false;
    const headers = this.#outgoing || more ? { ...ANSWER, ...this.#outgoing, ...more } : ANSWER;
    stream.respond(headers, options);
    return true;
  }

  #observe(thrown: unknown): void {
    this.owner.deps.observe(this.path, thrown, this.#startedMonoMs);
  }
}

function passOver(): void {}

function sendSuccess(this: ServerHttp2Stream): void {
  this.sendTrailers(SUCCESS);
}

function prefixOf(size: number, bytes: number): Buffer {
  const prefix = Buffer.allocUnsafe(bytes);
  prefix[0] = 0;
  prefix.writeUInt32BE(size, 1);
  return prefix;
}

const MS_OF_UNIT: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** A grpc-timeout; undefined without one, and for what is none: a caller who cannot say it waits as long as he likes. */
function timeoutOf(header: string | string[] | undefined): number | undefined {
  if (typeof header !== "string") return undefined;
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(header) ?? [];
  if (digits === undefined || unit === undefined) return undefined;
  return Number(digits) * (MS_OF_UNIT[unit] ?? 1);
}
