import { InMemorySpanExporter, type ReadableSpan } from "@opentelemetry/sdk-trace-node";

import type { Clock } from "../../internal/base/clock.js";
import { silentLog } from "../../internal/base/log.js";
import { seededRandom } from "../../internal/base/random.js";
import type { Tracer } from "../../internal/base/trace.js";
import { openTelemetry } from "../../internal/boot/telemetry.js";
import { ManualClock } from "./clock.js";

export interface RecordedTrace {
  readonly tracer: Tracer;
  /** Ends the tracer and gives every span that was recorded, in the order of their ends. */
  finish(): Promise<readonly ReadableSpan[]>;
}

/** The real tracer with an exporter that keeps spans in memory. */
export function recordTraces(
  options: { readonly ratio?: number; readonly clock?: Clock; readonly seed?: number } = {},
): RecordedTrace {
  // Shutting an in-memory exporter down empties it: what it was given is kept apart.
  const kept: ReadableSpan[] = [];
  const inner = new InMemorySpanExporter();
  const telemetry = openTelemetry({
    component: "weft-test",
    instanceId: "test",
    endpoint: undefined,
    ratio: options.ratio ?? 1,
    exporter: {
      export(spans, done) {
        kept.push(...spans);
        inner.export(spans, done);
      },
      shutdown: () => inner.shutdown(),
    },
    clock: options.clock ?? new ManualClock(),
    random: seededRandom(options.seed ?? 1),
    log: silentLog,
  });
  return {
    tracer: telemetry.tracer,
    async finish() {
      await telemetry.close();
      return kept;
    },
  };
}
