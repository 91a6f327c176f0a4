/* eslint-disable @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-assignment -- bodies of answers are what is being looked at: a wrong member fails the test */

// Sequences and compositions on whole fabrics: `dev` with the built-in face, `up` with Envoy, and with a controller that
// is killed while they run.

import { afterAll, beforeAll, expect, it } from "vitest";
import { openFabric, UP_SERVICES, type OpenFabric } from "../e2e/fabrics.js";
import { describeWith } from "../harness/services.js";
import { annotationsOf, INC, RestNamespace, sequencesSuite, SLEEP } from "./sequences.suite.js";

sequencesSuite("dev", () => openFabric({ mode: "dev" }));

describeWith(UP_SERVICES, "up", () => {
  sequencesSuite("up", () => openFabric({ mode: "up", invokers: 1 }));
});

describeWith(UP_SERVICES, "up whose controller is killed", () => {
  let open: OpenFabric;
  let ns: RestNamespace;

  beforeAll(async () => {
    open = await openFabric({ mode: "up", invokers: 1, env: { WEFT_MEMBER_TTL_MS: "3000ms" } });
    ns = new RestNamespace(open.fabric.rest, open.fabric.auth, "guest");
    await ns.action("sleep", SLEEP);
    await ns.action("inc", INC);
    await ns.sequence("inner", ["/_/sleep", "/_/inc", "/_/sleep"]);
    await ns.sequence("outer", ["/_/sleep", "/_/inner", "/_/sleep"]);
    await ns.action(
      "conductor",
      `function main(p) {
         const step = p.step || 0;
         return step < 3 ? { action: 'sleep', params: { n: p.n }, state: { step: step + 1 } } : { n: p.n };
       }`,
      { annotations: [{ key: "conductor", value: true }] },
    );
    expect((await ns.invoke("outer", { n: 0 }, "blocking=true&result=true")).json).toEqual({ n: 5 });
  });
  afterAll(async () => {
    await open.close();
  });

  it.each([
    ["outer", 5],
    ["conductor", 3],
  ])("goes on with %s wherever it was, and starts nothing twice", async (name, n) => {
    const ids: string[] = [];
    for (let i = 0; i < 6; i += 1) {
      const accepted = await ns.invoke(name, { n: 10 * i }, "blocking=false");
      expect(accepted.status, accepted.text).toBe(202);
      ids.push(accepted.json.activationId as string);
    }
    const first = ids[0] ?? "";
    // One is waited for over the kill.
    const waiting = ns.invoke(name, { n: 1_000 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    open.fabric.kill("controller-1");
    await open.fabric.restart();
    for (const [i, id] of ids.entries()) {
      const record = await ns.record(id, 60_000);
      expect(record.response, JSON.stringify(record)).toMatchObject({ success: true, result: { n: 10 * i + n } });
    }
    const { status, json } = await waiting;
    if (status === 200) expect(json.response.result).toEqual({ n: 1_000 + n });
    else expect((await ns.record(json.activationId as string, 60_000)).response.result).toEqual({ n: 1_000 + n });
    const record = await ns.record(first);
    expect(annotationsOf(record)["topmost"]).toBe(true);
    const components = await Promise.all((record.logs as string[]).map((id) => ns.record(id)));
    expect(new Set(components.map((one) => one.activationId as string)).size).toBe(components.length);
    const { activations } = (await ns.get(`activations?name=${name}&count=true`)).json as { activations: number };
    expect(activations).toBeGreaterThanOrEqual(7);
  });
});
