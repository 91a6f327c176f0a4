// /namespaces/{ns}/packages

import { WeftError } from "../../../base/errors.js";
import { Action, ActionServiceService as Actions, ListActionsRequest } from "../../../gen/weft/action/v1/action.pb.js";
import {
  CreatePackageRequest,
  type Binding,
  DeletePackageRequest,
  GetPackageRequest,
  ListPackagesRequest,
  Package,
  PackageServiceService as Packages,
  UpdatePackageRequest,
} from "../../../gen/weft/packages/v1/package.pb.js";
import { jsonResponse, type RestResponse } from "../message.js";
import type { OpenWhiskCall } from "./call.js";
import { epochMs, readBoolean, readString, readVersion, splitName, writeHead } from "./entity.js";
import { isTruthy, membersOf, typeOf, type JsonText } from "../../../base/json-text.js";
import { readKeyValues, writeKeyValues } from "./key-values.js";
import { listOf } from "./lists.js";
import { PAGE_MAX } from "./query.js";
import { malformed, Refusal } from "./refusal.js";
import { removeReturning } from "./remove.js";

export async function listPackages(call: OpenWhiskCall): Promise<RestResponse> {
  try {
    return await listOf(
      call,
      "packages",
      Packages.listPackages,
      (page) => ListPackagesRequest.fromPartial(page),
      (response) =>
        response.packages.map(
          (entry) =>
            `{${writeHead(entry)},"annotations":${writeKeyValues(entry.annotations)}` +
            `,"updated":${epochMs(entry.updateTime)},"binding":${entry.binding ? writeBinding(entry.binding) : "false"}}`,
        ),
    );
  } catch (thrown) {
    // Anybody may ask which packages a namespace shares; of a private or unknown one: none.
    if (!(thrown instanceof Refusal) || thrown.status !== 403) throw thrown;
    return jsonResponse(200, call.query.boolean("count", false) ? '{"packages":0}' : "[]");
  }
}

export async function getPackage(call: OpenWhiskCall): Promise<RestResponse> {
  const namespace = call.namespace();
  const name = call.entity();
  const found = await call.native(Packages.getPackage, GetPackageRequest.fromPartial({ namespace, name }), namespace);
  // Of a binding they are its package's: asked for by its own name, with its own right.
  const contents = found.actions.length === 0 ? [] : await actionsOf(call, namespace, name);
  const feeds = contents.filter(isFeed);
  const actions = contents.filter((action) => !isFeed(action));
  return jsonResponse(200, writePackage(found, { actions, feeds }));
}

export async function putPackage(call: OpenWhiskCall): Promise<RestResponse> {
  const namespace = call.namespace();
  const name = call.entity();
  const overwrite = call.query.boolean("overwrite", false);
  const body = call.entityBody();
  const annotations = readKeyValues(body, "annotations");
  const read = {
    parameters: readKeyValues(body, "parameters"),
    // The server computes it; a client's own is dropped.
    annotations: annotations?.filter(({ key }) => key !== "binding"),
    version: readVersion(body),
    publish: readBoolean(body, "publish"),
    binding: readBinding(body.get("binding")),
  };
  const given = Object.entries(read).filter(([, value]) => value !== undefined);
  const draft = Package.fromPartial({ namespace, name, ...Object.fromEntries(given) });
  const stored = overwrite
    ? await call.native(
        Packages.updatePackage,
        UpdatePackageRequest.fromPartial({
          package: draft,
          updateFields: given.map(([key]) => key),
          allowMissing: true,
        }),
        namespace,
      )
    : await call.native(Packages.createPackage, CreatePackageRequest.fromPartial({ package: draft }), namespace);
  return jsonResponse(200, writePackage(stored, undefined));
}

export async function deletePackage(call: OpenWhiskCall): Promise<RestResponse> {
  const namespace = call.namespace();
  const name = call.entity();
  const force = call.query.boolean("force", false);
  let contained = 0;
  try {
    const deleted = await removeReturning(
      async () => {
        const request = GetPackageRequest.fromPartial({ namespace, name, asStored: true });
        const found = await call.native(Packages.getPackage, request, namespace);
        contained = found.actions.length;
        return found;
      },
      (etag) =>
        call.native(
          Packages.deletePackage,
          DeletePackageRequest.fromPartial({ namespace, name, force, etag }),
          namespace,
        ),
    );
    return jsonResponse(200, writePackage(deleted, undefined));
  } catch (thrown) {
    if (!(thrown instanceof WeftError) || thrown.reason !== "PACKAGE_NOT_EMPTY") throw thrown;
    const entities = contained === 1 ? "1 entity" : `${contained} entities`;
    throw new Refusal(409, `Package not empty (contains ${entities}). Set force param or delete package contents.`);
  }
}

/** `{}` is what a package has that is none. @returns undefined when it binds to nothing. @throws Refusal 400 */
function readBinding(text: JsonText | undefined): Binding | undefined {
  if (text === undefined) return undefined;
  if (typeOf(text) !== "object") throw malformed("'binding' must be an object");
  const members = membersOf(text);
  if (members.size === 0) return undefined;
  const namespace = readString(members, "namespace");
  const name = readString(members, "name");
  if (namespace === undefined || name === undefined) throw malformed("'binding' must have a namespace and a name");
  return { namespace, name };
}

function writeBinding({ namespace, name }: Binding): JsonText {
  return `{"namespace":${JSON.stringify(namespace)},"name":${JSON.stringify(name)}}`;
}

async function actionsOf(call: OpenWhiskCall, namespace: string, name: string): Promise<Action[]> {
  const all: Action[] = [];
  let pageToken = "";
  do {
    const request = ListActionsRequest.fromPartial({ namespace, package: name, pageSize: PAGE_MAX, pageToken });
    const page = await call.native(Actions.listActions, request, namespace);
    all.push(...page.actions);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return all;
}

function isFeed(action: Action): boolean {
  const feed = action.annotations.find(({ key }) => key === "feed");
  return feed !== undefined && isTruthy(feed.valueJson);
}

interface Contents {
  readonly actions: readonly Action[];
  readonly feeds: readonly Action[];
}

/** @param contents only in the answer to GET */
function writePackage(entry: Package, contents: Contents | undefined): JsonText {
  return (
    `{${writeHead(entry)},"binding":${entry.binding ? writeBinding(entry.binding) : "{}"},"parameters":${writeKeyValues(entry.parameters)}` +
    `,"annotations":${writeKeyValues(entry.annotations)}` +
    (contents ? `,"actions":${writeMembers(contents.actions)},"feeds":${writeMembers(contents.feeds)}` : "") +
    `,"updated":${epochMs(entry.updateTime)}}`
  );
}

function writeMembers(actions: readonly Action[]): JsonText {
  const members = actions.map(
    (action) =>
      `{"name":${JSON.stringify(splitName(action).name)},"version":${JSON.stringify(action.version)}` +
      `,"annotations":${writeKeyValues(action.annotations)}}`,
  );
  return `[${members.join(",")}]`;
}
