// A document as it is served: which operation a request means, and what that asks for and leads to. Compiling is also how a
// document is checked: what is stored compiles.

import { invalidField } from "../../base/errors.js";
import { readAssembly, type Assembly } from "./assembly.js";
import { backendVerb, parseBackendUrl, REQUEST_PATH, type Backend } from "./backend.js";
import { isObject, member, type Json, type JsonObject } from "./json.js";
import { readRateLimits, readSecurity, type RateLimit, type Security } from "./security.js";
import { matchPath, parametersOf, parseTemplate, type RequestPath, type Segment } from "./template.js";
import { isVerb, OPERATIONS_MAX, VERBS, type Verb } from "./types.js";

export interface ApiOperation {
  readonly path: string;
  readonly verb: Verb;
  readonly id: string;
  readonly backend: Backend;
  readonly security: Security;
  readonly rateLimits: readonly RateLimit[];
  /** What counts for the limits: "" for all operations together, else the operation's id. */
  readonly ratedAs: string;
}

export interface ApiPath {
  readonly path: string;
  readonly template: readonly Segment[];
  readonly operations: ReadonlyMap<Verb, ApiOperation>;
}

export interface ApiRoutes {
  readonly basePath: string;
  /** False only when the document says so: web actions are open to all origins as well. */
  readonly cors: boolean;
  readonly paths: readonly ApiPath[];
}

