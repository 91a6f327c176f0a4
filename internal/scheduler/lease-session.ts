// One dispatcher's session with this scheduler.
//
// The dispatcher opens the link, says hello and what it holds; from then on it wishes, returns and beats, and we grant.
//
//   L1. Nothing is granted before the dispatcher has said what it holds: what it does not name would be lost.
//   L2. deps.ended is called exactly once, however the session ends; no item is handled after it.
//   L3. Whoever says nothing for a whole session TTL is gone: the link is ended, and its leases run out like those of
//       a link that broke.

import type { Clock } from "../base/clock.js";
import type {
  CapacityRequest,
  Demand,
  Lease,
  LeaseRequestItem,
  LeaseResponseItem,
  ReturnLeases,
} from "../gen/weft/link/v1/lease.pb.js";
import type { Link } from "../rpc/link.js";

export type SessionOutcome =
  /** The peer ended it, or the link broke. */
  | { readonly kind: "closed"; readonly why: string }
  | { readonly kind: "silent" }
  /** The same peer came again. */
  | { readonly kind: "replaced" }
  | { readonly kind: "protocolError"; readonly why: string }
  /** This scheduler stops, or lost its place among the members. */
  | { readonly kind: "stopped" };

export interface LeaseSessionDeps {
  readonly schedulerId: string;
  readonly clock: Clock;
  readonly heartbeatMs: number;
  readonly sessionTtlMs: number;
  readonly hello: (session: LeaseSession) => void;
  readonly held: (session: LeaseSession, leases: readonly Lease[]) => void;
  readonly capacity: (session: LeaseSession, request: CapacityRequest) => void;
  readonly returned: (session: LeaseSession, returned: ReturnLeases) => void;
  readonly heartbeat: (session: LeaseSession, demands: readonly Demand[]) => void;
  readonly ended: (session: LeaseSession, outcome: SessionOutcome) => void;
}

type State = "greeting" | "reporting" | "serving" | "over";

export class LeaseSession {
  #state: State = "greeting";
  #heardMonoMs: number;
  dispatcherId = "";
  bootId = "";
  readonly sinceMonoMs: number;

  constructor(
    private readonly link: Link<LeaseRequestItem, LeaseResponseItem>,
    private readonly deps: LeaseSessionDeps,
  ) {
    this.sinceMonoMs = deps.clock.monoMs();
    this.#heardMonoMs = this.sinceMonoMs;
  }

  get state(): State {
    return this.#state;
  }

  /** Takes the link over; to be called before an item can arrive. */
  start(): void {
    this.link.onItem = (item) => this.#receive(item);
    this.link.onClosed = (why) => this.end({ kind: "closed", why: why?.message ?? "the dispatcher ended it" });
  }

  /** @returns false when the session is over */
  send(item: LeaseResponseItem["item"]): boolean {
    if (this.#state !== "serving") return false; // L1
    return this.link.send({ item });
  }

  /** Ends a session that has been silent for too long (L3). */
  check(nowMonoMs: number): void {
    if (nowMonoMs - this.#heardMonoMs >= this.deps.sessionTtlMs) this.end({ kind: "silent" });
  }

  end(outcome: SessionOutcome): void {
    if (this.#state === "over") return;
    this.#state = "over"; // L2
    this.link.close();
    this.deps.ended(this, outcome);
  }

  #receive({ item }: LeaseRequestItem): void {
    if (this.#state === "over") return;
    this.#heardMonoMs = this.deps.clock.monoMs();
    switch (item?.$case) {
      case "capacity":
        if (this.#state !== "serving") this.#refuse("a wish before what is held");
        else this.deps.capacity(this, item.value);
        return;
      case "returned":
        if (this.#state !== "serving") this.#refuse("a return before what is held");
        else this.deps.returned(this, item.value);
        return;
      case "heartbeat":
        if (this.#state === "serving") this.deps.heartbeat(this, item.value.demands);
        return;
      case "hello": {
        const { dispatcherId, bootId, wireVersion } = item.value;
        if (this.#state !== "greeting") return this.#refuse("a second hello");
        if (wireVersion !== 1) return this.#refuse(`wire version ${wireVersion}, which is not spoken here`);
        if (dispatcherId === "" || bootId === "") return this.#refuse("a hello without a name");
        this.#state = "reporting";
        this.dispatcherId = dispatcherId;
        this.bootId = bootId;
        this.link.send({
          item: {
            $case: "welcome",
            value: {
              schedulerId: this.deps.schedulerId,
              heartbeatMs: this.deps.heartbeatMs,
              sessionTtlMs: this.deps.sessionTtlMs,
              wireVersion: 1,
            },
          },
        });
        this.deps.hello(this);
        return;
      }
      case "held":
        if (this.#state !== "reporting") return this.#refuse("what is held, out of turn");
        this.#state = "serving";
        this.deps.held(this, item.value.leases);
        return;
      case undefined: // something of a newer dispatcher: not ours to refuse
        return;
    }
  }

  #refuse(why: string): void {
    this.end({ kind: "protocolError", why });
  }
}
