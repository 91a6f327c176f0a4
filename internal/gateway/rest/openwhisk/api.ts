// OpenWhisk's REST API over the native one. A request comes in as bytes, whatever carried it, and goes out as bytes.
//
// The order of checks is part of the contract: OPTIONS and the anonymous documents first, then credentials before
// anything else (a path that does not exist is 401 to a stranger), then names, then the body.

import FindMyWay from "find-my-way";
import { toWeftError } from "../../../base/errors.js";
import type { Log } from "../../../base/log.js";
import type { Random } from "../../../base/random.js";
import type { NativeApi } from "../../native-api.js";
import { jsonResponse, pathOf, queryOf, textResponse, type RestRequest, type RestResponse } from "../message.js";
import { requestId } from "../request-id.js";
import { deleteAction, getAction, listActions, listPackageActions, putAction } from "./actions.js";
import { getActivation, getActivationLogs, getActivationResult, listActivations } from "./activations.js";
import { OpenWhiskCall } from "./call.js";
import { docsPage } from "./docs-pages.js";
import { apiDocument, hostDocument, limitsDocument, type HostInfo } from "./documents.js";
import { fireTrigger, invokeAction } from "./invoke.js";
import { deletePackage, getPackage, listPackages, putPackage } from "./packages.js";
import { Query } from "./query.js";
import { Refusal, refusalOf } from "./refusal.js";
import { deleteRule, getRule, listRules, putRule, setRuleStatus } from "./rules.js";
import { apiSwagger, hostSwagger, type DescribedRoute } from "./swagger.js";
import { deleteTrigger, getTrigger, listTriggers, putTrigger } from "./triggers.js";
import { hookTokenOf, Hooks } from "../hooks/hooks.js";
import type { Rates } from "../../../core/throttle/window.js";
import { ApiGateway, apiPathOf, type ApiAnswer } from "../apis/api-gateway.js";
import { ApiManagement, managementOf } from "../apis/management.js";
import type { TokenChecks } from "../apis/token-checks.js";
import { WebActions, webPathOf } from "../web/web-actions.js";

export interface OpenWhiskApiDeps {
  readonly api: NativeApi;
  readonly random: Random;
  readonly log: Log;
  readonly info: HostInfo;
  /** Of APIs. */
  readonly rates: Rates;
  /** Of APIs. */
  readonly tokens: Pick<TokenChecks, "check" | "needsAppToken">;
  /** Told how each request to an API went. */
  readonly apiAnswered: (answer: ApiAnswer) => void;
}

type Handler = (call: OpenWhiskCall) => RestResponse | Promise<RestResponse>;
type Method = "GET" | "PUT" | "POST" | "DELETE";

interface Route {
  readonly path: string;
  readonly handlers: Partial<Record<Method, { readonly summary: string; readonly handle: Handler }>>;
  /** Other verbs are "no such resource" instead of "not allowed". */
  readonly hidesOthers?: boolean;
}

const BASE = "/api/v1";
const NAMESPACE = `${BASE}/namespaces/:namespace`;

const on = (summary: string, handle: Handler): { readonly summary: string; readonly handle: Handler } => ({
  summary,
  handle,
});

const ACTION: Route["handlers"] = {
  GET: on("read an action", getAction),
  PUT: on("create or update an action", putAction),
  POST: on("invoke an action", invokeAction),
  DELETE: on("delete an action", deleteAction),
};

