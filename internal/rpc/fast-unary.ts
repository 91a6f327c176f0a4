// Unary rpcs straight on a stream of the connection. grpc-js and node:http2 build some twenty objects per call on the way
// to a handler; for calls that are answered in a millisecond that is most of a gateway's work. fast-unary.test.ts holds
// grpc-js and this to the same answers.
//
//   U1. A call is answered at most once: by its handler, or because its deadline passed or its caller went. A handler that
//       settles later is passed over.

import { status as Code } from "@grpc/grpc-js";
import type { Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { Waits, Wait } from "../base/waits.js";
import type { CallContext } from "./call-context.js";
import { answerBlock, failureFields, headerOf, refuse, statusFields, SUCCESS, type Field } from "./grpc-answer.js";
import { MessageReader, messagePrefix, UnreadableMessage } from "./grpc-messages.js";
import { encodeHeaders, type HeaderField } from "./http2/hpack.js";
import type { ServedStream, StreamUser } from "./http2/served-stream.js";
import { MESSAGE_BYTES_MAX } from "./link.js";

export type RawUnaryHandler = (ctx: CallContext, message: Buffer) => Promise<Uint8Array>;

export interface FastUnaryDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Deadlines of callers. */
  readonly waits: Waits;
  /** @throws unauthenticated when the caller may not call this server at all */
  readonly admit: (clusterKey: string | undefined) => void;
  readonly observe: (path: string, thrown: unknown, startedMonoMs: number) => void;
}

export class FastCall implements CallContext, Wait, StreamUser {
  readonly log: Log;
  readonly deadlineMonoMs: number | undefined;
  readonly #startedMonoMs: number;
  readonly #tick: number | undefined;
  readonly #reader = new MessageReader(MESSAGE_BYTES_MAX);
  #handed = false;
  #over = false;
  #gone = false;
  #abort: AbortController | undefined;
  #outgoing: Field[] | undefined;

  constructor(
    private readonly deps: FastUnaryDeps,
    private readonly path: string,
    private readonly handler: RawUnaryHandler,
    private readonly stream: ServedStream,
    private readonly incoming: readonly HeaderField[],
  ) {
    this.log = deps.log;
    this.#startedMonoMs = deps.clock.monoMs();
    const timeoutMs = timeoutOf(this.header("grpc-timeout"));
    if (timeoutMs !== undefined) {
      this.deadlineMonoMs = this.#startedMonoMs + timeoutMs;
      this.#tick = deps.waits.add(this, timeoutMs);
    }
  }

  // ---- what the handler sees ----

  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController();
      if (this.#gone) this.#abort.abort();
    }
    return this.#abort.signal;
  }

  get traceparent(): string {
    return this.header("traceparent") ?? "";
  }

  get peer(): string {
    return this.stream.peer;
  }

  header(name: string): string | undefined {
    return headerOf(this.incoming, name.toLowerCase());
  }

  headers(): Readonly<Record<string, string>> {
    const headers: Record<string, string> = {};
    for (const { name, value } of this.incoming) {
      if (name.startsWith(":") || name.endsWith("-bin")) continue;
      const before = headers[name];
      headers[name] = before === undefined ? value : `${before}, ${value}`;
    }
    return headers;
  }

  setHeader(name: string, value: string): void {
    this.#outgoing ??= [];
    this.#outgoing.push({ name, value });
  }

  // ---- the request ----

  onData(chunk: Buffer): void {
    if (this.#handed || this.#over) return; // what follows the one message is none of it
    try {
      this.#reader.read(chunk, this.#onMessage);
    } catch (thrown) {
      if (!(thrown instanceof UnreadableMessage)) throw thrown;
      this.#refuse(thrown);
    }
  }

  readonly #onMessage = (message: Buffer): boolean => {
    this.#handed = true;
    let answer: Promise<Uint8Array>;
    try {
      this.deps.admit(this.header("weft-cluster-key"));
      answer = this.handler(this, message);
    } catch (thrown) {
      this.#fail(thrown);
      return false;
    }
    answer.then(this.#succeed, this.#fail);
    return false;
  };

  onEnd(): void {
    if (this.#handed || this.#over) return;
    this.#fail(new WeftError("invalidArgument", "MALFORMED_MESSAGE", `the call of ${this.path} has no whole message`));
  }

  onLost(): void {
    this.#gone = true;
    this.#abort?.abort();
    if (this.#settle()) this.#observe(new WeftError("canceled", "CALL_OVER", "the caller went away"));
  }

  onDrain(): void {}

  /** Its deadline passed. */
  expired(): void {
    this.#fail(new WeftError("deadlineExceeded", "DEADLINE_EXCEEDED", "the deadline of the call passed"));
    this.#gone = true;
    this.#abort?.abort();
  }

  // ---- the answer ----

  readonly #succeed = (message: Uint8Array): void => {
    if (!this.#settle()) return;
    this.#observe(undefined);
    if (message.length > MESSAGE_BYTES_MAX) {
      const text = `Attempted to send message with a size larger than ${MESSAGE_BYTES_MAX}`;
      this.#end(statusFields(Code.RESOURCE_EXHAUSTED, text));
      return;
    }
    this.stream.answer(answerBlock(this.#outgoing), messagePrefix(message.length), message, SUCCESS);
  };

  readonly #fail = (thrown: unknown): void => {
    if (!this.#settle()) return;
    const error = toWeftError(thrown);
    this.#observe(error);
    this.#end(failureFields(error));
  };

  #refuse(unreadable: UnreadableMessage): void {
    if (!this.#settle()) return;
    this.#observe(new WeftError("invalidArgument", "MALFORMED_MESSAGE", unreadable.message));
    this.#end(failureFields(unreadable));
  }

  /** @returns false when it was answered already (U1) */
  #settle(): boolean {
    if (this.#over) return false;
    this.#over = true;
    if (this.#tick !== undefined) this.deps.waits.remove(this, this.#tick);
    return true;
  }

  /** Ends the call without a message. */
  #end(trailers: readonly Field[]): void {
    const { stream } = this;
    if (!this.#outgoing) {
      refuse(stream, trailers);
      return;
    }
    stream.sendHeaders(answerBlock(this.#outgoing));
    stream.end(encodeHeaders(trailers));
  }

  #observe(thrown: unknown): void {
    this.deps.observe(this.path, thrown, this.#startedMonoMs);
  }
}

const MS_OF_UNIT: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** A grpc-timeout; undefined without one, and for what is none: a caller who cannot say it waits as long as he likes. */
function timeoutOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(header) ?? [];
  if (digits === undefined || unit === undefined) return undefined;
  return Number(digits) * (MS_OF_UNIT[unit] ?? 1);
}
