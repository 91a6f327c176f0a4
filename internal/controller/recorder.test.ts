// Records from links into a store that is told what to do: what is acknowledged is durable, and nothing gets lost.

import { describe, expect, it } from "vitest";

import { ManualClock, settle } from "../../test/harness/clock.js";
import { WeftError } from "../base/errors.js";
import { silentLog } from "../base/log.js";
import { MetricsRegistry } from "../base/metrics.js";
import { seededRandom } from "../base/random.js";
import type { RecordedActivation } from "../core/activation/store.js";
import { ActivationRecord, type RecordAck, type RecordBatch } from "../gen/weft/link/v1/control.pb.js";
import { Outcome } from "../gen/weft/link/v1/work.pb.js";
import { recordLink } from "../rpc/link-methods.js";
import type { Link } from "../rpc/link.js";
import { MemoryNetwork } from "../rpc/network.js";
import { controllerMetrics } from "./metrics.js";
import { Recorder } from "./recorder.js";

const record = (n: number, more: Partial<ActivationRecord> = {}): ActivationRecord =>
  ActivationRecord.fromPartial({
    activationId: Uint8Array.from({ length: 16 }, () => n),
    namespace: "guest",
    subject: "guest",
    path: "guest/hello",
    outcome: Outcome.SUCCESS,
    resultJson: Buffer.from(`{"n":${n}}`),
    ...more,
  });

const idOf = (n: number): string => n.toString(16).padStart(2, "0").repeat(16);

class World {
  readonly clock = new ManualClock();
  readonly network = new MemoryNetwork();
  readonly metrics = controllerMetrics(new MetricsRegistry("controller"));
  /** Calls to the store that wait to be told how they end. */
  readonly writes: { readonly batch: readonly RecordedActivation[]; end: (error?: WeftError) => void }[] = [];
  readonly stored: RecordedActivation[] = [];
  readonly acks: number[] = [];
  closed: WeftError | undefined | "open" = "open";
  readonly recorder = new Recorder({
    activations: {
      record: (batch) =>
        new Promise((resolve, reject) => {
          this.writes.push({ batch, end: (error) => (error ? reject(error) : resolve()) });
        }),
    },
    clock: this.clock,
    random: seededRandom(1),
    log: silentLog,
    metrics: this.metrics,
    stored: (records) => this.stored.push(...records),
  });

  dial(): Link<RecordAck, RecordBatch> {
    this.network.serve<RecordBatch, RecordAck>("c1:1", recordLink, (link) => this.recorder.accept(link));
    const link = this.network.dial("c1:1", recordLink);
    link.onItem = ({ sequence }) => this.acks.push(sequence);
    link.onClosed = (why) => (this.closed = why);
    return link;
  }

  /** Ends the oldest call to the store. */
  async end(error?: WeftError): Promise<void> {
    this.writes.shift()?.end(error);
    await settle();
  }
}

const batch = (sequence: number, ...records: ActivationRecord[]): RecordBatch => ({
  sequence,
  records,
  invokerId: "i1",
});
const down = new WeftError("unavailable", "STORE_UNAVAILABLE", "gone");

