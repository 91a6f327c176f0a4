// Web actions: actions that anybody may call over HTTP, whose results are HTTP responses. The order of checks is part of
// the contract: what is not exported is not there, whoever asks and however; then the owner's throttles, the size, the
// preflight, what the action asks of callers, and what they may not set.

import { toWeftError } from "../../../base/errors.js";
import { membersOf } from "../../../base/json-text.js";
import type { ActivationId } from "../../../base/ids.js";
import { PAYLOAD_BYTES_MAX } from "../../../core/action/types.js";
import type { ActionActivation } from "../../../core/activation/types.js";
import { webArguments } from "../../../core/web/arguments.js";
import { accepts } from "../../../core/web/media-type.js";
import { parseWebPath, type WebPath } from "../../../core/web/path.js";
import { webAnswer, type WebAnswer } from "../../../core/web/response.js";
import { mayInvoke } from "../../../core/web/whisk-auth.js";
import { ActivationLost, type InvokeAnswer, type NativeApi, type WebAction } from "../../native-api.js";
import { emptyResponse, jsonResponse, pathOf, queryOf, type RestRequest, type RestResponse } from "../message.js";
import { Refusal, refusalOf, tooLarge } from "../openwhisk/refusal.js";

const BASE = "/api/v1/web/";
export const METHODS: readonly string[] = ["OPTIONS", "GET", "DELETE", "POST", "PUT", "HEAD", "PATCH"];
const ALLOWED_HEADERS = "Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent";

export interface WebActionsDeps {
  readonly api: NativeApi;
  /** Tells of what nobody foresaw. */
  readonly unforeseen: (error: unknown, transactionId: string) => void;
}

/** What a URL names: "unknown" is a web action that cannot be; undefined when it is about something else. */
export function webPathOf(target: string): WebPath | "unknown" | undefined {
  const path = pathOf(target);
  return path.startsWith(BASE) ? parseWebPath(path.slice(BASE.length)) : undefined;
}

/** How a web action is reached through an API. */
export interface Through {
  /** What the API says instead of the web action's own CORS headers. */
  readonly cors: RestResponse["headers"];
  /** What was found in the path. */
  readonly parameters: ReadonlyMap<string, string>;
}

export class WebActions {
  constructor(private readonly deps: WebActionsDeps) {}

  /** Never rejects. Without the headers that every answer of the API has. */
  async handle(
    request: RestRequest,
    path: WebPath | "unknown",
    transactionId: string,
    through?: Through,
  ): Promise<RestResponse> {
    let cors = through?.cors ?? [];
    try {
      if (!METHODS.includes(request.method)) throw notAllowed();
      if (path === "unknown") throw notThere();
      const action = await this.#find(path);
      if (!through && !flag(action, "web-custom-options")) cors = corsOf(request, METHODS);
      return withCors(await this.#run(action, request, path, transactionId, through?.parameters), cors);
    } catch (thrown) {
      const refusal = this.#refusalOf(thrown, transactionId);
      return withCors(errorResponse(refusal.status, refusal.message, transactionId, refusal.headers), cors);
    }
  }

  async #find({ namespace, action }: WebPath): Promise<WebAction> {
    try {
      return await this.deps.api.webAction(namespace, action);
    } catch (thrown) {
      throw toWeftError(thrown).kind === "notFound" ? notThere() : thrown;
    }
  }

