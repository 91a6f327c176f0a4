// What every face of the gateway does its work through. See NativeApi.

import type { Clock } from "../base/clock.js";
import { invalidField, invariant, WeftError } from "../base/errors.js";
import { bytesToHex, type ActivationId } from "../base/ids.js";
import { traced, type Tracer } from "../base/trace.js";
import { BLOCKING_WAIT_MS_MAX } from "../core/action/types.js";
import type { Caller } from "../core/dispatch/call.js";
import { checkJsonObject, checkPayloadSize } from "../core/params/merge.js";
import { checkName, parseActionName } from "../core/tenancy/name.js";
import type { UnaryMethod } from "../rpc/channel.js";
import { ownerOfWire, type ActionCache, type Target } from "./action-cache.js";
import type { ApiCache } from "./api-cache.js";
import type { CompositeCalls, CompositeEnding } from "./composite-calls.js";
import { callerHeaders, type ControllerClient } from "./controller-client.js";
import type { IdentityCache } from "./identity-cache.js";
import { limitsProblemOf, namespaceOf, type Ending, type Invocations } from "./invocations.js";
import { InvokeRpcs } from "./invoke-rpcs.js";
import type { GatewayMetrics } from "./metrics.js";
import {
  ActivationLost,
  type FireAnswer,
  type FireCommand,
  type Identity,
  type InvokeAnswer,
  type InvokeCommand,
  type NativeApi,
  type RawAnswer,
  type RequestContext,
  type ServedApi,
  type WebAction,
  type WebContext,
  type Webhook,
} from "./native-api.js";
import { effectOf, isProxied, managesKeys } from "./public-rpcs.js";
import { activationIdOf, activationOf } from "./wire.js";

/** How long a controller may take for a call whose caller set no deadline: a large upload to a slow disk. */
const PROXY_DEADLINE_MS = 60_000;
/** The same where code is stored, which may wait for its turn, be built, and fetch what it needs. */
const STORING_DEADLINE_MS = 300_000;

export interface ApiDeps {
  readonly controller: ControllerClient;
  readonly identities: IdentityCache;
  readonly actions: ActionCache;
  /** The same for callers without a key; holds what was exported and nothing else. */
  readonly webActions: ActionCache;
  readonly apis: ApiCache;
  readonly invocations: Invocations;
  readonly composites: CompositeCalls;
  readonly metrics: GatewayMetrics;
  readonly tracer: Tracer;
  readonly clock: Clock;
}

/** Where an invocation that nobody waits for went, or how the wait for one ended. */
export type Invoked = { readonly kind: "accepted"; readonly activationId: Uint8Array } | Ending | CompositeEnding;

export class Api implements NativeApi {
  readonly invokeRpcs: InvokeRpcs;

  constructor(private readonly deps: ApiDeps) {
    this.invokeRpcs = new InvokeRpcs(this);
  }

  identify(authorization: string | undefined): Promise<Identity> {
    return this.deps.identities.identify(authorization);
  }

  async call<Req, Res>(method: UnaryMethod<Req, Res>, request: Req, context: RequestContext): Promise<Res> {
    const { message } = await this.callRaw(method.path, method.requestSerialize(request), context);
    return method.responseDeserialize(message);
  }

  async callRaw(
    path: string,
    message: Buffer,
    context: RequestContext,
    setHeader?: (name: string, value: string) => void,
  ): Promise<RawAnswer> {
    const own = this.invokeRpcs.handler(path);
    if (own) {
      const headers: Record<string, string> = {};
      const answer = await own(message, context, (name, value) => {
        headers[name] = value;
        setHeader?.(name, value);
      });
      return { message: answer, headers };
    }
    if (!isProxied(path)) {
      throw new WeftError("notFound", "NO_SUCH_RPC", `there is no public rpc ${path}`);
    }
    return this.#proxy(path, message, context);
  }

  async invoke(command: InvokeCommand, context: RequestContext): Promise<InvokeAnswer> {
    return answerOf(await this.start(command, context));
  }

  async webAction(namespace: string, action: string): Promise<WebAction> {
    const { webActions } = this.deps;
    const target =
      webActions.peek(namespace, namespace, action) ?? (await webActions.resolve(namespace, namespace, action));
    const { web } = target;
    invariant(web !== undefined, "controllers resolve web actions with their owner");
    const { annotations, immutable } = web;
    return {
      annotations,
      immutable,
      invoke: (prepare, context) => this.#invokeWeb(target, web.owner, action, prepare, context),
    };
  }