describe("a batch of records", () => {
  it("is acknowledged when it is durable, and not before", async () => {
    const world = new World();
    world.dial().send(batch(1, record(1, { async: true }), record(2)));
    await settle();
    expect(world.acks).toEqual([]);
    await world.end();
    expect(world.acks).toEqual([1]);
    expect(world.stored).toMatchObject([
      { async: true, activation: { id: idOf(1), name: "hello", resultJson: '{"n":1}', outcome: "success" } },
      { async: false, activation: { id: idOf(2) } },
    ]);
    expect(world.metrics.records.bound({ outcome: "success" }).value).toBe(2);
  });

  it("is acknowledged only after those before it", async () => {
    const world = new World();
    const link = world.dial();
    for (const n of [1, 2, 3]) link.send(batch(n, record(n)));
    await settle();
    const [first, second, third] = world.writes;
    third?.end();
    second?.end();
    await settle();
    expect(world.acks).toEqual([]);
    first?.end();
    await settle();
    expect(world.acks).toEqual([3]);
  });

  it("waits while the store is down, and is then stored once", async () => {
    const world = new World();
    world.dial().send(batch(1, record(1)));
    await settle();
    for (let i = 0; i < 5; i++) {
      await world.end(down);
      await world.clock.elapse(10_000);
    }
    expect(world.acks).toEqual([]);
    await world.end();
    expect(world.acks).toEqual([1]);
    expect(world.stored).toHaveLength(1);
  });

  it("does not suffer for one record that cannot be stored, which is replaced by one that says so", async () => {
    const world = new World();
    world.dial().send(batch(1, record(1), record(2, { logs: ["bad"], async: true }), record(3)));
    await settle();
    const bad = new WeftError("invalidArgument", "INVALID_TEXT", "cannot be stored");
    await world.end(bad); // all three
    await world.end(); // the first alone
    await world.end(bad); // the second alone
    await world.clock.elapse(1_000);
    await world.end(); // what replaces it
    await world.end(); // the third
    expect(world.acks).toEqual([1]);
    expect(world.stored.map(({ activation }) => activation.id)).toEqual([idOf(1), idOf(2), idOf(3)]);
    expect(world.stored[1]).toMatchObject({
      async: true,
      activation: {
        outcome: "platformError",
        logs: [],
        resultJson: expect.stringContaining("could not be stored") as string,
      },
    });
    expect(world.metrics.recordsReplaced.value).toBe(1);
  });

  it("is tried again as it is when the store fails unforeseen, before anything is replaced", async () => {
    const world = new World();
    world.dial().send(batch(1, record(1)));
    await settle();
    await world.end(new WeftError("internal", "STORE_FAILED", "boom"));
    await world.clock.elapse(1_000);
    await world.end();
    expect(world.stored[0]?.activation.outcome).toBe("success");
  });

  it("loses a record without an id, which nobody could ask for, and nothing else", async () => {
    const world = new World();
    world.dial().send(batch(1, record(1, { activationId: new Uint8Array(3) }), record(2)));
    await settle();
    await world.end();
    expect(world.acks).toEqual([1]);
    expect(world.stored).toHaveLength(1);
    expect(world.metrics.recordsReplaced.value).toBe(1);
  });

  it("without records is acknowledged", async () => {
    const world = new World();
    world.dial().send(batch(1));
    await settle();
    expect(world.acks).toEqual([1]);
  });

  it("of more than a call to the store may have is stored in several", async () => {
    const world = new World();
    const large = { resultJson: Buffer.alloc(10 * 1024 * 1024, "x") };
    world.dial().send(batch(1, ...Array.from({ length: 600 }, (_, i) => record(i % 256))));
    await settle();
    expect(world.writes[0]?.batch).toHaveLength(500);
    await world.end();
    expect(world.writes[0]?.batch).toHaveLength(100);
    await world.end();
    expect(world.acks).toEqual([1]);
    void world.recorder.write(world.recorder.decode(batch(2, record(1, large), record(2, large))));
    await settle();
    expect(world.writes[0]?.batch).toHaveLength(1);
  });
});

describe("a link with records", () => {
  it("that sends more than waits for a store that is down is ended", async () => {
    const world = new World();
    const link = world.dial();
    for (let n = 1; n <= 65; n++) link.send(batch(n, record(n)));
    await settle();
    expect(world.closed).toMatchObject({ kind: "throttled", reason: "RECORDER_OVERLOADED" });
    expect(world.recorder.links).toBe(0);
  });

  it("that breaks does not keep what it brought from being stored", async () => {
    const world = new World();
    world.dial().send(batch(1, record(1)));
    await settle();
    world.network.breakLinks("c1:1");
    await world.end();
    expect(world.stored).toHaveLength(1);
  });
});

describe("stopping", () => {
  it("waits for what is being stored", async () => {
    const world = new World();
    const written = world.recorder.write(world.recorder.decode(batch(1, record(1))));
    await settle();
    let drained = false;
    void world.recorder.drain(1_000).then(() => (drained = true));
    await settle();
    expect(drained).toBe(false);
    await world.end();
    await written;
    await settle();
    expect(drained).toBe(true);
    await world.recorder.drain(1_000);
    expect(world.clock.pending).toBe(0);
  });

  it("gives up what cannot be stored, without acknowledging it", async () => {
    const world = new World();
    world.dial().send(batch(1, record(1)));
    await settle();
    await world.end(down);
    const drained = world.recorder.drain(100);
    await world.clock.elapse(100);
    await drained;
    world.recorder.close();
    await settle();
    expect(world.acks).toEqual([]);
    expect(world.closed).not.toBe("open");
    expect(world.clock.pending).toBe(0);
  });
});
