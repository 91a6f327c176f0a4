// The gateway role: authenticates, throttles, resolves and dispatches what callers wait for, and hands everything else
// on to a controller. Holds nothing that cannot be asked for again.

import type { Clock } from "../base/clock.js";
import { Turns } from "../base/turns.js";
import type { Log } from "../base/log.js";
import type { MetricsRegistry } from "../base/metrics.js";
import type { Random } from "../base/random.js";
import type { Tracer } from "../base/trace.js";
import { DelegatedKeys } from "../core/tenancy/delegated.js";
import { Throttles, type SystemLimits } from "../core/throttle/throttle.js";
import type { Dispatcher } from "../dispatch/dispatcher.js";
import type { HttpBody } from "../gen/google/api/httpbody.pb.js";
import { TunnelServiceService } from "../gen/weft/rest/v1/tunnel.pb.js";
import type { CallContext } from "../rpc/call-context.js";
import { invokeStreamLink } from "../rpc/link-methods.js";
import { RpcServer } from "../rpc/server.js";
import { ActionCache } from "./action-cache.js";
import { Api } from "./api.js";
import { ApiCache } from "./api-cache.js";
import type { ControllerClient } from "./controller-client.js";
import { Health } from "./health.js";
import { IdentityCache } from "./identity-cache.js";
import { CompositeCalls } from "./composite-calls.js";
import { Invocations } from "./invocations.js";
import { InvokeStream } from "./invoke-stream.js";
import { LostRecords } from "./lost-records.js";
import { GatewayMetrics } from "./metrics.js";
import type { Identity, NativeApi, RawAnswer, RequestContext } from "./native-api.js";
import { LARGE_REQUESTS } from "./large-requests.js";
import { PROXIED_PATHS, SERVED_RPCS } from "./public-rpcs.js";
import { Reflection, serveReflection } from "./reflection.js";

export interface GatewayDeps {
  readonly controller: ControllerClient;
  /** The gateway starts, drains and closes it. */
  readonly dispatcher: Pick<Dispatcher, "start" | "dispatch" | "stats" | "connected" | "drain" | "close">;
  /** The secret that all roles of a cluster share. */
  readonly clusterKey: string;
  /** Of all namespaces together. */
  readonly systemLimits?: SystemLimits;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: MetricsRegistry<"gateway">;
  readonly tracer: Tracer;
  /** The serialised descriptor set of the API, for reflection. */
  readonly descriptors: Uint8Array;
}

/** What serves OpenWhisk's REST behind Envoy. */
export type Tunnel = (ctx: CallContext, request: HttpBody) => Promise<HttpBody>;

/** Longest transaction id of a caller that is taken over. */
const TRANSACTION_ID = /^(?!sid_)[\x21-\x7e]{1,128}$/;

export class Gateway {
  readonly #server: RpcServer;
  readonly #metrics: GatewayMetrics;
  readonly #identities: IdentityCache;
  readonly #actions: ActionCache;
  readonly #webActions: ActionCache;
  readonly #apis: ApiCache;
  readonly #throttles: Throttles;
  readonly #lostRecords: LostRecords;
  readonly #invocations: Invocations;
  readonly #composites: CompositeCalls;
  readonly #api: Api;
  readonly #health: Health;
  readonly #reflection: Reflection;
  readonly #watching = new AbortController();
  readonly #largeTurns = new Turns(LARGE_REQUESTS);
  #watchOpened = false;
  #watchOpenedMonoMs = 0;
  #schedulerSeen = false;
  #streams = 0;
  #address: string | undefined;
  #draining = false;

