// Tracing through OpenTelemetry's SDK, sent to a collector over OTLP. The sampling decision is ours and comes first, so
// that a span nobody will see never reaches the SDK.

import {
  DiagLogLevel,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  diag,
  trace,
  type Span as OtelSpan,
  type Tracer as OtelTracer,
} from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  AlwaysOnSampler,
  BatchSpanProcessor,
  NodeTracerProvider,
  type SpanExporter,
} from "@opentelemetry/sdk-trace-node";

import type { Clock } from "../base/clock.js";
import { WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import {
  PassedSpan,
  childOf,
  formatTraceparent,
  newTrace,
  noTracer,
  parseTraceparent,
  type Span,
  type SpanOptions,
  type Tracer,
} from "../base/trace.js";

export interface TelemetryOptions {
  /** The name of the service in the trace: "weft-gateway". */
  readonly component: string;
  readonly instanceId: string;
  /** OTLP over HTTP: "http://collector:4318". Undefined: nothing is traced, traceparents are handed on. */
  readonly endpoint: string | undefined;
  /** Share of the traces that begin here which are kept, 0 to 1. What the caller began follows the caller. */
  readonly ratio: number;
  /** In place of the one that `endpoint` names: for tests. */
  readonly exporter?: SpanExporter;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface Telemetry {
  readonly tracer: Tracer;
  /** Ends what is open, sends what is left within 2 s, and lets the rest go. */
  close(): Promise<void>;
}

/** Finished spans that may wait: about 4 MB. What comes above is dropped and said so in the log. */
const WAITING_SPANS_MAX = 4_096;
const BATCH_SPANS_MAX = 512;
const BATCH_PAUSE_MS = 2_000;
const EXPORT_TIMEOUT_MS = 5_000;
const CLOSE_TIMEOUT_MS = 2_000;
/** Open spans that are ended at close; a caller that leaks more loses only the mark that they were open. */
const OPEN_SPANS_MAX = 10_000;
/** A collector that is down is worth one line a minute. */
const COMPLAINT_PAUSE_MS = 60_000;

const ATTRIBUTES_MAX = 64;
const ATTRIBUTE_LENGTH_MAX = 2_048;

export function openTelemetry(options: TelemetryOptions): Telemetry {
  const exporter = options.exporter ?? (options.endpoint === undefined ? undefined : otlpExporter(options.endpoint));
  if (!exporter) return { tracer: noTracer, close: () => Promise.resolve() };

  // The SDK speaks through one logger per process. It repeats each failed export there, which `complaining` tells already.
  const { log } = options;
  diag.setLogger(
    {
      error: (message) => log.debug("OpenTelemetry reports an error", { detail: message }),
      warn: (message) => log.warn("OpenTelemetry warns", { detail: message }),
      info() {},
      debug() {},
      verbose() {},
    },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );

  const ids = new PresetIds();
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ "service.name": options.component, "service.instance.id": options.instanceId }),
    sampler: new AlwaysOnSampler(),
    idGenerator: ids,
    spanLimits: { attributeCountLimit: ATTRIBUTES_MAX, attributeValueLengthLimit: ATTRIBUTE_LENGTH_MAX },
    spanProcessors: [
      new BatchSpanProcessor(complaining(exporter, options), {
        maxQueueSize: WAITING_SPANS_MAX,
        maxExportBatchSize: BATCH_SPANS_MAX,
        scheduledDelayMillis: BATCH_PAUSE_MS,
        exportTimeoutMillis: EXPORT_TIMEOUT_MS,
      }),
    ],
  });
  const tracer = new SamplingTracer(provider.getTracer("weft"), ids, options);

  return {
    tracer,
    async close() {
      tracer.endAll();
      let cancel = (): void => {};
      const late = new Promise<"late">((resolve) => {
        cancel = options.clock.after(CLOSE_TIMEOUT_MS, () => {
          resolve("late");
        });
      });
      const closed = provider.shutdown().then(
        () => "closed" as const,
        (thrown: unknown) => ({ thrown }),
      );
      const outcome = await Promise.race([closed, late]);
      cancel();
      diag.disable();
      if (outcome === "late")
        options.log.warn("the last spans were not sent in time", { durationMs: CLOSE_TIMEOUT_MS });
      else if (outcome !== "closed") options.log.warn("the last spans were not sent", { error: outcome.thrown });
    },
  };
}

class SamplingTracer implements Tracer {
  readonly #open = new Set<RecordedSpan>();

  constructor(
    private readonly otel: OtelTracer,
    private readonly ids: PresetIds,
    private readonly options: Pick<TelemetryOptions, "ratio" | "random" | "clock">,
  ) {}

