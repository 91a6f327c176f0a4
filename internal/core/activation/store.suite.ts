// What every ActivationStore promises. Each implementation's test file calls it.

import { beforeEach, describe, expect, it } from "vitest";

import { newActivationId, type ActivationId } from "../../base/ids.js";
import { seededRandom } from "../../base/random.js";
import type { ActivationQuery, ActivationStore, RecordedActivation } from "./store.js";
import type { ActionActivation, Activation, TriggerActivation } from "./types.js";

const random = seededRandom(20_260_101);
const DAY_MS = 86_400_000;
/** Real time, because partitions are of real days. */
const todayMs = Math.floor(Date.now() / DAY_MS) * DAY_MS;

export const anId = (wallMs = todayMs): ActivationId => newActivationId(random, wallMs);

/** An activation that started when its id was made. */
export function anActivation(overrides: Partial<ActionActivation> = {}): ActionActivation {
  const startWallMs = overrides.startWallMs ?? todayMs + 1_000;
  return {
    of: "action",
    id: anId(startWallMs),
    namespace: "guest",
    subject: "ada",
    name: "hello",
    path: "guest/hello",
    version: "0.0.1",
    kind: "nodejs:20",
    startWallMs,
    durationMs: 12,
    initMs: undefined,
    waitMs: 3,
    outcome: "success",
    resultJson: '{"msg":"Hello"}',
    resultSize: 15,
    timedOut: false,
    logs: [],
    limits: { timeoutMs: 60_000, memoryMb: 256, logsMb: 10, concurrency: 1 },
    cause: undefined,
    binding: undefined,
    transactionId: "t1",
    traceId: "",
    startKind: "warm",
    invokerId: "invoker0",
    ...overrides,
  };
}

export function aTriggerActivation(overrides: Partial<TriggerActivation> = {}): TriggerActivation {
  const startWallMs = overrides.startWallMs ?? todayMs + 1_000;
  return {
    of: "trigger",
    id: anId(startWallMs),
    namespace: "guest",
    subject: "ada",
    name: "greeted",
    path: "guest/greeted",
    version: "0.0.1",
    startWallMs,
    resultJson: '{"name":"Bob"}',
    logs: ['{"rule":"guest/r","success":true}'],
    transactionId: "t1",
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    ...overrides,
  };
}

const sync = (activation: ActionActivation): RecordedActivation => ({ activation, async: false });

const aQuery = (overrides: Partial<ActivationQuery> = {}): ActivationQuery => ({
  namespace: "guest",
  full: true,
  limit: 200,
  bytesMax: Number.MAX_SAFE_INTEGER,
  skip: 0,
  ...overrides,
});

const without = <T extends Activation>(activation: T): T => ({ ...activation, resultJson: "", logs: [] });

