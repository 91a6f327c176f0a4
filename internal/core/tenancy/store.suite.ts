// What every TenancyStore promises. Each implementation's test file calls it.

import { beforeEach, describe, expect, it } from "vitest";

import {
  KEYS_PER_NAMESPACE_MAX,
  LOCAL_NAMESPACE_LIMITS,
  type Key,
  type Namespace,
  type TenancyStore,
} from "./store.js";

export const aNamespace = (overrides: Partial<Namespace> = {}): Namespace => ({
  name: "guest",
  limits: LOCAL_NAMESPACE_LIMITS,
  createdWallMs: Date.UTC(2026, 0, 1),
  ...overrides,
});

export const aKey = (overrides: Partial<Key> = {}): Key => ({
  uuid: "23bc46b1-71f6-4ed5-8c54-816aa4f8c502",
  secretHash: Uint8Array.from({ length: 32 }, (_, i) => (i * 37) % 256),
  namespace: "guest",
  subject: "ada",
  operator: false,
  createdWallMs: Date.UTC(2026, 0, 1),
  ...overrides,
});

const uuidOf = (i: number): string => `00000000-0000-4000-8000-${String(i).padStart(12, "0")}`;

/** @param open an empty store, as two processes see it */
export function tenancyStoreSuite(
  name: string,
  open: () => Promise<{ readonly store: TenancyStore; readonly other: TenancyStore }>,
): void {
  describe(`${name} keeps the TenancyStore contract`, () => {
    let store: TenancyStore;
    let other: TenancyStore;
    beforeEach(async () => {
      ({ store, other } = await open());
    });

    describe("a namespace", () => {
      it("is created with its key, and both are read as they were written", async () => {
        const namespace = aNamespace({
          name: "a b@c.d&e-f_",
          limits: { invocationsPerMinute: 0, firesPerMinute: 1, concurrentInvocations: 2_000_000_000 },
        });
        const key = aKey({ namespace: namespace.name, operator: true, subject: "who & what" });
        await store.createNamespace(namespace, key);
        expect(await other.getNamespace(namespace.name)).toEqual(namespace);
        expect(await other.getKey(key.uuid)).toEqual(key);
        expect(await other.listKeys(namespace.name)).toEqual([key]);
      });

      it("is created by one of several that want it, and the others' keys are not kept", async () => {
        const keys = Array.from({ length: 6 }, (_, i) => aKey({ uuid: uuidOf(i) }));
        const results = await Promise.allSettled(
          keys.map((key, i) => (i % 2 ? store : other).createNamespace(aNamespace(), key)),
        );
        expect(results.filter((r) => r.status === "fulfilled")).toHaveLength(1);
        for (const result of results) {
          if (result.status === "rejected") expect(result.reason).toMatchObject({ kind: "alreadyExists" });
        }
        const [kept] = await store.listKeys("guest");
        expect(kept?.uuid).toBe(keys[results.findIndex((r) => r.status === "fulfilled")]?.uuid);
      });

      it("is not created when its key is taken", async () => {
        await store.createNamespace(aNamespace(), aKey());
        await expect(
          store.createNamespace(aNamespace({ name: "other" }), aKey({ namespace: "other" })),
        ).rejects.toMatchObject({ kind: "alreadyExists" });
        await expect(store.getNamespace("other")).rejects.toMatchObject({ kind: "notFound" });
      });

      it("is ensured once, also by several at once, and then left alone", async () => {
        await Promise.all([store, other, store].map((s) => s.ensureNamespace(aNamespace())));
        await store.ensureNamespace(aNamespace({ limits: { ...LOCAL_NAMESPACE_LIMITS, firesPerMinute: 1 } }));
        expect(await store.getNamespace("guest")).toEqual(aNamespace());
        expect(await store.listKeys("guest")).toEqual([]);
      });

      it("takes the limits that are given and keeps the others", async () => {
        await store.ensureNamespace(aNamespace());
        const limits = { ...LOCAL_NAMESPACE_LIMITS, firesPerMinute: 0 };
        expect(await store.updateLimits("guest", { firesPerMinute: 0 })).toEqual(aNamespace({ limits }));
        await Promise.all([
          store.updateLimits("guest", { invocationsPerMinute: 1 }),
          other.updateLimits("guest", { concurrentInvocations: 2 }),
        ]);
        expect((await store.getNamespace("guest")).limits).toEqual({
          invocationsPerMinute: 1,
          firesPerMinute: 0,
          concurrentInvocations: 2,
        });
        expect((await store.updateLimits("guest", {})).limits.invocationsPerMinute).toBe(1);
      });

      it("keeps what differs from the installation for its actions", async () => {
        const limits = {
          ...LOCAL_NAMESPACE_LIMITS,
          overrides: { allowedKinds: ["nodejs:20"], maxActionMemory: 1_024 },
        };
        await store.createNamespace(aNamespace({ limits }), aKey());
        expect(await other.getNamespace("guest")).toEqual(aNamespace({ limits }));
        const raised = { ...limits, overrides: { minActionLogs: 1 } };
        await store.updateLimits("guest", { overrides: { minActionLogs: 1 } });
        expect(await other.listNamespaces(1, undefined)).toEqual([aNamespace({ limits: raised })]);
        await store.updateLimits("guest", () => LOCAL_NAMESPACE_LIMITS);
        expect(await other.getNamespace("guest")).toEqual(aNamespace());
      });

      it("is changed from what is there, with nobody between, or not at all", async () => {
        await store.ensureNamespace(aNamespace({ limits: { ...LOCAL_NAMESPACE_LIMITS, firesPerMinute: 0 } }));
        await Promise.all(
          Array.from({ length: 10 }, (_, i) =>
            (i % 2 ? store : other).updateLimits("guest", (old) => ({
              ...old,
              firesPerMinute: old.firesPerMinute + 1,
            })),
          ),
        );
        const refuse = (): never => {
          throw new Error("no");
        };
        await expect(store.updateLimits("guest", refuse)).rejects.toThrow("no");
        expect((await store.getNamespace("guest")).limits.firesPerMinute).toBe(10);
      });

      it("goes with its keys, and its name can be had again", async () => {
        await store.createNamespace(aNamespace(), aKey());
        await other.deleteNamespace("guest");
        await expect(store.getKey(aKey().uuid)).rejects.toMatchObject({ kind: "notFound" });
        await expect(store.getNamespace("guest")).rejects.toMatchObject({ kind: "notFound" });
        await store.createNamespace(aNamespace(), aKey());
        expect(await store.listKeys("guest")).toHaveLength(1);
      });

      it("that does not exist is not found by anything", async () => {
        for (const attempt of [
          () => store.getNamespace("nobody"),
          () => store.updateLimits("nobody", { firesPerMinute: 1 }),
          () => store.deleteNamespace("nobody"),
          () => store.addKey(aKey({ namespace: "nobody" })),
          () => store.listKeys("nobody"),
          () => store.deleteKey("nobody", aKey().uuid, true),
        ]) {
          await expect(attempt()).rejects.toMatchObject({ kind: "notFound" });
        }
      });

      it("is listed by name, in pages", async () => {
        for (const each of ["b", "a", "B", "c", "_"]) await store.ensureNamespace(aNamespace({ name: each }));
        const names = async (limit: number, after?: string): Promise<string[]> =>
          (await store.listNamespaces(limit, after)).map((n) => n.name);
        expect(await names(10)).toEqual(["B", "_", "a", "b", "c"]);
        expect(await names(2)).toEqual(["B", "_"]);
        expect(await names(2, "_")).toEqual(["a", "b"]);
        expect(await names(2, "c")).toEqual([]);
      });
    });

    describe("a key", () => {
      it("is added, listed newest first, and deleted", async () => {
        await store.ensureNamespace(aNamespace());
        const keys = [0, 1, 2].map((i) => aKey({ uuid: uuidOf(i), createdWallMs: Date.UTC(2026, 0, 1 + i) }));
        for (const key of keys) await store.addKey(key);
        expect(await other.listKeys("guest")).toEqual([...keys].reverse());
        await store.deleteKey("guest", uuidOf(1), false);
        expect((await other.listKeys("guest")).map((k) => k.uuid)).toEqual([uuidOf(2), uuidOf(0)]);
        await expect(store.getKey(uuidOf(1))).rejects.toMatchObject({ kind: "notFound" });
      });

      it("that is taken cannot be added, and one that is unknown cannot be read, whatever it looks like", async () => {
        await store.createNamespace(aNamespace(), aKey());
        await expect(store.addKey(aKey({ subject: "eve" }))).rejects.toMatchObject({ kind: "alreadyExists" });
        for (const uuid of ["", "not a uuid", uuidOf(7), "'; drop table keys; --"]) {
          await expect(store.getKey(uuid)).rejects.toMatchObject({ kind: "notFound" });
        }
      });

      it("of another namespace cannot be deleted", async () => {
        await store.createNamespace(aNamespace(), aKey());
        await store.createNamespace(aNamespace({ name: "other" }), aKey({ namespace: "other", uuid: uuidOf(1) }));
        await expect(store.deleteKey("other", aKey().uuid, true)).rejects.toMatchObject({ kind: "notFound" });
        expect(await store.getKey(aKey().uuid)).toEqual(aKey());
      });

      it("that is the last one goes only when that is meant", async () => {
        await store.createNamespace(aNamespace(), aKey());
        await expect(store.deleteKey("guest", aKey().uuid, false)).rejects.toMatchObject({
          kind: "failedPrecondition",
        });
        expect(await store.getKey(aKey().uuid)).toEqual(aKey());
        await store.deleteKey("guest", aKey().uuid, true);
        expect(await store.listKeys("guest")).toEqual([]);
      });

      it("stays when the last two are deleted at the same moment", async () => {
        for (let round = 0; round < 10; round += 1) {
          const namespace = `ns${round}`;
          const [a, b] = [uuidOf(2 * round), uuidOf(2 * round + 1)];
          await store.createNamespace(aNamespace({ name: namespace }), aKey({ namespace, uuid: a }));
          await store.addKey(aKey({ namespace, uuid: b }));
          const results = await Promise.allSettled([
            store.deleteKey(namespace, a, false),
            other.deleteKey(namespace, b, false),
          ]);
          expect(results.map((r) => r.status).sort()).toEqual(["fulfilled", "rejected"]);
          expect(await store.listKeys(namespace)).toHaveLength(1);
        }
      });

      it("that has expired is not there any more, and does not count", async () => {
        await store.createNamespace(aNamespace(), aKey());
        const over = aKey({ uuid: uuidOf(1), expiresWallMs: Date.UTC(2020, 0, 1) });
        const later = aKey({ uuid: uuidOf(2), expiresWallMs: Date.UTC(2120, 0, 1) });
        for (const key of [over, later]) await store.addKey(key);
        await expect(store.getKey(over.uuid)).rejects.toMatchObject({ kind: "notFound" });
        expect(await other.getKey(later.uuid)).toEqual(later);
        expect((await other.listKeys("guest")).map(({ uuid }) => uuid).sort()).toEqual([uuidOf(2), aKey().uuid].sort());
        await store.deleteKey("guest", aKey().uuid, false);
        await expect(store.deleteKey("guest", later.uuid, false)).rejects.toMatchObject({ reason: "LAST_KEY" });
      });

      it("is replaced by another: at once, or it works until a time, never longer than before", async () => {
        await store.createNamespace(aNamespace(), aKey());
        const [soon, late] = [Date.UTC(2110, 0, 1), Date.UTC(2120, 0, 1)];
        const replaced = await store.replaceKey(aKey().uuid, aKey({ uuid: uuidOf(1) }), soon);
        expect(replaced).toEqual(aKey({ expiresWallMs: soon }));
        expect(await other.getKey(aKey().uuid)).toEqual(aKey({ expiresWallMs: soon }));
        expect((await store.replaceKey(aKey().uuid, aKey({ uuid: uuidOf(2) }), late)).expiresWallMs).toBe(soon);
        await store.replaceKey(aKey().uuid, aKey({ uuid: uuidOf(3) }), undefined);
        await expect(store.getKey(aKey().uuid)).rejects.toMatchObject({ kind: "notFound" });
        expect(await store.listKeys("guest")).toHaveLength(3);
      });

      it("that is not there, or of another namespace, is not replaced, and nothing is added for it", async () => {
        await store.createNamespace(aNamespace(), aKey());
        await store.ensureNamespace(aNamespace({ name: "other" }));
        for (const [uuid, namespace] of [
          [uuidOf(9), "guest"],
          [aKey().uuid, "other"],
        ] as const) {
          const next = aKey({ uuid: uuidOf(1), namespace });
          await expect(store.replaceKey(uuid, next, undefined)).rejects.toMatchObject({ kind: "notFound" });
          await expect(store.getKey(next.uuid)).rejects.toMatchObject({ kind: "notFound" });
        }
        expect(await store.getKey(aKey().uuid)).toEqual(aKey());
      });

      it("cannot be added beyond the limit, however many try at once", async () => {
        await store.ensureNamespace(aNamespace());
        const results = await Promise.allSettled(
          Array.from({ length: KEYS_PER_NAMESPACE_MAX + 10 }, (_, i) =>
            (i % 2 ? store : other).addKey(aKey({ uuid: uuidOf(i) })),
          ),
        );
        expect(results.filter((r) => r.status === "fulfilled")).toHaveLength(KEYS_PER_NAMESPACE_MAX);
        for (const result of results) {
          if (result.status === "rejected") expect(result.reason).toMatchObject({ kind: "throttled" });
        }
        expect(await store.listKeys("guest")).toHaveLength(KEYS_PER_NAMESPACE_MAX);
      });
    });

    describe("a subject", () => {
      const keyFor = (i: number, namespace: string, subject: string): Key =>
        aKey({ uuid: uuidOf(i), namespace, subject, createdWallMs: Date.UTC(2026, 0, 1 + i) });

      it("has a key for each of its namespaces, which are made when they are new", async () => {
        expect(await store.createSubject(aNamespace(), keyFor(1, "guest", "alice"))).toBe(true);
        expect(await store.createSubject(aNamespace({ name: "team" }), keyFor(2, "team", "alice"))).toBe(true);
        expect(await other.createSubject(aNamespace({ name: "team" }), keyFor(3, "team", "bobby"))).toBe(false);
        expect(await other.getSubject("alice")).toEqual({
          name: "alice",
          blockedWallMs: undefined,
          keys: [keyFor(1, "guest", "alice"), keyFor(2, "team", "alice")],
        });
      });

      it("gets one key for a namespace, however many ask for it at once", async () => {
        const results = await Promise.allSettled(
          Array.from({ length: 6 }, (_, i) =>
            (i % 2 ? store : other).createSubject(aNamespace(), keyFor(i, "guest", "alice")),
          ),
        );
        expect(results.filter((r) => r.status === "fulfilled")).toHaveLength(1);
        for (const result of results) {
          if (result.status === "rejected") expect(result.reason).toMatchObject({ reason: "SUBJECT_EXISTS" });
        }
        expect((await store.getSubject("alice")).keys).toHaveLength(1);
      });

      it("is not made with a key that is taken, and neither is its namespace", async () => {
        await store.createNamespace(aNamespace(), aKey());
        const key = aKey({ namespace: "team", subject: "alice" });
        await expect(store.createSubject(aNamespace({ name: "team" }), key)).rejects.toMatchObject({
          reason: "KEY_EXISTS",
        });
        await expect(store.getNamespace("team")).rejects.toMatchObject({ kind: "notFound" });
        await expect(store.getSubject("alice")).rejects.toMatchObject({ kind: "notFound" });
      });

      it("is listed by name, in pages, of all or of one namespace", async () => {
        for (const [i, [namespace, subject]] of [
          ["guest", "carol"],
          ["team", "alice"],
          ["guest", "alice"],
          ["team", "Bobby"],
        ].entries()) {
          await store.createSubject(aNamespace({ name: namespace ?? "" }), keyFor(i, namespace ?? "", subject ?? ""));
        }
        const names = async (limit: number, after?: string, namespace?: string): Promise<string[]> =>
          (await store.listSubjects(limit, after, namespace)).map(({ name: one }) => one);
        expect(await names(10)).toEqual(["Bobby", "alice", "carol"]);
        expect(await names(2)).toEqual(["Bobby", "alice"]);
        expect(await names(2, "alice")).toEqual(["carol"]);
        expect(await names(10, undefined, "guest")).toEqual(["alice", "carol"]);
        const [alice] = await store.listSubjects(1, undefined, "guest");
        expect(alice?.keys.map((key) => key.namespace)).toEqual(["guest"]);
      });

      it("is blocked and unblocked with all its keys, and nobody else is", async () => {
        await store.createSubject(aNamespace(), keyFor(1, "guest", "alice"));
        await store.createSubject(aNamespace({ name: "team" }), keyFor(2, "team", "alice"));
        await store.createSubject(aNamespace(), keyFor(3, "guest", "bobby"));
        const blocked = await store.setBlocked("alice", 1_000);
        expect(blocked).toMatchObject({ blockedWallMs: 1_000, keys: [{ blocked: true }, { blocked: true }] });
        expect((await store.setBlocked("alice", 2_000)).blockedWallMs).toBe(1_000);
        await store.addKey(keyFor(4, "guest", "alice"));
        for (const [i, isBlocked] of [
          [1, true],
          [2, true],
          [3, undefined],
          [4, true],
        ] as const) {
          expect((await other.getKey(uuidOf(i))).blocked).toBe(isBlocked);
        }
        expect((await other.setBlocked("alice", undefined)).blockedWallMs).toBeUndefined();
        expect((await store.getKey(uuidOf(1))).blocked).toBeUndefined();
      });

      it("loses its keys for one namespace or all, and comes back unblocked", async () => {
        for (const [i, namespace] of ["guest", "team", "lab"].entries()) {
          await store.createSubject(aNamespace({ name: namespace }), keyFor(i, namespace, "alice"));
        }
        await store.setBlocked("alice", 1_000);
        expect((await other.deleteSubject("alice", "team")).map((key) => key.namespace)).toEqual(["team"]);
        await expect(store.deleteSubject("alice", "team")).rejects.toMatchObject({ kind: "notFound" });
        expect((await store.getSubject("alice")).blockedWallMs).toBe(1_000);
        expect((await store.deleteSubject("alice", undefined)).map((key) => key.namespace).sort()).toEqual([
          "guest",
          "lab",
        ]);
        for (const attempt of [
          () => store.getSubject("alice"),
          () => store.setBlocked("alice", 1),
          () => store.deleteSubject("alice", undefined),
        ]) {
          await expect(attempt()).rejects.toMatchObject({ reason: "SUBJECT_NOT_FOUND" });
        }
        // Namespaces stay, and who comes back is not blocked.
        expect((await store.getNamespace("team")).name).toBe("team");
        await store.createSubject(aNamespace(), keyFor(7, "guest", "alice"));
        expect((await store.getSubject("alice")).blockedWallMs).toBeUndefined();
      });
    });
  });
}
