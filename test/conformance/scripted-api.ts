// A gateway's native API without a fabric below it: entities in memory, and actions of nodejs run where they stand. It
// behaves as the protos say, so that both faces can be held against each other, and against OpenWhisk's contract,
// before and beside the tests of whole fabrics.

import { WeftError, invalidField } from "../../internal/base/errors.js";
import { newActivationId, type ActivationId } from "../../internal/base/ids.js";
import type { Random } from "../../internal/base/random.js";
import { LIMIT_BOUNDS, PAYLOAD_BYTES_MAX } from "../../internal/core/action/types.js";
import type { ActionActivation, Outcome } from "../../internal/core/activation/types.js";
import { checkPayloadSize, mergeParams } from "../../internal/core/params/merge.js";
import { LOCAL_NAMESPACE_LIMITS } from "../../internal/core/tenancy/store.js";
import { HttpBody } from "../../internal/gen/google/api/httpbody.pb.js";
import type { Timestamp } from "../../internal/gen/google/protobuf/timestamp.pb.js";
import { AccessServiceService as Access } from "../../internal/gen/weft/access/v1/access.pb.js";
import { ActionServiceService as Actions, type Action } from "../../internal/gen/weft/action/v1/action.pb.js";
import {
  ActivationServiceService as Activations,
  Outcome as WireOutcome,
  Start,
  Subject,
  type Activation,
} from "../../internal/gen/weft/activation/v1/activation.pb.js";
import type { KeyValue } from "../../internal/gen/weft/common/v1/common.pb.js";
import { InvokeServiceService as Invoke } from "../../internal/gen/weft/invoke/v1/invoke.pb.js";
import { PackageServiceService as Packages, type Package } from "../../internal/gen/weft/packages/v1/package.pb.js";
import { RuleServiceService as Rules, type Rule } from "../../internal/gen/weft/rule/v1/rule.pb.js";
import { TriggerServiceService as Triggers, type Trigger } from "../../internal/gen/weft/trigger/v1/trigger.pb.js";
import type {
  FireAnswer,
  FireCommand,
  Identity,
  InvokeAnswer,
  InvokeCommand,
  NativeApi,
  RawAnswer,
  RequestContext,
  WebAction,
  Webhook,
} from "../../internal/gateway/native-api.js";
import type { UnaryMethod } from "../../internal/rpc/channel.js";

interface AnyMethod extends UnaryMethod<never, never> {
  readonly requestDeserialize: (bytes: Buffer) => unknown;
  readonly responseSerialize: (message: never) => Buffer;
}

type Handler = (request: never, context: RequestContext) => unknown;
type Kind = "action" | "package" | "trigger" | "rule";

interface Entity {
  namespace: string;
  name: string;
  version: string;
  etag: string;
  updateTime: Timestamp | undefined;
}

const OUTCOMES: Readonly<Record<Outcome, WireOutcome>> = {
  success: WireOutcome.SUCCESS,
  applicationError: WireOutcome.APPLICATION_ERROR,
  developerError: WireOutcome.DEVELOPER_ERROR,
  platformError: WireOutcome.PLATFORM_ERROR,
};

const UNARY_METHODS: readonly AnyMethod[] = [Access, Actions, Activations, Packages, Rules, Triggers].flatMap(
  (service) => Object.values(service) as unknown as AnyMethod[],
);

const OWNER = { uuid: "", subject: "guest", namespace: "guest", operator: false, quota: LOCAL_NAMESPACE_LIMITS };

export interface ScriptedApiOptions {
  readonly random: Random;
  /** "uuid:key" of namespace guest. */
  readonly auth: string;
}

export class ScriptedApi implements NativeApi {
  /** Throws what is here before it does anything else: for faults. */
  fault: WeftError | undefined;

  /** Triggers by the secret parts of URLs that fire them. */
  readonly webhooks = new Map<string, string>();

  readonly #entities = new Map<string, { readonly kind: Kind; readonly entity: Entity }>();
  readonly #records = new Map<string, Activation>();
  readonly #handlers = new Map<string, Handler>();
  #revision = 0;
  #wallMs = Date.UTC(2026, 0, 1);

