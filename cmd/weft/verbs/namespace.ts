// Namespaces and their throttles.

import {
  NamespaceServiceService as Service,
  type Namespace,
  type NamespaceLimits,
} from "../../../internal/gen/weft/namespaces/v1/namespace.pb.js";
import type { Cli } from "../cli-context.js";
import { iso, time } from "../output.js";
import type { Verb } from "../spec.js";
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
  const limits: NamespaceLimits = {
    invocationsPerMinute: values.number("invocations-per-minute", 0, 0xffff_ffff),
    firesPerMinute: values.number("fires-per-minute", 0, 0xffff_ffff),
    concurrentInvocations: values.number("concurrent", 0, 0xffff_ffff),
  };
  if (Object.values(limits).every((limit) => limit === undefined)) {
    show(cli, await found(cli, namespace));
    return;
  }
  show(cli, await cli.call(Service.updateNamespaceLimits, { namespace, limits }));
};

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
    ["created", time(namespace.createTime)],
  ]);
}

function namespaceJson(namespace: Namespace | undefined): Record<string, unknown> {
  return {
    name: namespace?.name,
    limits: namespace?.limits && {
      invocationsPerMinute: namespace.limits.invocationsPerMinute,
      firesPerMinute: namespace.limits.firesPerMinute,
      concurrentInvocations: namespace.limits.concurrentInvocations,
    },
    createTime: iso(namespace?.createTime),
  };
}
