// The feed actions over stores in memory: what each event does, who may ask for it, and that repeating it does no harm.

import { describe, expect, it } from "vitest";

import { FeedTable } from "../../test/harness/feed-table.js";
import { ManualClock } from "../../test/harness/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import { silentLog } from "../base/log.js";
import { seededRandom } from "../base/random.js";
import { DelegatedKeys, delegatedLifeMs } from "../core/tenancy/delegated.js";
import { newKey } from "../core/tenancy/key.js";
import type { Key } from "../core/tenancy/store.js";
import { readCron } from "../../test/harness/cron.js";
import { AlarmFeed } from "./alarm-feed.js";
import { FeedKeys } from "./feed-keys.js";
import { WebhookFeed } from "./webhook-feed.js";

class World {
  readonly clock = new ManualClock();
  readonly random = seededRandom(1);
  readonly table = new FeedTable();
  readonly known = new Map<string, Key>();
  readonly auth = this.key("guest");
  readonly keys: FeedKeys;
  readonly delegated: DelegatedKeys;
  readonly alarms: AlarmFeed;
  readonly webhooks: WebhookFeed;
  looks = 0;

  constructor(clusterKey = "cluster") {
    const { clock, random, table: feeds } = this;
    for (const trigger of ["t", "u"]) feeds.triggers.set(`guest/${trigger}`, new Set());
    const getKey = (uuid: string): Promise<Key> => {
      const key = this.known.get(uuid);
      return key ? Promise.resolve(key) : Promise.reject(new WeftError("notFound", "KEY_NOT_FOUND", uuid));
    };
    this.delegated = new DelegatedKeys(clusterKey);
    this.keys = new FeedKeys({ tenancy: { getKey }, clusterKey, delegated: this.delegated, clock, random });
    const common = { feeds, keys: this.keys, clock, random };
    const limits = { perNamespaceMax: 1, intervalMinMs: 60_000 };
    this.alarms = new AlarmFeed({ ...common, limits, readCron, changed: () => (this.looks += 1) });
    this.webhooks = new WebhookFeed({ ...common, perNamespaceMax: 1, log: silentLog });
  }

  key(namespace: string): string {
    const { key, auth } = newKey({ namespace, subject: "owner", operator: false }, this.random, 0);
    this.known.set(key.uuid, key);
    return auth;
  }

