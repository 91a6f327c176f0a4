// What is inside a package of a manifest: actions, sequences, triggers, rules and APIs.

import { createHash } from "node:crypto";
import { extname, join } from "node:path/posix";

import { DEFAULT_LIMITS } from "../../../internal/core/action/limits.js";
import { LIMIT_BOUNDS, SEQUENCE_KIND, type ActionLimits, type KeyValue } from "../../../internal/core/action/types.js";
import { annotationsOf, describe, inputsOf } from "./inputs.js";
import type { CodeSource, PackageScope } from "./manifest.js";
import { apiKey, canonical, keyValue, overlay, type ActionState, type ApiState, type FeedState } from "./state.js";
import { Fields, fieldsOf, flagOf, textOf, type Entry, type Place, type Value } from "./yaml-tree.js";

/** What files with these endings are, when nothing else is said. */
export const FAMILIES: Readonly<Record<string, string>> = {
  ".js": "nodejs",
  ".mjs": "nodejs",
  ".cjs": "nodejs",
  ".ts": "deno",
  ".mts": "deno",
  ".py": "python",
  ".java": "java",
  ".jar": "java",
  ".swift": "swift",
  ".php": "php",
  ".rb": "ruby",
  ".go": "go",
  ".rs": "rust",
  ".sh": "native",
  ".cs": "dotnet",
};

/** Operations of the gateway that a project made of an action: so that it knows later which to undo. */
export const OWN_APIS = "weft-apis";

/** An image may do without code. */
const NO_CODE_DIGEST = createHash("sha256").digest("hex");

export function readActions(scope: PackageScope, entries: readonly Entry[]): void {
  const { problems, draft, inputs } = scope;
  for (const entry of entries) {
    const name = qualified(scope, scope.nameOf(entry));
    const fields = fieldsOf(entry.value, problems);
    if (!fields) continue;
    const over = scope.over("actions", entry.key);
    const image = imageOf(scope, fields);
    const source = sourceOf(scope, fields, entry.at);
    const runtime = fields.any("runtime", "kind");
    const kind = image === undefined ? kindOf(scope, runtime, source) : "blackbox";
    if (source?.from === "text" && kind === "" && image === undefined) {
      problems.add(source.at, "code in the manifest needs a `runtime`");
    }
    fields.map("outputs");
    fields.skip("exposedUrl", "displayName", "credential", "namespace");
    const annotations = annotationsOf(fields.map("annotations"), over.annotations, inputs);
    const all = withWeb(scope, fields, describe(annotations, scope.text(fields.get("description"))));
    if (fields.boolean("conductor")) all.push(keyValue("conductor", true));
    if (fields.boolean("feed")) all.push(keyValue("feed", true));
    const version = fields.get("version");
    add(scope, entry.at, {
      name,
      kind,
      main: scope.text(fields.get("main")) ?? "",
      binary: false,
      codeDigest: image === undefined || source ? "" : NO_CODE_DIGEST,
      components: [],
      parameters: inputsOf(fields.map("inputs"), over.inputs, inputs),
      annotations: [...dedupe(all), ...scope.mark],
      limits: limitsOf(scope, fields.get("limits")),
      version: version && versionOf(textOf(version, problems)),
      image,
    });
    if (source) draft.sources.set(name, source);
    fields.finish();
  }
}

export function readSequences(scope: PackageScope, entries: readonly Entry[]): void {
  const { problems, inputs } = scope;
  for (const entry of entries) {
    const name = qualified(scope, scope.nameOf(entry));
    const fields = fieldsOf(entry.value, problems);
    if (!fields) continue;
    const actions = fields.get("actions");
    const texts =
      actions?.kind === "list"
        ? actions.items.map((item) => scope.text(item) ?? "")
        : (scope.text(actions) ?? "").split(",");
    const names = texts.map((text) => text.trim()).filter((text) => text !== "");
    if (names.length === 0) problems.add(actions ?? entry.at, "needs `actions`: a, b, …");
    const annotations = annotationsOf(fields.map("annotations"), [], inputs);
    const all = withWeb(scope, fields, describe(annotations, scope.text(fields.get("description"))));
    fields.skip("displayName");
    add(scope, entry.at, {
      name,
      kind: SEQUENCE_KIND,
      main: "",
      binary: false,
      codeDigest: "",
      components: names.map((one) => absolute(scope, one, actions ?? entry.at)),
      parameters: [],
      annotations: [...dedupe(all), ...scope.mark],
      limits: DEFAULT_LIMITS,
    });
    fields.finish();
  }
}

