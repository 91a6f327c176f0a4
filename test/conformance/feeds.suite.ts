/* eslint-disable @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-assignment, @typescript-eslint/no-unsafe-return, @typescript-eslint/no-unsafe-argument -- bodies of answers are what is being looked at: a wrong member fails the test */

// Feeds as clients of OpenWhisk depend on them: what they do for `--feed`, the package of alarms, and webhooks. They need
// a whole fabric: what is looked at is what fired. Numbers such as "#86" are lines of the list of behaviours that
// OpenWhisk's own tests assert.

import { createHmac } from "node:crypto";
import openwhisk from "openwhisk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OpenFabric } from "../e2e/fabrics.js";
import { eventually } from "../harness/eventually.js";
import { otherNamespace, RestNamespace } from "./sequences.suite.js";

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- bodies are what is being looked at
type Json = any;

const ECHO = "function main(p) { return p }";
const SOON = { withinMs: 20_000, everyMs: 50 };

/** A date so many seconds from now. */
const inSeconds = (seconds: number): number => Date.now() + seconds * 1_000;

/** What `wsk` does for `--feed`, call by call (contract, section 4.4). */
export class Feeds {
  constructor(
    readonly ns: RestNamespace,
    readonly auth: string,
  ) {}

  async event(feed: string, lifecycleEvent: string, trigger: string, params: object = {}): Promise<Json> {
    const body = { lifecycleEvent, triggerName: `/_/${trigger}`, authKey: this.auth, ...params };
    const [, namespace = "", ...name] = feed.split("/");
    return this.ns.ask("POST", `${namespace}/actions/${name.join("/")}?blocking=true&result=false`, body);
  }

  async create(feed: string, trigger: string, params: object): Promise<Json> {
    const put = await this.ns.put(`triggers/${trigger}`, { annotations: [{ key: "feed", value: feed }] });
    expect(put.status, put.text).toBe(200);
    const answer = await this.event(feed, "CREATE", trigger, params);
    if (answer.status !== 200) {
      await this.event(feed, "DELETE", trigger);
      await this.ns.ask("DELETE", `_/triggers/${trigger}`);
    }
    return answer;
  }

  /** The answer of READ. */
  async read(feed: string, trigger: string): Promise<Json> {
    const answer = await this.event(feed, "READ", trigger);
    expect(answer.status, answer.text).toBe(200);
    return answer.json.response.result;
  }

  async rule(trigger: string, action: string, name = `${trigger}-rule`): Promise<void> {
    const answer = await this.ns.put(`rules/${name}`, { trigger: `/_/${trigger}`, action: `/_/${action}` });
    expect(answer.status, answer.text).toBe(200);
  }

  /** Records of a trigger, oldest first. */
  async firings(trigger: string): Promise<Json[]> {
    const answer = await this.ns.get(`activations?name=${trigger}&docs=true&limit=200`);
    expect(answer.status, answer.text).toBe(200);
    return (answer.json as Json[]).reverse();
  }
}

const ALARM = "/whisk.system/alarms/alarm";
const INTERVAL = "/whisk.system/alarms/interval";
const ONCE = "/whisk.system/alarms/once";
const WEBHOOK = "/whisk.system/webhooks/webhook";

