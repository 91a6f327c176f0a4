// A namespace of a running OpenWhisk, or of another Weft, read over OpenWhisk's REST API: everything in it, as it was
// given there. Values stay JSON text, so that numbers keep every digit. Names in it are turned into those of the namespace
// that they are brought to.

import { createHash } from "node:crypto";

import {
  elementsOf,
  isArray,
  isObject,
  isTruthy,
  membersOf,
  typeOf,
  type JsonText,
} from "../../../internal/base/json-text.js";
import { DEFAULT_LIMITS } from "../../../internal/core/action/limits.js";
import {
  BLACKBOX_KIND,
  SEQUENCE_KIND,
  type ActionLimits,
  type Binding,
  type KeyValue,
} from "../../../internal/core/action/types.js";
import { archiveProblem } from "../../../internal/core/action/archive.js";
import { WeftError } from "../../../internal/base/errors.js";
import {
  canonical,
  FEED_DIGEST,
  type ActionState,
  type PackageState,
  type RuleState,
  type State,
  type TriggerState,
} from "../project/state.js";

/** Reads JSON text from below /api/v1. */
export type Read = (path: string) => Promise<JsonText>;

/** Largest page of a list, as OpenWhisk allows. */
const PAGE_SIZE = 200;
/** Entities that are read at once: lists have only their names. */
const READS_AT_ONCE = 4;
/** Most entities of one sort. */
export const ENTITIES_MAX = 100_000;

export interface SourceOptions {
  /** There: a name, or "_". */
  readonly namespace: string;
  /** What its entities are brought to. */
  readonly target: string;
  /** Told of everything that was read. */
  readonly progress: (read: number, of: number) => void;
}

/** The namespace's name: the one that was asked for, or the key's own. */
export async function namespaceThere(read: Read, asked: string): Promise<string> {
  const text = await read("/namespaces");
  if (!isArray(text)) throw noOpenWhisk("/namespaces");
  const names = elementsOf(text).map((name) => JSON.parse(name) as string);
  const [own] = names;
  if (asked === "_" && own !== undefined) return own;
  if (names.includes(asked)) return asked;
  throw new WeftError(
    "notFound",
    "NAMESPACE_NOT_FOUND",
    `the key there does not open ${asked}: it opens ${names.join(", ")}`,
  );
}

/** @throws WeftError that names the entity which cannot be read */
export async function readThere(read: Read, { namespace, target, progress }: SourceOptions): Promise<State> {
  const base = `/namespaces/${encodeURIComponent(namespace)}`;
  const lists = {
    packages: await listThere(read, `${base}/packages`),
    actions: await listThere(read, `${base}/actions`),
    triggers: await listThere(read, `${base}/triggers`),
    rules: await listThere(read, `${base}/rules`),
  };
  const total = Object.values(lists).reduce((sum, list) => sum + list.length, 0);
  let count = 0;
  const each = <T>(
    list: readonly Members[],
    what: string,
    one: (path: string, item: Members) => Promise<T>,
  ): Promise<T[]> =>
    inTurns(list, async (item) => {
      const name = localName(item);
      const path = `${base}/${what}/${name.split("/").map(encodeURIComponent).join("/")}`;
      try {
        return await one(path, item);
      } catch (thrown) {
        if (!(thrown instanceof WeftError)) throw thrown;
        const { kind, reason, message, fix } = thrown;
        throw new WeftError(kind, reason, `reading ${what.slice(0, -1)} ${name}: ${message}`, {
          cause: thrown,
          ...(fix === undefined ? {} : { fix }),
        });
      } finally {
        count += 1;
        progress(count, total);
      }
    });
  const move = (name: string): string => moved(name, namespace, target);
  const packages = await each(lists.packages, "packages", async (path, item) => {
    const binding = bindingOf(item);
    const provider =
      binding && `/namespaces/${encodeURIComponent(binding.namespace)}/packages/${encodeURIComponent(binding.name)}`;
    // What a binding has is told merged with what its package has; a package that is gone makes it unreadable.
    if (!provider) return packageState(await readMembers(read, path), undefined, []);
    const bound = binding.namespace === namespace ? { ...binding, namespace: target } : binding;
    try {
      return packageState(
        await readMembers(read, path),
        bound,
        keyValuesOf(await readMembers(read, provider), "parameters"),
      );
    } catch (thrown) {
      if (!(thrown instanceof WeftError) || (thrown.kind !== "notFound" && thrown.kind !== "permissionDenied"))
        throw thrown;
      const problem = `it is bound to /${binding.namespace}/${binding.name}, which cannot be read there`;
      return { ...packageState(item, bound, []), problem };
    }
  });
  const parametersOf = new Map(packages.map((one) => [one.name, one.parameters]));
  const actions = await each(lists.actions, "actions", async (path) => {
    return actionState(
      await readMembers(read, path),
      parametersOf,
      move,
      async () => codeOf(await readMembers(read, path)).code,
    );
  });
  const triggers = await each(lists.triggers, "triggers", async (path) =>
    triggerState(await readMembers(read, path), move),
  );
  const rules = await each(lists.rules, "rules", async (path) => ruleState(await readMembers(read, path), move));
  return {
    packages: new Map(packages.map((one) => [one.name, one])),
    actions: new Map(actions.map((one) => [one.name, one])),
    triggers: new Map(triggers.map((one) => [one.name, one])),
    rules: new Map(rules.map((one) => [one.name, one])),
    apis: new Map(),
  };
}

