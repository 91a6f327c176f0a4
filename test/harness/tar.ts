// Writes tar archives packed with gzip, good and bad ones.

import { gzipSync } from "node:zlib";

export interface TarEntry {
  readonly name: string;
  readonly content?: string | Uint8Array;
  /** Default 0o644. */
  readonly mode?: number;
  /** Default "0", a file. */
  readonly type?: string;
  /** Of a link. */
  readonly to?: string;
  /** What the archive says of the size; default the truth. */
  readonly declaredSize?: number;
}

const BLOCK = 512;

export function tarGzOf(entries: readonly TarEntry[]): Uint8Array {
  return gzipSync(tarOf(entries), { level: 1 });
}

export function tarOf(entries: readonly TarEntry[]): Buffer {
  const parts: Buffer[] = [];
  for (const { name, content = "", mode = 0o644, type = "0", to = "", declaredSize } of entries) {
    const bytes = Buffer.from(content);
    const header = Buffer.alloc(BLOCK);
    header.write(name, 0, 100);
    header.write(`${mode.toString(8).padStart(7, "0")}\0`, 100, "latin1");
    header.write(`${(declaredSize ?? bytes.length).toString(8).padStart(11, "0")}\0`, 124, "latin1");
    header.write(type, 156, "latin1");
    header.write(to, 157, 100);
    header.write("ustar\x0000", 257, "latin1");
    header.fill(0x20, 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    parts.push(header, bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK));
  }
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}
