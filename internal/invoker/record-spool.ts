// Records on their way to a controller. A record leaves the spool when a controller says that it is durable; until then
// it is sent again after each break, and the store keeps the first of an id.
//
//   R1. The record of an async call is never dropped: it settles a durable request.
//   R2. What waits is bounded, in records and in bytes. Above the bound logs go first, oldest first, then the records of
//       successful sync calls, then those of failed ones; each is counted. When only async records are left, the spool
//       is `full` and no async call is taken any more.
//
// What waits is kept as the bytes that will be sent: see record-block.ts.

import { Backoff } from "../base/backoff.js";
import type { Clock } from "../base/clock.js";
import { bytesToHex } from "../base/ids.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import type { ActivationRecord, RecordAck, RecordBatch } from "../gen/weft/link/v1/control.pb.js";
import { recordLink } from "../rpc/link-methods.js";
import type { Link } from "../rpc/link.js";
import type { Network } from "../rpc/network.js";
import { EncodedRecordBatch } from "../rpc/record-batch.js";
import type { InvokerMetrics } from "./metrics.js";
import { RecordBlock, weightOf } from "./record-block.js";

/** Records in one batch: the most that a store takes at once. */
const BATCH_RECORDS_MAX = 500;
/** Bytes in one batch, unless a single record is larger. */
const BATCH_BYTES_MAX = 1024 * 1024;
/** Records that take so much are sent without waiting for company: it is what the largest batch may take. */
const GATHERED_BYTES_MAX = BATCH_BYTES_MAX;
/** Batches that may wait for their acknowledgement: enough to keep a store busy over one round trip. */
const BATCHES_UNACKED_MAX = 4;
/**
 * A record waits so long for company; nobody waits for it. What a batch costs the controller and the database beside its
 * records is about as much as forty of them.
 */
const GATHER_MS = 20;

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

interface Batch {
  readonly sequence: number;
  readonly block: RecordBlock;
}

/** The next record that a step of R2 looks at. */
interface Cursor {
  block: RecordBlock | undefined;
  place: number;
}

export class RecordSpool {
  /** Not sent on the present link, oldest first. */
  #waiting: RecordBlock[] = [];
  /** The last of those that wait, while records are added to it. */
  #open: RecordBlock | undefined;
  /** Added since the last batch was sent. */
  #gatheredBytes = 0;
  /** Sent on the present link and not acknowledged, in order. */
  #unacked: Batch[] = [];
  /** Done with, to be used again. */
  readonly #spare: RecordBlock[] = [];
  #records = 0;
  #bytes = 0;
  /** Where the search for something to drop goes on, per step of R2. */
  #dropFrom: Readonly<Record<DropStep, Cursor>> = dropFromStart();
  /** Of async calls whose record is here: R1. */
  readonly #async = new Set<string>();
  readonly #backoff: Backoff;
  #link: Link<RecordAck, RecordBatch> | undefined;
  #sequence = 0;
  #tries = 0;
  #gathering = false;
  /** More was to be sent than may be unacknowledged. */
  #behind = false;
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
    const oldest = this.#unacked[0]?.block ?? this.#waiting[0];
    return oldest ? nowMonoMs - oldest.sinceMonoMs : 0;
  }

  /** True while the record of an async call is here and not known to be durable. */
  holds(activationId: string): boolean {
    return this.#async.has(activationId);
  }

  /** Takes a record; it is sent when somebody takes it. */
  add(record: ActivationRecord): void {
    const weight = weightOf(record);
    const block = this.#blockFor(weight);
    block.add(record, weight);
    if (record.async) this.#async.add(bytesToHex(record.activationId));
    this.#records += 1;
    this.#bytes += weight;
    this.#gatheredBytes += weight;
    if (this.full) this.#shrink();
    if (this.#gatheredBytes >= GATHERED_BYTES_MAX) this.#pump();
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
    this.#waiting.unshift(...this.#unacked.map(({ block }) => block));
    this.#unacked = [];
    this.#dropFrom = dropFromStart();
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

  /** Where a record of this weight goes. */
  #blockFor(weight: number): RecordBlock {
    const open = this.#open;
    if (open && open.places < BATCH_RECORDS_MAX && open.bytes + weight <= BATCH_BYTES_MAX) return open;
    const block = this.#spare.pop() ?? new RecordBlock();
    block.begin(this.deps.clock.monoMs());
    this.#waiting.push(block);
    return (this.#open = block);
  }

  #pump(): void {
    this.#cancelGather();
    this.#gathering = false;
    this.#gatheredBytes = 0;
    this.#behind = this.#unacked.length >= BATCHES_UNACKED_MAX;
    while (this.#link && !this.#behind) {
      const block = this.#waiting.shift();
      if (!block) return;
      if (block === this.#open) this.#open = undefined;
      if (block.live === 0) continue;
      this.#sequence += 1;
      this.#unacked.push({ sequence: this.#sequence, block });
      this.deps.metrics.recordBatch.observe(block.live);
      const invokerId = this.#sequence === 1 ? this.deps.invokerId : "";
      this.#link.send(new EncodedRecordBatch(this.#sequence, invokerId, block.encoded()));
      this.#behind = this.#unacked.length >= BATCHES_UNACKED_MAX;
    }
  }

  #acked(sequence: number): void {
    let count = 0;
    while (this.#unacked[0] && this.#unacked[0].sequence <= sequence) {
      const block = this.#unacked.shift()?.block;
      if (!block) break;
      count += block.live;
      this.#bytes -= block.bytes;
      for (const id of block.asyncIds) this.#async.delete(id);
      if (this.#spare.length < BATCHES_UNACKED_MAX) this.#spare.push(block);
    }
    if (count === 0) return;
    this.#records -= count;
    this.deps.metrics.records.inc(count);
    this.#backoff.reset();
    // What is gathering goes on gathering.
    if (this.#behind) this.#pump();
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
    this.#drop("logs", (block, place) => {
      if (!block.hasLogs(place)) return;
      block.dropLogs(place);
      metrics.droppedLogs.inc();
    });
    for (const which of ["successes", "failures"] as const) {
      this.#drop(which, (block, place) => {
        if (!block.mayDrop(place, which)) return; // R1
        block.drop(place);
        this.#records -= 1;
        metrics.droppedRecords.inc();
      });
    }
    if (before === 0 && metrics.droppedRecords.value > 0) {
      this.deps.log.error("records are lost: no controller takes them", { waiting: this.#records, bytes: this.#bytes });
    }
  }

  #drop(step: DropStep, act: (block: RecordBlock, place: number) => void): void {
    // Records are not dropped for the sake of logs alone, nor logs when only the count is above its bound.
    const needed = (): boolean => (step === "logs" ? this.#bytes > this.deps.maxBytes : this.full);
    const cursor = this.#dropFrom[step];
    let nth = cursor.block ? this.#waiting.indexOf(cursor.block) : 0;
    if (nth === -1) nth = cursor.place = 0; // it was sent
    for (let block = this.#waiting[nth]; block && needed(); block = this.#waiting[(nth += 1)]) {
      if (block !== cursor.block) {
        cursor.block = block;
        cursor.place = 0;
      }
      for (; cursor.place < block.places && needed(); cursor.place += 1) {
        const bytes = block.bytes;
        act(block, cursor.place);
        this.#bytes += block.bytes - bytes;
      }
      if (cursor.place < block.places) return;
    }
  }
}

type DropStep = "logs" | "successes" | "failures";

function dropFromStart(): Record<DropStep, Cursor> {
  const start = (): Cursor => ({ block: undefined, place: 0 });
  return { logs: start(), successes: start(), failures: start() };
}
