// What is remembered of actions, and when it is forgotten; and how changes reach those who remember.

import { describe, expect, it } from "vitest";

import { ManualClock, settle } from "../../test/harness/clock.js";
import { WeftError } from "../base/errors.js";
import { silentLog } from "../base/log.js";
import { MetricsRegistry } from "../base/metrics.js";
import { seededRandom } from "../base/random.js";
import type { ChangeListener, EntityChange } from "../core/action/store.js";
import type { Action, KeyValue, Package } from "../core/action/types.js";
import type { Revision } from "../core/action/store.js";
import { Changes } from "./changes.js";
import { controllerMetrics } from "./metrics.js";
import { Resolver } from "./resolver.js";

const kv = (key: string, value: unknown, init = false): KeyValue => ({ key, valueJson: JSON.stringify(value), init });
const change = (more: Partial<EntityChange>): EntityChange => ({ namespace: "guest", name: "", keyUuid: "", ...more });
const metrics = () => controllerMetrics(new MetricsRegistry("controller"));

function world() {
  let loads = 0;
  let races = 0;
  const kept: { readonly revision: Revision; readonly basedOn: string; readonly binding: Package }[] = [];
  const packages: Record<string, Partial<Package>> = {
    "guest/utils": { publish: true, parameters: [kv("a", 1), kv("b", 1), kv("S", 1, true)] },
    "guest/hidden": { publish: false, parameters: [] },
  };
  const resolver = new Resolver(
    {
      getAction: async (namespace, name) => {
        loads += 1;
        await Promise.resolve();
        if (name.endsWith("gone")) throw new WeftError("notFound", "ENTITY_NOT_FOUND", "no");
        return {
          namespace,
          name,
          revisionId: `r${loads}`,
          exec: name.endsWith("sequence")
            ? { kind: "sequence", components: ["guest/echo"] }
            : { kind: "nodejs:20", components: undefined },
          limits: { timeoutMs: 1, memoryMb: 2, logsMb: 3, concurrency: 4 },
          parameters: [kv("a", 2)],
          annotations: [
            kv("final", true),
            kv("provide-api-key", false),
            ...(name === "conductor" ? [kv("conductor", {})] : []),
            ...(name === "no-conductor" ? [kv("conductor", "")] : []),
          ],
        } as unknown as Action;
      },
      getPackage: async (namespace, name) => {
        const found = packages[`${namespace}/${name}`];
        if (!found) throw new WeftError("notFound", "ENTITY_NOT_FOUND", "no");
        return { namespace, name, ...found } as Package;
      },
      keepRevision: async (revision, basedOn, binding) => {
        if (races-- > 0) throw new WeftError("conflict", "STALE_REVISION", "changed");
        kept.push({ revision, basedOn, binding });
      },
    },
    metrics(),
  );
  return { resolver, loads: () => loads, packages, kept, race: (times: number) => (races = times) };
}

describe("resolving an action", () => {
  it("says what no invoker runs as it is, and gives a sequence no arguments of its own", async () => {
    const { resolver } = world();
    const found = async (name: string) => resolver.resolve("guest", name, "guest");
    expect(await found("utils/sequence")).toMatchObject({ composite: "sequence", defaults: [], final: false });
    expect(await found("conductor")).toMatchObject({ composite: "composition", final: true });
    expect((await found("conductor")).defaults).toHaveLength(1);
    expect((await found("no-conductor")).composite).toBeUndefined();
    expect((await found("utils/echo")).composite).toBeUndefined();
  });

  it("gives everything that its invocation needs", async () => {
    const { resolver } = world();
    expect(await resolver.resolve("guest", "utils/echo", "guest")).toMatchObject({
      ask: {
        key: "guest/utils/echo",
        revisionId: "r1",
        kind: "nodejs:20",
        memoryMb: 2,
        concurrency: 4,
        maxInstances: 0,
        timeoutMs: 1,
      },
      defaults: [
        { key: "a", valueJson: Buffer.from("2") },
        { key: "b", valueJson: Buffer.from("1") },
      ],
      final: true,
      providesApiKey: false,
    });
  });

  it.each([
    ["guest", "hello", "guest", true],
    ["guest", "utils/echo", "other", true],
    ["guest", "hidden/echo", "guest", true],
    ["guest", "hidden/echo", "other", false],
    ["guest", "hello", "other", false],
    ["guest", "gone", "guest", false],
    ["guest", "nothing/echo", "guest", false],
  ])("of %s/%s for %s: %s", async (namespace, name, caller, visible) => {
    const found = world().resolver.resolve(namespace, name, caller);
    if (visible) await expect(found).resolves.toBeDefined();
    else await expect(found).rejects.toMatchObject({ kind: "notFound" });
  });

  it("reads an action once, for all who ask, until it changes", async () => {
    const { resolver, loads } = world();
    const ask = () => resolver.resolve("guest", "utils/echo", "guest");
    await Promise.all([ask(), ask()]);
    await ask();
    expect(loads()).toBe(1);
    const others = [
      change({ name: "hello" }),
      change({ namespace: "guest2" }),
      change({ keyUuid: "u" }),
      change({ name: "util" }),
    ];
    for (const one of others) resolver.forget(one);
    await ask();
    expect(loads()).toBe(1);
  });

  it.each<[string, EntityChange | undefined]>([
    ["itself", change({ name: "utils/echo" })],
    ["its package", change({ name: "utils" })],
    ["its namespace", change({})],
    ["anything", undefined],
  ])("reads it again after a change of %s", async (_name, what) => {
    const { resolver, loads } = world();
    await resolver.resolve("guest", "utils/echo", "guest");
    resolver.forget(what);
    await resolver.resolve("guest", "utils/echo", "guest");
    expect(loads()).toBe(2);
  });

  it("does not remember what was read before a change", async () => {
    const { resolver, loads } = world();
    const old = resolver.resolve("guest", "hello", "guest");
    resolver.forget(change({ name: "hello" }));
    await old;
    expect((await resolver.resolve("guest", "hello", "guest")).ask.revisionId).toBe("r2");
    expect(loads()).toBe(2);
  });

  it("does not remember what is not there", async () => {
    const { resolver, loads } = world();
    await resolver.resolve("guest", "gone", "guest").catch(() => undefined);
    await resolver.resolve("guest", "gone", "guest").catch(() => undefined);
    expect(loads()).toBe(2);
  });
});

