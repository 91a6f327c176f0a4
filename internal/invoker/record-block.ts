// Records that wait, encoded one after the other as they will be sent. Tens of thousands may wait for some hundredths of
// a second; kept as objects, moving them about was a third of what the garbage collector cost an invoker.

import { bytesToHex } from "../base/ids.js";
import { ActivationRecord } from "../gen/weft/link/v1/control.pb.js";
import { Outcome } from "../gen/weft/link/v1/work.pb.js";
import { FastWriter } from "../rpc/fast-writer.js";
import { RECORDS_TAG } from "../rpc/record-batch.js";

/** What a record without result and logs takes, roughly. */
const RECORD_BYTES = 512;

/** What an empty block keeps of the memory that it needed: enough for a full one without logs. */
const KEPT_BYTES_MAX = 512 * 1024;

const LOGS_DROPPED = "There was an issue while collecting your logs. Data might be missing.";

const ASYNC = 1;
const SUCCESS = 2;
const LOGS = 4;
const DROPPED = 8;

export class RecordBlock {
  readonly #writer = new FastWriter(KEPT_BYTES_MAX);
  /** Where each record ends. */
  readonly #ends: number[] = [];
  readonly #flags: number[] = [];
  readonly #weights: number[] = [];
  /** Records that lost their logs, by place. */
  readonly #withoutLogs = new Map<number, Buffer>();
  readonly #asyncIds: string[] = [];
  #live = 0;
  #bytes = 0;

  /** When its first record came. */
  sinceMonoMs = 0;

  /** Makes it as new; a block that is used again and again needs no new memory. */
  begin(nowMonoMs: number): void {
    this.sinceMonoMs = nowMonoMs;
    this.#writer.lend();
    for (const list of [this.#ends, this.#flags, this.#weights, this.#asyncIds]) list.length = 0;
    this.#withoutLogs.clear();
    this.#live = 0;
    this.#bytes = 0;
  }

  /** Records that were not dropped. */
  get live(): number {
    return this.#live;
  }

  /** What its records count as, results and logs included. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Activations of async calls, 32 hex characters each. */
  get asyncIds(): readonly string[] {
    return this.#asyncIds;
  }

  get places(): number {
    return this.#ends.length;
  }

  /** @param weight `weightOf(record)` */
  add(record: ActivationRecord, weight: number): void {
    const writer = this.#writer;
    writer.uint32(RECORDS_TAG).fork();
    ActivationRecord.encode(record, writer.asBinaryWriter);
    writer.join();
    this.#ends.push(writer.length);
    this.#weights.push(weight);
    this.#flags.push(
      (record.async ? ASYNC : 0) |
        (record.outcome === Outcome.SUCCESS ? SUCCESS : 0) |
        (record.logs.length > 0 ? LOGS : 0),
    );
    if (record.async) this.#asyncIds.push(bytesToHex(record.activationId));
    this.#live += 1;
    this.#bytes += weight;
  }

  hasLogs(place: number): boolean {
    const flags = this.#flags[place] ?? 0;
    return (flags & LOGS) !== 0 && (flags & DROPPED) === 0;
  }

  /** Of a sync call, and here. */
  mayDrop(place: number, which: "successes" | "failures"): boolean {
    const flags = this.#flags[place] ?? DROPPED;
    return (flags & (ASYNC | DROPPED)) === 0 && (which === "failures" || (flags & SUCCESS) !== 0);
  }

  /** One line stands in their place. */
  dropLogs(place: number): void {
    const record = { ...ActivationRecord.decode(this.#recordAt(place)), logs: [LOGS_DROPPED] };
    const writer = new FastWriter();
    writer.uint32(RECORDS_TAG).fork();
    ActivationRecord.encode(record, writer.asBinaryWriter);
    this.#withoutLogs.set(place, writer.join().take());
    this.#flags[place] = (this.#flags[place] ?? 0) & ~LOGS;
    this.#weigh(place, weightOf(record));
  }

  drop(place: number): void {
    this.#flags[place] = (this.#flags[place] ?? 0) | DROPPED;
    this.#withoutLogs.delete(place);
    this.#live -= 1;
    this.#weigh(place, 0);
  }

  /** A copy of what is still here, as it stands in a RecordBatch. */
  encoded(): Buffer {
    const all = this.#writer.peek();
    if (this.#live === this.places && this.#withoutLogs.size === 0) return Buffer.from(all);
    const parts: Buffer[] = [];
    for (let place = 0; place < this.places; place += 1) {
      if (((this.#flags[place] ?? 0) & DROPPED) !== 0) continue;
      parts.push(this.#withoutLogs.get(place) ?? all.subarray(this.#startOf(place), this.#ends[place]));
    }
    return Buffer.concat(parts);
  }

  #startOf(place: number): number {
    return place === 0 ? 0 : (this.#ends[place - 1] ?? 0);
  }

  /** Without its tag and length. */
  #recordAt(place: number): Buffer {
    const framed = this.#writer.peek().subarray(this.#startOf(place), this.#ends[place]);
    let at = 1;
    while (((framed[at] ?? 0) & 128) !== 0) at += 1;
    return framed.subarray(at + 1);
  }

  #weigh(place: number, weight: number): void {
    this.#bytes += weight - (this.#weights[place] ?? 0);
    this.#weights[place] = weight;
  }
}

/** What a record counts as against the bounds of a spool, in bytes. */
export function weightOf(record: ActivationRecord): number {
  let bytes = RECORD_BYTES + record.resultJson.length;
  for (const line of record.logs) bytes += line.length + 8;
  return bytes;
}
