// The built-in HTTP face: OpenWhisk's REST and /v1 without Envoy. It only moves bytes: what they mean is the adapter's
// and the transcoder's business, and what is refused before it gets there is refused as Envoy refuses it.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Clock } from "../../base/clock.js";
import { toWeftError, WeftError } from "../../base/errors.js";
import type { Log } from "../../base/log.js";
import { BODY_BYTES_MAX, jsonResponse, pathOf, type RestRequest, type RestResponse } from "./message.js";
import type { RestMetrics, Surface } from "./metrics.js";
import { refusedResponse } from "./status-json.js";
import { corsOf, isPreflight, preflightResponse } from "./native-cors.js";

export interface HttpFaceDeps {
  /** Answers a request of OpenWhisk's API; never rejects. */
  readonly openWhisk: (request: RestRequest) => Promise<RestResponse>;
  /** Answers a request under /v1/; never rejects. */
  readonly native: (request: RestRequest) => Promise<RestResponse>;
  /** Makes the id of a request that is refused before anybody looked at it. */
  readonly requestId: (asked: string | undefined) => string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: RestMetrics;
}

/** Largest headers with the request line. A name of 256 characters, escaped, is a fortieth of it. */
const HEADER_BYTES_MAX = 64 * 1024;
/** Most header lines: Envoy's. */
const HEADER_LINES_MAX = 100;
/** Longest pause between two requests of a connection: above that of clients' pools, so that they close first. */
const IDLE_MS = 75_000;
/** Longest time for the headers, and for a whole request, to arrive: Envoy's. What comes after is bounded by waits. */
const HEADERS_MS = 60_000;
const REQUEST_MS = 300_000;
/**
 * What still comes of a body that was refused is thrown away until it pauses for so long, or is so much: cut off while it
 * sends, a client would see a broken connection instead of the answer.
 */
const LINGER_PAUSE_MS = 1_000;
const LINGER_BYTES_MAX = 256 * 1024 * 1024;
/** Bodies held at once, in all requests: beyond it, new ones are told to come back. */
const BUFFERED_BYTES_MAX = 512 * 1024 * 1024;

const TOO_LARGE = `The request is larger than allowed: at most ${BODY_BYTES_MAX} bytes.`;
const OVERLOADED = "The server is currently unavailable (because it is overloaded or down for maintenance).";

/** gRPC codes of what the face refuses itself. */
const CODES: Readonly<Record<number, number>> = { 400: 3, 408: 4, 413: 3, 431: 3, 501: 12, 503: 14 };

export class HttpFace {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Those that were told that they close: whatever else comes on them gets no second answer. */
  readonly #refused = new WeakSet<Socket>();
  #buffered = 0;
  #closing = false;

