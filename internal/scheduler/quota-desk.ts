// Where those who admit calls get their shares of the throttles. What is decided is in core/throttle/bank; this carries
// it over the links.
//
//   D1. Only while this scheduler may command is anything handed out, and only for namespaces whose shard it owns.
//   D2. A scheduler that took over hands out nothing before every gateway and controller has said what it holds, or
//       SETTLE_MS have passed.

import type { Clock } from "../base/clock.js";
import { WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import { shardOf } from "../core/coordination/coordination.js";
import { QuotaBank, type BankEvent } from "../core/throttle/bank.js";
import { accountOfWire, accountToWire } from "../dispatch/quota-wire.js";
import type { QuotaRequestItem, QuotaResponseItem } from "../gen/weft/link/v1/quota.pb.js";
import type { Link } from "../rpc/link.js";
import type { SchedulerMetrics } from "./metrics.js";

/** Gateways and controllers find a new scheduler within this, unless they are cut off from it. */
export const SETTLE_MS = 1_000;

export interface QuotaDeskDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<SchedulerMetrics, "quotaAccounts" | "quotaItems">;
  readonly commanding: () => boolean;
  readonly owns: (shard: number) => boolean;
  /** Boots of the gateways and controllers that live; undefined until that is known. */
  readonly holders: () => readonly string[] | undefined;
}

type HolderLink = Link<QuotaRequestItem, QuotaResponseItem>;

export class QuotaDesk {
  #bank = new QuotaBank();
  /** Links that were not given up, with the boot that said hello. */
  readonly #links = new Map<HolderLink, string>();
  /** By boot: those that have said what they hold. */
  readonly #serving = new Map<string, HolderLink>();
  #tookOverMonoMs: number | undefined;

  constructor(private readonly deps: QuotaDeskDeps) {
    deps.metrics.quotaAccounts.from(() => this.#bank.accounts);
  }

  /** A holder's link. Sets its callbacks before it returns. */
  serve(link: HolderLink): void {
    this.#links.set(link, "");
    link.onItem = (item) => this.#receive(link, item);
    link.onClosed = () => this.#closed(link);
  }

  /** Shards were taken. */
  tookOver(): void {
    this.#tookOverMonoMs ??= this.deps.clock.monoMs();
    this.#openWhenSettled();
  }

  /** Several times a second. */
  tick(): void {
    this.#openWhenSettled();
    this.#apply({ kind: "tick" });
  }

  /** The place among the members is lost: everything is forgotten, and holders report to whoever comes next. */
  startOver(): void {
    this.#forget(undefined);
  }

  debug(): unknown {
    return this.#bank.debug();
  }

  #forget(tookOverMonoMs: number | undefined): void {
    this.#bank = new QuotaBank();
    this.#tookOverMonoMs = tookOverMonoMs;
    this.#serving.clear();
    for (const link of [...this.#links.keys()]) link.close();
  }

  #receive(link: HolderLink, { item }: QuotaRequestItem): void {
    if (!item || !this.#links.has(link)) return;
    this.deps.metrics.quotaItems.bound({ item: item.$case }).inc();
    const bootId = this.#links.get(link) ?? "";
    if (item.$case === "hello") {
      if (bootId !== "" || item.value.bootId === "" || item.value.wireVersion !== 1) {
        this.#refuse(link, new WeftError("invalidArgument", "BAD_HELLO", "this hello is not understood here"));
        return;
      }
      this.#links.set(link, item.value.bootId);
      return this.#apply({ kind: "hello", holderId: item.value.holderId, bootId: item.value.bootId });
    }
    if (item.$case === "held") {
      if (bootId === "") return this.#refuse(link, outOfTurn());
      const former = this.#serving.get(bootId);
      this.#serving.set(bootId, link);
      if (former && former !== link) former.close();
      const holdings = item.value.holdings.flatMap(({ account, permits }) => {
        const known = accountOfWire(account);
        return known ? [{ account: known, permits }] : [];
      });
      this.#apply({ kind: "held", bootId, holdings });
      this.#openWhenSettled();
      return;
    }
    if (this.#serving.get(bootId) !== link) return this.#refuse(link, outOfTurn());
    const account = accountOfWire(item.value.account);
    if (!account) return;
    switch (item.$case) {
      case "want": {
        if (!this.deps.owns(shardOf(account.namespace))) {
          return this.#refuse(link, new WeftError("failedPrecondition", "NOT_OWNER", "another scheduler owns it"));
        }
        const { limit, permits, urgent } = item.value;
        return this.#apply({ kind: "want", bootId, account, limit, permits, urgent });
      }
      case "returned": {
        const { permits, recalled } = item.value;
        return this.#apply({ kind: "returned", bootId, account, permits, recalled });
      }
      case "taken":
        return this.#apply({ kind: "taken", bootId, account, permits: item.value.permits });
    }
  }

  #refuse(link: HolderLink, why: WeftError): void {
    link.close(why);
    this.#closed(link);
  }

  #closed(link: HolderLink): void {
    const bootId = this.#links.get(link);
    if (bootId === undefined) return;
    this.#links.delete(link);
    if (this.#serving.get(bootId) !== link) return;
    this.#serving.delete(bootId);
    this.#apply({ kind: "away", bootId });
  }

  /** D2 */
  #openWhenSettled(): void {
    if (this.#bank.open || this.#tookOverMonoMs === undefined || !this.deps.commanding()) return;
    const holders = this.deps.holders();
    const all = holders?.every((bootId) => this.#serving.has(bootId)) ?? false;
    if (!all && this.deps.clock.monoMs() - this.#tookOverMonoMs < SETTLE_MS) return;
    this.#apply({ kind: "open" });
  }

  #apply(event: BankEvent): void {
    const { clock, log } = this.deps;
    for (const command of this.#bank.apply(event, clock.monoMs(), clock.wallMs())) {
      // D1. What is not said was not given: the link ends, and the holder reports what it has.
      if (!this.deps.commanding()) {
        log.info("hands out no shares of throttles: its place among the members is in doubt");
        this.#forget(clock.monoMs());
        return;
      }
      const account = accountToWire(command.account);
      const link = this.#serving.get(command.bootId);
      switch (command.kind) {
        case "grant":
          link?.send({ item: { $case: "grant", value: { account, permits: command.permits } } });
          break;
        case "denial":
          link?.send({
            item: { $case: "denial", value: { account, spent: command.spent, urgent: command.urgent } },
          });
          break;
        case "recall":
          link?.send({ item: { $case: "recall", value: { account } } });
          break;
      }
    }
  }
}

function outOfTurn(): WeftError {
  return new WeftError("invalidArgument", "OUT_OF_TURN", "first comes a hello, then what is held");
}
