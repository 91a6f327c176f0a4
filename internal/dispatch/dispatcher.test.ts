// A dispatcher between a scripted scheduler and scripted invokers, over links in memory and a clock that stands.

import { describe, expect, it } from "vitest";

import { ManualClock, settle } from "../../test/harness/clock.js";
import { WeftError } from "../base/errors.js";
import { bytesToHex } from "../base/ids.js";
import { silentLog } from "../base/log.js";
import { seededRandom } from "../base/random.js";
import { MemoryCoordination } from "../core/coordination/memory-coordination.js";
import type { DispatchCall, DispatchResult } from "../core/dispatch/call.js";
import {
  RejectReason,
  ReturnReason,
  type CapacityRequest,
  type Lease,
  type LeaseRequestItem,
  type LeaseResponseItem,
} from "../gen/weft/link/v1/lease.pb.js";
import {
  CallStatus,
  NackReason,
  Outcome,
  StartKind,
  type ActivationStatus,
  type Done,
  type Invoke,
  type WorkRequestItem,
  type WorkResponseItem,
} from "../gen/weft/link/v1/work.pb.js";
import { leaseLink, workLink } from "../rpc/link-methods.js";
import type { Link } from "../rpc/link.js";
import { MemoryNetwork } from "../rpc/network.js";
import { Dispatcher } from "./dispatcher.js";

const JSON_OK = Buffer.from('{"ok":true}');

/** What an invoker says of a call, unless a test says otherwise. */
function doneOf(call: number, more: Partial<Done> = {}): Done {
  return {
    call,
    outcome: Outcome.SUCCESS,
    resultJson: JSON_OK,
    startWallMs: 1_000,
    durationMs: 5,
    initMs: undefined,
    waitMs: 1,
    timedOut: false,
    resultSize: JSON_OK.length,
    reusable: true,
    startKind: StartKind.WARM,
    ...more,
  };
}

class ScriptedInvoker {
  bootId: string;
  callCredits = 8;
  byteCredits = 1_000;
  welcomes = true;
  readonly links: Link<WorkRequestItem, WorkResponseItem>[] = [];
  readonly hellos: number[] = [];
  readonly invokes: Invoke[] = [];
  readonly cancels: number[] = [];
  /** Answers to status queries; undefined keeps silent. */
  fate: ((activationId: string) => Omit<ActivationStatus, "activationId"> | undefined) | undefined;
  queries = 0;
  #stop: () => void;

  constructor(
    private readonly network: MemoryNetwork,
    readonly id: string,
  ) {
    this.bootId = `${id}-boot`;
    this.#stop = this.#listen();
  }

  get address(): string {
    return `${this.id}:1`;
  }

  get link(): Link<WorkRequestItem, WorkResponseItem> {
    const link = this.links.at(-1);
    if (!link) throw new Error(`nobody dialled ${this.id}`);
    return link;
  }

  say(item: WorkResponseItem["item"]): void {
    this.link.send({ item });
  }

  done(call: number, more: Partial<Done> = {}): void {
    this.say({ $case: "done", value: doneOf(call, more) });
  }

  nack(call: number, reason: NackReason): void {
    this.say({ $case: "nack", value: { call, reason } });
  }

  /** The links break; it listens on. */
  breakLinks(): void {
    this.network.breakLinks(this.address);
  }

  /** Nobody listens any more. */
  die(): void {
    this.#stop();
    this.breakLinks();
  }

  restart(): void {
    this.die();
    this.bootId = `${this.id}-boot-${this.links.length + 1}`;
    this.#stop = this.#listen();
  }

  #listen(): () => void {
    return this.network.serve<WorkRequestItem, WorkResponseItem>(this.address, workLink, (link) => {
      this.links.push(link);
      link.onItem = ({ item }) => {
        switch (item?.$case) {
          case "hello":
            this.hellos.push(item.value.linkSequence);
            if (this.welcomes) this.welcome(link);
            return;
          case "invoke":
            this.invokes.push(item.value);
            return;
          case "cancel":
            this.cancels.push(item.value.call);
            return;
          case "statusQuery": {
            this.queries += 1;
            const statuses: ActivationStatus[] = [];
            for (const activationId of item.value.activationIds) {
              const fate = this.fate?.(bytesToHex(activationId));
              if (fate) statuses.push({ activationId, ...fate });
            }
            if (statuses.length > 0) link.send({ item: { $case: "status", value: { statuses } } });
            return;
          }
          case undefined:
            return;
        }
      };
    });
  }

  welcome(link = this.link): void {
    link.send({
      item: {
        $case: "welcome",
        value: {
          invokerId: this.id,
          bootId: this.bootId,
          wireVersion: 1,
          callCredits: this.callCredits,
          byteCredits: this.byteCredits,
        },
      },
    });
  }
}

class ScriptedScheduler {
  readonly wishes: CapacityRequest[] = [];
  readonly returned: { readonly slots: string[]; readonly reason: ReturnReason }[] = [];
  readonly held: Lease[][] = [];
  readonly linkSequences: number[] = [];
  heartbeats = 0;
  #link: Link<LeaseRequestItem, LeaseResponseItem> | undefined;
  #sequence = 0;

