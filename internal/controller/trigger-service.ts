import { invalidField } from "../base/errors.js";
import { Violations } from "../base/violations.js";
import { isEntityPosition, readPage } from "../core/action/page.js";
import type { EntityStore } from "../core/action/store.js";
import type { RuleLink, Trigger } from "../core/action/types.js";
import { ownNamespace } from "../core/tenancy/identity.js";
import { checkName } from "../core/tenancy/name.js";
import { changedTrigger, newTrigger, type TriggerChange } from "../core/trigger/trigger.js";
import {
  TriggerServiceService,
  type CreateTriggerRequest,
  type DeleteTriggerRequest,
  type DeleteTriggerResponse,
  type GetTriggerRequest,
  type ListTriggersRequest,
  type ListTriggersResponse,
  type Trigger as WireTrigger,
  type UpdateTriggerRequest,
} from "../gen/weft/trigger/v1/trigger.pb.js";
import type { CallContext } from "../rpc/call-context.js";
import type { RpcServer } from "../rpc/server.js";
import { callerOf } from "./caller.js";
import { created, updated } from "./entity-write.js";
import type { Parameters } from "./parameters.js";
import { revisionOfEtag, triggerToWire } from "./wire.js";

export interface TriggerServiceDeps {
  readonly entities: EntityStore;
  readonly parameters: Parameters;
}

export class TriggerService {
  constructor(private readonly deps: TriggerServiceDeps) {}

  register(server: RpcServer): void {
    server.serveService(TriggerServiceService, {
      createTrigger: (ctx: CallContext, request: CreateTriggerRequest) => this.create(ctx, request),
      getTrigger: (ctx: CallContext, request: GetTriggerRequest) => this.get(ctx, request),
      listTriggers: (ctx: CallContext, request: ListTriggersRequest) => this.list(ctx, request),
      updateTrigger: (ctx: CallContext, request: UpdateTriggerRequest) => this.update(ctx, request),
      deleteTrigger: (ctx: CallContext, request: DeleteTriggerRequest) => this.delete(ctx, request),
    });
  }

  async create(ctx: CallContext, { trigger }: CreateTriggerRequest): Promise<WireTrigger> {
    if (!trigger) throw invalidField("trigger", "is required");
    const namespace = ownNamespace(callerOf(ctx), "namespace", trigger.namespace);
    return this.#shown(await this.#create(this.#changeOf(trigger, namespace, [])));
  }

  async get(ctx: CallContext, request: GetTriggerRequest): Promise<WireTrigger> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    return this.#withRules(await this.deps.entities.getTrigger(namespace, checkName("name", request.name)));
  }

  async list(ctx: CallContext, request: ListTriggersRequest): Promise<ListTriggersResponse> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    const violations = new Violations();
    const page = readPage(request, ["triggers", namespace], isEntityPosition, violations);
    violations.check();
    const { entities } = this.deps;
    const [{ entries, more }, totalSize] = await Promise.all([
      entities.listTriggers({ namespace, ...page.query }),
      request.withTotal ? entities.countTriggers(namespace) : undefined,
    ]);
    const last = entries.at(-1);
    return {
      triggers: entries.map((trigger) => this.#shown(trigger)),
      nextPageToken: more && last ? page.next({ updatedWallMs: last.updatedWallMs, name: last.name }) : "",
      totalSize,
    };
  }

  async update(ctx: CallContext, request: UpdateTriggerRequest): Promise<WireTrigger> {
    const { trigger } = request;
    if (!trigger) throw invalidField("trigger", "is required");
    const namespace = ownNamespace(callerOf(ctx), "namespace", trigger.namespace);
    const name = checkName("name", trigger.name);
    const change = this.#changeOf(trigger, namespace, request.updateFields);
    const { entities } = this.deps;
    const written = await updated({
      expected: revisionOfEtag(trigger.etag),
      read: () => entities.getTrigger(namespace, name),
      write: (old, revision) => entities.updateTrigger(changedTrigger(old, change), revision),
      create: request.allowMissing ? () => this.#create(change) : undefined,
    });
    return this.#withRules(written);
  }

  async delete(ctx: CallContext, request: DeleteTriggerRequest): Promise<DeleteTriggerResponse> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    await this.deps.entities.deleteTrigger(namespace, checkName("name", request.name), revisionOfEtag(request.etag));
    return {};
  }

  async #create(input: TriggerChange): Promise<Trigger> {
    return created(async () => this.deps.entities.createTrigger(newTrigger(input)));
  }

  async #withRules(trigger: Trigger): Promise<WireTrigger> {
    return this.#shown(trigger, await this.deps.entities.rulesOf(trigger.namespace, trigger.name));
  }

  #shown(trigger: Trigger, rules: readonly RuleLink[] = []): WireTrigger {
    return { ...triggerToWire(trigger, rules), parameters: this.deps.parameters.shown(trigger) };
  }

  #changeOf(trigger: WireTrigger, namespace: string, updateFields: readonly string[]): TriggerChange {
    const parameters = this.deps.parameters.given("parameters", namespace, trigger.parameters);
    return { ...trigger, namespace, parameters, updateFields };
  }
}