  constructor(private readonly options: ScriptedApiOptions) {
    this.#serve();
  }

  /** Paths of the rpcs it has. */
  get paths(): readonly string[] {
    return [...this.#handlers.keys(), Invoke.invoke.path, Invoke.call.path, Invoke.fire.path];
  }

  identify(authorization: string | undefined): Promise<Identity> {
    if (authorization === undefined) {
      return refuse("unauthenticated", "NO_CREDENTIALS", "the call has no credentials");
    }
    const [, scheme, value = ""] = /^(Basic|Bearer) (.+)$/.exec(authorization) ?? [];
    const auth = scheme === "Basic" ? Buffer.from(value, "base64").toString() : value;
    if (auth !== this.options.auth)
      return refuse("unauthenticated", "BAD_CREDENTIALS", "the credentials are not valid");
    return Promise.resolve({
      ...OWNER,
      uuid: auth.split(":")[0] ?? "",
      apiKey: auth,
    });
  }

  /** APIs are held on whole fabrics: there are none here. */
  servedApi(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async call<Req, Res>(method: UnaryMethod<Req, Res>, request: Req, context: RequestContext): Promise<Res> {
    const handler = this.#handlers.get(method.path);
    if (!handler) throw new WeftError("notFound", "NO_SUCH_RPC", `there is no public rpc ${method.path}`);
    if (this.fault) throw this.fault;
    const answer = await Promise.resolve(handler(request as never, context));
    // What comes out of memory must not be what is in it.
    return structuredClone(answer) as Res;
  }

  async callRaw(
    path: string,
    message: Buffer,
    context: RequestContext,
    setHeader?: (name: string, value: string) => void,
  ): Promise<RawAnswer> {
    if (this.fault) throw this.fault;
    switch (path) {
      case Invoke.invoke.path: {
        const request = Invoke.invoke.requestDeserialize(message);
        const command = { ...request, paramsJson: Buffer.from(request.paramsJson) };
        const answer = await this.invoke(command, context);
        const activation = answer.kind === "done" ? this.#records.get(answer.activationId) : undefined;
        const response = {
          activationId: answer.activationId,
          activation: activation && { ...activation, logs: [] },
        };
        return { message: Invoke.invoke.responseSerialize(response), headers: {} };
      }
      case Invoke.call.path: {
        const { namespace, action, params } = Invoke.call.requestDeserialize(message);
        const paramsJson = params?.data ?? new Uint8Array();
        const answer = await this.invoke({ namespace, action, paramsJson, blocking: true, waitMs: 0 }, context);
        setHeader?.("weft-activation-id", answer.activationId);
        if (answer.kind !== "done") throw new WeftError("deadlineExceeded", "STILL_RUNNING", "the activation goes on");
        const { outcome, resultJson } = answer.activation;
        if (outcome !== "success") throw new WeftError("failedPrecondition", "APPLICATION_ERROR", resultJson);
        const body = HttpBody.encode({
          contentType: "application/json",
          data: Buffer.from(resultJson),
          extensions: [],
        }).finish();
        return { message: Buffer.from(body), headers: { "weft-activation-id": answer.activationId } };
      }
      case Invoke.fire.path: {
        const request = Invoke.fire.requestDeserialize(message);
        const paramsJson = Buffer.from(request.paramsJson);
        const { activationId = "" } = await this.fire(
          { ...request, paramsJson, headersJson: Buffer.alloc(0) },
          context,
        );
        return { message: Invoke.fire.responseSerialize({ activationId }), headers: {} };
      }
      default: {
        const method = UNARY_METHODS.find((one) => one.path === path);
        if (!method) throw new WeftError("notFound", "NO_SUCH_RPC", `there is no public rpc ${path}`);
        const answer: unknown = await this.call(method, method.requestDeserialize(message) as never, context);
        return { message: method.responseSerialize(answer as never), headers: {} };
      }
    }
  }

  async invoke(command: InvokeCommand, context: RequestContext): Promise<InvokeAnswer> {
    if (this.fault) throw this.fault;
    const { namespace } = this.#own(command.namespace, context);
    checkPayloadSize(command.paramsJson.length);
    const action = this.#find<Action>("action", namespace, command.action);
    const final = action.annotations.some(({ key, valueJson }) => key === "final" && valueJson === "true");
    return this.#start(action, command, final, context);
  }

  webAction(namespace: string, name: string): Promise<WebAction> {
    if (this.fault) return Promise.reject(this.fault);
    const found = this.#entities.get(keyOf(namespace, name));
    const action = found?.kind === "action" ? (found.entity as Action) : undefined;
    const annotations = new Map(action?.annotations.map(({ key, valueJson }) => [key, valueJson]));
    if (!action || annotations.get("web-export") !== "true") {
      return refuse("notFound", "WEB_ACTION_NOT_FOUND", `there is no web action ${namespace}/${name}`);
    }
    const immutable = this.#defaultsOf(action).filter(
      ({ valueJson }) => annotations.get("final") === "true" && valueJson !== "null",
    );
    const identity = { ...OWNER, apiKey: "" };
    return Promise.resolve({
      annotations,
      immutable: new Set(immutable.map(({ key }) => key)),
      invoke: async (prepare, context) => {
        if (this.fault) throw this.fault;
        const paramsJson = prepare();
        if (!paramsJson) return undefined;
        return this.#start(action, { paramsJson, blocking: true, waitMs: 0 }, false, { ...context, identity });
      },
    });
  }

  webhook(token: string): Promise<Webhook> {
    if (this.fault) return Promise.reject(this.fault);
    const trigger = this.webhooks.get(token);
    if (trigger === undefined) return refuse("notFound", "WEBHOOK_NOT_FOUND", "there is no such webhook");
    const identity = { ...OWNER, apiKey: "" };
    return Promise.resolve({
      signingSecret: undefined,
      fire: (paramsJson, headersJson, context) =>
        this.fire({ namespace: OWNER.namespace, trigger, paramsJson, headersJson }, { ...context, identity }),
    });
  }

  #defaultsOf(action: Action): KeyValue[] {
    const slash = action.name.indexOf("/");
    const parent =
      slash < 0 ? [] : this.#find<Package>("package", action.namespace, action.name.slice(0, slash)).parameters;
    return [...new Map([...parent, ...action.parameters].map((entry) => [entry.key, entry])).values()];
  }