describe("resolving through a binding", () => {
  const bound = (to: string, more: Partial<Package> = {}): Partial<Package> => {
    const [namespace = "", name = ""] = to.split("/");
    return { publish: false, parameters: [], binding: { namespace, name }, ...more };
  };

  it("gives the package's action, with the package's parameters under the binding's under the action's", async () => {
    const { resolver, packages, kept } = world();
    packages["me/mine"] = bound("guest/utils", { parameters: [kv("a", "binding"), kv("b", "binding"), kv("c", 3)] });
    const found = await resolver.resolve("me", "mine/echo", "me");
    expect(found).toMatchObject({
      ask: { key: "guest/utils/echo" },
      action: { namespace: "guest", name: "utils/echo" },
      binding: { namespace: "me", name: "mine" },
    });
    expect(found.defaults.map(({ key, valueJson }) => [key, Buffer.from(valueJson).toString()])).toEqual([
      ["a", "2"],
      ["b", '"binding"'],
      ["c", "3"],
    ]);
    expect(found.ask.revisionId).toBe(found.action.revisionId);
    expect(kept).toEqual([]);
  });

  it("that changes what is handed over at init gives a revision of its own, the same for whoever asks", async () => {
    const { resolver, packages, kept, race } = world();
    packages["me/mine"] = bound("guest/utils", { parameters: [kv("S", "binding", true)] });
    packages["me/other"] = bound("guest/utils", { parameters: [kv("S", "binding", true)] });
    race(2);
    const found = await resolver.resolve("me", "mine/echo", "me");
    expect(found.ask.revisionId).toMatch(/^[0-9a-f]{32}$/);
    expect(kept).toMatchObject([
      {
        revision: { revisionId: found.ask.revisionId, initParameters: [kv("S", "binding", true)] },
        basedOn: found.action.revisionId,
        binding: { name: "mine" },
      },
    ]);
    expect((await resolver.resolve("me", "other/echo", "me")).ask.revisionId).not.toBe(found.ask.revisionId);
    race(9);
    resolver.forget(undefined);
    await expect(resolver.resolve("me", "mine/echo", "me")).rejects.toMatchObject({ kind: "conflict" });
  });

  it.each<[string, string, string, Partial<Package>, object]>([
    ["to what another keeps to himself", "me", "me", bound("guest/hidden"), { reason: "PROVIDER_NOT_READABLE" }],
    ["to what another does not have", "me", "me", bound("guest/none"), { reason: "PROVIDER_NOT_READABLE" }],
    ["to another's binding", "me", "me", bound("guest/bound"), { reason: "PROVIDER_NOT_READABLE" }],
    ["to what is gone", "guest", "guest", bound("guest/none"), { kind: "notFound" }],
    ["to what became a binding", "guest", "guest", bound("guest/bound"), { reason: "CIRCULAR_BINDING" }],
    ["to itself", "guest", "guest", bound("guest/mine"), { reason: "CIRCULAR_BINDING" }],
    ["of somebody else", "guest", "me", bound("guest/utils"), { reason: "ACTION_NOT_FOUND" }],
    [
      "of somebody else, shared",
      "guest",
      "me",
      bound("guest/utils", { publish: true }),
      { reason: "ACTION_NOT_FOUND" },
    ],
    ["of somebody else, to nothing", "guest", "me", bound("guest/none"), { kind: "notFound" }],
    ["of somebody else, to itself", "guest", "me", bound("guest/mine"), { reason: "ACTION_NOT_FOUND" }],
  ])("%s is refused", async (_name, namespace, caller, binding, error) => {
    const { resolver, packages } = world();
    packages["guest/bound"] = bound("guest/utils");
    packages[`${namespace}/mine`] = binding;
    await expect(resolver.resolve(namespace, "mine/echo", caller)).rejects.toMatchObject(error);
  });

  it.each<[string, EntityChange | undefined]>([
    ["the binding", change({ namespace: "me", name: "mine" })],
    ["its package", change({ name: "utils" })],
    ["the action", change({ name: "utils/echo" })],
    ["the package's namespace", change({})],
    ["its own namespace", change({ namespace: "me" })],
    ["anything", undefined],
  ])("is done again after a change of %s", async (_name, what) => {
    const { resolver, loads, packages } = world();
    packages["me/mine"] = bound("guest/utils");
    const ask = () => resolver.resolve("me", "mine/echo", "me");
    await ask();
    await ask();
    const before = loads();
    resolver.forget(change({ name: "util" }));
    resolver.forget(change({ namespace: "me", name: "mi" }));
    await ask();
    expect(loads()).toBe(before);
    resolver.forget(what);
    await ask();
    expect(loads()).toBeGreaterThan(before);
  });

  it("does not remember what was read before its package changed", async () => {
    const { resolver, packages } = world();
    packages["me/mine"] = bound("guest/utils");
    const utils = packages["guest/utils"];
    Object.defineProperty(packages, "guest/utils", {
      get: () => {
        queueMicrotask(() => resolver.forget(change({ name: "utils" })));
        return utils;
      },
      configurable: true,
    });
    const { action } = await resolver.resolve("me", "mine/echo", "me");
    Object.defineProperty(packages, "guest/utils", { value: utils });
    expect((await resolver.resolve("me", "mine/echo", "me")).action).not.toBe(action);
  });
});

