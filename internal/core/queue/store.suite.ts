// What every QueueStore promises, together with the ActivationStore that settles its requests. Each implementation's test
// file calls it.

import { beforeEach, describe, expect, it } from "vitest";

import type { ActivationId } from "../../base/ids.js";
import type { ActivationStore } from "../activation/store.js";
import { anActivation, anId, aTriggerActivation } from "../activation/store.suite.js";
import type { Attempt, QueuedRequest, QueueStore } from "./store.js";

export function aRequest(overrides: Partial<QueuedRequest> = {}): QueuedRequest {
  return {
    id: anId(),
    namespace: "guest",
    name: "hello",
    paramsJson: '{"name":"Ada"}',
    callerNamespace: "guest",
    subject: "ada",
    transactionId: "t1",
    keyUuid: "uuid",
    traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    acceptedWallMs: Date.UTC(2026, 0, 1),
    ...overrides,
  };
}

const anAttempt = (overrides: Partial<Attempt> = {}): Attempt => ({
  invokerId: "invoker0",
  invokerBootId: "00000000000000aa",
  ownerBootId: "mine",
  ...overrides,
});

export interface QueueWorld {
  readonly queue: QueueStore;
  /** The same queue from another process. */
  readonly other: QueueStore;
  readonly activations: ActivationStore;
}

