// What leads from what is here to what is asked for: a pure comparison. Every step says what it changes or why it cannot be.

import type { ActionLimits, KeyValue } from "../../../internal/core/action/types.js";
import { BLACKBOX_KIND, SEQUENCE_KIND } from "../../../internal/core/action/types.js";
import {
  apiKey,
  canonical,
  FEED_DIGEST,
  MANAGED,
  ownerOf,
  PLATFORM_ANNOTATIONS,
  splitName,
  type ActionState,
  type ApiDocumentState,
  type ApiState,
  type PackageState,
  type RuleState,
  type State,
  type TriggerState,
} from "./state.js";

export type Change = "create" | "change" | "delete" | "leave" | "refuse";

/** In the order in which they are written; they are deleted in the opposite one. */
export const SORTS = ["package", "binding", "action", "sequence", "trigger", "rule", "api", "document"] as const;
export type Sort = (typeof SORTS)[number];

interface StepOf<S extends Sort, T> {
  readonly change: Change;
  readonly sort: S;
  readonly name: string;
  /** What changes; of what is left or refused the reason, if there is one. */
  readonly what: readonly string[];
  readonly note?: string | undefined;
  readonly wanted?: T | undefined;
  readonly here?: T | undefined;
}

export type Step =
  | StepOf<"package" | "binding", PackageState>
  | StepOf<"action" | "sequence", ActionState>
  | StepOf<"trigger", TriggerState>
  | StepOf<"rule", RuleState>
  | StepOf<"api", ApiState>
  | StepOf<"document", ApiDocumentState>;

export interface PlanContext {
  /** Where it is written to. */
  readonly namespace: string;
  /** Kinds that run here; deprecated ones are not among them. */
  readonly kinds: readonly { readonly kind: string; readonly isDefault: boolean }[];
  /** Of what is asked for in other namespaces: what the caller may use. "/namespace/name". */
  readonly readable: ReadonlySet<string>;
  /** What is here and differs stays as it is. */
  readonly keep?: boolean;
  /** Projects whose entities are deleted when they are not asked for. */
  readonly owns?: ReadonlySet<string>;
  /** APIs that are deleted when they are not asked for: `apiKey`s. */
  readonly ownApis?: ReadonlySet<string>;
}

/** @returns steps in the order in which to take them */
export function planOf(wanted: State, here: State, context: PlanContext): readonly Step[] {
  const plan = new Planner(wanted, here, context);
  return plan.steps();
}

/** What a plan would do, counted. */
export function countsOf(steps: readonly Step[]): Readonly<Record<Change, number>> {
  const counts = { create: 0, change: 0, delete: 0, leave: 0, refuse: 0 };
  for (const { change } of steps) counts[change] += 1;
  return counts;
}

/** Names in other namespaces that what is asked for refers to: actions, and packages of bindings. */
export function foreignNames(
  wanted: State,
  namespace: string,
): {
  readonly actions: readonly string[];
  readonly packages: readonly string[];
} {
  const actions = new Set<string>();
  const packages = new Set<string>();
  const foreign = (name: string): boolean => splitName(name).namespace !== namespace;
  for (const { components } of wanted.actions.values()) for (const name of components) actions.add(name);
  for (const { action } of wanted.rules.values()) actions.add(action);
  for (const { feed } of wanted.triggers.values()) if (feed?.inputs) actions.add(feed.action);
  for (const { calls } of wanted.apiDocuments?.values() ?? []) for (const name of calls) actions.add(name);
  for (const { binding } of wanted.packages.values())
    if (binding) packages.add(`/${binding.namespace}/${binding.name}`);
  return { actions: [...actions].filter(foreign), packages: [...packages].filter(foreign) };
}

class Planner {
  /** Why what is asked for cannot be, by its name: what needs it cannot be either. */
  readonly #refused = new Map<string, string>();

  constructor(
    private readonly wanted: State,
    private readonly here: State,
    private readonly context: PlanContext,
  ) {}

