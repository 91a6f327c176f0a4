// REST of a gateway, whole: the OpenWhisk adapter and the transcoder, behind Envoy's tunnel, the built-in face, or both.

import type { Clock } from "../../base/clock.js";
import { toWeftError } from "../../base/errors.js";
import type { Log } from "../../base/log.js";
import type { MetricsRegistry } from "../../base/metrics.js";
import type { TokenProviders } from "../../core/api/oauth.js";
import type { Rates } from "../../core/throttle/window.js";
import type { Random } from "../../base/random.js";
import { TOO_MANY_LARGE, Turns } from "../../base/turns.js";
import { LARGE_REQUESTS } from "../large-requests.js";
import type { NativeApi } from "../native-api.js";
import { askProvider, TokenChecks } from "./apis/token-checks.js";
import { HttpFace } from "./http-face.js";
import { jsonResponse, type RestRequest, type RestResponse } from "./message.js";
import { RestMetrics, type Surface } from "./metrics.js";
import { OpenWhiskApi } from "./openwhisk/api.js";
import type { HostInfo } from "./openwhisk/documents.js";
import { requestId } from "./request-id.js";
import { refusedResponse } from "./status-json.js";
import { Transcoder } from "./transcode.js";
import { tunnelHandler } from "./tunnel-service.js";

export interface RestDeps {
  readonly api: NativeApi;
  readonly clock: Clock;
  /** Of APIs. */
  readonly rates: Rates;
  /** Of APIs. */
  readonly tokenProviders: TokenProviders;
  readonly random: Random;
  readonly log: Log;
  readonly registry: MetricsRegistry<"gateway">;
  /** google.protobuf.FileDescriptorSet of the public API: internal/gen/weft.binpb. */
  readonly descriptors: Uint8Array;
  readonly info: HostInfo;
}

/** gRPC's code. */
const UNAVAILABLE = 14;

export class Rest {
  readonly #openWhisk: OpenWhiskApi;
  readonly #metrics: RestMetrics;
  readonly #turns = new Turns(LARGE_REQUESTS);
  #face: HttpFace | undefined;

  constructor(private readonly deps: RestDeps) {
    const metrics = new RestMetrics(deps.registry);
    this.#metrics = metrics;
    const { tokenProviders: providers, clock, log } = deps;
    this.#openWhisk = new OpenWhiskApi({
      ...deps,
      tokens: new TokenChecks({ providers, ask: askProvider, checked: (how) => metrics.tokenChecked(how), clock, log }),
      apiAnswered: (answer) => metrics.apiAnswered(answer),
    });
  }

  /** Serves Envoy: for `Gateway.serveTunnel`. */
  readonly tunnel = tunnelHandler((request) => this.#tunnelled(request));

  /** Serves HTTP itself. @returns "host:port". @throws unavailable when the address cannot be bound */
  listen(host: string, port: number): Promise<string> {
    const { clock, log, random } = this.deps;
    // The transcoder reads the whole descriptor set: only who has no Envoy pays for it.
    const transcoder = new Transcoder(this.deps);
    this.#face = new HttpFace({
      openWhisk: (request) => this.#inTurn("openwhisk", request, () => this.#openWhisk.handle(request)),
      native: (request) => this.#inTurn("native", request, () => transcoder.handle(request)),
      requestId: (asked) => requestId(asked, random),
      clock,
      log,
      metrics: this.#metrics,
    });
    return this.#face.listen(host, port);
  }

  /** Takes no more requests, lets those in flight finish for `graceMs`, then cuts them off. */
  async close(graceMs: number): Promise<void> {
    await this.#face?.close(graceMs);
  }

  async #inTurn(surface: Surface, request: RestRequest, handle: () => Promise<RestResponse>): Promise<RestResponse> {
    try {
      return await this.#turns.run(request.body.length, handle);
    } catch (thrown) {
      const error = toWeftError(thrown);
      if (error.reason !== TOO_MANY_LARGE) throw thrown;
      const id = requestId(request.headers["x-request-id"], this.deps.random);
      const headers = [["Retry-After", String(Math.ceil((error.retryAfterMs ?? 1_000) / 1_000))]] as const;
      if (surface === "native") {
        return refusedResponse(503, UNAVAILABLE, error.message, [...headers, ["x-request-id", id]]);
      }
      const body = `${JSON.stringify({ code: id, error: error.message })}\n`;
      return jsonResponse(503, body, [...headers, ["X-Request-ID", id]]);
    }
  }

  async #tunnelled(request: RestRequest): Promise<RestResponse> {
    const startedMs = this.deps.clock.monoMs();
    const response = await this.#inTurn("openwhisk", request, () => this.#openWhisk.handle(request));
    this.#metrics.observe("tunnel", "openwhisk", response.status, this.deps.clock.monoMs() - startedMs);
    return response;
  }
}
