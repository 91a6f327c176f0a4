import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ManualClock, settle } from "../../test/harness/clock.js";
import { WeftError } from "../base/errors.js";
import { MetricsRegistry } from "../base/metrics.js";
import { tenantIdOf } from "../core/api/keys.js";
import type { ResolvedApi } from "../gen/weft/link/v1/control.pb.js";
import { ApiCache } from "./api-cache.js";
import { GatewayMetrics } from "./metrics.js";

const TENANT = tenantIdOf("ns");

function resolved(basePath: string, basePaths: readonly string[], title = basePath): ResolvedApi {
  const operation = { operationId: "o", "x-openwhisk": { url: `/api/v1/web/ns/default/${title.slice(1)}.http` } };
  const document = { basePath, info: {}, paths: { "/p": { get: operation } } };
  return {
    namespace: "ns",
    basePath,
    basePaths: [...basePaths],
    documentJson: Buffer.from(basePath === "" ? "" : JSON.stringify(document)),
    keys: [{ id: "k1", secretHash: createHash("sha256").update("secret").digest() }],
  };
}

interface World {
  readonly cache: ApiCache;
  readonly clock: ManualClock;
  readonly asked: string[];
  readonly metrics: GatewayMetrics;
  answer: (path: string) => Promise<ResolvedApi>;
}

function world(): World {
  const clock = new ManualClock();
  const metrics = new GatewayMetrics(new MetricsRegistry("gateway"), []);
  const asked: string[] = [];
  const w: World = {
    clock,
    metrics,
    asked,
    answer: (_path: string): Promise<ResolvedApi> => Promise.resolve(resolved("/a", ["/a"])),
    cache: new ApiCache({
      controller: {
        resolveApi: ({ path }) => {
          asked.push(path);
          return w.answer(path);
        },
      },
      clock,
      metrics,
    }),
  };
  return w;
}

const notFound = (): Promise<never> => Promise.reject(new WeftError("notFound", "TENANT_NOT_FOUND", "none"));

describe("the cache of APIs", () => {
  it("asks once, also for all that wait, and serves whatever path below", async () => {
    const w = world();
    const [one] = await Promise.all([w.cache.find(TENANT, "/a/p"), w.cache.find(TENANT, "/a/p")]);
    expect(one).toMatchObject({ namespace: "ns", rest: "/p", routes: { basePath: "/a" } });
    expect((await w.cache.find(TENANT, "/a/x%20y/"))?.rest).toBe("/x%20y/");
    expect((await w.cache.find(TENANT, "/a"))?.rest).toBe("");
    expect((await w.cache.find(TENANT, "/a/"))?.rest).toBe("/");
    expect(w.asked).toEqual(["/a/p"]);
    expect([w.metrics.apiHits.value, w.metrics.apiMisses.value, w.cache.size]).toEqual([3, 1, 1]);
    expect([one?.keyOf("secret"), one?.keyOf("Secret")]).toEqual(["k1", undefined]);
  });

  it("P3: serves no shorter base path while a longer one is not known", async () => {
    const w = world();
    w.answer = (path) => Promise.resolve(resolved(path.startsWith("/a/b") ? "/a/b" : "/a", ["/a", "/a/b"]));
    expect((await w.cache.find(TENANT, "/a/p"))?.routes.basePath).toBe("/a");
    expect((await w.cache.find(TENANT, "/a/b/p"))?.routes.basePath).toBe("/a/b");
    expect((await w.cache.find(TENANT, "/a/b/p"))?.routes.basePath).toBe("/a/b");
    expect(w.asked).toEqual(["/a/p", "/a/b/p"]);
    expect(await w.cache.find(TENANT, "/c")).toBeUndefined();
    expect(w.asked).toHaveLength(2);
  });

  it("P2: a tenant without APIs is not asked for again at once, unless a change of his is told", async () => {
    const w = world();
    w.answer = notFound;
    expect(await w.cache.find(TENANT, "/a")).toBeUndefined();
    expect(await w.cache.find(TENANT, "/b")).toBeUndefined();
    expect(w.asked).toHaveLength(1);
    w.clock.advance(501);
    expect(await w.cache.find(TENANT, "/a")).toBeUndefined();
    expect(w.asked).toHaveLength(2);
    w.answer = () => Promise.resolve(resolved("/a", ["/a"]));
    w.cache.changed({ namespace: "ns", name: "/a", keyUuid: "" });
    expect(await w.cache.find(TENANT, "/a")).toBeDefined();
  });

  it("P1: does not keep what was asked before a change was told", async () => {
    const w = world();
    const waiting: ((answer: ResolvedApi) => void)[] = [];
    w.answer = () => new Promise((resolve) => waiting.push(resolve));
    const early = w.cache.find(TENANT, "/a/p");
    await settle();
    w.cache.changed({ namespace: "ns", name: "/a", keyUuid: "" });
    const late = w.cache.find(TENANT, "/a/p");
    await settle();
    expect(w.asked).toHaveLength(2);
    waiting[0]?.(resolved("/a", ["/a"], "/old"));
    expect((await early)?.routes.paths[0]?.operations.get("GET")?.backend.action).toBe("old");
    waiting[1]?.(resolved("/a", ["/a"], "/new"));
    await late;
    expect((await w.cache.find(TENANT, "/a/p"))?.routes.paths[0]?.operations.get("GET")?.backend.action).toBe("new");
  });

  it("forgets with what concerns it, and with nothing else", async () => {
    const w = world();
    await w.cache.find(TENANT, "/a/p");
    for (const change of [
      { namespace: "ns", name: "action", keyUuid: "" },
      { namespace: "ns", name: "", keyUuid: "a-key" },
      { namespace: "other", name: "/a", keyUuid: "" },
    ]) {
      w.cache.changed(change);
      expect(w.cache.size).toBe(1);
    }
    w.cache.changed({ namespace: "ns", name: "", keyUuid: "" });
    expect(w.cache.size).toBe(0);
    await w.cache.find(TENANT, "/a/p");
    w.cache.clear();
    expect(w.cache.size).toBe(0);
  });

  it("keeps so much and no more", async () => {
    const w = world();
    const large = { ...resolved("/a", ["/a"]), namespace: "x" };
    const document = JSON.parse(Buffer.from(large.documentJson).toString()) as object;
    const documentJson = Buffer.from(JSON.stringify({ ...document, "x-large": "x".repeat(1_000_000) }));
    w.answer = () => Promise.resolve({ ...large, documentJson });
    for (let n = 0; n < 100; n++) await w.cache.find(tenantIdOf(`ns-${n}`), "/a/p");
    expect(w.cache.size).toBeLessThan(70);
    expect(await w.cache.find(tenantIdOf("ns-99"), "/a/p")).toBeDefined();
    expect(w.asked).toHaveLength(100);
  });

  it("asks nobody about what is no tenant or no path, and says when nobody answers", async () => {
    const w = world();
    for (const [tenant, path] of [
      ["v1", "/a"],
      ["guest", "/a"],
      [TENANT, "/a/../b"],
      [TENANT, "//a"],
    ] as const) {
      expect(await w.cache.find(tenant, path)).toBeUndefined();
    }
    expect(w.asked).toEqual([]);
    w.answer = () => Promise.reject(new WeftError("unavailable", "NO_CONTROLLER", "none"));
    await expect(w.cache.find(TENANT, "/a")).rejects.toMatchObject({ kind: "unavailable" });
  });
});
