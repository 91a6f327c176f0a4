// What is here: everything in the caller's namespace as the native API tells it, and what runs here.

import { WeftError } from "../../../internal/base/errors.js";
import { DEFAULT_LIMITS } from "../../../internal/core/action/limits.js";
import type { KeyValue } from "../../../internal/core/action/types.js";
import { AccessServiceService } from "../../../internal/gen/weft/access/v1/access.pb.js";
import { ActionServiceService, type Action } from "../../../internal/gen/weft/action/v1/action.pb.js";
import { ApiServiceService } from "../../../internal/gen/weft/api/v1/api.pb.js";
import { PackageServiceService, type Package } from "../../../internal/gen/weft/packages/v1/package.pb.js";
import { RuleServiceService, type Rule } from "../../../internal/gen/weft/rule/v1/rule.pb.js";
import { TriggerServiceService, type Trigger } from "../../../internal/gen/weft/trigger/v1/trigger.pb.js";
import type { Cli } from "../cli-context.js";
import { fetchJson } from "../rest-client.js";
import type { Page, PageRequest } from "../verbs/pages.js";
import {
  FEED_DIGEST,
  splitName,
  type ActionState,
  type ApiDocumentState,
  type PackageState,
  type RuleState,
  type State,
  type TriggerState,
} from "./state.js";

const PAGE_SIZE = 200;

/** The namespace that is written to: the one named, or the key's own. */
export async function ownNamespace(cli: Cli): Promise<string> {
  if (cli.namespace !== "_") return cli.namespace;
  return (await cli.call(AccessServiceService.whoAmI, {})).namespace;
}

/** Everything of a namespace but its code and its APIs. */
export async function readHere(cli: Cli, namespace: string): Promise<Omit<State, "apis">> {
  const page = { namespace, withTotal: false };
  const packages = await all(async (request) => {
    const got = await cli.call(PackageServiceService.listPackages, { ...page, ...request });
    return { entries: got.packages, next: got.nextPageToken };
  });
  const actions = await all(async (request) => {
    const got = await cli.call(ActionServiceService.listActions, { ...page, ...request, package: "" });
    return { entries: got.actions, next: got.nextPageToken };
  });
  const triggers = await all(async (request) => {
    const got = await cli.call(TriggerServiceService.listTriggers, { ...page, ...request });
    return { entries: got.triggers, next: got.nextPageToken };
  });
  const rules = await all(async (request) => {
    const got = await cli.call(RuleServiceService.listRules, { ...page, ...request });
    return { entries: got.rules, next: got.nextPageToken };
  });
  return {
    packages: byName(packages.map(packageState)),
    actions: byName(actions.map(actionState)),
    triggers: byName(triggers.map(triggerState)),
    rules: byName(rules.map(ruleState)),
  };
}

/** APIs of a namespace, as whole documents, by base path. */
export async function readApiDocuments(cli: Cli, namespace: string): Promise<ReadonlyMap<string, ApiDocumentState>> {
  const apis = await all(async (request) => {
    const of = { namespace, api: "", path: "", verb: "", withDocuments: true };
    const got = await cli.call(ApiServiceService.listApis, { ...of, ...request });
    return { entries: got.apis, next: got.nextPageToken };
  });
  return byName(
    apis.map(({ basePath, name, documentJson, etag }) => ({
      name: basePath,
      title: name,
      documentJson: Buffer.from(documentJson).toString("utf8"),
      calls: [],
      etag,
    })),
  );
}

export interface Kind {
  readonly kind: string;
  readonly isDefault: boolean;
}

/** What runs here, as the document of the host says. */
export async function kindsHere(cli: Cli): Promise<readonly Kind[]> {
  const { rest, trust } = cli.connection;
  const { runtimes } = (await fetchJson({ base: rest, path: "/", ...trust, signal: cli.io.signal })) as {
    readonly runtimes?: Readonly<
      Record<string, readonly { readonly kind: string; readonly default: boolean; readonly deprecated: boolean }[]>
    >;
  };
  return Object.values(runtimes ?? {})
    .flat()
    .filter(({ deprecated }) => !deprecated)
    .map((one) => ({ kind: one.kind, isDefault: one.default }));
}

/** Which of these names in other namespaces the caller may use. */
export async function readableOf(
  cli: Cli,
  names: { readonly actions: readonly string[]; readonly packages: readonly string[] },
): Promise<ReadonlySet<string>> {
  const readable = new Set<string>();
  const look = async (qualified: string, call: Promise<unknown>): Promise<void> => {
    try {
      await call;
      readable.add(qualified);
    } catch (thrown) {
      const kind = thrown instanceof WeftError ? thrown.kind : undefined;
      if (kind === "notFound" || kind === "permissionDenied" || kind === "failedPrecondition") return;
      throw thrown;
    }
  };
  for (const qualified of names.actions) {
    const of = splitName(qualified);
    await look(qualified, cli.call(ActionServiceService.getAction, { ...of, withCode: false }));
  }
  for (const qualified of names.packages) {
    const of = splitName(qualified);
    await look(qualified, cli.call(PackageServiceService.getPackage, { ...of, asStored: false }));
  }
  return readable;
}

async function all<T>(page: (request: PageRequest) => Promise<Page<T>>): Promise<readonly T[]> {
  const entries: T[] = [];
  let pageToken = "";
  do {
    const got = await page({ pageSize: PAGE_SIZE, pageToken, skip: 0 });
    entries.push(...got.entries);
    pageToken = got.next;
  } while (pageToken !== "");
  return entries;
}

function byName<T extends { readonly name: string }>(entities: readonly T[]): ReadonlyMap<string, T> {
  return new Map(entities.map((one) => [one.name, one]));
}

function packageState(one: Package): PackageState {
  const { name, publish, parameters, annotations, binding, etag } = one;
  return { name, publish, parameters, annotations, etag, ...(binding ? { binding } : {}) };
}

function actionState({ name, exec, parameters, annotations, limits, publish, etag }: Action): ActionState {
  return {
    name,
    publish,
    kind: exec?.kind ?? "",
    main: exec?.main ?? "",
    binary: exec?.binary ?? false,
    image: exec?.image,
    codeDigest: exec?.codeDigest ?? "",
    components: exec?.components ?? [],
    parameters,
    annotations,
    limits: {
      timeoutMs: limits?.timeoutMs ?? DEFAULT_LIMITS.timeoutMs,
      memoryMb: limits?.memoryMb ?? DEFAULT_LIMITS.memoryMb,
      logsMb: limits?.logsMb ?? DEFAULT_LIMITS.logsMb,
      concurrency: limits?.concurrency ?? DEFAULT_LIMITS.concurrency,
      instances: limits?.instances,
    },
    etag,
  };
}

function triggerState({ name, parameters, annotations, publish, etag }: Trigger): TriggerState {
  const feed = stringOf(annotations, "feed");
  return {
    name,
    publish,
    parameters,
    annotations: annotations.filter(({ key }) => key !== FEED_DIGEST),
    ...(feed === undefined ? {} : { feed: { action: feed, digest: stringOf(annotations, FEED_DIGEST) } }),
    etag,
  };
}

function ruleState({ name, trigger, action, active, annotations, publish, etag }: Rule): RuleState {
  return { name, trigger, action, active, annotations, publish, etag };
}

function stringOf(annotations: readonly KeyValue[], key: string): string | undefined {
  const text = annotations.find((one) => one.key === key)?.valueJson;
  const value = text === undefined ? undefined : (JSON.parse(text) as unknown);
  return typeof value === "string" && value !== "" ? value : undefined;
}