const ROUTES: readonly Route[] = [
  ...withSlash({ path: `${BASE}/namespaces`, handlers: { GET: on("list namespaces", listNamespaces) } }),
  ...withSlash({ path: `${NAMESPACE}/actions`, handlers: { GET: on("list actions", listActions) } }),
  { path: `${NAMESPACE}/actions/:name`, handlers: ACTION },
  {
    path: `${NAMESPACE}/actions/:package/`,
    handlers: { GET: on("list the actions of a package", listPackageActions) },
    hidesOthers: true,
  },
  { path: `${NAMESPACE}/actions/:package/:name`, handlers: ACTION },
  ...withSlash({ path: `${NAMESPACE}/triggers`, handlers: { GET: on("list triggers", listTriggers) } }),
  {
    path: `${NAMESPACE}/triggers/:name`,
    handlers: {
      GET: on("read a trigger", getTrigger),
      PUT: on("create or update a trigger", putTrigger),
      POST: on("fire a trigger", fireTrigger),
      DELETE: on("delete a trigger", deleteTrigger),
    },
  },
  ...withSlash({ path: `${NAMESPACE}/rules`, handlers: { GET: on("list rules", listRules) } }),
  {
    path: `${NAMESPACE}/rules/:name`,
    handlers: {
      GET: on("read a rule", getRule),
      PUT: on("create or update a rule", putRule),
      POST: on("set the status of a rule", setRuleStatus),
      DELETE: on("delete a rule", deleteRule),
    },
  },
  ...withSlash({ path: `${NAMESPACE}/packages`, handlers: { GET: on("list packages", listPackages) } }),
  {
    path: `${NAMESPACE}/packages/:name`,
    handlers: {
      GET: on("read a package", getPackage),
      PUT: on("create or update a package", putPackage),
      DELETE: on("delete a package", deletePackage),
    },
  },
  ...withSlash({ path: `${NAMESPACE}/activations`, handlers: { GET: on("list activations", listActivations) } }),
  ...withSlash({ path: `${NAMESPACE}/activations/:id`, handlers: { GET: on("read an activation", getActivation) } }),
  {
    path: `${NAMESPACE}/activations/:id/result`,
    handlers: { GET: on("read the result of an activation", getActivationResult) },
  },
  {
    path: `${NAMESPACE}/activations/:id/logs`,
    handlers: { GET: on("read the logs of an activation", getActivationLogs) },
  },
  ...withSlash({ path: `${NAMESPACE}/limits`, handlers: { GET: on("read the limits of a namespace", getLimits) } }),
  {
    path: `${NAMESPACE}/limits/:limit`,
    handlers: { GET: on("not a resource", noSuchLimit) },
  },
];

/** Routes as the Swagger document shows them: one path for each, without its other spelling, and nothing that only refuses. */
export const describedRoutes: readonly DescribedRoute[] = ROUTES.filter(
  ({ path, hidesOthers }) => (!path.endsWith("/") || hidesOthers) && !path.endsWith("/:limit"),
).flatMap(({ path, handlers }) => Object.entries(handlers).map(([method, { summary }]) => ({ method, path, summary })));

const CORS: RestResponse["headers"] = [
  ["Access-Control-Allow-Origin", "*"],
  ["Access-Control-Allow-Headers", "Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent"],
  ["Access-Control-Allow-Methods", "GET, DELETE, POST, PUT, HEAD"],
];

