// The unary rpcs of InvokeService as bytes in and out, so that gRPC and the HTTP faces serve the very same.

import { BinaryReader, type BinaryWriter } from "@bufbuild/protobuf/wire";
import { invalidField, WeftError } from "../base/errors.js";
import { bytesToHex } from "../base/ids.js";
import type { DoneResult } from "../core/dispatch/call.js";
import { HttpBody } from "../gen/google/api/httpbody.pb.js";
import {
  CallRequest,
  FireRequest,
  FireResponse,
  InvokeResponse,
  InvokeServiceService,
} from "../gen/weft/invoke/v1/invoke.pb.js";
import { FastWriter } from "../rpc/fast-writer.js";
import { decoded } from "../rpc/server.js";
import type { Invoked } from "./api.js";
import {
  ActivationLost,
  type FireAnswer,
  type FireCommand,
  type InvokeCommand,
  type RequestContext,
} from "./native-api.js";
import { activationIdOf, activationToWire, recordedToWire, utf8 } from "./wire.js";

/** Response metadata with the id, where the answer itself has no room for it. */
export const ACTIVATION_ID_HEADER = "weft-activation-id";

export type SetHeader = (name: string, value: string) => void;
export type RawHandler = (message: Buffer, context: RequestContext, setHeader: SetHeader) => Promise<Buffer>;

interface Commands {
  start(command: InvokeCommand, context: RequestContext): Promise<Invoked>;
  fire(command: FireCommand, context: RequestContext): Promise<FireAnswer>;
}

const NO_BYTES = new Uint8Array();
/** Longest error text in a status: it travels in a header, twice, and HTTP/2 peers take 16 KiB of them. The record has it all. */
const STATUS_TEXT_MAX = 2_048;
const JSON_TYPE = "application/json";

export class InvokeRpcs {
  readonly #handlers: ReadonlyMap<string, RawHandler>;
  readonly #writer = new FastWriter();

  constructor(private readonly commands: Commands) {
    this.#handlers = new Map<string, RawHandler>([
      [InvokeServiceService.invoke.path, this.#invoke],
      [InvokeServiceService.call.path, this.#call],
      [InvokeServiceService.fire.path, this.#fire],
    ]);
  }

  get paths(): readonly string[] {
    return [...this.#handlers.keys()];
  }

  handler(path: string): RawHandler | undefined {
    return this.#handlers.get(path);
  }

  readonly #invoke: RawHandler = async (message, context, setHeader) => {
    const command = decoded(InvokeServiceService.invoke.path, decodeInvoke, message);
    const invoked = await this.commands.start(command, context);
    switch (invoked.kind) {
      case "accepted":
        return this.#encoded(InvokeResponse, { activationId: bytesToHex(invoked.activationId), activation: undefined });
      case "running":
        return this.#encoded(InvokeResponse, { activationId: activationIdOf(invoked.call), activation: undefined });
      case "continues":
        return this.#encoded(InvokeResponse, { activationId: bytesToHex(invoked.activationId), activation: undefined });
      case "recorded": {
        const activation = recordedToWire(invoked.activation);
        return this.#encoded(InvokeResponse, { activationId: activation.activationId, activation });
      }
      case "ended": {
        const activation = activationToWire(invoked.call, doneOf(invoked, setHeader));
        return this.#encoded(InvokeResponse, { activationId: activation.activationId, activation });
      }
    }
  };

  readonly #call: RawHandler = async (message, context, setHeader) => {
    const request = decoded(InvokeServiceService.call.path, (bytes) => CallRequest.decode(bytes), message);
    const contentType = request.params?.contentType ?? "";
    if (contentType !== "" && !/^application\/([\w.+-]+\+)?json\b/i.test(contentType)) {
      throw invalidField("params.content_type", `must be ${JSON_TYPE}, got "${contentType.slice(0, 100)}"`);
    }
    const invoked = await this.commands.start(
      {
        namespace: request.namespace,
        action: request.action,
        paramsJson: request.params?.data ?? NO_BYTES,
        blocking: true,
        waitMs: 0,
      },
      context,
    );
    if (invoked.kind === "accepted") throw new TypeError("a blocking invocation was not waited for");
    if (invoked.kind === "running" || invoked.kind === "continues") {
      const id = invoked.kind === "running" ? activationIdOf(invoked.call) : bytesToHex(invoked.activationId);
      setHeader(ACTIVATION_ID_HEADER, id);
      throw new WeftError("deadlineExceeded", "STILL_RUNNING", `the activation goes on: ${id}`);
    }
    const done =
      invoked.kind === "recorded"
        ? { outcome: invoked.activation.outcome, resultJson: Buffer.from(invoked.activation.resultJson) }
        : doneOf(invoked, setHeader);
    setHeader(ACTIVATION_ID_HEADER, invoked.kind === "recorded" ? invoked.activation.id : activationIdOf(invoked.call));
    switch (done.outcome) {
      case "success":
        return this.#encoded(HttpBody, { contentType: JSON_TYPE, data: done.resultJson, extensions: [] });
      case "applicationError":
        throw new WeftError("failedPrecondition", "APPLICATION_ERROR", errorText(done.resultJson));
      case "developerError":
        throw new WeftError("failedPrecondition", "DEVELOPER_ERROR", errorText(done.resultJson));
      case "platformError":
        throw new WeftError("internal", "PLATFORM_ERROR", errorText(done.resultJson));
    }
  };

