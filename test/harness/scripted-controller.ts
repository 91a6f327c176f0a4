// What a gateway asks of controllers, answered by a script over a real connection: who has which key, what actions there
// are, and whatever public rpc a test cares about.

import { createHash } from "node:crypto";
import { systemClock } from "../../internal/boot/system.js";
import { WeftError } from "../../internal/base/errors.js";
import { silentLog } from "../../internal/base/log.js";
import type { MemoryCoordination } from "../../internal/core/coordination/memory-coordination.js";
import { shardOf } from "../../internal/core/coordination/coordination.js";
import type { Membership } from "../../internal/core/coordination/coordination.js";
import {
  RecordServiceService,
  ResolveServiceService,
  SubmitServiceService,
  type ActivationRecord,
  type AwaitRequest,
  type AwaitResponse,
  type AuthenticateRequest,
  type Change,
  type FireTriggerRequest,
  type Identity,
  type RecordBatch,
  type ResolveActionRequest,
  type ResolveWebhookRequest,
  type ResolvedAction,
  type SubmitRequest,
  type WatchResponse,
} from "../../internal/gen/weft/link/v1/control.pb.js";
import type { CallContext } from "../../internal/rpc/call-context.js";
import type { NamespaceOverrides } from "../../internal/core/tenancy/overrides.js";
import { overridesToWire } from "../../internal/dispatch/overrides-wire.js";
import { RpcServer } from "../../internal/rpc/server.js";

export const CLUSTER_KEY = "cluster-key-of-a-test";

export interface ScriptedKey {
  readonly uuid: string;
  readonly secret: string;
  readonly namespace: string;
  readonly subject?: string;
  readonly operator?: boolean;
  readonly invocationsPerMinute?: number;
  readonly firesPerMinute?: number;
  readonly concurrentInvocations?: number;
  readonly overrides?: NamespaceOverrides;
}

export interface ScriptedAction {
  /** "namespace/[package/]name". */
  readonly path: string;
  readonly defaults?: Readonly<Record<string, string>>;
  readonly final?: boolean;
  readonly provideApiKey?: boolean;
  readonly revisionId?: string;
  readonly concurrency?: number;
  /** JSON text by key. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** True for a sequence: submitted and awaited. */
  readonly composite?: boolean;
}

export class ScriptedController {
  readonly keys = new Map<string, ScriptedKey>();
  readonly actions = new Map<string, ScriptedAction>();
  readonly triggers = new Set<string>();
  /** By the secret part of their URLs. */
  readonly webhooks = new Map<
    string,
    { readonly namespace: string; readonly trigger: string; readonly signingSecret?: string }
  >();
  readonly authenticated: string[] = [];
  readonly resolved: string[] = [];
  readonly submitted: SubmitRequest[] = [];
  readonly fired: FireTriggerRequest[] = [];
  readonly awaited: AwaitRequest[] = [];
  /** Awaited before a request is accepted. */
  onSubmit: (request: SubmitRequest) => Promise<void> = () => Promise.resolve();
  /** Answers whoever awaits a record. */
  onAwait: (request: AwaitRequest) => Promise<AwaitResponse> = () => Promise.resolve({ record: undefined });
  readonly records: ActivationRecord[] = [];
  /** Thrown by every rpc while it is set. */
  failure: WeftError | undefined;
  /** Awaited before an action is resolved. */
  beforeResolve: (() => Promise<void>) | undefined;
  readonly #watchers = new Set<(response: WatchResponse) => void>();
  #server: RpcServer | undefined;
  #membership: Membership | undefined;
  #raw = new Map<string, (ctx: CallContext, message: Buffer) => Promise<Buffer>>();

  constructor(
    private readonly coordination: MemoryCoordination,
    readonly id = "controller-1",
  ) {}

  get watchers(): number {
    return this.#watchers.size;
  }

  /** Serves a public rpc as bytes; before `start`. */
  serve(path: string, handler: (ctx: CallContext, message: Buffer) => Promise<Buffer>): void {
    this.#raw.set(path, handler);
  }

  async start(address = "127.0.0.1:0"): Promise<string> {
    const server = new RpcServer({ log: silentLog, clock: systemClock, clusterKey: CLUSTER_KEY });
    this.#server = server;
    server.serveService(ResolveServiceService, {
      authenticate: (_ctx: CallContext, request: AuthenticateRequest) => this.#authenticate(request),
      resolveAction: (_ctx: CallContext, request: ResolveActionRequest) => this.#resolve(request),
      resolveWebAction: (_ctx: CallContext, request: ResolveActionRequest) => this.#resolveWeb(request),
      resolveWebhook: (_ctx: CallContext, { token }: ResolveWebhookRequest) => {
        this.#maybeFail();
        const found = this.webhooks.get(token);
        if (!found) throw new WeftError("notFound", "WEBHOOK_NOT_FOUND", "there is no such webhook");
        const owner = [...this.keys.values()].find(({ namespace }) => namespace === found.namespace);
        const { trigger, signingSecret = "" } = found;
        return Promise.resolve({
          owner: owner && { ...identityOf(owner), uuid: owner.uuid },
          trigger,
          apiKey: "",
          signingSecret,
        });
      },
      watch: (ctx: CallContext, _request: unknown, send: (response: never) => Promise<void>) =>
        this.#watch(ctx, send as (response: WatchResponse) => Promise<void>),
    });
    server.serveService(SubmitServiceService, {
      submit: async (_ctx: CallContext, request: SubmitRequest) => {
        this.#maybeFail();
        await this.onSubmit(request);
        this.submitted.push(request);
        return {};
      },
      await: (_ctx: CallContext, request: AwaitRequest) => {
        this.awaited.push(request);
        return this.onAwait(request);
      },
      fire: (_ctx: CallContext, request: FireTriggerRequest) => {
        this.#maybeFail();
        this.fired.push(request);
        return Promise.resolve({ fired: this.triggers.has(`${request.namespace}/${request.name}`) });
      },
    });
    server.serveService(RecordServiceService, {
      record: (_ctx: CallContext, batch: RecordBatch) => {
        this.#maybeFail();
        this.records.push(...batch.records);
        return Promise.resolve({ sequence: batch.sequence });
      },
    });
    for (const [path, handler] of this.#raw) server.serveRaw(path, handler);
    const bound = await server.listen(address);
    this.#membership = await this.coordination.join(
      { role: "controller", id: this.id, bootId: `${this.id}-${bound}`, address: bound, zone: "", wireVersion: 1 },
      10_000,
    );
    return bound;
  }

