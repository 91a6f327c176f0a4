import { invalidField, toWeftError, WeftError } from "../base/errors.js";
import type { Random } from "../base/random.js";
import { Violations } from "../base/violations.js";
import { isTruthy, keyValuesJson, mergeKeyValues } from "../core/action/key-values.js";
import { cutPage, isEntityPosition, readPage, type Listed } from "../core/action/page.js";
import type { EntityChange, EntityStore, ListQuery } from "../core/action/store.js";
import type { Action, Binding, Package } from "../core/action/types.js";
import {
  changedPackage,
  initParametersChanged,
  mayUse,
  newPackage,
  providerNotReadable,
  revisionsOfPackage,
  type PackageChange,
} from "../core/package/package.js";
import { meantNamespace, ownNamespace, type Identity } from "../core/tenancy/identity.js";
import { checkName } from "../core/tenancy/name.js";
import {
  PackageServiceService,
  type CreatePackageRequest,
  type DeletePackageRequest,
  type DeletePackageResponse,
  type GetPackageRequest,
  type ListPackagesRequest,
  type ListPackagesResponse,
  type Package as WirePackage,
  type UpdatePackageRequest,
} from "../gen/weft/packages/v1/package.pb.js";
import type { CallContext } from "../rpc/call-context.js";
import type { RpcServer } from "../rpc/server.js";
import { callerOf } from "./caller.js";
import { everyEntry } from "./entity-list.js";
import { created, updated } from "./entity-write.js";
import type { Parameters } from "./parameters.js";
import { providerOf } from "./resolver.js";
import { packageToWire, revisionOfEtag } from "./wire.js";

export interface PackageServiceDeps {
  readonly entities: EntityStore;
  readonly parameters: Parameters;
  readonly random: Random;
  /** Told of what was written. */
  readonly changed: (change: EntityChange) => void;
}

export class PackageService {
  constructor(private readonly deps: PackageServiceDeps) {}

  register(server: RpcServer): void {
    server.serveService(PackageServiceService, {
      createPackage: (ctx: CallContext, request: CreatePackageRequest) => this.create(ctx, request),
      getPackage: (ctx: CallContext, request: GetPackageRequest) => this.get(ctx, request),
      listPackages: (ctx: CallContext, request: ListPackagesRequest) => this.list(ctx, request),
      updatePackage: (ctx: CallContext, request: UpdatePackageRequest) => this.update(ctx, request),
      deletePackage: (ctx: CallContext, request: DeletePackageRequest) => this.delete(ctx, request),
    });
  }

  async create(ctx: CallContext, request: CreatePackageRequest): Promise<WirePackage> {
    if (!request.package) throw invalidField("package", "is required");
    const caller = callerOf(ctx);
    return this.#shown(await this.#create(this.#changeOf(caller, request.package, [])));
  }

  async get(ctx: CallContext, request: GetPackageRequest): Promise<WirePackage> {
    const caller = callerOf(ctx);
    const namespace = meantNamespace(caller, "namespace", request.namespace);
    const name = checkName("name", request.name);
    const one = await this.deps.entities.getPackage(namespace, name);
    if (!mayUse(one, caller.namespace)) throw noPackage(namespace, name);
    if (one.binding && request.asStored) return this.#shown(one);
    const provider = one.binding ? await providerOf(this.deps.entities, one) : one;
    const actions = await this.#actionsOf(provider.namespace, provider.name);
    const names = (list: readonly Action[]): string[] =>
      list.map((action) => action.name.slice(provider.name.length + 1)).sort();
    const shown = packageToWire(one, {
      actions: names(actions),
      feeds: names(actions.filter((action) => isTruthy(action.annotations, "feed", false))),
    });
    // Each as it is hidden where it belongs: nobody opens in a package of his own what he may only use.
    const { parameters } = this.deps;
    const under = one.binding ? parameters.shown(provider) : [];
    return { ...shown, parameters: [...mergeKeyValues(under, parameters.shown(one))] };
  }

