// The data plane of APIs: /api/{tenant}{base path}{path}. The order of checks: what is not there, preflights, verbs, keys,
// rates; then the web action behind the operation, whose checks and throttles follow.

import { toWeftError } from "../../../base/errors.js";
import { findPath, type ApiOperation } from "../../../core/api/routes.js";
import type { KeyPlace } from "../../../core/api/security.js";
import type { Rates } from "../../../core/throttle/window.js";
import type { NativeApi, ServedApi } from "../../native-api.js";
import { emptyResponse, pathOf, queryOf, type RestRequest, type RestResponse } from "../message.js";
import { Refusal, refusalOf } from "../openwhisk/refusal.js";
import { corsOf, errorResponse, withCors, type WebActions } from "../web/web-actions.js";

const BASE = "/api/";
const OPENWHISK = "/api/v1";

/** How a request to an API went. */
export const API_ANSWERS = [
  "action",
  "preflight",
  "notFound",
  "notAllowed",
  "keyRefused",
  "rateRefused",
  "failed",
] as const;
export type ApiAnswer = (typeof API_ANSWERS)[number];

export interface ApiGatewayDeps {
  readonly api: Pick<NativeApi, "servedApi">;
  readonly web: Pick<WebActions, "handle">;
  readonly rates: Rates;
  readonly answered: (answer: ApiAnswer) => void;
  /** Tells of what nobody foresaw. */
  readonly unforeseen: (error: unknown, transactionId: string) => void;
}

/** What a URL says of an API; undefined when it is about something else. */
export function apiPathOf(target: string): { readonly tenantId: string; readonly path: string } | undefined {
  const path = pathOf(target);
  if (!path.startsWith(BASE) || path === OPENWHISK || path.startsWith(`${OPENWHISK}/`)) return undefined;
  const slash = path.indexOf("/", BASE.length);
  if (slash < 0) return { tenantId: path.slice(BASE.length), path: "" };
  return { tenantId: path.slice(BASE.length, slash), path: path.slice(slash) };
}

export class ApiGateway {
  constructor(private readonly deps: ApiGatewayDeps) {}

  /** Never rejects. Without the headers that every answer has. */
  async handle(
    request: RestRequest,
    { tenantId, path }: { readonly tenantId: string; readonly path: string },
    transactionId: string,
  ): Promise<RestResponse> {
    let cors: RestResponse["headers"] = [];
    try {
      const api = await this.deps.api.servedApi(tenantId, path);
      if (!api) throw new ApiRefusal("notFound", 404, "There is no API at this path.");
      if (api.routes.cors) cors = corsOf(request, ["OPTIONS"]);
      const found = findPath(api.routes, api.below);
      if (!found || found.path.operations.size === 0) {
        throw new ApiRefusal("notFound", 404, "The API has no such path.");
      }
      const verbs = [...new Set([...found.path.operations.keys(), ...(api.routes.cors ? ["OPTIONS"] : [])])];
      if (api.routes.cors) {
        cors = corsOf(request, verbs);
        if (request.method === "OPTIONS") {
          this.deps.answered("preflight");
          return withCors(emptyResponse(200), cors);
        }
      }
      const operation = [...found.path.operations.values()].find(({ verb }) => verb === request.method);
      if (!operation) {
        const list = verbs.join(", ");
        throw new ApiRefusal("notAllowed", 405, `HTTP method not allowed, supported methods: ${list}`, {
          headers: [["Allow", list]],
        });
      }
      await this.#admit(api, operation, keyOf(api, operation, request));
      const through = { cors, parameters: found.parameters };
      const { backend } = operation;
      const webPath = { ...backend, rest: backend.requestPath ? backend.rest + api.rest : backend.rest };
      const answer = await this.deps.web.handle(asBackend(request, operation), webPath, transactionId, through);
      this.deps.answered("action");
      return answer;
    } catch (thrown) {
      const refusal = this.#refusalOf(thrown, transactionId);
      this.deps.answered(refusal instanceof ApiRefusal ? refusal.answer : "failed");
      return withCors(errorResponse(refusal.status, refusal.message, transactionId, refusal.headers), cors);
    }
  }

  /** @throws ApiRefusal when it comes too often */
  async #admit({ namespace, routes }: ServedApi, operation: ApiOperation, keyId: string): Promise<void> {
    if (operation.rateLimits.length === 0) return;
    const key = `${routes.basePath}\n${operation.ratedAs}\n${keyId}`;
    const verdict = this.deps.rates.admit(namespace, key, operation.rateLimits);
    const refused = verdict instanceof Promise ? await verdict : verdict;
    if (!refused) return;
    const { status, message, headers } = refusalOf(refused);
    throw new ApiRefusal("rateRefused", status, message, { headers });
  }

  #refusalOf(thrown: unknown, transactionId: string): Refusal {
    if (thrown instanceof Refusal) return thrown;
    const error = toWeftError(thrown);
    if (error.kind === "internal") this.deps.unforeseen(error, transactionId);
    return refusalOf(error);
  }
}

class ApiRefusal extends Refusal {
  constructor(
    readonly answer: ApiAnswer,
    ...refusal: ConstructorParameters<typeof Refusal>
  ) {
    super(...refusal);
  }
}

/** The key that opens the operation; "" when none is asked for. @throws ApiRefusal 401 */
function keyOf(api: ServedApi, { security }: ApiOperation, request: RestRequest): string {
  if (security.length === 0) return "";
  for (const places of security) {
    const ids = places.map((place) => {
      const secret = presented(request, place);
      return secret === undefined ? undefined : api.keyOf(secret);
    });
    if (ids[0] !== undefined && ids.every((id) => id !== undefined)) return ids[0];
  }
  const wanted = security
    .map((places) => places.map((place) => `${place.in} ${place.name}`).join(" and "))
    .join(", or ");
  throw new ApiRefusal("keyRefused", 401, `This API wants a key of its own: ${wanted}.`);
}

function presented({ headers, target }: RestRequest, place: KeyPlace): string | undefined {
  if (place.in === "query") return new URLSearchParams(queryOf(target)).get(place.name) ?? undefined;
  return Object.hasOwn(headers, place.name) ? headers[place.name] : undefined;
}

function asBackend(request: RestRequest, { backend }: ApiOperation): RestRequest {
  const query = [backend.query, queryOf(request.target)].filter((one) => one !== "").join("&");
  return {
    ...request,
    method: backend.verb ?? request.method,
    target: query === "" ? "/" : `/?${query}`,
    headers:
      backend.headers.size === 0 ? request.headers : { ...request.headers, ...Object.fromEntries(backend.headers) },
  };
}
