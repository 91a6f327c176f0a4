import { describe, expect, it } from "vitest";

import { DELEGATED_GRACE_MS, DelegatedKeys, delegatedLifeMs } from "./delegated.js";
import { ownersKey } from "./subject.js";
import type { Key } from "./store.js";

const UUID = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502";
const NOW = Date.UTC(2026, 10, 25);
const keys = new DelegatedKeys("cluster");

const secretOf = (key: string): string => key.split(":")[1] ?? "";

describe("a key that is made for an activation", () => {
  it("looks as every key does, and has the public part of the one that it is made from", () => {
    expect(keys.make(UUID, 60_000, NOW)).toMatch(new RegExp(`^${UUID}:[A-Za-z0-9]{64}$`));
    expect(keys.make("", 60_000, NOW)).toBe("");
  });

  it.each([100, 60_000, 3_600_000])("outlives an action that may take %i ms, and not by much", (timeoutMs) => {
    const until = keys.untilWallMs(UUID, secretOf(keys.make(UUID, timeoutMs, NOW))) ?? 0;
    expect(until - NOW).toBeGreaterThanOrEqual(60_000 + 2 * timeoutMs + DELEGATED_GRACE_MS);
    expect(until - NOW).toBeLessThan(delegatedLifeMs(timeoutMs) + 10_000);
  });

  it("is the same for ten seconds, so that gateways know it", () => {
    const made = new Set(Array.from({ length: 10 }, (_, i) => keys.make(UUID, 60_000, NOW + 1 + i * 900)));
    expect(made.size).toBe(1);
    expect(keys.make(UUID, 60_000, NOW + 10_001)).not.toBe([...made][0]);
  });

  it("proves nothing for another key, in another cluster, or when a character of it was changed", () => {
    const secret = secretOf(keys.make(UUID, 1_000, NOW));
    expect(keys.untilWallMs(UUID.replace("2", "3"), secret)).toBeUndefined();
    expect(new DelegatedKeys("other").untilWallMs(UUID, secret)).toBeUndefined();
    for (let i = 0; i < secret.length; i++) {
      const changed = secret.slice(0, i) + (secret[i] === "0" ? "1" : "0") + secret.slice(i + 1);
      expect(keys.untilWallMs(UUID, changed), String(i)).toBeUndefined();
    }
  });

  it.each(["", "x", "k".repeat(64), "0".repeat(64), `${"0".repeat(63)}é`, "A".repeat(64)])("is not %j", (secret) => {
    expect(keys.untilWallMs(UUID, secret)).toBeUndefined();
  });
});

describe("a namespace's own key", () => {
  const key = (uuid: string, more: Partial<Key> = {}): Key => ({
    uuid,
    secretHash: new Uint8Array(),
    namespace: "ns",
    subject: "owner",
    operator: false,
    createdWallMs: 0,
    ...more,
  });

  it.each<[string, readonly Key[], string | undefined]>([
    ["the oldest", [key("new"), key("old")], "old"],
    ["none of a blocked subject", [key("new"), key("old", { blocked: true })], "new"],
    ["one that stays rather than one that expires", [key("new"), key("old", { expiresWallMs: 1 })], "new"],
    ["one that expires rather than none", [key("old", { expiresWallMs: 1 })], "old"],
    ["none", [key("old", { blocked: true })], undefined],
  ])("is %s", (_what, all, uuid) => {
    expect(ownersKey(all)?.uuid).toBe(uuid);
  });
});
