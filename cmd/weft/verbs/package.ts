// Packages and bindings: create, bind, change, show, list, remove.

import { Package, PackageServiceService as Service } from "../../../internal/gen/weft/packages/v1/package.pb.js";
import type { Cli } from "../cli-context.js";
import { parseName, showName } from "../names.js";
import { iso, time } from "../output.js";
import { collect, keyValues } from "../params.js";
import { keyValuesJson, keyValuesText } from "../show.js";
import type { Values, Verb } from "../spec.js";
import { listed, somePage, type Page, type PageRequest } from "./pages.js";

export const createPackage: Verb = async (cli, [nameText = ""], values) => {
  const made = Package.fromPartial({
    ...parseName(nameText, cli.namespace, 1),
    ...(await given(cli, values)),
    publish: values.flag("shared"),
  });
  done(cli, "created", await cli.call(Service.createPackage, { package: made }));
};

export const bindPackage: Verb = async (cli, [providerText = "", nameText = ""], values) => {
  const provider = parseName(providerText, cli.namespace, 1);
  const made = Package.fromPartial({
    ...parseName(nameText, cli.namespace, 1),
    ...(await given(cli, values)),
    binding: provider,
  });
  const bound = await cli.call(Service.createPackage, { package: made });
  if (cli.screen.json) cli.screen.printJson(packageJson(bound));
  else cli.screen.say(`bound ${bindingText(bound)} as ${bound.name}`);
};

export const updatePackage: Verb = async (cli, [nameText = ""], values) => {
  const { namespace, name } = parseName(nameText, cli.namespace, 1);
  const shared = values.text("shared");
  const changes = await given(cli, values);
  // A switch that is off looks like one that is not given: the fields are named.
  const updateFields = [
    ...(shared === undefined ? [] : ["publish"]),
    ...(changes.parameters.length > 0 ? ["parameters"] : []),
    ...(changes.annotations.length > 0 ? ["annotations"] : []),
  ];
  const changed = Package.fromPartial({ namespace, name, ...changes, publish: shared === "yes" });
  const updating = cli.call(Service.updatePackage, { package: changed, updateFields, allowMissing: false });
  done(cli, "updated", await orMeant(cli, namespace, name, updating));
};

export const getPackage: Verb = async (cli, [nameText = ""]) => {
  const { namespace, name } = parseName(nameText, cli.namespace, 1);
  const found = await orMeant(cli, namespace, name, cli.call(Service.getPackage, { namespace, name, asStored: false }));
  if (cli.screen.json) cli.screen.printJson(packageJson(found));
  else {
    cli.screen.fields([
      ["package", showName(found.namespace, found.name)],
      ...(found.binding ? [["bound to", bindingText(found)] as const] : []),
      ["version", found.version],
      ["shared", found.publish ? "yes" : "no"],
      ["parameters", keyValuesText(found.parameters)],
      ["annotations", keyValuesText(found.annotations)],
      ["actions", found.actions.join("\n") || "none"],
      ...(found.feeds.length > 0 ? [["feeds", found.feeds.join("\n")] as const] : []),
      ["updated", time(found.updateTime)],
    ]);
  }
};

export const listPackages: Verb = async (cli, [of = cli.namespace], values) => {
  const namespace = of.startsWith("/") ? of.slice(1) : of;
  const packages = await listed(cli, values, pageOf(cli, namespace));
  if (cli.screen.json) cli.screen.printJson(packages.map(packageJson));
  else {
    cli.screen.table(packages, [
      { title: "PACKAGE", value: (p) => showName(p.namespace, p.name) },
      { title: "SHARED", value: (p) => (p.publish ? "yes" : "no") },
      { title: "BOUND TO", value: bindingText },
      { title: "VERSION", value: (p) => p.version },
      { title: "UPDATED", value: (p) => time(p.updateTime) },
    ]);
  }
};

export const deletePackage: Verb = async (cli, [nameText = ""], values) => {
  const { namespace, name } = parseName(nameText, cli.namespace, 1);
  const deleting = cli.call(Service.deletePackage, { namespace, name, force: values.flag("force"), etag: "" });
  await orMeant(cli, namespace, name, deleting);
  if (cli.screen.json) cli.screen.printJson({ deleted: name });
  else cli.screen.say(`deleted package ${name}`);
};

function orMeant<T>(cli: Cli, namespace: string, name: string, call: Promise<T>): Promise<T> {
  return cli.meant(name, call, () => somePage(pageOf(cli, namespace), (p) => p.name), "weft package list");
}

function pageOf(cli: Cli, namespace: string): (request: PageRequest) => Promise<Page<Package>> {
  return async (request) => {
    const { packages, nextPageToken } = await cli.call(Service.listPackages, {
      namespace,
      ...request,
      withTotal: false,
    });
    return { entries: packages, next: nextPageToken };
  };
}

async function given(cli: Cli, values: Values) {
  return {
    parameters: keyValues(await collect(values.pairs("param"), values.text("param-file"), cli.io)),
    annotations: keyValues(await collect(values.pairs("annotation"), undefined, cli.io)),
  };
}

function done(cli: Cli, what: string, stored: Package): void {
  if (cli.screen.json) cli.screen.printJson(packageJson(stored));
  else cli.screen.say(`${what} package ${stored.name}, version ${stored.version}`);
}

/** Where a binding leads; "" for a package. */
function bindingText({ binding }: Package): string {
  return binding ? showName(binding.namespace, binding.name) : "";
}

function packageJson(stored: Package): unknown {
  return {
    namespace: stored.namespace,
    name: stored.name,
    version: stored.version,
    publish: stored.publish,
    parameters: keyValuesJson(stored.parameters),
    annotations: keyValuesJson(stored.annotations),
    actions: stored.actions,
    feeds: stored.feeds,
    ...(stored.binding ? { binding: stored.binding } : {}),
    updateTime: iso(stored.updateTime),
    etag: stored.etag,
  };
}