/** @param open an empty queue and no activations */
export function queueStoreSuite(name: string, open: () => Promise<QueueWorld>): void {
  describe(`${name} keeps the QueueStore contract`, () => {
    let queue: QueueStore;
    let other: QueueStore;
    let activations: ActivationStore;
    beforeEach(async () => {
      ({ queue, other, activations } = await open());
    });

    const settle = (...ids: readonly ActivationId[]): Promise<void> =>
      activations.record(ids.map((id) => ({ activation: anActivation({ id }), async: true })));
    /** What is still in the queue, oldest first, seen by somebody who takes everything over. */
    const leftOver = async (): Promise<ActivationId[]> =>
      (await other.recover(`undertaker-${anId()}`, [], 10_000)).map(({ request }) => request.id);

    describe("a request", () => {
      it("is there after submission, letter by letter, until it is settled", async () => {
        const request = aRequest({
          name: "tools/a b",
          paramsJson: '{ "n":12345678901234567890.10,"z":"\\u0000 é 😀", "z":1 }',
          callerNamespace: "other",
          traceparent: "",
        });
        await queue.submit([request], "mine");
        expect(await queue.depth()).toBe(1);
        expect(await other.recover("theirs", [], 10)).toEqual([{ request, attempt: undefined }]);
        await settle(request.id);
        expect(await queue.depth()).toBe(0);
        expect(await leftOver()).toEqual([]);
      });

      it("may carry a mebibyte", async () => {
        const request = aRequest({ paramsJson: JSON.stringify({ text: "é".repeat(500_000) }) });
        await queue.submit([request], "mine");
        expect(await other.recover("theirs", [], 1)).toEqual([{ request, attempt: undefined }]);
      });

      it("that is submitted again is left alone, with its owner and its attempt", async () => {
        const request = aRequest();
        await queue.submit([request], "mine");
        await queue.markStarted([request.id], anAttempt());
        await other.submit([{ ...request, paramsJson: "{}" }, request], "theirs");
        expect(await queue.depth()).toBe(1);
        expect(await queue.markStarted([request.id], anAttempt())).toEqual([request.id]);
        expect(await other.recover("third", ["theirs"], 10)).toEqual([{ request, attempt: anAttempt() }]);
      });

      it("that was settled does not come back when it is submitted again", async () => {
        const request = aRequest();
        await queue.submit([request], "mine");
        await settle(request.id);
        await queue.submit([request, aRequest()], "mine");
        expect(await queue.depth()).toBe(1);
        expect(await leftOver()).not.toContain(request.id);
      });

      it("of each of many callers is durable when its call resolves", async () => {
        const requests = Array.from({ length: 700 }, () => aRequest());
        await Promise.all(requests.map((request) => queue.submit([request], "mine")));
        expect(await leftOver()).toEqual(requests.map((r) => r.id).sort());
      });

      it("is not lost when the same ids are submitted by two processes at once", async () => {
        const requests = Array.from({ length: 100 }, () => aRequest());
        await Promise.all([
          queue.submit(requests, "mine"),
          other.submit([...requests].reverse(), "theirs"),
          ...requests.map((request) => queue.submit([request], "mine")),
        ]);
        expect(await queue.depth()).toBe(100);
      });
    });

    describe("settling", () => {
      it("happens with the record, and only for requests that waited for it", async () => {
        const [async, sync] = [aRequest(), aRequest()];
        await queue.submit([async, sync], "mine");
        await activations.record([
          { activation: anActivation({ id: async.id }), async: true },
          { activation: anActivation({ id: sync.id }), async: false },
        ]);
        expect(await leftOver()).toEqual([sync.id]);
        expect(await activations.get("guest", async.id)).toMatchObject({ outcome: "success" });
      });

      it("keeps no record that only settles", async () => {
        const [silent, loud] = [aRequest(), aRequest()];
        await queue.submit([silent, loud], "mine");
        await activations.record([{ activation: anActivation({ id: silent.id }), async: true, unstored: true }]);
        expect(await leftOver()).toEqual([loud.id]);
        await activations.record([
          { activation: anActivation({ id: silent.id }), async: true, unstored: true },
          { activation: anActivation({ id: loud.id }), async: true },
        ]);
        expect(await leftOver()).toEqual([]);
        await expect(activations.get("guest", silent.id)).rejects.toMatchObject({ kind: "notFound" });
        expect(await activations.get("guest", loud.id)).toMatchObject({ outcome: "success" });
      });

      it("by two at once settles once and keeps one record", async () => {
        const requests = Array.from({ length: 50 }, () => aRequest());
        await queue.submit(requests, "mine");
        const by = (invokerId: string) =>
          requests.map(({ id }) => ({ activation: anActivation({ id, invokerId, logs: [invokerId] }), async: true }));
        await Promise.all([activations.record(by("a")), activations.record(by("b").reverse())]);
        expect(await queue.depth()).toBe(0);
        for (const { id } of requests) {
          const kept = await activations.get("guest", id);
          expect(kept.of === "action" && kept.logs).toEqual([kept.of === "action" && kept.invokerId]);
        }
      });

      it("of a request that is not there keeps the record", async () => {
        const id = anId();
        await settle(id);
        expect(await activations.get("guest", id)).toMatchObject({ id });
      });
    });

    describe("an attempt", () => {
      it("is told for the requests that are still mine, in any number of calls", async () => {
        const [mine, settled, taken] = [aRequest(), aRequest(), aRequest()];
        await queue.submit([mine, settled], "mine");
        await queue.submit([taken], "dead");
        await settle(settled.id);
        await other.recover("theirs", ["mine"], 10);
        const ids = [taken.id, mine.id, settled.id, anId()];
        expect(await queue.markStarted(ids, anAttempt())).toEqual([mine.id]);
        expect(await queue.markStarted(ids, anAttempt())).toEqual([mine.id]);
        expect(await queue.markStarted([], anAttempt())).toEqual([]);
      });

      it("is answered to each of many callers for its own ids", async () => {
        const requests = Array.from({ length: 60 }, () => aRequest());
        await queue.submit(requests, "mine");
        await settle(...requests.filter((_, i) => i % 3 === 0).map((r) => r.id));
        const answers = await Promise.all(
          requests.map(({ id }, i) => queue.markStarted([id], anAttempt({ invokerId: `invoker${i}` }))),
        );
        expect(answers.map((ids) => ids.length)).toEqual(requests.map((_, i) => (i % 3 === 0 ? 0 : 1)));
        const recovered = await other.recover("theirs", [], 100);
        for (const { request, attempt } of recovered) {
          expect(attempt?.invokerId).toBe(`invoker${requests.findIndex((r) => r.id === request.id)}`);
        }
      });

      it("is forgotten when it is proven not to have started, by the owner only", async () => {
        const request = aRequest();
        await queue.submit([request], "mine");
        await queue.markStarted([request.id], anAttempt());
        await other.markNotStarted([request.id], "theirs");
        expect(await other.recover("third", [], 1)).toEqual([{ request, attempt: anAttempt() }]);
        await other.markNotStarted([request.id], "third");
        expect(await other.recover("fourth", [], 1)).toEqual([{ request, attempt: undefined }]);
      });
    });

    describe("a run of a sequence", () => {
      const moved = (id: ActivationId, run = '{"at":1}', ownerBootId = "mine") => ({ id, run, ownerBootId });

      it("moves on together with the submission of its next component, which knows its cause", async () => {
        const run = aRequest();
        const component = aRequest({ name: "next", cause: run.id, run: '{"inherits":"é"}' });
        await queue.submit([run], "mine");
        expect(await queue.advance(moved(run.id), component, "mine")).toBe(true);
        // Said again when the answer was lost.
        expect(await queue.advance(moved(run.id), component, "mine")).toBe(true);
        const found = await other.recover("theirs", [], 10);
        expect(found).toEqual(
          expect.arrayContaining([
            { request: { ...run, run: '{"at":1}' }, attempt: undefined },
            { request: component, attempt: undefined },
          ]),
        );
        expect(found).toHaveLength(2);
      });

      it("that another took over does not move, and nothing is submitted", async () => {
        const run = aRequest();
        await queue.submit([run], "mine");
        await other.recover("theirs", [], 10);
        const component = aRequest({ cause: run.id });
        expect(await queue.advance(moved(run.id), component, "mine")).toBe(false);
        expect(await queue.unsettled([run.id, component.id])).toEqual([run.id]);
      });

      it("that is settled does not move, and a component that has a record is not submitted again", async () => {
        const [run, done] = [aRequest(), aRequest()];
        await queue.submit([run, done], "mine");
        const component = aRequest({ cause: done.id });
        await queue.advance(moved(done.id), component, "mine");
        await settle(run.id, component.id);
        expect(await queue.advance(moved(run.id), aRequest(), "mine")).toBe(false);
        expect(await queue.advance(moved(done.id), component, "mine")).toBe(true);
        expect(await queue.unsettled([run.id, done.id, component.id])).toEqual([done.id]);
      });

      it("that was taken over while it moved on is found with its component or without both", async () => {
        for (let round = 0; round < 20; round += 1) {
          const run = aRequest();
          const component = aRequest({ cause: run.id });
          await queue.submit([run], "owner");
          const [advanced, taken] = await Promise.all([
            queue.advance(moved(run.id, '{"at":1}', "owner"), component, "owner"),
            other.recover(`taker${round}`, [`taker${round}`], 1_000),
          ]);
          const seen = taken.find(({ request }) => request.id === run.id);
          if (seen?.request.run === undefined) {
            if (seen) expect(advanced).toBe(false);
          } else expect(advanced).toBe(true);
          expect(await queue.unsettled([component.id])).toEqual(advanced ? [component.id] : []);
          await settle(run.id, component.id);
        }
      });
    });

    describe("recovery", () => {
      it("takes what dead owners left, oldest first, up to the limit, and nothing of the living or of its own", async () => {
        const dead = Array.from({ length: 5 }, (_, i) => aRequest({ id: anId(Date.UTC(2026, 0, 1 + i)) }));
        await queue.submit([...dead].reverse(), "dead");
        await queue.submit([aRequest()], "living");
        await queue.submit([aRequest()], "mine");
        const first = await queue.recover("mine", ["living"], 3);
        expect(first.map(({ request }) => request.id)).toEqual(dead.slice(0, 3).map((r) => r.id));
        const rest = await queue.recover("mine", ["living"], 3);
        expect(rest.map(({ request }) => request.id)).toEqual(dead.slice(3).map((r) => r.id));
        expect(await queue.recover("mine", ["living"], 3)).toEqual([]);
      });

      it("fences the owner that was only paused", async () => {
        const request = aRequest();
        await queue.submit([request], "paused");
        await queue.markStarted([request.id], anAttempt({ ownerBootId: "paused" }));
        const [recovered] = await other.recover("mine", [], 1);
        expect(recovered?.attempt).toEqual(anAttempt({ ownerBootId: "paused" }));
        expect(await queue.markStarted([request.id], anAttempt({ ownerBootId: "paused" }))).toEqual([]);
        expect(await other.markStarted([request.id], anAttempt())).toEqual([request.id]);
      });

      it("by several at once hands every request to exactly one of them", async () => {
        const requests = Array.from({ length: 300 }, () => aRequest());
        await queue.submit(requests.slice(0, 200), "dead");
        await queue.submit(requests.slice(200), "dead too");
        const takers = ["a", "b", "c", "d"];
        const hauls = await Promise.all(
          takers.map(async (taker, i) => {
            const haul: ActivationId[] = [];
            for (;;) {
              const some = await (i % 2 ? queue : other).recover(taker, takers, 20);
              if (some.length === 0) return haul;
              haul.push(...some.map(({ request }) => request.id));
            }
          }),
        );
        const all = hauls.flat();
        expect(new Set(all).size).toBe(all.length);
        // One that saw the others' locks may have gone home early; what is left is found at the next look.
        const rest = await queue.recover("a", takers, 1_000);
        expect([...all, ...rest.map(({ request }) => request.id)].sort()).toEqual(requests.map((r) => r.id).sort());
      });

      it("against the owner's own start lets exactly one of them have it", async () => {
        for (let round = 0; round < 20; round += 1) {
          const request = aRequest();
          await queue.submit([request], "owner");
          const [started, recovered] = await Promise.all([
            queue.markStarted([request.id], anAttempt({ ownerBootId: "owner" })),
            other.recover(`taker${round}`, [], 1_000),
          ]);
          const mine = recovered.find((r) => r.request.id === request.id);
          // Either the start came first and the taker knows of it, or the taker came first and there is no start.
          if (mine) expect(mine.attempt !== undefined).toBe(started.length === 1);
          else expect(started).toEqual([request.id]); // the taker passed over the row that was being started
          await settle(request.id);
        }
      });

      it("passes over requests that are being settled", async () => {
        const requests = Array.from({ length: 50 }, () => aRequest());
        await queue.submit(requests, "dead");
        await Promise.all([settle(...requests.map((r) => r.id)), other.recover("mine", [], 100)]);
        expect(await queue.depth()).toBe(0);
      });
    });

    describe("a firing", () => {
      it("stores the trigger's record and the requests of its rules", async () => {
        const trigger = aTriggerActivation();
        const requests = [aRequest(), aRequest({ name: "tools/other" })];
        await queue.fire(trigger, requests, "mine");
        expect(await activations.get("guest", trigger.id)).toEqual(trigger);
        expect(
          (
            await activations.list({
              namespace: "guest",
              name: "greeted",
              full: true,
              limit: 10,
              skip: 0,
              bytesMax: 1_000_000,
            })
          ).entries,
        ).toEqual([trigger]);
        expect(await leftOver()).toEqual(requests.map((r) => r.id).sort());
      });

      it("without requests stores the record alone", async () => {
        const trigger = aTriggerActivation({ logs: [] });
        await queue.fire(trigger, [], "mine");
        expect(await activations.get("guest", trigger.id)).toEqual(trigger);
        expect(await queue.depth()).toBe(0);
      });

      it("that is repeated runs its rules once, although their requests have new ids", async () => {
        const trigger = aTriggerActivation();
        const first = aRequest();
        await queue.fire(trigger, [first], "mine");
        await Promise.all([
          queue.fire(trigger, [aRequest()], "mine"),
          other.fire({ ...trigger, logs: [] }, [aRequest()], "theirs"),
        ]);
        expect(await activations.get("guest", trigger.id)).toEqual(trigger);
        expect(await leftOver()).toEqual([first.id]);
      });

      it("that is repeated at once, by several processes, runs its rules once", async () => {
        for (let round = 0; round < 10; round += 1) {
          const trigger = aTriggerActivation();
          const pairs = Array.from({ length: 4 }, () => [aRequest(), aRequest()]);
          await Promise.all(pairs.map((pair, i) => (i % 2 ? queue : other).fire(trigger, pair, "mine")));
          const left = await leftOver();
          expect(pairs.map((pair) => pair.map((r) => r.id).sort())).toContainEqual(left);
          await settle(...left);
        }
      });

      it("goes along with submissions of others", async () => {
        const triggers = Array.from({ length: 20 }, () => aTriggerActivation());
        const requests = Array.from({ length: 40 }, () => aRequest());
        await Promise.all([
          ...triggers.map((trigger, i) => queue.fire(trigger, requests.slice(i, i + 1), "mine")),
          ...requests.slice(20).map((request) => queue.submit([request], "mine")),
        ]);
        expect(await leftOver()).toEqual(requests.map((r) => r.id).sort());
        expect(await activations.count({ namespace: "guest", full: false, limit: 1, bytesMax: 1, skip: 0 })).toBe(20);
      });
    });
  });
}