  constructor(private readonly deps: HttpFaceDeps) {
    const serve = (request: IncomingMessage, response: ServerResponse): void => {
      this.#serve(request, response).catch((thrown: unknown) => {
        // The client went away in the middle of its body; nobody is left to answer.
        deps.log.debug("a request did not arrive whole", { error: toWeftError(thrown) });
        response.destroy();
      });
    };
    this.#server = createServer(
      {
        maxHeaderSize: HEADER_BYTES_MAX,
        // Missed below, with an answer that says so.
        requireHostHeader: false,
        keepAliveTimeout: IDLE_MS,
        headersTimeout: HEADERS_MS,
        requestTimeout: REQUEST_MS,
        // Answers are small and written whole.
        noDelay: true,
      },
      serve,
    );
    // Node would drop those beyond its own limit without a word; counted below.
    this.#server.maxHeadersCount = 0;
    // What a client expects and nobody knows does not keep its request from being served.
    this.#server.on("checkExpectation", serve);
    this.#server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    this.#server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => this.#refuse(error, socket));
  }

  /** @returns "host:port" with the port that was bound. @throws unavailable when it cannot be bound */
  listen(host: string, port: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const onError = (error: Error): void => {
        reject(
          new WeftError("unavailable", "CANNOT_LISTEN", `cannot listen on ${host}:${port}: ${error.message}`, {
            cause: error,
            fix: "stop what uses the port, or choose another one",
          }),
        );
      };
      this.#server.once("error", onError);
      this.#server.listen({ host, port }, () => {
        this.#server.off("error", onError);
        this.#server.on("error", (error) => this.deps.log.error("the REST listener failed", { error }));
        resolve(`${host}:${(this.#server.address() as AddressInfo).port}`);
      });
    });
  }

  /** Takes no more requests, lets those in flight finish for `graceMs`, then cuts them off. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const cancel = this.deps.clock.after(graceMs, () => {
      for (const socket of this.#sockets) socket.destroy();
    });
    await closed;
    cancel();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { clock, metrics } = this.deps;
    const startedMs = clock.monoMs();
    const method = request.method ?? "GET";
    const headers = headersOf(request);
    const target = targetOf(request, headers);
    const surface: Surface = pathOf(target).startsWith("/v1/") ? "native" : "openwhisk";
    const abort = new AbortController();
    response.once("close", () => {
      if (!response.writableFinished) abort.abort(new WeftError("canceled", "CALL_OVER", "the client hung up"));
    });

    let answer: RestResponse;
    const problem = problemOf(request);
    const read = problem ? ({ kind: "refused", held: 0, ...problem } as const) : await this.#readBody(request);
    try {
      answer =
        read.kind === "refused"
          ? this.#refusal(surface, read.status, read.message, headers)
          : await this.#answer(surface, { method, target, headers, body: read.body, signal: abort.signal });
    } finally {
      this.#hold(-read.held);
    }
    // A body that was not read to its end leaves the connection in the middle of it.
    if (read.kind === "refused" || this.#closing) response.setHeader("Connection", "close");
    if (read.kind === "refused") {
      this.#refused.add(request.socket);
      start(response, answer);
      response.write(answer.body);
      await this.#linger(request, response);
      response.end();
    } else send(response, answer);
    metrics.observe("builtin", surface, answer.status, clock.monoMs() - startedMs);
  }

  async #answer(surface: Surface, request: RestRequest): Promise<RestResponse> {
    if (surface === "openwhisk") return this.deps.openWhisk(request);
    if (isPreflight(request)) {
      return preflightResponse(request, this.deps.requestId(request.headers["x-request-id"]));
    }
    const response = await this.deps.native(request);
    return { ...response, headers: [...response.headers, ...corsOf(request)] };
  }

  async #readBody(
    request: IncomingMessage,
  ): Promise<
    | { readonly kind: "read"; readonly body: Buffer; readonly held: number }
    | { readonly kind: "refused"; readonly status: number; readonly message: string; readonly held: number }
  > {
    const announced = Number(request.headers["content-length"] ?? 0);
    if (announced > BODY_BYTES_MAX) return { kind: "refused", status: 413, message: TOO_LARGE, held: 0 };
    const chunks: Buffer[] = [];
    let held = 0;
    try {
      // Left early, it must not take the connection with it.
      for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        held += chunk.length;
        this.#hold(chunk.length);
        if (held > BODY_BYTES_MAX) return { kind: "refused", status: 413, message: TOO_LARGE, held };
        if (this.#buffered > BUFFERED_BYTES_MAX) return { kind: "refused", status: 503, message: OVERLOADED, held };
        chunks.push(chunk);
      }
    } catch (thrown) {
      this.#hold(-held);
      throw thrown;
    }
    return { kind: "read", body: chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks), held };
  }

  /** Resolves when the client has no reason any more to miss the answer. */
  #linger(request: IncomingMessage, response: ServerResponse): Promise<void> {
    return new Promise((resolve) => {
      let thrownAway = 0;
      let cancel = (): void => {};
      const wait = (): void => {
        cancel();
        cancel = this.deps.clock.after(LINGER_PAUSE_MS, done);
      };
      const done = (): void => {
        cancel();
        request.off("data", onData).off("end", done);
        response.off("close", done);
        resolve();
      };
      const onData = (chunk: Buffer): void => {
        thrownAway += chunk.length;
        if (thrownAway > LINGER_BYTES_MAX) done();
        else wait();
      };
      if (request.complete || response.destroyed) {
        resolve();
        return;
      }
      request.on("data", onData).once("end", done);
      response.once("close", done);
      wait();
      request.resume();
    });
  }

  #hold(bytes: number): void {
    this.#buffered += bytes;
    this.deps.metrics.bufferedBytes.set(this.#buffered);
  }

  /** What is refused before the adapter or the transcoder has seen it, in the form that each API has. */
  #refusal(surface: Surface, status: number, message: string, headers: RestRequest["headers"]): RestResponse {
    const id = this.deps.requestId(headers["x-request-id"]);
    if (surface === "native") return refusedResponse(status, CODES[status] ?? 2, message, [["x-request-id", id]]);
    return jsonResponse(status, `${JSON.stringify({ code: id, error: message })}\n`, [["X-Request-ID", id]]);
  }

  /** Bytes that are no request. */
  #refuse(error: NodeJS.ErrnoException, socket: Socket): void {
    if (error.code === "ECONNRESET" || !socket.writable) {
      socket.destroy();
      return;
    }
    if (this.#refused.has(socket)) {
      socket.destroySoon();
      return;
    }
    const [status, reason, message] =
      error.code === "HPE_HEADER_OVERFLOW"
        ? [
            431,
            "Request Header Fields Too Large",
            `Headers are larger than allowed: at most ${HEADER_BYTES_MAX} bytes.`,
          ]
        : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
          ? [408, "Request Timeout", "The request did not arrive in time."]
          : [400, "Bad Request", "The request is not HTTP."];
    const { contentType, body } = this.#refusal("openwhisk", status, message, {});
    socket.end(
      `HTTP/1.1 ${status} ${reason}\r\nContent-Type: ${contentType}\r\nContent-Length: ${body.length}\r\n` +
        `Connection: close\r\n\r\n${body.toString()}`,
    );
  }
}

