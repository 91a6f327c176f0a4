import { describe, expect, it } from "vitest";

import { settle } from "../../test/harness/clock.js";
import type { WeftError } from "../base/errors.js";
import { RecordAck } from "../gen/weft/link/v1/control.pb.js";
import { WorkRequest, WorkRequestItem } from "../gen/weft/link/v1/work.pb.js";
import { LINK_BACKLOG_BYTES_MAX, StreamLink, type MessageStream } from "./link.js";

/** A transport that keeps what is written, and blocks when told to. */
class Wire implements MessageStream {
  onMessage: (message: Buffer) => void = () => {};
  onDrain: () => void = () => {};
  onEnd: (why: WeftError | undefined) => void = () => {};
  onFinished: () => boolean = () => false;
  readonly written: Buffer[] = [];
  readonly ends: (WeftError | undefined)[] = [];
  finished = 0;
  blocked = false;

  write(message: Buffer): boolean {
    this.written.push(message);
    return !this.blocked;
  }

  finish(): void {
    this.finished += 1;
  }

  end(why?: WeftError): void {
    this.ends.push(why);
  }
}

const cancel = (call: number, reason = ""): WorkRequestItem => ({
  item: { $case: "cancel", value: { call, reason } },
});
const callOf = ({ item }: WorkRequestItem): number => (item?.$case === "cancel" ? item.value.call : -1);
const callsIn = (frame: Buffer): number[] => WorkRequest.decode(frame).items.map(callOf);

/** What follows the current callback, before anything else of the event loop. */
const tick = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));

function open(framed = true) {
  const wire = new Wire();
  const link = new StreamLink(wire, WorkRequestItem, WorkRequestItem, framed);
  const received: number[] = [];
  const closed: (WeftError | undefined)[] = [];
  link.onItem = (item) => received.push(callOf(item));
  link.onClosed = (why) => closed.push(why);
  return { wire, link, received, closed };
}

