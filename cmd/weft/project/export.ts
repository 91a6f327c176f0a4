// A manifest of what is there: the inverse of reading one. Pure; the code of actions becomes files beside it. What a
// manifest cannot say is left out, and told.

import { elementsOf, isArray, isObject, membersOf, typeOf, type JsonText } from "../../../internal/base/json-text.js";
import { DEFAULT_LIMITS } from "../../../internal/core/action/limits.js";
import { BLACKBOX_KIND, SEQUENCE_KIND, type KeyValue } from "../../../internal/core/action/types.js";
import { interpolate } from "./interpolate.js";
import { FAMILIES, OWN_APIS } from "./manifest-entities.js";
import {
  FEED_DIGEST,
  MANAGED,
  ownerOf,
  PLATFORM_ANNOTATIONS,
  splitName,
  type ActionState,
  type ApiState,
  type PackageState,
  type RuleState,
  type State,
  type TriggerState,
} from "./state.js";

export interface ExportRequest {
  readonly state: State;
  readonly namespace: string;
  /** Of the manifest; "" for none. */
  readonly project: string;
  /** What the feeds of triggers were told, by the trigger's name, where that is known. */
  readonly feedInputs: ReadonlyMap<string, readonly KeyValue[]>;
  /** Folders beside the manifest with the projects that this one needs, by the one package of each. */
  readonly dependencies: ReadonlyMap<string, string>;
  /** Of the file with the code of an action. */
  readonly ending: (action: ActionState) => string;
}

export interface Exported {
  readonly manifest: string;
  /** Places beside the manifest, by the name of the action whose code belongs there. */
  readonly files: ReadonlyMap<string, string>;
  readonly warnings: readonly string[];
}

/** Only what carries the mark of a project, and what its actions' mark says of APIs. */
export function ownedState(state: State, project: string, ownApis: ReadonlySet<string>): State {
  const own = <T extends { readonly annotations: readonly KeyValue[] }>(all: ReadonlyMap<string, T>): Map<string, T> =>
    new Map([...all].filter(([, one]) => ownerOf(one)?.project === project));
  return {
    packages: own(state.packages),
    actions: own(state.actions),
    triggers: own(state.triggers),
    rules: own(state.rules),
    apis: new Map([...state.apis].filter(([key]) => ownApis.has(key))),
  };
}

/** Ending of a file of source of a kind; archives have their own. */
export function endingOf(kind: string): string {
  const [family = ""] = kind.split(":");
  return Object.entries(FAMILIES).find(([, one]) => one === family)?.[0] ?? ".txt";
}

export function exportManifest(request: ExportRequest): Exported {
  return new Exporter(request).manifest();
}

/** A tree of YAML: JSON text at its leaves. */
type Node = string | Map<string, Node>;

class Exporter {
  readonly #warnings: string[] = [];
  readonly #files = new Map<string, string>();

  constructor(private readonly request: ExportRequest) {}

