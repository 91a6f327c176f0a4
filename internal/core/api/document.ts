// Making and changing documents: a whole one that was written elsewhere, one operation more, one less.

import { invalidField, WeftError } from "../../base/errors.js";
import { TOO_LARGE } from "../../base/violations.js";
import type { WebFormat } from "../web/path.js";
import { ownedUrl, REQUEST_PATH, SECRET_HEADER, webActionUrl } from "./backend.js";
import { documentText, isObject, member, parseDocument, type Json, type JsonObject } from "./json.js";
import { compileRoutes, operationsOf, pathItems } from "./routes.js";
import { checkBasePath, parametersOf, parseTemplate } from "./template.js";
import { API_NAME_LENGTH_MAX, DOCUMENT_BYTES_MAX, type ApiDraft, type Verb } from "./types.js";

/** A document that somebody wrote, as it is stored. @throws invalidArgument, also in OpenWhisk's words */
export function importedApi(namespace: string, text: string): ApiDraft {
  const document = parseDocument("swagger", text);
  for (const needed of ["basePath", "paths", "info"]) {
    if (member(document, needed) === undefined) {
      throw invalidField("swagger", `swagger is missing the ${needed} field.`);
    }
  }
  const version = member(document, "swagger");
  if ((version !== undefined && version !== "2.0") || member(document, "openapi") !== undefined) {
    throw invalidField("swagger", 'must be Swagger "2.0": other versions are not understood');
  }
  document["swagger"] = "2.0";
  completeOperations(document, namespace);
  ownAssembly(document, namespace);
  return draftOf(namespace, document);
}

export interface NewOperation {
  readonly namespace: string;
  readonly basePath: string;
  /** Title of a new API; "" for its base path. */
  readonly name: string;
  readonly path: string;
  readonly verb: Verb;
  readonly action: { readonly namespace: string; /** "name" or "package/name". */ readonly name: string };
  readonly format: WebFormat;
  /** Sent as X-Require-Whisk-Auth; "" for none. */
  readonly secret: string;
  /** Scheme and host of URLs, or "". */
  readonly restUrl: string;
  /** JSON text of descriptions of the path's parameters; those that are not described are added. */
  readonly pathParameters: readonly JsonObject[];
  /** Of the operation: "rate", "unit", "units". */
  readonly rateLimits: readonly JsonObject[];
  /** Header in which callers send a key; "" for none. */
  readonly keyHeader: string;
}

/** An API with one operation more. @param before its document, undefined for a new API. @throws invalidArgument */
export function withOperation(operation: NewOperation, before: string | undefined): ApiDraft {
  const { namespace, path, verb, action, format, secret, restUrl } = operation;
  const basePath = checkBasePath("base_path", operation.basePath);
  const names = parametersOf(parseTemplate("path", path));
  if (names.length > 0 && format !== "http") {
    throw invalidField(
      "response_type",
      "The action must use a response type of '.http' in order to receive the path parameters.",
    );
  }
  const document: JsonObject =
    before === undefined ? newDocument(basePath, operation.name || basePath) : parseDocument("document", before);
  const id = freeId(document, path, verb);
  const url = webActionUrl(restUrl, action.namespace, action.name, format);
  const parts = action.name.split("/");
  const described: JsonObject = {
    operationId: id,
    parameters: names.map((name) => pathParameter(name, operation.pathParameters)),
    responses: { default: { description: "Default response" } },
    "x-openwhisk": {
      namespace: action.namespace,
      package: parts.length > 1 ? (parts[0] ?? "") : "",
      action: parts.at(-1) ?? "",
      url,
    },
  };
  if (operation.rateLimits.length > 0) described["x-ibm-rate-limit"] = [...operation.rateLimits];
  if (operation.keyHeader !== "") described["security"] = keyIn(document, operation.keyHeader);
  const item = objectAt(objectAt(document, "paths"), path);
  const replaced = member(member(item, verb.toLowerCase()), "operationId");
  item[verb.toLowerCase()] = described;
  if (typeof replaced === "string") dropCase(document, replaced);
  const execute: Json[] = [
    ...(secret === ""
      ? []
      : [{ "set-variable": { actions: [{ set: `message.headers.${SECRET_HEADER}`, value: secret }] } }]),
    { invoke: { "target-url": names.length > 0 ? `${url}${REQUEST_PATH}` : url, verb: "keep" } },
  ];
  casesOf(document).push({ operations: [id], execute });
  return draftOf(namespace, document);
}