describe("a link", () => {
  it("sends a lone item without waiting for the turn to end", async () => {
    const { wire, link } = open();
    link.send(cancel(1));
    await tick();
    expect(wire.written.map(callsIn)).toEqual([[1]]);
  });

  it("puts the items of one turn into few frames, in order", async () => {
    const { wire, link } = open();
    for (let call = 1; call <= 10; call++) link.send(cancel(call));
    await settle();
    expect(wire.written.map(callsIn)).toEqual([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]);
    await settle(); // another turn
    link.send(cancel(11));
    await tick(); // the first of a turn leaves at once, the rest together at its end
    link.send(cancel(12));
    link.send(cancel(13));
    await settle();
    expect(wire.written.map(callsIn).slice(1)).toEqual([[11], [12, 13]]);
  });

  it("cuts frames at 256 items and at 256 KiB", async () => {
    const { wire, link } = open();
    for (let call = 0; call < 600; call++) link.send(cancel(call));
    await settle();
    expect(wire.written.map((frame) => callsIn(frame).length)).toEqual([256, 256, 88]);
    wire.written.length = 0;
    for (let call = 0; call < 5; call++) link.send(cancel(call, "x".repeat(100 * 1024)));
    await settle();
    expect(wire.written.map((frame) => callsIn(frame).length)).toEqual([3, 2]);
  });

  it("reads frames item by item, and skips what a newer peer added", () => {
    const { wire, received } = open();
    const known = Buffer.from(WorkRequest.encode({ items: [cancel(1), cancel(2)] }).finish());
    const unknown = Buffer.from([0x12, 0x03, 1, 2, 3]); // field 2
    wire.onMessage(Buffer.concat([unknown, known, unknown]));
    expect(received).toEqual([1, 2]);
  });

  it("without frames sends each item as a message of its own", async () => {
    const wire = new Wire();
    const link = new StreamLink(wire, RecordAck, RecordAck, false);
    const received: number[] = [];
    link.onItem = ({ sequence }) => received.push(sequence);
    link.send({ sequence: 1 });
    link.send({ sequence: 2 });
    await settle();
    expect(wire.written.map((message) => RecordAck.decode(message).sequence)).toEqual([1, 2]);
    wire.onMessage(Buffer.from(RecordAck.encode({ sequence: 3 }).finish()));
    expect(received).toEqual([3]);
  });

  it("waits for a transport that is full, and goes on where it was", async () => {
    const { wire, link } = open();
    wire.blocked = true;
    link.send(cancel(1));
    await settle();
    link.send(cancel(2));
    link.send(cancel(3));
    await settle();
    expect(wire.written.map(callsIn)).toEqual([[1]]);
    expect(link.backlogBytes).toBeGreaterThan(0);
    wire.blocked = false;
    wire.onDrain();
    expect(wire.written.map(callsIn)).toEqual([[1], [2, 3]]);
    expect(link.backlogBytes).toBe(0);
  });

  it("ends when the peer takes nothing of what it is sent (L3)", async () => {
    const { wire, link, closed } = open();
    wire.blocked = true;
    const item = cancel(1, "x".repeat(1024 * 1024));
    link.send(item);
    await settle();
    let accepted = 0;
    while (link.send(item)) accepted += 1;
    expect(accepted).toBeLessThan(LINK_BACKLOG_BYTES_MAX / (1024 * 1024) + 2);
    expect(closed).toMatchObject([{ kind: "unavailable", reason: "LINK_BACKLOG" }]);
    expect(wire.ends).toHaveLength(1);
    expect(link.backlogBytes).toBeLessThan(2 * 1024 * 1024);
  });

  it("ends exactly once, and takes and gives nothing afterwards (L2)", async () => {
    const { wire, link, received, closed } = open();
    link.send(cancel(1));
    link.close();
    link.close();
    expect(wire.written.map(callsIn)).toEqual([[1]]); // what was queued left first
    wire.onEnd(undefined);
    wire.onMessage(Buffer.from(WorkRequest.encode({ items: [cancel(2)] }).finish()));
    wire.onDrain();
    await settle();
    expect(closed).toEqual([undefined]);
    expect(received).toEqual([]);
    expect(link.send(cancel(3))).toBe(false);
    expect(wire.ends).toHaveLength(1);
  });

  it("hands over nothing of a frame after its owner closed it", () => {
    const { wire, link, received } = open();
    link.onItem = (item) => {
      received.push(callOf(item));
      link.close();
    };
    wire.onMessage(Buffer.from(WorkRequest.encode({ items: [cancel(1), cancel(2)] }).finish()));
    expect(received).toEqual([1]);
  });

  it("ends with what is wrong when the peer sends no message of the rpc", () => {
    const { wire, closed } = open();
    wire.onMessage(Buffer.from([0x0a, 0x05, 0xff, 0xff, 0xff, 0xff, 0xff]));
    expect(closed).toMatchObject([{ kind: "invalidArgument", reason: "MALFORMED_MESSAGE" }]);
    expect(wire.ends).toMatchObject([{ kind: "invalidArgument" }]);
  });

  it("ends when its owner fails over an item, rather than lose it silently", () => {
    const { wire, link, closed } = open();
    link.onItem = () => {
      throw new Error("a bug");
    };
    wire.onMessage(Buffer.from(WorkRequest.encode({ items: [cancel(1), cancel(2)] }).finish()));
    expect(closed).toMatchObject([{ kind: "internal", reason: "LINK_ITEM" }]);
    expect(wire.ends).toHaveLength(1);
  });

  it("goes on sending after the peer has finished, when its owner wants that", async () => {
    const { wire, link, closed } = open();
    let told = 0;
    link.onFinished = () => (told += 1);
    expect(wire.onFinished()).toBe(true);
    link.send(cancel(1));
    await settle();
    expect([told, wire.written.length, closed.length]).toEqual([1, 1, 0]);
    link.onFinished = undefined;
    expect(wire.onFinished()).toBe(false);
  });

  it("hands everything over before it finishes, although the transport is full", async () => {
    const { wire, link } = open();
    wire.blocked = true;
    link.send(cancel(1));
    await settle();
    link.send(cancel(2));
    link.finish();
    expect(wire.written.map(callsIn)).toEqual([[1], [2]]);
    expect(wire.finished).toBe(1);
    expect(link.open).toBe(true);
  });
});
