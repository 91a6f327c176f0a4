// What a namespace has, or should have: what a manifest asks for, what another installation has, and what is here are all
// told in these terms, so that one plan leads from any of them to any other.

import { elementsOf, isArray, isObject, membersOf, objectOf, type JsonText } from "../../../internal/base/json-text.js";
import type { ActionLimits, Binding, KeyValue } from "../../../internal/core/action/types.js";

/** Names are those inside the namespace: "name", or "package/name" of an action. */
export interface State {
  readonly packages: ReadonlyMap<string, PackageState>;
  readonly actions: ReadonlyMap<string, ActionState>;
  readonly triggers: ReadonlyMap<string, TriggerState>;
  readonly rules: ReadonlyMap<string, RuleState>;
  /** By `apiKey`. */
  readonly apis: ReadonlyMap<string, ApiState>;
  /** Whole APIs, by base path; of a state that has none of them undefined. */
  readonly apiDocuments?: ReadonlyMap<string, ApiDocumentState>;
}

interface Entity {
  readonly name: string;
  readonly annotations: readonly KeyValue[];
  /** Of what is asked for: given to what is created. */
  readonly version?: string | undefined;
  /** Of what is asked for: why it cannot be. */
  readonly problem?: string | undefined;
  /** Of what is asked for: why it cannot be made; once somebody has made it here, it stays as that. */
  readonly sealed?: string | undefined;
  /** Of what is asked for: what its owner has to know. */
  readonly note?: string | undefined;
  /** Of what is here: must be the same when it is written. */
  readonly etag?: string | undefined;
}

/** What OpenWhisk keeps with every entity and heeds with packages alone; undefined leaves it as it is. */
interface Publishable {
  readonly publish?: boolean | undefined;
}

export interface PackageState extends Entity {
  readonly publish: boolean;
  readonly parameters: readonly KeyValue[];
  /** Of a binding: what it is bound to. */
  readonly binding?: Binding | undefined;
}

export interface ActionState extends Entity, Publishable {
  /** A concrete kind, "family:default", or "sequence". */
  readonly kind: string;
  /** "" is "main". */
  readonly main: string;
  /** A zip archive. */
  readonly binary: boolean;
  /** Of a blackbox action. */
  readonly image?: string | undefined;
  /** SHA-256, hex; "" of a sequence. */
  readonly codeDigest: string;
  /** Of what is asked for: the code, when it is needed. */
  readonly code?: (() => Promise<Uint8Array>) | undefined;
  /** Of a sequence: "/namespace/[package/]name". */
  readonly components: readonly string[];
  readonly parameters: readonly KeyValue[];
  /** Without `instances`, what is there stays. */
  readonly limits: ActionLimits & { readonly instances?: number | undefined };
}

export interface TriggerState extends Entity, Publishable {
  readonly parameters: readonly KeyValue[];
  /** What is told to the action that makes the trigger fire. */
  readonly feed?: FeedState | undefined;
}

export interface FeedState {
  /** "/namespace/[package/]name". */
  readonly action: string;
  /** What the feed is told; undefined of what is not known, then nothing is told. */
  readonly inputs?: readonly KeyValue[] | undefined;
  /** Of the inputs; of what is here that which was last told. */
  readonly digest: string | undefined;
}

export interface RuleState extends Entity, Publishable {
  /** "/namespace/name". */
  readonly trigger: string;
  /** "/namespace/[package/]name". */
  readonly action: string;
  readonly active: boolean;
}

export interface ApiState {
  /** Title of the API; of one that is there it is not changed. */
  readonly title: string;
  readonly basePath: string;
  readonly path: string;
  /** Lower case. */
  readonly verb: string;
  /** "name" or "package/name" of a web action. */
  readonly action: string;
  /** "json", "http", … */
  readonly responseType: string;
  readonly problem?: string | undefined;
}

/** An API as a whole, as a document that is stored. */
export interface ApiDocumentState {
  /** Its base path. */
  readonly name: string;
  readonly title: string;
  /** Swagger 2.0 as JSON text. */
  readonly documentJson: string;
  /** Of what is asked for: "/namespace/[package/]name" of the web actions that it leads to. */
  readonly calls: readonly string[];
  readonly problem?: string | undefined;
  readonly note?: string | undefined;
  readonly etag?: string | undefined;
}

export function apiKey(api: Pick<ApiState, "basePath" | "path" | "verb">): string {
  return `${api.verb.toUpperCase()} ${api.basePath}${api.path}`;
}

/** The project that an entity belongs to. OpenWhisk's own tools read and write the same annotation. */
export const MANAGED = "whisk-managed";
/** Digest of what a trigger's feed was told last: without it nobody could see that a manifest says something else. */
export const FEED_DIGEST = "weft-feed-inputs";

/** Annotations that are kept by the platform, whatever a client says. */
export const PLATFORM_ANNOTATIONS: ReadonlySet<string> = new Set(["exec", "binding"]);

/** Projects that own an entity, or need one of another project. */
export interface Ownership {
  readonly project: string;
  /** Names of projects whose packages this one uses. */
  readonly dependencies: readonly string[];
}

/** Who manages an entity; undefined when nobody does. */
export function ownerOf(entity: { readonly annotations: readonly KeyValue[] }): Ownership | undefined {
  const text = entity.annotations.find(({ key }) => key === MANAGED)?.valueJson;
  if (text === undefined) return undefined;
  const value = JSON.parse(text) as { projectName?: unknown; projectDeps?: unknown } | null;
  if (typeof value?.projectName !== "string" || value.projectName === "") return undefined;
  const dependencies = Array.isArray(value.projectDeps) ? (value.projectDeps as readonly unknown[]) : [];
  return {
    project: value.projectName,
    dependencies: dependencies
      .map((one) => (one as { value?: { projectName?: unknown } | null } | null)?.value?.projectName)
      .filter((name) => typeof name === "string"),
  };
}

/** The same for the same value: no white space, members by key. Numbers stay as they are written. */
export function canonical(text: JsonText): JsonText {
  const trimmed = text.trim();
  if (isArray(trimmed)) return `[${elementsOf(trimmed).map(canonical).join(",")}]`;
  if (!isObject(trimmed)) return trimmed.startsWith('"') ? JSON.stringify(JSON.parse(trimmed)) : trimmed;
  const members = [...membersOf(trimmed)].map(([key, value]) => [key, canonical(value)] as const);
  return objectOf(new Map(members.sort(([a], [b]) => (a < b ? -1 : 1))));
}

/** A value of JavaScript as a key value. */
export function keyValue(key: string, value: unknown): KeyValue {
  return { key, valueJson: JSON.stringify(value), init: false };
}

/** `over` wins per key. */
export function overlay(under: readonly KeyValue[], over: readonly KeyValue[]): KeyValue[] {
  const byKey = new Map(under.map((entry) => [entry.key, entry]));
  for (const entry of over) byKey.set(entry.key, entry);
  return [...byKey.values()];
}

/** "/namespace/[package/]name" in two parts. */
export function splitName(qualified: string): { readonly namespace: string; readonly name: string } {
  const [, namespace = "", ...rest] = qualified.split("/");
  return { namespace, name: rest.join("/") };
}
