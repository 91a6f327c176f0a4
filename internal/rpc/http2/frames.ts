// Frames of HTTP/2, RFC 9113 sections 4 and 6: what is read from a byte stream, and what is written.

export const FRAME_HEADER_BYTES = 9;
export const CLIENT_PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export const FrameType = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

export const Flag = { ACK: 0x1, END_STREAM: 0x1, END_HEADERS: 0x4, PADDED: 0x8, PRIORITY: 0x20 } as const;

export const ErrorCode = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  ENHANCE_YOUR_CALM: 11,
} as const;

export const Setting = { HEADER_TABLE_SIZE: 1, INITIAL_WINDOW_SIZE: 4, MAX_FRAME_SIZE: 5 } as const;

export const WINDOW_BYTES_DEFAULT = 65_535;
export const WINDOW_BYTES_MAX = 0x7fff_ffff;
/** Largest payload that any peer takes unless it says more, and the largest that is taken here. */
export const FRAME_BYTES_DEFAULT = 16_384;

/** One frame; `whole` is a view on what was read, valid for as long as its bytes are. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly whole: Buffer;
}

export class FrameTooLarge extends Error {}

/** Cuts what arrives into frames. */
export class FrameReader {
  #rest: Buffer | undefined;

  /** @param payloadMax largest payload of a frame */
  constructor(private readonly payloadMax: number) {}

  /** @throws FrameTooLarge */
  read(chunk: Buffer, onFrame: (frame: Frame) => void): void {
    const bytes = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk;
    this.#rest = undefined;
    let at = 0;
    while (at + FRAME_HEADER_BYTES <= bytes.length) {
      const size = bytes.readUIntBE(at, 3);
      if (size > this.payloadMax) throw new FrameTooLarge(`a frame of ${size} bytes`);
      const end = at + FRAME_HEADER_BYTES + size;
      if (end > bytes.length) break;
      const type = bytes[at + 3] as number;
      const flags = bytes[at + 4] as number;
      onFrame({ type, flags, stream: bytes.readUInt32BE(at + 5) & 0x7fff_ffff, whole: bytes.subarray(at, end) });
      at = end;
    }
    if (at < bytes.length) this.#rest = at === 0 ? bytes : bytes.subarray(at);
  }
}

/** @returns where the payload ends */
export function writeFrameHeader(
  into: Buffer,
  at: number,
  size: number,
  type: number,
  flags: number,
  stream: number,
): number {
  into.writeUIntBE(size, at, 3);
  into[at + 3] = type;
  into[at + 4] = flags;
  into.writeUInt32BE(stream, at + 5);
  return at + FRAME_HEADER_BYTES;
}

export function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const whole = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
  writeFrameHeader(whole, 0, payload.length, type, flags, stream);
  whole.set(payload, FRAME_HEADER_BYTES);
  return whole;
}

export function windowUpdate(stream: number, bytes: number): Buffer {
  return frame(FrameType.WINDOW_UPDATE, 0, stream, uint32(bytes));
}

export function resetStream(stream: number, code: number): Buffer {
  return frame(FrameType.RST_STREAM, 0, stream, uint32(code));
}

export function goAway(lastStream: number, code: number, why: string): Buffer {
  return frame(FrameType.GOAWAY, 0, 0, Buffer.concat([uint32(lastStream), uint32(code), Buffer.from(why, "latin1")]));
}

/** A header block as HEADERS and, when it is long, CONTINUATIONs. */
export function headersFrames(stream: number, block: Uint8Array, endStream: boolean): Buffer[] {
  const frames: Buffer[] = [];
  let at = 0;
  do {
    const part = block.subarray(at, at + FRAME_BYTES_DEFAULT);
    const last = at + part.length >= block.length ? Flag.END_HEADERS : 0;
    const end = at === 0 && endStream ? Flag.END_STREAM : 0;
    frames.push(frame(at === 0 ? FrameType.HEADERS : FrameType.CONTINUATION, last | end, stream, part));
    at += part.length;
  } while (at < block.length);
  return frames;
}

/** The payload without padding and priority. @returns undefined when there is more padding than payload */
export function unpadded({ type, flags, whole }: Frame): Buffer | undefined {
  let from = FRAME_HEADER_BYTES;
  let to = whole.length;
  if (flags & Flag.PADDED) {
    if (from >= to) return undefined;
    to -= whole[from] as number;
    from += 1;
  }
  if (type === FrameType.HEADERS && flags & Flag.PRIORITY) from += 5;
  return from <= to ? whole.subarray(from, to) : undefined;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}
