import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";

import { FRAME_BYTES_MAX, FrameParser } from "./frame.js";
import { SocketLink } from "./socket-link.js";

/** A link over a real socket, and the raw other end of it. */
async function pair(): Promise<{ link: SocketLink; peer: Socket; writes: () => number }> {
  const directory = mkdtempSync(join(tmpdir(), "weft-link-"));
  const server = createServer();
  const came = new Promise<Socket>((resolve) => server.once("connection", resolve));
  await new Promise<void>((resolve) => server.listen(join(directory, "s"), resolve));
  const near = connect(join(directory, "s"));
  await once(near, "connect");
  const peer = await came;
  closing.push(() => {
    near.destroy();
    peer.destroy();
    server.close();
    rmSync(directory, { recursive: true });
  });
  let writes = 0;
  const write = near.write.bind(near);
  near.write = (bytes: Uint8Array): boolean => {
    writes += 1;
    return write(bytes);
  };
  return { link: new SocketLink(near), peer, writes: () => writes };
}

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** Resolves with the first `count` messages that come. */
function messages(peer: Socket, count: number): Promise<Buffer[]> {
  return new Promise((resolve) => {
    const heard: Buffer[] = [];
    const parser = new FrameParser((frame) => {
      heard.push(Buffer.from(frame));
      if (heard.length === count) resolve(heard);
    });
    peer.on("data", (chunk: Buffer) => {
      parser.push(chunk);
    });
  });
}

describe("a link over a socket", () => {
  it("writes what is sent in one turn together, and a message alone without waiting for another", async () => {
    const { link, peer, writes } = await pair();
    const three = messages(peer, 3);
    for (const text of ["one", "two", "three"]) link.send(Buffer.from(text));
    expect((await three).map(String)).toEqual(["one", "two", "three"]);
    expect(writes()).toBe(1);
    const alone = messages(peer, 1);
    link.send(Buffer.from("four"));
    await new Promise((resolve) => {
      process.nextTick(resolve);
    });
    expect(writes()).toBe(2);
    expect((await alone).map(String)).toEqual(["four"]);
  });

  it("copies a message: its sender may write over it", async () => {
    const { link, peer } = await pair();
    const heard = messages(peer, 1_000);
    const message = Buffer.alloc(4);
    for (let n = 0; n < 1_000; n += 1) {
      message.writeUInt32BE(n);
      link.send(message);
    }
    message.fill(0xff);
    expect((await heard).map((bytes) => bytes.readUInt32BE())).toEqual(Array.from({ length: 1_000 }, (_, n) => n));
  });

  it.each<[what: string, sizeOf: (n: number) => number]>([
    ["small and large", (n) => (n % 40 === 3 ? 300_000 : n % 7 === 0 ? 5_000 : n)],
    ["that the socket takes in part", () => 50_000],
  ])("keeps messages %s as they are for a peer that does not read for a while", async (_, sizeOf) => {
    const { link, peer } = await pair();
    peer.pause();
    const sizes = Array.from({ length: 400 }, (_, n) => sizeOf(n));
    for (const [n, size] of sizes.entries()) {
      link.send(Buffer.alloc(size, n % 251));
      if (n % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const all = messages(peer, sizes.length);
    peer.resume();
    const heard = await all;
    expect(heard.map((bytes) => bytes.length)).toEqual(sizes);
    for (const [n, bytes] of heard.entries()) expect(bytes.every((byte) => byte === n % 251)).toBe(true);
  });

  it("sends what it was given before it is closed", async () => {
    const { link, peer } = await pair();
    const heard = messages(peer, 1);
    link.send(Buffer.from("last words"));
    link.close();
    expect(link.send(Buffer.from("too late"))).toBe(false);
    expect((await heard).map(String)).toEqual(["last words"]);
    await link.closed;
  });

  it("ends when a peer says a frame that is too large, and says why", async () => {
    const { link, peer } = await pair();
    const head = Buffer.alloc(8);
    head.writeUInt32BE(FRAME_BYTES_MAX + 1);
    peer.write(head);
    await link.closed;
    expect(link.failure).toContain("exceeds");
  });

  it.each([1, 3, 5, 70_000])("hears messages whole, in whatever pieces of %d bytes they come", async (piece) => {
    const { link, peer } = await pair();
    const sizes = [0, 1, 2, 300, 0, piece > 5 ? 100_000 : 1_000, 7];
    const bytes = Buffer.concat(
      sizes.map((size, n) => {
        const frame = Buffer.alloc(4 + size, n + 1);
        frame.writeUInt32BE(size);
        return frame;
      }),
    );
    const heard: Buffer[] = [];
    const all = new Promise<void>((resolve) => {
      link.onMessage = (message) => {
        heard.push(Buffer.from(message));
        if (heard.length === sizes.length) resolve();
      };
    });
    for (let at = 0; at < bytes.length; at += piece) {
      peer.write(bytes.subarray(at, at + piece));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await all;
    expect(heard.map((message) => message.length)).toEqual(sizes);
    for (const [n, message] of heard.entries()) expect(message.every((byte) => byte === n + 1)).toBe(true);
  });
});
