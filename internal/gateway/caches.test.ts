import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ManualClock, settle } from "../../test/harness/clock.js";
import { DelegatedKeys, delegatedLifeMs } from "../core/tenancy/delegated.js";
import { WeftError } from "../base/errors.js";
import { MetricsRegistry } from "../base/metrics.js";
import { seededRandom } from "../base/random.js";
import { silentLog } from "../base/log.js";
import type { ActivationRecord, Identity as WireIdentity, ResolvedAction } from "../gen/weft/link/v1/control.pb.js";
import { ActivationRecord as Record } from "../gen/weft/link/v1/control.pb.js";
import { ActionCache } from "./action-cache.js";
import { IdentityCache } from "./identity-cache.js";
import { LostRecords } from "./lost-records.js";
import { GatewayMetrics } from "./metrics.js";
import { RecentMap } from "./recent-map.js";

const metrics = (): GatewayMetrics => new GatewayMetrics(new MetricsRegistry("gateway"), []);

/** Questions that wait for the test to answer them, oldest first. */
class Asked<T> {
  readonly questions: string[] = [];
  readonly #answers: ((answer: T | WeftError) => void)[] = [];

  ask(question: string): Promise<T> {
    this.questions.push(question);
    return new Promise((resolve, reject) => {
      this.#answers.push((answer) => {
        if (answer instanceof WeftError) reject(answer);
        else resolve(answer);
      });
    });
  }

  async answer(answer: T | WeftError): Promise<void> {
    this.#answers.shift()?.(answer);
    await settle();
  }
}

