// One InvokeStream: many invocations over one stream, each answered as it ends. An item costs no promise; what is wrong
// with one is told in its result and does not disturb the others.
//
//   V1. Every item is answered exactly once, in any order, unless the stream breaks first.
//   V2. When the client has ended its half, the stream ends after the last answer.

import { invalidField, toWeftError, WeftError } from "../base/errors.js";
import { bytesToHex, hexToBytes } from "../base/ids.js";
import type { Caller, DispatchResult } from "../core/dispatch/call.js";
import { checkPayloadSize } from "../core/params/merge.js";
import type { NamespaceThrottle } from "../core/throttle/throttle.js";
import { BLOCKING_WAIT_MS_MAX } from "../core/action/types.js";
import { parseActionName } from "../core/tenancy/name.js";
import type { Outcome } from "../core/activation/types.js";
import { Outcome as WireOutcome } from "../gen/weft/activation/v1/activation.pb.js";
import type { StreamInvoke, StreamResult } from "../gen/weft/invoke/v1/invoke.pb.js";
import type { Link } from "../rpc/link.js";
import { grpcCodeOf } from "../rpc/status.js";
import type { Target } from "./action-cache.js";
import type { CompositeCalls } from "./composite-calls.js";
import { limitsProblemOf, namespaceOf, type Invocations, type SyncCall } from "./invocations.js";
import type { Identity } from "./native-api.js";
import { outcomeToWire } from "./wire.js";

/** What may arrive before it is known who sends it. */
const EARLY_BYTES_MAX = 8 * 1024 * 1024;
/** Counted for an item besides its arguments. */
const ITEM_BYTES = 64;

const NO_BYTES = new Uint8Array();

export interface InvokeStreamOptions {
  readonly identity: Identity | Promise<Identity>;
  readonly transactionId: string;
  readonly traceparent: string;
  readonly onClosed: () => void;
}

export class InvokeStream {
  #identity: Identity | undefined;
  #early: StreamInvoke[] = [];
  #earlyBytes = 0;
  #namespace = "";
  #action = "";
  #caller: Caller | undefined;
  #inFlight = 0;
  #finished = false;

  constructor(
    private readonly link: Link<StreamInvoke, StreamResult>,
    private readonly invocations: Invocations,
    private readonly composites: CompositeCalls,
    private readonly options: InvokeStreamOptions,
  ) {
    link.onItem = (item) => {
      this.#item(item);
    };
    link.onClosed = () => {
      options.onClosed();
    };
    link.onFinished = () => {
      this.#finished = true;
      this.#endWhenDone();
    };
    if (options.identity instanceof Promise) {
      options.identity.then(
        (identity) => {
          this.#begin(identity);
        },
        (thrown: unknown) => {
          link.close(toWeftError(thrown));
        },
      );
    } else this.#begin(options.identity);
  }

