// Records on their way to a controller. A record leaves the spool when a controller says that it is durable; until then
// it is sent again after each break, and the store keeps the first of an id.
//
//   R1. The record of an async call is never dropped: it settles a durable request.
//   R2. What waits is bounded, in records and in bytes. Above the bound logs go first, oldest first, then the records of
//       successful sync calls, then those of failed ones; each is counted. When only async records are left, the spool
//       is `full` and no async call is taken any more.

import { Backoff } from "../base/backoff.js";
import type { Clock } from "../base/clock.js";
import { bytesToHex } from "../base/ids.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import type { ActivationRecord } from "../gen/weft/link/v1/control.pb.js";
import { Outcome } from "../gen/weft/link/v1/work.pb.js";
import { recordLink } from "../rpc/link-methods.js";
import type { Link } from "../rpc/link.js";
import type { Network } from "../rpc/network.js";
import type { RecordAck, RecordBatch } from "../gen/weft/link/v1/control.pb.js";
import type { InvokerMetrics } from "./metrics.js";

/** Records in one batch: the most that a store takes at once. */
const BATCH_RECORDS_MAX = 500;
/** Bytes in one batch, unless a single record is larger. */
const BATCH_BYTES_MAX = 1024 * 1024;
/** Records that take so much are sent without waiting for company: more does not make them cheaper. */
const GATHERED_BYTES_MAX = 256 * 1024;
/** Batches that may wait for their acknowledgement: enough to keep a store busy over one round trip. */
const BATCHES_UNACKED_MAX = 4;
/**
 * A record waits so long for company; nobody waits for it. What a batch costs the controller and the database beside its
 * records is about as much as forty of them.
 */
const GATHER_MS = 10;
/** What a record without result and logs takes, roughly. */
const RECORD_BYTES = 512;

export interface RecordSpoolDeps {
  readonly invokerId: string;
  readonly network: Network;
  /** Addresses of controllers, the preferred first. */
  readonly controllers: () => readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: InvokerMetrics;
  readonly maxRecords: number;
  readonly maxBytes: number;
}

interface Entry {
  /** undefined once it was dropped. */
  record: ActivationRecord | undefined;
  bytes: number;
  readonly sinceMonoMs: number;
}

interface Batch {
  readonly sequence: number;
  readonly entries: readonly Entry[];
}

export class RecordSpool {
  /** Not sent on the present link, oldest first. `#head` is the first that is still here. */
  #waiting: Entry[] = [];
  #head = 0;
  /** Added since the last batch was sent. */
  #gatheredBytes = 0;
  /** Sent on the present link and not acknowledged, in order. */
  #unacked: Batch[] = [];
  #records = 0;
  #bytes = 0;
  /** Where the search for something to drop goes on, per step of R2. */
  readonly #dropFrom = { logs: 0, successes: 0, failures: 0 };
  /** Of async calls whose record is here: R1. */
  readonly #async = new Set<string>();
  readonly #backoff: Backoff;
  #link: Link<RecordAck, RecordBatch> | undefined;
  #sequence = 0;
  #tries = 0;
  #gathering = false;
  #cancelGather = (): void => {};
  #cancelRetry = (): void => {};
  #retrying = false;
  #started = false;
  #closed = false;
  #flushing: { readonly resolve: (complete: boolean) => void; readonly cancel: () => void }[] = [];

