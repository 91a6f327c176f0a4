// The messages of weft.runtime.v1 as the invoker says and hears them. Once per activation each way, so: written without
// intermediate objects, read by hand. Generated code would also refuse today's nanoseconds, which do not fit a double.

import { BinaryReader } from "@bufbuild/protobuf/wire";
import { WeftError } from "../base/errors.js";
import { ToSandbox, type Init } from "../gen/weft/runtime/v1/sandbox.pb.js";
import { FastWriter } from "../rpc/fast-writer.js";

/** What a Run says. */
export interface RunFields {
  readonly call: number;
  readonly paramsJson: Uint8Array;
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

export interface HeardLine {
  readonly stream: "stdout" | "stderr";
  readonly unixNanos: bigint;
  readonly text: string;
}

export type HeardOutcome = "success" | "applicationError" | "developerError";

export type FromSandboxMessage =
  | { readonly kind: "initResult"; readonly ok: boolean; readonly errorJson: Uint8Array }
  | {
      readonly kind: "runResult";
      readonly call: number;
      readonly outcome: HeardOutcome;
      /** A view of the message: copy it before the next turn. */
      readonly resultJson: Uint8Array;
      readonly logsTruncated: boolean;
      readonly memoryBytes: number;
    }
  | { readonly kind: "logs"; readonly call: number; readonly lines: readonly HeardLine[] };

const RUN_TAG = 0x12; // ToSandbox.run

/** Encodes what is said to sandboxes; one writer serves all of them. */
export class SandboxEncoder {
  readonly #writer = new FastWriter();

  /** The bytes are good until the next message is encoded: a link copies them. */
  run(run: RunFields): Uint8Array {
    const writer = this.#writer;
    writer.uint32(RUN_TAG).fork();
    if (run.call !== 0) writer.uint32(0x08).uint32(run.call);
    if (run.paramsJson.length > 0) writer.uint32(0x12).bytes(run.paramsJson);
    if (run.activationId !== "") writer.uint32(0x1a).string(run.activationId);
    if (run.namespace !== "") writer.uint32(0x22).string(run.namespace);
    if (run.actionName !== "") writer.uint32(0x2a).string(run.actionName);
    if (run.actionVersion !== "") writer.uint32(0x32).string(run.actionVersion);
    if (run.transactionId !== "") writer.uint32(0x3a).string(run.transactionId);
    if (run.remainingMs !== 0) writer.uint32(0x40).uint32(run.remainingMs);
    if (run.deadlineWallMs !== 0) writer.uint32(0x48).uint64(run.deadlineWallMs);
    if (run.apiKey !== "") writer.uint32(0x52).string(run.apiKey);
    if (run.traceparent !== "") writer.uint32(0x5a).string(run.traceparent);
    return writer.join().lend();
  }

