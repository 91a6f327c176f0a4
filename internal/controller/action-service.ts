import { invalidField, toWeftError, WeftError } from "../base/errors.js";
import type { Random } from "../base/random.js";
import { Violations } from "../base/violations.js";
import {
  changedAction,
  newAction,
  newRevisionId,
  revisionOf,
  type ActionChange,
  type ActionWrite,
} from "../core/action/action.js";
import { hasCode } from "../core/action/exec.js";
import { isEntityPosition, readPage } from "../core/action/page.js";
import type { Draft, EntityChange, EntityStore } from "../core/action/store.js";
import type { Action as StoredAction, Package } from "../core/action/types.js";
import { mayUse, packageIsBinding } from "../core/package/package.js";
import type { RuntimeManifest } from "../core/sandbox/manifest.js";
import { meantNamespace, ownNamespace, type Identity } from "../core/tenancy/identity.js";
import { boundsOf } from "../core/tenancy/overrides.js";
import type { NamespaceLimits } from "../core/tenancy/store.js";
import { checkDefinition, type Definition } from "../core/sequence/definition.js";
import { splitKey } from "../core/rule/rule.js";
import { checkName, formatActionName, parseActionName, qualifiedKey } from "../core/tenancy/name.js";
import {
  ActionServiceService,
  type Action,
  type CreateActionRequest,
  type DeleteActionRequest,
  type DeleteActionResponse,
  type GetActionRequest,
  type ListActionsRequest,
  type ListActionsResponse,
  type UpdateActionRequest,
} from "../gen/weft/action/v1/action.pb.js";
import type { CallContext } from "../rpc/call-context.js";
import type { RpcServer } from "../rpc/server.js";
import { RESOLVE_DEPENDENCIES } from "../core/action/build.js";
import { valueOf } from "../core/action/key-values.js";
import type { Builds, Looked } from "./builds.js";
import { callerOf } from "./caller.js";
import { created, retried, updated } from "./entity-write.js";
import type { Parameters } from "./parameters.js";
import { providerOf, type Resolver } from "./resolver.js";
import { actionInput, actionToWire, revisionOfEtag } from "./wire.js";

export interface ActionServiceDeps {
  readonly entities: EntityStore;
  readonly resolver: Pick<Resolver, "resolve">;
  readonly manifest: RuntimeManifest;
  readonly builds: Pick<Builds, "of">;
  readonly parameters: Parameters;
  readonly random: Random;
  /** Limits of a namespace. @throws notFound */
  readonly limitsOf: (namespace: string) => Promise<NamespaceLimits>;
  /** Told of what was written. */
  readonly changed: (change: EntityChange) => void;
}

export class ActionService {
  constructor(private readonly deps: ActionServiceDeps) {}

  register(server: RpcServer): void {
    server.serveService(ActionServiceService, {
      createAction: (ctx: CallContext, request: CreateActionRequest) => this.create(ctx, request),
      getAction: (ctx: CallContext, request: GetActionRequest) => this.get(ctx, request),
      listActions: (ctx: CallContext, request: ListActionsRequest) => this.list(ctx, request),
      updateAction: (ctx: CallContext, request: UpdateActionRequest) => this.update(ctx, request),
      deleteAction: (ctx: CallContext, request: DeleteActionRequest) => this.delete(ctx, request),
    });
  }

  async create(ctx: CallContext, { action, keepFailedBuild }: CreateActionRequest): Promise<Action> {
    if (!action) throw invalidField("action", "is required");
    const namespace = ownNamespace(callerOf(ctx), "namespace", action.namespace);
    const { stored, built } = await this.#create(this.#input(action, namespace, NO_UPDATE), keepFailedBuild);
    return this.#written(stored, built);
  }

