// The API in Swagger 2.0: `GET /api/v1/api-docs`. What each route takes and gives stands here; which routes there are is
// the adapter's table, and a test holds the two together.

import { SWAGGER_DEFINITIONS } from "./swagger-definitions.js";

export interface DescribedRoute {
  readonly method: string;
  /** With `:name` for parameters. */
  readonly path: string;
  readonly summary: string;
}

interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "body";
  readonly description: string;
  readonly required?: boolean;
  readonly type?: "string" | "integer" | "boolean";
  readonly schema?: unknown;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
}

interface Operation {
  readonly id: string;
  readonly tag: string;
  readonly query?: readonly Parameter[];
  /** Name of the definition of its body, and whether one must be sent. */
  readonly body?: readonly [definition: string, required: boolean];
  /** By status: what it means, and the definition of what is answered, "" for none. */
  readonly answers: Readonly<Record<number, readonly [meaning: string, schema: unknown]>>;
  /** Statuses of `REFUSALS` that it may be refused with, besides 401 and 500. */
  readonly refusals: readonly (keyof typeof REFUSALS)[];
}

const ref = (definition: string): unknown => ({ $ref: `#/definitions/${definition}` });
const arrayOf = (items: unknown): unknown => ({ type: "array", items });
const query = (
  name: string,
  type: Parameter["type"],
  description: string,
  more: Partial<Parameter> = {},
): Parameter => ({
  name,
  in: "query",
  required: false,
  ...(type ? { type } : {}),
  description,
  ...more,
});

const PAGING: readonly Parameter[] = [
  query("limit", "integer", "most entries; 0 means 200", { default: 30, minimum: 0, maximum: 200 }),
  query("skip", "integer", "entries to leave out at the start", { default: 0, minimum: 0 }),
  query("count", "boolean", "answer only how many there are, as an object with one number", { default: false }),
];
const OVERWRITE = query("overwrite", "boolean", "change it when it is there", { default: false });

const REFUSALS = {
  400: "the request is malformed or not allowed for this entity",
  401: "no key, or one that is not accepted",
  403: "not authorized to access what was named",
  404: "it does not exist",
  408: "the wait ended",
  409: "it exists, belongs to another collection, or was changed meanwhile",
  413: "larger than allowed",
  415: "the body is not application/json",
  422: "a binding that leads back to itself",
  429: "a throttle of the namespace; Retry-After says when to come back",
  500: "a fault of the platform",
  502: "the activation ended with an error of the action; its record, or with result=true its result",
  503: "overloaded or down",
} as const;

const READ = [403, 404, 409] as const;
const LIST = [400, 403] as const;
const WRITE = [400, 403, 404, 409, 413, 415] as const;
const DELETE = [400, 403, 404, 409] as const;

const list = (id: string, tag: string, summary: string, more: readonly Parameter[] = PAGING): Operation => ({
  id,
  tag,
  query: more,
  answers: { 200: ["latest change first", arrayOf(ref(summary))] },
  refusals: LIST,
});
const one = (id: string, tag: string, definition: string, more: Partial<Operation> = {}): Operation => ({
  id,
  tag,
  answers: { 200: ["", ref(definition)] },
  refusals: READ,
  ...more,
});

const actionOperations = (where: string, inPackage: string): Record<string, Operation> => ({
  [`GET ${where}`]: one(`getAction${inPackage}`, "Actions", "Action", {
    query: [query("code", "boolean", "with its code", { default: true })],
  }),
  [`PUT ${where}`]: one(`updateAction${inPackage}`, "Actions", "Action", {
    query: [OVERWRITE],
    body: ["ActionPut", true],
    refusals: WRITE,
  }),
  [`POST ${where}`]: {
    id: `invokeAction${inPackage}`,
    tag: "Actions",
    query: [
      query("blocking", "boolean", "wait for the end", { default: false }),
      query("result", "boolean", "with blocking: answer the result instead of the record", { default: false }),
      query("timeout", "integer", "with blocking: longest wait, milliseconds", { minimum: 1, maximum: 60_000 }),
    ],
    body: ["Arguments", false],
    answers: {
      200: ["it ended well: its record, or with result=true its result", ref("Activation")],
      202: ["accepted; with blocking: it had not ended when the wait did", ref("ActivationId")],
      502: [REFUSALS[502], ref("Activation")],
    },
    refusals: [400, 403, 404, 409, 413, 415, 429, 503],
  },
  [`DELETE ${where}`]: one(`deleteAction${inPackage}`, "Actions", "Action", { refusals: DELETE }),
});