export function readTriggers(scope: PackageScope, entries: readonly Entry[]): void {
  const { problems, draft, inputs } = scope;
  for (const entry of entries) {
    const name = scope.nameOf(entry);
    const fields = fieldsOf(entry.value, problems);
    if (!fields) continue;
    const over = scope.over("triggers", entry.key);
    const feedValue = fields.any("feed", "source");
    const feedName = scope.text(feedValue);
    const given = inputsOf(fields.map("inputs"), over.inputs, inputs);
    const annotations = describe(
      annotationsOf(fields.map("annotations"), over.annotations, inputs),
      scope.text(fields.get("description")),
    );
    fields.skip("credential", "namespace", "displayName", "name", "events");
    const feed: FeedState | undefined = feedName
      ? { action: feedAction(scope, feedName, feedValue ?? entry.at), inputs: given, digest: digestOf(given) }
      : undefined;
    if (draft.triggers.has(name)) problems.add(entry.at, `there are two triggers ${name}: packages share them`);
    draft.triggers.set(name, {
      name,
      parameters: feed ? [] : given,
      annotations: [...dedupe(feed ? [...annotations, keyValue("feed", feed.action)] : annotations), ...scope.mark],
      ...(feed ? { feed } : {}),
    });
    fields.finish();
  }
}

export function readRules(scope: PackageScope, entries: readonly Entry[]): void {
  const { problems, draft, inputs } = scope;
  for (const entry of entries) {
    const name = scope.nameOf(entry);
    const fields = fieldsOf(entry.value, problems);
    if (!fields) continue;
    const need = (field: string): { readonly text: string; readonly at: Place } => {
      const value = fields.get(field);
      const text = (scope.text(value) ?? "").trim();
      if (text === "") problems.add(value ?? entry.at, `needs \`${field}\``);
      return { text, at: value ?? entry.at };
    };
    const trigger = need("trigger");
    const action = need("action");
    const condition = fields.get("rule");
    if (condition && !(condition.kind === "scalar" && flagOf(condition))) {
      problems.add(condition, "must be true: conditions are not known to OpenWhisk");
    }
    const annotations = annotationsOf(fields.map("annotations"), [], inputs);
    const described = describe(annotations, scope.text(fields.get("description")));
    fields.skip("displayName", "name");
    if (draft.rules.has(name)) problems.add(entry.at, `there are two rules ${name}: packages share them`);
    if (trigger.text !== "" && action.text !== "") {
      draft.rules.set(name, {
        name,
        trigger: inNamespace(scope, trigger.text),
        action: absolute(scope, action.text, action.at),
        active: true,
        annotations: [...dedupe(described), ...scope.mark],
      });
    }
    fields.finish();
  }
}

const VERBS = new Set(["get", "put", "post", "delete", "patch", "head", "options"]);

/** apis: title: base path: path: action: {method, response}, or action: method as old manifests have it. */
export function readApis(scope: PackageScope, entries: readonly Entry[]): void {
  const { problems } = scope;
  const inside = ({ value }: Entry): readonly Entry[] => {
    if (value.kind === "map") return value.entries;
    problems.add(value, "must be a map: title, base path, path, action, then method and response");
    return [];
  };
  for (const api of entries) {
    for (const base of inside(api)) {
      const basePath = slashed(scope, base);
      if (/[{}]/.test(basePath)) problems.add(base.at, "a base path has no parameters");
      for (const path of inside(base)) for (const call of inside(path)) readOperation(scope, api, basePath, path, call);
    }
  }
}

function readOperation(scope: PackageScope, api: Entry, basePath: string, path: Entry, call: Entry): void {
  const { problems, draft } = scope;
  const relative = slashed(scope, path);
  const fields = call.value.kind === "map" ? new Fields(call.value, problems) : undefined;
  const verb = (scope.text(fields ? fields.get("method") : call.value) ?? "").toLowerCase();
  const hasParameters = relative.includes("{");
  const responseType = (fields && scope.text(fields.get("response"))) ?? "http";
  fields?.finish();
  if (!VERBS.has(verb)) problems.add(call.value, `needs a \`method\`: ${[...VERBS].join(", ")}`);
  if (hasParameters && responseType !== "http") {
    problems.add(call.value, "a path with parameters needs `response: http`: only that hands them to the action");
  }
  const name = qualified(scope, call.key);
  const action = draft.actions.get(name);
  if (!action) {
    problems.add(call.at, `there is no action or sequence ${call.key} in this package`);
    return;
  }
  const operation: ApiState = { title: api.key, basePath, path: relative, verb, action: name, responseType };
  const key = apiKey(operation);
  if (draft.apis.has(key)) problems.add(call.at, `there are two operations ${key}`);
  draft.apis.set(key, operation);
  let { annotations } = action;
  if (!annotations.some((one) => one.key === "web-export" && one.valueJson !== "false")) {
    draft.warnings.add(`${name} becomes a web action: the API ${key} calls it`);
    annotations = overlay(annotations, webAnnotations("true"));
  }
  if (scope.mark.length > 0) {
    const made = annotations.find((one) => one.key === OWN_APIS);
    const operations = [...(made ? (JSON.parse(made.valueJson) as string[]) : []), key].sort();
    annotations = overlay(annotations, [keyValue(OWN_APIS, operations)]);
  }
  draft.actions.set(name, { ...action, annotations });
}

