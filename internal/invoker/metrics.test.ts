import { expect, it } from "vitest";

import { metricDifferences } from "../../test/harness/documented-metrics.js";
import { MetricsRegistry } from "../base/metrics.js";
import { invokerMetrics } from "./metrics.js";

it("documents every metric of the invoker", () => {
  const registry = new MetricsRegistry("invoker");
  invokerMetrics(registry);
  expect(metricDifferences(registry.describe(), "invoker")).toEqual([]);
});