  servedApi(tenantId: string, path: string): Promise<ServedApi | undefined> {
    return this.deps.apis.find(tenantId, path);
  }

  /** As `invoke`, but whoever asks is known to be served: he was admitted to this action only. */
  async #invokeWeb(
    target: Target,
    owner: Identity,
    name: string,
    prepare: () => Uint8Array | undefined,
    { transactionId, traceparent }: WebContext,
  ): Promise<InvokeAnswer | undefined> {
    const { invocations, composites } = this.deps;
    const throttle = await invocations.admit(owner);
    let started = false;
    try {
      const paramsJson = prepare();
      if (!paramsJson) return undefined;
      const problem = limitsProblemOf(owner, target, paramsJson.length);
      const caller = this.#caller({ identity: owner, transactionId, traceparent }, target);
      // What may not be overridden was checked: the request's own properties are no overriding.
      const open = target.final ? { ...target, final: false } : target;
      if (target.composite) {
        const submission = {
          namespace: owner.namespace,
          name,
          target: open,
          paramsJson,
          caller,
          keyUuid: owner.uuid,
          traceparent,
        };
        started = true;
        throttle.release(); // a controller runs it, and takes a place for it
        return answerOf(await composites.run(submission, BLOCKING_WAIT_MS_MAX));
      }
      started = true; // the place is the call's
      return answerOf(
        await invocations.wait(
          open,
          throttle,
          paramsJson,
          caller,
          traceparent,
          BLOCKING_WAIT_MS_MAX,
          problem,
          owner.quota.overrides,
        ),
      );
    } finally {
      if (!started) throttle.release();
    }
  }

  /** As `invoke`, before it is put into words. The order of checks is OpenWhisk's: names, throttles, size, text, action. */
  async start(command: InvokeCommand, context: RequestContext): Promise<Invoked> {
    const { invocations, composites } = this.deps;
    const { identity } = context;
    const { paramsJson, action } = command;
    const namespace = namespaceOf(identity, command.namespace);
    let target = invocations.known(identity, namespace, action);
    if (!target) parseActionName("action", action);
    const waitMs = waitOf(command);
    const { blocking } = command;
    const admitted = blocking ? invocations.admit(identity) : invocations.admitRate(identity);
    const throttle = admitted instanceof Promise ? await admitted : admitted;
    // Of what nobody waits for, and of what is composite, the place is taken where it runs: at a controller.
    let placed = blocking;
    let problem: string | undefined;
    try {
      checkPayloadSize(paramsJson.length);
      target ??= await invocations.resolve(identity, namespace, action, paramsJson);
      problem = limitsProblemOf(identity, target, paramsJson.length);
      if (!blocking || target.composite) {
        if (placed) throttle.release();
        placed = false;
        const caller = this.#caller(context, target);
        const { traceparent } = context;
        const submission = { namespace, name: action, target, paramsJson, caller, keyUuid: identity.uuid, traceparent };
        if (blocking) return await composites.run(submission, waitMs);
        return { kind: "accepted", activationId: await composites.submit(submission) };
      }
      placed = false; // the place is the call's
    } finally {
      if (placed) throttle.release();
    }
    return invocations.wait(
      target,
      throttle,
      paramsJson,
      this.#caller(context, target),
      context.traceparent,
      waitMs,
      problem,
      identity.quota.overrides,
    );
  }

  async webhook(token: string): Promise<Webhook> {
    const { owner, trigger, signingSecret } = await this.deps.controller.resolveWebhook(token);
    invariant(owner !== undefined, "controllers resolve webhooks with their owner");
    const identity = ownerOfWire(owner);
    return {
      signingSecret: signingSecret === "" ? undefined : signingSecret,
      fire: (paramsJson, headersJson, context) =>
        this.fire({ namespace: identity.namespace, trigger, paramsJson, headersJson }, { ...context, identity }),
    };
  }

  async fire(command: FireCommand, context: RequestContext): Promise<FireAnswer> {
    const { invocations, metrics, controller, tracer } = this.deps;
    const { identity } = context;
    const namespace = namespaceOf(identity, command.namespace);
    checkName("trigger", command.trigger);
    await invocations.admitFire(identity);
    checkPayloadSize(command.paramsJson.length, identity.quota.overrides?.maxPayloadSize);
    checkJsonObject("params", command.paramsJson);
    const activationId = invocations.newActivationId();
    const { fired } = await traced(
      tracer,
      "trigger.fire",
      context.traceparent,
      (span) =>
        controller.fire({
          activationId,
          namespace,
          name: command.trigger,
          paramsJson: command.paramsJson,
          caller: this.#caller(context, undefined),
          keyUuid: identity.uuid,
          traceparent: span.traceparent,
          headersJson: command.headersJson,
        }),
      { kind: "server" },
    );
    (fired ? metrics.fired : metrics.firedNothing).inc();
    return { activationId: fired ? (bytesToHex(activationId) as ActivationId) : undefined };
  }

  async #proxy(path: string, message: Buffer, context: RequestContext): Promise<RawAnswer> {
    const { identity, deadlineMonoMs, traceparent } = context;
    if (identity.delegated && managesKeys(path)) {
      const message = "a key that was made for an activation manages no keys, subjects and namespaces";
      throw new WeftError("permissionDenied", "DELEGATED_KEY", message);
    }
    const { actions, apis, webActions, identities, clock, tracer, controller } = this.deps;
    const transactionId = context.transactionId || this.deps.invocations.newTransactionId();
    const most = effectOf(path) === "actions" ? STORING_DEADLINE_MS : PROXY_DEADLINE_MS;
    const deadlineMs = Math.min(most, (deadlineMonoMs ?? Infinity) - clock.monoMs());
    const answer = await traced(
      tracer,
      path.slice(1),
      traceparent,
      (span) =>
        controller.proxy(path, message, {
          headers: callerHeaders({ ...identity, transactionId, traceparent: span.traceparent }),
          deadlineMs,
          signal: context.signal,
        }),
      { kind: "server" },
    );
    // A caller sees in his next call what he just wrote, without waiting until the change is told.
    switch (effectOf(path)) {
      case "actions":
        actions.forgetNamespace(identity.namespace);
        webActions.forgetNamespace(identity.namespace);
        break;
      case "identities":
        identities.clear();
        webActions.clear(); // they have their owners' limits
        break;
      case "apis":
        apis.forgetNamespace(identity.namespace);
        break;
      case "none":
        break;
    }
    return answer;
  }

  /** @param target what it runs at once; what is durable gets its key where it runs */
  #caller({ identity, transactionId }: RequestContext, target: Target | undefined): Caller {
    return {
      namespace: identity.namespace,
      subject: identity.subject,
      transactionId: transactionId || this.deps.invocations.newTransactionId(),
      apiKey: target && !target.composite && target.provideApiKey ? this.deps.invocations.keyFor(identity, target) : "",
      cause: "",
      binding: target?.binding ?? "",
    };
  }
}