describe("the cache of actions", () => {
  const change = { namespace: "ns", name: "a", keyUuid: "" };
  const notThere = new WeftError("notFound", "NO_SUCH_ACTION", "none");

  function resolved(revisionId: string): ResolvedAction {
    const ask = { key: "ns/a", revisionId, kind: "k", memoryMb: 1, concurrency: 1, maxInstances: 0, timeoutMs: 1 };
    return {
      ask,
      shard: 1,
      namespace: "ns",
      name: "a",
      version: "0.0.1",
      defaults: [],
      final: false,
      provideApiKey: false,
      logsMb: 10,
      annotationsJson: new Uint8Array(),
      revision: 1,
      webOwner: undefined,
      composite: false,
      binding: "",
    };
  }

  function cache(): { cache: ActionCache; asked: Asked<ResolvedAction>; clock: ManualClock } {
    const asked = new Asked<ResolvedAction>();
    const clock = new ManualClock();
    const controller = {
      resolveAction: ({ namespace, name }: { namespace: string; name: string }) => asked.ask(`${namespace}/${name}`),
    };
    return { cache: new ActionCache({ controller, clock, metrics: metrics() }), asked, clock };
  }

  it("asks once for all that wait", async () => {
    const { cache: c, asked } = cache();
    const both = Promise.all([c.resolve("ns", "ns", "a"), c.resolve("ns", "ns", "a")]);
    await asked.answer(resolved("r1"));
    const [one, other] = await both;
    expect(one).toBe(other);
    expect(c.peek("ns", "ns", "a")).toBe(one);
    expect(asked.questions).toEqual(["ns/a"]);
  });

  it("does not keep an answer that was asked for before a change, nor lets others wait for it", async () => {
    const { cache: c, asked } = cache();
    const early = c.resolve("ns", "ns", "a");
    c.changed(change);
    const late = c.resolve("ns", "ns", "a");
    await asked.answer(resolved("r1"));
    expect((await early).ask.revisionId).toBe("r1");
    expect(c.peek("ns", "ns", "a")).toBeUndefined();
    await asked.answer(resolved("r2"));
    expect((await late).ask.revisionId).toBe("r2");
    expect(c.peek("ns", "ns", "a")?.ask.revisionId).toBe("r2");
  });

  it("does not keep a refusal over a change, and otherwise only for a moment", async () => {
    const { cache: c, asked, clock } = cache();
    const ask = async (): Promise<string> => {
      try {
        return (await c.resolve("ns", "ns", "a")).ask.revisionId;
      } catch (thrown) {
        return (thrown as WeftError).reason;
      }
    };
    const first = ask();
    await asked.answer(notThere);
    expect(await first).toBe("NO_SUCH_ACTION");
    expect(await ask()).toBe("NO_SUCH_ACTION");
    expect(asked.questions).toHaveLength(1);
    c.changed(change);
    const second = ask();
    await asked.answer(notThere);
    expect(await second).toBe("NO_SUCH_ACTION");
    expect(asked.questions).toHaveLength(2);
    clock.advance(500);
    const third = ask();
    await asked.answer(resolved("r1"));
    expect(await third).toBe("r1");
  });

  it("does not keep that nobody could be asked", async () => {
    const { cache: c, asked } = cache();
    const first = c.resolve("ns", "ns", "a");
    const refused = expect(first).rejects.toMatchObject({ kind: "unavailable" });
    await asked.answer(new WeftError("unavailable", "AWAY", "away"));
    await refused;
    const second = c.resolve("ns", "ns", "a");
    await asked.answer(resolved("r1"));
    expect((await second).ask.revisionId).toBe("r1");
  });

  it("keeps callers of different namespaces apart: what one may, another may not", async () => {
    const { cache: c, asked } = cache();
    const own = c.resolve("ns", "ns", "a");
    await asked.answer(resolved("r1"));
    await own;
    expect(c.peek("other", "ns", "a")).toBeUndefined();
    const foreign = c.resolve("other", "ns", "a");
    await asked.answer(resolved("r1"));
    await foreign;
    expect(c.size).toBe(2);
    c.changed(change);
    expect(c.size).toBe(0);
  });

  const boundTo = (name: string): ResolvedAction => ({
    ...resolved("r"),
    namespace: "provider",
    name,
    binding: "ns/mine",
  });

  it.each<[string, { namespace: string; name: string }, boolean]>([
    ["the binding", { namespace: "ns", name: "mine" }, true],
    ["its namespace", { namespace: "ns", name: "" }, true],
    ["the package it is bound to", { namespace: "provider", name: "utils" }, true],
    ["that package's namespace", { namespace: "provider", name: "" }, true],
    ["the action", { namespace: "provider", name: "utils/echo" }, true],
    ["another action", { namespace: "provider", name: "utils/sort" }, false],
    ["another package", { namespace: "provider", name: "util" }, false],
    ["another namespace", { namespace: "else", name: "" }, false],
  ])("forgets what was named through a binding after a change of %s: %s", async (_name, what, gone) => {
    const { cache: c, asked } = cache();
    const asking = c.resolve("ns", "ns", "mine/echo");
    await asked.answer(boundTo("utils/echo"));
    expect(await asking).toMatchObject({ path: "provider/utils/echo", binding: "ns/mine" });
    c.changed({ ...what, keyUuid: "" });
    expect(c.peek("ns", "ns", "mine/echo") === undefined).toBe(gone);
    expect(c.size).toBe(gone ? 0 : 1);
  });

  it("does not keep that a binding's package may not be read", async () => {
    const { cache: c, asked } = cache();
    const refused = expect(c.resolve("ns", "ns", "mine/echo")).rejects.toMatchObject({ kind: "permissionDenied" });
    await asked.answer(new WeftError("permissionDenied", "PROVIDER_NOT_READABLE", "no"));
    await refused;
    const again = c.resolve("ns", "ns", "mine/echo");
    await asked.answer(boundTo("utils/echo"));
    expect((await again).binding).toBe("ns/mine");
  });

  it("is bounded", async () => {
    const { cache: c, asked } = cache();
    for (let i = 0; i < 20_100; i++) {
      const one = c.resolve("ns", `ns${i % 50}`, `a${i}`);
      await Promise.all([one, asked.answer(resolved("r"))]);
    }
    expect(c.size).toBeLessThanOrEqual(20_000);
    expect(c.peek("ns", `ns${20_099 % 50}`, "a20099")).toBeDefined();
  }, 30_000);
});