/** Keys of the operations that a project made of these actions. */
export function ownApis(actions: Iterable<{ readonly annotations: readonly KeyValue[] }>): ReadonlySet<string> {
  const own = new Set<string>();
  for (const { annotations } of actions) {
    const text = annotations.find(({ key }) => key === OWN_APIS)?.valueJson;
    const list = text === undefined ? undefined : (JSON.parse(text) as unknown);
    if (Array.isArray(list)) for (const key of list) own.add(String(key));
  }
  return own;
}

function slashed(scope: PackageScope, { key, at }: Entry): string {
  const text = scope.text({ ...at, kind: "scalar", value: key, source: key, quoted: true }) ?? key;
  return text.startsWith("/") ? text : `/${text}`;
}

function add(scope: PackageScope, at: Place, action: ActionState): void {
  if (scope.draft.actions.has(action.name)) scope.problems.add(at, `there are two actions ${action.name}`);
  scope.draft.actions.set(action.name, action);
}

function imageOf(scope: PackageScope, fields: Fields): string | undefined {
  const docker = scope.text(fields.get("docker"));
  return fields.boolean("native") ? "openwhisk/dockerskeleton" : docker;
}

function sourceOf(scope: PackageScope, fields: Fields, at: Place): CodeSource | undefined {
  const { problems, folder, draft } = scope;
  const code = fields.get("code");
  const path = fields.any("function", "location");
  const include = fields.list("include").flatMap((one): [string, string][] => {
    const parts = one.kind === "list" ? one.items.map((item) => scope.text(item) ?? "") : [scope.text(one) ?? ""];
    const [source = "", target = source] = parts;
    if (source !== "" && parts.length <= 2) return [[source, target]];
    draft.warnings.add(`${one.file}:${one.line}: ignored: write [FILE] or [FILE, PLACE IN THE ARCHIVE]`);
    return [];
  });
  const exclude = fields.list("exclude").map((one) => scope.text(one) ?? "");
  if (code && path) problems.add(path, "`code` and `function` are both given: keep one of them");
  if (code) {
    const text = textOf(code, problems);
    return text === undefined ? undefined : { from: "text", at: code, text };
  }
  const file = scope.text(path);
  if (path && file !== undefined && file !== "") {
    if (/^https?:\/\/|^github\.com\//.test(file)) {
      problems.add(path, "is on the network, and nothing is fetched: copy it into the project");
      return undefined;
    }
    return { from: "path", at: path, path: join(folder, file), base: folder, include, exclude };
  }
  if (!fields.any("docker", "native")) problems.add(path ?? at, "needs `function` (a file or folder) or `code`");
  return undefined;
}

/** "nodejs", "nodejs@20", "nodejs:20" and "nodejs:default" name kinds; without one the file's ending does. "" is not known. */
function kindOf(scope: PackageScope, runtime: Value | undefined, source: CodeSource | undefined): string {
  const family = source?.from === "path" ? FAMILIES[extname(source.path).toLowerCase()] : undefined;
  const text = scope.text(runtime)?.trim().toLowerCase().replace("@", ":");
  if (text === undefined || text === "" || text === "language:default") return family ? `${family}:default` : "";
  return text.includes(":") ? text : `${text}:default`;
}

function versionOf(text: string | undefined): string | undefined {
  const match = text === undefined ? null : /^(\d+)(?:\.(\d+))?(?:\.(\d+))?$/.exec(text.trim());
  if (!match) return undefined;
  const version = [match[1], match[2] ?? "0", match[3] ?? "0"].join(".");
  return version === "0.0.0" ? undefined : version;
}

/** `web` and `web-export`, as members or annotations, with what they bring. */
function withWeb(scope: PackageScope, fields: Fields, annotations: readonly KeyValue[]): KeyValue[] {
  const { problems } = scope;
  const noted = annotations.find(({ key }) => key === "web-export");
  const value = fields.any("web", "web-export");
  const said = (scope.text(value) ?? (noted && String(JSON.parse(noted.valueJson))))?.toLowerCase();
  const [raw, final] = [fields.boolean("raw-http"), fields.boolean("final")];
  let all: KeyValue[] = annotations.filter(({ key }) => key !== "web-export");
  if (said !== undefined && /^(true|yes|raw)$/.test(said)) {
    all = overlay(webAnnotations(said === "raw" || raw ? "raw" : "true"), all);
  } else if (said !== undefined && !/^(false|no)$/.test(said)) {
    problems.add(value ?? fields.at, `must be true, yes, raw, false or no, not ${said}`);
  }
  if (final !== undefined) all = overlay(all, [keyValue("final", final)]);
  const secret = all.find(({ key }) => key === "require-whisk-auth");
  if (secret && !/^("[^]+"|true|false|[1-9]\d{0,15})$/.test(secret.valueJson)) {
    problems.add(fields.at, "require-whisk-auth must be true, false, a text or a whole number above 0");
  }
  return all;
}

