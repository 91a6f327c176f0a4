// Builds: what becomes of code between being sent and being stored.

import { createHash } from "node:crypto";

import { WeftError, type FieldViolation } from "../../base/errors.js";
import type { DependencyList, RuntimeKind } from "../sandbox/manifest.js";
import { isExecutable, isZip } from "./archive.js";
import type { Build, Exec } from "./types.js";
import { zipNames } from "./zip.js";

/** Remembers builds, also failed ones: nothing is built twice. Implemented by internal/postgres. */
export interface BuildStore {
  /** From here on it is kept for a day more. @returns undefined when there is none */
  find(digest: string): Promise<Build | undefined>;
  /** Durable, with its artifact, when it resolves. The first of equal builds stays. */
  keep(build: Build, artifact: Uint8Array | undefined): Promise<void>;
}

/** What a build does: makes a program, puts dependencies beside the code, or looks for mistakes only. */
export type BuildStep = "compile" | "resolve" | "check";

/** Annotation that says whether what the archive's list names is put beside its code. */
export const RESOLVE_DEPENDENCIES = "resolve-dependencies";

/** How an action is written. */
export interface BuildWish {
  /**
   * True for OpenWhisk's paths: code is stored as it is, whatever is wrong with it. An archive there may be complete though it
   * has a list of dependencies, for example because a bundler made it.
   */
  readonly keepFailed: boolean;
  /** The annotation, where it is there. */
  readonly resolve: boolean | undefined;
}

/**
 * What a build is remembered by: whatever decides what comes out. SHA-256, hex.
 * @param kind one with a recipe
 */
export function buildDigest(
  kind: RuntimeKind,
  step: BuildStep,
  exec: Pick<Exec, "main" | "binary" | "codeDigest">,
): string {
  const said = [kind.kind, kind.build?.version ?? 0, exec.codeDigest, exec.binary, exec.main ?? "main"];
  if (step !== "compile") said.push(step);
  return createHash("sha256").update(JSON.stringify(said)).digest("hex");
}

/**
 * What has to be done with code that is written.
 * @param binary true for an archive that `archiveProblem` found nothing wrong with
 * @returns undefined when it is loaded as it is, and nobody looks at it
 */
export function buildStepOf(
  { build: recipe }: Pick<RuntimeKind, "build">,
  code: Uint8Array,
  binary: boolean,
  { keepFailed, resolve }: BuildWish,
): BuildStep | undefined {
  if (!recipe) return undefined;
  // Names in a tar archive are not read here: the build finds them.
  const names = binary && isZip(code) ? zipNames(code) : undefined;
  if (recipe.compiles && !isProgram(recipe.compiles.sources, code, binary, names)) return "compile";
  if (binary && (resolve ?? !keepFailed) && listsDependencies(recipe.dependencies, code, names)) return "resolve";
  return keepFailed || (recipe.compiles && recipe.compiles.sources === undefined) ? undefined : "check";
}

/**
 * Whether the code is loaded as it is: an executable, an archive with one called `exec` at its top, as OpenWhisk's
 * ActionLoop has them, or one without sources.
 */
function isProgram(
  sources: string | undefined,
  code: Uint8Array,
  binary: boolean,
  names: readonly string[] | undefined,
): boolean {
  if (!binary) return false;
  if (isExecutable(code)) return true;
  if (!names) return false;
  if (sources === undefined) return names.includes("exec");
  return !names.some((name) => name.endsWith(sources)) || names.some((name) => name.endsWith(".class"));
}

function listsDependencies(
  lists: readonly DependencyList[],
  code: Uint8Array,
  names: readonly string[] | undefined,
): boolean {
  if (!names) return lists.length > 0 && !isExecutable(code);
  const list = lists.find(({ file }) => names.includes(file));
  return list !== undefined && !list.brought.some((folder) => names.some((name) => name.startsWith(`${folder}/`)));
}

/** What sandboxes load: what was built, or the code itself. */
export function loadedExec(exec: Exec): Exec {
  const { build, ...rest } = exec;
  const artifact = build?.artifact;
  return artifact ? { ...rest, binary: true, codeDigest: artifact.digest, codeSize: artifact.size } : rest;
}

/** What an activation of an action answers whose source does not build. */
export function problemText(build: Build): string {
  return `${PROBLEMS[build.step ?? "compile"]}: ${build.problem}`;
}

const PROBLEMS: Readonly<Record<BuildStep, string>> = {
  compile: "The source does not build",
  resolve: "The code and its dependencies do not come together",
  check: "The code cannot be loaded",
};

/** The refusal of a source that does not build. */
export function buildFailed(build: Build): WeftError {
  const fields: FieldViolation[] = build.diagnostics.map((d) => ({
    field: "exec.code",
    description: `${d.file}:${d.line}:${d.column > 0 ? `${d.column}:` : ""} ${d.text}`,
  }));
  if (fields.length === 0) fields.push({ field: "exec.code", description: problemText(build) });
  return new WeftError("invalidArgument", "BUILD_FAILED", problemText(build), { fields });
}
