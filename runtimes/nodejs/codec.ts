// The messages of weft.runtime.v1, written by hand: a runtime has no dependencies, and these few messages do not need a
// library. Unknown fields are skipped. codec.test.ts compares the bytes with those of generated code.

export interface Init {
  readonly actionName: string;
  readonly main: string;
  readonly code: Buffer;
  readonly binary: boolean;
  readonly env: Readonly<Record<string, string>>;
  readonly concurrency: number;
  readonly logLimitBytes: number;
}

export interface Run {
  readonly call: number;
  /** JSON text; "" when there are none. */
  readonly params: string;
  readonly activationId: string;
  readonly namespace: string;
  readonly actionName: string;
  readonly actionVersion: string;
  readonly transactionId: string;
  readonly remainingMs: number;
  readonly deadlineWallMs: number;
  readonly apiKey: string;
  readonly traceparent: string;
}

export interface Cancel {
  readonly call: number;
  readonly reason: string;
}

export type ToSandbox =
  | { readonly kind: "init"; readonly init: Init }
  | { readonly kind: "run"; readonly run: Run }
  | { readonly kind: "cancel"; readonly cancel: Cancel };

export type RunOutcome = 1 | 2 | 3;
export const SUCCESS = 1;
export const APPLICATION_ERROR = 2;
export const DEVELOPER_ERROR = 3;

export type LogStream = 1 | 2;
export const STDOUT = 1;
export const STDERR = 2;

export interface LogLine {
  readonly stream: LogStream;
  readonly unixNanos: bigint;
  readonly text: string;
}

class Reader {
  constructor(
    private readonly bytes: Buffer,
    private at: number,
    private readonly end: number,
  ) {}

  get done(): boolean {
    return this.at >= this.end;
  }

  /** A varint below 2^53. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      if (this.at >= this.end) throw new Error("message ends inside a number");
      const byte = this.bytes[this.at++] as number;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
    throw new Error("number too long");
  }

  /** Goes behind a chunk. @returns where it began */
  #pass(): number {
    const length = this.varint();
    const from = this.at;
    if (from + length > this.end) throw new Error("message ends inside a field");
    this.at = from + length;
    return from;
  }

  chunk(): Buffer {
    const from = this.#pass();
    return this.bytes.subarray(from, this.at);
  }

  text(): string {
    const from = this.#pass();
    return this.bytes.toString("utf8", from, this.at);
  }

  ascii(): string {
    const from = this.#pass();
    return this.bytes.toString("latin1", from, this.at);
  }

  /** A text that mostly is the same as the last time: a string is made only when it is not. */
  known(memory: KnownText): string {
    const from = this.#pass();
    return memory.of(this.bytes, from, this.at);
  }

  message(): Reader {
    const from = this.#pass();
    return new Reader(this.bytes, from, this.at);
  }

  skip(wireType: number): void {
    if (wireType === 0) this.varint();
    else if (wireType === 1) this.at += 8;
    else if (wireType === 2) this.#pass();
    else if (wireType === 5) this.at += 4;
    else throw new Error(`unknown wire type ${wireType}`);
  }
}

/** The last text of a field. */
class KnownText {
  #bytes = Buffer.alloc(0);
  #text = "";

  of(bytes: Buffer, from: number, to: number): string {
    const last = this.#bytes;
    let same = last.length === to - from;
    for (let i = 0; same && i < last.length; i++) same = last[i] === bytes[from + i];
    if (!same) {
      this.#bytes = Buffer.from(bytes.subarray(from, to));
      this.#text = this.#bytes.toString();
    }
    return this.#text;
  }
}

/** Calls `field` for each field; false means it was not read and is skipped. */
function eachField(reader: Reader, field: (number: number, reader: Reader) => boolean): void {
  while (!reader.done) {
    const tag = reader.varint();
    if (!field(tag >>> 3, reader)) reader.skip(tag & 7);
  }
}

