import type { Clock } from "../base/clock.js";
import { invalidField, toWeftError, WeftError } from "../base/errors.js";
import type { Random } from "../base/random.js";
import { Violations } from "../base/violations.js";
import { valueOf } from "../core/action/key-values.js";
import { isText, PAGE_SIZE_MAX, readPage } from "../core/action/page.js";
import type { Action } from "../core/action/types.js";
import { parseDocument } from "../core/api/json.js";
import { importedApi, withOperation, withoutOperation } from "../core/api/document.js";
import { newApiKey } from "../core/api/keys.js";
import { checkProviders } from "../core/api/oauth.js";
import { checkVerb, compileRoutes, operationsIn, type ApiRoutes } from "../core/api/routes.js";
import { providersAsked } from "../core/api/security.js";
import type { ApiStore } from "../core/api/store.js";
import { checkBasePath, normalBasePath, parametersOf, parseTemplate } from "../core/api/template.js";
import { API_NAME_LENGTH_MAX, type ApiDraft, type StoredApi } from "../core/api/types.js";
import { FORMATS, type WebFormat } from "../core/web/path.js";
import { decimal } from "../core/web/whisk-auth.js";
import { ownNamespace } from "../core/tenancy/identity.js";
import { isKeyUuid } from "../core/tenancy/key.js";
import { resolveName } from "../core/tenancy/name.js";
import {
  ApiServiceService,
  type Api as WireApi,
  type CreateApiKeyRequest,
  type CreateApiKeyResponse,
  type CreateOperationRequest,
  type DeleteApiKeyRequest,
  type DeleteApiKeyResponse,
  type DeleteApiRequest,
  type DeleteApiResponse,
  type GetApiRequest,
  type ImportApiRequest,
  type ListApiKeysRequest,
  type ListApiKeysResponse,
  type ListApisRequest,
  type ListApisResponse,
} from "../gen/weft/api/v1/api.pb.js";
import type { CallContext } from "../rpc/call-context.js";
import type { RpcServer } from "../rpc/server.js";
import { callerOf } from "./caller.js";
import type { Resolver } from "./resolver.js";
import { apiKeyToWire, apiToWire, revisionOfEtag } from "./wire.js";

export interface ApiServiceDeps {
  readonly apis: ApiStore;
  readonly resolver: Pick<Resolver, "resolve">;
  /** Names of the providers whose tokens gateways can check. */
  readonly tokenProviders: ReadonlySet<string>;
  readonly clock: Clock;
  /** Unpredictable: keys are made from it. */
  readonly random: Random;
}

/** Tries of a write without an etag when others write at the same time. */
const TRIES_MAX = 5;
const HEADER_NAME = /^[A-Za-z0-9-]{1,128}$/;
const REST_URL = /^https?:\/\/[A-Za-z0-9.:[\]-]{1,256}$/;

export class ApiService {
  constructor(private readonly deps: ApiServiceDeps) {}

  register(server: RpcServer): void {
    server.serveService(ApiServiceService, {
      createOperation: (ctx: CallContext, request: CreateOperationRequest) => this.createOperation(ctx, request),
      importApi: (ctx: CallContext, request: ImportApiRequest) => this.import(ctx, request),
      getApi: (ctx: CallContext, request: GetApiRequest) => this.get(ctx, request),
      listApis: (ctx: CallContext, request: ListApisRequest) => this.list(ctx, request),
      deleteApi: (ctx: CallContext, request: DeleteApiRequest) => this.delete(ctx, request),
      createApiKey: (ctx: CallContext, request: CreateApiKeyRequest) => this.createKey(ctx, request),
      listApiKeys: (ctx: CallContext, request: ListApiKeysRequest) => this.listKeys(ctx, request),
      deleteApiKey: (ctx: CallContext, request: DeleteApiKeyRequest) => this.deleteKey(ctx, request),
    });
  }

