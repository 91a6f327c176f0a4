// Namespaces and their throttles.

import {
  NamespaceOverrides,
  NamespaceServiceService as Service,
  type Namespace,
  type NamespaceLimits,
} from "../../../internal/gen/weft/namespaces/v1/namespace.pb.js";
import type { Cli } from "../cli-context.js";
import { iso, time, usage } from "../output.js";
import type { Values, Verb } from "../spec.js";
import { listed, somePage, type Page, type PageRequest } from "./pages.js";

export const createNamespace: Verb = async (cli, [name = ""], values) => {
  const { namespace, auth } = await cli.call(Service.createNamespace, {
    namespace: name,
    limits: undefined,
    subject: values.text("subject") ?? "",
  });
  const [uuid, key] = auth.split(":");
  if (cli.screen.json) cli.screen.printJson({ ...namespaceJson(namespace), namespace: name, auth, uuid, key });
  else {
    cli.screen.print(auth);
    cli.screen.say(`created namespace ${name}; its key is shown only now: weft … --auth UUID:KEY, or WEFT_AUTH`);
  }
};

export const getNamespace: Verb = async (cli, [name]) => {
  show(cli, await found(cli, name ?? cli.namespace));
};

export const listNamespaces: Verb = async (cli, _args, values) => {
  const namespaces = await listed(cli, values, pageOf(cli));
  if (cli.screen.json) cli.screen.printJson(namespaces.map(namespaceJson));
  else {
    cli.screen.table(namespaces, [
      { title: "NAMESPACE", value: (n) => n.name },
      { title: "INVOCATIONS/MIN", value: (n) => n.limits?.invocationsPerMinute ?? "", right: true },
      { title: "FIRES/MIN", value: (n) => n.limits?.firesPerMinute ?? "", right: true },
      { title: "CONCURRENT", value: (n) => n.limits?.concurrentInvocations ?? "", right: true },
      { title: "CREATED", value: (n) => time(n.createTime) },
    ]);
  }
};

export const deleteNamespace: Verb = async (cli, [name = ""]) => {
  const deleting = cli.call(Service.deleteNamespace, { namespace: name });
  await cli.meant(name, deleting, () => somePage(pageOf(cli), (n) => n.name), "weft namespace list");
  if (cli.screen.json) cli.screen.printJson({ deleted: name });
  else cli.screen.say(`deleted namespace ${name} with everything in it`);
};

export const namespaceLimits: Verb = async (cli, [name], values) => {
  const namespace = name ?? cli.namespace;
  const { overrides, clear } = overridesIn(values);
  const limits: NamespaceLimits = {
    invocationsPerMinute: values.number("invocations-per-minute", 0, 0xffff_ffff),
    firesPerMinute: values.number("fires-per-minute", 0, 0xffff_ffff),
    concurrentInvocations: values.number("concurrent", 0, 0xffff_ffff),
    overrides,
  };
  if (Object.values(limits).every((limit) => limit === undefined) && clear.length === 0) {
    show(cli, await found(cli, namespace));
    return;
  }
  show(cli, await cli.call(Service.updateNamespaceLimits, { namespace, limits, clear: [...clear] }));
};

/** Options that set a least and a most, and the fields that they set. */
const RANGES = [
  ["memory", "minActionMemory", "maxActionMemory", " MiB"],
  ["timeout", "minActionTimeout", "maxActionTimeout", " ms"],
  ["logs", "minActionLogs", "maxActionLogs", " MiB"],
  ["concurrency", "minActionConcurrency", "maxActionConcurrency", ""],
] as const;
const NUMBERS = [
  ["parameter-size", "maxParameterSize", " bytes"],
  ["payload-size", "maxPayloadSize", " bytes"],
  ["truncation-size", "truncationSize", " bytes"],
  ["instances", "maxActionInstances", ""],
] as const;
const STORE = "store-activations";

/** Options that change limits. */
export const LIMIT_OPTIONS: readonly string[] = [
  "invocations-per-minute",
  "fires-per-minute",
  "concurrent",
  "kinds",
  ...RANGES.map(([option]) => option),
  ...NUMBERS.map(([option]) => option),
  STORE,
  "reset",
];