  constructor(private readonly deps: GatewayDeps) {
    const { controller, dispatcher, clock, random, log, tracer } = deps;
    const metrics = new GatewayMetrics(deps.metrics, SERVED_RPCS);
    this.#metrics = metrics;
    this.#throttles = new Throttles(clock, deps.systemLimits);
    const delegated = new DelegatedKeys(deps.clusterKey);
    this.#identities = new IdentityCache({ controller, delegated, clock, metrics });
    this.#actions = new ActionCache({ controller, clock, metrics });
    this.#webActions = new ActionCache({
      controller: { resolveAction: (request) => controller.resolveWebAction(request) },
      clock,
      metrics,
    });
    this.#apis = new ApiCache({ controller, clock, metrics });
    this.#lostRecords = new LostRecords({ controller, clock, random, log, dropped: metrics.recordsLost });
    this.#invocations = new Invocations({
      dispatcher,
      actions: this.#actions,
      throttles: this.#throttles,
      lostRecords: this.#lostRecords,
      delegated,
      metrics,
      tracer,
      clock,
      random,
    });
    this.#composites = new CompositeCalls({
      controller,
      invocations: this.#invocations,
      metrics,
      tracer,
      clock,
    });
    this.#api = new Api({
      controller,
      identities: this.#identities,
      actions: this.#actions,
      webActions: this.#webActions,
      apis: this.#apis,
      invocations: this.#invocations,
      composites: this.#composites,
      metrics,
      tracer,
      clock,
    });
    this.#reflection = new Reflection(deps.descriptors);
    this.#health = new Health(this.#reflection.services);
    this.#server = new RpcServer({
      log,
      clock,
      observe: (path, kind, seconds) => {
        metrics.request(path, kind, seconds);
      },
    });
  }

  /** What other faces do their work through. */
  get api(): NativeApi {
    return this.#api;
  }

  /** For whoever gets this gateway its share of the limits. */
  get throttles(): Throttles {
    return this.#throttles;
  }

  /** Serves OpenWhisk's REST behind Envoy; before `start`. */
  serveTunnel(tunnel: Tunnel): void {
    this.#server.serveService(TunnelServiceService, { handle: tunnel });
  }

  /**
   * Begins to serve.
   * @param address "host:port" of the public API; port 0 takes a free one
   * @returns the address with the port that was bound
   * @throws unavailable when it cannot be bound
   */
  async start(address: string): Promise<string> {
    const { dispatcher, controller } = this.deps;
    this.#metrics.watch({
      inFlight: () => dispatcher.stats().inFlight,
      waiting: () => dispatcher.stats().waiting,
      leases: () => dispatcher.stats().leases,
      identities: () => this.#identities.size,
      actions: () => this.#actions.size + this.#webActions.size,
      unsentRecords: () => this.#lostRecords.size,
      streams: () => this.#streams,
    });
    this.#serve();
    dispatcher.start();
    controller.watch(
      {
        opened: () => {
          // What changed while nobody told is not known.
          this.#identities.clear();
          this.#actions.clear();
          this.#webActions.clear();
          this.#apis.clear();
          this.#watchOpened = true;
          this.#watchOpenedMonoMs = this.deps.clock.monoMs();
        },
        changed: (changes) => {
          for (const change of changes) {
            this.#identities.changed(change);
            this.#actions.changed(change);
            this.#webActions.changed(change);
            this.#apis.changed(change);
          }
        },
      },
      this.#watching.signal,
    );
    this.#address = await this.#server.listen(address);
    return this.#address;
  }

  /**
   * For /readyz. Once it was ready it stays so until it drains: what is warm is served whatever becomes of controllers and
   * schedulers, and taking every gateway out for their sake would make a small fault a large one.
   */
  readiness(): true | string {
    if (this.#draining) return "draining";
    if (this.#address === undefined) return "not listening yet";
    if (!this.#watchOpened) return "no controller has answered yet";
    this.#schedulerSeen ||= this.deps.dispatcher.connected;
    if (!this.#schedulerSeen) return "no scheduler has answered yet";
    return true;
  }

  /** For /debug. */
  debug(): unknown {
    return {
      address: this.#address,
      draining: this.#draining,
      dispatcher: { connected: this.deps.dispatcher.connected, ...this.deps.dispatcher.stats() },
      callersWaiting: this.#invocations.waiting,
      streams: this.#streams,
      identities: this.#identities.size,
      actions: this.#actions.size + this.#webActions.size,
      apis: this.#apis.size,
      namespaces: this.#throttles.size,
      unsentRecords: this.#lostRecords.size,
      toldOfChangesForMs: this.#watchOpened
        ? Math.round(this.deps.clock.monoMs() - this.#watchOpenedMonoMs)
        : undefined,
    };
  }

  /** Says that it is not ready, finishes what is in flight for at most `graceMs`, and refuses what is new. */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    this.#health.setServing(false);
    await this.deps.dispatcher.drain(graceMs);
  }

  /** Ends everything. After `drain` nothing is lost by it. */
  async close(graceMs: number): Promise<void> {
    this.#draining = true;
    this.#health.setServing(false);
    this.#watching.abort();
    await this.#server.close(graceMs);
    this.deps.dispatcher.close();
    await this.#lostRecords.close();
    this.#invocations.close();
  }

  #serve(): void {
    const server = this.#server;
    for (const path of this.#api.invokeRpcs.paths) {
      const handler = this.#api.invokeRpcs.handler(path);
      if (!handler) continue;
      server.serveRaw(path, (ctx, message) => {
        const authorization = ctx.header("authorization");
        const known = this.#identities.peek(authorization);
        const setHeader = (name: string, value: string): void => {
          ctx.setHeader(name, value);
        };
        if (known) return handler(message, this.#context(ctx, known), setHeader);
        return this.#identities
          .identify(authorization)
          .then((identity) => handler(message, this.#context(ctx, identity), setHeader));
      });
    }
    for (const path of PROXIED_PATHS) {
      server.serveRaw(path, async (ctx, message) => {
        const identity = await this.#identities.identify(ctx.header("authorization"));
        const context = { ...this.#context(ctx, identity), deadlineMonoMs: ctx.deadlineMonoMs, signal: ctx.signal };
        const call = (): Promise<RawAnswer> => this.#api.callRaw(path, message, context);
        const answer = await this.#largeTurns.run(message.length, call, ctx.signal);
        for (const [name, value] of Object.entries(answer.headers)) {
          if (name.startsWith("weft-")) ctx.setHeader(name, value);
        }
        return answer.message;
      });
    }
    server.serveLink(invokeStreamLink, (link, call) => {
      const authorization = call.header("authorization");
      this.#streams += 1;
      new InvokeStream(link, this.#invocations, this.#composites, {
        identity: this.#identities.peek(authorization) ?? this.#identities.identify(authorization),
        transactionId: transactionIdOf(call.header("x-request-id")) || this.#invocations.newTransactionId(),
        traceparent: call.header("traceparent") ?? "",
        onClosed: () => {
          this.#streams -= 1;
        },
      });
    });
    serveReflection(server, this.#reflection);
    this.#health.serve(server);
  }

  #context(ctx: CallContext, identity: Identity): RequestContext {
    return {
      identity,
      transactionId: transactionIdOf(ctx.header("x-request-id")),
      traceparent: ctx.traceparent,
    };
  }
}

/** A caller's own id when it can be used; ids that begin with sid_ are the system's, as in OpenWhisk. */
function transactionIdOf(header: string | undefined): string {
  return header !== undefined && TRANSACTION_ID.test(header) ? header : "";
}