export class OpenWhiskApi {
  readonly #router = FindMyWay({
    // Longer names than any are matched too, so that they are told what is wrong with them.
    maxParamLength: 65_536,
    onBadUrl: () => undefined,
  });
  readonly #routes = new WeakMap<object, Route>();
  readonly #web: WebActions;
  readonly #hooks: Hooks;
  readonly #apis: ApiGateway;
  readonly #management: ApiManagement;
  readonly #documents: ReadonlyMap<string, () => RestResponse>;

  constructor(private readonly deps: OpenWhiskApiDeps) {
    for (const route of ROUTES) {
      const marker = (): undefined => undefined;
      this.#routes.set(marker, route);
      this.#router.on("GET", route.path, marker);
    }
    const { info, log } = deps;
    this.#web = new WebActions({
      api: deps.api,
      unforeseen: (error, transactionId) => log.error("a web action failed unforeseen", { transactionId, error }),
    });
    this.#hooks = new Hooks({
      api: deps.api,
      unforeseen: (error, transactionId) => log.error("a webhook failed unforeseen", { transactionId, error }),
    });
    this.#apis = new ApiGateway({
      api: deps.api,
      web: this.#web,
      rates: deps.rates,
      tokens: deps.tokens,
      answered: deps.apiAnswered,
      unforeseen: (error, transactionId) => log.error("a call of an API failed unforeseen", { transactionId, error }),
    });
    this.#management = new ApiManagement({
      api: deps.api,
      unforeseen: (error, transactionId) => log.error("managing an API failed unforeseen", { transactionId, error }),
    });
    const api = (): RestResponse => jsonResponse(200, apiDocument(info));
    this.#documents = new Map<string, () => RestResponse>([
      ["/", () => jsonResponse(200, hostDocument(info))],
      ["/ping", () => textResponse(200, "pong")],
      ["/api-docs", () => jsonResponse(200, hostSwagger(info.build))],
      [BASE, api],
      [`${BASE}/`, api],
      [`${BASE}/api-docs`, () => jsonResponse(200, apiSwagger(BASE, info.build, describedRoutes))],
    ]);
  }

  /** Never rejects: what goes wrong is a response too. */
  async handle(request: RestRequest): Promise<RestResponse> {
    const id = requestId(request.headers["x-request-id"], this.deps.random);
    // Two hosts in one request are an attempt to be two things to two readers.
    if (request.headers["host"]?.includes(",")) {
      return refused(new Refusal(400, "The request has more than one Host header.", { rejection: true }), id);
    }
    const management = managementOf(request.target);
    if (management) {
      return withHeaders(await this.#management.handle(request, management, id), [["X-Request-ID", id]]);
    }
    const apiPath = apiPathOf(request.target);
    if (apiPath) return withHeaders(await this.#apis.handle(request, apiPath, id), [["X-Request-ID", id]]);
    const webPath = webPathOf(request.target);
    if (webPath) return withHeaders(await this.#web.handle(request, webPath, id), [["X-Request-ID", id]]);
    const token = hookTokenOf(request.target);
    if (token !== undefined) return withHeaders(await this.#hooks.handle(request, token, id), [["X-Request-ID", id]]);
    try {
      const response = await this.#answer(request, id);
      return withHeaders(response, [["X-Request-ID", id], ...CORS]);
    } catch (thrown) {
      return refused(thrown instanceof Refusal ? thrown : this.#refusalOf(thrown, id), id);
    }
  }

  async #answer(request: RestRequest, id: string): Promise<RestResponse> {
    const path = pathOf(request.target);
    const ours = path === BASE || path.startsWith(`${BASE}/`);
    if (request.method === "OPTIONS") return textResponse(200, "OK");
    const document = this.#documents.get(path);
    if (document && request.method === "GET") return document();
    if (request.method === "GET" && path.startsWith(`${BASE}/docs`)) {
      const page = docsPage(BASE, request.target, this.deps.info.readDocsFile);
      if (page) return page;
      if (path.startsWith(`${BASE}/docs/`)) throw noSuchResource();
    }
    if (!ours) {
      if (document) throw notAllowed(["GET"]);
      throw noSuchResource();
    }

    const { api } = this.deps;
    const identity = await api.identify(request.headers["authorization"]);
    const { route, params } = this.#find(request);
    const handler = route.handlers[request.method as Method];
    if (!handler) {
      throw route.hidesOthers ? noSuchResource() : notAllowed(Object.keys(route.handlers));
    }
    const context = {
      identity,
      transactionId: id,
      traceparent: request.headers["traceparent"] ?? "",
      ...(request.signal ? { signal: request.signal } : {}),
    };
    const query = new Query(queryOf(request.target));
    return await handler.handle(new OpenWhiskCall({ api, request, identity, context, query, params }));
  }

  #find(request: RestRequest): { readonly route: Route; readonly params: Record<string, string | undefined> } {
    // Paths are registered once, whatever the verb: which verbs one has is looked up in the route.
    const found = this.#router.find("GET", request.target);
    if (!found) throw noSuchResource();
    const route = this.#routes.get(found.handler);
    if (!route) throw new Refusal(400, "The path of the request is malformed.", { rejection: true });
    return { route, params: found.params };
  }

  #refusalOf(thrown: unknown, id: string): Refusal {
    const error = toWeftError(thrown);
    if (error.kind === "internal")
      this.deps.log.error("a REST request failed unforeseen", { transactionId: id, error });
    return refusalOf(error);
  }
}

function withSlash(route: Route): readonly Route[] {
  return [route, { ...route, path: `${route.path}/` }];
}

function refused(refusal: Refusal, id: string): RestResponse {
  const body = `{"error":${JSON.stringify(refusal.message)},"code":${JSON.stringify(id)}}`;
  const response = jsonResponse(refusal.status, body, refusal.headers);
  return withHeaders(response, [["X-Request-ID", id], ...(refusal.rejection ? [] : CORS)]);
}

function withHeaders(response: RestResponse, headers: RestResponse["headers"]): RestResponse {
  return { ...response, headers: [...headers, ...response.headers] };
}

function noSuchResource(): Refusal {
  return new Refusal(404, "The requested resource could not be found.", { rejection: true });
}

function notAllowed(allowed: readonly string[]): Refusal {
  const list = allowed.join(", ");
  return new Refusal(405, `HTTP method not allowed, supported methods: ${list}`, {
    headers: [["Allow", list]],
    rejection: true,
  });
}

function listNamespaces(call: OpenWhiskCall): RestResponse {
  return jsonResponse(200, JSON.stringify([call.identity.namespace]));
}

function getLimits(call: OpenWhiskCall): RestResponse {
  const namespace = call.namespace();
  if (namespace !== call.identity.namespace) {
    throw new Refusal(403, `The supplied authentication is not authorized to access '${namespace}'.`);
  }
  return jsonResponse(200, limitsDocument(call.identity.quota));
}

function noSuchLimit(): RestResponse {
  throw new Refusal(400, "Limits are read all together, at .../limits.");
}