  /** Tells every watching gateway. */
  tell(...changes: readonly Partial<Change>[]): void {
    const all = changes.map((change) => ({ namespace: "", name: "", keyUuid: "", ...change }));
    for (const watcher of this.#watchers) watcher({ changes: all });
  }

  async stop(): Promise<void> {
    await this.#membership?.leave();
    await this.crash();
  }

  /** Goes without leaving the members. */
  async crash(): Promise<void> {
    await this.#server?.close(0);
    this.#server = undefined;
  }

  #maybeFail(): void {
    if (this.failure) throw this.failure;
  }

  #authenticate({ uuid }: AuthenticateRequest): Promise<Identity> {
    this.authenticated.push(uuid);
    this.#maybeFail();
    const key = this.keys.get(uuid);
    if (!key) throw new WeftError("notFound", "NO_SUCH_KEY", `no key ${uuid}`);
    return Promise.resolve({
      ...identityOf(key),
      uuid,
      secretHash: createHash("sha256").update(key.secret).digest(),
    });
  }

  async #resolveWeb(request: ResolveActionRequest): Promise<ResolvedAction> {
    const resolved = await this.#resolve(request);
    const { annotations } = this.actions.get(`${request.namespace}/${request.name}`) ?? {};
    const owner = [...this.keys.values()].find(({ namespace }) => namespace === request.namespace);
    if (annotations?.["web-export"] !== "true" || !owner) {
      throw new WeftError("notFound", "WEB_ACTION_NOT_FOUND", `there is no web action ${request.name}`);
    }
    return { ...resolved, webOwner: { ...identityOf(owner), uuid: owner.uuid } };
  }

  async #resolve({ namespace, name, callerNamespace }: ResolveActionRequest): Promise<ResolvedAction> {
    const path = `${namespace}/${name}`;
    this.resolved.push(path);
    const action = this.actions.get(path);
    await this.beforeResolve?.();
    this.#maybeFail();
    if (!action) {
      throw namespace === callerNamespace
        ? new WeftError("notFound", "NO_SUCH_ACTION", `there is no action ${path}`)
        : new WeftError("permissionDenied", "NOT_YOURS", `you may not use ${path}`);
    }
    return {
      ask: {
        key: path,
        revisionId: action.revisionId ?? `${path}@1`,
        kind: "nodejs:20",
        memoryMb: 256,
        concurrency: action.concurrency ?? 1,
        maxInstances: 0,
        timeoutMs: 60_000,
      },
      shard: shardOf(path),
      namespace,
      name,
      version: "0.0.1",
      defaults: Object.entries(action.defaults ?? {}).map(([key, value]) => ({ key, valueJson: Buffer.from(value) })),
      final: action.final ?? false,
      provideApiKey: action.provideApiKey ?? false,
      logsMb: 10,
      annotationsJson: Buffer.from(
        `[${Object.entries(action.annotations ?? {})
          .map(([key, value]) => `{"key":${JSON.stringify(key)},"value":${value}}`)
          .join(",")}]`,
      ),
      composite: action.composite ?? false,
      revision: 1,
      webOwner: undefined,
      binding: "",
    };
  }

  async #watch({ signal }: CallContext, send: (response: WatchResponse) => Promise<void>): Promise<void> {
    const watcher = (response: WatchResponse): void => {
      send(response).catch(() => this.#watchers.delete(watcher));
    };
    await send({ changes: [] });
    this.#watchers.add(watcher);
    await new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => {
        resolve();
      });
    });
    this.#watchers.delete(watcher);
  }
}

/** As an operator would know it: nothing of the secret. */
function identityOf(key: ScriptedKey): Identity {
  return {
    uuid: "",
    secretHash: Buffer.alloc(0),
    subject: key.subject ?? key.namespace,
    namespace: key.namespace,
    quota: {
      invocationsPerMinute: key.invocationsPerMinute ?? 1_000_000_000,
      firesPerMinute: key.firesPerMinute ?? 1_000_000_000,
      concurrentInvocations: key.concurrentInvocations ?? 1_000_000,
      overrides: key.overrides && overridesToWire(key.overrides),
    },
    operator: key.operator ?? false,
  };
}
