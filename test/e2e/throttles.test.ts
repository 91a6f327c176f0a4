// The limits of a namespace on a whole fabric with two gateways, each a process of its own, behind Envoy and beside it: they
// admit together what one would admit.

import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  InvokeServiceService,
  type InvokeRequest,
  type InvokeResponse,
} from "../../internal/gen/weft/invoke/v1/invoke.pb.js";
import { eventually } from "../harness/eventually.js";
import { describeWith } from "../harness/services.js";
import { openFabric, UP_SERVICES, type OpenFabric } from "./fabrics.js";
import { ask } from "../harness/ask.js";

describeWith(UP_SERVICES, "two gateways", () => {
  let open: OpenFabric;
  let gateways: readonly Client[];
  let number = 0;

  beforeAll(async () => {
    open = await openFabric({
      mode: "up",
      invokers: 1,
      gateways: 2,
      env: { WEFT_SYSTEM_CONCURRENT_INVOCATIONS: "150", WEFT_DEFAULT_FIRES_PER_MINUTE: "7" },
    });
    const { grpc } = open.fabric;
    const port = Number(grpc.slice(grpc.lastIndexOf(":") + 1));
    gateways = [0, 1].map((i) => new Client(`127.0.0.1:${port + i}`, credentials.createInsecure()));
  });
  afterAll(async () => {
    for (const client of gateways) client.close();
    await open.close();
  });

  /** A namespace of this test alone. @returns its key */
  async function namespace(...limits: readonly string[]): Promise<string> {
    const name = `throttled-${++number}`;
    const auth = (await open.fabric.ok("namespace", "create", name)).trim();
    await open.fabric.ok("namespace", "limits", name, ...limits);
    return auth;
  }

  async function action(auth: string, name: string, code: string): Promise<void> {
    const answer = await ask(open.fabric.rest, auth, "PUT", `_/actions/${name}`, {
      exec: { kind: "nodejs:default", code },
      limits: { concurrency: 50 },
    });
    expect(answer.status, answer.text).toBe(200);
  }

  /** @returns "ok", or the reason that a caller is given */
  function invoke(gateway: number, auth: string, request: Partial<InvokeRequest>): Promise<string> {
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${auth}`);
    const { path, requestSerialize, responseDeserialize } = InvokeServiceService.invoke;
    return new Promise((resolve) => {
      gateways[gateway]?.makeUnaryRequest<InvokeRequest, InvokeResponse>(
        path,
        requestSerialize,
        responseDeserialize,
        { namespace: "_", action: "a", paramsJson: "", blocking: true, waitMs: 0, ...request },
        metadata,
        (error: ServiceError | null) => {
          resolve(error ? error.details : "ok");
        },
      );
    });
  }

  /** Waits for the beginning of a minute when this one is nearly over: what is counted is counted in one. */
  async function atLeastLeft(ms: number): Promise<void> {
    const leftMs = 60_000 - (Date.now() % 60_000);
    if (leftMs < ms) await eventually(() => Date.now() % 60_000 < 1_000, { withinMs: ms + 1_000, everyMs: 50 });
  }

  it("admit exactly the limit of a minute together, however the calls fall on them", async () => {
    const auth = await namespace("--invocations-per-minute", "60");
    await action(auth, "a", "function main() { return {} }");
    await atLeastLeft(20_000);
    const calls = Array.from({ length: 100 }, (_, i) => invoke(i % 7 === 0 ? 0 : 1, auth, {}));
    const told = await Promise.all(calls);
    expect(told.filter((one) => one === "ok")).toHaveLength(60);
    for (const one of told.filter((text) => text !== "ok")) {
      expect(one).toMatch(/^too many requests in the last minute \(count: \d+, allowed: 60\)$/);
    }
    const refused = await ask(open.fabric.rest, auth, "POST", "_/actions/a?blocking=true", {});
    expect(refused.status).toBe(429);
    const retryAfter = Number(refused.headers["retry-after"]);
    expect(Math.abs(retryAfter - (60_000 - (Date.now() % 60_000)) / 1_000)).toBeLessThanOrEqual(1.5);
  });

  it("keep the limit of what is in flight together, and let each have all of it", async () => {
    const auth = await namespace("--concurrent", "6");
    await action(auth, "a", "function main(p) { return new Promise((done) => setTimeout(() => done({}), p.ms || 0)) }");
    for (const share of [
      [4, 4],
      [8, 0],
      [0, 8],
      [1, 7],
    ]) {
      const running = share.flatMap((count, gateway) =>
        Array.from({ length: count }, () => invoke(gateway, auth, { paramsJson: '{"ms":1500}' })),
      );
      const told = (await Promise.all(running)).sort();
      const busy = "too many concurrent requests in flight (count: 6, allowed: 6)";
      expect([share, told]).toEqual([share, [...Array.from({ length: 6 }, () => "ok"), busy, busy]]);
    }
  });

  it("count what nobody waits for until it is finished", async () => {
    const auth = await namespace("--concurrent", "3");
    await action(auth, "a", "function main(p) { return new Promise((done) => setTimeout(() => done({}), p.ms || 0)) }");
    for (let i = 0; i < 3; i++) {
      expect(await invoke(i % 2, auth, { blocking: false, paramsJson: '{"ms":2000}' })).toBe("ok");
    }
    for (const [gateway, blocking] of [
      [0, true],
      [1, true],
      [0, false],
      [1, false],
    ] as const) {
      expect(await invoke(gateway, auth, { blocking })).toMatch(/^too many concurrent requests/);
    }
    await eventually(async () => (await invoke(0, auth, {})) === "ok", { withinMs: 10_000, everyMs: 100 });
    await eventually(async () => (await invoke(1, auth, { blocking: false })) === "ok", { withinMs: 5_000 });
  });

  it("give a new namespace what the settings say, and show it", async () => {
    const auth = await namespace();
    const limits = await ask(open.fabric.rest, auth, "GET", "_/limits");
    expect(limits.json).toMatchObject({ invocationsPerMinute: 6_000, firesPerMinute: 7, concurrentInvocations: 100 });
    const host = (await (await fetch(open.fabric.rest)).json()) as { readonly limits: Record<string, number> };
    expect(host.limits["triggers_per_minute"]).toBe(7);
  });

  it("keep what all namespaces have in flight within the system's limit, with 503 and a time to come again", async () => {
    const auths = [await namespace(), await namespace(), await namespace()];
    const code = "function main(p) { return new Promise((done) => setTimeout(() => done({}), p.ms || 0)) }";
    for (const auth of auths) await action(auth, "a", code);
    for (const auth of auths) expect(await invoke(0, auth, {})).toBe("ok");
    const held = Array.from({ length: 150 }, (_, i) =>
      invoke(i % 2, auths[i % 4 < 2 ? 0 : 1] ?? "", { paramsJson: '{"ms":5000}' }),
    );
    // Of a third namespace, over REST, beside them.
    const path = "_/actions/a?blocking=true";
    const over = await Promise.all(
      Array.from({ length: 60 }, () => ask(open.fabric.rest, auths[2] ?? "", "POST", path, { ms: 5_000 })),
    );
    const busy = "the system is overloaded: there are too many requests in flight";
    const refused = over.filter(({ status }) => status === 503);
    for (const { headers, json } of refused) {
      expect([Number(headers["retry-after"]) > 0, (json as { error: string }).error]).toEqual([true, `${busy}.`]);
    }
    const told = await Promise.all(held);
    expect(told.filter((one) => one !== "ok" && one !== busy)).toEqual([]);
    const ran = told.filter((one) => one === "ok").length + over.filter(({ status }) => status === 200).length;
    // A gateway without a moment to answer may cost a few of them, and nothing gives one more.
    expect(ran).toBeLessThanOrEqual(150);
    expect(ran).toBeGreaterThan(120);
    expect(refused.length).toBeGreaterThan(0);
  });

  it("keep the rate of an API together, by key, whichever of them is asked", async () => {
    const auth = await namespace();
    const code = "function main() { return { body: 'yes' } }";
    const put = await ask(open.fabric.rest, auth, "PUT", "_/actions/a", {
      exec: { kind: "nodejs:default", code },
      annotations: [{ key: "web-export", value: true }],
    });
    expect(put.status, put.text).toBe(200);
    const weft = (...args: readonly string[]): Promise<string> => open.fabric.ok(...args, "--auth", auth);
    const url = (
      await weft("api", "create", "/b", "/p", "get", "a", "--key-header", "X-K", "--rate", "40/hour")
    ).trim();
    const keys = [(await weft("api", "key", "create", "/b")).trim(), (await weft("api", "key", "create", "/b")).trim()];
    const path = new URL(/https?:\/\/\S+/.exec(url)?.[0] ?? "").pathname;
    // Envoy spreads them over both.
    const call = async (key: string): Promise<number> =>
      (await fetch(new URL(path, open.fabric.rest), { headers: { "X-K": key } })).status;
    const told = await Promise.all(Array.from({ length: 60 }, (_, i) => call(keys[i % 6 === 0 ? 1 : 0] ?? "")));
    expect(told.filter((status) => status === 200)).toHaveLength(50);
    expect(told.filter((status) => status === 429)).toHaveLength(10);
    const refused = await fetch(new URL(path, open.fabric.rest), { headers: { "X-K": keys[0] ?? "" } });
    expect([refused.status, Number(refused.headers.get("retry-after")) > 0]).toEqual([429, true]);
  });

  describe("while the scheduler is away", () => {
    it("go on with an even share each, and are exact again when it is back", async () => {
      const auth = await namespace("--invocations-per-minute", "40");
      await action(auth, "a", "function main() { return {} }");
      await invoke(0, auth, {});
      await invoke(1, auth, {});
      open.fabric.kill("scheduler-1");
      await atLeastLeft(25_000);
      const told = await Promise.all(Array.from({ length: 120 }, (_, i) => invoke(i % 2, auth, {})));
      const admitted = told.filter((one) => one === "ok").length;
      expect(admitted).toBeGreaterThanOrEqual(38);
      expect(admitted).toBeLessThan(80);
      await open.fabric.restart();
      const fresh = await namespace("--invocations-per-minute", "30");
      await action(fresh, "a", "function main() { return {} }");
      await eventually(async () => (await invoke(0, fresh, { action: "none" })).includes("none"), { withinMs: 10_000 });
      await eventually(async () => (await invoke(1, fresh, { action: "none" })).includes("none"), { withinMs: 10_000 });
      // The probes count too: in a minute of their own.
      const minute = Math.floor(Date.now() / 60_000);
      await eventually(() => Math.floor(Date.now() / 60_000) > minute, { withinMs: 61_000, everyMs: 100 });
      const again = await Promise.all(Array.from({ length: 60 }, (_, i) => invoke(i % 2, fresh, {})));
      expect(again.filter((one) => one === "ok")).toHaveLength(30);
    }, 120_000);
  });
});
