import { describe, expect, it } from "vitest";

import { RawStreamParser } from "./raw-stream.js";

function piece(stream: 1 | 2, text: string): Buffer {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([header, Buffer.from(text)]);
}

describe("Docker's stream of two streams", () => {
  it.each([1, 2, 7, 8, 9, 1_000])("is taken apart, whatever its chunks (%i bytes each)", (size) => {
    const bytes = Buffer.concat([piece(1, "out"), piece(2, "err, long enough to be cut"), piece(1, ""), piece(1, "!")]);
    const seen = { stdout: "", stderr: "" };
    const parser = new RawStreamParser(({ stream, bytes: part }) => {
      seen[stream] += Buffer.from(part).toString();
    });
    for (let at = 0; at < bytes.length; at += size) parser.push(bytes.subarray(at, at + size));
    expect(seen).toEqual({ stdout: "out!", stderr: "err, long enough to be cut" });
  });
});
