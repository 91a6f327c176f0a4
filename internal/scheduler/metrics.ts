import type { MetricsRegistry } from "../base/metrics.js";

/** Every metric of a scheduler, declared at start. */
export function schedulerMetrics(registry: MetricsRegistry<"scheduler">) {
  return {
    shards: registry.gauge({ name: "weft_scheduler_shards_owned", help: "How much of the action space is ours?" }),
    commanding: registry.gauge({
      name: "weft_scheduler_commanding_state",
      help: "May it command (1), or is its place among the members in doubt (0)?",
    }),
    dispatchers: registry.gauge({
      name: "weft_scheduler_dispatchers_linked",
      help: "How many dispatchers are linked?",
    }),
    invokers: registry.gauge({
      name: "weft_scheduler_invokers_known",
      help: "How many invokers are there, and can they be used?",
      labels: { state: ["usable", "suspect", "draining"] },
    }),
    slotsHeld: registry.gauge({
      name: "weft_scheduler_slots_held",
      help: "How many leases are granted and not returned?",
    }),
    waiters: registry.gauge({ name: "weft_scheduler_wishes_waiting", help: "How many dispatchers wait for slots?" }),
    oldestWait: registry.gauge({
      name: "weft_scheduler_oldest_wait_seconds",
      help: "How long has the oldest waiting item waited?",
    }),
    grants: registry.counter({ name: "weft_scheduler_grants_total", help: "How many leases were granted?" }),
    returns: registry.counter({
      name: "weft_scheduler_returns_total",
      help: "How many leases came back, and why?",
      labels: { reason: ["surplus", "contended", "drain", "void"] },
    }),
    stale: registry.counter({
      name: "weft_scheduler_stale_reports_total",
      help: "How many returns, claims and reports were overtaken by events?",
    }),
    contentions: registry.counter({
      name: "weft_scheduler_contentions_total",
      help: "How often were holders told that others wait?",
    }),
    revocations: registry.counter({
      name: "weft_scheduler_revocations_total",
      help: "How many leases were asked back for dispatchers that starve, or because they are stale?",
    }),
    rejects: registry.counter({
      name: "weft_scheduler_rejects_total",
      help: "How many wishes were refused, and why?",
      labels: { reason: ["noCapacity", "startFailed", "notOwner", "unknownKind"] },
    }),
    orders: registry.counter({
      name: "weft_scheduler_starts_total",
      help: "How many sandboxes were ordered, and what became of them?",
      labels: { result: ["ordered", "ready", "failed", "noRoom", "fenced", "draining", "lost"] },
    }),
    startSeconds: registry.histogram({
      name: "weft_scheduler_start_seconds",
      help: "How long from an order until its sandbox was ready?",
      labels: { kind: ["cold", "stem"] },
    }),
    starting: registry.gauge({
      name: "weft_scheduler_starts_pending",
      help: "How many ordered sandboxes are not ready?",
    }),
    destroys: registry.counter({
      name: "weft_scheduler_destroys_total",
      help: "How many sandboxes of old revisions were ordered to end?",
    }),
    quotaAccounts: registry.gauge({
      name: "weft_scheduler_quota_accounts",
      help: "Of how many limits of namespaces are shares handed out?",
    }),
    quotaItems: registry.counter({
      name: "weft_scheduler_quota_items_total",
      help: "What do gateways and controllers say about their shares of throttles?",
      labels: { item: ["hello", "held", "want", "returned", "taken"] },
    }),
    sessions: registry.counter({
      name: "weft_scheduler_sessions_ended_total",
      help: "How did sessions end?",
      labels: {
        peer: ["dispatcher", "invoker"],
        outcome: ["closed", "silent", "replaced", "protocolError", "stopped"],
      },
    }),
  };
}

export type SchedulerMetrics = ReturnType<typeof schedulerMetrics>;
