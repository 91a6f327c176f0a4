import { describe, expect, it } from "vitest";
import { metricDifferences } from "../../test/harness/documented-metrics.js";
import { MetricsRegistry } from "../base/metrics.js";
import { GatewayMetrics } from "./metrics.js";
import { SERVED_RPCS } from "./public-rpcs.js";
import { RestMetrics } from "./rest/metrics.js";

describe("the metrics of a gateway", () => {
  it("are those that docs/observability.md lists", () => {
    const registry = new MetricsRegistry("gateway");
    new GatewayMetrics(registry, SERVED_RPCS);
    new RestMetrics(registry);
    expect(metricDifferences(registry.describe(), "gateway")).toEqual([]);
  });

  it("count a call under its rpc and how it ended, and unknown rpcs together", async () => {
    const registry = new MetricsRegistry("gateway");
    const metrics = new GatewayMetrics(registry, SERVED_RPCS);
    metrics.request("/weft.invoke.v1.InvokeService/Invoke", undefined, 0.002);
    metrics.request("/weft.invoke.v1.InvokeService/Invoke", "throttled", 0.001);
    metrics.request("/no.Such/Rpc", "notFound", 0.001);
    const text = await registry.render();
    expect(text).toContain('weft_gateway_requests_total{rpc="weft.invoke.v1.InvokeService/Invoke",kind="ok"} 1');
    expect(text).toContain('weft_gateway_requests_total{rpc="weft.invoke.v1.InvokeService/Invoke",kind="throttled"} 1');
    expect(text).toContain('weft_gateway_requests_total{rpc="other",kind="notFound"} 1');
  });
});
