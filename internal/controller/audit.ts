// One line for every administrative change: who did what to what. Never a secret.

import type { Log } from "../base/log.js";
import type { Identity } from "../core/tenancy/identity.js";

export type Change =
  | "namespace.create"
  | "namespace.delete"
  | "namespace.limits.set"
  | "namespace.limits.reset"
  | "key.create"
  | "key.delete"
  | "key.rotate"
  | "subject.create"
  | "subject.delete"
  | "subject.block"
  | "subject.unblock"
  | "parameters.seal";

export type Audit = (caller: Identity, change: Change, about: Readonly<Record<string, unknown>>) => void;

export function auditOf(log: Log): Audit {
  return (caller, change, about) => {
    log.info("administration", {
      change,
      ...about,
      by: { subject: caller.subject, namespace: caller.namespace, key: caller.keyUuid, operator: caller.operator },
      transactionId: caller.transactionId,
    });
  };
}