type Members = ReadonlyMap<string, JsonText>;

/** Pages until one has nothing new: a server may end pages early, and what moves between them is there twice. */
async function listThere(read: Read, path: string): Promise<readonly Members[]> {
  const byName = new Map<string, Members>();
  for (let skip = 0; ;) {
    const text = await read(`${path}?limit=${PAGE_SIZE}&skip=${skip}`);
    if (!isArray(text)) throw noOpenWhisk(path);
    const page = elementsOf(text);
    const known = byName.size;
    for (const element of page) {
      const item = membersOf(element);
      byName.set(localName(item), item);
    }
    skip += page.length;
    if (byName.size > ENTITIES_MAX) {
      throw new WeftError("failedPrecondition", "TOO_MANY_ENTITIES", `${path} has more than ${ENTITIES_MAX} entities`);
    }
    if (byName.size === known) return [...byName.values()];
  }
}

async function readMembers(read: Read, path: string): Promise<Members> {
  const text = await read(path);
  if (!isObject(text)) throw noOpenWhisk(path);
  return membersOf(text);
}

function noOpenWhisk(path: string): WeftError {
  return new WeftError("unavailable", "NOT_OPENWHISK", `${path} is not what OpenWhisk answers: is this its address?`);
}

async function inTurns<T, R>(list: readonly T[], one: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < list.length; at += READS_AT_ONCE) {
    results.push(...(await Promise.all(list.slice(at, at + READS_AT_ONCE).map(one))));
  }
  return results;
}

/** "name", or "package/name": the package stands behind the namespace. */
function localName(item: Members): string {
  const [, packageName] = textOf(item, "namespace").split("/");
  const name = textOf(item, "name");
  return packageName === undefined ? name : `${packageName}/${name}`;
}

export function packageState(
  item: Members,
  binding: Binding | undefined,
  inherited: readonly KeyValue[],
): PackageState {
  const parameters = keyValuesOf(item, "parameters");
  return {
    name: textOf(item, "name"),
    publish: item.get("publish") === "true",
    parameters: without(parameters, inherited),
    annotations: keyValuesOf(item, "annotations").filter(({ key }) => key !== "binding"),
    version: textOf(item, "version"),
    ...(binding ? { binding } : {}),
    ...encrypted(item, inherited),
  };
}

/** @param move turns a qualified name into one of here */
export function actionState(
  item: Members,
  parametersOf: ReadonlyMap<string, readonly KeyValue[]>,
  move: (name: string) => string,
  code: () => Promise<Uint8Array>,
): ActionState {
  const name = localName(item);
  const exec = item.has("exec") ? membersOf(item.get("exec") ?? "{}") : new Map<string, string>();
  const kind = textOf(exec, "kind");
  const isSequence = kind === SEQUENCE_KIND;
  const [packageName] = name.includes("/") ? name.split("/") : [];
  const inherited = packageName === undefined ? [] : (parametersOf.get(packageName) ?? []);
  const components = elementsOf(exec.get("components") ?? "[]").map((text) => move(JSON.parse(text) as string));
  const loaded = isSequence ? undefined : codeOf(item);
  const archive = loaded?.binary ? archiveProblem(loaded.code, kind.split(":")[0]) : undefined;
  const problem = kind === BLACKBOX_KIND ? undefined : archive && `its code ${archive}`;
  return {
    name,
    kind,
    main: textOf(exec, "main"),
    binary: loaded?.binary ?? false,
    ...(kind === BLACKBOX_KIND ? { image: textOf(exec, "image") } : {}),
    codeDigest: loaded ? createHash("sha256").update(loaded.code).digest("hex") : "",
    // Read again when it is written: all code of a namespace at once may be larger than memory.
    ...(isSequence ? {} : { code }),
    components,
    parameters: isSequence ? [] : without(keyValuesOf(item, "parameters"), inherited),
    annotations: keyValuesOf(item, "annotations").filter(
      ({ key, valueJson }) => key !== "exec" && !(key === "provide-api-key" && valueJson === "false"),
    ),
    limits: limitsOf(item),
    version: textOf(item, "version"),
    publish: item.get("publish") === "true",
    ...(problem === undefined ? {} : { problem }),
    ...encrypted(item, inherited),
  };
}