  start(name: string, parent: string, options: SpanOptions = {}): Span {
    const { random, ratio, clock } = this.options;
    const above = parseTraceparent(parent);
    if (above && !above.sampled) return new PassedSpan(parent);
    if (!above && random.next() >= ratio) {
      // The decision travels: what happens inside must not begin traces of its own.
      return new PassedSpan(formatTraceparent(newTrace(random, false)));
    }

    const own = above ? childOf(above, random) : newTrace(random, true);
    this.ids.next = own;
    const context = above
      ? trace.setSpanContext(ROOT_CONTEXT, {
          traceId: above.traceId,
          spanId: above.spanId,
          traceFlags: TraceFlags.SAMPLED,
          isRemote: true,
        })
      : ROOT_CONTEXT;
    const otel = this.otel.startSpan(
      name,
      {
        kind: KINDS[options.kind ?? "internal"],
        attributes: { ...options.attributes },
        startTime: hrTime(options.startWallMs ?? clock.wallMs()),
      },
      context,
    );
    const span = new RecordedSpan(otel, formatTraceparent(own), clock, (ended) => this.#open.delete(ended));
    if (this.#open.size < OPEN_SPANS_MAX) this.#open.add(span);
    return span;
  }

  /** Ends what nobody ended, marked as such. */
  endAll(): void {
    for (const span of this.#open) {
      span.set("weft.unfinished", true);
      span.end();
    }
  }
}

class RecordedSpan implements Span {
  readonly recording = true;
  #ended = false;

  constructor(
    private readonly otel: OtelSpan,
    readonly traceparent: string,
    private readonly clock: Clock,
    private readonly onEnd: (span: RecordedSpan) => void,
  ) {}

  set(name: string, value: string | number | boolean): void {
    if (!this.#ended) this.otel.setAttribute(name, value);
  }

  fail(error: unknown): void {
    if (this.#ended) return;
    const message = error instanceof Error ? error.message : String(error);
    this.otel.setStatus({ code: SpanStatusCode.ERROR, message });
    this.otel.setAttribute(
      "error.type",
      error instanceof WeftError ? error.reason : error instanceof Error ? error.name : "unknown",
    );
    if (error instanceof WeftError) this.otel.setAttribute("weft.kind", error.kind);
  }

  end(endWallMs?: number): void {
    if (this.#ended) return;
    this.#ended = true;
    this.otel.end(hrTime(endWallMs ?? this.clock.wallMs()));
    this.onEnd(this);
  }
}

const KINDS = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const satisfies Record<NonNullable<SpanOptions["kind"]>, SpanKind>;

/** Lets us choose the ids, so that ids come from the one source of chance and are known before the SDK is asked. */
class PresetIds {
  next: { readonly traceId: string; readonly spanId: string } = { traceId: "", spanId: "" };

  generateTraceId = (): string => this.next.traceId;
  generateSpanId = (): string => this.next.spanId;
}

/** Seconds and nanoseconds: a plain number below the process's start would be read as time since then. */
function hrTime(wallMs: number): [number, number] {
  const seconds = Math.floor(wallMs / 1_000);
  return [seconds, Math.round((wallMs - seconds * 1_000) * 1e6)];
}

function otlpExporter(endpoint: string): SpanExporter {
  let url: URL;
  try {
    url = new URL(endpoint);
  } catch (thrown) {
    throw new WeftError("invalidArgument", "BAD_OTLP_ENDPOINT", `${endpoint} is no URL of an OTLP collector`, {
      fields: [{ field: "otlpEndpoint", description: "is a URL such as http://collector:4318" }],
      fix: "give the collector's base URL, for example --otlp-endpoint http://127.0.0.1:4318",
      cause: thrown,
    });
  }
  if (url.pathname === "/") url.pathname = "/v1/traces";
  return new OTLPTraceExporter({ url: url.href, timeoutMillis: EXPORT_TIMEOUT_MS, concurrencyLimit: 4 });
}

/** The same exporter, which says in the log, now and then, how many spans it could not send. */
function complaining(inner: SpanExporter, { clock, log }: Pick<TelemetryOptions, "clock" | "log">): SpanExporter {
  let lostSpans = 0;
  let quietUntilMs = -Infinity;
  return {
    export(spans, done) {
      inner.export(spans, (result) => {
        if (result.error !== undefined || result.code !== 0) {
          lostSpans += spans.length;
          if (clock.monoMs() >= quietUntilMs) {
            quietUntilMs = clock.monoMs() + COMPLAINT_PAUSE_MS;
            log.warn("spans could not be exported", { spans: lostSpans, error: result.error });
            lostSpans = 0;
          }
        }
        done(result);
      });
    },
    forceFlush: () => inner.forceFlush?.() ?? Promise.resolve(),
    shutdown: () => inner.shutdown(),
  };
}