  #begin(identity: Identity): void {
    this.#identity = identity;
    this.#caller = {
      namespace: identity.namespace,
      subject: identity.subject,
      transactionId: this.options.transactionId,
      apiKey: "",
      cause: "",
      binding: "",
    };
    for (const item of this.#early.splice(0)) this.#item(item);
    this.#endWhenDone();
  }

  #item(item: StreamInvoke): void {
    const identity = this.#identity;
    if (!identity) {
      this.#tooEarly(item);
      return;
    }
    let target: Target | undefined;
    let admitted: NamespaceThrottle | Promise<NamespaceThrottle>;
    try {
      if (item.action !== "" || item.namespace !== "") {
        this.#namespace = namespaceOf(identity, item.namespace);
        this.#action = item.action;
      } else if (this.#action === "") throw invalidField("action", "must be given in the first item");
      target = this.invocations.known(identity, this.#namespace, this.#action);
      if (!target) parseActionName("action", this.#action);
      admitted = this.invocations.admit(identity);
    } catch (thrown) {
      this.#refuse(item.call, toWeftError(thrown), NO_BYTES);
      return;
    }
    this.#inFlight += 1;
    if (!(admitted instanceof Promise)) {
      this.#admitted(item, identity, target, this.#namespace, this.#action, admitted);
      return;
    }
    const [namespace, action] = [this.#namespace, this.#action]; // as they are now: the next item may change them
    admitted.then(
      (throttle) => {
        this.#admitted(item, identity, target, namespace, action, throttle);
      },
      (thrown: unknown) => {
        this.#inFlight -= 1;
        this.#refuse(item.call, toWeftError(thrown), NO_BYTES);
      },
    );
  }

  #admitted(
    item: StreamInvoke,
    identity: Identity,
    target: Target | undefined,
    namespace: string,
    action: string,
    throttle: NamespaceThrottle,
  ): void {
    if (target) this.#start(item, identity, target, throttle);
    else this.#resolve(item, identity, namespace, action, throttle);
  }

  #resolve(
    item: StreamInvoke,
    identity: Identity,
    namespace: string,
    action: string,
    throttle: NamespaceThrottle,
  ): void {
    const refuse = (thrown: unknown): void => {
      throttle.release();
      this.#inFlight -= 1;
      this.#refuse(item.call, toWeftError(thrown), NO_BYTES);
    };
    let resolving: Promise<Target>;
    try {
      resolving = this.invocations.resolve(identity, namespace, action, item.paramsJson);
    } catch (thrown) {
      refuse(thrown);
      return;
    }
    resolving.then((target) => {
      this.#start(item, identity, target, throttle);
    }, refuse);
  }

  #start(item: StreamInvoke, identity: Identity, target: Target, throttle: NamespaceThrottle): void {
    const caller = this.#callerOf(identity, target);
    let admitted = false;
    try {
      checkPayloadSize(item.paramsJson.length);
      const problem = limitsProblemOf(identity, target, item.paramsJson.length);
      if (target.composite) {
        admitted = true;
        throttle.release(); // a controller runs it, and takes a place for it
        void this.#runComposite(item, target, caller, identity.uuid);
        return;
      }
      admitted = true; // from here on the place is the call's
      const { traceparent } = this.options;
      const { overrides } = identity.quota;
      const { paramsJson, call } = item;
      this.invocations.start(target, throttle, paramsJson, caller, traceparent, this.#ended, call, problem, overrides);
    } catch (thrown) {
      if (!admitted) throttle.release();
      this.#inFlight -= 1;
      this.#refuse(item.call, toWeftError(thrown), NO_BYTES);
    }
  }

  #callerOf(identity: Identity, target: Target): Caller {
    const usual = this.#caller;
    if (!usual) throw new TypeError("an item is started before its caller is known");
    const { binding } = target;
    // What is composite is durable, and gets its key where it runs.
    const withKey = target.provideApiKey && !target.composite;
    if (binding === "" && !withKey) return usual;
    return { ...usual, binding, apiKey: withKey ? this.invocations.keyFor(identity, target) : "" };
  }

  /** Never rejects: what goes wrong is the item's answer (V1). */
  async #runComposite(item: StreamInvoke, target: Target, caller: Caller, keyUuid: string): Promise<void> {
    const { traceparent } = this.options;
    const [namespace = "", ...name] = target.path.split("/");
    const { paramsJson } = item;
    try {
      const submission = { namespace, name: name.join("/"), target, paramsJson, caller, keyUuid, traceparent };
      const ending = await this.composites.run(submission, BLOCKING_WAIT_MS_MAX);
      this.#inFlight -= 1;
      if (ending.kind === "recorded") {
        const { activation } = ending;
        this.#answer(
          item.call,
          hexToBytes(activation.id),
          activation.outcome,
          activation.durationMs,
          Buffer.from(activation.resultJson),
        );
      } else {
        const id = bytesToHex(ending.activationId);
        const error = new WeftError("deadlineExceeded", "STILL_RUNNING", `the activation goes on: ${id}`);
        this.#refuse(item.call, error, ending.activationId);
      }
    } catch (thrown) {
      this.#inFlight -= 1;
      this.#refuse(item.call, toWeftError(thrown), NO_BYTES);
    }
  }

  #answer(call: number, activationId: Uint8Array, outcome: Outcome, durationMs: number, resultJson: Uint8Array): void {
    this.link.send({
      call,
      activationId,
      outcome: outcomeToWire(outcome),
      resultJson,
      durationMs,
      statusCode: 0,
      statusMessage: "",
      retryAfterMs: 0,
    });
    if (this.#finished) this.#endWhenDone();
  }

  readonly #ended = (call: SyncCall, result: DispatchResult): void => {
    this.#inFlight -= 1;
    if (result.kind === "done") {
      this.#answer(call.tag, call.activationId, result.outcome, result.durationMs, result.resultJson);
    } else this.#refuse(call.tag, result.error, call.activationId);
  };

  #refuse(call: number, error: WeftError, activationId: Uint8Array): void {
    this.link.send({
      call,
      activationId,
      outcome: WireOutcome.UNSPECIFIED,
      resultJson: NO_BYTES,
      durationMs: 0,
      statusCode: grpcCodeOf(error.kind),
      statusMessage: error.kind === "internal" ? "internal error" : error.message,
      retryAfterMs: Math.round(error.retryAfterMs ?? 0),
    });
    if (this.#finished) this.#endWhenDone();
  }

  #tooEarly(item: StreamInvoke): void {
    this.#early.push(item);
    this.#earlyBytes += item.paramsJson.length + ITEM_BYTES;
    if (this.#earlyBytes <= EARLY_BYTES_MAX) return;
    this.#early = [];
    this.link.close(
      new WeftError("throttled", "TOO_EARLY", "too much was sent before the key could be checked", {
        retryAfterMs: 100,
      }),
    );
  }

  #endWhenDone(): void {
    if (this.#finished && this.#inFlight === 0 && this.#early.length === 0 && this.#identity) this.link.close(); // V2
  }
}
