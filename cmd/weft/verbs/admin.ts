// What operators do: subjects, limits, encryption. "User" is OpenWhisk's word for a subject on the command line.

import {
  AccessServiceService as Service,
  type Key,
  type Subject,
} from "../../../internal/gen/weft/access/v1/access.pb.js";
import { NamespaceServiceService } from "../../../internal/gen/weft/namespaces/v1/namespace.pb.js";
import type { Cli } from "../cli-context.js";
import { iso, time, usage } from "../output.js";
import type { Verb } from "../spec.js";
import { keyJson, rotated } from "./key.js";
import { LIMIT_OPTIONS, namespaceLimits, show as showNamespace } from "./namespace.js";
import { listed, somePage, type Page, type PageRequest } from "./pages.js";

export const createUser: Verb = async (cli, [subject = "", namespace = ""], values) => {
  const { key, auth, namespaceCreated } = await cli.call(Service.createSubject, {
    subject,
    namespace,
    auth: values.text("use") ?? "",
  });
  const name = key?.namespace ?? namespace;
  if (cli.screen.json) {
    cli.screen.printJson({ ...(key ? keyJson(key) : {}), auth, namespaceCreated });
    return;
  }
  cli.screen.print(auth);
  cli.screen.say(
    `${subject} has a key for ${namespaceCreated ? "the new " : ""}namespace ${name}; it is shown only now`,
  );
};

export const getUser: Verb = async (cli, [subject = ""]) => {
  show(cli, await found(cli, subject));
};

export const listUsers: Verb = async (cli, [namespace = ""], values) => {
  const subjects = await listed(cli, values, pageOf(cli, namespace));
  if (cli.screen.json) cli.screen.printJson(subjects.map(subjectJson));
  else {
    cli.screen.table(subjects, [
      { title: "SUBJECT", value: (s) => s.subject },
      { title: "NAMESPACES", value: (s) => [...new Set(s.keys.map((key) => key.namespace))].join(", ") },
      { title: "KEYS", value: (s) => s.keys.length, right: true },
      { title: "BLOCKED", value: (s) => time(s.blockTime) },
    ]);
  }
};

export const deleteUser: Verb = async (cli, [subject = "", namespace = ""], values) => {
  const withNamespaces = values.flag("with-namespaces");
  const deleting = cli.call(Service.deleteSubject, { subject, namespace, withNamespaces });
  const { keys, deletedNamespaces, keylessNamespaces } = await meant(cli, subject, deleting);
  if (cli.screen.json) {
    cli.screen.printJson({ deleted: subject, keys, deletedNamespaces, keylessNamespaces });
    return;
  }
  cli.screen.say(`revoked ${keys} ${keys === 1 ? "key" : "keys"} of ${subject}`);
  for (const one of deletedNamespaces) cli.screen.say(`deleted namespace ${one} with everything in it`);
  for (const one of keylessNamespaces) {
    cli.screen.say(`nobody has a key for namespace ${one} any more; what is in it stays: weft namespace delete ${one}`);
  }
};

export const whoIs: Verb = async (cli, [text = ""]) => {
  const uuid = text.split(":", 1)[0] ?? "";
  const { key, blocked, operator } = await cli.call(Service.whoIs, { uuid });
  if (cli.screen.json) {
    cli.screen.printJson({ ...(key ? keyJson(key) : {}), blocked, operator });
    return;
  }
  cli.screen.fields([
    ["subject", key?.subject],
    ["namespace", key?.namespace],
    ["key", key?.uuid],
    ["operator", operator ? "yes" : "no"],
    ["blocked", blocked ? "yes" : "no"],
    ["created", time(key?.createTime)],
    ["expires", time(key?.expireTime)],
  ]);
};

export const blockUser: Verb = async (cli, [subject = ""]) => {
  const blocked = await meant(cli, subject, cli.call(Service.blockSubject, { subject }));
  if (cli.screen.json) cli.screen.printJson(subjectJson(blocked));
  else cli.screen.say(`blocked ${subject}: its keys are refused within a second; what runs goes on`);
};

