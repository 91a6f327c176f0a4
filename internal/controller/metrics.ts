import { ERROR_KINDS } from "../base/errors.js";
import type { MetricsRegistry } from "../base/metrics.js";

/** How an rpc ended: ok, or the kind of its error. */
export const CALL_RESULTS = ["ok", ...ERROR_KINDS] as const;

export type ControllerMetrics = ReturnType<typeof controllerMetrics>;

export function controllerMetrics(registry: MetricsRegistry<"controller">) {
  return {
    calls: registry.counter({
      name: "weft_controller_calls_total",
      help: "How many rpcs ended how?",
      labels: { result: CALL_RESULTS },
    }),
    callSeconds: registry.histogram({ name: "weft_controller_call_seconds", help: "How long does an rpc take?" }),
    resolves: registry.counter({
      name: "weft_controller_resolves_total",
      help: "How often is an action resolved from memory?",
      labels: { from: ["memory", "store"] },
    }),
    builds: registry.counter({
      name: "weft_controller_builds_total",
      help: "How many builds ended how, or had been made before, and how much code was stored unchecked because nobody could look?",
      labels: { result: ["built", "failed", "unavailable", "cached", "unchecked"] },
    }),
    buildSeconds: registry.histogram({
      name: "weft_controller_build_seconds",
      help: "How long does a build take, until its artifact is stored?",
      buckets: [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128],
    }),
    watchers: registry.gauge({ name: "weft_controller_watchers", help: "How many caches are told of changes?" }),
    changes: registry.counter({ name: "weft_controller_changes_total", help: "How many changes were told of?" }),
    accepted: registry.counter({
      name: "weft_controller_accepted_requests_total",
      help: "How many durable requests were accepted?",
      labels: { from: ["invoke", "rule"] },
    }),
    throttled: registry.counter({
      name: "weft_controller_throttled_total",
      help: "How many durable requests and rules were refused by which limit of their namespace, or by one of the whole system?",
      labels: { limit: ["invocationsPerMinute", "concurrentInvocations", "system"] },
    }),
    compositesRunning: registry.gauge({
      name: "weft_controller_composites_running",
      help: "How many sequences and compositions run?",
    }),
    composites: registry.counter({
      name: "weft_controller_composites_total",
      help: "How many sequences and compositions ended how?",
      labels: {
        kind: ["sequence", "composition"],
        outcome: ["success", "applicationError", "developerError", "platformError"],
      },
    }),
    acceptSeconds: registry.histogram({
      name: "weft_controller_accept_seconds",
      help: "How long until a request is durable?",
    }),
    queueWaiting: registry.gauge({
      name: "weft_controller_queue_requests",
      help: "How many durable requests wait here?",
    }),
    queueBytes: registry.gauge({
      name: "weft_controller_queue_bytes",
      help: "How much memory do requests in hand take?",
    }),
    queueInFlight: registry.gauge({
      name: "weft_controller_queue_in_flight_requests",
      help: "How many are with the dispatcher?",
    }),
    queueUnsettled: registry.gauge({
      name: "weft_controller_queue_unsettled_requests",
      help: "How many ended, or may have, and miss their record?",
    }),
    queueHeadSeconds: registry.gauge({
      name: "weft_controller_queue_head_seconds",
      help: "How old is the oldest request in hand?",
    }),
    queueSeconds: registry.histogram({
      name: "weft_controller_queue_seconds",
      help: "How long from acceptance until a request is sent?",
    }),
    retries: registry.counter({
      name: "weft_controller_queue_retries_total",
      help: "How often did a request come back unstarted?",
    }),
    overflowed: registry.counter({
      name: "weft_controller_queue_overflows_total",
      help: "How many requests were left in the database for want of memory?",
    }),
    recovered: registry.counter({
      name: "weft_controller_recovered_requests_total",
      help: "How many requests were taken over?",
      labels: { attempt: ["none", "started"] },
    }),
    written: registry.counter({
      name: "weft_controller_written_records_total",
      help: "How many records were written here because no invoker could?",
      labels: { why: ["expired", "gone", "lost", "result", "refused"] },
    }),
    late: registry.counter({
      name: "weft_controller_late_events_total",
      help: "How many events about requests came too late to matter?",
    }),
    alarmFirings: registry.counter({
      name: "weft_controller_alarm_firings_total",
      help: "How many alarms were due, by what came of it?",
      labels: { result: ["fired", "noRule", "other", "disabled"] },
    }),
    alarmLag: registry.histogram({
      name: "weft_controller_alarm_lag_seconds",
      help: "How late are alarms fired?",
    }),
    alarmSkips: registry.counter({
      name: "weft_controller_alarm_skips_total",
      help: "How often were missed firings of an alarm left out?",
    }),
    alarmFailures: registry.counter({
      name: "weft_controller_alarm_failures_total",
      help: "How often could an alarm not be fired and was tried again?",
    }),
    recordLinks: registry.gauge({ name: "weft_controller_record_links", help: "How many invokers send records?" }),
    records: registry.counter({
      name: "weft_controller_records_total",
      help: "How many records were stored, by outcome?",
      labels: { outcome: ["success", "applicationError", "developerError", "platformError"] },
    }),
    recordBatch: registry.histogram({
      name: "weft_controller_record_batch_records",
      help: "How many records are stored at once?",
    }),
    recordSeconds: registry.histogram({
      name: "weft_controller_record_seconds",
      help: "How long does storing a batch take?",
    }),
    recordsWaiting: registry.gauge({
      name: "weft_controller_record_queue_records",
      help: "How many records wait to be stored?",
    }),
    recordHeadSeconds: registry.gauge({
      name: "weft_controller_record_queue_head_seconds",
      help: "How old is the oldest record that waits?",
    }),
    recordRetries: registry.counter({
      name: "weft_controller_record_retries_total",
      help: "How often did storing a batch fail and was tried again?",
    }),
    recordsReplaced: registry.counter({
      name: "weft_controller_replaced_records_total",
      help: "How many records could not be stored as they were?",
    }),
  };
}
