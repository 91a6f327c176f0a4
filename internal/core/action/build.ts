// Builds: what becomes of the source of kinds that are compiled, between being sent and being stored.

import { createHash } from "node:crypto";

import { WeftError, type FieldViolation } from "../../base/errors.js";
import type { RuntimeKind } from "../sandbox/manifest.js";
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

/**
 * What a build is remembered by: whatever decides what comes out. SHA-256, hex.
 * @param kind one with a recipe
 */
export function buildDigest(kind: RuntimeKind, exec: Pick<Exec, "main" | "binary" | "codeDigest">): string {
  const said = [kind.kind, kind.build?.version ?? 0, exec.codeDigest, exec.binary, exec.main ?? "main"];
  return createHash("sha256").update(JSON.stringify(said)).digest("hex");
}

/**
 * Whether the code must be built before it can be loaded. A program is there already when the code is an executable, or an
 * archive with one called `exec` at its top, as OpenWhisk's ActionLoop has them.
 */
export function needsBuild(kind: Pick<RuntimeKind, "build">, code: Uint8Array, binary: boolean): boolean {
  if (!kind.build) return false;
  if (!binary) return true;
  return !isExecutable(code) && !(isZip(code) && zipNames(code).includes("exec"));
}

/** What sandboxes load: what was built, or the code itself. */
export function loadedExec(exec: Exec): Exec {
  const { build, ...rest } = exec;
  const artifact = build?.artifact;
  return artifact ? { ...rest, binary: true, codeDigest: artifact.digest, codeSize: artifact.size } : rest;
}

/** What an activation of an action answers whose source does not build. */
export function problemText(build: Build): string {
  return `The source does not build: ${build.problem}`;
}

/** The refusal of a source that does not build. */
export function buildFailed(build: Build): WeftError {
  const fields: FieldViolation[] = build.diagnostics.map((d) => ({
    field: "exec.code",
    description: `${d.file}:${d.line}:${d.column > 0 ? `${d.column}:` : ""} ${d.text}`,
  }));
  if (fields.length === 0) fields.push({ field: "exec.code", description: `does not build: ${build.problem}` });
  return new WeftError("invalidArgument", "BUILD_FAILED", problemText(build), { fields });
}