/**
 * An API without a path, or without one verb of it.
 * @returns undefined when nothing is left of it
 * @throws notFound in OpenWhisk's words
 */
export function withoutOperation(
  api: Pick<ApiDraft, "namespace" | "documentJson">,
  path: string,
  verb: Verb | undefined,
): ApiDraft | undefined {
  const document = parseDocument("document", api.documentJson);
  const paths = objectAt(document, "paths");
  const item = member(paths, path);
  if (!isObject(item)) throw noSuchPart(`path '${path}' does not exist in the API`);
  const gone = operationsOf(path, item).filter(([one]) => verb === undefined || one === verb);
  if (verb !== undefined && gone.length === 0) {
    throw noSuchPart(`path '${path}' with operation '${verb.toLowerCase()}' does not exist in the API`);
  }
  for (const [one, operation] of gone) {
    Reflect.deleteProperty(item, one.toLowerCase());
    const id = member(operation, "operationId");
    if (typeof id === "string") dropCase(document, id);
  }
  if (operationsOf(path, item).length === 0) Reflect.deleteProperty(paths, path);
  return pathItems(document).length === 0 ? undefined : draftOf(api.namespace, document);
}

/** Lower-case verb and camel-cased segments: `GET /a/{id}` is getAId. */
export function operationIdOf(verb: Verb, path: string): string {
  const words = path.split("/").map((segment) => segment.replace(/[^0-9a-zA-Z_-]/g, ""));
  return verb.toLowerCase() + words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("");
}

function draftOf(namespace: string, document: JsonObject): ApiDraft {
  const given = member(document, "basePath");
  if (typeof given !== "string") throw invalidField("basePath", "must be a string");
  const basePath = checkBasePath("basePath", given);
  document["basePath"] = basePath;
  const title = member(member(document, "info"), "title");
  if (title !== undefined && typeof title !== "string") throw invalidField("info.title", "must be a string");
  const name = title === undefined || title === "" ? basePath : title;
  if (name.length > API_NAME_LENGTH_MAX) {
    throw invalidField("info.title", `longer than allowed: ${name.length} > ${API_NAME_LENGTH_MAX} characters`);
  }
  compileRoutes(document);
  const documentJson = documentText(document);
  const bytes = Buffer.byteLength(documentJson);
  if (bytes > DOCUMENT_BYTES_MAX) {
    const description = `larger than allowed: ${bytes} > ${DOCUMENT_BYTES_MAX} bytes`;
    throw new WeftError("invalidArgument", TOO_LARGE, `document: ${description}`, {
      fields: [{ field: "document", description }],
    });
  }
  return { namespace, basePath, name, documentJson };
}

function newDocument(basePath: string, title: string): JsonObject {
  return {
    swagger: "2.0",
    info: { title, version: "1.0.0" },
    basePath,
    paths: {},
    "x-ibm-configuration": { cors: { enabled: true }, assembly: { execute: [] } },
  };
}

/** Gives operations without an id one, and the caller's namespace for "_". */
function completeOperations(document: JsonObject, namespace: string): void {
  for (const [path, item] of pathItems(document)) {
    for (const [verb, operation] of operationsOf(path, item)) {
      const backend = member(operation, "x-openwhisk");
      if (isObject(backend)) {
        if (member(backend, "namespace") === "_") backend["namespace"] = namespace;
        const url = member(backend, "url");
        if (typeof url === "string") backend["url"] = ownedUrl(url, namespace);
      }
      if (member(operation, "operationId") === undefined) operation["operationId"] = freeId(document, path, verb);
    }
  }
}

