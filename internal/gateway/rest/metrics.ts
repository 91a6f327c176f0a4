import { API_ANSWERS, type ApiAnswer } from "./apis/api-gateway.js";
import { TOKEN_CHECKS, type TokenCheck } from "./apis/token-checks.js";
import type { Counter, Histogram, MetricsRegistry } from "../../base/metrics.js";

const CLASSES = ["1xx", "2xx", "3xx", "4xx", "5xx"] as const;

/** Who carried a request here: our own HTTP listener, or Envoy through the tunnel. */
export type Face = "builtin" | "tunnel";
/** Which API it was for. */
export type Surface = "openwhisk" | "native";

/** REST as a gateway sees it. What Envoy transcodes by itself arrives as gRPC and is counted there. */
export class RestMetrics {
  readonly bufferedBytes: { set(value: number): void };
  readonly #responses: Readonly<Record<Face, Readonly<Record<Surface, readonly Counter[]>>>>;
  readonly #apis: Readonly<Record<ApiAnswer, Counter>>;
  readonly #tokens: { bound(labels: { check: TokenCheck }): Counter };
  readonly #seconds: Readonly<Record<Face, Readonly<Record<Surface, Histogram>>>>;

  constructor(registry: MetricsRegistry<"gateway">) {
    const responses = registry.counter({
      name: "weft_gateway_rest_responses_total",
      help: "How are REST requests answered, by who carried them, which API they are for, and the class of the status?",
      labels: { face: ["builtin", "tunnel"], api: ["openwhisk", "native"], status: CLASSES },
    });
    const seconds = registry.histogram({
      name: "weft_gateway_rest_seconds",
      help: "How long does a REST request take in the gateway, with what it waits for?",
      labels: { face: ["builtin", "tunnel"], api: ["openwhisk", "native"] },
    });
    this.bufferedBytes = registry.gauge({
      name: "weft_gateway_rest_buffered_bytes",
      help: "How much of request bodies does the built-in face hold?",
    });
    const apis = registry.counter({
      name: "weft_gateway_api_requests_total",
      help: "How many requests to APIs reached a web action, were preflights, or were refused, and why?",
      labels: { answer: API_ANSWERS },
    });
    this.#apis = Object.fromEntries(API_ANSWERS.map((answer) => [answer, apis.bound({ answer })])) as Record<
      ApiAnswer,
      Counter
    >;
    this.#tokens = registry.counter({
      name: "weft_gateway_token_checks_total",
      help: "How many OAuth tokens that callers of APIs sent were remembered, or good, refused, or not to be asked for at their provider?",
      labels: { check: TOKEN_CHECKS },
    });
    const both = <T>(make: (face: Face, api: Surface) => T): Record<Face, Record<Surface, T>> => ({
      builtin: { openwhisk: make("builtin", "openwhisk"), native: make("builtin", "native") },
      tunnel: { openwhisk: make("tunnel", "openwhisk"), native: make("tunnel", "native") },
    });
    this.#responses = both((face, api) => CLASSES.map((status) => responses.bound({ face, api, status })));
    this.#seconds = both((face, api) => seconds.bound({ face, api }));
  }

  apiAnswered(answer: ApiAnswer): void {
    this.#apis[answer].inc();
  }

  tokenChecked(check: TokenCheck): void {
    this.#tokens.bound({ check }).inc();
  }

  observe(face: Face, api: Surface, status: number, ms: number): void {
    const byClass = this.#responses[face][api];
    byClass[Math.min(Math.max(Math.floor(status / 100), 1), byClass.length) - 1]?.inc();
    this.#seconds[face][api].observeMs(ms);
  }
}
