// APIs: web actions behind paths of one's own.

import { writeFileSync } from "node:fs";
import { extname, resolve } from "node:path";
import { parse as parseYaml } from "yaml";

import {
  ApiServiceService as Service,
  RateLimit,
  type Api,
  type ApiKey,
  type Operation,
} from "../../../internal/gen/weft/api/v1/api.pb.js";
import type { Cli } from "../cli-context.js";
import { pretty, RawJson } from "../json-text.js";
import { iso, time, usage } from "../output.js";
import { readText } from "../params.js";
import type { Values, Verb } from "../spec.js";
import { listed, somePage, type Page, type PageRequest } from "./pages.js";

const EXAMPLE = "weft api create /hello /world get hello";

export const createApi: Verb = async (cli, [basePath, path, verb, action], values) => {
  const file = values.text("config-file");
  if (file !== undefined) {
    if (basePath !== undefined) throw usage("a file says everything: leave out paths, verb and action");
    const documentJson = Buffer.from(jsonOf(file, await readText(file, cli.io)));
    const api = await cli.call(Service.importApi, { namespace: cli.namespace, documentJson, etag: "" });
    done(cli, api, api.operations);
    return;
  }
  if (basePath === undefined || path === undefined || verb === undefined || action === undefined) {
    throw usage("which action stands behind which path? give base path, path, verb and action", EXAMPLE);
  }
  const api = await cli.call(Service.createOperation, {
    namespace: cli.namespace,
    basePath,
    name: values.text("name") ?? "",
    path,
    verb,
    action,
    responseType: values.text("response-type") ?? "",
    secret: "",
    restUrl: cli.connection.rest,
    pathParameters: [],
    unchecked: false,
    rateLimits: rateLimits(values),
    keyHeader: values.text("key-header") ?? "",
  });
  const made = api.operations.filter((one) => one.path === path && one.verb === verb.toUpperCase());
  done(cli, api, made);
};

export const getApi: Verb = async (cli, [name = ""], values) => {
  const api = await orMeant(cli, name, cli.call(Service.getApi, { namespace: cli.namespace, api: name }));
  const document = Buffer.from(api.documentJson).toString("utf8");
  const save = values.text("save");
  if (save !== undefined) {
    writeFileSync(resolve(cli.io.cwd, save), `${pretty(document)}\n`);
    cli.screen.say(`saved the document to ${save}`);
    return;
  }
  if (cli.screen.json) {
    cli.screen.printJson({ ...apiJson(cli, api), document: new RawJson(document) });
    return;
  }
  cli.screen.fields([
    ["API", api.name],
    ["base path", api.basePath],
    ["URL", urlOf(cli, api)],
    ["CORS", api.cors ? "any origin" : "none"],
    ["updated", time(api.updateTime)],
  ]);
  operationsTable(cli, [api]);
};

export const listApis: Verb = async (cli, _args, values) => {
  const apis = await listed(cli, values, pageOf(cli));
  if (cli.screen.json) cli.screen.printJson(apis.map((api) => apiJson(cli, api)));
  else operationsTable(cli, apis);
};

export const deleteApi: Verb = async (cli, [name = "", path, verb]) => {
  const request = { namespace: cli.namespace, api: name, path: path ?? "", verb: verb ?? "", etag: "" };
  await orMeant(cli, name, cli.call(Service.deleteApi, request));
  const what = [verb?.toUpperCase(), path, path === undefined ? "" : "of"].filter(Boolean).join(" ");
  if (cli.screen.json) cli.screen.printJson({ deleted: name, path, verb });
  else cli.screen.say(`deleted ${what === "" ? "" : `${what} `}API ${name}`);
};

