// What every ApiStore promises. Each implementation's test file calls it.

import { beforeEach, describe, expect, it } from "vitest";

import { eventually } from "../../../test/harness/eventually.js";
import type { EntityChange, EntityStore } from "../action/store.js";
import type { TenancyStore } from "../tenancy/store.js";
import { aNamespace } from "../tenancy/store.suite.js";
import { tenantIdOf } from "./keys.js";
import type { ApiStore } from "./store.js";
import { APIS_PER_NAMESPACE_MAX, KEYS_PER_API_MAX, type ApiDraft, type ApiKey } from "./types.js";

const anApi = (overrides: Partial<ApiDraft> = {}): ApiDraft => ({
  namespace: "guest",
  basePath: "/hello",
  name: "Hello",
  documentJson: '{"swagger":"2.0","basePath":"/hello","max":9223372036854775807}',
  ...overrides,
});

const aKey = (n: number, overrides: Partial<ApiKey> = {}): ApiKey => ({
  id: `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`,
  namespace: "guest",
  basePath: "/hello",
  secretHash: Uint8Array.from({ length: 32 }, (_, i) => (i * 37 + n) % 256),
  note: `caller ${n}`,
  createdWallMs: Date.UTC(2026, 0, 1) + n,
  ...overrides,
});

/** @param open an empty store, as two processes see it */
export function apiStoreSuite(
  name: string,
  open: () => Promise<{
    readonly store: ApiStore;
    readonly other: ApiStore;
    readonly tenancy: TenancyStore;
    readonly entities: EntityStore;
  }>,
): void {
  describe(`${name} keeps the ApiStore contract`, () => {
    let store: ApiStore;
    let other: ApiStore;
    let tenancy: TenancyStore;
    let entities: EntityStore;
    beforeEach(async () => {
      ({ store, other, tenancy, entities } = await open());
      await tenancy.ensureNamespace(aNamespace());
      await tenancy.ensureNamespace(aNamespace({ name: "other" }));
    });

    it("reads what was written, and counts writes", async () => {
      const made = await store.createApi(anApi());
      expect(made).toMatchObject({ ...anApi(), revision: 1 });
      expect(Math.abs(made.updatedWallMs - Date.now())).toBeLessThan(60_000);
      expect(await other.getApi("guest", "/hello")).toEqual(made);
      const changed = await other.updateApi(anApi({ name: "H", documentJson: "{}" }), 1);
      expect(changed).toMatchObject({ name: "H", documentJson: "{}", revision: 2 });
      expect(await store.getApi("guest", "/hello")).toEqual(changed);
    });

    it("makes one of several that are made at once", async () => {
      const results = await Promise.allSettled(
        Array.from({ length: 6 }, (_, i) => (i % 2 ? store : other).createApi(anApi({ name: `H${i}` }))),
      );
      expect(results.filter((r) => r.status === "fulfilled")).toHaveLength(1);
      for (const result of results) {
        if (result.status === "rejected") expect(result.reason).toMatchObject({ kind: "alreadyExists" });
      }
    });

    it("lets one of two writers win, and tells the other", async () => {
      await store.createApi(anApi());
      const results = await Promise.allSettled([
        store.updateApi(anApi({ name: "a" }), 1),
        other.updateApi(anApi({ name: "b" }), 1),
      ]);
      expect(results.filter((r) => r.status === "fulfilled")).toHaveLength(1);
      expect(results.find((r) => r.status === "rejected")).toMatchObject({
        reason: { kind: "conflict", reason: "STALE_ETAG" },
      });
      await expect(store.deleteApi("guest", "/hello", 1)).rejects.toMatchObject({ kind: "conflict" });
      await store.deleteApi("guest", "/hello", 2);
      await expect(other.getApi("guest", "/hello")).rejects.toMatchObject({
        kind: "notFound",
        message: "API '/hello' does not exist",
      });
    });

    it("says what is not there", async () => {
      await expect(store.createApi(anApi({ namespace: "nobody" }))).rejects.toMatchObject({ kind: "notFound" });
      await expect(store.updateApi(anApi(), 1)).rejects.toMatchObject({ kind: "notFound" });
      await expect(store.deleteApi("guest", "/hello", undefined)).rejects.toMatchObject({ kind: "notFound" });
      await expect(store.addApiKey(aKey(1))).rejects.toMatchObject({ kind: "notFound" });
      await expect(store.deleteApiKey("guest", "/hello", aKey(1).id)).rejects.toMatchObject({ kind: "notFound" });
      await expect(store.getTenant(tenantIdOf("guest"))).rejects.toMatchObject({ kind: "notFound" });
      expect(await store.listApiKeys("guest", "/hello")).toEqual([]);
    });

    it("finds by name, within a namespace", async () => {
      await store.createApi(anApi({ basePath: "/b" }));
      await store.createApi(anApi({ basePath: "/a" }));
      await store.createApi(anApi({ basePath: "/c", name: "hello" }));
      await store.createApi(anApi({ namespace: "other" }));
      expect((await other.findApis("guest", "Hello")).map((api) => api.basePath)).toEqual(["/a", "/b"]);
      expect(await other.findApis("guest", "HELLO")).toEqual([]);
    });

    it("lists by base path, page by page, and ends a page that is large", async () => {
      const paths = ["/Z", "/a", "/a/b", "/b", "/é"];
      for (const basePath of [...paths].reverse())
        await store.createApi(anApi({ basePath, documentJson: `"${basePath}"` }));
      await store.createApi(anApi({ namespace: "other" }));
      const page = async (query: object): Promise<readonly [readonly string[], boolean]> => {
        const { entries, more } = await other.listApis({
          namespace: "guest",
          limit: 200,
          bytesMax: 1_000,
          skip: 0,
          ...query,
        });
        return [entries.map((api) => api.basePath), more];
      };
      expect(await page({})).toEqual([paths, false]);
      expect(await page({ limit: 2 })).toEqual([["/Z", "/a"], true]);
      expect(await page({ limit: 3, after: "/a" })).toEqual([["/a/b", "/b", "/é"], false]);
      expect(await page({ skip: 4 })).toEqual([["/é"], false]);
      expect(await page({ bytesMax: 5 })).toEqual([["/Z", "/a"], true]);
      expect(await page({ bytesMax: 1 })).toEqual([["/Z"], true]);
    });

    it("tells the base paths of a tenant", async () => {
      await store.createApi(anApi({ basePath: "/b" }));
      await store.createApi(anApi({ basePath: "/" }));
      await store.createApi(anApi({ namespace: "other" }));
      expect(await other.getTenant(tenantIdOf("guest"))).toEqual({ namespace: "guest", basePaths: ["/", "/b"] });
    });

    it("bounds the APIs of a namespace, also for several writers", async () => {
      for (let n = 1; n < APIS_PER_NAMESPACE_MAX; n++) await store.createApi(anApi({ basePath: `/${n}` }));
      const results = await Promise.allSettled(
        [store, other, store].map((one, n) => one.createApi(anApi({ basePath: `/last-${n}` }))),
      );
      expect(results.filter((r) => r.status === "fulfilled")).toHaveLength(1);
      expect(results.find((r) => r.status === "rejected")).toMatchObject({
        reason: { kind: "throttled", reason: "TOO_MANY_APIS" },
      });
      await store.createApi(anApi({ namespace: "other" }));
    });

    it("keeps keys with their API, newest first, and at most so many", async () => {
      await store.createApi(anApi());
      await store.addApiKey(aKey(1));
      await other.addApiKey(aKey(2));
      expect(await store.listApiKeys("guest", "/hello")).toEqual([aKey(2), aKey(1)]);
      await store.deleteApiKey("guest", "/hello", aKey(1).id);
      expect(await other.listApiKeys("guest", "/hello")).toEqual([aKey(2)]);
      await store.createApi(anApi({ basePath: "/b" }));
      await expect(store.deleteApiKey("guest", "/b", aKey(2).id)).rejects.toMatchObject({ kind: "notFound" });
      for (let n = 3; n < KEYS_PER_API_MAX + 2; n++) await store.addApiKey(aKey(n));
      await expect(store.addApiKey(aKey(999))).rejects.toMatchObject({
        kind: "throttled",
        reason: "TOO_MANY_API_KEYS",
      });
      await store.deleteApi("guest", "/hello", undefined);
      await store.createApi(anApi());
      expect(await store.listApiKeys("guest", "/hello")).toEqual([]);
    });

    it("goes with its namespace", async () => {
      await store.createApi(anApi());
      await store.addApiKey(aKey(1));
      await tenancy.deleteNamespace("guest");
      await tenancy.ensureNamespace(aNamespace());
      await expect(store.getApi("guest", "/hello")).rejects.toMatchObject({ kind: "notFound" });
    });

    it("announces every change to every process, and none that failed", async () => {
      const seen: EntityChange[] = [];
      let resets = 0;
      const controller = new AbortController();
      const watching = entities.watch(
        { changed: (change) => seen.push(change), reset: () => (resets += 1) },
        controller.signal,
      );
      await eventually(() => resets > 0);
      await store.createApi(anApi());
      await expect(store.createApi(anApi())).rejects.toMatchObject({ kind: "alreadyExists" });
      await store.updateApi(anApi(), 1);
      await store.addApiKey(aKey(1));
      await store.deleteApiKey("guest", "/hello", aKey(1).id);
      await store.deleteApi("guest", "/hello", undefined);
      await eventually(() => seen.length >= 5);
      expect(seen).toEqual(Array.from({ length: 5 }, () => ({ namespace: "guest", name: "/hello", keyUuid: "" })));
      controller.abort();
      await watching;
    });
  });
}
