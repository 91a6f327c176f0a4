// What leaves the spool, when, and what happens when nobody takes it.

import { beforeEach, describe, expect, it } from "vitest";

import { ManualClock } from "../../test/harness/clock.js";
import { silentLog } from "../base/log.js";
import { MetricsRegistry } from "../base/metrics.js";
import { seededRandom } from "../base/random.js";
import { ActivationRecord, type RecordAck, type RecordBatch } from "../gen/weft/link/v1/control.pb.js";
import { Outcome } from "../gen/weft/link/v1/work.pb.js";
import { recordLink } from "../rpc/link-methods.js";
import type { Link } from "../rpc/link.js";
import { MemoryNetwork } from "../rpc/network.js";
import { invokerMetrics, type InvokerMetrics } from "./metrics.js";
import { RecordSpool } from "./record-spool.js";

const record = (path: string, change: Partial<ActivationRecord> = {}): ActivationRecord =>
  ActivationRecord.create({ path, outcome: Outcome.SUCCESS, ...change });

describe("the record spool", () => {
  let clock: ManualClock;
  let network: MemoryNetwork;
  let metrics: InvokerMetrics;
  let batches: RecordBatch[];
  let links: Link<RecordBatch, RecordAck>[];
  let acking: boolean;
  let stop: () => void;

  const serve = (): void => {
    stop = network.serve("controller", recordLink, (link) => {
      links.push(link);
      link.onItem = (batch) => {
        batches.push(batch);
        if (acking) link.send({ sequence: batch.sequence });
      };
    });
  };
  const open = (limits: { maxRecords?: number; maxBytes?: number } = {}): RecordSpool => {
    const spool = new RecordSpool({
      invokerId: "i1",
      network,
      controllers: () => ["controller"],
      clock,
      random: seededRandom(1),
      log: silentLog,
      metrics,
      maxRecords: 10_000,
      maxBytes: 100_000_000,
      ...limits,
    });
    spool.start();
    return spool;
  };
  const paths = (): string[] => batches.flatMap((batch) => batch.records.map((r) => r.path));

  beforeEach(() => {
    clock = new ManualClock();
    network = new MemoryNetwork();
    metrics = invokerMetrics(new MetricsRegistry("invoker"));
    batches = [];
    links = [];
    acking = true;
    serve();
  });

  it("gathers records into batches and lets go of them when they are durable", async () => {
    const spool = open();
    for (const path of ["a", "b", "c"]) spool.add(record(path));
    expect(spool.size).toBe(3);
    await clock.elapse(20);
    expect(batches.map((b) => [b.sequence, b.invokerId, b.records.length])).toEqual([[1, "i1", 3]]);
    expect([spool.size, spool.bytes, metrics.records.value]).toEqual([0, 0, 3]);
    expect(clock.pending).toBe(0);
  });

  it("sends at most 500 records in a batch and a few batches at a time", async () => {
    acking = false;
    const spool = open();
    for (let i = 0; i < 3_000; i += 1) spool.add(record(String(i)));
    await clock.elapse(100);
    expect(batches.map((b) => b.records.length)).toEqual([500, 500, 500, 500]);
    links[0]?.send({ sequence: 2 });
    acking = true;
    await clock.elapse(100);
    links[0]?.send({ sequence: 4 });
    await clock.elapse(100);
    expect(spool.size).toBe(0);
    expect(paths()).toEqual(Array.from({ length: 3_000 }, (_, i) => String(i)));
  });

  it("sends at once when much has gathered, without waiting for more", async () => {
    const spool = open();
    await clock.elapse(0);
    for (let i = 0; i < 3; i++) spool.add(record("a", { resultJson: Buffer.alloc(400_000) }));
    await clock.elapse(1);
    expect(batches.map((b) => b.records.length)).toEqual([2, 1]);
    spool.add(record("b"));
    await clock.elapse(1);
    expect(batches).toHaveLength(2);
    await clock.elapse(20);
    expect(batches.map((b) => b.records.length)).toEqual([2, 1, 1]);
    expect(clock.pending).toBe(0);
  });

  it("sends again what was not acknowledged when the link broke, before what is new", async () => {
    acking = false;
    const spool = open();
    spool.add(record("a"));
    await clock.elapse(20);
    network.breakLinks("controller");
    spool.add(record("b"));
    acking = true;
    await clock.elapse(500);
    expect(paths()).toEqual(["a", "a", "b"]);
    expect(batches.map((b) => [b.sequence, b.invokerId, b.records.length])).toEqual([
      [1, "i1", 1],
      [1, "i1", 1],
      [2, "", 1],
    ]);
    expect(spool.size).toBe(0);
  });

  it("waits for a controller that is away and comes back", async () => {
    stop();
    const spool = open();
    spool.add(record("a"));
    await clock.elapse(10_000);
    expect(spool.size).toBe(1);
    expect(spool.ageMs(clock.monoMs())).toBe(10_000);
    serve();
    await clock.elapse(5_000);
    expect(paths()).toEqual(["a"]);
  });

  it("drops logs first, oldest first, and says so in their place", async () => {
    stop();
    const spool = open({ maxBytes: 10_000 });
    for (const path of ["a", "b", "c"]) spool.add(record(path, { logs: ["x".repeat(4_000)] }));
    expect([metrics.droppedLogs.value, metrics.droppedRecords.value, spool.size]).toEqual([1, 0, 3]);
    expect(spool.bytes).toBeLessThanOrEqual(10_000);
    serve();
    await clock.elapse(5_000);
    expect(batches.flatMap((b) => b.records.map((r) => [r.path, r.logs.join().slice(0, 18)]))).toEqual([
      ["a", "There was an issue"],
      ["b", "x".repeat(18)],
      ["c", "x".repeat(18)],
    ]);
    expect([spool.size, spool.bytes]).toEqual([0, 0]);
  });

  it("then drops records of successful sync calls, then of failed ones, never of async ones", async () => {
    stop();
    const spool = open({ maxRecords: 3 });
    spool.add(record("async", { async: true }));
    spool.add(record("failed", { outcome: Outcome.DEVELOPER_ERROR }));
    spool.add(record("good"));
    spool.add(record("async2", { async: true }));
    spool.add(record("async3", { async: true }));
    expect([spool.size, spool.full]).toEqual([3, false]);
    spool.add(record("async4", { async: true }));
    expect([spool.size, spool.full, metrics.droppedRecords.value]).toEqual([4, true, 2]);
    serve();
    await clock.elapse(5_000);
    expect(paths()).toEqual(["async", "async2", "async3", "async4"]);
    expect([spool.size, spool.full]).toEqual([0, false]);
  });

  it("leaves alone what is under way, and still drops the right ones after much went through", async () => {
    const spool = open({ maxRecords: 1_000 });
    for (let i = 0; i < 2_000; i += 1) {
      spool.add(record("through"));
      if (i % 400 === 0) await clock.elapse(20);
    }
    await clock.elapse(100);
    stop();
    network.breakLinks("controller");
    batches.length = 0;
    for (let i = 0; i < 1_500; i += 1) spool.add(record(String(i), { async: i % 3 === 0 }));
    expect(spool.size).toBe(1_000);
    serve();
    await clock.elapse(5_000);
    expect(paths()).toHaveLength(1_000);
    expect(paths().filter((path) => Number(path) % 3 === 0)).toHaveLength(500);
  });

  it("flushes: everything is durable, or time is up", async () => {
    const spool = open();
    spool.add(record("a"));
    const complete = spool.flush(1_000);
    await clock.elapse(20);
    expect(await complete).toBe(true);
    acking = false;
    spool.add(record("b"));
    const incomplete = spool.flush(1_000);
    await clock.elapse(1_000);
    expect(await incomplete).toBe(false);
    expect(spool.close()).toBe(1);
    expect(clock.pending).toBe(0);
  });
});
