import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";

import type { Violations } from "../../base/violations.js";
import type { RuntimeManifest } from "../sandbox/manifest.js";
import { qualifiedKey, resolveName } from "../tenancy/name.js";
import { archiveProblem } from "./archive.js";
import { BLACKBOX_KIND, BUILTIN_KIND, CODE_BYTES_MAX, SEQUENCE_KIND, type Exec } from "./types.js";

/** Code as a request gives it. */
export interface ExecInput {
  /** Concrete, or "<family>:default". */
  readonly kind: string;
  readonly code: Uint8Array;
  readonly binary: boolean;
  /** "" for "main". */
  readonly main: string;
  /** Of a sequence: names from the point of view of its namespace. */
  readonly components?: readonly string[] | undefined;
  /** Of a blackbox action; "" for others. */
  readonly image?: string | undefined;
  /** True for the code of a controller itself: of the catalogue only, no request says so. */
  readonly builtin?: true;
}

/** True when there is code to load into a sandbox: not for sequences and built-in actions. */
export function hasCode({ kind }: Pick<Exec, "kind">): boolean {
  return kind !== SEQUENCE_KIND && kind !== BUILTIN_KIND;
}

/** Longest name of a function to call: "file.function" or a path with a class, never near this. */
const MAIN_LENGTH_MAX = 256;

/** Most actions of a sequence, those of nested sequences counted; OpenWhisk's. */
export const SEQUENCE_LENGTH_MAX = 50;

/**
 * What is stored of the code, or of a sequence's components; adds what is wrong with it to the violations.
 * @param namespace of the action, for the names of components
 */
export function checkExec(
  input: ExecInput,
  manifest: RuntimeManifest,
  namespace: string,
  violations: Violations,
): Exec {
  if (input.builtin) return { ...NO_CODE, kind: BUILTIN_KIND };
  const kind = input.kind.trim().toLowerCase();
  if (kind === SEQUENCE_KIND) return checkSequence(input, namespace, violations);
  if (input.components?.length) violations.add("exec.components", `are for the kind "${SEQUENCE_KIND}" only`);
  if (kind === BLACKBOX_KIND) return checkBlackbox(input, manifest, violations);
  if (input.image) violations.add("exec.image", `is for the kind "${BLACKBOX_KIND}" only`);
  const runtime = manifest.resolve(kind);
  if (kind === "") violations.add("exec.kind", `must be one of ${kindsOf(manifest)}`);
  else if (!runtime)
    violations.add("exec.kind", `"${kind.slice(0, 64)}" is not supported; must be one of ${kindsOf(manifest)}`);
  else if (runtime.deprecated) {
    violations.add("exec.kind", `"${runtime.kind}" is no longer supported; actions of it can be read and deleted`);
  }
  checkCode(input, runtime?.family, violations);
  checkMain(input, violations);
  if (runtime?.requireMain && input.main === "") violations.add("exec.main", `is required for ${runtime.kind}`);
  return storedExec(runtime?.kind ?? kind, input);
}

/** An image may do without code, and what its code has to be only it knows. */
function checkBlackbox(input: ExecInput, manifest: RuntimeManifest, violations: Violations): Exec {
  const image = (input.image ?? "").trim();
  const problem = manifest.images.problem(image);
  if (problem !== undefined) violations.add("exec.image", problem);
  checkSize(input, violations);
  if (!input.binary && !isUtf8(input.code))
    violations.add("exec.code", "must be UTF-8 text, unless exec.binary is set");
  checkMain(input, violations);
  return { ...storedExec(BLACKBOX_KIND, input), image };
}

function checkMain(input: ExecInput, violations: Violations): void {
  if (input.main.length > MAIN_LENGTH_MAX) {
    violations.add("exec.main", `longer than allowed: ${input.main.length} > ${MAIN_LENGTH_MAX} characters`);
  } else if (/[\0-\x1f\x7f]/.test(input.main)) violations.add("exec.main", "must not contain control characters");
}

function storedExec(kind: string, input: ExecInput): Exec {
  return {
    kind,
    main: input.main === "" ? undefined : input.main,
    binary: input.binary,
    codeDigest: createHash("sha256").update(input.code).digest("hex"),
    codeSize: input.code.length,
  };
}

/** Whether the components exist, and how many actions they come to, is seen where they can be looked up. */
function checkSequence(input: ExecInput, namespace: string, violations: Violations): Exec {
  const given = input.components ?? [];
  if (given.length === 0) violations.add("exec.components", "must name at least one action");
  else if (given.length > SEQUENCE_LENGTH_MAX) {
    violations.add("exec.components", `more than allowed: ${given.length} > ${SEQUENCE_LENGTH_MAX} actions`);
  }
  if (input.code.length > 0) violations.add("exec.code", "a sequence has no code");
  if (input.main !== "") violations.add("exec.main", "a sequence has no function to call");
  const components = given
    .slice(0, SEQUENCE_LENGTH_MAX)
    .map((name, i) => violations.try(() => qualifiedKey(resolveName(`exec.components[${i}]`, name, namespace))) ?? "");
  return { ...NO_CODE, kind: SEQUENCE_KIND, components };
}

const NO_CODE = { main: undefined, binary: false, codeDigest: "", codeSize: 0 };

function checkCode({ code, binary }: ExecInput, family: string | undefined, violations: Violations): void {
  if (code.length === 0) {
    violations.add("exec.code", "must not be empty");
    return;
  }
  if (!checkSize({ code }, violations)) return;
  if (!binary) {
    if (!isUtf8(code)) violations.add("exec.code", "must be UTF-8 text; for an archive set exec.binary");
    return;
  }
  const problem = archiveProblem(code, family);
  if (problem !== undefined) violations.add("exec.code", problem);
}

function checkSize({ code }: Pick<ExecInput, "code">, violations: Violations): boolean {
  if (code.length <= CODE_BYTES_MAX) return true;
  violations.addTooLarge("exec.code", `larger than allowed: ${code.length} > ${CODE_BYTES_MAX} bytes`);
  return false;
}

function kindsOf(manifest: RuntimeManifest): string {
  return manifest.kinds
    .filter((kind) => !kind.deprecated)
    .map((kind) => `"${kind.kind}"`)
    .join(", ");
}