  async #run(
    action: WebAction,
    request: RestRequest,
    path: WebPath,
    transactionId: string,
    parameters: ReadonlyMap<string, string> | undefined,
  ): Promise<RestResponse> {
    const user = await this.#userOf(request);
    const prepare = (): Buffer | undefined => {
      const bytes = request.body.length;
      if (bytes > PAYLOAD_BYTES_MAX) throw tooLarge("Request", bytes, PAYLOAD_BYTES_MAX);
      if (request.method === "OPTIONS" && !flag(action, "web-custom-options")) return undefined;
      const { headers, method, body } = request;
      if (!mayInvoke(action.annotations.get("require-whisk-auth"), headers, user !== undefined)) {
        throw new Refusal(401, "Authentication is possible but has failed or not yet been provided.");
      }
      const query = queryOf(request.target);
      const asked = { method, headers, query, path: path.rest, body, user, parameters };
      const built = webArguments(asked, flag(action, "raw-http"), action.immutable);
      if (built.kind === "refused") throw new Refusal(400, built.message);
      return Buffer.from(built.json);
    };
    const context = { transactionId, traceparent: request.headers["traceparent"] ?? "" };
    let answer: InvokeAnswer | undefined;
    try {
      answer = await action.invoke(prepare, context);
    } catch (thrown) {
      if (thrown instanceof ActivationLost) return failed(thrown.activationId, transactionId);
      throw thrown;
    }
    if (!answer) return emptyResponse(200);
    if (answer.kind !== "done") {
      return errorResponse(202, "Response not yet ready.", transactionId, [idHeader(answer.activationId)]);
    }
    return ended(answer.activation, request, path, transactionId);
  }

  /** Namespace of the caller's key. A key that is nobody's makes a stranger, not a refusal. */
  async #userOf({ headers }: RestRequest): Promise<string | undefined> {
    const { authorization } = headers;
    if (authorization === undefined) return undefined;
    try {
      return (await this.deps.api.identify(authorization)).namespace;
    } catch (thrown) {
      if (toWeftError(thrown).kind === "unauthenticated") return undefined;
      throw thrown;
    }
  }

  #refusalOf(thrown: unknown, transactionId: string): Refusal {
    if (thrown instanceof Refusal) return thrown;
    const error = toWeftError(thrown);
    if (error.kind === "internal") this.deps.unforeseen(error, transactionId);
    return refusalOf(error);
  }
}

function ended(
  { id, outcome, resultJson }: ActionActivation,
  { headers }: RestRequest,
  { format }: WebPath,
  transactionId: string,
): RestResponse {
  let answer: WebAnswer;
  switch (outcome) {
    case "success":
      answer = webAnswer(format, resultJson === "" ? "{}" : resultJson.trim());
      break;
    case "applicationError":
      answer = webAnswer(format, membersOf(resultJson).get("error") ?? "null");
      break;
    case "developerError":
    case "platformError":
      return failed(id, transactionId);
  }
  if (answer.kind === "refused") return errorResponse(answer.status, answer.message, transactionId, [idHeader(id)]);
  if (answer.contentType !== "" && !accepts(headers["accept"], answer.contentType)) {
    const message = `The resource representation is only available as ${answer.contentType}, which the request does not accept.`;
    return errorResponse(406, message, transactionId, [idHeader(id)]);
  }
  return { ...answer, headers: [idHeader(id), ...answer.headers] };
}

function failed(id: ActivationId, transactionId: string): RestResponse {
  return errorResponse(400, "There was an error processing your request.", transactionId, [idHeader(id)]);
}

export function errorResponse(
  status: number,
  message: string,
  transactionId: string,
  headers: RestResponse["headers"],
): RestResponse {
  return jsonResponse(status, `{"error":${JSON.stringify(message)},"code":${JSON.stringify(transactionId)}}`, headers);
}

function idHeader(id: ActivationId): readonly [string, string] {
  return ["x-openwhisk-activation-id", id];
}

function flag(action: WebAction, annotation: string): boolean {
  return action.annotations.get(annotation) === "true";
}

export function corsOf({ headers }: RestRequest, methods: readonly string[]): RestResponse["headers"] {
  const asked = headers["access-control-request-headers"];
  return [
    ["Access-Control-Allow-Origin", "*"],
    ["Access-Control-Allow-Methods", methods.join(", ")],
    ["Access-Control-Allow-Headers", asked === undefined || asked === "" ? ALLOWED_HEADERS : asked],
  ];
}

/** What the action says itself counts: a browser refuses an answer with two origins. */
export function withCors(response: RestResponse, cors: RestResponse["headers"]): RestResponse {
  const said = new Set(response.headers.map(([name]) => name.toLowerCase()));
  return { ...response, headers: [...cors.filter(([name]) => !said.has(name.toLowerCase())), ...response.headers] };
}

function notThere(): Refusal {
  return new Refusal(404, "The requested resource does not exist.");
}

function notAllowed(): Refusal {
  const list = METHODS.join(", ");
  return new Refusal(405, `HTTP method not allowed, supported methods: ${list}`, { headers: [["Allow", list]] });
}
