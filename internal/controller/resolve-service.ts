import type { Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import { keyValuesJson, valueOf } from "../core/action/key-values.js";
import type { RuntimeManifest } from "../core/sandbox/manifest.js";
import { isTenantId } from "../core/api/keys.js";
import type { ApiStore } from "../core/api/store.js";
import { basePathFor, parseRequestPath } from "../core/api/template.js";
import { isKeyUuid } from "../core/tenancy/key.js";
import { checkName } from "../core/tenancy/name.js";
import { tighterInstances } from "../core/tenancy/overrides.js";
import type { NamespaceLimits, TenancyStore } from "../core/tenancy/store.js";
import { quotaToWire } from "../dispatch/overrides-wire.js";
import { everybodyBlocked, ownersKey } from "../core/tenancy/subject.js";
import {
  ResolveServiceService,
  type AuthenticateRequest,
  type Identity,
  type ResolveActionRequest,
  type ResolveApiRequest,
  type ResolvedAction,
  type ResolvedWebhook,
  type ResolveWebhookRequest,
  type ResolvedApi,
  type WatchRequest,
  type WatchResponse,
} from "../gen/weft/link/v1/control.pb.js";
import type { CallContext } from "../rpc/call-context.js";
import type { RpcServer } from "../rpc/server.js";
import type { Changes } from "./changes.js";
import type { Resolver } from "./resolver.js";
import type { WebhookFeed } from "./webhook-feed.js";
import { askToWire } from "./wire.js";

export interface ResolveServiceDeps {
  readonly tenancy: Pick<TenancyStore, "getKey" | "getNamespace" | "listKeys">;
  readonly apis: Pick<ApiStore, "getTenant" | "getApi" | "listApiKeys">;
  readonly resolver: Resolver;
  readonly changes: Changes;
  readonly webhooks: Pick<WebhookFeed, "resolve">;
  readonly clock: Clock;
  readonly manifest: RuntimeManifest;
  readonly limitsOf: (namespace: string) => Promise<NamespaceLimits>;
}

export class ResolveService {
  constructor(private readonly deps: ResolveServiceDeps) {}

  register(server: RpcServer): void {
    server.serveService(ResolveServiceService, {
      authenticate: (ctx: CallContext, request: AuthenticateRequest) => this.authenticate(ctx, request),
      resolveAction: (ctx: CallContext, request: ResolveActionRequest) => this.resolve(ctx, request),
      resolveWebAction: (ctx: CallContext, request: ResolveActionRequest) => this.resolveWeb(ctx, request),
      resolveWebhook: (ctx: CallContext, request: ResolveWebhookRequest) => this.resolveWebhook(ctx, request),
      resolveApi: (ctx: CallContext, request: ResolveApiRequest) => this.resolveApi(ctx, request),
      watch: (ctx: CallContext, request: WatchRequest, send: (response: WatchResponse) => Promise<void>) =>
        this.watch(ctx, request, send),
    });
  }

  async authenticate(_ctx: CallContext, { uuid }: AuthenticateRequest): Promise<Identity> {
    if (!isKeyUuid(uuid)) throw new WeftError("notFound", "KEY_NOT_FOUND", "there is no such key");
    const { tenancy } = this.deps;
    const key = await tenancy.getKey(uuid);
    // A stranger is not told more than that the key is not accepted.
    if (key.blocked) throw new WeftError("notFound", "KEY_NOT_FOUND", "the subject of this key is blocked");
    const { limits } = await tenancy.getNamespace(key.namespace);
    return {
      uuid: key.uuid,
      secretHash: key.secretHash,
      subject: key.subject,
      namespace: key.namespace,
      quota: quotaToWire(limits),
      operator: key.operator,
      expiresInMs:
        key.expiresWallMs === undefined
          ? undefined
          : Math.max(0, Math.ceil(key.expiresWallMs - this.deps.clock.wallMs())),
    };
  }

  async resolve(_ctx: CallContext, request: ResolveActionRequest): Promise<ResolvedAction> {
    const { namespace, name, callerNamespace } = request;
    const resolved = await this.deps.resolver.resolve(checkName("namespace", namespace), name, callerNamespace);
    const { action, binding } = resolved;
    if (this.deps.manifest.find(action.exec.kind)?.deprecated) throw deprecated(action.exec.kind);
    const { overrides } = await this.deps.limitsOf(action.namespace);
    return {
      ask: askToWire({
        ...resolved.ask,
        maxInstances: tighterInstances(resolved.ask.maxInstances, overrides?.maxActionInstances),
      }),
      shard: resolved.shard,
      namespace: action.namespace,
      name: action.name,
      version: action.version,
      defaults: resolved.defaults.map(({ key, valueJson }) => ({ key, valueJson })),
      final: resolved.final,
      // What a composite runs may ask for it.
      provideApiKey: resolved.providesApiKey || resolved.composite !== undefined,
      logsMb: action.limits.logsMb,
      annotationsJson: Buffer.from(keyValuesJson(action.annotations)),
      revision: action.revision,
      webOwner: undefined,
      composite: resolved.composite !== undefined,
      binding: binding ? `${binding.namespace}/${binding.name}` : "",
    };
  }

  /** Of all actions only those that were exported can be had here: nobody presented a key. */
  async resolveWeb(ctx: CallContext, request: ResolveActionRequest): Promise<ResolvedAction> {
    const { namespace, name, callerNamespace } = request;
    const unknown = new WeftError("notFound", "WEB_ACTION_NOT_FOUND", `there is no web action ${namespace}/${name}`);
    if (namespace !== callerNamespace) throw unknown;
    try {
      const resolved = await this.deps.resolver.resolve(checkName("namespace", namespace), name, callerNamespace);
      if (valueOf(resolved.action.annotations, "web-export") !== "true") throw unknown;
      const answer = await this.resolve(ctx, request);
      const webOwner = await this.#ownerOf(namespace);
      if (!webOwner) throw unknown;
      return { ...answer, webOwner };
    } catch (thrown) {
      switch (toWeftError(thrown).kind) {
        case "notFound":
        case "permissionDenied": // a binding to what its owner may no longer read
        case "invalidArgument":
        case "failedPrecondition":
          throw unknown;
        default:
          throw thrown;
      }
    }
  }

  async resolveWebhook(_ctx: CallContext, { token }: ResolveWebhookRequest): Promise<ResolvedWebhook> {
    const { webhook, secret } = await this.deps.webhooks.resolve(token);
    const { namespace, trigger, key } = webhook;
    const { limits } = await this.deps.tenancy.getNamespace(namespace);
    return {
      owner: {
        uuid: key.uuid,
        secretHash: Buffer.alloc(0),
        subject: key.subject,
        namespace,
        quota: quotaToWire(limits),
        operator: false,
      },
      trigger,
      apiKey: "",
      signingSecret: secret ?? "",
    };
  }

  /** What changed between two of the readings is told after it: whoever keeps the answer drops it then. */
  async resolveApi(_ctx: CallContext, { tenantId, path }: ResolveApiRequest): Promise<ResolvedApi> {
    const { apis } = this.deps;
    if (!isTenantId(tenantId)) throw new WeftError("notFound", "TENANT_NOT_FOUND", "there is no such tenant");
    const { namespace, basePaths } = await apis.getTenant(tenantId);
    const parsed = parseRequestPath(path);
    const basePath = parsed && basePathFor(basePaths, parsed);
    const none = { namespace, basePaths: [...basePaths], basePath: "", documentJson: Buffer.alloc(0), keys: [] };
    if (basePath === undefined) return none;
    const [api, keys] = await Promise.all([apis.getApi(namespace, basePath), apis.listApiKeys(namespace, basePath)]);
    return {
      ...none,
      basePath,
      documentJson: Buffer.from(api.documentJson),
      keys: keys.map(({ id, secretHash }) => ({ id, secretHash: Buffer.from(secretHash) })),
    };
  }

  /** undefined while everybody of the namespace is blocked. */
  async #ownerOf(namespace: string): Promise<Identity | undefined> {
    const { tenancy } = this.deps;
    const [{ limits }, keys] = await Promise.all([tenancy.getNamespace(namespace), tenancy.listKeys(namespace)]);
    if (everybodyBlocked(keys)) return undefined;
    // A namespace without a key has nobody who could sign in, but its actions.
    const { uuid = "", subject = namespace } = ownersKey(keys) ?? {};
    return { uuid, secretHash: Buffer.alloc(0), subject, namespace, quota: quotaToWire(limits), operator: false };
  }

  watch(ctx: CallContext, _request: WatchRequest, send: (response: WatchResponse) => Promise<void>): Promise<void> {
    return this.deps.changes.serve(
      (changes) => send({ changes: changes.map(({ namespace, name, keyUuid }) => ({ namespace, name, keyUuid })) }),
      ctx.signal,
    );
  }
}

function deprecated(kind: string): WeftError {
  const message = `the runtime ${kind} is no longer supported: its actions can be read and deleted, but not updated or invoked`;
  return new WeftError("failedPrecondition", "KIND_DEPRECATED", message, {
    fix: "give the action code of another kind",
  });
}
