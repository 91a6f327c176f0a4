import type { MetricsRegistry } from "../base/metrics.js";

export const OUTCOMES = ["success", "applicationError", "developerError", "platformError"] as const;
export const START_KINDS = ["cold", "stem", "warm", "frozen"] as const;
export const NACK_REASONS = [
  "staleLease",
  "slotBusy",
  "badToken",
  "wrongRevision",
  "draining",
  "expired",
  "overCredit",
] as const;
export const END_REASONS = ["startFailed", "noRoom", "evicted", "died", "fenced", "draining"] as const;
export const REGISTRY_RESULTS = ["connected", "refused", "failed"] as const;
export const STATES = ["starting", "stem", "warm", "frozen"] as const;

export type NackName = (typeof NACK_REASONS)[number];
export type EndName = (typeof END_REASONS)[number];

/** What an invoker counts. Everything on the path of an activation is bound here, once. */
export function invokerMetrics(registry: MetricsRegistry<"invoker">) {
  const starts = registry.histogram({
    name: "weft_invoker_start_seconds",
    help: "How long did a call wait here until its code ran, by how its sandbox was? Init is part of it.",
    labels: { start: START_KINDS },
  });
  const inits = registry.histogram({
    name: "weft_invoker_init_seconds",
    help: "How long did loading the code take?",
    labels: { result: ["ok", "failed"] },
  });
  const runs = registry.histogram({
    name: "weft_invoker_run_seconds",
    help: "How many activations ended how, and how long did they run, init included?",
    labels: { outcome: OUTCOMES },
  });
  const timeouts = registry.counter({
    name: "weft_invoker_timeouts_total",
    help: "How many calls were ended by the action's time limit?",
    labels: { phase: ["init", "run"] },
  });
  const nacks = registry.counter({
    name: "weft_invoker_nacks_total",
    help: "How many calls were sent back before their code ran, and why?",
    labels: { reason: NACK_REASONS },
  });
  const creates = registry.histogram({
    name: "weft_invoker_sandbox_create_seconds",
    help: "How long did the driver take to make a sandbox?",
    labels: { result: ["ok", "failed"] },
  });
  const ends = registry.counter({
    name: "weft_invoker_sandbox_ends_total",
    help: "How many sandboxes ended or were refused, and why?",
    labels: { reason: END_REASONS },
  });
  const sandboxes = registry.gauge({
    name: "weft_invoker_sandboxes",
    help: "How many sandboxes are there?",
    labels: { state: STATES },
  });
  const memory = registry.gauge({
    name: "weft_invoker_memory_bytes",
    help: "How much memory do sandboxes have, take, and could give back?",
    labels: { use: ["total", "used", "evictable"] },
  });
  const code = registry.counter({
    name: "weft_invoker_code_total",
    help: "Where did the code of a new sandbox come from?",
    labels: { from: ["memory", "disk", "controller", "nowhere"] },
  });
  const drops = registry.counter({
    name: "weft_invoker_spool_drops_total",
    help: "What had to be dropped because records could not be handed over?",
    labels: { what: ["logs", "record"] },
  });
  const adoptions = registry.counter({
    name: "weft_invoker_adoptions_total",
    help: "How many sandboxes of the life before were taken over, and how many were not?",
    labels: { result: ["adopted", "lost"] },
  });
  return {
    adopted: adoptions.bound({ result: "adopted" }),
    notAdopted: adoptions.bound({ result: "lost" }),
    loadsSpared: registry.counter({
      name: "weft_invoker_loads_spared_total",
      help: "How many calls were told what an earlier load of their code said, because it failed again and again?",
    }),
    idlePrice: registry.gauge({
      name: "weft_invoker_idle_price",
      help: "What is memory for idle sandboxes worth? 1 at first, more while they take more than their share.",
    }),
    loadsPaused: registry.gauge({
      name: "weft_invoker_loads_paused",
      help: "How many action revisions are left alone for a while, because their code does not load?",
    }),
    startCold: starts.bound({ start: "cold" }),
    startStem: starts.bound({ start: "stem" }),
    startWarm: starts.bound({ start: "warm" }),
    startFrozen: starts.bound({ start: "frozen" }),
    initOk: inits.bound({ result: "ok" }),
    initFailed: inits.bound({ result: "failed" }),
    run: {
      success: runs.bound({ outcome: "success" }),
      applicationError: runs.bound({ outcome: "applicationError" }),
      developerError: runs.bound({ outcome: "developerError" }),
      platformError: runs.bound({ outcome: "platformError" }),
    },
    initTimeouts: timeouts.bound({ phase: "init" }),
    runTimeouts: timeouts.bound({ phase: "run" }),
    nacks,
    createOk: creates.bound({ result: "ok" }),
    createFailed: creates.bound({ result: "failed" }),
    ends,
    sandboxes,
    memoryTotal: memory.bound({ use: "total" }),
    memoryUsed: memory.bound({ use: "used" }),
    memoryEvictable: memory.bound({ use: "evictable" }),
    startQueue: registry.gauge({
      name: "weft_invoker_start_queue_items",
      help: "How many sandboxes wait to be made?",
    }),
    startQueueAge: registry.gauge({
      name: "weft_invoker_start_queue_age_seconds",
      help: "How long has the first of them waited?",
    }),
    builds: registry.counter({
      name: "weft_invoker_builds_total",
      help: "How many builds ended how?",
      labels: { result: ["built", "failed", "unavailable"] },
    }),
    buildSeconds: registry.histogram({
      name: "weft_invoker_build_seconds",
      help: "How long does a build take here, sandbox included?",
      buckets: [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128],
    }),
    registryConnections: registry.counter({
      name: "weft_invoker_registry_connections_total",
      help: "How many connections of builds to package registries were made, refused because the host is none, or failed?",
      labels: { result: REGISTRY_RESULTS },
    }),
    buildsRunning: registry.gauge({ name: "weft_invoker_builds_running", help: "How many builds run?" }),
    buildsWaiting: registry.gauge({
      name: "weft_invoker_builds_waiting",
      help: "How many builds wait for their turn?",
    }),
    calls: registry.gauge({
      name: "weft_invoker_calls",
      help: "How many calls are here, running or waiting for init?",
    }),
    workLinks: registry.gauge({ name: "weft_invoker_work_links", help: "How many dispatchers are connected?" }),
    fleetLinks: registry.gauge({ name: "weft_invoker_fleet_links", help: "How many schedulers answer?" }),
    fencedOrders: registry.counter({
      name: "weft_invoker_fenced_orders_total",
      help: "How many orders came from a scheduler that was replaced?",
    }),
    lateMessages: registry.counter({
      name: "weft_invoker_late_messages_total",
      help: "How many messages of sandboxes were about calls that are over?",
    }),
    codeMemory: code.bound({ from: "memory" }),
    codeDisk: code.bound({ from: "disk" }),
    codeController: code.bound({ from: "controller" }),
    codeNowhere: code.bound({ from: "nowhere" }),
    records: registry.counter({
      name: "weft_invoker_records_total",
      help: "How many records were handed over and acknowledged?",
    }),
    recordBatch: registry.histogram({
      name: "weft_invoker_record_batch_items",
      help: "How many records go in one batch?",
    }),
    spoolItems: registry.gauge({
      name: "weft_invoker_spool_items",
      help: "How many records wait to be acknowledged?",
    }),
    spoolBytes: registry.gauge({ name: "weft_invoker_spool_bytes", help: "How large are they?" }),
    spoolAge: registry.gauge({
      name: "weft_invoker_spool_age_seconds",
      help: "How long has the oldest of them waited?",
    }),
    droppedLogs: drops.bound({ what: "logs" }),
    droppedRecords: drops.bound({ what: "record" }),
  };
}

export type InvokerMetrics = ReturnType<typeof invokerMetrics>;
