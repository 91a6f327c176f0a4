import { describe, expect, it } from "vitest";

import { ManualClock, settle } from "../../../test/harness/clock.js";
import { silentLog } from "../../base/log.js";
import { seededRandom } from "../../base/random.js";
import { testMember } from "./coordination.suite.js";
import type { Membership } from "./coordination.js";
import { MemoryCoordination } from "./memory-coordination.js";
import { Presence } from "./presence.js";

interface Scene {
  readonly clock: ManualClock;
  readonly coordination: MemoryCoordination;
  readonly presence: Presence;
  readonly joined: Membership[];
  readonly lost: () => number;
}

function scene(): Scene {
  const clock = new ManualClock();
  const coordination = new MemoryCoordination(clock);
  const joined: Membership[] = [];
  let lost = 0;
  const presence = new Presence({
    coordination,
    member: testMember("a"),
    ttlMs: 1_000,
    clock,
    random: seededRandom(1),
    log: silentLog,
    onJoined: (membership) => joined.push(membership),
    onLost: () => (lost += 1),
  });
  return { clock, coordination, presence, joined, lost: () => lost };
}

describe("Presence", () => {
  it("does not start when the store cannot be reached", async () => {
    const { coordination, presence } = scene();
    coordination.sever();
    await expect(presence.start()).rejects.toMatchObject({ kind: "unavailable" });
  });

  it("joins again after its lease was lost, and tells of the new membership", async () => {
    const { clock, coordination, presence, joined, lost } = scene();
    await presence.start();
    coordination.sever();
    await clock.elapse(1_001);
    expect(presence.held()).toBe(false);
    coordination.mend();
    await clock.elapse(0);
    expect(presence.held()).toBe(true);
    expect(joined.length).toBe(2);
    expect(presence.membership).toBe(joined[1]);
    expect(lost()).toBe(1);
  });

  it("goes on trying while another process has its place, and takes it when that one leaves", async () => {
    const { clock, coordination, presence, joined } = scene();
    await presence.start();
    const successor = await coordination.connection().join(testMember("a", { bootId: "young" }), 1_000);
    await clock.elapse(20_000);
    expect(presence.held()).toBe(false);
    await successor.leave();
    await clock.elapse(7_000);
    expect(presence.held()).toBe(true);
    expect(joined.length).toBe(2);
  });

  it("leaves nothing behind when it is closed, even while it joins again", async () => {
    const { clock, coordination, presence } = scene();
    await presence.start();
    coordination.sever();
    await clock.elapse(1_001);
    coordination.mend(); // lost is told; the new join is under way
    await presence.close();
    await settle();
    expect(await coordination.listMembers()).toEqual([]);
    await clock.elapse(20_000);
    expect(presence.held()).toBe(false);
    expect(clock.pending).toBe(0);
  });
});