  async get(ctx: CallContext, request: GetActionRequest): Promise<Action> {
    const caller = callerOf(ctx);
    const namespace = meantNamespace(caller, "namespace", request.namespace);
    const name = parseActionName("name", request.name);
    const { provider, binding } = await this.#readable(caller, namespace, name.package);
    const own = provider ? { package: provider.name, name: name.name } : name;
    const action = await this.deps.entities.getAction(provider?.namespace ?? namespace, formatActionName(own));
    return this.#shown(
      action,
      request.withCode && hasCode(action.exec) ? await this.deps.entities.getCode(action.exec.codeDigest) : undefined,
      binding,
    );
  }

  async list(ctx: CallContext, request: ListActionsRequest): Promise<ListActionsResponse> {
    const caller = callerOf(ctx);
    const namespace = meantNamespace(caller, "namespace", request.namespace);
    const violations = new Violations();
    const inPackage = request.package === "" ? undefined : violations.try(() => checkName("package", request.package));
    const page = readPage(request, ["actions", namespace, request.package], isEntityPosition, violations);
    violations.check();
    const { provider, binding } = await this.#readable(caller, namespace, inPackage);
    const where = provider ?? { namespace, name: inPackage };
    const { entities } = this.deps;
    const [{ entries, more }, totalSize] = await Promise.all([
      entities.listActions({
        namespace: where.namespace,
        package: where.name,
        ...page.query,
      }),
      request.withTotal ? entities.countActions(where.namespace, where.name) : undefined,
    ]);
    const last = entries.at(-1);
    return {
      actions: entries.map((action) => this.#shown(action, undefined, binding)),
      nextPageToken: more && last ? page.next({ updatedWallMs: last.updatedWallMs, name: last.name }) : "",
      totalSize,
    };
  }

  async update(ctx: CallContext, request: UpdateActionRequest): Promise<Action> {
    const { action, allowMissing } = request;
    if (!action) throw invalidField("action", "is required");
    const namespace = ownNamespace(callerOf(ctx), "namespace", action.namespace);
    const name = formatActionName(parseActionName("name", action.name));
    const change = this.#input(action, namespace, request);
    await this.#notThroughBinding(namespace, name);
    const { entities, manifest, random } = this.deps;
    const { overrides, concurrentInvocations } = await this.deps.limitsOf(namespace);
    const bounds = boundsOf(overrides, concurrentInvocations);
    let built: Looked;
    const written = await updated({
      expected: revisionOfEtag(action.etag),
      read: () => entities.getAction(namespace, name),
      write: async (old, revision) => {
        const write = changedAction(old, change, manifest, newRevisionId(random), bounds);
        built = await this.#built(write, request.keepFailedBuild);
        const { draft, code } = withBuild(write, built);
        if (draft.exec !== old.exec) await this.#checkComponents(draft);
        return entities.updateAction(draft, revision, code, revisionOf(draft, await this.#packageOf(namespace, name)));
      },
      create: allowMissing
        ? async () => {
            const created = await this.#create(change, request.keepFailedBuild);
            built = created.built;
            return created.stored;
          }
        : undefined,
    });
    this.deps.changed({ namespace, name, keyUuid: "" });
    return this.#written(written, built);
  }

  async delete(ctx: CallContext, request: DeleteActionRequest): Promise<DeleteActionResponse> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    const name = formatActionName(parseActionName("name", request.name));
    await this.#notThroughBinding(namespace, name);
    await this.deps.entities.deleteAction(namespace, name, revisionOfEtag(request.etag));
    this.deps.changed({ namespace, name, keyUuid: "" });
    return {};
  }

  async #create(input: ActionChange, keepFailed: boolean) {
    const { entities, manifest, random } = this.deps;
    const { overrides, concurrentInvocations } = await this.deps.limitsOf(input.namespace);
    const bounds = boundsOf(overrides, concurrentInvocations);
    const write = newAction(input, manifest, newRevisionId(random), bounds);
    const built = await this.#built(write, keepFailed);
    const { draft, code } = withBuild(write, built);
    await this.#checkComponents(draft);
    const action = await retried(async () => {
      const inPackage = await this.#packageOf(draft.namespace, draft.name);
      // What the package hands over at init is in the revision: it must still do so when the action is stored.
      const revision = revisionOf(draft, inPackage);
      return created(() => entities.createAction(draft, code, revision, inPackage?.revision));
    });
    this.deps.changed({ namespace: action.namespace, name: action.name, keyUuid: "" });
    return { stored: action, built };
  }

  /** @throws as Builds.of */
  async #built({ draft, code }: ActionWrite, keepFailed: boolean): Promise<Looked> {
    if (!code) return undefined;
    const said = valueOf(draft.annotations, RESOLVE_DEPENDENCIES);
    if (!keepFailed && said !== undefined && said !== "true" && said !== "false") {
      throw invalidField("annotations", `"${RESOLVE_DEPENDENCIES}" must be true or false`);
    }
    const resolve = said === undefined ? undefined : said === "true";
    return this.deps.builds.of(draft.exec, draft.name, code, { keepFailed, resolve });
  }

  #written(action: StoredAction, built: Looked): Action {
    const shown = this.#shown(action);
    if (!shown.exec || !built) return shown;
    if ("unchecked" in built) shown.exec.unchecked = built.unchecked;
    else if (shown.exec.build) shown.exec.build.cached = built.cached;
    return shown;
  }

  #input(
    action: Action,
    namespace: string,
    update: Pick<ActionChange, "updateFields" | "deleteAnnotations">,
  ): ActionChange {
    const parameters = this.deps.parameters.given("parameters", namespace, action.parameters);
    return { ...actionInput(action, namespace, update), parameters };
  }

  #shown(action: StoredAction, code?: Uint8Array, binding?: Package): Action {
    return { ...actionToWire(action, code, binding), parameters: this.deps.parameters.shown(action) };
  }

  /** @throws invalidArgument, permissionDenied when it is a sequence that cannot be */
  async #checkComponents(draft: Draft<StoredAction>): Promise<void> {
    const { components } = draft.exec;
    if (!components) return;
    const own = draft.namespace;
    await checkDefinition(qualifiedKey(draft), components, async (key): Promise<Definition> => {
      const { namespace, name } = splitKey(key);
      try {
        const { action } = await this.deps.resolver.resolve(namespace, name, own);
        return action.exec.components
          ? { kind: "sequence", key: qualifiedKey(action), components: action.exec.components }
          : { kind: "atomic" };
      } catch (thrown) {
        const { kind } = toWeftError(thrown);
        if (kind !== "notFound" && kind !== "failedPrecondition" && kind !== "permissionDenied") throw thrown;
        // Whether there is such a thing in somebody else's namespace is not told.
        return namespace === own ? { kind: "missing" } : { kind: "forbidden" };
      }
    });
  }

  async #packageOf(namespace: string, name: string): Promise<Package | undefined> {
    const { package: packageName } = parseActionName("name", name);
    return packageName === undefined ? undefined : this.deps.entities.getPackage(namespace, packageName);
  }

  /** What a name in a binding stands for is changed where it is. @throws failedPrecondition PACKAGE_IS_BINDING */
  async #notThroughBinding(namespace: string, name: string): Promise<void> {
    const { package: packageName } = parseActionName("name", name);
    if (packageName === undefined) return;
    try {
      const found = await this.deps.entities.getPackage(namespace, packageName);
      if (found.binding) throw packageIsBinding(found);
    } catch (thrown) {
      // The write itself says better what is missing.
      const { kind, reason } = toWeftError(thrown);
      if (kind !== "notFound" && reason !== "WRONG_COLLECTION") throw thrown;
    }
  }

  /**
   * The package in which to look for what is named, when a package is named; and the binding, when it was named by one.
   * What is in somebody else's package is there for those who may use it.
   * @throws notFound; as providerOf
   */
  async #readable(
    caller: Identity,
    namespace: string,
    name: string | undefined,
  ): Promise<{ readonly provider: Package | undefined; readonly binding: Package | undefined }> {
    const mine = namespace === caller.namespace;
    const found = name === undefined ? undefined : await this.deps.entities.getPackage(namespace, name);
    if (!mine && !(found && mayUse(found, caller.namespace))) {
      throw new WeftError(
        "notFound",
        "PACKAGE_NOT_FOUND",
        `there is no package ${namespace}/${name ?? ""} for this key`,
      );
    }
    if (!found?.binding) return { provider: found, binding: undefined };
    return { provider: await providerOf(this.deps.entities, found), binding: found };
  }
}

/** Code that is loaded as it is, and that nothing is wrong with, is as if nobody had looked. */
function withBuild(write: ActionWrite, built: Looked): ActionWrite {
  if (!built || !("build" in built)) return write;
  const { draft } = write;
  const { build } = built;
  if (!build.artifact && build.problem === "") return write;
  return { ...write, draft: { ...draft, exec: { ...draft.exec, build } } };
}

const NO_UPDATE = { updateFields: [], deleteAnnotations: [] } as const;