  async #start(
    action: Action,
    command: Pick<InvokeCommand, "paramsJson" | "blocking" | "waitMs">,
    final: boolean,
    context: RequestContext,
  ): Promise<InvokeAnswer> {
    const params = mergeParams(
      this.#defaultsOf(action).map(({ key, valueJson }) => ({ key, valueJson: Buffer.from(valueJson) })),
      command.paramsJson,
      final,
    );
    const id = newActivationId(this.options.random, this.#wallMs);
    const run = this.#run(id, action, params, context);
    if (!command.blocking) {
      run.catch(() => undefined);
      return { kind: "accepted", activationId: id };
    }
    let timer: NodeJS.Timeout | undefined;
    const waited = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), command.waitMs || 60_000);
    });
    const activation = await Promise.race([run, waited]);
    clearTimeout(timer);
    return activation ? { kind: "done", activationId: id, activation } : { kind: "running", activationId: id };
  }

  async fire(command: FireCommand, context: RequestContext): Promise<FireAnswer> {
    if (this.fault) throw this.fault;
    const { namespace } = this.#own(command.namespace, context);
    checkPayloadSize(command.paramsJson.length);
    const paramsJson = mergeParams([], command.paramsJson);
    const trigger = this.#find<Trigger>("trigger", namespace, command.trigger);
    const rules = this.#rulesOf(trigger);
    if (!rules.some((rule) => rule.active)) return { activationId: undefined };
    const activationId = newActivationId(this.options.random, this.#wallMs);
    const startMs = this.#tick();
    const logs: string[] = [];
    for (const rule of rules) {
      const about = { rule: `${rule.namespace}/${rule.name}`, action: rule.action.slice(1) };
      if (!rule.active) {
        logs.push(
          JSON.stringify({ statusCode: 1, success: false, ...about, error: `Rule '${about.rule}' is inactive.` }),
        );
        continue;
      }
      try {
        const action = about.action.slice(about.action.indexOf("/") + 1);
        const command = { namespace, action, paramsJson, blocking: false, waitMs: 0 };
        const started = await this.invoke(command, context);
        logs.push(JSON.stringify({ statusCode: 0, success: true, activationId: started.activationId, ...about }));
      } catch (thrown) {
        const error = thrown instanceof Error ? thrown.message : String(thrown);
        logs.push(JSON.stringify({ statusCode: 1, success: false, ...about, error }));
      }
    }
    this.#records.set(activationId, {
      ...this.#emptyRecord(activationId, startMs),
      name: trigger.name,
      path: `${namespace}/${trigger.name}`,
      version: trigger.version,
      of: Subject.TRIGGER,
      endTime: undefined,
      resultJson: Buffer.from(paramsJson).toString(),
      logs,
    });
    return { activationId };
  }

  // ---- activations ----

  async #run(id: ActivationId, action: Action, params: Uint8Array, context: RequestContext): Promise<ActionActivation> {
    const startWallMs = this.#tick();
    const lines: string[] = [];
    const { outcome, resultJson } = await evaluate(action, Buffer.from(params).toString(), lines);
    const slash = action.name.indexOf("/");
    const activation: ActionActivation = {
      of: "action",
      id,
      namespace: context.identity.namespace,
      subject: context.identity.subject,
      name: action.name.slice(slash + 1),
      path: `${action.namespace}/${action.name}`,
      version: action.version,
      kind: action.exec?.kind ?? "",
      startWallMs,
      durationMs: 7,
      initMs: 3,
      waitMs: 1,
      outcome,
      resultJson,
      resultSize: Buffer.byteLength(resultJson),
      timedOut: false,
      logs: lines,
      limits: {
        timeoutMs: action.limits?.timeoutMs ?? 0,
        memoryMb: action.limits?.memoryMb ?? 0,
        logsMb: action.limits?.logsMb ?? 0,
        concurrency: action.limits?.concurrency ?? 0,
      },
      cause: undefined,
      binding: undefined,
      transactionId: context.transactionId,
      traceId: "",
      startKind: "cold",
      invokerId: "scripted",
    };
    this.#records.set(id, {
      ...this.#emptyRecord(id, startWallMs),
      ...activation,
      of: Subject.ACTION,
      outcome: OUTCOMES[outcome],
      endTime: stamp(startWallMs + activation.durationMs),
      logs: lines,
      cause: "",
      binding: "",
      start: Start.COLD,
    });
    return activation;
  }

  #emptyRecord(activationId: string, startMs: number): Activation {
    return {
      activationId,
      namespace: "guest",
      name: "",
      path: "",
      version: "",
      subject: "guest",
      of: Subject.ACTION,
      startTime: stamp(startMs),
      endTime: undefined,
      durationMs: 0,
      initMs: undefined,
      waitMs: 0,
      outcome: WireOutcome.SUCCESS,
      timedOut: false,
      resultJson: "",
      resultSize: 0,
      logs: [],
      kind: "",
      limits: undefined,
      cause: "",
      binding: "",
      start: Start.UNSPECIFIED,
      traceId: "",
      composition: false,
    };
  }

  // ---- entities ----

  #serve(): void {
    const serve = <Req, Res>(
      method: UnaryMethod<Req, Res>,
      handler: (request: Req, context: RequestContext) => Res,
    ): void => {
      this.#handlers.set(method.path, handler);
    };
    serve(Access.whoAmI, (_request, { identity }) => ({
      subject: identity.subject,
      namespace: identity.namespace,
      uuid: identity.uuid,
      operator: identity.operator,
    }));

    serve(Actions.createAction, ({ action }, context) => this.#create("action", action, context, this.#newAction));
    serve(Actions.getAction, (request, context) => {
      const action = this.#find<Action>("action", this.#own(request.namespace, context).namespace, request.name);
      return request.withCode ? action : withoutCode(action);
    });
    serve(Actions.listActions, (request, context) => {
      const page = this.#page<Action>("action", request, context);
      const inPackage = page.all.filter(({ name }) => request.package === "" || name.startsWith(`${request.package}/`));
      return { actions: page.cut(inPackage).map(withoutCode), ...page.about(inPackage.length) };
    });
    serve(Actions.updateAction, (request, context) =>
      this.#update("action", request.action, request, context, this.#newAction, (old, change, given) => ({
        ...old,
        exec: given.has("exec") ? this.#exec(change) : old.exec,
        parameters: given.has("parameters") ? change.parameters : old.parameters,
        publish: given.has("publish") ? change.publish : old.publish,
        limits: {
          timeoutMs: change.limits?.timeoutMs || (old.limits?.timeoutMs ?? 0),
          memoryMb: change.limits?.memoryMb || (old.limits?.memoryMb ?? 0),
          logsMb: change.limits?.logsMb ?? old.limits?.logsMb,
          concurrency: change.limits?.concurrency || (old.limits?.concurrency ?? 0),
        },
        annotations: withExec(
          merged(
            old.annotations.filter(({ key }) => !request.deleteAnnotations.includes(key)),
            change.annotations,
          ),
          given.has("exec") ? this.#exec(change).kind : (old.exec?.kind ?? ""),
        ),
      })),
    );
    serve(Actions.deleteAction, (request, context) => this.#delete("action", request, context));

    serve(Packages.createPackage, (request, context) => {
      if (request.package?.name === "default") throw invalidField("name", "default is reserved");
      return this.#create("package", request.package, context);
    });
    serve(Packages.getPackage, (request, context) => {
      const found = this.#find<Package>("package", this.#own(request.namespace, context).namespace, request.name);
      return { ...found, actions: this.#actionsOf(found) };
    });
    serve(Packages.listPackages, (request, context) => {
      const page = this.#page<Package>("package", request, context);
      return { packages: page.cut(page.all), ...page.about(page.all.length) };
    });
    serve(Packages.updatePackage, (request, context) =>
      this.#update("package", request.package, request, context, undefined, replaceLists),
    );
    serve(Packages.deletePackage, (request, context) => {
      const found = this.#find<Package>("package", this.#own(request.namespace, context).namespace, request.name);
      const actions = this.#actionsOf(found);
      if (actions.length > 0 && !request.force) {
        throw new WeftError("failedPrecondition", "PACKAGE_NOT_EMPTY", `package ${request.name} is not empty`);
      }
      for (const name of actions) this.#entities.delete(keyOf("guest", `${request.name}/${name}`));
      return this.#delete("package", request, context);
    });

    serve(Triggers.createTrigger, (request, context) => this.#create("trigger", request.trigger, context));
    serve(Triggers.getTrigger, (request, context) => {
      const { namespace } = this.#own(request.namespace, context);
      return this.#withRules(this.#find<Trigger>("trigger", namespace, request.name));
    });
    serve(Triggers.listTriggers, (request, context) => {
      const page = this.#page<Trigger>("trigger", request, context);
      return { triggers: page.cut(page.all), ...page.about(page.all.length) };
    });
    serve(Triggers.updateTrigger, (request, context) =>
      this.#withRules(this.#update("trigger", request.trigger, request, context, undefined, replaceLists)),
    );
    serve(Triggers.deleteTrigger, (request, context) => {
      const { namespace } = this.#own(request.namespace, context);
      const trigger = this.#find<Trigger>("trigger", namespace, request.name);
      for (const rule of this.#rulesOf(trigger)) rule.active = false;
      return this.#delete("trigger", request, context);
    });

    serve(Rules.createRule, (request, context) => this.#create("rule", request.rule, context, this.#newRule));
    serve(Rules.getRule, (request, context) =>
      this.#find<Rule>("rule", this.#own(request.namespace, context).namespace, request.name),
    );
    serve(Rules.listRules, (request, context) => {
      const page = this.#page<Rule>("rule", request, context);
      return { rules: page.cut(page.all), ...page.about(page.all.length) };
    });
    serve(Rules.updateRule, (request, context) =>
      this.#update("rule", request.rule, request, context, this.#newRule, (old, change, given) => ({
        ...old,
        trigger: given.has("trigger") ? change.trigger : old.trigger,
        action: given.has("action") ? change.action : old.action,
        annotations: given.has("annotations") ? change.annotations : old.annotations,
      })),
    );
    serve(Rules.enableRule, (request, context) => this.#setActive(request, context, true));
    serve(Rules.disableRule, (request, context) => this.#setActive(request, context, false));
    serve(Rules.deleteRule, (request, context) => this.#delete("rule", request, context));

    serve(Activations.getActivation, (request, context) => {
      const { namespace } = this.#own(request.namespace, context);
      const found = this.#records.get(request.activationId);
      if (found?.namespace !== namespace) throw notFound("activation", namespace, request.activationId);
      return found;
    });
    serve(Activations.listActivations, (request, context) => {
      const { namespace } = this.#own(request.namespace, context);
      const ms = (time: Timestamp | undefined): number => (time ? time.seconds * 1000 + time.nanos / 1e6 : 0);
      const all = [...this.#records.values()]
        .filter((record) => record.namespace === namespace)
        .filter((record) => request.name === "" || record.path.slice(namespace.length + 1) === request.name)
        .filter((record) => !request.since || ms(record.startTime) >= ms(request.since))
        .filter((record) => !request.upto || ms(record.startTime) <= ms(request.upto))
        .sort((a, b) => ms(b.startTime) - ms(a.startTime));
      const page = all.slice(request.skip, request.skip + (request.pageSize || 30));
      return {
        activations: request.full ? page : page.map((record) => ({ ...record, resultJson: "", logs: [] })),
        nextPageToken: "",
        totalSize: request.withTotal ? all.length : undefined,
      };
    });
  }

  readonly #newAction = (action: Action): Action => {
    const exec = this.#exec(action);
    if (action.name.includes("/")) this.#find("package", action.namespace, action.name.split("/")[0] ?? "");
    const annotations = action.annotations.some(({ key }) => key === "provide-api-key")
      ? action.annotations
      : [...action.annotations, { key: "provide-api-key", valueJson: "false", init: false }];
    return {
      ...action,
      exec,
      annotations: withExec(annotations, exec.kind),
      limits: {
        timeoutMs: action.limits?.timeoutMs || LIMIT_BOUNDS.timeoutMs.default,
        memoryMb: action.limits?.memoryMb || LIMIT_BOUNDS.memoryMb.default,
        logsMb: action.limits?.logsMb ?? LIMIT_BOUNDS.logsMb.default,
        concurrency: action.limits?.concurrency || LIMIT_BOUNDS.concurrency.default,
      },
    };
  };

  #exec(action: Action) {
    const { exec } = action;
    const kind = exec?.kind === "nodejs:default" ? "nodejs:20" : (exec?.kind ?? "");
    if (!exec || (kind !== "nodejs:20" && kind !== "python:3.11")) {
      throw invalidField("exec.kind", `"${kind}" is not supported; must be one of "nodejs:20", "python:3.11"`);
    }
    return { ...exec, kind, codeSize: exec.code.length, codeDigest: "0".repeat(64) };
  }

  readonly #newRule = (rule: Rule): Rule => {
    if (!this.#has("trigger", rule.trigger)) throw invalidField("trigger", `trigger ${rule.trigger} does not exist`);
    if (!this.#has("action", rule.action)) throw invalidField("action", `action ${rule.action} does not exist`);
    return { ...rule, active: true };
  };

  #setActive(
    request: { readonly namespace: string; readonly name: string },
    context: RequestContext,
    active: boolean,
  ): Rule {
    const rule = this.#find<Rule>("rule", this.#own(request.namespace, context).namespace, request.name);
    if (active && !this.#has("trigger", rule.trigger)) {
      throw new WeftError("failedPrecondition", "NO_SUCH_TRIGGER", `trigger ${rule.trigger} does not exist`);
    }
    rule.active = active;
    return rule;
  }

  #has(kind: Kind, qualified: string): boolean {
    const [namespace = "", ...rest] = qualified.slice(1).split("/");
    return this.#entities.get(keyOf(namespace, rest.join("/")))?.kind === kind;
  }

  #actionsOf(found: Package): string[] {
    return this.#all<Action>("action", found.namespace)
      .map(({ name }) => name)
      .filter((name) => name.startsWith(`${found.name}/`))
      .map((name) => name.slice(found.name.length + 1))
      .sort();
  }

  #rulesOf(trigger: Trigger): Rule[] {
    const path = `/${trigger.namespace}/${trigger.name}`;
    return this.#all<Rule>("rule", trigger.namespace)
      .filter((rule) => rule.trigger === path)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  #withRules(trigger: Trigger): Trigger {
    const rules = this.#rulesOf(trigger).map((rule) => ({
      rule: `${rule.namespace}/${rule.name}`,
      action: rule.action.slice(1),
      active: rule.active,
    }));
    return { ...trigger, rules };
  }

  #create<T extends Entity>(
    kind: Kind,
    draft: T | undefined,
    context: RequestContext,
    complete: (entity: T) => T = (entity) => entity,
  ): T {
    if (!draft) throw invalidField(kind, "is required");
    const { namespace } = this.#own(draft.namespace, context);
    const taken = this.#entities.get(keyOf(namespace, draft.name));
    if (taken?.kind === kind) throw new WeftError("alreadyExists", "ENTITY_EXISTS", `${kind} ${draft.name} exists`);
    if (taken) throw wrongCollection(draft.name);
    const version = draft.version === "" ? "0.0.1" : draft.version;
    return this.#store(kind, complete({ ...draft, namespace, version }));
  }

  #update<T extends Entity>(
    kind: Kind,
    draft: T | undefined,
    request: { readonly updateFields: readonly string[]; readonly allowMissing: boolean },
    context: RequestContext,
    complete: ((entity: T) => T) | undefined,
    change: (old: T, change: T, given: ReadonlySet<string>) => T,
  ): T {
    if (!draft) throw invalidField(kind, "is required");
    const { namespace } = this.#own(draft.namespace, context);
    const known = this.#entities.get(keyOf(namespace, draft.name));
    if (!known && request.allowMissing) return this.#create(kind, draft, context, complete);
    const old = this.#find<T>(kind, namespace, draft.name);
    const [major = "0", minor = "0", patch = "0"] = old.version.split(".");
    const version = draft.version === "" ? `${major}.${minor}.${Number(patch) + 1}` : draft.version;
    return this.#store(kind, { ...change(old, draft, new Set(request.updateFields)), version });
  }

  #store<T extends Entity>(kind: Kind, entity: T): T {
    this.#revision += 1;
    const stored = { ...entity, etag: String(this.#revision), updateTime: stamp(this.#tick()) };
    this.#entities.set(keyOf(stored.namespace, stored.name), { kind, entity: stored });
    return stored;
  }

  #delete(
    kind: Kind,
    request: { readonly namespace: string; readonly name: string; readonly etag: string },
    context: RequestContext,
  ): Record<string, never> {
    const { namespace } = this.#own(request.namespace, context);
    const found = this.#find(kind, namespace, request.name);
    if (request.etag !== "" && request.etag !== found.etag) {
      throw new WeftError("conflict", "STALE_ETAG", `${kind} ${request.name} was changed meanwhile`);
    }
    this.#entities.delete(keyOf(namespace, request.name));
    return {};
  }

  #find<T extends Entity>(kind: Kind, namespace: string, name: string): T {
    const found = this.#entities.get(keyOf(namespace, name));
    if (!found) throw notFound(kind, namespace, name);
    if (found.kind !== kind) throw wrongCollection(name);
    return found.entity as T;
  }

  #all<T extends Entity>(kind: Kind, namespace: string): T[] {
    return [...this.#entities.values()]
      .filter((one) => one.kind === kind && one.entity.namespace === namespace)
      .map(({ entity }) => entity as T)
      .sort((a, b) => Number(b.etag) - Number(a.etag));
  }

  #page<T extends Entity>(
    kind: Kind,
    request: {
      readonly namespace: string;
      readonly pageSize: number;
      readonly skip: number;
      readonly withTotal: boolean;
    },
    context: RequestContext,
  ) {
    const { namespace } = this.#own(request.namespace, context);
    const { skip, pageSize, withTotal } = request;
    return {
      all: this.#all<T>(kind, namespace),
      cut: (entities: readonly T[]): T[] => entities.slice(skip, skip + (pageSize || 30)),
      about: (total: number) => ({ nextPageToken: "", totalSize: withTotal ? total : undefined }),
    };
  }

  #own(namespace: string, { identity }: RequestContext): { readonly namespace: string } {
    if (namespace !== "_" && namespace !== identity.namespace) throw notFound("namespace", "", namespace);
    return { namespace: identity.namespace };
  }

  /** Each moment is another one, so that orders are certain. */
  #tick(): number {
    this.#wallMs += 10;
    return this.#wallMs;
  }
}

