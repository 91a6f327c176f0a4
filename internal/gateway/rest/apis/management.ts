// createApi, getApi and deleteApi of /whisk.system/apimgmt: what `wsk api` and the npm client's routes speak to. They are
// web actions there and are answered here natively; refusals are 502 without a code, which those clients take for the
// action's own words.

import { toWeftError, type WeftError } from "../../../base/errors.js";
import { TOO_LARGE } from "../../../base/violations.js";
import { ArgumentProblem, createArguments, type CreateArguments } from "../../../core/api/arguments.js";
import { member, type JsonObject } from "../../../core/api/json.js";
import { isVerb } from "../../../core/api/types.js";
import { PAYLOAD_BYTES_MAX } from "../../../core/action/types.js";
import { ApiServiceService as Service, type Api, type PathParameter } from "../../../gen/weft/api/v1/api.pb.js";
import type { NativeApi, RequestContext } from "../../native-api.js";
import { utf8 } from "../../wire.js";
import { emptyResponse, jsonResponse, pathOf, queryOf, type RestRequest, type RestResponse } from "../message.js";
import { Refusal, refusalOf, tooLarge } from "../openwhisk/refusal.js";
import { corsOf, errorResponse, METHODS, withCors } from "../web/web-actions.js";

const PATH = /^\/api\/v1\/web\/whisk\.system\/apimgmt\/(createApi|getApi|deleteApi)(?:\.http)?$/;
/** Documents in one answer: it ends with the one that brings it here. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;
const PAGE_MAX = 200;

export type ManagementAction = "createApi" | "getApi" | "deleteApi";

export interface ApiManagementDeps {
  readonly api: Pick<NativeApi, "identify" | "call">;
  /** Tells of what nobody foresaw. */
  readonly unforeseen: (error: unknown, transactionId: string) => void;
}

export function managementOf(target: string): ManagementAction | undefined {
  return PATH.exec(pathOf(target))?.[1] as ManagementAction | undefined;
}

export class ApiManagement {
  constructor(private readonly deps: ApiManagementDeps) {}

  /** Never rejects. Without the headers that every answer of the API has. */
  async handle(request: RestRequest, action: ManagementAction, transactionId: string): Promise<RestResponse> {
    const cors = corsOf(request, METHODS);
    if (request.method === "OPTIONS") return withCors(emptyResponse(200), cors);
    try {
      return withCors(jsonResponse(200, await this.#answer(request, action, transactionId)), cors);
    } catch (thrown) {
      return withCors(this.#refused(thrown, action, transactionId), cors);
    }
  }

  async #answer(request: RestRequest, action: ManagementAction, transactionId: string): Promise<string> {
    const identity = await this.deps.api.identify(request.headers["authorization"]);
    const bytes = request.body.length;
    if (bytes > PAYLOAD_BYTES_MAX) throw tooLarge("Request", bytes, PAYLOAD_BYTES_MAX);
    const context: RequestContext = {
      identity,
      transactionId,
      traceparent: request.headers["traceparent"] ?? "",
      ...(request.signal ? { signal: request.signal } : {}),
    };
    const query = new URLSearchParams(queryOf(request.target));
    const url = urlOf(request);
    switch (action) {
      case "createApi": {
        const given = createArguments(request.body.toString("utf8"), query.get("responsetype") ?? undefined);
        return apiText(await this.#create(given, context), url);
      }
      case "getApi": {
        const apis = await this.#list(query, context);
        return `{"apis":[${apis.map((api) => `{"id":"Not Used","key":"Not Used","value":${apiText(api, url)}}`).join(",")}]}`;
      }
      case "deleteApi":
        await this.#delete(query, context);
        return "{}";
    }
  }

  #create(given: CreateArguments, context: RequestContext): Promise<Api> {
    const { api } = this.deps;
    if (given.kind === "swagger") {
      const documentJson = Buffer.from(given.documentJson);
      return api.call(Service.importApi, { namespace: "_", documentJson, etag: "" }, context);
    }
    const { basePath, name, path, verb, action, format, secret, restUrl } = given;
    return api.call(
      Service.createOperation,
      {
        namespace: "_",
        basePath,
        name,
        path,
        verb,
        action: `/${action.namespace}/${action.name}`,
        responseType: format,
        secret,
        restUrl,
        pathParameters: given.pathParameters.map(parameterOf),
        unchecked: true,
        rateLimits: [],
        keyHeader: "",
      },
      context,
    );
  }

  async #list(query: URLSearchParams, context: RequestContext): Promise<readonly Api[]> {
    const verb = (query.get("operation") ?? "").toUpperCase();
    if (verb !== "" && !isVerb(verb)) return [];
    const limit = count(query.get("limit")) || Infinity;
    const found: Api[] = [];
    let bytes = 0;
    let pageToken = "";
    do {
      const page = await this.deps.api.call(
        Service.listApis,
        {
          namespace: "_",
          pageSize: Math.min(PAGE_MAX, limit - found.length),
          pageToken,
          skip: pageToken === "" ? count(query.get("skip")) : 0,
          api: query.get("basepath") ?? "",
          path: query.get("relpath") ?? "",
          verb,
          withDocuments: true,
        },
        context,
      );
      found.push(...page.apis);
      for (const { documentJson } of page.apis) bytes += documentJson.length;
      pageToken = page.nextPageToken;
    } while (pageToken !== "" && found.length < limit && bytes < ANSWER_BYTES_MAX);
    return found;
  }

  async #delete(query: URLSearchParams, context: RequestContext): Promise<void> {
    const basePath = query.get("basepath") ?? "";
    const path = query.get("relpath") ?? "";
    const verb = query.get("operation") ?? "";
    if (basePath === "") throw new ArgumentProblem("basepath is required.");
    if (verb !== "" && path === "") throw new ArgumentProblem("When specifying an operation, the path is required.");
    await this.deps.api.call(Service.deleteApi, { namespace: "_", api: basePath, path, verb, etag: "" }, context);
  }

