// Dispatchers at the door: their links, their calls, and what they are told when a link broke.
//
//   K1. A link says Hello first. It ends every older link of the same boot, and every link of an older boot of the same
//       dispatcher, before it is welcomed; nothing that was unread on those is ever looked at. So an answer "unknown" on
//       the new link proves that the call did not start and never will.
//   K2. Every call that arrives on a link that lasts is answered exactly once on it: Done or Nack.
//   K3. A link that ends stops no call: each ends in its own time, and its record is written.
//   K4. Nobody has more unfinished on a link than was credited.
//   K5. The caller is answered first; its record is made when the answer is on its way and the last output has arrived.
//   K6. What became of a call is told to whoever asks, not only to the life that sent it: a controller that takes over
//       from a dead one asks about the dead one's durable calls. "Unknown" proves to it that the call did not start, and
//       from then on nobody else may start it: an Invoke of it that a paused controller sent long ago is sent back. A
//       call whose record is not durable yet is never unknown.

import type { Gauge } from "../base/metrics.js";
import { NumberMap } from "../base/number-map.js";
import type { DispatcherHello, WorkRequestItem, WorkResponseItem } from "../gen/weft/link/v1/work.pb.js";
import type { Link } from "../rpc/link.js";
import type { NackName } from "./metrics.js";
import { RecentCalls } from "./recent-calls.js";
import type { Run, RunEnd, RunOwner } from "./run.js";
import { doneOf } from "./wire.js";
import { WIRE_VERSION, WorkSession, type CallFate, type Life, type WorkSessionDeps } from "./work-session.js";

/** What a dispatcher's life had here is remembered so long after its last link. */
const FORGET_LIFE_MS = 600_000;
/** Older boots of one dispatcher that are told apart from newer ones. */
const RETIRED_BOOTS = 16;
/** Calls that one life was told never to have started, remembered so that no other life starts them. */
const GIVEN_UP_MAX = 10_000;
/** Output that went past a runtime may come a little after its answer. */
const SETTLE_MS = 20;

export interface WorkDeskDeps extends WorkSessionDeps {
  /** Its last output is there: time to write its record. */
  readonly settled: (run: Run) => void;
  /** The last link of a dispatcher's life ended: its slots are nobody's. */
  readonly dispatcherGone: (dispatcherId: string, bootId: string) => void;
}

export class WorkDesk implements RunOwner {
  readonly #lives = new Map<string, Life>();
  readonly #retired = new Map<string, string[]>();
  /** Lives that were replaced: what they sent still runs, or ended not long ago. */
  #former: Life[] = [];
  /** K6: who was told that a call never started; the oldest first. */
  readonly #givenUp = new Map<string, Life>();
  readonly #sessions = new Set<WorkSession>();
  /** Ended and answered; more may be printed by them until then, monotonic. Oldest first. */
  readonly #printing = new Map<Run, number>();
  #cancelPrinting: (() => void) | undefined;
  /** Ended, answered and silent. Their records are made in one go when what they have to tell has been sent. */
  #silent: Run[] = [];
  #cancelSilent: (() => void) | undefined;
  #finishWithinMs: number | undefined;
  readonly #calls: Gauge;

