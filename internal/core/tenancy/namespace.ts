import { Violations } from "../../base/violations.js";
import { checkSubject, subjectOfNamespace } from "./key.js";
import { nameProblem } from "./name.js";
import { limitsAfter } from "./overrides.js";
import type { Namespace, NamespaceLimits } from "./store.js";

export interface NamespaceInput {
  readonly name: string;
  readonly limits: Partial<NamespaceLimits>;
  /** "" for the namespace's name. */
  readonly subject: string;
}

/** "_" stands for the caller's own namespace, so none can be called that. */
const RESERVED_NAME = "_";

/** @throws invalidArgument with every field that is wrong */
export function newNamespace(
  input: NamespaceInput,
  defaults: NamespaceLimits,
  wallMs: number,
): { readonly namespace: Namespace; readonly subject: string } {
  const violations = new Violations();
  const problem = input.name === RESERVED_NAME ? `"${RESERVED_NAME}" is reserved` : nameProblem(input.name);
  if (problem !== undefined) violations.add("namespace", problem);
  const subject = input.subject === "" ? subjectOfNamespace(input.name) : input.subject;
  if (input.subject !== "") checkSubject("subject", subject, violations);
  const limits = limitsAfter(defaults, input.limits, [], violations);
  violations.check();
  return {
    namespace: { name: input.name, limits, createdWallMs: wallMs },
    subject,
  };
}
