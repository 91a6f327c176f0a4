import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "vitest";

import { ActivationRecord, RecordBatch } from "../gen/weft/link/v1/control.pb.js";
import { FastReader } from "./fast-reader.js";
import { FastWriter } from "./fast-writer.js";
import { EncodedRecordBatch, RECORDS_TAG, recordBatchCodec } from "./record-batch.js";

describe("a batch of records that are encoded already", () => {
  const records = ["a", "b"].map((path) => ActivationRecord.create({ path, logs: ["one", "two"] }));
  const writer = new FastWriter();
  for (const record of records) {
    writer.uint32(RECORDS_TAG).fork();
    ActivationRecord.encode(record, writer.asBinaryWriter);
    writer.join();
  }
  const batch = new EncodedRecordBatch(7, "i1", writer.take());

  it("has the records that it was made of", () => {
    expect(batch.records).toEqual(records);
  });

  it("arrives as any other batch does, whatever writes it", () => {
    for (const one of [batch, { sequence: 7, invokerId: "i1", records }]) {
      const stock = new BinaryWriter();
      recordBatchCodec.encode(one, stock);
      const fast = new FastWriter();
      recordBatchCodec.encode(one, fast.asBinaryWriter);
      for (const bytes of [Buffer.from(stock.finish()), fast.take()]) {
        expect(recordBatchCodec.decode(new FastReader(bytes), bytes.length)).toEqual(
          RecordBatch.create({ sequence: 7, invokerId: "i1", records }),
        );
      }
    }
  });
});
