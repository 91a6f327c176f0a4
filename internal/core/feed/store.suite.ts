// What every FeedStore promises, together with the entities that feeds hang on and the queue that firings go into. Each
// implementation's test file calls it.

import { beforeEach, describe, expect, it } from "vitest";

import type { EntityStore } from "../action/store.js";
import type { ActivationStore } from "../activation/store.js";
import { anId, aTriggerActivation } from "../activation/store.suite.js";
import { aRequest } from "../queue/store.suite.js";
import type { QueueStore } from "../queue/store.js";
import type { TenancyStore } from "../tenancy/store.js";
import type { AlarmDraft } from "./alarm.js";
import type { AlarmAfter, FeedStore } from "./store.js";
import type { WebhookDraft } from "./webhook.js";

export interface FeedWorld {
  readonly feeds: FeedStore;
  /** The same from another process. */
  readonly other: FeedStore;
  readonly entities: EntityStore;
  readonly tenancy: TenancyStore;
  readonly activations: ActivationStore;
  readonly queue: QueueStore;
}

const key = { uuid: "u1", subject: "guest" };

const anAlarm = (more: Partial<AlarmDraft> = {}): AlarmDraft => ({
  namespace: "guest",
  trigger: "t",
  id: anId(),
  key,
  schedule: { kind: "cron", cron: "* * * * *", timezone: "Asia/Tokyo", startDate: 5, maxTriggers: 3 },
  payloadJson: '{ "n":12345678901234567890.10, "é":"\\u0000 😀" }',
  status: { active: true, changedWallMs: 7 },
  fired: 0,
  skips: 0,
  lastMs: undefined,
  nextMs: 1_000,
  ...more,
});

const aWebhook = (more: Partial<WebhookDraft> = {}): WebhookDraft => ({
  namespace: "guest",
  trigger: "t",
  id: anId(),
  key,
  secret: undefined,
  status: { active: true, changedWallMs: 7 },
  ...more,
});

const after = (more: object = {}): AlarmAfter => ({
  kind: "goesOn",
  fired: 1,
  skips: 1,
  lastMs: 1_000,
  nextMs: 2_000,
  status: { active: true, changedWallMs: 7 },
  ...more,
});