  manifest(): Exported {
    const { state, project } = this.request;
    const packages = new Map<string, Node>();
    const inPackage = (name: string): Map<string, Node> => {
      const known = packages.get(name);
      if (known instanceof Map) return known;
      const made = new Map<string, Node>();
      packages.set(name, made);
      return made;
    };
    for (const [name, folder] of this.request.dependencies) {
      put(inPackage(DEFAULT_PACKAGE), "dependencies", name, nodeOf([["location", JSON.stringify(folder)]]));
    }
    for (const one of sorted(state.packages)) {
      if (one.binding) put(inPackage(DEFAULT_PACKAGE), "dependencies", one.name, this.#binding(one));
      else packages.set(one.name, this.#package(one));
    }
    for (const one of sorted(state.actions)) {
      const [packageName, own] = placeOf(one.name);
      if (one.kind === SEQUENCE_KIND) put(inPackage(packageName), "sequences", own, this.#sequence(one));
      else put(inPackage(packageName), "actions", own, this.#action(one));
    }
    for (const one of sorted(state.triggers)) put(inPackage(DEFAULT_PACKAGE), "triggers", one.name, this.#trigger(one));
    for (const one of sorted(state.rules)) put(inPackage(DEFAULT_PACKAGE), "rules", one.name, this.#rule(one));
    for (const one of state.apis.values()) this.#api(one, inPackage(placeOf(one.action)[0]));
    const body = new Map<string, Node>([["packages", packages.size === 0 ? "{}" : packages]]);
    const top: Node =
      project === ""
        ? body
        : new Map([["project", new Map<string, Node>([["name", JSON.stringify(project)], ...body])]]);
    return { manifest: yamlOf(top, 0), files: this.#files, warnings: this.#warnings };
  }

  #package({ name, publish, parameters, annotations }: PackageState): Map<string, Node> {
    return nodeOf([
      ["public", publish ? "true" : undefined],
      ["inputs", this.#inputs(`package ${name}`, parameters)],
      ["annotations", this.#annotations(`package ${name}`, annotations)],
    ]);
  }

  #binding({ name, parameters, annotations, binding }: PackageState): Map<string, Node> {
    return nodeOf([
      ["location", JSON.stringify(this.#reference(`/${binding?.namespace ?? ""}/${binding?.name ?? ""}`))],
      ["inputs", this.#inputs(`binding ${name}`, parameters)],
      ["annotations", this.#annotations(`binding ${name}`, annotations)],
    ]);
  }

  #action(one: ActionState): Map<string, Node> {
    const { name, kind, main, parameters, annotations, limits, image } = one;
    const hasCode = kind !== BLACKBOX_KIND || one.code !== undefined;
    const file = `actions/${name}${this.request.ending(one)}`;
    if (hasCode) this.#files.set(name, file);
    const given = LIMITS.filter(([, field]) => limits[field] !== DEFAULT_LIMITS[field]);
    return nodeOf([
      ["function", hasCode ? JSON.stringify(file) : undefined],
      ["docker", image === undefined || image === "" ? undefined : JSON.stringify(image)],
      ["runtime", kind === BLACKBOX_KIND ? undefined : JSON.stringify(kind)],
      ["main", main === "" || main === "main" ? undefined : JSON.stringify(main)],
      ["inputs", this.#inputs(`action ${name}`, parameters)],
      ["annotations", this.#annotations(`action ${name}`, annotations)],
      ["limits", nodeOf(given.map(([member, field]) => [member, String(limits[field])]))],
    ]);
  }

  #sequence({ name, components, annotations }: ActionState): Map<string, Node> {
    return nodeOf([
      ["actions", JSON.stringify(components.map((one) => this.#reference(one)).join(", "))],
      ["annotations", this.#annotations(`sequence ${name}`, annotations)],
    ]);
  }

  #trigger({ name, parameters, annotations, feed }: TriggerState): Map<string, Node> {
    const told = this.request.feedInputs.get(name);
    if (feed && !told) {
      this.#warnings.push(
        `trigger ${name}: what its feed ${feed.action} was told is not known: write it as its inputs`,
      );
    }
    return nodeOf([
      ["feed", feed && JSON.stringify(this.#reference(feed.action))],
      ["inputs", this.#inputs(`trigger ${name}`, feed ? (told ?? []) : parameters)],
      [
        "annotations",
        this.#annotations(
          `trigger ${name}`,
          annotations.filter(({ key }) => key !== "feed"),
        ),
      ],
    ]);
  }

  #rule({ name, trigger, action, annotations, active }: RuleState): Map<string, Node> {
    if (!active) this.#warnings.push(`rule ${name} is not active, and a manifest cannot say so`);
    return nodeOf([
      ["trigger", JSON.stringify(splitName(trigger).name)],
      ["action", JSON.stringify(this.#reference(action))],
      ["annotations", this.#annotations(`rule ${name}`, annotations)],
    ]);
  }

  #api({ title, basePath, path, verb, action, responseType }: ApiState, into: Map<string, Node>): void {
    let level = into;
    for (const key of ["apis", title, basePath, path]) {
      const known = level.get(key);
      const next = known instanceof Map ? known : new Map<string, Node>();
      level.set(key, next);
      level = next;
    }
    const [, own] = placeOf(action);
    if (level.has(own)) {
      this.#warnings.push(
        `API ${verb.toUpperCase()} ${basePath}${path}: a manifest has one verb for a path and an action`,
      );
      return;
    }
    level.set(
      own,
      nodeOf([
        ["method", verb],
        ["response", responseType],
      ]),
    );
  }

  /** "_" for the own namespace: a manifest may be deployed to another one. */
  #reference(qualified: string): string {
    const { namespace, name } = splitName(qualified);
    return `/${namespace === this.request.namespace ? "_" : namespace}/${name}`;
  }

  #inputs(of: string, parameters: readonly KeyValue[]): Map<string, Node> {
    const inputs = new Map<string, Node>();
    for (const { key, valueJson, init } of parameters) {
      if (init) this.#warnings.push(`${of}: the parameter ${key} is handed over at init, and a manifest cannot say so`);
      else inputs.set(key, inputOf(valueJson));
    }
    return inputs;
  }

  #annotations(of: string, annotations: readonly KeyValue[]): Map<string, Node> {
    const written = new Map<string, Node>();
    for (const { key, valueJson } of annotations) {
      if (PLATFORM_ANNOTATIONS.has(key) || NOT_WRITTEN.has(key)) continue;
      if (key === "provide-api-key" && valueJson === "false") continue;
      const text = escapedJson(valueJson);
      if (text !== undefined) written.set(key, text);
      else this.#warnings.push(`${of}: the annotation ${key} has a $ that a manifest would take for a variable`);
    }
    return written;
  }
}

const DEFAULT_PACKAGE = "default";
const NOT_WRITTEN: ReadonlySet<string> = new Set([MANAGED, FEED_DIGEST, OWN_APIS]);
const LIMITS = [
  ["timeout", "timeoutMs"],
  ["memorySize", "memoryMb"],
  ["logSize", "logsMb"],
  ["concurrency", "concurrency"],
] as const;

/** As it is read back by `inputsOf`: the same value, with every digit. */
export function inputOf(valueJson: JsonText): Node {
  const text = valueJson.trim();
  const plain = escapedJson(text);
  switch (typeOf(text)) {
    case "number":
    case "boolean":
      return text;
    case "string":
      // A description's value, so that the word "string" is not taken for a type.
      return plain === undefined || plain === '""'
        ? (plain ?? encoded(text))
        : isWord(plain)
          ? valueNode(plain)
          : plain;
    case "null":
      return encoded(text);
    default:
      return plain === undefined ? encoded(text) : isArray(text) ? plain : typedNode(plain);
  }
}

/** JSON in a text, without a dollar sign: anything at all. */
function encoded(text: JsonText): Node {
  return typedNode(JSON.stringify(text.replaceAll("$", "\\u0024")));
}

function typedNode(value: string): Node {
  return new Map<string, Node>([
    ["type", "json"],
    ["value", value],
  ]);
}

function valueNode(value: string): Node {
  return new Map<string, Node>([["value", value]]);
}

function isWord(json: JsonText): boolean {
  return /^"(string|integer|float|boolean|json)"$/.test(json);
}

/** The value with its texts so that reading them gives the same texts; undefined when there is no way to write one. */
function escapedJson(text: JsonText): JsonText | undefined {
  if (isArray(text)) {
    const items = elementsOf(text).map(escapedJson);
    return items.includes(undefined) ? undefined : `[${items.join(", ")}]`;
  }
  if (isObject(text)) {
    const members = [...membersOf(text)].map(([key, value]) => [JSON.stringify(key), escapedJson(value)] as const);
    return members.some(([, value]) => value === undefined)
      ? undefined
      : `{${members.map(([key, value]) => `${key}: ${value ?? ""}`).join(", ")}}`;
  }
  if (typeOf(text) !== "string") return text.trim();
  const value = JSON.parse(text) as string;
  const escaped = value.replace(/\$\{(\w+)\}/g, (whole) => `$${whole}`);
  const missing: string[] = [];
  const read = interpolate(
    escaped,
    () => undefined,
    (name) => missing.push(name),
  );
  return missing.length > 0 || read !== value ? undefined : JSON.stringify(escaped);
}

function placeOf(action: string): readonly [packageName: string, own: string] {
  const slash = action.indexOf("/");
  return slash === -1 ? [DEFAULT_PACKAGE, action] : [action.slice(0, slash), action.slice(slash + 1)];
}

function sorted<T extends { readonly name: string }>(all: ReadonlyMap<string, T>): readonly T[] {
  return [...all.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function nodeOf(members: readonly (readonly [string, Node | undefined])[]): Map<string, Node> {
  return new Map(
    members.filter(
      (one): one is readonly [string, Node] => one[1] !== undefined && !(one[1] instanceof Map && one[1].size === 0),
    ),
  );
}

function put(into: Map<string, Node>, collection: string, name: string, node: Node): void {
  const known = into.get(collection);
  const all = known instanceof Map ? known : new Map<string, Node>();
  into.set(collection, all.set(name, node));
}

function yamlOf(node: Node, depth: number): string {
  if (!(node instanceof Map)) return ` ${node}\n`;
  const lines = [...node].map(([key, value]) => {
    const empty = value instanceof Map && value.size === 0;
    return `${"  ".repeat(depth)}${keyOf(key)}:${empty ? " {}\n" : yamlOf(value, depth + 1)}`;
  });
  return `${depth === 0 ? "" : "\n"}${lines.join("")}`;
}

/** Words of YAML, and what is not a word, in quotes. */
function keyOf(key: string): string {
  return /^[A-Za-z_][\w.-]*$/.test(key) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(key)
    ? key
    : JSON.stringify(key);
}
