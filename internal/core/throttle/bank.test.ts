import { describe, expect, it } from "vitest";
import type { QuotaAccount } from "./account.js";
import { GONE_MS, QuotaBank, RECALL_MS, type BankEvent } from "./bank.js";

const RATE: QuotaAccount = { namespace: "ns", kind: "invocations", minute: 0 };
const PLACES: QuotaAccount = { namespace: "ns", kind: "places", minute: 0 };

/** What is done, and what the bank says to it: "a+3" granted, "a?" recalled, "a-" denied, "a!" denied and spent. */
type Step = readonly [event: BankEvent | { readonly after: number }, says: string];

const hello = (bootId: string, holderId = bootId): BankEvent => ({ kind: "hello", holderId, bootId });
const held = (bootId: string, ...permits: number[]): BankEvent => ({
  kind: "held",
  bootId,
  holdings: permits.map((count) => ({ account: RATE, permits: count })),
});
const want = (bootId: string, more: Partial<BankEvent & { kind: "want" }> = {}): BankEvent => ({
  kind: "want",
  bootId,
  account: RATE,
  limit: 32,
  permits: 1,
  urgent: true,
  ...more,
});
const returned = (bootId: string, permits: number, account = RATE): BankEvent => ({
  kind: "returned",
  bootId,
  account,
  permits,
  recalled: true,
});
const open: BankEvent = { kind: "open" };
const tick: BankEvent = { kind: "tick" };
const small = (bootId: string, urgent = true): BankEvent => want(bootId, { limit: 2, urgent });
const place = (bootId: string, limit = 1): BankEvent => want(bootId, { account: PLACES, limit });

const table: readonly (readonly [string, readonly Step[]])[] = [
  [
    "gives what is asked for, or a sixteenth of the limit, and in the end what is left",
    [
      [hello("a"), ""],
      [open, ""],
      [want("a"), "a+2"],
      [want("a", { permits: 29 }), "a+29"],
      [want("a", { permits: 29 }), "a+1"],
      [want("a"), "a!"],
    ],
  ],
  [
    "gives less of what is left when several share it",
    [
      [hello("a"), ""],
      [hello("b"), ""],
      [open, ""],
      [want("a", { permits: 26 }), "a+26"],
      [want("b"), "b+2"],
      [want("b"), "b+1"],
      [want("a"), "a+1"],
    ],
  ],
  [
    "asks others for what they do not use before it denies a call that waits",
    [
      [hello("a"), ""],
      [hello("b"), ""],
      [open, ""],
      [want("a", { limit: 2, permits: 2 }), "a+2"],
      [small("b"), "a?"],
      [returned("a", 1), "b+1"],
      [small("b"), "b!"],
      [small("b"), "b!"],
    ],
  ],
  [
    "does not trouble others for what is asked in advance",
    [
      [hello("a"), ""],
      [hello("b"), ""],
      [open, ""],
      [want("a", { limit: 2, permits: 2 }), "a+2"],
      [small("b", false), "b-"],
    ],
  ],
  [
    "does not wait for ever for one that does not answer, and says then that it does not know",
    [
      [hello("a"), ""],
      [hello("b"), ""],
      [open, ""],
      [want("a", { limit: 2, permits: 2 }), "a+2"],
      [small("b"), "a?"],
      [{ after: RECALL_MS - 1 }, ""],
      [tick, ""],
      [{ after: 1 }, ""],
      [tick, "b-"],
    ],
  ],
  [
    "asks again for places, which come back",
    [
      [hello("a"), ""],
      [hello("b"), ""],
      [open, ""],
      [place("a"), "a+1"],
      [place("b"), "a?"],
      [returned("a", 0, PLACES), "b-"],
      [place("b"), "a?"],
      [returned("a", 1, PLACES), "b+1"],
    ],
  ],
  [
    "gives more when the limit was raised, and nothing above one that was lowered",
    [
      [hello("a"), ""],
      [open, ""],
      [want("a", { limit: 2, permits: 9 }), "a+2"],
      [want("a", { limit: 3, permits: 9 }), "a+1"],
      [want("a", { limit: 1, permits: 9 }), "a!"],
    ],
  ],
  [
    "gives nothing before it is open, and knows then what holders have",
    [
      [hello("a"), ""],
      [held("a", 31), ""],
      [hello("b"), ""],
      [held("b"), ""],
      [want("b", { permits: 5 }), ""],
      [open, "b+1"],
    ],
  ],
  [
    "keeps the places of one that is away for a while, and a rate's permits for good",
    [
      [hello("a"), ""],
      [hello("b"), ""],
      [open, ""],
      [place("a"), "a+1"],
      [want("a", { limit: 2, permits: 2 }), "a+2"],
      [{ kind: "away", bootId: "a" }, ""],
      [place("b"), "b-"],
      [small("b"), "b-"],
      [{ after: GONE_MS }, ""],
      [tick, ""],
      [place("b"), "b+1"],
      [small("b"), "b!"],
    ],
  ],
  [
    "frees the places of a former life at once",
    [
      [hello("a1", "a"), ""],
      [open, ""],
      [place("a1"), "a1+1"],
      [hello("a2", "a"), ""],
      [place("a2"), "a2+1"],
    ],
  ],
  [
    "believes what a holder says that it has",
    [
      [hello("a"), ""],
      [open, ""],
      [want("a", { permits: 31 }), "a+31"],
      [{ kind: "away", bootId: "a" }, ""],
      [hello("a"), ""],
      [held("a", 10), ""],
      [want("a", { permits: 32 }), "a+22"],
    ],
  ],
  [
    "counts what was taken without asking",
    [
      [hello("a"), ""],
      [hello("b"), ""],
      [open, ""],
      [{ kind: "taken", bootId: "a", account: PLACES, permits: 3 }, ""],
      [place("b", 4), "b+1"],
      [place("b", 4), "a?"],
    ],
  ],
];

describe("the bank of a throttle", () => {
  for (const [what, steps] of table) {
    it(what, () => {
      const bank = new QuotaBank();
      let nowMs = 0;
      for (const [event, says] of steps) {
        if ("after" in event) {
          nowMs += event.after;
          continue;
        }
        const said = bank.apply(event, nowMs, 0).map((command) => {
          switch (command.kind) {
            case "grant":
              return `${command.bootId}+${command.permits}`;
            case "recall":
              return `${command.bootId}?`;
            case "denial":
              return `${command.bootId}${command.spent ? "!" : "-"}`;
          }
        });
        expect([event, said.join(" ")]).toEqual([event, says]);
      }
    });
  }

  it("forgets what is over", () => {
    const bank = new QuotaBank();
    for (const event of [hello("a"), open, want("a"), place("a")]) bank.apply(event, 0, 0);
    expect([bank.accounts, bank.handedOut(RATE)]).toEqual([2, 2]);
    bank.apply(returned("a", 1, PLACES), 0, 0);
    bank.apply(tick, 0, 2 * 60_000);
    expect(bank.accounts).toBe(0);
  });
});