  async createOperation(ctx: CallContext, request: CreateOperationRequest): Promise<WireApi> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    const violations = new Violations();
    const basePath = violations.try(() => checkBasePath("base_path", request.basePath)) ?? "";
    const template = violations.try(() => parseTemplate("path", request.path)) ?? [];
    const verb = violations.try(() => checkVerb("verb", request.verb)) ?? "GET";
    const action = violations.try(() => resolveName("action", request.action, namespace));
    const format = request.responseType || (parametersOf(template).length > 0 ? "http" : "json");
    if (!isFormat(format)) violations.add("response_type", `must be one of ${FORMATS.join(", ")}, not "${format}"`);
    if (request.restUrl !== "" && !REST_URL.test(request.restUrl)) {
      violations.add("rest_url", 'must be "http://HOST" or "https://HOST"');
    }
    if (request.keyHeader !== "" && !HEADER_NAME.test(request.keyHeader)) {
      violations.add("key_header", 'must be the name of a header: letters, digits and "-"');
    }
    violations.check();
    const named = action ?? { namespace, name: "" };
    const checked = request.unchecked ? undefined : await this.#webAction(namespace, named.namespace, named.name);
    const operation = {
      namespace,
      basePath,
      name: request.name,
      path: request.path,
      verb,
      action: named,
      format: format as WebFormat,
      secret: request.secret || (checked ?? ""),
      restUrl: request.restUrl,
      pathParameters: request.pathParameters.map(({ name, description }) =>
        description === "" ? { name } : { name, description },
      ),
      rateLimits: request.rateLimits.map(({ rate, unit, units }) => ({ rate, unit, units: units === 0 ? 1 : units })),
      keyHeader: request.keyHeader,
    };
    return this.#write(namespace, basePath, undefined, (before) => withOperation(operation, before?.documentJson));
  }

  async import(ctx: CallContext, request: ImportApiRequest): Promise<WireApi> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    const draft = importedApi(namespace, Buffer.from(request.documentJson).toString("utf8"));
    const securities = operationsIn(routesOf(draft)).map(({ security }) => security);
    checkProviders(providersAsked(securities), this.deps.tokenProviders);
    return this.#write(namespace, draft.basePath, revisionOfEtag(request.etag), () => draft);
  }

  async get(ctx: CallContext, request: GetApiRequest): Promise<WireApi> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    const api = await this.#named(namespace, request.api);
    return apiToWire(api, routesOf(api), true);
  }

  async list(ctx: CallContext, request: ListApisRequest): Promise<ListApisResponse> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    const { api, path, withDocuments } = request;
    const violations = new Violations();
    const verb = request.verb === "" ? undefined : violations.try(() => checkVerb("verb", request.verb));
    const page = readPage(request, ["apis", namespace, api, path, verb], isText, violations);
    violations.check();
    const matches = (one: StoredApi, routes: ApiRoutes): boolean =>
      (api === "" || one.basePath === normalBasePath(api) || one.name === api) &&
      operationsOfPath(routes, path).some((operation) => verb === undefined || operation.verb === verb);
    const { apis } = this.deps;
    if (api === "" && path === "" && verb === undefined) {
      const { entries, more } = await apis.listApis({ namespace, ...page.query });
      const last = entries.at(-1);
      return {
        apis: entries.map((one) => apiToWire(one, routesOf(one), withDocuments)),
        nextPageToken: more && last ? page.next(last.basePath) : "",
      };
    }
    // There are few: what is filtered is looked for among all that follow.
    const found: WireApi[] = [];
    let skip = page.skip;
    let after = page.after;
    for (;;) {
      const { entries, more } = await apis.listApis({ namespace, ...page.query, limit: PAGE_SIZE_MAX, skip: 0, after });
      for (const one of entries) {
        const routes = routesOf(one);
        if (!matches(one, routes) || skip-- > 0) continue;
        found.push(apiToWire(one, routes, withDocuments));
        if (found.length === page.size) return { apis: found, nextPageToken: page.next(one.basePath) };
      }
      const last = entries.at(-1);
      if (!more || !last || found.length > 0) {
        return { apis: found, nextPageToken: more && last ? page.next(last.basePath) : "" };
      }
      after = last.basePath;
    }
  }

  async delete(ctx: CallContext, request: DeleteApiRequest): Promise<DeleteApiResponse> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    const { path } = request;
    const expected = revisionOfEtag(request.etag);
    const verb = request.verb === "" ? undefined : checkVerb("verb", request.verb);
    if (verb !== undefined && path === "") throw invalidField("verb", "needs a path");
    const { apis } = this.deps;
    await this.#again(expected, async () => {
      const api = await this.#named(namespace, request.api);
      if (expected !== undefined && expected !== api.revision) throw stale(api);
      const left = path === "" ? undefined : withoutOperation(api, path, verb);
      if (left) await apis.updateApi(left, api.revision);
      else await apis.deleteApi(namespace, api.basePath, path === "" ? expected : api.revision);
    });
    return {};
  }

  async createKey(ctx: CallContext, request: CreateApiKeyRequest): Promise<CreateApiKeyResponse> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    const { note } = request;
    if (note.length > API_NAME_LENGTH_MAX) {
      throw invalidField("note", `longer than allowed: ${note.length} > ${API_NAME_LENGTH_MAX} characters`);
    }
    if (!isText(note)) throw invalidField("note", "must not contain the character NUL");
    const { basePath } = await this.#named(namespace, request.api);
    const { apis, clock, random } = this.deps;
    const { key, secret } = newApiKey({ namespace, basePath, note }, random, clock.wallMs());
    await apis.addApiKey(key);
    return { key: apiKeyToWire(key), secret };
  }

  async listKeys(ctx: CallContext, request: ListApiKeysRequest): Promise<ListApiKeysResponse> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    const { basePath } = await this.#named(namespace, request.api);
    return { keys: (await this.deps.apis.listApiKeys(namespace, basePath)).map(apiKeyToWire) };
  }

  async deleteKey(ctx: CallContext, request: DeleteApiKeyRequest): Promise<DeleteApiKeyResponse> {
    const namespace = ownNamespace(callerOf(ctx), "namespace", request.namespace);
    if (!isKeyUuid(request.id)) throw invalidField("id", "must be the id of a key");
    const { basePath } = await this.#named(namespace, request.api);
    await this.deps.apis.deleteApiKey(namespace, basePath, request.id);
    return {};
  }

  /** By base path, or by a name that is unique. @throws notFound; failedPrecondition AMBIGUOUS_API */
  async #named(namespace: string, api: string): Promise<StoredApi> {
    if (api === "") throw invalidField("api", "is required: the base path or name of an API");
    if (!isText(api)) throw noSuchApi(api);
    const { apis } = this.deps;
    if (api.startsWith("/")) return apis.getApi(namespace, normalBasePath(api));
    const [found, another] = await apis.findApis(namespace, api);
    if (!found) throw noSuchApi(api);
    if (!another) return found;
    throw new WeftError("failedPrecondition", "AMBIGUOUS_API", `several APIs have the name '${api}'`, {
      fix: "name it by its base path",
    });
  }

  /**
   * Writes what is made of what is there, and makes it again when somebody else wrote in between.
   * @param make of the API that is there, or of nothing
   */
  async #write(
    namespace: string,
    basePath: string,
    expected: number | undefined,
    make: (before: StoredApi | undefined) => ApiDraft,
  ): Promise<WireApi> {
    const { apis } = this.deps;
    return this.#again(expected, async () => {
      const before = await this.#there(namespace, basePath);
      if (expected !== undefined && expected !== before?.revision) {
        throw before ? stale(before) : noSuchApi(basePath);
      }
      const draft = make(before);
      const written = before ? await apis.updateApi(draft, before.revision) : await apis.createApi(draft);
      return apiToWire(written, routesOf(written), true);
    });
  }

  async #there(namespace: string, basePath: string): Promise<StoredApi | undefined> {
    try {
      return await this.deps.apis.getApi(namespace, basePath);
    } catch (thrown) {
      if (toWeftError(thrown).kind !== "notFound") throw thrown;
      return undefined;
    }
  }

  /** What lost a race is done again, unless the caller said what he had read. */
  async #again<T>(expected: number | undefined, act: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await act();
      } catch (thrown) {
        const { kind, reason } = toWeftError(thrown);
        const raced = kind === "conflict" || reason === "API_EXISTS" || (tries > 1 && reason === "API_NOT_FOUND");
        if (!raced || expected !== undefined || tries >= TRIES_MAX) throw thrown;
      }
    }
  }

  /** What is wrong with somebody else's is his business. @throws notFound */
  async #action(caller: string, namespace: string, name: string): Promise<Action> {
    try {
      return (await this.deps.resolver.resolve(namespace, name, namespace)).action;
    } catch (thrown) {
      const { kind } = toWeftError(thrown);
      if (namespace === caller || kind === "unavailable" || kind === "internal") throw thrown;
      throw noSuchAction(namespace, name);
    }
  }

  /** @returns the secret that it asks for, when it is the caller's own. @throws notFound, failedPrecondition */
  async #webAction(caller: string, namespace: string, name: string): Promise<string | undefined> {
    const action = await this.#action(caller, namespace, name);
    if (valueOf(action.annotations, "web-export") !== "true") {
      if (namespace !== caller) throw noSuchAction(namespace, name);
      throw new WeftError("failedPrecondition", "NOT_WEB_ACTION", `action ${namespace}/${name} is no web action`, {
        fix: `weft action update ${name} --web true`,
      });
    }
    const asked = valueOf(action.annotations, "require-whisk-auth")?.trim();
    if (namespace !== caller || asked === undefined || asked === "false") return undefined;
    if (asked.startsWith('"')) return JSON.parse(asked) as string;
    return decimal(asked);
  }
}

function routesOf(api: Pick<StoredApi, "documentJson">): ApiRoutes {
  return compileRoutes(parseDocument("document", api.documentJson));
}

function operationsOfPath(routes: ApiRoutes, path: string): ReturnType<typeof operationsIn> {
  return operationsIn(routes).filter((operation) => path === "" || operation.path === path);
}

function isFormat(text: string): text is WebFormat {
  return (FORMATS as readonly string[]).includes(text);
}

function stale(api: StoredApi): WeftError {
  return new WeftError(
    "conflict",
    "STALE_ETAG",
    `API '${api.basePath}' was changed meanwhile: its etag is ${api.revision}`,
  );
}

function noSuchApi(api: string): WeftError {
  return new WeftError("notFound", "API_NOT_FOUND", `API '${api}' does not exist`);
}

function noSuchAction(namespace: string, name: string): WeftError {
  return new WeftError("notFound", "WEB_ACTION_NOT_FOUND", `there is no web action ${namespace}/${name}`);
}