  constructor(private readonly deps: RecordSpoolDeps) {
    this.#backoff = new Backoff({ firstMs: 50, maxMs: 2_000 }, deps.random);
    const { metrics, clock } = deps;
    metrics.spoolItems.from(() => this.#records);
    metrics.spoolBytes.from(() => this.#bytes);
    metrics.spoolAge.from(() => this.ageMs(clock.monoMs()) / 1_000);
  }

  start(): void {
    this.#started = true;
    this.controllersChanged();
  }

  get size(): number {
    return this.#records;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get connected(): boolean {
    return this.#link !== undefined;
  }

  /** True when it holds nothing that may be dropped and is above its bounds (R2). */
  get full(): boolean {
    return this.#records > this.deps.maxRecords || this.#bytes > this.deps.maxBytes;
  }

  /** How long the oldest record has waited. */
  ageMs(nowMonoMs: number): number {
    const oldest = this.#unacked[0]?.entries[0] ?? this.#waiting[this.#head];
    return oldest ? nowMonoMs - oldest.sinceMonoMs : 0;
  }

  /** True while the record of an async call is here and not known to be durable. */
  holds(activationId: string): boolean {
    return this.#async.has(activationId);
  }

  /** Takes a record; it is sent when somebody takes it. */
  add(record: ActivationRecord): void {
    if (record.async) this.#async.add(bytesToHex(record.activationId));
    const entry: Entry = { record, bytes: bytesOf(record), sinceMonoMs: this.deps.clock.monoMs() };
    this.#waiting.push(entry);
    this.#records += 1;
    this.#bytes += entry.bytes;
    this.#gatheredBytes += entry.bytes;
    if (this.full) this.#shrink();
    const enough = this.#waiting.length - this.#head >= BATCH_RECORDS_MAX || this.#gatheredBytes >= GATHERED_BYTES_MAX;
    if (enough) this.#pump();
    else this.#gather();
  }

  /** Called when the list of controllers may have changed. */
  controllersChanged(): void {
    if (!this.#link && !this.#retrying) this.#connect();
  }

  /** Resolves with true when everything is acknowledged, with false after `withinMs`. */
  flush(withinMs: number): Promise<boolean> {
    if (this.#records === 0) return Promise.resolve(true);
    this.#pump();
    return new Promise((resolve) => {
      const waiter = {
        resolve,
        cancel: this.deps.clock.after(withinMs, () => {
          this.#flushing = this.#flushing.filter((one) => one !== waiter);
          resolve(false);
        }),
      };
      this.#flushing.push(waiter);
    });
  }

  /** @returns how many records are lost with it */
  close(): number {
    this.#closed = true;
    this.#cancelGather();
    this.#cancelRetry();
    this.#link?.close();
    this.#link = undefined;
    for (const { resolve, cancel } of this.#flushing.splice(0)) {
      cancel();
      resolve(this.#records === 0);
    }
    return this.#records;
  }

  #connect(): void {
    if (this.#link || this.#closed || !this.#started) return;
    const addresses = this.deps.controllers();
    const address = addresses[this.#tries % Math.max(1, addresses.length)];
    if (address === undefined) return; // controllersChanged comes when there is one
    const link = this.deps.network.dial(address, recordLink);
    this.#link = link;
    this.#sequence = 0;
    link.onItem = ({ sequence }) => this.#acked(sequence);
    link.onClosed = () => this.#broken(link);
    this.#pump();
  }

  #broken(link: Link<RecordAck, RecordBatch>): void {
    if (this.#link !== link || this.#closed) return;
    this.#link = undefined;
    // What was not acknowledged goes to the front again.
    const again = this.#unacked.flatMap((batch) => batch.entries);
    this.#unacked = [];
    this.#waiting = [...again, ...this.#waiting.slice(this.#head)];
    this.#head = 0;
    this.#dropFrom.logs = this.#dropFrom.successes = this.#dropFrom.failures = 0;
    if (this.full) this.#shrink();
    this.#tries += 1;
    this.#retrying = true;
    this.#cancelRetry = this.deps.clock.after(this.#backoff.nextMs(), () => {
      this.#retrying = false;
      this.#connect();
    });
  }

  #gather(): void {
    if (this.#gathering || this.#closed || !this.#link) return;
    this.#gathering = true;
    this.#cancelGather = this.deps.clock.after(GATHER_MS, () => this.#pump());
  }

  #pump(): void {
    this.#cancelGather();
    this.#gathering = false;
    this.#gatheredBytes = 0;
    while (this.#link && this.#unacked.length < BATCHES_UNACKED_MAX) {
      const entries: Entry[] = [];
      const records: ActivationRecord[] = [];
      let bytes = 0;
      while (this.#head < this.#waiting.length && records.length < BATCH_RECORDS_MAX) {
        const entry = this.#waiting[this.#head];
        if (entry?.record) {
          if (records.length > 0 && bytes + entry.bytes > BATCH_BYTES_MAX) break;
          entries.push(entry);
          records.push(entry.record);
          bytes += entry.bytes;
        }
        this.#head += 1;
      }
      this.#compact();
      if (records.length === 0) return;
      this.#sequence += 1;
      this.#unacked.push({ sequence: this.#sequence, entries });
      this.deps.metrics.recordBatch.observe(records.length);
      this.#link.send({
        sequence: this.#sequence,
        records,
        invokerId: this.#sequence === 1 ? this.deps.invokerId : "",
      });
    }
  }

  /** What was taken from the front is let go now and then, and not each time. */
  #compact(): void {
    if (this.#head < 1_024 && this.#head < this.#waiting.length) return;
    this.#waiting = this.#waiting.slice(this.#head);
    this.#dropFrom.logs = Math.max(0, this.#dropFrom.logs - this.#head);
    this.#dropFrom.successes = Math.max(0, this.#dropFrom.successes - this.#head);
    this.#dropFrom.failures = Math.max(0, this.#dropFrom.failures - this.#head);
    this.#head = 0;
  }

  #acked(sequence: number): void {
    let count = 0;
    while (this.#unacked[0] && this.#unacked[0].sequence <= sequence) {
      const batch = this.#unacked.shift();
      for (const entry of batch?.entries ?? []) {
        count += 1;
        this.#bytes -= entry.bytes;
        if (entry.record?.async) this.#async.delete(bytesToHex(entry.record.activationId));
      }
    }
    if (count === 0) return;
    this.#records -= count;
    this.deps.metrics.records.inc(count);
    this.#backoff.reset();
    this.#pump();
    if (this.#records === 0) {
      for (const { resolve, cancel } of this.#flushing.splice(0)) {
        cancel();
        resolve(true);
      }
    }
  }

