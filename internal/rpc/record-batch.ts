// Batches of records on their way to a controller, as objects or encoded already.

import type { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { RecordBatch, type ActivationRecord } from "../gen/weft/link/v1/control.pb.js";
import type { ItemCodec } from "./link.js";

/** Field 2 of a RecordBatch: what a record begins with where records are encoded one after the other. */
export const RECORDS_TAG = 0x12;

/** A batch whose records are kept as the bytes they are sent as. */
export class EncodedRecordBatch implements RecordBatch {
  /** @param encoded records as they stand in a RecordBatch, one after the other */
  constructor(
    readonly sequence: number,
    readonly invokerId: string,
    readonly encoded: Buffer,
  ) {}

  get records(): ActivationRecord[] {
    return RecordBatch.decode(this.encoded).records;
  }
}

export const recordBatchCodec: ItemCodec<RecordBatch> = {
  encode(batch: RecordBatch, writer: BinaryWriter) {
    if (!(batch instanceof EncodedRecordBatch)) return RecordBatch.encode(batch, writer);
    const { sequence, invokerId, encoded } = batch;
    return RecordBatch.encode({ sequence, invokerId, records: [] }, writer).raw(encoded);
  },
  decode: (reader: BinaryReader, length: number) => RecordBatch.decode(reader, length),
};