  steps(): readonly Step[] {
    const { wanted } = this;
    const packages = [...wanted.packages.values()].sort(byName);
    const actions = [...wanted.actions.values()].sort(byName);
    const writes: Step[] = [
      ...packages.filter((one) => !one.binding).map((one) => this.#package(one)),
      ...packages.filter((one) => one.binding).map((one) => this.#package(one)),
      ...actions.filter((one) => one.kind !== SEQUENCE_KIND).map((one) => this.#action(one)),
      ...componentsFirst(actions, this.context.namespace).map((one) => this.#action(one)),
      ...[...wanted.triggers.values()].sort(byName).map((one) => this.#trigger(one)),
      ...[...wanted.rules.values()].sort(byName).map((one) => this.#rule(one)),
      ...[...wanted.apis.values()].map((one) => this.#api(one)),
      ...[...(wanted.apiDocuments?.values() ?? [])].sort(byName).map((one) => this.#document(one)),
    ];
    const deletes = this.#deletes();
    // A name that another sort of entity takes over has to be free first.
    const inTheWay = deletes.filter(({ sort, name }) => sort !== "api" && this.#isWanted(name));
    const later = deletes.filter((step) => !inTheWay.includes(step));
    return [...inTheWay, ...writes, ...later];
  }

  #package(wanted: PackageState): Step {
    const here = this.here.packages.get(wanted.name);
    const sort = wanted.binding ? "binding" : "package";
    const base = { sort, name: wanted.name, note: wanted.note, wanted, here } as const;
    const differences = here
      ? [
          ...(here.publish === wanted.publish ? [] : [wanted.publish ? "shared" : "no longer shared"]),
          ...(same(here.binding, wanted.binding)
            ? []
            : [`bound to /${wanted.binding?.namespace ?? ""}/${wanted.binding?.name ?? ""}`]),
          ...keyDifferences("parameter", here.parameters, wanted.parameters),
          ...annotationDifferences(here.annotations, wanted.annotations),
        ]
      : [];
    const turned = here && Boolean(here.binding) !== Boolean(wanted.binding);
    const problem =
      wanted.problem ??
      this.#taken("package", wanted.name) ??
      (turned ? `there is a ${here.binding ? "binding" : "package"} of this name: delete it first` : undefined) ??
      (wanted.binding ? this.#unbindable(`/${wanted.binding.namespace}/${wanted.binding.name}`) : undefined);
    return this.#step(base, problem, differences);
  }

  #action(wanted: ActionState): Step {
    const here = this.here.actions.get(wanted.name);
    const sort = wanted.kind === SEQUENCE_KIND ? "sequence" : "action";
    const base = { sort, name: wanted.name, note: wanted.note, wanted, here } as const;
    const [parent, own] = wanted.name.includes("/") ? wanted.name.split("/") : [undefined, wanted.name];
    const problem =
      wanted.problem ??
      (own === "" ? "it has no name" : undefined) ??
      this.#taken("action", wanted.name) ??
      (parent === undefined ? undefined : this.#missingPackage(parent)) ??
      (sort === "action"
        ? this.#kindProblem(wanted.kind)
        : wanted.components.map((name) => this.#missingAction(name, "it runs")).find((one) => one !== undefined));
    return this.#step(base, problem, here ? this.#actionDifferences(here, wanted) : []);
  }

  #actionDifferences(here: ActionState, wanted: ActionState): string[] {
    const isSequence = wanted.kind === SEQUENCE_KIND;
    const kind = this.#concrete(wanted.kind);
    return [
      ...(here.kind === kind ? [] : [`kind ${here.kind} → ${kind}`]),
      ...(here.codeDigest === wanted.codeDigest && here.binary === wanted.binary ? [] : ["code"]),
      ...((here.image ?? "") === (wanted.image ?? "") ? [] : [`image ${here.image ?? ""} → ${wanted.image ?? ""}`]),
      ...(mainOf(here) === mainOf(wanted) ? [] : [`main ${mainOf(here)} → ${mainOf(wanted)}`]),
      ...(same(here.components, wanted.components) ? [] : [`runs ${wanted.components.join(", ")}`]),
      // What a sequence has for parameters and limits is the platform's, and means nothing.
      ...(isSequence ? [] : keyDifferences("parameter", here.parameters, wanted.parameters)),
      ...annotationDifferences(here.annotations, wanted.annotations),
      ...(isSequence ? [] : limitDifferences(here.limits, wanted.limits)),
      ...publishDifference(here, wanted),
    ];
  }

  #trigger(wanted: TriggerState): Step {
    const here = this.here.triggers.get(wanted.name);
    const base = { sort: "trigger", name: wanted.name, note: wanted.note, wanted, here } as const;
    const told = wanted.feed?.inputs !== undefined;
    const problem =
      wanted.problem ??
      this.#taken("trigger", wanted.name) ??
      (told ? this.#missingAction(wanted.feed.action, "its feed is") : undefined);
    const differences = here
      ? [
          ...keyDifferences("parameter", here.parameters, wanted.parameters),
          ...annotationDifferences(here.annotations, wanted.annotations),
          ...publishDifference(here, wanted),
          ...(told && here.feed?.action === wanted.feed.action && here.feed.digest !== wanted.feed.digest
            ? ["what the feed is told"]
            : []),
        ]
      : [];
    return this.#step(base, problem, differences);
  }

  #rule(wanted: RuleState): Step {
    const here = this.here.rules.get(wanted.name);
    const base = { sort: "rule", name: wanted.name, note: wanted.note, wanted, here } as const;
    const problem =
      wanted.problem ??
      this.#taken("rule", wanted.name) ??
      this.#missingTrigger(wanted.trigger) ??
      this.#missingAction(wanted.action, "it runs");
    const differences = here
      ? [
          ...(here.trigger === wanted.trigger ? [] : [`trigger ${here.trigger} → ${wanted.trigger}`]),
          ...(here.action === wanted.action ? [] : [`action ${here.action} → ${wanted.action}`]),
          ...(here.active === wanted.active ? [] : [wanted.active ? "active" : "inactive"]),
          ...annotationDifferences(here.annotations, wanted.annotations),
          ...publishDifference(here, wanted),
        ]
      : [];
    return this.#step(base, problem, differences);
  }

  #api(wanted: ApiState): Step {
    const name = apiKey(wanted);
    const here = this.here.apis.get(name);
    const problem = wanted.problem ?? this.#missingAction(`/${this.context.namespace}/${wanted.action}`, "it calls");
    const differences = here
      ? [
          ...(here.action === wanted.action ? [] : [`action ${here.action} → ${wanted.action}`]),
          ...(here.responseType === wanted.responseType
            ? []
            : [`response ${here.responseType} → ${wanted.responseType}`]),
        ]
      : [];
    return this.#step({ sort: "api", name, wanted, here } as const, problem, differences);
  }

  #document(wanted: ApiDocumentState): Step {
    const here = this.here.apiDocuments?.get(wanted.name);
    // A path without its action is answered with an error that says so: no reason to do without the others.
    const missing = wanted.calls
      .map((name) => this.#missingAction(name, "it calls"))
      .filter((one) => one !== undefined);
    const note = [...missing, ...(wanted.note === undefined ? [] : [wanted.note])].join("; ");
    const same = !here || canonical(here.documentJson) === canonical(wanted.documentJson);
    const base = { sort: "document", name: wanted.name, wanted, here } as const;
    return this.#step(note === "" ? base : { ...base, note }, wanted.problem, same ? [] : ["its document"]);
  }

  #step<S extends Omit<Step, "change" | "what">>(base: S, problem: string | undefined, differences: readonly string[]) {
    const step = (change: Change, what: readonly string[] = []) => ({ ...base, change, what }) as unknown as Step;
    const owner = base.here && "annotations" in base.here ? ownerOf(base.here)?.project : undefined;
    const asked = base.wanted && "annotations" in base.wanted ? ownerOf(base.wanted)?.project : undefined;
    const foreign =
      this.context.owns && owner !== undefined && owner !== asked ? `it belongs to the project ${owner}` : undefined;
    const sealed = base.wanted && "annotations" in base.wanted ? base.wanted.sealed : undefined;
    const why =
      problem ??
      foreign ??
      (sealed === undefined || base.here ? undefined : `${sealed}: create it here with their values`);
    if (why !== undefined) {
      this.#refused.set(nameKey(base.sort, base.name), why);
      return step("refuse", [why]);
    }
    if (base.here === undefined) return step("create");
    if (sealed !== undefined) return step("leave", [`stays as it is here: ${sealed}`]);
    if (differences.length === 0) return step("leave");
    if (this.context.keep) return step("leave", [`is another one here (${differences.join(", ")})`]);
    return step("change", differences);
  }

  /** What is here, belongs to the project, and is not asked for. */
  #deletes(): Step[] {
    const { wanted, here } = this;
    const gone = <T extends { readonly name: string; readonly annotations: readonly KeyValue[] }>(
      all: ReadonlyMap<string, T>,
      kept: ReadonlyMap<string, T>,
    ): T[] => [...all.values()].filter((one) => !kept.has(one.name) && this.#isOwn(one)).sort(byName);
    const step = (sort: Sort, one: { readonly name: string }): Step =>
      ({ change: "delete", sort, name: one.name, what: [], here: one }) as unknown as Step;
    const packages = gone(here.packages, wanted.packages);
    const actions = gone(here.actions, wanted.actions);
    return [
      ...[...here.apis]
        .filter(([key]) => !wanted.apis.has(key) && this.context.ownApis?.has(key))
        .map(([key, one]): Step => ({ change: "delete", sort: "api", name: key, what: [], here: one })),
      ...gone(here.rules, wanted.rules).map((one) => step("rule", one)),
      ...gone(here.triggers, wanted.triggers).map((one) => step("trigger", one)),
      ...componentsFirst(actions, this.context.namespace)
        .reverse()
        .map((one) => step("sequence", one)),
      ...actions.filter((one) => one.kind !== SEQUENCE_KIND).map((one) => step("action", one)),
      ...packages.filter((one) => one.binding).map((one) => step("binding", one)),
      ...packages.filter((one) => !one.binding).map((one) => this.#packageDelete(one)),
    ];
  }

  /** A package goes only with its last action: what somebody else put into it stays. */
  #packageDelete(one: PackageState): Step {
    const left = [...this.here.actions.values()].filter(
      (action) =>
        action.name.startsWith(`${one.name}/`) && (this.wanted.actions.has(action.name) || !this.#isOwn(action)),
    );
    const base = { sort: "package", name: one.name, here: one } as const;
    if (left.length === 0) return { ...base, change: "delete", what: [] };
    return { ...base, change: "leave", what: [`has ${left.map(({ name }) => name).join(", ")}, not of this project`] };
  }

  #isOwn(entity: { readonly annotations: readonly KeyValue[] }): boolean {
    const owner = ownerOf(entity)?.project;
    return owner !== undefined && (this.context.owns?.has(owner) ?? false);
  }

  #isWanted(name: string): boolean {
    const { packages, actions, triggers, rules } = this.wanted;
    return [packages, actions, triggers, rules].some((all) => all.has(name));
  }

  /** Entities share one space of names. */
  #taken(collection: "package" | "action" | "trigger" | "rule", name: string): string | undefined {
    const all = {
      package: this.here.packages,
      action: this.here.actions,
      trigger: this.here.triggers,
      rule: this.here.rules,
    };
    for (const [sort, entities] of Object.entries(all)) {
      const other = sort === collection ? undefined : entities.get(name);
      if (!other || this.#isOwn(other)) continue;
      return `there is ${sort === "action" ? "an" : "a"} ${sort} of this name: delete it first`;
    }
    return undefined;
  }

  #concrete(kind: string): string {
    if (!kind.endsWith(":default")) return kind;
    const family = kind.slice(0, -"default".length);
    return this.context.kinds.find((one) => one.isDefault && one.kind.startsWith(family))?.kind ?? kind;
  }

  #kindProblem(kind: string): string | undefined {
    if (kind === BLACKBOX_KIND) return undefined; // which images are allowed only the platform knows
    const concrete = this.#concrete(kind);
    const { kinds } = this.context;
    if (kinds.some((one) => one.kind === concrete)) return undefined;
    return `no runtime here has the kind ${kind}: there are ${kinds.map((one) => one.kind).join(", ")}`;
  }

  #missingPackage(name: string): string | undefined {
    if (this.here.packages.has(name) && !this.wanted.packages.has(name)) return undefined;
    if (!this.wanted.packages.has(name)) return `there is no package ${name}`;
    const why = this.#refused.get(nameKey("package", name));
    return why === undefined ? undefined : `its package ${name} cannot be`;
  }

  #unbindable(provider: string): string | undefined {
    const { namespace, name } = splitName(provider);
    if (namespace !== this.context.namespace) {
      return this.context.readable.has(provider) ? undefined : `the package ${provider} is not here, or not shared`;
    }
    return this.#missingPackage(name);
  }

  #missingAction(qualified: string, what: string): string | undefined {
    const { namespace, name } = splitName(qualified);
    if (namespace !== this.context.namespace) {
      return this.context.readable.has(qualified)
        ? undefined
        : `${what} ${qualified}, which is not here, or not for this key`;
    }
    if (this.wanted.actions.has(name)) {
      return this.#refused.has(nameKey("action", name)) ? `${what} ${qualified}, which cannot be` : undefined;
    }
    if (this.here.actions.has(name)) return undefined;
    const [packageName = "", own = ""] = name.split("/");
    const bound = (this.wanted.packages.get(packageName) ?? this.here.packages.get(packageName))?.binding;
    if (own !== "" && bound) {
      return this.#refused.has(nameKey("package", packageName))
        ? `${what} ${qualified}, whose binding cannot be`
        : this.#missingAction(`/${bound.namespace}/${bound.name}/${own}`, what);
    }
    return `${what} ${qualified}, which does not exist`;
  }

  #missingTrigger(qualified: string): string | undefined {
    const { namespace, name } = splitName(qualified);
    if (namespace !== this.context.namespace) return `its trigger ${qualified} is not of this namespace`;
    if (this.wanted.triggers.has(name)) {
      return this.#refused.has(nameKey("trigger", name)) ? `its trigger ${name} cannot be` : undefined;
    }
    return this.here.triggers.has(name) ? undefined : `its trigger ${name} does not exist`;
  }
}