const NAMESPACE = "/namespaces/{namespace}";

/** By method and path below the base. */
const OPERATIONS: Readonly<Record<string, Operation>> = {
  "GET /namespaces": {
    id: "listNamespaces",
    tag: "Namespaces",
    answers: { 200: ["the namespace of the key", arrayOf({ type: "string" })] },
    refusals: [],
  },
  [`GET ${NAMESPACE}/limits`]: one("getLimits", "Namespaces", "NamespaceLimits", { refusals: [403] }),
  [`GET ${NAMESPACE}/actions`]: list("listActions", "Actions", "ActionSummary"),
  ...actionOperations(`${NAMESPACE}/actions/{name}`, ""),
  [`GET ${NAMESPACE}/actions/{package}/`]: list("listActionsInPackage", "Actions", "ActionSummary"),
  ...actionOperations(`${NAMESPACE}/actions/{package}/{name}`, "InPackage"),
  [`GET ${NAMESPACE}/triggers`]: list("listTriggers", "Triggers", "TriggerSummary"),
  [`GET ${NAMESPACE}/triggers/{name}`]: one("getTrigger", "Triggers", "Trigger"),
  [`PUT ${NAMESPACE}/triggers/{name}`]: one("updateTrigger", "Triggers", "Trigger", {
    query: [OVERWRITE],
    body: ["TriggerPut", true],
    refusals: WRITE,
  }),
  [`POST ${NAMESPACE}/triggers/{name}`]: {
    id: "fireTrigger",
    tag: "Triggers",
    body: ["Arguments", false],
    answers: {
      202: ["fired", ref("ActivationId")],
      204: ["it has no active rule: nothing happened", undefined],
    },
    refusals: [400, 403, 404, 409, 413, 415, 429, 503],
  },
  [`DELETE ${NAMESPACE}/triggers/{name}`]: one("deleteTrigger", "Triggers", "Trigger", { refusals: DELETE }),
  [`GET ${NAMESPACE}/rules`]: list("listRules", "Rules", "RuleSummary"),
  [`GET ${NAMESPACE}/rules/{name}`]: one("getRule", "Rules", "Rule"),
  [`PUT ${NAMESPACE}/rules/{name}`]: one("updateRule", "Rules", "Rule", {
    query: [OVERWRITE],
    body: ["RulePut", true],
    refusals: WRITE,
  }),
  [`POST ${NAMESPACE}/rules/{name}`]: {
    id: "setRuleStatus",
    tag: "Rules",
    body: ["RuleStatus", true],
    answers: { 200: ["it is so now", undefined] },
    refusals: [400, 403, 404, 409, 415],
  },
  [`DELETE ${NAMESPACE}/rules/{name}`]: one("deleteRule", "Rules", "Rule", { refusals: DELETE }),
  [`GET ${NAMESPACE}/packages`]: list("listPackages", "Packages", "PackageSummary"),
  [`GET ${NAMESPACE}/packages/{name}`]: one("getPackage", "Packages", "Package", { refusals: [403, 404, 409, 422] }),
  [`PUT ${NAMESPACE}/packages/{name}`]: one("updatePackage", "Packages", "Package", {
    query: [OVERWRITE],
    body: ["PackagePut", true],
    refusals: WRITE,
  }),
  [`DELETE ${NAMESPACE}/packages/{name}`]: one("deletePackage", "Packages", "Package", {
    query: [query("force", "boolean", "with the actions in it", { default: false })],
    refusals: DELETE,
  }),
  [`GET ${NAMESPACE}/activations`]: list("listActivations", "Activations", "ActivationSummary", [
    ...PAGING,
    query("name", "string", "only of this action or trigger: name or package/name"),
    query("since", "integer", "only those that started then or later, milliseconds since 1970"),
    query("upto", "integer", "only those that started then or earlier, milliseconds since 1970"),
    query("docs", "boolean", "whole records; not with count", { default: false }),
  ]),
  [`GET ${NAMESPACE}/activations/{id}`]: one("getActivation", "Activations", "Activation", {
    refusals: [400, 403, 404],
  }),
  [`GET ${NAMESPACE}/activations/{id}/result`]: one("getActivationResult", "Activations", "ActivationResult", {
    refusals: [400, 403, 404],
  }),
  [`GET ${NAMESPACE}/activations/{id}/logs`]: one("getActivationLogs", "Activations", "ActivationLogs", {
    refusals: [400, 403, 404],
  }),
};

