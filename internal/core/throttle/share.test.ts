import { describe, expect, it } from "vitest";
import { ManualClock, settle } from "../../../test/harness/clock.js";
import type { NamespaceLimits } from "../tenancy/store.js";
import { ASK_MS, DENIED_MS, type BankPort } from "./share.js";
import { Throttles, type Verdict } from "./throttle.js";

const limits: NamespaceLimits = { invocationsPerMinute: 60, firesPerMinute: 60, concurrentInvocations: 30 };

/** One that is asked, and answers when the test says so. */
class Bank implements BankPort {
  readonly said: string[] = [];
  waits = ASK_MS;
  among = 1;
  waitMs = (): number => this.waits;
  holders = (): number => this.among;
  want: BankPort["want"] = ({ kind, minute }, limit, permits, urgent) => {
    this.said.push(`want ${kind} ${minute} ${permits}/${limit}${urgent ? " now" : ""}`);
  };
  giveBack: BankPort["giveBack"] = ({ kind }, permits, recalled) => {
    this.said.push(`${recalled ? "return" : "give back"} ${kind} ${permits}`);
  };
  taken: BankPort["taken"] = ({ kind }, permits) => {
    this.said.push(`taken ${kind} ${permits}`);
  };
  silent = (): void => {
    this.said.push("silent");
    this.waits = 0;
  };
  take(): string[] {
    return this.said.splice(0);
  }
}

function aHolder(): {
  readonly clock: ManualClock;
  readonly bank: Bank;
  readonly throttles: Throttles;
  fire(): { verdict: Verdict | "waits" };
} {
  const clock = new ManualClock(0);
  const bank = new Bank();
  const throttles = new Throttles(clock);
  throttles.connect(bank);
  const fire = (): { verdict: Verdict | "waits" } => {
    const told: { verdict: Verdict | "waits" } = { verdict: "waits" };
    const verdict = throttles.of("ns").admitFire(limits);
    if (verdict instanceof Promise) void verdict.then((late) => (told.verdict = late));
    else told.verdict = verdict;
    return told;
  };
  return { clock, bank, throttles, fire };
}

const FIRES = { namespace: "ns", kind: "fires", minute: 0 } as const;
const PLACES = { namespace: "ns", kind: "places", minute: 0 } as const;
const REFUSED = { verdict: { kind: "throttled", reason: "RATE_LIMIT" } };

describe("a share of a limit", () => {
  it("asks once for all who wait, and admits as many as were granted", async () => {
    const { bank, throttles, fire } = aHolder();
    const calls = [fire(), fire(), fire()];
    expect(bank.take()).toEqual(["want fires 0 1/60 now"]);
    throttles.granted(FIRES, 2);
    await settle();
    expect(calls).toEqual([{ verdict: undefined }, { verdict: undefined }, { verdict: "waits" }]);
    expect(bank.take()).toEqual(["want fires 0 1/60 now"]);
    throttles.denied(FIRES, { spent: false, urgent: true });
    await settle();
    expect(calls[2]).toMatchObject(REFUSED);
  });

  it("admits without a word while it has some, and asks for more before they are gone", () => {
    const { bank, throttles, fire } = aHolder();
    fire();
    throttles.granted(FIRES, 8);
    bank.take();
    for (let i = 0; i < 3; i++) expect(fire().verdict).toBeUndefined();
    expect(bank.take()).toEqual([]);
    expect(fire().verdict).toBeUndefined();
    expect(bank.take()).toEqual(["want fires 0 1/60"]);
  });

  it("asks again soon after a denial, but not in a minute of which all is spent", async () => {
    const { clock, bank, throttles, fire } = aHolder();
    fire();
    throttles.denied(FIRES, { spent: false, urgent: true });
    await settle();
    bank.take();
    expect(fire()).toMatchObject(REFUSED);
    expect(bank.take()).toEqual([]);
    await clock.elapse(DENIED_MS);
    fire();
    expect(bank.take()).toEqual(["want fires 0 1/60 now"]);
    throttles.denied(FIRES, { spent: true, urgent: true });
    await clock.elapse(30_000);
    expect(fire()).toMatchObject(REFUSED);
    expect(bank.take()).toEqual([]);
    await clock.elapse(30_000);
    fire();
    expect(bank.take()).toEqual(["want fires 1 1/60 now"]);
  });

  it("takes no answer for one to another question", async () => {
    const { bank, throttles, fire } = aHolder();
    fire();
    throttles.granted(FIRES, 2);
    expect(fire().verdict).toBeUndefined();
    expect(bank.take().at(-1)).toBe("want fires 0 1/60"); // in advance
    const waiting = fire();
    expect(bank.take()).toEqual([]);
    throttles.denied(FIRES, { spent: false, urgent: false });
    await settle();
    expect(waiting.verdict).toBe("waits");
    expect(bank.take()).toEqual(["want fires 0 1/60 now"]);
  });

  it("gives back what it does not use, and nothing else", () => {
    const { bank, throttles, fire } = aHolder();
    fire();
    throttles.granted(FIRES, 5);
    bank.take();
    throttles.recalled(FIRES);
    throttles.recalled(FIRES);
    throttles.recalled({ ...FIRES, namespace: "nobody's" });
    expect(bank.take()).toEqual(["return fires 4", "return fires 0", "return fires 0"]);
    expect(throttles.held()).toEqual([{ account: FIRES, permits: 1 }]);
  });

  it("goes by an even share when nobody can be asked or answers, and tells how much it took", async () => {
    const { clock, bank, throttles, fire } = aHolder();
    bank.among = 30;
    const calls = [fire(), fire(), fire()];
    bank.take();
    await clock.elapse(ASK_MS);
    expect(calls).toMatchObject([{ verdict: undefined }, { verdict: undefined }, REFUSED]);
    expect(bank.take()).toEqual(["silent", "taken fires 1", "taken fires 1"]);
    expect(fire()).toMatchObject(REFUSED);
    expect(throttles.held()).toEqual([{ account: FIRES, permits: 2 }]);
  });

  it("asks for the next minute before it begins", async () => {
    const { clock, bank, throttles, fire } = aHolder();
    fire();
    throttles.granted(FIRES, 10);
    await clock.elapse(56_000);
    bank.take();
    expect(fire().verdict).toBeUndefined();
    expect(bank.take()).toEqual(["want fires 1 1/60"]);
    throttles.granted({ ...FIRES, minute: 1 }, 3);
    expect(throttles.held()).toEqual([
      { account: FIRES, permits: 10 },
      { account: { ...FIRES, minute: 1 }, permits: 3 },
    ]);
    await clock.elapse(4_000);
    for (let i = 0; i < 3; i++) expect(fire().verdict).toBeUndefined();
    expect(fire().verdict).toBe("waits");
  });

  it("serves who waits for a place when another is done with his", async () => {
    const { bank, throttles } = aHolder();
    const throttle = throttles.of("ns");
    const first = throttle.admitPlace(limits);
    throttles.granted(PLACES, 1);
    expect(await first).toBeUndefined();
    const second = throttle.admitPlace(limits);
    throttle.release();
    expect(await second).toBeUndefined();
    throttle.occupy();
    expect(bank.take().at(-1)).toBe("taken places 1");
    expect(throttle.inFlight).toBe(2);
    throttle.release();
    throttle.release();
    throttle.drop();
    expect(bank.take()).toEqual(["give back places 2"]);
  });

  it("asks anew over a new link", () => {
    const { bank, throttles, fire } = aHolder();
    fire();
    bank.take();
    throttles.linked();
    expect(bank.take()).toEqual(["want fires 0 1/60 now"]);
  });
});
