import { invalidField, toWeftError } from "../base/errors.js";
import { Violations } from "../base/violations.js";
import { isEntityPosition, readPage } from "../core/action/page.js";
import type { Draft, EntityStore } from "../core/action/store.js";
import type { Rule } from "../core/action/types.js";
import { changedRule, newRule, splitKey, type RuleChange } from "../core/rule/rule.js";
import { ownNamespace } from "../core/tenancy/identity.js";
import { checkName } from "../core/tenancy/name.js";
import {
  RuleServiceService,
  type CreateRuleRequest,
  type DeleteRuleRequest,
  type DeleteRuleResponse,
  type DisableRuleRequest,
  type EnableRuleRequest,
  type GetRuleRequest,
  type ListRulesRequest,
  type ListRulesResponse,
  type Rule as WireRule,
  type UpdateRuleRequest,
} from "../gen/weft/rule/v1/rule.pb.js";
import type { CallContext } from "../rpc/call-context.js";
import type { RpcServer } from "../rpc/server.js";
import { callerOf } from "./caller.js";
import { created, updated } from "./entity-write.js";
import type { Resolver } from "./resolver.js";
import { revisionOfEtag, ruleToWire } from "./wire.js";

export interface RuleServiceDeps {
  readonly entities: EntityStore;
  readonly resolver: Resolver;
}

export class RuleService {
  constructor(private readonly deps: RuleServiceDeps) {}

  register(server: RpcServer): void {
    server.serveService(RuleServiceService, {
      createRule: (ctx: CallContext, request: CreateRuleRequest) => this.create(ctx, request),
      getRule: (ctx: CallContext, request: GetRuleRequest) => this.get(ctx, request),
      listRules: (ctx: CallContext, request: ListRulesRequest) => this.list(ctx, request),
      updateRule: (ctx: CallContext, request: UpdateRuleRequest) => this.update(ctx, request),
      enableRule: (ctx: CallContext, request: EnableRuleRequest) => this.#setActive(ctx, request, true),
      disableRule: (ctx: CallContext, request: DisableRuleRequest) => this.#setActive(ctx, request, false),
      deleteRule: (ctx: CallContext, request: DeleteRuleRequest) => this.delete(ctx, request),
    });
  }

  async create(ctx: CallContext, { rule }: CreateRuleRequest): Promise<WireRule> {
    if (!rule) throw invalidField("rule", "is required");
    const namespace = ownNamespace(callerOf(ctx), "namespace", rule.namespace);
    return ruleToWire(await this.#create({ ...rule, namespace, updateFields: [] }));
  }

  async get(ctx: CallContext, request: GetRuleRequest): Promise<WireRule> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    return ruleToWire(await this.deps.entities.getRule(namespace, checkName("name", request.name)));
  }

  async list(ctx: CallContext, request: ListRulesRequest): Promise<ListRulesResponse> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    const violations = new Violations();
    const page = readPage(request, ["rules", namespace], isEntityPosition, violations);
    violations.check();
    const { entities } = this.deps;
    const [{ entries, more }, totalSize] = await Promise.all([
      entities.listRules({ namespace, ...page.query }),
      request.withTotal ? entities.countRules(namespace) : undefined,
    ]);
    const last = entries.at(-1);
    return {
      rules: entries.map((rule) => ruleToWire(rule)),
      nextPageToken: more && last ? page.next({ updatedWallMs: last.updatedWallMs, name: last.name }) : "",
      totalSize,
    };
  }

  async update(ctx: CallContext, request: UpdateRuleRequest): Promise<WireRule> {
    const { rule } = request;
    if (!rule) throw invalidField("rule", "is required");
    const namespace = ownNamespace(callerOf(ctx), "namespace", rule.namespace);
    const name = checkName("name", rule.name);
    const change: RuleChange = { ...rule, namespace, updateFields: request.updateFields };
    const { entities } = this.deps;
    const written = await updated({
      expected: revisionOfEtag(rule.etag),
      read: () => entities.getRule(namespace, name),
      write: async (old, revision) => {
        const draft = changedRule(old, change);
        if (draft.action !== old.action) await this.#checkAction(draft);
        return existing(draft, () => entities.updateRule(draft, revision));
      },
      create: request.allowMissing ? () => this.#create(change) : undefined,
    });
    return ruleToWire(written);
  }

  async delete(ctx: CallContext, request: DeleteRuleRequest): Promise<DeleteRuleResponse> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    await this.deps.entities.deleteRule(namespace, checkName("name", request.name), revisionOfEtag(request.etag));
    return {};
  }

  async #setActive(
    ctx: CallContext,
    request: { readonly namespace: string; readonly name: string },
    active: boolean,
  ): Promise<WireRule> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    return ruleToWire(await this.deps.entities.setRuleActive(namespace, checkName("name", request.name), active));
  }

  async #create(input: RuleChange): Promise<Rule> {
    const draft = newRule(input);
    await this.#checkAction(draft);
    return created(() => existing(draft, () => this.deps.entities.createRule(draft)));
  }

  /** The rule's owner must be able to run the action. @throws invalidArgument */
  async #checkAction(draft: Draft<Rule>): Promise<void> {
    const { namespace, name } = splitKey(draft.action);
    try {
      await this.deps.resolver.resolve(namespace, name, draft.namespace);
    } catch (thrown) {
      const { kind, reason } = toWeftError(thrown);
      if (kind === "notFound" || reason === "WRONG_COLLECTION") throw noSuchAction(draft);
      throw thrown;
    }
  }
}

/** What does not exist is a mistake in the request. */
async function existing(draft: Draft<Rule>, write: () => Promise<Rule>): Promise<Rule> {
  try {
    return await write();
  } catch (thrown) {
    switch (toWeftError(thrown).reason) {
      case "NO_SUCH_TRIGGER":
        throw invalidField("trigger", `trigger /${draft.trigger} does not exist`);
      case "NO_SUCH_ACTION":
        throw noSuchAction(draft);
      default:
        throw thrown;
    }
  }
}

function noSuchAction(draft: Draft<Rule>) {
  return invalidField("action", `action /${draft.action} does not exist`);
}
