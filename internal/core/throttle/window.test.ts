import { describe, expect, it } from "vitest";

import { ManualClock } from "../../../test/harness/clock.js";
import { minuteOf, windowMsOf, type QuotaAccount } from "./account.js";
import { QuotaBank } from "./bank.js";
import type { Verdict } from "./share.js";
import { Throttles } from "./throttle.js";
import type { WindowLimit } from "./window.js";

const MINUTE = { rate: 2, windowMs: 60_000 };

/** One who is alone: nobody can be asked. */
function alone(): { clock: ManualClock; throttles: Throttles; admit: (key: string, limits: WindowLimit[]) => Verdict } {
  const clock = new ManualClock();
  const throttles = new Throttles(clock);
  return {
    clock,
    throttles,
    admit: (key, limits) => {
      const verdict = throttles.rates.admit("ns", key, limits);
      if (verdict instanceof Promise) throw new Error("nobody can be asked");
      return verdict;
    },
  };
}

async function toNextMinute(clock: ManualClock): Promise<void> {
  await clock.elapse(60_000 - (clock.wallMs() % 60_000));
}

describe("rates in windows", () => {
  it("admit so many in a window, count what they refuse, and begin anew", async () => {
    const { clock, admit } = alone();
    await toNextMinute(clock);
    expect([1, 2, 3, 4].map(() => admit("k", [MINUTE])?.message)).toEqual([
      undefined,
      undefined,
      "too many requests to this API (count: 3, allowed: 2 in 60 s)",
      "too many requests to this API (count: 4, allowed: 2 in 60 s)",
    ]);
    await clock.elapse(59_999);
    expect(admit("k", [MINUTE])).toMatchObject({ kind: "throttled", reason: "API_RATE_LIMIT", retryAfterMs: 1 });
    await clock.elapse(1);
    expect(admit("k", [MINUTE])).toBeUndefined();
  });

  it("count each key apart, and each limit", async () => {
    const { clock, admit } = alone();
    await toNextMinute(clock);
    const both = [{ rate: 1, windowMs: 1_000 }, MINUTE];
    expect(admit("a", both)).toBeUndefined();
    expect(admit("b", both)).toBeUndefined();
    await clock.elapse(1);
    expect(admit("a", both)).toMatchObject({ retryAfterMs: 999 });
    await clock.elapse(999);
    expect(admit("a", both)).toMatchObject({ retryAfterMs: 59_000 });
    expect(admit("a", [{ rate: 0, windowMs: 5_000 }])).toBeDefined();
  });

  it("forget windows that are over, and at last the oldest", async () => {
    const { clock, throttles, admit } = alone();
    await toNextMinute(clock);
    for (let n = 0; n < 5_000; n++) admit(`old-${n}`, [MINUTE]);
    await clock.elapse(60_000);
    for (let n = 0; n < 5_000; n++) admit(`new-${n}`, [MINUTE]);
    expect(throttles.rates.size).toBeLessThan(9_000);
    for (let n = 0; n < 120_000; n++) admit(`more-${n}`, [MINUTE]);
    expect(throttles.rates.size).toBeLessThanOrEqual(100_001);
  });
});

