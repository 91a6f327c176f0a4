import { parseActivationId } from "../base/ids.js";
import { activationQuery } from "../core/activation/query.js";
import type { ActivationStore } from "../core/activation/store.js";
import { ownNamespace } from "../core/tenancy/identity.js";
import {
  ActivationServiceService,
  type Activation,
  type GetActivationRequest,
  type ListActivationsRequest,
  type ListActivationsResponse,
} from "../gen/weft/activation/v1/activation.pb.js";
import type { CallContext } from "../rpc/call-context.js";
import type { RpcServer } from "../rpc/server.js";
import { callerOf } from "./caller.js";
import { activationToWire, wallMsOf } from "./wire.js";

export interface ActivationServiceDeps {
  readonly activations: ActivationStore;
}

export class ActivationService {
  constructor(private readonly deps: ActivationServiceDeps) {}

  register(server: RpcServer): void {
    server.serveService(ActivationServiceService, {
      getActivation: (ctx: CallContext, request: GetActivationRequest) => this.get(ctx, request),
      listActivations: (ctx: CallContext, request: ListActivationsRequest) => this.list(ctx, request),
    });
  }

  async get(ctx: CallContext, request: GetActivationRequest): Promise<Activation> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    return activationToWire(await this.deps.activations.get(namespace, parseActivationId(request.activationId)));
  }

  async list(ctx: CallContext, request: ListActivationsRequest): Promise<ListActivationsResponse> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    const { query, page } = activationQuery({
      ...request,
      namespace,
      sinceWallMs: wallMsOf(request.since),
      uptoWallMs: wallMsOf(request.upto),
    });
    const { activations } = this.deps;
    const [{ entries, more }, totalSize] = await Promise.all([
      activations.list(query),
      request.withTotal ? activations.count(query) : undefined,
    ]);
    const last = entries.at(-1);
    return {
      activations: entries.map(activationToWire),
      nextPageToken: more && last ? page.next({ startWallMs: last.startWallMs, id: last.id }) : "",
      totalSize,
    };
  }
}
