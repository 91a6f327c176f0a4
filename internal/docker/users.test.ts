import { describe, expect, it } from "vitest";

import { asUser, SandboxUsers } from "./users.js";

const COUNT = 1_000;

describe("the users of sandboxes", () => {
  it("are different ones, in the range that our images know", () => {
    const users = new SandboxUsers("one");
    const taken = Array.from({ length: COUNT }, () => users.take());
    expect(new Set(taken).size).toBe(COUNT);
    expect([Math.min(...taken), Math.max(...taken)]).toEqual([66_000, 66_999]);
    expect(asUser(66_000)).toBe("66000:65532");
  });

  it("are taken again once they were released, the longest unused first", () => {
    const users = new SandboxUsers("one");
    const first = users.take();
    users.release(first);
    expect(users.take()).not.toBe(first);
    for (let i = 0; i < COUNT - 2; i++) users.take();
    expect(users.take()).toBe(first);
  });

  it("are shared rather than refused when all are taken", () => {
    const users = new SandboxUsers("one");
    for (let i = 0; i < COUNT; i++) users.take();
    expect(users.take()).toBeGreaterThanOrEqual(66_000);
  });

  it("of two invokers begin elsewhere", () => {
    expect(new SandboxUsers("one").take()).not.toBe(new SandboxUsers("another").take());
  });

  it("keeps the user of a sandbox that was adopted, until it goes", () => {
    const users = new SandboxUsers("one");
    const first = users.take();
    const again = new SandboxUsers("one");
    expect(again.keep(asUser(first))).toBe(first);
    expect(again.take()).not.toBe(first);
    expect(again.keep("root")).toBe(0);
    expect(again.keep("")).toBe(0);
  });

  it("releases those of sandboxes that did not come back once their containers are gone, not before", () => {
    const former = new SandboxUsers("one");
    const [gone, stays] = [former.take(), former.take()];
    const next = new SandboxUsers("one");
    for (const user of [gone, stays]) next.keep(asUser(user));
    next.leaveTo("gone", gone);
    next.leaveTo("stays", stays);
    next.releaseUnless(new Set(["stays"]));
    const taken = Array.from({ length: COUNT - 1 }, () => next.take());
    expect(taken).toContain(gone);
    expect(taken).not.toContain(stays);
    next.releaseUnless(new Set());
    expect(next.take()).toBe(stays);
  });
});
