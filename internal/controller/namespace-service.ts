import { invalidField, WeftError } from "../base/errors.js";
import type { Clock } from "../base/clock.js";
import type { Random } from "../base/random.js";
import { Violations } from "../base/violations.js";
import { cutPage, isText, readPage } from "../core/action/page.js";
import type { EntityChange } from "../core/action/store.js";
import { administeredNamespace, meantNamespace, requireOperator } from "../core/tenancy/identity.js";
import { newKey } from "../core/tenancy/key.js";
import { newNamespace } from "../core/tenancy/namespace.js";
import { limitsAfter } from "../core/tenancy/overrides.js";
import type { NamespaceLimits, TenancyStore } from "../core/tenancy/store.js";
import {
  NamespaceServiceService,
  type CreateNamespaceRequest,
  type CreateNamespaceResponse,
  type DeleteNamespaceRequest,
  type DeleteNamespaceResponse,
  type GetNamespaceRequest,
  type ListNamespacesRequest,
  type ListNamespacesResponse,
  type Namespace,
  type ResetNamespaceLimitsRequest,
  type UpdateNamespaceLimitsRequest,
} from "../gen/weft/namespaces/v1/namespace.pb.js";
import type { CallContext } from "../rpc/call-context.js";
import type { RpcServer } from "../rpc/server.js";
import type { Audit } from "./audit.js";
import { callerOf } from "./caller.js";
import { namespaceLimitsOfWire, namespaceToWire } from "./wire.js";

export interface NamespaceServiceDeps {
  readonly tenancy: TenancyStore;
  /** Limits of new namespaces. */
  readonly limits: NamespaceLimits;
  readonly clock: Clock;
  readonly random: Random;
  readonly audit: Audit;
  /** Told of what was written. */
  readonly changed: (change: EntityChange) => void;
}

export class NamespaceService {
  constructor(private readonly deps: NamespaceServiceDeps) {}

  register(server: RpcServer): void {
    server.serveService(NamespaceServiceService, {
      createNamespace: (ctx: CallContext, request: CreateNamespaceRequest) => this.create(ctx, request),
      getNamespace: (ctx: CallContext, request: GetNamespaceRequest) => this.get(ctx, request),
      listNamespaces: (ctx: CallContext, request: ListNamespacesRequest) => this.list(ctx, request),
      updateNamespaceLimits: (ctx: CallContext, request: UpdateNamespaceLimitsRequest) => this.update(ctx, request),
      resetNamespaceLimits: (ctx: CallContext, request: ResetNamespaceLimitsRequest) => this.resetLimits(ctx, request),
      deleteNamespace: (ctx: CallContext, request: DeleteNamespaceRequest) => this.delete(ctx, request),
    });
  }

  async create(ctx: CallContext, request: CreateNamespaceRequest): Promise<CreateNamespaceResponse> {
    const caller = callerOf(ctx);
    requireOperator(caller);
    const { clock, random, tenancy } = this.deps;
    const wallMs = clock.wallMs();
    const input = {
      name: request.namespace,
      limits: namespaceLimitsOfWire(request.limits),
      subject: request.subject,
    };
    const { namespace, subject } = newNamespace(input, this.deps.limits, wallMs);
    const { key, auth } = newKey({ namespace: namespace.name, subject, operator: false }, random, wallMs);
    await tenancy.createNamespace(namespace, key);
    this.deps.audit(caller, "namespace.create", { namespace: namespace.name, subject, key: key.uuid });
    return { namespace: namespaceToWire(namespace), auth };
  }

  async get(ctx: CallContext, request: GetNamespaceRequest): Promise<Namespace> {
    const name = administeredNamespace(callerOf(ctx), "namespace", request.namespace);
    return namespaceToWire(await this.deps.tenancy.getNamespace(name));
  }

  async list(ctx: CallContext, request: ListNamespacesRequest): Promise<ListNamespacesResponse> {
    const caller = callerOf(ctx);
    const violations = new Violations();
    const page = readPage({ ...request, skip: 0 }, ["namespaces"], isText, violations);
    violations.check();
    const { tenancy } = this.deps;
    if (!caller.operator) {
      // Its own is a list of one.
      if (page.after !== undefined) return { namespaces: [], nextPageToken: "" };
      return { namespaces: [namespaceToWire(await tenancy.getNamespace(caller.namespace))], nextPageToken: "" };
    }
    const { entries, more } = cutPage(await tenancy.listNamespaces(page.size + 1, page.after), page.size);
    const last = entries.at(-1);
    return {
      namespaces: entries.map(namespaceToWire),
      nextPageToken: more && last ? page.next(last.name) : "",
    };
  }

  async update(ctx: CallContext, request: UpdateNamespaceLimitsRequest): Promise<Namespace> {
    const caller = callerOf(ctx);
    requireOperator(caller);
    const name = meantNamespace(caller, "namespace", request.namespace);
    const given = namespaceLimitsOfWire(request.limits);
    const updated = await this.deps.tenancy.updateLimits(name, (old) => {
      const violations = new Violations();
      const limits = limitsAfter(old, given, request.clear, violations);
      violations.check();
      return limits;
    });
    this.deps.audit(caller, "namespace.limits.set", { namespace: name, limits: updated.limits });
    this.deps.changed({ namespace: name, name: "", keyUuid: "" });
    return namespaceToWire(updated);
  }

  async resetLimits(ctx: CallContext, request: ResetNamespaceLimitsRequest): Promise<Namespace> {
    const caller = callerOf(ctx);
    requireOperator(caller);
    const name = meantNamespace(caller, "namespace", request.namespace);
    const updated = await this.deps.tenancy.updateLimits(name, () => this.deps.limits);
    this.deps.audit(caller, "namespace.limits.reset", { namespace: name });
    this.deps.changed({ namespace: name, name: "", keyUuid: "" });
    return namespaceToWire(updated);
  }

  async delete(ctx: CallContext, request: DeleteNamespaceRequest): Promise<DeleteNamespaceResponse> {
    const caller = callerOf(ctx);
    requireOperator(caller);
    if (request.namespace === "_") throw invalidField("namespace", 'must be named; "_" is refused here');
    const name = meantNamespace(caller, "namespace", request.namespace);
    if (name === caller.namespace) {
      throw new WeftError("failedPrecondition", "OWN_NAMESPACE", `${name} is the namespace of the key you use`);
    }
    await this.deps.tenancy.deleteNamespace(name);
    this.deps.audit(caller, "namespace.delete", { namespace: name });
    this.deps.changed({ namespace: name, name: "", keyUuid: "" });
    return {};
  }
}
