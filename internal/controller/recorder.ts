// Keeps activation records: takes them from every invoker's link and from this controller itself, stores them in
// batches and says what is durable.
//
//   R1. A batch is acknowledged only when it and every batch before it on its link are durable.
//   R2. A record is never dropped silently: while the store cannot take it, it is tried again; when the store will never
//       take it, one that says so takes its place.
//   R3. What waits is bounded: a link that sends more than that is ended, and its invoker keeps the rest.

import { Backoff } from "../base/backoff.js";
import { sleep, type Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { Counter } from "../base/metrics.js";
import type { Random } from "../base/random.js";
import type { ActivationStore, RecordedActivation } from "../core/activation/store.js";
import type { Outcome } from "../core/activation/types.js";
import type { RecordAck, RecordBatch } from "../gen/weft/link/v1/control.pb.js";
import type { Link } from "../rpc/link.js";
import type { ControllerMetrics } from "./metrics.js";
import { recordOfWire } from "./wire.js";

/** Records of one call to the store: its limit. */
const BATCH_MAX = 500;
/** Bytes of one call to the store, unless a single record is larger. */
const BATCH_BYTES_MAX = 16 * 1024 * 1024;
/** Batches of one link that wait to be stored: four times what an invoker may send ahead. */
const LINK_BATCHES_MAX = 64;
/** Bytes that wait, of all links. */
const WAITING_BYTES_MAX = 256 * 1024 * 1024;
/** Tries to store a record as it is when the store fails in a way that nobody foresaw. */
const TRIES_BEFORE_REPLACING = 3;

export interface RecorderDeps {
  readonly activations: Pick<ActivationStore, "record">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: ControllerMetrics;
  /** Told of records that are durable. */
  readonly stored: (records: readonly RecordedActivation[]) => void;
}

interface PendingBatch {
  readonly sequence: number;
  durable: boolean;
}

interface Writing {
  readonly records: number;
  readonly bytes: number;
  readonly sinceMonoMs: number;
}

export class Recorder {
  readonly #links = new Set<Link<RecordBatch, RecordAck>>();
  readonly #writing = new Set<Writing>();
  readonly #stop = new AbortController();
  readonly #countedAs: Readonly<Record<Outcome, Counter>>;
  #idle: (() => void)[] = [];

  constructor(private readonly deps: RecorderDeps) {
    const { metrics, clock } = deps;
    const countedAs = (outcome: Outcome): Counter => metrics.records.bound({ outcome });
    this.#countedAs = {
      success: countedAs("success"),
      applicationError: countedAs("applicationError"),
      developerError: countedAs("developerError"),
      platformError: countedAs("platformError"),
    };
    metrics.recordLinks.from(() => this.#links.size);
    metrics.recordsWaiting.from(() => this.waiting);
    metrics.recordHeadSeconds.from(() => {
      const [oldest] = this.#writing;
      return oldest ? (clock.monoMs() - oldest.sinceMonoMs) / 1_000 : 0;
    });
  }

  get waiting(): number {
    let records = 0;
    for (const writing of this.#writing) records += writing.records;
    return records;
  }

  get links(): number {
    return this.#links.size;
  }

  /** Serves one invoker's link. */
  accept(link: Link<RecordBatch, RecordAck>): void {
    const pending: PendingBatch[] = [];
    let invokerId = "";
    this.#links.add(link);
    link.onClosed = (why) => {
      this.#links.delete(link);
      this.deps.log.debug("a link with records ended", { invokerId, waiting: pending.length, error: why });
    };
    link.onItem = (batch) => {
      if (batch.invokerId !== "") invokerId = batch.invokerId;
      if (pending.length >= LINK_BATCHES_MAX || this.#waitingBytes() > WAITING_BYTES_MAX) {
        link.close(
          new WeftError("throttled", "RECORDER_OVERLOADED", "too many records wait for the database", {
            retryAfterMs: 1_000,
          }),
        ); // R3
        return;
      }
      const one: PendingBatch = { sequence: batch.sequence, durable: false };
      pending.push(one);
      this.write(this.decode(batch)).then(
        () => {
          one.durable = true;
          let acknowledged: number | undefined;
          for (let head = pending[0]; head?.durable; head = pending[0]) {
            acknowledged = head.sequence; // R1
            pending.shift();
          }
          if (acknowledged !== undefined) link.send({ sequence: acknowledged });
        },
        (thrown: unknown) => {
          // Only at stop: the invoker sends again what was not acknowledged.
          link.close(toWeftError(thrown));
        },
      );
    };
  }

  /** What is no record is counted, told in the log and left out: nothing could be found under it. */
  decode(batch: RecordBatch): readonly RecordedActivation[] {
    const records: RecordedActivation[] = [];
    for (const record of batch.records) {
      try {
        const { async, unstored } = record;
        records.push({ activation: recordOfWire(record), async, ...(unstored ? { unstored } : {}) });
      } catch (thrown) {
        this.deps.metrics.recordsReplaced.inc();
        this.deps.log.error("a record has no id and cannot be kept", {
          invokerId: record.invokerId,
          error: toWeftError(thrown),
        });
      }
    }
    return records;
  }

  /** Resolves when all are durable, however long that takes. @throws unavailable at stop */
  async write(records: readonly RecordedActivation[]): Promise<void> {
    for (const chunk of chunksOf(records)) {
      const writing: Writing = {
        records: chunk.length,
        bytes: chunk.reduce((sum, record) => sum + bytesOf(record), 0),
        sinceMonoMs: this.deps.clock.monoMs(),
      };
      this.#writing.add(writing);
      try {
        await this.#store(chunk);
      } finally {
        this.#writing.delete(writing);
        if (this.#writing.size === 0) for (const wake of this.#idle.splice(0)) wake();
      }
    }
  }

  /** Waits until nothing waits to be stored, at most `graceMs`. */
  async drain(graceMs: number): Promise<void> {
    if (this.#writing.size === 0) return;
    await new Promise<void>((resolve) => {
      const cancel = this.deps.clock.after(graceMs, resolve);
      this.#idle.push(() => {
        cancel();
        resolve();
      });
    });
  }

  /** Ends every link and whatever is still being tried. */
  close(): void {
    this.#stop.abort(new WeftError("unavailable", "STOPPED", "this controller stopped"));
    for (const link of [...this.#links]) link.close();
  }

  async #store(batch: readonly RecordedActivation[]): Promise<void> {
    const { clock, metrics } = this.deps;
    const backoff = new Backoff({ firstMs: 50, maxMs: 5_000 }, this.deps.random);
    let records = batch;
    let unforeseen = 0;
    for (;;) {
      const startedMs = clock.monoMs();
      try {
        await this.deps.activations.record(records);
        metrics.recordBatch.observe(records.length);
        metrics.recordSeconds.observe((clock.monoMs() - startedMs) / 1_000);
        for (const { activation } of records) this.#countedAs[activation.outcome].inc();
        this.deps.stored(records);
        return;
      } catch (thrown) {
        const error = toWeftError(thrown);
        metrics.recordRetries.inc();
        if (error.kind === "invalidArgument" || error.kind === "internal") {
          // One of them cannot be stored; the others are not made to suffer.
          if (records.length > 1) {
            for (const record of records) await this.#store([record]);
            return;
          }
          unforeseen += 1;
          if (error.kind === "invalidArgument" || unforeseen >= TRIES_BEFORE_REPLACING) {
            records = records.map((record) => this.#replaced(record, error)); // R2
            unforeseen = 0;
          }
        } else this.deps.log.warn("records cannot be stored; trying again", { records: records.length, error });
      }
      await sleep(clock, backoff.nextMs(), this.#stop.signal);
    }
  }

  #replaced(record: RecordedActivation, error: WeftError): RecordedActivation {
    const { activation } = record;
    this.deps.metrics.recordsReplaced.inc();
    this.deps.log.error("a record cannot be stored as it is", { activationId: activation.id, error });
    const resultJson = JSON.stringify({ error: "the record of this activation could not be stored" });
    return {
      async: record.async,
      activation: {
        ...activation,
        outcome: "platformError",
        resultJson,
        resultSize: resultJson.length,
        logs: [],
      },
    };
  }

  #waitingBytes(): number {
    let bytes = 0;
    for (const writing of this.#writing) bytes += writing.bytes;
    return bytes;
  }
}

function bytesOf({ activation }: RecordedActivation): number {
  let bytes = 500 + activation.resultJson.length;
  for (const line of activation.logs) bytes += line.length;
  return bytes;
}

function chunksOf(records: readonly RecordedActivation[]): RecordedActivation[][] {
  const chunks: RecordedActivation[][] = [];
  let chunk: RecordedActivation[] = [];
  let bytes = 0;
  for (const record of records) {
    const size = bytesOf(record);
    if (chunk.length === BATCH_MAX || (chunk.length > 0 && bytes + size > BATCH_BYTES_MAX)) {
      chunks.push(chunk);
      chunk = [];
      bytes = 0;
    }
    chunk.push(record);
    bytes += size;
  }
  if (chunk.length > 0) chunks.push(chunk);
  return chunks;
}
