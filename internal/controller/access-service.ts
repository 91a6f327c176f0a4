import { invalidField } from "../base/errors.js";
import type { Clock } from "../base/clock.js";
import type { Random } from "../base/random.js";
import { Violations } from "../base/violations.js";
import { administeredNamespace } from "../core/tenancy/identity.js";
import { checkSubject, isKeyUuid, newKey } from "../core/tenancy/key.js";
import type { TenancyStore } from "../core/tenancy/store.js";
import {
  AccessServiceService,
  type CreateKeyRequest,
  type CreateKeyResponse,
  type DeleteKeyRequest,
  type DeleteKeyResponse,
  type ListKeysRequest,
  type ListKeysResponse,
  type WhoAmIRequest,
  type WhoAmIResponse,
} from "../gen/weft/access/v1/access.pb.js";
import type { CallContext } from "../rpc/call-context.js";
import type { RpcServer } from "../rpc/server.js";
import { callerOf } from "./caller.js";
import { keyToWire } from "./wire.js";

export interface AccessServiceDeps {
  readonly tenancy: TenancyStore;
  readonly clock: Clock;
  readonly random: Random;
}

export class AccessService {
  constructor(private readonly deps: AccessServiceDeps) {}

  register(server: RpcServer): void {
    server.serveService(AccessServiceService, {
      whoAmI: (ctx: CallContext, request: WhoAmIRequest) => this.whoAmI(ctx, request),
      createKey: (ctx: CallContext, request: CreateKeyRequest) => this.create(ctx, request),
      listKeys: (ctx: CallContext, request: ListKeysRequest) => this.list(ctx, request),
      deleteKey: (ctx: CallContext, request: DeleteKeyRequest) => this.delete(ctx, request),
    });
  }

  async whoAmI(ctx: CallContext, _request: WhoAmIRequest): Promise<WhoAmIResponse> {
    const { subject, namespace, keyUuid, operator } = callerOf(ctx);
    return { subject, namespace, uuid: keyUuid, operator };
  }

  async create(ctx: CallContext, request: CreateKeyRequest): Promise<CreateKeyResponse> {
    const caller = callerOf(ctx);
    const namespace = administeredNamespace(caller, "namespace", request.namespace);
    const violations = new Violations();
    const subject = request.subject === "" ? caller.subject : request.subject;
    if (request.subject !== "") checkSubject("subject", subject, violations);
    violations.check();
    const { clock, random, tenancy } = this.deps;
    const { key, auth } = newKey({ namespace, subject, operator: false }, random, clock.wallMs());
    await tenancy.addKey(key);
    return { key: keyToWire(key), auth };
  }

  async list(ctx: CallContext, request: ListKeysRequest): Promise<ListKeysResponse> {
    const namespace = administeredNamespace(callerOf(ctx), "namespace", request.namespace);
    return { keys: (await this.deps.tenancy.listKeys(namespace)).map(keyToWire) };
  }

  async delete(ctx: CallContext, request: DeleteKeyRequest): Promise<DeleteKeyResponse> {
    const caller = callerOf(ctx);
    const namespace = administeredNamespace(caller, "namespace", request.namespace);
    if (!isKeyUuid(request.uuid)) throw invalidField("uuid", "must be the part of a key before its colon");
    await this.deps.tenancy.deleteKey(namespace, request.uuid, caller.operator);
    return {};
  }
}
