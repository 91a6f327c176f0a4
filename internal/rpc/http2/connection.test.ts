// A connection whose streams are served by two: what node:http2 as a client sees, and what a client sees that says odd
// things. The inner server is node:http2, as under grpc-js.

import { connect as connectHttp2, createServer as createHttp2, constants, type ClientHttp2Session } from "node:http2";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { eventually } from "../../../test/harness/eventually.js";
import { seededRandom } from "../../base/random.js";
import { Http2Connection, PEER_HEADER } from "./connection.js";
import {
  CLIENT_PREFACE,
  ErrorCode,
  Flag,
  frame,
  FRAME_HEADER_BYTES,
  FrameReader,
  FrameType,
  headersFrames,
  resetStream,
  windowUpdate,
} from "./frames.js";
import { encodeHeaders, HeaderDecoder, type HeaderField } from "./hpack.js";
import type { ServedStream, StreamUser } from "./served-stream.js";

const HEADERS = encodeHeaders([{ name: ":status", value: "200" }]);
const TRAILERS = encodeHeaders([{ name: "grpc-status", value: "0" }]);
const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

/** A stream served here: collects what comes, and answers when the client has ended. */
class Served implements StreamUser {
  readonly chunks: Buffer[] = [];
  ended = false;
  lost = false;
  drains = 0;

  constructor(
    readonly stream: ServedStream,
    readonly fields: readonly HeaderField[],
    private readonly answer: (served: Served) => void,
  ) {}

  onData(bytes: Buffer): void {
    this.chunks.push(bytes);
  }

  onEnd(): void {
    this.ended = true;
    this.answer(this);
  }

  onLost(): void {
    this.lost = true;
  }

  onDrain(): void {
    this.drains += 1;
  }
}

interface World {
  readonly port: number;
  readonly served: Served[];
  readonly connections: Http2Connection[];
  readonly bugs: unknown[];
  /** What the inner server got, and answers with. */
  readonly inner: { readonly headers: Readonly<Record<string, unknown>>[]; answer: Buffer };
  answer: (served: Served) => void;
}

