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
  readonly params: Buffer;
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
  #at = 0;
  constructor(private readonly bytes: Buffer) {}

  get done(): boolean {
    return this.#at >= this.bytes.length;
  }

  /** A varint below 2^53. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const byte = this.bytes[this.#at++];
      if (byte === undefined) throw new Error("message ends inside a number");
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
    throw new Error("number too long");
  }

  chunk(): Buffer {
    const length = this.varint();
    if (this.#at + length > this.bytes.length) throw new Error("message ends inside a field");
    this.#at += length;
    return this.bytes.subarray(this.#at - length, this.#at);
  }

  skip(wireType: number): void {
    if (wireType === 0) this.varint();
    else if (wireType === 1) this.#at += 8;
    else if (wireType === 2) this.chunk();
    else if (wireType === 5) this.#at += 4;
    else throw new Error(`unknown wire type ${wireType}`);
  }
}

/** Calls `field` for each field; false means it was not read and is skipped. */
function eachField(bytes: Buffer, field: (number: number, reader: Reader) => boolean): void {
  const reader = new Reader(bytes);
  while (!reader.done) {
    const tag = reader.varint();
    if (!field(tag >>> 3, reader)) reader.skip(tag & 7);
  }
}

export function decodeToSandbox(bytes: Buffer): ToSandbox | undefined {
  let message: ToSandbox | undefined;
  eachField(bytes, (number, reader) => {
    if (number === 1) message = { kind: "init", init: decodeInit(reader.chunk()) };
    else if (number === 2) message = { kind: "run", run: decodeRun(reader.chunk()) };
    else if (number === 3) message = { kind: "cancel", cancel: decodeCancel(reader.chunk()) };
    else return false;
    return true;
  });
  return message;
}

function decodeInit(bytes: Buffer): Init {
  const init = {
    actionName: "",
    main: "",
    code: Buffer.alloc(0),
    binary: false,
    env: {} as Record<string, string>,
    concurrency: 1,
    logLimitBytes: 0,
  };
  eachField(bytes, (number, reader) => {
    if (number === 1) init.actionName = reader.chunk().toString();
    else if (number === 2) init.main = reader.chunk().toString();
    else if (number === 3) init.code = Buffer.from(reader.chunk());
    else if (number === 4) init.binary = reader.varint() !== 0;
    else if (number === 5) {
      let key = "";
      let value = "";
      eachField(reader.chunk(), (part, entry) => {
        if (part === 1) key = entry.chunk().toString();
        else if (part === 2) value = entry.chunk().toString();
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

function decodeRun(bytes: Buffer): Run {
  const run = {
    call: 0,
    params: Buffer.alloc(0) as Buffer,
    activationId: "",
    namespace: "",
    actionName: "",
    actionVersion: "",
    transactionId: "",
    remainingMs: 0,
    deadlineWallMs: 0,
    apiKey: "",
    traceparent: "",
  };
  eachField(bytes, (number, reader) => {
    if (number === 1) run.call = reader.varint();
    else if (number === 2) run.params = reader.chunk();
    else if (number === 3) run.activationId = reader.chunk().toString("latin1");
    else if (number === 4) run.namespace = reader.chunk().toString();
    else if (number === 5) run.actionName = reader.chunk().toString();
    else if (number === 6) run.actionVersion = reader.chunk().toString("latin1");
    else if (number === 7) run.transactionId = reader.chunk().toString();
    else if (number === 8) run.remainingMs = reader.varint();
    else if (number === 9) run.deadlineWallMs = reader.varint();
    else if (number === 10) run.apiKey = reader.chunk().toString();
    else if (number === 11) run.traceparent = reader.chunk().toString("latin1");
    else return false;
    return true;
  });
  return run;
}

function decodeCancel(bytes: Buffer): Cancel {
  const cancel = { call: 0, reason: "" };
  eachField(bytes, (number, reader) => {
    if (number === 1) cancel.call = reader.varint();
    else if (number === 2) cancel.reason = reader.chunk().toString();
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

export function encodeHello(kind: string, languageVersion: string): Buffer {
  return chunkField(1, Buffer.concat([textField(1, kind), textField(2, languageVersion), numberField(3, 1)]));
}

export function encodeInitResult(ok: boolean, errorJson: string): Buffer {
  return chunkField(2, Buffer.concat([numberField(1, ok ? 1 : 0), textField(2, errorJson)]));
}

/** Written without intermediate buffers: it is sent once per activation. */
export function encodeRunResult(
  call: number,
  outcome: RunOutcome,
  resultJson: string,
  logsTruncated: boolean,
  memoryBytes: number,
): Buffer {
  const resultBytes = Buffer.byteLength(resultJson);
  const out = Buffer.allocUnsafe(resultBytes + 64);
  // The body first, behind room for the outer tag and length.
  const bodyAt = 6;
  let at = bodyAt;
  const number = (field: number, value: number): void => {
    if (value === 0) return;
    out[at++] = field << 3;
    let rest = value;
    while (rest > 127) {
      out[at++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    out[at++] = rest;
  };
  number(1, call);
  number(2, outcome);
  out[at++] = (3 << 3) | 2;
  let rest = resultBytes;
  while (rest > 127) {
    out[at++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  out[at++] = rest;
  at += out.write(resultJson, at);
  number(4, logsTruncated ? 1 : 0);
  number(5, memoryBytes);
  const head = Buffer.concat([varint((3 << 3) | 2), varint(at - bodyAt)]);
  head.copy(out, bodyAt - head.length);
  return out.subarray(bodyAt - head.length, at);
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
