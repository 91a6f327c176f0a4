// Finds actions as a caller sees them, with their packages and bindings. What was found is kept until it changes.
//
//   R1. What was found through a binding is tied to the package it is bound to before that is read: a change of the
//       package or of the action is either seen by the reading, or forgets what was read.

import { invariant, toWeftError, WeftError } from "../base/errors.js";
import { defaultsOf, revisionOf } from "../core/action/action.js";
import { sandboxKindOf } from "../core/action/image.js";
import { isTruthy } from "../core/action/key-values.js";
import type { EntityChange, EntityStore } from "../core/action/store.js";
import { BUILTIN_KIND, type Action, type Package } from "../core/action/types.js";
import { shardOf } from "../core/coordination/coordination.js";
import type { ActionAsk } from "../core/dispatch/call.js";
import {
  circularBinding,
  mayUse,
  parametersThrough,
  providerNotReadable,
  revisionThrough,
} from "../core/package/package.js";
import type { DefaultParam } from "../core/params/merge.js";
import { formatActionName, parseActionName, qualifiedKey } from "../core/tenancy/name.js";
import type { ControllerMetrics } from "./metrics.js";

/** Actions that are remembered; the least recently used goes first. */
const REMEMBERED_MAX = 10_000;
/** Tries of an action through a binding while somebody writes one of the two. */
const TRIES_MAX = 3;

/** An action and everything its invocation needs. */
export interface Resolved {
  readonly action: Action;
  readonly package: Package | undefined;
  /** Through which it was named: its owner's alone. */
  readonly binding: Package | undefined;
  readonly ask: ActionAsk;
  readonly shard: number;
  /** Without those for init. The same array while nothing changes. */
  readonly defaults: readonly DefaultParam[];
  readonly final: boolean;
  readonly providesApiKey: boolean;
  /** Set when no invoker runs it as it is, but a controller does. */
  readonly composite: "sequence" | "composition" | "builtin" | undefined;
}

/** Reason of the error for what is there but not for this caller. */
export const NOT_FOR_CALLER = "ACTION_NOT_FOUND";

export class Resolver {
  readonly #known = new Map<string, Promise<Resolved>>();
  /** Keys in `#known` of what was named through a binding, by the "namespace/package" that it is bound to (R1). */
  readonly #through = new Map<string, Set<string>>();

  constructor(
    private readonly entities: Pick<EntityStore, "getAction" | "getPackage" | "keepRevision">,
    private readonly metrics: ControllerMetrics,
  ) {}

  /**
   * @param name "name", "package/name" or "binding/name"
   * @throws notFound, also for what is not the caller's and not in a package that others may use; permissionDenied through
   * a binding to what its owner may not read; failedPrecondition CIRCULAR_BINDING; invalidArgument
   */
  async resolve(namespace: string, name: string, callerNamespace: string): Promise<Resolved> {
    if (namespace === callerNamespace) return this.#find(namespace, name);
    let resolved: Resolved;
    try {
      resolved = await this.#find(namespace, name);
    } catch (thrown) {
      // What is wrong with somebody else's binding is his business.
      const { kind, reason } = toWeftError(thrown);
      if (kind === "permissionDenied" || reason === "CIRCULAR_BINDING") throw noAction(namespace, name);
      throw thrown;
    }
    if (resolved.binding || resolved.package?.publish !== true) throw noAction(namespace, name);
    return resolved;
  }

