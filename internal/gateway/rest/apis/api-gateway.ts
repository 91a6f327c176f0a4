// The data plane of APIs: /api/{tenant}{base path}{path}. The order of checks: what is not there, preflights, verbs, keys,
// tokens, rates; then the web action behind the operation, whose checks and throttles follow.

import { toWeftError } from "../../../base/errors.js";
import { findPath, type ApiOperation } from "../../../core/api/routes.js";
import { APP_TOKEN_HEADER, TOKEN_LENGTH_MAX, type TokenInfo } from "../../../core/api/oauth.js";
import type { Credential, KeyPlace, TokenPlace } from "../../../core/api/security.js";
import type { Rates } from "../../../core/throttle/window.js";
import type { NativeApi, ServedApi } from "../../native-api.js";
import { emptyResponse, pathOf, queryOf, type RestRequest, type RestResponse } from "../message.js";
import { Refusal, refusalOf } from "../openwhisk/refusal.js";
import { corsOf, errorResponse, withCors, type WebActions } from "../web/web-actions.js";
import type { TokenChecks } from "./token-checks.js";

const BASE = "/api/";
const OPENWHISK = "/api/v1";

/** How a request to an API went. */
export const API_ANSWERS = [
  "action",
  "preflight",
  "notFound",
  "notAllowed",
  "keyRefused",
  "tokenRefused",
  "rateRefused",
  "failed",
] as const;
export type ApiAnswer = (typeof API_ANSWERS)[number];

export interface ApiGatewayDeps {
  readonly api: Pick<NativeApi, "servedApi">;
  readonly web: Pick<WebActions, "handle">;
  readonly rates: Rates;
  readonly tokens: Pick<TokenChecks, "check" | "needsAppToken">;
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
      const opened = asksForTokens(operation)
        ? await this.#open(api, operation, request)
        : open(api, operation, request);
      await this.#admit(api, operation, opened.keyId);
      const through = { cors, parameters: found.parameters };
      const { backend } = operation;
      const webPath = { ...backend, rest: backend.requestPath ? backend.rest + api.rest : backend.rest };
      const backendRequest = asBackend(request, operation, opened);
      const answer = await this.deps.web.handle(backendRequest, webPath, transactionId, through);
      this.deps.answered("action");
      return answer;
    } catch (thrown) {
      const refusal = this.#refusalOf(thrown, transactionId);
      this.deps.answered(refusal instanceof ApiRefusal ? refusal.answer : "failed");
      return withCors(errorResponse(refusal.status, refusal.message, transactionId, refusal.headers), cors);
    }
  }

  /**
   * Requirements are tried as they stand; the last one that a credential was sent for tells why not. That a provider cannot be
   * asked is told only when nothing else opens.
   */
  async #open(api: ServedApi, operation: ApiOperation, request: RestRequest): Promise<Opened> {
    const bearer = bearerOf(request);
    let why: unknown;
    for (const places of operation.security) {
      const keyIds = places.filter(isKeyPlace).map((place) => keyIdOf(api, place, request));
      if (keyIds.includes(undefined)) continue;
      const infos: TokenInfo[] = [];
      const tokens = places.filter(isTokenPlace);
      for (const place of tokens) {
        if (bearer === "") break;
        try {
          infos.push(await this.#token(place, bearer, request));
        } catch (thrown) {
          why = thrown;
          break;
        }
      }
      if (infos.length === tokens.length) return { keyId: keyIds[0] ?? "", token: infos[0] };
    }
    throw why instanceof Error ? why : wanted(operation);
  }

  /** @throws ApiRefusal; as TokenChecks.check */
  async #token(place: TokenPlace, token: string, request: RestRequest): Promise<TokenInfo> {
    if (token.length > TOKEN_LENGTH_MAX) {
      throw tokenRefusal(401, "invalid_token", `The token is longer than ${TOKEN_LENGTH_MAX} characters.`);
    }
    const appToken = headerOf(request, APP_TOKEN_HEADER) ?? "";
    if (appToken === "" && this.deps.tokens.needsAppToken(place.provider)) {
      throw tokenRefusal(
        401,
        "invalid_request",
        `Facebook's tokens need a token of the application in ${APP_TOKEN_HEADER}.`,
      );
    }
    const info = await this.deps.tokens.check(place.provider, token, appToken);
    if (!info) throw tokenRefusal(401, "invalid_token", `The token is not good: ${place.provider} refused it.`);
    const missing = place.scopes.filter((scope) => !info.scopes.includes(scope));
    if (missing.length === 0) return info;
    throw tokenRefusal(403, "insufficient_scope", `The token does not allow ${missing.join(", ")}.`);
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

