// A manifest of OpenWhisk's deployment tool, read into what it asks for. Pure: files are named, not read, and the
// environment is an argument. Everything that is wrong is told at once, each with its file, line, column and field.

import { createHash } from "node:crypto";
import { basename, join } from "node:path/posix";

import type { JsonText } from "../../../internal/base/json-text.js";
import type { KeyValue } from "../../../internal/core/action/types.js";
import { nameProblem } from "../../../internal/core/tenancy/name.js";
import { readActions, readApis, readRules, readSequences, readTriggers } from "./manifest-entities.js";
import { annotationsOf, describe, inputsOf, type InputContext } from "./inputs.js";
import { interpolate, type Variables } from "./interpolate.js";
import {
  MANAGED,
  overlay,
  type ActionState,
  type ApiState,
  type PackageState,
  type RuleState,
  type State,
  type TriggerState,
} from "./state.js";
import {
  Fields,
  fieldsOf,
  Problems,
  readYaml,
  textOf,
  type Entry,
  type Mapping,
  type Place,
  type Value,
} from "./yaml-tree.js";

export interface TextFile {
  /** As its owner named it. */
  readonly file: string;
  readonly text: string;
}

export interface ManifestRequest {
  readonly manifest: TextFile;
  readonly deployment?: TextFile | undefined;
  /** Where it is deployed to. */
  readonly namespace: string;
  readonly variables: Variables;
  /** Inputs from the command line, as JSON text. */
  readonly params: ReadonlyMap<string, JsonText>;
  /** Whether entities are marked as the project's: when it has a name, always (then it needs one), or never. */
  readonly managed: "named" | "always" | "never";
  /** The manifest in a folder below the project's; undefined when there is none. */
  readonly manifestIn: (folder: string) => TextFile | undefined;
}

/** Where an action's code is. */
export type CodeSource =
  | { readonly from: "text"; readonly at: Place; readonly text: string }
  | {
      readonly from: "path";
      readonly at: Place;
      /** Relative to the project's folder: a file or a folder. */
      readonly path: string;
      /** Folder that `include` and `exclude` start from. */
      readonly base: string;
      readonly include: readonly (readonly [source: string, target: string])[];
      readonly exclude: readonly string[];
    };

export interface Project {
  /** "" when it has none. */
  readonly name: string;
  readonly state: State;
  /** By name of the action; code and digest are not in the state yet. */
  readonly sources: ReadonlyMap<string, CodeSource>;
  /** Names of the projects whose entities these are: its own and those of its dependencies. */
  readonly projects: ReadonlySet<string>;
  readonly warnings: readonly string[];
}

/** Deepest chain of dependencies. */
const DEPENDENCY_DEPTH_MAX = 10;

/** @throws invalidArgument BAD_MANIFEST with everything that is wrong */
export function readManifest(request: ManifestRequest): Project {
  const draft = new Draft(request.namespace);
  const problems = new Problems();
  const top = new ManifestReader(request, request.manifest, ".", draft, problems, 0);
  const name = top.read();
  if (request.managed === "always" && name === "" && top.root) {
    problems.add(top.root, "has no project name: --managed needs `project: {name: …}` to know what belongs to it");
  }
  problems.check();
  const unused = [...request.params.keys()].filter((key) => !draft.usedParams.has(key));
  for (const key of unused) draft.warnings.add(`--param ${key}: no input is called so`);
  return {
    name,
    state: draft,
    sources: draft.sources,
    projects: draft.projects,
    warnings: [...draft.warnings],
  };
}

/** What is asked for, as it comes together. */
export class Draft implements State {
  readonly packages = new Map<string, PackageState>();
  readonly actions = new Map<string, ActionState>();
  readonly triggers = new Map<string, TriggerState>();
  readonly rules = new Map<string, RuleState>();
  readonly apis = new Map<string, ApiState>();
  readonly sources = new Map<string, CodeSource>();
  readonly projects = new Set<string>();
  readonly warnings = new Set<string>();
  readonly usedParams = new Set<string>();
  /** Folders of dependencies that were read, with their packages. */
  readonly folders = new Map<string, readonly string[]>();

  constructor(readonly namespace: string) {}
}

