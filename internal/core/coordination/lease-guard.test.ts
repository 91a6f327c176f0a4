import { describe, expect, it } from "vitest";

import { LeaseGuard } from "./lease-guard.js";

const TTL = 10_000;
const heldFor = (guard: LeaseGuard): number => guard.heldUntilMonoMs;

describe("LeaseGuard", () => {
  const cases: readonly {
    readonly name: string;
    readonly grant: readonly [sent: number, answered: number];
    readonly keepAlives?: readonly (readonly [sent: number, answered: number, ttl?: number])[];
    readonly heldUntil: number;
  }[] = [
    { name: "counts from when the grant was asked for, not from its answer", grant: [0, 100], heldUntil: 7_900 },
    { name: "adds the slowest round trip to the margin", grant: [0, 1_000], heldUntil: 7_000 },
    { name: "moves on with an answered keep-alive", grant: [0, 0], keepAlives: [[2_500, 2_500]], heldUntil: 10_500 },
    {
      name: "counts an answer that lay unread from when its question was sent",
      grant: [0, 0],
      keepAlives: [[2_500, 60_000]],
      heldUntil: 7_500, // the margin is at its maximum: half the TTL
    },
    {
      name: "is not shortened by answers that overtake each other",
      grant: [0, 0],
      keepAlives: [
        [5_000, 5_000],
        [2_500, 5_000],
      ],
      heldUntil: 5_000 + TTL - 2_000 - 2_500,
    },
    {
      name: "goes by the TTL that the store said last",
      grant: [0, 0],
      keepAlives: [[2_500, 2_500, 4_000]],
      heldUntil: 2_500 + 3_200,
    },
    {
      name: "keeps at least half of the TTL when answers are slow",
      grant: [0, 9_000],
      keepAlives: [[9_000, 9_001]],
      heldUntil: 9_000 + 5_000,
    },
  ];

  it.each(cases)("$name", ({ grant: [sent, answered], keepAlives = [], heldUntil }) => {
    const guard = new LeaseGuard(TTL, sent, answered);
    for (const [at, back, ttl] of keepAlives) guard.acknowledged(at, back, ttl ?? TTL);
    expect(heldFor(guard)).toBe(heldUntil);
    expect(guard.held(heldUntil - 0.1)).toBe(true);
    expect(guard.held(heldUntil)).toBe(false);
  });

  it("forgets a slow answer after many quick ones", () => {
    const guard = new LeaseGuard(TTL, 0, 1_500);
    for (let i = 0; i < 64; i++) guard.acknowledged(i, i + 2, TTL);
    expect(guard.marginMs).toBe(2_002);
  });

  it("asks for four keep-alives within a TTL", () => {
    expect(new LeaseGuard(TTL, 0, 0).keepAliveEveryMs).toBe(2_500);
  });

  it("never believes in a lease that the store may have ended, whatever the delays (seeded walk)", () => {
    let state = 42;
    const random = (): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) / 2 ** 32;
    for (let run = 0; run < 200; run++) {
      let now = 0;
      let storeEnds = TTL; // handled the moment it was sent: the earliest end there can be
      const guard = new LeaseGuard(TTL, 0, random() * 50);
      for (let i = 0; i < 50; i++) {
        now += random() * TTL * 0.6;
        expect(guard.held(now) && now >= storeEnds).toBe(false);
        if (now >= storeEnds) break;
        if (random() < 0.3) continue; // lost on the way
        const answered = now + random() * 2_000;
        storeEnds = Math.max(storeEnds, now + TTL);
        guard.acknowledged(now, answered, TTL);
        now = answered;
      }
    }
  });
});
