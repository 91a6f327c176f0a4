import { describe, expect, it } from "vitest";

import { Metrics, MetricsRegistry, capped } from "./metrics.js";

describe("a role's metrics", () => {
  it("render as Prometheus text", async () => {
    const registry = new MetricsRegistry("scheduler");
    const placements = registry.counter({
      name: "weft_scheduler_placements_total",
      help: "How many placements were decided?",
      labels: { result: ["placed", "noCapacity"] },
    });
    const waiting = registry.gauge({ name: "weft_scheduler_waiting_items", help: "How deep is the queue?" });
    placements.bound({ result: "placed" }).inc();
    placements.bound({ result: "placed" }).inc(2);
    waiting.set(7);
    waiting.dec(2);
    expect(await registry.render()).toBe(`# HELP weft_scheduler_placements_total How many placements were decided?
# TYPE weft_scheduler_placements_total counter
weft_scheduler_placements_total{result="placed"} 3
weft_scheduler_placements_total{result="noCapacity"} 0

# HELP weft_scheduler_waiting_items How deep is the queue?
# TYPE weft_scheduler_waiting_items gauge
weft_scheduler_waiting_items 5
`);
  });

  it("counts observations in cumulative buckets, a bound belonging to its bucket", async () => {
    const registry = new MetricsRegistry("invoker");
    const start = registry.histogram({
      name: "weft_invoker_start_seconds",
      help: "How long does a start take?",
      labels: { start: ["cold", "warm"] },
      buckets: [0.1, 1],
    });
    const cold = start.bound({ start: "cold" });
    for (const seconds of [0.1, 0.11, 1, 5, -3, Number.NaN]) cold.observe(seconds);
    cold.observeMs(50);
    const text = await registry.render();
    expect(text).toContain('weft_invoker_start_seconds_bucket{start="cold",le="0.1"} 4\n');
    expect(text).toContain('weft_invoker_start_seconds_bucket{start="cold",le="1"} 6\n');
    expect(text).toContain('weft_invoker_start_seconds_bucket{start="cold",le="+Inf"} 7\n');
    expect(text).toContain('weft_invoker_start_seconds_count{start="cold"} 7\n');
    expect(text).toMatch(/weft_invoker_start_seconds_sum\{start="cold"\} 6\.26/);
    expect(text).not.toContain('start="warm"');
  });

  it("puts every value into the first bucket that holds it", () => {
    const registry = new MetricsRegistry("r");
    const histogram = registry.histogram({ name: "weft_r_x_seconds", help: "?" });
    const { bounds } = histogram;
    for (const value of [0, ...bounds, ...bounds.map((b) => b * 1.01), 1_000]) {
      const expected = bounds.findIndex((bound) => value <= bound);
      const before = [...histogram.counts];
      histogram.observe(value);
      const changed = histogram.counts.findIndex((n, i) => n !== before[i]);
      expect(changed).toBe(expected === -1 ? bounds.length : expected);
    }
  });

  it("asks for a pulled gauge at each scrape", async () => {
    const registry = new MetricsRegistry("gateway");
    const queue: number[] = [];
    registry.gauge({ name: "weft_gateway_waiting_items", help: "?" }).from(() => queue.length);
    expect(await registry.render()).toContain("weft_gateway_waiting_items 0\n");
    queue.push(1, 2);
    expect(await registry.render()).toContain("weft_gateway_waiting_items 2\n");
  });

  it("gives the same series for the same labels whatever their order", () => {
    const family = new MetricsRegistry("r").counter({
      name: "weft_r_x_total",
      help: "?",
      labels: { a: ["1", "2"], b: ["3"] },
    });
    expect(family.bound({ a: "1", b: "3" })).toBe(family.bound({ b: "3", a: "1" }));
    expect(family.bound({ a: "1", b: "3" })).not.toBe(family.bound({ a: "2", b: "3" }));
  });

  it("caps a label whose values are not known before", async () => {
    const registry = new MetricsRegistry("gateway");
    const calls = registry.counter({ name: "weft_gateway_calls_total", help: "?", labels: { action: capped(2) } });
    for (const action of ["a", "b", "c", "d", "a"]) calls.bound({ action }).inc();
    const text = await registry.render();
    expect(text).toContain('{action="a"} 2\n');
    expect(text).toContain('{action="other"} 2\n');
    expect(text).not.toContain('"c"');
  });

  it("refuses names and labels that break the rules", () => {
    const registry = new MetricsRegistry<string>("scheduler");
    const help = "?";
    const named = (name: string) => () => registry.gauge({ name: name as "weft_scheduler_x", help });
    expect(named("weft_gateway_x_items")).toThrow("weft_scheduler_<noun>_<unit>");
    expect(named("weft_scheduler_Queue_items")).toThrow("weft_scheduler_<noun>_<unit>");
    expect(named("weft_scheduler_queue_ms")).toThrow("in seconds");
    expect(named("weft_scheduler_queue_total")).toThrow("only a counter");
    expect(() => registry.counter({ name: "weft_scheduler_queue" as "weft_scheduler_x_total", help })).toThrow(
      "ends with _total",
    );
    named("weft_scheduler_queue_items")();
    expect(named("weft_scheduler_queue_items")).toThrow("declared twice");
    const family = registry.counter({ name: "weft_scheduler_x_total", help, labels: { result: ["ok"] } });
    expect(() => family.bound({ result: "bad" as "ok" })).toThrow("one of ok");
    expect(() => family.bound({} as { result: "ok" })).toThrow("needs a value");
    expect(() => family.bound({ result: "ok" }).inc(-1)).toThrow("a counter grows");
    expect(() => registry.histogram({ name: "weft_scheduler_y_seconds", help, buckets: [2, 1] })).toThrow(
      "buckets rise",
    );
  });
});

describe("the metrics of a process", () => {
  it("render the registries of all roles together with what the process says of itself", async () => {
    const metrics = new Metrics(() => Promise.resolve("process_up 1\n"));
    metrics.registry("gateway").counter({ name: "weft_gateway_calls_total", help: "?" }).inc();
    metrics.registry("invoker").gauge({ name: "weft_invoker_slots", help: "?" }).set(4);
    expect(metrics.registry("gateway")).toBe(metrics.registry("gateway"));
    const text = await metrics.render();
    expect(text).toContain("weft_gateway_calls_total 1\n");
    expect(text).toContain("weft_invoker_slots 4\n");
    expect(text).toContain("process_up 1\n");
    expect(metrics.describe().map((d) => d.name)).toEqual(["weft_gateway_calls_total", "weft_invoker_slots"]);
  });
});
