// APIs of a gateway there: whole documents, so that keys, rates, schemas and what stands between a path and its action come
// too. What leads to web actions of the namespace there leads to those of the namespace here.

import { toWeftError, WeftError } from "../../../internal/base/errors.js";
import { elementsOf, isArray, isObject, membersOf, type JsonText } from "../../../internal/base/json-text.js";
import { importedApi } from "../../../internal/core/api/document.js";
import {
  documentText,
  isObject as isDocument,
  member,
  parseDocument,
  type Json,
} from "../../../internal/core/api/json.js";
import type { ApiDocumentState } from "../project/state.js";
import { moved, type Read } from "./source.js";

const PAGE_SIZE = 200;
const WEB_PATH = /^(?:(?:https?:\/\/){1,2}[^/?#\s]+)?\/api\/v1\/web\/([^/?#\s]+)\/(.*)$/i;
/** What authors' own keys look like, which OpenWhisk's gateway sends to their actions. */
const AUTHOR_KEY = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:/i;

export interface ApiSourceOptions {
  /** There. */
  readonly namespace: string;
  /** What it is brought to. */
  readonly target: string;
  /** "uuid:key" there. */
  readonly auth: string;
  /** Scheme and host of the REST API here. */
  readonly rest: string;
}

/**
 * By base path.
 * @returns undefined when there is no API gateway there
 * @throws WeftError when it cannot be asked
 */
export async function readApisThere(
  read: Read,
  options: ApiSourceOptions,
): Promise<ReadonlyMap<string, ApiDocumentState> | undefined> {
  const found = new Map<string, ApiDocumentState>();
  for (let skip = 0; ; skip += PAGE_SIZE) {
    const page = await readPage(read, options.auth, skip);
    if (!page) return undefined;
    const known = found.size;
    for (const document of page) {
      const one = documentHere(document, options);
      found.set(one.name, one);
    }
    // Not every server knows pages: one that does not tells the same again.
    if (page.length < PAGE_SIZE || found.size === known) return found;
  }
}

async function readPage(read: Read, auth: string, skip: number): Promise<readonly JsonText[] | undefined> {
  const query = new URLSearchParams({
    accesstoken: "DUMMY TOKEN", // what OpenWhisk's clients send where no token is asked for
    spaceguid: auth.split(":")[0] ?? "",
    limit: String(PAGE_SIZE),
    skip: String(skip),
  });
  let text: JsonText;
  try {
    text = await read(`/web/whisk.system/apimgmt/getApi.http?${query.toString()}`);
  } catch (thrown) {
    if (thrown instanceof WeftError && thrown.kind === "notFound") return undefined;
    throw thrown;
  }
  const apis = isObject(text) ? (membersOf(text).get("apis") ?? "[]") : "null";
  if (!isArray(apis)) {
    throw new WeftError("unavailable", "NOT_OPENWHISK", "what it answers for its APIs is not what OpenWhisk answers");
  }
  return elementsOf(apis).flatMap((element) => {
    const value = isObject(element) ? (membersOf(element).get("value") ?? "null") : "null";
    const document = isObject(value) ? membersOf(value).get("apidoc") : undefined;
    return document !== undefined && isObject(document) ? [document] : [];
  });
}

/** @returns the API as it would be stored here; with a problem when it could not */
export function documentHere(text: JsonText, options: ApiSourceOptions): ApiDocumentState {
  const { namespace, target, rest } = options;
  const members = membersOf(text);
  const given = members.get("basePath");
  const basePath = given?.startsWith('"') ? (JSON.parse(given) as string) : "/";
  try {
    const document = parseDocument(`API ${basePath}`, text);
    const calls = new Set<string>();
    const urlHere = (url: string): string => {
      const [, owner, place] = WEB_PATH.exec(url) ?? [];
      if (owner === undefined || place === undefined) return url;
      const of = decodeURIComponent(owner);
      const mine = of === namespace || of === "_" ? target : of;
      const [packageName = "", action = ""] = place.split(/[/?$]/, 2);
      const name = decodeURIComponent(action).replace(/\.[a-z]+$/, "");
      calls.add(`/${mine}/${packageName === "default" ? "" : `${decodeURIComponent(packageName)}/`}${name}`);
      return `${rest}/api/v1/web/${encodeURIComponent(mine)}/${place}`;
    };
    const walk = (value: Json): void => {
      if (Array.isArray(value)) for (const one of value) walk(one);
      else if (isDocument(value)) {
        for (const [key, one] of Object.entries(value)) {
          if (typeof one === "string" && (key === "target-url" || key === "url")) value[key] = urlHere(one);
          else if (key === "x-openwhisk" && isDocument(one) && typeof one["namespace"] === "string") {
            one["namespace"] = moved(one["namespace"], namespace, target).slice(1);
            walk(one);
          } else if (key === "execute" && Array.isArray(one)) {
            value[key] = one.map(withoutAuthor).filter((step) => step !== undefined);
            walk(value[key]);
          } else walk(one);
        }
      }
    };
    walk(document);
    const { name, documentJson, basePath: stored } = importedApi(target, documentText(document));
    const secured = documentJson.includes('"apiKey"');
    return {
      name: stored,
      title: name,
      documentJson,
      calls: [...calls],
      ...(secured ? { note: `keys are known to nobody: make new ones with weft api key create ${stored}` } : {}),
    };
  } catch (thrown) {
    const { message } = toWeftError(thrown);
    return { name: basePath, title: basePath, documentJson: text, calls: [], problem: message };
  }
}

/** A step of an assembly that sends the key of the API's author there to the action is not for here. */
function withoutAuthor(step: Json): Json | undefined {
  const set = member(step, "set-variable");
  const actions = member(set, "actions");
  if (!isDocument(step) || !isDocument(set) || !Array.isArray(actions)) return step;
  const kept = actions.filter((one) => !isAuthorKey(one));
  if (kept.length === actions.length) return step;
  return kept.length === 0 ? undefined : { ...step, "set-variable": { ...set, actions: kept } };
}

function isAuthorKey(action: Json): boolean {
  const [name, value] = [member(action, "set"), member(action, "value")];
  if (typeof name !== "string" || typeof value !== "string") return false;
  if (name.toLowerCase() !== "message.headers.authorization") return false;
  const [, encoded = ""] = /^Basic (\S+)$/.exec(value) ?? [];
  return AUTHOR_KEY.test(Buffer.from(encoded, "base64").toString("latin1"));
}
