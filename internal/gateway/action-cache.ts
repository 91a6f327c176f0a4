// Actions as an invocation needs them. Answers are kept until a controller says that they changed.
//
//   A1. What was asked before a change was told is not kept: the answer may be older than the change.
//   A2. Nothing is kept of a name that does not exist for longer than UNKNOWN_MS, and not over a change of that name.
//   A3. What was found through a binding goes with a change of the binding, of the package it is bound to, and of the
//       action. That a binding's package may not be read is not kept: it can be given back at any moment.

import type { Clock } from "../base/clock.js";
import { toWeftError, type WeftError } from "../base/errors.js";
import type { ActionAsk } from "../core/dispatch/call.js";
import type { DefaultParam } from "../core/params/merge.js";
import { parseActionName } from "../core/tenancy/name.js";
import { quotaOfWire } from "../dispatch/overrides-wire.js";
import { elementsOf, membersOf, type JsonText } from "../base/json-text.js";
import type { Change, Identity as WireIdentity, ResolvedAction } from "../gen/weft/link/v1/control.pb.js";
import type { ControllerClient } from "./controller-client.js";
import type { GatewayMetrics } from "./metrics.js";
import type { Identity } from "./native-api.js";
import { utf8 } from "./wire.js";

/** Actions that are kept: about a kilobyte each, more with large defaults. */
const CACHED_MAX = 20_000;
/** How long a name that is not there, or may not be used, is not asked for again. */
const UNKNOWN_MS = 500;

/** What is invoked. */
export interface Target {
  readonly ask: ActionAsk;
  readonly shard: number;
  /** Without its package. */
  readonly name: string;
  /** "namespace/[package/]name". */
  readonly path: string;
  /** "namespace/name" of the binding through which it was named, or "". */
  readonly binding: string;
  readonly version: string;
  readonly defaults: readonly DefaultParam[];
  readonly final: boolean;
  readonly provideApiKey: boolean;
  readonly logsMb: number;
  /** True for a sequence or conductor: see CompositeCalls. */
  readonly composite: boolean;
  /** Of a web action. */
  readonly web: WebTarget | undefined;
}

/** What a web action has besides, for callers without a key. */
export interface WebTarget {
  /** As whom it runs; without a key. */
  readonly owner: Identity;
  readonly annotations: ReadonlyMap<string, JsonText>;
  /** Defaults that a request may not override. */
  readonly immutable: ReadonlySet<string>;
}

interface Refusal {
  readonly error: WeftError;
  readonly untilMonoMs: number;
}

/** What is known of the actions of one namespace, by "caller namespace" and action name. */
type OfNamespace = Map<string, Target | Refusal>;

export interface ActionCacheDeps {
  readonly controller: Pick<ControllerClient, "resolveAction">;
  readonly clock: Clock;
  readonly metrics: Pick<GatewayMetrics, "actionHits" | "actionMisses">;
}

export class ActionCache {
  readonly #known = new Map<string, OfNamespace>();
  /** What was found through bindings, by the namespace of the package: where it is kept, and of which action it is (A3). */
  readonly #through = new Map<string, Map<string, Through>>();
  #size = 0;
  #asked = new Map<string, Promise<Target>>();
  #changes = 0;

  constructor(private readonly deps: ActionCacheDeps) {}

  /** The action when it is known without asking. Its name is then well formed. */
  peek(callerNamespace: string, namespace: string, name: string): Target | undefined {
    const known = this.#known.get(namespace)?.get(keyOf(callerNamespace, namespace, name));
    if (!known || "error" in known) return undefined;
    this.deps.metrics.actionHits.inc();
    return known;
  }

  /** @throws notFound, permissionDenied; unavailable when nobody can be asked */
  async resolve(callerNamespace: string, namespace: string, name: string): Promise<Target> {
    const key = keyOf(callerNamespace, namespace, name);
    const known = this.#known.get(namespace)?.get(key);
    if (known) {
      if (!("error" in known)) return known;
      if (known.untilMonoMs > this.deps.clock.monoMs()) throw known.error;
    }
    const flight = `${namespace}\n${key}`;
    const asked = this.#asked.get(flight);
    if (asked) return asked;
    this.deps.metrics.actionMisses.inc();
    const asking = this.#ask(callerNamespace, namespace, name, key);
    const among = this.#asked;
    among.set(flight, asking);
    try {
      return await asking;
    } finally {
      among.delete(flight);
    }
  }