/** What opened an operation. */
interface Opened {
  /** "" when no key is asked for. */
  readonly keyId: string;
  readonly token: TokenInfo | undefined;
}

const OPEN: Opened = { keyId: "", token: undefined };

function asksForTokens({ security }: Pick<ApiOperation, "security">): boolean {
  return security.some((places) => places.some(isTokenPlace));
}

/** For operations that ask for keys only, without a promise. @throws ApiRefusal 401 */
function open(api: ServedApi, operation: ApiOperation, request: RestRequest): Opened {
  const { security } = operation;
  if (security.length === 0) return OPEN;
  for (const places of security) {
    const ids = places.filter(isKeyPlace).map((place) => keyIdOf(api, place, request));
    if (ids[0] !== undefined && !ids.includes(undefined)) return { keyId: ids[0], token: undefined };
  }
  throw wanted(operation);
}

function wanted(operation: ApiOperation): ApiRefusal {
  const list = operation.security.map((places) => places.map(nameOf).join(" and ")).join(", or ");
  if (!asksForTokens(operation)) {
    return new ApiRefusal("keyRefused", 401, `This API wants a key of its own: ${list}.`);
  }
  return new ApiRefusal("tokenRefused", 401, `This API wants: ${list}.`, {
    headers: [["WWW-Authenticate", 'Bearer realm="weft"']],
  });
}

function nameOf(place: Credential): string {
  if (place.in !== "bearer") return `${place.in} ${place.name}`;
  return `Authorization: Bearer with a token of ${place.provider}`;
}

/** RFC 6750, section 3. */
function tokenRefusal(status: number, error: string, message: string): ApiRefusal {
  return new ApiRefusal("tokenRefused", status, message, {
    headers: [["WWW-Authenticate", `Bearer realm="weft", error="${error}"`]],
  });
}

function isKeyPlace(place: Credential): place is KeyPlace {
  return place.in !== "bearer";
}

function isTokenPlace(place: Credential): place is TokenPlace {
  return place.in === "bearer";
}

function keyIdOf(api: ServedApi, place: KeyPlace, request: RestRequest): string | undefined {
  const secret = presented(request, place);
  return secret === undefined ? undefined : api.keyOf(secret);
}

function presented(request: RestRequest, place: KeyPlace): string | undefined {
  if (place.in === "query") return new URLSearchParams(queryOf(request.target)).get(place.name) ?? undefined;
  return headerOf(request, place.name);
}

/** "" without one. */
function bearerOf(request: RestRequest): string {
  return /^bearer +([\w.~+/-]+=*) *$/i.exec(headerOf(request, "authorization") ?? "")?.[1] ?? "";
}

function headerOf({ headers }: RestRequest, name: string): string | undefined {
  return Object.hasOwn(headers, name) ? headers[name] : undefined;
}

/** What an action is told of the token; what a caller sends under these names is dropped where tokens may be asked for. */
const IDENTITY_HEADERS = ["x-oidc-sub", "x-oidc-email", "x-oidc-scope"] as const;

function identityHeaders(token: TokenInfo): Readonly<Record<(typeof IDENTITY_HEADERS)[number], string>> {
  return { "x-oidc-sub": token.subject, "x-oidc-email": token.email, "x-oidc-scope": token.scopes.join(" ") };
}

function asBackend(request: RestRequest, operation: ApiOperation, opened: Opened): RestRequest {
  const { backend } = operation;
  const query = [backend.query, queryOf(request.target)].filter((one) => one !== "").join("&");
  return {
    ...request,
    method: backend.verb ?? request.method,
    target: query === "" ? "/" : `/?${query}`,
    headers: headersFor(request.headers, operation, opened),
  };
}

/** The request's own where nothing is set or dropped, which is the usual case. */
function headersFor(given: RestRequest["headers"], operation: ApiOperation, { token }: Opened): RestRequest["headers"] {
  const { backend } = operation;
  const withTokens = asksForTokens(operation);
  if (!withTokens && backend.headers.size === 0) return given;
  const headers = { ...given };
  if (withTokens) {
    for (const name of IDENTITY_HEADERS) Reflect.deleteProperty(headers, name);
    if (token) Object.assign(headers, identityHeaders(token));
  }
  return Object.assign(headers, Object.fromEntries(backend.headers));
}