  #refused(thrown: unknown, action: ManagementAction, transactionId: string): RestResponse {
    if (thrown instanceof ArgumentProblem) return failure(thrown.message);
    const error = toWeftError(thrown);
    if (!(thrown instanceof Refusal) && isOwn(error)) return failure(`${FAILURES[action]}: ${wordsOf(error)}`);
    if (!(thrown instanceof Refusal) && error.kind === "internal") this.deps.unforeseen(error, transactionId);
    const refusal = thrown instanceof Refusal ? thrown : refusalOf(error);
    return errorResponse(refusal.status, refusal.message, transactionId, refusal.headers);
  }
}

const FAILURES = {
  createApi: "API creation failure",
  getApi: "API retrieval failure",
  deleteApi: "API deletion failure",
} as const satisfies Record<ManagementAction, string>;

/** True for what the request asked wrongly: all that an action could say. */
function isOwn({ kind, reason }: WeftError): boolean {
  if (reason === TOO_LARGE) return false;
  switch (kind) {
    case "invalidArgument":
    case "notFound":
    case "alreadyExists":
    case "failedPrecondition":
    case "permissionDenied":
    case "conflict":
      return true;
    case "throttled":
      return reason === "TOO_MANY_APIS";
    case "unauthenticated":
    case "noCapacity":
    case "unavailable":
    case "deadlineExceeded":
    case "canceled":
    case "internal":
      return false;
  }
}

/** What is a sentence of OpenWhisk's is said as it is; else with the field, and a full stop. */
function wordsOf({ message, fields }: WeftError): string {
  const [field] = fields;
  if (field?.description.endsWith(".") === true) return field.description;
  return message.endsWith(".") ? message : `${message}.`;
}

function failure(message: string): RestResponse {
  return jsonResponse(502, JSON.stringify({ error: message }));
}

function apiText(api: Api, url: string): string {
  const { namespace, urlPath, documentJson } = api;
  const members = [
    `"namespace":${JSON.stringify(namespace)}`,
    `"gwApiUrl":${JSON.stringify(url + urlPath)}`,
    `"gwApiActivated":true`,
    `"tenantId":${JSON.stringify(namespace)}`,
    `"apidoc":${utf8(documentJson)}`,
  ];
  return `{${members.join(",")}}`;
}

function parameterOf(parameter: JsonObject): PathParameter {
  const [name, description] = [member(parameter, "name"), member(parameter, "description")];
  return {
    name: typeof name === "string" ? name : "",
    description: typeof description === "string" ? description : "",
  };
}

/** Scheme and host as the client sees them. */
function urlOf({ headers }: RestRequest): string {
  const scheme = headers["x-forwarded-proto"] === "https" ? "https" : "http";
  const host = headers["host"] ?? "";
  return `${scheme}://${/^[A-Za-z0-9.:[\]-]{1,256}$/.test(host) ? host : "localhost"}`;
}

function count(text: string | null): number {
  return text !== null && /^\d{1,6}$/.test(text) ? Number(text) : 0;
}