const PATH_PARAMETERS: Readonly<Record<string, string>> = {
  namespace: 'name of a namespace, or "_" for that of the key',
  package: "name of a package or binding",
  name: "name of the entity",
  id: "32 hexadecimal digits",
};

/** "GET /namespaces/{namespace}/actions" of a route. */
export function operationKey({ method, path }: Pick<DescribedRoute, "method" | "path">, basePath: string): string {
  return `${method} ${path.slice(basePath.length).replace(/:(\w+)/g, "{$1}") || "/"}`;
}

/** Keys of all operations that are described here. */
export const describedOperations: readonly string[] = Object.keys(OPERATIONS);

/** Swagger 2.0 of the REST API. @param basePath what `path`s stand below */
export function apiSwagger(basePath: string, version: string, routes: readonly DescribedRoute[]): string {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const key = operationKey(route, basePath);
    const template = key.slice(key.indexOf(" ") + 1);
    (paths[template] ??= {})[route.method.toLowerCase()] = operationOf(route, OPERATIONS[key]);
  }
  return JSON.stringify({
    swagger: "2.0",
    info: {
      title: "OpenWhisk REST API of Weft",
      description:
        "Actions, packages, triggers, rules and activations. Sign in with a key: uuid as the user, key as the password.",
      version,
    },
    basePath,
    consumes: ["application/json"],
    produces: ["application/json"],
    securityDefinitions: { basic: { type: "basic", description: "uuid:key" } },
    security: [{ basic: [] }],
    tags: [...new Set(Object.values(OPERATIONS).map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    definitions: SWAGGER_DEFINITIONS,
  });
}

/** The second, small document: what is at the root. */
export function hostSwagger(version: string): string {
  return JSON.stringify({
    swagger: "2.0",
    info: { title: "Weft host", version },
    basePath: "/",
    produces: ["application/json"],
    paths: {
      "/": {
        get: {
          operationId: "getHost",
          summary: "read about this installation: limits, kinds, where the API is",
          responses: { 200: { description: "", schema: { type: "object" } } },
        },
      },
    },
  });
}

function operationOf({ path, summary }: DescribedRoute, operation: Operation | undefined): unknown {
  const parameters: Parameter[] = [...path.matchAll(/:(\w+)/g)].map(([, name = ""]) => ({
    name,
    in: "path",
    required: true,
    type: "string",
    description: PATH_PARAMETERS[name] ?? "",
    // Who tries a call out on the page of the document finds it filled in.
    ...(name === "namespace" ? { default: "_" } : {}),
  }));
  if (!operation) return { summary, parameters, responses: { default: error("refused") } };
  const { answers, body, id, query: queryParameters = [], refusals, tag } = operation;
  parameters.push(...queryParameters);
  if (body) {
    const [definition, required] = body;
    parameters.push({ name: "body", in: "body", required, description: "", schema: ref(definition) });
  }
  const responses: Record<number, unknown> = {};
  for (const [status, [description, schema]] of Object.entries(answers)) {
    responses[Number(status)] = schema === undefined ? { description } : { description, schema };
  }
  for (const status of [401, ...refusals, 500] as const) responses[status] ??= error(REFUSALS[status]);
  return { operationId: id, tags: [tag], summary, parameters, responses };
}

function error(description: string): unknown {
  return { description, schema: ref("Error") };
}