describe("changes", () => {
  function feed() {
    const clock = new ManualClock();
    const listeners: ChangeListener[] = [];
    let fail: (error: Error) => void = () => {};
    const changes = new Changes({
      entities: {
        watch: (listener, signal) =>
          new Promise((resolve, reject) => {
            listeners.push(listener);
            fail = reject;
            signal.addEventListener("abort", () => resolve());
          }),
      },
      clock,
      random: seededRandom(1),
      log: silentLog,
      metrics: metrics(),
    });
    changes.start();
    return { clock, changes, listener: () => listeners.at(-1) as ChangeListener, fail: (error: Error) => fail(error) };
  }

  it("reach a watcher after its welcome, in order and together", async () => {
    const { changes, listener } = feed();
    const stop = new AbortController();
    const sent: (readonly EntityChange[])[] = [];
    const served = changes.serve(async (some) => void sent.push(some), stop.signal);
    await settle();
    expect(sent).toEqual([[]]);
    listener().changed(change({ name: "a" }));
    listener().changed(change({ name: "b" }));
    await settle();
    expect(sent.flat().map((one) => one.name)).toEqual(["a", "b"]);
    stop.abort();
    await served;
    await changes.close();
  });

  it("that may have been missed end every watcher, and empty what is remembered here", async () => {
    const { changes, listener } = feed();
    const heard: (EntityChange | undefined)[] = [];
    changes.onChange = (one) => void heard.push(one);
    const served = changes.serve(async () => undefined, new AbortController().signal);
    const ended = expect(served).rejects.toMatchObject({ kind: "unavailable", reason: "CHANGES_MISSED" });
    await settle();
    listener().reset();
    await ended;
    expect(heard).toEqual([undefined]);
    await changes.close();
  });

  it("are watched again when that fails", async () => {
    const { clock, changes, listener, fail } = feed();
    const first = listener();
    fail(new Error("broken"));
    await clock.elapse(1_000);
    expect(listener()).not.toBe(first);
    await changes.close();
    expect(clock.pending).toBe(0);
  });

  it("do not pile up for a watcher that does not take them", async () => {
    const { changes, listener } = feed();
    let take = (): void => {};
    const served = changes.serve(
      (some) => (some.length === 0 ? Promise.resolve() : new Promise((resolve) => (take = resolve))),
      new AbortController().signal,
    );
    const ended = expect(served).rejects.toMatchObject({ reason: "TOO_SLOW" });
    await settle();
    for (let i = 0; i < 11_000; i++) listener().changed(change({ name: `a${i}` }));
    await settle();
    take();
    await ended;
    await changes.close();
  });
});