/** Serves what is asked below /served; the inner server gets the rest. */
async function serve(): Promise<World> {
  const echo = ({ stream, chunks }: Served): void => {
    stream.answer(HEADERS, Buffer.alloc(0), Buffer.concat(chunks), TRAILERS);
  };
  const world = {
    port: 0,
    served: [] as Served[],
    connections: [] as Http2Connection[],
    bugs: [] as unknown[],
    inner: { headers: [] as Readonly<Record<string, unknown>>[], answer: Buffer.from("inner") },
    answer: echo,
  };
  const inner = createHttp2((request, response) => {
    world.inner.headers.push(request.headers);
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    response.end(world.inner.answer);
  });
  inner.on("sessionError", () => undefined);
  const server = createServer((socket) => {
    const connection = new Http2Connection(
      socket,
      (fields) =>
        fields.some(({ name, value }) => name === ":path" && value.startsWith("/served"))
          ? (stream) => {
              const one = new Served(stream, fields, (served) => {
                world.answer(served);
              });
              world.served.push(one);
              return one;
            }
          : undefined,
      (duplex) => inner.emit("connection", duplex),
    );
    connection.onBug = (thrown) => world.bugs.push(thrown);
    world.connections.push(connection);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => {
    server.close();
    for (const connection of world.connections) connection.destroy();
  });
  return Object.assign(world, { port: (server.address() as AddressInfo).port });
}

function session(world: World, settings: Readonly<Record<string, number>> = {}): ClientHttp2Session {
  const opened = connectHttp2(`http://127.0.0.1:${world.port}`, { settings });
  opened.on("error", () => undefined);
  closers.push(() => {
    opened.destroy();
  });
  return opened;
}

function ask(
  client: ClientHttp2Session,
  path: string,
  body: Buffer = Buffer.alloc(0),
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly status: unknown; readonly body: Buffer; readonly trailers: unknown }> {
  return new Promise((resolve, reject) => {
    const stream = client.request({ ":method": "POST", ":path": path, ...headers });
    let status: unknown;
    let trailers: unknown;
    const chunks: Buffer[] = [];
    stream.on("response", (said) => (status = said[":status"]));
    stream.on("trailers", (said: Record<string, unknown>) => (trailers = said["grpc-status"]));
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", reject);
    stream.on("close", () => {
      resolve({ status, trailers, body: Buffer.concat(chunks) });
    });
    stream.end(body);
  });
}

describe("a client of both servers over one connection", () => {
  it("is answered by each, in any order, with bodies of any size", async () => {
    const world = await serve();
    world.inner.answer = Buffer.alloc(300_000, 9);
    const client = session(world);
    const sizes = [0, 1, 16_384, 16_385, 65_535, 65_536, 1_000_000];
    const asked = sizes.flatMap((size, i) => [
      ask(client, "/served", Buffer.alloc(size, i)),
      ask(client, "/inner", Buffer.alloc(1)),
    ]);
    const answers = await Promise.all(asked);
    sizes.forEach((size, i) => {
      expect(answers[2 * i]).toEqual({ status: 200, trailers: "0", body: Buffer.alloc(size, i) });
      expect(answers[2 * i + 1]).toMatchObject({ status: 200, body: world.inner.answer });
    });
  });

  it("sees its own headers arrive, whatever its tables hold by then", async () => {
    const world = await serve();
    const client = session(world);
    const chance = seededRandom(11);
    const pick = (text: string, most: number): string =>
      Array.from({ length: 1 + Math.floor(chance.next() * most) }, () => text[Math.floor(chance.next() * text.length)])
        .join("")
        .trim();
    const printable = Array.from({ length: 0x5e }, (_, i) => String.fromCharCode(0x21 + i)).join("");
    const names = Array.from({ length: 40 }, () => `x-${pick("abcdefghijklmnopqrstuvwxyz0123456789-_.", 20)}`);
    const latin = Array.from({ length: 0x60 }, (_, i) => String.fromCharCode(0xa0 + i)).join("");
    for (let i = 0; i < 300; i++) {
      const headers: Record<string, string> = {};
      for (let n = Math.floor(chance.next() * 30); n > 0; n--) {
        headers[names[Math.floor(chance.next() * names.length)] ?? ""] = `v${pick(i % 2 ? printable : latin, 100)}`;
      }
      const path = i % 5 === 0 ? "/inner" : "/served";
      await ask(client, path, undefined, headers);
      const got: Record<string, unknown> =
        path === "/inner"
          ? (world.inner.headers.at(-1) ?? {})
          : Object.fromEntries(world.served.at(-1)?.fields.map(({ name, value }) => [name, value]) ?? []);
      expect(Object.fromEntries(Object.keys(headers).map((name) => [name, got[name]]))).toEqual(headers);
    }
  });

  it("is known to the inner server by its address, whatever it says of itself", async () => {
    const world = await serve();
    await ask(session(world), "/inner", undefined, { [PEER_HEADER]: "1.2.3.4:5" });
    expect(world.inner.headers[0]?.[PEER_HEADER]).toMatch(/^127\.0\.0\.1:\d+$/);
  });

  it.each([0, 64, 4096])("may have a table of %d bytes for what it is sent", async (headerTableSize) => {
    const world = await serve();
    const client = session(world, { headerTableSize });
    for (const path of ["/served", "/inner", "/served", "/inner"]) {
      expect(await ask(client, path)).toMatchObject({ status: 200 });
    }
  });

  it("gets headers that need more than one frame, first and later", async () => {
    const world = await serve();
    const long = encodeHeaders([
      { name: ":status", value: "200" },
      ...Array.from({ length: 90 }, (_, i) => ({ name: `x-${i}`, value: "y".repeat(300) })),
    ]);
    world.answer = ({ stream }) => {
      stream.answer(long, Buffer.alloc(0), Buffer.from("body"), TRAILERS);
    };
    const client = session(world);
    for (let i = 0; i < 3; i++) {
      expect(await ask(client, "/served")).toEqual({ status: 200, trailers: "0", body: Buffer.from("body") });
    }
  });

  it("with windows of a byte gets everything all the same", async () => {
    const world = await serve();
    world.inner.answer = Buffer.alloc(200, 3);
    const client = session(world, { initialWindowSize: 1 });
    const [mine, inner] = await Promise.all([
      ask(client, "/served", Buffer.alloc(200, 4)),
      ask(client, "/inner", Buffer.alloc(10)),
    ]);
    expect(mine.body).toEqual(Buffer.alloc(200, 4));
    expect(inner.body).toEqual(world.inner.answer);
  });

  it("is asked to go by the inner server: what runs is finished, what comes later is refused unseen", async () => {
    const world = await serve();
    let answer = (): void => {};
    world.answer = (served) => {
      answer = () => {
        served.stream.answer(HEADERS, Buffer.alloc(0), Buffer.from("late"), TRAILERS);
      };
    };
    const raw = await rawClient(world);
    raw.request(1, "/served");
    await eventually(() => world.served.length === 1);
    // What a server does that shuts down: it ends its side of the pipe after a GOAWAY.
    world.connections[0]?.innerOver();
    raw.request(3, "/served");
    await eventually(() => raw.frames.some(({ type, stream }) => type === FrameType.RST_STREAM && stream === 3));
    answer();
    await eventually(() => raw.ended);
    expect(raw.dataOf(1).toString()).toBe("late");
    expect(world.served).toHaveLength(1);
  });

  it("is told the highest stream of either server when the inner one says GOAWAY", async () => {
    const world = await serve();
    const raw = await rawClient(world);
    raw.request(1, "/served");
    raw.request(3, "/served");
    await eventually(() => world.served.length === 2);
    world.connections[0]?.fromInner(goAwayOf(0));
    const sent = await eventually(() => raw.frames.find(({ type }) => type === FrameType.GOAWAY) ?? false);
    expect(sent.whole.readUInt32BE(FRAME_HEADER_BYTES)).toBe(3);
  });
});

describe("windows", () => {
  it("of the connection are shared: neither server sends more than the client allows, and all arrives in the end", async () => {
    const world = await serve();
    world.inner.answer = Buffer.alloc(100_000, 1);
    const raw = await rawClient(world, { window: 1_000_000 });
    for (let i = 0; i < 6; i++) {
      raw.request(1 + 2 * i, i % 2 === 0 ? "/served" : "/inner", Buffer.alloc(i % 2 === 0 ? 20_000 : 0, 2));
    }
    const total = (): number => raw.dataBytes;
    await eventually(() => total() === 65_535);
    await new Promise((resolve) => setImmediate(resolve));
    expect(total()).toBe(65_535);
    for (let granted = 65_535; granted < 3 * 120_000; granted += 7_777) {
      raw.send(windowUpdate(0, 7_777));
      await eventually(() => total() === Math.min(granted + 7_777, 3 * 120_000));
    }
    await eventually(() => total() === 3 * 120_000);
  });

  it("that grow later, or shrink below nothing, are kept to", async () => {
    const world = await serve();
    const raw = await rawClient(world, { window: 10 });
    raw.request(1, "/served", Buffer.alloc(100, 5));
    await eventually(() => raw.dataBytes === 10);
    raw.send(settings({ 4: 4 })); // six bytes more than it may were sent
    raw.send(windowUpdate(1, 6));
    raw.send(frame(FrameType.PING, 0, 0, Buffer.alloc(8)));
    await eventually(() => raw.frames.some(({ type, flags }) => type === FrameType.PING && flags === Flag.ACK));
    expect(raw.dataBytes).toBe(10);
    raw.send(windowUpdate(1, 90));
    await eventually(() => raw.dataBytes === 100);
  });

  it("tell who writes to wait, and when to go on", async () => {
    const world = await serve();
    const accepted: boolean[] = [];
    world.answer = ({ stream }) => {
      stream.sendHeaders(HEADERS);
      accepted.push(stream.send(Buffer.alloc(20, 1)));
      accepted.push(stream.send(Buffer.alloc(20, 2)));
      stream.end(TRAILERS);
    };
    const raw = await rawClient(world, { window: 10 });
    raw.request(1, "/served");
    await eventually(() => raw.dataBytes === 10);
    expect(accepted).toEqual([false, false]);
    raw.send(windowUpdate(1, 1_000));
    await eventually(() => raw.frames.some(({ flags, stream }) => stream === 1 && (flags & Flag.END_STREAM) !== 0));
    expect(raw.dataOf(1)).toEqual(Buffer.concat([Buffer.alloc(20, 1), Buffer.alloc(20, 2)]));
  });

  it("of a client that sends are granted anew as it is read", async () => {
    const world = await serve();
    expect((await ask(session(world), "/served", Buffer.alloc(5_000_000, 6))).body).toHaveLength(5_000_000);
  });
});

describe("a client that gives up", () => {
  it("a stream: who serves it is told once, and nothing more is sent", async () => {
    const world = await serve();
    world.answer = () => undefined;
    const raw = await rawClient(world);
    raw.request(1, "/served");
    await eventually(() => world.served[0]?.ended === true);
    raw.send(resetStream(1, ErrorCode.CANCEL));
    await eventually(() => world.served[0]?.lost === true);
    world.served[0]?.stream.answer(HEADERS, Buffer.alloc(0), Buffer.from("late"), TRAILERS);
    raw.send(resetStream(1, ErrorCode.CANCEL));
    raw.request(3, "/inner");
    await eventually(() => raw.dataOf(3).length > 0);
    expect(raw.dataOf(1)).toHaveLength(0);
  });

  it("the connection: who serves its streams is told, and the inner server's end goes too", async () => {
    const world = await serve();
    world.answer = () => undefined;
    const raw = await rawClient(world);
    let closed = false;
    if (world.connections[0]) world.connections[0].onClosed = () => (closed = true);
    raw.request(1, "/served");
    await eventually(() => world.served.length === 1);
    raw.socket.destroy();
    await eventually(() => closed);
    expect(world.served[0]?.lost).toBe(true);
  });

  it("a stream that was answered before it had sent all: the rest is read and dropped", async () => {
    const world = await serve();
    const raw = await rawClient(world);
    raw.send(...headersFrames(1, requestBlock("/served"), false));
    await eventually(() => world.served.length === 1);
    world.served[0]?.stream.answer(HEADERS, Buffer.alloc(0), Buffer.from("early"), TRAILERS);
    for (let i = 0; i < 20; i++) raw.send(frame(FrameType.DATA, 0, 1, Buffer.alloc(10_000)));
    raw.send(frame(FrameType.DATA, Flag.END_STREAM, 1, Buffer.alloc(0)));
    raw.request(3, "/served", Buffer.from("next"));
    await eventually(() => raw.dataOf(3).toString() === "next");
    expect(world.served[0]?.chunks).toEqual([]);
    expect(raw.frames.some(({ type, stream }) => type === FrameType.WINDOW_UPDATE && stream === 0)).toBe(true);
  });
});

describe("a client that breaks the protocol is told so and cut off, and nothing else breaks", () => {
  const open = [...headersFrames(1, requestBlock("/served"), false)];
  it.each<readonly [string, readonly Buffer[], number]>([
    ["data of no stream", [frame(FrameType.DATA, 0, 1, Buffer.alloc(1))], ErrorCode.PROTOCOL_ERROR],
    ["data of the connection", [frame(FrameType.DATA, 0, 0, Buffer.alloc(1))], ErrorCode.PROTOCOL_ERROR],
    ["headers on an even stream", headersFrames(2, requestBlock("/served"), true), ErrorCode.PROTOCOL_ERROR],
    ["headers twice", [...open, ...headersFrames(1, requestBlock("/"), false)], ErrorCode.PROTOCOL_ERROR],
    ["a continuation of nothing", [frame(FrameType.CONTINUATION, 4, 1, Buffer.alloc(0))], ErrorCode.PROTOCOL_ERROR],
    [
      "another frame within a header block",
      [frame(FrameType.HEADERS, 0, 1, Buffer.alloc(0)), windowUpdate(0, 1)],
      ErrorCode.PROTOCOL_ERROR,
    ],
    [
      "a header block without an end",
      [
        frame(FrameType.HEADERS, 0, 1, Buffer.alloc(0)),
        ...Array.from({ length: 100 }, () => frame(FrameType.CONTINUATION, 0, 1, Buffer.alloc(0))),
      ],
      ErrorCode.ENHANCE_YOUR_CALM,
    ],
    ["a broken header block", [frame(FrameType.HEADERS, 5, 1, Buffer.of(0xff))], ErrorCode.COMPRESSION_ERROR],
    ["a frame that is too large", [frame(FrameType.DATA, 0, 1, Buffer.alloc(16_385))], ErrorCode.FRAME_SIZE_ERROR],
    ["more padding than data", [...open, frame(FrameType.DATA, 8, 1, Buffer.of(9, 1))], ErrorCode.PROTOCOL_ERROR],
    ["a window that grows by nothing", [windowUpdate(0, 0)], ErrorCode.PROTOCOL_ERROR],
    ["a window without bound", [windowUpdate(0, 0x7fff_ffff)], ErrorCode.FLOW_CONTROL_ERROR],
    ["a window of no stream", [windowUpdate(5, 1)], ErrorCode.PROTOCOL_ERROR],
    ["a reset of no stream", [resetStream(5, 0)], ErrorCode.PROTOCOL_ERROR],
    ["a reset of three bytes", [frame(FrameType.RST_STREAM, 0, 1, Buffer.alloc(3))], ErrorCode.FRAME_SIZE_ERROR],
    ["settings of five bytes", [frame(FrameType.SETTINGS, 0, 0, Buffer.alloc(5))], ErrorCode.FRAME_SIZE_ERROR],
  ])("%s", async (_what, frames, code) => {
    const world = await serve();
    const raw = await rawClient(world);
    raw.send(...frames);
    const said = await eventually(() => raw.frames.find(({ type }) => type === FrameType.GOAWAY) ?? false);
    expect(said.whole.readUInt32BE(FRAME_HEADER_BYTES + 4)).toBe(code);
    await eventually(() => raw.ended);
    for (const served of world.served) expect(served.lost).toBe(true);
    expect(world.bugs).toEqual([]);
    expect(await ask(session(world), "/served", Buffer.from("others"))).toMatchObject({ body: Buffer.from("others") });
  });

  it("on one stream only that one ends", async () => {
    const world = await serve();
    world.answer = () => undefined;
    const raw = await rawClient(world);
    raw.request(1, "/served");
    raw.send(frame(FrameType.DATA, 0, 1, Buffer.alloc(1)));
    raw.request(3, "/served");
    raw.send(windowUpdate(3, 0));
    const resets = await eventually(() => {
      const seen = raw.frames.filter(({ type }) => type === FrameType.RST_STREAM);
      return seen.length === 2 ? seen : false;
    });
    expect(resets.map(({ stream, whole }) => [stream, whole.readUInt32BE(FRAME_HEADER_BYTES)])).toEqual([
      [1, ErrorCode.STREAM_CLOSED],
      [3, ErrorCode.PROTOCOL_ERROR],
    ]);
    expect(world.served.map(({ lost }) => lost)).toEqual([true, true]);
  });

  it("and one that speaks no HTTP/2 is cut off, and hears of settings at most", async () => {
    const world = await serve();
    const socket = connect(world.port, "127.0.0.1");
    closers.push(() => socket.destroy());
    let said = "";
    let ended = false;
    socket.on("data", (chunk: Buffer) => (said += chunk.toString("latin1")));
    socket.on("close", () => (ended = true));
    socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    await eventually(() => ended);
    expect(said).not.toContain("HTTP");
  });

  it("also at random: whatever comes after the preface, nothing goes wrong here", async () => {
    const chance = seededRandom(23);
    const world = await serve();
    const bytes = (most: number): Buffer =>
      Buffer.from(Array.from({ length: Math.floor(chance.next() * most) }, () => chance.next() * 256));
    for (let i = 0; i < 150; i++) {
      const raw = await rawClient(world);
      for (let n = 0; n < 12; n++) {
        const id = Math.floor(chance.next() * 6);
        const type = Math.floor(chance.next() * 11);
        const flags = Math.floor(chance.next() * 256);
        if (chance.next() < 0.3) raw.request(1 + 2 * n, chance.next() < 0.5 ? "/served" : "/inner", bytes(50));
        else raw.send(frame(type, flags, id, bytes(20)));
      }
      raw.socket.end();
    }
    expect(await ask(session(world), "/served", Buffer.from("well"))).toMatchObject({ body: Buffer.from("well") });
    expect(world.bugs).toEqual([]);
  }, 30_000);
});

// ---- a client that says what it is told to ----

interface Seen {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly whole: Buffer;
}

class RawClient {
  readonly frames: Seen[] = [];
  readonly decoder = new HeaderDecoder();
  ended = false;
  dataBytes = 0;

  constructor(readonly socket: Socket) {
    const reader = new FrameReader(0xff_ffff);
    socket.on("data", (chunk: Buffer) => {
      reader.read(chunk, (seen) => {
        if (seen.type === FrameType.DATA) this.dataBytes += seen.whole.length - FRAME_HEADER_BYTES;
        this.frames.push({ ...seen, whole: Buffer.from(seen.whole) });
      });
    });
    socket.on("error", () => undefined);
    socket.on("close", () => (this.ended = true));
  }

  send(...frames: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(frames));
  }

  request(id: number, path: string, body: Buffer = Buffer.alloc(0)): void {
    this.send(...headersFrames(id, requestBlock(path), body.length === 0));
    for (let at = 0; at < body.length; at += 10_000) {
      const part = body.subarray(at, at + 10_000);
      this.send(frame(FrameType.DATA, at + part.length === body.length ? Flag.END_STREAM : 0, id, part));
    }
  }

  dataOf(id: number): Buffer {
    const mine = this.frames.filter(({ type, stream }) => type === FrameType.DATA && stream === id);
    return Buffer.concat(mine.map(({ whole }) => whole.subarray(FRAME_HEADER_BYTES)));
  }
}