  constructor(private readonly deps: WorkDeskDeps) {
    this.#calls = deps.metrics.calls;
    deps.metrics.workLinks.from(() => this.#sessions.size);
  }

  /** Takes a dialled link; its callbacks are set when this returns. */
  accept(link: Link<WorkRequestItem, WorkResponseItem>): void {
    const session: WorkSession = new WorkSession(this.deps, link, {
      owner: this,
      greet: (hello) => this.#greet(session, hello),
      closed: () => this.#closed(session),
      begun: () => this.#calls.inc(),
      finishWithinMs: () => this.#finishWithinMs,
      fateOf: (life, activationId) => this.#fateOf(life, activationId),
      givenUp: (life, activationId) => {
        if (this.#givenUp.size === 0) return false;
        const told = this.#givenUp.get(activationId);
        return told !== undefined && told !== life;
      },
    });
    this.#sessions.add(session);
  }

  /** Calls that are here. */
  get callCount(): number {
    return this.#calls.value;
  }

  /** Nothing new is taken; everybody is told. */
  drain(finishWithinMs: number): void {
    this.#finishWithinMs = finishWithinMs;
    for (const session of this.#sessions) session.sayDraining(finishWithinMs);
  }

  /** Leases on these are void. */
  slotsGone(sandboxes: readonly number[]): void {
    for (const session of this.#sessions) session.saySlotsGone(sandboxes);
  }

  /** Ends every link: the invoker begins a new life, or ends. */
  closeLinks(): void {
    for (const session of [...this.#sessions]) session.close();
  }

  /** Hands on every record that is due, without waiting for more output. */
  settleNow(): void {
    this.#cancelPrinting?.();
    this.#cancelPrinting = undefined;
    for (const run of this.#printing.keys()) this.#silent.push(run);
    this.#printing.clear();
    this.#cancelSilent?.();
    this.#settleSilent();
  }

  describe(): unknown {
    return [...this.#lives.values()].map((life) => ({
      dispatcherId: life.dispatcherId,
      bootId: life.bootId,
      connected: life.session !== undefined,
      unfinishedOnLink: life.session?.unfinished ?? 0,
      running: life.running.size,
      remembered: life.recent.size,
    }));
  }

  /** K1. @returns the life the link belongs to, or why it is refused */
  #greet(session: WorkSession, hello: DispatcherHello): Life | string {
    const { dispatcherId, bootId } = hello;
    if (hello.wireVersion !== WIRE_VERSION) return `wire version ${hello.wireVersion} is not spoken here`;
    if (dispatcherId === "" || bootId === "") return "it does not say who it is";
    let life = this.#lives.get(dispatcherId);
    if (life && life.bootId !== bootId) {
      if (this.#retired.get(dispatcherId)?.includes(bootId)) return "it belongs to an older life of its dispatcher";
      const before = life;
      this.#retire(before);
      life = undefined;
      // Ended before the new one is welcomed, and told once.
      if (before.session) before.session.close();
      this.#lives.delete(dispatcherId);
      before.endedAtMonoMs = Math.min(before.endedAtMonoMs, this.deps.clock.monoMs());
      before.recent.forgetResults();
      this.#former.push(before);
    }
    if (!life) {
      life = {
        dispatcherId,
        bootId,
        running: new NumberMap(),
        begun: 0,
        recent: new RecentCalls(),
        highestLink: -1,
        session: undefined,
        endedAtMonoMs: Infinity,
      };
      this.#forgetLives();
      this.#lives.set(dispatcherId, life);
    }
    if (hello.linkSequence <= life.highestLink) return "a newer link of the same dispatcher has been opened";
    life.highestLink = hello.linkSequence;
    const older = life.session;
    life.session = session;
    older?.close();
    return life;
  }

  #retire(life: Life): void {
    const boots = this.#retired.get(life.dispatcherId) ?? [];
    boots.push(life.bootId);
    if (boots.length > RETIRED_BOOTS) boots.shift();
    this.#retired.set(life.dispatcherId, boots);
  }

  /** Dispatchers come and go under new names: what left long ago is forgotten. */
  #forgetLives(): void {
    const now = this.deps.clock.monoMs();
    for (const [id, life] of this.#lives) {
      if (life.session || life.running.size > 0 || now - life.endedAtMonoMs < FORGET_LIFE_MS) continue;
      this.#lives.delete(id);
      this.#retired.delete(id);
    }
    this.#former = this.#former.filter((life) => life.running.size > 0 || now - life.endedAtMonoMs < FORGET_LIFE_MS);
  }

  /** K6 */
  #fateOf(life: Life, activationId: string): CallFate {
    const own = fateIn(life, activationId);
    if (own) return own;
    for (const other of [...this.#lives.values(), ...this.#former]) {
      const fate = other === life ? undefined : fateIn(other, activationId);
      if (fate) return fate;
    }
    if (this.deps.recordWaits(activationId)) return { kind: "ended", done: undefined };
    this.#givenUp.delete(activationId);
    this.#givenUp.set(activationId, life);
    if (this.#givenUp.size > GIVEN_UP_MAX) {
      const [oldest] = this.#givenUp.keys();
      if (oldest !== undefined) this.#givenUp.delete(oldest);
    }
    return { kind: "unknown" };
  }

  #closed(session: WorkSession): void {
    this.#sessions.delete(session);
    const { life } = session;
    if (life?.session !== session) return; // replaced by a newer link of the same life
    life.session = undefined;
    life.endedAtMonoMs = this.deps.clock.monoMs();
    this.deps.dispatcherGone(life.dispatcherId, life.bootId);
  }

  /** K3: told on the link it came by, if that is still there, and remembered for those who ask on a later one. */
  ended(run: Run, end: RunEnd): void {
    const done = doneOf(run, end);
    const { session } = run;
    session.finished(run, { item: { $case: "done", value: done } });
    session.life?.recent.add(run.request.activationId, done);
    this.#calls.dec();
    // K5
    if (!run.sandbox.mayPrint(run)) {
      this.#settleSoon(run);
      return;
    }
    this.#printing.set(run, this.deps.clock.monoMs() + SETTLE_MS);
    this.#cancelPrinting ??= this.deps.clock.after(SETTLE_MS, this.#printingEnds);
  }

  silent(run: Run): void {
    if (this.#printing.delete(run)) this.#settleSoon(run);
  }

  notStarted(run: Run, reason: NackName): void {
    this.#calls.dec();
    run.session.sentBack(run, reason);
  }

  readonly #printingEnds = (): void => {
    this.#cancelPrinting = undefined;
    const now = this.deps.clock.monoMs();
    for (const [run, dueMonoMs] of this.#printing) {
      // A timer may be a fraction early.
      if (dueMonoMs > now + 1) {
        this.#cancelPrinting = this.deps.clock.after(dueMonoMs - now, this.#printingEnds);
        return;
      }
      this.silent(run);
    }
  };

  #settleSoon(run: Run): void {
    this.#silent.push(run);
    this.#cancelSilent ??= this.deps.clock.after(0, this.#settleSilent);
  }

  readonly #settleSilent = (): void => {
    this.#cancelSilent = undefined;
    const runs = this.#silent;
    this.#silent = [];
    for (const run of runs) {
      run.sandbox.settled(run);
      this.deps.settled(run);
    }
  };
}

function fateIn(life: Life, activationId: string): CallFate | undefined {
  if (life.running.values().some((run) => run.request.activationId === activationId)) return { kind: "running" };
  const ended = life.recent.find(activationId);
  return ended && { kind: "ended", done: ended.done };
}
