import { expect, it } from "vitest";

import { metricDifferences } from "../../test/harness/documented-metrics.js";
import { MetricsRegistry } from "../base/metrics.js";
import { controllerMetrics } from "./metrics.js";

it("has the metrics that docs/observability.md lists", () => {
  const registry = new MetricsRegistry("controller");
  controllerMetrics(registry);
  expect(metricDifferences(registry.describe(), "controller")).toEqual([]);
});