/** What readers of entities are given of their package. */
export interface PackageScope {
  /** "" for entities without a package. */
  readonly name: string;
  /** Folder of the manifest, relative to the project's. */
  readonly folder: string;
  readonly draft: Draft;
  readonly problems: Problems;
  readonly inputs: InputContext;
  readonly mark: readonly KeyValue[];
  readonly text: (value: Value | undefined) => string | undefined;
  /** The same entity in the deployment file. */
  readonly over: (collection: "actions" | "triggers", name: string) => Over;
  /** Interpolates and checks a name that is a key. */
  readonly nameOf: (entry: Entry) => string;
}

export interface Over {
  readonly inputs: readonly Entry[];
  readonly annotations: readonly Entry[];
}

const NOTHING: Over = { inputs: [], annotations: [] };

class ManifestReader {
  root: Mapping | undefined;

  constructor(
    private readonly request: ManifestRequest,
    private readonly manifest: TextFile,
    private readonly folder: string,
    private readonly draft: Draft,
    private readonly problems: Problems,
    private readonly depth: number,
  ) {}

  /** @returns the project's name. */
  read(): string {
    const { problems } = this;
    const root = readYaml(this.manifest.file, this.manifest.text, problems);
    if (!root) return "";
    this.root = root;
    const fields = new Fields(root, problems);
    const projectValue = fields.any("project", "application");
    const project = projectValue && fieldsOf(projectValue, problems);
    const name = this.#interpolated(project?.get("name")) ?? "";
    this.#ignored(project);
    project?.skip("version", "description", "license");
    const config = project?.get("config");
    if (config) {
      problems.add(config, "an OpenAPI document for the gateway is not read: list its operations under `apis`");
    }
    const projectInputs = inputsOf(
      project?.map("inputs") ?? project?.map("parameters") ?? [],
      [],
      this.#context([]),
      true,
    );
    const packages = [...this.#packages(fields, project)];
    project?.finish();
    fields.finish();
    // Of a project with a name it says that nothing is left of it.
    if (packages.length === 0 && name === "") problems.add(root, "has no packages");
    const deployment = this.#deployment(new Set(packages.map(({ key }) => key)));
    const own: string[] = [];
    this.draft.folders.set(this.folder, own);
    if (name !== "") this.draft.projects.add(name);
    const dependencies: string[] = [];
    // Dependencies first: their projects are noted in the marks of what needs them.
    for (const one of packages) this.#dependencies(one, name, projectInputs, dependencies);
    const mark = this.#mark(name, dependencies);
    for (const one of packages) {
      const packageName = this.#package(one, projectInputs, mark, deployment.get(one.key));
      if (packageName !== "") own.push(packageName);
    }
    return name;
  }

  /** `packages` at the top or in the project, or the one `package` of old manifests. */
  #packages(fields: Fields, project: Fields | undefined): readonly Entry[] {
    const inProject = [...(project?.map("packages") ?? []), ...oldPackage(project, this.problems)];
    const atTop = [...fields.map("packages"), ...oldPackage(fields, this.problems)];
    const [first] = inProject;
    if (atTop.length > 0 && first) {
      this.problems.add(first.at, "there are packages at the top too: keep those of the project or those at the top");
    }
    return atTop.length > 0 ? atTop : inProject;
  }

