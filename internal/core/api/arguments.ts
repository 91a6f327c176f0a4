// What OpenWhisk's clients send to createApi, getApi and deleteApi, checked in OpenWhisk's words.

import { isObject, member, numberText, parseDocument, documentText, type Json, type JsonObject } from "./json.js";
import { WeftError } from "../../base/errors.js";
import { parseBackendUrl } from "./backend.js";
import { isVerb, type Verb } from "./types.js";
import type { WebFormat } from "../web/path.js";

export type CreateArguments =
  | { readonly kind: "swagger"; readonly documentJson: string }
  | {
      readonly kind: "operation";
      readonly basePath: string;
      readonly name: string;
      readonly path: string;
      readonly verb: Verb;
      /** "_" resolved by whoever stores it. */
      readonly action: { readonly namespace: string; readonly name: string };
      readonly format: WebFormat;
      readonly secret: string;
      /** Scheme and host of the action's URL. */
      readonly restUrl: string;
      readonly pathParameters: readonly JsonObject[];
    };

/** The request is refused with this text as it is. */
export class ArgumentProblem extends Error {
  override readonly name = "ArgumentProblem";
}

const FORMATS: readonly string[] = ["http", "json", "html", "svg", "text"];

/**
 * @param bodyText of the request
 * @param responseType of its query; undefined when it says none
 * @throws ArgumentProblem; invalidArgument for what is too large or too deep
 */
export function createArguments(bodyText: string, responseType: string | undefined): CreateArguments {
  const body = bodyText.trim() === "" ? {} : parsed(bodyText, "body");
  const given = member(body, "apidoc");
  if (given === undefined || given === null || given === "") throw new ArgumentProblem("apidoc is required.");
  const apidoc = objectOf(given, "apidoc");
  if (!present(apidoc, "namespace")) throw new ArgumentProblem("apidoc is missing the namespace field");
  const swagger = member(apidoc, "swagger");
  if (present(apidoc, "swagger")) {
    if (present(apidoc, "gatewayBasePath")) {
      throw new ArgumentProblem("swagger and gatewayBasePath are mutually exclusive and cannot be specified together.");
    }
    const document = objectOf(swagger, "swagger");
    for (const needed of ["basePath", "paths", "info"]) {
      if (!present(document, needed)) throw new ArgumentProblem(`swagger is missing the ${needed} field.`);
    }
    return { kind: "swagger", documentJson: documentText(document) };
  }
  for (const needed of ["gatewayBasePath", "gatewayPath", "gatewayMethod", "action"]) {
    if (!present(apidoc, needed)) throw new ArgumentProblem(`apidoc is missing the ${needed} field`);
  }
  const action = objectOf(member(apidoc, "action"), "action");
  for (const needed of ["backendMethod", "backendUrl", "namespace", "name", "authkey"]) {
    if (!present(action, needed)) throw new ArgumentProblem(`action is missing the ${needed} field.`);
  }
  const verb = textOf(apidoc, "gatewayMethod").toUpperCase();
  if (!isVerb(verb)) throw new ArgumentProblem(`gatewayMethod '${textOf(apidoc, "gatewayMethod")}' is not a verb.`);
  const format = responseType ?? "json";
  if (!isFormat(format)) throw new ArgumentProblem(`responsetype must be one of ${FORMATS.join(", ")}.`);
  const url = textOf(action, "backendUrl");
  const parameters = member(apidoc, "pathParameters");
  return {
    kind: "operation",
    basePath: textOf(apidoc, "gatewayBasePath"),
    name: member(apidoc, "apiName") === undefined ? "" : textOf(apidoc, "apiName"),
    path: textOf(apidoc, "gatewayPath"),
    verb,
    action: actionOf(url, textOf(action, "namespace")),
    format,
    secret: secretOf(member(action, "secureKey")),
    restUrl: /^https?:\/\/[^/?#\s]+/i.exec(url)?.[0] ?? "",
    pathParameters: Array.isArray(parameters) ? parameters.filter(isObject) : [],
  };
}

/** The URL says which action it is; "_" in it stands for the namespace that is named beside it. */
function actionOf(url: string, namespace: string): { readonly namespace: string; readonly name: string } {
  try {
    const backend = parseBackendUrl("backendUrl", url);
    return { namespace: backend.namespace === "_" ? namespace : backend.namespace, name: backend.action };
  } catch (thrown) {
    if (!(thrown instanceof WeftError) || thrown.kind !== "invalidArgument") throw thrown;
    throw new ArgumentProblem(thrown.message);
  }
}

function secretOf(value: Json | undefined): string {
  if (typeof value === "string") return numberText(value) ?? value;
  return numberText(value) ?? "";
}

/** An object, or the JSON text of one. */
function objectOf(value: Json | undefined, name: string): JsonObject {
  const object = typeof value === "string" ? parsed(value, name) : value;
  if (!isObject(object)) throw unparsable(name);
  return object;
}

function parsed(text: string, name: string): JsonObject {
  try {
    return parseDocument(name, text);
  } catch (thrown) {
    if (!(thrown instanceof WeftError) || !/must be JSON/.test(thrown.message)) throw thrown;
    throw unparsable(name === "body" ? "apidoc" : name);
  }
}

function unparsable(name: string): ArgumentProblem {
  return new ArgumentProblem(`${name} field cannot be parsed. Ensure it is valid JSON.`);
}

function present(object: JsonObject, name: string): boolean {
  const value = member(object, name);
  return value !== undefined && value !== null && value !== "";
}

function textOf(object: JsonObject, name: string): string {
  const value = member(object, name);
  if (typeof value !== "string") throw new ArgumentProblem(`${name} must be a string.`);
  return value;
}

function isFormat(text: string): text is WebFormat {
  return FORMATS.includes(text);
}