export const apiKey: Verb = async (cli, [what = "", api = "", id], values) => {
  const { namespace } = cli;
  switch (what) {
    case "create": {
      const request = { namespace, api, note: values.text("note") ?? "" };
      const { key, secret } = await orMeant(cli, api, cli.call(Service.createApiKey, request));
      if (cli.screen.json) cli.screen.printJson({ ...(key ? keyJson(key) : {}), secret });
      else {
        cli.screen.print(secret);
        cli.screen.say(`created key ${key?.id ?? ""}; its secret is shown only now`);
      }
      return;
    }
    case "list": {
      const { keys } = await orMeant(cli, api, cli.call(Service.listApiKeys, { namespace, api }));
      if (cli.screen.json) cli.screen.printJson(keys.map(keyJson));
      else {
        cli.screen.table(keys, [
          { title: "ID", value: (key) => key.id },
          { title: "NOTE", value: (key) => key.note },
          { title: "CREATED", value: (key) => time(key.createTime) },
        ]);
      }
      return;
    }
    case "delete":
      if (id === undefined) throw usage("which key? give its id", `weft api key list ${api}`);
      await orMeant(cli, api, cli.call(Service.deleteApiKey, { namespace, api, id }));
      if (cli.screen.json) cli.screen.printJson({ deleted: id });
      else cli.screen.say(`revoked key ${id}`);
      return;
    default:
      throw usage(
        `"${what}" is nothing to do with keys: there are create, list and delete`,
        "weft api key create /hello",
      );
  }
};

/** JSON stays as it is written; YAML becomes JSON. */
function jsonOf(file: string, text: string): string {
  if (![".yaml", ".yml"].includes(extname(file).toLowerCase())) return text;
  try {
    return JSON.stringify(parseYaml(text));
  } catch (thrown) {
    throw usage(`${file} is no YAML: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  }
}

function rateLimits(values: Values): RateLimit[] {
  const text = values.text("rate");
  if (text === undefined) return [];
  const match = /^(\d{1,9})\/(second|minute|hour|day)$/.exec(text);
  if (!match) throw usage(`--rate ${text}: must be NUMBER/UNIT, with a unit of second, minute, hour or day`);
  return [RateLimit.fromPartial({ rate: Number(match[1]), unit: match[2] ?? "", units: 1 })];
}

function orMeant<T>(cli: Cli, name: string, call: Promise<T>): Promise<T> {
  const names = (): Promise<readonly string[]> => somePage(pageOf(cli), (api) => api.basePath);
  return cli.meant(name, call, names, "weft api list");
}

function pageOf(cli: Cli): (request: PageRequest) => Promise<Page<Api>> {
  return async (request) => {
    const { apis, nextPageToken } = await cli.call(Service.listApis, {
      namespace: cli.namespace,
      ...request,
      api: "",
      path: "",
      verb: "",
      withDocuments: false,
    });
    return { entries: apis, next: nextPageToken };
  };
}

function done(cli: Cli, api: Api, operations: readonly Operation[]): void {
  if (cli.screen.json) cli.screen.printJson(apiJson(cli, api));
  else {
    for (const { verb, path } of operations) cli.screen.print(`${verb} ${urlOf(cli, api)}${path}`);
    cli.screen.say(`stored API ${api.name}`);
  }
}

function operationsTable(cli: Cli, apis: readonly Api[]): void {
  const rows = apis.flatMap((api) => api.operations.map((operation) => ({ api, operation })));
  cli.screen.table(rows, [
    { title: "API", value: ({ api }) => api.name },
    { title: "VERB", value: ({ operation }) => operation.verb },
    { title: "ACTION", value: ({ operation }) => `${operation.action}.${operation.responseType}` },
    { title: "KEY", value: ({ operation }) => (operation.requiresKey ? "yes" : "no") },
    { title: "URL", value: ({ api, operation }) => urlOf(cli, api) + operation.path },
  ]);
}

function urlOf(cli: Cli, api: Api): string {
  return cli.connection.rest + api.urlPath;
}

function apiJson(cli: Cli, api: Api): Record<string, unknown> {
  return {
    namespace: api.namespace,
    basePath: api.basePath,
    name: api.name,
    url: urlOf(cli, api),
    cors: api.cors,
    operations: api.operations.map(({ path, verb, operationId, action, responseType, requiresKey }) => ({
      path,
      verb,
      operationId,
      action,
      responseType,
      requiresKey,
    })),
    updateTime: iso(api.updateTime),
    etag: api.etag,
  };
}

function keyJson({ id, namespace, basePath, note, createTime }: ApiKey): Record<string, unknown> {
  return { id, namespace, basePath, note: note || undefined, createTime: iso(createTime) };
}