/** What is wrong with a request that Node's parser lets through and Envoy refuses. */
function problemOf(
  request: IncomingMessage,
): { readonly status: 400 | 431 | 501; readonly message: string } | undefined {
  const { rawHeaders, headers, httpVersion, url = "" } = request;
  if (rawHeaders.length > 2 * HEADER_LINES_MAX) {
    const message = `There are more headers than allowed: ${rawHeaders.length / 2} > ${HEADER_LINES_MAX}.`;
    return { status: 431, message };
  }
  if (headers.host === undefined && httpVersion === "1.1") {
    return { status: 400, message: "The request has no Host header." };
  }
  if (url.includes("#")) return { status: 400, message: "The path of the request is malformed." };
  const coding = headers["transfer-encoding"];
  if (coding !== undefined && coding.toLowerCase() !== "chunked") {
    return { status: 501, message: "The request's Transfer-Encoding is not supported. Expected:\nchunked" };
  }
  return undefined;
}

/** Path and query. A whole URL, as proxies are asked, is one of this host's, whatever it calls it. */
function targetOf({ url = "/" }: IncomingMessage, headers: Record<string, string>): string {
  const [authority, host] = /^https?:\/\/([^/?]*)/i.exec(url) ?? [];
  if (authority === undefined) return url;
  headers["host"] = host ?? "";
  const rest = url.slice(authority.length);
  return rest.startsWith("/") ? rest : `/${rest}`;
}

function headersOf(request: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {};
  // `request.headers` drops repetitions of some names; an action is shown what was sent.
  const { rawHeaders } = request;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase();
    const value = rawHeaders[i + 1] as string;
    const before = headers[name];
    headers[name] = before === undefined ? value : `${before}, ${value}`;
  }
  return headers;
}

function send(response: ServerResponse, answer: RestResponse): void {
  start(response, answer);
  if (hasBody(answer)) response.end(answer.body);
  else response.end();
}

/** Status and headers. */
function start(response: ServerResponse, answer: RestResponse): void {
  for (const [name, value] of answer.headers) response.appendHeader(name, value);
  if (hasBody(answer)) {
    if (answer.contentType !== "") response.setHeader("Content-Type", answer.contentType);
    response.setHeader("Content-Length", answer.body.length);
  }
  response.statusCode = answer.status;
}

/** These have none, by definition. */
function hasBody({ status }: RestResponse): boolean {
  return status !== 204 && status !== 304;
}
