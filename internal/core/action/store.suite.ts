// What every EntityStore promises. Each implementation's test file calls it.

import { createHash } from "node:crypto";
import { beforeEach, describe, expect, it } from "vitest";

import { eventually } from "../../../test/harness/eventually.js";
import type { TenancyStore } from "../tenancy/store.js";
import { aKey, aNamespace } from "../tenancy/store.suite.js";
import type { Draft, EntityChange, EntityStore, ListQuery, Revision } from "./store.js";
import type { Action, KeyValue, Package, Rule, Trigger } from "./types.js";

const annotations: readonly KeyValue[] = [
  { key: "description", valueJson: '"says \\"hello\\" \\u0000 é 😀"', init: false },
  { key: "big", valueJson: "12345678901234567890.10", init: false },
];

const stored = { namespace: "guest", version: "0.0.1", publish: false, annotations };

const codeOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const digestOf = (code: Uint8Array): string => createHash("sha256").update(code).digest("hex");
const HELLO = codeOf("function main() { return { msg: 'hello' } }");

let revisions = 0;
const aRevisionId = (): string => `revision-${(revisions += 1)}`;

export function anAction(overrides: Partial<Draft<Action>> = {}, code: Uint8Array = HELLO): Draft<Action> {
  return {
    ...stored,
    name: "hello",
    exec: { kind: "nodejs:20", main: undefined, binary: false, codeDigest: digestOf(code), codeSize: code.length },
    parameters: [{ key: "name", valueJson: ' {"a" :1.00}', init: false }],
    limits: { timeoutMs: 60_000, memoryMb: 256, logsMb: 10, concurrency: 1 },
    revisionId: aRevisionId(),
    ...overrides,
  };
}

/** What an invoker loads for an action. */
export function revisionFor(action: Draft<Action>, initParameters: readonly KeyValue[] = []): Revision {
  const { revisionId, version, exec, limits } = action;
  return { revisionId, actionKey: `${action.namespace}/${action.name}`, version, exec, limits, initParameters };
}

export const aPackage = (overrides: Partial<Draft<Package>> = {}): Draft<Package> => ({
  ...stored,
  name: "tools",
  parameters: [{ key: "SECRET", valueJson: '"s"', init: true }],
  binding: undefined,
  ...overrides,
});

export const aTrigger = (overrides: Partial<Draft<Trigger>> = {}): Draft<Trigger> => ({
  ...stored,
  name: "greeted",
  parameters: [],
  ...overrides,
});

export const aRule = (overrides: Partial<Draft<Rule>> = {}): Draft<Rule> => ({
  ...stored,
  name: "r",
  trigger: "guest/greeted",
  action: "guest/hello",
  active: true,
  ...overrides,
});

export interface EntityWorld {
  readonly store: EntityStore;
  /** The same store from another process. */
  readonly other: EntityStore;
  readonly tenancy: TenancyStore;
}

const page = (overrides: Partial<ListQuery> = {}): ListQuery => ({
  namespace: "guest",
  limit: 200,
  bytesMax: Number.MAX_SAFE_INTEGER,
  skip: 0,
  ...overrides,
});