/** What the options say of actions: what to set, and what to take back. */
function overridesIn(values: Values): { readonly overrides: NamespaceOverrides | undefined; readonly clear: string[] } {
  const set: Partial<NamespaceOverrides> = {};
  const clear: string[] = [];
  for (const [option, least, most] of RANGES) {
    const text = values.text(option);
    if (text === undefined) continue;
    const [min = "", max = "", ...more] = text.split(":");
    if (more.length > 0 || !text.includes(":") || !/^\d*$/.test(min) || !/^\d*$/.test(max) || text === ":") {
      throw usage(`--${option} must be MIN:MAX, such as 128:512, not "${text}"; either may be left out`);
    }
    if (min !== "") set[least] = Number(min);
    if (max !== "") set[most] = Number(max);
  }
  for (const [option, field] of NUMBERS) {
    const value = values.number(option, 0, 0xffff_ffff);
    if (value !== undefined) set[field] = value;
  }
  const store = values.text(STORE);
  if (store !== undefined && store !== "yes" && store !== "no")
    throw usage(`--${STORE} must be yes or no, not "${store}"`);
  if (store !== undefined) set.storeActivations = store === "yes";
  const kinds = values.text("kinds");
  if (kinds === "all") clear.push("allowedKinds");
  else if (kinds !== undefined) set.allowedKinds = kinds.split(",").filter((kind) => kind !== "");
  for (const what of values.text("reset")?.split(",") ?? []) clear.push(...fieldsOf(what.trim()));
  const overrides = NamespaceOverrides.fromPartial(set);
  return { overrides: Object.keys(set).length === 0 ? undefined : overrides, clear };
}

function fieldsOf(what: string): readonly string[] {
  if (what === "kinds") return ["allowedKinds"];
  const range = RANGES.find(([option]) => option === what);
  if (range) return [range[1], range[2]];
  if (what === STORE) return ["storeActivations"];
  const number = NUMBERS.find(([option]) => option === what);
  if (number) return [number[1]];
  const known = ["kinds", ...RANGES.map(([option]) => option), ...NUMBERS.map(([option]) => option), STORE];
  throw usage(`--reset must be of ${known.join(", ")}, not "${what}"`);
}

function found(cli: Cli, name: string): Promise<Namespace> {
  const getting = cli.call(Service.getNamespace, { namespace: name });
  return cli.meant(name, getting, () => somePage(pageOf(cli), (n) => n.name), "weft namespace list");
}

function pageOf(cli: Cli): (request: PageRequest) => Promise<Page<Namespace>> {
  return async ({ pageSize, pageToken }) => {
    const { namespaces, nextPageToken } = await cli.call(Service.listNamespaces, { pageSize, pageToken });
    return { entries: namespaces, next: nextPageToken };
  };
}

export function show(cli: Cli, namespace: Namespace): void {
  if (cli.screen.json) {
    cli.screen.printJson(namespaceJson(namespace));
    return;
  }
  const { limits } = namespace;
  cli.screen.fields([
    ["namespace", namespace.name],
    ["invocations/min", String(limits?.invocationsPerMinute ?? "")],
    ["fires/min", String(limits?.firesPerMinute ?? "")],
    ["concurrent", String(limits?.concurrentInvocations ?? "")],
    ...overrideFields(limits?.overrides),
    ["created", time(namespace.createTime)],
  ]);
}

/** What was set for the namespace; the rest is the installation's. */
function overrideFields(overrides: NamespaceOverrides | undefined): [string, string][] {
  if (!overrides) return [];
  const fields: [string, string][] = [];
  if (overrides.allowedKinds.length > 0) fields.push(["kinds", overrides.allowedKinds.join(", ")]);
  for (const [option, least, most, unit] of RANGES) {
    const [min, max] = [overrides[least], overrides[most]];
    if (min !== undefined || max !== undefined) fields.push([option, `${min ?? ""}:${max ?? ""}${unit}`]);
  }
  for (const [option, field, unit] of NUMBERS) {
    if (overrides[field] !== undefined) fields.push([option, `${overrides[field]}${unit}`]);
  }
  if (overrides.storeActivations !== undefined) fields.push([STORE, overrides.storeActivations ? "yes" : "no"]);
  return fields;
}

function overridesJson(overrides: NamespaceOverrides | undefined): object {
  if (!overrides) return {};
  const { allowedKinds, ...numbers } = overrides;
  return { ...numbers, ...(allowedKinds.length > 0 ? { allowedKinds } : {}) };
}

function namespaceJson(namespace: Namespace | undefined): Record<string, unknown> {
  return {
    name: namespace?.name,
    limits: namespace?.limits && {
      invocationsPerMinute: namespace.limits.invocationsPerMinute,
      firesPerMinute: namespace.limits.firesPerMinute,
      concurrentInvocations: namespace.limits.concurrentInvocations,
      ...overridesJson(namespace.limits.overrides),
    },
    createTime: iso(namespace?.createTime),
  };
}
