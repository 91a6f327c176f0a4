// REST of a gateway, whole: the OpenWhisk adapter and the transcoder, behind Envoy's tunnel, the built-in face, or both.

import type { Clock } from "../../base/clock.js";
import type { Log } from "../../base/log.js";
import type { MetricsRegistry } from "../../base/metrics.js";
import type { Rates } from "../../core/throttle/window.js";
import type { Random } from "../../base/random.js";
import type { NativeApi } from "../native-api.js";
import { HttpFace } from "./http-face.js";
import type { RestRequest, RestResponse } from "./message.js";
import { RestMetrics } from "./metrics.js";
import { OpenWhiskApi } from "./openwhisk/api.js";
import type { HostInfo } from "./openwhisk/documents.js";
import { requestId } from "./request-id.js";
import { Transcoder } from "./transcode.js";
import { tunnelHandler } from "./tunnel-service.js";

export interface RestDeps {
  readonly api: NativeApi;
  readonly clock: Clock;
  /** Of APIs. */
  readonly rates: Rates;
  readonly random: Random;
  readonly log: Log;
  readonly registry: MetricsRegistry<"gateway">;
  /** google.protobuf.FileDescriptorSet of the public API: internal/gen/weft.binpb. */
  readonly descriptors: Uint8Array;
  readonly info: HostInfo;
}

export class Rest {
  readonly #openWhisk: OpenWhiskApi;
  readonly #metrics: RestMetrics;
  #face: HttpFace | undefined;

  constructor(private readonly deps: RestDeps) {
    const metrics = new RestMetrics(deps.registry);
    this.#metrics = metrics;
    this.#openWhisk = new OpenWhiskApi({ ...deps, apiAnswered: (answer) => metrics.apiAnswered(answer) });
  }

  /** Serves Envoy: for `Gateway.serveTunnel`. */
  readonly tunnel = tunnelHandler((request) => this.#tunnelled(request));

  /** Serves HTTP itself. @returns "host:port". @throws unavailable when the address cannot be bound */
  listen(host: string, port: number): Promise<string> {
    const { clock, log, random } = this.deps;
    // The transcoder reads the whole descriptor set: only who has no Envoy pays for it.
    const transcoder = new Transcoder(this.deps);
    this.#face = new HttpFace({
      openWhisk: (request) => this.#openWhisk.handle(request),
      native: (request) => transcoder.handle(request),
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

  async #tunnelled(request: RestRequest): Promise<RestResponse> {
    const startedMs = this.deps.clock.monoMs();
    const response = await this.#openWhisk.handle(request);
    this.#metrics.observe("tunnel", "openwhisk", response.status, this.deps.clock.monoMs() - startedMs);
    return response;
  }
}