  /** R2. What is under way on a link is left alone: it may be durable already. */
  #shrink(): void {
    const { metrics } = this.deps;
    const before = metrics.droppedRecords.value;
    this.#drop("logs", (entry, record) => {
      if (record.logs.length === 0) return;
      entry.record = { ...record, logs: [LOGS_DROPPED] };
      this.#resize(entry, bytesOf(entry.record));
      metrics.droppedLogs.inc();
    });
    const dropIf = (matches: (record: ActivationRecord) => boolean) => (entry: Entry, record: ActivationRecord) => {
      if (record.async || !matches(record)) return; // R1
      entry.record = undefined;
      this.#resize(entry, 0);
      this.#records -= 1;
      metrics.droppedRecords.inc();
    };
    this.#drop(
      "successes",
      dropIf((record) => record.outcome === Outcome.SUCCESS),
    );
    this.#drop(
      "failures",
      dropIf(() => true),
    );
    if (before === 0 && metrics.droppedRecords.value > 0) {
      this.deps.log.error("records are lost: no controller takes them", { waiting: this.#records, bytes: this.#bytes });
    }
  }

  #drop(step: "logs" | "successes" | "failures", act: (entry: Entry, record: ActivationRecord) => void): void {
    let at = Math.max(this.#head, this.#dropFrom[step]);
    // Records are not dropped for the sake of logs alone, nor logs when only the count is above its bound.
    const needed = (): boolean => (step === "logs" ? this.#bytes > this.deps.maxBytes : this.full);
    for (; needed() && at < this.#waiting.length; at += 1) {
      const entry = this.#waiting[at];
      if (entry?.record) act(entry, entry.record);
    }
    this.#dropFrom[step] = at;
  }

  #resize(entry: Entry, bytes: number): void {
    this.#bytes += bytes - entry.bytes;
    entry.bytes = bytes;
  }
}

const LOGS_DROPPED = "There was an issue while collecting your logs. Data might be missing.";

function bytesOf(record: ActivationRecord): number {
  let bytes = RECORD_BYTES + record.resultJson.length;
  for (const line of record.logs) bytes += line.length + 8;
  return bytes;
}
