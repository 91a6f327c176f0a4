// Links: long-lived bidi streams of items. Items are coalesced into frames; a frame is a message with one repeated
// field, number 1, so that a frame is the concatenation of its items and is built without an intermediate object.
//
//   L1. Items keep their order, each way.
//   L2. onClosed is called exactly once, however the stream ends; no item comes after it.
//   L3. What waits for the transport is bounded: above LINK_BACKLOG_BYTES_MAX the link ends.

import type { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { WeftError } from "../base/errors.js";
import { TurnFlush } from "../base/turn-flush.js";
import { FastReader } from "./fast-reader.js";
import { FastWriter } from "./fast-writer.js";

/** Encodes and decodes one kind of item; ts-proto's message functions fit. */
export interface ItemCodec<T> {
  encode(item: T, writer: BinaryWriter): unknown;
  decode(reader: BinaryReader, length: number): T;
}

export interface LinkMethod<Up, Down> {
  /** "/package.Service/Method" */
  readonly path: string;
  /** Items from the one who dialled. */
  readonly up: ItemCodec<Up>;
  /** Items from the one who serves. */
  readonly down: ItemCodec<Down>;
  /** True when items travel as frames (field 1, repeated); false when each item is a gRPC message of its own. */
  readonly framed: boolean;
}

export interface Link<In, Out> {
  /** Set it before any item can arrive: synchronously after dialling or in the accept callback. */
  onItem: (item: In) => void;
  /** Called once at the end, with the reason unless this side closed it. */
  onClosed: (why: WeftError | undefined) => void;
  /**
   * Called when the peer says that nothing more comes from it. Set it to go on sending until this side closes the link;
   * without it the link ends there.
   */
  onFinished: (() => void) | undefined;
  /** Queues an item. @returns false when the link is over: the item is dropped. */
  send(item: Out): boolean;
  /** Bytes that the transport has not accepted yet. */
  readonly backlogBytes: number;
  readonly open: boolean;
  /** Sends what is queued and says that nothing more comes. Items still arrive until the peer ends the link. */
  finish(): void;
  /**
   * Sends what is queued and ends the stream. May be repeated.
   * @param why what a serving side tells the peer as the status of the call; a dialling side just goes
   */
  close(why?: WeftError): void;
}

/** Items in one frame; more only delays the first of them at the other end. */
const FRAME_ITEMS_MAX = 256;
/** Bytes in one frame unless a single item is larger: several frames fit into the default socket buffer. */
const FRAME_BYTES_MAX = 256 * 1024;
/** What may wait for a slow peer. Credits keep real traffic far below; beyond it the peer is as good as gone. */
export const LINK_BACKLOG_BYTES_MAX = 64 * 1024 * 1024;
/** Largest message on any hop: 48 MiB of code as base64 in a JSON body (64 MiB) and its envelope. */
export const MESSAGE_BYTES_MAX = 72 * 1024 * 1024;

/** What a transport offers: whole messages in order, and a say in how fast. */
export interface MessageStream {
  /** @returns false when nothing more should be written until onDrain */
  write(message: Buffer): boolean;
  /** Ends this side's half only. */
  finish(): void;
  /** Ends both. */
  end(why?: WeftError): void;
  /** The peer ended its half. @returns true when this side goes on; otherwise the stream ends */
  onFinished: () => boolean;
  onMessage: (message: Buffer) => void;
  onDrain: () => void;
  onEnd: (why: WeftError | undefined) => void;
}

const ITEMS_TAG = 0x0a; // field 1, length-delimited

/** The link at one end of a message stream. */
export class StreamLink<In, Out> implements Link<In, Out> {
  onItem: (item: In) => void = () => {};
  onClosed: (why: WeftError | undefined) => void = () => {};
  onFinished: (() => void) | undefined;

  /** For whoever keeps a list of links; onClosed belongs to the link's user, who may set it at any time. */
  afterClosed: () => void = () => {};

  readonly #writer = new FastWriter();
  readonly #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #itemsInFrame = 0;
  #blocked = false;
  readonly #turn = new TurnFlush(() => this.#flush());
  #open = true;

  constructor(
    private readonly stream: MessageStream,
    private readonly inCodec: ItemCodec<In>,
    private readonly outCodec: ItemCodec<Out>,
    private readonly framed: boolean,
  ) {
    stream.onMessage = (message) => this.#receive(message);
    stream.onDrain = () => this.#drained();
    stream.onEnd = (why) => this.#ended(why);
    stream.onFinished = () => {
      if (!this.#open || !this.onFinished) return false;
      this.onFinished();
      return true;
    };
  }

  get open(): boolean {
    return this.#open;
  }

  get backlogBytes(): number {
    return this.#waitingBytes + this.#writer.length;
  }

  send(item: Out): boolean {
    if (!this.#open) return false;
    const writer = this.#writer;
    if (this.framed) {
      writer.uint32(ITEMS_TAG).fork();
      this.outCodec.encode(item, writer.asBinaryWriter);
      writer.join();
      this.#itemsInFrame += 1;
      if (this.#itemsInFrame >= FRAME_ITEMS_MAX || writer.length >= FRAME_BYTES_MAX) this.#cut();
    } else {
      this.outCodec.encode(item, writer.asBinaryWriter);
      this.#cut();
    }
    if (this.backlogBytes > LINK_BACKLOG_BYTES_MAX) {
      this.#fail(new WeftError("unavailable", "LINK_BACKLOG", "the peer does not take what it is sent"));
      return false;
    }
    if (!this.#blocked) this.#turn.schedule();
    return true;
  }

  finish(): void {
    if (!this.#open) return;
    this.#flushAll();
    this.stream.finish();
  }

  close(why?: WeftError): void {
    if (!this.#open) return;
    this.#flushAll();
    this.#ended(undefined);
    this.stream.end(why);
  }

  /** Moves the frame being built to those that wait for the transport. */
  #cut(): void {
    const frame = this.#writer.take();
    this.#waiting.push(frame);
    this.#waitingBytes += frame.length;
    this.#itemsInFrame = 0;
  }

  #flush(): void {
    if (!this.#open || this.#blocked) return;
    if (this.#writer.length > 0) this.#cut();
    while (this.#waiting.length > 0) {
      const frame = this.#waiting.shift();
      if (frame === undefined) break;
      this.#waitingBytes -= frame.length;
      if (!this.stream.write(frame)) {
        this.#blocked = true;
        return;
      }
    }
  }

  /** Hands everything to the transport, which keeps what it cannot send yet: nothing follows it. */
  #flushAll(): void {
    if (this.#writer.length > 0) this.#cut();
    for (const frame of this.#waiting.splice(0)) this.stream.write(frame);
    this.#waitingBytes = 0;
  }

  #drained(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#flush();
  }

  #receive(message: Buffer): void {
    if (!this.#open) return;
    try {
      const reader = new FastReader(message);
      if (!this.framed) {
        this.#handle(this.inCodec.decode(reader, message.length));
        return;
      }
      while (reader.pos < reader.len && this.open) {
        const tag = reader.uint32();
        if (tag === ITEMS_TAG) {
          const length = reader.uint32();
          this.#handle(this.inCodec.decode(reader, length));
        } else {
          reader.skip(tag & 7); // a field of a newer peer
        }
      }
    } catch (thrown) {
      this.#fail(
        new WeftError("invalidArgument", "MALFORMED_MESSAGE", "the message is none of this rpc", { cause: thrown }),
      );
    }
  }

  #handle(item: In): void {
    try {
      this.onItem(item);
    } catch (thrown) {
      // Its owner failed: going on would lose items silently.
      this.#fail(new WeftError("internal", "LINK_ITEM", "an item could not be handled", { cause: thrown }));
    }
  }

  #fail(error: WeftError): void {
    this.#ended(error);
    this.stream.end(error);
  }

  #ended(why: WeftError | undefined): void {
    if (!this.#open) return;
    this.#open = false;
    this.#waiting.length = 0;
    this.#waitingBytes = 0;
    this.onClosed(why); // L2
    this.afterClosed();
  }
}
