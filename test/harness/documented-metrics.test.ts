import { describe, expect, it } from "vitest";

import { MetricsRegistry } from "../../internal/base/metrics.js";
import { documentedMetrics, metricDifferences } from "./documented-metrics.js";

const page = `
| metric | type | labels | question |
|---|---|---|---|
| \`weft_gateway_calls_total\` | counter | \`result\`, \`kind\` | How many calls? |
| \`weft_gateway_waiting_items\` | gauge |  | How deep? |
| \`weft_invoker_slots\` | gauge |  | How many slots? |
`;

function gateway(): MetricsRegistry<"gateway"> {
  const registry = new MetricsRegistry("gateway");
  registry.counter({
    name: "weft_gateway_calls_total",
    help: "How many calls?",
    labels: { result: ["ok"], kind: ["sync"] },
  });
  return registry;
}

describe("the table of metrics", () => {
  it("is read row by row", () => {
    expect(documentedMetrics(page)[0]).toEqual({
      name: "weft_gateway_calls_total",
      type: "counter",
      labels: ["result", "kind"],
      help: "How many calls?",
    });
    expect(documentedMetrics(page)).toHaveLength(3);
    expect(() => documentedMetrics("| `weft_x_y` | timer | | ? |")).toThrow('has the type "timer"');
  });

  it("agrees with a role that has exactly its rows, whatever other roles have", () => {
    const registry = gateway();
    registry.gauge({ name: "weft_gateway_waiting_items", help: "How deep?" });
    expect(metricDifferences(registry.describe(), "gateway", documentedMetrics(page))).toEqual([]);
  });

  it("names what is missing, what is too much and what differs", () => {
    const registry = gateway();
    registry.histogram({ name: "weft_gateway_call_seconds", help: "How long?", labels: { result: ["ok"] } });
    registry.gauge({ name: "weft_gateway_waiting_items", help: "How deep?", labels: { class: ["sync"] } });
    expect(metricDifferences(registry.describe(), "gateway", documentedMetrics(page))).toEqual([
      "docs/observability.md needs the row | `weft_gateway_call_seconds` | histogram | `result` | How long? |",
      "docs/observability.md needs the row | `weft_gateway_waiting_items` | gauge | `class` | How deep? |",
    ]);
    expect(metricDifferences(gateway().describe(), "gateway", documentedMetrics(page))).toEqual([
      "docs/observability.md lists weft_gateway_waiting_items, which gateway does not have",
    ]);
  });

  it("of the page itself can be read, with no metric twice", () => {
    const names = documentedMetrics().map((metric) => metric.name);
    expect(new Set(names).size).toBe(names.length);
  });
});
