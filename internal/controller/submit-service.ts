import type { Clock } from "../base/clock.js";
import { invalidField, toWeftError, WeftError } from "../base/errors.js";
import { newActivationId } from "../base/ids.js";
import type { Random } from "../base/random.js";
import type { EntityStore } from "../core/action/store.js";
import type { RuleLink } from "../core/action/types.js";
import type { TriggerActivation } from "../core/activation/types.js";
import { checkJsonObject, checkPayloadSize, mergeParams } from "../core/params/merge.js";
import type { QueuedRequest, QueueStore } from "../core/queue/store.js";
import { splitKey } from "../core/rule/rule.js";
import { forbidden } from "../core/sequence/definition.js";
import { recordToWire } from "../dispatch/record-wire.js";
import { checkName, formatActionName, parseActionName } from "../core/tenancy/name.js";
import { decideFire, type FireDecision, type RuleTarget } from "../core/trigger/fire.js";
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
import type { ControllerMetrics } from "./metrics.js";
import type { Admissions } from "./admissions.js";
import type { QueueDispatcher } from "./queue-dispatcher.js";
import type { Awaits } from "./awaits.js";
import { NOT_FOR_CALLER, type Resolved, type Resolver } from "./resolver.js";
import { activationIdOf, textOf } from "./wire.js";

export interface SubmitServiceDeps {
  readonly queue: Pick<QueueStore, "submit" | "fire">;
  readonly entities: Pick<EntityStore, "getTrigger" | "rulesOf">;
  readonly resolver: Resolver;
  readonly dispatcher: QueueDispatcher;
  readonly admissions: Pick<Admissions, "place" | "invocation" | "mayStart" | "free">;
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
      apiKey: caller.apiKey,
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
    const { clock, dispatcher, entities, queue } = this.deps;
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
    const [trigger, links] = await Promise.all([
      entities.getTrigger(namespace, name),
      entities.rulesOf(namespace, name),
    ]);
    const targets = new Map<RuleLink, RuleTarget>();
    const active = links.filter((link) => link.active);
    await Promise.all(active.map(async (link) => targets.set(link, await this.#target(link, caller))));
    const firing = {
      id,
      payload: request.paramsJson,
      headersJson: request.headersJson,
      callerNamespace: caller.namespace,
      subject: caller.subject,
      transactionId: caller.transactionId,
      apiKey: caller.apiKey,
      traceparent: request.traceparent,
      wallMs: clock.wallMs(),
    };
    const decision = this.#decide(targets, caller, () =>
      decideFire(trigger, links, (link) => targets.get(link) ?? notLooked(link), firing),
    );
    if (!decision) return { fired: false };
    const { record, requests } = decision;
    await dispatcher.accept(requests, (owner) => queue.fire(record, requests, owner));
    this.#accepted("rule", requests.length, startedMs);
    this.deps.fired(record);
    return { fired: true };
  }

  /** Decides, and frees the places of rules that start nothing. */
  #decide(
    targets: ReadonlyMap<RuleLink, RuleTarget>,
    caller: Caller,
    decide: () => FireDecision | undefined,
  ): FireDecision | undefined {
    const started = new Set<string>();
    try {
      const decision = decide();
      for (const { id } of decision?.requests ?? []) started.add(id);
      return decision;
    } finally {
      for (const target of targets.values()) {
        if (target.kind === "found" && !started.has(target.id)) this.deps.admissions.free(caller.namespace);
      }
    }
  }

  /**
   * The action of a rule as the firing identity sees it. One that is found has a place. Never throws: what is wrong goes
   * into the trigger's log.
   */
  async #target(link: RuleLink, caller: Caller): Promise<RuleTarget> {
    const { namespace, name } = splitKey(link.action);
    try {
      // Before anything else, as an invocation is: one of what does not exist counts as well.
      await this.deps.admissions.invocation(caller.namespace);
    } catch (thrown) {
      return { kind: "refused", error: toWeftError(thrown) };
    }
    try {
      const resolved = await this.deps.resolver.resolve(namespace, name, caller.namespace);
      const { defaults, final, providesApiKey, composite } = resolved;
      await this.#mayUse(resolved, caller);
      await this.deps.admissions.mayStart(caller.namespace, resolved);
      return {
        kind: "found",
        id: newActivationId(this.deps.random, this.deps.clock.wallMs()),
        providesKey: providesApiKey || composite !== undefined,
        check: (params) => {
          mergeParams(defaults, params, final);
        },
      };
    } catch (thrown) {
      this.deps.admissions.free(caller.namespace);
      return { kind: "refused", error: toWeftError(thrown) };
    }
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
    await this.#mayUse(resolved, caller);
  }

  /** @throws permissionDenied for a component that others have and do not share any more */
  async #mayUse({ action }: Resolved, caller: Caller): Promise<void> {
    for (const key of action.exec.components ?? []) {
      const { namespace, name } = splitKey(key);
      try {
        await this.deps.resolver.resolve(namespace, name, caller.namespace);
      } catch (thrown) {
        const { kind, reason } = toWeftError(thrown);
        if (reason === NOT_FOR_CALLER || kind === "permissionDenied") throw forbidden(key);
        // What is not there any more is told by the run.
        if (kind !== "notFound" && kind !== "failedPrecondition") throw thrown;
      }
    }
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

/** JSON text of an object; "{}" for nothing. @throws invalidArgument */
function payloadOf(field: string, bytes: Uint8Array): string {
  checkPayloadSize(bytes.length);
  checkJsonObject(field, bytes);
  return bytes.length === 0 ? "{}" : textOf(bytes);
}

function notLooked(link: RuleLink): RuleTarget {
  return { kind: "refused", error: new WeftError("internal", "NOT_LOOKED_UP", `${link.action} was not looked up`) };
}
