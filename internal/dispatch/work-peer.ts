// One invoker as a dispatcher sees it: the WorkLink and what is in flight on it.
//
//   W1. Every call handed to send() is answered exactly once: done, nack, or, when the link breaks, by the fate that
//       the invoker tells over a new link ("unknown" proves it did not start), or as lost when nobody can tell.
//   W2. Calls and bytes in flight stay below the invoker's credits; what is above waits here, in order. A call that is
//       larger than all credits goes alone.
//   W3. A peer that is closed takes nothing: what is handed to it has not started. Before any call is answered because
//       of a broken or closed link, `unusable` is told, so that nobody sends the call here again.

import { Backoff } from "../base/backoff.js";
import type { Clock } from "../base/clock.js";
import { WeftError } from "../base/errors.js";
import { bytesToHex, hexToBytes } from "../base/ids.js";
import type { Log } from "../base/log.js";
import { NumberMap } from "../base/number-map.js";
import type { Random } from "../base/random.js";
import type { DispatchCall } from "../core/dispatch/call.js";
import {
  CallClass,
  CallStatus,
  NackReason,
  type ActivationStatus,
  type Done,
  type Invoke,
  type WorkRequestItem,
  type WorkResponseItem,
} from "../gen/weft/link/v1/work.pb.js";
import { workLink } from "../rpc/link-methods.js";
import type { Link } from "../rpc/link.js";
import type { Network } from "../rpc/network.js";
import type { HeldSlot } from "./held-slot.js";

/** How long an invoker that broke off is asked about its calls before they are given up. */
const FATE_WAIT_MS = 5_000;
/** How often calls that still run after a break are asked about. */
const FATE_POLL_MS = 100;

/** How long an invoker may take to say what it knows of activations. */
const ASK_WAIT_MS = 5_000;

/** What an invoker knows of an activation that this dispatcher did not send, or has given up. */
export type Fate =
  /** Never started, and never will. */
  | { readonly kind: "notStarted" }
  | { readonly kind: "running" }
  /** Ended; the record has been or will be sent. `done` is undefined when the result is no longer remembered. */
  | { readonly kind: "done"; readonly done: Done | undefined };

interface Asking {
  readonly activationId: Uint8Array;
  readonly told: (fate: Fate) => void;
  readonly failed: (error: WeftError) => void;
}

/** A call and the slot it goes to; whoever dispatches adds what it needs to answer. */
export interface Flight {
  readonly call: DispatchCall;
  readonly slot: HeldSlot;
}

export interface WorkPeerDeps<F extends Flight> {
  readonly dispatcherId: string;
  readonly bootId: string;
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /**
   * Number of the next link: it rises over all peers. The next life of an invoker may answer at the address of the one
   * before, and would take a lower number for an older link.
   */
  readonly nextLink: () => number;
  readonly done: (flight: F, done: Done) => void;
  /** Proven not to have started. */
  readonly notStarted: (flight: F, reason: NackReason | "unknown") => void;
  readonly lost: (flight: F, error: WeftError) => void;
  /** These sandboxes are gone. */
  readonly slotsGone: (peer: WorkPeer<F>, sandboxes: readonly number[]) => void;
  /** The link broke or the invoker drains: its slots are not to be used again. */
  readonly unusable: (peer: WorkPeer<F>) => void;
}

export class WorkPeer<F extends Flight> {
  readonly #flights = new NumberMap<F>();
  /** Sent over a link that broke; their fate is asked for. By activation id, hex. */
  readonly #uncertain = new Map<string, F>();
  readonly #pending: F[] = [];
  /** Questions about activations that are not in flight here. By activation id, hex. */
  readonly #asking = new Map<string, Asking[]>();
  readonly #backoff: Backoff;
  #link: Link<WorkResponseItem, WorkRequestItem> | undefined;
  #welcomed = false;
  #call = 0;
  #callCredits = 0;
  #byteCredits = 0;
  #bytesInFlight = 0;
  /** Dials again, or asks again. */
  #cancelTimer = (): void => {};
  /** Runs while nobody tells the fate of uncertain calls. */
  #cancelGiveUp: (() => void) | undefined;
  #closed = false;
  lastUsedMonoMs: number;