describe("several who admit calls of an API", () => {
  /** Throttles that ask one bank, without any delay. */
  function withBank(names: readonly string[]) {
    const clock = new ManualClock();
    const bank = new QuotaBank();
    const all = new Map<string, Throttles>();
    const asked = new Map<string, number>();
    const apply = (event: Parameters<QuotaBank["apply"]>[0]): void => {
      for (const command of bank.apply(event, clock.monoMs(), clock.wallMs())) {
        const to = all.get(command.bootId);
        if (command.kind === "grant") to?.granted(command.account, command.permits);
        else if (command.kind === "denial") to?.denied(command.account, command);
        else to?.recalled(command.account);
      }
    };
    for (const bootId of names) {
      const throttles = new Throttles(clock);
      const said: Parameters<QuotaBank["apply"]>[0][] = [];
      let saying = false;
      // What is said while something is applied comes after it, as over a link.
      const say = (event: (typeof said)[number]): void => {
        said.push(event);
        if (saying) return;
        saying = true;
        queueMicrotask(() => {
          saying = false;
          for (const one of said.splice(0)) apply(one);
        });
      };
      throttles.connect({
        waitMs: () => 1_500,
        holders: () => names.length,
        want: (account, limit, permits, urgent) => {
          asked.set(bootId, (asked.get(bootId) ?? 0) + 1);
          say({ kind: "want", bootId, account, limit, permits, urgent });
        },
        giveBack: (account, permits, recalled) => say({ kind: "returned", bootId, account, permits, recalled }),
        taken: (account, permits) => say({ kind: "taken", bootId, account, permits }),
        silent: () => undefined,
      });
      all.set(bootId, throttles);
      apply({ kind: "hello", holderId: bootId, bootId });
      apply({ kind: "held", bootId, holdings: [] });
    }
    apply({ kind: "open" });
    return { clock, bank, all: [...all.values()], asked, tick: () => apply({ kind: "tick" }) };
  }

  it.each([
    ["seconds", 7, 1_000],
    ["minutes", 100, 60_000],
    ["hours", 250, 3_600_000],
    ["days", 40, 86_400_000],
  ])("admit together exactly what a document allows in %s", async (_unit, rate, windowMs) => {
    const { clock, all } = withBank(["g1", "g2", "g3"]);
    await clock.elapse(windowMs - (clock.wallMs() % windowMs));
    for (let window = 0; window < 3; window++) {
      let admitted = 0;
      for (let n = 0; n < rate * 2; n++) {
        // Most calls fall on one of them.
        const at = all[n % 5 === 0 ? n % 3 : 1] as Throttles;
        if ((await at.rates.admit("ns", "k", [{ rate, windowMs }])) === undefined) admitted += 1;
      }
      expect(admitted).toBe(rate);
      await clock.elapse(windowMs - (clock.wallMs() % windowMs));
    }
  });

  it("count what one of them forgot to be used", async () => {
    const { clock, all } = withBank(["g1", "g2"]);
    await clock.elapse(60_000 - (clock.wallMs() % 60_000));
    const [first, second] = all as [Throttles, Throttles];
    for (let n = 0; n < 30; n++)
      expect(await first.rates.admit("ns", "k", [{ rate: 50, windowMs: 60_000 }])).toBe(undefined);
    first.drop();
    let admitted = 0;
    for (let n = 0; n < 40; n++) {
      if ((await second.rates.admit("ns", "k", [{ rate: 50, windowMs: 60_000 }])) === undefined) admitted += 1;
    }
    expect(admitted).toBe(20);
  });

  it("ask seldom, however long a window is, and hold back little of it", async () => {
    const { clock, bank, all, asked } = withBank(["g1"]);
    await clock.elapse(86_400_000 - (clock.wallMs() % 86_400_000));
    const limit = { rate: 1_000_000, windowMs: 86_400_000 };
    for (let n = 0; n < 1_000; n++) await all[0]?.rates.admit("ns", "k", [limit]);
    expect(asked.get("g1")).toBeLessThan(60);
    const [holding] = all[0]?.held() ?? [];
    expect(holding?.permits).toBeLessThan(1_000 + 2 * Math.ceil(limit.rate / 16 / 1_440));
    expect(bank.handedOut(holding?.account as QuotaAccount)).toBe(holding?.permits);
  });

  it("leave no account behind when its window is over", async () => {
    const { clock, bank, all, tick } = withBank(["g1"]);
    for (let second = 0; second < 20; second++) {
      await all[0]?.rates.admit("ns", "k", [{ rate: 5, windowMs: 1_000 }]);
      tick();
      await clock.elapse(1_000);
    }
    expect(bank.accounts).toBeLessThan(10);
    await clock.elapse(60_000);
    tick();
    expect(bank.accounts).toBe(0);
  });
});

describe("an account", () => {
  it("is of a minute unless it says otherwise", () => {
    expect(windowMsOf({ namespace: "n", kind: "fires", minute: 1 })).toBe(60_000);
    expect(windowMsOf({ namespace: "n", kind: "apiCalls", minute: 1, window: { key: "k", windowMs: 5_000 } })).toBe(
      5_000,
    );
    expect(minuteOf(119_999)).toBe(1);
  });
});