export function feedsSuite(name: string, open: () => Promise<OpenFabric>): void {
  describe(`feeds in front of ${name}`, () => {
    let opened: OpenFabric;
    let feeds: Feeds;
    let ns: RestNamespace;

    beforeAll(async () => {
      opened = await open();
      const { fabric } = opened;
      ns = new RestNamespace(fabric.rest, fabric.auth, "guest");
      feeds = new Feeds(ns, fabric.auth);
      await ns.action("echo", ECHO);
    });
    afterAll(async () => {
      await opened.close();
    });

    describe("the packages", () => {
      it("list their feeds apart from actions, for everybody (#84)", async () => {
        for (const [pkg, names] of [
          ["alarms", ["alarm", "interval", "once"]],
          ["webhooks", ["webhook"]],
        ] as const) {
          const { status, json } = await ns.ask("GET", `whisk.system/packages/${pkg}`);
          expect(status).toBe(200);
          expect(json.actions).toEqual([]);
          expect((json.feeds as Json[]).map((feed) => feed.name as string).sort()).toEqual(names);
        }
      });

      it("have actions that can be read, and cannot be copied", async () => {
        const { status, json } = await ns.ask("GET", "whisk.system/actions/alarms/alarm?code=true");
        expect(status).toBe(200);
        expect(json).toMatchObject({
          namespace: "whisk.system/alarms",
          name: "alarm",
          exec: { kind: "builtin", binary: false },
        });
        expect(json.annotations).toContainEqual({ key: "feed", value: true });
        const copy = await ns.put("actions/copy", { exec: json.exec });
        expect(copy.status).toBe(400);
        expect(copy.json.error).toContain("builtin");
      });
    });

    describe("a trigger with a feed", () => {
      it("fires by the clock, with its payload, and answers READ (#86)", async () => {
        const created = await feeds.create(ALARM, "seconds", {
          cron: "*/2 * * * * *",
          trigger_payload: { name: "Odin", place: "Asgard" },
        });
        expect(created.status, created.text).toBe(200);
        expect(created.json.response).toMatchObject({
          success: true,
          status: "success",
          result: { status: "success" },
        });
        await feeds.rule("seconds", "echo");
        const fired = await eventually(async () => {
          const all = await feeds.firings("seconds");
          expect(all.length).toBeGreaterThanOrEqual(3);
          return all;
        }, SOON);
        for (const record of fired) {
          expect(record.response).toMatchObject({ success: true, result: { name: "Odin", place: "Asgard" } });
          const log = JSON.parse(record.logs[0] as string);
          expect(log).toMatchObject({ success: true, statusCode: 0, rule: "guest/seconds-rule", action: "guest/echo" });
          expect((await ns.record(log.activationId as string)).response.result).toMatchObject({
            name: "Odin",
            place: "Asgard",
          });
        }
        const starts = fired.map((record) => record.start as number);
        expect(new Set(starts.map((start) => Math.floor(start / 2_000))).size).toBe(starts.length);

        const { config, status } = await feeds.read(ALARM, "seconds");
        expect(config).toMatchObject({
          name: "seconds",
          namespace: "guest",
          cron: "*/2 * * * * *",
          payload: { name: "Odin", place: "Asgard" },
          strict: true,
        });
        expect(status).toMatchObject({ active: true, dateChanged: expect.any(Number) as number });
        expect(status).not.toHaveProperty("reason");

        // Paused it is silent; going on, it does not make up for it.
        expect((await feeds.event(ALARM, "PAUSE", "seconds")).status).toBe(200);
        expect((await feeds.read(ALARM, "seconds")).status).toMatchObject({ active: false, reason: { kind: "USER" } });
        const before = (await feeds.firings("seconds")).length;
        await new Promise((resolve) => setTimeout(resolve, 3_000));
        expect((await feeds.firings("seconds")).length).toBeLessThanOrEqual(before + 1); // one was on its way
        expect((await feeds.event(ALARM, "UNPAUSE", "seconds")).status).toBe(200);
        const paused = (await feeds.firings("seconds")).length;
        await eventually(async () => expect((await feeds.firings("seconds")).length).toBeGreaterThan(paused), SOON);

        // As `wsk trigger delete`.
        expect((await feeds.event(ALARM, "DELETE", "seconds")).status).toBe(200);
        expect((await ns.ask("DELETE", "_/triggers/seconds")).status).toBe(200);
        expect((await feeds.event(ALARM, "DELETE", "seconds")).status).toBe(200);
        expect((await feeds.event(ALARM, "READ", "seconds")).status).toBe(502);
      });

      it("whose feed refuses is not there afterwards, and the refusal is an application error without code", async () => {
        const answer = await feeds.create(ALARM, "refused", { cron: "every day" });
        expect(answer.status).toBe(502);
        expect(answer.json).not.toHaveProperty("code");
        expect(answer.json.response).toMatchObject({ success: false, status: "application error" });
        expect(answer.json.response.result.error).toContain("cron pattern 'every day' is not valid");
        expect((await ns.get("triggers/refused")).status).toBe(404);
      });

      it.each<[string, object, string]>([
        [ALARM, {}, "alarms trigger feed is missing the cron parameter"],
        [ALARM, { cron: "* * * * *", timezone: "Mars/Base" }, "Invalid timezone."],
        [
          ALARM,
          { cron: "* * * * *", startDate: "2001-01-01" },
          "startDate parameter '2001-01-01' must be in the future",
        ],
        [INTERVAL, {}, "interval trigger feed is missing the minutes parameter"],
        [INTERVAL, { minutes: 1.5 }, "the minutes parameter must be an integer"],
        [ONCE, {}, "alarms once trigger feed is missing the date parameter"],
        [ONCE, { date: "tomorrow" }, "date parameter 'tomorrow' is not a valid Date"],
        [WEBHOOK, { secret: 7 }, "secret: must be a text"],
      ])("of %s is refused with %j", async (feed, params, message) => {
        const answer = await feeds.create(feed, "wrong", params);
        expect(answer.status).toBe(502);
        expect(answer.json.response.result.error).toContain(message);
      });

      it("is its owner's, and its key must be of the namespace", async () => {
        const other = await otherNamespace(opened.fabric, `feeds-${name}`);
        expect((await ns.put("triggers/mine", {})).status).toBe(200);
        const params = { lifecycleEvent: "CREATE", cron: "* * * * *" };
        const ask = (from: RestNamespace, more: object): Promise<Json> =>
          from.ask("POST", "whisk.system/actions/alarms/alarm?blocking=true", { ...params, ...more });
        for (const answer of [
          await ask(other, { triggerName: "/guest/mine", authKey: feeds.auth }),
          await ask(ns, { triggerName: "/guest/mine", authKey: `${feeds.auth.slice(0, -1)}x` }),
          await ask(ns, { triggerName: "/guest/mine", authKey: "nonsense" }),
          await ask(ns, { triggerName: "/guest/none", authKey: feeds.auth }),
          await ask(ns, { triggerName: "/guest/mine", lifecycleEvent: "EXPLODE" }),
        ]) {
          expect(answer.status, answer.text).toBe(502);
          expect(answer.json.response.status).toBe("application error");
        }
        expect((await feeds.event(ALARM, "READ", "mine")).status).toBe(502);
        await ns.ask("DELETE", "_/triggers/mine");
      });

      it("is updated with what is named, and answers so", async () => {
        const [startDate, stopDate] = [inSeconds(3_600), inSeconds(7_200)];
        const given = { cron: "0 9 * * *", timezone: "Asia/Tokyo", trigger_payload: "a text" };
        expect((await feeds.create(ALARM, "changing", given)).status).toBe(200);
        expect((await feeds.read(ALARM, "changing")).config).toMatchObject({
          payload: { payload: "a text" },
          timezone: "Asia/Tokyo",
        });
        const updated = await feeds.event(ALARM, "UPDATE", "changing", { cron: "* * * * *", startDate, stopDate });
        expect(updated.status, updated.text).toBe(200);
        expect((await feeds.read(ALARM, "changing")).config).toMatchObject({
          cron: "* * * * *",
          timezone: "Asia/Tokyo",
          startDate,
          stopDate,
        });
        const nothing = await feeds.event(ALARM, "UPDATE", "changing");
        expect(nothing.status).toBe(502);
        expect(nothing.json.response.result.error).toContain("no updatable parameters were specified");
        await ns.ask("DELETE", "_/triggers/changing");
      });

      it("goes with the trigger when that is deleted without its feed", async () => {
        expect((await feeds.create(ALARM, "short", { cron: "* * * * * *" })).status).toBe(200);
        expect((await ns.ask("DELETE", "_/triggers/short")).status).toBe(200);
        expect((await ns.put("triggers/short", {})).status).toBe(200);
        const answer = await feeds.event(ALARM, "READ", "short");
        expect(answer.status).toBe(502);
        expect(answer.json.response.result.error).toContain("has no alarm");
        await ns.ask("DELETE", "_/triggers/short");
      });

      it("made by the npm client fires as well", async () => {
        const { fabric } = opened;
        const ow = openwhisk({ apihost: fabric.rest, api_key: fabric.auth, ignore_certs: true });
        await ow.triggers.create({ name: "npm" });
        await ow.feeds.create({
          name: ONCE,
          trigger: "npm",
          params: { date: inSeconds(1.5), trigger_payload: { from: "npm" } },
        });
        await feeds.rule("npm", "echo");
        await eventually(async () => {
          const [record] = await feeds.firings("npm");
          expect(record.response.result).toEqual({ from: "npm" });
        }, SOON);
        const status = (await feeds.read(ONCE, "npm")).status;
        expect(status).toMatchObject({
          active: false,
          reason: { kind: "AUTO", message: "Automatically disabled after firing once" },
        });
        await ow.feeds.delete({ name: ONCE, trigger: "npm" });
        await ow.triggers.delete({ name: "npm" });
      });
    });

    describe("an alarm", () => {
      it("of an interval begins at its start and keeps to it", async () => {
        const startDate = inSeconds(1);
        expect((await feeds.create(INTERVAL, "every", { minutes: 1, startDate })).status).toBe(200);
        await feeds.rule("every", "echo");
        await eventually(async () => expect(await feeds.firings("every")).toHaveLength(1), SOON);
        const { config, status } = await feeds.read(INTERVAL, "every");
        expect(config).toMatchObject({ minutes: 1, startDate });
        expect(Date.parse(status.nextFire as string)).toBe(Math.floor((startDate + 60_000) / 1_000) * 1_000);
        await ns.ask("DELETE", "_/triggers/every");
      });

      it("that fires so many times is disabled then", async () => {
        expect((await feeds.create(ALARM, "twice", { cron: "* * * * * *", maxTriggers: 2 })).status).toBe(200);
        await feeds.rule("twice", "echo");
        await eventually(async () => {
          const { status } = await feeds.read(ALARM, "twice");
          expect(status).toMatchObject({
            active: false,
            reason: { message: "Automatically disabled after reaching max triggers" },
          });
        }, SOON);
        expect((await feeds.firings("twice")).length).toBeLessThanOrEqual(2);
        await ns.ask("DELETE", "_/triggers/twice");
      });

      it.each([
        ["true", 200],
        ["rules", 404],
      ])(
        "once with deleteAfterFire %s takes its trigger along, and leaves the rule %i",
        async (deleteAfterFire, rule) => {
          const trigger = `once-${deleteAfterFire}`;
          expect((await feeds.create(ONCE, trigger, { date: inSeconds(2), deleteAfterFire })).status).toBe(200);
          await feeds.rule(trigger, "echo");
          await eventually(async () => expect(await feeds.firings(trigger)).toHaveLength(1), SOON);
          expect((await ns.get(`triggers/${trigger}`)).status).toBe(404);
          expect((await ns.get(`rules/${trigger}-rule`)).status).toBe(rule);
          if (rule === 200) await ns.ask("DELETE", `_/rules/${trigger}-rule`);
        },
      );

      it("whose key was deleted is disabled, and says so", async () => {
        const { fabric } = opened;
        const key = JSON.parse(await fabric.ok("key", "create", "--json")) as {
          readonly auth: string;
          readonly uuid?: string;
        };
        const own = new Feeds(ns, key.auth);
        expect((await own.create(ALARM, "keyless", { cron: "* * * * * *" })).status).toBe(200);
        await feeds.rule("keyless", "echo");
        await eventually(async () => expect((await feeds.firings("keyless")).length).toBeGreaterThan(0), SOON);
        await fabric.ok("key", "delete", key.auth.split(":")[0] ?? "");
        await eventually(async () => {
          const { status } = await feeds.read(ALARM, "keyless");
          expect(status).toMatchObject({ active: false, reason: { kind: "AUTO", statusCode: 401 } });
        }, SOON);
        await ns.ask("DELETE", "_/triggers/keyless");
      });

      it("gives actions that ask for a key one that is made from its own", async () => {
        await ns.action("keyed", "function main() { return { key: process.env.__OW_API_KEY || '' } }", {
          annotations: [{ key: "provide-api-key", value: true }],
        });
        expect((await feeds.create(ONCE, "keyed-once", { date: inSeconds(1.5) })).status).toBe(200);
        await feeds.rule("keyed-once", "keyed");
        await eventually(async () => {
          const [record] = await feeds.firings("keyed-once");
          const { activationId } = JSON.parse(record.logs[0] as string);
          const { result } = (await ns.record(activationId as string)).response;
          expect((result.key as string).split(":")[0]).toBe(feeds.auth.split(":")[0]);
        }, SOON);
        await ns.ask("DELETE", "_/triggers/keyed-once");
      });
    });

    describe("a webhook", () => {
      const post = async (path: string, body: string, headers: Record<string, string> = {}): Promise<Response> =>
        fetch(`${opened.fabric.rest}${path}`, { method: "POST", body, headers });
      const json = { "content-type": "application/json" };

      it("fires its trigger with body, query and headers, and nobody can guess it", async () => {
        const created = await feeds.create(WEBHOOK, "hooked", {});
        expect(created.status, created.text).toBe(200);
        const path = created.json.response.result.path as string;
        expect(path).toMatch(/^\/api\/v1\/hooks\/[0-9a-f]{64}$/);
        expect((await feeds.read(WEBHOOK, "hooked")).config).toEqual({
          name: "hooked",
          namespace: "guest",
          path,
          signed: false,
        });
        expect((await post(path, "{}", json)).status).toBe(204); // no rule yet
        await feeds.rule("hooked", "echo");
        const answer = await post(`${path}?a=1&b=q`, '{"b":2.50,"c":{"d":[1]}}', { ...json, "x-event": "push" });
        expect(answer.status).toBe(202);
        const { activationId } = (await answer.json()) as { readonly activationId: string };
        expect(answer.headers.get("x-openwhisk-activation-id")).toBe(activationId);
        const record = await ns.record(activationId);
        expect(record.response.result).toEqual({ a: "1", b: 2.5, c: { d: [1] } });
        const { activationId: run } = JSON.parse(record.logs[0] as string);
        const { result } = (await ns.record(run as string)).response;
        expect(result).toMatchObject({ a: "1", b: 2.5, c: { d: [1] }, __ow_headers: { "x-event": "push" } });

        const wrong = path.slice(0, -1) + (path.endsWith("0") ? "1" : "0");
        for (const nowhere of [
          wrong,
          `${path}/x`,
          "/api/v1/hooks/",
          "/api/v1/hooks/..%2f",
          `/api/v1/hooks/${"f".repeat(64)}`,
        ]) {
          expect((await post(nowhere, "{}", json)).status, nowhere).toBe(404);
        }
        expect((await fetch(opened.fabric.rest + path)).status).toBe(405);
        expect((await post(path, "[1]", json)).status).toBe(202);
        expect((await post(path, "{oops", json)).status).toBe(400);
        expect((await post(path, '{"__ow_headers":1}', json)).status).toBe(400);
        expect((await post(path, JSON.stringify({ a: "x".repeat(1_100_000) }), json)).status).toBe(413);

        expect((await feeds.event(WEBHOOK, "PAUSE", "hooked")).status).toBe(200);
        expect((await post(path, "{}", json)).status).toBe(404);
        expect((await feeds.event(WEBHOOK, "UNPAUSE", "hooked")).status).toBe(200);
        expect((await post(path, "{}", json)).status).toBe(202);
        expect((await feeds.event(WEBHOOK, "DELETE", "hooked")).status).toBe(200);
        expect((await post(path, "{}", json)).status).toBe(404);
        await ns.ask("DELETE", "_/triggers/hooked");
      });

      it("with a secret takes what GitHub signed with it, and nothing else", async () => {
        const secret = "It's a Secret to Everybody";
        const created = await feeds.create(WEBHOOK, "signed", { secret });
        const path = created.json.response.result.path as string;
        expect((await feeds.read(WEBHOOK, "signed")).config).toMatchObject({ signed: true });
        expect(JSON.stringify(await feeds.read(WEBHOOK, "signed"))).not.toContain("Everybody");
        await feeds.rule("signed", "echo");
        const body = '{"zen":"Keep it logically awesome."}';
        const signature = `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
        const signed = { ...json, "x-hub-signature-256": signature };
        expect((await post(path, body, signed)).status).toBe(202);
        expect((await post(path, `${body} `, signed)).status).toBe(403);
        expect((await post(path, body, json)).status).toBe(403);
        expect((await post(path, body, { ...json, "x-hub-signature-256": "sha256=" })).status).toBe(403);
        expect((await feeds.event(WEBHOOK, "UPDATE", "signed", { secret: "" })).status).toBe(200);
        expect((await post(path, body, json)).status).toBe(202);
        await ns.ask("DELETE", "_/triggers/signed");
        expect((await post(path, body, json)).status).toBe(404);
      });

      it("is throttled as its namespace", async () => {
        const { fabric } = opened;
        const auth = (await fabric.ok("namespace", "create", `hooks-${name}`)).trim();
        const other = new RestNamespace(fabric.rest, auth, `hooks-${name}`);
        const own = new Feeds(other, auth);
        const created = await own.create(WEBHOOK, "busy", {});
        expect(created.status, created.text).toBe(200);
        const path = created.json.response.result.path as string;
        await fabric.ok("namespace", "limits", other.name, "--fires-per-minute", "2");
        const statuses = await eventually(async () => {
          const all = [];
          for (let i = 0; i < 4; i++) all.push((await post(path, "{}", json)).status);
          expect(all).toContain(429);
          return all;
        }, SOON);
        expect(statuses.at(-1)).toBe(429);
      });
    });
  });
}
