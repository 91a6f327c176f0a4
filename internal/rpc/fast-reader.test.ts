import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "vitest";

import { seededRandom } from "../base/random.js";
import { ActivationRecord } from "../gen/weft/link/v1/control.pb.js";
import { Done } from "../gen/weft/link/v1/work.pb.js";
import { FastReader } from "./fast-reader.js";

const random = seededRandom(20_260_102);
const below = (n: number): number => Math.floor(random.next() * n);

const strings = (bytes: readonly Uint8Array[]): Buffer => {
  const writer = new BinaryWriter();
  for (const one of bytes) writer.bytes(one);
  return Buffer.from(writer.finish());
};

describe("FastReader", () => {
  it("reads texts as the stock reader does, new and known ones, valid and broken", () => {
    const names = [
      "",
      "a",
      "guest",
      "guess",
      "guest/hello",
      "gu\u00e9st",
      "\ufeffx",
      "\u65e5\u672c",
      "x".repeat(63),
      "x".repeat(64),
    ];
    const texts: Uint8Array[] = names.map((name) => Buffer.from(name));
    for (let i = 0; i < 20_000; i++) {
      const name = texts[below(names.length)] as Uint8Array;
      // The same name, one changed in any place, or any bytes.
      const other = Buffer.from(name);
      if (other.length > 0) other[below(other.length)] = below(256);
      texts.push(name, other, random.bytes(below(80)));
    }
    const message = strings(texts);
    const fast = new FastReader(message);
    const stock = new BinaryReader(message);
    for (let i = 0; i < texts.length; i++) {
      if (fast.string() !== stock.string() || fast.pos !== stock.pos) throw new Error(`text ${i} differs`);
    }
    expect(fast.pos).toBe(fast.len);
  });

  it("gives a text that was read lately again", () => {
    const message = strings([Buffer.from("guest/hello"), Buffer.from("guest/hello")]);
    const reader = new FastReader(message);
    expect(reader.string()).toBe("guest/hello");
    expect(reader.string()).toBe("guest/hello");
  });

  it("reads every length of number, and messages with them, as the stock reader does", () => {
    const numbers = [
      0n,
      1n,
      127n,
      128n,
      2n ** 32n,
      2n ** 41n,
      2n ** 49n - 1n,
      2n ** 49n,
      2n ** 53n - 1n,
      2n ** 63n,
      2n ** 64n - 1n,
    ];
    const writer = new BinaryWriter();
    for (const number of numbers) writer.uint64(number);
    const reader = new FastReader(Buffer.from(writer.finish()));
    for (const number of numbers) expect(BigInt(reader.uint64())).toBe(number);

    for (const startWallMs of [0, 1, 1_795_595_005_450, Number.MAX_SAFE_INTEGER]) {
      const done = Done.fromPartial({ startWallMs, resultJson: Buffer.from("{}") });
      expect(Done.decode(new FastReader(Buffer.from(Done.encode(done).finish())))).toEqual(done);
      const record = ActivationRecord.fromPartial({ startWallMs, path: "guest/hello", logs: ["one", "one"] });
      expect(ActivationRecord.decode(new FastReader(Buffer.from(ActivationRecord.encode(record).finish())))).toEqual(
        record,
      );
    }
  });

  it.each([
    ["a text that is longer than the message", Buffer.from([5, 0x61, 0x62]), (r: BinaryReader) => r.string()],
    ["a text without its length", Buffer.from([]), (r: BinaryReader) => r.string()],
    ["a number that does not end", Buffer.from([0xff, 0xff]), (r: BinaryReader) => r.uint64()],
    ["a number that ends nowhere", Buffer.alloc(20, 0xff), (r: BinaryReader) => r.uint64()],
  ])("refuses %s, as the stock reader does", (_, message, read) => {
    expect(() => read(new BinaryReader(message))).toThrow();
    expect(() => read(new FastReader(message))).toThrow();
  });
});