  constructor(
    readonly invokerId: string,
    readonly bootId: string,
    readonly address: string,
    private readonly deps: WorkPeerDeps<F>,
  ) {
    this.#backoff = new Backoff({ firstMs: 50, maxMs: 1_000 }, deps.random);
    this.lastUsedMonoMs = deps.clock.monoMs();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** True while the link stands: the invoker lives, whatever the list of members says. */
  get serving(): boolean {
    return this.#welcomed;
  }

  get idle(): boolean {
    return (
      this.#flights.size === 0 && this.#uncertain.size === 0 && this.#pending.length === 0 && this.#asking.size === 0
    );
  }

  connect(): void {
    if (this.#link || this.#closed) return;
    this.#welcomed = false;
    const link = this.deps.network.dial(this.address, workLink);
    this.#link = link;
    link.onItem = (item) => this.#receive(item);
    link.onClosed = (why) => this.#broken(link, why);
    link.send({
      item: {
        $case: "hello",
        value: {
          dispatcherId: this.deps.dispatcherId,
          bootId: this.deps.bootId,
          wireVersion: 1,
          linkSequence: this.deps.nextLink(),
        },
      },
    });
  }

  /** Takes responsibility for a call (W1). */
  send(flight: F): void {
    if (this.#closed) {
      this.deps.notStarted(flight, "unknown"); // W3
      return;
    }
    this.lastUsedMonoMs = this.deps.clock.monoMs();
    if (this.#pending.length === 0 && this.#credited(flight)) {
      this.#write(flight);
      return;
    }
    this.#pending.push(flight); // W2
    this.connect();
  }

  cancel(activationId: string, reason: string): void {
    const wanted = hexToBytes(activationId);
    for (const [call, flight] of this.#flights.entries()) {
      if (Buffer.compare(flight.call.activationId, wanted) === 0) {
        this.#link?.send({ item: { $case: "cancel", value: { call, reason } } });
      }
    }
  }

  /**
   * Asks what became of an activation. To be repeated while it runs.
   * @throws unavailable when the invoker does not answer
   */
  ask(activationId: Uint8Array): Promise<Fate> {
    this.lastUsedMonoMs = this.deps.clock.monoMs();
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(new WeftError("unavailable", "INVOKER_GONE", `invoker ${this.invokerId} left`));
        return;
      }
      const id = bytesToHex(activationId);
      const cancel = this.deps.clock.after(ASK_WAIT_MS, () => {
        const left = (this.#asking.get(id) ?? []).filter((one) => one !== asking);
        if (left.length > 0) this.#asking.set(id, left);
        else this.#asking.delete(id);
        reject(new WeftError("unavailable", "NO_ANSWER", `invoker ${this.invokerId} does not answer`));
      });
      const asking: Asking = {
        activationId,
        told: (fate) => {
          cancel();
          resolve(fate);
        },
        failed: (error) => {
          cancel();
          reject(error);
        },
      };
      this.#asking.set(id, [...(this.#asking.get(id) ?? []), asking]);
      if (this.#welcomed)
        this.#link?.send({ item: { $case: "statusQuery", value: { activationIds: [activationId] } } });
      else this.connect(); // asked with the welcome
    });
  }

  /** Ends the link; whatever is in flight is lost, what is pending did not start. */
  close(why: WeftError): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#welcomed = false;
    this.#cancelTimer();
    this.#decided();
    this.#link?.close();
    this.#link = undefined;
    const lost = [...this.#flights.values(), ...this.#uncertain.values()];
    const pending = this.#pending.splice(0);
    this.#flights.clear();
    this.#uncertain.clear();
    this.#failAsking(why);
    this.deps.unusable(this); // W3
    for (const flight of pending) this.deps.notStarted(flight, "unknown");
    for (const flight of lost) this.deps.lost(flight, why);
  }

  /** W2 */
  #credited(flight: F): boolean {
    if (!this.#welcomed || this.#flights.size >= this.#callCredits) return false;
    return this.#flights.size === 0 || this.#bytesInFlight + flight.call.paramsJson.length <= this.#byteCredits;
  }

  #write(flight: F): void {
    const { call, slot } = flight;
    const now = this.deps.clock.monoMs();
    this.#call = (this.#call + 1) >>> 0;
    this.#flights.set(this.#call, flight);
    this.#bytesInFlight += call.paramsJson.length;
    const invoke: Invoke = {
      call: this.#call,
      activationId: call.activationId,
      lease: {
        sandbox: slot.sandbox,
        slot: slot.slot,
        epoch: slot.epoch,
        sequence: slot.sequence,
        // Shown once per link life; after that the invoker knows the holder.
        token: slot.shown ? NO_BYTES : slot.token,
      },
      paramsJson: call.paramsJson,
      caller: call.caller,
      remainingMs: call.expiresMonoMs === Infinity ? 0 : Math.max(1, Math.round(call.expiresMonoMs - now)),
      waitedMs: Math.max(0, Math.round(now - call.acceptedMonoMs)),
      class: call.attempt === 0 ? CallClass.SYNC : CallClass.ASYNC,
      traceparent: call.traceparent,
      revisionId: call.ask.revisionId,
      attempt: call.attempt,
      truncationBytes: call.truncationBytes,
      unstored: call.unstored ?? false,
    };
    slot.shown = true;
    this.#link?.send({ item: { $case: "invoke", value: invoke } });
  }

