import { describe, expect, it } from "vitest";

import { ManualClock, settle } from "../../../test/harness/clock.js";
import { coordinationSuite, testMember } from "./coordination.suite.js";
import { MemoryCoordination } from "./memory-coordination.js";

coordinationSuite("MemoryCoordination", async () => {
  const clock = new ManualClock();
  const first = new MemoryCoordination(clock);
  return {
    ttlMs: 2_000,
    connect: () => {
      const coordination = first.connection();
      return Promise.resolve({
        coordination,
        sever: () => {
          coordination.sever();
        },
        mend: () => {
          coordination.mend();
        },
      });
    },
    pass: (ms) => clock.elapse(ms),
    close: () => first.close(),
  };
});

describe("MemoryCoordination", () => {
  it("sets no timer while its connections stand", async () => {
    const clock = new ManualClock();
    const coordination = new MemoryCoordination(clock);
    await coordination.join(testMember("a"), 1_000);
    expect(clock.pending).toBe(0);
  });

  it("lets the leases of a killed process run out, and tells it nothing", async () => {
    const clock = new ManualClock();
    const dying = new MemoryCoordination(clock);
    const living = dying.connection();
    const heard: number[] = [];
    dying.watchMembers({ members: (all) => heard.push(all.length) }, new AbortController().signal);
    const membership = await dying.join(testMember("a"), 1_000);
    await settle();
    const before = heard.length;
    dying.kill();
    await clock.elapse(999);
    expect((await living.listMembers()).length).toBe(1);
    expect(membership.held()).toBe(false);
    await clock.elapse(1);
    expect(await living.listMembers()).toEqual([]);
    dying.mend();
    await clock.elapse(1_000);
    expect(membership.lost.aborted).toBe(false);
    expect(heard.length).toBe(before);
    expect(clock.pending).toBe(0);
  });
});
