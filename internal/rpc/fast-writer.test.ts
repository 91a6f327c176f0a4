import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "vitest";

import { seededRandom } from "../base/random.js";
import { ActivationRecord } from "../gen/weft/link/v1/control.pb.js";
import { CapacityRequest, LeaseRequest } from "../gen/weft/link/v1/lease.pb.js";
import { Done, Invoke, WorkRequest, WorkResponse } from "../gen/weft/link/v1/work.pb.js";
import { FastWriter } from "./fast-writer.js";

const seeded = seededRandom(20_260_101);
const below = (n: number): number => Math.floor(seeded.next() * n);
const pick = <T>(of: readonly T[]): T => of[below(of.length)] as T;

/** Lengths around every change of a varint's length and of the writer's short path. */
const lengths = [0, 1, 5, 41, 42, 43, 126, 127, 128, 129, 1_000, 4_095, 4_096, 16_383, 16_384, 20_000];
const text = (): string => {
  const alphabet = pick(["a", "aZ 09", "äß", "日本", "😀", "\ud800x", '"\\\n\u0000']);
  return Array.from({ length: pick(lengths) }, () => alphabet.charAt(below(alphabet.length))).join("");
};
const bytes = (): Uint8Array => seeded.bytes(pick(lengths));
const uint32 = (): number => pick([0, 1, 127, 128, 16_383, 16_384, 2 ** 31, 2 ** 32 - 1, below(2 ** 32)]);
const uint64 = (): number => pick([0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 53 - 1, below(2 ** 50)]);
const float = (): number => pick([0, 1, -1, 0.1, 1e30, -0, Infinity, seeded.next()]);

const invoke = (): Invoke => ({
  call: uint32(),
  activationId: bytes(),
  lease: pick([undefined, { sandbox: uint32(), slot: uint32(), epoch: uint64(), sequence: uint64(), token: bytes() }]),
  paramsJson: bytes(),
  caller: pick([
    undefined,
    { namespace: text(), subject: text(), transactionId: text(), apiKey: text(), cause: text(), binding: text() },
  ]),
  remainingMs: uint32(),
  waitedMs: uint32(),
  class: below(3) as Invoke["class"],
  traceparent: text(),
  revisionId: text(),
  attempt: uint32(),
  truncationBytes: pick([undefined, uint32()]),
  unstored: pick([true, false]),
});
const done = (): Done => ({
  call: uint32(),
  outcome: pick([0, 1, 4, -1, -(2 ** 31), 2 ** 31 - 1]) as Done["outcome"],
  resultJson: bytes(),
  startWallMs: uint64(),
  durationMs: uint32(),
  initMs: pick([undefined, 0, 7]),
  waitMs: uint32(),
  timedOut: seeded.next() < 0.5,
  resultSize: uint32(),
  reusable: seeded.next() < 0.5,
  startKind: below(5) as Done["startKind"],
});
const wish = (): CapacityRequest => ({
  request: uint64(),
  action: {
    key: text(),
    revisionId: text(),
    kind: text(),
    memoryMb: uint32(),
    concurrency: uint32(),
    maxInstances: uint32(),
    timeoutMs: uint32(),
  },
  shortage: uint32(),
  oldestWaitMs: uint32(),
  arrivalsPerSecond: float(),
  serviceMs: float(),
  shard: uint32(),
});

interface Codec<T> {
  encode(message: T, writer?: BinaryWriter): { finish(): Uint8Array };
}

const cases: readonly (readonly [name: string, codec: Codec<never>, make: () => unknown])[] = [
  ["Invoke", Invoke, invoke],
  ["Done", Done, done],
  ["CapacityRequest", CapacityRequest, wish],
  [
    "WorkRequest",
    WorkRequest,
    () => ({
      items: Array.from({ length: below(6) }, () => ({ item: { $case: "invoke", value: invoke() } as const })),
    }),
  ],
  [
    "WorkResponse",
    WorkResponse,
    () => ({
      items: [
        { item: { $case: "done", value: done() } },
        { item: { $case: "slotsGone", value: { sandboxes: Array.from({ length: below(200) }, uint32) } } },
      ],
    }),
  ],
  [
    "LeaseRequest",
    LeaseRequest,
    () => ({ items: [{ item: { $case: "capacity", value: wish() } }, { item: undefined }] }),
  ],
  [
    "ActivationRecord",
    ActivationRecord,
    () =>
      ActivationRecord.fromPartial({
        activationId: bytes(),
        namespace: text(),
        logs: Array.from({ length: below(20) }, text),
        startWallMs: uint64(),
        resultJson: bytes(),
        async: true,
      }),
  ],
];

describe("FastWriter", () => {
  it.each(cases)("writes %s as the stock writer does, byte for byte", (_name, codec, make) => {
    const fast = new FastWriter();
    for (let i = 0; i < 300; i++) {
      const message = make() as never;
      const stock = codec.encode(message, new BinaryWriter()).finish();
      codec.encode(message, fast.asBinaryWriter);
      expect(fast.length).toBe(stock.length);
      expect(Buffer.compare(fast.take(), stock)).toBe(0);
    }
  });

  it("writes every kind of number as the stock writer does", () => {
    const fast = new FastWriter();
    const stock = new BinaryWriter();
    for (const writer of [fast.asBinaryWriter, stock]) {
      for (const n of [0, 1, -1, 127, 128, -128, 2 ** 31 - 1, -(2 ** 31)]) {
        writer.int32(n).sint32(n).int64(n).float(n).double(n);
      }
      for (const n of [0, 1, 2 ** 32 - 1]) writer.uint32(n).fixed32(n).uint64(n);
      for (const n of [2 ** 32, 2 ** 53 - 1]) writer.uint64(n).int64(n).int64(-n);
      writer.uint64("18446744073709551615").int64("-9223372036854775808").bool(true).bool(false).double(NaN);
    }
    expect(Buffer.from(fast.finish())).toEqual(Buffer.from(stock.finish()));
  });

  it("gives away what it wrote: later writing does not change it", () => {
    const fast = new FastWriter();
    fast.string("first");
    const first = fast.take();
    const before = Buffer.from(first);
    fast.string("second");
    fast.take();
    expect(first).toEqual(before);
    fast.string("third");
    expect(fast.lend().toString()).toBe("\u0005third");
    fast.string("fourth");
    expect(fast.length).toBe(7);
    expect(first).toEqual(before);
  });

  it("writes the same wherever in its buffer a message begins and ends", () => {
    const body = Buffer.alloc(300, 7);
    const stock = new BinaryWriter().uint32(10).fork().bytes(body).join().finish();
    const fast = new FastWriter();
    // Steps of a few bytes bring the end of some message to every place around the end of a buffer.
    for (let i = 0; i < 20_000; i++) {
      fast.raw(body.subarray(0, i % 7));
      fast.take();
      fast.uint32(10).fork().bytes(body).join();
      if (Buffer.compare(fast.take(), stock) !== 0) throw new Error(`message ${i} differs`);
    }
  });

  it("does not keep a buffer that one large message needed", () => {
    const fast = new FastWriter();
    const large = fast.raw(Buffer.alloc(1_000_000)).take();
    const small = fast.raw(Buffer.alloc(10)).take();
    expect(small.buffer).not.toBe(large.buffer);
  });
});
