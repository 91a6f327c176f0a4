import type { Clock } from "../base/clock.js";
import { invalidField, toWeftError, WeftError } from "../base/errors.js";
import type { Random } from "../base/random.js";
import type { TriggerActivation } from "../core/activation/types.js";
import { checkJsonObject, checkPayloadSize } from "../core/params/merge.js";
import type { QueuedRequest, QueueStore } from "../core/queue/store.js";
import { recordToWire } from "../dispatch/record-wire.js";
import { checkName, formatActionName, parseActionName } from "../core/tenancy/name.js";
import {
  SubmitServiceService,
  type AwaitRequest,
  type AwaitResponse,
  type FireTriggerRequest,
  type FireTriggerResponse,
  type SubmitRequest,
  type SubmitResponse,
} from "../gen/weft/link/v1/control.pb.js";
import type { Caller } from "../gen/weft/link/v1/work.pb.js";
import type { CallContext } from "../rpc/call-context.js";
import type { RpcServer } from "../rpc/server.js";
import type { Firings } from "./firings.js";
import type { ControllerMetrics } from "./metrics.js";
import type { Admissions } from "./admissions.js";
import type { QueueDispatcher } from "./queue-dispatcher.js";
import type { Awaits } from "./awaits.js";
import type { Resolved, Resolver } from "./resolver.js";
import { activationIdOf, textOf } from "./wire.js";

export interface SubmitServiceDeps {
  readonly queue: Pick<QueueStore, "submit" | "fire">;
  readonly resolver: Resolver;
  readonly firings: Firings;
  readonly dispatcher: QueueDispatcher;
  readonly admissions: Pick<Admissions, "place">;
  readonly awaits: Awaits;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: ControllerMetrics;
  /** Told of triggers' records that are durable. */
  readonly fired: (record: TriggerActivation) => void;
}

export class SubmitService {
  constructor(private readonly deps: SubmitServiceDeps) {}

  register(server: RpcServer): void {
    server.serveService(SubmitServiceService, {
      submit: (ctx: CallContext, request: SubmitRequest) => this.submit(ctx, request),
      await: (ctx: CallContext, request: AwaitRequest) => this.await(ctx, request),
      fire: (ctx: CallContext, request: FireTriggerRequest) => this.fire(ctx, request),
    });
  }

  async submit(_ctx: CallContext, request: SubmitRequest): Promise<SubmitResponse> {
    const { admissions, clock, dispatcher, queue } = this.deps;
    const startedMs = clock.monoMs();
    const caller = callerIn(request.caller);
    const queued: QueuedRequest = {
      id: activationIdOf("activation_id", request.activationId),
      namespace: checkName("namespace", request.namespace),
      name: formatActionName(parseActionName("name", request.name)),
      paramsJson: payloadOf("params_json", request.paramsJson),
      callerNamespace: caller.namespace,
      subject: caller.subject,
      transactionId: caller.transactionId,
      keyUuid: keyUuidIn(request),
      traceparent: request.traceparent,
      acceptedWallMs: clock.wallMs(),
    };
    if (dispatcher.has(queued.id)) return {}; // a repetition
    if (request.composite) await this.#checkComponents(queued, caller);
    await admissions.place(caller.namespace);
    await dispatcher.accept([queued], (owner) => queue.submit([queued], owner));
    this.#accepted("invoke", 1, startedMs);
    return {};
  }

  async await(ctx: CallContext, request: AwaitRequest): Promise<AwaitResponse> {
    const id = activationIdOf("activation_id", request.activationId);
    const namespace = checkName("namespace", request.namespace);
    const activation = await this.deps.awaits.wait(namespace, id, request.waitMs, ctx.signal);
    return { record: activation && recordToWire(activation) };
  }

  async fire(_ctx: CallContext, request: FireTriggerRequest): Promise<FireTriggerResponse> {
    const { clock, dispatcher, queue } = this.deps;
    const startedMs = clock.monoMs();
    const caller = callerIn(request.caller);
    const id = activationIdOf("activation_id", request.activationId);
    const namespace = checkName("namespace", request.namespace);
    const name = checkName("name", request.name);
    payloadOf("params_json", request.paramsJson);
    checkJsonObject("headers_json", request.headersJson);
    // Triggers are not shared: somebody else's is not there.
    if (namespace !== caller.namespace) {
      throw new WeftError("notFound", "TRIGGER_NOT_FOUND", `there is no trigger ${namespace}/${name} for this key`);
    }
    const decision = await this.deps.firings.decide(namespace, name, {
      id,
      payload: request.paramsJson,
      headersJson: request.headersJson,
      callerNamespace: caller.namespace,
      subject: caller.subject,
      transactionId: caller.transactionId,
      keyUuid: keyUuidIn(request),
      traceparent: request.traceparent,
      wallMs: clock.wallMs(),
    });
    if (!decision) return { fired: false };
    const { record, requests } = decision;
    await dispatcher.accept(requests, (owner) => queue.fire(record, requests, owner));
    this.#accepted("rule", requests.length, startedMs);
    this.deps.fired(record);
    return { fired: true };
  }

  /** Whether a sequence may still run for this caller is seen before it is accepted. */
  async #checkComponents({ namespace, name }: QueuedRequest, caller: Caller): Promise<void> {
    let resolved: Resolved;
    try {
      resolved = await this.deps.resolver.resolve(namespace, name, caller.namespace);
    } catch (thrown) {
      if (toWeftError(thrown).kind === "notFound") return; // its record will say so
      throw thrown;
    }
    await this.deps.firings.checkComponents(resolved, caller.namespace);
  }

  #accepted(from: "invoke" | "rule", requests: number, startedMs: number): void {
    const { clock, metrics } = this.deps;
    metrics.accepted.bound({ from }).inc(requests);
    metrics.acceptSeconds.observe((clock.monoMs() - startedMs) / 1_000);
  }
}

function callerIn(caller: Caller | undefined): Caller {
  if (!caller || caller.namespace === "" || caller.subject === "") {
    throw invalidField("caller", "must say on whose behalf the request is made");
  }
  return caller;
}

/** Gateways of former versions send the whole key, "uuid:key". */
function keyUuidIn({ keyUuid, caller }: SubmitRequest | FireTriggerRequest): string {
  return keyUuid !== "" ? keyUuid : (caller?.apiKey.split(":", 1)[0] ?? "");
}

/** JSON text of an object; "{}" for nothing. @throws invalidArgument */
function payloadOf(field: string, bytes: Uint8Array): string {
  checkPayloadSize(bytes.length);
  checkJsonObject(field, bytes);
  return bytes.length === 0 ? "{}" : textOf(bytes);
}
