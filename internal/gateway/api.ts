// What every face of the gateway does its work through. See NativeApi.

import type { Clock } from "../base/clock.js";
import { invalidField, WeftError } from "../base/errors.js";
import { bytesToHex, type ActivationId } from "../base/ids.js";
import { traced, type Tracer } from "../base/trace.js";
import { BLOCKING_WAIT_MS_MAX } from "../core/action/types.js";
import type { Caller } from "../core/dispatch/call.js";
import { checkJsonObject, checkPayloadSize, mergeParams } from "../core/params/merge.js";
import { checkName, parseActionName } from "../core/tenancy/name.js";
import type { UnaryMethod } from "../rpc/channel.js";
import type { ActionCache, Target } from "./action-cache.js";
import { callerHeaders, type ControllerClient } from "./controller-client.js";
import type { IdentityCache } from "./identity-cache.js";
import { namespaceOf, type Ending, type Invocations } from "./invocations.js";
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
} from "./native-api.js";
import { effectOf, isProxied } from "./public-rpcs.js";
import { activationIdOf, activationOf } from "./wire.js";

/** How long a controller may take for a call whose caller set no deadline: a large upload to a slow disk. */
const PROXY_DEADLINE_MS = 60_000;

export interface ApiDeps {
  readonly controller: ControllerClient;
  readonly identities: IdentityCache;
  readonly actions: ActionCache;
  readonly invocations: Invocations;
  readonly metrics: GatewayMetrics;
  readonly tracer: Tracer;
  readonly clock: Clock;
}

/** Where an invocation that nobody waits for went, or how the wait for one ended. */
export type Invoked = { readonly kind: "accepted"; readonly activationId: Uint8Array } | Ending;

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
    const invoked = await this.start(command, context);
    switch (invoked.kind) {
      case "accepted":
        return { kind: "accepted", activationId: bytesToHex(invoked.activationId) as ActivationId };
      case "running":
        return { kind: "running", activationId: activationIdOf(invoked.call) };
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

  /** As `invoke`, before it is put into words. The order of checks is OpenWhisk's: names, throttles, size, text, action. */
  async start(command: InvokeCommand, context: RequestContext): Promise<Invoked> {
    const { invocations } = this.deps;
    const { identity } = context;
    const { paramsJson, action } = command;
    const namespace = namespaceOf(identity, command.namespace);
    let target = invocations.known(identity, namespace, action);
    if (!target) parseActionName("action", action);
    const waitMs = waitOf(command);
    const throttle = invocations.admit(identity);
    let started = false;
    try {
      checkPayloadSize(paramsJson.length);
      target ??= await invocations.resolve(identity, namespace, action, paramsJson);
      if (!command.blocking) {
        return { kind: "accepted", activationId: await this.#submit(namespace, command, target, context) };
      }
      started = true; // the place is the call's
    } finally {
      if (!started) throttle.release();
    }
    return invocations.wait(
      target,
      throttle,
      paramsJson,
      this.#caller(context, target.provideApiKey, target.binding),
      context.traceparent,
      waitMs,
    );
  }

  async fire(command: FireCommand, context: RequestContext): Promise<FireAnswer> {
    const { invocations, metrics, controller, tracer } = this.deps;
    const { identity } = context;
    const namespace = namespaceOf(identity, command.namespace);
    checkName("trigger", command.trigger);
    invocations.admitFire(identity);
    checkPayloadSize(command.paramsJson.length);
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
          // With the key: which of the actions that the rules name ask for it, the controller sees.
          caller: this.#caller(context, true, ""),
          traceparent: span.traceparent,
          headersJson: command.headersJson,
        }),
      { kind: "server" },
    );
    (fired ? metrics.fired : metrics.firedNothing).inc();
    return { activationId: fired ? (bytesToHex(activationId) as ActivationId) : undefined };
  }

  async #submit(
    namespace: string,
    { action, paramsJson }: InvokeCommand,
    target: Target,
    context: RequestContext,
  ): Promise<Uint8Array> {
    const { invocations, metrics, controller, tracer } = this.deps;
    // Defaults are merged when it runs, by whatever the action then is; what is wrong now is told now.
    if (target.final) mergeParams(target.defaults, paramsJson, true);
    else checkJsonObject("params", paramsJson);
    const activationId = invocations.newActivationId();
    await traced(
      tracer,
      "activation.submit",
      context.traceparent,
      (span) =>
        controller.submit({
          activationId,
          namespace,
          name: action,
          paramsJson,
          caller: this.#caller(context, target.provideApiKey, target.binding),
          traceparent: span.traceparent,
        }),
      { kind: "server" },
    );
    metrics.submitted.inc();
    return activationId;
  }

  async #proxy(path: string, message: Buffer, context: RequestContext): Promise<RawAnswer> {
    const { identity, deadlineMonoMs, traceparent } = context;
    const { actions, identities, clock, tracer, controller } = this.deps;
    const transactionId = context.transactionId || this.deps.invocations.newTransactionId();
    const deadlineMs = Math.min(PROXY_DEADLINE_MS, (deadlineMonoMs ?? Infinity) - clock.monoMs());
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
        break;
      case "identities":
        identities.clear();
        break;
      case "none":
        break;
    }
    return answer;
  }

  #caller({ identity, transactionId }: RequestContext, provideApiKey: boolean, binding: string): Caller {
    return {
      namespace: identity.namespace,
      subject: identity.subject,
      transactionId: transactionId || this.deps.invocations.newTransactionId(),
      apiKey: provideApiKey ? identity.apiKey : "",
      cause: "",
      binding,
    };
  }
}

function waitOf({ blocking, waitMs }: InvokeCommand): number {
  if (!blocking || waitMs === 0) return BLOCKING_WAIT_MS_MAX;
  if (Number.isFinite(waitMs) && waitMs >= 1 && waitMs <= BLOCKING_WAIT_MS_MAX) return waitMs;
  throw invalidField("wait_ms", `must be 1 to ${BLOCKING_WAIT_MS_MAX}, got ${waitMs}`);
}