/** Actions and sequences, packages and bindings share their names. */
function nameKey(sort: Sort, name: string): string {
  const shared = sort === "sequence" ? "action" : sort === "binding" ? "package" : sort;
  return `${shared} ${name}`;
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** The sequences among them, each after those that it runs. What leads back to itself the server refuses. */
export function componentsFirst(actions: readonly ActionState[], namespace: string): ActionState[] {
  const sequences = new Map(actions.filter((one) => one.kind === SEQUENCE_KIND).map((one) => [one.name, one]));
  const ordered = new Set<ActionState>();
  const seen = new Set<ActionState>();
  const visit = (one: ActionState): void => {
    if (seen.has(one)) return;
    seen.add(one);
    for (const component of one.components) {
      const { namespace: of, name } = splitName(component);
      const inner = of === namespace ? sequences.get(name) : undefined;
      if (inner) visit(inner);
    }
    ordered.add(one);
  };
  for (const one of [...sequences.values()].sort(byName)) visit(one);
  return [...ordered];
}

function mainOf({ main }: ActionState): string {
  return main === "" ? "main" : main;
}

function same(a: unknown, b: unknown): boolean {
  return canonical(JSON.stringify(a ?? null)) === canonical(JSON.stringify(b ?? null));
}

/** "parameter a, b": keys that are new, gone or another one. */
function keyDifferences(what: string, here: readonly KeyValue[], wanted: readonly KeyValue[]): string[] {
  const [old, fresh] = [textByKey(here), textByKey(wanted)];
  const keys = [...new Set([...old.keys(), ...fresh.keys()])].filter((key) => old.get(key) !== fresh.get(key));
  if (keys.length === 0) return [];
  return [`${what}${keys.length > 1 ? "s" : ""} ${keys.sort().join(", ")}`];
}

function textByKey(list: readonly KeyValue[]): ReadonlyMap<string, string> {
  return new Map(list.map(({ key, valueJson, init }) => [key, `${canonical(valueJson)} ${String(init)}`]));
}

/** Of those that are the platform's own nothing is said; of a project's mark only whose it is. */
function annotationDifferences(here: readonly KeyValue[], wanted: readonly KeyValue[]): string[] {
  const asked = new Set(wanted.map(({ key }) => key));
  const compared = (list: readonly KeyValue[]): KeyValue[] =>
    list
      .filter(({ key }) => !PLATFORM_ANNOTATIONS.has(key) && (asked.has(key) || !isOptional(key)))
      .map((entry) =>
        entry.key === MANAGED
          ? { ...entry, valueJson: JSON.stringify(ownerOf({ annotations: [entry] }) ?? null) }
          : entry,
      );
  return keyDifferences("annotation", compared(here), compared(wanted));
}

/** What the platform adds when it is not said, or what is told apart from them. */
function isOptional(key: string): boolean {
  return key === "provide-api-key" || key === FEED_DIGEST;
}

/** Keys of annotations that are here and not asked for. */
export function removedAnnotations(here: readonly KeyValue[], wanted: readonly KeyValue[]): string[] {
  const asked = new Set(wanted.map(({ key }) => key));
  return here
    .map(({ key }) => key)
    .filter((key) => !asked.has(key) && !PLATFORM_ANNOTATIONS.has(key) && !isOptional(key));
}

function publishDifference(
  here: { readonly publish?: boolean | undefined },
  wanted: { readonly publish?: boolean | undefined },
): string[] {
  const same = wanted.publish === undefined || wanted.publish === (here.publish ?? false);
  return same ? [] : [`publish ${String(wanted.publish)}`];
}

type Limited = ActionLimits & { readonly instances?: number | undefined };

function limitDifferences(here: Limited, wanted: Limited): string[] {
  const named = [
    ["timeout", "timeoutMs", " ms"],
    ["memory", "memoryMb", " MiB"],
    ["logs", "logsMb", " MiB"],
    ["concurrency", "concurrency", ""],
  ] as const;
  const differences = named
    .filter(([, field]) => here[field] !== wanted[field])
    .map(([name, field, unit]) => `${name} ${here[field]} → ${wanted[field]}${unit}`);
  if (wanted.instances !== undefined && wanted.instances !== (here.instances ?? 0)) {
    differences.push(`instances ${here.instances ?? "unlimited"} → ${wanted.instances || "unlimited"}`);
  }
  return differences;
}
