import { invalidField, WeftError } from "../base/errors.js";
import type { Random } from "../base/random.js";
import { Violations } from "../base/violations.js";
import { keyValuesJson } from "../core/action/key-values.js";
import {
  cutPage,
  isEntityPosition,
  PAGE_BYTES_MAX,
  PAGE_SIZE_MAX,
  readPage,
  type Listed,
} from "../core/action/page.js";
import type { EntityChange, EntityStore, ListQuery } from "../core/action/store.js";
import type { Action, Package } from "../core/action/types.js";
import {
  changedPackage,
  initParametersChanged,
  newPackage,
  revisionsOfPackage,
  type PackageChange,
} from "../core/package/package.js";
import { meantNamespace, ownNamespace } from "../core/tenancy/identity.js";
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
import { created, updated } from "./entity-write.js";
import { packageToWire, revisionOfEtag } from "./wire.js";

export interface PackageServiceDeps {
  readonly entities: EntityStore;
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
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.package.namespace);
    return packageToWire(await this.#create({ ...request.package, namespace, updateFields: [] }));
  }

  async get(ctx: CallContext, request: GetPackageRequest): Promise<WirePackage> {
    const caller = callerOf(ctx);
    const namespace = meantNamespace(caller, "namespace", request.namespace);
    const name = checkName("name", request.name);
    const one = await this.deps.entities.getPackage(namespace, name);
    if (namespace !== caller.namespace && !one.publish) throw noPackage(namespace, name);
    const actions = await this.#actionsOf(namespace, name);
    return packageToWire(one, actions.map((action) => action.name.slice(name.length + 1)).sort());
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
      packages: entries.map((one) => packageToWire(one)),
      nextPageToken: more && last ? page.next({ updatedWallMs: last.updatedWallMs, name: last.name }) : "",
      totalSize,
    };
  }

  async update(ctx: CallContext, request: UpdatePackageRequest): Promise<WirePackage> {
    if (!request.package) throw invalidField("package", "is required");
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.package.namespace);
    const name = checkName("name", request.package.name);
    const change: PackageChange = { ...request.package, namespace, updateFields: request.updateFields };
    const { entities, random } = this.deps;
    const written = await updated({
      expected: revisionOfEtag(request.package.etag),
      read: () => entities.getPackage(namespace, name),
      write: async (old, revision) => {
        const draft = changedPackage(old, change);
        const actions = initParametersChanged(old, draft) ? await this.#actionsOf(namespace, name) : [];
        return entities.updatePackage(draft, revision, revisionsOfPackage(draft, actions, random));
      },
      create: request.allowMissing ? () => this.#create(change) : undefined,
    });
    this.deps.changed({ namespace, name, keyUuid: "" });
    return packageToWire(written);
  }

  async delete(ctx: CallContext, request: DeletePackageRequest): Promise<DeletePackageResponse> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    const name = checkName("name", request.name);
    await this.deps.entities.deletePackage(namespace, name, revisionOfEtag(request.etag), request.force);
    this.deps.changed({ namespace, name, keyUuid: "" });
    return {};
  }

  async #create(input: PackageChange): Promise<Package> {
    const one = await created(() => this.deps.entities.createPackage(newPackage(input)));
    this.deps.changed({ namespace: one.namespace, name: one.name, keyUuid: "" });
    return one;
  }

  async #actionsOf(namespace: string, name: string): Promise<readonly Action[]> {
    return everything((query) => this.deps.entities.listActions({ ...query, package: name }), namespace);
  }

  /** Somebody else's packages: those that are public, as if there were no others. They are few, so all are read. */
  async #listPublic(query: ListQuery, withTotal: boolean): Promise<[Listed<Package>, number | undefined]> {
    const { after } = query;
    const all = await everything((page) => this.deps.entities.listPackages(page), query.namespace);
    const visible = all.filter((one) => one.publish);
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

/** Every entry of a list, page by page. */
async function everything<T extends { readonly updatedWallMs: number; readonly name: string }>(
  list: (query: ListQuery) => Promise<Listed<T>>,
  namespace: string,
): Promise<readonly T[]> {
  const all: T[] = [];
  for (;;) {
    const last = all.at(-1);
    const after = last && { updatedWallMs: last.updatedWallMs, name: last.name };
    const { entries, more } = await list({ namespace, limit: PAGE_SIZE_MAX, bytesMax: PAGE_BYTES_MAX, skip: 0, after });
    all.push(...entries);
    if (!more) return all;
  }
}

function keyValueBytes({ annotations, parameters }: Package): number {
  return keyValuesJson(annotations).length + keyValuesJson(parameters).length;
}

function noPackage(namespace: string, name: string): WeftError {
  return new WeftError("notFound", "PACKAGE_NOT_FOUND", `there is no package ${namespace}/${name} for this key`);
}