/** @param open a store without namespaces and entities */
export function entityStoreSuite(name: string, open: () => Promise<EntityWorld>): void {
  describe(`${name} keeps the EntityStore contract`, () => {
    let store: EntityStore;
    let other: EntityStore;
    let tenancy: TenancyStore;
    beforeEach(async () => {
      ({ store, other, tenancy } = await open());
      await tenancy.ensureNamespace(aNamespace());
      await tenancy.ensureNamespace(aNamespace({ name: "other" }));
    });

    const createAction = (draft = anAction(), code = HELLO): Promise<Action> =>
      store.createAction(draft, code, revisionFor(draft));
    const updateAction = (
      by: EntityStore,
      draft: Draft<Action>,
      expected: number,
      code?: Uint8Array,
    ): Promise<Action> => by.updateAction(draft, expected, code, revisionFor(draft));

    /** How a kind is written, in the least way. */
    const kinds = {
      action: {
        create: (by: EntityStore, over = {}) => {
          const draft = anAction({ name: "x", ...over });
          return by.createAction(draft, HELLO, revisionFor(draft));
        },
        get: (by: EntityStore, n: string) => by.getAction("guest", n),
        list: (by: EntityStore, query: ListQuery) => by.listActions(query),
        count: (by: EntityStore, ns: string) => by.countActions(ns, undefined),
        update: (by: EntityStore, n: string, revision: number, version = "0.0.2") => {
          const draft = anAction({ name: n, version });
          return by.updateAction(draft, revision, undefined, revisionFor(draft));
        },
        delete: (by: EntityStore, n: string, revision?: number) => by.deleteAction("guest", n, revision),
      },
      package: {
        create: (by: EntityStore, over = {}) => by.createPackage(aPackage({ name: "x", ...over })),
        get: (by: EntityStore, n: string) => by.getPackage("guest", n),
        list: (by: EntityStore, query: ListQuery) => by.listPackages(query),
        count: (by: EntityStore, ns: string) => by.countPackages(ns),
        update: (by: EntityStore, n: string, revision: number, version = "0.0.2") =>
          by.updatePackage(aPackage({ name: n, version }), revision, []),
        delete: (by: EntityStore, n: string, revision?: number) => by.deletePackage("guest", n, revision, false),
      },
      trigger: {
        create: (by: EntityStore, over = {}) => by.createTrigger(aTrigger({ name: "x", ...over })),
        get: (by: EntityStore, n: string) => by.getTrigger("guest", n),
        list: (by: EntityStore, query: ListQuery) => by.listTriggers(query),
        count: (by: EntityStore, ns: string) => by.countTriggers(ns),
        update: (by: EntityStore, n: string, revision: number, version = "0.0.2") =>
          by.updateTrigger(aTrigger({ name: n, version }), revision),
        delete: (by: EntityStore, n: string, revision?: number) => by.deleteTrigger("guest", n, revision),
      },
      rule: {
        create: (by: EntityStore, over = {}) =>
          by.createRule(aRule({ name: "x", trigger: "other/t", action: "other/a", ...over })),
        get: (by: EntityStore, n: string) => by.getRule("guest", n),
        list: (by: EntityStore, query: ListQuery) => by.listRules(query),
        count: (by: EntityStore, ns: string) => by.countRules(ns),
        update: (by: EntityStore, n: string, revision: number, version = "0.0.2") =>
          by.updateRule(aRule({ name: n, version, trigger: "other/t", action: "other/a" }), revision),
        delete: (by: EntityStore, n: string, revision?: number) => by.deleteRule("guest", n, revision),
      },
    } as const;
    type Kind = keyof typeof kinds;
    const kindNames = Object.keys(kinds) as Kind[];

    describe.each(kindNames)("a stored %s", (kind) => {
      const verbs = kinds[kind];
      beforeEach(async () => {
        await store.createTrigger(aTrigger({ namespace: "other", name: "t" }));
        await createAction(anAction({ namespace: "other", name: "a" }));
      });

      it("is read as it was written, with its first revision and the time", async () => {
        const before = Date.now();
        const created = await verbs.create(store);
        expect(created).toMatchObject({ ...stored, name: "x", revision: 1 });
        expect(Math.abs(created.updatedWallMs - before)).toBeLessThan(60_000);
        expect(await verbs.get(other, "x")).toEqual(created);
        expect(await verbs.list(other, page())).toEqual({ entries: [created], more: false });
        expect(await verbs.count(other, "guest")).toBe(1);
      });

      it("is created by one of several that want the name", async () => {
        const results = await Promise.allSettled([0, 1, 2, 3].map((i) => verbs.create(i % 2 ? store : other)));
        expect(results.filter((r) => r.status === "fulfilled")).toHaveLength(1);
        for (const result of results) {
          if (result.status === "rejected") expect(result.reason).toMatchObject({ kind: "alreadyExists" });
        }
        expect(await verbs.count(store, "guest")).toBe(1);
      });

      it("needs its namespace", async () => {
        await expect(verbs.create(store, { namespace: "nowhere" })).rejects.toMatchObject({ kind: "notFound" });
      });

      it.each(kindNames.filter((k) => k !== kind))("does not share its name with a %s", async (taker) => {
        await kinds[taker].create(store);
        const wrong = { kind: "failedPrecondition", reason: "WRONG_COLLECTION" };
        await expect(verbs.create(store)).rejects.toMatchObject(wrong);
        await expect(verbs.get(store, "x")).rejects.toMatchObject(wrong);
        await expect(verbs.update(store, "x", 1)).rejects.toMatchObject(wrong);
        await expect(verbs.delete(store, "x")).rejects.toMatchObject(wrong);
        expect(await verbs.list(store, page())).toEqual({ entries: [], more: false });
        expect(await kinds[taker].get(store, "x")).toMatchObject({ revision: 1 });
      });

      it("is updated by one of two who read the same revision", async () => {
        await verbs.create(store);
        for (let revision = 1; revision <= 10; revision += 1) {
          const results = await Promise.allSettled([
            verbs.update(store, "x", revision, `0.${revision}.1`),
            verbs.update(other, "x", revision, `0.${revision}.2`),
          ]);
          expect(results.map((r) => r.status).sort()).toEqual(["fulfilled", "rejected"]);
          const lost = results.find((r) => r.status === "rejected");
          expect(lost?.reason).toMatchObject({ kind: "conflict" });
          const won = results.find((r) => r.status === "fulfilled");
          expect(await verbs.get(store, "x")).toEqual(won?.value);
          expect(won?.value.revision).toBe(revision + 1);
        }
      });

      it("is not updated or deleted from an old revision, and not found once it is gone", async () => {
        await verbs.create(store);
        await verbs.update(store, "x", 1);
        await expect(verbs.update(store, "x", 1)).rejects.toMatchObject({ kind: "conflict" });
        await expect(verbs.delete(store, "x", 1)).rejects.toMatchObject({ kind: "conflict" });
        expect(await verbs.delete(store, "x", 2)).toMatchObject({ name: "x", revision: 2, version: "0.0.2" });
        for (const attempt of [
          () => verbs.get(store, "x"),
          () => verbs.update(store, "x", 2),
          () => verbs.delete(store, "x"),
        ]) {
          await expect(attempt()).rejects.toMatchObject({ kind: "notFound" });
        }
        expect(await verbs.create(store)).toMatchObject({ revision: 1 });
      });

      it("is updated or deleted, but not both from one revision", async () => {
        for (let round = 0; round < 10; round += 1) {
          await verbs.create(store);
          const [updated, deleted] = await Promise.allSettled([
            verbs.update(store, "x", 1),
            verbs.delete(other, "x", 1),
          ]);
          expect([updated.status, deleted.status].sort()).toEqual(["fulfilled", "rejected"]);
          if (deleted.status === "rejected") await verbs.delete(store, "x");
        }
      });

      it("is listed latest change first, in pages, by token and by skipping, of its namespace only", async () => {
        for (const n of ["c", "a", "b", "e", "d"]) await verbs.create(store, { name: n });
        await verbs.update(store, "a", 1);
        const { entries: all, more } = await verbs.list(store, page());
        expect(all).toHaveLength(5);
        expect(more).toBe(false);
        const sorted = [...all].sort((a, b) => b.updatedWallMs - a.updatedWallMs || (a.name < b.name ? -1 : 1));
        expect(all).toEqual(sorted);
        expect(all.findIndex((e) => e.name === "a")).toBeLessThan(all.findIndex((e) => e.name === "c"));

        const paged: unknown[] = [];
        for (let after: ListQuery["after"]; ;) {
          const some = await verbs.list(store, page({ limit: 2, after }));
          paged.push(...some.entries);
          const last = some.entries.at(-1);
          if (!last || !some.more) break;
          after = { updatedWallMs: last.updatedWallMs, name: last.name };
        }
        expect(paged).toEqual(all);
        expect(await verbs.list(store, page({ limit: 2, skip: 2 }))).toEqual({ entries: all.slice(2, 4), more: true });
        expect(await verbs.list(store, page({ limit: 3, skip: 2 }))).toEqual({ entries: all.slice(2), more: false });
        expect(await verbs.list(store, page({ skip: 5 }))).toEqual({ entries: [], more: false });
        expect(await verbs.list(store, page({ namespace: "nowhere" }))).toEqual({ entries: [], more: false });
        expect(await verbs.count(store, "guest")).toBe(5);
        expect(await verbs.count(store, "nowhere")).toBe(0);
      });

      it("is listed until so many bytes are reached, one at least", async () => {
        for (const n of ["a", "b", "c", "d"]) {
          await verbs.create(store, {
            name: n,
            annotations: [{ key: "k", valueJson: `"${"x".repeat(1_000)}"`, init: false }],
          });
        }
        const { entries: all } = await verbs.list(store, page());
        for (const [bytesMax, count] of [
          [1, 1],
          [1_000, 1],
          [1_500, 2],
          [2_500, 3],
          [10_000, 4],
        ] as const) {
          expect(await verbs.list(store, page({ bytesMax }))).toEqual({
            entries: all.slice(0, count),
            more: count < 4,
          });
          expect(await verbs.list(store, page({ bytesMax, skip: 3 }))).toEqual({ entries: all.slice(3), more: false });
        }
      });

      it("goes with its namespace", async () => {
        await verbs.create(store);
        await tenancy.deleteNamespace("guest");
        await expect(verbs.get(store, "x")).rejects.toMatchObject({ kind: "notFound" });
        await tenancy.ensureNamespace(aNamespace());
        expect(await verbs.count(store, "guest")).toBe(0);
        expect(await verbs.create(store)).toMatchObject({ revision: 1 });
      });
    });

    describe("an action", () => {
      it("is read with everything it was written with", async () => {
        const draft = anAction({
          publish: true,
          exec: { ...anAction().exec, main: "run", binary: true },
          parameters: [
            { key: "init", valueJson: "null", init: true },
            { key: "", valueJson: '"\\ud800"', init: false },
          ],
          limits: { timeoutMs: 100, memoryMb: 512, logsMb: 0, concurrency: 500 },
        });
        const created = await createAction(draft);
        expect(created).toEqual({ ...draft, revision: 1, updatedWallMs: created.updatedWallMs });
        expect(await store.getAction("guest", "hello")).toEqual(created);
      });

      it("that is a sequence has components instead of code, and neither is asked for when its package changes", async () => {
        await store.createPackage(aPackage());
        const exec = { kind: "sequence", main: undefined, binary: false, codeDigest: "", codeSize: 0 };
        const draft = anAction({ name: "tools/both", exec: { ...exec, components: ["guest/hello", "other/a/b"] } });
        const created = await store.createAction(draft, undefined, undefined);
        expect(created.exec).toEqual(draft.exec);
        expect(await other.getAction("guest", "tools/both")).toEqual(created);
        await expect(store.getRevision(draft.revisionId)).rejects.toMatchObject({ kind: "notFound" });
        await store.updatePackage(aPackage({ version: "0.0.2", parameters: [] }), 1, []);
        expect(await store.getAction("guest", "tools/both")).toEqual(created);
      });

      it("becomes a sequence and code again", async () => {
        const created = await createAction();
        const exec = { kind: "sequence", main: undefined, binary: false, codeDigest: "", codeSize: 0 };
        const sequence = anAction({ exec: { ...exec, components: ["guest/a"] } });
        const changed = await store.updateAction(sequence, created.revision, undefined, undefined);
        expect(changed.exec.components).toEqual(["guest/a"]);
        const again = anAction();
        const back = await store.updateAction(again, changed.revision, HELLO, revisionFor(again));
        expect(back.exec).toEqual(again.exec);
        expect(await store.getRevision(again.revisionId)).toEqual(revisionFor(again));
      });

      it("keeps its code byte by byte, and shares it with others that have the same", async () => {
        const code = Uint8Array.from({ length: 100_000 }, (_, i) => (i * i) % 256);
        await createAction(anAction({ name: "a" }, code), code);
        await createAction(anAction({ name: "b" }, code), code);
        expect(digestOf(await other.getCode(digestOf(code)))).toBe(digestOf(code));
        await store.deleteAction("guest", "a", undefined);
        expect(await other.getCode(digestOf(code))).toHaveLength(code.length);
        await expect(store.getCode("0".repeat(64))).rejects.toMatchObject({ kind: "notFound" });
      });

      it("may have code of 48 MiB, and none", async () => {
        const code = Buffer.alloc(
          48 * 1024 * 1024,
          Uint8Array.from({ length: 65_537 }, (_, i) => (i * i + i) % 251),
        );
        await createAction(anAction({ name: "large" }, code), code);
        await createAction(anAction({ name: "none" }, new Uint8Array()), new Uint8Array());
        expect(digestOf(await store.getCode(digestOf(code)))).toBe(digestOf(code));
        expect(await store.getCode(digestOf(new Uint8Array()))).toHaveLength(0);
        const revisionIdOf = async (name: string): Promise<string> => (await store.getAction("guest", name)).revisionId;
        const large = await store.getRevisionWithCode(await revisionIdOf("large"));
        expect(digestOf(large.code)).toBe(digestOf(code));
        expect(large.revision).toEqual(await store.getRevision(large.revision.revisionId));
        expect((await store.getRevisionWithCode(await revisionIdOf("none"))).code).toHaveLength(0);
      });

      it("stores the same code once when two are created with it at the same moment", async () => {
        for (let round = 0; round < 10; round += 1) {
          const code = codeOf(`round ${round}`);
          await Promise.all(
            [store, other, store].map((by, i) => {
              const draft = anAction({ name: `a${round}-${i}` }, code);
              return by.createAction(draft, code, revisionFor(draft));
            }),
          );
          expect(await store.getCode(digestOf(code))).toHaveLength(code.length);
        }
      });

      it("keeps its code on an update without one, and takes the new one otherwise", async () => {
        const created = await createAction();
        const same = await updateAction(store, anAction({ version: "0.0.2" }), created.revision);
        expect(same.exec.codeDigest).toBe(digestOf(HELLO));
        const code = codeOf("def main(args): return {}");
        const next = anAction({ version: "0.0.3" }, code);
        const changed = await updateAction(store, next, same.revision, code);
        expect(changed.exec.codeDigest).toBe(digestOf(code));
        expect(await store.getCode(digestOf(code))).toHaveLength(code.length);
      });

      it("can be loaded by its present revision and, for calls on their way, by those before it", async () => {
        const first = anAction();
        const init: readonly KeyValue[] = [{ key: "TOKEN", valueJson: '"\\u0000"', init: true }];
        await store.createAction(first, HELLO, revisionFor(first, init));
        const code = codeOf("changed");
        const second = anAction({ version: "0.0.2" }, code);
        await updateAction(store, second, 1, code);
        await store.deleteAction("guest", "hello", undefined);
        expect(await other.getRevision(first.revisionId)).toEqual(revisionFor(first, init));
        expect(await other.getRevision(second.revisionId)).toEqual(revisionFor(second));
        expect(await other.getCode(first.exec.codeDigest)).toHaveLength(HELLO.length);
        expect(await other.getRevisionWithCode(first.revisionId)).toEqual({
          revision: revisionFor(first, init),
          code: Buffer.from(HELLO),
        });
        await expect(store.getRevision("no such")).rejects.toMatchObject({ kind: "notFound" });
        await expect(store.getRevisionWithCode("no such")).rejects.toMatchObject({ kind: "notFound" });
      });

      it("leaves no revision and no code behind when it is not created", async () => {
        await store.createTrigger(aTrigger({ name: "hello" }));
        const code = codeOf("never stored");
        const draft = anAction({}, code);
        await expect(createAction(draft, code)).rejects.toMatchObject({ reason: "WRONG_COLLECTION" });
        await expect(store.getRevision(draft.revisionId)).rejects.toMatchObject({ kind: "notFound" });
        await expect(store.getCode(digestOf(code))).rejects.toMatchObject({ kind: "notFound" });
      });

      it("of a package needs the package", async () => {
        await expect(createAction(anAction({ name: "tools/hello" }))).rejects.toMatchObject({ kind: "notFound" });
        await store.createTrigger(aTrigger({ name: "tools" }));
        await expect(createAction(anAction({ name: "tools/hello" }))).rejects.toMatchObject({
          reason: "WRONG_COLLECTION",
        });
      });

      it("of a package may have a name that another entity has outside it", async () => {
        await store.createPackage(aPackage());
        await createAction();
        await createAction(anAction({ name: "tools/hello" }));
        await createAction(anAction({ name: "tools/tools" }));
        await store.createPackage(aPackage({ name: "empty" }));
        expect(await store.countActions("guest", undefined)).toBe(3);
        expect(await store.countActions("guest", "tools")).toBe(2);
        expect(await store.countActions("guest", "empty")).toBe(0);
        const { entries: ofTools } = await store.listActions({ ...page(), package: "tools" });
        expect(ofTools.map((a) => a.name)).toEqual(["tools/tools", "tools/hello"]);
        expect((await store.listActions({ ...page(), package: "empty" })).entries).toEqual([]);
      });
    });

    describe("a package", () => {
      it("with actions goes only by force, and then they go with it", async () => {
        await store.createPackage(aPackage());
        await createAction(anAction({ name: "tools/a" }));
        await expect(store.deletePackage("guest", "tools", undefined, false)).rejects.toMatchObject({
          kind: "failedPrecondition",
          reason: "PACKAGE_NOT_EMPTY",
        });
        expect(await store.getAction("guest", "tools/a")).toMatchObject({ revision: 1 });
        await store.deletePackage("guest", "tools", 1, true);
        await expect(store.getAction("guest", "tools/a")).rejects.toMatchObject({ kind: "notFound" });
      });

      it("and an action created in it at the moment it is deleted leave no action without its package", async () => {
        for (let round = 0; round < 20; round += 1) {
          await store.createPackage(aPackage());
          const draft = anAction({ name: "tools/a" });
          const [created, deleted] = await Promise.allSettled([
            store.createAction(draft, HELLO, revisionFor(draft)),
            other.deletePackage("guest", "tools", undefined, false),
          ]);
          expect([created.status, deleted.status].sort()).toEqual(["fulfilled", "rejected"]);
          if (created.status === "rejected") expect(created.reason).toMatchObject({ kind: "notFound" });
          if (deleted.status === "rejected") {
            expect(deleted.reason).toMatchObject({ reason: "PACKAGE_NOT_EMPTY" });
            await store.deletePackage("guest", "tools", undefined, true);
          }
          expect(await store.countActions("guest", undefined)).toBe(0);
        }
      });

      it("gives its actions new revisions when its init parameters change", async () => {
        await store.createPackage(aPackage());
        const drafts = ["tools/a", "tools/b"].map((n) => anAction({ name: n }));
        for (const draft of drafts) await createAction(draft);
        const init: readonly KeyValue[] = [{ key: "SECRET", valueJson: '"new"', init: true }];
        const next = drafts.map((draft) => revisionFor({ ...draft, revisionId: aRevisionId() }, init));
        const updated = await store.updatePackage(aPackage({ parameters: init }), 1, next);
        expect(updated).toMatchObject({ revision: 2, parameters: init });
        for (const [i, draft] of drafts.entries()) {
          const action = await store.getAction("guest", draft.name);
          expect(action).toMatchObject({ revisionId: next[i]?.revisionId, version: draft.version });
          expect(await store.getRevision(action.revisionId)).toEqual(next[i]);
          expect(await store.getRevision(draft.revisionId)).toMatchObject({ initParameters: [] });
        }
      });

      it("is not revised from actions that are not what they were", async () => {
        await store.createPackage(aPackage());
        const draft = anAction({ name: "tools/a" });
        await createAction(draft);
        const fromOld = (): Revision[] => [revisionFor({ ...draft, revisionId: aRevisionId() })];
        const code = codeOf("changed meanwhile");
        await updateAction(store, anAction({ name: "tools/a" }, code), 1, code);
        await expect(store.updatePackage(aPackage(), 1, fromOld())).rejects.toMatchObject({ kind: "conflict" });
        await createAction(anAction({ name: "tools/b" }));
        await expect(store.updatePackage(aPackage(), 1, fromOld())).rejects.toMatchObject({ kind: "conflict" });
        expect(await store.getPackage("guest", "tools")).toMatchObject({ revision: 1 });
      });

      it("and an action made from what it was before, at the same moment, agree on what is handed over at init", async () => {
        const init = (value: number): readonly KeyValue[] => [{ key: "N", valueJson: String(value), init: true }];
        await store.createPackage(aPackage({ parameters: init(0) }));
        for (let round = 1; round <= 10; round += 1) {
          const pack = await store.getPackage("guest", "tools");
          const draft = anAction({ name: "tools/a" });
          const [created, changed] = await Promise.allSettled([
            store.createAction(draft, HELLO, revisionFor(draft, pack.parameters), pack.revision),
            other.updatePackage(aPackage({ parameters: init(round) }), pack.revision, [], true),
          ]);
          expect([created.status, changed.status].sort()).toEqual(["fulfilled", "rejected"]);
          for (const one of [created, changed]) {
            if (one.status === "rejected") expect(one.reason).toMatchObject({ kind: "conflict" });
          }
          if (created.status === "fulfilled") await store.deleteAction("guest", "tools/a", undefined);
        }
      });

      it("and an update of one of its actions at the same moment do not undo each other", async () => {
        await store.createPackage(aPackage());
        let action = await createAction(anAction({ name: "tools/a" }));
        for (let round = 1; round <= 10; round += 1) {
          const code = codeOf(`round ${round}`);
          const next = anAction({ name: "tools/a", version: `0.0.${round + 1}` }, code);
          const pack = await store.getPackage("guest", "tools");
          await Promise.allSettled([
            updateAction(store, next, action.revision, code),
            other.updatePackage(aPackage(), pack.revision, [revisionFor({ ...action, revisionId: aRevisionId() })]),
          ]);
          action = await store.getAction("guest", "tools/a");
          const revision = await store.getRevision(action.revisionId);
          expect(revision.exec).toEqual(action.exec);
          expect(revision.version).toBe(action.version);
        }
      });
    });

    describe("a binding", () => {
      const handed: readonly KeyValue[] = [{ key: "SECRET", valueJson: '"bound"', init: true }];
      const aBinding = (overrides: Partial<Draft<Package>> = {}): Draft<Package> =>
        aPackage({ name: "mine", binding: { namespace: "guest", name: "tools" }, parameters: handed, ...overrides });

      it("keeps what it is bound to, whether or not that exists", async () => {
        expect(await store.createPackage(aBinding())).toMatchObject({ binding: { namespace: "guest", name: "tools" } });
        const elsewhere = { namespace: "whisk.system", name: "utils" };
        const updated = await store.updatePackage(aBinding({ binding: elsewhere }), 1, []);
        expect(updated.binding).toEqual(elsewhere);
        expect(await store.getPackage("guest", "mine")).toEqual(updated);
        expect((await store.listPackages(page())).entries).toEqual([updated]);
        expect(await store.deletePackage("guest", "mine", undefined, false)).toEqual(updated);
      });

      it("takes no actions", async () => {
        await store.createPackage(aBinding());
        await expect(createAction(anAction({ name: "mine/hello" }))).rejects.toMatchObject({
          kind: "failedPrecondition",
          reason: "PACKAGE_IS_BINDING",
        });
      });

      it("names actions for rules", async () => {
        await store.createTrigger(aTrigger());
        await store.createPackage(aPackage());
        await createAction(anAction({ name: "tools/hello" }));
        await store.createPackage(aBinding());
        const rule = aRule({ action: "guest/mine/hello" });
        expect(await store.createRule(rule)).toMatchObject({ action: "guest/mine/hello", active: true });
        await expect(store.createRule(aRule({ name: "r2", action: "guest/mine/none" }))).rejects.toMatchObject({
          reason: "NO_SUCH_ACTION",
        });
      });

      describe("with a revision of its own", () => {
        let binding: Package;
        let derived: Revision;
        let based: string;

        beforeEach(async () => {
          await store.createPackage(aPackage());
          const action = await createAction(anAction({ name: "tools/hello" }));
          binding = await store.createPackage(aBinding());
          based = action.revisionId;
          derived = revisionFor({ ...action, revisionId: aRevisionId() }, handed);
          await store.keepRevision(derived, based, binding);
        });

        it("has it until it is no longer right, and then for as long as calls may refer to it", async () => {
          expect(await store.getRevision(derived.revisionId)).toEqual(derived);
          await store.keepRevision(derived, based, binding);
          await store.deletePackage("guest", "mine", undefined, false);
          expect(await store.getRevision(derived.revisionId)).toEqual(derived);
        });

        it.each<[string, () => Promise<unknown>]>([
          ["the binding was written", () => other.updatePackage(aBinding(), 1, [])],
          ["the binding was deleted", () => other.deletePackage("guest", "mine", 1, false)],
          ["the action was written", () => updateAction(other, anAction({ name: "tools/hello" }), 1)],
          ["the action was deleted", () => other.deleteAction("guest", "tools/hello", 1)],
        ])("is not given another after %s", async (_name, write) => {
          await write();
          const late = { ...derived, revisionId: aRevisionId() };
          await expect(store.keepRevision(late, based, binding)).rejects.toMatchObject({ kind: "conflict" });
          await expect(store.getRevision(late.revisionId)).rejects.toMatchObject({ kind: "notFound" });
        });
      });
    });

    describe("a rule", () => {
      beforeEach(async () => {
        await store.createTrigger(aTrigger());
        await createAction();
      });
      const links = (trigger = "greeted") => store.rulesOf("guest", trigger);

      it("is created active and linked to its trigger", async () => {
        const rule = await store.createRule(aRule());
        expect(rule).toMatchObject({ trigger: "guest/greeted", action: "guest/hello", active: true });
        expect(await other.getRule("guest", "r")).toEqual(rule);
        expect(await links()).toEqual([{ rule: "guest/r", action: "guest/hello", active: true }]);
        expect(await store.rulesOf("guest", "no such")).toEqual([]);
      });

      it("is one of several of a trigger, by name", async () => {
        for (const n of ["b", "a", "c"]) await store.createRule(aRule({ name: n }));
        expect((await links()).map((l) => l.rule)).toEqual(["guest/a", "guest/b", "guest/c"]);
      });

      it("needs a trigger and an action, and stores nothing without them", async () => {
        await expect(store.createRule(aRule({ trigger: "guest/none" }))).rejects.toMatchObject({
          kind: "failedPrecondition",
          reason: "NO_SUCH_TRIGGER",
        });
        for (const action of ["guest/none", "guest/greeted", "guest/pkg/none"]) {
          await expect(store.createRule(aRule({ action }))).rejects.toMatchObject({ reason: "NO_SUCH_ACTION" });
        }
        await expect(store.createRule(aRule({ trigger: "guest/hello" }))).rejects.toMatchObject({
          reason: "NO_SUCH_TRIGGER",
        });
        expect(await store.countRules("guest")).toBe(0);
        expect(await links()).toEqual([]);
      });

      it("is switched off and on without counting as written", async () => {
        const created = await store.createRule(aRule());
        expect(await store.setRuleActive("guest", "r", false)).toEqual({ ...created, active: false });
        expect(await links()).toMatchObject([{ active: false }]);
        expect(await store.setRuleActive("guest", "r", false)).toEqual({ ...created, active: false });
        expect(await other.setRuleActive("guest", "r", true)).toEqual(created);
        await expect(store.setRuleActive("guest", "none", true)).rejects.toMatchObject({ kind: "notFound" });
        expect((await store.listRules(page())).entries).toEqual([created]);
      });

      it("stays inactive when its trigger is deleted, also when one of that name comes back, until it is enabled", async () => {
        await store.createRule(aRule());
        await store.deleteTrigger("guest", "greeted", undefined);
        expect(await store.getRule("guest", "r")).toMatchObject({ active: false });
        await expect(store.setRuleActive("guest", "r", true)).rejects.toMatchObject({ reason: "NO_SUCH_TRIGGER" });
        expect(await store.setRuleActive("guest", "r", false)).toMatchObject({ active: false });
        await store.createTrigger(aTrigger());
        expect(await links()).toEqual([]);
        expect(await store.getRule("guest", "r")).toMatchObject({ active: false });
        expect(await store.setRuleActive("guest", "r", true)).toMatchObject({ active: true });
        expect(await links()).toHaveLength(1);
      });

      it("stays active when its action is deleted", async () => {
        await store.createRule(aRule());
        await store.deleteAction("guest", "hello", undefined);
        expect(await store.getRule("guest", "r")).toMatchObject({ active: true });
        expect(await links()).toHaveLength(1);
      });

      it("keeps its state when it is updated, and moves with its trigger", async () => {
        await store.createRule(aRule());
        await store.setRuleActive("guest", "r", false);
        await store.createTrigger(aTrigger({ name: "second" }));
        const moved = await store.updateRule(aRule({ trigger: "guest/second", active: true, version: "0.0.2" }), 1);
        expect(moved).toMatchObject({ trigger: "guest/second", active: false, revision: 2, version: "0.0.2" });
        expect(await links()).toEqual([]);
        expect(await links("second")).toEqual([{ rule: "guest/r", action: "guest/hello", active: false }]);
        await expect(store.updateRule(aRule({ trigger: "guest/none" }), 2)).rejects.toMatchObject({
          reason: "NO_SUCH_TRIGGER",
        });
        await expect(store.updateRule(aRule({ action: "guest/none" }), 2)).rejects.toMatchObject({
          reason: "NO_SUCH_ACTION",
        });
        expect(await store.getRule("guest", "r")).toEqual(moved);
      });

      it("is gone from its trigger when it is deleted", async () => {
        await store.createRule(aRule());
        expect(await store.deleteRule("guest", "r", 1)).toMatchObject({ name: "r" });
        expect(await links()).toEqual([]);
      });

      it("is linked or refused when its trigger is deleted at the same moment", async () => {
        for (let round = 0; round < 20; round += 1) {
          const [created] = await Promise.allSettled([
            store.createRule(aRule()),
            other.deleteTrigger("guest", "greeted", undefined),
          ]);
          expect(await links()).toEqual([]);
          if (created.status === "fulfilled") {
            expect(await store.getRule("guest", "r")).toMatchObject({ active: false });
            await store.deleteRule("guest", "r", undefined);
          } else {
            expect(created.reason).toMatchObject({ reason: "NO_SUCH_TRIGGER" });
            await expect(store.getRule("guest", "r")).rejects.toMatchObject({ kind: "notFound" });
          }
          await store.createTrigger(aTrigger());
        }
      });
    });

    describe("a watcher", () => {
      interface Watch {
        readonly changes: EntityChange[];
        resets: number;
        end(): Promise<void>;
      }
      const watch = async (by: EntityStore): Promise<Watch> => {
        const controller = new AbortController();
        const seen: Watch = {
          changes: [],
          resets: 0,
          end: async () => {
            controller.abort();
            await watching;
          },
        };
        const watching = by.watch(
          {
            changed: (change) => seen.changes.push(change),
            reset: () => {
              seen.resets += 1;
            },
          },
          controller.signal,
        );
        await eventually(() => seen.resets > 0);
        return seen;
      };
      const said = (namespace: string, changed: string, keyUuid = ""): EntityChange => ({
        namespace,
        name: changed,
        keyUuid,
      });

      it("hears of changes of every process, after they can be read", async () => {
        const seen = await watch(store);
        const created = await kinds.action.create(other);
        await eventually(() => seen.changes.some((c) => c.name === "x"));
        expect(await store.getAction("guest", "x")).toEqual(created);
        await updateAction(store, anAction({ name: "x", version: "0.0.2" }), 1);
        await eventually(() => seen.changes.filter((c) => c.name === "x").length === 2);
        await other.deleteAction("guest", "x", undefined);
        await eventually(() => seen.changes.filter((c) => c.name === "x").length === 3);
        expect(seen.changes.every((c) => c.namespace === "guest" && c.keyUuid === "")).toBe(true);
        await seen.end();
      });

      it("does not hear of what failed", async () => {
        const seen = await watch(store);
        await kinds.action.create(other);
        await expect(kinds.trigger.create(other)).rejects.toMatchObject({ reason: "WRONG_COLLECTION" });
        await other.createTrigger(aTrigger({ name: "end" }));
        await eventually(() => seen.changes.some((c) => c.name === "end"));
        expect(seen.changes).toEqual([said("guest", "x"), said("guest", "end")]);
        await seen.end();
      });

      it("hears of a trigger when its rules change, and of all the actions that go with a package", async () => {
        await store.createTrigger(aTrigger());
        await createAction();
        await store.createPackage(aPackage());
        await createAction(anAction({ name: "tools/a" }));
        const seen = await watch(store);
        await other.createRule(aRule());
        await eventually(() => seen.changes.some((c) => c.name === "greeted"));
        seen.changes.length = 0;
        await other.setRuleActive("guest", "r", false);
        await eventually(() => seen.changes.some((c) => c.name === "greeted"));
        await other.deletePackage("guest", "tools", undefined, true);
        await eventually(() => {
          expect(seen.changes).toContainEqual(said("guest", "tools"));
          expect(seen.changes).toContainEqual(said("guest", "tools/a"));
        });
        await seen.end();
      });

      it("hears of limits, of revoked keys, and of the end of a namespace", async () => {
        const key = aKey({ namespace: "third" });
        const late = aKey({ namespace: "third", uuid: "late" });
        await tenancy.createNamespace(aNamespace({ name: "third" }), key);
        await tenancy.addKey(late);
        const seen = await watch(store);
        await tenancy.updateLimits("third", { firesPerMinute: 7 });
        await eventually(() => seen.changes.some((c) => c.namespace === "third" && c.name === "" && c.keyUuid === ""));
        await tenancy.deleteKey("third", key.uuid, false);
        await eventually(() => seen.changes.some((c) => c.keyUuid === key.uuid));
        seen.changes.length = 0;
        await tenancy.deleteNamespace("third");
        await eventually(() => {
          expect(seen.changes).toContainEqual(said("third", ""));
          expect(seen.changes).toContainEqual(said("third", "", "late"));
        });
        await seen.end();
      });

      it("ends when it is told, also before it has begun", async () => {
        const seen = await watch(store);
        await seen.end();
        const controller = new AbortController();
        controller.abort();
        await store.watch({ changed: () => undefined, reset: () => undefined }, controller.signal);
        await kinds.action.create(other);
        expect(seen.changes).toEqual([]);
      });
    });
  });
}
