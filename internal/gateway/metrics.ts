// The metrics of a gateway. Series on the path of every activation are looked up once, here.

import { ERROR_KINDS } from "../base/errors.js";
import type { Counter, Histogram, MetricsRegistry } from "../base/metrics.js";
import type { Outcome, StartKind } from "../core/activation/types.js";

const OUTCOMES = ["success", "applicationError", "developerError", "platformError", "refused", "lost"] as const;
const STARTS = ["warm", "frozen", "stem", "cold", "none"] as const;
const KINDS = ["ok", ...ERROR_KINDS] as const;

export interface GatewayGauges {
  readonly inFlight: () => number;
  readonly waiting: () => number;
  readonly leases: () => number;
  readonly identities: () => number;
  readonly actions: () => number;
  readonly unsentRecords: () => number;
  readonly streams: () => number;
}

interface RpcSeries {
  readonly seconds: Histogram;
  readonly byKind: Map<string, Counter>;
}

export class GatewayMetrics {
  readonly overhead: Histogram;
  readonly queue: Histogram;
  readonly submitted: Counter;
  readonly fired: Counter;
  readonly firedNothing: Counter;
  readonly throttledRate: Counter;
  readonly throttledConcurrency: Counter;
  readonly throttledFires: Counter;
  readonly throttledSystem: Counter;
  readonly identityHits: Counter;
  readonly identityMisses: Counter;
  readonly identityRefusals: Counter;
  readonly actionHits: Counter;
  readonly actionMisses: Counter;
  readonly apiHits: Counter;
  readonly apiMisses: Counter;
  readonly recordsLost: Counter;

  readonly #invocations: ReadonlyMap<string, Counter>;
  readonly #rpcs = new Map<string, RpcSeries>();
  readonly #seriesOf: (rpc: string) => RpcSeries;

  /** @param rpcs every rpc that is served, "package.Service/Method" */
  constructor(registry: MetricsRegistry<"gateway">, rpcs: readonly string[]) {
    const requests = registry.counter({
      name: "weft_gateway_requests_total",
      help: "How many calls of which rpc ended how?",
      labels: { rpc: [...rpcs, "other"], kind: KINDS },
    });
    const seconds = registry.histogram({
      name: "weft_gateway_request_seconds",
      help: "How long do calls take, user code included?",
      labels: { rpc: [...rpcs, "other"] },
    });
    this.#seriesOf = (path) => {
      const known = this.#rpcs.get(path);
      if (known) return known;
      const bare = path.replace(/^\//, "");
      const rpc = rpcs.includes(bare) ? bare : "other";
      const series = {
        seconds: seconds.bound({ rpc }),
        byKind: new Map(KINDS.map((kind) => [kind, requests.bound({ rpc, kind })])),
      };
      this.#rpcs.set(path, series);
      return series;
    };

    const invocations = registry.counter({
      name: "weft_gateway_invocations_total",
      help: "How many invocations that a caller waits for ended how, and how did their sandbox come?",
      labels: { outcome: OUTCOMES, start: STARTS },
    });
    this.#invocations = new Map(
      OUTCOMES.flatMap((outcome) => STARTS.map((start) => [outcome + start, invocations.bound({ outcome, start })])),
    );
    this.overhead = registry.histogram({
      name: "weft_gateway_overhead_seconds",
      help: "How much does Weft itself add to an invocation, waiting for a slot included?",
    });
    this.queue = registry.histogram({
      name: "weft_gateway_queue_seconds",
      help: "How long do invocations wait for a slot?",
    });
    this.submitted = registry.counter({
      name: "weft_gateway_submitted_total",
      help: "How many invocations that nobody waits for were made durable?",
    });
    const fired = registry.counter({
      name: "weft_gateway_fires_total",
      help: "How many firings did something?",
      labels: { rules: ["some", "none"] },
    });
    this.fired = fired.bound({ rules: "some" });
    this.firedNothing = fired.bound({ rules: "none" });
    const throttled = registry.counter({
      name: "weft_gateway_throttled_total",
      help: "How many requests were refused by which limit of their namespace, or by one of the whole system?",
      labels: { limit: ["invocationsPerMinute", "concurrentInvocations", "firesPerMinute", "system"] },
    });
    this.throttledRate = throttled.bound({ limit: "invocationsPerMinute" });
    this.throttledConcurrency = throttled.bound({ limit: "concurrentInvocations" });
    this.throttledFires = throttled.bound({ limit: "firesPerMinute" });
    this.throttledSystem = throttled.bound({ limit: "system" });
    const lookups = registry.counter({
      name: "weft_gateway_cache_lookups_total",
      help: "How often did a call need a controller first?",
      labels: { cache: ["identity", "action", "api"], result: ["hit", "miss", "refused"] },
    });
    this.identityHits = lookups.bound({ cache: "identity", result: "hit" });
    this.identityMisses = lookups.bound({ cache: "identity", result: "miss" });
    this.identityRefusals = lookups.bound({ cache: "identity", result: "refused" });
    this.actionHits = lookups.bound({ cache: "action", result: "hit" });
    this.actionMisses = lookups.bound({ cache: "action", result: "miss" });
    this.apiHits = lookups.bound({ cache: "api", result: "hit" });
    this.apiMisses = lookups.bound({ cache: "api", result: "miss" });
    this.recordsLost = registry.counter({
      name: "weft_gateway_records_dropped_total",
      help: "How many records of lost activations could not be kept?",
    });

    this.#gauge = {
      inFlight: registry.gauge({
        name: "weft_gateway_in_flight_activations",
        help: "How many activations run for callers of this gateway?",
      }),
      waiting: registry.gauge({
        name: "weft_gateway_waiting_activations",
        help: "How many activations wait for a slot?",
      }),
      leases: registry.gauge({ name: "weft_gateway_held_slots", help: "How many slots does this gateway hold?" }),
      identities: registry.gauge({ name: "weft_gateway_cached_identities", help: "How many credentials are cached?" }),
      actions: registry.gauge({ name: "weft_gateway_cached_actions", help: "How many actions are cached?" }),
      unsentRecords: registry.gauge({
        name: "weft_gateway_unsent_records",
        help: "How many records of lost activations wait for a controller?",
      }),
      streams: registry.gauge({ name: "weft_gateway_open_streams", help: "How many InvokeStreams are open?" }),
    };
  }

  readonly #gauge: Record<keyof GatewayGauges, { from(read: () => number): void }>;

  /** Says where sizes are read from. */
  watch(gauges: GatewayGauges): void {
    this.#gauge.inFlight.from(gauges.inFlight);
    this.#gauge.waiting.from(gauges.waiting);
    this.#gauge.leases.from(gauges.leases);
    this.#gauge.identities.from(gauges.identities);
    this.#gauge.actions.from(gauges.actions);
    this.#gauge.unsentRecords.from(gauges.unsentRecords);
    this.#gauge.streams.from(gauges.streams);
  }

  request(path: string, errorKind: string | undefined, seconds: number): void {
    const series = this.#seriesOf(path);
    series.byKind.get(errorKind ?? "ok")?.inc();
    series.seconds.observe(seconds);
  }

  invocation(outcome: Outcome | "refused" | "lost", start: StartKind | undefined): void {
    this.#invocations.get(outcome + (start ?? "none"))?.inc();
  }
}