/** Runs the code of an action here: for actions that tests wrote. */
async function evaluate(
  action: Action,
  params: string,
  lines: string[],
): Promise<{ readonly outcome: Outcome; readonly resultJson: string }> {
  const code = Buffer.from(action.exec?.code ?? new Uint8Array()).toString();
  const log = (...parts: unknown[]): number =>
    lines.push(`2026-01-01T00:00:00.000000000Z stdout: ${parts.map(String).join(" ")}`);
  let answer: unknown;
  try {
    // eslint-disable-next-line @typescript-eslint/no-implied-eval, @typescript-eslint/no-unsafe-call -- the fake's sandbox
    const main = new Function("console", `${code}\nreturn main`)({ log }) as (params: unknown) => unknown;
    answer = (await main(JSON.parse(params))) ?? {};
  } catch (thrown) {
    const error = `An error has occurred: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
    return { outcome: "developerError", resultJson: JSON.stringify({ error }) };
  }
  const resultJson = JSON.stringify(answer);
  if (resultJson.length > PAYLOAD_BYTES_MAX) throw new TypeError("a result that no test should have");
  if (typeof answer === "object" && answer !== null && "error" in answer) {
    return { outcome: "applicationError", resultJson: JSON.stringify({ error: answer.error }) };
  }
  return { outcome: "success", resultJson };
}

function replaceLists<T extends { annotations: KeyValue[]; parameters: KeyValue[]; publish: boolean }>(
  old: T,
  change: T,
  given: ReadonlySet<string>,
): T {
  return {
    ...old,
    annotations: given.has("annotations") ? change.annotations : old.annotations,
    parameters: given.has("parameters") ? change.parameters : old.parameters,
    publish: given.has("publish") ? change.publish : old.publish,
  };
}

function merged(base: readonly KeyValue[], changes: readonly KeyValue[]): KeyValue[] {
  return [...new Map([...base, ...changes].map((entry) => [entry.key, entry])).values()];
}

function withExec(annotations: readonly KeyValue[], kind: string): KeyValue[] {
  const others = annotations.filter(({ key }) => key !== "exec");
  return [...others, { key: "exec", valueJson: JSON.stringify(kind), init: false }];
}

function withoutCode(action: Action): Action {
  return { ...action, exec: action.exec && { ...action.exec, code: new Uint8Array() } };
}

function keyOf(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}

function stamp(ms: number): Timestamp {
  return { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1e6 };
}

function notFound(kind: string, namespace: string, name: string): WeftError {
  return new WeftError("notFound", "ENTITY_NOT_FOUND", `no ${kind} ${namespace}/${name}`);
}

function wrongCollection(name: string): WeftError {
  return new WeftError("failedPrecondition", "WRONG_COLLECTION", `${name} exists but is not in this collection`);
}

function refuse(kind: "unauthenticated" | "notFound", reason: string, message: string): Promise<never> {
  return Promise.reject(new WeftError(kind, reason, message));
}
