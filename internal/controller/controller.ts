// The controller: what users can read back lives behind it (entities, keys, activations), and it runs what must outlive
// its caller (durable requests, triggers). It is not on the path of a warm synchronous invocation.

import { DelegatedKeys } from "../core/tenancy/delegated.js";
import { every, type Clock } from "../base/clock.js";
import { invalidField, toWeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { MetricsRegistry } from "../base/metrics.js";
import type { Random } from "../base/random.js";
import type { Tracer } from "../base/trace.js";
import type { BuildStore } from "../core/action/build.js";
import type { EntityChange, EntityStore } from "../core/action/store.js";
import type { ActivationStore, RecordedActivation } from "../core/activation/store.js";
import type { Activation } from "../core/activation/types.js";
import type { Coordination } from "../core/coordination/coordination.js";
import type { Builtins } from "../core/builtin/builtin.js";
import type { AlarmLimits } from "../core/feed/alarm.js";
import type { ReadCron } from "../core/feed/schedule.js";
import type { FeedStore } from "../core/feed/store.js";
import type { ApiStore } from "../core/api/store.js";
import type { QueueStore } from "../core/queue/store.js";
import { KeyRing } from "../core/sealing/key-ring.js";
import { checkKeyRing } from "../core/sealing/rotation.js";
import { SealedEntityStore } from "../core/sealing/sealed-entities.js";
import { SealedQueueStore } from "../core/sealing/sealed-queue.js";
import type { SealStore } from "../core/sealing/store.js";
import type { CataloguePackage } from "../core/package/catalogue.js";
import type { RuntimeManifest } from "../core/sandbox/manifest.js";
import { givenKey, subjectOfNamespace } from "../core/tenancy/key.js";
import { LOCAL_NAMESPACE_LIMITS, type NamespaceLimits, type TenancyStore } from "../core/tenancy/store.js";
import { Throttles, type SystemLimits } from "../core/throttle/throttle.js";
import { Dispatcher } from "../dispatch/dispatcher.js";
import type { DescribeFleetResponse, DescribeInvokerResponse } from "../gen/weft/link/v1/fleet.pb.js";
import { RecordServiceService, type RecordAck, type RecordBatch } from "../gen/weft/link/v1/control.pb.js";
import type { CallContext } from "../rpc/call-context.js";
import { recordLink } from "../rpc/link-methods.js";
import type { Network } from "../rpc/network.js";
import type { RpcServer } from "../rpc/server.js";
import { AccessService } from "./access-service.js";
import { Admissions } from "./admissions.js";
import { AlarmFeed } from "./alarm-feed.js";
import { Alarms } from "./alarms.js";
import { ActionService } from "./action-service.js";
import { ApiService } from "./api-service.js";
import { ActivationService } from "./activation-service.js";
import { auditOf } from "./audit.js";
import { Awaits } from "./awaits.js";
import { BuiltinRunner } from "./builtins.js";
import { Changes } from "./changes.js";
import { ClusterService } from "./cluster-service.js";
import { Builds, type BuildsDeps } from "./builds.js";
import { installCatalogue } from "./catalogue.js";
import { CodeService } from "./code-service.js";
import { Composites } from "./composites.js";
import { FeedKeys } from "./feed-keys.js";
import { Firings } from "./firings.js";
import { CALL_RESULTS, controllerMetrics, type ControllerMetrics } from "./metrics.js";
import { NamespaceService } from "./namespace-service.js";
import { PackageService } from "./package-service.js";
import { Parameters } from "./parameters.js";
import { QueueDispatcher, type QueueDispatcherDeps, type QueueSettings } from "./queue-dispatcher.js";
import { Recorder } from "./recorder.js";
import { ResolveService } from "./resolve-service.js";
import { Resolver } from "./resolver.js";
import { RuleService } from "./rule-service.js";
import { SubmitService } from "./submit-service.js";
import { TriggerService } from "./trigger-service.js";
import { WebhookFeed } from "./webhook-feed.js";

export interface ControllerSettings {
  /** "uuid:key" of the operator, made sure of at start; "" for none. */
  readonly bootstrapKey: string;
  /** Namespace of that key. */
  readonly bootstrapNamespace: string;
  /** Limits of new namespaces. */
  readonly namespaceLimits: NamespaceLimits;
  /** Of all namespaces together. */
  readonly systemLimits: SystemLimits;
  /** Activations older than this are dropped. */
  readonly retentionDays: number;
  /** Reads give default parameters encrypted, as OpenWhisk with encryption does; needs a key ring that seals. */
  readonly hideParameters: boolean;
  readonly queue: Partial<QueueSettings>;
  readonly alarms: AlarmLimits;
  readonly webhooksPerNamespaceMax: number;
}

export const CONTROLLER_SETTINGS: ControllerSettings = {
  bootstrapKey: "",
  bootstrapNamespace: "guest",
  namespaceLimits: LOCAL_NAMESPACE_LIMITS,
  systemLimits: {},
  retentionDays: 7,
  hideParameters: false,
  queue: {},
  alarms: { perNamespaceMax: 1_000, intervalMinMs: 1_000 },
  webhooksPerNamespaceMax: 1_000,
};

/** Partitions of days to come are made, and old ones dropped, this often. */
const MAINTAIN_EVERY_MS = 60 * 60 * 1_000;

export interface ControllerDeps {
  /** Stable over restarts. */
  readonly id: string;
  /** Random per process start. Must be among the members before requests are accepted. */
  readonly bootId: string;
  readonly entities: EntityStore;
  readonly builds: BuildStore;
  /** Asks an invoker for a build (BuildService.Build). */
  readonly requestBuild: BuildsDeps["build"];
  readonly tenancy: TenancyStore;
  readonly seals: SealStore;
  /** Encrypts parameters in the store; default: they are stored plain. */
  readonly keyRing?: KeyRing;
  readonly apis: ApiStore;
  readonly activations: ActivationStore;
  readonly queue: QueueStore;
  readonly feeds: FeedStore;
  readonly coordination: Coordination;
  /** Reaches schedulers and invokers. */
  readonly network: Network;
  /** Asks a scheduler what it knows of its fleet (FleetService.Describe). @throws unavailable */
  readonly describeFleet: (address: string) => Promise<DescribeFleetResponse>;
  /** Asks an invoker what it has (InvokerService.Describe). @throws unavailable, deadlineExceeded: soon */
  readonly describeInvoker: (address: string) => Promise<DescribeInvokerResponse>;
  /** Secret of the cluster: seals what is kept to be handed on. */
  readonly clusterKey: string;
  readonly readCron: ReadCron;
  readonly manifest: RuntimeManifest;
  /** Names of the token providers that APIs may name. */
  readonly tokenProviders: ReadonlySet<string>;
  /** Packages to install at start; none by default. */
  readonly catalogue?: readonly CataloguePackage[];
  readonly clock: Clock;
  /** Unpredictable: keys are made from it. */
  readonly random: Random;
  readonly log: Log;
  readonly tracer: Tracer;
  readonly metrics: MetricsRegistry<"controller">;
  readonly settings?: Partial<ControllerSettings>;
  /** Version of Weft, for status pages. */
  readonly version: string;
  /** Told of each record that is durable; may be told twice of one that was sent again. */
  readonly onRecorded?: (activation: Activation) => void;
  /** Runs calls; default: a Dispatcher over `network`. */
  readonly dispatcher?: QueueDispatcherDeps["dispatcher"];
}

export class Controller {
  /** For whoever gets this controller its share of the limits. */
  readonly throttles: Throttles;
  readonly #metrics: ControllerMetrics;
  readonly #settings: ControllerSettings;
  readonly #keyRing: KeyRing;
  readonly #entities: EntityStore;
  readonly #dispatcher: Dispatcher | undefined;
  readonly #changes: Changes;
  readonly #resolver: Resolver;
  readonly #recorder: Recorder;
  readonly #queue: QueueDispatcher;
  readonly #composites: Composites;
  readonly #builtins: BuiltinRunner;
  readonly #firings: Firings;
  readonly #feedKeys: FeedKeys;
  readonly #alarms: Alarms;
  readonly #webhooks: WebhookFeed;
  readonly #awaits: Awaits;
  readonly #services: readonly { register(server: RpcServer): void }[];
  #stopMaintaining = (): void => {};
  #maintaining: Promise<void> = Promise.resolve();

  constructor(private readonly deps: ControllerDeps) {
    const { bootId, clock, coordination, log, manifest, random, tenancy } = deps;
    const settings = { ...CONTROLLER_SETTINGS, ...deps.settings };
    const metrics = controllerMetrics(deps.metrics);
    this.#settings = settings;
    const keyRing = deps.keyRing ?? new KeyRing(undefined, []);
    this.#keyRing = keyRing;
    const entities = new SealedEntityStore(deps.entities, keyRing);
    this.#entities = entities;
    const queue = new SealedQueueStore(deps.queue, keyRing);
    this.#metrics = metrics;
    if (!deps.dispatcher) {
      this.#dispatcher = new Dispatcher({
        id: deps.id,
        bootId,
        network: deps.network,
        coordination,
        clock,
        random,
        log,
      });
    }
    this.#resolver = new Resolver(entities, metrics);
    this.#changes = new Changes({ entities, clock, random, log, metrics });
    this.throttles = new Throttles(clock, settings.systemLimits);
    const admissions = new Admissions({ tenancy, throttles: this.throttles, metrics });
    this.#changes.onChange = (change) => {
      this.#resolver.forget(change);
      admissions.forget(change);
    };
    this.#recorder = new Recorder({
      activations: deps.activations,
      clock,
      random,
      log,
      metrics,
      stored: (records) => this.#stored(records),
    });
    this.#firings = new Firings({ entities, resolver: this.#resolver, admissions, clock, random });
    const delegated = new DelegatedKeys(deps.clusterKey);
    this.#queue = new QueueDispatcher({
      keyFor: (keyUuid, timeoutMs) => delegated.make(keyUuid, timeoutMs, clock.wallMs()),
      bootId,
      queue,
      coordination,
      dispatcher: deps.dispatcher ?? (this.#dispatcher as Dispatcher),
      resolve: async (namespace, name, caller) => {
        const resolved = await this.#resolver.resolve(namespace, name, caller);
        await admissions.mayRun(caller, resolved);
        return await admissions.bounded(caller, resolved);
      },
      places: admissions,
      record: (records) => this.#recorder.write(records),
      clock,
      random,
      log,
      tracer: deps.tracer,
      metrics,
      settings: settings.queue,
    });
    this.#composites = new Composites({
      bootId,
      queue,
      activations: deps.activations,
      requests: this.#queue,
      resolve: (namespace, name, caller) => this.#resolver.resolve(namespace, name, caller),
      record: (records) => this.#recorder.write(records),
      clock,
      random,
      log,
      metrics,
    });
    this.#queue.composites = this.#composites;
    this.#feedKeys = new FeedKeys({ tenancy, clusterKey: deps.clusterKey, delegated, clock, random });
    this.#alarms = new Alarms({
      feeds: deps.feeds,
      keys: this.#feedKeys,
      firings: this.#firings,
      sealed: (requests) => queue.sealed(requests),
      requests: this.#queue,
      readCron: deps.readCron,
      clock,
      random,
      log,
      metrics,
      fired: (record) => deps.onRecorded?.(record),
    });
    this.#webhooks = new WebhookFeed({
      feeds: deps.feeds,
      keys: this.#feedKeys,
      perNamespaceMax: settings.webhooksPerNamespaceMax,
      clock,
      random,
      log,
    });
    this.#builtins = new BuiltinRunner({
      builtins: this.#builtinActions(),
      record: (records) => this.#recorder.write(records),
      clock,
      random,
      log,
    });
    this.#queue.builtins = this.#builtins;
    this.#awaits = new Awaits({ activations: deps.activations, clock });
    const changed = (change: EntityChange): void => this.#changes.changedHere(change);
    const audit = auditOf(log);
    const builds = new Builds({
      store: deps.builds,
      manifest,
      invokers: async () =>
        (await coordination.listMembers()).filter((m) => m.role === "invoker").map((m) => m.address),
      build: deps.requestBuild,
      clock,
      random,
      log,
      metrics,
    });
    const parameters = new Parameters(keyRing, settings.hideParameters);
    const { namespaceLimits: limits } = settings;
    const bootstrapUuid = settings.bootstrapKey.split(":", 1)[0] ?? "";
    this.#services = [
      new ResolveService({
        tenancy,
        resolver: this.#resolver,
        changes: this.#changes,
        webhooks: this.#webhooks,
        apis: deps.apis,
        manifest,
        limitsOf: (namespace) => admissions.limitsOf(namespace),
        clock,
      }),
      new SubmitService({
        queue,
        resolver: this.#resolver,
        firings: this.#firings,
        dispatcher: this.#queue,
        admissions,
        awaits: this.#awaits,
        clock,
        random,
        metrics,
        fired: (record) => deps.onRecorded?.(record),
      }),
      new CodeService({ entities }),
      new NamespaceService({ tenancy, limits, clock, random, audit, changed }),
      new AccessService({ tenancy, seals: deps.seals, keyRing, limits, bootstrapUuid, clock, random, audit, changed }),
      new PackageService({ entities, parameters, random, changed }),
      new ActionService({
        entities,
        resolver: this.#resolver,
        manifest,
        builds,
        parameters,
        random,
        limitsOf: (namespace) => admissions.limitsOf(namespace),
        changed,
      }),
      new TriggerService({ entities, parameters }),
      new RuleService({ entities, resolver: this.#resolver }),
      new ApiService({
        apis: deps.apis,
        resolver: this.#resolver,
        tokenProviders: deps.tokenProviders,
        clock,
        random,
      }),
      new ActivationService({ activations: deps.activations }),
      new ClusterService({
        coordination,
        queue,
        describeFleet: deps.describeFleet,
        describeInvoker: deps.describeInvoker,
        version: deps.version,
        log,
      }),
    ];
  }

  /** Puts every service of a controller on a server, which must be for roles only. Before it listens. */
  register(server: RpcServer): void {
    for (const service of this.#services) service.register(server);
    server.serveLink(recordLink, (link) => this.#recorder.accept(link));
    server.serveService(RecordServiceService, {
      record: (_ctx: CallContext, batch: RecordBatch) => this.#record(batch),
    });
  }

  /** For the server's metrics. */
  readonly observe = (_path: string, errorKind: string | undefined, seconds: number): void => {
    const result = CALL_RESULTS.find((one) => one === (errorKind ?? "ok")) ?? "internal";
    this.#metrics.calls.bound({ result }).inc();
    this.#metrics.callSeconds.observe(seconds);
  };

  /**
   * Resolves when it can serve.
   * @throws when the store cannot be used, the bootstrap key is none, or the key ring does not fit what is stored
   */
  async start(): Promise<void> {
    await this.#checkSealing();
    await this.#bootstrap();
    await this.#installCatalogue();
    await this.deps.activations.maintain(this.#settings.retentionDays);
    this.#stopMaintaining = every(this.deps.clock, MAINTAIN_EVERY_MS, () => {
      this.#maintaining = this.#maintain();
    });
    this.#changes.start();
    this.#dispatcher?.start();
    this.#composites.start();
    this.#queue.start();
    this.#alarms.start();
  }

  /** True when capacity can be had for durable requests. */
  get connected(): boolean {
    return this.#dispatcher?.connected ?? true;
  }

  /** For whoever looks at this process. */
  debug(): unknown {
    return {
      queue: this.#queue.debug(),
      composites: this.#composites.debug(),
      dispatcher: this.#dispatcher?.stats(),
      recorder: { links: this.#recorder.links, waiting: this.#recorder.waiting },
    };
  }

  /**
   * Sends nothing new, and waits, at most `graceMs`, for what runs and for records that are being stored. Requests that
   * have not begun stay in the database for the next controller. To be called while the server still serves: invokers
   * send records meanwhile.
   */
  async drain(graceMs: number): Promise<void> {
    const { clock } = this.deps;
    const until = clock.monoMs() + graceMs;
    this.#alarms.stop();
    this.#queue.stop();
    this.#composites.stop();
    this.#builtins.stop();
    this.#awaits.close();
    await this.#dispatcher?.drain(graceMs);
    await this.#recorder.drain(Math.max(0, until - clock.monoMs()));
  }

  /** After `drain`, or instead of it. May be repeated. */
  async close(): Promise<void> {
    this.#stopMaintaining();
    this.#alarms.stop();
    this.#queue.stop();
    this.#composites.stop();
    this.#awaits.close();
    this.#dispatcher?.close();
    this.#recorder.close();
    await this.#composites.close();
    await this.#builtins.close();
    await this.#alarms.close();
    await this.#queue.close();
    await this.#changes.close();
    await this.#maintaining;
  }

  #builtinActions(): Builtins {
    const { clock, feeds, random, readCron } = this.deps;
    const alarms = new AlarmFeed({
      feeds,
      keys: this.#feedKeys,
      limits: this.#settings.alarms,
      readCron,
      clock,
      random,
      changed: () => this.#alarms.look(),
    });
    return new Map([...alarms.builtins, ...this.#webhooks.builtins]);
  }

  async #record(batch: RecordBatch): Promise<RecordAck> {
    await this.#recorder.write(this.#recorder.decode(batch));
    return { sequence: batch.sequence };
  }

  #stored(records: readonly RecordedActivation[]): void {
    this.#queue.settled(records.filter((record) => record.async).map(({ activation }) => activation.id));
    for (const { activation } of records) {
      this.#composites.recorded(activation);
      this.#awaits.recorded(activation);
    }
    const { onRecorded } = this.deps;
    if (onRecorded) for (const { activation } of records) onRecorded(activation);
  }

  /** Nothing is served that could not be read, or with keys that are not those of the database. */
  async #checkSealing(): Promise<void> {
    const { log, seals } = this.deps;
    if (this.#settings.hideParameters && !this.#keyRing.current) {
      throw invalidField("hideParameters", "needs a key in parameterKeys to hide them with");
    }
    const { plainStored } = await checkKeyRing(this.#keyRing, seals);
    if (plainStored) log.warn("parameters are stored that are not encrypted; weft admin seal encrypts them");
    if (!this.#keyRing.current) log.warn("parameters are stored as they are: parameterKeys says none");
  }

  /** Makes sure of the operator's namespace and key. */
  async #bootstrap(): Promise<void> {
    const { bootstrapKey, bootstrapNamespace, namespaceLimits } = this.#settings;
    if (bootstrapKey === "") return;
    const { clock, tenancy } = this.deps;
    const owner = {
      namespace: bootstrapNamespace,
      subject: subjectOfNamespace(bootstrapNamespace),
      operator: true,
    };
    const wallMs = clock.wallMs();
    const { key } = givenKey("bootstrapKey", bootstrapKey, owner, wallMs);
    await tenancy.ensureNamespace({ name: bootstrapNamespace, limits: namespaceLimits, createdWallMs: wallMs });
    try {
      const known = await tenancy.getKey(key.uuid);
      if (Buffer.from(known.secretHash).equals(key.secretHash) && known.operator) return;
      // The operator chose another secret for the same key: the settings say what is right.
      await tenancy.deleteKey(known.namespace, known.uuid, true);
    } catch (thrown) {
      if (toWeftError(thrown).kind !== "notFound") throw thrown;
    }
    await tenancy.addKey(key);
  }

  async #installCatalogue(): Promise<void> {
    const { catalogue = [] } = this.deps;
    if (catalogue.length === 0) return;
    const changed = (change: EntityChange): void => this.#changes.changedHere(change);
    await installCatalogue(
      { ...this.deps, entities: this.#entities, limits: this.#settings.namespaceLimits, changed },
      catalogue,
    );
  }

  async #maintain(): Promise<void> {
    try {
      await this.deps.activations.maintain(this.#settings.retentionDays);
    } catch (thrown) {
      this.deps.log.warn("partitions of activations could not be kept up", { error: toWeftError(thrown) });
    }
  }
}
