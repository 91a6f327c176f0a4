// Deciding what may be done to subjects.

import { WeftError } from "../../base/errors.js";
import type { Violations } from "../../base/violations.js";
import type { Identity } from "./identity.js";
import { isKeyUuid } from "./key.js";
import { nameProblem } from "./name.js";
import { ROTATION_GRACE_MS_MAX, type Key } from "./store.js";

/** An operator who shuts himself out has nobody to let him in again. @throws failedPrecondition */
export function notOwnSubject(caller: Identity, subject: string): void {
  if (caller.subject !== subject) return;
  throw new WeftError("failedPrecondition", "OWN_SUBJECT", `${subject} is the subject of the key you use`, {
    fix: "use the key of another operator",
  });
}

/** The namespace of a new subject: named, or called as he is. Adds what is wrong to the violations. */
export function namespaceOfSubject(subject: string, named: string, violations: Violations): string {
  const namespace = named === "" ? subject : named;
  const problem = namespace === "_" ? '"_" is reserved' : nameProblem(namespace);
  if (problem !== undefined) {
    const hint = named === "" ? "; a namespace must be named for this subject" : "";
    violations.add("namespace", `${problem}${hint}`);
  }
  return namespace;
}

/** Until when a replaced key works; undefined: not any more. Adds what is wrong to the violations. */
export function oldKeyUntil(graceSeconds: number, wallMs: number, violations: Violations): number | undefined {
  const graceMs = graceSeconds * 1_000;
  if (graceMs > ROTATION_GRACE_MS_MAX) {
    violations.add("grace_seconds", `must be at most ${ROTATION_GRACE_MS_MAX / 1_000}, thirty days`);
  }
  return graceSeconds === 0 ? undefined : wallMs + graceMs;
}

/**
 * The key that is meant: the caller's own for "_". One that the settings give comes back with the next start.
 * @param bootstrapUuid of the key in the settings
 * @throws failedPrecondition BOOTSTRAP_KEY
 */
export function replaceableKey(caller: Identity, named: string, bootstrapUuid: string, violations: Violations): string {
  const uuid = named === "_" ? caller.keyUuid : named;
  if (!isKeyUuid(uuid))
    violations.add("uuid", 'must be the part of a key before its colon, or "_" for the one you use');
  if (uuid === bootstrapUuid) {
    throw new WeftError("failedPrecondition", "BOOTSTRAP_KEY", `key ${uuid} is given by the setting bootstrapKey`, {
      fix: "set another bootstrapKey, start the controllers anew, then delete this key",
    });
  }
  return uuid;
}

/** Whether a namespace has somebody, and everybody is blocked: then it shows nothing to strangers either. */
export function everybodyBlocked(keys: readonly Key[]): boolean {
  return keys.length > 0 && keys.every((key) => key.blocked);
}

/** Of a namespace's keys, newest first, its owner's: the oldest that is accepted, one that stays rather than one that expires. */
export function ownersKey(keys: readonly Key[]): Key | undefined {
  const accepted = keys.filter((key) => !key.blocked);
  return accepted.findLast((key) => key.expiresWallMs === undefined) ?? accepted.at(-1);
}