/** @param open no feeds, no entities, no namespaces */
export function feedStoreSuite(name: string, open: () => Promise<FeedWorld>): void {
  describe(`${name} keeps the FeedStore contract`, () => {
    let world: FeedWorld;
    let feeds: FeedStore;
    let other: FeedStore;

    const trigger = async (name: string, namespace = "guest"): Promise<void> => {
      await world.entities.createTrigger({
        namespace,
        name,
        version: "0.0.1",
        publish: false,
        annotations: [],
        parameters: [],
      });
    };

    beforeEach(async () => {
      world = await open();
      ({ feeds, other } = world);
      for (const namespace of ["guest", "other"]) {
        const limits = { invocationsPerMinute: 1, firesPerMinute: 1, concurrentInvocations: 1 };
        await world.tenancy.ensureNamespace({ name: namespace, limits, createdWallMs: 0 });
      }
      await trigger("t");
    });

    describe("an alarm", () => {
      it("is as it was put, letter by letter", async () => {
        const draft = anAlarm({ lastMs: 4, fired: 3, skips: 2 });
        const stored = await feeds.putAlarm(draft, 10);
        expect(stored).toEqual({ ...draft, revision: 1 });
        expect(await other.getAlarm("guest", "t")).toEqual(stored);
      });

      it("takes the place of the one before", async () => {
        await feeds.putAlarm(anAlarm(), 10);
        const draft = anAlarm({ schedule: { kind: "once", date: "2026" }, nextMs: undefined });
        expect(await feeds.putAlarm(draft, 10)).toMatchObject({ ...draft, revision: 2 });
      });

      it("needs a trigger", async () => {
        await expect(feeds.putAlarm(anAlarm({ trigger: "gone" }), 10)).rejects.toMatchObject({
          kind: "notFound",
          reason: "TRIGGER_NOT_FOUND",
        });
        await expect(feeds.getAlarm("guest", "t")).rejects.toMatchObject({ kind: "notFound" });
      });

      it("is one of so many of a namespace, whoever else makes them", async () => {
        const names = ["a", "b", "c", "d", "e", "f"];
        for (const name of names) await trigger(name);
        const made = await Promise.allSettled(
          names.map((name, i) => (i % 2 === 0 ? feeds : other).putAlarm(anAlarm({ trigger: name }), 3)),
        );
        expect(made.filter(({ status }) => status === "fulfilled")).toHaveLength(3);
        expect(made.find(({ status }) => status === "rejected")).toMatchObject({
          reason: { kind: "throttled", reason: "TOO_MANY_ALARMS" },
        });
        await trigger("t", "other");
        await feeds.putAlarm(anAlarm({ namespace: "other" }), 3);
        await feeds.putAlarm(anAlarm({ namespace: "other" }), 1); // instead of itself
      });

      it("is updated by who read it last", async () => {
        const stored = await feeds.putAlarm(anAlarm(), 10);
        const status = { active: false, changedWallMs: 9, reason: { kind: "USER", message: "Paused" } } as const;
        const changed = { ...stored, nextMs: undefined, status };
        expect(await other.updateAlarm(changed)).toEqual({ ...changed, revision: 2 });
        await expect(feeds.updateAlarm(stored)).rejects.toMatchObject({ kind: "conflict" });
      });

      it("is deleted, also twice", async () => {
        await feeds.putAlarm(anAlarm(), 10);
        await feeds.deleteAlarm("guest", "t");
        await feeds.deleteAlarm("guest", "t");
        await expect(feeds.getAlarm("guest", "t")).rejects.toMatchObject({
          kind: "notFound",
          reason: "ALARM_NOT_FOUND",
        });
      });

      it("goes with its trigger, and with its namespace", async () => {
        await feeds.putAlarm(anAlarm(), 10);
        await world.entities.deleteTrigger("guest", "t", undefined);
        expect(await feeds.dueAlarms(5_000, 10)).toEqual([]);
        await trigger("t", "other");
        await feeds.putAlarm(anAlarm({ namespace: "other" }), 10);
        await world.tenancy.deleteNamespace("other");
        expect(await feeds.dueAlarms(5_000, 10)).toEqual([]);
      });

      it("is due from its time on, the most overdue first", async () => {
        for (const [name, nextMs] of [
          ["a", 3_000],
          ["b", 1_000],
          ["c", 2_000],
          ["d", undefined],
        ] as const) {
          await trigger(name);
          await feeds.putAlarm(anAlarm({ trigger: name, nextMs }), 10);
        }
        const due = async (wallMs: number, limit = 10): Promise<string[]> =>
          (await other.dueAlarms(wallMs, limit)).map((alarm) => alarm.trigger);
        expect([await due(999), await due(1_000), await due(9_000), await due(9_000, 2)]).toEqual([
          [],
          ["b"],
          ["b", "c", "a"],
          ["b", "c"],
        ]);
      });
    });

    describe("a firing", () => {
      const firing = (): {
        record: ReturnType<typeof aTriggerActivation>;
        requests: ReturnType<typeof aRequest>[];
      } => ({
        record: aTriggerActivation({ namespace: "guest" }),
        requests: [aRequest(), aRequest()],
      });

      it("moves the alarm on and stores what it starts", async () => {
        const alarm = await feeds.putAlarm(anAlarm(), 10);
        const made = firing();
        expect(await feeds.fireAlarm(alarm, after(), made, "mine")).toBe(true);
        expect(await other.getAlarm("guest", "t")).toEqual({
          ...alarm,
          fired: 1,
          skips: 1,
          lastMs: 1_000,
          nextMs: 2_000,
          revision: 2,
        });
        expect(await world.activations.get("guest", made.record.id)).toMatchObject({ of: "trigger" });
        expect(await world.queue.unsettled(made.requests.map(({ id }) => id))).toHaveLength(2);
      });

      it("without an active rule moves the alarm on alone", async () => {
        const alarm = await feeds.putAlarm(anAlarm(), 10);
        expect(await feeds.fireAlarm(alarm, after(), undefined, "mine")).toBe(true);
        expect(await world.queue.depth()).toBe(0);
      });

      it("by many at once is made once", async () => {
        const alarm = await feeds.putAlarm(anAlarm(), 10);
        const made = await Promise.all(
          Array.from({ length: 20 }, (_, i) =>
            (i % 2 === 0 ? feeds : other).fireAlarm(alarm, after(), firing(), `owner${i}`),
          ),
        );
        expect(made.filter(Boolean)).toHaveLength(1);
        expect(await world.queue.depth()).toBe(2);
      });

      it("does nothing when the alarm was changed, made anew or deleted", async () => {
        const alarm = await feeds.putAlarm(anAlarm(), 10);
        await feeds.updateAlarm(alarm);
        expect(await feeds.fireAlarm(alarm, after(), firing(), "mine")).toBe(false);
        const anew = await feeds.putAlarm(anAlarm(), 10);
        expect(await feeds.fireAlarm({ ...anew, id: alarm.id }, after(), firing(), "mine")).toBe(false);
        await feeds.deleteAlarm("guest", "t");
        expect(await feeds.fireAlarm(anew, after(), firing(), "mine")).toBe(false);
        expect(await world.queue.depth()).toBe(0);
      });

      it.each([
        [false, ["r1", "r2"]],
        [true, []],
      ] as const)("that deletes the trigger (and its rules: %s) leaves the rules %j", async (withRules, left) => {
        await feeds.putAlarm(anAlarm(), 10);
        await feeds.putWebhook(aWebhook(), 10);
        const exec = {
          kind: "sequence",
          main: undefined,
          binary: false,
          codeDigest: "",
          codeSize: 0,
          components: ["guest/b"],
        };
        const limits = { timeoutMs: 1_000, memoryMb: 128, logsMb: 1, concurrency: 1 };
        const common = { namespace: "guest", version: "0.0.1", publish: false, annotations: [] };
        await world.entities.createAction(
          { ...common, name: "a", exec, limits, parameters: [], revisionId: "r" },
          undefined,
          undefined,
        );
        for (const name of ["r1", "r2"]) {
          await world.entities.createRule({ ...common, name, trigger: "guest/t", action: "guest/a", active: true });
        }
        const alarm = await feeds.getAlarm("guest", "t");
        expect(await feeds.fireAlarm(alarm, { kind: "deleted", withRules }, firing(), "mine")).toBe(true);
        await expect(world.entities.getTrigger("guest", "t")).rejects.toMatchObject({ kind: "notFound" });
        await expect(feeds.getAlarm("guest", "t")).rejects.toMatchObject({ kind: "notFound" });
        await expect(feeds.getWebhook("guest", "t")).rejects.toMatchObject({ kind: "notFound" });
        const rules = await world.entities.listRules({ namespace: "guest", limit: 10, skip: 0, bytesMax: 1_000_000 });
        expect(rules.entries.map((rule) => rule.name).sort()).toEqual(left);
        expect(await world.queue.depth()).toBe(2);
      });
    });

    describe("a webhook", () => {
      it("is as it was put, and found by its id", async () => {
        const draft = aWebhook({ secret: Uint8Array.from([9, 0]) });
        const stored = await feeds.putWebhook(draft, 10);
        expect(stored).toEqual({ ...draft, revision: 1 });
        expect(await other.getWebhook("guest", "t")).toEqual(stored);
        expect(await other.findWebhook(draft.id)).toEqual(stored);
        await expect(other.findWebhook(anId())).rejects.toMatchObject({ kind: "notFound" });
      });

      it("takes the place of the one before, whose id is no more", async () => {
        const old = await feeds.putWebhook(aWebhook(), 10);
        await feeds.putWebhook(aWebhook(), 10);
        await expect(feeds.findWebhook(old.id)).rejects.toMatchObject({ kind: "notFound" });
      });

      it("needs a trigger and room", async () => {
        await expect(feeds.putWebhook(aWebhook({ trigger: "gone" }), 10)).rejects.toMatchObject({
          reason: "TRIGGER_NOT_FOUND",
        });
        await feeds.putWebhook(aWebhook(), 1);
        await trigger("u");
        await expect(feeds.putWebhook(aWebhook({ trigger: "u" }), 1)).rejects.toMatchObject({
          reason: "TOO_MANY_WEBHOOKS",
        });
      });

      it("is updated by who read it last, deleted also twice, and goes with its trigger", async () => {
        const stored = await feeds.putWebhook(aWebhook(), 10);
        expect(await other.updateWebhook({ ...stored, secret: Uint8Array.from([1]) })).toMatchObject({ revision: 2 });
        await expect(feeds.updateWebhook(stored)).rejects.toMatchObject({ kind: "conflict" });
        await feeds.deleteWebhook("guest", "t");
        await feeds.deleteWebhook("guest", "t");
        await feeds.putWebhook(aWebhook(), 10);
        await world.entities.deleteTrigger("guest", "t", undefined);
        await expect(feeds.getWebhook("guest", "t")).rejects.toMatchObject({ reason: "WEBHOOK_NOT_FOUND" });
      });
    });
  });
}