  /** Also a package: its actions go with it. */
  changed({ namespace, name, keyUuid }: Change): void {
    this.#changes += 1;
    this.#asked = new Map();
    if (keyUuid !== "") {
      this.#forgetOwner(keyUuid);
      return;
    }
    for (const { asked, key, path } of [...(this.#through.get(namespace)?.values() ?? [])]) {
      if (name !== "" && !startsWith(path, `${namespace}/${name}`)) continue;
      const known = this.#known.get(asked);
      if (known?.has(key)) this.#delete(asked, known, key);
    }
    const known = this.#known.get(namespace);
    if (!known) return;
    for (const key of known.keys()) {
      const action = key.slice(key.indexOf("\n") + 1);
      if (name === "" || startsWith(action, name)) this.#delete(namespace, known, key);
    }
  }

  /** Web actions are given keys that are made from their owner's. */
  #forgetOwner(keyUuid: string): void {
    for (const [namespace, known] of this.#known) {
      for (const [key, what] of known) {
        if (!("error" in what) && what.web?.owner.uuid === keyUuid) this.#delete(namespace, known, key);
      }
    }
  }

  /** Everything of a namespace: what its owner just wrote must be seen by his next call. */
  forgetNamespace(namespace: string): void {
    this.changed({ namespace, name: "", keyUuid: "" });
  }

  clear(): void {
    this.#changes += 1;
    this.#asked = new Map();
    this.#known.clear();
    this.#through.clear();
    this.#size = 0;
  }

  get size(): number {
    return this.#size;
  }

  async #ask(callerNamespace: string, namespace: string, name: string, key: string): Promise<Target> {
    const asOf = this.#changes;
    try {
      const resolved = await this.deps.controller.resolveAction({ namespace, name, callerNamespace });
      const target = targetOf(resolved);
      if (asOf === this.#changes) this.#keep(namespace, key, target); // A1
      return target;
    } catch (thrown) {
      const error = toWeftError(thrown);
      if (asOf === this.#changes && error.kind === "notFound") {
        this.#keep(namespace, key, { error, untilMonoMs: this.deps.clock.monoMs() + UNKNOWN_MS }); // A2
      }
      throw error;
    }
  }

  #keep(namespace: string, key: string, what: Target | Refusal): void {
    let known = this.#known.get(namespace);
    if (!known) this.#known.set(namespace, (known = new Map<string, Target | Refusal>()));
    if (!known.has(key)) this.#size += 1;
    known.set(key, what);
    if ("binding" in what && what.binding !== "") this.#keepThrough(namespace, key, what.path);
    if (this.#size > CACHED_MAX) this.#makeRoom();
  }

  #keepThrough(asked: string, key: string, path: string): void {
    const provider = path.slice(0, path.indexOf("/"));
    let through = this.#through.get(provider);
    if (!through) this.#through.set(provider, (through = new Map<string, Through>()));
    through.set(`${asked}\n${key}`, { asked, key, path });
  }

  /** The namespaces that came first go first; asked for again, they come last. */
  #makeRoom(): void {
    for (const [namespace, known] of this.#known) {
      for (const key of known.keys()) {
        if (this.#size <= CACHED_MAX / 2) return;
        this.#delete(namespace, known, key);
      }
    }
  }

  #delete(namespace: string, known: OfNamespace, key: string): void {
    const gone = known.get(key);
    if (gone && "binding" in gone && gone.binding !== "") {
      const provider = gone.path.slice(0, gone.path.indexOf("/"));
      const through = this.#through.get(provider);
      through?.delete(`${namespace}\n${key}`);
      if (through?.size === 0) this.#through.delete(provider);
    }
    known.delete(key);
    this.#size -= 1;
    if (known.size === 0) this.#known.delete(namespace);
  }
}

/** Where something is kept that was found through a binding. */
interface Through {
  readonly asked: string;
  readonly key: string;
  readonly path: string;
}

/** True for a name itself and for what is in the package of that name. */
function startsWith(action: string, name: string): boolean {
  return action === name || action.startsWith(`${name}/`);
}

/** The owner's own calls are by far the most: their key needs no joining of texts. */
function keyOf(callerNamespace: string, namespace: string, name: string): string {
  return callerNamespace === namespace ? name : `${callerNamespace}\n${name}`;
}

function targetOf(resolved: ResolvedAction): Target {
  const { ask, shard, namespace, name, version } = resolved;
  if (!ask) throw new TypeError(`the controller resolved ${namespace}/${name} to nothing`);
  return {
    ask: {
      key: ask.key,
      revisionId: ask.revisionId,
      kind: ask.kind,
      memoryMb: ask.memoryMb,
      concurrency: ask.concurrency,
      maxInstances: ask.maxInstances,
      timeoutMs: ask.timeoutMs,
    },
    shard,
    name: parseActionName("action", name).name,
    path: `${namespace}/${name}`,
    binding: resolved.binding,
    version,
    // Copies: a view would keep the whole message alive.
    defaults: resolved.defaults.map(({ key, valueJson }) => ({ key, valueJson: Uint8Array.from(valueJson) })),
    final: resolved.final,
    provideApiKey: resolved.provideApiKey,
    logsMb: resolved.logsMb,
    composite: resolved.composite,
    web: resolved.webOwner && webTargetOf(resolved, resolved.webOwner),
  };
}

/** As whom something runs that nobody presented a key for. */
export function ownerOfWire({ uuid, subject, namespace, quota }: WireIdentity): Identity {
  return {
    uuid,
    subject,
    namespace,
    operator: false,
    quota: quotaOfWire(quota),
    apiKey: "",
  };
}

function webTargetOf(resolved: ResolvedAction, owner: WireIdentity): WebTarget {
  const annotations = elementsOf(utf8(resolved.annotationsJson)).map(membersOf);
  return {
    owner: ownerOfWire(owner),
    annotations: new Map(
      annotations.map((entry) => [JSON.parse(entry.get("key") ?? '""') as string, entry.get("value") ?? "null"]),
    ),
    immutable: new Set(
      resolved.final
        ? resolved.defaults.filter(({ valueJson }) => utf8(valueJson).trim() !== "null").map(({ key }) => key)
        : [],
    ),
  };
}
