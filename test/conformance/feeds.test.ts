/* eslint-disable @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-assignment, @typescript-eslint/no-unsafe-argument -- bodies of answers are what is being looked at: a wrong member fails the test */

// Feeds on whole fabrics: `dev` with the built-in face, `up` with Envoy, and with a controller that is killed.

import { afterAll, beforeAll, expect, it } from "vitest";
import { openFabric, UP_SERVICES, type OpenFabric } from "../e2e/fabrics.js";
import { eventually } from "../harness/eventually.js";
import { describeWith } from "../harness/services.js";
import { Feeds, feedsSuite } from "./feeds.suite.js";
import { RestNamespace } from "./sequences.suite.js";

feedsSuite("dev", () => openFabric({ mode: "dev" }));

describeWith(UP_SERVICES, "up", () => {
  feedsSuite("up", () => openFabric({ mode: "up", invokers: 1 }));
});

describeWith(UP_SERVICES, "up whose controller is killed", () => {
  let open: OpenFabric;
  let feeds: Feeds;

  beforeAll(async () => {
    open = await openFabric({ mode: "up", invokers: 1, env: { WEFT_MEMBER_TTL_MS: "3000ms" } });
    const { fabric } = open;
    feeds = new Feeds(new RestNamespace(fabric.rest, fabric.auth, "guest"), fabric.auth);
    await feeds.ns.action("echo", "function main(p) { return p }");
  });
  afterAll(async () => {
    await open.close();
  });

  it("fires every second of a pattern once, also those while nobody was there", async () => {
    await feeds.ns.put("triggers/tick", {});
    await feeds.rule("tick", "echo");
    const created = await feeds.event("/whisk.system/alarms/alarm", "CREATE", "tick", { cron: "* * * * * *" });
    expect(created.status, created.text).toBe(200);
    for (let kills = 0; kills < 2; kills++) {
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      open.fabric.kill("controller-1");
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      await open.fabric.restart();
    }
    const before = Date.now();
    await eventually(
      async () => {
        const { status } = await feeds.read("/whisk.system/alarms/alarm", "tick");
        expect(Date.parse(status.lastFire)).toBeGreaterThanOrEqual(before);
      },
      { withinMs: 30_000, everyMs: 200 },
    );
    expect((await feeds.event("/whisk.system/alarms/alarm", "PAUSE", "tick")).status).toBe(200);
    const { status } = await feeds.read("/whisk.system/alarms/alarm", "tick");
    expect(status.skipped).toBeUndefined();
    const firings = await feeds.firings("tick");
    // The id of a firing begins with when it was due.
    const due = firings.map(({ activationId }) => Number.parseInt((activationId as string).slice(0, 12), 16));
    due.sort((a, b) => a - b);
    expect(due).toHaveLength(status.fired);
    expect(due).toEqual(due.map((_, i) => (due[0] ?? 0) + i * 1_000));
    const runs = firings.map(({ logs }) => (JSON.parse(logs[0] as string) as { activationId: string }).activationId);
    for (const id of runs) {
      expect((await feeds.ns.record(id, 60_000)).response.status).toMatch(/success/);
    }
  });
});
