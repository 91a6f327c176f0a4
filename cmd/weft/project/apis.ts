// APIs of the gateway, by the calls that every OpenWhisk client makes for `api create`, `list` and `delete`.

import { WeftError } from "../../../internal/base/errors.js";
import type { Cli } from "../cli-context.js";
import { fetchJson } from "../rest-client.js";
import { apiKey, type ApiState } from "./state.js";

/** The state of APIs here, by `apiKey`. @returns undefined when this installation has no API gateway */
export async function readApis(cli: Cli): Promise<ReadonlyMap<string, ApiState> | undefined> {
  const found = new Map<string, ApiState>();
  for (let skip = 0; ; skip += PAGE_SIZE) {
    const page = await readPage(cli, skip);
    if (!page) return undefined;
    const known = found.size;
    for (const { value } of page) {
      for (const one of value?.apidoc ? operationsOf(value.apidoc) : []) found.set(apiKey(one), one);
    }
    // Not every server knows pages: one that does not tells the same again.
    if (page.length < PAGE_SIZE || found.size === known) return found;
  }
}

const PAGE_SIZE = 200;

type Listed = readonly { readonly value?: { readonly apidoc?: ApiDocument } }[];

async function readPage(cli: Cli, skip: number): Promise<Listed | undefined> {
  try {
    const answer = await call(cli, "GET", "getApi", { limit: String(PAGE_SIZE), skip: String(skip) });
    return (answer as { readonly apis?: Listed }).apis ?? [];
  } catch (thrown) {
    if (thrown instanceof WeftError && thrown.kind === "notFound") return undefined;
    throw thrown;
  }
}

/** As it is read: a Swagger document. */
export interface ApiDocument {
  readonly basePath?: string;
  readonly info?: { readonly title?: string };
  readonly paths?: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

interface Operation {
  readonly "x-openwhisk"?: { readonly url?: string; readonly package?: string; readonly action?: string };
}

/** Operations that call an action. */
export function operationsOf({ basePath = "/", info, paths = {} }: ApiDocument): ApiState[] {
  return Object.entries(paths).flatMap(([path, verbs]) =>
    Object.entries(verbs).flatMap(([verb, operation]) => {
      const calls = operation["x-openwhisk"];
      if (!calls?.action) return [];
      const inPackage = calls.package && calls.package !== "default" ? `${calls.package}/` : "";
      return [
        {
          title: info?.title ?? basePath,
          basePath,
          path,
          verb: verb.toLowerCase(),
          action: `${inPackage}${calls.action}`,
          responseType: /\.([a-z]+)(\$\(request\.path\))?$/.exec(calls.url ?? "")?.[1] ?? "json",
        },
      ];
    }),
  );
}

/** Adds an operation; one that is there is replaced. */
export async function createApi(cli: Cli, namespace: string, api: ApiState): Promise<void> {
  const { rest, auth } = cli.connection;
  const parameters = [...api.path.matchAll(/\{([^/{}]+)\}/g)].map(([, name = ""]) => ({
    name,
    in: "path",
    description: `Part ${name} of the path`,
    required: true,
    type: "string",
  }));
  const place = api.action.includes("/") ? api.action : `default/${api.action}`;
  const path = [namespace, ...place.split("/")].map(encodeURIComponent).join("/");
  const apidoc = {
    namespace,
    apiName: api.title,
    gatewayBasePath: api.basePath,
    gatewayPath: api.path,
    gatewayMethod: api.verb.toUpperCase(),
    id: `API:${namespace}:${api.basePath}`,
    action: {
      name: api.action,
      namespace,
      backendMethod: api.verb.toUpperCase(),
      backendUrl: `${rest}/api/v1/web/${path}.http`,
      authkey: auth,
    },
    pathParameters: parameters,
  };
  await call(cli, "POST", "createApi", { responsetype: api.responseType }, JSON.stringify({ apidoc }));
}

export async function deleteApi(cli: Cli, { basePath, path, verb }: ApiState): Promise<void> {
  await call(cli, "DELETE", "deleteApi", { basepath: basePath, relpath: path, operation: verb });
}

function call(
  cli: Cli,
  method: string,
  name: string,
  query: Readonly<Record<string, string>>,
  body?: string,
): Promise<unknown> {
  const { rest, auth, trust } = cli.connection;
  // OpenWhisk's clients send these two; a token is not asked for.
  const all = new URLSearchParams({ accesstoken: "DUMMY TOKEN", spaceguid: auth.split(":")[0] ?? "", ...query });
  const path = `/api/v1/web/whisk.system/apimgmt/${name}.http?${all.toString()}`;
  return cli.screen.progress(
    `${name} at ${rest}`,
    fetchJson({
      base: rest,
      path,
      method,
      auth,
      ...trust,
      signal: cli.io.signal,
      ...(body === undefined ? {} : { body }),
    }),
  );
}
