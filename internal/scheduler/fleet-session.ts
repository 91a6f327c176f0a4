// One invoker's session with this scheduler.
//
// The invoker opens the link, registers and reports its whole inventory; from then on it reports changes, and we order.
//
//   F1. Nothing is ordered before the inventory has come.
//   F2. deps.ended is called exactly once, however the session ends; no item is handled after it.
//   F3. Three heartbeats missed make the invoker suspect, the next word clears it. Its link is left alone: a stalled
//       process that wakes up goes on where it was.

import type { Clock } from "../base/clock.js";
import type {
  Capacity,
  DispatcherGone,
  FleetRequestItem,
  FleetResponseItem,
  Inventory,
  Register,
  SandboxReport,
} from "../gen/weft/link/v1/fleet.pb.js";
import type { Link } from "../rpc/link.js";
import type { SessionOutcome } from "./lease-session.js";

/** Heartbeats that may be missing. */
const MISSED_MAX = 3;

export interface FleetSessionDeps {
  readonly schedulerId: string;
  readonly clock: Clock;
  readonly heartbeatMs: number;
  readonly registered: (session: FleetSession, register: Register) => void;
  readonly inventory: (session: FleetSession, inventory: Inventory) => void;
  readonly capacity: (session: FleetSession, capacity: Capacity) => void;
  readonly sandbox: (session: FleetSession, report: SandboxReport) => void;
  readonly dispatcherGone: (session: FleetSession, gone: DispatcherGone) => void;
  readonly silence: (session: FleetSession, silent: boolean) => void;
  readonly ended: (session: FleetSession, outcome: SessionOutcome) => void;
}

type State = "greeting" | "reporting" | "serving" | "over";

export class FleetSession {
  #state: State = "greeting";
  #heardMonoMs: number;
  #silent = false;
  invokerId = "";
  bootId = "";
  readonly sinceMonoMs: number;

  constructor(
    private readonly link: Link<FleetRequestItem, FleetResponseItem>,
    private readonly deps: FleetSessionDeps,
  ) {
    this.sinceMonoMs = deps.clock.monoMs();
    this.#heardMonoMs = this.sinceMonoMs;
  }

  get state(): State {
    return this.#state;
  }

  get silent(): boolean {
    return this.#silent;
  }

  /** Takes the link over; to be called before an item can arrive. */
  start(): void {
    this.link.onItem = (item) => this.#receive(item);
    this.link.onClosed = (why) => this.end({ kind: "closed", why: why?.message ?? "the invoker ended it" });
  }

  /** @returns false when nothing can be ordered: the session is over or has not begun (F1) */
  order(item: Extract<FleetResponseItem["item"], { $case: "create" | "destroy" }>): boolean {
    if (this.#state !== "serving") return false;
    return this.link.send({ item });
  }

  check(nowMonoMs: number): void {
    if (this.#state === "over" || this.#silent) return;
    if (nowMonoMs - this.#heardMonoMs < MISSED_MAX * this.deps.heartbeatMs) return;
    if (this.#state === "greeting") {
      this.end({ kind: "silent" });
      return;
    }
    this.#silent = true; // F3
    this.deps.silence(this, true);
  }

  end(outcome: SessionOutcome): void {
    if (this.#state === "over") return;
    this.#state = "over"; // F2
    this.link.close();
    this.deps.ended(this, outcome);
  }

  #receive({ item }: FleetRequestItem): void {
    if (this.#state === "over") return;
    this.#heardMonoMs = this.deps.clock.monoMs();
    if (this.#silent) {
      this.#silent = false;
      this.deps.silence(this, false);
    }
    switch (item?.$case) {
      case "register": {
        const { invokerId, bootId, wireVersion } = item.value;
        if (this.#state !== "greeting") return this.#refuse("a second registration");
        if (wireVersion !== 1) return this.#refuse(`wire version ${wireVersion}, which is not spoken here`);
        if (invokerId === "" || bootId === "") return this.#refuse("a registration without a name");
        this.#state = "reporting";
        this.invokerId = invokerId;
        this.bootId = bootId;
        this.link.send({
          item: {
            $case: "welcome",
            value: { schedulerId: this.deps.schedulerId, heartbeatMs: this.deps.heartbeatMs, wireVersion: 1 },
          },
        });
        this.deps.registered(this, item.value);
        return;
      }
      case "inventory":
        if (this.#state === "greeting") return this.#refuse("an inventory before the registration");
        this.#state = "serving";
        this.deps.inventory(this, item.value);
        return;
      case "capacity":
        if (this.#state === "greeting") return this.#refuse("a capacity before the registration");
        this.deps.capacity(this, item.value);
        return;
      case "sandbox":
        if (this.#state !== "serving") return this.#refuse("a sandbox before the inventory");
        this.deps.sandbox(this, item.value);
        return;
      case "dispatcherGone":
        if (this.#state === "serving") this.deps.dispatcherGone(this, item.value);
        return;
      case "heartbeat":
      case undefined: // something of a newer invoker: not ours to refuse
        return;
    }
  }

  #refuse(why: string): void {
    this.end({ kind: "protocolError", why });
  }
}
