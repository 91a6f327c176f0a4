// Finds actions as a caller sees them, with their packages. What was found is kept until it changes.

import { WeftError } from "../base/errors.js";
import { defaultsOf } from "../core/action/action.js";
import { isTruthy } from "../core/action/key-values.js";
import type { EntityChange, EntityStore } from "../core/action/store.js";
import type { Action, Package } from "../core/action/types.js";
import { shardOf } from "../core/coordination/coordination.js";
import type { ActionAsk } from "../core/dispatch/call.js";
import type { DefaultParam } from "../core/params/merge.js";
import { parseActionName, qualifiedKey } from "../core/tenancy/name.js";
import type { ControllerMetrics } from "./metrics.js";

/** Actions that are remembered; the least recently used goes first. */
const REMEMBERED_MAX = 10_000;

/** An action and everything its invocation needs. */
export interface Resolved {
  readonly action: Action;
  readonly package: Package | undefined;
  readonly ask: ActionAsk;
  readonly shard: number;
  /** Without those for init. The same array while nothing changes. */
  readonly defaults: readonly DefaultParam[];
  readonly final: boolean;
  readonly providesApiKey: boolean;
  /** Set when no invoker runs it as it is. */
  readonly composite: "sequence" | "composition" | undefined;
}

/** Reason of the error for what is there but not for this caller. */
export const NOT_FOR_CALLER = "ACTION_NOT_FOUND";

export class Resolver {
  readonly #known = new Map<string, Promise<Resolved>>();

  constructor(
    private readonly entities: Pick<EntityStore, "getAction" | "getPackage">,
    private readonly metrics: ControllerMetrics,
  ) {}

  /**
   * @param name "name" or "package/name"
   * @throws notFound, also for what is not the caller's and not in a package that others may use; invalidArgument
   */
  async resolve(namespace: string, name: string, callerNamespace: string): Promise<Resolved> {
    const resolved = await this.#find(namespace, name);
    if (namespace !== callerNamespace && resolved.package?.publish !== true) throw noAction(namespace, name);
    return resolved;
  }

  /** @param change undefined: anything may have changed */
  forget(change: EntityChange | undefined): void {
    if (!change) {
      this.#known.clear();
      return;
    }
    const { namespace, name, keyUuid } = change;
    if (keyUuid !== "" && name === "") return;
    if (name !== "") this.#known.delete(`${namespace}/${name}`);
    // A package's parameters and visibility are part of each of its actions, a namespace's end is that of all.
    if (!name.includes("/")) {
      const prefix = name === "" ? `${namespace}/` : `${namespace}/${name}/`;
      for (const key of this.#known.keys()) if (key.startsWith(prefix)) this.#known.delete(key);
    }
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
      if (this.#known.get(key) === loading) this.#known.delete(key);
    });
    if (this.#known.size > REMEMBERED_MAX) {
      const [oldest] = this.#known.keys();
      if (oldest !== undefined) this.#known.delete(oldest);
    }
    return loading;
  }

  async #load(namespace: string, name: string): Promise<Resolved> {
    const { package: packageName } = parseActionName("name", name);
    const [action, inPackage] = await Promise.all([
      this.entities.getAction(namespace, name),
      packageName === undefined ? undefined : this.entities.getPackage(namespace, packageName),
    ]);
    const key = qualifiedKey(action);
    return {
      action,
      package: inPackage,
      ask: askOf(action),
      shard: shardOf(key),
      defaults: defaultsOf(action, inPackage).map((entry) => ({
        key: entry.key,
        valueJson: Buffer.from(entry.valueJson),
      })),
      // Its parameters are none that anybody could override.
      final: !action.exec.components && isTruthy(action.annotations, "final", false),
      providesApiKey: isTruthy(action.annotations, "provide-api-key", true),
      composite: action.exec.components
        ? "sequence"
        : isTruthy(action.annotations, "conductor", false)
          ? "composition"
          : undefined,
    };
  }
}

/** What a scheduler must know of an action. */
export function askOf(action: Pick<Action, "namespace" | "name" | "revisionId" | "exec" | "limits">): ActionAsk {
  return {
    key: qualifiedKey(action),
    revisionId: action.revisionId,
    kind: action.exec.kind,
    memoryMb: action.limits.memoryMb,
    concurrency: action.limits.concurrency,
    maxInstances: 0,
    timeoutMs: action.limits.timeoutMs,
  };
}

function noAction(namespace: string, name: string): WeftError {
  return new WeftError("notFound", NOT_FOR_CALLER, `there is no action ${namespace}/${name} for this key`);
}