function ownAssembly(value: Json, namespace: string): void {
  const own = (within: Json | undefined): void => {
    if (Array.isArray(within)) for (const one of within) own(one);
    else if (isObject(within)) {
      for (const [key, one] of Object.entries(within)) {
        if (key === "target-url" && typeof one === "string") within[key] = ownedUrl(one, namespace);
        else own(one);
      }
    }
  };
  own(member(value, "x-ibm-configuration"));
}

function freeId(document: JsonObject, path: string, verb: Verb): string {
  const taken = new Set<Json | undefined>();
  for (const [otherPath, item] of pathItems(document)) {
    for (const [otherVerb, operation] of operationsOf(otherPath, item)) {
      if (otherPath !== path || otherVerb !== verb) taken.add(member(operation, "operationId"));
    }
  }
  const plain = operationIdOf(verb, path);
  for (let n = 1; ; n++) {
    const id = n === 1 ? plain : `${plain}_${n}`;
    if (!taken.has(id)) return id;
  }
}

function pathParameter(name: string, described: readonly JsonObject[]): JsonObject {
  const own = described.find((one) => member(one, "name") === name) ?? {};
  return { description: `Path parameter ${name}`, type: "string", ...own, name, in: "path", required: true };
}

const KEY_SCHEME = "weft-api-key";

function keyIn(document: JsonObject, header: string): Json {
  const definitions = objectAt(document, "securityDefinitions");
  if (member(document, "security") === undefined) {
    // Other operations stay as they were: without `security` all definitions count, and this one would be new to them.
    const before = Object.keys(definitions).filter((one) => {
      const type = member(definitions[one], "type");
      return type === "apiKey" || type === "oauth2";
    });
    document["security"] = before.length === 0 ? [] : [Object.fromEntries(before.map((one) => [one, []]))];
  }
  const name = `${KEY_SCHEME}-${header.toLowerCase()}`;
  definitions[name] = { type: "apiKey", in: "header", name: header };
  return [{ [name]: [] }];
}

function casesOf(document: JsonObject): Json[] {
  const assembly = objectAt(objectAt(document, "x-ibm-configuration"), "assembly");
  const execute = listAt(assembly, "execute");
  let step = execute.find((one) => member(one, "operation-switch") !== undefined);
  if (!isObject(step)) {
    step = { "operation-switch": { case: [] } };
    execute.unshift(step);
  }
  return listAt(objectAt(step, "operation-switch"), "case");
}

function dropCase(document: JsonObject, id: string): void {
  const cases = casesOf(document);
  const kept = cases.flatMap((one) => {
    const operations = member(one, "operations");
    if (!isObject(one) || !Array.isArray(operations)) return [one];
    const others = operations.filter((operation) => operation !== id);
    return others.length === 0 ? [] : [{ ...one, operations: others }];
  });
  cases.splice(0, cases.length, ...kept);
}

/** A member that is an object, made when there is none. @throws invalidArgument when it is something else */
function objectAt(holder: JsonObject, name: string): JsonObject {
  const known = member(holder, name);
  if (isObject(known)) return known;
  if (known !== undefined) throw invalidField(name, "must be an object");
  const made: JsonObject = {};
  holder[name] = made;
  return made;
}

function listAt(holder: JsonObject, name: string): Json[] {
  const known = member(holder, name);
  if (Array.isArray(known)) return known;
  if (known !== undefined) throw invalidField(name, "must be a list");
  const made: Json[] = [];
  holder[name] = made;
  return made;
}

function noSuchPart(message: string): WeftError {
  return new WeftError("notFound", "OPERATION_NOT_FOUND", message);
}