  #package(
    entry: Entry,
    projectInputs: readonly KeyValue[],
    mark: readonly KeyValue[],
    over: Deployed | undefined,
  ): string {
    const { draft, problems } = this;
    const fields = fieldsOf(entry.value, problems);
    if (!fields) return "";
    const given =
      this.#interpolated({ ...entry.at, kind: "scalar", value: entry.key, source: entry.key, quoted: true }) ?? "";
    const name = given.toLowerCase() === "default" ? "" : given;
    if (name !== "") this.#checkName(entry.at, name);
    fields.skip("name", "license", "repositories", "feeds", "dependencies", "displayName");
    this.#ignored(fields);
    const own = inputsOf(fields.map("inputs"), over?.inputs ?? [], this.#context(projectInputs), true);
    const parameters = overlay(projectInputs, own);
    const inputs = this.#context(parameters);
    const version = fields.get("version");
    if (version) textOf(version, problems);
    const publish = fields.boolean("public") ?? false;
    const annotations = annotationsOf(fields.map("annotations"), over?.annotations ?? [], inputs);
    const description = this.#interpolated(fields.get("description"));
    if (name !== "") {
      if (draft.packages.has(name)) problems.add(entry.at, `there are two packages ${name}`);
      draft.packages.set(name, {
        name,
        publish,
        parameters,
        annotations: [...describe(annotations, description), ...mark],
      });
    }
    const scope: PackageScope = {
      name,
      folder: this.folder,
      draft,
      problems,
      inputs,
      mark,
      text: (value) => this.#interpolated(value, parameters),
      over: (collection, of) => over?.[collection].get(of) ?? NOTHING,
      nameOf: (one) => {
        const text =
          this.#interpolated(
            { ...one.at, kind: "scalar", value: one.key, source: one.key, quoted: true },
            parameters,
          ) ?? "";
        this.#checkName(one.at, text);
        return text;
      },
    };
    readActions(scope, fields.map("actions"));
    readSequences(scope, fields.map("sequences"));
    readTriggers(scope, fields.map("triggers"));
    readRules(scope, fields.map("rules"));
    readApis(scope, fields.map("apis"));
    fields.finish();
    return name;
  }

  /** Bindings, and folders in the tree with manifests of their own. */
  #dependencies(entry: Entry, project: string, projectInputs: readonly KeyValue[], needed: string[]): void {
    if (entry.value.kind !== "map") return;
    const list = new Fields(entry.value, this.problems).map("dependencies");
    for (const { key, at, value } of list) {
      const fields = fieldsOf(value, this.problems);
      if (!fields) continue;
      const locationValue = fields.get("location");
      const location = this.#interpolated(locationValue);
      fields.skip("version", "description");
      const inputs = inputsOf(fields.map("inputs"), [], this.#context(projectInputs));
      const annotations = annotationsOf(fields.map("annotations"), [], this.#context(projectInputs));
      fields.finish();
      if (!locationValue || location === undefined) {
        this.problems.add(at, "needs a `location`: /NAMESPACE/PACKAGE, or a folder with a manifest");
        continue;
      }
      const bound = this.#provider(locationValue, location, needed);
      if (!bound || (bound.namespace === this.request.namespace && bound.name === key)) continue;
      this.#checkName(at, key);
      if (this.draft.packages.has(key)) this.problems.add(at, `there are two packages ${key}`);
      this.draft.packages.set(key, {
        name: key,
        publish: false,
        parameters: inputs,
        annotations: [...annotations, ...this.#mark(project, [])],
        binding: bound,
      });
    }
  }

  /** The package that a dependency is. */
  #provider(
    at: Value,
    location: string,
    needed: string[],
  ): { readonly namespace: string; readonly name: string } | undefined {
    if (/^(https?:\/\/|git@|(www\.)?github\.(com|ibm\.com)\/)/.test(location)) {
      this.problems.add(at, "is on the network, and nothing is fetched: copy it into the project and name its folder");
      return undefined;
    }
    const folder = join(this.folder, location).replace(/(?<=.)\/$/, "");
    const inTree = location.startsWith("/") || folder.startsWith("..") ? undefined : this.request.manifestIn(folder);
    if (!inTree) {
      const match = /^\/?([^/.][^/]*)\/([^/]+)$/.exec(location);
      if (match?.[1] !== undefined && match[2] !== undefined) {
        return { namespace: match[1] === "_" ? this.request.namespace : match[1], name: match[2] };
      }
      const outside = folder.startsWith("..") ? "is outside of the project's folder" : "is no folder with a manifest";
      this.problems.add(at, `${outside}: write /NAMESPACE/PACKAGE, or a folder below the manifest's`);
      return undefined;
    }
    const known = this.draft.folders.get(folder);
    if (!known) {
      if (this.depth >= DEPENDENCY_DEPTH_MAX) {
        this.problems.add(at, `is a dependency of a dependency more than ${DEPENDENCY_DEPTH_MAX} times`);
        return undefined;
      }
      const reader = new ManifestReader(this.request, inTree, folder, this.draft, this.problems, this.depth + 1);
      const name = reader.read();
      if (name !== "") needed.push(name);
    }
    const packages = this.draft.folders.get(folder) ?? [];
    const [only, another] = packages;
    if (only === undefined || another !== undefined) {
      this.problems.add(at, `must have one package to stand for, and has ${packages.join(", ") || "none"}`);
      return undefined;
    }
    return { namespace: this.request.namespace, name: only };
  }

  #mark(project: string, dependencies: readonly string[]): KeyValue[] {
    if (this.request.managed === "never" || project === "") return [];
    const value = {
      file: basename(this.manifest.file),
      projectDeps: dependencies.map((name) => ({ key: `/${this.request.namespace}`, value: { projectName: name } })),
      projectHash: projectHash(this.manifest.text),
      projectName: project,
    };
    return [{ key: MANAGED, valueJson: JSON.stringify(value), init: false }];
  }

  #context(parameters: readonly KeyValue[]): InputContext {
    return {
      variables: this.#variables(parameters),
      missing: (name) => this.draft.warnings.add(`$${name} has no value here: it counts as an empty text`),
      problems: this.problems,
      params: this.request.params,
      used: (name) => this.draft.usedParams.add(name),
    };
  }

  /** The environment's, then inputs of the package and the project that are texts. */
  #variables(parameters: readonly KeyValue[]): Variables {
    return (name) => {
      const own = this.request.variables(name);
      if (own !== undefined) return own;
      const text = parameters.find(({ key }) => key === name)?.valueJson;
      const value = text === undefined ? undefined : (JSON.parse(text) as unknown);
      return typeof value === "string" ? value : undefined;
    };
  }

  #interpolated(value: Value | undefined, parameters: readonly KeyValue[] = []): string | undefined {
    if (!value) return undefined;
    const text = textOf(value, this.problems);
    const { variables, missing } = this.#context(parameters);
    return text === undefined ? undefined : interpolate(text, variables, missing);
  }

  #checkName(at: Place, name: string): void {
    const problem = nameProblem(name);
    if (problem !== undefined) this.problems.add(at, `"${name}" is no name: ${problem}`);
  }

  /** Whose key and where is the command line's business. */
  #ignored(fields: Fields | undefined): void {
    for (const name of ["namespace", "credential", "apiHost", "apigwAccessToken"]) {
      const value = fields?.get(name);
      if (!value || textOf(value, this.problems) === "_") continue;
      this.draft.warnings.add(
        `${value.file}:${value.line}: ${name} is ignored: it is deployed with your key into ${this.request.namespace}`,
      );
    }
  }

  #deployment(known: ReadonlySet<string>): ReadonlyMap<string, Deployed> {
    const { deployment } = this.request;
    if (!deployment || this.depth > 0) return new Map();
    const root = readYaml(deployment.file, deployment.text, this.problems);
    if (!root) return new Map();
    const fields = new Fields(root, this.problems);
    const projectValue = fields.any("project", "application");
    const project = projectValue && fieldsOf(projectValue, this.problems);
    const read = new Map<string, Deployed>();
    for (const { key, at, value } of this.#packages(fields, project)) {
      const one = fieldsOf(value, this.problems);
      if (!one) continue;
      if (!known.has(key)) this.draft.warnings.add(`${at.file}:${at.line}: the manifest has no package ${key}`);
      read.set(key, {
        ...overOf(one),
        actions: new Map(one.map("actions").map((entry) => [entry.key, this.#over(entry)])),
        triggers: new Map(one.map("triggers").map((entry) => [entry.key, this.#over(entry)])),
      });
    }
    return read;
  }

  #over({ value }: Entry): Over {
    const fields = fieldsOf(value, this.problems);
    return fields ? overOf(fields) : NOTHING;
  }
}

interface Deployed extends Over {
  readonly actions: ReadonlyMap<string, Over>;
  readonly triggers: ReadonlyMap<string, Over>;
}

function overOf(fields: Fields): Over {
  return { inputs: fields.map("inputs"), annotations: fields.map("annotations") };
}

function oldPackage(fields: Fields | undefined, problems: Problems): Entry[] {
  const value = fields?.get("package");
  if (!value) return [];
  const name = value.kind === "map" ? value.entries.find(({ key }) => key === "name")?.value : undefined;
  const key = name && textOf(name, problems);
  if (name && key !== undefined) return [{ key, at: name, value }];
  problems.add(value, "needs a `name`");
  return [];
}

/** As OpenWhisk's deployment tool computes it. */
export function projectHash(text: string): string {
  const bytes = Buffer.from(text);
  const isCharacter = bytes.length <= 0x10ffff && !(bytes.length >= 0xd800 && bytes.length <= 0xdfff);
  const size = isCharacter ? String.fromCodePoint(bytes.length) : "\ufffd";
  return createHash("sha1").update(`OpenWhisk${size}golang\0`).update(bytes).digest("hex");
}
