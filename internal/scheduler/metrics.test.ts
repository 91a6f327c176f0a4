import { expect, it } from "vitest";

import { metricDifferences } from "../../test/harness/documented-metrics.js";
import { MetricsRegistry } from "../base/metrics.js";
import { schedulerMetrics } from "./metrics.js";

it("documents every metric of the scheduler", () => {
  const registry = new MetricsRegistry("scheduler");
  schedulerMetrics(registry);
  expect(metricDifferences(registry.describe(), "scheduler")).toEqual([]);
});
