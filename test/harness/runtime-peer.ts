// The invoker's side of a conversation with a runtime, for tests: what is asked is answered by a promise.

import type { MessageLink } from "../../internal/base/socket-link.js";
import { ToSandbox, type Init, type Run } from "../../internal/gen/weft/runtime/v1/sandbox.pb.js";
import {
  decodeFromSandbox,
  type FromSandboxMessage,
  type HeardLine,
  type HeardOutcome,
} from "../../internal/invoker/sandbox-codec.js";

export interface Ran {
  readonly outcome: HeardOutcome;
  readonly result: unknown;
  /** The result as it came. */
  readonly json: string;
  /** `stdout: text` in the order of printing. */
  readonly logs: readonly string[];
  readonly lines: readonly HeardLine[];
  readonly logsTruncated: boolean;
  readonly memoryBytes: number;
}

export interface Loaded {
  readonly ok: boolean;
  readonly error: unknown;
  readonly logs: readonly string[];
}

export class RuntimePeer {
  #call = 0;
  #loaded: ((loaded: Loaded) => void) | undefined;
  readonly #waiting = new Map<
    number,
    { readonly resolve: (ran: Ran) => void; readonly reject: (error: Error) => void }
  >();
  readonly #lines = new Map<number, HeardLine[]>();

  constructor(readonly link: MessageLink) {
    link.onMessage = (message) => {
      this.#receive(decodeFromSandbox(message));
    };
    void link.closed.then(() => {
      for (const { reject } of this.#waiting.values()) reject(new Error("the runtime's connection ended"));
    });
  }

  /** What was printed during init or between runs and has not been taken with an answer. */
  get between(): readonly string[] {
    return this.printed(0);
  }

  /** What a run has printed so far. */
  printed(call: number): readonly string[] {
    return (this.#lines.get(call) ?? []).map(lineText);
  }

  init(code: string | Uint8Array, fields: Partial<Init> = {}): Promise<Loaded> {
    const loaded = new Promise<Loaded>((resolve, reject) => {
      this.#loaded = resolve;
      void this.link.closed.then(() => {
        reject(new Error("the runtime's connection ended"));
      });
    });
    loaded.catch(() => {}); // the connection of every sandbox ends some time
    this.link.send(
      ToSandbox.encode({
        message: {
          $case: "init",
          value: {
            actionName: "/guest/hello",
            main: "",
            code: typeof code === "string" ? Buffer.from(code) : code,
            binary: typeof code !== "string",
            env: {},
            concurrency: 1,
            logLimitBytes: 10 * 1024 * 1024,
            ...fields,
          },
        },
      }).finish(),
    );
    return loaded;
  }

  /** `params`: a value, or JSON text as bytes. */
  run(params: unknown = {}, fields: Partial<Run> = {}): Promise<Ran> {
    const call = (this.#call += 1);
    const ran = new Promise<Ran>((resolve, reject) => this.#waiting.set(call, { resolve, reject }));
    this.link.send(
      ToSandbox.encode({
        message: {
          $case: "run",
          value: {
            call,
            paramsJson: params instanceof Uint8Array ? params : Buffer.from(JSON.stringify(params)),
            activationId: call.toString(16).padStart(32, "0"),
            namespace: "guest",
            actionName: "/guest/hello",
            actionVersion: "0.0.1",
            transactionId: "tid",
            remainingMs: 60_000,
            deadlineWallMs: 1_700_000_000_000,
            apiKey: "",
            traceparent: "",
            ...fields,
          },
        },
      }).finish(),
    );
    return ran;
  }

  /** The number of the last run. */
  get lastCall(): number {
    return this.#call;
  }

  cancel(call: number, reason: string): void {
    this.link.send(ToSandbox.encode({ message: { $case: "cancel", value: { call, reason } } }).finish());
  }

  #receive(message: FromSandboxMessage): void {
    switch (message.kind) {
      case "logs":
        this.#lines.set(message.call, [...(this.#lines.get(message.call) ?? []), ...message.lines]);
        return;
      case "initResult": {
        const { ok, errorJson } = message;
        this.#loaded?.({ ok, error: ok ? undefined : errorOf(errorJson), logs: this.#take(0).map(lineText) });
        return;
      }
      case "runResult": {
        const { call, outcome, resultJson, logsTruncated, memoryBytes } = message;
        const json = Buffer.from(resultJson).toString();
        const lines = this.#take(call);
        this.#waiting.get(call)?.resolve({
          outcome,
          result: JSON.parse(json) as unknown,
          json,
          logs: lines.map(lineText),
          lines,
          logsTruncated,
          memoryBytes,
        });
        this.#waiting.delete(call);
      }
    }
  }

  #take(call: number): readonly HeardLine[] {
    const lines = this.#lines.get(call) ?? [];
    this.#lines.delete(call);
    return lines;
  }
}

function lineText({ stream, text }: HeardLine): string {
  return `${stream}: ${text}`;
}

function errorOf(json: Uint8Array): unknown {
  return (JSON.parse(Buffer.from(json).toString()) as { error: unknown }).error;
}