  /** @param change undefined: anything may have changed */
  forget(change: EntityChange | undefined): void {
    if (!change) {
      this.#known.clear();
      this.#through.clear();
      return;
    }
    const { namespace, name, keyUuid } = change;
    if (keyUuid !== "" && name === "") return;
    if (name !== "") this.#drop(`${namespace}/${name}`);
    this.#forgetThrough(namespace, name);
    // A package's parameters and visibility are part of each of its actions, a namespace's end is that of all.
    if (!name.includes("/")) {
      const prefix = name === "" ? `${namespace}/` : `${namespace}/${name}/`;
      for (const key of this.#known.keys()) if (key.startsWith(prefix)) this.#drop(key);
    }
  }

  /** What was named through bindings to a package, of which something changed, or to any of a namespace. */
  #forgetThrough(namespace: string, name: string): void {
    if (this.#through.size === 0) return;
    const slash = name.indexOf("/");
    const changed = `${namespace}/${slash < 0 ? name : name.slice(0, slash)}`;
    for (const provider of name === ""
      ? [...this.#through.keys()].filter((key) => key.startsWith(changed))
      : [changed]) {
      for (const key of this.#through.get(provider) ?? []) this.#known.delete(key);
      this.#through.delete(provider);
    }
  }

  #drop(key: string): void {
    if (!this.#known.delete(key)) return;
    for (const [provider, tied] of this.#through)
      if (tied.delete(key) && tied.size === 0) this.#through.delete(provider);
  }

  #tie(provider: string, key: string): void {
    let tied = this.#through.get(provider);
    if (!tied) this.#through.set(provider, (tied = new Set()));
    tied.add(key);
  }

  #find(namespace: string, name: string): Promise<Resolved> {
    const key = `${namespace}/${name}`;
    const known = this.#known.get(key);
    if (known) {
      this.metrics.resolves.bound({ from: "memory" }).inc();
      this.#known.delete(key);
      this.#known.set(key, known);
      return known;
    }
    this.metrics.resolves.bound({ from: "store" }).inc();
    // The promise is what is kept: when a change comes while it loads, it is forgotten with the rest, and whoever asks
    // next loads again.
    const loading = this.#load(namespace, name);
    this.#known.set(key, loading);
    loading.catch(() => {
      if (this.#known.get(key) === loading) this.#drop(key);
    });
    if (this.#known.size > REMEMBERED_MAX) {
      const [oldest] = this.#known.keys();
      if (oldest !== undefined) this.#drop(oldest);
    }
    return loading;
  }

  async #load(namespace: string, name: string): Promise<Resolved> {
    const { package: packageName } = parseActionName("name", name);
    if (packageName === undefined) {
      return resolvedOf(await this.entities.getAction(namespace, name), undefined, undefined);
    }
    const [named, action] = await Promise.all([
      this.entities.getPackage(namespace, packageName),
      // Mostly it is there; through a binding it is not, and looked for elsewhere.
      this.entities.getAction(namespace, name).catch((thrown: unknown) => toWeftError(thrown)),
    ]);
    if (named.binding) return this.#loadThrough(named, name);
    if (action instanceof WeftError) throw action;
    return resolvedOf(action, named, undefined);
  }

  async #loadThrough(first: Package, name: string): Promise<Resolved> {
    const key = `${first.namespace}/${name}`;
    const own = parseActionName("name", name).name;
    let named = first;
    for (let tries = 1; ; tries++) {
      const { binding } = named;
      if (!binding) return this.#load(named.namespace, name);
      this.#tie(`${binding.namespace}/${binding.name}`, key); // R1
      const provider = await providerOf(this.entities, named);
      const action = await this.entities.getAction(
        provider.namespace,
        formatActionName({ package: provider.name, name: own }),
      );
      const through = resolvedOf(action, provider, named);
      const base = revisionOf(action, provider);
      if (!base) return through; // nothing is loaded for it
      const merged = { parameters: parametersThrough(named, provider) };
      const revision = revisionThrough(base, revisionOf(action, merged) ?? base, named);
      if (revision === base) return through;
      try {
        await this.entities.keepRevision(revision, base.revisionId, named);
        return { ...through, ask: { ...through.ask, revisionId: revision.revisionId } };
      } catch (thrown) {
        if (toWeftError(thrown).kind !== "conflict" || tries === TRIES_MAX) throw thrown;
      }
      named = await this.entities.getPackage(named.namespace, named.name);
    }
  }
}

/**
 * The package that a binding is bound to, as its owner may use it.
 * @throws notFound when it was his own and is gone; permissionDenied PROVIDER_NOT_READABLE; failedPrecondition
 * CIRCULAR_BINDING
 */
export async function providerOf(entities: Pick<EntityStore, "getPackage">, named: Package): Promise<Package> {
  const { binding } = named;
  invariant(binding !== undefined, "only a binding is bound to something");
  let provider: Package;
  try {
    provider = await entities.getPackage(binding.namespace, binding.name);
  } catch (thrown) {
    const { kind, reason } = toWeftError(thrown);
    const absent = kind === "notFound" || reason === "WRONG_COLLECTION";
    if (absent && binding.namespace !== named.namespace) throw providerNotReadable(binding);
    throw thrown;
  }
  if (!mayUse(provider, named.namespace)) throw providerNotReadable(binding);
  if (provider.binding) throw circularBinding(named);
  return provider;
}

function resolvedOf(action: Action, inPackage: Package | undefined, binding: Package | undefined): Resolved {
  const parameters = inPackage && { parameters: parametersThrough(binding, inPackage) };
  return {
    action,
    package: inPackage,
    binding,
    ask: askOf(action),
    shard: shardOf(qualifiedKey(action)),
    defaults: defaultsOf(action, parameters).map((entry) => ({
      key: entry.key,
      valueJson: Buffer.from(entry.valueJson),
    })),
    // Parameters of a sequence are none that anybody could override.
    final: !action.exec.components && isTruthy(action.annotations, "final", false),
    providesApiKey: isTruthy(action.annotations, "provide-api-key", true),
    composite: compositeOf(action),
  };
}

function compositeOf({ annotations, exec }: Action): Resolved["composite"] {
  // What does not build is answered where built-in actions are: there is nothing to load.
  if (exec.kind === BUILTIN_KIND || exec.build?.problem) return "builtin";
  if (exec.components) return "sequence";
  return isTruthy(annotations, "conductor", false) ? "composition" : undefined;
}

/** What a scheduler must know of an action. */
export function askOf(
  action: Pick<Action, "namespace" | "name" | "revisionId" | "exec" | "limits" | "maxInstances">,
): ActionAsk {
  return {
    key: qualifiedKey(action),
    revisionId: action.revisionId,
    kind: sandboxKindOf(action.exec),
    memoryMb: action.limits.memoryMb,
    concurrency: action.limits.concurrency,
    maxInstances: action.maxInstances ?? 0,
    timeoutMs: action.limits.timeoutMs,
  };
}

function noAction(namespace: string, name: string): WeftError {
  return new WeftError("notFound", NOT_FOR_CALLER, `there is no action ${namespace}/${name} for this key`);
}
