// The packages that come with Weft: what they are, from their files, and what installing them changes.

import { invariant } from "../../base/errors.js";
import type { Random } from "../../base/random.js";
import { changedAction, newAction, newRevisionId, type ActionChange, type ActionWrite } from "../action/action.js";
import { BUILTIN_KIND, type Action, type KeyValue, type Package } from "../action/types.js";
import type { ExecInput } from "../action/exec.js";
import type { Draft } from "../action/store.js";
import type { RuntimeManifest } from "../sandbox/manifest.js";
import { changedPackage, newPackage, type PackageChange } from "./package.js";

/** Namespace of the packages that come with Weft. Everybody may use and bind them. */
export const SYSTEM_NAMESPACE = "whisk.system";

export interface CataloguePackage {
  readonly package: PackageChange;
  readonly actions: readonly ActionChange[];
}

/** What `manifest.json` of a package has; texts are JSON by key. */
interface Manifest {
  readonly annotations?: Readonly<Record<string, unknown>>;
  readonly parameters?: Readonly<Record<string, unknown>>;
  /** By name; the code is in the file "<name>.<extension of the kind>", of a built-in one in the controller. */
  readonly actions: Readonly<Record<string, CatalogueAction>>;
}

interface CatalogueAction {
  /** Default: "nodejs:default"; "builtin" for one that a controller runs itself. */
  readonly kind?: string;
  readonly annotations?: Readonly<Record<string, unknown>>;
  readonly parameters?: Readonly<Record<string, unknown>>;
}

const EXTENSIONS: Readonly<Record<string, string>> = { nodejs: "js", python: "py" };

/**
 * @param name of the package
 * @param manifest text of its manifest.json
 * @param read the file of that name beside it
 */
export function parseCataloguePackage(
  name: string,
  manifest: string,
  read: (file: string) => Uint8Array,
): CataloguePackage {
  const { annotations, parameters, actions } = JSON.parse(manifest) as Manifest;
  const common = { namespace: SYSTEM_NAMESPACE, version: "" };
  return {
    package: {
      ...common,
      name,
      publish: true,
      annotations: keyValues(annotations),
      parameters: keyValues(parameters),
      binding: undefined,
      updateFields: ["publish", "annotations", "parameters"],
    },
    actions: Object.entries(actions).map(([own, action]) => {
      const { kind = "nodejs:default" } = action;
      return {
        ...common,
        name: `${name}/${own}`,
        publish: false,
        annotations: keyValues(action.annotations),
        parameters: keyValues(action.parameters),
        limits: undefined,
        exec: execOf(`${name}/${own}`, kind, (extension) => read(`${own}.${extension}`)),
        updateFields: ["exec", "annotations", "parameters"],
        deleteAnnotations: [],
      };
    }),
  };
}

function execOf(action: string, kind: string, read: (extension: string) => Uint8Array): ExecInput {
  if (kind === BUILTIN_KIND) return { kind, code: new Uint8Array(), binary: false, main: "", builtin: true };
  const extension = EXTENSIONS[kind.slice(0, kind.indexOf(":"))];
  invariant(extension !== undefined, `the catalogue's ${action} has kind ${kind}, whose files have no extension`);
  return { kind, code: read(extension), binary: false, main: "" };
}

/** @param old what is there. @returns what to write; undefined when it is as it shall be */
export function installedPackage(old: Package | undefined, wanted: PackageChange): Draft<Package> | undefined {
  if (!old) return newPackage(wanted);
  const draft = changedPackage(old, wanted);
  const same = (["publish", "annotations", "parameters"] as const).every((field) => equal(old[field], draft[field]));
  return same ? undefined : draft;
}

/** @param old what is there. @returns what to write; undefined when it is as it shall be */
export function installedAction(
  old: Action | undefined,
  wanted: ActionChange,
  manifest: RuntimeManifest,
  random: Random,
): ActionWrite | undefined {
  const revisionId = newRevisionId(random);
  if (!old) return newAction(wanted, manifest, revisionId);
  // Annotations that it no longer has go; the server's own stay.
  const kept = newAction(wanted, manifest, revisionId).draft.annotations;
  const deleteAnnotations = old.annotations.map(({ key }) => key).filter((key) => !kept.some((one) => one.key === key));
  const write = changedAction(old, { ...wanted, deleteAnnotations }, manifest, revisionId);
  const same = (["exec", "annotations", "parameters"] as const).every((field) => equal(old[field], write.draft[field]));
  return same ? undefined : write;
}

function keyValues(values: Readonly<Record<string, unknown>> = {}): readonly KeyValue[] {
  return Object.entries(values).map(([key, value]) => ({ key, valueJson: JSON.stringify(value), init: false }));
}

/** Whatever the order of keys: lists of parameters and annotations have none. */
function equal(a: unknown, b: unknown): boolean {
  const text = (value: unknown): string =>
    Array.isArray(value) ? JSON.stringify(value.map((entry) => JSON.stringify(entry)).sort()) : JSON.stringify(value);
  return text(a) === text(b);
}
