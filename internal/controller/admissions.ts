// What controllers count against the limits of a namespace: durable requests while they are not finished, and what rules
// start. Gateways count the rest; all of them share the limits.

import { WeftError } from "../base/errors.js";
import type { EntityChange } from "../core/action/store.js";
import { CONCURRENCY_LIMIT, RATE_LIMIT, type Throttles, type Verdict } from "../core/throttle/throttle.js";
import { checkKindAllowed, limitsProblem, tighterInstances } from "../core/tenancy/overrides.js";
import type { NamespaceLimits, TenancyStore } from "../core/tenancy/store.js";
import type { ControllerMetrics } from "./metrics.js";
import type { Places, Runnable } from "./queue-dispatcher.js";
import type { Resolved } from "./resolver.js";

/** Namespaces whose limits are kept: about a hundred bytes each. */
const CACHED_MAX = 20_000;

export interface AdmissionsDeps {
  readonly tenancy: Pick<TenancyStore, "getNamespace">;
  readonly throttles: Throttles;
  readonly metrics: Pick<ControllerMetrics, "throttled">;
}

export class Admissions implements Places {
  readonly #limits = new Map<string, Promise<NamespaceLimits>>();

  constructor(private readonly deps: AdmissionsDeps) {}

  /** @throws notFound */
  limitsOf(namespace: string): Promise<NamespaceLimits> {
    const known = this.#limits.get(namespace);
    if (known) return known;
    if (this.#limits.size >= CACHED_MAX) this.#limits.clear();
    const asked = this.deps.tenancy.getNamespace(namespace).then(({ limits }) => limits);
    this.#limits.set(namespace, asked);
    asked.catch(() => {
      if (this.#limits.get(namespace) === asked) this.#limits.delete(namespace);
    });
    return asked;
  }

  /** Something changed; undefined: anything. What is asked for at this moment may be older, so it goes as well. */
  forget(change: EntityChange | undefined): void {
    if (!change) this.#limits.clear();
    else if (change.name === "" && change.keyUuid === "") this.#limits.delete(change.namespace);
  }

  /** A place for a durable request, until `free`. @throws throttled */
  async place(namespace: string): Promise<void> {
    const limits = await this.limitsOf(namespace);
    this.#check(await this.deps.throttles.of(namespace).admitPlace(limits));
  }

  /** One of a minute's invocations, and a place until `free`: of what a rule starts. @throws throttled */
  async invocation(namespace: string): Promise<void> {
    const limits = await this.limitsOf(namespace);
    this.#check(await this.deps.throttles.of(namespace).admitInvocation(limits));
  }

  /**
   * Whether a namespace may have an action run, as its limits are now.
   * @throws failedPrecondition NAMESPACE_LIMITS, permissionDenied KIND_NOT_ALLOWED
   */
  async mayRun(namespace: string, { action, composite }: Pick<Resolved, "action" | "composite">): Promise<void> {
    const { overrides } = await this.limitsOf(namespace);
    if (!overrides) return;
    checkKindAllowed(overrides.allowedKinds, action.exec.kind);
    const problem = composite === "sequence" ? undefined : limitsProblem(overrides, action.limits);
    if (problem !== undefined) throw new WeftError("failedPrecondition", "NAMESPACE_LIMITS", problem);
  }

  /** What the limits of whoever owns an action, and of whoever invokes it, say of its runs. */
  async bounded(namespace: string, resolved: Resolved): Promise<Runnable> {
    const [owner, caller] = await Promise.all([this.limitsOf(resolved.action.namespace), this.limitsOf(namespace)]);
    const maxInstances = tighterInstances(resolved.ask.maxInstances, owner.overrides?.maxActionInstances);
    const truncationBytes = caller.overrides?.truncationSize;
    const unstored = caller.overrides?.storeActivations === false;
    if (maxInstances === resolved.ask.maxInstances && truncationBytes === undefined && !unstored) return resolved;
    return { ...resolved, ask: { ...resolved.ask, maxInstances }, truncationBytes, unstored };
  }

  /** @throws permissionDenied KIND_NOT_ALLOWED */
  async mayStart(namespace: string, { action }: Pick<Resolved, "action">): Promise<void> {
    const { overrides } = await this.limitsOf(namespace);
    checkKindAllowed(overrides?.allowedKinds, action.exec.kind);
  }

  occupy(namespace: string): void {
    this.deps.throttles.of(namespace).occupy();
  }

  free(namespace: string, tookMs?: number): void {
    this.deps.throttles.of(namespace).release(tookMs);
  }

  #check(verdict: Verdict): void {
    if (!verdict) return;
    this.deps.metrics.throttled.bound({ limit: limitOf(verdict) }).inc();
    throw verdict;
  }
}

function limitOf({ reason }: WeftError): "concurrentInvocations" | "invocationsPerMinute" | "system" {
  if (reason === CONCURRENCY_LIMIT) return "concurrentInvocations";
  return reason === RATE_LIMIT ? "invocationsPerMinute" : "system";
}
