// APIs as their callers need them: compiled, with their keys. Answers are kept until a controller says that they changed.
//
//   P1. What was asked before a change was told is not kept: the answer may be older than the change.
//   P2. A tenant without APIs is not asked for again for UNKNOWN_MS, unless a change of his is told.
//   P3. All base paths of a tenant are known before one of his APIs is served: another one may be the longer match.

import { createHash } from "node:crypto";
import type { Clock } from "../base/clock.js";
import { toWeftError } from "../base/errors.js";
import { parseDocument } from "../core/api/json.js";
import { isTenantId, tenantIdOf } from "../core/api/keys.js";
import { compileRoutes, type ApiRoutes } from "../core/api/routes.js";
import { basePathFor, parseRequestPath, pathBelow, type RequestPath } from "../core/api/template.js";
import type { Change, ResolvedApi } from "../gen/weft/link/v1/control.pb.js";
import type { ControllerClient } from "./controller-client.js";
import type { GatewayMetrics } from "./metrics.js";
import type { ServedApi } from "./native-api.js";
import { RecentMap } from "./recent-map.js";
import { utf8 } from "./wire.js";

/** Documents that are kept, bytes of their text. Compiled they are about as large. */
const CACHED_BYTES_MAX = 64 * 1024 * 1024;
/** What is kept of an API however small it is. */
const API_BYTES = 2_048;
/** Tenants without APIs that are remembered. */
const UNKNOWN_MAX = 10_000;
const UNKNOWN_MS = 500;

interface KnownApi {
  readonly namespace: string;
  readonly routes: ApiRoutes;
  /** Ids of keys by the hex of their hashes. */
  readonly keys: ReadonlyMap<string, string>;
  readonly bytes: number;
}

interface Tenant {
  readonly basePaths: readonly string[];
  readonly apis: Map<string, KnownApi>;
}

export interface ApiCacheDeps {
  readonly controller: Pick<ControllerClient, "resolveApi">;
  readonly clock: Clock;
  readonly metrics: Pick<GatewayMetrics, "apiHits" | "apiMisses">;
}

export class ApiCache {
  readonly #tenants = new Map<string, Tenant>();
  /** Until when, monotonic. */
  readonly #unknown = new RecentMap<string, number>(UNKNOWN_MAX);
  #bytes = 0;
  #size = 0;
  #asked = new Map<string, Promise<KnownApi | undefined>>();
  #changes = 0;

  constructor(private readonly deps: ApiCacheDeps) {}

  /** @returns undefined when no API serves the path. @throws unavailable when nobody can be asked */
  async find(tenantId: string, path: string): Promise<ServedApi | undefined> {
    if (!isTenantId(tenantId)) return undefined;
    const parsed = parseRequestPath(path);
    if (!parsed) return undefined;
    const tenant = this.#tenants.get(tenantId);
    if (tenant) {
      const basePath = basePathFor(tenant.basePaths, parsed); // P3
      if (basePath === undefined) return undefined;
      const known = tenant.apis.get(basePath);
      if (known) {
        this.deps.metrics.apiHits.inc();
        return served(known, parsed, path);
      }
    } else if ((this.#unknown.get(tenantId) ?? 0) > this.deps.clock.monoMs()) return undefined;
    const found = await this.#ask(tenantId, path);
    return found && served(found, parsed, path);
  }

  changed({ namespace, name, keyUuid }: Change): void {
    // Entities have no slash in front.
    if (keyUuid === "" && (name === "" || name.startsWith("/"))) this.forgetNamespace(namespace);
  }

  forgetNamespace(namespace: string): void {
    this.#forgetAsked();
    const tenantId = tenantIdOf(namespace);
    this.#unknown.delete(tenantId);
    this.#drop(tenantId);
  }

  clear(): void {
    this.#forgetAsked();
    this.#unknown.clear();
    this.#tenants.clear();
    this.#bytes = 0;
    this.#size = 0;
  }

  get size(): number {
    return this.#size;
  }

  #ask(tenantId: string, path: string): Promise<KnownApi | undefined> {
    const flight = `${tenantId}${path}`;
    const known = this.#asked.get(flight);
    if (known) return known;
    this.deps.metrics.apiMisses.inc();
    const among = this.#asked;
    const asking = this.#resolve(tenantId, path).finally(() => among.delete(flight));
    among.set(flight, asking);
    return asking;
  }

  async #resolve(tenantId: string, path: string): Promise<KnownApi | undefined> {
    const asOf = this.#changes;
    let resolved: ResolvedApi;
    try {
      resolved = await this.deps.controller.resolveApi({ tenantId, path });
    } catch (thrown) {
      if (toWeftError(thrown).kind !== "notFound") throw thrown;
      if (asOf === this.#changes) this.#unknown.set(tenantId, this.deps.clock.monoMs() + UNKNOWN_MS); // P1, P2
      return undefined;
    }
    const api = resolved.basePath === "" ? undefined : apiOf(resolved);
    if (asOf === this.#changes) this.#keep(tenantId, resolved, api); // P1
    return api;
  }

  #keep(tenantId: string, { basePaths, basePath }: ResolvedApi, api: KnownApi | undefined): void {
    if (this.#bytes > CACHED_BYTES_MAX) this.#makeRoom();
    let tenant = this.#tenants.get(tenantId);
    if (!tenant) this.#tenants.set(tenantId, (tenant = { basePaths, apis: new Map() }));
    if (!api || tenant.apis.has(basePath)) return;
    tenant.apis.set(basePath, api);
    this.#bytes += api.bytes;
    this.#size += 1;
  }

  /** The tenants that came first go first; asked for again, they come last. */
  #makeRoom(): void {
    for (const tenantId of this.#tenants.keys()) {
      if (this.#bytes <= CACHED_BYTES_MAX / 2) return;
      this.#drop(tenantId);
    }
  }

  #drop(tenantId: string): void {
    const tenant = this.#tenants.get(tenantId);
    if (!tenant) return;
    this.#tenants.delete(tenantId);
    this.#size -= tenant.apis.size;
    for (const { bytes } of tenant.apis.values()) this.#bytes -= bytes;
  }

  #forgetAsked(): void {
    this.#changes += 1;
    this.#asked = new Map();
  }
}

function apiOf({ namespace, documentJson, keys }: ResolvedApi): KnownApi {
  return {
    namespace,
    routes: compileRoutes(parseDocument("document", utf8(documentJson))),
    keys: new Map(keys.map(({ id, secretHash }) => [Buffer.from(secretHash).toString("hex"), id])),
    bytes: documentJson.length + API_BYTES,
  };
}

function served({ namespace, routes, keys }: KnownApi, parsed: RequestPath, path: string): ServedApi {
  const below = pathBelow(routes.basePath, parsed);
  const end = path.endsWith("/") ? "/" : "";
  return {
    namespace,
    routes,
    below,
    rest: below.raw.length === 0 ? end : `/${below.raw.join("/")}${end}`,
    keyOf: (secret) => keys.get(createHash("sha256").update(secret).digest("hex")),
  };
}
