import { expect, it } from "vitest";
import { parseExposition } from "../../test/harness/prometheus.js";
import { processMetrics } from "./process-metrics.js";

it("is in Prometheus' format also when nothing was measured since it was read last", async () => {
  // The event loop's delays are measured anew after each reading, and there is none yet when they follow at once.
  for (let i = 0; i < 5; i++) {
    const { types, samples } = parseExposition(await processMetrics());
    expect(types.get("nodejs_eventloop_lag_mean_seconds")).toBe("gauge");
    expect(samples.length).toBeGreaterThan(20);
  }
});