async function rawClient(world: World, { window = 65_535 } = {}): Promise<RawClient> {
  const socket = connect(world.port, "127.0.0.1");
  closers.push(() => socket.destroy());
  await new Promise((resolve) => socket.once("connect", resolve));
  const raw = new RawClient(socket);
  raw.send(CLIENT_PREFACE, settings({ 4: window }));
  await eventually(() => raw.frames.some(({ type, flags }) => type === FrameType.SETTINGS && flags === Flag.ACK));
  return raw;
}

function requestBlock(path: string): Buffer {
  return encodeHeaders([
    { name: ":method", value: "POST" },
    { name: ":scheme", value: "http" },
    { name: ":authority", value: "test" },
    { name: ":path", value: path },
  ]);
}

function settings(values: Readonly<Record<number, number>>): Buffer {
  const pairs = Object.entries(values).map(([id, value]) => {
    const pair = Buffer.alloc(6);
    pair.writeUInt16BE(Number(id));
    pair.writeUInt32BE(value, 2);
    return pair;
  });
  return frame(FrameType.SETTINGS, 0, 0, Buffer.concat(pairs));
}

function goAwayOf(lastStream: number): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(lastStream);
  payload.writeUInt32BE(constants.NGHTTP2_NO_ERROR, 4);
  return frame(FrameType.GOAWAY, 0, 0, payload);
}
