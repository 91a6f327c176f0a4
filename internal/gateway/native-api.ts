// What the faces of a gateway share: gRPC services, OpenWhisk's REST and the built-in HTTP face all do their work
// through this. Identity, throttles, caches and metrics are below it, so that no face can forget one.

import { WeftError } from "../base/errors.js";
import type { ActivationId } from "../base/ids.js";
import type { ActionActivation } from "../core/activation/types.js";
import type { ApiRoutes } from "../core/api/routes.js";
import type { RequestPath } from "../core/api/template.js";
import type { NamespaceLimits } from "../core/tenancy/store.js";
import type { UnaryMethod } from "../rpc/channel.js";

/** Who a request speaks for. */
export interface Identity {
  /** Public part of the key. */
  readonly uuid: string;
  readonly subject: string;
  /** What "_" stands for. */
  readonly namespace: string;
  readonly operator: boolean;
  readonly quota: NamespaceLimits;
  /** "uuid:key" as presented: only for actions that ask for it, never logged. */
  readonly apiKey: string;
  /** True for a key that was made for an activation: it manages no keys. */
  readonly delegated?: boolean | undefined;
}

export interface RequestContext {
  readonly identity: Identity;
  /** Shown in records and logs; "" lets the gateway choose one. */
  readonly transactionId: string;
  /** W3C trace context, or "". */
  readonly traceparent: string;
  /** Aborted when the caller hung up. Ends the waiting, never an activation. */
  readonly signal?: AbortSignal;
  /** When the caller stops waiting, on the gateway's monotonic clock. */
  readonly deadlineMonoMs?: number | undefined;
}

export interface InvokeCommand {
  /** Namespace of the action, or "_". */
  readonly namespace: string;
  /** "name" or "package/name". */
  readonly action: string;
  /** JSON text of an object, not yet merged with defaults; empty means {}. */
  readonly paramsJson: Uint8Array;
  readonly blocking: boolean;
  /** Longest wait of a blocking call, 1 to 60000; 0 means 60000. */
  readonly waitMs: number;
}

export type InvokeAnswer =
  /** Durable and not waited for. */
  | { readonly kind: "accepted"; readonly activationId: ActivationId }
  /** Blocking, and the wait ended first: the activation goes on. */
  | { readonly kind: "running"; readonly activationId: ActivationId }
  /** Blocking, and it ended. The record is complete but for its logs, which come with the stored one. */
  | { readonly kind: "done"; readonly activationId: ActivationId; readonly activation: ActionActivation };

export interface FireCommand {
  /** Namespace of the trigger, or "_". */
  readonly namespace: string;
  readonly trigger: string;
  /** JSON text of an object; empty means {}. */
  readonly paramsJson: Uint8Array;
  /** JSON text of an object for `__ow_headers`; empty for none. */
  readonly headersJson: Uint8Array;
}

export interface FireAnswer {
  /** undefined when no active rule is attached: nothing was stored then. */
  readonly activationId: ActivationId | undefined;
}

export interface RawAnswer {
  readonly message: Buffer;
  /** Response metadata. */
  readonly headers: Readonly<Record<string, string>>;
}

/** A web action: it runs as its owner, whose throttles it counts for and who owns its records. */
export interface WebAction {
  /** JSON text by key. */
  readonly annotations: ReadonlyMap<string, string>;
  /** Default parameters that a request may not override. */
  readonly immutable: ReadonlySet<string>;
  /**
   * Runs it and waits for its end. The owner's key is not known, so that the action gets none.
   * @param prepare called once the owner's throttles admitted the request: makes the arguments, JSON text of an object that
   * override every default; undefined answers without running it
   * @throws throttled; what `prepare` throws; invalidArgument, unavailable, ActivationLost
   */
  invoke(prepare: () => Uint8Array | undefined, context: WebContext): Promise<InvokeAnswer | undefined>;
}

/** What a request to a secret URL fires. Nobody presented a key: it fires as its owner, whose throttles it counts for. */
export interface Webhook {
  /** Requests must be signed with it; undefined when they need no signature. */
  readonly signingSecret: string | undefined;
  /**
   * @param paramsJson JSON text of an object
   * @param headersJson JSON text of an object for `__ow_headers`
   * @throws throttled; invalidArgument, notFound, unavailable
   */
  fire(paramsJson: Uint8Array, headersJson: Uint8Array, context: WebContext): Promise<FireAnswer>;
}

/** An API, and what a path says below its base path. */
export interface ServedApi {
  readonly namespace: string;
  readonly routes: ApiRoutes;
  readonly below: RequestPath;
  /** The same as it was sent: "", or beginning with a slash. */
  readonly rest: string;
  /** Id of the key with this secret; undefined when it is none of this API. */
  keyOf(secret: string): string | undefined;
}

export type WebContext = Pick<RequestContext, "transactionId" | "traceparent">;

/** An activation started and nobody can say how it ended; its record, once written, has outcome platformError. */
export class ActivationLost extends WeftError {
  constructor(
    readonly activationId: ActivationId,
    message: string,
    cause: unknown,
  ) {
    super("unavailable", "OUTCOME_UNKNOWN", message, { cause });
  }
}

/** Every method throws WeftError: unavailable when no controller can be reached, throttled with retryAfterMs. */
export interface NativeApi {
  /**
   * Who an Authorization header (`Basic base64(uuid:key)` or `Bearer uuid:key`) speaks for.
   * @throws unauthenticated when it is missing, malformed or wrong
   */
  identify(authorization: string | undefined): Promise<Identity>;

  /** A public rpc that a controller serves (not InvokeService), with messages. Not throttled. */
  call<Req, Res>(method: UnaryMethod<Req, Res>, request: Req, context: RequestContext): Promise<Res>;

  /**
   * Any public unary rpc, InvokeService included, as bytes: for transcoders.
   * @param path "/package.Service/Method"
   * @param setHeader is also told of response metadata of a call that is refused: the id of a failed activation
   * @throws notFound NO_SUCH_RPC when it is not a public unary rpc
   */
  callRaw(
    path: string,
    request: Buffer,
    context: RequestContext,
    setHeader?: (name: string, value: string) => void,
  ): Promise<RawAnswer>;

  /**
   * Runs an action. Outcomes of user code are answers.
   * @throws invalidArgument, notFound, permissionDenied, throttled, failedPrecondition; unavailable when it did not
   * start; ActivationLost
   */
  invoke(command: InvokeCommand, context: RequestContext): Promise<InvokeAnswer>;

  /**
   * An action that anybody may invoke over HTTP, presenting no key.
   * @throws notFound for everything that was not exported, whether or not it exists; unavailable
   */
  webAction(namespace: string, action: string): Promise<WebAction>;

  /** What the secret part of a URL stands for. @throws notFound, unavailable */
  webhook(token: string): Promise<Webhook>;

  /**
   * The API that serves a path.
   * @param tenantId stands for its namespace
   * @param path what follows the tenant, as it was sent
   * @returns undefined when none does
   * @throws unavailable
   */
  servedApi(tenantId: string, path: string): Promise<ServedApi | undefined>;

  /** Fires a trigger. @throws as invoke */
  fire(command: FireCommand, context: RequestContext): Promise<FireAnswer>;
}
