// Where an operation leads: a web action of this installation, as the URLs in a document name it.

import { invalidField } from "../../base/errors.js";
import { parseWebPath, type WebFormat } from "../web/path.js";
import { isVerb, type Verb } from "./types.js";

export interface Backend {
  /** Of the web action. */
  readonly namespace: string;
  /** "name" or "package/name". */
  readonly action: string;
  readonly format: WebFormat;
  /** What follows the action in the URL: the beginning of `__ow_path`. */
  readonly rest: string;
  /** True when the path of the request follows: the URL ends in $(request.path). */
  readonly requestPath: boolean;
  /** Without its question mark; stands before the request's own. */
  readonly query: string;
  /** Which verb the action is told; undefined for the request's. */
  readonly verb: Verb | undefined;
  /** Lower-case names; in the place of what the request says. */
  readonly headers: ReadonlyMap<string, string>;
}

/** Stands in a target URL for the path of the request below the base path. */
export const REQUEST_PATH = "$(request.path)";
export const SECRET_HEADER = "X-Require-Whisk-Auth";
const WEB = "/api/v1/web/";

/**
 * @param url of a web action. Scheme and host are not looked at: it is called here.
 * @throws invalidArgument when it is none
 */
export function parseBackendUrl(
  field: string,
  url: string,
): Pick<Backend, "namespace" | "action" | "format" | "rest" | "requestPath" | "query"> {
  const requestPath = url.endsWith(REQUEST_PATH);
  const bare = requestPath ? url.slice(0, -REQUEST_PATH.length) : url;
  // wskdeploy puts its own scheme before an API host that has one.
  const match = /^(?:(?:https?:\/\/){1,2}[^/?#\s]+)?(\/[^?#\s]*)(?:\?([^#\s]*))?$/i.exec(bare);
  const path = match?.[1] ?? "";
  const web = path.startsWith(WEB) ? parseWebPath(path.slice(WEB.length)) : undefined;
  if (!web || web === "unknown") {
    throw invalidField(
      field,
      `'${url}' is no web action: write https://HOST${WEB}NAMESPACE/PACKAGE/ACTION.http, with "default" for no package`,
    );
  }
  return { ...web, requestPath, query: match?.[2] ?? "" };
}

/** @param restUrl scheme and host, or "" */
export function webActionUrl(restUrl: string, namespace: string, action: string, format: WebFormat): string {
  const path = action.includes("/") ? action : `default/${action}`;
  const segments = [namespace, ...path.split("/")].map(encodeURIComponent);
  return `${restUrl}${WEB}${segments.join("/")}.${format}`;
}

/** In place of "_": what documents are sent with stands for the caller's namespace. */
export function ownedUrl(url: string, namespace: string): string {
  return url.replace(`${WEB}_/`, () => `${WEB}${encodeURIComponent(namespace)}/`);
}

const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/;
const HEADER_VALUE = /^[\x20-\x7e]{0,4096}$/;
/** Of the connection, or the platform's own. */
const NOT_SETTABLE =
  /^(?:connection|content-length|expect|host|keep-alive|te|trailer|transfer-encoding|upgrade|weft-.*|x-request-id|x-openwhisk-activation-id)$/;

/** A header that an assembly sets for the backend. @throws invalidArgument */
export function checkHeader(field: string, name: string, value: string): readonly [name: string, value: string] {
  const lower = name.toLowerCase();
  if (!HEADER_NAME.test(name) || NOT_SETTABLE.test(lower)) {
    throw invalidField(field, `cannot set the header ${JSON.stringify(name)}`);
  }
  if (!HEADER_VALUE.test(value)) {
    throw invalidField(field, `the value of the header ${name} must be printable ASCII of at most 4096 characters`);
  }
  return [lower, value];
}

/** @returns undefined for "keep". @throws invalidArgument */
export function backendVerb(field: string, text: string): Verb | undefined {
  const upper = text.toUpperCase();
  if (upper === "KEEP") return undefined;
  if (!isVerb(upper)) throw invalidField(field, `must be "keep" or a verb, not ${JSON.stringify(text)}`);
  return upper;
}