  constructor(
    private readonly network: MemoryNetwork,
    readonly address = "s1:1",
  ) {
    network.serve<LeaseRequestItem, LeaseResponseItem>(address, leaseLink, (link) => {
      this.#link = link;
      link.onItem = ({ item }) => {
        switch (item?.$case) {
          case "hello":
            this.linkSequences.push(item.value.linkSequence);
            this.say({
              $case: "welcome",
              value: { schedulerId: "s1", heartbeatMs: 500, sessionTtlMs: 3_000, wireVersion: 1 },
            });
            return;
          case "held":
            this.held.push([...item.value.leases]);
            return;
          case "capacity":
            this.wishes.push(item.value);
            return;
          case "returned":
            this.returned.push({ slots: item.value.leases.map(nameOf), reason: item.value.reason });
            return;
          case "heartbeat":
            this.heartbeats += 1;
            return;
          case undefined:
            return;
        }
      };
    });
  }

  say(item: LeaseResponseItem["item"]): void {
    this.#link?.send({ item });
  }

  lease(invoker: ScriptedInvoker, sandbox: number, slot: number, revisionId = "r1"): Lease {
    this.#sequence += 1;
    return {
      actionKey: "ns/hello",
      revisionId,
      invokerId: invoker.id,
      invokerAddress: invoker.address,
      invokerBootId: invoker.bootId,
      shard: 3,
      ref: { sandbox, slot, epoch: 10, sequence: this.#sequence, token: Buffer.from("token") },
    };
  }

  /** @param slots "sandbox.slot" */
  grant(invoker: ScriptedInvoker, slots: readonly string[], revisionId = "r1"): void {
    const leases = slots.map((name) => {
      const [sandbox, slot] = name.split(".").map(Number);
      return this.lease(invoker, sandbox ?? 0, slot ?? 0, revisionId);
    });
    this.say({ $case: "grant", value: { leases } });
  }

  returnedSlots(): string[] {
    return this.returned.flatMap((r) => r.slots);
  }

  breakLinks(): void {
    this.network.breakLinks(this.address);
  }
}

function nameOf(lease: Lease): string {
  return `${lease.invokerId}/${lease.ref?.sandbox}.${lease.ref?.slot}`;
}

interface SentCall {
  readonly id: string;
  readonly results: DispatchResult[];
}

async function world() {
  const clock = new ManualClock();
  const network = new MemoryNetwork();
  const coordination = new MemoryCoordination(clock);
  const scheduler = new ScriptedScheduler(network);
  const invoker = new ScriptedInvoker(network, "i1");
  const join = (role: "scheduler" | "invoker", id: string, bootId: string, address: string) =>
    coordination.join({ role, id, bootId, address, zone: "", wireVersion: 1 }, 5_000);
  await join("scheduler", "s1", "s1-boot", scheduler.address);
  const place = await join("invoker", invoker.id, invoker.bootId, invoker.address);
  const dispatcher = new Dispatcher({
    id: "g1",
    bootId: "g1-boot",
    network,
    coordination,
    clock,
    random: seededRandom(1),
    log: silentLog,
  });
  dispatcher.start();
  await settle();
  let calls = 0;
  const call = (more: Partial<DispatchCall> = {}, revisionId = "r1"): SentCall => {
    calls += 1;
    const activationId = new Uint8Array(16).fill(calls);
    const results: DispatchResult[] = [];
    dispatcher.dispatch({
      activationId,
      ask: {
        key: "ns/hello",
        revisionId,
        kind: "nodejs:20",
        memoryMb: 256,
        concurrency: 1,
        maxInstances: 0,
        timeoutMs: 60_000,
      },
      shard: 3,
      paramsJson: Buffer.from("{}"),
      caller: { namespace: "ns", subject: "s", transactionId: "t", apiKey: "", cause: "", binding: "" },
      traceparent: "",
      acceptedMonoMs: clock.monoMs(),
      expiresMonoMs: Infinity,
      attempt: 0,
      beforeSend: undefined,
      complete: (result) => results.push(result),
      ...more,
    });
    return { id: bytesToHex(activationId), results };
  };
  return { clock, network, coordination, scheduler, invoker, place, dispatcher, call, join };
}

describe("a dispatcher", () => {
  it("asks for capacity, runs the call in the granted slot, and answers with what the invoker said", async () => {
    const { scheduler, invoker, dispatcher, call } = await world();
    const sent = call({ acceptedMonoMs: 0, expiresMonoMs: 30_000 });
    await settle();
    expect(scheduler.wishes).toMatchObject([{ shortage: 1, shard: 3, action: { key: "ns/hello", revisionId: "r1" } }]);
    scheduler.grant(invoker, ["7.0"]);
    await settle();
    expect(invoker.invokes).toMatchObject([
      { revisionId: "r1", remainingMs: 30_000, attempt: 0, lease: { sandbox: 7, slot: 0, epoch: 10, sequence: 1 } },
    ]);
    invoker.done(invoker.invokes[0]?.call ?? 0, { initMs: 3, startKind: StartKind.COLD });
    await settle();
    expect(sent.results).toMatchObject([
      { kind: "done", outcome: "success", invokerId: "i1", initMs: 3, startKind: "cold", durationMs: 5 },
    ]);
    expect(dispatcher.stats()).toEqual({ inFlight: 0, waiting: 0, leases: 1, actions: 1 });
  });

  it("uses a free slot again without asking anybody, and shows the token only once", async () => {
    const { scheduler, invoker, call } = await world();
    call();
    await settle();
    scheduler.grant(invoker, ["7.0"]);
    await settle();
    invoker.done(1);
    await settle();
    const again = call();
    await settle();
    expect(scheduler.wishes).toHaveLength(1);
    expect(invoker.invokes.map((i) => Buffer.from(i.lease?.token ?? []).toString())).toEqual(["token", ""]);
    invoker.done(2);
    await settle();
    expect(again.results).toHaveLength(1);
  });

  it("asks for the first call of a burst at once, and for the others together", async () => {
    const { clock, scheduler, invoker, call } = await world();
    for (let i = 0; i < 5; i++) call();
    await settle();
    expect(scheduler.wishes.map((w) => w.shortage)).toEqual([1]);
    scheduler.grant(invoker, ["1.0"]);
    await settle();
    expect(scheduler.wishes.map((w) => w.shortage)).toEqual([1, 4]);
    for (let i = 0; i < 3; i++) call();
    await clock.elapse(1);
    expect(scheduler.wishes).toHaveLength(2);
    await clock.elapse(1);
    expect(scheduler.wishes.map((w) => w.shortage)).toEqual([1, 4, 7]);
  });

  it("never has more calls in flight than slots, and serves them in order of arrival", async () => {
    const { clock, scheduler, invoker, call } = await world();
    const sent = [call(), call(), call()];
    await clock.elapse(2);
    expect(scheduler.wishes.at(-1)?.shortage).toBe(3);
    scheduler.grant(invoker, ["1.0"]);
    await settle();
    expect(invoker.invokes).toHaveLength(1);
    for (let i = 0; i < 3; i++) {
      expect(bytesToHex(invoker.invokes[i]?.activationId ?? new Uint8Array())).toBe(sent[i]?.id);
      invoker.done(i + 1);
      await settle();
    }
    expect(sent.map((s) => s.results.length)).toEqual([1, 1, 1]);
  });

  it("withdraws a wish that was served otherwise", async () => {
    const { clock, scheduler, invoker, call } = await world();
    call();
    call();
    await settle();
    scheduler.grant(invoker, ["1.0"]);
    await settle();
    invoker.done(1);
    await settle();
    invoker.done(2);
    await clock.elapse(20);
    expect(scheduler.wishes.at(-1)?.shortage).toBe(0);
    await clock.elapse(5_000);
    expect(scheduler.wishes.filter((w) => w.shortage === 0)).toHaveLength(1);
  });

  it("repeats a wish that nobody answers, and refuses the call when its time is up", async () => {
    const { clock, scheduler, call } = await world();
    const sent = call({ expiresMonoMs: 2_500 });
    await clock.elapse(2_400);
    expect(scheduler.wishes.length).toBe(3);
    expect(sent.results).toEqual([]);
    await clock.elapse(120);
    expect(sent.results).toMatchObject([
      { kind: "refused", error: { kind: "deadlineExceeded", reason: "NOT_STARTED_IN_TIME" } },
    ]);
  });

  describe("gives back", () => {
    it("what it does not need, and keeps the last slot for the next call", async () => {
      const { clock, scheduler, invoker, call } = await world();
      for (let i = 0; i < 4; i++) call();
      await settle();
      scheduler.grant(invoker, ["1.0", "2.0", "3.0", "4.0"]);
      await settle();
      for (let i = 1; i <= 4; i++) invoker.done(i);
      // Slots outlast a pause between bursts: the last that is too many goes after some seconds.
      await clock.elapse(1_000);
      expect(scheduler.returnedSlots().length).toBeLessThan(3);
      await clock.elapse(9_000);
      expect(scheduler.returned.every((r) => r.reason === ReturnReason.SURPLUS)).toBe(true);
      expect(scheduler.returnedSlots()).toHaveLength(3);
      const before = scheduler.wishes.length;
      call();
      await settle();
      expect(scheduler.wishes).toHaveLength(before);
      expect(invoker.invokes).toHaveLength(5);
    });

    it("a freed slot at once while others wait, and a grant that comes too late bounces", async () => {
      const { scheduler, invoker, call } = await world();
      call();
      await settle();
      scheduler.grant(invoker, ["1.0"]);
      await settle();
      scheduler.say({ $case: "contended", value: { actionKey: "ns/hello", revisionId: "r1", on: true } });
      await settle();
      expect(scheduler.returned).toEqual([]);
      invoker.done(1);
      await settle();
      expect(scheduler.returned).toEqual([{ slots: ["i1/1.0"], reason: ReturnReason.CONTENDED }]);
      scheduler.grant(invoker, ["2.0"]);
      await settle();
      expect(scheduler.returnedSlots()).toEqual(["i1/1.0", "i1/2.0"]);
    });

    it("a revoked slot: a free one at once, a busy one when its call ends", async () => {
      const { scheduler, invoker, call } = await world();
      call();
      await settle();
      scheduler.grant(invoker, ["1.0", "2.0"]);
      await settle();
      const busy = invoker.invokes[0]?.lease?.sandbox ?? 0;
      const leases = [1, 2].map((sandbox) => scheduler.lease(invoker, sandbox, 0));
      scheduler.say({ $case: "revoke", value: { leases } });
      await settle();
      expect(scheduler.returnedSlots()).toEqual([`i1/${3 - busy}.0`]);
      invoker.done(1);
      await settle();
      expect(scheduler.returnedSlots()).toEqual([`i1/${3 - busy}.0`, `i1/${busy}.0`]);
    });

    it("slots of an old revision when the action has a newer one", async () => {
      const { scheduler, invoker, call } = await world();
      call();
      await settle();
      scheduler.grant(invoker, ["1.0"]);
      await settle();
      invoker.done(1);
      await settle();
      call({}, "r2");
      await settle();
      expect(scheduler.returnedSlots()).toEqual(["i1/1.0"]);
      expect(scheduler.wishes.at(-1)?.action?.revisionId).toBe("r2");
    });

    it("a grant of something it never heard of", async () => {
      const { scheduler, invoker } = await world();
      scheduler.grant(invoker, ["1.0"], "unheard");
      await settle();
      expect(scheduler.returned).toEqual([{ slots: ["i1/1.0"], reason: ReturnReason.SURPLUS }]);
    });
  });

  describe("sends a refused call again", () => {
    it.each([
      ["a stale lease", NackReason.STALE_LEASE],
      ["a busy slot", NackReason.SLOT_BUSY],
      ["a bad token", NackReason.BAD_TOKEN],
      ["a wrong revision", NackReason.WRONG_REVISION],
      ["an invoker that drains", NackReason.DRAINING],
    ])("after %s: the slot is void, the call goes first", async (_name, reason) => {
      const { scheduler, invoker, call } = await world();
      const first = call();
      const second = call();
      await settle();
      scheduler.grant(invoker, ["1.0"]);
      await settle();
      invoker.nack(1, reason);
      await settle();
      expect(scheduler.returned).toEqual([{ slots: ["i1/1.0"], reason: ReturnReason.VOID }]);
      scheduler.grant(invoker, ["2.0"]);
      await settle();
      expect(bytesToHex(invoker.invokes[1]?.activationId ?? new Uint8Array())).toBe(first.id);
      invoker.done(2);
      await settle();
      invoker.done(3);
      await settle();
      expect([first.results.length, second.results.length]).toEqual([1, 1]);
    });

    it("but refuses it to the caller when no invoker keeps it", async () => {
      const { clock, scheduler, invoker, call } = await world();
      const sent = call();
      for (let i = 1; i <= 21; i++) {
        await clock.elapse(20);
        scheduler.grant(invoker, [`${i}.0`]);
        await settle();
        invoker.nack(i, NackReason.STALE_LEASE);
        await settle();
      }
      expect(sent.results).toMatchObject([{ kind: "refused", error: { reason: "NO_SLOT_KEPT" } }]);
    });

    it("but not one whose time was up at the invoker", async () => {
      const { scheduler, invoker, call, dispatcher } = await world();
      const sent = call();
      await settle();
      scheduler.grant(invoker, ["1.0"]);
      await settle();
      invoker.nack(1, NackReason.EXPIRED);
      await settle();
      expect(sent.results).toMatchObject([{ kind: "refused", error: { kind: "deadlineExceeded" } }]);
      expect(dispatcher.stats().leases).toBe(1);
    });
  });

  it("does not use the slots of a sandbox that ended, whoever says so", async () => {
    const { scheduler, invoker, call, dispatcher } = await world();
    call();
    await settle();
    scheduler.grant(invoker, ["1.0", "1.1", "2.0", "3.0"]);
    await settle();
    const used = invoker.invokes[0]?.lease?.sandbox ?? 0;
    const { leases } = dispatcher.stats();
    invoker.done(1, { reusable: false, outcome: Outcome.DEVELOPER_ERROR });
    await settle();
    expect(dispatcher.stats().leases).toBe(leases - (used === 1 ? 2 : 1));
    invoker.say({ $case: "slotsGone", value: { sandboxes: [1, 2, 3] } });
    await settle();
    expect(dispatcher.stats().leases).toBe(0);
    call();
    await settle();
    expect(invoker.invokes).toHaveLength(1);
  });

  it("gives back all leases of an invoker that drains, and hears the end of what runs there", async () => {
    const { scheduler, invoker, call } = await world();
    const sent = call();
    await settle();
    scheduler.grant(invoker, ["1.0", "2.0"]);
    await settle();
    invoker.say({ $case: "draining", value: { finishWithinMs: 1_000 } });
    await settle();
    expect(scheduler.returnedSlots().sort()).toEqual(["i1/1.0", "i1/2.0"]);
    invoker.done(1);
    await settle();
    expect(sent.results).toMatchObject([{ kind: "done" }]);
  });

  describe("stays within credits", () => {
    it("of calls: the rest waits for answers", async () => {
      const { scheduler, invoker, call } = await world();
      invoker.callCredits = 2;
      for (let i = 0; i < 4; i++) call();
      await settle();
      scheduler.grant(invoker, ["1.0", "2.0", "3.0", "4.0"]);
      await settle();
      expect(invoker.invokes).toHaveLength(2);
      invoker.done(1);
      await settle();
      expect(invoker.invokes).toHaveLength(3);
      invoker.nack(2, NackReason.EXPIRED);
      await settle();
      expect(invoker.invokes).toHaveLength(4);
    });

    it("of bytes: a call that is larger than all of them goes alone, and nothing overtakes it for ever", async () => {
      const { scheduler, invoker, call } = await world();
      call();
      await settle();
      scheduler.grant(invoker, ["1.0", "2.0", "3.0"]);
      await settle();
      invoker.done(1);
      await settle();
      const large = call({ paramsJson: Buffer.alloc(5_000) });
      const small = call();
      await settle();
      expect(invoker.invokes).toHaveLength(2);
      expect(bytesToHex(invoker.invokes[1]?.activationId ?? new Uint8Array())).toBe(large.id);
      invoker.done(2);
      await settle();
      invoker.done(3);
      await settle();
      expect([large.results.length, small.results.length]).toEqual([1, 1]);
    });
  });

  it("passes a cancellation on, for the call that is meant", async () => {
    const { scheduler, invoker, call, dispatcher } = await world();
    call();
    const second = call();
    await settle();
    scheduler.grant(invoker, ["1.0", "2.0"]);
    await settle();
    dispatcher.cancel(second.id, "the caller hung up");
    await settle();
    expect(invoker.cancels).toEqual([2]);
  });

  describe("when the link to an invoker breaks", () => {
    async function broken(fate?: ScriptedInvoker["fate"]) {
      const all = await world();
      const sent = all.call();
      await settle();
      all.scheduler.grant(all.invoker, ["1.0", "2.0"]);
      await settle();
      all.invoker.fate = fate;
      all.invoker.breakLinks();
      await settle();
      return { ...all, sent };
    }

    it("gives its leases back and asks over a new link, with a higher number", async () => {
      const { clock, invoker, scheduler } = await broken();
      expect(scheduler.returned.at(-1)?.reason).toBe(ReturnReason.VOID);
      expect(scheduler.returnedSlots().sort()).toEqual(["i1/1.0", "i1/2.0"]);
      await clock.elapse(100);
      expect(invoker.hellos).toEqual([1, 2]);
      expect(invoker.queries).toBe(1);
    });

    it("sends a call again that never started", async () => {
      const { clock, invoker, scheduler, sent } = await broken(() => ({
        status: CallStatus.UNKNOWN,
        done: undefined,
      }));
      await clock.elapse(100);
      expect(sent.results).toEqual([]);
      scheduler.grant(invoker, ["3.0"]);
      await settle();
      expect(invoker.invokes.map((i) => bytesToHex(i.activationId))).toEqual([sent.id, sent.id]);
      invoker.done(2);
      await settle();
      expect(sent.results).toMatchObject([{ kind: "done" }]);
    });

    it("answers with a result that was remembered, and keeps leases that were granted since", async () => {
      const { clock, invoker, scheduler, sent, dispatcher, call } = await broken(() => ({
        status: CallStatus.DONE,
        done: doneOf(1),
      }));
      call();
      scheduler.grant(invoker, ["1.1"]); // the same sandbox, granted anew
      await clock.elapse(100);
      expect(sent.results).toMatchObject([{ kind: "done", outcome: "success" }]);
      expect(dispatcher.stats().leases).toBe(1);
    });

    it("says lost when the result is forgotten", async () => {
      const { clock, sent } = await broken(() => ({ status: CallStatus.DONE, done: undefined }));
      await clock.elapse(100);
      expect(sent.results).toMatchObject([{ kind: "lost", invokerId: "i1", error: { reason: "OUTCOME_FORGOTTEN" } }]);
    });

    it("asks again and again while the call runs, for longer than it would wait for a dead one", async () => {
      const { clock, invoker, sent } = await broken(() => ({ status: CallStatus.RUNNING, done: undefined }));
      await clock.elapse(20_000);
      expect(sent.results).toEqual([]);
      expect(invoker.queries).toBeGreaterThan(100);
      invoker.fate = () => ({ status: CallStatus.DONE, done: doneOf(1) });
      await clock.elapse(200);
      expect(sent.results).toMatchObject([{ kind: "done" }]);
      const { queries } = invoker;
      await clock.elapse(10_000);
      expect(invoker.queries).toBe(queries);
    });

    it("takes a status that it does not know for no proof that the call did not start", async () => {
      const { clock, invoker, sent } = await broken(() => ({ status: 17 as CallStatus, done: undefined }));
      await clock.elapse(1_000);
      expect(sent.results).toEqual([]);
      expect(invoker.invokes).toHaveLength(1);
    });

    it("says lost when nobody listens any more", async () => {
      const all = await broken();
      all.invoker.die();
      await all.clock.elapse(4_900);
      expect(all.sent.results).toEqual([]);
      await all.clock.elapse(200);
      expect(all.sent.results).toMatchObject([{ kind: "lost", error: { reason: "OUTCOME_UNKNOWN" } }]);
    });

    it("says lost when the invoker accepts the link but never welcomes it", async () => {
      const all = await broken();
      all.invoker.welcomes = false;
      await all.clock.elapse(6_000);
      expect(all.sent.results).toMatchObject([{ kind: "lost", error: { reason: "OUTCOME_UNKNOWN" } }]);
    });

    it("says lost when the invoker welcomes it but does not answer", async () => {
      const all = await broken(() => undefined);
      await all.clock.elapse(6_000);
      expect(all.sent.results).toMatchObject([{ kind: "lost", error: { reason: "OUTCOME_UNKNOWN" } }]);
    });

    it("says lost when another life of the invoker answers, and sends nothing more to the old one", async () => {
      const all = await world();
      const sent = all.call();
      await settle();
      all.scheduler.grant(all.invoker, ["1.0"]);
      await settle();
      const old = all.scheduler.lease(all.invoker, 2, 0);
      all.invoker.restart();
      await all.clock.elapse(200);
      expect(sent.results).toMatchObject([{ kind: "lost", error: { reason: "INVOKER_RESTARTED" } }]);

      // A scheduler that has not heard yet grants what belongs to the old life: refused, and asked for anew.
      const next = all.call();
      await settle();
      all.scheduler.say({ $case: "grant", value: { leases: [old] } });
      await all.clock.elapse(200);
      expect(next.results).toEqual([]);
      expect(all.scheduler.returnedSlots()).toContain("i1/2.0");
      all.scheduler.grant(all.invoker, ["1.0"]);
      await settle();
      all.invoker.done(1);
      await settle();
      expect(next.results).toMatchObject([{ kind: "done" }]);
      // The new life heard of the old one's links: it would refuse a lower number.
      const { hellos } = all.invoker;
      expect(hellos).toEqual([...new Set(hellos)].sort((a, b) => a - b));
    });

    it("moves what was not sent yet to other invokers", async () => {
      const all = await world();
      const other = new ScriptedInvoker(all.network, "i2");
      all.invoker.welcomes = false;
      const sent = all.call();
      await settle();
      all.scheduler.grant(all.invoker, ["1.0"]);
      await settle();
      all.invoker.die();
      await settle();
      all.scheduler.grant(other, ["9.0"]);
      await settle();
      expect(other.invokes).toHaveLength(1);
      other.done(1);
      await settle();
      expect(sent.results).toMatchObject([{ kind: "done", invokerId: "i2" }]);
    });
  });

  it("goes on using an invoker whose place in the list is gone while its link stands", async () => {
    const { scheduler, invoker, place, call, dispatcher } = await world();
    call();
    await settle();
    scheduler.grant(invoker, ["1.0"]);
    await settle();
    invoker.done(1);
    await settle();
    await place.leave();
    await settle();
    expect(dispatcher.stats().leases).toBe(1);
    const sent = call();
    await settle();
    invoker.done(2);
    await settle();
    expect(sent.results).toMatchObject([{ kind: "done" }]);
  });

  it("closes a link that nobody used for a minute, and opens it again when it is needed", async () => {
    const { clock, scheduler, invoker, call, dispatcher } = await world();
    call();
    await settle();
    scheduler.grant(invoker, ["1.0"]);
    await settle();
    invoker.done(1);
    await clock.elapse(70_000);
    expect(invoker.link.open).toBe(true); // it holds a lease there
    scheduler.say({ $case: "revoke", value: { leases: [scheduler.lease(invoker, 1, 0)] } });
    await clock.elapse(6_000);
    expect(invoker.link.open).toBe(false);
    await clock.elapse(60_000);
    expect(dispatcher.stats().actions).toBe(0);
    const sent = call();
    await settle();
    scheduler.grant(invoker, ["2.0"]);
    await settle();
    invoker.done(1);
    await settle();
    expect(sent.results).toMatchObject([{ kind: "done" }]);
  });

  describe("when the scheduler goes", () => {
    it("goes on with the leases it has, and reports them to the next one", async () => {
      const { clock, scheduler, invoker, call } = await world();
      call();
      await settle();
      scheduler.grant(invoker, ["1.0"]);
      await settle();
      invoker.done(1);
      await settle();
      scheduler.breakLinks();
      const sent = call();
      await settle();
      invoker.done(2);
      await settle();
      expect(sent.results).toMatchObject([{ kind: "done" }]);
      await clock.elapse(200);
      expect(scheduler.held.at(-1)?.map(nameOf)).toEqual(["i1/1.0"]);
      expect(scheduler.linkSequences).toEqual([1, 2]);
    });

    it("asks the next one for what still waits", async () => {
      const { clock, scheduler, call } = await world();
      call();
      await settle();
      scheduler.breakLinks();
      await clock.elapse(200);
      expect(scheduler.wishes.map((w) => w.shortage)).toEqual([1, 1]);
    });

    it("forgets that others waited: the flag belonged to that scheduler", async () => {
      const { clock, scheduler, invoker, call, dispatcher } = await world();
      call();
      await settle();
      scheduler.grant(invoker, ["1.0"]);
      scheduler.say({ $case: "contended", value: { actionKey: "ns/hello", revisionId: "r1", on: true } });
      await settle();
      scheduler.breakLinks();
      invoker.done(1);
      await clock.elapse(200);
      expect(dispatcher.stats().leases).toBe(1);
    });
  });

  describe("when a wish is rejected", () => {
    const reject = (reason: RejectReason, retryAfterMs = 0): LeaseResponseItem["item"] => ({
      $case: "reject",
      value: { actionKey: "ns/hello", revisionId: "r1", reason, message: "because", retryAfterMs },
    });

    it.each([
      [RejectReason.UNKNOWN_KIND, { kind: "failedPrecondition", reason: "UNKNOWN_KIND", message: "because" }],
      [RejectReason.START_FAILED, { kind: "unavailable", reason: "START_FAILED", message: "because" }],
    ])("with %s refuses what waits", async (reason, error) => {
      const { scheduler, call } = await world();
      const sent = [call(), call()];
      await settle();
      scheduler.say(reject(reason));
      await settle();
      for (const { results } of sent) expect(results).toMatchObject([{ kind: "refused", error }]);
    });

    it("for want of room keeps waiting and asks again when told to", async () => {
      const { clock, scheduler, call } = await world();
      const sent = call();
      await settle();
      scheduler.say(reject(RejectReason.NO_CAPACITY, 300));
      await clock.elapse(280);
      expect(scheduler.wishes).toHaveLength(1);
      await clock.elapse(50);
      expect(scheduler.wishes).toHaveLength(2);
      expect(sent.results).toEqual([]);
    });

    it("because of another owner goes to the other scheduler", async () => {
      const { clock, network, scheduler, call, join } = await world();
      const other = new ScriptedScheduler(network, "s2:1");
      await join("scheduler", "s2", "s2-boot", other.address);
      call();
      await settle();
      scheduler.say(reject(RejectReason.NOT_OWNER));
      await clock.elapse(300);
      expect(other.wishes).toMatchObject([{ shortage: 1 }]);
    });
  });

  describe("asks before it sends a durable call", () => {
    it("and sends it when told yes, with where it goes", async () => {
      const { scheduler, invoker, call } = await world();
      const asked: unknown[] = [];
      call({
        attempt: 2,
        beforeSend: (to) => {
          asked.push(to);
          return Promise.resolve(true);
        },
      });
      await settle();
      scheduler.grant(invoker, ["1.0"]);
      await settle();
      expect(asked).toEqual([{ invokerId: "i1", invokerBootId: "i1-boot" }]);
      expect(invoker.invokes).toMatchObject([{ attempt: 2, class: 2 }]);
    });

    it("and drops it when told no: nothing is sent, nothing is answered, the slot is free", async () => {
      const { scheduler, invoker, call, dispatcher } = await world();
      const dropped = call({ beforeSend: () => Promise.resolve(false) });
      const next = call();
      await settle();
      scheduler.grant(invoker, ["1.0"]);
      await settle();
      expect(bytesToHex(invoker.invokes[0]?.activationId ?? new Uint8Array())).toBe(next.id);
      invoker.done(1);
      await settle();
      dispatcher.close();
      expect(dropped.results).toEqual([]);
      expect(next.results).toHaveLength(1);
    });

    it("and refuses it when the question fails", async () => {
      const { scheduler, invoker, call, dispatcher } = await world();
      const sent = call({ beforeSend: () => Promise.reject(new WeftError("unavailable", "DB_DOWN", "no")) });
      await settle();
      scheduler.grant(invoker, ["1.0"]);
      await settle();
      expect(sent.results).toMatchObject([{ kind: "refused", error: { reason: "DB_DOWN" } }]);
      expect(dispatcher.stats()).toMatchObject({ inFlight: 0, leases: 1 });
    });

    it("and looks for another slot when the lease is void by then", async () => {
      const { scheduler, invoker, call } = await world();
      let say = (_yes: boolean): void => {};
      call({ beforeSend: () => new Promise<boolean>((resolve) => (say = resolve)) });
      await settle();
      scheduler.grant(invoker, ["1.0"]);
      await settle();
      invoker.say({ $case: "slotsGone", value: { sandboxes: [1] } });
      await settle();
      say(true);
      await settle();
      expect(invoker.invokes).toEqual([]);
      scheduler.grant(invoker, ["2.0"]);
      await settle();
      say(true);
      await settle();
      expect(invoker.invokes).toMatchObject([{ lease: { sandbox: 2 } }]);
    });

    it("and refuses it when the dispatcher was closed meanwhile", async () => {
      const { scheduler, invoker, call, dispatcher } = await world();
      let say = (_yes: boolean): void => {};
      const sent = call({ beforeSend: () => new Promise<boolean>((resolve) => (say = resolve)) });
      await settle();
      scheduler.grant(invoker, ["1.0"]);
      await settle();
      dispatcher.close();
      say(true);
      await settle();
      expect(sent.results).toMatchObject([{ kind: "refused", error: { reason: "STOPPED" } }]);
      expect(invoker.links).toHaveLength(1);
    });
  });

  describe("when it ends", () => {
    it("takes nothing new while it drains, and is drained when everything is answered", async () => {
      const { clock, scheduler, invoker, call, dispatcher } = await world();
      const running = call();
      await settle();
      scheduler.grant(invoker, ["1.0"]);
      await settle();
      let drained = false;
      const draining = dispatcher.drain(10_000).then(() => (drained = true));
      const late = call();
      expect(late.results).toMatchObject([{ kind: "refused", error: { reason: "DRAINING" } }]);
      await clock.elapse(1_000);
      expect(drained).toBe(false);
      invoker.done(1);
      await clock.elapse(40);
      expect(drained).toBe(true);
      await draining;
      expect(running.results).toHaveLength(1);
    });

    it("answers every call once: waiting and unsent ones refused, running ones lost; no timer stays", async () => {
      const { clock, scheduler, invoker, call, dispatcher } = await world();
      invoker.callCredits = 1;
      const running = call();
      const unsent = call();
      await settle();
      scheduler.grant(invoker, ["1.0", "2.0"]);
      await settle();
      const waiting = call();
      await settle();
      dispatcher.close();
      dispatcher.close();
      await settle();
      expect(running.results).toMatchObject([{ kind: "lost", error: { reason: "STOPPED" } }]);
      expect(unsent.results).toMatchObject([{ kind: "refused", error: { reason: "STOPPED" } }]);
      expect(waiting.results).toMatchObject([{ kind: "refused", error: { reason: "STOPPED" } }]);
      expect(scheduler.returnedSlots().sort()).toEqual(["i1/1.0", "i1/2.0"]);
      expect(clock.pending).toBe(0);
    });
  });

  it("completes every call exactly once whatever invokers and links do (seeded)", async () => {
    for (let seed = 1; seed <= 25; seed++) {
      const random = seededRandom(seed);
      const { clock, scheduler, invoker, call, dispatcher } = await world();
      const started = new Set<string>();
      const answered = new Map<string, Done>();
      const open = new Map<number, string>();
      let seen = 0;
      let sandbox = 0;
      const sent: SentCall[] = [];
      invoker.fate = (id) => {
        const done = answered.get(id);
        if (done) return { status: CallStatus.DONE, done };
        return { status: started.has(id) ? CallStatus.RUNNING : CallStatus.UNKNOWN, done: undefined };
      };
      /** The invoker handles what it has received: runs, refuses, or ends calls. */
      const work = (all: boolean): void => {
        for (; seen < invoker.invokes.length; seen++) {
          const invoke = invoker.invokes[seen];
          if (!invoke) break;
          const id = bytesToHex(invoke.activationId);
          if (!all && random.next() < 0.2) {
            if (invoker.link.open) invoker.nack(invoke.call, NackReason.STALE_LEASE);
            continue;
          }
          expect(started.has(id), `${id} started twice, seed ${seed}`).toBe(false); // P2
          started.add(id);
          open.set(invoke.call, id);
        }
        for (const [number, id] of open) {
          if (!all && random.next() < 0.5) continue;
          open.delete(number);
          const done = doneOf(number, { reusable: random.next() < 0.8 });
          answered.set(id, done);
          if (invoker.link.open) invoker.say({ $case: "done", value: done });
        }
      };
      for (let step = 0; step < 60; step++) {
        const dice = random.next();
        if (dice < 0.4) sent.push(call());
        else if (dice < 0.6) scheduler.grant(invoker, [`${++sandbox}.0`]);
        else if (dice < 0.9) work(false);
        else if (dice < 0.95) {
          // What arrived is handled before a break, as the invoker discards what it has not read.
          work(false);
          invoker.breakLinks();
        } else scheduler.breakLinks();
        await clock.elapse(random.next() * 50);
      }
      for (let i = 0; i < 200 && sent.some((s) => s.results.length === 0); i++) {
        scheduler.grant(invoker, [`${++sandbox}.0`]);
        await clock.elapse(100);
        work(true);
        await clock.elapse(100);
      }
      for (const { results, id } of sent) {
        expect(results.length, `${id} of seed ${seed}`).toBe(1); // P1
        if (results[0]?.kind === "done") expect(started.has(id)).toBe(true);
      }
      dispatcher.close();
      await settle();
      expect(clock.pending, `timers left, seed ${seed}`).toBe(0);
    }
  });
});