export const unblockUser: Verb = async (cli, [subject = ""]) => {
  const unblocked = await meant(cli, subject, cli.call(Service.unblockSubject, { subject }));
  if (cli.screen.json) cli.screen.printJson(subjectJson(unblocked));
  else cli.screen.say(`unblocked ${subject}`);
};

export const rotateUserKey: Verb = async (cli, [subject = "", namespace], values) => {
  const { keys } = await found(cli, subject);
  const key = newestKey(subject, keys, namespace);
  await rotated(cli, key.namespace, key.uuid, values);
};

export const setLimits: Verb = async (cli, args, values) => {
  if (!LIMIT_OPTIONS.some((name) => values.flag(name))) {
    throw usage(
      `nothing to set: ${LIMIT_OPTIONS.map((name) => `--${name}`).join(", ")}`,
      "weft admin limits set --help",
    );
  }
  return namespaceLimits(cli, args, values);
};

export const deleteLimits: Verb = async (cli, [namespace = ""]) => {
  showNamespace(cli, await cli.call(NamespaceServiceService.resetNamespaceLimits, { namespace }));
};

/** Longest encryption of everything that is waited for. */
const SEAL_MS = 60 * 60 * 1_000;

export const sealParameters: Verb = async (cli) => {
  const { lists, keyId, unusedKeyIds } = await cli.call(Service.sealParameters, {}, { deadlineMs: SEAL_MS });
  if (cli.screen.json) {
    cli.screen.printJson({ lists, keyId, unusedKeyIds });
    return;
  }
  const how = keyId === "" ? "stored plain" : `encrypted with key ${keyId}`;
  cli.screen.say(`all parameters are ${how}; ${lists} ${lists === 1 ? "list was" : "lists were"} written anew`);
  if (unusedKeyIds.length > 0) {
    cli.screen.say(`nothing needs ${unusedKeyIds.join(", ")} any more: parameterKeys may do without`);
  }
};

/** @throws invalidArgument when it is not clear which */
function newestKey(subject: string, keys: readonly Key[], namespace: string | undefined): Key {
  const namespaces = [...new Set(keys.map((key) => key.namespace))];
  if (namespace === undefined && namespaces.length > 1) {
    throw usage(
      `${subject} has keys for ${namespaces.join(", ")}: say which`,
      `weft admin key rotate ${subject} NAMESPACE`,
    );
  }
  // Newest first within a namespace. One that expires is being replaced already.
  const theirs = keys.filter((key) => namespace === undefined || key.namespace === namespace);
  const key = theirs.find(({ expireTime }) => !expireTime) ?? theirs[0];
  if (!key) throw usage(`${subject} has no key for ${namespace ?? "any namespace"}`, `weft admin user get ${subject}`);
  return key;
}

function found(cli: Cli, subject: string): Promise<Subject> {
  return meant(cli, subject, cli.call(Service.getSubject, { subject }));
}

function meant<T>(cli: Cli, subject: string, work: Promise<T>): Promise<T> {
  return cli.meant(subject, work, () => somePage(pageOf(cli, ""), (one) => one.subject), "weft admin user list");
}

function pageOf(cli: Cli, namespace: string): (request: PageRequest) => Promise<Page<Subject>> {
  return async ({ pageSize, pageToken }) => {
    const { subjects, nextPageToken } = await cli.call(Service.listSubjects, { namespace, pageSize, pageToken });
    return { entries: subjects, next: nextPageToken };
  };
}

function show(cli: Cli, subject: Subject): void {
  if (cli.screen.json) {
    cli.screen.printJson(subjectJson(subject));
    return;
  }
  const keys = subject.keys.map(
    (key) => `${key.namespace}  ${key.uuid}${key.expireTime ? `  until ${time(key.expireTime)}` : ""}`,
  );
  cli.screen.fields([
    ["subject", subject.subject],
    ["blocked", subject.blocked ? `since ${time(subject.blockTime)}` : "no"],
    ["keys", keys.join("\n")],
  ]);
}

function subjectJson(subject: Subject): Record<string, unknown> {
  return {
    subject: subject.subject,
    blocked: subject.blocked,
    ...(subject.blockTime ? { blockTime: iso(subject.blockTime) } : {}),
    keys: subject.keys.map(keyJson),
  };
}