  async list(ctx: CallContext, request: ListPackagesRequest): Promise<ListPackagesResponse> {
    const caller = callerOf(ctx);
    const namespace = meantNamespace(caller, "namespace", request.namespace);
    const violations = new Violations();
    const page = readPage(request, ["packages", namespace], isEntityPosition, violations);
    violations.check();
    const query: ListQuery = { namespace, ...page.query };
    const { entities } = this.deps;
    const [{ entries, more }, totalSize] =
      namespace === caller.namespace
        ? await Promise.all([
            entities.listPackages(query),
            request.withTotal ? entities.countPackages(namespace) : undefined,
          ])
        : await this.#listPublic(query, request.withTotal);
    const last = entries.at(-1);
    return {
      packages: entries.map((one) => this.#shown(one)),
      nextPageToken: more && last ? page.next({ updatedWallMs: last.updatedWallMs, name: last.name }) : "",
      totalSize,
    };
  }

  async update(ctx: CallContext, request: UpdatePackageRequest): Promise<WirePackage> {
    if (!request.package) throw invalidField("package", "is required");
    const change = this.#changeOf(callerOf(ctx), request.package, request.updateFields);
    const { namespace } = change;
    const name = checkName("name", change.name);
    const { entities, random } = this.deps;
    const written = await updated({
      expected: revisionOfEtag(request.package.etag),
      read: () => entities.getPackage(namespace, name),
      write: async (old, revision) => {
        const draft = changedPackage(old, change);
        if (draft.binding && change.binding) await this.#checkProvider(namespace, draft.binding);
        const revised = initParametersChanged(old, draft);
        const actions = revised ? await this.#actionsOf(namespace, name) : [];
        return entities.updatePackage(draft, revision, revisionsOfPackage(draft, actions, random), revised);
      },
      create: request.allowMissing ? () => this.#create(change) : undefined,
    });
    this.deps.changed({ namespace, name, keyUuid: "" });
    return this.#shown(written);
  }

  async delete(ctx: CallContext, request: DeletePackageRequest): Promise<DeletePackageResponse> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    const name = checkName("name", request.name);
    await this.deps.entities.deletePackage(namespace, name, revisionOfEtag(request.etag), request.force);
    this.deps.changed({ namespace, name, keyUuid: "" });
    return {};
  }

  async #create(input: PackageChange): Promise<Package> {
    const draft = newPackage(input);
    if (draft.binding) await this.#checkProvider(draft.namespace, draft.binding);
    const one = await created(() => this.deps.entities.createPackage(draft));
    this.deps.changed({ namespace: one.namespace, name: one.name, keyUuid: "" });
    return one;
  }

  #shown(one: Package): WirePackage {
    return { ...packageToWire(one), parameters: this.deps.parameters.shown(one) };
  }

  #changeOf(caller: Identity, one: WirePackage, updateFields: readonly string[]): PackageChange {
    const change = changeOf(caller, one, updateFields);
    return { ...change, parameters: this.deps.parameters.given("parameters", change.namespace, one.parameters) };
  }

  async #actionsOf(namespace: string, name: string): Promise<readonly Action[]> {
    return everyEntry((query) => this.deps.entities.listActions({ ...query, package: name }), namespace);
  }

  /** That a binding of `owner` may be bound to it now; whether it still may is seen whenever it is used. */
  async #checkProvider(owner: string, binding: Binding): Promise<void> {
    const mine = binding.namespace === owner;
    let provider: Package;
    try {
      provider = await this.deps.entities.getPackage(binding.namespace, binding.name);
    } catch (thrown) {
      const { kind, reason } = toWeftError(thrown);
      if (kind !== "notFound" && reason !== "WRONG_COLLECTION") throw thrown;
      if (!mine) throw providerNotReadable(binding);
      if (kind === "notFound") throw invalidField("binding", "references a package that does not exist");
      throw new WeftError(
        "failedPrecondition",
        "BOUND_TO_NO_PACKAGE",
        `${binding.namespace}/${binding.name} is not a package and cannot be bound to`,
        { cause: thrown },
      );
    }
    if (!mayUse(provider, owner)) throw providerNotReadable(binding);
    if (provider.binding) throw invalidField("binding", "cannot bind to another package binding");
  }

  /** Somebody else's packages: those that are public, as if there were no others. They are few, so all are read. */
  async #listPublic(query: ListQuery, withTotal: boolean): Promise<[Listed<Package>, number | undefined]> {
    const { after } = query;
    const all = await everyEntry((page) => this.deps.entities.listPackages(page), query.namespace);
    const visible = all.filter((one) => mayUse(one, ""));
    const rest = after
      ? visible.filter(
          (one) =>
            one.updatedWallMs < after.updatedWallMs ||
            (one.updatedWallMs === after.updatedWallMs && one.name > after.name),
        )
      : visible;
    const page = cutPage(rest.slice(query.skip), query.limit, keyValueBytes, query.bytesMax);
    return [page, withTotal ? visible.length : undefined];
  }
}

function changeOf(caller: Identity, one: WirePackage, updateFields: readonly string[]): PackageChange {
  const { binding } = one;
  return {
    ...one,
    namespace: ownNamespace(caller, "namespace", one.namespace),
    binding: binding && {
      namespace: meantNamespace(caller, "binding.namespace", binding.namespace),
      name: binding.name,
    },
    updateFields,
  };
}

function keyValueBytes({ annotations, parameters }: Package): number {
  return keyValuesJson(annotations).length + keyValuesJson(parameters).length;
}

function noPackage(namespace: string, name: string): WeftError {
  return new WeftError("notFound", "PACKAGE_NOT_FOUND", `there is no package ${namespace}/${name} for this key`);
}