  alarm(lifecycleEvent: string, params: object = {}, feed: "alarm" | "interval" | "once" = "alarm"): Promise<unknown> {
    const all = { lifecycleEvent, triggerName: "/guest/t", authKey: this.auth, ...params };
    return this.alarms.handle(feed, this.#caller, JSON.stringify(all)).then((text) => JSON.parse(text) as unknown);
  }

  webhook(lifecycleEvent: string, params: object = {}): Promise<Record<string, unknown>> {
    const all = { lifecycleEvent, triggerName: "/guest/t", ...params };
    return this.webhooks
      .handle(this.#caller, JSON.stringify(all))
      .then((text) => JSON.parse(text) as Record<string, unknown>);
  }

  get #caller() {
    return { namespace: "guest", subject: "owner", keyUuid: this.auth.split(":")[0] ?? "", transactionId: "" };
  }
}

const refusal = (act: Promise<unknown>): Promise<WeftError> =>
  act.then(
    () => Promise.reject(new Error("it was not refused")),
    (thrown: unknown) => toWeftError(thrown),
  );

describe("the feeds of alarms", () => {
  it("make, show, pause, resume and end an alarm, each also twice", async () => {
    const world = new World();
    for (let i = 0; i < 2; i++) await world.alarm("CREATE", { cron: "0 * * * *" });
    expect(await world.alarm("READ")).toMatchObject({ config: { cron: "0 * * * *" }, status: { active: true } });
    for (let i = 0; i < 2; i++) await world.alarm("PAUSE");
    expect(await world.table.dueAlarms(1e15, 10)).toEqual([]);
    world.clock.advance(2.5 * 3_600_000);
    for (let i = 0; i < 2; i++) await world.alarm("UNPAUSE");
    expect(await world.alarm("READ")).toMatchObject({ status: { active: true, nextFire: "2026-01-01T03:00:00Z" } });
    expect(world.looks).toBe(3);
    for (let i = 0; i < 2; i++) await world.alarm("DELETE");
    expect(await refusal(world.alarm("READ"))).toMatchObject({ reason: "ALARM_NOT_FOUND" });
  });

  it("update what is named, and begin again", async () => {
    const world = new World();
    await world.alarm("CREATE", { date: "2026-01-01T01:00:00Z" }, "once");
    await world.table.updateAlarm({
      ...(await world.table.getAlarm("guest", "t")),
      fired: 1,
      nextMs: undefined,
      status: {
        active: false,
        changedWallMs: 0,
        reason: { kind: "AUTO", message: "Automatically disabled after firing once" },
      },
    });
    world.clock.advance(7_200_000);
    expect((await refusal(world.alarm("UPDATE", { trigger_payload: { a: 1 } }))).message).toContain(
      "must be in the future",
    );
    await world.alarm("UPDATE", { date: "2026-01-02T00:00:00Z" });
    expect(await world.alarm("READ")).toMatchObject({
      status: { active: true, fired: 0, nextFire: "2026-01-02T00:00:00Z" },
    });
  });

  it("keep the firing that is due when only the payload changes", async () => {
    const world = new World();
    await world.alarm("CREATE", { cron: "0 * * * *" });
    world.clock.advance(3_600_001);
    await world.alarm("UPDATE", { trigger_payload: "late" });
    expect(await world.table.dueAlarms(world.clock.wallMs(), 10)).toMatchObject([
      { payloadJson: '{"payload":"late"}' },
    ]);
  });

  it.each<[object, string]>([
    [{ authKey: "nonsense" }, "INVALID_FIELD"],
    [{ authKey: `${"0".repeat(8)}-0000-0000-0000-${"0".repeat(12)}:key` }, "BAD_AUTH_KEY"],
    [{ triggerName: "/guest/none" }, "TRIGGER_NOT_FOUND"],
    [{ triggerName: "/other/t" }, "TRIGGER_NOT_OWN"],
    [{ cron: "* * * * * *" }, "INVALID_FIELD"], // more often than this one allows
  ])("refuse %j", async (params, reason) => {
    const world = new World();
    expect(await refusal(world.alarm("CREATE", { cron: "0 * * * *", ...params }))).toMatchObject({ reason });
    expect(world.table.alarms.size).toBe(0);
  });

  it("refuse a key of another namespace, or with another secret, and more alarms than allowed", async () => {
    const world = new World();
    const ask = (params: object): Promise<WeftError> =>
      refusal(world.alarm("CREATE", { cron: "0 * * * *", ...params }));
    expect(await ask({ authKey: world.key("other") })).toMatchObject({ reason: "BAD_AUTH_KEY" });
    expect(await ask({ authKey: `${world.auth.slice(0, -1)}!` })).toMatchObject({ reason: "BAD_AUTH_KEY" });
    await world.alarm("CREATE", { cron: "0 * * * *" });
    expect(await ask({ triggerName: "u" })).toMatchObject({ kind: "throttled", reason: "TOO_MANY_ALARMS" });
  });
});

describe("the key of a feed", () => {
  it("holds as long as it is accepted, and is not kept", async () => {
    const world = new World();
    await world.alarm("CREATE", { cron: "0 * * * *" });
    const alarm = await world.table.getAlarm("guest", "t");
    expect(JSON.stringify(alarm)).not.toContain(world.auth.split(":")[1]);
    expect(await world.keys.check(alarm)).toEqual({ kind: "holds" });
    const [uuid = ""] = world.auth.split(":");
    const key = world.known.get(uuid)!;
    world.known.set(uuid, { ...key, blocked: true });
    expect(await world.keys.check(alarm)).toMatchObject({ kind: "gone" });
    world.known.set(uuid, { ...key, namespace: "other" });
    expect(await world.keys.check(alarm)).toMatchObject({ kind: "gone" });
    world.known.delete(uuid);
    expect(await world.keys.check(alarm)).toMatchObject({ kind: "gone" });
  });

  it("is the caller's when the request has none, and may be one that was made for an activation", async () => {
    const world = new World();
    const [uuid = ""] = world.auth.split(":");
    await world.alarm("CREATE", { cron: "0 * * * *", authKey: undefined });
    expect((await world.table.getAlarm("guest", "t")).key).toEqual({ uuid, subject: "owner" });
    const authKey = world.delegated.make(uuid, 1_000, world.clock.wallMs());
    await world.alarm("CREATE", { cron: "0 * * * *", authKey });
    expect((await world.table.getAlarm("guest", "t")).key).toEqual({ uuid, subject: "owner" });
    world.clock.advance(delegatedLifeMs(1_000) + 10_000);
    const late = world.alarm("CREATE", { cron: "0 * * * *", authKey });
    expect(await refusal(late)).toMatchObject({ reason: "BAD_AUTH_KEY" });
  });
});

describe("the feed of webhooks", () => {
  const tokenOf = (answer: Record<string, unknown>): string => String(answer["path"]).split("/").at(-1) ?? "";

  it("gives a path that stands for the trigger, and another one each time", async () => {
    const world = new World();
    const old = tokenOf(await world.webhook("CREATE"));
    const token = tokenOf(await world.webhook("CREATE", { secret: "s" }));
    expect(await refusal(world.webhooks.resolve(old))).toMatchObject({ kind: "notFound" });
    expect(await world.webhooks.resolve(token)).toMatchObject({
      webhook: { namespace: "guest", trigger: "t" },
      secret: "s",
    });
    expect(await world.webhook("READ")).toMatchObject({ config: { signed: true, path: `/api/v1/hooks/${token}` } });
    await world.webhook("UPDATE", { secret: "" });
    expect((await world.webhooks.resolve(token)).secret).toBeUndefined();
    for (const [event, there] of [
      ["PAUSE", false],
      ["UNPAUSE", true],
      ["DELETE", false],
      ["DELETE", false],
    ] as const) {
      await world.webhook(event);
      const found = await world.webhooks.resolve(token).then(
        () => true,
        () => false,
      );
      expect(found, event).toBe(there);
    }
  });

  it("is disabled when its key does not hold any more, or its secret cannot be read", async () => {
    const world = new World();
    const token = tokenOf(await world.webhook("CREATE", { secret: "s" }));
    const stored = await world.table.getWebhook("guest", "t");
    await world.table.updateWebhook({ ...stored, secret: Uint8Array.from([1, 2, 3]) });
    expect(await refusal(world.webhooks.resolve(token))).toMatchObject({ kind: "notFound" });
    expect(await world.webhook("READ")).toMatchObject({ status: { active: false, reason: { kind: "AUTO" } } });

    const again = tokenOf(await world.webhook("CREATE"));
    world.known.clear();
    expect(await refusal(world.webhooks.resolve(again))).toMatchObject({ kind: "notFound" });
    expect(await world.webhook("READ")).toMatchObject({ status: { active: false, reason: { statusCode: 401 } } });
  });

  it("refuses tokens that nobody was given without looking for them", async () => {
    const world = new World();
    await world.webhook("CREATE");
    const { id } = await world.table.getWebhook("guest", "t");
    for (const token of ["", id, id + id, "x".repeat(64)]) {
      expect(await refusal(world.webhooks.resolve(token))).toMatchObject({ reason: "WEBHOOK_NOT_FOUND" });
    }
  });

  it("refuses more than allowed, and an update that changes nothing", async () => {
    const world = new World();
    await world.webhook("CREATE");
    expect(await refusal(world.webhook("CREATE", { triggerName: "u" }))).toMatchObject({ reason: "TOO_MANY_WEBHOOKS" });
    expect((await refusal(world.webhook("UPDATE"))).message).toContain("no updatable parameters");
  });
});