/** @param open an empty store, as two processes see it */
export function activationStoreSuite(
  name: string,
  open: () => Promise<{ readonly store: ActivationStore; readonly other: ActivationStore }>,
): void {
  describe(`${name} keeps the ActivationStore contract`, () => {
    let store: ActivationStore;
    let other: ActivationStore;
    beforeEach(async () => {
      ({ store, other } = await open());
    });

    describe("a record", () => {
      it.each([
        ["with little in it", {}],
        [
          "with everything in it",
          {
            path: "other/tools/hello",
            initMs: 0,
            timedOut: true,
            outcome: "developerError",
            logs: ["2026-01-01T00:00:00Z stdout: one", "", 'quotes " and \\ and \u0000 and \ud83d\ude00 and \n'],
            cause: anId(),
            traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
            startKind: "cold",
            durationMs: 2_147_483_647,
            resultSize: 1_048_576,
          },
        ],
        ["of something that never ran", { startKind: undefined, invokerId: "", outcome: "platformError" }],
        ["of an application's error", { outcome: "applicationError", startKind: "frozen" }],
        ["of a prepared runtime", { startKind: "stem", initMs: 40 }],
        ["through a binding", { name: "echo", path: "whisk.system/utils/echo", binding: "guest/mine" }],
        ["with names in any allowed letters", { name: "a b@c.d&e-f_", path: "n s/p.k/a b@c.d&e-f_" }],
      ] as const)("is read as it was written, %s", async (_, overrides) => {
        const activation = anActivation(overrides);
        await store.record([sync(activation)]);
        expect(await store.get("guest", activation.id)).toEqual(activation);
        expect(await store.list(aQuery())).toEqual({ entries: [activation], more: false });
      });

      it.each([
        ["sequence", undefined],
        ["composition", 3],
      ])("of a %s keeps its end and what ran in it", async (_kind, conductorRuns) => {
        const composite = { endWallMs: todayMs + 5_000, componentRuns: 2, conductorRuns };
        const activation = anActivation({ kind: "sequence", logs: [anId(), anId()], composite });
        await store.record([sync(activation), sync(anActivation())]);
        expect(await store.get("guest", activation.id)).toEqual(activation);
      });

      it("keeps its result letter by letter: digits, spaces, key order, repeated keys and escapes", async () => {
        const resultJson = '{ "b":12345678901234567890.10, "a" : 1e400,"a":"\\u0000\\ud800 é 😀","":null }';
        const activation = anActivation({ resultJson });
        await store.record([sync(activation)]);
        expect(await store.get("guest", activation.id)).toMatchObject({ resultJson });
      });

      it("keeps a result of a mebibyte and ten thousand lines of logs", async () => {
        const resultJson = JSON.stringify({ text: "é".repeat(524_000) });
        const logs = Array.from({ length: 10_000 }, (_, i) => `2026-01-01T00:00:00Z stderr: line ${i}`);
        const activation = anActivation({ resultJson, logs });
        await store.record([sync(activation)]);
        expect(await store.get("guest", activation.id)).toEqual(activation);
      });

      it("of another namespace is not found, nor is one that does not exist", async () => {
        const activation = anActivation();
        await store.record([sync(activation)]);
        await expect(store.get("other", activation.id)).rejects.toMatchObject({ kind: "notFound" });
        await expect(store.get("guest", anId())).rejects.toMatchObject({ kind: "notFound" });
      });

      it("whose id tells no day, a past or a far one, is kept like any other", async () => {
        const ids = ["0".repeat(32), "f".repeat(32), anId(todayMs - 400 * DAY_MS), anId(todayMs + 400 * DAY_MS)];
        const activations = ids.map((id) => anActivation({ id: id as ActivationId }));
        await store.record(activations.map(sync));
        for (const activation of activations) {
          expect(await store.get("guest", activation.id)).toEqual(activation);
        }
      });
    });

    describe("of several records of one id, the first", () => {
      it("stays when another comes, whenever that says it started", async () => {
        const first = anActivation({ logs: ["first"] });
        await store.record([sync(first)]);
        for (const startWallMs of [first.startWallMs, first.startWallMs + 5_000, first.startWallMs - 3 * DAY_MS]) {
          await other.record([sync({ ...first, startWallMs, outcome: "platformError", logs: ["second"] })]);
        }
        expect(await store.get("guest", first.id)).toEqual(first);
        expect(await store.count(aQuery())).toBe(1);
      });

      it("is not given another's logs when it has none", async () => {
        const first = anActivation({ logs: [] });
        await store.record([sync(first)]);
        await other.record([sync({ ...first, logs: ["second"] })]);
        expect(await store.get("guest", first.id)).toEqual(first);
      });

      it("stays when they are in one batch", async () => {
        const first = anActivation({ logs: ["first"] });
        const rest = anActivation();
        await store.record([sync(first), sync(rest), sync({ ...first, outcome: "platformError", logs: ["second"] })]);
        expect(await store.get("guest", first.id)).toEqual(first);
        expect(await store.get("guest", rest.id)).toEqual(rest);
      });

      it("stays whole when processes record at the same moment, and none of them fails", async () => {
        for (let round = 0; round < 20; round += 1) {
          const ids = Array.from({ length: 10 }, () => anId());
          const of = (who: string, id: ActivationId): RecordedActivation =>
            sync(anActivation({ id, invokerId: who, logs: [who], startWallMs: todayMs + (who === "a" ? 0 : DAY_MS) }));
          await Promise.all([
            store.record(ids.map((id) => of("a", id))),
            other.record([...ids].reverse().map((id) => of("b", id))),
            ...ids.map((id) => other.record([of("c", id)])),
          ]);
          for (const id of ids) {
            const kept = await store.get("guest", id);
            expect(kept.of === "action" && kept.logs).toEqual([kept.of === "action" && kept.invokerId]);
          }
        }
        expect(await store.count(aQuery())).toBe(200);
      });

      it("leaves the others of a later batch alone", async () => {
        const [a, b, c] = [anActivation(), anActivation(), anActivation()];
        await store.record([sync(b)]);
        await store.record([a, b, c].map(sync));
        for (const activation of [a, b, c]) expect(await store.get("guest", activation.id)).toEqual(activation);
      });
    });

    describe("a batch", () => {
      it("keeps each of 500 that have much, little or nothing in common, small ones and large ones", async () => {
        const batch = Array.from({ length: 500 }, (_, i) =>
          anActivation({
            startWallMs: todayMs + i,
            path: i % 7 === 0 ? "other/tools/hello" : "guest/hello",
            invokerId: i % 11 === 0 ? `invoker${i}` : "invoker0",
            limits: { timeoutMs: 60_000, memoryMb: 256, logsMb: 10, concurrency: i % 13 === 0 ? 2 : 1 },
            cause: i % 17 === 0 ? anId() : undefined,
            initMs: i % 19 === 0 ? i : undefined,
            resultJson: i % 50 === 0 ? JSON.stringify({ text: "\u00e9\ud83d\ude00".repeat(i * 100) }) : `{"i":${i}}`,
          }),
        );
        await store.record(batch.map(sync));
        const kept = await Promise.all(batch.map(({ id }) => store.get("guest", id)));
        expect(kept).toEqual(batch);
      });

      it("may have 500 records, and none", async () => {
        const batch = Array.from({ length: 500 }, (_, i) => sync(anActivation({ startWallMs: todayMs + i })));
        await store.record(batch);
        await store.record([]);
        expect(await store.count(aQuery())).toBe(500);
      });

      it("of many callers at once is recorded for each of them", async () => {
        const activations = Array.from({ length: 300 }, (_, i) => anActivation({ logs: i % 2 ? [`line ${i}`] : [] }));
        await Promise.all(activations.map((activation) => store.record([sync(activation)])));
        const listed = await store.list(aQuery());
        expect([listed.entries.length, listed.more]).toEqual([200, true]);
        expect(await store.count(aQuery())).toBe(300);
        for (const activation of activations.slice(0, 20)) {
          expect(await other.get("guest", activation.id)).toEqual(activation);
        }
      });
    });

    it("tells what was invoked through a binding from the same by its own name, in one batch", async () => {
      const path = "guest/tools/echo";
      const both = [undefined, "guest/mine", undefined, "guest/other"].map((binding) =>
        anActivation({ name: "echo", path, binding }),
      );
      await store.record(both.map(sync));
      for (const one of both) expect(await store.get("guest", one.id)).toEqual(one);
    });

    describe("a list", () => {
      it("has the latest start first and equal starts by id, later ids first, over days", async () => {
        const ids = [3, 1, 2].map((i) => `${String(i).repeat(12)}${"0".repeat(20)}` as ActivationId);
        const activations = [
          ...ids.map((id) => anActivation({ id, startWallMs: todayMs })),
          anActivation({ startWallMs: todayMs + 1 }),
          anActivation({ startWallMs: todayMs - DAY_MS }),
          anActivation({ startWallMs: todayMs + DAY_MS }),
        ];
        await store.record(activations.map(sync));
        const expected = [5, 3, 0, 2, 1, 4].map((i) => activations[i]?.id);
        expect((await store.list(aQuery())).entries.map((a) => a.id)).toEqual(expected);
      });

      it("pages by what came last, also when records arrive between the pages", async () => {
        const activations = Array.from({ length: 25 }, (_, i) =>
          anActivation({ startWallMs: todayMs + Math.floor(i / 4) }),
        );
        await store.record(activations.map(sync));
        const seen: ActivationId[] = [];
        for (let after: ActivationQuery["after"]; ;) {
          const page = await store.list(aQuery({ limit: 7, after }));
          seen.push(...page.entries.map((a) => a.id));
          const last = page.entries.at(-1);
          if (!last || !page.more) break;
          after = { startWallMs: last.startWallMs, id: last.id };
          await store.record([sync(anActivation({ startWallMs: todayMs + DAY_MS }))]);
        }
        expect(new Set(seen).size).toBe(25);
        expect([...seen].sort()).toEqual(activations.map((a) => a.id).sort());
      });

      it("skips, and limits", async () => {
        const activations = Array.from({ length: 5 }, (_, i) => anActivation({ startWallMs: todayMs - i }));
        await store.record(activations.map(sync));
        const page = await store.list(aQuery({ limit: 2, skip: 1 }));
        expect(page.entries.map((a) => a.id)).toEqual(activations.slice(1, 3).map((a) => a.id));
        expect(page.more).toBe(true);
        expect(await store.list(aQuery({ skip: 5 }))).toEqual({ entries: [], more: false });
      });

      it("ends with the record that fills it, result and logs, one at least", async () => {
        const activations = Array.from({ length: 4 }, (_, i) =>
          anActivation({ startWallMs: todayMs - i, resultJson: `"${"x".repeat(500)}"`, logs: ["l".repeat(500)] }),
        );
        await store.record(activations.map(sync));
        for (const [bytesMax, count] of [
          [1, 1],
          [1_000, 1],
          [1_500, 2],
          [2_500, 3],
          [10_000, 4],
        ] as const) {
          const { entries, more } = await store.list(aQuery({ bytesMax }));
          expect([entries, more]).toEqual([activations.slice(0, count), count < 4]);
          const brief = await store.list(aQuery({ bytesMax, full: false }));
          expect([brief.entries.length, brief.more]).toEqual([4, false]);
        }
      });

      it("without results and logs leaves them empty", async () => {
        const activation = anActivation({ logs: ["line"], initMs: 3 });
        await store.record([sync(activation)]);
        expect((await store.list(aQuery({ full: false }))).entries).toEqual([without(activation)]);
      });

      it.each([
        ["everything of a namespace", {}, ["late", "bound", "packaged", "elsewhere", "early"]],
        ["one action of the default package", { name: "hello" }, ["late", "elsewhere", "early"]],
        ["one action of a package", { name: "tools/hello" }, ["packaged"]],
        ["one action of a binding", { name: "mine/hello" }, ["bound"]],
        ["a name that nothing has", { name: "tools" }, []],
        ["what started at or after", { sinceWallMs: todayMs + 10 }, ["late", "bound", "packaged", "elsewhere"]],
        ["what started at or before", { uptoWallMs: todayMs + 10 }, ["elsewhere", "early"]],
        ["what started within", { sinceWallMs: todayMs + 10, uptoWallMs: todayMs + 20, name: "hello" }, ["elsewhere"]],
        ["another namespace", { namespace: "other" }, ["theirs"]],
        ["a namespace that has none", { namespace: "nobody" }, []],
      ] as const)("of %s finds that and counts it", async (_, filter, expected) => {
        const at = (invokerId: string, offsetMs: number, more: Partial<ActionActivation> = {}): RecordedActivation =>
          sync(anActivation({ invokerId, startWallMs: todayMs + offsetMs, ...more }));
        await store.record([
          at("early", 0),
          at("elsewhere", 10, { path: "library/hello" }),
          at("packaged", 20, { path: "guest/tools/hello" }),
          at("bound", 25, { path: "library/tools/hello", binding: "guest/mine" }),
          at("late", 30),
          at("theirs", 40, { namespace: "other" }),
        ]);
        const { entries: listed } = await store.list(aQuery(filter));
        expect(listed.map((a) => (a.of === "action" ? a.invokerId : ""))).toEqual(expected);
        expect(await store.count(aQuery({ ...filter, limit: 1, skip: 3 }))).toBe(expected.length);
      });
    });

    describe("maintenance", () => {
      it("forgets what is older than the retention and keeps the rest, and may be repeated at the same moment", async () => {
        const old = anActivation({ startWallMs: todayMs - 30 * DAY_MS, logs: ["old"] });
        const recent = anActivation({ startWallMs: todayMs - 2 * DAY_MS, logs: ["recent"] });
        const fresh = anActivation({ startWallMs: todayMs, logs: ["fresh"] });
        await store.record([old, recent, fresh].map(sync));
        await Promise.all([store.maintain(7), other.maintain(7), store.maintain(7)]);
        expect((await store.list(aQuery())).entries.map((a) => a.id)).toEqual([fresh.id, recent.id]);
        await expect(store.get("guest", old.id)).rejects.toMatchObject({ kind: "notFound" });
        expect(await store.get("guest", fresh.id)).toEqual(fresh);
      });

      it("does not disturb those who record meanwhile", async () => {
        const activations = Array.from({ length: 100 }, () => anActivation());
        const recording = (async () => {
          for (const activation of activations) await store.record([sync(activation)]);
        })();
        for (let i = 0; i < 5; i += 1) await other.maintain(7);
        await recording;
        expect(await store.count(aQuery())).toBe(100);
      });
    });
  });
}
