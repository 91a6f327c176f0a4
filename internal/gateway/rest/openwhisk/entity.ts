// What every entity of OpenWhisk has in its JSON.

import type { Timestamp } from "../../../gen/google/protobuf/timestamp.pb.js";
import { nameProblem } from "../../../core/tenancy/name.js";
import type { JsonText } from "../../../base/json-text.js";
import { typeOf } from "../../../base/json-text.js";
import { malformed } from "./refusal.js";

export interface EntityHead {
  readonly namespace: string;
  readonly name: string;
  readonly version: string;
  readonly publish: boolean;
}

/** The first members of an entity, without braces. An action's package moves from its name to its namespace. */
export function writeHead(entity: EntityHead): string {
  const { namespace, name } = splitName(entity);
  return (
    `"namespace":${JSON.stringify(namespace)},"name":${JSON.stringify(name)},` +
    `"version":${JSON.stringify(entity.version)},"publish":${entity.publish}`
  );
}

/** "guest" and "utils/echo" become "guest/utils" and "echo". */
export function splitName(entity: { readonly namespace: string; readonly name: string }): {
  readonly namespace: string;
  readonly name: string;
} {
  const slash = entity.name.indexOf("/");
  if (slash < 0) return { namespace: entity.namespace, name: entity.name };
  return { namespace: `${entity.namespace}/${entity.name.slice(0, slash)}`, name: entity.name.slice(slash + 1) };
}

export function epochMs(time: Timestamp | undefined): number {
  return time ? time.seconds * 1000 + Math.floor(time.nanos / 1e6) : 0;
}

export function timestamp(ms: number): Timestamp {
  return { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1e6 };
}

/** @returns undefined when it is absent or null. @throws Refusal 400 */
export function readString(body: ReadonlyMap<string, JsonText>, field: string, message?: string): string | undefined {
  const text = body.get(field);
  if (text === undefined || text === "null") return undefined;
  if (typeOf(text) !== "string") throw malformed(message ?? `'${field}' must be a string`);
  return JSON.parse(text) as string;
}

/** @returns undefined when it is absent or null. @throws Refusal 400 */
export function readBoolean(body: ReadonlyMap<string, JsonText>, field: string): boolean | undefined {
  const text = body.get(field);
  if (text === undefined || text === "null") return undefined;
  if (typeOf(text) !== "boolean") throw malformed(`'${field}' must be a boolean`);
  return text === "true";
}

/** "major.minor.patch", of which the last two may be left out. @throws Refusal 400 */
export function readVersion(body: ReadonlyMap<string, JsonText>): string | undefined {
  const text = readString(body, "version");
  if (text === undefined) return undefined;
  const match = /^(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?$/.exec(text.trim());
  const version = match?.slice(1).map((part: string | undefined) => Number(part ?? 0));
  if (!version || version.every((part) => part === 0)) {
    throw malformed(`'version' must be "major.minor.patch" and above 0.0.0, got ${JSON.stringify(text)}`);
  }
  return version.join(".");
}

/**
 * A fully qualified name in a body: "/ns/name", "/ns/pkg/name", both also without the first slash, or
 * {"path": "ns[/pkg]", "name": "x"}. @returns its segments, "_" resolved. @throws Refusal 400
 */
export function readQualifiedName(text: JsonText, field: string, own: string): readonly string[] {
  let spelled: string;
  if (typeOf(text) === "string") spelled = JSON.parse(text) as string;
  else {
    const parts = typeOf(text) === "object" ? (JSON.parse(text) as { path?: unknown; name?: unknown }) : {};
    if (typeof parts.path !== "string" || typeof parts.name !== "string") {
      throw malformed(`'${field}' must be a fully qualified name: "/namespace/name" or {"path", "name"}`);
    }
    spelled = `${parts.path}/${parts.name}`;
  }
  const segments = (spelled.startsWith("/") ? spelled.slice(1) : spelled).split("/");
  if (segments.length < 2) {
    throw malformed(
      `requirement failed: The fully qualified name of the entity must contain at least the namespace and the name of the entity. Got '${spelled}' for '${field}'.`,
    );
  }
  const [namespace = "", ...rest] = segments;
  const resolved = [namespace === "_" ? own : namespace, ...rest];
  for (const segment of resolved) {
    const problem = nameProblem(segment);
    if (problem !== undefined) throw malformed(`'${field}' is no name: '${segment}' ${problem}`);
  }
  return resolved;
}

/** `{"path": "ns[/pkg]", "name": "x"}` of "/ns/[pkg/]name". */
export function writePath(qualified: string): JsonText {
  const text = qualified.startsWith("/") ? qualified.slice(1) : qualified;
  const slash = text.lastIndexOf("/");
  return `{"path":${JSON.stringify(text.slice(0, Math.max(slash, 0)))},"name":${JSON.stringify(text.slice(slash + 1))}}`;
}
