// Names as OpenWhisk's users know them.

import { invalidField } from "../../base/errors.js";

/** Longest name of an entity or namespace, characters. OpenWhisk's limit; clients rely on 256 being accepted. */
export const NAME_LENGTH_MAX = 256;

// First a letter, digit or underscore; then also @ . & - and inner spaces. ASCII only.
const namePattern = /^(\w|\w[\w@ .&-]*[\w@.&-])$/;

/** @returns what is wrong with a name of one segment, or undefined */
export function nameProblem(name: string): string | undefined {
  if (name.length === 0) return "must not be empty";
  if (name.length > NAME_LENGTH_MAX) return `longer than allowed: ${name.length} > ${NAME_LENGTH_MAX} characters`;
  if (!namePattern.test(name)) {
    return "contains illegal characters: it must start with a letter, digit or _, may then contain @ . & - and spaces, and must not end with a space";
  }
  return undefined;
}

/** @throws invalidArgument naming the field */
export function checkName(field: string, name: string): string {
  const problem = nameProblem(name);
  if (problem !== undefined) throw invalidField(field, problem);
  return name;
}

/** An action's place: its package, if any, and its own name. */
export interface ActionName {
  /** undefined for the default package. */
  readonly package: string | undefined;
  readonly name: string;
}

/** Reads "name" or "package/name". @throws invalidArgument naming the field */
export function parseActionName(field: string, text: string): ActionName {
  const parts = text.split("/");
  if (parts.length > 2) throw invalidField(field, `must be "name" or "package/name", got "${text}"`);
  const [first = "", second] = parts;
  if (second === undefined) return { package: undefined, name: checkName(field, first) };
  return { package: checkName(field, first), name: checkName(field, second) };
}

export function formatActionName(name: ActionName): string {
  return name.package === undefined ? name.name : `${name.package}/${name.name}`;
}

/** A fully qualified name: "/namespace/name" or "/namespace/package/name", the leading slash optional in bodies. */
export interface QualifiedName {
  readonly namespace: string;
  /** "name" or "package/name". */
  readonly name: string;
}

/**
 * Reads a name from the point of view of a namespace: "name" and "package/name" are in it, "/ns/..." is absolute, and
 * "_" stands for `own`.
 * @throws invalidArgument naming the field
 */
export function resolveName(field: string, text: string, own: string): QualifiedName {
  if (!text.startsWith("/")) return { namespace: own, name: formatActionName(parseActionName(field, text)) };
  const [namespace = "", ...rest] = text.slice(1).split("/");
  if (rest.length === 0)
    throw invalidField(field, `must be "/namespace/name" or "/namespace/package/name", got "${text}"`);
  return {
    namespace: namespace === "_" ? own : checkName(field, namespace),
    name: formatActionName(parseActionName(field, rest.join("/"))),
  };
}

/** "namespace/name": the key that is hashed into a shard and that paths show. */
export function qualifiedKey(name: QualifiedName): string {
  return `${name.namespace}/${name.name}`;
}