  init(init: Init): Uint8Array {
    ToSandbox.encode({ message: { $case: "init", value: init } }, this.#writer.asBinaryWriter);
    return this.#writer.take();
  }

  cancel(call: number, reason: string): Uint8Array {
    ToSandbox.encode({ message: { $case: "cancel", value: { call, reason } } }, this.#writer.asBinaryWriter);
    return this.#writer.take();
  }
}

/** @throws invalidArgument when it is no message that may come after Hello: the sandbox is not usable any more */
export function decodeFromSandbox(bytes: Uint8Array): FromSandboxMessage {
  try {
    const message = plainRunResult(bytes) ?? decode(new BinaryReader(bytes));
    if (message) return message;
  } catch (thrown) {
    throw malformed(thrown);
  }
  throw malformed(undefined);
}

/**
 * A message that is a run result and nothing else, as runtimes write it: read in one pass, without a reader.
 * @returns undefined for everything else: `decode` says what it is
 */
function plainRunResult(bytes: Uint8Array): FromSandboxMessage | undefined {
  if (bytes[0] !== 0x1a) return undefined;
  let at = 1;
  /** Below 2^49; -1 for what is longer or ends too early. */
  const varint = (): number => {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 7; i += 1) {
      const byte = bytes[at];
      if (byte === undefined) break;
      at += 1;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
    return -1;
  };
  const length = varint();
  if (length < 0 || at + length !== bytes.length) return undefined;
  let call = 0;
  let outcome = 0;
  let resultJson: Uint8Array = NO_BYTES;
  let logsTruncated = false;
  let memoryBytes = 0;
  while (at < bytes.length) {
    const tag = bytes[at];
    at += 1;
    const value = varint();
    if (value < 0) return undefined;
    switch (tag) {
      case 0x08:
        call = value;
        break;
      case 0x10:
        outcome = value;
        break;
      case 0x1a:
        if (at + value > bytes.length) return undefined;
        resultJson = bytes.subarray(at, at + value);
        at += value;
        break;
      case 0x20:
        logsTruncated = value !== 0;
        break;
      case 0x28:
        memoryBytes = value;
        break;
      default:
        return undefined;
    }
  }
  if (call > 0xffffffff) return undefined;
  return { kind: "runResult", call, outcome: outcomeOf(outcome), resultJson, logsTruncated, memoryBytes };
}

function malformed(cause: unknown): WeftError {
  return new WeftError("invalidArgument", "MALFORMED_FRAME", "the sandbox sent what is no message", { cause });
}

function decode(reader: BinaryReader): FromSandboxMessage | undefined {
  let message: FromSandboxMessage | undefined;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    switch (tag) {
      case 0x12:
        message = initResult(reader, endOf(reader));
        break;
      case 0x1a:
        message = runResult(reader, endOf(reader));
        break;
      case 0x22:
        message = logs(reader, endOf(reader));
        break;
      default:
        reader.skip(tag & 7);
    }
  }
  return message;
}

/** End of the message that begins here. */
function endOf(reader: BinaryReader): number {
  const length = reader.uint32();
  const end = reader.pos + length;
  if (end > reader.len) throw new RangeError("a message ends after its frame");
  return end;
}

function initResult(reader: BinaryReader, end: number): FromSandboxMessage {
  let ok = false;
  let errorJson: Uint8Array = NO_BYTES;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 0x08) ok = reader.bool();
    else if (tag === 0x12) errorJson = reader.bytes();
    else reader.skip(tag & 7);
  }
  return { kind: "initResult", ok, errorJson };
}

function runResult(reader: BinaryReader, end: number): FromSandboxMessage {
  let call = 0;
  let outcome = 0;
  let resultJson: Uint8Array = NO_BYTES;
  let logsTruncated = false;
  let memoryBytes = 0;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case 0x08:
        call = reader.uint32();
        break;
      case 0x10:
        outcome = reader.int32();
        break;
      case 0x1a:
        resultJson = reader.bytes();
        break;
      case 0x20:
        logsTruncated = reader.bool();
        break;
      case 0x28:
        memoryBytes = Number(reader.uint64());
        break;
      default:
        reader.skip(tag & 7);
    }
  }
  return { kind: "runResult", call, outcome: outcomeOf(outcome), resultJson, logsTruncated, memoryBytes };
}

function outcomeOf(outcome: number): HeardOutcome {
  switch (outcome) {
    case 1:
      return "success";
    case 2:
      return "applicationError";
    case 3:
      return "developerError";
    default:
      throw new RangeError(`a run cannot end as ${outcome}`);
  }
}

function logs(reader: BinaryReader, end: number): FromSandboxMessage {
  let call = 0;
  const lines: HeardLine[] = [];
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 0x08) call = reader.uint32();
    else if (tag === 0x12) lines.push(line(reader, endOf(reader)));
    else reader.skip(tag & 7);
  }
  return { kind: "logs", call, lines };
}

function line(reader: BinaryReader, end: number): HeardLine {
  let stream: HeardLine["stream"] = "stdout";
  let unixNanos = 0n;
  let text = "";
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 0x08) stream = reader.int32() === 2 ? "stderr" : "stdout";
    else if (tag === 0x10) unixNanos = BigInt(reader.uint64());
    else if (tag === 0x1a) text = reader.string();
    else reader.skip(tag & 7);
  }
  return { stream, unixNanos, text };
}

const NO_BYTES = new Uint8Array();