/** The message in a part of `bytes`; nothing of it is a view. */
export function decodeToSandbox(bytes: Buffer, from = 0, to = bytes.length): ToSandbox | undefined {
  let message: ToSandbox | undefined;
  const reader = new Reader(bytes, from, to);
  while (!reader.done) {
    const tag = reader.varint();
    switch (tag >>> 3) {
      case 1:
        message = { kind: "init", init: decodeInit(reader.message()) };
        break;
      case 2:
        message = { kind: "run", run: decodeRun(reader.message()) };
        break;
      case 3:
        message = { kind: "cancel", cancel: decodeCancel(reader.message()) };
        break;
      default:
        reader.skip(tag & 7);
    }
  }
  return message;
}

function decodeInit(reader: Reader): Init {
  const init = {
    actionName: "",
    main: "",
    code: Buffer.alloc(0),
    binary: false,
    env: {} as Record<string, string>,
    concurrency: 1,
    logLimitBytes: 0,
  };
  eachField(reader, (number, reader) => {
    if (number === 1) init.actionName = reader.text();
    else if (number === 2) init.main = reader.text();
    else if (number === 3) init.code = Buffer.from(reader.chunk());
    else if (number === 4) init.binary = reader.varint() !== 0;
    else if (number === 5) {
      let key = "";
      let value = "";
      eachField(reader.message(), (part, entry) => {
        if (part === 1) key = entry.text();
        else if (part === 2) value = entry.text();
        else return false;
        return true;
      });
      init.env[key] = value;
    } else if (number === 6) init.concurrency = Math.max(1, reader.varint());
    else if (number === 7) init.logLimitBytes = reader.varint();
    else return false;
    return true;
  });
  return init;
}

const namespaces = new KnownText();
const actionNames = new KnownText();
const actionVersions = new KnownText();

/** Flat, without a callback per field: it is read once per activation. */
function decodeRun(reader: Reader): Run {
  let call = 0;
  let params = "";
  let activationId = "";
  let namespace = "";
  let actionName = "";
  let actionVersion = "";
  let transactionId = "";
  let remainingMs = 0;
  let deadlineWallMs = 0;
  let apiKey = "";
  let traceparent = "";
  while (!reader.done) {
    const tag = reader.varint();
    switch (tag >>> 3) {
      case 1:
        call = reader.varint();
        break;
      case 2:
        params = reader.text();
        break;
      case 3:
        activationId = reader.ascii();
        break;
      case 4:
        namespace = reader.known(namespaces);
        break;
      case 5:
        actionName = reader.known(actionNames);
        break;
      case 6:
        actionVersion = reader.known(actionVersions);
        break;
      case 7:
        transactionId = reader.text();
        break;
      case 8:
        remainingMs = reader.varint();
        break;
      case 9:
        deadlineWallMs = reader.varint();
        break;
      case 10:
        apiKey = reader.text();
        break;
      case 11:
        traceparent = reader.ascii();
        break;
      default:
        reader.skip(tag & 7);
    }
  }
  return {
    call,
    params,
    activationId,
    namespace,
    actionName,
    actionVersion,
    transactionId,
    remainingMs,
    deadlineWallMs,
    apiKey,
    traceparent,
  };
}

function decodeCancel(reader: Reader): Cancel {
  const cancel = { call: 0, reason: "" };
  eachField(reader, (number, reader) => {
    if (number === 1) cancel.call = reader.varint();
    else if (number === 2) cancel.reason = reader.text();
    else return false;
    return true;
  });
  return cancel;
}

function varint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt(value);
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

const chunkField = (number: number, bytes: Buffer): Buffer =>
  Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
const numberField = (number: number, value: number | bigint): Buffer =>
  value === 0 || value === 0n ? Buffer.alloc(0) : Buffer.concat([varint(number << 3), varint(value)]);