export interface FoundPath {
  readonly path: ApiPath;
  /** Decoded, by name. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** The path that a request means: the one with more that is literal, from the left. @param below what follows the base path */
export function findPath(routes: ApiRoutes, below: RequestPath): FoundPath | undefined {
  let best:
    { readonly path: ApiPath; readonly parameters: ReadonlyMap<string, string>; readonly rank: string } | undefined;
  for (const path of routes.paths) {
    const match = matchPath(path.template, below);
    if (match && (best === undefined || match.rank < best.rank)) best = { path, ...match };
  }
  return best;
}

/** @param document with its base path checked. @throws invalidArgument naming what is wrong and the fix */
export function compileRoutes(document: JsonObject): ApiRoutes {
  const assembly = readAssembly(document);
  const paths: ApiPath[] = [];
  const shapes = new Map<string, string>();
  const ids = new Set<string>();
  for (const [path, item] of pathItems(document)) {
    const template = parseTemplate("paths", path);
    const shape = JSON.stringify(template.map((segment) => ({ ...segment, name: "" })));
    const same = shapes.get(shape);
    if (same !== undefined) throw invalidField("paths", `'${path}' and '${same}' mean the same paths`);
    shapes.set(shape, path);
    const operations = new Map<Verb, ApiOperation>();
    for (const [verb, operation] of operationsOf(path, item)) {
      const made = compileOperation({ document, assembly, path, template, item, verb, operation });
      if (ids.has(made.id)) throw invalidField("paths", `two operations have the operationId '${made.id}'`);
      ids.add(made.id);
      if (ids.size > OPERATIONS_MAX) throw invalidField("paths", `an API has at most ${OPERATIONS_MAX} operations`);
      operations.set(verb, made);
    }
    paths.push({ path, template, operations });
    if (paths.length > OPERATIONS_MAX) throw invalidField("paths", `an API has at most ${OPERATIONS_MAX} paths`);
  }
  const basePath = member(document, "basePath");
  const cors = member(member(member(document, "x-ibm-configuration"), "cors"), "enabled");
  return { basePath: typeof basePath === "string" ? basePath : "/", cors: cors !== false && cors !== "false", paths };
}

export function operationsIn(routes: ApiRoutes): readonly ApiOperation[] {
  return routes.paths.flatMap(({ operations }) => [...operations.values()]);
}

/** Paths of a document with what stands there; extensions left out. @throws invalidArgument */
export function pathItems(document: JsonObject): readonly (readonly [path: string, item: JsonObject])[] {
  const paths = member(document, "paths");
  if (!isObject(paths)) throw invalidField("paths", "must be an object");
  return Object.entries(paths).flatMap(([path, item]): [string, JsonObject][] => {
    if (path.startsWith("x-")) return [];
    if (!isObject(item)) throw invalidField("paths", `'${path}' must be an object`);
    return [[path, item]];
  });
}

/** Operations at a path. @throws invalidArgument */
export function operationsOf(
  path: string,
  item: JsonObject,
): readonly (readonly [verb: Verb, operation: JsonObject])[] {
  return VERBS.flatMap((verb): [Verb, JsonObject][] => {
    const operation = member(item, verb.toLowerCase());
    if (operation === undefined) return [];
    if (!isObject(operation)) throw invalidField("paths", `'${verb.toLowerCase()}' of '${path}' must be an object`);
    return [[verb, operation]];
  });
}

interface Compiling {
  readonly document: JsonObject;
  readonly assembly: Assembly;
  readonly path: string;
  readonly template: readonly Segment[];
  readonly item: JsonObject;
  readonly verb: Verb;
  readonly operation: JsonObject;
}

function compileOperation(compiling: Compiling): ApiOperation {
  const { document, assembly, path, template, verb, operation } = compiling;
  const id = member(operation, "operationId");
  if (typeof id !== "string" || id === "") {
    throw invalidField("paths", `'${verb.toLowerCase()}' of '${path}' needs an operationId`);
  }
  const url = member(member(operation, "x-openwhisk"), "url");
  if (url !== undefined && typeof url !== "string") throw invalidField("x-openwhisk.url", "must be a string");
  const invocation = assembly.byOperation.get(id) ?? assembly.otherwise;
  const named = parametersOf(template);
  if (named.length > 0) checkParameters(compiling, named, id, url, invocation?.targetUrl);
  // Without an assembly, what the operation says itself is called.
  const target = invocation?.targetUrl ?? (url === undefined || named.length === 0 ? url : `${url}${REQUEST_PATH}`);
  if (target === undefined) {
    throw invalidField(
      "paths",
      `'${verb.toLowerCase()}' of '${path}' has no backend: give it x-openwhisk.url, or an invoke in x-ibm-configuration.assembly`,
    );
  }
  const backend: Backend = {
    ...parseBackendUrl("paths", target),
    verb: backendVerb("verb", invocation?.verb ?? "keep"),
    headers: invocation?.headers ?? new Map(),
  };
  return {
    path,
    verb,
    id,
    backend,
    security: readSecurity(document, operation),
    rateLimits: readRateLimits(document, operation),
    ratedAs: member(operation, "x-ibm-rate-limit") === undefined ? "" : id,
  };
}

/** What OpenWhisk asks of operations whose paths have parameters, in its words. */
function checkParameters(
  { document, path, item, operation }: Compiling,
  named: readonly string[],
  id: string,
  url: string | undefined,
  targetUrl: string | undefined,
): void {
  const declared = new Set(
    [...parametersAt(document, item), ...parametersAt(document, operation)].flatMap((parameter) =>
      member(parameter, "in") === "path" ? [member(parameter, "name")] : [],
    ),
  );
  for (const name of named) {
    if (declared.has(name)) continue;
    throw invalidField(
      "swagger",
      `The parameter '${name}' defined in path '${path}' does not match any of the parameters defined for the path in the swagger file.`,
    );
  }
  const called = url ?? targetUrl;
  if (called !== undefined && !called.replace(REQUEST_PATH, "").endsWith(".http")) {
    throw invalidField(
      "swagger",
      "The action must use a response type of '.http' in order to receive the path parameters.",
    );
  }
  if (targetUrl !== undefined && !targetUrl.endsWith(REQUEST_PATH)) {
    throw invalidField(
      "swagger",
      `The target-url for operationId '${id}' must end in '${REQUEST_PATH}' in order for actions to receive the path parameters.`,
    );
  }
}

function parametersAt(document: JsonObject, holder: JsonObject): readonly Json[] {
  const parameters = member(holder, "parameters");
  if (parameters === undefined) return [];
  if (!Array.isArray(parameters)) throw invalidField("parameters", "must be a list");
  return parameters.map((parameter) => {
    const reference = member(parameter, "$ref");
    if (typeof reference !== "string" || !reference.startsWith("#/parameters/")) return parameter;
    return member(member(document, "parameters"), reference.slice("#/parameters/".length)) ?? parameter;
  });
}

/** @throws invalidArgument */
export function checkVerb(field: string, text: string): Verb {
  const verb = text.toUpperCase();
  if (!isVerb(verb)) throw invalidField(field, `must be one of ${VERBS.join(", ")}, not ${JSON.stringify(text)}`);
  return verb;
}