describe("the cache of identities", () => {
  const header = "Bearer u:secret";
  const identity: WireIdentity = {
    uuid: "u",
    secretHash: createHash("sha256").update("secret").digest(),
    subject: "s",
    namespace: "ns",
    quota: { invocationsPerMinute: 1, firesPerMinute: 2, concurrentInvocations: 3, overrides: undefined },
    operator: false,
  };

  const delegated = new DelegatedKeys("cluster");

  function cache(): { cache: IdentityCache; asked: Asked<WireIdentity>; clock: ManualClock } {
    const asked = new Asked<WireIdentity>();
    const clock = new ManualClock();
    const controller = { authenticate: (uuid: string) => asked.ask(uuid) };
    return { cache: new IdentityCache({ controller, delegated, clock, metrics: metrics() }), asked, clock };
  }

  it("does not keep what was asked for before the key was revoked", async () => {
    const { cache: c, asked } = cache();
    const early = c.identify(header);
    c.changed({ namespace: "ns", name: "", keyUuid: "u" });
    await asked.answer(identity);
    expect((await early).namespace).toBe("ns");
    expect(c.peek(header)).toBeUndefined();
    const late = c.identify(header);
    const refused = expect(late).rejects.toMatchObject({ reason: "BAD_CREDENTIALS" });
    await asked.answer(new WeftError("notFound", "NO_SUCH_KEY", "none"));
    await refused;
  });

  it("drops all keys of a namespace whose limits change, and no others", async () => {
    const { cache: c, asked } = cache();
    const first = c.identify(header);
    await asked.answer(identity);
    await first;
    c.changed({ namespace: "other", name: "", keyUuid: "" });
    c.changed({ namespace: "ns", name: "some-action", keyUuid: "" });
    expect(c.peek(header)).toBeDefined();
    c.changed({ namespace: "ns", name: "", keyUuid: "" });
    expect(c.peek(header)).toBeUndefined();
    const second = c.identify(header);
    await asked.answer({
      ...identity,
      quota: { invocationsPerMinute: 9, firesPerMinute: 9, concurrentInvocations: 9, overrides: undefined },
    });
    expect((await second).quota.invocationsPerMinute).toBe(9);
  });

  it("does not keep a key that expires for longer than it works", async () => {
    const { cache: c, asked, clock } = cache();
    const first = c.identify(header);
    await asked.answer({ ...identity, expiresInMs: 5_000 });
    await first;
    clock.advance(4_999);
    expect(c.peek(header)).toBeDefined();
    clock.advance(1);
    expect(c.peek(header)).toBeUndefined();
    const late = expect(c.identify(header)).rejects.toMatchObject({ reason: "BAD_CREDENTIALS" });
    await asked.answer(new WeftError("notFound", "KEY_NOT_FOUND", "none"));
    await late;
  });

  it("accepts a key that was made for an activation until its time is over, as nobody's operator", async () => {
    const { cache: c, asked, clock } = cache();
    const key = delegated.make("u", 1_000, clock.wallMs());
    const first = c.identify(`Bearer ${key}`);
    await asked.answer({ ...identity, operator: true });
    expect(await first).toMatchObject({ uuid: "u", namespace: "ns", operator: false, delegated: true, apiKey: key });
    // The key that it was made from is known now, and is asked for no more.
    expect(await c.identify(`Basic ${Buffer.from(key).toString("base64")}`)).toMatchObject({ delegated: true });
    expect((await c.identify(header)).delegated).toBeUndefined();
    clock.advance(delegatedLifeMs(1_000) - 1);
    expect(c.peek(`Bearer ${key}`)).toBeDefined();
    clock.advance(10_001);
    expect(c.peek(`Bearer ${key}`)).toBeUndefined();
    await expect(c.identify(`Bearer ${key}`)).rejects.toMatchObject({ reason: "BAD_CREDENTIALS" });
  });

  it("accepts no such key of a key that was revoked, and none of another cluster", async () => {
    const { cache: c, asked, clock } = cache();
    const key = delegated.make("u", 1_000, clock.wallMs());
    const first = c.identify(`Bearer ${key}`);
    await asked.answer(identity);
    await first;
    const foreign = new DelegatedKeys("other").make("u", 1_000, clock.wallMs());
    await expect(c.identify(`Bearer ${foreign}`)).rejects.toMatchObject({ reason: "BAD_CREDENTIALS" });
    c.changed({ namespace: "ns", name: "", keyUuid: "u" });
    expect(c.peek(`Bearer ${key}`)).toBeUndefined();
    const late = expect(c.identify(`Bearer ${key}`)).rejects.toMatchObject({ reason: "BAD_CREDENTIALS" });
    await asked.answer(new WeftError("notFound", "KEY_NOT_FOUND", "none"));
    await late;
  });

  it("finds a new key a moment after it was unknown", async () => {
    const { cache: c, asked, clock } = cache();
    const first = expect(c.identify(header)).rejects.toMatchObject({ kind: "unauthenticated" });
    await asked.answer(new WeftError("notFound", "NO_SUCH_KEY", "none"));
    await first;
    clock.advance(1_000);
    const second = c.identify(header);
    await asked.answer(identity);
    expect((await second).subject).toBe("s");
  });
});

