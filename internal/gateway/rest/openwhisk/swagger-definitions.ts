// The shapes of bodies, for the Swagger document.

import { LIMIT_BOUNDS } from "../../../core/action/types.js";

interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly $ref?: string;
  readonly [more: string]: unknown;
}

const object = (properties: Readonly<Record<string, Schema>>, required: readonly string[] = []): Schema => ({
  type: "object",
  ...(required.length > 0 ? { required } : {}),
  properties,
});
const ref = (definition: string): Schema => ({ $ref: `#/definitions/${definition}` });
const list = (items: Schema): Schema => ({ type: "array", items });
const text = (description = ""): Schema => ({ type: "string", ...(description === "" ? {} : { description }) });
const flag = (description = ""): Schema => ({ type: "boolean", ...(description === "" ? {} : { description }) });
const whole = (description = "", more: Readonly<Record<string, unknown>> = {}): Schema => ({
  type: "integer",
  ...(description === "" ? {} : { description }),
  ...more,
});
const bounded = (
  description: string,
  { min, max, default: usual }: { min: number; max: number; default: number },
): Schema => whole(description, { minimum: min, maximum: max, default: usual });
const moment = (description: string): Schema => whole(`${description}, milliseconds since 1970`, { format: "int64" });

const KEY_VALUES = list(ref("KeyValue"));

/** What every entity has in an answer. */
const HEAD = {
  namespace: text('"namespace", or "namespace/package" of an action in a package'),
  name: text(),
  version: text("major.minor.patch; the patch rises with each change"),
  publish: flag("of packages: others may use it"),
  annotations: KEY_VALUES,
  updated: moment("last change"),
};
/** What every entity takes. */
const PUT = {
  version: text("taken as it is; without it the patch rises"),
  publish: flag(),
  annotations: KEY_VALUES,
};

const QUALIFIED_NAME = object({ path: text('"namespace" or "namespace/package"'), name: text() });
const BINDING = object({ namespace: text(), name: text() });

export const SWAGGER_DEFINITIONS: Readonly<Record<string, Schema>> = {
  Error: object({ error: text("for people"), code: text("the id of the request") }, ["error", "code"]),
  KeyValue: object(
    {
      key: text(),
      value: { description: "any JSON" },
      init: flag("of parameters: an environment variable of the sandbox instead of an argument"),
      encryption: text('of parameters: "aes-256" when the value is encrypted'),
    },
    ["key", "value"],
  ),
  Arguments: { type: "object", description: "arguments over the defaults", additionalProperties: true },
  Limits: object({
    timeout: bounded("longest run, milliseconds", LIMIT_BOUNDS.timeoutMs),
    memory: bounded("memory, MiB", LIMIT_BOUNDS.memoryMb),
    logs: bounded("log output that is kept, MiB", LIMIT_BOUNDS.logsMb),
    concurrency: bounded("runs at once in one sandbox", LIMIT_BOUNDS.concurrency),
    instances: { type: "integer", minimum: 0, description: "most sandboxes at once; not there, or 0: no limit" },
  }),
  Exec: object(
    {
      kind: text('such as "nodejs:20", or "sequence"'),
      code: text("source, or a zip archive in base64; not of sequences"),
      binary: flag("true for an archive"),
      main: text("function to call"),
      components: list(text("/namespace/[package/]name, of sequences")),
    },
    ["kind"],
  ),
  Action: object({ ...HEAD, exec: ref("Exec"), parameters: KEY_VALUES, limits: ref("Limits"), binding: text() }),
  ActionPut: object({
    ...PUT,
    exec: ref("Exec"),
    parameters: KEY_VALUES,
    limits: ref("Limits"),
    delAnnotations: list(text("annotations to take away")),
  }),
  ActionSummary: object({ ...HEAD, exec: object({ binary: flag() }), limits: ref("Limits") }),
  Trigger: object({
    ...HEAD,
    parameters: KEY_VALUES,
    limits: object({}),
    rules: { type: "object", description: "by /namespace/name of the rule", additionalProperties: { type: "object" } },
  }),
  TriggerPut: object({ ...PUT, parameters: KEY_VALUES }),
  TriggerSummary: object(HEAD),
  Rule: object({
    ...HEAD,
    status: { type: "string", enum: ["active", "inactive"] },
    trigger: QUALIFIED_NAME,
    action: QUALIFIED_NAME,
  }),
  RulePut: object({
    ...PUT,
    trigger: text("/namespace/name"),
    action: text("/namespace/[package/]name"),
  }),
  RuleStatus: object({ status: { type: "string", enum: ["active", "inactive"] } }, ["status"]),
  RuleSummary: object({ ...HEAD, trigger: QUALIFIED_NAME, action: QUALIFIED_NAME }),
  Package: object({
    ...HEAD,
    parameters: KEY_VALUES,
    binding: { ...BINDING, description: "what a binding is bound to; {} of a package" },
    actions: list(object({ name: text(), version: text(), annotations: KEY_VALUES })),
    feeds: list(object({ name: text(), version: text(), annotations: KEY_VALUES })),
  }),
  PackagePut: object({
    ...PUT,
    parameters: KEY_VALUES,
    binding: { ...BINDING, description: "makes it a binding of that package" },
  }),
  PackageSummary: object({ ...HEAD, binding: BINDING }),
  ActivationId: object({ activationId: text("32 hexadecimal digits") }, ["activationId"]),
  ActivationResult: object({
    status: {
      type: "string",
      enum: ["success", "application error", "action developer error", "whisk internal error"],
    },
    success: flag(),
    result: { description: "what the action returned: an object or an array" },
    size: whole("of the result, bytes"),
  }),
  ActivationLogs: object({ logs: list(text("time stream: text")) }),
  Activation: object({
    namespace: text(),
    name: text(),
    version: text(),
    subject: text(),
    activationId: text(),
    cause: text("activation of the sequence or composition that it was part of"),
    start: moment("start"),
    end: moment("end; not of triggers"),
    duration: whole("milliseconds"),
    response: ref("ActivationResult"),
    logs: list(text()),
    annotations: KEY_VALUES,
    publish: flag(),
  }),
  ActivationSummary: object({
    namespace: text(),
    name: text(),
    version: text(),
    publish: flag(),
    annotations: KEY_VALUES,
    activationId: text(),
    cause: text(),
    start: moment("start"),
    end: moment("end; not of triggers"),
    duration: whole("milliseconds"),
    statusCode: whole("0 success, 1 application error, 2 developer error, 3 platform error", { enum: [0, 1, 2, 3] }),
  }),
  NamespaceLimits: object({
    invocationsPerMinute: whole(),
    concurrentInvocations: whole(),
    firesPerMinute: whole(),
    minActionMemory: whole("MiB"),
    maxActionMemory: whole("MiB"),
    minActionLogs: whole("MiB"),
    maxActionLogs: whole("MiB"),
    minActionTimeout: whole("milliseconds"),
    maxActionTimeout: whole("milliseconds"),
    minActionConcurrency: whole(),
    maxActionConcurrency: whole(),
    maxParameterSize: text('such as "1048576 B"'),
    maxPayloadSize: text('such as "1048576 B"'),
    maxActionInstances: whole("sandboxes of one action"),
  }),
};