function answerOf(invoked: Invoked): InvokeAnswer {
  switch (invoked.kind) {
    case "accepted":
      return { kind: "accepted", activationId: bytesToHex(invoked.activationId) as ActivationId };
    case "running":
      return { kind: "running", activationId: activationIdOf(invoked.call) };
    case "continues":
      return { kind: "running", activationId: bytesToHex(invoked.activationId) as ActivationId };
    case "recorded":
      return { kind: "done", activationId: invoked.activation.id, activation: invoked.activation };
    case "ended": {
      const { call, result } = invoked;
      switch (result.kind) {
        case "done":
          return { kind: "done", activationId: activationIdOf(call), activation: activationOf(call, result) };
        case "refused":
          throw result.error;
        case "lost":
          throw new ActivationLost(activationIdOf(call), result.error.message, result.error);
      }
    }
  }
}

function waitOf({ blocking, waitMs }: InvokeCommand): number {
  if (!blocking || waitMs === 0) return BLOCKING_WAIT_MS_MAX;
  if (Number.isFinite(waitMs) && waitMs >= 1 && waitMs <= BLOCKING_WAIT_MS_MAX) return waitMs;
  throw invalidField("wait_ms", `must be 1 to ${BLOCKING_WAIT_MS_MAX}, got ${waitMs}`);
}