function webAnnotations(mode: "true" | "raw"): KeyValue[] {
  return [keyValue("web-export", true), keyValue("raw-http", mode === "raw"), keyValue("final", true)];
}

const LIMITS = [
  ["timeout", "timeoutMs", "ms"],
  ["memorySize", "memoryMb", "MB"],
  ["logSize", "logsMb", "MB"],
  ["concurrency", "concurrency", ""],
] as const;
/** Of the platform or a namespace, not of an action. */
const OTHER_LIMITS = ["concurrentActivations", "userInvocationRate", "codeSize", "parameterSize"];

function limitsOf(scope: PackageScope, value: Value | undefined): ActionLimits {
  if (!value) return DEFAULT_LIMITS;
  const { problems, draft } = scope;
  const fields = fieldsOf(value, problems);
  if (!fields) return DEFAULT_LIMITS;
  const limits: { -readonly [K in keyof ActionLimits]: number } = { ...DEFAULT_LIMITS };
  for (const [name, field, unit] of LIMITS) {
    const given = fields.get(name);
    if (!given) continue;
    const amount = quantity(scope.text(given) ?? "", unit);
    const { min, max } = LIMIT_BOUNDS[field];
    if (amount !== undefined && amount >= min && amount <= max) limits[field] = amount;
    else problems.add(given, `must be a whole number from ${min} to ${max}${unit && ` ${unit}`}`);
  }
  for (const name of OTHER_LIMITS) {
    const given = fields.get(name);
    if (given)
      draft.warnings.add(`${given.file}:${given.line}: the limit ${name} is not an action's to set; it is ignored`);
  }
  fields.finish();
  return limits;
}

/** "512", "512 MB", "0.5 GB", "60 s". */
function quantity(text: string, unit: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-zA-Z]*)$/.exec(text.trim());
  if (!match) return undefined;
  const factors: Readonly<Record<string, number>> =
    unit === "MB"
      ? { "": 1, mb: 1, mib: 1, m: 1, kb: 1 / 1024, kib: 1 / 1024, gb: 1024, gib: 1024 }
      : unit === "ms"
        ? { "": 1, ms: 1, s: 1_000 }
        : { "": 1 };
  const factor = factors[(match[2] ?? "").toLowerCase()];
  const amount = Number(match[1]) * (factor ?? NaN);
  return Number.isInteger(amount) ? amount : undefined;
}

function qualified(scope: PackageScope, name: string): string {
  return scope.name === "" ? name : `${scope.name}/${name}`;
}

/** The name of an action as it stands in a package: "name" is in it, "package/name" in the namespace. */
function absolute(scope: PackageScope, text: string, at: Place): string {
  const { namespace } = scope.draft;
  const parts = text.replace(/^\//, "").split("/");
  if (parts.some((part) => part === "") || parts.length > 3) {
    scope.problems.add(at, `"${text}" is no name of an action: write NAME, PACKAGE/NAME or /NAMESPACE/[PACKAGE/]NAME`);
  }
  if (text.startsWith("/") || parts.length === 3)
    return `/${[parts[0] === "_" ? namespace : parts[0], ...parts.slice(1)].join("/")}`;
  return `/${namespace}/${parts.length === 1 ? qualified(scope, text) : text}`;
}

/** A feed of the namespace, unless it names another one. */
function feedAction(scope: PackageScope, text: string, at: Place): string {
  return absolute({ ...scope, name: "" }, text, at);
}

function inNamespace({ draft }: PackageScope, text: string): string {
  if (!text.startsWith("/")) return `/${draft.namespace}/${text}`;
  return text.replace(/^\/_\//, `/${draft.namespace}/`);
}

/** Of a repeated key the last one. */
function dedupe(list: readonly KeyValue[]): KeyValue[] {
  return overlay([], list);
}

function digestOf(inputs: readonly KeyValue[]): string {
  const sorted = [...inputs].sort((a, b) => (a.key < b.key ? -1 : 1));
  const text = sorted.map(({ key, valueJson }) => `${JSON.stringify(key)}:${canonical(valueJson)}`).join(",");
  return createHash("sha256").update(text).digest("hex");
}