const textField = (number: number, text: string): Buffer =>
  text === "" ? Buffer.alloc(0) : chunkField(number, Buffer.from(text));

/** @param resumed set on every connection but the first: whether code was loaded before it */
export function encodeHello(
  kind: string,
  languageVersion: string,
  reconnects = false,
  resumed?: { readonly loaded: boolean },
): Buffer {
  const fields = [textField(1, kind), textField(2, languageVersion), numberField(3, 1)];
  fields.push(numberField(4, reconnects ? 1 : 0));
  if (resumed) fields.push(chunkField(5, numberField(1, resumed.loaded ? 1 : 0)));
  return chunkField(1, Buffer.concat(fields));
}

export function encodeInitResult(ok: boolean, errorJson: string): Buffer {
  return chunkField(2, Buffer.concat([numberField(1, ok ? 1 : 0), textField(2, errorJson)]));
}

/** What a run result takes at most, its frame's length included, when its JSON has so many characters. */
export function runResultBytesMax(jsonChars: number): number {
  return jsonChars * 3 + 64;
}

/**
 * Writes a framed run result where there is room for it, without anything in between: it is said once per activation.
 * @returns where it ends
 */
export function writeRunResult(
  out: Buffer,
  from: number,
  call: number,
  outcome: RunOutcome,
  resultJson: string,
  logsTruncated: boolean,
  memoryBytes: number,
): number {
  // Mostly each character is a byte; when not, it is written once more behind the right lengths.
  const end = writeWithBytes(out, from, call, outcome, resultJson, resultJson.length, logsTruncated, memoryBytes);
  if (end !== undefined) return end;
  const bytes = Buffer.byteLength(resultJson);
  return writeWithBytes(out, from, call, outcome, resultJson, bytes, logsTruncated, memoryBytes) ?? from;
}

/** @returns undefined when the JSON has another number of bytes */
function writeWithBytes(
  out: Buffer,
  from: number,
  call: number,
  outcome: RunOutcome,
  resultJson: string,
  resultBytes: number,
  logsTruncated: boolean,
  memoryBytes: number,
): number | undefined {
  const body =
    (call === 0 ? 0 : 1 + varintBytes(call)) +
    (1 + 1) +
    (1 + varintBytes(resultBytes) + resultBytes) +
    (logsTruncated ? 2 : 0) +
    (memoryBytes === 0 ? 0 : 1 + varintBytes(memoryBytes));
  let at = out.writeUInt32BE(1 + varintBytes(body) + body, from);
  out[at++] = (3 << 3) | 2;
  at = writeVarint(out, at, body);
  if (call !== 0) {
    out[at++] = 1 << 3;
    at = writeVarint(out, at, call);
  }
  out[at++] = 2 << 3;
  out[at++] = outcome;
  out[at++] = (3 << 3) | 2;
  at = writeVarint(out, at, resultBytes);
  const written = out.write(resultJson, at);
  if (written !== resultBytes) return undefined;
  at += written;
  if (logsTruncated) {
    out[at++] = 4 << 3;
    out[at++] = 1;
  }
  if (memoryBytes !== 0) {
    out[at++] = 5 << 3;
    at = writeVarint(out, at, memoryBytes);
  }
  return at;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest > 127; rest = Math.floor(rest / 128)) bytes += 1;
  return bytes;
}

function writeVarint(out: Buffer, from: number, value: number): number {
  let at = from;
  let rest = value;
  while (rest > 127) {
    out[at++] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
  out[at++] = rest;
  return at;
}

export function encodeLogs(call: number, lines: readonly LogLine[]): Buffer {
  const parts = [numberField(1, call)];
  for (const line of lines) {
    parts.push(
      chunkField(
        2,
        Buffer.concat([numberField(1, line.stream), numberField(2, line.unixNanos), textField(3, line.text)]),
      ),
    );
  }
  return chunkField(4, Buffer.concat(parts));
}