export function triggerState(item: Members, move: (name: string) => string): TriggerState {
  const name = textOf(item, "name");
  // What its feed was told is known by who told it: a project that is deployed here tells it anew.
  const annotations = keyValuesOf(item, "annotations").filter(({ key }) => key !== FEED_DIGEST);
  const feedText = annotations.find(({ key }) => key === "feed")?.valueJson;
  const feed =
    feedText !== undefined && typeOf(feedText) === "string" && isTruthy(feedText)
      ? move(JSON.parse(feedText) as string)
      : undefined;
  return {
    name,
    parameters: keyValuesOf(item, "parameters"),
    annotations: annotations.map((one) =>
      one.key === "feed" && feed ? { ...one, valueJson: JSON.stringify(feed) } : one,
    ),
    version: textOf(item, "version"),
    ...(feed === undefined
      ? {}
      : {
          feed: { action: feed, digest: undefined },
          note: `its feed ${feed} fires the one there, not the one here: what that was told is not known to the platform`,
        }),
    publish: item.get("publish") === "true",
    ...encrypted(item, []),
  };
}

export function ruleState(item: Members, move: (name: string) => string): RuleState {
  const pathOf = (field: string): string => {
    const text = item.get(field) ?? "null";
    if (typeOf(text) !== "object") return typeOf(text) === "string" ? move(JSON.parse(text) as string) : "";
    const members = membersOf(text);
    return move(`/${textOf(members, "path")}/${textOf(members, "name")}`);
  };
  return {
    name: textOf(item, "name"),
    trigger: pathOf("trigger"),
    action: pathOf("action"),
    active: textOf(item, "status") === "active",
    annotations: keyValuesOf(item, "annotations"),
    publish: item.get("publish") === "true",
    version: textOf(item, "version"),
  };
}

/** A name in the namespace there is one in the namespace here; others stay. */
export function moved(name: string, from: string, to: string): string {
  const [namespace, ...rest] = name.replace(/^\//, "").split("/");
  return `/${[namespace === from || namespace === "_" ? to : namespace, ...rest].join("/")}`;
}

function textOf(item: Members, field: string): string {
  const text = item.get(field);
  return text !== undefined && typeOf(text) === "string" ? (JSON.parse(text) as string) : "";
}

function bindingOf(item: Members): Binding | undefined {
  const text = item.get("binding") ?? "false";
  if (typeOf(text) !== "object") return undefined;
  const members = membersOf(text);
  const binding = { namespace: textOf(members, "namespace"), name: textOf(members, "name") };
  return binding.name === "" ? undefined : binding;
}

function keyValuesOf(item: Members, field: string): KeyValue[] {
  const byKey = new Map<string, KeyValue>();
  for (const element of elementsOf(item.get(field) ?? "[]")) {
    const members = membersOf(element);
    const key = textOf(members, "key");
    byKey.set(key, { key, valueJson: members.get("value") ?? "null", init: members.get("init") === "true" });
  }
  return [...byKey.values()];
}

/** Parameters are told with those of the package: what is the same as there is left out, and means the same. */
function without(parameters: readonly KeyValue[], inherited: readonly KeyValue[]): KeyValue[] {
  const same = new Set(inherited.map(textOfKeyValue));
  return parameters.filter((one) => !same.has(textOfKeyValue(one)));
}

function textOfKeyValue({ key, valueJson, init }: KeyValue): string {
  return `${JSON.stringify(key)} ${String(init)} ${canonical(valueJson)}`;
}

/**
 * Encrypted values are told as they are stored: nobody can read them but the platform there. Those of its package are no
 * reason to do without it: who made the package here gave them.
 */
function encrypted(item: Members, inherited: readonly KeyValue[]): { readonly sealed?: string } {
  const own = new Set(without(keyValuesOf(item, "parameters"), inherited).map(({ key }) => key));
  const keys = elementsOf(item.get("parameters") ?? "[]")
    .map(membersOf)
    .filter((one) => one.has("encryption") && isTruthy(one.get("encryption") ?? "null"))
    .map((one) => textOf(one, "key"))
    .filter((key) => own.has(key));
  if (keys.length === 0) return {};
  return { sealed: `its parameters ${keys.join(", ")} are encrypted there` };
}

function limitsOf(item: Members): ActionLimits & { readonly instances?: number } {
  const members = membersOf(item.get("limits") ?? "{}");
  const number = (name: string, otherwise: number): number => {
    const text = members.get(name);
    return text !== undefined && typeOf(text) === "number" ? Number(text) : otherwise;
  };
  return {
    timeoutMs: number("timeout", DEFAULT_LIMITS.timeoutMs),
    memoryMb: number("memory", DEFAULT_LIMITS.memoryMb),
    logsMb: number("logs", DEFAULT_LIMITS.logsMb),
    concurrency: number("concurrency", DEFAULT_LIMITS.concurrency),
    ...(members.has("instances") ? { instances: number("instances", 0) } : {}),
  };
}

/** Base64 of what zip archives begin with. */
const ARCHIVE_STARTS = ["UEsD", "UEsF"];

/** Code is an archive when it is base64 of one: what OpenWhisk calls binary is everything that could be base64. */
function codeOf(item: Members): { readonly code: Uint8Array; readonly binary: boolean } {
  const exec = membersOf(item.get("exec") ?? "{}");
  const text = textOf(exec, "code");
  const binary = exec.get("binary") !== "false" && ARCHIVE_STARTS.some((start) => text.startsWith(start));
  return { code: Buffer.from(text, binary ? "base64" : "utf8"), binary };
}
