import { describe, expect, it } from "vitest";
import { seededRandom } from "../../base/random.js";
import { CompressionError, encodeHeaders, HEADER_LIST_BYTES_MAX, HeaderDecoder } from "./hpack.js";
import { huffmanDecode } from "./huffman.js";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const pairs = (decoder: HeaderDecoder, block: Buffer): string[] =>
  decoder.decode(block).map(({ name, value }) => `${name}: ${value}`);

describe("HeaderDecoder", () => {
  it("reads the requests of RFC 7541 C.3 and C.4, without and with the string code", () => {
    const first = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
    const third = [":method: GET", ":scheme: https", ":path: /index.html", ":authority: www.example.com"];
    for (const blocks of [
      [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
      ],
      [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
      ],
    ]) {
      const decoder = new HeaderDecoder();
      expect(blocks.map((block) => pairs(decoder, hex(block)))).toEqual([
        first,
        [...first, "cache-control: no-cache"],
        [...third, "custom-key: custom-value"],
      ]);
    }
  });

  it("evicts as RFC 7541 C.6 does, with a table of 256 bytes", () => {
    const decoder = new HeaderDecoder();
    decoder.decode(hex("3fe101")); // the table's size is 256
    expect(
      pairs(
        decoder,
        hex(
          "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        ),
      ),
    ).toEqual([
      ":status: 302",
      "cache-control: private",
      "date: Mon, 21 Oct 2013 20:13:21 GMT",
      "location: https://www.example.com",
    ]);
    expect(pairs(decoder, hex("4883 640e ffc1 c0bf"))[0]).toBe(":status: 307");
  });

  it("reads back what is written here", () => {
    const fields = [
      { name: ":status", value: "200" },
      { name: "content-type", value: "application/grpc" },
      { name: "x-long", value: "é".repeat(300) },
      { name: "x-empty", value: "" },
    ];
    const decoder = new HeaderDecoder();
    for (let i = 0; i < 2; i++) expect(decoder.decode(encodeHeaders(fields))).toMatchObject(fields);
    expect(() => decoder.decode(hex("be"))).toThrow(CompressionError); // nothing was left in the table
  });

  it("says of a field whether HTTP/2 allows it to look so", () => {
    const malformed = (name: string, value: string): boolean | undefined =>
      new HeaderDecoder().decode(encodeHeaders([{ name, value }]))[0]?.malformed;
    expect(malformed("x-name", "value")).toBe(false);
    for (const name of ["X-Name", "x name", "x\0", "", ":", "a:b"]) expect(malformed(name, "v")).toBe(true);
    for (const value of ["a\rb", "a\nb", "a\0b"]) expect(malformed("x", value)).toBe(true);
  });

  it.each([
    ["a number without an end", "ff"],
    ["a number that is too large", "ffffffffff7f"],
    ["the entry 0", "80"],
    ["an entry that is not there", "be"],
    ["a field that ends after its name", "400161"],
    ["a string that is longer than the block", "40056162"],
    ["a table size after a field", "8220"],
    ["a table size above what was agreed", "3fe21f"],
    ["a string that ends in the middle of a code", "4001 61 81 00"],
    ["padding of a whole octet", "4001 61 82 1fff"],
    ["the code of the end of the string", "4001 61 84 ffffffff"],
  ])("refuses %s", (_what, block) => {
    expect(() => new HeaderDecoder().decode(hex(block))).toThrow(CompressionError);
  });

  it("stops before a small block becomes a large list", () => {
    const decoder = new HeaderDecoder();
    decoder.decode(encodeInTable("x", "y".repeat(4_000)));
    const references = Math.ceil(HEADER_LIST_BYTES_MAX / 4_000) + 1;
    expect(() => decoder.decode(Buffer.alloc(references, 0xbe))).toThrow("too large");
  });

  it("is never upset otherwise, whatever it reads", () => {
    const chance = seededRandom(7);
    for (let i = 0; i < 20_000; i++) {
      const decoder = new HeaderDecoder();
      try {
        decoder.decode(Buffer.from(Array.from({ length: Math.floor(chance.next() * 40) }, () => chance.next() * 256)));
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(CompressionError);
      }
    }
  });
});

describe("huffmanDecode", () => {
  it("reads an empty string, and one within other bytes", () => {
    expect(huffmanDecode(Buffer.alloc(0), 0, 0)).toBe("");
    expect(huffmanDecode(hex("00 f1e3c2e5f23a6ba0ab90f4ff 00"), 1, 13)).toBe("www.example.com");
  });
});

function encodeInTable(name: string, value: string): Buffer {
  const length = Buffer.of(0x7f, ((value.length - 127) & 0x7f) | 0x80, (value.length - 127) >> 7);
  return Buffer.concat([Buffer.of(0x40, name.length), Buffer.from(name), length, Buffer.from(value)]);
}
