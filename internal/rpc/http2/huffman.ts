// The string code of HPACK, RFC 7541 appendix B. The code is canonical: the lengths of its codes say it all.

/** Bits of the code of each octet; the 257th, of the end of the string, is 30. */
// prettier-ignore
const CODE_BITS = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
];
const END_OF_STRING = 256;
/** A string ends with at most this many ones that are no code. */
const PADDING_BITS_MAX = 7;

/** What four bits do in a state of the decoder: a node of the code's tree. */
const NIBBLE_BITS = 4;
const STATE_SHIFT = NIBBLE_BITS;
/** The octet that was completed, plus one; 0 for none. */
const OCTET_SHIFT = 16;
const FAILED = -1;

interface Machine {
  /** By state * 16 + nibble: next state, and the octet completed; FAILED when the bits are no code. */
  readonly steps: Int32Array;
  /** States in which a string may end. */
  readonly mayEnd: Uint8Array;
}

const { steps, mayEnd } = machine();

/** @returns undefined when the bytes are no such string */
export function huffmanDecode(bytes: Uint8Array, from: number, to: number): string | undefined {
  const out = Buffer.allocUnsafe(Math.ceil(((to - from) * 8) / 5));
  let length = 0;
  let state = 0;
  for (let at = from; at < to; at++) {
    const byte = bytes[at] as number;
    for (let shift = NIBBLE_BITS; shift >= 0; shift -= NIBBLE_BITS) {
      const step = steps[(state << STATE_SHIFT) | ((byte >> shift) & 15)] as number;
      if (step === FAILED) return undefined;
      state = step & 0xffff;
      const octet = step >> OCTET_SHIFT;
      if (octet > 0) out[length++] = octet - 1;
    }
  }
  return mayEnd[state] === 1 ? out.toString("latin1", 0, length) : undefined;
}

function machine(): Machine {
  /** Per node, its two children: the number of another node, or ~octet. */
  const children: [number | undefined, number | undefined][] = [[undefined, undefined]];
  const byLength = CODE_BITS.map((bits, octet) => ({ bits, octet })).sort(
    (a, b) => a.bits - b.bits || a.octet - b.octet,
  );
  let code = 0;
  let lastBits = 0;
  for (const { bits, octet } of byLength) {
    code <<= bits - lastBits;
    lastBits = bits;
    let node = 0;
    for (let bit = bits - 1; bit > 0; bit--) {
      const pair = children[node] as [number | undefined, number | undefined];
      const side = (code >>> bit) & 1;
      pair[side] ??= children.push([undefined, undefined]) - 1;
      node = pair[side];
    }
    (children[node] as [number | undefined, number | undefined])[code & 1] = ~octet;
    code += 1;
  }
  const steps = new Int32Array(children.length << STATE_SHIFT);
  for (let state = 0; state < children.length; state++) {
    for (let nibble = 0; nibble < 16; nibble++) steps[(state << STATE_SHIFT) | nibble] = step(children, state, nibble);
  }
  const mayEnd = new Uint8Array(children.length);
  let node: number | undefined = 0;
  for (let ones = 0; ones <= PADDING_BITS_MAX && node !== undefined && node >= 0; ones++) {
    mayEnd[node] = 1;
    node = children[node]?.[1];
  }
  return { steps, mayEnd };
}

/** The shortest code has five bits: four complete one octet at most. */
function step(children: readonly (readonly (number | undefined)[])[], state: number, nibble: number): number {
  let node = state;
  let completed = 0;
  for (let bit = NIBBLE_BITS - 1; bit >= 0; bit--) {
    const next = children[node]?.[(nibble >> bit) & 1];
    if (next === undefined || next === ~END_OF_STRING) return FAILED;
    if (next < 0) completed = ~next + 1;
    node = Math.max(0, next);
  }
  return (completed << OCTET_SHIFT) | node;
}