describe("a map of what is recent", () => {
  it("keeps what is used and lets go of what is not", () => {
    const map = new RecentMap<number, string>(10);
    map.set(0, "kept");
    for (let i = 1; i <= 100; i++) {
      map.set(i, `v${i}`);
      expect(map.get(0)).toBe("kept");
      expect(map.size).toBeLessThanOrEqual(10);
    }
    expect(map.get(1)).toBeUndefined();
    expect(map.get(100)).toBe("v100");
    map.delete(100);
    expect(map.get(100)).toBeUndefined();
    map.deleteWhere((value) => value === "kept");
    expect(map.get(0)).toBeUndefined();
  });
});

describe("records of lost activations", () => {
  const record = (n: number): ActivationRecord => Record.fromPartial({ invokerId: String(n) });

  it("are sent again until a controller takes them, in order, in batches", async () => {
    const clock = new ManualClock();
    const sent: string[][] = [];
    let away = true;
    const lost = new LostRecords({
      controller: {
        record: (records) => {
          if (away) return Promise.reject(new WeftError("unavailable", "AWAY", "away"));
          sent.push(records.map((r) => r.invokerId));
          return Promise.resolve();
        },
      },
      clock,
      random: seededRandom(1),
      log: silentLog,
      dropped: metrics().recordsLost,
    });
    for (let i = 0; i < 700; i++) lost.keep(record(i));
    await clock.elapse(3_000);
    expect(sent).toEqual([]);
    expect(lost.size).toBe(700);
    away = false;
    await clock.elapse(6_000);
    expect(lost.size).toBe(0);
    expect(
      sent
        .flat()
        .map(Number)
        .sort((a, b) => a - b),
    ).toEqual(Array.from({ length: 700 }, (_, i) => i));
    expect(Math.max(...sent.map((batch) => batch.length))).toBeLessThanOrEqual(500);
    await lost.close();
    expect(clock.pending).toBe(0);
  });

  it("are counted when there is no room or no time for them", async () => {
    const { recordsLost } = metrics();
    const lost = new LostRecords({
      controller: { record: () => Promise.reject(new WeftError("unavailable", "AWAY", "away")) },
      clock: new ManualClock(),
      random: seededRandom(1),
      log: silentLog,
      dropped: recordsLost,
    });
    for (let i = 0; i < 10_600; i++) lost.keep(record(i));
    await settle();
    expect(recordsLost.value + lost.size).toBe(10_600);
    await lost.close();
    expect(recordsLost.value).toBe(10_600);
  });
});