  readonly #fire: RawHandler = async (message, context) => {
    const request = decoded(InvokeServiceService.fire.path, (bytes) => FireRequest.decode(bytes), message);
    const { activationId } = await this.commands.fire(
      {
        namespace: request.namespace,
        trigger: request.trigger,
        paramsJson: Buffer.from(request.paramsJson),
        headersJson: NO_BYTES,
      },
      context,
    );
    return this.#encoded(FireResponse, { activationId: activationId ?? "" });
  };

  #encoded<T>(codec: { encode(message: T, writer: BinaryWriter): unknown }, message: T): Buffer {
    codec.encode(message, this.#writer.asBinaryWriter);
    return this.#writer.take();
  }
}

/** @throws what did not end with an outcome */
function doneOf({ call, result }: Extract<Invoked, { kind: "ended" }>, setHeader: SetHeader): DoneResult {
  switch (result.kind) {
    case "done":
      return result;
    case "refused":
      throw result.error;
    case "lost": {
      const id = activationIdOf(call);
      setHeader(ACTIVATION_ID_HEADER, id);
      throw new ActivationLost(id, result.error.message, result.error);
    }
  }
}

/** An InvokeRequest with its arguments left as bytes: they are checked, merged and sent on, never read as text. */
function decodeInvoke(message: Buffer): InvokeCommand {
  const reader = new BinaryReader(message);
  let namespace = "";
  let action = "";
  let paramsJson: Uint8Array = NO_BYTES;
  let blocking = false;
  let waitMs = 0;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    switch (tag) {
      case 0x0a:
        namespace = reader.string();
        break;
      case 0x12:
        action = reader.string();
        break;
      case 0x1a:
        paramsJson = reader.bytes();
        break;
      case 0x20:
        blocking = reader.bool();
        break;
      case 0x28:
        waitMs = reader.uint32();
        break;
      default:
        reader.skip(tag & 7);
    }
  }
  return { namespace, action, paramsJson, blocking, waitMs };
}

/** The text of `{"error": ...}`: a string as it is, anything else as JSON. */
function errorText(resultJson: Uint8Array): string {
  const whole = utf8(resultJson);
  const result = JSON.parse(whole) as { readonly error?: unknown } | null;
  const error = result?.error;
  const text = typeof error === "string" ? error : error === undefined ? whole : JSON.stringify(error);
  return text.length <= STATUS_TEXT_MAX ? text : `${text.slice(0, STATUS_TEXT_MAX)}...`;
}
