// Columns of a batch as Postgres arrays in the binary format. The text format would quote every quote in every JSON text
// and write bytes as hex; this copies them. pg sends a Buffer as a binary parameter, and `$1::text[]` says what it is.

const OID = { bool: 16, int8: 20, int2: 21, int4: 23, text: 25, uuid: 2950 } as const;

/** Dimensions, flags, element type, length, lower bound. */
const HEADER_BYTES = 20;
const NULL_LENGTH = -1;

/** Text as Postgres can store it: it has no character 0. What may legally hold one is kept as JSON text instead. */
export function storable(text: string): string {
  return text.includes("\0") ? text.replaceAll("\0", "\ufffd") : text;
}

export function textArray(values: readonly (string | undefined)[]): Buffer {
  let bytes = 0;
  const lengths = new Int32Array(values.length);
  for (const [i, value] of values.entries()) {
    const length = value === undefined ? NULL_LENGTH : Buffer.byteLength(value);
    lengths[i] = length;
    bytes += Math.max(0, length);
  }
  const array = header(OID.text, values.length, bytes);
  let at = HEADER_BYTES;
  for (const [i, value] of values.entries()) {
    at = array.writeInt32BE(lengths[i] ?? NULL_LENGTH, at);
    if (value !== undefined) at += array.write(value, at);
  }
  return array;
}

/** @param values 32 hex characters each */
export function uuidArray(values: readonly (string | undefined)[]): Buffer {
  return fixed(OID.uuid, 16, values, (array, value, at) => array.write(value, at, "hex"));
}

export function int8Array(values: readonly (number | undefined)[]): Buffer {
  return fixed(OID.int8, 8, values, (array, value, at) => {
    const whole = Math.round(value);
    const high = Math.floor(whole / 2 ** 32);
    array.writeInt32BE(high, at);
    array.writeUInt32BE(whole - high * 2 ** 32, at + 4);
  });
}

export function int4Array(values: readonly (number | undefined)[]): Buffer {
  return fixed(OID.int4, 4, values, (array, value, at) => array.writeInt32BE(Math.round(value), at));
}

export function int2Array(values: readonly (number | undefined)[]): Buffer {
  return fixed(OID.int2, 2, values, (array, value, at) => array.writeInt16BE(value, at));
}

export function boolArray(values: readonly boolean[]): Buffer {
  return fixed(OID.bool, 1, values, (array, value, at) => array.writeUInt8(value ? 1 : 0, at));
}

function fixed<T>(
  oid: number,
  size: number,
  values: readonly (T | undefined)[],
  write: (array: Buffer, value: T, at: number) => unknown,
): Buffer {
  let present = 0;
  for (const value of values) if (value !== undefined) present += 1;
  const array = header(oid, values.length, present * size);
  let at = HEADER_BYTES;
  for (const value of values) {
    at = array.writeInt32BE(value === undefined ? NULL_LENGTH : size, at);
    if (value === undefined) continue;
    write(array, value, at);
    at += size;
  }
  return array;
}

function header(oid: number, length: number, bytes: number): Buffer {
  if (length === 0) {
    const none = Buffer.alloc(12);
    none.writeInt32BE(oid, 8);
    return none;
  }
  const array = Buffer.allocUnsafe(HEADER_BYTES + 4 * length + bytes);
  array.writeInt32BE(1, 0);
  array.writeInt32BE(1, 4); // there may be nulls
  array.writeInt32BE(oid, 8);
  array.writeInt32BE(length, 12);
  array.writeInt32BE(1, 16);
  return array;
}