  #receive({ item }: WorkResponseItem): void {
    switch (item?.$case) {
      case "done": {
        const flight = this.#take(item.value.call);
        if (flight) this.deps.done(flight, item.value);
        this.#pump();
        return;
      }
      case "nack": {
        const flight = this.#take(item.value.call);
        if (flight) this.deps.notStarted(flight, item.value.reason);
        this.#pump();
        return;
      }
      case "welcome": {
        if (item.value.bootId !== this.bootId) {
          // Another life of the invoker answers at this address: what this one ran ended with it.
          this.close(new WeftError("unavailable", "INVOKER_RESTARTED", `invoker ${this.invokerId} was restarted`));
          return;
        }
        this.#welcomed = true;
        this.#callCredits = item.value.callCredits;
        this.#byteCredits = item.value.byteCredits;
        this.#backoff.reset();
        this.#askFates();
        this.#pump();
        return;
      }
      case "slotsGone":
        this.deps.slotsGone(this, item.value.sandboxes);
        return;
      case "status":
        for (const status of item.value.statuses) this.#fate(status);
        return;
      case "draining":
        this.deps.unusable(this);
        return;
      case undefined: // something of a newer invoker
        return;
    }
  }

  #take(call: number): F | undefined {
    const flight = this.#flights.delete(call);
    if (!flight) return undefined;
    this.#bytesInFlight -= flight.call.paramsJson.length;
    return flight;
  }

  #pump(): void {
    for (let next = this.#pending[0]; next && this.#credited(next); next = this.#pending[0]) {
      this.#pending.shift();
      this.#write(next);
    }
  }

  #broken(link: Link<WorkResponseItem, WorkRequestItem>, why: WeftError | undefined): void {
    if (this.#link !== link || this.#closed) return;
    const wasServing = this.#welcomed;
    this.#link = undefined;
    this.#welcomed = false;
    for (const flight of this.#flights.values()) this.#uncertain.set(bytesToHex(flight.call.activationId), flight);
    this.#flights.clear();
    this.#bytesInFlight = 0;
    this.#cancelTimer();
    if (wasServing) {
      this.deps.log.info("the link to an invoker ended", { invokerId: this.invokerId, inFlight: this.#uncertain.size });
    }
    const pending = this.#pending.splice(0);
    this.#failAsking(
      new WeftError("unavailable", "LINK_LOST", `the link to invoker ${this.invokerId} broke`, { cause: why }),
    );
    this.deps.unusable(this); // W3
    for (const flight of pending) this.deps.notStarted(flight, "unknown");
    if (this.#uncertain.size === 0 || this.closed) return;
    // Dials again while somebody waits for the fate of a call.
    this.#awaitFate(why);
    this.#cancelTimer = this.deps.clock.after(this.#backoff.nextMs(), () => {
      this.connect();
    });
  }

  /** Gives the uncertain calls up when nobody tells their fate in time: not reached, not welcomed or not answered. */
  #awaitFate(why: WeftError | undefined): void {
    this.#cancelGiveUp ??= this.deps.clock.after(FATE_WAIT_MS, () => {
      this.#cancelGiveUp = undefined;
      this.#cancelTimer();
      const error = new WeftError(
        "unavailable",
        "OUTCOME_UNKNOWN",
        `invoker ${this.invokerId} was lost while the activation ran; how it ended is not known`,
        { cause: why },
      );
      const lost = [...this.#uncertain.values()];
      this.#uncertain.clear();
      for (const flight of lost) this.deps.lost(flight, error);
    });
  }

  /** A fate was told, or nobody waits for one any more. */
  #decided(): void {
    this.#cancelGiveUp?.();
    this.#cancelGiveUp = undefined;
  }

  #askFates(): void {
    if (!this.#link) return;
    const activationIds = [...this.#uncertain.values()].map((flight) => flight.call.activationId);
    for (const [first] of this.#asking.values()) if (first) activationIds.push(first.activationId);
    if (activationIds.length === 0) return;
    this.#link.send({ item: { $case: "statusQuery", value: { activationIds } } });
    if (this.#uncertain.size > 0) this.#awaitFate(undefined);
  }

  #failAsking(error: WeftError): void {
    const all = [...this.#asking.values()].flat();
    this.#asking.clear();
    for (const { failed } of all) failed(error);
  }

  #fate(status: ActivationStatus): void {
    const id = bytesToHex(status.activationId);
    const asking = this.#asking.get(id);
    if (asking) {
      this.#asking.delete(id);
      const fate = fateOf(status);
      for (const { told } of asking) told(fate);
    }
    const flight = this.#uncertain.get(id);
    if (!flight) return;
    switch (status.status) {
      case CallStatus.UNKNOWN:
        this.#uncertain.delete(id);
        this.deps.notStarted(flight, "unknown");
        break;
      case CallStatus.DONE:
        this.#uncertain.delete(id);
        if (status.done) this.deps.done(flight, status.done);
        else {
          this.deps.lost(
            flight,
            new WeftError("unavailable", "OUTCOME_FORGOTTEN", "the activation ended; its record tells how"),
          );
        }
        break;
      default:
        // It runs, and its invoker lives: keep asking. So for what a newer invoker says, which proves nothing.
        this.#decided();
        this.#cancelTimer();
        this.#cancelTimer = this.deps.clock.after(FATE_POLL_MS, () => {
          this.#askFates();
        });
    }
    if (this.#uncertain.size === 0) this.#decided();
  }
}

function fateOf(status: ActivationStatus): Fate {
  switch (status.status) {
    case CallStatus.RUNNING:
      return { kind: "running" };
    case CallStatus.DONE:
      return { kind: "done", done: status.done };
    case CallStatus.UNKNOWN:
      return { kind: "notStarted" };
    default:
      // Something of a newer invoker proves nothing.
      return { kind: "running" };
  }
}

const NO_BYTES = new Uint8Array();
